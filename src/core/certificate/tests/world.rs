//! A small world for the pure core: an API server, a private CA and an ACM that crash, lose answers and lag behind.

use super::super::{
    FINALIZER, Imported, Installed, Lookup, Memory, Observed, Read, SLOTS, TargetObserved, Write, decide, request_name,
    still_wanted,
    write::{self, import_tags},
};
use crate::{
    api::{
        AwsAccount, Certificate, CertificateRequest,
        conditions::{Finding, READY, conditions},
        names::CertificateArn,
        request::CertificateRequestStatus,
        shared::Tags,
    },
    aws::{
        error::{AwsError, Kind},
        port::{Authority, AuthorityState, Description, Summary},
    },
    core::{Step, authority::KnownAuthority, backoff::Failure, secret::SecretObject},
    pki::{
        algorithm::KeyAlgorithm,
        certificate::{Certificate as X509, Serial, parse_pem},
        key::PrivateKey,
    },
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::Time};
use kube::ResourceExt;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, IsCa, Issuer, KeyPair, SerialNumber,
};
use serde_json::json;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use time::OffsetDateTime;

/// ACM shows an import in its list this much later.
const LAG: SignedDuration = SignedDuration::from_secs(45);

/// What happens to one call that changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    Fine,
    /// The process ends before the call is sent.
    CrashBefore,
    /// The process ends after the effect, before the answer.
    CrashAfter,
    /// The effect is there, the answer is lost.
    AnswerLost,
    /// The call never gets there.
    Unsent,
    /// AWS refuses it; at the API server like `Unsent`.
    Refused,
}

/// A certificate in the model of ACM.
#[derive(Clone, Debug)]
pub struct InAcm {
    pub arn: CertificateArn,
    pub leaf: X509,
    pub tags: Tags,
    pub created: Timestamp,
    pub in_use: bool,
}

/// What a process holds and loses with its end.
#[derive(Default)]
pub struct Process {
    pub memory: BTreeMap<String, Memory>,
    /// When it stored the record of an import to come.
    pub records: BTreeMap<String, Timestamp>,
    /// When it began an import whose answer it does not know.
    pub begun: BTreeMap<String, Timestamp>,
    /// What it imported: it knows of that before ACM's list does.
    pub own: Vec<CertificateArn>,
}

/// What a pass came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    Rested(SignedDuration),
    Crashed,
}

/// Everything there is.
pub struct World {
    pub now: Timestamp,
    pub certificate: Certificate,
    pub gone: bool,
    pub secret: Option<Secret>,
    pub staged: BTreeMap<i64, Secret>,
    pub requests: BTreeMap<i64, CertificateRequest>,
    pub acm: Vec<InAcm>,
    pub account: AwsAccount,
    /// The running process.
    pub process: Process,
    /// Another one, that does not know that it is not alone.
    pub other: Process,
    /// What the watch of the running process shows, if it is behind.
    pub stale: Option<Certificate>,
    /// The object before its last change of status.
    pub older: Certificate,
    /// A backup of the Secret.
    pub kept: Option<Secret>,
    /// So many reads from AWS fail.
    pub deaf: usize,
    /// ACM answers NotFound to everything about an import for so long.
    pub hidden: SignedDuration,
    /// The API server takes so long to store a status.
    pub slow_save: SignedDuration,
    pub authority: Authority,
    pub root: X509,
    issuer: Issuer<'static, KeyPair>,
    /// Signatures that were paid for.
    pub paid: usize,
    /// Changes to Kubernetes or AWS.
    pub changes: usize,
    /// Imports without an ARN.
    pub new_imports: usize,
    /// Events that were published.
    pub events: Vec<String>,
    uids: u32,
}

pub const START: &str = "2026-01-01T00:00:00Z";

