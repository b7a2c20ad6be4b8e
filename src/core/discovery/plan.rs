//! The next thing to do in a run, from what was seen so far.

use super::{
    Change, GONE, Object, Place, Room, Run, Seen, Surroundings, Unread,
    place::{asks_for_tags, has_ended, is_taken, object},
};
use crate::{
    api::{
        ACM_VERSION_ANNOTATION, DISCOVERED_ANNOTATION,
        discovery::{Discovery, RegionCounts},
        names::{CertificateArn, Located, Region},
        shared::Tags,
    },
    text::counted,
};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Objects that are changed in one step.
const CHANGED_AT_ONCE: usize = 100;
/// Certificates whose tags are read in one step: two seconds at the pace of ACM's quota. So long the first objects wait.
pub const READ_AT_ONCE: usize = 20;
/// Beside changes that take longer, as many more as are read until they are made.
const READ_BESIDE: usize = 100;
/// Certificates that end within this long are counted.
const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);
/// What lists do not have goes after this long, even if nobody told so.
const LEFT_BEHIND: SignedDuration = SignedDuration::from_hours(48);

/// What comes next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// The tags of these certificates.
    Tags(Vec<CertificateArn>),
    /// Whether objects can be put into these namespaces.
    Rooms(Vec<String>),
    /// These objects change; none depends on another. Meanwhile the tags of these certificates are read, in this order: the first
    /// [`READ_AT_ONCE`], and others until the changes are made. The quota for that is not left unused.
    Changes(Vec<Change>, Vec<CertificateArn>),
    /// All is as it has to be, as far as it can.
    Done(Outcome),
}

/// What came of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What was counted, of the regions that could be read.
    pub regions: Vec<RegionCounts>,
    /// What kept it from showing everything.
    pub problems: Vec<Problem>,
    /// Some of it passes by itself.
    pub passes: bool,
}

/// Why something is not shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// CamelCase.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

/// The step that a run takes next.
#[must_use]
pub fn next(place: &Place<'_>, discovery: &Discovery, run: &Run, around: &Surroundings, now: Timestamp) -> Next {
    let mut plan = Plan::new(place, discovery, run, around, now);
    let mut regions = vec![];
    for (region, list) in &run.lists {
        if let Ok(list) = list {
            regions.push(plan.region(region, list));
        }
    }
    plan.missing();
    let Plan { changes, mut tags, rooms, mut problems, unjudged, .. } = plan;
    if !rooms.is_empty() {
        return Next::Rooms(rooms.into_iter().collect());
    }
    if !changes.is_empty() {
        return Next::Changes(changes, tags);
    }
    if !tags.is_empty() {
        tags.truncate(READ_AT_ONCE);
        return Next::Tags(tags);
    }
    let unread: Vec<(&Region, &Unread)> =
        run.lists.iter().filter_map(|(region, list)| Some((region, list.as_ref().err()?))).collect();
    let tagless = run.tagless.iter().filter(|(region, _)| unjudged.contains(*region));
    let mut told: Vec<Problem> = unread
        .iter()
        .map(|(region, why)| Problem { reason: why.reason, message: format!("region {region}: {}", why.message) })
        .collect();
    told.extend(tagless.clone().map(|(region, why)| {
        let message = format!("region {region}: without their tags new certificates are not shown: {}", why.message);
        Problem { reason: why.reason, message }
    }));
    told.append(&mut problems);
    let passes = unread.iter().map(|(_, why)| *why).chain(tagless.map(|(_, why)| why)).any(|why| why.passes);
    Next::Done(Outcome { regions, problems: told, passes })
}

struct Plan<'a> {
    place: &'a Place<'a>,
    name: String,
    discovery: &'a Discovery,
    run: &'a Run,
    around: &'a Surroundings,
    now: Timestamp,
    by_arn: BTreeMap<&'a CertificateArn, Vec<&'a Object>>,
    by_key: BTreeMap<(String, String), &'a Object>,
    by_tags: bool,
    listed: BTreeSet<&'a CertificateArn>,
    changes: Vec<Change>,
    tags: Vec<CertificateArn>,
    rooms: BTreeSet<String>,
    closed: BTreeMap<String, usize>,
    problems: Vec<Problem>,
    /// Regions with a certificate that can't be judged without its tags.
    unjudged: BTreeSet<Region>,
}

impl<'a> Plan<'a> {
    fn new(
        place: &'a Place<'a>,
        discovery: &'a Discovery,
        run: &'a Run,
        around: &'a Surroundings,
        now: Timestamp,
    ) -> Self {
        let mut by_arn: BTreeMap<&CertificateArn, Vec<&Object>> = BTreeMap::new();
        for object in &around.objects {
            for arn in &object.arns {
                by_arn.entry(arn).or_default().push(object);
            }
        }
        let by_key = around.objects.iter().map(|object| (object.key(), object)).collect();
        let refused = run.refused.iter().map(|((namespace, name), why)| Problem {
            reason: "ObjectRefused",
            message: format!("Certificate {name:?} in namespace {namespace:?}: {why}"),
        });
        Self {
            place,
            name: place.account.name_any(),
            discovery,
            run,
            around,
            now,
            by_arn,
            by_key,
            by_tags: asks_for_tags(discovery),
            listed: BTreeSet::new(),
            changes: vec![],
            tags: vec![],
            rooms: BTreeSet::new(),
            closed: BTreeMap::new(),
            problems: run.taken.iter().map(name_taken).chain(refused).collect(),
            unjudged: BTreeSet::new(),
        }
    }

