use serde_json::json;

use super::fixtures::{Sim, leaf};

const OPERATIONS: [&str; 6] = [
    "ImportCertificate",
    "DescribeCertificate",
    "GetCertificate",
    "ListTagsForCertificate",
    "AddTagsToCertificate",
    "DeleteCertificate",
];

fn code(sim: &mut Sim, operation: &str, arn: &str) -> &'static str {
    sim.run(operation, &json!({ "CertificateArn": arn })).unwrap_err().code
}

// ACM API reference, errors of every operation on an ARN: InvalidArnException.
#[test]
fn malformed_arns_are_refused() {
    let mut sim = Sim::new();
    for arn in [
        "",
        "arn",
        "arn:aws:acm:eu-west-1:111122223333",
        "arn:aws:acm-pca:eu-west-1:111122223333:certificate/a",
        "arn:aws:acm:eu-west-1:111122223333:certificate/",
        "arn:aws:acm:eu-west-1:111122223333:certificate/a/b",
        "arn:aws:acm:eu-west-1:1111:certificate/a",
        "arn:aws:acm::111122223333:certificate/a",
    ] {
        for operation in OPERATIONS {
            assert_eq!(code(&mut sim, operation, arn), "InvalidArnException", "{operation} {arn}");
        }
    }
}

// ACM user guide, Supported regions: certificates are regional; ResourceNotFoundException elsewhere.
#[test]
fn other_scopes_are_empty() {
    let mut sim = Sim::new();
    let arn = sim.imported(&leaf());
    for (from, to) in [("eu-west-1", "us-east-1"), ("111122223333", "444455556666"), ("arn:aws:", "arn:aws-cn:")] {
        for operation in OPERATIONS {
            assert_eq!(code(&mut sim, operation, &arn.replace(from, to)), "ResourceNotFoundException");
        }
    }
    assert_eq!(sim.store.set_in_use("none", Vec::new()).unwrap_err().code, "ResourceNotFoundException");
}

// ACM service model: CertificateArn is required.
#[test]
fn the_arn_is_required() {
    let error = Sim::new().run("DescribeCertificate", &json!({})).unwrap_err();
    assert_eq!(error.code, "ValidationException");
}

// ACM API reference, GetCertificate: certificate and chain as PEM text; no chain if none was imported.
#[test]
fn get_returns_what_was_imported() {
    let mut sim = Sim::new();
    let material = leaf();
    let arn = sim.imported(&material);
    let answer = sim.run("GetCertificate", &json!({ "CertificateArn": arn })).unwrap();
    assert_eq!(answer, json!({ "Certificate": material.cert, "CertificateChain": material.chain }));
    let own = super::fixtures::self_signed(&rcgen::PKCS_ECDSA_P256_SHA256);
    let arn = sim.imported(&own);
    let answer = sim.run("GetCertificate", &json!({ "CertificateArn": arn })).unwrap();
    assert_eq!(answer, json!({ "Certificate": own.cert }));
}

// ACM API reference, DeleteCertificate: not while another service uses it.
#[test]
fn used_certificates_are_not_deleted() {
    let mut sim = Sim::new();
    let arn = sim.imported(&leaf());
    sim.store.set_in_use(&arn, vec!["lb".into()]).unwrap();
    assert_eq!(sim.describe(&arn)["InUseBy"], json!(["lb"]));
    assert_eq!(code(&mut sim, "DeleteCertificate", &arn), "ResourceInUseException");
    sim.store.set_in_use(&arn, Vec::new()).unwrap();
    assert_eq!(sim.run("DeleteCertificate", &json!({ "CertificateArn": arn })).unwrap(), json!({}));
    assert_eq!(code(&mut sim, "DescribeCertificate", &arn), "ResourceNotFoundException");
}

// AWS JSON 1.1 protocol: UnknownOperationException.
#[test]
fn other_operations_are_unknown() {
    assert_eq!(Sim::new().run("ResendValidationEmail", &json!({})).unwrap_err().code, "UnknownOperationException");
}
