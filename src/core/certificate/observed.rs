//! What is seen of a Certificate, what a process remembers of it, and the steps that there are.

use super::{
    SLOTS, adoption, believed,
    held::{self, What},
    published::{PublishedSeen, Unpublished, Version},
};
use crate::{
    api::{
        AwsAccount, Certificate, CertificateRequest,
        certificate::Target,
        names::{AccountId, CertificateArn, Region},
        publish::{ObjectRef, PublishedField},
        shared::Tags,
    },
    aws::port::{Description, Summary},
    core::{
        Event,
        access::{Labels, Refusal},
        authority::KnownAuthority,
        backoff::Failure,
        keystores::Password,
        secret::{Claim, KeyPair, SecretObject},
        spending::{Asked, Spent},
    },
    pki::{algorithm::KeyAlgorithm, certificate::Serial},
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    sync::Arc,
    time::Duration,
};

/// So many revisions before the current one are looked for: a budget has 100 at most, and to look costs next to nothing.
const IN_SIGHT: i64 = 100;

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
    /// The budget of the account that it is issued from is used up.
    pub account_spent: Option<Spent>,
    /// What it asked ACM for of late, as this process knows it.
    pub asked: Asked,
    /// Whether the account's budget has room for what is asked of ACM at this time.
    pub counted: Option<(Timestamp, Result<(), Spent>)>,
    /// Whether the accounts let us in, by name.
    pub sessions: BTreeMap<String, Result<AccountId, Refusal>>,
    /// The CA.
    pub authority: Option<Result<KnownAuthority, Refusal>>,
    /// The Secret, its own or its source, if there is one.
    pub secret: Option<Option<SecretObject>>,
    /// What the Secret holds; parsed once, when it was read.
    pub pair: Option<Result<KeyPair, String>>,
    /// What was exported from ACM in this pass, or why it can't be used.
    pub exported: Option<Result<KeyPair, String>>,
    /// The password of the keystores, or why there is none.
    pub password: Option<Result<Password, String>>,
    /// Another Certificate that claims the same Secret and came first.
    pub claimed_by: Option<String>,
    /// Requests by revision, those near the current one.
    pub requests: BTreeMap<i64, Arc<CertificateRequest>>,
    /// The revisions whose request was read from the API server: the others lack their certificate once signed.
    pub read_requests: BTreeSet<i64>,
    /// Staged keys, by revision.
    pub staged: BTreeMap<i64, Option<SecretObject>>,
    /// What was seen of the targets, by name.
    pub targets: BTreeMap<String, TargetObserved>,
    /// ACM is looked at for drift once in so long; zero: never.
    pub drift_interval: SignedDuration,
    /// What was seen of the objects that ARNs are published to.
    pub published: Vec<(ObjectRef, PublishedSeen)>,
    /// They are looked at once in so long; zero: never.
    pub publish_interval: SignedDuration,
    /// Other AWS accounts that were found to hold a certificate with its serial number.
    pub held_by: BTreeSet<String>,
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

    /// Whether nothing was told of it yet.
    #[must_use]
    pub fn is_untold(&self) -> bool {
        self.certificate.status.as_ref().is_none_or(|s| s.conditions.is_empty())
    }

    /// The last revision that is known to have been finished.
    #[must_use]
    pub fn base_revision(&self) -> i64 {
        held::held(self).revision
    }

    /// The revisions whose requests are looked at: those that may be worked on, and before them those that count for the budget.
    /// An annotation that was edited takes none of them out of sight, nor do revisions without a request, as a source has them.
    #[must_use]
    pub fn in_sight(&self) -> RangeInclusive<i64> {
        let base = self.base_revision();
        let stored = believed(self.certificate.status.as_ref().and_then(|s| s.revision));
        let sure = if stored == 0 { base - SLOTS } else { stored.min(base) };
        (sure - IN_SIGHT).max(1)..=base + SLOTS
    }

    /// The Secret, if it is ours or offered to us; a source is neither.
    pub(super) fn own_secret(&self) -> Option<&SecretObject> {
        let secret = self.secret.as_ref()?.as_ref()?;
        if self.certificate.spec.source_secret().is_some() {
            return None;
        }
        (secret.claim_of_certificate(&self.name()) != Claim::Foreign).then_some(secret)
    }

    /// An account lets us in as this AWS account. False: it was another one before in this pass, since its credentials were changed
    /// meanwhile; then all that was seen there says nothing, and is forgotten.
    pub fn is_still(&mut self, account: &str, id: &AccountId) -> bool {
        if self.sessions.get(account).is_none_or(|known| known.as_ref().is_ok_and(|known| known == id)) {
            return true;
        }
        self.sessions.remove(account);
        self.authority = None;
        self.exported = None;
        self.targets.values_mut().for_each(|seen| *seen = TargetObserved::default());
        false
    }

    /// The usable certificate in our Secret, or in that of its source; what another foreign one holds is none of ours, nor is
    /// what somebody put into ours.
    #[must_use]
    pub fn current(&self) -> Option<&KeyPair> {
        if self.certificate.spec.source_secret().is_none() {
            self.own_secret()?;
        }
        let pair = self.pair.as_ref()?.as_ref().ok()?;
        (held::held(self).what == What::Right).then_some(pair)
    }

    /// A request is gone, and with it, soon, the staged key that it owns.
    pub fn forget_request(&mut self, name: &str) {
        let gone = self.requests.values().find(|request| request.name_any() == name).and_then(|request| request.uid());
        self.requests.retain(|_, request| request.name_any() != name);
        for (revision, staged) in &mut self.staged {
            let with_it = |staged: &SecretObject| gone.as_ref().is_some_and(|uid| staged.is_owned_by(uid));
            if staged.as_ref().is_some_and(with_it) {
                *staged = None;
                self.memory.unstaged = Some(*revision);
            }
        }
    }

    /// Where a target lies: its account's name and its region.
    #[must_use]
    pub fn place<'a>(&'a self, target: &'a Target) -> (&'a str, &'a Region) {
        let spec = &self.certificate.spec;
        let account = target.account_ref.as_ref().unwrap_or(&spec.account_ref);
        (&account.name, target.region.as_ref().unwrap_or(&spec.region))
    }

    /// Whether ACM issues it, holds its key and renews it.
    #[must_use]
    pub fn is_managed(&self) -> bool {
        self.certificate.spec.source.acm_managed.is_some()
    }

    /// Whether a renewal keeps the target's ARN.
    #[must_use]
    pub fn keeps_arn(&self, target: &Target) -> bool {
        if self.is_managed() {
            return true;
        }
        let (account, _) = self.place(target);
        let default = self.accounts.get(account).and_then(|a| a.as_ref()).is_none_or(|a| a.spec.reimport);
        let stored = self.certificate.status.as_ref().and_then(|s| super::entry(s, &target.name));
        target.reimport.unwrap_or(default || adoption::keeps_arn(target, stored))
    }
}

