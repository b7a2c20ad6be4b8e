//! Certificates that ACM issues from a private CA, exports and renews: RequestCertificate, ExportCertificate, RenewCertificate
//! and managed renewal, which the clock brings about.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::{SignedDuration, Timestamp};
use pkcs5::{
    EncryptionScheme,
    der::Encode as _,
    pbes2::{self, Kdf, Pbkdf2Params, Pbkdf2Prf},
};
use rcgen::{KeyPair, PublicKeyData as _, RsaKeySize};
use serde_json::{Value, json};

use super::{Certificate, CertificateType, Store, invalid, pem, tags, x509::Parsed};
use crate::{
    api::{ApiError, Call},
    pca::{self, Signed, Unsigned},
    random,
};

/// Idempotency tokens are honoured for so long (ACM API reference, RequestCertificate: one hour).
const TOKEN_WINDOW: SignedDuration = SignedDuration::from_hours(1);
/// ACM begins to renew so long before the end (ACM user guide, "Managed certificate renewal": 60 days).
const RENEWS_BEFORE: SignedDuration = SignedDuration::from_hours(60 * 24);
/// Characters of the first name (ACM API reference, RequestCertificate, DomainName).
const LONGEST_FIRST_NAME: usize = 64;
/// Names of one certificate (ACM user guide, "Quotas", at first).
const MOST_NAMES: usize = 10;
/// Bytes of a passphrase (service model, PassphraseBlob).
const PASSPHRASE: std::ops::RangeInclusive<usize> = 4..=128;
/// How often a passphrase is hashed; AWS tells no number.
const ROUNDS: u32 = 2048;

/// The state of managed renewal (ACM API reference, RenewalSummary).
#[derive(Clone)]
pub(super) struct Renewal {
    status: &'static str,
    reason: Option<String>,
    updated_at: Timestamp,
    /// For so many more calls it stays under way.
    polls_left: u32,
}

/// What ACM keeps of a certificate that it issued.
#[derive(Clone)]
pub(super) struct Managed {
    pub authority: String,
    algorithm: String,
    names: Vec<String>,
    /// PKCS #8.
    key: Vec<u8>,
    /// Exported since it was issued or renewed last.
    exported: bool,
    renewal: Option<Renewal>,
}

/// A request that is not answered yet, or failed.
pub(super) struct Order {
    pub authority: String,
    pub algorithm: String,
    pub names: Vec<String>,
    pub tags: BTreeMap<String, String>,
    pub created_at: Timestamp,
    /// DescribeCertificate does not know it before its second call.
    hidden: bool,
    polls_left: u32,
    pub failure: Option<String>,
}

impl Order {
    /// `CertificateStatus`.
    pub(super) fn status(&self) -> &'static str {
        if self.failure.is_some() { "FAILED" } else { "PENDING_VALIDATION" }
    }

    /// What DescribeCertificate and ListCertificates have in common.
    pub(super) fn common(&self, arn: &str) -> Value {
        json!({
            "CertificateArn": arn,
            "DomainName": self.names.first(),
            "Status": self.status(),
            "Type": "PRIVATE",
            "KeyAlgorithm": self.algorithm,
            "CreatedAt": self.created_at.as_second(),
        })
    }

    fn detail(&self, arn: &str) -> Value {
        let mut detail = self.common(arn);
        detail["SubjectAlternativeNames"] = json!(self.names);
        detail["CertificateAuthorityArn"] = json!(self.authority);
        detail["InUseBy"] = json!([]);
        detail["RenewalEligibility"] = json!("INELIGIBLE");
        if let Some(reason) = &self.failure {
            detail["FailureReason"] = json!(reason);
        }
        detail
    }

    /// `CertificateSummary`.
    pub(super) fn summary(&self, arn: &str) -> Value {
        let mut summary = self.common(arn);
        summary["SubjectAlternativeNameSummaries"] = json!(self.names);
        summary["HasAdditionalSubjectAlternativeNames"] = json!(false);
        summary["InUse"] = json!(false);
        summary
    }
}

impl Managed {
    /// ACM user guide, "Managed certificate renewal": what is in use, or was exported since it was issued or renewed last.
    fn is_eligible(&self, in_use: bool) -> bool {
        in_use || self.exported
    }

