//! What ACM reads in a certificate, and the two proofs it asks for: of the private key, and of the issuer.

use std::net::{Ipv4Addr, Ipv6Addr};

use aws_lc_rs::{agreement, signature};
use jiff::Timestamp;
use x509_parser::{
    der_parser::der::parse_der,
    error::X509Error,
    extensions::{GeneralName, ParsedExtension},
    oid_registry::OID_PKIX_ACCESS_DESCRIPTOR_OCSP,
    prelude::{FromDer, X509Certificate, X509Name, X509Version},
    public_key::PublicKey,
};

use super::pem::KeyDer;

/// The fields of a certificate that ACM shows or has rules on.
#[derive(Clone, Debug)]
pub(super) struct Parsed {
    pub der: Vec<u8>,
    /// X.509 version 3.
    pub v3: bool,
    /// Common name first, if there is one, then the DNS names and IP addresses of the extension, each once.
    pub domains: Vec<String>,
    pub subject: String,
    /// As ACM shows it: the organisation of the issuer, else its common name, else the whole name.
    pub issuer: String,
    /// The issuer's name has at least one attribute.
    pub issuer_named: bool,
    pub self_issued: bool,
    /// Lower-case hexadecimal with colons.
    pub serial: String,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// ACM's name of the key's type and size; None if ACM supports none such.
    pub key_algorithm: Option<&'static str>,
    /// The family of the key: "RSA", "EC", or the object identifier of another.
    pub family: String,
    pub signature_algorithm: String,
    /// ACM's names (`KeyUsageName`), in the order of the bits.
    pub key_usages: Vec<&'static str>,
    /// ACM's name (`ExtendedKeyUsageName`) and the object identifier.
    pub extended_key_usages: Vec<(&'static str, String)>,
    pub ocsp_urls: Vec<String>,
}

impl Parsed {
    /// Reads one certificate; None if it is not one, or has bytes after its end.
    pub fn from_der(der: Vec<u8>) -> Option<Self> {
        let (rest, x509) = X509Certificate::from_der(&der).ok()?;
        let family = match x509.public_key().parsed() {
            Ok(PublicKey::RSA(_)) => "RSA".to_owned(),
            Ok(PublicKey::EC(_)) => "EC".to_owned(),
            _ => x509.public_key().algorithm.algorithm.to_id_string(),
        };
        let parsed = Self {
            der: Vec::new(),
            v3: x509.version() == X509Version::V3,
            domains: domains(&x509),
            subject: x509.subject().to_string(),
            issuer: shown_issuer(x509.issuer()),
            issuer_named: x509.issuer().iter_attributes().next().is_some(),
            self_issued: x509.subject().as_raw() == x509.issuer().as_raw(),
            serial: serial(x509.raw_serial()),
            not_before: Timestamp::from_second(x509.validity().not_before.timestamp()).ok()?,
            not_after: Timestamp::from_second(x509.validity().not_after.timestamp()).ok()?,
            key_algorithm: key_algorithm(&x509),
            family,
            signature_algorithm: signature_algorithm(&x509),
            key_usages: key_usages(&x509),
            extended_key_usages: extended_key_usages(&x509),
            ocsp_urls: ocsp_urls(&x509),
        };
        rest.is_empty().then_some(())?;
        Some(Self { der, ..parsed })
    }

    /// Whether the issuer's name and key are those this certificate was signed with.
    pub fn certified_by(&self, issuer: &Self) -> bool {
        let (Ok((_, child)), Ok((_, parent))) =
            (X509Certificate::from_der(&self.der), X509Certificate::from_der(&issuer.der))
        else {
            return false;
        };
        child.issuer().as_raw() == parent.subject().as_raw() && signed_by(&child, &parent)
    }

    /// Whether the certificate is its own issuer.
    pub fn self_signed(&self) -> bool {
        self.self_issued && self.certified_by(self)
    }

    /// Whether the private key belongs to the certificate.
    pub fn matches(&self, key: &KeyDer) -> bool {
        self.agrees(key) == Some(true)
    }

