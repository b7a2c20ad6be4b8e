//! The process: clients, watches and controllers, put together and ended in order.

use crate::{
    api::{AwsAccount, Certificate, CertificateRequest},
    aws::sessions::{SecretSource, SessionParts, Sessions},
    clock::ServerClock,
    controllers::{
        account::Accounts,
        certificate::Certificates,
        context::{Context, Parts},
        driver::{Driver, Kind},
        request::Requests,
        wake::{Lane, Waker},
    },
    kube::{
        client::{Clients, connect},
        watch::{Change, watch},
    },
};
use async_trait::async_trait;
use axum::{Router, http::StatusCode, routing::get};
use futures::{Stream, StreamExt, TryStreamExt, channel::mpsc::UnboundedReceiver};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    Api, Client,
    core::PartialObjectMeta,
    runtime::{
        WatchStreamExt,
        events::{Recorder, Reporter},
        reflector::{ObjectRef, Store},
        watcher::{self, Event, watcher},
    },
};
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::watch as flag, task::JoinSet};

/// What is under way at the end may take this long; the chart gives the pod 30 s.
const LAST_WORDS: Duration = Duration::from_secs(25);

/// What the process is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where `/livez` and `/readyz` are served.
    pub listen: SocketAddr,
    /// The namespaces that are served; empty: all.
    pub namespaces: Vec<String>,
    /// The `clusterId`; none: the uid of the namespace kube-system.
    pub cluster: Option<String>,
    /// The operator's own namespace: Secrets with credentials lie there.
    pub own_namespace: String,
    /// The name of this pod, in events.
    pub instance: String,
    /// One endpoint for all AWS services, instead of AWS's own.
    pub endpoint_url: Option<String>,
    /// How far the clock runs ahead; not zero in tests only.
    pub ahead: SignedDuration,
}