impl World {
    /// A world with one account, one EC CA and one Certificate that was just applied.
    pub fn new(spec: &serde_json::Value) -> Self {
        let now: Timestamp = START.parse().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Example Private CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (params.not_before, params.not_after) = (date(now, -24), date(now, 24 * 3650));
        let root = params.self_signed(&key).unwrap();
        let account = serde_json::from_value(json!({
            "apiVersion": "arnkeeper.dev/v1beta1", "kind": "AwsAccount", "metadata": { "name": "prod", "uid": "a" },
            "spec": { "regions": ["eu-west-1", "us-east-1"], "allowedNamespaces": { "from": "All" } },
        }));
        let certificate = serde_json::from_value(json!({
            "apiVersion": "arnkeeper.dev/v1beta1", "kind": "Certificate",
            "metadata": { "name": "app", "namespace": "pay", "uid": "u0", "generation": 1, "resourceVersion": "1", "creationTimestamp": START },
            "spec": spec,
        }));
        let certificate: Certificate = certificate.unwrap();
        let authority = Authority {
            arn: "arn:aws:acm-pca:eu-west-1:111122223333:certificate-authority/11111111-2222-3333-4444-555555555555"
                .parse()
                .unwrap(),
            region: "eu-west-1".parse().unwrap(),
            common_name: Some("Example Private CA".into()),
            state: AuthorityState::Active,
            state_name: "ACTIVE".into(),
            algorithm: Some(KeyAlgorithm::EcPrime256v1),
            algorithm_name: "EC_prime256v1".into(),
            short_lived: false,
            not_after: Some(now + SignedDuration::from_hours(24 * 3650)),
        };
        Self {
            now: now + SignedDuration::from_secs(2),
            certificate: certificate.clone(),
            gone: false,
            secret: None,
            staged: BTreeMap::new(),
            requests: BTreeMap::new(),
            acm: vec![],
            account: account.unwrap(),
            process: Process::default(),
            other: Process::default(),
            stale: None,
            older: certificate,
            kept: None,
            deaf: 0,
            hidden: SignedDuration::ZERO,
            slow_save: SignedDuration::ZERO,
            authority,
            root: parse_pem(&root.pem()).unwrap(),
            issuer: Issuer::new(params, key),
            paid: 0,
            changes: 0,
            new_imports: 0,
            events: vec![],
            uids: 0,
        }
    }

    /// The certificates in ACM with a target's tags.
    pub fn of_target(&self, target: &str) -> Vec<&InAcm> {
        self.acm.iter().filter(|c| c.tags.get("arnkeeper.dev/target").is_some_and(|t| t == target)).collect()
    }

    /// The serial number in the Secret.
    pub fn serial(&self) -> Option<Serial> {
        let secret = SecretObject::from(self.secret.clone()?);
        secret.key_pair().ok().map(|pair| pair.chain.leaf.serial.clone())
    }

    fn observe(&mut self) -> Observed {
        let certificate = self.stale.take().unwrap_or_else(|| self.certificate.clone());
        let memory = self.process.memory.get(&certificate.uid().unwrap()).cloned().unwrap_or_default();
        let targets = certificate.spec.acm.iter().map(|t| (t.name.clone(), TargetObserved::default())).collect();
        Observed {
            certificate: Arc::new(certificate),
            cluster: "cluster".into(),
            accounts: BTreeMap::from([("prod".to_owned(), Some(Arc::new(self.account.clone())))]),
            namespace_labels: None,
            namespace_ends: false,
            sessions: BTreeMap::new(),
            authority: None,
            secret: None,
            pair: None,
            claimed_by: None,
            requests: BTreeMap::new(),
            staged: BTreeMap::new(),
            targets,
            memory,
            failed: false,
        }
    }

