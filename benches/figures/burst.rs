//! Many Certificates at once: time, CPU, memory, with the same requests by a bare client beside it.

use super::{
    process::{Process, processors},
    replay::{Pattern, replay},
    stand::{NAMESPACE, Operator, Outcome, Stand, certificate},
    table::Row,
};
use futures::StreamExt;
use jiff::Timestamp;
use kube::api::{Patch, PatchParams, WatchEvent, WatchParams};
use serde_json::{Value, json};
use std::{
    pin::pin,
    time::{Duration, Instant},
};

const ACCOUNT: &str = "111122223333";
/// As long as any of this may take on a busy machine.
const BOUND: Duration = Duration::from_secs(280);
/// The peers for 1,000, without ACM: seconds, CPU seconds of their two processes, MiB of both.
const PEERS: (f64, f64, f64) = (123.8, 63.5, 205.0);

/// What ran, and what it used so far.
struct Meter(Vec<(&'static str, Process, f64)>);

impl Meter {
    fn new(stand: &Stand, operator: Option<&Operator>) -> Outcome<Self> {
        let mut all = vec![
            ("API server", stand.process("kube-apiserver")?),
            ("etcd", stand.process("etcd")?),
            ("AWS's emulator", stand.process("aws")?),
        ];
        all.extend(operator.map(|o| ("operator", o.process())));
        Ok(Self(all.into_iter().map(|(name, process)| (name, process, process.cpu())).collect()))
    }

    fn used(&self, name: &str) -> f64 {
        self.0.iter().filter(|(n, ..)| *n == name).map(|(_, process, before)| process.cpu() - before).sum()
    }

    fn told(&self) -> String {
        let each: Vec<String> = self.0.iter().map(|(name, ..)| format!("{name} {:.1}", self.used(name))).collect();
        each.join(", ")
    }
}

/// The operator's way once, and the bare client's right after it.
struct Round {
    wall: f64,
    cpu: f64,
    told: String,
    peak: f64,
    requests: f64,
    lists: f64,
    /// Percent of the processors that nobody used: what the operator waits for is not the API server then.
    idle: f64,
    /// Seconds of the bare client, and its requests for each.
    bare: f64,
    same: f64,
}

#[expect(clippy::cast_precision_loss, reason = "some thousand")]
async fn round(stand: &Stand, many: usize) -> Outcome<Round> {
    stand.wipe().await?;
    let operator = Operator::start(stand, &[]).await?;
    let authority = stand.account("bench", ACCOUNT, false, "EC_prime256v1").await?;
    // One first: what is shared, and what the bare client repeats.
    stand.apply(vec![certificate("sample", "bench", &authority, json!({}))]).await?;
    stand.ready(1, BOUND).await?;
    stand.sim("DELETE", "ledger", Value::Null).await?;
    let (meter, log, (all_before, idle_before)) = (Meter::new(stand, Some(&operator))?, stand.audit(), processors());
    let began = Instant::now();
    let all = (0..many).map(|n| certificate(&format!("burst-{n}"), "bench", &authority, json!({})));
    let (applied, ready) = tokio::join!(stand.apply(all.collect()), stand.ready(many + 1, BOUND));
    applied?;
    ready?;
    let (wall, (all, idle)) = (began.elapsed().as_secs_f64(), processors());
    let idle = (idle - idle_before) / (all - all_before) * 100.0;
    let (cpu, told, (_, peak)) = (meter.used("operator"), meter.told(), operator.process().memory());
    let requests = log.ours_in(NAMESPACE)?.len() as f64 / many as f64;
    let lists = busiest_minute(&stand.ledger().await?, "acm:ListCertificates") as f64;
    operator.stop().await?;
    let pattern = Pattern::of_sample(&stand.client).await?;
    // The cluster is empty and has settled, as the operator had it.
    stand.wipe().await?;
    let meter = Meter::new(stand, None)?;
    let (bare, same) = replay(stand, &pattern, many).await?;
    let told = format!("{told}; with the bare client {}", meter.told());
    Ok(Round { wall, cpu, told, peak, requests, lists, idle, bare, same })
}

/// `many` Certificates at once, ECDSA P-256, one target, so often: what else a machine does at times must not decide.
pub async fn burst(stand: &Stand, many: usize, rounds: usize) -> Outcome<Vec<Row>> {
    let mut done = Vec::new();
    for _ in 0..rounds.max(1) {
        done.push(round(stand, many).await?);
    }
    let of = |figure: fn(&Round) -> f64| {
        let mut all: Vec<f64> = done.iter().map(figure).collect();
        all.sort_by(f64::total_cmp);
        all
    };
    // Seconds depend on what else the machine does, so the middle one counts; of the rest, the most.
    let middle = |figure: fn(&Round) -> f64| percentile(&of(figure), 50);
    let most = |figure: fn(&Round) -> f64| percentile(&of(figure), 100);
    let span = |figure: fn(&Round) -> f64| {
        let all = of(figure);
        format!("{:.1} to {:.1}", percentile(&all, 0), percentile(&all, 100))
    };
    #[expect(clippy::cast_precision_loss, reason = "some thousand")]
    let scale = many as f64 / 1000.0;
    let what = |what: &str| format!("{many} at once, ECDSA P-256, one target: {what}");
    let (time, cpu_goal, memory) = (PEERS.0 * 0.4 * scale, PEERS.1 / 5.0 * scale, PEERS.2 / 4.0);
    let (wall, cpu, peak, lists) = (middle(|r| r.wall), middle(|r| r.cpu), most(|r| r.peak), most(|r| r.lists));
    let (bare, ratios) = (middle(|r| r.bare), of(|r| r.wall / r.bare));
    let ratio = percentile(&ratios, 50);
    let each: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
    let mut rows = vec![
        Row::new(
            &what("time to all Ready"),
            &format!("≤ {time:.1} s (0.4 ×)"),
            format!("{wall:.1} s ({})", span(|r| r.wall)),
            wall <= time,
        )
        .peers("123.8 s, without ACM"),
        Row::new(
            &what("CPU of the operator"),
            &format!("≤ {cpu_goal:.1} s (1/5)"),
            format!("{cpu:.1} s ({})", span(|r| r.cpu)),
            cpu <= cpu_goal,
        )
        .peers("63.5 s"),
        Row::new(
            &what("peak resident memory"),
            &format!("≤ {memory:.0} MiB (1/4)"),
            format!("{peak:.0} MiB"),
            peak <= memory,
        )
        .peers("152 + 53 MiB"),
        Row::told(&what("API requests each"), format!("{:.1}", most(|r| r.requests))).peers("21.8"),
        Row::new(
            &what("against the same requests by a bare client"),
            "≤ 1.25",
            format!(
                "{ratio:.2}, the middle one of {}; the bare client {bare:.1} s ({}) for {:.0} requests each",
                each.join(", "),
                span(|r| r.bare),
                most(|r| r.same)
            ),
            ratio <= 1.25,
        ),
        Row::new(&what("ListCertificates in the busiest minute"), "≤ 6", format!("{lists:.0}"), lists <= 6.0),
    ];
    let idle = format!("{:.0} %", most(|r| r.idle));
    rows.push(Row::told(&what("processors idle meanwhile"), idle));
    for round in done {
        let figure = format!("CPU seconds of each in {:.1} s, the bare client {:.1} s", round.wall, round.bare);
        rows.push(Row::told(&what(&figure), round.told).peers("API server 113.7, etcd 25.0"));
    }
    Ok(rows)
}

/// The most calls of an operation in any minute.
fn busiest_minute(calls: &[(String, String, String)], operation: &str) -> usize {
    let times: Vec<Timestamp> =
        calls.iter().filter(|(o, ..)| o == operation).filter_map(|(.., at)| at.parse().ok()).collect();
    let within = |from: &Timestamp| {
        times.iter().filter(|at| **at >= *from && at.duration_since(*from) < jiff::SignedDuration::from_mins(1)).count()
    };
    times.iter().map(within).max().unwrap_or(0)
}

/// 200 with every call to AWS answered after 100 ms.
pub async fn delay(stand: &Stand) -> Outcome<Vec<Row>> {
    let operator = Operator::start(stand, &[]).await?;
    let authority = stand.account("bench", ACCOUNT, false, "EC_prime256v1").await?;
    stand.apply(vec![certificate("sample", "bench", &authority, json!({}))]).await?;
    stand.ready(1, BOUND).await?;
    // What the sample asked ACM for was a minute ago, as far as the operator's lists go.
    tokio::time::sleep(Duration::from_mins(1)).await;
    let fault = json!({ "operation": "*", "count": null, "effect": { "kind": "delay", "millis": 100 } });
    stand.sim("POST", "faults", fault).await?;
    let (many, began) = (200, Instant::now());
    let all = (0..many).map(|n| certificate(&format!("slow-{n}"), "bench", &authority, json!({})));
    let (applied, ready) = tokio::join!(stand.apply(all.collect()), stand.ready(many + 1, BOUND));
    applied?;
    ready?;
    let wall = began.elapsed().as_secs_f64();
    operator.stop().await?;
    stand.sim("DELETE", "faults", Value::Null).await?;
    let what = "200 at once, every AWS call answered after 100 ms";
    Ok(vec![Row::new(what, "≤ 15 s with ACM", format!("{wall:.1} s"), wall <= 15.0).peers("47.1 s, without ACM")])
}

/// How long an object that has nothing to do with them waits while RSA keys are made.
pub async fn rsa(stand: &Stand, many: usize) -> Outcome<Vec<Row>> {
    let operator = Operator::start(stand, &[]).await?;
    let authority = stand.account("bench", ACCOUNT, false, "EC_prime256v1").await?;
    let rsa_authority = stand.account("bench-rsa", "444455556666", false, "RSA_2048").await?;
    stand.apply(vec![certificate("other", "bench", &authority, json!({}))]).await?;
    stand.ready(1, BOUND).await?;
    let key = json!({ "privateKey": { "algorithm": "RSA", "size": 2048 } });
    let all: Vec<Value> =
        (0..many).map(|n| certificate(&format!("rsa-{n}"), "bench-rsa", &rsa_authority, key.clone())).collect();
    let (log, began) = (stand.audit(), Instant::now());
    let touching = async {
        let mut number = 0;
        loop {
            let patch = json!({ "metadata": { "labels": { "touched": format!("n{number}") } } });
            drop(stand.certificates().patch("other", &PatchParams::default(), &Patch::Merge(&patch)).await);
            number += 1;
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    };
    let mut created = None;
    let working = async {
        let applying = async {
            let applied = stand.apply(all).await;
            created = Some(Timestamp::now());
            applied
        };
        let (applied, ready) = tokio::join!(applying, stand.ready(many + 1, BOUND));
        applied.and(ready)
    };
    let mut seen = Vec::new();
    let watching = async {
        let other = WatchParams::default().fields("metadata.name=other").timeout(290);
        loop {
            let Ok(events) = stand.certificates().watch(&other, "0").await else { continue };
            let mut events = pin!(events);
            while let Some(event) = events.next().await {
                if let Ok(WatchEvent::Modified(_)) = event {
                    seen.push(Timestamp::now());
                }
            }
        }
    };
    tokio::select! {
        ended = working => ended?,
        () = touching => {}
        () = watching => {}
    }
    let wall = began.elapsed().as_secs_f64();
    let made = log.read()?;
    operator.stop().await?;
    // Their creation keeps the API server busy, keys or not.
    let created = created.ok_or("they were not created")?;
    let is_look = |r: &&super::audit::Request| r.is_ours() && r.verb == "get" && r.object.name == "other-tls";
    let looks: Vec<Timestamp> = made.iter().filter(is_look).map(|r| r.received).collect();
    let during = waits(&made, &looks, |at| at < created);
    let (after, bare) = (waits(&made, &looks, |at| at >= created), waits(&made, &seen, |at| at >= created));
    let own = lags(&made, &seen, &looks, |at| at >= created);
    let measured = format!(
        "{:.0} ms after a bare watch had it (half of them {:.0} ms, {} looks); after the API server's answer {:.0} ms, the bare \
         watch {:.0} ms; {:.0} ms while they are created; all Ready after {wall:.0} s",
        percentile(&own, 99),
        percentile(&own, 50),
        own.len(),
        percentile(&after, 99),
        percentile(&bare, 99),
        percentile(&during, 99),
    );
    let what = format!("While {many} RSA-2048 keys are made: p99 from a change of another object to its reconcile");
    Ok(vec![Row::new(&what, "≤ 50 ms", measured, percentile(&own, 99) <= 50.0)])
}

fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

type Requests = [super::audit::Request];

fn changes(all: &Requests, counts: impl Fn(Timestamp) -> bool) -> impl Iterator<Item = &super::audit::Request> {
    let changes = all.iter().filter(|r| !r.is_ours() && r.verb == "patch" && r.object.name == "other");
    changes.filter(move |change| counts(change.received))
}

/// The first time after the beginning of a change: it may be seen before the answer was written.
fn first(times: &[Timestamp], change: &super::audit::Request) -> Option<Timestamp> {
    times.iter().filter(|at| **at > change.received).min().copied()
}

/// Milliseconds from the answer to a change of `other` at such a time until it is seen, by the machine's clock, sorted.
fn waits(all: &Requests, seen: &[Timestamp], counts: impl Fn(Timestamp) -> bool) -> Vec<f64> {
    sorted(changes(all, counts).filter_map(|change| Some((change.answered, first(seen, change)?))))
}

/// Milliseconds from when such a change of `other` is seen until the operator looks, sorted.
fn lags(all: &Requests, seen: &[Timestamp], looks: &[Timestamp], counts: impl Fn(Timestamp) -> bool) -> Vec<f64> {
    sorted(changes(all, counts).filter_map(|change| Some((first(seen, change)?, first(looks, change)?))))
}

fn sorted(spans: impl Iterator<Item = (Timestamp, Timestamp)>) -> Vec<f64> {
    let mut all: Vec<f64> = spans.map(|(from, to)| to.duration_since(from).as_secs_f64().max(0.0) * 1000.0).collect();
    all.sort_by(f64::total_cmp);
    all
}
