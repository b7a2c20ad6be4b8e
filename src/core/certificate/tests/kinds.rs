//! What was imported becomes nothing that ACM issues, and the other way round: by whatever way the source is changed, a target
//! has one ARN, and what is in the way is told.

use super::{
    world::{Fault, World, keeper::Pair},
    *,
};
use crate::api::certificate::{CertificateSpec, Management};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    PrivateCa,
    SecretRef,
    AcmManaged,
}

/// The four ways from one kind to the other.
const WAYS: [(Kind, Kind); 4] = [
    (Kind::PrivateCa, Kind::AcmManaged),
    (Kind::SecretRef, Kind::AcmManaged),
    (Kind::AcmManaged, Kind::PrivateCa),
    (Kind::AcmManaged, Kind::SecretRef),
];

fn of(kind: Kind, domain: &str) -> Value {
    let authority = json!({ "certificateAuthority": { "name": "Example Private CA" } });
    let (source, subject) = match kind {
        Kind::PrivateCa => (json!({ "privateCa": authority }), Some(json!({ "domainName": domain }))),
        Kind::SecretRef => (json!({ "secretRef": { "name": "app-tls" } }), None),
        Kind::AcmManaged => (json!({ "acmManaged": authority }), Some(json!({ "domainName": domain }))),
    };
    let mut spec = json!({ "accountRef": { "name": "prod" }, "region": "eu-west-1", "duration": "2160h", "source": source,
        "acm": [{ "name": "edge" }] });
    if let Some(subject) = subject {
        spec["subject"] = subject;
    }
    if kind == Kind::PrivateCa {
        spec["secret"] = json!({ "name": "app-tls" });
    }
    spec
}

/// Only watched from now on, under the ARN that it has.
fn watch(world: &mut World) {
    let arn = world.of_target("edge")[0].arn.clone();
    change_spec(world, |spec| {
        spec.management = Management::Observe;
        spec.acm[0].certificate_arn = Some(arn);
    });
    world.converge();
    assert!(world.certificate.status.as_ref().unwrap().found.is_some());
}

fn manage(world: &mut World, kind: Kind, domain: &str) {
    if kind == Kind::SecretRef {
        world.keep(&Pair::default());
    } else if kind == Kind::PrivateCa {
        world.secret = None;
    }
    let wanted: CertificateSpec = serde_json::from_value(of(kind, domain)).unwrap();
    change_spec(world, |spec| *spec = wanted);
    world.now += SignedDuration::from_mins(2);
    world.converge();
}

fn delivered(kind: Kind) -> World {
    let mut world = World::new(&of(kind, "app.pay.example"));
    if kind == Kind::SecretRef {
        world.keep(&Pair::default());
    }
    world.converge();
    assert!(ready(&world), "{kind:?}: {:#?}", world.certificate.status);
    world
}

/// It is told, nothing was made or paid for, and it stays so.
fn assert_in_the_way(world: &mut World, what: &str, costs: (usize, usize, usize)) {
    let why = stalled(world).unwrap_or_default();
    assert!(why.starts_with("DifferentInAcm: ") && why.contains("by way of management: Observe"), "{what}: {why}");
    assert!(!ready(world), "{what}");
    arn(world, "edge");
    assert_eq!((world.paid, world.issued_by_acm, world.new_imports), costs, "{what}");
    assert_silent(world);
}

fn costs(world: &World) -> (usize, usize, usize) {
    (world.paid, world.issued_by_acm, world.new_imports)
}

#[test]
fn by_way_of_watching_no_source_becomes_one_of_the_other_kind_and_the_way_back_is_open() {
    for (from, to) in WAYS {
        for (domain, crash) in [("app.pay.example", false), ("app.pay.example", true), ("other.pay.example", true)] {
            let what = format!("{from:?} to {to:?} with {domain}, crash {crash}");
            let mut world = delivered(from);
            let (first, costs) = (arn(&world, "edge"), costs(&world));
            watch(&mut world);
            if crash {
                world.crash();
            }
            manage(&mut world, to, domain);
            assert_in_the_way(&mut world, &what, costs);
            if crash {
                world.crash();
            }
            watch(&mut world);
            manage(&mut world, from, "app.pay.example");
            assert!(ready(&world) && stalled(&world).is_none(), "{what}: {:#?}", world.certificate.status);
            assert_eq!((arn(&world, "edge"), world.new_imports), (first, costs.2), "{what}");
        }
    }
}