    /// One reconcile. `fault` is asked before each change.
    pub fn pass(&mut self, mut fault: impl FnMut() -> Fault) -> Pass {
        let mut o = self.observe();
        let mut again = 3;
        for _ in 0..200 {
            for target in &o.certificate.spec.acm {
                let age = self.process.records.get(&target.name).map(|at| self.now.duration_since(*at));
                let seen = o.targets.entry(target.name.clone()).or_default();
                seen.record_age = age.map(|age| Duration::try_from(age).unwrap_or_default());
                seen.begun = self.process.begun.get(&target.name).copied();
            }
            let decision = decide(&o, self.now);
            let (write, rest) = match decision.step {
                Step::Read(read) => {
                    self.read(&mut o, read);
                    continue;
                }
                Step::Write(write) => (Some(write), None),
                Step::SaveStatus => (None, None),
                Step::Rest(rest) => (None, Some(rest)),
            };
            let silent = write.is_none() && o.certificate.status.as_ref() == Some(&decision.status);
            let fault = if silent { Fault::Fine } else { fault() };
            if fault == Fault::CrashBefore {
                return self.crash();
            }
            let to_kubernetes = !write.as_ref().is_some_and(to_aws);
            let guarded = matches!(write, None | Some(Write::Finalizer(_)));
            if !silent && guarded && self.certificate.resource_version() != o.certificate.resource_version() {
                return self.end(o, SignedDuration::from_millis(500));
            }
            // An API server that did not take it, or whose answer is lost, ends the pass; the object is read afresh.
            if to_kubernetes && matches!(fault, Fault::Unsent | Fault::Refused) {
                return self.end(o, SignedDuration::from_secs(1));
            }
            let (memory, records) = (o.memory.clone(), self.process.records.clone());
            match write {
                Some(write) => self.write(&mut o, write, fault),
                None if !silent => {
                    self.save(&mut o, decision.status);
                    self.events.extend(decision.events.into_iter().map(|e| e.reason));
                }
                None => {}
            }
            if fault == Fault::CrashAfter {
                return self.crash();
            }
            if to_kubernetes && fault == Fault::AnswerLost {
                (o.memory, self.process.records) = (memory, records);
                return self.end(o, SignedDuration::from_secs(1));
            }
            if self.gone {
                return Pass::Rested(SignedDuration::from_hours(1));
            }
            if let Some(rest) = rest {
                if silent || again == 0 {
                    return self.end(o, rest);
                }
                again -= 1;
            }
            self.now += SignedDuration::from_millis(20);
        }
        panic!("a pass came to no end");
    }

    fn end(&mut self, o: Observed, rest: SignedDuration) -> Pass {
        self.process.memory.insert(o.uid(), o.memory);
        Pass::Rested(rest)
    }

    /// The process ends, and another begins.
    pub fn crash(&mut self) -> Pass {
        self.process = Process::default();
        self.now += SignedDuration::from_secs(3);
        Pass::Crashed
    }

    /// The other process has its turn.
    pub fn swap(&mut self) {
        std::mem::swap(&mut self.process, &mut self.other);
    }

    /// A new process begins with an object that is not the newest.
    pub fn restart_with(&mut self, stale: Certificate) {
        self.crash();
        self.stale = Some(stale);
    }

    fn save(&mut self, o: &mut Observed, status: crate::api::certificate::CertificateStatus) {
        self.changes += 1;
        let pending = |c: &Certificate, name: &str| {
            let targets = c.status.iter().flat_map(|s| &s.targets);
            targets.filter(|t| t.name == name).find_map(|t| Some((t.pending_since.clone()?, t.attempts)))
        };
        let before = self.certificate.clone();
        self.older.clone_from(&before);
        self.certificate.status = Some(status);
        self.now += self.slow_save;
        self.touch();
        for target in &self.certificate.spec.acm {
            let record = pending(&self.certificate, &target.name);
            if record.is_some() && record != pending(&before, &target.name) {
                self.process.records.insert(target.name.clone(), self.now);
            }
        }
        let stored = self.certificate.status.clone().unwrap_or_default();
        o.memory.imported.retain(|name, imported| {
            let entry = stored.targets.iter().find(|t| t.name == *name);
            !entry.is_some_and(|t| {
                t.arn.as_ref() == Some(&imported.arn)
                    && t.serial_number.as_deref() == Some(&*imported.serial.to_string())
            })
        });
        o.certificate = Arc::new(self.certificate.clone());
    }

    /// The object gets another resourceVersion.
    pub fn touch(&mut self) {
        let version = self.certificate.resource_version().unwrap().parse::<u64>().unwrap();
        self.certificate.metadata.resource_version = Some((version + 1).to_string());
    }

    /// What ACM tells of an ARN.
    fn shown(&self, arn: &CertificateArn) -> Option<&InAcm> {
        self.acm.iter().find(|c| c.arn == *arn && self.now >= c.created + self.hidden)
    }

    fn fail(o: &mut Observed, target: &str, kind: Kind) {
        let error = AwsError { kind, action: "acm:Something", code: None, message: "no".into() };
        let count = o.memory.target_failures.get(target).map_or(0, |f| f.count) + 1;
        o.memory.target_failures.insert(target.to_owned(), Failure { error, count });
        o.targets.entry(target.to_owned()).or_default().failed = true;
    }

