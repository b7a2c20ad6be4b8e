//! A loopback proxy between a client and one server, that kills, freezes, drops, delays and answers by rule.
//!
//! README.md beside it has the rules and the control endpoints.

pub mod call;
mod control;
mod forward;
pub mod log;
pub mod rules;
mod server;
mod stream;
pub mod victim;

#[cfg(test)]
mod tests;

pub use server::{Config, Problem, Proxy, Scope};
