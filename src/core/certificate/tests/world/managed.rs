//! What ACM does in the world with certificates that it issues itself.

use super::{
    super::super::{Imported, Installed, Observed, Write, acm_managed, wanted, write::import_tags},
    Fault, InAcm, World,
};
use crate::{
    api::names::CertificateArn,
    aws::port::{CertificateOrder, Description, Exported, Issuance},
    pki::{
        certificate::{Certificate as X509, parse_pem},
        csr,
        key::PrivateKey,
    },
};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;

/// A certificate of ACM lasts so long.
const LASTS: SignedDuration = SignedDuration::from_hours(395 * 24);
/// ACM renews so long before the end.
const RENEWS_BEFORE: SignedDuration = SignedDuration::from_hours(60 * 24);
/// Tokens count for so long.
const TOKEN_WINDOW: SignedDuration = SignedDuration::from_hours(1);
/// Looks that find something under way.
const LOOKS: u32 = 2;

/// What there is of a certificate that ACM issued.
#[derive(Clone, Debug)]
pub struct Managed {
    pub state: &'static str,
    pub failure: Option<&'static str>,
    /// PKCS #8, PEM.
    pub key: Arc<str>,
    /// Exported since it was issued or renewed last.
    pub exported: bool,
    /// The state of its renewal.
    pub renewal: Option<&'static str>,
    /// So many more looks find it under way.
    pub looks: u32,
}

impl Managed {
    /// What DescribeCertificate tells.
    pub(super) fn installed(&self, c: &InAcm) -> Installed {
        let issued = self.state == "ISSUED";
        let serial = issued.then(|| c.leaf.serial.clone());
        let eligible = issued && (self.exported || c.in_use);
        let description = Description {
            serial: serial.clone(),
            imported: false,
            algorithm: c.leaf.algorithm,
            algorithm_name: String::new(),
            key_usages: vec![],
            extended_key_usages: vec![],
            names: c.leaf.names.dns.iter().cloned().collect(),
            in_use_by: if c.in_use { vec!["arn:aws:elasticloadbalancing:x".into()] } else { vec![] },
            not_after: issued.then_some(c.leaf.not_after),
            not_before: issued.then_some(c.leaf.not_before),
            state: self.state.into(),
            kind: "PRIVATE".into(),
            renewal: if eligible { "ELIGIBLE" } else { "INELIGIBLE" }.into(),
            issuance: Issuance {
                authority: None,
                failure: if issued { String::new() } else { self.failure.unwrap_or_default().into() },
                renewal: self.renewal.unwrap_or_default().into(),
                renewal_at: None,
                renewal_failure: self.failure.filter(|_| issued).unwrap_or_default().into(),
            },
        };
        Installed { description, serial }
    }
}

impl World {
    /// A key, and its certificate.
    fn issue(&mut self, order: &CertificateOrder) -> (X509, Arc<str>) {
        self.keys_of_acm += 1;
        let key = PrivateKey::generate(order.algorithm).unwrap();
        let subject = wanted::subject_request(&self.certificate.spec.subject).unwrap();
        let csr = csr::create_csr(&key, &subject, None).unwrap();
        let serial = 0x0a0b_0000 + u64::try_from(self.keys_of_acm).unwrap();
        let leaf = parse_pem(&self.ca.sign(&csr, self.now, self.now + LASTS, serial)).unwrap();
        (leaf, key.to_pkcs8_pem().as_str().into())
    }

    /// The ledger learns of what ACM is asked for, and of what it refuses.
    pub(super) fn count(&mut self, o: &mut Observed, write: &Write, fault: Fault) {
        let stored = o.certificate.status.clone().unwrap_or_default();
        let record = match write {
            Write::RequestNew(_) => stored.targets[0].pending_since.as_ref().unwrap().0,
            Write::Renew(_, _, record) => *record,
            _ => return,
        };
        assert!(stored.managed.unwrap().asked.iter().any(|at| at.0 == record), "it does not count");
        assert_eq!(o.counted, Some((record, Ok(()))));
        o.counted = None;
        let (uid, ledger) = (o.uid(), &mut self.process.ledger);
        ledger.calls_managed("prod", &uid, record, self.now);
        match fault {
            Fault::Refused => ledger.take_back("prod", &uid, record),
            _ => ledger.made_managed("prod", &uid, record),
        }
        o.asked = ledger.known(&uid, self.now);
        if !matches!(fault, Fault::Refused | Fault::Unsent) {
            self.asked_of_acm.push(self.now);
        }
    }

