use base64::{Engine as _, engine::general_purpose::STANDARD};
use pkcs5::{
    EncryptionScheme,
    der::{Reader as _, SliceReader, asn1::OctetStringRef},
};
use serde_json::{Value, json};

use super::super::fixtures::Sim;
use crate::{api::ApiError, pca::Ready};

const DAY: i64 = 86_400;

struct Managed {
    sim: Sim,
    authority: String,
}

impl Managed {
    fn new(algorithm: &str, days: i64) -> Self {
        let mut sim = Sim::new();
        let ready = Ready {
            common_name: "Example",
            key_algorithm: algorithm,
            days,
            usage_mode: "GENERAL_PURPOSE",
            parent: None,
        };
        let authority = sim.pca.add_ready(&sim.call.clone(), &ready).unwrap();
        Self { sim, authority }
    }

    fn request(&mut self, more: &Value) -> Result<String, ApiError> {
        let mut body = json!({
            "DomainName": "app.example", "SubjectAlternativeNames": ["www.example"],
            "CertificateAuthorityArn": self.authority, "KeyAlgorithm": "EC_prime256v1",
            "Tags": [{ "Key": "team", "Value": "pay" }],
        });
        for (field, value) in more.as_object().unwrap() {
            body[field] = value.clone();
        }
        let answer = self.sim.run("RequestCertificate", &body)?;
        Ok(answer["CertificateArn"].as_str().unwrap().to_owned())
    }

    fn on(&mut self, operation: &str, arn: &str) -> Result<Value, ApiError> {
        self.sim.run(operation, &json!({ "CertificateArn": arn }))
    }

    /// Looks until it is issued, or has failed.
    fn settled(&mut self, arn: &str) -> Value {
        for _ in 0..10 {
            if let Ok(answer) = self.on("DescribeCertificate", arn) {
                let found = answer["Certificate"].clone();
                if found["Status"] != "PENDING_VALIDATION"
                    && found["RenewalSummary"]["RenewalStatus"] != "PENDING_AUTO_RENEWAL"
                {
                    return found;
                }
            }
        }
        panic!("it comes to no end");
    }

    fn export(&mut self, arn: &str) -> Result<Value, ApiError> {
        let passphrase = STANDARD.encode("a passphrase");
        self.sim.run("ExportCertificate", &json!({ "CertificateArn": arn, "Passphrase": passphrase }))
    }
}

