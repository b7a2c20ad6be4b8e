//! Decides what discovery does: which certificates in ACM are shown as Certificates that are only watched, and which of those
//! objects go again.
//!
//! A run lists each region once, reads tags where they matter, and then changes objects until they are as they have to be. What
//! stands in the objects themselves says what was seen before, so that a new process neither describes nor writes them again.

mod place;
mod plan;
mod schedule;
#[cfg(test)]
mod tests;

pub use place::{GONE, object_name, version};
pub use plan::{Next, Outcome, Problem, READ_AT_ONCE, next};
pub(super) use schedule::tell;
pub use schedule::{Told, begins, goes_on, step, taken_over};

use crate::{
    api::{
        ACM_VERSION_ANNOTATION, AwsAccount, Certificate, DISCOVERED_ANNOTATION, DISCOVERED_BY_LABEL,
        conditions::{READY, STALLED, is_true},
        names::{AccountId, CertificateArn, Region},
        shared::Tags,
    },
    aws::port::Summary,
    text::plain,
};
use jiff::Timestamp;
use kube::ResourceExt;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// The field manager of what discovery writes.
pub const FIELD_MANAGER: &str = "arnkeeper-discovery";
/// The reason of a Certificate whose ARN ACM does not know any more.
pub const GONE_FROM_ACM: &str = "GoneFromAcm";
/// The longest value of an annotation that is repeated, in bytes.
const LONGEST_WORD: usize = 64;

/// A certificate in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What the list says of it.
    pub summary: Summary,
    /// A digest of that.
    pub version: String,
}

impl From<Summary> for Seen {
    fn from(summary: Summary) -> Self {
        Self { version: version(&summary), summary }
    }
}

/// A region that could not be read, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// CamelCase.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// It passes by itself.
    pub passes: bool,
}

/// What is seen of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Objects can be put there.
    Open,
    /// There is none, or it is being deleted.
    Closed,
}

/// One run, from its first list to the status that tells of it. It outlasts passes, not the process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Run {
    /// When it began.
    pub began: Timestamp,
    /// What it was asked for.
    pub settings: String,
    /// The request to run that it answers.
    pub requested_at: Option<String>,
    /// Tags are read again, since rules changed or a person asked.
    pub afresh: bool,
    /// What ACM has, by region.
    pub lists: BTreeMap<Region, Result<Vec<Seen>, Unread>>,
    /// Tags that were read; none: the certificate is gone.
    pub tags: BTreeMap<CertificateArn, Option<Tags>>,
    /// Regions whose tags can't be read.
    pub tagless: BTreeMap<Region, Unread>,
    /// Namespaces that something is to be put into.
    pub rooms: BTreeMap<String, Room>,
    /// Names that others have, by namespace and name.
    pub taken: BTreeSet<(String, String)>,
    /// What the API server refused, by namespace and name.
    pub refused: BTreeMap<(String, String), String>,
    /// What was deleted in this run, by namespace and name: the store may show it yet.
    pub deleted: BTreeSet<(String, String)>,
    /// What other AwsAccounts had shown and show no more, by their names: how many it took over.
    pub inherited: BTreeMap<String, usize>,
    /// How often somebody else changed an object in between.
    pub conflicts: u32,
    /// How often AWS asked for fewer calls.
    pub throttled: u32,
}

impl Run {
    /// What came of a change that was stored, for the account of this name.
    pub fn note(&mut self, change: &Change, own: &str) {
        match change {
            Change::Delete(object) => {
                if let Some(by) = object.by.as_ref().filter(|by| *by != own) {
                    *self.inherited.entry(by.clone()).or_default() += 1;
                }
                self.deleted.insert(change.key());
            }
            Change::Apply(_) | Change::Miss(..) => drop(self.deleted.remove(&change.key())),
        }
    }
}

/// A Certificate that there is, as far as discovery is concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: Option<String>,
    /// Its resourceVersion.
    pub resource_version: Option<String>,
    /// The ARNs that it names, or that its status tells of.
    pub arns: BTreeSet<CertificateArn>,
    /// Of these, those that it is to take over and can't: it waits for a person, and nobody keeps them alive.
    pub not_kept: BTreeSet<CertificateArn>,
    /// It is only watched.
    pub observed: bool,
    /// The AwsAccount whose discovery made it, by its label.
    pub by: Option<String>,
    /// What it was described for.
    pub version: Option<String>,
    /// A digest of what was written.
    pub written: Option<String>,
    /// It was told that ACM does not have it.
    pub told_gone: bool,
    /// It is being deleted.
    pub ends: bool,
}

/// Whether discovery made it, and nobody took it over since.
#[must_use]
pub fn is_discovered(certificate: &Certificate) -> bool {
    let by = certificate.labels().get(DISCOVERED_BY_LABEL);
    certificate.spec.is_observed() && by.is_some_and(|by| *by == certificate.spec.account_ref.name)
}

