//! A small world for requests: an API server and a private CA that crash, lose answers and remember tokens for five minutes.

use super::super::{Memory, Observed, Plan, Read, Write, decide, write};
use crate::{
    api::{
        AwsAccount, CertificateRequest,
        conditions::{STALLED, is_true},
        names::IssuedArn,
    },
    aws::{
        error::{AwsError, Kind},
        port::{AuthorityState, PemChain},
    },
    core::{
        Step,
        access::Refusal,
        backoff::Failure,
        fixtures::{Ca, START, account},
        secret::SecretObject,
        spending::Ledger,
    },
    pki::key::PrivateKey,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

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
    /// AWS says no, for now.
    Throttled,
    /// AWS says no, for good.
    Refused,
}

/// A certificate in the model of the private CA.
struct Issued {
    arn: IssuedArn,
    token: String,
    at: Timestamp,
    certificate: String,
}

/// Everything there is.
pub struct World {
    pub now: Timestamp,
    pub request: CertificateRequest,
    pub account: AwsAccount,
    pub ca: Ca,
    pub secret: Option<Secret>,
    pub staged: Option<Secret>,
    pub memory: Memory,
    /// Whether the owner still wants it.
    pub wanted: bool,
    /// What the CA returns instead of the certificate.
    pub forged: Option<String>,
    /// Changes to Kubernetes.
    pub writes: usize,
    /// The reasons of the events that were told.
    pub events: Vec<String>,
    /// The CA was disabled a moment ago: only a look past every cache shows it.
    pub disabled: bool,
    /// How long the CA takes to sign.
    pub signing: SignedDuration,
    /// When the CA was asked for what it signs.
    pub fetched: Vec<Timestamp>,
    /// For the account's budget; a new process counts what stands.
    pub ledger: Ledger,
    issued: Vec<Issued>,
}

impl World {
    /// A request that was just applied.
    pub fn new(spec: &Value) -> Self {
        let request = json!({
            "apiVersion": "arnkeeper.dev/v1beta1", "kind": "CertificateRequest",
            "metadata": { "name": "app", "namespace": "pay", "uid": "r0", "generation": 1, "creationTimestamp": START },
            "spec": spec,
        });
        let start: Timestamp = START.parse().unwrap();
        Self {
            now: start + SignedDuration::from_secs(1),
            request: serde_json::from_value(request).unwrap(),
            account: account(),
            ca: Ca::new(),
            secret: None,
            staged: None,
            memory: Memory::default(),
            wanted: true,
            forged: None,
            writes: 0,
            events: vec![],
            disabled: false,
            signing: SignedDuration::from_secs(2),
            fetched: vec![],
            ledger: Ledger::default(),
            issued: vec![],
        }
    }

    /// Signatures that were paid for.
    pub fn paid(&self) -> usize {
        self.issued.len()
    }

    /// One reconcile. `fault` is asked before each change. Returns how long it rests; none: the process crashed.
    pub fn pass(&mut self, mut fault: impl FnMut() -> Fault) -> Option<SignedDuration> {
        let mut o = self.observe();
        for _ in 0..100 {
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
            let silent = write.is_none() && o.request.status.as_ref() == Some(&decision.status);
            let fault = if silent { Fault::Fine } else { fault() };
            if fault == Fault::CrashBefore {
                return self.crash();
            }
            match write {
                Some(write) => self.write(&mut o, write, fault),
                None if !silent => {
                    self.writes += 1;
                    self.request.status = Some(decision.status);
                    self.events.extend(decision.events.into_iter().map(|event| event.reason));
                    o.request = Arc::new(self.request.clone());
                }
                None => {}
            }
            if fault == Fault::CrashAfter {
                return self.crash();
            }
            if let Some(rest) = rest {
                self.memory = o.memory;
                return Some(rest);
            }
        }
        panic!("a pass came to no end");
    }

    fn crash(&mut self) -> Option<SignedDuration> {
        self.memory = Memory::default();
        self.ledger = Ledger::default();
        self.ledger.account(&self.account, self.now);
        self.ledger.note(&self.request, self.now);
        self.now += SignedDuration::from_secs(2);
        None
    }

    /// Passes without faults until one changes nothing and waits for nothing but a person.
    pub fn converge(&mut self) {
        for _ in 0..60 {
            let before = self.writes;
            match self.pass(|| Fault::Fine) {
                Some(rest) if before == self.writes && (rest > SignedDuration::from_hours(2) || self.stalled()) => {
                    return;
                }
                Some(rest) => self.now += rest,
                None => {}
            }
        }
        panic!("no convergence: {:#?}", self.request.status);
    }

    fn stalled(&self) -> bool {
        self.request.status.as_ref().is_some_and(|s| is_true(&s.conditions, STALLED))
    }

