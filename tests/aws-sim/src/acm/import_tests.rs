use aws_lc_rs::{agreement, encoding::AsDer};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    CustomExtension, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_ECDSA_P521_SHA512, PKCS_ED25519, PKCS_RSA_SHA256, PKCS_RSA_SHA384, RsaKeySize,
};
use x509_parser::{der_parser::der::parse_der, pem::Pem};

use super::super::fixtures::{Authority, Material as Pems, NOW, Sim, leaf, self_signed};
use super::*;

fn refused(material: &Pems, part: &str) {
    let mut sim = Sim::new();
    let error = sim.run("ImportCertificate", &material.body()).unwrap_err();
    assert_eq!((error.code, error.status), ("ValidationException", 400));
    assert!(error.message.contains(part), "{}", error.message);
    assert!(sim.store.certificates.is_empty());
}

fn wrapped(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

// ACM API reference, ImportCertificate: the answer is an ARN of the account and region, ending in a UUID.
#[test]
fn an_import_makes_an_arn() {
    let mut sim = Sim::new();
    let arn = sim.imported(&leaf());
    let id = arn.strip_prefix("arn:aws:acm:eu-west-1:111122223333:certificate/").unwrap();
    let lengths: Vec<usize> = id.split('-').map(str::len).collect();
    assert_eq!(lengths, [8, 4, 4, 4, 12]);
    assert_eq!(&id[14..15], "4");
    assert_ne!(arn, sim.imported(&leaf()));
}

// ACM service model: Certificate and PrivateKey are required.
#[test]
fn certificate_and_key_are_required() {
    for field in ["Certificate", "PrivateKey"] {
        let mut body = leaf().body();
        body[field] = Value::Null;
        assert_eq!(Sim::new().run("ImportCertificate", &body).unwrap_err().code, "ValidationException");
    }
}

// ACM service model, CertificateBodyBlob: 32768 bytes at most.
#[test]
fn large_certificates_are_refused() {
    let good = leaf();
    let padded = Pems { cert: format!("{}{}", good.cert, "\n".repeat(MOST_CERTIFICATE)), ..good };
    refused(&padded, "less than or equal to 32768");
}

// ACM user guide, Certificate and key format for importing: PEM, not DER; and X.509 inside.
#[test]
fn other_formats_are_refused() {
    let good = leaf();
    let mut body = good.body();
    let pem = Pem::iter_from_buffer(good.cert.as_bytes()).next().unwrap().unwrap();
    body["Certificate"] = json!(STANDARD.encode(&pem.contents));
    assert_eq!(Sim::new().run("ImportCertificate", &body).unwrap_err().code, "ValidationException");
    refused(&Pems { cert: wrapped("CERTIFICATE", b"text"), ..good.clone() }, "not an X.509 certificate");
    let longer = [pem.contents, vec![0]].concat();
    refused(&Pems { cert: wrapped("CERTIFICATE", &longer), ..good }, "not an X.509 certificate");
}

// ACM's answer to a bundle in the Certificate field.
#[test]
fn one_certificate_only() {
    let good = leaf();
    let bundle = Pems { cert: good.cert.clone() + good.chain.as_deref().unwrap(), ..good };
    refused(&bundle, "The certificate field contains more than one certificate");
}

// ACM API reference, ImportCertificate: the private key is that of the certificate.
#[test]
fn the_key_matches() {
    refused(&Pems { key: leaf().key, ..leaf() }, "does not match");
    let rsa = Authority::root(&PKCS_RSA_SHA256).issue(&PKCS_RSA_SHA256, |_| ());
    refused(&Pems { key: rsa.key.clone(), ..leaf() }, "does not match");
    refused(&Pems { key: leaf().key, ..rsa.clone() }, "does not match");
    let other = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap().serialize_pem();
    refused(&Pems { key: other, ..rsa }, "does not match");
}

// ACM user guide, Certificate and key format for importing: PKCS #8, and EC PRIVATE KEY (SEC 1), with its parameters.
#[test]
fn sec1_keys_are_read() {
    let good = leaf();
    let pkcs8 = Pem::iter_from_buffer(good.key.as_bytes()).next().unwrap().unwrap().contents;
    let private = agreement::PrivateKey::from_private_key_der(&agreement::ECDH_P256, &pkcs8).unwrap();
    let der: aws_lc_rs::encoding::EcPrivateKeyRfc5915Der = private.as_der().unwrap();
    let key = wrapped("EC PARAMETERS", &[6, 0]) + &wrapped("EC PRIVATE KEY", der.as_ref());
    Sim::new().imported(&Pems { key, ..good });
}

// The same, RSA PRIVATE KEY (PKCS #1).
#[test]
fn pkcs1_keys_are_read() {
    let good = Authority::root(&PKCS_RSA_SHA256).issue(&PKCS_RSA_SHA256, |_| ());
    let pkcs8 = Pem::iter_from_buffer(good.key.as_bytes()).next().unwrap().unwrap().contents;
    let (_, info) = parse_der(&pkcs8).unwrap();
    let der = info.as_sequence().unwrap()[2].as_slice().unwrap();
    Sim::new().imported(&Pems { key: wrapped("RSA PRIVATE KEY", der), ..good });
}

// ACM user guide, Prerequisites for importing: now is between NotBefore and NotAfter.
#[test]
fn validity_spans_now() {
    let mut sim = Sim::new();
    let body = leaf().body();
    let mut at = |second: i64| {
        sim.call.now = Timestamp::from_second(second).unwrap();
        sim.run("ImportCertificate", &body).map_err(|error| error.message)
    };
    let (start, end) = (NOW - 86_400, NOW + 30 * 86_400);
    assert!(at(start - 1).unwrap_err().contains("not in effect"));
    assert!(at(start).is_ok());
    assert!(at(end).is_ok());
    assert!(at(end + 1).unwrap_err().contains("expired"));
}

// ACM user guide, Prerequisites for importing: the OCSP URL has 1000 characters at most.
#[test]
fn ocsp_urls_are_limited() {
    let with = |length: usize| {
        let url = format!("http://{}", "o".repeat(length - 7));
        // AuthorityInfoAccessSyntax with one OCSP address, lengths in two bytes.
        let sized = |tag: u8, body: &[u8]| {
            let [high, low] = u16::try_from(body.len()).unwrap().to_be_bytes();
            [&[tag, 0x82, high, low], body].concat()
        };
        let ocsp = [0x06, 8, 0x2b, 6, 1, 5, 5, 7, 0x30, 1];
        let access = sized(0x30, &sized(0x30, &[&ocsp[..], &sized(0x86, url.as_bytes())].concat()));
        Authority::root(&PKCS_ECDSA_P256_SHA256).issue(&PKCS_ECDSA_P256_SHA256, |p| {
            p.custom_extensions = vec![CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], access)];
        })
    };
    Sim::new().imported(&with(1000));
    refused(&with(1001), "OCSP");
}

