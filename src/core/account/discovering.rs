//! Discovery, as one of the things that are done for an account.

use super::{Observed, Read, SOON, Write};
use crate::{
    api::{
        account::AwsAccountStatus,
        conditions::{DISCOVERED, Finding},
    },
    aws::port::Identity,
    core::{
        Event, Step,
        discovery::{Next, Told, step, tell},
    },
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// Steps of a run in one pass of its account, and the rest between two passes: whatever else the account needs has its turn.
const STEPS: usize = 30;
const BREATH: SignedDuration = SignedDuration::from_millis(100);

/// What is to be done for discovery, or else when it is looked at again.
pub(super) fn next(
    o: &Observed,
    identity: &Identity,
    status: &mut AwsAccountStatus,
    findings: &mut Vec<Finding>,
    was_told: bool,
    now: Timestamp,
) -> Result<SignedDuration, Step<Read, Write>> {
    let told = step(&o.account, &identity.account, &o.cluster, o.run.as_deref(), o.surroundings.as_ref(), now);
    let next = match told {
        Told::Off => return Ok(SignedDuration::MAX),
        Told::Rests(rest) => return Ok(rest),
        // Others wait for an account to be ready.
        _ if !was_told => return Ok(SOON),
        Told::Goes(Next::Done(outcome)) => {
            findings.extend(o.run.as_ref().and_then(|run| tell(&o.account, run, &outcome, status)));
            let next = status.discovery.as_ref().and_then(|d| d.next_run.as_ref());
            return Ok(next.map_or(BREATH, |next| next.0.duration_since(now).max(BREATH)));
        }
        next => next,
    };
    if o.run.is_some() && o.account.status.as_ref().is_none_or(|s| s.conditions.iter().all(|c| c.type_ != DISCOVERED)) {
        findings.push(Finding::unknown(DISCOVERED, "Running", "The first look through ACM is under way"));
    }
    if let Some(rest) = o.run_rests {
        return Ok(rest.max(BREATH));
    }
    if o.run_steps >= STEPS {
        return Ok(BREATH);
    }
    Err(match next {
        Told::Begins => Step::Read(Read::Run),
        Told::Lists(region) => Step::Read(Read::List(region)),
        Told::Goes(Next::Tags(arns)) => Step::Read(Read::Tags(arns)),
        Told::Goes(Next::Rooms(namespaces)) => Step::Read(Read::Rooms(namespaces)),
        Told::Goes(Next::Changes(changes, tags)) => Step::Write(Write::Discovered(changes, tags)),
        Told::Looks | Told::Off | Told::Rests(_) | Told::Goes(Next::Done(_)) => Step::Read(Read::Surroundings),
    })
}

/// What was told of discovery stays while nothing new is told.
pub(super) fn keep(o: &Observed, before: &AwsAccountStatus, status: &mut AwsAccountStatus) {
    if o.account.spec.discovery.is_none() {
        return;
    }
    if status.discovery.is_none() {
        status.discovery.clone_from(&before.discovery);
    }
    if status.conditions.iter().all(|c| c.type_ != DISCOVERED) && o.account.spec.enabled {
        status.conditions.extend(of(before).cloned());
    }
}

fn of(status: &AwsAccountStatus) -> Option<&Condition> {
    status.conditions.iter().find(|c| c.type_ == DISCOVERED)
}

/// It does not show everything any more, or for another reason.
pub(super) fn event(before: &AwsAccountStatus, after: &AwsAccountStatus) -> Option<Event> {
    let (before, after) = (of(before), of(after)?);
    let news =
        after.status == "False" && before.is_none_or(|b| (&b.status, &b.reason) != (&after.status, &after.reason));
    news.then(|| Event { warning: true, reason: after.reason.clone(), note: after.message.clone() })
}
