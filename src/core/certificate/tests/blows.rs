//! Blows in any order: what must hold after each of them, and in the end.

use super::{
    annotate, arn, assert_silent, change_spec,
    hands::{Hand, Hands, TARGETS, hand},
    publishing::people::{self, Deed, deed},
    ready, restore, stalled, steady, three_targets,
    world::{self, Fault, Pass, World},
};
use crate::api::{ISSUED_FOR_ANNOTATION, RENEW_ANNOTATION, REVISION_ANNOTATION};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;

/// What the world does to a Certificate between passes.
#[derive(Clone, Debug)]
pub enum Blow {
    Faults(Vec<Fault>),
    Frozen,
    SecretDeleted,
    SecretSpoiled,
    KeySpoiled,
    ChainSpoiled(bool),
    AnnotationsGone,
    AnnotationsEdited,
    Swapped,
    StatusWiped,
    Restored,
    RenewalForced,
    NameAdded,
    DaysPass(i64),
    OtherProcess,
    StaleStore,
    ReadsFail(usize),
    SlowAcm(i64),
    RequestDeleted,
    OldRequestDeleted,
    StagedDeleted,
    TagsLost,
    Toggled,
    AccountToggled,
    TargetToggled,
    PolicySwitched,
    ClockBack(i64),
    OldSecret,
    HistoryOfOne,
    Hand((Hand, &'static str)),
    People(Deed),
}

pub fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        4 => Just(Fault::Fine),
        1 => Just(Fault::CrashBefore),
        2 => Just(Fault::CrashAfter),
        2 => Just(Fault::AnswerLost),
        1 => Just(Fault::Unsent),
        1 => Just(Fault::Refused),
    ]
}

pub fn blow() -> impl Strategy<Value = Blow> {
    prop_oneof![
        36 => common(),
        1 => Just(Blow::AnnotationsGone),
        1 => Just(Blow::AnnotationsEdited),
        1 => Just(Blow::Swapped),
        1 => Just(Blow::RenewalForced),
        1 => Just(Blow::NameAdded),
        1 => Just(Blow::RequestDeleted),
        1 => Just(Blow::OldRequestDeleted),
        1 => Just(Blow::StagedDeleted),
        1 => Just(Blow::OldSecret),
    ]
}

/// Those that come over every Certificate, whatever its source.
pub fn common() -> impl Strategy<Value = Blow> {
    prop_oneof![
        12 => prop::collection::vec(fault(), 1..12).prop_map(Blow::Faults),
        2 => Just(Blow::Frozen),
        1 => Just(Blow::SecretDeleted),
        1 => Just(Blow::SecretSpoiled),
        1 => Just(Blow::KeySpoiled),
        1 => any::<bool>().prop_map(Blow::ChainSpoiled),
        1 => Just(Blow::StatusWiped),
        1 => Just(Blow::Restored),
        1 => (1_i64..70).prop_map(Blow::DaysPass),
        2 => Just(Blow::OtherProcess),
        2 => Just(Blow::StaleStore),
        1 => (1_usize..8).prop_map(Blow::ReadsFail),
        1 => (0_i64..45).prop_map(Blow::SlowAcm),
        1 => Just(Blow::TagsLost),
        1 => Just(Blow::Toggled),
        1 => Just(Blow::AccountToggled),
        1 => Just(Blow::TargetToggled),
        1 => Just(Blow::PolicySwitched),
        1 => (1_i64..600).prop_map(Blow::ClockBack),
        1 => Just(Blow::HistoryOfOne),
        5 => hand().prop_map(Blow::Hand),
        3 => deed().prop_map(Blow::People),
    ]
}

/// What the operator notes on a Secret, besides whose it is.
const ANNOTATIONS: [&str; 3] = [REVISION_ANNOTATION, ISSUED_FOR_ANNOTATION, RENEW_ANNOTATION];

