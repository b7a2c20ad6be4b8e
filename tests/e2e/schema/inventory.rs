//! What is discovered, and what is only watched.

use super::refused;
use arnkeeper::api::{AwsAccount, Certificate};
use serde_json::{Value, json};

#[tokio::test]
async fn certificates_that_are_only_watched() {
    let arn =
        |region: &str| format!("arn:aws:acm:{region}:111122223333:certificate/12345678-1234-1234-1234-123456789012");
    let base = json!({ "apiVersion": "arnkeeper.dev/v1beta1", "kind": "Certificate",
        "metadata": { "name": "schema", "namespace": "default" }, "spec": {
            "management": "Observe", "accountRef": { "name": "prod" }, "region": "eu-west-1",
            "acm": [{ "name": "acm", "certificateArn": arn("eu-west-1") }] } });
    let target = |target: Value| json!({ "acm": [target] });
    refused::<Certificate>(
        base,
        &[
            (json!({ "management": "Managed" }), &["source, subject and secret are needed"]),
            (json!({ "management": null }), &["source, subject and secret are needed"]),
            (json!({ "acm": null }), &["acm has one entry, with certificateArn"]),
            (json!({ "acm": [] }), &["acm has one entry, with certificateArn"]),
            (target(json!({ "name": "acm" })), &["acm has one entry, with certificateArn"]),
            (
                json!({ "acm": [{ "name": "a", "certificateArn": arn("eu-west-1") }, { "name": "b" }] }),
                &["acm has one entry, with certificateArn"],
            ),
            (target(json!({ "name": "acm", "certificateArn": arn("us-east-1") })), &["must lie in its region"]),
            (
                target(json!({ "name": "acm", "region": "us-east-1", "certificateArn": arn("eu-west-1") })),
                &["must lie in its region"],
            ),
            (target(json!({ "name": "acm", "certificateArn": "arn:aws:acm" })), &["must be the ARN of a certificate"]),
        ],
    )
    .await;
}

#[tokio::test]
async fn discovery() {
    let base = json!({ "apiVersion": "arnkeeper.dev/v1beta1", "kind": "AwsAccount", "metadata": { "name": "schema" },
        "spec": { "regions": ["eu-west-1"], "discovery": {
            "interval": "1h", "namespace": "inventory", "expired": { "since": "2026-01-01T00:00:00Z" }, "revoked": true,
            "rules": [{ "match": { "domains": ["*.a.example"], "tags": { "team": "a" }, "accountIds": ["111122223333"],
                "regions": ["eu-west-1"] }, "set": { "labels": { "team.example/name": "a" }, "namespace": "a",
                "owner": { "name": "A", "email": "a@example.com" } } }, {}] } } });
    let change = |change: Value| json!({ "discovery": change });
    let rule = |rule: Value| change(json!({ "rules": [rule] }));
    let many: Vec<Value> = (0..51).map(|_| json!({})).collect();
    refused::<AwsAccount>(
        base,
        &[
            (change(json!({ "interval": "59m" })), &["spec.discovery.interval", "1h or more"]),
            (change(json!({ "interval": "1d" })), &["spec.discovery.interval", "1h or more"]),
            (change(json!({ "namespace": null })), &["spec.discovery.namespace", "Required"]),
            (change(json!({ "namespace": "A" })), &["spec.discovery.namespace"]),
            (change(json!({ "expired": { "since": null } })), &["spec.discovery.expired.since", "Required"]),
            (change(json!({ "expired": { "since": "yesterday" } })), &["spec.discovery.expired.since"]),
            (change(json!({ "rules": many })), &["spec.discovery.rules", "50"]),
            (rule(json!({ "match": { "accountIds": ["1"] } })), &["accountIds[0]", "twelve digits"]),
            (rule(json!({ "match": { "regions": ["here"] } })), &["regions[0]", "AWS region"]),
            (rule(json!({ "match": { "domains": [""] } })), &["domains[0]"]),
            (rule(json!({ "set": { "namespace": "-a" } })), &["set.namespace"]),
            (rule(json!({ "set": { "labels": { "team": "a b" } } })), &["set.labels"]),
            (rule(json!({ "set": { "owner": { "email": "nobody" } } })), &["set.owner.email"]),
        ],
    )
    .await;
}
