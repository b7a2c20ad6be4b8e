//! Corpora that others made, where they lie beside the checkout (`shared/corpora` in a folder above it) or where
//! `ARNKEEPER_CORPORA` says. They are not part of this repository; what is made here of the same kinds is in `odd.rs`.

use super::{SCENE, now};
use crate::pki::{
    certificate::{Certificate, parse_pem, parse_pem_bundle},
    chain::Chain,
    csr::Csr,
    key::PrivateKey,
    verify::verify_issued,
};
use serde_json::Value;
use std::{env, fs, io::Write as _, path::PathBuf, sync::Once};

/// A file of the corpora; none: they are not here, which is said.
fn corpus(file: &str) -> Option<Vec<u8>> {
    static TOLD: Once = Once::new();
    let named = env::var_os("ARNKEEPER_CORPORA").map(PathBuf::from);
    let beside = || {
        let above = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        above.ancestors().map(|folder| folder.join("shared/corpora")).find(|folder| folder.is_dir())
    };
    let Some(folder) = named.or_else(beside) else {
        // Past what the test runner keeps to itself.
        let told = "the corpora are not here (ARNKEEPER_CORPORA names their folder): the tests of odd.rs stand alone";
        TOLD.call_once(|| writeln!(std::io::stderr(), "{told}").unwrap());
        return None;
    };
    Some(fs::read(folder.join(file)).unwrap())
}

#[test]
fn cve_2024_12401() {
    let Some(bytes) = corpus("cve-2024-12401.bin") else { return };
    let text = String::from_utf8_lossy(&bytes);
    // Some of what is read before the first NUL, too, which ends it all.
    for text in [&*text, &text.replace('\0', " ")] {
        assert!(parse_pem_bundle(text).is_err());
        assert!(PrivateKey::from_pem(text).is_err());
        assert!(Csr::parse(text).is_err());
        assert!(verify_issued(text, text, &SCENE.csr, &SCENE.sub.certificate, now()).is_err());
    }
}

/// Chains, good and bad, by the hundred: each is put in order or refused in words.
#[test]
fn x509_limbo() {
    let Some(bytes) = corpus("x509-limbo.json") else { return };
    let limbo: Value = serde_json::from_slice(&bytes).unwrap();
    let cases = limbo["testcases"].as_array().unwrap();
    assert!(cases.len() > 100);
    let (mut ordered, mut refused) = (0, 0);
    for case in cases {
        let texts = |field: &str| -> String {
            case[field].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
        };
        let all = format!("{}{}", texts("untrusted_intermediates"), texts("trusted_certs"));
        let leaf = case["peer_certificate"].as_str().unwrap_or_default();
        if let Some(key) = case["peer_certificate_key"].as_str() {
            let _ = PrivateKey::from_pem(key);
        }
        // None of them is what our CA was asked for.
        assert!(verify_issued(leaf, &all, &SCENE.csr, &SCENE.sub.certificate, now()).is_err());
        let read = |text: &str| parse_pem_bundle(text).map_err(|e| e.to_string());
        let chain = read(&all).and_then(|pool| {
            let leaf: Certificate = parse_pem(leaf).map_err(|e| e.to_string())?;
            Chain::order(leaf, pool).map_err(|e| e.to_string())
        });
        match chain {
            Ok(chain) => {
                ordered += 1;
                assert!(chain.tls_crt().len() + chain.ca_crt().len() <= leaf.len() + all.len() + 1000);
            }
            Err(why) => {
                refused += 1;
                assert!(why.len() > 10 && why.len() < 1000, "{why}");
            }
        }
    }
    println!("{ordered} chains put in order, {refused} refused");
    assert_eq!(ordered + refused, cases.len());
}
