//! One trouble at a time: late looks, things taken away, clocks that are wrong, hands in the status.

use super::*;
use crate::{
    api::{RENEW_ANNOTATION, names::AccountId},
    core::{access::Refusal, certificate::Lookup},
};

#[test]
fn a_key_staged_for_another_spec_is_not_signed() {
    let changes: [fn(&mut crate::api::certificate::CertificateSpec); 2] = [
        |spec| spec.subject.additional_names.push("new.pay.example".into()),
        |spec| spec.private_key = serde_json::from_value(json!({ "algorithm": "ECDSA", "size": 384 })).unwrap(),
    ];
    for change in changes {
        let mut world = World::new(&one_target());
        faulty(&mut world, &[Fault::CrashAfter]);
        assert_eq!(world.staged.len(), 1);
        change_spec(&mut world, change);
        world.converge();
        assert!(ready(&world), "{:#?}", world.certificate.status);
        let leaf = &world.of_target("edge")[0].leaf;
        let asks = world.certificate.spec.private_key.is_some();
        assert_eq!(leaf.names.dns.contains("new.pay.example"), !asks);
        assert_eq!(leaf.algorithm == Some(crate::pki::algorithm::KeyAlgorithm::EcSecp384r1), asks);
        assert_eq!(world.paid, 1);
        assert!(world.staged.is_empty());
        assert_silent(&mut world);
    }
}

#[test]
fn a_target_that_is_out_of_reach_does_not_keep_the_others_from_their_renewal() {
    let mut world = World::new(&two_targets());
    world.converge();
    let before = (arn(&world, "edge"), arn(&world, "far"));
    world.account.spec.regions.retain(|region| region.as_str() == "eu-west-1");
    force_renewal(&mut world);
    world.converge();
    assert_eq!(world.paid, 2);
    assert_eq!(Some(&world.of_target("edge")[0].leaf.serial), world.serial().as_ref());
    assert!(stalled(&world).unwrap().starts_with("RegionNotAllowed"), "{:?}", stalled(&world));
    assert!(ready(&world), "what is out of reach has a valid certificate still");
    world.account.spec.regions.push("us-east-1".parse().unwrap());
    world.now += SignedDuration::from_mins(10);
    world.converge();
    assert_eq!((arn(&world, "edge"), arn(&world, "far"), world.paid), (before.0, before.1, 2));
    assert_eq!(Some(&world.of_target("far")[0].leaf.serial), world.serial().as_ref());
    assert_silent(&mut world);
}

fn why_not_ready(world: &World) -> Option<String> {
    let conditions = &world.certificate.status.as_ref()?.conditions;
    conditions.iter().find(|c| c.type_ == READY && c.status == "False").map(|c| c.reason.clone())
}

#[test]
fn what_keeps_out_of_the_account_for_a_moment_calls_no_person() {
    let mut world = World::new(&one_target());
    world.converge();
    let refused = |reason| Some(Refusal { reason, message: "no way in".into() });
    for (paid, reason) in [(2, "AwsUnavailable"), (3, "VaultUnavailable")] {
        world.now += SignedDuration::from_hours(2);
        force_renewal(&mut world);
        world.kept_out = refused(reason);
        let rested = world.pass(|| Fault::Fine);
        assert!(matches!(rested, Pass::Rested(rest) if rest <= SignedDuration::from_secs(30)), "{rested:?}");
        assert!(ready(&world) && stalled(&world).is_none(), "{:#?}", world.certificate.status);
        world.kept_out = None;
        world.now += SignedDuration::from_secs(30);
        world.converge();
        assert_eq!((world.paid, stalled(&world)), (paid, None));
    }
    world.now += SignedDuration::from_hours(2);
    force_renewal(&mut world);
    world.kept_out = refused("WrongAccount");
    world.pass(|| Fault::Fine);
    assert!(stalled(&world).is_some_and(|why| why.starts_with("WrongAccount")));
}

