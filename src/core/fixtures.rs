//! A private CA and an account, for the tests of the core.

use crate::{
    api::AwsAccount,
    aws::port::{Authority, AuthorityState},
    core::authority::KnownAuthority,
    pki::{
        algorithm::KeyAlgorithm,
        certificate::{Certificate, parse_pem},
    },
};
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SerialNumber,
};
use serde_json::json;
use std::sync::Arc;
use time::OffsetDateTime;

/// When every world begins.
pub const START: &str = "2026-01-01T00:00:00Z";

/// An ECDSA CA that is valid for ten years from [`START`].
pub struct Ca {
    pub root: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let params = root(24 * 3650);
        let root = params.self_signed(&key).unwrap();
        Self { root: parse_pem(&root.pem()).unwrap(), issuer: Issuer::new(params, key) }
    }

    /// Another certificate for the same name and key.
    pub fn renewed_root(&self) -> Certificate {
        parse_pem(&root(24 * 3000).self_signed(self.issuer.key()).unwrap().pem()).unwrap()
    }

    /// Signs a CSR, from an hour before `now` on; returns PEM.
    pub fn sign(&self, csr: &str, now: Timestamp, not_after: Timestamp, serial: u64) -> String {
        let mut csr = CertificateSigningRequestParams::from_pem(csr).unwrap();
        csr.params.not_before = hours_from(now, -1);
        csr.params.not_after = OffsetDateTime::from_unix_timestamp(not_after.as_second()).unwrap();
        csr.params.serial_number = Some(SerialNumber::from(serial));
        // As the template of end-entity certificates has it.
        csr.params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        csr.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        csr.signed_by(&self.issuer).unwrap().pem()
    }

    /// As the account tells of it.
    pub fn known(&self) -> KnownAuthority {
        let arn = "arn:aws:acm-pca:eu-west-1:111122223333:certificate-authority/11111111-2222-3333-4444-555555555555";
        let authority = Authority {
            arn: arn.parse().unwrap(),
            region: "eu-west-1".parse().unwrap(),
            common_name: Some("Example Private CA".into()),
            state: AuthorityState::Active,
            state_name: "ACTIVE".into(),
            algorithm: Some(KeyAlgorithm::EcPrime256v1),
            algorithm_name: "EC_prime256v1".into(),
            short_lived: false,
            not_after: Some(self.root.not_after),
        };
        KnownAuthority { authority, certificate: Arc::new(self.root.clone()), above: Arc::default() }
    }
}

/// An account that every namespace may use.
pub fn account() -> AwsAccount {
    serde_json::from_value(json!({
        "apiVersion": "arnkeeper.dev/v1beta1", "kind": "AwsAccount", "metadata": { "name": "prod", "uid": "a" },
        "spec": { "regions": ["eu-west-1", "us-east-1"], "allowedNamespaces": { "from": "All" } },
    }))
    .unwrap()
}

/// A CA that ends so many hours from [`START`].
fn root(hours: i64) -> CertificateParams {
    let now: Timestamp = START.parse().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Example Private CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    (params.not_before, params.not_after) = (hours_from(now, -24), hours_from(now, hours));
    params
}

fn hours_from(now: Timestamp, hours: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp((now + SignedDuration::from_hours(hours)).as_second()).unwrap()
}
