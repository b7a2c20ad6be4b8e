//! The way to a new revision: key, request, signature, Secret.

use super::{
    Next, Observed, Read, Write, account_in_the_way, adoption, budget, preflight,
    wanted::{self, Trigger},
    write,
};
use crate::{
    api::{
        CertificateRequest, ISSUED_FOR_ANNOTATION, RENEW_ANNOTATION,
        certificate::RotationPolicy,
        conditions::{READY, STALLED},
        shared::{KeyKind, KeySpec},
    },
    core::{
        access::Refusal,
        authority::{self, KnownAuthority},
        backoff::FOR_A_PERSON,
        request,
        secret::SecretObject,
    },
    pki::{
        algorithm::KeyAlgorithm,
        certificate::{parse_pem, parse_pem_bundle},
        chain::Chain,
        key::PrivateKey,
        verify::verify_key_pair,
    },
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};

/// A request that goes on by itself wakes its Certificate when it is done; this is for the case that the wake-up is lost.
const LOST_WAKE_UP: SignedDuration = SignedDuration::from_mins(1);
/// Reasons of requests that wait for nothing but AWS.
const PASSING: [&str; 1] = ["Issuing"];
/// The reason of a request that its Certificate did not want when it was looked at.
const SUPERSEDED: &str = "Superseded";
/// The reason where other objects have the names of the next requests.
pub const REQUEST_CONFLICT: &str = "RequestConflict";
/// The first look whether one of these names is free again.
const FIRST_LOOK: SignedDuration = SignedDuration::from_secs(30);
/// How many revisions a search for a free one passes over.
pub const SLOTS: i64 = 8;

/// The names of a revision's request and of its staged key.
#[must_use]
pub fn request_name(certificate: &str, revision: i64) -> String {
    format!("{certificate}-{revision}")
}

/// The name of the Secret with a revision's staged key.
#[must_use]
pub fn staged_name(certificate: &str, revision: i64) -> String {
    format!("{certificate}-{revision}-key")
}

/// Whether a request was made by this very Certificate, not by an earlier one of its name.
pub(super) fn is_ours(o: &Observed, request: &CertificateRequest) -> bool {
    request.owner_references().iter().any(|owner| owner.uid == o.uid())
}

/// The request of ours that owns a staged key, and its revision.
pub(super) fn owner_of<'a>(o: &'a Observed, staged: &SecretObject) -> Option<(i64, &'a CertificateRequest)> {
    let owns = |request: &CertificateRequest| {
        is_ours(o, request) && request.metadata.uid.as_ref().is_some_and(|uid| staged.is_owned_by(uid))
    };
    o.requests.iter().find(|(_, request)| owns(request)).map(|(revision, request)| (*revision, &**request))
}

/// Whether a staged key is this very Certificate's.
#[must_use]
pub fn is_staged_by(o: &Observed, staged: &SecretObject) -> bool {
    staged.is_owned_by(&o.uid()) || owner_of(o, staged).is_some()
}

/// Who is to own the staged key of a revision: the old request that is deleted when the revision is in place, so that
/// Kubernetes' garbage collection takes the key with it, at one write for both; else the Certificate.
///
/// Only where that request is old enough to go, and sure to be in sight then. Who deletes it by hand in the middle takes the
/// key with it, as who deletes the key itself; then another one is made.
pub(super) fn staged_owner(o: &Observed, revision: i64, now: Timestamp) -> Option<OwnerReference> {
    let base = o.base_revision();
    let old = o.requests.get(&(base - 1)).filter(|request| {
        revision == base + 1 && is_ours(o, request) && request.uid().is_some() && !budget::counts(request, now)
    });
    old.map_or_else(|| o.certificate.controller_owner_ref(&()), |request| request.owner_ref(&()))
}

