//! The clients: one for calls, with a time-out, one for the Lease alone, and one for watches, which may be silent for a while.

use crate::{clock::ServerClock, metrics::Metrics, probes::Pulse};
use futures::future::BoxFuture;
use http::{
    HeaderMap, HeaderValue, Request, Response, Uri,
    header::{DATE, USER_AGENT},
};
use jiff::Timestamp;
use kube::{
    Client, Config,
    client::{Body, ClientBuilder},
    config::InferConfigError,
};
use std::{
    io,
    sync::Arc,
    task::{self, Poll},
    time::{Duration, Instant},
};
use tower::{Layer, Service, limit::ConcurrencyLimitLayer, util::service_fn};

/// A call that is not answered after this long has failed.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// So many calls are under way at the same time. kube speaks HTTP/1.1, where each has a connection of its own, and that takes a
/// hundred kilobytes here and more at the API server; with a call in a hundredth of a second these are 4,000 in a second.
const CALLS: usize = 40;
/// A watch whose opening is not answered after this long has failed.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);
/// The API server ends a watch after this long, in seconds, and it is opened again where it ended: a watch on which
/// nothing comes for longer is dead, though its connection may not know. The cost is a cheap read for each watch.
pub const WATCH_LASTS: u32 = 40;
/// The watcher waits 5 s more for that end (kube 5, `WATCH_IDLE_TIMEOUT_MARGIN`).
const WATCH_SILENCE: Duration = Duration::from_secs(WATCH_LASTS as u64 + 5);

/// What the API server's audit log and metrics call us.
const AGENT: &str = concat!("arnkeeper/", env!("CARGO_PKG_VERSION"));

/// The clients of the process.
#[derive(Clone)]
pub struct Clients {
    /// For calls.
    pub calls: Client,
    /// For the Lease: it waits behind no other call.
    pub lease: Client,
    /// Where they are counted.
    pub metrics: Arc<Metrics>,
    watches: Client,
}

/// How the API server is reached: as a kubeconfig says, or as a pod does, and through no proxy but that of the kubeconfig.
///
/// Outside of a pod kube would take HTTPS_PROXY for the API server, whatever NO_PROXY says of that (kube 5.0,
/// `ConfigLoader::proxy_url`). Here it is for AWS and Vault alone.
///
/// # Errors
/// If there is neither a kubeconfig nor a pod.
pub async fn configuration() -> Result<Config, InferConfigError> {
    let mut config = Config::infer().await?;
    let names = ["HTTPS_PROXY", "https_proxy"];
    let for_aws = names.into_iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    directly(&mut config, for_aws.as_deref());
    Ok(config)
}

/// Without the proxy that is for AWS.
fn directly(config: &mut Config, for_aws: Option<&str>) {
    let for_aws: Option<Uri> = for_aws.and_then(|url| url.parse().ok());
    if config.proxy_url == for_aws {
        config.proxy_url = None;
    }
}

/// Makes the clients. Every answer to a call sets the clock and is counted.
///
/// # Errors
/// If the configuration makes no TLS client.
pub fn connect(config: Config, clock: &Arc<ServerClock>, metrics: Arc<Metrics>) -> Result<Clients, kube::Error> {
    connect_with(config, clock, metrics, WATCH_SILENCE)
}

fn connect_with(
    mut config: Config,
    clock: &Arc<ServerClock>,
    metrics: Arc<Metrics>,
    watch_silence: Duration,
) -> Result<Clients, kube::Error> {
    config.headers.push((USER_AGENT, HeaderValue::from_static(AGENT)));
    // Else the time that a connection was idle counts for the next call on it.
    config.reset_reader_on_write = true;
    config.connect_timeout = Some(OPEN_TIMEOUT);
    let mut patient = config.clone();
    patient.read_timeout = Some(watch_silence);
    // The watcher tries again by itself, and tells of it.
    patient.default_retry = false;
    let watches = Client::try_from(patient)?;
    config.read_timeout = Some(CALL_TIMEOUT);
    let notes = Notes { clock: clock.clone(), metrics: metrics.clone() };
    let lease = ClientBuilder::try_from(config.clone())?.with_layer(&notes).build();
    let calls = ClientBuilder::try_from(config)?.with_layer(&notes);
    let calls = calls.with_layer(&ConcurrencyLimitLayer::new(CALLS)).build();
    Ok(Clients { calls, lease, metrics, watches })
}

/// Counts the requests and what came of them, and takes the time of the answers.
#[derive(Clone)]
struct Notes {
    clock: Arc<ServerClock>,
    metrics: Arc<Metrics>,
}

impl<S> Layer<S> for Notes {
    type Service = Noted<S>;

    fn layer(&self, inner: S) -> Noted<S> {
        Noted { inner, notes: self.clone() }
    }
}

struct Noted<S> {
    inner: S,
    notes: Notes,
}

impl<S, B> Service<Request<Body>> for Noted<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<B>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (Notes { clock, metrics }, method, asked) = (self.notes.clone(), request.method().clone(), Instant::now());
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            if let Some(date) = answer.as_ref().ok().and_then(|answer| date(answer.headers())) {
                clock.observe(asked, date);
            }
            metrics.asked(&method, answer.as_ref().ok().map(Response::status));
            answer
        })
    }
}

impl Clients {
    /// All of them this one.
    #[cfg(test)]
    pub(crate) fn all(client: &Client) -> Self {
        let (calls, lease, watches) = (client.clone(), client.clone(), client.clone());
        Self { calls, lease, metrics: Arc::default(), watches }
    }

    /// A client for one watch. Whatever it sends and is answered is a sign of life.
    #[must_use]
    pub fn watch(&self, pulse: &Pulse) -> Client {
        let (watches, pulse) = (self.watches.clone(), pulse.clone());
        let service = service_fn(move |request: Request<Body>| {
            let (watches, pulse) = (watches.clone(), pulse.clone());
            async move {
                pulse.beat();
                let answer = tokio::time::timeout(OPEN_TIMEOUT, watches.send(request)).await;
                pulse.beat();
                answer.unwrap_or_else(|_| Err(kube::Error::Service(Box::new(no_answer()))))
            }
        });
        Client::new(service, self.watches.default_namespace())
    }
}

fn no_answer() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", OPEN_TIMEOUT.as_secs()))
}

fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let text = headers.get(DATE)?.to_str().ok()?;
    jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests;
