//! A certificate that is in ACM already is taken over under its ARN, by whom its owner or the account lets, or not at all.

use super::*;
use crate::{
    api::{account::Adoption, certificate::TargetState, names::CertificateArn, shared::Tags},
    core::fixtures::Ca,
    pki::{algorithm::KeyAlgorithm, certificate::parse_pem, csr::create_csr, key::PrivateKey},
};
use world::InAcm;

mod any;
mod ended;
mod kept;

const ARN: &str = "arn:aws:acm:eu-west-1:111122223333:certificate/aaaaaaaa-0000-0000-0000-000000000001";
const CONSENT: &str = "arnkeeper.dev/adopt-by";

fn adopting() -> Value {
    spec(&json!([{ "name": "edge", "certificateArn": ARN, "tags": { "team": "pay" } }]))
}

fn their_arn() -> CertificateArn {
    ARN.parse().unwrap()
}

fn allow(world: &mut World, adoption: Adoption) {
    world.account.spec.policy = Some(crate::api::account::Policy { adoption });
}

/// A world where somebody has imported a certificate for the same names, tagged so.
fn with_theirs(spec: &Value, policy: Adoption, tags: &[(&str, &str)]) -> World {
    let mut world = World::new(spec);
    allow(&mut world, policy);
    let tags: Tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let (leaf, created) = (world.foreign(), world.now - SignedDuration::from_hours(900));
    world.acm.push(InAcm { arn: their_arn(), leaf, tags, created, in_use: true, imported: true, managed: None });
    world
}

fn consented() -> World {
    with_theirs(&adopting(), Adoption::Consent, &[("owner", "somebody"), (CONSENT, "pay/app")])
}

fn theirs(world: &World) -> &InAcm {
    world.acm.iter().find(|c| c.arn == their_arn()).expect("it is in ACM")
}

fn is_tagged(world: &World) -> bool {
    theirs(world).tags.contains_key("arnkeeper.dev/name")
}

fn is_recorded(world: &World) -> bool {
    world.certificate.status.iter().flat_map(|s| &s.targets).any(|t| t.adoption.is_some())
}

/// A world whose process ended right after the first change that made `done` true.
fn ended_when(make: impl Fn() -> World, done: impl Fn(&World) -> bool) -> World {
    for at in 1..20 {
        let (mut world, mut n) = (make(), 0);
        for _ in 0..12 {
            let pass = world.pass(|| {
                n += 1;
                if n == at { Fault::CrashAfter } else { Fault::Fine }
            });
            match pass {
                Pass::Crashed => break,
                Pass::Rested(rest) => world.now += rest.min(SignedDuration::from_secs(90)),
            }
            world.sign();
        }
        if done(&world) {
            return world;
        }
    }
    panic!("it never came");
}

/// It has our certificate and our tags, and it is the only one.
fn assert_taken_over(world: &World) {
    assert!(ready(world) && stalled(world).is_none(), "{:#?}", world.certificate.status);
    assert_eq!((world.new_imports, world.acm.len(), arn(world, "edge")), (0, 1, ARN.to_owned()));
    let there = theirs(world);
    assert_eq!(Some(&there.leaf.serial), world.serial().as_ref());
    assert_eq!(there.tags["arnkeeper.dev/namespace"], "pay");
    assert_eq!(there.tags["team"], "pay");
    let target = &world.certificate.status.as_ref().unwrap().targets[0];
    assert_eq!(target.state, TargetState::Delivered);
}

/// It is as it was, and nothing was bought for it; the message is returned.
fn assert_left_alone(mut world: World, reason: &str) -> String {
    let before: Vec<InAcm> = world.acm.clone();
    world.converge();
    let why = stalled(&world).unwrap_or_else(|| panic!("{:#?}", world.certificate.status));
    assert!(why.starts_with(&format!("{reason}: ")), "{why}");
    assert_eq!((world.paid, world.new_imports, world.requests.len()), (0, 0, 0));
    assert_eq!(world.acm.len(), before.len());
    for (there, before) in world.acm.iter().zip(&before) {
        assert_eq!((&there.tags, &there.leaf), (&before.tags, &before.leaf));
    }
    assert!(!ready(&world));
    why
}

