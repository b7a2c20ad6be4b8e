//! The ways to authenticate: what an account's roles are assumed from.

use super::{Base, FALLBACK_REGION, Key, ProblemKind, SessionProblem, Sessions};
use crate::{
    api::{
        AwsAccount,
        account::{AssumeRole, AwsSecret, Credentials, SecretsManager},
        names::Region,
    },
    aws::{credentials::AccessKeys, error::Kind, profiles, provider::fixed, secrets_manager, vault},
};
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use kube::ResourceExt;
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Instant,
};

const NO_CHAIN: &str = "there is no default provider of credentials: give the operator an identity (IRSA, EKS Pod Identity, an \
                        instance profile, the environment), or name other spec.credentials";

/// What the credentials of a session come from. Where it is the same, they are used on: a changed rule or quota of an
/// organization must not assume the roles of thousands of members anew.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Way {
    uid: Option<String>,
    credentials: Option<Credentials>,
    roles: Vec<AssumeRole>,
    /// STS is asked there.
    pub(super) region: Region,
    secret: u64,
    through: u64,
}

impl Way {
    /// It leads through an organization's account.
    pub(super) fn is_through(&self) -> bool {
        self.through != 0
    }
}

/// The way of an account's credentials.
pub(super) fn way(account: &AwsAccount, key: &Key) -> Result<Way, SessionProblem> {
    let spec = &account.spec;
    let region = match spec.regions.first() {
        Some(region) => region.clone(),
        None => FALLBACK_REGION
            .parse()
            .map_err(|error| SessionProblem::new(ProblemKind::Transient, format!("{FALLBACK_REGION}: {error}")))?,
    };
    let (credentials, roles) = (spec.credentials.clone(), spec.assume_roles.clone());
    Ok(Way { uid: key.uid.clone(), credentials, roles, region, secret: key.secret, through: key.through })
}

/// Whether two providers give the same access keys.
pub(super) async fn same_keys(one: &SharedCredentialsProvider, other: &SharedCredentialsProvider) -> bool {
    let (one, other) = (one.provide_credentials().await, other.provide_credentials().await);
    one.ok().zip(other.ok()).is_some_and(|(one, other)| {
        one.access_key_id() == other.access_key_id()
            && one.secret_access_key() == other.secret_access_key()
            && one.session_token() == other.session_token()
    })
}

impl Sessions {
    /// The first credentials of an account that is no member of an organization.
    pub(super) async fn first(
        &self,
        account: &AwsAccount,
        base: &Base,
    ) -> Result<SharedCredentialsProvider, SessionProblem> {
        Ok(match account.spec.credentials.as_ref().unwrap_or(&Credentials::default()) {
            Credentials { access_keys: Some(keys), .. } => fixed(&self.access_keys(&keys.secret_ref.name).await?),
            Credentials { secrets_manager: Some(manager), .. } => {
                fixed(&self.stored_keys(account, base, manager).await?)
            }
            Credentials { profile: Some(profile), .. } => {
                let region = account.spec.regions.first().map_or(FALLBACK_REGION, Region::as_str);
                profiles::provider(&profile.name, &self.profiles, &self.http, region).await?
            }
            _ => chain(base)?,
        })
    }

    async fn stored_keys(
        &self,
        account: &AwsAccount,
        base: &Base,
        manager: &SecretsManager,
    ) -> Result<AccessKeys, SessionProblem> {
        match manager {
            SecretsManager { aws: Some(place), .. } => self.keys_of_aws(account, base, place).await,
            SecretsManager { vault: Some(place), .. } => {
                vault::read(place, self.vault_token.as_deref(), &self.network).await
            }
            _ => Err(SessionProblem::new(ProblemKind::SecretMissing, "spec.credentials.secretsManager names none")),
        }
    }

    /// Reads access keys from AWS Secrets Manager, as the operator's own identity.
    async fn keys_of_aws(
        &self,
        account: &AwsAccount,
        base: &Base,
        place: &AwsSecret,
    ) -> Result<AccessKeys, SessionProblem> {
        let began = Instant::now();
        let read = secrets_manager::read(&base.config, chain(base)?, place).await;
        let failure = read.as_ref().err();
        let region = place.region.as_str();
        self.metrics.called(&account.name_any(), region, secrets_manager::READ, failure, began.elapsed());
        if failure.is_some_and(|error| error.kind == Kind::Credentials)
            && let Some(chain) = &base.chain
        {
            chain.drop_now();
        }
        secrets_manager::keys(place, read)
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
                    "there is no Secret {name:?} in the operator's namespace: create it there with accessKeyId and \
                     secretAccessKey, or correct credentials.accessKeys.secretRef of the AwsAccount"
                ),
            )),
            Err(why) => Err(SessionProblem::new(
                ProblemKind::Transient,
                format!("Secret {name:?} can't be read for now: {why}"),
            )),
        }
    }
}

/// Changes with the annotations: whoever touches the account after putting something right wants another look.
pub(super) fn touched(account: &AwsAccount) -> u64 {
    let mut hasher = DefaultHasher::new();
    account.annotations().hash(&mut hasher);
    hasher.finish()
}

pub(super) fn secret_name(account: &AwsAccount) -> Option<&str> {
    Some(account.spec.credentials.as_ref()?.access_keys.as_ref()?.secret_ref.name.as_str())
}

/// The account begins with the default provider chain.
pub(super) fn uses_chain(account: &AwsAccount) -> bool {
    account.spec.credentials.as_ref().is_none_or(|way| way.default.is_some())
}

/// The access keys are in a secrets manager or in files, which do not tell when they change.
pub(super) fn kept_elsewhere(account: &AwsAccount) -> bool {
    account.spec.credentials.as_ref().is_some_and(|way| way.secrets_manager.is_some() || way.profile.is_some())
}

/// The default provider chain.
fn chain(base: &Base) -> Result<SharedCredentialsProvider, SessionProblem> {
    base.chain
        .clone()
        .map(SharedCredentialsProvider::new)
        .ok_or_else(|| SessionProblem::new(ProblemKind::Credentials, NO_CHAIN))
}
