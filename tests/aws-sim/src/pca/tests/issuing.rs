//! The rules of IssueCertificate, GetCertificate and RevokeCertificate.

use rcgen::{PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_RSA_SHA256, RsaKeySize};

use super::*;

const DAY: i64 = 24 * 3600;

/// Private CA API reference, IssueCertificate, IdempotencyToken: five minutes, 1 to 36 characters.
#[test]
fn a_token_makes_calls_one_for_five_minutes() {
    let mut world = World::ec();
    let more = json!({"IdempotencyToken": "one"});
    let first = world.issue(&more).unwrap();
    world.call.now += jiff::SignedDuration::from_secs(299);
    assert_eq!(world.issue(&more).unwrap(), first);
    assert_ne!(world.issue(&json!({"IdempotencyToken": "two"})).unwrap(), first);
    world.call.now += jiff::SignedDuration::from_secs(1);
    assert_ne!(world.issue(&more).unwrap(), first);
    assert_ne!(world.issue(&json!({})).unwrap(), world.issue(&json!({})).unwrap());
    assert_eq!(world.refusal(&json!({"IdempotencyToken": ""})), "ValidationException");
    assert_eq!(world.refusal(&json!({"IdempotencyToken": "x".repeat(37)})), "ValidationException");
}

/// Private CA API reference, GetCertificate: RequestInProgressException until the certificate is there.
#[test]
fn issuance_is_asynchronous() {
    let mut world = World::ec();
    world.store.in_progress_polls = 2;
    let arn = world.issue(&json!({})).unwrap();
    let body = json!({"CertificateArn": arn});
    let serial = arn.rsplit('/').next().unwrap();
    let revoke = json!({"CertificateSerial": serial, "RevocationReason": "SUPERSEDED"});
    assert_eq!(world.code("GetCertificate", body.clone()), "RequestInProgressException");
    assert_eq!(world.code("RevokeCertificate", revoke), "RequestInProgressException");
    assert_eq!(world.code("GetCertificate", body.clone()), "RequestInProgressException");
    assert_eq!(world.code("GetCertificate", body), "ok");
}

/// Private CA API reference, IssueCertificate, SigningAlgorithm: of the family of the authority's key.
#[test]
fn signing_algorithms_are_of_the_authoritys_family() {
    let mut ec = World::ec();
    assert_eq!(ec.refusal(&json!({"SigningAlgorithm": "SHA256WITHRSA"})), "ValidationException");
    assert_eq!(ec.refusal(&json!({"SigningAlgorithm": "MD5WITHECDSA"})), "ValidationException");
    assert_eq!(ec.refusal(&json!({"SigningAlgorithm": "SHA384WITHECDSA"})), "ok");
    let mut rsa = World::new(&Ready { key_algorithm: "RSA_2048", ..root() });
    assert_eq!(rsa.refusal(&json!({})), "ValidationException");
    let chain = rsa.store.by_arn(&rsa.authority.clone()).unwrap().chain().unwrap();
    let (chain, oids) = (der(&chain), ["1.2.840.113549.1.1.11", "1.2.840.113549.1.1.12", "1.2.840.113549.1.1.13"]);
    for (name, oid) in ["SHA256WITHRSA", "SHA384WITHRSA", "SHA512WITHRSA"].into_iter().zip(oids) {
        let der = rsa.issued(&json!({"SigningAlgorithm": name}));
        assert_eq!(parse(&der).signature_algorithm.algorithm.to_id_string(), oid);
        parse(&der).verify_signature(Some(parse(&chain).public_key())).unwrap();
    }
}

/// Private CA API reference, IssueCertificate, Validity: not beyond the authority's own end; NotBefore an hour ago.
#[test]
fn validity_ends_with_the_authority() {
    let mut world = World::new(&Ready { days: 100, ..root() });
    let asked = |days: i64| json!({"Validity": {"Type": "DAYS", "Value": days}});
    assert_eq!(world.refusal(&asked(101)), "ValidationException");
    let der = world.issued(&asked(100));
    let now = world.call.now.as_second();
    assert_eq!(parse(&der).validity().not_after.timestamp(), now + 100 * DAY);
    assert_eq!(parse(&der).validity().not_before.timestamp(), now - 3600);
    let mut far = World::new(&Ready { days: 36_500, ..root() });
    let der = far.issued(&asked(10_000));
    assert_eq!(parse(&der).validity().not_after.timestamp(), now + 10_000 * DAY, "years from 2050 on are written too");
}

