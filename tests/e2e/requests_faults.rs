//! CertificateRequest when AWS is late, silent, overloaded or wrong: one payment, and nothing believed unseen.

use crate::{
    aws::Authority,
    harness::World,
    sim::Sim,
    tls::csr,
    wait::{Conditions, eventually, until},
};
use arnkeeper::api::{
    Certificate,
    conditions::{DELIVERED, READY, STALLED},
};
use futures::future::join_all;
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

/// The CA takes its time: each pause is longer than the one before. Ten minutes of it are in the unit tests.
#[tokio::test]
async fn what_takes_long_is_asked_for_less_and_less() {
    let Some((world, authority, sim, csr)) = faulty("slow").await else { return };
    sim.error(&world.id, "GetCertificate", None, 400, "RequestInProgressException").await;
    world.request("app", &authority, json!({ "csr": csr })).await;
    let looks = eventually("four looks", || async {
        let looks = sim.calls(&world.id, "GetCertificate").await;
        if looks.len() >= 4 { Ok(looks) } else { Err(format!("{looks:?}")) }
    })
    .await;
    let pauses: Vec<_> = looks.windows(2).map(|pair| pair[1].at.duration_since(pair[0].at).as_millis()).collect();
    assert!(pauses.iter().zip([500, 1000, 2000]).all(|(pause, least)| *pause >= least - 20), "{pauses:?}");
    let waiting = world.requests().get("app").await.expect("the request");
    assert!(waiting.because(READY, "Issuing") && waiting.condition(STALLED).is_none());
    assert!(waiting.message(READY).contains("fetched as soon as it is there"), "{}", waiting.message(READY));
    sim.heal(&world.id).await;
    world.signed("app").await;
    world.assert_paid(1).await;
}

/// Which keys a CA signs for is not known here (one that this operator takes is signed by a CA of either family): its answer tells. It
/// holds for this CSR, and for no other.
#[tokio::test]
async fn a_key_that_the_ca_does_not_sign_for_is_told_once_and_another_is_signed() {
    let codes = ["MalformedCSRException", "InvalidArgsException", "ValidationException"];
    let each = codes.into_iter().enumerate().map(async |(n, code)| {
        let Some((world, authority, sim, csr)) = faulty(&format!("unsigned-{n}")).await else { return };
        // The account's own news would wake whoever waits for a person.
        world.account_looked_at().await;
        let words = "The public key of the CSR is not supported";
        // Once: whoever asks again is let in.
        let refusal = json!({ "kind": "error", "code": code, "status": 400, "message": words });
        sim.fault(&world.id, "IssueCertificate", Some(1), refusal.clone()).await;
        world.request("app", &authority, json!({ "csr": csr })).await;
        let told = world.request_stalled("app", "RefusedByAws").await;
        for word in ["acm-pca:IssueCertificate", code, words, "correct what these words name"] {
            assert!(told.message(STALLED).contains(word), "{}", told.message(STALLED));
        }
        assert!(!told.is(READY));
        let (_, another) = crate::tls::csr(&[&world.domain("another")]);
        world.request("another", &authority, json!({ "csr": another })).await;
        world.signed("another").await;
        // The same of a Certificate; with another key it goes on.
        sim.fault(&world.id, "IssueCertificate", Some(1), refusal).await;
        world.certificate("kept", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
        let stalled = world.stalled("kept", "RequestStalled").await;
        let message = stalled.message(STALLED);
        assert!(message.contains(code) && message.contains("acm-pca:IssueCertificate"), "{message}");
        assert_eq!(sim.calls(&world.id, "IssueCertificate").await.len(), 3, "{code}: asked for again");
        let key = json!({ "spec": { "privateKey": authority.other_size() } });
        world.change(&world.certificates(), "kept", key).await;
        let kept =
            until(&world.certificates(), "kept", "delivered", |c: &Certificate| c.is(READY) && c.is(DELIVERED)).await;
        assert!(kept.condition(STALLED).is_none());
        // Many seconds later, nobody asked for the first one again.
        assert_eq!(sim.calls(&world.id, "IssueCertificate").await.len(), 4, "{code}: asked for again");
        let first = world.requests().get("app").await.expect("the request");
        assert!(first.because(STALLED, "RefusedByAws") && first.status.is_some_and(|s| s.certificate_arn.is_none()));
        world.assert_paid(2).await;
    });
    join_all(each).await;
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
