//! The control endpoints.

use crate::{
    rules::Rule,
    server::Shared,
    stream::{Answer, full},
    victim::{self, Victim},
};
use http_body_util::BodyExt as _;
use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, header::CONTENT_TYPE, server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use regex::Regex;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{convert::Infallible, sync::Arc};
use tokio::net::TcpStream;

/// A status 4xx and what is wrong.
type Refusal = (StatusCode, String);

pub(crate) async fn connection(shared: Arc<Shared>, stream: TcpStream) {
    let service = service_fn(move |request| answer(shared.clone(), request));
    let connection = http1::Builder::new().header_read_timeout(None).serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection of the control endpoints ended");
    }
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Answer>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let query = parts.uri.query().unwrap_or_default();
    let (status, value) = match handle(&shared, &parts.method, parts.uri.path(), query, &body) {
        Ok(value) => (StatusCode::OK, value),
        Err((status, message)) => (status, json!({ "message": message })),
    };
    let mut response = Response::new(full(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    Ok(response)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Process {
    pid: i32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedSignal {
    signal: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Go {
    forward: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Away {
    away: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Shift {
    shift_seconds: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    path: Option<String>,
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    let body: &[u8] = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))
}

fn expression(text: &str) -> Result<Regex, Refusal> {
    Regex::new(text).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))
}

fn handle(shared: &Shared, method: &Method, path: &str, query: &str, body: &[u8]) -> Result<Value, Refusal> {
    let parameter = |name: &str| {
        form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    let number = |name: &str| parameter(name).and_then(|text| text.parse::<u64>().ok());
    match (method, path) {
        (&Method::GET, "/_proxy/health") => Ok(json!({ "status": "ok" })),
        (&Method::POST, "/_proxy/rules") => {
            let rule: Rule = read(body)?;
            let id = shared.lock().rules.add(rule).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
            Ok(json!({ "id": id }))
        }
        (&Method::GET, "/_proxy/rules") => Ok(json!(shared.lock().rules.all())),
        (&Method::DELETE, "/_proxy/rules") => {
            shared.lock().rules.clear(number("id"));
            Ok(json!({}))
        }
        (&Method::GET, "/_proxy/log") => {
            let only_mutating = parameter("mutating").is_some_and(|value| value == "true");
            let fits = parameter("path").map(|path| expression(&path)).transpose()?;
            let state = shared.lock();
            let entries = state.log.after(number("after").unwrap_or(0)).iter().filter(|entry| {
                (!only_mutating || entry.call.mutating)
                    && fits.as_ref().is_none_or(|fits| fits.is_match(&entry.call.path))
            });
            Ok(json!(entries.collect::<Vec<_>>()))
        }
        (&Method::DELETE, "/_proxy/log") => {
            shared.lock().log.clear();
            Ok(json!({}))
        }
        (&Method::POST, "/_proxy/reset") => {
            shared.release(false);
            shared.away.send_replace(false);
            let mut state = shared.lock();
            state.rules.clear(None);
            state.log.clear();
            state.shift_seconds = 0;
            Ok(json!({}))
        }
        (&Method::POST, "/_proxy/client") => {
            shared.lock().victim = Victim::Id(read::<Process>(body)?.pid);
            Ok(json!({}))
        }
        (&Method::POST, "/_proxy/signal") => {
            let named: NamedSignal = read(body)?;
            let unknown = || (StatusCode::BAD_REQUEST, "the signal is TERM, INT, KILL, STOP or CONT".to_owned());
            let signal = victim::signal(&named.signal).ok_or_else(unknown)?;
            let victim = shared.lock().victim.clone();
            victim.signal(signal).map_err(|error| (StatusCode::CONFLICT, error.to_string()))?;
            Ok(json!({}))
        }
        (&Method::GET, "/_proxy/held") => Ok(json!({ "held": shared.lock().held })),
        (&Method::POST, "/_proxy/release") => {
            shared.release(read::<Go>(body)?.forward);
            Ok(json!({}))
        }
        (&Method::POST, "/_proxy/silence") => {
            let which: Which = read(body)?;
            let path = which.path.as_deref().map(expression).transpose()?;
            let silenced = shared.silence(|of| path.as_ref().is_none_or(|path| path.is_match(of)));
            Ok(json!({ "silenced": silenced }))
        }
        (&Method::POST, "/_proxy/away") => {
            shared.away.send_replace(read::<Away>(body)?.away);
            Ok(json!({}))
        }
        (&Method::POST, "/_proxy/date") => {
            shared.lock().shift_seconds = read::<Shift>(body)?.shift_seconds;
            Ok(json!({}))
        }
        _ => Err((StatusCode::NOT_FOUND, "there is no such endpoint".to_owned())),
    }
}
