//! When IssueCertificate may be called: only within four minutes of a record, so that a repeat is harmless.
//!
//! AWS honours an idempotency token for five minutes (Private CA API reference, IssueCertificate); the minute between
//! is for clocks and time-outs.

use crate::api::{CertificateRequest, conditions::whole_seconds, request::Attempt};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// A record older than this carries no call.
const FRESH: SignedDuration = SignedDuration::from_mins(4);
/// After this, AWS has forgotten the token.
const TOKEN_WINDOW: SignedDuration = SignedDuration::from_mins(5);
/// A record from so far in the future was stored before the clock was set back: its age is not known. Less than that is within
/// the minute between the four and the five.
const SKEW: SignedDuration = SignedDuration::from_mins(1);
/// Between attempts, once two of them may have been paid for.
const BETWEEN: SignedDuration = SignedDuration::from_hours(1);

/// What a budget counts.
pub const DAY: SignedDuration = SignedDuration::from_hours(24);
/// How many attempts are made in a day, where nothing else is said.
pub const DEFAULT_BUDGET: i32 = 5;

/// Until when an attempt has to wait, since as many as the budget allows may have been paid for: then one a day.
#[must_use]
pub fn over_budget(request: &CertificateRequest, next: &Attempt, per_day: i32, now: Timestamp) -> Option<Timestamp> {
    let last = recorded(request).filter(|last| next.number > last.number && next.number > per_day)?;
    last.at.0.checked_add(DAY).ok().filter(|until| now < *until)
}

/// What an attempt may do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Call: this record carries it.
    Call(Attempt),
    /// Store this record first.
    Record(Attempt),
    /// Nothing for so long.
    Wait(SignedDuration),
}

/// Decides. `refused` is the attempt of which this process knows that AWS refused every call.
#[must_use]
pub fn turn(request: &CertificateRequest, refused: Option<i32>, now: Timestamp) -> Turn {
    let Some(last) = recorded(request) else { return Turn::Record(attempt(request, 1, now)) };
    let age = now.duration_since(last.at.0);
    if -SKEW <= age && age < FRESH {
        return Turn::Call(last);
    }
    let explicit = request.status.as_ref().is_some_and(|s| s.attempt.is_some());
    let next = || Turn::Record(attempt(request, last.number.saturating_add(1), now));
    // AWS refused every call of it: nothing was paid for, and it counts once.
    if refused == Some(last.number) {
        return Turn::Record(attempt(request, last.number, now));
    }
    if !explicit || age < -SKEW {
        return next();
    }
    let pause = if last.number <= 1 { TOKEN_WINDOW } else { BETWEEN };
    if age >= pause { next() } else { Turn::Wait(pause - age) }
}

/// The record that stands: that of the status or, where nothing gates the request, its creation.
pub(super) fn recorded(request: &CertificateRequest) -> Option<Attempt> {
    if let Some(attempt) = request.status.as_ref().and_then(|s| s.attempt.clone()) {
        return Some(attempt);
    }
    let created = request.metadata.creation_timestamp.as_ref()?;
    ungated(request).then(|| attempt(request, 1, created.0))
}

/// Nothing gated it from its creation on, so that this is the record of its first attempt.
#[must_use]
pub fn ungated(request: &CertificateRequest) -> bool {
    request.metadata.generation == Some(1) && request.spec.signature.is_some()
}

/// The end of validity is counted from the record, so that a repeat asks for the same.
fn attempt(request: &CertificateRequest, number: i32, at: Timestamp) -> Attempt {
    let at = whole_seconds(at);
    let duration =
        SignedDuration::try_from(std::time::Duration::from(request.spec.duration)).unwrap_or(SignedDuration::MAX);
    let not_after = at.checked_add(duration).unwrap_or(Timestamp::MAX);
    Attempt { number, at: Time(at), not_after: Time(whole_seconds(not_after)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn made(ahead: SignedDuration, number: Option<i32>, now: Timestamp) -> CertificateRequest {
        let at = whole_seconds(now + ahead).to_string();
        let mut request: CertificateRequest = serde_json::from_value(json!({
            "metadata": { "name": "app-1", "generation": 1, "creationTimestamp": at },
            "spec": {
                "accountRef": { "name": "prod" }, "region": "eu-west-1", "certificateAuthority": { "name": "ca" },
                "csr": "", "signature": {},
            },
        }))
        .unwrap();
        let attempt = number.map(|number| json!({ "attempt": { "number": number, "at": at, "notAfter": at } }));
        request.status = attempt.map(|status| serde_json::from_value(status).unwrap());
        request
    }

    /// The token would be forgotten by AWS long before such a record is four minutes old.
    #[test]
    fn a_record_of_a_clock_that_was_set_back_carries_no_call() {
        let now: Timestamp = "2026-01-01T10:00:00Z".parse().unwrap();
        for number in [None, Some(1), Some(3)] {
            let next = number.unwrap_or(1) + 1;
            let ahead = |minutes| turn(&made(SignedDuration::from_mins(minutes), number, now), None, now);
            for minutes in [2, 60, 60 * 24 * 365] {
                assert!(matches!(ahead(minutes), Turn::Record(a) if a.number == next && a.at.0 == now), "{minutes}");
            }
            assert!(matches!(ahead(1), Turn::Call(a) if a.number == next - 1), "clocks of two servers");
        }
    }
}
