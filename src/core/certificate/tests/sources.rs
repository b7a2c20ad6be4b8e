//! Pairs that somebody else keeps: delivered as they are, never written to, never paid for.

mod any;

use super::{
    assert_silent, change_spec, ready, restore, spec, stalled,
    world::{Fault, World, keeper::Pair},
};
use crate::{
    api::{
        ADOPT_BY_ANNOTATION,
        certificate::{SecretSource, Source},
        conditions::READY,
    },
    core::certificate::source,
    pki::algorithm::KeyAlgorithm,
};
use jiff::SignedDuration;
use kube::ResourceExt;
use serde_json::{Value, json};

fn sourced(acm: &Value) -> Value {
    json!({ "accountRef": { "name": "prod" }, "region": "eu-west-1", "source": { "secretRef": { "name": "app-tls" } }, "acm": acm })
}

pub fn two_places() -> Value {
    sourced(&json!([{ "name": "edge", "tags": { "team": "pay" } }, { "name": "far", "region": "us-east-1" }]))
}

fn arn(world: &World, target: &str) -> String {
    super::arn(world, target)
}

fn told(world: &World) -> (String, String) {
    let ready = world.certificate.status.as_ref().unwrap().conditions.iter().find(|c| c.type_ == READY).unwrap();
    (ready.reason.clone(), ready.message.clone())
}

/// A world in which the keeper's first pair is delivered.
fn delivered(spec: &Value) -> World {
    let mut world = World::new(spec);
    world.keep(&Pair::default());
    world.converge();
    assert!(ready(&world), "{:#?}", world.certificate.status);
    world
}

/// Both targets have what the keeper wrote last, nothing was paid for, nothing is left to do.
pub fn assert_delivered(world: &mut World) {
    assert!(ready(world), "{:#?}", world.certificate.status);
    assert_eq!(stalled(world), None);
    for target in ["edge", "far"] {
        arn(world, target);
        assert_eq!(Some(world.of_target(target)[0].leaf.serial.clone()), world.kept_serial());
    }
    assert_free(world);
    assert_silent(world);
}

/// Nothing was paid for or asked for, and no key was made.
pub fn assert_free(world: &World) {
    assert_eq!((world.paid, world.requests.len(), world.staged.len()), (0, 0, 0));
}

#[test]
fn what_is_there_is_imported_and_each_change_goes_under_the_same_arn() {
    let mut world = delivered(&two_places());
    let arns = (arn(&world, "edge"), arn(&world, "far"));
    assert_delivered(&mut world);
    assert_eq!(world.events, ["Imported"]);
    for revision in 2..5 {
        let leaf = world.keep(&Pair { names: vec!["app.pay.example", "new.pay.example"], ..Pair::default() });
        world.converge();
        let status = world.certificate.status.clone().unwrap();
        assert_eq!((status.revision, status.serial_number), (Some(revision), Some(leaf.serial.to_string())));
        assert_eq!((status.history[0].trigger.as_str(), &status.history[0].request), ("SourceChanged", &None));
        assert_eq!((arn(&world, "edge"), arn(&world, "far")), arns);
        assert_delivered(&mut world);
    }
    assert_eq!((world.new_imports, world.secret.as_ref().unwrap().resource_version().as_deref()), (2, Some("4")));
    assert_eq!(world.events, ["Imported", "Renewed", "Renewed", "Renewed"]);
    let next = world.certificate.status.as_ref().unwrap().next.clone().unwrap();
    assert_eq!(next.action, "Nothing");
    assert!(next.blocked_by.unwrap().contains("app-tls"));
}

#[test]
fn a_first_import_takes_three_writes() {
    let world = delivered(&sourced(&json!([{ "name": "edge" }])));
    // Record, import, status.
    assert_eq!(world.changes, 3);
}

