//! How a Certificate stands.

use super::DeletionPolicy;
use crate::api::{
    discovery::Found,
    names::{CertificateArn, Region},
    publish::PublishedStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the certificate stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateStatus {
    /// The generation of the spec that this status is about; -1: none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Its first domain, for `kubectl get`: as the spec asks for it, or as it was found in the source Secret or in ACM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain_name: Option<String>,
    /// Serial number of the certificate in the Secret, hexadecimal with colons as AWS shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial_number: Option<String>,
    /// When it begins to be valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Time>,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Time>,
    /// When it will be renewed; absent if it will not be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewal_time: Option<Time>,
    /// Counts the certificates that were issued for this Certificate, or found in its source Secret, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// SHA-256 of the certificate in the Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// With `source.secretRef`: by which names ACM may know what was imported, one of each certificate. While the answer of an
    /// import is not known, those of the certificates before stay here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known_names: Vec<String>,
    /// What happens next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<NextStep>,
    /// The places of delivery.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub targets: Vec<TargetStatus>,
    /// With `management: Observe`: the places of delivery as they were when it was managed. If it is managed again, it goes on from
    /// there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub managed_targets: Vec<TargetStatus>,
    /// The objects that ARNs were published to, or are about to be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub published: Vec<PublishedStatus>,
    /// With `management: Observe`: what ACM says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<Found>,
    /// With `source.acmManaged`: what ACM says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<ManagedStatus>,
    /// In how many AWS accounts it was found, if in more than one: whoever gets into one of them has its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accounts: Option<i32>,
    /// The last revisions, the newest first; `spec.historyLimit` of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<HistoryEntry>,
    /// Ready, Issuing, Delivered, Published, Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// What happens next to a Certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NextStep {
    /// Issue, Renew, Deliver, Delete or Nothing.
    pub action: String,
    /// When, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
    /// What it waits for, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_by: Option<String>,
}

/// What ACM says of a certificate that it issued and renews, in AWS's own words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManagedStatus {
    /// ISSUED, PENDING_VALIDATION while it is being issued, FAILED, EXPIRED, …
    pub state: String,
    /// ELIGIBLE or INELIGIBLE for renewal by ACM: only what is in use or was exported is renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewal_eligibility: Option<String>,
    /// How ACM's last renewal stands: PENDING_AUTO_RENEWAL, SUCCESS or FAILED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewal: Option<String>,
    /// Why ACM could not issue or renew it, such as PCA_ACCESS_DENIED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    /// The renewal that was asked for last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested: Option<RequestedRenewal>,
    /// When ACM was asked to issue or to renew it within the last day, the oldest first: what counts for the budgets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    pub asked: Vec<Time>,
}

/// A renewal that a person asked ACM for, by the annotation `arnkeeper.dev/renew-requested-at`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequestedRenewal {
    /// The value of the annotation.
    pub value: String,
    /// When RenewCertificate was called, or was about to be.
    pub at: Time,
    /// The serial number that ACM had then: it is done when there is another one.
    pub serial_number: String,
}

/// How a place of delivery stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetStatus {
    /// The target's name.
    pub name: String,
    /// The AwsAccount through which it is reached.
    pub account: String,
    /// The AWS account id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// The region.
    pub region: Region,
    /// The ARN of the certificate in ACM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arn: Option<CertificateArn>,
    /// The serial number that ACM has there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial_number: Option<String>,
    /// With `source.secretRef`: a digest of the certificate and the chain that it has. A chain may change alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_digest: Option<String>,
    /// When it was imported last; with `source.acmManaged`, when it was requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported_at: Option<Time>,
    /// An import without an ARN, or a request to ACM, was about to begin at this time; its answer is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_since: Option<Time>,
    /// How many imports without an ARN, or certificates of ACM, were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<i32>,
    /// The keys of the tags that the spec asked for when it was delivered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tag_keys: Vec<String>,
    /// What uses it, as ACM told when it was looked at last: at most 20 ARNs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub in_use_by: Vec<String>,
    /// The certificate that is, or was, taken over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adoption: Option<AdoptionStatus>,
    /// What the target's deletionPolicy was when it was delivered: an entry that is gone from the spec follows it.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// Delivered, Pending, Waiting or Failed.
    pub state: TargetState,
    /// For people: why the state is not Delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// How a certificate in ACM came to a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdoptionStatus {
    /// The `certificateArn` that the spec named when it began.
    pub certificate_arn: CertificateArn,
    /// When it was taken over; absent: it is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted_at: Option<Time>,
}

/// The state of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum TargetState {
    #[expect(missing_docs, reason = "TargetStatus.state explains them, and docs of variants vanish from a CRD")]
    Pending,
    #[expect(missing_docs, reason = "see above")]
    Delivered,
    #[expect(missing_docs, reason = "see above")]
    Waiting,
    #[expect(missing_docs, reason = "see above")]
    Failed,
}

/// A revision of a Certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// Its number.
    pub revision: i64,
    /// Its serial number.
    pub serial_number: String,
    /// When it begins to be valid.
    pub not_before: Time,
    /// When it ends.
    pub not_after: Time,
    /// Why it was made: Issued, Adopted, Renewal, RenewalOutsideWindow, ManagedRenewal, SpecChanged, Requested, SecretLost, Restored;
    /// with `source.secretRef` Imported, SourceChanged.
    pub trigger: String,
    /// The CertificateRequest that it was signed by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// When the operator stored it.
    pub issued_at: Time,
    /// When every target had it for the first time; without targets, when it was in the Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered_at: Option<Time>,
}
