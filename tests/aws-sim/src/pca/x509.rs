//! Builds and signs certificates.
//!
//! The subject, the public key and the copied extensions go in as the request has them, byte by byte, as Private CA
//! does; that is why the certificate is written here and not by rcgen, which only makes keys and signatures.

use aws_lc_rs::digest;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use rcgen::{KeyPair, RsaKeySize, SigningKey};
use rustls_pki_types::PrivatePkcs8KeyDer;
use yasna::models::ObjectIdentifier;
use yasna::{DERWriter, Tag, construct_der};

use crate::api::ApiError;

/// An extension of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// The dotted numbers of its kind.
    pub oid: Vec<u64>,
    /// Whether a reader that does not know it must refuse the certificate.
    pub critical: bool,
    /// Its DER.
    pub value: Vec<u8>,
}

/// subjectKeyIdentifier
pub const SKI: &[u64] = &[2, 5, 29, 14];
/// keyUsage
pub const KEY_USAGE: &[u64] = &[2, 5, 29, 15];
/// subjectAltName
pub const SAN: &[u64] = &[2, 5, 29, 17];
/// basicConstraints
pub const BASIC_CONSTRAINTS: &[u64] = &[2, 5, 29, 19];
/// authorityKeyIdentifier
pub const AKI: &[u64] = &[2, 5, 29, 35];
/// extKeyUsage
pub const EXTENDED_KEY_USAGE: &[u64] = &[2, 5, 29, 37];

/// The content of a certificate.
#[derive(Debug, Clone)]
pub struct Content {
    /// Big-endian, positive.
    pub serial: [u8; 16],
    /// DER of the issuer's name.
    pub issuer: Vec<u8>,
    /// DER of the subject's name.
    pub subject: Vec<u8>,
    /// DER of the public key with its algorithm.
    pub key: Vec<u8>,
    /// First and last second of validity.
    pub validity: (Timestamp, Timestamp),
    /// In order.
    pub extensions: Vec<Extension>,
}

/// The private key of an authority.
pub struct AuthorityKey {
    pair: KeyPair,
    rsa: bool,
}

fn internal(error: impl std::fmt::Display) -> ApiError {
    ApiError { code: "InternalFailure", message: error.to_string(), status: 500 }
}

impl AuthorityKey {
    /// Makes a key of one of Private CA's algorithms; `ValidationException` for another.
    pub fn generate(algorithm: &str) -> Result<Self, ApiError> {
        let rsa = |size| KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size);
        let pair = match algorithm {
            "RSA_2048" => rsa(RsaKeySize::_2048),
            "RSA_3072" => rsa(RsaKeySize::_3072),
            "RSA_4096" => rsa(RsaKeySize::_4096),
            "EC_prime256v1" => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            "EC_secp384r1" => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
            other => {
                return Err(ApiError::new("ValidationException", format!("Key algorithm {other} is not supported")));
            }
        };
        Ok(Self { pair: pair.map_err(internal)?, rsa: algorithm.starts_with("RSA") })
    }

    /// The key as rcgen has it.
    pub fn pair(&self) -> &KeyPair {
        &self.pair
    }

    /// How the names of the signing algorithms end that the key can use.
    pub fn family(&self) -> &'static str {
        if self.rsa { "WITHRSA" } else { "WITHECDSA" }
    }

    /// A signing algorithm of the key's family.
    pub fn usual_algorithm(&self) -> &'static str {
        if self.rsa { "SHA256WITHRSA" } else { "SHA256WITHECDSA" }
    }

    /// DER of the public key with its algorithm.
    pub fn public(&self) -> Vec<u8> {
        rcgen::PublicKeyData::subject_public_key_info(&self.pair)
    }

    /// Signs a certificate; `algorithm` is Private CA's name, which must be of the key's family
    /// (Private CA API reference, IssueCertificate, SigningAlgorithm).
    ///
    /// A key on a curve signs with the curve's own hash whatever the name says: the library has no other pair.
    pub fn sign(&self, content: &Content, algorithm: &str) -> Result<Vec<u8>, ApiError> {
        let Some(hash @ ("SHA256" | "SHA384" | "SHA512")) = algorithm.strip_suffix(self.family()) else {
            return Err(ApiError::new(
                "ValidationException",
                format!("The signing algorithm {algorithm} does not match the key of the certificate authority"),
            ));
        };
        let other = match (self.rsa, hash) {
            (true, "SHA384") => Some(&rcgen::PKCS_RSA_SHA384),
            (true, "SHA512") => Some(&rcgen::PKCS_RSA_SHA512),
            _ => None,
        };
        match other {
            None => seal(content, &self.pair),
            Some(other) => {
                let der = PrivatePkcs8KeyDer::from(self.pair.serialize_der());
                seal(content, &KeyPair::from_pkcs8_der_and_sign_algo(&der, other).map_err(internal)?)
            }
        }
    }
}

/// The object identifier of the algorithm that the pair signs with, and whether parameters follow.
fn signature_algorithm(pair: &KeyPair) -> (&'static [u64], bool) {
    let algorithm = rcgen::PublicKeyData::algorithm(pair);
    if algorithm == &rcgen::PKCS_RSA_SHA256 {
        (&[1, 2, 840, 113_549, 1, 1, 11], true)
    } else if algorithm == &rcgen::PKCS_RSA_SHA384 {
        (&[1, 2, 840, 113_549, 1, 1, 12], true)
    } else if algorithm == &rcgen::PKCS_RSA_SHA512 {
        (&[1, 2, 840, 113_549, 1, 1, 13], true)
    } else if algorithm == &rcgen::PKCS_ECDSA_P384_SHA384 {
        (&[1, 2, 840, 10045, 4, 3, 3], false)
    } else {
        (&[1, 2, 840, 10045, 4, 3, 2], false)
    }
}

