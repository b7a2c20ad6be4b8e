//! What the derived schemas lack: Go-style durations, and the status that a new object starts with.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use schemars::{Schema, SchemaGenerator, json_schema};

/// Hours, minutes, seconds: few enough digits for a signed 64-bit count of nanoseconds.
const DURATION: &str = "^([0-9]{1,6}h)?([0-9]{1,7}m)?([0-9]{1,9}s)?$";

/// Expressions of a label selector.
const MOST_EXPRESSIONS: i64 = 100;

/// How long a certificate lasts, as a Go-style duration (`2160h`, `1h30m`): an hour at least.
///
/// A shorter one would have to be renewed before the next one is delivered everywhere.
pub fn lifetime(_: &mut SchemaGenerator) -> Schema {
    duration("1h", "must be a duration of 1h or more, in hours, minutes and seconds, such as 2160h or 1h30m")
}

/// A Go-style duration that is longer than nothing and may be left out.
pub fn optional_positive_duration(_: &mut SchemaGenerator) -> Schema {
    let mut schema =
        duration("1s", "must be a duration longer than 0, in hours, minutes and seconds, such as 720h or 90m");
    schema.insert("nullable".into(), true.into());
    schema
}

/// How long a window is open.
pub fn window(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 2,
        "maxLength": 32,
        "x-kubernetes-validations": [{
            "rule": format!("self.matches('{DURATION}') && size(self) > 1 && duration(self) >= duration('5m') && duration(self) <= duration('168h')"),
            "message": "a window is open from 5m to 168h",
        }],
    })
}

/// How often ACM is looked through.
pub fn discovery_interval(_: &mut SchemaGenerator) -> Schema {
    duration("1h", "must be a duration of 1h or more, in hours, minutes and seconds, such as 24h")
}

fn duration(least: &str, message: &str) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 2,
        "maxLength": 32,
        "x-kubernetes-validations": [{
            "rule": format!("self.matches('{DURATION}') && size(self) > 1 && duration(self) >= duration('{least}')"),
            "message": message,
        }],
    })
}

/// An identifier of DNS-1123 subdomain form, as Kubernetes names its objects.
pub fn object_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": 253,
        "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    })
}

/// The same, for a name that may be left out.
pub fn optional_object_name(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = object_name(generator);
    schema.insert("nullable".into(), true.into());
    schema
}

/// The name of a namespace.
pub fn namespace(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": 63,
        "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
    })
}

/// The same, if it may be left out.
pub fn optional_namespace(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = namespace(generator);
    schema.insert("nullable".into(), true.into());
    schema
}

/// The name of an IAM role, with its path (IAM API reference, Role).
pub fn role_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": 576,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^[A-Za-z0-9+=,.@_/-]+$')",
            "message": "must be the name of an IAM role, with its path if it has one, and not its ARN",
        }],
    })
}

/// Ids of organizational units and of roots (Organizations API reference, OrganizationalUnit and Root).
pub fn unit_ids(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 50,
        "items": { "type": "string", "maxLength": 68 },
        "x-kubernetes-validations": [{
            "rule": "self.all(id, id.matches('^(r-[0-9a-z]{4,32}|ou-[0-9a-z]{4,32}-[a-z0-9]{8,32})$'))",
            "message": "must be ids of organizational units or of the root, such as ou-exam-22222222 or r-exam, and not their names",
        }],
    })
}

/// A few labels, in a list: rules on each key would cost too much there, so a key that can't be is told when it is used.
pub fn some_labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 20,
        "additionalProperties": {
            "type": "string", "maxLength": 63, "pattern": "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$",
        },
    })
}

/// A few tags to compare with.
pub fn some_tags(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 20,
        "additionalProperties": { "type": "string", "maxLength": 256 },
    })
}

/// Labels of a Secret (Kubernetes documentation, "Labels and Selectors").
pub fn labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 50,
        "additionalProperties": { "type": "string", "maxLength": 63 },
        "x-kubernetes-validations": [
            {
                "rule": "self.all(k, !format.qualifiedName().validate(k).hasValue() && !format.labelValue().validate(self[k]).hasValue())",
                "message": "a label has a qualified name (prefix/name) and a value of at most 63 letters, digits, - _ and .",
            },
            { "rule": "self.all(k, !k.lowerAscii().startsWith('arnkeeper.dev/'))", "message": "labels that begin with arnkeeper.dev/ are reserved" },
        ],
    })
}

