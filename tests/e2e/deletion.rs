//! What goes with a Certificate, and what stays.

use crate::{
    harness::{REGIONS, World, arn, secret_name},
    wait::{Conditions, gone, until},
};
use arnkeeper::api::{
    Certificate,
    certificate::TargetState,
    conditions::{DELIVERED, READY},
};
use k8s_openapi::api::core::v1::Secret;
use kube::{ResourceExt, api::DeleteParams};
use serde_json::json;
use std::slice::from_ref;

async fn delete(world: &World) {
    world.certificates().delete("app", &DeleteParams::default()).await.expect("it can be deleted");
}

#[tokio::test]
async fn a_pruned_manifest_is_no_outage() {
    let (world, authority) = World::new("retain").await;
    let certificate = world.issued("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
    assert!(certificate.finalizers().is_empty(), "nothing has to be undone, so nothing holds it");
    delete(&world).await;
    gone(&world.certificates(), "app").await;
    gone(&world.requests(), "app-1").await;
    let tls = world.tls("app").await;
    assert_eq!(world.acm(REGIONS[0]).await.certificate(&arn(&certificate, "edge")).await, *tls.leaf());
}

#[tokio::test]
async fn what_is_to_be_deleted_goes_with_the_certificate() {
    let (world, authority) = World::new("delete").await;
    let spec = json!({
        "acm": [{ "name": "edge", "deletionPolicy": "Delete" }, { "name": "stays", "region": REGIONS[1] }],
        "secret": { "deletionPolicy": "Delete" },
    });
    let certificate = world.issued("app", &authority, spec).await;
    delete(&world).await;
    gone(&world.certificates(), "app").await;
    gone::<Secret>(&world.secrets(), &secret_name("app")).await;
    assert!(world.acm(REGIONS[0]).await.arns().await.is_empty());
    assert_eq!(world.acm(REGIONS[1]).await.arns().await, [arn(&certificate, "stays")]);
}

#[tokio::test]
async fn what_is_in_use_is_deleted_once_it_is_not() {
    let Some((world, authority, sim)) = World::on_sim("in-use", "moto deletes what is in use").await else { return };
    let certificate =
        world.issued("app", &authority, json!({ "acm": [{ "name": "edge", "deletionPolicy": "Delete" }] })).await;
    let arn = arn(&certificate, "edge");
    let balancer =
        format!("arn:aws:elasticloadbalancing:{}:{}:loadbalancer/app/web/0123456789abcdef", REGIONS[0], world.id);
    sim.in_use(&arn, &[&balancer]).await;
    delete(&world).await;
    let told = |c: &Certificate| c.because(READY, "Deleting") && c.message(READY).contains("InUse");
    until(&world.certificates(), "app", "it is told that the certificate is in use", told).await;
    let acm = world.acm(REGIONS[0]).await;
    assert_eq!(acm.arns().await, from_ref(&arn));
    sim.in_use(&arn, &[]).await;
    gone(&world.certificates(), "app").await;
    assert!(acm.arns().await.is_empty());
}

#[tokio::test]
async fn a_removed_target_follows_its_policy() {
    let (world, authority) = World::new("removed").await;
    let acm = json!([
        { "name": "kept" },
        { "name": "dropped", "region": REGIONS[1], "deletionPolicy": "Delete" },
        { "name": "left", "region": REGIONS[1] },
    ]);
    let before = world.issued("app", &authority, json!({ "acm": acm })).await;
    world.change(&world.certificates(), "app", json!({ "spec": { "acm": [{ "name": "kept" }] } })).await;
    // ACM may not show the import of a moment ago yet: what becomes of them is told at once.
    let says = |c: &Certificate, name: &str, word: &str| {
        let mut entries = c.status.iter().flat_map(|s| &s.targets);
        let entry = entries.find(|t| t.name == name && t.state == TargetState::Waiting);
        entry.and_then(|t| t.message.as_deref()).is_some_and(|message| message.contains(word))
    };
    let told = |c: &Certificate| says(c, "dropped", "is being deleted from ACM") && says(c, "left", "stays in ACM");
    let certificate = until(&world.certificates(), "app", "it is told what becomes of them", told).await;
    assert!(certificate.is(READY) && certificate.is(DELIVERED));
    let one = |c: &Certificate| c.is(READY) && c.status.as_ref().is_some_and(|s| s.targets.len() == 1);
    let after = until(&world.certificates(), "app", "one target is left", one).await;
    assert_eq!(arn(&after, "kept"), arn(&before, "kept"));
    let acm = world.acm(REGIONS[1]).await;
    acm.gone(&arn(&before, "dropped")).await;
    assert_eq!(acm.arns().await, [arn(&before, "left")]);
    let freed = |c: &Certificate| c.finalizers().is_empty();
    until(&world.certificates(), "app", "nothing has to be undone any more", freed).await;
}

#[tokio::test]
async fn a_deletion_does_not_wait_for_an_account_that_is_gone() {
    let (world, authority) = World::new("no-means").await;
    let certificate =
        world.issued("app", &authority, json!({ "acm": [{ "name": "edge", "deletionPolicy": "Delete" }] })).await;
    world.accounts().delete(&world.account, &DeleteParams::default()).await.expect("it can be deleted");
    gone(&world.accounts(), &world.account).await;
    // The operator knows it by now, too; until then the account would still be used.
    world.certificate("late", &authority, json!({})).await;
    world.stalled("late", "AccountNotAvailable").await;
    delete(&world).await;
    gone(&world.certificates(), "app").await;
    told_once(&world, &certificate, "AccountNotAvailable").await;
}

/// One event names the ARN that is left behind, and why.
async fn told_once(world: &World, certificate: &Certificate, why: &str) {
    let notes = world.events(&certificate.uid().expect("a uid"), "LeftBehind").await;
    assert!(notes.len() == 1 && notes[0].contains(&arn(certificate, "edge")) && notes[0].contains(why), "{notes:?}");
    assert_eq!(world.acm(REGIONS[0]).await.arns().await, [arn(certificate, "edge")]);
}

#[tokio::test]
async fn what_a_disabled_account_keeps_of_a_removed_target_is_told() {
    let (world, authority) = World::new("kept-there").await;
    let certificate =
        world.issued("app", &authority, json!({ "acm": [{ "name": "edge", "deletionPolicy": "Delete" }] })).await;
    world.change(&world.accounts(), &world.account, json!({ "spec": { "enabled": false } })).await;
    until(&world.accounts(), &world.account, "disabled", |a| a.because(READY, "Disabled")).await;
    world.change(&world.certificates(), "app", json!({ "spec": { "acm": [] } })).await;
    let freed = |c: &Certificate| c.finalizers().is_empty() && c.status.as_ref().is_some_and(|s| s.targets.is_empty());
    until(&world.certificates(), "app", "the target is forgotten", freed).await;
    told_once(&world, &certificate, "AccountDisabled").await;
}

#[tokio::test]
async fn a_namespace_with_certificates_can_be_deleted() {
    let (world, authority) = World::new("ending").await;
    world.issued("app", &authority, json!({ "acm": [{ "name": "edge", "deletionPolicy": "Delete" }] })).await;
    world.namespaces().delete(&world.namespace, &DeleteParams::default()).await.expect("it can be deleted");
    gone(&world.namespaces(), &world.namespace).await;
}
