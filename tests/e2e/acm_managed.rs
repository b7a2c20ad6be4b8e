//! A certificate that ACM issues from a private CA, holds the key of and renews; and its way into a Secret.

use crate::{
    aws::{Authority, View},
    harness::{REGIONS, World, arn, from, secret_name, target},
    schema::refused,
    sim::Sim,
    tls::plain_serial,
    wait::{Conditions, eventually, gone, until},
};
use arnkeeper::{
    api::{
        AwsAccount, Certificate,
        conditions::{DELIVERED, READY, STALLED},
    },
    pki::{algorithm::KeyAlgorithm, key::PrivateKey},
};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use std::{
    io::Write as _,
    process::{Command, Stdio},
    slice::from_ref,
};

const WHY: &str = "moto's CAs are all in short-lived mode, from which ACM does not issue";

/// What goes over the usual spec.
pub fn managed(authority: &Authority, more: &Value) -> Value {
    let mut spec = json!({
        "duration": null, "secret": null, "acm": [{ "name": "edge", "tags": { "team": "pay" } }],
        "source": { "privateCa": null, "acmManaged": { "certificateAuthority": { "arn": authority.arn } } },
    });
    for (field, value) in more.as_object().into_iter().flatten() {
        spec[field] = value.clone();
    }
    spec
}

async fn world(test: &str) -> Option<(World, Authority, Sim, View)> {
    let (world, authority, sim) = World::on_sim(test, WHY).await?;
    let acm = world.acm(REGIONS[0]).await;
    Some((world, authority, sim, acm))
}

/// A Secret for the Certificate `app`, into which it is exported.
pub fn exported() -> Value {
    json!({ "secret": { "name": secret_name("app") } })
}

/// The operator looks at ACM again: it does so once a day, and when the spec changes.
async fn look(world: &World, limit: i32) {
    world.change(&world.certificates(), "app", json!({ "spec": { "historyLimit": limit } })).await;
}

fn trigger(certificate: &Certificate) -> &str {
    certificate.status.as_ref().and_then(|s| s.history.first()).map_or("", |h| h.trigger.as_str())
}

/// The Secret and ACM have the same certificate, under this ARN, and the status tells of it.
async fn assert_in_secret(world: &World, acm: &View, certificate: &Certificate, expected: &str) {
    assert_eq!(arn(certificate, "edge"), expected);
    assert_eq!(acm.arns().await, [expected], "there is no second one");
    let tls = world.tls("app").await;
    assert_eq!(*tls.leaf(), acm.certificate(expected).await);
    let status = certificate.status.as_ref().expect("a status");
    assert_eq!(plain_serial(status.serial_number.as_deref().unwrap_or_default()), tls.leaf().serial());
    assert_eq!(status.serial_number, target(certificate, "edge").serial_number);
}

#[tokio::test]
async fn acm_issues_it_and_no_key_enters_the_cluster() {
    let Some((world, authority, sim, acm)) = world("managed").await else { return };
    crate::harness::let_publish(&world.stand.client, &world.namespace).await;
    let config: ConfigMap = from(json!({ "metadata": { "name": "arns", "namespace": world.namespace } }));
    world.api::<ConfigMap>().create(&kube::api::PostParams::default(), &config).await.expect("a ConfigMap");
    let publish = json!([{ "target": "edge", "kind": "ConfigMap", "name": "arns", "configMapKey": "app" }]);
    let names = json!({ "domainName": world.domain("app"), "additionalNames": [world.domain("www")] });
    world.certificate("app", &authority, managed(&authority, &json!({ "publish": publish, "subject": names }))).await;
    let certificate = world.ready("app").await;

    let arn = arn(&certificate, "edge");
    assert_eq!(acm.arns().await, from_ref(&arn));
    let there = acm.certificate(&arn).await;
    assert!(there.is_signed_by(&authority.certificate));
    assert_eq!(there.dns_names(), [world.domain("app"), world.domain("www")].into());
    let tags = acm.tags(&arn).await;
    for (key, value) in [("arnkeeper.dev/target", "edge"), ("arnkeeper.dev/name", "app"), ("team", "pay")] {
        assert_eq!(tags.get(key).map(String::as_str), Some(value), "{tags:?}");
    }
    let status = certificate.status.clone().expect("a status");
    assert_eq!(plain_serial(status.serial_number.as_deref().unwrap_or_default()), there.serial());
    assert_eq!((status.revision, trigger(&certificate), status.fingerprint.as_deref()), (Some(1), "Issued", None));
    assert_eq!(status.managed.as_ref().map(|m| m.state.as_str()), Some("ISSUED"));
    assert!(certificate.is(DELIVERED) && certificate.condition(STALLED).is_none());
    assert!(world.secrets().list(&ListParams::default()).await.expect("a list").items.is_empty());
    assert!(world.requests().list(&ListParams::default()).await.expect("a list").items.is_empty());
    assert_eq!(sim.effective(&world.id, "RequestCertificate").await, 1);
    assert!(sim.calls(&world.id, "ExportCertificate").await.is_empty());
    world.assert_nothing_asked().await;
    eventually("the ARN is published", || async {
        let config = world.api::<ConfigMap>().get("arns").await.map_err(|e| e.to_string())?;
        let there = config.data.and_then(|data| data.get("app").cloned());
        if there.as_ref() == Some(&arn) { Ok(()) } else { Err(format!("{there:?}")) }
    })
    .await;
}

