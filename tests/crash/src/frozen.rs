//! A process is frozen between its record and its call, another one does its work, and the first one goes on.
//!
//! Neither has a Lease, so both believe that they may work: the rules of DESIGN.md §3 must hold without one.

use crate::{
    calls::Point,
    case::{CONVERGENCE, Case, Outcome, Reference, equal, finished, silence},
    process::Operator,
    scenario::Scenario,
    snapshot::consistency,
    spent::payments,
    stand::{Answer, Entry, until, words},
    world::{Objects, SOON, World, in_acm},
};
use fault_proxy::{
    Proxy,
    rules::{Act, Rule},
};
use serde_json::Value;
use std::{
    mem,
    time::{Duration, Instant},
};

/// When the frozen process goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thaw {
    /// When the other one is done.
    After,
    /// While the other one makes the same call: it has an effect, and no answer yet.
    Beside,
    /// When the other one has done this, and what [`Scenario::overtake`] asks for after it.
    Overtaken,
}

/// All of them, with the names of the moments.
pub const ALL: [(&str, Thaw); 3] =
    [("frozen", Thaw::After), ("frozen-beside", Thaw::Beside), ("frozen-overtaken", Thaw::Overtaken)];

/// What ACM must show of a second certificate before it is taken away: a minute after the import, and a new list.
const TIDY: Duration = Duration::from_mins(4);

/// Whether a call is worth this: what can't be taken back, and the records around it.
pub fn is_told_of(scenario: Scenario, point: &Point, thaw: Thaw) -> bool {
    let imports = point.operation() == Some("ImportCertificate");
    match thaw {
        Thaw::After => match scenario {
            Scenario::First | Scenario::Renewal | Scenario::SecretRef | Scenario::SecretChanged => point.matters(),
            Scenario::FanOut => imports,
            Scenario::Deletion | Scenario::Adoption | Scenario::AcmManaged => point.aws,
            // The first signature has to come, or nothing changes while it is made.
            Scenario::Changed => false,
            Scenario::Publishing
            | Scenario::Withdrawn
            | Scenario::Discovery
            | Scenario::Relisted
            | Scenario::Organization
            | Scenario::Members => point.changes_object() || point.matters(),
        },
        Thaw::Beside => match scenario {
            Scenario::First | Scenario::Renewal => point.aws,
            Scenario::SecretRef | Scenario::SecretChanged => imports,
            Scenario::Publishing | Scenario::Withdrawn | Scenario::Discovery | Scenario::Organization => {
                point.changes_object()
            }
            _ => false,
        },
        Thaw::Overtaken => match scenario {
            Scenario::Renewal | Scenario::SecretRef | Scenario::SecretChanged => imports,
            Scenario::Publishing
            | Scenario::Withdrawn
            | Scenario::Discovery
            | Scenario::Relisted
            | Scenario::Organization
            | Scenario::Members => point.changes_object(),
            _ => false,
        },
    }
}

/// Runs a scenario in which the first process is frozen as the call comes.
pub async fn run(mut world: World, case: &Case, thaw: Thaw, reference: &Reference) -> Answer<Outcome> {
    let arns_before = in_acm(&world.ledger().await?).into_keys().collect::<Vec<_>>();
    proxy(&world.operator, &case.point).add(case.point.rule(&world.names(), Act::FreezeBefore)).map_err(words)?;
    let second =
        Operator::new(&world.stand, &world.sim.url, &world.namespace, &world.accounts_selector(), "arnkeeper-1")
            .await?;
    let begin = Instant::now();
    case.scenario.begin(&mut world).await?;
    let begun_only = held(&mut world, case).await?;
    let mut first = mem::replace(&mut world.operator, second);
    let going_on = taken_over(&mut world, &mut first, case, thaw, begun_only, reference, &arns_before);
    let result = Box::pin(going_on).await;
    let mut faults = result.unwrap_or_else(|error| vec![error]);
    first.kill().await?;
    let took = begin.elapsed();
    let lives = first.lives + world.operator.lives;
    if faults.is_empty() {
        world.end().await?;
    } else {
        faults.push(format!("their logs: {} and {}", first.log.display(), world.operator.log.display()));
    }
    Ok(Outcome { faults, took, lives })
}

/// Waits until the first process is frozen; returns whether that came before what is to come after the beginning.
async fn held(world: &mut World, case: &Case) -> Answer<bool> {
    let what = "the call of the reference run came";
    let is_held = |world: &World| proxy(&world.operator, &case.point).held() > 0;
    let due = until(what, SOON, async || {
        let held = is_held(world);
        Ok((held || case.scenario.is_due(world).await?).then_some(!held))
    });
    if !due.await? {
        return Ok(true);
    }
    case.scenario.go_on(world).await?;
    until(what, SOON, async || Ok(is_held(world).then_some(()))).await?;
    Ok(false)
}

fn proxy<'a>(operator: &'a Operator, point: &Point) -> &'a Proxy {
    if point.aws { &operator.aws } else { &operator.kubernetes }
}

