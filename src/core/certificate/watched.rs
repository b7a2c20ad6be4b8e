//! A Certificate that is only watched: what ACM says of it is told, and nothing is written to AWS.

use super::{
    FINALIZER, Installed, LONG, Observed, PATIENCE, Read, Write, age, delivery::fresh, drift, removed::is_named,
};
use crate::{
    api::{
        ACM_VERSION_ANNOTATION, DISCOVERED_BY_LABEL,
        certificate::{CertificateStatus, DeletionPolicy, Found, NextStep, Target, TargetState, TargetStatus},
        conditions::{Finding, READY, STALLED, conditions, whole_seconds},
        names::{CertificateArn, Located},
    },
    core::{
        Decision, Event, Step,
        access::{Access, Refusal, UNTIL_IT_PASSES, access_to_watch},
        backoff::FOR_A_PERSON,
        discovery::GONE_FROM_ACM,
    },
    text::plain,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use std::collections::BTreeSet;

/// What nobody discovered is looked at once in so long.
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// The state of what ACM does not have.
const GONE: &str = "GONE";
/// The reason of the event when a certificate is found in another account, too.
const IN_SEVERAL_ACCOUNTS: &str = "InSeveralAccounts";
/// The longest word of AWS that the status repeats, in bytes.
const LONGEST_WORD: usize = 64;

/// One step for a Certificate that is only watched.
pub(super) fn decide(
    o: &Observed,
    before: CertificateStatus,
    now: Timestamp,
) -> Decision<CertificateStatus, Read, Write> {
    let quiet = |step, status| Decision { step, status, events: vec![] };
    // It was managed before: nothing in AWS goes with it any more.
    if o.certificate.finalizers().iter().any(|f| f == FINALIZER) {
        return quiet(Step::Write(Write::Finalizer(false)), before);
    }
    if o.certificate.metadata.deletion_timestamp.is_some() {
        return quiet(Step::Rest(LONG), before);
    }
    let mut after = before.clone();
    let target = o.certificate.spec.acm.first().and_then(|t| Some((t, t.certificate_arn.as_ref()?)));
    let (finding, stalled, rest) = match target {
        None => {
            let why = "spec.acm has no certificateArn: there is nothing to watch";
            (Finding::no(READY, "NothingToWatch", why), true, LONG)
        }
        Some(_) if !o.certificate.spec.enabled => {
            (Finding::no(READY, "Disabled", "spec.enabled is false: it is not watched"), false, LONG)
        }
        Some((target, arn)) => match watch(o, target, arn, &before, now) {
            Look::Step(step) => return quiet(step, before),
            Look::Refused(why, rest) => (Finding::no(READY, why.reason, why.message), true, rest),
            Look::Passes(why, rest) => (Finding::no(READY, why.reason, why.message), false, rest),
            Look::Seen(seen) => {
                take(o, target, arn, seen, &mut after);
                told(arn, &after, now)
            }
            Look::Known => told(arn, &after, now),
        },
    };
    finish(o, &before, after, finding, stalled, rest, now)
}

/// Whether the status is that of a Certificate that was only watched.
pub(super) fn was_watched(status: &CertificateStatus) -> bool {
    status.found.is_some()
}

/// It is to be managed from now on: what ACM was seen to have is to be taken over. What was delivered when it was managed before
/// is gone on with: whoever forgot it would make a second ARN with the same tags.
pub(super) fn begun_anew(o: &Observed, status: CertificateStatus) -> CertificateStatus {
    let CertificateStatus { observed_generation, conditions, accounts, published, managed, managed_targets, .. } =
        status;
    let targets = managed_targets.into_iter().filter(|t| is_named(o, &t.name));
    let targets = targets.map(|t| TargetStatus { state: TargetState::Pending, message: None, ..t }).collect();
    // What ACM was asked for counts for the budget still, and is not asked for again.
    let managed = managed.filter(|_| o.is_managed());
    CertificateStatus {
        observed_generation,
        targets,
        published,
        managed,
        accounts,
        conditions,
        ..CertificateStatus::default()
    }
}

/// The targets of what was managed until now; an import whose answer is known only here counts, too.
fn managed_targets(o: &Observed, targets: &[TargetStatus]) -> Vec<TargetStatus> {
    let mut kept = targets.to_vec();
    for target in kept.iter_mut().filter(|target| target.arn.is_none()) {
        if let Some(imported) = o.memory.imported.get(&target.name) {
            target.arn = Some(imported.arn.clone());
            (target.imported_at, target.pending_since) = (Some(Time(whole_seconds(imported.at))), None);
        }
    }
    kept
}

/// What a look gives.
enum Look<'a> {
    Step(Step<Read, Write>),
    Refused(Refusal, SignedDuration),
    /// AWS can't be reached, and nothing was told yet.
    Passes(Refusal, SignedDuration),
    /// ACM was asked; none: it has nothing there.
    Seen(Option<&'a Installed>),
    /// What was told before still stands.
    Known,
}

fn watch<'a>(
    o: &'a Observed,
    target: &Target,
    arn: &CertificateArn,
    before: &CertificateStatus,
    now: Timestamp,
) -> Look<'a> {
    let (account, region) = o.place(target);
    let seen = o.targets.get(&target.name);
    if let Some(installed) = seen.and_then(|seen| seen.installed.as_ref()) {
        return Look::Seen(installed.as_ref());
    }
    let due = is_due(o, target, arn, before, now);
    let young = age(o.certificate.creation_timestamp().map(|t| t.0), now);
    let wait = Step::Rest(PATIENCE.saturating_sub(young).max(SignedDuration::from_secs(1)));
    let found = o.accounts.get(account).and_then(|a| a.as_deref());
    match access_to_watch(found, account, &o.namespace(), o.namespace_labels.as_ref(), region) {
        Access::NeedsLabels if due => return Look::Step(Step::Read(Read::Namespace)),
        Access::Refused(_) if young < PATIENCE => return Look::Step(wait),
        Access::Refused(why) => return Look::Refused(why, FOR_A_PERSON),
        Access::NeedsLabels | Access::Granted => {}
    }
    if arn.region() != region.as_str() {
        let message = format!("certificateArn {arn} does not lie in region {region}");
        return Look::Refused(Refusal { reason: "ArnElsewhere", message }, FOR_A_PERSON);
    }
    if !due {
        return Look::Known;
    }
    if seen.is_some_and(|seen| seen.failed)
        && let Some(failure) = o.memory.target_failures.get(&target.name)
    {
        let why = Refusal { reason: failure.reason(), message: failure.error.to_string() };
        return if failure.needs_a_person() {
            Look::Refused(why, failure.wait())
        } else if o.is_untold() && !o.is_discovered() && failure.is_told_of(true) {
            Look::Passes(why, failure.wait())
        } else {
            // A passing fault changes nothing of what is known.
            Look::Step(Step::Rest(failure.wait()))
        };
    }
    match o.sessions.get(account) {
        None => Look::Step(Step::Read(Read::Session(account.to_owned()))),
        Some(Err(_)) if young < PATIENCE => Look::Step(wait),
        Some(Err(why)) if why.passes() && o.is_untold() && !o.is_discovered() => {
            Look::Passes(why.clone(), UNTIL_IT_PASSES)
        }
        // It changes nothing of what is known.
        Some(Err(why)) if why.passes() => Look::Step(Step::Rest(UNTIL_IT_PASSES)),
        Some(Err(why)) => Look::Refused(why.clone(), FOR_A_PERSON),
        Some(Ok(id)) if id.as_str() != arn.account() => {
            let message =
                format!("AwsAccount {account:?} is AWS account {id}, and certificateArn {arn} lies in another");
            Look::Refused(Refusal { reason: "ArnElsewhere", message }, FOR_A_PERSON)
        }
        Some(Ok(_)) => Look::Step(Step::Read(Read::Watched(target.name.clone(), arn.clone()))),
    }
}

