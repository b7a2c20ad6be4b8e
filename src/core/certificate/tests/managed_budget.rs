//! What a Certificate may ask ACM for in a day: not more, whatever goes wrong again and again.

use super::{blows::fault, *};
use crate::api::RENEW_ANNOTATION;
use jiff::Timestamp;
use proptest::prelude::*;

fn managed(secret: bool, budget: Option<i32>) -> Value {
    let mut spec = json!({
        "accountRef": { "name": "prod" }, "region": "eu-west-1", "duration": "2160h",
        "source": { "acmManaged": { "certificateAuthority": { "name": "Example Private CA" } } },
        "subject": { "domainName": "app.pay.example", "additionalNames": ["www.pay.example"] },
        "acm": [{ "name": "edge" }],
    });
    if secret {
        spec["secret"] = json!({ "name": "app-tls" });
    }
    if let Some(budget) = budget {
        spec["budget"] = json!({ "issuesPerDay": budget });
    }
    spec
}

fn ask_for_renewal(world: &mut World) {
    let now = world.now.to_string();
    annotate(world, RENEW_ANNOTATION, &now);
    world.touch();
}

fn gone_from_acm(world: &mut World) {
    world.acm.clear();
    world.tokens.clear();
    // A look is due whenever the spec changes.
    change_spec(world, |spec| spec.history_limit = if spec.history_limit == 3 { 4 } else { 3 });
}

/// It is done again and again, some minutes apart.
fn again(world: &mut World, times: usize, mut what: impl FnMut(&mut World)) -> usize {
    for _ in 0..times {
        world.now += SignedDuration::from_mins(5);
        what(world);
        world.converge();
    }
    world.asked_of_acm.len()
}

/// The most that was asked for within a day. A call may come minutes after its record, where a process was frozen.
fn most_in_a_day(world: &World) -> usize {
    let day = SignedDuration::from_hours(24) - SignedDuration::from_mins(15);
    let within =
        |from: &Timestamp| world.asked_of_acm.iter().filter(|at| *at >= from && at.duration_since(*from) < day).count();
    world.asked_of_acm.iter().map(within).max().unwrap_or_default()
}

fn assert_spent(world: &World, budget: usize) {
    let why = stalled(world).unwrap_or_default();
    assert!(why.starts_with("BudgetSpent") && why.contains("spec.budget.issuesPerDay"), "{why}");
    assert_eq!(world.asked_of_acm.len(), budget);
    assert!(world.events.iter().any(|event| event == "BudgetSpent"), "{:?}", world.events);
}

#[test]
fn what_fails_again_and_again_is_asked_for_five_times_a_day() {
    let mut world = World::new(&managed(true, None));
    world.acm_failure = Some("PCA_ACCESS_DENIED");
    world.converge();
    assert_eq!(again(&mut world, 9, ask_for_renewal), 5);
    assert_spent(&world, 5);
    assert_eq!(world.acm.len(), 1, "the last one that failed is there to be looked at");
    let failure = world.certificate.status.as_ref().unwrap().managed.as_ref().unwrap().failure_reason.clone();
    assert_eq!(failure.as_deref(), Some("PCA_ACCESS_DENIED"));
    assert_silent(&mut world);
    // The process ends: the status knows.
    world.crash();
    assert_eq!(again(&mut world, 2, ask_for_renewal), 5);
    assert_silent(&mut world);
    world.acm_failure = None;
    world.now += SignedDuration::from_hours(24);
    world.converge();
    assert!(ready(&world) && stalled(&world).is_none(), "{:#?}", world.certificate.status);
    assert_eq!((world.asked_of_acm.len(), world.acm.len()), (6, 1));
    assert_eq!(most_in_a_day(&world), 5);
    assert_silent(&mut world);
}

#[test]
fn a_greater_budget_counts_at_once() {
    let mut world = World::new(&managed(true, Some(2)));
    world.acm_failure = Some("PCA_ACCESS_DENIED");
    world.converge();
    again(&mut world, 4, ask_for_renewal);
    assert_spent(&world, 2);
    world.acm_failure = None;
    world.now += SignedDuration::from_mins(5);
    change_spec(&mut world, |spec| spec.budget = serde_json::from_value(json!({ "issuesPerDay": 3 })).unwrap());
    world.converge();
    assert!(ready(&world) && stalled(&world).is_none(), "{:#?}", world.certificate.status);
    assert_eq!(world.asked_of_acm.len(), 3);
}

