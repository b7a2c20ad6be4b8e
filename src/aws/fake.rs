//! An AWS account in memory that answers only what is read here, and a clock that stands still; for tests.

use super::{
    error::{AwsError, Kind},
    port::{
        Authority, Aws, CertificateOrder, Description, Exported, Identity, Issue, Material, Organization, PemChain,
        Simulation, Summary, Verdict,
    },
};
use crate::{
    api::{
        names::{AuthorityArn, CertificateArn, IssuedArn, Region},
        shared::Tags,
    },
    clock::Clock,
};
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard},
};
use tokio::sync::Semaphore;

/// A clock that tests move.
pub struct HandClock(Mutex<Timestamp>);

impl HandClock {
    pub fn at(time: &str) -> Self {
        Self(Mutex::new(time.parse().unwrap()))
    }

    pub fn pass(&self, seconds: i64) {
        let mut time = self.0.lock().unwrap();
        *time = time.checked_add(SignedDuration::from_secs(seconds)).unwrap();
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// What the account has, and which calls it got.
#[derive(Default)]
pub struct World {
    pub authorities: Vec<Authority>,
    pub authority_certificate: String,
    pub certificates: Vec<Summary>,
    pub tags: BTreeMap<CertificateArn, Tags>,
    /// Actions that its policies deny, as a simulation tells and as the calls themselves do.
    pub denied: BTreeSet<&'static str>,
    /// The next call fails so.
    pub failure: Option<Kind>,
    /// The actions called, and on what.
    pub calls: Vec<(&'static str, String)>,
}

/// An account.
pub struct FakeAws {
    identity: Identity,
    world: Mutex<World>,
    /// A call waits for a permit once it was noted.
    pub gate: Semaphore,
}

impl FakeAws {
    pub fn new(account: &str) -> Self {
        let identity =
            Identity { account: account.parse().unwrap(), arn: format!("arn:aws:iam::{account}:role/issuer") };
        Self { identity, world: Mutex::default(), gate: Semaphore::new(Semaphore::MAX_PERMITS) }
    }

    /// An account whose answers wait for permits.
    pub fn gated(account: &str) -> Self {
        Self { gate: Semaphore::new(0), ..Self::new(account) }
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// How often an action was called.
    pub fn count(&self, action: &str) -> usize {
        self.world().calls.iter().filter(|(called, _)| *called == action).count()
    }

    async fn call<T>(
        &self,
        action: &'static str,
        on: &str,
        answer: impl FnOnce(&World) -> Option<T>,
    ) -> Result<T, AwsError> {
        let failure = {
            let mut world = self.world();
            world.calls.push((action, on.to_owned()));
            let denied = world.denied.contains(action).then_some(Kind::AccessDenied);
            world.failure.take().or(denied)
        };
        let _permit = self.gate.acquire().await.unwrap();
        let kind = match failure {
            None => match answer(&self.world()) {
                Some(answer) => return Ok(answer),
                None => Kind::NotFound,
            },
            Some(kind) => kind,
        };
        Err(AwsError { kind, action, code: None, message: "so the test wants it".into() })
    }
}

#[async_trait]
impl Aws for FakeAws {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    async fn list_authorities(&self, region: &Region) -> Result<Vec<Authority>, AwsError> {
        let within = |w: &World| w.authorities.iter().filter(|a| a.region == *region).cloned().collect();
        self.call("acm-pca:ListCertificateAuthorities", region.as_str(), |w| Some(within(w))).await
    }

    async fn describe_authority(&self, arn: &AuthorityArn) -> Result<Authority, AwsError> {
        let find = |w: &World| w.authorities.iter().find(|a| a.arn == *arn).cloned();
        self.call("acm-pca:DescribeCertificateAuthority", arn.as_str(), find).await
    }

    async fn authority_certificate(&self, arn: &AuthorityArn) -> Result<PemChain, AwsError> {
        let read = |w: &World| Some(PemChain { certificate: w.authority_certificate.clone(), chain: String::new() });
        self.call("acm-pca:GetCertificateAuthorityCertificate", arn.as_str(), read).await
    }

    async fn issue(&self, _: &Issue) -> Result<IssuedArn, AwsError> {
        self.call("acm-pca:IssueCertificate", "", |_| None).await
    }

    async fn issued(&self, arn: &IssuedArn) -> Result<Option<PemChain>, AwsError> {
        self.call("acm-pca:GetCertificate", arn.as_str(), |_| None).await
    }

    async fn organization(&self) -> Result<Organization, AwsError> {
        self.call("organizations:ListAccounts", "", |_| None).await
    }

    async fn list_certificates(&self, region: &Region) -> Result<Vec<Summary>, AwsError> {
        self.call("acm:ListCertificates", region.as_str(), |w| Some(w.certificates.clone())).await
    }

    async fn describe_certificate(&self, arn: &CertificateArn) -> Result<Description, AwsError> {
        self.call("acm:DescribeCertificate", arn.as_str(), |_| None).await
    }

    async fn certificate_body(&self, arn: &CertificateArn) -> Result<PemChain, AwsError> {
        self.call("acm:GetCertificate", arn.as_str(), |_| None).await
    }

    async fn tags(&self, arn: &CertificateArn) -> Result<Tags, AwsError> {
        self.call("acm:ListTagsForCertificate", arn.as_str(), |w| w.tags.get(arn).cloned()).await
    }

    async fn import_new(&self, region: &Region, _: &Material, _: &Tags) -> Result<CertificateArn, AwsError> {
        self.call("acm:ImportCertificate", region.as_str(), |_| None).await
    }

    async fn reimport(&self, arn: &CertificateArn, _: &Material) -> Result<(), AwsError> {
        self.call("acm:ImportCertificate", arn.as_str(), |_| None).await
    }

    async fn request_certificate(&self, order: &CertificateOrder) -> Result<CertificateArn, AwsError> {
        self.call("acm:RequestCertificate", order.region.as_str(), |_| None).await
    }

    async fn renew_certificate(&self, arn: &CertificateArn) -> Result<(), AwsError> {
        self.call("acm:RenewCertificate", arn.as_str(), |_| None).await
    }

    async fn export_certificate(&self, arn: &CertificateArn) -> Result<Exported, AwsError> {
        self.call("acm:ExportCertificate", arn.as_str(), |_| None).await
    }

    async fn add_tags(&self, arn: &CertificateArn, _: &Tags) -> Result<(), AwsError> {
        self.call("acm:AddTagsToCertificate", arn.as_str(), |_| None).await
    }

    async fn remove_tags(&self, arn: &CertificateArn, _: &[String]) -> Result<(), AwsError> {
        self.call("acm:RemoveTagsFromCertificate", arn.as_str(), |_| None).await
    }

    async fn delete_certificate(&self, arn: &CertificateArn) -> Result<(), AwsError> {
        self.call("acm:DeleteCertificate", arn.as_str(), |_| None).await
    }

    async fn simulate(&self, question: &Simulation) -> Result<Vec<Verdict>, AwsError> {
        let verdict = |w: &World, action: &&str| Verdict {
            action: (*action).to_owned(),
            allowed: !w.denied.contains(action),
            missing: vec![],
        };
        let answer = |w: &World| Some(question.actions.iter().map(|action| verdict(w, action)).collect());
        self.call("iam:SimulatePrincipalPolicy", &question.resource, answer).await
    }
}
