//! Runs the emulator.

use std::path::PathBuf;

use clap::Parser;

/// An emulator of AWS Certificate Manager, AWS Private CA and STS for tests. Listens on 127.0.0.1 only.
#[derive(Debug, Parser)]
#[command(version)]
struct Flags {
    /// The port; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// A file that gets the port's number once the emulator listens.
    #[arg(long, value_name = "FILE")]
    port_file: Option<PathBuf>,
    /// An access key to accept; may be repeated.
    #[arg(
        long = "access-key",
        value_name = "ID:SECRET:ACCOUNT",
        value_parser = access_key,
        default_value = "AKIAIOSFODNN7EXAMPLE:wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY:123456789012"
    )]
    access_keys: Vec<(String, String, String)>,
}

fn access_key(text: &str) -> Result<(String, String, String), String> {
    let parts: Vec<&str> = text.split(':').collect();
    let [id, secret, account] = parts[..] else { return Err("needs ID:SECRET:ACCOUNT".to_owned()) };
    if account.len() != 12 || !account.chars().all(|digit| digit.is_ascii_digit()) {
        return Err("an account has twelve digits".to_owned());
    }
    Ok((id.to_owned(), secret.to_owned(), account.to_owned()))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let flags = Flags::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("aws_sim=warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let listener = aws_sim::server::listen(flags.port).await?;
    let port = listener.local_addr()?.port();
    if let Some(file) = &flags.port_file {
        // Renamed into place, so that a reader never sees half a number.
        let part = file.with_extension("part");
        std::fs::write(&part, format!("{port}\n"))?;
        std::fs::rename(&part, file)?;
    }
    println!("listening on http://127.0.0.1:{port}");
    tokio::select! {
        () = aws_sim::server::serve(listener, aws_sim::server::Sim::new(flags.access_keys)) => Ok(()),
        stop = tokio::signal::ctrl_c() => stop,
    }
}
