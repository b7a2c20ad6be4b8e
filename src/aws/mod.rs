//! Everything that speaks to AWS: the port, its adapter on the AWS SDK, sessions of accounts, what ACM has.

pub mod adapter;
pub mod authorities;
pub mod bounded;
pub mod classify;
pub mod clients;
pub mod credentials;
pub mod error;
#[cfg(test)]
mod fake;
pub mod inventory;
pub mod network;
pub mod paced;
pub mod permissions;
pub mod port;
pub mod profiles;
pub mod provider;
pub mod secrets_manager;
pub mod sessions;
#[cfg(test)]
pub(crate) mod stand_in;
pub mod vault;
#[cfg(test)]
mod wire;
