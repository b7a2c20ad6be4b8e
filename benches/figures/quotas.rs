//! Ten accounts under AWS's own quotas: the rate that they allow, and nothing refused.

use super::{
    stand::{Operator, Outcome, Stand, certificate},
    table::{Row, throttled},
};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::time::Duration;

const ACCOUNTS: u32 = 10;
const EACH: u32 = 50;
const BOUND: Duration = Duration::from_mins(4);

/// 500 Certificates in ten accounts.
pub async fn quotas(stand: &Stand) -> Outcome<Vec<Row>> {
    stand.sim("POST", "quotas", json!({ "enabled": true })).await?;
    let operator = Operator::start(stand, &[]).await?;
    let mut accounts = Vec::new();
    for number in 0..ACCOUNTS {
        let name = format!("account-{number}");
        let authority = stand.account(&name, &format!("11112222{number:04}"), true, "EC_prime256v1").await?;
        accounts.push((name, authority));
    }
    // In turn: account by account, the last one would begin only after most objects of the others are created.
    let of_all = |n: u32| {
        accounts.iter().map(move |(name, authority)| certificate(&format!("{name}-{n}"), name, authority, json!({})))
    };
    let all = (0..EACH).flat_map(of_all).collect();
    stand.sim("DELETE", "ledger", Value::Null).await?;
    let (applied, ready) = tokio::join!(stand.apply(all), stand.ready((ACCOUNTS * EACH) as usize, BOUND));
    applied?;
    ready?;
    operator.stop().await?;
    let calls = stand.ledger().await?;
    stand.sim("POST", "quotas", json!({ "enabled": false })).await?;
    let (throttled, in_words) = throttled(&calls);
    let imports =
        calls.iter().filter(|(operation, outcome, _)| operation == "acm:ImportCertificate" && outcome == "ok");
    let times: Vec<Timestamp> = imports.filter_map(|(.., at)| at.parse().ok()).collect();
    let (first, last) = (times.iter().min(), times.iter().max());
    let seconds = first.zip(last).map_or(f64::NAN, |(first, last)| last.duration_since(*first).as_secs_f64());
    // From the first to the last import of an account there are one fewer intervals than imports.
    let rate = f64::from(ACCOUNTS * EACH - ACCOUNTS) / seconds;
    let share = rate / f64::from(ACCOUNTS) * 100.0;
    let measured = format!("{share:.0} % of 10 imports a second, {in_words} of {} calls", calls.len());
    let what = "Quotas on, ten accounts, 500 at once: rate of imports, throttled answers";
    Ok(vec![Row::new(what, "≥ 95 % of what the quotas allow, 0", measured, share >= 95.0 && throttled == 0)])
}