    /// The fields of CertificateDetail that only such a certificate has.
    pub(super) fn detail(&self, detail: &mut Value, in_use: bool) {
        detail["CertificateAuthorityArn"] = json!(self.authority);
        detail["RenewalEligibility"] = json!(if self.is_eligible(in_use) { "ELIGIBLE" } else { "INELIGIBLE" });
        if let Some(renewal) = &self.renewal {
            detail["RenewalSummary"] = json!({
                "RenewalStatus": renewal.status,
                "DomainValidationOptions": [],
                "UpdatedAt": renewal.updated_at.as_second(),
            });
            if let Some(reason) = &renewal.reason {
                detail["RenewalSummary"]["RenewalStatusReason"] = json!(reason);
            }
        }
    }
}

/// RequestCertificate, for a private CA.
pub(super) fn request(store: &mut Store, pca: &pca::Store, call: &Call, body: &Value) -> Result<Value, ApiError> {
    let text = |field: &str| body[field].as_str().map(str::to_owned);
    let Some(authority) = text("CertificateAuthorityArn") else {
        return Err(invalid("This emulator issues from private certificate authorities only"));
    };
    let first = text("DomainName").ok_or_else(|| invalid("DomainName is missing"))?;
    if first.len() > LONGEST_FIRST_NAME {
        return Err(invalid(format!("The first domain name can be no longer than {LONGEST_FIRST_NAME} characters.")));
    }
    let mut names = vec![first];
    for other in body["SubjectAlternativeNames"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !names.iter().any(|name| name.eq_ignore_ascii_case(other)) {
            names.push(other.to_owned());
        }
    }
    if names.len() > MOST_NAMES {
        return Err(ApiError::new("LimitExceededException", format!("A certificate has at most {MOST_NAMES} names")));
    }
    let algorithm = text("KeyAlgorithm").unwrap_or_else(|| "RSA_2048".to_owned());
    if !["RSA_2048", "EC_prime256v1", "EC_secp384r1"].contains(&algorithm.as_str()) {
        return Err(invalid(format!("The key algorithm {algorithm} is not supported")));
    }
    let token = text("IdempotencyToken");
    let word = |token: &String| {
        (1..=32).contains(&token.len()) && token.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    if token.as_ref().is_some_and(|token| !word(token)) {
        return Err(invalid("IdempotencyToken must be 1 to 32 letters, digits or underscores"));
    }
    let given = token.as_ref().and_then(|token| store.tokens.get(token));
    if let Some((_, arn)) = given.filter(|(at, _)| call.now.duration_since(*at) < TOKEN_WINDOW) {
        return Ok(json!({ "CertificateArn": arn }));
    }
    let order = Order {
        authority,
        algorithm,
        names,
        tags: tags::on_import(body)?,
        created_at: call.now,
        hidden: true,
        polls_left: pca.in_progress_polls,
        failure: None,
    };
    let arn = format!("arn:{}:acm:{}:{}:certificate/{}", call.partition, call.region, call.account, random::uuid()?);
    store.orders.insert(arn.clone(), order);
    if let Some(token) = token {
        store.tokens.insert(token, (call.now, arn.clone()));
    }
    Ok(json!({ "CertificateArn": arn }))
}

/// An operation on a request that is not answered yet, or failed.
pub(super) fn on_order(
    store: &mut Store,
    pca: &mut pca::Store,
    call: &Call,
    operation: &str,
    (arn, body): (&str, &Value),
) -> Result<Value, ApiError> {
    if operation == "DescribeCertificate" {
        return describe_order(store, pca, call, arn);
    }
    let order = store.orders.get_mut(arn).ok_or_else(|| super::not_found(arn))?;
    match operation {
        "ListTagsForCertificate" => Ok(tags::list(&order.tags)),
        "AddTagsToCertificate" => tags::add(&mut order.tags, body),
        "RemoveTagsFromCertificate" => tags::remove(&mut order.tags, body),
        "DeleteCertificate" => {
            store.orders.remove(arn);
            Ok(json!({}))
        }
        // ACM API reference, GetCertificate and ExportCertificate, Errors.
        _ if order.failure.is_none() => Err(ApiError::new(
            "RequestInProgressException",
            "The certificate request is in process and the certificate in your account has not yet been issued.",
        )),
        _ => Err(invalid(format!("The certificate {arn} is not issued"))),
    }
}

/// Each look brings the request on: at first it is not known, then it is under way, then it is issued or has failed.
fn describe_order(store: &mut Store, pca: &mut pca::Store, call: &Call, arn: &str) -> Result<Value, ApiError> {
    let order = store.orders.get_mut(arn).ok_or_else(|| super::not_found(arn))?;
    // ACM API reference, RequestCertificate: a delay of several seconds before information can be retrieved.
    if std::mem::take(&mut order.hidden) {
        return Err(super::not_found(arn));
    }
    if order.failure.is_some() {
        return Ok(json!({ "Certificate": order.detail(arn) }));
    }
    if order.polls_left > 0 {
        order.polls_left -= 1;
        return Ok(json!({ "Certificate": order.detail(arn) }));
    }
    let failure = store.failure.clone();
    match signed(pca, call, &order.authority, &order.names, &order.algorithm, failure)? {
        Err(reason) => {
            order.failure = Some(reason);
            Ok(json!({ "Certificate": order.detail(arn) }))
        }
        Ok(material) => {
            let Order { authority, algorithm, names, tags, created_at, .. } =
                store.orders.remove(arn).ok_or_else(|| super::not_found(arn))?;
            let managed = Managed { authority, algorithm, names, key: material.key, exported: false, renewal: None };
            let certificate = Certificate {
                kind: CertificateType::Private,
                parsed: material.parsed,
                pem: material.signed.certificate,
                chain: Some(material.signed.chain),
                tags,
                in_use_by: vec![],
                created_at,
                imported_at: call.now,
                managed: Some(Box::new(managed)),
            };
            let detail = super::describe::detail(arn, &certificate, call.now);
            store.certificates.insert(arn.to_owned(), certificate);
            Ok(json!({ "Certificate": detail }))
        }
    }
}

struct Material {
    signed: Signed,
    parsed: Parsed,
    key: Vec<u8>,
}

/// A new key and its certificate, or ACM's reason why there is none.
fn signed(
    pca: &mut pca::Store,
    call: &Call,
    authority: &str,
    names: &[String],
    algorithm: &str,
    failure: Option<String>,
) -> Result<Result<Material, String>, ApiError> {
    if let Some(reason) = failure {
        return Ok(Err(reason));
    }
    let pair = match algorithm {
        "RSA_2048" => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048),
        "EC_secp384r1" => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
        _ => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
    };
    let internal = |message: String| ApiError { code: "InternalFailure", message, status: 500 };
    let pair = pair.map_err(|error| internal(error.to_string()))?;
    let is_rsa = algorithm.starts_with("RSA");
    match pca.sign_for_acm(call, authority, names, &pair.subject_public_key_info(), is_rsa) {
        Err(Unsigned::Reason(reason)) => Ok(Err(reason.to_owned())),
        Err(Unsigned::Fault(error)) => Err(error),
        Ok(signed) => {
            let der = pem::certificates(&signed.certificate, "Certificate")?.pop().unwrap_or_default();
            let parsed = Parsed::from_der(der).ok_or_else(|| internal("an unreadable certificate".into()))?;
            Ok(Ok(Material { signed, parsed, key: pair.serialize_der() }))
        }
    }
}

