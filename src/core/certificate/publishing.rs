//! Where the ARNs are needed: one field each of other people's objects, by server-side apply under a manager of our own.
//!
//! What is about to be written is stored first, so that whoever finds an entry withdrawn knows what to take back. Nothing
//! here keeps a certificate from being renewed or delivered.

use super::{
    Next, Observed, Read, Write,
    delivery::Need,
    drift, entry,
    published::{LOOK, PublishedSeen, Version, failure, seen},
};
use crate::{
    api::{
        certificate::{CertificateStatus, TargetState},
        conditions::{Finding, PUBLISHED, is_true, whole_seconds},
        names::CertificateArn,
        publish::{ObjectRef, Place, PublishState, PublishedField, PublishedStatus},
    },
    core::Event,
    text::plain,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::collections::BTreeMap;

/// The namespaces of Kubernetes itself: what stands there in ConfigMaps may be the keys of the cluster.
const RESERVED: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];
/// The longest message about an object, in bytes: a status holds twenty and more.
const LONGEST_MESSAGE: usize = 1024;
/// Objects that nothing is wanted in any more, and can't be written to, are remembered up to so many in all.
const MOST_ENTRIES: usize = 60;

/// An object, and the fields that are wanted there and whose ARN is known.
struct Wanted {
    object: ObjectRef,
    fields: Vec<PublishedField>,
}

/// The ARN of a target, once it will not be another by itself.
fn settled_arn<'a>(o: &Observed, status: &'a CertificateStatus, target: &str) -> Option<&'a CertificateArn> {
    let known = entry(status, target)?;
    let spec = o.certificate.spec.acm.iter().find(|t| t.name == target)?;
    let settled = known.state == TargetState::Delivered || (known.serial_number.is_some() && o.keeps_arn(spec));
    known.arn.as_ref().filter(|_| settled)
}

fn wanted(o: &Observed, status: &CertificateStatus) -> Vec<Wanted> {
    let mut all: Vec<Wanted> = Vec::new();
    for publication in &o.certificate.spec.publish {
        let (object, place) = (publication.object(), publication.place());
        let before = status.published.iter().find(|p| p.object().is_same(&object));
        let before = before.and_then(|p| p.fields.iter().find(|f| f.is_at(&place)));
        // While a target gets another ARN, the one before it stays: to take it away would be an outage.
        let arn = settled_arn(o, status, &publication.target).or(before.map(|f| &f.arn));
        let field = arn.map(|arn| PublishedField {
            annotation: place.annotation,
            config_map_key: place.config_map_key,
            arn: arn.clone(),
        });
        match all.iter_mut().find(|w| w.object.is_same(&object)) {
            Some(known) => known.fields.extend(field),
            None => all.push(Wanted { object, fields: field.into_iter().collect() }),
        }
    }
    for wanted in &mut all {
        wanted.fields.sort_by_key(PublishedField::place);
    }
    all
}

/// Whether nothing is published from this namespace.
fn is_reserved(o: &Observed) -> bool {
    RESERVED.contains(&&*o.namespace())
}

/// The next step for all objects, or how long to rest. What waits is told in `status.published`.
pub(super) fn next(o: &Observed, status: &mut CertificateStatus, now: Timestamp) -> Next {
    let spec = &o.certificate.spec;
    if (spec.publish.is_empty() && status.published.is_empty()) || is_reserved(o) {
        return Next::Settled(super::LONG);
    }
    let mut wanted = wanted(o, status);
    let withdrawn = status.published.iter().map(PublishedStatus::object);
    let withdrawn: Vec<_> = withdrawn.filter(|old| !wanted.iter().any(|w| w.object.is_same(old))).collect();
    wanted.extend(withdrawn.into_iter().map(|object| Wanted { object, fields: vec![] }));
    let (mut read, mut write, mut save, mut rest) = (None, None, false, super::LONG);
    let mut entries = Vec::new();
    for Wanted { object, fields } in &wanted {
        let stored = status.published.iter().find(|p| p.object().is_same(object));
        if object.is_refused() || (stored.is_none() && fields.is_empty()) {
            continue;
        }
        let mut told = stored.cloned().unwrap_or_else(|| fresh(object));
        told.api_version.clone_from(&object.api_version);
        match need(o, object, fields, &mut told, now) {
            None => continue,
            Some(Need::Read(r)) => read = read.or(Some(r)),
            Some(Need::Write(w)) => write = write.or(Some(w)),
            Some(Need::Save) => save = true,
            Some(Need::Later(wait)) => rest = rest.min(wait),
            Some(_) => {}
        }
        entries.push(told);
    }
    entries.truncate(MOST_ENTRIES);
    status.published = entries;
    if save {
        Next::Save
    } else if let Some(write) = write {
        Next::Write(write)
    } else if let Some(read) = read {
        Next::Read(read)
    } else {
        Next::Settled(rest)
    }
}

