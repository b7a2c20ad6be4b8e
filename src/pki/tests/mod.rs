//! Chains made for the purpose, and whatever can be wrong with them.

mod corpora;
mod der;
mod hostile;
mod odd;
mod requests;

use super::{
    acm_rules::CurrentInAcm,
    algorithm::KeyAlgorithm,
    certificate::{Certificate, parse_pem, parse_pem_bundle},
    chain::Chain,
    csr::{Csr, SubjectRequest, create_csr},
    key::PrivateKey,
    names::Names,
    pem,
    verify::{complete, verify_issued, verify_key_pair},
};
use crate::api::shared::Usage;
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose, SanType, SerialNumber, date_time_ymd, string::Ia5String,
};
use std::sync::LazyLock;

const EC: KeyAlgorithm = KeyAlgorithm::EcPrime256v1;

fn now() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

/// A CA made for a test.
struct Ca {
    key: PrivateKey,
    params: CertificateParams,
    certificate: Certificate,
}

fn ca(name: &str, algorithm: KeyAlgorithm, issuer: Option<&Ca>) -> Ca {
    ca_until(name, algorithm, issuer, 2035)
}

fn ca_until(name: &str, algorithm: KeyAlgorithm, issuer: Option<&Ca>, year: i32) -> Ca {
    let key = PrivateKey::generate(algorithm).unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date_time_ymd(2025, 1, 1);
    params.not_after = date_time_ymd(year, 1, 1);
    let der = match issuer {
        Some(issuer) => params.signed_by(key.pair(), &Issuer::from_params(&issuer.params, issuer.key.pair())),
        None => params.self_signed(key.pair()),
    };
    let certificate = Certificate::from_der(der.unwrap().der()).unwrap();
    Ca { key, params, certificate }
}

fn leaf_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "a.example.com");
    params.subject_alt_names =
        vec![dns("a.example.com"), dns("b.example.com"), SanType::IpAddress("10.0.0.1".parse().unwrap())];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = date_time_ymd(2026, 6, 1);
    params.not_after = date_time_ymd(2026, 9, 1);
    params.serial_number = Some(SerialNumber::from_slice(&[0x00, 0x67, 0x07, 0x44]));
    params
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(Ia5String::try_from(name).unwrap())
}

fn sign(issuer: &Ca, key: &PrivateKey, params: &CertificateParams) -> String {
    let signed = params.signed_by(key.pair(), &Issuer::from_params(&issuer.params, issuer.key.pair())).unwrap();
    pem::encode("CERTIFICATE", signed.der())
}

fn subject() -> SubjectRequest {
    SubjectRequest {
        common_name: Some("a.example.com".into()),
        organization: Some("Example Größe".into()),
        organizational_unit: Some("Unit".into()),
        country: Some("DE".into()),
        locality: Some("Berlin".into()),
        state: Some("Berlin".into()),
        names: Names::new(&["a.example.com".into(), "B.example.com".into()], &["10.0.0.1".into()], &[], &[]).unwrap(),
    }
}

/// A CA below a root, and a key with its request.
struct Scene {
    root: Ca,
    sub: Ca,
    key: PrivateKey,
    csr: Csr,
}

impl Scene {
    fn new(authority: KeyAlgorithm, leaf: KeyAlgorithm) -> Self {
        let root = ca("Root", authority, None);
        let sub = ca("Sub", authority, Some(&root));
        let key = PrivateKey::generate(leaf).unwrap();
        let csr = Csr::parse(&create_csr(&key, &subject(), None).unwrap()).unwrap();
        Self { root, sub, key, csr }
    }

    fn chain_pem(&self) -> String {
        format!("{}{}", self.sub.certificate.to_pem(), self.root.certificate.to_pem())
    }

    fn verify(&self, params: &CertificateParams) -> Result<Chain, String> {
        self.verify_pem(&sign(&self.sub, &self.key, params), &self.chain_pem())
    }

    fn verify_pem(&self, certificate: &str, chain: &str) -> Result<Chain, String> {
        verify_issued(certificate, chain, &self.csr, &self.sub.certificate, now()).map_err(|e| e.to_string())
    }

    fn refusal(&self, change: impl FnOnce(&mut CertificateParams)) -> String {
        let mut params = leaf_params();
        change(&mut params);
        self.verify(&params).map(|_| ()).unwrap_err()
    }
}

static SCENE: LazyLock<Scene> = LazyLock::new(|| Scene::new(EC, EC));

