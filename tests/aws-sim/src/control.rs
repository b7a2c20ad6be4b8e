//! The endpoints under `/_sim/` that arrange and watch the emulated world.

mod authorities;
mod certificates;
mod identities;

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::ApiError;
use crate::faults::Fault;
use crate::organizations::Organization;
use crate::secrets::{Protection, Secret};
use crate::server::Sim;

type Answer = Result<Json<Value>, Refusal>;

/// An answer of status 4xx with a JSON body.
struct Refusal(ApiError);

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::BAD_REQUEST);
        (status, Json(json!({"code": self.0.code, "message": self.0.message}))).into_response()
    }
}

fn missing(what: &str) -> Refusal {
    Refusal(ApiError { code: "NotFound", message: format!("there is no {what}"), status: 404 })
}

/// Adds the endpoints to a router.
pub fn routes(router: Router<Arc<Sim>>) -> Router<Arc<Sim>> {
    certificates::routes(authorities::routes(identities::routes(router)))
        .route("/_sim/health", get(|| async { Json(json!({"status": "ok"})) }))
        .route("/_sim/reset", post(reset))
        .route("/_sim/organizations", post(put_organization))
        .route("/_sim/secrets", post(put_secret).delete(remove_secret))
        .route("/_sim/ledger", get(read_ledger).delete(clear_ledger))
        .route("/_sim/faults", post(add_fault).delete(clear_faults))
        .route("/_sim/clock", get(read_clock).post(advance_clock))
        .route("/_sim/quotas", post(set_quotas))
        .route("/_sim/settings", post(set_settings))
}

#[expect(clippy::unnecessary_wraps, reason = "ends handlers that may refuse")]
fn done() -> Answer {
    Ok(Json(json!({})))
}

/// A parameter of the query.
fn parameter(uri: &Uri, name: &str) -> Option<String> {
    form_urlencoded::parse(uri.query()?.as_bytes())
        .find(|(key, value)| key == name && !value.is_empty())
        .map(|(_, value)| value.into_owned())
}

async fn reset(Shared(sim): Shared<Arc<Sim>>) -> Answer {
    sim.lock().reset();
    done()
}

async fn put_organization(Shared(sim): Shared<Arc<Sim>>, Json(given): Json<Organization>) -> Answer {
    sim.lock().organizations.put(given);
    done()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GivenSecret {
    account: String,
    region: String,
    name: String,
    string: Option<String>,
    binary: Option<String>,
    #[serde(default)]
    deleted: bool,
    #[serde(default)]
    protection: Protection,
}

async fn put_secret(Shared(sim): Shared<Arc<Sim>>, Json(given): Json<GivenSecret>) -> Answer {
    let mut state = sim.lock();
    let call = state.call(&given.account, &given.region);
    let GivenSecret { string, binary, deleted, protection, .. } = given;
    let arn = state.secrets.put(&call, &given.name, Secret { string, binary, deleted, protection });
    Ok(Json(json!({"arn": arn})))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OldSecret {
    account: String,
    region: String,
    name: String,
}

async fn remove_secret(Shared(sim): Shared<Arc<Sim>>, Json(old): Json<OldSecret>) -> Answer {
    let mut state = sim.lock();
    let call = state.call(&old.account, &old.region);
    if state.secrets.remove(&call, &old.name) { done() } else { Err(missing("such secret")) }
}

async fn read_ledger(Shared(sim): Shared<Arc<Sim>>, uri: Uri) -> Answer {
    let (account, operation) = (parameter(&uri, "account"), parameter(&uri, "operation"));
    let state = sim.lock();
    Ok(Json(json!(state.ledger.find(account.as_deref(), operation.as_deref()))))
}

async fn clear_ledger(Shared(sim): Shared<Arc<Sim>>) -> Answer {
    sim.lock().ledger.clear();
    done()
}

async fn add_fault(Shared(sim): Shared<Arc<Sim>>, Json(fault): Json<Fault>) -> Answer {
    sim.lock().faults.add(fault);
    done()
}

async fn clear_faults(Shared(sim): Shared<Arc<Sim>>, uri: Uri) -> Answer {
    sim.lock().faults.clear(parameter(&uri, "account").as_deref());
    done()
}

async fn read_clock(Shared(sim): Shared<Arc<Sim>>) -> Answer {
    Ok(Json(json!({"now": sim.lock().clock.now()})))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Advance {
    advance_seconds: i64,
}

async fn advance_clock(Shared(sim): Shared<Arc<Sim>>, Json(given): Json<Advance>) -> Answer {
    let mut state = sim.lock();
    state.clock.advance(given.advance_seconds);
    Ok(Json(json!({"now": state.clock.now()})))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct QuotaSwitch {
    enabled: bool,
    account: Option<String>,
}

async fn set_quotas(Shared(sim): Shared<Arc<Sim>>, Json(given): Json<QuotaSwitch>) -> Answer {
    let quotas = &mut sim.lock().quotas;
    match given.account {
        None => quotas.enabled = given.enabled,
        Some(account) if given.enabled => drop(quotas.accounts.insert(account)),
        Some(account) => drop(quotas.accounts.remove(&account)),
    }
    done()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Settings {
    in_progress_polls: u32,
}

async fn set_settings(Shared(sim): Shared<Arc<Sim>>, Json(given): Json<Settings>) -> Answer {
    sim.lock().pca.in_progress_polls = given.in_progress_polls;
    done()
}
