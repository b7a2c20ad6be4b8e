//! What went wrong at AWS, sorted by what is to be done about it.

use super::permissions;
use std::{collections::BTreeSet, fmt, time::Duration};

/// What is to be done about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Too many calls: slower, again.
    Throttled,
    /// It was not called: the account's quota is used by others for so long. It is nobody's failure.
    NotYourTurn(Duration),
    /// A passing fault (network, time-out, 5xx): again. The call may have had effect.
    Transient,
    /// The credentials are wrong or have ended: read them again.
    Credentials,
    /// The credentials are right but may not do this.
    AccessDenied,
    /// There is no such thing.
    NotFound,
    /// Something uses it.
    InUse,
    /// AWS refuses the input, or the state of the thing, and will refuse it again.
    Refused,
    /// A quota of the account is used up: again, but not soon.
    LimitExceeded,
    /// Somebody else changes the same thing: again.
    Conflict,
}

/// A failed call to AWS, told for a person. It never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct AwsError {
    /// What is to be done.
    pub kind: Kind,
    /// The IAM action, such as `acm-pca:IssueCertificate`; it names the operation too.
    pub action: &'static str,
    /// AWS's error code, if it gave one.
    pub code: Option<String>,
    /// AWS's words, or what failed on the way.
    pub message: String,
}

impl fmt::Display for AwsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { action, message, .. } = self;
        let code = self.code.as_deref().unwrap_or("no answer");
        match self.kind {
            Kind::AccessDenied => {
                let printed = permissions::of(action)
                    .map(|permission| permissions::command(&BTreeSet::from([permission.used])))
                    .map_or_else(String::new, |command| format!(", as `{command}` prints it"));
                write!(
                    f,
                    "the IAM action {action} is not allowed: add it to the policy of the account's identity{printed} ({code}: {message})"
                )
            }
            // No call was made: none of the places where credentials may be has any.
            Kind::Credentials if self.code.is_none() => write!(
                f,
                "there are no credentials for {action}: give the operator an identity (IRSA, EKS Pod Identity, an instance profile, the \
                 environment), correct what these words name, or name other spec.credentials ({message})"
            ),
            Kind::Credentials => write!(
                f,
                "AWS does not accept the account's credentials for {action}: check the keys, the session token and the clock ({code}: {message})"
            ),
            Kind::Throttled => {
                write!(f, "AWS asks for fewer calls of {action}; it is tried again more slowly ({code}: {message})")
            }
            Kind::NotYourTurn(_) => write!(f, "{action} waits for its turn: {message}"),
            Kind::Transient => write!(f, "{action} failed for now and is tried again ({code}: {message})"),
            Kind::LimitExceeded => write!(
                f,
                "a quota of the AWS account is used up at {action}: ask AWS for more, or delete what is not needed ({code}: {message})"
            ),
            Kind::NotFound => {
                let cure = match action.split(':').next() {
                    Some("acm-pca") => ": create the private CA, or correct the certificateAuthority that names it",
                    Some("acm") => {
                        ": correct the certificateArn that names it; what was deleted is imported anew by itself"
                    }
                    // Whoever asks knows better.
                    Some("secretsmanager") => "",
                    _ => ": create it, or correct what names it",
                };
                write!(f, "there is nothing of what {action} asks for ({code}: {message}){cure}")
            }
            Kind::InUse => write!(
                f,
                "{action} has to wait, since something uses it ({code}: {message}): take it off whatever serves it, such as a load \
                 balancer; it is tried again by itself"
            ),
            Kind::Refused => write!(f, "AWS refuses {action} ({code}: {message}): correct what these words name"),
            Kind::Conflict => {
                write!(
                    f,
                    "{action} met somebody else's change of the same thing, and is tried again ({code}: {message})"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_done_is_told() {
        for (kind, action, cure) in [
            (Kind::NotFound, "acm-pca:DescribeCertificateAuthority", "create the private CA"),
            (Kind::NotFound, "acm:ImportCertificate", "correct the certificateArn"),
            (Kind::NotFound, "organizations:DescribeOrganization", "create it"),
            (Kind::InUse, "acm:DeleteCertificate", "take it off"),
            (Kind::Refused, "acm-pca:IssueCertificate", "correct what these words name"),
            (Kind::Conflict, "acm:AddTagsToCertificate", "tried again"),
            (Kind::LimitExceeded, "acm:ImportCertificate", "ask AWS for more"),
            (Kind::Credentials, "sts:AssumeRole", "check the keys"),
        ] {
            let error = AwsError { kind, action, code: Some("Code".into()), message: "words".into() };
            let told = error.to_string();
            assert!(told.contains(action) && told.contains("Code: words") && told.contains(cure), "{told}");
        }
        let none = AwsError { kind: Kind::Credentials, action: "sts:X", code: None, message: "words".into() };
        let told = none.to_string();
        assert!(
            told.contains("no credentials for sts:X") && told.contains("identity") && told.contains("words"),
            "{told}"
        );
    }
}
