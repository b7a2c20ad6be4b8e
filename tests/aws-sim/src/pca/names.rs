//! The subjects and alternative names of the API's structures.

use serde_json::Value;
use yasna::models::ObjectIdentifier;
use yasna::{DERWriterSeq, Tag, construct_der};

use super::x509::{self, Extension};
use crate::api::ApiError;

/// Fields of ASN1Subject (Private CA API reference) with the attribute that each stands for.
const FIELDS: [(&str, &[u64]); 7] = [
    ("Country", &[2, 5, 4, 6]),
    ("State", &[2, 5, 4, 8]),
    ("Locality", &[2, 5, 4, 7]),
    ("Organization", &[2, 5, 4, 10]),
    ("OrganizationalUnit", &[2, 5, 4, 11]),
    ("CommonName", &[2, 5, 4, 3]),
    ("SerialNumber", &[2, 5, 4, 5]),
];

fn invalid(why: impl Into<String>) -> ApiError {
    ApiError::new("InvalidArgsException", why)
}

/// The fields that a subject sets, in the order they are written.
pub fn fields(subject: &Value) -> Result<Vec<(&'static [u64], String)>, ApiError> {
    let Some(given) = subject.as_object() else { return Err(invalid("The subject is not a structure")) };
    if let Some(other) = given.keys().find(|key| FIELDS.iter().all(|(name, _)| name != key)) {
        return Err(invalid(format!("The subject's field {other} is not emulated")));
    }
    if given.get("CommonName").and_then(Value::as_str).is_some_and(|name| name.chars().count() > 64) {
        return Err(ApiError::new("ValidationException", "A common name is at most 64 characters long"));
    }
    let set = FIELDS.iter().filter_map(|(name, oid)| Some((*oid, given.get(*name)?.as_str()?.to_owned())));
    Ok(set.collect())
}

/// DER of a subject.
pub fn subject(subject: &Value) -> Result<Vec<u8>, ApiError> {
    let fields = fields(subject)?;
    Ok(construct_der(|writer| {
        writer.write_sequence(|writer| {
            for (oid, text) in &fields {
                writer.next().write_set(|writer| {
                    writer.next().write_sequence(|writer| {
                        writer.next().write_oid(&ObjectIdentifier::from_slice(oid));
                        // RFC 5280: a country is a PrintableString, the others may be UTF-8.
                        if *oid == [2, 5, 4, 6] {
                            writer.next().write_printable_string(text);
                        } else {
                            writer.next().write_utf8_string(text);
                        }
                    });
                });
            }
        });
    }))
}

/// The extension of a list of GeneralName structures.
pub fn alternative_names(names: &[Value]) -> Result<Extension, ApiError> {
    let mut parts: Vec<(u64, Vec<u8>)> = Vec::new();
    for name in names {
        let text = |key: &str| name[key].as_str().map(str::to_owned);
        let part = if let Some(dns) = text("DnsName") {
            (2, dns.into_bytes())
        } else if let Some(mail) = text("Rfc822Name") {
            (1, mail.into_bytes())
        } else if let Some(uri) = text("UniformResourceIdentifier") {
            (6, uri.into_bytes())
        } else if let Some(ip) = text("IpAddress") {
            let octets = match ip.parse().map_err(|_| invalid(format!("{ip} is not an IP address")))? {
                std::net::IpAddr::V4(ip) => ip.octets().to_vec(),
                std::net::IpAddr::V6(ip) => ip.octets().to_vec(),
            };
            (7, octets)
        } else {
            return Err(invalid(format!("The name {name} is not emulated")));
        };
        parts.push(part);
    }
    let write = |writer: &mut DERWriterSeq<'_>| {
        for (tag, bytes) in &parts {
            writer.next().write_tagged_implicit(Tag::context(*tag), |writer| writer.write_bytes(bytes));
        }
    };
    let value = construct_der(|writer| writer.write_sequence(write));
    Ok(Extension { oid: x509::SAN.to_vec(), critical: false, value })
}

/// The numbers of a dotted object identifier.
pub fn oid(text: &str) -> Result<Vec<u64>, ApiError> {
    let numbers: Result<Vec<u64>, _> = text.split('.').map(str::parse).collect();
    match numbers {
        Ok(numbers) if numbers.len() >= 2 && numbers[0] <= 2 && (numbers[0] == 2 || numbers[1] < 40) => Ok(numbers),
        _ => Err(invalid(format!("{text} is not an object identifier"))),
    }
}
