//! Decides about a CertificateRequest: one signature, paid for once.

pub mod attempt;
mod fetch;
mod plan;
#[cfg(test)]
mod tests;
mod trouble;
pub mod write;

pub use fetch::pause;
pub use plan::{Plan, algorithm, token};

use super::{
    Decision, Event, Step,
    access::{Access, Labels, Refusal, UNTIL_IT_PASSES, access},
    authority::{self, KnownAuthority},
    backoff::{FOR_A_PERSON, Failure},
    secret::{Claim, SecretObject},
    spending::{BUDGET_SPENT, Spent},
};
use crate::{
    api::{
        AwsAccount, CertificateRequest,
        conditions::{APPROVED, Finding, READY, STALLED, conditions, is_true},
        names::{AccountId, IssuedArn},
        request::CertificateRequestStatus,
    },
    aws::port::PemChain,
    pki::{algorithm::KeyAlgorithm, chain::Chain, csr::Csr},
    text::counted,
};
use attempt::Turn;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::sync::Arc;

/// The reason of the event that tells of an attempt which may have been paid for in vain.
pub const ATTEMPT_REPEATED: &str = "AttemptRepeated";
/// Objects younger than this do not complain yet that another object is missing: it may come with the same `kubectl apply`.
///
/// Times of creation are cut to the second: it is two to three of them.
pub const PATIENCE: SignedDuration = SignedDuration::from_secs(3);
/// How old an object is, as far as [`PATIENCE`] with it goes. One that was created in a time to come is old: the clock was set back.
#[must_use]
pub fn age(created: Option<Timestamp>, now: Timestamp) -> SignedDuration {
    let age = created.map_or(PATIENCE, |created| now.duration_since(created));
    if age < -PATIENCE { PATIENCE } else { age }
}

/// Nothing to wait for but a change.
pub const LONG: SignedDuration = SignedDuration::from_hours(8);

/// What was seen of a request and around it. `None` means: not looked at yet.
pub struct Observed {
    /// The request, as it was read or written last.
    pub request: Arc<CertificateRequest>,
    /// The account that it names, if there is one.
    pub account: Option<Arc<AwsAccount>>,
    /// The labels of its namespace.
    pub namespace_labels: Option<Labels>,
    /// Whether the account lets us in.
    pub session: Option<Result<AccountId, Refusal>>,
    /// The CA.
    pub authority: Option<Result<KnownAuthority, Refusal>>,
    /// The CA was read in this very pass, past every cache.
    pub authority_is_fresh: bool,
    /// Whether its owner, read afresh, still wants it. A request without an owner is wanted.
    pub wanted: Option<bool>,
    /// How many attempts may be made in a day; its owner says.
    pub budget: i32,
    /// The attempt that was counted for the account's budget, or why it may not be made.
    pub counted: Option<Result<i32, Spent>>,
    /// With `subject`: the Secret of that name, if there is one.
    pub secret: Option<Option<SecretObject>>,
    /// With `subject`: the key and CSR that were made for it.
    pub staged: Option<Option<SecretObject>>,
    /// What the CA signed.
    pub answer: Option<PemChain>,
    /// What this process remembers of it.
    pub memory: Memory,
    /// A call of this pass failed; `memory.failure` tells how.
    pub failed: bool,
}

/// What a process remembers of a request between passes. Losing it is harmless.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The ARN that came back. While it is not stored, nothing is issued.
    pub issued: Option<IssuedArn>,
    /// Every call of this attempt was answered by AWS with a refusal: nothing was paid for.
    pub refused: Option<i32>,
    /// A call of this attempt had no answer: it may have been paid for.
    pub lost: Option<i32>,
    /// When to ask for the certificate again.
    pub poll_at: Option<Timestamp>,
    /// How often it was asked for.
    pub polls: u32,
    /// The last failures.
    pub failure: Option<Failure>,
}

/// What to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// The labels of the namespace.
    NamespaceLabels,
    /// Whether the account lets us in.
    Session,
    /// The CA, from memory if it was seen lately.
    Authority,
    /// The CA, from AWS.
    AuthorityAgain,
    /// The owner, from the API server.
    Owner,
    /// Whether the account's budget has room for this attempt; if so, it is counted.
    Budget(i32),
    /// The Secret named `secretName`.
    Secret,
    /// The Secret with the staged key.
    Staged,
    /// The certificate.
    Answer(IssuedArn),
}

