//! Begun in a mixture of old and new that no history leads to: a status of an earlier time or with holes, a Secret of an
//! earlier revision or none, keys, requests and certificates in ACM that are there or not.

use super::{
    goes::{delete, with_policies},
    hands::{Hand, Hands, TARGETS, hand},
    *,
};
use crate::{api::certificate::CertificateStatus, pki::certificate::Certificate as X509};
use k8s_openapi::api::core::v1::Secret;
use proptest::{option, prelude::*, sample::Index};
use std::collections::BTreeMap;

/// What a status may lack; the second: of one target, where "" is the whole entry.
const FIELDS: [&str; 11] = [
    "observedGeneration",
    "serialNumber",
    "notBefore",
    "notAfter",
    "renewalTime",
    "revision",
    "knownNames",
    "next",
    "targets",
    "history",
    "conditions",
];
const OF_TARGET: [&str; 7] = ["", "accountId", "arn", "serialNumber", "importedAt", "pendingSince", "attempts"];

/// All that ever was.
#[derive(Default)]
struct Past {
    statuses: Vec<CertificateStatus>,
    secrets: Vec<Secret>,
    staged: BTreeMap<i64, Secret>,
    leaves: Vec<X509>,
}

impl Past {
    fn note(&mut self, world: &World) {
        self.statuses.extend(world.certificate.status.clone().filter(|status| self.statuses.last() != Some(status)));
        self.secrets.extend(world.secret.clone().filter(|secret| self.secrets.last() != Some(secret)));
        self.staged.extend(world.staged.clone());
        let newest = world.acm.first().map(|c| c.leaf.clone());
        self.leaves.extend(newest.filter(|leaf| self.leaves.last().is_none_or(|last| last.serial != leaf.serial)));
    }

    /// Passes until all is done.
    fn live(&mut self, world: &mut World) {
        for _ in 0..12 {
            if let Pass::Rested(rest) = world.pass(|| Fault::Fine) {
                world.now += rest.min(SignedDuration::from_mins(2));
            }
            self.note(world);
            world.sign();
        }
        assert!(ready(world), "{:#?}", world.certificate.status);
    }
}

/// How far it came: renewals two days apart, none: not even begun; then the process ends after so many writes of another one.
#[derive(Clone, Debug)]
struct Life {
    renewals: Option<usize>,
    cut: Option<usize>,
}

impl Life {
    fn live(&self, spec: &Value) -> (World, Past) {
        let (mut world, mut past) = (World::new(spec), Past::default());
        if let Some(renewals) = self.renewals {
            past.live(&mut world);
            for _ in 0..renewals {
                world.now += SignedDuration::from_hours(48);
                force_renewal(&mut world);
                past.live(&mut world);
            }
        }
        if let Some(mut left) = self.cut {
            if self.renewals.is_some() {
                world.now += SignedDuration::from_hours(48);
                force_renewal(&mut world);
            }
            for _ in 0..6 {
                let ended = world.pass(|| {
                    left = left.saturating_sub(1);
                    if left == 0 { Fault::CrashAfter } else { Fault::Fine }
                });
                past.note(&world);
                match ended {
                    Pass::Crashed => break,
                    Pass::Rested(rest) => world.now += rest.min(SignedDuration::from_secs(20)),
                }
                world.sign();
            }
        }
        (world, past)
    }
}

/// What of the status is there.
#[derive(Clone, Debug)]
enum Told {
    Nothing,
    Newest,
    Older(Index),
}

/// What of the Secret is there.
#[derive(Clone, Debug)]
enum Held {
    Nothing,
    Newest,
    Older(Index),
}

/// What of keys and requests is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Newest,
    Nothing,
    NotTheLast,
    NotTheFirst,
    All,
}

