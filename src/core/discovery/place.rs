//! What becomes of a certificate in ACM: the object that shows it.

use super::Place;
use crate::{
    api::{
        ACM_VERSION_ANNOTATION, DISCOVERED_ANNOTATION, DISCOVERED_BY_LABEL, GROUP,
        discovery::{Discovery, Match, Rule, Settings},
        names::{CertificateArn, Located, Region},
        shared::Tags,
    },
    aws::port::Summary,
    core::hex,
};
use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::{Value, json};
use std::{collections::BTreeMap, net::IpAddr};

/// What the version of an object begins with that ACM's list does not have; the time follows.
pub const GONE: &str = "gone ";
/// The name of the only target.
pub const TARGET: &str = "acm";
/// Letters of a domain in an object's name.
const MOST_OF_A_NAME: usize = 50;
/// Names that a subject can have (schema of `Subject`).
const MOST_NAMES: usize = 100;
/// The longest DNS name (RFC 1035, 2.3.4, without the root).
const LONGEST_NAME: usize = 253;

/// The name of a certificate's object: what it is for, and which it is.
#[must_use]
pub fn object_name(names: &[String], arn: &CertificateArn) -> String {
    let domain = names.first().map_or("", |name| name.as_str());
    let mut slug = String::new();
    for c in domain.replace('*', "any").chars() {
        let c = c.to_ascii_lowercase();
        if c.is_ascii_lowercase() || c.is_ascii_digit() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        if slug.len() >= MOST_OF_A_NAME {
            break;
        }
    }
    let slug = slug.trim_end_matches('-');
    let slug = if slug.is_empty() { "certificate" } else { slug };
    format!("{slug}-{}", hex(digest(&SHA256, arn.as_str().as_bytes()).as_ref(), 6))
}

/// A digest of all that the list says of a certificate.
#[must_use]
pub fn version(summary: &Summary) -> String {
    let Summary { arn: _, names, more_names, imported, in_use, created_at, more } = summary;
    short(&format!("{names:?} {more_names} {imported} {in_use} {created_at:?} {more:?}"))
}

/// A digest for comparison.
pub(super) fn short(text: &str) -> String {
    hex(digest(&SHA256, text.as_bytes()).as_ref(), 8)
}

/// Whether some rule asks for tags.
pub(super) fn asks_for_tags(discovery: &Discovery) -> bool {
    discovery.rules.iter().any(|rule| !rule.r#match.tags.is_empty())
}

/// The first rule that a certificate fits.
fn rule<'a>(discovery: &'a Discovery, summary: &Summary, tags: Option<&Tags>) -> Option<&'a Rule> {
    discovery.rules.iter().find(|rule| fits(&rule.r#match, summary, tags))
}

fn fits(m: &Match, summary: &Summary, tags: Option<&Tags>) -> bool {
    let (account, region) = (summary.arn.account(), summary.arn.region());
    (m.domains.is_empty() || m.domains.iter().any(|pattern| summary.names.iter().any(|name| like(pattern, name))))
        && m.tags.iter().all(|(key, value)| tags.is_some_and(|tags| tags.get(key) == Some(value)))
        && (m.account_ids.is_empty() || m.account_ids.iter().any(|id| id.as_str() == account))
        && (m.regions.is_empty() || m.regions.iter().any(|r| r.as_str() == region))
}

/// Whether a name is the one of a pattern, or lies below its `*.`.
fn like(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.to_ascii_lowercase(), name.to_ascii_lowercase());
    match pattern.strip_prefix('*') {
        Some(end) if end.starts_with('.') => name.len() > end.len() && name.ends_with(end),
        _ => pattern == name,
    }
}

/// The object that shows a certificate. Nothing that a person is to write stands in it: who turns it into a managed one finds
/// those fields free.
pub(super) fn object(
    place: &Place<'_>,
    discovery: &Discovery,
    region: &Region,
    summary: &Summary,
    tags: Option<&Tags>,
) -> Value {
    let unset = Settings::default();
    let set = rule(discovery, summary, tags).map_or(&unset, |rule| &rule.set);
    let account = place.account.name_any();
    let reserved = |key: &str| key.to_ascii_lowercase().starts_with(&format!("{GROUP}/"));
    let mut labels: BTreeMap<&str, &str> =
        set.labels.iter().filter(|(key, _)| !reserved(key)).map(|(key, value)| (&**key, &**value)).collect();
    labels.insert(DISCOVERED_BY_LABEL, &account);
    let mut spec = json!({
        "management": "Observe",
        "accountRef": { "name": account },
        "region": region,
        "acm": [{ "name": TARGET, "accountRef": { "name": account }, "region": region, "certificateArn": summary.arn }],
    });
    if let Some(subject) = subject(&summary.names) {
        spec["subject"] = subject;
    }
    if let Some(owner) = &set.owner {
        spec["owner"] = json!(owner);
    }
    let mut object = json!({
        "apiVersion": format!("{GROUP}/v1beta1"),
        "kind": "Certificate",
        "metadata": {
            "name": object_name(&summary.names, &summary.arn),
            "namespace": set.namespace.as_ref().unwrap_or(&discovery.namespace),
            "labels": labels,
        },
        "spec": spec,
    });
    let written = short(&object.to_string());
    object["metadata"]["annotations"] =
        json!({ ACM_VERSION_ANNOTATION: version(summary), DISCOVERED_ANNOTATION: written });
    object
}

