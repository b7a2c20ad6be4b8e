//! An emulator of AWS Certificate Manager, AWS Private CA and STS that enforces AWS's rules.

pub mod acm;
pub mod api;
