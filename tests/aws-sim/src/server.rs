//! The HTTP side: AWS's two protocols, and connections that end without an answer.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State as Shared};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower::ServiceExt as _;

use crate::control;
use crate::random;
use crate::sigv4::{self, AuthError, Message};
use crate::state::{GivenKey, Reply, Request, Service, State};
use crate::web_identity;

/// The largest request: ACM's limits in base 64, and room.
const MAX_BODY_BYTES: usize = 8 << 20;

/// An emulator.
pub struct Sim(Mutex<State>);

impl Sim {
    /// An emulator that knows these access keys: id, secret, account.
    #[must_use]
    pub fn new(keys: Vec<GivenKey>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State::new(keys))))
    }

    /// The world, alone; never to be held over an await.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Marks an answer that is not to be sent.
#[derive(Clone)]
struct Unsent;

/// Listens on the loopback address; port 0 takes a free one.
///
/// # Errors
/// When the port is taken.
pub async fn listen(port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await
}

/// Serves until the process ends. Every answer has a Date header, from the real clock.
pub async fn serve(listener: TcpListener, sim: Arc<Sim>) {
    let router = control::routes(Router::new())
        .route("/", get(|| async { "aws-sim\n" }).post(aws))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(sim);
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        let router = router.clone();
        tokio::spawn(async move {
            // Small answers must not wait for more to send.
            let _ = stream.set_nodelay(true);
            let service = service_fn(move |request: hyper::Request<Incoming>| {
                let router = router.clone();
                async move {
                    let response = router.oneshot(request.map(Body::new)).await.unwrap_or_else(|never| match never {});
                    // An error here closes the connection without a byte of an answer.
                    if response.extensions().get::<Unsent>().is_some() {
                        return Err(std::io::Error::from(std::io::ErrorKind::ConnectionAborted));
                    }
                    Ok(response)
                }
            });
            // Who waits for a head without end closes no idle connection: a call that meets the close would be lost by chance.
            let connection =
                http1::Builder::new().header_read_timeout(None).serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended");
            }
        });
    }
}

/// One call of any AWS client.
async fn aws(Shared(sim): Shared<Arc<Sim>>, method: Method, uri: Uri, headers: HeaderMap, bytes: Bytes) -> Response {
    let Some((service, operation, form)) = target(&headers, &bytes) else {
        let message = "The request names no operation of an emulated service".to_owned();
        return render(
            Service::Acm,
            "",
            &Reply::Refused { code: "UnknownOperationException".to_owned(), message, status: 404 },
        );
    };
    let message = Message {
        method: method.as_str(),
        path: uri.path(),
        query: uri.query().unwrap_or_default(),
        headers: &headers,
        body: &bytes,
    };
    let (reply, delay) = call(&sim, service, &operation, form, &message);
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    tracing::info!(service = service.name(), %operation, outcome = outcome(&reply), "call");
    render(service, &operation, &reply)
}

/// The service and operation of a call, and for the query protocol its parameters.
fn target(headers: &HeaderMap, bytes: &Bytes) -> Option<(Service, String, Option<Value>)> {
    if let Some(target) = headers.get("x-amz-target") {
        let (name, operation) = target.to_str().ok()?.split_once('.')?;
        let service = match name {
            "CertificateManager" => Service::Acm,
            "ACMPrivateCA" => Service::Pca,
            "AWSOrganizationsV20161128" => Service::Organizations,
            "secretsmanager" => Service::Secrets,
            _ => return None,
        };
        return Some((service, operation.to_owned(), None));
    }
    let parameters: serde_json::Map<String, Value> =
        form_urlencoded::parse(bytes).map(|(name, value)| (name.into_owned(), json!(value))).collect();
    let action = parameters.get("Action")?.as_str()?.to_owned();
    // Their versions tell the services of the query protocol apart.
    let is_iam = parameters.get("Version").is_some_and(|version| version == "2010-05-08");
    let service = if is_iam { Service::Iam } else { Service::Sts };
    Some((service, action, Some(Value::Object(parameters))))
}

