//! Sessions: the way into each account, opened once and kept.

use super::{
    adapter::{Sdk, timeouts},
    classify::{from_sdk, unexpected},
    credentials::AccessKeys,
    error::{AwsError, Kind},
    paced::{Gate, Paced, pacer::Pacer, quotas::Quotas},
    permissions::learned::Learned,
    port::{Aws, Identity},
    provider::{Held, assume, fixed, http_client, own_retries},
};
use crate::{
    api::{AwsAccount, account::AssumeRole, names::Region},
    metrics::{Measured, Metrics},
};
use async_trait::async_trait;
use aws_config::{
    AppName, BehaviorVersion, SdkConfig, environment::EnvironmentVariableRegionProvider, identity::IdentityCache,
    meta::region::RegionProviderChain, retry::RetryConfig,
};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_sts::config::retry::RetryPartition;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use kube::ResourceExt;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::OnceCell;

/// A passing problem is remembered this long, so that many objects of one account do not repeat it.
const REMEMBER_PASSING: Duration = Duration::from_secs(5);
/// Any other problem is remembered this long; a changed account or Secret ends it at once.
const REMEMBER: Duration = Duration::from_secs(30);
/// Calls of the session before may still fail after a new one was opened; they say nothing about the new one.
const AFTERMATH: Duration = Duration::from_secs(5);
/// A role assumed from a role lasts at most this long (IAM user guide, role chaining).
const LONGEST_CHAINED: Duration = Duration::from_hours(1);
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
    /// The pace of all calls but those to STS.
    pub pacer: Arc<Pacer>,
    /// Where the calls are counted.
    pub metrics: Arc<Metrics>,
}

/// What keeps us out of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProblemKind {
    /// The account is switched off.
    Disabled,
    /// The Secret with the access keys is not there.
    SecretMissing,
    /// The Secret with the access keys can't be used.
    SecretInvalid,
    /// A role after the first is to be assumed for too long.
    RoleChain,
    /// The credentials are those of the account's root user.
    RootCredentials,
    /// The credentials lead to another account.
    WrongAccount,
    /// AWS does not accept the credentials, or there are none.
    Credentials,
    /// A role may not be assumed.
    AccessDenied,
    /// A passing fault.
    Transient,
}

/// What keeps us out of an account, told for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SessionProblem {
    /// What it is.
    pub kind: ProblemKind,
    /// What it is and what to do; never a secret.
    pub message: String,
}

impl SessionProblem {
    fn new(kind: ProblemKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// CamelCase, for a condition.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self.kind {
            ProblemKind::Disabled => "AccountDisabled",
            ProblemKind::SecretMissing => "SecretNotFound",
            ProblemKind::SecretInvalid => "SecretInvalid",
            ProblemKind::RoleChain => "RoleChainInvalid",
            ProblemKind::RootCredentials => "RootCredentials",
            ProblemKind::WrongAccount => "WrongAccount",
            ProblemKind::Credentials => "CredentialsInvalid",
            ProblemKind::AccessDenied => "AccessDenied",
            ProblemKind::Transient => "AwsUnavailable",
        }
    }

    fn remembered(&self) -> Duration {
        if self.kind == ProblemKind::Transient { REMEMBER_PASSING } else { REMEMBER }
    }
}

impl From<AwsError> for SessionProblem {
    fn from(error: AwsError) -> Self {
        let kind = match error.kind {
            Kind::Throttled
            | Kind::NotYourTurn(_)
            | Kind::Transient
            | Kind::LimitExceeded
            | Kind::Conflict
            | Kind::InUse => ProblemKind::Transient,
            Kind::AccessDenied => ProblemKind::AccessDenied,
            // STS: "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining".
            Kind::Refused if error.message.contains("role chaining") => ProblemKind::RoleChain,
            Kind::Credentials | Kind::NotFound | Kind::Refused => ProblemKind::Credentials,
        };
        let hint = if error.kind == Kind::AccessDenied && error.action == "sts:AssumeRole" {
            "; the role's trust policy has to allow it too, with the same externalId if it asks for one"
        } else {
            ""
        };
        Self { kind, message: format!("{error}{hint}") }
    }
}

/// What a session was opened with; another one makes another session.
#[derive(Clone, PartialEq, Eq)]
struct Key {
    uid: Option<String>,
    generation: Option<i64>,
    /// How often its Secret changed.
    secret: u64,
}

