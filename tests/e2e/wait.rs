//! Waiting: until an object is as it should be, with a generous bound, and with all there is to know when it is not.

use arnkeeper::api::{AwsAccount, Certificate, CertificateRequest};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::{api::core::v1::Event, apimachinery::pkg::apis::meta::v1::Condition};
use kube::{
    Api, Resource, ResourceExt,
    api::ListParams,
    runtime::{WatchStreamExt, watcher::watch_object},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{fmt::Debug, time::Duration};

/// Nothing on the stand takes longer than this, however many tests run beside it.
const BOUND: Duration = Duration::from_mins(3);
/// Between looks at what can't be watched.
const BETWEEN_LOOKS: Duration = Duration::from_millis(300);

/// An object with conditions.
pub trait Conditions: ResourceExt {
    fn conditions(&self) -> &[Condition];
    fn observed(&self) -> Option<i64>;

    /// The condition of this type.
    fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions().iter().find(|c| c.type_ == kind)
    }

    /// Whether the status is about the spec as it is now.
    fn is_current(&self) -> bool {
        self.observed().is_some() && self.observed() == self.meta().generation
    }

    /// Whether the condition of this type is True, and the status is about the spec as it is now.
    fn is(&self, kind: &str) -> bool {
        self.is_current() && self.condition(kind).is_some_and(|c| c.status == "True")
    }

    /// Whether the condition of this type stands for this reason, and the status is about the spec as it is now.
    fn because(&self, kind: &str, reason: &str) -> bool {
        self.is_current() && self.condition(kind).is_some_and(|c| c.reason == reason)
    }

    /// The message of a condition; empty without it.
    fn message(&self, kind: &str) -> &str {
        self.condition(kind).map_or("", |c| &c.message)
    }
}

macro_rules! conditions {
    ($($kind:ty),*) => {
        $(impl Conditions for $kind {
            fn conditions(&self) -> &[Condition] {
                self.status.as_ref().map_or(&[], |s| &s.conditions)
            }
            fn observed(&self) -> Option<i64> {
                self.status.as_ref().and_then(|s| s.observed_generation)
            }
        })*
    };
}
conditions!(AwsAccount, Certificate, CertificateRequest);

/// Waits until the object is there and `holds` of it.
pub async fn until<K>(api: &Api<K>, name: &str, what: &str, holds: impl Fn(&K) -> bool) -> K
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize + Send + 'static,
{
    let mut last = None;
    let watched = async {
        let mut changes = std::pin::pin!(watch_object(api.clone(), name).default_backoff());
        while let Some(change) = changes.next().await {
            if let Ok(Some(object)) = change {
                if holds(&object) {
                    return Some(object);
                }
                last = Some(object);
            }
        }
        None
    };
    if let Ok(Some(object)) = tokio::time::timeout(BOUND, watched).await {
        return object;
    }
    let told = tell(api, name, last.as_ref()).await;
    panic!("{} {name:?} did not come to this in {} s: {what}\n{told}", K::kind(&()), BOUND.as_secs());
}

/// Waits until there is no such object.
pub async fn gone<K>(api: &Api<K>, name: &str)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize + Send + 'static,
{
    let watched = watch_object(api.clone(), name)
        .default_backoff()
        .try_filter(|object| std::future::ready(object.is_none()))
        .boxed()
        .into_future();
    if tokio::time::timeout(BOUND, watched).await.is_err() {
        let last = api.get_opt(name).await.ok().flatten();
        let told = tell(api, name, last.as_ref()).await;
        panic!("{} {name:?} is still there after {} s\n{told}", K::kind(&()), BOUND.as_secs());
    }
}

/// Looks again and again at what can't be watched, until there is an answer.
pub async fn eventually<T, F: Future<Output = Result<T, String>>>(what: &str, look: impl Fn() -> F) -> T {
    let begin = tokio::time::Instant::now();
    loop {
        match look().await {
            Ok(answer) => return answer,
            Err(seen) if begin.elapsed() >= BOUND => {
                panic!("this did not come about in {} s: {what}; seen last: {seen}", BOUND.as_secs())
            }
            Err(_) => tokio::time::sleep(BETWEEN_LOOKS).await,
        }
    }
}

/// The object, without what it keeps secret, and its events.
async fn tell<K>(api: &Api<K>, name: &str, object: Option<&K>) -> String
where
    K: Resource<DynamicType = ()> + Clone + Serialize,
{
    let mut value = serde_json::to_value(object).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.remove("data");
        if let Some(metadata) = fields.get_mut("metadata").and_then(|m| m.as_object_mut()) {
            metadata.remove("managedFields");
        }
    }
    let namespace = object.and_then(|o| o.meta().namespace.clone()).unwrap_or_else(|| "default".into());
    let events: Api<Event> = Api::namespaced(api.clone().into_client(), &namespace);
    let about = ListParams::default().fields(&format!("involvedObject.name={name}"));
    let events = events.list(&about).await.map(|list| list.items).unwrap_or_default();
    let events: Vec<String> = events
        .iter()
        .map(|e| format!("{}: {}", e.reason.as_deref().unwrap_or_default(), e.message.as_deref().unwrap_or_default()))
        .collect();
    format!("{value:#}\nevents:\n{}", events.join("\n"))
}
