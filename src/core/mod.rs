//! What is to be done, decided from what was observed. Pure: no async, no client, no AWS SDK, no clock.
//!
//! Each kind has one `decide(&Observed, now) -> Decision`. A decision is one step: something more to look at, one
//! mutation, or rest. The driver carries it out, puts the answer into `Observed`, and asks again. So a second pass
//! over a converged object looks, finds nothing to do, and yields the same status.

pub mod access;
pub mod account;
pub mod authority;
pub mod backoff;
pub mod certificate;
pub mod discovery;
#[cfg(test)]
mod fixtures;
pub mod keystores;
pub mod organization;
pub mod permissions;
pub mod request;
pub mod secret;
pub mod spending;
pub mod template;

use jiff::SignedDuration;

/// An event to publish when the status that tells of it was stored. Events tell transitions only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Something went wrong, or needs a person.
    pub warning: bool,
    /// CamelCase.
    pub reason: String,
    /// For people. It is cut at 1 kB when it is published.
    pub note: String,
}

/// One step of a reconcile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<R, W> {
    /// Look at this, then decide again.
    Read(R),
    /// Do this one thing, then decide again.
    Write(W),
    /// Store the status if it changed, then decide again.
    SaveStatus,
    /// Store the status if it changed, then wait: for a change, and at most so long.
    Rest(SignedDuration),
}

/// What to do next, and what to say about the object.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision<S, R, W> {
    /// The next step.
    pub step: Step<R, W>,
    /// The status as it should stand. It is stored by `SaveStatus` and `Rest` only.
    pub status: S,
    /// To publish once the status is stored.
    pub events: Vec<Event>,
}

/// The first bytes of a digest, in lower-case hexadecimal.
pub(crate) fn hex(digest: &[u8], bytes: usize) -> String {
    digest.iter().take(bytes).fold(String::with_capacity(2 * bytes), |hex, byte| hex + &format!("{byte:02x}"))
}
