//! Authorities that are active at once, for POST /_sim/authorities.

use jiff::SignedDuration;
use serde_json::json;

use super::{Store, names, x509};
use crate::api::{ApiError, Call};

/// What POST /_sim/authorities asks for.
pub struct Ready<'a> {
    /// The subject's common name.
    pub common_name: &'a str,
    /// Private CA's name of the key's algorithm.
    pub key_algorithm: &'a str,
    /// From now.
    pub days: i64,
    /// GENERAL_PURPOSE or SHORT_LIVED_CERTIFICATE.
    pub usage_mode: &'a str,
    /// The authority that certifies this one; none for a root.
    pub parent: Option<&'a str>,
}

impl Store {
    /// Makes an authority that is active at once, and gives its ARN.
    pub fn add_ready(&mut self, call: &Call, ready: &Ready) -> Result<String, ApiError> {
        let signing = if ready.key_algorithm.starts_with("RSA") { "SHA256WITHRSA" } else { "SHA256WITHECDSA" };
        let asked = json!({
            "CertificateAuthorityType": if ready.parent.is_some() { "SUBORDINATE" } else { "ROOT" },
            "UsageMode": ready.usage_mode,
            "CertificateAuthorityConfiguration": {
                "KeyAlgorithm": ready.key_algorithm,
                "SigningAlgorithm": signing,
                "Subject": {"CommonName": ready.common_name},
            },
        });
        let missing = |arn: &str| ApiError::new("ResourceNotFoundException", format!("There is no authority {arn}"));
        if let Some(parent) = ready.parent
            && !self.authorities.contains_key(parent)
        {
            return Err(missing(parent));
        }
        let end = SignedDuration::try_from_hours(ready.days.saturating_mul(24)).unwrap_or(SignedDuration::MAX);
        let end = call.now.checked_add(end).map_err(|_| ApiError::new("ValidationException", "The authority would live too long"))?;
        let start = call.now.checked_sub(SignedDuration::from_hours(1)).map_err(|error| ApiError::new("ValidationException", error.to_string()))?;
        let arn = self.add(call, &asked)?;
        let own = self.authorities.get(&arn).ok_or_else(|| missing(&arn))?;
        let signer = self.authorities.get(ready.parent.unwrap_or(&arn)).ok_or_else(|| missing(&arn))?;
        let subject = names::subject(&json!({"CommonName": ready.common_name}))?;
        let key = own.key.public();
        let mut extensions =
            vec![x509::basic_constraints(true, None, true), x509::key_usage(&[0, 5, 6]), x509::subject_key(&key)?];
        if ready.parent.is_some() {
            extensions.push(x509::authority_key(&signer.key.public())?);
        }
        let issuer = signer.installed.as_ref().map_or_else(|| subject.clone(), |installed| installed.name.clone());
        let content =
            x509::Content { serial: x509::serial()?, issuer, subject, key, validity: (start, end), extensions };
        let certificate = x509::pem(&signer.key.sign(&content, signer.key.usual_algorithm())?);
        let chain = if ready.parent.is_some() { signer.chain() } else { None };
        let own = self.authorities.get_mut(&arn).ok_or_else(|| missing(&arn))?;
        own.install(&certificate, chain, call.now)?;
        Ok(arn)
    }
}
