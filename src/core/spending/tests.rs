use super::*;
use crate::api::Certificate;
use jiff::SignedDuration;
use proptest::prelude::*;
use serde_json::json;

const START: &str = "2026-01-01T10:20:00Z";

fn start() -> Timestamp {
    START.parse().unwrap()
}

fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

fn account(budget: i32) -> AwsAccount {
    serde_json::from_value(json!({
        "metadata": { "name": "prod" }, "spec": { "regions": ["eu-west-1"], "budget": { "issuesPerDay": budget } },
    }))
    .unwrap()
}

/// A request that was just made, to be signed at once.
fn request(uid: &str, created: Timestamp) -> CertificateRequest {
    serde_json::from_value(json!({
        "metadata": { "name": uid, "namespace": "pay", "uid": uid, "generation": 1, "creationTimestamp": created.to_string() },
        "spec": {
            "accountRef": { "name": "prod" }, "region": "eu-west-1", "certificateAuthority": { "name": "ca" },
            "csr": "", "signature": {},
        },
    }))
    .unwrap()
}

/// The same, after the private CA took it.
fn issued(uid: &str, created: Timestamp) -> CertificateRequest {
    let mut request = request(uid, created);
    let arn = "arn:aws:acm-pca:eu-west-1:111122223333:certificate-authority/11111111-2222-3333-4444-555555555555/certificate/1a";
    request.status = Some(serde_json::from_value(json!({ "certificateArn": arn })).unwrap());
    request
}

fn attempted(uid: &str, number: i32, at: Timestamp) -> CertificateRequest {
    let mut request = request(uid, start());
    let attempt = json!({ "number": number, "at": at.to_string(), "notAfter": at.to_string() });
    request.status = Some(serde_json::from_value(json!({ "attempt": attempt })).unwrap());
    request
}

/// A process that works, with this budget.
fn working(budget: i32) -> Ledger {
    let mut ledger = Ledger::default();
    ledger.account(&account(budget), start());
    ledger.begins();
    ledger
}

fn total(ledger: &Ledger, now: Timestamp) -> i64 {
    ledger.budgets(now)[0].2
}

#[test]
fn past_the_budget_nothing_is_taken_until_the_day_is_over() {
    let mut ledger = working(2);
    for uid in ["a", "b"] {
        ledger.take("prod", uid, 1, start()).unwrap();
    }
    let spent = ledger.take("prod", "c", 1, start()).unwrap_err();
    assert_eq!(spent, Spent { budget: 2, until: "2026-01-02T11:00:00Z".parse().unwrap() });
    assert_eq!(ledger.take("prod", "a", 1, start()), Ok(()), "it is counted already");
    assert!(ledger.take("prod", "a", 2, start()).is_err());
    assert!(ledger.take("prod", "c", 1, spent.until - SignedDuration::from_secs(1)).is_err());
    assert_eq!(ledger.take("prod", "c", 1, spent.until), Ok(()));
}

#[test]
fn without_a_budget_there_is_no_end() {
    let mut ledger = Ledger::default();
    for n in 0..1000 {
        assert_eq!(ledger.take("prod", &n.to_string(), 1, start()), Ok(()));
    }
    ledger.account(&account(1000), start());
    assert!(ledger.spent("prod", start()).is_some(), "one that comes later counts what was before");
    ledger.account(&account(1001), start());
    assert_eq!(ledger.spent("prod", start()), None);
    assert_eq!(ledger.spent("another", start()), None);
}

#[test]
fn a_new_process_counts_what_stands() {
    let mut ledger = Ledger::default();
    ledger.account(&account(10), start());
    ledger.note(&issued("a", start() - hours(1)), start());
    ledger.note(&attempted("b", 3, start() - hours(2)), start());
    // It may have been paid for by the process before, which did not come to tell.
    ledger.note(&request("c", start()), start());
    ledger.note(&issued("old", start() - hours(26)), start());
    let mut stalled = request("d", start());
    let told = json!([{ "type": "Stalled", "status": "True", "reason": "BudgetSpent", "message": "", "lastTransitionTime": START }]);
    stalled.status = Some(serde_json::from_value(json!({ "conditions": told })).unwrap());
    ledger.note(&stalled, start());
    assert_eq!(total(&ledger, start()), 5);
    ledger.begins();
    ledger.note(&request("e", start()), start());
    assert_eq!(total(&ledger, start()), 5, "from here on nobody else pays");
    let mut waits = stalled.clone();
    waits.metadata.uid = Some("c".into());
    ledger.note(&waits, start());
    assert_eq!(total(&ledger, start()), 4, "what was a guess turns out");
}

