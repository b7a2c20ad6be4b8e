//! Who is to look again when something changed: the object itself, and those that wait for it.

use super::{
    account::Accounts,
    certificate::Certificates,
    context::Context,
    driver::Driver,
    news::{Before, Latest, News, Seen, Shared},
    request::Requests,
};
use crate::{
    api::{
        AwsAccount, Certificate, CertificateRequest, OWNED_BY_ANNOTATION, SYNC_ANNOTATION,
        conditions::{READY, STALLED, is_true},
    },
    core::{
        certificate::REQUEST_CONFLICT,
        organization::{failing, is_member_of, is_read, written},
    },
    kube::{
        key::Key,
        store::{Change, Gist},
    },
};
use k8s_openapi::api::core::v1::Secret;
use kube::{ResourceExt, core::PartialObjectMeta};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// Whether a request is signed: then there is nothing to do for it any more.
fn is_done(request: &CertificateRequest) -> bool {
    request.status.as_ref().is_some_and(|s| is_true(&s.conditions, READY))
}

/// What somebody else changed of a member is put right after this long, and how members stand is told: several changes are seen
/// together.
const EDITED: Duration = Duration::from_secs(1);
const TOLD: Duration = Duration::from_secs(3);

/// Takes what the watches tell, and wakes whom it concerns.
pub struct Waker {
    context: Arc<Context>,
    accounts: Arc<Driver<Accounts>>,
    requests: Arc<Driver<Requests>>,
    certificates: Arc<Driver<Certificates>>,
    /// The namespaces that this process serves; none: all.
    namespaces: Option<BTreeSet<String>>,
    seen_accounts: Seen,
    seen_requests: Seen,
    seen_shared: Shared,
    /// What stands in the objects of members.
    seen_members: Latest,
    /// The requests to read organizations again.
    seen_syncs: Latest,
}

impl Waker {
    /// A waker for these drivers. An empty list of namespaces means all of them.
    #[must_use]
    pub fn new(
        context: Arc<Context>,
        accounts: Arc<Driver<Accounts>>,
        requests: Arc<Driver<Requests>>,
        certificates: Arc<Driver<Certificates>>,
        namespaces: &[String],
    ) -> Self {
        let namespaces = (!namespaces.is_empty()).then(|| namespaces.iter().cloned().collect());
        let (seen_accounts, seen_requests, seen_shared) = (Seen::default(), Seen::default(), Shared::default());
        let (seen_members, seen_syncs) = (Latest::default(), Latest::default());
        Self {
            context,
            accounts,
            requests,
            certificates,
            namespaces,
            seen_accounts,
            seen_requests,
            seen_shared,
            seen_members,
            seen_syncs,
        }
    }

    fn serves(&self, key: &Key) -> bool {
        self.namespaces.as_ref().is_none_or(|all| key.namespace().is_some_and(|namespace| all.contains(namespace)))
    }

    /// AwsAccounts changed.
    pub fn accounts(&self, changes: Vec<Change<AwsAccount>>) {
        for change in changes {
            match change {
                Change::Listed => {
                    for account in self.context.accounts.all() {
                        self.account(&Key::of(&*account), &account);
                    }
                }
                Change::Applied(key, account) => self.account(&key, &account),
                Change::Deleted(key, account) => {
                    self.accounts.forget(&key);
                    self.seen_accounts.forget(&key);
                    self.seen_members.forget(&key);
                    self.seen_syncs.forget(&key);
                    self.wake_organization(&account, EDITED);
                    self.context.sessions.forget(key.name());
                    self.context.spending().account_deleted(key.name());
                    self.wake_users(key.name());
                    self.wake_same(key.name(), None);
                }
            }
        }
    }

    fn account(&self, key: &Key, account: &AwsAccount) {
        self.context.spending().account(account, self.context.clock.now());
        self.accounts.ask(key);
        let conditions = account.status.as_ref().map(|s| &*s.conditions);
        let has_news = self.seen_accounts.note(key, News::of(account, conditions)).is_some();
        if account.metadata.owner_references.is_some() {
            let stands = (&account.metadata.uid, account.metadata.generation, written(account));
            if self.seen_members.changes(key, stands) {
                self.wake_organization(account, EDITED);
            } else if has_news {
                self.wake_organization(account, TOLD);
            }
        }
        if account.spec.organization.is_some()
            && self.seen_syncs.changes(key, account.annotations().get(SYNC_ANNOTATION))
        {
            for member in failing(account, &self.context.accounts.all()) {
                self.context.sessions.forget_problem(&member);
                self.wake_account(&member, true);
            }
        }
        if has_news {
            self.wake_users(key.name());
            self.wake_members(account);
            self.wake_same(key.name(), account.status.as_ref().and_then(|s| s.account_id.as_deref()));
        }
    }

