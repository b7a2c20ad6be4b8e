//! An emulator of AWS Certificate Manager, AWS Private CA, STS and a piece of IAM that enforces AWS's rules.

mod acm;
pub mod api;
mod clock;
mod control;
mod faults;
mod iam;
mod identity;
mod ledger;
mod pca;
mod quotas;
mod random;
pub mod server;
mod sigv4;
mod state;
mod sts;

#[cfg(test)]
mod tests;
