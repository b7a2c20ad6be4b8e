//! The process: clients, watches and controllers, put together and ended in order.

use crate::{
    api::{AwsAccount, Certificate, CertificateRequest},
    aws::{
        network::Network,
        paced::pacer::Pacer,
        sessions::{SecretSource, SessionParts, Sessions},
    },
    clock::ServerClock,
    controllers::{
        account::Accounts,
        certificate::Certificates,
        context::{Context, Parts},
        driver::{Driver, Kind},
        request::Requests,
        wake::Waker,
    },
    kube::{
        client::{Clients, configuration, connect},
        leader::{Election, End, Mandate, Wanted},
        lease::Terms,
        store::{Change, Store},
        watch::{events, watch},
    },
    metrics::{self, Metrics, Scrape},
    probes::{self, Health},
    tasks::Tasks,
};
use async_trait::async_trait;
use axum::Router;
use futures::{Stream, StreamExt, future::BoxFuture};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    Api, Client,
    core::PartialObjectMeta,
    runtime::{
        events::{Recorder, Reporter},
        watcher::{self, Event},
    },
};
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    sync::{oneshot, watch as flag},
    task::JoinHandle,
};

/// What is under way at the end may take this long; the chart gives the pod 30 s.
const LAST_WORDS: Duration = Duration::from_secs(25);
/// And giving back the Lease this long.
const LAST_WRITE: Duration = Duration::from_secs(3);

const WATCHES: [&str; 3] =
    ["the watch of AwsAccounts", "the watch of Certificates", "the watch of CertificateRequests"];
const DRIVERS: [&str; 3] =
    ["the controller of AwsAccounts", "the controller of CertificateRequests", "the controller of Certificates"];

/// What the process is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where `/livez`, `/readyz` and `/metrics` are served.
    pub listen: SocketAddr,
    /// The namespaces that are served; empty: all.
    pub namespaces: Vec<String>,
    /// The `clusterId`; none: the uid of the namespace kube-system.
    pub cluster: Option<String>,
    /// The operator's own namespace: Secrets with credentials lie there.
    pub own_namespace: String,
    /// The name of this pod, in events.
    pub instance: String,
    /// The name of the Lease in the own namespace for which the replicas stand, and its terms; none: this one works alone.
    pub election: Option<(String, Terms)>,
    /// One endpoint for all AWS services, instead of AWS's own.
    pub endpoint_url: Option<String>,
    /// Proxies, and CAs to trust.
    pub network: Network,
    /// The file with the operator's own token for Vault.
    pub vault_token: Option<PathBuf>,
    /// ACM is looked at for drift once in so long; zero: never.
    pub drift_interval: SignedDuration,
    /// What was published is looked at once in so long; zero: never.
    pub publish_interval: SignedDuration,
    /// Whether each Certificate has metrics of its own.
    pub metrics_per_certificate: bool,
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
    #[error("{0}, which it never should: it begins anew")]
    Ended(String),
    /// Another replica leads.
    #[error("the Lease went to {0}: this replica works no more, and begins anew as one that stands by")]
    Lost(String),
    /// No identity of its own.
    #[error("there are no random bytes to be had")]
    Random,
}

/// Runs the operator until `stop`, then lets what is under way come to its end.
///
/// # Errors
/// If it can't start, or a part of it ends by itself.
pub async fn run(config: Config, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), Problem> {
    let clock = Arc::new(ServerClock::ahead(config.ahead));
    let clients = connect(configuration().await?, &clock, Arc::new(Metrics::new()))?;
    run_with(config, clients, clock, stop).await
}

async fn run_with(
    config: Config,
    clients: Clients,
    clock: Arc<ServerClock>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Problem> {
    let cluster = match config.cluster.clone() {
        Some(id) => id,
        None => cluster_id(&clients.calls).await?,
    };
    tracing::info!(version = env!("CARGO_PKG_VERSION"), cluster, namespaces = ?config.namespaces, "arnkeeper starts");
    let (stopping, stopped) = flag::channel(false);
    let health = Arc::new(Health::default());
    let listener = TcpListener::bind(config.listen).await.map_err(|e| Problem::Listen(config.listen, e))?;
    let mandate = if config.election.is_some() { Mandate::none() } else { Mandate::alone() };
    let mut operator = Operator::start(&config, &clients, &clock, cluster, &health, &stopped, mandate);
    let scrape = Scrape {
        metrics: clients.metrics.clone(),
        context: operator.context.clone(),
        namespaces: config.namespaces.iter().cloned().collect(),
        per_certificate: config.metrics_per_certificate,
    };
    let app = probes::router(health.clone()).merge(metrics::router(Arc::new(scrape)));
    operator.tasks.spawn("the server of the probes", serve(listener, app));
    let (end, told) = oneshot::channel();
    let mut election = tokio::spawn(operator.election(&config, &clients, &clock, &health, told)?);
    let problem = tokio::select! {
        () = stop => None,
        problem = operator.ends(&mut election) => Some(problem),
    };
    if let Some(problem) = &problem {
        tracing::error!("{problem}");
    }
    tracing::info!("arnkeeper stops: what is under way comes to its end");
    health.stop();
    stopping.send_replace(true);
    let drained = tokio::time::timeout(LAST_WORDS, operator.drivers.all_ended()).await.is_ok();
    if !drained {
        tracing::warn!("some work did not end in time; it is taken up again by its records");
    }
    let how = if drained && operator.context.settled() { End::GiveBack } else { End::LetExpire };
    // Nobody listens where the election is what ended.
    if end.send(how).is_ok() && tokio::time::timeout(LAST_WRITE, election).await.is_err() {
        tracing::warn!("the Lease could not be given back in time; it expires by itself");
    }
    problem.map_or(Ok(()), Err)
}

async fn serve(listener: TcpListener, app: Router) {
    if let Err(error) = axum::serve(listener, app).await {
        tracing::error!(%error, "the probes are not served any more");
    }
}

/// The id of a cluster that was given none.
async fn cluster_id(client: &Client) -> Result<String, Problem> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces.get("kube-system").await?.metadata.uid.ok_or(Problem::NoClusterId)
}

