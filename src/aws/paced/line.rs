//! The line of those who want to call one operation in one account and region. Pure: the clock is passed in.
//!
//! No crate for rate limits has what is needed here: an order by urgency, leave that is given before the call, a rate
//! that follows AWS's throttling.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

/// Added to the time between two calls: timers and clocks are not exact.
const MARGIN: f64 = 1.01;
/// A line this fast may make up for a late timer; a slower one may not, since AWS's bucket holds one second's worth.
const FAST: f64 = 3.0;
const LATE: Duration = Duration::from_millis(5);
/// A call that has no answer yet may not have come to AWS: so long the next one of a slow line waits for it. The unknown time on
/// the way adds no more than this to the time between two calls.
const UNANSWERED: Duration = Duration::from_secs(3);
/// Between two looks whether there is an answer.
const LOOK: Duration = Duration::from_millis(10);
/// A throttled line is slowed to at least this share of its quota.
const SLOWEST: f64 = 0.1;
/// Throttled answers within this time are about one and the same excess.
const ONE_EXCESS: Duration = Duration::from_secs(1);
/// A slowed line stays so for this long, and then gets faster by this share of its quota a second.
const SLOW_FOR: Duration = Duration::from_secs(5);
const FASTER: f64 = 0.02;
/// Who is not further from its call waits for it; the others come back. So one account takes few of the places of all.
const NEAR: Duration = Duration::from_millis(1500);
const MOST_NEAR: usize = 24;
/// Who comes back does so at most this much earlier, to be there in time.
const EARLY: Duration = Duration::from_millis(1300);
/// Nobody is told to come back before this.
const NOT_BEFORE: Duration = Duration::from_millis(50);
/// Who does not come back at its time is forgotten after this.
const FORGOTTEN: Duration = Duration::from_secs(15);
/// Leave that is not used for so long is void.
const LEAVE: Duration = Duration::from_secs(5);
/// A certificate that ends later than this is as urgent as one that ends then.
const LEAST_URGENT: Duration = Duration::from_hours(90 * 24);
/// The place of a first issuance: behind what ends within a week, before the other renewals.
const FIRST: Duration = Duration::from_hours(7 * 24);
/// A minute of waiting counts like a day less of validity, so that nobody waits for ever.
const AGING: u32 = 24 * 60;

/// Who wants to call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The same as long as it is the same wish.
    pub key: String,
    /// How long the certificate in use is valid; none: there is none yet.
    pub left: Option<Duration>,
}

/// What a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Now.
    Go,
    /// Wait until then, and ask again.
    Near(Instant),
    /// Come back then.
    Later(Instant),
}

/// Where somebody stands: by when it should have its turn, then by arrival.
type Place = (Instant, u64);

#[derive(Debug)]
struct Waiter {
    key: String,
    /// When it asked first.
    since: Instant,
    /// It waits, rather than being told to come back at `due`.
    present: bool,
    due: Instant,
}

/// Leave to call soon.
#[derive(Debug)]
struct Leave {
    key: String,
    given: Instant,
    /// When its holder asked first.
    since: Instant,
}

/// A line.
#[derive(Debug)]
pub struct Line {
    /// Requests a second.
    quota: f64,
    /// The share of it that is used, and since when.
    share: (f64, Instant),
    /// When the next call may be sent.
    free: Instant,
    sent: Option<Instant>,
    /// The last call has no answer yet.
    unanswered: bool,
    /// The shortest time that AWS took to answer.
    quickest: Option<Duration>,
    waiting: BTreeMap<Place, Waiter>,
    places: HashMap<String, Place>,
    leave: Vec<Leave>,
    /// How long who was sent last had waited.
    waited: Duration,
    arrivals: u64,
    tidied: Instant,
}

