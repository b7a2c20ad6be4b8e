//! AwsAccount: looks, and tells.

use super::{context::Context, driver::Kind};
use crate::{
    api::{AwsAccount, account::AwsAccountStatus, conditions::refused},
    aws::{permissions::verify::verify, port::Aws, sessions::ProblemKind},
    core::{
        Decision,
        account::{Observed, Problem, Read, Write, decide},
        permissions::{Asked, carried, needs, principal},
    },
};
use async_trait::async_trait;
use jiff::Timestamp;
use kube::{Api, Client, ResourceExt};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

/// The controller of AwsAccounts.
pub struct Accounts(pub Arc<Context>);

impl Accounts {
    /// Asks IAM and AWS, once an hour.
    async fn permissions(&self, o: &mut Observed, aws: &dyn Aws) {
        let (account, name, context) = (&o.account, o.account.name_any(), &self.0);
        let (certificates, requests) = (context.certificates.state(), context.requests.state());
        let needs = needs(account, &name, &certificates, &requests, &o.authorities);
        let caller = aws.identity().arn.clone();
        let principal = principal(&caller, account.spec.assume_roles.iter().map(|role| &role.role_arn));
        let known = context.sessions.learned.of(&name, &caller);
        let (at, instant, generation) = (context.clock.now(), Instant::now(), account.metadata.generation);
        let before = account.status.as_ref().filter(|s| s.caller_arn.as_deref() == Some(&*caller));
        let carried = match &o.asked {
            Some(last) if last.caller == caller => last.carried.clone(),
            Some(_) => BTreeSet::new(),
            None => carried(before.and_then(|status| status.permissions.as_ref())),
        };
        let answer = verify(aws, principal.as_deref(), &context.cluster, &needs, &known).await;
        o.asked = Some(Arc::new(Asked { at, instant, generation, caller, needs, answer, carried }));
    }
}

#[async_trait]
impl Kind for Accounts {
    type Object = AwsAccount;
    type Status = AwsAccountStatus;
    type Observed = Observed;
    type Read = Read;
    type Write = Write;
    type Memory = Option<Arc<Asked>>;

    fn observe(&self, account: Arc<AwsAccount>, asked: Self::Memory) -> Observed {
        Observed { account, session: None, authorities: BTreeMap::new(), asked, shown: BTreeMap::new() }
    }

    fn decide(&self, observed: &mut Observed, now: Timestamp) -> Decision<AwsAccountStatus, Read, Write> {
        if let Some(Ok(identity)) = &observed.session {
            observed.shown = self.0.sessions.learned.of(&observed.account.name_any(), &identity.arn);
        }
        decide(observed, now)
    }

    async fn read(&self, o: &mut Observed, read: Read) -> Result<(), kube::Error> {
        let session = self.0.sessions.open(&o.account).await;
        match read {
            Read::Session => {
                o.session = Some(session.map(|aws| aws.identity().clone()).map_err(|problem| Problem {
                    passes: matches!(problem.kind, ProblemKind::Transient),
                    about_credentials: !matches!(problem.kind, ProblemKind::Transient | ProblemKind::Disabled),
                    why: super::context::refusal(&problem),
                }));
            }
            Read::Authorities(region) => match session {
                Ok(aws) => {
                    let authorities = aws.list_authorities(&region).await;
                    if let Err(error) = &authorities {
                        self.0.report(Some(&o.account), error);
                    }
                    o.authorities.insert(region, authorities);
                }
                // The session ended in between: begin again.
                Err(_) => o.session = None,
            },
            Read::Permissions => match session {
                Ok(aws) => self.permissions(o, &*aws).await,
                Err(_) => o.session = None,
            },
        }
        Ok(())
    }

    async fn write(&self, _: &mut Observed, write: Write) -> Result<(), kube::Error> {
        match write {}
    }

    fn object(observed: &Observed) -> &Arc<AwsAccount> {
        &observed.account
    }

    fn stored(&self, observed: &mut Observed, account: Arc<AwsAccount>) {
        observed.account = account;
    }

    fn memory(observed: Observed) -> Self::Memory {
        observed.asked
    }

    fn status(account: &AwsAccount) -> Option<&AwsAccountStatus> {
        account.status.as_ref()
    }

    fn set_status(account: &mut AwsAccount, status: AwsAccountStatus) {
        account.status = Some(status);
    }

    fn refused(account: &AwsAccount, message: &str, now: Timestamp) -> AwsAccountStatus {
        let mut status = account.status.clone().unwrap_or_default();
        let generation = account.metadata.generation.unwrap_or_default();
        status.observed_generation = Some(generation);
        status.conditions = refused(&status.conditions, message, generation, now);
        status
    }

    fn api(client: &Client, _: Option<&str>) -> Api<AwsAccount> {
        Api::all(client.clone())
    }
}
