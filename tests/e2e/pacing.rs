//! At the pace of AWS's quotas: nothing is throttled, and what is throttled anyway slows nobody else.

use crate::{
    aws::Authority,
    harness::World,
    sim::Sim,
    wait::{Conditions, eventually, until},
};
use arnkeeper::api::conditions::{DELIVERED, READY, STALLED};
use futures::future::join_all;
use k8s_openapi::api::core::v1::Event;
use kube::api::ListParams;
use serde_json::{Value, json};

fn to_acm() -> Value {
    json!({ "acm": [{ "name": "edge" }] })
}

async fn issue_many(world: &World, authority: &Authority, count: usize) {
    let names: Vec<String> = (0..count).map(|n| format!("app-{n}")).collect();
    join_all(names.iter().map(|name| world.certificate(name, authority, to_acm()))).await;
    join_all(names.iter().map(|name| world.ready(name))).await;
}

/// The spacing of what is sent is a property test of the pacer; on a busy machine some calls still arrive bunched. Without a
/// pacer, nearly every import of many at once is throttled, and more than once.
async fn hardly_throttled(sim: &Sim, world: &World, imports: usize) {
    let throttled = sim.throttled(&world.id).await;
    assert!(throttled.len() * 4 <= imports, "{throttled:?}");
}

#[tokio::test]
async fn many_certificates_at_once_are_hardly_throttled() {
    let Some((world, authority, sim)) = World::on_sim("paced", "moto has no quotas").await else { return };
    sim.quotas(&world.id).await;
    let (other, others_authority) = World::new("paced-too").await;
    sim.quotas(&other.id).await;
    tokio::join!(issue_many(&world, &authority, 15), issue_many(&other, &others_authority, 15));
    for world in [&world, &other] {
        hardly_throttled(&sim, world, 15).await;
        assert_eq!(sim.effective(&world.id, "ImportCertificate").await, 15);
        world.assert_paid(15).await;
    }
    // Some of them again, under the ARNs that they have.
    let names: Vec<String> = (0..5).map(|n| format!("app-{n}")).collect();
    join_all(names.iter().map(|name| async {
        world.renew(name).await;
        world.revision(name, 2).await;
    }))
    .await;
    hardly_throttled(&sim, &world, 20).await;
}

#[tokio::test]
async fn a_throttled_account_slows_no_other_and_goes_on_when_it_may() {
    let Some((world, authority, sim)) = World::on_sim("throttled", "moto makes no faults").await else { return };
    for operation in ["ImportCertificate", "IssueCertificate", "DescribeCertificate"] {
        sim.error(&world.id, operation, Some(2), 400, "ThrottlingException").await;
    }
    sim.error(&world.id, "ListTagsForCertificate", None, 429, "TooManyRequestsException").await;
    let names: Vec<String> = (0..8).map(|n| format!("app-{n}")).collect();
    join_all(names.iter().map(|name| world.certificate(name, &authority, to_acm()))).await;
    // Throttled for as long as it takes, while somebody else's certificates are issued and renewed.
    eventually("throttled", || async {
        if sim.throttled(&world.id).await.is_empty() { Err("nothing is throttled".to_owned()) } else { Ok(()) }
    })
    .await;
    let (other, others_authority) = World::new("unhindered").await;
    issue_many(&other, &others_authority, 3).await;
    other.renew("app-0").await;
    other.revision("app-0", 2).await;
    assert!(sim.throttled(&other.id).await.is_empty());
    sim.heal(&world.id).await;
    for name in &names {
        let certificate = world.ready(name).await;
        assert!(certificate.condition(STALLED).is_none());
    }
    world.assert_paid(names.len()).await;
    assert_eq!(sim.effective(&world.id, "ImportCertificate").await, names.len());
}

#[tokio::test]
async fn a_quota_that_is_used_up_is_told_and_not_hammered() {
    let Some((world, authority, sim)) = World::on_sim("used-up", "moto has no quotas").await else { return };
    sim.error(&world.id, "ImportCertificate", None, 400, "LimitExceededException").await;
    world.certificate("app", &authority, to_acm()).await;
    let certificate = world.stalled("app", "QuotaUsedUp").await;
    assert!(certificate.message(STALLED).contains("ask AWS for more"), "{}", certificate.message(STALLED));
    // Another one of the account that is issued and renewed shows that time went by.
    world.issued("other", &authority, json!({})).await;
    world.renew("other").await;
    world.revision("other", 2).await;
    assert_eq!(
        sim.calls(&world.id, "ImportCertificate").await.len(),
        1,
        "a permanent quota is not tried again at once"
    );
    // A person had it raised, and says so by a change.
    sim.heal(&world.id).await;
    world.change(&world.certificates(), "app", json!({ "spec": { "historyLimit": 9 } })).await;
    let certificate = until(&world.certificates(), "app", "delivered", |c| c.is(DELIVERED)).await;
    assert!(certificate.is(READY) && certificate.condition(STALLED).is_none());
    assert_eq!(sim.effective(&world.id, "ImportCertificate").await, 1);
}

#[tokio::test]
async fn credentials_that_end_in_mid_flow_are_read_again_without_a_word() {
    let Some((world, authority, sim)) = World::on_sim("ended", "moto makes no faults").await else { return };
    world.issued("app", &authority, to_acm()).await;
    for operation in ["IssueCertificate", "acm-pca:GetCertificate", "ImportCertificate", "DescribeCertificate"] {
        sim.error(&world.id, operation, Some(1), 400, "ExpiredTokenException").await;
    }
    world.renew("app").await;
    world.revision("app", 2).await;
    world.issued("new", &authority, to_acm()).await;
    let ended = ["IssueCertificate", "GetCertificate", "ImportCertificate", "DescribeCertificate"];
    for operation in ended {
        let calls = sim.calls(&world.id, operation).await;
        assert_eq!(calls.iter().filter(|call| call.outcome == "ExpiredTokenException").count(), 1, "{operation}");
    }
    let events: kube::Api<Event> = world.api();
    let events = events.list(&ListParams::default()).await.expect("events").items;
    let warnings: Vec<_> = events.iter().filter(|event| event.type_.as_deref() == Some("Warning")).collect();
    assert!(warnings.is_empty(), "{warnings:?}");
    world.assert_paid(3).await;
}
