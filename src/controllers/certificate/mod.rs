//! Certificate: looks and changes one thing at a time.

mod acm;
mod cluster;
mod managed;
mod publish;

use super::{
    context::{Context, account_id},
    driver::Kind,
};
use crate::{
    api::{
        Certificate, CertificateRequest,
        certificate::{CertificateStatus, HistoryEntry, Origin},
        conditions::{STALLED, is_true, refused},
        names::Region,
    },
    aws::{error::AwsError, paced::quotas::Operation, port::Aws},
    core::{
        Decision,
        access::Refusal,
        backoff::Failure,
        certificate::{
            Imported, Memory, Observed, Read, TargetObserved, Write, acm_managed, adoption, decide, published,
            request_name, wanted, write,
        },
        secret::SecretObject,
        spending::Asked,
    },
    kube::key::Key,
    pki::algorithm::KeyAlgorithm,
};
use acm::{located, seen};
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use kube::{Api, Client, ResourceExt};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// Before the first certificate, that there is no Secret is not asked again for so long.
const ABSENT_LASTS: SignedDuration = SignedDuration::from_mins(1);
/// As long as nothing is asked for yet, it is asked again sooner: what would be paid for may have no place any more. A key takes
/// this long at most, as a rule.
const ABSENT_LASTS_BEFORE: SignedDuration = SignedDuration::from_secs(10);

/// The controller of Certificates.
pub struct Certificates {
    context: Arc<Context>,
    /// When this process stored the record of an import to come, by uid and target.
    records: Mutex<HashMap<(String, String), Instant>>,
    /// When this process began an import without an ARN whose answer it does not know, by namespace, name and target.
    begun: Mutex<HashMap<(String, String, String), Timestamp>>,
    /// Serial numbers that a Certificate that is only watched shares with another one.
    shared: Mutex<HashSet<String>>,
}

impl Certificates {
    /// The controller.
    #[must_use]
    pub fn new(context: Arc<Context>) -> Self {
        Self { context, records: Mutex::default(), begun: Mutex::default(), shared: Mutex::default() }
    }

    async fn aws(&self, o: &mut Observed, account: &str) -> Option<Arc<dyn Aws>> {
        let found = o.accounts.get(account).cloned().flatten();
        match self.context.session(found.as_deref()).await {
            Ok(aws) => o.is_still(account, &account_id(&*aws)).then_some(aws),
            Err(why) => {
                o.sessions.insert(account.to_owned(), Err(why));
                None
            }
        }
    }

    /// The way to a target's place.
    async fn place(&self, o: &mut Observed, target: &str) -> Option<(Arc<dyn Aws>, Region)> {
        let (account, region) = located(o, target)?;
        self.aws(o, &account).await.map(|aws| (aws, region))
    }

    fn fail(&self, o: &mut Observed, error: AwsError) {
        let account = o.accounts.get(&o.certificate.spec.account_ref.name).cloned().flatten();
        self.context.report(account.as_deref(), &error);
        o.memory.failure = Some(Failure::again(o.memory.failure.as_ref(), error));
        o.failed = true;
    }

    fn fail_target(&self, o: &mut Observed, target: &str, error: AwsError) {
        let account = located(o, target).and_then(|(account, _)| o.accounts.get(&account).cloned().flatten());
        self.context.report(account.as_deref(), &error);
        let failure = Failure::again(o.memory.target_failures.get(target), error);
        o.memory.target_failures.insert(target.to_owned(), failure);
        seen(o, target).failed = true;
    }

    /// These calls succeeded: what failed of them is over. What comes after them may fail still.
    fn well(o: &mut Observed, target: &str, calls: &[Operation]) {
        if o.memory.target_failures.get(target).is_some_and(|failure| failure.ends_with(calls)) {
            o.memory.target_failures.remove(target);
        }
    }

    /// Counts what the status that was just stored tells for the first time.
    fn count(&self, o: &Observed, after: &Certificate) {
        let newest = |c: &Certificate| c.status.as_ref().and_then(|s| s.history.first().cloned());
        let stalled = |c: &Certificate| c.status.as_ref().is_some_and(|s| is_true(&s.conditions, STALLED));
        let same =
            |a: &HistoryEntry, b: &HistoryEntry| (a.revision, &a.serial_number) == (b.revision, &b.serial_number);
        if let Some(newest) = newest(after).filter(|new| !newest(&o.certificate).is_some_and(|old| same(&old, new))) {
            self.context.metrics.renewed(&newest.trigger, true);
        }
        if stalled(after)
            && !stalled(&o.certificate)
            && let Some(trigger) = wanted::trigger(o, self.context.clock.now())
        {
            self.context.metrics.renewed(trigger.name(), false);
        }
    }

