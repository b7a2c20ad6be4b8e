//! What the tests of Private CA share.

use base64::Engine as _;
use rcgen::{CertificateParams, CertificateSigningRequest, DnType, KeyPair};
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{Ready, Store, handle};
use crate::api::{ApiError, Call};
use crate::tests::call;

mod issuing;
mod lifecycle;
mod templates;

/// A store and an active authority in it; nothing is ever in progress.
struct World {
    store: Store,
    call: Call,
    authority: String,
}

impl World {
    fn new(ready: &Ready) -> Self {
        let mut store = Store { in_progress_polls: 0, ..Store::default() };
        let authority = store.add_ready(&call(), ready).unwrap();
        Self { store, call: call(), authority }
    }

    fn ec() -> Self {
        Self::new(&root())
    }

    /// Calls an operation about the authority.
    fn ask(&mut self, operation: &str, mut body: Value) -> Result<Value, ApiError> {
        if body["CertificateAuthorityArn"].is_null() {
            body["CertificateAuthorityArn"] = json!(self.authority);
        }
        handle(&mut self.store, &self.call, operation, &body)
    }

    /// The code that an operation is refused with, or `ok`.
    fn code(&mut self, operation: &str, body: Value) -> &'static str {
        self.ask(operation, body).map_or_else(|error| error.code, |_| "ok")
    }

    /// Issues a certificate of the usual request with some parameters changed, and gives its ARN.
    fn issue(&mut self, more: &Value) -> Result<String, ApiError> {
        let mut body = json!({
            "Csr": csr(&params(&["app.example.com"]), &key()),
            "SigningAlgorithm": "SHA256WITHECDSA",
            "Validity": {"Type": "DAYS", "Value": 30},
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        self.ask("IssueCertificate", body).map(|answer| answer["CertificateArn"].as_str().unwrap().to_owned())
    }

    fn refusal(&mut self, more: &Value) -> &'static str {
        self.issue(more).map_or_else(|error| error.code, |_| "ok")
    }

    /// DER of a certificate that was issued with some parameters changed.
    fn issued(&mut self, more: &Value) -> Vec<u8> {
        let arn = self.issue(more).unwrap();
        let answer = self.ask("GetCertificate", json!({"CertificateArn": arn})).unwrap();
        der(answer["Certificate"].as_str().unwrap())
    }
}

fn root() -> Ready<'static> {
    Ready {
        common_name: "Example Root",
        key_algorithm: "EC_prime256v1",
        days: 3650,
        usage_mode: "GENERAL_PURPOSE",
        parent: None,
    }
}

fn key() -> KeyPair {
    KeyPair::generate().unwrap()
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "app.example.com");
    params
}

fn csr(params: &CertificateParams, key: &KeyPair) -> String {
    blob(params.serialize_request(key).as_ref().map(CertificateSigningRequest::pem).unwrap().unwrap().as_bytes())
}

fn blob(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn der(pem: &str) -> Vec<u8> {
    x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap().1.contents
}

fn parse(der: &[u8]) -> X509Certificate<'_> {
    X509Certificate::from_der(der).unwrap().1
}
