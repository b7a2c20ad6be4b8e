//! The port on the AWS SDK.
//!
//! An account has one configuration (credentials, HTTP client, timeouts); each region's clients are made from it on first use.

mod acm;
mod acm_issued;
mod iam;
pub(in crate::aws) mod organization;
mod pca;

use super::{
    classify::unusable,
    error::AwsError,
    paced::Gate,
    port::{
        Authority, Aws, CertificateOrder, Description, Exported, Identity, Issue, Material, Organization, PemChain,
        Simulation, Summary, Verdict,
    },
};
use crate::api::{
    names::{AuthorityArn, CertificateArn, IssuedArn, Located, Region},
    shared::Tags,
};
use async_trait::async_trait;
use aws_config::{SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_smithy_types::DateTime;
use jiff::Timestamp;
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Connecting takes at most this long; it is the SDK's own default.
const CONNECT: Duration = Duration::from_millis(3100);
/// One attempt of a call, credentials included.
const ATTEMPT: Duration = Duration::from_secs(10);
/// A call with all the attempts that the SDK makes of it.
const OPERATION: Duration = Duration::from_secs(30);

/// The timeouts of a call; the SDK sets none but for connecting.
#[must_use]
pub fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(ATTEMPT)
        .operation_timeout(OPERATION)
        .build()
}

/// One account by the AWS SDK.
pub struct Sdk {
    identity: Identity,
    config: SdkConfig,
    gate: Gate,
    acm: Mutex<HashMap<Region, aws_sdk_acm::Client>>,
    pca: Mutex<HashMap<Region, aws_sdk_acmpca::Client>>,
}

impl Sdk {
    /// An account. `config` holds all but the region: credentials, HTTP client, timeouts, endpoint. The first page of a
    /// list, like every other call, has had its turn already; those that follow wait at the `gate`.
    #[must_use]
    pub fn new(identity: Identity, config: SdkConfig, gate: Gate) -> Self {
        // Each attempt needs its turn, so the gate repeats. The SDK would also repeat what a used-up quota refused.
        let config = config.into_builder().retry_config(RetryConfig::disabled()).build();
        Self { identity, config, gate, acm: Mutex::default(), pca: Mutex::default() }
    }

    fn config_of(&self, region: &Region) -> SdkConfig {
        self.config.to_builder().region(aws_config::Region::new(region.to_string())).build()
    }

    fn acm(&self, region: &Region) -> aws_sdk_acm::Client {
        let mut clients = self.acm.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            let config = aws_sdk_acm::config::Builder::from(&self.config_of(region));
            aws_sdk_acm::Client::from_conf(config.build())
        };
        clients.entry(region.clone()).or_insert_with(make).clone()
    }

    fn pca(&self, region: &Region) -> aws_sdk_acmpca::Client {
        let mut clients = self.pca.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            let config = aws_sdk_acmpca::config::Builder::from(&self.config_of(region));
            aws_sdk_acmpca::Client::from_conf(config.build())
        };
        clients.entry(region.clone()).or_insert_with(make).clone()
    }

    fn acm_at(&self, action: &'static str, arn: &CertificateArn) -> Result<aws_sdk_acm::Client, AwsError> {
        Ok(self.acm(&region_of(action, arn)?))
    }

    fn pca_at(&self, action: &'static str, arn: &impl Located) -> Result<aws_sdk_acmpca::Client, AwsError> {
        Ok(self.pca(&region_of(action, arn)?))
    }
}

fn region_of(action: &'static str, arn: &impl Located) -> Result<Region, AwsError> {
    arn.region().parse().map_err(|error| unusable(action, &error))
}

fn timestamp(at: &DateTime) -> Option<Timestamp> {
    Timestamp::from_second(at.secs()).ok()
}

#[async_trait]
impl Aws for Sdk {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    async fn list_authorities(&self, region: &Region) -> Result<Vec<Authority>, AwsError> {
        pca::list(&self.pca(region), &self.gate, region).await
    }

