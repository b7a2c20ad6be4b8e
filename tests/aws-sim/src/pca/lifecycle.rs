//! The life of an authority: from CreateCertificateAuthority to DeleteCertificateAuthority.

use jiff::{SignedDuration, Timestamp};
use rcgen::{CertificateParams, DistinguishedName, DnType, IsCa};
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::authority::{Authority, Installed, in_progress, wrong_state};
use super::x509::AuthorityKey;
use super::{Store, issue, names, token_key};
use crate::api::{ApiError, Call};
use crate::random;

/// CAs of an account in a region (Service Quotas, "Number of private certificate authorities").
const MAX_AUTHORITIES: usize = 200;

fn invalid(why: impl Into<String>) -> ApiError {
    ApiError::new("ValidationException", why)
}

fn mismatch(why: &str) -> ApiError {
    ApiError::new("CertificateMismatchException", why)
}

fn malformed(why: &str) -> ApiError {
    ApiError::new("MalformedCertificateException", why)
}

/// The value of a field, one of some; the first when the field is absent.
fn one_of<'a>(body: &'a Value, field: &str, known: &[&'a str]) -> Result<&'a str, ApiError> {
    match &body[field] {
        Value::Null => Ok(known[0]),
        Value::String(given) if known.contains(&given.as_str()) => Ok(given),
        other => Err(invalid(format!("{field} {other} is not one of {}", known.join(", ")))),
    }
}

/// The part of a list that a call asks for by MaxResults and NextToken, and the token of the next part.
fn page(mut all: Vec<Value>, body: &Value, field: &str) -> Result<Value, ApiError> {
    let size = match &body["MaxResults"] {
        Value::Null => 100,
        given => given
            .as_u64()
            .and_then(|given| usize::try_from(given).ok())
            .filter(|given| (1..=1000).contains(given))
            .ok_or_else(|| invalid("MaxResults must be 1 to 1000"))?,
    };
    let start = match body["NextToken"].as_str() {
        None => 0,
        Some(token) => token
            .parse::<usize>()
            .ok()
            .filter(|start| *start <= all.len())
            .ok_or_else(|| ApiError::new("InvalidNextTokenException", "The token is not valid"))?,
    };
    let total = all.len();
    let end = total.min(start + size);
    let part: Vec<Value> = all.drain(start..end).collect();
    let mut out = json!({field: part});
    if end < total {
        out["NextToken"] = json!(end.to_string());
    }
    Ok(out)
}

impl Store {
    /// CreateCertificateAuthority.
    pub(super) fn create(&mut self, call: &Call, body: &Value) -> Result<Value, ApiError> {
        let token = token_key(call, "CreateCertificateAuthority", "", body)?;
        if let Some(made) = self.replay(token.as_ref(), call.now) {
            return Ok(json!({"CertificateAuthorityArn": made}));
        }
        let arn = self.add(call, body)?;
        if let Some(token) = token {
            self.tokens.insert(token, (call.now, arn.clone()));
        }
        Ok(json!({"CertificateAuthorityArn": arn}))
    }

    /// Makes an authority without a certificate and gives its ARN.
    pub fn add(&mut self, call: &Call, body: &Value) -> Result<String, ApiError> {
        let kind = body["CertificateAuthorityType"].as_str().unwrap_or_default();
        if !matches!(kind, "ROOT" | "SUBORDINATE") {
            return Err(invalid("CertificateAuthorityType must be ROOT or SUBORDINATE"));
        }
        let configuration = &body["CertificateAuthorityConfiguration"];
        let algorithm = configuration["KeyAlgorithm"].as_str().unwrap_or_default();
        let signing = configuration["SigningAlgorithm"].as_str().unwrap_or_default();
        let modes = ["GENERAL_PURPOSE", "SHORT_LIVED_CERTIFICATE"];
        let standards = ["FIPS_140_2_LEVEL_3_OR_HIGHER", "FIPS_140_2_LEVEL_2_OR_HIGHER", "CCPC_LEVEL_1_OR_HIGHER"];
        let usage_mode = one_of(body, "UsageMode", &modes)?.to_owned();
        let key_standard = one_of(body, "KeyStorageSecurityStandard", &standards)?.to_owned();
        let prefix = format!("arn:{}:acm-pca:{}:{}:", call.partition, call.region, call.account);
        let present = self.authorities.iter().filter(|(arn, one)| arn.starts_with(&prefix) && one.status != "DELETED");
        if present.count() >= MAX_AUTHORITIES {
            return Err(ApiError::new("LimitExceededException", "The account has 200 certificate authorities"));
        }
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished(&configuration["Subject"])?;
        params.is_ca = IsCa::NoCa;
        let key = AuthorityKey::generate(algorithm)?;
        if !matches!(signing.strip_suffix(key.family()), Some("SHA256" | "SHA384" | "SHA512")) {
            return Err(invalid(format!("The signing algorithm {signing} does not match the key {algorithm}")));
        }
        let internal = |error: rcgen::Error| ApiError {
            code: "InternalFailure",
            message: error.to_string(),
            status: 500,
        };
        let csr = params.serialize_request(key.pair()).and_then(|csr| csr.pem()).map_err(internal)?;
        let arn = format!("{prefix}certificate-authority/{}", random::uuid()?);
        let authority = Authority {
            arn: arn.clone(),
            owner: call.account.clone(),
            sharers: std::collections::BTreeSet::new(),
            kind: kind.to_owned(),
            usage_mode,
            configuration: configuration.clone(),
            revocation: body["RevocationConfiguration"].clone(),
            key_standard,
            status: "CREATING",
            polls_left: self.in_progress_polls,
            key,
            csr,
            installed: None,
            issued: std::collections::BTreeMap::new(),
            tags: body["Tags"].as_array().cloned().unwrap_or_default(),
            created: call.now,
            changed: call.now,
            restorable: None,
        };
        self.authorities.insert(arn.clone(), authority);
        Ok(arn)
    }

    /// ListCertificateAuthorities.
    pub(super) fn list(&self, call: &Call, body: &Value) -> Result<Value, ApiError> {
        let own = one_of(body, "ResourceOwner", &["SELF", "OTHER_ACCOUNTS"])? == "SELF";
        let is_listed = |one: &&Authority| {
            let right = if own { one.owner == call.account } else { one.sharers.contains(&call.account) };
            right && one.arn.split(':').nth(3) == Some(call.region.as_str())
        };
        let all = self.authorities.values().filter(is_listed).map(|one| one.describe(call.now)).collect();
        page(all, body, "CertificateAuthorities")
    }
}

fn distinguished(subject: &Value) -> Result<DistinguishedName, ApiError> {
    let mut out = DistinguishedName::new();
    for (oid, text) in names::fields(subject)? {
        let kind = DnType::from_oid(oid);
        if kind == DnType::CountryName {
            let text = text.try_into().map_err(|_| invalid("Country must be printable"))?;
            out.push(kind, rcgen::DnValue::PrintableString(text));
        } else {
            out.push(kind, text);
        }
    }
    Ok(out)
}

impl Authority {
    /// A poll of a new authority, which is ready after some.
    fn poll(&mut self) -> bool {
        if self.status == "CREATING" {
            if self.polls_left > 0 {
                self.polls_left -= 1;
                return false;
            }
            self.status = "PENDING_CERTIFICATE";
        }
        true
    }

    /// DescribeCertificateAuthority.
    pub(super) fn polled(&mut self, call: &Call) -> Result<Value, ApiError> {
        self.poll();
        Ok(json!({"CertificateAuthority": self.describe(call.now)}))
    }

    /// GetCertificateAuthorityCsr.
    pub(super) fn csr(&mut self) -> Result<Value, ApiError> {
        if !self.poll() {
            return Err(in_progress("certificate authority"));
        }
        if self.status == "DELETED" {
            return Err(wrong_state(self.status));
        }
        Ok(json!({"Csr": self.csr}))
    }

    /// GetCertificateAuthorityCertificate.
    pub(super) fn certificate(&mut self, call: &Call) -> Result<Value, ApiError> {
        let status = self.status_at(call.now);
        match &self.installed {
            Some(installed) if status != "DELETED" => {
                let mut out = json!({"Certificate": installed.certificate});
                if let Some(chain) = &installed.chain {
                    out["CertificateChain"] = json!(chain);
                }
                Ok(out)
            }
            _ => Err(wrong_state(status)),
        }
    }

    /// ImportCertificateAuthorityCertificate.
    pub(super) fn import(&mut self, call: &Call, body: &Value) -> Result<Value, ApiError> {
        self.poll();
        let status = self.status_at(call.now);
        if !matches!(status, "PENDING_CERTIFICATE" | "ACTIVE" | "DISABLED" | "EXPIRED") {
            return Err(wrong_state(status));
        }
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(|_| malformed("The certificate is not PEM"));
        let certificate = text(issue::blob(body, "Certificate")?)?;
        let chain = match &body["CertificateChain"] {
            Value::Null => None,
            _ => Some(text(issue::blob(body, "CertificateChain")?)?.trim_end().to_owned()),
        };
        self.install(&certificate, chain, call.now)?;
        Ok(Value::Null)
    }

    /// Takes a certificate for the authority's own, after AWS's checks (Private CA User Guide, "Installing the CA
    /// certificate"): it is of the authority's key, is an authority's, is signed by the next of the chain; a root has
    /// no chain.
    pub fn install(&mut self, certificate: &str, chain: Option<String>, now: Timestamp) -> Result<(), ApiError> {
        let unreadable = || malformed("The certificate cannot be read");
        let (_, block) = x509_parser::pem::parse_x509_pem(certificate.as_bytes()).map_err(|_| unreadable())?;
        let (_, parsed) = X509Certificate::from_der(&block.contents).map_err(|_| unreadable())?;
        if parsed.public_key().raw != self.key.public() {
            return Err(mismatch("The certificate's public key is not the certificate authority's"));
        }
        if !parsed.is_ca() {
            return Err(malformed("The certificate is not of a certificate authority"));
        }
        let above = chain.as_deref().map(|chain| x509_parser::pem::parse_x509_pem(chain.as_bytes()));
        match (self.kind.as_str(), above) {
            ("ROOT", None) => parsed.verify_signature(None).map_err(|_| mismatch("A root must be self-signed"))?,
            ("ROOT", Some(_)) => return Err(invalid("A root certificate authority must not have a chain")),
            (_, None) => return Err(invalid("A subordinate certificate authority needs a chain")),
            (_, Some(block)) => {
                let (_, block) = block.map_err(|_| malformed("The chain is not PEM"))?;
                let (_, issuer) = X509Certificate::from_der(&block.contents)
                    .map_err(|_| malformed("The chain cannot be read"))?;
                parsed
                    .verify_signature(Some(issuer.public_key()))
                    .map_err(|_| mismatch("The chain does not certify the certificate"))?;
            }
        }
        self.installed = Some(Installed::read(certificate, chain)?);
        self.set_status("ACTIVE", now);
        Ok(())
    }

    /// Sets the status as it is, whatever the rules.
    pub fn set_status(&mut self, status: &'static str, now: Timestamp) {
        self.status = status;
        self.changed = now;
    }

    /// UpdateCertificateAuthority: between ACTIVE and DISABLED, and the revocation settings.
    pub(super) fn update(&mut self, call: &Call, body: &Value) -> Result<Value, ApiError> {
        let wanted = match &body["Status"] {
            Value::Null => None,
            Value::String(status) if status == "ACTIVE" => Some("ACTIVE"),
            Value::String(status) if status == "DISABLED" => Some("DISABLED"),
            other => return Err(invalid(format!("Status {other} cannot be set"))),
        };
        let status = self.status_at(call.now);
        if !matches!(status, "ACTIVE" | "DISABLED") {
            return Err(wrong_state(status));
        }
        if let Some(wanted) = wanted {
            self.set_status(wanted, call.now);
        }
        if !body["RevocationConfiguration"].is_null() {
            self.revocation = body["RevocationConfiguration"].clone();
        }
        Ok(Value::Null)
    }

    /// DeleteCertificateAuthority: not while active; restorable for 7 to 30 days.
    pub(super) fn delete(&mut self, call: &Call, body: &Value) -> Result<Value, ApiError> {
        let status = self.status_at(call.now);
        if matches!(status, "ACTIVE" | "DELETED") {
            return Err(wrong_state(status));
        }
        let days = match &body["PermanentDeletionTimeInDays"] {
            Value::Null => 30,
            given => given.as_i64().filter(|days| (7..=30).contains(days)).ok_or_else(|| {
                invalid("PermanentDeletionTimeInDays must be 7 to 30")
            })?,
        };
        self.restorable = call.now.checked_add(SignedDuration::from_hours(24 * days)).ok();
        self.set_status("DELETED", call.now);
        Ok(Value::Null)
    }

    /// RestoreCertificateAuthority: a deleted authority comes back disabled, or pending if it had no certificate.
    pub(super) fn restore(&mut self, call: &Call) -> Result<Value, ApiError> {
        if self.status != "DELETED" {
            return Err(wrong_state(self.status_at(call.now)));
        }
        self.restorable = None;
        self.set_status(if self.installed.is_some() { "DISABLED" } else { "PENDING_CERTIFICATE" }, call.now);
        Ok(Value::Null)
    }

    /// ListTags.
    pub(super) fn tag_page(&mut self, body: &Value) -> Result<Value, ApiError> {
        page(self.tags.clone(), body, "Tags")
    }
}
