//! One signature, paid for once, whatever crashes or gets lost; and nothing believed that was not asked for.

mod hostile;
mod world;

use crate::{
    api::conditions::{APPROVED, READY, STALLED, is_true},
    core::{fixtures::Ca, secret::SecretObject},
    pki::{
        algorithm::KeyAlgorithm,
        csr::{SubjectRequest, create_csr},
        key::PrivateKey,
        names::Names,
    },
};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Secret;
use proptest::prelude::*;
use serde_json::{Value, json};
use world::{Fault, World};

fn csr(names: &[&str]) -> String {
    let key = PrivateKey::generate(KeyAlgorithm::EcPrime256v1).unwrap();
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let subject = SubjectRequest {
        common_name: names.first().cloned(),
        organization: None,
        organizational_unit: None,
        country: None,
        locality: None,
        state: None,
        names: Names::new(&names, &[], &[], &[]).unwrap(),
    };
    create_csr(&key, &subject, None).unwrap()
}

fn spec(mut more: Value) -> Value {
    let mut spec = json!({
        "accountRef": { "name": "prod" }, "region": "eu-west-1", "duration": "2160h", "signature": {},
        "certificateAuthority": { "name": "Example Private CA" },
    });
    spec.as_object_mut().unwrap().append(more.as_object_mut().unwrap());
    spec
}

fn from_csr() -> World {
    World::new(&spec(json!({ "csr": csr(&["app.pay.example"]) })))
}

fn from_subject() -> World {
    World::new(&spec(json!({ "subject": { "domainName": "app.pay.example" }, "secretName": "app-tls" })))
}

fn ready(world: &World) -> bool {
    world.request.status.as_ref().is_some_and(|s| is_true(&s.conditions, READY))
}

fn reason(world: &World, kind: &str) -> Option<String> {
    let status = world.request.status.as_ref()?;
    status.conditions.iter().find(|c| c.type_ == kind).map(|c| c.reason.clone())
}

#[test]
fn a_csr_is_signed_with_two_writes() {
    let mut world = from_csr();
    world.converge();
    assert!(ready(&world), "{:#?}", world.request.status);
    assert!(is_true(&world.request.status.as_ref().unwrap().conditions, APPROVED));
    // The ARN before anything else; then the certificate.
    assert_eq!((world.paid(), world.writes), (1, 2));
    let before = world.request.status.clone();
    world.now += SignedDuration::from_hours(24 * 365);
    world.converge();
    assert_eq!((world.request.status.clone(), world.writes), (before, 2));
}

#[test]
fn a_subject_gets_a_key_in_its_secret() {
    let mut world = from_subject();
    world.converge();
    assert!(ready(&world), "{:#?}", world.request.status);
    let pair = SecretObject::from(world.secret.clone().unwrap()).key_pair().unwrap();
    assert_eq!(pair.chain.leaf.names.dns.iter().collect::<Vec<_>>(), ["app.pay.example"]);
    assert_eq!((world.paid(), world.staged.is_none()), (1, true));
}

#[test]
fn without_a_signature_it_waits_and_is_signed_when_one_is_added() {
    let mut world = from_csr();
    world.request.spec.signature = None;
    world.converge();
    assert_eq!(reason(&world, READY).as_deref(), Some("WaitingForSignature"));
    assert_eq!((world.paid(), world.writes), (0, 1));
    world.now += SignedDuration::from_hours(48);
    world.request.spec.signature = Some(crate::api::shared::Signature::default());
    world.request.metadata.generation = Some(2);
    world.converge();
    assert!(ready(&world));
    // A record of the attempt comes before the call, since the creation is long past.
    assert_eq!(world.request.status.as_ref().unwrap().attempt.as_ref().unwrap().number, 1);
    assert_eq!(world.paid(), 1);
}

#[test]
fn what_was_not_asked_for_is_not_believed() {
    let other_key = |ca: &Ca, world: &World| ca.sign(&csr(&["app.pay.example"]), world.now, ca.root.not_after, 7);
    let mut world = from_csr();
    let forged = other_key(&world.ca, &world);
    world.forged = Some(forged);
    world.converge();
    assert_eq!(reason(&world, STALLED).as_deref(), Some("Failed"));
    assert!(world.request.status.as_ref().unwrap().certificate.is_none());
    assert_eq!(world.paid(), 1);
}