/// Returns how many new certificates this may cost.
pub fn strike(world: &mut World, blow: Blow) -> usize {
    match blow {
        Blow::Faults(faults) => {
            let mut faults = faults.into_iter();
            for _ in 0..6 {
                if let Pass::Rested(rest) = world.pass(|| faults.next().unwrap_or(Fault::Fine)) {
                    world.now += rest.min(SignedDuration::from_secs(90));
                }
                world.sign();
            }
            0
        }
        Blow::Frozen => {
            // With the minutes in which who was frozen takes away what it made.
            for pass in 0..10 {
                let fault = if pass < 4 { Fault::Frozen } else { Fault::Fine };
                if let Pass::Rested(rest) = world.pass(|| fault) {
                    world.now += rest.min(SignedDuration::from_secs(90));
                }
                world.sign();
            }
            0
        }
        Blow::SecretDeleted => {
            world.secret = None;
            1
        }
        Blow::SecretSpoiled => {
            world.edit_secret("tls.crt", Some("nonsense"));
            0
        }
        Blow::KeySpoiled => {
            world.edit_secret("tls.key", Some("nonsense"));
            1
        }
        Blow::ChainSpoiled(gone) => {
            world.edit_secret("ca.crt", (!gone).then_some("nonsense"));
            0
        }
        Blow::AnnotationsGone => {
            for key in ANNOTATIONS {
                world.edit_annotation(key, None);
            }
            0
        }
        Blow::AnnotationsEdited => {
            for (key, value) in ANNOTATIONS.into_iter().zip(["7", "v1:00112233", "2025-01-01T00:00:00Z"]) {
                world.edit_annotation(key, Some(value));
            }
            0
        }
        Blow::Swapped => {
            world.swap_secret();
            1
        }
        Blow::StatusWiped => {
            // A process that ends and a status that is wiped within the same minute is one fault too many.
            world.now += SignedDuration::from_mins(2);
            world.certificate.status = None;
            world.touch();
            0
        }
        Blow::Restored => {
            world.now += SignedDuration::from_mins(2);
            restore(world);
            world.other = world::Process::default();
            // A request that was paid for and not yet stored is lost with it.
            1
        }
        Blow::RenewalForced => {
            let now = world.now.to_string();
            annotate(world, RENEW_ANNOTATION, &now);
            1
        }
        Blow::NameAdded => {
            let name = format!("n{}.pay.example", world.certificate.spec.subject.additional_names.len());
            change_spec(world, |spec| spec.subject.additional_names.push(name));
            1
        }
        Blow::DaysPass(days) => {
            world.now += SignedDuration::from_hours(24 * days);
            1
        }
        other => meddle(world, &other),
    }
}