    fn agrees(&self, key: &KeyDer) -> Option<bool> {
        let (_, x509) = X509Certificate::from_der(&self.der).ok()?;
        match (x509.public_key().parsed().ok()?, key) {
            (PublicKey::RSA(public), KeyDer::Pkcs1(der)) => same_rsa(der, public.modulus, public.exponent),
            (PublicKey::RSA(public), KeyDer::Pkcs8(der)) => {
                let (_, info) = parse_der(der).ok()?;
                let inner = info.as_sequence().ok()?.get(2)?.as_slice().ok()?;
                same_rsa(inner, public.modulus, public.exponent)
            }
            (PublicKey::EC(point), KeyDer::Pkcs8(der) | KeyDer::Sec1(der)) => {
                let curve = match self.key_algorithm? {
                    "EC_prime256v1" => &agreement::ECDH_P256,
                    "EC_secp384r1" => &agreement::ECDH_P384,
                    _ => &agreement::ECDH_P521,
                };
                let private = agreement::PrivateKey::from_private_key_der(curve, der).ok()?;
                Some(private.compute_public_key().ok()?.as_ref() == point.data())
            }
            _ => None,
        }
    }
}

/// Compares the public half inside an RSAPrivateKey (RFC 8017, A.1.2): version, modulus, public exponent, and so on.
fn same_rsa(der: &[u8], modulus: &[u8], exponent: &[u8]) -> Option<bool> {
    let (_, key) = parse_der(der).ok()?;
    let fields = key.as_sequence().ok()?;
    Some(fields.get(1)?.as_slice().ok()? == modulus && fields.get(2)?.as_slice().ok()? == exponent)
}

fn signed_by(child: &X509Certificate, parent: &X509Certificate) -> bool {
    let key = parent.public_key();
    match child.verify_signature(Some(key)) {
        Err(X509Error::SignatureUnsupportedAlgorithm) => {}
        verdict => return verdict.is_ok(),
    }
    // The parser knows neither P-521 nor SHA-512 with the smaller curves, all of which ACM takes.
    let Some(curve) = key.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok()) else { return false };
    let signed = child.signature_algorithm.algorithm.to_id_string();
    let algorithm = match (curve.to_id_string().as_str(), signed.as_str()) {
        ("1.3.132.0.35", "1.2.840.10045.4.3.2") => &signature::ECDSA_P521_SHA256_ASN1,
        ("1.3.132.0.35", "1.2.840.10045.4.3.3") => &signature::ECDSA_P521_SHA384_ASN1,
        ("1.3.132.0.35", "1.2.840.10045.4.3.4") => &signature::ECDSA_P521_SHA512_ASN1,
        ("1.3.132.0.34", "1.2.840.10045.4.3.4") => &signature::ECDSA_P384_SHA512_ASN1,
        ("1.2.840.10045.3.1.7", "1.2.840.10045.4.3.4") => &signature::ECDSA_P256_SHA512_ASN1,
        _ => return false,
    };
    signature::UnparsedPublicKey::new(algorithm, &key.subject_public_key.data)
        .verify(child.tbs_certificate.as_ref(), &child.signature_value.data)
        .is_ok()
}

fn common_name(name: &X509Name) -> Option<String> {
    name.iter_common_name().find_map(|cn| cn.as_str().ok()).map(ToOwned::to_owned)
}

fn shown_issuer(name: &X509Name) -> String {
    let organisation = name.iter_organization().find_map(|o| o.as_str().ok()).map(ToOwned::to_owned);
    organisation.or_else(|| common_name(name)).unwrap_or_else(|| name.to_string())
}

fn domains(x509: &X509Certificate) -> Vec<String> {
    let mut domains: Vec<String> = common_name(x509.subject()).into_iter().collect();
    let names = x509.subject_alternative_name().ok().flatten();
    for name in names.iter().flat_map(|extension| &extension.value.general_names) {
        let text = match name {
            GeneralName::DNSName(dns) => (*dns).to_owned(),
            GeneralName::IPAddress(bytes) => match (<[u8; 4]>::try_from(*bytes), <[u8; 16]>::try_from(*bytes)) {
                (Ok(v4), _) => Ipv4Addr::from(v4).to_string(),
                (_, Ok(v6)) => Ipv6Addr::from(v6).to_string(),
                _ => continue,
            },
            _ => continue,
        };
        if !domains.iter().any(|known| known.eq_ignore_ascii_case(&text)) {
            domains.push(text);
        }
    }
    domains
}

/// The bytes of a positive INTEGER, without the zero that DER puts before a set top bit.
fn serial(raw: &[u8]) -> String {
    let bytes = match raw {
        [0, rest @ ..] if !rest.is_empty() => rest,
        all => all,
    };
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

fn key_algorithm(x509: &X509Certificate) -> Option<&'static str> {
    let key = x509.public_key();
    match key.parsed().ok()? {
        PublicKey::RSA(rsa) => match rsa.key_size() {
            1024 => Some("RSA_1024"),
            2048 => Some("RSA_2048"),
            3072 => Some("RSA_3072"),
            4096 => Some("RSA_4096"),
            _ => None,
        },
        PublicKey::EC(_) => match key.algorithm.parameters.as_ref()?.as_oid().ok()?.to_id_string().as_str() {
            "1.2.840.10045.3.1.7" => Some("EC_prime256v1"),
            "1.3.132.0.34" => Some("EC_secp384r1"),
            "1.3.132.0.35" => Some("EC_secp521r1"),
            _ => None,
        },
        _ => None,
    }
}

