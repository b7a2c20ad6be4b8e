//! STS answers never, or with faults only. No test waits for time-outs or between repeats.

use super::*;
use crate::aws::port::Material;
use zeroize::Zeroizing;

/// Three attempts of ten seconds do not fit, with the pauses between them.
#[tokio::test]
async fn sts_that_never_answers_is_given_up_after_thirty_seconds() {
    let (wire, time) = (Wire::silent(), Time::default());
    let sessions = over(&wire, &time);
    let problem = time.run(sessions.open(&account())).await.err().unwrap();
    assert_eq!(problem.kind, ProblemKind::Transient, "{}", problem.message);
    assert_eq!(time.passed(), Duration::from_secs(30), "{}", problem.message);
    assert_eq!(wire.calls().len(), 3);
}

/// A role is assumed in the middle of the first call that needs it, and in its time.
#[tokio::test]
async fn a_role_that_sts_never_gives_is_given_up_with_the_call_that_needs_it() {
    let (wire, time) = (Wire::silent(), Time::default());
    let sessions = over(&wire, &time);
    let role = json!({ "assumeRoles": [{ "roleArn": "arn:aws:iam::111122223333:role/arnkeeper" }] });
    let problem = time.run(sessions.open(&account_with(1, &role))).await.err().unwrap();
    assert_eq!(problem.kind, ProblemKind::Transient, "{}", problem.message);
    assert!(time.passed() <= Duration::from_secs(30), "{:?}: {}", time.passed(), problem.message);
    assert!(wire.calls().iter().all(|call| call.operation == "AssumeRole"));
}

/// The name of the account in which something is done.
fn named(name: &str) -> AwsAccount {
    let role = format!("arn:aws:iam::111122223333:role/{name}");
    let quotas = json!({ "ImportCertificate": 10_000 });
    let mut account = account_with(1, &json!({ "assumeRoles": [{ "roleArn": role }], "quotas": quotas }));
    account.metadata.name = Some(name.into());
    account
}

/// The SDK has one budget of repeats for all accounts of a region, if it is not told otherwise.
#[tokio::test]
async fn an_account_whose_repeats_are_used_up_takes_none_of_another() {
    let time = Time::default();
    let is_of =
        |call: &Call, name: &str| call.operation == "AssumeRole" && call.body.contains(&format!("role%2F{name}&"));
    let failing = Arc::new(AtomicBool::new(false));
    let (fails, well) = (Arc::clone(&failing), AtomicUsize::new(0));
    let wire = Wire::new(move |call, _| {
        Some(match &*call.operation {
            "GetCallerIdentity" => who("arn:aws:sts::111122223333:assumed-role/arnkeeper/arnkeeper"),
            "AssumeRole" if is_of(call, "troubled") && fails.load(Ordering::SeqCst) => {
                refuse(500, "InternalFailure", "later")
            }
            // Its first answer is a fault, and it is asked again.
            "AssumeRole" if is_of(call, "well") && well.fetch_add(1, Ordering::SeqCst) == 0 => {
                refuse(500, "InternalFailure", "later")
            }
            // It has ended when it comes, so that each call asks for it.
            "AssumeRole" => role_until("ASIA", "2026-01-01T00:00:00Z"),
            _ => (200, "{}".into()),
        })
    });
    let sessions = over(&wire, &time);
    let troubled = sessions.open(&named("troubled")).await.ok().unwrap();
    let arn = "arn:aws:acm:eu-west-1:111122223333:certificate/11111111-2222-3333-4444-555555555555".parse().unwrap();
    let material = Material { certificate: String::new(), private_key: Zeroizing::new(String::new()), chain: None };
    failing.store(true, Ordering::SeqCst);
    let mut attempts = vec![];
    while attempts.last() != Some(&1) && attempts.len() < 200 {
        let before = wire.calls().len();
        let error = time.run(troubled.reimport(&arn, &material)).await.unwrap_err();
        assert_eq!((error.kind, error.action), (Kind::Transient, "sts:AssumeRole"), "{error}");
        attempts.push(wire.calls().len() - before);
    }
    assert_eq!((attempts.first(), attempts.last()), (Some(&3), Some(&1)), "{attempts:?}");
    let passed = time.passed();
    let opened = time.run(sessions.open(&named("well"))).await;
    assert!(opened.is_ok(), "{}", opened.err().unwrap().message);
    assert_eq!(wire.calls().iter().filter(|call| is_of(call, "well")).count(), 2);
    assert!(time.passed() > passed, "there was no pause before the repeat");
}