/// Authenticates and carries out a call.
fn call(sim: &Sim, service: Service, operation: &str, form: Option<Value>, message: &Message) -> (Reply, Duration) {
    let mut state = sim.lock();
    // STS API reference, AssumeRoleWithWebIdentity: it "does not require the use of AWS security credentials".
    if let (Service::Sts, web_identity::OPERATION, Some(body)) = (service, operation, &form) {
        let key = web_identity::caller(body);
        let (operation, region) = (operation.to_owned(), String::new());
        return state.execute(&Request { service, operation, body: body.clone(), key, region });
    }
    let signature = match sigv4::read(message.headers) {
        Ok(signature) => signature,
        Err(error) => {
            state.note_refusal(service, operation, None, refusal(service, &error).0);
            return (refused(service, &error), Duration::ZERO);
        }
    };
    let key = match state.authenticate(&signature, message, service, Timestamp::now()) {
        Ok(key) => key,
        Err(error) => {
            state.note_refusal(service, operation, Some(&signature), refusal(service, &error).0);
            return (refused(service, &error), Duration::ZERO);
        }
    };
    let body = match form {
        Some(form) => form,
        None => match serde_json::from_slice::<Value>(message.body) {
            Ok(body) if body.is_object() => body,
            _ => {
                let code = "SerializationException";
                state.note_refusal(service, operation, Some(&signature), code);
                let message = "The body is not a JSON object".to_owned();
                return (Reply::Refused { code: code.to_owned(), message, status: 400 }, Duration::ZERO);
            }
        },
    };
    let region = signature.region;
    state.execute(&Request { service, operation: operation.to_owned(), body, key, region })
}

fn refusal(service: Service, error: &AuthError) -> (&'static str, String, u16) {
    if service.is_query() { error.xml() } else { error.json() }
}

fn refused(service: Service, error: &AuthError) -> Reply {
    let (code, message, status) = refusal(service, error);
    Reply::Refused { code: code.to_owned(), message, status }
}

fn outcome(reply: &Reply) -> &str {
    match reply {
        Reply::Answer(_) => "ok",
        Reply::Refused { code, .. } => code,
        Reply::Dropped => "dropped",
    }
}

/// Writes an answer in the service's protocol.
fn render(service: Service, operation: &str, reply: &Reply) -> Response {
    let id = random::uuid().unwrap_or_default();
    let namespace = match service {
        Service::Iam => "https://iam.amazonaws.com/doc/2010-05-08/",
        _ => "https://sts.amazonaws.com/doc/2011-06-15/",
    };
    let (status, text) = match reply {
        Reply::Dropped => {
            let mut response = Response::new(Body::empty());
            response.extensions_mut().insert(Unsent);
            return response;
        }
        Reply::Answer(answer) if service.is_query() => {
            let mut result = String::new();
            xml(answer, &mut result);
            let text = format!(
                "<{operation}Response xmlns=\"{namespace}\">\
                 <{operation}Result>{result}</{operation}Result>\
                 <ResponseMetadata><RequestId>{id}</RequestId></ResponseMetadata></{operation}Response>"
            );
            (200, text)
        }
        Reply::Answer(Value::Null) => (200, String::new()),
        Reply::Answer(answer) => (200, answer.to_string()),
        Reply::Refused { code, message, status } if service.is_query() => {
            let side = if *status < 500 { "Sender" } else { "Receiver" };
            let mut error = String::new();
            xml(&json!({"Type": side, "Code": code, "Message": message}), &mut error);
            let text = format!(
                "<ErrorResponse xmlns=\"{namespace}\">\
                 <Error>{error}</Error><RequestId>{id}</RequestId></ErrorResponse>"
            );
            (*status, text)
        }
        Reply::Refused { code, message, status } => (*status, json!({"__type": code, "message": message}).to_string()),
    };
    let kind = if service.is_query() { "text/xml" } else { "application/x-amz-json-1.1" };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, kind), (header::HeaderName::from_static("x-amzn-requestid"), &id)], text)
        .into_response()
}

/// Elements for an object's fields and a list's members, and text for anything else.
fn xml(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                out.extend(["<", name, ">"]);
                xml(value, out);
                out.extend(["</", name, ">"]);
            }
        }
        Value::Array(members) => {
            for member in members {
                out.push_str("<member>");
                xml(member, out);
                out.push_str("</member>");
            }
        }
        Value::String(text) => {
            out.push_str(&text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"));
        }
        other => out.push_str(&other.to_string()),
    }
}
