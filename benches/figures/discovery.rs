//! Discovery under AWS's own quotas: how near it comes to them, what it costs when nothing changed, and memory.

use super::{
    stand::{Operator, Outcome, REGION, Stand, told},
    table::{Row, throttled},
};
use arnkeeper::api::AwsAccount;
use futures::{StreamExt, TryStreamExt};
use jiff::{SignedDuration, Timestamp};
use kube::{
    ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The largest page of ListCertificates, and how many pages a second AWS allows (ACM user guide, API rate quotas).
const PAGE: u32 = 1000;
const PAGES_A_SECOND: f64 = 1.0;
/// How many times a second AWS lets tags be listed, and certificates be described; the two do not share it.
const EACH_A_SECOND: f64 = 10.0;
/// Most of the figure's accounts in one go.
const PARALLEL: usize = 16;

/// As many in each account.
pub fn even(found: u32, accounts: u32) -> Vec<u32> {
    (0..accounts).map(|n| found / accounts + u32::from(n < found % accounts)).collect()
}

/// A few large accounts and many small ones: the second has half of what the first one has, the third one a third.
pub fn uneven(found: u32, accounts: u32) -> Vec<u32> {
    let all: f64 = (1..=accounts).map(|n| 1.0 / f64::from(n)).sum();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
    let mut sizes: Vec<u32> = (1..=accounts).map(|n| (f64::from(found) / f64::from(n) / all) as u32).collect();
    let rest = found - sizes.iter().sum::<u32>();
    sizes.iter_mut().take(1).for_each(|first| *first += rest);
    sizes
}

/// The least seconds that AWS's quotas allow for these accounts, which do not share them: page after page is listed, and then
/// each certificate's tags are read, and it is described, at the same time as others.
fn least(sizes: &[u32]) -> f64 {
    let largest = sizes.iter().max().copied().unwrap_or_default();
    f64::from(largest.div_ceil(PAGE).saturating_sub(1)) / PAGES_A_SECOND + f64::from(largest) / EACH_A_SECOND
}

/// Certificates in ACM, in accounts of these sizes.
pub async fn discovery(stand: &Stand, sizes: &[u32]) -> Outcome<Vec<Row>> {
    let all: u32 = sizes.iter().sum();
    let name = |n: usize| format!("company-{n}");
    let id = |n: usize| format!("3333{n:08}");
    for (n, count) in sizes.iter().enumerate() {
        let there =
            json!({ "account": id(n), "region": REGION, "count": count, "domain": format!("c{n}.bench.example") });
        stand.sim("POST", "certificates/many", there).await?;
    }
    stand.sim("POST", "quotas", json!({ "enabled": true })).await?;
    stand.sim("DELETE", "ledger", Value::Null).await?;
    let operator = Operator::start(stand, &[]).await?;
    let spec = json!({ "discovery": { "namespace": super::stand::NAMESPACE, "interval": "24h" },
        "allowedNamespaces": { "from": "All" } });
    let bound = Duration::from_mins(5) + Duration::from_secs_f64(3.0 * least(sizes));
    let log = stand.audit();
    let opened = async {
        let open = |n: usize| {
            let spec = spec.clone();
            async move { stand.enter(&name(n), &id(n), spec).await }
        };
        futures::stream::iter(0..sizes.len()).map(open).buffer_unordered(PARALLEL).try_collect::<()>().await
    };
    let (opened, ready) = tokio::join!(opened, stand.ready(all as usize, bound));
    opened?;
    ready?;
    ran_since(stand, sizes.len(), Timestamp::UNIX_EPOCH, bound).await?;
    let calls = stand.ledger().await?;
    let (throttled, in_words) = throttled(&calls);
    let times = |operation: &str| -> Vec<Timestamp> {
        calls.iter().filter(|(o, ..)| o == operation).filter_map(|(.., at)| at.parse().ok()).collect()
    };
    let described = times("acm:DescribeCertificate");
    let (first, last) = (times("acm:ListCertificates").into_iter().min(), described.iter().max());
    let seconds = first.zip(last).map_or(f64::NAN, |(first, last)| last.duration_since(first).as_secs_f64());
    let requests = log.read()?.iter().filter(|r| r.is_ours()).count();
    let (again, writes, account_writes) = repeated(stand, sizes.len(), bound).await?;
    let (now, peak) = operator.process().memory();
    operator.stop().await?;
    stand.sim("POST", "quotas", json!({ "enabled": false })).await?;
    let share = least(sizes) / seconds * 100.0;
    let largest = sizes.iter().max().copied().unwrap_or_default();
    let what = |what: &str| format!("{all} certificates in {} accounts, at most {largest} in one: {what}", sizes.len());
    let each = f64::from(u32::try_from(again).unwrap_or(u32::MAX)) / f64::from(all) * 100.0;
    Ok(vec![
        Row::new(
            &what("first discovery, quotas on"),
            "≥ 90 % of what the quotas allow, 0 throttled",
            format!("{share:.0} % ({seconds:.0} s of {:.0} s), {in_words}", least(sizes)),
            share >= 90.0 && throttled == 0,
        ),
        Row::told(
            &what("API requests and AWS calls each"),
            format!("{:.1} and {:.1}", per(requests, all), per(calls.len(), all)),
        ),
        Row::new(
            &what("again, nothing changed"),
            "≤ 1.2 AWS calls per 100, 0 writes of Certificates, 1 of each account",
            format!("{each:.2} per 100, {writes} and {account_writes} writes"),
            each <= 1.2 && writes == 0 && account_writes <= sizes.len(),
        ),
        Row::new(
            &what("operator"),
            "≤ 96 MiB resident",
            format!("{peak:.0} MiB at the peak, {now:.0} after"),
            peak <= 96.0,
        ),
    ])
}

fn per(count: usize, of: u32) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / f64::from(of)
}

