//! What the stores keep of each kind.

use super::store::{Gist, Kept, RenewedBy};
use crate::api::{
    AwsAccount, Certificate, CertificateRequest,
    conditions::{READY, STALLED, is_true},
};
use crate::core::discovery::is_discovered;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

fn gist(conditions: Option<&[Condition]>, enabled: bool) -> Gist {
    let conditions = conditions.unwrap_or_default();
    let stalled =
        conditions.iter().find(|c| c.type_ == STALLED && c.status == "True").map(|c| c.reason.as_str().into());
    Gist { enabled, ready: is_true(conditions, READY), stalled, ..Gist::default() }
}

impl Kept for AwsAccount {
    const DECODED: bool = true;

    fn gist(&self) -> Gist {
        gist(self.status.as_ref().map(|s| &*s.conditions), self.spec.enabled)
    }
}

impl Kept for Certificate {
    fn gist(&self) -> Gist {
        let (spec, status) = (&self.spec, self.status.as_ref());
        let targets = spec.acm.iter().filter_map(|t| t.account_ref.as_ref()).map(|account| account.name.as_str());
        let accounts = std::iter::once(spec.account_ref.name.as_str()).chain(targets);
        Gist {
            ends: status.and_then(|s| s.not_after.as_ref()).map(|t| t.0.as_second()),
            renews: status.and_then(|s| s.renewal_time.as_ref()).map(|t| t.0.as_second()),
            renewed_by: if spec.is_observed() {
                RenewedBy::Nobody
            } else if spec.source.acm_managed.is_some() {
                RenewedBy::Acm
            } else {
                RenewedBy::Operator
            },
            discovered: is_discovered(self),
            ..gist(status.map(|s| &*s.conditions), spec.enabled)
        }
        .with_names(accounts, spec.secret_in_view())
        .with_serial(status.and_then(|s| s.serial_number.as_deref()))
    }
}

impl Kept for CertificateRequest {
    /// A signed request is not worked on any more; who needs its certificate reads it.
    fn lean(&mut self) {
        let Some(status) = self.status.as_mut().filter(|s| is_true(&s.conditions, READY)) else { return };
        status.certificate = None;
        status.chain = None;
        self.spec.csr = None;
        self.spec.subject = None;
        self.spec.tags.clear();
        self.spec.usages = Vec::new();
        self.metadata.labels = None;
    }

    fn gist(&self) -> Gist {
        gist(self.status.as_ref().map(|s| &*s.conditions), true).with_names([self.spec.account_ref.name.as_str()], None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn request(ready: &str) -> CertificateRequest {
        let ready = json!({ "type": "Ready", "status": ready, "reason": "R", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z" });
        serde_json::from_value(json!({
            "apiVersion": "arnkeeper.dev/v1beta1", "kind": "CertificateRequest",
            "metadata": { "name": "app-1", "labels": { "app": "a" }, "annotations": { "arnkeeper.dev/revision": "1" } },
            "spec": {
                "accountRef": { "name": "prod" }, "region": "eu-west-1", "certificateAuthority": { "name": "ca" },
                "csr": "-----BEGIN CERTIFICATE REQUEST-----", "usages": ["server auth"], "tags": { "team": "pay" },
            },
            "status": { "certificate": "leaf", "chain": "above", "serialNumber": "1", "conditions": [ready] },
        }))
        .unwrap()
    }

    #[test]
    fn a_signed_request_is_kept_without_what_its_reader_reads_afresh() {
        let mut kept = request("True");
        kept.lean();
        assert!(kept.gist().ready);
        let status = kept.status.unwrap();
        assert_eq!((status.certificate, status.chain, kept.spec.csr), (None, None, None));
        assert!(kept.spec.usages.is_empty() && kept.spec.tags.is_empty() && kept.metadata.labels.is_none());
        assert_eq!((status.serial_number.as_deref(), status.conditions.len()), (Some("1"), 1));
        assert_eq!(kept.metadata.annotations, request("True").metadata.annotations);
    }

    #[test]
    fn a_request_that_is_worked_on_is_kept_whole() {
        let mut kept = request("False");
        kept.lean();
        assert_eq!(kept, request("False"));
        assert!(!kept.gist().ready && kept.gist().uses("prod") && !kept.gist().uses("test"));
    }

    #[test]
    fn the_gist_of_a_certificate_tells_whom_its_changes_concern() {
        let certificate: Certificate = serde_json::from_value(json!({
            "metadata": { "name": "app", "namespace": "pay" },
            "spec": {
                "accountRef": { "name": "prod" }, "region": "eu-west-1", "subject": { "domainName": "app.example" },
                "source": { "privateCa": { "certificateAuthority": { "name": "ca" } } }, "secret": { "name": "app-tls" },
                "acm": [{ "name": "edge", "accountRef": { "name": "edge" } }, { "name": "here" }],
            },
            "status": { "notAfter": "1970-01-01T00:01:00Z", "renewalTime": "1970-01-01T00:00:30Z", "conditions": [
                { "type": "Stalled", "status": "True", "reason": "QuotaUsedUp", "message": "", "lastTransitionTime": "1970-01-01T00:00:00Z" },
            ] },
        }))
        .unwrap();
        let gist = certificate.gist();
        assert_eq!((gist.enabled, gist.ready, gist.stalled.as_deref()), (true, false, Some("QuotaUsedUp")));
        assert_eq!((gist.ends, gist.renews), (Some(60), Some(30)));
        assert_eq!(["prod", "edge", "here"].map(|name| gist.uses(name)), [true, true, false]);
        assert_eq!(["app-tls", "app"].map(|name| gist.keeps(name)), [true, false]);
    }

    #[test]
    fn a_change_of_its_source_concerns_a_certificate() {
        let certificate: Certificate = serde_json::from_value(json!({
            "metadata": { "name": "public", "namespace": "pay" },
            "spec": { "accountRef": { "name": "prod" }, "region": "eu-west-1",
                "source": { "secretRef": { "name": "public-tls" } }, "acm": [{ "name": "edge" }] },
        }))
        .unwrap();
        assert_eq!(["public-tls", "public", ""].map(|name| certificate.gist().keeps(name)), [true, false, false]);
    }

    #[test]
    fn one_that_is_only_watched_keeps_no_secret() {
        let certificate: Certificate = serde_json::from_value(json!({
            "metadata": { "name": "app", "namespace": "pay" },
            "spec": { "management": "Observe", "accountRef": { "name": "prod" }, "region": "eu-west-1",
                "acm": [{ "name": "acm", "certificateArn": "arn:aws:acm:eu-west-1:111122223333:certificate/1" }] },
            "status": { "serialNumber": "01:02" },
        }))
        .unwrap();
        let gist = certificate.gist();
        assert!(gist.is_observed() && gist.keeps.is_none() && gist.uses("prod"));
        assert!(!gist.discovered, "a person wrote it");
        let mut found = certificate;
        found.metadata.labels = Some([("arnkeeper.dev/discovered-by".to_owned(), "prod".to_owned())].into());
        assert!(found.gist().discovered);
        found.spec.management = crate::api::certificate::Management::Managed;
        assert!(!found.gist().discovered, "somebody took it over");
        assert_eq!(gist.serial, crate::kube::store::serial_digest("01:02"));
    }
}
