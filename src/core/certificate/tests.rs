//! From any state, and whatever crashes, gets lost or is taken away: one ARN a target, one payment a revision, and
//! silence in the end.

mod blows;
mod world;

use crate::api::conditions::{READY, STALLED, is_true};
use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use serde_json::{Value, json};
use world::{Fault, Pass, World};

fn spec(acm: &Value) -> Value {
    json!({
        "accountRef": { "name": "prod" }, "region": "eu-west-1", "duration": "2160h",
        "source": { "privateCa": { "certificateAuthority": { "name": "Example Private CA" } } },
        "subject": { "domainName": "app.pay.example", "additionalNames": ["www.pay.example"] },
        "secret": { "name": "app-tls" }, "acm": acm,
    })
}

fn two_targets() -> Value {
    spec(&json!([{ "name": "edge", "tags": { "team": "pay" } }, { "name": "far", "region": "us-east-1" }]))
}

fn annotate(world: &mut World, key: &str, value: &str) {
    world.certificate.annotations_mut().insert(key.into(), value.into());
}

fn change_spec(world: &mut World, change: impl FnOnce(&mut crate::api::certificate::CertificateSpec)) {
    change(&mut world.certificate.spec);
    *world.certificate.metadata.generation.get_or_insert(1) += 1;
    world.touch();
}

fn ready(world: &World) -> bool {
    world.certificate.status.as_ref().is_some_and(|s| is_true(&s.conditions, READY))
}

fn stalled(world: &World) -> Option<String> {
    let status = world.certificate.status.as_ref()?;
    status.conditions.iter().find(|c| c.type_ == STALLED).map(|c| format!("{}: {}", c.reason, c.message))
}

fn arn(world: &World, target: &str) -> String {
    let found = world.of_target(target);
    assert_eq!(found.len(), 1, "one certificate in ACM for {target}");
    found[0].arn.to_string()
}

/// A pass over a converged world changes nothing.
fn assert_silent(world: &mut World) {
    let (before, changes) = (world.certificate.status.clone(), world.changes);
    assert!(matches!(world.pass(|| Fault::Fine), Pass::Rested(_)));
    assert_eq!(world.changes, changes);
    assert_eq!(world.certificate.status, before);
}

#[test]
fn the_way_of_a_certificate_takes_nine_writes_at_most() {
    let mut world = World::new(&two_targets());
    world.converge();
    assert!(ready(&world), "{:#?}", world.certificate.status);
    assert_eq!((world.paid, world.new_imports), (1, 2));
    // Of DESIGN's nine, three belong to the request and to the event; two imports are no writes to Kubernetes.
    assert_eq!(world.changes - 2, 7, "writes");
    assert_eq!(world.events, ["Issued"]);
    assert!(world.staged.is_empty());
    assert_silent(&mut world);
}

#[test]
fn a_year_of_renewals_keeps_the_arn() {
    let mut world = World::new(&two_targets());
    world.converge();
    let arns = (arn(&world, "edge"), arn(&world, "far"));
    let mut serials = std::collections::BTreeSet::from([world.serial()]);
    let end = world.now + SignedDuration::from_hours(24 * 365);
    while world.now < end {
        world.now += SignedDuration::from_hours(24);
        world.converge();
        assert!(ready(&world));
        serials.insert(world.serial());
        assert_eq!((arn(&world, "edge"), arn(&world, "far")), arns);
        let leaf = &world.of_target("edge")[0].leaf;
        assert_eq!(Some(&leaf.serial), world.serial().as_ref());
        assert!(leaf.not_after > world.now);
    }
    assert_eq!(world.paid, serials.len());
    assert!((6..=8).contains(&serials.len()), "{} renewals in a year of 90-day certificates", serials.len());
    assert!(world.requests.len() <= 2, "old requests go");
    assert_eq!(world.certificate.status.unwrap().history.len(), serials.len().min(10));
}

#[test]
fn a_deleted_secret_is_made_again_under_the_same_arn() {
    let mut world = World::new(&two_targets());
    world.converge();
    let before = arn(&world, "edge");
    world.secret = None;
    world.converge();
    assert!(ready(&world));
    assert_eq!((arn(&world, "edge"), world.paid), (before, 2));
    assert_silent(&mut world);
}