/// What was seen of one target.
#[derive(Clone, Debug, Default)]
pub struct TargetObserved {
    /// What ACM has that could be ours.
    pub lookup: Option<Lookup>,
    /// The ARN that tags, certificate and body were seen of.
    pub about: Option<CertificateArn>,
    /// The tags of the ARN; `Some(None)`: there is no such ARN any more.
    pub tags: Option<Option<Tags>>,
    /// What ACM has under the ARN; `Some(None)`: nothing.
    pub installed: Option<Option<Installed>>,
    /// What is known to share a name with ours, without a new list; empty if there never was a list.
    pub shown: Option<Vec<(Summary, Tags)>>,
    /// How long until it is this target's turn to be imported.
    pub turn: Option<SignedDuration>,
    /// DER of the certificate itself, as ACM has it; `Some(None)`: nothing that can be read.
    pub body: Option<Option<Vec<u8>>>,
    /// How long ago this process stored the record of the import to come, by the monotonic clock.
    pub record_age: Option<Duration>,
    /// When this process last began an import without an ARN whose answer it does not know. It outlives status and uid.
    pub begun: Option<Timestamp>,
    /// ACM answered in this pass that the ARN in the status is deleted: that it shows none is no matter of time.
    pub deleted: bool,
    /// A call of this pass for this target failed; its failure is in memory.
    pub failed: bool,
}

impl TargetObserved {
    /// What is seen next is about this ARN: what was seen of another one says nothing about it.
    pub fn look_at(&mut self, arn: &CertificateArn) {
        if self.about.as_ref() != Some(arn) {
            self.about = Some(arn.clone());
            (self.tags, self.installed, self.body) = (None, None, None);
        }
    }

