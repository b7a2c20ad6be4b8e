//! What the process tells Prometheus of itself: counters kept here, and gauges that are read from the stores at each
//! scrape ([`objects`]), so that nothing of a deleted object is left behind.
//!
//! Names and labels are an interface: `docs/metrics.md` lists them, and a test holds it to them.

mod measured;
pub mod objects;
mod served;
#[cfg(test)]
mod tests;

pub use measured::Measured;
pub use served::{Scrape, router};

use crate::aws::error::{AwsError, Kind};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::Registry,
};
use std::{
    borrow::Cow,
    collections::HashSet,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// All names begin with it.
pub const PREFIX: &str = "arnkeeper";
/// The kinds that are reconciled.
const KINDS: [&str; 3] = ["AwsAccount", "Certificate", "CertificateRequest"];
/// The kinds that are watched.
const WATCHED: [&str; 4] = ["AwsAccount", "Certificate", "CertificateRequest", "Secret"];
/// Why a new revision of a Certificate is issued; as in `status.history[].trigger`.
const TRIGGERS: [&str; 9] = [
    "Adopted",
    "Issued",
    "ManagedRenewal",
    "Renewal",
    "RenewalOutsideWindow",
    "Requested",
    "Restored",
    "SecretLost",
    "SpecChanged",
];

/// How a reconcile ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The object rests.
    Settled,
    /// Somebody else changed the object meanwhile.
    Conflict,
    /// The API server refused a write for good; the object's status tells it.
    Refused,
    /// The API server did not answer as it should.
    Error,
    /// A fault of this program.
    Fault,
}

impl Outcome {
    const ALL: [Self; 5] = [Self::Settled, Self::Conflict, Self::Refused, Self::Error, Self::Fault];

