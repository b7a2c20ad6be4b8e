//! Delivery to ACM: several places, and each under one ARN of its own.

use crate::{
    harness::{REGIONS, World, arn, target},
    wait::{Conditions, until},
};
use arnkeeper::api::{
    certificate::TargetState,
    conditions::{DELIVERED, READY, STALLED},
};
use kube::ResourceExt;
use serde_json::json;
use std::slice::from_ref;

#[tokio::test]
async fn one_certificate_is_delivered_to_several_accounts_and_regions() {
    let (world, authority) = World::new("fan-out").await;
    let other = world.another_account("fan-out").await;
    let places = json!([
        { "name": "here" },
        { "name": "cdn", "region": REGIONS[1] },
        { "name": "partner", "accountRef": { "name": other.account }, "region": REGIONS[1] },
    ]);
    let before = world.issued("app", &authority, json!({ "acm": places })).await;
    world.renew("app").await;
    let after = world.revision("app", 2).await;
    let leaf = world.tls("app").await.leaf().clone();
    for (name, owner, region) in
        [("here", &world, REGIONS[0]), ("cdn", &world, REGIONS[1]), ("partner", &other, REGIONS[1])]
    {
        let arn_now = arn(&after, name);
        assert_eq!(arn_now, arn(&before, name));
        assert!(arn_now.starts_with(&format!("arn:aws:acm:{region}:{}:", owner.id)), "{arn_now}");
        let acm = owner.acm(region).await;
        assert_eq!(acm.arns().await, from_ref(&arn_now));
        assert_eq!(acm.certificate(&arn_now).await, leaf);
    }
    world.assert_paid(2).await;
    other.assert_nothing_asked().await;
}

