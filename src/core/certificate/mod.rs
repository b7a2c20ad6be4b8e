//! Decides about a Certificate: issued, kept, delivered to ACM, renewed under the ARN it has.

mod deletion;
pub mod delivery;
mod issuing;
mod preflight;
pub mod renewal;
mod search;
mod status;
#[cfg(test)]
mod tests;
pub mod wanted;
pub use issuing::{SLOTS, request_name, staged_name, still_wanted};
pub mod write;
pub use delivery::RECORD_FRESH;

use super::{
    Decision,
    access::{Access, Labels, Refusal, access},
    authority::KnownAuthority,
    backoff::{FOR_A_PERSON, Failure},
    request::{LONG, PATIENCE},
    secret::{Claim, KeyPair, SecretObject},
};
use crate::{
    api::{
        AwsAccount, Certificate, CertificateRequest, RENEW_ANNOTATION,
        certificate::{CertificateStatus, DeletionPolicy, Target, TargetStatus},
        names::{AccountId, CertificateArn, Region},
        shared::Tags,
    },
    aws::port::{Description, Summary},
    pki::{algorithm::KeyAlgorithm, certificate::Serial},
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// The finalizer, there only while something in AWS has to be undone.
pub const FINALIZER: &str = "arnkeeper.dev/acm";
/// The Secret in use is read again after about this long (nothing may watch the Secrets of a whole cluster).
const SECRET_INTERVAL: SignedDuration = SignedDuration::from_mins(30);

/// No Certificate gets so many revisions in earnest.
const MOST_REVISIONS: i64 = 1_000_000_000;

/// A revision that was read is a hint that somebody may have written; 0 if it can't be.
fn believed(revision: Option<i64>) -> i64 {
    revision.filter(|r| (0..=MOST_REVISIONS).contains(r)).unwrap_or(0)
}

/// What was seen of a Certificate and around it. `None`, or an absent key, means: not looked at yet.
pub struct Observed {
    /// The Certificate, as it was read or written last.
    pub certificate: Arc<Certificate>,
    /// The `clusterId`: it stands in the tags of what is ours in ACM.
    pub cluster: String,
    /// The accounts that it names, by name; none: there is no such account.
    pub accounts: BTreeMap<String, Option<Arc<AwsAccount>>>,
    /// The labels of its namespace.
    pub namespace_labels: Option<Labels>,
    /// Whether the namespace is being deleted. Looked at in a deletion only.
    pub namespace_ends: bool,
    /// Whether the accounts let us in, by name.
    pub sessions: BTreeMap<String, Result<AccountId, Refusal>>,
    /// The CA.
    pub authority: Option<Result<KnownAuthority, Refusal>>,
    /// The Secret, if there is one.
    pub secret: Option<Option<SecretObject>>,
    /// What the Secret holds; parsed once, when it was read.
    pub pair: Option<Result<KeyPair, String>>,
    /// Another Certificate that claims the same Secret and came first.
    pub claimed_by: Option<String>,
    /// Requests by revision, those near the current one.
    pub requests: BTreeMap<i64, Arc<CertificateRequest>>,
    /// Staged keys, by revision.
    pub staged: BTreeMap<i64, Option<SecretObject>>,
    /// What was seen of the targets, by name.
    pub targets: BTreeMap<String, TargetObserved>,
    /// What this process remembers of it.
    pub memory: Memory,
    /// A call of this pass failed that belongs to no target; `memory.failure` tells how.
    pub failed: bool,
}

impl Observed {
    /// The Certificate's name.
    #[must_use]
    pub fn name(&self) -> String {
        self.certificate.name_any()
    }

    /// The Certificate's uid.
    #[must_use]
    pub fn uid(&self) -> String {
        self.certificate.uid().unwrap_or_default()
    }

    /// The Certificate's namespace.
    #[must_use]
    pub fn namespace(&self) -> String {
        self.certificate.namespace().unwrap_or_default()
    }

    /// The last revision that is known to have been finished.
    #[must_use]
    pub fn base_revision(&self) -> i64 {
        let stored = self.certificate.status.as_ref().and_then(|s| s.revision);
        let secret = self.own_secret().and_then(SecretObject::revision);
        believed(stored).max(believed(secret))
    }

    /// The Secret, if it is ours or offered to us.
    fn own_secret(&self) -> Option<&SecretObject> {
        let secret = self.secret.as_ref()?.as_ref()?;
        (secret.claim_of_certificate(&self.name()) != Claim::Foreign).then_some(secret)
    }

    /// The usable certificate in our Secret; what a foreign one holds is none of ours.
    #[must_use]
    pub fn current(&self) -> Option<&KeyPair> {
        self.own_secret()?;
        self.pair.as_ref()?.as_ref().ok()
    }

    /// Where a target lies: its account's name and its region.
    #[must_use]
    pub fn place<'a>(&'a self, target: &'a Target) -> (&'a str, &'a Region) {
        let spec = &self.certificate.spec;
        let account = target.account_ref.as_ref().unwrap_or(&spec.account_ref);
        (&account.name, target.region.as_ref().unwrap_or(&spec.region))
    }

    /// Whether a renewal keeps the target's ARN.
    #[must_use]
    pub fn keeps_arn(&self, target: &Target) -> bool {
        let (account, _) = self.place(target);
        let default = self.accounts.get(account).and_then(|a| a.as_ref()).is_none_or(|a| a.spec.reimport);
        target.reimport.unwrap_or(default)
    }
}

