//! Secrets: whose they are, what they hold, how they are written. A key never leaves this type but into a Secret or ACM.

use super::keystores::{KEYSTORE, TRUSTSTORE};
use crate::{
    api::{
        ADOPT_BY_ANNOTATION, CertificateRequest, GROUP, ISSUED_FOR_ANNOTATION, OWNED_BY_ANNOTATION, RENEW_ANNOTATION,
        REVISION_ANNOTATION,
    },
    pki::{
        certificate::{Certificate as X509, parse_pem_bundle},
        chain::Chain,
        key::PrivateKey,
        verify::verify_key_pair,
    },
    text::plain,
};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::ResourceExt;
use std::collections::BTreeMap;
use zeroize::{Zeroize, Zeroizing};

/// Annotation on a Secret: the name of the CertificateRequest (same namespace) that filled it.
const OWNED_BY_REQUEST_ANNOTATION: &str = "arnkeeper.dev/certificate-request";
/// The type of a Secret with a certificate and its key (Kubernetes documentation, "Secrets").
const TLS: &str = "kubernetes.io/tls";
/// The label that every Secret of the operator carries.
const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "arnkeeper");

/// The most bytes that the values of a Secret may have together (Kubernetes documentation, "Secrets").
const LARGEST: usize = 1 << 20;
/// The most bytes that are written into one: a key, a request, a certificate and its chain, and keystores with all that.
const ROOM: usize = 128 << 10;

/// A Secret. It has no `Debug`, and wipes what it holds.
pub struct SecretObject(Secret);

impl Drop for SecretObject {
    fn drop(&mut self) {
        for value in self.0.data.iter_mut().flat_map(BTreeMap::values_mut) {
            value.0.zeroize();
        }
        for value in self.0.string_data.iter_mut().flat_map(BTreeMap::values_mut) {
            value.zeroize();
        }
    }
}

impl From<Secret> for SecretObject {
    fn from(secret: Secret) -> Self {
        Self(secret)
    }
}

/// Whose a Secret is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Ours.
    Ours,
    /// Somebody else's, who allows us to take it over.
    Offered,
    /// Somebody else's: never written to.
    Foreign,
}

/// A certificate with its key and chain, read out of a Secret.
pub struct KeyPair {
    /// The certificate and what stands above it.
    pub chain: Chain,
    /// Its key.
    pub key: PrivateKey,
}

impl SecretObject {
    /// The object, to be sent to the API server.
    #[must_use]
    pub fn object(&self) -> &Secret {
        &self.0
    }

    /// Whose it is, for a Certificate of this name in the Secret's namespace.
    #[must_use]
    pub fn claim_of_certificate(&self, name: &str) -> Claim {
        self.claim(OWNED_BY_ANNOTATION, name)
    }

    /// Whose it is, for a request in the Secret's namespace.
    #[must_use]
    pub fn claim_of_request(&self, request: &CertificateRequest) -> Claim {
        self.claim(OWNED_BY_REQUEST_ANNOTATION, &request.name_any())
    }

    /// Whether somebody says that what is in it now is to be this Certificate's.
    #[must_use]
    pub fn is_offered_to(&self, name: &str) -> bool {
        self.annotation(ADOPT_BY_ANNOTATION).is_some_and(|by| by == name)
    }

    fn claim(&self, annotation: &str, name: &str) -> Claim {
        let annotations = self.0.annotations();
        if annotations.get(annotation).is_some_and(|owner| owner == name) {
            Claim::Ours
        } else if annotations.get(ADOPT_BY_ANNOTATION).is_some_and(|by| by == name) {
            Claim::Offered
        } else {
            Claim::Foreign
        }
    }

