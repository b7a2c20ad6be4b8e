//! Taking over a certificate that ACM has already, under the ARN that it has.
//!
//! Tags say whose a certificate is, so it gets ours first, right after a record in the status, and the import comes after
//! them: whoever goes on after an end in between finds a certificate that is this target's, and no second ARN is ever made.

use super::{
    Installed, Observed, Read, TargetObserved, Write,
    delivery::Need,
    preflight::described,
    search::{is_ours, ours},
    source,
    wanted::{self, Trigger},
    write::{import_tags, spec_tags},
};
use crate::{
    api::{
        ADOPT_BY_ANNOTATION,
        account::Adoption,
        certificate::{AdoptionStatus, Target, TargetState, TargetStatus},
        conditions::{STALLED, whole_seconds},
        names::{CertificateArn, Located},
        shared::Tags,
    },
    core::{access::Refusal, backoff::FOR_A_PERSON},
    pki::{
        acm_rules::{
            CurrentInAcm, PlannedCertificate, introduced_problems, key_to_ask_for, reimport_problems, usages_to_ask_for,
        },
        certificate::Certificate as X509,
    },
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// Tag on a certificate that was not made here: its own ARN, so that a copy of its tags says nothing.
const ADOPTED_TAG: &str = "arnkeeper.dev/adopted";
/// Tag by which its owner lets a Certificate, `<namespace>/<name>`, take a certificate over. It goes when that is done.
const CONSENT_TAG: &str = ADOPT_BY_ANNOTATION;
/// Tags that begin so say whose a certificate is.
const OURS: &str = "arnkeeper.dev/";
/// The reason of a target whose certificate may not be taken over.
const REFUSED: &str = "AdoptionRefused";
/// The first wait for what somebody does in ACM.
const AT_FIRST: SignedDuration = SignedDuration::from_mins(1);
/// The reason of what ACM would refuse.
pub(super) const MISFIT: &str = "PreflightFailed";

/// The certificate that a target is to take over and has not yet.
pub(super) fn pending<'a>(target: &'a Target, status: &TargetStatus) -> Option<&'a CertificateArn> {
    let arn = target.certificate_arn.as_ref()?;
    let there = status.arn.as_ref();
    let delivered = there.is_some() && status.serial_number.is_some();
    (!is_done(arn, status) && !delivered && there.is_none_or(|there| there == arn)).then_some(arn)
}

/// Whether this target has taken this certificate over before. Whatever became of it since, that is not done twice.
fn is_done(arn: &CertificateArn, status: &TargetStatus) -> bool {
    status.adoption.as_ref().is_some_and(|a| a.certificate_arn == *arn && a.adopted_at.is_some())
}

/// Whether the way of this target is that of an adoption: its ARN stays, whatever the account's default is.
pub(super) fn keeps_arn(target: &Target, status: Option<&TargetStatus>) -> bool {
    target.certificate_arn.is_some() || status.is_some_and(|s| s.adoption.is_some())
}

/// Whether a target has begun to take a certificate over, and is not known to have done so.
pub(super) fn is_under_way(status: &TargetStatus) -> bool {
    status.adoption.as_ref().is_some_and(|a| a.adopted_at.is_none() && status.arn.as_ref() == Some(&a.certificate_arn))
}

/// A target with an ARN of its own keeps that: to take over another one would make two.
pub(super) fn conflict(target: &Target, status: &TargetStatus) -> Option<Refusal> {
    let (wanted, there) = (target.certificate_arn.as_ref()?, status.arn.as_ref()?);
    let message = format!(
        "the target has {there} already and keeps it, so {wanted} is not taken over: take certificateArn out of it, and add \
         another target for that"
    );
    (wanted != there && !is_done(wanted, status)).then_some(Refusal { reason: "AdoptionConflict", message })
}

fn refused(message: String) -> Need {
    Need::Stalled(Refusal { reason: REFUSED, message }, FOR_A_PERSON)
}

/// What somebody may put right in ACM, which tells nobody of it: it is looked for once a minute at first, and then ever less,
/// since each look costs a ListTagsForCertificate and a share of a list.
fn refused_for_now(o: &Observed, message: &str, now: Timestamp) -> Need {
    let stalled = o.certificate.status.iter().flat_map(|s| &s.conditions);
    let stalled = stalled.filter(|c| c.type_ == STALLED && c.status == "True" && c.reason == REFUSED);
    let since = stalled.map(|c| now.duration_since(c.last_transition_time.0)).max().unwrap_or_default();
    let message = format!(
        "{message}. It is looked at again after a minute at first, every ten minutes after an hour, and whenever this Certificate changes"
    );
    Need::Stalled(Refusal { reason: REFUSED, message }, (since / 5).clamp(AT_FIRST, FOR_A_PERSON))
}