/// What was seen of one target.
#[derive(Clone, Debug, Default)]
pub struct TargetObserved {
    /// What ACM has that could be ours.
    pub lookup: Option<Lookup>,
    /// The tags of the ARN; `Some(None)`: there is no such ARN any more.
    pub tags: Option<Option<Tags>>,
    /// What ACM has under the ARN; `Some(None)`: nothing.
    pub installed: Option<Option<Installed>>,
    /// How long until it is this target's turn to be imported.
    pub turn: Option<SignedDuration>,
    /// DER of the certificate itself, as ACM has it; `Some(None)`: nothing that can be read.
    pub body: Option<Option<Vec<u8>>>,
    /// How long ago this process stored the record of the import to come, by the monotonic clock.
    pub record_age: Option<Duration>,
    /// When this process last began an import without an ARN whose answer it does not know. It outlives status and uid.
    pub begun: Option<Timestamp>,
    /// A call of this pass for this target failed; its failure is in memory.
    pub failed: bool,
}

/// What a look at ACM gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Certificates that share a name with ours, with their tags.
    Found(Vec<(Summary, Tags)>),
    /// A list that is new enough may be made only then.
    NotYet(Timestamp),
}

/// What ACM has under an ARN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// What DescribeCertificate tells.
    pub description: Description,
    /// The serial number; read from the certificate itself where Describe tells none.
    pub serial: Option<Serial>,
}

/// What a process remembers of a Certificate between passes. Losing it is harmless.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// What was imported and is not stored yet, by target.
    pub imported: BTreeMap<String, Imported>,
    /// The records whose import AWS refused, by target: nothing was made, so the next needs no wait.
    pub refused: BTreeMap<String, Option<Time>>,
    /// The last failures, by target.
    pub target_failures: BTreeMap<String, Failure>,
    /// The last failures that belong to no target.
    pub failure: Option<Failure>,
    /// When there was no Secret; while there never was a certificate, that is believed for a moment.
    pub absent: Option<Timestamp>,
    /// The revision whose staged key is known to be gone.
    pub unstaged: Option<i64>,
}

/// An import that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Its ARN.
    pub arn: CertificateArn,
    /// The serial number that was imported.
    pub serial: Serial,
    /// When.
    pub at: Timestamp,
}

/// What to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// The labels of the namespace, and whether it is being deleted.
    Namespace,
    /// Whether this account lets us in.
    Session(String),
    /// The CA.
    Authority,
    /// The Secret.
    Secret,
    /// The staged key of a revision.
    Staged(i64),
    /// What ACM has in a target's place, from a list begun after this time.
    Lookup(String, Timestamp),
    /// The tags of a target's ARN.
    Tags(String, CertificateArn),
    /// What ACM has under a target's ARN.
    Installed(String, CertificateArn),
    /// The certificate itself that ACM has under a target's ARN.
    Body(String, CertificateArn),
    /// When it is a target's turn to be imported, whose certificate in use ends then; none: there is none. A turn that is
    /// near is waited for.
    Turn(String, Option<Timestamp>),
}