    async fn describe_authority(&self, arn: &AuthorityArn) -> Result<Authority, AwsError> {
        pca::describe(&self.pca_at(pca::DESCRIBE, arn)?, arn).await
    }

    async fn authority_certificate(&self, arn: &AuthorityArn) -> Result<PemChain, AwsError> {
        pca::own_certificate(&self.pca_at(pca::GET_OWN, arn)?, arn).await
    }

    async fn issue(&self, issue: &Issue) -> Result<IssuedArn, AwsError> {
        pca::issue(&self.pca_at(pca::ISSUE, &issue.authority)?, issue).await
    }

    async fn issued(&self, arn: &IssuedArn) -> Result<Option<PemChain>, AwsError> {
        pca::issued(&self.pca_at(pca::GET, arn)?, arn).await
    }

    async fn organization(&self) -> Result<Organization, AwsError> {
        let region = Organization::home(self.identity.arn.split(':').nth(1).unwrap_or_default());
        let region = region.parse().map_err(|error| unusable(organization::DESCRIBE, &error))?;
        let config = aws_sdk_organizations::config::Builder::from(&self.config_of(&region)).build();
        let client = aws_sdk_organizations::Client::from_conf(config);
        organization::Reader { client, gate: &self.gate, region: &region }.read().await
    }

    async fn list_certificates(&self, region: &Region) -> Result<Vec<Summary>, AwsError> {
        acm::list(&self.acm(region), &self.gate, region).await
    }

    async fn describe_certificate(&self, arn: &CertificateArn) -> Result<Description, AwsError> {
        acm::describe(&self.acm_at(acm::DESCRIBE, arn)?, arn).await
    }

    async fn certificate_body(&self, arn: &CertificateArn) -> Result<PemChain, AwsError> {
        acm::body(&self.acm_at(acm::GET, arn)?, arn).await
    }

    async fn tags(&self, arn: &CertificateArn) -> Result<Tags, AwsError> {
        acm::tags(&self.acm_at(acm::LIST_TAGS, arn)?, arn).await
    }

    async fn import_new(&self, region: &Region, material: &Material, tags: &Tags) -> Result<CertificateArn, AwsError> {
        acm::import_new(&self.acm(region), material, tags).await
    }

    async fn reimport(&self, arn: &CertificateArn, material: &Material) -> Result<(), AwsError> {
        acm::reimport(&self.acm_at(acm::IMPORT, arn)?, arn, material).await
    }

    async fn request_certificate(&self, order: &CertificateOrder) -> Result<CertificateArn, AwsError> {
        acm_issued::request(&self.acm(&order.region), order).await
    }

    async fn renew_certificate(&self, arn: &CertificateArn) -> Result<(), AwsError> {
        acm_issued::renew(&self.acm_at(acm_issued::RENEW, arn)?, arn).await
    }

    async fn export_certificate(&self, arn: &CertificateArn) -> Result<Exported, AwsError> {
        acm_issued::export(&self.acm_at(acm_issued::EXPORT, arn)?, arn).await
    }

    async fn add_tags(&self, arn: &CertificateArn, tags: &Tags) -> Result<(), AwsError> {
        acm::add_tags(&self.acm_at(acm::ADD_TAGS, arn)?, arn, tags).await
    }

    async fn remove_tags(&self, arn: &CertificateArn, keys: &[String]) -> Result<(), AwsError> {
        acm::remove_tags(&self.acm_at(acm::REMOVE_TAGS, arn)?, arn, keys).await
    }

    async fn delete_certificate(&self, arn: &CertificateArn) -> Result<(), AwsError> {
        acm::delete(&self.acm_at(acm::DELETE, arn)?, arn).await
    }

    async fn simulate(&self, question: &Simulation) -> Result<Vec<Verdict>, AwsError> {
        iam::simulate(&self.config, question).await
    }
}

#[cfg(test)]
mod tests;
