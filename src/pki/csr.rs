//! Certificate signing requests (RFC 2986): made here, or taken from others and read strictly.

use super::{
    Problem,
    algorithm::KeyAlgorithm,
    certificate::{common_names, read_extensions},
    key::PrivateKey,
    names::Names,
    pem, signature,
};
use crate::api::shared::Usage;
use aws_lc_rs::digest::{Digest, SHA256, digest};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, DnValue, ExtendedKeyUsagePurpose as Eku, KeyUsagePurpose as Ku, SanType,
    string::{Ia5String, PrintableString},
};
use x509_parser::{certification_request::X509CertificationRequest, cri_attributes::ParsedCriAttribute, prelude::FromDer};

/// The longest request, in bytes of PEM (Private CA API reference, IssueCertificate).
const LONGEST: usize = 32_768;
/// The longest common name, in characters (RFC 5280, appendix A, ub-common-name).
const LONGEST_COMMON_NAME: usize = 64;

/// What to ask a certificate for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectRequest {
    /// CN. One with more than 64 characters is left out: it does not fit, and the alternative names say it anyway.
    pub common_name: Option<String>,
    /// O.
    pub organization: Option<String>,
    /// OU.
    pub organizational_unit: Option<String>,
    /// C, two letters.
    pub country: Option<String>,
    /// L.
    pub locality: Option<String>,
    /// ST.
    pub state: Option<String>,
    /// The alternative names.
    pub names: Names,
}

/// Makes a request in PEM, signed with the key. With usages, it asks for them in extensions of its own.
///
/// # Errors
/// If the subject can't be written, or has no name.
pub fn create_csr(key: &PrivateKey, subject: &SubjectRequest, usages: Option<&[Usage]>) -> Result<String, Problem> {
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name(subject)?;
    params.subject_alt_names = alternative_names(&subject.names)?;
    for usage in usages.unwrap_or_default() {
        match usage {
            Usage::DigitalSignature => params.key_usages.push(Ku::DigitalSignature),
            Usage::ContentCommitment => params.key_usages.push(Ku::ContentCommitment),
            Usage::KeyEncipherment => params.key_usages.push(Ku::KeyEncipherment),
            Usage::DataEncipherment => params.key_usages.push(Ku::DataEncipherment),
            Usage::KeyAgreement => params.key_usages.push(Ku::KeyAgreement),
            Usage::ServerAuth => params.extended_key_usages.push(Eku::ServerAuth),
            Usage::ClientAuth => params.extended_key_usages.push(Eku::ClientAuth),
            Usage::CodeSigning => params.extended_key_usages.push(Eku::CodeSigning),
            Usage::EmailProtection => params.extended_key_usages.push(Eku::EmailProtection),
            Usage::TimeStamping => params.extended_key_usages.push(Eku::TimeStamping),
            Usage::OcspSigning => params.extended_key_usages.push(Eku::OcspSigning),
        }
    }
    let csr = params.serialize_request(key.pair()).map_err(|e| Problem::new(format!("the request could not be made: {e}")))?;
    let csr = pem::encode("CERTIFICATE REQUEST", csr.der());
    // What is not taken from others is not made either.
    Csr::parse(&csr)?;
    Ok(csr)
}

fn distinguished_name(subject: &SubjectRequest) -> Result<DistinguishedName, Problem> {
    let mut name = DistinguishedName::new();
    if let Some(country) = &subject.country {
        let country = PrintableString::try_from(country.as_str()).map_err(|_| Problem::new(format!("{country:?} is no country: two letters are")))?;
        name.push(DnType::CountryName, DnValue::PrintableString(country));
    }
    let common_name = subject.common_name.as_ref().filter(|name| name.chars().count() <= LONGEST_COMMON_NAME);
    for (kind, value) in [
        (DnType::StateOrProvinceName, &subject.state),
        (DnType::LocalityName, &subject.locality),
        (DnType::OrganizationName, &subject.organization),
        (DnType::OrganizationalUnitName, &subject.organizational_unit),
        (DnType::CommonName, &common_name.cloned()),
    ] {
        if let Some(value) = value {
            name.push(kind, DnValue::Utf8String(value.clone()));
        }
    }
    Ok(name)
}

fn alternative_names(names: &Names) -> Result<Vec<SanType>, Problem> {
    let ia5 = |text: &String| Ia5String::try_from(text.as_str()).map_err(|_| Problem::new(format!("{text:?} is not plain ASCII")));
    let mut all = Vec::new();
    for dns in &names.dns {
        all.push(SanType::DnsName(ia5(dns)?));
    }
    all.extend(names.ips.iter().copied().map(SanType::IpAddress));
    for uri in &names.uris {
        all.push(SanType::URI(ia5(uri)?));
    }
    for email in &names.emails {
        all.push(SanType::Rfc822Name(ia5(email)?));
    }
    Ok(all)
}

