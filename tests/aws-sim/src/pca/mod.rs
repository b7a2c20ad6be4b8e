//! AWS Private CA.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::api::{ApiError, Call};

mod authority;
mod for_acm;
mod issue;
mod lifecycle;
mod names;
mod ready;
mod request;
mod templates;
mod validity;
mod x509;

#[cfg(test)]
mod tests;

pub use authority::Authority;
pub use for_acm::{Signed, Unsigned};
pub use issue::plain_serial;
pub use ready::Ready;

/// How long a token makes calls one (Private CA API reference, IssueCertificate, IdempotencyToken).
const TOKEN_WINDOW: SignedDuration = SignedDuration::from_mins(5);

/// Whose call it was, of which operation and authority, and its token.
type TokenKey = (String, String, String, String);

/// All authorities of all accounts and regions.
pub struct Store {
    authorities: BTreeMap<String, Authority>,
    /// When each token was first used, and the ARN that it gave.
    tokens: BTreeMap<TokenKey, (Timestamp, String)>,
    /// For how many calls new certificates, and new authorities, are in progress.
    pub in_progress_polls: u32,
}

impl Default for Store {
    fn default() -> Self {
        Self { authorities: BTreeMap::new(), tokens: BTreeMap::new(), in_progress_polls: 1 }
    }
}

/// Answers an operation of the JSON protocol.
pub fn handle(store: &mut Store, call: &Call, operation: &str, body: &Value) -> Result<Value, ApiError> {
    match operation {
        "CreateCertificateAuthority" => store.create(call, body),
        "ListCertificateAuthorities" => store.list(call, body),
        "GetCertificateAuthorityCsr" => store.find(call, body)?.csr(),
        "ImportCertificateAuthorityCertificate" => store.owned(call, body)?.import(call, body),
        "DescribeCertificateAuthority" => Ok(store.find(call, body)?.polled(call)),
        "GetCertificateAuthorityCertificate" => store.find(call, body)?.certificate(call),
        "UpdateCertificateAuthority" => store.owned(call, body)?.update(call, body),
        "DeleteCertificateAuthority" => store.owned(call, body)?.delete(call, body),
        "RestoreCertificateAuthority" => store.owned(call, body)?.restore(call),
        "ListTags" => store.owned(call, body)?.tag_page(body),
        "IssueCertificate" => store.issue(call, body),
        "GetCertificate" => issue::get(store.find(call, body)?, call, body),
        "RevokeCertificate" => issue::revoke(store.owned(call, body)?, call, body).map(|()| Value::Null),
        other => Err(ApiError::new("UnknownOperationException", format!("{other} is not emulated"))),
    }
}

impl Store {
    /// The authority that the call names, if the caller's account owns or shares it.
    fn find(&mut self, call: &Call, body: &Value) -> Result<&mut Authority, ApiError> {
        let arn = body["CertificateAuthorityArn"]
            .as_str()
            .ok_or_else(|| ApiError::new("ValidationException", "CertificateAuthorityArn is missing"))?;
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        if !matches!(parts[..], ["arn", _, "acm-pca", _, _, rest] if rest.starts_with("certificate-authority/")) {
            return Err(ApiError::new("InvalidArnException", format!("{arn} is not the ARN of an authority")));
        }
        let missing = || {
            ApiError::new("ResourceNotFoundException", format!("Could not find certificate authority with ARN: {arn}"))
        };
        let authority = self.authorities.get_mut(arn).ok_or_else(missing)?;
        let is_gone = authority.status == "DELETED" && authority.restorable.is_some_and(|until| until < call.now);
        let is_shared = authority.owner == call.account || authority.sharers.contains(&call.account);
        if is_gone || !is_shared || parts[3] != call.region {
            return Err(missing());
        }
        Ok(authority)
    }

    /// The authority that the call names, if it is the caller's account's own.
    fn owned(&mut self, call: &Call, body: &Value) -> Result<&mut Authority, ApiError> {
        let authority = self.find(call, body)?;
        if authority.owner == call.account {
            return Ok(authority);
        }
        Err(ApiError::new("AccessDeniedException", format!("{} belongs to another account", authority.arn)))
    }

    /// The ARN that a token gave within its window.
    fn replay(&self, key: Option<&TokenKey>, now: Timestamp) -> Option<String> {
        let (at, arn) = self.tokens.get(key?)?;
        (now.duration_since(*at) < TOKEN_WINDOW).then(|| arn.clone())
    }

    fn issue(&mut self, call: &Call, body: &Value) -> Result<Value, ApiError> {
        let polls = self.in_progress_polls;
        let arn = self.find(call, body)?.arn.clone();
        let token = token_key(call, "IssueCertificate", &arn, body)?;
        if let Some(made) = self.replay(token.as_ref(), call.now) {
            return Ok(json!({"CertificateArn": made}));
        }
        let made = issue::issue(self.find(call, body)?, call, polls, body)?;
        if let Some(token) = token {
            self.tokens.insert(token, (call.now, made.clone()));
        }
        Ok(json!({"CertificateArn": made}))
    }

    /// An authority by its ARN, whoever asks.
    pub fn by_arn(&mut self, arn: &str) -> Option<&mut Authority> {
        self.authorities.get_mut(arn)
    }

    /// The certificate of another key in place of the given one, both PEM.
    pub fn impostor(&mut self, arn: &str, pem: &str) -> Option<Result<String, ApiError>> {
        self.by_arn(arn).map(|authority| issue::impostor(authority, pem))
    }
}

/// The key of a call's IdempotencyToken, when it has one.
fn token_key(call: &Call, operation: &str, authority: &str, body: &Value) -> Result<Option<TokenKey>, ApiError> {
    let Some(token) = body["IdempotencyToken"].as_str() else { return Ok(None) };
    if !(1..=36).contains(&token.chars().count()) {
        return Err(ApiError::new("ValidationException", "IdempotencyToken must be 1 to 36 characters long"));
    }
    let scope = format!("{operation}/{}", call.region);
    Ok(Some((call.account.clone(), scope, authority.to_owned(), token.to_owned())))
}
