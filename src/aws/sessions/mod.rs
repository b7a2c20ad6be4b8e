//! Sessions: the way into each account, opened once and kept.

mod checks;
mod organization;
mod problem;
mod ways;

pub use problem::{ProblemKind, SessionProblem};

use self::{
    checks::{check_chain, check_identity, check_partition},
    organization::managing_slot,
    ways::{Way, kept_elsewhere, same_keys, secret_name, touched, uses_chain, way},
};
use super::{
    adapter::{Sdk, timeouts},
    classify::{from_sdk, unexpected},
    clients::{Caller, Clients},
    error::{AwsError, Kind},
    network::Network,
    paced::{Gate, Paced, pacer::Pacer, quotas::Quotas},
    permissions::learned::Learned,
    port::{Aws, Identity},
    provider::{Held, assume, http_client, own_retries},
};
use crate::{
    api::{AwsAccount, names::Located},
    core::organization::inactive,
    metrics::{Measured, Metrics},
};
use async_trait::async_trait;
use aws_config::{
    AppName, BehaviorVersion, SdkConfig, environment::EnvironmentVariableRegionProvider, identity::IdentityCache,
    meta::region::RegionProviderChain, retry::RetryConfig,
};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_sdk_sts::config::retry::RetryPartition;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use kube::ResourceExt;
use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{OnceCell, Semaphore};

/// A passing problem is remembered this long, so that many objects of one account do not repeat it.
const REMEMBER_PASSING: Duration = Duration::from_secs(5);
/// Any other problem is remembered this long; a changed account (an annotation is enough) or Secret ends it at once.
const REMEMBER: Duration = Duration::from_secs(30);
/// Calls of the session before may still fail after a new one was opened; they say nothing about the new one.
const AFTERMATH: Duration = Duration::from_secs(5);
/// Access keys in a secrets manager, and profiles, are read again after this long: nobody tells when they change.
const READ_AGAIN: Duration = Duration::from_hours(1);
/// What AWS denies may be due to keys that were replaced: so old, they are read again.
const READ_AGAIN_IF_DENIED: Duration = Duration::from_mins(1);
/// Members of organizations that are entered at the same time. All of them ask STS by their management account, whose rate is
/// shared with whoever else uses it there (IAM and STS quotas).
const ENTERED_AT_ONCE: usize = 20;
/// The region of STS for an account that names none.
const FALLBACK_REGION: &str = "us-east-1";
const WHO: &str = "sts:GetCallerIdentity";

/// Reads Secrets of the operator's own namespace.
#[async_trait]
pub trait SecretSource: Send + Sync {
    /// The decoded data of a Secret; none: there is no such Secret.
    ///
    /// # Errors
    /// Why it can't be read just now, for people.
    async fn read(&self, name: &str) -> Result<Option<BTreeMap<String, Vec<u8>>>, String>;
}

/// The parts of [`Sessions`] that are made elsewhere.
pub struct SessionParts {
    /// Where access keys are.
    pub secrets: Arc<dyn SecretSource>,
    /// An endpoint for all AWS services, for tests and emulators; none: AWS's own, or those of `AWS_ENDPOINT_URL*`.
    pub endpoint_url: Option<String>,
    /// Proxies, and CAs to trust.
    pub network: Network,
    /// The pace of all calls but those to STS.
    pub pacer: Arc<Pacer>,
    /// Where the calls are counted.
    pub metrics: Arc<Metrics>,
    /// The file with the operator's own token for Vault.
    pub vault_token: Option<PathBuf>,
    /// Finds an AwsAccount: members of an organization are entered through its own.
    pub accounts: Find,
}

/// Finds an AwsAccount by its name.
pub type Find = Arc<dyn Fn(&str) -> Option<Arc<AwsAccount>> + Send + Sync>;

/// What a session was opened with; another one makes another session.
#[derive(Clone, PartialEq, Eq)]
struct Key {
    uid: Option<String>,
    generation: Option<i64>,
    /// How often its Secret changed.
    secret: u64,
    /// The credentials of the organization that it is entered from; 0: none.
    through: u64,
}

struct Opened {
    key: Key,
    /// Of the annotations, which end a problem, and nothing else.
    touched: u64,
    way: Way,
    at: Instant,
    /// There was a session before it.
    follows: bool,
    outcome: Result<Session, SessionProblem>,
}

