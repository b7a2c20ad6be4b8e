//! Who may call: keys, sessions, roles, and what is denied.

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::routing::{delete, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use super::{Answer, done, missing};
use crate::identity::{Role, WebIdentity};
use crate::server::Sim;

/// Adds the endpoints to a router.
pub(super) fn routes(router: Router<Arc<Sim>>) -> Router<Arc<Sim>> {
    router
        .route("/_sim/access-keys", post(add_key).delete(remove_key))
        .route("/_sim/sessions", delete(end_sessions))
        .route("/_sim/roles", post(add_role).delete(remove_role))
        .route("/_sim/deny", post(deny).delete(allow))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewKey {
    account: String,
    access_key_id: Option<String>,
    secret_access_key: Option<String>,
    #[serde(default)]
    root: bool,
}

async fn add_key(Shared(sim): Shared<Arc<Sim>>, Json(new): Json<NewKey>) -> Answer {
    let key = sim.lock().identities.add_key(&new.account, new.access_key_id, new.secret_access_key, new.root)?;
    Ok(Json(json!({"account": key.account, "accessKeyId": key.id, "secretAccessKey": key.secret})))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OldKey {
    access_key_id: String,
}

async fn remove_key(Shared(sim): Shared<Arc<Sim>>, Json(old): Json<OldKey>) -> Answer {
    sim.lock().identities.keys.remove(&old.access_key_id).ok_or_else(|| missing("such key"))?;
    done()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Sessions {
    account: String,
}

async fn end_sessions(Shared(sim): Shared<Arc<Sim>>, Json(of): Json<Sessions>) -> Answer {
    let mut state = sim.lock();
    let now = state.clock.now();
    let ended = state.identities.end_sessions(&of.account, now);
    Ok(Json(json!({ "ended": ended })))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GivenRole {
    arn: String,
    external_id: Option<String>,
    trusted_accounts: Option<Vec<String>>,
    max_session_seconds: Option<i64>,
    web_identity: Option<WebIdentity>,
}

async fn add_role(Shared(sim): Shared<Arc<Sim>>, Json(given): Json<GivenRole>) -> Answer {
    let role = Role {
        external_id: given.external_id,
        trusted_accounts: given.trusted_accounts.map(|all| all.into_iter().collect()),
        max_session_seconds: given.max_session_seconds.unwrap_or(3600).clamp(3600, 43_200),
        web_identity: given.web_identity,
    };
    sim.lock().identities.roles.insert(given.arn, role);
    done()
}

async fn remove_role(Shared(sim): Shared<Arc<Sim>>, Json(given): Json<GivenRole>) -> Answer {
    sim.lock().identities.roles.remove(&given.arn).ok_or_else(|| missing("such role"))?;
    done()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Denial {
    account: String,
    #[serde(default)]
    actions: Vec<String>,
}

async fn deny(Shared(sim): Shared<Arc<Sim>>, Json(given): Json<Denial>) -> Answer {
    sim.lock().identities.denied.entry(given.account).or_default().extend(given.actions);
    done()
}

async fn allow(Shared(sim): Shared<Arc<Sim>>, Json(given): Json<Denial>) -> Answer {
    sim.lock().identities.denied.remove(&given.account);
    done()
}
