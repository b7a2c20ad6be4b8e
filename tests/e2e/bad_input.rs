//! Secrets, requests and texts that nobody should send: a clear refusal or a way on, and nothing paid in vain.

use crate::{
    harness::{World, secret_name},
    odd_sources::{corpus, limbo, odd_chains},
    tls::{Cert, csr, pem},
    wait::{Conditions, until},
};
use arnkeeper::api::{
    Certificate, CertificateRequest,
    conditions::{READY, STALLED},
};
use futures::future::join_all;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::ResourceExt;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, DnType, DnValue, KeyPair};
use serde_json::{Value, json};

/// Headers without an end, as in CVE-2024-12401: a careless reader begins anew at each.
fn endless(bytes: usize) -> String {
    "-----BEGIN -----\n---+/v/--BEGIN -\n".repeat(bytes / 34)
}

/// A certificate with thousands of extensions, and one with a serial number of many digits, both self-signed.
fn odd_certificates() -> (String, String) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec!["a.example".to_owned()]).expect("a name");
    params.custom_extensions =
        (0..20_000).map(|n| CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 55_555, n], vec![5, 0])).collect();
    let many = params.self_signed(&key).expect("a certificate").pem();
    params.custom_extensions.clear();
    params.serial_number = Some(vec![0x7f; 100_000].into());
    (many, params.self_signed(&key).expect("a certificate").pem())
}

/// DER in DER in DER: each sequence holds nothing but the next.
fn nested(levels: usize) -> Vec<u8> {
    let mut reversed: Vec<u8> = Vec::new();
    for _ in 0..levels {
        let length = u32::try_from(reversed.len()).expect("short");
        reversed.extend(length.to_le_bytes());
        reversed.extend([0x84, 0x30]);
    }
    reversed.reverse();
    reversed
}

/// What somebody puts into a Secret, told by a word.
fn spoilt() -> Vec<(String, Value)> {
    let mut all = nonsense();
    // Some of many.
    let chains = limbo().into_iter().step_by(7).take(8).map(|(what, _, data)| (what, data));
    all.extend(chains);
    // A chain in the wrong order, one of a stranger, one that ends nowhere.
    let made = odd_chains(&["app.example".to_owned()])
        .into_iter()
        .filter(|case| ["order", "stranger", "ring"].contains(&case.name));
    all.extend(made.map(|case| (case.name.to_owned(), case.data)));
    all
}

/// The same, where no pair is good.
pub fn nonsense() -> Vec<(String, Value)> {
    let (many, long) = odd_certificates();
    let (begin, end) = ("-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n");
    let mut all: Vec<(String, Value)> = [
        ("headers without an end", json!({ "tls.crt": endless(900_000) })),
        ("a key without an end", json!({ "tls.key": endless(900_000) })),
        (
            "empty blocks",
            json!({ "tls.crt": "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n".repeat(17_000) }),
        ),
        ("a megabyte of nothing in particular", json!({ "tls.crt": "x".repeat(1_000_000) })),
        ("a megabyte of trust", json!({ "ca.crt": endless(1_000_000) })),
        ("extensions by the thousand", json!({ "tls.crt": many })),
        ("a serial number without an end", json!({ "tls.crt": long })),
        ("blocks within blocks", json!({ "tls.crt": format!("{}AAAA\n{}", begin.repeat(17_000), end.repeat(17_000)) })),
        ("sequences within sequences", json!({ "tls.crt": pem("CERTIFICATE", &nested(100_000)) })),
        ("lengths that are none", json!({ "tls.crt": pem("CERTIFICATE", &[0x30_u8, 0x80].repeat(300_000)) })),
        ("nothing", json!({ "tls.crt": "", "tls.key": "" })),
    ]
    .map(|(name, data)| (name.to_owned(), data))
    .into();
    if let Some(cve) = corpus("cve-2024-12401.bin") {
        all.push(("cve-2024-12401".into(), json!({ "tls.crt": { "binary": ByteString(cve) } })));
    }
    all
}

/// As a patch or as the content of a new Secret.
pub fn data(content: &Value) -> Value {
    let encode = |value: &Value| match value {
        Value::String(text) => json!(ByteString(text.clone().into_bytes())),
        other => other["binary"].clone(),
    };
    content.as_object().expect("keys").iter().map(|(key, value)| (key.clone(), encode(value))).collect()
}

