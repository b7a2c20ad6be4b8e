//! Certificate: looks and changes one thing at a time.

use super::{
    context::{Context, account_id, failed_again},
    driver::Kind,
    request::generate,
};
use crate::{
    api::{
        Certificate, CertificateRequest,
        certificate::{CertificateStatus, Target, TargetStatus},
        conditions::refused,
        names::{CertificateArn, Region},
        shared::Tags,
    },
    aws::{
        error::{AwsError, Kind as ErrorKind},
        inventory,
        port::{Aws, Material},
    },
    core::{
        Decision,
        access::Refusal,
        certificate::{
            FINALIZER, Imported, Installed, Lookup, Memory, Observed, RECORD_FRESH, Read, SLOTS, TargetObserved, Write,
            decide, request_name, staged_name, write,
        },
        secret::SecretObject,
    },
    pki::{algorithm::KeyAlgorithm, certificate::parse_pem, key::PrivateKey},
};
use async_trait::async_trait;
use jiff::Timestamp;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
    runtime::reflector::ObjectRef,
};
use serde_json::json;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// The controller of Certificates.
pub struct Certificates {
    context: Arc<Context>,
    /// When this process stored the record of an import to come, by uid and target.
    records: Mutex<HashMap<(String, String), Instant>>,
    /// When this process began an import without an ARN whose answer it does not know, by namespace, name and target.
    begun: Mutex<HashMap<(String, String, String), Timestamp>>,
}

impl Certificates {
    /// The controller.
    #[must_use]
    pub fn new(context: Arc<Context>) -> Self {
        Self { context, records: Mutex::default(), begun: Mutex::default() }
    }

