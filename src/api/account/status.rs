//! How an AwsAccount stands.

use crate::api::{
    discovery::DiscoveryStatus,
    names::{AuthorityArn, Region},
    organization::OrganizationStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the operator saw of the account. It is told, never trusted for authority.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AwsAccountStatus {
    /// The generation of the spec that this status is about; -1: none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The account that the credentials lead to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// The identity that the credentials are (STS GetCallerIdentity).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller_arn: Option<String>,
    /// The AWS partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// Other AwsAccounts that lead to the same AWS account, each with its own namespaces, policy and budget; at most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub same_account: Vec<String>,
    /// What is known of the permissions that the account's uses need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<PermissionsStatus>,
    /// The private CAs of the account in its regions; at most 200.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificate_authorities: Vec<AuthorityStatus>,
    /// With a budget: what of it has to outlive the operator's process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetStatus>,
    /// With `organization`: how its members stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<OrganizationStatus>,
    /// With `discovery`: what the last one found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discovery: Option<DiscoveryStatus>,
    /// Of a member: its place, as names from the root down, such as `Root/Payments/Prod`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Of a member: its name in the organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_name: Option<String>,
    /// Of a member: its state in the organization (PENDING_ACTIVATION, ACTIVE, SUSPENDED, PENDING_CLOSURE, CLOSED), or LEFT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Ready, CredentialsValid, PermissionsVerified, OrganizationSynced, Discovered, Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// What is known of the permissions that an account's uses need, by IAM action.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PermissionsStatus {
    /// What it is used for, as `arnkeeper iam-policy --for` names it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uses: Vec<String>,
    /// The actions that IAM does not allow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// The actions that nothing is known of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unverified: Vec<String>,
    /// When the answer came that changed this last: an older one is not written over it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<MicroTime>,
}

/// A private CA, as seen last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthorityStatus {
    /// Its ARN.
    pub arn: AuthorityArn,
    /// Its region.
    pub region: Region,
    /// The common name of its subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub common_name: Option<String>,
    /// CREATING, PENDING_CERTIFICATE, ACTIVE, DISABLED, EXPIRED, FAILED or DELETED.
    pub status: String,
    /// The algorithm of its key, such as RSA_2048 or EC_prime256v1.
    pub key_algorithm: String,
    /// GENERAL_PURPOSE, or SHORT_LIVED_CERTIFICATE (at most 7 days).
    pub usage_mode: String,
    /// When its certificate ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Time>,
}

/// What of a budget has to outlive the operator's process. What stands in the cluster is counted, and not told here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BudgetStatus {
    /// What was asked for by requests that are deleted, by the hour of the last day. Written when it grew by a tenth of the budget.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 30))]
    pub deleted: Vec<HourStatus>,
}

/// What was asked for within an hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HourStatus {
    /// When the hour began.
    pub hour: Time,
    /// How many certificates were asked for.
    pub issues: i64,
}