/// Begins the managed renewals that are due, and brings those on that are under way; each call on a certificate is a look.
pub(super) fn tick(
    store: &mut Store,
    pca: &mut pca::Store,
    call: &Call,
    looked_at: Option<&str>,
) -> Result<(), ApiError> {
    let (failure, polls) = (store.failure.clone(), pca.in_progress_polls);
    for (arn, certificate) in &mut store.certificates {
        let (ends, in_use) = (certificate.parsed.not_after, !certificate.in_use_by.is_empty());
        let Some(managed) = &mut certificate.managed else { continue };
        let is_due = ends.duration_since(call.now) <= RENEWS_BEFORE && call.now < ends;
        let under_way = managed.renewal.as_ref().is_some_and(|r| r.status == "PENDING_AUTO_RENEWAL");
        // What failed is tried again once nothing is in its way.
        let failed = managed.renewal.as_ref().is_some_and(|r| r.status == "FAILED") && failure.is_some();
        if is_due && !under_way && !failed && managed.is_eligible(in_use) {
            managed.renewal = Some(renewing(call.now, polls));
        }
        let Some(renewal) = managed.renewal.as_mut().filter(|r| r.status == "PENDING_AUTO_RENEWAL") else { continue };
        if looked_at != Some(arn.as_str()) {
            continue;
        }
        if renewal.polls_left > 0 {
            renewal.polls_left -= 1;
            continue;
        }
        let (authority, names, algorithm) = (&managed.authority, &managed.names, &managed.algorithm);
        match signed(pca, call, authority, names, algorithm, failure.clone())? {
            Err(reason) => {
                managed.renewal =
                    Some(Renewal { status: "FAILED", reason: Some(reason), updated_at: call.now, polls_left: 0 });
            }
            Ok(material) => {
                // ACM user guide, "Managed certificate renewal": the ARN stays, the certificate and its key are new.
                managed.key = material.key;
                managed.exported = false;
                managed.renewal =
                    Some(Renewal { status: "SUCCESS", reason: None, updated_at: call.now, polls_left: 0 });
                certificate.parsed = material.parsed;
                certificate.pem = material.signed.certificate;
                certificate.chain = Some(material.signed.chain);
                certificate.imported_at = call.now;
            }
        }
    }
    Ok(())
}