/// What to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// The finalizer, there or not.
    Finalizer(bool),
    /// A key and its CSR, in a Secret owned by the Certificate.
    Stage {
        /// The revision.
        revision: i64,
        /// The algorithm of a new key.
        algorithm: KeyAlgorithm,
        /// Take the key that is in the Secret.
        keep_key: bool,
    },
    /// The CertificateRequest of a revision.
    Request {
        /// The revision.
        revision: i64,
        /// Why.
        trigger: &'static str,
    },
    /// Certificate, chain and key of a revision into the Secret.
    Secret(i64),
    /// What the Secret lacks besides: labels, annotations, encoding, owner.
    SecretMetadata,
    /// The staged key of a revision is not needed any more.
    DeleteStaged(i64),
    /// An old request.
    DeleteRequest(String),
    /// ImportCertificate without an ARN.
    ImportNew(String),
    /// ImportCertificate under an ARN.
    Reimport(String, CertificateArn),
    /// Tags to add, and keys to remove.
    Retag(String, CertificateArn, Tags, Vec<String>),
    /// Deletes a certificate in ACM that is ours.
    DeleteFromAcm(String, CertificateArn),
}

/// What comes next, before it is told in conditions.
enum Next {
    Read(Read),
    Write(Write),
    /// Store the status, then go on.
    Save,
    /// Wait, and say nothing: it passes by itself, soon.
    Quiet(SignedDuration),
    /// Wait, and say why.
    Wait(Refusal, SignedDuration),
    /// Wait for a person, and say why.
    Stalled(Refusal, SignedDuration),
    /// Nothing to do until then.
    Settled(SignedDuration),
}

impl Next {
    /// A step, as opposed to a rest.
    fn is_step(&self) -> bool {
        matches!(self, Self::Read(_) | Self::Write(_) | Self::Save)
    }
}

/// One step for a Certificate.
#[must_use]
pub fn decide(o: &Observed, now: Timestamp) -> Decision<CertificateStatus, Read, Write> {
    let before = o.certificate.status.clone().unwrap_or_default();
    let mut after = before.clone();
    if o.certificate.metadata.deletion_timestamp.is_some() {
        let step = deletion::next(o, &mut after, now);
        return Decision { step, status: after, events: vec![] };
    }
    let issuance = issuance(o, now);
    // A renewal that waits does not keep the certificate that is there from its targets.
    let delivery =
        if !issuance.is_step() && delivers(o) { delivery::next(o, &mut after, now) } else { delivery::Outcome::idle() };
    let step = status::tell(o, &before, &mut after, &issuance, delivery, now);
    let events = status::events(&before, &after);
    Decision { step, status: after, events }
}

/// Whether there is a certificate to deliver, and leave to do so.
fn delivers(o: &Observed) -> bool {
    o.certificate.spec.enabled && o.current().is_some() && owned(o)
}

fn owned(o: &Observed) -> bool {
    let secret = o.secret.as_ref().and_then(|s| s.as_ref());
    secret.is_some_and(|s| s.claim_of_certificate(&o.name()) == Claim::Ours)
}

/// The way to a current certificate in the Secret.
fn issuance(o: &Observed, now: Timestamp) -> Next {
    let spec = &o.certificate.spec;
    let wants_finalizer = deletion::needs_finalizer(&o.certificate);
    if wants_finalizer != o.certificate.finalizers().iter().any(|f| f == FINALIZER) {
        return Next::Write(Write::Finalizer(wants_finalizer));
    }
    if o.failed
        && let Some(failure) = &o.memory.failure
    {
        return failed(failure);
    }
    let Some(secret) = &o.secret else { return Next::Read(Read::Secret) };
    if !spec.enabled {
        return Next::Settled(LONG);
    }
    if let Some(next) = secret_is_taken(o, secret.as_ref()) {
        return next;
    }
    if let Some(trigger) = wanted::trigger(o, now) {
        if let Some(why) = secret.as_ref().and_then(SecretObject::takes_nothing) {
            let message = format!("the Secret {:?} can't be written: {why}", spec.secret.name);
            return Next::Stalled(Refusal { reason: "SecretConflict", message }, FOR_A_PERSON);
        }
        if let Some(next) = issuing::brake(o, &trigger, now) {
            return next;
        }
        return match account_in_the_way(o, &spec.account_ref.name, &spec.region, now) {
            Some(next) => next,
            None => issuing::next(o, &trigger, now),
        };
    }
    let revision = o.base_revision();
    let stored = o.certificate.status.as_ref().and_then(|s| s.revision);
    if stored != Some(revision) && o.memory.unstaged != Some(revision) {
        match o.staged.get(&revision) {
            None => return Next::Read(Read::Staged(revision)),
            Some(Some(staged)) if staged.is_owned_by(&o.uid()) => return Next::Write(Write::DeleteStaged(revision)),
            Some(_) => {}
        }
    }
    if write::metadata_differs(o) {
        return Next::Write(Write::SecretMetadata);
    }
    // The current request and the one before it are kept for people to look at.
    if let Some((_, old)) = o.requests.iter().find(|(r, request)| **r <= revision - 2 && issuing::is_ours(o, request)) {
        return Next::Write(Write::DeleteRequest(old.name_any()));
    }
    Next::Settled(rest(o, now))
}

