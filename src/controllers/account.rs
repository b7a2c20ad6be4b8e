//! AwsAccount: looks, and tells.

use super::{context::Context, driver::Kind};
use crate::{
    api::{AwsAccount, account::AwsAccountStatus, conditions::refused},
    aws::sessions::ProblemKind,
    core::{
        Decision,
        account::{Observed, Problem, Read, Write, decide},
    },
};
use async_trait::async_trait;
use jiff::Timestamp;
use kube::{Api, Client, ResourceExt};
use std::{collections::BTreeMap, sync::Arc};

/// The controller of AwsAccounts.
pub struct Accounts(pub Arc<Context>);

#[async_trait]
impl Kind for Accounts {
    type Object = AwsAccount;
    type Status = AwsAccountStatus;
    type Observed = Observed;
    type Read = Read;
    type Write = Write;
    type Memory = ();

    fn observe(&self, account: Arc<AwsAccount>, (): ()) -> Observed {
        let budget = self.0.spending().standing(&account.name_any(), self.0.clock.now());
        Observed { account, session: None, authorities: BTreeMap::new(), budget }
    }

    fn decide(&self, observed: &mut Observed, now: Timestamp) -> Decision<AwsAccountStatus, Read, Write> {
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

    fn memory(_: Observed) {}

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
