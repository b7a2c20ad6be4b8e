//! Where the ARN is needed: written once, put back, taken away; and no word of it to those who are not concerned.

use super::{
    world::shelf::{annotation, key},
    *,
};
use crate::{
    api::{
        conditions::PUBLISHED,
        publish::{ObjectRef, Place, PublishState},
    },
    core::certificate::published::{self, MARK, Trouble, Version, applied, field_manager},
};

mod any;
pub mod people;

const ARN: &str = "alb.ingress.kubernetes.io/certificate-arn";

fn object(kind: &str, name: &str) -> ObjectRef {
    let api_version = if kind == "Ingress" { "networking.k8s.io/v1" } else { "v1" };
    ObjectRef { api_version: api_version.into(), kind: kind.into(), name: name.into() }
}

fn ingress() -> ObjectRef {
    object("Ingress", "web")
}

fn config() -> ObjectRef {
    object("ConfigMap", "arns")
}

fn entries() -> Value {
    json!([
        { "target": "edge", "kind": "Ingress", "name": "web", "annotation": ARN },
        { "target": "edge", "kind": "ConfigMap", "name": "arns", "configMapKey": "edge" },
        { "target": "far", "kind": "ConfigMap", "name": "arns", "configMapKey": "far" },
    ])
}

fn publish(world: &mut World, entries: Value) {
    change_spec(world, |spec| spec.publish = serde_json::from_value(entries).unwrap());
}

/// Both objects are there, and three entries are wanted.
fn publishing() -> World {
    let mut world = World::new(&two_targets());
    people::begin(&mut world);
    world
}

fn value(world: &mut World, object: &ObjectRef, place: &Place) -> Option<String> {
    world.shelved(object)?.value(place).map(str::to_owned)
}

fn reason(world: &World) -> Option<(String, String)> {
    let status = world.certificate.status.as_ref()?;
    let told = status.conditions.iter().find(|c| c.type_ == PUBLISHED)?;
    Some((told.status.clone(), told.reason.clone()))
}

fn is_published(world: &World) -> bool {
    reason(world) == Some(("True".into(), "Published".into()))
}

/// Everything that is wanted is there.
fn assert_published(world: &mut World) {
    assert!(is_published(world) && ready(world), "{:#?}", world.certificate.status);
    let (edge, far) = (arn(world, "edge"), arn(world, "far"));
    assert_eq!(value(world, &ingress(), &annotation(ARN)).as_ref(), Some(&edge));
    assert_eq!(value(world, &config(), &key("edge")).as_ref(), Some(&edge));
    assert_eq!(value(world, &config(), &key("far")).as_ref(), Some(&far));
}

/// Passes until past the next look.
fn look(world: &mut World) {
    world.now += SignedDuration::from_mins(70);
    world.converge();
}

#[test]
fn each_arn_is_written_once_and_costs_one_status_more() {
    let mut plain = World::new(&two_targets());
    plain.converge();
    let mut world = publishing();
    world.converge();
    assert_published(&mut world);
    assert_eq!((world.shelf_reads, world.shelf_writes), (2, 2));
    assert_eq!(world.changes - world.shelf_writes - plain.changes, 1, "what is written is stored before and after");
    assert_eq!(world.events, ["Issued"]);
    assert_silent(&mut world);
    assert_eq!(world.shelf_reads, 2, "nothing is read between looks");
    look(&mut world);
    assert_eq!((world.shelf_reads, world.shelf_writes), (4, 2));
    // A new process neither reads nor writes.
    world.process = world::Process::default();
    world.converge();
    assert_eq!((world.shelf_reads, world.shelf_writes), (4, 2));
    assert_silent(&mut world);
}

