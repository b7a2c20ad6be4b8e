//! The first name of a certificate, as `kubectl get` shows it.

use super::{Observed, source};
use crate::{api::certificate::CertificateStatus, pki::certificate::Certificate as X509, text::plain};

/// The longest name, in bytes: that of a DNS name.
const LONGEST_NAME: usize = 253;

/// Notes it in a status that is written anyway. Only where everything was told but this, it is a write of its own.
pub(super) fn note(o: &Observed, after: &mut CertificateStatus) {
    if o.certificate.metadata.deletion_timestamp.is_some() {
        return;
    }
    let before = o.certificate.status.as_ref();
    let unchanged = before.map_or_else(|| *after == CertificateStatus::default(), |before| before == after);
    if unchanged && (after.domain_name.is_some() || o.is_untold()) {
        return;
    }
    if let Some(name) = first_name(o, after).map(|name| plain(&name, LONGEST_NAME)).filter(|name| !name.is_empty()) {
        after.domain_name = Some(name);
    }
}

/// What the spec asks for, or what was found in the source or in ACM; none: what is known stays.
fn first_name(o: &Observed, after: &CertificateStatus) -> Option<String> {
    let spec = &o.certificate.spec;
    let asked = || Some(spec.subject.domain_name.clone());
    if spec.is_observed() {
        let mut seen = o.targets.values().filter_map(|target| target.installed.as_ref()?.as_ref());
        let found = seen.find_map(|installed| installed.description.names.first().cloned());
        return found.or_else(|| asked().filter(|_| after.domain_name.is_none()));
    }
    if spec.source_secret().is_none() {
        return asked();
    }
    // What can't be delivered is not what there is.
    let leaf = &o.current()?.chain.leaf;
    (after.fingerprint == Some(leaf.fingerprint())).then(|| first_of(leaf)).flatten()
}

/// The common name where it is one of the domains, else the first of these in the alphabet: their order is not kept.
fn first_of(leaf: &X509) -> Option<String> {
    let domains = source::names(leaf).dns;
    let common = leaf.common_name.as_ref().map(|name| name.to_ascii_lowercase());
    common.filter(|name| domains.contains(name)).or_else(|| domains.into_iter().next())
}
