//! Secrets of somebody else whose chains are odd, broken or as large as can be: each is taken or refused in words, and the operator
//! goes on with the next.

use crate::{
    harness::{REGIONS, World, arn, secret_name},
    keeper::{Keeper, keep, keep_data},
    sources::{bare, edge, look, sourced},
    tls::Cert,
    wait::{Conditions, eventually, until},
};
use arnkeeper::api::{
    Certificate,
    conditions::{DELIVERED, READY, STALLED},
};
use futures::future::join_all;
use k8s_openapi::api::core::v1::Secret;
use kube::{ResourceExt, api::ListParams, api::PostParams};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, NameConstraints, date_time_ymd,
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, io::Write as _, path::PathBuf, sync::Once};

/// What a Secret may hold at most, in bytes (Kubernetes API reference, Secret: 1 MiB for all keys together).
const LARGEST: usize = 1 << 20;
/// The word for what is imported into ACM.
const TAKEN: &str = "taken";

/// The corpora that others made, where they lie beside the checkout or where ARNKEEPER_CORPORA says.
pub fn corpus(file: &str) -> Option<Vec<u8>> {
    static TOLD: Once = Once::new();
    let named = std::env::var_os("ARNKEEPER_CORPORA").map(PathBuf::from);
    let above = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let beside = || above.map(|folder| folder.join("shared/corpora")).find(|folder| folder.is_dir());
    let Some(folder) = named.or_else(beside) else {
        // Past what the test runner keeps to itself.
        TOLD.call_once(|| {
            let told =
                "the corpora are not here (ARNKEEPER_CORPORA names their folder): what is made alike stands alone";
            let _ = writeln!(std::io::stderr(), "{told}");
        });
        return None;
    };
    Some(std::fs::read(folder.join(file)).expect("a file of the corpora"))
}

/// The chains of x509-limbo with their names and leaves, as a Secret holds them; where a key is not known, with another one.
pub fn limbo() -> Vec<(String, String, Value)> {
    let Some(bytes) = corpus("x509-limbo.json") else { return vec![] };
    let all: Value = serde_json::from_slice(&bytes).expect("JSON");
    let stranger = KeyPair::generate().expect("a key").serialize_pem();
    let texts = |case: &Value, field: &str| -> String {
        case[field].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    };
    let secret = |case: &Value| {
        let leaf = case["peer_certificate"].as_str().unwrap_or_default().to_owned();
        let chain = format!("{leaf}{}", texts(case, "untrusted_intermediates"));
        let key = case["peer_certificate_key"].as_str().unwrap_or(&stranger);
        let data = json!({ "tls.crt": chain, "ca.crt": texts(case, "trusted_certs"), "tls.key": key });
        (case["id"].as_str().unwrap_or_default().to_owned(), leaf, data)
    };
    all["testcases"].as_array().expect("cases").iter().map(secret).collect()
}

/// A CA of the chains that are made here.
struct Ca {
    params: CertificateParams,
    key: KeyPair,
}

impl Ca {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        Self { params, key: KeyPair::generate().expect("a key") }
    }

    fn with(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut made = Self::new(name);
        change(&mut made.params);
        made
    }

    /// Its certificate, signed by itself.
    fn root(&self) -> String {
        self.params.self_signed(&self.key).expect("a root").pem()
    }

    /// Its certificate, signed by another.
    fn by(&self, issuer: &Self) -> String {
        self.params.signed_by(&self.key, &issuer.issuer()).expect("an intermediate").pem()
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }
}

/// A chain that is made here, and what becomes of it: the reason why it is not taken, words of why, or `TAKEN`.
pub struct Case {
    pub name: &'static str,
    pub data: Value,
    outcome: &'static str,
    words: &'static str,
}

