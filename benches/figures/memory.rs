//! Memory: what is none of ours costs none, and what is converged little.

use super::{
    restart::looked_at,
    seed,
    stand::{NAMESPACE, Operator, Outcome, Stand, certificate},
    table::Row,
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::json;
use std::time::Duration;

/// 300 Secrets of others, 900 kB each, of the type that is watched where namespaces are named.
pub async fn foreign(stand: &Stand) -> Outcome<Vec<Row>> {
    let junk = BASE64.encode(vec![b'x'; 900_000]);
    for n in 0..300 {
        let secret = json!({ "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": { "name": format!("foreign-{n}"),
            "namespace": NAMESPACE, "uid": format!("{n:08x}-0000-4000-8000-00000000ffff"),
            "creationTimestamp": "2026-01-01T00:00:00Z" }, "data": { "tls.crt": "", "tls.key": "", "junk": junk } });
        stand.put(&[(format!("/registry/secrets/{NAMESPACE}/foreign-{n}"), secret)]).await?;
    }
    let mut rows = Vec::new();
    let namespaced = format!("--namespaces={NAMESPACE},{}", super::stand::SYSTEM);
    for (what, flags) in [("", vec![]), (" with `namespaces`, so that they are watched", vec![namespaced.as_str()])] {
        let operator = Operator::start(stand, &flags).await?;
        if flags.is_empty() {
            let authority = stand.account("bench", "111122223333", false, "EC_prime256v1").await?;
            stand.apply(vec![certificate("app", "bench", &authority, json!({}))]).await?;
        }
        stand.ready(1, Duration::from_mins(2)).await?;
        tokio::time::sleep(Duration::from_secs(3)).await;
        let (now, peak) = operator.process().memory();
        operator.stop().await?;
        let what = format!("300 foreign Secrets of 900 kB: operator{what}");
        let row = Row::new(&what, "≤ 64 MiB resident", format!("{now:.0} MiB (peak {peak:.0})"), peak <= 64.0);
        rows.push(row.peers(if flags.is_empty() { "130 + 54 to 450 MiB" } else { "" }));
    }
    Ok(rows)
}

/// 10,000 converged Certificates.
pub async fn converged(stand: &Stand) -> Outcome<Vec<Row>> {
    let count = 10_000;
    seed::converged(stand, count).await?;
    let log = stand.audit();
    let operator = Operator::start(stand, &[]).await?;
    let (ready, _) = operator.process().memory();
    let seconds = looked_at(&log, count, operator.began, Duration::from_mins(3)).await?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let (now, peak) = operator.process().memory();
    let writes = log.read()?.iter().filter(|r| r.is_ours() && r.is_write()).count();
    operator.stop().await?;
    let measured = format!(
        "{now:.0} MiB (peak {peak:.0}; {ready:.0} when ready); all looked at after {seconds:.0} s, {writes} writes"
    );
    Ok(vec![Row::new("10,000 converged Certificates: operator", "≤ 64 MiB resident", measured, now <= 64.0)])
}