    async fn aws(&self, o: &mut Observed, account: &str) -> Option<Arc<dyn Aws>> {
        let found = o.accounts.get(account).cloned().flatten();
        match self.context.session(found.as_deref()).await {
            Ok(aws) => Some(aws),
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
        o.memory.failure = Some(failed_again(o.memory.failure.as_ref(), error));
        o.failed = true;
    }

    fn fail_target(&self, o: &mut Observed, target: &str, error: AwsError) {
        let account = located(o, target).and_then(|(account, _)| o.accounts.get(&account).cloned().flatten());
        self.context.report(account.as_deref(), &error);
        let failure = failed_again(o.memory.target_failures.get(target), error);
        o.memory.target_failures.insert(target.to_owned(), failure);
        seen(o, target).failed = true;
    }

    /// Puts the Secret into view, and parses it once.
    fn see_secret(&self, o: &mut Observed, secret: Option<SecretObject>) {
        o.pair = secret.as_ref().map(SecretObject::key_pair);
        o.secret = Some(secret);
        self.see_requests(o);
    }

    /// The requests of the revisions around the current one, from the store.
    fn see_requests(&self, o: &mut Observed) {
        let base = o.base_revision();
        for revision in (base - 3).max(1)..=base + SLOTS {
            let name = request_name(&o.name(), revision);
            if let Some(request) = self.context.requests.get(&ObjectRef::new(&name).within(&o.namespace())) {
                o.requests.insert(revision, request);
            }
        }
    }

    async fn lookup(&self, o: &mut Observed, target: &str, newer_than: Timestamp) {
        let Some((aws, region)) = self.place(o, target).await else { return };
        let names = known_names(o);
        match self.context.inventory.candidates(&*aws, &region, &names, newer_than, &*self.context.clock).await {
            Ok(inventory::Lookup::Found(found)) => {
                seen(o, target).lookup = Some(Lookup::Found(found.into_iter().map(|c| (c.summary, c.tags)).collect()));
            }
            Ok(inventory::Lookup::NotYet { until }) => seen(o, target).lookup = Some(Lookup::NotYet(until)),
            Err(error) => self.fail_target(o, target, error),
        }
    }

    async fn tags(&self, o: &mut Observed, target: &str, arn: &CertificateArn) {
        let Some((aws, _)) = self.place(o, target).await else { return };
        match aws.tags(arn).await {
            Ok(tags) => seen(o, target).tags = Some(Some(tags)),
            Err(error) if error.kind == ErrorKind::NotFound => {
                self.context.inventory.note_gone(arn);
                o.memory.imported.remove(target);
                seen(o, target).tags = Some(None);
            }
            Err(error) => self.fail_target(o, target, error),
        }
    }

    /// What ACM has under an ARN; the serial number comes from the certificate itself where Describe tells none.
    async fn installed(&self, o: &mut Observed, target: &str, arn: &CertificateArn) {
        let Some((aws, _)) = self.place(o, target).await else { return };
        let installed = match aws.describe_certificate(arn).await {
            Ok(description) => match description.serial.clone() {
                Some(serial) => Ok(Some(Installed { description, serial: Some(serial) })),
                None => aws.certificate_body(arn).await.map(|body| {
                    let serial = parse_pem(&body.certificate).ok().map(|certificate| certificate.serial);
                    Some(Installed { description, serial })
                }),
            },
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        match installed {
            Ok(installed) => {
                seen(o, target).installed = Some(installed);
                o.memory.target_failures.remove(target);
            }
            Err(error) => self.fail_target(o, target, error),
        }
    }

    async fn body(&self, o: &mut Observed, target: &str, arn: &CertificateArn) {
        let Some((aws, _)) = self.place(o, target).await else { return };
        match aws.certificate_body(arn).await {
            Ok(body) => {
                seen(o, target).body = Some(parse_pem(&body.certificate).ok().map(|certificate| certificate.der));
            }
            Err(error) => self.fail_target(o, target, error),
        }
    }

    async fn import_new(&self, o: &mut Observed, name: &str) {
        let Some(target) = target_spec(o, name).cloned() else { return };
        let Some((aws, region)) = self.place(o, name).await else { return };
        let Some(material) = material(o) else { return };
        let tags = write::import_tags(o, &target);
        // The record carries one call, whatever comes of it; and none, if the way to the account took too long.
        let fresh = self.take_record(o, name).is_some_and(|stored| stored.elapsed() <= RECORD_FRESH);
        if !fresh {
            return;
        }
        self.begun().insert((o.namespace(), o.name(), name.to_owned()), self.context.clock.now());
        match aws.import_new(&region, &material, &tags).await {
            Ok(arn) => {
                tracing::info!(certificate = %o.name(), namespace = %o.namespace(), target = name, %arn, "imported under a new ARN");
                self.context.inventory.note_import(
                    &account_id(&*aws),
                    &region,
                    &arn,
                    &known_names(o),
                    &tags,
                    self.context.clock.now(),
                );
                self.begun().remove(&(o.namespace(), o.name(), name.to_owned()));
                self.imported(o, name, arn);
            }
            Err(error) => {
                if error.kind != ErrorKind::Transient {
                    self.begun().remove(&(o.namespace(), o.name(), name.to_owned()));
                    let record = entry(o, name).and_then(|t| t.pending_since.clone());
                    o.memory.refused.insert(name.to_owned(), record);
                }
                self.fail_target(o, name, error);
            }
        }
    }

    async fn reimport(&self, o: &mut Observed, name: &str, arn: CertificateArn) {
        let Some((aws, _)) = self.place(o, name).await else { return };
        let Some(material) = material(o) else { return };
        match aws.reimport(&arn, &material).await {
            Ok(()) => {
                tracing::info!(certificate = %o.name(), namespace = %o.namespace(), target = name, %arn, "imported again under its ARN");
                self.imported(o, name, arn);
            }
            Err(error) => self.fail_target(o, name, error),
        }
    }

    fn imported(&self, o: &mut Observed, target: &str, arn: CertificateArn) {
        let Some(serial) = o.current().map(|pair| pair.chain.leaf.serial.clone()) else { return };
        o.memory.imported.insert(target.to_owned(), Imported { arn, serial, at: self.context.clock.now() });
        o.memory.refused.remove(target);
        o.memory.target_failures.remove(target);
        seen(o, target).installed = None;
    }

    async fn retag(&self, o: &mut Observed, target: &str, arn: &CertificateArn, add: Tags, remove: Vec<String>) {
        let Some((aws, _)) = self.place(o, target).await else { return };
        let added = if add.is_empty() { Ok(()) } else { aws.add_tags(arn, &add).await };
        let removed = match added {
            Ok(()) if !remove.is_empty() => aws.remove_tags(arn, &remove).await,
            other => other,
        };
        match removed {
            Ok(()) => {
                let tags = seen(o, target).tags.get_or_insert_default().get_or_insert_default();
                tags.extend(add);
                tags.retain(|key, _| !remove.contains(key));
                self.context.inventory.note_tags(arn, tags);
            }
            Err(error) => self.fail_target(o, target, error),
        }
    }

    async fn delete_from_acm(&self, o: &mut Observed, target: &str, arn: CertificateArn) {
        let Some((aws, _)) = self.place(o, target).await else { return };
        // What was known of its tags may be old: somebody may have taken it over since.
        let tags = aws.tags(&arn).await;
        if let Ok(tags) = &tags
            && !write::ownership_tags(o, target).iter().all(|(key, value)| tags.get(key) == Some(value))
        {
            self.context.inventory.note_tags(&arn, tags);
            let known = entry(o, target).and_then(|t| t.arn.as_ref()) == Some(&arn);
            let view = seen(o, target);
            if let Some(Lookup::Found(found)) = &mut view.lookup {
                found.retain(|(summary, _)| summary.arn != arn);
            }
            if known {
                view.tags = Some(Some(tags.clone()));
            }
            return;
        }
        let deleted = match tags {
            Ok(_) => aws.delete_certificate(&arn).await,
            Err(error) => Err(error),
        };
        match deleted {
            Err(error) if error.kind != ErrorKind::NotFound => self.fail_target(o, target, error),
            Ok(()) | Err(_) => {
                tracing::info!(certificate = %o.name(), namespace = %o.namespace(), target, %arn, "deleted from ACM");
                self.context.inventory.note_gone(&arn);
                let stored = o.certificate.status.iter().flat_map(|s| &s.targets).find(|t| t.name == target);
                let known = stored.and_then(|t| t.arn.as_ref()) == Some(&arn);
                let imported = o.memory.imported.get(target).is_some_and(|i| i.arn == arn);
                if imported {
                    o.memory.imported.remove(target);
                }
                let view = seen(o, target);
                if let Some(Lookup::Found(found)) = &mut view.lookup {
                    found.retain(|(summary, _)| summary.arn != arn);
                }
                if known || imported {
                    view.tags = Some(None);
                }
            }
        }
    }

    async fn stage(
        &self,
        o: &mut Observed,
        revision: i64,
        algorithm: KeyAlgorithm,
        keep_key: bool,
    ) -> Result<(), kube::Error> {
        let key = if keep_key { kept_key(o) } else { generate(algorithm).await };
        o.memory.unstaged = None;
        match key.and_then(|key| write::staged(o, revision, &key)) {
            Err(message) => o.authority = Some(Err(Refusal { reason: "InvalidSubject", message })),
            Ok(secret) => match self.context.put_secret(&secret).await {
                Ok(staged) => {
                    o.staged.insert(revision, Some(staged));
                }
                // An earlier pass made it, or somebody else: what is there decides.
                Err(kube::Error::Api(status)) if status.is_already_exists() => self.see_staged(o, revision).await?,
                Err(error) => return Err(error),
            },
        }
        Ok(())
    }

    async fn see_staged(&self, o: &mut Observed, revision: i64) -> Result<(), kube::Error> {
        let staged = self.context.secret(&o.namespace(), &staged_name(&o.name(), revision)).await?;
        o.staged.insert(revision, staged);
        Ok(())
    }

    async fn request(&self, o: &mut Observed, revision: i64, trigger: &str) -> Result<(), kube::Error> {
        let Some(request) = write::request(o, revision, trigger, self.context.clock.now()) else {
            // A staged Secret without a CSR is of no use to anybody.
            self.delete_staged(o, revision).await?;
            o.staged.remove(&revision);
            return Ok(());
        };
        let api: Api<CertificateRequest> = Api::namespaced(self.context.client.clone(), &o.namespace());
        let stored = match api.create(&PostParams::default(), &request).await {
            Err(kube::Error::Api(status)) if status.is_already_exists() => api.get(&request.name_any()).await,
            other => other,
        };
        o.requests.insert(revision, Arc::new(stored?));
        Ok(())
    }

    async fn delete_staged(&self, o: &mut Observed, revision: i64) -> Result<(), kube::Error> {
        let uid = o.staged.get(&revision).and_then(|s| s.as_ref()).and_then(|s| s.version().0);
        self.context.delete_secret(&o.namespace(), &staged_name(&o.name(), revision), uid).await?;
        o.staged.insert(revision, None);
        o.memory.unstaged = Some(revision);
        Ok(())
    }

    async fn delete_request(&self, o: &mut Observed, name: &str) -> Result<(), kube::Error> {
        let api: Api<CertificateRequest> = Api::namespaced(self.context.client.clone(), &o.namespace());
        let uid = o.requests.values().find(|r| r.name_any() == name).and_then(|r| r.uid());
        let preconditions = Some(Preconditions { uid, resource_version: None });
        match api.delete(name, &DeleteParams { preconditions, ..DeleteParams::default() }).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            other => drop(other?),
        }
        o.requests.retain(|_, request| request.name_any() != name);
        Ok(())
    }

    /// Sets or takes away our finalizer; the others stay. The resourceVersion guards them.
    async fn finalizer(&self, o: &mut Observed, wanted: bool) -> Result<(), kube::Error> {
        let mut finalizers: Vec<String> =
            o.certificate.finalizers().iter().filter(|f| *f != FINALIZER).cloned().collect();
        if wanted {
            finalizers.push(FINALIZER.to_owned());
        }
        let patch =
            json!({ "metadata": { "finalizers": finalizers, "resourceVersion": o.certificate.resource_version() } });
        let api: Api<Certificate> = Api::namespaced(self.context.client.clone(), &o.namespace());
        o.certificate = Arc::new(api.patch(&o.name(), &PatchParams::default(), &Patch::Merge(&patch)).await?);
        Ok(())
    }

    fn take_record(&self, o: &mut Observed, target: &str) -> Option<Instant> {
        seen(o, target).record_age = None;
        let key = (o.uid(), target.to_owned());
        self.records.lock().unwrap_or_else(PoisonError::into_inner).remove(&key)
    }

    fn begun(&self) -> MutexGuard<'_, HashMap<(String, String, String), Timestamp>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was seen of a target.
fn seen<'a>(o: &'a mut Observed, target: &str) -> &'a mut TargetObserved {
    o.targets.entry(target.to_owned()).or_default()
}