/// The tasks of the process.
struct Operator {
    /// They never end by themselves.
    tasks: Tasks,
    /// They end when they are told to, after what is under way.
    drivers: Tasks,
    filled: flag::Receiver<bool>,
    context: Arc<Context>,
    waker: Arc<Waker>,
}

impl Operator {
    fn start(
        config: &Config,
        clients: &Clients,
        clock: &Arc<ServerClock>,
        cluster: String,
        health: &Arc<Health>,
        stopped: &flag::Receiver<bool>,
        mandate: Mandate,
    ) -> Self {
        let (accounts, account_changes) = watch::<AwsAccount>(clients, &health.pulse(WATCHES[0]));
        let (certificates, certificate_changes) = watch::<Certificate>(clients, &health.pulse(WATCHES[1]));
        let (requests, request_changes) = watch::<CertificateRequest>(clients, &health.pulse(WATCHES[2]));
        let secrets = KubeSecrets(Api::namespaced(clients.calls.clone(), &config.own_namespace));
        let sessions = Sessions::new(SessionParts {
            secrets: Arc::new(secrets),
            endpoint_url: config.endpoint_url.clone(),
            network: config.network.clone(),
            pacer: Arc::new(Pacer::observed(clients.metrics.clone())),
            metrics: clients.metrics.clone(),
            vault_token: config.vault_token.clone(),
            accounts: {
                let accounts = accounts.clone();
                Arc::new(move |name| accounts.get(None, name))
            },
        });
        let context = Arc::new(Context::new(Parts {
            client: clients.calls.clone(),
            clock: clock.clone(),
            mandate,
            metrics: clients.metrics.clone(),
            cluster,
            drift_interval: config.drift_interval,
            publish_interval: config.publish_interval,
            accounts: accounts.clone(),
            certificates: certificates.clone(),
            requests: requests.clone(),
            sessions,
        }));
        let reporter = Reporter { controller: "arnkeeper".into(), instance: Some(config.instance.clone()) };
        let recorder = Recorder::new(clients.calls.clone(), reporter);
        let account_driver = Arc::new(Driver::new(Accounts(context.clone()), &context, &recorder));
        let request_driver = Arc::new(Driver::new(Requests(context.clone()), &context, &recorder));
        let certificate_driver = Arc::new(Driver::new(Certificates::new(context.clone()), &context, &recorder));

        let mut drivers = Tasks::default();
        let (is_filled, filled) = flag::channel(false);
        let turn = Turn { filled: filled.clone(), stopped: stopped.clone(), health: health.clone() };
        drivers.spawn(DRIVERS[0], turn.clone().drive(DRIVERS[0], account_driver.clone(), accounts.clone()));
        drivers.spawn(DRIVERS[1], turn.clone().drive(DRIVERS[1], request_driver.clone(), requests.clone()));
        drivers.spawn(DRIVERS[2], turn.clone().drive(DRIVERS[2], certificate_driver.clone(), certificates.clone()));
        let (full, counts) = (health.clone(), context.clone());
        drivers.spawn("the wait for the stores", async move {
            let all = async {
                accounts.filled().await;
                certificates.filled().await;
                requests.filled().await;
            };
            let end = turn.clone().end();
            tokio::select! {
                () = all => {
                    counts.count_spending();
                    if counts.mandate.holds() {
                        counts.spending().begins();
                    }
                    full.fill();
                    is_filled.send_replace(true);
                }
                () = turn.end() => {}
            }
            end.await;
        });

        let waker = Waker::new(context.clone(), account_driver, request_driver, certificate_driver, &config.namespaces);
        let waker = Arc::new(waker);
        let mut tasks = Tasks::default();
        let tell = waker.clone();
        tasks.spawn(WATCHES[0], follow(account_changes, move |changes| tell.accounts(changes)));
        let tell = waker.clone();
        tasks.spawn(WATCHES[1], follow(certificate_changes, move |changes| tell.certificates(changes)));
        let tell = waker.clone();
        tasks.spawn(WATCHES[2], follow(request_changes, move |changes| tell.requests(changes)));
        if let Some(mut news) = context.sessions.learned.news() {
            let tell = waker.clone();
            tasks.spawn("the news of permissions", async move {
                while let Some(account) = news.next().await {
                    tell.permissions(&account);
                }
            });
        }
        let secrets = SecretWatches { clients, health };
        let tell = waker.clone();
        let own = (config.own_namespace.as_str(), watcher::Config::default());
        secrets.follow(&mut tasks, own, move |secret| tell.credentials(&secret));
        for namespace in &config.namespaces {
            let tell = waker.clone();
            let tls = (namespace.as_str(), watcher::Config::default().fields("type=kubernetes.io/tls"));
            secrets.follow(&mut tasks, tls, move |secret| tell.tls_secret(&secret));
        }
        Self { tasks, drivers, filled, context, waker }
    }

