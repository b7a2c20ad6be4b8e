//! The end-to-end suite: a real API server, an emulated AWS, the operator under the chart's own permissions.
//!
//! It needs a stand: `KUBECONFIG` (of an administrator), `AWS_ENDPOINT_URL`, `ARNKEEPER_AWS` (`sim` or `moto`), and the
//! operator running against both with the namespace `arnkeeper-system` for its own Secrets. `make test` sees to all of it.
//!
//! Every test has a namespace and an AWS account of its own, so all of them run at the same time. What moto can't know
//! is tried on the other emulator alone, and the test says so.

mod accounts;
mod acm_managed;
mod adoption;
mod api_faults;
mod aws;
mod bad_input;
mod budget;
mod certificates;
mod chain;
mod deletion;
mod delivery;
mod denied;
mod discovery;
mod examples;
mod faults;
mod harness;
mod issuance;
mod keeper;
mod keystores;
mod kubectl;
mod metrics;
mod networks;
mod odd_sources;
mod one_arn;
mod organization;
mod pacing;
mod permissions;
mod preflight;
mod profiles;
mod publishing;
mod quiet;
mod refusals;
mod requests;
mod requests_faults;
mod schema;
mod secrets_manager;
mod sim;
mod sources;
mod spending;
mod take_over;
mod tenants;
mod tls;
mod vault;
mod wait;