impl Line {
    /// An empty line.
    #[must_use]
    pub fn new(quota: u32, now: Instant) -> Self {
        Self {
            quota: quota.into(),
            share: (1.0, now),
            free: now,
            sent: None,
            unanswered: false,
            quickest: None,
            waiting: BTreeMap::new(),
            places: HashMap::new(),
            leave: vec![],
            waited: Duration::ZERO,
            arrivals: 0,
            tidied: now,
        }
    }

    /// Sets the requests a second.
    pub fn set_quota(&mut self, quota: u32) {
        self.quota = quota.into();
    }

    /// Nobody stands in it, and nothing has to be remembered of it.
    #[must_use]
    pub fn is_idle(&self, now: Instant) -> bool {
        self.waiting.is_empty() && self.leave.is_empty() && self.free + LEAVE < now && self.share(now) >= 1.0
    }

    /// Asks to call now.
    pub fn ask(&mut self, asker: &Asker, now: Instant) -> Answer {
        if let Some(index) = self.leave.iter().position(|leave| leave.key == asker.key) {
            let free = self.free_at(now);
            if free > now {
                return if free <= now + NEAR { Answer::Near(free) } else { self.give_up(index) };
            }
            let since = self.leave.remove(index).since;
            self.send(since, now);
            return Answer::Go;
        }
        match self.stand(asker, Duration::ZERO, now) {
            Ok(since) => {
                self.send(since, now);
                Answer::Go
            }
            Err(answer) => answer,
        }
    }

    /// How long the last one that was sent had waited: from when it asked first, over all its returns.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Asks for leave to call within `ahead`, and at once where the line is empty. Something has to be done before the
    /// call that takes a while; whoever has leave asks again right before the call.
    pub fn ask_leave(&mut self, asker: &Asker, ahead: Duration, now: Instant) -> Answer {
        if self.leave.iter().any(|leave| leave.key == asker.key) {
            return Answer::Go;
        }
        match self.stand(asker, ahead, now) {
            Ok(since) => {
                self.leave.push(Leave { key: asker.key.clone(), given: now, since });
                Answer::Go
            }
            Err(answer) => answer,
        }
    }

    /// Whoever waited comes back then; its place is kept.
    pub fn comes_back(&mut self, key: &str, at: Instant) {
        if let Some(waiter) = self.places.get(key).and_then(|place| self.waiting.get_mut(place)) {
            (waiter.present, waiter.due) = (false, at);
        }
    }

    /// Whoever waited does not do so any more.
    pub fn left(&mut self, key: &str) {
        let place = self.places.get(key).filter(|place| self.waiting.get(place).is_some_and(|w| w.present)).copied();
        if let Some(place) = place {
            self.places.remove(key);
            self.waiting.remove(&place);
        }
    }

    /// AWS answered a call that was sent then.
    pub fn answered(&mut self, sent: Instant, throttled: bool, now: Instant) {
        let took = now.saturating_duration_since(sent);
        self.unanswered &= self.sent != Some(sent);
        if throttled {
            self.throttled(now);
            return;
        }
        // So much later than others it may have come to AWS, and then the next one comes too early.
        let late = self.quickest.map_or(took, |quickest| took.saturating_sub(quickest)).min(UNANSWERED);
        self.quickest = Some(self.quickest.map_or(took, |quickest| took.min(quickest + quickest / 64)));
        if self.quota < FAST && self.sent == Some(sent) {
            self.free = self.free.max(sent + self.between(now) + late);
        }
    }

    fn throttled(&mut self, now: Instant) {
        let (share, since) = self.share;
        if share >= 1.0 || now.saturating_duration_since(since) >= ONE_EXCESS {
            self.share = ((self.share(now) / 2.0).max(SLOWEST), now);
        }
        self.free = self.free.max(now + self.between(now));
    }

    /// The share of the quota that is used now.
    #[must_use]
    pub fn share(&self, now: Instant) -> f64 {
        let (share, since) = self.share;
        let faster = now.saturating_duration_since(since).saturating_sub(SLOW_FOR).as_secs_f64() * FASTER;
        (share + faster).min(1.0)
    }

