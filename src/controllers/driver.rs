//! One driver for all kinds: observe, decide, one step, again, until the object can rest.

use super::{context::Context, keys::Keys, line::Line};
use crate::{
    aws::paced::{asking, line::Asker},
    clock::Clock,
    core::{Decision, Event, Step, backoff, request::ATTEMPT_REPEATED},
    kube::{
        key::Key,
        leader::Mandate,
        store::{Kept, Store},
    },
    metrics::{Metrics, Outcome},
    pki::algorithm::KeyAlgorithm,
    probes::Pulse,
    text::plain,
};
use async_trait::async_trait;
use futures::{FutureExt, future::BoxFuture};
use jiff::Timestamp;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::PostParams,
    runtime::events::{Event as KubeEvent, EventType, Recorder},
};
use std::{
    collections::HashMap,
    fmt::Debug,
    future::Future,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// A pass that takes more steps than this goes in circles: that is a fault of this program.
const MOST_STEPS: usize = 400;
/// A status that changes more often at the end of a pass is looked at again only after its rest.
const MOST_STATUSES: u32 = 3;
/// Reconciles of one kind that run at the same time; what is slow in them is AWS.
const CONCURRENCY: usize = 104;
/// The longest note of an event, in bytes (Kubernetes API reference, Event).
const LONGEST_NOTE: usize = 1024;
/// A conflict means that the watch will tell of a newer object; this is for the case that it does not.
const AFTER_CONFLICT: Duration = Duration::from_millis(500);

/// What a kind brings to the driver.
#[async_trait]
pub trait Kind: Send + Sync + 'static {
    /// The object.
    type Object: Kept + Debug;
    /// Its status.
    type Status: PartialEq + Clone + Send;
    /// What was seen.
    type Observed: Send + Sync;
    /// What to look at.
    type Read: Debug + Send;
    /// What to change.
    type Write: Debug + Send;
    /// What the process remembers of an object.
    type Memory: Default + PartialEq + Clone + Send;

    /// What is known without a call.
    fn observe(&self, object: Arc<Self::Object>, memory: Self::Memory) -> Self::Observed;
    /// The pure core, after what the monotonic clock tells was brought up to date.
    fn decide(&self, observed: &mut Self::Observed, now: Timestamp) -> Decision<Self::Status, Self::Read, Self::Write>;
    /// Looks, and puts what it saw into `observed`. Errors of AWS go there too; errors of the API server are returned.
    async fn read(&self, observed: &mut Self::Observed, read: Self::Read) -> Result<(), kube::Error>;
    /// Changes one thing, and puts what came of it into `observed`.
    async fn write(&self, observed: &mut Self::Observed, write: Self::Write) -> Result<(), kube::Error>;
    /// The key that has to be made before this can be done.
    fn new_key(_write: &Self::Write) -> Option<KeyAlgorithm> {
        None
    }
    /// The object as it was seen last.
    fn object(observed: &Self::Observed) -> &Arc<Self::Object>;
    /// The object was stored, with this status.
    fn stored(&self, observed: &mut Self::Observed, object: Arc<Self::Object>);
    /// The events of the last decision were published.
    fn told(&self, _observed: &mut Self::Observed) {}
    /// What to remember.
    fn memory(observed: Self::Observed) -> Self::Memory;
    /// The status of an object.
    fn status(object: &Self::Object) -> Option<&Self::Status>;
    /// Sets the status of an object.
    fn set_status(object: &mut Self::Object, status: Self::Status);
    /// The status of an object for which the API server refused a write for good.
    fn refused(object: &Self::Object, message: &str, now: Timestamp) -> Self::Status;
    /// The API of an object's namespace, or of the cluster.
    fn api(client: &Client, namespace: Option<&str>) -> Api<Self::Object>;
}

