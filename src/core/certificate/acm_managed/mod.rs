//! A Certificate that ACM issues from a private CA, holds the key of, and renews.
//!
//! It has one ARN by the same rules as an import: before RequestCertificate comes a look at what ACM has, and right before it a
//! record; the answer is stored before anything else. A token makes a repeat within an hour harmless besides.

mod export;
mod issued;
pub mod reasons;
mod request;
mod spent;
mod tell;

pub use export::{note_written, read, secret};
pub use request::order;

use super::{
    FINALIZER, LONG, Next, Observed, Read, TargetObserved, Write, account_in_the_way, believed, deletion,
    delivery::{self, Need, elsewhere, fresh},
    drift, entry, failed, owned, password, publishing,
    search::{overtaken, second, surplus, unanswered},
    secret_is_taken, status, wanted, write,
};
use crate::{
    api::{
        certificate::{CertificateSpec, CertificateStatus, ManagedStatus, Target, TargetState, TargetStatus},
        conditions::whole_seconds,
        shared::KeyKind,
    },
    core::{Decision, Step, access::Refusal, backoff::FOR_A_PERSON, secret::SecretObject},
    pki::algorithm::{KeyAlgorithm, KeyFamily},
    text::plain,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

/// ACM is looked at once in so long at least: what it renewed is to be exported.
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// ACM's word for a certificate that is issued.
const ISSUED: &str = "ISSUED";
/// ACM's words for a request that came to nothing.
const CAME_TO_NOTHING: [&str; 2] = ["FAILED", "VALIDATION_TIMED_OUT"];
/// ACM's word for a renewal that is under way.
const RENEWING: &str = "PENDING_AUTO_RENEWAL";
/// ACM begins to renew so long before the end (ACM user guide, "Managed certificate renewal").
const RENEWS_BEFORE: SignedDuration = SignedDuration::from_hours(60 * 24);
/// The longest message of a target, in bytes.
const LONGEST_MESSAGE: usize = 2048;

/// Whether the certificate is exported into a Secret.
fn wants_secret(spec: &CertificateSpec) -> bool {
    !spec.secret.name.is_empty()
}

/// The algorithm of the key, if the spec says.
fn wanted_algorithm(spec: &CertificateSpec) -> Option<KeyAlgorithm> {
    let key = spec.private_key.as_ref()?;
    let family = match key.algorithm? {
        KeyKind::RSA => KeyFamily::Rsa,
        KeyKind::ECDSA => KeyFamily::Ecdsa,
    };
    KeyAlgorithm::from_family_and_size(family, key.size).ok()
}

/// The last revision that is known: of the Secret, where that has one, else of the status.
pub(super) fn revision(o: &Observed) -> i64 {
    let stored = believed(o.certificate.status.as_ref().and_then(|s| s.revision));
    let told = o.own_secret().and_then(SecretObject::revision);
    // Exported, and not told of yet: that is one more.
    stored.max(believed(told).min(stored + 1))
}

/// One step for a Certificate that ACM keeps.
pub(super) fn decide(
    o: &Observed,
    before: &CertificateStatus,
    mut after: CertificateStatus,
    now: Timestamp,
) -> Decision<CertificateStatus, Read, Write> {
    let next = next(o, &mut after, now);
    let publishing = if !next.is_step() && o.certificate.spec.enabled {
        publishing::next(o, &mut after, now)
    } else {
        Next::Settled(LONG)
    };
    let step = tell::tell(o, before, &mut after, &next, &publishing, now);
    let mut events = match step {
        Step::Rest(_) | Step::SaveStatus => status::events(before, &after),
        Step::Read(_) | Step::Write(_) => vec![],
    };
    events.extend(o.memory.happened.iter().cloned());
    Decision { step, status: after, events }
}

fn next(o: &Observed, after: &mut CertificateStatus, now: Timestamp) -> Next {
    let wants_finalizer = deletion::needs_finalizer(&o.certificate);
    if wants_finalizer != o.certificate.finalizers().iter().any(|f| f == FINALIZER) {
        return Next::Write(Write::Finalizer(wants_finalizer));
    }
    let Some(target) = o.certificate.spec.acm.first() else {
        let message = "spec.acm has no entry: it names the certificate in ACM".into();
        return Next::Stalled(Refusal { reason: "NoTarget", message }, FOR_A_PERSON);
    };
    let none = TargetObserved::default();
    let seen = o.targets.get(&target.name).unwrap_or(&none);
    let mut told = entry(after, &target.name).cloned().unwrap_or_else(|| fresh(o, target));
    let mut managed = after.managed.take().unwrap_or_default();
    spent::correct(o, &mut managed);
    let next = Way { o, target, seen, now }.next(&mut told, &mut managed);
    if told.state != TargetState::Delivered {
        let state = match &next {
            Next::Wait(why, _) => Some((TargetState::Waiting, why)),
            Next::Stalled(why, _) => Some((TargetState::Failed, why)),
            _ => None,
        };
        if let Some((state, why)) = state {
            told.state = state;
            told.message = Some(plain(&why.message, LONGEST_MESSAGE));
        }
    }
    after.targets = vec![told];
    after.managed = (managed != ManagedStatus::default()).then_some(managed);
    next
}

/// What is looked at in a pass.
struct Way<'a> {
    o: &'a Observed,
    target: &'a Target,
    seen: &'a TargetObserved,
    now: Timestamp,
}

