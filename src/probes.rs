//! Whether the process lives and is ready, and where that is asked: `/livez` and `/readyz`.

use axum::{Router, http::StatusCode, routing::get};
use std::{
    fmt::Write as _,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::time::Interval;

/// A part of the process that gives no sign for so long is taken for dead.
pub const SILENCE: Duration = Duration::from_mins(1);
/// How often a part that has nothing to do gives a sign.
pub const BEAT: Duration = Duration::from_secs(10);

/// The last sign of life of one part of the process, and how often it gives one that has nothing to do.
#[derive(Clone, Debug)]
pub struct Pulse(Arc<Mutex<Instant>>, Duration);

impl Pulse {
    /// A sign of life.
    pub fn beat(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Ticks as often as a part that has nothing to do has to beat; the first one at once.
    #[must_use]
    pub fn beats(&self) -> Interval {
        tokio::time::interval(self.1)
    }

    fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the probes ask.
#[derive(Debug)]
pub struct Health {
    filled: AtomicBool,
    stopping: AtomicBool,
    pulses: Mutex<Vec<(String, Pulse)>>,
    beat: Duration,
}

impl Default for Health {
    fn default() -> Self {
        Self::beating(BEAT)
    }
}

impl Health {
    /// With another [`BEAT`], for tests.
    pub(crate) fn beating(beat: Duration) -> Self {
        Self { filled: AtomicBool::default(), stopping: AtomicBool::default(), pulses: Mutex::default(), beat }
    }

    /// From now on this part has to give a sign at least once in [`SILENCE`].
    pub fn pulse(&self, part: impl Into<String>) -> Pulse {
        let pulse = Pulse(Arc::new(Mutex::new(Instant::now())), self.beat);
        self.pulses.lock().unwrap_or_else(PoisonError::into_inner).push((part.into(), pulse.clone()));
        pulse
    }

    /// Every store is filled.
    pub fn fill(&self) {
        self.filled.store(true, Ordering::Relaxed);
    }

    /// The process is about to end.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Whether there is everything to work with.
    ///
    /// # Errors
    /// What is missing.
    pub fn ready(&self) -> Result<(), &'static str> {
        if self.stopping.load(Ordering::Relaxed) {
            Err("it is about to end")
        } else if !self.filled.load(Ordering::Relaxed) {
            Err("the watches are not there yet")
        } else {
            Ok(())
        }
    }

    /// The parts that gave no sign for too long, and for how long.
    #[must_use]
    pub fn silent(&self, now: Instant) -> Vec<(String, Duration)> {
        let pulses = self.pulses.lock().unwrap_or_else(PoisonError::into_inner);
        let since = |(part, pulse): &(String, Pulse)| (part.clone(), now.saturating_duration_since(pulse.last()));
        pulses.iter().map(since).filter(|(_, silence)| *silence > SILENCE).collect()
    }
}

/// The routes of the probes.
pub fn router(health: Arc<Health>) -> Router {
    router_at(health, Instant::now)
}

/// The same by another clock.
fn router_at(health: Arc<Health>, now: impl Fn() -> Instant + Clone + Send + Sync + 'static) -> Router {
    let parts = health.clone();
    let livez = move || {
        let mut told = String::new();
        for (part, silence) in parts.silent(now()) {
            tracing::error!(part, seconds = silence.as_secs(), "a part of the process gives no sign of life");
            let _ = writeln!(told, "{part}: no sign of life for {} s", silence.as_secs());
        }
        let answer = if told.is_empty() {
            (StatusCode::OK, "ok\n".to_owned())
        } else {
            (StatusCode::INTERNAL_SERVER_ERROR, told)
        };
        std::future::ready(answer)
    };
    let readyz = move || {
        std::future::ready(match health.ready() {
            Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
            Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
        })
    };
    Router::new().route("/livez", get(livez)).route("/readyz", get(readyz))
}

#[cfg(test)]
pub(crate) mod stand_in;

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{body::Body, http::Request};
    use tower::ServiceExt as _;

    async fn status(health: &Arc<Health>, path: &str) -> StatusCode {
        asked(router(health.clone()), path).await.0
    }

    async fn asked(router: Router, path: &str) -> (StatusCode, String) {
        let answer = router.oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        let status = answer.status();
        let words = axum::body::to_bytes(answer.into_body(), 1000).await.unwrap();
        (status, String::from_utf8(words.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn it_is_ready_from_the_filled_stores_to_the_end() {
        let health = Arc::new(Health::default());
        assert_eq!(status(&health, "/readyz").await, StatusCode::SERVICE_UNAVAILABLE);
        health.fill();
        assert_eq!(status(&health, "/readyz").await, StatusCode::OK);
        health.stop();
        assert_eq!(status(&health, "/readyz").await, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(status(&health, "/livez").await, StatusCode::OK);
    }

    #[tokio::test]
    async fn a_part_that_is_silent_for_a_minute_is_dead_until_it_beats() {
        let health = Arc::new(Health::default());
        let (pulse, other) = (health.pulse("the watch of AwsAccounts"), health.pulse("the leader election"));
        let began = Instant::now();
        for pulse in [&pulse, &other] {
            *pulse.0.lock().unwrap() = began;
        }
        // The probe's clock goes on, not that of the machine, which may have been started a moment ago.
        let livez = |at: Instant| asked(router_at(health.clone(), move || at), "/livez");
        assert_eq!(livez(began + SILENCE).await, (StatusCode::OK, "ok\n".to_owned()));
        let later = began + SILENCE + Duration::from_secs(1);
        *other.0.lock().unwrap() = later;
        let told = "the watch of AwsAccounts: no sign of life for 61 s\n".to_owned();
        assert_eq!(livez(later).await, (StatusCode::INTERNAL_SERVER_ERROR, told));
        pulse.beat();
        assert!(pulse.last() > began);
        assert_eq!(status(&health, "/livez").await, StatusCode::OK);
    }
}