#[test]
fn a_wiped_status_costs_nothing() {
    let mut world = World::new(&two_targets());
    world.converge();
    let before = (arn(&world, "edge"), arn(&world, "far"));
    world.certificate.status = None;
    world.process = world::Process::default();
    world.now += SignedDuration::from_mins(5);
    world.converge();
    assert!(ready(&world));
    assert_eq!((arn(&world, "edge"), arn(&world, "far")), before);
    assert_eq!((world.paid, world.new_imports), (1, 2));
}

/// As after a restore into another cluster of the same clusterId: new uids, no status, the Secret is there.
fn restore(world: &mut World) {
    world.certificate.status = None;
    world.certificate.metadata.uid = Some(format!("restored-{}", world.now));
    world.certificate.metadata.generation = Some(1);
    world.certificate.metadata.creation_timestamp = Some(Time(world.now));
    world.requests.clear();
    world.staged.clear();
    world.process = world::Process::default();
    world.now += SignedDuration::from_mins(2);
}

#[test]
fn a_restored_certificate_goes_on_with_its_arn_and_buys_nothing() {
    let mut world = World::new(&two_targets());
    world.converge();
    let before = (arn(&world, "edge"), arn(&world, "far"));
    restore(&mut world);
    world.converge();
    assert!(ready(&world));
    assert_eq!((arn(&world, "edge"), arn(&world, "far")), before);
    assert_eq!((world.paid, world.new_imports), (1, 2));
}

#[test]
fn each_value_of_the_annotation_forces_one_renewal() {
    let mut world = World::new(&two_targets());
    world.converge();
    let before = (arn(&world, "edge"), world.serial());
    let now = world.now.to_string();
    annotate(&mut world, crate::api::RENEW_ANNOTATION, &now);
    world.converge();
    world.converge();
    assert_eq!((arn(&world, "edge"), world.paid), (before.0, 2));
    assert_ne!(world.serial(), before.1);
    assert_eq!(world.events, ["Issued", "Renewed"]);
}

#[test]
fn a_changed_spec_issues_again_and_keeps_the_arn() {
    let mut world = World::new(&two_targets());
    world.converge();
    let before = arn(&world, "edge");
    change_spec(&mut world, |spec| spec.subject.additional_names.push("new.pay.example".into()));
    world.converge();
    assert!(world.of_target("edge")[0].leaf.names.dns.contains("new.pay.example"));
    assert_eq!((arn(&world, "edge"), world.paid), (before, 2));
}

#[test]
fn what_acm_would_refuse_is_told_before_it_is_paid_for() {
    let mut world = World::new(&two_targets());
    world.converge();
    change_spec(&mut world, |spec| {
        spec.private_key = Some(serde_json::from_value(json!({ "algorithm": "ECDSA", "size": 384 })).unwrap());
    });
    world.converge();
    let why = stalled(&world).unwrap();
    assert!(why.starts_with("PreflightFailed: ") && why.contains("EC_secp384r1"), "{why}");
    assert!(ready(&world), "the old one goes on");
    change_spec(&mut world, |spec| {
        spec.private_key = Some(serde_json::from_value(json!({ "algorithm": "RSA" })).unwrap());
    });
    world.converge();
    assert!(stalled(&world).unwrap().contains("own family"));
    change_spec(&mut world, |spec| {
        spec.private_key = None;
        spec.subject = serde_json::from_value(json!({ "domainName": "other.example" })).unwrap();
    });
    world.converge();
    assert!(stalled(&world).unwrap().contains("none of the domains"));
    assert_eq!(world.paid, 1);
}

#[test]
fn the_key_stays_with_rotation_policy_never() {
    let mut spec = two_targets();
    spec["privateKey"] = json!({ "rotationPolicy": "Never" });
    let mut world = World::new(&spec);
    world.converge();
    let key = |world: &World| world.of_target("edge")[0].leaf.public_key.clone();
    let before = key(&world);
    let now = world.now.to_string();
    annotate(&mut world, crate::api::RENEW_ANNOTATION, &now);
    world.converge();
    assert_eq!((key(&world), world.paid), (before, 2));
}

#[test]
fn without_reimport_each_renewal_is_a_new_arn_and_the_old_one_stays() {
    let mut world = World::new(&spec(&json!([{ "name": "edge", "reimport": false }])));
    world.converge();
    let now = world.now.to_string();
    annotate(&mut world, crate::api::RENEW_ANNOTATION, &now);
    world.converge();
    assert!(ready(&world), "{:#?}", world.certificate.status);
    assert_eq!((world.of_target("edge").len(), world.new_imports), (2, 2));
    assert_silent(&mut world);
}

