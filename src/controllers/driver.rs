//! One driver for all kinds: observe, decide, one step, again, until the object can rest.

use super::{context::Context, keys::Keys};
use crate::{
    aws::paced::{asking, line::Asker},
    clock::Clock,
    core::{Decision, Event, Step, backoff, request::ATTEMPT_REPEATED},
    kube::leader::Mandate,
    metrics::{Metrics, Outcome},
    pki::algorithm::KeyAlgorithm,
    probes::{BEAT, Pulse},
    text::plain,
};
use async_trait::async_trait;
use futures::{
    FutureExt, Stream, StreamExt,
    channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded},
    future::BoxFuture,
    stream,
};
use jiff::Timestamp;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::PostParams,
    runtime::{
        controller::{self, Action},
        events::{Event as KubeEvent, EventType, Recorder},
        reflector::{ObjectRef, Store},
    },
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    collections::HashMap,
    convert::Infallible,
    fmt::Debug,
    future::Future,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;

/// A pass that takes more steps than this goes in circles: that is a fault of this program.
const MOST_STEPS: usize = 400;
/// A status that changes more often at the end of a pass is looked at again only after its rest.
const MOST_STATUSES: u32 = 3;
/// Reconciles of one kind that run at the same time; what is slow in them is AWS.
const CONCURRENCY: u16 = 256;
/// The longest note of an event, in bytes (Kubernetes API reference, Event).
const LONGEST_NOTE: usize = 1024;
/// A conflict means that the watch will tell of a newer object; this is for the case that it does not.
const AFTER_CONFLICT: Duration = Duration::from_millis(500);

/// What a kind brings to the driver.
#[async_trait]
pub trait Kind: Send + Sync + 'static {
    /// The object.
    type Object: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize + Send + Sync + 'static;
    /// Its status.
    type Status: PartialEq + Clone + Send;
    /// What was seen.
    type Observed: Send + Sync;
    /// What to look at.
    type Read: Debug + Send;
    /// What to change.
    type Write: Debug + Send;
    /// What the process remembers of an object.
    type Memory: Default + Clone + Send;

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

/// What the driver remembers of an object.
struct Entry<M> {
    uid: Option<String>,
    memory: M,
    /// The resourceVersion of the last write of ours: an older object from the store is out of date.
    written: Option<u64>,
    /// The resourceVersion that the last pass ended with, and until when it rests.
    settled: Option<(String, Instant)>,
    /// Something around the object changed: the rest is over.
    woken: bool,
    /// API server errors in a row.
    errors: u32,
}

impl<M: Default> Default for Entry<M> {
    fn default() -> Self {
        Self { uid: None, memory: M::default(), written: None, settled: None, woken: false, errors: 0 }
    }
}

type Entries<T> = HashMap<ObjectRef<<T as Kind>::Object>, Entry<<T as Kind>::Memory>>;

/// Runs the reconciles of one kind.
pub struct Driver<T: Kind> {
    kind: T,
    client: Client,
    recorder: Recorder,
    clock: Arc<dyn Clock>,
    mandate: Mandate,
    metrics: Arc<Metrics>,
    keys: Keys,
    /// Those whose key is there.
    keyed: UnboundedSender<ObjectRef<T::Object>>,
    told: Mutex<Option<UnboundedReceiver<ObjectRef<T::Object>>>>,
    entries: Mutex<Entries<T>>,
}

impl<T: Kind> Driver<T> {
    /// A driver for a kind.
    pub fn new(kind: T, context: &Context, recorder: &Recorder) -> Self {
        let (client, clock, mandate) = (context.client.clone(), context.clock.clone(), context.mandate.clone());
        let metrics = context.metrics.clone();
        let ((keyed, told), keys, recorder) = (unbounded(), context.keys.clone(), recorder.clone());
        let told = Mutex::new(Some(told));
        Self { kind, client, recorder, clock, mandate, metrics, keys, keyed, told, entries: Mutex::default() }
    }

