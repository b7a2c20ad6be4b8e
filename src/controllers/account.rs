//! AwsAccount: looks, and tells.

use super::{context::Context, driver::Kind};
use crate::{
    api::{AwsAccount, SYNC_ANNOTATION, account::AwsAccountStatus, conditions::refused, names::Region},
    aws::{
        error::Kind as ErrorKind,
        permissions::verify::verify,
        port::{Authority, Aws, Organization},
        sessions::{ProblemKind, SessionProblem},
    },
    core::{
        Decision,
        access::Refusal,
        account::{Observed, Problem, Read, Write, decide, rest},
        discovery::{Run, goes_on},
        organization::{also_leading_to, is_member_of},
        permissions::{Asked, asked_at, carried, needs::Gathering, principal},
    },
};
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use kube::{Api, Client, ResourceExt};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

/// The controller of AwsAccounts.
pub struct Accounts(pub Arc<Context>);

/// What is kept of an account from one look to the next.
#[derive(Clone, Default, PartialEq)]
pub struct Memory {
    known: Option<Arc<Known>>,
    asked: Option<Arc<Asked>>,
    run: Option<Arc<Run>>,
    /// While a discovery comes back again and again: the private CAs.
    listed: Option<Arc<Listed>>,
}

/// The private CAs of an account.
#[derive(Clone, PartialEq, Eq)]
struct Listed {
    at: Timestamp,
    generation: Option<i64>,
    authorities: BTreeMap<Region, Vec<Authority>>,
}

/// What was read of an organization. It is looked through again whenever a member changes, and read again in its time.
#[derive(Clone, PartialEq, Eq)]
pub struct Known {
    /// The generation, and the request to read it again, that it was read for.
    asked: (Option<i64>, Option<String>),
    at: Timestamp,
    organization: Arc<Organization>,
    authorities: BTreeMap<Region, Vec<Authority>>,
}

/// What an organization's reading is for: another one needs another reading.
fn asked(account: &AwsAccount) -> (Option<i64>, Option<String>) {
    (account.metadata.generation, account.annotations().get(SYNC_ANNOTATION).cloned())
}

/// Whether something is no older than this. Where the clock was set back by more than that, its age is not known.
fn is_lately(at: Timestamp, lasts: SignedDuration, now: Timestamp) -> bool {
    now.duration_since(at).abs() < lasts
}

fn problem(problem: &SessionProblem) -> Problem {
    Problem {
        passes: problem.passes(),
        about_credentials: !problem.passes() && problem.kind != ProblemKind::Disabled,
        why: super::context::refusal(problem),
    }
}

/// Objects that are decoded before others have their turn.
const DECODED_AT_ONCE: usize = 64;

impl Accounts {
    /// Asks IAM and AWS, once an hour.
    async fn permissions(&self, o: &mut Observed, aws: &dyn Aws) {
        let (account, name, context) = (&o.account, o.account.name_any(), &self.0);
        let mut gathering = Gathering::new(account, &name, &o.authorities);
        // One by one: all of them at once would take ten times the store's memory.
        let certificates = context.certificates.keys(|_, gist| gist.enabled && gist.uses(&name));
        for (count, key) in certificates.into_iter().enumerate() {
            if let Some(certificate) = context.certificates.at(&key) {
                gathering.certificate(&certificate);
            }
            if count % DECODED_AT_ONCE == DECODED_AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
        }
        for key in context.requests.keys(|_, gist| !gist.ready && gist.uses(&name)) {
            if let Some(request) = context.requests.at(&key) {
                gathering.request(&request);
            }
        }
        if account.spec.organization.is_some() {
            for member in context.accounts.all().iter().filter(|member| is_member_of(member, account)) {
                gathering.member(member);
            }
        }
        let needs = gathering.done();
        let caller = aws.identity().arn.clone();
        let principal = principal(&caller, account.spec.assume_roles.iter().map(|role| &role.role_arn));
        let known = context.sessions.learned.of(&name, &caller);
        let (at, instant) = (asked_at(o.asked.as_deref(), context.clock.now()), Instant::now());
        let generation = account.metadata.generation;
        let before = account.status.as_ref().filter(|s| s.caller_arn.as_deref() == Some(&*caller));
        let carried = match &o.asked {
            Some(last) if last.caller == caller => last.carried.clone(),
            Some(_) => BTreeSet::new(),
            None => carried(before.and_then(|status| status.permissions.as_ref())),
        };
        let answer = verify(aws, principal.as_deref(), &context.cluster, &needs, &known).await;
        o.asked = Some(Arc::new(Asked { at, instant, generation, caller, needs, answer, carried }));
    }

    async fn organization(&self, account: &AwsAccount) -> Result<Arc<Organization>, Problem> {
        let aws = self.0.sessions.organization(account).await.map_err(|p| problem(&p))?;
        aws.organization().await.map(Arc::new).map_err(|error| {
            self.0.report(Some(account), &error);
            let passes = matches!(error.kind, ErrorKind::Transient | ErrorKind::Throttled | ErrorKind::NotYourTurn(_));
            let reason = match error.kind {
                ErrorKind::AccessDenied => "AccessDenied",
                ErrorKind::Throttled => "Throttled",
                _ if passes => "AwsUnavailable",
                _ => "OrganizationUnavailable",
            };
            Problem { why: Refusal { reason, message: error.to_string() }, passes, about_credentials: false }
        })
    }
}