    /// The Certificate that keeps it, by name.
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        self.annotation(OWNED_BY_ANNOTATION)
    }

    /// Whether a controller with this uid owns it.
    #[must_use]
    pub fn is_owned_by(&self, uid: &str) -> bool {
        self.0.owner_references().iter().any(|owner| owner.uid == uid)
    }

    /// The uid and the resourceVersion, as preconditions of a change.
    #[must_use]
    pub fn version(&self) -> (Option<String>, Option<String>) {
        (self.0.uid(), self.0.resource_version())
    }

    /// The revision of the Certificate that it holds.
    #[must_use]
    pub fn revision(&self) -> Option<i64> {
        self.annotation(REVISION_ANNOTATION)?.parse().ok()
    }

    /// The digest of the spec that it was issued for.
    #[must_use]
    pub fn issued_for(&self) -> Option<&str> {
        self.annotation(ISSUED_FOR_ANNOTATION)
    }

    /// The forced renewal that it answers.
    #[must_use]
    pub fn renewed_for(&self) -> Option<&str> {
        self.annotation(RENEW_ANNOTATION)
    }

    /// The value of an annotation.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.0.annotations().get(key).map(String::as_str)
    }

    /// Why the API server would not let it be written, if so: told before a certificate for it is paid for.
    #[must_use]
    pub fn takes_nothing(&self) -> Option<&'static str> {
        let kept = |(key, _): &(&String, &ByteString)| {
            !["tls.crt", "tls.key", "tls.csr", "ca.crt", KEYSTORE, TRUSTSTORE].contains(&&***key)
        };
        let others: usize = self.0.data.iter().flatten().filter(kept).map(|(_, value)| value.0.len()).sum();
        if self.0.immutable == Some(true) {
            Some("it is immutable: make it again without that, or choose another name")
        } else if others > LARGEST - ROOM {
            Some(
                "its other keys leave no room in the 1 MiB that Kubernetes allows: remove some, or choose another name",
            )
        } else {
            None
        }
    }

    /// A value.
    #[must_use]
    pub fn bytes(&self, key: &str) -> Option<&[u8]> {
        self.0.data.as_ref()?.get(key).map(|value| &*value.0)
    }

    /// Sets a value, or takes it away; what was there is wiped.
    pub fn set_bytes(&mut self, key: &str, value: Option<Vec<u8>>) {
        let data = self.0.data.get_or_insert_default();
        let old = match value {
            Some(value) => data.insert(key.into(), ByteString(value)),
            None => data.remove(key),
        };
        if let Some(mut old) = old {
            old.0.zeroize();
        }
    }

    /// Sets an annotation, or takes it away.
    pub fn set_annotation(&mut self, key: &str, value: Option<String>) {
        let annotations = self.0.metadata.annotations.get_or_insert_default();
        match value {
            Some(value) => annotations.insert(key.into(), value),
            None => annotations.remove(key),
        };
    }

    /// A value as text.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<Zeroizing<String>> {
        let bytes = &self.0.data.as_ref()?.get(key)?.0;
        std::str::from_utf8(bytes).ok().map(|text| Zeroizing::new(text.to_owned()))
    }

    /// Whether its certificate is this one.
    #[must_use]
    pub fn holds(&self, leaf: &X509) -> bool {
        self.key_pair().is_ok_and(|pair| pair.chain.leaf.der == leaf.der)
    }

    /// Certificate, chain and key.
    ///
    /// # Errors
    /// A sentence that says what is missing or broken; never a key.
    pub fn key_pair(&self) -> Result<KeyPair, String> {
        let certificates = self.text("tls.crt").ok_or("it has no tls.crt")?;
        let key = self.text("tls.key").ok_or("it has no tls.key")?;
        let key = PrivateKey::from_pem(&key).map_err(|e| format!("its tls.key: {e}"))?;
        let mut pool = parse_pem_bundle(&certificates).map_err(|e| format!("its tls.crt: {e}"))?;
        if pool.is_empty() {
            return Err("its tls.crt holds no certificate".into());
        }
        let leaf = pool.remove(0);
        if let Some(root) = self.text("ca.crt").filter(|text| !text.trim().is_empty()) {
            pool.extend(parse_pem_bundle(&root).map_err(|e| format!("its ca.crt: {e}"))?);
        }
        verify_key_pair(&key, &leaf).map_err(|e| format!("its tls.key and tls.crt: {e}"))?;
        let chain = Chain::order(leaf, pool).map_err(|e| format!("its chain: {e}"))?;
        Ok(KeyPair { chain, key })
    }

    /// Certificate, chain and key of a Secret that somebody else keeps: it is of type `kubernetes.io/tls`, its key says which of
    /// the certificates is the one, and the others may stand in any order.
    ///
    /// # Errors
    /// A sentence that says what is missing or broken; never a key.
    pub fn source_pair(&self) -> Result<KeyPair, String> {
        let kind = self.0.type_.as_deref().unwrap_or("Opaque");
        if kind != TLS {
            return Err(format!("its type is {:?}, and {TLS} is needed", plain(kind, 64)));
        }
        let text = |key: &str| self.text(key).filter(|text| !text.trim().is_empty());
        let certificates = text("tls.crt").ok_or("it has no tls.crt, or one that is no text")?;
        let key = text("tls.key").ok_or("it has no tls.key, or one that is no text")?;
        let key = PrivateKey::from_pem(&key).map_err(|e| format!("its tls.key: {e}"))?;
        let mut pool = parse_pem_bundle(&certificates).map_err(|e| format!("its tls.crt: {e}"))?;
        if pool.is_empty() {
            return Err("its tls.crt holds no certificate".into());
        }
        let leaf = pool.iter().position(|certificate| verify_key_pair(&key, certificate).is_ok());
        let leaf = pool.remove(leaf.ok_or("its tls.key is the key of no certificate in its tls.crt")?);
        if let Some(root) = text("ca.crt") {
            pool.extend(parse_pem_bundle(&root).map_err(|e| format!("its ca.crt: {e}"))?);
        }
        let chain = Chain::order(leaf, pool).map_err(|e| format!("its chain: {e}"))?;
        let last = chain.above().last().unwrap_or(&chain.leaf);
        if last.is_self_issued() && last.verify_signed_by(last).is_err() {
            return Err("its chain: the last certificate names itself as its issuer, and did not sign itself".into());
        }
        Ok(KeyPair { chain, key })
    }

    /// Whether its certificates are not, letter for letter, those of this chain.
    #[must_use]
    pub fn differs_from(&self, chain: &Chain) -> bool {
        let is = |key: &str, wanted: &str| self.text(key).is_some_and(|text| *text == wanted);
        !is("tls.crt", &chain.tls_crt()) || !is("ca.crt", &chain.ca_crt())
    }

    /// Whether this Secret already is as `wanted` would write it.
    #[must_use]
    pub fn is_as(&self, wanted: &SecretObject) -> bool {
        self.0.data == wanted.0.data
            && self.0.metadata.labels == wanted.0.metadata.labels
            && self.0.metadata.annotations == wanted.0.metadata.annotations
            && self.0.metadata.owner_references == wanted.0.metadata.owner_references
    }
}

