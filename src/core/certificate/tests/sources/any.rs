//! Whatever happens, in any order, to what somebody else keeps.

use super::{
    super::{
        blows::{Blow, common, strike},
        hands::Hands,
    },
    *,
};
use proptest::prelude::*;

/// What a keeper does.
#[derive(Clone, Debug)]
enum Kept {
    /// A new certificate; by the number, with another name besides, or with the serial number that another has.
    Changed(u8),
    /// One that has ended.
    Ended,
    /// The same with another certificate of its root.
    Root,
    /// What comes over every Certificate.
    Blow(Blow),
}

fn kept() -> impl Strategy<Value = Kept> {
    prop_oneof![
        2 => (0_u8..4).prop_map(Kept::Changed),
        1 => Just(Kept::Ended),
        1 => Just(Kept::Root),
        8 => common().prop_map(Kept::Blow),
    ]
}

fn keep(world: &mut World, what: &Kept) {
    match what {
        Kept::Changed(0) => drop(world.keep(&Pair::default())),
        Kept::Changed(1) => {
            let names = vec!["a.pay.example", "app.pay.example"];
            drop(world.keep(&Pair { names, ..Pair::default() }));
        }
        Kept::Changed(_) => drop(world.keep(&Pair { serial: Some(7), ..Pair::default() })),
        Kept::Ended => drop(world.keep(&Pair { hours: 0, ..Pair::default() })),
        Kept::Root => {
            let root = world.ca.renewed_root().to_pem();
            world.edit_secret("ca.crt", Some(&root));
        }
        Kept::Blow(_) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_to_a_source_there_is_one_arn_a_target_and_nothing_is_paid_for(
        old in any::<bool>(),
        blows in prop::collection::vec(kept(), 1..10),
    ) {
        let mut world = World::new(&two_places());
        world.keep(&Pair::default());
        if old {
            world.converge();
        }
        let mut first: Option<String> = None;
        let mut hands = Hands::default();
        for blow in blows {
            match blow {
                Kept::Blow(Blow::Hand(hand)) => {
                    if hands.strike(&mut world, hand) && hand.1 == "edge" {
                        first = None;
                    }
                }
                Kept::Blow(blow) => drop(strike(&mut world, blow)),
                kept => keep(&mut world, &kept),
            }
            hands.assert_untouched(&world);
            assert_free(&world);
            for target in ["edge", "far"] {
                prop_assert!(world.of_target(target).len() <= hands.most(target), "two ARNs");
            }
            if let (None, [edge]) = (&first, &world.of_target("edge")[..]) {
                first = Some(edge.arn.to_string());
            }
        }
        // People put right what people did, and the keeper does its work.
        change_spec(&mut world, |spec| {
            spec.enabled = true;
            spec.acm = serde_json::from_value(two_places()["acm"].clone()).unwrap();
        });
        world.account.spec.enabled = true;
        (world.deaf, world.stale) = (0, None);
        world.now += SignedDuration::from_hours(26);
        world.keep(&Pair::default());
        world.converge();
        hands.put_right(&mut world);
        hands.assert_untouched(&world);
        world.converge();
        prop_assert!(ready(&world), "{:#?}", world.certificate.status);
        let edge = arn(&world, "edge");
        prop_assert_eq!(first.unwrap_or(edge.clone()), edge);
        assert_delivered(&mut world);
    }
}