    fn read(&mut self, o: &mut Observed, read: Read) {
        if let Read::Lookup(target, _) | Read::Tags(target, _) | Read::Installed(target, _) | Read::Body(target, _) =
            &read
            && self.deaf > 0
        {
            self.deaf -= 1;
            return Self::fail(o, target, Kind::Transient);
        }
        match read {
            Read::Namespace => o.namespace_labels = Some(BTreeMap::new()),
            Read::Session(account) => {
                o.sessions.insert(account, Ok("111122223333".parse().unwrap()));
            }
            Read::Authority => {
                o.authority = Some(Ok(KnownAuthority {
                    authority: self.authority.clone(),
                    certificate: Arc::new(self.root.clone()),
                }));
            }
            Read::Secret => self.see_secret(o),
            Read::Staged(revision) => {
                o.staged.insert(revision, self.staged.get(&revision).cloned().map(SecretObject::from));
            }
            Read::Lookup(target, newer_than) => {
                let subject = &o.certificate.spec.subject;
                let mut names: Vec<&String> =
                    std::iter::once(&subject.domain_name).chain(&subject.additional_names).collect();
                names.extend(o.current().iter().flat_map(|pair| &pair.chain.leaf.names.dns));
                let found = |c: &&InAcm| {
                    (self.now >= c.created + LAG || self.process.own.contains(&c.arn))
                        && c.leaf.names.dns.iter().any(|name| names.contains(&name))
                };
                let lookup = if self.now > newer_than {
                    Lookup::Found(self.acm.iter().filter(found).map(|c| (summary(c), c.tags.clone())).collect())
                } else {
                    Lookup::NotYet(newer_than + SignedDuration::from_secs(1))
                };
                o.targets.entry(target).or_default().lookup = Some(lookup);
            }
            Read::Tags(target, arn) => {
                let found = self.shown(&arn).map(|c| c.tags.clone());
                if found.is_none() {
                    o.memory.imported.remove(&target);
                }
                o.targets.entry(target).or_default().tags = Some(found);
            }
            Read::Installed(target, arn) => {
                let found = self.shown(&arn).map(installed);
                o.targets.entry(target).or_default().installed = Some(found);
            }
            Read::Body(target, arn) => {
                let found = self.shown(&arn).map(|c| c.leaf.der.clone());
                o.targets.entry(target).or_default().body = Some(found);
            }
        }
    }

    fn see_secret(&self, o: &mut Observed) {
        let secret = self.secret.clone().map(SecretObject::from);
        o.pair = secret.as_ref().map(SecretObject::key_pair);
        o.secret = Some(secret);
        let base = o.base_revision();
        for revision in (base - 3).max(1)..=base + SLOTS {
            if let Some(request) = self.requests.get(&revision) {
                o.requests.insert(revision, Arc::new(request.clone()));
            }
        }
    }

    fn write(&mut self, o: &mut Observed, write: Write, fault: Fault) {
        self.changes += 1;
        if to_aws(&write) && matches!(fault, Fault::AnswerLost | Fault::Unsent | Fault::Refused) {
            let target = target_of(&write);
            let new = matches!(write, Write::ImportNew(_));
            if fault == Fault::AnswerLost {
                let kept = o.memory.clone();
                self.effect(o, write);
                o.memory = kept;
                self.process.own.clear();
            }
            if new {
                self.process.records.remove(&target);
                if fault == Fault::Refused {
                    let record = o.certificate.status.iter().flat_map(|s| &s.targets).find(|t| t.name == target);
                    o.memory.refused.insert(target.clone(), record.and_then(|t| t.pending_since.clone()));
                } else {
                    self.process.begun.insert(target.clone(), self.now);
                }
            }
            Self::fail(o, &target, if fault == Fault::Refused { Kind::Refused } else { Kind::Transient });
            o.targets.entry(target).or_default().record_age = None;
        } else {
            self.effect(o, write);
        }
    }

