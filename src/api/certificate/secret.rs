//! The Secret that a certificate is kept in.

use super::DeletionPolicy;
use crate::api::schema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The Secret of a Certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretSpec {
    /// Its name, in the same namespace.
    #[schemars(schema_with = "schema::object_name")]
    pub name: String,
    /// What becomes of it when the Certificate is deleted. Retain: it stays, so that a pruned manifest is no outage.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// Labels and annotations that it gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<SecretTemplate>,
    /// Keystores for Java that it holds besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keystores: Option<Keystores>,
}

/// Keystores in a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Keystores {
    /// PKCS#12: `keystore.p12` with key and chain, and `truststore.p12` with the root.
    pub pkcs12: Pkcs12,
}

/// A PKCS#12 keystore and truststore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pkcs12 {
    /// The password of both, in a Secret of the same namespace.
    pub password_secret_ref: SecretKeyRef,
    /// How they are encrypted. Modern2023: AES-256, read from Java 8u301 on. LegacyDES: Triple DES, read by every Java 8; weak.
    #[serde(default)]
    pub profile: KeystoreProfile,
}

/// A key of a Secret in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(schema_with = "schema::object_name")]
    pub name: String,
    /// The key in it.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// How keystores are encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum KeystoreProfile {
    #[default]
    #[expect(missing_docs, reason = "Pkcs12.profile explains them, and docs of variants vanish from a CRD")]
    Modern2023,
    #[expect(missing_docs, reason = "see above")]
    LegacyDES,
}

/// Labels and annotations of a Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretTemplate {
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::labels")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::annotations")]
    pub annotations: BTreeMap<String, String>,
}
