//! What all controllers share.

use super::{discovery::Turns, keys::Keys, recent::Recent};
use crate::{
    api::{
        AwsAccount, Certificate, CertificateRequest,
        certificate::{TargetState, TargetStatus},
        names::{AccountId, Region},
        shared::AuthorityRef,
    },
    aws::{
        authorities::Authorities,
        error::AwsError,
        inventory::{CONSISTENT, Inventory},
        port::Aws,
        sessions::{SessionProblem, Sessions},
    },
    clock::Clock,
    core::{
        access::{Labels, Refusal},
        authority::KnownAuthority,
        secret::SecretObject,
        spending::Ledger,
    },
    kube::{
        key::Key,
        kinds::Kinds,
        leader::Mandate,
        packed::{Packed, Packer},
        store::{RenewedBy, Store, serial_digest},
    },
    metrics::Metrics,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, PostParams, Preconditions},
};
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// A staged key that was just stored is used again for so long, instead of being read back.
const STAGED_LASTS: Duration = Duration::from_mins(1);

/// Said where the schema let through what names no CA.
const NO_AUTHORITY: &str = "no private CA is named: give certificateAuthority an arn or a name";

/// What all controllers share.
pub struct Context {
    /// For calls to the API server.
    pub client: Client,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Whether work may be begun.
    pub mandate: Mandate,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The `clusterId`: it stands in the tags of what is ours in ACM.
    pub cluster: String,
    /// ACM is looked at for drift once in so long; zero: never.
    pub drift_interval: SignedDuration,
    /// What was published is looked at once in so long; zero: never.
    pub publish_interval: SignedDuration,
    /// All accounts.
    pub accounts: Store<AwsAccount>,
    /// All Certificates.
    pub certificates: Store<Certificate>,
    /// All requests.
    pub requests: Store<CertificateRequest>,
    /// Ways into the accounts.
    pub sessions: Sessions,
    /// What ACM has.
    pub inventory: Inventory,
    /// The private CAs.
    pub authorities: Authorities,
    /// Discoveries that are under way.
    pub turns: Turns,
    /// Requests that this process just saw signed: the store keeps them without their certificates.
    signed: Recent<Packed>,
    /// Packs them.
    packer: Mutex<Packer>,
    /// Keys that take long to make.
    pub keys: Keys,
    /// Keys that this process just staged.
    pub staged: Recent<SecretObject>,
    /// What the accounts were asked to pay for.
    spending: Mutex<Ledger>,
    /// When the last import under a new ARN began whose answer is not known.
    unanswered: Mutex<Option<Timestamp>>,
    /// Which Certificate keeps which Secret, by the Secret's key: when it was created, and its key.
    claims: Mutex<HashMap<Key, (Timestamp, Key)>>,
    /// The kinds that something is published to, by apiVersion and kind.
    pub kinds: Kinds,
}

/// The parts of a [`Context`] that are made elsewhere.
pub struct Parts {
    /// For calls to the API server.
    pub client: Client,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Whether work may be begun.
    pub mandate: Mandate,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The `clusterId`.
    pub cluster: String,
    /// ACM is looked at for drift once in so long; zero: never.
    pub drift_interval: SignedDuration,
    /// What was published is looked at once in so long; zero: never.
    pub publish_interval: SignedDuration,
    /// All accounts.
    pub accounts: Store<AwsAccount>,
    /// All Certificates.
    pub certificates: Store<Certificate>,
    /// All requests.
    pub requests: Store<CertificateRequest>,
    /// Ways into the accounts.
    pub sessions: Sessions,
}

