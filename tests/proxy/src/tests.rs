//! The proxy before a server of the tests' own, with a sleeping process in the place of the client.

use crate::{
    Config, Proxy, Scope,
    forward::Server,
    rules::{Act, Rule},
    victim::Victim,
};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response,
    body::{Body as _, Bytes, Incoming},
    http::request::Parts,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::{
    convert::Infallible,
    process::{Child, Command},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::net::TcpListener;

/// A server that counts what it is asked and answers with the request's path and query.
async fn server() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let counted = counted.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request: Request<Incoming>| {
                    counted.fetch_add(1, Ordering::SeqCst);
                    let echo = request.uri().path_and_query().unwrap().to_string();
                    async move { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(echo)))) }
                });
                drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
            });
        }
    });
    (url, count)
}

fn sleeper() -> Child {
    Command::new("sleep").arg("1000").spawn().unwrap()
}

fn pid(child: &Child) -> Victim {
    Victim::Id(i32::try_from(child.id()).unwrap())
}

/// A proxy, a client of it, what the server counts, and the process.
struct Stage {
    proxy: Proxy,
    client: Server,
    count: Arc<AtomicUsize>,
    child: Child,
}

impl Stage {
    async fn new() -> Self {
        let (url, count) = server().await;
        let child = sleeper();
        let config = Config { server: url, victim: pid(&child), ..Config::default() };
        let proxy = Proxy::start(config).await.unwrap();
        Self { client: Server::new(&proxy.url(), b"").unwrap(), proxy, count, child }
    }

    async fn call(&self, method: &str, path: &str) -> Result<String, String> {
        text(self.client.send(parts(method, path), Bytes::new()).await?).await
    }

    fn rule(&self, act: Act) {
        self.proxy.add(Rule::new(act)).unwrap();
    }

    fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn parts(method: &str, path: &str) -> Parts {
    Request::builder().method(method).uri(path).header("host", "x").body(()).unwrap().into_parts().0
}

async fn text(response: Response<Incoming>) -> Result<String, String> {
    let bytes = response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}

/// Waits until it holds.
async fn until(mut holds: impl FnMut() -> bool) {
    tokio::time::timeout(Duration::from_secs(30), async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("it did not come about");
}

#[tokio::test]
async fn without_a_rule_it_passes_and_is_entered() {
    let stage = Stage::new().await;
    assert_eq!(
        stage.call("PUT", "/api/v1/namespaces/a/secrets/b?c=d").await.unwrap(),
        "/api/v1/namespaces/a/secrets/b?c=d"
    );
    let log = stage.proxy.log(0);
    assert_eq!((log.len(), log[0].status, log[0].call.object.as_deref()), (1, Some(200), Some("a/b")));
}

#[tokio::test]
async fn killed_before_nothing_is_sent() {
    let mut stage = Stage::new().await;
    stage.rule(Act::KillBefore);
    assert!(stage.call("PUT", "/a").await.is_err());
    assert_eq!(stage.count(), 0);
    until(|| !stage.is_alive()).await;
    stage.call("PUT", "/a").await.unwrap();
}

#[tokio::test]
async fn killed_after_the_effect_nothing_comes_back() {
    let mut stage = Stage::new().await;
    stage.rule(Act::KillAfterEffect);
    assert!(stage.call("PUT", "/a").await.is_err());
    assert_eq!(stage.count(), 1);
    until(|| !stage.is_alive()).await;
}

#[tokio::test]
async fn killed_after_the_answer_it_came_back() {
    let mut stage = Stage::new().await;
    stage.rule(Act::KillAfterAnswer { millis: 0 });
    assert_eq!(stage.call("PUT", "/a").await.unwrap(), "/a");
    until(|| !stage.is_alive()).await;
}

#[tokio::test]
async fn a_frozen_call_waits_for_its_release() {
    let stage = Stage::new().await;
    stage.rule(Act::FreezeBefore);
    let call = stage.call("PUT", "/a");
    let release = async {
        until(|| stage.proxy.held() == 1).await;
        assert_eq!(stage.count(), 0);
        stage.proxy.release(true);
    };
    let (answer, ()) = tokio::join!(call, release);
    assert_eq!(answer.unwrap(), "/a");
}

#[tokio::test]
async fn a_dropped_reply_had_its_effect_and_a_dropped_request_none() {
    let stage = Stage::new().await;
    stage.rule(Act::DropRequest);
    assert!(stage.call("PUT", "/a").await.is_err());
    assert_eq!(stage.count(), 0);
    stage.rule(Act::DropReply);
    assert!(stage.call("PUT", "/a").await.is_err());
    assert_eq!(stage.count(), 1);
    stage.rule(Act::StatusAfterEffect { status: 503, reason: "ServiceUnavailable".into() });
    assert!(stage.call("PUT", "/a").await.unwrap().contains("ServiceUnavailable"));
    assert_eq!(stage.count(), 2);
}

#[tokio::test]
async fn away_closes_what_is_open_and_what_comes() {
    let stage = Stage::new().await;
    stage.call("GET", "/a").await.unwrap();
    stage.proxy.set_away(true);
    assert!(stage.call("GET", "/a").await.is_err());
    stage.proxy.set_away(false);
    stage.call("GET", "/a").await.unwrap();
}

#[tokio::test]
async fn dates_are_moved() {
    let stage = Stage::new().await;
    let date = async || {
        let answer = stage.client.send(parts("GET", "/a"), Bytes::new()).await.unwrap();
        let text = answer.headers()["date"].to_str().unwrap().to_owned();
        jiff::fmt::rfc2822::parse(&text).unwrap().timestamp()
    };
    let before = date().await;
    stage.proxy.shift_date(3600);
    assert!(date().await.duration_since(before) >= jiff::SignedDuration::from_secs(3599));
}

#[tokio::test]
async fn a_silenced_watch_neither_tells_nor_ends() {
    let stage = Stage::new().await;
    let mut rule = Rule::new(Act::Silence);
    rule.path = Some("^/a$".into());
    stage.proxy.add(rule).unwrap();
    let answer = stage.client.send(parts("GET", "/a?watch=true"), Bytes::new()).await.unwrap();
    let mut body = std::pin::pin!(answer.into_body());
    let first = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx));
    assert!(tokio::time::timeout(Duration::from_millis(200), first).await.is_err(), "something came");
    assert_eq!(stage.call("GET", "/b?watch=true").await.unwrap(), "/b?watch=true");
}