#[test]
fn what_is_deleted_goes_on_to_count_and_is_recorded_by_tenths() {
    let mut ledger = working(30);
    let mut account = account(30);
    let mut woken = vec![];
    for n in 0..7 {
        let request = issued(&n.to_string(), start());
        ledger.take("prod", &n.to_string(), 1, start()).unwrap();
        ledger.made("prod", &n.to_string());
        assert!(!ledger.note(&request, start()));
        if ledger.deleted(&request, start()) {
            woken.push(n);
            account.status = Some(serde_json::from_value(json!({})).unwrap());
            account.status.as_mut().unwrap().budget = ledger.standing("prod", start()).record;
            ledger.account(&account, start());
        }
    }
    assert_eq!((woken, total(&ledger, start())), (vec![2, 5], 7));
    // A new process has the record, and so has one that stood by and saw for itself.
    for mut another in [Ledger::default(), ledger] {
        another.account(&account, start());
        assert!((6..=7).contains(&total(&another, start())));
        assert_eq!(total(&another, start() + hours(25)), 0);
    }
}

/// The answer to its call comes after it is gone.
#[test]
fn one_that_is_deleted_in_mid_call_counts_by_its_answer() {
    for refused in [true, false] {
        let mut ledger = working(10);
        ledger.take("prod", "a", 1, start()).unwrap();
        ledger.calls("prod", "a", 1, start());
        ledger.deleted(&request("a", start()), start());
        assert_eq!(total(&ledger, start()), 1);
        if refused {
            ledger.give_back("prod", "a", 1);
        } else {
            ledger.made("prod", "a");
        }
        assert_eq!(total(&ledger, start()), i64::from(!refused));
        let recorded = ledger.standing("prod", start()).record.map(|r| r.deleted.len());
        assert_eq!(recorded, (!refused).then_some(1));
    }
}

#[test]
fn a_record_taken_out_of_a_status_by_hand_gives_nothing_back() {
    let mut ledger = working(10);
    ledger.note(&attempted("a", 2, start()), start());
    ledger.note(&request("a", start()), start());
    assert_eq!(total(&ledger, start()), 2);
    // Nor does a number that nobody could have come to spend all.
    ledger.note(&attempted("a", i32::MAX, start() + hours(1000)), start());
    assert_eq!(total(&ledger, start()), 24);
}

#[test]
fn a_spent_budget_is_looked_at_once() {
    let mut ledger = working(1);
    ledger.take("prod", "a", 1, start()).unwrap();
    assert!(ledger.note(&issued("a", start()), start()));
    assert!(!ledger.note(&issued("a", start()), start()));
    let mut told = account(1);
    let standing = ledger.standing("prod", start());
    assert!(standing.spent.is_some());
    let condition = json!({ "type": "Stalled", "status": "True", "reason": "BudgetSpent", "message": "", "lastTransitionTime": START });
    told.status = Some(serde_json::from_value(json!({ "conditions": [condition] })).unwrap());
    ledger.account(&told, start());
    assert!(!ledger.note(&issued("a", start()), start()));
    assert!(ledger.note(&issued("a", start()), start() + hours(25)), "and again when it goes on");
}

#[test]
fn a_hostile_record_ends_with_its_day() {
    let mut ledger = Ledger::default();
    let mut hostile = account(10);
    let hour = |hour: &str, issues: i64| json!({ "hour": hour, "issues": issues });
    let deleted = json!([
        hour("2026-01-01T10:00:00Z", i64::MAX),
        hour("2026-01-01T09:00:00Z", i64::MAX),
        hour("2030-01-01T00:00:00Z", 9),
        hour(START, -5)
    ]);
    hostile.status = Some(serde_json::from_value(json!({ "budget": { "deleted": deleted } })).unwrap());
    ledger.account(&hostile, start());
    assert!(ledger.spent("prod", start()).is_some());
    assert_eq!(ledger.spent("prod", start() + hours(25)), None);
}

#[derive(Clone, Copy, Debug)]
enum Blow {
    Issue,
    Delete,
    Restart,
    Wait(i64),
}

fn blow() -> impl Strategy<Value = Blow> {
    prop_oneof![
        6 => Just(Blow::Issue),
        4 => Just(Blow::Delete),
        1 => Just(Blow::Restart),
        1 => (1_i64..300).prop_map(Blow::Wait),
    ]
}