#[test]
fn deletion_takes_from_acm_what_is_to_be_deleted_and_lets_the_rest_be() {
    let mut world = World::new(&spec(
        &json!([{ "name": "edge", "deletionPolicy": "Delete" }, { "name": "far", "region": "us-east-1" }]),
    ));
    world.converge();
    assert_eq!(world.certificate.metadata.finalizers.as_deref(), Some(&["arnkeeper.dev/acm".to_owned()][..]));
    world.certificate.metadata.deletion_timestamp = Some(Time(world.now));
    world.converge();
    assert!(world.gone);
    assert_eq!((world.of_target("edge").len(), world.of_target("far").len()), (0, 1));
}

#[test]
fn a_target_taken_out_of_the_spec_follows_its_deletion_policy() {
    let mut world = World::new(&spec(
        &json!([{ "name": "edge", "deletionPolicy": "Delete" }, { "name": "far", "region": "us-east-1" }]),
    ));
    world.converge();
    change_spec(&mut world, |spec| spec.acm.clear());
    world.converge();
    assert_eq!((world.of_target("edge").len(), world.of_target("far").len()), (0, 1));
    assert!(world.certificate.status.as_ref().unwrap().targets.is_empty());
    assert!(world.certificate.metadata.finalizers.is_none());
}

#[test]
fn a_disabled_certificate_does_nothing() {
    let mut spec = two_targets();
    spec["enabled"] = json!(false);
    let mut world = World::new(&spec);
    world.converge();
    assert_eq!((world.paid, world.new_imports, world.requests.len()), (0, 0, 0));
    assert!(!ready(&world));
}

#[test]
fn tags_that_somebody_took_away_are_put_back_only_on_what_is_ours() {
    let mut world = World::new(&spec(&json!([{ "name": "edge" }])));
    world.converge();
    world.acm[0].tags.clear();
    world.certificate.status = None;
    world.process = world::Process::default();
    let mut stolen = world.acm[0].clone();
    stolen.arn = "arn:aws:acm:eu-west-1:111122223333:certificate/99999999-0000-0000-0000-000000000000".parse().unwrap();
    // Somebody writes the ARN of a certificate with other bytes into the status.
    let other = World::new(&spec(&json!([{ "name": "edge" }])));
    stolen.leaf = other.root;
    let entry =
        json!({ "name": "edge", "account": "prod", "region": "eu-west-1", "arn": stolen.arn, "state": "Pending" });
    world.acm.push(stolen);
    world.certificate.status = Some(serde_json::from_value(json!({ "revision": 1, "targets": [entry] })).unwrap());
    world.converge();
    assert!(stalled(&world).unwrap().starts_with("OwnershipUnknown"), "{:?}", stalled(&world));
    assert!(world.acm[1].tags.is_empty());
    let ours = json!({ "name": "edge", "account": "prod", "region": "eu-west-1", "arn": world.acm[0].arn, "state": "Pending" });
    world.certificate.status = Some(serde_json::from_value(json!({ "revision": 1, "targets": [ours] })).unwrap());
    world.converge();
    assert!(ready(&world), "{:#?}", world.certificate.status);
    assert_eq!(world.acm[0].tags["arnkeeper.dev/target"], "edge");
    assert_eq!(world.new_imports, 1);
}

#[test]
fn of_two_certificates_with_our_tags_the_one_in_status_stays() {
    let mut world = World::new(&spec(&json!([{ "name": "edge" }])));
    world.converge();
    let mut twin = world.acm[0].clone();
    twin.arn = "arn:aws:acm:eu-west-1:111122223333:certificate/99999999-0000-0000-0000-000000000000".parse().unwrap();
    world.acm.insert(0, twin);
    world.now += SignedDuration::from_mins(2);
    let (kept, now) = (world.acm[1].arn.to_string(), world.now.to_string());
    annotate(&mut world, crate::api::RENEW_ANNOTATION, &now);
    world.converge();
    assert!(ready(&world), "{:#?}", world.certificate.status);
    assert_eq!((arn(&world, "edge"), world.new_imports), (kept, 1));
}

