//! `arnkeeper whoami`: which AWS identity the operator's own environment leads to.

use crate::{
    api::{AwsAccount, names::Region},
    aws::{
        network::Network,
        port::Identity,
        sessions::{SecretSource, SessionParts, Sessions},
    },
};
use async_trait::async_trait;
use serde_json::json;
use std::{collections::BTreeMap, sync::Arc};

/// There are no Secrets: neither the default provider chain nor a profile needs any.
struct NoSecrets;

#[async_trait]
impl SecretSource for NoSecrets {
    async fn read(&self, _: &str) -> Result<Option<BTreeMap<String, Vec<u8>>>, String> {
        Ok(None)
    }
}

/// The identity of the default provider chain, or of a named profile, told by STS in `region`: as an AwsAccount would find it.
///
/// # Errors
/// What an AwsAccount would tell.
pub async fn whoami(profile: Option<&str>, region: &Region, network: Network) -> Result<Identity, String> {
    let sessions = Sessions::new(SessionParts {
        secrets: Arc::new(NoSecrets),
        endpoint_url: None,
        network,
        pacer: Arc::default(),
        metrics: Arc::default(),
        vault_token: None,
        accounts: Arc::new(|_| None),
    });
    let way = profile.map_or_else(|| json!({ "default": {} }), |name| json!({ "profile": { "name": name } }));
    let account = json!({ "apiVersion": "arnkeeper.dev/v1beta1", "kind": "AwsAccount", "metadata": { "name": "whoami" },
        "spec": { "credentials": way, "regions": [region] } });
    let account: AwsAccount = serde_json::from_value(account).map_err(|error| error.to_string())?;
    let session = sessions.open(&account).await.map_err(|problem| problem.to_string())?;
    Ok(session.identity().clone())
}
