//! Discovery: which certificates in an account's ACM are shown as Certificates, and where.

use super::{
    names::{AccountId, Region},
    schema,
    shared::Owner,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::core::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How the certificates that are in ACM are found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Discovery {
    /// How often ACM is looked through, 1h at least. Default: 24h.
    #[serde(default = "day")]
    #[schemars(schema_with = "schema::discovery_interval")]
    pub interval: Duration,
    /// The namespace that what is found is put into. It has to be there. Who may write Certificates there may have any certificate
    /// of the account described whose ARN they know.
    #[schemars(schema_with = "schema::namespace")]
    pub namespace: String,
    /// Present: expired ones are taken, too. Left out: they are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired: Option<Expired>,
    /// Whether revoked ones are taken, too.
    #[serde(default)]
    pub revoked: bool,
    /// What belongs to whom: the first that matches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub rules: Vec<Rule>,
}

fn day() -> Duration {
    Duration::from(std::time::Duration::from_hours(24))
}

impl Discovery {
    /// Whether what is found may be put into this namespace.
    #[must_use]
    pub fn names(&self, namespace: &str) -> bool {
        self.namespace == namespace || self.rules.iter().any(|rule| rule.set.namespace.as_deref() == Some(namespace))
    }
}

/// Which expired certificates are taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Expired {
    /// Those that ended at this time or later.
    pub since: Time,
}

/// What becomes of the certificates that match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// The certificates. What is left out does not narrow it: an empty one matches all.
    #[serde(default)]
    pub r#match: Match,
    /// What they get.
    #[serde(default)]
    pub set: Settings,
}

/// Certificates: all of what is given has to fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Match {
    /// Names, one of which has to be among the certificate's (the first 100 of it count). `*.pay.example` stands for every name
    /// that ends in `.pay.example`, whatever its depth.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 253)))]
    pub domains: Vec<String>,
    /// Tags in ACM that it has to have, with these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::some_tags")]
    pub tags: BTreeMap<String, String>,
    /// Account ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub account_ids: Vec<AccountId>,
    /// Regions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 40))]
    pub regions: Vec<Region>,
}

/// What a certificate that matches gets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// Labels of its object.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::some_labels")]
    pub labels: BTreeMap<String, String>,
    /// Who is responsible for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// The namespace that it is put into, instead of `discovery.namespace`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_namespace")]
    pub namespace: Option<String>,
}

/// What the last discovery found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DiscoveryStatus {
    /// When the last one began that came to an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run: Option<Time>,
    /// When the next one begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_run: Option<Time>,
    /// Certificates in ACM, those that are left out, too.
    pub found: i64,
    /// Those that a Certificate of this cluster keeps alive.
    pub managed: i64,
    /// Those that end within 30 days.
    #[serde(rename = "expiring30d")]
    pub expiring_30d: i64,
    /// Those that have ended.
    pub expired: i64,
    /// The same by region. Of a region that could not be read: what was found before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<RegionCounts>,
    /// The value of the annotation `arnkeeper.dev/discover-requested-at` that the last one answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_at: Option<String>,
    /// A digest of what it was asked for: another one begins a new discovery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<String>,
}

/// What a discovery found in a region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegionCounts {
    /// The region.
    pub region: Region,
    /// Certificates in ACM.
    pub found: i64,
    /// Those that a Certificate of this cluster keeps alive.
    pub managed: i64,
    /// Those that end within 30 days.
    #[serde(rename = "expiring30d")]
    pub expiring_30d: i64,
    /// Those that have ended.
    pub expired: i64,
}

/// What is done for a Certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Management {
    #[default]
    #[expect(missing_docs, reason = "CertificateSpec.management explains them, and docs of variants vanish from a CRD")]
    Managed,
    #[expect(missing_docs, reason = "see above")]
    Observe,
}

/// What ACM says of a certificate that is watched, in ACM's own words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// IMPORTED, PRIVATE or AMAZON_ISSUED.
    pub r#type: String,
    /// ISSUED, PENDING_VALIDATION, INACTIVE, EXPIRED, VALIDATION_TIMED_OUT, REVOKED, FAILED; or GONE, if ACM does not have it.
    pub state: String,
    /// The algorithm of its key, such as RSA_2048 or EC_prime256v1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_algorithm: Option<String>,
    /// Whether ACM renews it: ELIGIBLE or INELIGIBLE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewal_eligibility: Option<String>,
    /// Of what discovery made: what ACM's list said when it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}
