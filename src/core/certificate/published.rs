//! What is known of the objects that ARNs are published to, and what is sent there.

use super::{Observed, publishing::has};
use crate::{
    api::publish::{ObjectRef, Publication, PublishState, PublishedField, PublishedStatus},
    core::{
        backoff::{FOR_A_PERSON, TOLD_FROM, exponential},
        hex,
    },
};
use aws_lc_rs::digest::{SHA256, digest};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
};

/// The annotation that an object has for a moment, so that no write that was begun before is taken any more.
pub const MARK: &str = "arnkeeper.dev/withdrawn";
/// Under this name the last look at what was published is remembered. No target has such a name.
pub const LOOK: &str = "publish/";
/// The longest name of a manager (Kubernetes API reference, ApplyOptions).
const LONGEST_MANAGER: usize = 128;

/// An object as it was read: what is written goes to this one and to no later one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// Its uid: it keeps a missing object from being made.
    pub uid: String,
    /// Its resourceVersion: a process that was frozen in its call undoes nothing that came after.
    pub resource_version: String,
}

/// What was seen of an object in this pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishedSeen {
    /// There is none.
    Missing,
    /// It is there.
    Found {
        /// As which it was read.
        version: Version,
        /// Its annotations.
        annotations: BTreeMap<String, String>,
        /// Its data, of a ConfigMap whose keys are wanted.
        data: BTreeMap<String, String>,
    },
    /// It has these fields now, and none other of ours.
    Applied(Vec<PublishedField>),
    /// It had them before, so nothing changed: a write that is on its way to this version would still be taken.
    Unmoved(Version, Vec<PublishedField>),
    /// It has a mark for a moment, which made it this version.
    Marked(Version),
}

/// Why an ARN could not be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The kind of trouble.
    pub state: PublishState,
    /// For people.
    pub message: String,
}

/// Failed attempts at an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpublished {
    object: ObjectRef,
    pub(super) trouble: Trouble,
    /// How many in a row.
    count: u32,
    /// When the last one was.
    at: Timestamp,
    /// Of the spec and the annotations, which may have changed since.
    version: u64,
}

/// Whoever changes the spec or an annotation wants another look. A status that is written changes neither.
fn version(o: &Observed) -> u64 {
    let mut hasher = DefaultHasher::new();
    o.certificate.metadata.generation.hash(&mut hasher);
    o.certificate.annotations().hash(&mut hasher);
    hasher.finish()
}

impl Unpublished {
    pub(super) fn is_told(&self) -> bool {
        self.count >= TOLD_FROM || !is_passing(self.trouble.state)
    }

    /// How long until the next attempt; none: it is time.
    pub(super) fn rest(&self, o: &Observed, now: Timestamp) -> Option<SignedDuration> {
        let wait = if is_passing(self.trouble.state) { exponential(self.count) } else { FOR_A_PERSON };
        let passed = now.duration_since(self.at).abs();
        (self.version == version(o) && passed < wait).then(|| wait - passed)
    }
}

/// What somebody may end at any moment, without a word to us.
fn is_passing(state: PublishState) -> bool {
    matches!(state, PublishState::NotFound | PublishState::Pending | PublishState::Unavailable)
}

/// The manager of the fields that a Certificate publishes: one each, so that none takes away the fields of another.
#[must_use]
pub fn field_manager(certificate: &str) -> String {
    let whole = format!("arnkeeper/{certificate}");
    if whole.len() <= LONGEST_MANAGER {
        return whole;
    }
    let hash = hex(digest(&SHA256, certificate.as_bytes()).as_ref(), 8);
    let cut = whole.floor_char_boundary(LONGEST_MANAGER - hash.len() - 1);
    format!("{}-{hash}", &whole[..cut])
}