/// Passes without faults until `done`.
fn until(world: &mut World, done: impl Fn(&World) -> bool) {
    for _ in 0..40 {
        if done(world) {
            return;
        }
        world.pass(|| Fault::Fine);
        world.sign();
        world.now += SignedDuration::from_secs(1);
    }
    panic!("it never came: {:#?}", world.certificate.status);
}

/// One pass in which the changes have these faults, in turn.
fn faulty(world: &mut World, faults: &[Fault]) -> Pass {
    let mut faults = faults.iter();
    world.pass(|| faults.next().copied().unwrap_or(Fault::Fine))
}

/// A world that has its certificate, and has just stored the record of an import; the import then meets this fault.
fn at_the_import(spec: &Value, fault: Fault) -> World {
    let mut world = World::new(spec);
    until(&mut world, |w| w.requests.values().any(|r| r.status.is_some()));
    // The Secret, the staged key, the record.
    faulty(&mut world, &[Fault::Fine, Fault::Fine, Fault::Fine, fault]);
    world
}

fn one_target() -> Value {
    spec(&json!([{ "name": "edge" }]))
}

fn removable() -> Value {
    spec(&json!([{ "name": "edge", "deletionPolicy": "Delete" }]))
}

fn force_renewal(world: &mut World) {
    let now = world.now.to_string();
    annotate(world, crate::api::RENEW_ANNOTATION, &now);
    world.touch();
}

#[test]
fn an_import_that_acm_does_not_show_yet_is_not_made_again_by_the_next_process() {
    let mut world = World::new(&one_target());
    world.hidden = SignedDuration::from_secs(40);
    until(&mut world, |w| w.new_imports == 1);
    world.crash();
    world.converge();
    assert!(ready(&world), "{:#?}", world.certificate.status);
    arn(&world, "edge");
    assert_eq!(world.new_imports, 1);
    assert_silent(&mut world);
}

#[test]
fn without_reimport_a_renewal_that_acm_does_not_show_yet_is_not_imported_twice() {
    let mut world = World::new(&spec(&json!([{ "name": "edge", "reimport": false }])));
    world.converge();
    world.now += SignedDuration::from_mins(5);
    world.hidden = SignedDuration::from_secs(40);
    force_renewal(&mut world);
    until(&mut world, |w| w.new_imports == 2);
    world.crash();
    world.converge();
    assert!(ready(&world), "{:#?}", world.certificate.status);
    assert_eq!(world.new_imports, 2);
    assert_silent(&mut world);
}

#[test]
fn a_target_taken_away_and_put_back_during_an_import_has_one_arn() {
    for (policy, fault) in [("Retain", Fault::AnswerLost), ("Retain", Fault::CrashAfter), ("Delete", Fault::CrashAfter)]
    {
        let spec = spec(&json!([{ "name": "edge", "deletionPolicy": policy }]));
        let mut world = at_the_import(&spec, fault);
        assert_eq!(world.new_imports, 1);
        let target = world.certificate.spec.acm[0].clone();
        change_spec(&mut world, |spec| spec.acm.clear());
        faulty(&mut world, &[]);
        world.crash();
        change_spec(&mut world, |spec| spec.acm.push(target));
        world.converge();
        assert!(ready(&world), "{:#?}", world.certificate.status);
        arn(&world, "edge");
        assert_silent(&mut world);
    }
}

#[test]
fn a_target_with_an_import_under_way_is_deleted_all_the_same() {
    for fault in [Fault::AnswerLost, Fault::CrashAfter, Fault::Fine] {
        for whole in [true, false] {
            let mut world = at_the_import(&removable(), fault);
            world.hidden = SignedDuration::from_secs(40);
            assert_eq!(world.new_imports, 1);
            if whole {
                world.certificate.metadata.deletion_timestamp = Some(Time(world.now));
            } else {
                change_spec(&mut world, |spec| spec.acm.clear());
            }
            world.touch();
            world.converge();
            assert!(world.of_target("edge").is_empty(), "{fault:?} {whole}");
            assert!(world.gone || !whole);
        }
    }
}

#[test]
fn a_status_wiped_or_a_certificate_made_again_during_an_import_has_one_arn() {
    for again in [true, false] {
        let mut world = at_the_import(&one_target(), Fault::AnswerLost);
        assert_eq!(world.new_imports, 1);
        world.certificate.status = None;
        if again {
            world.certificate.metadata.uid = Some("u1".into());
            world.certificate.metadata.creation_timestamp = Some(Time(world.now));
            world.now += SignedDuration::from_secs(1);
        }
        world.touch();
        world.converge();
        assert!(ready(&world), "{:#?}", world.certificate.status);
        arn(&world, "edge");
        assert_eq!((world.new_imports, world.paid), (1, 1));
    }
}

