//! CertificateRequest when AWS is late, silent, overloaded or wrong: one payment, and nothing believed unseen.

use crate::{
    aws::Authority,
    harness::World,
    sim::Sim,
    tls::csr,
    wait::{Conditions, until},
};
use arnkeeper::api::{
    Certificate,
    conditions::{DELIVERED, READY, STALLED},
};
use serde_json::json;

/// A world on aws-sim, and the CSR for a request in it.
async fn faulty(test: &str) -> Option<(World, Authority, Sim, String)> {
    let (world, authority, sim) = World::on_sim(test, "moto makes no faults").await?;
    let (_, csr) = csr(&[&world.domain("app")]);
    Some((world, authority, sim, csr))
}

#[tokio::test]
async fn a_certificate_that_is_in_progress_is_waited_for() {
    let Some((world, authority, sim, csr)) = faulty("in-progress").await else { return };
    sim.error(&world.id, "GetCertificate", Some(3), 400, "RequestInProgressException").await;
    world.request("app", &authority, json!({ "csr": csr })).await;
    let request = world.signed("app").await;
    assert!(request.condition(STALLED).is_none());
    world.assert_paid(1).await;
    let calls = sim.calls(&world.id, "GetCertificate").await;
    assert!(calls.iter().filter(|c| c.outcome == "RequestInProgressException").count() >= 3, "{calls:?}");
}

#[tokio::test]
async fn a_lost_answer_of_issue_certificate_is_paid_for_once() {
    let Some((world, authority, sim, csr)) = faulty("lost-issue").await else { return };
    sim.fault(&world.id, "IssueCertificate", Some(1), json!({ "kind": "dropReply" })).await;
    world.request("app", &authority, json!({ "csr": csr })).await;
    world.signed("app").await;
    assert!(sim.calls(&world.id, "IssueCertificate").await.len() >= 2, "the lost answer was asked for again");
    world.assert_paid(1).await;
}

#[tokio::test]
async fn a_lost_call_of_issue_certificate_is_made_again() {
    let Some((world, authority, sim, csr)) = faulty("lost-call").await else { return };
    sim.fault(&world.id, "IssueCertificate", Some(1), json!({ "kind": "dropRequest" })).await;
    world.request("app", &authority, json!({ "csr": csr })).await;
    world.signed("app").await;
    world.assert_paid(1).await;
}

#[tokio::test]
async fn throttling_and_faults_of_aws_pass() {
    let Some((world, authority, sim, csr)) = faulty("throttled").await else { return };
    sim.error(&world.id, "IssueCertificate", Some(2), 400, "ThrottlingException").await;
    sim.error(&world.id, "GetCertificate", Some(2), 500, "InternalFailure").await;
    sim.error(&world.id, "DescribeCertificateAuthority", Some(2), 503, "ServiceUnavailable").await;
    world.request("app", &authority, json!({ "csr": csr })).await;
    let request = world.signed("app").await;
    assert!(request.condition(STALLED).is_none());
    world.assert_paid(1).await;
}

#[tokio::test]
async fn a_wrong_certificate_is_not_believed() {
    let Some((world, authority, sim, csr)) = faulty("wrong").await else { return };
    sim.fault(&world.id, "GetCertificate", None, json!({ "kind": "wrongCertificate" })).await;
    world.request("app", &authority, json!({ "csr": csr })).await;
    let request = world.request_stalled("app", "Failed").await;
    let status = request.status.expect("a status");
    assert!(status.certificate.is_none() && status.serial_number.is_none(), "the wrong certificate was stored");
    world.assert_paid(1).await;
}

#[tokio::test]
async fn a_wrong_certificate_reaches_neither_secret_nor_acm() {
    let Some((world, authority, sim, _)) = faulty("wrong-renewal").await else { return };
    world.issued("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
    let before = world.tls("app").await;
    sim.fault(&world.id, "GetCertificate", None, json!({ "kind": "wrongCertificate" })).await;
    world.renew("app").await;
    let certificate = world.stalled("app", "RequestStalled").await;
    assert!(certificate.is(READY), "the old one still works");
    assert_eq!(world.tls("app").await.certificates, before.certificates);
    let arn = crate::harness::arn(&certificate, "edge");
    assert_eq!(world.acm(crate::harness::REGIONS[0]).await.certificate(&arn).await, *before.leaf());
    sim.heal(&world.id).await;
    world.renew("app").await;
    let newer = |c: &Certificate| c.status.as_ref().is_some_and(|s| s.revision > Some(1));
    let renewed = until(&world.certificates(), "app", "renewed", |c| {
        newer(c) && c.condition(STALLED).is_none() && c.is(DELIVERED)
    })
    .await;
    assert_eq!(crate::harness::arn(&renewed, "edge"), arn);
    assert_ne!(world.tls("app").await.certificates, before.certificates);
}

#[tokio::test]
async fn a_denied_signature_names_the_iam_action() {
    let Some((world, authority, sim, csr)) = faulty("denied").await else { return };
    sim.deny(&world.id, &["acm-pca:IssueCertificate"]).await;
    world.request("app", &authority, json!({ "csr": csr })).await;
    let request = world.request_stalled("app", "AccessDenied").await;
    assert!(request.message(STALLED).contains("acm-pca:IssueCertificate"), "{}", request.message(STALLED));
    world.assert_paid(0).await;
}

#[tokio::test]
async fn a_disabled_ca_is_told_before_it_is_asked() {
    let why = "moto does not give the certificate of a disabled CA, as AWS does";
    let Some((world, authority, sim)) = World::on_sim("ca-disabled", why).await else { return };
    sim.authority_state(&authority.arn, "DISABLED").await;
    let (_, csr) = csr(&[&world.domain("app")]);
    world.request("app", &authority, json!({ "csr": csr })).await;
    world.request_stalled("app", "AuthorityDisabled").await;
    world.assert_nothing_asked().await;
}

/// What was seen of a CA is used for a minute: what happens to it meanwhile is told all the same.
#[tokio::test]
async fn a_ca_that_was_disabled_a_moment_ago_is_told_as_that() {
    let Some((world, authority, sim, csr)) = faulty("just-disabled").await else { return };
    world.issued("seen", &authority, json!({})).await;
    sim.authority_state(&authority.arn, "DISABLED").await;
    world.request("app", &authority, json!({ "csr": csr })).await;
    let request = world.request_stalled("app", "AuthorityDisabled").await;
    let message = request.message(STALLED);
    assert!(message.contains(&authority.arn) && message.contains("enable it"), "{message}");
    world.certificate("late", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
    let why = until(&world.certificates(), "late", "it tells the CA's state", |c: &Certificate| {
        c.is(STALLED) && c.message(STALLED).contains("somebody has to enable it")
    })
    .await;
    assert!(["AuthorityDisabled", "RequestStalled"].iter().any(|reason| why.because(STALLED, reason)));
    world.assert_paid(1).await;
}
