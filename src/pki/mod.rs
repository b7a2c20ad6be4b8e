//! Keys, signing requests, certificates and chains: pure computation, without I/O and without a clock.
//!
//! Everything that is read here may come from a stranger: sizes are bounded, nothing panics, and errors say in plain
//! words what is wrong. They never quote a key.

pub mod acm_rules;
pub mod algorithm;
pub mod certificate;
pub mod chain;
pub mod csr;
mod encrypted;
pub mod key;
pub mod keystore;
pub mod names;
mod pem;
mod signature;
#[cfg(test)]
mod tests;
pub mod verify;

/// What is wrong, as the end of a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Problem(String);

impl Problem {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}
