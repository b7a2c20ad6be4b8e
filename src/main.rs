//! The program: `run` is the operator, `crds` prints what the cluster has to know, `iam-policy` what AWS has to allow, `whoami`
//! which AWS identity it has.

use arnkeeper::{
    api::{
        self,
        names::{AccountId, AuthorityArn, PARTITIONS, Region, RoleArn},
    },
    aws::{
        network::Network,
        permissions::{self, Use, policy},
    },
    kube::lease::Terms,
    run,
    whoami::whoami,
};
use clap::{Parser, Subcommand};
use jiff::SignedDuration;
use std::{
    fmt::Write as _,
    fs,
    io::{IsTerminal as _, Write as _},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::{EnvFilter, fmt, prelude::*};

/// Private certificates for Kubernetes and AWS Certificate Manager, renewed under one ARN.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the operator.
    Run(Box<RunArgs>),
    /// Print the custom resource definitions, as YAML.
    Crds {
        /// Write one file a kind into this folder, instead.
        #[arg(long)]
        dir: Option<PathBuf>,
        /// As templates of the Helm chart: kept when the chart goes, left out with `crds.install: false`.
        #[arg(long)]
        helm: bool,
    },
    /// Print the IAM policy for what an account is used for, as JSON.
    IamPolicy(IamPolicyArgs),
    /// Print, as JSON, which AWS identity this environment leads to: that of AwsAccounts without credentials of their own.
    Whoami {
        /// That of a named profile, instead.
        #[arg(long)]
        profile: Option<String>,
        /// The region of STS.
        #[arg(long, env = "AWS_REGION", default_value = "us-east-1")]
        region: Region,
    },
}

#[derive(clap::Args)]
struct IamPolicyArgs {
    /// What the account is used for, with commas between.
    #[arg(long = "for", value_name = "USE", value_enum, value_delimiter = ',', required_unless_present = "table")]
    uses: Vec<Use>,
    /// aws, aws-us-gov, aws-cn. Default: that of what else is named, else aws.
    #[arg(long, value_parser = partition)]
    partition: Option<String>,
    /// The account whose CAs and certificates it is about. Default: any.
    #[arg(long)]
    account: Option<AccountId>,
    /// The regions, with commas between. Default: all.
    #[arg(long = "region", value_delimiter = ',')]
    regions: Vec<Region>,
    /// ARNs of the CAs, with commas between. Default: all of the account; those that other accounts share need their ARN.
    #[arg(long = "ca", value_name = "ARN", value_delimiter = ',')]
    authorities: Vec<AuthorityArn>,
    /// ARNs of the roles to assume, with commas between. Default: the role arnkeeper of any account.
    #[arg(long = "role", value_name = "ARN", value_delimiter = ',')]
    roles: Vec<RoleArn>,
    /// The name of the common role of an organization's members, with its path. Default: OrganizationAccountAccessRole.
    #[arg(long)]
    member_role: Option<String>,
    /// ARNs of secrets in AWS Secrets Manager, with commas between. Default: all of the account.
    #[arg(long = "secret", value_name = "ARN", value_delimiter = ',', value_parser = secret_arn)]
    secrets: Vec<String>,
    /// Let only certificates with the tag of this cluster (the chart's clusterId) be deleted.
    #[arg(long, value_parser = cluster_id)]
    cluster_id: Option<String>,
    /// Print the table of all actions instead, as Markdown.
    #[arg(long)]
    table: bool,
}

