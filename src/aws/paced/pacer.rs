//! The lines of all accounts, regions and operations.

use super::{
    line::{Answer, Asker, Line},
    quotas::Operation,
};
use crate::api::names::{AccountId, Region};
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// A call waits for its turn at most this long; if that is not enough, its object is looked at again later.
pub const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// Leave to import is given so long before the import's turn: a record of it is stored meanwhile.
const AHEAD: Duration = Duration::from_millis(1500);
/// Less is not worth a timer.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// Where a line is, and what for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lane {
    /// The account that the calls go to.
    pub account: AccountId,
    /// The region.
    pub region: Region,
    /// The operation.
    pub operation: Operation,
}

/// Is told how the pacer works, for metrics. All of it is called in the middle of calls to AWS, so it must be quick.
pub trait Observer: Send + Sync {
    /// A call waited so long for its turn, from when it was asked for first, and goes now.
    fn waited(&self, _: &Lane, _: Duration) {}
    /// A call was put off for so long: its object is looked at again then.
    fn put_off(&self, _: &Lane, _: Duration) {}
    /// AWS throttled a call; this share of the quota, from 0 to 1, is used from now on.
    fn slowed(&self, _: &Lane, _: f64) {}
}

impl Observer for () {}

/// All lines. They are this process's own; other users of an account are felt as throttling.
pub struct Pacer {
    lines: Mutex<HashMap<Lane, Line>>,
    observer: Arc<dyn Observer>,
}

impl fmt::Debug for Pacer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pacer").finish_non_exhaustive()
    }
}

impl Default for Pacer {
    fn default() -> Self {
        Self::observed(Arc::new(()))
    }
}

/// The tests' clock may stand still.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Pacer {
    /// A pacer that tells what it does.
    #[must_use]
    pub fn observed(observer: Arc<dyn Observer>) -> Self {
        Self { lines: Mutex::default(), observer }
    }

    /// Waits for the turn to call, and says when it came.
    ///
    /// # Errors
    /// For how long to come back later, where the turn is too far away to wait for.
    pub async fn turn(&self, lane: &Lane, quota: u32, asker: &Asker) -> Result<Instant, Duration> {
        let mut waited = Duration::ZERO;
        let ask = |now| {
            self.with(lane, quota, now, |line| {
                let answer = line.ask(asker, now);
                waited = line.waited();
                answer
            })
        };
        let sent = self.wait(lane, asker, ask).await?;
        self.observer.waited(lane, waited);
        Ok(sent)
    }

    /// Waits for leave to make a call that comes soon: something is to be done before, and then [`Self::turn`] asked.
    ///
    /// # Errors
    /// For how long to come back later.
    pub async fn leave(&self, lane: &Lane, quota: u32, asker: &Asker) -> Result<(), Duration> {
        self.wait(lane, asker, |now| self.with(lane, quota, now, |line| line.ask_leave(asker, AHEAD, now)))
            .await
            .map(|_| ())
    }

    /// AWS answered a call that was sent then.
    pub fn answered(&self, lane: &Lane, sent: Instant, throttled: bool) {
        let now = now();
        let mut share = None;
        if let Some(line) = self.lines().get_mut(lane) {
            line.answered(sent, throttled, now);
            share = Some(line.share(now));
        }
        if let Some(share) = share.filter(|_| throttled) {
            self.observer.slowed(lane, share);
            let Lane { account, region, operation } = lane;
            tracing::warn!(%account, %region, operation = operation.action(), share, "AWS throttles: calls are made more slowly, and faster again by and by");
        }
    }

    async fn wait(
        &self,
        lane: &Lane,
        asker: &Asker,
        mut ask: impl FnMut(Instant) -> Answer,
    ) -> Result<Instant, Duration> {
        let began = now();
        // Dropped in mid-wait, or tired of it, one does not keep the others waiting.
        let _standing = Standing { pacer: self, lane, key: &asker.key };
        loop {
            let now = now();
            let at = match ask(now) {
                Answer::Go => return Ok(now),
                Answer::Near(at) if at.saturating_duration_since(began) <= LONGEST_WAIT => at,
                Answer::Near(at) | Answer::Later(at) => {
                    if let Some(line) = self.lines().get_mut(lane) {
                        line.comes_back(&asker.key, at);
                    }
                    let wait = at.saturating_duration_since(now).max(SHORTEST_WAIT);
                    self.observer.put_off(lane, wait);
                    return Err(wait);
                }
            };
            tokio::time::sleep_until(at.max(now + SHORTEST_WAIT).into()).await;
        }
    }

    fn with<R>(&self, lane: &Lane, quota: u32, now: Instant, ask: impl FnOnce(&mut Line) -> R) -> R {
        let mut lines = self.lines();
        if !lines.contains_key(lane) {
            lines.retain(|_, line| !line.is_idle(now));
        }
        let found = lines.entry(lane.clone()).or_insert_with(|| Line::new(quota, now));
        found.set_quota(quota);
        ask(found)
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<Lane, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who stands in a line.
struct Standing<'a> {
    pacer: &'a Pacer,
    lane: &'a Lane,
    key: &'a str,
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        if let Some(line) = self.pacer.lines().get_mut(self.lane) {
            line.left(self.key);
        }
    }
}
