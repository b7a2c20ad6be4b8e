//! What the derived schemas lack: Go-style durations, and the status that a new object starts with.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, JSON};
use schemars::{Schema, SchemaGenerator, json_schema};

/// A Go-style duration (`2160h`, `1h30m`) that is longer than nothing.
pub fn positive_duration(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 32,
        "pattern": "^([0-9]{1,9}(\\.[0-9]{1,9})?(h|m|s))+$",
        "x-kubernetes-validations": [{
            "rule": "duration(self) > duration('0s')",
            "message": "must be a duration longer than 0, such as 2160h or 30m",
        }],
    })
}

/// The same, for a duration that may be left out.
pub fn optional_positive_duration(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = positive_duration(generator);
    schema.insert("nullable".into(), true.into());
    schema
}

/// An identifier of DNS-1123 subdomain form, as Kubernetes names its objects.
pub fn object_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": 253,
        "pattern": "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
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
                "rule": "self.all(k, !k.lowerAscii().startsWith('aws:') && !k.startsWith('arnkeeper.dev/'))",
                "message": "a tag's key must not begin with aws: or arnkeeper.dev/ (both are reserved)",
            },
        ],
    })
}

/// A new object says `observedGeneration: -1` until the operator has seen it, so kstatus reports it as in progress at once.
pub(super) fn finish(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        let root = version.schema.as_mut().and_then(|s| s.open_api_v3_schema.as_mut());
        if let Some(status) = root.and_then(|r| r.properties.as_mut()).and_then(|p| p.get_mut("status")) {
            status.default = Some(JSON(serde_json::json!({ "observedGeneration": -1 })));
        }
    }
    crd
}
