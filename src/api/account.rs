//! AwsAccount: an AWS account, how to get into it, and who may use it.

use super::{
    discovery::{Discovery, DiscoveryStatus},
    names::{AccountId, AuthorityArn, Region, RoleArn},
    organization::{Organization, OrganizationStatus},
    schema,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector, MicroTime, Time};
use kube::{CustomResource, KubeSchema, core::Duration};
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

/// How to authenticate: exactly one way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.accessKeys), has(self.secretsManager), has(self.profile), has(self.default), has(self.fromAccount)].filter(given, given).size() == 1")
    .message("exactly one way to authenticate: accessKeys, secretsManager, profile, default or fromAccount"))]
pub struct Credentials {
    /// Access keys in a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_keys: Option<AccessKeys>,
    /// Access keys in a secrets manager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets_manager: Option<SecretsManager>,
    /// A profile of the config and credentials files that the operator has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<NamedProfile>,
    /// AWS's default provider chain, in the operator's own environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<DefaultChain>,
    /// The way into an organization. The operator makes it for the organization's members, and takes it in those only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_account: Option<FromAccount>,
}

/// The AwsAccount of an organization, through whose management account its members are entered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FromAccount {
    /// Name of the AwsAccount with `organization`.
    #[schemars(schema_with = "schema::object_name")]
    pub name: String,
}

/// Access keys in a Secret of the operator's own namespace, under `accessKeyId`, `secretAccessKey` and, optionally, `sessionToken`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessKeys {
    /// The Secret.
    pub secret_ref: SecretRef,
}

/// Access keys in a secrets manager: exactly one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.aws) != has(self.vault)").message("exactly one secrets manager: aws or vault"))]
pub struct SecretsManager {
    /// AWS Secrets Manager, read with the operator's own identity (AWS's default provider chain).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws: Option<AwsSecret>,
    /// HashiCorp Vault, entered by its Kubernetes auth method with the operator's own token (Helm value `vault.enabled`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vault: Option<VaultSecret>,
}

/// A secret in Vault's KV secrets engine, version 2: `accessKeyId`, `secretAccessKey` and, optionally, `sessionToken`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[self.path, has(self.mount) ? self.mount : '', has(self.authMount) ? self.authMount : ''].all(p, p.split('/').all(s, s != '.' && s != '..'))")
    .message("path, mount and authMount have no parts . or .."))]
pub struct VaultSecret {
    /// Where Vault is, such as `https://vault.example:8200`.
    #[schemars(length(max = 300), regex(pattern = r"^https://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?/?$"))]
    pub address: String,
    /// The namespace, in Vault Enterprise and HCP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^[A-Za-z0-9_./-]+$"))]
    pub namespace: Option<String>,
    /// The role of the Kubernetes auth method.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9_.-]+$"))]
    pub role: String,
    /// Where the Kubernetes auth method is mounted.
    #[serde(default = "kubernetes")]
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$"))]
    pub auth_mount: String,
    /// Where the KV engine is mounted.
    #[serde(default = "secret")]
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$"))]
    pub mount: String,
    /// The secret's path in the engine, without `data/`.
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^[A-Za-z0-9_.@:+=~,-]+(/[A-Za-z0-9_.@:+=~,-]+)*$"))]
    pub path: String,
    /// The CAs that Vault's certificate may be signed by, in PEM. Left out: those that the operator trusts (Helm value `caBundle`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65_536), regex(pattern = "-----BEGIN CERTIFICATE-----"))]
    pub ca_bundle: Option<String>,
    /// What its fields are called, where they are not called so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<FieldNames>,
}

fn kubernetes() -> String {
    "kubernetes".to_owned()
}

fn secret() -> String {
    "secret".to_owned()
}

/// A secret in AWS Secrets Manager: a JSON object with `accessKeyId`, `secretAccessKey` and, optionally, `sessionToken`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!self.secretId.startsWith('arn:') || (self.secretId.split(':').size() == 7 && self.secretId.split(':')[2] == 'secretsmanager' && self.secretId.split(':')[3] == self.region)")
    .message("secretId: an ARN has to be one of a secret in Secrets Manager, in the region given"))]
pub struct AwsSecret {
    /// Its name, or its ARN (one of another account can only be given by ARN): at most 2,048 characters (Secrets Manager API
    /// reference, GetSecretValue).
    #[schemars(length(min = 1, max = 2048), regex(pattern = r"^[A-Za-z0-9/_+=.@:-]+$"))]
    pub secret_id: String,
    /// Its region.
    pub region: Region,
    /// What its fields are called, where they are not called so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<FieldNames>,
}

/// What the fields of a secret with access keys are called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FieldNames {
    /// The access key id; default: `accessKeyId`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub access_key_id: Option<String>,
    /// The secret access key; default: `secretAccessKey`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub secret_access_key: Option<String>,
    /// The session token of temporary credentials; default: `sessionToken`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub session_token: Option<String>,
}

/// A profile of the files that `AWS_CONFIG_FILE` and `AWS_SHARED_CREDENTIALS_FILE` name in the operator's environment (Helm value
/// `aws.profiles.secret`). Only its credentials are taken, not its region.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamedProfile {
    /// Its name: what stands in the brackets of the file, without `profile`.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9_./%@:+-]+$"))]
    pub name: String,
}

/// The name of a Secret in the operator's own namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// Name of the Secret.
    #[schemars(schema_with = "schema::object_name")]
    pub name: String,
}

/// AWS's default provider chain; it has no settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DefaultChain {}

/// One `sts:AssumeRole`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AssumeRole {
    /// The role.
    pub role_arn: RoleArn,
    /// The ExternalId that the role's trust policy asks for: 2 to 1,224 characters (STS API reference, AssumeRole).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 1224), regex(pattern = r"^[\w+=,.@:/-]*$"))]
    pub external_id: Option<String>,
    /// How long a session lasts: 15m to 12h, at most 1h for every role after the first (STS: role chaining). Default: 1h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "session_duration")]
    pub duration: Option<SessionDuration>,
}

/// A Go-style duration of an STS session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionDuration(pub Duration);

impl std::hash::Hash for SessionDuration {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        std::time::Duration::from(self.0).hash(state);
    }
}

fn session_duration(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "string",
        "nullable": true,
        "maxLength": 32,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^([0-9]{1,2}h)?([0-9]{1,3}m)?([0-9]{1,5}s)?$') && size(self) > 1 && duration(self) >= duration('15m') && duration(self) <= duration('12h')",
            "message": "a session lasts from 15m to 12h",
        }],
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