#[test]
fn that_aws_can_not_be_reached_is_told_of_a_new_certificate_at_once_and_when_it_is_over() {
    let mut world = World::new(&one_target());
    world.deaf = 1;
    world.pass(|| Fault::Fine);
    assert_eq!(why_not_ready(&world).as_deref(), Some("AwsUnavailable"));
    world.now += SignedDuration::from_secs(1);
    world.pass(|| Fault::Fine);
    assert_eq!(why_not_ready(&world).as_deref(), Some("Issuing"));
    let next = world.certificate.status.clone().unwrap().next.unwrap();
    assert_eq!((&*next.action, next.blocked_by), ("Issue", None));
    world.converge();
    assert!(ready(&world), "{:#?}", world.certificate.status);
    assert_eq!((world.events, world.paid), (vec!["Issued".to_owned()], 1));
}

#[test]
fn what_an_account_does_not_allow_is_told_within_three_seconds() {
    let mut world = World::new(&one_target());
    world.account.spec.regions.clear();
    // By now it is two seconds old: the account may come with the same `kubectl apply`.
    let Pass::Rested(rest) = world.pass(|| Fault::Fine) else { panic!("no rest") };
    assert!(rest <= SignedDuration::from_secs(1) && stalled(&world).is_none(), "{rest}");
    world.now += rest;
    world.pass(|| Fault::Fine);
    assert!(stalled(&world).unwrap().starts_with("RegionNotAllowed"), "{:?}", stalled(&world));
}

#[test]
fn names_of_requests_that_others_have_are_looked_at_soon_and_then_less_often() {
    let mut other = World::new(&one_target());
    until(&mut other, |w| !w.requests.is_empty());
    let theirs = other.requests[&1].clone();
    let mut world = World::new(&one_target());
    for revision in 1..=super::super::SLOTS {
        let mut request = theirs.clone();
        request.metadata.owner_references = None;
        request.annotations_mut().insert(crate::api::REVISION_ANNOTATION.into(), revision.to_string());
        world.requests.insert(revision, request);
    }
    let mut rests = vec![];
    for _ in 0..7 {
        let Pass::Rested(rest) = world.pass(|| Fault::Fine) else { panic!("no rest") };
        assert!(stalled(&world).unwrap().starts_with("RequestConflict"), "{:?}", stalled(&world));
        rests.push(rest.as_secs());
        world.now += rest;
    }
    assert_eq!(rests[..2], [30, 30]);
    assert!(rests.is_sorted() && rests[6] == 600, "{rests:?}");
    world.requests.remove(&5);
    world.converge();
    assert!(ready(&world) && stalled(&world).is_none(), "{:#?}", world.certificate.status);
    assert_eq!((world.paid, world.new_imports), (1, 1));
}

#[test]
fn a_renewal_asked_for_in_the_future_comes_in_its_time() {
    let mut world = World::new(&one_target());
    world.converge();
    let soon = (world.now + SignedDuration::from_mins(5)).to_string();
    annotate(&mut world, RENEW_ANNOTATION, &soon);
    let Pass::Rested(rest) = world.pass(|| Fault::Fine) else { panic!("no rest") };
    assert!(rest <= SignedDuration::from_mins(5), "{rest}");
    assert_eq!(world.paid, 1);
    world.now += rest;
    world.converge();
    assert_eq!(world.paid, 2);
}

#[test]
fn a_renewal_that_was_answered_stays_so_when_the_clock_is_set_back() {
    for secret_too in [false, true] {
        let mut world = World::new(&one_target());
        world.converge();
        force_renewal(&mut world);
        world.converge();
        world.now -= SignedDuration::from_secs(30);
        if secret_too {
            world.secret = None;
        }
        change_spec(&mut world, |spec| spec.subject.additional_names.push("new.pay.example".into()));
        world.converge();
        world.now += SignedDuration::from_hours(26);
        world.converge();
        assert_eq!(world.paid, 3);
    }
}

#[test]
fn a_renewal_that_was_answered_stays_so_whatever_the_annotations_of_a_lost_key_say() {
    let mut world = World::new(&one_target());
    world.converge();
    force_renewal(&mut world);
    world.converge();
    let asked = world.certificate.annotations()[RENEW_ANNOTATION].parse::<jiff::Timestamp>().unwrap();
    world.now = asked - SignedDuration::from_secs(1);
    world.edit_annotation(crate::api::REVISION_ANNOTATION, Some("7"));
    world.edit_annotation(RENEW_ANNOTATION, Some("2025-01-01T00:00:00Z"));
    world.edit_secret("tls.key", Some("nonsense"));
    until(&mut world, |w| w.requests.len() == 3);
    world.sign();
    world.crash();
    world.now += SignedDuration::from_mins(1);
    world.converge();
    assert_eq!(world.paid, 3);
    assert!(ready(&world), "{:#?}", world.certificate.status);
    assert_silent(&mut world);
}