/// The names as a subject has them; none: no name is one that it can have.
fn subject(names: &[String]) -> Option<Value> {
    let mut hosts: Vec<String> = vec![];
    let mut addresses: Vec<&String> = vec![];
    for name in names {
        let lower = name.to_ascii_lowercase();
        if name.parse::<IpAddr>().is_ok() {
            addresses.push(name);
        } else if is_host(&lower) && !hosts.contains(&lower) && hosts.len() <= MOST_NAMES {
            hosts.push(lower);
        }
    }
    let (first, others) = hosts.split_first()?;
    let mut subject = json!({ "domainName": first });
    if !others.is_empty() {
        subject["additionalNames"] = json!(others);
    }
    if !addresses.is_empty() {
        addresses.truncate(MOST_NAMES);
        subject["ipAddresses"] = json!(addresses);
    }
    Some(subject)
}

/// Whether it is a DNS name as `Subject` has it.
fn is_host(name: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
    let label = |label: &str| {
        let bytes = label.as_bytes();
        (1..=63).contains(&bytes.len())
            && bytes.iter().all(|c| inner(*c) || *c == b'-')
            && bytes.first().is_some_and(|c| inner(*c))
            && bytes.last().is_some_and(|c| inner(*c))
    };
    name.len() <= LONGEST_NAME && name.strip_prefix("*.").unwrap_or(name).split('.').all(label)
}

/// Whether a certificate has ended.
pub(super) fn has_ended(summary: &Summary, now: Timestamp) -> bool {
    let more = summary.more.as_deref();
    more.is_some_and(|m| m.state == "EXPIRED" || m.not_after.is_some_and(|ends| ends <= now))
}

/// Whether the account's settings take it.
pub(super) fn is_taken(discovery: &Discovery, summary: &Summary, now: Timestamp) -> bool {
    let more = summary.more.as_deref();
    let revoked = more.is_some_and(|m| m.state == "REVOKED");
    let since = |since: Timestamp| more.and_then(|m| m.not_after).is_none_or(|ended| ended >= since);
    (discovery.revoked || !revoked)
        && (!has_ended(summary, now) || discovery.expired.as_ref().is_some_and(|expired| since(expired.since.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name_of(domain: &str) -> String {
        let arn = "arn:aws:acm:eu-west-1:111122223333:certificate/1".parse().unwrap();
        object_name(&[domain.to_owned()], &arn)
    }

    #[test]
    fn every_domain_makes_a_name() {
        let long = format!("{}.example", "a".repeat(245));
        for (domain, begins) in [
            ("app.pay.example", "app-pay-example-"),
            ("*.pay.example", "any-pay-example-"),
            ("", "certificate-"),
            ("…", "certificate-"),
            ("xn--bcher-kva.example", "xn-bcher-kva-example-"),
            ("My Own Certificate!", "my-own-certificate-"),
            (&long, "aaaaaaaaaa"),
        ] {
            let name = name_of(domain);
            assert!(name.starts_with(begins) && name.len() <= 63, "{name}");
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{name}");
        }
        assert_eq!(name_of("a.example"), name_of("a.example"));
    }

    #[test]
    fn patterns_are_names_or_all_that_lies_below() {
        assert!(like("*.Pay.example", "a.b.pay.EXAMPLE") && like("*.pay.example", "*.pay.example"));
        assert!(like("a.example", "A.example"));
        for (pattern, name) in
            [("*.pay.example", "pay.example"), ("*.pay.example", "xpay.example"), ("*", "a"), ("a.*", "a.b")]
        {
            assert!(!like(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn what_is_no_dns_name_is_in_no_subject() {
        let names = |names: &[&str]| subject(&names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>());
        assert_eq!(names(&["My Own"]), None);
        assert_eq!(names(&[]), None);
        let found = names(&["My Own", "A.example", "a.example", "10.0.0.1", "*.b.example"]).unwrap();
        assert_eq!(
            found,
            json!({ "domainName": "a.example", "additionalNames": ["*.b.example"], "ipAddresses": ["10.0.0.1"] })
        );
        let many: Vec<String> = (0..2000).map(|n| format!("n{n}.example")).collect();
        assert_eq!(subject(&many).unwrap()["additionalNames"].as_array().unwrap().len(), 100);
        let longest = format!("{}.{}.{}.{}", "a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61));
        assert_eq!(subject(std::slice::from_ref(&longest)).unwrap()["domainName"], json!(longest));
        assert_eq!(subject(&[format!("{longest}d")]), None);
    }
}
