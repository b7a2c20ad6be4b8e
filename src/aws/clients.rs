//! The clients of AWS's services: one for each service and region, whoever calls. So thousands of accounts share a bounded number
//! of them; a client of its own takes an account 25 kB for each service and region.

use crate::api::names::Region;
use aws_config::{SdkConfig, identity::IdentityCache, retry::RetryConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_sts::config::retry::RetryPartition;
use std::{
    collections::HashMap,
    ops::Deref,
    sync::{Mutex, PoisonError},
};

/// Clients of one service that are kept. AWS has fewer regions; what somebody wrote into an ARN may name others.
const MOST: usize = 100;

/// The clients of one service, by region.
struct Kept<C>(Mutex<HashMap<Region, C>>);

impl<C> Default for Kept<C> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<C: Clone> Kept<C> {
    fn get(&self, region: &Region, make: impl FnOnce() -> C) -> C {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = kept.get(region) {
            return client.clone();
        }
        let client = make();
        if kept.len() < MOST {
            kept.insert(region.clone(), client.clone());
        }
        client
    }
}

/// All clients.
pub struct Clients {
    config: SdkConfig,
    acm: Kept<aws_sdk_acm::Client>,
    pca: Kept<aws_sdk_acmpca::Client>,
    organizations: Kept<aws_sdk_organizations::Client>,
    sts: Kept<aws_sdk_sts::Client>,
}

/// A client, and whose credentials its calls are made with: [`Caller::own`] has to go with each of them.
#[derive(Clone, Debug)]
pub struct Caller<C> {
    client: C,
    credentials: SharedCredentialsProvider,
}

impl<C> Deref for Caller<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.client
    }
}

macro_rules! callers {
    ($($service:ident),*) => {
        $(impl Caller<$service::Client> {
            /// What makes a call this account's: `config_override` of each call.
            #[must_use]
            pub fn own(&self) -> $service::config::Builder {
                // Every provider holds what it gives.
                let own = $service::config::Builder::new().identity_cache(IdentityCache::no_cache());
                own.credentials_provider(self.credentials.clone())
            }
        })*
    };
}
callers!(aws_sdk_acm, aws_sdk_acmpca, aws_sdk_organizations, aws_sdk_sts);

impl Caller<aws_sdk_sts::Client> {
    /// As [`Self::own`], with a budget of retries.
    #[must_use]
    pub fn own_with(&self, retries: &RetryPartition) -> aws_sdk_sts::config::Builder {
        self.own().retry_partition(retries.clone())
    }
}

impl Clients {
    /// No client is made yet. `config` holds what all accounts share: HTTP client, timeouts, endpoints. Its credentials are left
    /// out, so that no call is made with them by mistake.
    #[must_use]
    pub fn new(config: &SdkConfig) -> Self {
        let mut config = config.to_builder();
        config.set_credentials_provider(None);
        Self {
            config: config.build(),
            acm: Kept::default(),
            pca: Kept::default(),
            organizations: Kept::default(),
            sts: Kept::default(),
        }
    }

    fn at(&self, region: &Region) -> SdkConfig {
        self.config.to_builder().region(aws_config::Region::new(region.to_string())).build()
    }

    /// Each attempt needs its turn, so the pacer repeats. The SDK would also repeat what a used-up quota refused.
    fn once(&self, region: &Region) -> SdkConfig {
        self.at(region).into_builder().retry_config(RetryConfig::disabled()).build()
    }

    /// ACM in a region.
    #[must_use]
    pub fn acm(&self, region: &Region, credentials: &SharedCredentialsProvider) -> Caller<aws_sdk_acm::Client> {
        let client = self.acm.get(region, || aws_sdk_acm::Client::new(&self.once(region)));
        Caller { client, credentials: credentials.clone() }
    }

    /// AWS Private CA in a region.
    #[must_use]
    pub fn pca(&self, region: &Region, credentials: &SharedCredentialsProvider) -> Caller<aws_sdk_acmpca::Client> {
        let client = self.pca.get(region, || aws_sdk_acmpca::Client::new(&self.once(region)));
        Caller { client, credentials: credentials.clone() }
    }

    /// AWS Organizations, by its region.
    #[must_use]
    pub fn organizations(
        &self,
        region: &Region,
        credentials: &SharedCredentialsProvider,
    ) -> Caller<aws_sdk_organizations::Client> {
        let client = self.organizations.get(region, || aws_sdk_organizations::Client::new(&self.once(region)));
        Caller { client, credentials: credentials.clone() }
    }

    /// STS in a region.
    #[must_use]
    pub fn sts(&self, region: &Region, credentials: &SharedCredentialsProvider) -> Caller<aws_sdk_sts::Client> {
        let client = self.sts.get(region, || aws_sdk_sts::Client::new(&self.at(region)));
        Caller { client, credentials: credentials.clone() }
    }

    /// The configuration for calls without a client.
    #[must_use]
    pub fn config(&self, credentials: &SharedCredentialsProvider) -> SdkConfig {
        self.config.to_builder().credentials_provider(credentials.clone()).build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bounded_number_of_clients_is_kept() {
        let kept = Kept::default();
        let region = |n: usize| format!("eu-west{}-{}", ["a", "b"][n / MOST], n % MOST).parse::<Region>().unwrap();
        assert_eq!((kept.get(&region(1), || 1), kept.get(&region(1), || 2)), (1, 1));
        for n in 0..2 * MOST {
            assert_eq!(kept.get(&region(n), || n.max(1)), n.max(1));
        }
        assert_eq!(kept.0.lock().unwrap().len(), MOST);
    }
}