    pub(super) fn request_new(&mut self, o: &mut Observed, target: &str) {
        self.process.records.remove(target);
        self.process.begun.remove(target);
        let order = acm_managed::order(o).unwrap();
        assert!(
            order.idempotency_token.len() <= 32 && order.idempotency_token.bytes().all(|b| b.is_ascii_alphanumeric())
        );
        let known = self.tokens.get(&order.idempotency_token).cloned();
        let known = known.filter(|(at, _)| self.now.duration_since(*at) < TOKEN_WINDOW).map(|(_, arn)| arn);
        let arn = known.unwrap_or_else(|| {
            self.new_imports += 1;
            let n = self.new_imports;
            let arn: CertificateArn =
                format!("arn:aws:acm:eu-west-1:{}:certificate/10000000-0000-0000-0000-{n:012}", self.leads_to)
                    .parse()
                    .unwrap();
            let (leaf, key) = self.issue(&order);
            let tags = import_tags(o, &self.certificate.spec.acm[0]);
            let state = "PENDING_VALIDATION";
            let managed = Managed { state, failure: None, key, exported: false, renewal: None, looks: LOOKS };
            let created = self.now;
            self.acm.push(InAcm {
                arn: arn.clone(),
                leaf,
                tags,
                created,
                in_use: false,
                imported: false,
                managed: Some(managed),
            });
            self.tokens.insert(order.idempotency_token.clone(), (self.now, arn.clone()));
            arn
        });
        self.process.own.push(arn.clone());
        o.memory.imported.insert(target.to_owned(), Imported { arn, serial: None, content: None, at: self.now });
        o.memory.target_failures.remove(target);
    }

    /// Each look brings on what is under way.
    pub(super) fn advance(&mut self, arn: &CertificateArn) {
        self.renew_in_time();
        let failure = self.acm_failure;
        let Some(at) = self.acm.iter().position(|c| c.arn == *arn) else { return };
        let Some(managed) = &mut self.acm[at].managed else { return };
        let under_way = managed.state == "PENDING_VALIDATION" || managed.renewal == Some("PENDING_AUTO_RENEWAL");
        if !under_way {
            return;
        }
        if managed.looks > 0 {
            managed.looks -= 1;
            return;
        }
        managed.failure = failure;
        if managed.state == "PENDING_VALIDATION" {
            managed.state = if failure.is_some() { "FAILED" } else { "ISSUED" };
            self.issued_by_acm += usize::from(failure.is_none());
        } else if failure.is_some() {
            managed.renewal = Some("FAILED");
        } else {
            self.renewed(at);
        }
    }

    fn renewed(&mut self, at: usize) {
        let algorithm = self.acm[at].leaf.algorithm.unwrap();
        let order = CertificateOrder {
            region: "eu-west-1".parse().unwrap(),
            authority: self.ca.known().authority.arn,
            domain_name: String::new(),
            additional_names: vec![],
            algorithm,
            idempotency_token: String::new(),
            tags: crate::api::shared::Tags::new(),
        };
        let (leaf, key) = self.issue(&order);
        self.issued_by_acm += 1;
        self.acm[at].leaf = leaf;
        if let Some(managed) = &mut self.acm[at].managed {
            managed.key = key;
            managed.exported = false;
            managed.renewal = Some("SUCCESS");
        }
    }

    /// ACM begins to renew what is due.
    fn renew_in_time(&mut self) {
        for c in &mut self.acm {
            let due = c.leaf.not_after.duration_since(self.now) <= RENEWS_BEFORE && self.now < c.leaf.not_after;
            let Some(managed) = &mut c.managed else { continue };
            let stuck = managed.renewal == Some("FAILED") && self.acm_failure.is_some();
            let eligible = managed.state == "ISSUED" && (managed.exported || c.in_use);
            if due && eligible && !stuck && managed.renewal != Some("PENDING_AUTO_RENEWAL") {
                managed.renewal = Some("PENDING_AUTO_RENEWAL");
                managed.looks = LOOKS;
            }
        }
    }

    pub(super) fn renew(&mut self, o: &mut Observed, arn: &CertificateArn, record: Timestamp) {
        self.renewals += 1;
        let there = self.acm.iter_mut().find(|c| c.arn == *arn).unwrap();
        let ours = there.tags.get("arnkeeper.dev/name").is_some_and(|name| name == "app");
        let managed = there.managed.as_mut().unwrap();
        assert!(ours && (managed.exported || there.in_use), "ACM would refuse to renew it");
        if managed.renewal != Some("PENDING_AUTO_RENEWAL") {
            managed.renewal = Some("PENDING_AUTO_RENEWAL");
            managed.looks = LOOKS;
        }
        o.memory.renewal = Some((record, true));
        o.targets.values_mut().for_each(|seen| seen.installed = None);
    }

    pub(super) fn export(&mut self, o: &mut Observed, arn: &CertificateArn) {
        self.exports += 1;
        let there = self.acm.iter_mut().find(|c| c.arn == *arn).unwrap();
        let ours = there.tags.get("arnkeeper.dev/name").is_some_and(|name| name == "app");
        assert!(ours, "a key that is not ours was exported");
        let managed = there.managed.as_mut().unwrap();
        managed.exported = true;
        let exported = Exported {
            certificate: there.leaf.to_pem(),
            chain: self.ca.root.to_pem(),
            key: PrivateKey::from_pem(&managed.key).map_err(|e| e.to_string()),
        };
        o.exported = Some(acm_managed::read(exported));
    }
}