/// Until the renewal, but the Secret is looked at again before.
fn rest(o: &Observed, now: Timestamp) -> SignedDuration {
    let jitter = SECRET_INTERVAL / 1000 * i32::try_from(renewal::per_mille(&o.uid())).unwrap_or(0) / 5;
    let look = SECRET_INTERVAL + jitter;
    let Some(pair) = o.current() else { return look };
    let asked = o.certificate.annotations().get(RENEW_ANNOTATION).and_then(|at| at.parse::<Timestamp>().ok());
    let look = asked.filter(|at| *at > now).map_or(look, |at| look.min(at.duration_since(now)));
    let leaf = &pair.chain.leaf;
    let due = renewal::time(&o.certificate.spec, leaf.not_before, leaf.not_after, &o.uid());
    look.min(due.duration_since(now).max(SignedDuration::from_secs(1)))
}

fn secret_is_taken(o: &Observed, secret: Option<&SecretObject>) -> Option<Next> {
    let name = &o.certificate.spec.secret.name;
    let stalled = |message| Some(Next::Stalled(Refusal { reason: "SecretConflict", message }, FOR_A_PERSON));
    let others = |other: &str| {
        stalled(format!("the Certificate {other:?} keeps the Secret {name:?} already: choose another spec.secret.name"))
    };
    match (secret.map(|s| (s, s.claim_of_certificate(&o.name()))), &o.claimed_by) {
        // What stands in the Secret says whose it is; who came first counts only where nothing does.
        (Some((_, Claim::Ours)), _) | (None | Some((_, Claim::Offered)), None) => None,
        (None | Some((_, Claim::Offered)), Some(other)) => others(other),
        (Some((secret, Claim::Foreign)), _) => match secret.owner() {
            Some(other) => others(other),
            None => stalled(format!(
                "the Secret {name:?} is not this Certificate's and is left alone: choose another spec.secret.name, delete the \
                 Secret, or let it be taken over by its annotation {}: {}",
                crate::api::ADOPT_BY_ANNOTATION,
                o.name()
            )),
        },
    }
}

fn failed(failure: &Failure) -> Next {
    let why = Refusal { reason: failure.reason(), message: failure.error.to_string() };
    if failure.needs_a_person() {
        Next::Stalled(why, failure.wait())
    } else if failure.is_told() {
        Next::Wait(why, failure.wait())
    } else {
        Next::Quiet(failure.wait())
    }
}

/// What stands between this Certificate and an account, if anything.
fn account_in_the_way(o: &Observed, account: &str, region: &Region, now: Timestamp) -> Option<Next> {
    let age = o.certificate.creation_timestamp().map_or(PATIENCE, |t| now.duration_since(t.0));
    let found = o.accounts.get(account).and_then(|a| a.as_deref());
    match access(found, account, &o.namespace(), o.namespace_labels.as_ref(), region) {
        Access::NeedsLabels => Some(Next::Read(Read::Namespace)),
        Access::Refused(_) if age < PATIENCE => Some(Next::Quiet(PATIENCE - age)),
        Access::Refused(why) => Some(Next::Stalled(why, FOR_A_PERSON)),
        Access::Granted => match o.sessions.get(account) {
            None => Some(Next::Read(Read::Session(account.to_owned()))),
            Some(Err(_)) if age < PATIENCE => Some(Next::Quiet(PATIENCE - age)),
            Some(Err(why)) => Some(Next::Stalled(why.clone(), FOR_A_PERSON)),
            Some(Ok(_)) => None,
        },
    }
}

/// The status entry of a target, if there is one.
fn entry<'a>(status: &'a CertificateStatus, name: &str) -> Option<&'a TargetStatus> {
    status.targets.iter().find(|t| t.name == name)
}

/// Whether a target's certificate in ACM goes with the Certificate.
fn deletes(policy: DeletionPolicy) -> bool {
    policy == DeletionPolicy::Delete
}