    /// Wakes the accounts that tell, or have to tell, that this one leads to the same AWS account; and this one, if it looked
    /// before another one had told where it leads.
    fn wake_same(&self, name: &str, id: Option<&str>) {
        let all = self.context.accounts.all();
        let own = all.iter().find(|account| account.metadata.name.as_deref() == Some(name));
        let mut is_untold = false;
        for other in all.iter().filter(|other| other.metadata.name.as_deref() != Some(name)) {
            let Some(status) = &other.status else { continue };
            let told = status.same_account.iter().any(|told| told == name);
            let same = id.is_some() && status.account_id.as_deref() == id;
            if told != same {
                self.accounts.wake(&Key::of(&**other));
            }
            let tells =
                own.and_then(|own| own.status.as_ref()).is_some_and(|own| own.same_account.contains(&other.name_any()));
            is_untold |= same && !tells;
        }
        if let Some(own) = own.filter(|_| is_untold) {
            self.accounts.wake(&Key::of(&**own));
        }
    }

    /// CertificateRequests changed.
    pub fn requests(&self, changes: Vec<Change<CertificateRequest>>) {
        for change in changes {
            match change {
                Change::Listed => {
                    for key in self.context.requests.keys(|_, _| true) {
                        // Decoded one by one: there may be many.
                        if let Some(request) = self.context.requests.at(&key) {
                            self.request(&key, &request);
                        }
                    }
                }
                Change::Applied(key, request) => self.request(&key, &request),
                Change::Deleted(key, request) => {
                    self.count(&request, true);
                    if self.serves(&key) {
                        self.requests.forget(&key);
                        self.seen_requests.forget(&key);
                        // A signed one has done its part.
                        if !is_done(&request) {
                            self.wake_owner(&request);
                        }
                        self.wake_namesake(&key);
                    }
                }
            }
        }
    }

    fn request(&self, key: &Key, request: &CertificateRequest) {
        self.count(request, false);
        if !self.serves(key) {
            return;
        }
        if is_done(request) {
            self.requests.forget(key);
        } else {
            self.requests.ask(key);
        }
        let conditions = request.status.as_ref().map(|s| &*s.conditions);
        if self.seen_requests.note(key, News::of(request, conditions)) == Some(Before::Other) {
            self.wake_owner(request);
        }
    }

    /// Certificates changed. All of a list claim their Secrets before any of them is worked on.
    pub fn certificates(&self, changes: Vec<Change<Certificate>>) {
        let all = &self.context.certificates;
        for change in changes {
            match change {
                Change::Listed => {
                    for certificate in all.keys(|_, _| true).iter().filter_map(|key| all.at(key)) {
                        let _ = self.context.claim(&certificate);
                        self.count_managed(&certificate, false);
                    }
                    for key in all.keys(|key, _| self.serves(key)) {
                        self.certificates.ask(&key);
                    }
                }
                Change::Applied(key, certificate) => {
                    let _ = self.context.claim(&certificate);
                    self.count_managed(&certificate, false);
                    if self.serves(&key) {
                        self.certificates.ask(&key);
                    }
                    self.wake_sharers(&key, &certificate);
                }
                Change::Deleted(key, certificate) => {
                    self.count_managed(&certificate, true);
                    if self.serves(&key) {
                        self.certificates.forget(&key);
                        self.seen_shared.forget(&key);
                        // Another one may have waited for its Secret.
                        self.wake_keepers(key.namespace(), &certificate.spec.secret.name);
                    }
                }
            }
        }
    }

    /// A certificate that is in several accounts is told so in all of its objects.
    fn wake_sharers(&self, key: &Key, certificate: &Certificate) {
        if !self.seen_shared.note(key, certificate) {
            return;
        }
        for other in self.context.sharers(key, certificate).into_iter().filter(|other| self.serves(other)) {
            self.certificates.wake(&other);
        }
    }

    /// Counts a request for its account's budget, whoever serves its namespace.
    fn count(&self, request: &CertificateRequest, is_deleted: bool) {
        let now = self.context.clock.now();
        let mut spending = self.context.spending();
        let news = if is_deleted { spending.deleted(request, now) } else { spending.note(request, now) };
        drop(spending);
        self.wake_account(&request.spec.account_ref.name, news);
    }

    /// Counts what a Certificate asked ACM for.
    fn count_managed(&self, certificate: &Certificate, is_deleted: bool) {
        if certificate.spec.source.acm_managed.is_none() {
            return;
        }
        let now = self.context.clock.now();
        let mut spending = self.context.spending();
        let news = if is_deleted {
            spending.certificate_deleted(certificate, now)
        } else {
            spending.note_certificate(certificate, now)
        };
        drop(spending);
        self.wake_account(&certificate.spec.account_ref.name, news);
    }