/// What goes into a Secret.
pub struct Content {
    /// Data to set. Other keys stay.
    pub data: BTreeMap<&'static str, Zeroizing<String>>,
    /// Annotations to set, and to take away where there is no value. Others stay.
    pub annotations: BTreeMap<String, Option<String>>,
    /// Labels to set. Others stay.
    pub labels: BTreeMap<String, String>,
    /// The owner, or none.
    pub owner: Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference>,
}

/// The Secret `namespace/name` with this content: made new, or changed where it stands, with its uid and resourceVersion.
#[must_use]
pub fn write(
    existing: Option<&SecretObject>,
    namespace: &str,
    name: &str,
    kind: &str,
    content: Content,
) -> SecretObject {
    let mut secret = existing.map_or_else(Secret::default, |s| s.0.clone());
    if existing.is_none() {
        secret.type_ = Some(kind.into());
    }
    let metadata = &mut secret.metadata;
    metadata.name = Some(name.into());
    metadata.namespace = Some(namespace.into());
    metadata.managed_fields = None;
    let labels = metadata.labels.get_or_insert_default();
    labels.insert(MANAGED_BY.0.into(), MANAGED_BY.1.into());
    labels.extend(content.labels);
    let annotations = metadata.annotations.get_or_insert_default();
    for (key, value) in content.annotations {
        match value {
            Some(value) => annotations.insert(key, value),
            None => annotations.remove(&key),
        };
    }
    let ours = |api_version: &str| api_version.starts_with(GROUP);
    let owners = metadata.owner_references.get_or_insert_default();
    owners.retain(|owner| !ours(&owner.api_version));
    owners.extend(content.owner);
    if owners.is_empty() {
        metadata.owner_references = None;
    }
    let data = secret.data.get_or_insert_default();
    for (key, value) in content.data {
        data.insert(key.into(), ByteString(value.as_bytes().to_vec()));
    }
    SecretObject(secret)
}

/// The annotations that make a Secret a request's.
#[must_use]
pub fn request_annotations(name: &str) -> BTreeMap<String, Option<String>> {
    BTreeMap::from([(OWNED_BY_REQUEST_ANNOTATION.into(), Some(name.into())), (ADOPT_BY_ANNOTATION.into(), None)])
}