/// When an account's last discovery began.
fn last_run(account: &AwsAccount) -> Option<Timestamp> {
    Some(account.status.as_ref()?.discovery.as_ref()?.last_run.as_ref()?.0)
}

/// Waits until so many accounts have a discovery behind them that began later than this.
async fn ran_since(stand: &Stand, count: usize, since: Timestamp, bound: Duration) -> Outcome<()> {
    let began = Instant::now();
    loop {
        let all = stand.accounts().list(&ListParams::default()).await.map_err(told("the accounts"))?;
        let ran = all.iter().filter(|account| last_run(account).is_some_and(|at| at > since)).count();
        if ran >= count {
            return Ok(());
        }
        if began.elapsed() > bound {
            return Err(format!("only {ran} of {count} accounts were discovered after {} s", bound.as_secs()));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Has every account's next discovery come now, as if a day had passed. Returns the calls to AWS, and the operator's writes of
/// Certificates and of accounts.
async fn repeated(stand: &Stand, count: usize, bound: Duration) -> Outcome<(usize, usize, usize)> {
    // A run is told by the second it began in.
    tokio::time::sleep(Duration::from_secs(2)).await;
    stand.sim("DELETE", "ledger", Value::Null).await?;
    let log = stand.audit();
    let now = Timestamp::now();
    let due = now.checked_sub(SignedDuration::from_secs(1)).unwrap_or(now);
    let all = stand.accounts().list(&ListParams::default()).await.map_err(told("the accounts"))?;
    for account in &all {
        let patch = Patch::Merge(json!({ "status": { "discovery": { "nextRun": due } } }));
        let patched = stand.accounts().patch_status(&account.name_any(), &PatchParams::default(), &patch).await;
        patched.map_err(told("an account"))?;
    }
    ran_since(stand, count, due, bound).await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let made = log.read()?;
    let writes =
        |resource: &str| made.iter().filter(|r| r.is_ours() && r.is_write() && r.object.resource == resource).count();
    Ok((stand.ledger().await?.len(), writes("awscertificates"), writes("awsaccounts")))
}