#[derive(clap::Args)]
struct RunArgs {
    /// Where /livez, /readyz and /metrics are served.
    #[arg(long, env = "ARNKEEPER_LISTEN", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// The namespaces to serve, with commas between; none: all.
    #[arg(long, env = "ARNKEEPER_NAMESPACES", value_delimiter = ',')]
    namespaces: Vec<String>,
    /// Stands in the tags of what is ours in ACM. Default: the uid of the namespace kube-system.
    #[arg(long, env = "ARNKEEPER_CLUSTER_ID", value_parser = cluster_id)]
    cluster_id: Option<String>,
    /// The operator's own namespace: Secrets with credentials lie there.
    #[arg(long, env = "POD_NAMESPACE", default_value = "arnkeeper-system")]
    own_namespace: String,
    /// The name of this pod, in events.
    #[arg(long, env = "POD_NAME", default_value = "arnkeeper")]
    instance: String,
    /// Whether only the one that holds a Lease works. Switch it off only where nothing else runs beside this process.
    #[arg(long, env = "ARNKEEPER_LEADER_ELECT", default_value_t = true, action = clap::ArgAction::Set)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    leader_elect: bool,
    /// The name of the Lease, in the own namespace.
    #[arg(long, env = "ARNKEEPER_LEADER_ELECT_RESOURCE_NAME", default_value = "arnkeeper")]
    leader_elect_resource_name: String,
    /// A Lease that was not renewed for so long is free; in whole seconds.
    #[arg(long, env = "ARNKEEPER_LEADER_ELECT_LEASE_DURATION", default_value = "15s", value_parser = duration)]
    leader_elect_lease_duration: Duration,
    /// A leader that could not renew the Lease for so long works no more.
    #[arg(long, env = "ARNKEEPER_LEADER_ELECT_RENEW_DEADLINE", default_value = "10s", value_parser = duration)]
    leader_elect_renew_deadline: Duration,
    /// The time between two attempts to get or renew the Lease.
    #[arg(long, env = "ARNKEEPER_LEADER_ELECT_RETRY_PERIOD", default_value = "2s", value_parser = duration)]
    leader_elect_retry_period: Duration,
    /// What is logged: error, warn, info, debug, or a filter of the crate tracing-subscriber.
    #[arg(long, env = "ARNKEEPER_LOG", default_value = "info", value_parser = log_filter)]
    log: String,
    /// How it is logged.
    #[arg(long, env = "ARNKEEPER_LOG_FORMAT", value_enum, default_value = "text")]
    log_format: LogFormat,
    /// How often ACM is looked at for what somebody else changed there, a target: 24h, or 0s for never.
    #[arg(long, env = "ARNKEEPER_DRIFT_INTERVAL", default_value = "24h", value_parser = interval)]
    drift_interval: SignedDuration,
    /// How often the objects that ARNs were published to are looked at: 30m, or 0s for never.
    #[arg(long, env = "ARNKEEPER_PUBLISH_INTERVAL", default_value = "30m", value_parser = interval)]
    publish_interval: SignedDuration,
    /// A file with the operator's own token, which Vault's Kubernetes auth method takes.
    #[arg(long, env = "ARNKEEPER_VAULT_TOKEN_FILE")]
    vault_token_file: Option<PathBuf>,
    /// Metrics of each Certificate by its name: three series for each. Without it they are counted together.
    #[arg(long, env = "ARNKEEPER_METRICS_PER_CERTIFICATE")]
    metrics_per_certificate: bool,
    /// For tests: the clock runs so many seconds ahead.
    #[arg(long, hide = true, default_value_t = 0)]
    clock_ahead: i64,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

/// The levels of the log.
const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// A level or a filter. A word alone that is no level would be the name of a module, and everything else be silent.
fn log_filter(value: &str) -> Result<String, String> {
    let alone = !value.contains(['=', ',', '[']);
    if alone && value != "off" && !LEVELS.contains(&value) {
        return Err(format!("is no level ({}), nor a filter such as info,arnkeeper::aws=debug", LEVELS.join(", ")));
    }
    Ok(value.to_owned())
}

/// A bare level is ours; the libraries only warn, and what the client of the API server says is said here, too.
fn directives(log: &str) -> String {
    if LEVELS.contains(&log) { format!("warn,kube_client=off,arnkeeper={log}") } else { log.to_owned() }
}

/// What the parser says of it names a format of its own.
const NO_DURATION: &str = "is no duration: it is a number with its unit, such as 24h, 30m or 15s";

/// A partition of AWS: `policy` takes any word of this shape, since ARNs may name one that is new.
fn partition(value: &str) -> Result<String, String> {
    if PARTITIONS.contains(&value) {
        Ok(value.to_owned())
    } else {
        Err(format!("is none of AWS's partitions: {}", PARTITIONS.join(", ")))
    }
}

/// A duration as Go writes it; not negative.
fn interval(value: &str) -> Result<SignedDuration, String> {
    let duration: SignedDuration = value.parse().map_err(|_| NO_DURATION)?;
    if duration.is_negative() { Err("it must not be negative".into()) } else { Ok(duration) }
}

/// A tag's value: at most 255 characters of those that ACM takes (ACM API reference, Tag).
fn cluster_id(value: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:/=+@".contains(c);
    if (1..=255).contains(&value.len()) && value.chars().all(allowed) {
        Ok(value.to_owned())
    } else {
        Err("has 1 to 255 letters, digits or - _ . : / = + @".to_owned())
    }
}

/// Wildcards may stand in it: Secrets Manager ends the ARN of a secret with six letters of its own.
fn secret_arn(value: &str) -> Result<String, String> {
    match value.splitn(7, ':').collect::<Vec<_>>().as_slice() {
        ["arn", _, "secretsmanager", _, _, "secret", name] if !name.is_empty() => Ok(value.to_owned()),
        _ => {
            Err("is no ARN of a secret, such as arn:aws:secretsmanager:eu-west-1:111122223333:secret:name-??????"
                .into())
        }
    }
}

fn duration(value: &str) -> Result<Duration, String> {
    let duration: SignedDuration = value.parse().map_err(|_| NO_DURATION)?;
    Duration::try_from(duration).map_err(|_| "must not be negative".to_owned())
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(args) => operator(*args),
        Command::Crds { dir, helm } => crds(dir.as_deref(), helm),
        Command::IamPolicy(args) => iam_policy(args),
        Command::Whoami { profile, region } => identity(profile.as_deref(), &region),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("arnkeeper: {message}");
            ExitCode::FAILURE
        }
    }
}

