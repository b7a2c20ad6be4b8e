//! Certificate: a certificate that is kept alive, in a Secret and in ACM.

mod issuance;
mod secret;
mod source;
mod status;
mod target;

pub use super::discovery::{Found, Management};
pub use issuance::{FirstIssuance, Issuance, KeyEncoding, PrivateKeySpec, Renewal, Renewals, RotationPolicy, Window};
pub use secret::{KeystoreProfile, Keystores, Pkcs12, SecretKeyRef, SecretSpec, SecretTemplate};
pub use source::{AcmManagedSource, Origin, PrivateCaSource, SecretSource, Source};
pub use status::{
    AdoptionStatus, CertificateStatus, HistoryEntry, ManagedStatus, NextStep, RequestedRenewal, TargetState,
    TargetStatus,
};
pub use target::{DeletionPolicy, Target};

use super::{
    names::Region,
    publish::Publication,
    schema,
    shared::{AccountRef, Owner, Signature, Subject, Usage, is_default},
};
use kube::{CustomResource, KubeSchema, core::Duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A certificate that is kept alive for years: issued, kept in a Secret, delivered to ACM, renewed under the ARN it has.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "arnkeeper.dev",
    version = "v1beta1",
    kind = "Certificate",
    plural = "awscertificates",
    singular = "awscertificate",
    shortname = "awscert",
    category = "arnkeeper",
    namespaced,
    status = "CertificateStatus",
    derive = "PartialEq",
    doc = "A certificate that is kept alive for years: issued by an AWS private CA, kept in a Secret, delivered to ACM, renewed under the ARN it has.",
    validation = Rule::new("size(self.metadata.name) <= 235").message("the name must have at most 235 characters: the names of its requests and keys are made from it"),
    validation = Rule::new("!has(self.spec.secret) || !(self.spec.secret.name.startsWith(self.metadata.name + '-') && self.spec.secret.name.endsWith('-key'))").message("spec.secret.name must not be <name>-…-key: keys on their way have such names"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Domain", type_ = "string", json_path = ".status.domainName"),
    printcolumn(name = "Expires", type_ = "string", json_path = ".status.notAfter"),
    printcolumn(name = "Renews", type_ = "string", json_path = ".status.renewalTime"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "ARN", type_ = "string", json_path = ".status.targets[*].arn", priority = 1),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].message", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.accountRef == oldSelf.accountRef || (has(oldSelf.management) && oldSelf.management == 'Observe')").message("accountRef can't be changed: make another Certificate"),
    validation = Rule::new("self.region == oldSelf.region || (has(oldSelf.management) && oldSelf.management == 'Observe')").message("region can't be changed: make another Certificate"),
    validation = Rule::new("(has(self.management) && self.management == 'Observe') || (has(self.source) && (has(self.source.secretRef) || (has(self.subject) && (has(self.secret) || has(self.source.acmManaged)))))")
        .message("source, subject and secret are needed, unless management is Observe; with source.acmManaged, secret may be left out; with source.secretRef, source alone"),
    validation = Rule::new("!has(self.source) || !has(self.source.secretRef) || !(has(self.subject) || has(self.secret) || has(self.usages) || has(self.privateKey) || has(self.issuance) || has(self.renewal) || has(self.signature) || has(self.budget))")
        .message("with source.secretRef the pair is taken as it is: subject, secret, usages, privateKey, issuance, renewal, signature and budget don't go with it"),
    validation = Rule::new("!has(self.source) || !has(self.source.secretRef) || (has(self.acm) && size(self.acm) > 0)")
        .message("with source.secretRef at least one entry of acm is needed: what is in the Secret is delivered there"),
    validation = Rule::new("!(has(self.management) && self.management == 'Observe') || (has(self.acm) && size(self.acm) == 1 && has(self.acm[0].certificateArn))")
        .message("with management Observe, acm has one entry, with certificateArn: the certificate to watch"),
    validation = Rule::new("!(has(self.management) && self.management == 'Observe') || !has(self.acm) || size(self.acm) != 1 || !has(self.acm[0].certificateArn) || self.acm[0].certificateArn.split(':').size() < 4 || self.acm[0].certificateArn.split(':')[3] == (has(self.acm[0].region) ? self.acm[0].region : self.region)")
        .message("with management Observe, acm[0].certificateArn must lie in its region"),
    validation = Rule::new("!has(self.source) || !has(self.source.privateCa) || !has(self.source.privateCa.certificateAuthority.arn) || self.source.privateCa.certificateAuthority.arn.split(':').size() < 4 || self.source.privateCa.certificateAuthority.arn.split(':')[3] == self.region")
        .message("source.privateCa.certificateAuthority.arn must lie in region"),
    validation = Rule::new("!has(self.renewal) || !has(self.renewal.before) || !self.renewal.before.matches('^[0-9hms]+$') || !self.duration.matches('^[0-9hms]+$') || duration(self.renewal.before) < duration(self.duration)")
        .message("renewal.before must be shorter than duration"),
    validation = Rule::new("!has(self.publish) || self.publish.all(p, has(self.acm) && self.acm.exists(t, t.name == p.target))")
        .message("the target of each entry of publish must be an entry of acm"),
    validation = Rule::new("!has(self.publish) || self.publish.all(p, self.publish.exists_one(q, p.kind == q.kind && p.name == q.name && (has(p.annotation) ? has(q.annotation) && p.annotation == q.annotation : has(p.configMapKey) && has(q.configMapKey) && p.configMapKey == q.configMapKey) && (has(p.apiVersion) && p.apiVersion.contains('/') ? p.apiVersion.split('/')[0] : (p.kind == 'Ingress' ? 'networking.k8s.io' : '')) == (has(q.apiVersion) && q.apiVersion.contains('/') ? q.apiVersion.split('/')[0] : (q.kind == 'Ingress' ? 'networking.k8s.io' : ''))))")
        .message("two entries of publish are for the same field"),
    validation = Rule::new("!has(self.acm) || self.acm.all(t, !has(t.certificateArn) || t.certificateArn.contains(':acm:' + (has(t.region) ? t.region : self.region) + ':'))")
        .message("certificateArn of a target must lie in the target's region"),
    validation = Rule::new("!has(self.source) || !has(self.source.acmManaged) || !has(self.source.acmManaged.certificateAuthority.arn) || self.source.acmManaged.certificateAuthority.arn.split(':').size() < 4 || self.source.acmManaged.certificateAuthority.arn.split(':')[3] == self.region")
        .message("source.acmManaged.certificateAuthority.arn must lie in region"),
    validation = Rule::new("!has(self.source) || !has(self.source.acmManaged) || !has(self.subject) || (size(self.subject.domainName) <= 64 && !has(self.subject.ipAddresses) && !has(self.subject.uris) && !has(self.subject.emailAddresses) && !has(self.subject.organization) && !has(self.subject.organizationalUnit) && !has(self.subject.country) && !has(self.subject.locality) && !has(self.subject.state))")
        .message("with source.acmManaged, subject has domainName, of at most 64 characters, and additionalNames, and nothing else: ACM takes no more"),
    validation = Rule::new("!has(self.source) || !has(self.source.acmManaged) || !(has(self.usages) || has(self.issuance) || has(self.renewal) || has(self.signature) || (self.duration.matches('^[0-9hms]+$') && duration(self.duration) != duration('2160h')))")
        .message("with source.acmManaged, ACM decides on usages, on how long it lasts and on when it is renewed: leave out usages, duration, renewal, issuance and signature"),
    validation = Rule::new("!has(self.source) || !has(self.source.acmManaged) || !has(self.privateKey) || ((!has(self.privateKey.size) || self.privateKey.size in [2048, 256, 384]) && (!has(self.privateKey.rotationPolicy) || self.privateKey.rotationPolicy == 'Always'))")
        .message("with source.acmManaged, ACM makes the key: RSA 2048 or ECDSA 256 or 384, and no rotationPolicy: Never"),
    validation = Rule::new("!has(self.source) || !has(self.source.acmManaged) || (has(self.acm) && size(self.acm) == 1 && !has(self.acm[0].accountRef) && !has(self.acm[0].region) && !has(self.acm[0].certificateArn) && !has(self.acm[0].reimport))")
        .message("with source.acmManaged, acm has one entry, for the certificate in spec.region of spec.accountRef: without accountRef, region, certificateArn and reimport"),
    validation = Rule::new("(has(self.management) && self.management == 'Observe') || (has(oldSelf.management) && oldSelf.management == 'Observe') || (has(self.source) && has(self.source.acmManaged)) == (has(oldSelf.source) && has(oldSelf.source.acmManaged))")
        .message("source can't be changed to acmManaged, or from it: who holds the key changes, and with it the ARN; make another Certificate"),
    validation = Rule::new("!has(self.source) || !has(self.source.acmManaged) || !has(oldSelf.source) || !has(oldSelf.source.acmManaged) || !has(self.subject) || !has(oldSelf.subject) || !has(self.acm) || !has(oldSelf.acm) || (self.source == oldSelf.source && self.subject == oldSelf.subject && size(self.acm) == 1 && size(oldSelf.acm) == 1 && self.acm[0].name == oldSelf.acm[0].name && (has(self.privateKey) && has(self.privateKey.algorithm) ? self.privateKey.algorithm : '') == (has(oldSelf.privateKey) && has(oldSelf.privateKey.algorithm) ? oldSelf.privateKey.algorithm : '') && (has(self.privateKey) && has(self.privateKey.size) ? self.privateKey.size : 0) == (has(oldSelf.privateKey) && has(oldSelf.privateKey.size) ? oldSelf.privateKey.size : 0))")
        .message("ACM can't change a certificate that it issued: with source.acmManaged, source, subject, algorithm and size of privateKey and the name in acm stay as they are; make another Certificate, which has an ARN of its own")
)]
pub struct CertificateSpec {
    /// False: nothing is issued, renewed or imported; what is there stays as it is.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Managed: it is issued, delivered and renewed. Observe: what ACM has under `acm[0].certificateArn` is watched, and nothing is
    /// ever written to AWS.
    #[serde(default)]
    pub management: Management,
    /// The account whose private CA signs, and the default account of the targets; with `management: Observe`, the account to look in.
    pub account_ref: AccountRef,
    /// The region of the CA, and the default region of the targets.
    pub region: Region,
    /// Where the certificate comes from. Needed unless `management` is Observe.
    #[serde(default, skip_serializing_if = "is_default")]
    pub source: Source,
    /// What it says about its holder. Needed unless `management` is Observe or the source is a Secret.
    #[serde(default, skip_serializing_if = "is_default")]
    pub subject: Subject,
    /// What it may be used for. Default: digital signature, key encipherment, server auth, client auth.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 11))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub usages: Vec<Usage>,
    /// How long each certificate lasts, an hour at least. Default: 2160h.
    #[serde(default = "super::request::default_duration")]
    #[schemars(schema_with = "schema::lifetime")]
    pub duration: Duration,
    /// The key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_key: Option<PrivateKeySpec>,
    /// Who signs: the operator by itself (default), or people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuance: Option<Issuance>,
    /// When to renew. Default: when a third of the lifetime is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewal: Option<Renewal>,
    /// What goes into the requests that are made for this Certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
    /// The Secret that key, certificate and chain are kept in. Needed unless `management` is Observe, the source is a Secret, or it is
    /// `acmManaged`: left out there, the key never leaves ACM.
    #[serde(default, skip_serializing_if = "is_default")]
    pub secret: SecretSpec,
    /// Where in ACM the certificate is delivered to; with `source.acmManaged`, one entry: the certificate that ACM keeps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub acm: Vec<Target>,
    /// Where the ARNs of the targets are written, in the same namespace: by server-side apply of these fields alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub publish: Vec<Publication>,
    /// Who is responsible for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// How much may be bought. Default: 5 a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// How many revisions `status.history` remembers. Default: 10.
    #[serde(default = "default_history_limit")]
    #[schemars(range(min = 1, max = 100))]
    pub history_limit: i32,
}

fn yes() -> bool {
    true
}

fn default_history_limit() -> i32 {
    10
}

impl CertificateSpec {
    /// Whether it is only watched.
    #[must_use]
    pub fn is_observed(&self) -> bool {
        self.management == Management::Observe
    }

    /// The Secret of somebody else that its certificate is taken from, if that is its source.
    #[must_use]
    pub fn source_secret(&self) -> Option<&str> {
        match self.source.origin() {
            Some(Origin::Secret(source)) => Some(&source.name),
            _ => None,
        }
    }

    /// The Secret that it looks at: its source, or the one that it is kept in; none where it needs none.
    #[must_use]
    pub fn secret_in_view(&self) -> Option<&str> {
        let own = Some(&*self.secret.name).filter(|name| !name.is_empty());
        self.source_secret().or(own).filter(|_| !self.is_observed())
    }
}

/// How much a Certificate may buy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Budget {
    /// How many times a certificate may be asked for within 24 hours; an attempt whose answer was lost counts. With
    /// `source.acmManaged`, renewals that a person asks for count, those that ACM begins do not.
    #[schemars(range(min = 1, max = 100))]
    pub issues_per_day: i32,
}
