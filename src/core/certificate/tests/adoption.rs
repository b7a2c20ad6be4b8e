//! A certificate that is in ACM already is taken over under its ARN, by whom its owner or the account lets, or not at all.

use super::*;
use crate::{
    api::{account::Adoption, certificate::TargetState, names::CertificateArn, shared::Tags},
    core::fixtures::Ca,
    pki::{algorithm::KeyAlgorithm, certificate::parse_pem, csr::create_csr, key::PrivateKey},
};
use proptest::prelude::*;
use world::InAcm;

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

/// Passes in which the change number `at` has this fault.
fn with_fault(world: &mut World, at: usize, fault: Fault) {
    let mut n = 0;
    for _ in 0..12 {
        let pass = world.pass(|| {
            n += 1;
            if n == at { fault } else { Fault::Fine }
        });
        if let Pass::Rested(rest) = pass {
            world.now += rest.min(SignedDuration::from_secs(90));
        }
        world.sign();
    }
}

#[test]
fn whatever_call_fails_or_ends_the_process_it_converges_under_the_one_arn() {
    for fault in [Fault::CrashBefore, Fault::CrashAfter, Fault::AnswerLost, Fault::Unsent, Fault::Refused] {
        for forgetful in [false, true] {
            for at in 1..14 {
                let mut world = consented();
                world.forgetful = forgetful;
                with_fault(&mut world, at, fault);
                world.converge();
                assert_taken_over(&world);
                assert_eq!(world.paid, 1, "{fault:?} at {at}");
                assert_silent(&mut world);
            }
        }
    }
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

#[test]
fn a_policy_that_changes_on_the_way_holds_until_the_tags_are_ours() {
    let mut world = ended_when(consented, is_recorded);
    assert!(!is_tagged(&world));
    allow(&mut world, Adoption::Deny);
    world.converge();
    assert!(stalled(&world).unwrap().starts_with("AdoptionRefused"));
    assert!(!is_tagged(&world) && !is_recorded(&world));
    allow(&mut world, Adoption::Consent);
    world.converge();
    assert_taken_over(&world);
    let mut world = ended_when(consented, is_tagged);
    assert_ne!(Some(&theirs(&world).leaf.serial), world.serial().as_ref(), "tags come first");
    allow(&mut world, Adoption::Deny);
    world.converge();
    assert_taken_over(&world);
}

#[test]
fn what_is_withdrawn_before_anything_came_of_it_makes_the_target_as_any_other() {
    let mut world = ended_when(consented, is_recorded);
    change_spec(&mut world, |spec| spec.acm[0].certificate_arn = None);
    world.converge();
    assert!(ready(&world), "{:#?}", world.certificate.status);
    assert!(!is_tagged(&world));
    assert_eq!((world.new_imports, world.acm.len()), (1, 2));
    assert_ne!(arn(&world, "edge"), ARN);
    assert_silent(&mut world);
}

#[test]
fn what_is_withdrawn_once_it_carries_our_tags_is_gone_on_with() {
    let mut world = ended_when(consented, is_tagged);
    change_spec(&mut world, |spec| spec.acm[0].certificate_arn = None);
    world.converge();
    assert_taken_over(&world);
}

#[test]
fn without_the_field_it_stays_taken_over() {
    let mut world = consented();
    world.account.spec.reimport = false;
    world.converge();
    assert_taken_over(&world);
    change_spec(&mut world, |spec| spec.acm[0].certificate_arn = None);
    world.converge();
    world.now += SignedDuration::from_hours(2);
    force_renewal(&mut world);
    world.converge();
    assert_taken_over(&world);
    assert_eq!(world.paid, 2);
}

#[test]
fn a_target_with_an_arn_of_its_own_keeps_that_and_tells_so() {
    let mut world = with_theirs(&one_target(), Adoption::Any, &[]);
    world.converge();
    let own = arn(&world, "edge");
    let before = theirs(&world).leaf.clone();
    for wiped in [false, true] {
        change_spec(&mut world, |spec| spec.acm[0].certificate_arn = Some(their_arn()));
        if wiped {
            world.now += SignedDuration::from_mins(5);
            world.certificate.status = None;
        }
        world.converge();
        let why = stalled(&world).unwrap();
        assert!(why.starts_with("AdoptionConflict: ") && why.contains(&own), "{why}");
        assert!(ready(&world));
        world.now += SignedDuration::from_hours(2);
        force_renewal(&mut world);
        world.converge();
        assert_eq!((arn(&world, "edge"), world.new_imports), (own.clone(), 1));
        assert_eq!(Some(&world.of_target("edge")[0].leaf.serial), world.serial().as_ref(), "it is renewed");
    }
    assert_eq!(theirs(&world).leaf, before);
    change_spec(&mut world, |spec| spec.acm[0].certificate_arn = None);
    world.converge();
    assert_eq!(stalled(&world), None);
}

#[test]
fn an_arn_of_its_own_that_nothing_but_acm_knows_of_is_kept_as_well() {
    let mut world = with_theirs(&one_target(), Adoption::Any, &[]);
    world.converge();
    let own = arn(&world, "edge");
    change_spec(&mut world, |spec| spec.acm[0].certificate_arn = Some(their_arn()));
    world.now += SignedDuration::from_mins(5);
    (world.certificate.status, world.secret) = (None, None);
    world.process = world::Process::default();
    world.converge();
    assert!(ready(&world) && stalled(&world).unwrap().starts_with("AdoptionConflict"));
    assert_eq!((arn(&world, "edge"), world.new_imports), (own, 1));
}

#[test]
fn its_own_arn_may_be_written_into_the_spec() {
    let mut world = World::new(&one_target());
    world.converge();
    let own = world.acm[0].arn.clone();
    change_spec(&mut world, |spec| spec.acm[0].certificate_arn = Some(own.clone()));
    world.converge();
    assert!(ready(&world) && stalled(&world).is_none(), "{:#?}", world.certificate.status);
    assert_eq!(world.events, ["Issued"]);
    // Lost, it is imported anew as before.
    world.acm.clear();
    world.now += SignedDuration::from_hours(26);
    world.converge();
    assert!(ready(&world) && stalled(&world).is_none(), "{:#?}", world.certificate.status);
    assert_eq!(world.new_imports, 2);
}

#[test]
fn lost_before_it_is_nothing_and_lost_after_it_is_imported_anew() {
    let mut world = ended_when(consented, |w| w.secret.is_some());
    world.acm.clear();
    world.converge();
    assert!(stalled(&world).unwrap().starts_with("AdoptionRefused"), "{:?}", stalled(&world));
    assert_eq!(world.new_imports, 0);
    let mut world = consented();
    world.converge();
    world.acm.clear();
    world.now += SignedDuration::from_hours(26);
    world.converge();
    assert!(ready(&world) && stalled(&world).is_none(), "{:#?}", world.certificate.status);
    assert_eq!((world.new_imports, world.paid), (1, 1));
    assert_ne!(arn(&world, "edge"), ARN);
    assert_eq!(world.events.iter().filter(|e| *e == "Adopted").count(), 1);
    assert_silent(&mut world);
}

#[test]
fn a_target_added_to_a_certificate_takes_over_with_what_is_there() {
    let mut world = with_theirs(&one_target(), Adoption::Any, &[]);
    world.converge();
    change_spec(&mut world, |spec| {
        let mut more = spec.acm[0].clone();
        (more.name, more.certificate_arn) = ("more".into(), Some(their_arn()));
        spec.acm.push(more);
    });
    world.converge();
    assert!(ready(&world) && stalled(&world).is_none(), "{:#?}", world.certificate.status);
    assert_eq!((arn(&world, "more"), world.paid, world.new_imports), (ARN.to_owned(), 1, 1));
}

#[test]
fn what_may_not_be_taken_over_keeps_no_other_target_from_its_renewal() {
    let mut world = with_theirs(&one_target(), Adoption::Deny, &[]);
    world.converge();
    change_spec(&mut world, |spec| {
        let mut more = spec.acm[0].clone();
        (more.name, more.certificate_arn) = ("more".into(), Some(their_arn()));
        spec.acm.push(more);
    });
    world.converge();
    assert!(stalled(&world).unwrap().starts_with("AdoptionRefused"));
    world.now += SignedDuration::from_hours(2);
    force_renewal(&mut world);
    world.converge();
    assert_eq!((world.paid, world.new_imports), (2, 1));
    assert_eq!(Some(&world.of_target("edge")[0].leaf.serial), world.serial().as_ref());
    assert!(!is_tagged(&world));
}

#[test]
fn a_wiped_status_changes_nothing_whatever_the_policy_is_by_then() {
    let mut world = consented();
    world.converge();
    allow(&mut world, Adoption::Deny);
    world.certificate.status = None;
    world.process = world::Process::default();
    world.now += SignedDuration::from_mins(5);
    world.converge();
    assert_taken_over(&world);
    assert_eq!(world.paid, 1);
}

#[test]
fn a_deletion_takes_what_was_taken_over_and_nothing_that_was_only_about_to_be() {
    let deleting = |world: &mut World| {
        change_spec(world, |spec| {
            spec.acm[0].deletion_policy = crate::api::certificate::DeletionPolicy::Delete;
        });
    };
    let delete = |world: &mut World| {
        world.certificate.metadata.deletion_timestamp = Some(Time(world.now));
        world.touch();
        world.converge();
        assert!(world.gone);
    };
    let mut world = consented();
    deleting(&mut world);
    world.converge();
    assert_taken_over(&world);
    delete(&mut world);
    assert!(world.acm.is_empty());
    for done in [is_recorded as fn(&World) -> bool, is_tagged] {
        let make = || {
            let mut world = consented();
            deleting(&mut world);
            world
        };
        let mut world = ended_when(make, done);
        delete(&mut world);
        assert_eq!(world.acm.len(), 1);
    }
}

#[test]
fn of_two_that_carry_the_targets_tags_the_one_taken_over_is_never_deleted() {
    let mut world = consented();
    world.converge();
    let mut twin = theirs(&world).clone();
    twin.arn = ARN.replace("aaaaaaaa", "bbbbbbbb").parse().unwrap();
    // A restore from before names the other.
    world.certificate.status.as_mut().unwrap().targets[0].arn = Some(twin.arn.clone());
    twin.in_use = true;
    world.acm.push(twin);
    world.acm[0].in_use = false;
    change_spec(&mut world, |spec| spec.acm[0].certificate_arn = None);
    world.now += SignedDuration::from_hours(26);
    world.converge();
    assert!(world.acm.iter().any(|c| c.arn == their_arn()));
}

/// What happens while a certificate is taken over.
#[derive(Clone, Debug)]
enum Turn {
    Faults(Vec<Fault>),
    Policy(Adoption),
    Consent(bool),
    Claimed(bool),
    Named(bool),
    StatusWiped,
    OtherProcess,
    StaleStore,
    SecretDeleted,
    RenewalForced,
    ReadsFail(usize),
}

fn turn() -> impl Strategy<Value = Turn> {
    let fault = prop_oneof![
        5 => Just(Fault::Fine),
        1 => Just(Fault::CrashBefore),
        2 => Just(Fault::CrashAfter),
        2 => Just(Fault::AnswerLost),
        1 => Just(Fault::Unsent),
        1 => Just(Fault::Refused),
    ];
    let policy = prop::sample::select(vec![Adoption::Deny, Adoption::Consent, Adoption::Any]);
    prop_oneof![
        8 => prop::collection::vec(fault, 1..12).prop_map(Turn::Faults),
        2 => policy.prop_map(Turn::Policy),
        2 => any::<bool>().prop_map(Turn::Consent),
        1 => any::<bool>().prop_map(Turn::Claimed),
        2 => any::<bool>().prop_map(Turn::Named),
        1 => Just(Turn::StatusWiped),
        1 => Just(Turn::OtherProcess),
        1 => Just(Turn::StaleStore),
        1 => Just(Turn::SecretDeleted),
        1 => Just(Turn::RenewalForced),
        1 => (1_usize..8).prop_map(Turn::ReadsFail),
    ]
}

/// Another Certificate claims it, or gives it up.
fn claim(there: &mut InAcm, claimed: bool) {
    if claimed {
        there.tags.insert("arnkeeper.dev/name".into(), "another".into());
    } else {
        there.tags.remove("arnkeeper.dev/name");
    }
}

fn is_ours(there: &InAcm) -> bool {
    there.tags.get("arnkeeper.dev/name").is_some_and(|name| name == "app")
}

fn change(world: &mut World, turn: Turn) {
    let free = world.acm.iter().position(|c| c.arn == their_arn() && !is_ours(c));
    match turn {
        Turn::Faults(faults) => {
            let mut faults = faults.into_iter();
            for _ in 0..6 {
                if let Pass::Rested(rest) = world.pass(|| faults.next().unwrap_or(Fault::Fine)) {
                    world.now += rest.min(SignedDuration::from_secs(90));
                }
                world.sign();
            }
        }
        Turn::Policy(policy) => allow(world, policy),
        Turn::Consent(given) => {
            if let Some(at) = free {
                world.acm[at].tags.remove(CONSENT);
                world.acm[at].tags.extend(given.then(|| (CONSENT.to_owned(), "pay/app".to_owned())));
            }
        }
        Turn::Claimed(claimed) => {
            if let Some(at) = free {
                claim(&mut world.acm[at], claimed);
            }
        }
        Turn::Named(named) => {
            change_spec(world, |spec| spec.acm[0].certificate_arn = named.then(their_arn));
        }
        Turn::StatusWiped => {
            world.now += SignedDuration::from_mins(2);
            world.certificate.status = None;
            world.touch();
        }
        Turn::OtherProcess => world.swap(),
        Turn::StaleStore => {
            let older = world.older.clone();
            world.restart_with(older);
        }
        Turn::SecretDeleted => world.secret = None,
        Turn::RenewalForced => force_renewal(world),
        Turn::ReadsFail(reads) => world.deaf = reads,
    }
}

/// Whether theirs may be taken over as it is now.
fn may(world: &World) -> bool {
    let there = theirs(world);
    let claimed = there.tags.contains_key("arnkeeper.dev/name");
    !claimed
        && match world.account.spec.policy.as_ref().map(|p| p.adoption).unwrap_or_default() {
            Adoption::Deny => false,
            Adoption::Consent => there.tags.contains_key(CONSENT),
            Adoption::Any => true,
        }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_only_what_may_be_is_taken_over_and_there_is_one_arn(
        named in any::<bool>(),
        turns in prop::collection::vec(turn(), 1..14),
    ) {
        let mut world = with_theirs(&adopting(), Adoption::Deny, &[]);
        if !named {
            change_spec(&mut world, |spec| spec.acm[0].certificate_arn = None);
        }
        let before = theirs(&world).leaf.clone();
        for turn in turns {
            let leave = may(&world);
            let was_ours = is_ours(theirs(&world));
            change(&mut world, turn);
            let there = theirs(&world);
            if !was_ours {
                prop_assert!(leave || !is_ours(there), "it was taken over without leave");
                prop_assert!(is_ours(there) || there.leaf == before, "it was imported over");
            }
            prop_assert!(world.of_target("edge").len() <= 1, "two ARNs");
        }
        change_spec(&mut world, |spec| spec.acm[0].certificate_arn = Some(their_arn()));
        (world.deaf, world.stale) = (0, None);
        if let Some(at) = world.acm.iter().position(|c| c.arn == their_arn() && !is_ours(c)) {
            claim(&mut world.acm[at], false);
        }
        allow(&mut world, Adoption::Any);
        world.now += SignedDuration::from_hours(26);
        world.converge();
        prop_assert!(ready(&world), "{:#?}", world.certificate.status);
        if world.new_imports == 0 {
            assert_taken_over(&world);
        } else {
            prop_assert!(stalled(&world).unwrap().starts_with("AdoptionConflict"));
            prop_assert_eq!(&theirs(&world).leaf, &before);
        }
        prop_assert_eq!(world.of_target("edge").len(), 1);
        assert_silent(&mut world);
    }
}
