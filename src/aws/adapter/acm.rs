//! Calls to ACM (ACM API reference).

use super::{CONNECT, timestamp};
use crate::{
    api::{
        names::{CertificateArn, Region},
        shared::Tags,
    },
    aws::{
        classify::{from_sdk, unexpected, unusable},
        clients::Caller,
        error::AwsError,
        paced::{Gate, quotas::Operation},
        port::{Description, Issuance, Listed, Material, PemChain, Summary},
    },
    pki::{algorithm::KeyAlgorithm, certificate::Serial},
};
use aws_config::timeout::TimeoutConfig;
use aws_sdk_acm::{
    operation::import_certificate::builders::ImportCertificateFluentBuilder,
    primitives::Blob,
    types::{CertificateDetail, CertificateSummary, CertificateType, Filters, Tag},
};
use std::time::Duration;

pub(super) const DESCRIBE: &str = "acm:DescribeCertificate";
pub(super) const GET: &str = "acm:GetCertificate";
pub(super) const LIST_TAGS: &str = "acm:ListTagsForCertificate";
pub(super) const IMPORT: &str = "acm:ImportCertificate";
pub(super) const ADD_TAGS: &str = "acm:AddTagsToCertificate";
pub(super) const REMOVE_TAGS: &str = "acm:RemoveTagsFromCertificate";
pub(super) const DELETE: &str = "acm:DeleteCertificate";
const LIST: &str = "acm:ListCertificates";

pub(super) type Client = Caller<aws_sdk_acm::Client>;

/// The largest page (ListCertificates, MaxItems); the call itself is limited to one a second.
const PAGE: i32 = 1000;
/// What makes a new ARN takes at most this long.
const MAKE_NEW: Duration = Duration::from_secs(15);
/// Many more tags than the 50 of a certificate (ACM user guide, "Tag restrictions"): what is remembered is bounded.
const MOST_TAGS: usize = 200;
/// Hexadecimal digits of the longest serial number (RFC 5280, 4.1.2.2: 20 octets).
const MOST_HEX_DIGITS: usize = 40;

/// All certificates, whatever their state. Without a filter ACM tells only those with RSA keys of 1024 and 2048 bits.
pub(super) async fn list(client: &Client, gate: &Gate, region: &Region) -> Result<Vec<Summary>, AwsError> {
    let types = KeyAlgorithm::ALL.iter().map(|algorithm| algorithm.acm_name().into()).collect();
    let filters = Filters::builder().set_key_types(Some(types)).build();
    let list = client.list_certificates().includes(filters).max_items(PAGE);
    let page = async |token| {
        let answer =
            Box::pin(list.clone().set_next_token(token).customize().config_override(client.own()).send()).await;
        answer.map_err(|error| from_sdk(LIST, &error))
    };
    let mut answer = page(None).await?;
    let mut summaries = vec![];
    loop {
        summaries.extend(answer.certificate_summary_list().iter().filter_map(summary));
        let Some(token) = answer.next_token.filter(|token| !token.is_empty()) else { return Ok(summaries) };
        answer = gate.patiently(Operation::ListCertificates, region, || page(Some(token.clone()))).await?;
    }
}

/// None: it has no ARN that could be used.
fn summary(found: &CertificateSummary) -> Option<Summary> {
    Some(Summary {
        arn: found.certificate_arn()?.parse().ok()?,
        names: names(found.domain_name(), found.subject_alternative_name_summaries()),
        more_names: found.has_additional_subject_alternative_names().unwrap_or_default(),
        imported: found.r#type() == Some(&CertificateType::Imported),
        in_use: found.in_use().unwrap_or_default(),
        created_at: found.created_at().and_then(timestamp),
        more: Some(Box::new(listed(found))),
    })
}

fn listed(found: &CertificateSummary) -> Listed {
    let changed = [found.imported_at(), found.issued_at(), found.revoked_at()];
    Listed {
        state: found.status().map(|s| s.as_str().to_owned()).unwrap_or_default(),
        kind: found.r#type().map(|t| t.as_str().to_owned()).unwrap_or_default(),
        key_algorithm: found.key_algorithm().map(|a| a.as_str().to_owned()).unwrap_or_default(),
        renewal: found.renewal_eligibility().map(|r| r.as_str().to_owned()).unwrap_or_default(),
        not_before: found.not_before().and_then(timestamp),
        not_after: found.not_after().and_then(timestamp),
        changed_at: changed.into_iter().flatten().filter_map(timestamp).max(),
    }
}

/// The first domain and the others, each once.
fn names(first: Option<&str>, others: &[String]) -> Vec<String> {
    let others = others.iter().map(String::as_str).filter(|name| Some(*name) != first);
    first.into_iter().chain(others).map(str::to_owned).collect()
}

