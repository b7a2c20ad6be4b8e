//! The one clock that the code reads. Its hand is the API server's, where it is known, and tests move it.

use jiff::{SignedDuration, Timestamp};
use std::{
    sync::{
        RwLock,
        atomic::{AtomicI64, Ordering},
    },
    time::Instant,
};

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// The API server's clock, read off its answers and carried on between them by the monotonic clock.
///
/// Records that carry calls to AWS are stamped by the API server (an object's creation), so their age is told by it too:
/// a wrong clock on the node must not make an old record look fresh.
#[derive(Debug, Default)]
pub struct ServerClock {
    anchor: RwLock<Option<(Instant, Timestamp)>>,
    offset: AtomicI64,
}

impl ServerClock {
    /// A clock that runs `offset` ahead. Only tests have one that is not zero.
    #[must_use]
    pub fn ahead(offset: SignedDuration) -> Self {
        Self { anchor: RwLock::default(), offset: AtomicI64::new(offset.as_secs()) }
    }

    /// Takes the date of an answer to what was asked then. It was cut to the second (RFC 9110, Date), and set at any time between
    /// question and answer: the clock is moved no further than is certain, so that a late answer does not set it back.
    pub fn observe(&self, asked: Instant, date: Timestamp) {
        let Ok(mut anchor) = self.anchor.write() else { return };
        let now = Instant::now();
        let unknown = SignedDuration::try_from(now.duration_since(asked)).unwrap_or_default();
        let latest = date.saturating_add(unknown.saturating_add(SignedDuration::from_secs(1))).unwrap_or(date);
        let known = anchor.map(|anchor| carried_on(anchor, now));
        let time = known.map_or(date, |known| known.clamp(date, latest));
        if known != Some(time) {
            *anchor = Some((now, time));
        }
    }

    fn server_time(&self) -> Timestamp {
        let anchor = self.anchor.read().ok().and_then(|a| *a);
        anchor.map_or_else(Timestamp::now, |anchor| carried_on(anchor, Instant::now()))
    }
}

fn carried_on((at, time): (Instant, Timestamp), now: Instant) -> Timestamp {
    let past = SignedDuration::try_from(now.saturating_duration_since(at));
    past.ok().and_then(|past| time.checked_add(past).ok()).unwrap_or(time)
}

impl Clock for ServerClock {
    fn now(&self) -> Timestamp {
        let now = self.server_time();
        now.checked_add(SignedDuration::from_secs(self.offset.load(Ordering::Relaxed))).unwrap_or(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_servers_time_counts_even_if_the_nodes_clock_is_wrong() {
        let clock = ServerClock::default();
        let date: Timestamp = "2001-01-01T00:00:00Z".parse().unwrap();
        clock.observe(Instant::now(), date);
        assert!(clock.now() >= date && clock.now().duration_since(date) < SignedDuration::from_mins(5));
    }

    #[test]
    fn a_cut_second_does_not_set_the_clock_back() {
        let clock = ServerClock::default();
        let date: Timestamp = "2026-01-01T00:00:10Z".parse().unwrap();
        clock.observe(Instant::now(), date);
        let before = clock.now();
        clock.observe(Instant::now(), date);
        assert!(clock.now() >= before);
    }

    #[test]
    fn a_late_answer_does_not_set_the_clock_back() {
        let clock = ServerClock::default();
        let date: Timestamp = "2026-01-01T00:00:10Z".parse().unwrap();
        clock.observe(Instant::now(), date);
        let before = clock.now();
        let asked = Instant::now().checked_sub(Duration::from_secs(20)).unwrap();
        clock.observe(asked, date.checked_sub(SignedDuration::from_secs(20)).unwrap());
        assert!(clock.now() >= before);
    }

    #[test]
    fn a_server_whose_clock_was_set_back_is_followed() {
        let clock = ServerClock::default();
        let date: Timestamp = "2026-01-01T10:00:00Z".parse().unwrap();
        clock.observe(Instant::now(), date);
        let back = date.checked_sub(SignedDuration::from_hours(1)).unwrap();
        clock.observe(Instant::now(), back);
        assert!(clock.now() >= back && clock.now().duration_since(back) < SignedDuration::from_mins(5));
    }

    #[test]
    fn tests_can_run_it_ahead() {
        let clock = ServerClock::ahead(SignedDuration::from_hours(24 * 60));
        let date: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        clock.observe(Instant::now(), date);
        assert!(clock.now().duration_since(date) >= SignedDuration::from_hours(24 * 60));
    }
}
