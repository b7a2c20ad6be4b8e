//! The figures of the product, measured on one stand: `make bench`.
//!
//! It needs a stand with the operator's rights in it (`tests/stand/stand`, `tests/stand/operator`); each figure starts the
//! operator anew on an empty cluster. Requests and calls are counted, which does not depend on the machine; seconds do.

mod audit;
mod burst;
mod counts;
mod discovery;
mod machine;
mod memory;
mod organization;
mod process;
mod quotas;
mod replay;
mod restart;
mod seed;
mod stand;
mod table;

use clap::Parser;
use stand::{Outcome, Stand};
use std::{fs, path::PathBuf, process::ExitCode, time::Instant};
use table::Row;

/// Measures, and prints one table.
#[derive(Parser)]
struct Args {
    /// Only these figures, with commas between: start, size, counts, rest, burst, delay, quotas, rsa, foreign, restart, memory,
    /// discovery, organization.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// How long a converged cluster is watched for writes, in seconds; the goal speaks of 600.
    #[arg(long, default_value_t = 60)]
    rest_seconds: u64,
    /// How many Certificates are applied at once, and how many RSA keys are made at once.
    #[arg(long, default_value_t = 1000)]
    many: usize,
    /// How often the burst is run, and the bare client after it; the middle one counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How many certificates are discovered.
    #[arg(long, default_value_t = 10_000)]
    found: u32,
    /// In how many accounts they are.
    #[arg(long, default_value_t = 50)]
    accounts: u32,
    /// As many in each account, rather than as companies have them.
    #[arg(long)]
    even: bool,
    /// How many members the organization has.
    #[arg(long, default_value_t = 2000)]
    members: u32,
    /// Write the table to this file, too.
    #[arg(long)]
    markdown: Option<PathBuf>,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Every figure, in the order in which they are measured.
const FIGURES: [&str; 13] = [
    "start",
    "size",
    "counts",
    "rest",
    "burst",
    "delay",
    "quotas",
    "rsa",
    "foreign",
    "restart",
    "memory",
    "discovery",
    "organization",
];

async fn measure(figure: &str, stand: &Stand, args: &Args) -> Outcome<Vec<Row>> {
    stand.wipe().await?;
    match figure {
        "start" => machine::start(stand).await,
        "size" => machine::size(stand),
        "counts" => counts::counts(stand).await,
        "rest" => counts::rest(stand, args.rest_seconds).await,
        "burst" => burst::burst(stand, args.many, args.rounds).await,
        "delay" => burst::delay(stand).await,
        "quotas" => quotas::quotas(stand).await,
        "rsa" => burst::rsa(stand, args.many).await,
        "foreign" => memory::foreign(stand).await,
        "restart" => restart::restart(stand).await,
        "discovery" => {
            let sizes = if args.even {
                discovery::even(args.found, args.accounts)
            } else {
                discovery::uneven(args.found, args.accounts)
            };
            discovery::discovery(stand, &sizes).await
        }
        "organization" => organization::organization(stand, args.members).await,
        _ => memory::converged(stand).await,
    }
}

async fn run(args: &Args) -> Outcome<bool> {
    if let Some(unknown) = args.only.iter().find(|name| !FIGURES.contains(&name.as_str())) {
        return Err(format!("there is no figure {unknown:?}: {}", FIGURES.join(", ")));
    }
    // As the stand's own scripts: another folder of programs may be named.
    let operator = std::env::var("ARNKEEPER_BIN")
        .map_or_else(|_| PathBuf::from(env!("CARGO_BIN_EXE_arnkeeper")), |bin| PathBuf::from(bin).join("arnkeeper"));
    let stand = Stand::open(operator).await?;
    let (mut rows, mut whole) = (Vec::new(), true);
    for figure in FIGURES.iter().filter(|f| args.only.is_empty() || args.only.iter().any(|only| only == *f)) {
        let began = Instant::now();
        match measure(figure, &stand, args).await {
            Ok(measured) => rows.extend(measured),
            Err(message) => {
                whole = false;
                rows.push(Row::new(figure, "", format!("failed: {message}"), false));
            }
        }
        eprintln!("{figure}: {:.0} s", began.elapsed().as_secs_f64());
    }
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let text = format!(
        "{cores} cores for everything: API server, etcd, AWS's emulator, operator and this program.\n\n{}",
        table::markdown(&rows)
    );
    println!("\n{text}");
    if let Some(file) = &args.markdown {
        fs::write(file, &text).map_err(stand::told("--markdown"))?;
    }
    let missed: Vec<&str> = rows.iter().filter(|row| row.met == Some(false)).map(|row| row.figure.as_str()).collect();
    if !missed.is_empty() {
        println!("not met: {}", missed.join("; "));
    }
    Ok(whole)
}

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(&args)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