    fn effect(&mut self, o: &mut Observed, write: Write) {
        match write {
            Write::Finalizer(wanted) => {
                self.certificate.metadata.finalizers = wanted.then(|| vec![FINALIZER.to_owned()]);
                self.gone = !wanted && self.certificate.metadata.deletion_timestamp.is_some();
                self.touch();
                o.certificate = Arc::new(self.certificate.clone());
            }
            Write::Stage { revision, algorithm, keep_key } => {
                let key = if keep_key {
                    PrivateKey::from_pem(&o.current().unwrap().key.to_pkcs8_pem()).unwrap()
                } else {
                    PrivateKey::generate(algorithm).unwrap()
                };
                let staged = write::staged(o, revision, &key).unwrap();
                let object = self.staged.entry(revision).or_insert_with(|| staged.object().clone()).clone();
                o.staged.insert(revision, Some(object.into()));
                o.memory.unstaged = None;
            }
            Write::Request { revision, trigger } => {
                let mut request = write::request(o, revision, trigger, self.now).unwrap();
                self.uids += 1;
                request.metadata.uid = Some(format!("request-{}", self.uids));
                request.metadata.creation_timestamp = Some(Time(self.now));
                let stored = self.requests.entry(revision).or_insert(request).clone();
                assert_eq!(stored.name_any(), request_name("app", revision));
                o.requests.insert(revision, Arc::new(stored));
            }
            Write::Secret(revision) => {
                let secret = write::issued(o, revision, self.now).unwrap();
                self.put(o, &secret);
            }
            Write::SecretMetadata => {
                let secret = write::with_metadata(o).unwrap();
                self.put(o, &secret);
            }
            Write::DeleteStaged(revision) => {
                self.staged.remove(&revision);
                o.staged.insert(revision, None);
                o.memory.unstaged = Some(revision);
            }
            Write::DeleteRequest(name) => {
                self.requests.retain(|_, request| request.name_any() != name);
                o.requests.retain(|_, request| request.name_any() != name);
            }
            Write::ImportNew(target) => self.import_new(o, &target),
            Write::Reimport(target, arn) => {
                let leaf = o.current().unwrap().chain.leaf.clone();
                let there = self.acm.iter_mut().find(|c| c.arn == arn).unwrap();
                let accepted =
                    there.leaf.algorithm == leaf.algorithm && !there.leaf.names.dns.is_disjoint(&leaf.names.dns);
                assert!(accepted, "paid for in vain: ACM takes no other key, and wants a domain to stay");
                there.leaf = leaf;
                self.imported(o, &target, arn);
            }
            Write::Retag(target, arn, add, remove) => {
                let there = self.acm.iter_mut().find(|c| c.arn == arn).unwrap();
                there.tags.extend(add);
                there.tags.retain(|key, _| !remove.contains(key));
                o.targets.entry(target).or_default().tags = Some(Some(there.tags.clone()));
            }
            Write::DeleteFromAcm(target, arn) => {
                self.acm.retain(|c| c.arn != arn);
                let stored = self.certificate.status.iter().flat_map(|s| &s.targets).find(|t| t.name == target);
                let known = stored.and_then(|t| t.arn.as_ref()) == Some(&arn);
                let imported = o.memory.imported.get(&target).is_some_and(|i| i.arn == arn);
                if imported {
                    o.memory.imported.remove(&target);
                }
                let seen = o.targets.entry(target).or_default();
                if let Some(Lookup::Found(found)) = &mut seen.lookup {
                    found.retain(|(summary, _)| summary.arn != arn);
                }
                if known || imported {
                    seen.tags = Some(None);
                }
            }
        }
    }

    fn put(&mut self, o: &mut Observed, secret: &SecretObject) {
        let mut object = secret.object().clone();
        object.metadata.uid.get_or_insert_with(|| "secret".into());
        self.secret = Some(object);
        self.see_secret(o);
    }

    fn import_new(&mut self, o: &mut Observed, target: &str) {
        self.new_imports += 1;
        self.process.records.remove(target);
        self.process.begun.remove(target);
        let spec = self.certificate.spec.acm.iter().find(|t| t.name == target).unwrap();
        let tags = import_tags(o, spec);
        let region = spec.region.as_ref().unwrap_or(&self.certificate.spec.region);
        let n = self.new_imports;
        let arn: CertificateArn =
            format!("arn:aws:acm:{region}:111122223333:certificate/00000000-0000-0000-0000-{n:012}").parse().unwrap();
        let leaf = o.current().unwrap().chain.leaf.clone();
        self.acm.push(InAcm { arn: arn.clone(), leaf, tags, created: self.now, in_use: false });
        self.process.own.push(arn.clone());
        self.imported(o, target, arn);
    }

    fn imported(&mut self, o: &mut Observed, target: &str, arn: CertificateArn) {
        let serial = o.current().unwrap().chain.leaf.serial.clone();
        o.memory.imported.insert(target.to_owned(), Imported { arn, serial, at: self.now });
        o.memory.target_failures.remove(target);
        o.targets.entry(target.to_owned()).or_default().installed = None;
    }

