//! IssueCertificate, GetCertificate and RevokeCertificate.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::authority::{Authority, Issued, in_progress, wrong_state};
use super::request::{self, Request};
use super::templates::{self, KEY_USAGES, Template};
use super::x509::{self, AuthorityKey, Content, Extension};
use super::{names, validity};
use crate::api::{ApiError, Call};
use crate::random;

/// The longest certificate of an authority for short-lived ones (Private CA User Guide, "CA modes").
const SHORT_LIVED: SignedDuration = SignedDuration::from_hours(7 * 24);

fn invalid(why: impl Into<String>) -> ApiError {
    ApiError::new("ValidationException", why)
}

/// A blob of the JSON protocol.
pub fn blob(body: &Value, field: &str) -> Result<Vec<u8>, ApiError> {
    let text = body[field].as_str().ok_or_else(|| invalid(format!("{field} is missing")))?;
    STANDARD.decode(text).map_err(|_| ApiError::new("SerializationException", format!("{field} is not base 64")))
}

/// Issues a certificate and gives its ARN.
pub fn issue(authority: &mut Authority, call: &Call, polls: u32, body: &Value) -> Result<String, ApiError> {
    let template = templates::find(body["TemplateArn"].as_str())?;
    if call.account != authority.owner && !template.is_for_sharers() {
        return Err(ApiError::new(
            "AccessDeniedException",
            format!("The template {} may not be used from another account", template.name),
        ));
    }
    let status = authority.status_at(call.now);
    let own = template.root && matches!(status, "PENDING_CERTIFICATE" | "ACTIVE");
    if status != "ACTIVE" && !own {
        return Err(wrong_state(status));
    }
    let request = request::read(&blob(body, "Csr")?)?;
    let period = validity::period(body, call.now)?;
    let algorithm = body["SigningAlgorithm"].as_str().ok_or_else(|| invalid("SigningAlgorithm is missing"))?;
    let api = if template.from_api { &body["ApiPassthrough"] } else { &Value::Null };
    let content = content(authority, &template, &request, api, period, call.now)?;
    let der = authority.key.sign(&content, algorithm)?;
    let serial = random::hex(&content.serial);
    let arn = format!("{}/certificate/{serial}", authority.arn);
    authority.issued.insert(serial, Issued { certificate: x509::pem(&der), polls_left: polls, revoked: None });
    Ok(arn)
}

/// What the template, the call and the request make together.
fn content(
    authority: &Authority,
    template: &Template,
    request: &Request,
    api: &Value,
    period: (Timestamp, Timestamp),
    now: Timestamp,
) -> Result<Content, ApiError> {
    let subject = match &api["Subject"] {
        Value::Null => request.subject.clone(),
        given => names::subject(given)?,
    };
    let issuer = if template.root {
        if request.key != authority.key.public() || authority.kind != "ROOT" {
            return Err(ApiError::new("InvalidArgsException", "The request is not of this root authority"));
        }
        subject.clone()
    } else {
        let installed = authority.installed.as_ref().ok_or_else(|| wrong_state(authority.status))?;
        if period.1 > installed.validity.1 {
            return Err(invalid(format!(
                "The certificate validity specified exceeds the certificate authority validity: {}",
                installed.validity.1
            )));
        }
        if authority.usage_mode == "SHORT_LIVED_CERTIFICATE" && period.1.duration_since(now) > SHORT_LIVED {
            return Err(invalid("A CA in SHORT_LIVED_CERTIFICATE mode issues certificates of at most 7 days"));
        }
        installed.name.clone()
    };
    let mut extensions = template.fixed.clone();
    extensions.push(x509::subject_key(&request.key)?);
    if !template.root {
        extensions.push(x509::authority_key(&authority.key.public())?);
    }
    let mut add = |extension: Extension| {
        if extensions.iter().all(|present| present.oid != extension.oid) {
            extensions.push(extension);
        }
    };
    passed(&api["Extensions"])?.into_iter().for_each(&mut add);
    let names = request.names().cloned();
    names.into_iter().for_each(&mut add);
    if template.from_request {
        request.extensions.iter().cloned().for_each(&mut add);
    }
    let named = request.has_subject
        || !api["Subject"].is_null()
        || extensions.iter().any(|extension| extension.oid == x509::SAN && extension.value.len() > 2);
    if !named {
        return Err(ApiError::new(
            "MalformedCSRException",
            "The request has neither a subject nor a subject alternative name",
        ));
    }
    Ok(Content { serial: x509::serial()?, issuer, subject, key: request.key.clone(), validity: period, extensions })
}

