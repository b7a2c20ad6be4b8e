//! What somebody else does in the world.

use super::{super::super::wanted, World};
use crate::pki::{
    algorithm::KeyAlgorithm,
    certificate::{Certificate as X509, Serial, parse_pem},
    csr::create_csr,
    key::PrivateKey,
};
use jiff::SignedDuration;
use k8s_openapi::ByteString;
use kube::ResourceExt;

/// The serial numbers of certificates that somebody else made begin here.
const STRANGERS: u64 = 0x7700_0000;
/// And here those of pairs that somebody put into the Secret.
const SWAPPED: u64 = 0x7800_0000;

impl World {
    /// A certificate of somebody else, for the same names.
    pub fn foreign(&mut self) -> X509 {
        self.stranger(STRANGERS).0
    }

    /// The same, with its key.
    fn stranger(&mut self, first: u64) -> (X509, PrivateKey) {
        self.uids += 1;
        let key = PrivateKey::generate(KeyAlgorithm::EcPrime256v1).unwrap();
        let mut subject = self.certificate.spec.subject.clone();
        if subject.domain_name.is_empty() {
            subject.domain_name = "app.pay.example".into();
        }
        let subject = wanted::subject_request(&subject).unwrap();
        let csr = create_csr(&key, &subject, None).unwrap();
        let end = self.now + SignedDuration::from_hours(2000);
        let signed = self.ca.sign(&csr, self.now, end, first + u64::from(self.uids));
        (parse_pem(&signed).unwrap(), key)
    }

    /// Whether ACM has a certificate that somebody put into the Secret.
    pub fn has_swapped(&self) -> bool {
        let first = Serial::from_bytes(&SWAPPED.to_be_bytes());
        self.acm.iter().any(|there| there.leaf.serial >= first)
    }

    /// Somebody else imports over what a target has in ACM.
    pub fn import_over(&mut self, target: &str) {
        let leaf = self.foreign();
        let ours = self.acm.iter_mut().filter(|c| c.tags.get("arnkeeper.dev/target").is_some_and(|t| t == target));
        ours.for_each(|there| there.leaf = leaf.clone());
    }

    /// Somebody puts something else into the Secret, or takes something out of it.
    pub fn edit_secret(&mut self, key: &str, value: Option<&str>) {
        let Some(secret) = self.secret.as_mut() else { return };
        let data = secret.data.get_or_insert_default();
        match value {
            Some(value) => data.insert(key.into(), ByteString(value.as_bytes().to_vec())),
            None => data.remove(key),
        };
    }

    /// Somebody edits an annotation of the Secret, or takes it away.
    pub fn edit_annotation(&mut self, key: &str, value: Option<&str>) {
        let Some(secret) = self.secret.as_mut() else { return };
        match value {
            Some(value) => secret.annotations_mut().insert(key.into(), value.into()),
            None => secret.annotations_mut().remove(key),
        };
    }

    /// Somebody puts another pair for the same names into the Secret.
    pub fn swap_secret(&mut self) {
        let (leaf, key) = self.stranger(SWAPPED);
        self.edit_secret("tls.crt", Some(&leaf.to_pem()));
        self.edit_secret("tls.key", Some(&key.to_pkcs8_pem()));
    }

    /// A value of the Secret.
    pub fn in_secret(&self, key: &str) -> Option<String> {
        let value = self.secret.as_ref()?.data.as_ref()?.get(key)?;
        Some(String::from_utf8(value.0.clone()).unwrap())
    }
}