#[tokio::test]
async fn its_key_is_exported_and_every_renewal_too_under_the_same_arn() {
    let Some((world, authority, sim, acm)) = world("managed-export").await else { return };
    let secret = json!({ "name": secret_name("app"), "template": { "labels": { "team": "pay" } } });
    world.certificate("app", &authority, managed(&authority, &json!({ "secret": secret }))).await;
    let certificate = world.revision("app", 1).await;
    let arn = arn(&certificate, "edge");
    assert_in_secret(&world, &acm, &certificate, &arn).await;
    let first = world.tls("app").await;
    let stored = world.secrets().get(&secret_name("app")).await.expect("the Secret");
    assert_eq!(stored.labels().get("team").map(String::as_str), Some("pay"));
    assert_eq!(first.authorities, from_ref(&authority.certificate));
    let status = certificate.status.as_ref().expect("a status");
    assert!(status.renewal_time.is_some() && status.fingerprint.is_some());
    assert_eq!(status.managed.as_ref().and_then(|m| m.renewal_eligibility.as_deref()), Some("ELIGIBLE"));

    // ACM renews by itself.
    sim.managed_renewal(&arn).await;
    look(&world, 9).await;
    let renewed = world.revision("app", 2).await;
    assert_in_secret(&world, &acm, &renewed, &arn).await;
    assert_eq!(trigger(&renewed), "ManagedRenewal");
    let second = world.tls("app").await;
    assert_ne!((second.leaf().serial(), &second.key), (first.leaf().serial(), &first.key));

    // A person asks for it.
    world.renew("app").await;
    let asked = world.revision("app", 3).await;
    assert_in_secret(&world, &acm, &asked, &arn).await;
    assert_eq!(trigger(&asked), "Requested");
    assert_eq!(sim.effective(&world.id, "RenewCertificate").await, 1);
    assert_eq!(sim.effective(&world.id, "RequestCertificate").await, 1);
    assert!(asked.is(READY) && asked.condition(STALLED).is_none());

    // A lost Secret is filled again, without a new certificate.
    world.secrets().delete(&secret_name("app"), &DeleteParams::default()).await.expect("it is deleted");
    look(&world, 8).await;
    eventually("the Secret is there again", || async {
        world.secrets().get(&secret_name("app")).await.map(drop).map_err(|e| e.to_string())
    })
    .await;
    assert_in_secret(&world, &acm, &world.revision("app", 3).await, &arn).await;
}

