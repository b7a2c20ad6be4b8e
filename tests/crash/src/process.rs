//! The operator's processes.

use crate::stand::{Answer, Stand, until, words};
use fault_proxy::{Config, Proxy, Scope, log::Entry, victim::Victim};
use std::{
    fs::OpenOptions,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::process::{Child, Command};

/// An operator that sees some AwsAccounts, by a label, and one namespace, with a proxy before each of its servers. It may be started
/// again and again; its processes write one log.
pub struct Operator {
    /// The proxy before the API server.
    pub kubernetes: Proxy,
    /// The proxy before AWS.
    pub aws: Proxy,
    /// How many processes there were.
    pub lives: u32,
    /// What is given to each process besides the usual.
    pub flags: Vec<String>,
    child: Option<Child>,
    programs: PathBuf,
    config: PathBuf,
    /// Where its processes log.
    pub log: PathBuf,
    namespace: String,
    name: String,
}

impl Operator {
    /// Its proxies; the process is not started yet.
    pub async fn new(stand: &Stand, aws_url: &str, namespace: &str, accounts: &str, name: &str) -> Answer<Self> {
        let scope = Some(Scope { accounts: accounts.to_owned(), namespace: namespace.to_owned() });
        let server = stand.server.clone();
        let to_kubernetes = Config { server, authorities: stand.authorities.clone(), victim: Victim::Nobody, scope };
        let kubernetes = Proxy::start(to_kubernetes).await.map_err(words)?;
        let to_aws = Config { server: aws_url.to_owned(), ..Config::default() };
        let aws = Proxy::start(to_aws).await.map_err(words)?;
        let config = stand.folder.join(format!("{namespace}-{name}.kubeconfig"));
        let cluster = format!("cluster: {{server: \"{}\"}}", kubernetes.url());
        let lines = stand.service_account.lines().map(|line| match line.split_once("cluster: {server:") {
            Some((before, after)) => format!("{before}{cluster}{}", after.split_once('}').map_or("", |(_, rest)| rest)),
            None => line.to_owned(),
        });
        std::fs::write(&config, lines.collect::<Vec<_>>().join("\n")).map_err(words)?;
        Ok(Self {
            kubernetes,
            aws,
            lives: 0,
            flags: Vec::new(),
            child: None,
            programs: stand.programs.clone(),
            log: stand.folder.join(format!("{namespace}-{name}.log")),
            config,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }

    /// Starts a process; it may die before it is ready.
    pub fn start(&mut self) -> Answer<()> {
        let log = OpenOptions::new().create(true).append(true).open(&self.log).map_err(words)?;
        let child = Command::new(self.programs.join("arnkeeper"))
            // Nothing runs beside it, and a killed one need not be waited for until its Lease is over.
            .args(["run", "--leader-elect=false"])
            .args(&self.flags)
            .env("KUBECONFIG", &self.config)
            .env("AWS_ENDPOINT_URL", self.aws.url())
            .env("POD_NAMESPACE", &self.namespace)
            .env("POD_NAME", &self.name)
            .env("ARNKEEPER_LISTEN", "127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("arnkeeper: {error}"))?;
        let id = child.id().and_then(|id| i32::try_from(id).ok()).ok_or("a process without an id")?;
        for proxy in [&self.kubernetes, &self.aws] {
            proxy.set_victim(Victim::Id(id));
        }
        self.child = Some(child);
        self.lives += 1;
        Ok(())
    }

    /// How the process ended, if it did.
    pub fn ended(&mut self) -> Answer<Option<ExitStatus>> {
        self.child.as_mut().map_or(Ok(None), |child| child.try_wait().map_err(words))
    }

    /// Starts it again if a rule killed it; any other end is a fault of the operator.
    pub fn keep_alive(&mut self) -> Answer<()> {
        use std::os::unix::process::ExitStatusExt as _;
        match self.ended()? {
            None => Ok(()),
            Some(status) if status.signal() == Some(9) => self.start(),
            Some(status) => Err(format!("the operator ended by itself: {status}; see {}", self.log.display())),
        }
    }

    /// Kills the process, whatever it does.
    pub async fn kill(&mut self) -> Answer<()> {
        match &mut self.child {
            Some(child) => child.kill().await.map_err(words),
            None => Ok(()),
        }
    }

    /// The numbers of the last calls but of renewals of a Lease: to the API server, and to AWS.
    pub fn count(&self) -> (u64, u64) {
        let is_work = |entry: &&Entry| !entry.call.template.contains("/leases");
        let last = |proxy: &Proxy| proxy.log(0).iter().rfind(is_work).map_or(0, |entry| entry.seq);
        (last(&self.kubernetes), last(&self.aws))
    }

    /// Waits until the process has called nobody for a while.
    pub async fn settle(&self, quiet: Duration, within: Duration) -> Answer<()> {
        let mut last = (self.count(), tokio::time::Instant::now());
        until("the operator is at rest", within, async || {
            let now = self.count();
            if now != last.0 {
                last = (now, tokio::time::Instant::now());
            }
            Ok((last.1.elapsed() >= quiet).then_some(()))
        })
        .await
    }
}
