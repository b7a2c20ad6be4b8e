//! Everything that speaks to AWS: the port, its adapter on the AWS SDK, sessions of accounts, what ACM has.

<<<<<<< HEAD
pub mod adapter;
pub mod classify;
pub mod credentials;
pub mod error;
#[cfg(test)]
mod fake;
pub mod port;
pub mod provider;
pub mod sessions;
=======
pub mod authorities;
pub mod error;
pub mod inventory;
pub mod port;

#[cfg(test)]
mod fake;
>>>>>>> aws2
