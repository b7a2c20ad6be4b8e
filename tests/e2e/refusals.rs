//! What bad input gets: a clear refusal, nothing lost, nothing paid.
//!
//! What the schema refuses is in `schema.rs`, wrong credentials in `accounts.rs`, what ACM would refuse in `preflight.rs`.

use crate::{
    aws::Authority,
    harness::{REGIONS, World, random_account, secret_name},
    tls::csr,
    wait::{Conditions, until},
};
use arnkeeper::api::{
    Certificate,
    conditions::{READY, STALLED},
};
use k8s_openapi::api::core::v1::Secret;
use kube::{ResourceExt, api::DeleteParams};
use serde_json::json;

/// A request for this CSR is Stalled as invalid, and nothing is asked of AWS.
async fn refused_csr(test: &str, request: &str, told: &str) {
    let (world, authority) = World::new(test).await;
    world.request("app", &authority, json!({ "csr": request })).await;
    let stalled = world.request_stalled("app", "InvalidCsr").await;
    let message = stalled.message(STALLED);
    assert!(message.contains("spec.csr") && message.to_lowercase().contains(told), "{message}");
    world.assert_nothing_asked().await;
}

#[tokio::test]
async fn a_csr_that_is_no_csr() {
    let broken = "-----BEGIN CERTIFICATE REQUEST-----\nbm90IGEgQ1NS\n-----END CERTIFICATE REQUEST-----\n";
    refused_csr("no-csr", broken, "").await;
}

#[tokio::test]
async fn a_csr_with_broken_pem() {
    let (_, whole) = csr(&["app.example"]);
    refused_csr("broken-pem", &whole[..whole.len() / 2], "").await;
}

#[tokio::test]
async fn a_csr_whose_signature_is_not_its_keys() {
    let (_, whole) = csr(&["app.example"]);
    let mut der = crate::tls::Cert::all(&whole).swap_remove(0).0;
    let last = der.len() - 1;
    der[last] ^= 1;
    refused_csr("forged-csr", &crate::tls::pem("CERTIFICATE REQUEST", &der), "signature").await;
}

#[tokio::test]
async fn a_csr_without_names() {
    refused_csr("nameless", &csr(&[]).1, "name").await;
}

#[tokio::test]
async fn a_region_that_the_account_does_not_have() {
    let (world, authority) = World::new("region").await;
    let spec = json!({ "region": "ap-south-1", "source": { "privateCa": { "certificateAuthority": { "arn": null, "name": authority.name } } } });
    world.certificate("app", &authority, spec).await;
    let certificate = world.stalled("app", "RegionNotAllowed").await;
    let message = certificate.message(STALLED);
    assert!(message.contains("ap-south-1") && REGIONS.iter().all(|r| message.contains(r)), "{message}");
    world.assert_nothing_asked().await;
}

/// A Certificate from a CA of this ARN is Stalled, and nothing is asked of any CA.
async fn refused_authority(world: &World, authority: &Authority, arn: &str) {
    let ca = json!({ "arn": arn });
    world.certificate("app", authority, json!({ "source": { "privateCa": { "certificateAuthority": ca } } })).await;
    let stalled = |c: &Certificate| c.is(STALLED) && c.message(STALLED).contains(arn);
    until(&world.certificates(), "app", "Stalled, and the ARN is named", stalled).await;
    world.assert_nothing_asked().await;
}

#[tokio::test]
async fn a_ca_of_another_account_that_does_not_share_it() {
    let Some((world, authority, _)) = World::on_sim("foreign-ca", "moto does not tell what is whose").await else {
        return;
    };
    let other = World { id: random_account(), ..world.clone() };
    let theirs = Authority::new(&other, json!({})).await;
    refused_authority(&world, &authority, &theirs.arn).await;
    other.assert_nothing_asked().await;
}

#[tokio::test]
async fn a_ca_of_another_partition() {
    let Some((world, authority, _)) = World::on_sim("partition", "moto does not look at the partition").await else {
        return;
    };
    refused_authority(&world, &authority, &authority.arn.replacen("arn:aws:", "arn:aws-cn:", 1)).await;
}

