//! One watch a kind: it keeps the store and tells what changed, in this order.

use futures::{Stream, StreamExt};
use kube::{
    Api, Client, Resource, ResourceExt,
    core::DeserializeGuard,
    runtime::{
        WatchStreamExt,
        reflector::{Store, store},
        watcher::{self, Event, watcher},
    },
};
use serde::de::DeserializeOwned;
use std::{fmt::Debug, hash::Hash, sync::Arc};

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
pub fn watch<K>(client: Client) -> (Store<K>, impl Stream<Item = Vec<Change<K>>> + Send)
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + Send + Sync + 'static,
    K::DynamicType: Eq + Hash + Clone + Default,
{
    let (reader, mut writer) = store();
    let guarded: Api<DeserializeGuard<K>> = Api::all(client);
    let mut listed: Vec<Change<K>> = Vec::new();
    let events = watcher(guarded, watcher::Config::default()).default_backoff();
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
