//! The stand, the operator on it, and what a figure needs around its certificates.

use super::{audit::Log, process::Process};
use arnkeeper::api::{AwsAccount, Certificate, conditions::READY};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use futures::{StreamExt, TryStreamExt};
use kube::{
    Api, Client, Config, ResourceExt,
    api::{PostParams, WatchEvent, WatchParams},
};
use serde_json::{Value, json};
use std::{
    collections::HashSet,
    env, fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Of whatever goes wrong, a sentence is enough here.
pub type Outcome<T> = Result<T, String>;

/// The namespace of the operator and of the credentials.
pub const SYSTEM: &str = "arnkeeper-system";
/// The namespace of what is measured.
pub const NAMESPACE: &str = "bench";
/// The region of everything.
pub const REGION: &str = "eu-west-1";
/// So many objects are applied at the same time, as in the peers' measurements.
const PARALLEL: usize = 16;

/// A sentence from an error.
pub fn told<E: std::fmt::Display>(what: &str) -> impl Fn(E) -> String + '_ {
    move |error| format!("{what}: {error}")
}

/// The stand of the environment.
pub struct Stand {
    pub dir: PathBuf,
    pub client: Client,
    pub operator: PathBuf,
    sim: Client,
    etcd: Client,
}

/// A client for JSON over plain HTTP.
fn plain(url: &str) -> Outcome<Client> {
    Client::try_from(Config::new(url.parse().map_err(told(url))?)).map_err(told(url))
}

impl Stand {
    /// The stand that the environment names.
    pub async fn open(operator: PathBuf) -> Outcome<Self> {
        let need = |name: &str| {
            env::var(name).map_err(|_| format!("{name} is not set: `make bench` starts a stand around this"))
        };
        let dir = PathBuf::from(need("ARNKEEPER_STAND")?);
        let client = Client::try_default().await.map_err(told("KUBECONFIG"))?;
        let etcd =
            Process::of_file(&dir.join("etcd.pid"))?.flag("listen-client-urls").ok_or("etcd tells no address")?;
        stop_given(&dir).await?;
        Ok(Self { client, operator, sim: plain(&need("AWS_ENDPOINT_URL")?)?, etcd: plain(&etcd)?, dir })
    }

    /// A process of the stand by its name.
    pub fn process(&self, name: &str) -> Outcome<Process> {
        Process::of_file(&self.dir.join(format!("{name}.pid")))
    }

    /// The audit log from now on.
    pub fn audit(&self) -> Log {
        Log::from_now(self.dir.join("audit.log"))
    }

    async fn call(client: &Client, method: &str, path: &str, body: Option<&Value>) -> Outcome<Value> {
        let body = body.map_or_else(Vec::new, |b| b.to_string().into_bytes());
        let request = http::Request::builder().method(method).uri(path).header("content-type", "application/json");
        let request = request.body(body).map_err(told(path))?;
        let text = client.request_text(request).await.map_err(told(path))?;
        if text.trim().is_empty() { Ok(Value::Null) } else { serde_json::from_str(&text).map_err(told(path)) }
    }

    /// Arranges the emulated AWS.
    pub async fn sim(&self, method: &str, path: &str, body: Value) -> Outcome<Value> {
        let body = (!body.is_null()).then_some(&body);
        Self::call(&self.sim, method, &format!("/_sim/{path}"), body).await
    }

    /// The calls to AWS since the ledger was emptied: operation, outcome and second.
    pub async fn ledger(&self) -> Outcome<Vec<(String, String, String)>> {
        let calls = self.sim("GET", "ledger", Value::Null).await?;
        let text = |call: &Value, key: &str| call[key].as_str().unwrap_or_default().to_owned();
        let service = |call: &Value| format!("{}:{}", text(call, "service"), text(call, "operation"));
        let all = calls.as_array().into_iter().flatten();
        Ok(all.map(|call| (service(call), text(call, "outcome"), text(call, "at"))).collect())
    }

    /// Forgets all objects of earlier figures, in etcd and in AWS. The operator must not run.
    pub async fn wipe(&self) -> Outcome<()> {
        for kind in
            ["arnkeeper.dev/awscertificates/", "arnkeeper.dev/awscertificaterequests/", "arnkeeper.dev/awsaccounts/"]
        {
            self.wipe_prefix(&format!("/registry/{kind}")).await?;
        }
        for kind in ["secrets", "events"] {
            self.wipe_prefix(&format!("/registry/{kind}/{NAMESPACE}")).await?;
        }
        self.sim("POST", "reset", Value::Null).await?;
        drop(self.post("/api/v1/namespaces", &json!({ "metadata": { "name": NAMESPACE } })).await);
        self.settle().await
    }