fn write_algorithm(writer: DERWriter<'_>, (oid, parameters): (&[u64], bool)) {
    writer.write_sequence(|writer| {
        writer.next().write_oid(&ObjectIdentifier::from_slice(oid));
        if parameters {
            writer.next().write_null();
        }
    });
}

/// RFC 5280, section 4.1.2.5: UTCTime up to 2049, GeneralizedTime after.
fn time(at: Timestamp) -> Vec<u8> {
    let at = at.to_zoned(TimeZone::UTC);
    let (tag, format) = if at.year() < 2050 { (0x17, "%y%m%d%H%M%SZ") } else { (0x18, "%Y%m%d%H%M%SZ") };
    let text = at.strftime(format).to_string();
    let mut der = vec![tag, u8::try_from(text.len()).unwrap_or_default()];
    der.extend(text.bytes());
    der
}

fn seal(content: &Content, pair: &KeyPair) -> Result<Vec<u8>, ApiError> {
    let algorithm = signature_algorithm(pair);
    let body = construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_tagged(Tag::context(0), |writer| writer.write_u8(2));
            writer.next().write_bigint_bytes(&content.serial, true);
            write_algorithm(writer.next(), algorithm);
            writer.next().write_der(&content.issuer);
            writer.next().write_sequence(|writer| {
                writer.next().write_der(&time(content.validity.0));
                writer.next().write_der(&time(content.validity.1));
            });
            writer.next().write_der(&content.subject);
            writer.next().write_der(&content.key);
            writer.next().write_tagged(Tag::context(3), |writer| {
                writer.write_sequence(|writer| {
                    for extension in &content.extensions {
                        write_extension(writer.next(), extension);
                    }
                });
            });
        });
    });
    let signature = pair.sign(&body).map_err(internal)?;
    Ok(construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_der(&body);
            write_algorithm(writer.next(), algorithm);
            writer.next().write_bitvec_bytes(&signature, signature.len() * 8);
        });
    }))
}

fn write_extension(writer: DERWriter<'_>, extension: &Extension) {
    writer.write_sequence(|writer| {
        writer.next().write_oid(&ObjectIdentifier::from_slice(&extension.oid));
        if extension.critical {
            writer.next().write_bool(true);
        }
        writer.next().write_bytes(&extension.value);
    });
}

/// RFC 5280, section 4.2.1.2, method 1: SHA-1 of the key's bits.
pub fn key_identifier(public: &[u8]) -> Result<Vec<u8>, ApiError> {
    use x509_parser::prelude::FromDer as _;
    let (_, parsed) = x509_parser::x509::SubjectPublicKeyInfo::from_der(public).map_err(internal)?;
    Ok(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &parsed.subject_public_key.data).as_ref().to_vec())
}

/// The subject key identifier of a public key.
pub fn subject_key(public: &[u8]) -> Result<Extension, ApiError> {
    let id = key_identifier(public)?;
    Ok(Extension { oid: SKI.to_vec(), critical: false, value: construct_der(|writer| writer.write_bytes(&id)) })
}

/// The authority key identifier that names an issuer's public key.
pub fn authority_key(public: &[u8]) -> Result<Extension, ApiError> {
    let id = key_identifier(public)?;
    let value = construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_tagged_implicit(Tag::context(0), |writer| writer.write_bytes(&id));
        });
    });
    Ok(Extension { oid: AKI.to_vec(), critical: false, value })
}

/// Basic constraints: an end entity, or an authority with a path length if given.
pub fn basic_constraints(authority: bool, path: Option<u8>, critical: bool) -> Extension {
    let value = construct_der(|writer| {
        writer.write_sequence(|writer| {
            if authority {
                writer.next().write_bool(true);
                if let Some(path) = path {
                    writer.next().write_u8(path);
                }
            }
        });
    });
    Extension { oid: BASIC_CONSTRAINTS.to_vec(), critical, value }
}

/// Key usage, always critical; bits are counted as RFC 5280 does, digitalSignature being 0.
pub fn key_usage(bits: &[usize]) -> Extension {
    let mut bytes = [0_u8; 2];
    for bit in bits.iter().filter(|bit| **bit < 9) {
        bytes[bit / 8] |= 0x80 >> (bit % 8);
    }
    let length = bits.iter().max().map_or(0, |last| last + 1);
    let value = construct_der(|writer| writer.write_bitvec_bytes(&bytes[..length.div_ceil(8)], length));
    Extension { oid: KEY_USAGE.to_vec(), critical: true, value }
}

/// Extended key usage of the given kinds.
pub fn extended_key_usage(kinds: &[Vec<u64>], critical: bool) -> Extension {
    let value = construct_der(|writer| {
        writer.write_sequence(|writer| {
            for kind in kinds {
                writer.next().write_oid(&ObjectIdentifier::from_slice(kind));
            }
        });
    });
    Extension { oid: EXTENDED_KEY_USAGE.to_vec(), critical, value }
}

/// A new serial number of 128 bits: positive, and without leading zeros, so that it always shows as 32 digits.
pub fn serial() -> Result<[u8; 16], ApiError> {
    let mut serial = crate::random::bytes::<16>()?;
    serial[0] = serial[0] & 0x7f | 0x40;
    Ok(serial)
}

/// A PEM block of a certificate, as Private CA writes it: without a line break at its end.
pub fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut out = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = tail;
    }
    out.push_str("-----END CERTIFICATE-----");
    out
}
