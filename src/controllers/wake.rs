//! Who is to look again when something changed: the object itself, and those that wait for it.

use super::{
    account::Accounts,
    certificate::Certificates,
    context::Context,
    driver::{Driver, Kind},
    request::Requests,
};
use crate::{
    api::{
        AwsAccount, Certificate, CertificateRequest, OWNED_BY_ANNOTATION,
        conditions::{READY, STALLED, is_true},
    },
    kube::watch::Change,
};
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use k8s_openapi::{api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::Condition};
use kube::{
    Resource, ResourceExt,
    core::PartialObjectMeta,
    runtime::reflector::{ObjectRef, ObjectRefExtra},
};
use std::{
    collections::{BTreeSet, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
};

/// A driver and the queue that feeds it.
pub struct Lane<T: Kind> {
    /// The driver.
    pub driver: Arc<Driver<T>>,
    sender: UnboundedSender<ObjectRef<T::Object>>,
}

impl<T: Kind> Lane<T> {
    /// A lane, and the queue for [`Driver::run`].
    #[must_use]
    pub fn new(driver: Driver<T>) -> (Self, UnboundedReceiver<ObjectRef<T::Object>>) {
        let (sender, queue) = unbounded();
        (Self { driver: Arc::new(driver), sender }, queue)
    }

    /// The object changed: the driver sees for itself whether there is anything to do.
    fn changed(&self, object: &T::Object) {
        self.send(bare(ObjectRef::from_obj(object)));
    }

    /// Something around the object changed.
    fn wake(&self, object: ObjectRef<T::Object>) {
        let object = bare(object);
        self.driver.wake(&object);
        self.send(object);
    }

    fn forget(&self, object: &T::Object) {
        self.driver.forget(&ObjectRef::from_obj(object));
    }

    /// At the end of the process nobody listens any more.
    fn send(&self, object: ObjectRef<T::Object>) {
        drop(self.sender.unbounded_send(object));
    }
}

/// Without uid and resourceVersion, which no queue and no map needs.
fn bare<K: Resource<DynamicType = ()>>(mut object: ObjectRef<K>) -> ObjectRef<K> {
    object.extra = ObjectRefExtra::default();
    object
}

/// Whether a request is signed: then there is nothing to do for it any more.
fn is_done(request: &CertificateRequest) -> bool {
    request.status.as_ref().is_some_and(|s| is_true(&s.conditions, READY))
}

/// The reason of a request that goes on by itself: as good as nothing told.
const PASSING: &str = "Issuing";

/// What of an account or a request concerns others; they are woken when it changes. A digest: there are many.
#[derive(Clone, Copy, PartialEq)]
struct News {
    digest: u64,
    tells: bool,
}

impl News {
    fn of<K: Resource>(object: &K, conditions: Option<&[Condition]>) -> Self {
        let told = conditions.unwrap_or_default().iter().filter(|c| c.type_ == READY || c.type_ == STALLED);
        let told: Vec<_> = told.filter(|c| c.reason != PASSING).map(|c| (&c.type_, &c.status, &c.reason)).collect();
        let mut hasher = DefaultHasher::new();
        (&object.meta().uid, object.meta().generation, &told).hash(&mut hasher);
        Self { digest: hasher.finish(), tells: !told.is_empty() }
    }
}

/// What an object was before its news.
#[derive(PartialEq)]
enum Before {
    /// Nothing was seen of it, and it does not tell anything yet.
    Nothing,
    Other,
}

/// The last news of each object.
struct Seen<K>(Mutex<HashMap<K, News>>);

impl<K: Eq + Hash> Seen<K> {
    fn new() -> Self {
        Self(Mutex::default())
    }

    /// What was seen before, if it is news.
    fn note(&self, key: K, news: News) -> Option<Before> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = seen.get(&key);
        if before == Some(&news) {
            return None;
        }
        let before = if before.is_some() || news.tells { Before::Other } else { Before::Nothing };
        seen.insert(key, news);
        Some(before)
    }

    fn forget(&self, key: &K) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

/// Takes what the watches tell, and wakes whom it concerns.
pub struct Waker {
    context: Arc<Context>,
    accounts: Lane<Accounts>,
    requests: Lane<Requests>,
    certificates: Lane<Certificates>,
    /// The namespaces that this process serves; none: all.
    namespaces: Option<BTreeSet<String>>,
    seen_accounts: Seen<ObjectRef<AwsAccount>>,
    seen_requests: Seen<ObjectRef<CertificateRequest>>,
}

impl Waker {
    /// A waker for these lanes. An empty list of namespaces means all of them.
    #[must_use]
    pub fn new(
        context: Arc<Context>,
        accounts: Lane<Accounts>,
        requests: Lane<Requests>,
        certificates: Lane<Certificates>,
        namespaces: &[String],
    ) -> Self {
        let namespaces = (!namespaces.is_empty()).then(|| namespaces.iter().cloned().collect());
        Self {
            context,
            accounts,
            requests,
            certificates,
            namespaces,
            seen_accounts: Seen::new(),
            seen_requests: Seen::new(),
        }
    }

    fn serves<K: ResourceExt>(&self, object: &K) -> bool {
        self.namespaces.as_ref().is_none_or(|all| object.namespace().is_some_and(|namespace| all.contains(&namespace)))
    }

    /// AwsAccounts changed.
    pub fn accounts(&self, changes: Vec<Change<AwsAccount>>) {
        for change in changes {
            self.account(change);
        }
    }

    /// CertificateRequests changed.
    pub fn requests(&self, changes: Vec<Change<CertificateRequest>>) {
        for change in changes {
            self.request(change);
        }
    }

    /// Certificates changed. All of them claim their Secrets before any of them is worked on.
    pub fn certificates(&self, changes: Vec<Change<Certificate>>) {
        for change in &changes {
            if let Change::Applied(certificate) = change {
                let _ = self.context.claim(certificate);
            }
        }
        for change in changes {
            self.certificate(change);
        }
    }

    fn account(&self, change: Change<AwsAccount>) {
        match change {
            Change::Applied(account) => {
                self.accounts.changed(&account);
                let conditions = account.status.as_ref().map(|s| &*s.conditions);
                if self
                    .seen_accounts
                    .note(bare(ObjectRef::from_obj(&*account)), News::of(&*account, conditions))
                    .is_some()
                {
                    self.wake_users(&account.name_any());
                }
            }
            Change::Deleted(account) => {
                self.accounts.forget(&account);
                self.seen_accounts.forget(&ObjectRef::from_obj(&*account));
                self.context.sessions.forget(&account.name_any());
                self.wake_users(&account.name_any());
            }
        }
    }

    fn request(&self, change: Change<CertificateRequest>) {
        match change {
            Change::Applied(request) if self.serves(&*request) => {
                if is_done(&request) {
                    self.requests.forget(&request);
                } else {
                    self.requests.changed(&request);
                }
                let conditions = request.status.as_ref().map(|s| &*s.conditions);
                let news =
                    self.seen_requests.note(bare(ObjectRef::from_obj(&*request)), News::of(&*request, conditions));
                if news == Some(Before::Other) {
                    self.wake_owner(&request);
                }
            }
            Change::Deleted(request) if self.serves(&*request) => {
                self.requests.forget(&request);
                self.seen_requests.forget(&ObjectRef::from_obj(&*request));
                // A signed one has done its part.
                if !request.status.iter().flat_map(|s| &s.conditions).any(|c| c.type_ == READY && c.status == "True") {
                    self.wake_owner(&request);
                }
            }
            Change::Applied(_) | Change::Deleted(_) => {}
        }
    }

    fn certificate(&self, change: Change<Certificate>) {
        match change {
            Change::Applied(certificate) if self.serves(&*certificate) => self.certificates.changed(&certificate),
            Change::Deleted(certificate) if self.serves(&*certificate) => {
                self.certificates.forget(&certificate);
                // Another one may have waited for its Secret.
                self.wake_keepers(certificate.namespace().as_deref(), &certificate.spec.secret.name);
            }
            Change::Applied(_) | Change::Deleted(_) => {}
        }
    }

    /// Work begins, or begins again: everything is looked at.
    pub fn all(&self) {
        for account in self.context.accounts.state() {
            self.accounts.wake(ObjectRef::from_obj(&*account));
        }
        for request in self.context.requests.state().into_iter().filter(|r| self.serves(&**r) && !is_done(r)) {
            self.requests.wake(ObjectRef::from_obj(&*request));
        }
        for certificate in self.context.certificates.state().into_iter().filter(|c| self.serves(&**c)) {
            self.certificates.wake(ObjectRef::from_obj(&*certificate));
        }
    }

    /// A Secret of the operator's own namespace changed: it may hold an account's credentials.
    pub fn credentials(&self, secret: &PartialObjectMeta<Secret>) {
        let name = secret.name_any();
        self.context.sessions.invalidate_secret(&name);
        for account in self.context.accounts.state() {
            let keys = account.spec.credentials.as_ref().and_then(|c| c.access_keys.as_ref());
            if keys.is_some_and(|keys| keys.secret_ref.name == name) {
                self.accounts.wake(ObjectRef::from_obj(&*account));
                self.wake_users(&account.name_any());
            }
        }
    }

    /// A call in the name of this account was denied, or is allowed now.
    pub fn permissions(&self, account: &str) {
        if self.context.account(account).is_some() {
            self.accounts.wake(ObjectRef::new(account));
        }
    }

    /// A TLS Secret in a namespace that is served changed.
    pub fn tls_secret(&self, secret: &PartialObjectMeta<Secret>) {
        self.wake_keepers(secret.namespace().as_deref(), &secret.name_any());
        if let Some(owner) = secret.annotations().get(OWNED_BY_ANNOTATION) {
            let owner = ObjectRef::new(owner).within(&secret.namespace().unwrap_or_default());
            if self.context.certificates.get(&owner).is_some() {
                self.certificates.wake(owner);
            }
        }
    }

    /// Wakes the Certificates that keep this Secret.
    fn wake_keepers(&self, namespace: Option<&str>, secret: &str) {
        for certificate in self.context.certificates.state() {
            if certificate.metadata.namespace.as_deref() == namespace && certificate.spec.secret.name == secret {
                self.certificates.wake(ObjectRef::from_obj(&*certificate));
            }
        }
    }

    fn wake_owner(&self, request: &CertificateRequest) {
        let namespace = request.namespace().unwrap_or_default();
        for owner in request.owner_references().iter().filter(|o| o.kind == "Certificate") {
            let owner = ObjectRef::new(&owner.name).within(&namespace);
            if self.context.certificates.get(&owner).is_some() {
                self.certificates.wake(owner);
            }
        }
    }

    /// Wakes all that use an account.
    fn wake_users(&self, account: &str) {
        for request in self.context.requests.state() {
            if !is_done(&request) && request.spec.account_ref.name == account && self.serves(&*request) {
                self.requests.wake(ObjectRef::from_obj(&*request));
            }
        }
        for certificate in self.context.certificates.state() {
            let spec = &certificate.spec;
            let delivers = spec.acm.iter().any(|t| t.account_ref.as_ref().is_some_and(|a| a.name == account));
            if (delivers || spec.account_ref.name == account) && self.serves(&*certificate) {
                self.certificates.wake(ObjectRef::from_obj(&*certificate));
            }
        }
    }
}