// ACM API reference, ImportCertificate: RSA 2048 to 4096, P-256, P-384 and P-521; a CA-signed one with its chain.
#[test]
fn supported_algorithms_are_taken() {
    let mut sim = Sim::new();
    for (algorithm, name, signature) in [
        (&PKCS_RSA_SHA256, "RSA_2048", "SHA256WITHRSA"),
        (&PKCS_RSA_SHA384, "RSA_2048", "SHA384WITHRSA"),
        (&PKCS_ECDSA_P256_SHA256, "EC_prime256v1", "SHA256WITHECDSA"),
        (&PKCS_ECDSA_P384_SHA384, "EC_secp384r1", "SHA384WITHECDSA"),
        (&PKCS_ECDSA_P521_SHA512, "EC_secp521r1", "SHA512WITHECDSA"),
    ] {
        let arn = sim.imported(&Authority::root(algorithm).issue(algorithm, |_| ()));
        let detail = sim.describe(&arn);
        assert_eq!((&detail["KeyAlgorithm"], &detail["SignatureAlgorithm"]), (&json!(name), &json!(signature)));
    }
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_3072).unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["api.example.com".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2026, 7, 1);
    let cert = params.self_signed(&key).unwrap().pem();
    let arn = sim.imported(&Pems { cert, key: key.serialize_pem(), chain: None });
    assert_eq!(sim.describe(&arn)["KeyAlgorithm"], "RSA_3072");
}

// ACM user guide, Prerequisites for importing: no other key algorithm, Ed25519 among them.
#[test]
fn ed25519_is_refused() {
    refused(&self_signed(&PKCS_ED25519), "not supported");
    refused(&Authority::root(&PKCS_ED25519).issue(&PKCS_ED25519, |_| ()), "not supported");
}

// ACM API reference, ImportCertificate: the algorithm of the certificate is that of the signing CA.
#[test]
fn the_family_is_that_of_the_signing_authority() {
    let rsa = Authority::root(&PKCS_RSA_SHA256);
    let ec = Authority::root(&PKCS_ECDSA_P256_SHA256);
    refused(&rsa.issue(&PKCS_ECDSA_P256_SHA256, |_| ()), "algorithm of the signing CA");
    refused(&ec.issue(&PKCS_RSA_SHA256, |_| ()), "algorithm of the signing CA");
    refused(&Authority::root(&PKCS_ED25519).issue(&PKCS_ECDSA_P256_SHA256, |_| ()), "algorithm of the signing CA");
    let mut sim = Sim::new();
    // The size may differ, and the family of authorities further up.
    sim.imported(&ec.issue(&PKCS_ECDSA_P384_SHA384, |_| ()));
    sim.imported(&rsa.below(&PKCS_ECDSA_P256_SHA256).issue(&PKCS_ECDSA_P256_SHA256, |_| ()));
}

