//! One run of a scenario: undisturbed, or with one kill.

use crate::{
    calls::{Point, points},
    frozen::{self, Thaw},
    scenario::Scenario,
    snapshot::{consistency, differences, snapshot},
    spent::payments,
    stand::{Answer, BETWEEN_LOOKS, Stand},
    world::{Objects, SOON, World, in_acm},
};
use fault_proxy::rules::Act;
use serde_json::Value;
use std::time::{Duration, Instant};

/// A record without an ARN is waited for a minute, and then for a newer list.
pub const CONVERGENCE: Duration = Duration::from_mins(4);

/// What an undisturbed run taught.
pub struct Reference {
    /// The scenario.
    pub scenario: Scenario,
    /// The calls that change something, in order.
    pub points: Vec<Point>,
    /// The final state.
    pub state: Value,
}

/// One blow to come.
#[derive(Clone)]
pub struct Case {
    /// The scenario.
    pub scenario: Scenario,
    /// The call.
    pub point: Point,
    /// The moment's name.
    pub moment: &'static str,
    /// What happens.
    pub blow: Blow,
}

/// What comes over the operator.
#[derive(Clone)]
pub enum Blow {
    /// It is killed, by this rule.
    Kill(Act),
    /// It is frozen as the call comes, and another process works.
    Freeze(Thaw),
}

/// What came of a case.
pub struct Outcome {
    /// What was not as it must be; empty: all was.
    pub faults: Vec<String>,
    /// From the moment that the scenario was set going.
    pub took: Duration,
    /// How often the operator was started.
    pub lives: u32,
}

/// Runs a scenario undisturbed.
pub async fn reference(stand: &Stand, scenario: Scenario) -> Answer<Reference> {
    let mut world = World::new(stand, &stand.sim, scenario.name()).await?;
    scenario.prepare(&mut world).await?;
    let before = world.operator.count();
    let arns_before = in_acm(&world.ledger().await?).into_keys().collect::<Vec<_>>();
    scenario.begin(&mut world).await?;
    scenario.go_on(&mut world).await?;
    finished(&mut world, scenario).await?;
    world.operator.settle(Duration::from_secs(2), SOON).await?;
    let points = points(&world.operator.kubernetes.log(before.0), &world.operator.aws.log(before.1), &world.names());
    let objects = world.objects().await?;
    let state = state(&world, scenario, &objects).await?;
    let faults = faults(&mut world, scenario, &arns_before, &state).await?;
    if !faults.is_empty() {
        return Err(format!("{}; its log: {}", faults.join("; "), world.operator.log.display()));
    }
    world.end().await?;
    Ok(Reference { scenario, points, state })
}

/// Runs a scenario with one blow.
pub async fn run(stand: &Stand, case: &Case, reference: &Reference) -> Answer<Outcome> {
    let mut world = World::new(stand, &stand.sim, case.scenario.name()).await?;
    case.scenario.prepare(&mut world).await?;
    match &case.blow {
        Blow::Kill(act) => killed(world, case, act, &reference.state).await,
        Blow::Freeze(thaw) => Box::pin(frozen::run(world, case, *thaw, reference)).await,
    }
}

async fn killed(mut world: World, case: &Case, act: &Act, expected: &Value) -> Answer<Outcome> {
    let arns_before = in_acm(&world.ledger().await?).into_keys().collect::<Vec<_>>();
    let rule = case.point.rule(&world.names(), act.clone());
    let proxy = if case.point.aws { &world.operator.aws } else { &world.operator.kubernetes };
    let id = proxy.add(rule).map_err(|error| error.to_string())?;
    let begin = Instant::now();
    let mut faults =
        converge(&mut world, case.scenario, &arns_before, expected).await.unwrap_or_else(|error| vec![error]);
    let took = begin.elapsed();
    let proxy = if case.point.aws { &world.operator.aws } else { &world.operator.kubernetes };
    let met = proxy.rules(|rules| rules.iter().any(|rule| rule.id == id && rule.applied > 0));
    if !met {
        faults.push("the call of the reference run did not come".to_owned());
    }
    let lives = world.operator.lives;
    if faults.is_empty() {
        world.end().await?;
    } else {
        faults.push(format!("its log: {}", world.operator.log.display()));
    }
    Ok(Outcome { faults, took, lives })
}

