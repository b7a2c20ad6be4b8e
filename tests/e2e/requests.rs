//! CertificateRequest: made from a CSR or a subject, signed once.

use crate::{
    harness::World,
    tls::{Cert, Tls, csr, plain_serial},
    wait::{Conditions, gone, until},
};
use arnkeeper::api::{
    CertificateRequest,
    conditions::{READY, STALLED},
};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use rcgen::PublicKeyData;
use serde_json::json;
use std::collections::BTreeSet;

/// The certificate of a signed request.
fn certificate(request: &CertificateRequest) -> Cert {
    let status = request.status.as_ref().expect("a status");
    let leaf = Cert::first(status.certificate.as_deref().expect("a certificate"));
    assert_eq!(plain_serial(status.serial_number.as_deref().expect("a serial number")), leaf.serial());
    assert!(status.certificate_arn.is_some() && status.not_after > status.not_before);
    leaf
}

#[tokio::test]
async fn a_csr_is_signed_and_the_result_verified() {
    let (world, authority) = World::new("csr").await;
    let (one, two) = (world.domain("one"), world.domain("two"));
    let (key, csr) = csr(&[&one, &two]);
    world.request("app", &authority, json!({ "csr": csr })).await;
    let request = world.signed("app").await;
    let leaf = certificate(&request);
    assert_eq!(leaf.public_key(), key.subject_public_key_info());
    assert_eq!(leaf.dns_names(), BTreeSet::from([one, two]));
    assert!(leaf.is_signed_by(&authority.certificate));
    assert!(leaf.serves());
    let chain = Cert::all(request.status.as_ref().and_then(|s| s.chain.as_deref()).expect("a chain"));
    assert_eq!(chain.last(), Some(&authority.root), "the chain ends at the root");
    world.assert_paid(1).await;
}

#[tokio::test]
async fn a_subject_gets_a_key_in_the_named_secret() {
    let (world, authority) = World::new("subject").await;
    let subject = json!({ "domainName": world.domain("app"), "additionalNames": [world.domain("www")], "organization": "Example" });
    world.request("app", &authority, json!({ "subject": subject, "secretName": "app-keys" })).await;
    let request = world.signed("app").await;
    let tls = Tls::of(&world.secrets().get("app-keys").await.expect("the Secret"));
    assert_eq!(*tls.leaf(), certificate(&request));
    assert_eq!(tls.leaf().dns_names(), BTreeSet::from([world.domain("app"), world.domain("www")]));
    assert_eq!(tls.authorities, [authority.root]);
    gone::<Secret>(&world.secrets(), "app-key").await;
    world.assert_paid(1).await;
}

#[tokio::test]
async fn the_secret_of_a_request_outlives_it() {
    let (world, authority) = World::new("outlives").await;
    let spec = json!({ "subject": { "domainName": world.domain("app") }, "secretName": "app-keys" });
    world.request("app", &authority, spec).await;
    world.signed("app").await;
    world.requests().delete("app", &kube::api::DeleteParams::foreground()).await.expect("it can be deleted");
    gone(&world.requests(), "app").await;
    Tls::of(&world.secrets().get("app-keys").await.expect("the Secret is still there"));
}

#[tokio::test]
async fn a_ca_can_be_named_by_its_common_name() {
    let (world, authority) = World::new("by-name").await;
    let (_, csr) = csr(&[&world.domain("app")]);
    let by_name = json!({ "arn": null, "name": authority.name });
    world.request("app", &authority, json!({ "csr": csr, "certificateAuthority": by_name })).await;
    assert!(certificate(&world.signed("app").await).is_signed_by(&authority.certificate));
    let unknown = json!({ "arn": null, "name": "Nobody's CA" });
    world.request("lost", &authority, json!({ "csr": csr, "certificateAuthority": unknown })).await;
    let lost = world.request_stalled("lost", "AuthorityNotFound").await;
    assert!(lost.message(STALLED).contains("Nobody's CA"), "{}", lost.message(STALLED));
    world.assert_paid(1).await;
}

#[tokio::test]
async fn a_request_waits_for_its_signature_which_is_given_once() {
    let (world, authority) = World::new("signature").await;
    let (_, csr) = csr(&[&world.domain("app")]);
    world.request("app", &authority, json!({ "csr": csr, "signature": null })).await;
    let waiting =
        until(&world.requests(), "app", "WaitingForSignature", |r| r.because(READY, "WaitingForSignature")).await;
    assert!(waiting.condition(STALLED).is_none(), "to wait is not to be stalled");
    world.assert_nothing_asked().await;
    let sign = |text: &str| json!({ "spec": { "signature": { "justification": text, "reason": "Renewal", "governanceCode": "CHG-1234" } } });
    world.change(&world.requests(), "app", sign("wanted")).await;
    world.signed("app").await;
    for change in [sign("wanted otherwise"), json!({ "spec": { "signature": null } })] {
        let refused = patch(&world.requests(), "app", &change).await;
        assert!(refused.contains("signature"), "{refused}");
    }
    world.assert_paid(1).await;
}

#[tokio::test]
async fn the_spec_of_a_request_can_not_change() {
    let (world, authority) = World::new("immutable").await;
    let (_, csr) = csr(&[&world.domain("app")]);
    world.request("app", &authority, json!({ "csr": csr, "signature": null })).await;
    for change in [json!({ "duration": "24h" }), json!({ "region": "us-east-1" }), json!({ "tags": { "team": "pay" } })]
    {
        let refused = patch(&world.requests(), "app", &json!({ "spec": change })).await;
        assert!(refused.contains("spec"), "{refused}");
    }
}

/// The message by which a change is refused.
async fn patch(requests: &Api<CertificateRequest>, name: &str, change: &serde_json::Value) -> String {
    let answer = requests.patch(name, &PatchParams::default(), &Patch::Merge(change)).await;
    answer.expect_err("the change is refused").to_string()
}

#[tokio::test]
async fn a_second_request_of_the_same_name_gets_a_certificate_of_its_own() {
    let (world, authority) = World::new("again").await;
    let (_, csr) = csr(&[&world.domain("app")]);
    world.request("app", &authority, json!({ "csr": csr })).await;
    let first = certificate(&world.signed("app").await);
    world.requests().delete("app", &kube::api::DeleteParams::default()).await.expect("it can be deleted");
    gone(&world.requests(), "app").await;
    world.request("app", &authority, json!({ "csr": csr })).await;
    assert_ne!(certificate(&world.signed("app").await).serial(), first.serial());
    world.assert_paid(2).await;
}