/// What has to happen before the certificate under the ARN can be imported over; none: it is this target's, and what comes
/// fits.
pub(super) fn next(
    o: &Observed,
    target: &Target,
    seen: &TargetObserved,
    status: &mut TargetStatus,
    arn: &CertificateArn,
    leaf: &X509,
    now: Timestamp,
) -> Option<Need> {
    if status.arn.is_none() {
        match ours(o, target, status, Some(&leaf.serial), now) {
            Err(need) => return Some(need),
            // It has one already, and goes on with that.
            Ok(found) if !found.is_empty() && found.iter().all(|(summary, _)| summary.arn != *arn) => return None,
            Ok(_) => {}
        }
        // What is about to be replaced need not fit.
        if matches!(wanted::trigger(o, now), Some(Trigger::SpecChanged)) {
            return Some(Need::Nothing);
        }
    }
    let is_ours = match whose(o, target, seen, status, arn, now) {
        Ok(is_ours) => is_ours,
        Err(need) => {
            // It is not this target's, and a record of what was to come would make it look so.
            if matches!(need, Need::Stalled(..)) {
                (status.arn, status.adoption) = (None, None);
            }
            return Some(need);
        }
    };
    let installed = match installed(target, seen, arn) {
        Ok(installed) => installed,
        Err(need) => return Some(need),
    };
    if installed.serial.as_ref() != Some(&leaf.serial)
        && let Some(planned) = planned(leaf)
    {
        let problems = match problems(o, target, seen, arn, installed, &planned) {
            Ok(problems) => problems,
            Err(need) => return Some(need),
        };
        if !problems.is_empty() {
            return Some(Need::Stalled(misfit(target, arn, &problems, "imported there"), FOR_A_PERSON));
        }
    }
    let record = AdoptionStatus { certificate_arn: arn.clone(), adopted_at: None };
    if is_ours {
        status.arn = Some(arn.clone());
        // The record was lost on the way.
        let tags = seen.tags.iter().flatten().next();
        if installed.serial.as_ref() != Some(&leaf.serial) && tags.is_some_and(|tags| is_adopted(arn, tags)) {
            status.adoption.get_or_insert(record);
        }
        return None;
    }
    if status.arn.as_ref() != Some(arn) || status.adoption.as_ref() != Some(&record) {
        status.arn = Some(arn.clone());
        status.adoption = Some(record);
        status.tag_keys = spec_tags(o, target).into_keys().collect();
        status.state = TargetState::Pending;
        status.message = None;
        return Some(Need::Save);
    }
    let mut tags = import_tags(o, target);
    tags.insert(ADOPTED_TAG.into(), arn.to_string());
    let consent = seen.tags.iter().flatten().any(|tags| tags.contains_key(CONSENT_TAG));
    let spent = if consent { vec![CONSENT_TAG.to_owned()] } else { vec![] };
    Some(Need::Write(Write::Retag(target.name.clone(), arn.clone(), tags, spent)))
}

/// Whether the certificate is this target's by its tags; else whether it may become that.
fn whose(
    o: &Observed,
    target: &Target,
    seen: &TargetObserved,
    status: &TargetStatus,
    arn: &CertificateArn,
    now: Timestamp,
) -> Result<bool, Need> {
    let (account, region) = o.place(target);
    if arn.region() != region.as_str() {
        return Err(refused(format!("{arn} lies in another region than the target, which is in {region}")));
    }
    if let Some(Ok(id)) = o.sessions.get(account)
        && arn.account() != id.as_str()
    {
        return Err(refused(format!(
            "{arn} lies in another AWS account than AwsAccount {account:?}, which is {id}: name the AwsAccount of that one in \
             accountRef of another target"
        )));
    }
    let Some(tags) = &seen.tags else { return Err(Need::Read(Read::Tags(target.name.clone(), arn.clone()))) };
    if tags.as_ref().is_some_and(|tags| is_ours(o, target, tags)) {
        return Ok(true);
    }
    let claimed = tags.as_ref().is_some_and(is_claimed);
    // It was imported over, and its tags are gone since: what ACM has there is ours to the byte.
    if is_under_way(status) && !claimed && tags.is_some() {
        match &seen.body {
            None => return Err(Need::Read(Read::Body(target.name.clone(), arn.clone()))),
            Some(Some(body)) if o.current().is_some_and(|pair| pair.chain.leaf.der == *body) => return Ok(false),
            Some(_) => {}
        }
    }
    let policy = o.accounts.get(account).and_then(|a| a.as_ref()).and_then(|a| a.spec.policy.as_ref());
    let policy = policy.map(|policy| policy.adoption).unwrap_or_default();
    let by = format!("{}/{}", o.namespace(), o.name());
    let allowed = match policy {
        Adoption::Deny => {
            return Err(refused(format!(
                "AwsAccount {account:?} lets no certificate be taken over (its policy.adoption is Deny), so {arn} is left alone"
            )));
        }
        Adoption::Consent => tags.as_ref().is_some_and(|tags| tags.get(CONSENT_TAG) == Some(&by)),
        Adoption::Any => tags.is_some(),
    };
    if !allowed {
        let missing = format!("ACM has no certificate {arn}");
        let message = match policy {
            Adoption::Consent => format!(
                "{missing}, or one without the consent that AwsAccount {account:?} asks for (its policy.adoption is Consent): \
                 the tag {CONSENT_TAG} with the value {by}"
            ),
            Adoption::Deny | Adoption::Any => missing,
        };
        return Err(refused_for_now(o, &message, now));
    }
    if claimed {
        let message = format!(
            "{arn} carries tags of another Certificate, or of another cluster ({OURS}…), and is left alone: if nothing keeps \
             it any more, remove those tags"
        );
        return Err(refused_for_now(o, &message, now));
    }
    Ok(false)
}

