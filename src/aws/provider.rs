//! Where the credentials of a session come from, and the HTTP client of all of them.

use super::{
    bounded::bounded,
    clients::{Caller, Clients},
    credentials::AccessKeys,
    network::Network,
};
use crate::api::{account::AssumeRole, names::Region};
use aws_credential_types::{
    Credentials,
    provider::{self, ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future},
};
use aws_sdk_sts::config::retry::RetryPartition;
use aws_smithy_http_client::{
    Builder, ConnectorBuilder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};
use tokio::sync::Mutex;

/// The name of the sessions in AWS's logs (AssumeRole, RoleSessionName).
const SESSION_NAME: &str = "arnkeeper";
/// How long a session lasts if the account does not say; it is AWS's default too.
const SESSION_LENGTH: Duration = Duration::from_hours(1);
/// A connection is used again only within this time. Who answers closes idle ones after a time of its own, and a call that meets the
/// close is lost: whether it was paid for is then not known.
const IDLE: Duration = Duration::from_secs(15);
/// Credentials are renewed this long before they end.
const EARLY: Duration = Duration::from_mins(2);

/// One HTTP client for all accounts, services and regions, on this network; answers are bounded.
#[must_use]
pub fn http_client(network: &Network) -> SharedHttpClient {
    let network = network.clone();
    let client = Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = ConnectorBuilder::default().tls_provider(Provider::Rustls(CryptoMode::AwsLc));
        connector.set_connector_settings(settings.cloned());
        connector.set_pool_idle_timeout(Some(Some(IDLE)));
        connector.set_proxy_config(Some(network.proxy()));
        connector.set_tls_context(network.tls());
        if let Some(components) = components {
            connector.set_sleep_impl(components.sleep_impl());
        }
        connector.build()
    });
    bounded(client)
}

/// Credentials that never change.
#[must_use]
pub fn fixed(keys: &AccessKeys) -> SharedCredentialsProvider {
    SharedCredentialsProvider::new(keys.to_sdk())
}

/// A budget of retries of one account's own, for its calls to STS. The SDK's default one is shared by all accounts of a
/// region, so that one account in trouble would take the retries of the others.
#[must_use]
pub fn own_retries() -> RetryPartition {
    // Each one that is built has a budget of its own, whatever its name.
    RetryPartition::custom("arnkeeper").build()
}

/// Credentials of roles that are assumed one after the other at STS in `region`, beginning with `base`. Each stage is held until
/// it ends.
#[must_use]
pub fn assume(
    clients: &Clients,
    region: &Region,
    retries: &RetryPartition,
    base: SharedCredentialsProvider,
    roles: &[AssumeRole],
) -> SharedCredentialsProvider {
    roles.iter().fold(base, |provider, role| {
        let stage = Assumed { sts: clients.sts(region, &provider), retries: retries.clone(), role: role.clone() };
        SharedCredentialsProvider::new(Held::new(SharedCredentialsProvider::new(stage)))
    })
}

/// The credentials of a role. aws-config has such a provider, too, but it takes no budget of retries.
#[derive(Debug)]
struct Assumed {
    sts: Caller<aws_sdk_sts::Client>,
    retries: RetryPartition,
    role: AssumeRole,
}

impl Assumed {
    async fn get(&self) -> provider::Result {
        let length: Duration = self.role.duration.map_or(SESSION_LENGTH, |duration| duration.0.into());
        let call = self
            .sts
            .assume_role()
            .role_arn(self.role.role_arn.as_str())
            .role_session_name(SESSION_NAME)
            .duration_seconds(i32::try_from(length.as_secs()).unwrap_or(i32::MAX))
            .set_external_id(self.role.external_id.clone());
        let answer = call.customize().config_override(self.sts.own_with(&self.retries)).send().await;
        let answer = answer.map_err(CredentialsError::provider_error)?;
        let given = answer.credentials.ok_or_else(|| CredentialsError::unhandled("STS gave no credentials"))?;
        let end = SystemTime::try_from(given.expiration).map_err(CredentialsError::unhandled)?;
        let token = Some(given.session_token);
        Ok(Credentials::new(given.access_key_id, given.secret_access_key, token, Some(end), "AssumeRole"))
    }
}