fn target_spec<'a>(o: &'a Observed, name: &str) -> Option<&'a Target> {
    o.certificate.spec.acm.iter().find(|t| t.name == name)
}

fn entry<'a>(o: &'a Observed, name: &str) -> Option<&'a TargetStatus> {
    o.certificate.status.as_ref()?.targets.iter().find(|t| t.name == name)
}

/// Where a target lies: by the spec or, if it is gone from there, by the status.
fn located(o: &Observed, name: &str) -> Option<(String, Region)> {
    if let Some(target) = target_spec(o, name) {
        let (account, region) = o.place(target);
        return Some((account.to_owned(), region.clone()));
    }
    let status = o.certificate.status.as_ref()?;
    status.targets.iter().find(|t| t.name == name).map(|t| (t.account.clone(), t.region.clone()))
}

/// The DNS names by which ACM may know the certificate: those it has and those it should have.
fn known_names(o: &Observed) -> Vec<String> {
    let subject = &o.certificate.spec.subject;
    let mut names: Vec<String> = std::iter::once(&subject.domain_name)
        .chain(&subject.additional_names)
        .map(|n| n.to_ascii_lowercase())
        .collect();
    if let Some(pair) = o.current() {
        names.extend(pair.chain.leaf.names.dns.iter().cloned());
    }
    names.sort();
    names.dedup();
    names
}

