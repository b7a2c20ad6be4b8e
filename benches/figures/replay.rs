//! The requests of a first issuance once more, by a client that does nothing else.

use super::stand::{NAMESPACE, Outcome, Stand, told};
use arnkeeper::api::{AwsAccount, Certificate, CertificateRequest};
use futures::{StreamExt, TryStreamExt};
use kube::{Api, api::WatchParams};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::{fmt::Debug, time::Instant};

/// Chains of requests at the same time; the applying of the Certificates is part of them.
const PARALLEL: usize = 64;
const GROUP: &str = "/apis/arnkeeper.dev/v1beta1/namespaces/bench";
const CORE: &str = "/api/v1/namespaces/bench";

/// What the sample left in the cluster, as a pattern: its name stands for all names.
struct Pattern {
    certificate: Value,
    request: Value,
    secret: Value,
    event: Value,
}

async fn get(stand: &Stand, path: &str) -> Outcome<Value> {
    let request = http::Request::get(path).body(vec![]).map_err(told(path))?;
    let text = stand.client.request_text(request).await.map_err(told(path))?;
    serde_json::from_str(&text).map_err(told(path))
}

async fn send(stand: &Stand, method: &str, path: &str, body: &Value) -> Outcome<Value> {
    let request = http::Request::builder().method(method).uri(path).header("content-type", "application/json");
    let body = if body.is_null() { vec![] } else { body.to_string().into_bytes() };
    let text = stand.client.request_text(request.body(body).map_err(told(path))?).await;
    let text = text.map_err(|error| format!("{method} {path}: {error}"))?;
    serde_json::from_str(&text).map_err(told(path))
}

/// The object without what the API server gave it, under another name.
fn renamed(object: &Value, name: &str) -> Outcome<Value> {
    let text = object.to_string().replace("sample", name);
    let mut object: Value = serde_json::from_str(&text).map_err(told("a pattern"))?;
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for key in ["uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"] {
            metadata.remove(key);
        }
    }
    Ok(object)
}

impl Pattern {
    async fn of_sample(stand: &Stand) -> Outcome<Self> {
        let events = get(stand, "/apis/events.k8s.io/v1/namespaces/bench/events").await?;
        let event = events["items"].as_array().into_iter().flatten().find(|e| e["regarding"]["name"] == "sample");
        Ok(Self {
            certificate: get(stand, &format!("{GROUP}/awscertificates/sample")).await?,
            request: get(stand, &format!("{GROUP}/awscertificaterequests/sample-1")).await?,
            secret: get(stand, &format!("{CORE}/secrets/sample-tls")).await?,
            event: event.cloned().ok_or("the sample has no event")?,
        })
    }

    /// One first issuance: a user's request and eleven of the operator's.
    async fn replay(&self, stand: &Stand, name: &str) -> Outcome<()> {
        let certificates = format!("{GROUP}/awscertificates");
        let requests = format!("{GROUP}/awscertificaterequests");
        let secrets = format!("{CORE}/secrets");
        let mut certificate = renamed(&self.certificate, name)?;
        let status = certificate["status"].take();
        let mut certificate = send(stand, "POST", &certificates, &certificate).await?;
        let owner = certificate["metadata"]["uid"].clone();
        let secret = format!("{secrets}/{name}-tls");
        if get(stand, &secret).await.is_ok() {
            return Err(format!("{secret} is there already"));
        }
        let with_owner = |mut object: Value| {
            object["metadata"]["ownerReferences"] = json!([{ "apiVersion": "arnkeeper.dev/v1beta1", "kind": "Certificate",
                "name": name, "uid": owner, "controller": true }]);
            object
        };
        let mut staged = with_owner(renamed(&self.secret, name)?);
        staged["metadata"]["name"] = json!(format!("{name}-1-key"));
        staged["type"] = json!("Opaque");
        send(stand, "POST", &secrets, &staged).await?;
        let mut request = with_owner(renamed(&self.request, name)?);
        let mut signed = request["status"].take();
        let mut request = send(stand, "POST", &requests, &request).await?;
        get(stand, &format!("{certificates}/{name}")).await?;
        let whole = signed.clone();
        for key in ["certificate", "chain", "serialNumber", "notBefore", "notAfter"] {
            signed.as_object_mut().map(|status| status.remove(key));
        }
        let path = format!("{requests}/{name}-1/status");
        for status in [signed, whole] {
            request["metadata"]["managedFields"] = json!([]);
            request["status"] = status;
            request = send(stand, "PUT", &path, &request).await?;
        }
        send(stand, "POST", &secrets, &renamed(&self.secret, name)?).await?;
        send(stand, "DELETE", &format!("{secrets}/{name}-1-key"), &Value::Null).await?;
        let path = format!("{certificates}/{name}/status");
        let mut before = status.clone();
        before["targets"][0].as_object_mut().map(|target| target.remove("arn"));
        for status in [before, status] {
            certificate["metadata"]["managedFields"] = json!([]);
            certificate["status"] = status;
            certificate = send(stand, "PUT", &path, &certificate).await?;
        }
        let mut event = renamed(&self.event, name)?;
        event["regarding"]["uid"] = owner;
        event["regarding"]["resourceVersion"] = certificate["metadata"]["resourceVersion"].clone();
        send(stand, "POST", "/apis/events.k8s.io/v1/namespaces/bench/events", &event).await.map(drop)
    }
}

/// Watches a kind as the operator does, and throws away what it is told.
async fn listen<K: Clone + DeserializeOwned + Debug>(api: Api<K>) {
    while let Ok(events) = api.watch(&WatchParams::default().timeout(280), "0").await {
        events.for_each(|_| std::future::ready(())).await;
    }
}

/// The requests of so many first issuances; returns the seconds, and how many requests each of them took.
pub async fn replay(stand: &Stand, many: usize) -> Outcome<(f64, f64)> {
    let pattern = Pattern::of_sample(stand).await?;
    let watches = [
        tokio::spawn(listen::<AwsAccount>(Api::all(stand.client.clone()))),
        tokio::spawn(listen::<Certificate>(Api::all(stand.client.clone()))),
        tokio::spawn(listen::<CertificateRequest>(Api::all(stand.client.clone()))),
        // As who waits for all to be Ready.
        tokio::spawn(listen::<Certificate>(stand.certificates())),
    ];
    let log = stand.audit();
    let began = Instant::now();
    let names: Vec<String> = (0..many).map(|n| format!("again-{n}")).collect();
    let chain = |name: String| {
        let pattern = &pattern;
        async move { pattern.replay(stand, &name).await }
    };
    futures::stream::iter(names).map(chain).buffer_unordered(PARALLEL).try_collect::<()>().await?;
    let seconds = began.elapsed().as_secs_f64();
    for watch in watches {
        watch.abort();
    }
    let made = log
        .read()?
        .iter()
        .filter(|r| !r.is_ours())
        .filter(|r| {
            r.object.namespace == NAMESPACE && r.object.name.contains("again-") || r.object.resource == "events"
        })
        .count();
    #[expect(clippy::cast_precision_loss, reason = "some thousand")]
    Ok((seconds, made as f64 / many as f64))
}
