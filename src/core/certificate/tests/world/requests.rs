//! The private CA, and the controllers of requests and of garbage.

use super::{super::super::still_wanted, World};
use crate::{
    api::{
        REVISION_ANNOTATION,
        conditions::{Finding, READY, conditions},
        request::CertificateRequestStatus,
    },
    pki::certificate::parse_pem,
};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use std::{collections::BTreeSet, time::Duration};

impl World {
    /// Kubernetes' garbage collection: a staged key goes when none of its owners is there.
    fn collect_garbage(&mut self) {
        let live: BTreeSet<String> =
            self.requests.values().filter_map(ResourceExt::uid).chain(self.certificate.uid()).collect();
        self.staged.retain(|_, staged| {
            let owners = staged.owner_references();
            owners.is_empty() || owners.iter().any(|owner| live.contains(&owner.uid))
        });
    }

    /// The private CA, the controller of requests and that of garbage: signs what is wanted and not signed yet.
    pub fn sign(&mut self) {
        self.collect_garbage();
        let revisions: Vec<i64> = self.requests.keys().copied().collect();
        for revision in revisions {
            let request = &self.requests[&revision];
            // Without its key the certificate would be of no use.
            let wanted = still_wanted(&self.certificate, request) && self.staged.contains_key(&revision);
            if request.status.as_ref().is_some_and(|s| !waits(s)) || !wanted {
                continue;
            }
            if request.spec.signature.is_none() {
                let found = [Finding::no(READY, "WaitingForSignature", "add spec.signature")];
                self.requests.get_mut(&revision).unwrap().status = Some(with(&found, self.now));
                continue;
            }
            self.paid += 1;
            let lasts = SignedDuration::try_from(Duration::from(request.spec.duration)).unwrap();
            let serial = 0x0102_0000 + u64::try_from(self.paid).unwrap();
            let signed = self.ca.sign(request.spec.csr.as_deref().unwrap(), self.now, self.now + lasts, serial);
            let leaf = parse_pem(&signed).unwrap();
            let status = CertificateRequestStatus {
                certificate: Some(signed),
                chain: Some(self.ca.root.to_pem()),
                serial_number: Some(leaf.serial.to_string()),
                ..with(&[Finding::yes(READY, "Signed", "signed")], self.now)
            };
            self.requests.get_mut(&revision).unwrap().status = Some(status);
        }
    }

    /// The controller of requests looks at those that are not wanted (any more).
    pub fn supersede(&mut self) {
        for request in self.requests.values_mut() {
            let revision = request.annotations()[REVISION_ANNOTATION].parse::<i64>().unwrap();
            let wanted = still_wanted(&self.certificate, request) && self.staged.contains_key(&revision);
            if request.status.as_ref().is_none_or(waits) && !wanted {
                request.status = Some(with(&[Finding::no(READY, "Superseded", "nothing was issued")], self.now));
            }
        }
    }
}

/// The status of a request that is this.
fn with(found: &[Finding], now: Timestamp) -> CertificateRequestStatus {
    CertificateRequestStatus { conditions: conditions(&[], found, 1, now), ..CertificateRequestStatus::default() }
}

/// Whether a request waits for its signature.
fn waits(status: &CertificateRequestStatus) -> bool {
    status.conditions.iter().any(|c| c.reason == "WaitingForSignature")
}
