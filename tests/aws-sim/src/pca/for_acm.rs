//! What ACM itself has signed by an authority, for RequestCertificate and managed renewal.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::x509::{self, Content};
use super::{Store, names};
use crate::api::{ApiError, Call};

/// A private certificate of ACM lasts so long (ACM user guide, "Request a private certificate": 395 days).
const LASTS: SignedDuration = SignedDuration::from_hours(395 * 24);
/// extKeyUsage: serverAuth and clientAuth.
const USES: [&[u64]; 2] = [&[1, 3, 6, 1, 5, 5, 7, 3, 1], &[1, 3, 6, 1, 5, 5, 7, 3, 2]];

/// A certificate and what stands above it, PEM.
pub struct Signed {
    /// The certificate.
    pub certificate: String,
    /// Its chain, the issuer first.
    pub chain: String,
}

/// Why nothing is signed.
pub enum Unsigned {
    /// ACM tells this reason (ACM API reference, FailureReason).
    Reason(&'static str),
    /// The emulator itself failed.
    Fault(ApiError),
}

impl From<ApiError> for Unsigned {
    fn from(error: ApiError) -> Self {
        Self::Fault(error)
    }
}

impl Store {
    /// Signs for ACM in the caller's account: a public key (DER) for these names, the first as the common name.
    ///
    /// # Errors
    /// ACM's reason.
    pub fn sign_for_acm(
        &mut self,
        call: &Call,
        authority: &str,
        subject_names: &[String],
        key: &[u8],
        is_rsa: bool,
    ) -> Result<Signed, Unsigned> {
        let known = self.authorities.get_mut(authority).ok_or(Unsigned::Reason("PCA_RESOURCE_NOT_FOUND"))?;
        if known.owner != call.account && !known.sharers.contains(&call.account) {
            return Err(Unsigned::Reason("PCA_ACCESS_DENIED"));
        }
        if known.status_at(call.now) != "ACTIVE" {
            return Err(Unsigned::Reason("PCA_INVALID_STATE"));
        }
        let installed = known.installed.as_ref().ok_or(Unsigned::Reason("PCA_INVALID_STATE"))?;
        let ends = call.now.checked_add(LASTS).unwrap_or(Timestamp::MAX);
        if known.usage_mode == "SHORT_LIVED_CERTIFICATE" || ends > installed.validity.1 {
            return Err(Unsigned::Reason("PCA_INVALID_DURATION"));
        }
        // ACM API reference, RequestCertificate, KeyAlgorithm: of the CA's own family.
        if (known.key.family() == "WITHRSA") != is_rsa {
            return Err(Unsigned::Reason("PCA_INVALID_ARGS"));
        }
        let begins = call.now.checked_sub(SignedDuration::from_hours(1)).unwrap_or(call.now);
        let dns: Vec<_> = subject_names.iter().map(|name| json!({ "DnsName": name })).collect();
        let uses: Vec<Vec<u64>> = USES.iter().map(|oid| oid.to_vec()).collect();
        let extensions = vec![
            x509::basic_constraints(false, None, false),
            x509::key_usage(&[0, 2]),
            x509::extended_key_usage(&uses, false),
            x509::subject_key(key)?,
            x509::authority_key(&known.key.public())?,
            names::alternative_names(&dns)?,
        ];
        let content = Content {
            serial: x509::serial()?,
            issuer: installed.name.clone(),
            subject: names::subject(&json!({ "CommonName": subject_names.first() }))?,
            key: key.to_vec(),
            validity: (begins, ends),
            extensions,
        };
        let certificate = x509::pem(&known.key.sign(&content, known.key.usual_algorithm())?);
        let chain = known.chain().ok_or(Unsigned::Reason("PCA_INVALID_STATE"))?;
        Ok(Signed { certificate, chain })
    }
}
