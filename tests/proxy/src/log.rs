//! What was called, in order.

use crate::{call::Call, rules::Act};
use jiff::Timestamp;
use serde::Serialize;

/// A call that came in.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Counts from 1.
    pub seq: u64,
    /// When it came, by this machine's clock.
    pub at: Timestamp,
    /// The call.
    #[serde(flatten)]
    pub call: Call,
    /// What a rule did to it.
    pub act: Option<Act>,
    /// The HTTP status of the server's answer, or of the one that was made up; none before or without one.
    pub status: Option<u16>,
}

/// All calls since the last reset.
#[derive(Debug, Default)]
pub struct Log {
    entries: Vec<Entry>,
    forgotten: u64,
}

impl Log {
    /// Enters a call; returns its number.
    pub fn add(&mut self, call: Call, act: Option<Act>) -> u64 {
        let seq = self.forgotten + self.entries.len() as u64 + 1;
        self.entries.push(Entry { seq, at: Timestamp::now(), call, act, status: None });
        seq
    }

    /// Enters the status of an answer.
    pub fn answered(&mut self, seq: u64, status: u16) {
        let at = seq.checked_sub(self.forgotten + 1).and_then(|at| usize::try_from(at).ok());
        if let Some(entry) = at.and_then(|at| self.entries.get_mut(at)) {
            entry.status = Some(status);
        }
    }

    /// The calls after this number.
    #[must_use]
    pub fn after(&self, seq: u64) -> &[Entry] {
        let from = usize::try_from(seq.saturating_sub(self.forgotten)).unwrap_or(usize::MAX);
        self.entries.get(from..).unwrap_or_default()
    }

    /// Forgets the calls, but not their count.
    pub fn clear(&mut self) {
        self.forgotten += self.entries.len() as u64;
        self.entries.clear();
    }
}
