//! Targets that the spec does not name any more: their entries in the status stay until nothing is left to be done for them, and
//! say why.

use super::{
    Observed, deletes,
    deletion::{self, Fate},
    delivery::{LOOKING, Need, note},
    search::settles,
};
use crate::{
    api::{
        certificate::{CertificateStatus, TargetState, TargetStatus},
        conditions::whole_seconds,
    },
    core::{Event, access::Refusal},
};
use jiff::{SignedDuration, Timestamp};

/// Entries of removed targets that stay for now, what the first of them needs, and what the others leave behind.
pub(super) struct Removed {
    pub kept: Vec<TargetStatus>,
    pub need: Need,
    pub left: Vec<(String, Event)>,
}

/// Whether the spec names a target.
pub(super) fn is_named(o: &Observed, target: &str) -> bool {
    o.certificate.spec.acm.iter().any(|named| named.name == target)
}

/// Retained ones are forgotten, the others are deleted from ACM first. What ACM may not show yet is remembered until it would:
/// the target may be named again.
pub(super) fn next(o: &Observed, status: &CertificateStatus, now: Timestamp) -> Removed {
    let mut removed = Removed { kept: vec![], need: Need::Nothing, left: vec![] };
    let mut needs = Vec::new();
    for old in status.targets.iter().filter(|t| !is_named(o, &t.name)) {
        let need = match fate(o, old, now) {
            Fate::Read(read) => Need::Read(read),
            Fate::Write(write) => Need::Write(write),
            Fate::Wait(why, rest) => Need::Wait(why, rest),
            Fate::Quiet(rest) => Need::Quiet(rest),
            Fate::Done => Need::Save,
            Fate::LetGo(why) => {
                removed.left.extend(deletion::left(o, old, &why).map(|event| (old.name.clone(), event)));
                Need::Save
            }
        };
        if !matches!(need, Need::Save) {
            let mut kept = old.clone();
            tell(&mut kept, &need);
            removed.kept.push(kept);
        }
        needs.push(need);
    }
    removed.need = needs.into_iter().next().unwrap_or(Need::Nothing);
    removed
}

fn fate(o: &Observed, old: &TargetStatus, now: Timestamp) -> Fate {
    match settles(o, old) {
        Some(settled) if now <= settled => {
            let again = settled.saturating_add(SignedDuration::from_secs(1)).unwrap_or(settled);
            let message = format!("ACM may not show what came of its last import before {}", whole_seconds(again));
            let rest = settled.duration_since(now) + SignedDuration::from_secs(1);
            Fate::Wait(Refusal { reason: LOOKING, message }, rest)
        }
        _ if deletes(old.deletion_policy) => deletion::target(o, old, now),
        _ => Fate::Done,
    }
}

/// Says that it goes, or stays in ACM, and what is waited for.
fn tell(old: &mut TargetStatus, need: &Need) {
    let what = if deletes(old.deletion_policy) {
        "it was taken out of spec.acm and is being deleted from ACM (its deletionPolicy is Delete)"
    } else {
        "it was taken out of spec.acm; its certificate stays in ACM (its deletionPolicy is Retain), and this entry goes"
    };
    let message = match need {
        Need::Wait(why, _) => format!("{what}: {}", why.message),
        // What passes is not worth another word.
        _ if old.state == TargetState::Waiting && old.message.as_ref().is_some_and(|told| told.starts_with(what)) => {
            return;
        }
        _ => what.to_owned(),
    };
    note(old, TargetState::Waiting, &Refusal { reason: LOOKING, message });
}
