//! One watch a kind: it keeps the store and tells what changed, in this order.

use super::client::{Clients, WATCH_LASTS};
use crate::probes::Pulse;
use futures::{Stream, StreamExt};
use kube::{
    Api, Resource, ResourceExt,
    core::DeserializeGuard,
    runtime::{
        WatchStreamExt,
        reflector::{Store, store},
        utils::Backoff,
        watcher::{self, Event, watcher},
    },
};
use serde::de::DeserializeOwned;
use std::{fmt::Debug, hash::Hash, sync::Arc, time::Duration};

/// The longest wait before a watch that broke off is opened again.
const LONGEST: Duration = Duration::from_secs(8);

/// What became of an object.
#[derive(Clone, Debug)]
pub enum Change<K> {
    /// It is there, new or changed; the store has it.
    Applied(Arc<K>),
    /// It is gone; the store has it no more.
    Deleted(Arc<K>),
}

/// Watches all objects of a kind. One that can't be decoded is told in the log and left out, and stops nobody else.
///
/// After a new list, changes are told only once the store holds that list: nobody acts on what was before.
pub fn watch<K>(clients: &Clients, pulse: &Pulse) -> (Store<K>, impl Stream<Item = Vec<Change<K>>> + Send + use<K>)
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + Send + Sync + 'static,
    K::DynamicType: Eq + Hash + Clone + Default,
{
    let (reader, mut writer) = store();
    let guarded: Api<DeserializeGuard<K>> = Api::all(clients.watch(pulse));
    let mut listed: Vec<Change<K>> = Vec::new();
    let events = events(guarded, watcher::Config::default(), pulse);
    let changes = events.filter_map(move |event| {
        let event = match event {
            Ok(event) => decoded(event),
            Err(error) => {
                tracing::warn!(kind = %K::kind(&()), %error, "the watch broke off and is opened again");
                None
            }
        };
        let mut told = Vec::new();
        if let Some(event) = event {
            writer.apply_watcher_event(&event);
            match event {
                Event::Init => listed.clear(),
                Event::InitApply(object) => listed.push(Change::Applied(Arc::new(object))),
                Event::InitDone => told = std::mem::take(&mut listed),
                Event::Apply(object) => told.push(Change::Applied(Arc::new(object))),
                Event::Delete(object) => told.push(Change::Deleted(Arc::new(object))),
            }
        }
        std::future::ready((!told.is_empty()).then_some(told))
    });
    (reader, changes)
}

/// What a watch tells, opened again and again; all of it is a sign of life.
pub fn events<K>(
    api: Api<K>,
    config: watcher::Config,
    pulse: &Pulse,
) -> impl Stream<Item = Result<Event<K>, watcher::Error>> + Send + use<K>
where
    K: Resource + DeserializeOwned + Clone + Debug + Send + 'static,
{
    let pulse = pulse.clone();
    watcher(api, config.timeout(WATCH_LASTS)).backoff(Patience::default()).inspect(move |_| pulse.beat())
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
    K: Resource<DynamicType = ()>,
{
    let decode = |guard: DeserializeGuard<K>| match guard.0 {
        Ok(mut object) => {
            // Nobody reads them, and they are half of an object's size.
            object.managed_fields_mut().clear();
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

    #[test]
    fn waits_double_up_to_eight_seconds() {
        let mut patience = Patience::default();
        let waits: Vec<u128> = patience.by_ref().take(7).map(|wait| wait.as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 8000, 8000]);
        patience.reset();
        assert_eq!(patience.next(), Some(Duration::from_millis(500)));
    }
}