#[test]
fn a_foreign_secret_is_not_touched_and_nothing_is_paid() {
    let mut world = from_subject();
    let foreign: Secret =
        serde_json::from_value(json!({ "metadata": { "name": "app-tls", "uid": "x" }, "data": {} })).unwrap();
    world.secret = Some(foreign.clone());
    world.converge();
    assert_eq!(reason(&world, STALLED).as_deref(), Some("SecretConflict"));
    assert_eq!(world.paid(), 0);
    assert_eq!(world.secret, Some(foreign));
}

#[test]
fn nobody_pays_for_what_its_owner_does_not_want() {
    let mut world = from_csr();
    world.wanted = false;
    world.converge();
    assert_eq!(reason(&world, READY).as_deref(), Some("Superseded"));
    assert_eq!(world.paid(), 0);
}

#[test]
fn nothing_is_asked_of_a_ca_that_ends_before_the_certificate_would() {
    let mut world = World::new(&spec(json!({ "csr": csr(&["app.pay.example"]), "duration": "99999h" })));
    world.converge();
    assert_eq!(reason(&world, STALLED).as_deref(), Some("AuthorityEndsTooSoon"));
    assert_eq!(world.paid(), 0);
}

#[test]
fn an_answer_that_stays_lost_is_asked_for_again_but_not_at_once() {
    let mut world = from_csr();
    let mut lost = std::iter::repeat_n(Fault::AnswerLost, 1);
    world.pass(|| lost.next().unwrap_or(Fault::Fine));
    world.memory = super::Memory::default();
    // The process is away while the token is good.
    world.now += SignedDuration::from_mins(20);
    world.converge();
    assert!(ready(&world));
    assert_eq!(world.paid(), 2, "the first may have been paid for, and can't be found again");
    let attempt = world.request.status.as_ref().unwrap().attempt.clone().unwrap();
    assert!(attempt.number >= 1);
}

#[test]
fn a_refusal_is_remembered_over_a_restart() {
    let mut world = from_csr();
    world.now += SignedDuration::from_mins(10);
    world.pass(|| Fault::Refused);
    assert_eq!(reason(&world, STALLED).as_deref(), Some("RefusedByAws"));
    assert!(world.request.status.as_ref().unwrap().attempt.is_none(), "nothing is owed to it");
    world.memory = super::Memory::default();
    world.now += SignedDuration::from_secs(20);
    world.pass(|| Fault::Refused);
    assert_eq!(reason(&world, STALLED).as_deref(), Some("RefusedByAws"));
    world.now += SignedDuration::from_mins(10);
    world.converge();
    assert!(ready(&world));
    assert_eq!(world.paid(), 1);
}

#[test]
fn a_ca_that_was_disabled_a_moment_ago_is_told_as_that() {
    let mut world = from_csr();
    world.disabled = true;
    world.now += SignedDuration::from_mins(10);
    world.pass(|| Fault::Fine);
    assert_eq!(reason(&world, STALLED).as_deref(), Some("AuthorityDisabled"));
    assert!(world.request.status.as_ref().unwrap().attempt.is_none(), "nothing is owed to it");
    assert_eq!(world.paid(), 0);
    world.disabled = false;
    world.now += SignedDuration::from_mins(10);
    world.converge();
    assert!(ready(&world));
    assert_eq!(world.paid(), 1);
}

#[test]
fn that_aws_can_not_be_reached_is_told_of_a_new_request_at_once() {
    let mut world = from_csr();
    let mut lost = std::iter::once(Fault::AnswerLost);
    world.pass(|| lost.next().unwrap_or(Fault::Fine));
    assert_eq!(reason(&world, READY).as_deref(), Some("AwsUnavailable"));
    assert!(reason(&world, STALLED).is_none());
    world.converge();
    assert!(ready(&world));
    assert_eq!((world.paid(), world.writes), (1, 3));
}

#[test]
fn a_process_that_each_answer_kills_is_stopped_by_the_budget() {
    let mut world = from_csr();
    for _ in 0..24 * 20 {
        world.pass(|| Fault::CrashAfter);
        world.now += SignedDuration::from_mins(3);
    }
    // The first five, then none until the day is over.
    assert_eq!(world.paid(), 5);
    assert_eq!(reason(&world, STALLED).as_deref(), Some("BudgetSpent"));
}

