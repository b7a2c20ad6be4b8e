use super::*;
use crate::{
    api::{account::BudgetStatus, conditions::ORGANIZATION_SYNCED},
    aws::permissions::verify::Answer,
    core::{fixtures, organization, spending::Spent},
};
use serde_json::json;

const NOW: &str = "2026-01-01T10:20:00Z";

/// An account that lets us in.
fn observed(account: AwsAccount, budget: Standing) -> Observed {
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
    Observed {
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
        same_account: vec![],
        run: None,
        run_steps: 0,
        run_rests: None,
        surroundings: None,
        member_steps: 0,
        removed: (vec![], 0),
    }
}

/// The status of an account that lets us in.
fn decided(account: AwsAccount, budget: Standing) -> (AwsAccountStatus, SignedDuration, Vec<Event>) {
    let decision = decide(&observed(account, budget), NOW.parse().unwrap());
    let Step::Rest(rest) = decision.step else { panic!("it rests") };
    (decision.status, rest, decision.events)
}

/// An account with this organization, and its only member.
fn organized(
    organization: serde_json::Value,
    before: AwsAccountStatus,
    read: Result<(), &str>,
) -> Decision<AwsAccountStatus, Read, Write> {
    let mut account = fixtures::account();
    account.spec.organization = serde_json::from_value(organization).unwrap();
    account.status = Some(before);
    let mut o = observed(account, Standing::default());
    let one = Organization {
        id: "o-example".into(),
        management_account: "111122223333".parse().unwrap(),
        members: vec![crate::aws::port::Member {
            id: "444455556666".parse().unwrap(),
            name: "pay".into(),
            state: organization::ACTIVE.into(),
            units: vec![("r-abcd".into(), "Root".into())],
        }],
    };
    let why = |reason| Refusal { reason, message: "organizations:ListAccounts was refused".into() };
    let problem = |reason: &str| {
        let (reason, passes) = if reason == "Throttled" { ("Throttled", true) } else { ("AccessDenied", false) };
        Problem { why: why(reason), passes, about_credentials: false }
    };
    o.organization = Some(read.map(|()| Arc::new(one.clone())).map_err(problem));
    let mut around = Around::default();
    for change in organization::changes(&o.account, &one, &around) {
        if let Change::Create(new) = change {
            around.members.insert(new.name_any(), Arc::new(*new));
        }
    }
    o.around = Some(around);
    decide(&o, NOW.parse().unwrap())
}

#[test]
fn what_matches_nothing_is_told_by_one_event_and_the_members_are_synchronized() {
    let spec = json!({ "rules": [{ "match": { "namePattern": "bank-*" }, "set": {} }] });
    let first = organized(spec.clone(), AwsAccountStatus::default(), Ok(()));
    let told = |d: &Decision<AwsAccountStatus, Read, Write>| {
        d.status.conditions.iter().find(|c| c.type_ == ORGANIZATION_SYNCED).cloned().unwrap()
    };
    let condition = told(&first);
    assert_eq!((&*condition.status, &*condition.reason), ("True", "SyncedInPart"));
    assert!(condition.message.contains("rules[0] matches no member"), "{}", condition.message);
    let about = |d: &Decision<AwsAccountStatus, Read, Write>, reason: &str| {
        d.events.iter().filter(|e| e.reason == reason && e.warning).count()
    };
    assert_eq!(about(&first, "SyncedInPart"), 1);
    assert_eq!(about(&organized(spec, first.status, Ok(())), "SyncedInPart"), 0);
    let slip = json!({ "include": { "accountIds": ["999999999999"] } });
    let nobody = organized(slip, AwsAccountStatus::default(), Ok(()));
    assert_eq!((&*told(&nobody).status, about(&nobody, "NothingSelected")), ("False", 1));
}

#[test]
fn an_organization_that_can_not_be_read_is_told_once_and_throttling_is_no_matter_for_a_person() {
    let before = organized(json!({}), AwsAccountStatus::default(), Ok(())).status;
    assert!(is_true(&before.conditions, ORGANIZATION_SYNCED));
    for (reason, stalls) in [("Throttled", false), ("AccessDenied", true)] {
        let failed = organized(json!({}), before.clone(), Err(reason));
        let condition = failed.status.conditions.iter().find(|c| c.type_ == ORGANIZATION_SYNCED).unwrap();
        assert_eq!((&*condition.status, &*condition.reason), ("False", reason));
        assert!(condition.message.contains("the members stay as they are"));
        assert_eq!(is_true(&failed.status.conditions, STALLED), stalls);
        assert_eq!(failed.status.organization, before.organization, "what is known is kept");
        assert_eq!(failed.events.iter().filter(|e| e.reason == reason).count(), 1);
        let again = organized(json!({}), failed.status, Err(reason));
        assert_eq!(again.events.iter().filter(|e| e.reason == reason).count(), 0);
    }
}

#[test]
fn another_account_object_for_the_same_aws_account_is_told_once() {
    let mut account = fixtures::account();
    for (same, events) in [(vec!["twin"], 1), (vec!["twin"], 0), (vec!["third", "twin"], 1), (vec![], 0)] {
        let mut o = observed(account.clone(), Standing::default());
        o.same_account = same.iter().map(|name| (*name).to_owned()).collect();
        let decision = decide(&o, NOW.parse().unwrap());
        assert_eq!(decision.status.same_account, same);
        assert_eq!(decision.events.iter().filter(|e| e.reason == "SameAwsAccount" && e.warning).count(), events);
        account.status = Some(decision.status);
    }
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

#[test]
fn an_annotation_that_nobody_hears_is_told() {
    let message = |key: &str| {
        let mut account = fixtures::account();
        account.annotations_mut().insert(key.into(), "2026-01-01T00:00:00Z".into());
        let (status, _, _) = decided(account, Standing::default());
        status.conditions.iter().find(|c| c.type_ == READY).unwrap().message.clone()
    };
    let told = message("arnkeeper.dev/discover-request-at");
    assert!(told.starts_with("The account can be used; ") && told.contains("discover-request-at"), "{told}");
    assert!(told.contains(DISCOVER_ANNOTATION) && told.contains(SYNC_ANNOTATION), "{told}");
    for key in [SYNC_ANNOTATION, DISCOVER_ANNOTATION, "example.com/look"] {
        assert_eq!(message(key), "The account can be used");
    }
}