#[tokio::test]
async fn an_arn_outlives_many_renewals() {
    let why = "moto loses the tags of a certificate that is imported again, and without them nobody touches it";
    let Some((world, authority, sim)) = World::on_sim("many", why).await else { return };
    let before = world.issued("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
    for revision in 2..=4 {
        world.renew("app").await;
        let after = world.revision("app", revision).await;
        assert_eq!(arn(&after, "edge"), arn(&before, "edge"));
    }
    let acm = world.acm(REGIONS[0]).await;
    assert_eq!(acm.certificate(&arn(&before, "edge")).await, *world.tls("app").await.leaf());
    assert_eq!(sim.effective(&world.id, "ImportCertificate").await, 4);
    world.assert_paid(4).await;
}

#[tokio::test]
async fn without_reimport_each_renewal_has_an_arn_of_its_own() {
    let (world, authority) = World::new("new-arns").await;
    let before = world.issued("app", &authority, json!({ "acm": [{ "name": "edge", "reimport": false }] })).await;
    let old = world.tls("app").await;
    world.renew("app").await;
    let after = world.revision("app", 2).await;
    assert_ne!(arn(&after, "edge"), arn(&before, "edge"));
    let acm = world.acm(REGIONS[0]).await;
    assert_eq!(acm.arns().await.len(), 2);
    assert_eq!(acm.certificate(&arn(&before, "edge")).await, *old.leaf(), "the old one is left alone");
    assert_eq!(acm.certificate(&arn(&after, "edge")).await, *world.tls("app").await.leaf());
}

#[tokio::test]
async fn the_account_decides_about_reimport_where_the_target_does_not() {
    let (world, authority) = World::new("by-account").await;
    world.change(&world.accounts(), &world.account, json!({ "spec": { "reimport": false } })).await;
    let acm = json!([{ "name": "moves" }, { "name": "stays", "region": REGIONS[1], "reimport": true }]);
    let before = world.issued("app", &authority, json!({ "acm": acm })).await;
    world.renew("app").await;
    let after = world.revision("app", 2).await;
    assert_ne!(arn(&after, "moves"), arn(&before, "moves"));
    assert_eq!(arn(&after, "stays"), arn(&before, "stays"));
}

#[tokio::test]
async fn a_target_that_is_added_later_gets_the_certificate_that_is_there() {
    let (world, authority) = World::new("later").await;
    let before = world.issued("app", &authority, json!({ "acm": [{ "name": "one" }] })).await;
    let acm = json!([{ "name": "one" }, { "name": "two", "region": REGIONS[1] }]);
    world.change(&world.certificates(), "app", json!({ "spec": { "acm": acm } })).await;
    let both =
        |c: &arnkeeper::api::Certificate| c.is(DELIVERED) && c.status.as_ref().is_some_and(|s| s.targets.len() == 2);
    let after = until(&world.certificates(), "app", "both are delivered", both).await;
    assert_eq!(arn(&after, "one"), arn(&before, "one"));
    let served = world.acm(REGIONS[1]).await.certificate(&arn(&after, "two")).await;
    assert_eq!(served, *world.tls("app").await.leaf());
    world.assert_paid(1).await;
}

#[tokio::test]
async fn a_denied_import_names_the_iam_action_and_holds_up_nothing_else() {
    let Some((world, authority, sim)) = World::on_sim("no-import", "moto denies nothing").await else { return };
    let other = world.another_account("no-import").await;
    sim.deny(&other.id, &["acm:ImportCertificate"]).await;
    let acm = json!([{ "name": "open" }, { "name": "closed", "accountRef": { "name": other.account } }]);
    world.certificate("app", &authority, json!({ "acm": acm })).await;
    let certificate = world.stalled("app", "AccessDenied").await;
    assert!(certificate.message(STALLED).contains("acm:ImportCertificate"), "{}", certificate.message(STALLED));
    assert_eq!(target(&certificate, "closed").state, TargetState::Failed);
    let open = |c: &arnkeeper::api::Certificate| target(c, "open").state == TargetState::Delivered;
    let certificate = until(&world.certificates(), "app", "the other target is delivered", open).await;
    assert!(!certificate.is(READY), "a target that never had a certificate is not ready");
    assert!(world.acm(REGIONS[0]).await.arns().await.contains(&arn(&certificate, "open")));
    world.assert_paid(1).await;
}

#[tokio::test]
async fn faults_of_acm_pass() {
    let Some((world, authority, sim)) = World::on_sim("acm-faults", "moto makes no faults").await else { return };
    sim.error(&world.id, "ListCertificates", Some(2), 400, "ThrottlingException").await;
    sim.error(&world.id, "ImportCertificate", Some(1), 400, "ThrottlingException").await;
    sim.error(&world.id, "DescribeCertificate", Some(2), 500, "InternalFailure").await;
    let certificate = world.issued("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
    assert!(certificate.condition(STALLED).is_none());
    assert_eq!(world.acm(REGIONS[0]).await.arns().await, [arn(&certificate, "edge")]);
    assert_eq!(sim.effective(&world.id, "ImportCertificate").await, 1);
}

#[tokio::test]
async fn events_tell_what_happened() {
    let (world, authority) = World::new("events").await;
    let certificate = world.issued("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
    let uid = certificate.uid().expect("a uid");
    let events = world.api::<k8s_openapi::api::core::v1::Event>();
    let about = kube::api::ListParams::default().fields(&format!("involvedObject.uid={uid}"));
    let told = crate::wait::eventually("an event tells of the issued certificate", || async {
        let list = events.list(&about).await.map_err(|e| e.to_string())?.items;
        let reasons: Vec<&str> = list.iter().filter_map(|e| e.reason.as_deref()).collect();
        if reasons.contains(&"Issued") { Ok(list.clone()) } else { Err(format!("{reasons:?}")) }
    })
    .await;
    assert_eq!(told.len(), 1, "events tell transitions only");
    let message = told[0].message.clone().unwrap_or_default();
    assert!(message.contains(&arn(&certificate, "edge")), "{message}");
}