#[test]
fn bad_content_leaves_the_last_good_import_and_is_told() {
    let mut world = delivered(&two_places());
    let before = world.of_target("edge")[0].leaf.serial.clone();
    let good = world.secret.clone();
    let changes = world.changes;
    for (key, value, why) in [
        ("tls.crt", Some("nonsense"), "no certificate"),
        ("tls.key", Some("nonsense"), "tls.key"),
        ("tls.key", None, "no tls.key"),
        ("ca.crt", None, "issuer is missing"),
        ("ca.crt", Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "ca.crt"),
    ] {
        world.secret.clone_from(&good);
        world.edit_secret(key, value);
        world.converge();
        let message = stalled(&world).unwrap();
        assert!(message.contains(why) && message.contains("cert-manager's Certificate \"app\""), "{message}");
        let (reason, message) = told(&world);
        assert!(ready(&world) && reason == "UpToDate" && message.contains(why), "{message}");
        assert_eq!(world.of_target("edge")[0].leaf.serial, before);
        assert_silent(&mut world);
    }
    world.secret = None;
    world.converge();
    assert!(stalled(&world).unwrap().starts_with("SourceNotFound"));
    world.secret = good;
    world.converge();
    assert_delivered(&mut world);
    assert!(world.changes > changes);
    assert_eq!(world.certificate.status.as_ref().unwrap().revision, Some(1));
}

#[test]
fn a_secret_of_another_type_is_none() {
    let mut world = World::new(&two_places());
    world.keep(&Pair::default());
    world.secret.as_mut().unwrap().type_ = Some("Opaque".into());
    world.converge();
    let message = stalled(&world).unwrap();
    assert!(message.starts_with("SourceInvalid") && message.contains("kubernetes.io/tls"), "{message}");
    assert!(!ready(&world) && world.acm.is_empty());
}

#[test]
fn a_secret_that_is_not_there_yet_is_waited_for() {
    let mut world = World::new(&two_places());
    // As the API server makes it.
    world.certificate.status = Some(crate::api::certificate::CertificateStatus::default());
    world.pass(|| Fault::Fine);
    assert_eq!(world.changes, 0, "it may come in a moment");
    world.converge();
    assert!(stalled(&world).unwrap().starts_with("SourceNotFound") && !ready(&world));
    world.keep(&Pair::default());
    world.converge();
    assert_delivered(&mut world);
}

#[test]
fn what_has_ended_is_not_imported_and_what_ends_soon_is_told_once() {
    let mut world = delivered(&two_places());
    world.now += SignedDuration::from_hours(24 * 75);
    world.converge();
    assert_eq!(told(&world).0, "UpToDate");
    world.now += SignedDuration::from_hours(24 * 2);
    world.converge();
    let (reason, message) = told(&world);
    assert!(
        reason == source::ENDS_SOON && message.contains("has not renewed it") && ready(&world),
        "{reason}: {message}"
    );
    world.now += SignedDuration::from_hours(24);
    world.converge();
    assert_eq!(world.events, ["Imported", "SourceEndsSoon"]);
    world.now += SignedDuration::from_hours(24 * 14);
    world.converge();
    assert!(!ready(&world) && stalled(&world).unwrap().starts_with("SourceExpired"));
    world.keep(&Pair { hours: -1, ..Pair::default() });
    let serial = world.of_target("edge")[0].leaf.serial.clone();
    world.converge();
    assert_eq!(world.of_target("edge")[0].leaf.serial, serial);
    world.keep(&Pair::default());
    world.converge();
    assert_delivered(&mut world);
}

#[test]
fn what_is_not_valid_yet_waits_for_its_time() {
    let mut world = delivered(&two_places());
    let serial = world.of_target("edge")[0].leaf.serial.clone();
    world.now += SignedDuration::from_hours(3);
    world.keep(&Pair::default());
    world.now -= SignedDuration::from_hours(2);
    world.pass(|| Fault::Fine);
    assert_eq!(world.of_target("edge")[0].leaf.serial, serial);
    let (reason, message) = told(&world);
    assert!(reason == "UpToDate" && message.contains("SourceNotYetValid"), "{message}");
    world.now += SignedDuration::from_hours(2);
    world.converge();
    assert_delivered(&mut world);
}

