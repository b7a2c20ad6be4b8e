//! Members that left: what their discovery made goes before them, and what people wrote holds them.

use super::{Around, Change, LEFT, left_behind};
use crate::{
    api::{ACCOUNT_STATE_ANNOTATION, AwsAccount, Certificate},
    core::{Event, discovery::is_discovered},
    text::counted,
};
use kube::ResourceExt;
use std::sync::Arc;

/// Members whose objects are read in one step.
const READ_AT_ONCE: usize = 100;
/// Members that an event names.
const MOST_NAMED: usize = 5;

/// A Certificate that the discovery of a member made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its member.
    pub member: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: Option<String>,
    /// The resourceVersion that it was seen with: who takes it over meanwhile keeps it.
    pub version: Option<String>,
}

impl Shown {
    /// What of a Certificate goes with this member; none: people wrote it, or it goes already.
    #[must_use]
    pub fn of(certificate: &Certificate, member: &str) -> Option<Self> {
        let goes = is_discovered(certificate)
            && certificate.spec.account_ref.name == member
            && certificate.metadata.deletion_timestamp.is_none();
        goes.then(|| Self {
            member: member.to_owned(),
            namespace: certificate.namespace().unwrap_or_default(),
            name: certificate.name_any(),
            uid: certificate.uid(),
            version: certificate.resource_version(),
        })
    }
}

/// What happens to a member that left, or is left out.
pub(super) fn changes(name: &str, there: &AwsAccount, around: &Around) -> Vec<Change> {
    if around.used.contains(name) {
        return marked(there).into_iter().collect();
    }
    if !discovers(name, there, around) {
        return vec![Change::Delete { name: name.to_owned(), uid: there.uid(), version: None }];
    }
    if let Some(marked) = marked(there) {
        return vec![marked];
    }
    if !has_stopped(there) {
        return vec![];
    }
    match around.shown.get(name).map(Vec::as_slice) {
        // They are read first.
        None => vec![],
        Some([]) => {
            // Who came back meanwhile stays.
            vec![Change::Delete { name: name.to_owned(), uid: there.uid(), version: there.resource_version() }]
        }
        Some(shown) => shown.iter().cloned().map(Change::Hide).collect(),
    }
}

/// The members whose objects have to be read before they can go; not all at once.
#[must_use]
pub fn unread(owner: &AwsAccount, organization: &crate::aws::port::Organization, around: &Around) -> Vec<String> {
    let goes = |(name, there): &(&String, &Arc<AwsAccount>)| {
        !around.used.contains(*name)
            && discovers(name, there, around)
            && marked(there).is_none()
            && has_stopped(there)
            && !around.shown.contains_key(*name)
    };
    left_behind(owner, organization, around).filter(goes).take(READ_AT_ONCE).map(|(name, _)| name.clone()).collect()
}

/// Whether its discovery may have made something, or still may.
fn discovers(name: &str, there: &AwsAccount, around: &Around) -> bool {
    there.spec.discovery.is_some() || around.discovered.contains(name)
}

/// It is told that it left; none: it was.
fn marked(there: &AwsAccount) -> Option<Change> {
    let mut left = there.clone();
    left.annotations_mut().insert(ACCOUNT_STATE_ANNOTATION.into(), LEFT.into());
    (left != *there).then(|| Change::Replace(Box::new(left)))
}

/// Whether its own pass has seen that it left: from then on its discovery makes nothing.
fn has_stopped(there: &AwsAccount) -> bool {
    there.status.as_ref().and_then(|s| s.state.as_deref()) == Some(LEFT)
}

/// Members went, and so many of the objects that their discovery had made.
#[must_use]
pub fn event(members: &[String], objects: usize) -> Option<Event> {
    if members.is_empty() && objects == 0 {
        return None;
    }
    let mut named = members.iter().take(MOST_NAMED).cloned().collect::<Vec<_>>().join(", ");
    if let Some(more @ 1..) = members.len().checked_sub(MOST_NAMED) {
        named = format!("{named} and {more} more");
    }
    let why = "the organization has them no more, or include and exclude leave them out";
    let what = format!("{} that discovery had made", counted(objects, "Certificate"));
    let mut note = match (members.is_empty(), objects) {
        (false, 0) => format!("Deleted, since {why}, and nobody uses them: the AwsAccounts {named}"),
        (false, _) => format!("Deleted, since {why}, and nobody uses them: the AwsAccounts {named}, and {what}"),
        (true, _) => format!("Deleted, of members that go since {why}: {what}"),
    };
    note.push_str(". Nothing changes in ACM");
    Some(Event { warning: false, reason: "MembersRemoved".into(), note })
}