/// The rest of [`strike`]: machines that fail in other ways, and people.
fn meddle(world: &mut World, blow: &Blow) -> usize {
    match *blow {
        Blow::OtherProcess => {
            world.swap();
            0
        }
        Blow::StaleStore => {
            let older = world.older.clone();
            world.restart_with(older);
            0
        }
        Blow::ReadsFail(reads) => {
            world.deaf = reads;
            0
        }
        Blow::SlowAcm(seconds) => {
            world.hidden = SignedDuration::from_secs(seconds);
            0
        }
        Blow::RequestDeleted => {
            // What was paid for may go with it.
            usize::from(world.requests.pop_last().is_some())
        }
        // With it may go the key that is on its way.
        Blow::OldRequestDeleted => usize::from(world.requests.pop_first().is_some()),
        Blow::StagedDeleted => usize::from(world.staged.pop_last().is_some()),
        Blow::TagsLost => {
            // Only where the Secret still tells what is ours.
            let serial = world.serial();
            let edge = world.certificate.status.iter().flat_map(|s| &s.targets).find_map(|t| t.arn.clone());
            for there in world
                .acm
                .iter_mut()
                .filter(|c| Some(&c.leaf.serial) == serial.as_ref() && Some(&c.arn) == edge.as_ref())
            {
                there.tags.remove("team");
            }
            0
        }
        Blow::Toggled => {
            change_spec(world, |spec| spec.enabled = !spec.enabled);
            0
        }
        Blow::AccountToggled => {
            world.account.spec.enabled = !world.account.spec.enabled;
            0
        }
        Blow::TargetToggled => {
            let far = serde_json::from_value(json!({ "name": "far", "region": "us-east-1" })).unwrap();
            change_spec(world, |spec| if spec.acm.len() > 1 { spec.acm.truncate(1) } else { spec.acm.push(far) });
            0
        }
        Blow::PolicySwitched => {
            use crate::api::certificate::DeletionPolicy::{Delete, Retain};
            let switched = |policy| if policy == Retain { Delete } else { Retain };
            change_spec(world, |spec| spec.acm[0].deletion_policy = switched(spec.acm[0].deletion_policy));
            0
        }
        Blow::ClockBack(seconds) => {
            // A process whose clock is set back; what ACM knows does not move.
            let by = SignedDuration::from_secs(seconds);
            let oldest =
                world.certificate.metadata.creation_timestamp.as_ref().unwrap().0 + SignedDuration::from_secs(1);
            let back = (world.now - by).max(oldest);
            let by = world.now.duration_since(back);
            world.now = back;
            for there in &mut world.acm {
                there.created -= by;
            }
            // The time that a renewal was asked for comes once more; nothing may tell that it was answered.
            let asked = world.certificate.annotations().get(RENEW_ANNOTATION).and_then(|at| at.parse().ok());
            usize::from(asked.is_some_and(|at: Timestamp| at > back))
        }
        Blow::OldSecret => {
            let kept = world.kept.clone();
            if kept.is_some() {
                world.secret = kept;
            } else {
                world.kept = world.secret.clone();
            }
            2
        }
        Blow::HistoryOfOne => {
            change_spec(world, |spec| spec.history_limit = 1);
            0
        }
        Blow::People(ref deed) => {
            people::strike(world, deed.clone());
            0
        }
        _ => 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_there_is_one_arn_a_target_and_one_payment_a_revision(
        old in any::<bool>(),
        blows in prop::collection::vec(blow(), 1..10),
    ) {
        let mut world = World::new(&three_targets());
        people::begin(&mut world);
        let mut allowed = 1;
        if old {
            world.converge();
            steady(&mut world);
            allowed = world.paid;
        }
        let mut first: BTreeMap<&str, String> = BTreeMap::new();
        let mut excused = false;
        let mut hands = Hands::default();
        for blow in blows {
            if let Blow::Hand(hand) = blow {
                if hands.strike(&mut world, hand) {
                    first.remove(hand.1);
                }
            } else {
                allowed += strike(&mut world, blow);
            }
            // Where nothing is known of what was there before, what is there is believed.
            excused |= world.certificate.status.is_none();
            prop_assert!(excused || !world.has_swapped(), "what somebody put into the Secret was delivered");
            hands.assert_untouched(&world);
            for target in TARGETS {
                prop_assert!(world.of_target(target).len() <= hands.most(target), "two ARNs");
                if let [there] = &world.of_target(target)[..] {
                    first.entry(target).or_insert_with(|| there.arn.to_string());
                }
            }
        }
        // People put right what people did; what holds up a loop that buys has passed.
        change_spec(&mut world, |spec| {
            spec.enabled = true;
            spec.acm = serde_json::from_value(three_targets()["acm"].clone()).unwrap();
        });
        world.account.spec.enabled = true;
        (world.deaf, world.stale) = (0, None);
        people::put_right(&mut world);
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
        prop_assert!(world.paid <= allowed, "{} paid for, {} wanted", world.paid, allowed);
        prop_assert!(excused || !world.has_swapped());
        people::assert_as_wanted(&mut world, excused);
        assert_silent(&mut world);
    }
}