/// Whether a request is (still) wanted by the Certificate that owns it: read afresh, before anything is paid for.
#[must_use]
pub fn still_wanted(certificate: &crate::api::Certificate, request: &CertificateRequest) -> bool {
    let owned = request.owner_references().iter().any(|owner| Some(&owner.uid) == certificate.metadata.uid.as_ref());
    let revision = super::believed(certificate.status.as_ref().and_then(|s| s.revision));
    let annotation = |key: &str| request.annotations().get(key).map(String::as_str);
    let number = annotation(crate::api::REVISION_ANNOTATION).and_then(|r| r.parse::<i64>().ok());
    owned
        && certificate.spec.enabled
        && !certificate.spec.is_observed()
        && certificate.metadata.deletion_timestamp.is_none()
        && annotation(ISSUED_FOR_ANNOTATION) == Some(&wanted::issued_for(&certificate.spec))
        && number.is_some_and(|number| number > revision)
}

/// The next step to a new revision.
pub(super) fn next(o: &Observed, trigger: &Trigger, now: Timestamp) -> Next {
    let spec = &o.certificate.spec;
    for target in &spec.acm {
        let (account, region) = o.place(target);
        match account_in_the_way(o, account, region, now) {
            Some(Next::Read(read)) => return Next::Read(read),
            // A first certificate waits for all of its targets; a renewal must not expire for the sake of one.
            Some(Next::Stalled(why, rest)) if o.current().is_none() => {
                let message = format!("target {}: {}", target.name, why.message);
                return Next::Stalled(Refusal { message, ..why }, rest);
            }
            Some(next) if o.current().is_none() => return next,
            Some(_) | None => {}
        }
    }
    let authority = match &o.authority {
        None => return Next::Read(Read::Authority),
        Some(Err(why)) => return Next::Stalled(why.clone(), FOR_A_PERSON),
        Some(Ok(authority)) => authority,
    };
    let Some((revision, request)) = slot(o, now) else {
        if let Some(unsigned) = o.requests.values().find(|r| is_ours(o, r) && is_superseded(r)) {
            return Next::Write(Write::DeleteRequest(unsigned.name_any()));
        }
        let message =
            format!("the next {SLOTS} names of requests ({}-<revision>) are taken by others: delete them", o.name());
        return Next::Stalled(Refusal { reason: REQUEST_CONFLICT, message }, until_free(o, now));
    };
    if let Some(request) = request {
        // It was made for a person to sign, and the spec does not want that any more: another one takes its place.
        if request.spec.signature.is_none() && write::signs(o) {
            return Next::Write(Write::DeleteRequest(request.name_any()));
        }
        return follow(o, revision, request, now);
    }
    if let Some(next) = budget::spent(o, now) {
        return next;
    }
    let duration = SignedDuration::try_from(std::time::Duration::from(spec.duration)).unwrap_or(SignedDuration::MAX);
    let not_after = now.saturating_add(duration).unwrap_or(Timestamp::MAX);
    if let Some(why) = authority::problem(&authority.authority, now, not_after) {
        return Next::Stalled(why, FOR_A_PERSON);
    }
    let algorithm = match algorithm(o, authority) {
        Ok(algorithm) => algorithm,
        Err(message) => return Next::Stalled(Refusal { reason: "InvalidKey", message }, FOR_A_PERSON),
    };
    if let Some(next) = preflight::next(o, authority, algorithm, now) {
        return next;
    }
    match o.staged.get(&revision) {
        Some(Some(staged)) if is_for(o, staged, algorithm) => {
            let adopts = *trigger == Trigger::First && adoption::is_wanted(o);
            Next::Write(Write::Request { revision, trigger: if adopts { adoption::TRIGGER } else { trigger.name() } })
        }
        // Made for another spec.
        Some(Some(_)) => Next::Write(Write::DeleteStaged(revision)),
        _ => Next::Write(Write::Stage { revision, algorithm, keep_key: keeps_key(o, algorithm) }),
    }
}

