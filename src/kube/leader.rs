//! Leader election: what [`super::lease`] decides, said to the API server; and the mandate under which work is begun.

use super::lease::{Candidate, Next, Record, Terms};
use crate::{clock::Clock, probes::Pulse};
use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// Whether this process may begin work now. By the monotonic clock: also a process that was frozen meanwhile knows.
#[derive(Clone, Debug)]
pub struct Mandate(Arc<Held>);

#[derive(Debug)]
struct Held {
    term: Mutex<Term>,
    /// Some work was not begun for want of it.
    turned_away: AtomicBool,
}

#[derive(Clone, Copy, Debug)]
enum Term {
    Always,
    Until(Option<Instant>),
}

impl Mandate {
    /// That of a process which works alone, without a Lease.
    #[must_use]
    pub fn alone() -> Self {
        Self::new(Term::Always)
    }

    /// None, as long as nobody gives one.
    #[must_use]
    pub fn none() -> Self {
        Self::new(Term::Until(None))
    }

    fn new(term: Term) -> Self {
        Self(Arc::new(Held { term: Mutex::new(term), turned_away: AtomicBool::new(false) }))
    }

    /// Whether work may be begun.
    #[must_use]
    pub fn holds(&self) -> bool {
        match *self.0.term.lock().unwrap_or_else(PoisonError::into_inner) {
            Term::Always => true,
            Term::Until(until) => until.is_some_and(|until| Instant::now() < until),
        }
    }

    /// The same, for work that is given up if not: it is remembered, and everything is looked at when the mandate holds again.
    #[must_use]
    pub fn lets(&self) -> bool {
        let lets = self.holds();
        if !lets {
            self.0.turned_away.store(true, Ordering::SeqCst);
        }
        lets
    }

    /// Whether work was turned away since this was asked last.
    fn turned_away(&self) -> bool {
        self.0.turned_away.swap(false, Ordering::SeqCst)
    }

    fn set(&self, until: Option<Instant>) {
        *self.0.term.lock().unwrap_or_else(PoisonError::into_inner) = Term::Until(until);
    }
}

/// The Lease that is wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Who wants it: one process, once.
    pub identity: String,
    /// How long what lasts.
    pub terms: Terms,
}

/// How the election is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing is under way: whoever wants it may have the Lease at once.
    GiveBack,
    /// Something may be under way: the Lease is left to expire.
    LetExpire,
}

/// One process's part in an election.
pub struct Election {
    api: Api<Lease>,
    wanted: Wanted,
    candidate: Candidate,
    mandate: Mandate,
    clock: Arc<dyn Clock>,
    pulse: Pulse,
    /// Whether the mandate held after the last round.
    leads: bool,
    /// Whether the last write was answered: nobody else wrote after it, or the next one meets a conflict.
    certain: bool,
    /// The last trouble, which is told once.
    trouble: Option<String>,
}

impl Election {
    /// A candidate for a Lease.
    #[must_use]
    pub fn new(client: Client, wanted: Wanted, mandate: Mandate, clock: Arc<dyn Clock>, pulse: Pulse) -> Self {
        let api = Api::namespaced(client, &wanted.namespace);
        let candidate = Candidate::new(wanted.identity.clone(), wanted.terms);
        Self { api, wanted, candidate, mandate, clock, pulse, leads: false, certain: false, trouble: None }
    }

    /// Takes part until `end`, or until the Lease went to another: then returns who has it.
    ///
    /// `began` is told each time that the mandate begins, with [`Candidate::former`].
    pub async fn run(mut self, began: impl Fn(Option<Timestamp>), mut end: oneshot::Receiver<End>) -> Option<String> {
        loop {
            self.pulse.beat();
            let lost = self.round().await;
            let leads = self.mandate.holds();
            // The mandate may have ended and begun again within the round.
            let turned_away = leads && self.mandate.turned_away();
            if leads && !self.leads {
                tracing::info!(lease = self.wanted.name, identity = self.wanted.identity, "this replica leads");
                began(self.candidate.former());
            } else if turned_away {
                tracing::warn!(
                    lease = self.wanted.name,
                    "the Lease was renewed late: what was not begun meanwhile is begun now"
                );
                began(self.candidate.former());
            } else if self.leads && !leads {
                tracing::error!(
                    lease = self.wanted.name,
                    "the Lease could not be renewed in time: no work is begun until it can be"
                );
            }
            self.leads = leads;
            if let Some(other) = lost {
                return Some(other);
            }
            tokio::select! {
                how = &mut end => {
                    if how == Ok(End::GiveBack) {
                        self.give_back().await;
                    }
                    return None;
                }
                () = tokio::time::sleep(self.wanted.terms.retry_period) => {}
            }
        }
    }

    /// One attempt to get or to renew the Lease; returns who has it instead, if it was ours before.
    async fn round(&mut self) -> Option<String> {
        // Whose last write was answered need not look before the next one.
        if !self.certain
            && let Some(ended) = self.look().await
        {
            return ended;
        }
        if self.claim().await {
            return None;
        }
        // Somebody else wrote, or an earlier write of ours arrived without an answer.
        self.look().await.flatten()
    }