#[tokio::test]
async fn what_acm_may_not_renew_is_told_when_a_person_asks_for_it() {
    let Some((world, authority, sim, acm)) = world("managed-ask").await else { return };
    world.certificate("app", &authority, managed(&authority, &json!({}))).await;
    let arn = arn(&world.ready("app").await, "edge");
    let first = acm.certificate(&arn).await;
    world.renew("app").await;
    let certificate = world.stalled("app", "RenewalIneligible").await;
    assert!(certificate.is(READY), "what is there is valid");
    assert!(certificate.message(STALLED).contains("spec.secret"), "{}", certificate.message(STALLED));
    assert!(sim.calls(&world.id, "RenewCertificate").await.is_empty());
    // Once a load balancer uses it, it is renewed.
    sim.in_use(&arn, &["arn:aws:elasticloadbalancing:x"]).await;
    look(&world, 9).await;
    let renewed = world.revision("app", 2).await;
    assert_eq!((trigger(&renewed), renewed.condition(STALLED)), ("Requested", None));
    assert_eq!(target(&renewed, "edge").in_use_by, ["arn:aws:elasticloadbalancing:x"]);
    assert_ne!(acm.certificate(&arn).await, first);
    assert_eq!(acm.arns().await, [arn]);
}

#[tokio::test]
async fn why_acm_can_not_issue_is_told_and_it_goes_on_when_that_is_mended() {
    let Some((world, authority, sim, acm)) = world("managed-failed").await else { return };
    sim.acm_failure(&world.id, REGIONS[0], Some("PCA_ACCESS_DENIED")).await;
    world.certificate("app", &authority, managed(&authority, &exported())).await;
    let certificate = world.stalled("app", "IssuanceFailed").await;
    let message = certificate.message(STALLED);
    assert!(message.contains("PCA_ACCESS_DENIED") && message.contains("CreatePermission"), "{message}");
    assert!(!certificate.is(READY));
    assert!(sim.calls(&world.id, "ExportCertificate").await.is_empty());
    let failed = arn(&certificate, "edge");
    sim.acm_failure(&world.id, REGIONS[0], None).await;
    world.renew("app").await;
    let certificate = world.revision("app", 1).await;
    let arn = arn(&certificate, "edge");
    assert_ne!(arn, failed, "ACM can't take a failed request up again");
    assert_in_secret(&world, &acm, &certificate, &arn).await;
    assert!(certificate.condition(STALLED).is_none());
    assert_eq!(sim.effective(&world.id, "RequestCertificate").await, 2);
}

/// Somebody, or some program, asks for another one each time that one failed.
#[tokio::test]
async fn a_loop_that_asks_for_what_fails_is_stopped_at_the_budget() {
    let Some((world, authority, sim, acm)) = world("managed-loop").await else { return };
    sim.acm_failure(&world.id, REGIONS[0], Some("PCA_ACCESS_DENIED")).await;
    let spec = managed(&authority, &json!({ "budget": { "issuesPerDay": 3 } }));
    world.certificate("app", &authority, spec).await;
    let failed = |c: &Certificate, n: usize| c.because(STALLED, "IssuanceFailed") && asked(c) == n;
    let mut certificate = until(&world.certificates(), "app", "it failed once", |c: &Certificate| failed(c, 1)).await;
    for n in 2..=3 {
        let before = arn(&certificate, "edge");
        world.renew("app").await;
        let again = |c: &Certificate| failed(c, n);
        certificate = until(&world.certificates(), "app", "it failed again", again).await;
        assert_ne!(arn(&certificate, "edge"), before);
    }
    // What tells of it in the status is taken away, and comes back.
    world.wipe_status("app").await;
    world.renew("app").await;
    let spent = |c: &Certificate| c.because(STALLED, "BudgetSpent") && asked(c) == 3;
    let certificate = until(&world.certificates(), "app", "Stalled: BudgetSpent, three counted", spent).await;
    let message = certificate.message(STALLED);
    assert!(message.contains("3 certificates") && message.contains("spec.budget.issuesPerDay"), "{message}");
    assert_eq!(acm.arns().await.len(), 1, "the last one is there to be looked at");
    assert_eq!(sim.effective(&world.id, "RequestCertificate").await, 3);
    // A greater budget counts at once.
    sim.acm_failure(&world.id, REGIONS[0], None).await;
    world.change(&world.certificates(), "app", json!({ "spec": { "budget": { "issuesPerDay": 4 } } })).await;
    let certificate = world.ready("app").await;
    assert_eq!((asked(&certificate), certificate.condition(STALLED)), (4, None));
    assert_eq!(sim.effective(&world.id, "RequestCertificate").await, 4);
}

