//! Whatever happens, in any order, to a certificate that ACM issues.

use super::{super::blows::fault, *};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Blow {
    Faults(Vec<Fault>),
    Frozen,
    SecretDeleted,
    SecretSpoilt,
    StatusWiped,
    Restored,
    RenewalAsked,
    DaysPass(i64),
    OtherProcess,
    ReadsFail(usize),
    SlowAcm(i64),
    TagsChanged,
    Toggled,
    Failing(bool),
    InUse(bool),
    ClockBack(i64),
    GoneFromAcm,
}

fn blow() -> impl Strategy<Value = Blow> {
    prop_oneof![
        8 => prop::collection::vec(fault(), 1..12).prop_map(Blow::Faults),
        2 => Just(Blow::Frozen),
        1 => Just(Blow::SecretDeleted),
        1 => Just(Blow::SecretSpoilt),
        1 => Just(Blow::StatusWiped),
        1 => Just(Blow::Restored),
        2 => Just(Blow::RenewalAsked),
        2 => (1_i64..400).prop_map(Blow::DaysPass),
        2 => Just(Blow::OtherProcess),
        1 => (1_usize..8).prop_map(Blow::ReadsFail),
        1 => (0_i64..45).prop_map(Blow::SlowAcm),
        1 => Just(Blow::TagsChanged),
        1 => Just(Blow::Toggled),
        2 => any::<bool>().prop_map(Blow::Failing),
        1 => any::<bool>().prop_map(Blow::InUse),
        1 => (1_i64..600).prop_map(Blow::ClockBack),
        1 => Just(Blow::GoneFromAcm),
    ]
}

/// Returns how many new certificates this may cost.
fn strike(world: &mut World, blow: Blow) -> usize {
    match blow {
        Blow::Faults(faults) => {
            let mut faults = faults.into_iter();
            for _ in 0..6 {
                if let Pass::Rested(rest) = world.pass(|| faults.next().unwrap_or(Fault::Fine)) {
                    world.now += rest.min(SignedDuration::from_secs(90));
                }
            }
        }
        Blow::Frozen => {
            for pass in 0..10 {
                let fault = if pass < 4 { Fault::Frozen } else { Fault::Fine };
                if let Pass::Rested(rest) = world.pass(|| fault) {
                    world.now += rest.min(SignedDuration::from_secs(90));
                }
            }
        }
        Blow::SecretDeleted => world.secret = None,
        Blow::SecretSpoilt => world.edit_secret("tls.crt", Some("nonsense")),
        Blow::StatusWiped => {
            world.certificate.status = None;
            world.touch();
        }
        Blow::Restored => {
            world.certificate.metadata.uid = Some(format!("restored-{}", world.changes));
            world.certificate.status = None;
            world.touch();
        }
        Blow::RenewalAsked => {
            ask_for_renewal(world);
            return 1;
        }
        Blow::DaysPass(days) => {
            pass_days(world, days);
            return 2;
        }
        Blow::OtherProcess => world.swap(),
        Blow::ReadsFail(count) => world.deaf = count,
        Blow::SlowAcm(seconds) => world.hidden = SignedDuration::from_secs(seconds),
        Blow::TagsChanged => {
            for c in &mut world.acm {
                c.tags.insert("team".into(), "other".into());
            }
        }
        Blow::Toggled => change_spec(world, |spec| spec.enabled = !spec.enabled),
        Blow::Failing(fails) => {
            world.acm_failure = fails.then_some("PCA_ACCESS_DENIED");
            return 1;
        }
        Blow::InUse(used) => world
            .acm
            .iter_mut()
            .for_each(|c| c.in_use = used && c.managed.as_ref().is_some_and(|m| m.state == "ISSUED")),
        Blow::ClockBack(seconds) => disturbed::set_back(world, SignedDuration::from_secs(seconds)),
        Blow::GoneFromAcm => {
            world.acm.clear();
            return 1;
        }
    }
    0
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_there_is_one_arn_and_silence(secret in any::<bool>(), blows in prop::collection::vec(blow(), 1..10)) {
        let mut world = World::new(&managed(secret));
        let mut allowed = 1;
        for blow in blows {
            allowed += strike(&mut world, blow);
            prop_assert!(world.of_target("edge").len() <= 2, "{:#?}", world.acm);
        }
        world.certificate.spec.enabled = true;
        world.acm_failure = None;
        world.deaf = 0;
        world.hidden = SignedDuration::ZERO;
        *world.certificate.metadata.generation.get_or_insert(1) += 1;
        world.touch();
        // A request that failed is made again after an hour, and a renewal that nobody knows the fate of, too; one that failed
        // many times, after a day, which is when a budget that is spent is there again.
        for pause in [40, 40, 40, 40, 40, 40, 25 * 60, 25 * 60] {
            world.converge();
            world.now += SignedDuration::from_mins(pause);
        }
        world.converge();
        let status = world.certificate.status.clone().unwrap();
        let ended = world.acm.first().is_some_and(|c| c.leaf.not_after <= world.now);
        prop_assert!(ready(&world) || ended, "{:#?}", status);
        prop_assert_eq!(world.of_target("edge").len(), 1, "{:#?}", world.acm);
        let there = world.acm.iter().find(|c| Some(&c.arn) == status.targets[0].arn.as_ref());
        prop_assert!(there.is_some());
        prop_assert_eq!(there.and_then(|c| c.tags.get("team").map(String::as_str)), Some("pay"));
        if secret && !ended {
            assert_in_secret(&world);
        }
        prop_assert!(world.secret.is_some() || !secret || ended);
        prop_assert!(world.issued_by_acm <= allowed + 3, "{} issued, {allowed} allowed", world.issued_by_acm);
        prop_assert_eq!(world.paid, 0);
        assert_silent(&mut world);
    }
}
