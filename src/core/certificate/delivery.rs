//! One ARN a target: what is imported where, and under which ARN.
//!
//! ImportCertificate has no idempotency token, so an import without an ARN is begun only right after a record of it was
//! stored, and whoever finds a record without an ARN first waits until ACM would show what came of it.

use super::{
    Next, Observed, Read, Summary, TargetObserved, Write, account_in_the_way, adoption, drift, entry, removed,
    search::{ours, second, settles},
    source,
    under_arn::{READ_BACK, under_arn},
    wanted::{self, Trigger},
};
use crate::{
    api::{
        certificate::{CertificateStatus, Target, TargetState, TargetStatus},
        conditions::whole_seconds,
        names::{CertificateArn, Located},
        shared::Tags,
    },
    core::{
        Event,
        access::Refusal,
        backoff::{FOR_A_PERSON, Failure},
    },
    pki::certificate::Serial,
    text::plain,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::time::Duration;

/// The reason of a target that waits for a new list of what ACM has.
pub(super) const LOOKING: &str = "LookingAtAcm";
/// An import without an ARN begins at most this long after its record was stored (DESIGN: one ARN).
pub const RECORD_FRESH: Duration = Duration::from_secs(5);
/// So far may the clocks of two machines be apart.
const SKEW: SignedDuration = SignedDuration::from_secs(5);

/// The longest message of a target, in bytes: a status holds fifty.
const LONGEST_MESSAGE: usize = 2048;
/// So much passes before anybody could read of it: the longest of `SWEEP_GAPS`, for a list that all share, and a little more.
const MOMENT: SignedDuration = SignedDuration::from_secs(20);
/// Of a Certificate that says nothing yet, so much: then it is worth the one write.
const FIRST_MOMENT: SignedDuration = SignedDuration::from_secs(10);

/// Whether a wait is not worth a write.
pub(super) fn is_quiet(o: &Observed, why: &Refusal, rest: SignedDuration) -> bool {
    why.reason == LOOKING && rest <= if o.is_untold() { FIRST_MOMENT } else { MOMENT }
}

/// What the targets need, all together.
pub(super) struct Outcome {
    /// The step, or how long to rest.
    pub next: Next,
    /// Targets that wait for a person: their names and why.
    pub stalled: Vec<(String, Refusal)>,
    /// Nothing is worth telling: some target waits for a moment, for what all targets share.
    pub quiet: bool,
    /// What is left in ACM of targets that the spec does not name any more, by their names.
    pub left: Vec<(String, Event)>,
}

impl Outcome {
    /// Nothing to deliver.
    pub(super) fn idle() -> Self {
        Self { next: Next::Settled(super::LONG), stalled: vec![], quiet: false, left: vec![] }
    }
}

/// What one target needs.
pub(super) enum Need {
    Nothing,
    /// Nothing for so long, and not a word.
    Later(SignedDuration),
    Read(Read),
    Write(Write),
    /// What is to come, or what somebody else did, is in the status: store it.
    Save,
    Wait(Refusal, SignedDuration),
    Stalled(Refusal, SignedDuration),
    /// Wait, and say nothing: it passes by itself, soon.
    Quiet(SignedDuration),
}

/// The clock was set back: what bears a time to come says nothing about its age, so it counts from now.
pub(super) fn nothing_to_come(status: &mut CertificateStatus, now: Timestamp) {
    let of_targets = status.targets.iter_mut().flat_map(|t| [&mut t.pending_since, &mut t.imported_at]).flatten();
    let of_renewal = status.managed.iter_mut().flat_map(|m| &mut m.requested).map(|requested| &mut requested.at);
    for at in of_targets.chain(of_renewal) {
        if at.0.duration_since(now) > SKEW {
            at.0 = whole_seconds(now);
        }
    }
}

/// The next step for all targets. An import whose record is fresh comes before anything else.
pub(super) fn next(o: &Observed, status: &mut CertificateStatus, now: Timestamp) -> Outcome {
    let spec = &o.certificate.spec;
    let mut stalled = Vec::new();
    let (mut write, mut read, mut save, mut wait) = (None, None, false, None::<(Refusal, SignedDuration)>);
    let mut put_off = None::<SignedDuration>;
    let mut later = super::LONG;
    let mut entries = Vec::new();
    let mut quiet = false;
    for target in &spec.acm {
        let mut target_status = entry(status, &target.name).cloned().unwrap_or_else(|| fresh(o, target));
        let need = need(o, target, &mut target_status, now);
        if let (Need::Nothing | Need::Later(_), Some(why)) = (&need, adoption::conflict(target, &target_status)) {
            stalled.push((target.name.clone(), why));
        }
        match need {
            Need::Nothing => later = later.min(drift::next_look(o, target, now)),
            Need::Later(rest) => later = later.min(rest),
            Need::Write(w) => write = write.or(Some(w)),
            Need::Read(r) => read = read.or(Some(r)),
            Need::Save => save = true,
            Need::Quiet(rest) => put_off = Some(put_off.map_or(rest, |other: SignedDuration| other.min(rest))),
            Need::Wait(why, rest) => {
                quiet |= is_quiet(o, &why, rest);
                note(&mut target_status, TargetState::Waiting, &why);
                if wait.as_ref().is_none_or(|(_, other)| rest < *other) {
                    wait = Some((why, rest));
                }
            }
            Need::Stalled(why, rest) => {
                note(&mut target_status, TargetState::Failed, &why);
                if wait.as_ref().is_none_or(|(_, other)| rest < *other) {
                    wait = Some((why.clone(), rest));
                }
                stalled.push((target.name.clone(), why));
            }
        }
        entries.push(target_status);
    }
    let removed = removed::next(o, status, now);
    quiet &= removed.kept.iter().all(|kept| entry(status, &kept.name) == Some(kept));
    entries.extend(removed.kept);
    match removed.need {
        Need::Write(w) => write = write.or(Some(w)),
        Need::Read(r) => read = read.or(Some(r)),
        Need::Wait(why, rest) | Need::Stalled(why, rest) => {
            if wait.as_ref().is_none_or(|(_, other)| rest < *other) {
                wait = Some((why, rest));
            }
        }
        Need::Quiet(rest) => put_off = Some(put_off.map_or(rest, |other| other.min(rest))),
        Need::Save => save = true,
        Need::Nothing | Need::Later(_) => {}
    }
    status.targets = entries;
    let next = if let Some(write) = write {
        Next::Write(write)
    } else if let Some(read) = read {
        Next::Read(read)
    } else if save {
        Next::Save
    } else if let Some((why, rest)) = wait {
        Next::Wait(why, put_off.map_or(rest, |other| other.min(rest)).min(later))
    } else if let Some(rest) = put_off {
        Next::Quiet(rest.min(later))
    } else {
        Next::Settled(later)
    };
    let quiet = quiet && stalled.is_empty() && matches!(next, Next::Wait(..));
    Outcome { next, stalled, quiet, left: removed.left }
}

pub(super) fn fresh(o: &Observed, target: &Target) -> TargetStatus {
    let (account, region) = o.place(target);
    TargetStatus {
        name: target.name.clone(),
        account: account.to_owned(),
        account_id: None,
        region: region.clone(),
        arn: None,
        serial_number: None,
        content_digest: None,
        imported_at: None,
        pending_since: None,
        attempts: None,
        tag_keys: vec![],
        in_use_by: vec![],
        adoption: None,
        deletion_policy: target.deletion_policy,
        state: TargetState::Pending,
        message: None,
    }
}

pub(super) fn note(status: &mut TargetStatus, state: TargetState, why: &Refusal) {
    status.state = state;
    status.message = Some(plain(&why.message, LONGEST_MESSAGE));
}

fn need(o: &Observed, target: &Target, status: &mut TargetStatus, now: Timestamp) -> Need {
    let none = TargetObserved::default();
    let seen = o.targets.get(&target.name).unwrap_or(&none);
    // What was delivered stays, whatever becomes of its source.
    if source::trouble(o, now).is_some() {
        return Need::Later(super::LONG);
    }
    let Some(pair) = o.current() else { return Need::Nothing };
    let serial = &pair.chain.leaf.serial;
    status.deletion_policy = target.deletion_policy;
    // The ARN in the status stays: while this process was frozen in its import, another one may have come to one.
    let imported = o.memory.imported.get(&target.name).filter(|_| second(o, target).is_none());
    if let Some(imported) = imported {
        status.arn = Some(imported.arn.clone());
        status.pending_since = None;
        // Whoever reads this ARN has to know how long ACM may not show it.
        status.imported_at = Some(Time(whole_seconds(imported.at)));
    }
    let same = status.serial_number.as_deref() == Some(&*serial.to_string()) && status.arn.is_some();
    let delivered = same && !source::chain_differs(o, status);
    let settled = delivered && drift::unchanged(o) && status.state == TargetState::Delivered;
    if let Some(need) = failed(o, &target.name) {
        return match need {
            // Only a look for drift: what passes is not worth a word.
            Need::Wait(_, rest) | Need::Quiet(rest) if settled => Need::Later(rest),
            need => need,
        };
    }
    // Delivered, and the spec has not changed since: no call to AWS at all, until it is time for a look.
    if settled && !drift::looks(o, target, status, seen, now) {
        return Need::Later(drift::next_look(o, target, now));
    }
    let (account, region) = o.place(target);
    match account_in_the_way(o, account, region, now) {
        Some(Next::Read(read)) => return Need::Read(read),
        // It says so itself, and what was delivered stays.
        Some(_) if settled => return Need::Later(super::LONG),
        Some(Next::Stalled(why, rest)) => return Need::Stalled(why, rest),
        Some(Next::Wait(why, rest)) => return Need::Wait(why, rest),
        Some(Next::Quiet(rest)) => {
            return Need::Wait(Refusal { reason: "Delivering", message: "waits for the account".into() }, rest);
        }
        Some(_) | None => {}
    }
    if let Some(why) = elsewhere(o, target, status) {
        return Need::Stalled(why, FOR_A_PERSON);
    }
    status.account_id = o.sessions.get(account).and_then(|s| s.as_ref().ok()).map(ToString::to_string);
    let keeps_arn = o.keeps_arn(target);
    if !same && !keeps_arn && imported.is_none_or(|i| i.serial.as_ref() != Some(serial)) {
        // Each renewal is a new ARN; the old one is left alone.
        status.arn = None;
    }
    if let Some(need) = adoption::withdrawn(o, target, seen, status) {
        return need;
    }
    if let Some(arn) = adoption::pending(target, status)
        && let Some(need) = adoption::next(o, target, seen, status, arn, &pair.chain.leaf, now)
    {
        return need;
    }
    match status.arn.clone() {
        Some(arn) => under_arn(o, target, seen, status, &arn, serial, now),
        None => without_arn(o, target, seen, status, serial, None, now),
    }
}

/// Why a target is not where its status says: to go on would leave its certificate behind and make another one.
pub(super) fn elsewhere(o: &Observed, target: &Target, status: &TargetStatus) -> Option<Refusal> {
    let (account, region) = o.place(target);
    if (status.account.as_str(), &status.region) != (account, region) {
        let message = format!(
            "it was taken out of the spec, or only watched, and put back for the account {account} and {region}, and its \
             certificate lies in {} and {}: give the entry another name, and what is there follows its deletionPolicy",
            status.account, status.region
        );
        return Some(Refusal { reason: "PlaceChanged", message });
    }
    account_changed(o, status)
}

/// Why the credentials of a target's account don't lead to where its certificate is, or may be: the account of its ARN, or the one
/// that an import was begun in whose answer is not known.
pub(super) fn account_changed(o: &Observed, status: &TargetStatus) -> Option<Refusal> {
    let account = &status.account;
    let session = o.sessions.get(account)?.as_ref().ok()?;
    let (bound, what) = match (&status.arn, &status.account_id) {
        (Some(arn), _) => (arn.account(), format!("{arn} is not there")),
        (None, Some(id)) if is_unanswered(o, status) => {
            (&**id, format!("what came of the import that was begun in {id}, and had no answer, is not there"))
        }
        _ => return None,
    };
    (bound != session.as_str()).then(|| {
        let anew = if o.is_managed() { "make another Certificate" } else { "give the entry another name" };
        let message = format!(
            "the credentials of the account {account} lead to {session} now, and {what}: give the account its old credentials \
             back (spec.accountId keeps it from changing), or {anew} to begin anew there"
        );
        Refusal { reason: "AccountChanged", message }
    })
}

/// Whether there is a record of an import, or of a request to ACM, and nothing tells what came of it.
pub(super) fn is_unanswered(o: &Observed, status: &TargetStatus) -> bool {
    status.pending_since.is_some() && o.memory.refused.get(&status.name) != Some(&status.pending_since)
}

/// The call of this pass that failed for a target.
pub(super) fn failure<'a>(o: &'a Observed, target: &str) -> Option<&'a Failure> {
    o.memory.target_failures.get(target).filter(|_| o.targets.get(target).is_some_and(|t| t.failed))
}