proptest! {
    /// Whatever is made, deleted and begun anew: no day has more than the budget, and what a restart forgets, less than a tenth.
    #[test]
    fn no_day_costs_more_than_the_budget(budget in 1_i32..25, blows in prop::collection::vec(blow(), 0..300)) {
        let (mut now, mut ledger, mut account) = (start(), working(budget), account(budget));
        let (mut standing, mut paid, mut restarts) = (Vec::<CertificateRequest>::new(), Vec::<Timestamp>::new(), 0_i64);
        for (n, blow) in blows.into_iter().enumerate() {
            let news = match blow {
                Blow::Issue => {
                    let uid = n.to_string();
                    let mut news = ledger.note(&request(&uid, now), now);
                    if ledger.take("prod", &uid, 1, now).is_ok() {
                        paid.push(now);
                        ledger.calls("prod", &uid, 1, now);
                        ledger.made("prod", &uid);
                        standing.push(issued(&uid, now));
                        news |= ledger.note(&issued(&uid, now), now);
                    }
                    news
                }
                Blow::Delete => standing.pop().is_some_and(|gone| ledger.deleted(&gone, now)),
                Blow::Restart => {
                    restarts += 1;
                    ledger = Ledger::default();
                    ledger.account(&account, now);
                    for request in &standing {
                        ledger.note(request, now);
                    }
                    ledger.begins();
                    // A new process looks at every account.
                    true
                }
                Blow::Wait(minutes) => {
                    now += SignedDuration::from_mins(minutes);
                    false
                }
            };
            if news {
                let mut status = account.status.clone().unwrap_or_default();
                status.budget = ledger.standing("prod", now).record;
                account.status = Some(status);
                ledger.account(&account, now);
            }
        }
        let forgotten = restarts * ((i64::from(budget) / PART).max(1) - 1);
        for (n, first) in paid.iter().enumerate() {
            let day = paid[n..].iter().filter(|at| at.duration_since(*first) < hours(24)).count();
            prop_assert!(i64::try_from(day).unwrap() <= i64::from(budget) + forgotten, "{day} in a day of {budget}");
        }
    }
}

#[test]
fn what_aws_refused_is_not_counted_when_the_watch_tells_of_its_record_afterwards() {
    let mut ledger = working(2);
    ledger.note(&request("a", start()), start());
    ledger.take("prod", "a", 1, start()).unwrap();
    ledger.give_back("prod", "a", 1);
    // The record of the attempt, and then the status without it.
    ledger.note(&attempted("a", 1, start()), start());
    assert_eq!(total(&ledger, start()), 0);
    ledger.note(&request("a", start()), start());
    ledger.deleted(&attempted("a", 1, start()), start());
    assert_eq!(total(&ledger, start()), 0);
    // The same number again is another attempt.
    ledger.take("prod", "b", 1, start()).unwrap();
    ledger.give_back("prod", "b", 1);
    ledger.note(&attempted("b", 1, start()), start());
    ledger.take("prod", "b", 1, start()).unwrap();
    ledger.made("prod", "b");
    ledger.note(&attempted("b", 1, start()), start());
    assert_eq!(total(&ledger, start()), 1);
    // So is one that another process made.
    ledger.note(&attempted("b", 2, start()), start());
    assert_eq!(total(&ledger, start()), 2);
}

#[test]
fn what_a_deletion_prevented_is_not_counted_and_what_it_did_not_is() {
    let mut ledger = working(5);
    ledger.take("prod", "a", 1, start()).unwrap();
    ledger.deleted(&request("a", start()), start());
    assert_eq!(total(&ledger, start()), 0);
    ledger.calls("prod", "a", 1, start());
    ledger.made("prod", "a");
    assert_eq!(total(&ledger, start()), 1);
    ledger.take("prod", "b", 1, start()).unwrap();
    ledger.calls("prod", "b", 1, start());
    ledger.deleted(&attempted("b", 1, start()), start());
    assert_eq!(total(&ledger, start()), 2, "its answer is not there yet");
    ledger.made("prod", "b");
    assert_eq!(total(&ledger, start()), 2);
    ledger.take("prod", "c", 1, start()).unwrap();
    ledger.calls("prod", "c", 1, start());
    ledger.deleted(&attempted("c", 1, start()), start());
    ledger.give_back("prod", "c", 1);
    assert_eq!(total(&ledger, start()), 2, "AWS refused it");
    ledger.take("prod", "d", 1, start()).unwrap();
    ledger.calls("prod", "d", 1, start());
    ledger.made("prod", "d");
    ledger.take("prod", "d", 1, start()).unwrap();
    ledger.deleted(&attempted("d", 1, start()), start());
    assert_eq!(total(&ledger, start()), 3, "it was made, though its repetition was not");
}

