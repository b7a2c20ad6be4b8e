//! Where a certificate is delivered to.

use crate::api::{
    names::{CertificateArn, Region},
    schema,
    shared::{AccountRef, Tags},
};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What becomes of a thing when the Certificate, or the entry for it, is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    #[default]
    #[expect(missing_docs, reason = "the name says it, and docs of variants vanish from a CRD")]
    Retain,
    #[expect(missing_docs, reason = "the name says it")]
    Delete,
}

/// A place of delivery: one certificate in ACM, under one ARN for life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.accountRef) == has(oldSelf.accountRef) && (!has(self.accountRef) || self.accountRef == oldSelf.accountRef)").message("accountRef of a target can't be changed: add another target"),
    validation = Rule::new("has(self.region) == has(oldSelf.region) && (!has(self.region) || self.region == oldSelf.region)").message("region of a target can't be changed: add another target"),
    validation = Rule::new("!has(oldSelf.certificateArn) || !has(self.certificateArn) || self.certificateArn == oldSelf.certificateArn").message("certificateArn of a target can't be changed: add another target"),
    validation = Rule::new("!has(self.certificateArn) || !has(self.reimport) || self.reimport").message("certificateArn is kept for good, so it does not go with reimport: false")
)]
pub struct Target {
    /// Its name. A renamed target is a new one, with a new ARN.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')").message("must be lower-case letters, digits and -, such as edge"))]
    pub name: String,
    /// The account. Default: the Certificate's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_ref: Option<AccountRef>,
    /// The region. Default: the Certificate's. CloudFront reads us-east-1 only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// The certificate in ACM to take over: the first delivery is imported in its place, with a new key, and it keeps this ARN.
    /// With management Observe: the one to watch. Left out: one is made. The account's `policy.adoption` says what may be taken over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_arn: Option<CertificateArn>,
    /// Whether a renewal keeps the ARN. Default: the account's. False: each renewal is a new ARN, and the old one is left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reimport: Option<bool>,
    /// Tags on the certificate in ACM.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    #[schemars(schema_with = "schema::tags")]
    pub tags: Tags,
    /// What becomes of the certificate in ACM when this Certificate, or this target, is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}
