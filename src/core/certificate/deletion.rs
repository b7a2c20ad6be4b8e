//! What is undone when a Certificate, or one of its targets, is deleted. It never outlives its means: where AWS can't be
//! asked any more, or a thing stays in use for a day, it is let go.

use super::{
    FINALIZER, Lookup, Observed, Read, Summary, TargetObserved, Write, adoption, deletes, delivery, entry, search,
    write::ownership_tags,
};
use crate::{
    api::{
        Certificate,
        certificate::{CertificateStatus, NextStep, TargetStatus},
        conditions::{Finding, READY, conditions},
        names::CertificateArn,
        shared::Tags,
    },
    aws::error::Kind,
    core::{
        Event, Step,
        access::{Access, Refusal, access},
        request::LONG,
    },
};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

/// A certificate that is still in use after this is let go.
const GIVE_UP: SignedDuration = SignedDuration::from_hours(24);
/// Between tries to delete what is in use.
const IN_USE: SignedDuration = SignedDuration::from_mins(1);
/// The reason of the event that tells what was let go.
const LEFT_BEHIND: &str = "LeftBehind";
/// The tag on a certificate that was let go.
pub const RELEASED_TAG: &str = "arnkeeper.dev/released";

/// Whether something in AWS has to be undone when this Certificate goes.
pub(super) fn needs_finalizer(certificate: &Certificate) -> bool {
    let stored = certificate.status.iter().flat_map(|s| &s.targets).any(|t| deletes(t.deletion_policy));
    stored || certificate.spec.acm.iter().any(|t| deletes(t.deletion_policy))
}

/// The next step of a deletion.
pub(super) fn next(o: &Observed, status: &mut CertificateStatus, now: Timestamp) -> Step<Read, Write> {
    if !o.certificate.finalizers().iter().any(|f| f == FINALIZER) {
        return Step::Rest(LONG);
    }
    for entry in condemned(o, status) {
        match target(o, &entry, now) {
            Fate::Done | Fate::LetGo(_) => {}
            Fate::Read(read) => return Step::Read(read),
            Fate::Write(write) => return Step::Write(write),
            Fate::Quiet(rest) => return Step::Rest(rest),
            Fate::Wait(why, rest) => {
                let generation = o.certificate.metadata.generation.unwrap_or_default();
                let findings = [Finding::no(READY, "Deleting", format!("target {}: {}", entry.name, why.message))];
                let blocked_by = Some(format!("{}: {}", entry.name, why.reason));
                status.next = Some(NextStep { action: "Delete".into(), at: None, blocked_by });
                status.observed_generation = Some(generation);
                status.conditions = conditions(&status.conditions, &findings, generation, now);
                return Step::Rest(rest);
            }
        }
    }
    Step::Write(Write::Finalizer(false))
}

/// What stays in ACM of a Certificate that is let go, though it was to be deleted.
#[must_use]
pub fn left_behind(o: &Observed, now: Timestamp) -> Vec<Event> {
    if o.certificate.metadata.deletion_timestamp.is_none() || o.certificate.spec.is_observed() {
        return vec![];
    }
    let status = o.certificate.status.clone().unwrap_or_default();
    let left = |entry: &TargetStatus| match target(o, entry, now) {
        Fate::LetGo(why) => left(o, entry, &why),
        _ => None,
    };
    condemned(o, &status).iter().filter_map(left).collect()
}

/// Tells of what is left in ACM of one target, if anything is.
pub(super) fn left(o: &Observed, entry: &TargetStatus, why: &Refusal) -> Option<Event> {
    let TargetStatus { name, account, region, .. } = entry;
    let imported = o.memory.imported.get(name).map(|imported| &imported.arn);
    let what = match (imported.or(entry.arn.as_ref()), &entry.pending_since) {
        (Some(arn), _) => arn.to_string(),
        (None, Some(since)) => format!("what came of the import of {}, if anything,", since.0),
        (None, None) => return None,
    };
    let note = format!(
        "target {name}: {what} is left in ACM (AwsAccount {account:?}, {region}), though its deletionPolicy is Delete: delete it \
         there when nothing uses it. Why it was not deleted: {}: {}",
        why.reason, why.message
    );
    Some(Event { warning: true, reason: LEFT_BEHIND.into(), note })
}

