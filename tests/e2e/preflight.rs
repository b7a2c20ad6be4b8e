//! What ACM or the CA would refuse is told before anything is paid for.

use crate::{
    aws::Authority,
    harness::{REGIONS, World, arn},
    wait::Conditions,
};
use arnkeeper::api::conditions::{READY, STALLED};
use serde_json::json;

#[tokio::test]
async fn a_leaf_of_another_family_than_its_cas_is_refused() {
    let (world, authority) = World::new("family").await;
    let spec = json!({ "privateKey": authority.other_family(), "acm": [{ "name": "edge" }] });
    world.certificate("app", &authority, spec).await;
    let certificate = world.stalled("app", "PreflightFailed").await;
    let message = certificate.message(STALLED);
    assert!(message.contains("RSA") && message.contains("EC"), "{message}");
    world.assert_nothing_asked().await;
}

#[tokio::test]
async fn without_acm_any_family_will_do() {
    let (world, authority) = World::new("any-family").await;
    world.issued("app", &authority, json!({ "privateKey": authority.other_family() })).await;
    world.tls("app").await;
    world.assert_paid(1).await;
}

#[tokio::test]
async fn an_rsa_ca_signs_rsa_keys_by_default() {
    let world = World::bare("rsa").await;
    if world.stand.sim_because("all CAs of moto are RSA CAs, the other tests show it").is_none() {
        return;
    }
    let authority = Authority::new(&world, json!({ "keyAlgorithm": "RSA_2048" })).await;
    world.open_account(json!({})).await;
    let certificate = world.issued("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
    let tls = world.tls("app").await;
    assert_eq!(world.acm(REGIONS[0]).await.certificate(&arn(&certificate, "edge")).await, *tls.leaf());
    assert!(tls.leaf().has_rsa_key());
}

#[tokio::test]
async fn a_key_of_another_size_is_refused_under_an_arn() {
    let (world, authority) = World::new("key-size").await;
    let before = world.issued("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
    world.change(&world.certificates(), "app", json!({ "spec": { "privateKey": authority.other_size() } })).await;
    let certificate = world.stalled("app", "PreflightFailed").await;
    assert!(certificate.is(READY), "the old one still works");
    assert!(certificate.message(STALLED).contains(&arn(&before, "edge")), "{}", certificate.message(STALLED));
    assert_eq!(world.acm(REGIONS[0]).await.certificate(&arn(&before, "edge")).await, *world.tls("app").await.leaf());
    world.assert_paid(1).await;
}

#[tokio::test]
async fn dropped_usages_are_refused_under_an_arn() {
    let (world, authority) = World::new("usages").await;
    let both = json!(["digital signature", "key encipherment", "server auth", "client auth"]);
    let before = world.issued("app", &authority, json!({ "usages": both, "acm": [{ "name": "edge" }] })).await;
    let fewer = json!(["digital signature", "key encipherment", "client auth"]);
    world.change(&world.certificates(), "app", json!({ "spec": { "usages": fewer } })).await;
    let certificate = world.stalled("app", "PreflightFailed").await;
    assert!(certificate.message(STALLED).contains(&arn(&before, "edge")), "{}", certificate.message(STALLED));
    world.assert_paid(1).await;
}

#[tokio::test]
async fn a_refused_change_can_be_undone() {
    let (world, authority) = World::new("undone").await;
    let before = world.issued("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
    world.change(&world.certificates(), "app", json!({ "spec": { "privateKey": authority.other_size() } })).await;
    world.stalled("app", "PreflightFailed").await;
    world.change(&world.certificates(), "app", json!({ "spec": { "privateKey": null } })).await;
    let after = world.revision("app", 1).await;
    assert!(after.condition(STALLED).is_none());
    assert_eq!(arn(&after, "edge"), arn(&before, "edge"));
    world.assert_paid(1).await;
}

#[tokio::test]
async fn a_ca_that_ends_too_soon_is_told() {
    let world = World::bare("short-ca").await;
    if world.stand.sim_because("all CAs of moto last a year").is_none() {
        return;
    }
    let authority = Authority::new(&world, json!({ "days": 5 })).await;
    world.open_account(json!({})).await;
    world.certificate("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
    world.stalled("app", "AuthorityEndsTooSoon").await;
    world.assert_nothing_asked().await;
    world.change(&world.certificates(), "app", json!({ "spec": { "duration": "48h" } })).await;
    world.ready("app").await;
}

#[tokio::test]
async fn a_short_lived_ca_signs_for_a_week_at_most() {
    let world = World::bare("short-mode").await;
    let authority = Authority::new(&world, json!({ "usageMode": "SHORT_LIVED_CERTIFICATE" })).await;
    world.open_account(json!({})).await;
    world.certificate("app", &authority, json!({ "duration": "169h" })).await;
    world.stalled("app", "DurationTooLong").await;
    world.assert_nothing_asked().await;
    world.change(&world.certificates(), "app", json!({ "spec": { "duration": "168h" } })).await;
    world.ready("app").await;
}

#[tokio::test]
async fn a_disabled_ca_is_told() {
    let why = "moto does not give the certificate of a disabled CA, as AWS does";
    let Some((world, authority, sim)) = World::on_sim("no-ca", why).await else { return };
    sim.authority_state(&authority.arn, "DISABLED").await;
    world.certificate("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
    let certificate = world.stalled("app", "AuthorityDisabled").await;
    assert!(certificate.message(STALLED).contains(&authority.arn));
    world.assert_nothing_asked().await;
}
