//! CertificateRequest: looks and changes one thing at a time.

use super::{
    context::{Context, account_id},
    driver::Kind,
};
use crate::{
    api::{Certificate, CertificateRequest, conditions::refused, request::CertificateRequestStatus},
    aws::{
        error::{AwsError, Kind as ErrorKind},
        paced::{asking, line::Asker},
        port::{Aws, Issue},
    },
    core::{
        Decision,
        access::Refusal,
        backoff::Failure,
        certificate::{budget, still_wanted},
        request::{Observed, Plan, Read, Write, decide, pause, staged_name, write},
    },
    pki::algorithm::KeyAlgorithm,
};
use async_trait::async_trait;
use jiff::Timestamp;
use kube::{Api, Client, ResourceExt};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// A key that this process staged within this time need not be looked for before its certificate is paid for.
const STAGED_JUST_NOW: Duration = Duration::from_secs(10);

/// The controller of CertificateRequests.
pub struct Requests(pub Arc<Context>);

impl Requests {
    async fn aws(&self, o: &mut Observed) -> Option<Arc<dyn Aws>> {
        match self.0.session(o.account.as_deref()).await {
            Ok(aws) => Some(aws),
            Err(why) => {
                o.session = Some(Err(why));
                None
            }
        }
    }

    fn fail(&self, o: &mut Observed, error: AwsError) {
        self.0.report(o.account.as_deref(), &error);
        o.memory.failure = Some(Failure::again(o.memory.failure.as_ref(), error));
        o.failed = true;
    }

    async fn authority(&self, o: &mut Observed, again: bool) {
        let Some(aws) = self.aws(o).await else { return };
        let spec = &o.request.spec;
        match self.0.authority(&*aws, &spec.region, &spec.certificate_authority, again).await {
            Ok(authority) => {
                o.authority = Some(authority);
                o.authority_is_fresh = again;
            }
            Err(error) => self.fail(o, error),
        }
    }

    /// Whether the owner, read from the API server, still wants it, and the key that was staged for it is there.
    async fn owner(&self, o: &mut Observed) -> Result<(), kube::Error> {
        let owner = o
            .request
            .owner_references()
            .iter()
            .find(|owner| owner.kind == "Certificate" && owner.api_version.starts_with(crate::api::GROUP));
        let Some(owner) = owner else {
            o.wanted = Some(true);
            return Ok(());
        };
        let api: Api<Certificate> = Api::namespaced(self.0.client.clone(), &o.request.namespace().unwrap_or_default());
        let certificate = api.get_opt(&owner.name).await?;
        if let Some(certificate) = &certificate {
            o.budget = budget::per_day(certificate);
        }
        let wanted = certificate.is_some_and(|certificate| still_wanted(&certificate, &o.request));
        // Without its key the certificate would be of no use. What this process stored a moment ago is there.
        let key = staged_name(&o.request.name_any());
        let namespace = o.request.namespace().unwrap_or_default();
        let staged = self.0.staged.has(&namespace, &key, STAGED_JUST_NOW, Instant::now());
        o.wanted = Some(wanted && (staged || self.0.secret(&namespace, &key).await?.is_some()));
        Ok(())
    }

    async fn issue(&self, o: &mut Observed, plan: Plan) {
        let Some(aws) = self.aws(o).await else { return };
        let attempt = plan.attempt;
        let issue = Issue {
            authority: plan.authority,
            authority_algorithm: plan.authority_algorithm,
            csr: plan.csr,
            template: plan.template,
            not_after: plan.not_after,
            idempotency_token: plan.token,
        };
        let (account, uid) = (o.request.spec.account_ref.name.clone(), o.request.uid().unwrap_or_default());
        self.0.spending().calls(&account, &uid, attempt, self.0.clock.now());
        match asking(self.asker(o), aws.issue(&issue)).await {
            Ok(arn) => {
                self.0.spending().made(&account, &uid);
                tracing::info!(request = %o.request.name_any(), namespace = o.request.namespace(), %arn, "the private CA signs");
                o.memory.issued = Some(arn);
                o.memory.failure = None;
                // AWS needs about a second to sign; asking at once would be one call for nothing.
                o.memory.poll_at = self.0.clock.now().checked_add(pause(0)).ok();
            }
            Err(error) => {
                // Only answers that say no, all of them, prove that nothing was paid for.
                if error.kind == ErrorKind::Transient {
                    o.memory.lost = Some(attempt);
                }
                o.memory.refused = (o.memory.lost != Some(attempt)).then_some(attempt);
                if o.memory.refused.is_some() {
                    self.0.spending().give_back(&account, &uid, attempt);
                    o.counted = None;
                } else {
                    self.0.spending().made(&account, &uid);
                }
                self.fail(o, error);
            }
        }
    }

    /// As urgent as the certificate that it is to replace.
    fn asker(&self, o: &Observed) -> Asker {
        let owner = o.request.owner_references().iter().find(|owner| owner.kind == "Certificate");
        let namespace = o.request.namespace().unwrap_or_default();
        let owner = owner.and_then(|owner| self.0.certificates.get(Some(&namespace), &owner.name));
        let ends = owner.and_then(|certificate| certificate.status.as_ref()?.not_after.as_ref().map(|t| t.0));
        let left = ends.map(|ends| ends.duration_since(self.0.clock.now()).try_into().unwrap_or_default());
        Asker { key: o.request.uid().unwrap_or_default(), left }
    }

