//! Certificates and a store for the tests of this module.

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::{Timestamp, ToSpan};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    PKCS_ECDSA_P256_SHA256, SignatureAlgorithm,
};
use serde_json::{Value, json};

use super::{Store, handle};
use crate::api::{ApiError, Call};
use crate::pca;

/// 2026-06-01T00:00:00Z, the start of every test's clock.
pub const NOW: i64 = 1_780_272_000;

/// One account and region of ACM.
pub struct Sim {
    pub store: Store,
    pub pca: pca::Store,
    pub call: Call,
}

impl Sim {
    pub fn new() -> Self {
        let call = Call {
            account: "111122223333".into(),
            region: "eu-west-1".into(),
            partition: "aws".into(),
            now: Timestamp::from_second(NOW).unwrap(),
        };
        Self { store: Store::default(), pca: pca::Store::default(), call }
    }

    pub fn later(&mut self, seconds: i64) {
        self.call.now += seconds.seconds();
    }

    pub fn run(&mut self, operation: &str, body: &Value) -> Result<Value, ApiError> {
        handle(&mut self.store, &mut self.pca, &self.call, operation, body)
    }

    /// Imports and returns the ARN.
    pub fn imported(&mut self, material: &Material) -> String {
        let answer = self.run("ImportCertificate", &material.body()).unwrap();
        answer["CertificateArn"].as_str().unwrap().to_owned()
    }

    pub fn describe(&mut self, arn: &str) -> Value {
        self.run("DescribeCertificate", &json!({ "CertificateArn": arn })).unwrap()["Certificate"].take()
    }

    pub fn tags(&mut self, arn: &str) -> Value {
        self.run("ListTagsForCertificate", &json!({ "CertificateArn": arn })).unwrap()["Tags"].take()
    }
}

/// The three fields of an import, in PEM.
#[derive(Clone)]
pub struct Material {
    pub cert: String,
    pub key: String,
    pub chain: Option<String>,
}

impl Material {
    pub fn body(&self) -> Value {
        let mut body = json!({ "Certificate": STANDARD.encode(&self.cert), "PrivateKey": STANDARD.encode(&self.key) });
        if let Some(chain) = &self.chain {
            body["CertificateChain"] = json!(STANDARD.encode(chain));
        }
        body
    }
}

/// A certificate authority, with the chain from itself to its root.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    pub chain: String,
}

impl Authority {
    pub fn root(algorithm: &'static SignatureAlgorithm) -> Self {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let issuer = CertifiedIssuer::self_signed(authority_params("Root"), key).unwrap();
        Self { chain: issuer.pem(), issuer }
    }

    pub fn below(&self, algorithm: &'static SignatureAlgorithm) -> Self {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let issuer = CertifiedIssuer::signed_by(authority_params("Sub"), key, &self.issuer).unwrap();
        Self { chain: issuer.pem() + &self.chain, issuer }
    }

    /// A leaf for api.example.com, unless changed.
    pub fn issue(
        &self,
        algorithm: &'static SignatureAlgorithm,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Material {
        let mut params = leaf_params();
        change(&mut params);
        let key = KeyPair::generate_for(algorithm).unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Material { cert: cert.pem(), key: key.serialize_pem(), chain: Some(self.chain.clone()) }
    }
}

/// A P-256 leaf for api.example.com below a root of its own.
pub fn leaf() -> Material {
    named(&["api.example.com"])
}

/// A P-256 leaf for these DNS names below a root of its own.
pub fn named(names: &[&str]) -> Material {
    Authority::root(&PKCS_ECDSA_P256_SHA256).issue(&PKCS_ECDSA_P256_SHA256, |params| {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        params.subject_alt_names = CertificateParams::new(names).unwrap().subject_alt_names;
    })
}

/// A certificate that signed itself.
pub fn self_signed(algorithm: &'static SignatureAlgorithm) -> Material {
    let mut params = leaf_params();
    params.distinguished_name.push(DnType::CommonName, "api.example.com");
    let key = KeyPair::generate_for(algorithm).unwrap();
    Material { cert: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem(), chain: None }
}

fn leaf_params() -> CertificateParams {
    let mut params = CertificateParams::new(vec!["api.example.com".to_owned()]).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.not_before = rcgen::date_time_ymd(2026, 5, 31);
    params.not_after = rcgen::date_time_ymd(2026, 7, 1);
    params
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Test");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}
