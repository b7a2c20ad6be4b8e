//! The stand around all cases: the API server, aws-sim and the programs.

use kube::{Client, Config, Resource, api::PostParams};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{env, fmt::Debug, fs, path::PathBuf, time::Duration};

/// What went wrong, for a person.
pub type Answer<T> = Result<T, String>;

/// Between looks.
pub const BETWEEN_LOOKS: Duration = Duration::from_millis(150);

/// Any error as words.
#[expect(clippy::needless_pass_by_value, reason = "goes into map_err")]
pub fn words(error: impl ToString) -> String {
    error.to_string()
}

/// What all cases share.
#[derive(Clone)]
pub struct Stand {
    /// The administrator's.
    pub client: Client,
    /// The emulator that the stand started.
    pub sim: Sim,
    /// The folder of the stand; the cases put their logs there.
    pub folder: PathBuf,
    /// The folder of the programs.
    pub programs: PathBuf,
    /// The API server.
    pub server: String,
    /// Its authorities, in PEM.
    pub authorities: Vec<u8>,
    /// The kubeconfig of the chart's ServiceAccount.
    pub service_account: String,
}

fn need(name: &str) -> Answer<String> {
    env::var(name).map_err(|_| format!("{name} is not set: this needs a stand, `make crash` starts one"))
}

impl Stand {
    /// The stand that the environment names, with the chart installed (`tests/stand/operator --install-only`).
    pub async fn get() -> Answer<Self> {
        let folder = PathBuf::from(need("ARNKEEPER_STAND")?);
        let config = Config::infer().await.map_err(words)?;
        let server = config.cluster_url.to_string();
        let read = |name: &str| fs::read(folder.join(name)).map_err(|error| format!("{name} of the stand: {error}"));
        let service_account = String::from_utf8(read("arnkeeper-0.kubeconfig")?).map_err(words)?;
        let programs = env::current_exe().map_err(words)?.parent().ok_or("a program without a folder")?.to_owned();
        Ok(Self {
            client: Client::try_from(config).map_err(words)?,
            sim: Sim::new(&need("AWS_ENDPOINT_URL")?)?,
            authorities: read("ca.crt")?,
            server,
            service_account,
            programs,
            folder,
        })
    }
}

/// The control endpoints of an aws-sim.
#[derive(Clone)]
pub struct Sim {
    client: Client,
    /// Its address.
    pub url: String,
}

/// A call in the ledger of aws-sim.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    pub operation: String,
    pub region: String,
    pub effective: bool,
    pub arn: Option<String>,
    pub body: Value,
}

impl Sim {
    /// The one at this address.
    pub fn new(url: &str) -> Answer<Self> {
        // The client of the API server is a client of any JSON over HTTP.
        let config = Config::new(url.parse().map_err(|error| format!("{url}: {error}"))?);
        Ok(Self { client: Client::try_from(config).map_err(words)?, url: url.to_owned() })
    }

    async fn call(&self, method: &str, path: &str, body: &Value) -> Answer<Value> {
        let request = http::Request::builder().method(method).uri(format!("/_sim/{path}"));
        let request = request.header("content-type", "application/json").body(body.to_string().into_bytes());
        let text = self.client.request_text(request.map_err(words)?).await;
        let text = text.map_err(|error| format!("{method} /_sim/{path}: {error}"))?;
        serde_json::from_str(&text).map_err(words)
    }

    /// Makes something there.
    pub async fn post(&self, path: &str, body: Value) -> Answer<Value> {
        self.call("POST", path, &body).await
    }

    /// Takes something away there.
    pub async fn delete(&self, path: &str, body: Value) -> Answer<Value> {
        self.call("DELETE", path, &body).await
    }

    /// All calls of an account, oldest first.
    pub async fn ledger(&self, account: &str) -> Answer<Vec<Entry>> {
        let entries = self.call("GET", &format!("ledger?account={account}"), &json!({})).await?;
        serde_json::from_value(entries).map_err(words)
    }

    /// How many calls of an operation had an effect.
    pub async fn effective(&self, account: &str, operation: &str) -> Answer<usize> {
        let ledger = self.ledger(account).await?;
        Ok(ledger.iter().filter(|entry| entry.operation == operation && entry.effective).count())
    }
}

/// Creates an object.
pub async fn make<K>(api: &kube::Api<K>, object: Value) -> Answer<K>
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned,
{
    let typed: K = serde_json::from_value(object).map_err(words)?;
    api.create(&PostParams::default(), &typed).await.map_err(words)
}

/// Looks again and again until there is an answer, or the time is over: then what was seen last.
pub async fn until<T>(what: &str, within: Duration, mut look: impl AsyncFnMut() -> Answer<Option<T>>) -> Answer<T> {
    let begin = tokio::time::Instant::now();
    loop {
        if let Some(answer) = look().await? {
            return Ok(answer);
        }
        if begin.elapsed() >= within {
            return Err(format!("after {} s not: {what}", within.as_secs()));
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}
