//! Which certificate the Secret holds. The certificate itself tells, by its serial number: an annotation may be edited away,
//! and somebody may have put another pair there.

use super::{Observed, SLOTS, acm_managed, believed, issuing::is_ours};
use crate::api::{
    CertificateRequest,
    conditions::{READY, is_true},
};

/// What is known of the certificate in the Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// The last revision that is known to have been finished: that of the certificate in the Secret, where that is the right one.
    pub revision: i64,
    /// Whose that certificate is.
    pub what: What,
}

/// Whose a certificate in our Secret is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// The one that belongs there, as far as anything tells; or none that can be used.
    Right,
    /// Provably not the one that was issued last: an older one, or somebody else's.
    Another,
    /// The annotation is ahead of the status, as between the two writes: the request of this revision is to be read afresh.
    Ask(i64),
}

/// What is known of the certificate in the Secret, from the requests, the status and the annotation.
///
/// Where nothing is known of an earlier one, what is there is believed: a restored Secret is gone on with. What was offered
/// over one that is known is a revision of its own.
pub(super) fn held(o: &Observed) -> Held {
    let status = o.certificate.status.as_ref();
    let stored = believed(status.and_then(|s| s.revision));
    let right = |revision| Held { revision, what: What::Right };
    // What ACM shows tells whether it is the right one.
    if o.is_managed() {
        return right(acm_managed::revision(o));
    }
    let Some(secret) = o.own_secret() else { return right(stored) };
    // No search for a free revision goes further.
    let told = believed(secret.revision());
    let told = if stored > 0 && told > stored + SLOTS { stored } else { told };
    let Some(Ok(pair)) = &o.pair else { return right(stored.max(told)) };
    let serial = pair.chain.leaf.serial.to_string();
    if let Some(revision) = known_as(o, &serial).filter(|revision| *revision >= stored) {
        return right(revision);
    }
    if secret.is_offered_to(&o.name()) {
        let free = |revision: &i64| !o.requests.contains_key(revision);
        return right(if stored == 0 { told } else { (stored + 1..=stored + SLOTS).find(free).unwrap_or(stored + 1) });
    }
    let issued =
        |revision: i64| o.requests.get(&revision).filter(|r| is_ours(o, r)).is_some_and(|r| signed_as(r).is_some());
    if issued(told) {
        return Held { revision: stored.max(told), what: What::Another };
    }
    if stored == 0 || !(status.is_some_and(|s| s.serial_number.is_some()) || issued(stored)) {
        return right(stored.max(told));
    }
    let ask = told > stored && !o.read_requests.contains(&told);
    Held { revision: stored, what: if ask { What::Ask(told) } else { What::Another } }
}

/// The newest revision that had this serial number.
fn known_as(o: &Observed, serial: &str) -> Option<i64> {
    let status = o.certificate.status.as_ref();
    let current = status.filter(|s| s.serial_number.as_deref() == Some(serial)).and_then(|s| s.revision);
    let history = status.iter().flat_map(|s| &s.history).find(|h| h.serial_number == serial).map(|h| h.revision);
    let known = [current, history].into_iter().flatten().map(|revision| believed(Some(revision)));
    known.chain(request_of(o, serial).map(|(revision, _)| revision)).max()
}

/// The request that the certificate in the Secret was issued for, if it is there still, and its revision.
pub(super) fn request(o: &Observed) -> Option<(i64, &CertificateRequest)> {
    let pair = o.pair.as_ref()?.as_ref().ok()?;
    request_of(o, &pair.chain.leaf.serial.to_string())
}

fn request_of<'a>(o: &'a Observed, serial: &str) -> Option<(i64, &'a CertificateRequest)> {
    let signed = |request: &CertificateRequest| is_ours(o, request) && signed_as(request) == Some(serial);
    o.requests.iter().rev().find(|(_, request)| signed(request)).map(|(revision, request)| (*revision, &**request))
}

/// The serial number of a signed request.
pub(super) fn signed_as(request: &CertificateRequest) -> Option<&str> {
    let status = request.status.as_ref().filter(|s| is_true(&s.conditions, READY))?;
    status.serial_number.as_deref()
}

/// Whether what was offered is not noted yet: its serial number is stored before the offer is taken off the Secret, lest who
/// comes between takes it for a swap.
pub(super) fn is_unnoted(o: &Observed) -> bool {
    let offered = o.own_secret().is_some_and(|secret| secret.is_offered_to(&o.name()));
    let status = o.certificate.status.as_ref().filter(|s| s.revision.is_some());
    let serial = o.current().map(|pair| pair.chain.leaf.serial.to_string());
    offered && status.is_some_and(|s| s.serial_number != serial)
}