/// How often ACM was asked, by the status.
pub fn asked(certificate: &Certificate) -> usize {
    certificate.status.as_ref().and_then(|s| s.managed.as_ref()).map_or(0, |m| m.asked.len())
}

/// It goes and comes back, and its certificate in ACM, too: the account counts on.
#[tokio::test]
async fn the_budget_of_the_account_counts_what_acm_is_asked_for() {
    let Some((world, authority, sim, acm)) = world("managed-account").await else { return };
    world.change(&world.accounts(), &world.account, json!({ "spec": { "budget": { "issuesPerDay": 2 } } })).await;
    for _ in 0..2 {
        let entry = json!([{ "name": "edge", "deletionPolicy": "Delete" }]);
        world.certificate("app", &authority, managed(&authority, &json!({ "acm": entry }))).await;
        world.ready("app").await;
        world.certificates().delete("app", &DeleteParams::default()).await.expect("it can be deleted");
        gone(&world.certificates(), "app").await;
        assert!(acm.arns().await.is_empty());
    }
    world.certificate("app", &authority, managed(&authority, &json!({}))).await;
    let certificate = world.stalled("app", "BudgetSpent").await;
    let message = certificate.message(STALLED);
    assert!(message.contains("2 certificates") && message.contains(&*world.account), "{message}");
    let told = |a: &AwsAccount| a.is(READY) && a.because(STALLED, "BudgetSpent");
    until(&world.accounts(), &world.account, "Stalled: BudgetSpent", told).await;
    assert_eq!((sim.effective(&world.id, "RequestCertificate").await, asked(&certificate)), (2, 0));
    world.change(&world.accounts(), &world.account, json!({ "spec": { "budget": { "issuesPerDay": 3 } } })).await;
    world.ready("app").await;
    assert_eq!(sim.effective(&world.id, "RequestCertificate").await, 3);
}

#[tokio::test]
async fn why_acm_can_not_renew_is_told_and_the_old_one_stays() {
    let Some((world, authority, sim, acm)) = world("managed-unrenewed").await else { return };
    world.certificate("app", &authority, managed(&authority, &exported())).await;
    let arn = arn(&world.revision("app", 1).await, "edge");
    sim.acm_failure(&world.id, REGIONS[0], Some("PCA_INVALID_STATE")).await;
    sim.managed_renewal(&arn).await;
    look(&world, 9).await;
    let certificate = world.stalled("app", "RenewalFailed").await;
    let message = certificate.message(STALLED);
    assert!(message.contains("PCA_INVALID_STATE") && message.contains("enable it"), "{message}");
    assert!(certificate.is(READY));
    assert_in_secret(&world, &acm, &certificate, &arn).await;
}

#[tokio::test]
async fn it_stays_in_acm_unless_it_is_to_be_deleted_and_is_not_in_use() {
    let Some((world, authority, sim, acm)) = world("managed-delete").await else { return };
    world.certificate("app", &authority, managed(&authority, &json!({}))).await;
    let first = arn(&world.ready("app").await, "edge");
    world.certificates().delete("app", &DeleteParams::default()).await.expect("it can be deleted");
    gone(&world.certificates(), "app").await;
    assert_eq!(acm.arns().await, from_ref(&first));
    // Made again, it goes on with it.
    let acm_entry = json!([{ "name": "edge", "deletionPolicy": "Delete" }]);
    world.certificate("app", &authority, managed(&authority, &json!({ "acm": acm_entry }))).await;
    assert_eq!(arn(&world.ready("app").await, "edge"), first);
    assert_eq!(sim.effective(&world.id, "RequestCertificate").await, 1);
    sim.in_use(&first, &["arn:aws:elasticloadbalancing:x"]).await;
    world.certificates().delete("app", &DeleteParams::default()).await.expect("it can be deleted");
    let told = |c: &Certificate| c.because(READY, "Deleting") && c.message(READY).contains("InUse");
    until(&world.certificates(), "app", "it is told that the certificate is in use", told).await;
    assert_eq!(acm.arns().await, from_ref(&first));
    sim.in_use(&first, &[]).await;
    gone(&world.certificates(), "app").await;
    assert!(acm.arns().await.is_empty());
}

