//! AwsAccount: an AWS account, how to get into it, and who may use it.

mod credentials;
mod status;

pub use credentials::{
    AccessKeys, AssumeRole, AwsSecret, Credentials, DefaultChain, FieldNames, FromAccount, NamedProfile, SecretRef,
    SecretsManager, SessionDuration, VaultSecret,
};
pub use status::{AuthorityStatus, AwsAccountStatus, BudgetStatus, HourStatus, PermissionsStatus};

use super::{
    discovery::Discovery,
    names::{AccountId, Region},
    organization::Organization,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An AWS account that certificates are issued from and delivered to.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "arnkeeper.dev",
    version = "v1beta1",
    kind = "AwsAccount",
    plural = "awsaccounts",
    singular = "awsaccount",
    shortname = "awsacct",
    category = "arnkeeper",
    status = "AwsAccountStatus",
    derive = "PartialEq",
    doc = "An AWS account that certificates are issued from and delivered to: how to get into it, and who may use it.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Account", type_ = "string", json_path = ".status.accountId"),
    printcolumn(name = "Regions", type_ = "string", json_path = ".spec.regions"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Caller", type_ = "string", json_path = ".status.callerArn", priority = 1),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].message",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.organization) && has(self.credentials) && has(self.credentials.fromAccount))")
    .message("a member of an organization has no organization of its own"))]
#[x_kube(validation = Rule::new("['cn-', 'us-gov-', 'us-iso-', 'us-isob-', 'us-isof-', 'eu-isoe-', 'eusc-'].all(p, self.regions.all(r, r.startsWith(p) == self.regions[0].startsWith(p)))")
    .message("the regions of an account are all of one AWS partition"))]
#[x_kube(validation = Rule::new("!has(self.organization) || !has(self.organization.rules) || self.organization.rules.all(rule, !has(rule.set.regions) || ['cn-', 'us-gov-', 'us-iso-', 'us-isob-', 'us-isof-', 'eu-isoe-', 'eusc-'].all(p, rule.set.regions.all(r, r.startsWith(p) == self.regions[0].startsWith(p))))")
    .message("the regions of an organization's members are of its own AWS partition"))]
pub struct AwsAccountSpec {
    /// The account that the credentials must lead to. Left out, any account is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<AccountId>,
    /// False: no AWS call is made for this account.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// How to authenticate. Left out, AWS's default provider chain: environment, IRSA, EKS Pod Identity, instance profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// Roles to assume, one after the other, beginning with the credentials above.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5))]
    pub assume_roles: Vec<AssumeRole>,
    /// The regions that may be used.
    #[schemars(length(min = 1, max = 40))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub regions: Vec<Region>,
    /// The namespaces that may use this account. Left out: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_namespaces: Option<AllowedNamespaces>,
    /// Default of the targets' `reimport`: whether a renewal keeps the ARN.
    #[serde(default = "yes")]
    pub reimport: bool,
    /// What may be done here at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// Present: every active member of the account's AWS organization gets an AwsAccount of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<Organization>,
    /// Present: the certificates that are in ACM, in the regions above, are shown as Certificates with `management: Observe`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discovery: Option<Discovery>,
    /// Requests a second that AWS granted in each region, by operation, where they differ from AWS's published quotas.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "quotas")]
    pub quotas: BTreeMap<String, i32>,
    /// How much may be bought through this AwsAccount, by all namespaces together. Left out: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<AccountBudget>,
}

/// What may be done through an AwsAccount at all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// Which certificates in ACM a target's `certificateArn` may take over. Deny (default): none. Consent: those with the tag
    /// `arnkeeper.dev/adopt-by: <namespace>/<name>` of the Certificate. Any: all but those of other Certificates.
    #[serde(default)]
    pub adoption: Adoption,
}

/// Which certificates in ACM may be taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Adoption {
    #[default]
    #[expect(missing_docs, reason = "Policy.adoption explains them, and docs of variants vanish from a CRD")]
    Deny,
    #[expect(missing_docs, reason = "see above")]
    Consent,
    #[expect(missing_docs, reason = "see above")]
    Any,
}

/// How much may be bought through an AwsAccount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountBudget {
    /// How many times certificates may be asked for within a day, counted by the hour: each counts for 24 to 25 hours. An attempt
    /// whose answer was lost counts, too, and so does what was deleted since.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub issues_per_day: i32,
}

fn yes() -> bool {
    true
}

/// The names in `quotas`. ACM and Private CA both have a GetCertificate, so that one is named with its service.
pub const QUOTAS: [&str; 17] = [
    "ImportCertificate",
    "ListCertificates",
    "DescribeCertificate",
    "acm:GetCertificate",
    "ListTagsForCertificate",
    "AddTagsToCertificate",
    "RemoveTagsFromCertificate",
    "DeleteCertificate",
    "IssueCertificate",
    "acm-pca:GetCertificate",
    "DescribeCertificateAuthority",
    "ListCertificateAuthorities",
    "GetCertificateAuthorityCertificate",
    "ListAccounts",
    "RequestCertificate",
    "RenewCertificate",
    "ExportCertificate",
];

fn quotas(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "maxProperties": QUOTAS.len(),
        "additionalProperties": { "type": "integer", "format": "int32", "minimum": 1, "maximum": 10_000 },
        "x-kubernetes-validations": [
            {
                "rule": "!('GetCertificate' in self)",
                "message": "GetCertificate is an operation of two services: write acm:GetCertificate or acm-pca:GetCertificate",
            },
            {
                "rule": format!("self.all(k, k == 'GetCertificate' || k in ['{}'])", QUOTAS.join("', '")),
                "message": format!("a quota is named after an operation that is used: {}", QUOTAS.join(", ")),
            },
        ],
    })
}

/// Which namespaces may use an account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.selector) || !has(self.selector.matchExpressions) || self.selector.matchExpressions.all(e, e.operator in ['In', 'NotIn'] ? has(e.values) && size(e.values) > 0 : e.operator in ['Exists', 'DoesNotExist'] && (!has(e.values) || size(e.values) == 0))")
    .message("selector.matchExpressions: operator is In or NotIn with values, or Exists or DoesNotExist without"),
    validation = Rule::new("self.from == 'Names' ? (has(self.names) && !has(self.selector)) : self.from == 'Selector' ? (has(self.selector) && !has(self.names)) : (!has(self.names) && !has(self.selector))")
    .message("names goes with `from: Names`, selector with `from: Selector`, and neither with `from: All`"))]
pub struct AllowedNamespaces {
    /// How the namespaces are named.
    pub from: NamespacesFrom,
    /// With `from: Names`: the namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000), inner(length(min = 1, max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub names: Option<Vec<String>>,
    /// With `from: Selector`: the labels of the namespaces. An empty selector selects none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

/// How the namespaces that may use an account are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NamespacesFrom {
    #[expect(missing_docs, reason = "the name says it, and docs of variants vanish from a CRD")]
    All,
    #[expect(missing_docs, reason = "the name says it")]
    Names,
    #[expect(missing_docs, reason = "the name says it")]
    Selector,
}
