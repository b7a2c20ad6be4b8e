//! What a Certificate may ask ACM for in a day: each RequestCertificate, and each RenewCertificate, is paid for.
//!
//! The record right before a call is in the status already, and its time counts from then on: so nothing more is written. This
//! process remembers what it saw there, should the status be wiped, and which of it cost nothing.

use super::Way;
use crate::{
    api::{
        certificate::{ManagedStatus, TargetStatus},
        conditions::whole_seconds,
    },
    core::{
        certificate::{Next, Observed, Read, budget},
        request::attempt::DAY,
        spending::{KEPT, MOST_TIMES},
    },
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// Puts the times in the status right by what this process knows.
pub(super) fn correct(o: &Observed, managed: &mut ManagedStatus) {
    let lacks = |at: &&Timestamp| !managed.asked.iter().any(|told| told.0 == **at);
    let lacking: Vec<Time> = o.asked.times.iter().filter(lacks).copied().map(Time).collect();
    managed.asked.retain(|told| !o.asked.void.contains(&told.0));
    if !lacking.is_empty() {
        managed.asked.extend(lacking);
        managed.asked.sort();
    }
}

impl Way<'_> {
    /// Why nothing may be asked of ACM; but for what was taken at this time, if that is told.
    pub(super) fn spent(&self, managed: &ManagedStatus, taken: Option<Timestamp>) -> Option<Next> {
        if let Some(spent) = self.o.account_spent.as_ref().filter(|_| taken.is_none()) {
            return Some(budget::of_account(self.o, spent, self.now));
        }
        let counts = |at: &Timestamp| self.now.duration_since(*at) < DAY && Some(*at) != taken;
        let times = managed.asked.iter().map(|at| at.0).filter(counts).collect();
        budget::over(times, budget::per_day(&self.o.certificate), self.now)
    }

    /// The time under which ACM is asked for something new; it counts from now on.
    ///
    /// # Errors
    /// What has to be looked at, or what is in the way.
    pub(super) fn counted(&self, managed: &mut ManagedStatus) -> Result<Time, Next> {
        let taken = self.o.counted.as_ref().map(|(at, _)| *at);
        if let Some(next) = self.spent(managed, taken) {
            return Err(next);
        }
        let at = taken.unwrap_or_else(|| {
            // Two that were asked for at the same second are two, also where the clock was set back.
            let mut at = whole_seconds(self.now);
            while managed.asked.iter().any(|told| told.0 == at) {
                at = at.saturating_add(SignedDuration::from_secs(1)).unwrap_or(Timestamp::MAX);
            }
            at
        });
        self.may_ask(managed, at)?;
        managed.asked.retain(|told| self.now.duration_since(told.0) < KEPT && told.0 != at);
        managed.asked.push(Time(at));
        managed.asked.sort();
        let surplus = managed.asked.len().saturating_sub(MOST_TIMES);
        managed.asked.drain(..surplus);
        Ok(Time(at))
    }

    /// Whether the call of a record, which is counted for this Certificate, may be made.
    ///
    /// # Errors
    /// What has to be looked at, or what is in the way.
    pub(super) fn may_ask(&self, managed: &ManagedStatus, at: Timestamp) -> Result<(), Next> {
        if let Some(next) = self.spent(managed, Some(at)) {
            return Err(next);
        }
        match &self.o.counted {
            Some((taken, Ok(()))) if *taken == at => Ok(()),
            Some((taken, Err(spent))) if *taken == at => Err(budget::of_account(self.o, spent, self.now)),
            _ => Err(Next::Read(Read::Budget(at))),
        }
    }
}

/// The record of what is gone is forgotten, but not what was paid for it.
pub(super) fn forget(told: &mut TargetStatus, managed: &mut ManagedStatus) {
    (told.arn, told.serial_number, told.pending_since) = (None, None, None);
    told.in_use_by.clear();
    *managed = ManagedStatus { asked: std::mem::take(&mut managed.asked), ..ManagedStatus::default() };
}
