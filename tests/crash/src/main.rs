//! Kills the operator around every call that changes something, and looks whether it converges.
//!
//! Run by `make crash`, in a stand.

mod calls;
mod case;
mod frozen;
mod inventory;
mod payments;
mod process;
mod published;
mod scenario;
mod snapshot;
mod spent;
mod stand;
mod world;

use case::{Blow, Case, Outcome, Reference};
use clap::Parser;
use frozen::Thaw;
use futures::{StreamExt as _, stream};
use payments::Payment;
use scenario::Scenario;
use stand::{Answer, Stand};
use std::{
    collections::{BTreeMap, BTreeSet},
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
    /// Runs nothing: only says whether --only can name a case. Calls are known only after an undisturbed run.
    #[arg(long)]
    check: bool,
}

/// The methods by which the names of calls to the API server begin.
const METHODS: [&str; 4] = ["POST", "PUT", "PATCH", "DELETE"];

impl Flags {
    fn wants(&self, name: &str) -> bool {
        self.only.split_whitespace().all(|word| name.split_whitespace().any(|part| part == word))
            || (!self.only.is_empty() && name == self.only)
    }

    /// A word of `--only` that no case has in its name, as far as that is known without a run.
    fn stranger(&self) -> Option<&str> {
        let payments = payments::ALL.map(Payment::columns);
        let known: BTreeSet<&str> = scenario::ALL
            .iter()
            .map(|scenario| scenario.name())
            .chain(calls::MOMENTS.iter().map(|(moment, _)| *moment))
            .chain(frozen::ALL.iter().map(|(moment, _)| *moment))
            .chain(payments.iter().flat_map(|(scenario, _, moment)| [*scenario, *moment]))
            .chain(METHODS)
            .collect();
        let is_call = |word: &str| word.rsplit_once('#').is_some_and(|(_, n)| n.parse::<u32>().is_ok());
        self.only.split_whitespace().find(|word| !known.contains(word) && !is_call(word))
    }

    /// What is said of a choice without a case.
    fn no_case(&self) -> String {
        format!(
            "there is no case {:?}: name a scenario, a call of an undisturbed run and a moment, or some of them, as in 'first \
             IssueCertificate#1 after-effect'; tests/crash/README.md lists scenarios and moments",
            self.only
        )
    }

    fn chosen(&self, trial: &Trial<'_>) -> bool {
        self.wants(&trial.name()) && (!self.some || trial.is_telling())
    }
}

/// One thing to show.
enum Trial<'a> {
    /// A blow in a call of a scenario.
    Blow(Box<Case>, &'a Reference),
    /// What is paid for where no answer comes to be stored.
    Payment(Payment),
}

