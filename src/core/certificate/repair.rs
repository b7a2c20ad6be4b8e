//! What was removed from the Secret, or changed in it, is put back from the request of its revision, at no payment.

use super::{
    Next, Observed, Read, Write,
    held::{self, Held, What},
    issuing::{self, is_ours},
};
use crate::{
    api::{CertificateRequest, ISSUED_FOR_ANNOTATION, RENEW_ANNOTATION},
    core::{
        Event,
        secret::{Claim, KeyPair, SecretObject},
    },
};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use std::collections::BTreeSet;

/// Who changes the Secret again and again is answered once in so long.
pub(super) const EVERY: SignedDuration = SignedDuration::from_mins(1);

/// The next step to put right what the Secret holds; none: it is as it should be, or it can't be put right so.
pub(super) fn next(o: &Observed, now: Timestamp) -> Option<Next> {
    let secret = ours(o)?;
    damage(o, secret)?;
    let sources = sources(o, now);
    let since = o.memory.repaired.map(|at| now.duration_since(at).abs()).filter(|since| *since < EVERY);
    if let (Some(since), [_, ..]) = (since, &sources[..]) {
        return Some(Next::Quiet(EVERY - since));
    }
    for (revision, request) in sources {
        // What watches keep of a signed request is without its certificate.
        if !o.read_requests.contains(&revision) {
            return Some(Next::Read(Read::Request(revision)));
        }
        match pair(o, secret, revision, request, now) {
            // As it was issued, whatever that was.
            Ok(there) if is_whole(o, secret, &there) => return None,
            Ok(_) => {
                // Keystores go into the same write.
                let read = super::password(o).filter(|next| matches!(next, Next::Read(_)));
                return Some(read.unwrap_or(Next::Write(Write::Repair(revision))));
            }
            Err(Lacks::Look) => return Some(Next::Read(Read::Staged(revision))),
            Err(Lacks::Key) => {}
        }
    }
    None
}

/// Whether the Secret holds this pair already.
fn is_whole(o: &Observed, secret: &SecretObject, pair: &KeyPair) -> bool {
    o.current().is_some_and(|held| held.chain.leaf.der == pair.chain.leaf.der) && !secret.differs_from(&pair.chain)
}

fn ours(o: &Observed) -> Option<&SecretObject> {
    let secret = o.secret.as_ref()?.as_ref()?;
    (secret.claim_of_certificate(&o.name()) == Claim::Ours && secret.takes_nothing().is_none()).then_some(secret)
}

/// What is wrong with what the Secret holds.
fn damage(o: &Observed, secret: &SecretObject) -> Option<String> {
    match o.pair.as_ref()? {
        Err(problem) => Some(problem.clone()),
        Ok(pair) if held::held(o).what == What::Another => {
            Some(format!("it holds another certificate, with the serial number {}", pair.chain.leaf.serial))
        }
        // A leaf alone was not issued so: what stood above it is gone.
        Ok(pair) => (pair.chain.above().next().is_none() || secret.differs_from(&pair.chain))
            .then(|| "its tls.crt or its ca.crt is not as it was written".to_owned()),
    }
}

/// The requests to put it right from, and their revisions, in turn.
fn sources(o: &Observed, now: Timestamp) -> Vec<(i64, &CertificateRequest)> {
    let usable = |request: &CertificateRequest| {
        let ends = request.status.as_ref().and_then(|s| s.not_after.as_ref());
        held::signed_as(request).is_some() && is_ours(o, request) && ends.is_none_or(|ends| ends.0 > now)
    };
    let Held { revision, what } = held::held(o);
    if what != What::Another && matches!(o.pair, Some(Ok(_))) {
        return held::request(o).filter(|(_, request)| usable(request)).into_iter().collect();
    }
    // A newer one is better, and where status and annotation are of no help, it is the one.
    let stored = o.certificate.status.as_ref().and_then(|s| s.revision);
    let newest = o.requests.iter().rev().find(|(_, request)| usable(request)).map(|(revision, _)| *revision);
    let newest = newest.filter(|newest| stored.is_none_or(|stored| stored <= *newest));
    let revisions: BTreeSet<i64> = [newest, Some(revision), stored].into_iter().flatten().collect();
    let known = revisions.into_iter().rev().filter_map(|revision| Some((revision, &**o.requests.get(&revision)?)));
    known.filter(|(_, request)| usable(request)).collect()
}

/// Why there is no pair.
enum Lacks {
    /// The staged key was not looked for yet.
    Look,
    /// The key is gone, or what the request holds is not what was issued.
    Key,
}

/// The certificate of the request with its key: that of the Secret, else the staged one, if that is still there.
fn pair(
    o: &Observed,
    secret: &SecretObject,
    revision: i64,
    request: &CertificateRequest,
    now: Timestamp,
) -> Result<KeyPair, Lacks> {
    let status = o.certificate.status.as_ref();
    // A status is a hint, of the request as of the Certificate: only what both say is put back.
    let fingerprint = status.filter(|s| s.revision == Some(revision)).and_then(|s| s.fingerprint.as_deref());
    let checked = |key: &SecretObject| {
        let (chain, key) = issuing::signed(request, key, now).ok()?;
        let leaf = &chain.leaf;
        let issued = held::signed_as(request) == Some(&*leaf.serial.to_string())
            && fingerprint.is_none_or(|known| known == leaf.fingerprint());
        issued.then_some(KeyPair { chain, key })
    };
    if let Some(pair) = checked(secret) {
        return Ok(pair);
    }
    // One that is on its way to the Secret goes there by itself.
    if revision > o.base_revision() {
        return Err(Lacks::Key);
    }
    match o.staged.get(&revision) {
        None => Err(Lacks::Look),
        Some(staged) => staged.as_ref().and_then(checked).ok_or(Lacks::Key),
    }
}

/// The Secret with its certificate, chain and key put back, and what is told of that.
///
/// # Errors
/// If the certificate can't be put back; `decide` has checked that it can.
pub fn repaired(o: &Observed, revision: i64, now: Timestamp) -> Result<(SecretObject, Event), String> {
    let secret = ours(o).ok_or("the Secret is not ours")?;
    let request = o.requests.get(&revision).ok_or("its request is gone")?;
    let what = damage(o, secret).ok_or("nothing is wrong with the Secret")?;
    let pair = pair(o, secret, revision, request, now).map_err(|_| "its key is gone")?;
    let annotation = |key: &str| request.annotations().get(key).cloned();
    let mut content = super::write::content(o, &pair, revision, annotation(RENEW_ANNOTATION));
    // What it was issued for, whatever the spec asks for now.
    content.annotations.insert(ISSUED_FOR_ANNOTATION.into(), annotation(ISSUED_FOR_ANNOTATION));
    let note = format!(
        "the Secret {:?} was changed: {what}; the certificate of awscertificaterequest {} is put back, and nothing is paid for",
        o.certificate.spec.secret.name,
        request.name_any()
    );
    let event = Event { warning: true, reason: super::drift::DRIFT.into(), note };
    let mut secret = super::write::put(o, content);
    // What keeps a keystore from being written keeps no certificate out: the step after this one tells it.
    super::write::put_keystores(o, &pair, &mut secret).ok();
    Ok((secret, event))
}
