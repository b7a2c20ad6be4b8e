//! CertificateRequest: one signature of a private CA, once.

use super::{
    names::{IssuedArn, Region, TemplateArn},
    schema,
    shared::{AccountRef, AuthorityRef, KeySpec, Signature, Subject, Tags, Usage},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema, core::Duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One signature of a private CA: made from a CSR or a subject, signed once, never changed.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "arnkeeper.dev",
    version = "v1beta1",
    kind = "CertificateRequest",
    plural = "awscertificaterequests",
    singular = "awscertificaterequest",
    shortname = "awscr",
    category = "arnkeeper",
    namespaced,
    status = "CertificateRequestStatus",
    derive = "PartialEq",
    validation = Rule::new("size(self.metadata.name) <= 249").message("the name must have at most 249 characters: the name of its key is made from it"),
    validation = Rule::new("!has(self.spec.secretName) || self.spec.secretName != self.metadata.name + '-key'").message("spec.secretName must not be <name>-key: the key on its way has this name"),
    doc = "One signature of an AWS private CA: made from a CSR or a subject, signed once, never changed.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Account", type_ = "string", json_path = ".spec.accountRef.name"),
    printcolumn(name = "Expires", type_ = "string", json_path = ".status.notAfter"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Serial", type_ = "string", json_path = ".status.serialNumber", priority = 1),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].message",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.csr) != has(self.subject)").message("exactly one of csr and subject says what is to be signed"),
    validation = Rule::new("has(self.subject) == has(self.secretName)").message("secretName goes with subject: it is where the operator puts the key that it makes"),
    validation = Rule::new("!has(self.privateKey) || has(self.subject)").message("privateKey goes with subject: a csr has its own key"),
    validation = Rule::new("self.accountRef == oldSelf.accountRef && self.region == oldSelf.region && self.certificateAuthority == oldSelf.certificateAuthority && has(self.csr) == has(oldSelf.csr) && (!has(self.csr) || self.csr == oldSelf.csr) && has(self.subject) == has(oldSelf.subject) && (!has(self.subject) || self.subject == oldSelf.subject) && has(self.privateKey) == has(oldSelf.privateKey) && (!has(self.privateKey) || self.privateKey == oldSelf.privateKey) && has(self.secretName) == has(oldSelf.secretName) && (!has(self.secretName) || self.secretName == oldSelf.secretName) && has(self.usages) == has(oldSelf.usages) && (!has(self.usages) || self.usages == oldSelf.usages) && self.duration == oldSelf.duration && has(self.templateArn) == has(oldSelf.templateArn) && (!has(self.templateArn) || self.templateArn == oldSelf.templateArn) && has(self.tags) == has(oldSelf.tags) && (!has(self.tags) || self.tags == oldSelf.tags)")
        .message("a request can't be changed: only signature may be added, once; make a new request"),
    validation = Rule::new("!has(oldSelf.signature) || (has(self.signature) && self.signature == oldSelf.signature)")
        .message("signature can't be changed or taken back once it was given"),
    validation = Rule::new("!has(self.certificateAuthority.arn) || self.certificateAuthority.arn.split(':').size() < 4 || self.certificateAuthority.arn.split(':')[3] == self.region")
        .message("certificateAuthority.arn must lie in region")
)]
pub struct CertificateRequestSpec {
    /// The account whose private CA signs.
    pub account_ref: AccountRef,
    /// The region of the CA.
    pub region: Region,
    /// The private CA that signs.
    pub certificate_authority: AuthorityRef,
    /// A certificate signing request in PEM, at most 32,768 bytes (Private CA API reference, IssueCertificate).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32768))]
    #[x_kube(validation = Rule::new("self.startsWith('-----BEGIN ')").message("must be a certificate signing request in PEM: -----BEGIN CERTIFICATE REQUEST-----"))]
    pub csr: Option<String>,
    /// What to sign, instead of a CSR: the operator makes the key and puts it into `secretName`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Subject>,
    /// With subject: the key to make.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_key: Option<KeySpec>,
    /// With subject: the Secret, in the same namespace, that key and certificate are put into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_object_name")]
    pub secret_name: Option<String>,
    /// What the certificate may be used for. Default: digital signature, key encipherment, server auth, client auth.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 11))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub usages: Vec<Usage>,
    /// How long the certificate lasts, an hour at least. Default: 2160h.
    #[serde(default = "default_duration")]
    #[schemars(schema_with = "schema::lifetime")]
    pub duration: Duration,
    /// The template of the private CA. Default: chosen from the usages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_arn: Option<TemplateArn>,
    /// Tags for the certificate in ACM. Certificates in a private CA carry none.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    #[schemars(schema_with = "schema::tags")]
    pub tags: Tags,
    /// Asks for the signature. Until it is there, the request waits; it is added once and never changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
}

/// Ninety days.
pub(super) fn default_duration() -> Duration {
    Duration::from(std::time::Duration::from_hours(2160))
}

/// What became of the request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateRequestStatus {
    /// The generation of the spec that this status is about; -1: none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The attempt to have it signed, recorded before IssueCertificate is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<Attempt>,
    /// The ARN of the certificate in the private CA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_arn: Option<IssuedArn>,
    /// The certificate, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// Its chain, PEM, the issuer first and the root last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<String>,
    /// Its serial number, hexadecimal with colons as AWS shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial_number: Option<String>,
    /// When it begins to be valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Time>,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Time>,
    /// Approved, Ready, Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// An attempt to have a request signed. A repeat of the same attempt asks for the same certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Counts from 1.
    pub number: i32,
    /// When it was recorded, by the API server's clock.
    pub at: Time,
    /// The end of validity that is asked for.
    pub not_after: Time,
}
