//! The requests of a first issuance once more, by a client that does nothing else.

use super::stand::{NAMESPACE, Outcome, Stand, told};
use arnkeeper::api::{AwsAccount, Certificate, CertificateRequest};
use futures::{StreamExt, TryStreamExt};
use kube::{
    Api, Client, Config,
    api::WatchParams,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::{fmt::Debug, time::Instant};

/// Chains of requests at the same time; the applying of the Certificates is part of them.
const PARALLEL: usize = 64;
const GROUP: &str = "/apis/arnkeeper.dev/v1beta1/namespaces/bench";
const CORE: &str = "/api/v1/namespaces/bench";

/// What the sample left in the cluster, as a pattern: its name stands for all names.
pub struct Pattern {
    certificate: Value,
    request: Value,
    secret: Value,
    event: Value,
}

/// A client with the operator's own rights: what they cost the API server is part of a request.
async fn as_operator(stand: &Stand) -> Outcome<Client> {
    let what = "the operator's kubeconfig";
    let file = Kubeconfig::read_from(stand.dir.join("arnkeeper-0.kubeconfig")).map_err(told(what))?;
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.map_err(told(what))?;
    Client::try_from(config).map_err(told(what))
}

async fn get(client: &Client, path: &str) -> Outcome<Value> {
    let request = http::Request::get(path).body(vec![]).map_err(told(path))?;
    let text = client.request_text(request).await.map_err(told(path))?;
    serde_json::from_str(&text).map_err(told(path))
}

async fn send(client: &Client, method: &str, path: &str, body: &Value) -> Outcome<Value> {
    let request = http::Request::builder().method(method).uri(path).header("content-type", "application/json");
    let body = if body.is_null() { vec![] } else { body.to_string().into_bytes() };
    let text = client.request_text(request.body(body).map_err(told(path))?).await;
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
    /// Of the Certificate `sample`.
    pub async fn of_sample(client: &Client) -> Outcome<Self> {
        let events = get(client, "/apis/events.k8s.io/v1/namespaces/bench/events").await?;
        let event = events["items"].as_array().into_iter().flatten().find(|e| e["regarding"]["name"] == "sample");
        Ok(Self {
            certificate: get(client, &format!("{GROUP}/awscertificates/sample")).await?,
            request: get(client, &format!("{GROUP}/awscertificaterequests/sample-1")).await?,
            secret: get(client, &format!("{CORE}/secrets/sample-tls")).await?,
            event: event.cloned().ok_or("the sample has no event")?,
        })
    }

    /// One first issuance: a user's request and eleven of the operator's.
    async fn replay(&self, user: &Client, client: &Client, name: &str) -> Outcome<()> {
        let certificates = format!("{GROUP}/awscertificates");
        let requests = format!("{GROUP}/awscertificaterequests");
        let secrets = format!("{CORE}/secrets");
        let mut certificate = renamed(&self.certificate, name)?;
        let status = certificate["status"].take();
        let mut certificate = send(user, "POST", &certificates, &certificate).await?;
        let owner = certificate["metadata"]["uid"].clone();
        let secret = format!("{secrets}/{name}-tls");
        if get(client, &secret).await.is_ok() {
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
        send(client, "POST", &secrets, &staged).await?;
        let mut request = with_owner(renamed(&self.request, name)?);
        let mut signed = request["status"].take();
        let mut request = send(client, "POST", &requests, &request).await?;
        get(client, &format!("{certificates}/{name}")).await?;
        let whole = signed.clone();
        for key in ["certificate", "chain", "serialNumber", "notBefore", "notAfter"] {
            signed.as_object_mut().map(|status| status.remove(key));
        }
        let path = format!("{requests}/{name}-1/status");
        for status in [signed, whole] {
            request["metadata"]["managedFields"] = json!([]);
            request["status"] = status;
            request = send(client, "PUT", &path, &request).await?;
        }
        send(client, "POST", &secrets, &renamed(&self.secret, name)?).await?;
        send(client, "DELETE", &format!("{secrets}/{name}-1-key"), &Value::Null).await?;
        let path = format!("{certificates}/{name}/status");
        let mut before = status.clone();
        before["targets"][0].as_object_mut().map(|target| target.remove("arn"));
        for status in [before, status] {
            certificate["metadata"]["managedFields"] = json!([]);
            certificate["status"] = status;
            certificate = send(client, "PUT", &path, &certificate).await?;
        }
        let mut event = renamed(&self.event, name)?;
        event["regarding"]["uid"] = owner;
        event["regarding"]["resourceVersion"] = certificate["metadata"]["resourceVersion"].clone();
        send(client, "POST", "/apis/events.k8s.io/v1/namespaces/bench/events", &event).await.map(drop)
    }
}

/// Watches a kind as the operator does, and throws away what it is told.
async fn listen<K: Clone + DeserializeOwned + Debug>(api: Api<K>) {
    while let Ok(events) = api.watch(&WatchParams::default().timeout(280), "0").await {
        events.for_each(|_| std::future::ready(())).await;
    }
}

/// The requests of so many first issuances; returns the seconds, and how many requests each of them took.
pub async fn replay(stand: &Stand, pattern: &Pattern, many: usize) -> Outcome<(f64, f64)> {
    let client = as_operator(stand).await?;
    let watches = [
        tokio::spawn(listen::<AwsAccount>(Api::all(client.clone()))),
        tokio::spawn(listen::<Certificate>(Api::all(client.clone()))),
        tokio::spawn(listen::<CertificateRequest>(Api::all(client.clone()))),
        // As who waits for all to be Ready.
        tokio::spawn(listen::<Certificate>(stand.certificates())),
    ];
    let log = stand.audit();
    let began = Instant::now();
    let names: Vec<String> = (0..many).map(|n| format!("again-{n}")).collect();
    let chain = |name: String| {
        let client = &client;
        async move { pattern.replay(&stand.client, client, &name).await }
    };
    futures::stream::iter(names).map(chain).buffer_unordered(PARALLEL).try_collect::<()>().await?;
    let seconds = began.elapsed().as_secs_f64();
    for watch in watches {
        watch.abort();
    }
    let made = log
        .read()?
        .iter()
        // The operator's last events may be logged only now.
        .filter(|r| !r.is_ours())
        .filter(|r| {
            r.object.namespace == NAMESPACE && r.object.name.contains("again-") || r.object.resource == "events"
        })
        .count();
    #[expect(clippy::cast_precision_loss, reason = "some thousand")]
    Ok((seconds, made as f64 / many as f64))
}
