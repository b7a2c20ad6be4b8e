//! What the operator is killed in.

use crate::{
    calls::Point,
    inventory, published,
    stand::{Answer, until, words},
    world::{SOON, World, in_acm},
};
use arnkeeper::api::{DISCOVER_ANNOTATION, RENEW_ANNOTATION};
use fault_proxy::rules::{Act, Rule};
use serde_json::json;
use std::{collections::BTreeMap, time::Duration};

/// A way through the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// First issue, one target.
    First,
    /// A renewal.
    Renewal,
    /// First issue, three targets in two regions.
    FanOut,
    /// A spec that changes while its certificate is being signed.
    Changed,
    /// Deletion, with all that is the Certificate's.
    Deletion,
    /// First issue, over a certificate that is in ACM already.
    Adoption,
    /// First issue by ACM itself, which holds the key; it is exported into the Secret.
    AcmManaged,
    /// An ARN is written into an annotation and into a key of a ConfigMap.
    Publishing,
    /// One of them is not wanted any more, and the other one is wanted elsewhere.
    Withdrawn,
    /// What is in ACM is shown for the first time.
    Discovery,
    /// ACM has another list: one certificate is gone, one is new, one has changed.
    Relisted,
    /// The members of an organization become AwsAccounts.
    Organization,
    /// One member left the organization, one joined it, one is suspended.
    Members,
    /// First import of a pair that somebody else keeps.
    SecretRef,
    /// That pair changes.
    SecretChanged,
}

/// All of them.
pub const ALL: [Scenario; 15] = [
    Scenario::First,
    Scenario::Renewal,
    Scenario::FanOut,
    Scenario::Changed,
    Scenario::Deletion,
    Scenario::Adoption,
    Scenario::AcmManaged,
    Scenario::Publishing,
    Scenario::Withdrawn,
    Scenario::Discovery,
    Scenario::Relisted,
    Scenario::Organization,
    Scenario::Members,
    Scenario::SecretRef,
    Scenario::SecretChanged,
];