/// What a failed call of this pass makes of a target.
pub(super) fn failed(o: &Observed, target: &str) -> Option<Need> {
    let failure = failure(o, target)?;
    if failure.is_quiet() {
        return Some(Need::Quiet(failure.wait()));
    }
    let why = Refusal { reason: failure.reason(), message: failure.error.to_string() };
    Some(if failure.needs_a_person() {
        Need::Stalled(why, failure.wait())
    } else if failure.is_told() {
        Need::Wait(why, failure.wait())
    } else {
        let message = "a call to ACM failed and is tried again".into();
        Need::Wait(Refusal { reason: "Delivering", message }, failure.wait())
    })
}

/// What is in the way of an import while it is not this target's turn.
pub(super) fn in_turn(target: &Target, seen: &TargetObserved) -> Option<Need> {
    match seen.turn {
        None => {
            let ends = seen.installed.as_ref().and_then(|i| i.as_ref()).and_then(|i| i.description.not_after);
            Some(Need::Read(Read::Turn(target.name.clone(), ends)))
        }
        Some(wait) if wait.is_positive() => {
            let message = "waits for its turn: ACM imports few certificates a second in an account and region, and those that end sooner come first".into();
            Some(Need::Wait(Refusal { reason: "WaitingForTurn", message }, wait))
        }
        Some(_) => None,
    }
}