#[test]
fn a_refused_import_says_nothing_of_the_import_of_another_process() {
    let mut world = at_the_import(&one_target(), Fault::Refused);
    assert_eq!(world.new_imports, 0);
    world.swap();
    // The other one waits a minute, looks, and imports; its answer is lost.
    world.now += SignedDuration::from_secs(70);
    faulty(&mut world, &[Fault::Fine, Fault::AnswerLost]);
    assert_eq!(world.new_imports, 1);
    world.swap();
    world.converge();
    arn(&world, "edge");
    assert_eq!(world.new_imports, 1);
}

#[test]
fn a_record_that_took_long_to_be_stored_carries_no_import() {
    let mut world = World::new(&one_target());
    world.slow_save = SignedDuration::from_secs(30);
    until(&mut world, |w| w.certificate.status.iter().flat_map(|s| &s.targets).any(|t| t.pending_since.is_some()));
    assert_eq!(world.new_imports, 0);
    world.slow_save = SignedDuration::ZERO;
    world.converge();
    assert!(ready(&world), "{:#?}", world.certificate.status);
    assert_eq!((arn(&world, "edge"), world.new_imports), (world.acm[0].arn.to_string(), 1));
}

#[test]
fn a_record_from_the_future_does_not_hold_up_an_import_for_long() {
    let mut world = at_the_import(&one_target(), Fault::AnswerLost);
    // The clock was a month ahead when the record was made.
    let ahead = world.now + SignedDuration::from_hours(24 * 30);
    world.certificate.status.as_mut().unwrap().targets[0].pending_since = Some(Time(ahead));
    world.crash();
    world.converge();
    assert!(ready(&world), "{:#?}", world.certificate.status);
    assert_eq!((arn(&world, "edge"), world.new_imports), (world.acm[0].arn.to_string(), 1));
}

#[test]
fn a_key_staged_for_another_spec_is_not_signed() {
    let changes: [fn(&mut crate::api::certificate::CertificateSpec); 2] = [
        |spec| spec.subject.additional_names.push("new.pay.example".into()),
        |spec| spec.private_key = serde_json::from_value(json!({ "algorithm": "ECDSA", "size": 384 })).unwrap(),
    ];
    for change in changes {
        let mut world = World::new(&one_target());
        faulty(&mut world, &[Fault::CrashAfter]);
        assert_eq!(world.staged.len(), 1);
        change_spec(&mut world, change);
        world.converge();
        assert!(ready(&world), "{:#?}", world.certificate.status);
        let leaf = &world.of_target("edge")[0].leaf;
        let asks = world.certificate.spec.private_key.is_some();
        assert_eq!(leaf.names.dns.contains("new.pay.example"), !asks);
        assert_eq!(leaf.algorithm == Some(crate::pki::algorithm::KeyAlgorithm::EcSecp384r1), asks);
        assert_eq!(world.paid, 1);
        assert!(world.staged.is_empty());
        assert_silent(&mut world);
    }
}

#[test]
fn a_target_that_is_out_of_reach_does_not_keep_the_others_from_their_renewal() {
    let mut world = World::new(&two_targets());
    world.converge();
    let before = (arn(&world, "edge"), arn(&world, "far"));
    world.account.spec.regions.retain(|region| region.as_str() == "eu-west-1");
    force_renewal(&mut world);
    world.converge();
    assert_eq!(world.paid, 2);
    assert_eq!(Some(&world.of_target("edge")[0].leaf.serial), world.serial().as_ref());
    assert!(stalled(&world).unwrap().starts_with("RegionNotAllowed"), "{:?}", stalled(&world));
    assert!(ready(&world), "what is out of reach has a valid certificate still");
    world.account.spec.regions.push("us-east-1".parse().unwrap());
    world.now += SignedDuration::from_mins(10);
    world.converge();
    assert_eq!((arn(&world, "edge"), arn(&world, "far"), world.paid), (before.0, before.1, 2));
    assert_eq!(Some(&world.of_target("far")[0].leaf.serial), world.serial().as_ref());
    assert_silent(&mut world);
}