/// Whether a certificate was taken over: it is never deleted as a second one.
#[must_use]
pub fn is_adopted(arn: &CertificateArn, tags: &Tags) -> bool {
    tags.get(ADOPTED_TAG).is_some_and(|of| of == arn.as_str())
}

/// Whether tags say that a certificate is some Certificate's, whole or in part.
fn is_claimed(tags: &Tags) -> bool {
    tags.keys().any(|key| {
        let key = key.to_ascii_lowercase();
        key.starts_with(OURS) && key != CONSENT_TAG
    })
}

/// What ACM has under the ARN, if it is something that can be imported over.
fn installed<'a>(target: &Target, seen: &'a TargetObserved, arn: &CertificateArn) -> Result<&'a Installed, Need> {
    match &seen.installed {
        None => Err(Need::Read(Read::Installed(target.name.clone(), arn.clone()))),
        Some(None) => Err(refused(format!("ACM has no certificate {arn}"))),
        Some(Some(installed)) if !installed.description.imported => Err(refused(format!(
            "{arn} was not imported into ACM but issued there, and ACM imports only over what was imported: let what uses it use \
             a new one"
        ))),
        Some(Some(installed)) => Ok(installed),
    }
}

/// What of a certificate that is there ACM goes by.
pub(super) fn planned(leaf: &X509) -> Option<PlannedCertificate> {
    let algorithm = leaf.algorithm?;
    Some(PlannedCertificate {
        algorithm,
        signing_family: algorithm.family(),
        usages: leaf.usages.clone(),
        names: source::names(leaf),
        key_pem_bytes: 0,
    })
}

/// Why ACM would not import it over what it has there: all of it. The certificate itself tells of its usages more surely than
/// DescribeCertificate.
fn problems(
    o: &Observed,
    target: &Target,
    seen: &TargetObserved,
    arn: &CertificateArn,
    installed: &Installed,
    planned: &PlannedCertificate,
) -> Result<Vec<String>, Need> {
    let Some(body) = &seen.body else { return Err(Need::Read(Read::Body(target.name.clone(), arn.clone()))) };
    let there = body.as_ref().and_then(|der| X509::from_der(der).ok());
    let current = CurrentInAcm {
        domains: installed.description.names.clone(),
        ..there.as_ref().map_or_else(|| described(&installed.description), CurrentInAcm::of_certificate)
    };
    let mut problems = reimport_problems(&current, planned);
    if there.is_some() {
        problems.extend(introduced_problems(&current, planned));
    }
    let mut problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    // Whoever keeps a source makes the key.
    if o.certificate.spec.source_secret().is_none() {
        problems.extend(key_to_ask_for(&current, planned));
        if there.is_some() {
            problems.extend(usages_to_ask_for(&current, planned));
        }
    }
    Ok(problems)
}

fn misfit(target: &Target, arn: &CertificateArn, problems: &[String], what: &str) -> Refusal {
    let message = format!(
        "ACM would refuse the certificate in place of the one under {arn} (target {}), so it is not {what}: {}",
        target.name,
        problems.join("; ")
    );
    Refusal { reason: MISFIT, message }
}