// ACM API reference, ImportCertificate: a self-signed certificate has no chain; one signed by a CA must have it.
#[test]
fn the_chain_is_required_when_a_ca_signed() {
    Sim::new().imported(&self_signed(&PKCS_ECDSA_P256_SHA256));
    refused(&Pems { chain: None, ..leaf() }, "Provide its certificate chain");
}

// ACM user guide, Prerequisites for importing: the issuer's name may be the subject's without the key being so.
#[test]
fn a_name_alone_makes_no_self_signature() {
    let ca = Authority::root(&PKCS_ECDSA_P256_SHA256);
    let named_so = ca.issue(&PKCS_ECDSA_P256_SHA256, |p| {
        p.distinguished_name.push(rcgen::DnType::OrganizationName, "Test");
        p.distinguished_name.push(rcgen::DnType::CommonName, "Root");
    });
    refused(&Pems { chain: None, ..named_so.clone() }, "Provide its certificate chain");
    Sim::new().imported(&named_so);
}

// ACM user guide, Certificate and key format for importing: each certificate of the chain
// certifies the one before it, and the root of a private one comes last.
#[test]
fn each_certifies_the_one_before() {
    let root = Authority::root(&PKCS_ECDSA_P256_SHA256);
    let sub = root.below(&PKCS_ECDSA_P256_SHA256);
    let good = sub.issue(&PKCS_ECDSA_P256_SHA256, |_| ());
    Sim::new().imported(&good);
    let with = |chain: &str| Pems { chain: Some(chain.to_owned()), ..good.clone() };
    let own = sub.chain.strip_suffix(&root.chain).unwrap();
    let part = "Could not validate the certificate with the certificate chain";
    refused(&with(&format!("{}{own}", root.chain)), part);
    refused(&with(&root.chain), part);
    refused(&with(own), part);
    refused(&with(&format!("{}{}", sub.chain, root.chain)), part);
    // An authority of the same name with another key.
    refused(&with(&Authority::root(&PKCS_ECDSA_P256_SHA256).below(&PKCS_ECDSA_P256_SHA256).chain), part);
    refused(&with("garbage"), "not in PEM format");
    refused(&with(&good.key), "not a certificate");
}

// ACM API reference, ImportCertificate: the chain does not have the certificate itself.
#[test]
fn the_leaf_is_not_in_the_chain() {
    let good = leaf();
    let chain = good.cert.clone() + good.chain.as_deref().unwrap();
    refused(&Pems { chain: Some(chain), ..good }, "contains the certificate itself");
    let own = self_signed(&PKCS_ECDSA_P256_SHA256);
    refused(&Pems { chain: Some(own.cert.clone()), ..own }, "contains the certificate itself");
}

// The same, seen from a self-signed certificate: nothing else certifies it.
#[test]
fn a_self_signed_certificate_has_no_issuer_but_itself() {
    let own = self_signed(&PKCS_ECDSA_P256_SHA256);
    refused(&Pems { chain: leaf().chain, ..own }, "Could not validate");
}

// ACM user guide, Prerequisites for importing: a domain name or an IP address.
#[test]
fn a_domain_is_required() {
    let uri = rcgen::SanType::URI("spiffe://example.com/a".try_into().unwrap());
    let ca = Authority::root(&PKCS_ECDSA_P256_SHA256);
    refused(&ca.issue(&PKCS_ECDSA_P256_SHA256, |p| p.subject_alt_names = vec![uri]), "no domain name");
    let address = rcgen::SanType::IpAddress([192, 0, 2, 7].into());
    Sim::new().imported(&ca.issue(&PKCS_ECDSA_P256_SHA256, |p| p.subject_alt_names = vec![address]));
}

// ACM API reference, ImportCertificate: the Issuer field is not empty.
#[test]
fn the_issuer_has_a_name() {
    let key = KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["api.example.com".to_owned()]).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.not_after = rcgen::date_time_ymd(2026, 7, 1);
    let cert = params.self_signed(&key).unwrap().pem();
    refused(&Pems { cert, key: key.serialize_pem(), chain: None }, "no issuer");
}

// ACM user guide, Quotas: 2,500 imported certificates in a region; a re-import makes none.
#[test]
fn imports_are_limited() {
    let mut sim = Sim::new();
    let arn = sim.imported(&leaf());
    let one = sim.store.certificates[&arn].clone();
    for n in 1..MOST_IMPORTED {
        sim.store.certificates.insert(format!("filler {n}"), one.clone());
    }
    let error = sim.run("ImportCertificate", &leaf().body()).unwrap_err();
    assert_eq!(error.code, "LimitExceededException");
    let mut body = leaf().body();
    body["CertificateArn"] = json!(arn);
    sim.run("ImportCertificate", &body).unwrap();
    sim.store.set_type(&arn, CertificateType::AmazonIssued).unwrap();
    sim.imported(&leaf());
}