#[async_trait]
impl Kind for Accounts {
    type Object = AwsAccount;
    type Status = AwsAccountStatus;
    type Observed = Observed;
    type Read = Read;
    type Write = Write;
    type Memory = Memory;

    fn observe(&self, account: Arc<AwsAccount>, memory: Memory) -> Observed {
        let budget = self.0.spending().standing(&account.name_any(), self.0.clock.now());
        let Memory { known, asked: permissions, run, listed } = memory;
        let mut o = Observed {
            account,
            session: None,
            authorities: BTreeMap::new(),
            asked: permissions,
            shown: BTreeMap::new(),
            budget,
            organization: None,
            around: None,
            read_at: None,
            listed_at: None,
            cluster: self.0.cluster.clone(),
            same_account: vec![],
            run,
            run_steps: 0,
            run_rests: None,
            surroundings: None,
            member_steps: 0,
            removed: (vec![], 0),
        };
        let now = self.0.clock.now();
        if o.run.as_ref().is_some_and(|run| !goes_on(&o.account, run)) {
            o.run = None;
        }
        let lately = |listed: &&Arc<Listed>| {
            listed.generation == o.account.metadata.generation && is_lately(listed.at, rest(&o), now)
        };
        if let Some(listed) = listed.as_ref().filter(lately) {
            o.listed_at = Some(listed.at);
            o.authorities = listed.authorities.iter().map(|(region, all)| (region.clone(), Ok(all.clone()))).collect();
        }
        let fresh = |k: &&Arc<Known>| k.asked == asked(&o.account) && is_lately(k.at, rest(&o), now);
        if let Some(known) = known.as_ref().filter(fresh) {
            o.authorities = known.authorities.iter().map(|(region, all)| (region.clone(), Ok(all.clone()))).collect();
            o.organization = Some(Ok(known.organization.clone()));
            o.read_at = Some(known.at);
        }
        o
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
                let session = session.map(|aws| aws.identity().clone()).map_err(|p| problem(&p));
                if let Ok(identity) = &session {
                    o.same_account = also_leading_to(&identity.account, &o.account, &self.0.accounts.all());
                }
                o.session = Some(session);
            }
            Read::Authorities(region) => match session {
                Ok(aws) => {
                    let authorities = aws.list_authorities(&region).await;
                    if let Err(error) = &authorities {
                        self.0.report(Some(&o.account), error);
                    }
                    o.authorities.insert(region, authorities);
                    o.listed_at.get_or_insert(self.0.clock.now());
                }
                // The session ended in between: begin again.
                Err(_) => o.session = None,
            },
            Read::Permissions => match session {
                Ok(aws) => self.permissions(o, &*aws).await,
                Err(_) => o.session = None,
            },
            Read::Organization => {
                o.read_at = Some(self.0.clock.now());
                o.organization = Some(self.organization(&o.account).await);
            }
            Read::Around => o.around = Some(self.around(&o.account)),
            Read::Shown(members) => self.shown(o, members).await,
            Read::Run => self.begin(o),
            Read::List(region) => match session {
                Ok(aws) => self.list(o, &*aws, region).await,
                Err(_) => o.session = None,
            },
            Read::Surroundings => self.surroundings(o).await,
            Read::Tags(arns) => match session {
                Ok(aws) => self.tags(o, &*aws, arns).await,
                Err(_) => o.session = None,
            },
            Read::Rooms(namespaces) => self.rooms(o, namespaces).await?,
        }
        Ok(())
    }

    async fn write(&self, o: &mut Observed, write: Write) -> Result<(), kube::Error> {
        let changes = match write {
            Write::Members(changes) => changes,
            Write::Discovered(changes, tags) => return self.discovered(o, changes, tags).await,
        };
        self.change_members(o, changes).await
    }

    fn object(observed: &Observed) -> &Arc<AwsAccount> {
        &observed.account
    }

    fn stored(&self, observed: &mut Observed, account: Arc<AwsAccount>) {
        observed.account = account;
        self.run_told(observed);
    }

    fn told(&self, o: &mut Observed) {
        o.removed = (vec![], 0);
    }

    fn memory(o: Observed) -> Memory {
        let asked_for = asked(&o.account);
        let comes_back = o.run.is_some() || o.run_rests.is_some();
        let generation = o.account.metadata.generation;
        let all = || o.authorities.iter().map(|(region, all)| Some((region.clone(), all.as_ref().ok()?.clone())));
        let listed = o.listed_at.filter(|_| comes_back).and_then(|at| {
            let authorities = all().collect::<Option<_>>()?;
            Some(Arc::new(Listed { at, generation, authorities }))
        });
        let known = || {
            let (Some(Ok(organization)), Some(at)) = (o.organization, o.read_at) else { return None };
            // A region that could not be read is read again; the organization need not be.
            let authorities = o.authorities.into_iter().filter_map(|(region, all)| Some((region, all.ok()?))).collect();
            Some(Arc::new(Known { asked: asked_for, at, organization, authorities }))
        };
        let (asked, run) = (o.asked.clone(), o.run.clone());
        Memory { known: known(), asked, run, listed }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_keeps_nothing_for_long() {
        let (now, lasts) = (Timestamp::UNIX_EPOCH, SignedDuration::from_mins(10));
        for (minutes, lately) in [(0, true), (-9, true), (9, true), (-11, false), (11, false), (100_000, false)] {
            assert_eq!(is_lately(now + SignedDuration::from_mins(minutes), lasts, now), lately, "{minutes}");
        }
    }
}