fn operator(args: RunArgs) -> Result<(), String> {
    let directives = directives(&args.log);
    let filter = EnvFilter::try_new(directives).map_err(|e| format!("--log: {e}"))?;
    let registry = tracing_subscriber::registry().with(filter);
    match args.log_format {
        LogFormat::Text => {
            let colors = std::io::stderr().is_terminal();
            registry.with(fmt::layer().with_writer(std::io::stderr).with_ansi(colors)).init();
        }
        LogFormat::Json => registry.with(fmt::layer().json().with_writer(std::io::stderr)).init(),
    }
    // In the log like everything else, and not as bare lines on stderr.
    std::panic::set_hook(Box::new(|panic| tracing::error!("a fault of arnkeeper, please report it: {panic}")));
    let terms = Terms {
        duration: args.leader_elect_lease_duration,
        renew_deadline: args.leader_elect_renew_deadline,
        retry_period: args.leader_elect_retry_period,
    };
    terms.check().map_err(|e| format!("--leader-elect: {e}"))?;
    let network = Network::from_env().map_err(|e| e.to_string())?;
    let config = run::Config {
        listen: args.listen,
        namespaces: args.namespaces.into_iter().filter(|n| !n.is_empty()).collect(),
        cluster: args.cluster_id,
        own_namespace: args.own_namespace,
        instance: args.instance,
        election: args.leader_elect.then_some((args.leader_elect_resource_name, terms)),
        endpoint_url: None,
        network,
        vault_token: args.vault_token_file,
        drift_interval: args.drift_interval,
        publish_interval: args.publish_interval,
        metrics_per_certificate: args.metrics_per_certificate,
        ahead: SignedDuration::from_secs(args.clock_ahead),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let mut term = signal(SignalKind::terminate()).map_err(|e| e.to_string())?;
        let stop = async move {
            tokio::select! {
                _ = term.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        };
        run::run(config, stop).await.map_err(|e| e.to_string())
    })
}

fn identity(profile: Option<&str>, region: &Region) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    let network = Network::from_env().map_err(|e| e.to_string())?;
    let identity = runtime.block_on(whoami(profile, region, network))?;
    let told = serde_json::json!({ "account": identity.account, "arn": identity.arn });
    // A closed pipe is no fault of ours.
    drop(writeln!(std::io::stdout(), "{told}"));
    Ok(())
}

