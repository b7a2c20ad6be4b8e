//! Somebody who keeps a TLS Secret with certificates of an issuer of theirs, as cert-manager does.

use crate::{harness::World, tls::Cert};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SignatureAlgorithm,
};
use serde_json::{Value, json};

/// The field manager of cert-manager's controller that writes Secrets.
const MANAGER: &str = "cert-manager-certificates-issuing";

/// An issuer with a root and an intermediate.
pub struct Keeper {
    root: String,
    intermediate: String,
    issuer: Issuer<'static, KeyPair>,
    key: &'static SignatureAlgorithm,
}

/// A certificate of it, PEM all.
#[derive(Clone)]
pub struct Pair {
    pub leaf: String,
    pub key: String,
    pub intermediate: String,
    pub root: String,
    name: String,
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

impl Default for Keeper {
    fn default() -> Self {
        Self::with(&PKCS_ECDSA_P256_SHA256, "Issuing CA of somebody else")
    }
}

impl Keeper {
    /// One whose keys are all of this kind.
    pub fn with(key: &'static SignatureAlgorithm, name: &str) -> Self {
        let root_key = KeyPair::generate_for(key).expect("a key");
        let root = authority("Root CA of somebody else").self_signed(&root_key).expect("a root").pem();
        let above = Issuer::new(authority("Root CA of somebody else"), root_key);
        let own = KeyPair::generate_for(key).expect("a key");
        let intermediate = authority(name).signed_by(&own, &above).expect("an intermediate").pem();
        Self { root, intermediate, issuer: Issuer::new(authority(name), own), key }
    }

    /// A new certificate for these names.
    pub fn pair(&self, names: &[String]) -> Pair {
        self.pair_with(names, self.key)
    }

    /// The same, with a key of this kind.
    pub fn pair_with(&self, names: &[String], key: &'static SignatureAlgorithm) -> Pair {
        let key = KeyPair::generate_for(key).expect("a key");
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, names[0].clone());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let leaf = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        let (intermediate, root) = (self.intermediate.clone(), self.root.clone());
        Pair { leaf, key: key.serialize_pem(), intermediate, root, name: names[0].clone() }
    }
}

impl Pair {
    /// The certificate.
    pub fn cert(&self) -> Cert {
        Cert::first(&self.leaf)
    }

    /// As cert-manager lays it out.
    pub fn data(&self) -> Value {
        json!({ "tls.crt": format!("{}{}", self.leaf, self.intermediate), "ca.crt": self.root, "tls.key": self.key })
    }
}

/// The keeper writes a pair into the Secret, as cert-manager does; returns it as it is stored.
pub async fn keep(world: &World, secret: &str, pair: &Pair) -> Secret {
    keep_data(world, secret, &pair.name, pair.data()).await
}

/// The same, with this content.
pub async fn keep_data(world: &World, secret: &str, name: &str, data: Value) -> Secret {
    let annotations = json!({
        "cert-manager.io/alt-names": name, "cert-manager.io/certificate-name": secret, "cert-manager.io/common-name": name,
        "cert-manager.io/ip-sans": "", "cert-manager.io/issuer-group": "cert-manager.io",
        "cert-manager.io/issuer-kind": "ClusterIssuer", "cert-manager.io/issuer-name": "somebody-else", "cert-manager.io/uri-sans": "",
    });
    let manifest = json!({ "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "stringData": data,
        "metadata": { "name": secret, "annotations": annotations, "labels": { "controller.cert-manager.io/fao": "true" } } });
    let how = PatchParams::apply(MANAGER).force();
    world.secrets().patch(secret, &how, &Patch::Apply(manifest)).await.expect("the Secret can be written")
}