fn fresh(object: &ObjectRef) -> PublishedStatus {
    PublishedStatus {
        api_version: object.api_version.clone(),
        kind: object.kind.clone(),
        name: object.name.clone(),
        fields: vec![],
        published_at: None,
        state: PublishState::Pending,
        message: None,
    }
}

/// What an object needs; none: nothing is wanted there and nothing is left.
fn need(
    o: &Observed,
    object: &ObjectRef,
    fields: &[PublishedField],
    told: &mut PublishedStatus,
    now: Timestamp,
) -> Option<Need> {
    let seen = seen(o, object);
    if fields.is_empty() && (seen == Some(&PublishedSeen::Missing) || told.fields.is_empty()) {
        return None;
    }
    // What was never written needs not be taken back, and what is in the way of that is no trouble. A call without an answer may
    // have written it.
    let never = told.published_at.is_none()
        && failure(o, object).is_some_and(|f| f.is_told() && f.trouble.state != PublishState::Unavailable);
    if fields.is_empty() && never {
        return None;
    }
    let settled = told.state == PublishState::Published && told.fields == fields;
    // Stored before it is written: else nobody would know of it once it is withdrawn.
    let new: Vec<_> = fields.iter().filter(|f| !told.fields.iter().any(|t| t.is_at(&f.place()))).cloned().collect();
    if !new.is_empty() {
        told.fields.extend(new);
        told.fields.sort_by_key(PublishedField::place);
        (told.state, told.message) = (PublishState::Pending, None);
        return Some(Need::Save);
    }
    if let Some(failure) = failure(o, object)
        && let Some(rest) = failure.rest(o, now)
    {
        if failure.is_told() {
            told.state = failure.trouble.state;
            told.message = Some(plain(&failure.trouble.message, LONGEST_MESSAGE));
        }
        return Some(Need::Later(rest));
    }
    let write = |version: &Version, mark| {
        let (object, version, fields) = (object.clone(), Box::new(version.clone()), fields.to_vec());
        Some(Need::Write(Write::Publish { object, version, fields, mark }))
    };
    // Who recorded a field and was frozen before it wrote it, writes it to the version that it read, long after it is withdrawn.
    let withdraws = told.fields.iter().any(|told| !fields.iter().any(|f| f.is_at(&told.place())));
    match seen {
        Some(PublishedSeen::Unmoved(version, there)) if there == fields && withdraws => write(version, true),
        Some(PublishedSeen::Marked(version)) => write(version, false),
        Some(PublishedSeen::Applied(there) | PublishedSeen::Unmoved(_, there)) if there == fields => {
            if fields.is_empty() {
                return None;
            }
            if !settled {
                told.published_at = Some(Time(whole_seconds(now)));
            }
            told.fields = fields.to_vec();
            (told.state, told.message) = (PublishState::Published, None);
            Some(Need::Later(next_look(o, now)))
        }
        Some(PublishedSeen::Found { version, annotations, data }) => {
            let differs = fields.iter().find(|f| !has(f, annotations, data));
            match differs {
                None if settled => Some(Need::Later(next_look(o, now))),
                Some(field) if settled => {
                    let message = format!("{} was changed or removed by somebody else", field.place());
                    (told.state, told.message) = (PublishState::Pending, Some(message));
                    Some(Need::Save)
                }
                _ => write(version, false),
            }
        }
        None if settled && !looks(o, now) && failure(o, object).is_none() => Some(Need::Later(next_look(o, now))),
        _ => {
            let data = fields.iter().chain(&told.fields).any(|f| f.config_map_key.is_some());
            Some(Need::Read(Read::Published { object: object.clone(), data }))
        }
    }
}