    /// Between two calls.
    fn between(&self, now: Instant) -> Duration {
        Duration::from_secs_f64(MARGIN / (self.quota * self.share(now)))
    }

    fn send(&mut self, since: Instant, now: Instant) {
        self.waited = now.saturating_duration_since(since);
        let late = if self.quota < FAST { Duration::ZERO } else { LATE };
        let from = self.free.max(now.checked_sub(late).unwrap_or(now));
        self.free = from + self.between(now);
        (self.sent, self.unanswered) = (Some(now), true);
    }

    /// When the next call may be sent, as far as is known.
    fn free_at(&self, now: Instant) -> Instant {
        let waits = self.quota < FAST && self.unanswered;
        let lost = self.sent.is_none_or(|sent| now.saturating_duration_since(sent) >= UNANSWERED);
        if waits && !lost { self.free.max(now + LOOK) } else { self.free }
    }

    /// The line was slowed after leave was given.
    fn give_up(&mut self, index: usize) -> Answer {
        self.leave.remove(index);
        Answer::Later(self.free)
    }

    /// Since when it stood there, if it goes; else what it is told.
    fn stand(&mut self, asker: &Asker, ahead: Duration, now: Instant) -> Result<Instant, Answer> {
        self.tidy(now);
        let place = self.place(asker, now);
        let before = self.waiting.range(..place).map(|(_, waiter)| waiter);
        let (all, present) = before.fold((0, 0), |(all, present), w| (all + 1, present + u32::from(w.present)));
        let between = self.between(now);
        let given = u32::try_from(self.leave.len()).unwrap_or(u32::MAX);
        // The one at the head of the line goes when all who have leave have gone.
        let free = self.free_at(now);
        let head = free.max(now) + between.saturating_mul(given);
        if present == 0 && free + between.saturating_mul(given) <= now + ahead {
            self.places.remove(&asker.key);
            return Ok(self.waiting.remove(&place).map_or(now, |waiter| waiter.since));
        }
        let turn = |before: u32| (head + between.saturating_mul(before)).checked_sub(ahead).unwrap_or(now).max(now);
        let near = self.waiting.values().filter(|w| w.present && w.key != asker.key).count() < MOST_NEAR;
        let answer = if turn(all) <= now + NEAR && near {
            Answer::Near(turn(present))
        } else {
            let early = EARLY.min(between * u32::try_from(MOST_NEAR / 2).unwrap_or(1));
            Answer::Later(turn(all).checked_sub(early).unwrap_or(now).max(now + NOT_BEFORE))
        };
        if let Some(waiter) = self.waiting.get_mut(&place) {
            (waiter.present, waiter.due) = match answer {
                Answer::Later(at) => (false, at),
                Answer::Go | Answer::Near(_) => (true, now),
            };
        }
        Err(answer)
    }

    fn place(&mut self, asker: &Asker, now: Instant) -> Place {
        if let Some(place) = self.places.get(&asker.key) {
            return *place;
        }
        self.arrivals += 1;
        let place = (now + asker.left.unwrap_or(FIRST).min(LEAST_URGENT) / AGING, self.arrivals);
        self.places.insert(asker.key.clone(), place);
        self.waiting.insert(place, Waiter { key: asker.key.clone(), since: now, present: true, due: now });
        place
    }

    /// Forgets who did not come back, and leave that was not used.
    fn tidy(&mut self, now: Instant) {
        if now.saturating_duration_since(self.tidied) < Duration::from_secs(1) {
            return;
        }
        self.tidied = now;
        self.leave.retain(|leave| now.saturating_duration_since(leave.given) < LEAVE);
        let places = &mut self.places;
        self.waiting.retain(|_, waiter| {
            let stays = waiter.present || now.saturating_duration_since(waiter.due) < FORGOTTEN;
            if !stays {
                places.remove(&waiter.key);
            }
            stays
        });
    }
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
