//! What one certificate costs in requests and calls, and what a quiet cluster costs.

use super::{
    audit::{Log, Request},
    stand::{NAMESPACE, Operator, Outcome, Stand, certificate, told},
    table::Row,
};
use arnkeeper::api::CertificateRequest;
use jiff::SignedDuration;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

const ACCOUNT: &str = "111122223333";
/// Longer than a budget counts.
const LATER: SignedDuration = SignedDuration::from_hours(25);
/// As long as any of this may take on a busy machine.
const BOUND: Duration = Duration::from_mins(2);

/// Waits for the event that ends a revision, and tells what the operator asked for until then.
async fn ended(log: &Log, what: &str) -> Outcome<Vec<Request>> {
    let begin = std::time::Instant::now();
    loop {
        let of_app = |r: &Request| r.object.resource == "events" && r.object.name.starts_with("app.");
        if log.ours_in(NAMESPACE)?.iter().any(of_app) {
            // Nothing comes after it, unless there is something to be found out here.
            tokio::time::sleep(Duration::from_secs(2)).await;
            return log.ours_in(NAMESPACE);
        }
        if begin.elapsed() > BOUND {
            return Err(format!("{what} had no event within {} s", BOUND.as_secs()));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn row(what: &str, made: &[Request], (requests, writes): (usize, usize), peers: &str) -> Row {
    let written = made.iter().filter(|r| r.is_write()).count();
    let goal = format!("≤ {requests}, writes ≤ {writes}");
    let measured = format!("{}, writes {written}", made.len());
    Row::new(what, &goal, measured, made.len() <= requests && written <= writes).peers(peers)
}

/// Requests to the API server and calls to AWS: a first issuance and its renewals, after one that pays for what is shared.
pub async fn counts(stand: &Stand) -> Outcome<Vec<Row>> {
    let operator = Operator::start(stand, &[]).await?;
    let authority = stand.account("bench", ACCOUNT, false, "EC_prime256v1").await?;
    stand.apply(vec![certificate("shared", "bench", &authority, json!({}))]).await?;
    stand.ready(1, BOUND).await?;
    // Its event comes after it is Ready.
    tokio::time::sleep(Duration::from_secs(2)).await;
    stand.sim("DELETE", "ledger", Value::Null).await?;
    let log = stand.audit();
    stand.apply(vec![certificate("app", "bench", &authority, json!({}))]).await?;
    let made = ended(&log, "the first issuance").await?;
    let mut rows =
        vec![row("API requests of a first issuance, one target", &made, (13, 9), "22.1, writes 21.1, without ACM")];
    rows.push(calls(stand).await?);
    for what in ["API requests of the first renewal", "API requests of the second renewal, at once after the first"] {
        rows.push(row(what, &renewal(stand).await?, (12, 8), ""));
    }
    operator.stop().await?;
    // The requests that there are count for no budget any more: each renewal deletes one from now on.
    age(stand, &["app-1", "app-2", "app-3"]).await?;
    let operator = Operator::start(stand, &[]).await?;
    no_request(stand, "app-1").await?;
    let made = renewal(stand).await?;
    rows.push(row("API requests of a renewal in the long run", &made, (12, 8), "19.5, writes 18.5, without ACM"));
    no_request(stand, "app-2").await?;
    operator.stop().await?;
    Ok(rows)
}

/// Forces a renewal; what the operator asked for until its event.
async fn renewal(stand: &Stand) -> Outcome<Vec<Request>> {
    let log = stand.audit();
    let now = jiff::Timestamp::now() - SignedDuration::from_secs(2);
    let patch = json!({ "metadata": { "annotations": { "arnkeeper.dev/renew-requested-at": now.to_string() } } });
    stand.certificates().patch("app", &PatchParams::default(), &Patch::Merge(&patch)).await.map_err(told("app"))?;
    ended(&log, "a renewal").await
}

/// Makes requests older than they are, where the API server keeps them: no client may write a creation time, and a clock
/// that is ahead in the operator alone makes new requests old, too.
async fn age(stand: &Stand, names: &[&str]) -> Outcome<()> {
    let requests: Api<CertificateRequest> = Api::namespaced(stand.client.clone(), NAMESPACE);
    let mut older = Vec::new();
    for name in names {
        let mut request = requests.get(name).await.map_err(told(name))?;
        let created = request.metadata.creation_timestamp.as_mut().map(|created| &mut created.0);
        let attempted = request.status.as_mut().and_then(|s| s.attempt.as_mut()).map(|attempt| &mut attempt.at.0);
        for at in created.into_iter().chain(attempted) {
            *at -= LATER;
        }
        request.metadata.resource_version = None;
        let object = serde_json::to_value(&request).map_err(told(name))?;
        older.push((format!("/registry/arnkeeper.dev/awscertificaterequests/{NAMESPACE}/{name}"), object));
    }
    stand.put(&older).await
}

/// Waits until a request was deleted.
async fn no_request(stand: &Stand, name: &str) -> Outcome<()> {
    let requests: Api<CertificateRequest> = Api::namespaced(stand.client.clone(), NAMESPACE);
    let begin = std::time::Instant::now();
    while requests.get_opt(name).await.map_err(told(name))?.is_some() {
        if begin.elapsed() > BOUND {
            return Err(format!("{name} was not deleted within {} s", BOUND.as_secs()));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// The calls of one first issuance.
async fn calls(stand: &Stand) -> Outcome<Row> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (operation, _, _) in stand.ledger().await? {
        *counts.entry(operation).or_default() += 1;
    }
    let allowed = [
        ("acm-pca:IssueCertificate", 1..=1),
        ("acm:ImportCertificate", 1..=1),
        ("acm-pca:GetCertificate", 1..=2),
        ("acm:DescribeCertificate", 0..=1),
        ("acm:ListTagsForCertificate", 0..=1),
    ];
    let count = |operation: &str| counts.get(operation).copied().unwrap_or_default();
    let met = allowed.iter().all(|(operation, allowed)| allowed.contains(&count(operation)));
    let measured: Vec<String> = counts.iter().map(|(operation, count)| format!("{operation} {count}")).collect();
    let goal = "Issue 1, Import 1, PCA Get ≤ 2, Describe ≤ 1, ListTags ≤ 1; lists are shared";
    Ok(Row::new("AWS calls of a first issuance", goal, measured.join(", "), met))
}

/// A quiet cluster: no writes.
pub async fn rest(stand: &Stand, seconds: u64) -> Outcome<Vec<Row>> {
    let operator = Operator::start(stand, &[]).await?;
    let authority = stand.account("bench", ACCOUNT, false, "EC_prime256v1").await?;
    let count = 20;
    let names = (0..count).map(|n| certificate(&format!("rest-{n}"), "bench", &authority, json!({})));
    stand.apply(names.collect()).await?;
    stand.ready(count, BOUND).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    stand.sim("DELETE", "ledger", Value::Null).await?;
    let (log, cpu) = (stand.audit(), operator.process().cpu());
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let ours: Vec<Request> = log.read()?.into_iter().filter(Request::is_ours).collect();
    let writes = ours.iter().filter(|r| r.is_write()).count();
    let calls = stand.ledger().await?.len();
    let cpu = operator.process().cpu() - cpu;
    operator.stop().await?;
    let measured =
        format!("{writes} writes, {} reads, {calls} AWS calls, {cpu:.2} s CPU in {seconds} s", ours.len() - writes);
    Ok(vec![Row::new(
        &format!("{count} converged, at rest"),
        &format!("0 writes in {seconds} s; ten minutes: --rest-seconds 600"),
        measured,
        writes == 0,
    )])
}
