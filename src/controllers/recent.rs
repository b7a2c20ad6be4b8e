//! What this process stored a moment ago, so that it is not read back from the API server. Losing it costs a read.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// No more values than this are kept; the oldest go first.
const MOST: usize = 4096;

/// Values by namespace and name, each for a while from when it was put.
pub struct Recent<V> {
    lasts: Duration,
    kept: Mutex<Kept<V>>,
}

struct Kept<V> {
    values: HashMap<String, (Instant, V)>,
    /// In the order in which they were put.
    order: VecDeque<(Instant, String)>,
}

impl<V> Recent<V> {
    /// Keeps values for so long.
    #[must_use]
    pub fn new(lasts: Duration) -> Self {
        Self { lasts, kept: Mutex::new(Kept { values: HashMap::new(), order: VecDeque::new() }) }
    }

    /// Keeps a value.
    pub fn put(&self, namespace: &str, name: &str, value: V, now: Instant) {
        let mut kept = self.kept(now);
        let key = key(namespace, name);
        kept.order.push_back((now, key.clone()));
        kept.values.insert(key, (now, value));
        if kept.order.len() > MOST {
            kept.drop_oldest();
        }
    }

    /// Takes a value out.
    pub fn take(&self, namespace: &str, name: &str, now: Instant) -> Option<V> {
        self.kept(now).values.remove(&key(namespace, name)).map(|(_, value)| value)
    }

    /// Whether a value was put within this time and is still there.
    #[must_use]
    pub fn has(&self, namespace: &str, name: &str, within: Duration, now: Instant) -> bool {
        let kept = self.kept(now);
        kept.values.get(&key(namespace, name)).is_some_and(|(at, _)| now.saturating_duration_since(*at) <= within)
    }

    /// What is too old goes at each look.
    fn kept(&self, now: Instant) -> MutexGuard<'_, Kept<V>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        while kept.order.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > self.lasts) {
            kept.drop_oldest();
        }
        kept
    }
}

impl<V> Kept<V> {
    fn drop_oldest(&mut self) {
        let Some((at, key)) = self.order.pop_front() else { return };
        // It may have been put again since.
        if self.values.get(&key).is_some_and(|(put, _)| *put == at) {
            self.values.remove(&key);
        }
    }
}

fn key(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_taken_once() {
        let (recent, now) = (Recent::new(Duration::from_mins(1)), Instant::now());
        recent.put("pay", "app", 1, now);
        assert_eq!(recent.take("pay", "other", now), None);
        assert_eq!(recent.take("pay", "app", now), Some(1));
        assert_eq!(recent.take("pay", "app", now), None);
    }

    #[test]
    fn it_lasts_a_while_from_when_it_was_put_last() {
        let (recent, now) = (Recent::new(Duration::from_mins(1)), Instant::now());
        let after = |seconds| now + Duration::from_secs(seconds);
        recent.put("pay", "app", 1, now);
        recent.put("pay", "app", 2, after(30));
        assert!(recent.has("pay", "app", Duration::from_secs(31), after(61)));
        assert!(!recent.has("pay", "app", Duration::from_secs(30), after(61)));
        assert_eq!(recent.take("pay", "app", after(91)), None);
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let (recent, now) = (Recent::new(Duration::from_mins(1)), Instant::now());
        for n in 0..=MOST {
            recent.put("pay", &n.to_string(), n, now);
        }
        assert_eq!(recent.take("pay", "0", now), None);
        assert_eq!(recent.take("pay", "1", now), Some(1));
    }
}
