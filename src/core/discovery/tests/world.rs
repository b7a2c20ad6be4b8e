//! The world of these tests.

use crate::{
    api::{
        AwsAccount, Certificate, DISCOVER_ANNOTATION, DISCOVERED_BY_LABEL,
        account::AwsAccountStatus,
        conditions::{DISCOVERED, Finding, READY, STALLED, conditions, is_true},
        names::{CertificateArn, Region},
        shared::Tags,
    },
    aws::port::{Listed, Summary},
    core::discovery::{
        Change, Next, Object, Place, Room, Run, Seen, Surroundings, Told, Unread, begins, next, step, taken_over, tell,
    },
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const ID: &str = "111122223333";
const CLUSTER: &str = "cluster";

/// The ARN of a certificate.
pub fn arn(id: usize, region: &str) -> CertificateArn {
    format!("arn:aws:acm:{region}:{ID}:certificate/{id}").parse().unwrap()
}

/// A certificate in ACM.
#[derive(Clone)]
pub struct InAcm {
    pub region: Region,
    pub summary: Summary,
    pub tags: Tags,
}

/// Everything there is.
pub struct World {
    pub now: Timestamp,
    pub account: AwsAccount,
    pub acm: BTreeMap<usize, InAcm>,
    pub objects: BTreeMap<(String, String), Certificate>,
    /// Regions that can't be listed.
    pub denied: BTreeMap<Region, Unread>,
    pub deny_tags: bool,
    /// Namespaces that are not there.
    pub rooms: BTreeMap<String, Room>,
    pub others: BTreeSet<String>,
    /// Objects that name another account.
    pub taken: BTreeSet<(String, String)>,
    /// Changes to Kubernetes.
    pub writes: usize,
    pub tag_reads: usize,
    /// What an event told at the end of the last run.
    pub taken_over: Option<String>,
    /// The most objects that were changed in one step.
    pub largest: usize,
    run: Option<Run>,
    uids: usize,
}

impl World {
    /// An account with this discovery, and an empty ACM.
    pub fn new(discovery: &Value) -> Self {
        let mut discovery = discovery.clone();
        discovery["namespace"] = json!("inventory");
        let account = json!({
            "apiVersion": "arnkeeper.dev/v1beta1", "kind": "AwsAccount", "metadata": { "name": "prod", "uid": "a" },
            "spec": { "regions": ["eu-west-1", "us-east-1"], "discovery": discovery },
        });
        Self {
            now: "2026-01-01T00:00:00Z".parse().unwrap(),
            account: serde_json::from_value(account).unwrap(),
            acm: BTreeMap::new(),
            objects: BTreeMap::new(),
            denied: BTreeMap::new(),
            deny_tags: false,
            rooms: BTreeMap::new(),
            others: BTreeSet::new(),
            taken: BTreeSet::new(),
            writes: 0,
            tag_reads: 0,
            taken_over: None,
            largest: 0,
            run: None,
            uids: 0,
        }
    }

    pub fn put(&mut self, id: usize, region: &str, names: &[&str]) {
        let more = Listed {
            state: "ISSUED".into(),
            kind: "IMPORTED".into(),
            key_algorithm: "RSA_2048".into(),
            not_after: Some("2027-01-01T00:00:00Z".parse().unwrap()),
            ..Listed::default()
        };
        let summary = Summary {
            arn: arn(id, region),
            names: names.iter().map(|n| (*n).to_owned()).collect(),
            more_names: false,
            imported: true,
            in_use: false,
            created_at: None,
            more: Some(Box::new(more)),
        };
        let tags = self.acm.get(&id).map(|c| c.tags.clone()).unwrap_or_default();
        self.acm.insert(id, InAcm { region: region.parse().unwrap(), summary, tags });
    }

    /// One that ACM issued.
    pub fn put_issued(&mut self, id: usize, region: &str, names: &[&str]) {
        self.put(id, region, names);
        let summary = &mut self.acm.get_mut(&id).unwrap().summary;
        summary.imported = false;
        summary.more.as_mut().unwrap().kind = "AMAZON_ISSUED".into();
    }

    pub fn remove(&mut self, id: usize) {
        self.acm.remove(&id);
    }

    pub fn tag(&mut self, id: usize, key: &str, value: &str) {
        self.acm.get_mut(&id).unwrap().tags.insert(key.into(), value.into());
    }

    /// It carries the tags of a Certificate of this cluster.
    pub fn own(&mut self, id: usize, name: &str) {
        for (key, value) in [("cluster", CLUSTER), ("namespace", "apps"), ("name", name), ("target", "edge")] {
            self.tag(id, &format!("arnkeeper.dev/{key}"), value);
        }
    }

    pub fn deny(&mut self, region: &str) {
        let why = Unread { reason: "AccessDenied", message: "not allowed".into(), passes: false };
        self.denied.insert(region.parse().unwrap(), why);
    }

    pub fn allow(&mut self) {
        self.denied.clear();
    }

    pub fn ask(&mut self, value: &str) {
        self.account.annotations_mut().insert(DISCOVER_ANNOTATION.into(), value.into());
    }

    /// Another process.
    pub fn restart(&mut self) {
        self.run = None;
    }

    fn store(&mut self, value: Value) {
        let mut object: Certificate = serde_json::from_value(value).unwrap();
        let key = (object.namespace().unwrap(), object.name_any());
        let before = self.objects.get(&key);
        self.uids += 1;
        object.metadata.uid = before.and_then(ResourceExt::uid).or_else(|| Some(format!("u{}", self.uids)));
        object.metadata.resource_version = Some(self.uids.to_string());
        object.status = before.and_then(|b| b.status.clone());
        self.objects.insert(key, object);
    }

    /// A Certificate that is managed, and whose status knows an ARN.
    pub fn managed_in(&mut self, namespace: &str, name: &str, acm: &Value, knows: Option<usize>) {
        self.store(json!({
            "apiVersion": "arnkeeper.dev/v1beta1", "kind": "Certificate",
            "metadata": { "name": name, "namespace": namespace },
            "spec": { "accountRef": { "name": "prod" }, "region": "eu-west-1", "subject": { "domainName": "a.example" },
                "source": { "privateCa": { "certificateAuthority": { "name": "ca" } } }, "secret": { "name": "s" },
                "acm": acm },
        }));
        if let Some(id) = knows {
            let target = json!({ "name": "edge", "account": "prod", "region": "eu-west-1", "state": "Delivered",
                "arn": arn(id, "eu-west-1") });
            let key = (namespace.to_owned(), name.to_owned());
            self.objects.get_mut(&key).unwrap().status =
                Some(serde_json::from_value(json!({ "targets": [target] })).unwrap());
        }
    }

    pub fn managed(&mut self, name: &str, acm: &Value, knows: Option<usize>) {
        self.managed_in("apps", name, acm, knows);
    }

    /// A managed Certificate waits for a person.
    pub fn stall(&mut self, name: &str) {
        let object = self.objects.get_mut(&("apps".to_owned(), name.to_owned())).unwrap();
        let finding = Finding::yes(STALLED, "AdoptionRefused", "it may not");
        let status = object.status.get_or_insert_default();
        status.conditions = conditions(&[], &[finding], 1, self.now);
    }

    fn watching(&mut self, namespace: &str, name: &str, by: Option<&str>, id: usize) {
        let there = &self.acm[&id];
        let labels = by.map(|by| json!({ DISCOVERED_BY_LABEL: by }));
        self.store(json!({
            "apiVersion": "arnkeeper.dev/v1beta1", "kind": "Certificate",
            "metadata": { "name": name, "namespace": namespace, "labels": labels },
            "spec": { "management": "Observe", "accountRef": { "name": by.unwrap_or("prod") }, "region": there.region,
                "acm": [{ "name": "acm", "certificateArn": there.summary.arn }] },
        }));
    }

    /// A person watches it.
    pub fn persons(&mut self, id: usize) {
        self.watching("apps", &format!("mine-{id}"), None, id);
    }

    /// Another AwsAccount found it.
    pub fn discovered_by(&mut self, account: &str, id: usize) {
        let name = crate::core::discovery::object_name(&self.acm[&id].summary.names, &self.acm[&id].summary.arn);
        self.watching("inventory", &name, Some(account), id);
    }

    fn key_of(&self, id: usize, ours: bool) -> Option<(String, String)> {
        let is = |c: &&Certificate| {
            let by = c.labels().get(DISCOVERED_BY_LABEL).is_some_and(|by| by == "prod");
            let named = c.spec.acm.iter().filter_map(|t| t.certificate_arn.as_ref());
            let end = format!("/{id}");
            (!ours || by && c.spec.is_observed()) && named.into_iter().any(|arn| arn.as_str().ends_with(&end))
        };
        self.objects.values().find(is).map(|c| (c.namespace().unwrap(), c.name_any()))
    }

    /// The object that names a certificate.
    pub fn shown(&self, id: usize) -> &Certificate {
        &self.objects[&self.key_of(id, false).expect("it is shown")]
    }

    /// Whether discovery shows it.
    pub fn shows(&self, id: usize) -> bool {
        self.key_of(id, true).is_some()
    }

    /// How many objects name a certificate.
    pub fn objects_of(&self, id: usize) -> usize {
        let end = format!("/{id}");
        let names = |c: &&Certificate| {
            c.spec.acm.iter().filter_map(|t| t.certificate_arn.as_ref()).any(|arn| arn.as_str().ends_with(&end))
        };
        self.objects.values().filter(names).count()
    }

    /// A person makes it a managed one.
    pub fn turn_managed(&mut self, id: usize) {
        let key = self.key_of(id, true).unwrap();
        let mut value = serde_json::to_value(&self.objects[&key]).unwrap();
        value["spec"]["management"] = json!("Managed");
        value["spec"]["source"] = json!({ "privateCa": { "certificateAuthority": { "name": "ca" } } });
        value["spec"]["secret"] = json!({ "name": "s" });
        self.store(value);
    }

    /// The controller of Certificates tells what is gone.
    pub fn tell_gone(&mut self) {
        let there: BTreeSet<String> = self.acm.values().map(|c| c.summary.arn.to_string()).collect();
        let now = self.now;
        for object in self.objects.values_mut().filter(|c| c.spec.is_observed()) {
            let arn = object.spec.acm[0].certificate_arn.clone().unwrap();
            let asked = object.annotations().get("arnkeeper.dev/acm-version").is_some_and(|v| v.starts_with("gone "));
            if asked && !there.contains(arn.as_str()) {
                let told = conditions(&[], &[Finding::no(READY, "GoneFromAcm", "gone")], 1, now);
                object.status.get_or_insert_default().conditions = told;
            }
        }
    }

    pub fn condition(&self) -> Condition {
        let status = self.account.status.as_ref().unwrap();
        status.conditions.iter().find(|c| c.type_ == DISCOVERED).cloned().unwrap()
    }

    pub fn around(&self) -> Surroundings {
        Surroundings { objects: self.objects.values().map(Object::of).collect(), others: self.others.clone() }
    }

    fn told(&self) -> Told {
        let id = ID.parse().unwrap();
        step(&self.account, &id, CLUSTER, self.run.as_ref(), Some(&self.around()), self.now)
    }

    /// What a run that just ended would do next.
    pub fn next(&self) -> Option<Next> {
        let (id, discovery) = (ID.parse().unwrap(), self.account.spec.discovery.as_ref()?);
        let place = Place { account: &self.account, id: &id, cluster: CLUSTER };
        Some(next(&place, discovery, self.run.as_ref()?, &self.around(), self.now))
    }

    pub fn is_due(&self) -> bool {
        matches!(self.told(), Told::Begins)
    }

    /// Whatever the hour: one run, from its begin to its end.
    pub fn run(&mut self) {
        self.now += SignedDuration::from_hours(1);
        let rest = self.account.status.as_ref().and_then(|s| s.discovery.as_ref()).and_then(|d| d.next_run.clone());
        self.now = self.now.max(rest.map_or(self.now, |next| next.0));
        self.run_now();
    }

    /// One run, if one is due.
    pub fn run_now(&mut self) {
        self.run = None;
        for _ in 0..500 {
            match self.told() {
                Told::Begins => self.run = Some(begins(&self.account, self.now)),
                Told::Lists(region) => {
                    let list = match self.denied.get(&region) {
                        Some(why) => Err(why.clone()),
                        None => Ok(self
                            .acm
                            .values()
                            .filter(|c| c.region == region)
                            .map(|c| Seen::from(c.summary.clone()))
                            .collect()),
                    };
                    self.run.as_mut().unwrap().lists.insert(region, list);
                }
                Told::Goes(Next::Done(outcome)) => {
                    let mut status = AwsAccountStatus::default();
                    let run = self.run.as_ref().unwrap();
                    let found = tell(&self.account, run, &outcome, &mut status).unwrap();
                    self.taken_over = taken_over(run, &status).map(|event| event.note);
                    status.conditions = conditions(&[], &[found], 1, self.now);
                    self.account.status = Some(status);
                    return;
                }
                Told::Goes(next) => self.go(next),
                other => panic!("{other:?}"),
            }
        }
        panic!("a run came to no end: {:?}", self.told());
    }

    fn go(&mut self, next: Next) {
        match next {
            Next::Tags(arns) => {
                let tags: Vec<_> = arns
                    .into_iter()
                    .map(|arn| {
                        let found = self.acm.values().find(|c| c.summary.arn == arn).map(|c| c.tags.clone());
                        (arn, found)
                    })
                    .collect();
                self.tag_reads += tags.len();
                let run = self.run.as_mut().unwrap();
                for (arn, tags) in tags {
                    if self.deny_tags {
                        let why = Unread { reason: "AccessDenied", message: "no".into(), passes: false };
                        run.tagless.insert("eu-west-1".parse().unwrap(), why);
                    } else {
                        run.tags.insert(arn, tags);
                    }
                }
            }
            Next::Rooms(names) => {
                for name in names {
                    let room = self.rooms.get(&name).copied().unwrap_or(Room::Open);
                    self.run.as_mut().unwrap().rooms.insert(name, room);
                }
            }
            Next::Changes(changes, tags) => {
                if !tags.is_empty() {
                    self.go(Next::Tags(tags));
                }
                self.largest = self.largest.max(changes.len());
                let keys: BTreeSet<_> = changes.iter().map(Change::key).collect();
                assert_eq!(keys.len(), changes.len(), "none depends on another");
                for change in changes {
                    self.change(change);
                }
            }
            Next::Done(_) => unreachable!(),
        }
    }

    fn change(&mut self, change: Change) {
        self.writes += 1;
        let key = change.key();
        let guarded = |there: &Certificate, uid: Option<&str>, version: Option<&str>| {
            assert_eq!((there.uid().as_deref(), there.resource_version().as_deref()), (uid, version), "stale");
            assert!(there.spec.is_observed() && there.labels().contains_key(DISCOVERED_BY_LABEL), "not ours: {key:?}");
        };
        match change {
            Change::Apply(value) if value.to_string().contains("refuse-me") => {
                self.run.as_mut().unwrap().refused.insert(key, "so the test wants it".into());
            }
            Change::Apply(_) if self.taken.contains(&key) => drop(self.run.as_mut().unwrap().taken.insert(key)),
            Change::Apply(value) => {
                let word = |field: &str| value["metadata"][field].as_str();
                match self.objects.get(&key) {
                    Some(there) => guarded(there, word("uid"), word("resourceVersion")),
                    None => assert!(word("uid").is_none(), "{key:?} is not there"),
                }
                self.store(*value);
            }
            Change::Miss(object, version) => {
                let there = self.objects.get_mut(&key).unwrap();
                guarded(there, object.uid.as_deref(), object.resource_version.as_deref());
                there.annotations_mut().insert("arnkeeper.dev/acm-version".into(), version);
                self.uids += 1;
                there.metadata.resource_version = Some(self.uids.to_string());
            }
            Change::Delete(object) => {
                guarded(&self.objects[&key], object.uid.as_deref(), object.resource_version.as_deref());
                self.objects.remove(&key);
                self.run.as_mut().unwrap().note(&Change::Delete(object), "prod");
            }
        }
    }

    /// Whether everything was told to be shown.
    pub fn is_whole(&self) -> bool {
        self.account.status.as_ref().is_some_and(|s| is_true(&s.conditions, DISCOVERED))
    }
}
