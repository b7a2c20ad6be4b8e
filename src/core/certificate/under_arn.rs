//! What is done about a target whose ARN is known: is it ours still, has it the current certificate, are its tags right.

use super::{
    Lookup, Observed, Read, Summary, TargetObserved, Write, adoption,
    delivery::{Need, in_turn, without_arn},
    drift,
    search::{CONSISTENT, is_of_kind, is_ours, is_spared, of_other_kind, settles, surplus, unanswered},
    source,
    write::{TAG_SERIAL, ownership_tags, spec_tags},
};
use crate::{
    api::{
        certificate::{Target, TargetState, TargetStatus},
        conditions::whole_seconds,
        names::CertificateArn,
        shared::Tags,
    },
    core::{access::Refusal, backoff::FOR_A_PERSON},
    pki::certificate::Serial,
};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;

/// Between looks at a serial number that is not the one imported.
pub(super) const READ_BACK: SignedDuration = SignedDuration::from_secs(2);
/// What was imported and is not shown for so long is imported again: somebody else may have imported over it at once.
const NEVER_SHOWN: SignedDuration = SignedDuration::from_hours(1);

/// See that it is ours and has the current certificate.
pub(super) fn under_arn(
    o: &Observed,
    target: &Target,
    seen: &TargetObserved,
    status: &mut TargetStatus,
    arn: &CertificateArn,
    serial: &Serial,
    now: Timestamp,
) -> Need {
    let seen = &*seen.of(arn);
    let imported = o.memory.imported.get(&target.name).filter(|i| i.serial.as_ref() == Some(serial) && i.arn == *arn);
    let imported = imported.filter(|i| i.content == o.content());
    if let Some(imported) = imported {
        let Some(installed) = &seen.installed else {
            return Need::Read(Read::Installed(target.name.clone(), arn.clone()));
        };
        if installed.as_ref().and_then(|i| i.serial.as_ref()) == Some(serial) {
            return retag_or_done(o, target, seen, status, arn, serial, now);
        }
        let message = format!("ACM does not show the imported serial number {serial} under {arn} yet");
        let why = Refusal { reason: "NotReadBack", message };
        if now.duration_since(imported.at) <= CONSISTENT {
            return Need::Wait(why, READ_BACK);
        }
        // What is not there at all after a minute is looked at as if we had not imported it.
        if installed.is_some() && now.duration_since(imported.at) < NEVER_SHOWN {
            return Need::Stalled(why, FOR_A_PERSON);
        }
    }
    let tags = match &seen.tags {
        None => return Need::Read(Read::Tags(target.name.clone(), arn.clone())),
        Some(None) => return gone(o, target, seen, status, arn, serial, now),
        Some(Some(tags)) => tags,
    };
    if !is_ours(o, target, tags) {
        return not_ours(o, target, seen, status, arn, tags);
    }
    match &seen.installed {
        None => Need::Read(Read::Installed(target.name.clone(), arn.clone())),
        Some(None) => gone(o, target, seen, status, arn, serial, now),
        Some(Some(installed)) if !installed.description.imported => {
            (status.serial_number, status.content_digest) = (None, None);
            Need::Stalled(of_other_kind(o, target, arn), FOR_A_PERSON)
        }
        Some(Some(installed)) => {
            if installed.serial.as_ref() == Some(serial) {
                match source::is_another(o, target, seen, status, arn) {
                    Ok(false) => return retag_or_done(o, target, seen, status, arn, serial, now),
                    Ok(true) => {}
                    Err(need) => return need,
                }
            }
            if let Some(need) = drift::imported_over(o, status, arn, installed) {
                return need;
            }
            match source::misfit(o, target, seen, arn, installed) {
                Ok(None) => {}
                Ok(Some(why)) => return Need::Stalled(why, FOR_A_PERSON),
                Err(need) => return need,
            }
            if o.keeps_arn(target) && tags.contains_key(TAG_SERIAL) {
                // The ARN is to carry many serial numbers from now on.
                return Need::Write(Write::Retag(
                    target.name.clone(),
                    arn.clone(),
                    Tags::new(),
                    vec![TAG_SERIAL.into()],
                ));
            }
            reimport(o, target, seen, arn, now)
        }
    }
}