/// How long until it is looked again whether a name is free: sooner while it has not been told for long. The deletion of a
/// request wakes its namesake; that of a Secret does not.
fn until_free(o: &Observed, now: Timestamp) -> SignedDuration {
    let conditions = o.certificate.status.iter().flat_map(|s| &s.conditions);
    let told = conditions.into_iter().find(|c| c.type_ == STALLED && c.reason == REQUEST_CONFLICT);
    let since = told.map_or(SignedDuration::ZERO, |c| now.duration_since(c.last_transition_time.0));
    since.clamp(FIRST_LOOK, FOR_A_PERSON)
}

/// The revision to work on, and its request if it is there. Slots that something else sits in are passed over; one that became
/// free behind a request of ours buys nothing anew.
fn slot(o: &Observed, now: Timestamp) -> Option<(i64, Option<&CertificateRequest>)> {
    let slots = || o.base_revision() + 1..=o.base_revision() + SLOTS;
    let asked = slots().find_map(|revision| {
        let request = o.requests.get(&revision).filter(|request| answers(o, request, now))?;
        Some((revision, Some(&**request)))
    });
    let foreign = |staged: &SecretObject| !is_staged_by(o, staged);
    let taken = |revision: &i64| {
        let staged = o.staged.get(revision).and_then(|s| s.as_ref());
        o.requests.contains_key(revision) || staged.is_some_and(foreign)
    };
    asked.or_else(|| slots().find(|revision| !taken(revision)).map(|revision| (revision, None)))
}

/// Whether a request is ours, asks for what is wanted now, and can still come to something.
fn answers(o: &Observed, request: &CertificateRequest, now: Timestamp) -> bool {
    let annotation = |key: &str| request.annotations().get(key).map(String::as_str);
    let forced = wanted::renewal_request(&o.certificate, now);
    let key_lost = annotation(crate::api::REVISION_ANNOTATION)
        .and_then(|r| r.parse::<i64>().ok())
        .is_some_and(|r| matches!(o.staged.get(&r), Some(None)));
    is_ours(o, request)
        && annotation(ISSUED_FOR_ANNOTATION) == Some(&wanted::issued_for(&o.certificate.spec))
        && (forced.is_none() || annotation(RENEW_ANNOTATION) == forced)
        && !is_superseded(request)
        && !key_lost
}

/// Nothing was issued for it, and nothing will be.
pub(super) fn is_superseded(request: &CertificateRequest) -> bool {
    condition(request, READY).is_some_and(|(_, reason, _)| reason == SUPERSEDED)
}

/// Whether a staged key and its CSR are for what is wanted now.
fn is_for(o: &Observed, staged: &SecretObject, algorithm: KeyAlgorithm) -> bool {
    let key = staged.text("tls.key").and_then(|pem| PrivateKey::from_pem(&pem).ok());
    staged.issued_for() == Some(&wanted::issued_for(&o.certificate.spec))
        && key.is_some_and(|key| key.algorithm() == algorithm)
}

fn condition<'a>(request: &'a CertificateRequest, kind: &str) -> Option<(bool, &'a str, &'a str)> {
    let conditions = &request.status.as_ref()?.conditions;
    let found = conditions.iter().find(|c| c.type_ == kind)?;
    Some((found.status == "True", &found.reason, &found.message))
}