impl Way<'_> {
    fn next(&self, told: &mut TargetStatus, managed: &mut ManagedStatus) -> Next {
        let (o, spec) = (self.o, &self.o.certificate.spec);
        told.deletion_policy = self.target.deletion_policy;
        // The ARN in the status stays: while this process was frozen in its call, another one may have come to one.
        let requested = o.memory.imported.get(&self.target.name).filter(|_| second(o, self.target).is_none());
        if let Some(requested) = requested
            && told.arn.as_ref() != Some(&requested.arn)
        {
            told.arn = Some(requested.arn.clone());
            told.imported_at = Some(Time(whole_seconds(requested.at)));
            (told.pending_since, told.state, told.message) = (None, TargetState::Pending, None);
            return Next::Save;
        }
        if !spec.enabled {
            return Next::Settled(LONG);
        }
        if let Some(next) = self.look_at_secret(told) {
            return next;
        }
        if o.failed
            && let Some(failure) = &o.memory.failure
        {
            return failed(failure, o.is_untold());
        }
        let settled = self.is_settled(told, managed);
        match delivery::failed(o, &self.target.name) {
            // Only a look: what passes is not worth a word.
            Some(Need::Wait(_, rest) | Need::Quiet(rest)) if settled => return Next::Settled(rest),
            Some(need) => return self.unfinished(told, self.of_need(need)),
            None => {}
        }
        if settled && !self.looks() {
            return self.rest(told, managed);
        }
        match account_in_the_way(o, &spec.account_ref.name, &spec.region, self.now) {
            Some(read @ Next::Read(_)) => return read,
            // It says so itself, and what ACM has stays.
            Some(_) if settled => return Next::Settled(LONG),
            Some(next) => return self.unfinished(told, next),
            None => {}
        }
        if let Some(why) = elsewhere(o, self.target, told) {
            return self.unfinished(told, Next::Stalled(why, FOR_A_PERSON));
        }
        told.account_id = o.sessions.get(&spec.account_ref.name).and_then(|s| s.as_ref().ok()).map(ToString::to_string);
        match told.arn.clone() {
            None => self.request(told, managed, None),
            Some(arn) => self.under(told, managed, &arn),
        }
    }

    /// ACM could not be looked through. Where the spec was changed, that is still to be done when the status tells of it.
    fn unfinished(&self, told: &mut TargetStatus, next: Next) -> Next {
        let is_told = matches!(next, Next::Wait(..) | Next::Stalled(..));
        if is_told && told.state == TargetState::Delivered && !drift::unchanged(self.o) {
            told.state = TargetState::Pending;
        }
        next
    }

    /// What the Secret needs that takes no call to AWS; before anything is asked for, whether there is a place for it.
    fn look_at_secret(&self, told: &TargetStatus) -> Option<Next> {
        let o = self.o;
        if !wants_secret(&o.certificate.spec) {
            return None;
        }
        let Some(secret) = &o.secret else { return Some(Next::Read(Read::Secret)) };
        if told.arn.is_none() {
            if let Some(next) = self.no_place(secret.as_ref()) {
                return Some(next);
            }
            return password(o);
        }
        if !self.holds(told.serial_number.as_deref()) {
            return None;
        }
        match password(o) {
            Some(read @ Next::Read(_)) => Some(read),
            _ if write::metadata_differs(o) || write::keystores_differ(o) => Some(Next::Write(Write::SecretMetadata)),
            _ => None,
        }
    }

    /// Why nothing can be exported into the Secret.
    fn no_place(&self, secret: Option<&SecretObject>) -> Option<Next> {
        if let Some(next) = secret_is_taken(self.o, secret) {
            return Some(next);
        }
        let why = secret.and_then(SecretObject::takes_nothing)?;
        let message = format!("the Secret {:?} can't be written: {why}", self.o.certificate.spec.secret.name);
        Some(Next::Stalled(Refusal { reason: "SecretConflict", message }, FOR_A_PERSON))
    }

    /// Whether the Secret holds, as ours, the certificate with this serial number.
    fn holds(&self, serial: Option<&str>) -> bool {
        let there = self.o.current().map(|pair| pair.chain.leaf.serial.to_string());
        owned(self.o) && there.is_some() && there.as_deref() == serial
    }

    /// Whether all is as it should be, as far as is known without a call to AWS.
    fn is_settled(&self, told: &TargetStatus, managed: &ManagedStatus) -> bool {
        let o = self.o;
        let stuck = || o.secret.as_ref().is_some_and(|secret| self.no_place(secret.as_ref()).is_some());
        let in_secret = !wants_secret(&o.certificate.spec) || self.holds(told.serial_number.as_deref()) || stuck();
        told.state == TargetState::Delivered
            && told.arn.is_some()
            && in_secret
            && drift::unchanged(o)
            && managed.state == ISSUED
            && managed.renewal.as_deref() != Some(RENEWING)
            && !self.is_asked(told, managed)
    }

    /// Whether a renewal is asked for that is not done.
    fn is_asked(&self, told: &TargetStatus, managed: &ManagedStatus) -> bool {
        let Some((value, _)) = self.asked(told) else { return false };
        let record = managed.requested.as_ref().filter(|record| record.value == value);
        record.is_none_or(|record| told.serial_number.as_ref() == Some(&record.serial_number))
    }

    /// The renewal that the annotation asks for: its value and time. What was asked for before the certificate was, that answers.
    fn asked(&self, told: &TargetStatus) -> Option<(String, Timestamp)> {
        let value = wanted::renewal_request(&self.o.certificate, self.now)?;
        let at: Timestamp = value.parse().ok()?;
        // A status tells whole seconds.
        let answered = told.imported_at.as_ref().is_some_and(|requested| whole_seconds(at) <= requested.0);
        (!answered).then(|| (plain(value, 64), at))
    }

    /// Between looks.
    fn interval(&self) -> SignedDuration {
        if self.o.drift_interval.is_positive() { self.o.drift_interval.min(DAY) } else { DAY }
    }

    /// Whether this pass looks at ACM though nothing asks for it.
    fn looks(&self) -> bool {
        let (o, name) = (self.o, &self.target.name);
        let begun = self.seen.installed.is_some() || self.seen.tags.is_some();
        let last = o.memory.looked.get(name);
        let due = || {
            last.and_then(|last| drift::slot(&o.uid(), name, self.interval(), last)).is_some_and(|at| at <= self.now)
        };
        begun || self.late().is_some_and(|at| at < self.now) || due()
    }

    /// When ACM shows what came of a call of this process whose answer it does not know, or came too late.
    fn late(&self) -> Option<Timestamp> {
        let (o, target) = (self.o, self.target);
        let second = surplus(o, target).map(|(_, at)| at);
        [second, unanswered(o, target), overtaken(o, &target.name)].into_iter().flatten().min()
    }

    /// Nothing to do: until the next look, at the Secret or at ACM.
    fn rest(&self, told: &TargetStatus, managed: &ManagedStatus) -> Next {
        let o = self.o;
        let until = |at: Timestamp| at.duration_since(self.now).max(SignedDuration::from_secs(1));
        let asked = o.certificate.annotations().get(crate::api::RENEW_ANNOTATION);
        let asked = asked.and_then(|at| at.parse::<Timestamp>().ok()).filter(|at| *at > self.now);
        let ends = o.certificate.status.as_ref().and_then(|s| s.not_after.as_ref()).map(|t| t.0);
        let next = [
            drift::slot(&o.uid(), &self.target.name, self.interval(), self.now),
            self.late().map(|at| at.saturating_add(SignedDuration::from_secs(1)).unwrap_or(at)),
            asked,
            ends.filter(|ends| *ends > self.now),
        ];
        let rest = next.into_iter().flatten().map(until).min().unwrap_or(LONG);
        if let Some(why) = self.trouble(told, managed) {
            return Next::Stalled(why, rest);
        }
        let Some(secret) = o.secret.as_ref().filter(|_| wants_secret(&o.certificate.spec)) else {
            return Next::Settled(rest);
        };
        if let Some(Next::Stalled(why, wait)) = self.no_place(secret.as_ref()) {
            return Next::Stalled(why, wait.min(rest));
        }
        if !self.holds(told.serial_number.as_deref()) && managed.state == ISSUED {
            return Next::Settled(rest.min(FOR_A_PERSON));
        }
        match password(o) {
            Some(Next::Stalled(why, wait)) => Next::Stalled(why, wait.min(rest)),
            _ => Next::Settled(rest.min(super::secret_look(o))),
        }
    }

    /// How long until ACM is asked again for what is under way since then.
    fn poll(&self, since: Option<&Time>) -> SignedDuration {
        let age = since.map_or(SignedDuration::ZERO, |since| self.now.duration_since(since.0));
        match age.as_secs() {
            -60..60 => SignedDuration::from_secs(2),
            60..600 => SignedDuration::from_secs(15),
            // Or it began in a time to come: that says nothing of its age.
            ..-60 | 600..3600 => SignedDuration::from_mins(2),
            _ => SignedDuration::from_mins(30),
        }
    }

    /// What a target needs, as a step.
    fn of_need(&self, need: Need) -> Next {
        match need {
            Need::Nothing => Next::Settled(LONG),
            Need::Later(rest) => Next::Settled(rest),
            Need::Read(read) => Next::Read(read),
            Need::Write(write) => Next::Write(write),
            Need::Save => Next::Save,
            // So much passes before anybody could read of it.
            Need::Wait(why, rest) if delivery::is_quiet(self.o, &why, rest) => Next::Quiet(rest),
            Need::Wait(why, rest) => Next::Wait(why, rest),
            Need::Stalled(why, rest) => Next::Stalled(why, rest),
            Need::Quiet(rest) => Next::Quiet(rest),
        }
    }
}