/// What to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Make a key and its CSR, and keep both in a Secret owned by the request.
    Stage(KeyAlgorithm),
    /// IssueCertificate.
    Issue(Plan),
    /// Key and certificate into the Secret named `secretName`.
    Secret,
    /// The staged key is not needed any more.
    DeleteStaged,
}

/// The name of the Secret that holds the staged key of a request.
#[must_use]
pub fn staged_name(request: &str) -> String {
    format!("{request}-key")
}

/// What comes next, before it is told in conditions.
enum Next {
    Read(Read),
    Write(Write),
    /// Store what `status` says, then go on.
    Save,
    /// Wait, and change nothing of the status: it passes by itself, soon.
    Quiet(SignedDuration),
    /// Wait, and say why.
    Wait(Refusal, SignedDuration),
    /// Wait for a person, and say why.
    Stalled(Refusal, SignedDuration),
    /// Signed, verified, stored.
    Done(Box<Chain>),
}

/// One step for a request.
#[must_use]
pub fn decide(o: &Observed, now: Timestamp) -> Decision<CertificateRequestStatus, Read, Write> {
    let before = o.request.status.clone().unwrap_or_default();
    let mut status = before.clone();
    if o.request.metadata.deletion_timestamp.is_some() || is_true(&before.conditions, READY) {
        return Decision { step: Step::Rest(LONG), status, events: vec![] };
    }
    let next = next(o, &mut status, now);
    let approved = || Finding::yes(APPROVED, "Automatic", "The account approves requests by itself");
    let told = |reason: &'static str, message: &str| Finding::no(READY, reason, message);
    let (step, findings) = match next {
        Next::Read(read) => (Step::Read(read), None),
        Next::Write(write) => (Step::Write(write), None),
        Next::Quiet(wait) => (Step::Rest(wait), None),
        Next::Save => {
            let message = "The private CA was asked to sign; the certificate is fetched as soon as it is there";
            (Step::SaveStatus, Some(vec![told("Issuing", message), approved()]))
        }
        Next::Wait(why, wait) => (Step::Rest(wait), Some(vec![told(why.reason, &why.message)])),
        Next::Stalled(why, wait) => {
            let findings = vec![told(why.reason, &why.message), Finding::yes(STALLED, why.reason, why.message)];
            (Step::Rest(wait), Some(findings))
        }
        Next::Done(chain) => {
            let leaf = &chain.leaf;
            status.certificate = Some(leaf.to_pem());
            status.chain = chain.acm_chain();
            status.serial_number = Some(leaf.serial.to_string());
            status.not_before = Some(Time(leaf.not_before));
            status.not_after = Some(Time(leaf.not_after));
            let signed = Finding::yes(READY, "Signed", format!("Signed with serial number {}", leaf.serial));
            (Step::Rest(LONG), Some(vec![signed, approved()]))
        }
    };
    if let Some(findings) = findings {
        let generation = o.request.metadata.generation.unwrap_or_default();
        status.observed_generation = Some(generation);
        status.conditions = conditions(&before.conditions, &findings, generation, now);
    }
    let events = events(&o.request, &before, &status);
    Decision { step, status, events }
}

fn next(o: &Observed, status: &mut CertificateRequestStatus, now: Timestamp) -> Next {
    let spec = &o.request.spec;
    if o.failed
        && let Some(failure) = &o.memory.failure
    {
        let next = trouble::next(o, failure, now, status.conditions.is_empty());
        // A refusal is remembered by taking the record away: nothing is owed to it.
        let attempt = status.attempt.as_ref().map(|a| a.number);
        if attempt.is_some() && attempt == o.memory.refused && matches!(next, Next::Wait(..) | Next::Stalled(..)) {
            status.attempt = None;
        }
        return next;
    }
    if let Err(why) = plan::check(spec) {
        return Next::Stalled(why, LONG);
    }
    if spec.signature.is_none() {
        let message = "The request is made and waits for its signature: add spec.signature to have it signed";
        return Next::Wait(Refusal { reason: "WaitingForSignature", message: message.into() }, LONG);
    }
    if let Some(next) = blocked_by_account(o, now) {
        return next;
    }
    let authority = match &o.authority {
        None => return Next::Read(Read::Authority),
        Some(Err(why)) => return Next::Stalled(why.clone(), FOR_A_PERSON),
        Some(Ok(authority)) => authority,
    };
    let csr = match csr(o, authority) {
        Ok(csr) => csr,
        Err(next) => return *next,
    };
    match status.certificate_arn.clone().or_else(|| o.memory.issued.clone()) {
        None => issue(o, status, authority, &csr, now),
        Some(arn) if status.certificate_arn.is_none() => {
            status.certificate_arn = Some(arn);
            Next::Save
        }
        Some(arn) => fetch::next(o, &arn, authority, &csr, now),
    }
}