#[tokio::test]
async fn a_lost_answer_makes_no_second_arn() {
    let Some((world, authority, sim, acm)) = world("managed-lost").await else { return };
    sim.fault(&world.id, "RequestCertificate", Some(1), json!({ "kind": "dropReply" })).await;
    world.certificate("app", &authority, managed(&authority, &exported())).await;
    until(&world.certificates(), "app", "the answer is lost", |c| c.message(READY).contains("answer is not known"))
        .await;
    let certificate = world.revision("app", 1).await;
    assert_in_secret(&world, &acm, &certificate, &arn(&certificate, "edge")).await;
    assert_eq!(sim.effective(&world.id, "RequestCertificate").await, 1);
}

#[tokio::test]
async fn what_somebody_deleted_in_acm_is_requested_again() {
    let Some((world, authority, sim, acm)) = world("managed-gone").await else { return };
    world.certificate("app", &authority, managed(&authority, &json!({}))).await;
    let first = arn(&world.ready("app").await, "edge");
    // For a minute after it was requested, ACM may just not show it.
    acm.delete(&first).await;
    look(&world, 9).await;
    let told = |c: &Certificate| {
        c.is(READY)
            && c.status
                .as_ref()
                .is_some_and(|s| s.targets.iter().any(|t| t.arn.as_ref().is_some_and(|a| a.as_str() != first)))
    };
    let certificate = until(&world.certificates(), "app", "another one is there", told).await;
    assert_eq!(acm.arns().await, [arn(&certificate, "edge")]);
    assert_eq!(sim.effective(&world.id, "RequestCertificate").await, 2);
}

#[tokio::test]
async fn a_secret_that_is_not_ours_is_told_before_anything_is_requested() {
    let Some((world, authority, sim, _)) = world("managed-taken").await else { return };
    let theirs = json!({ "metadata": { "name": secret_name("app") }, "type": "Opaque", "stringData": { "a": "b" } });
    world.make(&world.secrets(), theirs).await;
    world.certificate("app", &authority, managed(&authority, &exported())).await;
    world.stalled("app", "SecretConflict").await;
    assert!(sim.calls(&world.id, "RequestCertificate").await.is_empty());
}

#[tokio::test]
async fn a_ca_in_short_lived_mode_is_refused_before_anything_is_requested() {
    let world = World::bare("managed-short").await;
    let authority = Authority::new(&world, json!({ "usageMode": "SHORT_LIVED_CERTIFICATE" })).await;
    world.open_account(json!({})).await;
    world.certificate("app", &authority, managed(&authority, &json!({}))).await;
    let certificate = world.stalled("app", "AuthorityShortLived").await;
    assert!(certificate.message(STALLED).contains("source.privateCa"), "{}", certificate.message(STALLED));
    assert!(world.acm(REGIONS[0]).await.arns().await.is_empty());
}

