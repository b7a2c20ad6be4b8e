//! From any state, and whatever crashes, gets lost or is taken away: one ARN a target, one payment a revision, and
//! silence in the end.

mod acm_managed;
mod adoption;
mod blows;
mod budget;
mod drift;
mod elsewhere;
mod goes;
mod hands;
mod hostile;
mod imports;
mod keystores;
mod kinds;
mod managed_budget;
mod mixture;
mod publishing;
mod removed;
mod secrets;
mod shown;
mod sources;
mod trouble;
mod watched;
mod windows;
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

fn three_targets() -> Value {
    let mut spec = two_targets();
    spec["acm"].as_array_mut().unwrap().push(json!({ "name": "inner" }));
    spec
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
    let began = world.now;
    world.converge();
    assert!(world.gone);
    assert_eq!((world.of_target("edge").len(), world.of_target("far").len()), (0, 1));
    let took = world.now.duration_since(began);
    assert!(took < SignedDuration::from_secs(30), "what ACM said is deleted is not waited for: {took:#}");
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

/// The account is disabled: nothing is deleted there any more.
fn without_means() -> (World, String) {
    let mut world = World::new(&removable());
    world.converge();
    world.now += SignedDuration::from_mins(5);
    world.events.clear();
    world.account.spec.enabled = false;
    let arn = arn(&world, "edge");
    (world, arn)
}

fn assert_left_behind(world: &World, arn: &str) {
    assert_eq!(world.events, ["LeftBehind"]);
    let note = world.notes.last().unwrap();
    assert!(note.contains(arn) && note.contains("AccountDisabled") && note.contains("delete it"), "{note}");
    assert_eq!(world.acm.len(), 1);
}

#[test]
fn a_deletion_tells_once_what_it_leaves_behind() {
    let (mut world, arn) = without_means();
    world.certificate.metadata.deletion_timestamp = Some(Time(world.now));
    world.converge();
    assert!(world.gone);
    assert_left_behind(&world, &arn);
}

#[test]
fn a_target_taken_out_of_the_spec_tells_once_what_it_leaves_behind() {
    let (mut world, arn) = without_means();
    change_spec(&mut world, |spec| spec.acm.clear());
    world.converge();
    assert!(world.certificate.status.as_ref().unwrap().targets.is_empty());
    world.now += SignedDuration::from_hours(1);
    world.converge();
    assert_left_behind(&world, &arn);
    assert_silent(&mut world);
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
    stolen.leaf = other.ca.root;
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

/// Renewals two days apart; returns the writes of the last one, without those to AWS.
fn steady(world: &mut World) -> usize {
    let mut writes = 0;
    for _ in 0..4 {
        world.now += SignedDuration::from_hours(48);
        world.converge();
        let (before, paid) = (world.changes, world.paid);
        force_renewal(world);
        world.converge();
        assert_eq!(world.paid, paid + 1);
        writes = world.changes - before - world.certificate.spec.acm.len();
    }
    writes
}

fn force_renewal(world: &mut World) {
    let now = world.now.to_string();
    annotate(world, crate::api::RENEW_ANNOTATION, &now);
    world.touch();
}
