//! How to get into an account.

use crate::api::{
    names::{Region, RoleArn},
    schema,
};
use kube::{KubeSchema, core::Duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    #[schemars(length(max = 300))]
    #[x_kube(validation = Rule::new(r"self.matches(r'^https://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?/?$')").message("must be https:// with a host and, if it is not 443, a port, and no path, such as https://vault.example:8200"))]
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
    #[schemars(length(max = 65_536))]
    #[x_kube(validation = Rule::new("self.contains('-----BEGIN CERTIFICATE-----')").message("must be certificates in PEM, each from -----BEGIN CERTIFICATE----- on: the text itself, neither a file's name nor base64 of it"))]
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
