//! The credentials of an account come to lead to another AWS account: what was begun stays bound to the one it was begun in.

use super::*;

const OTHER: &str = "444455556666";
const OLD: &str = "111122223333";

fn managed() -> Value {
    json!({
        "accountRef": { "name": "prod" }, "region": "eu-west-1", "duration": "2160h",
        "source": { "acmManaged": { "certificateAuthority": { "name": "Example Private CA" } } },
        "subject": { "domainName": "app.pay.example" }, "acm": [{ "name": "edge" }],
    })
}

/// Minutes pass, and the process ends now and then.
fn pass_minutes(world: &mut World) {
    for crash in [false, true, false] {
        if crash {
            world.crash();
        }
        world.now += SignedDuration::from_secs(70);
        world.converge();
    }
}

fn in_account(world: &World, account: &str) -> usize {
    world.of_target("edge").iter().filter(|c| c.arn.as_str().contains(account)).count()
}

/// The answer of the call that makes the ARN is not known, and the credentials lead elsewhere.
fn moved(spec: &Value, fault: Fault) -> World {
    let mut world = if spec["source"]["acmManaged"].is_null() {
        at_the_import(spec, fault)
    } else {
        let mut world = World::new(spec);
        // The record comes first.
        faulty(&mut world, &[Fault::Fine, fault]);
        world
    };
    world.leads_to = OTHER;
    pass_minutes(&mut world);
    world
}

#[test]
fn an_import_without_an_answer_is_bound_to_the_account_it_was_begun_in() {
    for (spec, anew) in [(one_target(), "give the entry another name"), (managed(), "make another Certificate")] {
        for fault in [Fault::AnswerLost, Fault::CrashAfter, Fault::CrashBefore, Fault::Unsent] {
            let mut world = moved(&spec, fault);
            let why = stalled(&world).unwrap_or_default();
            assert!(why.starts_with("AccountChanged") && why.contains(OLD) && why.contains(anew), "{fault:?}: {why}");
            assert!(!ready(&world));
            assert_eq!(in_account(&world, OTHER), 0, "{fault:?}");
            assert_silent(&mut world);
            // The account leads back.
            world.leads_to = OLD;
            world.now += SignedDuration::from_mins(11);
            pass_minutes(&mut world);
            assert!(ready(&world) && stalled(&world).is_none(), "{fault:?}: {:#?}", world.certificate.status);
            assert!(arn(&world, "edge").contains(OLD));
            assert_silent(&mut world);
        }
    }
}

#[test]
fn a_person_begins_anew_by_another_name() {
    for policy in ["Retain", "Delete"] {
        let mut world = moved(&spec(&json!([{ "name": "edge", "deletionPolicy": policy }])), Fault::AnswerLost);
        change_spec(&mut world, |spec| spec.acm[0].name = "anew".into());
        pass_minutes(&mut world);
        assert!(ready(&world) && stalled(&world).is_none(), "{:#?}", world.certificate.status);
        assert!(arn(&world, "anew").contains(OTHER));
        assert_eq!((in_account(&world, OLD), world.certificate.status.as_ref().unwrap().targets.len()), (1, 1));
        let told = world.notes.iter().any(|note| note.contains("is left in ACM") && note.contains("AccountChanged"));
        assert_eq!(told, policy == "Delete", "{:?}", world.notes);
        assert_silent(&mut world);
    }
}

#[test]
fn what_aws_refused_is_bound_to_no_account() {
    let mut world = at_the_import(&one_target(), Fault::Refused);
    world.leads_to = OTHER;
    world.now += SignedDuration::from_mins(11);
    world.converge();
    assert!(ready(&world) && stalled(&world).is_none(), "{:#?}", world.certificate.status);
    assert!(arn(&world, "edge").contains(OTHER));
}

#[test]
fn nothing_is_deleted_in_another_account_and_what_is_left_is_told_after_a_day() {
    for with_arn in [true, false] {
        let spec = spec(&json!([{ "name": "edge", "deletionPolicy": "Delete" }]));
        let mut world = if with_arn { World::new(&spec) } else { at_the_import(&spec, Fault::AnswerLost) };
        if with_arn {
            world.converge();
        }
        world.leads_to = OTHER;
        world.now += SignedDuration::from_mins(2);
        world.certificate.metadata.deletion_timestamp = Some(Time(world.now));
        world.touch();
        for _ in 0..5 {
            world.now += SignedDuration::from_mins(2);
            world.pass(|| Fault::Fine);
        }
        assert!(!world.gone, "the credentials may be given back");
        world.now += SignedDuration::from_hours(24);
        world.converge();
        assert!(world.gone);
        assert_eq!(in_account(&world, OLD), 1);
        assert!(world.notes.iter().any(|note| note.contains("AccountChanged")), "{:?}", world.notes);
    }
}