#[tokio::test]
async fn the_scope_narrows_lists_of_our_kinds() {
    let (url, _) = server().await;
    let scope = Scope { accounts: "of=one".into(), namespace: "pay".into() };
    let proxy = Proxy::start(Config { server: url, scope: Some(scope), ..Config::default() }).await.unwrap();
    let client = Server::new(&proxy.url(), b"").unwrap();
    let get = async |path: &str| text(client.send(parts("GET", path), Bytes::new()).await.unwrap()).await.unwrap();
    let root = "/apis/arnkeeper.dev/v1beta1";
    let narrowed = get(&format!("{root}/awscertificates?watch=true")).await;
    assert_eq!(narrowed, format!("{root}/awscertificates?watch=true&fieldSelector=metadata.namespace%3Dpay"));
    let narrowed = get(&format!("{root}/awsaccounts?limit=5")).await;
    assert_eq!(narrowed, format!("{root}/awsaccounts?limit=5&labelSelector=of%3Done"));
    let other = format!("{root}/namespaces/x/awscertificates/app");
    assert_eq!(get(&other).await, other);
}

#[tokio::test]
async fn the_control_endpoints_make_rules_and_tell_the_log() {
    let stage = Stage::new().await;
    let control = Server::new(&stage.proxy.control_url(), b"").unwrap();
    let ask = async |method: &str, path: &str, body: Value| {
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let answer = control.send(parts(method, path), body).await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str::<Value>(&text(answer).await.unwrap()).unwrap())
    };
    let rule = json!({"method": "PUT", "act": {"kind": "status", "status": 409, "reason": "Conflict"}});
    assert_eq!(ask("POST", "/_proxy/rules", rule).await, (200, json!({"id": 1})));
    assert_eq!(ask("POST", "/_proxy/rules", json!({"act": {}})).await.0, 400);
    let told: Value = serde_json::from_str(&stage.call("PUT", "/api/v1/x").await.unwrap()).unwrap();
    assert_eq!(
        (told["kind"].as_str(), told["code"].as_u64(), told["reason"].as_str()),
        (Some("Status"), Some(409), Some("Conflict"))
    );
    stage.call("GET", "/api/v1/x").await.unwrap();
    let (_, log) = ask("GET", "/_proxy/log?mutating=true", Value::Null).await;
    assert_eq!((log.as_array().unwrap().len(), log[0]["status"].as_u64()), (1, Some(409)));
    assert_eq!(ask("GET", "/_proxy/rules", Value::Null).await.1[0]["applied"], 1);
    assert_eq!(ask("POST", "/_proxy/reset", Value::Null).await.0, 200);
    assert_eq!(ask("GET", "/_proxy/log", Value::Null).await.1, json!([]));
    assert_eq!(ask("GET", "/_proxy/nothing", Value::Null).await.0, 404);
}