    /// Until the API server and etcd are done with what was deleted: a twentieth of a processor, for a second.
    async fn settle(&self) -> Outcome<()> {
        let (servers, began) = ([self.process("kube-apiserver")?, self.process("etcd")?], Instant::now());
        let used = || servers.iter().map(|server| server.cpu()).sum::<f64>();
        loop {
            let before = used();
            tokio::time::sleep(Duration::from_secs(1)).await;
            if used() - before <= 0.05 || began.elapsed() > Duration::from_mins(1) {
                return Ok(());
            }
        }
    }

    async fn wipe_prefix(&self, prefix: &str) -> Outcome<()> {
        let end = format!("{}{}", &prefix[..prefix.len() - 1], char::from(prefix.as_bytes()[prefix.len() - 1] + 1));
        let range = json!({ "key": BASE64.encode(prefix), "range_end": BASE64.encode(end) });
        Self::call(&self.etcd, "POST", "/v3/kv/deleterange", Some(&range)).await.map(drop)
    }

    /// Puts objects into etcd, past the API server: what is only to be there need not be paid for.
    pub async fn put(&self, objects: &[(String, Value)]) -> Outcome<()> {
        let puts = objects.iter().map(|(key, object)| {
            json!({ "requestPut": { "key": BASE64.encode(key), "value": BASE64.encode(object.to_string()) } })
        });
        let puts: Vec<Value> = puts.collect();
        for chunk in puts.chunks(100) {
            Self::call(&self.etcd, "POST", "/v3/kv/txn", Some(&json!({ "success": chunk }))).await?;
        }
        Ok(())
    }

    /// Creates an object by its path.
    pub async fn post(&self, path: &str, object: &Value) -> Outcome<Value> {
        Self::call(&self.client, "POST", path, Some(object)).await
    }

    /// An account, open to everybody, with a private CA; returns the CA's ARN. Its quotas are as high as they can be
    /// unless AWS's own are wanted.
    pub async fn account(&self, name: &str, id: &str, own_quotas: bool, key_algorithm: &str) -> Outcome<String> {
        let authority = json!({ "account": id, "region": REGION, "commonName": name, "keyAlgorithm": key_algorithm });
        let authority = self.sim("POST", "authorities", authority).await?;
        let mut spec = json!({ "allowedNamespaces": { "from": "All" } });
        if !own_quotas {
            let high: serde_json::Map<String, Value> =
                arnkeeper::api::account::QUOTAS.iter().map(|name| ((*name).to_owned(), json!(10_000))).collect();
            spec["quotas"] = high.into();
        }
        self.enter(name, id, spec).await?;
        Ok(authority["arn"].as_str().unwrap_or_default().to_owned())
    }

    /// An account that is entered through a role; `spec` goes over the rest.
    pub async fn enter(&self, name: &str, id: &str, spec: Value) -> Outcome<()> {
        let role = format!("arn:aws:iam::{id}:role/arnkeeper");
        self.sim("POST", "roles", json!({ "arn": role })).await?;
        let key = |name: &str| env::var(name).unwrap_or_default();
        let credentials = json!({ "metadata": { "name": "bench" }, "stringData": {
            "accessKeyId": key("AWS_ACCESS_KEY_ID"), "secretAccessKey": key("AWS_SECRET_ACCESS_KEY") } });
        drop(self.post(&format!("/api/v1/namespaces/{SYSTEM}/secrets"), &credentials).await);
        let mut account = json!({ "apiVersion": "arnkeeper.dev/v1beta1", "kind": "AwsAccount",
            "metadata": { "name": name }, "spec": { "accountId": id,
                "credentials": { "accessKeys": { "secretRef": { "name": "bench" } } },
                "assumeRoles": [{ "roleArn": role }], "regions": [REGION] } });
        if let (Some(all), Value::Object(more)) = (account["spec"].as_object_mut(), spec) {
            all.extend(more);
        }
        self.post("/apis/arnkeeper.dev/v1beta1/awsaccounts", &account).await.map(drop)
    }

    /// The accounts.
    pub fn accounts(&self) -> Api<AwsAccount> {
        Api::all(self.client.clone())
    }

    /// The calls of an operation since the ledger was emptied, as the emulator tells them.
    pub async fn calls(&self, operation: &str) -> Outcome<Vec<Value>> {
        let calls = self.sim("GET", &format!("ledger?operation={operation}"), Value::Null).await?;
        Ok(calls.as_array().cloned().unwrap_or_default())
    }

    /// The Certificates of a namespace.
    pub fn certificates(&self) -> Api<Certificate> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    /// Applies Certificates, 16 at a time.
    pub async fn apply(&self, certificates: Vec<Value>) -> Outcome<()> {
        let api = self.certificates();
        let create = |certificate: Value| {
            let api = api.clone();
            async move {
                let certificate = serde_json::from_value(certificate).map_err(told("a Certificate"))?;
                api.create(&PostParams::default(), &certificate).await.map(drop).map_err(told("a Certificate"))
            }
        };
        futures::stream::iter(certificates).map(create).buffer_unordered(PARALLEL).try_collect().await
    }