/// Why the process could not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// No configuration for the API server.
    #[error("no way to the API server: {0}; outside of a pod, set KUBECONFIG")]
    NoConfig(#[from] kube::config::InferConfigError),
    /// The API server did not answer as it should.
    #[error("the API server: {0}")]
    Kubernetes(#[from] kube::Error),
    /// The address is taken, or not ours.
    #[error("can't listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// Without a cluster id nothing may be tagged.
    #[error("the namespace kube-system has no uid: set --cluster-id")]
    NoClusterId,
    /// A part of the process ended by itself.
    #[error("a part of the process ended: {0}")]
    Ended(&'static str),
}

/// Runs the operator until `stop`, then lets what is under way come to its end.
///
/// # Errors
/// If it can't start, or a part of it ends by itself.
pub async fn run(config: Config, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), Problem> {
    let clock = Arc::new(ServerClock::ahead(config.ahead));
    let clients = connect(kube::Config::infer().await?, &clock)?;
    let cluster = match config.cluster.clone() {
        Some(id) => id,
        None => cluster_id(&clients.calls).await?,
    };
    tracing::info!(version = env!("CARGO_PKG_VERSION"), cluster, namespaces = ?config.namespaces, "arnkeeper starts");
    let (stopping, stopped) = flag::channel(false);
    let server = serve(&config, stopped.clone()).await?;
    let mut operator = Operator::start(&config, &clients, &clock, cluster, server, &stopped);
    let reason = tokio::select! {
        () = stop => None,
        ended = operator.tasks.join_next() => Some(match ended {
            Some(Ok(name)) => name,
            Some(Err(_)) | None => "a task failed",
        }),
        _ = operator.drivers.join_next() => Some("a controller"),
    };
    tracing::info!("arnkeeper stops: what is under way comes to its end");
    stopping.send_replace(true);
    if tokio::time::timeout(LAST_WORDS, operator.drivers()).await.is_err() {
        tracing::warn!("some work did not end in time; it is taken up again by its records");
    }
    reason.map_or(Ok(()), |name| Err(Problem::Ended(name)))
}

/// The id of a cluster that was given none.
async fn cluster_id(client: &Client) -> Result<String, Problem> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces.get("kube-system").await?.metadata.uid.ok_or(Problem::NoClusterId)
}

/// The listener of the probes, and what tells them that the stores are filled.
struct Server {
    listener: TcpListener,
    filled: flag::Sender<bool>,
    app: Router,
}

async fn serve(config: &Config, stopped: flag::Receiver<bool>) -> Result<Server, Problem> {
    let listener = TcpListener::bind(config.listen).await.map_err(|e| Problem::Listen(config.listen, e))?;
    let (filled, is_filled) = flag::channel(false);
    let readyz = move || {
        let ready = *is_filled.borrow() && !*stopped.borrow();
        let no = (StatusCode::SERVICE_UNAVAILABLE, "the watches are not there yet\n");
        async move { if ready { (StatusCode::OK, "ok\n") } else { no } }
    };
    let app = Router::new().route("/livez", get(|| async { "ok\n" })).route("/readyz", get(readyz));
    Ok(Server { listener, filled, app })
}

/// The tasks of the process.
struct Operator {
    /// They never end by themselves.
    tasks: JoinSet<&'static str>,
    /// They end when they are told to, after what is under way.
    drivers: JoinSet<()>,
}

impl Operator {
    fn start(
        config: &Config,
        clients: &Clients,
        clock: &Arc<ServerClock>,
        cluster: String,
        server: Server,
        stopped: &flag::Receiver<bool>,
    ) -> Self {
        let (accounts, account_changes) = watch::<AwsAccount>(clients.watches.clone());
        let (certificates, certificate_changes) = watch::<Certificate>(clients.watches.clone());
        let (requests, request_changes) = watch::<CertificateRequest>(clients.watches.clone());
        let secrets = KubeSecrets(Api::namespaced(clients.calls.clone(), &config.own_namespace));
        let sessions =
            Sessions::new(SessionParts { secrets: Arc::new(secrets), endpoint_url: config.endpoint_url.clone() });
        let context = Arc::new(Context::new(Parts {
            client: clients.calls.clone(),
            clock: clock.clone(),
            cluster,
            accounts: accounts.clone(),
            certificates: certificates.clone(),
            requests: requests.clone(),
            sessions,
        }));
        let reporter = Reporter { controller: "arnkeeper".into(), instance: Some(config.instance.clone()) };
        let recorder = Recorder::new(clients.calls.clone(), reporter);
        let (account_lane, account_queue) = Lane::new(Driver::new(Accounts(context.clone()), &context, &recorder));
        let (request_lane, request_queue) = Lane::new(Driver::new(Requests(context.clone()), &context, &recorder));
        let (certificate_lane, certificate_queue) =
            Lane::new(Driver::new(Certificates::new(context.clone()), &context, &recorder));

        let mut drivers = JoinSet::new();
        let turn = Turn { filled: server.filled.subscribe(), stopped: stopped.clone() };
        drivers.spawn(turn.clone().drive(account_lane.driver.clone(), accounts.clone(), account_queue));
        drivers.spawn(turn.clone().drive(request_lane.driver.clone(), requests.clone(), request_queue));
        drivers.spawn(turn.clone().drive(certificate_lane.driver.clone(), certificates.clone(), certificate_queue));
        let filled = server.filled;
        drivers.spawn(async move {
            let all = async {
                accounts.wait_until_ready().await.is_ok()
                    && certificates.wait_until_ready().await.is_ok()
                    && requests.wait_until_ready().await.is_ok()
            };
            let end = turn.clone().end();
            tokio::select! {
                ready = all => drop(filled.send_replace(ready)),
                () = turn.end() => {}
            }
            end.await;
        });

        let waker = Arc::new(Waker::new(context, account_lane, request_lane, certificate_lane, &config.namespaces));
        let mut tasks = JoinSet::new();
        let tell = waker.clone();
        tasks.spawn(follow("the watch of AwsAccounts", account_changes, move |changes| tell.accounts(changes)));
        let tell = waker.clone();
        tasks
            .spawn(follow("the watch of Certificates", certificate_changes, move |changes| tell.certificates(changes)));
        let tell = waker.clone();
        tasks.spawn(follow("the watch of CertificateRequests", request_changes, move |changes| tell.requests(changes)));
        let tell = waker.clone();
        let own = metadata(clients, &config.own_namespace, watcher::Config::default());
        tasks.spawn(follow_metadata(own, move |secret| tell.credentials(&secret)));
        for namespace in &config.namespaces {
            let tell = waker.clone();
            let tls = metadata(clients, namespace, watcher::Config::default().fields("type=kubernetes.io/tls"));
            tasks.spawn(follow_metadata(tls, move |secret| tell.tls_secret(&secret)));
        }
        tasks.spawn(async move {
            if let Err(error) = axum::serve(server.listener, server.app).await {
                tracing::error!(%error, "the probes are not served any more");
            }
            "the server of the probes"
        });
        Self { tasks, drivers }
    }

    /// Waits for the drivers, while watches and probes go on.
    async fn drivers(&mut self) {
        while self.drivers.join_next().await.is_some() {}
    }
}

/// When a driver runs: from the moment that every store is filled (nobody decides on half a view), until the end.
#[derive(Clone)]
struct Turn {
    filled: flag::Receiver<bool>,
    stopped: flag::Receiver<bool>,
}

impl Turn {
    async fn end(mut self) {
        // Without its sender the process ends, too.
        drop(self.stopped.wait_for(|stop| *stop).await);
    }

    async fn drive<T: Kind>(
        mut self,
        driver: Arc<Driver<T>>,
        store: Store<T::Object>,
        queue: UnboundedReceiver<ObjectRef<T::Object>>,
    ) {
        let (end, stop) = (self.clone().end(), self.clone().end());
        let runs = tokio::select! {
            filled = self.filled.wait_for(|filled| *filled) => filled.is_ok(),
            () = stop => false,
        };
        if runs {
            driver.run(store, queue, end).await;
        }
    }
}

async fn follow<K>(
    name: &'static str,
    changes: impl Stream<Item = Vec<Change<K>>>,
    tell: impl Fn(Vec<Change<K>>),
) -> &'static str {
    let mut changes = std::pin::pin!(changes);
    while let Some(told) = changes.next().await {
        tell(told);
    }
    name
}

