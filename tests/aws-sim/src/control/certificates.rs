//! What is in ACM, and what becomes of it.

use std::{collections::BTreeMap, sync::Arc};

use axum::extract::State as Shared;
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use super::{Answer, Refusal, done, missing};
use crate::acm::{CertificateType, Seed};
use crate::api::ApiError;
use crate::server::Sim;

/// Adds the endpoints to a router.
pub(super) fn routes(router: Router<Arc<Sim>>) -> Router<Arc<Sim>> {
    router
        .route("/_sim/in-use", post(set_in_use))
        .route("/_sim/tags", post(set_tags))
        .route("/_sim/certificates", post(put_certificates).delete(take_certificate))
        .route("/_sim/certificates/many", post(add_certificates))
        .route("/_sim/certificate-type", post(set_certificate_type))
        .route("/_sim/acm-failure", post(set_acm_failure))
        .route("/_sim/managed-renewal", post(begin_managed_renewal))
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
struct Strangers {
    account: String,
    region: String,
    names: Vec<String>,
    #[serde(default = "one")]
    count: usize,
    r#type: Option<String>,
}

fn one() -> usize {
    1
}

async fn put_certificates(Shared(sim): Shared<Arc<Sim>>, Json(given): Json<Strangers>) -> Answer {
    let mut state = sim.lock();
    let call = state.call(&given.account, &given.region);
    let store = state.acm.entry((given.account, given.region)).or_default();
    let kind = given.r#type.as_deref().map_or(Ok(CertificateType::Imported), kind)?;
    let arns = store.put(&call, kind, &given.names, given.count)?;
    Ok(Json(json!({ "arns": arns })))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Taken {
    arn: String,
}

async fn take_certificate(Shared(sim): Shared<Arc<Sim>>, Json(given): Json<Taken>) -> Answer {
    let mut state = sim.lock();
    let store = state.acm.get_mut(&place(&given.arn)?).ok_or_else(|| missing("such certificate"))?;
    store.take(&given.arn)?;
    done()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TypeOfCertificate {
    arn: String,
    r#type: String,
}

/// The type of this name.
fn kind(name: &str) -> Result<CertificateType, ApiError> {
    let kinds = [CertificateType::Imported, CertificateType::AmazonIssued, CertificateType::Private];
    let kind = kinds.into_iter().find(|kind| kind.as_str() == name);
    kind.ok_or_else(|| ApiError::new("BadRequest", format!("no type {name}")))
}

async fn set_certificate_type(Shared(sim): Shared<Arc<Sim>>, Json(given): Json<TypeOfCertificate>) -> Answer {
    let kind = kind(&given.r#type)?;
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
struct ManyCertificates {
    account: String,
    region: String,
    count: u32,
    domain: String,
    #[serde(default = "usual_type")]
    r#type: String,
    #[serde(default = "one_name")]
    names: u32,
    #[serde(default = "usual_life")]
    days: i64,
}

fn usual_type() -> String {
    CertificateType::Imported.as_str().to_owned()
}

fn one_name() -> u32 {
    1
}

fn usual_life() -> i64 {
    365
}

async fn add_certificates(Shared(sim): Shared<Arc<Sim>>, Json(new): Json<ManyCertificates>) -> Answer {
    let kind = kind(&new.r#type)?;
    let seed = Seed { count: new.count, domain: new.domain, kind, names: new.names, days: new.days };
    let call = sim.lock().call(&new.account, &new.region);
    // It takes a while, and others call meanwhile.
    let made = tokio::task::spawn_blocking(move || seed.make(&call)).await;
    let made =
        made.map_err(|error| ApiError { code: "InternalFailure", message: error.to_string(), status: 500 })??;
    let arns = sim.lock().acm.entry((new.account, new.region)).or_default().seed(made);
    Ok(Json(json!({ "arns": arns })))
}
