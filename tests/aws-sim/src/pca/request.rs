//! Certificate signing requests.

use aws_lc_rs::signature::{self, UnparsedPublicKey};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::prelude::FromDer as _;

use super::x509::{self, Extension};
use crate::api::ApiError;

/// The largest request in bytes (Private CA API reference, IssueCertificate, Csr).
const MAX_BYTES: usize = 32_768;
/// The object identifier of the curve P-521.
const P521: &str = "1.3.132.0.35";

/// What a certificate takes from a request.
#[derive(Debug)]
pub struct Request {
    /// DER of the subject; an empty sequence when it has none.
    pub subject: Vec<u8>,
    /// Whether the subject has a name.
    pub has_subject: bool,
    /// DER of the public key with its algorithm.
    pub key: Vec<u8>,
    /// The extensions it asks for, in order.
    pub extensions: Vec<Extension>,
}

fn malformed(why: &str) -> ApiError {
    ApiError::new("MalformedCSRException", why)
}

/// Reads a request in PEM and verifies that its own key signed it; `MalformedCSRException` otherwise.
pub fn read(pem: &[u8]) -> Result<Request, ApiError> {
    if pem.len() > MAX_BYTES {
        return Err(ApiError::new("ValidationException", "The request is longer than 32768 bytes"));
    }
    let (_, block) = x509_parser::pem::parse_x509_pem(pem).map_err(|_| malformed("The request is not PEM"))?;
    if !matches!(block.label.as_str(), "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST") {
        return Err(malformed("The PEM block is not a certificate request"));
    }
    let (_, parsed) = X509CertificationRequest::from_der(&block.contents)
        .map_err(|_| malformed("The certificate request cannot be read"))?;
    verify(&parsed).map_err(|()| malformed("The request's signature is not of its own key"))?;
    let info = &parsed.certification_request_info;
    let mut extensions = Vec::new();
    for attribute in info.iter_attributes() {
        if let ParsedCriAttribute::ExtensionRequest(requested) = attribute.parsed_attribute() {
            for one in &requested.extensions {
                let oid = one.oid.iter().ok_or_else(|| malformed("An extension has no readable identifier"))?;
                extensions.push(Extension {
                    oid: oid.collect(),
                    critical: one.critical,
                    value: one.value.to_vec(),
                });
            }
        }
    }
    Ok(Request {
        subject: info.subject.as_raw().to_vec(),
        has_subject: info.subject.iter().next().is_some(),
        key: info.subject_pki.raw.to_vec(),
        extensions,
    })
}

impl Request {
    /// The extension of a kind.
    pub fn extension(&self, oid: &[u64]) -> Option<&Extension> {
        self.extensions.iter().find(|extension| extension.oid == oid)
    }

    /// The subject alternative names, when there is at least one.
    pub fn names(&self) -> Option<&Extension> {
        self.extension(x509::SAN).filter(|extension| extension.value.len() > 2)
    }
}

/// The parser's own check, and one for P-521, which it does not know.
fn verify(request: &X509CertificationRequest<'_>) -> Result<(), ()> {
    let key = &request.certification_request_info.subject_pki;
    let curve = key.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
    if !curve.is_some_and(|curve| curve.to_id_string() == P521) {
        return request.verify_signature().map_err(|_| ());
    }
    let algorithm = match request.signature_algorithm.algorithm.to_id_string().as_str() {
        "1.2.840.10045.4.3.2" => &signature::ECDSA_P521_SHA256_ASN1,
        "1.2.840.10045.4.3.3" => &signature::ECDSA_P521_SHA384_ASN1,
        "1.2.840.10045.4.3.4" => &signature::ECDSA_P521_SHA512_ASN1,
        _ => return Err(()),
    };
    UnparsedPublicKey::new(algorithm, &key.subject_public_key.data)
        .verify(request.certification_request_info.raw, &request.signature_value.data)
        .map_err(|_| ())
}
