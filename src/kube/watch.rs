//! One watch a kind: it keeps the store and tells what changed, in this order.

use super::{
    client::{Clients, WATCH_LASTS},
    store::{Change, Kept, Store},
};
use crate::{metrics::Metrics, probes::Pulse};
use futures::{Stream, StreamExt};
use kube::{
    Api, Resource,
    core::DeserializeGuard,
    runtime::{
        WatchStreamExt,
        utils::Backoff,
        watcher::{self, Event, watcher},
    },
};
use serde::de::DeserializeOwned;
use std::{fmt::Debug, sync::Arc, time::Duration};

/// The longest wait before a watch that broke off is opened again.
const LONGEST: Duration = Duration::from_secs(8);

/// So many objects are decoded at once in a list: what it takes for a moment, the process keeps.
const PAGE: u32 = 100;
/// `kubectl apply` leaves the whole manifest there once more.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Watches all objects of a kind. One that can't be decoded is told in the log and left out, and stops nobody else.
///
/// After a new list, changes are told only once the store holds that list: nobody acts on what was before.
pub fn watch<K>(clients: &Clients, pulse: &Pulse) -> (Store<K>, impl Stream<Item = Vec<Change<K>>> + Send + use<K>)
where
    K: Kept + Debug,
{
    let (store, mut writer) = Store::new();
    let guarded: Api<DeserializeGuard<K>> = Api::all(clients.watch(pulse));
    let events = events(guarded, watcher::Config::default().page_size(PAGE), pulse, &clients.metrics);
    let changes = events.filter_map(move |event| {
        let event = match event {
            Ok(event) => decoded(event),
            Err(error) => {
                tracing::warn!(kind = %K::kind(&()), %error, "the watch broke off and is opened again");
                None
            }
        };
        let told = event.map(|event| writer.apply(event)).unwrap_or_default();
        std::future::ready((!told.is_empty()).then_some(told))
    });
    (store, changes)
}

/// What a watch tells, opened again and again; all of it is a sign of life.
pub fn events<K>(
    api: Api<K>,
    config: watcher::Config,
    pulse: &Pulse,
    metrics: &Arc<Metrics>,
) -> impl Stream<Item = Result<Event<K>, watcher::Error>> + Send + use<K>
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + Send + 'static,
{
    let (pulse, metrics) = (pulse.clone(), metrics.clone());
    watcher(api, config.timeout(WATCH_LASTS)).backoff(Patience::default()).inspect(move |event| {
        pulse.beat();
        if event.is_err() {
            metrics.watch_broke(K::kind(&()));
        }
    })
}

/// Waits that double: kube's own may last longer than a watch may be silent.
#[derive(Default)]
struct Patience(u32);

impl Iterator for Patience {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let wait = Duration::from_millis(500 << self.0.min(8)).min(LONGEST);
        self.0 = self.0.saturating_add(1);
        Some(wait)
    }
}

impl Backoff for Patience {
    fn reset(&mut self) {
        self.0 = 0;
    }
}

fn decoded<K>(event: Event<DeserializeGuard<K>>) -> Option<Event<K>>
where
    K: Kept,
{
    let decode = |guard: DeserializeGuard<K>| match guard.0 {
        Ok(mut object) => {
            // Nobody reads them, and they are half of an object's size.
            object.lean();
            object.meta_mut().managed_fields = None;
            if let Some(annotations) = &mut object.meta_mut().annotations {
                annotations.remove(LAST_APPLIED);
            }
            Some(object)
        }
        Err(error) => {
            let name = error.metadata.name.as_deref().unwrap_or_default();
            tracing::error!(kind = %K::kind(&()), name, namespace = error.metadata.namespace.as_deref(), %error,
                "an object can't be decoded and is left out: apply it again by its schema");
            None
        }
    };
    Some(match event {
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
        Event::InitApply(guard) => Event::InitApply(decode(guard)?),
        Event::Apply(guard) => Event::Apply(decode(guard)?),
        Event::Delete(guard) => Event::Delete(decode(guard)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::CertificateRequest,
        kube::stand_in::{Act, FakeApi},
        probes::{
            Health,
            stand_in::{after, until},
        },
    };
    use axum::http::StatusCode;
    use serde_json::json;
    use std::time::Instant;

    fn request() -> CertificateRequest {
        serde_json::from_value(json!({
            "metadata": { "name": "app-1", "annotations": { "arnkeeper.dev/revision": "1", (LAST_APPLIED): "{}" } },
            "spec": { "accountRef": { "name": "prod" }, "region": "eu-west-1", "certificateAuthority": { "name": "ca" } },
        }))
        .unwrap()
    }

    #[test]
    fn what_kubectl_left_is_not_kept() {
        let event = decoded(Event::Apply(DeserializeGuard(Ok(request()))));
        let Some(Event::Apply(kept)) = event else { panic!("it is decoded") };
        let annotations = kept.metadata.annotations.unwrap();
        assert_eq!(annotations.into_iter().collect::<Vec<_>>(), [("arnkeeper.dev/revision".into(), "1".into())]);
    }

    #[test]
    fn waits_double_up_to_eight_seconds() {
        let mut patience = Patience::default();
        let waits: Vec<u128> = patience.by_ref().take(7).map(|wait| wait.as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 8000, 8000]);
        patience.reset();
        assert_eq!(patience.next(), Some(Duration::from_millis(500)));
    }

    /// That it is asked for and answered are signs, too: see [`Clients::watch`].
    #[tokio::test]
    async fn what_a_watch_tells_is_a_sign_of_life() {
        let (api, health) = (FakeApi::default(), Arc::new(Health::default()));
        let clients = Clients::all(&api.client());
        api.does("/awscertificaterequests", Act::KeepOpen);
        let (store, changes) = watch::<CertificateRequest>(&clients, &health.pulse("the watch"));
        let follow = tokio::spawn(changes.for_each(|_| std::future::ready(())));
        until("the watch is open", async || api.open() == 1).await;
        for version in ["5", "6"] {
            until("what was told before has come", async || {
                let moment = Instant::now();
                tokio::task::yield_now().await;
                after(&health, moment).await == (StatusCode::INTERNAL_SERVER_ERROR, vec!["the watch".to_owned()])
            })
            .await;
            let moment = Instant::now();
            let mut newer = request();
            newer.metadata.resource_version = Some(version.to_owned());
            assert_eq!(api.tell("MODIFIED", &serde_json::to_value(&newer).unwrap()), 1);
            // Sooner than the watch is opened again, which is a sign, too.
            let alive = until("it lives", async || after(&health, moment).await.0 == StatusCode::OK);
            tokio::time::timeout(Duration::from_secs(30), alive).await.expect("that is a sign of life");
        }
        assert_eq!(store.keys(|_, _| true).len(), 1);
        follow.abort();
    }
}