#[test]
fn a_renewal_writes_nothing_and_another_arn_is_written() {
    let mut world = publishing();
    world.converge();
    let (before, now) = (arn(&world, "edge"), world.now.to_string());
    annotate(&mut world, crate::api::RENEW_ANNOTATION, &now);
    world.converge();
    assert_eq!((arn(&world, "edge"), world.shelf_writes, world.paid), (before.clone(), 2, 2));
    assert_published(&mut world);
    // Each renewal is another ARN: until it is there, the one before stands.
    change_spec(&mut world, |spec| spec.acm[0].reimport = Some(false));
    world.converge();
    let now = world.now.to_string();
    annotate(&mut world, crate::api::RENEW_ANNOTATION, &now);
    let begin = world.shelf_writes;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..12 {
        seen.insert(value(&mut world, &ingress(), &annotation(ARN)));
        world.pass(|| Fault::Fine);
        world.sign();
        world.now += SignedDuration::from_secs(61);
    }
    world.converge();
    let after = world.certificate.status.as_ref().unwrap().targets[0].arn.clone().unwrap().to_string();
    assert_ne!(after, before);
    seen.insert(value(&mut world, &ingress(), &annotation(ARN)));
    assert_eq!(seen, std::collections::BTreeSet::from([Some(before), Some(after)]), "it never was without");
    assert_eq!(world.shelf_writes - begin, 2);
    assert!(is_published(&world));
}

#[test]
fn what_somebody_took_away_is_put_back_and_what_somebody_changed_is_told() {
    let mut world = publishing();
    world.converge();
    world.edit_shelved(&ingress(), &annotation(ARN), None);
    look(&mut world);
    assert_published(&mut world);
    assert_eq!(world.events, ["Issued", "Drift"]);
    world.edit_shelved(&config(), &key("far"), Some("mine"));
    look(&mut world);
    assert_eq!(reason(&world), Some(("False".into(), "FieldConflict".into())));
    assert_eq!(value(&mut world, &config(), &key("far")).as_deref(), Some("mine"), "it is not forced");
    assert!(ready(&world));
    assert_eq!(world.events[2..], ["Drift", "FieldConflict"]);
    assert_silent(&mut world);
    // Tried slowly, and without another word.
    let writes = world.shelf_writes;
    world.now += SignedDuration::from_hours(1);
    world.converge();
    assert!((1..=6).contains(&(world.shelf_writes - writes)));
    assert_eq!(world.events.len(), 4);
    world.edit_shelved(&config(), &key("far"), None);
    look(&mut world);
    assert_published(&mut world);
    assert_eq!(world.events[4..], ["Published"]);
}

#[test]
fn what_is_not_there_is_told_and_heals() {
    let mut world = publishing();
    world.shelf.clear();
    world.converge();
    assert!(ready(&world));
    assert_eq!(reason(&world), Some(("False".into(), "ObjectNotFound".into())));
    assert!(world.shelf.is_empty(), "nothing is made");
    world.put_on_shelf(ingress());
    world.put_on_shelf(config());
    world.now += SignedDuration::from_mins(5);
    world.converge();
    assert_published(&mut world);
    // Made again under another uid, without what was there.
    world.put_on_shelf(ingress());
    look(&mut world);
    assert_published(&mut world);
}

#[test]
fn a_missing_right_is_told_and_whoever_touches_the_certificate_tries_again() {
    let touches: [fn(&mut World); 2] =
        [|w| change_spec(w, |spec| spec.history_limit = 5), |w| annotate(w, "example.com/look", "1")];
    for touch in touches {
        let mut world = publishing();
        world.shelved(&config()).unwrap().forbidden = true;
        world.converge();
        assert_eq!(reason(&world), Some(("False".into(), "PublishForbidden".into())));
        assert!(value(&mut world, &ingress(), &annotation(ARN)).is_some(), "the others go on");
        world.shelved(&config()).unwrap().forbidden = false;
        assert_silent(&mut world);
        touch(&mut world);
        world.converge();
        assert_published(&mut world);
    }
}

#[test]
fn a_withdrawn_entry_is_taken_away_whatever_crashes() {
    for fault in [Fault::Fine, Fault::CrashBefore, Fault::CrashAfter, Fault::AnswerLost, Fault::Unsent] {
        for moment in 0..5 {
            let mut world = publishing();
            let mut left = moment;
            world.converge();
            publish(
                &mut world,
                json!([{ "target": "edge", "kind": "ConfigMap", "name": "arns", "configMapKey": "edge" }]),
            );
            world.pass(|| {
                left -= 1;
                if left == 0 { fault } else { Fault::Fine }
            });
            world.converge();
            assert_eq!(value(&mut world, &ingress(), &annotation(ARN)), None, "{fault:?} at {moment}");
            assert_eq!(value(&mut world, &config(), &key("far")), None);
            let edge = arn(&world, "edge");
            assert_eq!(value(&mut world, &config(), &key("edge")), Some(edge));
            assert!(is_published(&world));
            publish(&mut world, json!([]));
            world.converge();
            assert!(world.shelf.iter().all(|s| s.fields.is_empty()));
            assert_eq!(reason(&world), None);
            assert!(world.certificate.status.as_ref().unwrap().published.is_empty());
            assert_silent(&mut world);
        }
    }
}

