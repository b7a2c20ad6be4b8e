//! An emulator of AWS Certificate Manager, AWS Private CA, Organizations, Secrets Manager, STS and a piece of IAM that enforces
//! AWS's rules.

mod acm;
pub mod api;
mod clock;
mod control;
mod faults;
mod iam;
mod identity;
mod ledger;
mod organizations;
mod pca;
mod quotas;
mod random;
mod secrets;
pub mod server;
mod sigv4;
mod state;
mod sts;
mod web_identity;

#[cfg(test)]
mod tests;