/// What the driver remembers of an object. There are many that rest, so it is small for them.
struct Entry<M> {
    uid: Option<Box<str>>,
    /// None: as it begins.
    memory: Option<Box<M>>,
    /// The resourceVersion of the last write of ours: an older object from the store is out of date.
    written: Option<u64>,
    /// The resourceVersion that the last pass ended with, and until when it rests.
    settled: Option<(Box<str>, Instant)>,
    /// Something around the object changed: the rest is over.
    woken: bool,
    /// API server errors in a row.
    errors: u32,
}

impl<M> Default for Entry<M> {
    fn default() -> Self {
        Self { uid: None, memory: None, written: None, settled: None, woken: false, errors: 0 }
    }
}

type Entries<T> = HashMap<Key, Entry<<T as Kind>::Memory>>;

/// Runs the reconciles of one kind.
pub struct Driver<T: Kind> {
    kind: T,
    client: Client,
    recorder: Recorder,
    clock: Arc<dyn Clock>,
    mandate: Mandate,
    metrics: Arc<Metrics>,
    keys: Keys,
    line: Arc<Line>,
    entries: Mutex<Entries<T>>,
}

impl<T: Kind> Driver<T> {
    /// A driver for a kind.
    pub fn new(kind: T, context: &Context, recorder: &Recorder) -> Self {
        let (client, clock, mandate) = (context.client.clone(), context.clock.clone(), context.mandate.clone());
        let (metrics, keys, recorder) = (context.metrics.clone(), context.keys.clone(), recorder.clone());
        let (line, entries) = (Arc::default(), Mutex::default());
        Self { kind, client, recorder, clock, mandate, metrics, keys, line, entries }
    }