    /// The private CA and the controller of requests: signs what is wanted and not signed yet.
    pub fn sign(&mut self) {
        let revisions: Vec<i64> = self.requests.keys().copied().collect();
        for revision in revisions {
            let request = &self.requests[&revision];
            if request.status.is_some() || !still_wanted(&self.certificate, request) {
                continue;
            }
            self.paid += 1;
            let mut csr = CertificateSigningRequestParams::from_pem(request.spec.csr.as_deref().unwrap()).unwrap();
            let hours = i64::try_from(Duration::from(request.spec.duration).as_secs() / 3600).unwrap();
            (csr.params.not_before, csr.params.not_after) = (date(self.now, -1), date(self.now, hours));
            csr.params.serial_number = Some(SerialNumber::from(vec![1, 2, u8::try_from(self.paid % 256).unwrap(), 4]));
            let signed = csr.signed_by(&self.issuer).unwrap();
            let leaf = parse_pem(&signed.pem()).unwrap();
            let ready = [Finding::yes(READY, "Signed", "signed")];
            let status = CertificateRequestStatus {
                certificate: Some(signed.pem()),
                chain: Some(self.root.to_pem()),
                serial_number: Some(leaf.serial.to_string()),
                conditions: conditions(&[], &ready, 1, self.now),
                ..CertificateRequestStatus::default()
            };
            self.requests.get_mut(&revision).unwrap().status = Some(status);
        }
    }

    /// The controller of requests looks at those that are not wanted (any more).
    pub fn supersede(&mut self) {
        for request in self.requests.values_mut() {
            if request.status.is_none() && !still_wanted(&self.certificate, request) {
                let found = [Finding::no(READY, "Superseded", "nothing was issued")];
                let conditions = conditions(&[], &found, 1, self.now);
                request.status = Some(CertificateRequestStatus { conditions, ..CertificateRequestStatus::default() });
            }
        }
    }

    /// Passes without faults until a pass changes nothing and nothing is due within a minute. Returns the passes.
    pub fn converge(&mut self) -> usize {
        for n in 0..60 {
            let before = self.changes;
            let pass = self.pass(|| Fault::Fine);
            self.sign();
            self.supersede();
            match pass {
                Pass::Rested(rest) if self.gone || (before == self.changes && rest > SignedDuration::from_mins(2)) => {
                    return n;
                }
                Pass::Rested(rest) => self.now += rest.min(SignedDuration::from_mins(2)),
                Pass::Crashed => {}
            }
        }
        panic!("no convergence: {:#?}", self.certificate.status);
    }

    /// Somebody wipes the annotations of the Secret, or puts something else into it.
    pub fn spoil_secret(&mut self) {
        if let Some(data) = self.secret.as_mut().and_then(|s| s.data.as_mut()) {
            data.insert("tls.crt".into(), ByteString(b"nonsense".to_vec()));
        }
    }
}

fn to_aws(write: &Write) -> bool {
    matches!(write, Write::ImportNew(_) | Write::Reimport(..) | Write::Retag(..) | Write::DeleteFromAcm(..))
}

fn target_of(write: &Write) -> String {
    match write {
        Write::ImportNew(t) | Write::Reimport(t, _) | Write::Retag(t, ..) | Write::DeleteFromAcm(t, _) => t.clone(),
        _ => String::new(),
    }
}

fn summary(c: &InAcm) -> Summary {
    let names = c.leaf.names.dns.iter().cloned().collect();
    Summary {
        arn: c.arn.clone(),
        names,
        more_names: false,
        imported: true,
        in_use: c.in_use,
        created_at: Some(c.created),
    }
}

fn installed(c: &InAcm) -> Installed {
    let description = Description {
        serial: Some(c.leaf.serial.clone()),
        imported: true,
        algorithm: c.leaf.algorithm,
        algorithm_name: String::new(),
        key_usages: vec![],
        extended_key_usages: vec![],
        names: c.leaf.names.dns.iter().cloned().collect(),
        in_use_by: vec![],
        not_after: Some(c.leaf.not_after),
    };
    Installed { description, serial: Some(c.leaf.serial.clone()) }
}

/// `now` and some hours, as rcgen wants a time.
fn date(now: Timestamp, hours: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp((now + SignedDuration::from_hours(hours)).as_second()).unwrap()
}