#[test]
fn certificates_of_every_algorithm() {
    for algorithm in KeyAlgorithm::ALL.into_iter().filter(|a| *a != KeyAlgorithm::Rsa1024) {
        let scene = Scene::new(algorithm, algorithm);
        let chain = scene.verify(&leaf_params()).unwrap();
        let leaf = &chain.leaf;
        assert_eq!(leaf.algorithm, Some(algorithm));
        assert_eq!(leaf.serial.to_string(), "67:07:44");
        assert_eq!(leaf.not_before, "2026-06-01T00:00:00Z".parse::<Timestamp>().unwrap());
        assert_eq!(leaf.not_after, "2026-09-01T00:00:00Z".parse::<Timestamp>().unwrap());
        assert_eq!(leaf.names, subject().names);
        assert_eq!(leaf.common_name.as_deref(), Some("a.example.com"));
        assert_eq!(
            leaf.usages,
            [Usage::DigitalSignature, Usage::KeyEncipherment, Usage::ServerAuth, Usage::ClientAuth]
        );
        assert!(!leaf.is_ca && chain.root.as_ref().unwrap().is_ca);
        assert_eq!(leaf.fingerprint().len(), 64);
        assert_eq!(parse_pem(&leaf.to_pem()).unwrap(), *leaf);
        assert!(verify_key_pair(&scene.key, leaf).is_ok());
        assert!(verify_key_pair(&scene.sub.key, leaf).is_err());
        assert_eq!(CurrentInAcm::of_certificate(leaf).key_usages, ["DIGITAL_SIGNATURE", "KEY_ENCIPHERMENT"]);
        let above = CurrentInAcm::of_certificate(&scene.sub.certificate);
        assert_eq!(above.key_usages, ["CERTIFICATE_SIGNING", "CRL_SIGNING"]);
    }
    Scene::new(KeyAlgorithm::Rsa2048, KeyAlgorithm::EcSecp521r1).verify(&leaf_params()).unwrap();
    Scene::new(KeyAlgorithm::EcSecp521r1, KeyAlgorithm::Rsa2048).verify(&leaf_params()).unwrap();
}

#[test]
fn what_goes_where() {
    let scene = &*SCENE;
    let chain = scene.verify(&leaf_params()).unwrap();
    let (sub, root) = (scene.sub.certificate.to_pem(), scene.root.certificate.to_pem());
    assert_eq!(chain.tls_crt(), format!("{}{sub}", chain.leaf.to_pem()));
    assert_eq!(chain.ca_crt(), root);
    assert_eq!(chain.acm_chain(), Some(format!("{sub}{root}")));
    // Read back from a Secret: the same.
    let mut pool = parse_pem_bundle(&chain.tls_crt()).unwrap();
    let leaf = pool.remove(0);
    pool.extend(parse_pem_bundle(&chain.ca_crt()).unwrap());
    assert_eq!(Chain::order(leaf.clone(), pool).unwrap(), chain);
    // In any order, twice, with strangers and the leaf in between.
    let stranger = ca("Sub", EC, None).certificate;
    let root = scene.root.certificate.clone();
    let pool = vec![stranger.clone(), root.clone(), root, leaf.clone(), scene.sub.certificate.clone()];
    assert_eq!(Chain::order(leaf.clone(), pool).unwrap(), chain);
    // Without a root, the highest one is what to trust; nothing stands twice in what ACM gets.
    let cut = Chain::order(leaf.clone(), vec![scene.sub.certificate.clone()]).unwrap();
    assert_eq!((cut.ca_crt(), cut.acm_chain(), cut.root.clone()), (sub.clone(), Some(sub), None));
    let alone = Chain::order(leaf.clone(), vec![]).unwrap();
    assert_eq!((alone.ca_crt(), alone.acm_chain()), (String::new(), None));
    assert!(Chain::order(leaf.clone(), vec![stranger.clone()]).is_err());
    assert!(Chain::order(leaf, vec![stranger; 201]).is_err());
}

