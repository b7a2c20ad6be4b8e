use super::*;
use crate::{
    api::account::BudgetStatus,
    aws::permissions::verify::Answer,
    core::{fixtures, spending::Spent},
};

const NOW: &str = "2026-01-01T10:20:00Z";

/// The status of an account that lets us in.
fn decided(account: AwsAccount, budget: Standing) -> (AwsAccountStatus, SignedDuration, Vec<Event>) {
    let identity =
        Identity { account: "111122223333".parse().unwrap(), arn: "arn:aws:iam::111122223333:user/a".into() };
    let authorities = account.spec.regions.iter().map(|region| (region.clone(), Ok(vec![]))).collect();
    let asked = Asked {
        at: NOW.parse().unwrap(),
        instant: std::time::Instant::now(),
        generation: account.metadata.generation,
        caller: identity.arn.clone(),
        needs: permissions::Needs::default(),
        answer: Answer::default(),
        carried: std::collections::BTreeSet::new(),
    };
    let o = Observed {
        account: Arc::new(account),
        session: Some(Ok(identity)),
        authorities,
        asked: Some(Arc::new(asked)),
        shown: learned::All::new(),
        budget,
        organization: None,
        around: None,
        read_at: None,
        listed_at: None,
        cluster: "cluster".into(),
        run: None,
        run_steps: 0,
        run_rests: None,
        surroundings: None,
    };
    let decision = decide(&o, NOW.parse().unwrap());
    let Step::Rest(rest) = decision.step else { panic!("it rests") };
    (decision.status, rest, decision.events)
}

fn spent() -> Standing {
    let spent = Spent { budget: 3, until: "2026-01-01T10:25:00Z".parse().unwrap() };
    Standing { spent: Some(spent), record: Some(BudgetStatus::default()) }
}

#[test]
fn a_spent_budget_is_told_once_and_leaves_the_account_ready() {
    let mut account = fixtures::account();
    let (status, rest, events) = decided(account.clone(), spent());
    assert!(is_true(&status.conditions, READY) && is_true(&status.conditions, STALLED));
    let told = status.conditions.iter().find(|c| c.type_ == STALLED).unwrap();
    assert!(
        told.message.contains("3 certificates") && told.message.contains("2026-01-01T10:25:00Z"),
        "{}",
        told.message
    );
    assert_eq!(events.iter().filter(|e| e.reason == BUDGET_SPENT && e.warning).count(), 1);
    assert_eq!(rest, SignedDuration::from_mins(5), "it looks again when the budget goes on");
    account.status = Some(status.clone());
    let (again, _, events) = decided(account.clone(), spent());
    assert_eq!((again, events), (status, vec![]));
    let (after, ..) = decided(account, Standing { spent: None, record: Some(BudgetStatus::default()) });
    assert!(!is_true(&after.conditions, STALLED));
}

#[test]
fn what_has_to_outlive_the_process_stands_in_a_disabled_account_too() {
    let mut account = fixtures::account();
    account.spec.enabled = false;
    let (status, ..) = decided(account, spent());
    assert_eq!(status.budget, Some(BudgetStatus::default()));
    assert!(!is_true(&status.conditions, STALLED), "a person wanted it so");
}
