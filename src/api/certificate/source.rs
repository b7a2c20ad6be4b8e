//! Where a certificate comes from.

use crate::api::{names::TemplateArn, schema, shared::AuthorityRef};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where the certificate comes from: exactly one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.privateCa), has(self.secretRef), has(self.acmManaged)].filter(given, given).size() == 1").message("exactly one source: privateCa, secretRef or acmManaged"))]
pub struct Source {
    /// An AWS private CA signs; the operator makes the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_ca: Option<PrivateCaSource>,
    /// A Secret of type `kubernetes.io/tls` in the same namespace, kept by somebody else, such as cert-manager: what it holds is
    /// delivered to ACM, and again whenever it changes. It is never written to, and nothing is issued or paid for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretSource>,
    /// ACM asks a private CA in `region` of `accountRef`, holds the key and renews. The one entry of `acm` names the certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acm_managed: Option<AcmManagedSource>,
}

/// The one source that a Certificate has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin<'a> {
    /// An AWS private CA signs; the operator makes the key.
    PrivateCa(&'a PrivateCaSource),
    /// Somebody else keeps the pair in a Secret.
    Secret(&'a SecretSource),
    /// ACM asks a private CA, holds the key and renews.
    AcmManaged(&'a AcmManagedSource),
}

impl Source {
    /// The one that is given; none where nothing is issued (`management: Observe`).
    #[must_use]
    pub fn origin(&self) -> Option<Origin<'_>> {
        let managed = || self.acm_managed.as_ref().map(Origin::AcmManaged);
        let secret = || self.secret_ref.as_ref().map(Origin::Secret);
        self.private_ca.as_ref().map(Origin::PrivateCa).or_else(secret).or_else(managed)
    }
}

/// A Secret of somebody else as the source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretSource {
    /// Its name, in the same namespace.
    #[schemars(schema_with = "schema::object_name")]
    pub name: String,
}

/// A private CA as the source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrivateCaSource {
    /// The CA.
    pub certificate_authority: AuthorityRef,
    /// The template of the private CA. Default: chosen from the usages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_arn: Option<TemplateArn>,
}

/// A private CA that ACM itself asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AcmManagedSource {
    /// The CA.
    pub certificate_authority: AuthorityRef,
}