    /// Reconciles what the queue names, until it ends and every reconcile that runs has come to its end.
    pub fn run(
        self: Arc<Self>,
        store: Store<T::Object>,
        queue: UnboundedReceiver<ObjectRef<T::Object>>,
        stop: impl Future<Output = ()> + Send + 'static,
        pulse: Pulse,
    ) -> BoxFuture<'static, ()> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner).take();
        let queue =
            stream::select(queue, stream::iter(told).flatten()).take_until(Box::pin(stop)).map(Ok::<_, Infallible>);
        let config = controller::Config::default().concurrency(CONCURRENCY);
        // Each in a task of its own: what one computes holds up no other. One object has one task, or waits.
        let reconcile = |object, driver: Arc<Self>| {
            let mut task = Task(tokio::spawn(async move { driver.reconcile(object).await }));
            Box::pin(async move {
                // What panics is caught within; what is aborted has nobody who waits for it.
                Ok::<_, Infallible>((&mut task.0).await.unwrap_or_else(|_| Action::requeue(AFTER_CONFLICT)))
            })
        };
        let never = |_, error: &Infallible, _| match *error {};
        let results = controller::applier(reconcile, never, self, store, queue, config);
        Box::pin(drain(results, pulse))
    }

    /// Something around the object changed: its next reconcile is not skipped.
    pub fn wake(&self, object: &ObjectRef<T::Object>) {
        self.with(object, |entry| entry.woken = true);
    }

    /// The object is gone.
    pub fn forget(&self, object: &ObjectRef<T::Object>) {
        let entry = self.entries.lock().unwrap_or_else(PoisonError::into_inner).remove(object);
        if let Some(uid) = entry.and_then(|entry| entry.uid) {
            self.keys.forget(&uid);
        }
    }

    fn with<R>(&self, object: &ObjectRef<T::Object>, change: impl FnOnce(&mut Entry<T::Memory>) -> R) -> R {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        change(entries.entry(object.clone()).or_default())
    }

    /// A fault of this program in one object stops none of the others.
    async fn reconcile(&self, object: Arc<T::Object>) -> Action {
        let key = ObjectRef::from_obj(&*object);
        // In AWS's lines an object keeps its place over its passes.
        let asker = Asker { key: key.to_string(), left: None };
        let guarded = AssertUnwindSafe(asking(asker, self.reconcile_object(&key, object))).catch_unwind();
        guarded.await.unwrap_or_else(|_| {
            tracing::error!(object = %key, "a fault of arnkeeper: please report what was logged before this line; the object is tried again later");
            Action::requeue(to_std(backoff::FOR_A_PERSON))
        })
    }

    async fn reconcile_object(&self, key: &ObjectRef<T::Object>, object: Arc<T::Object>) -> Action {
        // Who stands by does nothing; all objects are woken when that ends.
        if !self.mandate.holds() {
            return Action::await_change();
        }
        let memory = match self.with(key, |entry| begin(entry, &*object)) {
            Begin::Skip(rest) => return Action::requeue(rest),
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
            entry.memory = memory;
            match &result {
                Ok(Some(rest)) => {
                    entry.errors = 0;
                    entry.settled = Some((version, Instant::now() + *rest));
                    Action::requeue(*rest)
                }
                Ok(None) => {
                    entry.settled = None;
                    Action::await_change()
                }
                Err(error) => {
                    entry.settled = None;
                    entry.woken = true;
                    entry.errors = entry.errors.saturating_add(1);
                    if is_conflict(error) {
                        tracing::debug!(object = %key, %error, "somebody else changed it; it is read again");
                        return Action::requeue(AFTER_CONFLICT);
                    }
                    let wait = to_std(backoff::exponential(entry.errors));
                    tracing::warn!(object = %key, %error, wait_ms = wait.as_millis(), "the API server did not take it; tried again");
                    Action::requeue(wait)
                }
            }
        })
    }

    /// Steps until the object can rest; returns for how long. None: its key is being made, and wakes it; or this process
    /// does not lead any more, so nothing more is begun. What came of the last step is stored even then: with its resourceVersion that can undo nothing.
    async fn pass(
        &self,
        key: &ObjectRef<T::Object>,
        observed: &mut T::Observed,
    ) -> Result<Option<Duration>, kube::Error> {
        let mut again = MOST_STATUSES;
        for _ in 0..MOST_STEPS {
            let decision = self.kind.decide(observed, self.clock.now());
            tracing::debug!(object = %key, step = ?decision.step, "decided");
            match decision.step {
                Step::Read(_) | Step::Write(_) if !self.mandate.holds() => return Ok(None),
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
    fn has_key(&self, key: &ObjectRef<T::Object>, observed: &T::Observed, write: &T::Write) -> bool {
        let Some(algorithm) = T::new_key(write) else { return true };
        let (keyed, key) = (self.keyed.clone(), key.clone());
        let uid = T::object(observed).uid().unwrap_or_default();
        self.keys.ready(&uid, algorithm, move || drop(keyed.unbounded_send(key)))
    }

    /// Stores the status, if it changed, and tells the events; returns whether it changed.
    async fn save(
        &self,
        key: &ObjectRef<T::Object>,
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

/// A task that ends with who waits for it. Own code: in tokio-util it is behind a feature that nothing else here needs.
struct Task<R>(JoinHandle<R>);

impl<R> Drop for Task<R> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

enum Begin<M> {
    Skip(Duration),
    Pass(M),
}

/// Whether there is anything to do: objects older than our own last write, and those that rest, are passed over.
fn begin<K: ResourceExt, M: Clone + Default>(entry: &mut Entry<M>, object: &K) -> Begin<M> {
    let uid = object.uid();
    if entry.uid != uid {
        *entry = Entry { uid, ..Entry::default() };
    }
    let version = object.resource_version().unwrap_or_default();
    let out_of_date = entry.written.zip(version.parse::<u64>().ok()).is_some_and(|(written, seen)| seen < written);
    if out_of_date {
        return Begin::Skip(AFTER_CONFLICT);
    }
    let now = Instant::now();
    if let Some((settled, until)) = &entry.settled
        && *settled == version
        && now < *until
        && !entry.woken
    {
        return Begin::Skip(*until - now);
    }
    entry.woken = false;
    entry.settled = None;
    Begin::Pass(entry.memory.clone())
}

/// Runs to the end.
async fn drain<R, E: std::error::Error>(results: impl Stream<Item = Result<R, E>>, pulse: Pulse) {
    let mut results = std::pin::pin!(results);
    let mut beats = tokio::time::interval(BEAT);
    loop {
        tokio::select! {
            _ = beats.tick() => pulse.beat(),
            result = results.next() => match result {
                None => return,
                Some(Err(error)) => tracing::debug!(%error, "an object went before its reconcile"),
                Some(Ok(_)) => {}
            }
        }
    }
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