    /// In which other accounts its certificate is. Of what is managed that is asked only where somebody was found to have it, too.
    fn see_holders(&self, o: &mut Observed, serial: Option<&str>) {
        let Some(serial) = serial else { return };
        let told = o.certificate.status.as_ref().is_some_and(|s| s.accounts.is_some());
        if !(o.certificate.spec.is_observed() || told || self.shared().contains(serial)) {
            return;
        }
        o.held_by = self.context.holders(&Key::of(&*o.certificate), serial);
        if o.held_by.is_empty() {
            self.shared().remove(serial);
        } else if o.certificate.spec.is_observed() {
            // Whoever manages it looks, too, when it is woken.
            self.shared().insert(serial.to_owned());
        }
    }

    fn shared(&self) -> MutexGuard<'_, HashSet<String>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the Secret into view, and parses it once.
    fn see_secret(&self, o: &mut Observed, secret: Option<SecretObject>) {
        o.see_secret(secret);
        self.see_requests(o);
    }

    /// The requests of the revisions around the current one, from the store.
    fn see_requests(&self, o: &mut Observed) {
        for revision in o.in_sight() {
            let name = request_name(&o.name(), revision);
            if let Some(request) = self.context.requests.get(Some(&o.namespace()), &name) {
                o.requests.insert(revision, request);
            }
        }
    }
}

#[async_trait]
impl Kind for Certificates {
    type Object = Certificate;
    type Status = CertificateStatus;
    type Observed = Observed;
    type Read = Read;
    type Write = Write;
    type Memory = Memory;

    fn observe(&self, certificate: Arc<Certificate>, memory: Memory) -> Observed {
        let spec = &certificate.spec;
        let named = spec.acm.iter().filter_map(|t| t.account_ref.as_ref()).map(|a| &a.name);
        let stored = certificate.status.iter().flat_map(|s| &s.targets).map(|t| &t.account);
        let accounts = std::iter::once(&spec.account_ref.name)
            .chain(named)
            .chain(stored)
            .map(|name| (name.clone(), self.context.account(name)))
            .collect();
        let claimed_by = self.context.claim(&certificate);
        let targets = spec.acm.iter().map(|t| (t.name.clone(), TargetObserved::default())).collect();
        // Who makes such a Secret meanwhile is not overwritten: a new one is made by POST.
        let age = memory.absent.as_ref().filter(|(name, _)| **name == *spec.secret.name).and_then(|(_, seen)| {
            let never = certificate.status.as_ref().is_none_or(|s| s.revision.is_none());
            never.then(|| self.context.clock.now().duration_since(*seen).abs())
        });
        let absent = age.filter(|age| *age < ABSENT_LASTS);
        let (account, now) = (&spec.account_ref.name, self.context.clock.now());
        let mut spending = self.context.spending();
        let asked = if spec.source.acm_managed.is_some() {
            spending.asked(account, certificate.metadata.uid.as_deref().unwrap_or_default(), now)
        } else {
            Asked::default()
        };
        let account_spent = spending.spent(account, now);
        drop(spending);
        let mut o = Observed {
            cluster: self.context.cluster.clone(),
            certificate,
            accounts,
            namespace_labels: None,
            namespace_ends: false,
            account_spent,
            asked,
            counted: None,
            sessions: BTreeMap::new(),
            authority: None,
            secret: absent.map(|_| None),
            pair: None,
            exported: None,
            password: None,
            claimed_by,
            requests: BTreeMap::new(),
            read_requests: BTreeSet::new(),
            staged: BTreeMap::new(),
            targets,
            drift_interval: self.context.drift_interval,
            published: vec![],
            publish_interval: self.context.publish_interval,
            held_by: BTreeSet::new(),
            memory,
            failed: false,
        };
        let serial = o.certificate.status.as_ref().and_then(|s| s.serial_number.clone());
        self.see_holders(&mut o, serial.as_deref());
        if o.secret.is_some() {
            self.see_requests(&mut o);
            let uid = o.uid();
            let asked = |request: &CertificateRequest| request.owner_references().iter().any(|owner| owner.uid == uid);
            let is_old = absent.is_some_and(|age| age >= ABSENT_LASTS_BEFORE);
            if is_old && !o.requests.values().any(|request| asked(request.as_ref())) {
                o.secret = None;
            }
        }
        o
    }