#[test]
fn what_is_deleted_in_acm_again_and_again_is_asked_for_five_times_a_day() {
    let mut world = World::new(&managed(false, None));
    world.converge();
    assert_eq!(again(&mut world, 9, gone_from_acm), 5);
    assert_spent(&world, 5);
    assert!(!ready(&world), "there is none");
    world.now += SignedDuration::from_hours(24);
    world.converge();
    assert!(ready(&world) && stalled(&world).is_none(), "{:#?}", world.certificate.status);
    assert_eq!(most_in_a_day(&world), 5);
}

#[test]
fn a_status_that_is_wiped_takes_no_count_with_it() {
    let mut world = World::new(&managed(false, None));
    world.converge();
    let wiped = |world: &mut World| {
        gone_from_acm(world);
        world.certificate.status = None;
        world.touch();
    };
    assert_eq!(again(&mut world, 9, wiped), 5);
    assert_spent(&world, 5);
    let asked = &world.certificate.status.as_ref().unwrap().managed.as_ref().unwrap().asked;
    assert_eq!(asked.len(), 5, "it is in the status again, for the process to come");
    assert_silent(&mut world);
}

/// ACM answers a token of the last hour with the ARN that it led to, also where that is deleted.
#[test]
fn what_is_asked_for_after_a_wiped_status_is_asked_for_by_a_token_of_its_own() {
    let mut world = World::new(&managed(false, None));
    world.acm_failure = Some("PCA_ACCESS_DENIED");
    world.converge();
    again(&mut world, 2, ask_for_renewal);
    world.certificate.status = None;
    world.touch();
    world.converge();
    world.acm_failure = None;
    again(&mut world, 1, ask_for_renewal);
    assert!(ready(&world) && stalled(&world).is_none(), "{:#?}", world.certificate.status);
    assert_eq!((world.asked_of_acm.len(), world.new_imports), (4, 4));
}

#[test]
fn renewals_that_a_person_asks_for_count_and_what_is_there_stays() {
    let mut world = World::new(&managed(true, None));
    world.converge();
    assert_eq!(again(&mut world, 8, ask_for_renewal), 5);
    assert_spent(&world, 5);
    assert!(ready(&world));
    assert_eq!((world.renewals, world.new_imports, world.acm.len()), (4, 1, 1));
    // It is exported again meanwhile, since that is not paid for so.
    let exports = world.exports;
    world.secret = None;
    world.touch();
    world.converge();
    assert_eq!(world.exports, exports + 1);
    assert_silent(&mut world);
    world.now += SignedDuration::from_hours(24);
    world.converge();
    assert_eq!((world.renewals, stalled(&world)), (5, None), "the last one that was asked for");
    assert_silent(&mut world);
}

#[test]
fn what_aws_refuses_spends_nothing() {
    let mut world = World::new(&managed(true, Some(1)));
    for _ in 0..6 {
        // The record is stored, and the call that it is for is refused.
        let mut changes = 0;
        world.pass(|| {
            changes += 1;
            if changes == 2 { Fault::Refused } else { Fault::Fine }
        });
        assert_eq!(world.asked_of_acm.len(), 0);
        let asked = &world.certificate.status.as_ref().unwrap().managed.as_ref().map_or(0, |m| m.asked.len());
        assert!(changes > 2 && *asked == 0, "{changes} changes, {:#?}", world.certificate.status);
        world.now += SignedDuration::from_mins(11);
    }
    world.now += SignedDuration::from_mins(11);
    world.converge();
    assert!(ready(&world) && stalled(&world).is_none(), "{:#?}", world.certificate.status);
    let asked = &world.certificate.status.as_ref().unwrap().managed.as_ref().unwrap().asked;
    assert_eq!((world.asked_of_acm.len(), asked.len()), (1, 1));
}

/// It is under way nowhere, so the next try needs no minute of patience.
#[test]
fn a_renewal_that_aws_refuses_is_asked_for_as_soon_as_it_is_allowed() {
    let mut world = World::new(&managed(true, None));
    world.converge();
    world.now += SignedDuration::from_mins(5);
    ask_for_renewal(&mut world);
    let mut changes = 0;
    world.pass(|| {
        changes += 1;
        if changes == 2 { Fault::Refused } else { Fault::Fine }
    });
    assert!(world.renewals == 0 && stalled(&world).is_some(), "{:#?}", world.certificate.status);
    world.now += SignedDuration::from_secs(5);
    world.touch();
    world.pass(|| Fault::Fine);
    assert_eq!(world.renewals, 1, "{:#?}", world.certificate.status);
    world.converge();
    assert_eq!((world.renewals, stalled(&world)), (1, None));
}