#[tokio::test]
async fn a_ca_that_does_not_exist() {
    let Some((world, authority, _)) = World::on_sim("no-such-ca", "moto answers 500, as if it would pass").await else {
        return;
    };
    let (before, _) = authority.arn.rsplit_once('/').expect("an ARN");
    refused_authority(&world, &authority, &format!("{before}/00000000-0000-0000-0000-000000000000")).await;
}

#[tokio::test]
async fn a_duration_beyond_the_cas_end() {
    let (world, authority) = World::new("too-long").await;
    world.certificate("app", &authority, json!({ "duration": "175200h" })).await;
    // All CAs of moto are in short-lived mode, which says so first.
    let reason = if world.stand.sim().is_some() { "AuthorityEndsTooSoon" } else { "DurationTooLong" };
    world.stalled("app", reason).await;
    world.assert_nothing_asked().await;
}

/// Puts a Secret there that belongs to somebody else.
async fn foreign_secret(world: &World, name: &str) -> Secret {
    let object = json!({ "metadata": { "name": name }, "type": "Opaque", "stringData": { "theirs": "keep me" } });
    world.make(&world.secrets(), object).await
}

#[tokio::test]
async fn a_foreign_secret_is_never_overwritten_by_a_certificate() {
    let (world, authority) = World::new("foreign").await;
    let theirs = foreign_secret(&world, &secret_name("app")).await;
    world.certificate("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
    let certificate = world.stalled("app", "SecretConflict").await;
    assert!(certificate.message(STALLED).contains(&secret_name("app")));
    let now = world.secrets().get(&secret_name("app")).await.expect("the Secret");
    assert_eq!(now.resource_version(), theirs.resource_version());
    assert!(world.acm(REGIONS[0]).await.arns().await.is_empty());
    world.assert_nothing_asked().await;
}

#[tokio::test]
async fn a_foreign_secret_is_never_overwritten_by_a_request() {
    let (world, authority) = World::new("foreign-req").await;
    let theirs = foreign_secret(&world, "app-keys").await;
    let spec = json!({ "subject": { "domainName": world.domain("app") }, "secretName": "app-keys" });
    world.request("app", &authority, spec).await;
    world.request_stalled("app", "SecretConflict").await;
    let now = world.secrets().get("app-keys").await.expect("the Secret");
    assert_eq!(now.resource_version(), theirs.resource_version());
    world.assert_nothing_asked().await;
}

#[tokio::test]
async fn a_foreign_secret_is_taken_over_with_its_owners_consent() {
    let (world, authority) = World::new("consent").await;
    let object = json!({ "metadata": { "name": secret_name("app"), "annotations": { "arnkeeper.dev/adopt-by": "app" } },
        "type": "kubernetes.io/tls", "stringData": { "tls.crt": "", "tls.key": "" } });
    world.make(&world.secrets(), object).await;
    world.issued("app", &authority, json!({})).await;
    world.tls("app").await;
    world.assert_paid(1).await;
}

#[tokio::test]
async fn two_certificates_with_one_secret() {
    let (world, authority) = World::new("one-secret").await;
    world.issued("first", &authority, json!({ "secret": { "name": "shared" } })).await;
    let kept = world.secrets().get("shared").await.expect("the Secret");
    world.certificate("second", &authority, json!({ "secret": { "name": "shared" } })).await;
    let second = world.stalled("second", "SecretConflict").await;
    assert!(second.message(STALLED).contains("first"), "{}", second.message(STALLED));
    let now = world.secrets().get("shared").await.expect("the Secret");
    assert_eq!(now.data, kept.data);
    world.assert_paid(1).await;
}

#[tokio::test]
async fn a_namespace_that_the_account_does_not_allow_learns_nothing() {
    let (world, authority) = World::new("outside").await;
    let closed = json!({ "spec": { "allowedNamespaces": { "from": "Names", "names": ["another"] } } });
    world.change(&world.accounts(), &world.account, closed).await;
    world.certificate("closed", &authority, json!({})).await;
    world.certificate("missing", &authority, json!({ "accountRef": { "name": "there-is-no-such-account" } })).await;
    let closed = world.stalled("closed", "AccountNotAvailable").await;
    let missing = world.stalled("missing", "AccountNotAvailable").await;
    let told = closed.message(STALLED).replace(&*world.account, "there-is-no-such-account");
    assert_eq!(told, missing.message(STALLED), "the message tells whether the account exists");
    let (_, csr) = csr(&[&world.domain("app")]);
    world.request("asked", &authority, json!({ "csr": csr })).await;
    world.request_stalled("asked", "AccountNotAvailable").await;
    world.assert_nothing_asked().await;
}

#[tokio::test]
async fn an_account_opens_by_the_labels_of_a_namespace() {
    let (world, authority) = World::new("selector").await;
    let selector = json!({ "from": "Selector", "names": null, "selector": { "matchLabels": { "tier": "prod" } } });
    world.change(&world.accounts(), &world.account, json!({ "spec": { "allowedNamespaces": selector } })).await;
    world.certificate("app", &authority, json!({})).await;
    world.stalled("app", "AccountNotAvailable").await;
    world.change(&world.namespaces(), &world.namespace, json!({ "metadata": { "labels": { "tier": "prod" } } })).await;
    // A namespace's labels are read when the object is looked at: a change of the Certificate makes that be now.
    world.change(&world.certificates(), "app", json!({ "spec": { "historyLimit": 5 } })).await;
    world.ready("app").await;
}

#[tokio::test]
async fn a_denied_look_at_the_ca_names_the_iam_action() {
    let Some((world, authority, sim)) = World::on_sim("no-look", "moto denies nothing").await else { return };
    sim.deny(&world.id, &["acm-pca:DescribeCertificateAuthority"]).await;
    world.certificate("app", &authority, json!({})).await;
    let certificate = world.stalled("app", "AccessDenied").await;
    let message = certificate.message(STALLED);
    assert!(message.contains("acm-pca:DescribeCertificateAuthority"), "{message}");
    world.assert_nothing_asked().await;
    sim.allow(&world.id).await;
    world.change(&world.certificates(), "app", json!({ "spec": { "historyLimit": 5 } })).await;
    world.ready("app").await;
}

/// How long after its making an object told first that it is not Ready, in seconds.
fn told_after(certificate: &Certificate) -> i64 {
    let created = certificate.creation_timestamp().expect("a time").0;
    certificate.condition(READY).expect("a condition").last_transition_time.0.duration_since(created).as_secs()
}

#[tokio::test]
async fn that_an_account_is_not_there_is_told_soon_and_over_when_it_comes() {
    let world = World::bare("no-account").await;
    let authority = Authority::new(&world, json!({})).await;
    world.certificate("app", &authority, json!({})).await;
    let told = world.stalled("app", "AccountNotAvailable").await;
    assert!((2..8).contains(&told_after(&told)), "told after {} s", told_after(&told));
    world.open_account(json!({})).await;
    world.ready("app").await;
    world.assert_paid(1).await;
}

#[tokio::test]
async fn that_aws_can_not_be_reached_is_told_of_a_new_certificate_at_once() {
    let Some((world, authority, sim)) = World::on_sim("away", "moto makes no faults").await else { return };
    sim.error(&world.id, "DescribeCertificateAuthority", None, 503, "ServiceUnavailable").await;
    world.certificate("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
    let told = until(&world.certificates(), "app", "AwsUnavailable", |c| c.because(READY, "AwsUnavailable")).await;
    assert!(told_after(&told) < 8, "told after {} s", told_after(&told));
    assert!(
        told.condition(STALLED).is_none() && told.message(READY).contains("tried again"),
        "{}",
        told.message(READY)
    );
    sim.heal(&world.id).await;
    world.ready("app").await;
    world.assert_paid(1).await;
}

#[tokio::test]
async fn a_request_that_has_the_name_of_the_next_one_is_told_and_gone_when_it_is_deleted() {
    let (world, authority) = World::new("names-taken").await;
    let theirs = |name: String| {
        let csr = csr(&[&world.domain("theirs")]).1;
        world.request_manifest(&name, &authority, json!({ "csr": csr, "signature": null }))
    };
    for revision in 1..=8 {
        world.make(&world.requests(), theirs(format!("app-{revision}"))).await;
    }
    world.certificate("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
    world.stalled("app", "RequestConflict").await;
    world.assert_nothing_asked().await;
    world.requests().delete("app-5", &DeleteParams::default()).await.expect("it can be deleted");
    world.revision("app", 5).await;
    world.assert_paid(1).await;
}
