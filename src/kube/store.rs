//! The objects of a kind as the API server told them last, in little memory.
//!
//! kube's own store keeps them decoded. Here they are packed, and decoded for who works on them; what passes over all objects
//! ask is kept beside.

use super::{
    key::Key,
    packed::{Packed, Packer},
};
use kube::{Resource, runtime::watcher::Event};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    num::NonZeroU64,
    sync::{Arc, PoisonError, RwLock},
};
use tokio::sync::watch as flag;

/// What a store asks of a kind.
pub trait Kept: Resource<DynamicType = ()> + Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// Few objects that are asked for all the time stay decoded.
    const DECODED: bool = false;

    /// Drops what nobody reads from the store.
    fn lean(&mut self) {}

    /// What passes over all objects ask.
    fn gist(&self) -> Gist;
}

/// Who renews what an object keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RenewedBy {
    /// The operator, or whoever keeps its source.
    #[default]
    Operator,
    /// ACM, which issued it.
    Acm,
    /// Nobody here: it is only watched.
    Nobody,
}

/// What passes over all objects ask of each; so none of them decodes any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gist {
    /// It is worked on at all.
    pub enabled: bool,
    /// The condition Ready is True.
    pub ready: bool,
    /// The reason of the condition Stalled, if it is True.
    pub stalled: Option<Box<str>>,
    /// When what it keeps ends, in seconds since 1970.
    pub ends: Option<i64>,
    /// When that is to be renewed, in seconds since 1970.
    pub renews: Option<i64>,
    /// The accounts that it uses, as digests.
    pub uses: Box<[u64]>,
    /// The Secret that it keeps, or that is its source, as a digest.
    pub keeps: Option<u64>,
    /// Who renews it.
    pub renewed_by: RenewedBy,
    /// Discovery made it, and nobody took it over.
    pub discovered: bool,
    /// The serial number of its certificate, as a digest.
    pub serial: Option<NonZeroU64>,
}

impl Gist {
    /// Whether it is only watched.
    #[must_use]
    pub fn is_observed(&self) -> bool {
        self.renewed_by == RenewedBy::Nobody
    }

    /// With these accounts, and this Secret.
    #[must_use]
    pub fn with_names<'a>(mut self, accounts: impl IntoIterator<Item = &'a str>, secret: Option<&str>) -> Self {
        let mut uses: Vec<u64> = accounts.into_iter().map(digest).collect();
        uses.sort_unstable();
        uses.dedup();
        (self.uses, self.keeps) = (uses.into(), secret.map(digest));
        self
    }

    /// Whether it uses this account. Two names may share a digest: who is woken for nothing sees that for itself.
    #[must_use]
    pub fn uses(&self, account: &str) -> bool {
        self.uses.contains(&digest(account))
    }

    /// With this serial number.
    #[must_use]
    pub fn with_serial(mut self, serial: Option<&str>) -> Self {
        self.serial = serial.and_then(serial_digest);
        self
    }

    /// Whether it keeps the Secret of this name in its namespace, or takes its certificate from it; as sure as [`Self::uses`].
    #[must_use]
    pub fn keeps(&self, secret: &str) -> bool {
        self.keeps == Some(digest(secret))
    }
}

/// A serial number as a [`Gist`] has it; as sure as [`Gist::uses`].
#[must_use]
pub fn serial_digest(serial: &str) -> Option<NonZeroU64> {
    NonZeroU64::new(digest(serial))
}

/// Accounts that are used, as digests.
pub struct Uses(HashSet<u64>);

impl Uses {
    /// Whether this account is among them; as sure as [`Gist::uses`].
    #[must_use]
    pub fn contains(&self, account: &str) -> bool {
        self.0.contains(&digest(account))
    }
}

