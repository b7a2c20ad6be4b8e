//! One ARN for life: whatever is lost, deleted or made again, ACM has one certificate for a target, under the ARN it began with.

use crate::{
    harness::{REGIONS, World, arn, from, secret_name, target},
    wait::{Conditions, eventually, gone, until},
};
use arnkeeper::api::{
    Certificate,
    certificate::TargetState,
    conditions::{DELIVERED, READY, STALLED},
};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    ResourceExt,
    api::{DeleteParams, PostParams},
};
use serde_json::json;
use std::slice::from_ref;

/// The certificate in ACM is the one in the Secret, under this ARN, and the only one.
async fn assert_one(world: &World, certificate: &Certificate, arn_before: &str) {
    assert_eq!(arn(certificate, "edge"), arn_before);
    let acm = world.acm(REGIONS[0]).await;
    assert_eq!(acm.arns().await, [arn_before.to_owned()]);
    assert_eq!(acm.certificate(arn_before).await, *world.tls("app").await.leaf());
}

fn serial(certificate: &Certificate) -> Option<&str> {
    certificate.status.as_ref()?.serial_number.as_deref()
}

#[tokio::test]
async fn a_deleted_secret_is_made_again_under_the_same_arn() {
    let (world, authority) = World::new("lost-secret").await;
    let before = world.issued("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
    world.secrets().delete(&secret_name("app"), &DeleteParams::default()).await.expect("it can be deleted");
    // Nothing may watch the Secrets of a whole cluster: a changed Certificate makes the operator look at once.
    world.change(&world.certificates(), "app", json!({ "spec": { "historyLimit": 5 } })).await;
    let after = world.revision("app", 2).await;
    assert_eq!(after.status.as_ref().expect("a status").history[0].trigger, "SecretLost");
    assert_one(&world, &after, &arn(&before, "edge")).await;
    world.assert_paid(2).await;
}

#[tokio::test]
async fn a_wiped_status_is_found_again() {
    let (world, authority) = World::new("wiped").await;
    let before = world.issued("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
    world.wipe_status("app").await;
    let after = world.revision("app", 1).await;
    assert_one(&world, &after, &arn(&before, "edge")).await;
    assert_eq!(serial(&after), serial(&before));
    world.assert_paid(1).await;
}

#[tokio::test]
async fn a_lost_answer_of_an_import_makes_no_second_certificate() {
    let Some((world, authority, sim)) = World::on_sim("lost-import", "moto loses no answers").await else { return };
    sim.fault(&world.id, "ImportCertificate", Some(1), json!({ "kind": "dropReply" })).await;
    world.certificate("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
    let unknown =
        |c: &Certificate| c.status.as_ref().is_some_and(|s| s.targets.iter().any(|t| t.pending_since.is_some()));
    until(&world.certificates(), "app", "the record of the import", unknown).await;
    let after = world.revision("app", 1).await;
    let found = arn(&after, "edge");
    assert_one(&world, &after, &found).await;
    assert_eq!(sim.effective(&world.id, "ImportCertificate").await, 1);
    world.assert_paid(1).await;
}

#[tokio::test]
async fn a_lost_import_is_made_again_once() {
    let Some((world, authority, sim)) = World::on_sim("dropped-import", "moto loses no calls").await else { return };
    sim.fault(&world.id, "ImportCertificate", Some(1), json!({ "kind": "dropRequest" })).await;
    let certificate = world.issued("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
    let found = arn(&certificate, "edge");
    assert_one(&world, &certificate, &found).await;
    assert_eq!(target(&certificate, "edge").attempts, Some(2));
    assert_eq!(sim.effective(&world.id, "ImportCertificate").await, 1);
}

#[tokio::test]
async fn a_certificate_made_again_under_its_name_goes_on() {
    let (world, authority) = World::new("made-again").await;
    let spec = json!({ "acm": [{ "name": "edge" }] });
    let before = world.issued("app", &authority, spec.clone()).await;
    let kept = world.tls("app").await;
    world.certificates().delete("app", &DeleteParams::default()).await.expect("it can be deleted");
    gone(&world.certificates(), "app").await;
    let after = world.issued("app", &authority, spec).await;
    assert_ne!(after.uid(), before.uid());
    assert_eq!(world.tls("app").await.certificates, kept.certificates);
    assert_one(&world, &after, &arn(&before, "edge")).await;
    world.assert_paid(1).await;
}

#[tokio::test]
async fn a_restored_namespace_goes_on_under_the_same_arn_for_nothing() {
    let (world, authority) = World::new("restored").await;
    let spec = json!({ "acm": [{ "name": "edge" }] });
    let before = world.issued("app", &authority, spec.clone()).await;
    // A back-up holds neither status nor uids.
    let kept = world.secrets().get(&secret_name("app")).await.expect("the Secret");
    let restored: Secret = from(json!({
        "metadata": { "name": kept.name_any(), "annotations": kept.annotations(), "labels": kept.labels() },
        "type": kept.type_, "data": kept.data,
    }));
    world.namespaces().delete(&world.namespace, &DeleteParams::default()).await.expect("it can be deleted");
    gone(&world.namespaces(), &world.namespace).await;
    world.make_namespace().await;
    world.secrets().create(&PostParams::default(), &restored).await.expect("the Secret is restored");
    let after = world.issued("app", &authority, spec).await;
    assert_ne!(after.uid(), before.uid());
    assert_one(&world, &after, &arn(&before, "edge")).await;
    assert_eq!(serial(&after), serial(&before));
    world.assert_paid(1).await;
    // It is alive, not only found: the next renewal goes under the same ARN, too.
    world.renew("app").await;
    let renewed = world.revision("app", 2).await;
    assert_one(&world, &renewed, &arn(&before, "edge")).await;
}

#[tokio::test]
async fn nobody_gets_an_arn_by_writing_it_into_a_status() {
    let (world, authority) = World::new("stolen").await;
    world.issued("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
    let acm = world.acm(REGIONS[0]).await;
    let foreign = acm.import_foreign(&world.domain("app")).await;
    let theirs = acm.certificate(&foreign).await;
    eventually("the status is changed", || async {
        let mut certificate = world.certificates().get("app").await.map_err(|e| e.to_string())?;
        let status = certificate.status.as_mut().ok_or("no status")?;
        status.targets[0].arn = Some(foreign.parse().map_err(|_| "not an ARN")?);
        status.targets[0].state = TargetState::Pending;
        let stored = world.certificates().replace_status("app", &PostParams::default(), &certificate).await;
        stored.map_err(|e| e.to_string())
    })
    .await;
    world.renew("app").await;
    let certificate = world.stalled("app", "OwnershipUnknown").await;
    assert!(certificate.message(STALLED).contains(&foreign), "{}", certificate.message(STALLED));
    assert_eq!(acm.certificate(&foreign).await, theirs, "somebody else's certificate was replaced");
    assert_eq!(acm.tags(&foreign).await.get("owner").map(String::as_str), Some("somebody else"));
    assert!(!acm.tags(&foreign).await.keys().any(|key| key.starts_with("arnkeeper.dev/")));
}

#[tokio::test]
async fn of_two_certificates_with_one_targets_tags_one_stays() {
    let (world, authority) = World::new("twins").await;
    let spec = json!({ "acm": [{ "name": "edge" }], "privateKey": { "encoding": "PKCS1" } });
    let before = world.issued("app", &authority, spec.clone()).await;
    let kept = arn(&before, "edge");
    // A process that froze in the middle of a call can leave a second one behind.
    let acm = world.acm(REGIONS[0]).await;
    let twin = acm.import_twin(&kept, &world.tls("app").await, &authority).await;
    // An object's creation is told in whole seconds, and a list of ACM counts only if it is newer than that.
    let imported = jiff::Timestamp::now().as_second();
    let later = || async move { (jiff::Timestamp::now().as_second() > imported).then_some(()).ok_or_else(String::new) };
    eventually("the next second", later).await;
    world.certificates().delete("app", &DeleteParams::default()).await.expect("it can be deleted");
    gone(&world.certificates(), "app").await;
    let after = world.issued("app", &authority, spec).await;
    assert!([&kept, &twin].contains(&&arn(&after, "edge")));
    let one = |arns: Vec<String>| if arns.len() == 1 { Ok(arns) } else { Err(format!("{arns:?}")) };
    let left = eventually("one certificate is left in ACM", || async { one(acm.arns().await) }).await;
    assert_eq!(left, [arn(&after, "edge")]);
    world.assert_paid(1).await;
}

#[tokio::test]
async fn by_way_of_watching_it_no_import_becomes_one_that_acm_issues() {
    let why = "moto's CAs are all in short-lived mode, from which ACM does not issue";
    let Some((world, authority, sim)) = World::on_sim("other-kind", why).await else { return };
    let made = world.issued("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
    let (first, spec) = (arn(&made, "edge"), json!(made.spec));
    let watch = json!({ "spec": { "management": "Observe", "acm": [{ "name": "edge", "certificateArn": first }] } });
    let watched = |c: &Certificate| c.because(READY, "Observed");
    world.change(&world.certificates(), "app", watch.clone()).await;
    until(&world.certificates(), "app", "it is watched", watched).await;
    let source = json!({ "privateCa": null, "acmManaged": { "certificateAuthority": { "arn": authority.arn } } });
    let managed = json!({ "management": "Managed", "source": source, "secret": null, "duration": null, "acm": [{ "name": "edge" }] });
    world.change(&world.certificates(), "app", json!({ "spec": managed })).await;
    let told = world.stalled("app", "DifferentInAcm").await;
    let message = told.message(STALLED);
    assert!(message.contains(&first) && message.contains("by way of management: Observe"), "{message}");
    assert!(!told.is(READY));
    assert_eq!(world.acm(REGIONS[0]).await.arns().await, from_ref(&first));
    assert!(sim.calls(&world.id, "RequestCertificate").await.is_empty());
    // The way back; what is watched has no source of the other kind.
    let source = json!({ "privateCa": spec["source"]["privateCa"], "acmManaged": null });
    let mut watch = watch;
    watch["spec"]["source"] = source;
    world.change(&world.certificates(), "app", watch).await;
    until(&world.certificates(), "app", "it is watched", watched).await;
    let back = json!({ "management": "Managed", "secret": spec["secret"], "duration": spec["duration"], "acm": [{ "name": "edge" }] });
    world.change(&world.certificates(), "app", json!({ "spec": back })).await;
    let again = until(&world.certificates(), "app", "it is managed again", |c| c.is(READY) && c.is(DELIVERED)).await;
    assert_one(&world, &again, &first).await;
    world.assert_paid(1).await;
}

#[tokio::test]
async fn an_import_without_an_answer_is_bound_to_the_account_it_was_begun_in() {
    let Some((world, authority, sim)) = World::on_sim("moved", "moto makes no faults").await else { return };
    let other = world.another_account("moved").await;
    world.change(&world.accounts(), &world.account, json!({ "spec": { "accountId": null } })).await;
    sim.fault(&world.id, "ImportCertificate", Some(1), json!({ "kind": "dropReply" })).await;
    world.certificate("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
    let unknown = |c: &Certificate| c.message(READY).contains("answer is not known");
    until(&world.certificates(), "app", "the answer is lost", unknown).await;
    let roles = |world: &World| json!({ "spec": { "assumeRoles": [{ "roleArn": world.role() }] } });
    world.change(&world.accounts(), &world.account, roles(&other)).await;
    let told = world.stalled("app", "AccountChanged").await;
    let message = told.message(STALLED);
    assert!(message.contains(&world.id) && message.contains(&other.id), "{message}");
    assert!(other.acm(REGIONS[0]).await.arns().await.is_empty());
    assert!(sim.calls(&other.id, "ImportCertificate").await.is_empty());
    world.change(&world.accounts(), &world.account, roles(&world)).await;
    let certificate = world.ready("app").await;
    assert_one(&world, &certificate, &arn(&certificate, "edge")).await;
    assert_eq!(sim.effective(&world.id, "ImportCertificate").await, 1);
}