/// Private CA User Guide, "CA modes": a short-lived authority issues for seven days at most.
#[test]
fn short_lived_authorities_issue_for_a_week() {
    let mut world = World::new(&Ready { usage_mode: "SHORT_LIVED_CERTIFICATE", ..root() });
    let asked = |days: i64| json!({"Validity": {"Type": "DAYS", "Value": days}});
    assert_eq!(world.refusal(&asked(8)), "ValidationException");
    assert_eq!(world.refusal(&asked(7)), "ok");
}

/// Private CA User Guide, "CA status": only an active authority issues, a disabled one still revokes.
#[test]
fn only_active_authorities_issue() {
    let mut world = World::ec();
    let arn = world.issue(&json!({})).unwrap();
    assert_eq!(world.code("UpdateCertificateAuthority", json!({"Status": "DISABLED"})), "ok");
    assert_eq!(world.refusal(&json!({})), "InvalidStateException");
    assert_eq!(world.code("GetCertificate", json!({"CertificateArn": arn})), "ok");
    let serial = arn.rsplit('/').next().unwrap();
    let revoke = json!({"CertificateSerial": serial, "RevocationReason": "UNSPECIFIED"});
    assert_eq!(world.code("RevokeCertificate", revoke), "ok");
    assert_eq!(world.code("UpdateCertificateAuthority", json!({"Status": "ACTIVE"})), "ok");
    assert_eq!(world.refusal(&json!({})), "ok");
    world.call.now += jiff::SignedDuration::from_hours(24 * 3651);
    let shown = world.ask("DescribeCertificateAuthority", json!({})).unwrap();
    assert_eq!(shown["CertificateAuthority"]["Status"], "EXPIRED");
    assert_eq!(world.refusal(&json!({})), "InvalidStateException");
}

/// Private CA API reference, IssueCertificate, Csr: 32,768 bytes, a subject or an alternative name, its own signature.
#[test]
fn requests_are_checked() {
    let mut world = World::ec();
    let mut nameless = params(&[]);
    nameless.distinguished_name = rcgen::DistinguishedName::new();
    assert_eq!(world.refusal(&json!({"Csr": csr(&nameless, &key())})), "MalformedCSRException");
    assert_eq!(world.refusal(&json!({"Csr": csr(&params(&[]), &key())})), "ok");
    let mut only_names = params(&["b.example.com"]);
    only_names.distinguished_name = rcgen::DistinguishedName::new();
    assert_eq!(world.refusal(&json!({"Csr": csr(&only_names, &key())})), "ok");
    assert_eq!(world.refusal(&json!({"Csr": blob(b"nonsense")})), "MalformedCSRException");
    assert_eq!(world.refusal(&json!({"Csr": blob(&vec![b'-'; 32_769])})), "ValidationException");
    assert_eq!(world.refusal(&json!({"Csr": "%"})), "SerializationException");
    let mut forged = params(&["a.example.com"]).serialize_request(&key()).unwrap().der().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let forged = format!("-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n", blob(&forged));
    assert_eq!(world.refusal(&json!({"Csr": blob(forged.as_bytes())})), "MalformedCSRException");
}

/// Private CA User Guide, "Template order of operations": the public key comes from the request, of any kind.
#[test]
fn any_key_is_certified() {
    let mut world = World::ec();
    let chain = world.store.by_arn(&world.authority.clone()).unwrap().chain().unwrap();
    let keys = [
        KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap(),
        KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap(),
        KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512).unwrap(),
    ];
    for key in keys {
        let der = world.issued(&json!({"Csr": csr(&params(&["app.example.com"]), &key)}));
        assert_eq!(parse(&der).public_key().raw, rcgen::PublicKeyData::subject_public_key_info(&key));
        parse(&der).verify_signature(Some(parse(&super::der(&chain)).public_key())).unwrap();
    }
}

/// Private CA API reference, IssueCertificate (response) and RevokeCertificate: the ARN ends in the serial number.
#[test]
fn arns_end_in_the_serial_of_128_bits() {
    let mut world = World::ec();
    let arn = world.issue(&json!({})).unwrap();
    let answer = world.ask("GetCertificate", json!({"CertificateArn": arn})).unwrap();
    let der = der(answer["Certificate"].as_str().unwrap());
    let serial = crate::random::hex(parse(&der).raw_serial());
    assert_eq!(serial.len(), 32);
    assert_eq!(arn, format!("{}/certificate/{serial}", world.authority));
}