#[test]
fn a_foreign_secret_is_nobodys_certificate_here() {
    let mut world = World::new(&one_target());
    world.converge();
    let theirs = world.secret.as_mut().unwrap();
    theirs.metadata.annotations = None;
    world.certificate.status = None;
    world.crash();
    world.converge();
    assert!(stalled(&world).unwrap().contains("is not this Certificate's"), "{:?}", stalled(&world));
    let status = world.certificate.status.clone().unwrap();
    assert!(!ready(&world) && status.serial_number.is_none() && status.history.is_empty(), "{status:#?}");
    assert!(status.conditions.iter().all(|c| c.type_ != "Delivered"));
    let other = crate::api::OWNED_BY_ANNOTATION.to_owned();
    world.secret.as_mut().unwrap().metadata.annotations = Some([(other, "other".to_owned())].into());
    world.converge();
    assert!(stalled(&world).unwrap().contains("\"other\" keeps the Secret"), "{:?}", stalled(&world));
    assert_eq!(world.paid, 1);
}

#[test]
fn a_revision_that_is_none_is_not_believed() {
    for revision in [i64::MAX, i64::MIN, -1] {
        let mut world = World::new(&one_target());
        world.converge();
        let annotations = world.secret.as_mut().unwrap().metadata.annotations.as_mut().unwrap();
        annotations.insert(crate::api::REVISION_ANNOTATION.into(), revision.to_string());
        world.certificate.status.as_mut().unwrap().revision = Some(revision);
        force_renewal(&mut world);
        world.converge();
        assert!(ready(&world), "{:#?}", world.certificate.status);
        assert_eq!(world.of_target("edge").len(), 1);
    }
}

#[test]
fn reads_that_fail_end_the_pass() {
    let mut world = World::new(&removable());
    world.converge();
    // A renewal whose pre-flight has to look at ACM.
    world.certificate.status.as_mut().unwrap().targets[0].serial_number = None;
    force_renewal(&mut world);
    world.deaf = 1000;
    world.converge();
    assert_eq!(world.paid, 1);
    assert!(world.deaf > 900, "each pass asks once: {}", world.deaf);
    world.certificate.metadata.deletion_timestamp = Some(Time(world.now));
    world.certificate.status.as_mut().unwrap().targets[0].arn = None;
    world.certificate.status.as_mut().unwrap().targets[0].pending_since = Some(Time(world.now));
    world.now += SignedDuration::from_mins(2);
    let before = world.deaf;
    world.pass(|| Fault::Fine);
    assert!(before - world.deaf <= 2);
    // After a day it is let go, whether or not it can be marked.
    world.deaf = 0;
    world.now += SignedDuration::from_hours(25);
    for _ in 0..5 {
        world.pass(|| Fault::Refused);
    }
    world.converge();
    assert!(world.gone);
}

#[test]
fn what_was_left_alone_without_reimport_stays_when_reimport_begins() {
    let mut world = World::new(&spec(&json!([{ "name": "edge", "reimport": false }])));
    world.converge();
    world.now += SignedDuration::from_mins(5);
    force_renewal(&mut world);
    world.converge();
    assert_eq!(world.of_target("edge").len(), 2);
    let arns = |world: &World| world.acm.iter().map(|c| c.arn.to_string()).collect::<Vec<_>>();
    let before = arns(&world);
    for wipe in [false, true] {
        change_spec(&mut world, |spec| spec.acm[0].reimport = Some(true));
        world.now += SignedDuration::from_mins(5);
        force_renewal(&mut world);
        world.converge();
        assert!(ready(&world), "{:#?}", world.certificate.status);
        assert_eq!(arns(&world), before);
        assert_eq!(Some(world.acm[1].leaf.serial.clone()), world.serial());
        if wipe {
            world.certificate.status = None;
            world.converge();
            assert_eq!(arns(&world), before);
        }
    }
    // And off again: the one that is there is this revision's.
    change_spec(&mut world, |spec| spec.acm[0].reimport = Some(false));
    world.converge();
    world.certificate.status = None;
    world.converge();
    assert_eq!(arns(&world), before);
    force_renewal(&mut world);
    world.converge();
    assert_eq!(arns(&world).len(), 3);
}

