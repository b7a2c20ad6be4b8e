//! What a certificate costs the API server: requests of the operator, counted from the audit log.

use crate::{
    harness::{World, let_publish},
    wait::{Conditions, eventually, gone, until},
};
use arnkeeper::api::conditions::PUBLISHED;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use std::{env, fs};

/// The operator's requests about objects of a namespace, of which at most so many may be.
struct Budget {
    requests: usize,
    writes: usize,
}

/// The operator's requests in this namespace so far: verb and resource.
pub fn requests(namespace: &str) -> Vec<(String, String)> {
    let stand = env::var("ARNKEEPER_STAND").expect("ARNKEEPER_STAND is set by the stand");
    let log = fs::read_to_string(format!("{stand}/audit.log")).expect("the stand's API server keeps an audit log");
    let lines = log.lines().filter(|line| line.contains(namespace));
    // The last line may be half written.
    let entries = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let ours = entries.filter(|e| {
        e["userAgent"].as_str().is_some_and(|agent| agent.starts_with("arnkeeper/"))
            && e["objectRef"]["namespace"] == namespace
    });
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    ours.map(|e| (text(&e["verb"]), text(&e["objectRef"]["resource"]))).collect()
}

fn assert_within(what: &str, made: &[(String, String)], budget: &Budget) {
    let writes = made.iter().filter(|(verb, _)| verb != "get").count();
    assert!(
        made.len() <= budget.requests && writes <= budget.writes,
        "{what} took {} requests, {writes} of them writes: {made:?}",
        made.len()
    );
}

/// Waits for the event of a revision, the last write of all.
async fn told(namespace: &str, events: usize) -> Vec<(String, String)> {
    eventually("the event is published", || async {
        let made = requests(namespace);
        let found = made.iter().filter(|(_, resource)| resource == "events").count();
        if found >= events { Ok(made) } else { Err(format!("{found} events")) }
    })
    .await
}

#[tokio::test]
async fn a_certificate_costs_no_more_requests_than_it_may() {
    let (world, authority) = World::new("budget").await;
    // What is shared by many certificates is there already.
    world.issued("first", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
    let shared = told(&world.namespace, 1).await.len();
    world.issued("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
    is_of_the_day_before_yesterday(&world, "app-1").await;
    let issued = told(&world.namespace, 2).await;
    assert_within("a first issuance", &issued[shared..], &Budget { requests: 13, writes: 9 });
    world.renew("app").await;
    world.revision("app", 2).await;
    let renewed = told(&world.namespace, 3).await;
    assert_within("a renewal", &renewed[issued.len()..], &Budget { requests: 12, writes: 8 });
    if world.stand.sim_because("moto loses the tags of a certificate that is imported again").is_none() {
        return;
    }
    // From the third revision on, an old request is deleted each time, and the key on its way goes with it.
    world.renew("app").await;
    world.revision("app", 3).await;
    let later = told(&world.namespace, 4).await;
    assert_within("a renewal in the long run", &later[renewed.len()..], &Budget { requests: 12, writes: 8 });
    gone(&world.requests(), "app-1").await;
    gone(&world.secrets(), "app-3-key").await;
    world.requests().get("app-2").await.expect("the one before the last is kept");
}

/// Publishing reads the Certificate afresh and the object, writes to it, and stores before what it is about to write.
#[tokio::test]
async fn publishing_costs_four_requests_more_and_a_renewal_none() {
    let (world, authority) = World::new("budget-publish").await;
    let_publish(&world.stand.client, &world.namespace).await;
    world.make(&world.api::<ConfigMap>(), json!({ "metadata": { "name": "arns" } })).await;
    world.issued("first", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
    let shared = told(&world.namespace, 1).await.len();
    let entry = json!({ "target": "edge", "kind": "ConfigMap", "name": "arns", "configMapKey": "edge" });
    world.issued("app", &authority, json!({ "acm": [{ "name": "edge" }], "publish": [entry] })).await;
    until(&world.certificates(), "app", "it is published", |c| c.is(PUBLISHED)).await;
    let issued = told(&world.namespace, 2).await;
    let made = &issued[shared..];
    assert_within("a first issuance with one object", made, &Budget { requests: 17, writes: 11 });
    let on = |verb: &str, resource: &str| made.iter().filter(|(v, r)| (&**v, &**r) == (verb, resource)).count();
    assert_eq!((on("get", "configmaps"), on("patch", "configmaps")), (1, 1), "{made:?}");
    assert_eq!(on("get", "awscertificates"), 2, "before it is paid for, and before the ARN is written: {made:?}");
    world.renew("app").await;
    world.revision("app", 2).await;
    let renewed = told(&world.namespace, 3).await;
    assert_within("a renewal of what is published", &renewed[issued.len()..], &Budget { requests: 12, writes: 8 });
}

/// A request counts for the budget of a day by its last attempt.
async fn is_of_the_day_before_yesterday(world: &World, request: &str) {
    let at = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(48);
    let attempt = json!({ "number": 1, "at": at.to_string(), "notAfter": at.to_string() });
    let patch = Patch::Merge(json!({ "status": { "attempt": attempt } }));
    world.requests().patch_status(request, &PatchParams::default(), &patch).await.expect("its status can be changed");
}
