//! ImportCertificate with `CertificateArn`: new material under the same ARN, which tags and uses survive.

use serde_json::{Value, json};

use super::{CertificateType, Store, import, invalid, is_set, x509::Parsed};
use crate::api::{ApiError, Call};

/// Replaces the material of an imported certificate.
pub(super) fn reimport(store: &mut Store, call: &Call, body: &Value) -> Result<Value, ApiError> {
    let (arn, current) = store.named(call, body)?;
    if is_set(body, "Tags") {
        return Err(invalid("Tagging is not permitted on re-import."));
    }
    if current.kind != CertificateType::Imported {
        return Err(invalid("Only a certificate that was imported can be replaced by an import."));
    }
    let new = import::validated(body, call.now)?;
    comparable(&current.parsed, &new.parsed)?;
    current.parsed = new.parsed;
    current.pem = new.pem;
    current.chain = new.chain;
    current.imported_at = call.now;
    Ok(json!({ "CertificateArn": arn }))
}

/// What must stay of the current certificate in the new one.
fn comparable(old: &Parsed, new: &Parsed) -> Result<(), ApiError> {
    if new.key_algorithm != old.key_algorithm {
        return Err(invalid("New certificate must have the key type and size of the currently imported certificate"));
    }
    if (old.key_usages.is_empty() && !new.key_usages.is_empty())
        || (old.extended_key_usages.is_empty() && !new.extended_key_usages.is_empty())
    {
        return Err(invalid(
            "New certificate has a Key Usage or Extended Key Usage extension that the currently imported certificate lacks",
        ));
    }
    let may_go = |usage: &str| usage == "KEY_ENCIPHERMENT" && new.family == "EC";
    if old.key_usages.iter().any(|usage| !new.key_usages.contains(usage) && !may_go(usage)) {
        return Err(invalid(
            "New certificate is missing one or more Key Usages supported by the currently imported certificate",
        ));
    }
    let kept =
        |usage: &(&str, String)| new.extended_key_usages.contains(usage) || usage.0 == "TLS_WEB_CLIENT_AUTHENTICATION";
    if !old.extended_key_usages.iter().all(kept) {
        return Err(invalid(
            "New certificate is missing one or more Extended Key Usages supported by the currently imported certificate",
        ));
    }
    let kept = |domain: &String| new.domains.iter().any(|other| other.eq_ignore_ascii_case(domain));
    if !old.domains.iter().any(kept) {
        return Err(invalid("New certificate has none of the domains of the currently imported certificate"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rcgen::{
        ExtendedKeyUsagePurpose as Eku, KeyUsagePurpose as Ku, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
        PKCS_RSA_SHA256,
    };
    use serde_json::json;

    use super::super::{
        CertificateType,
        fixtures::{Authority, Material, Sim, leaf, named},
    };
    use crate::api::ApiError;

    fn again(sim: &mut Sim, arn: &str, material: &Material) -> Result<(), ApiError> {
        let mut body = material.body();
        body["CertificateArn"] = json!(arn);
        sim.run("ImportCertificate", &body).map(|answer| assert_eq!(answer, json!({ "CertificateArn": arn })))
    }

    fn refused(sim: &mut Sim, arn: &str, material: &Material, part: &str) {
        let before = sim.describe(arn);
        let error = again(sim, arn, material).unwrap_err();
        assert_eq!(error.code, "ValidationException");
        assert!(error.message.contains(part), "{}", error.message);
        assert_eq!(sim.describe(arn), before);
    }

    // ACM user guide, Reimporting a certificate: the ARN and the associations stay; tags are set by AddTagsToCertificate.
    #[test]
    fn tags_and_uses_survive() {
        let mut sim = Sim::new();
        let arn = sim.imported(&leaf());
        let before = sim.describe(&arn);
        let tags = json!([{ "Key": "a", "Value": "1" }]);
        sim.run("AddTagsToCertificate", &json!({ "CertificateArn": arn, "Tags": tags })).unwrap();
        sim.store.set_in_use(&arn, vec!["lb".into()]).unwrap();
        sim.later(60);
        let new = leaf();
        again(&mut sim, &arn, &new).unwrap();
        let after = sim.describe(&arn);
        assert_eq!(sim.tags(&arn), tags);
        assert_eq!(after["InUseBy"], json!(["lb"]));
        assert_eq!(after["CreatedAt"], before["CreatedAt"]);
        assert_eq!(after["ImportedAt"].as_i64().unwrap(), before["ImportedAt"].as_i64().unwrap() + 60);
        assert_ne!(after["Serial"], before["Serial"]);
        let got = sim.run("GetCertificate", &json!({ "CertificateArn": arn })).unwrap();
        assert_eq!(got, json!({ "Certificate": new.cert, "CertificateChain": new.chain }));
    }

    // ACM API reference, ImportCertificate: tags cannot be given with a re-import, not even an empty list.
    #[test]
    fn tags_are_refused() {
        let mut sim = Sim::new();
        let arn = sim.imported(&leaf());
        for tags in [json!([]), json!([{ "Key": "a", "Value": "1" }])] {
            let mut body = leaf().body();
            body["CertificateArn"] = json!(arn);
            body["Tags"] = tags;
            let error = sim.run("ImportCertificate", &body).unwrap_err();
            assert_eq!(error.code, "ValidationException");
            assert!(error.message.starts_with("Tagging is not permitted on re-import"), "{}", error.message);
        }
    }

    // ACM user guide, Reimporting a certificate: the key keeps its type and size.
    #[test]
    fn key_type_and_size_stay() {
        let mut sim = Sim::new();
        let arn = sim.imported(&leaf());
        let p384 = Authority::root(&PKCS_ECDSA_P256_SHA256).issue(&PKCS_ECDSA_P384_SHA384, |_| ());
        refused(&mut sim, &arn, &p384, "key type and size");
        let rsa = Authority::root(&PKCS_RSA_SHA256).issue(&PKCS_RSA_SHA256, |_| ());
        refused(&mut sim, &arn, &rsa, "key type and size");
    }

    // ACM user guide, Reimporting a certificate: key usages can be added, not removed, but keyEncipherment on ECDSA.
    #[test]
    fn key_usages_stay() {
        let mut sim = Sim::new();
        let ca = Authority::root(&PKCS_ECDSA_P256_SHA256);
        let with = |usages: &[Ku]| ca.issue(&PKCS_ECDSA_P256_SHA256, |p| p.key_usages = usages.to_vec());
        let arn = sim.imported(&with(&[Ku::DigitalSignature, Ku::KeyEncipherment]));
        again(&mut sim, &arn, &with(&[Ku::DigitalSignature])).unwrap();
        again(&mut sim, &arn, &with(&[Ku::DigitalSignature, Ku::KeyAgreement])).unwrap();
        refused(&mut sim, &arn, &with(&[Ku::DigitalSignature]), "missing one or more Key Usages");
        refused(&mut sim, &arn, &with(&[]), "missing one or more Key Usages");
    }

    // The same: with RSA, keyEncipherment stays too.
    #[test]
    fn key_encipherment_stays_with_rsa() {
        let mut sim = Sim::new();
        let ca = Authority::root(&PKCS_RSA_SHA256);
        let with = |usages: &[Ku]| ca.issue(&PKCS_RSA_SHA256, |p| p.key_usages = usages.to_vec());
        let arn = sim.imported(&with(&[Ku::DigitalSignature, Ku::KeyEncipherment]));
        refused(&mut sim, &arn, &with(&[Ku::DigitalSignature]), "missing one or more Key Usages");
    }

    // ACM user guide, Reimporting a certificate: extended key usages can be added, not removed, but clientAuth.
    #[test]
    fn extended_key_usages_stay() {
        let mut sim = Sim::new();
        let ca = Authority::root(&PKCS_ECDSA_P256_SHA256);
        let with = |usages: &[Eku]| ca.issue(&PKCS_ECDSA_P256_SHA256, |p| p.extended_key_usages = usages.to_vec());
        let custom = Eku::Other(vec![1, 3, 6, 1, 4, 1, 99999, 1]);
        let arn = sim.imported(&with(&[Eku::ServerAuth, Eku::ClientAuth]));
        again(&mut sim, &arn, &with(&[Eku::ServerAuth])).unwrap();
        again(&mut sim, &arn, &with(&[Eku::ServerAuth, custom.clone()])).unwrap();
        let part = "missing one or more Extended Key Usages";
        refused(&mut sim, &arn, &with(&[Eku::ServerAuth]), part);
        refused(&mut sim, &arn, &with(&[Eku::ServerAuth, Eku::Other(vec![1, 3, 6, 1, 4, 1, 99999, 2])]), part);
        refused(&mut sim, &arn, &with(&[Eku::ClientAuth, custom]), part);
    }

    // ACM user guide, Prerequisites for importing: a re-import does not add the KeyUsage or ExtendedKeyUsage extension.
    #[test]
    fn usage_extensions_are_not_introduced() {
        let mut sim = Sim::new();
        let ca = Authority::root(&PKCS_ECDSA_P256_SHA256);
        let arn = sim.imported(&ca.issue(&PKCS_ECDSA_P256_SHA256, |_| ()));
        let usage = ca.issue(&PKCS_ECDSA_P256_SHA256, |p| p.key_usages = vec![Ku::DigitalSignature]);
        refused(&mut sim, &arn, &usage, "extension that the currently imported certificate lacks");
        let usage = ca.issue(&PKCS_ECDSA_P256_SHA256, |p| p.extended_key_usages = vec![Eku::ServerAuth]);
        refused(&mut sim, &arn, &usage, "extension that the currently imported certificate lacks");
    }

    // ACM user guide, Reimporting a certificate: domain names can be added and removed, but not all of them.
    #[test]
    fn a_domain_stays() {
        let mut sim = Sim::new();
        let arn = sim.imported(&named(&["a.example.com", "b.example.com"]));
        again(&mut sim, &arn, &named(&["c.example.com", "B.example.com"])).unwrap();
        refused(&mut sim, &arn, &named(&["a.example.com"]), "none of the domains");
    }

    // ACM API reference, ImportCertificate: CertificateArn names a certificate that was imported.
    #[test]
    fn only_imported_certificates_are_replaced() {
        let mut sim = Sim::new();
        let arn = sim.imported(&leaf());
        for kind in [CertificateType::AmazonIssued, CertificateType::Private] {
            sim.store.set_type(&arn, kind).unwrap();
            refused(&mut sim, &arn, &leaf(), "Only a certificate that was imported");
        }
    }

    // ACM API reference, ImportCertificate: ResourceNotFoundException; a re-import does not create.
    #[test]
    fn what_is_not_there_is_not_replaced() {
        let mut sim = Sim::new();
        let arn = "arn:aws:acm:eu-west-1:111122223333:certificate/12345678-1234-1234-1234-123456789012";
        assert_eq!(again(&mut sim, arn, &leaf()).unwrap_err().code, "ResourceNotFoundException");
    }

    // ACM user guide, Reimporting a certificate: the rules of an import hold too.
    #[test]
    fn the_rules_of_an_import_hold() {
        let mut sim = Sim::new();
        let arn = sim.imported(&leaf());
        let wrong = Material { key: leaf().key, ..leaf() };
        refused(&mut sim, &arn, &wrong, "does not match");
    }
}