fn blocked_by_account(o: &Observed, now: Timestamp) -> Option<Next> {
    let spec = &o.request.spec;
    let namespace = o.request.metadata.namespace.as_deref().unwrap_or_default();
    let age = age(o.request.metadata.creation_timestamp.as_ref().map(|t| t.0), now);
    match access(o.account.as_deref(), &spec.account_ref.name, namespace, o.namespace_labels.as_ref(), &spec.region) {
        Access::NeedsLabels => Some(Next::Read(Read::NamespaceLabels)),
        Access::Refused(_) if age < PATIENCE => Some(Next::Quiet(PATIENCE - age)),
        Access::Refused(why) => Some(Next::Stalled(why, FOR_A_PERSON)),
        Access::Granted => match &o.session {
            None => Some(Next::Read(Read::Session)),
            Some(Err(_)) if age < PATIENCE => Some(Next::Quiet(PATIENCE - age)),
            Some(Err(why)) if why.passes() => Some(Next::Wait(why.clone(), UNTIL_IT_PASSES)),
            Some(Err(why)) => Some(Next::Stalled(why.clone(), FOR_A_PERSON)),
            Some(Ok(_)) => None,
        },
    }
}

/// The CSR to sign: the one of the spec, or the one staged with the key that the operator made.
fn csr(o: &Observed, authority: &KnownAuthority) -> Result<Csr, Box<Next>> {
    let spec = &o.request.spec;
    let refused = |reason, message| Box::new(Next::Stalled(Refusal { reason, message }, LONG));
    let parse = |pem: &str| Csr::parse(pem).map_err(|e| refused("InvalidCsr", format!("spec.csr: {e}")));
    if let Some(pem) = &spec.csr {
        return parse(pem);
    }
    let name = spec.secret_name.as_deref().unwrap_or_default();
    match &o.secret {
        None => return Err(Box::new(Next::Read(Read::Secret))),
        Some(Some(secret)) if secret.claim_of_request(&o.request) == Claim::Foreign => {
            let message = format!(
                "the Secret {name:?} belongs to something else and is left alone: delete it, or choose another secretName"
            );
            return Err(Box::new(Next::Stalled(Refusal { reason: "SecretConflict", message }, FOR_A_PERSON)));
        }
        Some(Some(secret)) if let Some(why) = secret.takes_nothing() => {
            let message = format!("the Secret {name:?} can't be written: {why}");
            return Err(Box::new(Next::Stalled(Refusal { reason: "SecretConflict", message }, FOR_A_PERSON)));
        }
        Some(_) => {}
    }
    // The Secret is written before the staged key is deleted: then the CSR is that of the key in the Secret.
    let staged = match &o.staged {
        None => return Err(Box::new(Next::Read(Read::Staged))),
        // A key that was made for something else is neither signed nor copied, and not deleted.
        Some(Some(staged)) if !staged.is_owned_by(o.request.metadata.uid.as_deref().unwrap_or_default()) => {
            let message = format!(
                "the Secret {:?}, where the key waits for its certificate, belongs to something else and is left alone: \
                 delete it, or make a request of another name",
                staged_name(o.request.metadata.name.as_deref().unwrap_or_default())
            );
            return Err(Box::new(Next::Stalled(Refusal { reason: "SecretConflict", message }, FOR_A_PERSON)));
        }
        Some(Some(staged)) => staged.text("tls.csr"),
        Some(None) => {
            let ours = |s: &&SecretObject| s.claim_of_request(&o.request) == Claim::Ours;
            o.secret.as_ref().and_then(|s| s.as_ref()).filter(ours).and_then(|s| s.text("tls.csr"))
        }
    };
    match staged {
        Some(pem) => parse(&pem),
        None => match algorithm(spec.private_key.as_ref(), authority) {
            Ok(algorithm) => Err(Box::new(Next::Write(Write::Stage(algorithm)))),
            Err(message) => Err(refused("InvalidKey", message)),
        },
    }
}

