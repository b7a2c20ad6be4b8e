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

    /// Takes the time of an answer, which is cut to the second (RFC 9110, Date).
    pub fn observe(&self, date: Timestamp) {
        let second = SignedDuration::from_secs(1);
        let estimate = self.server_time();
        let agrees = estimate >= date && estimate.duration_since(date) < second;
        if agrees && self.anchor.read().is_ok_and(|a| a.is_some()) {
            return;
        }
        if let Ok(mut anchor) = self.anchor.write() {
            *anchor = Some((Instant::now(), date));
        }
    }

    fn server_time(&self) -> Timestamp {
        let anchor = self.anchor.read().ok().and_then(|a| *a);
        anchor.map_or_else(Timestamp::now, |(at, date)| {
            SignedDuration::try_from(at.elapsed()).ok().and_then(|past| date.checked_add(past).ok()).unwrap_or(date)
        })
    }
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

    #[test]
    fn the_servers_time_counts_even_if_the_nodes_clock_is_wrong() {
        let clock = ServerClock::default();
        let date: Timestamp = "2001-01-01T00:00:00Z".parse().unwrap();
        clock.observe(date);
        assert!(clock.now() >= date && clock.now().duration_since(date) < SignedDuration::from_mins(5));
    }

    #[test]
    fn a_cut_second_does_not_set_the_clock_back() {
        let clock = ServerClock::default();
        let date: Timestamp = "2026-01-01T00:00:10Z".parse().unwrap();
        clock.observe(date);
        let before = clock.now();
        clock.observe(date);
        assert!(clock.now() >= before);
    }

    #[test]
    fn tests_can_run_it_ahead() {
        let clock = ServerClock::ahead(SignedDuration::from_hours(24 * 60));
        let date: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        clock.observe(date);
        assert!(clock.now().duration_since(date) >= SignedDuration::from_hours(24 * 60));
    }
}