/// The targets to delete, from spec and status.
fn condemned(o: &Observed, status: &CertificateStatus) -> Vec<TargetStatus> {
    let mut all: Vec<TargetStatus> = o
        .certificate
        .spec
        .acm
        .iter()
        .filter(|t| deletes(t.deletion_policy))
        .map(|t| entry(status, &t.name).cloned().unwrap_or_else(|| delivery::fresh(o, t)))
        .collect();
    let named = |name: &str| o.certificate.spec.acm.iter().any(|t| t.name == name);
    all.extend(status.targets.iter().filter(|t| deletes(t.deletion_policy) && !named(&t.name)).cloned());
    all
}

/// What becomes of one target.
pub(super) enum Fate {
    /// It is gone, or was never ours.
    Done,
    /// It can't be deleted, and is left where it is.
    LetGo(Refusal),
    /// Look at this.
    Read(Read),
    /// Do this.
    Write(Write),
    /// Not yet.
    Wait(Refusal, SignedDuration),
    /// Not yet, and it is not worth a word.
    Quiet(SignedDuration),
}

/// One step to delete a target's certificate from ACM: only what carries our tags.
pub(super) fn target(o: &Observed, entry: &TargetStatus, now: Timestamp) -> Fate {
    let none = TargetObserved::default();
    let seen = o.targets.get(&entry.name).unwrap_or(&none);
    let deleting_since = o.certificate.metadata.deletion_timestamp.as_ref().map(|t| t.0);
    let overdue = deleting_since.is_some_and(|since| now.duration_since(since) >= GIVE_UP);
    let account = o.accounts.get(&entry.account).and_then(|a| a.as_deref());
    match access(account, &entry.account, &o.namespace(), o.namespace_labels.as_ref(), &entry.region) {
        Access::NeedsLabels => return Fate::Read(Read::Namespace),
        // The means are gone: account deleted, disabled or refused.
        Access::Refused(why) => return Fate::LetGo(why),
        Access::Granted => {}
    }
    match o.sessions.get(&entry.account) {
        None => return Fate::Read(Read::Session(entry.account.clone())),
        Some(Err(why)) if overdue => return Fate::LetGo(why.clone()),
        Some(Err(why)) => match ends(o) {
            None => return Fate::Read(Read::Namespace),
            Some(true) if !why.passes() => return Fate::LetGo(why.clone()),
            Some(_) => return Fate::Wait(why.clone(), IN_USE),
        },
        Some(Ok(_)) => {}
    }
    // There it is not found, and what is found there is not deleted. Who takes a target out of the spec begins anew.
    if let Some(why) = delivery::account_changed(o, entry) {
        return match ends(o) {
            _ if deleting_since.is_none() || overdue => Fate::LetGo(why),
            None => Fate::Read(Read::Namespace),
            Some(true) => Fate::LetGo(why),
            Some(false) => Fate::Wait(why, IN_USE),
        };
    }
    // What was to be taken over, and was not known to be, is left to those whose it was.
    if adoption::is_under_way(entry) && !o.memory.imported.contains_key(&entry.name) {
        return Fate::Done;
    }
    let failure = o.memory.target_failures.get(&entry.name).filter(|_| seen.failed);
    let found = find(o, entry, seen, now);
    if let Some(failure) = failure {
        if failure.is_quiet() {
            return Fate::Quiet(failure.wait());
        }
        let in_use = failure.error.kind == Kind::InUse;
        let stays = in_use || failure.needs_a_person();
        if stays && !overdue && ends(o).is_none() {
            return Fate::Read(Read::Namespace);
        }
        let why = Refusal { reason: failure.reason(), message: failure.error.to_string() };
        // Nothing tells that anything is there, and a person would have to let us look.
        let unheard_of = stays && !in_use && found.is_err() && search::settles(o, entry).is_none();
        if overdue || unheard_of || (stays && o.namespace_ends) {
            // Where even the mark fails, or it was never found, it is let go as it is.
            return match found {
                Ok(Some(arn)) if in_use => release(entry, seen, &arn, why),
                Ok(None) => Fate::Done,
                Ok(Some(_)) | Err(_) => Fate::LetGo(why),
            };
        }
        return Fate::Wait(why, if in_use { IN_USE } else { failure.wait() });
    }
    let arn = match found {
        Ok(Some(arn)) => arn,
        Ok(None) => return Fate::Done,
        Err(fate) => return *fate,
    };
    // That another one is gone says nothing about this one.
    let seen = &*seen.of(&arn);
    match &seen.tags {
        None => Fate::Read(Read::Tags(entry.name.clone(), arn)),
        Some(Some(tags)) if ours(o, &entry.name, tags) && !tags.contains_key(RELEASED_TAG) => {
            Fate::Write(Write::DeleteFromAcm(entry.name.clone(), arn))
        }
        // Of an import whose answer is not known there may be another one.
        Some(None) if seen.deleted && entry.pending_since.is_none() && seen.begun.is_none() => Fate::Done,
        // It is gone already, or ACM does not show it yet.
        Some(None) => unsettled(o, entry, now).unwrap_or(Fate::Done),
        // Marked by an earlier pass, when it was in use.
        Some(Some(tags)) if ours(o, &entry.name, tags) => {
            let message = format!("it was in use, and has the tag {RELEASED_TAG}");
            Fate::LetGo(Refusal { reason: "InUse", message })
        }
        // It is not ours.
        Some(Some(_)) => Fate::Done,
    }
}