/// Chains as those of x509-limbo, for these names, so that something is proved where the corpora are not.
pub fn odd_chains(names: &[String]) -> Vec<Case> {
    let (root, sub) = (Ca::new("made root"), Ca::new("made issuer"));
    let key = KeyPair::generate().expect("a key");
    let leaf_by = |issuer: &Ca, change: &dyn Fn(&mut CertificateParams)| {
        let mut params = CertificateParams::new(names).expect("names");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.distinguished_name.push(DnType::CommonName, names[0].clone());
        change(&mut params);
        params.signed_by(&key, &issuer.issuer()).expect("a certificate").pem()
    };
    let (plain, above) = (leaf_by(&sub, &|_| ()), [sub.by(&root), root.root()]);
    let valid = |from: i32, to: i32| {
        move |params: &mut CertificateParams| {
            (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
        }
    };
    let case = |name, chain: String, trusted: &str, outcome, words| {
        let data = json!({ "tls.crt": chain, "ca.crt": trusted, "tls.key": key.serialize_pem() });
        Case { name, data, outcome, words }
    };
    let old = Ca::with("made issuer", valid(2020, 2021));
    let narrow = Ca::with("made issuer", |params| {
        let other = GeneralSubtree::DnsName("other.example".into());
        params.name_constraints = Some(NameConstraints { permitted_subtrees: vec![other], excluded_subtrees: vec![] });
    });
    let (one, other) = (Ca::new("made one"), Ca::new("made other"));
    let ring = format!("{}{}{}", leaf_by(&one, &|_| ()), one.by(&other), other.by(&one));
    let levels: Vec<Ca> = (0..12).map(|n| Ca::new(&format!("made level {n}"))).collect();
    let deep: String = levels.windows(2).map(|pair| pair[1].by(&pair[0])).collect();
    let namesakes: String = (0..60).map(|_| Ca::new("made issuer").by(&root)).collect();
    let itself =
        CertificateParams::new(names).and_then(|params| params.self_signed(&key)).expect("a certificate").pem();
    let [issuer, top] = &above;
    vec![
        case("order", format!("{top}{issuer}{plain}"), top, TAKEN, ""),
        case("expired", leaf_by(&sub, &valid(2020, 2021)) + issuer, top, "SourceExpired", "ended at 2021-01-01"),
        case("too-early", leaf_by(&sub, &valid(2090, 2091)) + issuer, top, "SourceNotYetValid", "only from 2090-01-01"),
        case("expired-above", leaf_by(&old, &|_| ()) + &old.by(&root), top, TAKEN, ""),
        case("stranger", format!("{plain}{}", Ca::new("made issuer").by(&root)), top, "SourceInvalid", "signed it"),
        case("no-issuer", plain.clone(), top, "SourceInvalid", "signed it"),
        case("constraints", leaf_by(&narrow, &|_| ()) + &narrow.by(&root), top, TAKEN, ""),
        // ACM wants a root at the end.
        case("ring", ring.clone(), "", "RefusedByAws", "ImportCertificate"),
        case("ring-with-a-root", ring, &one.root(), TAKEN, ""),
        case(
            "deep",
            leaf_by(&levels[11], &|_| ()) + &deep,
            &levels[0].root(),
            "SourceInvalid",
            "more than 10 certificates",
        ),
        case("namesakes", format!("{plain}{namesakes}"), top, "SourceInvalid", "too many of the certificates"),
        case("itself", itself, "", TAKEN, ""),
        Case {
            data: json!({ "tls.crt": format!("{plain}{issuer}"), "ca.crt": top, "tls.key": KeyPair::generate().expect("a key").serialize_pem() }),
            ..case("other-key", String::new(), "", "SourceInvalid", "is the key of no certificate")
        },
    ]
}

/// What became of a source: `TAKEN`, or the reason why not; none: not known yet.
fn outcome(certificate: &Certificate) -> Option<&str> {
    if certificate.is(READY) && certificate.is(DELIVERED) {
        return Some(TAKEN);
    }
    let stalled = certificate.condition(STALLED).filter(|_| certificate.is(STALLED));
    let passes = ["SourceNotYetValid", "SourceTemporary"];
    let waits = certificate.condition(READY).filter(|c| certificate.is_current() && passes.contains(&&*c.reason));
    stalled.or(waits).map(|condition| &*condition.reason)
}

/// What a Certificate says of it.
fn said(certificate: &Certificate) -> &str {
    let kind = if certificate.condition(STALLED).is_some() { STALLED } else { READY };
    certificate.message(kind)
}

/// A world whose account may import as fast as it can.
async fn fast(test: &str) -> World {
    let world = World::bare(test).await;
    let quotas = json!({ "ImportCertificate": 500, "DescribeCertificate": 500, "ListTagsForCertificate": 500 });
    world.open_account(json!({ "quotas": quotas })).await;
    world.account_looked_at().await;
    world
}

/// Waits until it is known of all Certificates what becomes of them.
async fn known(world: &World, count: usize) -> BTreeMap<String, Certificate> {
    eventually("it is known of every source what becomes of it", || async {
        let all = world.certificates().list(&ListParams::default()).await.map_err(|e| e.to_string())?.items;
        let open: Vec<String> = all.iter().filter(|c| outcome(c).is_none()).map(ResourceExt::name_any).collect();
        if all.len() < count || !open.is_empty() {
            return Err(format!("{} of {count}, without {open:?}", all.len()));
        }
        Ok(all.into_iter().map(|certificate| (certificate.name_any(), certificate)).collect())
    })
    .await
}

/// After all of it, another one is served; and what was refused is taken once it is good.
async fn assert_serves(world: &World, refused: &str) {
    let keeper = Keeper::default();
    let acm = world.acm(REGIONS[0]).await;
    for name in ["after", refused] {
        let good = keeper.pair(&[world.domain(name)]);
        keep(world, &secret_name(name), &good).await;
        if name == refused {
            look(world, name).await;
        } else {
            sourced(world, name, &edge()).await;
        }
        let served = until(&world.certificates(), name, "taken", |c| outcome(c) == Some(TAKEN)).await;
        assert_eq!(acm.certificate(&arn(&served, "edge")).await, good.cert(), "{name}");
    }
}

#[tokio::test]
async fn chains_that_are_odd_are_taken_or_refused() {
    if crate::harness::Stand::get().await.sim_because("moto imports any chain").is_none() {
        return;
    }
    let world = fast("odd-chains").await;
    let names = [world.domain("app")];
    let cases = odd_chains(&names);
    join_all(cases.iter().map(async |case| {
        keep_data(&world, &secret_name(case.name), case.name, case.data.clone()).await;
        sourced(&world, case.name, &edge()).await;
    }))
    .await;
    let all = known(&world, cases.len()).await;
    let acm = world.acm(REGIONS[0]).await;
    let mut taken = 0;
    for case in &cases {
        let certificate = &all[case.name];
        let told = said(certificate);
        assert_eq!(outcome(certificate), Some(case.outcome), "{}: {told}", case.name);
        assert!(told.contains(case.words) && told.len() < 2000, "{}: {told}", case.name);
        if case.outcome == TAKEN {
            taken += 1;
            let there = acm.certificate(&arn(certificate, "edge")).await;
            assert!(there.dns_names().contains(&names[0]), "{}", case.name);
            let tls = case.data["tls.crt"].as_str().expect("a text");
            assert!(Cert::all(tls).contains(&there), "{}", case.name);
        }
    }
    assert_eq!(acm.arns().await.len(), taken);
    assert_serves(&world, "stranger").await;
    world.assert_nothing_asked().await;
}

/// Whatever x509-limbo holds, with its own keys where they are known.
#[tokio::test]
async fn chains_of_x509_limbo_are_taken_or_refused() {
    let why = "moto fails at certificates without a common name, and imports any chain";
    let Some(sim) = crate::harness::Stand::get().await.sim_because(why) else { return };
    let cases = limbo();
    if cases.is_empty() {
        return;
    }
    let world = fast("limbo").await;
    join_all(cases.iter().enumerate().map(async |(n, (_, _, data))| {
        let name = format!("limbo-{n}");
        keep_data(&world, &secret_name(&name), &name, data.clone()).await;
        sourced(&world, &name, &edge()).await;
    }))
    .await;
    let all = known(&world, cases.len()).await;
    let acm = world.acm(REGIONS[0]).await;
    let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
    for (n, (id, leaf, _)) in cases.iter().enumerate() {
        let certificate = &all[&format!("limbo-{n}")];
        let outcome = outcome(certificate).expect("it is known");
        let told = said(certificate);
        assert!(told.len() < 2000 && !told.chars().any(char::is_control), "{id}: {told}");
        *counted.entry(outcome).or_default() += 1;
        match outcome {
            TAKEN => assert_eq!(acm.certificate(&arn(certificate, "edge")).await, Cert::first(leaf), "{id}"),
            "SourceExpired" => assert!(Cert::first(leaf).has_ended(), "{id}: {told}"),
            "SourceInvalid" | "SourceNotYetValid" | "PreflightFailed" | "RefusedByAws" => {}
            other => panic!("{id}: {other}: {told}"),
        }
        assert!(outcome != TAKEN || !Cert::first(leaf).has_ended(), "{id} has ended, and is taken");
    }
    println!("{counted:?}");
    assert!([TAKEN, "SourceInvalid", "SourceExpired"].iter().all(|one| counted.contains_key(one)), "{counted:?}");
    assert_eq!(sim.effective(&world.id, "ImportCertificate").await, counted[TAKEN]);
    let refused = all.iter().find(|(_, c)| outcome(c) == Some("SourceInvalid")).expect("one that is refused").0;
    assert_serves(&world, refused).await;
    world.assert_nothing_asked().await;
}

/// Fills what a Secret may hold with the repeated text, under this key.
fn filled(mut data: Value, key: &str, with: &str) -> Value {
    let used: usize = data.as_object().into_iter().flatten().filter_map(|(_, text)| text.as_str()).map(str::len).sum();
    let (times, rest) = ((LARGEST - used) / with.len(), (LARGEST - used) % with.len());
    let text = data[key].as_str().unwrap_or_default();
    data[key] = format!("{text}{}{}", with.repeat(times), " ".repeat(rest)).into();
    data
}

/// The largest Secret that there can be, of several kinds.
#[tokio::test]
async fn a_secret_of_one_mebibyte() {
    let world = bare("mebibyte").await;
    let keeper = Keeper::default();
    let pair = |name: &str| keeper.pair(&[world.domain(name)]);
    let good = pair("stuffed");
    let cases = [
        ("stuffed", filled(good.data(), "theirs", "x"), TAKEN, ""),
        ("rubbish", filled(json!({ "tls.key": good.key, "tls.crt": "" }), "tls.crt", "x"), "SourceInvalid", "tls.crt"),
        ("tail", filled(pair("tail").data(), "tls.crt", "-----BEGIN -----\n"), "SourceInvalid", "tls.crt"),
        ("key", filled(pair("key").data(), "tls.key", "-----BEGIN PRIVATE KEY-----\n"), "SourceInvalid", "tls.key"),
        ("roots", filled(pair("roots").data(), "ca.crt", &good.root), "SourceInvalid", "certificates"),
    ];
    for (name, data, outcome, words) in &cases {
        let stored = keep_data(&world, &secret_name(name), name, data.clone()).await;
        let bytes: usize = stored.data.iter().flatten().map(|(_, value)| value.0.len()).sum();
        assert_eq!(bytes, LARGEST, "{name}");
        sourced(&world, name, &edge()).await;
        let becomes = |c: &Certificate| self::outcome(c) == Some(*outcome);
        let certificate = until(&world.certificates(), name, outcome, becomes).await;
        let told = said(&certificate);
        assert!(told.contains(*words) && told.len() < 2000, "{name}: {told}");
    }
    let certificate = world.revision("stuffed", 1).await;
    let acm = world.acm(REGIONS[0]).await;
    assert_eq!(acm.certificate(&arn(&certificate, "edge")).await, good.cert());
    // Not a byte more is taken by the API server.
    let more = filled(json!({ "tls.crt": "", "tls.key": "more" }), "tls.crt", "x");
    let mut more = json!({ "metadata": { "name": "more" }, "type": "kubernetes.io/tls", "stringData": more });
    more["stringData"]["one"] = json!("1");
    let more: Secret = crate::harness::from(more);
    let refused = world.secrets().create(&PostParams::default(), &more).await.expect_err("it is too large");
    assert!(refused.to_string().contains("1048576"), "{refused}");
    assert_serves(&world, "tail").await;
    world.assert_nothing_asked().await;
}