#[test]
fn a_renewal_asked_for_in_the_future_comes_in_its_time() {
    let mut world = World::new(&one_target());
    world.converge();
    let soon = (world.now + SignedDuration::from_mins(5)).to_string();
    annotate(&mut world, crate::api::RENEW_ANNOTATION, &soon);
    let Pass::Rested(rest) = world.pass(|| Fault::Fine) else { panic!("no rest") };
    assert!(rest <= SignedDuration::from_mins(5), "{rest}");
    assert_eq!(world.paid, 1);
    world.now += rest;
    world.converge();
    assert_eq!(world.paid, 2);
}

#[test]
fn a_foreign_secret_is_nobodys_certificate_here() {
    let mut world = World::new(&one_target());
    world.converge();
    let theirs = world.secret.as_mut().unwrap();
    theirs.metadata.annotations = None;
    world.certificate.status = None;
    world.crash();
    world.converge();
    assert!(stalled(&world).unwrap().contains("is not this Certificate's"), "{:?}", stalled(&world));
    let status = world.certificate.status.clone().unwrap();
    assert!(!ready(&world) && status.serial_number.is_none() && status.history.is_empty(), "{status:#?}");
    assert!(status.conditions.iter().all(|c| c.type_ != "Delivered"));
    let other = crate::api::OWNED_BY_ANNOTATION.to_owned();
    world.secret.as_mut().unwrap().metadata.annotations = Some([(other, "other".to_owned())].into());
    world.converge();
    assert!(stalled(&world).unwrap().contains("\"other\" keeps the Secret"), "{:?}", stalled(&world));
    assert_eq!(world.paid, 1);
}

#[test]
fn a_revision_that_is_none_is_not_believed() {
    for revision in [i64::MAX, i64::MIN, -1] {
        let mut world = World::new(&one_target());
        world.converge();
        let annotations = world.secret.as_mut().unwrap().metadata.annotations.as_mut().unwrap();
        annotations.insert(crate::api::REVISION_ANNOTATION.into(), revision.to_string());
        world.certificate.status.as_mut().unwrap().revision = Some(revision);
        force_renewal(&mut world);
        world.converge();
        assert!(ready(&world), "{:#?}", world.certificate.status);
        assert_eq!(world.of_target("edge").len(), 1);
    }
}

#[test]
fn reads_that_fail_end_the_pass() {
    let mut world = World::new(&removable());
    world.converge();
    // A renewal whose pre-flight has to look at ACM.
    world.certificate.status.as_mut().unwrap().targets[0].serial_number = None;
    force_renewal(&mut world);
    world.deaf = 1000;
    world.converge();
    assert_eq!(world.paid, 1);
    assert!(world.deaf > 900, "each pass asks once: {}", world.deaf);
    world.certificate.metadata.deletion_timestamp = Some(Time(world.now));
    world.certificate.status.as_mut().unwrap().targets[0].arn = None;
    world.certificate.status.as_mut().unwrap().targets[0].pending_since = Some(Time(world.now));
    world.now += SignedDuration::from_mins(2);
    let before = world.deaf;
    world.pass(|| Fault::Fine);
    assert!(before - world.deaf <= 2);
    // After a day it is let go, whether or not it can be marked.
    world.deaf = 0;
    world.now += SignedDuration::from_hours(25);
    for _ in 0..5 {
        world.pass(|| Fault::Refused);
    }
    world.converge();
    assert!(world.gone);
}

#[test]
fn what_was_left_alone_without_reimport_stays_when_reimport_begins() {
    let mut world = World::new(&spec(&json!([{ "name": "edge", "reimport": false }])));
    world.converge();
    world.now += SignedDuration::from_mins(5);
    force_renewal(&mut world);
    world.converge();
    assert_eq!(world.of_target("edge").len(), 2);
    let arns = |world: &World| world.acm.iter().map(|c| c.arn.to_string()).collect::<Vec<_>>();
    let before = arns(&world);
    for wipe in [false, true] {
        change_spec(&mut world, |spec| spec.acm[0].reimport = Some(true));
        world.now += SignedDuration::from_mins(5);
        force_renewal(&mut world);
        world.converge();
        assert!(ready(&world), "{:#?}", world.certificate.status);
        assert_eq!(arns(&world), before);
        assert_eq!(Some(world.acm[1].leaf.serial.clone()), world.serial());
        if wipe {
            world.certificate.status = None;
            world.converge();
            assert_eq!(arns(&world), before);
        }
    }
    // And off again: the one that is there is this revision's.
    change_spec(&mut world, |spec| spec.acm[0].reimport = Some(false));
    world.converge();
    world.certificate.status = None;
    world.converge();
    assert_eq!(arns(&world), before);
    force_renewal(&mut world);
    world.converge();
    assert_eq!(arns(&world).len(), 3);
}

