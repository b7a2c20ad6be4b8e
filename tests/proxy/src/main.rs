//! Runs a proxy.

use clap::Parser;
use fault_proxy::{Config, Proxy, victim::Victim};
use std::{path::PathBuf, process::ExitCode};

/// A loopback proxy that kills, freezes, drops, delays and answers by rule; for tests. Listens on 127.0.0.1 only.
#[derive(Debug, Parser)]
#[command(version)]
struct Flags {
    /// The server, such as https://127.0.0.1:6443.
    #[arg(long)]
    server: String,
    /// The authorities of the server's certificate, in PEM.
    #[arg(long, value_name = "FILE")]
    authorities: Option<PathBuf>,
    /// A file with the process id of the client, for what kills or stops it.
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// A file that gets two lines once the proxy listens: its address for the client, and that of the control endpoints.
    #[arg(long, value_name = "FILE")]
    address_file: PathBuf,
}

async fn run(flags: Flags) -> Result<(), String> {
    let authorities = match &flags.authorities {
        Some(file) => std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?,
        None => Vec::new(),
    };
    let victim = flags.pid_file.map_or(Victim::Nobody, Victim::File);
    let config = Config { server: flags.server, authorities, victim, scope: None };
    let proxy = Proxy::start(config).await.map_err(|error| error.to_string())?;
    let addresses = format!("{}\n{}\n", proxy.url(), proxy.control_url());
    // Renamed into place, so that a reader never sees half of it.
    let unfinished = flags.address_file.with_extension("part");
    std::fs::write(&unfinished, &addresses).map_err(|error| error.to_string())?;
    std::fs::rename(&unfinished, &flags.address_file).map_err(|error| error.to_string())?;
    print!("{addresses}");
    tokio::signal::ctrl_c().await.map_err(|error| error.to_string())
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("fault_proxy=info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match run(Flags::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("fault-proxy: {message}");
            ExitCode::FAILURE
        }
    }
}
