//! Who leads: the decisions of one candidate for a Lease. Pure; what is said to the API server is in [`super::leader`].
//!
//! A candidate leads for [`Terms::renew_deadline`] from the moment at which it *sent* the write that the API server took.
//! Another one claims the Lease only if it saw it unchanged for [`Terms::duration`], from the moment at which the answer
//! *arrived*, and only where nobody wrote in between (resourceVersion). The first is shorter than the second, so no two
//! lead at the same time as long as their monotonic clocks run at one speed; no clock has to show the right time.

use jiff::{SignedDuration, Timestamp};
use std::time::{Duration, Instant};

/// How long what lasts; the names and defaults are those of Kubernetes' own components.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// A Lease that is not renewed for so long is free. In whole seconds.
    pub duration: Duration,
    /// A leader that could not renew for so long works no more.
    pub renew_deadline: Duration,
    /// The time between two attempts to get or to renew the Lease.
    pub retry_period: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}

impl Terms {
    /// Whether they keep two leaders apart, and leave time to renew.
    ///
    /// # Errors
    /// What is wrong with them, for a person.
    pub fn check(&self) -> Result<(), String> {
        if self.duration.subsec_nanos() != 0 || self.duration.as_secs() > 3600 {
            return Err("the lease duration has to be in whole seconds, and at most an hour".to_owned());
        }
        if self.retry_period.is_zero() {
            return Err("the retry period must not be zero".to_owned());
        }
        if self.retry_period * 2 > self.renew_deadline || self.renew_deadline >= self.duration {
            return Err("the retry period has to be at most half of the renew deadline, and that shorter than the \
                        lease duration"
                .to_owned());
        }
        Ok(())
    }
}

/// What a Lease says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Who has it; none: it was given back.
    pub holder: Option<String>,
    /// For how long after a renewal.
    pub duration: Duration,
    /// When its holder got it.
    pub acquired: Timestamp,
    /// When its holder renewed it last, by the holder's clock.
    pub renewed: Timestamp,
    /// How often it went from one to another.
    pub transitions: i32,
    /// The resourceVersion that it was read with; none: it is not there yet.
    pub version: Option<String>,
}

/// What to do after a look at the Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Somebody else has it.
    Wait,
    /// Write [`Candidate::claim`].
    Claim,
    /// It was ours and is not any more.
    Lost,
}

/// One who wants to lead.
#[derive(Debug)]
pub struct Candidate {
    identity: String,
    terms: Terms,
    /// The Lease as it was seen or written last, and when it was seen first as it is.
    seen: Option<(Record, Instant)>,
    /// When the API server was heard last.
    heard: Option<Instant>,
    /// When the Lease of the leader before us ended, unless it was given back.
    former: Option<Timestamp>,
    /// Until when we lead, if we ever did.
    until: Option<Instant>,
}

impl Candidate {
    /// A candidate. The identity is that of one process, and never used again.
    #[must_use]
    pub fn new(identity: String, terms: Terms) -> Self {
        Self { identity, terms, seen: None, heard: None, former: None, until: None }
    }

    /// Who has the Lease, as far as is known.
    #[must_use]
    pub fn holder(&self) -> Option<&str> {
        self.seen.as_ref()?.0.holder.as_deref()
    }

    /// Whether the Lease was ours once.
    #[must_use]
    pub fn has_led(&self) -> bool {
        self.until.is_some()
    }

    /// Until when this one leads.
    #[must_use]
    pub fn until(&self) -> Option<Instant> {
        self.until
    }

    /// When the Lease of a former leader ended that did not give it back: what was begun until then may be under way still.
    #[must_use]
    pub fn former(&self) -> Option<Timestamp> {
        self.former
    }

    /// Looks at the Lease (none: it is not there), as the answer that arrived at `now` shows it; `time` is the same by the clock.
    pub fn see(&mut self, record: Option<Record>, now: Instant, time: Timestamp) -> Next {
        let heard = self.heard.replace(now);
        let holder = record.as_ref().and_then(|record| record.holder.as_deref());
        let mine = holder == Some(&*self.identity);
        if self.has_led() && !mine {
            self.seen = record.map(|record| (record, now));
            return Next::Lost;
        }
        match record {
            // A claim of ours whose answer did not come.
            Some(record) if mine => {
                self.seen = Some((record, now));
                Next::Claim
            }
            Some(record) if record.holder.is_none() => {
                self.seen = Some((record, now));
                self.former = None;
                Next::Claim
            }
            Some(record) => {
                // Where the API server could not be reached, the holder could not renew either, and is not to lose by it.
                let deaf = heard.is_none_or(|heard| now.duration_since(heard) > self.terms.renew_deadline);
                let known = self.seen.as_ref().is_some_and(|(seen, _)| seen.version == record.version);
                if !known {
                    let lasts = SignedDuration::try_from(record.duration.max(self.terms.duration));
                    let end = lasts.ok().and_then(|lasts| record.renewed.min(time).checked_add(lasts).ok());
                    self.former = Some(end.unwrap_or(time));
                }
                let since = self.seen.as_ref().filter(|_| known && !deaf).map_or(now, |(_, since)| *since);
                self.seen = Some((record, since));
                self.unless_held(now)
            }
            // Not made yet; or somebody deleted it, which ends no leadership.
            None => {
                let next = self.unless_held(now);
                if next == Next::Claim
                    && let Some((gone, _)) = &mut self.seen
                {
                    gone.version = None;
                }
                next
            }
        }
    }

    fn unless_held(&self, now: Instant) -> Next {
        let held = self.seen.as_ref().is_some_and(|(record, since)| {
            record.holder.is_some() && now.duration_since(*since) <= record.duration.max(self.terms.duration)
        });
        if held { Next::Wait } else { Next::Claim }
    }

    /// What to write to get the Lease or to keep it, where it has still the version that was seen.
    #[must_use]
    pub fn claim(&self, time: Timestamp) -> Record {
        let seen = self.seen.as_ref().map(|(record, _)| record);
        let mine = seen.filter(|record| record.holder.as_ref() == Some(&self.identity));
        Record {
            holder: Some(self.identity.clone()),
            duration: self.terms.duration,
            acquired: mine.map_or(time, |record| record.acquired),
            renewed: time,
            transitions: seen.map_or(0, |record| record.transitions.saturating_add(i32::from(mine.is_none()))),
            version: seen.and_then(|record| record.version.clone()),
        }
    }

    /// What to write to give the Lease back.
    #[must_use]
    pub fn given_back(&self, time: Timestamp) -> Option<Record> {
        let (record, _) = self.seen.as_ref().filter(|(r, _)| r.holder.as_ref() == Some(&self.identity))?;
        Some(Record { holder: None, renewed: time, ..record.clone() })
    }

    /// The API server took a claim that was sent at `sent`; its answer is `record`.
    pub fn won(&mut self, record: Record, sent: Instant) {
        self.heard = Some(sent);
        self.seen = Some((record, sent));
        self.until = Some(sent + self.terms.renew_deadline);
    }
}

#[cfg(test)]
mod tests;