/// Whether the namespace is being deleted; none: it has to be looked at.
fn ends(o: &Observed) -> Option<bool> {
    o.namespace_labels.as_ref().map(|_| o.namespace_ends)
}

/// Waits until ACM shows what came of the last import.
fn unsettled(o: &Observed, entry: &TargetStatus, now: Timestamp) -> Option<Fate> {
    let settled = search::settles(o, entry).filter(|settled| now <= *settled)?;
    let message = "waits until ACM shows what came of the last import".into();
    let rest = settled.duration_since(now) + SignedDuration::from_secs(1);
    Some(Fate::Wait(Refusal { reason: "LookingAtAcm", message }, rest))
}

/// The ARN to delete: that of the status, else what ACM has with our tags; a status that names none may have been lost.
fn find(
    o: &Observed,
    entry: &TargetStatus,
    seen: &TargetObserved,
    now: Timestamp,
) -> Result<Option<CertificateArn>, Box<Fate>> {
    if let Some(imported) = o.memory.imported.get(&entry.name) {
        return Ok(Some(imported.arn.clone()));
    }
    if let Some(arn) = &entry.arn {
        return Ok(Some(arn.clone()));
    }
    let since = search::settles(o, entry).unwrap_or_else(|| search::created(o, now));
    if let Some(fate) = unsettled(o, entry, now) {
        return Err(Box::new(fate));
    }
    match &seen.lookup {
        None => Err(Box::new(Fate::Read(Read::Lookup(entry.name.clone(), since)))),
        Some(Lookup::NotYet(until)) => {
            let why = Refusal { reason: "LookingAtAcm", message: "waits for a new list of what ACM has".into() };
            Err(Box::new(Fate::Wait(why, until.duration_since(now).max(SignedDuration::from_millis(200)))))
        }
        Some(Lookup::Found(candidates)) => {
            // What was taken over, or was about to be, and is not in the status, is left to those whose it was.
            let goes = |(summary, tags): &&(Summary, Tags)| {
                ours(o, &entry.name, tags) && !adoption::is_adopted(&summary.arn, tags)
            };
            Ok(candidates.iter().find(goes).map(|(summary, _)| summary.arn.clone()))
        }
    }
}

fn ours(o: &Observed, target: &str, tags: &Tags) -> bool {
    ownership_tags(o, target).iter().all(|(key, value)| tags.get(key) == Some(value))
}

/// It stays in ACM, marked as let go.
fn release(entry: &TargetStatus, seen: &TargetObserved, arn: &CertificateArn, why: Refusal) -> Fate {
    let marked = seen.tags.as_ref().and_then(|t| t.as_ref()).is_none_or(|tags| tags.contains_key(RELEASED_TAG));
    if marked {
        return Fate::LetGo(why);
    }
    let tags = Tags::from([(RELEASED_TAG.to_owned(), "true".to_owned())]);
    Fate::Write(Write::Retag(entry.name.clone(), arn.clone(), tags, vec![]))
}
