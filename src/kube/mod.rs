//! How the operator speaks to the API server: its clients, its watches and what they keep, its Lease.

pub mod client;
pub mod kept;
pub mod key;
pub mod kinds;
pub mod leader;
pub mod lease;
pub mod packed;
#[cfg(test)]
pub(crate) mod stand_in;
pub mod store;
pub mod watch;
