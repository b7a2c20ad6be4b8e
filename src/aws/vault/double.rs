//! A stand-in for Vault on 127.0.0.1, which answers as Vault's HTTP API documentation says (developer.hashicorp.com/vault/api-docs).

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::Response,
    serve::Listener,
};
use rustls::{ServerConfig, crypto::aws_lc_rs::default_provider};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// A call that came in.
#[derive(Clone, Debug)]
pub struct Call {
    /// Method and path, such as `GET /v1/secret/data/aws/prod`.
    pub what: String,
    /// The header X-Vault-Token, or nothing.
    pub token: String,
    /// The header X-Vault-Namespace, or nothing.
    pub namespace: String,
    /// The body, as JSON.
    pub body: Value,
}

/// The stand-in; it ends with the test's runtime.
pub struct Double {
    /// Its base URL.
    pub url: String,
    /// The CA that signed its certificate, in PEM; empty without TLS.
    pub ca: String,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Double {
    /// Serves plain HTTP; `answer` gets the call and its number among those of the same kind, from 0.
    pub async fn start(answer: impl Fn(&Call, usize) -> (u16, Value) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (router, calls) = router(answer);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, ca: String::new(), calls }
    }

    /// The same, with TLS and a certificate of a CA of its own.
    pub async fn with_tls(answer: impl Fn(&Call, usize) -> (u16, Value) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = rustls_pki_types::PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let config = config.with_single_cert(vec![own.cert.der().clone()], key).unwrap();
        let secured = Secured { listener, tls: TlsAcceptor::from(Arc::new(config)) };
        let (router, calls) = router(answer);
        tokio::spawn(async move { axum::serve(secured, router).await });
        Self { url, ca: own.cert.pem(), calls }
    }

    /// The calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }
}

fn router(answer: impl Fn(&Call, usize) -> (u16, Value) + Send + Sync + 'static) -> (Router, Arc<Mutex<Vec<Call>>>) {
    let calls = Arc::new(Mutex::new(Vec::<Call>::new()));
    let (log, answer) = (Arc::clone(&calls), Arc::new(answer));
    let handle = move |method: Method, uri: Uri, headers: HeaderMap, body: String| {
        let header = |name| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        let call = Call {
            what: format!("{method} {}", uri.path()),
            token: header("x-vault-token"),
            namespace: header("x-vault-namespace"),
            body: serde_json::from_str(&body).unwrap_or_default(),
        };
        let mut calls = log.lock().unwrap();
        let number = calls.iter().filter(|c| c.what == call.what).count();
        let (status, body) = answer(&call, number);
        calls.push(call);
        let text = if body.is_null() { String::new() } else { body.to_string() };
        async move { Response::builder().status(StatusCode::from_u16(status).unwrap()).body(Body::from(text)).unwrap() }
    };
    (Router::new().fallback(handle), calls)
}

struct Secured {
    listener: TcpListener,
    tls: TlsAcceptor,
}

impl Listener for Secured {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            if let Ok((stream, address)) = self.listener.accept().await
                && let Ok(secured) = self.tls.accept(stream).await
            {
                return (secured, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A login (Kubernetes auth method, Login, "Sample response").
pub fn logged_in(token: &str) -> (u16, Value) {
    let auth = json!({ "client_token": token, "accessor": "0e9e354a-520f-df04-6867-ee81cae3d42d", "policies": ["default"],
        "metadata": { "role": "arnkeeper" }, "lease_duration": 2_764_800, "renewable": true });
    (200, json!({ "lease_id": "", "renewable": false, "lease_duration": 0, "data": null, "auth": auth }))
}

/// A secret (KV secrets engine version 2, Read secret version, "Sample response").
pub fn secret(fields: &Value) -> (u16, Value) {
    let metadata = json!({ "created_time": "2018-03-22T02:24:06.945319214Z", "custom_metadata": null, "deletion_time": "",
        "destroyed": false, "version": 2 });
    let data = json!({ "data": fields, "metadata": metadata });
    (200, json!({ "lease_id": "", "lease_duration": 0, "renewable": false, "data": data, "auth": null }))
}

/// An error ("HTTP API", Error response).
pub fn errors(status: u16, errors: &[&str]) -> (u16, Value) {
    (status, json!({ "errors": errors }))
}
