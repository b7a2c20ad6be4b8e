//! Request rates: a token bucket for each account, region and operation.
//!
//! The rates are those of the ACM User Guide, "API rate quotas", and of Service Quotas for Private CA. STS publishes
//! none, so it has none here.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::api::ApiError;

/// Account, region, service and operation.
type Key = (String, String, String, String);

/// All buckets.
#[derive(Debug, Default)]
pub struct Quotas {
    /// Whether rates are limited, in every account.
    pub enabled: bool,
    /// The accounts in which they are limited anyway.
    pub accounts: BTreeSet<String>,
    /// What is left, and when that was counted.
    buckets: BTreeMap<Key, (f64, Timestamp)>,
}

/// Service, requests a second, and the operations that have this rate.
const RATES: [(&str, u8, &[&str]); 8] = [
    (
        "acm",
        1,
        &[
            "ImportCertificate",
            "ListCertificates",
            "GetAccountConfiguration",
            "PutAccountConfiguration",
            "ResendValidationEmail",
        ],
    ),
    (
        "acm",
        5,
        &[
            "RequestCertificate",
            "RenewCertificate",
            "ExportCertificate",
            "AddTagsToCertificate",
            "RemoveTagsFromCertificate",
            "UpdateCertificateOptions",
        ],
    ),
    ("acm", 10, &["DescribeCertificate", "GetCertificate", "DeleteCertificate", "ListTagsForCertificate"]),
    ("acm-pca", 1, &["CreateCertificateAuthority"]),
    ("acm-pca", 10, &["GetCertificateAuthorityCsr", "UpdateCertificateAuthority"]),
    (
        "acm-pca",
        20,
        &[
            "RevokeCertificate",
            "DescribeCertificateAuthority",
            "ListCertificateAuthorities",
            "GetCertificateAuthorityCertificate",
            "ListTags",
        ],
    ),
    ("acm-pca", 25, &["IssueCertificate"]),
    ("acm-pca", 75, &["GetCertificate"]),
];

/// Requests a second; `None` when there is no limit.
fn rate(service: &str, operation: &str) -> Option<f64> {
    let has = |entry: &&(&str, u8, &[&str])| entry.0 == service && entry.2.contains(&operation);
    RATES.iter().find(has).map(|(_, rate, _)| f64::from(*rate))
}

impl Quotas {
    /// Takes one request from its bucket, which holds a second's worth; `ThrottlingException` when it is empty.
    pub fn take(
        &mut self,
        account: &str,
        region: &str,
        service: &str,
        operation: &str,
        now: Timestamp,
    ) -> Result<(), ApiError> {
        let limited = self.enabled || self.accounts.contains(account);
        let Some(rate) = rate(service, operation).filter(|_| limited) else { return Ok(()) };
        let key = (account.to_owned(), region.to_owned(), service.to_owned(), operation.to_owned());
        let (left, at) = self.buckets.entry(key).or_insert((rate, now));
        let passed = now.duration_since(*at).as_secs_f64().max(0.0);
        *left = (*left + passed * rate).min(rate);
        *at = now;
        if *left < 1.0 {
            return Err(ApiError::new("ThrottlingException", "Rate exceeded"));
        }
        *left -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ACM User Guide, "API rate quotas": one ImportCertificate a second in an account and region.
    #[test]
    fn one_import_a_second() {
        let mut quotas = Quotas { enabled: true, ..Quotas::default() };
        let at = |millis: i64| Timestamp::from_millisecond(1_800_000_000_000 + millis).unwrap();
        let mut import =
            |account: &str, millis: i64| quotas.take(account, "eu-west-1", "acm", "ImportCertificate", at(millis));
        assert!(import("111122223333", 0).is_ok());
        assert_eq!(import("111122223333", 500).unwrap_err().code, "ThrottlingException");
        assert!(import("444455556666", 500).is_ok());
        assert!(import("111122223333", 1000).is_ok());
        quotas.enabled = false;
        assert!(quotas.take("111122223333", "eu-west-1", "acm", "ImportCertificate", at(1000)).is_ok());
        quotas.accounts.insert("111122223333".into());
        assert!(quotas.take("111122223333", "eu-west-1", "acm", "ImportCertificate", at(1000)).is_err());
        assert!(quotas.take("444455556666", "eu-west-1", "acm", "ImportCertificate", at(500)).is_ok());
    }

    /// Service Quotas, Private CA, "Rate of IssueCertificate requests": 25 a second.
    #[test]
    fn twenty_five_issues_a_second() {
        let mut quotas = Quotas { enabled: true, ..Quotas::default() };
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let mut issue = || quotas.take("1", "r", "acm-pca", "IssueCertificate", now);
        assert!((0..25).all(|_| issue().is_ok()));
        assert!(issue().is_err());
    }
}
