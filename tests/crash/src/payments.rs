//! What is paid for where the answer of IssueCertificate does not come to be stored. The clocks are moved: those of the
//! API server's answers, which the operator goes by, and of an aws-sim of the case's own, which forgets tokens by it.

use crate::{
    case::{CONVERGENCE, Outcome, silence},
    snapshot::consistency,
    stand::{Answer, BETWEEN_LOOKS, Sim, Stand, until, words},
    world::{SOON, World},
};
use fault_proxy::rules::{Act, Rule};
use k8s_openapi::api::events::v1::Event;
use kube::api::ListParams;
use serde_json::json;
use std::{
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::process::{Child, Command};

/// How many attempts a Certificate may make in a day where its spec says nothing.
const BUDGET: usize = 5;
/// Longer than the pauses between attempts, which grow to an hour.
const PAUSE: i64 = 61 * 60;
const DAY: i64 = 24 * 60 * 60;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payment {
    /// The API server is away for ten minutes; the process keeps the ARN in memory.
    Outage,
    /// The same, and meanwhile the process is killed.
    OutageRestarted,
    /// Each answer kills the process.
    CrashLoop,
}

/// All of them.
pub const ALL: [Payment; 3] = [Payment::Outage, Payment::OutageRestarted, Payment::CrashLoop];

impl Payment {
    /// The columns of the table: scenario, call, moment.
    pub fn columns(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Outage => ("outage", "IssueCertificate#1", "running"),
            Self::OutageRestarted => ("outage", "IssueCertificate#1", "restarted"),
            Self::CrashLoop => ("loop", "IssueCertificate#1", "after-effect"),
        }
    }

    /// Runs it.
    pub async fn run(self, stand: &Stand) -> Answer<Outcome> {
        let (scenario, _, moment) = self.columns();
        let (aws, sim) = own_aws(stand, &format!("{scenario}-{moment}")).await?;
        let mut time = Time { sim: sim.clone(), ahead: 0 };
        let mut world = World::new(stand, &sim, scenario).await?;
        let begin = Instant::now();
        let result = match self {
            Self::Outage => outage(&mut world, &mut time, false).await,
            Self::OutageRestarted => outage(&mut world, &mut time, true).await,
            Self::CrashLoop => crash_loop(&mut world, &mut time).await,
        };
        let mut faults = result.unwrap_or_else(|error| vec![error]);
        let (took, lives) = (begin.elapsed(), world.operator.lives);
        if faults.is_empty() {
            world.end().await?;
        } else {
            faults.push(format!("its log: {}", world.operator.log.display()));
        }
        drop(aws);
        Ok(Outcome { faults, took, lives })
    }
}

/// An aws-sim whose clock nobody else goes by; it ends with the handle.
async fn own_aws(stand: &Stand, name: &str) -> Answer<(Child, Sim)> {
    let file = stand.folder.join(format!("aws-{name}.port"));
    // That of an earlier run on the same stand.
    drop(std::fs::remove_file(&file));
    let child = Command::new(stand.programs.join("aws-sim"))
        .arg("--port-file")
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("aws-sim: {error}"))?;
    let port = until("aws-sim listens", SOON, async || Ok(std::fs::read_to_string(&file).ok())).await?;
    Ok((child, Sim::new(&format!("http://127.0.0.1:{}", port.trim()))?))
}

/// The clocks of one case.
struct Time {
    sim: Sim,
    ahead: i64,
}

impl Time {
    /// So many seconds pass.
    async fn pass(&mut self, world: &World, seconds: i64) -> Answer<()> {
        self.ahead += seconds;
        world.operator.kubernetes.shift_date(self.ahead);
        self.sim.post("clock", json!({ "advanceSeconds": seconds })).await.map(drop)
    }
}

async fn paid(world: &World) -> Answer<usize> {
    world.sim.effective(&world.account, "IssueCertificate").await
}

/// The API server goes away before the answer of IssueCertificate is there, and comes back ten minutes later.
async fn outage(world: &mut World, time: &mut Time, restarted: bool) -> Answer<Vec<String>> {
    let late = Rule { operation: Some("IssueCertificate".into()), ..Rule::new(Act::Delay { millis: 3000 }) };
    world.operator.aws.add(late).map_err(words)?;
    world.certificate(json!({})).await?;
    until("the certificate is paid for", SOON, async || Ok((paid(world).await? > 0).then_some(()))).await?;
    world.operator.kubernetes.set_away(true);
    if world
        .objects()
        .await?
        .requests
        .iter()
        .any(|request| request.status.as_ref().is_some_and(|s| s.certificate_arn.is_some()))
    {
        return Err("the ARN was stored before the API server went away".to_owned());
    }
    // What the answer tells can't be stored.
    let log = world.operator.log.clone();
    let answered = || std::fs::read_to_string(&log).is_ok_and(|log| log.contains("the private CA signs"));
    until("the answer came", SOON, async || Ok(answered().then_some(()))).await?;
    if restarted {
        world.operator.kill().await?;
        world.operator.start()?;
        until("a process that finds no API server ends", SOON, async || Ok(world.operator.ended()?.map(drop))).await?;
    }
    time.pass(world, 10 * 60).await?;
    world.operator.kubernetes.set_away(false);
    if restarted {
        world.operator.start()?;
    }
    world.delivered(1, CONVERGENCE).await?;
    let mut faults = in_order(world).await?;
    let (paid, expected) = (paid(world).await?, if restarted { 2 } else { 1 });
    if paid != expected {
        faults.push(format!("{paid} certificates were paid for instead of {expected}"));
    }
    let attempts: Vec<i32> = attempts(world).await?;
    if attempts != if restarted { vec![2] } else { vec![] } {
        faults.push(format!("the attempts that are recorded: {attempts:?}"));
    }
    let told = events(world, "AttemptRepeated").await?;
    if told != usize::from(restarted) {
        faults.push(format!("{told} events tell of an attempt that may have been paid for in vain"));
    }
    faults.extend(silence(world).await?);
    Ok(faults)
}