#[derive(Clone, Debug)]
struct Mixture {
    told: Told,
    holes: Vec<&'static str>,
    in_targets: Vec<(usize, &'static str)>,
    held: Held,
    staged: Rest,
    requests: Rest,
    hands: Vec<(Hand, &'static str)>,
    /// Targets that have their certificate of an earlier revision in ACM.
    late: Vec<(usize, Index)>,
}

fn life() -> impl Strategy<Value = Life> {
    (option::weighted(0.8, 0_usize..3), option::of(1_usize..14)).prop_map(|(renewals, cut)| Life { renewals, cut })
}

fn mixture() -> impl Strategy<Value = Mixture> {
    let told = prop_oneof![
        1 => Just(Told::Nothing),
        3 => Just(Told::Newest),
        3 => any::<Index>().prop_map(Told::Older),
    ];
    let held = prop_oneof![
        1 => Just(Held::Nothing),
        4 => Just(Held::Newest),
        2 => any::<Index>().prop_map(Held::Older),
    ];
    let rest = || {
        prop_oneof![
            4 => Just(Rest::Newest),
            1 => Just(Rest::Nothing),
            1 => Just(Rest::NotTheLast),
            1 => Just(Rest::NotTheFirst),
            1 => Just(Rest::All),
        ]
    };
    let holes = prop::collection::vec(prop::sample::select(&FIELDS[..]), 0..3);
    let in_targets = prop::collection::vec((0_usize..3, prop::sample::select(&OF_TARGET[..])), 0..4);
    let late = prop::collection::vec((0_usize..3, any::<Index>()), 0..2);
    let hands = prop::collection::vec(hand(), 0..3);
    (told, holes, in_targets, held, rest(), rest(), hands, late).prop_map(
        |(told, holes, in_targets, held, staged, requests, hands, late)| Mixture {
            told,
            holes,
            in_targets,
            held,
            staged,
            requests,
            hands,
            late,
        },
    )
}

/// The status without some of its fields.
fn with_holes(status: &CertificateStatus, mixture: &Mixture) -> CertificateStatus {
    let mut value = serde_json::to_value(status).unwrap();
    for (n, field) in &mixture.in_targets {
        let Some(targets) = value.get_mut("targets").and_then(Value::as_array_mut) else { break };
        if field.is_empty() && *n < targets.len() {
            targets.remove(*n);
        } else if let Some(target) = targets.get_mut(*n).and_then(Value::as_object_mut) {
            target.remove(*field);
        }
    }
    for field in &mixture.holes {
        value.as_object_mut().unwrap().remove(*field);
    }
    serde_json::from_value(value).unwrap()
}

fn thin<T>(there: &mut BTreeMap<i64, T>, rest: Rest) {
    match rest {
        Rest::Newest | Rest::All => {}
        Rest::Nothing => there.clear(),
        Rest::NotTheLast => drop(there.pop_last()),
        Rest::NotTheFirst => drop(there.pop_first()),
    }
}

/// Mixes it. Returns how many certificates may have to be bought for it.
fn mix(world: &mut World, past: &Past, mixture: &Mixture) -> usize {
    world.crash();
    world.swap();
    world.crash();
    // What a process that ended imported within the last minute ACM may not show, and only a record in the status would tell.
    world.now += SignedDuration::from_mins(2);
    let before = (world.certificate.status.clone(), world.secret.clone());
    let status = match &mixture.told {
        Told::Nothing => None,
        Told::Newest => before.0.clone(),
        Told::Older(at) => (!past.statuses.is_empty()).then(|| at.get(&past.statuses).clone()),
    };
    let older = status.as_ref().map(|s| s.revision) != before.0.as_ref().map(|s| s.revision) && status.is_some();
    world.certificate.status = status.map(|status| with_holes(&status, mixture));
    world.touch();
    world.older = world.certificate.clone();
    world.secret = match &mixture.held {
        Held::Nothing => None,
        Held::Newest => before.1.clone(),
        Held::Older(at) => (!past.secrets.is_empty()).then(|| at.get(&past.secrets).clone()),
    };
    if mixture.staged == Rest::All {
        world.staged.clone_from(&past.staged);
    }
    thin(&mut world.staged, mixture.staged);
    thin(&mut world.requests, mixture.requests);
    for (n, at) in &mixture.late {
        if let Some(there) = world.acm.get_mut(*n) {
            there.leaf = at.get(&past.leaves).clone();
        }
    }
    // A Secret that is lost is bought anew, and so is one of which an older status tells something else.
    usize::from(world.secret != before.1) + usize::from(older)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn from_any_mixture_it_comes_to_one_arn_a_target_and_buys_no_more_than_was_lost(
        life in life(),
        mixture in mixture(),
    ) {
        let (mut world, past) = life.live(&three_targets());
        let mut allowed = usize::from(life.renewals.is_none() || life.cut.is_some());
        allowed += mix(&mut world, &past, &mixture);
        let mut first: BTreeMap<&str, String> = TARGETS
            .into_iter()
            .filter_map(|target| Some((target, world.of_target(target).first()?.arn.to_string())))
            .collect();
        let mut hands = Hands::default();
        for hand in &mixture.hands {
            if hands.strike(&mut world, *hand) {
                first.remove(hand.1);
            }
        }
        let paid = world.paid;
        // The token's window, minute by minute; then the days in which everything is looked at.
        for _ in 0..6 {
            if let Pass::Rested(rest) = world.pass(|| Fault::Fine) {
                world.now += rest.clamp(SignedDuration::from_secs(1), SignedDuration::from_mins(1));
            }
            world.sign();
            hands.assert_untouched(&world);
            for target in TARGETS {
                prop_assert!(world.of_target(target).len() <= hands.most(target), "two ARNs for {target}");
            }
        }
        world.now += SignedDuration::from_hours(26);
        world.converge();
        hands.put_right(&mut world);
        hands.assert_untouched(&world);
        world.converge();
        prop_assert!(ready(&world), "{:#?}", world.certificate.status);
        prop_assert_eq!(stalled(&world), None);
        for target in TARGETS {
            let there = arn(&world, target);
            prop_assert_eq!(first.get(target).unwrap_or(&there), &there);
            prop_assert_eq!(Some(world.of_target(target)[0].leaf.serial.clone()), world.serial());
        }
        prop_assert!(world.paid - paid <= allowed, "{} paid for, {} wanted", world.paid - paid, allowed);
        assert_silent(&mut world);
    }

    #[test]
    fn from_any_mixture_a_deletion_leaves_nothing_of_ours_in_acm(
        life in life(),
        mixture in mixture(),
    ) {
        let (mut world, past) = life.live(&with_policies([true; 3]));
        mix(&mut world, &past, &mixture);
        let mut hands = Hands::default();
        // What names a neighbour's ARN lies, and of two ARNs with a target's tags the other one is found by the daily look only.
        for hand in mixture.hands.iter().filter(|(hand, _)| !matches!(hand, Hand::Neighbour { .. } | Hand::Twin)) {
            hands.strike(&mut world, *hand);
        }
        let (paid, imports, before) = (world.paid, world.new_imports, world.acm.len());
        delete(&mut world);
        if !world.gone {
            world.converge();
        }
        prop_assert!(world.gone, "{:#?}", world.certificate.status);
        for target in TARGETS {
            prop_assert!(world.of_target(target).is_empty(), "{} is left of {}: {:?}", target, before, world.notes);
        }
        prop_assert_eq!((world.paid, world.new_imports), (paid, imports));
    }
}

#[test]
fn a_name_that_becomes_free_behind_a_request_buys_nothing_anew() {
    let mut world = World::new(&one_target());
    world.converge();
    // A key that is not its own, until it is collected, has the next name.
    let mut others = Past::default();
    let mut other = World::new(&one_target());
    others.live(&mut other);
    let mut key = others.staged.remove(&1).unwrap();
    key.metadata.owner_references.as_mut().unwrap()[0].uid = "gone".into();
    world.staged.insert(2, key);
    world.now += SignedDuration::from_mins(5);
    force_renewal(&mut world);
    world.pass(|| Fault::Fine);
    assert_eq!(world.requests.keys().max(), Some(&3));
    world.sign();
    assert!(!world.staged.contains_key(&2), "it is collected");
    world.converge();
    assert!(ready(&world), "{:#?}", world.certificate.status);
    assert_eq!((world.paid, world.requests.contains_key(&2)), (2, false));
    assert_silent(&mut world);
}