#[test]
fn with_its_owners_consent_it_is_taken_over_under_its_arn() {
    let mut world = consented();
    world.converge();
    assert_taken_over(&world);
    assert_eq!(world.paid, 1);
    let tags = &theirs(&world).tags;
    assert_eq!((tags.get("owner").map(String::as_str), tags.get(CONSENT)), (Some("somebody"), None));
    let status = world.certificate.status.clone().unwrap();
    assert_eq!(status.history[0].trigger, "Adopted");
    assert!(status.targets[0].adoption.as_ref().is_some_and(|a| a.adopted_at.is_some()));
    assert_eq!(world.events, ["Issued", "Adopted"]);
    assert_silent(&mut world);
    // From now on it is as any other.
    world.now += SignedDuration::from_hours(24 * 61);
    world.converge();
    assert_taken_over(&world);
    assert_eq!((world.paid, world.events.len()), (2, 3));
}

#[test]
fn without_leave_it_is_left_alone_and_nothing_is_bought() {
    let of = |policy, tags: &[(&str, &str)]| with_theirs(&adopting(), policy, tags);
    let why = assert_left_alone(of(Adoption::Deny, &[(CONSENT, "pay/app")]), "AdoptionRefused");
    assert!(why.contains("policy.adoption is Deny"), "{why}");
    let mut unset = of(Adoption::Deny, &[(CONSENT, "pay/app")]);
    unset.account.spec.policy = None;
    assert_left_alone(unset, "AdoptionRefused");
    let why = assert_left_alone(of(Adoption::Consent, &[]), "AdoptionRefused");
    assert!(why.contains("arnkeeper.dev/adopt-by with the value pay/app"), "{why}");
    assert_left_alone(of(Adoption::Consent, &[(CONSENT, "pay/another")]), "AdoptionRefused");
    // Whether it is there is told no more than that there is no consent.
    let mut gone = of(Adoption::Consent, &[]);
    gone.acm.clear();
    assert_eq!(assert_left_alone(gone, "AdoptionRefused"), why);
}

#[test]
fn with_any_it_needs_no_consent() {
    let mut world = with_theirs(&adopting(), Adoption::Any, &[]);
    world.converge();
    assert_taken_over(&world);
}

#[test]
fn what_another_certificate_or_another_cluster_keeps_is_left_alone_in_any_case() {
    let keys = ["cluster", "namespace", "name", "target"].map(|key| format!("arnkeeper.dev/{key}"));
    for (n, value) in ["elsewhere", "other", "another", "far"].into_iter().enumerate() {
        let mut values = ["cluster", "pay", "app", "edge"];
        values[n] = value;
        let mut tags: Vec<(&str, &str)> = keys.iter().map(String::as_str).zip(values).collect();
        tags.push((CONSENT, "pay/app"));
        for policy in [Adoption::Any, Adoption::Consent] {
            assert_left_alone(with_theirs(&adopting(), policy, &tags), "AdoptionRefused");
        }
        // A part of them says it as well.
        assert_left_alone(with_theirs(&adopting(), Adoption::Any, &tags[n..=n]), "AdoptionRefused");
    }
}

#[test]
fn what_carries_our_own_tags_needs_no_leave() {
    let tags = [
        ("arnkeeper.dev/cluster", "cluster"),
        ("arnkeeper.dev/namespace", "pay"),
        ("arnkeeper.dev/name", "app"),
        ("arnkeeper.dev/target", "edge"),
    ];
    let mut world = with_theirs(&adopting(), Adoption::Deny, &tags);
    world.converge();
    assert_taken_over(&world);
}