    fn decide(&self, o: &mut Observed, now: Timestamp) -> Decision<CertificateStatus, Read, Write> {
        let (uid, namespace, own) = (o.uid(), o.namespace(), o.name());
        let (records, mut begun) = (self.records.lock().unwrap_or_else(PoisonError::into_inner), self.begun());
        for (name, view) in &mut o.targets {
            view.record_age = records.get(&(uid.clone(), name.clone())).map(Instant::elapsed);
            view.begun = begun.get_mut(&(namespace.clone(), own.clone(), name.clone())).map(|at| {
                // The clock was set back: a time to come says nothing of its age, so it counts from now.
                *at = (*at).min(now);
                *at
            });
        }
        drop((records, begun));
        // What discovery found has its looks from there: nothing has to be remembered of it.
        if !(o.certificate.spec.is_observed() && o.is_discovered()) {
            for name in o.targets.keys() {
                o.memory.looked.note_first(name, now);
            }
        }
        if !o.certificate.spec.publish.is_empty() {
            o.memory.looked.note_first(published::LOOK, now);
        }
        decide(o, now)
    }

    async fn read(&self, o: &mut Observed, read: Read) -> Result<(), kube::Error> {
        match read {
            Read::Namespace => {
                let (labels, ends) = self.context.namespace(&o.namespace()).await?;
                o.namespace_labels = Some(labels);
                o.namespace_ends = ends;
            }
            Read::Session(account) => {
                let found = o.accounts.get(&account).cloned().flatten();
                let session = self.context.session(found.as_deref()).await;
                o.sessions.insert(account, session.map(|aws| account_id(&*aws)));
            }
            Read::Authority => {
                let account = o.certificate.spec.account_ref.name.clone();
                let Some(aws) = self.aws(o, &account).await else { return Ok(()) };
                let spec = &o.certificate.spec;
                let authority = match spec.source.origin() {
                    Some(Origin::PrivateCa(source)) => &source.certificate_authority,
                    Some(Origin::AcmManaged(source)) => &source.certificate_authority,
                    Some(Origin::Secret(_)) | None => return Ok(()),
                };
                match self.context.authority(&*aws, &spec.region, authority, false).await {
                    Ok(authority) => {
                        o.authority = Some(authority);
                        o.memory.failure = None;
                    }
                    Err(error) => self.fail(o, error),
                }
            }
            Read::Secret => {
                let spec = &o.certificate.spec;
                let name = spec.secret_in_view().unwrap_or_default().to_owned();
                let secret = self.context.secret(&o.namespace(), &name).await?;
                // A source that appears is seen at once.
                let absent = secret.is_none() && spec.source_secret().is_none();
                o.memory.absent = absent.then(|| (name.into(), self.context.clock.now()));
                self.see_secret(o, secret);
            }
            Read::Password => self.password(o).await?,
            Read::Request(revision) => self.see_request(o, revision).await?,
            Read::Staged(revision) => self.see_staged(o, revision).await?,
            Read::Lookup(target, newer_than) => self.lookup(o, &target, newer_than).await,
            Read::Shown(target) => self.shown(o, &target).await,
            Read::Tags(target, arn) => self.tags(o, &target, &arn).await,
            Read::Installed(target, arn) => self.installed(o, &target, &arn).await,
            Read::Watched(target, arn) => self.watched(o, &target, &arn).await,
            Read::Export(target, arn) => self.export(o, &target, &arn).await,
            Read::Body(target, arn) => self.body(o, &target, &arn).await,
            Read::Turn(target, ends) => self.turn(o, &target, ends).await,
            Read::Budget(at) => self.budget(o, at),
            Read::Published { object, data } => self.see_published(o, &object, data).await,
        }
        Ok(())
    }

