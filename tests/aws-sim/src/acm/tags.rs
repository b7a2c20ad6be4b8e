//! Tags of certificates.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::invalid;
use crate::api::ApiError;

/// Tags on one certificate (service model, `TagList`).
const MOST_TAGS: usize = 50;
/// Characters in a key (service model, `TagKey`).
const MOST_KEY: usize = 128;
/// Characters in a value (service model, `TagValue`).
const MOST_VALUE: usize = 256;

/// The answer of ListTagsForCertificate.
pub(super) fn list(tags: &BTreeMap<String, String>) -> Value {
    let tags: Vec<Value> = tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
    json!({ "Tags": tags })
}

/// AddTagsToCertificate: sets the values of the keys given, keeps the others.
pub(super) fn add(tags: &mut BTreeMap<String, String>, body: &Value) -> Result<Value, ApiError> {
    let mut all = tags.clone();
    all.extend(given(body)?);
    *tags = limited(all)?;
    Ok(json!({}))
}

/// RemoveTagsFromCertificate: a tag given with a value goes only if it has that value.
pub(super) fn remove(tags: &mut BTreeMap<String, String>, body: &Value) -> Result<Value, ApiError> {
    for (key, value) in pairs(body)? {
        if value.is_none() || value.as_ref() == tags.get(&key) {
            tags.remove(&key);
        }
    }
    Ok(json!({}))
}

/// The tags of a new import. The model asks for one at least, but clients that always send the list are served.
pub(super) fn on_import(body: &Value) -> Result<BTreeMap<String, String>, ApiError> {
    match body.get("Tags") {
        None | Some(Value::Null) => Ok(BTreeMap::new()),
        Some(Value::Array(tags)) if tags.is_empty() => Ok(BTreeMap::new()),
        Some(_) => limited(given(body)?),
    }
}

