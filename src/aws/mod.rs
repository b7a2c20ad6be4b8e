//! Everything that speaks to AWS: the port, its adapter on the AWS SDK, sessions of accounts, what ACM has.

pub mod authorities;
pub mod error;
pub mod inventory;
pub mod port;

#[cfg(test)]
mod fake;