/// What is applied: the object, as it was read, with these fields and no other; for a moment with the mark.
#[must_use]
pub fn applied(object: &ObjectRef, version: &Version, fields: &[PublishedField], mark: bool) -> Value {
    let values = |key: fn(&PublishedField) -> Option<&String>| -> Map<String, Value> {
        fields.iter().filter_map(|f| Some((key(f)?.clone(), Value::from(f.arn.as_str())))).collect()
    };
    let (mut annotations, data) = (values(|f| f.annotation.as_ref()), values(|f| f.config_map_key.as_ref()));
    let mut whole = json!({
        "apiVersion": object.api_version, "kind": object.kind,
        "metadata": { "name": object.name, "uid": version.uid, "resourceVersion": version.resource_version },
    });
    if mark {
        annotations.insert(MARK.into(), version.resource_version.as_str().into());
    }
    if !annotations.is_empty() {
        whole["metadata"]["annotations"] = annotations.into();
    }
    if !data.is_empty() {
        whole["data"] = data.into();
    }
    whole
}

/// An attempt failed; it is made again later.
pub fn failed(o: &mut Observed, object: &ObjectRef, trouble: Trouble, now: Timestamp) {
    let known: Vec<ObjectRef> = objects(o);
    let failures = &mut o.memory.unpublished;
    failures.retain(|f| f.object.is_same(object) || known.iter().any(|known| known.is_same(&f.object)));
    let at = failures.iter().position(|f| f.object.is_same(object));
    let count = at.map_or(0, |at| failures.swap_remove(at).count).saturating_add(1);
    if matches!(trouble.state, PublishState::NotFound | PublishState::KindNotFound) {
        saw(o, object, PublishedSeen::Missing);
    }
    let version = version(o);
    o.memory.unpublished.push(Unpublished { object: object.clone(), trouble, count, at: now, version });
}

/// An attempt at an object that was read as one version succeeded, and made it another, or left it as it was.
pub fn succeeded(
    o: &mut Observed,
    object: &ObjectRef,
    (before, after): (&Version, Version),
    fields: Vec<PublishedField>,
    mark: bool,
) {
    o.memory.unpublished.retain(|f| !f.object.is_same(object));
    let seen = match (mark, *before == after) {
        (true, _) => PublishedSeen::Marked(after),
        (false, true) => PublishedSeen::Unmoved(after, fields),
        (false, false) => PublishedSeen::Applied(fields),
    };
    saw(o, object, seen);
}

/// Puts what was seen of an object into view.
pub fn saw(o: &mut Observed, object: &ObjectRef, seen: PublishedSeen) {
    let stored = o.certificate.status.iter().flat_map(|s| &s.published).find(|p| p.object().is_same(object));
    let is_well = stored.is_some_and(|p| p.state == PublishState::Published);
    if let (PublishedSeen::Found { annotations, data, .. }, Some(stored), true) = (&seen, stored, is_well)
        && stored.fields.iter().all(|f| has(f, annotations, data))
    {
        o.memory.unpublished.retain(|f| !f.object.is_same(object));
    }
    o.published.retain(|(known, _)| !known.is_same(object));
    o.published.push((object.clone(), seen));
}

/// Notes a look at what was published, once all of it was looked at.
pub fn note_look(o: &mut Observed, now: Timestamp) {
    let looked = |p: &PublishedStatus| seen(o, &p.object()).is_some() || waits(o, &p.object(), now).is_some();
    let published = o.certificate.status.iter().flat_map(|s| &s.published);
    if published.filter(|p| p.state == PublishState::Published).all(looked) {
        o.memory.looked.note(LOOK, now);
    }
}

/// All objects that this Certificate has to do with.
fn objects(o: &Observed) -> Vec<ObjectRef> {
    let stored = o.certificate.status.iter().flat_map(|s| &s.published).map(PublishedStatus::object);
    o.certificate.spec.publish.iter().map(Publication::object).chain(stored).collect()
}

pub(super) fn seen<'a>(o: &'a Observed, object: &ObjectRef) -> Option<&'a PublishedSeen> {
    o.published.iter().find(|(known, _)| known.is_same(object)).map(|(_, seen)| seen)
}

pub(super) fn failure<'a>(o: &'a Observed, object: &ObjectRef) -> Option<&'a Unpublished> {
    o.memory.unpublished.iter().find(|f| f.object.is_same(object))
}

fn waits(o: &Observed, object: &ObjectRef, now: Timestamp) -> Option<SignedDuration> {
    failure(o, object)?.rest(o, now)
}
