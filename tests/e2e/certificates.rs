//! Certificate: issued, kept in a Secret, renewed.

use crate::{
    harness::{REGIONS, World, arn, secret_name, target},
    tls::{plain_serial, public_key_of},
    wait::{Conditions, until},
};
use arnkeeper::api::{
    certificate::TargetState,
    conditions::{DELIVERED, ISSUING, READY, STALLED},
};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use serde_json::json;
use std::{collections::BTreeSet, slice::from_ref};

#[tokio::test]
async fn a_certificate_goes_to_its_secret_and_to_acm() {
    let (world, authority) = World::new("main").await;
    let spec = json!({
        "subject": { "additionalNames": [world.domain("www")], "organization": "Example" },
        "acm": [{ "name": "edge", "tags": { "team": "pay" } }],
    });
    let certificate = world.issued("app", &authority, spec).await;
    let tls = world.tls("app").await;
    assert_eq!(tls.leaf().dns_names(), BTreeSet::from([world.domain("app"), world.domain("www")]));
    assert!(tls.leaf().is_signed_by(&authority.certificate) && tls.leaf().serves());
    assert_eq!(tls.authorities, [authority.root]);

    let status = certificate.status.clone().expect("a status");
    assert_eq!(plain_serial(status.serial_number.as_deref().expect("a serial number")), tls.leaf().serial());
    assert!(status.not_before < status.renewal_time && status.renewal_time < status.not_after);
    assert_eq!((status.revision, status.history.len()), (Some(1), 1));
    assert_eq!(status.history[0].trigger, "Issued");
    assert!(certificate.is(DELIVERED));
    assert!(certificate.condition(STALLED).is_none() && certificate.condition(ISSUING).is_none());

    let edge = target(&certificate, "edge");
    assert_eq!((edge.state, edge.account_id.as_deref()), (TargetState::Delivered, Some(&*world.id)));
    assert!(edge.pending_since.is_none() && edge.imported_at.is_some());
    let arn = arn(&certificate, "edge");
    assert!(arn.starts_with(&format!("arn:aws:acm:{}:{}:certificate/", REGIONS[0], world.id)), "{arn}");
    let acm = world.acm(REGIONS[0]).await;
    assert_eq!(acm.certificate(&arn).await, *tls.leaf());
    assert_eq!(acm.arns().await, from_ref(&arn));
    let tags = acm.tags(&arn).await;
    let tag = |key: &str| tags.get(key).map(String::as_str);
    assert_eq!(tag("team"), Some("pay"));
    assert_eq!(tag("arnkeeper.dev/namespace"), Some(&*world.namespace));
    assert_eq!(tag("arnkeeper.dev/name"), Some("app"));
    assert_eq!(tag("arnkeeper.dev/target"), Some("edge"));
    assert_eq!(tag("arnkeeper.dev/uid"), certificate.uid().as_deref());
    let system = world.namespaces().get("kube-system").await.expect("kube-system").uid();
    assert_eq!(tag("arnkeeper.dev/cluster"), system.as_deref());
    world.assert_paid(1).await;
}

#[tokio::test]
async fn what_kubectl_apply_left_stays() {
    let (world, authority) = World::new("applied").await;
    let left = json!({ "kubectl.kubernetes.io/last-applied-configuration": "{\"kind\":\"Certificate\"}" });
    let mut manifest = world.certificate_manifest("app", &authority, json!({ "acm": [{ "name": "edge" }] }));
    manifest["metadata"]["annotations"] = left.clone();
    world.make(&world.certificates(), manifest).await;
    let certificate = until(&world.certificates(), "app", "delivered", |c| c.is(READY) && c.is(DELIVERED)).await;
    assert_eq!(json!(certificate.annotations()), left);
}

#[tokio::test]
async fn the_staged_key_is_gone_once_the_secret_is_there() {
    let (world, authority) = World::new("staged").await;
    world.issued("app", &authority, json!({})).await;
    let secrets = world.secrets().list(&kube::api::ListParams::default()).await.expect("a list");
    let names: Vec<String> = secrets.iter().map(ResourceExt::name_any).collect();
    assert_eq!(names, ["app-tls"]);
    let request = world.requests().get("app-1").await.expect("the request is kept");
    assert!(request.is(READY));
}

