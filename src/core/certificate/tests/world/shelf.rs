//! Other people's objects that ARNs are published to, as server-side apply treats them.

use super::{
    super::super::{
        Observed,
        published::{self, MARK, PublishedSeen, Trouble, Version},
    },
    World,
};
use crate::api::publish::{ObjectRef, Place, PublishState, PublishedField};
use std::collections::{BTreeMap, BTreeSet};

/// Who the operator is in these objects.
const OURS: &str = "ours";

/// An object.
pub struct Shelved {
    pub object: ObjectRef,
    pub version: Version,
    /// Values, and who set them.
    pub fields: BTreeMap<Place, (String, BTreeSet<&'static str>)>,
    /// The operator may not touch it.
    pub forbidden: bool,
}

impl Shelved {
    /// The value of a field.
    pub fn value(&self, place: &Place) -> Option<&str> {
        self.fields.get(place).map(|(value, _)| value.as_str())
    }

    /// The API server counts changes.
    fn changed(&mut self) {
        let count: u64 = self.version.resource_version.parse().unwrap();
        self.version.resource_version = (count + 1).to_string();
    }

    /// What the operator set there.
    pub fn ours(&self) -> Vec<(&Place, &str)> {
        let ours = self.fields.iter().filter(|(_, (_, managers))| managers.contains(OURS));
        ours.map(|(place, (value, _))| (place, value.as_str())).collect()
    }
}

/// An annotation.
pub fn annotation(key: &str) -> Place {
    Place { annotation: Some(key.into()), config_map_key: None }
}

/// A key of a ConfigMap.
pub fn key(key: &str) -> Place {
    Place { annotation: None, config_map_key: Some(key.into()) }
}

impl World {
    /// Somebody makes an object.
    pub fn put_on_shelf(&mut self, object: ObjectRef) {
        self.uids += 1;
        let version = Version { uid: format!("shelved-{}", self.uids), resource_version: "1".into() };
        self.shelf.retain(|s| !s.object.is_same(&object));
        self.shelf.push(Shelved { object, version, fields: BTreeMap::new(), forbidden: false });
    }

    /// An object.
    pub fn shelved(&mut self, object: &ObjectRef) -> Option<&mut Shelved> {
        self.shelf.iter_mut().find(|s| s.object.is_same(object))
    }

    /// Somebody else sets a field, or takes it away.
    pub fn edit_shelved(&mut self, object: &ObjectRef, place: &Place, value: Option<&str>) {
        let Some(there) = self.shelved(object) else { return };
        match value {
            Some(value) => drop(there.fields.insert(place.clone(), (value.into(), BTreeSet::from(["somebody"])))),
            None => drop(there.fields.remove(place)),
        }
        there.changed();
    }

    fn reach(&mut self, object: &ObjectRef) -> Result<&mut Shelved, Trouble> {
        let trouble = |state| Trouble { state, message: "no".into() };
        match self.shelved(object) {
            None => Err(trouble(PublishState::NotFound)),
            Some(there) if there.forbidden => Err(trouble(PublishState::Forbidden)),
            Some(there) => Ok(there),
        }
    }

    pub(super) fn see_published(&mut self, o: &mut Observed, object: &ObjectRef, data: bool) {
        self.shelf_reads += 1;
        match self.reach(object) {
            Ok(there) => {
                let values = |which: fn(&Place) -> Option<&String>| -> BTreeMap<String, String> {
                    there
                        .fields
                        .iter()
                        .filter_map(|(place, (value, _))| Some((which(place)?.clone(), value.clone())))
                        .collect()
                };
                let seen = PublishedSeen::Found {
                    version: there.version.clone(),
                    annotations: values(|p| p.annotation.as_ref()),
                    data: if data { values(|p| p.config_map_key.as_ref()) } else { BTreeMap::new() },
                };
                published::saw(o, object, seen);
            }
            Err(trouble) => published::failed(o, object, trouble, self.now),
        }
        published::note_look(o, self.now);
    }

    pub(in super::super) fn publish(
        &mut self,
        o: &mut Observed,
        object: &ObjectRef,
        version: &Version,
        fields: Vec<PublishedField>,
        mark: bool,
    ) {
        self.shelf_writes += 1;
        let trouble = |state| Trouble { state, message: "no".into() };
        self.conflicts = self.shelved(object).iter().filter(|there| there.version != *version).count();
        let done = self.reach(object).and_then(|there| {
            if there.version != *version {
                return Err(trouble(PublishState::Unavailable));
            }
            let others = |f: &PublishedField| {
                let there = there.fields.get(&f.place());
                there.is_some_and(|(value, by)| *value != f.arn.as_str() && by.iter().any(|by| *by != OURS))
            };
            if fields.iter().any(others) {
                return Err(trouble(PublishState::Conflict));
            }
            let before = there.fields.clone();
            for (place, (_, managers)) in &mut there.fields {
                let stays = fields.iter().any(|f| f.is_at(place)) || (mark && *place == annotation(MARK));
                if !stays {
                    managers.remove(OURS);
                }
            }
            there.fields.retain(|_, (_, managers)| !managers.is_empty());
            for field in &fields {
                let (value, managers) = there.fields.entry(field.place()).or_default();
                *value = field.arn.to_string();
                managers.insert(OURS);
            }
            if mark {
                there.fields.insert(annotation(MARK), (version.resource_version.clone(), BTreeSet::from([OURS])));
            }
            if there.fields != before {
                there.changed();
            }
            Ok(there.version.clone())
        });
        match done {
            Ok(after) => published::succeeded(o, object, (version, after), fields, mark),
            Err(trouble) => published::failed(o, object, trouble, self.now),
        }
    }
}
