//! Parts that several kinds share.

use super::{names::AuthorityArn, schema};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The name of an AwsAccount.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountRef {
    /// Name of the AwsAccount.
    #[schemars(schema_with = "schema::object_name")]
    pub name: String,
}

/// Which private CA signs: by its ARN, or by its common name if only one active CA of the account and region has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.arn) != has(self.name)")
    .message("exactly one of arn and name says which private CA signs"))]
pub struct AuthorityRef {
    /// The CA's ARN. It may lie in another account that shares it by RAM, never in another region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arn: Option<AuthorityArn>,
    /// The CA's common name, in the account and region of the certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub name: Option<String>,
}

/// What a certificate is to say about its holder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Subject {
    /// The main DNS name. It becomes the common name if it has at most 64 characters (RFC 5280, ub-common-name).
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(r"self.matches(r'^(\*\.)?[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$')").message("must be a DNS name in lower case, such as app.pay.example or *.pay.example"))]
    pub domain_name: String,
    /// More DNS names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 253)))]
    #[x_kube(validation = Rule::new(r"self.all(name, name.matches(r'^(\*\.)?[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$'))").message("must be DNS names in lower case, such as app.pay.example or *.pay.example"))]
    pub additional_names: Vec<String>,
    /// IP addresses, version 4 or 6.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 2, max = 45)))]
    #[x_kube(validation = Rule::new("self.all(a, isIP(a))").message("must be IP addresses"))]
    pub ip_addresses: Vec<String>,
    /// URIs, such as a SPIFFE id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 3, max = 1024)))]
    #[x_kube(validation = Rule::new("self.all(uri, uri.matches('^[A-Za-z][A-Za-z0-9+.-]*:[!-~]+$'))").message("must be URIs, such as spiffe://pay.example/shop"))]
    pub uris: Vec<String>,
    /// E-mail addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 3, max = 254)))]
    #[x_kube(validation = Rule::new("self.all(email, email.matches('^[!-?A-~]+@[A-Za-z0-9.-]+$'))").message("must be e-mail addresses, such as pay@example.com"))]
    pub email_addresses: Vec<String>,
    /// Organization (O).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[^\x00-\x1f\x7f]+$"))]
    pub organization: Option<String>,
    /// Organizational unit (OU).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[^\x00-\x1f\x7f]+$"))]
    pub organizational_unit: Option<String>,
    /// Country (C), two letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Z]{2}$')").message("must be two upper-case letters, such as DE"))]
    pub country: Option<String>,
    /// Locality (L).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[^\x00-\x1f\x7f]+$"))]
    pub locality: Option<String>,
    /// State or province (ST).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[^\x00-\x1f\x7f]+$"))]
    pub state: Option<String>,
}

/// A family of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum KeyKind {
    #[expect(missing_docs, reason = "the name says it, and docs of variants vanish from a CRD")]
    RSA,
    #[expect(missing_docs, reason = "the name says it")]
    ECDSA,
}

/// The kind of key to make. Left out, the key is of the CA's own family, since ACM refuses others (ACM user guide, "Prerequisites for importing").
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.size) || (has(self.algorithm) && (self.algorithm == 'RSA' ? self.size in [2048, 3072, 4096] : self.size in [256, 384, 521]))")
    .message("size goes with algorithm: RSA has 2048, 3072 or 4096; ECDSA has 256, 384 or 521"))]
pub struct KeySpec {
    /// RSA or ECDSA; default: the family of the CA's own key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<KeyKind>,
    /// Bits: RSA 2048 (default), 3072, 4096; ECDSA 256 (default), 384, 521.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<i32>,
}

/// Why a signature is wanted. Present, it asks for the signature.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Signature {
    /// Why this certificate is needed, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub justification: Option<String>,
    /// A reason from the organization's own list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub reason: Option<String>,
    /// A code that governance asks for, such as the number of a change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub governance_code: Option<String>,
}

/// What a certificate may be used for (RFC 5280, key usage and extended key usage), by Kubernetes' names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Usage {
    /// digitalSignature.
    #[serde(rename = "digital signature")]
    DigitalSignature,
    /// contentCommitment, formerly nonRepudiation.
    #[serde(rename = "content commitment")]
    ContentCommitment,
    /// keyEncipherment.
    #[serde(rename = "key encipherment")]
    KeyEncipherment,
    /// dataEncipherment.
    #[serde(rename = "data encipherment")]
    DataEncipherment,
    /// keyAgreement.
    #[serde(rename = "key agreement")]
    KeyAgreement,
    /// id-kp-serverAuth.
    #[serde(rename = "server auth")]
    ServerAuth,
    /// id-kp-clientAuth.
    #[serde(rename = "client auth")]
    ClientAuth,
    /// id-kp-codeSigning.
    #[serde(rename = "code signing")]
    CodeSigning,
    /// id-kp-emailProtection.
    #[serde(rename = "email protection")]
    EmailProtection,
    /// id-kp-timeStamping.
    #[serde(rename = "timestamping")]
    TimeStamping,
    /// id-kp-OCSPSigning.
    #[serde(rename = "ocsp signing")]
    OcspSigning,
}

/// Who is responsible for a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// A person or a team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub name: Option<String>,
    /// Where they are reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 254))]
    #[x_kube(validation = Rule::new("self.matches('^[!-?A-~]+@[A-Za-z0-9.-]+$')").message("must be an e-mail address, such as pay@example.com"))]
    pub email: Option<String>,
}

/// Whether it is as it begins: then it is not written.
#[must_use]
pub fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Tags on certificates in ACM.
pub type Tags = BTreeMap<String, String>;