/// Tags are put back only where they are missing, and where ACM has, byte for byte, what is in our Secret.
pub(super) fn not_ours(
    o: &Observed,
    target: &Target,
    seen: &TargetObserved,
    status: &mut TargetStatus,
    arn: &CertificateArn,
    tags: &Tags,
) -> Need {
    let owned = ownership_tags(o, &target.name);
    if owned.iter().all(|(key, value)| tags.get(key).is_none_or(|there| there == value)) {
        match &seen.body {
            None => return Need::Read(Read::Body(target.name.clone(), arn.clone())),
            Some(Some(body)) if o.current().is_some_and(|pair| pair.chain.leaf.der == *body) => {
                let message = format!("the tags that make {arn} this target's were taken away; they are put back");
                return drift::tell(status, message).unwrap_or_else(|| {
                    let missing = owned.into_iter().filter(|(key, _)| !tags.contains_key(key)).collect();
                    Need::Write(Write::Retag(target.name.clone(), arn.clone(), missing, vec![]))
                });
            }
            Some(_) => {}
        }
    }
    let message = format!(
        "{arn} does not carry the tags of this target, so it is not touched: if it is this Certificate's, put the tags back \
         ({}); if not, delete the entry from status",
        ownership_tags(o, &target.name).iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(", ")
    );
    Need::Stalled(Refusal { reason: "OwnershipUnknown", message }, FOR_A_PERSON)
}

/// A process that froze in mid-call may have left a second certificate with our tags: the one in status stays.
fn reimport(o: &Observed, target: &Target, seen: &TargetObserved, arn: &CertificateArn, now: Timestamp) -> Need {
    let write = || Need::Write(Write::Reimport(target.name.clone(), arn.clone()));
    // After the import this process remembers that one.
    if let Some((surplus, _)) = surplus(o, target).filter(|(_, at)| *at < now) {
        return Need::Write(Write::DeleteFromAcm(target.name.clone(), surplus.clone()));
    }
    match &seen.lookup {
        None => Need::Read(Read::Lookup(target.name.clone(), Timestamp::MIN)),
        Some(Lookup::Found(candidates)) => match twin(o, target, arn, candidates) {
            Some(twin) => Need::Write(Write::DeleteFromAcm(target.name.clone(), twin.clone())),
            None => in_turn(target, seen).unwrap_or_else(write),
        },
        Some(Lookup::NotYet(_)) => in_turn(target, seen).unwrap_or_else(write),
    }
}

/// A second certificate with this target's tags, which nobody uses.
fn twin<'a>(
    o: &Observed,
    target: &Target,
    arn: &CertificateArn,
    candidates: &'a [(Summary, Tags)],
) -> Option<&'a CertificateArn> {
    if !o.keeps_arn(target) {
        return None;
    }
    let twin = |(summary, tags): &&(Summary, Tags)| {
        summary.arn != *arn
            && !summary.in_use
            && is_of_kind(o, summary)
            && !is_spared(&summary.arn, tags)
            && is_ours(o, target, tags)
    };
    candidates.iter().find(twin).map(|(summary, _)| &summary.arn)
}

