//! arnkeeper: private certificates for Kubernetes and AWS Certificate Manager, renewed under one ARN.

pub mod api;
pub mod aws;
pub mod clock;
pub mod controllers;
pub mod core;
pub mod kube;
pub mod metrics;
pub mod pki;
pub mod probes;
#[cfg(test)]
mod readme;
pub mod run;
mod tasks;
pub mod text;
pub mod whoami;