/// Annotations of a Secret: together less than Kubernetes' limit of 256 KiB.
pub fn annotations(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 50,
        "additionalProperties": { "type": "string", "maxLength": 4096 },
        "x-kubernetes-validations": [
            {
                "rule": "self.all(k, !format.qualifiedName().validate(k.lowerAscii()).hasValue())",
                "message": "an annotation has a qualified name (prefix/name)",
            },
            { "rule": "self.all(k, !k.lowerAscii().startsWith('arnkeeper.dev/'))", "message": "annotations that begin with arnkeeper.dev/ are reserved" },
        ],
    })
}

/// The key of an annotation that an ARN is written into. Of those that Kubernetes reserves (`kubernetes.io`, `k8s.io` and what is
/// below them) only two are meant for it: the others steer controllers, on behalf of whoever may write a Certificate.
pub fn published_annotation(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "nullable": true,
        "minLength": 1,
        "maxLength": 317,
        "x-kubernetes-validations": [
            {
                "rule": "!format.qualifiedName().validate(self.lowerAscii()).hasValue()",
                "message": "an annotation has a qualified name (prefix/name)",
            },
            {
                "rule": "!self.lowerAscii().matches('^arnkeeper[.]dev/') && (!self.lowerAscii().matches('^([^/]*[.])?(kubernetes|k8s)[.]io/') || self in ['alb.ingress.kubernetes.io/certificate-arn', 'service.beta.kubernetes.io/aws-load-balancer-ssl-cert'])",
                "message": "annotations of arnkeeper.dev, k8s.io and kubernetes.io are reserved, but for alb.ingress.kubernetes.io/certificate-arn and service.beta.kubernetes.io/aws-load-balancer-ssl-cert",
            },
        ],
    })
}

/// Tags for ACM: at most 40, keys of at most 127 and values of at most 255 characters, in no reserved name space.
///
/// ACM allows 50 tags a certificate (ACM user guide, "Tag restrictions"); ten are kept for the operator's own.
pub fn tags(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 40,
        "additionalProperties": { "type": "string", "maxLength": 255, "pattern": "^[\\p{L}\\p{Z}\\p{N}_.:/=+@-]*$" },
        "x-kubernetes-validations": [
            {
                "rule": "self.all(k, size(k) >= 1 && size(k) <= 127 && k.matches('^[\\\\p{L}\\\\p{Z}\\\\p{N}_.:/=+@-]*$'))",
                "message": "a tag's key has 1 to 127 characters: letters, numbers, spaces and _ . : / = + - @",
            },
            {
                "rule": "self.all(k, !k.lowerAscii().startsWith('aws:') && !k.lowerAscii().startsWith('arnkeeper.dev/'))",
                "message": "a tag's key must not begin with aws: or arnkeeper.dev/ (both are reserved)",
            },
        ],
    })
}

/// A new object says `observedGeneration: -1` until the operator has seen it, so kstatus reports it as in progress at once.
pub(super) fn finish(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        let mut root = version.schema.as_mut().and_then(|s| s.open_api_v3_schema.as_mut());
        if let Some(root) = root.as_deref_mut() {
            bound_selectors(root);
        }
        if let Some(status) = root.and_then(|r| r.properties.as_mut()).and_then(|p| p.get_mut("status")) {
            status.default = Some(JSON(serde_json::json!({ "observedGeneration": -1 })));
            without_rules(status);
        }
    }
    crd
}

/// The API server reckons a rule's cost by the longest list that may come, and Kubernetes' own type names no limit.
fn bound_selectors(schema: &mut JSONSchemaProps) {
    for (name, property) in schema.properties.iter_mut().flatten() {
        if name == "matchExpressions" {
            property.max_items = Some(MOST_EXPRESSIONS);
        }
        bound_selectors(property);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        bound_selectors(items);
    }
}

/// Nobody but the operator writes a status, from types that can hold nothing else; and rules cost.
fn without_rules(schema: &mut JSONSchemaProps) {
    schema.x_kubernetes_validations = None;
    schema.properties.iter_mut().flat_map(|p| p.values_mut()).for_each(without_rules);
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        without_rules(items);
    }
}
