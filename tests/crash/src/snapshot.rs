//! What is there in the end, less what differs between two runs of one scenario: names, uids, times, keys.

use crate::{
    calls::Names,
    published::misplaced,
    stand::Answer,
    world::{Objects, World, in_acm},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use regex::Regex;
use serde::Serialize;
use serde_json::{Value, json};
use std::{collections::BTreeSet, sync::LazyLock};

/// What tells how often something was tried, which a crash may raise: numbers, and for ACM the times.
const HISTORIES: [&str; 3] = ["attempt", "attempts", "asked"];
/// What the API server keeps for itself.
const BOOKKEEPING: [&str; 5] = ["managedFields", "resourceVersion", "uid", "creationTimestamp", "data"];

static MASKS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let masks = [
        (r"(?s)-----BEGIN .*-----END [A-Z ]+-----\s*", "PEM"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID"),
        (r"([0-9a-fA-F]{2}:){7,}[0-9a-fA-F]{2}", "HEX"),
        (r"[0-9a-fA-F]{24,}", "HEX"),
        // What discovery notes on its objects.
        (r"^[0-9a-f]{16}$", "HEX"),
    ];
    masks.into_iter().filter_map(|(mask, name)| Some((Regex::new(mask).ok()?, name))).collect()
});

/// The final state of a case, comparable with that of another run.
pub async fn snapshot(world: &World, objects: &Objects) -> Answer<Value> {
    let arns = in_acm(&world.ledger().await?);
    let regions: Vec<&str> = arns.keys().filter_map(|arn| arn.split(':').nth(3)).collect();
    let mut all = json!({
        "certificate": object(objects.certificate.as_ref()),
        "requests": objects.requests.iter().map(|request| object(Some(request))).collect::<Vec<_>>(),
        "secrets": objects.secrets.iter().map(|secret| {
            let mut value = object(Some(secret));
            value["keys"] = json!(secret.data.iter().flat_map(|data| data.keys()).collect::<Vec<_>>());
            value
        }).collect::<Vec<_>>(),
        "acm": regions,
        "found": objects.found.iter().map(|found| object(Some(found))).collect::<Vec<_>>(),
        "told": objects.told,
        "shelf": objects.shelf,
    });
    mask(&mut all, &world.names());
    // Their names are this run's: they are in order only now.
    for list in ["/found", "/told/members"] {
        if let Some(list) = all.pointer_mut(list).and_then(Value::as_array_mut) {
            list.sort_by_key(|object| object["metadata"]["name"].to_string());
        }
    }
    Ok(all)
}

fn object<K: Serialize>(object: Option<&K>) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

fn mask(value: &mut Value, names: &Names) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !BOOKKEEPING.contains(&name.as_str()) && !HISTORIES.contains(&name.as_str()));
            fields.values_mut().for_each(|value| mask(value, names));
        }
        Value::Array(values) => values.iter_mut().for_each(|value| mask(value, names)),
        Value::String(text) => {
            let mut out = names.iter().fold(text.clone(), |text, (name, place)| text.replace(name.as_str(), place));
            for (mask, name) in MASKS.iter() {
                out = mask.replace_all(&out, *name).into_owned();
            }
            *text = out;
        }
        _ => {}
    }
}

/// Where two values differ, for a person: the path, then both.
pub fn differences(path: &str, expected: &Value, found: &Value, out: &mut Vec<String>) {
    match (expected, found) {
        (Value::Object(a), Value::Object(b)) => {
            for name in a.keys().chain(b.keys().filter(|name| !a.contains_key(*name))) {
                let missing = Value::Null;
                let (a, b) = (a.get(name).unwrap_or(&missing), b.get(name).unwrap_or(&missing));
                differences(&format!("{path}.{name}"), a, b, out);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (at, (a, b)) in a.iter().zip(b).enumerate() {
                differences(&format!("{path}[{at}]"), a, b, out);
            }
        }
        (a, b) if a != b => out.push(format!("{path}: {a} is expected, {b} is there")),
        _ => {}
    }
}

/// What must hold of any final state: nothing but the targets' certificates in ACM, and these are the Secret's.
pub async fn consistency(world: &World, objects: &Objects) -> Answer<Vec<String>> {
    let mut faults = Vec::new();
    let arns = in_acm(&world.ledger().await?);
    let shown: BTreeSet<&str> = objects
        .found
        .iter()
        .flat_map(|c| &c.spec.acm)
        .filter_map(|t| Some(t.certificate_arn.as_ref()?.as_str()))
        .collect();
    let there: BTreeSet<&str> =
        world.strangers.iter().filter(|stranger| stranger.there).map(|stranger| &*stranger.arn).collect();
    if shown != there {
        faults.push(format!("ACM has {there:?}, and shown are {shown:?}"));
    }
    let members: BTreeSet<&str> = world.members.iter().filter(|m| m.state.is_some()).map(|m| &*m.id).collect();
    let told = objects.told["members"].as_array().into_iter().flatten();
    let told: BTreeSet<&str> = told.filter_map(|member| member["metadata"]["name"].as_str()).collect();
    if told != members {
        faults.push(format!("the organization has {members:?}, and AwsAccounts are {told:?}"));
    }
    let Some(certificate) = &objects.certificate else {
        if !arns.is_empty() {
            faults.push(format!("in ACM although deleted: {arns:?}"));
        }
        return Ok(faults);
    };
    let status = object(certificate.status.as_ref());
    let targets: Vec<&Value> = status["targets"].as_array().into_iter().flatten().collect();
    let mut told: Vec<&str> = targets.iter().filter_map(|target| target["arn"].as_str()).collect();
    told.sort_unstable();
    if told != arns.keys().map(String::as_str).collect::<Vec<_>>() {
        faults.push(format!("the status has the ARNs {told:?}, ACM has {:?}", arns.keys()));
    }
    let misplaced = misplaced(&objects.shelf, certificate);
    if !misplaced.is_empty() {
        faults.push(format!("published and not wanted, or wanted and not published: {misplaced:?}"));
    }
    let secret = objects.secrets.iter().find(|s| s.metadata.name.as_deref() == Some("app-tls"));
    let chain = secret.and_then(|s| s.data.as_ref()?.get("tls.crt")).map(|bytes| bytes.0.clone()).unwrap_or_default();
    // What ACM issued itself was sent by nobody.
    let managed = certificate.spec.source.acm_managed.is_some();
    for (arn, leaf) in arns.iter().filter(|_| !managed) {
        let leaf = BASE64_STANDARD.decode(leaf).unwrap_or_default();
        if leaf.is_empty() || !chain.starts_with(leaf.trim_ascii_end()) {
            faults.push(format!("{arn} has not the Secret's certificate"));
        }
    }
    for target in targets {
        if target["serialNumber"] != status["serialNumber"] {
            faults.push(format!("target {} has serial {}", target["name"], target["serialNumber"]));
        }
    }
    Ok(faults)
}
