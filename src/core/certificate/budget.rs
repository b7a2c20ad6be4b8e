//! What keeps a Certificate from buying again and again: a brake on what is taken away at once, and a budget a day.

use super::{
    Next, Observed,
    issuing::{is_ours, is_superseded},
    wanted::{self, Trigger},
    write::TRIGGER_ANNOTATION,
};
use crate::{
    api::{Certificate, CertificateRequest, ISSUED_FOR_ANNOTATION},
    core::{
        access::Refusal,
        request::attempt::{DAY, DEFAULT_BUDGET},
        spending::{BUDGET_SPENT, Spent},
    },
    text::counted,
};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

/// How many attempts a Certificate may make in a day.
#[must_use]
pub fn per_day(certificate: &Certificate) -> i32 {
    certificate.spec.budget.as_ref().map_or(DEFAULT_BUDGET, |budget| budget.issues_per_day)
}

/// Whether a request still counts: it was made within a day, and something may have been paid for it.
pub(super) fn counts(request: &CertificateRequest, now: Timestamp) -> bool {
    made(request).is_some_and(|at| now.duration_since(at) < DAY) && !is_superseded(request)
}

/// When its last attempt began.
fn made(request: &CertificateRequest) -> Option<Timestamp> {
    let attempt = request.status.as_ref().and_then(|s| s.attempt.as_ref()).map(|a| a.at.0);
    attempt.or_else(|| request.creation_timestamp().map(|t| t.0))
}

/// No new request is made where those of the last day used the budget up. They are counted as they stand in the cluster, so a
/// process that ends again and again forgets none.
pub(super) fn spent(o: &Observed, now: Timestamp) -> Option<Next> {
    // Nor where the whole account has spent its own.
    if let Some(spent) = &o.account_spent {
        return Some(of_account(o, spent, now));
    }
    let budget = per_day(&o.certificate);
    let mut attempts: Vec<Timestamp> = Vec::new();
    for request in o.requests.values().filter(|r| is_ours(o, r) && counts(r, now)) {
        let number = request.status.as_ref().and_then(|s| s.attempt.as_ref()).map_or(1, |a| a.number.max(1));
        attempts.extend(made(request).into_iter().cycle().take(usize::try_from(number.min(budget)).unwrap_or(1)));
    }
    over(attempts, budget, now)
}

/// The account's budget is used up.
pub(super) fn of_account(o: &Observed, spent: &Spent, now: Timestamp) -> Next {
    let message = spent.message(&o.certificate.spec.account_ref.name);
    let rest = spent.until.duration_since(now).max(SignedDuration::from_secs(1));
    Next::Stalled(Refusal { reason: BUDGET_SPENT, message }, rest)
}

/// Whether attempts at these times, all of the last day, use the budget up.
pub(super) fn over(mut attempts: Vec<Timestamp>, budget: i32, now: Timestamp) -> Option<Next> {
    attempts.sort_unstable();
    let over = attempts.len().checked_sub(usize::try_from(budget).unwrap_or(1))?;
    let until = attempts.get(over)?.checked_add(DAY).ok()?;
    let message = format!(
        "the budget of {} a day is used up; it goes on at {}, or at once with a greater spec.budget.issuesPerDay",
        counted(budget, "certificate"),
        crate::api::conditions::whole_seconds(until)
    );
    Some(Next::Stalled(Refusal { reason: BUDGET_SPENT, message }, until.duration_since(now)))
}

/// Two certificates in a row were lost, or spoilt, within this time: the next waits until it has passed.
const BRAKE: SignedDuration = SignedDuration::from_hours(1);

/// What takes the certificate away again and again must not buy one each time.
pub(super) fn brake(o: &Observed, trigger: &Trigger, now: Timestamp) -> Option<Next> {
    let base = o.base_revision();
    let lost = |name: &str| [Trigger::SecretLost(String::new()).name(), Trigger::SpecChanged.name()].contains(&name);
    let wanted = wanted::issued_for(&o.certificate.spec);
    let bought = |revision: i64| {
        let request = o.requests.get(&revision).filter(|r| is_ours(o, r))?;
        let annotation = |key: &str| request.annotations().get(key).map(String::as_str);
        let again =
            annotation(ISSUED_FOR_ANNOTATION) == Some(&wanted) && annotation(TRIGGER_ANNOTATION).is_some_and(lost);
        request.creation_timestamp().filter(|_| again)?.0.checked_add(BRAKE).ok()
    };
    // A person who asks for a renewal after the last one gets it.
    let newest = o.requests.get(&base).and_then(|r| r.creation_timestamp());
    let asked = wanted::renewal_request(&o.certificate, now).and_then(|at| at.parse::<Timestamp>().ok());
    if asked.zip(newest).is_some_and(|(asked, newest)| asked > newest.0) {
        return None;
    }
    let until =
        bought(base).zip(bought(base - 1)).map(|(last, before)| last.min(before)).filter(|_| lost(trigger.name()))?;
    let message = "the Secret is taken away or changed by something again and again; the next certificate is bought after an hour, or when the annotation arnkeeper.dev/renew-requested-at asks for it";
    (now < until).then(|| {
        let why = Refusal { reason: "IssuedTooOften", message: message.into() };
        Next::Stalled(why, until.duration_since(now).min(BRAKE))
    })
}
