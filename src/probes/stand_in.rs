//! The probes of a minute from now, and waits that are bounded; for tests.

use super::{Health, SILENCE, router_at};
use axum::{
    body::{Body, to_bytes},
    http::{Request, StatusCode},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tower::ServiceExt as _;

/// What `/livez` will answer a minute after this moment if no part gives a sign from now on, and the parts that it tells of.
/// A part that beat after this moment is alive then.
pub async fn after(health: &Arc<Health>, moment: Instant) -> (StatusCode, Vec<String>) {
    let then = moment + SILENCE + Duration::from_nanos(1);
    let request = Request::get("/livez").body(Body::empty()).unwrap();
    let answer = router_at(health.clone(), move || then).oneshot(request).await.unwrap();
    let status = answer.status();
    let text = String::from_utf8(to_bytes(answer.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap();
    let told = text.lines().filter_map(|line| line.split_once(": no sign of life")).map(|(part, _)| part.to_owned());
    (status, told.collect())
}

/// Waits until all parts but these gave a sign, and asserts that the probe tells of these alone.
pub async fn all_but(health: &Arc<Health>, dead: &[&str]) {
    let moment = Instant::now();
    until(&format!("all but {dead:?} beat"), async || after(health, moment).await.1.len() <= dead.len()).await;
    let status = if dead.is_empty() { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
    let told = dead.iter().map(|part| (*part).to_owned()).collect();
    assert_eq!(after(health, moment).await, (status, told));
}

/// Polls until it is so.
pub async fn until(what: &str, mut is: impl AsyncFnMut() -> bool) {
    let all = async {
        while !is().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), all).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}
