//! A large organization: how its members appear, in how much memory, and how often a role is assumed.

use super::{
    stand::{Operator, Outcome, Stand, told},
    table::{Row, throttled},
};
use arnkeeper::api::SYNC_ANNOTATION;
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

const MANAGER: &str = "444455556666";
const NAME: &str = "company";
const REGIONS: [&str; 2] = ["eu-west-1", "us-east-1"];
/// Units of the organization.
const UNITS: u32 = 25;
/// Organizations publishes no rate: arnkeeper reads at its own pace, so many calls a second.
const READS_A_SECOND: usize = 5;
const BOUND: Duration = Duration::from_mins(20);
const PARALLEL: usize = 16;

fn member(n: u32) -> String {
    format!("5555{n:08}")
}

/// An organization of so many members, in two regions each, under AWS's own quotas.
pub async fn organization(stand: &Stand, members: u32) -> Outcome<Vec<Row>> {
    let role = |n: u32| {
        let arn = format!("arn:aws:iam::{}:role/OrganizationAccountAccessRole", member(n));
        async move { stand.sim("POST", "roles", json!({ "arn": arn, "trustedAccounts": [MANAGER] })).await.map(drop) }
    };
    futures::stream::iter(0..members).map(role).buffer_unordered(PARALLEL).try_collect::<()>().await?;
    let unit = |n: u32| format!("ou-exam-{n:08}");
    let units: Vec<Value> = (0..UNITS).map(|n| json!({ "id": unit(n), "name": format!("Unit {n}") })).collect();
    let accounts: Vec<Value> = (0..members)
        .map(|n| json!({ "id": member(n), "name": format!("account-{n}"), "parent": unit(n % UNITS) }))
        .collect();
    let whole = json!({ "managementAccount": MANAGER, "units": units, "accounts": accounts });
    stand.sim("POST", "organizations", whole).await?;
    stand.sim("POST", "quotas", json!({ "enabled": true })).await?;
    stand.sim("DELETE", "ledger", Value::Null).await?;
    let operator = Operator::start(stand, &[]).await?;
    let began = Instant::now();
    stand.enter(NAME, MANAGER, json!({ "regions": REGIONS, "organization": {} })).await?;
    ready(stand, members).await?;
    let seconds = began.elapsed().as_secs_f64();
    let (_, peak) = operator.process().memory();
    let calls = stand.ledger().await?;
    let (throttled, in_words) = throttled(&calls);
    let reads = busiest_second(&calls, "organizations:");
    let entered = busiest_second(&calls, "sts:AssumeRole");
    let first = assumed(stand).await?;
    again(stand, members).await?;
    let second = assumed(stand).await?;
    let (now, peak_after) = operator.process().memory();
    operator.stop().await?;
    stand.sim("POST", "quotas", json!({ "enabled": false })).await?;
    let what = |what: &str| format!("Organization of {members} members, two regions: {what}");
    let most = |all: &HashMap<String, usize>| all.values().max().copied().unwrap_or_default();
    Ok(vec![
        Row::told(&what("until all are ready"), format!("{seconds:.0} s, {} AWS calls", calls.len())),
        Row::new(
            &what("operator"),
            "≤ 400 MiB resident",
            format!("{peak:.0} MiB at the peak, {peak_after:.0} with a second round, {now:.0} after"),
            peak.max(peak_after) <= 400.0,
        ),
        Row::new(
            &what("AssumeRole for each account, within the hour"),
            "≤ 1, after a second round, too",
            format!("{} and {}, of {} roles", most(&first), most(&second), second.len()),
            most(&second) <= 1 && second.len() > members as usize,
        ),
        Row::new(
            &what("pace"),
            "≤ 6 calls to Organizations in any second, 0 throttled",
            format!("{reads}, {in_words}; at most {entered} AssumeRole in a second"),
            reads <= READS_A_SECOND + 1 && throttled == 0,
        ),
    ])
}

/// Waits until so many members are ready.
async fn ready(stand: &Stand, members: u32) -> Outcome<()> {
    let began = Instant::now();
    loop {
        let account = stand.accounts().get(NAME).await.map_err(told("the organization"))?;
        let status = account.status.and_then(|s| s.organization).unwrap_or_default();
        if status.ready >= members.into() {
            return Ok(());
        }
        if began.elapsed() > BOUND {
            let why = status.failing.first().map_or("none fails", |f| &f.reason);
            return Err(format!("only {} of {members} were ready after {} s: {why}", status.ready, BOUND.as_secs()));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// How often each role was assumed.
async fn assumed(stand: &Stand) -> Outcome<HashMap<String, usize>> {
    let mut all = HashMap::new();
    for call in stand.calls("AssumeRole").await? {
        *all.entry(call["arn"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    Ok(all)
}

/// The most calls of such operations that any second saw.
fn busiest_second(calls: &[(String, String, String)], operations: &str) -> usize {
    let such = calls.iter().filter(|(operation, ..)| operation.starts_with(operations));
    let mut times: Vec<Timestamp> = such.filter_map(|(.., at)| at.parse().ok()).collect();
    times.sort();
    let within = |(n, from): (usize, &Timestamp)| {
        times.iter().skip(n).take_while(|at| at.duration_since(*from) < jiff::SignedDuration::from_secs(1)).count()
    };
    times.iter().enumerate().map(within).max().unwrap_or_default()
}

/// The organization is read again, and every member is looked at again.
async fn again(stand: &Stand, members: u32) -> Outcome<()> {
    let looks = async || Ok::<_, String>(stand.calls("ListCertificateAuthorities").await?.len());
    let (before, reads) = (looks().await?, stand.calls("ListAccounts").await?.len());
    let accounts = stand.accounts();
    let patch = |name: String, metadata: Value| {
        let accounts = accounts.clone();
        async move {
            let patch = Patch::Merge(json!({ "metadata": metadata }));
            accounts.patch(&name, &PatchParams::default(), &patch).await.map(drop).map_err(told("a member"))
        }
    };
    let now = Timestamp::now().to_string();
    patch(NAME.into(), json!({ "annotations": { SYNC_ANNOTATION: now } })).await?;
    let touch = |n: u32| patch(member(n), json!({ "labels": { "touched": "again" } }));
    futures::stream::iter(0..members).map(touch).buffer_unordered(PARALLEL).try_collect::<()>().await?;
    let began = Instant::now();
    loop {
        let looked = looks().await? - before;
        let read = stand.calls("ListAccounts").await?.len();
        if looked >= members as usize * REGIONS.len() && read >= 2 * reads {
            return Ok(());
        }
        if began.elapsed() > BOUND {
            return Err(format!("only {looked} looks in a second round after {} s", BOUND.as_secs()));
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}
