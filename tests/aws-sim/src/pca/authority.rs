//! A certificate authority and what Describe and List show of it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value, json};
use x509_parser::prelude::FromDer as _;
use x509_parser::prelude::X509Certificate;

use super::x509::AuthorityKey;
use crate::api::ApiError;

/// A certificate that an authority issued.
#[derive(Debug)]
pub struct Issued {
    /// PEM.
    pub certificate: String,
    /// How many more times GetCertificate answers RequestInProgressException.
    pub polls_left: u32,
    /// When and why it was revoked.
    pub revoked: Option<(Timestamp, String)>,
}

/// The authority's own certificate.
#[derive(Debug, Clone)]
pub struct Installed {
    /// PEM.
    pub certificate: String,
    /// PEM of the authorities above, nearest first; none for a root.
    pub chain: Option<String>,
    /// DER of its subject, which is the issuer of what it signs.
    pub name: Vec<u8>,
    /// First and last second.
    pub validity: (Timestamp, Timestamp),
    /// Colon-separated hexadecimal.
    pub serial: String,
}

impl Installed {
    /// Reads a certificate given in PEM.
    pub fn read(pem: &str, chain: Option<String>) -> Result<Self, ApiError> {
        let malformed = || ApiError::new("MalformedCertificateException", "The certificate cannot be read");
        let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).map_err(|_| malformed())?;
        let (_, parsed) = X509Certificate::from_der(&block.contents).map_err(|_| malformed())?;
        let time = |at: x509_parser::time::ASN1Time| Timestamp::from_second(at.timestamp()).map_err(|_| malformed());
        let validity = (time(parsed.validity().not_before)?, time(parsed.validity().not_after)?);
        Ok(Self {
            certificate: pem.trim_end().to_owned(),
            chain,
            name: parsed.subject().as_raw().to_vec(),
            validity,
            serial: parsed.raw_serial_as_string(),
        })
    }
}

/// A certificate authority.
pub struct Authority {
    /// Its ARN.
    pub arn: String,
    /// The account it is in.
    pub owner: String,
    /// Accounts it is shared with.
    pub sharers: BTreeSet<String>,
    /// `ROOT` or `SUBORDINATE`.
    pub kind: String,
    /// `GENERAL_PURPOSE` or `SHORT_LIVED_CERTIFICATE`.
    pub usage_mode: String,
    /// CertificateAuthorityConfiguration as it was given.
    pub configuration: Value,
    /// RevocationConfiguration as it was given.
    pub revocation: Value,
    /// KeyStorageSecurityStandard.
    pub key_standard: String,
    /// `CREATING`, `PENDING_CERTIFICATE`, `ACTIVE`, `DISABLED`, `FAILED` or `DELETED`; EXPIRED follows from the time.
    pub status: &'static str,
    /// How many more times Describe says CREATING.
    pub polls_left: u32,
    /// The private key.
    pub key: AuthorityKey,
    /// PEM of the request for its own certificate.
    pub csr: String,
    /// Its certificate, once imported.
    pub installed: Option<Installed>,
    /// By serial, 32 lower-case hexadecimal digits.
    pub issued: BTreeMap<String, Issued>,
    /// Tags as given: objects of Key and Value.
    pub tags: Vec<Value>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub changed: Timestamp,
    /// Until when a deleted one may be restored.
    pub restorable: Option<Timestamp>,
}

/// Seconds, as the JSON protocol writes times.
#[expect(clippy::cast_precision_loss, reason = "seconds of our time fit in 52 bits")]
pub fn seconds(at: Timestamp) -> Value {
    json!(at.as_second() as f64)
}

impl Authority {
    /// The status at a time: an active or disabled authority expires with its certificate.
    pub fn status_at(&self, now: Timestamp) -> &'static str {
        let ended = self.installed.as_ref().is_some_and(|installed| installed.validity.1 < now);
        if ended && matches!(self.status, "ACTIVE" | "DISABLED") { "EXPIRED" } else { self.status }
    }

    /// The `CertificateAuthority` structure.
    pub fn describe(&self, now: Timestamp) -> Value {
        let mut out = json!({
            "Arn": self.arn,
            "OwnerAccount": self.owner,
            "CreatedAt": seconds(self.created),
            "LastStateChangeAt": seconds(self.changed),
            "Type": self.kind,
            "Status": self.status_at(now),
            "CertificateAuthorityConfiguration": self.configuration,
            "RevocationConfiguration": self.revocation,
            "KeyStorageSecurityStandard": self.key_standard,
            "UsageMode": self.usage_mode,
        });
        if let Some(installed) = &self.installed {
            out["Serial"] = json!(installed.serial);
            out["NotBefore"] = seconds(installed.validity.0);
            out["NotAfter"] = seconds(installed.validity.1);
        }
        if let Some(until) = self.restorable {
            out["RestorableUntil"] = seconds(until);
        }
        out
    }

    /// The certificates above what this authority issues, nearest first; `None` before its own is imported.
    pub fn chain(&self) -> Option<String> {
        let installed = self.installed.as_ref()?;
        Some(match &installed.chain {
            Some(chain) => format!("{}\n{chain}", installed.certificate),
            None => installed.certificate.clone(),
        })
    }
}

/// `InvalidStateException`, which names the status that forbids the call.
pub fn wrong_state(status: &str) -> ApiError {
    ApiError::new(
        "InvalidStateException",
        format!("The certificate authority is not in the correct state to perform this operation: {status}"),
    )
}

/// `RequestInProgressException`.
pub fn in_progress(what: &str) -> ApiError {
    ApiError::new("RequestInProgressException", format!("The {what} is still being processed; try again later"))
}
