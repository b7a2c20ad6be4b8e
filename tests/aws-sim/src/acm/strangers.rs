//! Certificates that are in ACM and that no call of a test brought there.

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};

use super::{Certificate, CertificateType, Store, import::uuid, x509::Parsed};
use crate::api::{ApiError, Call};

impl Store {
    /// Puts `count` certificates of this type with a key on P-256 there; their names begin with `c0.`, `c1.`, … where there are
    /// several. Returns their ARNs. All share one key and one body: what ACM shows of them is of each alone.
    ///
    /// # Errors
    /// If the names are no DNS names, or no key can be made.
    pub fn put(
        &mut self,
        call: &Call,
        kind: CertificateType,
        names: &[String],
        count: usize,
    ) -> Result<Vec<String>, ApiError> {
        let bad = |why: &str| ApiError::new("BadRequest", why.to_owned());
        let first = names.first().ok_or_else(|| bad("no name"))?;
        let mut params = CertificateParams::new(names).map_err(|error| bad(&error.to_string()))?;
        params.distinguished_name.push(DnType::CommonName, first.as_str());
        // A server's: what has no usages can't be imported over with one that has.
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2096, 1, 1);
        let key = KeyPair::generate().map_err(|error| bad(&error.to_string()))?;
        let made = params.self_signed(&key).map_err(|error| bad(&error.to_string()))?;
        let parsed = Parsed::from_der(made.der().to_vec()).ok_or_else(|| bad("no certificate"))?;
        let pem = made.pem();
        let mut arns = Vec::new();
        for number in 0..count {
            let id = uuid()?;
            let mut parsed = parsed.clone();
            if count > 1 {
                parsed.domains = parsed.domains.iter().map(|name| format!("c{number}.{name}")).collect();
            }
            let digits: Vec<char> = id.chars().filter(|c| *c != '-').collect();
            let pairs: Vec<String> = digits.chunks(2).map(|pair| pair.iter().collect()).collect();
            parsed.serial = format!("01:{}", pairs.join(":"));
            let arn = format!("arn:{}:acm:{}:{}:certificate/{id}", call.partition, call.region, call.account);
            let certificate = Certificate {
                kind,
                parsed,
                pem: pem.clone(),
                chain: None,
                tags: std::collections::BTreeMap::new(),
                in_use_by: Vec::new(),
                created_at: call.now,
                imported_at: call.now,
                managed: None,
            };
            self.certificates.insert(arn.clone(), certificate);
            arns.push(arn);
        }
        Ok(arns)
    }

    /// Takes the certificate away, used or not.
    ///
    /// # Errors
    /// `ResourceNotFoundException` if the store has no such ARN.
    pub fn take(&mut self, arn: &str) -> Result<(), ApiError> {
        self.existing(arn)?;
        self.certificates.remove(arn);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{CertificateType, fixtures::Sim};

    #[test]
    fn they_are_listed_and_gone_again() {
        let mut sim = Sim::new();
        let arns =
            sim.store.put(&sim.call, CertificateType::Imported, &["a.example".into(), "b.example".into()], 3).unwrap();
        let details: Vec<_> = arns.iter().map(|arn| sim.describe(arn)).collect();
        assert_eq!(details[2]["DomainName"], "c2.a.example");
        assert_eq!(details[2]["SubjectAlternativeNames"], json!(["c2.a.example", "c2.b.example"]));
        assert_eq!(details[0]["ExtendedKeyUsages"][0]["Name"], "TLS_WEB_SERVER_AUTHENTICATION");
        assert_eq!(details[0]["KeyUsages"], json!([{ "Name": "DIGITAL_SIGNATURE" }, { "Name": "KEY_ENCIPHERMENT" }]));
        assert_ne!(details[0]["Serial"], details[1]["Serial"]);
        let alone = sim.store.put(&sim.call, CertificateType::Imported, &["a.example".into()], 1).unwrap();
        assert_eq!(sim.describe(&alone[0])["DomainName"], "a.example");
        sim.store.take(&arns[0]).unwrap();
        assert!(sim.store.take(&arns[0]).is_err());
        let all = sim.run("ListCertificates", &json!({ "Includes": { "keyTypes": ["EC_prime256v1"] } })).unwrap();
        assert_eq!(all["CertificateSummaryList"].as_array().unwrap().len(), 3);
    }
}