#[test]
fn what_acm_issued_or_does_not_have_or_has_elsewhere_is_told() {
    let mut issued = with_theirs(&adopting(), Adoption::Any, &[]);
    issued.acm[0].imported = false;
    assert!(assert_left_alone(issued, "AdoptionRefused").contains("was not imported into ACM"));
    let mut gone = with_theirs(&adopting(), Adoption::Any, &[]);
    gone.acm.clear();
    assert!(assert_left_alone(gone, "AdoptionRefused").contains("ACM has no certificate"));
    let mut far = adopting();
    far["acm"][0]["certificateArn"] = json!(ARN.replace("111122223333", "444455556666"));
    let far = with_theirs(&far, Adoption::Any, &[]);
    assert!(assert_left_alone(far, "AdoptionRefused").contains("lies in another AWS account"));
}

/// Theirs has another key, and other names.
fn unlike(world: &mut World, algorithm: KeyAlgorithm, domain: &str) {
    let key = PrivateKey::generate(algorithm).unwrap();
    let subject = serde_json::from_value(json!({ "domainName": domain })).unwrap();
    let subject = crate::core::certificate::wanted::subject_request(&subject).unwrap();
    let csr = create_csr(&key, &subject, None).unwrap();
    let signed = Ca::new().sign(&csr, world.now, world.now + SignedDuration::from_hours(900), 77);
    world.acm[0].leaf = parse_pem(&signed).unwrap();
}

#[test]
fn what_acm_would_refuse_is_told_all_at_once_and_not_bought() {
    let mut world = consented();
    unlike(&mut world, KeyAlgorithm::EcSecp384r1, "other.example");
    let why = assert_left_alone(world, "PreflightFailed");
    for part in ["EC_secp384r1", "other.example", "set spec.privateKey to algorithm ECDSA and size 384"] {
        assert!(why.contains(part), "{part}: {why}");
    }
    assert!(!why.contains("certificateAuthority"), "{why}");
    let mut world = consented();
    unlike(&mut world, KeyAlgorithm::Rsa2048, "app.pay.example");
    let why = assert_left_alone(world, "PreflightFailed");
    for part in ["RSA_2048", "algorithm RSA and size 2048", "source.privateCa.certificateAuthority"] {
        assert!(why.contains(part), "{part}: {why}");
    }
}

#[test]
fn what_is_put_right_is_gone_on_with() {
    let mut world = consented();
    unlike(&mut world, KeyAlgorithm::EcSecp384r1, "app.pay.example");
    world.converge();
    assert!(stalled(&world).is_some());
    change_spec(&mut world, |spec| {
        spec.private_key = Some(serde_json::from_value(json!({ "algorithm": "ECDSA", "size": 384 })).unwrap());
    });
    world.converge();
    assert_taken_over(&world);
    assert_eq!(world.paid, 1);
}

#[test]
fn a_missing_consent_is_looked_for_after_a_minute_and_then_ever_less_without_another_word() {
    let mut world = with_theirs(&adopting(), Adoption::Consent, &[]);
    while stalled(&world).is_none() {
        world.pass(|| Fault::Fine);
        world.now += SignedDuration::from_secs(1);
    }
    assert!(stalled(&world).unwrap().contains("looked at again after a minute"));
    let (begin, told, reads) = (world.now, world.changes, world.tag_reads);
    let mut rests = vec![];
    while world.now < begin + SignedDuration::from_hours(2) {
        let Pass::Rested(rest) = world.pass(|| Fault::Fine) else { panic!("nothing ends the process") };
        rests.push(rest);
        world.now += rest;
    }
    assert_eq!((rests[0].as_secs(), rests[rests.len() - 1].as_secs()), (60, 600));
    assert!(rests.is_sorted(), "{rests:?}");
    assert_eq!(world.tag_reads - reads, rests.len(), "one call for each look");
    assert!(rests.len() < 30, "{rests:?}");
    assert_eq!(world.changes, told, "nothing is written meanwhile");
    world.acm[0].tags.insert(CONSENT.to_owned(), "pay/app".to_owned());
    world.converge();
    assert_taken_over(&world);
}