impl Context {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts {
            client,
            clock,
            mandate,
            metrics,
            cluster,
            drift_interval,
            publish_interval,
            accounts,
            certificates,
            requests,
            sessions,
        } = parts;
        Self {
            client,
            clock,
            mandate,
            metrics,
            cluster,
            drift_interval,
            publish_interval,
            accounts,
            certificates,
            requests,
            sessions,
            inventory: Inventory::default(),
            authorities: Authorities::default(),
            turns: Turns::default(),
            signed: Recent::new(STAGED_LASTS),
            packer: Mutex::default(),
            keys: Keys::default(),
            staged: Recent::new(STAGED_LASTS),
            spending: Mutex::default(),
            unanswered: Mutex::default(),
            claims: Mutex::default(),
            kinds: Kinds::default(),
        }
    }

    /// What the accounts were asked to pay for. Held for a moment only.
    pub fn spending(&self) -> MutexGuard<'_, Ledger> {
        self.spending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts all that the stores hold, for the accounts' budgets: before anything is decided.
    pub fn count_spending(&self) {
        let now = self.clock.now();
        for account in self.accounts.all() {
            self.spending().account(&account, now);
        }
        // Decoded one by one: there may be many.
        for request in self.requests.keys(|_, _| true).iter().filter_map(|key| self.requests.at(key)) {
            self.spending().note(&request, now);
        }
        for key in self.certificates.keys(|_, certificate| certificate.renewed_by == RenewedBy::Acm) {
            if let Some(certificate) = self.certificates.at(&key) {
                self.spending().note_certificate(&certificate, now);
            }
        }
    }

    /// An import under a new ARN began at this time, and its answer is not known.
    pub fn note_unanswered(&self, began: Timestamp) {
        let mut unanswered = self.unanswered.lock().unwrap_or_else(PoisonError::into_inner);
        *unanswered = (*unanswered).max(Some(began));
    }

    /// Whether the next leader may trust any list of what ACM has: nothing that this process or the leader before it began
    /// may still come to light.
    #[must_use]
    pub fn settled(&self) -> bool {
        let now = self.clock.now();
        let unanswered = *self.unanswered.lock().unwrap_or_else(PoisonError::into_inner);
        self.inventory.counts_from() <= now && unanswered.is_none_or(|at| now.duration_since(at) >= CONSISTENT)
    }

    /// An account by name.
    #[must_use]
    pub fn account(&self, name: &str) -> Option<Arc<AwsAccount>> {
        self.accounts.get(None, name)
    }

    /// The way into an account; the refusal is told in conditions.
    ///
    /// # Errors
    /// Why it does not let us in.
    pub async fn session(&self, account: Option<&AwsAccount>) -> Result<Arc<dyn Aws>, Refusal> {
        let message = "the AwsAccount is gone: make it again, or name another one";
        let missing = || Refusal { reason: "AccountNotReady", message: message.into() };
        self.sessions.open(account.ok_or_else(missing)?).await.map_err(|problem| refusal(&problem))
    }

    /// Lets the sessions know of a failed call, which may be due to credentials that are to be read again.
    pub fn report(&self, account: Option<&AwsAccount>, error: &AwsError) {
        if let Some(account) = account {
            self.sessions.report(account, error);
        }
    }

    /// A CA of an account, from memory if it was seen lately and `again` does not ask for more.
    ///
    /// # Errors
    /// A refusal to tell (`Ok(Err)`), or a failed call.
    pub async fn authority(
        &self,
        aws: &dyn Aws,
        region: &Region,
        which: &AuthorityRef,
        again: bool,
    ) -> Result<Result<KnownAuthority, Refusal>, AwsError> {
        let now = self.clock.now();
        let arn = match (&which.arn, &which.name) {
            (Some(arn), _) => arn.clone(),
            (None, Some(name)) => match self.authorities.by_name(aws, region, name, now).await? {
                Ok(arn) => arn,
                Err(message) => return Ok(Err(Refusal { reason: "AuthorityNotFound", message })),
            },
            (None, None) => {
                return Ok(Err(Refusal { reason: "AuthorityNotFound", message: NO_AUTHORITY.into() }));
            }
        };
        self.authorities.known(aws, &arn, again, now).await
    }

    /// A Secret.
    ///
    /// # Errors
    /// Those of the API server; that there is none is no error.
    pub async fn secret(&self, namespace: &str, name: &str) -> Result<Option<SecretObject>, kube::Error> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        Ok(api.get_opt(name).await?.map(SecretObject::from))
    }

    /// Stores a Secret: by POST if it is new, else where it stands, with the resourceVersion that it was decided on.
    ///
    /// # Errors
    /// Those of the API server.
    pub async fn put_secret(&self, secret: &SecretObject) -> Result<SecretObject, kube::Error> {
        let object = secret.object();
        let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let stored = if object.metadata.uid.is_some() {
            api.replace(object.metadata.name.as_deref().unwrap_or_default(), &PostParams::default(), object).await?
        } else {
            api.create(&PostParams::default(), object).await?
        };
        Ok(stored.into())
    }

    /// Deletes this very Secret; that it is gone already is no error.
    ///
    /// # Errors
    /// Those of the API server.
    pub async fn delete_secret(&self, namespace: &str, name: &str, uid: Option<String>) -> Result<(), kube::Error> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let preconditions = uid.map(|uid| Preconditions { uid: Some(uid), resource_version: None });
        match api.delete(name, &DeleteParams { preconditions, ..DeleteParams::default() }).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            other => other.map(|_| ()),
        }
    }

    /// The labels of a namespace, and whether it is being deleted.
    ///
    /// # Errors
    /// Those of the API server.
    pub async fn namespace(&self, name: &str) -> Result<(Labels, bool), kube::Error> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        Ok(api.get_opt(name).await?.map_or_else(
            || (Labels::new(), true),
            |namespace| {
                (namespace.metadata.labels.unwrap_or_default(), namespace.metadata.deletion_timestamp.is_some())
            },
        ))
    }

    /// This process just saw the request signed. Many may wait for their Certificates at the same time.
    pub fn keep_signed(&self, request: &CertificateRequest) {
        let packed = self.packer.lock().unwrap_or_else(PoisonError::into_inner).pack(request);
        if let Some(packed) = packed {
            let namespace = request.namespace().unwrap_or_default();
            self.signed.put(&namespace, &request.name_any(), packed, Instant::now());
        }
    }

    /// The request, if this process just saw it signed; once.
    #[must_use]
    pub fn take_signed(&self, namespace: &str, name: &str) -> Option<CertificateRequest> {
        self.signed.take(namespace, name, Instant::now())?.unpack().ok()
    }

    /// The AWS accounts in which a certificate with this serial number was seen by other Certificates than this one.
    #[must_use]
    pub fn holders(&self, key: &Key, serial: &str) -> BTreeSet<String> {
        let same = self.with_serial(key, serial);
        let mut holders = BTreeSet::new();
        for certificate in same.iter().filter_map(|key| self.certificates.at(key)) {
            let Some(status) = certificate.status.as_ref().filter(|s| s.serial_number.as_deref() == Some(serial))
            else {
                continue;
            };
            let there = |t: &&TargetStatus| t.arn.is_some() && t.state != TargetState::Failed;
            holders.extend(status.targets.iter().filter(there).filter_map(|t| t.account_id.clone()));
        }
        holders
    }

    /// Who else has a certificate with the serial number of this one, which is in several accounts.
    #[must_use]
    pub fn sharers(&self, key: &Key, certificate: &Certificate) -> Vec<Key> {
        let status = certificate.status.as_ref().filter(|s| s.accounts.is_some());
        let Some(serial) = status.and_then(|s| s.serial_number.as_deref()) else { return vec![] };
        self.with_serial(key, serial)
    }

    /// The other Certificates whose certificate has this serial number; two serial numbers may share a digest.
    fn with_serial(&self, key: &Key, serial: &str) -> Vec<Key> {
        let wanted = serial_digest(serial);
        self.certificates.keys(|other, gist| gist.serial.is_some() && gist.serial == wanted && other != key)
    }

    /// Claims its Secret for a Certificate. Of those that live and name the same one, the oldest has it, in whatever order
    /// they come; returns who that is, if it is another.
    #[must_use]
    pub fn claim(&self, certificate: &Certificate) -> Option<String> {
        let namespace = certificate.metadata.namespace.as_deref();
        let created = certificate.creation_timestamp().map_or(Timestamp::MAX, |t| t.0);
        let name = certificate.name_any();
        let mine = (created, self.certificates.find(namespace, &name).unwrap_or_else(|| Key::new(namespace, &name)));
        let secret = &certificate.spec.secret.name;
        // One that is only watched keeps none.
        if secret.is_empty() || certificate.spec.is_observed() {
            return None;
        }
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        let holder = claims.entry(Key::new(namespace, secret)).or_insert_with(|| mine.clone());
        if holder.1 != mine.1 && *holder < mine {
            let live = self.certificates.at(&holder.1);
            let keeps = |c: &Certificate| c.spec.secret.name == *secret && !c.spec.is_observed();
            if live.is_some_and(|c| keeps(&c) && c.metadata.deletion_timestamp.is_none()) {
                return Some(holder.1.name().to_owned());
            }
        }
        *holder = mine;
        None
    }
}

/// What is told of an account that does not let us in.
#[must_use]
pub fn refusal(problem: &SessionProblem) -> Refusal {
    Refusal { reason: problem.reason(), message: problem.message.clone() }
}

/// The account id of a session.
#[must_use]
pub fn account_id(aws: &dyn Aws) -> AccountId {
    aws.identity().account.clone()
}