    /// What was seen, as far as it is about this ARN.
    pub(super) fn of(&self, arn: &CertificateArn) -> Cow<'_, Self> {
        if self.about.as_ref().is_none_or(|about| about == arn) {
            return Cow::Borrowed(self);
        }
        let mut fresh = self.clone();
        fresh.look_at(arn);
        Cow::Owned(fresh)
    }
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
    /// The records whose import, request or renewal AWS refused, by target: nothing was made, so the next needs no wait.
    pub refused: BTreeMap<String, Option<Time>>,
    /// The last failures, by target.
    pub target_failures: BTreeMap<String, Failure>,
    /// The last failures that belong to no target.
    pub failure: Option<Failure>,
    /// The Secret that was not there, and when; while there never was a certificate, that is believed for a moment.
    pub absent: Option<(Box<str>, Timestamp)>,
    /// The revision whose staged key is known to be gone, or to go with its owner.
    pub unstaged: Option<i64>,
    /// The record of a renewal by ACM that this process has stored, by its time, and whether it has called for it.
    pub renewal: Option<(Timestamp, bool)>,
    /// When the Secret was put right last.
    pub repaired: Option<Timestamp>,
    /// When ACM was looked at last for drift, by target; at first, when this process saw the target first.
    pub looked: Looks,
    /// Attempts to publish an ARN that failed.
    pub unpublished: Vec<Unpublished>,
    /// What no status tells of, and is to be told in events.
    pub happened: Vec<Event>,
}

/// Times by target. A list, since targets are few: a tree with one of them takes half a kilobyte.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looks(Vec<(Box<str>, Timestamp)>);

impl Looks {
    /// The time of a target.
    #[must_use]
    pub fn get(&self, target: &str) -> Option<Timestamp> {
        self.0.iter().find(|(name, _)| **name == *target).map(|(_, at)| *at)
    }

    /// A target is looked at now.
    pub fn note(&mut self, target: &str, now: Timestamp) {
        if let Some((_, at)) = self.0.iter_mut().find(|(name, _)| **name == *target) {
            *at = now;
        } else {
            self.0.reserve_exact(1);
            self.0.push((target.into(), now));
        }
    }

    /// A target is seen now; that counts if it was not before. A time to come is none: the clock was set back since.
    pub fn note_first(&mut self, target: &str, now: Timestamp) {
        if self.get(target).is_none_or(|at| at > now) {
            self.note(target, now);
        }
    }
}

/// An import, or a request for a certificate of ACM's own, that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Its ARN.
    pub arn: CertificateArn,
    /// The serial number that was imported; none: ACM was asked to issue one.
    pub serial: Option<Serial>,
    /// The digest of what was imported; see [`Observed::content`].
    pub content: Option<Box<str>>,
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
    /// The password of the keystores.
    Password,
    /// The request of a revision, with its certificate.
    Request(i64),
    /// The staged key of a revision.
    Staged(i64),
    /// What ACM has in a target's place, from a list begun after this time.
    Lookup(String, Timestamp),
    /// What is known of a target's place without a new list.
    Shown(String),
    /// The tags of a target's ARN.
    Tags(String, CertificateArn),
    /// What ACM has under a target's ARN.
    Installed(String, CertificateArn),
    /// What ACM says of a certificate that is only watched.
    Watched(String, CertificateArn),
    /// Certificate, chain and key of ACM's own, exported from a target's ARN.
    Export(String, CertificateArn),
    /// The certificate itself that ACM has under a target's ARN.
    Body(String, CertificateArn),
    /// When it is a target's turn to be imported, whose certificate in use ends then; none: there is none. A turn that is
    /// near is waited for.
    Turn(String, Option<Timestamp>),
    /// Room in the account's budget for what ACM is to be asked for, under this time.
    Budget(Timestamp),
    /// An object that an ARN is published to, with its data or without.
    Published {
        /// The object.
        object: ObjectRef,
        /// Its data is of interest: it is a ConfigMap.
        data: bool,
    },
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
    /// Certificate, chain and key of a revision that was issued already, back into the Secret.
    Repair(i64),
    /// What the Secret lacks besides: labels, annotations, encoding, owner.
    SecretMetadata,
    /// The staged key of a revision is not needed any more.
    DeleteStaged(i64),
    /// An old request.
    DeleteRequest(String),
    /// ImportCertificate without an ARN.
    ImportNew(String),
    /// RequestCertificate: ACM issues one.
    RequestNew(String),
    /// RenewCertificate, under this record.
    Renew(String, CertificateArn, Timestamp),
    /// What was exported, into the Secret, as this revision.
    Exported(i64),
    /// ImportCertificate under an ARN.
    Reimport(String, CertificateArn),
    /// Tags to add, and keys to remove.
    Retag(String, CertificateArn, Tags, Vec<String>),
    /// Deletes a certificate in ACM that is ours.
    DeleteFromAcm(String, CertificateArn),
    /// Sets fields of an object to ARNs, and takes away what else was set there for this Certificate.
    Publish {
        /// The object.
        object: ObjectRef,
        /// As which it was read.
        version: Box<Version>,
        /// All fields.
        fields: Vec<PublishedField>,
        /// With a mark besides, which the next write takes away.
        mark: bool,
    },
}