#[test]
fn who_was_frozen_in_its_write_undoes_nothing_that_came_after() {
    let mut world = World::new(&two_targets());
    world.put_on_shelf(ingress());
    world.put_on_shelf(config());
    world.converge();
    // The other process writes what this one is about to write, and then takes it away.
    publish(&mut world, entries());
    world.meanwhile = Some(|world| publish(world, json!([])));
    world.pass(|| Fault::Frozen);
    assert!(world.meanwhile.is_none(), "it was frozen");
    assert!(world.shelf.iter().all(|s| s.fields.is_empty()), "no ARN stays that nobody knows of");
    world.converge();
    assert!(world.shelf.iter().all(|s| s.fields.is_empty()));
    assert_silent(&mut world);
    // Frozen as it takes away: it is wanted again, and stands there all the while.
    publish(&mut world, entries());
    world.converge();
    publish(&mut world, json!([]));
    world.meanwhile = Some(|world| publish(world, entries()));
    world.pass(|| Fault::Frozen);
    assert!(world.meanwhile.is_none(), "it was frozen");
    assert_published(&mut world);
    world.converge();
    assert_published(&mut world);
    assert_silent(&mut world);
    // Who knows only an older Certificate writes nothing.
    publish(&mut world, json!([]));
    let older = world.certificate.clone();
    publish(&mut world, entries());
    world.converge();
    world.restart_with(older);
    world.pass(|| Fault::Fine);
    assert_published(&mut world);
    assert_silent(&mut world);
}

#[test]
fn who_was_frozen_before_a_first_write_writes_nothing_that_was_withdrawn_meanwhile() {
    let one = || json!([entries()[0], entries()[1]]);
    // Withdrawn before anybody wrote it: alone in its object, or beside what stands there already.
    for (before, wanted) in [(json!([]), entries()), (one(), entries())] {
        for fault in [Fault::Fine, Fault::CrashBefore, Fault::CrashAfter, Fault::AnswerLost, Fault::Unsent] {
            for moment in 0..7 {
                let mut world = World::new(&two_targets());
                world.put_on_shelf(ingress());
                world.put_on_shelf(config());
                publish(&mut world, before.clone());
                world.converge();
                publish(&mut world, wanted.clone());
                faulty(&mut world, &[Fault::Fine, Fault::CrashBefore]);
                // Its record is stored, and its call on the way.
                let recorded = world.certificate.status.clone().unwrap().published;
                let late: Vec<_> = recorded
                    .iter()
                    .filter(|p| p.state == PublishState::Pending)
                    .map(|p| (p.object(), world.shelved(&p.object()).unwrap().version.clone(), p.fields.clone()))
                    .collect();
                assert!(!late.is_empty());
                publish(&mut world, before.clone());
                let mut calls = 0;
                world.pass(|| {
                    calls += 1;
                    if calls == moment { fault } else { Fault::Fine }
                });
                world.converge();
                for (object, version, fields) in late {
                    let mut o = world.observe();
                    world.publish(&mut o, &object, &version, fields, false);
                    world.conflicts = 0;
                }
                people::assert_as_wanted(&mut world, false);
                assert!(world.shelf.iter().all(|s| s.value(&annotation(MARK)).is_none()), "{fault:?} at {moment}");
                assert_silent(&mut world);
            }
        }
    }
}