impl Scenario {
    /// Its name in a table and in `--only`.
    pub fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Renewal => "renewal",
            Self::FanOut => "fan-out",
            Self::Changed => "changed",
            Self::Deletion => "deletion",
            Self::Adoption => "adoption",
            Self::AcmManaged => "acmManaged",
            Self::Publishing => "publishing",
            Self::Withdrawn => "withdrawn",
            Self::Discovery => "discovery",
            Self::Relisted => "relisted",
            Self::Organization => "organization",
            Self::Members => "members",
            Self::SecretRef => "secret-ref",
            Self::SecretChanged => "secret-ref-changed",
        }
    }

    /// Whether the short choice has cases of it.
    pub fn is_telling(self) -> bool {
        !matches!(self, Self::FanOut | Self::Changed | Self::Discovery | Self::Organization)
    }

    /// Whether each run has this call: how often an organization tells of its members on the way is a matter of moments.
    pub fn comes_again(self, point: &Point) -> bool {
        !matches!(self, Self::Organization | Self::Members) || !point.tells_again("PUT awsaccounts/NAMESPACE/status")
    }

    /// What is there before calls are counted.
    pub async fn prepare(self, world: &mut World) -> Answer<()> {
        match self {
            Self::First | Self::FanOut | Self::Changed | Self::AcmManaged => return Ok(()),
            Self::SecretRef => return world.keep_pair().await,
            Self::SecretChanged => {
                world.keep_pair().await?;
                world.certificate(from_secret()).await?;
            }
            Self::Renewal => world.certificate(json!({})).await?,
            Self::Adoption => return leave_behind(world).await,
            Self::Publishing | Self::Withdrawn => {
                world.shelve().await?;
                let publish = if self == Self::Withdrawn { published::entries("edge") } else { json!([]) };
                world.certificate(json!({ "publish": publish })).await?;
                if self == Self::Withdrawn {
                    world.published(SOON).await?;
                }
            }
            Self::Discovery | Self::Relisted => return inventory::in_acm(world, self == Self::Relisted).await,
            Self::Organization | Self::Members => {
                return inventory::organization(world, self == Self::Members).await;
            }
            Self::Deletion => {
                let secret = json!({ "name": "app-tls", "deletionPolicy": "Delete" });
                let acm = json!([{ "name": "edge", "deletionPolicy": "Delete" }]);
                world.certificate(json!({ "secret": secret, "acm": acm })).await?;
            }
        }
        world.delivered(1, SOON).await?;
        world.operator.settle(Duration::from_secs(1), SOON).await
    }

    /// Sets it going. The operator may die meanwhile. What is to come after that is in [`Self::go_on`].
    pub async fn begin(self, world: &mut World) -> Answer<()> {
        match self {
            Self::First => world.certificate(json!({})).await,
            Self::AcmManaged => {
                let source = json!({ "acmManaged": { "certificateAuthority": { "arn": world.authority } } });
                world.certificate(json!({ "source": source, "duration": null })).await
            }
            Self::FanOut => {
                let acm = json!([{ "name": "edge" }, { "name": "cdn", "region": "us-east-1" }, { "name": "inner" }]);
                world.certificate(json!({ "acm": acm })).await
            }
            Self::Renewal => {
                // The API server's clock tells whole seconds.
                let now = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(2);
                world.change(json!({ "metadata": { "annotations": { RENEW_ANNOTATION: now.to_string() } } })).await
            }
            Self::Deletion => world.delete().await,
            Self::SecretRef => world.certificate(from_secret()).await,
            Self::SecretChanged => change_pair(world).await,
            Self::Adoption => {
                let arn = in_acm(&world.ledger().await?).into_keys().next();
                world.certificate(json!({ "acm": [{ "name": "edge", "certificateArn": arn }] })).await
            }
            Self::Publishing => world.change(json!({ "spec": { "publish": published::entries("edge") } })).await,
            Self::Withdrawn => {
                let publish = json!([published::key("inner")]);
                world.change(json!({ "spec": { "publish": publish } })).await
            }
            Self::Discovery => inventory::discover(world).await,
            Self::Relisted => world.ask(DISCOVER_ANNOTATION).await,
            Self::Organization => inventory::take(world).await,
            Self::Members => inventory::sync(world).await,
            Self::Changed => {
                let in_progress = Act::Status {
                    status: 400,
                    reason: "RequestInProgressException".into(),
                    message: "It is being signed".into(),
                    headers: BTreeMap::new(),
                    body: None,
                };
                let signing = Rule { operation: Some("GetCertificate".into()), count: None, ..Rule::new(in_progress) };
                let id = world.operator.aws.add(signing).map_err(words)?;
                world.certificate(json!({})).await?;
                let (sim, account, operator) = (world.sim.clone(), world.account.clone(), &mut world.operator);
                until("the first certificate is paid for", SOON, async || {
                    operator.keep_alive()?;
                    Ok((sim.effective(&account, "IssueCertificate").await? > 0).then_some(()))
                })
                .await?;
                let names = json!([format!("www.app.{}.example", world.namespace)]);
                world.change(json!({ "spec": { "subject": { "additionalNames": names } } })).await?;
                world.operator.aws.remove(id);
                Ok(())
            }
        }
    }

    /// Whether something is to come after the beginning, and it is time for it.
    pub async fn is_due(self, world: &World) -> Answer<bool> {
        if self == Self::Relisted { world.is_told_gone().await } else { Ok(false) }
    }

    /// What is to come after the beginning, if anything.
    pub async fn go_on(self, world: &mut World) -> Answer<()> {
        if self != Self::Relisted {
            return Ok(());
        }
        until("what is gone is told to be gone", SOON * 2, async || {
            world.operator.keep_alive()?;
            Ok(self.is_due(world).await?.then_some(()))
        })
        .await?;
        world.ask(DISCOVER_ANNOTATION).await
    }

    /// What else happens before a frozen process goes on: what its call is about is not wanted any more.
    pub async fn overtake(self, world: &mut World) -> Answer<()> {
        match self {
            Self::Renewal => {
                let asked = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(1);
                world.change(json!({ "metadata": { "annotations": { RENEW_ANNOTATION: asked.to_string() } } })).await
            }
            Self::SecretRef | Self::SecretChanged => change_pair(world).await,
            Self::Publishing => world.change(json!({ "spec": { "publish": [] } })).await,
            Self::Withdrawn => world.change(json!({ "spec": { "publish": published::entries("edge") } })).await,
            Self::Discovery => inventory::leaves_acm(world, 0).await,
            Self::Relisted => inventory::leaves_acm(world, 3).await,
            Self::Organization => inventory::moves(world, &[(0, None)]).await,
            Self::Members => inventory::moves(world, &[(0, Some("ACTIVE")), (2, None)]).await,
            _ => Err(format!("nothing overtakes {}", self.name())),
        }
    }

    /// The revision that is delivered in the end, where there is one.
    pub fn revision(self) -> Option<i64> {
        match self {
            Self::Renewal | Self::Changed | Self::SecretChanged => Some(2),
            Self::First | Self::FanOut | Self::Adoption | Self::AcmManaged | Self::SecretRef => Some(1),
            Self::Publishing
            | Self::Withdrawn
            | Self::Discovery
            | Self::Relisted
            | Self::Organization
            | Self::Members
            | Self::Deletion => None,
        }
    }

    /// How many certificates are paid for in all.
    pub fn price(self) -> usize {
        match self {
            Self::Renewal | Self::Changed | Self::Adoption => 2,
            Self::First | Self::FanOut | Self::Deletion | Self::Publishing | Self::Withdrawn => 1,
            Self::Discovery
            | Self::Relisted
            | Self::Organization
            | Self::Members
            | Self::AcmManaged
            | Self::SecretRef
            | Self::SecretChanged => 0,
        }
    }

    /// The targets, and their regions: each is imported without an ARN, or requested from ACM, once.
    pub fn places(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Discovery | Self::Relisted | Self::Organization | Self::Members => &[],
            Self::FanOut => &[("eu-west-1", "edge"), ("us-east-1", "cdn"), ("eu-west-1", "inner")],
            _ => &[("eu-west-1", "edge")],
        }
    }
}