async fn converge(world: &mut World, scenario: Scenario, before: &[String], expected: &Value) -> Answer<Vec<String>> {
    scenario.begin(world).await?;
    scenario.go_on(world).await?;
    finished(world, scenario).await?;
    faults(world, scenario, before, expected).await
}

/// Waits for the end of a scenario.
pub async fn finished(world: &mut World, scenario: Scenario) -> Answer<()> {
    if scenario == Scenario::Deletion {
        let begin = Instant::now();
        while world.look().await?.is_some() {
            world.operator.keep_alive()?;
            if begin.elapsed() > CONVERGENCE {
                return Err("the Certificate is still there".to_owned());
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        return Ok(());
    }
    match scenario.revision() {
        Some(revision) => world.delivered(revision, CONVERGENCE).await,
        None if matches!(scenario, Scenario::Discovery | Scenario::Relisted) => world.discovered(CONVERGENCE).await,
        None if matches!(scenario, Scenario::Organization | Scenario::Members) => world.synced(CONVERGENCE).await,
        None => world.published(CONVERGENCE).await,
    }
}

/// What is not as it must be in the end.
async fn faults(world: &mut World, scenario: Scenario, before: &[String], expected: &Value) -> Answer<Vec<String>> {
    let mut faults = equal(world, scenario, expected, SOON).await?;
    let requests = world.objects().await?.requests;
    faults.extend(payments(&world.ledger().await?, &requests, scenario, before, (0, 0)));
    if faults.is_empty() {
        faults.extend(silence(world).await?);
    }
    Ok(faults)
}

/// The final state, less what may end in more than one way.
async fn state(world: &World, scenario: Scenario, objects: &Objects) -> Answer<Value> {
    let mut state = snapshot(world, objects).await?;
    if scenario == Scenario::Changed {
        // Where its ARN is lost, and nobody wants it any more, the first certificate is not asked for again.
        state["requests"][0]["status"] = Value::Null;
    }
    Ok(state)
}

/// Waits until the final state is the expected one; what differs, when that takes too long.
pub async fn equal(world: &mut World, scenario: Scenario, expected: &Value, within: Duration) -> Answer<Vec<String>> {
    let begin = Instant::now();
    loop {
        world.operator.keep_alive()?;
        let objects = world.objects().await?;
        let mut faults = consistency(world, &objects).await?;
        differences("", expected, &state(world, scenario, &objects).await?, &mut faults);
        if faults.is_empty() || begin.elapsed() >= within {
            return Ok(faults);
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

/// A new process looks at everything once more, and writes nothing but what the account is used for now, which its status
/// tells by the hour; the one after it writes nothing at all.
pub async fn silence(world: &mut World) -> Answer<Vec<String>> {
    let mut written = written_anew(world).await?;
    written.retain(|point| !point.is_status_of_account());
    written.extend(written_anew(world).await?);
    let names: Vec<String> = written.iter().map(Point::name).collect();
    Ok(if names.is_empty() { Vec::new() } else { vec![format!("a further pass wrote: {}", names.join(", "))] })
}

/// What a new process writes.
async fn written_anew(world: &mut World) -> Answer<Vec<Point>> {
    world.operator.settle(Duration::from_secs(1), SOON).await?;
    world.operator.kill().await?;
    let before = world.operator.count();
    world.operator.start()?;
    let works = |world: &World| world.operator.aws.log(before.1).iter().any(|e| e.call.operation.is_some());
    let begin = Instant::now();
    while !works(world) {
        if begin.elapsed() > SOON || world.operator.ended()?.is_some() {
            return Err("a new process did not begin to work".to_owned());
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    world.operator.settle(Duration::from_secs(2), SOON).await?;
    Ok(points(&world.operator.kubernetes.log(before.0), &world.operator.aws.log(before.1), &world.names()))
}