impl ProvideCredentials for Assumed {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.get())
    }
}

/// Holds credentials until shortly before they end. Callers that come meanwhile wait for one call.
#[derive(Clone)]
pub struct Held(Arc<Inner>);

struct Inner {
    source: SharedCredentialsProvider,
    /// Counts the calls of [`Held::drop_now`].
    drops: AtomicU64,
    /// The credentials and the count they were taken at.
    held: Mutex<Option<(u64, Credentials)>>,
}

impl Held {
    /// Holds what `source` gives.
    #[must_use]
    pub fn new(source: SharedCredentialsProvider) -> Self {
        Self(Arc::new(Inner { source, drops: AtomicU64::new(0), held: Mutex::new(None) }))
    }

    /// The next call asks the source, even if the credentials have not ended.
    pub fn drop_now(&self) {
        self.0.drops.fetch_add(1, Ordering::SeqCst);
    }

    async fn get(&self) -> provider::Result {
        let mut held = self.0.held.lock().await;
        let drops = self.0.drops.load(Ordering::SeqCst);
        let now = SystemTime::now();
        let known = held.as_ref().filter(|(at, _)| *at == drops).map(|(_, credentials)| credentials);
        if let Some(credentials) = known
            && lasts_until(credentials, now + EARLY)
        {
            return Ok(credentials.clone());
        }
        match (self.0.source.provide_credentials().await, known) {
            (Ok(new), _) => {
                *held = Some((drops, new.clone()));
                Ok(new)
            }
            // They still work: the next call tries again.
            (Err(_), Some(old)) if lasts_until(old, now) => Ok(old.clone()),
            (Err(error), _) => Err(error),
        }
    }
}

fn lasts_until(credentials: &Credentials, time: SystemTime) -> bool {
    credentials.expiry().is_none_or(|end| end > time)
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").finish_non_exhaustive()
    }
}

impl ProvideCredentials for Held {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives numbered credentials, the first ones with a given life, and fails from a given call on.
    #[derive(Debug)]
    struct Source {
        calls: AtomicU64,
        life: Option<Duration>,
        fails_from: u64,
    }

    impl ProvideCredentials for Source {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
            let end = self.life.map(|life| SystemTime::now() + life);
            future::ProvideCredentials::ready(if call >= self.fails_from {
                Err(CredentialsError::not_loaded_no_source())
            } else {
                Ok(Credentials::new(format!("key {call}"), "secret", None, end, "test"))
            })
        }
    }

    fn held(life: Option<Duration>, fails_from: u64) -> Held {
        Held::new(SharedCredentialsProvider::new(Source { calls: AtomicU64::new(0), life, fails_from }))
    }

    async fn key(held: &Held) -> Option<String> {
        held.provide_credentials().await.ok().map(|c| c.access_key_id().to_owned())
    }

    #[tokio::test]
    async fn credentials_are_held_until_they_are_dropped() {
        for life in [None, Some(Duration::from_hours(1))] {
            let held = held(life, u64::MAX);
            let (one, other) = tokio::join!(key(&held), key(&held));
            assert_eq!((one.as_deref(), other.as_deref()), (Some("key 1"), Some("key 1")));
            held.drop_now();
            assert_eq!(key(&held).await.as_deref(), Some("key 2"));
        }
    }

    #[tokio::test]
    async fn credentials_are_renewed_early_and_used_to_their_end() {
        let ending = held(Some(Duration::from_mins(1)), 3);
        assert_eq!(key(&ending).await.as_deref(), Some("key 1"));
        assert_eq!(key(&ending).await.as_deref(), Some("key 2"));
        assert_eq!(key(&ending).await.as_deref(), Some("key 2"), "the source fails, but they have not ended");
        ending.drop_now();
        assert_eq!(key(&ending).await, None, "dropped credentials are not used again");
        let ended = held(Some(Duration::ZERO), 2);
        assert_eq!(key(&ended).await.as_deref(), Some("key 1"));
        assert_eq!(key(&ended).await, None);
    }
}
