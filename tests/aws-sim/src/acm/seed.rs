//! Certificates that are there already, many at once, for POST /_sim/certificates.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp, tz::Offset};
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SerialNumber,
    date_time_ymd,
};

use super::{Certificate, CertificateType, Store, x509::Parsed};
use crate::api::{ApiError, Call};
use crate::random;

/// What POST /_sim/certificates asks for.
pub struct Seed {
    /// How many.
    pub count: u32,
    /// Each is for a name below this one: `n0`, `n1` and so on.
    pub domain: String,
    /// How they came to ACM.
    pub kind: CertificateType,
    /// Names of each.
    pub names: u32,
    /// Days from now until they end; negative: they ended so long ago.
    pub days: i64,
}

/// Certificates that were made, by ARN; to be put into a store.
pub struct Made(Vec<(String, Certificate)>);

impl Seed {
    /// Makes certificates that share one P-256 key and are signed by it. No rule is asked, so that there may be more of them than an
    /// import would allow.
    ///
    /// # Errors
    /// A domain that is no DNS name, or more days than there are.
    pub fn make(&self, call: &Call) -> Result<Made, ApiError> {
        let internal =
            |error: rcgen::Error| ApiError { code: "InternalFailure", message: error.to_string(), status: 500 };
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(internal)?;
        let day = |from_now: i64| {
            let away = SignedDuration::try_from_hours(from_now.saturating_mul(24)).unwrap_or(SignedDuration::MAX);
            let at = call.now.checked_add(away);
            at.map(date_of).map_err(|error| ApiError::new("BadRequest", error.to_string()))
        };
        let ((y0, m0, d0), (y1, m1, d1)) = (day(self.days.min(0).saturating_sub(1))?, day(self.days)?);
        let mut made = vec![];
        for number in 0..self.count {
            let name = format!("n{number}.{}", self.domain);
            let mut serial = random::bytes::<16>()?;
            // RFC 5280, 4.1.2.2: positive.
            serial[0] = serial[0] & 0x3f | 0x40;
            let more = (1..self.names).map(|more| format!("a{more}.{name}"));
            let mut params = CertificateParams::new(std::iter::once(name.clone()).chain(more).collect::<Vec<_>>())
                .map_err(|error| ApiError::new("BadRequest", error.to_string()))?;
            params.distinguished_name.push(DnType::CommonName, name);
            (params.not_before, params.not_after) = (date_time_ymd(y0, m0, d0), date_time_ymd(y1, m1, d1));
            params.serial_number = Some(SerialNumber::from_slice(&serial));
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            let signed = params.self_signed(&key).map_err(internal)?;
            let parsed = Parsed::from_der(signed.der().to_vec());
            let parsed = parsed.ok_or_else(|| ApiError::new("BadRequest", "That makes no certificate"))?;
            let arn =
                format!("arn:{}:acm:{}:{}:certificate/{}", call.partition, call.region, call.account, random::uuid()?);
            let certificate = Certificate {
                kind: self.kind,
                parsed,
                pem: signed.pem(),
                chain: None,
                tags: BTreeMap::new(),
                in_use_by: vec![],
                created_at: call.now,
                imported_at: call.now,
                managed: None,
            };
            made.push((arn, certificate));
        }
        Ok(Made(made))
    }
}

impl Store {
    /// Puts certificates there that were made; gives their ARNs.
    pub fn seed(&mut self, made: Made) -> Vec<String> {
        let arns = made.0.iter().map(|(arn, _)| arn.clone()).collect();
        self.certificates.extend(made.0);
        arns
    }
}

/// The day in UTC.
fn date_of(at: Timestamp) -> (i32, u8, u8) {
    let date = Offset::UTC.to_datetime(at).date();
    (date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixtures::Sim;
    use super::*;

    /// Control interface, POST /_sim/certificates.
    #[test]
    fn there_are_many_at_once() {
        let mut sim = Sim::new();
        let call = sim.call.clone();
        let seed = Seed { count: 3, domain: "pay.example".into(), kind: CertificateType::Private, names: 2, days: 90 };
        let arns = sim.store.seed(seed.make(&call).unwrap());
        let found = sim.describe(&arns[1]);
        assert_eq!(found["SubjectAlternativeNames"], json!(["n1.pay.example", "a1.n1.pay.example"]));
        assert_eq!((&found["Type"], &found["Status"]), (&json!("PRIVATE"), &json!("ISSUED")));
        let ended = Seed { days: -1, ..seed };
        let old = sim.store.seed(ended.make(&call).unwrap());
        assert_eq!(sim.describe(&old[0])["Status"], json!("EXPIRED"));
        assert_ne!(found["Serial"], sim.describe(&arns[2])["Serial"]);
    }
}