fn digest(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// What became of an object.
#[derive(Clone, Debug)]
pub enum Change<K> {
    /// There is a new list: whatever the store holds may be new.
    Listed,
    /// It is there, new or changed; the store has it.
    Applied(Key, Arc<K>),
    /// It is gone; the store has it no more.
    Deleted(Key, Arc<K>),
}

/// The objects of a kind, for all who read.
pub struct Store<K: Kept>(Arc<Shared<K>>);

impl<K: Kept> Clone for Store<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

struct Shared<K> {
    objects: RwLock<Objects<K>>,
    filled: flag::Sender<bool>,
}

type Objects<K> = HashMap<Key, Item<K>>;

struct Item<K> {
    body: Body<K>,
    gist: Gist,
}

enum Body<K> {
    Decoded(Arc<K>),
    Packed(Packed),
}

impl<K: Kept> Item<K> {
    fn decode(&self, key: &Key) -> Option<Arc<K>> {
        match &self.body {
            Body::Decoded(object) => Some(object.clone()),
            Body::Packed(packed) => packed
                .unpack()
                .map_err(|error| {
                    tracing::error!(%key, error, "a fault of arnkeeper: the store can't read an object that it wrote");
                })
                .ok()
                .map(Arc::new),
        }
    }
}

impl<K: Kept> Store<K> {
    /// An empty store and its only writer.
    #[must_use]
    pub fn new() -> (Self, Writer<K>) {
        let store = Self(Arc::new(Shared { objects: RwLock::default(), filled: flag::channel(false).0 }));
        let writer = Writer { store: store.clone(), list: HashMap::new(), packer: Packer::default() };
        (store, writer)
    }

    /// An object by its name.
    #[must_use]
    pub fn get(&self, namespace: Option<&str>, name: &str) -> Option<Arc<K>> {
        self.at(&Key::new(namespace, name))
    }

    /// An object by its key.
    #[must_use]
    pub fn at(&self, key: &Key) -> Option<Arc<K>> {
        self.with(|objects| objects.get(key).and_then(|item| item.decode(key)))
    }

    /// The key of an object that is there.
    #[must_use]
    pub fn find(&self, namespace: Option<&str>, name: &str) -> Option<Key> {
        let key = Key::new(namespace, name);
        self.with(|objects| objects.get_key_value(&key).map(|(kept, _)| kept.clone()))
    }

    /// The keys of those objects that this is true of.
    #[must_use]
    pub fn keys(&self, is: impl Fn(&Key, &Gist) -> bool) -> Vec<Key> {
        self.with(|objects| {
            objects.iter().filter(|(key, item)| is(key, &item.gist)).map(|(key, _)| key.clone()).collect()
        })
    }

    /// What passes over all objects ask, of those that this is true of.
    #[must_use]
    pub fn gists(&self, is: impl Fn(&Key) -> bool) -> Vec<(Key, Gist)> {
        self.with(|objects| {
            objects.iter().filter(|(key, _)| is(key)).map(|(key, item)| (key.clone(), item.gist.clone())).collect()
        })
    }

    /// The accounts that any of those objects uses that this is true of.
    #[must_use]
    pub fn uses(&self, is: impl Fn(&Gist) -> bool) -> Uses {
        let uses = |objects: &Objects<K>| {
            let those = objects.values().filter(|item| is(&item.gist));
            Uses(those.flat_map(|item| item.gist.uses.iter().copied()).collect())
        };
        self.with(uses)
    }

    /// All objects, decoded. For kinds of which there are few.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<K>> {
        self.with(|objects| objects.iter().filter_map(|(key, item)| item.decode(key)).collect())
    }

    /// Waits for the first list.
    pub async fn filled(&self) {
        // Its sender is here.
        drop(self.0.filled.subscribe().wait_for(|filled| *filled).await);
    }

    fn with<R>(&self, read: impl FnOnce(&Objects<K>) -> R) -> R {
        read(&self.0.objects.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change<R>(&self, change: impl FnOnce(&mut Objects<K>) -> R) -> R {
        change(&mut self.0.objects.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Puts into a store what a watch tells.
pub struct Writer<K: Kept> {
    store: Store<K>,
    /// The list that is being told.
    list: Objects<K>,
    packer: Packer,
}

impl<K: Kept> Writer<K> {
    /// Takes what a watch told; returns what is to be told of it. Who is in no new list any more is told as deleted.
    pub fn apply(&mut self, event: Event<K>) -> Vec<Change<K>> {
        match event {
            Event::Init => {
                self.list = HashMap::new();
                vec![]
            }
            Event::InitApply(object) => {
                let key = self.key(&object);
                let (item, _) = self.item(object);
                self.list.insert(key, item);
                vec![]
            }
            Event::InitDone => {
                let mut list = std::mem::take(&mut self.list);
                list.shrink_to_fit();
                let before = self.store.change(|objects| std::mem::replace(objects, list));
                self.store.0.filled.send_replace(true);
                let is_gone = |key: &Key| self.store.with(|objects| !objects.contains_key(key));
                let gone = before.into_iter().filter(|(key, _)| is_gone(key));
                let mut told: Vec<Change<K>> = gone
                    .filter_map(|(key, item)| item.decode(&key).map(|object| Change::Deleted(key, object)))
                    .collect();
                told.push(Change::Listed);
                told
            }
            Event::Apply(object) => {
                let key = self.key(&object);
                let (item, object) = self.item(object);
                self.store.change(|objects| objects.insert(key.clone(), item));
                vec![Change::Applied(key, object)]
            }
            Event::Delete(object) => {
                let key = self.key(&object);
                self.store.change(|objects| objects.remove(&key));
                vec![Change::Deleted(key, Arc::new(object))]
            }
        }
    }

    /// The key that is there already, so that each is in memory once.
    fn key(&self, object: &K) -> Key {
        let meta = object.meta();
        let name = meta.name.as_deref().unwrap_or_default();
        self.store.find(meta.namespace.as_deref(), name).unwrap_or_else(|| Key::of(object))
    }

    fn item(&mut self, object: K) -> (Item<K>, Arc<K>) {
        let (gist, object) = (object.gist(), Arc::new(object));
        let packed = if K::DECODED { None } else { self.packer.pack(&*object) };
        (Item { body: packed.map_or_else(|| Body::Decoded(object.clone()), Body::Packed), gist }, object)
    }
}

#[cfg(test)]
mod tests;
