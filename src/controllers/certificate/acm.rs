//! What a Certificate asks of ACM, one call at a time.

use super::Certificates;
use crate::{
    api::{
        certificate::{Target, TargetStatus},
        names::{CertificateArn, Region},
        shared::Tags,
    },
    aws::{
        error::{AwsError, Kind as ErrorKind},
        inventory::{self, New},
        paced::{asking, line::Asker, pacer::LONGEST_WAIT, quotas::Operation},
        port::Material,
    },
    controllers::context::account_id,
    core::certificate::{Imported, Installed, Lookup, Observed, RECORD_FRESH, TargetObserved, adoption, search, write},
    pki::certificate::parse_pem,
};
use jiff::{SignedDuration, Timestamp};
use std::{
    collections::HashMap,
    sync::{MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// ACM's words for a certificate that was issued.
const HAS_BODY: [&str; 3] = ["ISSUED", "EXPIRED", "INACTIVE"];
/// What a look at all that ACM has takes.
const LOOKING: [Operation; 2] = [Operation::ListCertificates, Operation::ListTagsForCertificate];
/// A call waits for its turn after it was begun here, so its record may be so old.
const RECORD_LASTS: Duration = RECORD_FRESH.saturating_sub(LONGEST_WAIT);

impl Certificates {
    pub(super) async fn lookup(&self, o: &mut Observed, target: &str, newer_than: Timestamp) {
        let Some((aws, region)) = self.place(o, target).await else { return };
        let names = search::known_names(o);
        match self.context.inventory.candidates(&*aws, &region, &names, newer_than, &*self.context.clock).await {
            Ok(inventory::Lookup::Found(found)) => {
                let found: Vec<_> = found.into_iter().map(|c| (c.summary, c.tags)).collect();
                if search::is_clear(o, target, &found, newer_than) {
                    self.begun().remove(&(o.namespace(), o.name(), target.to_owned()));
                }
                seen(o, target).lookup = Some(Lookup::Found(found));
                Self::well(o, target, &LOOKING);
            }
            Ok(inventory::Lookup::NotYet { until }) => seen(o, target).lookup = Some(Lookup::NotYet(until)),
            Err(error) => self.fail_target(o, target, error),
        }
    }

    pub(super) async fn shown(&self, o: &mut Observed, target: &str) {
        let Some((aws, region)) = self.place(o, target).await else { return };
        match self.context.inventory.shown(&*aws, &region, &search::known_names(o)).await {
            Ok(found) => {
                seen(o, target).shown = Some(found.into_iter().map(|c| (c.summary, c.tags)).collect());
                Self::well(o, target, &LOOKING);
            }
            Err(error) => self.fail_target(o, target, error),
        }
    }

    pub(super) async fn tags(&self, o: &mut Observed, target: &str, arn: &CertificateArn) {
        let Some((aws, _)) = self.place(o, target).await else { return };
        match aws.tags(arn).await {
            Ok(tags) => {
                self.context.inventory.note_tags(arn, &tags);
                let view = seen(o, target);
                view.look_at(arn);
                view.tags = Some(Some(tags));
                Self::well(o, target, &[Operation::ListTagsForCertificate]);
            }
            Err(error) if error.kind == ErrorKind::NotFound => {
                self.context.inventory.note_gone(arn);
                o.memory.imported.remove(target);
                let view = seen(o, target);
                view.look_at(arn);
                view.tags = Some(None);
            }
            Err(error) => self.fail_target(o, target, error),
        }
    }

    /// What ACM has under an ARN; the serial number comes from the certificate itself where Describe tells none.
    pub(super) async fn installed(&self, o: &mut Observed, target: &str, arn: &CertificateArn) {
        let Some((aws, _)) = self.place(o, target).await else { return };
        let installed = match aws.describe_certificate(arn).await {
            Ok(description) => match description.serial.clone() {
                Some(serial) => Ok(Some(Installed { description, serial: Some(serial) })),
                // What ACM is still issuing has none, and no body either.
                None if o.is_managed() && !HAS_BODY.contains(&&*description.state) => {
                    Ok(Some(Installed { description, serial: None }))
                }
                None => {
                    let body = aws.certificate_body(arn).await;
                    if body.is_ok() {
                        Self::well(o, target, &[Operation::GetAcmCertificate]);
                    }
                    body.map(|body| {
                        let serial = parse_pem(&body.certificate).ok().map(|certificate| certificate.serial);
                        Some(Installed { description, serial })
                    })
                }
            },
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        match installed {
            Ok(installed) => {
                let found = installed.as_ref().and_then(|i: &Installed| i.serial.clone());
                search::note_installed(o, target, found.as_ref(), self.context.clock.now());
                let view = seen(o, target);
                view.look_at(arn);
                view.installed = Some(installed);
                o.memory.looked.note(target, self.context.clock.now());
                Self::well(o, target, &[Operation::DescribeCertificate]);
            }
            Err(error) => self.fail_target(o, target, error),
        }
    }

    /// What ACM says of a certificate that is only watched. What is not issued yet has no serial number; where Describe tells none
    /// of what is, the certificate itself may.
    pub(super) async fn watched(&self, o: &mut Observed, target: &str, arn: &CertificateArn) {
        let Some((aws, _)) = self.place(o, target).await else { return };
        let installed = match aws.describe_certificate(arn).await {
            Ok(description) => {
                let mut serial = description.serial.clone();
                if serial.is_none() && HAS_BODY.contains(&&*description.state) {
                    let body = aws.certificate_body(arn).await.ok();
                    serial =
                        body.and_then(|body| parse_pem(&body.certificate).ok()).map(|certificate| certificate.serial);
                }
                Some(Installed { description, serial })
            }
            Err(error) if error.kind == ErrorKind::NotFound => None,
            Err(error) => return self.fail_target(o, target, error),
        };
        if !o.is_discovered() {
            o.memory.looked.note(target, self.context.clock.now());
        }
        o.memory.target_failures.remove(target);
        let serial = installed.as_ref().and_then(|i| i.serial.as_ref()).map(ToString::to_string);
        self.see_holders(o, serial.as_deref());
        seen(o, target).installed = Some(installed);
    }

    pub(super) async fn body(&self, o: &mut Observed, target: &str, arn: &CertificateArn) {
        let Some((aws, _)) = self.place(o, target).await else { return };
        match aws.certificate_body(arn).await {
            Ok(body) => {
                let view = seen(o, target);
                view.look_at(arn);
                view.body = Some(parse_pem(&body.certificate).ok().map(|certificate| certificate.der));
                Self::well(o, target, &[Operation::GetAcmCertificate]);
            }
            Err(error) => self.fail_target(o, target, error),
        }
    }

    /// A turn that is near is waited for: that costs less than to come back for it.
    pub(super) async fn turn(&self, o: &mut Observed, target: &str, ends: Option<Timestamp>) {
        let Some((aws, region)) = self.place(o, target).await else { return };
        let left = ends.map(|ends| ends.duration_since(self.context.clock.now()).try_into().unwrap_or_default());
        let wait = asking(Asker { left, ..importer(o, target) }, aws.turn_to_import(&region)).await;
        seen(o, target).turn = Some(SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX));
    }

    pub(super) async fn import_new(&self, o: &mut Observed, name: &str) {
        let Some(target) = target_spec(o, name).cloned() else { return };
        let Some((aws, region)) = self.place(o, name).await else { return };
        let Some(material) = material(o) else { return };
        let tags = write::import_tags(o, &target);
        if !self.begin(o, name) {
            return;
        }
        seen(o, name).turn = None;
        match asking(importer(o, name), aws.import_new(&region, &material, &tags)).await {
            Ok(arn) => {
                tracing::info!(certificate = %o.name(), namespace = %o.namespace(), target = name, %arn, "imported under a new ARN");
                let new = New { arn: &arn, names: &search::known_names(o), tags: &tags, imported: true };
                self.context.inventory.note_new(&account_id(&*aws), &region, new, self.context.clock.now());
                self.begun().remove(&(o.namespace(), o.name(), name.to_owned()));
                self.imported(o, name, arn);
            }
            Err(error) => self.not_made(o, name, error),
        }
    }

    /// Whether what makes a new ARN may begin. The record carries one call, whatever comes of it; and none, if the way to the
    /// account took too long.
    pub(super) fn begin(&self, o: &mut Observed, name: &str) -> bool {
        let stored = self.take_record(o, name);
        if stored.is_none_or(|stored| stored.elapsed() > RECORD_LASTS) {
            if stored.is_some() {
                // It carried no call: the next one needs no minute of patience.
                let record = entry(o, name).and_then(|t| t.pending_since.clone());
                o.memory.refused.insert(name.to_owned(), record);
            }
            return false;
        }
        let began = self.context.clock.now();
        self.begun().insert((o.namespace(), o.name(), name.to_owned()), began);
        true
    }

    /// What was to make a new ARN failed, and may have made one all the same.
    pub(super) fn not_made(&self, o: &mut Observed, name: &str, error: AwsError) {
        if error.kind == ErrorKind::Transient {
            // Who was frozen in the call learns of its end long after its beginning; until then it was under way.
            let ended = self.context.clock.now();
            self.begun().insert((o.namespace(), o.name(), name.to_owned()), ended);
            self.context.note_unanswered(ended);
        } else {
            self.begun().remove(&(o.namespace(), o.name(), name.to_owned()));
            let record = entry(o, name).and_then(|t| t.pending_since.clone());
            o.memory.refused.insert(name.to_owned(), record);
        }
        self.fail_target(o, name, error);
    }

    pub(super) async fn reimport(&self, o: &mut Observed, name: &str, arn: CertificateArn) {
        let Some((aws, _)) = self.place(o, name).await else { return };
        let Some(material) = material(o) else { return };
        seen(o, name).turn = None;
        match asking(importer(o, name), aws.reimport(&arn, &material)).await {
            Ok(()) => {
                tracing::info!(certificate = %o.name(), namespace = %o.namespace(), target = name, %arn, "imported again under its ARN");
                self.imported(o, name, arn);
            }
            Err(error) => self.fail_target(o, name, error),
        }
    }

    pub(super) fn imported(&self, o: &mut Observed, target: &str, arn: CertificateArn) {
        let Some(serial) = o.current().map(|pair| pair.chain.leaf.serial.clone()) else { return };
        adoption::note_import(o, target, &arn);
        let content = o.content();
        let imported = Imported { arn, serial: Some(serial), content, at: self.context.clock.now() };
        o.memory.imported.insert(target.to_owned(), imported);
        o.memory.refused.remove(target);
        o.memory.target_failures.remove(target);
    }

    pub(super) async fn retag(
        &self,
        o: &mut Observed,
        target: &str,
        arn: &CertificateArn,
        add: Tags,
        remove: Vec<String>,
    ) {
        let Some((aws, _)) = self.place(o, target).await else { return };
        let added = if add.is_empty() { Ok(()) } else { aws.add_tags(arn, &add).await };
        let removed = match added {
            Ok(()) if !remove.is_empty() => aws.remove_tags(arn, &remove).await,
            other => other,
        };
        match removed {
            Ok(()) => {
                let tags = seen(o, target).tags.get_or_insert_default().get_or_insert_default();
                tags.extend(add);
                tags.retain(|key, _| !remove.contains(key));
                self.context.inventory.note_tags(arn, tags);
                Self::well(o, target, &[Operation::AddTagsToCertificate, Operation::RemoveTagsFromCertificate]);
            }
            Err(error) => self.fail_target(o, target, error),
        }
    }

    pub(super) async fn delete_from_acm(&self, o: &mut Observed, target: &str, arn: CertificateArn) {
        let Some((aws, _)) = self.place(o, target).await else { return };
        let in_status = entry(o, target).and_then(|t| t.arn.as_ref());
        let (stored, other) = (in_status == Some(&arn), in_status.is_some_and(|there| *there != arn));
        let imported = o.memory.imported.get(target).is_some_and(|i| i.arn == arn);
        let known = stored || (imported && !other);
        let found = !known && target_spec(o, target).is_some();
        // What is still to be delivered is deleted only where a second ARN carries its tags.
        let surplus = found && o.certificate.metadata.deletion_timestamp.is_none();
        // What was known of its tags may be old: somebody may have taken it over since.
        let tags = aws.tags(&arn).await;
        // What was taken over is no second one that was made by mistake.
        let spared = |tags: &Tags| found && adoption::is_adopted(&arn, tags);
        if let Ok(tags) = &tags
            && (spared(tags)
                || !write::ownership_tags(o, target).iter().all(|(key, value)| tags.get(key) == Some(value)))
        {
            self.context.inventory.note_tags(&arn, tags);
            if imported && other {
                o.memory.imported.remove(target);
            }
            let view = seen(o, target);
            not_found(view, &arn);
            if stored {
                view.look_at(&arn);
                view.tags = Some(Some(tags.clone()));
            }
            return;
        }
        let deleted = match tags {
            Ok(_) => aws.delete_certificate(&arn).await,
            Err(error) => Err(error),
        };
        if surplus {
            let removed = deleted.as_ref().map_or_else(|error| error.kind == ErrorKind::NotFound, |()| true);
            self.context.metrics.duplicate(removed);
        }
        match deleted {
            Err(error) if error.kind == ErrorKind::InUse && surplus => {
                self.context.inventory.note_in_use(&arn);
                not_found(seen(o, target), &arn);
                if imported {
                    o.memory.imported.remove(target);
                }
                o.memory.happened.push(write::twin_in_use(target, &arn));
            }
            Err(error) if error.kind != ErrorKind::NotFound => self.fail_target(o, target, error),
            deleted => {
                tracing::info!(certificate = %o.name(), namespace = %o.namespace(), target, %arn, "deleted from ACM");
                self.context.inventory.note_gone(&arn);
                Self::well(o, target, &[Operation::DeleteCertificate]);
                if imported {
                    o.memory.imported.remove(target);
                }
                if surplus {
                    o.memory.happened.push(write::twin_deleted(target, &arn));
                }
                let view = seen(o, target);
                not_found(view, &arn);
                if known {
                    view.look_at(&arn);
                    view.tags = Some(None);
                    view.deleted = deleted.is_ok();
                } else if imported {
                    // What was read may be about this one, not about that of the status.
                    (view.tags, view.installed) = (None, None);
                }
            }
        }
    }

    pub(super) fn take_record(&self, o: &mut Observed, target: &str) -> Option<Instant> {
        seen(o, target).record_age = None;
        let key = (o.uid(), target.to_owned());
        self.records.lock().unwrap_or_else(PoisonError::into_inner).remove(&key)
    }

    pub(super) fn begun(&self) -> MutexGuard<'_, HashMap<(String, String, String), Timestamp>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who imports: leave to do so is for this target.
fn importer(o: &Observed, target: &str) -> Asker {
    Asker { key: format!("{}/{target}", o.uid()), left: None }
}

/// What was seen of a target.
pub(super) fn seen<'a>(o: &'a mut Observed, target: &str) -> &'a mut TargetObserved {
    o.targets.entry(target.to_owned()).or_default()
}

/// What was seen of a target holds this certificate no more.
fn not_found(view: &mut TargetObserved, arn: &CertificateArn) {
    if let Some(Lookup::Found(found)) = &mut view.lookup {
        found.retain(|(summary, _)| summary.arn != *arn);
    }
    if let Some(shown) = &mut view.shown {
        shown.retain(|(summary, _)| summary.arn != *arn);
    }
}

pub(super) fn target_spec<'a>(o: &'a Observed, name: &str) -> Option<&'a Target> {
    o.certificate.spec.acm.iter().find(|t| t.name == name)
}

pub(super) fn entry<'a>(o: &'a Observed, name: &str) -> Option<&'a TargetStatus> {
    o.certificate.status.as_ref()?.targets.iter().find(|t| t.name == name)
}

/// Where a target lies: by the spec or, if it is gone from there, by the status.
pub(super) fn located(o: &Observed, name: &str) -> Option<(String, Region)> {
    if let Some(target) = target_spec(o, name) {
        let (account, region) = o.place(target);
        return Some((account.to_owned(), region.clone()));
    }
    let status = o.certificate.status.as_ref()?;
    status.targets.iter().find(|t| t.name == name).map(|t| (t.account.clone(), t.region.clone()))
}

pub(super) fn material(o: &Observed) -> Option<Material> {
    let pair = o.current()?;
    Some(Material {
        certificate: pair.chain.leaf.to_pem(),
        private_key: pair.key.to_acm_pem(),
        chain: pair.chain.acm_chain(),
    })
}
