//! What somebody does to an ARN that was published.

use crate::{
    harness::{World, arn, let_publish},
    told,
    wait::{Conditions, eventually, until},
};
use arnkeeper::api::conditions::{PUBLISHED, READY};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use serde_json::json;
use std::{env, fs};

/// How often the operator read a ConfigMap of this namespace.
fn looks(namespace: &str) -> usize {
    let stand = env::var("ARNKEEPER_STAND").expect("ARNKEEPER_STAND is set by the stand");
    let log = fs::read_to_string(format!("{stand}/audit.log")).expect("the stand's API server keeps an audit log");
    let of = |line: &&str| {
        line.contains(namespace) && line.contains("\"userAgent\":\"arnkeeper/") && line.contains("\"verb\":\"get\"")
    };
    log.lines().filter(of).filter(|line| line.contains("\"resource\":\"configmaps\"")).count()
}

#[tokio::test]
async fn an_arn_that_somebody_took_away_is_put_back_and_looks_write_nothing() {
    let (world, authority) = World::new("published").await;
    let_publish(&world.stand.client, &world.namespace).await;
    let maps = world.api::<ConfigMap>();
    world.make(&maps, json!({ "metadata": { "name": "arns" }, "data": { "theirs": "kept" } })).await;
    let entry = json!({ "target": "edge", "kind": "ConfigMap", "name": "arns", "configMapKey": "edge" });
    world.issued("app", &authority, json!({ "acm": [{ "name": "edge" }], "publish": [entry] })).await;
    let published = async || until(&world.certificates(), "app", "Published", |c| c.is(PUBLISHED) && c.is(READY)).await;
    let certificate = published().await;
    let edge = arn(&certificate, "edge");
    world.change(&maps, "arns", json!({ "data": { "edge": null } })).await;
    let note = told(&world, "Drift").await;
    assert!(note.contains("ConfigMap \"arns\"") && note.contains("the key edge"), "{note}");
    eventually("it is put back", || async {
        let data = maps.get("arns").await.map_err(|e| e.to_string())?.data.unwrap_or_default();
        if data.get("edge") == Some(&edge) { Ok(()) } else { Err(format!("{data:?}")) }
    })
    .await;
    let certificate = published().await;
    let map = maps.get("arns").await.expect("the ConfigMap");
    let before = looks(&world.namespace);
    eventually("three looks", || async {
        let now = looks(&world.namespace);
        if now >= before + 3 { Ok(()) } else { Err(format!("{before} to {now}")) }
    })
    .await;
    assert_eq!(maps.get("arns").await.expect("the ConfigMap").resource_version(), map.resource_version());
    let now = world.certificates().get("app").await.expect("the Certificate");
    assert_eq!(now.resource_version(), certificate.resource_version());

    // What somebody else sets is theirs.
    world.change(&maps, "arns", json!({ "data": { "edge": "mine" } })).await;
    until(&world.certificates(), "app", "a conflict", |c| c.because(PUBLISHED, "FieldConflict") && c.is(READY)).await;
    assert_eq!(maps.get("arns").await.expect("the ConfigMap").data.unwrap_or_default()["edge"], "mine");
}