#[test]
fn what_acm_has_is_looked_at_before_anything_is_paid_for_even_where_no_arn_is_known() {
    let mut world = World::new(&one_target());
    world.converge();
    world.certificate.status = None;
    world.secret = None;
    change_spec(&mut world, |spec| {
        spec.private_key = Some(serde_json::from_value(json!({ "algorithm": "ECDSA", "size": 384 })).unwrap());
    });
    world.now += SignedDuration::from_mins(5);
    world.converge();
    assert!(stalled(&world).unwrap().starts_with("PreflightFailed"), "{:?}", stalled(&world));
    assert_eq!((world.paid, world.new_imports), (1, 1));
    // The same while nobody knows yet whether the import was made.
    let mut world = at_the_import(&one_target(), Fault::AnswerLost);
    change_spec(&mut world, |spec| {
        spec.subject = serde_json::from_value(json!({ "domainName": "other.example" })).unwrap();
    });
    world.converge();
    assert!(stalled(&world).unwrap().contains("none of the domains"), "{:?}", stalled(&world));
    assert_eq!((world.paid, world.new_imports), (1, 1));
}

#[test]
fn a_certificate_that_is_being_replaced_goes_under_no_new_arn() {
    let mut world = at_the_import(&one_target(), Fault::Unsent);
    change_spec(&mut world, |spec| {
        spec.subject = serde_json::from_value(json!({ "domainName": "other.example" })).unwrap();
    });
    // The signature takes its time.
    for _ in 0..5 {
        world.now += SignedDuration::from_mins(2);
        world.pass(|| Fault::Fine);
    }
    world.converge();
    assert!(ready(&world), "{:#?}", world.certificate.status);
    assert!(world.of_target("edge")[0].leaf.names.dns.contains("other.example"));
    assert_eq!((world.paid, world.new_imports), (2, 1));
}

#[test]
fn a_secret_that_is_deleted_again_and_again_does_not_buy_for_ever() {
    let mut world = World::new(&one_target());
    for _ in 0..30 {
        world.secret = None;
        world.converge();
    }
    assert!(world.paid <= 6, "{} paid for", world.paid);
    world.now += SignedDuration::from_hours(2);
    world.converge();
    assert!(ready(&world), "{:#?}", world.certificate.status);
    assert_silent(&mut world);
}

#[test]
fn a_person_who_asks_for_a_renewal_passes_the_brake() {
    let mut world = World::new(&one_target());
    world.converge();
    for _ in 0..3 {
        world.now += SignedDuration::from_secs(30);
        world.secret = None;
        world.converge();
    }
    assert!(stalled(&world).unwrap().starts_with("IssuedTooOften"), "{:?}", stalled(&world));
    let paid = world.paid;
    force_renewal(&mut world);
    world.converge();
    assert!(ready(&world) && stalled(&world).is_none(), "{:#?}", world.certificate.status);
    assert_eq!(world.paid, paid + 1);
}

#[test]
fn a_tag_whose_writing_was_cut_off_is_taken_away_when_it_is_not_wanted() {
    let tagged = |key: &str| spec(&json!([{ "name": "edge", "tags": { key: "1" } }]));
    let target = |key: &str| serde_json::from_value(tagged(key)["acm"].clone()).unwrap();
    let mut world = World::new(&tagged("a"));
    world.converge();
    change_spec(&mut world, |spec| spec.acm = target("b"));
    // What is noted is stored; the tags are written; the process ends before it says so.
    assert_eq!(faulty(&mut world, &[Fault::Fine, Fault::CrashAfter]), Pass::Crashed);
    assert!(world.acm[0].tags.contains_key("b"));
    change_spec(&mut world, |spec| spec.acm = target("c"));
    world.converge();
    let keys: Vec<&String> = world.acm[0].tags.keys().filter(|key| !key.starts_with("arnkeeper.dev/")).collect();
    assert_eq!(keys, ["c"]);
    assert_silent(&mut world);
}

