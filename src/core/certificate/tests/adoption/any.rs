//! Anything in any order while a certificate is taken over: only what may be is, and there is one ARN.

use super::*;
use proptest::prelude::*;

/// What happens while a certificate is taken over.
#[derive(Clone, Debug)]
enum Turn {
    Faults(Vec<Fault>),
    Policy(Adoption),
    Consent(bool),
    Claimed(bool),
    Named(bool),
    StatusWiped,
    OtherProcess,
    StaleStore,
    SecretDeleted,
    RenewalForced,
    ReadsFail(usize),
}

fn turn() -> impl Strategy<Value = Turn> {
    let fault = prop_oneof![
        5 => Just(Fault::Fine),
        1 => Just(Fault::CrashBefore),
        2 => Just(Fault::CrashAfter),
        2 => Just(Fault::AnswerLost),
        1 => Just(Fault::Unsent),
        1 => Just(Fault::Refused),
    ];
    let policy = prop::sample::select(vec![Adoption::Deny, Adoption::Consent, Adoption::Any]);
    prop_oneof![
        8 => prop::collection::vec(fault, 1..12).prop_map(Turn::Faults),
        2 => policy.prop_map(Turn::Policy),
        2 => any::<bool>().prop_map(Turn::Consent),
        1 => any::<bool>().prop_map(Turn::Claimed),
        2 => any::<bool>().prop_map(Turn::Named),
        1 => Just(Turn::StatusWiped),
        1 => Just(Turn::OtherProcess),
        1 => Just(Turn::StaleStore),
        1 => Just(Turn::SecretDeleted),
        1 => Just(Turn::RenewalForced),
        1 => (1_usize..8).prop_map(Turn::ReadsFail),
    ]
}

/// Another Certificate claims it, or gives it up.
fn claim(there: &mut InAcm, claimed: bool) {
    if claimed {
        there.tags.insert("arnkeeper.dev/name".into(), "another".into());
    } else {
        there.tags.remove("arnkeeper.dev/name");
    }
}

fn is_ours(there: &InAcm) -> bool {
    there.tags.get("arnkeeper.dev/name").is_some_and(|name| name == "app")
}

fn change(world: &mut World, turn: Turn) {
    let free = world.acm.iter().position(|c| c.arn == their_arn() && !is_ours(c));
    match turn {
        Turn::Faults(faults) => {
            let mut faults = faults.into_iter();
            for _ in 0..6 {
                if let Pass::Rested(rest) = world.pass(|| faults.next().unwrap_or(Fault::Fine)) {
                    world.now += rest.min(SignedDuration::from_secs(90));
                }
                world.sign();
            }
        }
        Turn::Policy(policy) => allow(world, policy),
        Turn::Consent(given) => {
            if let Some(at) = free {
                world.acm[at].tags.remove(CONSENT);
                world.acm[at].tags.extend(given.then(|| (CONSENT.to_owned(), "pay/app".to_owned())));
            }
        }
        Turn::Claimed(claimed) => {
            if let Some(at) = free {
                claim(&mut world.acm[at], claimed);
            }
        }
        Turn::Named(named) => {
            change_spec(world, |spec| spec.acm[0].certificate_arn = named.then(their_arn));
        }
        Turn::StatusWiped => {
            world.now += SignedDuration::from_mins(2);
            world.certificate.status = None;
            world.touch();
        }
        Turn::OtherProcess => world.swap(),
        Turn::StaleStore => {
            let older = world.older.clone();
            world.restart_with(older);
        }
        Turn::SecretDeleted => world.secret = None,
        Turn::RenewalForced => force_renewal(world),
        Turn::ReadsFail(reads) => world.deaf = reads,
    }
}

/// Whether theirs may be taken over as it is now.
fn may(world: &World) -> bool {
    let there = theirs(world);
    let claimed = there.tags.contains_key("arnkeeper.dev/name");
    !claimed
        && match world.account.spec.policy.as_ref().map(|p| p.adoption).unwrap_or_default() {
            Adoption::Deny => false,
            Adoption::Consent => there.tags.contains_key(CONSENT),
            Adoption::Any => true,
        }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_only_what_may_be_is_taken_over_and_there_is_one_arn(
        named in any::<bool>(),
        turns in prop::collection::vec(turn(), 1..14),
    ) {
        let mut world = with_theirs(&adopting(), Adoption::Deny, &[]);
        if !named {
            change_spec(&mut world, |spec| spec.acm[0].certificate_arn = None);
        }
        let before = theirs(&world).leaf.clone();
        for turn in turns {
            let leave = may(&world);
            let was_ours = is_ours(theirs(&world));
            change(&mut world, turn);
            let there = theirs(&world);
            if !was_ours {
                prop_assert!(leave || !is_ours(there), "it was taken over without leave");
                prop_assert!(is_ours(there) || there.leaf == before, "it was imported over");
            }
            prop_assert!(world.of_target("edge").len() <= 1, "two ARNs");
        }
        change_spec(&mut world, |spec| spec.acm[0].certificate_arn = Some(their_arn()));
        (world.deaf, world.stale) = (0, None);
        if let Some(at) = world.acm.iter().position(|c| c.arn == their_arn() && !is_ours(c)) {
            claim(&mut world.acm[at], false);
        }
        allow(&mut world, Adoption::Any);
        world.now += SignedDuration::from_hours(26);
        world.converge();
        prop_assert!(ready(&world), "{:#?}", world.certificate.status);
        if world.new_imports == 0 {
            assert_taken_over(&world);
        } else {
            prop_assert!(stalled(&world).unwrap().starts_with("AdoptionConflict"));
            prop_assert_eq!(&theirs(&world).leaf, &before);
        }
        prop_assert_eq!(world.of_target("edge").len(), 1);
        assert_silent(&mut world);
    }
}
