//! What ACM has of a target, and from when on ACM can be believed to show all of it.

use super::{
    Imported, Lookup, Observed, Read, Summary, adoption,
    delivery::{LOOKING, Need, is_unanswered},
    source,
    write::{TAG_SERIAL, ownership_tags},
};
use crate::{
    api::{
        certificate::{Target, TargetStatus},
        names::CertificateArn,
        shared::Tags,
    },
    core::{access::Refusal, backoff::FOR_A_PERSON},
    pki::certificate::Serial,
};
use jiff::{SignedDuration, Timestamp};

/// The DNS names by which ACM may know the certificate: those it has and those it should have.
#[must_use]
pub fn known_names(o: &Observed) -> Vec<String> {
    let spec = &o.certificate.spec;
    let subject = std::iter::once(&spec.subject.domain_name).chain(&spec.subject.additional_names);
    let mut names: Vec<String> = subject.filter(|n| !n.is_empty()).map(|n| n.to_ascii_lowercase()).collect();
    if let Some(pair) = o.current() {
        let leaf = &pair.chain.leaf;
        names.extend(if spec.source_secret().is_some() { source::names(leaf).dns } else { leaf.names.dns.clone() });
    }
    names.extend(o.certificate.status.iter().flat_map(|s| &s.known_names).cloned());
    names.sort();
    names.dedup();
    names
}

/// The reason of a target whose ARN has something in ACM that it can't go on with.
pub(super) const OTHER_IN_ACM: &str = "DifferentInAcm";
/// ACM shows an import in its list after at most this long.
pub(super) const CONSISTENT: SignedDuration = SignedDuration::from_secs(60);

/// Until when ACM may not show what was begun or done last for a target.
pub(super) fn settles(o: &Observed, status: &TargetStatus) -> Option<Timestamp> {
    let seen = o.targets.get(&status.name);
    // AWS refused what the record told of: nothing was made.
    let record = status.pending_since.as_ref().filter(|_| is_unanswered(o, status)).map(|t| t.0);
    let imported = status.imported_at.as_ref().map(|t| t.0);
    let last = [record, imported, seen.and_then(|s| s.begun)].into_iter().flatten().max()?;
    Some(last.saturating_add(CONSISTENT).unwrap_or(Timestamp::MAX))
}

/// From when on a list shows what was begun for this object, where nothing tells when that was.
pub(super) fn created(o: &Observed, now: Timestamp) -> Timestamp {
    // A creation time is cut to the second: the object is younger than it says.
    let created = o.certificate.metadata.creation_timestamp.as_ref().map_or(Timestamp::MIN, |t| t.0);
    let created = created.saturating_add(SignedDuration::from_secs(1)).unwrap_or(created);
    // Created in a time to come: the clock was set back since. A list that begins now will do.
    let just_before = now.saturating_sub(SignedDuration::from_nanos(1)).unwrap_or(now);
    if created.duration_since(now) > CONSISTENT { just_before } else { created }
}

