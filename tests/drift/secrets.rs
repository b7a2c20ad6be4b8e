//! What somebody does to the Secret of a Certificate. Nobody watches the Secrets of a whole cluster: each look at ACM reads it.

use super::{put_right, tls};
use crate::{
    aws::Authority,
    harness::{REGIONS, Stand, World, arn, secret_name},
    wait::{eventually, until},
};
use arnkeeper::api::{ADOPT_BY_ANNOTATION, Certificate, ISSUED_FOR_ANNOTATION, RENEW_ANNOTATION, REVISION_ANNOTATION};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures::future::join_all;
use k8s_openapi::api::core::v1::{Event, Secret};
use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams, PostParams},
};
use serde_json::{Value, json};

/// A delivered Certificate of this name, its ARN, and its Secret.
async fn delivered(world: &World, authority: &Authority, name: &str) -> (String, Secret) {
    let certificate = world.issued(name, authority, json!({ "acm": [{ "name": "edge" }] })).await;
    world.revision(name, 1).await;
    (arn(&certificate, "edge"), secret(world, name).await)
}

async fn secret(world: &World, name: &str) -> Secret {
    world.secrets().get(&secret_name(name)).await.expect("the Secret")
}

/// A JSON merge patch of the data of a Secret.
fn data(key: &str, value: Option<&str>) -> Value {
    json!({ "data": { key: value.map(|value| STANDARD.encode(value)) } })
}

