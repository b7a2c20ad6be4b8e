//! A stand-in for the API server, in memory: no objects, watches that end at once, and Leases; by path it hangs, or worse.

use axum::body::Body as Answer;
use futures::{StreamExt as _, stream};
use http::{Method, Request, Response};
use kube::{Client, client::Body};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::{broadcast, watch as flag};

/// What is done with the calls of a path.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// They are answered; a watch ends after a moment, and is opened again and again.
    Serve,
    /// They are answered; a watch stays open, and tells what [`FakeApi::tell`] is given.
    KeepOpen,
    /// They wait until something else is done.
    Hang,
    /// Who calls panics.
    Panic,
}

/// The stand-in.
#[derive(Clone)]
pub struct FakeApi(Arc<Inner>);

struct Inner {
    acts: flag::Sender<BTreeMap<&'static str, Act>>,
    /// How many calls hang, by path.
    hanging: Mutex<BTreeMap<String, usize>>,
    events: broadcast::Sender<String>,
    lease: Mutex<Option<Value>>,
}

impl Default for FakeApi {
    fn default() -> Self {
        let (acts, events) = (flag::Sender::default(), broadcast::Sender::new(16));
        Self(Arc::new(Inner { acts, hanging: Mutex::default(), events, lease: Mutex::default() }))
    }
}

impl FakeApi {
    /// A client of it.
    pub fn client(&self) -> Client {
        let api = self.clone();
        let serve = move |request| {
            let api = api.clone();
            async move { Ok::<_, Infallible>(api.answer(request).await) }
        };
        Client::new(tower::service_fn(serve), "default")
    }

    /// From now on, and for what hangs already, this is done with the paths that end so.
    pub fn does(&self, path: &'static str, act: Act) {
        self.0.acts.send_modify(|acts| {
            acts.insert(path, act);
        });
    }

    /// Whether a call to a path that ends so hangs.
    pub fn hangs(&self, path: &str) -> bool {
        self.0.hanging.lock().unwrap().iter().any(|(of, calls)| of.ends_with(path) && *calls > 0)
    }

    /// Tells the watches that are kept open; returns how many these are.
    pub fn tell(&self, kind: &str, object: &Value) -> usize {
        let event = json!({ "type": kind, "object": object });
        self.0.events.send(format!("{event}\n")).unwrap_or_default()
    }

    /// How many watches are kept open.
    pub fn open(&self) -> usize {
        self.0.events.receiver_count()
    }

    /// Who has the Lease.
    pub fn holder(&self) -> Option<String> {
        Some(self.0.lease.lock().unwrap().as_ref()?["spec"]["holderIdentity"].as_str()?.to_owned())
    }

    /// Gives the Lease to somebody.
    pub fn give_lease(&self, holder: &str) {
        let mut lease = self.0.lease.lock().unwrap();
        let mut given = lease.take().unwrap();
        given["spec"]["holderIdentity"] = holder.into();
        *lease = Some(renewed(given));
    }

    fn act(&self, path: &str) -> Act {
        let acts = self.0.acts.borrow();
        acts.iter().find(|(end, _)| path.ends_with(*end)).map_or(Act::Serve, |(_, act)| *act)
    }

    fn count(&self, path: &str, change: impl FnOnce(&mut usize)) {
        change(self.0.hanging.lock().unwrap().entry(path.to_owned()).or_default());
    }

    async fn answer(self, request: Request<Body>) -> Response<Answer> {
        let (path, mut news) = (request.uri().path().to_owned(), self.0.acts.subscribe());
        let act = loop {
            match self.act(&path) {
                Act::Panic => panic!("so the test wants it"),
                Act::Hang => {
                    self.count(&path, |calls| *calls += 1);
                    news.changed().await.unwrap();
                    self.count(&path, |calls| *calls -= 1);
                }
                act => break act,
            }
        };
        if path.contains("/leases") {
            return self.lease(request).await;
        }
        if !request.uri().query().is_some_and(|query| query.contains("watch=true")) {
            let list =
                json!({ "kind": "List", "apiVersion": "v1", "metadata": { "resourceVersion": "1" }, "items": [] });
            return Response::new(list.to_string().into());
        }
        if act == Act::KeepOpen {
            let events = self.0.events.subscribe();
            let events = stream::unfold(events, async |mut events| Some((events.recv().await.ok()?, events)));
            return Response::new(Answer::from_stream(events.map(Ok::<_, Infallible>)));
        }
        // Not at once: nobody shall be busy with nothing but this.
        tokio::time::sleep(Duration::from_millis(2)).await;
        Response::new(Answer::empty())
    }

    async fn lease(&self, request: Request<Body>) -> Response<Answer> {
        let method = request.method().clone();
        let body = request.into_body().collect_bytes().await.unwrap();
        let mut lease = self.0.lease.lock().unwrap();
        if method != Method::GET {
            let wanted: Value = serde_json::from_slice(&body).unwrap();
            let version = lease.as_ref().map(|lease| &lease["metadata"]["resourceVersion"]);
            if version.is_some_and(|version| *version != wanted["metadata"]["resourceVersion"]) {
                return failure(409, "Conflict");
            }
            *lease = Some(renewed(wanted));
        }
        lease.as_ref().map_or_else(|| failure(404, "NotFound"), |lease| Response::new(lease.to_string().into()))
    }
}

/// With a new resourceVersion.
fn renewed(mut lease: Value) -> Value {
    let version = lease["metadata"]["resourceVersion"].as_str().map_or(0, |version| version.parse::<u64>().unwrap());
    lease["metadata"]["resourceVersion"] = (version + 1).to_string().into();
    lease
}

fn failure(code: u16, reason: &str) -> Response<Answer> {
    let status = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code,
        "message": "so the stand-in wants it" });
    Response::builder().status(code).body(status.to_string().into()).unwrap()
}