#[test]
fn a_spec_that_changes_its_mind_while_nothing_is_signed_finds_its_way() {
    let mut world = World::new(&one_target());
    for n in 0..30 {
        change_spec(&mut world, |spec| spec.subject.additional_names = vec![format!("n{n}.pay.example")]);
        faulty(&mut world, &[]);
        world.supersede();
        world.now += SignedDuration::from_mins(2);
    }
    world.converge();
    assert!(ready(&world), "{:#?}", world.certificate.status);
    assert_eq!(world.paid, 1);
}

#[test]
fn a_staged_secret_of_somebody_else_stays() {
    let mut world = World::new(&one_target());
    world.converge();
    let mut foreign = world.secret.clone().unwrap();
    foreign.metadata.owner_references = None;
    world.staged.insert(1, foreign);
    world.certificate.status = None;
    world.crash();
    world.now += SignedDuration::from_mins(2);
    world.converge();
    assert!(ready(&world));
    assert_eq!(world.staged.len(), 1);
    assert_silent(&mut world);
}

#[test]
fn a_clock_that_is_set_back_after_the_creation_keeps_nothing_untold_or_waiting() {
    let mut world = World::new(&two_targets());
    world.now -= SignedDuration::from_hours(3);
    world.account.spec.enabled = false;
    world.converge();
    assert!(stalled(&world).is_some(), "{:#?}", world.certificate.status);
    world.account.spec.enabled = true;
    world.converge();
    assert!(ready(&world) && stalled(&world).is_none(), "{:#?}", world.certificate.status);
    assert_eq!((world.paid, world.of_target("edge").len()), (1, 1));
}

#[test]
fn credentials_that_change_within_a_pass_leave_nothing_of_what_was_seen() {
    let (one, other): (AccountId, AccountId) = ("111122223333".parse().unwrap(), "444455556666".parse().unwrap());
    let mut o = World::new(&two_targets()).observe();
    assert!(o.is_still("prod", &one), "nothing is known yet");
    o.sessions.insert("prod".into(), Ok(one.clone()));
    o.targets.get_mut("edge").unwrap().lookup = Some(Lookup::Found(vec![]));
    assert!(o.is_still("prod", &one) && o.targets["edge"].lookup.is_some());
    assert!(!o.is_still("prod", &other));
    assert!(o.targets["edge"].lookup.is_none() && o.sessions.is_empty());
}

#[test]
fn a_new_one_tells_of_a_long_wait_for_acms_list_by_one_write_and_of_a_short_one_by_none() {
    let managed = json!({
        "accountRef": { "name": "prod" }, "region": "eu-west-1", "duration": "2160h",
        "source": { "acmManaged": { "certificateAuthority": { "name": "Example Private CA" } } },
        "subject": { "domainName": "app.pay.example" }, "acm": [{ "name": "edge" }],
    });
    for spec in [one_target(), managed] {
        let mut writes = vec![];
        for wait in [0, 9, 15] {
            let mut world = World::new(&spec);
            // As the API server fills it in.
            world.certificate.status = Some(serde_json::from_value(json!({ "observedGeneration": -1 })).unwrap());
            if spec["source"]["acmManaged"].is_null() {
                until(&mut world, |w| w.requests.values().any(|r| r.status.is_some()));
            }
            world.next_list = world.now + SignedDuration::from_secs(wait);
            world.pass(|| Fault::Fine);
            if wait > 0 {
                let conditions = &world.certificate.status.as_ref().unwrap().conditions;
                let told = conditions.iter().find(|c| c.type_ == READY);
                let told = told.map(|c| c.message.contains("waits for a new list of what ACM has"));
                assert_eq!(told, (wait == 15).then_some(true), "{wait} s: {conditions:#?}");
            }
            world.converge();
            assert!(ready(&world) && world.acm.len() == 1, "{:#?}", world.certificate.status);
            writes.push(world.changes);
            assert_silent(&mut world);
        }
        assert_eq!([writes[1] - writes[0], writes[2] - writes[0]], [0, 1]);
    }
}