fn material(o: &Observed) -> Option<Material> {
    let pair = o.current()?;
    Some(Material {
        certificate: pair.chain.leaf.to_pem(),
        private_key: pair.key.to_acm_pem(),
        chain: pair.chain.acm_chain(),
    })
}

fn kept_key(o: &Observed) -> Result<PrivateKey, String> {
    let pair = o.current().ok_or("the key in the Secret can't be used")?;
    PrivateKey::from_pem(&pair.key.to_pkcs8_pem()).map_err(|e| e.to_string())
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
        Observed {
            cluster: self.context.cluster.clone(),
            certificate,
            accounts,
            namespace_labels: None,
            namespace_ends: false,
            sessions: BTreeMap::new(),
            authority: None,
            secret: None,
            pair: None,
            claimed_by,
            requests: BTreeMap::new(),
            staged: BTreeMap::new(),
            targets,
            memory,
            failed: false,
        }
    }

    fn decide(&self, o: &mut Observed, now: Timestamp) -> Decision<CertificateStatus, Read, Write> {
        let (uid, namespace, own) = (o.uid(), o.namespace(), o.name());
        let (records, begun) = (self.records.lock().unwrap_or_else(PoisonError::into_inner), self.begun());
        for (name, view) in &mut o.targets {
            view.record_age = records.get(&(uid.clone(), name.clone())).map(Instant::elapsed);
            view.begun = begun.get(&(namespace.clone(), own.clone(), name.clone())).copied();
        }
        drop((records, begun));
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
                match self
                    .context
                    .authority(&*aws, &spec.region, &spec.source.private_ca.certificate_authority, false)
                    .await
                {
                    Ok(authority) => {
                        o.authority = Some(authority);
                        o.memory.failure = None;
                    }
                    Err(error) => self.fail(o, error),
                }
            }
            Read::Secret => {
                let secret = self.context.secret(&o.namespace(), &o.certificate.spec.secret.name).await?;
                self.see_secret(o, secret);
            }
            Read::Staged(revision) => self.see_staged(o, revision).await?,
            Read::Lookup(target, newer_than) => self.lookup(o, &target, newer_than).await,
            Read::Tags(target, arn) => self.tags(o, &target, &arn).await,
            Read::Installed(target, arn) => self.installed(o, &target, &arn).await,
            Read::Body(target, arn) => self.body(o, &target, &arn).await,
        }
        Ok(())
    }

    async fn write(&self, o: &mut Observed, write: Write) -> Result<(), kube::Error> {
        match write {
            Write::Finalizer(wanted) => self.finalizer(o, wanted).await?,
            Write::Stage { revision, algorithm, keep_key } => self.stage(o, revision, algorithm, keep_key).await?,
            Write::Request { revision, trigger } => self.request(o, revision, trigger).await?,
            Write::Secret(revision) => match write::issued(o, revision, self.context.clock.now()) {
                Ok(secret) => {
                    let stored = self.context.put_secret(&secret).await?;
                    self.see_secret(o, Some(stored));
                }
                Err(message) => o.authority = Some(Err(Refusal { reason: "RequestUnusable", message })),
            },
            Write::SecretMetadata => {
                if let Some(secret) = write::with_metadata(o) {
                    let stored = self.context.put_secret(&secret).await?;
                    self.see_secret(o, Some(stored));
                }
            }
            Write::DeleteStaged(revision) => self.delete_staged(o, revision).await?,
            Write::DeleteRequest(name) => self.delete_request(o, &name).await?,
            Write::ImportNew(target) => self.import_new(o, &target).await,
            Write::Reimport(target, arn) => self.reimport(o, &target, arn).await,
            Write::Retag(target, arn, add, remove) => self.retag(o, &target, &arn, add, remove).await,
            Write::DeleteFromAcm(target, arn) => self.delete_from_acm(o, &target, arn).await,
        }
        Ok(())
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
        // What the status holds now needs no memory.
        let in_status = |name: &str, imported: &Imported| {
            let entry = certificate.status.as_ref().and_then(|s| s.targets.iter().find(|t| t.name == name));
            entry.is_some_and(|t| {
                t.arn.as_ref() == Some(&imported.arn)
                    && t.serial_number.as_deref() == Some(&*imported.serial.to_string())
            })
        };
        o.memory.imported.retain(|name, imported| !in_status(name, imported));
        o.certificate = certificate;
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
