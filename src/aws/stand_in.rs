//! A stand-in for AWS's HTTP endpoints on 127.0.0.1: it writes down the calls and gives the answers of a test.

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, StatusCode},
    response::Response,
    serve::ListenerExt as _,
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

/// A call that came in.
#[derive(Clone, Debug)]
pub struct Call {
    /// The operation, such as `ListCertificates`, without the name of the service.
    pub operation: String,
    /// The access key id that signed it.
    pub key: String,
    /// The session token, or nothing.
    pub token: String,
    /// The region it was signed for.
    pub region: String,
    /// The body.
    pub body: String,
}

impl Call {
    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// The stand-in; it ends with the test's runtime.
pub struct Fake {
    /// Its base URL.
    pub url: String,
    log: Arc<Mutex<Log>>,
    connections: Arc<AtomicUsize>,
}

/// The calls that came in.
#[derive(Default)]
pub(super) struct Log {
    calls: Vec<Call>,
    /// By operation.
    numbers: HashMap<String, usize>,
}

impl Log {
    /// Writes a call down; its number among those of the same operation, from 0.
    pub(super) fn note(&mut self, call: Call) -> usize {
        let next = self.numbers.entry(call.operation.clone()).or_default();
        let number = *next;
        *next += 1;
        self.calls.push(call);
        number
    }

    /// All of them.
    pub(super) fn calls(&self) -> Vec<Call> {
        self.calls.clone()
    }
}

impl Fake {
    /// Serves; `answer` gets the call and its number among those of the same operation, from 0.
    pub async fn start(answer: impl Fn(&Call, usize) -> (u16, String) + Send + Sync + 'static) -> Self {
        let (log, connections, answer) =
            (Arc::<Mutex<Log>>::default(), Arc::<AtomicUsize>::default(), Arc::new(answer));
        let noted = Arc::clone(&log);
        let handle = move |headers: HeaderMap, body: String| {
            let call = call(|name| headers.get(name).and_then(|value| value.to_str().ok()), body);
            let number = noted.lock().unwrap().note(call.clone());
            let (status, body) = answer(&call, number);
            async move { Response::builder().status(StatusCode::from_u16(status).unwrap()).body(Body::from(body)).unwrap() }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let counted = Arc::clone(&connections);
        let listener = listener.tap_io(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
        });
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(handle)).await });
        Self { url, log, connections }
    }

    /// The calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.log.lock().unwrap().calls()
    }

    /// How many connections were made so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The names of the operations called so far.
    pub fn operations(&self) -> Vec<String> {
        self.calls().into_iter().map(|call| call.operation).collect()
    }
}

/// JSON services name the operation in a header, STS in the form.
pub(super) fn call<'a>(header: impl Fn(&'static str) -> Option<&'a str>, body: String) -> Call {
    let header = |name| header(name).unwrap_or_default().to_owned();
    let target = header("x-amz-target");
    let operation = target.split_once('.').map(|(_, name)| name.to_owned());
    let form = || body.split('&').find_map(|pair| pair.strip_prefix("Action=")).unwrap_or_default().to_owned();
    let authorization = header("authorization");
    // AWS4-HMAC-SHA256 Credential=<key>/<date>/<region>/<service>/aws4_request, …
    let scope: Vec<&str> = authorization.split("Credential=").nth(1).unwrap_or_default().split('/').collect();
    let part = |index: usize| scope.get(index).copied().unwrap_or_default().to_owned();
    Call {
        operation: operation.unwrap_or_else(form),
        key: part(0),
        token: header("x-amz-security-token"),
        region: part(2),
        body,
    }
}