#[test]
fn what_may_have_been_written_without_an_answer_is_taken_back() {
    let mut world = World::new(&two_targets());
    world.put_on_shelf(ingress());
    world.put_on_shelf(config());
    world.converge();
    publish(&mut world, entries());
    // The record, and one write.
    faulty(&mut world, &[Fault::Fine, Fault::AnswerLost]);
    assert!(world.shelf.iter().any(|s| !s.fields.is_empty()));
    let mut o = world.observe();
    for object in [ingress(), config()] {
        for _ in 0..5 {
            let trouble = Trouble { state: PublishState::Unavailable, message: "no answer".into() };
            published::failed(&mut o, &object, trouble, world.now);
        }
    }
    world.process.memory.insert(o.uid(), o.memory);
    publish(&mut world, json!([]));
    world.converge();
    assert!(world.shelf.iter().all(|s| s.fields.is_empty()));
    assert!(world.certificate.status.as_ref().unwrap().published.is_empty());
}

#[test]
fn a_withdrawn_entry_of_an_object_that_is_gone_is_forgotten() {
    let mut world = publishing();
    world.converge();
    world.shelf.clear();
    publish(&mut world, json!([]));
    world.converge();
    assert!(world.certificate.status.as_ref().unwrap().published.is_empty());
    assert_silent(&mut world);
}

#[test]
fn a_deleted_certificate_leaves_the_arn_where_it_is() {
    let mut world = publishing();
    world.converge();
    assert!(world.certificate.finalizers().is_empty(), "nothing is to be undone");
    world.certificate.metadata.deletion_timestamp = Some(Time(world.now));
    world.pass(|| Fault::Fine);
    assert!(value(&mut world, &ingress(), &annotation(ARN)).is_some());
}

#[test]
fn nothing_is_published_while_disabled_nor_in_the_namespaces_of_kubernetes() {
    let mut world = publishing();
    world.certificate.spec.enabled = false;
    world.converge();
    assert_eq!(world.shelf_reads, 0);
    let mut world = publishing();
    world.certificate.metadata.namespace = Some("kube-system".into());
    world.converge();
    assert!(ready(&world));
    assert_eq!(reason(&world), Some(("False".into(), "PublishRefused".into())));
    assert_eq!((world.shelf_reads, world.shelf_writes), (0, 0));
    assert_silent(&mut world);
}

#[test]
fn a_status_makes_nobody_touch_what_is_refused() {
    let mut world = publishing();
    world.converge();
    world.put_on_shelf(object("Secret", "keys"));
    let status = world.certificate.status.as_mut().unwrap();
    let mut forged = status.published[0].clone();
    (forged.kind, forged.api_version, forged.name) = ("Secret".into(), "v1".into(), "keys".into());
    forged.state = PublishState::Pending;
    status.published.push(forged);
    world.touch();
    let before = (world.shelf_reads, world.shelf_writes);
    world.converge();
    assert_eq!((world.shelf_reads, world.shelf_writes), before);
    assert_eq!(world.certificate.status.as_ref().unwrap().published.len(), 2);
}

#[test]
fn what_is_applied_is_the_fields_and_nothing_else() {
    let mut world = publishing();
    world.converge();
    let published = &world.certificate.status.as_ref().unwrap().published;
    let (ingress, config) = (&published[0], &published[1]);
    let edge = arn(&world, "edge");
    let read = Version { uid: "u".into(), resource_version: "7".into() };
    assert_eq!(
        applied(&ingress.object(), &read, &ingress.fields, false),
        json!({ "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": { "name": "web", "uid": "u", "resourceVersion": "7", "annotations": { ARN: edge } } })
    );
    assert_eq!(
        applied(&config.object(), &read, &config.fields, false),
        json!({ "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": "arns", "uid": "u", "resourceVersion": "7" },
            "data": { "edge": edge, "far": arn(&world, "far") } })
    );
    assert_eq!(
        applied(&config.object(), &read, &[], false),
        json!({ "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": "arns", "uid": "u", "resourceVersion": "7" } })
    );
    assert_eq!(
        applied(&config.object(), &read, &[], true)["metadata"],
        json!({ "name": "arns", "uid": "u", "resourceVersion": "7", "annotations": { MARK: "7" } })
    );
}

#[test]
fn each_certificate_is_a_manager_of_its_own() {
    assert_eq!(field_manager("app"), "arnkeeper/app");
    let long = |end: &str| field_manager(&format!("{}{end}", "a".repeat(200)));
    assert_eq!(long("1").len(), 128);
    assert_ne!(long("1"), long("2"));
}
