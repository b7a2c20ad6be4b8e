//! The line of the objects of one kind that are to be reconciled: those that are under way before those that are seen for the
//! first time, else in the order in which they were asked for, and never two reconciles of one object at the same time.
//!
//! Own code: kube's `controller::applier` needs a decoded store, and holds several strings for each object that rests.

use crate::kube::key::Key;
use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// Of so many turns, all but one are for objects under way, where both wait: nobody waits for ever.
const TURNS: u32 = 4;

/// Who waits, rests or is being reconciled.
#[derive(Default)]
pub struct Line {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    places: HashMap<Key, Place>,
    waiting: Waiting,
    resting: BTreeSet<(Instant, Key)>,
}

/// Who waits. What was begun is brought to its end first: of a thousand that are made at once the first are finished, and AWS's
/// quotas used, while the last have not begun.
#[derive(Default)]
struct Waiting {
    begun: VecDeque<Key>,
    fresh: VecDeque<Key>,
    turn: u32,
}

impl Waiting {
    fn pop(&mut self) -> Option<Key> {
        self.turn = (self.turn + 1) % TURNS;
        let (first, second) =
            if self.turn == 0 { (&mut self.fresh, &mut self.begun) } else { (&mut self.begun, &mut self.fresh) };
        first.pop_front().or_else(|| second.pop_front())
    }

    fn remove(&mut self, key: &Key) {
        self.begun.retain(|other| other != key);
        self.fresh.retain(|other| other != key);
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.begun.is_empty() && self.fresh.is_empty()
    }
}

/// Where an object stands; one that nobody asked for stands nowhere.
#[derive(Clone, Copy)]
enum Place {
    Waiting,
    RestsUntil(Instant),
    Running,
    /// It was asked for once more meanwhile.
    RunningAndAsked,
    /// It is to come again by then.
    RunningAndDue(Instant),
    /// It went meanwhile.
    RunningAndGone,
}

impl Line {
    /// Asks for a reconcile: now, or when the one that runs has ended.
    pub fn ask(&self, key: &Key) {
        let mut state = self.state();
        if state.ask(key) {
            drop(state);
            self.changed.notify_one();
        }
    }

    /// Asks for a reconcile within this time: all that ask meanwhile share it.
    pub fn ask_within(&self, key: &Key, wait: Duration) {
        self.state().ask_within(key, wait, Instant::now());
        self.changed.notify_one();
    }

    /// The next one, when there is one; [`Self::done`] has to follow. To be called by one task only.
    pub async fn next(&self) -> Key {
        loop {
            let changed = self.changed.notified();
            let (next, until) = {
                let mut state = self.state();
                (state.take(Instant::now()), state.resting.first().map(|(until, _)| *until))
            };
            match (next, until) {
                (Some(key), _) => return key,
                // One that is asked for may come before that.
                (None, Some(until)) => drop(tokio::time::timeout_at(until.into(), changed).await),
                (None, None) => changed.await,
            }
        }
    }

    /// A reconcile ended. It is followed by one after this time, or by none unless asked for. Returns whether the object is
    /// still there.
    pub fn done(&self, key: &Key, rest: Option<Duration>) -> bool {
        let there = self.state().done(key, rest, Instant::now());
        self.changed.notify_one();
        there
    }

    /// The object is gone: it need not come any more.
    pub fn forget(&self, key: &Key) {
        self.state().forget(key);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether the object waits now and did not before.
    fn ask(&mut self, key: &Key) -> bool {
        let Some(place) = self.places.get_mut(key) else {
            self.places.insert(key.clone(), Place::Waiting);
            self.waiting.fresh.push_back(key.clone());
            return true;
        };
        match *place {
            Place::Waiting | Place::RunningAndAsked => return false,
            Place::Running | Place::RunningAndDue(_) | Place::RunningAndGone => {
                *place = Place::RunningAndAsked;
                return false;
            }
            Place::RestsUntil(until) => {
                *place = Place::Waiting;
                self.resting.remove(&(until, key.clone()));
            }
        }
        self.waiting.begun.push_back(key.clone());
        true
    }

    fn ask_within(&mut self, key: &Key, wait: Duration, now: Instant) {
        let Some(due) = now.checked_add(wait) else { return };
        match self.places.get(key).copied() {
            Some(Place::Waiting | Place::RunningAndAsked) => {}
            Some(Place::RunningAndDue(until) | Place::RestsUntil(until)) if until <= due => {}
            Some(Place::Running | Place::RunningAndDue(_) | Place::RunningAndGone) => {
                self.places.insert(key.clone(), Place::RunningAndDue(due));
            }
            there @ (None | Some(Place::RestsUntil(_))) => {
                if let Some(Place::RestsUntil(until)) = there {
                    self.resting.remove(&(until, key.clone()));
                }
                self.places.insert(key.clone(), Place::RestsUntil(due));
                self.resting.insert((due, key.clone()));
            }
        }
    }

    fn take(&mut self, now: Instant) -> Option<Key> {
        while self.resting.first().is_some_and(|(until, _)| *until <= now) {
            if let Some((_, key)) = self.resting.pop_first() {
                self.places.insert(key.clone(), Place::Waiting);
                self.waiting.begun.push_back(key);
            }
        }
        let key = self.waiting.pop()?;
        self.places.insert(key.clone(), Place::Running);
        Some(key)
    }

    fn done(&mut self, key: &Key, rest: Option<Duration>, now: Instant) -> bool {
        match self.places.get(key) {
            Some(Place::RunningAndAsked) => {
                self.places.insert(key.clone(), Place::Waiting);
                self.waiting.begun.push_back(key.clone());
            }
            Some(place @ (Place::Running | Place::RunningAndDue(_))) => {
                let due = if let Place::RunningAndDue(due) = *place { Some(due) } else { None };
                // Further away than the clock can tell: that is never.
                let rests = rest.and_then(|rest| now.checked_add(rest));
                if let Some(until) = rests.into_iter().chain(due).min() {
                    self.places.insert(key.clone(), Place::RestsUntil(until));
                    self.resting.insert((until, key.clone()));
                } else {
                    self.places.remove(key);
                }
            }
            Some(Place::RunningAndGone) => {
                self.places.remove(key);
                return false;
            }
            Some(Place::Waiting | Place::RestsUntil(_)) | None => {}
        }
        true
    }

    fn forget(&mut self, key: &Key) {
        match self.places.get(key) {
            Some(Place::Waiting) => {
                self.places.remove(key);
                self.waiting.remove(key);
            }
            Some(Place::RestsUntil(until)) => {
                self.resting.remove(&(*until, key.clone()));
                self.places.remove(key);
            }
            Some(Place::Running | Place::RunningAndAsked | Place::RunningAndDue(_)) => {
                self.places.insert(key.clone(), Place::RunningAndGone);
            }
            Some(Place::RunningAndGone) | None => {}
        }
    }
}

#[cfg(test)]
mod tests;
