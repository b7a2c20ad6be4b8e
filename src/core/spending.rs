//! What each account was asked to pay for within a day, for its budget. Pure: times come from outside.
//!
//! Counted are the requests that stand in the cluster, and what Certificates asked ACM for by their statuses, as the watches tell
//! of them, and those that were deleted since.
//! A process that begins counts what stands; of what was deleted before, the account's status has a coarse record. So
//! nothing is listed and nothing is written for a single certificate.

mod managed;

pub use managed::{Asked, KEPT, MOST_TIMES};

use super::request::attempt::ungated;
use crate::{
    api::{
        AwsAccount, CertificateRequest,
        account::{BudgetStatus, HourStatus},
        conditions::STALLED,
    },
    text::counted,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use std::collections::{BTreeMap, HashMap};

/// The reason by which a spent budget is told.
pub const BUDGET_SPENT: &str = "BudgetSpent";

const HOUR: i64 = 3600;
/// What was asked for counts until so many hours have passed since the hour it was asked for in.
const COUNTS: i64 = 24;
/// A status may tell of more attempts; no request makes more in a day (one an hour after the second).
const MOST_ATTEMPTS: i32 = 24;
/// The record in the status is written when so large a part of the budget, or one, is not in it.
const PART: i64 = 10;

/// A budget that is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// Certificates a day.
    pub budget: i32,
    /// When one of them does not count any more.
    pub until: Timestamp,
}

impl Spent {
    /// What people are told.
    #[must_use]
    pub fn message(&self, account: &str) -> String {
        format!(
            "AwsAccount {account:?} was asked for {} within a day, which is its budget; it goes on at {}, or at once \
             with a greater spec.budget.issuesPerDay of the AwsAccount. What is there stays, and goes on to be delivered",
            counted(self.budget, "certificate"),
            self.until
        )
    }
}

/// How it stands with an account's budget.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// It is used up.
    pub spent: Option<Spent>,
    /// What its status should tell of what was deleted; none: there is no budget.
    pub record: Option<BudgetStatus>,
}

/// What is counted, by account.
#[derive(Default)]
pub struct Ledger {
    accounts: HashMap<String, Account>,
    /// What Certificates asked ACM for, by uid.
    managed: HashMap<String, Asked>,
    /// This process works: what it did not ask for itself, nobody did.
    works: bool,
}

#[derive(Default)]
struct Account {
    budget: Option<i32>,
    hours: BTreeMap<i64, Hour>,
    recorded: Option<BudgetStatus>,
    /// Whether the account's status says that its budget is spent; none: it has something else to say.
    told: Option<bool>,
    /// It was asked to be looked at, and was not yet.
    woken: bool,
}

/// What was asked for last in one hour.
#[derive(Default)]
struct Hour {
    requests: HashMap<String, Count>,
    standing: i64,
    deleted: i64,
}

/// How far an attempt came.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    /// Its answer is there, or it is another process's.
    #[default]
    Done,
    /// It is counted, and not made yet.
    Taken,
    /// It has no answer yet.
    Calling,
}

#[derive(Clone, Copy, Default)]
struct Count {
    /// The number of the last attempt.
    number: i32,
    /// The number of the last attempt that this process made: what the watch tells of it is no news, and may come after AWS
    /// refused it.
    own: i32,
    /// How many attempts count.
    attempts: i32,
    /// Only a guess: the process before this one may have called, and not come to tell.
    guess: bool,
    /// How far this process came with the last attempt.
    stage: Stage,
    /// The request is deleted.
    deleted: bool,
}

fn hour_of(at: Timestamp) -> i64 {
    at.as_second().div_euclid(HOUR)
}

impl Ledger {
    /// Work begins. What no process recorded was from here on not asked for.
    pub fn begins(&mut self) {
        self.works = true;
    }

    /// A request is there, new or changed. Returns whether its account has to be looked at.
    pub fn note(&mut self, request: &CertificateRequest, now: Timestamp) -> bool {
        self.see(request, now).wakes(now)
    }

    fn see(&mut self, request: &CertificateRequest, now: Timestamp) -> &mut Account {
        let seen = self.asked_for(request);
        let uid = request.uid().unwrap_or_default();
        let account = self.accounts.entry(request.spec.account_ref.name.clone()).or_default();
        account.forget_old(now);
        match (account.take_out(&uid), seen) {
            // Whoever takes the record out of a status takes nothing back.
            (Some((hour, count)), None) if !count.guess => account.put(hour, uid, count),
            (_, None) => {}
            (before, Some((number, at, guess))) => {
                // A time to come was not written by us.
                let hour = hour_of(at).min(hour_of(now)).max(before.map_or(i64::MIN, |(hour, _)| hour));
                let count = match before {
                    None => Count { number, attempts: number.min(MOST_ATTEMPTS), guess, ..Count::default() },
                    Some((_, before)) => {
                        let known = before.number.max(before.own);
                        let more = number.saturating_sub(known).clamp(0, MOST_ATTEMPTS);
                        Count {
                            number: if number > known { number } else { before.number },
                            attempts: before.attempts.saturating_add(more).min(MOST_ATTEMPTS),
                            guess: guess && before.guess,
                            ..before
                        }
                    }
                };
                if hour >= hour_of(now) - COUNTS {
                    account.put(hour, uid, count);
                }
            }
        }
        account
    }