pub(super) async fn describe(client: &Client, arn: &CertificateArn) -> Result<Description, AwsError> {
    let answer = client
        .describe_certificate()
        .certificate_arn(arn.as_str())
        .customize()
        .config_override(client.own())
        .send()
        .await;
    let answer = answer.map_err(|error| from_sdk(DESCRIBE, &error))?;
    answer.certificate().map(description).ok_or_else(|| unexpected(DESCRIBE, "certificate"))
}

fn description(found: &CertificateDetail) -> Description {
    let algorithm_name = found.key_algorithm().map(|a| a.as_str().to_owned()).unwrap_or_default();
    Description {
        serial: found.serial().and_then(serial),
        imported: found.r#type() == Some(&CertificateType::Imported),
        algorithm: KeyAlgorithm::from_acm_name(&algorithm_name),
        algorithm_name,
        key_usages: found.key_usages().iter().filter_map(|usage| Some(usage.name()?.as_str().to_owned())).collect(),
        extended_key_usages: found
            .extended_key_usages()
            .iter()
            .filter_map(|usage| Some(usage.oid()?.to_owned()))
            .collect(),
        names: names(found.domain_name(), found.subject_alternative_names()),
        in_use_by: found.in_use_by().to_vec(),
        not_after: found.not_after().and_then(timestamp),
        not_before: found.not_before().and_then(timestamp),
        state: found.status().map(|s| s.as_str().to_owned()).unwrap_or_default(),
        kind: found.r#type().map(|t| t.as_str().to_owned()).unwrap_or_default(),
        renewal: found.renewal_eligibility().map(|r| r.as_str().to_owned()).unwrap_or_default(),
        issuance: issuance(found),
    }
}

fn issuance(found: &CertificateDetail) -> Issuance {
    let renewal = found.renewal_summary();
    Issuance {
        authority: found.certificate_authority_arn().and_then(|arn| arn.parse().ok()),
        failure: found.failure_reason().map(|f| f.as_str().to_owned()).unwrap_or_default(),
        renewal: renewal.map(|r| r.renewal_status().as_str().to_owned()).unwrap_or_default(),
        renewal_at: renewal.and_then(|r| timestamp(r.updated_at())),
        renewal_failure: renewal
            .and_then(|r| r.renewal_status_reason())
            .map(|f| f.as_str().to_owned())
            .unwrap_or_default(),
    }
}

/// AWS writes colon-hex; emulators write decimal digits, too. None where it could be either: the certificate itself tells.
fn serial(text: &str) -> Option<Serial> {
    if text.contains(|c: char| !c.is_ascii_digit()) {
        return text.parse().ok();
    }
    if text.len() <= MOST_HEX_DIGITS {
        return None;
    }
    let mut bytes = [0_u8; MOST_HEX_DIGITS / 2];
    for digit in text.bytes() {
        let mut carry = u16::from(digit - b'0');
        for byte in bytes.iter_mut().rev() {
            let [high, low] = (u16::from(*byte) * 10 + carry).to_be_bytes();
            *byte = low;
            carry = high.into();
        }
        if carry != 0 {
            return None;
        }
    }
    Some(Serial::from_bytes(&bytes))
}

pub(super) async fn body(client: &Client, arn: &CertificateArn) -> Result<PemChain, AwsError> {
    let answer =
        client.get_certificate().certificate_arn(arn.as_str()).customize().config_override(client.own()).send().await;
    let answer = answer.map_err(|error| from_sdk(GET, &error))?;
    let certificate = answer.certificate.ok_or_else(|| unexpected(GET, "certificate"))?;
    Ok(PemChain { certificate, chain: answer.certificate_chain.unwrap_or_default() })
}

pub(super) async fn tags(client: &Client, arn: &CertificateArn) -> Result<Tags, AwsError> {
    let answer = client
        .list_tags_for_certificate()
        .certificate_arn(arn.as_str())
        .customize()
        .config_override(client.own())
        .send()
        .await;
    let answer = answer.map_err(|error| from_sdk(LIST_TAGS, &error))?;
    if answer.tags().len() > MOST_TAGS {
        return Err(unexpected(LIST_TAGS, "list of tags: it has more than a certificate can have"));
    }
    Ok(answer.tags().iter().map(|tag| (tag.key().to_owned(), tag.value().unwrap_or_default().to_owned())).collect())
}

