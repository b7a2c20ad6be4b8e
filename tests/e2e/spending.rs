//! The budget of an account: a loop that takes away what was issued and asks again is stopped, whoever asks.

use crate::{
    aws::Authority,
    harness::{World, secret_name},
    tls::csr,
    wait::{Conditions, eventually, gone, until},
};
use arnkeeper::api::{
    AwsAccount,
    conditions::{READY, STALLED},
};
use k8s_openapi::api::{core::v1::Secret, events::v1::Event};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams},
};
use serde_json::json;

const SPENT: &str = "BudgetSpent";

async fn world(test: &str, issues: i32) -> (World, Authority) {
    let world = World::bare(test).await;
    let authority = Authority::new(&world, json!({})).await;
    world.open_account(json!({ "budget": { "issuesPerDay": issues } })).await;
    // What was refused is tried again once the account is found ready.
    world.account_looked_at().await;
    (world, authority)
}

/// Takes away the Certificate, and its Secret.
async fn taken_away(world: &World, name: &str) {
    world.certificates().delete(name, &DeleteParams::default()).await.expect("it can be deleted");
    world.secrets().delete(&secret_name(name), &DeleteParams::default()).await.expect("it can be deleted");
    gone(&world.certificates(), name).await;
    gone::<Secret>(&world.secrets(), &secret_name(name)).await;
    gone(&world.requests(), &format!("{name}-1")).await;
}

async fn raised(world: &World, issues: i32) {
    let spec = json!({ "spec": { "budget": { "issuesPerDay": issues } } });
    world.change(&world.accounts(), &world.account, spec).await;
}

#[tokio::test]
async fn a_loop_that_takes_certificates_away_is_stopped() {
    let (world, authority) = world("loop", 3).await;
    for _ in 0..3 {
        world.issued("app", &authority, json!({})).await;
        taken_away(&world, "app").await;
    }
    world.certificate("app", &authority, json!({})).await;
    let certificate = world.stalled("app", SPENT).await;
    let message = certificate.message(STALLED);
    assert!(message.contains("3 certificates") && message.contains(&*world.account), "{message}");
    assert!(message.contains("goes on at 20") && message.contains("spec.budget.issuesPerDay"), "{message}");
    let none = world.requests().list(&ListParams::default()).await.expect("a list");
    assert!(none.items.is_empty(), "a request was made for nothing");
    // What is made by hand is paid for by the same account.
    world.request("by-hand", &authority, json!({ "csr": csr(&[&world.domain("app")]).1 })).await;
    let request = world.request_stalled("by-hand", SPENT).await;
    assert_eq!(request.message(STALLED), message);
    // The account says so, once, and can be used on.
    // And what has to outlive the process: nothing else in the cluster tells of the three any more.
    let recorded = |a: &AwsAccount| {
        let hours = a.status.iter().flat_map(|s| &s.budget).flat_map(|b| &b.deleted);
        hours.map(|hour| hour.issues).sum::<i64>()
    };
    let spent = |a: &AwsAccount| a.is(READY) && a.is(STALLED) && a.because(STALLED, SPENT) && recorded(a) == 3;
    let account = until(&world.accounts(), &world.account, "Stalled: BudgetSpent, three recorded", spent).await;
    assert_eq!(account.message(STALLED), message);
    assert_eq!(told(&world).await, 1);
    world.assert_paid(3).await;
    raised(&world, 5).await;
    world.ready("app").await;
    world.signed("by-hand").await;
    world.assert_paid(5).await;
}

/// How often the account told of it in events.
async fn told(world: &World) -> usize {
    let api: Api<Event> = Api::all(world.stand.client.clone());
    let account = &world.account;
    let api = &api;
    eventually("the event is published", || async move {
        let all = api.list(&ListParams::default()).await.map_err(|e| e.to_string())?;
        let about = |e: &&Event| e.regarding.as_ref().is_some_and(|r| r.name.as_deref() == Some(account));
        let of = all.items.iter().filter(about).filter(|e| e.reason.as_deref() == Some(SPENT)).count();
        if of > 0 { Ok(of) } else { Err("none".to_owned()) }
    })
    .await
}

/// More at once than the budget has room for: it is counted before anything is asked for, not after.
#[tokio::test]
async fn many_at_once_get_no_more_than_there_is() {
    let (world, authority) = world("rush", 4).await;
    for n in 0..10 {
        world.request(&format!("r{n}"), &authority, json!({ "csr": csr(&[&world.domain("app")]).1 })).await;
    }
    let counts = || async {
        let all = world.requests().list(&ListParams::default()).await.map_err(|e| e.to_string())?;
        let signed = all.items.iter().filter(|r| r.is(READY)).count();
        let stalled: Vec<String> =
            all.items.iter().filter(|r| r.because(STALLED, SPENT)).map(ResourceExt::name_any).collect();
        if signed + stalled.len() == 10 {
            Ok((signed, stalled))
        } else {
            Err(format!("{signed} signed, {stalled:?} stalled"))
        }
    };
    let (signed, stalled) = eventually("all are signed or stalled", counts).await;
    assert_eq!((signed, stalled.len()), (4, 6));
    world.assert_paid(4).await;
    raised(&world, 10).await;
    for name in stalled {
        world.signed(&name).await;
    }
    world.assert_paid(10).await;
}

/// What AWS refuses was not paid for.
#[tokio::test]
async fn what_aws_refuses_spends_nothing() {
    let (world, authority) = world("refused", 1).await;
    let Some(sim) = world.stand.sim_because("moto denies nothing") else { return };
    sim.deny(&world.id, &["acm-pca:IssueCertificate"]).await;
    world.request("first", &authority, json!({ "csr": csr(&[&world.domain("app")]).1 })).await;
    world.request_stalled("first", "AccessDenied").await;
    world.requests().delete("first", &DeleteParams::default()).await.expect("it can be deleted");
    gone(&world.requests(), "first").await;
    sim.allow(&world.id).await;
    world.request("second", &authority, json!({ "csr": csr(&[&world.domain("app")]).1 })).await;
    world.signed("second").await;
    world.assert_paid(1).await;
}