/// Whether ACM has to be asked: what discovery found, when its list says something new of it; what a person names, once a day.
fn is_due(o: &Observed, target: &Target, arn: &CertificateArn, before: &CertificateStatus, now: Timestamp) -> bool {
    let known = before.found.as_ref().filter(|_| before.targets.iter().any(|t| t.arn.as_ref() == Some(arn)));
    let Some(found) = known else { return true };
    if o.is_discovered() {
        return found.version != version(o);
    }
    let last = o.memory.looked.get(&target.name);
    last.and_then(|last| drift::slot(&o.uid(), &target.name, DAY, last)).is_some_and(|at| at <= now)
}

/// What discovery wrote of ACM's list.
fn version(o: &Observed) -> Option<String> {
    let text = o.certificate.annotations().get(ACM_VERSION_ANNOTATION);
    text.filter(|_| o.is_discovered()).map(|text| plain(text, LONGEST_WORD))
}

impl Observed {
    /// Whether discovery made the object.
    #[must_use]
    pub fn is_discovered(&self) -> bool {
        self.certificate.labels().contains_key(DISCOVERED_BY_LABEL)
    }
}

/// Takes what ACM said into the status.
fn take(
    o: &Observed,
    target: &Target,
    arn: &CertificateArn,
    installed: Option<&Installed>,
    after: &mut CertificateStatus,
) {
    if after.found.is_none() {
        after.managed_targets = managed_targets(o, &after.targets);
    }
    let mut entry = TargetStatus {
        account_id: Some(arn.account().to_owned()),
        arn: Some(arn.clone()),
        deletion_policy: DeletionPolicy::Retain,
        state: TargetState::Delivered,
        message: None,
        ..fresh(o, target)
    };
    let word = |text: &str| Some(plain(text, LONGEST_WORD)).filter(|text| !text.is_empty());
    if let Some(Installed { description, serial }) = installed {
        after.serial_number = serial.as_ref().map(ToString::to_string);
        after.not_before = description.not_before.map(|t| Time(whole_seconds(t)));
        after.not_after = description.not_after.map(|t| Time(whole_seconds(t)));
        entry.serial_number.clone_from(&after.serial_number);
        entry.in_use_by = drift::in_use_by(description);
        after.found = Some(Found {
            r#type: plain(&description.kind, LONGEST_WORD),
            state: plain(&description.state, LONGEST_WORD),
            key_algorithm: word(&description.algorithm_name),
            renewal_eligibility: word(&description.renewal),
            version: version(o),
        });
    } else {
        // What it was stays, for people.
        let last = after.found.take().unwrap_or_default();
        after.found = Some(Found { state: GONE.into(), version: version(o), ..last });
        entry.serial_number.clone_from(&after.serial_number);
        entry.state = TargetState::Failed;
        entry.message = Some("ACM has no certificate under this ARN any more".into());
    }
    after.targets = vec![entry];
    after.renewal_time = None;
}