    /// A request is gone; what was asked for it goes on to count. Returns whether its account has to be looked at.
    pub fn deleted(&mut self, request: &CertificateRequest, now: Timestamp) -> bool {
        let account = self.see(request, now);
        account.gone(&request.uid().unwrap_or_default());
        account.wakes(now)
    }

    /// The number of attempts that may have been paid for, when the last began, and whether that is a guess.
    fn asked_for(&self, request: &CertificateRequest) -> Option<(i32, Timestamp, bool)> {
        let status = request.status.as_ref();
        if let Some(attempt) = status.and_then(|s| s.attempt.as_ref()) {
            return Some((attempt.number.max(1), attempt.at.0, false));
        }
        let created = request.metadata.creation_timestamp.as_ref()?.0;
        if status.is_some_and(|s| s.certificate_arn.is_some()) {
            return Some((1, created, false));
        }
        let untold = status.is_none_or(|s| s.conditions.is_empty());
        (!self.works && untold && ungated(request)).then_some((1, created, true))
    }

    /// An account is there, new or changed.
    pub fn account(&mut self, account: &AwsAccount, now: Timestamp) {
        let kept = self.accounts.entry(account.name_any()).or_default();
        kept.budget = account.spec.budget.as_ref().map(|b| b.issues_per_day);
        let status = account.status.as_ref();
        let stalled = status.and_then(|s| s.conditions.iter().find(|c| c.type_ == STALLED && c.status == "True"));
        kept.told = match stalled {
            _ if !account.spec.enabled => None,
            Some(stalled) if stalled.reason != BUDGET_SPENT => None,
            stalled => Some(stalled.is_some()),
        };
        kept.recorded = status.and_then(|s| s.budget.clone());
        kept.woken = false;
        kept.forget_old(now);
        // Both may have seen the same go: the greater one has it all.
        let counts = hour_of(now) - COUNTS..=hour_of(now);
        for hour in kept.recorded.iter().flat_map(|r| &r.deleted) {
            if counts.contains(&hour_of(hour.hour.0)) {
                let deleted = &mut kept.hours.entry(hour_of(hour.hour.0)).or_default().deleted;
                *deleted = (*deleted).max(hour.issues);
            }
        }
    }

    /// An account is gone. What was asked for counts on, should one of its name come back.
    pub fn account_deleted(&mut self, name: &str) {
        if let Some(account) = self.accounts.get_mut(name) {
            (account.budget, account.recorded) = (None, None);
        }
    }

    /// Counts an attempt that is about to be made, unless it is counted already.
    ///
    /// # Errors
    /// If the budget is used up; then it must not be made.
    pub fn take(&mut self, account: &str, uid: &str, number: i32, now: Timestamp) -> Result<(), Spent> {
        let kept = self.accounts.entry(account.to_owned()).or_default();
        kept.forget_old(now);
        let before = kept.hours.values().find_map(|hour| hour.requests.get(uid)).copied();
        let counted = before.filter(|before| before.number >= number);
        if counted.is_none()
            && let Some(spent) = kept.spent(now)
        {
            return Err(spent);
        }
        let hour = kept.take_out(uid).filter(|_| counted.is_some()).map_or(hour_of(now), |(hour, _)| hour);
        let attempts = before.map_or(0, |b| b.attempts).saturating_add(i32::from(counted.is_none()));
        let own = before.map_or(number, |b| b.own.max(number));
        let number = before.map_or(number, |b| b.number.max(number));
        // One that was made before and is repeated is counted for good.
        let stage = counted.map_or(Stage::Taken, |counted| counted.stage);
        let count = Count { number, own, attempts, stage, ..Count::default() };
        kept.put(hour, uid.to_owned(), count);
        Ok(())
    }

    /// An attempt that was taken is made now.
    pub fn calls(&mut self, account: &str, uid: &str, number: i32, now: Timestamp) {
        let kept = self.accounts.entry(account.to_owned()).or_default();
        let (hour, mut count) = kept.take_out(uid).unwrap_or((hour_of(now), Count::default()));
        if count.number < number {
            (count.number, count.own) = (number, count.own.max(number));
            count.attempts = count.attempts.saturating_add(1);
        }
        kept.put(hour, uid.to_owned(), Count { stage: Stage::Calling, ..count });
    }

    /// An attempt was made, and not refused.
    pub fn made(&mut self, account: &str, uid: &str) {
        let Some(kept) = self.accounts.get_mut(account) else { return };
        if let Some((hour, count)) = kept.take_out(uid) {
            kept.put(hour, uid.to_owned(), Count { stage: Stage::Done, ..count });
        }
    }

