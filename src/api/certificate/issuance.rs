//! With which key, by whom and when a certificate is issued and renewed.

use crate::api::{schema, shared::KeyKind};
use kube::{KubeSchema, core::Duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// When it opens: minute, hour, day of month, month, day of week, as in `0 2 * * 6`. A time that the clock passes over
    /// in spring does not come that day; one that comes twice in autumn opens twice.
    #[schemars(length(min = 9, max = 100))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9A-Za-z*/,#-]+( [0-9A-Za-z*/,#-]+){4}$')").message("must be five fields with a space between: minute, hour, day of month, month, day of week, such as 0 2 * * 6 (Saturdays at two)"))]
    pub cron: String,
    /// How long it stays open: 5m to 168h.
    #[schemars(schema_with = "schema::window")]
    pub duration: Duration,
    /// The time zone of `cron`, by its IANA name such as Europe/Berlin. Default: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$')").message("must be the IANA name of a time zone, such as Europe/Berlin"))]
    pub time_zone: Option<String>,
}