#[test]
fn a_chain_that_changes_alone_is_imported_again() {
    let mut world = delivered(&two_places());
    let arns = (arn(&world, "edge"), arn(&world, "far"));
    let digest = |world: &World| world.certificate.status.as_ref().unwrap().targets[0].content_digest.clone();
    let before = digest(&world);
    let root = world.ca.renewed_root().to_pem();
    world.edit_secret("ca.crt", Some(&root));
    let changes = world.changes;
    world.converge();
    // Two imports and one status.
    assert_eq!(world.changes - changes, 3);
    assert!(before.is_some() && digest(&world) != before);
    assert_eq!((arn(&world, "edge"), arn(&world, "far")), arns);
    assert_delivered(&mut world);
}

#[test]
fn another_certificate_with_the_same_serial_number_is_imported() {
    let mut world = World::new(&two_places());
    world.keep(&Pair { serial: Some(1), ..Pair::default() });
    world.converge();
    let first = world.of_target("edge")[0].leaf.der.clone();
    let second = world.keep(&Pair { serial: Some(1), ..Pair::default() });
    world.converge();
    assert_ne!(first, second.der);
    assert_eq!(world.of_target("edge")[0].leaf.der, second.der);
    assert_eq!(world.certificate.status.as_ref().unwrap().revision, Some(2));
    assert_delivered(&mut world);
    // Though nothing is known of what was imported.
    restore(&mut world);
    let third = world.keep(&Pair { serial: Some(1), ..Pair::default() });
    world.converge();
    assert_eq!(world.of_target("edge")[0].leaf.der, third.der);
    assert_delivered(&mut world);
}

#[test]
fn what_acm_would_refuse_under_the_arn_is_told_and_not_tried() {
    let mut world = delivered(&two_places());
    let serial = world.of_target("edge")[0].leaf.serial.clone();
    world.keep(&Pair { algorithm: KeyAlgorithm::EcSecp384r1, ..Pair::default() });
    world.converge();
    let message = stalled(&world).unwrap();
    assert!(message.starts_with("PreflightFailed") && message.contains("EC_secp384r1"), "{message}");
    world.keep(&Pair { names: vec!["other.example"], ..Pair::default() });
    world.converge();
    assert!(stalled(&world).unwrap().contains("none of the domains"));
    assert_eq!(world.of_target("edge")[0].leaf.serial, serial);
    world.keep(&Pair::default());
    world.converge();
    assert_delivered(&mut world);
}

#[test]
fn names_that_change_all_while_an_answer_is_not_known_make_no_second_arn() {
    let mut world = World::new(&sourced(&json!([{ "name": "edge" }])));
    world.keep(&Pair::default());
    let mut faults = [Fault::Fine, Fault::AnswerLost].into_iter();
    world.pass(|| faults.next().unwrap_or(Fault::Fine));
    assert_eq!(world.new_imports, 1);
    world.keep(&Pair { names: vec!["other.example"], ..Pair::default() });
    world.converge();
    world.crash();
    world.now += SignedDuration::from_mins(5);
    world.converge();
    assert_eq!((world.new_imports, world.acm.len()), (1, 1));
    assert!(stalled(&world).unwrap().contains("none of the domains"), "{:#?}", world.certificate.status);
    world.keep(&Pair { names: vec!["other.example", "app.pay.example"], ..Pair::default() });
    world.converge();
    assert!(ready(&world));
    assert_eq!((world.new_imports, world.certificate.status.as_ref().unwrap().known_names.len()), (1, 1));
}

#[test]
fn a_restored_certificate_finds_its_arn() {
    let mut world = delivered(&two_places());
    let arns = (arn(&world, "edge"), arn(&world, "far"));
    restore(&mut world);
    world.keep(&Pair { names: vec!["more.pay.example", "app.pay.example"], ..Pair::default() });
    world.converge();
    assert_eq!((arn(&world, "edge"), arn(&world, "far")), arns);
    assert_delivered(&mut world);
}

#[test]
fn without_reimport_each_change_is_a_new_arn() {
    let mut world = World::new(&sourced(&json!([{ "name": "edge", "reimport": false }])));
    world.keep(&Pair::default());
    world.converge();
    world.keep(&Pair::default());
    world.converge();
    assert!(ready(&world), "{:#?}", world.certificate.status);
    assert_eq!((world.of_target("edge").len(), world.new_imports), (2, 2));
    assert_silent(&mut world);
}

