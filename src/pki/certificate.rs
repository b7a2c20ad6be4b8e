//! Certificates, as far as they matter here (RFC 5280).

use super::{Problem, algorithm::KeyAlgorithm, names::Names, pem, signature};
use crate::api::shared::Usage;
use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use std::{
    fmt::{self, Write},
    str::FromStr,
};
use x509_parser::{
    certificate::X509Certificate,
    extensions::{ExtendedKeyUsage, KeyUsage, ParsedExtension, X509Extension},
    prelude::FromDer,
    x509::{SubjectPublicKeyInfo, X509Name},
};

/// The longest text that certificates are read from, in bytes (ACM API reference, ImportCertificate, CertificateChain).
const LONGEST_BUNDLE: usize = 2 * 1024 * 1024;
/// The longest serial number that is read, in hexadecimal digits (Private CA API reference, RevokeCertificate).
const LONGEST_SERIAL: usize = 128;
/// The most extensions that are read: several times those of any profile. Nothing here may cost more than its length.
const MOST_EXTENSIONS: usize = 100;

/// A serial number. It is written as AWS writes it: `67:07:44:…`, lower-case, without leading zero bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(Vec<u8>);

impl Serial {
    /// Of the bytes of a number, the highest first.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
        Self(bytes.iter().skip(first).copied().collect())
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("00");
        }
        for (index, byte) in self.0.iter().enumerate() {
            let colon = if index == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02x}")?;
        }
        Ok(())
    }
}

impl FromStr for Serial {
    type Err = Problem;

    /// Reads hexadecimal digits, in bytes parted by colons or without.
    fn from_str(text: &str) -> Result<Self, Problem> {
        let refused = || Problem::new("a serial number is written in hexadecimal digits, as in 67:07:44 or 670744");
        let digits = if text.contains(':') {
            let parts = text.split(':').map(|part| match part.len() {
                1 => Ok(format!("0{part}")),
                2 => Ok(part.to_owned()),
                _ => Err(refused()),
            });
            parts.collect::<Result<String, _>>()?
        } else if text.len() % 2 == 1 {
            format!("0{text}")
        } else {
            text.to_owned()
        };
        if digits.is_empty() || digits.len() > LONGEST_SERIAL {
            return Err(refused());
        }
        let nibble =
            |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).ok_or_else(refused);
        let bytes = digits.as_bytes().chunks(2).map(|pair| match pair {
            [high, low] => Ok(nibble(*high)? << 4 | nibble(*low)?),
            _ => Err(refused()),
        });
        Ok(Self::from_bytes(&bytes.collect::<Result<Vec<_>, _>>()?))
    }
}

/// A certificate that was read. Nothing is said of its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// All of it.
    pub der: Vec<u8>,
    /// Its serial number.
    pub serial: Serial,
    /// When it begins to be valid, in whole seconds.
    pub not_before: Timestamp,
    /// When it ends, in whole seconds.
    pub not_after: Timestamp,
    /// Its subject alternative names.
    pub names: Names,
    /// It has names of other kinds: directory names, say, or a common name that is a second one or can't be read.
    pub has_other_names: bool,
    /// The first common name of its subject.
    pub common_name: Option<String>,
    /// The algorithm of its key; none: one that is not supported.
    pub algorithm: Option<KeyAlgorithm>,
    /// Its public key (SubjectPublicKeyInfo, DER).
    pub public_key: Vec<u8>,
    /// What it may be used for, sorted.
    pub usages: Vec<Usage>,
    /// What else it may be used for: extended usages as OIDs, others in AWS's words, such as CERTIFICATE_SIGNING.
    pub other_usages: Vec<String>,
    /// It is a CA's (basic constraints, CA:TRUE).
    pub is_ca: bool,
    /// The issuer's name, DER.
    pub issuer_raw: Vec<u8>,
    /// Its own name, DER.
    pub subject_raw: Vec<u8>,
}

