<<<<<<< HEAD
//! A stand-in for AWS's HTTP endpoints on 127.0.0.1: it writes down the calls and gives the answers of a test.

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use std::sync::{Arc, Mutex};

/// A call that came in.
#[derive(Clone, Debug)]
pub struct Call {
    /// The operation, such as `ListCertificates`, without the name of the service.
    pub operation: String,
    /// The access key id that signed it.
    pub key: String,
    /// The session token, or nothing.
    pub token: String,
    /// The region it was signed for.
    pub region: String,
    /// The body.
    pub body: String,
}

impl Call {
    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// The stand-in; it ends with the test's runtime.
pub struct Fake {
    /// Its base URL.
    pub url: String,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Fake {
    /// Serves; `answer` gets the call and its number among those of the same operation, from 0.
    pub async fn start(answer: impl Fn(&Call, usize) -> (u16, String) + Send + Sync + 'static) -> Self {
        let calls = Arc::new(Mutex::new(Vec::<Call>::new()));
        let (log, answer) = (Arc::clone(&calls), Arc::new(answer));
        let handle = move |headers: HeaderMap, body: String| {
            let call = call(&headers, body);
            let mut calls = log.lock().unwrap();
            let number = calls.iter().filter(|c| c.operation == call.operation).count();
            calls.push(call.clone());
            let (status, body) = answer(&call, number);
            async move { Response::builder().status(StatusCode::from_u16(status).unwrap()).body(Body::from(body)).unwrap() }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(handle)).await });
        Self { url, calls }
    }

    /// The calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// The names of the operations called so far.
    pub fn operations(&self) -> Vec<String> {
        self.calls().into_iter().map(|call| call.operation).collect()
    }
}

/// JSON services name the operation in a header, STS in the form.
fn call(headers: &HeaderMap, body: String) -> Call {
    let header = |name| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let target = header("x-amz-target");
    let operation = target.split_once('.').map(|(_, name)| name.to_owned());
    let form = || body.split('&').find_map(|pair| pair.strip_prefix("Action=")).unwrap_or_default().to_owned();
    let authorization = header("authorization");
    // AWS4-HMAC-SHA256 Credential=<key>/<date>/<region>/<service>/aws4_request, …
    let scope: Vec<&str> = authorization.split("Credential=").nth(1).unwrap_or_default().split('/').collect();
    let part = |index: usize| scope.get(index).copied().unwrap_or_default().to_owned();
    Call {
        operation: operation.unwrap_or_else(form),
        key: part(0),
        token: header("x-amz-security-token"),
        region: part(2),
        body,
=======
//! An AWS account in memory that answers only what is read here, and a clock that stands still; for tests.

use super::{
    error::{AwsError, Kind},
    port::{Authority, Aws, Description, Identity, Issue, Material, PemChain, Summary},
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
    collections::BTreeMap,
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
            world.failure.take()
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

    async fn add_tags(&self, arn: &CertificateArn, _: &Tags) -> Result<(), AwsError> {
        self.call("acm:AddTagsToCertificate", arn.as_str(), |_| None).await
    }

    async fn remove_tags(&self, arn: &CertificateArn, _: &[String]) -> Result<(), AwsError> {
        self.call("acm:RemoveTagsFromCertificate", arn.as_str(), |_| None).await
    }

    async fn delete_certificate(&self, arn: &CertificateArn) -> Result<(), AwsError> {
        self.call("acm:DeleteCertificate", arn.as_str(), |_| None).await
>>>>>>> aws2
    }
}