/// What becomes of a request that is there.
fn follow(o: &Observed, revision: i64, request: &CertificateRequest, now: Timestamp) -> Next {
    let name = request.name_any();
    let told = |reason: &'static str, message: &str| Refusal {
        reason,
        message: format!("awscertificaterequest {name}: {message}"),
    };
    if let Some((true, reason, message)) = condition(request, STALLED) {
        return Next::Stalled(told("RequestStalled", &format!("{reason}: {message}")), FOR_A_PERSON);
    }
    match condition(request, READY) {
        None => Next::Quiet(LOST_WAKE_UP),
        Some((false, reason, _)) if PASSING.contains(&reason) => Next::Quiet(LOST_WAKE_UP),
        Some((false, reason, message)) => {
            Next::Wait(told("RequestWaiting", &format!("{reason}: {message}")), FOR_A_PERSON)
        }
        Some((true, ..)) if lacks_certificate(request) && !o.read_requests.contains(&revision) => {
            Next::Read(Read::Request(revision))
        }
        Some((true, ..)) => match o.staged.get(&revision) {
            None => Next::Read(Read::Staged(revision)),
            Some(Some(staged)) => match signed(request, staged, now) {
                Ok((chain, _)) if wanted::names_fit(&o.certificate.spec, &chain.leaf) => {
                    Next::Write(Write::Secret(revision))
                }
                // It would be replaced at once, again and again.
                Ok(_) => {
                    let message = "its certificate has other names than spec.subject";
                    Next::Stalled(told("RequestUnusable", message), FOR_A_PERSON)
                }
                Err(problem) => {
                    let message = format!("{problem}; force a new revision with the annotation {RENEW_ANNOTATION}");
                    Next::Stalled(told("RequestUnusable", &message), FOR_A_PERSON)
                }
            },
            // `slot` passes over a request whose key is gone.
            Some(None) => Next::Quiet(LOST_WAKE_UP),
        },
    }
}

/// What watches keep of a signed request is without it.
fn lacks_certificate(request: &CertificateRequest) -> bool {
    request.status.as_ref().is_none_or(|s| s.certificate.is_none())
}

/// The signed certificate with its chain and its key, from the Secret that holds that. A status is a hint: it is checked again.
pub(super) fn signed(
    request: &CertificateRequest,
    holds_key: &SecretObject,
    now: Timestamp,
) -> Result<(Chain, PrivateKey), String> {
    let status = request.status.as_ref().ok_or("it has no status")?;
    let certificate = status.certificate.as_deref().ok_or("its status holds no certificate")?;
    let leaf = parse_pem(certificate).map_err(|e| format!("its certificate: {e}"))?;
    if leaf.not_after <= now {
        return Err(format!("its certificate ended at {}", leaf.not_after));
    }
    let above = parse_pem_bundle(status.chain.as_deref().unwrap_or_default()).map_err(|e| format!("its chain: {e}"))?;
    let key = PrivateKey::from_pem(&holds_key.text("tls.key").ok_or("its key is gone")?)
        .map_err(|e| format!("its key: {e}"))?;
    verify_key_pair(&key, &leaf).map_err(|e| e.to_string())?;
    let chain = Chain::in_order(leaf, above).map_err(|e| format!("its chain: {e}"))?;
    Ok((chain, key))
}

/// As asked for; else, where ACM holds one already, as it is there (ACM takes no other); else of the CA's own family.
fn algorithm(o: &Observed, authority: &KnownAuthority) -> Result<KeyAlgorithm, String> {
    let spec = o.certificate.spec.private_key.as_ref();
    let current = o.current().and_then(|pair| pair.chain.leaf.algorithm);
    let own = authority.authority.algorithm.map(KeyAlgorithm::family);
    let asks = |kind: Option<KeyKind>| KeySpec { algorithm: kind, size: spec.and_then(|s| s.size) };
    match (spec.and_then(|s| s.algorithm), current) {
        (None, Some(current)) if own == Some(current.family()) => Ok(current),
        (None, _) => request::algorithm(Some(&asks(None)), authority),
        (kind, _) => request::algorithm(Some(&asks(kind)), authority),
    }
}

/// Whether the key in the Secret goes on.
fn keeps_key(o: &Observed, algorithm: KeyAlgorithm) -> bool {
    let never = o.certificate.spec.private_key.as_ref().is_some_and(|k| k.rotation_policy == RotationPolicy::Never);
    never && o.current().is_some_and(|pair| pair.key.algorithm() == algorithm)
}