impl Trial<'_> {
    /// The columns of the table: scenario, call, moment.
    fn columns(&self) -> (&'static str, String, &'static str) {
        match self {
            Self::Blow(case, _) => (case.scenario.name(), case.point.name(), case.moment),
            Self::Payment(payment) => {
                let (scenario, call, moment) = payment.columns();
                (scenario, call.to_owned(), moment)
            }
        }
    }

    /// Its name in `--only`.
    fn name(&self) -> String {
        let (scenario, call, moment) = self.columns();
        format!("{scenario} {call} {moment}")
    }

    /// Whether it is of the short choice.
    fn is_telling(&self) -> bool {
        let Self::Blow(case, _) = self else { return true };
        let (point, imports) = (&case.point, case.point.operation() == Some("ImportCertificate"));
        match (&case.blow, case.scenario) {
            (Blow::Kill(_), Scenario::First) => point.matters(),
            (Blow::Kill(_), Scenario::Renewal | Scenario::SecretRef | Scenario::SecretChanged) => {
                point.matters() && case.moment == "after-effect"
            }
            (Blow::Kill(_), Scenario::Deletion) | (Blow::Freeze(Thaw::After), Scenario::AcmManaged) => point.aws,
            // Its record, its tags, its import.
            (Blow::Kill(_), Scenario::Adoption) => (point.aws || point.matters()) && case.moment == "after-effect",
            (Blow::Kill(_), Scenario::AcmManaged) => point.aws || (point.matters() && case.moment == "after-effect"),
            (Blow::Freeze(Thaw::After), Scenario::First) => point.aws || point.is_record_of_issue(),
            (Blow::Kill(_), scenario) if !scenario.is_telling() => false,
            // What was made or taken away; what is published has the frozen cases.
            (Blow::Kill(_), Scenario::Publishing | Scenario::Withdrawn) => false,
            (Blow::Kill(_), _) => point.makes_or_deletes() && case.moment == "after-effect",
            (Blow::Freeze(Thaw::Overtaken), Scenario::Publishing | Scenario::Withdrawn | Scenario::Members) => true,
            (Blow::Freeze(Thaw::Overtaken), scenario) => imports && scenario != Scenario::SecretRef,
            (Blow::Freeze(thaw), scenario) => {
                let told = [(Thaw::Beside, Scenario::First), (Thaw::After, Scenario::Renewal)];
                imports && told.contains(&(*thaw, scenario))
            }
        }
    }

    async fn run(&self, stand: &Stand) -> Outcome {
        let outcome = match self {
            Self::Blow(case, reference) => Box::pin(case::run(stand, case, reference)).await,
            Self::Payment(payment) => payment.run(stand).await,
        };
        outcome.unwrap_or_else(|error| Outcome { faults: vec![error], took: Duration::ZERO, lives: 0 })
    }
}

async fn run(flags: &Flags) -> Answer<bool> {
    let begin = Instant::now();
    let stand = Stand::get().await?;
    let words: Vec<&str> = flags.only.split_whitespace().collect();
    let others = payments::ALL.into_iter().map(|payment| payment.columns().0);
    let named = scenario::ALL.iter().map(|any| any.name()).chain(others).any(|name| words.contains(&name));
    let scenarios = scenario::ALL
        .into_iter()
        .filter(|scenario| (!named || words.contains(&scenario.name())) && (!flags.some || scenario.is_telling()));
    let stand = &stand;
    let runs = stream::iter(scenarios)
        .map(|scenario| async move { (scenario, Box::pin(case::reference(stand, scenario)).await) });
    let runs: Vec<(Scenario, Answer<Reference>)> = runs.buffered(flags.jobs).collect().await;
    let (mut references, mut lost) = (Vec::new(), Vec::new());
    for (scenario, run) in runs {
        match run {
            Ok(reference) => references.push(reference),
            Err(fault) => lost.push((scenario, fault)),
        }
    }
    for (scenario, fault) in &lost {
        println!("{}: the undisturbed run failed, so nothing else of it is run: {fault}", scenario.name());
    }
    for reference in &references {
        let calls: Vec<String> = reference.points.iter().map(calls::Point::name).collect();
        println!("{}: {} calls: {}", reference.scenario.name(), calls.len(), calls.join(", "));
    }
    let trials = trials(&references).into_iter().filter(|trial| flags.chosen(trial)).collect::<Vec<_>>();
    if trials.is_empty() && lost.is_empty() {
        return Err(flags.no_case());
    }
    println!("{} cases, {} at a time\n", trials.len(), flags.jobs);
    let runs = stream::iter(&trials).map(|trial| async move {
        let outcome = trial.run(stand).await;
        row(trial, &outcome);
        (trial, outcome)
    });
    // As they end: one that waits for a minute keeps no other.
    let outcomes: Vec<(&Trial<'_>, Outcome)> = runs.buffer_unordered(flags.jobs).collect().await;
    let failed: Vec<_> = outcomes.iter().filter(|(_, outcome)| !outcome.faults.is_empty()).collect();
    summary(&outcomes);
    for (trial, outcome) in &failed {
        println!("\n{} failed:", trial.name());
        for fault in &outcome.faults {
            println!("  {fault}");
        }
        println!("  again: make crash ONLY='{}'", trial.name());
    }
    for (scenario, fault) in &lost {
        println!("\n{} failed undisturbed:\n  {fault}\n  again: make crash ONLY={}", scenario.name(), scenario.name());
    }
    let seconds = begin.elapsed().as_secs();
    let lost_too = if lost.is_empty() { String::new() } else { format!(", {} scenarios not run", lost.len()) };
    println!("\n{} cases, {} failed{lost_too}, {seconds} s", trials.len(), failed.len());
    Ok(failed.is_empty() && lost.is_empty())
}

/// All of them; those that take longest come first.
fn trials(references: &[Reference]) -> Vec<Trial<'_>> {
    let mut frozen = Vec::new();
    let mut killed = Vec::new();
    for reference in references {
        let scenario = reference.scenario;
        for point in reference.points.iter().filter(|point| scenario.comes_again(point)) {
            let case =
                |moment, blow| Trial::Blow(Box::new(Case { scenario, point: point.clone(), moment, blow }), reference);
            let thaws = frozen::ALL.into_iter().filter(|(_, thaw)| frozen::is_told_of(scenario, point, *thaw));
            frozen.extend(thaws.map(|(moment, thaw)| case(moment, Blow::Freeze(thaw))));
            killed.extend(calls::MOMENTS.into_iter().map(|(moment, act)| case(moment, Blow::Kill(act))));
        }
    }
    payments::ALL.into_iter().map(Trial::Payment).chain(frozen).chain(killed).collect()
}

