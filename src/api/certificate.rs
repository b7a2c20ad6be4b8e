//! Certificate: a certificate that is kept alive, in a Secret and in ACM.

pub use super::discovery::{Found, Management};

use super::{
    names::{CertificateArn, Region, TemplateArn},
    publish::{Publication, PublishedStatus},
    schema,
    shared::{AccountRef, AuthorityRef, KeyKind, Owner, Signature, Subject, Tags, Usage, is_default},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema, core::Duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    printcolumn(name = "Domain", type_ = "string", json_path = ".spec.subject.domainName"),
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

/// Where the certificate comes from: exactly one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.privateCa), has(self.secretRef), has(self.acmManaged)].filter(given, given).size() == 1").message("exactly one source: privateCa, secretRef or acmManaged"))]
pub struct Source {
    /// An AWS private CA signs; the operator makes the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_ca: Option<PrivateCaSource>,
    /// A Secret of type `kubernetes.io/tls` in the same namespace, kept by somebody else, such as cert-manager: what it holds is
    /// delivered to ACM, and again whenever it changes. It is never written to, and nothing is issued or paid for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretSource>,
    /// ACM asks a private CA in `region` of `accountRef`, holds the key and renews. The one entry of `acm` names the certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acm_managed: Option<AcmManagedSource>,
}

/// The one source that a Certificate has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin<'a> {
    /// An AWS private CA signs; the operator makes the key.
    PrivateCa(&'a PrivateCaSource),
    /// Somebody else keeps the pair in a Secret.
    Secret(&'a SecretSource),
    /// ACM asks a private CA, holds the key and renews.
    AcmManaged(&'a AcmManagedSource),
}

impl Source {
    /// The one that is given; none where nothing is issued (`management: Observe`).
    #[must_use]
    pub fn origin(&self) -> Option<Origin<'_>> {
        let managed = || self.acm_managed.as_ref().map(Origin::AcmManaged);
        let secret = || self.secret_ref.as_ref().map(Origin::Secret);
        self.private_ca.as_ref().map(Origin::PrivateCa).or_else(secret).or_else(managed)
    }
}

/// A Secret of somebody else as the source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretSource {
    /// Its name, in the same namespace.
    #[schemars(schema_with = "schema::object_name")]
    pub name: String,
}

/// A private CA as the source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrivateCaSource {
    /// The CA.
    pub certificate_authority: AuthorityRef,
    /// The template of the private CA. Default: chosen from the usages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_arn: Option<TemplateArn>,
}

/// A private CA that ACM itself asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AcmManagedSource {
    /// The CA.
    pub certificate_authority: AuthorityRef,
}

/// The key of a Certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.size) || (has(self.algorithm) && (self.algorithm == 'RSA' ? self.size in [2048, 3072, 4096] : self.size in [256, 384, 521]))")
    .message("size goes with algorithm: RSA has 2048, 3072 or 4096; ECDSA has 256, 384 or 521"))]
pub struct PrivateKeySpec {
    /// RSA or ECDSA; default: the family of the CA's own key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<KeyKind>,
    /// Bits: RSA 2048 (default), 3072, 4096; ECDSA 256 (default), 384, 521.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<i32>,
    /// Always: a new key with every certificate. Never: the key is kept as long as it fits.
    #[serde(default)]
    pub rotation_policy: RotationPolicy,
    /// How `tls.key` is written: PKCS8, or PKCS1 (for ECDSA: SEC1).
    #[serde(default)]
    pub encoding: KeyEncoding,
}

/// Whether a renewal makes a new key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum RotationPolicy {
    #[default]
    #[expect(missing_docs, reason = "the name says it, and docs of variants vanish from a CRD")]
    Always,
    #[expect(missing_docs, reason = "the name says it")]
    Never,
}

/// How a key is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum KeyEncoding {
    #[default]
    #[expect(missing_docs, reason = "the name says it, and docs of variants vanish from a CRD")]
    PKCS8,
    #[expect(missing_docs, reason = "the name says it")]
    PKCS1,
}