    /// Waits until a part of the process has ended, though none was told to.
    async fn ends(&mut self, election: &mut JoinHandle<Option<String>>) -> Problem {
        tokio::select! {
            ended = self.tasks.ended() => Problem::Ended(ended),
            ended = self.drivers.ended() => Problem::Ended(ended),
            lost = election => match lost {
                Ok(Some(other)) => Problem::Lost(other),
                Ok(None) | Err(_) => Problem::Ended("the leader election ended".to_owned()),
            },
        }
    }

    /// Stands for the Lease as soon as the stores are filled: before that this replica is of no use as a leader.
    fn election(
        &self,
        config: &Config,
        clients: &Clients,
        clock: &Arc<ServerClock>,
        health: &Arc<Health>,
        mut end: oneshot::Receiver<End>,
    ) -> Result<BoxFuture<'static, Option<String>>, Problem> {
        let Some((name, terms)) = config.election.clone() else {
            return Ok(Box::pin(async move { end.await.ok().and(None) }));
        };
        let mut suffix = [0; 4];
        aws_lc_rs::rand::fill(&mut suffix).map_err(|_| Problem::Random)?;
        let identity = format!("{}_{:08x}", config.instance, u32::from_be_bytes(suffix));
        let wanted = Wanted { namespace: config.own_namespace.clone(), name, identity, terms };
        let (context, waker, mut filled) = (self.context.clone(), self.waker.clone(), self.filled.clone());
        let (client, clock, health) = (clients.lease.clone(), clock.clone(), health.clone());
        let began = move |former| {
            if let Some(ended) = former {
                context.inventory.former_leader(ended);
            }
            context.spending().begins();
            waker.all();
        };
        let mandate = self.context.mandate.clone();
        Ok(Box::pin(async move {
            tokio::select! {
                _ = filled.wait_for(|filled| *filled) => {}
                _ = &mut end => return None,
            }
            let pulse = health.pulse("the leader election");
            Election::new(client, wanted, mandate, clock, pulse).run(began, end).await
        }))
    }
}

/// When a driver runs: from the moment that every store is filled (nobody decides on half a view), until the end.
#[derive(Clone)]
struct Turn {
    filled: flag::Receiver<bool>,
    stopped: flag::Receiver<bool>,
    health: Arc<Health>,
}

impl Turn {
    async fn end(mut self) {
        // Without its sender the process ends, too.
        drop(self.stopped.wait_for(|stop| *stop).await);
    }

    async fn drive<T: Kind>(mut self, name: &'static str, driver: Arc<Driver<T>>, store: Store<T::Object>) {
        let (end, stop) = (self.clone().end(), self.clone().end());
        let runs = tokio::select! {
            filled = self.filled.wait_for(|filled| *filled) => filled.is_ok(),
            () = stop => false,
        };
        if runs {
            driver.run(store, end, self.health.pulse(name)).await;
        }
    }
}

async fn follow<K>(changes: impl Stream<Item = Vec<Change<K>>>, tell: impl Fn(Vec<Change<K>>)) {
    let mut changes = std::pin::pin!(changes);
    while let Some(told) = changes.next().await {
        tell(told);
    }
}

/// Watches of the metadata of Secrets.
struct SecretWatches<'a> {
    clients: &'a Clients,
    health: &'a Health,
}

impl SecretWatches<'_> {
    fn follow(
        &self,
        tasks: &mut Tasks,
        (namespace, config): (&str, watcher::Config),
        tell: impl Fn(PartialObjectMeta<Secret>) + Send + 'static,
    ) {
        let name = format!("the watch of Secrets in {namespace}");
        let pulse = self.health.pulse(name.clone());
        let api: Api<PartialObjectMeta<Secret>> = Api::namespaced(self.clients.watch(&pulse), namespace);
        let events = events(api, config, &pulse, &self.clients.metrics);
        tasks.spawn(name.clone(), async move {
            let mut events = std::pin::pin!(events);
            while let Some(event) = events.next().await {
                match event {
                    Ok(Event::Apply(secret) | Event::InitApply(secret) | Event::Delete(secret)) => tell(secret),
                    Ok(Event::Init | Event::InitDone) => {}
                    Err(error) => tracing::warn!(%error, "{name} broke off and is opened again"),
                }
            }
        });
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

#[cfg(test)]
mod tests;
