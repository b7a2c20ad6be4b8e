//! How the operator speaks to the API server: its clients, its watches, its Lease.

pub mod client;
pub mod leader;
pub mod lease;
pub mod watch;
