//! The endpoints under `/_sim/` that arrange and watch the emulated world.

use std::{collections::BTreeMap, sync::Arc};

use axum::extract::State as Shared;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::acm::CertificateType;
use crate::api::ApiError;
use crate::faults::Fault;
use crate::identity::{Role, WebIdentity};
use crate::organizations::Organization;
use crate::pca::Ready;
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
    router
        .route("/_sim/health", get(|| async { Json(json!({"status": "ok"})) }))
        .route("/_sim/reset", post(reset))
        .route("/_sim/access-keys", post(add_key).delete(remove_key))
        .route("/_sim/roles", post(add_role).delete(remove_role))
        .route("/_sim/organizations", post(put_organization))
        .route("/_sim/secrets", post(put_secret).delete(remove_secret))
        .route("/_sim/authorities", post(add_authority))
        .route("/_sim/authorities/state", post(set_authority_state))
        .route("/_sim/authorities/share", post(share_authority))
        .route("/_sim/ledger", get(read_ledger).delete(clear_ledger))
        .route("/_sim/faults", post(add_fault).delete(clear_faults))
        .route("/_sim/clock", get(read_clock).post(advance_clock))
        .route("/_sim/in-use", post(set_in_use))
        .route("/_sim/tags", post(set_tags))
        .route("/_sim/certificate-type", post(set_certificate_type))
        .route("/_sim/acm-failure", post(set_acm_failure))
        .route("/_sim/managed-renewal", post(begin_managed_renewal))
        .route("/_sim/deny", post(deny).delete(allow))
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

async fn put_organization(Shared(sim): Shared<Arc<Sim>>, Json(given): Json<Organization>) -> Answer {
    sim.lock().organizations.put(given);
    done()
}

async fn remove_role(Shared(sim): Shared<Arc<Sim>>, Json(given): Json<GivenRole>) -> Answer {
    sim.lock().identities.roles.remove(&given.arn).ok_or_else(|| missing("such role"))?;
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
struct InUse {
    arn: String,
    by: Vec<String>,
}

/// The account and region of an ACM certificate's ARN.
fn place(arn: &str) -> Result<(String, String), Refusal> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", _, "acm", region, account, _] = parts[..] else { return Err(missing("such certificate")) };
    Ok((account.to_owned(), region.to_owned()))
}

async fn set_in_use(Shared(sim): Shared<Arc<Sim>>, Json(given): Json<InUse>) -> Answer {
    let mut state = sim.lock();
    let store = state.acm.get_mut(&place(&given.arn)?).ok_or_else(|| missing("such certificate"))?;
    store.set_in_use(&given.arn, given.by)?;
    done()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Tags {
    arn: String,
    tags: BTreeMap<String, String>,
}

async fn set_tags(Shared(sim): Shared<Arc<Sim>>, Json(given): Json<Tags>) -> Answer {
    let mut state = sim.lock();
    let store = state.acm.get_mut(&place(&given.arn)?).ok_or_else(|| missing("such certificate"))?;
    store.set_tags(&given.arn, given.tags)?;
    done()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TypeOfCertificate {
    arn: String,
    r#type: String,
}

async fn set_certificate_type(Shared(sim): Shared<Arc<Sim>>, Json(given): Json<TypeOfCertificate>) -> Answer {
    let kinds = [CertificateType::Imported, CertificateType::AmazonIssued, CertificateType::Private];
    let kind = kinds.into_iter().find(|kind| kind.as_str() == given.r#type);
    let kind = kind.ok_or_else(|| ApiError::new("BadRequest", format!("no type {}", given.r#type)))?;
    let mut state = sim.lock();
    let store = state.acm.get_mut(&place(&given.arn)?).ok_or_else(|| missing("such certificate"))?;
    store.set_type(&given.arn, kind)?;
    done()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ManagedRenewal {
    arn: String,
}

async fn begin_managed_renewal(Shared(sim): Shared<Arc<Sim>>, Json(given): Json<ManagedRenewal>) -> Answer {
    let mut state = sim.lock();
    let (now, polls) = (state.clock.now(), state.pca.in_progress_polls);
    let store = state.acm.get_mut(&place(&given.arn)?).ok_or_else(|| missing("such certificate"))?;
    store.begin_renewal(&given.arn, now, polls)?;
    done()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AcmFailure {
    account: String,
    region: String,
    reason: Option<String>,
}

async fn set_acm_failure(Shared(sim): Shared<Arc<Sim>>, Json(given): Json<AcmFailure>) -> Answer {
    let mut state = sim.lock();
    state.acm.entry((given.account, given.region)).or_default().set_failure(given.reason);
    drop(state);
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