#[tokio::test]
async fn what_acm_does_not_take_is_refused() {
    let ca = "arn:aws:acm-pca:eu-west-1:111122223333:certificate-authority/12345678-1234-1234-1234-123456789012";
    let base = json!({ "apiVersion": "arnkeeper.dev/v1beta1", "kind": "Certificate",
        "metadata": { "name": "schema", "namespace": "default" }, "spec": {
            "accountRef": { "name": "prod" }, "region": "eu-west-1",
            "source": { "acmManaged": { "certificateAuthority": { "arn": ca } } },
            "subject": { "domainName": "app.pay.example", "additionalNames": ["www.pay.example"] },
            "privateKey": { "algorithm": "ECDSA", "size": 384, "encoding": "PKCS1" }, "budget": { "issuesPerDay": 3 },
            "acm": [{ "name": "edge", "tags": { "team": "pay" }, "deletionPolicy": "Delete" }],
        } });
    let subject: &[&str] = &["with source.acmManaged, subject", "additionalNames"];
    let decides: &[&str] = &["with source.acmManaged", "ACM decides"];
    let entry: &[&str] = &["with source.acmManaged, acm has one entry"];
    refused::<Certificate>(
        base,
        &[
            (json!({ "source": { "privateCa": { "certificateAuthority": { "arn": ca } } } }), &["exactly one source"]),
            (
                json!({ "source": { "acmManaged": { "certificateAuthority": { "name": "a" } } } }),
                &["exactly one of arn and name"],
            ),
            (json!({ "region": "us-east-1" }), &["source.acmManaged.certificateAuthority.arn must lie in region"]),
            (json!({ "subject": { "ipAddresses": ["192.0.2.1"] } }), subject),
            (json!({ "subject": { "uris": ["spiffe://a/b"] } }), subject),
            (json!({ "subject": { "emailAddresses": ["a@b.example"] } }), subject),
            (json!({ "subject": { "organization": "Example" } }), subject),
            (json!({ "subject": { "domainName": format!("{}.pay.example", "a".repeat(60)) } }), subject),
            (json!({ "usages": ["server auth"] }), decides),
            (json!({ "duration": "24h" }), decides),
            (json!({ "renewal": { "before": "24h" } }), decides),
            (json!({ "issuance": { "renewals": "Disabled" } }), decides),
            (json!({ "signature": { "justification": "x" } }), decides),
            (json!({ "privateKey": { "size": 521 } }), &["with source.acmManaged, ACM makes the key"]),
            (json!({ "privateKey": { "rotationPolicy": "Never" } }), &["with source.acmManaged, ACM makes the key"]),
            (json!({ "acm": [] }), entry),
            (json!({ "acm": [{ "name": "edge" }, { "name": "far" }] }), entry),
            (json!({ "acm": [{ "name": "edge", "region": "us-east-1" }] }), entry),
            (json!({ "acm": [{ "name": "edge", "accountRef": { "name": "prod" } }] }), entry),
            (json!({ "acm": [{ "name": "edge", "reimport": true }] }), entry),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_acm_can_not_change_stays_as_it_is() {
    let Some((world, authority, ..)) = world("managed-changed").await else { return };
    let spec = managed(&authority, &json!({ "privateKey": { "algorithm": "ECDSA" } }));
    world.certificate("app", &authority, spec).await;
    let ca = json!({ "certificateAuthority": { "arn": authority.arn } });
    for (change, words) in [
        (json!({ "subject": { "domainName": "other.example" } }), "make another Certificate"),
        (json!({ "subject": { "additionalNames": ["other.example"] } }), "make another Certificate"),
        (
            json!({ "source": { "acmManaged": { "certificateAuthority": { "arn": null, "name": "another" } } } }),
            "make another Certificate",
        ),
        (json!({ "privateKey": { "size": 384 } }), "make another Certificate"),
        (json!({ "privateKey": null }), "make another Certificate"),
        (json!({ "acm": [{ "name": "other" }] }), "make another Certificate"),
        (
            json!({ "source": { "acmManaged": null, "privateCa": ca }, "secret": { "name": "app-tls" } }),
            "source can't be changed to acmManaged, or from it",
        ),
    ] {
        let patch = Patch::Merge(json!({ "spec": change }));
        match world.certificates().patch("app", &PatchParams::default(), &patch).await {
            Err(kube::Error::Api(status)) => assert!(status.message.contains(words), "{change}: {}", status.message),
            other => panic!("{change}: {other:?}"),
        }
    }
    // All else may change.
    let free = json!({ "acm": [{ "name": "edge", "deletionPolicy": "Delete" }], "secret": { "name": "app-tls" }, "enabled": false });
    world.change(&world.certificates(), "app", json!({ "spec": free })).await;
}

/// Another program's encryption is read, too: AWS names no cipher.
#[tokio::test]
async fn keys_that_openssl_encrypts_are_read() {
    for algorithm in [KeyAlgorithm::EcPrime256v1, KeyAlgorithm::Rsa2048] {
        let key = PrivateKey::generate(algorithm).expect("a key");
        for prf in ["hmacWithSHA1", "hmacWithSHA256"] {
            let mut openssl = Command::new("openssl")
                .args(["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-v2prf", prf, "-passout", "pass:a passphrase"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("openssl");
            let input = openssl.stdin.take();
            input.expect("its input").write_all(key.to_pkcs8_pem().as_bytes()).expect("it reads");
            let output = openssl.wait_with_output().expect("its end");
            let text = String::from_utf8(output.stdout).expect("text");
            let read = PrivateKey::from_encrypted_pem(&text, "a passphrase").expect("it can be read");
            assert_eq!(read.public_key_der(), key.public_key_der());
        }
    }
}
