//! The members of an organization, as one of the things that are done for its account.

use super::{AFTER_FAULT, Observed, Problem, Read, Write, rest};
use crate::{
    api::{
        account::AwsAccountStatus,
        conditions::{Finding, ORGANIZATION_SYNCED, STALLED},
    },
    core::{Event, Step, access::Refusal, organization},
};
use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// Members that are changed in one step: a pass over thousands has to end.
const AT_ONCE: usize = 100;
/// Steps for members in one pass, and the rest between two: what is made of a thousand members may have a hundred thousand objects.
const STEPS: usize = 50;
const BREATH: SignedDuration = SignedDuration::from_millis(100);
/// Members that have not told how they stand are looked at again after this long, and those that fail after a minute.
const SETTLING: SignedDuration = SignedDuration::from_secs(3);
const FAILING: SignedDuration = SignedDuration::from_mins(1);

/// The organization is synchronized, but something of the spec selects or matches nothing in it.
const IN_PART: &str = "SyncedInPart";

/// What is to be done for the organization, or else how it stands and when it is looked at again.
pub(super) fn next(
    o: &Observed,
    status: &mut AwsAccountStatus,
    findings: &mut Vec<Finding>,
) -> Result<SignedDuration, Step<Read, Write>> {
    if o.account.spec.organization.is_none() {
        return Ok(rest(o));
    }
    let organization = match &o.organization {
        None => return Err(Step::Read(Read::Organization)),
        Some(Ok(organization)) => organization,
        Some(Err(Problem { why: Refusal { reason, message }, passes, .. })) => {
            findings.push(Finding::no(ORGANIZATION_SYNCED, reason, format!("{message}; the members stay as they are")));
            if !passes {
                findings.push(Finding::yes(STALLED, reason, &**message));
            }
            return Ok(if *passes { AFTER_FAULT } else { FAILING });
        }
    };
    let around = o.around.as_ref().ok_or(Step::Read(Read::Around))?;
    let unread = organization::unread(&o.account, organization, around);
    let mut changes = organization::changes(&o.account, organization, around);
    let goes_on = !unread.is_empty() || !changes.is_empty();
    if goes_on && o.member_steps < STEPS {
        if changes.is_empty() {
            return Err(Step::Read(Read::Shown(unread)));
        }
        changes.truncate(AT_ONCE);
        return Err(Step::Write(Write::Members(changes)));
    }
    let members = organization::status(&o.account, organization, around);
    let those = format!("The members are those of organization {}", members.id);
    findings.push(match organization::unmatched(&o.account, organization) {
        _ if organization::includes_nobody(&o.account, organization) => {
            let message = format!(
                "spec.organization.include selects no account of organization {}: the members that are there stay as they are; \
                 correct include",
                members.id
            );
            Finding::no(ORGANIZATION_SYNCED, organization::NOTHING_SELECTED, message)
        }
        Some(what) => {
            Finding::yes(ORGANIZATION_SYNCED, IN_PART, format!("{those}. In spec.organization, {what}"))
        }
        None => Finding::yes(ORGANIZATION_SYNCED, "Synced", those),
    });
    let whole = members.ready == members.accounts && members.failing.is_empty();
    status.organization = Some(members);
    if goes_on {
        return Ok(BREATH);
    }
    Ok(match (organization::unsettled(around), whole) {
        (true, _) => SETTLING,
        (false, false) => FAILING,
        (false, true) => rest(o),
    })
}

/// It can't be read any more, or something of the spec selects nothing: once.
pub(super) fn event(before: &AwsAccountStatus, after: &AwsAccountStatus) -> Option<Event> {
    fn of(status: &AwsAccountStatus) -> Option<&Condition> {
        status.conditions.iter().find(|c| c.type_ == ORGANIZATION_SYNCED)
    }
    let (before, after) = (of(before), of(after)?);
    let same =
        before.is_some_and(|b| b.reason == after.reason && (after.reason != IN_PART || b.message == after.message));
    let news = !same && (after.status == "False" || after.reason == IN_PART);
    news.then(|| Event { warning: true, reason: after.reason.clone(), note: after.message.clone() })
}