    /// Reconciles what is asked for, until it is told to stop and every reconcile that runs has come to its end.
    pub fn run(
        self: Arc<Self>,
        store: Store<T::Object>,
        stop: impl Future<Output = ()> + Send + 'static,
        pulse: Pulse,
    ) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            // They end with this.
            let mut running = JoinSet::new();
            let (mut stop, mut stopping) = (std::pin::pin!(stop), false);
            let mut beats = pulse.beats();
            while !stopping || !running.is_empty() {
                tokio::select! {
                    () = &mut stop, if !stopping => stopping = true,
                    _ = beats.tick() => pulse.beat(),
                    Some(_) = running.join_next() => {}
                    key = self.line.next(), if !stopping && running.len() < CONCURRENCY => {
                        let (driver, store) = (self.clone(), store.clone());
                        running.spawn(async move {
                            let rest = driver.reconcile(&key, store.at(&key)).await;
                            if !driver.line.done(&key, rest) {
                                driver.forget(&key);
                            }
                        });
                    }
                }
            }
        })
    }

    /// The object changed: it is looked at whether there is anything to do.
    pub fn ask(&self, key: &Key) {
        self.line.ask(key);
    }

    /// Something around the object changed: it is reconciled, whether or not it rests.
    pub fn wake(&self, key: &Key) {
        self.with(key, |entry| entry.woken = true);
        self.line.ask(key);
    }

    /// The same within this time: what changes meanwhile is reconciled together.
    pub fn wake_within(&self, key: &Key, wait: Duration) {
        self.with(key, |entry| entry.woken = true);
        self.line.ask_within(key, wait);
    }

    /// The object is gone, or there is nothing to do for it any more.
    pub fn forget(&self, key: &Key) {
        self.line.forget(key);
        let entry = self.entries.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        if let Some(uid) = entry.and_then(|entry| entry.uid) {
            self.keys.forget(&uid);
        }
    }

    fn with<R>(&self, key: &Key, change: impl FnOnce(&mut Entry<T::Memory>) -> R) -> R {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        match entries.get_mut(key) {
            Some(entry) => change(entry),
            None => change(entries.entry(key.clone()).or_default()),
        }
    }

    /// After how long it is to be reconciled again, unless it is asked for; a fault of this program in one object stops none
    /// of the others.
    async fn reconcile(&self, key: &Key, object: Option<Arc<T::Object>>) -> Option<Duration> {
        let Some(object) = object else {
            tracing::debug!(%key, "an object went before its reconcile");
            return None;
        };
        // In AWS's lines an object keeps its place over its passes.
        let asker = Asker { key: format!("{} {key}", T::Object::kind(&())), left: None };
        let guarded = AssertUnwindSafe(asking(asker, self.reconcile_object(key, object))).catch_unwind();
        guarded.await.unwrap_or_else(|_| {
            tracing::error!(object = %key, "a fault of arnkeeper: please report what was logged before this line; the object is tried again later");
            Some(to_std(backoff::FOR_A_PERSON))
        })
    }

    async fn reconcile_object(&self, key: &Key, object: Arc<T::Object>) -> Option<Duration> {
        // Who stands by does nothing; all objects are woken when that ends.
        if !self.mandate.lets() {
            return None;
        }
        let memory = match self.with(key, |entry| begin(entry, &*object)) {
            Begin::Skip(rest) => return Some(rest),
            Begin::Pass(memory) => memory,
        };
        let running = self.metrics.reconcile(T::Object::kind(&()));
        let mut observed = self.kind.observe(object, memory);
        let mut result = self.pass(key, &mut observed).await;
        let mut outcome = Outcome::of(result.as_ref().err().map(is_conflict));
        if let Err(error) = &result
            && let Some(message) = refusal(error)
        {
            let status = T::refused(T::object(&observed), &message, self.clock.now());
            let events = vec![Event { warning: true, reason: "RefusedByKubernetes".into(), note: message }];
            outcome = Outcome::Refused;
            result = self.save(key, &mut observed, status, events).await.map(|_| Some(to_std(backoff::FOR_A_PERSON)));
        }
        let version = T::object(&observed).resource_version().unwrap_or_default();
        let memory = T::memory(observed);
        running.ends(outcome);
        self.with(key, |entry| {
            entry.memory = (memory != T::Memory::default()).then(|| Box::new(memory));
            match &result {
                Ok(Some(rest)) => {
                    entry.errors = 0;
                    entry.settled = Some((version.into(), Instant::now() + *rest));
                    Some(*rest)
                }
                Ok(None) => {
                    entry.settled = None;
                    None
                }
                Err(error) => {
                    entry.settled = None;
                    entry.woken = true;
                    entry.errors = entry.errors.saturating_add(1);
                    if is_conflict(error) {
                        tracing::debug!(object = %key, %error, "somebody else changed it; it is read again");
                        return Some(AFTER_CONFLICT);
                    }
                    let wait = to_std(backoff::exponential(entry.errors));
                    tracing::warn!(object = %key, %error, wait_ms = wait.as_millis(), "the API server did not take it; tried again");
                    Some(wait)
                }
            }
        })
    }

    /// Steps until the object can rest; returns for how long. None: its key is being made, and wakes it; or this process
    /// does not lead any more, so nothing more is begun. What came of the last step is stored even then: with its resourceVersion that can undo nothing.
    async fn pass(&self, key: &Key, observed: &mut T::Observed) -> Result<Option<Duration>, kube::Error> {
        let mut again = MOST_STATUSES;
        for _ in 0..MOST_STEPS {
            let decision = self.kind.decide(observed, self.clock.now());
            tracing::debug!(object = %key, step = ?decision.step, "decided");
            match decision.step {
                Step::Read(_) | Step::Write(_) if !self.mandate.lets() => return Ok(None),
                Step::Read(read) => self.kind.read(observed, read).await?,
                Step::Write(write) if !self.has_key(key, observed, &write) => return Ok(None),
                Step::Write(write) => self.kind.write(observed, write).await?,
                Step::SaveStatus => {
                    self.save(key, observed, decision.status, decision.events).await?;
                }
                // A new status may bring something to do: only one that stands lets the object rest.
                Step::Rest(rest) => {
                    let changed = self.save(key, observed, decision.status, decision.events).await?;
                    if !changed || again == 0 {
                        // One that was made for what is not wanted any more.
                        self.keys.forget(&T::object(observed).uid().unwrap_or_default());
                        return Ok(Some(to_std(rest)));
                    }
                    again -= 1;
                }
            }
        }
        tracing::error!(object = %key, "a pass of {MOST_STEPS} steps came to no end; it begins again later");
        Ok(Some(to_std(backoff::FOR_A_PERSON)))
    }

    /// Whether there is the key that this takes. If not, the object comes back when it was made: till then it holds no place.
    fn has_key(&self, key: &Key, observed: &T::Observed, write: &T::Write) -> bool {
        let Some(algorithm) = T::new_key(write) else { return true };
        let (line, key) = (self.line.clone(), key.clone());
        let uid = T::object(observed).uid().unwrap_or_default();
        self.keys.ready(&uid, algorithm, move || line.ask(&key))
    }

    /// Stores the status, if it changed, and tells the events; returns whether it changed.
    async fn save(
        &self,
        key: &Key,
        observed: &mut T::Observed,
        status: T::Status,
        events: Vec<Event>,
    ) -> Result<bool, kube::Error> {
        let changed = T::status(T::object(observed)) != Some(&status);
        if changed {
            let mut object = (**T::object(observed)).clone();
            T::set_status(&mut object, status);
            let name = object.name_any();
            let api = T::api(&self.client, object.namespace().as_deref());
            let stored = api.replace_status(&name, &PostParams::default(), &object).await?;
            let version = stored.resource_version().and_then(|v| v.parse().ok());
            self.with(key, |entry| entry.written = version);
            self.kind.stored(observed, Arc::new(stored));
        }
        for event in events {
            if event.reason == ATTEMPT_REPEATED {
                self.metrics.issue_unanswered();
            }
            self.publish(T::object(observed), event).await;
        }
        self.kind.told(observed);
        Ok(changed)
    }

    /// An event that can't be published is no reason to do anything twice.
    async fn publish(&self, object: &T::Object, event: Event) {
        let type_ = if event.warning { EventType::Warning } else { EventType::Normal };
        let event = KubeEvent {
            type_,
            reason: event.reason.clone(),
            note: Some(plain(&event.note, LONGEST_NOTE)),
            action: event.reason,
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, &object.object_ref(&())).await {
            tracing::warn!(%error, reason = event.reason, "an event could not be published");
        }
    }
}