/// Every answer of IssueCertificate kills the process, for a day.
async fn crash_loop(world: &mut World, time: &mut Time) -> Answer<Vec<String>> {
    let deadly = Rule { operation: Some("IssueCertificate".into()), count: None, ..Rule::new(Act::KillAfterEffect) };
    let id = world.operator.aws.add(deadly).map_err(words)?;
    world.certificate(json!({})).await?;
    let begin = Instant::now();
    let mut lives = world.operator.lives;
    while !is_spent(world).await? {
        world.operator.keep_alive()?;
        // Two lives within each token's five minutes.
        if world.operator.lives >= lives + 2 {
            lives = world.operator.lives;
            time.pass(world, PAUSE).await?;
        }
        if begin.elapsed() > CONVERGENCE || paid(world).await? > BUDGET {
            return Err(format!("{} certificates were paid for, and no BudgetSpent is told", paid(world).await?));
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    let mut faults = Vec::new();
    let first = paid(world).await?;
    if first != BUDGET {
        faults.push(format!("{first} certificates were paid for in the first day instead of {BUDGET}"));
    }
    // The same day, and other processes: a budget that only memory holds would be none.
    for _ in 0..2 {
        time.pass(world, DAY / 4).await?;
        world.operator.kill().await?;
        world.operator.start()?;
        began(world).await?;
        world.operator.settle(Duration::from_secs(2), SOON).await?;
    }
    let still = paid(world).await?;
    if still != BUDGET || !is_spent(world).await? {
        faults.push(format!(
            "{still} certificates were paid for in a day; BudgetSpent is told: {}",
            is_spent(world).await?
        ));
    }
    let told = events(world, "AttemptRepeated").await?;
    if told != BUDGET - 1 {
        faults.push(format!("{told} events tell of an attempt that may have been paid for in vain"));
    }
    // The fault is mended, and a day later it goes on by itself.
    world.operator.aws.remove(id);
    time.pass(world, DAY).await?;
    world.operator.kill().await?;
    world.operator.start()?;
    world.delivered(1, CONVERGENCE).await?;
    faults.extend(in_order(world).await?);
    let all = paid(world).await?;
    if all != BUDGET + 1 {
        faults.push(format!("{all} certificates were paid for in two days instead of {}", BUDGET + 1));
    }
    faults.extend(silence(world).await?);
    Ok(faults)
}

/// A new process has begun to work.
async fn began(world: &mut World) -> Answer<()> {
    let before = world.operator.aws.log(0).len();
    let operator = &mut world.operator;
    until("a new process began to work", SOON, async || {
        operator.keep_alive()?;
        Ok((operator.aws.log(0).len() > before).then_some(()))
    })
    .await
}

/// One target, one ARN, and the Secret's certificate under it.
async fn in_order(world: &mut World) -> Answer<Vec<String>> {
    world.operator.settle(Duration::from_secs(2), SOON).await?;
    let objects = world.objects().await?;
    let mut faults = consistency(world, &objects).await?;
    let ledger = world.ledger().await?;
    let imports = ledger.iter().filter(|e| e.operation == "ImportCertificate" && e.effective).count();
    if imports != 1 {
        faults.push(format!("{imports} imports had an effect instead of 1"));
    }
    Ok(faults)
}

/// Whether the Certificate says that the budget is spent.
async fn is_spent(world: &World) -> Answer<bool> {
    let conditions = world.look().await?.and_then(|c| c.status).map(|status| status.conditions).unwrap_or_default();
    Ok(conditions.iter().any(|c| c.type_ == "Stalled" && c.status == "True" && c.message.contains("BudgetSpent")))
}

async fn attempts(world: &World) -> Answer<Vec<i32>> {
    let requests = world.objects().await?.requests;
    Ok(requests.iter().filter_map(|r| Some(r.status.as_ref()?.attempt.as_ref()?.number)).collect())
}

/// How often an event of this reason was told.
async fn events(world: &World, reason: &str) -> Answer<usize> {
    let events = world.api::<Event>().list(&ListParams::default()).await.map_err(words)?.items;
    let count = |event: &Event| event.series.as_ref().map_or(1, |series| usize::try_from(series.count).unwrap_or(1));
    Ok(events.iter().filter(|event| event.reason.as_deref() == Some(reason)).map(count).sum())
}