fn issue(
    o: &Observed,
    status: &mut CertificateRequestStatus,
    authority: &KnownAuthority,
    csr: &Csr,
    now: Timestamp,
) -> Next {
    let turn = attempt::turn(&o.request, o.memory.refused, now);
    let not_after = match &turn {
        Turn::Wait(wait) => {
            let message = "IssueCertificate was called and its answer is not known; it may have been paid for, so it is asked again only after a while";
            return Next::Wait(Refusal { reason: "AnswerUnknown", message: message.into() }, *wait);
        }
        Turn::Record(attempt) | Turn::Call(attempt) => attempt.not_after.0,
    };
    if let Some(why) = authority::problem(&authority.authority, now, not_after) {
        return Next::Stalled(why, FOR_A_PERSON);
    }
    // Before an attempt is recorded: what can't be asked for was not asked for.
    if let Err(why) = plan::plan(&o.request, &authority.authority, csr, not_after) {
        return Next::Stalled(why, LONG);
    }
    match o.wanted {
        None => return Next::Read(Read::Owner),
        Some(false) => {
            let message = "The Certificate that made this request does not want it any more, or its key is gone; nothing more is issued for it";
            return Next::Wait(Refusal { reason: "Superseded", message: message.into() }, LONG);
        }
        Some(true) => {}
    }
    match turn {
        Turn::Record(attempt) => {
            if let Some(until) = attempt::over_budget(&o.request, &attempt, o.budget, now) {
                let message = format!(
                    "IssueCertificate was called {} without an answer that could be stored, and each may have been paid for: the \
                     budget of the day is spent; it is called again at {}, or at once with a greater spec.budget.issuesPerDay of the \
                     Certificate",
                    counted(attempt.number.saturating_sub(1), "time"),
                    crate::api::conditions::whole_seconds(until)
                );
                let why = Refusal { reason: BUDGET_SPENT, message };
                return Next::Stalled(why, until.duration_since(now).min(FOR_A_PERSON));
            }
            if let Some(next) = uncounted(o, attempt.number, now) {
                return next;
            }
            status.attempt = Some(attempt);
            Next::Save
        }
        Turn::Call(attempt) if let Some(next) = uncounted(o, attempt.number, now) => next,
        Turn::Call(attempt) => match plan::plan(&o.request, &authority.authority, csr, attempt.not_after.0) {
            Ok(plan) => Next::Write(Write::Issue(plan)),
            Err(why) => Next::Stalled(why, LONG),
        },
        Turn::Wait(wait) => Next::Quiet(wait),
    }
}

/// No attempt is begun that is not counted for the account's budget.
fn uncounted(o: &Observed, attempt: i32, now: Timestamp) -> Option<Next> {
    match &o.counted {
        Some(Ok(counted)) if *counted == attempt => None,
        Some(Err(spent)) => {
            let why = Refusal { reason: BUDGET_SPENT, message: spent.message(&o.request.spec.account_ref.name) };
            let rest = spent.until.duration_since(now).max(SignedDuration::from_secs(1));
            Some(Next::Stalled(why, rest))
        }
        _ => Some(Next::Read(Read::Budget(attempt))),
    }
}

/// Transitions worth an event: a new reason to be stalled, an attempt that may have been paid for in vain.
fn events(
    request: &CertificateRequest,
    before: &CertificateRequestStatus,
    after: &CertificateRequestStatus,
) -> Vec<Event> {
    let mut events = Vec::new();
    if let Some(stalled) = after.conditions.iter().find(|c| c.type_ == STALLED)
        && !before.conditions.iter().any(|c| c.type_ == STALLED && c.reason == stalled.reason)
    {
        events.push(Event { warning: true, reason: stalled.reason.clone(), note: stalled.message.clone() });
    }
    // The first attempt may have had no record but the request's creation.
    if let (Some(old), Some(new)) = (attempt::recorded(request), &after.attempt)
        && new.number > old.number
        && after.certificate_arn.is_none()
    {
        let note = format!(
            "attempt {} of {} had no answer that could be stored; it may have been paid for. Attempt {} begins",
            old.number, old.at.0, new.number
        );
        events.push(Event { warning: true, reason: ATTEMPT_REPEATED.into(), note });
    }
    events
}
