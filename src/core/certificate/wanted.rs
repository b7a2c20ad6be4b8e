//! What a spec asks of a certificate, and whether what is there still answers it.

use super::{
    Observed,
    held::{self, What},
    issuing, renewal,
};
use crate::{
    api::{
        ACM_VERSION_ANNOTATION, Certificate, DISCOVERED_ANNOTATION, GROUP, ISSUED_FOR_ANNOTATION, RENEW_ANNOTATION,
        certificate::CertificateSpec,
        shared::{KeyKind, Subject, Usage},
    },
    core::{hex, secret::KeyPair, template},
    pki::{
        certificate::Certificate as X509,
        csr::SubjectRequest,
        names::{InvalidNames, Names},
    },
    text::plain,
};
use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use kube::ResourceExt;
use serde::Serialize;
use std::collections::BTreeSet;

/// Version of the digest: a digest of another version says nothing, and the certificate itself is compared.
const VERSION: &str = "v1:";

/// Why a new revision is issued. The names stand in `status.history[].trigger`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// There never was one.
    First,
    /// The Secret is gone, or holds no usable certificate, or another one than the one issued last.
    SecretLost(String),
    /// The spec asks for another certificate.
    SpecChanged,
    /// The annotation asks for a renewal.
    Requested,
    /// Its time has come.
    Renewal,
    /// Its time has come, and no window opens in good time before its end.
    RenewalOutsideWindow,
}

impl Trigger {
    /// CamelCase.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::First => "Issued",
            Self::SecretLost(_) => "SecretLost",
            Self::SpecChanged => "SpecChanged",
            Self::Requested => "Requested",
            Self::Renewal => "Renewal",
            Self::RenewalOutsideWindow => "RenewalOutsideWindow",
        }
    }
}

/// The parts of a spec that a certificate is issued for, in a fixed order.
#[derive(Serialize)]
struct IssuedFor<'a> {
    account: &'a str,
    region: &'a str,
    source: &'a crate::api::certificate::Source,
    subject: &'a Subject,
    usages: BTreeSet<Usage>,
    duration: u64,
    algorithm: Option<KeyKind>,
    size: Option<i32>,
}

/// A digest of what the spec asks of a certificate. It stands on the Secret and on the request.
#[must_use]
pub fn issued_for(spec: &CertificateSpec) -> String {
    let key = spec.private_key.as_ref();
    let parts = IssuedFor {
        account: &spec.account_ref.name,
        region: spec.region.as_str(),
        source: &spec.source,
        subject: &spec.subject,
        usages: spec.usages.iter().copied().collect(),
        duration: std::time::Duration::from(spec.duration).as_secs(),
        algorithm: key.and_then(|k| k.algorithm),
        size: key.and_then(|k| k.size),
    };
    let json = serde_json::to_vec(&parts).unwrap_or_default();
    format!("{VERSION}{}", hex(digest(&SHA256, &json).as_ref(), 16))
}

/// The names of a subject.
///
/// # Errors
/// If one of them is none.
pub fn names(subject: &Subject) -> Result<Names, InvalidNames> {
    Names::new(
        std::iter::once(&subject.domain_name).chain(&subject.additional_names),
        &subject.ip_addresses,
        &subject.uris,
        &subject.email_addresses,
    )
}

/// The subject as a CSR carries it.
///
/// # Errors
/// If one of its names is none.
pub fn subject_request(subject: &Subject) -> Result<SubjectRequest, InvalidNames> {
    Ok(SubjectRequest {
        // RFC 5280, ub-common-name: a longer name stands in the SAN only.
        common_name: Some(subject.domain_name.clone()).filter(|name| name.len() <= 64),
        organization: subject.organization.clone(),
        organizational_unit: subject.organizational_unit.clone(),
        country: subject.country.clone(),
        locality: subject.locality.clone(),
        state: subject.state.clone(),
        names: names(subject)?,
    })
}

/// The usages that the certificate will have.
#[must_use]
pub fn usages(spec: &CertificateSpec) -> Vec<Usage> {
    if spec.usages.is_empty() { template::DEFAULT_USAGES.to_vec() } else { spec.usages.clone() }
}

/// The forced renewal that is asked for: the annotation's value, once its time has come.
#[must_use]
pub fn renewal_request(certificate: &Certificate, now: Timestamp) -> Option<&str> {
    let value = certificate.annotations().get(RENEW_ANNOTATION)?;
    value.parse::<Timestamp>().is_ok_and(|at| at <= now).then_some(value.as_str())
}

/// The longest word of an annotation that is repeated, in bytes.
const LONGEST_WORD: usize = 64;