fn renewing(now: Timestamp, polls_left: u32) -> Renewal {
    Renewal { status: "PENDING_AUTO_RENEWAL", reason: None, updated_at: now, polls_left }
}

/// RenewCertificate: only what was exported can be renewed so (ACM API reference, RenewalEligibility).
pub(super) fn renew(certificate: &mut Certificate, now: Timestamp, polls: u32) -> Result<Value, ApiError> {
    let in_use = !certificate.in_use_by.is_empty();
    let Some(managed) = certificate.managed.as_mut().filter(|managed| managed.is_eligible(in_use)) else {
        return Err(invalid("The certificate is not eligible for renewal."));
    };
    if managed.renewal.as_ref().is_some_and(|r| r.status == "PENDING_AUTO_RENEWAL") {
        return Err(ApiError::new("RequestInProgressException", "The certificate is being renewed already"));
    }
    managed.renewal = Some(renewing(now, polls));
    Ok(json!({}))
}

/// ExportCertificate: certificate, chain, and the key as encrypted PKCS #8.
pub(super) fn export(arn: &str, certificate: &mut Certificate, body: &Value) -> Result<Value, ApiError> {
    let passphrase = body["Passphrase"].as_str().and_then(|text| STANDARD.decode(text).ok());
    let passphrase = passphrase.ok_or_else(|| invalid("Passphrase is missing, or not base 64"))?;
    // Service model, PassphraseBlob; ACM API reference, ExportCertificate, Passphrase.
    if !PASSPHRASE.contains(&passphrase.len())
        || passphrase.iter().any(|byte| b"#$%".contains(byte) || !byte.is_ascii())
    {
        return Err(invalid("Passphrase must be 4 to 128 ASCII characters, none of them #, $ or %"));
    }
    let Some(managed) = &mut certificate.managed else {
        return Err(invalid(format!("Certificate ARN: {arn} is not a private certificate")));
    };
    managed.exported = true;
    Ok(json!({
        "Certificate": certificate.pem,
        "CertificateChain": certificate.chain,
        "PrivateKey": encrypted(&managed.key, &passphrase)?,
    }))
}

/// Encrypted PKCS #8 (RFC 5208, section 6) by PBES2 with PBKDF2 of HMAC-SHA-1, as AWS does it, and AES-256-CBC.
fn encrypted(key: &[u8], passphrase: &[u8]) -> Result<String, ApiError> {
    let internal =
        |error: &dyn std::fmt::Display| ApiError { code: "InternalFailure", message: error.to_string(), status: 500 };
    let stretching = Pbkdf2Params::hmac_sha256(ROUNDS, &random::bytes::<16>()?).map_err(|error| internal(&error))?;
    let parameters = pbes2::Parameters {
        kdf: Kdf::Pbkdf2(Pbkdf2Params { prf: Pbkdf2Prf::HmacWithSha1, ..stretching }),
        encryption: pbes2::EncryptionScheme::Aes256Cbc { iv: random::bytes::<16>()? },
    };
    let data = parameters.encrypt(passphrase, key).map_err(|error| internal(&error))?;
    let mut room = [0_u8; 512];
    let scheme = EncryptionScheme::Pbes2(parameters).encode_to_slice(&mut room).map_err(|error| internal(&error))?;
    let der = yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_der(scheme);
            writer.next().write_bytes(&data);
        });
    });
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    Ok(format!("-----BEGIN ENCRYPTED PRIVATE KEY-----\n{}\n-----END ENCRYPTED PRIVATE KEY-----\n", lines.join("\n")))
}

#[cfg(test)]
#[path = "managed_tests.rs"]
mod tests;
