//! What the API server calls the objects of a kind, and whether they lie in namespaces. Asked once a kind.

use kube::{
    Client,
    core::GroupVersionKind,
    discovery::{ApiResource, Scope, pinned_kind},
    error::DiscoveryError,
};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// The kinds that need not be asked for: apiVersion, kind, plural.
const KNOWN: [(&str, &str, &str); 3] = [
    ("networking.k8s.io/v1", "Ingress", "ingresses"),
    ("v1", "Service", "services"),
    ("v1", "ConfigMap", "configmaps"),
];

/// Why objects of a kind can't be reached.
#[derive(Debug, thiserror::Error)]
pub enum KindProblem {
    /// There is no such kind.
    #[error("the API server knows no kind {kind} in {api_version}: correct apiVersion and kind, or install its CRD")]
    Missing {
        /// The apiVersion.
        api_version: String,
        /// The kind.
        kind: String,
    },
    /// Its objects lie in no namespace.
    #[error(
        "objects of the kind {0} lie in no namespace, and what is published to has to lie in that of the Certificate"
    )]
    Cluster(String),
    /// The API server did not answer as it should.
    #[error(transparent)]
    Kubernetes(#[from] kube::Error),
}

/// The kinds that were asked for and found: no more than the API server has.
#[derive(Default)]
pub struct Kinds(Mutex<HashMap<(String, String), ApiResource>>);

impl Kinds {
    /// A kind whose objects lie in namespaces.
    ///
    /// # Errors
    /// If there is none, or the API server does not tell.
    pub async fn get(&self, client: &Client, api_version: &str, kind: &str) -> Result<ApiResource, KindProblem> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let asked = GroupVersionKind::gvk(group, version, kind);
        if let Some((_, _, plural)) = KNOWN.iter().find(|(v, k, _)| (*v, *k) == (api_version, kind)) {
            return Ok(ApiResource::from_gvk_with_plural(&asked, plural));
        }
        let key = (api_version.to_owned(), kind.to_owned());
        if let Some(known) = self.known(&key) {
            return Ok(known);
        }
        let missing = || KindProblem::Missing { api_version: api_version.to_owned(), kind: kind.to_owned() };
        let (resource, capabilities) = pinned_kind(client, &asked).await.map_err(|error| match error {
            kube::Error::Api(status) if status.code == 404 => missing(),
            kube::Error::Discovery(DiscoveryError::InvalidGroupVersion(_)) => KindProblem::Kubernetes(error),
            kube::Error::Discovery(_) => missing(),
            error => KindProblem::Kubernetes(error),
        })?;
        if capabilities.scope == Scope::Cluster {
            return Err(KindProblem::Cluster(kind.to_owned()));
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, resource.clone());
        Ok(resource)
    }

    /// A kind may be gone, or have another plural: it is asked for again.
    pub fn forget(&self, api_version: &str, kind: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&(api_version.to_owned(), kind.to_owned()));
    }

    fn known(&self, key: &(String, String)) -> Option<ApiResource> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }
}
