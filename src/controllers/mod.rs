//! What the kinds do to the world: `observe` reads, `apply` changes one thing; the pure core decides between them.

pub mod account;
pub mod certificate;
pub mod context;
pub mod discovery;
pub mod driver;
pub mod keys;
pub mod line;
mod members;
mod news;
pub mod recent;
pub mod request;
pub mod wake;

#[cfg(test)]
mod tests;
