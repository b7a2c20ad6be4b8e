//! Requests, good and bad.

use super::{SCENE, dns, subject};
use crate::{
    api::shared::Usage,
    pki::{
        algorithm::KeyAlgorithm,
        csr::{Csr, SubjectRequest, create_csr},
        key::PrivateKey,
        names::Names,
        pem,
    },
};
use rcgen::{
    Attribute, BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, DnValue, IsCa,
    KeyUsagePurpose, SanType,
};

#[test]
fn requests_are_read_back() {
    for algorithm in KeyAlgorithm::ALL.into_iter().filter(|a| *a != KeyAlgorithm::Rsa1024) {
        let key = PrivateKey::generate(algorithm).unwrap();
        let usages = [Usage::ServerAuth, Usage::DigitalSignature, Usage::OcspSigning, Usage::ContentCommitment];
        let text = create_csr(&key, &subject(), Some(&usages)).unwrap();
        let csr = Csr::parse(&format!("some text\n{text}")).unwrap();
        assert_eq!(csr.pem, text);
        assert_eq!((csr.algorithm, &*csr.public_key), (algorithm, key.public_key_der()));
        assert_eq!(csr.names, subject().names);
        assert_eq!(csr.common_name.as_deref(), Some("a.example.com"));
        assert_eq!(
            csr.usages,
            [Usage::DigitalSignature, Usage::ContentCommitment, Usage::ServerAuth, Usage::OcspSigning]
        );
        assert!(!csr.asks_for_ca && csr.other_usages.is_empty());
        assert_eq!(csr.digest().as_ref().len(), 32);
    }
}

#[test]
fn a_request_that_was_read_says_nothing_of_one_that_is_changed() {
    let text = create_csr(&SCENE.key, &subject(), None).unwrap();
    let der = pem::blocks(&text, 32_768).unwrap().remove(0).der.to_vec();
    let of = |name: &[u8]| der.windows(name.len()).position(|at| at == name).unwrap();
    let key = of(SCENE.key.public_key_der()) + SCENE.key.public_key_der().len() - 1;
    // ecdsa-with-SHA256 (RFC 5758), which becomes that with SHA384: no signature covers it.
    let algorithm = of(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]) + 7;
    // A letter of its name, a byte of its key, the algorithm, the last byte of its signature.
    for place in [of(b"a.example.com"), key, algorithm, der.len() - 1] {
        let mut changed = der.clone();
        changed[place] ^= 1;
        let changed = pem::encode("CERTIFICATE REQUEST", &changed);
        for _ in 0..2 {
            assert!(Csr::parse(&text).is_ok());
            let told = Csr::parse(&changed).unwrap_err().to_string();
            assert!(told.contains("the signature does not fit"), "with another byte {place}: {told}");
        }
    }
}

#[test]
fn subjects() {
    let key = &SCENE.key;
    let make = |subject: &SubjectRequest| create_csr(key, subject, None).and_then(|text| Csr::parse(&text));
    let long = format!("{}.example.com", "a".repeat(60));
    let names = Names::new(
        &[long.clone(), "*.example.com".into()],
        &["::1".into()],
        &["spiffe://a/b".into()],
        &["a@b.c".into()],
    )
    .unwrap();
    let subject = SubjectRequest { common_name: Some(long), names: names.clone(), ..SubjectRequest::default() };
    let csr = make(&subject).unwrap();
    assert_eq!((csr.common_name, csr.names), (None, names));
    assert!(make(&SubjectRequest::default()).is_err());
    let of = |change: fn(&mut SubjectRequest)| {
        let mut subject = super::subject();
        change(&mut subject);
        make(&subject)
    };
    assert!(of(|s| s.country = Some("Ü".into())).is_err());
    assert!(of(|s| s.common_name = Some("a\0b".into())).is_err());
    assert!(of(|s| s.organization = Some("a\0b".into())).is_err());
}