/// What ACM has of a target whose ARN is not known, by a list that shows everything that was ever begun; in use first,
/// then the oldest: the same choice whoever makes it.
///
/// # Errors
/// What has to happen before that can be said.
pub(super) fn ours<'a>(
    o: &'a Observed,
    target: &Target,
    status: &TargetStatus,
    serial: Option<&Serial>,
    now: Timestamp,
) -> Result<Vec<&'a (Summary, Tags)>, Need> {
    let created = created(o, now);
    let settled = settles(o, status).unwrap_or(created);
    if now <= settled && settled > created {
        let rest = settled.duration_since(now) + SignedDuration::from_secs(1);
        let begun = o.targets.get(&target.name).is_some_and(|seen| seen.begun.is_some());
        let why = if status.pending_since.is_some() || begun {
            let message = "an import was begun and its answer is not known; ACM is looked at again a minute after it";
            Refusal { reason: "AnswerUnknown", message: message.into() }
        } else {
            let message = "the last import is less than a minute old, so ACM may not show it yet; the next one waits until it does";
            Refusal { reason: "LookingAtAcm", message: message.into() }
        };
        return Err(Need::Wait(why, rest));
    }
    let candidates = match o.targets.get(&target.name).and_then(|seen| seen.lookup.as_ref()) {
        None => return Err(Need::Read(Read::Lookup(target.name.clone(), settled.max(created)))),
        Some(Lookup::NotYet(until)) => {
            let rest = until.duration_since(now).max(SignedDuration::from_millis(200));
            let message = "waits for a new list of what ACM has: at most six a minute are made, which all share".into();
            return Err(Need::Wait(Refusal { reason: LOOKING, message }, rest));
        }
        Some(Lookup::Found(candidates)) => candidates,
    };
    // To make one beside it would be a second ARN with this target's tags.
    let other = |(summary, tags): &&(Summary, Tags)| !is_of_kind(o, summary) && is_ours(o, target, tags);
    if let Some((summary, _)) = candidates.iter().find(other) {
        return Err(Need::Stalled(of_other_kind(o, target, &summary.arn), FOR_A_PERSON));
    }
    let mut ours: Vec<_> = candidates
        .iter()
        .filter(|(summary, tags)| {
            is_of_kind(o, summary) && is_ours(o, target, tags) && of_revision(o, target, tags, serial)
        })
        .collect();
    ours.sort_by_key(|(summary, _)| (!summary.in_use, summary.created_at, summary.arn.clone()));
    Ok(ours)
}

/// Whether a list from after this time shows what came of an import that had no answer, and there is no second certificate
/// to take away: then nothing is owed to it any more.
#[must_use]
pub fn is_clear(o: &Observed, name: &str, found: &[(Summary, Tags)], newer_than: Timestamp) -> bool {
    let Some(target) = o.certificate.spec.acm.iter().find(|target| target.name == name) else { return false };
    let begun = o.targets.get(name).and_then(|seen| seen.begun);
    if begun.is_some_and(|begun| newer_than.duration_since(begun) < CONSISTENT) {
        return false;
    }
    let stored = o.certificate.status.iter().flat_map(|s| &s.targets).find(|t| t.name == name);
    let stored = stored.and_then(|t| t.arn.as_ref());
    let ours = || found.iter().filter(|(summary, tags)| is_of_kind(o, summary) && is_ours(o, target, tags));
    // What is left alone is owed nothing: to wait for its end would be to look for ever.
    let goes = |(summary, tags): &(Summary, Tags)| {
        !summary.in_use && Some(&summary.arn) != stored && !is_spared(&summary.arn, tags)
    };
    !o.keeps_arn(target) || ours().count() <= 1 || !ours().any(goes)
}

/// Whether a second certificate with a target's tags is left alone: with a serial number in its tags it is an earlier revision,
/// and what was taken over is nobody's to delete so.
pub(super) fn is_spared(arn: &CertificateArn, tags: &Tags) -> bool {
    tags.contains_key(TAG_SERIAL) || adoption::is_adopted(arn, tags)
}

/// When ACM shows what came of an import of this process that had no answer, while the status has an ARN: it was frozen in
/// the call, and what it made may be a second one.
pub(super) fn unanswered(o: &Observed, target: &Target) -> Option<Timestamp> {
    o.targets.get(&target.name)?.begun?;
    let stored = o.certificate.status.iter().flat_map(|s| &s.targets).find(|t| t.name == target.name)?;
    settles(o, stored)
}