#[test]
fn what_is_in_the_way_is_not_any_more_once_it_is_deleted_in_acm() {
    for (from, to) in WAYS {
        let mut world = delivered(from);
        let first = arn(&world, "edge");
        watch(&mut world);
        manage(&mut world, to, "app.pay.example");
        world.acm.clear();
        world.now += SignedDuration::from_mins(11);
        world.converge();
        assert!(ready(&world) && stalled(&world).is_none(), "{from:?} to {to:?}: {:#?}", world.certificate.status);
        assert_ne!(arn(&world, "edge"), first);
        assert_silent(&mut world);
    }
}

#[test]
fn a_certificate_made_again_with_a_source_of_the_other_kind_finds_what_the_first_one_left() {
    for (from, to) in WAYS {
        let mut world = delivered(from);
        let costs = costs(&world);
        restore(&mut world);
        manage(&mut world, to, "app.pay.example");
        assert_in_the_way(&mut world, &format!("{from:?} to {to:?}"), costs);
    }
}

#[test]
fn a_change_of_names_while_it_is_watched_makes_no_second_arn() {
    let mut world = delivered(Kind::PrivateCa);
    let first = arn(&world, "edge");
    watch(&mut world);
    world.crash();
    // The names that it had are known to nobody else any more, and ACM is asked for certificates by their names.
    manage(&mut world, Kind::PrivateCa, "other.pay.example");
    assert_eq!(arn(&world, "edge"), first);
    assert!(stalled(&world).is_some_and(|why| why.starts_with("PreflightFailed")), "{:?}", stalled(&world));
    assert_eq!((world.paid, world.new_imports), (1, 1));
}

#[test]
fn an_import_without_an_answer_is_remembered_while_it_is_watched() {
    for to in [Kind::PrivateCa, Kind::AcmManaged] {
        let mut spec = of(Kind::PrivateCa, "app.pay.example");
        spec["acm"] = json!([{ "name": "edge" }, { "name": "far", "region": "us-east-1" }]);
        let mut world = World::new(&spec);
        world.converge();
        // As if the answer of the second import had been lost, and the process ended.
        let far = world.certificate.status.as_mut().unwrap().targets.iter_mut().find(|t| t.name == "far").unwrap();
        (far.arn, far.serial_number, far.pending_since) = (None, None, Some(Time(world.now)));
        world.crash();
        world.touch();
        watch(&mut world);
        let mut back = of(to, "app.pay.example");
        back["region"] = json!("us-east-1");
        back["acm"] = json!([{ "name": "far" }]);
        let wanted: CertificateSpec = serde_json::from_value(back).unwrap();
        change_spec(&mut world, |spec| *spec = wanted);
        world.now += SignedDuration::from_mins(2);
        world.converge();
        world.converge();
        assert_eq!(world.of_target("far").len(), 1, "{to:?}: {:#?}", world.certificate.status);
        assert_eq!(ready(&world), to == Kind::PrivateCa, "{:#?}", world.certificate.status);
        assert_eq!((world.new_imports, world.issued_by_acm), (2, 0));
    }
}

#[test]
fn what_was_published_and_asked_for_is_known_after_it_was_watched() {
    let mut world = delivered(Kind::AcmManaged);
    let asked = world.certificate.status.as_ref().unwrap().managed.as_ref().unwrap().asked.clone();
    assert_eq!(asked.len(), 1);
    watch(&mut world);
    world.crash();
    manage(&mut world, Kind::AcmManaged, "app.pay.example");
    assert!(ready(&world) && stalled(&world).is_none(), "{:#?}", world.certificate.status);
    let status = world.certificate.status.as_ref().unwrap();
    assert_eq!(status.managed.as_ref().unwrap().asked, asked);
    assert!(status.managed_targets.is_empty(), "it is of use only while it is watched");
    assert_eq!((world.issued_by_acm, world.acm.len()), (1, 1));
    assert!(matches!(world.pass(|| Fault::Fine), Pass::Rested(_)));
}
