//! Conditions by the Kubernetes API conventions, and the reasons that this operator gives.

use crate::text::plain;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// The summary: the object does what it is for.
pub const READY: &str = "Ready";
/// True while nothing will go on without a person; absent otherwise (kstatus reads it).
pub const STALLED: &str = "Stalled";
/// AwsAccount: the credentials are those of the account that was named.
pub const CREDENTIALS_VALID: &str = "CredentialsValid";
/// AwsAccount: IAM allows what the account is used for; Unknown where that can't be told.
pub const PERMISSIONS_VERIFIED: &str = "PermissionsVerified";
/// AwsAccount with an organization: its members are as AWS has them.
pub const ORGANIZATION_SYNCED: &str = "OrganizationSynced";
/// AwsAccount with `discovery`: what is in ACM is shown.
pub const DISCOVERED: &str = "Discovered";
/// CertificateRequest: it may be signed.
pub const APPROVED: &str = "Approved";
/// Certificate: a new revision is being made, or waits for something; absent otherwise.
pub const ISSUING: &str = "Issuing";
/// Certificate: every target in ACM has the current certificate.
pub const DELIVERED: &str = "Delivered";
/// Certificate: every ARN is written where `spec.publish` wants it.
pub const PUBLISHED: &str = "Published";

/// The longest message of a condition, in bytes: an object holds several, and a few hundred events. The schema allows 32,768.
pub const LONGEST_MESSAGE: usize = 4096;

/// One thing to say about an object: how a condition stands, why, and what a person may do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The condition's type.
    pub kind: &'static str,
    /// Whether the condition holds; none: it is not known.
    pub holds: Option<bool>,
    /// CamelCase, for programs.
    pub reason: &'static str,
    /// For people: what is, what it means, what to do.
    pub message: String,
}

impl Finding {
    /// A finding that the condition holds.
    pub fn yes(kind: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self { kind, holds: Some(true), reason, message: message.into() }
    }

    /// A finding that the condition does not hold.
    pub fn no(kind: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self { kind, holds: Some(false), reason, message: message.into() }
    }

    /// A finding that it is not known whether the condition holds.
    pub fn unknown(kind: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self { kind, holds: None, reason, message: message.into() }
    }
}

/// The conditions that `findings` make of `before`: a transition time moves only when a status changes.
///
/// A condition that no finding names is dropped. Messages are one line, and bounded.
#[must_use]
pub fn conditions(before: &[Condition], findings: &[Finding], generation: i64, now: Timestamp) -> Vec<Condition> {
    findings
        .iter()
        .map(|finding| {
            let status = finding.holds.map_or("Unknown", |holds| if holds { "True" } else { "False" });
            let kept = before.iter().find(|c| c.type_ == finding.kind && c.status == status);
            Condition {
                type_: finding.kind.into(),
                status: status.into(),
                reason: finding.reason.into(),
                message: plain(&finding.message, LONGEST_MESSAGE),
                observed_generation: Some(generation),
                last_transition_time: kept.map_or(Time(whole_seconds(now)), |c| c.last_transition_time.clone()),
            }
        })
        .collect()
}

/// The conditions of an object for which the API server refused a write for good. What is Ready stays Ready.
#[must_use]
pub fn refused(before: &[Condition], message: &str, generation: i64, now: Timestamp) -> Vec<Condition> {
    const REASON: &str = "RefusedByKubernetes";
    let ready = is_true(before, READY);
    let mut findings = vec![Finding::yes(STALLED, REASON, message)];
    if !ready {
        findings.insert(0, Finding::no(READY, REASON, message));
    }
    let told = |c: &&Condition| c.type_ != STALLED && (ready || c.type_ != READY);
    let mut all: Vec<Condition> = before.iter().filter(told).cloned().collect();
    all.extend(conditions(before, &findings, generation, now));
    all
}

/// `now` as Kubernetes stores a time: without fractions of a second.
#[must_use]
pub fn whole_seconds(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// Whether a condition of this type is there and True.
#[must_use]
pub fn is_true(conditions: &[Condition], kind: &str) -> bool {
    conditions.iter().any(|c| c.type_ == kind && c.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transition_time_moves_only_with_the_status() {
        let early: Timestamp = "2026-01-01T00:00:00.5Z".parse().unwrap();
        let late: Timestamp = "2026-02-01T00:00:00Z".parse().unwrap();
        let first = conditions(&[], &[Finding::no(READY, "Waiting", "a")], 1, early);
        assert_eq!(first[0].last_transition_time.0.to_string(), "2026-01-01T00:00:00Z");
        let second = conditions(&first, &[Finding::no(READY, "Other", "b")], 2, late);
        assert_eq!(second[0].last_transition_time, first[0].last_transition_time);
        let third = conditions(&second, &[Finding::yes(READY, "Done", "c")], 2, late);
        assert_eq!(third[0].last_transition_time.0, late);
    }

    #[test]
    fn what_is_ready_stays_so_when_a_write_is_refused() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let new = refused(&[], "no", 1, now);
        assert!(!is_true(&new, READY) && is_true(&new, STALLED));
        assert_eq!(refused(&new, "no", 1, now), new);
        let ready = conditions(&[], &[Finding::yes(READY, "UpToDate", "a")], 1, now);
        let after = refused(&ready, "no", 1, now);
        assert!(is_true(&after, READY) && is_true(&after, STALLED));
    }
}