/// There is no ARN, or the one there was is seen gone: look whether ACM has one of ours, else import, right after a record of it.
pub(super) fn without_arn(
    o: &Observed,
    target: &Target,
    seen: &TargetObserved,
    status: &mut TargetStatus,
    serial: &Serial,
    gone: Option<&CertificateArn>,
    now: Timestamp,
) -> Need {
    // Our own record, just stored: the import that it tells of has not begun. By both clocks: one stands while the
    // machine sleeps, the other may be set.
    if let Some(since) = &status.pending_since
        && seen.record_age.is_some_and(|age| age <= RECORD_FRESH)
        && now.duration_since(since.0).unsigned_abs() <= RECORD_FRESH
        && settles(o, status).is_some_and(|settled| now <= settled)
        && seen.lookup.is_some()
    {
        return Need::Write(Write::ImportNew(target.name.clone()));
    }
    let ours = match ours(o, target, status, Some(serial), now) {
        Ok(ours) => ours,
        Err(need) => return need,
    };
    if let Some((first, rest)) = ours.split_first() {
        let surplus =
            |(summary, tags): &&&(Summary, Tags)| !summary.in_use && !adoption::is_adopted(&summary.arn, tags);
        if let Some((surplus, _)) = rest.iter().find(surplus) {
            return Need::Write(Write::DeleteFromAcm(target.name.clone(), surplus.arn.clone()));
        }
        let arn = first.0.arn.clone();
        // What this pass saw gone may still be listed: to go on with it would be a circle.
        if gone == Some(&arn) {
            let message = format!("ACM lists {arn}, which is just gone: it is looked at again");
            return Need::Wait(Refusal { reason: "LookingAtAcm", message }, READ_BACK);
        }
        status.arn = Some(arn.clone());
        // What is found after a lost answer was begun within seconds of its record.
        status.imported_at = status.pending_since.take().or(status.imported_at.take());
        if gone.is_some() {
            // Before it is looked at: else the one that is gone would be looked at in turn with it.
            status.state = TargetState::Pending;
            return Need::Save;
        }
        return under_arn(o, target, seen, status, &arn, serial, now);
    }
    // What is about to be replaced would make an ARN that may not take what comes.
    if matches!(wanted::trigger(o, now), Some(Trigger::SpecChanged)) {
        return Need::Nothing;
    }
    if let Some(need) = in_turn(target, seen) {
        return need;
    }
    status.pending_since = Some(Time(whole_seconds(now)));
    status.attempts = Some(status.attempts.unwrap_or(0).saturating_add(1));
    status.state = TargetState::Pending;
    status.message = None;
    Need::Save
}
