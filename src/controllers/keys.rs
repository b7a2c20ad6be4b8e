//! Keys that take long to make: made by few threads of little priority, in the order in which they were asked for.
//!
//! Who asks does not wait, and so holds nothing up: it is told when its key is there, and comes back for it.

use crate::pki::{
    algorithm::{KeyAlgorithm, KeyFamily},
    key::PrivateKey,
};
use std::{
    collections::{HashMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

/// How much the threads yield to all others (nice(2)): a tenth of their share, where there is too little for all.
const NICENESS: i32 = 10;

type Tell = Box<dyn FnOnce() + Send>;
type Made = Result<PrivateKey, String>;

/// The keys that are being made, or wait for who asked for them. At most one for each that asks.
#[derive(Clone)]
pub struct Keys(Arc<Pool>);

struct Pool {
    /// The most threads.
    most: usize,
    work: Mutex<Work>,
}

#[derive(Default)]
struct Work {
    queue: VecDeque<(String, KeyAlgorithm)>,
    orders: HashMap<String, Order>,
    threads: usize,
}

struct Order {
    algorithm: KeyAlgorithm,
    made: Option<Made>,
    tell: Option<Tell>,
}

impl Default for Keys {
    /// One processor is left to everything else, if there is more than one.
    fn default() -> Self {
        let processors = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self(Arc::new(Pool { most: processors.saturating_sub(1).max(1), work: Mutex::default() }))
    }
}

impl Keys {
    /// Whether there is a key for who has this uid, or it takes no time to make; if not, it is made, and told of once.
    pub fn ready(&self, uid: &str, algorithm: KeyAlgorithm, tell: impl FnOnce() + Send + 'static) -> bool {
        if is_quick(algorithm) {
            return true;
        }
        let mut work = self.0.work();
        if let Some(order) = work.orders.get_mut(uid).filter(|order| order.algorithm == algorithm) {
            order.tell = order.made.is_none().then(|| Box::new(tell) as Tell);
            return order.made.is_some();
        }
        work.orders.insert(uid.to_owned(), Order { algorithm, made: None, tell: Some(Box::new(tell)) });
        work.queue.push_back((uid.to_owned(), algorithm));
        if work.threads < self.0.most {
            work.threads += 1;
            drop(work);
            self.start();
        }
        false
    }

    /// The key, after [`Self::ready`] said that it is there.
    ///
    /// # Errors
    /// A sentence for people.
    pub fn take(&self, uid: &str, algorithm: KeyAlgorithm) -> Made {
        if is_quick(algorithm) {
            return PrivateKey::generate(algorithm).map_err(|e| e.to_string());
        }
        let order = self.0.work().orders.remove(uid).filter(|order| order.algorithm == algorithm);
        order.and_then(|order| order.made).unwrap_or_else(|| Err("the key is not made yet".to_owned()))
    }

    /// No key is wanted any more; one that is there is wiped.
    pub fn forget(&self, uid: &str) {
        drop(self.0.work().orders.remove(uid));
    }

    /// A thread that ends when there is nothing to do.
    fn start(&self) {
        let pool = self.0.clone();
        let started = thread::Builder::new().name("keys".to_owned()).spawn(move || {
            // Of this thread alone, on Linux. Without it keys are made all the same.
            let _ = rustix::process::nice(NICENESS);
            pool.run();
        });
        if let Err(error) = started {
            tracing::warn!(%error, "no thread to make keys: they are made among others");
            let pool = self.0.clone();
            drop(tokio::task::spawn_blocking(move || pool.run()));
        }
    }
}

impl Pool {
    fn run(&self) {
        while let Some((uid, algorithm)) = self.next() {
            let made = catch_unwind(AssertUnwindSafe(|| PrivateKey::generate(algorithm)));
            let made = made.map_or_else(|_| Err("the key could not be made".into()), |k| k.map_err(|e| e.to_string()));
            let mut work = self.work();
            let Some(order) = work.orders.get_mut(&uid).filter(|order| order.is_open(algorithm)) else { continue };
            order.made = Some(made);
            let tell = order.tell.take();
            drop(work);
            if let Some(tell) = tell {
                tell();
            }
        }
    }

    /// What to make next; if nothing, the thread counts as gone.
    fn next(&self) -> Option<(String, KeyAlgorithm)> {
        let mut work = self.work();
        while let Some((uid, algorithm)) = work.queue.pop_front() {
            // Nobody may want it any more.
            if work.orders.get(&uid).is_some_and(|order| order.is_open(algorithm)) {
                return Some((uid, algorithm));
            }
        }
        work.threads -= 1;
        None
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Order {
    fn is_open(&self, algorithm: KeyAlgorithm) -> bool {
        self.algorithm == algorithm && self.made.is_none()
    }
}

/// Less than a millisecond or so.
fn is_quick(algorithm: KeyAlgorithm) -> bool {
    algorithm.family() == KeyFamily::Ecdsa
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};

    const RSA: KeyAlgorithm = KeyAlgorithm::Rsa2048;

    fn telling(sender: &Sender<usize>, number: usize) -> impl FnOnce() + Send + 'static {
        let sender = sender.clone();
        move || sender.send(number).unwrap()
    }

    #[test]
    fn a_quick_key_is_there_at_once() {
        let keys = Keys::default();
        assert!(keys.ready("a", KeyAlgorithm::EcPrime256v1, || panic!("nobody waits")));
        let key = keys.take("a", KeyAlgorithm::EcPrime256v1).unwrap();
        assert_eq!(key.algorithm(), KeyAlgorithm::EcPrime256v1);
    }

    #[test]
    fn each_is_told_of_its_own_key_once() {
        let (keys, (sender, told)) = (Keys::default(), channel());
        for number in 0..4 {
            assert!(!keys.ready(&number.to_string(), RSA, telling(&sender, number)));
        }
        drop(sender);
        let mut numbers: Vec<usize> = told.iter().collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [0, 1, 2, 3]);
        let mut public = Vec::new();
        for number in 0..4 {
            let uid = number.to_string();
            assert!(keys.ready(&uid, RSA, || panic!("it is there")));
            public.push(keys.take(&uid, RSA).unwrap().public_key_der().to_vec());
            assert!(keys.take(&uid, RSA).is_err());
        }
        public.sort();
        public.dedup();
        assert_eq!(public.len(), 4);
    }

    #[test]
    fn another_algorithm_takes_the_place_of_the_first() {
        let (keys, (sender, told)) = (Keys::default(), channel());
        assert!(!keys.ready("a", RSA, telling(&sender, 1)));
        assert!(!keys.ready("a", KeyAlgorithm::Rsa3072, telling(&sender, 2)));
        drop(sender);
        assert_eq!(told.iter().collect::<Vec<_>>(), [2]);
        assert_eq!(keys.take("a", KeyAlgorithm::Rsa3072).unwrap().algorithm(), KeyAlgorithm::Rsa3072);
    }

    #[test]
    fn what_is_forgotten_is_told_to_nobody() {
        let (keys, (sender, told)) = (Keys::default(), channel());
        assert!(!keys.ready("a", RSA, telling(&sender, 1)));
        assert!(!keys.ready("b", RSA, telling(&sender, 2)));
        keys.forget("b");
        drop(sender);
        // Unless it was made already: then it is wiped.
        assert!(told.iter().any(|number| number == 1));
        assert!(keys.take("b", RSA).is_err());
    }

    #[test]
    fn there_are_no_more_threads_than_allowed() {
        let keys = Keys(Arc::new(Pool { most: 1, work: Mutex::default() }));
        let (sender, told) = channel();
        for number in 0..3 {
            assert!(!keys.ready(&number.to_string(), RSA, telling(&sender, number)));
            assert!(keys.0.work().threads <= 1);
        }
        drop(sender);
        // By one thread, so in order.
        assert_eq!(told.iter().collect::<Vec<_>>(), [0, 1, 2]);
    }
}
