//! What a scrape is answered.

use super::{
    Metrics,
    objects::{self, View},
};
use crate::{controllers::context::Context, kube::key::Key};
use axum::{
    Router,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};
use kube::ResourceExt;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use std::{
    collections::{BTreeSet, HashSet},
    fmt,
    sync::Arc,
};

/// OpenMetrics 1.0, "Overall Structure".
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All that a scrape looks at.
pub struct Scrape {
    /// What is kept as things happen.
    pub metrics: Arc<Metrics>,
    /// The stores.
    pub context: Arc<Context>,
    /// The namespaces that are served; empty: all.
    pub namespaces: BTreeSet<String>,
    /// Whether each Certificate has series of its own.
    pub per_certificate: bool,
}

impl Scrape {
    /// Everything, in the text format of OpenMetrics.
    ///
    /// # Errors
    /// None that a `String` could give.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let accounts = self.context.accounts.all();
        let names: HashSet<String> = accounts.iter().map(|account| account.name_any()).collect();
        self.metrics.leads(self.context.mandate.holds());
        self.metrics.retain_accounts(|name| names.contains(name));
        let ids: HashSet<&str> =
            accounts.iter().filter_map(|account| account.status.as_ref()?.account_id.as_deref()).collect();
        let mut imported = self.context.inventory.counts();
        imported.retain(|(account, ..)| ids.contains(account.as_str()));
        let now = self.context.clock.now();
        let mut budgets = self.context.spending().budgets(now);
        budgets.retain(|(name, ..)| names.contains(name));
        let view = View {
            accounts: &accounts,
            certificates: &self.context.certificates.gists(|key| self.serves(key)),
            requests: &self.context.requests.gists(|key| self.serves(key)),
            imported: &imported,
            budgets: &budgets,
            per_certificate: self.per_certificate,
        };
        self.metrics.text(&objects::registry(&view, now))
    }

    fn serves(&self, key: &Key) -> bool {
        self.namespaces.is_empty() || key.namespace().is_some_and(|namespace| self.namespaces.contains(namespace))
    }
}

impl Metrics {
    /// All that is kept here, and then `more`.
    ///
    /// # Errors
    /// None that a `String` could give.
    pub fn text(&self, more: &prometheus_client::registry::Registry) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode_registry(&mut text, &self.registry)?;
        encode_registry(&mut text, more)?;
        encode_eof(&mut text)?;
        Ok(text)
    }
}

/// The route `/metrics`.
pub fn router(scrape: Arc<Scrape>) -> Router {
    let metrics = move || {
        let scrape = scrape.clone();
        async move {
            // Off the threads that serve everything else: with many Certificates it takes some milliseconds.
            match tokio::task::spawn_blocking(move || scrape.text()).await {
                Ok(Ok(text)) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
                Ok(Err(_)) | Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            }
        }
    };
    Router::new().route("/metrics", get(metrics))
}
