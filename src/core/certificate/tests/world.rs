//! A small world for the pure core: an API server, a private CA and an ACM that crash, lose answers and lag behind.

mod effects;
pub mod keeper;
pub mod managed;
mod requests;
pub mod shelf;
mod somebody;

use super::super::{Memory, Observed, TargetObserved, Write, adoption, decide, published};
use crate::{
    api::{AwsAccount, Certificate, CertificateRequest, names::CertificateArn, shared::Tags},
    core::{
        Event, Step,
        access::Refusal,
        fixtures::{Ca, START, account},
        secret::SecretObject,
        spending::{Ledger, Spent},
    },
    pki::certificate::{Certificate as X509, Serial},
};
use effects::to_aws;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

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
    /// The process is frozen before an import without an ARN, or a write to other people's objects, another one has its
    /// minutes, and the call gets there after all; nothing at other calls.
    Frozen,
    /// The same, and the call's answer comes too late.
    FrozenUnanswered,
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
    /// It was imported, not issued by ACM.
    pub imported: bool,
    /// What there is of one that ACM issued.
    pub managed: Option<managed::Managed>,
}

/// What a process holds and loses with its end.
#[derive(Default)]
pub struct Process {
    pub memory: BTreeMap<String, Memory>,
    /// When it stored the record of an import to come.
    pub records: BTreeMap<String, Timestamp>,
    /// When it began an import whose answer it does not know.
    pub begun: BTreeMap<String, Timestamp>,
    /// What it counts.
    pub ledger: Ledger,
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
    /// The AWS account that its credentials lead to.
    pub leads_to: &'static str,
    /// The account's budget is used up.
    pub account_spent: Option<Spent>,
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
    /// The Secret with the password of keystores.
    pub password: Option<Secret>,
    pub password_reads: usize,
    /// The running process's store has no request yet.
    pub unseen: bool,
    /// So many reads from AWS fail.
    pub deaf: usize,
    /// Why no list of what is in ACM is to be had.
    pub list_failure: Option<crate::aws::error::Kind>,
    /// ACM answers NotFound to everything about an import for so long.
    pub hidden: SignedDuration,
    /// The API server takes so long to store a status.
    pub slow_save: SignedDuration,
    /// An import under an ARN takes its tags away, as moto's does.
    pub forgetful: bool,
    /// Something takes this key out of each Secret that is written.
    pub webhook: Option<&'static str>,
    pub ca: Ca,
    /// Signatures that were paid for.
    pub paid: usize,
    /// Changes to Kubernetes or AWS.
    pub changes: usize,
    /// Imports without an ARN.
    pub new_imports: usize,
    /// What ACM has for tokens, and since when.
    pub tokens: BTreeMap<String, (Timestamp, CertificateArn)>,
    /// What keeps the operator out of the account.
    pub kept_out: Option<Refusal>,
    /// All that ACM issues, or renews, fails for this reason.
    pub acm_failure: Option<&'static str>,
    /// Certificates that ACM issued, renewals that were asked for, and exports.
    pub issued_by_acm: usize,
    pub keys_of_acm: usize,
    pub renewals: usize,
    /// When ACM was asked for what is paid for.
    pub asked_of_acm: Vec<Timestamp>,
    pub exports: usize,
    /// Reads of tags, of what is under an ARN, and of lists.
    pub tag_reads: usize,
    pub describes: usize,
    pub lists: usize,
    /// The turns to import that were asked for: when what is to be replaced ends.
    pub turns: Vec<Option<Timestamp>>,
    /// No list is made before.
    pub next_list: Timestamp,
    /// Writes to other objects that found them changed, of the step that was taken last.
    pub conflicts: usize,
    /// What people do while a process is frozen and the other one works.
    pub meanwhile: Option<fn(&mut World)>,
    /// Other people's objects.
    pub shelf: Vec<shelf::Shelved>,
    pub shelf_reads: usize,
    pub shelf_writes: usize,
    /// Other AWS accounts that hold the same certificate.
    pub held_by: BTreeSet<String>,
    /// Events that were published.
    pub events: Vec<String>,
    /// And their notes.
    pub notes: Vec<String>,
    uids: u32,
}

