//! What was seen last of the objects that concern others: what changes nothing for them wakes nobody.

use crate::{
    api::{
        Certificate,
        conditions::{READY, STALLED},
    },
    kube::key::Key,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Resource;
use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Mutex, PoisonError},
};

/// The reason of a request that goes on by itself: as good as nothing told.
const PASSING: &str = "Issuing";

/// What of an account or a request concerns others; they are woken when it changes. A digest: there are many.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct News {
    digest: u64,
    tells: bool,
}

impl News {
    pub(super) fn of<K: Resource>(object: &K, conditions: Option<&[Condition]>) -> Self {
        let told = conditions.unwrap_or_default().iter().filter(|c| c.type_ == READY || c.type_ == STALLED);
        let told: Vec<_> = told.filter(|c| c.reason != PASSING).map(|c| (&c.type_, &c.status, &c.reason)).collect();
        let mut hasher = DefaultHasher::new();
        (&object.meta().uid, object.meta().generation, &told).hash(&mut hasher);
        Self { digest: hasher.finish(), tells: !told.is_empty() }
    }
}

/// What an object was before its news.
#[derive(PartialEq)]
pub(super) enum Before {
    /// Nothing was seen of it, and it does not tell anything yet.
    Nothing,
    Other,
}

/// The last news of each object.
#[derive(Default)]
pub(super) struct Seen(Mutex<HashMap<Key, News>>);

impl Seen {
    /// What was seen before, if it is news.
    pub(super) fn note(&self, key: &Key, news: News) -> Option<Before> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = seen.get(key);
        if before == Some(&news) {
            return None;
        }
        let before = if before.is_some() || news.tells { Before::Other } else { Before::Nothing };
        seen.insert(key.clone(), news);
        Some(before)
    }

    pub(super) fn forget(&self, key: &Key) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

/// What was seen last of each AwsAccount that has to do with an organization; others have no entry. Digests.
#[derive(Default)]
pub(super) struct Latest(Mutex<HashMap<Key, u64>>);

impl Latest {
    /// Whether it is another one than before. The first one is no news: whoever is seen first is looked at anyway.
    pub(super) fn changes(&self, key: &Key, of: impl Hash) -> bool {
        let mut hasher = DefaultHasher::new();
        of.hash(&mut hasher);
        let (now, mut all) = (hasher.finish(), self.0.lock().unwrap_or_else(PoisonError::into_inner));
        all.insert(key.clone(), now).is_some_and(|before| before != now)
    }

    pub(super) fn forget(&self, key: &Key) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

/// Certificates that are in several accounts: serial number, and how many. There are few.
#[derive(Default)]
pub(super) struct Shared(Mutex<HashMap<Key, (Option<String>, i32)>>);

impl Shared {
    /// Whether it is news that, and how, this one is in several accounts.
    pub(super) fn note(&self, key: &Key, certificate: &Certificate) -> bool {
        let status = certificate.status.as_ref();
        let Some(accounts) = status.and_then(|s| s.accounts) else {
            self.forget(key);
            return false;
        };
        let now = (status.and_then(|s| s.serial_number.clone()), accounts);
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shared.insert(key.clone(), now.clone()) != Some(now)
    }

    pub(super) fn forget(&self, key: &Key) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_look_and_the_same_again_are_no_change() {
        let (latest, key) = (Latest::default(), Key::new(None, "111122223333"));
        let seen = [1, 1, 2, 2, 1].map(|generation| latest.changes(&key, generation));
        assert_eq!(seen, [false, false, true, false, true]);
        latest.forget(&key);
        assert!(!latest.changes(&key, 7), "another object of that name");
    }
}