    fn observe(&self) -> Observed {
        Observed {
            request: Arc::new(self.request.clone()),
            account: Some(Arc::new(self.account.clone())),
            namespace_labels: None,
            session: None,
            authority: None,
            authority_is_fresh: false,
            wanted: None,
            budget: crate::core::request::attempt::DEFAULT_BUDGET,
            counted: None,
            secret: None,
            staged: None,
            answer: None,
            memory: self.memory.clone(),
            failed: false,
        }
    }

    fn read(&mut self, o: &mut Observed, read: Read) {
        match read {
            Read::NamespaceLabels => o.namespace_labels = Some(BTreeMap::new()),
            Read::Session => o.session = Some(Ok("111122223333".parse().unwrap())),
            Read::Authority | Read::AuthorityAgain => {
                o.authority_is_fresh = read == Read::AuthorityAgain;
                let mut known = self.ca.known();
                if self.disabled && o.authority_is_fresh {
                    known.authority.state = AuthorityState::Disabled;
                }
                o.authority = Some(Ok(known));
            }
            Read::Owner => o.wanted = Some(self.wanted),
            Read::Budget(attempt) => {
                o.counted = Some(self.ledger.take("prod", "r0", attempt, self.now).map(|()| attempt));
            }
            Read::Secret => o.secret = Some(self.secret.clone().map(SecretObject::from)),
            Read::Staged => o.staged = Some(self.staged.clone().map(SecretObject::from)),
            Read::Answer(arn) => {
                self.fetched.push(self.now);
                match self.issued.iter().find(|issued| issued.arn == arn) {
                    Some(issued) if self.now >= issued.at + self.signing => {
                        let certificate = self.forged.clone().unwrap_or_else(|| issued.certificate.clone());
                        o.answer = Some(PemChain { certificate, chain: self.ca.root.to_pem() });
                    }
                    Some(_) => o.memory.not_yet(self.now),
                    None => panic!("{arn} was never issued"),
                }
            }
        }
    }

    fn write(&mut self, o: &mut Observed, write: Write, fault: Fault) {
        match write {
            Write::Stage(algorithm) => {
                let key = PrivateKey::generate(algorithm).unwrap();
                let staged = write::staged(&o.request, &key).unwrap();
                self.writes += 1;
                self.staged.get_or_insert_with(|| staged.object().clone());
                o.staged = Some(self.staged.clone().map(SecretObject::from));
            }
            Write::Issue(plan) => self.issue(o, plan, fault),
            Write::Secret => match write::issued(o) {
                Ok(secret) => {
                    let mut object = secret.object().clone();
                    object.metadata.uid.get_or_insert_with(|| "secret".into());
                    self.writes += 1;
                    self.secret = Some(object);
                    o.secret = Some(self.secret.clone().map(SecretObject::from));
                }
                Err(message) => o.authority = Some(Err(Refusal { reason: "Failed", message })),
            },
            Write::DeleteStaged => {
                self.writes += 1;
                self.staged = None;
                o.staged = Some(None);
            }
        }
    }

    fn issue(&mut self, o: &mut Observed, plan: Plan, fault: Fault) {
        let attempt = plan.attempt;
        let kind = match fault {
            Fault::Throttled => Kind::Throttled,
            Fault::Refused => Kind::Refused,
            _ if self.disabled => Kind::Refused,
            _ => Kind::Transient,
        };
        let code = self.disabled.then(|| "InvalidStateException".to_owned());
        let answered = (kind == Kind::Transient).then(|| self.effect(plan));
        match answered {
            Some(arn) if fault != Fault::AnswerLost => {
                o.memory.issued = Some(arn);
                o.memory.failure = None;
            }
            _ => {
                let error = AwsError { kind, action: "acm-pca:IssueCertificate", code, message: "no".into() };
                if kind == Kind::Transient {
                    o.memory.lost = Some(attempt);
                }
                o.memory.refused = (o.memory.lost != Some(attempt)).then_some(attempt);
                if o.memory.refused.is_some() {
                    self.ledger.give_back("prod", "r0", attempt);
                    o.counted = None;
                }
                o.memory.failure = Some(Failure { count: 1, error });
                o.failed = true;
            }
        }
    }

    /// A token is good for five minutes (Private CA API reference, IssueCertificate).
    fn effect(&mut self, plan: Plan) -> IssuedArn {
        let fresh = |issued: &&Issued| self.now.duration_since(issued.at) < SignedDuration::from_mins(5);
        if let Some(same) = self.issued.iter().filter(fresh).find(|issued| issued.token == plan.token) {
            return same.arn.clone();
        }
        let serial = u64::try_from(self.issued.len()).unwrap() + 0x1000;
        let certificate = self.ca.sign(&plan.csr, self.now, plan.not_after, serial);
        let arn: IssuedArn = format!("{}/certificate/{serial:032x}", plan.authority).parse().unwrap();
        self.issued.push(Issued { arn: arn.clone(), token: plan.token, at: self.now, certificate });
        arn
    }
}
