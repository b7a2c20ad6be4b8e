//! Decides about a Certificate: issued, kept, delivered to ACM, renewed under the ARN it has.

pub mod acm_managed;
pub mod adoption;
pub mod budget;
mod deletion;
pub mod delivery;
mod drift;
mod held;
mod issuing;
mod observed;
mod preflight;
pub mod published;
mod publishing;
mod removed;
pub mod renewal;
mod repair;
pub mod search;
mod shown;
mod source;
mod status;
#[cfg(test)]
mod tests;
mod under_arn;
pub mod wanted;
mod watched;
pub mod windows;
pub use issuing::{REQUEST_CONFLICT, SLOTS, is_staged_by, request_name, staged_name, still_wanted};
pub mod write;
pub use deletion::left_behind;
pub use delivery::RECORD_FRESH;
use held::What;
pub use observed::{Imported, Installed, Looks, Lookup, Memory, Observed, Read, TargetObserved, Write};

use super::{
    Decision, Step,
    access::{Access, Refusal, UNTIL_IT_PASSES, access},
    backoff::{FOR_A_PERSON, Failure},
    request::{LONG, PATIENCE, age},
    secret::{Claim, SecretObject},
};
use crate::{
    api::{
        CertificateRequest, RENEW_ANNOTATION,
        certificate::{CertificateStatus, DeletionPolicy, TargetStatus},
        names::Region,
    },
    aws::port::Summary,
};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

/// The finalizer, there only while something in AWS has to be undone.
pub const FINALIZER: &str = "arnkeeper.dev/acm";
/// The Secret in use is read again after about this long (nothing may watch the Secrets of a whole cluster).
const SECRET_INTERVAL: SignedDuration = SignedDuration::from_mins(30);

/// No Certificate gets so many revisions in earnest.
const MOST_REVISIONS: i64 = 1_000_000_000;

/// A revision that was read is a hint that somebody may have written; 0 if it can't be.
fn believed(revision: Option<i64>) -> i64 {
    revision.filter(|r| (0..=MOST_REVISIONS).contains(r)).unwrap_or(0)
}

/// What comes next, before it is told in conditions.
enum Next {
    Read(Read),
    Write(Write),
    /// Store the status, then go on.
    Save,
    /// Wait, and say nothing: it passes by itself, soon.
    Quiet(SignedDuration),
    /// Wait, and say why.
    Wait(Refusal, SignedDuration),
    /// Wait for a person, and say why.
    Stalled(Refusal, SignedDuration),
    /// Nothing to do until then.
    Settled(SignedDuration),
}

impl Next {
    /// A step, as opposed to a rest.
    fn is_step(&self) -> bool {
        matches!(self, Self::Read(_) | Self::Write(_) | Self::Save)
    }
}

/// One step for a Certificate.
#[must_use]
pub fn decide(o: &Observed, now: Timestamp) -> Decision<CertificateStatus, Read, Write> {
    let mut decision = step(o, now);
    shown::note(o, &mut decision.status);
    decision
}

fn step(o: &Observed, now: Timestamp) -> Decision<CertificateStatus, Read, Write> {
    let before = o.certificate.status.clone().unwrap_or_default();
    let mut after = before.clone();
    delivery::nothing_to_come(&mut after, now);
    if o.certificate.spec.is_observed() {
        return watched::decide(o, before, now);
    }
    if watched::was_watched(&before) {
        return Decision { step: Step::SaveStatus, status: watched::begun_anew(o, before), events: vec![] };
    }
    if o.certificate.metadata.deletion_timestamp.is_some() {
        let step = deletion::next(o, &mut after, now);
        return Decision { step, status: after, events: o.memory.happened.clone() };
    }
    if o.is_managed() {
        return acm_managed::decide(o, &before, after, now);
    }
    let issuance = if o.certificate.spec.source_secret().is_some() { source::next(o, now) } else { issuance(o, now) };
    // A renewal that waits does not keep the certificate that is there from its targets.
    let mut delivery =
        if !issuance.is_step() && delivers(o) { delivery::next(o, &mut after, now) } else { delivery::Outcome::idle() };
    let left = std::mem::take(&mut delivery.left);
    let publishing = if !issuance.is_step() && !delivery.next.is_step() && delivers(o) {
        publishing::next(o, &mut after, now)
    } else {
        Next::Settled(LONG)
    };
    let step = status::tell(o, &before, &mut after, &issuance, delivery, &publishing, now);
    let mut events = status::events(&before, &after);
    // Told with the status that does not name the target any more, so once.
    events.extend(left.into_iter().filter(|(name, _)| entry(&after, name).is_none()).map(|(_, event)| event));
    events.extend(o.memory.happened.iter().cloned());
    Decision { step, status: after, events }
}