#[test]
fn what_may_have_been_paid_for_in_vain_is_told_even_where_only_the_creation_was_its_record() {
    let mut world = from_csr();
    world.pass(|| Fault::CrashAfter);
    assert_eq!((world.paid(), world.request.status.is_some()), (1, false));
    world.now += SignedDuration::from_mins(10);
    world.converge();
    assert!(ready(&world));
    assert_eq!(world.paid(), 2);
    assert_eq!(world.request.status.as_ref().unwrap().attempt.as_ref().unwrap().number, 2);
    assert_eq!(world.events, [super::ATTEMPT_REPEATED]);
}

#[test]
fn nothing_is_asked_for_past_the_accounts_budget() {
    let mut world = from_csr();
    world.account.spec.budget = serde_json::from_value(json!({ "issuesPerDay": 1 })).unwrap();
    world.ledger.account(&world.account, world.now);
    world.ledger.take("prod", "another", 1, world.now).unwrap();
    let rest = world.pass(|| Fault::Fine).unwrap();
    assert!(rest > SignedDuration::from_hours(24) && rest <= SignedDuration::from_hours(25), "until there is room");
    assert_eq!(reason(&world, STALLED).as_deref(), Some("BudgetSpent"));
    assert!(world.request.status.as_ref().unwrap().attempt.is_none(), "nothing that would count");
    assert_eq!(world.paid(), 0);
    world.now += rest;
    world.converge();
    assert!(ready(&world));
    assert_eq!(world.paid(), 1);
}

#[test]
fn what_aws_refuses_for_hours_spends_nothing_of_the_accounts_budget() {
    let mut world = from_csr();
    world.account.spec.budget = serde_json::from_value(json!({ "issuesPerDay": 1 })).unwrap();
    world.ledger.account(&world.account, world.now);
    for _ in 0..60 {
        world.pass(|| Fault::Refused);
        world.now += SignedDuration::from_mins(5);
    }
    assert_eq!(world.ledger.budgets(world.now), [("prod".to_owned(), 1, 0)]);
    world.converge();
    assert!(ready(&world));
    assert_eq!(world.ledger.budgets(world.now), [("prod".to_owned(), 1, 1)]);
}

#[test]
fn what_aws_refuses_for_hours_spends_nothing() {
    let mut world = from_csr();
    for _ in 0..60 {
        world.pass(|| Fault::Throttled);
        world.now += SignedDuration::from_mins(5);
    }
    world.converge();
    assert!(ready(&world));
    assert_eq!(world.paid(), 1);
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        3 => Just(Fault::Fine),
        2 => Just(Fault::CrashBefore),
        2 => Just(Fault::CrashAfter),
        2 => Just(Fault::AnswerLost),
        1 => Just(Fault::Throttled),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// As long as a process comes back within four minutes, there is exactly one payment.
    #[test]
    fn one_payment(faults in prop::collection::vec(fault(), 0..25), subject in any::<bool>()) {
        let mut world = if subject { from_subject() } else { from_csr() };
        let mut faults = faults.into_iter();
        for _ in 0..30 {
            if let Some(rest) = world.pass(|| faults.next().unwrap_or(Fault::Fine)) {
                world.now += rest.min(SignedDuration::from_secs(3));
            }
        }
        world.converge();
        prop_assert!(ready(&world), "{:#?}", world.request.status);
        prop_assert_eq!(world.paid(), 1);
        if subject {
            let pair = SecretObject::from(world.secret.clone().unwrap()).key_pair();
            prop_assert!(pair.is_ok(), "the key in the Secret is the one that was signed");
            prop_assert!(world.staged.is_none());
        }
    }

    /// However long it is away: at most one payment an attempt, and at most one attempt an hour after the second.
    #[test]
    fn payments_are_bounded(blows in prop::collection::vec((fault(), 0_i64..120), 0..25)) {
        let mut world = from_csr();
        let begin = world.now;
        for (fault, minutes) in blows {
            let mut once = std::iter::once(fault);
            world.pass(|| once.next().unwrap_or(Fault::CrashBefore));
            world.now += SignedDuration::from_mins(minutes);
        }
        // What the budget of a day holds up goes on after it.
        world.now += SignedDuration::from_hours(25);
        world.converge();
        prop_assert!(ready(&world));
        let hours = world.now.duration_since(begin).as_hours();
        prop_assert!(i64::try_from(world.paid()).unwrap() <= 3 + hours, "{} in {hours} h", world.paid());
        prop_assert!(i64::try_from(world.paid()).unwrap() <= 5 * (1 + hours / 24), "{} in {hours} h", world.paid());
    }
}