/// Another pair for a Certificate's name, which its CA did not sign: `tls.crt` and `tls.key`.
fn stranger(world: &World, name: &str) -> (String, String) {
    let mut params = rcgen::CertificateParams::new([world.domain(name)]).expect("a name");
    params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature, rcgen::KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages =
        vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth, rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let key = rcgen::KeyPair::generate().expect("a key");
    (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
}

/// Waits for an event that says all these words.
async fn told(world: &World, words: &[&str]) {
    let events = world.api::<Event>();
    eventually(&format!("an event that says {words:?}"), || async {
        let list = events.list(&ListParams::default()).await.map_err(|e| e.to_string())?;
        let notes: Vec<String> = list.items.into_iter().filter_map(|e| e.message).collect();
        let says = |note: &&String| words.iter().all(|word| note.contains(word));
        if notes.iter().any(|note| says(&note)) { Ok(()) } else { Err(notes.join("\n")) }
    })
    .await;
}

/// Waits until data, labels and annotations of a Secret are as they were.
async fn as_before(world: &World, name: &str, before: &Secret) {
    until::<Secret>(&world.secrets(), &secret_name(name), "as it was", |now| {
        now.data == before.data && now.labels() == before.labels() && now.annotations() == before.annotations()
    })
    .await;
}

#[tokio::test]
async fn what_was_removed_from_a_secret_or_changed_in_it_is_put_back_and_nothing_is_paid_for() {
    let (world, authority) = World::new("spoilt").await;
    let edits = [
        ("no-root", data("ca.crt", None)),
        ("other-root", data("ca.crt", Some(&stranger(&world, "other").0))),
        ("no-leaf", data("tls.crt", Some(""))),
        ("nonsense", data("tls.crt", Some("nonsense"))),
    ];
    let each = edits.into_iter().map(async |(name, edit)| {
        let (edge, before) = delivered(&world, &authority, name).await;
        world.change(&world.secrets(), &secret_name(name), edit).await;
        as_before(&world, name, &before).await;
        told(&world, &[&secret_name(name), "put back", "nothing is paid for"]).await;
        let after = world.revision(name, 1).await;
        assert_eq!(arn(&after, "edge"), edge);
        assert_eq!(world.acm(REGIONS[0]).await.certificate(&edge).await, *world.tls(name).await.leaf());
    });
    join_all(each).await;
    world.assert_paid(4).await;
}

#[tokio::test]
async fn annotations_that_somebody_edited_come_back_and_nothing_is_bought() {
    let (world, authority) = World::new("edited").await;
    let each = [None, Some("7")].into_iter().enumerate().map(async |(n, value)| {
        let (world, name) = (&world, format!("app-{n}"));
        delivered(world, &authority, &name).await;
        world.renew(&name).await;
        world.revision(&name, 2).await;
        let before = secret(world, &name).await;
        assert!(before.annotations().contains_key(RENEW_ANNOTATION));
        let edit = json!({ "metadata": { "annotations": { REVISION_ANNOTATION: value, ISSUED_FOR_ANNOTATION: value.map(|v| format!("v1:{v}")), RENEW_ANNOTATION: value } } });
        world.change(&world.secrets(), &secret_name(&name), edit).await;
        as_before(world, &name, &before).await;
        world.revision(&name, 2).await;
    });
    join_all(each).await;
    world.assert_paid(4).await;
}

#[tokio::test]
async fn a_pair_that_somebody_put_there_is_replaced_and_never_delivered() {
    let why = "moto loses the tags of a certificate that is imported again";
    let Some((world, authority, sim)) = World::on_sim("swapped", why).await else { return };
    let (edge, before) = delivered(&world, &authority, "app").await;
    let (certificate, key) = stranger(&world, "app");
    let mut edit = data("tls.crt", Some(&certificate));
    edit["data"]["tls.key"] = json!(STANDARD.encode(key));
    world.change(&world.secrets(), &secret_name("app"), edit).await;
    told(&world, &[&secret_name("app"), "holds another certificate", "a new one is issued"]).await;
    let after = world.revision("app", 2).await;
    assert_eq!(after.status.as_ref().expect("a status").history[0].trigger, "SecretLost");
    assert_eq!(arn(&after, "edge"), edge);
    let leaf = world.tls("app").await.leaf().clone();
    assert!(leaf.is_signed_by(&authority.certificate));
    assert_eq!(world.acm(REGIONS[0]).await.certificate(&edge).await, leaf);
    assert_eq!(sim.effective(&world.id, "ImportCertificate").await, 2, "the first and the new one, nothing between");
    world.assert_paid(2).await;
    // The older revision, as from a backup.
    let mut older = secret(&world, "app").await;
    older.data = before.data;
    older.metadata.annotations = before.metadata.annotations;
    older.metadata.resource_version = None;
    world.secrets().replace(&secret_name("app"), &PostParams::default(), &older).await.expect("it can be replaced");
    let after = world.revision("app", 3).await;
    assert_eq!(arn(&after, "edge"), edge);
    assert_eq!(sim.effective(&world.id, "ImportCertificate").await, 3);
    assert_eq!(world.acm(REGIONS[0]).await.certificate(&edge).await, *world.tls("app").await.leaf());
    world.assert_paid(3).await;
}

/// Its key is gone with it, so a new certificate is needed, and one alone; nobody touches the Certificate.
#[tokio::test]
async fn a_secret_that_somebody_deleted_is_made_again_under_the_same_arn() {
    let why = "moto loses the tags of a certificate that is imported again";
    let Some((world, authority, sim)) = World::on_sim("deleted", why).await else { return };
    let (edge, before) = delivered(&world, &authority, "app").await;
    world.secrets().delete(&secret_name("app"), &DeleteParams::default()).await.expect("it can be deleted");
    let after = world.revision("app", 2).await;
    assert_eq!(after.status.as_ref().expect("a status").history[0].trigger, "SecretLost");
    assert_eq!(after.metadata.generation, Some(1), "nobody touched it");
    let (again, leaf) = (secret(&world, "app").await, world.tls("app").await.leaf().clone());
    assert_ne!(again.metadata.uid, before.metadata.uid);
    assert_eq!(again.labels(), before.labels());
    assert!(leaf.is_signed_by(&authority.certificate));
    let acm = world.acm(REGIONS[0]).await;
    assert_eq!((arn(&after, "edge"), acm.arns().await), (edge.clone(), vec![edge.clone()]));
    assert_eq!(acm.certificate(&edge).await, leaf);
    assert_eq!(sim.effective(&world.id, "ImportCertificate").await, 2);
    world.assert_paid(2).await;
}

/// ACM holds the key of what it issued: that is exported again, and nothing is paid for.
#[tokio::test]
async fn a_deleted_secret_of_what_acm_issued_is_filled_again_and_nothing_is_paid_for() {
    let why = "moto's CAs are all in short-lived mode, from which ACM does not issue";
    let Some((world, authority, sim)) = World::on_sim("deleted-acm", why).await else { return };
    let source = json!({ "privateCa": null, "acmManaged": { "certificateAuthority": { "arn": authority.arn } } });
    let spec = json!({ "duration": null, "source": source, "acm": [{ "name": "edge" }] });
    world.certificate("app", &authority, spec).await;
    let edge = arn(&world.revision("app", 1).await, "edge");
    let before = world.tls("app").await;
    world.secrets().delete(&secret_name("app"), &DeleteParams::default()).await.expect("it can be deleted");
    eventually("the Secret is there again", || async {
        world.secrets().get(&secret_name("app")).await.map(drop).map_err(|e| e.to_string())
    })
    .await;
    let (after, again) = (world.revision("app", 1).await, world.tls("app").await);
    assert_eq!((&again.certificates, &again.key), (&before.certificates, &before.key));
    assert_eq!((arn(&after, "edge"), world.acm(REGIONS[0]).await.arns().await), (edge.clone(), vec![edge]));
    assert_eq!(after.metadata.generation, Some(1), "nobody touched it");
    let made = [("RequestCertificate", 1), ("RenewCertificate", 0), ("IssueCertificate", 0), ("ImportCertificate", 0)];
    for (operation, times) in made {
        assert_eq!(sim.effective(&world.id, operation).await, times, "{operation}");
    }
}

#[tokio::test]
async fn a_pair_that_somebody_offers_is_taken() {
    if Stand::get().await.sim_because("moto loses the tags of a certificate that is imported again").is_none() {
        return;
    }
    let (world, authority) = World::new("offered").await;
    let (edge, _) = delivered(&world, &authority, "app").await;
    let (certificate, key) = stranger(&world, "app");
    let mut edit = data("tls.crt", Some(&certificate));
    edit["data"]["tls.key"] = json!(STANDARD.encode(key));
    edit["data"]["ca.crt"] = Value::Null;
    edit["metadata"] = json!({ "annotations": { ADOPT_BY_ANNOTATION: "app" } });
    world.change(&world.secrets(), &secret_name("app"), edit).await;
    let theirs = tls::Cert::first(&certificate);
    eventually("it is delivered", || async {
        let there = world.acm(REGIONS[0]).await.certificate(&edge).await;
        if there == theirs { Ok(()) } else { Err(there.serial()) }
    })
    .await;
    let taken = |c: &Certificate| c.status.as_ref().is_some_and(|s| s.revision == Some(2)) && arn(c, "edge") == edge;
    put_right(&world, "a revision of its own", taken).await;
    assert!(!secret(&world, "app").await.annotations().contains_key(ADOPT_BY_ANNOTATION));
    world.assert_paid(1).await;
}