enum Begin<M> {
    Skip(Duration),
    Pass(M),
}

/// Whether there is anything to do: objects older than our own last write, and those that rest, are passed over.
fn begin<K: ResourceExt, M: Clone + Default>(entry: &mut Entry<M>, object: &K) -> Begin<M> {
    let uid = object.meta().uid.as_deref();
    if entry.uid.as_deref() != uid {
        *entry = Entry { uid: uid.map(Into::into), ..Entry::default() };
    }
    let version = object.resource_version().unwrap_or_default();
    let out_of_date = entry.written.zip(version.parse::<u64>().ok()).is_some_and(|(written, seen)| seen < written);
    if out_of_date {
        return Begin::Skip(AFTER_CONFLICT);
    }
    let now = Instant::now();
    if let Some((settled, until)) = &entry.settled
        && **settled == *version
        && now < *until
        && !entry.woken
    {
        return Begin::Skip(*until - now);
    }
    entry.woken = false;
    entry.settled = None;
    Begin::Pass(entry.memory.as_deref().cloned().unwrap_or_default())
}

fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_conflict() || status.is_not_found() || status.is_already_exists())
}

/// What a person is told of a write that the API server will refuse again: bad input, too large, not allowed.
fn refusal(error: &kube::Error) -> Option<String> {
    let kube::Error::Api(status) = error else { return None };
    let for_good = matches!(status.code, 400 | 403 | 413 | 422);
    for_good.then(|| format!("the API server refuses what this needs: {}", plain(&status.message, 900)))
}

fn to_std(duration: jiff::SignedDuration) -> Duration {
    Duration::try_from(duration).unwrap_or(Duration::from_millis(100))
}

#[cfg(test)]
mod tests;
