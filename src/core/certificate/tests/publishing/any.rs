//! Anything in any order while ARNs are published: what is wanted is there in the end, and nothing else.

use super::{
    people::{Deed, assert_as_wanted, deed, put_right},
    *,
};
use proptest::prelude::*;

/// What happens to what is published, between passes.
#[derive(Clone, Debug)]
enum Blow {
    Faults(Vec<Fault>),
    People(Deed),
    Renewed,
    Reimport,
    Hours(i64),
    NewProcess,
    OtherProcess,
    StaleStore,
    StatusWiped,
    Toggled,
}

fn blow() -> impl Strategy<Value = Blow> {
    let fault = prop_oneof![
        4 => Just(Fault::Fine),
        1 => Just(Fault::CrashBefore),
        1 => Just(Fault::CrashAfter),
        1 => Just(Fault::AnswerLost),
        1 => Just(Fault::Unsent),
    ];
    prop_oneof![
        6 => prop::collection::vec(fault, 1..10).prop_map(Blow::Faults),
        10 => deed().prop_map(Blow::People),
        1 => Just(Blow::Renewed),
        1 => Just(Blow::Reimport),
        2 => (1_i64..5).prop_map(Blow::Hours),
        1 => Just(Blow::NewProcess),
        1 => Just(Blow::OtherProcess),
        1 => Just(Blow::StaleStore),
        1 => Just(Blow::StatusWiped),
        1 => Just(Blow::Toggled),
    ]
}

fn strike(world: &mut World, blow: Blow) {
    match blow {
        Blow::Faults(faults) => {
            let mut faults = faults.into_iter();
            for _ in 0..6 {
                if let Pass::Rested(rest) = world.pass(|| faults.next().unwrap_or(Fault::Fine)) {
                    world.now += rest.min(SignedDuration::from_secs(90));
                }
                world.sign();
            }
        }
        Blow::People(deed) => people::strike(world, deed),
        Blow::Renewed => {
            let now = world.now.to_string();
            annotate(world, crate::api::RENEW_ANNOTATION, &now);
        }
        Blow::Reimport => change_spec(world, |spec| spec.acm[1].reimport = Some(spec.acm[1].reimport == Some(false))),
        Blow::Hours(hours) => world.now += SignedDuration::from_hours(hours),
        Blow::NewProcess => {
            world.crash();
        }
        Blow::OtherProcess => world.swap(),
        Blow::StaleStore => {
            let older = world.older.clone();
            world.restart_with(older);
        }
        Blow::StatusWiped => {
            world.now += SignedDuration::from_mins(2);
            world.certificate.status = None;
            world.touch();
        }
        Blow::Toggled => change_spec(world, |spec| spec.enabled = !spec.enabled),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_what_is_wanted_is_there_and_nothing_else(blows in prop::collection::vec(blow(), 1..12)) {
        let mut world = publishing();
        world.converge();
        let mut forgotten = false;
        for blow in blows {
            strike(&mut world, blow);
            forgotten |= world.certificate.status.is_none();
        }
        world.stale = None;
        put_right(&mut world);
        change_spec(&mut world, |spec| spec.enabled = true);
        world.now += SignedDuration::from_hours(26);
        world.converge();
        look(&mut world);
        prop_assert!(ready(&world));
        assert_as_wanted(&mut world, forgotten);
        assert_silent(&mut world);
    }
}
