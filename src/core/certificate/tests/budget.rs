//! What a Certificate may buy in a day.

use super::*;
use crate::core::spending::Spent;

/// Renewals are asked for, one after the other; returns how many were paid for.
fn renewed(world: &mut World, times: usize) -> usize {
    for _ in 0..times {
        world.now += SignedDuration::from_mins(3);
        force_renewal(world);
        for _ in 0..8 {
            if let Pass::Rested(rest) = world.pass(|| Fault::Fine) {
                world.now += rest.min(SignedDuration::from_secs(5));
            }
            world.sign();
        }
        // What a process remembers does not count.
        world.crash();
    }
    world.paid
}

#[test]
fn a_certificate_buys_five_a_day_and_goes_on_when_the_day_is_over() {
    let mut world = World::new(&one_target());
    world.converge();
    assert_eq!(renewed(&mut world, 8), 5);
    let why = stalled(&world).unwrap();
    assert!(why.starts_with("BudgetSpent") && why.contains("spec.budget.issuesPerDay"), "{why}");
    assert!(ready(&world), "what is there goes on to be valid");
    world.now += SignedDuration::from_hours(24);
    world.converge();
    assert_eq!((world.paid, stalled(&world)), (6, None));
    assert!(world.requests.len() <= 2, "what does not count any more is deleted");
}

#[test]
fn revisions_that_cost_nothing_take_none_that_did_out_of_the_count() {
    let mut world = World::new(&one_target());
    world.converge();
    for _ in 0..8 {
        // As where the source was a Secret in between, whose certificates are revisions, too.
        if let Some(revision) = world.certificate.status.as_mut().and_then(|s| s.revision.as_mut()) {
            *revision += 9;
        }
        renewed(&mut world, 1);
    }
    assert_eq!(world.paid, 5);
    assert!(stalled(&world).unwrap().starts_with("BudgetSpent"));
}

#[test]
fn a_greater_budget_counts_at_once() {
    let mut world = World::new(&one_target());
    world.converge();
    assert_eq!(renewed(&mut world, 6), 5);
    change_spec(&mut world, |spec| spec.budget = serde_json::from_value(json!({ "issuesPerDay": 7 })).unwrap());
    world.converge();
    assert_eq!((world.paid, stalled(&world)), (6, None));
}

#[test]
fn nothing_is_begun_where_the_whole_account_has_spent_its_budget() {
    let mut world = World::new(&one_target());
    let until = world.now + SignedDuration::from_hours(2);
    world.account_spent = Some(Spent { budget: 3, until });
    world.converge();
    let why = stalled(&world).unwrap();
    assert!(why.starts_with("BudgetSpent") && why.contains(&until.to_string()), "{why}");
    assert_eq!((world.paid, world.requests.len(), world.staged.len()), (0, 0, 0));
    world.account_spent = None;
    world.converge();
    assert_eq!((world.paid, stalled(&world)), (1, None));
}
