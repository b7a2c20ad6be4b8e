//! What there is in AWS before the operator looks: certificates in ACM, an organization.

use crate::{
    stand::{Answer, until, words},
    world::{SOON, World, next_account},
};
use arnkeeper::{
    api::{
        AwsAccount, Certificate, DISCOVER_ANNOTATION, SYNC_ANNOTATION,
        conditions::{DISCOVERED, ORGANIZATION_SYNCED, READY},
        names::CertificateArn,
    },
    core::discovery::object_name,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::ListParams;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A discovery takes less.
const BETWEEN_RUNS: Duration = Duration::from_secs(8);
/// The common role of members.
const ROLE: &str = "OrganizationAccountAccessRole";

/// A certificate of somebody else in ACM.
pub struct Stranger {
    /// Its ARN.
    pub arn: String,
    /// The name of the object that shows it.
    pub object: String,
    /// It is there, as far as the scenario has come.
    pub there: bool,
}

/// An account of the organization.
pub struct Member {
    /// Its id, and the name of its AwsAccount.
    pub id: String,
    /// It is in the organization; suspended or not.
    pub state: Option<&'static str>,
}

/// Puts three certificates into ACM, in two regions. `anew`: they are shown already, and then the list changes.
pub async fn in_acm(world: &mut World, anew: bool) -> Answer<()> {
    for (name, region) in [("a", "eu-west-1"), ("b", "eu-west-1"), ("c", "us-east-1")] {
        stranger(world, name, region).await?;
    }
    if !anew {
        return Ok(());
    }
    discover(world).await?;
    world.discovered(SOON).await?;
    world.operator.settle(Duration::from_secs(2), SOON).await?;
    leaves_acm(world, 0).await?;
    let changed = &world.strangers[1].arn;
    world.sim.post("in-use", json!({ "arn": changed, "by": ["arn:aws:elasticloadbalancing:eu-west-1:1:x"] })).await?;
    stranger(world, "d", "eu-west-1").await
}

async fn stranger(world: &mut World, name: &str, region: &str) -> Answer<()> {
    let names = vec![format!("{name}.{}.example", world.namespace)];
    let wanted = json!({ "account": world.account, "region": region, "names": names });
    let made = world.sim.post("certificates", wanted).await?;
    let arn = made["arns"][0].as_str().ok_or("no certificate was made")?.to_owned();
    let parsed: CertificateArn = arn.parse().map_err(words)?;
    world.strangers.push(Stranger { object: object_name(&names, &parsed), arn, there: true });
    Ok(())
}

/// The account is to discover.
pub async fn discover(world: &World) -> Answer<()> {
    world.change_account(json!({ "spec": { "discovery": { "namespace": world.namespace } } })).await
}

/// A certificate goes from ACM.
pub async fn leaves_acm(world: &mut World, stranger: usize) -> Answer<()> {
    let gone = world.strangers.get_mut(stranger).ok_or("there is no such certificate")?;
    gone.there = false;
    let arn = gone.arn.clone();
    world.sim.delete("certificates", json!({ "arn": arn })).await.map(drop)
}

fn reason(certificate: &Certificate) -> Option<&str> {
    let conditions = &certificate.status.as_ref()?.conditions;
    conditions.iter().find(|c| c.type_ == READY).map(|c| c.reason.as_str())
}

/// An organization with two members that can be entered. `anew`: they are there already, and then it changes.
pub async fn organization(world: &mut World, anew: bool) -> Answer<()> {
    for _ in 0..2 {
        join(world).await?;
    }
    arrange(world).await?;
    if !anew {
        return Ok(());
    }
    take(world).await?;
    world.synced(SOON).await?;
    world.operator.settle(Duration::from_secs(2), SOON).await?;
    world.members[0].state = None;
    world.members[1].state = Some("SUSPENDED");
    join(world).await?;
    arrange(world).await
}

/// Members join, are suspended or leave, and the organization is read again.
pub async fn moves(world: &mut World, changes: &[(usize, Option<&'static str>)]) -> Answer<()> {
    for (member, state) in changes {
        world.members.get_mut(*member).ok_or("there is no such member")?.state = *state;
    }
    arrange(world).await?;
    sync(world).await
}

async fn join(world: &mut World) -> Answer<()> {
    let id = next_account();
    let role = format!("arn:aws:iam::{id}:role/{ROLE}");
    world.sim.post("roles", json!({ "arn": role, "trustedAccounts": [world.account] })).await?;
    world.members.push(Member { id, state: Some("ACTIVE") });
    Ok(())
}

/// AWS has the organization so.
async fn arrange(world: &World) -> Answer<()> {
    let accounts: Vec<Value> = world
        .members
        .iter()
        .filter_map(|member| Some(json!({ "id": member.id, "name": "pay", "state": member.state? })))
        .collect();
    let organization = json!({ "managementAccount": world.account, "id": world.organization(), "accounts": accounts });
    world.sim.post("organizations", organization).await.map(drop)
}

/// The account is to take its organization.
pub async fn take(world: &World) -> Answer<()> {
    world.change_account(json!({ "spec": { "organization": {} } })).await
}

/// Has the organization read again.
pub async fn sync(world: &mut World) -> Answer<()> {
    world.ask(SYNC_ANNOTATION).await
}

fn is_true(conditions: &[Condition], kind: &str) -> bool {
    conditions.iter().any(|c| c.type_ == kind && c.status == "True")
}

impl World {
    /// The id of its organization.
    pub fn organization(&self) -> String {
        format!("o-{}", self.account)
    }

    /// Whether what is gone from ACM is told to be gone, or not shown any more.
    pub async fn is_told_gone(&self) -> Answer<bool> {
        let api = self.api::<Certificate>();
        for gone in self.strangers.iter().filter(|stranger| !stranger.there) {
            let shown = api.get_opt(&gone.object).await.map_err(words)?;
            if shown.is_some_and(|shown| reason(&shown) != Some("GoneFromAcm")) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Asks for one discovery after another until all that is in ACM is shown and nothing else: what is gone is told by one, and
    /// goes with a later one.
    pub async fn rediscovered(&mut self, within: Duration) -> Answer<()> {
        let begin = Instant::now();
        loop {
            self.ask(DISCOVER_ANNOTATION).await?;
            match self.discovered(BETWEEN_RUNS).await {
                Err(_) if begin.elapsed() < within => {}
                other => return other,
            }
        }
    }

    /// Asks the operator to look at once, by an annotation of the AwsAccount.
    pub async fn ask(&mut self, annotation: &str) -> Answer<()> {
        let now = Timestamp::now().to_string();
        self.change_account(json!({ "metadata": { "annotations": { annotation: now } } })).await?;
        self.asked = Some(now);
        Ok(())
    }

    /// Waits until all that is in ACM is shown and nothing else, while the operator is kept alive.
    pub async fn discovered(&mut self, within: Duration) -> Answer<()> {
        let (accounts, api) = (self.accounts(), self.api::<Certificate>());
        let (namespace, asked) = (self.namespace.clone(), self.asked.clone());
        let mut wanted: Vec<&str> =
            self.strangers.iter().filter(|stranger| stranger.there).map(|stranger| &*stranger.object).collect();
        wanted.sort_unstable();
        let operator = &mut self.operator;
        until("what is in ACM is shown", within, async || {
            operator.keep_alive()?;
            let account = accounts.get(&namespace).await.map_err(words)?;
            let Some(status) = account.status else { return Ok(None) };
            let told =
                status.discovery.is_some_and(|d| d.last_run.is_some() && (asked.is_none() || d.requested_at == asked));
            let all = api.list(&ListParams::default()).await.map_err(words)?.items;
            let mut shown: Vec<&str> = all.iter().filter_map(|c| c.metadata.name.as_deref()).collect();
            shown.sort_unstable();
            let described = all.iter().all(|certificate| reason(certificate) == Some("Observed"));
            Ok((told && is_true(&status.conditions, DISCOVERED) && shown == wanted && described).then_some(()))
        })
        .await
    }

    /// Waits until the members are as AWS has them, while the operator is kept alive.
    pub async fn synced(&mut self, within: Duration) -> Answer<()> {
        let (accounts, namespace) = (self.accounts(), self.namespace.clone());
        let known = self.members.iter().filter(|member| member.state.is_some()).count();
        let active = self.members.iter().filter(|member| member.state == Some("ACTIVE")).count();
        let wanted = (i64::try_from(known).unwrap_or_default(), i64::try_from(active).unwrap_or_default());
        let operator = &mut self.operator;
        until("the members are as AWS has them", within, async || {
            operator.keep_alive()?;
            let account = accounts.get(&namespace).await.map_err(words)?;
            let Some(status) = account.status else { return Ok(None) };
            let found = status.organization.map(|organization| (organization.accounts, organization.ready));
            Ok((found == Some(wanted) && is_true(&status.conditions, ORGANIZATION_SYNCED)).then_some(()))
        })
        .await
    }

    /// What the accounts tell of all this.
    pub async fn told(&self) -> Answer<Value> {
        let account = self.accounts().get(&self.namespace).await.map_err(words)?;
        let status = account.status.unwrap_or_default();
        let conditions: Vec<&Condition> =
            status.conditions.iter().filter(|c| [DISCOVERED, ORGANIZATION_SYNCED].contains(&&*c.type_)).collect();
        let mut told =
            json!({ "discovery": status.discovery, "organization": status.organization, "conditions": conditions });
        let labelled = ListParams::default().labels(&self.accounts_selector());
        let members = self.accounts().list(&labelled).await.map_err(words)?.items;
        let members = members.iter().filter(|member| member.metadata.name.as_ref() != Some(&self.namespace));
        told["members"] = members.map(member).collect();
        Ok(told)
    }
}

/// What is to be the same of a member: not what it may do, which is told by the hour.
fn member(account: &AwsAccount) -> Value {
    let conditions = account.status.iter().flat_map(|status| &status.conditions);
    let ready = conditions.into_iter().find(|c| c.type_ == READY).map(|c| (&c.status, &c.reason));
    json!({ "metadata": { "name": account.metadata.name, "labels": account.metadata.labels,
        "annotations": account.metadata.annotations }, "spec": account.spec, "ready": ready })
}
