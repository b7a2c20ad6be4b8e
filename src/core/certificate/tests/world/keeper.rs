//! Somebody who keeps a Secret, as cert-manager does, with certificates of an issuer of theirs.

use super::World;
use crate::{
    core::secret::SecretObject,
    pki::{
        algorithm::KeyAlgorithm,
        certificate::{Certificate as X509, Serial, parse_pem},
        csr::{SubjectRequest, create_csr},
        key::PrivateKey,
        names::Names,
    },
};
use jiff::SignedDuration;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::ResourceExt;
use serde_json::json;

/// The serial numbers of certificates that the keeper had made begin here.
const KEPT: u64 = 0x7900_0000;

/// What the keeper has made.
pub struct Pair {
    pub names: Vec<&'static str>,
    pub algorithm: KeyAlgorithm,
    pub serial: Option<u64>,
    pub hours: i64,
}

impl Default for Pair {
    fn default() -> Self {
        Self { names: vec!["app.pay.example"], algorithm: KeyAlgorithm::EcPrime256v1, serial: None, hours: 2160 }
    }
}

impl World {
    /// The keeper writes a new pair.
    pub fn keep(&mut self, pair: &Pair) -> X509 {
        self.uids += 1;
        let key = PrivateKey::generate(pair.algorithm).unwrap();
        let names: Vec<String> = pair.names.iter().map(ToString::to_string).collect();
        let subject = SubjectRequest {
            common_name: None,
            organization: None,
            organizational_unit: None,
            country: None,
            locality: None,
            state: None,
            names: Names::new(&names, &[], &[], &[]).unwrap(),
        };
        let csr = create_csr(&key, &subject, None).unwrap();
        let end = self.now + SignedDuration::from_hours(pair.hours);
        let signed = self.ca.sign(&csr, self.now, end, pair.serial.unwrap_or(KEPT + u64::from(self.uids)));
        let leaf = parse_pem(&signed).unwrap();
        let root = self.ca.root.to_pem();
        self.write_source(&signed, &key.to_pkcs8_pem(), &root);
        leaf
    }

    /// The keeper writes this, as cert-manager does: with annotations and a label of its own.
    pub fn write_source(&mut self, certificate: &str, key: &str, root: &str) {
        let mut secret: Secret = self.secret.clone().unwrap_or_else(|| {
            serde_json::from_value(json!({ "type": "kubernetes.io/tls", "metadata": {
                "name": "app-tls", "namespace": "pay", "uid": "kept",
                "annotations": { "cert-manager.io/certificate-name": "app", "cert-manager.io/issuer-name": "theirs" },
                "labels": { "controller.cert-manager.io/fao": "true" },
            } }))
            .unwrap()
        });
        let version = secret.resource_version().and_then(|version| version.parse::<u64>().ok()).unwrap_or(0);
        secret.metadata.resource_version = Some((version + 1).to_string());
        let data = [("tls.crt", certificate), ("tls.key", key), ("ca.crt", root)];
        let data = data.map(|(key, value)| (key.to_owned(), ByteString(value.as_bytes().to_vec())));
        secret.data = Some(data.into());
        self.secret = Some(secret);
    }

    /// The serial number that the keeper wrote last.
    pub fn kept_serial(&self) -> Option<Serial> {
        let secret = SecretObject::from(self.secret.clone()?);
        secret.source_pair().ok().map(|pair| pair.chain.leaf.serial)
    }
}