impl Certificate {
    /// Reads a certificate in DER.
    ///
    /// # Errors
    /// If it is none, or contradicts itself.
    pub fn from_der(der: &[u8]) -> Result<Self, Problem> {
        let x509 = parse(der)?;
        let tbs = &x509.tbs_certificate;
        if tbs.signature != x509.signature_algorithm {
            return Err(Problem::new("the certificate names two different signature algorithms"));
        }
        // 99991231235959Z says that there is no end (RFC 5280, section 4.1.2.5); it lies beyond the last time there is here.
        let time = |time: i64| {
            Timestamp::from_second(time.min(Timestamp::MAX.as_second()))
                .map_err(|_| Problem::new("the certificate's validity can't be read"))
        };
        let serial = Serial::from_bytes(tbs.raw_serial());
        if tbs.raw_serial().is_empty() || serial.0.len() * 2 > LONGEST_SERIAL {
            return Err(Problem::new(format!(
                "its serial number has none, or more than {LONGEST_SERIAL} hexadecimal digits"
            )));
        }
        let common_names = common_names(&tbs.subject);
        let mut certificate = Self {
            der: der.to_vec(),
            serial,
            not_before: time(tbs.validity.not_before.timestamp())?,
            not_after: time(tbs.validity.not_after.timestamp())?,
            names: Names::default(),
            has_other_names: false,
            common_name: common_names.iter().flatten().next().cloned(),
            algorithm: KeyAlgorithm::of_public_key(&tbs.subject_pki),
            public_key: tbs.subject_pki.raw.to_vec(),
            usages: vec![],
            other_usages: vec![],
            is_ca: false,
            issuer_raw: tbs.issuer.as_raw().to_vec(),
            subject_raw: tbs.subject.as_raw().to_vec(),
        };
        let extensions = read_extensions(x509.extensions().iter())?;
        certificate.names = extensions.names;
        certificate.has_other_names =
            extensions.has_other_names || common_names.len() > 1 || common_names.contains(&None);
        certificate.usages = extensions.usages;
        certificate.other_usages = extensions.other_usages;
        certificate.is_ca = extensions.is_ca;
        Ok(certificate)
    }

    /// One block of PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem::encode("CERTIFICATE", &self.der)
    }

    /// The SHA-256 of its DER in 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        digest(&SHA256, &self.der).as_ref().iter().fold(String::with_capacity(64), |mut hex, byte| {
            // Writing to a String does not fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }

    /// Whether it names itself as its issuer: the end of a chain.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.issuer_raw == self.subject_raw
    }

    /// Whether `issuer` signed it: by name and by signature.
    ///
    /// # Errors
    /// If not.
    pub fn verify_signed_by(&self, issuer: &Self) -> Result<(), Problem> {
        if self.issuer_raw != issuer.subject_raw {
            return Err(Problem::new("the issuer has another name"));
        }
        let x509 = parse(&self.der)?;
        let (_, key) = SubjectPublicKeyInfo::from_der(&issuer.public_key)
            .map_err(|_| Problem::new("the issuer's key can't be read"))?;
        signature::verify(&key, &x509.signature_algorithm, &x509.signature_value, x509.tbs_certificate.as_ref())
    }
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, Problem> {
    match X509Certificate::from_der(der) {
        Ok(([], x509)) => Ok(x509),
        Ok(_) => Err(Problem::new("there are bytes behind the end of the certificate")),
        Err(_) => Err(Problem::new("it is no X.509 certificate")),
    }
}

/// Reads exactly one certificate in PEM.
///
/// # Errors
/// If there is none or more than one, or it can't be read.
pub fn parse_pem(text: &str) -> Result<Certificate, Problem> {
    let mut all = parse_pem_bundle(text)?;
    match (all.pop(), all.len()) {
        (Some(certificate), 0) => Ok(certificate),
        (Some(_), more) => Err(Problem::new(format!("there are {} certificates where one belongs", more + 1))),
        (None, _) => Err(Problem::new("there is no certificate: it begins with -----BEGIN CERTIFICATE-----")),
    }
}

/// Reads certificates in PEM, at most 2 MiB of them. Text around the blocks is passed over; no block, no certificate.
///
/// # Errors
/// If a block is no certificate.
pub fn parse_pem_bundle(text: &str) -> Result<Vec<Certificate>, Problem> {
    let blocks = pem::blocks(text, LONGEST_BUNDLE)?;
    let read = blocks.iter().enumerate().map(|(index, block)| match block.label {
        "CERTIFICATE" => {
            Certificate::from_der(&block.der).map_err(|e| Problem::new(format!("block {}: {e}", index + 1)))
        }
        _ => Err(Problem::new(format!("block {} is no certificate", index + 1))),
    });
    read.collect()
}

/// The common names of a subject; none: one that can't be read.
pub(super) fn common_names(subject: &X509Name<'_>) -> Vec<Option<String>> {
    subject.iter_common_name().map(|attribute| attribute.as_str().ok().map(str::to_owned)).collect()
}

/// What is read of the extensions of a certificate or of a request.
#[derive(Default)]
pub(super) struct Extensions {
    pub(super) names: Names,
    pub(super) has_other_names: bool,
    pub(super) usages: Vec<Usage>,
    pub(super) other_usages: Vec<String>,
    pub(super) is_ca: bool,
}