/// A request that was read and whose signature fits its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Csr {
    /// The request alone, PEM.
    pub pem: String,
    /// Its common name.
    pub common_name: Option<String>,
    /// The alternative names that it asks for.
    pub names: Names,
    /// The algorithm of its key.
    pub algorithm: KeyAlgorithm,
    /// Its public key (SubjectPublicKeyInfo, DER).
    pub public_key: Vec<u8>,
    /// The usages that it asks for, sorted.
    pub usages: Vec<Usage>,
    /// What else it asks to be used for: extended usages as OIDs, others in AWS's words.
    pub other_usages: Vec<String>,
    /// It asks for a CA certificate: with basic constraints CA:TRUE, or to sign certificates.
    pub asks_for_ca: bool,
    der: Vec<u8>,
}

impl Csr {
    /// Reads a request in PEM, strictly.
    ///
    /// # Errors
    /// A sentence that says what is wrong: more than 32,768 bytes, not exactly one block, a signature that does not fit, a
    /// key that ACM would not take, no name, more than one common name, a name that is none.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let blocks = pem::blocks(text, LONGEST)?;
        let der = match blocks.as_slice() {
            [block] if block.label == "CERTIFICATE REQUEST" => block.der.as_slice(),
            _ => return Err(Problem::new("it is not exactly one PEM block: -----BEGIN CERTIFICATE REQUEST-----")),
        };
        let request = match X509CertificationRequest::from_der(der) {
            Ok(([], request)) => request,
            Ok(_) => return Err(Problem::new("there are bytes behind the end of the request")),
            Err(_) => return Err(Problem::new("it is no PKCS #10 request")),
        };
        let info = &request.certification_request_info;
        let unsupported = || Problem::new("its key is not supported: RSA with 2048, 3072 or 4096 bits and ECDSA on P-256, P-384 or P-521 are");
        let algorithm = KeyAlgorithm::of_public_key(&info.subject_pki).filter(|a| *a != KeyAlgorithm::Rsa1024).ok_or_else(unsupported)?;
        signature::verify(&info.subject_pki, &request.signature_algorithm, &request.signature_value, info.raw)?;
        let common_name = common_name(&request)?;
        let mut asked = info.iter_attributes().filter_map(|attribute| match attribute.parsed_attribute() {
            ParsedCriAttribute::ExtensionRequest(asked) => Some(asked.extensions.iter()),
            _ => None,
        });
        let first = asked.next();
        if asked.next().is_some() {
            return Err(Problem::new("it asks for extensions twice"));
        }
        let extensions = read_extensions(first.into_iter().flatten())?;
        if extensions.has_other_names {
            return Err(Problem::new("it asks for a name that is no DNS name, IP address, URI or e-mail address"));
        }
        let names = extensions.names.checked().map_err(|e| Problem::new(e.to_string()))?;
        if names.is_empty() && common_name.is_none() {
            return Err(Problem::new("it has no name: neither a common name nor an alternative name"));
        }
        let asks_for_ca = extensions.is_ca || extensions.other_usages.iter().any(|usage| usage == "CERTIFICATE_SIGNING");
        Ok(Self {
            pem: pem::encode("CERTIFICATE REQUEST", der),
            common_name,
            names,
            algorithm,
            public_key: info.subject_pki.raw.to_vec(),
            usages: extensions.usages,
            other_usages: extensions.other_usages,
            asks_for_ca,
            der: der.to_vec(),
        })
    }

    /// The SHA-256 of its DER.
    #[must_use]
    pub fn digest(&self) -> Digest {
        digest(&SHA256, &self.der)
    }
}

fn common_name(request: &X509CertificationRequest<'_>) -> Result<Option<String>, Problem> {
    let subject = &request.certification_request_info.subject;
    if subject.iter_attributes().any(|attribute| attribute.as_str().is_ok_and(|text| text.contains('\0'))) {
        return Err(Problem::new("its subject contains a NUL byte"));
    }
    match common_names(subject).as_slice() {
        [] => Ok(None),
        [Some(name)] if name.is_empty() || name.chars().any(char::is_control) => {
            Err(Problem::new("its common name is empty or contains a control character"))
        }
        [Some(name)] if name.chars().count() > LONGEST_COMMON_NAME => {
            Err(Problem::new("its common name is longer than 64 characters: put the name into the alternative names"))
        }
        [Some(name)] => Ok(Some(name.clone())),
        [None] => Err(Problem::new("its common name can't be read as text")),
        _ => Err(Problem::new("it has more than one common name")),
    }
}
