//! How the operator speaks to the API server: its client, its watches.

pub mod client;
pub mod watch;
