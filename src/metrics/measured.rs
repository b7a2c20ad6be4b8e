//! Counts and times the calls to AWS.

use super::Metrics;
use crate::{
    api::{
        names::{AuthorityArn, CertificateArn, IssuedArn, Located, Region},
        shared::Tags,
    },
    aws::{
        error::AwsError,
        paced::pacer::{Lane, Observer},
        permissions::learned::Learned,
        port::{
            Authority, Aws, CertificateOrder, Description, Exported, Identity, Issue, Material, Organization, PemChain,
            Simulation, Summary, Verdict,
        },
    },
};
use async_trait::async_trait;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// The port, measured. It stands directly before AWS: what waits for its turn before it is not counted.
pub struct Measured<A> {
    inner: A,
    account: String,
    /// The account's regions: an ARN that somebody wrote into a status must not make a series.
    regions: Vec<Region>,
    metrics: Arc<Metrics>,
    learned: Arc<Learned>,
}

/// Stands for regions that an account does not name.
const OTHER: &str = "other";

impl<A> Measured<A> {
    /// The calls of `inner`, counted for the AwsAccount of this name and its regions.
    pub fn new(
        inner: A,
        account: impl Into<String>,
        regions: &[Region],
        metrics: Arc<Metrics>,
        learned: Arc<Learned>,
    ) -> Self {
        Self { inner, account: account.into(), regions: regions.to_vec(), metrics, learned }
    }

    async fn measure<T>(
        &self,
        operation: &'static str,
        region: &str,
        call: impl Future<Output = Result<T, AwsError>>,
    ) -> Result<T, AwsError>
    where
        A: Aws,
    {
        let began = Instant::now();
        let answer = call.await;
        let known = self.regions.iter().find(|known| known.as_str() == region);
        if let Some(region) = known {
            let caller = &self.inner.identity().arn;
            self.learned.note(&self.account, caller, operation, region, answer.as_ref().err());
        }
        let region = known.map_or(OTHER, Region::as_str);
        self.metrics.called(&self.account, region, operation, answer.as_ref().err(), began.elapsed());
        answer
    }
}

impl Observer for Metrics {
    fn waited(&self, lane: &Lane, wait: Duration) {
        self.waited_for_turn(lane.operation.action(), wait);
    }
}

#[async_trait]
impl<A: Aws> Aws for Measured<A> {
    fn identity(&self) -> &Identity {
        self.inner.identity()
    }

    async fn list_authorities(&self, region: &Region) -> Result<Vec<Authority>, AwsError> {
        let call = self.inner.list_authorities(region);
        self.measure("acm-pca:ListCertificateAuthorities", region.as_str(), call).await
    }

    async fn describe_authority(&self, arn: &AuthorityArn) -> Result<Authority, AwsError> {
        let call = self.inner.describe_authority(arn);
        self.measure("acm-pca:DescribeCertificateAuthority", arn.region(), call).await
    }

    async fn authority_certificate(&self, arn: &AuthorityArn) -> Result<PemChain, AwsError> {
        let call = self.inner.authority_certificate(arn);
        self.measure("acm-pca:GetCertificateAuthorityCertificate", arn.region(), call).await
    }

    async fn issue(&self, issue: &Issue) -> Result<IssuedArn, AwsError> {
        let call = self.inner.issue(issue);
        let answer = self.measure("acm-pca:IssueCertificate", issue.authority.region(), call).await;
        self.metrics.issued(answer.as_ref().err());
        answer
    }

    async fn issued(&self, arn: &IssuedArn) -> Result<Option<PemChain>, AwsError> {
        self.measure("acm-pca:GetCertificate", arn.region(), self.inner.issued(arn)).await
    }

    async fn organization(&self) -> Result<Organization, AwsError> {
        self.measure("organizations:ListAccounts", OTHER, self.inner.organization()).await
    }

    async fn list_certificates(&self, region: &Region) -> Result<Vec<Summary>, AwsError> {
        self.measure("acm:ListCertificates", region.as_str(), self.inner.list_certificates(region)).await
    }

    async fn describe_certificate(&self, arn: &CertificateArn) -> Result<Description, AwsError> {
        self.measure("acm:DescribeCertificate", arn.region(), self.inner.describe_certificate(arn)).await
    }

    async fn certificate_body(&self, arn: &CertificateArn) -> Result<PemChain, AwsError> {
        self.measure("acm:GetCertificate", arn.region(), self.inner.certificate_body(arn)).await
    }

    async fn tags(&self, arn: &CertificateArn) -> Result<Tags, AwsError> {
        self.measure("acm:ListTagsForCertificate", arn.region(), self.inner.tags(arn)).await
    }

    async fn import_new(&self, region: &Region, material: &Material, tags: &Tags) -> Result<CertificateArn, AwsError> {
        let answer =
            self.measure("acm:ImportCertificate", region.as_str(), self.inner.import_new(region, material, tags)).await;
        self.metrics.imported(true, answer.as_ref().err());
        answer
    }

    async fn reimport(&self, arn: &CertificateArn, material: &Material) -> Result<(), AwsError> {
        let answer = self.measure("acm:ImportCertificate", arn.region(), self.inner.reimport(arn, material)).await;
        self.metrics.imported(false, answer.as_ref().err());
        answer
    }

    async fn request_certificate(&self, order: &CertificateOrder) -> Result<CertificateArn, AwsError> {
        let call = self.inner.request_certificate(order);
        self.measure("acm:RequestCertificate", order.region.as_str(), call).await
    }

    async fn renew_certificate(&self, arn: &CertificateArn) -> Result<(), AwsError> {
        self.measure("acm:RenewCertificate", arn.region(), self.inner.renew_certificate(arn)).await
    }

    async fn export_certificate(&self, arn: &CertificateArn) -> Result<Exported, AwsError> {
        self.measure("acm:ExportCertificate", arn.region(), self.inner.export_certificate(arn)).await
    }

    async fn add_tags(&self, arn: &CertificateArn, tags: &Tags) -> Result<(), AwsError> {
        self.measure("acm:AddTagsToCertificate", arn.region(), self.inner.add_tags(arn, tags)).await
    }

    async fn remove_tags(&self, arn: &CertificateArn, keys: &[String]) -> Result<(), AwsError> {
        self.measure("acm:RemoveTagsFromCertificate", arn.region(), self.inner.remove_tags(arn, keys)).await
    }

    async fn delete_certificate(&self, arn: &CertificateArn) -> Result<(), AwsError> {
        self.measure("acm:DeleteCertificate", arn.region(), self.inner.delete_certificate(arn)).await
    }

    async fn simulate(&self, question: &Simulation) -> Result<Vec<Verdict>, AwsError> {
        // IAM is one service for all regions.
        self.measure("iam:SimulatePrincipalPolicy", OTHER, self.inner.simulate(question)).await
    }
}