// ACM API reference, RequestCertificate: there is a delay before information can be retrieved, and issuing takes a while.
#[test]
fn a_request_is_answered_after_a_while() {
    let mut world = Managed::new("EC_prime256v1", 3650);
    let arn = world.request(&json!({})).unwrap();
    assert_eq!(world.on("DescribeCertificate", &arn).unwrap_err().code, "ResourceNotFoundException");
    let listed = world.sim.run("ListCertificates", &json!({ "Includes": { "keyTypes": ["EC_prime256v1"] } })).unwrap();
    assert_eq!(listed["CertificateSummaryList"][0]["Status"], "PENDING_VALIDATION");
    assert_eq!(world.on("DescribeCertificate", &arn).unwrap()["Certificate"]["Status"], "PENDING_VALIDATION");
    assert_eq!(world.export(&arn).unwrap_err().code, "RequestInProgressException");
    let found = world.settled(&arn);
    assert_eq!((&found["Status"], &found["Type"]), (&json!("ISSUED"), &json!("PRIVATE")));
    assert_eq!(found["SubjectAlternativeNames"], json!(["app.example", "www.example"]));
    assert_eq!(found["RenewalEligibility"], "INELIGIBLE");
    assert_eq!(found["NotAfter"].as_i64().unwrap() - world.sim.call.now.as_second(), 395 * DAY);
    assert_eq!(world.sim.tags(&arn), json!([{ "Key": "team", "Value": "pay" }]));
    let got = world.on("GetCertificate", &arn).unwrap();
    assert!(got["CertificateChain"].as_str().unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
}

// ACM API reference, RequestCertificate, IdempotencyToken: one certificate within an hour.
#[test]
fn a_token_makes_requests_one_for_an_hour() {
    let mut world = Managed::new("EC_prime256v1", 3650);
    let token = json!({ "IdempotencyToken": "abc_1" });
    let arn = world.request(&token).unwrap();
    world.sim.later(3599);
    assert_eq!(world.request(&token).unwrap(), arn);
    world.sim.later(1);
    assert_ne!(world.request(&token).unwrap(), arn);
    assert!(world.request(&json!({ "IdempotencyToken": "no-word" })).is_err());
}

// ACM API reference, RequestCertificate: names and algorithms; FailureReason: what a CA refuses is told later.
#[test]
fn what_can_not_be_issued() {
    let mut world = Managed::new("EC_prime256v1", 3650);
    for bad in [
        json!({ "DomainName": format!("{}.example", "a".repeat(60)) }),
        json!({ "KeyAlgorithm": "RSA_4096" }),
        json!({ "CertificateAuthorityArn": null }),
    ] {
        assert_eq!(world.request(&bad).unwrap_err().code, "ValidationException");
    }
    let many: Vec<String> = (0..10).map(|n| format!("{n}.example")).collect();
    let error = world.request(&json!({ "SubjectAlternativeNames": many })).unwrap_err();
    assert_eq!(error.code, "LimitExceededException");
    let reason = |world: &mut Managed, more: &Value| {
        let arn = world.request(more).unwrap();
        let found = world.settled(&arn);
        assert_eq!(found["Status"], "FAILED");
        world.on("DeleteCertificate", &arn).unwrap();
        assert_eq!(world.on("DescribeCertificate", &arn).unwrap_err().code, "ResourceNotFoundException");
        found["FailureReason"].clone()
    };
    assert_eq!(reason(&mut world, &json!({ "KeyAlgorithm": "RSA_2048" })), "PCA_INVALID_ARGS");
    let (now, authority) = (world.sim.call.now, world.authority.clone());
    world.sim.pca.by_arn(&authority).unwrap().set_status("DISABLED", now);
    assert_eq!(reason(&mut world, &json!({})), "PCA_INVALID_STATE");
    assert_eq!(reason(&mut Managed::new("EC_prime256v1", 394), &json!({})), "PCA_INVALID_DURATION");
    world.sim.store.set_failure(Some("PCA_ACCESS_DENIED".into()));
    assert_eq!(reason(&mut world, &json!({})), "PCA_ACCESS_DENIED");
}

// ACM API reference, ExportCertificate: PKCS #8, encrypted by the passphrase, which has rules.
#[test]
fn an_exported_key_is_the_certificates() {
    for algorithm in ["EC_prime256v1", "RSA_2048"] {
        let mut world = Managed::new(algorithm, 3650);
        let arn = world.request(&json!({ "KeyAlgorithm": algorithm })).unwrap();
        world.settled(&arn);
        let exported = world.export(&arn).unwrap();
        let text = exported["PrivateKey"].as_str().unwrap();
        assert!(text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
        let base64: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        let der = STANDARD.decode(base64).unwrap();
        let mut reader = SliceReader::new(&der).unwrap();
        let (scheme, data) = reader
            .sequence(|reader| {
                let scheme: EncryptionScheme = reader.decode()?;
                let data: &OctetStringRef = reader.decode()?;
                Ok::<_, pkcs5::der::Error>((scheme, data.as_bytes().to_vec()))
            })
            .unwrap();
        assert!(scheme.decrypt("another", &data).is_err());
        let key = scheme.decrypt("a passphrase", &data).unwrap();
        let parsed = &world.sim.store.certificates[&arn].parsed;
        assert!(parsed.matches(&super::super::pem::KeyDer::Pkcs8(key)));
        for bad in ["abc", "a#bcd", "50%off"] {
            let body = json!({ "CertificateArn": arn, "Passphrase": STANDARD.encode(bad) });
            assert_eq!(world.sim.run("ExportCertificate", &body).unwrap_err().code, "ValidationException");
        }
    }
}

// ACM user guide, "Managed certificate renewal": 60 days before the end, under the same ARN, if in use or exported.
#[test]
fn what_is_in_use_or_exported_is_renewed_in_time() {
    let mut world = Managed::new("EC_prime256v1", 3650);
    let arn = world.request(&json!({})).unwrap();
    let first = world.settled(&arn);
    world.sim.later(336 * DAY);
    assert_eq!(world.settled(&arn)["Serial"], first["Serial"], "nobody uses it");
    world.sim.later(-336 * DAY);
    world.export(&arn).unwrap();
    assert_eq!(world.settled(&arn)["RenewalEligibility"], "ELIGIBLE");
    world.sim.later(334 * DAY);
    assert_eq!(world.settled(&arn)["Serial"], first["Serial"], "it is early");
    world.sim.later(2 * DAY);
    let renewed = world.settled(&arn);
    assert_ne!(renewed["Serial"], first["Serial"]);
    assert_eq!(renewed["RenewalSummary"]["RenewalStatus"], "SUCCESS");
    assert_eq!(renewed["RenewalEligibility"], "INELIGIBLE", "not exported since");
    assert_eq!(world.sim.tags(&arn), json!([{ "Key": "team", "Value": "pay" }]));
    // What fails says why, and goes on when nothing is in its way.
    world.sim.store.set_in_use(&arn, vec!["lb".into()]).unwrap();
    world.sim.store.set_failure(Some("PCA_ACCESS_DENIED".into()));
    world.sim.later(340 * DAY);
    let failed = world.settled(&arn);
    assert_eq!(failed["RenewalSummary"]["RenewalStatus"], "FAILED");
    assert_eq!(failed["RenewalSummary"]["RenewalStatusReason"], "PCA_ACCESS_DENIED");
    world.sim.store.set_failure(None);
    assert_ne!(world.settled(&arn)["Serial"], renewed["Serial"]);
}

// ACM API reference, RenewCertificate, and CertificateDetail, RenewalEligibility.
#[test]
fn what_is_eligible_is_renewed_on_demand() {
    let mut world = Managed::new("EC_prime256v1", 3650);
    let arn = world.request(&json!({})).unwrap();
    let first = world.settled(&arn);
    assert_eq!(world.on("RenewCertificate", &arn).unwrap_err().code, "ValidationException");
    world.export(&arn).unwrap();
    world.on("RenewCertificate", &arn).unwrap();
    assert_eq!(world.on("RenewCertificate", &arn).unwrap_err().code, "RequestInProgressException");
    let under_way = world.on("DescribeCertificate", &arn).unwrap();
    assert_eq!(under_way["Certificate"]["RenewalSummary"]["RenewalStatus"], "PENDING_AUTO_RENEWAL");
    assert_ne!(world.settled(&arn)["Serial"], first["Serial"]);
}