#[test]
fn chains_that_are_none() {
    let scene = &*SCENE;
    let leaf = sign(&scene.sub, &scene.key, &leaf_params());
    let (sub, root) = (scene.sub.certificate.to_pem(), scene.root.certificate.to_pem());
    let error = |chain: &str| scene.verify_pem(&leaf, chain).map(|_| ()).unwrap_err();
    assert!(error("").contains("chain is empty"));
    assert!(error(&format!("{root}{sub}")).contains("does not begin with the private CA"));
    assert!(error(&format!("{leaf}{sub}{root}")).contains("does not begin with the private CA"));
    assert!(error(&format!("{sub}{root}{root}")).contains("behind its end"));
    assert!(error(&format!("{sub}{sub}")).contains("did not sign"));
    let impostor = ca("Root", EC, None).certificate.to_pem();
    assert!(error(&format!("{sub}{impostor}")).contains("did not sign the one before it: the signature"));
    assert!(error(&format!("{sub}{leaf}")).contains("is no CA's"));
    let twice = format!("{leaf}{leaf}");
    assert!(scene.verify_pem(&twice, &scene.chain_pem()).unwrap_err().contains("2 certificates where one belongs"));
    // A certificate of the right names and key, signed by a CA that only has the right name.
    let impostor = ca("Sub", EC, Some(&scene.root));
    let forged = sign(&impostor, &scene.key, &leaf_params());
    assert!(scene.verify_pem(&forged, &scene.chain_pem()).unwrap_err().contains("did not sign"));
    let chain = format!("{}{root}", impostor.certificate.to_pem());
    assert!(scene.verify_pem(&forged, &chain).unwrap_err().contains("does not begin"));
    // The CA renewed its certificate with the same key: still it.
    let again = Issuer::from_params(&scene.root.params, scene.root.key.pair());
    let mut params = scene.sub.params.clone();
    params.not_after = date_time_ymd(2034, 1, 1);
    let renewed = pem::encode("CERTIFICATE", params.signed_by(scene.sub.key.pair(), &again).unwrap().der());
    assert!(scene.verify_pem(&leaf, &format!("{renewed}{root}")).is_ok());
    // Cut off: what the CA's own chain has is put back. Whose chain has no root ends where it ends.
    let cut = scene.verify_pem(&leaf, &sub).unwrap();
    let whole = scene.verify_pem(&leaf, &scene.chain_pem()).unwrap();
    assert_eq!(complete(cut.clone(), std::slice::from_ref(&scene.root.certificate)).unwrap(), whole);
    assert_eq!(complete(whole.clone(), std::slice::from_ref(&scene.root.certificate)).unwrap(), whole);
    assert_eq!(complete(cut.clone(), &[]).unwrap(), cut);
    assert!(complete(cut, &[ca("Root", EC, None).certificate]).unwrap_err().to_string().contains("cut off"));
    // Deeper than any.
    let mut levels = vec![ca("0", EC, None)];
    for level in 1..=11 {
        levels.push(ca(&level.to_string(), EC, levels.last()));
    }
    let mut certificates: Vec<Certificate> = levels.into_iter().rev().map(|ca| ca.certificate).collect();
    let leaf = certificates.remove(0);
    assert!(Chain::in_order(leaf.clone(), certificates.clone()).is_err());
    assert!(Chain::order(leaf, certificates).is_err());
}

#[test]
fn certificates_that_were_not_asked_for() {
    let scene = &*SCENE;
    let stranger = PrivateKey::generate(EC).unwrap();
    let other_key = sign(&scene.sub, &stranger, &leaf_params());
    assert!(scene.verify_pem(&other_key, &scene.chain_pem()).unwrap_err().contains("another key"));
    assert!(scene.refusal(|p| p.subject_alt_names.push(dns("c.example.com"))).contains("not asked for: c.example.com"));
    assert!(scene.refusal(|p| p.subject_alt_names.push(dns("a.example.com\0.evil.example"))).contains("not asked for"));
    assert!(scene.refusal(|p| drop(p.subject_alt_names.pop())).contains("lacks names that were asked for: 10.0.0.1"));
    assert!(scene.refusal(|p| p.subject_alt_names.clear()).contains("lacks names"));
    assert!(
        scene
            .refusal(|p| p.distinguished_name.push(DnType::CommonName, "c.example.com"))
            .contains("common name that was not asked for")
    );
    assert!(scene.refusal(|p| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0))).contains("is a CA's"));
    assert!(scene.refusal(|p| p.not_after = date_time_ymd(2026, 6, 1)).contains("ended at"));
    assert!(scene.refusal(|p| p.not_before = date_time_ymd(2026, 6, 2)).contains("valid only from"));
    assert!(scene.refusal(|p| p.not_after = date_time_ymd(2036, 1, 1)).contains("after the private CA does"));
    let other_name =
        SanType::OtherName((vec![1, 3, 6, 1, 4, 1, 311, 20, 2, 3], rcgen::OtherNameValue::Utf8String("a@b".into())));
    assert!(scene.refusal(|p| p.subject_alt_names.push(other_name)).contains("not supported"));
    let mut ended = Scene::new(EC, EC);
    ended.root = ca_until("Root", EC, None, 2026);
    ended.sub = ca("Sub", EC, Some(&ended.root));
    assert!(ended.verify(&leaf_params()).unwrap_err().contains("certificate 2 of the chain ended at"));
}

#[test]
fn a_common_name_is_a_name() {
    let mut scene = Scene::new(EC, EC);
    let only_cn = SubjectRequest { common_name: Some("A.example.com".into()), ..SubjectRequest::default() };
    scene.csr = Csr::parse(&create_csr(&scene.key, &only_cn, None).unwrap()).unwrap();
    let mut params = leaf_params();
    params.subject_alt_names.clear();
    params.distinguished_name.push(DnType::CommonName, "A.example.com");
    assert!(scene.verify(&params).is_ok());
    params.subject_alt_names = vec![dns("a.example.com")];
    assert!(scene.verify(&params).is_ok());
    params.subject_alt_names = vec![dns("b.example.com")];
    assert!(scene.verify(&params).is_err());
    params.subject_alt_names.clear();
    params.distinguished_name = DistinguishedName::new();
    assert!(scene.verify(&params).unwrap_err().contains("no name"));
}