/// How it stands, by what is known.
fn told(arn: &CertificateArn, status: &CertificateStatus, now: Timestamp) -> (Finding, bool, SignedDuration) {
    let found = status.found.clone().unwrap_or_default();
    let ends = status.not_after.as_ref().map(|t| t.0);
    let reason = match found.state.as_str() {
        GONE => Some((
            GONE_FROM_ACM,
            format!(
                "ACM has no certificate {arn} (any more): correct certificateArn, or delete this Certificate if it went for good"
            ),
        )),
        "PENDING_VALIDATION" => Some(("PendingValidation", "its domains are not validated yet".into())),
        "VALIDATION_TIMED_OUT" => Some(("ValidationTimedOut", "its domains were not validated in time".into())),
        "FAILED" => Some(("Failed", "ACM could not issue it".into())),
        "REVOKED" => Some(("Revoked", "it is revoked".into())),
        "INACTIVE" => Some(("Inactive", "ACM calls it inactive".into())),
        state if state == "EXPIRED" || ends.is_some_and(|ends| ends <= now) => {
            let when = ends.map_or_else(String::new, |ends| format!(" at {ends}"));
            Some(("Expired", format!("it ended{when}")))
        }
        _ => None,
    };
    let rest = ends.filter(|ends| *ends > now).map_or(LONG, |ends| LONG.min(ends.duration_since(now)));
    let rest = rest.max(SignedDuration::from_secs(1));
    let only = "it is only watched (spec.management is Observe)";
    let finding = if let Some((reason, message)) = reason {
        Finding::no(READY, reason, format!("{message}; {only}"))
    } else {
        let ends = ends.map_or_else(|| "no known time".into(), |ends| ends.to_string());
        Finding::yes(READY, "Observed", format!("Valid until {ends}; {only}"))
    };
    (finding, false, rest)
}

