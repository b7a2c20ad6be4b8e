//! A certificate as DescribeCertificate and ListCertificates show it.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Certificate, CertificateType};

/// Names in a summary (ACM API reference, `CertificateSummary`).
const MOST_SUMMARY_NAMES: usize = 100;

/// `CertificateDetail` of DescribeCertificate.
pub(super) fn detail(arn: &str, certificate: &Certificate, now: Timestamp) -> Value {
    let parsed = &certificate.parsed;
    let mut detail = common(arn, certificate, now);
    detail["SubjectAlternativeNames"] = json!(parsed.domains);
    detail["Subject"] = json!(parsed.subject);
    detail["Issuer"] = json!(parsed.issuer);
    detail["Serial"] = json!(parsed.serial);
    detail["SignatureAlgorithm"] = json!(parsed.signature_algorithm);
    detail["InUseBy"] = json!(certificate.in_use_by);
    detail["KeyUsages"] = parsed.key_usages.iter().map(|name| json!({ "Name": name })).collect();
    detail["ExtendedKeyUsages"] =
        parsed.extended_key_usages.iter().map(|(name, oid)| json!({ "Name": name, "OID": oid })).collect();
    detail["RenewalEligibility"] = json!("INELIGIBLE");
    if let Some(managed) = &certificate.managed {
        managed.detail(&mut detail, !certificate.in_use_by.is_empty());
    }
    detail
}

/// `CertificateSummary` of ListCertificates.
pub(super) fn summary(arn: &str, certificate: &Certificate, now: Timestamp) -> Value {
    let parsed = &certificate.parsed;
    let mut summary = common(arn, certificate, now);
    let shown = parsed.domains.len().min(MOST_SUMMARY_NAMES);
    summary["SubjectAlternativeNameSummaries"] = json!(parsed.domains[..shown]);
    summary["HasAdditionalSubjectAlternativeNames"] = json!(parsed.domains.len() > shown);
    summary["KeyUsages"] = json!(parsed.key_usages);
    summary["ExtendedKeyUsages"] = parsed.extended_key_usages.iter().map(|(name, _)| *name).collect();
    summary["InUse"] = json!(!certificate.in_use_by.is_empty());
    summary
}

/// `CertificateStatus`: an imported certificate is issued until it expires.
pub(super) fn status(certificate: &Certificate, now: Timestamp) -> &'static str {
    if now > certificate.parsed.not_after { "EXPIRED" } else { "ISSUED" }
}

fn common(arn: &str, certificate: &Certificate, now: Timestamp) -> Value {
    let parsed = &certificate.parsed;
    let mut common = json!({
        "CertificateArn": arn,
        "Status": status(certificate, now),
        "Type": certificate.kind.as_str(),
        "KeyAlgorithm": parsed.key_algorithm,
        "NotBefore": parsed.not_before.as_second(),
        "NotAfter": parsed.not_after.as_second(),
        "CreatedAt": certificate.created_at.as_second(),
    });
    if let Some(first) = parsed.domains.first() {
        common["DomainName"] = json!(first);
    }
    let brought = if certificate.kind == CertificateType::Imported { "ImportedAt" } else { "IssuedAt" };
    common[brought] = json!(certificate.imported_at.as_second());
    common
}

#[cfg(test)]
mod tests {
    use rcgen::{
        DnType, ExtendedKeyUsagePurpose as Eku, KeyUsagePurpose as Ku, PKCS_RSA_SHA256, SanType, SerialNumber,
    };
    use serde_json::json;

    use super::super::fixtures::{Authority, NOW, Sim, named};

    // ACM API reference, CertificateDetail: the fields of an imported certificate.
    #[test]
    fn details_are_those_of_the_certificate() {
        let mut sim = Sim::new();
        let material = Authority::root(&PKCS_RSA_SHA256).issue(&PKCS_RSA_SHA256, |p| {
            p.distinguished_name.push(DnType::OrganizationName, "Shop");
            p.distinguished_name.push(DnType::CommonName, "www.example.com");
            p.subject_alt_names.push(SanType::DnsName("www.example.com".try_into().unwrap()));
            p.subject_alt_names.push(SanType::IpAddress([192, 0, 2, 7].into()));
            p.subject_alt_names.push(SanType::URI("spiffe://example.com/a".try_into().unwrap()));
            p.serial_number = Some(SerialNumber::from_slice(&[0x67, 0x07, 0xab]));
            p.key_usages = vec![Ku::DigitalSignature, Ku::KeyEncipherment];
            p.extended_key_usages = vec![Eku::ServerAuth, Eku::Other(vec![1, 3, 6, 1, 5, 5, 7, 3, 17])];
        });
        let arn = sim.imported(&material);
        let day = 86_400;
        assert_eq!(
            sim.describe(&arn),
            json!({
                "CertificateArn": arn,
                "DomainName": "www.example.com",
                "SubjectAlternativeNames": ["www.example.com", "api.example.com", "192.0.2.7"],
                "Subject": "O=Shop, CN=www.example.com",
                "Issuer": "Test",
                "Serial": "67:07:ab",
                "Status": "ISSUED",
                "Type": "IMPORTED",
                "KeyAlgorithm": "RSA_2048",
                "SignatureAlgorithm": "SHA256WITHRSA",
                "NotBefore": NOW - day,
                "NotAfter": NOW + 30 * day,
                "CreatedAt": NOW,
                "ImportedAt": NOW,
                "InUseBy": [],
                "KeyUsages": [{ "Name": "DIGITAL_SIGNATURE" }, { "Name": "KEY_ENCIPHERMENT" }],
                "ExtendedKeyUsages": [
                    { "Name": "TLS_WEB_SERVER_AUTHENTICATION", "OID": "1.3.6.1.5.5.7.3.1" },
                    { "Name": "CUSTOM", "OID": "1.3.6.1.5.5.7.3.17" },
                ],
                "RenewalEligibility": "INELIGIBLE",
            })
        );
    }

    // ACM API reference, CertificateDetail: without a common name, the first alternative name is the domain.
    #[test]
    fn the_first_name_is_the_domain() {
        let mut sim = Sim::new();
        let arn = sim.imported(&named(&["b.example.com", "a.example.com"]));
        assert_eq!(sim.describe(&arn)["DomainName"], "b.example.com");
    }

    // ACM user guide, Check a certificate's status: Expired after NotAfter; the certificate stays readable.
    #[test]
    fn certificates_expire() {
        let mut sim = Sim::new();
        let material = named(&["a.example.com"]);
        let arn = sim.imported(&material);
        sim.later(30 * 86_400);
        assert_eq!(sim.describe(&arn)["Status"], "ISSUED");
        sim.later(1);
        assert_eq!(sim.describe(&arn)["Status"], "EXPIRED");
        let got = sim.run("GetCertificate", &json!({ "CertificateArn": arn })).unwrap();
        assert_eq!(got["Certificate"], json!(material.cert));
    }
}