#[test]
fn requests_that_are_refused() {
    let key = &SCENE.key;
    let error = |params: &CertificateParams| {
        let der = params.serialize_request(key.pair()).unwrap();
        Csr::parse(&pem::encode("CERTIFICATE REQUEST", der.der())).map(|_| ()).unwrap_err().to_string()
    };
    let with = |change: &dyn Fn(&mut CertificateParams)| {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        change(&mut params);
        error(&params)
    };
    let cn = |name: &str| DnValue::Utf8String(name.to_owned());
    let second = || DnType::CustomDnType(vec![2, 5, 4, 3]);
    assert!(with(&|_| {}).contains("no name"));
    assert!(with(&|p| p.distinguished_name.push(DnType::CommonName, cn("a\0.example.com"))).contains("NUL"));
    assert!(with(&|p| p.distinguished_name.push(DnType::CommonName, cn("a\nb"))).contains("control"));
    assert!(with(&|p| p.distinguished_name.push(DnType::CommonName, cn(""))).contains("empty"));
    assert!(with(&|p| p.distinguished_name.push(DnType::CommonName, cn(&"ü".repeat(65)))).contains("64"));
    assert!(
        with(&|p| {
            p.distinguished_name.push(DnType::CommonName, cn("a.example.com"));
            p.distinguished_name.push(second(), cn("b.example.com"));
        })
        .contains("more than one common name")
    );
    assert!(with(&|p| p.subject_alt_names = vec![dns("a.example.com\0")]).contains("no DNS name"));
    assert!(with(&|p| p.subject_alt_names = vec![dns("a.*.com")]).contains("no DNS name"));
    let other_name = SanType::OtherName((vec![1, 2, 3], rcgen::OtherNameValue::Utf8String("a".into())));
    assert!(with(&|p| p.subject_alt_names = vec![other_name.clone()]).contains("no DNS name, IP address"));
    // One extension twice: constraints that say no, and constraints that say yes.
    let constraints = |ca: &[u8]| CustomExtension::from_oid_content(&[2, 5, 29, 19], ca.to_vec());
    let twice = vec![constraints(&[0x30, 0]), constraints(&[0x30, 3, 1, 1, 0xff])];
    assert!(with(&|p| p.custom_extensions.clone_from(&twice)).contains("twice"));
    // The whole attribute twice.
    let mut params = CertificateParams::new(vec!["a.example.com".into()]).unwrap();
    let values = [0x31, 0x0e, 0x30, 0x0c, 0x30, 0x0a, 0x06, 3, 0x55, 0x1d, 0x13, 0x04, 3, 0x30, 1, 0].to_vec();
    let attribute = Attribute { oid: &[1, 2, 840, 113_549, 1, 9, 14], values };
    let der = params.serialize_request_with_attributes(key.pair(), vec![attribute]).unwrap();
    assert!(Csr::parse(&pem::encode("CERTIFICATE REQUEST", der.der())).is_err());
    // It asks to be a CA: read, and told.
    params.distinguished_name = DistinguishedName::new();
    for is_ca in [IsCa::Ca(BasicConstraints::Unconstrained), IsCa::NoCa] {
        params.is_ca = is_ca;
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let der = params.serialize_request(key.pair()).unwrap();
        assert!(Csr::parse(&pem::encode("CERTIFICATE REQUEST", der.der())).unwrap().asks_for_ca);
    }
}

#[test]
fn texts_that_are_no_request() {
    let text = create_csr(&SCENE.key, &subject(), None).unwrap();
    let error = |text: &str| Csr::parse(text).map(|_| ()).unwrap_err().to_string();
    assert!(error("").contains("not exactly one PEM block"));
    assert!(error(&format!("{text}{text}")).contains("not exactly one PEM block"));
    assert!(error(&text.replace("CERTIFICATE REQUEST", "CERTIFICATE")).contains("not exactly one PEM block"));
    assert!(error(&format!("{text}{}", " ".repeat(32_769 - text.len()))).contains("more than the 32768"));
    assert!(Csr::parse(&format!("{text}{}", " ".repeat(32_768 - text.len()))).is_ok());
    assert!(error(&format!("{text}\0")).contains("NUL"));
    let mut der = pem::blocks(&text, 32_768).unwrap().remove(0).der.to_vec();
    der.push(0);
    assert!(error(&pem::encode("CERTIFICATE REQUEST", &der)).contains("behind the end"));
    der.pop();
    let last = der.len() - 1;
    der[last] ^= 1;
    assert!(error(&pem::encode("CERTIFICATE REQUEST", &der)).contains("signature"));
    let ed25519 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let csr = CertificateParams::new(vec!["a.example.com".into()]).unwrap().serialize_request(&ed25519).unwrap();
    assert!(error(&csr.pem().unwrap()).contains("not supported"));
}