fn finish(
    o: &Observed,
    before: &CertificateStatus,
    mut after: CertificateStatus,
    finding: Finding,
    stalled: bool,
    rest: SignedDuration,
    now: Timestamp,
) -> Decision<CertificateStatus, Read, Write> {
    let generation = o.certificate.metadata.generation.unwrap_or_default();
    let mut findings = vec![finding];
    if stalled {
        let Finding { reason, message, .. } = findings[0].clone();
        findings.push(Finding::yes(STALLED, reason, message));
    }
    let own: BTreeSet<&str> = after.targets.iter().filter_map(|t| t.account_id.as_deref()).collect();
    after.accounts = several(own, o);
    after.observed_generation = Some(generation);
    after.next =
        Some(NextStep { action: "Nothing".into(), at: None, blocked_by: Some("spec.management is Observe".into()) });
    after.conditions = conditions(&before.conditions, &findings, generation, now);
    let mut events: Vec<Event> = transition(before, &after).into_iter().collect();
    events.extend(in_several(before, &after));
    // A look of its own is due at its time, whatever else.
    let rest = match o.certificate.spec.acm.first() {
        Some(target) if !o.is_discovered() => {
            let look = drift::slot(&o.uid(), &target.name, DAY, now);
            look.map_or(rest, |at| rest.min(at.duration_since(now).max(SignedDuration::from_secs(1))))
        }
        _ => rest,
    };
    Decision { step: Step::Rest(rest), status: after, events }
}

/// In how many accounts it is, if in several.
pub(super) fn several<'a>(mut own: BTreeSet<&'a str>, o: &'a Observed) -> Option<i32> {
    own.extend(o.held_by.iter().map(String::as_str));
    (own.len() > 1).then_some(i32::try_from(own.len()).unwrap_or(i32::MAX))
}

/// It was found in more accounts than before.
pub(super) fn in_several(before: &CertificateStatus, after: &CertificateStatus) -> Option<Event> {
    let count = after.accounts.filter(|count| before.accounts.is_none_or(|before| before < *count))?;
    let serial = after.serial_number.as_deref().unwrap_or_default();
    let note = format!(
        "the certificate with serial number {serial} is in {count} AWS accounts: whoever gets into one of them has the key of all"
    );
    Some(Event { warning: true, reason: IN_SEVERAL_ACCOUNTS.into(), note })
}

/// What was fine, or was something else, is not any more. What was never told is no news.
fn transition(before: &CertificateStatus, after: &CertificateStatus) -> Option<Event> {
    fn ready(status: &CertificateStatus) -> Option<&k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition> {
        status.conditions.iter().find(|c| c.type_ == READY)
    }
    let (old, new) = (ready(before)?, ready(after)?);
    let news = new.status == "False" && new.reason != old.reason && new.reason != "Disabled";
    news.then(|| Event { warning: true, reason: new.reason.clone(), note: new.message.clone() })
}
