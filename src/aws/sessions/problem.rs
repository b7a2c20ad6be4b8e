//! What keeps us out of an account.

use super::{REMEMBER, REMEMBER_PASSING};
use crate::aws::error::{AwsError, Kind};
use std::time::Duration;

/// What keeps us out of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProblemKind {
    /// The account is switched off.
    Disabled,
    /// The secret with the access keys, in the cluster or in a secrets manager, is not there.
    SecretMissing,
    /// The secret with the access keys can't be used.
    SecretInvalid,
    /// There is no such profile in the operator's files.
    ProfileMissing,
    /// A profile can't be used.
    ProfileInvalid,
    /// The organization says that the account is not active, or not its member.
    NotActive,
    /// The way into the organization is not one, or not for this account.
    NoWay,
    /// A role is to be assumed for longer than it may.
    RoleChain,
    /// The credentials are those of the account's root user.
    RootCredentials,
    /// The credentials lead to another account.
    WrongAccount,
    /// Credentials, roles and regions are not of one partition.
    WrongPartition,
    /// AWS does not accept the credentials, or there are none.
    Credentials,
    /// A role may not be assumed.
    AccessDenied,
    /// Vault does not answer, or is sealed.
    VaultUnavailable,
    /// A passing fault.
    Transient,
}

/// What keeps us out of an account, told for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SessionProblem {
    /// What it is.
    pub kind: ProblemKind,
    /// What it is and what to do; never a secret.
    pub message: String,
}

impl ProblemKind {
    /// CamelCase, for a condition.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Disabled => "AccountDisabled",
            Self::SecretMissing => "SecretNotFound",
            Self::SecretInvalid => "SecretInvalid",
            Self::ProfileMissing => "ProfileNotFound",
            Self::ProfileInvalid => "ProfileInvalid",
            Self::NotActive => "AccountNotActive",
            Self::NoWay => "OrganizationNotAvailable",
            Self::RoleChain => "RoleChainInvalid",
            Self::RootCredentials => "RootCredentials",
            Self::WrongAccount => "WrongAccount",
            Self::WrongPartition => "WrongPartition",
            Self::Credentials => "CredentialsInvalid",
            Self::AccessDenied => "AccessDenied",
            Self::VaultUnavailable => "VaultUnavailable",
            Self::Transient => "AwsUnavailable",
        }
    }
}

impl SessionProblem {
    pub(in crate::aws) fn new(kind: ProblemKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// Whether it may go by itself, within minutes.
    #[must_use]
    pub fn passes(&self) -> bool {
        matches!(self.kind, ProblemKind::Transient | ProblemKind::VaultUnavailable)
    }

    /// CamelCase, for a condition.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.kind.reason()
    }

    pub(super) fn remembered(&self) -> Duration {
        if self.passes() { REMEMBER_PASSING } else { REMEMBER }
    }
}

impl From<AwsError> for SessionProblem {
    fn from(error: AwsError) -> Self {
        let kind = match error.kind {
            Kind::Throttled
            | Kind::NotYourTurn(_)
            | Kind::Transient
            | Kind::LimitExceeded
            | Kind::Conflict
            | Kind::InUse => ProblemKind::Transient,
            Kind::AccessDenied => ProblemKind::AccessDenied,
            // STS: "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining".
            // Of any role: "The requested DurationSeconds exceeds the MaxSessionDuration set for this role".
            Kind::Refused if ["role chaining", "DurationSeconds"].iter().any(|word| error.message.contains(word)) => {
                ProblemKind::RoleChain
            }
            Kind::Credentials | Kind::NotFound | Kind::Refused => ProblemKind::Credentials,
        };
        let hint = if error.kind == Kind::AccessDenied && error.action == "sts:AssumeRole" {
            "; the role has to be there, which AWS does not tell, and its trust policy to allow it too, with the same externalId if it \
             asks for one"
        } else if kind == ProblemKind::RoleChain {
            "; that is duration in spec.assumeRoles: at most 1h for every role after the first, and for any role its own maximum"
        } else {
            ""
        };
        Self { kind, message: format!("{error}{hint}") }
    }
}