/// The second process does all, the first one goes on; what is not as it must be then.
async fn taken_over(
    world: &mut World,
    first: &mut Operator,
    case: &Case,
    thaw: Thaw,
    begun_only: bool,
    reference: &Reference,
    arns_before: &[String],
) -> Answer<Vec<String>> {
    if thaw == Thaw::Beside {
        beside(world, case).await?;
    } else {
        world.operator.start()?;
        if begun_only {
            case.scenario.go_on(world).await?;
        }
        finished(world, case.scenario).await?;
    }
    if thaw == Thaw::Overtaken {
        case.scenario.overtake(world).await?;
        overtaken(world, case.scenario).await?;
    }
    let told = told_arns(&world.objects().await?);
    release(first, case).await?;
    finished_after(world, case.scenario, thaw).await?;
    let mut faults = tidy(world, first, case.scenario, thaw, &reference.state).await?;
    if let Some(status) = first.ended()? {
        faults.push(format!("the frozen process ended: {status}"));
    }
    let objects = world.objects().await?;
    let now = told_arns(&objects);
    if thaw != Thaw::Beside && told != now {
        faults.push(format!("the status had the ARNs {told:?} and has {now:?}"));
    }
    let ledger = world.ledger().await?;
    faults.extend(payments(&ledger, &objects.requests, case.scenario, arns_before, allowed(case, thaw)));
    faults.extend(twice_imported(&ledger, case, thaw));
    first.kill().await?;
    if faults.is_empty() {
        faults.extend(silence(world).await?);
    }
    Ok(faults)
}

/// Whether the import of a scenario is one under an ARN that was there before.
fn imports_over(scenario: Scenario) -> bool {
    matches!(scenario, Scenario::Renewal | Scenario::Adoption | Scenario::SecretChanged)
}

/// How many certificates there are and how many imports without an ARN there may be besides those of the undisturbed run. A frozen
/// import without an ARN makes a second certificate, which is deleted again.
fn allowed(case: &Case, thaw: Thaw) -> (usize, usize) {
    let new = case.point.operation() == Some("ImportCertificate") && !imports_over(case.scenario);
    let renewed = thaw == Thaw::Overtaken && case.scenario == Scenario::Renewal;
    (usize::from(renewed), usize::from(new))
}

/// The frozen import had its effect, or the case shows nothing.
fn twice_imported(ledger: &[Entry], case: &Case, thaw: Thaw) -> Option<String> {
    let imports = ledger.iter().filter(|entry| entry.operation == "ImportCertificate" && entry.effective).count();
    let usual = case.scenario.places().len();
    let renewals = usize::from(imports_over(case.scenario)) + usize::from(thaw == Thaw::Overtaken);
    let expected = usual + renewals + 1;
    (case.point.operation() == Some("ImportCertificate") && imports < expected)
        .then(|| format!("{imports} imports had an effect instead of {expected}: the frozen one is missing"))
}

/// The second process makes the same call; its answer comes late, and the first one goes on before it.
async fn beside(world: &mut World, case: &Case) -> Answer<()> {
    let rule = Rule { skip: 0, ..case.point.rule(&world.names(), Act::Delay { millis: 2000 }) };
    let id = proxy(&world.operator, &case.point).add(rule).map_err(words)?;
    world.operator.start()?;
    let operator = &mut world.operator;
    until("the second process made the call, too", CONVERGENCE, async || {
        operator.keep_alive()?;
        let applied = proxy(operator, &case.point).rules(|rules| rules.iter().any(|r| r.id == id && r.applied > 0));
        Ok(applied.then_some(()))
    })
    .await
}

/// The held call goes on, and so does the process; returns once the call was answered.
async fn release(first: &Operator, case: &Case) -> Answer<()> {
    let proxy = proxy(first, &case.point);
    proxy.release(true);
    until("the held call was answered", SOON, async || {
        let log = proxy.log(0);
        let held = log.iter().find(|entry| entry.act == Some(Act::FreezeBefore));
        Ok(held.is_some_and(|entry| entry.status.is_some()).then_some(()))
    })
    .await
}

async fn finished_after(world: &mut World, scenario: Scenario, thaw: Thaw) -> Answer<()> {
    if thaw == Thaw::Overtaken { overtaken(world, scenario).await } else { finished(world, scenario).await }
}

/// Waits for the end of what [`Scenario::overtake`] asked for.
async fn overtaken(world: &mut World, scenario: Scenario) -> Answer<()> {
    match scenario.revision() {
        Some(revision) => world.delivered(revision + 1, CONVERGENCE).await,
        None if matches!(scenario, Scenario::Discovery | Scenario::Relisted) => world.rediscovered(CONVERGENCE).await,
        None => finished(world, scenario).await,
    }
}

/// Both run on until all is as it must be, and nobody does anything any more.
async fn tidy(
    world: &mut World,
    first: &Operator,
    scenario: Scenario,
    thaw: Thaw,
    expected: &Value,
) -> Answer<Vec<String>> {
    let begin = Instant::now();
    loop {
        let faults = if thaw == Thaw::Overtaken {
            // More has happened than in the undisturbed run.
            consistency(world, &world.objects().await?).await?
        } else {
            equal(world, scenario, expected, Duration::ZERO).await?
        };
        if begin.elapsed() > TIDY {
            return Ok(faults);
        }
        let before = (first.count(), world.operator.count());
        first.settle(Duration::from_secs(3), SOON).await?;
        world.operator.settle(Duration::from_secs(3), SOON).await?;
        if faults.is_empty() && before == (first.count(), world.operator.count()) {
            return Ok(faults);
        }
    }
}

fn told_arns(objects: &Objects) -> Vec<String> {
    let targets = objects.certificate.iter().flat_map(|c| c.status.iter()).flat_map(|status| &status.targets);
    targets.filter_map(|target| target.arn.as_ref().map(ToString::to_string)).collect()
}
