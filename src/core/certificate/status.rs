//! What is said of a Certificate: conditions, times, targets, history, events.

use super::{
    Next, Observed, Read, Write, adoption,
    delivery::Outcome,
    drift::DRIFT,
    publishing,
    removed::is_named,
    renewal::{self, Due},
    source, wanted, watched,
    write::TRIGGER_ANNOTATION,
};
use crate::{
    api::{
        certificate::{CertificateStatus, HistoryEntry, NextStep, TargetState, TargetStatus},
        conditions::{DELIVERED, Finding, ISSUING, READY, STALLED, conditions, is_true, whole_seconds},
    },
    core::{Event, Step, access::Refusal},
    pki::certificate::Certificate as X509,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

/// The reason of a passing fault of AWS.
const UNAVAILABLE: &str = "AwsUnavailable";
/// Said of a Certificate that is not renewed by itself.
const NOT_RENEWED: &str = "it is not renewed by itself, since spec.issuance.renewals is Disabled";

/// Makes the step of what issuance and delivery need, and writes the status that goes with it.
pub(super) fn tell(
    o: &Observed,
    before: &CertificateStatus,
    after: &mut CertificateStatus,
    issuance: &Next,
    delivery: Outcome,
    publishing: &Next,
    now: Timestamp,
) -> Step<Read, Write> {
    let (waits, stalled) = match issuance {
        Next::Read(read) => return Step::Read(read.clone()),
        Next::Write(write) => return Step::Write(write.clone()),
        Next::Wait(why, _) => (Some(why.clone()), None),
        Next::Stalled(why, _) => (Some(why.clone()), Some(why.clone())),
        Next::Save | Next::Quiet(_) | Next::Settled(_) => (None, None),
    };
    match delivery.next {
        Next::Read(read) => return Step::Read(read),
        Next::Write(write) => return Step::Write(write),
        _ => {}
    }
    match publishing {
        Next::Read(read) => return Step::Read(read.clone()),
        Next::Write(write) => return Step::Write(write.clone()),
        _ => {}
    }
    let rest = [issuance, &delivery.next, publishing].into_iter().filter_map(wait).min().unwrap_or(super::LONG);
    // A revision on its way says nothing of itself: the request does, and each write is paid for by the API server.
    let nothing_new =
        matches!(issuance, Next::Quiet(_)) && !matches!(delivery.next, Next::Save) && after.targets == before.targets;
    let published = after.published != before.published;
    // AWS could not be reached, which was told, and can be now.
    let fails = o.failed || o.targets.values().any(|target| target.failed);
    let is_over = !fails && before.conditions.iter().any(|c| c.type_ == READY && c.reason == UNAVAILABLE);
    if (nothing_new || delivery.quiet && matches!(issuance, Next::Quiet(_) | Next::Settled(_)))
        && !published
        && !is_over
        && !is_true(&before.conditions, STALLED)
    {
        after.clone_from(before);
        return Step::Rest(rest);
    }
    if matches!(delivery.next, Next::Quiet(_))
        && matches!(issuance, Next::Quiet(_) | Next::Settled(_))
        && !published
        && is_no_news(before, after)
    {
        after.clone_from(before);
        return Step::Rest(rest);
    }
    facts(o, after, now);
    let generation = o.certificate.metadata.generation.unwrap_or_default();
    let findings = findings(o, after, waits.as_ref(), stalled.as_ref(), &delivery, now);
    after.next = next_step(o, after, waits.as_ref(), &delivery, now);
    after.observed_generation = Some(generation);
    after.conditions = conditions(&before.conditions, &findings, generation, now);
    note_arrival(o, after, now);
    match (delivery.next, publishing) {
        (Next::Save, _) | (_, Next::Save) => Step::SaveStatus,
        _ => Step::Rest(rest),
    }
}

/// Nothing happened to a target that is worth a write.
fn is_no_news(before: &CertificateStatus, after: &CertificateStatus) -> bool {
    let new = |target: &TargetStatus| target.arn.is_none() && target.pending_since.is_none();
    after.targets.iter().all(|t| super::entry(before, &t.name).map_or_else(|| new(t), |known| known == t))
}

fn wait(next: &Next) -> Option<jiff::SignedDuration> {
    match next {
        Next::Quiet(wait) | Next::Wait(_, wait) | Next::Stalled(_, wait) | Next::Settled(wait) => Some(*wait),
        Next::Read(_) | Next::Write(_) | Next::Save => None,
    }
}

/// What the certificate in the Secret is.
fn facts(o: &Observed, after: &mut CertificateStatus, now: Timestamp) {
    let delivered = after.targets.iter().filter(|t| t.arn.is_some()).filter_map(|t| t.account_id.as_deref());
    after.accounts = watched::several(delivered.collect(), o);
    // Of the time when it was only watched.
    after.found = None;
    // What can't be delivered is not what there is.
    let Some(pair) = o.current().filter(|_| source::trouble(o, now).is_none()) else { return };
    let leaf = &pair.chain.leaf;
    let revision = o.base_revision();
    after.serial_number = Some(leaf.serial.to_string());
    after.not_before = Some(Time(whole_seconds(leaf.not_before)));
    after.not_after = Some(Time(whole_seconds(leaf.not_after)));
    after.renewal_time = due(o, now).map(|due| Time(due.at));
    after.fingerprint = Some(leaf.fingerprint());
    after.revision = Some(revision);
    after.known_names = source::known_names(o, after);
    remember(o, after, leaf, revision, now);
}

/// When the certificate in the Secret is to be renewed.
fn due(o: &Observed, now: Timestamp) -> Option<Due> {
    let leaf = &o.current()?.chain.leaf;
    renewal::due(&o.certificate.spec, leaf.not_before, leaf.not_after, &o.uid(), now)
}

fn remember(o: &Observed, after: &mut CertificateStatus, leaf: &X509, revision: i64, now: Timestamp) {
    let limit = usize::try_from(o.certificate.spec.history_limit).unwrap_or(1).max(1);
    let serial = leaf.serial.to_string();
    if after.history.first().is_none_or(|newest| newest.revision != revision || newest.serial_number != serial) {
        let source = source::trigger(o, after);
        let request = o.requests.get(&revision).filter(|_| source.is_none());
        let noted = request.and_then(|r| r.annotations().get(TRIGGER_ANNOTATION)).map(String::as_str);
        let trigger = source.or(noted).unwrap_or("Restored");
        after.history.insert(
            0,
            HistoryEntry {
                revision,
                serial_number: serial,
                not_before: Time(whole_seconds(leaf.not_before)),
                not_after: Time(whole_seconds(leaf.not_after)),
                trigger: trigger.to_owned(),
                request: request.map(|r| r.name_any()),
                issued_at: Time(whole_seconds(now)),
                delivered_at: None,
            },
        );
    }
    after.history.truncate(limit);
}

fn findings(
    o: &Observed,
    after: &CertificateStatus,
    waits: Option<&Refusal>,
    stalled: Option<&Refusal>,
    delivery: &Outcome,
    now: Timestamp,
) -> Vec<Finding> {
    let spec = &o.certificate.spec;
    let leaf = o.current().map(|pair| &pair.chain.leaf);
    let valid = leaf.is_some_and(|leaf| leaf.not_after > now);
    // What is taken out of the spec is not waited for.
    let named = || after.targets.iter().filter(|t| is_named(o, &t.name));
    let pending = named().find(|t| t.state != TargetState::Delivered);
    let never = named().find(|t| t.serial_number.is_none());
    // Of what is stalled as a whole, no import is under way.
    let silent = stalled.map_or("the import is under way", |_| "nothing is imported: the condition Stalled says why");
    let target_message = |t: &TargetStatus| {
        let why = t.message.as_deref().unwrap_or(silent);
        format!("target {} ({} in {}): {why}", t.name, t.account, t.region)
    };
    let for_a_person = stalled.or_else(|| delivery.stalled.first().map(|(_, why)| why));
    let source = waits.and_then(|why| source::not_delivering(o, after, why, now));
    let ready = source.unwrap_or_else(|| match (leaf, waits, delivery.stalled.first()) {
        (None, Some(why), _) => Finding::no(READY, why.reason, &*why.message),
        (None, None, _) if !spec.enabled => {
            Finding::no(READY, "Disabled", "spec.enabled is false and there is no certificate yet")
        }
        (None, None, _) => Finding::no(READY, "Issuing", "The first certificate is being issued"),
        (Some(leaf), _, _) if !valid => {
            Finding::no(READY, "Expired", format!("The certificate ended at {}", leaf.not_after))
        }
        (Some(_), Some(why), _) if !super::owned(o) => Finding::no(READY, why.reason, &*why.message),
        (Some(leaf), _, _) if !spec.enabled => Finding::yes(
            READY,
            "Disabled",
            format!(
                "spec.enabled is false: the certificate is kept as it is; it ends at {}",
                whole_seconds(leaf.not_after)
            ),
        ),
        (Some(_), _, stalled) => match (never, stalled) {
            (Some(target), Some((_, why)))
                if named().any(|t| t.serial_number.is_none() && t.state == TargetState::Failed) =>
            {
                Finding::no(READY, why.reason, target_message(target))
            }
            (Some(target), _) => Finding::no(READY, "Delivering", target_message(target)),
            // `kubectl get -o wide` shows this message alone: it must not sound as if all were well.
            (None, _) => {
                let (reason, message) =
                    source::delivering(o, now).unwrap_or_else(|| ("UpToDate", ready_message(o, after, now)));
                let message = match for_a_person {
                    Some(why) => format!("{message}, but stalled: {}: {}", why.reason, why.message),
                    None => with_unheard(o, message),
                };
                Finding::yes(READY, reason, message)
            }
        },
    });
    let mut findings = vec![ready];
    let (issues, imported) = (spec.source_secret().is_none(), after.serial_number.is_some());
    if let Some(why) = waits.filter(|_| issues && (leaf.is_some() || stalled.is_none())) {
        findings.push(Finding::yes(ISSUING, why.reason, &*why.message));
    }
    if !spec.acm.is_empty() && (leaf.is_some() || !issues && imported) {
        findings.push(match pending {
            None if waits.is_some() && !issues => {
                Finding::yes(DELIVERED, "Delivered", "Every target has the certificate that was imported last")
            }
            None => Finding::yes(DELIVERED, "Delivered", "Every target has the current certificate"),
            Some(target) => Finding::no(DELIVERED, "Delivering", target_message(target)),
        });
    }
    findings.extend(publishing::finding(o, after));
    if let Some(why) = for_a_person {
        findings.push(Finding::yes(STALLED, why.reason, &*why.message));
    }
    findings
}

/// A word more where an annotation asks for something that nobody hears: all else looks as if it had been done.
pub(super) fn with_unheard(o: &Observed, message: String) -> String {
    match wanted::unheard(&o.certificate) {
        Some(unheard) => format!("{message}; {unheard}"),
        None => message,
    }
}

fn ready_message(o: &Observed, after: &CertificateStatus, now: Timestamp) -> String {
    let ends = after.not_after.as_ref().map_or_else(String::new, |t| t.0.to_string());
    match due(o, now) {
        None => format!("Valid until {ends}; {NOT_RENEWED}"),
        Some(due) if due.outside => format!(
            "Valid until {ends}, to be renewed at {}, outside of spec.renewal.windows, since none opens in good time before the end",
            due.at
        ),
        Some(due) => format!("Valid until {ends}, to be renewed at {}", due.at),
    }
}

fn next_step(
    o: &Observed,
    after: &CertificateStatus,
    waits: Option<&Refusal>,
    delivery: &Outcome,
    now: Timestamp,
) -> Option<NextStep> {
    let undelivered = after.targets.iter().any(|t| is_named(o, &t.name) && t.state != TargetState::Delivered);
    let step = |action: &str, at, blocked_by| Some(NextStep { action: action.to_owned(), at, blocked_by });
    if !o.certificate.spec.enabled {
        return step("Nothing", None, Some("spec.enabled is false".into()));
    }
    if let Some(why) = waits {
        let action = match o.current() {
            _ if o.certificate.spec.source_secret().is_some() => "Deliver",
            Some(_) => "Renew",
            None => "Issue",
        };
        return step(action, None, Some(why.reason.to_owned()));
    }
    if o.current().is_none() && o.certificate.spec.source_secret().is_none() {
        return step("Issue", None, None);
    }
    if undelivered {
        return step("Deliver", None, delivery.stalled.first().map(|(name, why)| format!("{name}: {}", why.reason)));
    }
    if let Some(secret) = o.certificate.spec.source_secret() {
        return step("Nothing", None, Some(source::kept_by(secret)));
    }
    let forced = o.certificate.annotations().get(crate::api::RENEW_ANNOTATION);
    let blocked_by = wanted::unreadable_request(&o.certificate);
    let asked =
        forced.and_then(|at| at.parse::<Timestamp>().ok()).filter(|at| *at > now).map(|at| Time(whole_seconds(at)));
    let first = [asked, after.renewal_time.clone()].into_iter().flatten().min_by_key(|at| at.0);
    if first.is_none() && blocked_by.is_none() {
        return step("Nothing", None, Some(NOT_RENEWED.into()));
    }
    step("Renew", first, blocked_by)
}

/// Whether every target has the newest one; a target that was delivered may have the one before still.
fn all_delivered(o: &Observed, status: &CertificateStatus) -> bool {
    let mut named = status.targets.iter().filter(|t| is_named(o, &t.name));
    named.all(|t| t.state == TargetState::Delivered && t.serial_number == status.serial_number)
}

/// Notes when the newest revision was everywhere for the first time.
pub(super) fn note_arrival(o: &Observed, status: &mut CertificateStatus, now: Timestamp) {
    let delivered = is_true(&status.conditions, READY) && all_delivered(o, status);
    if let Some(newest) = status.history.first_mut().filter(|newest| delivered && newest.delivered_at.is_none()) {
        newest.delivered_at = Some(Time(whole_seconds(now)));
    }
}

/// The newest revision, once it was everywhere.
fn arrived(status: &CertificateStatus) -> Option<&HistoryEntry> {
    status.history.first().filter(|newest| newest.delivered_at.is_some())
}

/// Transitions worth an event: a revision in place, a new reason to be stalled.
pub(super) fn events(before: &CertificateStatus, after: &CertificateStatus) -> Vec<Event> {
    let mut events = Vec::new();
    let same = |a: &HistoryEntry, b: &HistoryEntry| (a.revision, &a.serial_number) == (b.revision, &b.serial_number);
    // What is put right after a drift is no new certificate.
    if let Some(newest) = arrived(after).filter(|new| !arrived(before).is_some_and(|old| same(old, new))) {
        let (trigger, serial, revision) = (newest.trigger.as_str(), &newest.serial_number, newest.revision);
        let arns: Vec<&str> = after
            .targets
            .iter()
            .filter_map(|t| t.arn.as_ref())
            .map(crate::api::names::CertificateArn::as_str)
            .collect();
        let place = if arns.is_empty() { String::new() } else { format!(", in ACM as {}", arns.join(", ")) };
        let first = [wanted::Trigger::First.name(), adoption::TRIGGER].contains(&trigger);
        let reason = match trigger {
            _ if first => "Issued",
            source::IMPORTED => source::IMPORTED,
            _ => "Renewed",
        };
        let note = format!("Revision {revision} ({trigger}) with serial number {serial}{place}");
        events.push(Event { warning: false, reason: reason.into(), note });
    }
    events.extend(watched::in_several(before, after));
    events.extend(source::events(before, after));
    for target in &after.targets {
        let known = before.targets.iter().any(|t| t.name == target.name && adoption::adopted(t).is_some());
        if let Some(note) = adoption::adopted(target).filter(|_| !known) {
            events.push(Event { warning: false, reason: adoption::TRIGGER.into(), note });
        }
    }
    for target in after.targets.iter().filter(|t| t.state == TargetState::Pending) {
        let was = before.targets.iter().find(|t| t.name == target.name && t.state == TargetState::Delivered);
        if let Some(message) = target.message.as_ref().filter(|_| was.is_some()) {
            let note = format!("target {}: {message}", target.name);
            events.push(Event { warning: true, reason: DRIFT.into(), note });
        }
    }
    events.extend(publishing::events(before, after));
    if let Some(stalled) = after.conditions.iter().find(|c| c.type_ == STALLED)
        && !before.conditions.iter().any(|c| c.type_ == STALLED && c.reason == stalled.reason)
    {
        events.push(Event { warning: true, reason: stalled.reason.clone(), note: stalled.message.clone() });
    }
    events
}