impl World {
    /// A world with one account, one EC CA and one Certificate that was just applied.
    pub fn new(spec: &serde_json::Value) -> Self {
        let now: Timestamp = START.parse().unwrap();
        let certificate = serde_json::from_value(json!({
            "apiVersion": "arnkeeper.dev/v1beta1", "kind": "Certificate",
            "metadata": { "name": "app", "namespace": "pay", "uid": "u0", "generation": 1, "resourceVersion": "1", "creationTimestamp": START },
            "spec": spec,
        }));
        let certificate: Certificate = certificate.unwrap();
        Self {
            now: now + SignedDuration::from_secs(2),
            certificate: certificate.clone(),
            gone: false,
            secret: None,
            staged: BTreeMap::new(),
            requests: BTreeMap::new(),
            acm: vec![],
            account: account(),
            leads_to: "111122223333",
            account_spent: None,
            process: Process::default(),
            other: Process::default(),
            stale: None,
            older: certificate,
            kept: None,
            password: None,
            password_reads: 0,
            unseen: false,
            deaf: 0,
            list_failure: None,
            hidden: SignedDuration::ZERO,
            slow_save: SignedDuration::ZERO,
            forgetful: false,
            webhook: None,
            ca: Ca::new(),
            paid: 0,
            changes: 0,
            new_imports: 0,
            tokens: BTreeMap::new(),
            kept_out: None,
            acm_failure: None,
            issued_by_acm: 0,
            keys_of_acm: 0,
            renewals: 0,
            asked_of_acm: vec![],
            exports: 0,
            tag_reads: 0,
            describes: 0,
            lists: 0,
            turns: vec![],
            next_list: Timestamp::MIN,
            conflicts: 0,
            meanwhile: None,
            shelf: vec![],
            shelf_reads: 0,
            shelf_writes: 0,
            held_by: BTreeSet::new(),
            events: vec![],
            notes: vec![],
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

    /// What a pass begins with.
    pub fn observe(&mut self) -> Observed {
        let certificate = self.stale.take().unwrap_or_else(|| self.certificate.clone());
        let (ledger, uid) = (&mut self.process.ledger, certificate.uid().unwrap());
        ledger.note_certificate(&certificate, self.now);
        let asked = ledger.asked("prod", &uid, self.now);
        let memory = self.process.memory.get(&certificate.uid().unwrap()).cloned().unwrap_or_default();
        let targets = certificate.spec.acm.iter().map(|t| (t.name.clone(), TargetObserved::default())).collect();
        Observed {
            certificate: Arc::new(certificate),
            cluster: "cluster".into(),
            accounts: BTreeMap::from([("prod".to_owned(), Some(Arc::new(self.account.clone())))]),
            namespace_labels: None,
            namespace_ends: false,
            account_spent: self.account_spent.or_else(|| self.process.ledger.spent("prod", self.now)),
            asked,
            counted: None,
            sessions: BTreeMap::new(),
            authority: None,
            secret: None,
            pair: None,
            exported: None,
            password: None,
            claimed_by: None,
            requests: BTreeMap::new(),
            read_requests: BTreeSet::new(),
            staged: BTreeMap::new(),
            targets,
            drift_interval: SignedDuration::from_hours(24),
            published: vec![],
            publish_interval: SignedDuration::from_mins(30),
            held_by: self.held_by.clone(),
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
            for target in &o.certificate.spec.acm {
                o.memory.looked.note_first(&target.name, self.now);
            }
            if !o.certificate.spec.publish.is_empty() {
                o.memory.looked.note_first(published::LOOK, self.now);
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
            let newest = self.certificate.resource_version() == o.certificate.resource_version();
            if matches!(write, Some(Write::Publish { .. })) && !newest {
                return self.end(o, SignedDuration::from_millis(500));
            }
            let frozen = matches!(fault, Fault::Frozen | Fault::FrozenUnanswered);
            if frozen && matches!(write, Some(Write::ImportNew(_) | Write::RequestNew(_) | Write::Publish { .. })) {
                self.others_turn();
            }
            let fault = if fault == Fault::FrozenUnanswered { Fault::AnswerLost } else { fault };
            let to_kubernetes = !write.as_ref().is_some_and(to_aws);
            let guarded = matches!(write, None | Some(Write::Finalizer(_) | Write::DeleteFromAcm(..)))
                || write.as_ref().is_some_and(|write| adoption::takes_over(&o, write));
            if !silent && guarded && self.certificate.resource_version() != o.certificate.resource_version() {
                return self.end(o, SignedDuration::from_millis(500));
            }
            // An API server that did not take it, or whose answer is lost, ends the pass; the object is read afresh.
            if to_kubernetes && matches!(fault, Fault::Unsent | Fault::Refused) {
                return self.end(o, SignedDuration::from_secs(1));
            }
            let (memory, records) = (o.memory.clone(), self.process.records.clone());
            if let Some(write) = write {
                self.write(&mut o, write, fault);
            } else {
                if !silent {
                    self.save(&mut o, decision.status);
                }
                self.tell(decision.events);
                o.memory.happened.clear();
            }
            if fault == Fault::CrashAfter {
                return self.crash();
            }
            if to_kubernetes && fault == Fault::AnswerLost {
                (o.memory, self.process.records) = (memory, records);
                return self.end(o, SignedDuration::from_secs(1));
            }
            if std::mem::take(&mut self.conflicts) > 0 {
                return self.end(o, SignedDuration::from_millis(500));
            }
            if self.gone {
                self.tell(std::mem::take(&mut o.memory.happened));
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

    fn tell(&mut self, events: Vec<Event>) {
        for event in events {
            self.events.push(event.reason);
            self.notes.push(event.note);
        }
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

    /// The other process works for some minutes, and the running one stands still.
    fn others_turn(&mut self) {
        fn fine() -> Fault {
            Fault::Fine
        }
        self.swap();
        loop {
            for _ in 0..6 {
                self.now += SignedDuration::from_secs(61);
                self.pass(fine);
                self.sign();
            }
            match self.meanwhile.take() {
                Some(deed) => deed(self),
                None => break,
            }
        }
        self.swap();
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
        let asked = |c: &Certificate| {
            let managed = c.status.as_ref().and_then(|s| s.managed.as_ref());
            managed.and_then(|m| m.requested.as_ref()).map(|record| record.at.0)
        };
        if let Some(at) = asked(&self.certificate).filter(|at| asked(&before) != Some(*at)) {
            o.memory.renewal = Some((at, false));
        }
        let stored = self.certificate.status.clone().unwrap_or_default();
        o.memory.imported.retain(|name, imported| {
            let entry = stored.targets.iter().find(|t| t.name == *name);
            !entry.is_some_and(|t| {
                t.arn.as_ref() == Some(&imported.arn)
                    && imported.serial.as_ref().is_none_or(|serial| t.serial_number == Some(serial.to_string()))
            })
        });
        o.certificate = Arc::new(self.certificate.clone());
    }

    /// The object gets another resourceVersion.
    pub fn touch(&mut self) {
        let version = self.certificate.resource_version().unwrap().parse::<u64>().unwrap();
        self.certificate.metadata.resource_version = Some((version + 1).to_string());
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
}