/// An own Secret that was edited is put right, whatever stands in it: from its request, as long as the key is there.
#[tokio::test]
async fn a_secret_that_was_edited_into_nonsense_is_put_right() {
    let (world, authority) = World::new("spoilt").await;
    let cases = spoilt();
    let loses_key = |content: &Value| !content["tls.key"].is_null();
    let each = cases.iter().enumerate().map(async |(n, (what, content))| {
        let name = format!("app{n}");
        world.issued(&name, &authority, json!({})).await;
        let (secret, before) = (secret_name(&name), world.tls(&name).await);
        let whole = world.secrets().get(&secret).await.expect("the Secret").data;
        world.change::<Secret>(&world.secrets(), &secret, json!({ "data": data(content) })).await;
        // A Secret is looked at again after half an hour, or when its Certificate is.
        world.change(&world.certificates(), &name, json!({ "spec": { "historyLimit": 5 } })).await;
        if loses_key(content) {
            world.revision(&name, 2).await;
            let after = world.tls(&name).await;
            assert_ne!(after.leaf(), before.leaf(), "{what}");
            assert_eq!(after.leaf().dns_names(), before.leaf().dns_names(), "{what}");
        } else {
            until::<Secret>(&world.secrets(), &secret, "as it was", |now| now.data == whole).await;
            world.revision(&name, 1).await;
        }
    });
    join_all(each).await;
    world.assert_paid(cases.len() + cases.iter().filter(|(_, content)| loses_key(content)).count()).await;
}

/// A Secret of somebody else that was offered is filled, whatever stood in it.
#[tokio::test]
async fn an_offered_secret_with_nonsense_in_it_is_filled() {
    let (world, authority) = World::new("offered").await;
    let cases = spoilt();
    let each = cases.iter().enumerate().map(async |(n, (what, content))| {
        let name = format!("app{n}");
        let mut object = json!({ "metadata": { "name": secret_name(&name), "annotations": { "arnkeeper.dev/adopt-by": name } },
            "type": "kubernetes.io/tls", "data": { "tls.crt": "", "tls.key": "" } });
        crate::harness::merge(&mut object["data"], data(content));
        world.make(&world.secrets(), object).await;
        world.issued(&name, &authority, json!({})).await;
        assert!(!world.tls(&name).await.certificates.is_empty(), "{what}");
    });
    join_all(each).await;
    world.assert_paid(cases.len()).await;
}

/// What a Secret has no room for, or may not be written to, is not paid for.
#[tokio::test]
async fn a_secret_that_takes_nothing_in_is_told_before_anything_is_paid_for() {
    let (world, authority) = World::new("no-room").await;
    let offer = |name: &str, more: Value| {
        let mut object = json!({ "metadata": { "name": secret_name(name), "annotations": { "arnkeeper.dev/adopt-by": name } },
            "type": "Opaque" });
        crate::harness::merge(&mut object, more);
        object
    };
    let full = json!({ "data": { "theirs": ByteString(vec![b'x'; 1 << 20]) } });
    world.make(&world.secrets(), offer("full", full)).await;
    world.make(&world.secrets(), offer("fixed", json!({ "immutable": true }))).await;
    for (name, word) in [("full", "1 MiB"), ("fixed", "immutable")] {
        world.certificate(name, &authority, json!({})).await;
        let told = world.stalled(name, "SecretConflict").await;
        assert!(told.message(STALLED).contains(word), "{}", told.message(STALLED));
        let mut object = offer(&format!("{name}-req"), json!({}));
        crate::harness::merge(
            &mut object,
            world
                .secrets()
                .get(&secret_name(name))
                .await
                .map(|s| json!({ "data": s.data, "immutable": s.immutable }))
                .expect("the Secret"),
        );
        world.make(&world.secrets(), object).await;
        let spec = json!({ "subject": { "domainName": world.domain(name) }, "secretName": secret_name(&format!("{name}-req")) });
        world.request(&format!("{name}-req"), &authority, spec).await;
        let told = world.request_stalled(&format!("{name}-req"), "SecretConflict").await;
        assert!(told.message(STALLED).contains(word), "{}", told.message(STALLED));
    }
    world.assert_nothing_asked().await;
    world.change::<Secret>(&world.secrets(), &secret_name("full"), json!({ "data": { "theirs": null } })).await;
    world.change(&world.certificates(), "full", json!({ "spec": { "historyLimit": 5 } })).await;
    world.ready("full").await;
    world.assert_paid(1).await;
}