    /// Of a pass: whether it failed, and then whether by a conflict.
    #[must_use]
    pub fn of(conflict: Option<bool>) -> Self {
        match conflict {
            None => Self::Settled,
            Some(true) => Self::Conflict,
            Some(false) => Self::Error,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::Conflict => "conflict",
            Self::Refused => "refused",
            Self::Error => "error",
            Self::Fault => "fault",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    kind: Cow<'static, str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reconciled {
    kind: Cow<'static, str>,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    method: &'static str,
    code: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Called {
    account: String,
    region: String,
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOperation {
    operation: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Imported {
    r#type: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Renewed {
    trigger: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Version {
    version: &'static str,
}

type Timed<L> = Family<L, Histogram, fn() -> Histogram>;

/// 5 ms to 80 s: a converged object takes no time, an import under way some seconds, an API server that is away longer.
fn durations() -> Histogram {
    Histogram::new(exponential_buckets(0.005, 2.0, 15))
}

/// All metrics that are kept as things happen.
pub struct Metrics {
    registry: Registry,
    reconciles: Family<Reconciled, Counter>,
    durations: Timed<Reconciled>,
    running: Family<OfKind, Gauge>,
    asked: Family<Asked, Counter>,
    restarts: Family<OfKind, Counter>,
    calls: Family<Called, Counter>,
    /// What `calls` holds: a family does not tell.
    called: Mutex<HashSet<Called>>,
    latencies: Timed<OfOperation>,
    waits: Timed<OfOperation>,
    issues: Family<Ended, Counter>,
    unanswered: Counter,
    imports: Family<Imported, Counter>,
    renewals: Family<Renewed, Counter>,
    duplicates: Family<Ended, Counter>,
    leader: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All of them; those whose labels are known beforehand stand at 0 from the start, so that their first rise is seen.
    #[must_use]
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix(PREFIX),
            reconciles: Family::default(),
            durations: Family::new_with_constructor(durations),
            running: Family::default(),
            asked: Family::default(),
            restarts: Family::default(),
            calls: Family::default(),
            called: Mutex::default(),
            latencies: Family::new_with_constructor(durations),
            waits: Family::new_with_constructor(durations),
            issues: Family::default(),
            unanswered: Counter::default(),
            imports: Family::default(),
            renewals: Family::default(),
            duplicates: Family::default(),
            leader: Gauge::default(),
        };
        metrics.register();
        metrics.begin_at_zero();
        metrics
    }

    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("build", "1, with the version that runs", Info::new(Version { version: env!("CARGO_PKG_VERSION") }));
        r.register("leader", "1 if this process is the one that works, 0 if it stands by", self.leader.clone());
        r.register("reconciles", "Reconciles that ended; those with nothing to do are not counted. outcome is settled, conflict (somebody else changed the object meanwhile), refused (the API server refuses a write for good), error (it did not answer as it should) or fault (of arnkeeper itself)", self.reconciles.clone());
        r.register("reconcile_duration_seconds", "How long a reconcile took", self.durations.clone());
        r.register("reconciles_running", "Reconciles that are under way", self.running.clone());
        r.register(
            "kubernetes_requests",
            "Requests to the API server, but for watches. code is the HTTP status, or none where no answer came",
            self.asked.clone(),
        );
        r.register("watch_restarts", "Watches that broke off and were opened again; one that ends by itself, as each does within a minute, is not counted", self.restarts.clone());
        r.register("aws_calls", "Calls to AWS through an AwsAccount; a list of many pages is one call. outcome is success or what was wrong: throttled, deferred (a further page waits for its turn), transient, credentials, access_denied, not_found, in_use, refused, limit_exceeded, conflict", self.calls.clone());
        r.register(
            "aws_call_duration_seconds",
            "How long a call to AWS took, with its retries",
            self.latencies.clone(),
        );
        r.register(
            "pacer_wait_seconds",
            "How long a call waited for its turn by the quotas of AWS, from when it was wanted first; while that is far, its object comes back for it",
            self.waits.clone(),
        );
        r.register("issues", "Answers to IssueCertificate. outcome is issued, refused, or unknown (no answer came: it may have been paid for)", self.issues.clone());
        r.register("unanswered_issue_attempts", "Attempts to issue that came to an end without an ARN, so that another one began: each may have been paid for", self.unanswered.clone());
        r.register("imports", "Answers to ImportCertificate. type is new (under a new ARN) or reimport; outcome is imported, failed, or unknown (no answer came)", self.imports.clone());
        r.register("renewals", "New revisions of Certificates, by what asked for them (Issued is a first one, Adopted one that takes over an ARN). outcome is completed, or stalled (it waits for a person; counted each time it begins to)", self.renewals.clone());
        r.register("duplicate_arns", "ARNs in ACM that were found to carry the tags of a target which has another one. outcome is removed, or failed (the deletion, which is tried again)", self.duplicates.clone());
    }

    fn begin_at_zero(&self) {
        for kind in KINDS {
            drop(self.running.get_or_create(&OfKind { kind: kind.into() }));
            for outcome in Outcome::ALL {
                let labels = Reconciled { kind: kind.into(), outcome: outcome.name() };
                drop(self.reconciles.get_or_create(&labels));
                drop(self.durations.get_or_create(&labels));
            }
        }
        for kind in WATCHED {
            drop(self.restarts.get_or_create(&OfKind { kind: kind.into() }));
        }
        for outcome in ["removed", "failed"] {
            drop(self.duplicates.get_or_create(&Ended { outcome }));
        }
        for outcome in ["issued", "refused", "unknown"] {
            drop(self.issues.get_or_create(&Ended { outcome }));
        }
        for (r#type, outcome) in ["new", "reimport"].iter().flat_map(|t| IMPORTS.map(|o| (*t, o))) {
            drop(self.imports.get_or_create(&Imported { r#type, outcome }));
        }
        for (trigger, outcome) in TRIGGERS.iter().flat_map(|t| RENEWALS.map(|o| (*t, o))) {
            drop(self.renewals.get_or_create(&Renewed { trigger, outcome }));
        }
    }

    /// A reconcile begins; it ends with what is returned.
    #[must_use]
    pub fn reconcile(&self, kind: Cow<'static, str>) -> Running<'_> {
        self.running.get_or_create(&OfKind { kind: kind.clone() }).inc();
        Running { metrics: self, kind, began: Instant::now(), outcome: Outcome::Fault }
    }

    /// The API server answered a request, or did not.
    pub fn asked(&self, method: &http::Method, code: Option<http::StatusCode>) {
        let code = code.map_or_else(|| "none".to_owned(), |code| code.as_u16().to_string());
        self.asked.get_or_create(&Asked { method: method_name(method), code }).inc();
    }

    /// A watch broke off.
    pub fn watch_broke(&self, kind: Cow<'static, str>) {
        self.restarts.get_or_create(&OfKind { kind }).inc();
    }

    /// AWS answered a call through an account, or did not.
    pub fn called(
        &self,
        account: &str,
        region: &str,
        operation: &'static str,
        error: Option<&AwsError>,
        took: Duration,
    ) {
        let labels = |outcome| Called { account: account.into(), region: region.into(), operation, outcome };
        let outcome = error.map_or("success", |error| outcome_of(error.kind));
        {
            let mut called = self.called.lock().unwrap_or_else(PoisonError::into_inner);
            // What alerts ask for begins at zero.
            for outcome in ["success", "throttled", "limit_exceeded", outcome] {
                let labels = labels(outcome);
                if !called.contains(&labels) {
                    drop(self.calls.get_or_create(&labels));
                    called.insert(labels);
                }
            }
            self.calls.get_or_create(&labels(outcome)).inc();
        }
        self.latencies.get_or_create(&OfOperation { operation }).observe(took.as_secs_f64());
    }

    /// Forgets the calls through accounts that are gone.
    pub fn retain_accounts(&self, lives: impl Fn(&str) -> bool) {
        let mut called = self.called.lock().unwrap_or_else(PoisonError::into_inner);
        called.retain(|labels| lives(&labels.account) || !self.calls.remove(labels));
    }

    /// A call waited so long for its turn.
    fn waited_for_turn(&self, operation: &'static str, wait: Duration) {
        self.waits.get_or_create(&OfOperation { operation }).observe(wait.as_secs_f64());
    }

    /// IssueCertificate was answered, or not.
    pub fn issued(&self, error: Option<&AwsError>) {
        let outcome = match error.map(|error| error.kind) {
            None => "issued",
            Some(Kind::Transient) => "unknown",
            Some(_) => "refused",
        };
        self.issues.get_or_create(&Ended { outcome }).inc();
    }

    /// An attempt to issue ended without an ARN, and may have been paid for.
    pub fn issue_unanswered(&self) {
        self.unanswered.inc();
    }

    /// ImportCertificate was answered, or not.
    pub fn imported(&self, new: bool, error: Option<&AwsError>) {
        let r#type = if new { "new" } else { "reimport" };
        let outcome = match error.map(|error| error.kind) {
            None => "imported",
            Some(Kind::Transient) => "unknown",
            Some(_) => "failed",
        };
        self.imports.get_or_create(&Imported { r#type, outcome }).inc();
    }

    /// A new revision of a Certificate is in place, or waits for a person.
    pub fn renewed(&self, trigger: &str, completed: bool) {
        // What stands in a status may have been written by anybody.
        let trigger = TRIGGERS.into_iter().find(|known| *known == trigger).unwrap_or("Restored");
        let outcome = if completed { "completed" } else { "stalled" };
        self.renewals.get_or_create(&Renewed { trigger, outcome }).inc();
    }

    /// A second ARN with a target's tags was to be deleted, and was or was not.
    pub fn duplicate(&self, removed: bool) {
        self.duplicates.get_or_create(&Ended { outcome: if removed { "removed" } else { "failed" } }).inc();
    }

    /// Whether this process is the one that works.
    pub fn leads(&self, leads: bool) {
        self.leader.set(leads.into());
    }
}

const IMPORTS: [&str; 3] = ["imported", "failed", "unknown"];
const RENEWALS: [&str; 2] = ["completed", "stalled"];

fn outcome_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Throttled => "throttled",
        // A further page of a list.
        Kind::NotYourTurn(_) => "deferred",
        Kind::Transient => "transient",
        Kind::Credentials => "credentials",
        Kind::AccessDenied => "access_denied",
        Kind::NotFound => "not_found",
        Kind::InUse => "in_use",
        Kind::Refused => "refused",
        Kind::LimitExceeded => "limit_exceeded",
        Kind::Conflict => "conflict",
    }
}

fn method_name(method: &http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        _ => "other",
    }
}

/// A reconcile that is under way. Dropped before it was told how it ended, it was a fault.
pub struct Running<'a> {
    metrics: &'a Metrics,
    kind: Cow<'static, str>,
    began: Instant,
    outcome: Outcome,
}

impl Running<'_> {
    /// This is how it ends.
    pub fn ends(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.metrics.running.get_or_create(&OfKind { kind: self.kind.clone() }).dec();
        let labels = Reconciled { kind: self.kind.clone(), outcome: self.outcome.name() };
        self.metrics.reconciles.get_or_create(&labels).inc();
        self.metrics.durations.get_or_create(&labels).observe(self.began.elapsed().as_secs_f64());
    }
}