/// Whether there is a certificate to deliver, and leave to do so.
fn delivers(o: &Observed) -> bool {
    let spec = &o.certificate.spec;
    if spec.source_secret().is_none() {
        return spec.enabled && o.current().is_some() && owned(o);
    }
    // Of a source that can't be used nothing is delivered, but a target that is gone from the spec goes.
    let began = o.certificate.status.as_ref().is_some_and(|s| !s.targets.is_empty());
    spec.enabled && (began || o.current().is_some())
}

fn owned(o: &Observed) -> bool {
    let secret = o.secret.as_ref().and_then(|s| s.as_ref());
    secret.is_some_and(|s| s.claim_of_certificate(&o.name()) == Claim::Ours)
}

/// The way to a current certificate in the Secret.
fn issuance(o: &Observed, now: Timestamp) -> Next {
    let spec = &o.certificate.spec;
    let wants_finalizer = deletion::needs_finalizer(&o.certificate);
    if wants_finalizer != o.certificate.finalizers().iter().any(|f| f == FINALIZER) {
        return Next::Write(Write::Finalizer(wants_finalizer));
    }
    if o.failed
        && let Some(failure) = &o.memory.failure
    {
        return failed(failure, o.is_untold());
    }
    let Some(secret) = &o.secret else { return Next::Read(Read::Secret) };
    if !spec.enabled {
        return Next::Settled(LONG);
    }
    if let Some(next) = secret_is_taken(o, secret.as_ref()) {
        return next;
    }
    if let What::Ask(revision) = held::held(o).what {
        return Next::Read(Read::Request(revision));
    }
    if let Some(next) = repair::next(o, now) {
        return next;
    }
    if let Some(trigger) = wanted::trigger(o, now) {
        if let Some(why) = secret.as_ref().and_then(SecretObject::takes_nothing) {
            let message = format!("the Secret {:?} can't be written: {why}", spec.secret.name);
            return Next::Stalled(Refusal { reason: "SecretConflict", message }, FOR_A_PERSON);
        }
        if let Some(next) = budget::brake(o, &trigger, now) {
            return next;
        }
        // Before the first certificate is paid for; a renewal does not wait for a password.
        match password(o) {
            Some(next @ Next::Read(_)) => return next,
            Some(next) if trigger == wanted::Trigger::First => return next,
            _ => {}
        }
        return match account_in_the_way(o, &spec.account_ref.name, &spec.region, now) {
            Some(next) => next,
            None => issuing::next(o, &trigger, now),
        };
    }
    let revision = o.base_revision();
    let stored = o.certificate.status.as_ref().and_then(|s| s.revision);
    if stored != Some(revision) && o.memory.unstaged != Some(revision) {
        match o.staged.get(&revision) {
            None => return Next::Read(Read::Staged(revision)),
            // With its owner goes the key: one write instead of two.
            Some(Some(staged))
                if let Some((_, old)) = issuing::owner_of(o, staged).filter(|(r, old)| is_old(o, *r, old, now)) =>
            {
                return Next::Write(Write::DeleteRequest(old.name_any()));
            }
            Some(Some(staged)) if is_staged_by(o, staged) => return Next::Write(Write::DeleteStaged(revision)),
            Some(_) => {}
        }
    }
    if held::is_unnoted(o) {
        return Next::Save;
    }
    let password = password(o);
    if let Some(read @ Next::Read(_)) = password {
        return read;
    }
    if write::metadata_differs(o) || write::keystores_differ(o) {
        return Next::Write(Write::SecretMetadata);
    }
    if let Some((_, old)) = o.requests.iter().find(|(r, request)| is_old(o, **r, request, now)) {
        return Next::Write(Write::DeleteRequest(old.name_any()));
    }
    if let Some(stalled) = password {
        return stalled;
    }
    let windows = spec.renewal.as_ref().map_or(&[][..], |renewal| &renewal.windows);
    if let Some(message) = windows::problem(windows, now) {
        let message = format!("{message}; the renewal does not wait for it");
        return Next::Stalled(Refusal { reason: "InvalidWindow", message }, rest(o, now));
    }
    Next::Settled(rest(o, now))
}

/// What to do about the password of keystores, if they are wanted and it is not known or not usable.
fn password(o: &Observed) -> Option<Next> {
    o.certificate.spec.secret.keystores.as_ref()?;
    match &o.password {
        None => Some(Next::Read(Read::Password)),
        Some(Ok(_)) => None,
        Some(Err(message)) => {
            let why = Refusal { reason: "KeystorePasswordInvalid", message: message.clone() };
            Some(Next::Stalled(why, FOR_A_PERSON))
        }
    }
}

