//! What is said of a certificate that ACM keeps: conditions, times, history.

use super::{ISSUED, RENEWS_BEFORE, wants_secret};
use crate::{
    api::{
        certificate::{CertificateStatus, HistoryEntry, NextStep, TargetState},
        conditions::{DELIVERED, Finding, ISSUING, READY, STALLED, conditions, is_true, whole_seconds},
    },
    core::{
        Step,
        access::Refusal,
        certificate::{LONG, Next, Observed, Read, Write, believed, owned, publishing, status, wanted, watched},
    },
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// Makes the step, and writes the status that goes with it.
pub(super) fn tell(
    o: &Observed,
    before: &CertificateStatus,
    after: &mut CertificateStatus,
    next: &Next,
    publishing: &Next,
    now: Timestamp,
) -> Step<Read, Write> {
    let (waits, stalled) = match next {
        Next::Read(read) => return Step::Read(read.clone()),
        Next::Write(write) => return Step::Write(write.clone()),
        Next::Wait(why, _) => (Some(why), None),
        Next::Stalled(why, _) => (Some(why), Some(why)),
        Next::Save | Next::Quiet(_) | Next::Settled(_) => (None, None),
    };
    match publishing {
        Next::Read(read) => return Step::Read(read.clone()),
        Next::Write(write) => return Step::Write(write.clone()),
        _ => {}
    }
    let rest = |next: &Next| match next {
        Next::Quiet(rest) | Next::Wait(_, rest) | Next::Stalled(_, rest) | Next::Settled(rest) => *rest,
        Next::Read(_) | Next::Write(_) | Next::Save => LONG,
    };
    let rest = rest(next).min(rest(publishing));
    if matches!(next, Next::Quiet(_)) && after.published == before.published && !is_true(&before.conditions, STALLED) {
        after.clone_from(before);
        return Step::Rest(rest);
    }
    facts(o, before, after, now);
    let generation = o.certificate.metadata.generation.unwrap_or_default();
    let findings = findings(o, after, waits, stalled, now);
    after.next = next_step(o, after, waits);
    after.observed_generation = Some(generation);
    after.conditions = conditions(&before.conditions, &findings, generation, now);
    status::note_arrival(o, after, now);
    match (next, publishing) {
        (Next::Save, _) | (_, Next::Save) => Step::SaveStatus,
        _ => Step::Rest(rest),
    }
}

/// What the certificate is: that in the Secret, where there is to be one, else that in ACM.
fn facts(o: &Observed, before: &CertificateStatus, after: &mut CertificateStatus, now: Timestamp) {
    let delivered = after.targets.iter().filter(|t| t.arn.is_some()).filter_map(|t| t.account_id.as_deref());
    after.accounts = watched::several(delivered.collect(), o);
    after.found = None;
    let shown = after.targets.first().and_then(|t| t.serial_number.clone());
    if wants_secret(&o.certificate.spec) {
        if let Some(pair) = o.current().filter(|pair| owned(o) && shown == Some(pair.chain.leaf.serial.to_string())) {
            let leaf = &pair.chain.leaf;
            after.serial_number = shown;
            after.not_before = Some(Time(whole_seconds(leaf.not_before)));
            after.not_after = Some(Time(whole_seconds(leaf.not_after)));
            after.fingerprint = Some(leaf.fingerprint());
        }
    } else {
        let target = after.targets.first().map(|t| t.name.clone()).unwrap_or_default();
        let seen = o.targets.get(&target).and_then(|seen| seen.installed.as_ref()).and_then(|i| i.as_ref());
        match (seen, &shown) {
            (Some(installed), Some(_)) => {
                let description = &installed.description;
                after.serial_number.clone_from(&shown);
                after.not_before = description.not_before.map(|t| Time(whole_seconds(t)));
                after.not_after = description.not_after.map(|t| Time(whole_seconds(t)));
            }
            (_, None) => (after.serial_number, after.not_before, after.not_after) = (None, None, None),
            (None, Some(_)) => {}
        }
        after.fingerprint = None;
    }
    let renewed = after
        .managed
        .as_ref()
        .is_some_and(|m| m.state == ISSUED && m.renewal_eligibility.as_deref() != Some("INELIGIBLE"));
    let at = after.not_after.as_ref().and_then(|ends| ends.0.checked_sub(RENEWS_BEFORE).ok());
    after.renewal_time = at.filter(|_| renewed).map(|at| Time(whole_seconds(at)));
    remember(o, before, after, now);
}

fn remember(o: &Observed, before: &CertificateStatus, after: &mut CertificateStatus, now: Timestamp) {
    let limit = usize::try_from(o.certificate.spec.history_limit).unwrap_or(1).max(1);
    if let (Some(serial), Some(begins), Some(ends)) = (&after.serial_number, &after.not_before, &after.not_after)
        && after.history.first().is_none_or(|newest| newest.serial_number != *serial)
    {
        let stored = believed(before.revision);
        let revision = if before.serial_number.as_ref() == Some(serial) { stored.max(1) } else { stored + 1 };
        let managed = after.managed.clone().unwrap_or_default();
        let asked = managed.requested.as_ref().is_some_and(|r| before.serial_number.as_ref() == Some(&r.serial_number));
        let trigger = match (managed.renewal, asked) {
            (None, false) => wanted::Trigger::First.name(),
            (_, true) => wanted::Trigger::Requested.name(),
            (Some(_), false) => "ManagedRenewal",
        };
        let entry = HistoryEntry {
            revision,
            serial_number: serial.clone(),
            not_before: begins.clone(),
            not_after: ends.clone(),
            trigger: trigger.to_owned(),
            request: None,
            issued_at: Time(whole_seconds(now)),
            delivered_at: None,
        };
        after.history.insert(0, entry);
        after.revision = Some(revision);
    }
    after.history.truncate(limit);
}

fn findings(
    o: &Observed,
    after: &CertificateStatus,
    waits: Option<&Refusal>,
    stalled: Option<&Refusal>,
    now: Timestamp,
) -> Vec<Finding> {
    let enabled = o.certificate.spec.enabled;
    let ends = after.not_after.as_ref().map(|t| t.0).filter(|_| after.serial_number.is_some());
    let delivered = after.targets.iter().all(|t| t.serial_number.is_some());
    let revoked = stalled.filter(|why| ["Revoked", "SecretConflict"].contains(&why.reason));
    let ready = match (ends, waits) {
        (None, Some(why)) => Finding::no(READY, why.reason, &*why.message),
        (None, None) if !enabled => {
            Finding::no(READY, "Disabled", "spec.enabled is false and there is no certificate yet")
        }
        (None, None) => Finding::no(READY, "Issuing", "ACM is asked for the certificate"),
        (Some(ends), _) if ends <= now => Finding::no(READY, "Expired", format!("The certificate ended at {ends}")),
        (Some(ends), _) if !enabled => {
            let message = format!(
                "spec.enabled is false: the certificate is kept as it is, and ACM goes on renewing it; it ends at {ends}"
            );
            Finding::yes(READY, "Disabled", message)
        }
        (Some(_), Some(why)) if !delivered => Finding::no(READY, why.reason, &*why.message),
        (Some(_), None) if !delivered => Finding::no(READY, "Issuing", "ACM is asked for another certificate"),
        (Some(_), _) if revoked.is_some() => {
            let why = revoked.map_or(("", String::new()), |why| (why.reason, why.message.clone()));
            Finding::no(READY, why.0, why.1)
        }
        (Some(ends), _) => {
            let message = match stalled {
                Some(why) => format!("{}, but stalled: {}: {}", message(after, ends), why.reason, why.message),
                None => status::with_unheard(o, message(after, ends)),
            };
            Finding::yes(READY, "UpToDate", message)
        }
    };
    let mut findings = vec![ready];
    if let Some(why) = waits.filter(|_| ends.is_some() || stalled.is_none()) {
        findings.push(Finding::yes(ISSUING, why.reason, &*why.message));
    }
    if let Some(target) = after.targets.first() {
        findings.push(if target.state == TargetState::Delivered {
            Finding::yes(DELIVERED, "Delivered", "ACM has the certificate")
        } else {
            let why = target.message.as_deref().unwrap_or("ACM is asked for it");
            Finding::no(DELIVERED, "Delivering", format!("target {}: {why}", target.name))
        });
    }
    findings.extend(publishing::finding(o, after));
    if let Some(why) = stalled {
        findings.push(Finding::yes(STALLED, why.reason, &*why.message));
    }
    findings
}

fn message(after: &CertificateStatus, ends: Timestamp) -> String {
    match &after.renewal_time {
        Some(at) => format!("Valid until {ends}, to be renewed by ACM from {} on", at.0),
        None => format!("Valid until {ends}; ACM does not renew it as long as nothing uses it and it is not exported"),
    }
}

fn next_step(o: &Observed, after: &CertificateStatus, waits: Option<&Refusal>) -> Option<NextStep> {
    let step = |action: &str, at, blocked_by| Some(NextStep { action: action.to_owned(), at, blocked_by });
    if !o.certificate.spec.enabled {
        return step("Nothing", None, Some("spec.enabled is false".into()));
    }
    if let Some(why) = waits {
        let action = if after.serial_number.is_some() { "Renew" } else { "Issue" };
        return step(action, None, Some(why.reason.to_owned()));
    }
    match &after.renewal_time {
        Some(at) => step("Renew", Some(at.clone()), None),
        None if after.serial_number.is_some() => {
            step("Nothing", None, Some("ACM renews only what is in use or was exported".into()))
        }
        None => step("Issue", None, None),
    }
}