struct Opened {
    key: Key,
    at: Instant,
    outcome: Result<Arc<dyn Aws>, SessionProblem>,
}

#[derive(Default)]
struct Slot {
    /// Held while a session is opened, so that it happens once.
    opening: tokio::sync::Mutex<()>,
    opened: Mutex<Option<Opened>>,
}

/// What all sessions share: the environment's configuration and credentials.
struct Base {
    config: SdkConfig,
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
    http: SharedHttpClient,
    base: OnceCell<Base>,
    slots: Mutex<HashMap<String, Arc<Slot>>>,
    changes: Mutex<HashMap<String, u64>>,
    now: Box<dyn Fn() -> Instant + Send + Sync>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sessions {
    /// No session is open yet.
    #[must_use]
    pub fn new(parts: SessionParts) -> Self {
        let SessionParts { secrets, endpoint_url, pacer, metrics } = parts;
        Self {
            secrets,
            endpoint_url,
            pacer,
            metrics,
            learned: Arc::default(),
            http: http_client(),
            base: OnceCell::new(),
            slots: Mutex::default(),
            changes: Mutex::default(),
            now: Box::new(Instant::now),
        }
    }

    /// The session of an account, opened if there is none. Callers that come meanwhile wait for the same one.
    ///
    /// # Errors
    /// What keeps us out.
    pub async fn open(&self, account: &AwsAccount) -> Result<Arc<dyn Aws>, SessionProblem> {
        if !account.spec.enabled {
            let message = "spec.enabled is false: no AWS call is made for this account";
            return Err(SessionProblem::new(ProblemKind::Disabled, message));
        }
        let slot = Arc::clone(lock(&self.slots).entry(account.name_any()).or_default());
        if let Some(known) = self.known(&slot, &self.key(account)) {
            return known;
        }
        let _one = slot.opening.lock().await;
        let key = self.key(account);
        if let Some(known) = self.known(&slot, &key) {
            return known;
        }
        let outcome = self.begin(account).await;
        *lock(&slot.opened) = Some(Opened { key, at: (self.now)(), outcome: outcome.clone() });
        outcome
    }

    /// A Secret of the operator's own namespace was changed, made or deleted: sessions with its keys are opened anew.
    pub fn invalidate_secret(&self, name: &str) {
        let mut changes = lock(&self.changes);
        let count = changes.entry(name.to_owned()).or_default();
        *count = count.wrapping_add(1);
    }

    /// An account is gone; nothing of it is kept.
    pub fn forget(&self, account: &str) {
        lock(&self.slots).remove(account);
        self.learned.forget(account);
    }

    /// A call of a session failed. Where the credentials are wrong, the next call reads them anew.
    pub fn report(&self, account: &AwsAccount, error: &AwsError) {
        if error.kind != Kind::Credentials {
            return;
        }
        let Some(slot) = lock(&self.slots).get(&account.name_any()).cloned() else { return };
        let mut opened = lock(&slot.opened);
        let settled =
            opened.as_ref().is_some_and(|o| o.outcome.is_ok() && (self.now)().duration_since(o.at) >= AFTERMATH);
        if settled {
            *opened = None;
            if let (None, Some(chain)) = (secret_name(account), self.base.get().and_then(|base| base.chain.as_ref())) {
                chain.drop_now();
            }
        }
    }

    fn key(&self, account: &AwsAccount) -> Key {
        let secret = secret_name(account).and_then(|name| lock(&self.changes).get(name).copied()).unwrap_or_default();
        Key { uid: account.uid(), generation: account.metadata.generation, secret }
    }

    fn known(&self, slot: &Slot, key: &Key) -> Option<Result<Arc<dyn Aws>, SessionProblem>> {
        let opened = lock(&slot.opened);
        let opened = opened.as_ref().filter(|opened| opened.key == *key)?;
        let fresh = match &opened.outcome {
            Ok(_) => true,
            Err(problem) => (self.now)().duration_since(opened.at) < problem.remembered(),
        };
        fresh.then(|| opened.outcome.clone())
    }

    async fn begin(&self, account: &AwsAccount) -> Result<Arc<dyn Aws>, SessionProblem> {
        let spec = &account.spec;
        check_chain(&spec.assume_roles)?;
        let region = spec.regions.first().map_or(FALLBACK_REGION, Region::as_str).to_owned();
        let base = self.base.get_or_init(|| self.load(region.clone())).await;
        let first = match secret_name(account) {
            Some(name) => fixed(&self.access_keys(name).await?),
            None => base.chain.clone().map(SharedCredentialsProvider::new).ok_or_else(|| {
                SessionProblem::new(ProblemKind::Credentials, "there is no default provider of credentials")
            })?,
        };
        let config = base.config.to_builder().region(aws_config::Region::new(region)).build();
        let retries = own_retries();
        let provider = assume(&config, &retries, first, &spec.assume_roles);
        let config = config.into_builder().credentials_provider(provider).build();
        let (name, began) = (account.name_any(), Instant::now());
        let identity = identity(&config, retries).await;
        let sts = config.region().map_or(FALLBACK_REGION, aws_config::Region::as_ref);
        self.metrics.called(&name, sts, WHO, identity.as_ref().err(), began.elapsed());
        let identity = identity?;
        check_identity(account, &identity)?;
        let quotas = Quotas::granted(&account.spec.quotas);
        let gate = Gate::new(Arc::clone(&self.pacer), identity.account.clone(), quotas);
        let sdk = Sdk::new(identity, config, gate.clone());
        let sdk = Measured::new(sdk, name, &spec.regions, self.metrics.clone(), self.learned.clone());
        Ok(Arc::new(Paced::new(Arc::new(sdk), gate)))
    }

    /// Reads the environment. `region` is only for finding credentials where the environment names none.
    async fn load(&self, region: String) -> Base {
        let region = aws_config::Region::new(region);
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(self.http.clone())
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
        Base { config, chain }
    }

    async fn access_keys(&self, name: &str) -> Result<AccessKeys, SessionProblem> {
        match self.secrets.read(name).await {
            Ok(Some(data)) => AccessKeys::parse(data).map_err(|why| {
                SessionProblem::new(
                    ProblemKind::SecretInvalid,
                    format!("Secret {name:?} of the operator's namespace: {why}"),
                )
            }),
            Ok(None) => Err(SessionProblem::new(
                ProblemKind::SecretMissing,
                format!(
                    "there is no Secret {name:?} in the operator's namespace: make it, with accessKeyId and secretAccessKey"
                ),
            )),
            Err(why) => Err(SessionProblem::new(
                ProblemKind::Transient,
                format!("Secret {name:?} can't be read for now: {why}"),
            )),
        }
    }
}

fn secret_name(account: &AwsAccount) -> Option<&str> {
    Some(account.spec.credentials.as_ref()?.access_keys.as_ref()?.secret_ref.name.as_str())
}

fn check_chain(roles: &[AssumeRole]) -> Result<(), SessionProblem> {
    let long = |role: &&AssumeRole| role.duration.is_some_and(|d| Duration::from(d.0) > LONGEST_CHAINED);
    roles.iter().skip(1).find(long).map_or(Ok(()), |role| {
        Err(SessionProblem::new(
            ProblemKind::RoleChain,
            format!(
                "{} is assumed from another role, so its session lasts at most 1h: lower its duration",
                role.role_arn
            ),
        ))
    })
}

async fn identity(config: &SdkConfig, retries: RetryPartition) -> Result<Identity, AwsError> {
    let config = aws_sdk_sts::config::Builder::from(config).retry_partition(retries).build();
    let answer = aws_sdk_sts::Client::from_conf(config).get_caller_identity().send().await;
    let answer = answer.map_err(|error| from_sdk(WHO, &error))?;
    let account = answer.account().and_then(|id| id.parse().ok()).ok_or_else(|| unexpected(WHO, "account id"))?;
    let arn = answer.arn.ok_or_else(|| unexpected(WHO, "ARN"))?;
    Ok(Identity { account, arn })
}

fn check_identity(account: &AwsAccount, identity: &Identity) -> Result<(), SessionProblem> {
    if identity.arn.ends_with(":root") {
        let message = format!(
            "the credentials are those of the root user ({}), which may do everything: use a role or an IAM user with the policy of the documentation",
            identity.arn
        );
        return Err(SessionProblem::new(ProblemKind::RootCredentials, message));
    }
    match &account.spec.account_id {
        Some(wanted) if *wanted != identity.account => Err(SessionProblem::new(
            ProblemKind::WrongAccount,
            format!(
                "the credentials lead to account {} ({}), not to spec.accountId {wanted}",
                identity.account, identity.arn
            ),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