/// Whether a field has its ARN.
pub(super) fn has(
    field: &PublishedField,
    annotations: &BTreeMap<String, String>,
    data: &BTreeMap<String, String>,
) -> bool {
    let there = match (&field.annotation, &field.config_map_key) {
        (Some(annotation), _) => annotations.get(annotation),
        (None, Some(key)) => data.get(key),
        (None, None) => None,
    };
    there.map(String::as_str) == Some(field.arn.as_str())
}

/// Whether this pass looks at what was published though nothing of ours asks for it.
fn looks(o: &Observed, now: Timestamp) -> bool {
    let last = o.memory.looked.get(LOOK);
    last.and_then(|last| drift::slot(&o.uid(), LOOK, o.publish_interval, last)).is_some_and(|at| at <= now)
}

/// How long until the next look.
fn next_look(o: &Observed, now: Timestamp) -> SignedDuration {
    let next = drift::slot(&o.uid(), LOOK, o.publish_interval, now);
    next.map_or(super::LONG, |at| at.duration_since(now).max(SignedDuration::from_secs(1)))
}

/// What the condition says; none: nothing is to be published.
pub(super) fn finding(o: &Observed, after: &CertificateStatus) -> Option<Finding> {
    let spec = &o.certificate.spec;
    if spec.publish.is_empty() && after.published.is_empty() {
        return None;
    }
    if is_reserved(o) {
        let message = format!("nothing is published in the namespace {}", o.namespace());
        return Some(Finding::no(PUBLISHED, PublishState::Refused.reason(), message));
    }
    let about = |p: &PublishedStatus| {
        let why = p.message.as_deref().unwrap_or("the ARN is about to be written, or taken away");
        format!("{}: {why}", p.object())
    };
    if let Some(trouble) = after.published.iter().find(|p| p.state.is_trouble()) {
        return Some(Finding::no(PUBLISHED, trouble.state.reason(), about(trouble)));
    }
    if !spec.enabled && after.published.is_empty() {
        return Some(Finding::no(PUBLISHED, "Disabled", "spec.enabled is false: nothing is published"));
    }
    let there = |object: &ObjectRef, place: &Place| {
        let found = after.published.iter().find(|p| p.object().is_same(object));
        found.is_some_and(|p| p.fields.iter().any(|f| f.is_at(place)))
    };
    if let Some(waiting) = spec.publish.iter().find(|p| !there(&p.object(), &p.place())) {
        let message = format!("{}: waits for the ARN of the target {}", waiting.object(), waiting.target);
        return Some(Finding::no(PUBLISHED, PublishState::Pending.reason(), message));
    }
    if let Some(pending) = after.published.iter().find(|p| p.state == PublishState::Pending) {
        return Some(Finding::no(PUBLISHED, PublishState::Pending.reason(), about(pending)));
    }
    Some(Finding::yes(PUBLISHED, PublishState::Published.reason(), "Every ARN is written where it is needed"))
}

/// What is new about the objects, and not good.
pub(super) fn events(before: &CertificateStatus, after: &CertificateStatus) -> Vec<Event> {
    let was = |p: &PublishedStatus| before.published.iter().find(|b| b.object().is_same(&p.object()));
    let told = after.published.iter().filter_map(|p| {
        let message = p.message.as_ref()?;
        let known = was(p).is_some_and(|b| (b.state, &b.message) == (p.state, &p.message));
        let reason = if p.state.is_trouble() { p.state.reason() } else { drift::DRIFT };
        (!known).then(|| Event { warning: true, reason: reason.into(), note: format!("{}: {message}", p.object()) })
    });
    let mut events: Vec<Event> = told.collect();
    // Who was told of trouble is told of its end.
    let had_trouble = before.published.iter().any(|p| p.state.is_trouble());
    if had_trouble && is_true(&after.conditions, PUBLISHED) && !is_true(&before.conditions, PUBLISHED) {
        let note = "Every ARN is written where it is needed, now".into();
        events.push(Event { warning: false, reason: PUBLISHED.into(), note });
    }
    events
}