/// Private CA API reference, RevokeCertificate: hexadecimal with or without colons, once; GetCertificate still answers.
#[test]
fn certificates_are_revoked_once() {
    let mut world = World::ec();
    let arn = world.issue(&json!({})).unwrap();
    let serial = arn.rsplit('/').next().unwrap().to_uppercase();
    let colons: Vec<&str> = (0..16).map(|at| &serial[2 * at..2 * at + 2]).collect();
    let revoke = |serial: &str, reason: &str| json!({"CertificateSerial": serial, "RevocationReason": reason});
    assert_eq!(world.code("RevokeCertificate", revoke(&serial, "BORED")), "ValidationException");
    assert_eq!(world.code("RevokeCertificate", revoke("xyz", "SUPERSEDED")), "ValidationException");
    assert_eq!(world.code("RevokeCertificate", revoke("abcd", "SUPERSEDED")), "ResourceNotFoundException");
    assert_eq!(world.code("RevokeCertificate", revoke(&colons.join(":"), "SUPERSEDED")), "ok");
    assert_eq!(world.code("RevokeCertificate", revoke(&serial, "SUPERSEDED")), "RequestAlreadyProcessedException");
    assert_eq!(world.code("GetCertificate", json!({"CertificateArn": arn})), "ok");
}

/// Private CA API reference, errors of GetCertificate: unknown and malformed ARNs, other regions and accounts.
#[test]
fn arns_are_checked() {
    let mut world = World::ec();
    let get = |arn: &str| json!({"CertificateArn": arn});
    let unknown = format!("{}/certificate/00", world.authority);
    assert_eq!(world.code("GetCertificate", get(&unknown)), "ResourceNotFoundException");
    assert_eq!(world.code("GetCertificate", get("arn:other")), "InvalidArnException");
    let describe = |arn: &str| json!({"CertificateAuthorityArn": arn});
    assert_eq!(world.code("DescribeCertificateAuthority", describe("nonsense")), "InvalidArnException");
    let other = world.authority.replace("111122223333", "444455556666");
    assert_eq!(world.code("DescribeCertificateAuthority", describe(&other)), "ResourceNotFoundException");
    world.call.region = "us-east-1".to_owned();
    assert_eq!(world.code("DescribeCertificateAuthority", json!({})), "ResourceNotFoundException");
}

/// Private CA User Guide, "Cross-account access": a sharer issues from some templates, and does not manage.
#[test]
fn a_shared_authority_issues_for_others() {
    let mut world = World::ec();
    let arn = world.authority.clone();
    world.call.account = "444455556666".to_owned();
    assert_eq!(world.refusal(&json!({})), "ResourceNotFoundException");
    world.store.by_arn(&arn).unwrap().sharers.insert("444455556666".to_owned());
    assert_eq!(world.refusal(&json!({})), "ok");
    let other = "arn:aws:acm-pca:::template/EndEntityCertificate_CSRPassthrough/V1";
    assert_eq!(world.refusal(&json!({"TemplateArn": other})), "AccessDeniedException");
    assert_eq!(world.code("UpdateCertificateAuthority", json!({"Status": "DISABLED"})), "AccessDeniedException");
    let list = |owner: &str| json!({"ResourceOwner": owner});
    let mut count = |owner: &str| {
        let answer = world.ask("ListCertificateAuthorities", list(owner)).unwrap();
        answer["CertificateAuthorities"].as_array().unwrap().len()
    };
    assert_eq!((count("SELF"), count("OTHER_ACCOUNTS")), (0, 1));
}

/// Control interface, fault wrongCertificate: the same in all but the key and the serial number.
#[test]
fn an_impostor_has_another_key() {
    let mut world = World::ec();
    let arn = world.issue(&json!({})).unwrap();
    let right = world.ask("GetCertificate", json!({"CertificateArn": arn})).unwrap();
    let right = right["Certificate"].as_str().unwrap();
    let wrong = world.store.impostor(&world.authority, right).unwrap().unwrap();
    let (right, wrong) = (der(right), der(&wrong));
    let (right, wrong) = (parse(&right), parse(&wrong));
    assert_ne!(right.public_key(), wrong.public_key());
    assert_eq!(
        (right.subject(), right.validity(), right.issuer()),
        (wrong.subject(), wrong.validity(), wrong.issuer())
    );
}
