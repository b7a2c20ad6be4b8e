//! Kills the operator around every call that changes something, and looks whether it converges.
//!
//! Run by `make crash`, in a stand.

mod calls;
mod case;
mod process;
mod scenario;
mod snapshot;
mod stand;
mod world;

use case::{Case, Outcome, Reference};
use clap::Parser;
use futures::{StreamExt as _, stream};
use scenario::Scenario;
use stand::{Answer, Stand};
use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

/// Kills the operator before, in and after every call that changes something, starts it again, and looks whether it
/// converges to what an undisturbed run comes to.
#[derive(Debug, Parser)]
#[command(version)]
struct Flags {
    /// Only cases whose name holds all these words, such as 'first IssueCertificate#1 after-effect'.
    #[arg(long, default_value = "")]
    only: String,
    /// The short choice: the moments that matter most.
    #[arg(long)]
    some: bool,
    /// How many cases run at the same time; they mostly wait.
    #[arg(long, default_value_t = 20)]
    jobs: usize,
}

impl Flags {
    fn wants(&self, name: &str) -> bool {
        self.only.split_whitespace().all(|word| name.split_whitespace().any(|part| part == word))
            || (!self.only.is_empty() && name == self.only)
    }

    fn chosen(&self, case: &Case) -> bool {
        if !self.wants(&case.name()) {
            return false;
        }
        // What can't be taken back, and the records around it.
        let matters = |name: &str| {
            name.starts_with("IssueCertificate") || name.starts_with("ImportCertificate") || name.contains("/status#")
        };
        !self.some
            || match case.scenario {
                Scenario::First => matters(&case.point.name()),
                Scenario::Renewal => matters(&case.point.name()) && case.moment == "after-effect",
                Scenario::Deletion => case.point.aws,
                Scenario::FanOut | Scenario::Changed => false,
            }
    }
}

async fn run(flags: &Flags) -> Answer<bool> {
    let begin = Instant::now();
    let stand = Stand::get().await?;
    let scenarios = scenario::ALL.into_iter().filter(|scenario| {
        let words: Vec<&str> = flags.only.split_whitespace().collect();
        let named = scenario::ALL.iter().any(|any| words.contains(&any.name()));
        (!named || words.contains(&scenario.name()))
            && (!flags.some || !matches!(scenario, Scenario::FanOut | Scenario::Changed))
    });
    let references = stream::iter(scenarios).map(|scenario| case::reference(&stand, scenario));
    let references: Vec<Answer<Reference>> = references.buffered(flags.jobs).collect().await;
    let references: Vec<Reference> = references.into_iter().collect::<Answer<_>>()?;
    for reference in &references {
        let names: Vec<String> = reference.points.iter().map(calls::Point::name).collect();
        println!("{}: {} calls: {}", reference.scenario.name(), names.len(), names.join(", "));
    }
    let cases: Vec<(Case, &Reference)> = references.iter().flat_map(cases).filter(|(c, _)| flags.chosen(c)).collect();
    if cases.is_empty() {
        return Err(format!("there is no case {:?}", flags.only));
    }
    println!("{} cases, {} at a time\n", cases.len(), flags.jobs);
    let stand = &stand;
    let runs = stream::iter(&cases).map(|(case, reference)| async move {
        let outcome = case::run(stand, case, &reference.state).await;
        let outcome = outcome.unwrap_or_else(|error| Outcome { faults: vec![error], took: Duration::ZERO, lives: 0 });
        row(case, &outcome);
        (case, outcome)
    });
    // As they end: one that waits for a minute keeps no other.
    let outcomes: Vec<(&Case, Outcome)> = runs.buffer_unordered(flags.jobs).collect().await;
    let failed: Vec<_> = outcomes.iter().filter(|(_, outcome)| !outcome.faults.is_empty()).collect();
    summary(&references, &outcomes);
    for (case, outcome) in &failed {
        println!("\n{} failed:", case.name());
        for fault in &outcome.faults {
            println!("  {fault}");
        }
        println!("  again: make crash ONLY='{}'", case.name());
    }
    println!("\n{} cases, {} failed, {} s", cases.len(), failed.len(), begin.elapsed().as_secs());
    Ok(failed.is_empty())
}

fn cases(reference: &Reference) -> impl Iterator<Item = (Case, &Reference)> {
    reference.points.iter().flat_map(move |point| {
        calls::MOMENTS.into_iter().map(move |(moment, act)| {
            (Case { scenario: reference.scenario, point: point.clone(), moment, act }, reference)
        })
    })
}

fn row(case: &Case, outcome: &Outcome) {
    let result = if outcome.faults.is_empty() { "ok" } else { "FAILED" };
    let name = case.point.name();
    println!(
        "{:<9} {name:<46} {:<13} {result:<7} {:>4} s {:>2} lives",
        case.scenario.name(),
        case.moment,
        outcome.took.as_secs(),
        outcome.lives
    );
}

fn summary(references: &[Reference], outcomes: &[(&Case, Outcome)]) {
    println!("\n{:<9} {:>5} {:>5} {:>7} {:>10}", "scenario", "calls", "cases", "failed", "longest");
    for reference in references {
        let of: Vec<&Outcome> = outcomes
            .iter()
            .filter(|(case, _)| case.scenario == reference.scenario)
            .map(|(_, outcome)| outcome)
            .collect();
        let failed = of.iter().filter(|outcome| !outcome.faults.is_empty()).count();
        let longest = of.iter().map(|outcome| outcome.took.as_secs()).max().unwrap_or_default();
        let (name, calls) = (reference.scenario.name(), reference.points.len());
        println!("{name:<9} {calls:>5} {:>5} {failed:>7} {longest:>8} s", of.len());
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Flags::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("crash: {message}");
            ExitCode::FAILURE
        }
    }
}