fn limited(tags: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, ApiError> {
    if tags.len() > MOST_TAGS {
        let message = format!("A certificate has at most {MOST_TAGS} tags, and this one would have {}", tags.len());
        return Err(ApiError::new("TooManyTagsException", message));
    }
    Ok(tags)
}

fn given(body: &Value) -> Result<BTreeMap<String, String>, ApiError> {
    let mut tags = BTreeMap::new();
    for (key, value) in pairs(body)? {
        if tags.insert(key.clone(), value.unwrap_or_default()).is_some() {
            return Err(ApiError::new("InvalidTagException", format!("The tag key {key} is given more than once")));
        }
    }
    Ok(tags)
}

fn pairs(body: &Value) -> Result<Vec<(String, Option<String>)>, ApiError> {
    let tags = body.get("Tags").and_then(Value::as_array).filter(|tags| !tags.is_empty());
    let tags = tags.ok_or_else(|| {
        invalid(
            "1 validation error detected: Value at 'tags' failed to satisfy constraint: Member must have length \
             greater than or equal to 1",
        )
    })?;
    tags.iter().map(pair).collect()
}

fn pair(tag: &Value) -> Result<(String, Option<String>), ApiError> {
    let key = tag.get("Key").and_then(Value::as_str).filter(|key| !key.is_empty());
    let key = key.ok_or_else(|| invalid("A tag must have a key of 1 to 128 characters"))?;
    let value = tag.get("Value").and_then(Value::as_str);
    if key.chars().count() > MOST_KEY {
        return Err(invalid(format!("The tag key {key} is longer than {MOST_KEY} characters")));
    }
    if value.is_some_and(|value| value.chars().count() > MOST_VALUE) {
        return Err(invalid(format!("The value of the tag {key} is longer than {MOST_VALUE} characters")));
    }
    if key.to_ascii_lowercase().starts_with("aws:") {
        return Err(ApiError::new(
            "InvalidTagException",
            "aws: prefixed tag key names are not allowed for external use.",
        ));
    }
    if !(key.chars().all(allowed) && value.unwrap_or_default().chars().all(allowed)) {
        return Err(ApiError::new(
            "InvalidTagException",
            format!("The tag {key} has characters that tags may not have"),
        ));
    }
    Ok((key.to_owned(), value.map(ToOwned::to_owned)))
}

/// The service model's pattern: `[\p{L}\p{Z}\p{N}_.:\/=+\-@]*`.
fn allowed(character: char) -> bool {
    character.is_alphanumeric() || character == ' ' || "_.:/=+-@".contains(character)
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{Sim, leaf};
    use super::*;

    fn tag(key: &str, value: &str) -> Value {
        json!({ "Key": key, "Value": value })
    }

    fn many(range: std::ops::Range<usize>) -> Value {
        range.map(|n| tag(&format!("k{n}"), "v")).collect()
    }

    fn tagged(sim: &mut Sim, arn: &str, tags: &Value) -> Result<Value, ApiError> {
        sim.run("AddTagsToCertificate", &json!({ "CertificateArn": arn, "Tags": tags }))
    }

    // ACM API reference, AddTagsToCertificate: a key that is there already gets the new value.
    #[test]
    fn tags_are_added_and_replaced() {
        let mut sim = Sim::new();
        let arn = sim.imported(&leaf());
        tagged(&mut sim, &arn, &json!([tag("team", "a"), { "Key": "bare" }])).unwrap();
        tagged(&mut sim, &arn, &json!([tag("team", "b")])).unwrap();
        assert_eq!(sim.tags(&arn), json!([tag("bare", ""), tag("team", "b")]));
    }

    // ACM API reference, RemoveTagsFromCertificate: a value, if given, must agree; without one the tag goes anyway.
    #[test]
    fn tags_are_removed_by_key_or_by_pair() {
        let mut sim = Sim::new();
        let arn = sim.imported(&leaf());
        tagged(&mut sim, &arn, &json!([tag("a", "1"), tag("b", "2"), tag("c", "3")])).unwrap();
        let tags = json!([{ "Key": "a" }, tag("b", "other"), tag("c", "3"), tag("absent", "x")]);
        sim.run("RemoveTagsFromCertificate", &json!({ "CertificateArn": arn, "Tags": tags })).unwrap();
        assert_eq!(sim.tags(&arn), json!([tag("b", "2")]));
    }

    // ACM user guide, Tag restrictions: 50 tags a certificate.
    #[test]
    fn fifty_tags_and_no_more() {
        let mut sim = Sim::new();
        let arn = sim.imported(&leaf());
        tagged(&mut sim, &arn, &many(0..50)).unwrap();
        assert_eq!(tagged(&mut sim, &arn, &many(50..51)).unwrap_err().code, "TooManyTagsException");
        tagged(&mut sim, &arn, &many(0..2)).unwrap();
        let mut body = leaf().body();
        body["Tags"] = many(0..51);
        assert_eq!(sim.run("ImportCertificate", &body).unwrap_err().code, "TooManyTagsException");
    }

    // ACM API reference, Tag: key 1 to 128 characters, value up to 256; characters, not bytes.
    #[test]
    fn lengths_are_limited() {
        let mut sim = Sim::new();
        let arn = sim.imported(&leaf());
        tagged(&mut sim, &arn, &json!([tag(&"é".repeat(128), &"é".repeat(256))])).unwrap();
        for bad in [tag(&"k".repeat(129), ""), tag("k", &"v".repeat(257)), tag("", "v")] {
            assert_eq!(tagged(&mut sim, &arn, &json!([bad])).unwrap_err().code, "ValidationException");
        }
        assert_eq!(tagged(&mut sim, &arn, &json!([])).unwrap_err().code, "ValidationException");
    }

    // ACM user guide, Tag restrictions: the prefix aws: is reserved; service model: the pattern of TagKey and TagValue.
    #[test]
    fn reserved_and_odd_tags_are_refused() {
        let mut sim = Sim::new();
        let arn = sim.imported(&leaf());
        for bad in [tag("aws:x", "v"), tag("AWS:x", "v"), tag("a,b", "v"), tag("k", "a\nb")] {
            assert_eq!(tagged(&mut sim, &arn, &json!([bad])).unwrap_err().code, "InvalidTagException");
        }
        let twice = json!([tag("k", "1"), tag("k", "2")]);
        assert_eq!(tagged(&mut sim, &arn, &twice).unwrap_err().code, "InvalidTagException");
        assert_eq!(sim.tags(&arn), json!([]));
    }
}
