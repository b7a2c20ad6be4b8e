//! When discovery runs, and what the account's status tells of it.

use super::{LONGEST_WORD, Next, Outcome, Place, Run, Surroundings, next, place::short};
use crate::{
    api::{
        AwsAccount, DISCOVER_ANNOTATION,
        account::AwsAccountStatus,
        conditions::{DISCOVERED, Finding, whole_seconds},
        discovery::{Discovery, DiscoveryStatus, RegionCounts},
        names::{AccountId, Region},
    },
    core::{Event, certificate::renewal::per_mille},
    text::{counted, plain},
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

/// What the objects look like: another number writes all of them anew.
const FORM: u32 = 1;
/// What failed for a passing reason is tried again after this long.
const AFTER_FAULT: SignedDuration = SignedDuration::from_mins(10);
/// What a person has to put right is looked at again after this long.
const FOR_A_PERSON: SignedDuration = SignedDuration::from_hours(1);
/// Problems that a message repeats.
const MOST_PROBLEMS: usize = 5;

/// Where discovery stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// It is not wanted.
    Off,
    /// It rests so long.
    Rests(SignedDuration),
    /// A run has to begin.
    Begins,
    /// This region has to be listed.
    Lists(Region),
    /// What there is around it has to be looked at.
    Looks,
    /// This is what comes next.
    Goes(Next),
}

/// What an account's discovery is asked for.
#[must_use]
pub fn begins(account: &AwsAccount, now: Timestamp) -> Run {
    let before = account.status.as_ref().and_then(|s| s.discovery.as_ref());
    let (settings, requested_at) = (settings(account), requested(account));
    let same = before.is_some_and(|b| b.settings.as_ref() == Some(&settings) && b.requested_at == requested_at);
    Run { began: now, settings, requested_at, afresh: !same, ..Run::default() }
}

/// A digest of what discovery is asked for.
fn settings(account: &AwsAccount) -> String {
    let spec = &account.spec;
    short(&format!("{FORM} {:?} {:?}", spec.discovery, spec.regions))
}

fn requested(account: &AwsAccount) -> Option<String> {
    account.annotations().get(DISCOVER_ANNOTATION).map(|text| plain(text, LONGEST_WORD))
}

/// Whether a run that is under way is still the one that is wanted.
#[must_use]
pub fn goes_on(account: &AwsAccount, run: &Run) -> bool {
    run.settings == settings(account) && run.requested_at == requested(account) && !is_told(account, run)
}

/// Whether the status tells of this run.
fn is_told(account: &AwsAccount, run: &Run) -> bool {
    account.status.as_ref().and_then(|s| s.discovery.as_ref()).is_some_and(|told| {
        let asked = (told.settings.as_ref(), &told.requested_at) == (Some(&run.settings), &run.requested_at);
        asked && told.last_run.as_ref().is_some_and(|last| last.0 == whole_seconds(run.began))
    })
}

/// How long until the next run; none: it begins now.
fn wait(account: &AwsAccount, discovery: &Discovery, now: Timestamp) -> Option<SignedDuration> {
    let status = account.status.as_ref()?.discovery.as_ref()?;
    let next = status.next_run.as_ref()?.0;
    if status.settings != Some(settings(account)) || status.requested_at != requested(account) {
        return None;
    }
    let left = next.duration_since(now);
    // A time that no run can have written: the clock was set back, or somebody wrote it.
    (left > SignedDuration::ZERO && left <= period(account, discovery.interval.into())).then_some(left)
}

/// An interval, and up to a tenth of it more, by the account's uid: those that began together do not stay together.
fn period(account: &AwsAccount, interval: std::time::Duration) -> SignedDuration {
    let interval = SignedDuration::try_from(interval).unwrap_or(FOR_A_PERSON * 24);
    let share = i32::try_from(per_mille(&account.uid().unwrap_or_default())).unwrap_or(0);
    interval.checked_add(interval / 10_000 * share).unwrap_or(interval)
}

