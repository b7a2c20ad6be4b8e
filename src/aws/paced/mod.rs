//! Calls to AWS at the pace of its quotas: for each account, region and operation, the most urgent first.
//!
//! [`Paced`] stands before another implementation of the port. A call waits for its turn there, for two seconds at
//! most; if its turn is further away, it is an error that says when to come back, so that one account's queue takes
//! nobody else's place.

pub mod line;
pub mod pacer;
pub mod quotas;

use super::{
    classify::unusable,
    error::{AwsError, Kind},
    port::{
        Authority, Aws, CertificateOrder, Description, Exported, Identity, Issue, Material, Organization, PemChain,
        Simulation, Summary, Verdict,
    },
};
use crate::api::{
    names::{AccountId, AuthorityArn, CertificateArn, IssuedArn, Located, Region},
    shared::Tags,
};
use async_trait::async_trait;
use line::Asker;
use pacer::{Lane, Pacer, now};
use quotas::{Operation, Quotas};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

tokio::task_local! {
    static ASKER: Asker;
}

/// Makes the calls in `calls` in this one's name.
pub async fn asking<T>(asker: Asker, calls: impl Future<Output = T>) -> T {
    ASKER.scope(asker, calls).await
}

/// Who calls. Without a name, each call is somebody else's.
fn asker() -> Asker {
    static NAMELESS: AtomicU64 = AtomicU64::new(0);
    let nameless = || Asker { key: format!("#{}", NAMELESS.fetch_add(1, Ordering::Relaxed)), left: None };
    ASKER.try_with(Clone::clone).unwrap_or_else(|_| nameless())
}

/// Before a request is made again. The pacer, not chance, keeps repeats apart.
const PAUSES: [Duration; 2] = [Duration::from_millis(300), Duration::from_millis(900)];
/// A request that took so long to fail is not made again here: its object comes back.
const LONG_ENOUGH: Duration = Duration::from_secs(12);

/// The way to one account, at the pace of its quotas.
#[derive(Clone, Debug)]
pub struct Gate {
    pacer: Arc<Pacer>,
    account: AccountId,
    quotas: Arc<Quotas>,
}

impl Gate {
    /// The way to an account.
    #[must_use]
    pub fn new(pacer: Arc<Pacer>, account: AccountId, quotas: Quotas) -> Self {
        Self { pacer, account, quotas: Arc::new(quotas) }
    }

    /// Makes one request when it is its turn.
    ///
    /// # Errors
    /// Those of the request, or [`Kind::NotYourTurn`]: it was not made.
    pub async fn pass<T>(
        &self,
        operation: Operation,
        region: &Region,
        request: impl Future<Output = Result<T, AwsError>>,
    ) -> Result<T, AwsError> {
        let lane = self.lane(operation, region);
        let sent = self.pacer.turn(&lane, self.quotas.of(operation), &asker()).await;
        let sent = sent.map_err(|wait| AwsError {
            kind: Kind::NotYourTurn(wait),
            action: operation.action(),
            code: None,
            message: format!("its turn comes in {} ms", wait.as_millis()),
        })?;
        let answer = request.await;
        let throttled = answer.as_ref().is_err_and(|error| error.kind == Kind::Throttled);
        self.pacer.answered(&lane, sent, throttled);
        answer
    }

    /// Makes one request when it is its turn, and twice more, each in its turn, where it failed for a passing reason.
    ///
    /// # Errors
    /// As [`Self::pass`].
    pub async fn again<T, F>(
        &self,
        operation: Operation,
        region: &Region,
        request: impl Fn() -> F,
    ) -> Result<T, AwsError>
    where
        F: Future<Output = Result<T, AwsError>>,
    {
        let began = now();
        let mut answer = self.pass(operation, region, request()).await;
        for pause in PAUSES {
            if !answer.as_ref().is_err_and(|error| error.kind == Kind::Transient) || now() - began > LONG_ENOUGH {
                break;
            }
            tokio::time::sleep(pause).await;
            match self.pass(operation, region, request()).await {
                // What went wrong is more than that there is no turn to try again.
                Err(AwsError { kind: Kind::NotYourTurn(_), .. }) => break,
                other => answer = other,
            }
        }
        answer
    }

    fn lane(&self, operation: Operation, region: &Region) -> Lane {
        Lane { account: self.account.clone(), region: region.clone(), operation }
    }
}

/// The port at the pace of the quotas.
pub struct Paced {
    inner: Arc<dyn Aws>,
    gate: Gate,
}

impl Paced {
    /// The calls of `inner`, each when it is its turn.
    #[must_use]
    pub fn new(inner: Arc<dyn Aws>, gate: Gate) -> Self {
        Self { inner, gate }
    }

    async fn again_at<T, F>(
        &self,
        operation: Operation,
        arn: &impl Located,
        request: impl Fn() -> F,
    ) -> Result<T, AwsError>
    where
        F: Future<Output = Result<T, AwsError>>,
    {
        self.gate.again(operation, &region(operation, arn)?, request).await
    }
}