/// This process imported under the ARN in the status, but another one came to a newer certificate there meanwhile: it was
/// frozen in the call. When ACM shows which of the two it has.
pub(super) fn overtaken(o: &Observed, target: &str) -> Option<Timestamp> {
    let imported = o.memory.imported.get(target)?;
    let stored = o.certificate.status.iter().flat_map(|s| &s.targets).find(|t| t.name == target)?;
    let serial = &o.current()?.chain.leaf.serial;
    let newer = imported.serial.as_ref()? != serial && stored.serial_number.as_deref() == Some(&*serial.to_string());
    let at = imported.at.saturating_add(CONSISTENT).unwrap_or(Timestamp::MAX);
    (newer && stored.arn.as_ref() == Some(&imported.arn)).then_some(at)
}

/// ACM was asked and has this certificate: the newer one is in place, and what was imported late is forgotten.
pub fn note_installed(o: &mut Observed, target: &str, found: Option<&Serial>, now: Timestamp) {
    let current = o.current().is_some_and(|pair| Some(&pair.chain.leaf.serial) == found);
    if current && overtaken(o, target).is_some_and(|at| at < now) {
        o.memory.imported.remove(target);
    }
}

/// What this process imported while the status came to name another ARN: it was frozen in the call.
pub(super) fn second<'a>(o: &'a Observed, target: &Target) -> Option<&'a Imported> {
    let imported = o.memory.imported.get(&target.name)?;
    let stored = o.certificate.status.iter().flat_map(|s| &s.targets).find(|t| t.name == target.name)?;
    stored.arn.as_ref().is_some_and(|arn| *arn != imported.arn).then_some(imported)
}

/// The second certificate that this process made, and when it is deleted: not before ACM shows it and the newest status
/// is known. Where each renewal is a new ARN, that of another revision is left alone.
pub(super) fn surplus<'a>(o: &'a Observed, target: &Target) -> Option<(&'a CertificateArn, Timestamp)> {
    let second = second(o, target)?;
    let same = o.current().is_some_and(|pair| second.serial.as_ref() == Some(&pair.chain.leaf.serial));
    let at = second.at.saturating_add(CONSISTENT).unwrap_or(Timestamp::MAX);
    (o.keeps_arn(target) || same).then_some((&second.arn, at))
}

/// Whether it came to ACM as this Certificate's do: what was imported is not ACM's to renew, and what ACM issued takes no import.
pub(super) fn is_of_kind(o: &Observed, summary: &Summary) -> bool {
    summary.imported != o.is_managed()
}

/// What is told of a certificate with a target's tags that came to ACM in the other way: its ARN can't be gone on with, and
/// another one is not made beside it.
pub(super) fn of_other_kind(o: &Observed, target: &Target, arn: &CertificateArn) -> Refusal {
    let name = &target.name;
    let message = if o.is_managed() {
        format!(
            "{arn} has the tags of the target {name} and was imported, and ACM issues nothing under the ARN of an import; a second \
             ARN with these tags is not made: go back to the source that it had, by way of management: Observe, or make another \
             Certificate, which has an ARN of its own; or delete it in ACM when nothing uses it, and ACM is asked for one within ten \
             minutes"
        )
    } else {
        format!(
            "{arn} has the tags of the target {name} and was issued by ACM, which takes no import in its place; a second ARN with \
             these tags is not made: go back to source.acmManaged, by way of management: Observe, or give the entry of acm another \
             name, which has an ARN of its own; or delete it in ACM when nothing uses it, and the certificate is imported within ten \
             minutes"
        )
    };
    Refusal { reason: OTHER_IN_ACM, message }
}

/// Whether tags name this cluster, namespace, Certificate and target.
pub(super) fn is_ours(o: &Observed, target: &Target, tags: &Tags) -> bool {
    ownership_tags(o, &target.name).iter().all(|(key, value)| tags.get(key) == Some(value))
}

/// Where each renewal is a new ARN, only the one with the current serial number is this revision's.
fn of_revision(o: &Observed, target: &Target, tags: &Tags, serial: Option<&Serial>) -> bool {
    match tags.get(TAG_SERIAL) {
        Some(tagged) => serial.is_some_and(|serial| *tagged == serial.to_string()),
        None => o.keeps_arn(target),
    }
}
