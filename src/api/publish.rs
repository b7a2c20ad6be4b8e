//! Where the ARN of a target is written, and what came of it.

use super::{names::CertificateArn, schema};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The kinds that are known without their `apiVersion`.
const KNOWN: [(&str, &str); 3] = [("Ingress", "networking.k8s.io/v1"), ("Service", "v1"), ("ConfigMap", "v1")];
/// Nothing is ever published to these: the operator has rights of its own on some, and others give rights by themselves.
const REFUSED_KINDS: [&str; 6] = ["Secret", "ServiceAccount", "Role", "RoleBinding", "Lease", "Event"];
/// The same, for all kinds of an API group.
const REFUSED_GROUPS: [&str; 2] = ["arnkeeper.dev", "rbac.authorization.k8s.io"];

/// A place where the ARN of a target is needed: an annotation of an object, or a key of a ConfigMap, in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.annotation) != has(self.configMapKey)").message("exactly one of annotation and configMapKey is needed"),
    validation = Rule::new("!has(self.configMapKey) || (self.kind == 'ConfigMap' && (!has(self.apiVersion) || self.apiVersion == 'v1'))").message("configMapKey is for a ConfigMap"),
    validation = Rule::new("has(self.apiVersion) || self.kind in ['Ingress', 'Service', 'ConfigMap']").message("apiVersion is needed for every kind but Ingress, Service and ConfigMap"),
    validation = Rule::new("!(self.kind in ['Secret', 'ServiceAccount', 'Role', 'RoleBinding', 'Lease', 'Event']) && (!has(self.apiVersion) || !(self.apiVersion.split('/')[0] in ['arnkeeper.dev', 'rbac.authorization.k8s.io']))")
        .message("nothing is published to this kind of object")
)]
pub struct Publication {
    /// The entry of `acm` whose ARN it is.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub target: String,
    /// The object's apiVersion. Default, for Ingress: networking.k8s.io/v1; for Service and ConfigMap: v1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?v[0-9]+((alpha|beta)[0-9]+)?$')").message("must be a group and a version, such as gateway.networking.k8s.io/v1"))]
    pub api_version: Option<String>,
    /// The object's kind: a namespaced one that the operator may get and patch (value `publish.kinds` of the chart).
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Z][A-Za-z0-9]*$')").message("must be a kind as manifests name it, such as Ingress, not ingresses"))]
    pub kind: String,
    /// The object's name. It is not made by the operator.
    #[schemars(schema_with = "schema::object_name")]
    pub name: String,
    /// The annotation that is set to the ARN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::published_annotation")]
    pub annotation: Option<String>,
    /// The key of the ConfigMap that is set to the ARN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^\\.?[-_a-zA-Z0-9][-._a-zA-Z0-9]*$"))]
    pub config_map_key: Option<String>,
}

impl Publication {
    /// The object.
    #[must_use]
    pub fn object(&self) -> ObjectRef {
        let known = || KNOWN.iter().find(|(kind, _)| *kind == self.kind).map(|(_, version)| (*version).to_owned());
        ObjectRef {
            api_version: self.api_version.clone().or_else(known).unwrap_or_default(),
            kind: self.kind.clone(),
            name: self.name.clone(),
        }
    }

    /// The field in it.
    #[must_use]
    pub fn place(&self) -> Place {
        Place { annotation: self.annotation.clone(), config_map_key: self.config_map_key.clone() }
    }
}

/// An object in the Certificate's namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectRef {
    /// Its apiVersion.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
}

impl ObjectRef {
    /// The API group; empty for the core's.
    #[must_use]
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    /// Whether it is the same object, in whatever version of its API.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        (self.group(), &self.kind, &self.name) == (other.group(), &other.kind, &other.name)
    }

    /// Whether nothing may be published to it. The CRD refuses that, too; a status may say anything.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        REFUSED_KINDS.contains(&&*self.kind) || REFUSED_GROUPS.contains(&self.group())
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.kind, self.name)
    }
}

/// A field of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// An annotation.
    pub annotation: Option<String>,
    /// A key of a ConfigMap.
    pub config_map_key: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.annotation, &self.config_map_key) {
            (Some(annotation), _) => write!(f, "the annotation {annotation}"),
            (None, key) => write!(f, "the key {}", key.as_deref().unwrap_or_default()),
        }
    }
}

