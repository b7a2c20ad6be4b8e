//! The operator comes back to what is as it should be.

use super::{
    audit::{Log, Request},
    seed,
    stand::{Operator, Outcome, Stand},
    table::Row,
};
use serde_json::Value;
use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

/// Waits until the operator has looked at the Secrets of so many Certificates; returns the seconds since `began`.
pub async fn looked_at(log: &Log, count: usize, began: Instant, bound: Duration) -> Outcome<f64> {
    loop {
        let all = log.read()?;
        let looks = all.iter().filter(|r| r.is_ours() && r.verb == "get" && r.object.resource == "secrets");
        let names: HashSet<&str> = looks.map(|r| r.object.name.as_str()).filter(|n| n.starts_with("copy-")).collect();
        if names.len() >= count {
            return Ok(began.elapsed().as_secs_f64());
        }
        if began.elapsed() > bound {
            return Err(format!("only {} of {count} were looked at after {} s", names.len(), bound.as_secs()));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A restart with 1,000 converged Certificates.
pub async fn restart(stand: &Stand) -> Outcome<Vec<Row>> {
    let count = 1000;
    seed::converged(stand, count).await?;
    stand.sim("DELETE", "ledger", Value::Null).await?;
    let log = stand.audit();
    let operator = Operator::start(stand, &[]).await?;
    let seconds = looked_at(&log, count, operator.began, Duration::from_mins(2)).await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let ours: Vec<Request> = log.read()?.into_iter().filter(Request::is_ours).collect();
    let writes = ours.iter().filter(|r| r.is_write()).count();
    let calls = stand.ledger().await?.len();
    operator.stop().await?;
    let reads = ours.len() - writes;
    let secrets = ours.iter().filter(|r| r.verb == "get" && r.object.resource == "secrets").count();
    let measured = format!("{seconds:.1} s, {writes} writes, {reads} reads ({secrets} of Secrets), {calls} AWS calls");
    let met = seconds <= 5.0 && writes == 0 && calls * 10 <= count;
    let what = "Restart with 1,000 converged: all looked at";
    Ok(vec![Row::new(what, "≤ 5 s, 0 writes, ≤ 0.1 AWS calls each", measured, met)])
}
