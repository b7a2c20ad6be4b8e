//! What stands in a request's way on purpose, and a CA that takes its time.

use super::{csr, from_csr, from_subject, ready, reason, spec};
use crate::{
    api::conditions::{READY, STALLED},
    core::{
        fixtures::Ca,
        request::{Memory, pause, tests::world::World, write},
    },
    pki::{algorithm::KeyAlgorithm, key::PrivateKey},
};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Secret;
use serde_json::json;

fn secret(name: &str, uid: &str, more: &serde_json::Value) -> Secret {
    let mut object = json!({ "metadata": { "name": name, "namespace": "pay", "uid": uid } });
    object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(object).unwrap()
}

/// `<request>-key` may be anybody's: a Certificate `app` stages its own under `app-1-key`, and a request may be named `app-1`.
#[test]
fn a_key_that_waits_for_something_else_is_neither_signed_nor_copied_nor_deleted() {
    let key = PrivateKey::generate(KeyAlgorithm::EcPrime256v1).unwrap();
    let data = json!({ "stringData": {}, "data": {
        "tls.key": k8s_openapi::ByteString(key.to_pkcs8_pem().as_bytes().to_vec()),
        "tls.csr": k8s_openapi::ByteString(csr(&["app.pay.example"]).into_bytes()),
    } });
    for content in [data, json!({ "data": {} })] {
        let mut world = from_subject();
        let theirs = secret("app-key", "theirs", &content);
        world.staged = Some(theirs.clone());
        world.converge();
        assert_eq!(reason(&world, STALLED).as_deref(), Some("SecretConflict"));
        assert_eq!((world.paid(), &world.staged, &world.secret), (0, &Some(theirs), &None));
        world.staged = None;
        world.now += SignedDuration::from_mins(10);
        world.converge();
        assert!(ready(&world), "it goes on when the name is free");
    }
}

/// The consent is to write it, not to sign what stands in it: its key is not known here.
#[test]
fn a_csr_in_a_secret_that_is_only_offered_is_not_paid_for() {
    let mut world = from_subject();
    let mut offered = secret(
        "app-tls",
        "theirs",
        &json!({ "data": { "tls.csr": k8s_openapi::ByteString(csr(&["app.pay.example"]).into_bytes()) } }),
    );
    offered.metadata.annotations = Some([("arnkeeper.dev/adopt-by".to_owned(), "app".to_owned())].into());
    world.secret = Some(offered);
    world.converge();
    assert!(ready(&world), "{:?}", world.request.status);
    assert_eq!(world.paid(), 1);
}

#[test]
fn a_ca_that_signs_after_ten_minutes() {
    let mut world = from_csr();
    world.signing = SignedDuration::from_mins(10);
    let begin = world.now;
    let mut told = vec![];
    while !ready(&world) {
        let rest = world.pass(|| super::Fault::Fine).unwrap();
        assert!(world.now.duration_since(begin) < SignedDuration::from_mins(11));
        world.now += rest;
        let status = world.request.status.clone().unwrap_or_default();
        told.extend(status.conditions.into_iter().filter(|c| c.type_ == READY).map(|c| (c.reason, c.message)));
        assert_eq!(reason(&world, STALLED), None);
    }
    told.dedup();
    assert_eq!(told.len(), 3, "asked, late, signed: {told:?}");
    assert!(
        told[0].0 == "Issuing" && told[0].1.contains("the certificate is fetched as soon as it is there"),
        "{told:?}"
    );
    assert!(told[1].0 == "Issuing" && told[1].1.contains("has not done so yet"), "{told:?}");
    assert_eq!((world.paid(), world.writes), (1, 3));
    // Asked for seldom, and more seldom each time; half a minute after it is there at the latest.
    let pauses: Vec<SignedDuration> = world.fetched.windows(2).map(|w| w[1].duration_since(w[0])).collect();
    assert!(pauses.is_sorted() && pauses.iter().all(|pause| pause.as_millis() >= 500), "{pauses:?}");
    assert!(pauses.windows(2).all(|w| w[1] <= w[0] * 2) && pauses.last() == Some(&SignedDuration::from_secs(30)));
    assert!((20..=30).contains(&world.fetched.len()), "{} calls of GetCertificate", world.fetched.len());
    assert!(world.fetched.last().unwrap().duration_since(begin) <= SignedDuration::from_secs(632));
}

/// However long it takes: the pause grows no more, and nothing overflows.
#[test]
fn the_pause_between_looks_is_bounded() {
    let millis = |too_early: u32| pause(too_early).as_millis();
    assert_eq!([0, 1, 2, 3, 4, 5].map(millis), [500, 1000, 2000, 4000, 8000, 16_000]);
    assert!([6, 7, 31, 32, 1000, u32::MAX].iter().all(|n| pause(*n) == SignedDuration::from_secs(30)));
    let mut memory = Memory { polls: u32::MAX, ..Memory::default() };
    memory.not_yet(jiff::Timestamp::MAX);
    assert_eq!((memory.polls, memory.poll_at), (u32::MAX, None));
}

#[test]
fn a_wrong_answer_is_fetched_again_and_the_right_one_is_taken() {
    let mut world = from_csr();
    let other = Ca::new().sign(&csr(&["app.pay.example"]), world.now, world.ca.root.not_after, 7);
    world.forged = Some(other);
    world.converge();
    assert_eq!(reason(&world, STALLED).as_deref(), Some("Failed"));
    world.forged = None;
    world.now += SignedDuration::from_mins(10);
    world.converge();
    assert!(ready(&world));
    assert_eq!(world.paid(), 1);
}

#[test]
fn a_name_that_is_none_makes_no_csr() {
    let key = PrivateKey::generate(KeyAlgorithm::EcPrime256v1).unwrap();
    let odd = [
        "a.example.com.",
        "bücher.example",
        "*.*.example.com",
        "рaypal.example",
        "a..b",
        "a b",
        "a\u{202e}b.example",
        "*",
    ];
    for name in odd {
        let world = World::new(&spec(json!({ "subject": { "domainName": name }, "secretName": "app-tls" })));
        let told = write::staged(&world.request, &key).err().unwrap();
        assert!(told.contains("is no DNS name") && !told.contains('\u{202e}'), "{told}");
    }
}