fn region(operation: Operation, arn: &impl Located) -> Result<Region, AwsError> {
    arn.region().parse().map_err(|error| unusable(operation.action(), &error))
}

#[async_trait]
impl Aws for Paced {
    fn identity(&self) -> &Identity {
        self.inner.identity()
    }

    async fn list_authorities(&self, region: &Region) -> Result<Vec<Authority>, AwsError> {
        self.gate.again(Operation::ListCertificateAuthorities, region, || self.inner.list_authorities(region)).await
    }

    async fn describe_authority(&self, arn: &AuthorityArn) -> Result<Authority, AwsError> {
        self.again_at(Operation::DescribeCertificateAuthority, arn, || self.inner.describe_authority(arn)).await
    }

    async fn authority_certificate(&self, arn: &AuthorityArn) -> Result<PemChain, AwsError> {
        self.again_at(Operation::GetCertificateAuthorityCertificate, arn, || self.inner.authority_certificate(arn))
            .await
    }

    async fn issue(&self, issue: &Issue) -> Result<IssuedArn, AwsError> {
        // Once: whether it may have been paid for must not be lost behind the answer to a repeat.
        let region = region(Operation::IssueCertificate, &issue.authority)?;
        self.gate.pass(Operation::IssueCertificate, &region, self.inner.issue(issue)).await
    }

    async fn issued(&self, arn: &IssuedArn) -> Result<Option<PemChain>, AwsError> {
        self.again_at(Operation::GetIssuedCertificate, arn, || self.inner.issued(arn)).await
    }

    async fn organization(&self) -> Result<Organization, AwsError> {
        // It is many requests, and each passes the gate by itself.
        self.inner.organization().await
    }

    async fn list_certificates(&self, region: &Region) -> Result<Vec<Summary>, AwsError> {
        self.gate.again(Operation::ListCertificates, region, || self.inner.list_certificates(region)).await
    }

    async fn describe_certificate(&self, arn: &CertificateArn) -> Result<Description, AwsError> {
        self.again_at(Operation::DescribeCertificate, arn, || self.inner.describe_certificate(arn)).await
    }

    async fn certificate_body(&self, arn: &CertificateArn) -> Result<PemChain, AwsError> {
        self.again_at(Operation::GetAcmCertificate, arn, || self.inner.certificate_body(arn)).await
    }

    async fn tags(&self, arn: &CertificateArn) -> Result<Tags, AwsError> {
        self.again_at(Operation::ListTagsForCertificate, arn, || self.inner.tags(arn)).await
    }

    async fn turn_to_import(&self, region: &Region) -> Duration {
        let (lane, quota) =
            (self.gate.lane(Operation::ImportCertificate, region), self.gate.quotas.of(Operation::ImportCertificate));
        self.gate.pacer.leave(&lane, quota, &asker()).await.err().unwrap_or_default()
    }

    async fn import_new(&self, region: &Region, material: &Material, tags: &Tags) -> Result<CertificateArn, AwsError> {
        let import = self.inner.import_new(region, material, tags);
        self.gate.pass(Operation::ImportCertificate, region, import).await
    }

    async fn reimport(&self, arn: &CertificateArn, material: &Material) -> Result<(), AwsError> {
        let region = region(Operation::ImportCertificate, arn)?;
        self.gate.pass(Operation::ImportCertificate, &region, self.inner.reimport(arn, material)).await
    }

    async fn request_certificate(&self, order: &CertificateOrder) -> Result<CertificateArn, AwsError> {
        let request = self.inner.request_certificate(order);
        self.gate.pass(Operation::RequestCertificate, &order.region, request).await
    }

    async fn renew_certificate(&self, arn: &CertificateArn) -> Result<(), AwsError> {
        // Once: each may make ACM pay for a certificate.
        let region = region(Operation::RenewCertificate, arn)?;
        self.gate.pass(Operation::RenewCertificate, &region, self.inner.renew_certificate(arn)).await
    }

    async fn export_certificate(&self, arn: &CertificateArn) -> Result<Exported, AwsError> {
        self.again_at(Operation::ExportCertificate, arn, || self.inner.export_certificate(arn)).await
    }

    async fn add_tags(&self, arn: &CertificateArn, tags: &Tags) -> Result<(), AwsError> {
        self.again_at(Operation::AddTagsToCertificate, arn, || self.inner.add_tags(arn, tags)).await
    }

    async fn remove_tags(&self, arn: &CertificateArn, keys: &[String]) -> Result<(), AwsError> {
        self.again_at(Operation::RemoveTagsFromCertificate, arn, || self.inner.remove_tags(arn, keys)).await
    }

    async fn delete_certificate(&self, arn: &CertificateArn) -> Result<(), AwsError> {
        self.again_at(Operation::DeleteCertificate, arn, || self.inner.delete_certificate(arn)).await
    }

    /// IAM publishes no rate: an account is asked a few times an hour, one call after the other.
    async fn simulate(&self, question: &Simulation) -> Result<Vec<Verdict>, AwsError> {
        self.inner.simulate(question).await
    }
}

#[cfg(test)]
mod tests;