#[test]
fn what_acm_has_is_looked_at_before_anything_is_paid_for_even_where_no_arn_is_known() {
    let mut world = World::new(&one_target());
    world.converge();
    world.certificate.status = None;
    world.secret = None;
    change_spec(&mut world, |spec| {
        spec.private_key = Some(serde_json::from_value(json!({ "algorithm": "ECDSA", "size": 384 })).unwrap());
    });
    world.now += SignedDuration::from_mins(5);
    world.converge();
    assert!(stalled(&world).unwrap().starts_with("PreflightFailed"), "{:?}", stalled(&world));
    assert_eq!((world.paid, world.new_imports), (1, 1));
    // The same while nobody knows yet whether the import was made.
    let mut world = at_the_import(&one_target(), Fault::AnswerLost);
    change_spec(&mut world, |spec| {
        spec.subject = serde_json::from_value(json!({ "domainName": "other.example" })).unwrap();
    });
    world.converge();
    assert!(stalled(&world).unwrap().contains("none of the domains"), "{:?}", stalled(&world));
    assert_eq!((world.paid, world.new_imports), (1, 1));
}

#[test]
fn a_certificate_that_is_being_replaced_goes_under_no_new_arn() {
    let mut world = at_the_import(&one_target(), Fault::Unsent);
    change_spec(&mut world, |spec| {
        spec.subject = serde_json::from_value(json!({ "domainName": "other.example" })).unwrap();
    });
    // The signature takes its time.
    for _ in 0..5 {
        world.now += SignedDuration::from_mins(2);
        world.pass(|| Fault::Fine);
    }
    world.converge();
    assert!(ready(&world), "{:#?}", world.certificate.status);
    assert!(world.of_target("edge")[0].leaf.names.dns.contains("other.example"));
    assert_eq!((world.paid, world.new_imports), (2, 1));
}

#[test]
fn a_secret_that_is_deleted_again_and_again_does_not_buy_for_ever() {
    let mut world = World::new(&one_target());
    for _ in 0..30 {
        world.secret = None;
        world.converge();
    }
    assert!(world.paid <= 6, "{} paid for", world.paid);
    world.now += SignedDuration::from_hours(2);
    world.converge();
    assert!(ready(&world), "{:#?}", world.certificate.status);
    assert_silent(&mut world);
}

#[test]
fn a_spec_that_changes_its_mind_while_nothing_is_signed_finds_its_way() {
    let mut world = World::new(&one_target());
    for n in 0..30 {
        change_spec(&mut world, |spec| spec.subject.additional_names = vec![format!("n{n}.pay.example")]);
        faulty(&mut world, &[]);
        world.supersede();
        world.now += SignedDuration::from_mins(2);
    }
    world.converge();
    assert!(ready(&world), "{:#?}", world.certificate.status);
    assert_eq!(world.paid, 1);
}

#[test]
fn what_came_of_an_import_is_stored_while_a_renewal_is_under_way() {
    let mut world = World::new(&one_target());
    world.converge();
    force_renewal(&mut world);
    faulty(&mut world, &[]);
    change_spec(&mut world, |spec| {
        let mut far = spec.acm[0].clone();
        far.name = "far".into();
        spec.acm.push(far);
    });
    for _ in 0..5 {
        world.now += SignedDuration::from_secs(15);
        faulty(&mut world, &[]);
    }
    let status = world.certificate.status.clone().unwrap();
    assert!(status.targets[1].arn.is_some(), "{status:#?}");
    world.converge();
    assert_eq!(world.new_imports, 2);
}

#[test]
fn a_staged_secret_of_somebody_else_stays() {
    let mut world = World::new(&one_target());
    world.converge();
    let mut foreign = world.secret.clone().unwrap();
    foreign.metadata.owner_references = None;
    world.staged.insert(1, foreign);
    world.certificate.status = None;
    world.crash();
    world.now += SignedDuration::from_mins(2);
    world.converge();
    assert!(ready(&world));
    assert_eq!(world.staged.len(), 1);
    assert_silent(&mut world);
}