fn signature_algorithm(x509: &X509Certificate) -> String {
    let oid = x509.signature_algorithm.algorithm.to_id_string();
    match oid.as_str() {
        "1.2.840.113549.1.1.5" => "SHA1WITHRSA".to_owned(),
        "1.2.840.113549.1.1.11" => "SHA256WITHRSA".to_owned(),
        "1.2.840.113549.1.1.12" => "SHA384WITHRSA".to_owned(),
        "1.2.840.113549.1.1.13" => "SHA512WITHRSA".to_owned(),
        "1.2.840.10045.4.3.2" => "SHA256WITHECDSA".to_owned(),
        "1.2.840.10045.4.3.3" => "SHA384WITHECDSA".to_owned(),
        "1.2.840.10045.4.3.4" => "SHA512WITHECDSA".to_owned(),
        _ => oid,
    }
}

fn key_usages(x509: &X509Certificate) -> Vec<&'static str> {
    // The order is that of the bits (RFC 5280, 4.2.1.3).
    const NAMES: [&str; 9] = [
        "DIGITAL_SIGNATURE",
        "NON_REPUDIATION",
        "KEY_ENCIPHERMENT",
        "DATA_ENCIPHERMENT",
        "KEY_AGREEMENT",
        "CERTIFICATE_SIGNING",
        "CRL_SIGNING",
        "ENCIPHER_ONLY",
        "DECIPHER_ONLY",
    ];
    let flags = x509.key_usage().ok().flatten().map_or(0, |extension| extension.value.flags);
    NAMES.into_iter().enumerate().filter(|(bit, _)| flags >> bit & 1 == 1).map(|(_, name)| name).collect()
}

fn extended_key_usages(x509: &X509Certificate) -> Vec<(&'static str, String)> {
    let Ok(Some(extension)) = x509.extended_key_usage() else { return Vec::new() };
    let usage = extension.value;
    let known = [
        (usage.any, "ANY", "2.5.29.37.0"),
        (usage.server_auth, "TLS_WEB_SERVER_AUTHENTICATION", "1.3.6.1.5.5.7.3.1"),
        (usage.client_auth, "TLS_WEB_CLIENT_AUTHENTICATION", "1.3.6.1.5.5.7.3.2"),
        (usage.code_signing, "CODE_SIGNING", "1.3.6.1.5.5.7.3.3"),
        (usage.email_protection, "EMAIL_PROTECTION", "1.3.6.1.5.5.7.3.4"),
        (usage.time_stamping, "TIME_STAMPING", "1.3.6.1.5.5.7.3.8"),
        (usage.ocsp_signing, "OCSP_SIGNING", "1.3.6.1.5.5.7.3.9"),
    ];
    let others = usage.other.iter().map(|oid| {
        let oid = oid.to_id_string();
        let name = match oid.as_str() {
            "1.3.6.1.5.5.7.3.5" => "IPSEC_END_SYSTEM",
            "1.3.6.1.5.5.7.3.6" => "IPSEC_TUNNEL",
            "1.3.6.1.5.5.7.3.7" => "IPSEC_USER",
            _ => "CUSTOM",
        };
        (name, oid)
    });
    let present = known.into_iter().filter(|(set, _, _)| *set);
    present.map(|(_, name, oid)| (name, oid.to_owned())).chain(others).collect()
}

fn ocsp_urls(x509: &X509Certificate) -> Vec<String> {
    let mut urls = Vec::new();
    for extension in x509.extensions() {
        let ParsedExtension::AuthorityInfoAccess(access) = extension.parsed_extension() else { continue };
        for description in &access.accessdescs {
            if let (true, GeneralName::URI(url)) =
                (description.access_method == OID_PKIX_ACCESS_DESCRIPTOR_OCSP, &description.access_location)
            {
                urls.push((*url).to_owned());
            }
        }
    }
    urls
}

#[cfg(test)]
mod tests {
    use super::*;

    // ACM user guide, examples of DescribeCertificate: colon-separated lower-case hexadecimal.
    #[test]
    fn serials_are_colon_hex_without_the_sign_byte() {
        assert_eq!(serial(&[0x00, 0xfc, 0xd8]), "fc:d8");
        assert_eq!(serial(&[0x07, 0x71]), "07:71");
        assert_eq!(serial(&[0]), "00");
    }
}