    /// Waits until so many Certificates are Ready.
    pub async fn ready(&self, count: usize, bound: Duration) -> Outcome<()> {
        let mut ready = HashSet::new();
        let wait = async {
            let mut version = "0".to_owned();
            loop {
                let params = WatchParams::default().timeout(280);
                let mut events = self.certificates().watch(&params, &version).await.map_err(told("the watch"))?.boxed();
                while let Some(event) = events.try_next().await.map_err(told("the watch"))? {
                    if let WatchEvent::Added(c) | WatchEvent::Modified(c) = event {
                        version = c.resource_version().unwrap_or(version);
                        if is_ready(&c) {
                            ready.insert(c.name_any());
                        }
                    }
                    if ready.len() >= count {
                        return Ok::<_, String>(());
                    }
                }
            }
        };
        let result = tokio::time::timeout(bound, wait).await;
        result
            .unwrap_or_else(|_| Err(format!("only {} of {count} were Ready after {} s", ready.len(), bound.as_secs())))
    }
}

/// Ends the operator that came with the stand: each figure starts its own, with the rights that are there now.
async fn stop_given(dir: &std::path::Path) -> Outcome<()> {
    let Ok(given) = Process::of_file(&dir.join("arnkeeper-0.pid")) else { return Ok(()) };
    Command::new("kill").args(["-TERM", &given.0.to_string()]).status().map_err(told("kill"))?;
    let begin = Instant::now();
    while given.memory().0 > 0.0 && begin.elapsed() < Duration::from_secs(30) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Whether a Certificate is Ready, and every target has it.
fn is_ready(certificate: &Certificate) -> bool {
    let conditions = certificate.status.iter().flat_map(|s| &s.conditions);
    conditions.into_iter().any(|c| c.type_ == READY && c.status == "True")
}

/// The manifest of a Certificate with one target.
pub fn certificate(name: &str, account: &str, authority: &str, more: Value) -> Value {
    let mut manifest = json!({ "apiVersion": "arnkeeper.dev/v1beta1", "kind": "Certificate",
        "metadata": { "name": name, "namespace": NAMESPACE }, "spec": {
            "accountRef": { "name": account }, "region": REGION, "duration": "2160h",
            "source": { "privateCa": { "certificateAuthority": { "arn": authority } } },
            "subject": { "domainName": format!("{name}.bench.example") },
            "secret": { "name": format!("{name}-tls") }, "acm": [{ "name": "edge" }] } });
    if let (Some(spec), Value::Object(more)) = (manifest["spec"].as_object_mut(), more) {
        spec.extend(more);
    }
    manifest
}

/// The operator, started by this process; it is ended with it.
pub struct Operator {
    child: Child,
    /// How long it took until it was ready.
    pub start: Duration,
    /// When it was started.
    pub began: Instant,
}

impl Operator {
    /// Starts it and waits until it is ready.
    pub async fn start(stand: &Stand, flags: &[&str]) -> Outcome<Self> {
        let port = free_port()?;
        let log = fs::File::options().create(true).append(true).open(stand.dir.join("arnkeeper-bench.log"));
        let log = log.map_err(told("the operator's log"))?;
        let began = Instant::now();
        let child = Command::new(&stand.operator)
            .arg("run")
            .args(flags)
            .env("KUBECONFIG", stand.dir.join("arnkeeper-0.kubeconfig"))
            .env("ARNKEEPER_LISTEN", format!("127.0.0.1:{port}"))
            .env("POD_NAMESPACE", SYSTEM)
            .env("POD_NAME", "arnkeeper-bench")
            // As in the image.
            .env("MALLOC_ARENA_MAX", "1")
            .env_remove("AWS_REGION")
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(told("the operator"))?;
        let mut operator = Self { child, start: Duration::ZERO, began };
        let probe = plain(&format!("http://127.0.0.1:{port}"))?;
        while Stand::ready_now(&probe).await.is_err() {
            if began.elapsed() > Duration::from_mins(1) {
                return Err(
                    "the operator is not ready after 60 s: see arnkeeper-bench.log in the stand's folder".into()
                );
            }
            if let Ok(Some(ended)) = operator.child.try_wait() {
                return Err(format!("the operator ended: {ended}"));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        operator.start = began.elapsed();
        Ok(operator)
    }

    /// The process.
    pub fn process(&self) -> Process {
        Process(self.child.id())
    }

    /// Ends it in order.
    pub async fn stop(mut self) -> Outcome<()> {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().map_err(told("kill"))?;
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(30) {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err("the operator did not end within 30 s".into())
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Stand {
    async fn ready_now(probe: &Client) -> Outcome<()> {
        let request = http::Request::get("/readyz").body(vec![]).map_err(told("/readyz"))?;
        let answer = tokio::time::timeout(Duration::from_millis(500), probe.request_text(request)).await;
        answer.map_err(told("/readyz"))?.map(drop).map_err(told("/readyz"))
    }
}

fn free_port() -> Outcome<u16> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(told("a port"))?;
    listener.local_addr().map(|a| a.port()).map_err(told("a port"))
}