/// One attempt, as all calls here: a repeat after a lost answer would make a second certificate.
pub(super) async fn import_new(client: &Client, material: &Material, tags: &Tags) -> Result<CertificateArn, AwsError> {
    let tags = if tags.is_empty() { None } else { Some(to_sdk(IMPORT, tags)?) };
    let answer = import(client, material).set_tags(tags).customize().config_override(once(client)).send().await;
    let answer = answer.map_err(|error| from_sdk(IMPORT, &error))?;
    answer
        .certificate_arn()
        .and_then(|arn| arn.parse().ok())
        .ok_or_else(|| unexpected(IMPORT, "ARN of the certificate"))
}

/// How a call that makes a new ARN is made: with more time for its one attempt than others have, since one that is given up may have
/// made one; and no more, so that it is known soon that nothing comes of it any more.
pub(super) fn once(client: &Client) -> aws_sdk_acm::config::Builder {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(MAKE_NEW)
        .operation_timeout(MAKE_NEW)
        .build();
    client.own().timeout_config(timeouts)
}

/// Without tags: ACM refuses them here, even none in a list.
pub(super) async fn reimport(client: &Client, arn: &CertificateArn, material: &Material) -> Result<(), AwsError> {
    let answer =
        import(client, material).certificate_arn(arn.as_str()).customize().config_override(client.own()).send().await;
    answer.map(|_| ()).map_err(|error| from_sdk(IMPORT, &error))
}

fn import(client: &Client, material: &Material) -> ImportCertificateFluentBuilder {
    client
        .import_certificate()
        .certificate(Blob::new(material.certificate.as_bytes()))
        .private_key(Blob::new(material.private_key.as_bytes()))
        .set_certificate_chain(material.chain.as_ref().map(|chain| Blob::new(chain.as_bytes())))
}

pub(super) async fn add_tags(client: &Client, arn: &CertificateArn, tags: &Tags) -> Result<(), AwsError> {
    if tags.is_empty() {
        return Ok(());
    }
    let tags = to_sdk(ADD_TAGS, tags)?;
    let answer = client
        .add_tags_to_certificate()
        .certificate_arn(arn.as_str())
        .set_tags(Some(tags))
        .customize()
        .config_override(client.own())
        .send()
        .await;
    answer.map(|_| ()).map_err(|error| from_sdk(ADD_TAGS, &error))
}

/// Without values, so that a tag goes whatever its value is.
pub(super) async fn remove_tags(client: &Client, arn: &CertificateArn, keys: &[String]) -> Result<(), AwsError> {
    if keys.is_empty() {
        return Ok(());
    }
    let tags: Result<Vec<Tag>, _> = keys.iter().map(|key| Tag::builder().key(key).build()).collect();
    let tags = tags.map_err(|error| unusable(REMOVE_TAGS, &error))?;
    let answer = client
        .remove_tags_from_certificate()
        .certificate_arn(arn.as_str())
        .set_tags(Some(tags))
        .customize()
        .config_override(client.own())
        .send()
        .await;
    answer.map(|_| ()).map_err(|error| from_sdk(REMOVE_TAGS, &error))
}

pub(super) async fn delete(client: &Client, arn: &CertificateArn) -> Result<(), AwsError> {
    let answer = client
        .delete_certificate()
        .certificate_arn(arn.as_str())
        .customize()
        .config_override(client.own())
        .send()
        .await;
    answer.map(|_| ()).map_err(|error| from_sdk(DELETE, &error))
}

pub(super) fn to_sdk(action: &'static str, tags: &Tags) -> Result<Vec<Tag>, AwsError> {
    let tags = tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build());
    tags.collect::<Result<_, _>>().map_err(|error| unusable(action, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_are_read_where_they_are_unambiguous() {
        let read = |text| serial(text).map(|serial| serial.to_string());
        assert_eq!(read("67:07:44:76:83:a9:b7:f4").as_deref(), Some("67:07:44:76:83:a9:b7:f4"));
        assert_eq!(read("67:07:44").as_deref(), Some("67:07:44"));
        assert_eq!(read("67AB").as_deref(), Some("67:ab"));
        // 2^159, which has 48 decimal digits.
        let decimal = "730750818665451459101842416358141509827966271488";
        assert_eq!(read(decimal), Some(format!("80{}", ":00".repeat(19))));
        // 2^160 is longer than a serial number may be.
        assert_eq!(read("1461501637330902918203684832716283019655932542976"), None);
        for unclear in ["", "12", "1234567890123456789012345678901234567890", "no serial"] {
            assert_eq!(read(unclear), None, "{unclear}");
        }
    }

    #[test]
    fn the_first_name_is_told_once() {
        let others = ["a.example".to_owned(), "b.example".to_owned()];
        assert_eq!(names(Some("a.example"), &others), others);
        assert_eq!(names(None, &others), others);
        assert_eq!(names(Some("c.example"), &[]), ["c.example"]);
    }
}
