//! The emulator's clock: the real one, moved forward on request.

use jiff::{SignedDuration, Timestamp};

/// The real clock plus what was added to it.
#[derive(Debug, Default)]
pub struct Clock {
    ahead: SignedDuration,
}

impl Clock {
    /// The emulator's time; the end of time when it was moved beyond that.
    pub fn now(&self) -> Timestamp {
        Timestamp::now().checked_add(self.ahead).unwrap_or(Timestamp::MAX)
    }

    /// Moves the clock by so many seconds; negative moves it back.
    pub fn advance(&mut self, seconds: i64) {
        self.ahead = self.ahead.saturating_add(SignedDuration::from_secs(seconds));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Control interface, POST /_sim/clock: the clock is moved, and moves are added up.
    #[test]
    fn moves_are_added_up() {
        let mut clock = Clock::default();
        let before = Timestamp::now();
        clock.advance(3600);
        clock.advance(60);
        assert!(clock.now().duration_since(before) >= SignedDuration::from_secs(3660));
        clock.advance(i64::MAX);
        clock.advance(i64::MAX);
        assert_eq!(clock.now(), Timestamp::MAX);
    }
}