#[tokio::test]
async fn a_forced_renewal_makes_one_new_revision() {
    let (world, authority) = World::new("forced").await;
    let before = world.issued("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
    let old = world.tls("app").await;
    world.renew("app").await;
    let after = world.revision("app", 2).await;
    let new = world.tls("app").await;
    assert_ne!(new.leaf().serial(), old.leaf().serial());
    assert_ne!(new.leaf().public_key(), old.leaf().public_key(), "each renewal has a new key");
    assert_eq!(arn(&after, "edge"), arn(&before, "edge"));
    let acm = world.acm(REGIONS[0]).await;
    assert_eq!(acm.certificate(&arn(&after, "edge")).await, *new.leaf());
    assert_eq!(acm.arns().await.len(), 1);
    let history = after.status.expect("a status").history;
    let triggers: Vec<&str> = history.iter().map(|h| h.trigger.as_str()).collect();
    assert_eq!(triggers, ["Requested", "Issued"]);
    world.assert_paid(2).await;
}

#[tokio::test]
async fn a_changed_spec_is_issued_again() {
    let (world, authority) = World::new("changed").await;
    let before = world.issued("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
    let more = json!({ "spec": { "subject": { "additionalNames": [world.domain("more")] } } });
    world.change(&world.certificates(), "app", more).await;
    let after = world.revision("app", 2).await;
    assert_eq!(arn(&after, "edge"), arn(&before, "edge"));
    let served = world.acm(REGIONS[0]).await.certificate(&arn(&after, "edge")).await;
    assert_eq!(served.dns_names(), BTreeSet::from([world.domain("app"), world.domain("more")]));
    assert_eq!(served, *world.tls("app").await.leaf());
    world.assert_paid(2).await;
}

#[tokio::test]
async fn what_is_not_in_the_certificate_is_changed_without_a_new_one() {
    let (world, authority) = World::new("unpaid").await;
    world
        .issued("app", &authority, json!({ "acm": [{ "name": "edge", "tags": { "team": "pay", "old": "yes" } }] }))
        .await;
    let change = json!({ "spec": {
        "acm": [{ "name": "edge", "tags": { "team": "ship", "new": "yes" } }], "historyLimit": 3,
        "secret": { "template": { "labels": { "team": "ship" }, "annotations": { "example.com/contact": "ship" } } },
    } });
    world.change(&world.certificates(), "app", change).await;
    let certificate = world.revision("app", 1).await;
    let secret = world.secrets().get(&secret_name("app")).await.expect("the Secret");
    assert_eq!(secret.labels().get("team").map(String::as_str), Some("ship"));
    assert_eq!(secret.annotations().get("example.com/contact").map(String::as_str), Some("ship"));
    let tags = world.acm(REGIONS[0]).await.tags(&arn(&certificate, "edge")).await;
    assert_eq!(tags.get("team").map(String::as_str), Some("ship"));
    assert!(tags.contains_key("new"), "a new tag is there");
    assert!(!tags.contains_key("old"), "a tag that the spec names no more is removed");
    world.assert_paid(1).await;
}

#[tokio::test]
async fn rotation_never_keeps_the_key() {
    let (world, authority) = World::new("same-key").await;
    world.issued("app", &authority, json!({ "privateKey": { "rotationPolicy": "Never" } })).await;
    let old = world.tls("app").await;
    world.renew("app").await;
    world.revision("app", 2).await;
    let new = world.tls("app").await;
    assert_eq!(public_key_of(&new.key), public_key_of(&old.key));
    assert_ne!(new.leaf().serial(), old.leaf().serial());
}

#[tokio::test]
async fn a_disabled_certificate_is_left_as_it_is() {
    let (world, authority) = World::new("off").await;
    world.certificate("app", &authority, json!({ "enabled": false })).await;
    until(&world.certificates(), "app", "Disabled", |c| c.because(READY, "Disabled") && !c.is(READY)).await;
    world.assert_nothing_asked().await;
    assert!(world.secrets().get_opt(&secret_name("app")).await.expect("an answer").is_none());
    let enabled = |enabled: bool| json!({ "spec": { "enabled": enabled } });
    world.change(&world.certificates(), "app", enabled(true)).await;
    world.revision("app", 1).await;
    let kept = world.tls("app").await;
    world.change(&world.certificates(), "app", enabled(false)).await;
    world.renew("app").await;
    let more = json!({ "spec": { "subject": { "additionalNames": [world.domain("more")] } } });
    let changed = world.change(&world.certificates(), "app", more).await;
    let disabled = until(&world.certificates(), "app", "Disabled, and still Ready", |c| {
        c.because(READY, "Disabled") && c.is(READY) && c.metadata.generation >= changed.metadata.generation
    })
    .await;
    assert_eq!(disabled.status.and_then(|s| s.revision), Some(1));
    assert_eq!(world.tls("app").await.certificates, kept.certificates);
    world.assert_paid(1).await;
}

#[tokio::test]
async fn the_history_has_an_end() {
    let (world, authority) = World::new("history").await;
    world.issued("app", &authority, json!({ "historyLimit": 2 })).await;
    for revision in 2..=3 {
        world.renew("app").await;
        world.revision("app", revision).await;
    }
    let certificate = world.revision("app", 3).await;
    let history = certificate.status.expect("a status").history;
    assert_eq!(history.iter().map(|h| h.revision).collect::<Vec<_>>(), [3, 2]);
    for kept in ["app-1", "app-2"] {
        let request = world.requests().get_opt(kept).await.expect("an answer");
        assert!(request.is_some(), "{kept} counts for the budget of the day");
    }
}

#[tokio::test]
async fn a_secret_has_the_labels_and_annotations_of_its_template() {
    let (world, authority) = World::new("template").await;
    let template = json!({ "labels": { "app": "web" }, "annotations": { "example.com/note": "made by a test" } });
    world.issued("app", &authority, json!({ "secret": { "template": template } })).await;
    let secret = world.secrets().get(&secret_name("app")).await.expect("the Secret");
    assert_eq!(secret.labels().get("app").map(String::as_str), Some("web"));
    assert_eq!(secret.annotations().get("example.com/note").map(String::as_str), Some("made by a test"));
    assert_eq!(secret.annotations().get("arnkeeper.dev/certificate").map(String::as_str), Some("app"));
    assert!(secret.owner_references().is_empty(), "a pruned manifest must be no outage");
}

#[tokio::test]
async fn the_key_is_encoded_as_asked_for() {
    let (world, authority) = World::new("encoding").await;
    let spec = json!({ "privateKey": { "encoding": "PKCS1" }, "acm": [{ "name": "edge" }] });
    let certificate = world.issued("app", &authority, spec).await;
    let tls = world.tls("app").await;
    assert!(tls.key.starts_with(authority.traditional_key_header()));
    assert_eq!(world.acm(REGIONS[0]).await.certificate(&arn(&certificate, "edge")).await, *tls.leaf());
    world.change(&world.certificates(), "app", json!({ "spec": { "privateKey": { "encoding": "PKCS8" } } })).await;
    until::<Secret>(&world.secrets(), &secret_name("app"), "PKCS8", |s| {
        let key = s.data.as_ref().and_then(|d| d.get("tls.key"));
        key.is_some_and(|k| k.0.starts_with(b"-----BEGIN PRIVATE KEY-----"))
    })
    .await;
    world.revision("app", 1).await;
    world.assert_paid(1).await;
}

#[tokio::test]
async fn the_signature_of_a_certificate_goes_into_its_requests() {
    let (world, authority) = World::new("signs").await;
    let signature = json!({ "justification": "serves the shop", "reason": "Standard", "governanceCode": "CHG-1" });
    world.issued("app", &authority, json!({ "signature": signature })).await;
    let request = world.requests().get("app-1").await.expect("the request");
    let given = request.spec.signature.expect("a signature");
    assert_eq!(given.justification.as_deref(), Some("serves the shop"));
    assert_eq!(given.governance_code.as_deref(), Some("CHG-1"));
}
