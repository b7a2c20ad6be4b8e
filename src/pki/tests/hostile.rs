//! Input that nobody should send.

use super::{SCENE, leaf_params, now, sign};
use crate::pki::{
    acm_rules::CurrentInAcm,
    algorithm::KeyAlgorithm,
    certificate::{parse_pem, parse_pem_bundle},
    chain::Chain,
    csr::Csr,
    key::PrivateKey,
    pem,
    verify::verify_issued,
};
use proptest::prelude::*;
use std::sync::LazyLock;

/// Texts like those that are read: a certificate, a request, a key of each format.
static SAMPLES: LazyLock<Vec<(&str, Vec<u8>)>> = LazyLock::new(|| {
    let rsa = PrivateKey::generate(KeyAlgorithm::Rsa2048).unwrap();
    let leaf = sign(&SCENE.sub, &SCENE.key, &leaf_params());
    let texts = [
        ("CERTIFICATE", leaf),
        ("CERTIFICATE REQUEST", SCENE.csr.pem.clone()),
        ("PRIVATE KEY", SCENE.key.to_pkcs8_pem().to_string()),
        ("EC PRIVATE KEY", SCENE.key.to_pkcs1_pem().to_string()),
        ("PRIVATE KEY", rsa.to_pkcs8_pem().to_string()),
        ("RSA PRIVATE KEY", rsa.to_pkcs1_pem().to_string()),
    ];
    texts.into_iter().map(|(label, text)| (label, pem::blocks(&text, 10_000).unwrap().remove(0).der.to_vec())).collect()
});

/// Whatever comes of it, everything reads it.
fn read_by_all(text: &str) {
    let _ = PrivateKey::from_pem(text);
    if let Ok(csr) = Csr::parse(text) {
        // What still has a fitting signature is still what was signed.
        assert_eq!((&csr.names, &csr.public_key), (&SCENE.csr.names, &SCENE.csr.public_key));
        assert_eq!(Csr::parse(&csr.pem).unwrap(), csr);
    }
    if let Ok(certificates) = parse_pem_bundle(text) {
        for certificate in certificates {
            assert_eq!(parse_pem(&certificate.to_pem()).unwrap(), certificate);
            let _ = CurrentInAcm::of_certificate(&certificate);
            let pool = vec![SCENE.sub.certificate.clone(), certificate.clone()];
            let _ = Chain::order(certificate, pool);
        }
    }
    let chain = verify_issued(text, &SCENE.chain_pem(), &SCENE.csr, &SCENE.sub.certificate, now());
    assert!(chain.is_err() || chain.unwrap().leaf.names == SCENE.csr.names);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_der_is_read_or_refused(
        sample in 0..6usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let (label, mut der) = SAMPLES[sample].clone();
        for (index, byte) in changes {
            let at = index.index(der.len());
            der[at] = byte;
        }
        if let Some(cut) = cut {
            der.truncate(cut.index(der.len()));
        }
        read_by_all(&pem::encode(label, &der));
    }

    #[test]
    fn changed_pem_is_read_or_refused(
        sample in 0..6usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<char>()), 0..6),
    ) {
        let (label, der) = &SAMPLES[sample];
        let mut text: Vec<char> = pem::encode(label, der).chars().collect();
        for (index, character) in changes {
            let at = index.index(text.len());
            text[at] = character;
        }
        read_by_all(&text.into_iter().collect::<String>());
    }

    #[test]
    fn any_der_is_read_or_refused(sample in 0..6usize, der in prop::collection::vec(any::<u8>(), 0..200)) {
        read_by_all(&pem::encode(SAMPLES[sample].0, &der));
    }
}

/// A reader that starts over at every `BEGIN` takes minutes for this.
#[test]
fn blocks_that_never_end() {
    let text = "-----BEGIN CERTIFICATE-----\n".repeat(70_000);
    assert!(parse_pem_bundle(&text).is_err());
    let text = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n".repeat(35_000);
    assert!(parse_pem_bundle(&text).is_err());
}