/// The extensions of ApiPassthrough (Private CA API reference, Extensions).
fn passed(given: &Value) -> Result<Vec<Extension>, ApiError> {
    let mut out = Vec::new();
    if !given["CertificatePolicies"].is_null() {
        return Err(ApiError::new("InvalidArgsException", "CertificatePolicies are not emulated"));
    }
    if let Some(names) = given["SubjectAlternativeNames"].as_array() {
        out.push(names::alternative_names(names)?);
    }
    if let Some(usage) = given["KeyUsage"].as_object() {
        let is_set = |name: &str| usage.get(name).and_then(Value::as_bool).unwrap_or_default();
        let bits: Vec<usize> = (0..KEY_USAGES.len()).filter(|bit| is_set(KEY_USAGES[*bit])).collect();
        out.push(x509::key_usage(&bits));
    }
    if let Some(kinds) = given["ExtendedKeyUsage"].as_array() {
        let kinds: Result<Vec<Vec<u64>>, ApiError> = kinds.iter().map(extended).collect();
        out.push(x509::extended_key_usage(&kinds?, false));
    }
    for custom in given["CustomExtensions"].as_array().into_iter().flatten() {
        let value = custom["Value"].as_str().and_then(|value| STANDARD.decode(value).ok());
        out.push(Extension {
            oid: names::oid(custom["ObjectIdentifier"].as_str().unwrap_or_default())?,
            critical: custom["Critical"].as_bool().unwrap_or_default(),
            value: value.ok_or_else(|| invalid("A custom extension's Value is not base 64"))?,
        });
    }
    Ok(out)
}

/// One ExtendedKeyUsage structure.
fn extended(kind: &Value) -> Result<Vec<u64>, ApiError> {
    let known = |last: u64| Ok(vec![1, 3, 6, 1, 5, 5, 7, 3, last]);
    match kind["ExtendedKeyUsageType"].as_str() {
        Some("SERVER_AUTH") => known(1),
        Some("CLIENT_AUTH") => known(2),
        Some("CODE_SIGNING") => known(3),
        Some("EMAIL_PROTECTION") => known(4),
        Some("TIME_STAMPING") => known(8),
        Some("OCSP_SIGNING") => known(9),
        Some(other) => Err(invalid(format!("The extended key usage {other} is not emulated"))),
        None => names::oid(kind["ExtendedKeyUsageObjectIdentifier"].as_str().unwrap_or_default()),
    }
}

/// The certificate and its chain, once it is no longer in progress.
pub fn get(authority: &mut Authority, call: &Call, body: &Value) -> Result<Value, ApiError> {
    let status = authority.status_at(call.now);
    if matches!(status, "CREATING" | "DELETED" | "FAILED") {
        return Err(wrong_state(status));
    }
    let chain = authority.chain();
    let arn = body["CertificateArn"].as_str().ok_or_else(|| invalid("CertificateArn is missing"))?;
    let serial = arn
        .strip_prefix(authority.arn.as_str())
        .and_then(|rest| rest.strip_prefix("/certificate/"))
        .ok_or_else(|| ApiError::new("InvalidArnException", format!("{arn} is not of this authority")))?;
    let issued = authority
        .issued
        .get_mut(serial)
        .ok_or_else(|| ApiError::new("ResourceNotFoundException", format!("Could not find certificate {arn}")))?;
    if issued.polls_left > 0 {
        issued.polls_left -= 1;
        return Err(in_progress("certificate"));
    }
    let mut out = json!({"Certificate": issued.certificate});
    // The authority's own certificate, before it is imported, has no chain.
    if let Some(chain) = chain {
        out["CertificateChain"] = json!(chain);
    }
    Ok(out)
}