/// Whether a request of ours has had its time: the current one and the one before it are kept for people to look at, and what
/// counts for the budget.
fn is_old(o: &Observed, revision: i64, request: &CertificateRequest, now: Timestamp) -> bool {
    revision <= o.base_revision() - 2 && issuing::is_ours(o, request) && !budget::counts(request, now)
}

/// Until the renewal, but the Secret is looked at again before.
fn rest(o: &Observed, now: Timestamp) -> SignedDuration {
    let look = secret_look(o);
    let Some(pair) = o.current() else { return look };
    let asked = o.certificate.annotations().get(RENEW_ANNOTATION).and_then(|at| at.parse::<Timestamp>().ok());
    let look = asked.filter(|at| *at > now).map_or(look, |at| look.min(at.duration_since(now)));
    let leaf = &pair.chain.leaf;
    let due = renewal::due(&o.certificate.spec, leaf.not_before, leaf.not_after, &o.uid(), now);
    due.map_or(look, |due| look.min(due.at.duration_since(now).max(SignedDuration::from_secs(1))))
}

/// Until the Secret is looked at again.
fn secret_look(o: &Observed) -> SignedDuration {
    let jitter = SECRET_INTERVAL / 1000 * i32::try_from(renewal::per_mille(&o.uid())).unwrap_or(0) / 5;
    SECRET_INTERVAL + jitter
}

fn secret_is_taken(o: &Observed, secret: Option<&SecretObject>) -> Option<Next> {
    let name = &o.certificate.spec.secret.name;
    let stalled = |message| Some(Next::Stalled(Refusal { reason: "SecretConflict", message }, FOR_A_PERSON));
    let others = |other: &str| {
        stalled(format!("the Certificate {other:?} keeps the Secret {name:?} already: choose another spec.secret.name"))
    };
    match (secret.map(|s| (s, s.claim_of_certificate(&o.name()))), &o.claimed_by) {
        // What stands in the Secret says whose it is; who came first counts only where nothing does.
        (Some((_, Claim::Ours)), _) | (None | Some((_, Claim::Offered)), None) => None,
        (None | Some((_, Claim::Offered)), Some(other)) => others(other),
        (Some((secret, Claim::Foreign)), _) => match secret.owner() {
            Some(other) => others(other),
            None => stalled(format!(
                "the Secret {name:?} is not this Certificate's and is left alone: choose another spec.secret.name, delete the \
                 Secret, or let it be taken over by its annotation {}: {}",
                crate::api::ADOPT_BY_ANNOTATION,
                o.name()
            )),
        },
    }
}

/// What a failed call makes of a Certificate.
fn failed(failure: &Failure, is_new: bool) -> Next {
    failure.next(is_new, Next::Stalled, Next::Wait, Next::Quiet)
}

/// What stands between this Certificate and an account, if anything.
fn account_in_the_way(o: &Observed, account: &str, region: &Region, now: Timestamp) -> Option<Next> {
    let age = age(o.certificate.creation_timestamp().map(|t| t.0), now);
    let found = o.accounts.get(account).and_then(|a| a.as_deref());
    match access(found, account, &o.namespace(), o.namespace_labels.as_ref(), region) {
        Access::NeedsLabels => Some(Next::Read(Read::Namespace)),
        Access::Refused(_) if age < PATIENCE => Some(Next::Quiet(PATIENCE - age)),
        Access::Refused(why) => Some(Next::Stalled(why, FOR_A_PERSON)),
        Access::Granted => match o.sessions.get(account) {
            None => Some(Next::Read(Read::Session(account.to_owned()))),
            Some(Err(_)) if age < PATIENCE => Some(Next::Quiet(PATIENCE - age)),
            Some(Err(why)) if why.passes() => Some(Next::Wait(why.clone(), UNTIL_IT_PASSES)),
            Some(Err(why)) => Some(Next::Stalled(why.clone(), FOR_A_PERSON)),
            Some(Ok(_)) => None,
        },
    }
}

/// The status entry of a target, if there is one.
fn entry<'a>(status: &'a CertificateStatus, name: &str) -> Option<&'a TargetStatus> {
    status.targets.iter().find(|t| t.name == name)
}

/// Whether a target's certificate in ACM goes with the Certificate.
fn deletes(policy: DeletionPolicy) -> bool {
    policy == DeletionPolicy::Delete
}