    async fn answer(&self, o: &mut Observed, arn: crate::api::names::IssuedArn) {
        let Some(aws) = self.aws(o).await else { return };
        match aws.issued(&arn).await {
            Ok(Some(answer)) => {
                o.answer = Some(answer);
                o.memory.failure = None;
            }
            Ok(None) => o.memory.not_yet(self.0.clock.now()),
            Err(error) => self.fail(o, error),
        }
    }

    async fn stage(&self, o: &mut Observed, algorithm: KeyAlgorithm) -> Result<(), kube::Error> {
        let staged = match self
            .0
            .keys
            .take(&o.request.uid().unwrap_or_default(), algorithm)
            .and_then(|key| write::staged(&o.request, &key))
        {
            Ok(staged) => staged,
            Err(message) => {
                o.authority = Some(Err(Refusal { reason: "InvalidSubject", message }));
                return Ok(());
            }
        };
        o.staged = Some(Some(self.0.put_secret(&staged).await?));
        Ok(())
    }
}

#[async_trait]
impl Kind for Requests {
    type Object = CertificateRequest;
    type Status = CertificateRequestStatus;
    type Observed = Observed;
    type Read = Read;
    type Write = Write;
    type Memory = crate::core::request::Memory;

    fn observe(&self, request: Arc<CertificateRequest>, memory: Self::Memory) -> Observed {
        Observed {
            account: self.0.account(&request.spec.account_ref.name),
            request,
            namespace_labels: None,
            session: None,
            authority: None,
            authority_is_fresh: false,
            wanted: None,
            budget: crate::core::request::attempt::DEFAULT_BUDGET,
            counted: None,
            secret: None,
            staged: None,
            answer: None,
            memory,
            failed: false,
        }
    }

    fn decide(&self, observed: &mut Observed, now: Timestamp) -> Decision<CertificateRequestStatus, Read, Write> {
        decide(observed, now)
    }

    async fn read(&self, o: &mut Observed, read: Read) -> Result<(), kube::Error> {
        let namespace = o.request.namespace().unwrap_or_default();
        match read {
            Read::NamespaceLabels => o.namespace_labels = Some(self.0.namespace(&namespace).await?.0),
            Read::Session => {
                let session = self.0.session(o.account.as_deref()).await;
                o.session = Some(session.map(|aws| account_id(&*aws)));
            }
            Read::Authority => self.authority(o, false).await,
            Read::AuthorityAgain => self.authority(o, true).await,
            Read::Owner => self.owner(o).await?,
            Read::Budget(attempt) => {
                let (account, uid) = (&o.request.spec.account_ref.name, o.request.uid().unwrap_or_default());
                let taken = self.0.spending().take(account, &uid, attempt, self.0.clock.now());
                o.counted = Some(taken.map(|()| attempt));
            }
            Read::Secret => {
                let name = o.request.spec.secret_name.clone().unwrap_or_default();
                o.secret = Some(self.0.secret(&namespace, &name).await?);
            }
            Read::Staged => o.staged = Some(self.0.secret(&namespace, &staged_name(&o.request.name_any())).await?),
            Read::Answer(arn) => self.answer(o, arn).await,
        }
        Ok(())
    }

    async fn write(&self, o: &mut Observed, write: Write) -> Result<(), kube::Error> {
        match write {
            Write::Stage(algorithm) => self.stage(o, algorithm).await?,
            Write::Issue(plan) => self.issue(o, plan).await,
            Write::Secret => match write::issued(o) {
                Ok(secret) => o.secret = Some(Some(self.0.put_secret(&secret).await?)),
                Err(message) => o.authority = Some(Err(Refusal { reason: "Failed", message })),
            },
            Write::DeleteStaged => {
                let namespace = o.request.namespace().unwrap_or_default();
                let uid = o.staged.as_ref().and_then(|s| s.as_ref()).and_then(|s| s.version().0);
                self.0.delete_secret(&namespace, &staged_name(&o.request.name_any()), uid).await?;
                o.staged = Some(None);
            }
        }
        Ok(())
    }

    fn new_key(write: &Write) -> Option<KeyAlgorithm> {
        if let Write::Stage(algorithm) = write { Some(*algorithm) } else { None }
    }

    fn object(observed: &Observed) -> &Arc<CertificateRequest> {
        &observed.request
    }

    fn stored(&self, observed: &mut Observed, request: Arc<CertificateRequest>) {
        if request.status.as_ref().is_some_and(|s| s.certificate.is_some()) && !request.owner_references().is_empty() {
            self.0.keep_signed(&request);
        }
        observed.request = request;
    }

    fn memory(observed: Observed) -> Self::Memory {
        observed.memory
    }

    fn status(request: &CertificateRequest) -> Option<&CertificateRequestStatus> {
        request.status.as_ref()
    }

    fn set_status(request: &mut CertificateRequest, status: CertificateRequestStatus) {
        request.status = Some(status);
    }

    fn refused(request: &CertificateRequest, message: &str, now: Timestamp) -> CertificateRequestStatus {
        let mut status = request.status.clone().unwrap_or_default();
        let generation = request.metadata.generation.unwrap_or_default();
        status.observed_generation = Some(generation);
        status.conditions = refused(&status.conditions, message, generation, now);
        status
    }

    fn api(client: &Client, namespace: Option<&str>) -> Api<CertificateRequest> {
        Api::namespaced(client.clone(), namespace.unwrap_or_default())
    }
}