    /// One region, in which everything is known.
    fn region(&mut self, region: &Region, list: &'a [Seen]) -> RegionCounts {
        let mut counts = RegionCounts { region: region.clone(), found: 0, managed: 0, expiring_30d: 0, expired: 0 };
        for seen in list {
            // It went since it was listed.
            if self.run.tags.get(&seen.summary.arn) == Some(&None) {
                continue;
            }
            self.listed.insert(&seen.summary.arn);
            counts.found += 1;
            let ends = seen.summary.more.as_ref().and_then(|more| more.not_after);
            if has_ended(&seen.summary, self.now) {
                counts.expired += 1;
            } else if ends.is_some_and(|ends| ends.duration_since(self.now) <= SOON) {
                counts.expiring_30d += 1;
            }
            if self.certificate(region, seen) {
                counts.managed += 1;
            }
        }
        counts
    }

    /// One certificate. Returns whether a Certificate of this cluster keeps it alive.
    fn certificate(&mut self, region: &Region, seen: &'a Seen) -> bool {
        let arn = &seen.summary.arn;
        let objects = self.by_arn.get(arn).cloned().unwrap_or_default();
        let own: Vec<&Object> = objects.iter().copied().filter(|o| self.is_own(o)).collect();
        let managed = objects.iter().any(|o| !o.observed);
        let by_others = |o: &&&Object| o.observed && !o.ends && o.by.as_deref().is_some_and(|by| by != self.name);
        let lives = |o: &&&Object| o.by.as_ref().is_some_and(|by| self.around.others.contains(by));
        let left: Vec<&Object> = objects.iter().filter(by_others).filter(|o| !lives(o)).copied().collect();
        // Of two accounts that show the same certificate, the first by name goes on.
        let elsewhere = objects.iter().filter(by_others).filter(lives).any(|o| own.is_empty() || o.by < own[0].by);
        let of_a_person = objects.iter().any(|o| o.observed && o.by.is_none() && !o.ends);
        for old in left {
            self.change(Change::Delete(old.clone()));
        }
        if managed || of_a_person || elsewhere || !is_taken(self.discovery, &seen.summary, self.now) {
            self.retire(&own);
            return objects.iter().any(|o| !o.observed && !o.not_kept.contains(arn));
        }
        let known = own.iter().any(|o| o.version.as_ref() == Some(&seen.version));
        let changed = !known || self.run.afresh || own.len() > 1;
        // What ACM issued from a private CA may be a Certificate's, as what was imported may.
        let private = seen.summary.more.as_ref().is_some_and(|more| more.kind == "PRIVATE");
        let tags_matter = (self.by_tags && changed) || (own.is_empty() && (seen.summary.imported || private));
        if !tags_matter {
            if changed {
                self.show(object(self.place, self.discovery, region, &seen.summary, None), seen, &own);
            }
            return false;
        }
        let Some(Some(tags)) = self.run.tags.get(arn) else {
            if self.run.tagless.contains_key(region) {
                self.unjudged.insert(region.clone());
            } else if self.tags.len() < READ_BESIDE {
                self.tags.push(arn.clone());
            }
            return false;
        };
        if self.is_kept(tags) {
            self.retire(&own);
            return true;
        }
        self.show(object(self.place, self.discovery, region, &seen.summary, Some(tags)), seen, &own);
        false
    }

    /// Whether the tags are those of a Certificate of this cluster that is there: it is about to know the ARN.
    fn is_kept(&self, tags: &Tags) -> bool {
        let tag = |name: &str| tags.get(&format!("arnkeeper.dev/{name}")).map(String::as_str);
        let key = tag("namespace").zip(tag("name")).map(|(namespace, name)| (namespace.to_owned(), name.to_owned()));
        let keeper = key.and_then(|key| self.by_key.get(&key));
        tag("cluster") == Some(self.place.cluster) && keeper.is_some_and(|keeper| !keeper.observed)
    }

    fn is_own(&self, object: &Object) -> bool {
        object.observed && !object.ends && object.by.as_deref() == Some(&*self.name)
    }

