//! What Certificates asked ACM to issue or renew. Each one's status tells of it, and this process remembers what it saw there or
//! asked for itself: a status may be wiped, and an answer may be a refusal.

use super::{COUNTS, Count, Ledger, Spent, Stage, hour_of};
use crate::api::Certificate;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use std::mem;

/// A status keeps a time until no account counts it any more.
pub const KEPT: SignedDuration = SignedDuration::from_hours(COUNTS + 1);
/// So many times are kept of a Certificate: a budget of 100 a day has no more of them.
pub const MOST_TIMES: usize = 200;

/// What one Certificate asked ACM for of late, as far as this process knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The times that count.
    pub times: Vec<Timestamp>,
    /// Times that its status may tell, and that do not count: AWS refused, or no call was made.
    pub void: Vec<Timestamp>,
    /// The last time, as long as it carried no call.
    open: Option<Timestamp>,
}

impl Asked {
    fn forget_old(&mut self, now: Timestamp) {
        self.times.retain(|at| now.duration_since(*at) < KEPT);
        self.void.retain(|at| now.duration_since(*at) < KEPT);
    }
}

fn key(uid: &str, at: Timestamp) -> String {
    format!("{uid}/{}", at.as_second())
}

impl Ledger {
    /// A Certificate is there, new or changed. Returns whether its account has to be looked at.
    pub fn note_certificate(&mut self, certificate: &Certificate, now: Timestamp) -> bool {
        let told = certificate.status.as_ref().and_then(|s| s.managed.as_ref()).map_or(&[][..], |m| &m.asked);
        let Some(uid) = certificate.metadata.uid.as_deref().filter(|_| !told.is_empty()) else { return false };
        let asked = self.managed.entry(uid.to_owned()).or_default();
        asked.forget_old(now);
        let account = self.accounts.entry(certificate.spec.account_ref.name.clone()).or_default();
        account.forget_old(now);
        for at in told.iter().map(|at| at.0).filter(|at| now.duration_since(*at) < KEPT) {
            if asked.times.contains(&at) || asked.void.contains(&at) || asked.times.len() >= MOST_TIMES {
                continue;
            }
            asked.times.push(at);
            // A time to come was not written by us.
            let hour = hour_of(at).min(hour_of(now));
            if hour >= hour_of(now) - COUNTS {
                account.put(hour, key(uid, at), Count { number: 1, attempts: 1, ..Count::default() });
            }
        }
        if asked.times.is_empty() && asked.void.is_empty() {
            self.managed.remove(uid);
        }
        account.wakes(now)
    }

    /// A Certificate is gone; what it asked for goes on to count for its account.
    pub fn certificate_deleted(&mut self, certificate: &Certificate, now: Timestamp) -> bool {
        self.note_certificate(certificate, now);
        let uid = certificate.uid().unwrap_or_default();
        let Some(asked) = self.managed.remove(&uid) else { return false };
        let account = self.accounts.entry(certificate.spec.account_ref.name.clone()).or_default();
        for at in asked.times {
            account.gone(&key(&uid, at));
        }
        account.wakes(now)
    }

    /// What a Certificate asked ACM for, at the beginning of a pass: what an earlier pass took and did not use is given back.
    pub fn asked(&mut self, account: &str, uid: &str, now: Timestamp) -> Asked {
        let open = self.managed.get(uid).and_then(|asked| asked.open);
        if let Some(open) = open {
            self.take_back(account, uid, open);
        }
        self.known(uid, now)
    }

    /// The same, in the middle of a pass.
    pub fn known(&mut self, uid: &str, now: Timestamp) -> Asked {
        let Some(asked) = self.managed.get_mut(uid) else { return Asked::default() };
        asked.forget_old(now);
        asked.clone()
    }

    /// Counts what a Certificate is about to ask ACM for.
    ///
    /// # Errors
    /// If the account's budget is used up; then it must not be asked.
    pub fn take_managed(&mut self, account: &str, uid: &str, at: Timestamp, now: Timestamp) -> Result<(), Spent> {
        if let Some(open) = self.managed.get(uid).and_then(|asked| asked.open).filter(|open| *open != at) {
            self.take_back(account, uid, open);
        }
        self.take(account, &key(uid, at), 1, now)?;
        let asked = self.managed.entry(uid.to_owned()).or_default();
        asked.void.retain(|void| *void != at);
        if !asked.times.contains(&at) {
            asked.times.push(at);
        }
        asked.open = Some(at);
        Ok(())
    }

    /// ACM is asked now.
    pub fn calls_managed(&mut self, account: &str, uid: &str, at: Timestamp, now: Timestamp) {
        let asked = self.managed.entry(uid.to_owned()).or_default();
        asked.open = None;
        asked.void.retain(|void| *void != at);
        if !asked.times.contains(&at) {
            asked.times.push(at);
        }
        self.calls(account, &key(uid, at), 1, now);
    }

    /// ACM was asked, and did not refuse.
    pub fn made_managed(&mut self, account: &str, uid: &str, at: Timestamp) {
        self.made(account, &key(uid, at));
    }

    /// Nothing was paid for it: ACM refused, or was not asked.
    pub fn take_back(&mut self, account: &str, uid: &str, at: Timestamp) {
        let asked = self.managed.entry(uid.to_owned()).or_default();
        asked.open = None;
        let (void, times) = mem::take(&mut asked.times).into_iter().partition(|time| *time == at);
        asked.times = times;
        let void: Vec<Timestamp> = void;
        // Only what a status may tell of it has to be remembered.
        asked.void.extend(void);
        self.give_back(account, &key(uid, at), 1);
    }
}

impl super::Account {
    /// A request is deleted, or what tells of it: what was asked for goes on to count.
    pub(super) fn gone(&mut self, key: &str) {
        if let Some((hour, mut count)) = self.take_out(key) {
            // It was counted for a call that its deletion prevented; should the call come all the same, it is counted then.
            if count.stage == Stage::Taken {
                (count.number, count.attempts, count.stage) = (count.number - 1, count.attempts - 1, Stage::Done);
            }
            self.put(hour, key.to_owned(), Count { deleted: true, ..count });
        }
    }
}