type SecretMetadata = Result<Event<PartialObjectMeta<Secret>>, watcher::Error>;

fn metadata(clients: &Clients, namespace: &str, config: watcher::Config) -> impl Stream<Item = SecretMetadata> + use<> {
    let api: Api<PartialObjectMeta<Secret>> = Api::namespaced(clients.watches.clone(), namespace);
    watcher(api, config).default_backoff()
}

async fn follow_metadata(
    events: impl Stream<Item = SecretMetadata>,
    tell: impl Fn(PartialObjectMeta<Secret>),
) -> &'static str {
    let mut events = std::pin::pin!(events);
    loop {
        match events.try_next().await {
            Ok(Some(Event::Apply(secret) | Event::InitApply(secret) | Event::Delete(secret))) => tell(secret),
            Ok(Some(Event::Init | Event::InitDone)) => {}
            Ok(None) => return "a watch of Secrets",
            Err(error) => tracing::warn!(%error, "a watch of Secrets broke off and is opened again"),
        }
    }
}

/// Secrets of the operator's own namespace.
struct KubeSecrets(Api<Secret>);

#[async_trait]
impl SecretSource for KubeSecrets {
    async fn read(&self, name: &str) -> Result<Option<BTreeMap<String, Vec<u8>>>, String> {
        let secret = self.0.get_opt(name).await.map_err(|error| error.to_string())?;
        Ok(secret
            .map(|secret| secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect()))
    }
}