/// An object that something is published to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PublishedStatus {
    /// Its apiVersion.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What is written there, or may be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<PublishedField>,
    /// When it was written last; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_at: Option<Time>,
    /// Published, Pending, NotFound, KindNotFound, Conflict, Forbidden, Refused or Unavailable.
    pub state: PublishState,
    /// For people: why the state is not Published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl PublishedStatus {
    /// The object.
    #[must_use]
    pub fn object(&self) -> ObjectRef {
        ObjectRef { api_version: self.api_version.clone(), kind: self.kind.clone(), name: self.name.clone() }
    }
}

/// A field with an ARN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PublishedField {
    /// The annotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotation: Option<String>,
    /// The key of the ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key: Option<String>,
    /// The ARN.
    pub arn: CertificateArn,
}

impl PublishedField {
    /// Which field it is.
    #[must_use]
    pub fn place(&self) -> Place {
        Place { annotation: self.annotation.clone(), config_map_key: self.config_map_key.clone() }
    }

    /// Whether it is this field.
    #[must_use]
    pub fn is_at(&self, place: &Place) -> bool {
        self.annotation == place.annotation && self.config_map_key == place.config_map_key
    }
}

/// How the writing of an ARN stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PublishState {
    #[expect(missing_docs, reason = "README explains them, and docs of variants vanish from a CRD")]
    Published,
    #[expect(missing_docs, reason = "see above")]
    Pending,
    #[expect(missing_docs, reason = "see above")]
    NotFound,
    #[expect(missing_docs, reason = "see above")]
    KindNotFound,
    #[expect(missing_docs, reason = "see above")]
    Conflict,
    #[expect(missing_docs, reason = "see above")]
    Forbidden,
    #[expect(missing_docs, reason = "see above")]
    Refused,
    #[expect(missing_docs, reason = "see above")]
    Unavailable,
}

impl PublishState {
    /// The reason that it gives in the condition.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Published => "Published",
            Self::Pending => "Publishing",
            Self::NotFound => "ObjectNotFound",
            Self::KindNotFound => "KindNotFound",
            Self::Conflict => "FieldConflict",
            Self::Forbidden => "PublishForbidden",
            Self::Refused => "PublishRefused",
            Self::Unavailable => "PublishFailed",
        }
    }

    /// Whether something is in the way.
    #[must_use]
    pub const fn is_trouble(self) -> bool {
        !matches!(self, Self::Published | Self::Pending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(api_version: &str, kind: &str) -> ObjectRef {
        ObjectRef { api_version: api_version.into(), kind: kind.into(), name: "x".into() }
    }

    #[test]
    fn an_object_is_the_same_in_every_version_of_its_api() {
        assert!(at("a.example/v1", "Web").is_same(&at("a.example/v1beta1", "Web")));
        assert!(!at("a.example/v1", "Web").is_same(&at("b.example/v1", "Web")));
        assert!(!at("v1", "Service").is_same(&at("serving.example/v1", "Service")));
    }

    #[test]
    fn what_gives_rights_is_refused() {
        for (version, kind) in [
            ("v1", "Secret"),
            ("v1", "ServiceAccount"),
            ("rbac.authorization.k8s.io/v1", "Role"),
            ("arnkeeper.dev/v1beta1", "Certificate"),
        ] {
            assert!(at(version, kind).is_refused(), "{kind}");
        }
        for (version, kind) in [("v1", "ConfigMap"), ("networking.k8s.io/v1", "Ingress"), ("v1", "Service")] {
            assert!(!at(version, kind).is_refused(), "{kind}");
        }
    }

    #[test]
    fn the_known_kinds_need_no_version() {
        let publication = |kind: &str| -> Publication {
            serde_json::from_value(
                serde_json::json!({ "target": "edge", "kind": kind, "name": "x", "annotation": "a.example/arn" }),
            )
            .unwrap()
        };
        assert_eq!(publication("Ingress").object().api_version, "networking.k8s.io/v1");
        assert_eq!(publication("Service").object().api_version, "v1");
        assert_eq!(publication("ConfigMap").object().group(), "");
    }
}