/// Who signs the requests that are made for a Certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Issuance {
    /// The first certificate. Automatic: the operator signs its own request. RequestOnly: the request waits for its
    /// `signature`, which a person adds.
    #[serde(default)]
    pub first: FirstIssuance,
    /// All later ones. Disabled: nothing is renewed because its time has come; a changed spec, a lost Secret and the
    /// annotation that asks for a renewal are answered all the same.
    #[serde(default)]
    pub renewals: Renewals,
}

/// Who signs the first certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum FirstIssuance {
    #[default]
    #[expect(missing_docs, reason = "Issuance.first explains them, and docs of variants vanish from a CRD")]
    Automatic,
    #[expect(missing_docs, reason = "see above")]
    RequestOnly,
}

/// Whether later certificates are asked for, and who signs them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Renewals {
    #[default]
    #[expect(missing_docs, reason = "Issuance.renewals explains them, and docs of variants vanish from a CRD")]
    Automatic,
    #[expect(missing_docs, reason = "see above")]
    RequestOnly,
    #[expect(missing_docs, reason = "see above")]
    Disabled,
}

/// When to renew.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.before) && has(self.beforePercent))").message("only one of before and beforePercent"))]
pub struct Renewal {
    /// So long before the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_positive_duration")]
    pub before: Option<Duration>,
    /// When so many percent of the lifetime are left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 99))]
    pub before_percent: Option<i32>,
    /// Renewals whose time has come begin only while one of these is open. If none opens in good time before the end, the
    /// renewal is made outside of them, and told so. Absent: any time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub windows: Vec<Window>,
}

/// A time in which renewals may begin, again and again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// When it opens: minute, hour, day of month, month, day of week, as in `0 2 * * 6`. A time that the clock passes over
    /// in spring does not come that day; one that comes twice in autumn opens twice.
    #[schemars(length(min = 9, max = 100), regex(pattern = "^[0-9A-Za-z*/,#-]+( [0-9A-Za-z*/,#-]+){4}$"))]
    pub cron: String,
    /// How long it stays open: 5m to 168h.
    #[schemars(schema_with = "schema::window")]
    pub duration: Duration,
    /// The time zone of `cron`, by its IANA name such as Europe/Berlin. Default: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$"))]
    pub time_zone: Option<String>,
}

/// The Secret of a Certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretSpec {
    /// Its name, in the same namespace.
    #[schemars(schema_with = "schema::object_name")]
    pub name: String,
    /// What becomes of it when the Certificate is deleted. Retain: it stays, so that a pruned manifest is no outage.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// Labels and annotations that it gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<SecretTemplate>,
    /// Keystores for Java that it holds besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keystores: Option<Keystores>,
}

/// Keystores in a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Keystores {
    /// PKCS#12: `keystore.p12` with key and chain, and `truststore.p12` with the root.
    pub pkcs12: Pkcs12,
}

/// A PKCS#12 keystore and truststore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pkcs12 {
    /// The password of both, in a Secret of the same namespace.
    pub password_secret_ref: SecretKeyRef,
    /// How they are encrypted. Modern2023: AES-256, read from Java 8u301 on. LegacyDES: Triple DES, read by every Java 8; weak.
    #[serde(default)]
    pub profile: KeystoreProfile,
}

/// A key of a Secret in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(schema_with = "schema::object_name")]
    pub name: String,
    /// The key in it.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// How keystores are encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum KeystoreProfile {
    #[default]
    #[expect(missing_docs, reason = "Pkcs12.profile explains them, and docs of variants vanish from a CRD")]
    Modern2023,
    #[expect(missing_docs, reason = "see above")]
    LegacyDES,
}

/// Labels and annotations of a Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretTemplate {
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::labels")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::annotations")]
    pub annotations: BTreeMap<String, String>,
}

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
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
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

/// How the certificate stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateStatus {
    /// The generation of the spec that this status is about; -1: none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
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