/// A way into an account.
#[derive(Clone)]
struct Session {
    aws: Arc<dyn Aws>,
    /// What its roles are assumed from.
    first: SharedCredentialsProvider,
    /// For what is entered from here.
    provider: SharedCredentialsProvider,
    /// That of the provider: no other one has it.
    serial: u64,
}

#[derive(Default)]
struct Slot {
    /// Held while a session is opened, so that it happens once.
    opening: tokio::sync::Mutex<()>,
    opened: Mutex<Option<Opened>>,
    /// A session was opened once.
    used: AtomicBool,
}

/// What all sessions share: the environment's configuration and credentials.
struct Base {
    config: SdkConfig,
    clients: Arc<Clients>,
    chain: Option<Held>,
}

/// Sessions of all accounts.
pub struct Sessions {
    secrets: Arc<dyn SecretSource>,
    endpoint_url: Option<String>,
    pacer: Arc<Pacer>,
    metrics: Arc<Metrics>,
    /// What the calls of all sessions showed of permissions.
    pub learned: Arc<Learned>,
    vault_token: Option<PathBuf>,
    accounts: Find,
    serial: AtomicU64,
    /// Permits to enter members of organizations.
    entering: Semaphore,
    network: Network,
    http: SharedHttpClient,
    /// The timers of time-outs and repeats.
    sleep: SharedAsyncSleep,
    base: OnceCell<Base>,
    slots: Mutex<HashMap<String, Arc<Slot>>>,
    changes: Mutex<HashMap<String, u64>>,
    /// Where named profiles are.
    profiles: EnvConfigFiles,
    now: Box<dyn Fn() -> Instant + Send + Sync>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sessions {
    /// No session is open yet.
    #[must_use]
    pub fn new(parts: SessionParts) -> Self {
        let SessionParts { secrets, endpoint_url, network, pacer, metrics, vault_token, accounts } = parts;
        Self {
            secrets,
            endpoint_url,
            pacer,
            metrics,
            learned: Arc::default(),
            vault_token,
            accounts,
            serial: AtomicU64::new(0),
            entering: Semaphore::new(ENTERED_AT_ONCE),
            http: http_client(&network),
            sleep: SharedAsyncSleep::new(TokioSleep::new()),
            network,
            base: OnceCell::new(),
            slots: Mutex::default(),
            changes: Mutex::default(),
            profiles: EnvConfigFiles::default(),
            now: Box::new(Instant::now),
        }
    }

    /// The session of an account, opened if there is none. Callers that come meanwhile wait for the same one.
    ///
    /// # Errors
    /// What keeps us out.
    pub async fn open(&self, account: &AwsAccount) -> Result<Arc<dyn Aws>, SessionProblem> {
        if !account.spec.enabled {
            let message =
                "spec.enabled is false, and no AWS call is made for this account: set it to true to use the account";
            return Err(SessionProblem::new(ProblemKind::Disabled, message));
        }
        if let Some((_, message)) = inactive(account) {
            return Err(SessionProblem::new(ProblemKind::NotActive, message));
        }
        Ok(self.session(account, account.name_any()).await?.aws)
    }

    async fn session(&self, account: &AwsAccount, slot: String) -> Result<Session, SessionProblem> {
        let through = self.through(account).await?;
        let slot = Arc::clone(lock(&self.slots).entry(slot).or_default());
        let life = kept_elsewhere(account).then_some(READ_AGAIN);
        let touched = touched(account);
        if let Some(known) = self.known(&slot, &self.key(account, through.as_ref()), touched, life) {
            return known;
        }
        let _one = slot.opening.lock().await;
        let key = self.key(account, through.as_ref());
        if let Some(known) = self.known(&slot, &key, touched, life) {
            return known;
        }
        let way = way(account, &key)?;
        let (old, through) = (Self::kept(&slot, &way, (self.now)()), through.map(|session| session.provider));
        let lives = |(_, age): &&(Session, Duration)| life.is_none_or(|life| *age < life);
        let used_on = old.as_ref().filter(lives);
        let mut at = (self.now)();
        let mut outcome = if let Some((old, age)) = used_on {
            at = at.checked_sub(*age).unwrap_or(at);
            self.enter(account, &way, old.first.clone(), Some(old)).await
        } else {
            self.begin(account, &way, old.as_ref().map(|(old, _)| old), through.clone()).await
        };
        if used_on.is_some() && outcome.as_ref().is_err_and(|problem| !problem.passes()) {
            outcome = self.begin(account, &way, None, through).await;
            at = (self.now)();
        }
        if outcome.as_ref().is_err_and(SessionProblem::passes)
            && let Some(old) = Self::still_works(&slot, &key)
        {
            outcome = Ok(old);
            // It was not read: again soon.
            at = (self.now)();
            at = at.checked_sub(READ_AGAIN.saturating_sub(REMEMBER)).unwrap_or(at);
        }
        if outcome.is_err() {
            at = (self.now)();
        }
        let follows = outcome.is_ok() && slot.used.swap(true, Ordering::SeqCst);
        *lock(&slot.opened) = Some(Opened { key, touched, way, at, follows, outcome: outcome.clone() });
        outcome
    }

    /// A Secret of the operator's own namespace was changed, made or deleted: sessions with its keys are opened anew.
    pub fn invalidate_secret(&self, name: &str) {
        let mut changes = lock(&self.changes);
        let count = changes.entry(name.to_owned()).or_default();
        *count = count.wrapping_add(1);
    }

    /// A person wants another look at once: what kept us out may be put right.
    pub fn forget_problem(&self, account: &str) {
        let Some(slot) = lock(&self.slots).get(account).cloned() else { return };
        let mut opened = lock(&slot.opened);
        if opened.as_ref().is_some_and(|opened| opened.outcome.is_err()) {
            *opened = None;
        }
    }

    /// An account is gone; nothing of it is kept.
    pub fn forget(&self, account: &str) {
        let mut slots = lock(&self.slots);
        slots.remove(account);
        slots.remove(&managing_slot(account));
        self.learned.forget(account);
    }

    /// A call of a session failed. Where the credentials are wrong, the next call reads them anew.
    pub fn report(&self, account: &AwsAccount, error: &AwsError) {
        let least = match error.kind {
            Kind::Credentials => AFTERMATH,
            Kind::AccessDenied if kept_elsewhere(account) => READ_AGAIN_IF_DENIED,
            _ => return,
        };
        let Some(slot) = lock(&self.slots).get(&account.name_any()).cloned() else { return };
        let mut opened = lock(&slot.opened);
        let settled = opened.as_ref().is_some_and(|o| {
            // No session was before the first one: its keys may have been replaced at once.
            let first = !o.follows && error.kind == Kind::Credentials;
            o.outcome.is_ok() && (first || (self.now)().duration_since(o.at) >= least)
        });
        if settled {
            *opened = None;
            if let (true, Some(chain)) = (uses_chain(account), self.base.get().and_then(|base| base.chain.as_ref())) {
                chain.drop_now();
            }
        }
    }

    fn key(&self, account: &AwsAccount, through: Option<&Session>) -> Key {
        let secret = secret_name(account).and_then(|name| lock(&self.changes).get(name).copied()).unwrap_or_default();
        Key {
            uid: account.uid(),
            generation: account.metadata.generation,
            secret,
            through: through.map_or(0, |s| s.serial),
        }
    }

    /// A session that is only to be looked at anew, by the same spec.
    fn still_works(slot: &Slot, key: &Key) -> Option<Session> {
        lock(&slot.opened).as_ref().filter(|opened| opened.key == *key)?.outcome.as_ref().ok().cloned()
    }

    /// A session that came the same way, and how long ago its credentials were read.
    fn kept(slot: &Slot, way: &Way, now: Instant) -> Option<(Session, Duration)> {
        let opened = lock(&slot.opened);
        let opened = opened.as_ref().filter(|opened| opened.way == *way)?;
        opened.outcome.as_ref().ok().map(|session| (session.clone(), now.duration_since(opened.at)))
    }

    /// `life`: how long a session is good, if not for ever.
    fn known(
        &self,
        slot: &Slot,
        key: &Key,
        touched: u64,
        life: Option<Duration>,
    ) -> Option<Result<Session, SessionProblem>> {
        let opened = lock(&slot.opened);
        let opened = opened.as_ref().filter(|opened| opened.key == *key)?;
        let age = (self.now)().duration_since(opened.at);
        let fresh = match &opened.outcome {
            Ok(_) => life.is_none_or(|life| age < life),
            Err(problem) => age < problem.remembered() && opened.touched == touched,
        };
        fresh.then(|| opened.outcome.clone())
    }

    /// Reads the first credentials. If they are those of an `old` session that came the same way, its roles need not be assumed anew.
    async fn begin(
        &self,
        account: &AwsAccount,
        way: &Way,
        old: Option<&Session>,
        through: Option<SharedCredentialsProvider>,
    ) -> Result<Session, SessionProblem> {
        let spec = &account.spec;
        check_chain(&spec.assume_roles)?;
        check_partition(&spec.regions, spec.assume_roles.iter().map(|role| role.role_arn.arn()))?;
        let first = match through {
            Some(provider) => provider,
            None => self.first(account, self.base(way).await).await?,
        };
        let same = match old {
            Some(old) if same_keys(&old.first, &first).await => Some(old),
            _ => None,
        };
        self.enter(account, way, first, same).await
    }

    async fn base(&self, way: &Way) -> &Base {
        self.base.get_or_init(|| self.load(way.region.to_string())).await
    }

    /// Opens a session. `kept`: one whose credentials are used on.
    async fn enter(
        &self,
        account: &AwsAccount,
        way: &Way,
        first: SharedCredentialsProvider,
        kept: Option<&Session>,
    ) -> Result<Session, SessionProblem> {
        let spec = &account.spec;
        let base = self.base(way).await;
        // It is never closed.
        let _turn = if way.is_through() { self.entering.acquire().await.ok() } else { None };
        let retries = own_retries();
        let (provider, serial) = if let Some(kept) = kept {
            check_partition(&spec.regions, spec.assume_roles.iter().map(|role| role.role_arn.arn()))?;
            (kept.provider.clone(), kept.serial)
        } else {
            let provider = assume(&base.clients, &way.region, &retries, first.clone(), &spec.assume_roles);
            (provider, self.serial.fetch_add(1, Ordering::SeqCst) + 1)
        };
        let (name, began) = (account.name_any(), Instant::now());
        let identity = identity(&base.clients.sts(&way.region, &provider), &retries).await;
        self.metrics.called(&name, way.region.as_str(), WHO, identity.as_ref().err(), began.elapsed());
        let identity = identity?;
        check_identity(account, &identity)?;
        check_partition(&spec.regions, [identity.arn.as_str()])?;
        let quotas = Quotas::granted(&account.spec.quotas);
        let gate = Gate::new(Arc::clone(&self.pacer), identity.account.clone(), quotas);
        let sdk = Sdk::new(identity, Arc::clone(&base.clients), provider.clone(), gate.clone());
        let sdk = Measured::new(sdk, name, &spec.regions, self.metrics.clone(), self.learned.clone());
        Ok(Session { aws: Arc::new(Paced::new(Arc::new(sdk), gate)), first, provider, serial })
    }

    /// Reads the environment. `region` is only for finding credentials where the environment names none.
    async fn load(&self, region: String) -> Base {
        let region = aws_config::Region::new(region);
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(self.http.clone())
            .sleep_impl(self.sleep.clone())
            .region(RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new()).or_else(region))
            .timeout_config(timeouts())
            .retry_config(RetryConfig::standard())
            // Every provider below holds what it gives.
            .identity_cache(IdentityCache::no_cache());
        if let Ok(name) = AppName::new("arnkeeper") {
            loader = loader.app_name(name);
        }
        if let Some(url) = &self.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        let config = loader.load().await;
        let chain = config.credentials_provider().map(Held::new);
        Base { clients: Arc::new(Clients::new(&config)), config, chain }
    }
}

async fn identity(sts: &Caller<aws_sdk_sts::Client>, retries: &RetryPartition) -> Result<Identity, AwsError> {
    let answer = sts.get_caller_identity().customize().config_override(sts.own_with(retries)).send().await;
    let answer = answer.map_err(|error| from_sdk(WHO, &error))?;
    let account = answer.account().and_then(|id| id.parse().ok()).ok_or_else(|| unexpected(WHO, "account id"))?;
    let arn = answer.arn.ok_or_else(|| unexpected(WHO, "ARN"))?;
    Ok(Identity { account, arn })
}

#[cfg(test)]
mod tests;
