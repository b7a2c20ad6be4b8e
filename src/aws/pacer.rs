//! Imports into ACM in turn: one a second, an account and region (ACM user guide, "Quotas": ImportCertificate).
//!
//! Without it, many Certificates at once would all be throttled, back off, and come back together.

use crate::api::names::{AccountId, Region};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Between two imports; a little more than AWS's second, since its clock is not ours.
const BETWEEN: Duration = Duration::from_millis(1050);
/// A turn that was not taken for so long is given up.
const KEPT: Duration = Duration::from_secs(30);

/// Who waits: a Certificate's uid and a target's name.
pub type Key = (String, String);

/// The turns that are given away. They are this process's own; others of the account are felt as throttling.
#[derive(Debug, Default)]
pub struct Pacer(Mutex<HashMap<(AccountId, Region), Place>>);

#[derive(Debug, Default)]
struct Place {
    free: Option<Instant>,
    booked: HashMap<Key, Instant>,
}

impl Pacer {
    /// When it is this one's turn; asked again, it is the same turn.
    #[must_use]
    pub fn turn(&self, account: &AccountId, region: &Region, key: &Key, now: Instant) -> Instant {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = places.entry((account.clone(), region.clone())).or_default();
        place.booked.retain(|_, turn| now.saturating_duration_since(*turn) < KEPT);
        if let Some(turn) = place.booked.get(key) {
            return *turn;
        }
        let turn = place.free.map_or(now, |free| free.max(now));
        place.free = Some(turn + BETWEEN);
        place.booked.insert(key.clone(), turn);
        turn
    }

    /// The turn was taken: the next time this one stands at the end.
    pub fn taken(&self, account: &AccountId, region: &Region, key: &Key) {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = places.get_mut(&(account.clone(), region.clone())) {
            place.booked.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> (AccountId, Region) {
        ("111122223333".parse().unwrap(), "eu-west-1".parse().unwrap())
    }

    fn key(n: usize) -> Key {
        (format!("uid-{n}"), "edge".into())
    }

    #[test]
    fn everybody_has_a_turn_of_its_own_and_keeps_it() {
        let (pacer, now, (account, region)) = (Pacer::default(), Instant::now(), place());
        let turns: Vec<Instant> = (0..5).map(|n| pacer.turn(&account, &region, &key(n), now)).collect();
        assert!(turns.windows(2).all(|pair| pair[1] - pair[0] == BETWEEN) && turns[0] == now);
        let later = now + Duration::from_secs(2);
        assert_eq!(pacer.turn(&account, &region, &key(3), later), turns[3]);
        pacer.taken(&account, &region, &key(0));
        assert_eq!(pacer.turn(&account, &region, &key(0), later), turns[4] + BETWEEN);
    }

    #[test]
    fn places_do_not_wait_for_each_other_and_what_is_idle_does_not_save_up() {
        let (pacer, now, (account, region)) = (Pacer::default(), Instant::now(), place());
        assert_eq!(pacer.turn(&account, &region, &key(0), now), now);
        assert_eq!(pacer.turn(&account, &"us-east-1".parse().unwrap(), &key(1), now), now);
        let later = now + Duration::from_mins(1);
        assert_eq!(pacer.turn(&account, &region, &key(1), later), later);
        assert_eq!(pacer.turn(&account, &region, &key(2), later), later + BETWEEN);
    }
}