fn row(trial: &Trial<'_>, outcome: &Outcome) {
    let result = if outcome.faults.is_empty() { "ok" } else { "FAILED" };
    let (scenario, call, moment) = trial.columns();
    println!(
        "{scenario:<12} {call:<46} {moment:<16} {result:<7} {:>4} s {:>2} lives",
        outcome.took.as_secs(),
        outcome.lives
    );
}

fn summary(outcomes: &[(&Trial<'_>, Outcome)]) {
    println!("\n{:<12} {:>5} {:>5} {:>7} {:>10}", "scenario", "calls", "cases", "failed", "longest");
    let mut rows: BTreeMap<&str, (BTreeSet<String>, Vec<&Outcome>)> = BTreeMap::new();
    for (trial, outcome) in outcomes {
        let (scenario, call, _) = trial.columns();
        let (calls, of) = rows.entry(scenario).or_default();
        calls.insert(call);
        of.push(outcome);
    }
    for (name, (calls, of)) in rows {
        let failed = of.iter().filter(|outcome| !outcome.faults.is_empty()).count();
        let longest = of.iter().map(|outcome| outcome.took.as_secs()).max().unwrap_or_default();
        println!("{name:<12} {:>5} {:>5} {failed:>7} {longest:>8} s", calls.len(), of.len());
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let flags = Flags::parse();
    if let Some(word) = flags.stranger() {
        eprintln!("crash: no scenario, call or moment is called {word:?}: {}", flags.no_case());
        return ExitCode::FAILURE;
    }
    if flags.check {
        return ExitCode::SUCCESS;
    }
    match run(&flags).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("crash: {message}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_that_can_name_no_case_is_told_before_anything_is_run() {
        let stranger = |only: &str| {
            let flags = Flags::parse_from(["crash", "--only", only]);
            flags.stranger().map(str::to_owned)
        };
        for good in [
            "",
            "deletion",
            "first IssueCertificate#1 after-effect",
            "fan-out frozen",
            "outage IssueCertificate#1 restarted",
            "renewal PUT awscertificates/app/status#2 before",
        ] {
            assert_eq!(stranger(good), None, "{good}");
        }
        let bad = ["frist", "first IssueCertificate before", "deletion after"];
        for (bad, word) in bad.into_iter().zip(["frist", "IssueCertificate", "after"]) {
            assert_eq!(stranger(bad).as_deref(), Some(word));
        }
    }
}