fn crds(dir: Option<&std::path::Path>, helm: bool) -> Result<(), String> {
    let mut all = String::new();
    for mut crd in api::crds() {
        let name = crd.metadata.name.clone().unwrap_or_default();
        if helm {
            crd.metadata.annotations.get_or_insert_default().insert("helm.sh/resource-policy".into(), "keep".into());
        }
        let yaml = serde_saphyr::to_string(&crd).map_err(|e| e.to_string())?;
        let yaml = yaml.trim_end();
        let text = if helm {
            format!("{{{{- if .Values.crds.install }}}}\n{yaml}\n{{{{- end }}}}\n")
        } else {
            format!("{yaml}\n")
        };
        match dir {
            Some(dir) => {
                let file = dir.join(format!("{name}.yaml"));
                fs::create_dir_all(dir)
                    .and_then(|()| fs::write(&file, text))
                    .map_err(|e| format!("{}: {e}", file.display()))?;
            }
            None => write!(all, "---\n{text}").map_err(|e| e.to_string())?,
        }
    }
    // A closed pipe is no fault of ours.
    drop(std::io::stdout().write_all(all.as_bytes()));
    Ok(())
}

fn iam_policy(args: IamPolicyArgs) -> Result<(), String> {
    let IamPolicyArgs {
        uses,
        partition,
        account,
        regions,
        authorities,
        roles,
        member_role,
        secrets,
        cluster_id,
        table,
    } = args;
    let text = if table {
        permissions::table()
    } else {
        let scope = policy::Scope {
            partition,
            account,
            regions,
            authorities,
            roles,
            member_role,
            secrets,
            cluster: cluster_id,
        };
        scope.check()?;
        policy::text(&uses.into_iter().collect(), &scope).map_err(|e| e.to_string())? + "\n"
    };
    // A closed pipe is no fault of ours.
    drop(std::io::stdout().write_all(text.as_bytes()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    const README: &str = include_str!("../README.md");

    fn command(name: &str) -> clap::Command {
        Cli::command().find_subcommand(name).cloned().unwrap()
    }

    #[test]
    fn the_flags_of_the_lease_stand_in_the_readme_with_their_defaults() {
        let run = command("run");
        for arg in run.get_arguments() {
            let Some(long) = arg.get_long().filter(|long| long.starts_with("leader-elect")) else { continue };
            let default = arg.get_default_values()[0].to_str().unwrap();
            assert!(README.contains(&format!("| `--{long}` | `{default}` |")), "--{long} {default}");
        }
    }

    #[test]
    fn the_options_of_the_policy_stand_in_the_readme_and_no_others() {
        let policy = command("iam-policy");
        let known: Vec<&str> = policy.get_arguments().filter_map(clap::Arg::get_long).collect();
        for long in known.iter().filter(|long| **long != "table") {
            assert!(README.contains(&format!("--{long}")), "README tells nothing of --{long}");
        }
        let others = command("whoami");
        let others: Vec<&str> = others.get_arguments().filter_map(clap::Arg::get_long).collect();
        // Of a command in a line, or in backticks.
        for (name, known) in [("iam-policy", known), ("whoami", others)] {
            for rest in README.split(&format!("arnkeeper {name} ")).skip(1) {
                let rest = rest.split(['`', '(', '|']).next().unwrap().split("\n\n").next().unwrap();
                let rest = rest.split("\n```").next().unwrap();
                for flag in rest.split_whitespace().filter_map(|word| word.strip_prefix("--")) {
                    assert!(known.contains(&flag.trim_end_matches([';', ',', '.'])), "{name} has no --{flag}");
                }
            }
        }
    }

    #[test]
    fn a_wrong_word_is_told_with_the_right_ones() {
        let told = |words: &[&str]| {
            let words = ["arnkeeper"].iter().chain(words);
            Cli::try_parse_from(words).err().map(|error| error.to_string()).unwrap_or_default()
        };
        let partition = told(&["iam-policy", "--for", "import", "--partition", "aws-us"]);
        assert!(partition.contains("aws, aws-us-gov, aws-cn"), "{partition}");
        assert_eq!(told(&["iam-policy", "--for", "import", "--partition", "aws-us-gov"]), "");
        assert!(told(&["run", "--log", "infoo"]).contains("is no level (error, warn, info, debug, trace)"));
        for filter in ["debug", "off", "info,arnkeeper::aws=debug"] {
            assert_eq!(told(&["run", "--log", filter]), "");
        }
        for flag in ["--drift-interval", "--leader-elect-retry-period"] {
            let duration = told(&["run", flag, "5"]);
            assert!(duration.contains("such as 24h, 30m or 15s"), "{duration}");
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