/// Revokes a certificate by its serial number in hexadecimal, with or without colons.
pub fn revoke(authority: &mut Authority, call: &Call, body: &Value) -> Result<(), ApiError> {
    let status = authority.status_at(call.now);
    if !matches!(status, "ACTIVE" | "DISABLED") {
        return Err(wrong_state(status));
    }
    let given = body["CertificateSerial"].as_str().unwrap_or_default();
    let serial = plain_serial(given);
    if serial.is_empty() || given.len() > 128 || !serial.chars().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(invalid("CertificateSerial must be 1 to 128 hexadecimal digits"));
    }
    let reason = body["RevocationReason"].as_str().unwrap_or_default();
    let reasons = [
        "UNSPECIFIED",
        "KEY_COMPROMISE",
        "CERTIFICATE_AUTHORITY_COMPROMISE",
        "AFFILIATION_CHANGED",
        "SUPERSEDED",
        "CESSATION_OF_OPERATION",
        "PRIVILEGE_WITHDRAWN",
        "A_A_COMPROMISE",
    ];
    if !reasons.contains(&reason) {
        return Err(invalid(format!("RevocationReason {reason} is not known")));
    }
    let issued = authority
        .issued
        .get_mut(&serial)
        .ok_or_else(|| ApiError::new("ResourceNotFoundException", format!("Could not find certificate {given}")))?;
    if issued.polls_left > 0 {
        return Err(in_progress("certificate"));
    }
    if issued.revoked.is_some() {
        return Err(ApiError::new("RequestAlreadyProcessedException", format!("{given} is revoked already")));
    }
    issued.revoked = Some((call.now, reason.to_owned()));
    Ok(())
}

/// A serial number as it is kept: lower-case digits without colons.
pub fn plain_serial(given: &str) -> String {
    given.chars().filter(|digit| *digit != ':').map(|digit| digit.to_ascii_lowercase()).collect()
}

/// A certificate like the given one in all but its key, for the fault `wrongCertificate`.
pub fn impostor(authority: &Authority, pem: &str) -> Result<String, ApiError> {
    use x509_parser::prelude::FromDer as _;
    let unreadable = |_| invalid("The certificate cannot be read");
    let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).map_err(|error| unreadable(error.to_string()))?;
    let (_, parsed) = x509_parser::prelude::X509Certificate::from_der(&block.contents)
        .map_err(|error| unreadable(error.to_string()))?;
    let time = |at: x509_parser::time::ASN1Time| {
        Timestamp::from_second(at.timestamp()).map_err(|error| unreadable(error.to_string()))
    };
    let key = AuthorityKey::generate("EC_prime256v1")?.public();
    let mut extensions = vec![x509::subject_key(&key)?];
    for one in parsed.extensions() {
        let oid: Vec<u64> = one.oid.iter().map(Iterator::collect).unwrap_or_default();
        if oid != x509::SKI {
            extensions.push(Extension { oid, critical: one.critical, value: one.value.to_vec() });
        }
    }
    let content = Content {
        serial: x509::serial()?,
        issuer: parsed.issuer().as_raw().to_vec(),
        subject: parsed.subject().as_raw().to_vec(),
        key,
        validity: (time(parsed.validity().not_before)?, time(parsed.validity().not_after)?),
        extensions,
    };
    Ok(x509::pem(&authority.key.sign(&content, authority.key.usual_algorithm())?))
}