#[test]
fn it_goes_from_acm_though_its_secret_is_gone() {
    let mut world = delivered(&sourced(&json!([{ "name": "edge", "deletionPolicy": "Delete" }])));
    world.secret = None;
    world.now += SignedDuration::from_mins(5);
    world.certificate.metadata.deletion_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(world.now));
    world.converge();
    assert!(world.gone && world.acm.is_empty());
}

#[test]
fn a_target_that_is_taken_out_goes_though_the_source_is_bad() {
    let mut world = World::new(&two_places());
    change_spec(&mut world, |spec| spec.acm[1].deletion_policy = crate::api::certificate::DeletionPolicy::Delete);
    world.keep(&Pair::default());
    world.converge();
    world.edit_secret("tls.crt", Some("nonsense"));
    change_spec(&mut world, |spec| spec.acm.truncate(1));
    world.now += SignedDuration::from_mins(5);
    world.converge();
    assert_eq!((world.of_target("edge").len(), world.of_target("far").len()), (1, 0));
    assert_free(&world);
}

#[test]
fn the_way_over_from_cert_manager_and_back_keeps_the_arn() {
    let mut world = delivered(&two_places());
    let arns = (arn(&world, "edge"), arn(&world, "far"));
    let serial = world.kept_serial();
    let over: crate::api::certificate::CertificateSpec = serde_json::from_value({
        let mut over = spec(&two_places()["acm"]);
        over["subject"] = json!({ "domainName": "app.pay.example" });
        over
    })
    .unwrap();
    // Without leave the Secret is left alone, and what was delivered stays.
    change_spec(&mut world, |spec| spec.clone_from(&over));
    world.converge();
    assert!(stalled(&world).unwrap().starts_with("SecretConflict"));
    assert_eq!((arn(&world, "edge"), world.paid), (arns.0.clone(), 0));
    // With it, the pair that is there is gone on with: nothing is bought before it is time.
    world.edit_annotation(ADOPT_BY_ANNOTATION, Some("app"));
    world.converge();
    assert!(ready(&world) && stalled(&world).is_none(), "{:#?}", world.certificate.status);
    assert_eq!((world.paid, world.serial()), (0, serial));
    super::force_renewal(&mut world);
    world.converge();
    assert_eq!((world.paid, world.certificate.status.as_ref().unwrap().revision), (1, Some(2)));
    assert_eq!((arn(&world, "edge"), arn(&world, "far")), arns);
    // Back: what is there stays until cert-manager writes.
    let source = Source { secret_ref: Some(SecretSource { name: "app-tls".into() }), ..Source::default() };
    change_spec(&mut world, |spec| {
        let acm = spec.acm.clone();
        spec.clone_from(&serde_json::from_value(two_places()).unwrap());
        (spec.source, spec.acm) = (source, acm);
    });
    world.converge();
    assert!(ready(&world) && stalled(&world).is_none(), "{:#?}", world.certificate.status);
    assert_eq!(world.certificate.status.as_ref().unwrap().revision, Some(2));
    world.keep(&Pair::default());
    world.converge();
    assert!(ready(&world));
    assert_eq!((arn(&world, "edge"), arn(&world, "far")), arns);
    assert_eq!((world.new_imports, world.paid), (2, 1));
    assert_eq!(world.certificate.status.as_ref().unwrap().revision, Some(3));
    assert_silent(&mut world);
}

#[test]
fn what_was_asked_for_before_and_came_to_nothing_goes() {
    let mut before = spec(&two_places()["acm"]);
    before["issuance"] = json!({ "first": "RequestOnly" });
    let mut world = World::new(&before);
    world.converge();
    assert_eq!((world.requests.len(), world.staged.len()), (1, 1), "it waits for a signature");
    change_spec(&mut world, |spec| spec.clone_from(&serde_json::from_value(two_places()).unwrap()));
    world.keep(&Pair::default());
    world.converge();
    world.converge();
    assert_delivered(&mut world);
}