    /// The object that shows a certificate, as it has to be; the others of it go once it is there.
    fn show(&mut self, mut wanted: Value, seen: &Seen, own: &[&Object]) {
        let word = |field: &str| wanted["metadata"][field].as_str().unwrap_or_default().to_owned();
        let key = (word("namespace"), word("name"));
        match self.run.rooms.get(&key.0) {
            None => {
                self.rooms.insert(key.0);
                return;
            }
            Some(Room::Closed) => {
                let count = self.closed.entry(key.0).or_default();
                *count += 1;
                return;
            }
            Some(Room::Open) => {}
        }
        let Some(there) = own.iter().find(|o| o.key() == key) else {
            let deleted = self.run.deleted.contains(&key);
            if self.run.taken.contains(&key) {
                return;
            }
            match self.by_key.get(&key) {
                Some(other) if !deleted && !self.run.refused.contains_key(&key) => {
                    // What another account left goes first.
                    if !(other.observed && other.by.is_some()) {
                        self.problems.push(name_taken(&key));
                    }
                }
                _ => self.change(Change::Apply(Box::new(wanted))),
            }
            return;
        };
        let written = wanted["metadata"]["annotations"][DISCOVERED_ANNOTATION].as_str();
        if there.version.as_ref() != Some(&seen.version) || there.written.as_deref() != written {
            wanted["metadata"]["uid"] = json!(there.uid);
            wanted["metadata"]["resourceVersion"] = json!(there.resource_version);
            self.change(Change::Apply(Box::new(wanted)));
        }
        let others: Vec<&Object> = own.iter().copied().filter(|o| o.key() != key).collect();
        self.retire(&others);
    }

    fn retire(&mut self, objects: &[&Object]) {
        for object in objects {
            self.change(Change::Delete((*object).clone()));
        }
    }

    fn change(&mut self, change: Change) {
        if self.changes.len() < CHANGED_AT_ONCE && !self.run.refused.contains_key(&change.key()) {
            self.changes.push(change);
        }
    }

    /// Objects of what ACM does not have, or what is not looked at any more.
    fn missing(&mut self) {
        for (namespace, count) in std::mem::take(&mut self.closed) {
            let message = format!(
                "namespace {namespace:?} is not there, or is being deleted, so discovery does not show {}: make it, or name \
                 another one in spec.discovery",
                counted(count, "certificate")
            );
            self.problems.push(Problem { reason: "NamespaceUnavailable", message });
        }
        let (around, name) = (self.around, self.name.clone());
        for object in around.objects.iter().filter(|o| o.observed && !o.ends && o.by.as_ref() == Some(&name)) {
            let Some(arn) = object.arns.first() else {
                self.change(Change::Delete(object.clone()));
                continue;
            };
            let region = self.place.account.spec.regions.iter().find(|region| region.as_str() == arn.region());
            let Some(region) = region.filter(|_| arn.account() == self.place.id.as_str()) else {
                self.change(Change::Delete(object.clone()));
                continue;
            };
            if self.listed.contains(arn) || !matches!(self.run.lists.get(region), Some(Ok(_))) {
                continue;
            }
            let since = object.version.as_deref().and_then(|version| version.strip_prefix(GONE));
            match since.map(str::parse::<Timestamp>) {
                Some(Ok(since)) if since <= self.run.began => {
                    let old = self.run.began.duration_since(since) >= LEFT_BEHIND;
                    if since < self.run.began && (object.told_gone || old) {
                        self.change(Change::Delete(object.clone()));
                    }
                }
                // Somebody wrote something else there, or the clock was set back.
                _ => {
                    let version = format!("{GONE}{}", self.run.began);
                    self.change(Change::Miss(object.clone(), version));
                }
            }
        }
    }
}

/// Another object has the name of one that is to be shown.
fn name_taken((namespace, name): &(String, String)) -> Problem {
    let message = format!(
        "a Certificate {name:?} is in namespace {namespace:?} that is not about the certificate which discovery would show under this \
         name; it is left alone: rename it"
    );
    Problem { reason: "NameTaken", message }
}

impl Surroundings {
    /// What came of a change that was stored.
    pub fn note(&mut self, change: &Change, stored: Option<Object>) {
        let key = change.key();
        self.objects.retain(|object| object.key() != key);
        match (change, stored) {
            (Change::Delete(_), _) => {}
            (Change::Apply(_) | Change::Miss(..), Some(object)) => self.objects.push(object),
            (Change::Miss(object, version), None) => {
                self.objects.push(Object { version: Some(version.clone()), ..object.clone() });
            }
            (Change::Apply(value), None) => {
                let word = |key: &str| value["metadata"]["annotations"][key].as_str().map(str::to_owned);
                let (namespace, name) = key;
                let by = value["metadata"]["labels"][crate::api::DISCOVERED_BY_LABEL].as_str().map(str::to_owned);
                let (version, written) = (word(ACM_VERSION_ANNOTATION), word(DISCOVERED_ANNOTATION));
                let object = Object {
                    namespace,
                    name,
                    arns: change.arn().into_iter().collect(),
                    observed: true,
                    by,
                    version,
                    written,
                    ..Object::default()
                };
                self.objects.push(object);
            }
        }
    }
}