/// A CSR with these changes, by a key of this kind.
fn made(algorithm: &'static rcgen::SignatureAlgorithm, change: impl FnOnce(&mut CertificateParams)) -> String {
    let key = KeyPair::generate_for(algorithm).expect("a key");
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    change(&mut params);
    params.serialize_request(&key).and_then(|csr| csr.pem()).expect("a CSR")
}

/// A CSR whose key is replaced by other bytes of its length; its signature fits no more.
fn with_key(csr: &str, from: &[u8], to: &[u8]) -> String {
    let mut der = Cert::first(csr).0;
    let at = der.windows(from.len()).position(|part| part == from).expect("it is there");
    der[at..at + from.len()].copy_from_slice(to);
    pem("CERTIFICATE REQUEST", &der)
}

#[tokio::test]
async fn requests_that_are_refused_and_one_of_many_names() {
    let (world, authority) = World::new("csrs").await;
    let ec = &rcgen::PKCS_ECDSA_P256_SHA256;
    let cn = |name: &str| DnValue::Utf8String(name.to_owned());
    let second = DnType::CustomDnType(vec![2, 5, 4, 3]);
    let named = |names: Vec<String>| {
        made(ec, |p| p.subject_alt_names = CertificateParams::new(names).expect("names").subject_alt_names)
    };
    let good = csr(&["app.example"]).1;
    // OBJECT IDENTIFIER prime256v1, and prime192v1 in the same number of bytes.
    let (p256, p192) = ([0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7], [0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 1]);
    let cases = [
        (
            "two-names",
            made(ec, |p| {
                p.distinguished_name.push(DnType::CommonName, cn("a.example"));
                p.distinguished_name.push(second, cn("b.example"));
            }),
            "more than one common name",
        ),
        (
            "long-name",
            made(ec, |p| p.distinguished_name.push(DnType::CommonName, cn(&"a".repeat(65)))),
            "longer than 64",
        ),
        ("nul", made(ec, |p| p.distinguished_name.push(DnType::CommonName, cn("a\0.example"))), "nul byte"),
        (
            "escape",
            made(ec, |p| p.distinguished_name.push(DnType::CommonName, cn("a\u{1b}[31m.example"))),
            "control character",
        ),
        (
            "homoglyph",
            made(ec, |p| p.subject_alt_names = vec![rcgen::SanType::DnsName("a..example".try_into().expect("ascii"))]),
            "no dns name",
        ),
        ("p192", with_key(&good, &p256, &p192), "not supported"),
        (
            "ed25519",
            made(&rcgen::PKCS_ED25519, |p| p.distinguished_name.push(DnType::CommonName, cn("a.example"))),
            "not supported",
        ),
        ("rsa8192", rsa_8192(), "not supported"),
        ("headers", endless(30_000), "valid pem"),
        (
            "extensions",
            made(ec, |p| {
                p.distinguished_name.push(DnType::CommonName, cn("a.example"));
                p.custom_extensions = (0..1000)
                    .map(|n| CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 55_555, n], vec![5, 0]))
                    .collect();
            }),
            "100 extensions",
        ),
    ];
    for (name, csr, _) in &cases {
        world.request(name, &authority, json!({ "csr": csr })).await;
    }
    for (name, _, told) in &cases {
        let stalled = world.request_stalled(name, "InvalidCsr").await;
        let message = stalled.message(STALLED);
        assert!(message.to_lowercase().contains(told) && !message.contains('\u{1b}'), "{name}: {message}");
    }
    world.assert_nothing_asked().await;
    let many: Vec<String> = (0..250).map(|n| world.domain(&format!("n{n}"))).collect();
    world.request("many", &authority, json!({ "csr": named(many.clone()) })).await;
    let signed = world.signed("many").await;
    let leaf = Cert::first(signed.status.and_then(|s| s.certificate).as_deref().expect("a certificate"));
    assert_eq!(leaf.dns_names(), many.into_iter().collect());
    world.assert_paid(1).await;
}