/// Before anything is paid for: may the certificate be taken over, and will what comes fit? False: the target has another one
/// already, and goes on with that.
///
/// # Errors
/// What has to be looked at, or what is in the way.
pub(super) fn preflight(
    o: &Observed,
    target: &Target,
    status: &TargetStatus,
    arn: &CertificateArn,
    planned: &PlannedCertificate,
    now: Timestamp,
) -> Result<bool, Need> {
    let none = TargetObserved::default();
    let seen = o.targets.get(&target.name).unwrap_or(&none);
    if status.arn.is_none() {
        let serial = o.current().map(|pair| &pair.chain.leaf.serial);
        let found = ours(o, target, status, serial, now)?;
        if !found.is_empty() && found.iter().all(|(summary, _)| summary.arn != *arn) {
            return Ok(false);
        }
    }
    whose(o, target, seen, status, arn, now)?;
    let installed = installed(target, seen, arn)?;
    let problems = problems(o, target, seen, arn, installed, planned)?;
    if problems.is_empty() {
        return Ok(true);
    }
    Err(Need::Stalled(misfit(target, arn, &problems, "asked for"), FOR_A_PERSON))
}

/// The target has its certificate in place: what it took over is its own from now on.
pub(super) fn done(status: &mut TargetStatus, now: Timestamp) {
    let arn = status.arn.as_ref();
    if let Some(adoption) = status.adoption.as_mut().filter(|a| Some(&a.certificate_arn) == arn) {
        adoption.adopted_at.get_or_insert(Time(whole_seconds(now)));
        // Whoever imported it ended before it could say when.
        status.imported_at.get_or_insert(Time(whole_seconds(now)));
    }
}

/// The certificate that a target had is gone from ACM: it is not to be taken over once more, whatever the spec says.
pub(super) fn lost(target: &Target, status: &mut TargetStatus, now: Timestamp) {
    if target.certificate_arn.is_some() && target.certificate_arn == status.arn {
        status.adoption = status.arn.clone().map(|arn| AdoptionStatus { certificate_arn: arn, adopted_at: None });
        done(status, now);
    }
}

/// The spec does not name any more what was to be taken over, and nothing of ours came to it: the target is as any other.
///
/// Some: what has to be looked at before that can be said.
pub(super) fn withdrawn(
    o: &Observed,
    target: &Target,
    seen: &TargetObserved,
    status: &mut TargetStatus,
) -> Option<Need> {
    let begun = status.adoption.as_ref().filter(|_| is_under_way(status) && status.serial_number.is_none())?;
    if target.certificate_arn.as_ref() == Some(&begun.certificate_arn) || o.memory.imported.contains_key(&target.name) {
        return None;
    }
    match &seen.tags {
        None => Some(Need::Read(Read::Tags(target.name.clone(), begun.certificate_arn.clone()))),
        Some(Some(tags)) if is_ours(o, target, tags) => None,
        Some(_) => {
            (status.arn, status.adoption) = (None, None);
            None
        }
    }
}

/// A target was imported under an ARN: what was seen before says nothing any more. Nor do the tags, if that took it over: AWS's
/// documentation does not say that they outlive an import.
pub fn note_import(o: &mut Observed, target: &str, arn: &CertificateArn) {
    let stored = o.certificate.status.iter().flat_map(|s| &s.targets).find(|t| t.name == target);
    let anew = stored.is_none_or(|t| is_under_way(t) || t.arn.as_ref() != Some(arn));
    let Some(seen) = o.targets.get_mut(target) else { return };
    (seen.installed, seen.body) = (None, None);
    if anew {
        seen.tags = None;
    }
}

/// Whether a step does something to a certificate that is not known to be this target's: its spec is read afresh before.
#[must_use]
pub fn takes_over(o: &Observed, write: &Write) -> bool {
    let stored = |name: &str| o.certificate.status.iter().flat_map(|s| &s.targets).find(|t| t.name == name);
    match write {
        Write::Retag(_, _, tags, _) => tags.contains_key(ADOPTED_TAG),
        Write::Reimport(target, _) => stored(target).is_some_and(is_under_way),
        _ => false,
    }
}

/// Why the first certificate is issued, in `status.history[].trigger`.
pub(super) const TRIGGER: &str = "Adopted";

/// Whether a target waits for the first certificate to take over an ARN with it.
pub(super) fn is_wanted(o: &Observed) -> bool {
    o.certificate.spec.acm.iter().any(|target| target.certificate_arn.is_some())
}

/// What is told of a certificate that was taken over.
pub(super) fn adopted(status: &TargetStatus) -> Option<String> {
    let there = status.arn.as_ref();
    let adoption = status.adoption.as_ref().filter(|a| a.adopted_at.is_some() && Some(&a.certificate_arn) == there)?;
    Some(format!(
        "target {}: {} was taken over: it has a new certificate with a new key, since the key that it had can't be read from ACM, and \
         is renewed under this ARN from now on",
        status.name, adoption.certificate_arn
    ))
}