pub(super) fn read_extensions<'a, 'b: 'a>(
    extensions: impl Iterator<Item = &'a X509Extension<'b>>,
) -> Result<Extensions, Problem> {
    let mut read = Extensions::default();
    let mut seen = Vec::new();
    for extension in extensions {
        if seen.len() == MOST_EXTENSIONS {
            return Err(Problem::new(format!("it has more than {MOST_EXTENSIONS} extensions")));
        }
        // RFC 5280, section 4.2: at most once each.
        if seen.contains(&&extension.oid) {
            return Err(Problem::new(format!("the extension {} stands there twice", extension.oid)));
        }
        seen.push(&extension.oid);
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(san) => {
                for name in &san.general_names {
                    read.has_other_names |= !read.names.take_in(name);
                }
            }
            ParsedExtension::BasicConstraints(constraints) => read.is_ca = constraints.ca,
            ParsedExtension::KeyUsage(usage) => take_in_usages(&mut read, *usage),
            ParsedExtension::ExtendedKeyUsage(usage) => take_in_extended(&mut read, usage),
            ParsedExtension::ParseError { .. } => {
                return Err(Problem::new(format!("the extension {} can't be read", extension.oid)));
            }
            _ => {}
        }
    }
    read.usages.sort_unstable();
    read.usages.dedup();
    Ok(read)
}

fn take_in_usages(read: &mut Extensions, usage: KeyUsage) {
    let known = [
        (usage.digital_signature(), Usage::DigitalSignature),
        (usage.non_repudiation(), Usage::ContentCommitment),
        (usage.key_encipherment(), Usage::KeyEncipherment),
        (usage.data_encipherment(), Usage::DataEncipherment),
        (usage.key_agreement(), Usage::KeyAgreement),
    ];
    let other = [
        (usage.key_cert_sign(), "CERTIFICATE_SIGNING"),
        (usage.crl_sign(), "CRL_SIGNING"),
        (usage.encipher_only(), "ENCIPHER_ONLY"),
        (usage.decipher_only(), "DECIPHER_ONLY"),
    ];
    read.usages.extend(known.into_iter().filter_map(|(is, usage)| is.then_some(usage)));
    read.other_usages.extend(other.into_iter().filter(|(is, _)| *is).map(|(_, name)| name.to_owned()));
}

fn take_in_extended(read: &mut Extensions, usage: &ExtendedKeyUsage<'_>) {
    let known = [
        (usage.server_auth, Usage::ServerAuth),
        (usage.client_auth, Usage::ClientAuth),
        (usage.code_signing, Usage::CodeSigning),
        (usage.email_protection, Usage::EmailProtection),
        (usage.time_stamping, Usage::TimeStamping),
        (usage.ocsp_signing, Usage::OcspSigning),
    ];
    read.usages.extend(known.into_iter().filter_map(|(is, usage)| is.then_some(usage)));
    if usage.any {
        read.other_usages.push("2.5.29.37.0".into());
    }
    read.other_usages.extend(usage.other.iter().map(ToString::to_string));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_numbers() {
        for (text, written) in [
            ("67:07:44", "67:07:44"),
            ("670744", "67:07:44"),
            ("00:67:07:44", "67:07:44"),
            ("0670744", "67:07:44"),
            ("AB:c", "ab:0c"),
            ("0", "00"),
            ("00:00", "00"),
        ] {
            assert_eq!(text.parse::<Serial>().unwrap().to_string(), written, "{text}");
        }
        let long = "ab".repeat(65);
        for bad in ["", ":", "1:", "123:4", "xy", "0x12", "-1", "1 2", "+1", "é", &long] {
            assert!(bad.parse::<Serial>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn no_certificate() {
        assert_eq!(parse_pem_bundle(""), Ok(vec![]));
        assert_eq!(parse_pem_bundle("only text\n"), Ok(vec![]));
        assert!(parse_pem("").is_err());
        assert!(parse_pem_bundle("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").is_err());
        assert!(parse_pem_bundle("-----BEGIN CERTIFICATE-----\nAAAA\n").is_err());
        assert!(parse_pem_bundle("-----BEGIN NOTHING-----\nAAAA\n-----END NOTHING-----\n").is_err());
        assert!(parse_pem_bundle("-----BEGIN CERTIFICATE-----\nAA\0AA\n-----END CERTIFICATE-----\n").is_err());
        assert!(parse_pem_bundle(&" ".repeat(LONGEST_BUNDLE + 1)).is_err());
    }
}
