//! Private CAs.

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use super::{Answer, done, missing};
use crate::api::ApiError;
use crate::pca::Ready;
use crate::server::Sim;

/// Adds the endpoints to a router.
pub(super) fn routes(router: Router<Arc<Sim>>) -> Router<Arc<Sim>> {
    router
        .route("/_sim/authorities", post(add_authority))
        .route("/_sim/authorities/state", post(set_authority_state))
        .route("/_sim/authorities/share", post(share_authority))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewAuthority {
    account: String,
    region: String,
    common_name: String,
    #[serde(default = "usual_algorithm")]
    key_algorithm: String,
    #[serde(default = "usual_days")]
    days: i64,
    #[serde(default = "usual_mode")]
    usage_mode: String,
    parent_arn: Option<String>,
}

fn usual_algorithm() -> String {
    "EC_prime256v1".to_owned()
}

fn usual_days() -> i64 {
    3650
}

fn usual_mode() -> String {
    "GENERAL_PURPOSE".to_owned()
}

async fn add_authority(Shared(sim): Shared<Arc<Sim>>, Json(new): Json<NewAuthority>) -> Answer {
    let mut state = sim.lock();
    let call = state.call(&new.account, &new.region);
    let ready = Ready {
        common_name: &new.common_name,
        key_algorithm: &new.key_algorithm,
        days: new.days,
        usage_mode: &new.usage_mode,
        parent: new.parent_arn.as_deref(),
    };
    let arn = state.pca.add_ready(&call, &ready)?;
    let made = state.pca.by_arn(&arn).and_then(|made| made.installed.clone());
    let made = made.ok_or_else(|| missing("such authority"))?;
    Ok(Json(json!({"arn": arn, "certificate": made.certificate, "chain": made.chain})))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AuthorityState {
    arn: String,
    status: String,
}

async fn set_authority_state(Shared(sim): Shared<Arc<Sim>>, Json(given): Json<AuthorityState>) -> Answer {
    let known = ["CREATING", "PENDING_CERTIFICATE", "ACTIVE", "DISABLED", "EXPIRED", "FAILED", "DELETED"];
    let status = known.into_iter().find(|known| *known == given.status);
    let status = status.ok_or_else(|| ApiError::new("BadRequest", format!("no status {}", given.status)))?;
    let mut state = sim.lock();
    let now = state.clock.now();
    state.pca.by_arn(&given.arn).ok_or_else(|| missing("such authority"))?.set_status(status, now);
    done()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Share {
    arn: String,
    accounts: Vec<String>,
}

async fn share_authority(Shared(sim): Shared<Arc<Sim>>, Json(given): Json<Share>) -> Answer {
    let mut state = sim.lock();
    let authority = state.pca.by_arn(&given.arn).ok_or_else(|| missing("such authority"))?;
    authority.sharers = given.accounts.into_iter().collect();
    drop(state);
    done()
}
