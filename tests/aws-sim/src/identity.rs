//! Access keys, roles and what the accounts are forbidden.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::api::{ApiError, Call};
use crate::random;

/// Whom an access key stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// The account's root user.
    Root,
    /// An IAM user.
    User,
    /// A session of a role.
    Session {
        /// The role's name: the last part of its ARN.
        role: String,
        /// The name of the session.
        session: String,
    },
}

/// What a temporary key needs besides its secret.
#[derive(Debug, Clone)]
pub struct Session {
    /// The session token.
    pub token: String,
    /// The end of the session, on the emulator's clock.
    pub expires: Timestamp,
}

/// An access key.
#[derive(Debug, Clone)]
pub struct AccessKey {
    /// `AKIA…`, or `ASIA…` when temporary.
    pub id: String,
    /// The secret key.
    pub secret: String,
    /// The account the key belongs to.
    pub account: String,
    /// Whom it stands for.
    pub principal: Principal,
    /// Set for a temporary key.
    pub session: Option<Session>,
}

impl AccessKey {
    /// The caller's ARN as GetCallerIdentity gives it.
    pub fn arn(&self, partition: &str) -> String {
        let account = &self.account;
        match &self.principal {
            Principal::Root => format!("arn:{partition}:iam::{account}:root"),
            Principal::User => format!("arn:{partition}:iam::{account}:user/{}", self.id),
            Principal::Session { role, session } => {
                format!("arn:{partition}:sts::{account}:assumed-role/{role}/{session}")
            }
        }
    }

    /// The caller's unique id as GetCallerIdentity gives it.
    pub fn user_id(&self) -> String {
        match &self.principal {
            Principal::Root => self.account.clone(),
            Principal::User => format!("AIDA{}", &self.id.get(4..).unwrap_or_default()),
            Principal::Session { role, session } => format!("{}:{session}", role_id(&self.account, role)),
        }
    }
}

/// A stable id for a role, in IAM's form.
pub fn role_id(account: &str, role: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, format!("{account}/{role}").as_bytes());
    let tail: String = digest.as_ref().iter().take(17).map(|byte| random::letter(*byte)).collect();
    format!("AROA{tail}")
}

/// Whose token a role trusts: the conditions of its trust policy for an OpenID Connect provider.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WebIdentity {
    /// The token's `iss`.
    pub issuer: String,
    /// The token's `sub`.
    pub subject: String,
    /// One of the token's `aud`.
    pub audience: String,
}

/// A role that may be assumed.
#[derive(Debug, Clone)]
pub struct Role {
    /// What AssumeRole must give, when set.
    pub external_id: Option<String>,
    /// The accounts that its trust policy names, when set; else it trusts all.
    pub trusted_accounts: Option<BTreeSet<String>>,
    /// The longest session in seconds.
    pub max_session_seconds: i64,
    /// When set, the role is for such tokens, and for no access key.
    pub web_identity: Option<WebIdentity>,
}

impl Default for Role {
    /// Trusts all, for an hour.
    fn default() -> Self {
        Self { external_id: None, trusted_accounts: None, max_session_seconds: 3600, web_identity: None }
    }
}

/// All keys, roles and denials.
#[derive(Debug, Default)]
pub struct Identities {
    /// By access key id.
    pub keys: BTreeMap<String, AccessKey>,
    /// By ARN.
    pub roles: BTreeMap<String, Role>,
    /// Actions such as `acm-pca:IssueCertificate` or `acm:*`, by account.
    pub denied: BTreeMap<String, BTreeSet<String>>,
}

impl Identities {
    /// Adds a lasting key; what is not given is made up. An existing id is replaced.
    pub fn add_key(
        &mut self,
        account: &str,
        id: Option<String>,
        secret: Option<String>,
        root: bool,
    ) -> Result<AccessKey, ApiError> {
        let id = match id {
            Some(id) => id,
            None => format!("AKIA{}", random::letters::<16>()?),
        };
        let secret = match secret {
            Some(secret) => secret,
            None => random::base64::<30>()?,
        };
        let principal = if root { Principal::Root } else { Principal::User };
        let key = AccessKey { id: id.clone(), secret, account: account.to_owned(), principal, session: None };
        self.keys.insert(id, key.clone());
        Ok(key)
    }

    /// Ends all temporary keys of an account; gives how many there were.
    pub fn end_sessions(&mut self, account: &str, now: Timestamp) -> usize {
        let sessions =
            self.keys.values_mut().filter(|key| key.account == account).filter_map(|key| key.session.as_mut());
        sessions.filter(|session| session.expires > now).map(|session| session.expires = now).count()
    }

    /// Whether an account was denied an action, itself or with all of its service.
    pub fn is_denied(&self, account: &str, action: &str) -> bool {
        let every = action.split_once(':').map(|(service, _)| format!("{service}:*"));
        let named = |actions: &BTreeSet<String>| {
            actions.contains(action) || every.is_some_and(|every| actions.contains(&every))
        };
        self.denied.get(account).is_some_and(named)
    }

    /// Refuses an action that the caller's account was denied, in AWS's words.
    pub fn check(
        &self,
        key: &AccessKey,
        call: &Call,
        service: &str,
        operation: &str,
        resource: &str,
    ) -> Result<(), ApiError> {
        let action = format!("{service}:{operation}");
        if !self.is_denied(&key.account, &action) {
            return Ok(());
        }
        Err(ApiError::new(
            "AccessDeniedException",
            format!(
                "User: {} is not authorized to perform: {action} on resource: {resource}",
                key.arn(&call.partition)
            ),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::call;

    /// IAM User Guide, "Troubleshoot access denied error messages": who, what and on which resource.
    #[test]
    fn a_denied_action_names_caller_action_and_resource() {
        let mut all = Identities::default();
        let key = all.add_key("111122223333", Some("AKIAEXAMPLE".into()), None, false).unwrap();
        assert!(all.check(&key, &call(), "acm-pca", "IssueCertificate", "*").is_ok());
        all.denied.entry("111122223333".into()).or_default().insert("acm-pca:IssueCertificate".into());
        let refused = all.check(&key, &call(), "acm-pca", "IssueCertificate", "arn:x").unwrap_err();
        assert_eq!(refused.code, "AccessDeniedException");
        assert_eq!(
            refused.message,
            "User: arn:aws:iam::111122223333:user/AKIAEXAMPLE is not authorized to perform: \
             acm-pca:IssueCertificate on resource: arn:x"
        );
        assert!(all.check(&key, &call(), "acm-pca", "GetCertificate", "*").is_ok());
        let other = all.add_key("444455556666", None, None, true).unwrap();
        assert!(all.check(&other, &call(), "acm-pca", "IssueCertificate", "*").is_ok());
        assert_eq!(other.arn("aws"), "arn:aws:iam::444455556666:root");
    }
}
