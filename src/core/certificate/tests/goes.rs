//! Deleted in whatever state, while processes end and answers are lost: what is to go goes, and nothing else.

use super::{
    blows::{Blow, blow, fault, strike},
    hands::{Hand, Hands, TARGETS},
    *,
};
use crate::api::certificate::DeletionPolicy;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// What comes over it before.
fn before() -> impl Strategy<Value = Blow> {
    // A status that names a neighbour's ARN tells of nothing else; of two ARNs with a target's tags, which only the daily look
    // finds, the one in the status goes; where the account is disabled nothing can be deleted.
    let lies =
        |blow: &Blow| matches!(blow, Blow::Hand((Hand::Neighbour { .. } | Hand::Twin, _)) | Blow::AccountToggled);
    blow().prop_filter("what is ours can be told and reached", move |blow| !lies(blow))
}

/// And while it is being deleted: not for a day, after which what can't be deleted is let go.
fn meanwhile() -> impl Strategy<Value = Blow> {
    prop_oneof![
        10 => prop::collection::vec(fault(), 1..12).prop_map(Blow::Faults),
        2 => Just(Blow::OtherProcess),
        2 => Just(Blow::StaleStore),
        1 => (1_usize..8).prop_map(Blow::ReadsFail),
        1 => (0_i64..45).prop_map(Blow::SlowAcm),
        1 => (1_i64..600).prop_map(Blow::ClockBack),
        1 => Just(Blow::Toggled),
        1 => Just(Blow::SecretDeleted),
        1 => Just(Blow::RenewalForced),
    ]
}

/// Three targets with these policies.
pub fn with_policies(deletes: [bool; 3]) -> Value {
    let mut spec = three_targets();
    for (n, deletes) in deletes.into_iter().enumerate() {
        spec["acm"][n]["deletionPolicy"] = json!(if deletes { "Delete" } else { "Retain" });
    }
    spec
}

/// The targets whose certificates are to go: by the spec or, if they are gone from there, by the status.
fn doomed(world: &World) -> BTreeSet<&'static str> {
    let by_spec = |name: &str| world.certificate.spec.acm.iter().find(|t| t.name == name).map(|t| t.deletion_policy);
    let entries = || world.certificate.status.iter().flat_map(|s| &s.targets);
    let by_status = |name: &str| entries().find(|t| t.name == name).map(|t| t.deletion_policy);
    let goes = |name: &&'static str| by_spec(name).or_else(|| by_status(name)) == Some(DeletionPolicy::Delete);
    TARGETS.into_iter().filter(goes).collect()
}

/// Somebody deletes it: with a finalizer it stays until that is gone.
pub fn delete(world: &mut World) {
    if world.certificate.finalizers().is_empty() {
        world.gone = true;
    } else {
        world.certificate.metadata.deletion_timestamp = Some(Time(world.now));
        world.touch();
    }
}

/// Whether anything in ACM has a target's tags.
fn has_any(world: &World, targets: &BTreeSet<&'static str>) -> bool {
    targets.iter().any(|target| !world.of_target(target).is_empty())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happened_a_deletion_takes_what_is_to_go_and_nothing_else(
        deletes in any::<[bool; 3]>(),
        old in any::<bool>(),
        blows in prop::collection::vec(before(), 0..6),
        more in prop::collection::vec(meanwhile(), 0..6),
    ) {
        let mut world = World::new(&with_policies(deletes));
        let mut hands = Hands::default();
        for tagged in [true, false] {
            hands.strike(&mut world, (Hand::Neighbour { tagged }, "edge"));
        }
        if old {
            world.converge();
        }
        let changed = blows.iter().any(|blow| matches!(blow, Blow::PolicySwitched | Blow::TargetToggled));
        for blow in blows {
            match blow {
                Blow::Hand(hand) => drop(hands.strike(&mut world, hand)),
                blow => drop(strike(&mut world, blow)),
            }
        }
        let doomed = doomed(&world);
        // The finalizer is there before the first import; a policy that was switched has to be looked at first.
        let held = !world.certificate.finalizers().is_empty();
        prop_assert!(held || changed || !has_any(&world, &doomed), "nothing holds what is to be deleted in ACM first");
        let there = world.acm.clone();
        let (paid, imports) = (world.paid, world.new_imports);
        delete(&mut world);
        for blow in more {
            if !world.gone {
                strike(&mut world, blow);
            }
            hands.assert_untouched(&world);
        }
        (world.deaf, world.stale) = (0, None);
        if !world.gone {
            world.converge();
        }
        prop_assert!(world.gone, "{:#?}", world.certificate.status);
        prop_assert!(world.certificate.finalizers().is_empty());
        prop_assert_eq!((world.paid, world.new_imports), (paid, imports), "paid or imported for what is being deleted");
        prop_assert!(!held || !has_any(&world, &doomed), "left in ACM, though it was to go: {:?}", world.notes);
        for c in there {
            let target = c.tags.get("arnkeeper.dev/target");
            if !held || !target.is_some_and(|target| doomed.contains(&**target)) {
                prop_assert!(world.acm.iter().any(|still| still.arn == c.arn), "deleted from ACM, though it was to stay");
            }
        }
        hands.assert_untouched(&world);
    }
}

#[test]
fn what_a_lost_status_told_of_is_deleted_all_the_same() {
    for told in [true, false] {
        let mut world = World::new(&removable());
        world.converge();
        world.crash();
        world.now += SignedDuration::from_mins(2);
        if told {
            let target = &mut world.certificate.status.as_mut().unwrap().targets[0];
            (target.arn, target.imported_at, target.serial_number) = (None, None, None);
        } else {
            world.certificate.status = None;
        }
        delete(&mut world);
        world.converge();
        assert!(world.gone && world.acm.is_empty(), "{told}");
        assert_eq!(world.events, ["Issued"], "it was no second one");
    }
}

#[test]
fn who_may_not_look_is_not_held_up_where_nothing_tells_of_an_import() {
    let mut world = World::new(&removable());
    until(&mut world, |w| !w.certificate.finalizers().is_empty());
    world.list_failure = Some(crate::aws::error::Kind::AccessDenied);
    delete(&mut world);
    world.pass(|| Fault::Fine);
    assert!(world.gone, "{:#?}", world.certificate.status);
}

#[test]
fn that_what_this_process_imported_is_gone_says_nothing_of_the_arn_in_the_status() {
    let mut world = World::new(&removable());
    world.converge();
    world.now += SignedDuration::from_mins(5);
    let gone = "arn:aws:acm:eu-west-1:111122223333:certificate/99999999-0000-0000-0000-000000000000".parse().unwrap();
    let imported = crate::core::certificate::Imported { arn: gone, serial: None, content: None, at: world.now };
    let uid = world.certificate.uid().unwrap();
    world.process.memory.entry(uid).or_default().imported.insert("edge".into(), imported);
    delete(&mut world);
    world.converge();
    assert!(world.gone && world.acm.is_empty());
}
