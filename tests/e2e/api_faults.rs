//! An API server that refuses, conflicts, loses answers and hangs: everything comes to its end, and nothing is paid for or
//! imported twice. The operator has to stand behind the proxies of `tests/proxy` (`stand run --operator --proxy`).

use crate::{
    aws::Authority,
    harness::{REGIONS, World, arn},
    wait::Conditions,
};
use arnkeeper::api::conditions::STALLED;
use futures::future::join_all;
use kube::{Client, Config, ResourceExt, api::ListParams};
use serde_json::{Value, json};
use std::env;

/// The control endpoint of the proxy before the API server.
struct Proxy(Client);

impl Proxy {
    /// None, and it is said: on moto, the operator has no proxy before it. On aws-sim nothing would be tried without it.
    fn get() -> Option<Self> {
        let Ok(address) = env::var("ARNKEEPER_PROXY_KUBERNETES") else {
            let told = "runs behind the proxy alone: tests/stand/stand run --operator --proxy";
            assert!(
                env::var("ARNKEEPER_AWS").is_ok_and(|aws| aws == "moto"),
                "ARNKEEPER_PROXY_KUBERNETES is not set: {told}"
            );
            println!("{told}");
            return None;
        };
        let config = Config::new(address.parse().expect("ARNKEEPER_PROXY_KUBERNETES is an address"));
        Some(Self(Client::try_from(config).expect("a client of plain HTTP")))
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> Value {
        let request = http::Request::builder().method(method).uri(format!("/_proxy/{path}"));
        let request = request.header("content-type", "application/json").body(body.to_string().into_bytes());
        let text = self.0.request_text(request.expect("a well-formed request")).await;
        let text = text.unwrap_or_else(|error| panic!("{method} /_proxy/{path}: {error}"));
        if text.trim().is_empty() { Value::Null } else { serde_json::from_str(&text).expect("JSON") }
    }

    /// This happens to one call of the operator in a namespace, after so many that fit; returns the rule's id.
    async fn rule(&self, namespace: &str, more: Value, skip: u32, act: &Value) -> u64 {
        let path = format!("/namespaces/{namespace}(/|$)");
        let mut rule = json!({ "path": path, "skip": skip, "count": 1, "act": act });
        crate::harness::merge(&mut rule, more);
        self.call("POST", "rules", rule).await["id"].as_u64().expect("an id")
    }

    /// How many calls each of these rules came upon.
    async fn applied(&self, ids: &[u64]) -> Vec<u64> {
        let all = self.call("GET", "rules", json!({})).await;
        let of = |id: &u64| all.as_array().into_iter().flatten().find(|rule| rule["id"] == *id);
        ids.iter().map(|id| of(id).and_then(|rule| rule["applied"].as_u64()).expect("the rule")).collect()
    }

    async fn forget(&self, ids: &[u64]) {
        for id in ids {
            self.call("DELETE", &format!("rules?id={id}"), json!({})).await;
        }
    }
}

/// The most revisions until every rule has to have met its call: a Certificate may have five a day.
const MOST_REVISIONS: i64 = 5;

/// A world whose calls of a kind meet this, after so many each, through an issuance and a renewal, and more of those until each was
/// met.
async fn through(test: String, more: Value, skips: Vec<u32>, act: Value) {
    let Some(proxy) = Proxy::get() else { return };
    let (world, authority) = World::new(&test).await;
    let mut ids = vec![];
    for skip in &skips {
        ids.push(proxy.rule(&world.namespace, more.clone(), *skip, &act).await);
    }
    world
        .certificate("app", &authority, json!({ "acm": [{ "name": "edge" }, { "name": "far", "region": REGIONS[1] }] }))
        .await;
    let first = world.revision("app", 1).await;
    let mut revision = 2;
    let last = loop {
        world.renew("app").await;
        let last = world.revision("app", revision).await;
        if revision == MOST_REVISIONS || !proxy.applied(&ids).await.contains(&0) {
            break last;
        }
        revision += 1;
    };
    let applied = proxy.applied(&ids).await;
    proxy.forget(&ids).await;
    assert!(!applied.contains(&0), "{test}: after {skips:?} calls each, these rules met so many: {applied:?}");
    println!("{test}: {} calls met it in {revision} revisions", applied.iter().sum::<u64>());
    converged(&world, &authority, &test, revision).await;
    for target in ["edge", "far"] {
        assert_eq!(arn(&last, target), arn(&first, target), "{test}");
    }
    assert!(last.condition(STALLED).is_none(), "{test}: {}", last.message(STALLED));
}

/// One payment a revision, one ARN a target, and nothing left over.
async fn converged(world: &World, authority: &Authority, test: &str, revision: i64) {
    let tls = world.tls("app").await;
    assert!(tls.leaf().is_signed_by(&authority.certificate), "{test}");
    for region in REGIONS {
        let acm = world.acm(region).await;
        let arns = acm.arns().await;
        assert_eq!(arns.len(), 1, "{test}: {arns:?}");
        assert_eq!(acm.certificate(&arns[0]).await, *tls.leaf(), "{test}");
    }
    if let Some(sim) = world.stand.sim() {
        let revisions = usize::try_from(revision).expect("few");
        let issued = sim.effective(&world.id, "IssueCertificate").await;
        assert_eq!(issued, revisions, "{test}: certificates that were paid for");
        assert_eq!(sim.effective(&world.id, "ImportCertificate").await, 2 * revisions, "{test}: imports");
    }
    crate::wait::eventually(&format!("{test}: no key is left behind"), || async {
        let secrets = world.secrets().list(&ListParams::default()).await.map_err(|e| e.to_string())?;
        let names: Vec<String> = secrets.iter().map(ResourceExt::name_any).collect();
        if names == ["app-tls"] { Ok(()) } else { Err(format!("{names:?}")) }
    })
    .await;
    let requests = world.requests().list(&ListParams::default()).await.expect("a list");
    let expected: Vec<String> = (1..=revision).map(|n| format!("app-{n}")).collect();
    assert_eq!(requests.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), expected, "{test}");
}

