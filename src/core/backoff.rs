//! How long to wait before something is tried again.

use super::access::Refusal;
use crate::aws::{
    error::{AwsError, Kind},
    paced::quotas::Operation,
};
use jiff::SignedDuration;

/// The first wait after a passing fault.
const FIRST: SignedDuration = SignedDuration::from_secs(1);
/// The longest wait after throttling.
const THROTTLED: SignedDuration = SignedDuration::from_secs(20);
/// The longest wait after passing faults.
const LONGEST: SignedDuration = SignedDuration::from_mins(5);
/// The wait where only a person can help; a changed spec, account or Secret ends it at once.
pub const FOR_A_PERSON: SignedDuration = SignedDuration::from_mins(10);
/// Passing faults are told in the status from this one on: most pass before anybody could read it.
pub const TOLD_FROM: u32 = 3;

/// What went wrong in an object's last passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The last error.
    pub error: AwsError,
    /// How many passes failed in a row.
    pub count: u32,
}

impl Failure {
    /// One more failed pass. A call that was put off is none; and credentials are read again once, whatever failed before.
    #[must_use]
    pub fn again(before: Option<&Self>, error: AwsError) -> Self {
        let of_credentials = |error: &AwsError| error.kind == Kind::Credentials;
        let before = before.filter(|before| of_credentials(&before.error) || !of_credentials(&error));
        let more = u32::from(!matches!(error.kind, Kind::NotYourTurn(_)));
        Self { count: before.map_or(0, |before| before.count).saturating_add(more), error }
    }

    /// Whether it is over once these calls succeed: another call that succeeds on the way to the one that fails ends nothing.
    #[must_use]
    pub fn ends_with(&self, calls: &[Operation]) -> bool {
        calls.iter().any(|call| call.action() == self.error.action)
    }

    /// Whether nothing will go on without a person. Credentials are read again once before: they may have been rotated.
    #[must_use]
    pub fn needs_a_person(&self) -> bool {
        match self.error.kind {
            Kind::AccessDenied | Kind::Refused | Kind::LimitExceeded | Kind::NotFound => true,
            Kind::Credentials => self.count > 1,
            Kind::Throttled | Kind::NotYourTurn(_) | Kind::Transient | Kind::InUse | Kind::Conflict => false,
        }
    }

    /// Whether it changes nothing of the status: a call was put off, or credentials have ended and are read again.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        match self.error.kind {
            Kind::NotYourTurn(_) => true,
            Kind::Credentials => self.count <= 1,
            _ => false,
        }
    }

    /// Whether to say so in the status.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.needs_a_person() || (self.count >= TOLD_FROM && !self.is_quiet())
    }

    /// The same of an object: where nothing was told of it yet, that AWS can't be reached is told at once.
    #[must_use]
    pub fn is_told_of(&self, is_new: bool) -> bool {
        self.is_told() || (is_new && self.error.kind == Kind::Transient)
    }

    /// CamelCase, for a condition.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self.error.kind {
            Kind::Throttled => "Throttled",
            Kind::NotYourTurn(_) => "WaitingForTurn",
            Kind::Transient | Kind::Conflict => "AwsUnavailable",
            Kind::Credentials => "CredentialsInvalid",
            Kind::AccessDenied => "AccessDenied",
            Kind::NotFound => "NotFound",
            Kind::InUse => "InUse",
            Kind::Refused => "RefusedByAws",
            Kind::LimitExceeded => "QuotaUsedUp",
        }
    }

    /// How long to wait before the next try.
    #[must_use]
    pub fn wait(&self) -> SignedDuration {
        match self.error.kind {
            _ if self.needs_a_person() => FOR_A_PERSON,
            Kind::NotYourTurn(wait) => SignedDuration::try_from(wait).unwrap_or(LONGEST).min(LONGEST),
            // A quota fills up again by the second.
            Kind::Throttled => exponential(self.count).min(THROTTLED),
            _ => exponential(self.count),
        }
    }

    /// What an object does next, in the steps of its kind: it waits for a person, waits and says why, or waits. `is_new`: nothing
    /// was told of it yet.
    pub fn next<N>(
        &self,
        is_new: bool,
        stalled: impl FnOnce(Refusal, SignedDuration) -> N,
        told: impl FnOnce(Refusal, SignedDuration) -> N,
        quiet: impl FnOnce(SignedDuration) -> N,
    ) -> N {
        let why = Refusal { reason: self.reason(), message: self.error.to_string() };
        if self.needs_a_person() {
            stalled(why, self.wait())
        } else if self.is_told_of(is_new) {
            told(why, self.wait())
        } else {
            quiet(self.wait())
        }
    }
}