/// What is to be done now.
#[must_use]
pub fn step(
    account: &AwsAccount,
    id: &AccountId,
    cluster: &str,
    run: Option<&Run>,
    around: Option<&Surroundings>,
    now: Timestamp,
) -> Told {
    let Some(discovery) = &account.spec.discovery else { return Told::Off };
    let Some(run) = run.filter(|run| goes_on(account, run)) else {
        return wait(account, discovery, now).map_or(Told::Begins, Told::Rests);
    };
    if let Some(region) = account.spec.regions.iter().find(|region| !run.lists.contains_key(*region)) {
        return Told::Lists(region.clone());
    }
    let Some(around) = around else { return Told::Looks };
    Told::Goes(next(&Place { account, id, cluster }, discovery, run, around, now))
}

/// What a run took over from other AwsAccounts, for people.
fn inherited(run: &Run) -> Option<String> {
    let (first, _) = run.inherited.first_key_value()?;
    let count = counted(run.inherited.values().sum::<usize>(), "Certificate");
    let others = match run.inherited.len() - 1 {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "taken over: {count} of AwsAccount {first:?}{others}, which led to this AWS account, too, and is gone, can't be entered, or \
         discovers no more"
    ))
}

/// The status tells of a run that took something over: once.
#[must_use]
pub fn taken_over(run: &Run, status: &AwsAccountStatus) -> Option<Event> {
    let last = status.discovery.as_ref().and_then(|d| d.last_run.as_ref());
    let is_told = last.is_some_and(|last| last.0 == whole_seconds(run.began));
    let note = inherited(run).filter(|_| is_told)?;
    Some(Event {
        warning: false,
        reason: "TakenOver".into(),
        note: format!("Discovery shows what another one did: {note}"),
    })
}

/// What the status tells of a run that came to its end.
pub(in crate::core) fn tell(
    account: &AwsAccount,
    run: &Run,
    outcome: &Outcome,
    status: &mut AwsAccountStatus,
) -> Option<Finding> {
    let discovery = account.spec.discovery.as_ref()?;
    let before = account.status.as_ref().and_then(|s| s.discovery.clone()).unwrap_or_default();
    let of = |region: &Region| {
        let now = outcome.regions.iter().find(|counts| counts.region == *region);
        now.or_else(|| before.regions.iter().find(|counts| counts.region == *region)).cloned()
    };
    let mut regions: Vec<RegionCounts> = account.spec.regions.iter().filter_map(of).collect();
    regions.sort_by(|a, b| a.region.cmp(&b.region));
    let sum = |count: fn(&RegionCounts) -> i64| regions.iter().map(count).sum();
    let mut period = period(account, discovery.interval.into());
    if outcome.passes {
        period = period.min(AFTER_FAULT);
    } else if !outcome.problems.is_empty() {
        period = period.min(FOR_A_PERSON);
    }
    let (found, managed) = (sum(|c| c.found), sum(|c| c.managed));
    status.discovery = Some(DiscoveryStatus {
        last_run: Some(Time(whole_seconds(run.began))),
        next_run: Some(Time(whole_seconds(run.began.saturating_add(period).unwrap_or(run.began)))),
        found,
        managed,
        expiring_30d: sum(|c| c.expiring_30d),
        expired: sum(|c| c.expired),
        regions,
        requested_at: run.requested_at.clone(),
        settings: Some(run.settings.clone()),
    });
    let Some(first) = outcome.problems.first() else {
        let found = counted(found, "certificate");
        let mut message = format!("ACM has {found} in these regions; kept alive from here: {managed}");
        if let Some(inherited) = inherited(run) {
            message = format!("{message}; {inherited}");
        }
        return Some(Finding::yes(DISCOVERED, "Discovered", message));
    };
    let told = outcome.problems.iter().take(MOST_PROBLEMS).map(|problem| problem.message.as_str());
    let mut message = told.collect::<Vec<_>>().join("; ");
    if let Some(more @ 1..) = outcome.problems.len().checked_sub(MOST_PROBLEMS) {
        message = format!("{message}; and {more} more");
    }
    Some(Finding::no(DISCOVERED, first.reason, message))
}