fn status(code: u16, reason: &str) -> Value {
    json!({ "kind": "status", "status": code, "reason": reason, "message": "asked for by a test" })
}

/// Every third call that may change something is refused, or its answer is lost.
#[tokio::test]
async fn every_third_change_is_refused_or_its_answer_lost() {
    let mut slowly = status(429, "TooManyRequests");
    slowly["headers"] = json!({ "Retry-After": "1" });
    let faults = [
        ("slowly", slowly),
        ("conflict", status(409, "Conflict")),
        ("exists", status(409, "AlreadyExists")),
        ("gone", status(404, "NotFound")),
        ("internal", status(500, "InternalError")),
        ("unavailable", status(503, "ServiceUnavailable")),
        ("timeout", status(504, "Timeout")),
        ("drop", json!({ "kind": "dropRequest" })),
        ("lost", json!({ "kind": "dropReply" })),
        ("late", json!({ "kind": "delay", "millis": 1500 })),
    ];
    let every_third: Vec<u32> = (0..8).map(|n| 3 * n).collect();
    let changes = json!({ "mutating": true });
    let all =
        faults.into_iter().map(|(name, act)| through(format!("api-{name}"), changes.clone(), every_third.clone(), act));
    join_all(all).await;
}

/// Changes that had their effect are answered 503 or 504, as a load balancer does: the client makes such a call again by
/// itself, a POST, too, and is then told that the object is there already, or is not the one it was.
#[tokio::test]
async fn a_change_that_had_its_effect_and_was_answered_with_an_error() {
    let after = |status: u16| json!({ "kind": "statusAfterEffect", "status": status, "reason": "ServiceUnavailable" });
    // One change each: an import whose record is met by it waits for a minute.
    let one = (0..9).map(|n| {
        let status = if n % 2 == 0 { 503 } else { 504 };
        through(format!("after-{n}"), json!({ "mutating": true }), vec![n], after(status))
    });
    let every_post = through("after-post".into(), json!({ "method": "POST" }), (0..12).collect(), after(503));
    tokio::join!(every_post, join_all(one));
}

/// Every second call that changes nothing.
#[tokio::test]
async fn every_second_look_is_refused() {
    let every_second: Vec<u32> = (0..8).map(|n| 2 * n).collect();
    let looks = json!({ "mutating": false });
    let all = [("internal", status(500, "InternalError")), ("drop", json!({ "kind": "dropReply" }))]
        .into_iter()
        .map(|(name, act)| through(format!("look-{name}"), looks.clone(), every_second.clone(), act));
    join_all(all).await;
}

/// A call that is never answered: its effect is not known until it is looked for.
#[tokio::test]
async fn a_change_that_is_never_answered() {
    let hang = json!({ "kind": "hang" });
    let lost = json!({ "kind": "delay", "millis": 40_000 });
    let changes = json!({ "mutating": true });
    let all = [1, 3, 5, 7].into_iter().flat_map(|skip| {
        [("hang", &hang), ("deaf", &lost)]
            .map(|(name, act)| through(format!("api-{name}-{skip}"), changes.clone(), vec![skip], act.clone()))
    });
    join_all(all).await;
}

/// What the API server refuses for good is told, and goes on when it is over.
#[tokio::test]
async fn a_refusal_for_good_is_told() {
    let Some(proxy) = Proxy::get() else { return };
    let (world, authority) = World::new("api-no").await;
    let secrets =
        json!({ "path": format!("/api/v1/namespaces/{}/secrets", world.namespace), "mutating": true, "count": null });
    let words = "exceeded quota:\n\u{1b}[31mcompute-resources";
    let act = json!({ "kind": "status", "status": 403, "reason": "Forbidden", "message": words });
    let id = proxy.rule(&world.namespace, secrets, 0, &act).await;
    world.certificate("app", &authority, json!({})).await;
    let told = world.stalled("app", "RefusedByKubernetes").await;
    let message = told.message(STALLED);
    assert!(message.contains("exceeded quota: [31mcompute-resources"), "{message}");
    world.assert_nothing_asked().await;
    let tried = proxy.applied(&[id]).await[0];
    proxy.forget(&[id]).await;
    assert!((1..=5).contains(&tried), "it was tried {tried} times");
    world.change(&world.certificates(), "app", json!({ "spec": { "historyLimit": 5 } })).await;
    world.ready("app").await;
    world.assert_paid(1).await;
}