impl Object {
    /// What concerns discovery of a Certificate.
    #[must_use]
    pub fn of(certificate: &Certificate) -> Self {
        let (spec, status) = (&certificate.spec, certificate.status.as_ref());
        let named = spec.acm.iter().filter_map(|t| t.certificate_arn.clone());
        let stored = status.iter().flat_map(|s| &s.targets).filter_map(|t| t.arn.clone());
        let stalled = !spec.is_observed() && status.is_some_and(|s| is_true(&s.conditions, STALLED));
        let not_kept = named.clone().filter(|arn| stalled && !stored.clone().any(|stored| stored == *arn)).collect();
        let word = |key: &str| certificate.annotations().get(key).map(|text| plain(text, LONGEST_WORD));
        let gone = |c: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
            c.type_ == READY && c.reason == GONE_FROM_ACM
        };
        Self {
            namespace: certificate.namespace().unwrap_or_default(),
            name: certificate.name_any(),
            uid: certificate.uid(),
            resource_version: certificate.resource_version(),
            // What a watched one's status tells is what its spec names, or did.
            arns: if spec.is_observed() { named.collect() } else { named.chain(stored).collect() },
            not_kept,
            observed: spec.is_observed(),
            by: certificate.labels().get(DISCOVERED_BY_LABEL).cloned(),
            version: word(ACM_VERSION_ANNOTATION),
            written: word(DISCOVERED_ANNOTATION),
            told_gone: status.is_some_and(|s| s.conditions.iter().any(gone)),
            ends: certificate.metadata.deletion_timestamp.is_some(),
        }
    }

    /// Namespace and name.
    #[must_use]
    pub fn key(&self) -> (String, String) {
        (self.namespace.clone(), self.name.clone())
    }
}

/// What there is around a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Surroundings {
    /// The Certificates that name an AwsAccount of the same AWS account.
    pub objects: Vec<Object>,
    /// The other AwsAccounts of the same AWS account that discover.
    pub others: BTreeSet<String>,
}

/// What is to be done about one object.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// It has to be so: by server-side apply. An object that is there already stands in it with uid and resourceVersion.
    Apply(Box<serde_json::Value>),
    /// ACM's list does not have it: only this annotation changes.
    Miss(Object, String),
    /// It goes, with its uid and resourceVersion.
    Delete(Object),
}

impl Change {
    /// Namespace and name of the object.
    #[must_use]
    pub fn key(&self) -> (String, String) {
        match self {
            Self::Apply(object) => {
                let word = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
                (word("namespace"), word("name"))
            }
            Self::Miss(object, _) | Self::Delete(object) => object.key(),
        }
    }

    /// The certificate that an object is to show.
    #[must_use]
    pub fn arn(&self) -> Option<CertificateArn> {
        match self {
            Self::Apply(object) => object["spec"]["acm"][0]["certificateArn"].as_str()?.parse().ok(),
            Self::Miss(object, _) | Self::Delete(object) => object.arns.first().cloned(),
        }
    }

    /// Whether there is no object yet.
    #[must_use]
    pub fn is_new(&self) -> bool {
        matches!(self, Self::Apply(object) if object["metadata"]["uid"].is_null())
    }
}

/// The AwsAccounts whose Certificates matter to discovery in an AWS account, and, of them, the others that discover there: each goes
/// on with what it shows. One that can't be entered tells of no AWS account; if its spec names none either, it may be this one.
#[must_use]
pub fn neighbours(id: &AccountId, own: &str, all: &[Arc<AwsAccount>]) -> (Vec<String>, BTreeSet<String>) {
    let leads = |account: &&Arc<AwsAccount>| {
        let told = account.status.as_ref().and_then(|s| s.account_id.as_deref());
        let named = account.spec.account_id.as_ref().map(AccountId::as_str);
        account.name_any() == own || told.or(named).is_none_or(|leads| leads == id.as_str())
    };
    let there: Vec<&Arc<AwsAccount>> = all.iter().filter(leads).collect();
    let others = there.iter().filter(|account| account.name_any() != own && discovers(account));
    (there.iter().map(|account| account.name_any()).collect(), others.map(|account| account.name_any()).collect())
}

/// Whether the discovery of an account goes on, or will by itself. What keeps it out for good takes a person.
fn discovers(account: &AwsAccount) -> bool {
    let conditions = account.status.as_ref().map(|s| &*s.conditions).unwrap_or_default();
    let is_out = !is_true(conditions, READY) && is_true(conditions, STALLED);
    account.spec.enabled && account.spec.discovery.is_some() && account.metadata.deletion_timestamp.is_none() && !is_out
}

/// Where a run takes place.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The AwsAccount.
    pub account: &'a AwsAccount,
    /// The AWS account.
    pub id: &'a AccountId,
    /// The `clusterId`.
    pub cluster: &'a str,
}