#[test]
fn a_clock_that_ran_ahead_holds_nothing_up_until_it_is_there_again() {
    let mut ledger = working(2);
    let ahead = start() + hours(24 * 365);
    for uid in ["a", "b"] {
        ledger.take("prod", uid, 1, ahead).unwrap();
        ledger.calls("prod", uid, 1, ahead);
        ledger.made("prod", uid);
    }
    let spent = ledger.standing("prod", start()).spent.expect("it counts all the same");
    assert!(spent.until <= start() + hours(26), "{}", spent.until);
    assert!(ledger.take("prod", "c", 1, start()).is_err());
    assert!(ledger.take("prod", "c", 1, start() + hours(26)).is_ok());
}

/// A Certificate of ACM's own, which asked at these times.
fn managed(uid: &str, asked: &[Timestamp]) -> Certificate {
    let asked: Vec<String> = asked.iter().map(ToString::to_string).collect();
    serde_json::from_value(json!({
        "metadata": { "name": "app", "namespace": "pay", "uid": uid },
        "spec": {
            "accountRef": { "name": "prod" }, "region": "eu-west-1",
            "source": { "acmManaged": { "certificateAuthority": { "name": "ca" } } },
            "subject": { "domainName": "app.pay.example" }, "acm": [{ "name": "edge" }],
        },
        "status": { "managed": { "state": "ISSUED", "asked": asked } },
    }))
    .unwrap()
}

#[test]
fn what_certificates_asked_acm_for_counts_by_their_status_and_after_they_are_deleted() {
    let mut ledger = working(10);
    let certificate = managed("a", &[start() - hours(30), start() - hours(2), start()]);
    for _ in 0..3 {
        ledger.note_certificate(&certificate, start());
    }
    assert_eq!(total(&ledger, start()), 2, "each of a day counts once");
    assert_eq!(ledger.known("a", start()).times, [start() - hours(2), start()]);
    ledger.note_certificate(&managed("a", &[]), start());
    assert_eq!((total(&ledger, start()), ledger.known("a", start()).times.len()), (2, 2), "a status may be wiped");
    assert_eq!(ledger.standing("prod", start()).record, None, "what stands is not recorded");
    assert!(ledger.certificate_deleted(&certificate, start()));
    assert_eq!((total(&ledger, start()), ledger.known("a", start()).times.len()), (2, 0));
    let record = ledger.standing("prod", start()).record.unwrap();
    assert_eq!(record.deleted.iter().map(|hour| hour.issues).sum::<i64>(), 2);
    assert_eq!(total(&ledger, start() + hours(26)), 0);
}

#[test]
fn what_acm_refuses_or_is_not_asked_for_counts_nowhere() {
    let mut ledger = working(1);
    ledger.take_managed("prod", "a", start(), start()).unwrap();
    assert_eq!(ledger.take_managed("prod", "a", start(), start()), Ok(()), "it is counted already");
    assert!(ledger.take_managed("prod", "b", start(), start()).is_err());
    // The next pass begins: the first did not come to its call.
    assert_eq!(ledger.asked("prod", "a", start()).void, [start()]);
    assert_eq!(total(&ledger, start()), 0);
    ledger.note_certificate(&managed("a", &[start()]), start());
    assert_eq!(total(&ledger, start()), 0, "its status may tell of it for a while");
    ledger.take_managed("prod", "a", start(), start()).unwrap();
    ledger.calls_managed("prod", "a", start(), start());
    ledger.take_back("prod", "a", start());
    assert_eq!((total(&ledger, start()), ledger.known("a", start()).times.len()), (0, 0), "AWS refused");
    ledger.take_managed("prod", "a", start(), start()).unwrap();
    ledger.calls_managed("prod", "a", start(), start());
    ledger.made_managed("prod", "a", start());
    assert_eq!(ledger.asked("prod", "a", start()).times, [start()], "what was paid for is not given back");
    assert_eq!(total(&ledger, start()), 1);
    // Deleted in the middle of its call, it counts.
    let mut ledger = working(10);
    ledger.take_managed("prod", "a", start(), start()).unwrap();
    ledger.calls_managed("prod", "a", start(), start());
    ledger.certificate_deleted(&managed("a", &[start()]), start());
    ledger.made_managed("prod", "a", start());
    assert_eq!(total(&ledger, start()), 1);
}
