//! Certificates as a client sees them, read by another library than the operator's own code.

use base64::{Engine, engine::general_purpose::STANDARD};
use k8s_openapi::api::core::v1::Secret;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData, SubjectPublicKeyInfo,
};
use std::collections::BTreeSet;
use x509_parser::{
    certification_request::X509CertificationRequest,
    extensions::GeneralName,
    pem::Pem,
    prelude::{FromDer, X509Certificate},
    public_key::PublicKey,
};

/// A certificate, DER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cert(pub Vec<u8>);

impl Cert {
    /// All certificates of a PEM text, in its order.
    pub fn all(pem: &str) -> Vec<Self> {
        Pem::iter_from_buffer(pem.as_bytes()).map(|pem| Self(pem.expect("PEM").contents)).collect()
    }

    /// The first certificate of a PEM text.
    pub fn first(pem: &str) -> Self {
        Self::all(pem).swap_remove(0)
    }

    fn parsed(&self) -> X509Certificate<'_> {
        X509Certificate::from_der(&self.0).expect("a certificate").1
    }

    /// The serial number: hexadecimal, lower case, without colons and leading zeros.
    pub fn serial(&self) -> String {
        plain_serial(&self.parsed().raw_serial_as_string())
    }

    /// The DNS names.
    pub fn dns_names(&self) -> BTreeSet<String> {
        let parsed = self.parsed();
        let names = parsed.subject_alternative_name().expect("well-formed names").map(|e| &e.value.general_names);
        let dns = |name: &GeneralName<'_>| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        };
        names.into_iter().flatten().filter_map(dns).collect()
    }

    /// Whether the extended key usages include server authentication.
    pub fn serves(&self) -> bool {
        self.parsed().extended_key_usage().expect("well-formed usages").is_some_and(|e| e.value.server_auth)
    }

    /// Whether this certificate was signed with the key of that one.
    pub fn is_signed_by(&self, issuer: &Self) -> bool {
        let issuer = issuer.parsed();
        self.parsed().verify_signature(Some(issuer.public_key())).is_ok()
    }

    /// Whether its last moment is over.
    pub fn has_ended(&self) -> bool {
        self.parsed().validity().not_after.timestamp() <= jiff::Timestamp::now().as_second()
    }

    /// Whether its key is an RSA key.
    pub fn has_rsa_key(&self) -> bool {
        matches!(self.parsed().public_key().parsed(), Ok(PublicKey::RSA(_)))
    }

    /// The public key, as SubjectPublicKeyInfo.
    pub fn public_key(&self) -> Vec<u8> {
        self.parsed().public_key().raw.to_vec()
    }
}

/// PEM.
pub fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap_or_default()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// A serial number as `Cert::serial` writes it.
pub fn plain_serial(serial: &str) -> String {
    serial.replace(':', "").to_lowercase().trim_start_matches('0').to_owned()
}

/// The public key of a private key in PEM, as SubjectPublicKeyInfo.
pub fn public_key_of(key: &str) -> Vec<u8> {
    KeyPair::from_pem(key).expect("a private key").subject_public_key_info()
}

/// What a TLS Secret holds.
pub struct Tls {
    /// `tls.crt`: the leaf, then what stands between it and the root.
    pub certificates: Vec<Cert>,
    /// `ca.crt`.
    pub authorities: Vec<Cert>,
    /// `tls.key`, PEM.
    pub key: String,
}

impl Tls {
    /// Reads a Secret, which has to be whole: the key is the leaf's, and each certificate was signed by the next.
    pub fn of(secret: &Secret) -> Self {
        let text = |key: &str| {
            let data = secret
                .data
                .as_ref()
                .and_then(|data| data.get(key))
                .unwrap_or_else(|| panic!("the Secret has no {key}"));
            String::from_utf8(data.0.clone()).expect("text")
        };
        assert_eq!(secret.type_.as_deref(), Some("kubernetes.io/tls"));
        let tls = Self {
            certificates: Cert::all(&text("tls.crt")),
            authorities: Cert::all(&text("ca.crt")),
            key: text("tls.key"),
        };
        assert_eq!(tls.leaf().public_key(), public_key_of(&tls.key), "tls.key is not the key of tls.crt");
        let mut chain: Vec<&Cert> = tls.certificates.iter().chain(&tls.authorities).collect();
        // Where the root is not known, the highest certificate stands in both.
        chain.dedup();
        for pair in chain.windows(2) {
            assert!(pair[0].is_signed_by(pair[1]), "the chain of the Secret is out of order");
        }
        tls
    }

    /// The certificate itself.
    pub fn leaf(&self) -> &Cert {
        &self.certificates[0]
    }
}

/// The certificate of a subordinate CA of this common name, for the key of a CSR, and that of its root: both PEM.
pub fn subordinate(common_name: &str, csr: &str) -> (String, String) {
    let authority = |name: &str| {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params
    };
    let der = Cert::first(csr).0;
    let (_, parsed) = X509CertificationRequest::from_der(&der).expect("a CSR");
    let key = SubjectPublicKeyInfo::from_der(parsed.certification_request_info.subject_pki.raw).expect("a public key");
    let root_key = KeyPair::generate().expect("a key");
    let root = authority("the root above moto's CA").self_signed(&root_key).expect("a root").pem();
    let issuer = Issuer::new(authority("the root above moto's CA"), root_key);
    (authority(common_name).signed_by(&key, &issuer).expect("a certificate").pem(), root)
}

/// A key and a CSR for these names; without names, for nobody.
pub fn csr(names: &[&str]) -> (KeyPair, String) {
    let key = KeyPair::generate().expect("a key");
    let mut params =
        CertificateParams::new(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()).expect("DNS names");
    params.distinguished_name = DistinguishedName::new();
    if let Some(first) = names.first() {
        params.distinguished_name.push(DnType::CommonName, *first);
    }
    let csr = params.serialize_request(&key).expect("a CSR");
    (key, csr.pem().expect("PEM"))
}
