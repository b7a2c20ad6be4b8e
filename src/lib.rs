//! arnkeeper: private certificates for Kubernetes and AWS Certificate Manager, renewed under one ARN.

pub mod api;
pub mod aws;
pub mod pki;