/// A request for an RSA key of 8192 bits. Nobody has the key: it is refused before its signature is looked at.
fn rsa_8192() -> String {
    let tlv = |tag: u8, parts: &[&[u8]]| -> Vec<u8> {
        let content = parts.concat();
        let length = u16::try_from(content.len()).expect("short").to_be_bytes();
        [&[tag, 0x82][..], &length, &content].concat()
    };
    let modulus = [&[0][..], &[0xf1; 1024]].concat();
    let key = tlv(0x30, &[&tlv(2, &[&modulus]), &[2, 3, 1, 0, 1]]);
    let rsa = [0x30, 0x0d, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
    let signature = [0x30, 0x0d, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11, 5, 0];
    let name = [0x30, 0x0c, 0x31, 0x0a, 0x30, 8, 6, 3, 0x55, 4, 3, 0x0c, 1, b'a'];
    let info = tlv(0x30, &[&[2, 1, 0], &name, &tlv(0x30, &[&rsa, &tlv(3, &[&[0], &key])]), &[0xa0, 0]]);
    pem("CERTIFICATE REQUEST", &tlv(0x30, &[&info, &signature, &tlv(3, &[&[0], &[7; 1024]])]))
}

/// What AWS says is told in one line, without what moves a terminal, and cut: in conditions, in events.
#[tokio::test]
async fn words_of_aws_are_told_in_one_bounded_line() {
    let Some((world, authority, sim)) = World::on_sim("words", "moto says nothing of that kind").await else { return };
    let words = format!("no\n\u{1b}[2J\u{1b}]0;owned\u{7}\r\n{{\"level\":\"ERROR\"}}\u{202e}{}", "é\n".repeat(200_000));
    let refusal = |code: &str| json!({ "kind": "error", "code": code, "status": 400, "message": words });
    sim.fault(&world.id, "IssueCertificate", None, refusal("Malformed\n\u{1b}[31mException")).await;
    let (_, csr) = csr(&[&world.domain("app")]);
    world.request("app", &authority, json!({ "csr": csr })).await;
    let request = world.request_stalled("app", "RefusedByAws").await;
    let bad = |text: &str| text.chars().any(|c| c.is_control() || c == '\u{202e}') || text.len() > 4096;
    for condition in request.conditions() {
        assert!(!bad(&condition.message), "{}", condition.message);
        assert!(condition.message.contains("acm-pca:IssueCertificate"));
    }
    let event = event(&world, "app").await;
    assert!(!bad(&event) && event.len() <= 1024 && event.contains("IssueCertificate"), "{event}");
    // An import that ACM refuses in many words, at every target.
    let targets: Vec<Value> = (0..3).map(|n| json!({ "name": format!("t{n}") })).collect();
    sim.heal(&world.id).await;
    sim.fault(&world.id, "ImportCertificate", None, refusal("ValidationException")).await;
    world.certificate("wide", &authority, json!({ "acm": targets })).await;
    let told = until(&world.certificates(), "wide", "the targets tell of the refusal", |c: &Certificate| {
        let targets = c.status.iter().flat_map(|s| &s.targets);
        targets.filter(|t| t.message.as_deref().is_some_and(|m| m.contains("ValidationException"))).count() == 3
    })
    .await;
    let size = serde_json::to_string(&told).expect("JSON").len();
    assert!(size < 30_000, "an object of {size} bytes");
    assert!(told.status.iter().flat_map(|s| &s.targets).all(|t| !bad(t.message.as_deref().unwrap_or_default())));
    sim.heal(&world.id).await;
}

/// The note of the event that tells why an object is Stalled.
async fn event(world: &World, name: &str) -> String {
    crate::wait::eventually("an event tells it", || async {
        let about = kube::api::ListParams::default().fields(&format!("involvedObject.name={name},type=Warning"));
        let events = world.api::<k8s_openapi::api::core::v1::Event>().list(&about).await.map_err(|e| e.to_string())?;
        events.items.into_iter().find_map(|event| event.message).ok_or("none yet".to_owned())
    })
    .await
}

/// Kubernetes takes 256 KiB of annotations, and names of every script in them.
#[tokio::test]
async fn annotations_of_a_quarter_of_a_megabyte_change_nothing() {
    let (world, authority) = World::new("annotated").await;
    let text = "\u{202e}\n\u{1b}[31m".repeat(20_000);
    let mut manifest = world.certificate_manifest("app", &authority, json!({}));
    manifest["metadata"]["annotations"] =
        json!({ "example.com/a": text, "arnkeeper.dev/renew-requested-at": "\u{1b}[31mnow" });
    world.make(&world.certificates(), manifest).await;
    let certificate = world.ready("app").await;
    let status = serde_json::to_string(&certificate.status).expect("JSON");
    assert!(status.len() < 10_000 && !status.contains("\\u001b"), "{status}");
    let secret = world.secrets().get(&secret_name("app")).await.expect("the Secret");
    assert!(secret.annotations().values().all(|value| value.len() < 100));
    let request: CertificateRequest = world.requests().get("app-1").await.expect("the request");
    assert!(request.annotations().values().all(|value| value.len() < 100) && request.is(READY));
    world.assert_paid(1).await;
}
