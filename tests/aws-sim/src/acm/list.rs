//! ListCertificates: filters, order and pages.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Certificate, CertificateType, Store, describe, invalid, is_set, managed::Order as Requested};
use crate::api::{ApiError, Call};

/// Items a page may be asked to hold (service model, `MaxItems`).
const MOST_ITEMS: u64 = 1_000;
/// Items of a page when nothing is asked. AWS names no number: a small one shows clients that read one page only.
const USUAL_ITEMS: u64 = 100;
/// Key types shown when none are asked for (ACM API reference, `Filters`).
const USUAL_KEY_TYPES: [&str; 2] = ["RSA_1024", "RSA_2048"];

/// The answer of ListCertificates.
pub(super) fn list(store: &Store, call: &Call, body: &Value) -> Result<Value, ApiError> {
    let size = match body.get("MaxItems").filter(|value| !value.is_null()) {
        None => USUAL_ITEMS,
        Some(value) => value.as_u64().filter(|n| (1..=MOST_ITEMS).contains(n)).ok_or_else(|| {
            invalid(format!(
                "1 validation error detected: Value '{value}' at 'maxItems' must be from 1 to {MOST_ITEMS}"
            ))
        })?,
    };
    let order = Order::of(body)?;
    let filter = Filter::of(body)?;
    let after = after(body)?;
    let certificates = store.certificates.iter().filter(|(_, certificate)| filter.takes(certificate, call.now));
    let mut found: Vec<(Timestamp, &String, Listed<'_>)> = certificates
        .map(|(arn, certificate)| (order.time(certificate.created_at), arn, Listed::Certificate(certificate)))
        .collect();
    let orders = store.orders.iter().filter(|(_, asked)| filter.takes_order(asked));
    found.extend(orders.map(|(arn, asked)| (order.time(asked.created_at), arn, Listed::Order(asked))));
    found.sort_by(|a, b| order.compare((a.0, a.1), (b.0, b.1)));
    if let Some((time, arn)) = &after {
        found.retain(|(other, name, _)| order.compare((*other, name), (*time, arn)).is_gt());
    }
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let page: Vec<Value> = found.iter().take(size).map(|(_, arn, listed)| listed.summary(arn, call.now)).collect();
    let mut answer = json!({ "CertificateSummaryList": page });
    if let (true, Some((time, arn, _))) = (found.len() > size, found.get(size - 1)) {
        answer["NextToken"] = json!(URL_SAFE_NO_PAD.encode(format!("{time} {arn}")));
    }
    Ok(answer)
}

/// What a list shows.
enum Listed<'a> {
    Certificate(&'a Certificate),
    Order(&'a Requested),
}

impl Listed<'_> {
    fn summary(&self, arn: &str, now: Timestamp) -> Value {
        match self {
            Self::Certificate(certificate) => describe::summary(arn, certificate, now),
            Self::Order(order) => order.summary(arn),
        }
    }
}

/// Where the page before ended: the sort key of its last item, so that what is deleted meanwhile shifts nothing.
fn after(body: &Value) -> Result<Option<(Timestamp, String)>, ApiError> {
    if !is_set(body, "NextToken") {
        return Ok(None);
    }
    let read = || {
        let bytes = URL_SAFE_NO_PAD.decode(body["NextToken"].as_str()?).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let (time, arn) = text.split_once(' ')?;
        Some((time.parse().ok()?, arn.to_owned()))
    };
    read().map(Some).ok_or_else(|| ApiError::new("InvalidArgsException", "NextToken is not one of this service"))
}

enum Order {
    Arn,
    Oldest,
    Newest,
}

impl Order {
    fn of(body: &Value) -> Result<Self, ApiError> {
        let field = |name: &str| body.get(name).and_then(Value::as_str);
        match (field("SortBy"), field("SortOrder")) {
            (None, None) => Ok(Self::Arn),
            (Some("CREATED_AT"), Some("ASCENDING")) => Ok(Self::Oldest),
            (Some("CREATED_AT"), Some("DESCENDING")) => Ok(Self::Newest),
            _ => Err(invalid("SortBy must be CREATED_AT, with a SortOrder of ASCENDING or DESCENDING")),
        }
    }

    fn time(&self, created_at: Timestamp) -> Timestamp {
        match self {
            Self::Arn => Timestamp::UNIX_EPOCH,
            Self::Oldest | Self::Newest => created_at,
        }
    }

    fn compare(&self, a: (Timestamp, &String), b: (Timestamp, &String)) -> std::cmp::Ordering {
        match self {
            Self::Arn | Self::Oldest => a.cmp(&b),
            Self::Newest => b.cmp(&a),
        }
    }
}

/// What the call asks for; None takes all.
struct Filter {
    statuses: Option<Vec<String>>,
    origins: Option<Vec<String>>,
    key_types: Option<Vec<String>>,
    key_usages: Option<Vec<String>>,
    extended_key_usages: Option<Vec<String>>,
}

impl Filter {
    fn of(body: &Value) -> Result<Self, ApiError> {
        let includes = body.get("Includes").unwrap_or(&Value::Null);
        if is_set(includes, "exportOption") || is_set(includes, "managedBy") {
            return Err(invalid("This emulator does not filter by exportOption or managedBy"));
        }
        Ok(Self {
            statuses: values(body, "CertificateStatuses")?,
            origins: values(body, "CertificateKeyPairOrigins")?,
            key_types: values(includes, "keyTypes")?,
            key_usages: values(includes, "keyUsage")?,
            extended_key_usages: values(includes, "extendedKeyUsage")?,
        })
    }

    /// A request that is not answered has no usages yet.
    fn takes_order(&self, order: &Requested) -> bool {
        let within = |asked: &Option<Vec<String>>, have: &str| {
            asked.as_ref().is_none_or(|asked| asked.iter().any(|one| one == have))
        };
        let shown = match &self.key_types {
            None => USUAL_KEY_TYPES.contains(&&*order.algorithm),
            asked => within(asked, &order.algorithm),
        };
        shown && within(&self.statuses, order.status()) && within(&self.origins, "AWS_MANAGED")
    }

    fn takes(&self, certificate: &Certificate, now: Timestamp) -> bool {
        let parsed = &certificate.parsed;
        let within = |asked: &Option<Vec<String>>, have: &str| {
            asked.as_ref().is_none_or(|asked| asked.iter().any(|one| one == have))
        };
        let any = |asked: &Option<Vec<String>>, have: &[&str]| {
            asked.as_ref().is_none_or(|asked| asked.iter().any(|one| one == "ANY" || have.contains(&one.as_str())))
        };
        let extended: Vec<&str> = parsed.extended_key_usages.iter().map(|(name, _)| *name).collect();
        let key_type = parsed.key_algorithm.unwrap_or_default();
        let origin = if certificate.kind == CertificateType::Imported { "CUSTOMER_PROVIDED" } else { "AWS_MANAGED" };
        let shown = match &self.key_types {
            None => USUAL_KEY_TYPES.contains(&key_type),
            asked => within(asked, key_type),
        };
        shown
            && within(&self.statuses, describe::status(certificate, now))
            && within(&self.origins, origin)
            && any(&self.key_usages, &parsed.key_usages)
            && any(&self.extended_key_usages, &extended)
    }
}

/// A list of strings; an empty one filters nothing.
fn values(object: &Value, field: &str) -> Result<Option<Vec<String>>, ApiError> {
    if !is_set(object, field) {
        return Ok(None);
    }
    let list: Option<Vec<String>> = object[field]
        .as_array()
        .and_then(|list| list.iter().map(|value| value.as_str().map(ToOwned::to_owned)).collect());
    let list =
        list.ok_or_else(|| ApiError::new("SerializationException", format!("{field} is not a list of strings")))?;
    Ok(Some(list).filter(|list| !list.is_empty()))
}

#[cfg(test)]
mod tests {
    use rcgen::{ExtendedKeyUsagePurpose as Eku, KeyUsagePurpose as Ku, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};

    use super::super::fixtures::{Authority, NOW, Sim, leaf, named};
    use super::*;

    fn arns(answer: &Value) -> Vec<String> {
        let list = answer["CertificateSummaryList"].as_array().unwrap();
        list.iter().map(|summary| summary["CertificateArn"].as_str().unwrap().to_owned()).collect()
    }

    fn ask(sim: &mut Sim, body: &Value) -> Vec<String> {
        arns(&sim.run("ListCertificates", body).unwrap())
    }

    fn ec() -> Value {
        json!({ "Includes": { "keyTypes": ["EC_prime256v1"] } })
    }

    // ACM API reference, Filters: without keyTypes, RSA_1024 and RSA_2048 only.
    #[test]
    fn the_default_shows_small_rsa_keys() {
        let mut sim = Sim::new();
        let rsa = sim.imported(&Authority::root(&PKCS_RSA_SHA256).issue(&PKCS_RSA_SHA256, |_| ()));
        let ec_arn = sim.imported(&leaf());
        assert_eq!(ask(&mut sim, &json!({})), std::slice::from_ref(&rsa));
        assert_eq!(ask(&mut sim, &json!({ "Includes": { "keyTypes": [] } })), std::slice::from_ref(&rsa));
        assert_eq!(ask(&mut sim, &ec()), std::slice::from_ref(&ec_arn));
        let mut all = vec![rsa, ec_arn];
        all.sort();
        assert_eq!(ask(&mut sim, &json!({ "Includes": { "keyTypes": ["RSA_2048", "EC_prime256v1"] } })), all);
    }

    // ACM API reference, CertificateSummary.
    #[test]
    fn summaries_have_the_fields_of_the_certificate() {
        let mut sim = Sim::new();
        let material = Authority::root(&PKCS_ECDSA_P256_SHA256).issue(&PKCS_ECDSA_P256_SHA256, |p| {
            p.key_usages = vec![Ku::DigitalSignature];
            p.extended_key_usages = vec![Eku::ServerAuth];
        });
        let arn = sim.imported(&material);
        sim.store.set_in_use(&arn, vec!["lb".into()]).unwrap();
        let answer = sim.run("ListCertificates", &ec()).unwrap();
        assert_eq!(
            answer,
            json!({ "CertificateSummaryList": [{
                "CertificateArn": arn,
                "DomainName": "api.example.com",
                "SubjectAlternativeNameSummaries": ["api.example.com"],
                "HasAdditionalSubjectAlternativeNames": false,
                "Status": "ISSUED",
                "Type": "IMPORTED",
                "KeyAlgorithm": "EC_prime256v1",
                "KeyUsages": ["DIGITAL_SIGNATURE"],
                "ExtendedKeyUsages": ["TLS_WEB_SERVER_AUTHENTICATION"],
                "InUse": true,
                "NotBefore": NOW - 86_400,
                "NotAfter": NOW + 30 * 86_400,
                "CreatedAt": NOW,
                "ImportedAt": NOW,
            }] })
        );
    }

    // ACM API reference, CertificateSummary: the first 100 names, and whether there are more.
    #[test]
    fn summaries_name_a_hundred_domains() {
        let mut sim = Sim::new();
        let names: Vec<String> = (0..101).map(|n| format!("n{n}.example.com")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        sim.imported(&named(&names));
        sim.imported(&named(&names[..100]));
        let answer = sim.run("ListCertificates", &ec()).unwrap();
        let mut more = Vec::new();
        for summary in answer["CertificateSummaryList"].as_array().unwrap() {
            assert_eq!(summary["SubjectAlternativeNameSummaries"].as_array().unwrap().len(), 100);
            more.push(summary["HasAdditionalSubjectAlternativeNames"].as_bool().unwrap());
        }
        more.sort_unstable();
        assert_eq!(more, [false, true]);
    }

    // ACM API reference, ListCertificates: MaxItems and NextToken; a page's end stays where it was after deletions.
    #[test]
    fn pages_join_up() {
        let mut sim = Sim::new();
        let mut all: Vec<String> = (0..5).map(|_| sim.imported(&leaf())).collect();
        all.sort();
        let mut body = ec();
        body["MaxItems"] = json!(2);
        let first = sim.run("ListCertificates", &body).unwrap();
        assert_eq!(arns(&first), all[..2]);
        sim.run("DeleteCertificate", &json!({ "CertificateArn": all[1] })).unwrap();
        body["NextToken"] = first["NextToken"].clone();
        let second = sim.run("ListCertificates", &body).unwrap();
        assert_eq!(arns(&second), all[2..4]);
        body["NextToken"] = second["NextToken"].clone();
        let third = sim.run("ListCertificates", &body).unwrap();
        assert_eq!(arns(&third), all[4..]);
        assert_eq!(third.get("NextToken"), None);
    }

    // ACM API reference, ListCertificates: SortBy and SortOrder go together.
    #[test]
    fn creation_orders_pages_too() {
        let mut sim = Sim::new();
        let mut all = Vec::new();
        for _ in 0..3 {
            all.insert(0, sim.imported(&leaf()));
            sim.later(1);
        }
        let mut body = ec();
        body["SortBy"] = json!("CREATED_AT");
        assert_eq!(sim.run("ListCertificates", &body).unwrap_err().code, "ValidationException");
        body["SortOrder"] = json!("DESCENDING");
        assert_eq!(ask(&mut sim, &body), all);
        body["MaxItems"] = json!(2);
        body["NextToken"] = sim.run("ListCertificates", &body).unwrap()["NextToken"].take();
        assert_eq!(ask(&mut sim, &body), all[2..]);
    }

    // ACM service model: MaxItems 1 to 1000; ACM API reference, ListCertificates: InvalidArgsException.
    #[test]
    fn bad_arguments_are_refused() {
        let mut sim = Sim::new();
        for bad in [json!(0), json!(1001), json!(-1), json!("5")] {
            let error = sim.run("ListCertificates", &json!({ "MaxItems": bad })).unwrap_err();
            assert_eq!(error.code, "ValidationException");
        }
        let error = sim.run("ListCertificates", &json!({ "NextToken": "bogus" })).unwrap_err();
        assert_eq!(error.code, "InvalidArgsException");
    }

    // ACM API reference, ListCertificates (CertificateStatuses, CertificateKeyPairOrigins) and Filters (keyUsage,
    // extendedKeyUsage).
    #[test]
    fn filters_choose() {
        let mut sim = Sim::new();
        let material = Authority::root(&PKCS_ECDSA_P256_SHA256).issue(&PKCS_ECDSA_P256_SHA256, |p| {
            p.key_usages = vec![Ku::DigitalSignature];
            p.extended_key_usages = vec![Eku::ServerAuth];
        });
        let arn = sim.imported(&material);
        let mut count = |field: &str, value: &str, inside: bool| {
            let mut body = ec();
            let place = if inside { &mut body["Includes"] } else { &mut body };
            place[field] = json!([value]);
            ask(&mut sim, &body).len()
        };
        assert_eq!(count("CertificateStatuses", "ISSUED", false), 1);
        assert_eq!(count("CertificateStatuses", "EXPIRED", false), 0);
        assert_eq!(count("CertificateKeyPairOrigins", "CUSTOMER_PROVIDED", false), 1);
        assert_eq!(count("CertificateKeyPairOrigins", "ACME", false), 0);
        assert_eq!(count("keyUsage", "DIGITAL_SIGNATURE", true), 1);
        assert_eq!(count("keyUsage", "KEY_AGREEMENT", true), 0);
        assert_eq!(count("extendedKeyUsage", "ANY", true), 1);
        assert_eq!(count("extendedKeyUsage", "CODE_SIGNING", true), 0);
        sim.later(40 * 86_400);
        let mut body = ec();
        body["CertificateStatuses"] = json!(["EXPIRED"]);
        assert_eq!(ask(&mut sim, &body), [arn]);
    }
}
