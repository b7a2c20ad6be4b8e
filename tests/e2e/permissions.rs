//! PermissionsVerified: what the account's uses need and IAM does not allow, by the names of the actions.

use crate::{
    harness::{REGIONS, World},
    sim::Sim,
    wait::{Conditions, until},
};
use arnkeeper::api::{
    AwsAccount, Certificate,
    conditions::{PERMISSIONS_VERIFIED, READY},
};
use serde_json::json;

const IMPORT: &str = "acm:ImportCertificate";
const SIMULATE: &str = "iam:SimulatePrincipalPolicy";

/// Waits until the condition stands so.
async fn told(world: &World, reason: &str) -> AwsAccount {
    let what = format!("{PERMISSIONS_VERIFIED}: {reason}");
    until(&world.accounts(), &world.account, &what, |a| a.because(PERMISSIONS_VERIFIED, reason)).await
}

/// A new generation of the spec, which has the permissions looked at anew.
async fn look_again(world: &World, rate: i32) {
    let patch = json!({ "spec": { "quotas": { "ImportCertificate": rate } } });
    world.change(&world.accounts(), &world.account, patch).await;
}

fn missing(account: &AwsAccount) -> Vec<String> {
    account.status.as_ref().and_then(|s| s.permissions.clone()).map(|p| p.missing).unwrap_or_default()
}

#[tokio::test]
async fn iam_tells_what_is_missing_before_it_is_needed() {
    let Some((world, _, sim)) = World::on_sim("may-not", "moto does not simulate policies").await else { return };
    assert!(told(&world, "Verified").await.is(PERMISSIONS_VERIFIED));
    sim.deny(&world.id, &[IMPORT]).await;
    look_again(&world, 2).await;
    let account = told(&world, "PermissionsMissing").await;
    let message = account.message(PERMISSIONS_VERIFIED);
    assert!(message.contains(IMPORT) && message.contains("arnkeeper iam-policy --for import"), "{message}");
    assert_eq!(missing(&account), [IMPORT]);
    assert!(account.is(READY), "the account can be used for the rest");
    sim.allow(&world.id).await;
    look_again(&world, 3).await;
    assert!(missing(&told(&world, "Verified").await).is_empty());
    assert!(sim.calls(&world.id, "ImportCertificate").await.is_empty(), "nothing is done to find it out");
}

#[tokio::test]
async fn it_is_not_looked_at_with_each_reconcile() {
    let Some((world, _, sim)) = World::on_sim("seldom", "moto does not simulate policies").await else { return };
    told(&world, "Verified").await;
    let asked = sim.calls(&world.id, "SimulatePrincipalPolicy").await.len();
    assert!(asked > 0, "IAM was not asked");
    let listed = sim.calls(&world.id, "ListCertificateAuthorities").await.len();
    world.change(&world.accounts(), &world.account, json!({ "metadata": { "labels": { "touched": "yes" } } })).await;
    crate::wait::eventually("the account is looked at again", || async {
        let now = sim.calls(&world.id, "ListCertificateAuthorities").await.len();
        if now > listed { Ok(()) } else { Err(format!("{now} lists")) }
    })
    .await;
    assert_eq!(sim.calls(&world.id, "SimulatePrincipalPolicy").await.len(), asked);
}

/// Where IAM may not be asked, what a call showed counts; what none showed is not known.
#[tokio::test]
async fn what_is_denied_in_earnest_is_told_at_once_where_iam_may_not_be_asked() {
    let world = World::bare("learned").await;
    let Some(sim) = world.stand.sim_because("moto denies nothing") else { return };
    let authority = crate::aws::Authority::new(&world, json!({})).await;
    sim.deny(&world.id, &[SIMULATE, IMPORT]).await;
    world.open_account(json!({ "regions": [REGIONS[0]] })).await;
    let account = told(&world, "NotVerified").await;
    assert_eq!(account.condition(PERMISSIONS_VERIFIED).map(|c| &*c.status), Some("Unknown"));
    let message = account.message(PERMISSIONS_VERIFIED);
    assert!(message.contains(IMPORT) && message.contains(SIMULATE), "{message}");
    assert!(!message.contains("acm:DescribeCertificate"), "a harmless read shows that it is allowed: {message}");
    world.certificate("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
    let account = told(&world, "PermissionsMissing").await;
    assert_eq!(missing(&account), [IMPORT]);
    allow_but_simulation(&world, &sim).await;
    let delivered = |c: &Certificate| c.is(READY) && c.is(arnkeeper::api::conditions::DELIVERED);
    world.renew("app").await;
    until(&world.certificates(), "app", "delivered", delivered).await;
    let allowed = |a: &AwsAccount| missing(a).is_empty() && !a.because(PERMISSIONS_VERIFIED, "PermissionsMissing");
    until(&world.accounts(), &world.account, "nothing is missing any more", allowed).await;
}

async fn allow_but_simulation(world: &World, sim: &Sim) {
    sim.allow(&world.id).await;
    sim.deny(&world.id, &[SIMULATE]).await;
}

#[tokio::test]
async fn what_is_not_known_is_not_told_as_true() {
    let (world, authority) = World::new("unknown").await;
    if let Some(sim) = world.stand.sim() {
        sim.deny(&world.id, &[SIMULATE]).await;
    }
    look_again(&world, 2).await;
    let account = told(&world, "NotVerified").await;
    assert!(!account.is(PERMISSIONS_VERIFIED) && account.is(READY));
    world.issued("app", &authority, json!({})).await;
}
