//! ImportCertificate: the rules that hold for every import, and the new certificate.

use aws_lc_rs::rand;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Certificate, CertificateType, Store, invalid, pem, tags, x509::Parsed};
use crate::api::{ApiError, Call};

/// Bytes of `Certificate` (service model, `CertificateBodyBlob`).
const MOST_CERTIFICATE: usize = 32_768;
/// Bytes of `PrivateKey` (service model, `PrivateKeyBlob`).
const MOST_KEY: usize = 5_120;
/// Bytes of `CertificateChain` (service model, `CertificateChainBlob`).
const MOST_CHAIN: usize = 2_097_152;
/// Characters of an OCSP address (ACM user guide, Prerequisites for importing).
const MOST_OCSP_URL: usize = 1_000;
/// Imported certificates in an account and region (ACM user guide, Quotas).
pub(super) const MOST_IMPORTED: usize = 2_500;

/// What an import brings, once it has passed all rules.
pub(super) struct Material {
    pub parsed: Parsed,
    pub pem: String,
    pub chain: Option<String>,
}

/// An import without `CertificateArn`: a new ARN.
pub(super) fn import(store: &mut Store, call: &Call, body: &Value) -> Result<Value, ApiError> {
    let material = validated(body, call.now)?;
    let tags = tags::on_import(body)?;
    let imported = store.certificates.values().filter(|c| c.kind == CertificateType::Imported).count();
    if imported >= MOST_IMPORTED {
        let message = format!("Cannot import certificate because account {} has reached its limit.", call.account);
        return Err(ApiError::new("LimitExceededException", message));
    }
    let arn = format!("arn:{}:acm:{}:{}:certificate/{}", call.partition, call.region, call.account, uuid()?);
    let Material { parsed, pem, chain } = material;
    let certificate = Certificate {
        kind: CertificateType::Imported,
        parsed,
        pem,
        chain,
        tags,
        in_use_by: Vec::new(),
        created_at: call.now,
        imported_at: call.now,
        managed: None,
    };
    store.certificates.insert(arn.clone(), certificate);
    Ok(json!({ "CertificateArn": arn }))
}

/// Holds the body against every rule that does not depend on what ACM has already.
pub(super) fn validated(body: &Value, now: Timestamp) -> Result<Material, ApiError> {
    let pem = pem::required_text(body, "Certificate", MOST_CERTIFICATE)?;
    let key = pem::required_text(body, "PrivateKey", MOST_KEY)?;
    let chain = pem::text(body, "CertificateChain", MOST_CHAIN)?;
    let parsed = leaf(&pem, now)?;
    if !parsed.matches(&pem::private_key(&key)?) {
        return Err(invalid("The private key does not match the certificate."));
    }
    match &chain {
        Some(chain) => check_chain(&parsed, chain)?,
        None if parsed.self_signed() => {}
        None => return Err(invalid("The certificate is signed by a CA. Provide its certificate chain.")),
    }
    Ok(Material { parsed, pem, chain })
}

fn leaf(pem: &str, now: Timestamp) -> Result<Parsed, ApiError> {
    let mut ders = pem::certificates(pem, "Certificate")?;
    let (Some(der), true) = (ders.pop(), ders.is_empty()) else {
        return Err(invalid(
            "The certificate field contains more than one certificate. You can specify only one certificate in this \
             field.",
        ));
    };
    let leaf = Parsed::from_der(der).ok_or_else(|| invalid("The certificate field is not an X.509 certificate."))?;
    if !leaf.v3 {
        return Err(invalid("The certificate must be an SSL/TLS X.509 version 3 certificate."));
    }
    if !leaf.issuer_named {
        return Err(invalid("The certificate has no issuer."));
    }
    if leaf.domains.is_empty() {
        return Err(invalid("The certificate has no domain name and no IP address."));
    }
    if leaf.ocsp_urls.iter().any(|url| url.chars().count() > MOST_OCSP_URL) {
        return Err(invalid(format!("The certificate has an OCSP URL of more than {MOST_OCSP_URL} characters.")));
    }
    if leaf.key_algorithm.is_none() {
        return Err(invalid("The key algorithm of the certificate is not supported."));
    }
    if now < leaf.not_before {
        return Err(invalid("The certificate is not in effect until its start date."));
    }
    if now > leaf.not_after {
        return Err(invalid("The certificate has expired."));
    }
    Ok(leaf)
}

/// The chain starts with the issuer of the leaf, each certificate certifies the one before, and a root ends it. The
/// emulator knows no public roots, so every chain is a private one, whose root the guide wants in it.
fn check_chain(leaf: &Parsed, chain: &str) -> Result<(), ApiError> {
    let unproven = || invalid("Could not validate the certificate with the certificate chain.");
    let mut issuers = Vec::new();
    for der in pem::certificates(chain, "CertificateChain")? {
        issuers.push(Parsed::from_der(der).ok_or_else(unproven)?);
    }
    if issuers.iter().any(|issuer| issuer.der == leaf.der) {
        return Err(invalid("The certificate chain contains the certificate itself. Provide the chain without it."));
    }
    let mut child = leaf;
    for issuer in &issuers {
        // A root is certified by nothing but itself, so nothing may come after it.
        if child.self_signed() || !child.certified_by(issuer) {
            return Err(unproven());
        }
        child = issuer;
    }
    if !child.self_signed() {
        return Err(unproven());
    }
    if issuers.first().is_some_and(|ca| ca.family != leaf.family) {
        return Err(invalid("The algorithm of the certificate does not match the algorithm of the signing CA."));
    }
    Ok(())
}

/// A random UUID (RFC 9562, version 4).
fn uuid() -> Result<String, ApiError> {
    let mut bytes = [0_u8; 16];
    if rand::fill(&mut bytes).is_err() {
        return Err(ApiError { status: 500, ..ApiError::new("InternalFailure", "No random bytes") });
    }
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    Ok([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}

#[cfg(test)]
#[path = "import_tests.rs"]
mod tests;
