//! What a step of a Certificate finds and does in the world.

use super::{
    super::super::{
        FINALIZER, Imported, Installed, Lookup, Observed, Read, Write, acm_managed, adoption, left_behind,
        request_name, search,
        write::{self, import_tags},
    },
    Fault, InAcm, LAG, World,
};
use crate::{
    api::names::{CertificateArn, Located},
    aws::{
        error::{AwsError, Kind},
        port::{Description, Issuance, Summary},
    },
    core::{backoff::Failure, keystores::Password, secret::SecretObject},
    kube::store::Kept,
    pki::{certificate::Certificate as X509, key::PrivateKey},
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use std::{collections::BTreeMap, sync::Arc};

impl World {
    /// Whether it is in the account that the credentials lead to.
    pub(super) fn is_here(&self, c: &InAcm) -> bool {
        c.arn.account() == self.leads_to
    }

    /// What ACM tells of an ARN.
    pub(super) fn shown(&self, arn: &CertificateArn) -> Option<&InAcm> {
        self.acm.iter().find(|c| c.arn == *arn && self.is_here(c) && self.now >= c.created + self.hidden)
    }

    pub(super) fn fail(o: &mut Observed, target: &str, kind: Kind) {
        let error = AwsError { kind, action: "acm:Something", code: None, message: "no".into() };
        let count = o.memory.target_failures.get(target).map_or(0, |f| f.count) + 1;
        o.memory.target_failures.insert(target.to_owned(), Failure { error, count });
        o.targets.entry(target.to_owned()).or_default().failed = true;
    }

    pub(super) fn read(&mut self, o: &mut Observed, read: Read) {
        match &read {
            Read::Tags(..) => self.tag_reads += 1,
            Read::Installed(..) | Read::Watched(..) => self.describes += 1,
            _ => {}
        }
        if let Read::Lookup(target, _)
        | Read::Tags(target, _)
        | Read::Installed(target, _)
        | Read::Watched(target, _)
        | Read::Body(target, _) = &read
            && self.deaf > 0
        {
            self.deaf -= 1;
            return Self::fail(o, target, Kind::Transient);
        }
        if let (Read::Lookup(target, _), Some(kind)) = (&read, self.list_failure) {
            return Self::fail(o, target, kind);
        }
        match read {
            Read::Namespace => o.namespace_labels = Some(BTreeMap::new()),
            Read::Session(account) => {
                let kept_out = self.kept_out.clone();
                o.sessions.insert(account, kept_out.map_or_else(|| Ok(self.leads_to.parse().unwrap()), Err));
            }
            Read::Authority => {
                o.authority = Some(Ok(self.ca.known()));
            }
            Read::Secret => self.see_secret(o),
            Read::Password => {
                self.password_reads += 1;
                let of = o.certificate.spec.secret.keystores.as_ref().unwrap();
                let of = &of.pkcs12.password_secret_ref;
                let secret = self.password.clone().map(SecretObject::from);
                o.password = Some(Password::read(secret.as_ref(), &of.name, &of.key));
            }
            Read::Request(revision) => {
                o.read_requests.insert(revision);
                match self.requests.get(&revision) {
                    Some(request) => drop(o.requests.insert(revision, Arc::new(request.clone()))),
                    None => drop(o.requests.remove(&revision)),
                }
            }
            Read::Staged(revision) => {
                o.staged.insert(revision, self.staged.get(&revision).cloned().map(SecretObject::from));
            }
            Read::Lookup(target, newer_than) => self.lookup(o, target, newer_than),
            Read::Shown(target) => {
                // Others make lists all the time: what is a minute old is in them.
                let names = search::known_names(o);
                let shown = |c: &&InAcm| {
                    self.is_here(c) && self.now >= c.created + LAG && c.leaf.names.dns.iter().any(|n| names.contains(n))
                };
                let found = self.acm.iter().filter(shown).map(|c| (summary(c), c.tags.clone())).collect();
                o.targets.entry(target).or_default().shown = Some(found);
            }
            Read::Tags(target, arn) => {
                let found = self.shown(&arn).map(|c| c.tags.clone());
                if found.is_none() {
                    o.memory.imported.remove(&target);
                }
                let seen = o.targets.entry(target).or_default();
                seen.look_at(&arn);
                seen.tags = Some(found);
            }
            Read::Installed(target, arn) => {
                self.advance(&arn);
                let found = self.shown(&arn).map(installed);
                o.memory.looked.note(&target, self.now);
                let serial = found.as_ref().and_then(|i| i.serial.clone());
                search::note_installed(o, &target, serial.as_ref(), self.now);
                let seen = o.targets.entry(target).or_default();
                seen.look_at(&arn);
                seen.installed = Some(found);
            }
            Read::Watched(target, arn) => {
                let found = self.shown(&arn).map(installed);
                if !o.is_discovered() {
                    o.memory.looked.note(&target, self.now);
                }
                o.targets.entry(target).or_default().installed = Some(found);
            }
            Read::Turn(target, ends) => {
                self.turns.push(ends);
                o.targets.entry(target).or_default().turn = Some(SignedDuration::ZERO);
            }
            Read::Body(target, arn) => {
                let found = self.shown(&arn).map(|c| c.leaf.der.clone());
                let seen = o.targets.entry(target).or_default();
                seen.look_at(&arn);
                seen.body = Some(found);
            }
            Read::Export(_, arn) => self.export(o, &arn),
            Read::Budget(at) => {
                let taken = self.process.ledger.take_managed("prod", &o.uid(), at, self.now);
                o.asked = self.process.ledger.known(&o.uid(), self.now);
                o.counted = Some((at, taken));
            }
            Read::Published { object, data } => self.see_published(o, &object, data),
        }
    }

    fn lookup(&mut self, o: &mut Observed, target: String, newer_than: Timestamp) {
        let names = search::known_names(o);
        let found = |c: &&InAcm| {
            self.is_here(c)
                && (self.now >= c.created + LAG || self.process.own.contains(&c.arn))
                && c.leaf.names.dns.iter().any(|name| names.contains(name))
        };
        let lookup = if self.now < self.next_list {
            Lookup::NotYet(self.next_list)
        } else if self.now > newer_than {
            let found: Vec<_> = self.acm.iter().filter(found).map(|c| (summary(c), c.tags.clone())).collect();
            self.lists += 1;
            if search::is_clear(o, &target, &found, newer_than) {
                self.process.begun.remove(&target);
            }
            Lookup::Found(found)
        } else {
            Lookup::NotYet(newer_than + SignedDuration::from_secs(1))
        };
        o.targets.entry(target).or_default().lookup = Some(lookup);
    }

    pub(super) fn see_secret(&self, o: &mut Observed) {
        let secret = self.secret.clone().map(SecretObject::from);
        o.see_secret(secret);
        for revision in o.in_sight() {
            if let Some(request) = self.requests.get(&revision).filter(|_| !self.unseen) {
                // As the store of the watch has it.
                let mut request = request.clone();
                request.lean();
                o.requests.insert(revision, Arc::new(request));
            }
        }
    }

    pub(super) fn write(&mut self, o: &mut Observed, write: Write, fault: Fault) {
        self.changes += 1;
        self.count(o, &write, fault);
        if to_aws(&write) && matches!(fault, Fault::AnswerLost | Fault::Unsent | Fault::Refused) {
            let target = target_of(&write);
            let new = matches!(write, Write::ImportNew(_) | Write::RequestNew(_));
            if let Write::Renew(_, _, record) = &write {
                o.memory.renewal = None;
                if fault == Fault::Refused {
                    o.memory.refused.insert(target.clone(), Some(Time(*record)));
                }
            }
            if fault == Fault::AnswerLost {
                let kept = o.memory.clone();
                self.effect(o, write);
                o.memory = kept;
                self.process.own.clear();
            }
            if new {
                self.process.records.remove(&target);
                if fault == Fault::Refused {
                    let record = o.certificate.status.iter().flat_map(|s| &s.targets).find(|t| t.name == target);
                    o.memory.refused.insert(target.clone(), record.and_then(|t| t.pending_since.clone()));
                } else {
                    self.process.begun.insert(target.clone(), self.now);
                }
            }
            Self::fail(o, &target, if fault == Fault::Refused { Kind::Refused } else { Kind::Transient });
            o.targets.entry(target).or_default().record_age = None;
        } else {
            self.effect(o, write);
        }
    }

    pub(super) fn effect(&mut self, o: &mut Observed, write: Write) {
        match write {
            Write::Finalizer(wanted) => {
                if !wanted {
                    o.memory.happened.extend(left_behind(o, self.now));
                }
                self.certificate.metadata.finalizers = wanted.then(|| vec![FINALIZER.to_owned()]);
                self.gone = !wanted && self.certificate.metadata.deletion_timestamp.is_some();
                self.touch();
                o.certificate = Arc::new(self.certificate.clone());
            }
            Write::Stage { revision, algorithm, keep_key } => {
                assert_eq!(o.certificate.spec.source_secret(), None, "a key is made for a source");
                let key = if keep_key {
                    PrivateKey::from_pem(&o.current().unwrap().key.to_pkcs8_pem()).unwrap()
                } else {
                    PrivateKey::generate(algorithm).unwrap()
                };
                let staged = write::staged(o, revision, &key, self.now).unwrap();
                let object = self.staged.entry(revision).or_insert_with(|| staged.object().clone()).clone();
                o.staged.insert(revision, Some(object.into()));
                o.memory.unstaged = None;
            }
            Write::Request { revision, trigger } => {
                let mut request = write::request(o, revision, trigger, self.now).unwrap();
                self.uids += 1;
                request.metadata.uid = Some(format!("request-{}", self.uids));
                request.metadata.creation_timestamp = Some(Time(self.now));
                let stored = self.requests.entry(revision).or_insert(request).clone();
                o.memory.happened.extend(write::lost(o, self.now));
                assert_eq!(stored.name_any(), request_name("app", revision));
                o.requests.insert(revision, Arc::new(stored));
            }
            Write::Secret(revision) => {
                let secret = write::issued(o, revision, self.now).unwrap();
                self.put(o, &secret);
            }
            Write::Repair(revision) => {
                let (secret, event) = write::repaired(o, revision, self.now).unwrap();
                o.memory.repaired = Some(self.now);
                o.memory.happened.push(event);
                self.put(o, &secret);
            }
            Write::SecretMetadata => {
                let secret = write::completed(o).unwrap().unwrap();
                self.put(o, &secret);
            }
            Write::DeleteStaged(revision) => {
                self.staged.remove(&revision);
                o.staged.insert(revision, None);
                o.memory.unstaged = Some(revision);
            }
            Write::DeleteRequest(name) => {
                self.requests.retain(|_, request| request.name_any() != name);
                o.forget_request(&name);
            }
            Write::ImportNew(target) => self.import_new(o, &target),
            Write::RequestNew(target) => self.request_new(o, &target),
            Write::Renew(_, arn, record) => self.renew(o, &arn, record),
            Write::Exported(revision) => {
                let secret = acm_managed::secret(o, revision).unwrap();
                self.put(o, &secret);
                acm_managed::note_written(o, self.now);
            }
            Write::Reimport(target, arn) => {
                let leaf = self.leaf_to_import(o);
                let there = self.acm.iter_mut().find(|c| c.arn == arn).unwrap();
                let accepted =
                    there.leaf.algorithm == leaf.algorithm && !there.leaf.names.dns.is_disjoint(&leaf.names.dns);
                assert!(accepted, "paid for in vain: ACM takes no other key, and wants a domain to stay");
                let ours = there.tags.get("arnkeeper.dev/name").is_some_and(|name| name == "app");
                assert!(ours && there.imported, "imported over what is not ours");
                there.leaf = leaf;
                if self.forgetful {
                    there.tags.clear();
                }
                self.imported(o, &target, arn);
            }
            Write::Retag(target, arn, add, remove) => {
                let there = self.acm.iter_mut().find(|c| c.arn == arn).unwrap();
                there.tags.extend(add);
                there.tags.retain(|key, _| !remove.contains(key));
                o.targets.entry(target).or_default().tags = Some(Some(there.tags.clone()));
            }
            Write::DeleteFromAcm(target, arn) => self.delete_from_acm(o, target, &arn),
            Write::Publish { object, version, fields, mark } => self.publish(o, &object, &version, fields, mark),
        }
    }

    fn delete_from_acm(&mut self, o: &mut Observed, target: String, arn: &CertificateArn) {
        let stored = self.certificate.status.iter().flat_map(|s| &s.targets).find(|t| t.name == target);
        let in_status = stored.and_then(|t| t.arn.as_ref());
        let (stored, other) = (in_status == Some(arn), in_status.is_some_and(|there| *there != *arn));
        let imported = o.memory.imported.get(&target).is_some_and(|i| i.arn == *arn);
        if imported {
            o.memory.imported.remove(&target);
        }
        let known = stored || (imported && !other);
        let spared = |c: &InAcm| !known && adoption::is_adopted(&c.arn, &c.tags);
        let deleting = o.certificate.metadata.deletion_timestamp.is_some();
        if !known && !deleting && !self.acm.iter().any(|c| c.arn == *arn && spared(c)) {
            o.memory.happened.push(write::twin_deleted(&target, arn));
        }
        self.acm.retain(|c| c.arn != *arn || spared(c));
        let seen = o.targets.entry(target).or_default();
        if let Some(Lookup::Found(found)) = &mut seen.lookup {
            found.retain(|(summary, _)| summary.arn != *arn);
        }
        if let Some(shown) = &mut seen.shown {
            shown.retain(|(summary, _)| summary.arn != *arn);
        }
        if known {
            seen.look_at(arn);
            seen.tags = Some(None);
            seen.deleted = true;
        } else if imported {
            (seen.tags, seen.installed) = (None, None);
        }
    }

    pub(super) fn put(&mut self, o: &mut Observed, secret: &SecretObject) {
        assert_eq!(o.certificate.spec.source_secret(), None, "a source is written to");
        let mut object = secret.object().clone();
        object.metadata.uid.get_or_insert_with(|| "secret".into());
        if let (Some(key), Some(data)) = (self.webhook, &mut object.data) {
            data.remove(key);
        }
        self.secret = Some(object);
        self.see_secret(o);
    }

    pub(super) fn import_new(&mut self, o: &mut Observed, target: &str) {
        self.new_imports += 1;
        self.process.records.remove(target);
        self.process.begun.remove(target);
        let spec = self.certificate.spec.acm.iter().find(|t| t.name == target).unwrap();
        let tags = import_tags(o, spec);
        let region = spec.region.as_ref().unwrap_or(&self.certificate.spec.region);
        let n = self.new_imports;
        let arn: CertificateArn =
            format!("arn:aws:acm:{region}:{}:certificate/00000000-0000-0000-0000-{n:012}", self.leads_to)
                .parse()
                .unwrap();
        let leaf = self.leaf_to_import(o);
        self.acm.push(InAcm {
            arn: arn.clone(),
            leaf,
            tags,
            created: self.now,
            in_use: false,
            imported: true,
            managed: None,
        });
        self.process.own.push(arn.clone());
        self.imported(o, target, arn);
    }

    /// ACM takes nothing of a source that is not valid, or stands alone.
    fn leaf_to_import(&self, o: &Observed) -> X509 {
        let chain = &o.current().unwrap().chain;
        let valid = chain.leaf.not_before <= self.now && self.now < chain.leaf.not_after && chain.root.is_some();
        assert!(valid || o.certificate.spec.source_secret().is_none(), "ACM refuses it");
        chain.leaf.clone()
    }

    pub(super) fn imported(&mut self, o: &mut Observed, target: &str, arn: CertificateArn) {
        let serial = o.current().unwrap().chain.leaf.serial.clone();
        adoption::note_import(o, target, &arn);
        let content = o.content();
        o.memory.imported.insert(target.to_owned(), Imported { arn, serial: Some(serial), content, at: self.now });
        o.memory.target_failures.remove(target);
    }
}

pub(super) fn to_aws(write: &Write) -> bool {
    matches!(
        write,
        Write::ImportNew(_)
            | Write::RequestNew(_)
            | Write::Renew(..)
            | Write::Reimport(..)
            | Write::Retag(..)
            | Write::DeleteFromAcm(..)
    )
}

pub(super) fn target_of(write: &Write) -> String {
    match write {
        Write::ImportNew(t)
        | Write::RequestNew(t)
        | Write::Renew(t, ..)
        | Write::Reimport(t, _)
        | Write::Retag(t, ..)
        | Write::DeleteFromAcm(t, _) => t.clone(),
        _ => String::new(),
    }
}

pub(super) fn summary(c: &InAcm) -> Summary {
    let names = c.leaf.names.dns.iter().cloned().collect();
    Summary {
        arn: c.arn.clone(),
        names,
        more_names: false,
        imported: c.imported,
        in_use: c.in_use,
        created_at: Some(c.created),
        more: None,
    }
}

pub(super) fn installed(c: &InAcm) -> Installed {
    if let Some(managed) = &c.managed {
        return managed.installed(c);
    }
    let description = Description {
        serial: Some(c.leaf.serial.clone()),
        imported: c.imported,
        algorithm: c.leaf.algorithm,
        algorithm_name: String::new(),
        key_usages: vec![],
        extended_key_usages: vec![],
        names: c.leaf.names.dns.iter().cloned().collect(),
        in_use_by: if c.in_use { vec!["arn:aws:elasticloadbalancing:x".into()] } else { vec![] },
        not_after: Some(c.leaf.not_after),
        not_before: Some(c.leaf.not_before),
        state: "ISSUED".into(),
        kind: "IMPORTED".into(),
        renewal: "INELIGIBLE".into(),
        issuance: Issuance::default(),
    };
    Installed { description, serial: Some(c.leaf.serial.clone()) }
}