    /// AWS refused every call of an attempt: nothing was paid for it.
    pub fn give_back(&mut self, account: &str, uid: &str, number: i32) {
        let Some(kept) = self.accounts.get_mut(account) else { return };
        if let Some((hour, mut count)) = kept.take_out(uid) {
            if count.number == number {
                (count.number, count.attempts) = (number - 1, count.attempts - 1);
            }
            count.stage = Stage::Done;
            kept.put(hour, uid.to_owned(), count);
        }
    }

    /// Whether an account's budget is used up.
    #[must_use]
    pub fn spent(&self, account: &str, now: Timestamp) -> Option<Spent> {
        self.accounts.get(account)?.spent(now)
    }

    /// How it stands with an account, for a look at it.
    #[must_use]
    pub fn standing(&mut self, account: &str, now: Timestamp) -> Standing {
        let Some(kept) = self.accounts.get_mut(account) else { return Standing::default() };
        kept.woken = false;
        kept.forget_old(now);
        Standing { spent: kept.spent(now), record: kept.record(now) }
    }

    /// Name, budget and what counts now, of all accounts that have a budget.
    #[must_use]
    pub fn budgets(&self, now: Timestamp) -> Vec<(String, i32, i64)> {
        let kept = self.accounts.iter();
        kept.filter_map(|(name, account)| Some((name.clone(), account.budget?, account.total(now)))).collect()
    }
}

impl Account {
    fn forget_old(&mut self, now: Timestamp) {
        let this = hour_of(now);
        self.hours = self.hours.split_off(&(this - COUNTS));
        // The clock was set back: what bears a time to come counts from now, not until that time is over.
        for later in self.hours.split_off(&(this + 1)).into_values() {
            let hour = self.hours.entry(this).or_default();
            hour.requests.extend(later.requests);
            hour.standing = hour.standing.saturating_add(later.standing);
            hour.deleted = hour.deleted.saturating_add(later.deleted);
        }
    }

    fn take_out(&mut self, uid: &str) -> Option<(i64, Count)> {
        self.hours.iter_mut().find_map(|(at, hour)| {
            let count = hour.requests.remove(uid)?;
            hour.standing -= i64::from(count.attempts);
            Some((*at, count))
        })
    }

    fn put(&mut self, hour: i64, uid: String, count: Count) {
        let hour = self.hours.entry(hour).or_default();
        // One whose answer is not there yet may turn out to have cost nothing.
        if count.deleted && count.stage == Stage::Done {
            hour.deleted += i64::from(count.attempts);
        } else {
            hour.standing += i64::from(count.attempts);
            hour.requests.insert(uid, count);
        }
    }

    fn counting(&self, now: Timestamp) -> impl Iterator<Item = (i64, &Hour)> {
        self.hours.range(hour_of(now) - COUNTS..).map(|(at, hour)| (*at, hour))
    }

    fn total(&self, now: Timestamp) -> i64 {
        self.counting(now).map(|(_, hour)| hour.standing.saturating_add(hour.deleted)).fold(0, i64::saturating_add)
    }

    fn spent(&self, now: Timestamp) -> Option<Spent> {
        let budget = self.budget?;
        let mut left = self.total(now);
        if left < i64::from(budget) {
            return None;
        }
        let last = self.counting(now).find_map(|(at, hour)| {
            left = left.saturating_sub(hour.standing.saturating_add(hour.deleted));
            (left < i64::from(budget)).then_some(at)
        })?;
        Some(Spent { budget, until: Timestamp::from_second((last + COUNTS + 1) * HOUR).ok()? })
    }

    /// What stands in the status, unless a good part of what was deleted is not in it.
    fn record(&self, now: Timestamp) -> Option<BudgetStatus> {
        let budget = self.budget?;
        let deleted = self.counting(now).filter(|(_, hour)| hour.deleted > 0);
        let record = deleted.filter_map(|(at, hour)| {
            Some(HourStatus { hour: Time(Timestamp::from_second(at * HOUR).ok()?), issues: hour.deleted })
        });
        let record = BudgetStatus { deleted: record.collect() };
        let sum = |record: &BudgetStatus| record.deleted.iter().map(|hour| hour.issues).fold(0, i64::saturating_add);
        let old = |hour: &&HourStatus| hour_of(hour.hour.0) >= hour_of(now) - COUNTS;
        let recorded = self.recorded.iter().flat_map(|r| &r.deleted).filter(old).map(|hour| hour.issues);
        let lacks = sum(&record).saturating_sub(recorded.fold(0, i64::saturating_add));
        if lacks >= (i64::from(budget) / PART).max(1) { Some(record) } else { self.recorded.clone() }
    }

    /// Whether its status has something new to tell.
    fn wakes(&mut self, now: Timestamp) -> bool {
        let news = !self.woken
            && self.budget.is_some()
            && (self.told.is_some_and(|told| told != self.spent(now).is_some()) || self.record(now) != self.recorded);
        self.woken |= news;
        news
    }
}

#[cfg(test)]
mod tests;