    /// Looks at the Lease. None: it may be claimed; else this round is over, and the one inside has it, if it was ours before.
    async fn look(&mut self) -> Option<Option<String>> {
        let found = match self.bounded(self.api.get_opt(&self.wanted.name)).await {
            Ok(lease) => lease.map(|lease| record(&lease)),
            Err(error) => {
                self.failed(&error);
                return Some(None);
            }
        };
        let before = self.candidate.holder().map(str::to_owned);
        match self.candidate.see(found, Instant::now(), self.clock.now()) {
            Next::Claim => None,
            Next::Wait => {
                self.trouble = None;
                let holder = self.candidate.holder();
                if before.as_deref() != holder {
                    tracing::info!(lease = self.wanted.name, holder, "another replica leads: this one stands by");
                }
                Some(None)
            }
            Next::Lost => {
                self.mandate.set(None);
                Some(Some(self.candidate.holder().unwrap_or("nobody").to_owned()))
            }
        }
    }

    /// Claims or renews the Lease; whether that is all for this round.
    async fn claim(&mut self) -> bool {
        let claim = self.candidate.claim(self.clock.now());
        let sent = Instant::now();
        match self.bounded(self.write(&claim)).await {
            Ok(stored) => {
                self.candidate.won(record(&stored), sent);
                self.mandate.set(self.candidate.until());
                (self.certain, self.trouble) = (true, None);
            }
            Err(kube::Error::Api(status))
                if status.is_conflict() || status.is_already_exists() || status.is_not_found() =>
            {
                self.certain = false;
                return false;
            }
            Err(error) => {
                self.certain = false;
                self.failed(&error);
            }
        }
        true
    }

    async fn write(&self, claim: &Record) -> Result<Lease, kube::Error> {
        let lease = self.lease(claim);
        match &claim.version {
            Some(_) => self.api.replace(&self.wanted.name, &PostParams::default(), &lease).await,
            None => self.api.create(&PostParams::default(), &lease).await,
        }
    }

    async fn give_back(&mut self) {
        // From here on the next leader may begin.
        self.mandate.set(None);
        let Some(record) = self.candidate.given_back(self.clock.now()) else { return };
        match self.bounded(self.write(&record)).await {
            Ok(_) => tracing::info!(lease = self.wanted.name, "the Lease is given back"),
            Err(error) => {
                tracing::warn!(lease = self.wanted.name, %error, "the Lease could not be given back; it expires by itself");
            }
        }
    }

    async fn bounded<T>(&self, call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, kube::Error> {
        let most = self.wanted.terms.renew_deadline / 2;
        let late = || io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} ms", most.as_millis()));
        tokio::time::timeout(most, call).await.unwrap_or_else(|_| Err(kube::Error::Service(Box::new(late()))))
    }

    fn failed(&mut self, error: &kube::Error) {
        let trouble = error.to_string();
        if self.trouble.as_ref() != Some(&trouble) {
            let (namespace, lease) = (&self.wanted.namespace, &self.wanted.name);
            tracing::warn!(
                namespace,
                lease,
                error = trouble,
                leads = self.leads,
                "the Lease can't be read or written; tried again. Without it nothing is worked on"
            );
            self.trouble = Some(trouble);
        }
    }

    fn lease(&self, record: &Record) -> Lease {
        let metadata = ObjectMeta {
            name: Some(self.wanted.name.clone()),
            namespace: Some(self.wanted.namespace.clone()),
            resource_version: record.version.clone(),
            ..ObjectMeta::default()
        };
        let spec = LeaseSpec {
            holder_identity: record.holder.clone(),
            lease_duration_seconds: i32::try_from(record.duration.as_secs()).ok(),
            acquire_time: Some(MicroTime(record.acquired)),
            renew_time: Some(MicroTime(record.renewed)),
            lease_transitions: Some(record.transitions),
            ..LeaseSpec::default()
        };
        Lease { metadata, spec: Some(spec) }
    }
}

/// What a Lease says; what is missing in it makes nobody wait for less than the candidates' own terms.
fn record(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    let time = |time: Option<MicroTime>| time.map_or(Timestamp::MAX, |time| time.0);
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or_default();
    Record {
        holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
        duration: Duration::from_secs(seconds),
        acquired: time(spec.acquire_time),
        renewed: time(spec.renew_time),
        transitions: spec.lease_transitions.unwrap_or_default(),
        version: lease.metadata.resource_version.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mandate_ends_by_itself() {
        assert!(Mandate::alone().holds());
        let mandate = Mandate::none();
        assert!(!mandate.holds());
        mandate.set(Some(Instant::now() + Duration::from_hours(1)));
        assert!(mandate.holds());
        mandate.set(Some(Instant::now()));
        assert!(!mandate.holds());
    }

    #[test]
    fn what_is_turned_away_is_remembered_once_even_if_the_mandate_holds_again_by_then() {
        let mandate = Mandate::none();
        assert!(!mandate.holds() && !mandate.turned_away(), "nothing was to be begun");
        assert!(!mandate.lets());
        mandate.set(Some(Instant::now() + Duration::from_hours(1)));
        assert!(mandate.lets() && mandate.turned_away() && !mandate.turned_away());
    }

    #[test]
    fn a_lease_that_says_little_is_read_with_care() {
        let lease: Lease = serde_json::from_value(serde_json::json!({ "metadata": { "resourceVersion": "5" },
            "spec": { "holderIdentity": "" } }))
        .unwrap();
        let record = record(&lease);
        assert_eq!((record.holder, record.renewed), (None, Timestamp::MAX));
        assert_eq!((record.duration, record.version.as_deref()), (Duration::ZERO, Some("5")));
    }
}