/// The pair that somebody else keeps changes, and the operator is to look at it.
async fn change_pair(world: &World) -> Answer<()> {
    world.keep_pair().await?;
    // Nobody watches the Secrets of a whole cluster.
    let now = jiff::Timestamp::now().to_string();
    world.change(json!({ "metadata": { "annotations": { "example.com/look": now } } })).await
}

/// What of the usual spec is another with a pair that somebody else keeps.
fn from_secret() -> serde_json::Value {
    json!({ "source": { "secretRef": { "name": "app-tls" } }, "subject": null, "secret": null, "duration": null })
}

/// A certificate is in ACM that nobody keeps any more, with the consent of its owner, and the account lets it be taken over.
async fn leave_behind(world: &mut World) -> Answer<()> {
    world.certificate(json!({})).await?;
    world.delivered(1, SOON).await?;
    world.operator.settle(Duration::from_secs(1), SOON).await?;
    world.forget().await?;
    let arn = in_acm(&world.ledger().await?).into_keys().next().ok_or("nothing is in ACM")?;
    let by = format!("{}/app", world.namespace);
    world.sim.post("tags", json!({ "arn": arn, "tags": { "arnkeeper.dev/adopt-by": by } })).await?;
    world.change_account(json!({ "spec": { "policy": { "adoption": "Consent" } } })).await?;
    world.operator.settle(Duration::from_secs(1), SOON).await
}