/// 1 s, 2 s, 4 s, … at most 5 minutes.
#[must_use]
pub fn exponential(count: u32) -> SignedDuration {
    let factor = 1_i32.checked_shl(count.saturating_sub(1).min(16)).unwrap_or(i32::MAX);
    FIRST.checked_mul(factor).map_or(LONGEST, |wait| wait.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: Kind, action: &'static str) -> AwsError {
        AwsError { kind, action, code: None, message: "no".into() }
    }

    #[test]
    fn what_fails_again_and_again_is_not_over_because_another_call_succeeds() {
        let mut failure = Failure::again(None, error(Kind::Transient, "acm:ImportCertificate"));
        assert!(!failure.ends_with(&[Operation::DescribeCertificate, Operation::ListTagsForCertificate]));
        assert!(failure.ends_with(&[Operation::GetAcmCertificate, Operation::ImportCertificate]));
        for count in 2..10 {
            failure = Failure::again(Some(&failure), error(Kind::Transient, "acm:ImportCertificate"));
            assert_eq!((failure.count, failure.is_told()), (count, count >= TOLD_FROM));
        }
        let put_off = Kind::NotYourTurn(std::time::Duration::from_secs(3));
        assert_eq!(Failure::again(Some(&failure), error(put_off, "acm:ImportCertificate")).count, failure.count);
        let credentials = Failure::again(Some(&failure), error(Kind::Credentials, "acm:ImportCertificate"));
        assert!(credentials.count == 1 && !credentials.needs_a_person(), "they are read again first");
        assert!(Failure::again(Some(&credentials), credentials.error.clone()).needs_a_person());
    }

    #[test]
    fn waits_double_and_end_at_five_minutes() {
        let waits: Vec<i64> = [1, 2, 3, 9, 10, 40].into_iter().map(|n| exponential(n).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 256, 300, 300]);
        assert_eq!(exponential(0), FIRST);
    }

    #[test]
    fn of_a_new_object_the_first_passing_fault_is_told() {
        let failure = |kind, count| {
            let error = AwsError { kind, action: "acm-pca:IssueCertificate", code: None, message: "no".into() };
            Failure { error, count }
        };
        assert!(failure(Kind::Transient, 1).is_told_of(true) && !failure(Kind::Transient, 1).is_told_of(false));
        assert!(failure(Kind::Transient, TOLD_FROM).is_told_of(false));
        for kind in [Kind::Throttled, Kind::Credentials, Kind::NotYourTurn(std::time::Duration::from_secs(3))] {
            assert!(!failure(kind, 1).is_told_of(true), "{kind:?}");
        }
    }

    #[test]
    fn rotated_credentials_are_tried_once_before_a_person_is_called() {
        let error =
            AwsError { kind: Kind::Credentials, action: "acm:ListCertificates", code: None, message: "no".into() };
        let failure = |count| Failure { error: error.clone(), count };
        assert!(!failure(1).needs_a_person() && failure(1).wait() == FIRST);
        assert!(failure(2).needs_a_person() && failure(2).wait() == FOR_A_PERSON);
    }
}