/// ACM has nothing under the ARN: it was deleted behind our back, or ACM does not show a new import yet.
fn gone(
    o: &Observed,
    target: &Target,
    seen: &TargetObserved,
    status: &mut TargetStatus,
    arn: &CertificateArn,
    serial: &Serial,
    now: Timestamp,
) -> Need {
    if let Some(shown) = settles(o, status)
        && now <= shown
    {
        // Which of them it is, nobody can tell before.
        let message = format!(
            "ACM does not show {arn}: either not yet, since it was imported within the last minute, or somebody deleted it; if \
             it stays so, it is imported anew at {}",
            whole_seconds(shown.saturating_add(SignedDuration::from_secs(1)).unwrap_or(shown))
        );
        return Need::Wait(
            Refusal { reason: "NotReadBack", message },
            shown.duration_since(now) + SignedDuration::from_secs(1),
        );
    }
    let message = format!(
        "{arn} is not in ACM any more: somebody deleted it; the certificate is imported again, under another ARN, and what named the old one has to name that"
    );
    if let Some(need) = drift::tell(status, message) {
        return need;
    }
    adoption::lost(target, status, now);
    status.arn = None;
    (status.serial_number, status.content_digest) = (None, None);
    status.in_use_by.clear();
    without_arn(o, target, seen, status, serial, Some(arn), now)
}

/// The certificate is in place: put its tags right, take away a second one, and say that it is delivered.
pub(super) fn retag_or_done(
    o: &Observed,
    target: &Target,
    seen: &TargetObserved,
    status: &mut TargetStatus,
    arn: &CertificateArn,
    serial: &Serial,
    now: Timestamp,
) -> Need {
    let wanted = spec_tags(o, target);
    if let Some(Some(tags)) = &seen.tags {
        if let Some((surplus, _)) = surplus(o, target).filter(|(_, at)| *at < now) {
            return Need::Write(Write::DeleteFromAcm(target.name.clone(), surplus.clone()));
        }
        let missing: Tags =
            wanted.iter().filter(|(k, v)| tags.get(*k) != Some(v)).map(|(k, v)| (k.clone(), v.clone())).collect();
        let unwanted: Vec<String> = tags
            .keys()
            .filter(|k| {
                !wanted.contains_key(*k) && (*k == TAG_SERIAL || (status.tag_keys.contains(k) && !is_reserved(k)))
            })
            .cloned()
            .collect();
        if !missing.is_empty() || !unwanted.is_empty() {
            if drift::unchanged(o) {
                let keys: Vec<&str> = missing.keys().chain(&unwanted).map(String::as_str).collect();
                let message = format!("tags of {arn} were changed, and are put right: {}", keys.join(", "));
                if let Some(need) = drift::tell(status, message) {
                    return need;
                }
            }
            // All that will be ours is noted before: whatever comes between, it is taken away again when it is not wanted.
            let noted: BTreeSet<String> = status.tag_keys.iter().chain(missing.keys()).cloned().collect();
            let noted: Vec<String> = noted.into_iter().filter(|key| key.as_str() != TAG_SERIAL).collect();
            if status.tag_keys != noted {
                status.tag_keys = noted;
                status.state = TargetState::Pending;
                return Need::Save;
            }
            return Need::Write(Write::Retag(target.name.clone(), arn.clone(), missing, unwanted));
        }
        // What came of an import without an answer is only in a new list.
        let shown = match (&seen.lookup, &seen.shown, unanswered(o, target).filter(|at| *at < now)) {
            (None, _, Some(at)) => return Need::Read(Read::Lookup(target.name.clone(), at)),
            (Some(Lookup::Found(found)), ..) | (_, Some(found), _) => found,
            (_, None, _) => return Need::Read(Read::Shown(target.name.clone())),
        };
        if let Some(twin) = twin(o, target, arn, shown) {
            return Need::Write(Write::DeleteFromAcm(target.name.clone(), twin.clone()));
        }
    }
    if let Some(Some(installed)) = &seen.installed {
        status.in_use_by = drift::in_use_by(&installed.description);
    }
    status.tag_keys = wanted.into_keys().filter(|key| key.as_str() != TAG_SERIAL).collect();
    status.serial_number = Some(serial.to_string());
    status.content_digest = o.content().map(String::from);
    status.pending_since = None;
    adoption::done(status, now);
    status.state = TargetState::Delivered;
    status.message = None;
    Need::Nothing
}

/// A tag of the operator's own: no spec has it, so a status that lists it is somebody else's writing.
fn is_reserved(key: &str) -> bool {
    key.to_ascii_lowercase().starts_with("arnkeeper.dev/")
}