/// The budget of the account, which is 2 here.
#[test]
fn nothing_is_asked_for_where_the_whole_account_has_spent_its_budget() {
    let mut world = World::new(&managed(false, None));
    world.account.spec.budget = serde_json::from_value(json!({ "issuesPerDay": 2 })).unwrap();
    let account = world.account.clone();
    world.process.ledger.account(&account, world.now);
    world.converge();
    assert_eq!(again(&mut world, 4, gone_from_acm), 2);
    let why = stalled(&world).unwrap();
    assert!(why.starts_with("BudgetSpent") && why.contains("AwsAccount"), "{why}");
    let asked = &world.certificate.status.as_ref().unwrap().managed.as_ref().unwrap().asked;
    assert_eq!(asked.len(), 2, "what was not asked for does not count");
    assert_silent(&mut world);
    world.now += SignedDuration::from_hours(25);
    world.converge();
    assert!(ready(&world) && stalled(&world).is_none(), "{:#?}", world.certificate.status);
    assert_eq!(world.asked_of_acm.len(), 3);
}

#[derive(Clone, Debug)]
enum Blow {
    Faults(Vec<Fault>),
    Frozen,
    StatusWiped,
    RenewalAsked,
    Failing(bool),
    GoneFromAcm,
    SecretDeleted,
    HoursPass(i64),
    OtherProcess,
    ClockBack(i64),
}

fn blow() -> impl Strategy<Value = Blow> {
    prop_oneof![
        6 => prop::collection::vec(fault(), 1..12).prop_map(Blow::Faults),
        1 => Just(Blow::Frozen),
        3 => Just(Blow::StatusWiped),
        5 => Just(Blow::RenewalAsked),
        2 => any::<bool>().prop_map(Blow::Failing),
        5 => Just(Blow::GoneFromAcm),
        1 => Just(Blow::SecretDeleted),
        3 => (1_i64..16).prop_map(Blow::HoursPass),
        1 => Just(Blow::OtherProcess),
        1 => (1_i64..600).prop_map(Blow::ClockBack),
    ]
}

fn passes(world: &mut World, times: usize, mut fault: impl FnMut() -> Fault) {
    for _ in 0..times {
        if let Pass::Rested(rest) = world.pass(&mut fault) {
            world.now += rest.min(SignedDuration::from_secs(90));
        }
    }
}

fn strike(world: &mut World, blow: Blow) {
    match blow {
        Blow::Faults(faults) => {
            let mut faults = faults.into_iter();
            passes(world, 6, || faults.next().unwrap_or(Fault::Fine));
        }
        Blow::Frozen => passes(world, 4, || Fault::Frozen),
        // A process that works sees it, and puts the count back.
        Blow::StatusWiped => {
            world.certificate.status = None;
            world.touch();
            passes(world, 1, || Fault::Fine);
        }
        Blow::RenewalAsked => ask_for_renewal(world),
        Blow::Failing(fails) => world.acm_failure = fails.then_some("PCA_ACCESS_DENIED"),
        Blow::GoneFromAcm => gone_from_acm(world),
        Blow::SecretDeleted => world.secret = None,
        Blow::HoursPass(hours) => {
            let end = world.now + SignedDuration::from_hours(hours);
            while world.now < end {
                passes(world, 1, || Fault::Fine);
                world.now += SignedDuration::from_mins(20);
            }
        }
        Blow::OtherProcess => world.swap(),
        Blow::ClockBack(seconds) => world.now -= SignedDuration::from_secs(seconds),
    }
    passes(world, 2, || Fault::Fine);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_no_more_is_asked_for_in_a_day_than_may_be(
        secret in any::<bool>(),
        budget in 1_i32..6,
        blows in prop::collection::vec(blow(), 1..30),
    ) {
        let mut world = World::new(&managed(secret, Some(budget)));
        for blow in blows {
            strike(&mut world, blow);
        }
        let most = most_in_a_day(&world);
        prop_assert!(most <= usize::try_from(budget).unwrap(), "{most} of {budget}: {:?}", world.asked_of_acm);
        // And it goes on when the day is over.
        world.acm_failure = None;
        for _ in 0..4 {
            world.now += SignedDuration::from_hours(25);
            world.converge();
        }
        let ineligible = |why: String| why.starts_with("RenewalIneligible") && !secret;
        prop_assert!(ready(&world) && stalled(&world).is_none_or(ineligible), "{:#?}", world.certificate.status);
        prop_assert!(most_in_a_day(&world) <= usize::try_from(budget).unwrap());
        assert_silent(&mut world);
    }
}