    fn wake_account(&self, name: &str, has_news: bool) {
        if has_news && let Some(account) = self.context.accounts.find(None, name) {
            self.accounts.wake(&account);
        }
    }

    /// Work begins, or begins again: everything is looked at.
    pub fn all(&self) {
        for key in self.context.accounts.keys(|_, _| true) {
            self.accounts.wake(&key);
        }
        for key in self.context.requests.keys(|key, request| self.serves(key) && !request.ready) {
            self.requests.wake(&key);
        }
        for key in self.context.certificates.keys(|key, _| self.serves(key)) {
            self.certificates.wake(&key);
        }
    }

    /// A Secret of the operator's own namespace changed: it may hold an account's credentials.
    pub fn credentials(&self, secret: &PartialObjectMeta<Secret>) {
        let name = secret.name_any();
        self.context.sessions.invalidate_secret(&name);
        for account in self.context.accounts.all() {
            let keys = account.spec.credentials.as_ref().and_then(|c| c.access_keys.as_ref());
            if keys.is_some_and(|keys| keys.secret_ref.name == name) {
                self.accounts.wake(&Key::of(&*account));
                self.wake_users(&account.name_any());
            }
        }
    }

    /// A call in the name of this account was denied, or is allowed now.
    pub fn permissions(&self, account: &str) {
        if let Some(key) = self.context.accounts.find(None, account) {
            self.accounts.wake(&key);
        }
    }

    /// A TLS Secret in a namespace that is served changed.
    pub fn tls_secret(&self, secret: &PartialObjectMeta<Secret>) {
        let namespace = secret.metadata.namespace.as_deref();
        self.wake_keepers(namespace, &secret.name_any());
        if let Some(owner) = secret.annotations().get(OWNED_BY_ANNOTATION) {
            self.wake_certificate(namespace, owner);
        }
    }

    /// Wakes the Certificates that keep this Secret, and those whose source it is.
    fn wake_keepers(&self, namespace: Option<&str>, secret: &str) {
        let keeps = |key: &Key, certificate: &Gist| certificate.keeps(secret) && key.namespace() == namespace;
        for key in self.context.certificates.keys(keeps) {
            self.certificates.wake(&key);
        }
    }

    fn wake_owner(&self, request: &CertificateRequest) {
        for owner in request.owner_references().iter().filter(|o| o.kind == "Certificate") {
            self.wake_certificate(request.metadata.namespace.as_deref(), &owner.name);
        }
    }

    /// Wakes the Certificate whose next request could have had this name, if it waits for that.
    fn wake_namesake(&self, request: &Key) {
        let (Some((name, _)), namespace) = (request.name().rsplit_once('-'), request.namespace()) else { return };
        let Some(key) = self.context.certificates.find(namespace, name) else { return };
        let waits = |c: &Certificate| {
            let conditions = c.status.iter().flat_map(|s| &s.conditions);
            conditions.into_iter().any(|c| c.type_ == STALLED && c.reason == REQUEST_CONFLICT)
        };
        if self.context.certificates.at(&key).is_some_and(|certificate| waits(&certificate)) {
            self.certificates.wake(&key);
        }
    }

    fn wake_certificate(&self, namespace: Option<&str>, name: &str) {
        if let Some(key) = self.context.certificates.find(namespace, name) {
            self.certificates.wake(&key);
        }
    }

    /// Wakes the members of an account's organization: the way into them may have changed.
    fn wake_members(&self, account: &AwsAccount) {
        if account.spec.organization.is_none() {
            return;
        }
        for member in self.context.accounts.all().into_iter().filter(|member| is_member_of(member, account)) {
            self.accounts.wake(&Key::of(&*member));
        }
    }

    /// Has the organization of a member looked through again, if that takes no call to AWS.
    fn wake_organization(&self, member: &AwsAccount, wait: Duration) {
        let owners = member.owner_references().iter().filter(|o| o.controller == Some(true));
        for owner in owners.filter_map(|o| self.context.account(&o.name)) {
            if is_member_of(member, &owner) && is_read(&owner) {
                self.accounts.wake_within(&Key::of(&*owner), wait);
            }
        }
    }

    /// Wakes all that use an account.
    fn wake_users(&self, account: &str) {
        let waits = |key: &Key, request: &Gist| !request.ready && request.uses(account) && self.serves(key);
        for key in self.context.requests.keys(waits) {
            self.requests.wake(&key);
        }
        for key in self.context.certificates.keys(|key, certificate| certificate.uses(account) && self.serves(key)) {
            self.certificates.wake(&key);
        }
    }
}