/// A renewal that is asked for in a way that can't be understood, for a person.
#[must_use]
pub fn unreadable_request(certificate: &Certificate) -> Option<String> {
    let value = certificate.annotations().get(RENEW_ANNOTATION)?;
    value.parse::<Timestamp>().is_err().then(|| {
        let value = plain(value, LONGEST_WORD);
        format!("{RENEW_ANNOTATION} is not an RFC 3339 time, such as 2026-01-31T12:00:00Z: {value:?}")
    })
}

/// What an annotation asks for and nobody hears: its value is no time, or its key is none of ours. For a person.
#[must_use]
pub fn unheard(certificate: &Certificate) -> Option<String> {
    let known = [RENEW_ANNOTATION, ACM_VERSION_ANNOTATION, DISCOVERED_ANNOTATION];
    let mut keys = certificate.annotations().keys().map(String::as_str);
    let stranger = |key: &&str| {
        let ours = key.strip_prefix(GROUP).is_some_and(|rest| rest.starts_with('/'));
        ours && !known.contains(key)
    };
    unreadable_request(certificate).or_else(|| {
        let key = plain(keys.find(stranger)?, LONGEST_WORD);
        Some(format!(
            "the annotation {key:?} does nothing on a Certificate; a renewal is asked for by {RENEW_ANNOTATION}"
        ))
    })
}

/// Why a new revision is to be issued, if so. The first reason counts.
#[must_use]
pub fn trigger(o: &Observed, now: Timestamp) -> Option<Trigger> {
    // ACM issues by itself.
    if o.is_managed() {
        return None;
    }
    let spec = &o.certificate.spec;
    // Whoever keeps the Secret sees to that.
    if spec.source_secret().is_some() {
        return None;
    }
    let secret = match o.secret.as_ref()? {
        Some(secret) => secret,
        None if o.certificate.status.as_ref().is_some_and(|s| s.revision.is_some()) => {
            return Some(Trigger::SecretLost(format!("the Secret {:?} is gone", spec.secret.name)));
        }
        None => return Some(Trigger::First),
    };
    let pair = match o.pair.as_ref()? {
        Ok(pair) if held::held(o).what == What::Another => {
            let serial = &pair.chain.leaf.serial;
            let why = format!("the Secret {:?} holds another certificate than the one issued last", spec.secret.name);
            return Some(Trigger::SecretLost(format!("{why}: the one with the serial number {serial}")));
        }
        Ok(pair) => pair,
        Err(_) if o.base_revision() == 0 => return Some(Trigger::First),
        Err(problem) => {
            return Some(Trigger::SecretLost(format!("the Secret {:?} can't be used: {problem}", spec.secret.name)));
        }
    };
    // What an annotation of the Secret said, the request of its certificate says, too: nothing is bought because one was lost.
    let request = held::request(o).map(|(_, request)| request.annotations());
    let told = |key: &str| request.and_then(|annotations| annotations.get(key)).map(String::as_str);
    if !answers(spec, [secret.issued_for(), told(ISSUED_FOR_ANNOTATION)], pair) {
        return Some(Trigger::SpecChanged);
    }
    if let Some(wanted) = renewal_request(&o.certificate, now)
        && ![secret.renewed_for(), told(RENEW_ANNOTATION)].contains(&Some(wanted))
    {
        return Some(Trigger::Requested);
    }
    let leaf = &pair.chain.leaf;
    let due = renewal::due(spec, leaf.not_before, leaf.not_after, &o.uid(), now)?;
    if due.at <= now {
        return Some(if due.outside { Trigger::RenewalOutsideWindow } else { Trigger::Renewal });
    }
    (due.since <= now && is_begun(o)).then_some(Trigger::Renewal)
}

/// Whether a new revision was asked for already: a renewal that began in a window goes on when that closes.
fn is_begun(o: &Observed) -> bool {
    let later = (o.base_revision() + 1)..;
    o.requests.range(later).any(|(_, request)| issuing::is_ours(o, request) && !issuing::is_superseded(request))
}

/// Whether a certificate has the names that the spec asks for, and no others.
pub(super) fn names_fit(spec: &CertificateSpec, leaf: &X509) -> bool {
    names(&spec.subject).is_ok_and(|wanted| wanted.is_subset_of(&leaf.names) && leaf.names.is_subset_of(&wanted))
}

/// Whether the certificate is the one that the spec asks for. Where no digest is recorded, its names tell.
fn answers(spec: &CertificateSpec, recorded: [Option<&str>; 2], pair: &KeyPair) -> bool {
    let mut digests = recorded.into_iter().flatten().filter(|digest| digest.starts_with(VERSION)).peekable();
    let wanted = issued_for(spec);
    names_fit(spec, &pair.chain.leaf) && (digests.peek().is_none() || digests.any(|digest| digest == wanted))
}