    async fn write(&self, o: &mut Observed, write: Write) -> Result<(), kube::Error> {
        if adoption::takes_over(o, &write) {
            self.unchanged(o).await?;
        }
        match write {
            Write::Finalizer(wanted) => self.finalizer(o, wanted).await?,
            Write::Stage { revision, algorithm, keep_key } => self.stage(o, revision, algorithm, keep_key).await?,
            Write::Request { revision, trigger } => self.request(o, revision, trigger).await?,
            Write::Secret(revision) => match write::issued(o, revision, self.context.clock.now()) {
                Ok(secret) => {
                    o.memory.absent = None;
                    let stored = self.context.put_secret(&secret).await?;
                    self.see_secret(o, Some(stored));
                }
                Err(message) => o.authority = Some(Err(Refusal { reason: "RequestUnusable", message })),
            },
            Write::Repair(revision) => {
                let now = self.context.clock.now();
                if let Ok((secret, event)) = write::repaired(o, revision, now) {
                    let stored = self.context.put_secret(&secret).await?;
                    o.memory.happened.push(event);
                    self.see_secret(o, Some(stored));
                }
                o.memory.repaired = Some(now);
            }
            Write::SecretMetadata => match write::completed(o) {
                Some(Ok(secret)) => {
                    let stored = self.context.put_secret(&secret).await?;
                    self.see_secret(o, Some(stored));
                }
                Some(Err(message)) => o.password = Some(Err(message)),
                None => {}
            },
            Write::DeleteStaged(revision) => self.delete_staged(o, revision).await?,
            Write::DeleteRequest(name) => self.delete_request(o, &name).await?,
            Write::ImportNew(target) => self.import_new(o, &target).await,
            Write::RequestNew(target) => self.request_new(o, &target).await,
            Write::Renew(target, arn, record) => self.renew(o, &target, &arn, record).await,
            Write::Exported(revision) => match acm_managed::secret(o, revision) {
                Ok(secret) => {
                    o.memory.absent = None;
                    let stored = self.context.put_secret(&secret).await?;
                    self.see_secret(o, Some(stored));
                    acm_managed::note_written(o, self.context.clock.now());
                }
                Err(message) => o.exported = Some(Err(message)),
            },
            Write::Reimport(target, arn) => self.reimport(o, &target, arn).await,
            Write::Retag(target, arn, add, remove) => self.retag(o, &target, &arn, add, remove).await,
            Write::DeleteFromAcm(target, arn) => {
                self.unchanged(o).await?;
                self.delete_from_acm(o, &target, arn).await;
            }
            Write::Publish { object, version, fields, mark } => {
                self.unchanged(o).await?;
                self.publish(o, &object, &version, fields, mark).await?;
            }
        }
        Ok(())
    }

    fn new_key(write: &Write) -> Option<KeyAlgorithm> {
        match write {
            Write::Stage { algorithm, keep_key: false, .. } => Some(*algorithm),
            _ => None,
        }
    }

    fn object(observed: &Observed) -> &Arc<Certificate> {
        &observed.certificate
    }

    /// A stored record starts the five seconds in which its import may begin.
    fn stored(&self, o: &mut Observed, certificate: Arc<Certificate>) {
        let pending = |c: &Certificate| -> BTreeMap<String, _> {
            c.status
                .iter()
                .flat_map(|s| &s.targets)
                .filter_map(|t| Some((t.name.clone(), (t.pending_since.clone()?, t.attempts))))
                .collect()
        };
        let (before, after) = (pending(&o.certificate), pending(&certificate));
        for (target, record) in after {
            if before.get(&target) != Some(&record) {
                let key = (o.uid(), target.clone());
                self.records.lock().unwrap_or_else(PoisonError::into_inner).insert(key, Instant::now());
            }
        }
        let asked = |c: &Certificate| {
            let managed = c.status.as_ref().and_then(|s| s.managed.as_ref());
            managed.and_then(|m| m.requested.as_ref()).map(|record| record.at.0)
        };
        if let Some(at) = asked(&certificate).filter(|at| asked(&o.certificate) != Some(*at)) {
            o.memory.renewal = Some((at, false));
        }
        // What the status holds now needs no memory.
        let in_status = |name: &str, imported: &Imported| {
            let entry = certificate.status.as_ref().and_then(|s| s.targets.iter().find(|t| t.name == name));
            entry.is_some_and(|t| {
                t.arn.as_ref() == Some(&imported.arn)
                    && imported.serial.as_ref().is_none_or(|serial| t.serial_number == Some(serial.to_string()))
            })
        };
        o.memory.imported.retain(|name, imported| !in_status(name, imported));
        self.count(o, &certificate);
        o.certificate = certificate;
    }

    fn told(&self, o: &mut Observed) {
        o.memory.happened.clear();
    }

    fn memory(observed: Observed) -> Memory {
        observed.memory
    }

    fn status(certificate: &Certificate) -> Option<&CertificateStatus> {
        certificate.status.as_ref()
    }

    fn set_status(certificate: &mut Certificate, status: CertificateStatus) {
        certificate.status = Some(status);
    }

    fn refused(certificate: &Certificate, message: &str, now: Timestamp) -> CertificateStatus {
        let mut status = certificate.status.clone().unwrap_or_default();
        let generation = certificate.metadata.generation.unwrap_or_default();
        status.observed_generation = Some(generation);
        status.conditions = refused(&status.conditions, message, generation, now);
        status
    }

    fn api(client: &Client, namespace: Option<&str>) -> Api<Certificate> {
        Api::namespaced(client.clone(), namespace.unwrap_or_default())
    }
}
