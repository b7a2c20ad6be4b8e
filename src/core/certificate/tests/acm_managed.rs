//! A certificate that ACM issues and renews: one ARN, one payment, the right key in the Secret, and silence in the end.

mod any;
mod disturbed;

use super::*;
use crate::{
    api::{RENEW_ANNOTATION, certificate::TargetState},
    core::secret::SecretObject,
};

fn managed(secret: bool) -> Value {
    let mut spec = json!({
        "accountRef": { "name": "prod" }, "region": "eu-west-1", "duration": "2160h",
        "source": { "acmManaged": { "certificateAuthority": { "name": "Example Private CA" } } },
        "subject": { "domainName": "app.pay.example", "additionalNames": ["www.pay.example"] },
        "acm": [{ "name": "edge", "tags": { "team": "pay" } }],
    });
    if secret {
        spec["secret"] = json!({ "name": "app-tls" });
    }
    spec
}

fn condition(world: &World, kind: &str) -> Option<String> {
    let status = world.certificate.status.as_ref()?;
    status.conditions.iter().find(|c| c.type_ == kind).map(|c| format!("{} {}", c.status, c.reason))
}

fn ask_for_renewal(world: &mut World) {
    let now = world.now.to_string();
    annotate(world, RENEW_ANNOTATION, &now);
    world.touch();
}

/// The Secret holds what ACM has, with its key.
fn assert_in_secret(world: &World) {
    let secret = SecretObject::from(world.secret.clone().expect("there is a Secret"));
    let pair = secret.key_pair().expect("it is whole");
    assert_eq!(pair.chain.leaf.serial, world.acm[0].leaf.serial);
}

/// The days pass, and the operator works as it likes.
fn pass_days(world: &mut World, days: i64) {
    let end = world.now + SignedDuration::from_hours(24 * days);
    while world.now < end {
        match world.pass(|| Fault::Fine) {
            // Looks at the Secret, twice an hour, are of no interest here.
            Pass::Rested(rest) => {
                world.now += if is_quiet(world) { rest.max(SignedDuration::from_hours(8)) } else { rest }
            }
            Pass::Crashed => {}
        }
    }
}

/// Nothing is under way.
fn is_quiet(world: &World) -> bool {
    condition(world, "Issuing").is_none() && ready(world)
}

#[test]
fn without_a_secret_no_key_leaves_acm() {
    let mut world = World::new(&managed(false));
    world.converge();
    assert!(ready(&world), "{:#?}", world.certificate.status);
    let status = world.certificate.status.clone().unwrap();
    assert_eq!(status.serial_number, Some(world.acm[0].leaf.serial.to_string()));
    assert_eq!((status.revision, status.history.len(), &*status.history[0].trigger), (Some(1), 1, "Issued"));
    assert!(status.not_after.is_some() && status.fingerprint.is_none() && status.renewal_time.is_none());
    assert_eq!(status.managed.unwrap().state, "ISSUED");
    assert_eq!((world.issued_by_acm, world.exports, world.paid), (1, 0, 0));
    assert!(world.secret.is_none() && world.requests.is_empty() && world.staged.is_empty());
    assert_eq!(world.acm[0].tags.get("team").map(String::as_str), Some("pay"));
    assert_eq!(world.events, ["Issued"]);
    assert_eq!(condition(&world, "Delivered").as_deref(), Some("True Delivered"));
    assert_silent(&mut world);
}

#[test]
fn a_quiet_one_is_looked_at_once_a_day_and_nothing_is_written() {
    let mut world = World::new(&managed(false));
    world.converge();
    let (describes, changes) = (world.describes, world.changes);
    pass_days(&mut world, 20);
    assert!((18..=22).contains(&(world.describes - describes)), "{} looks in 20 days", world.describes - describes);
    assert_eq!(world.changes, changes);
}

#[test]
fn it_is_exported_and_each_renewal_too() {
    let mut world = World::new(&managed(true));
    world.converge();
    assert!(ready(&world), "{:#?}", world.certificate.status);
    assert_in_secret(&world);
    assert_eq!((world.issued_by_acm, world.exports), (1, 1));
    assert_eq!(world.events, ["Issued"]);
    assert!(world.certificate.status.as_ref().unwrap().renewal_time.is_some());
    assert_silent(&mut world);
    let arn = arn(&world, "edge");
    pass_days(&mut world, 750);
    world.converge();
    assert!(ready(&world) && stalled(&world).is_none(), "{:#?}", world.certificate.status);
    assert_in_secret(&world);
    assert_eq!((world.issued_by_acm, world.exports, super::arn(&world, "edge")), (3, 3, arn));
    let status = world.certificate.status.clone().unwrap();
    assert_eq!((status.revision, &*status.history[0].trigger), (Some(3), "ManagedRenewal"));
    assert_eq!(world.events, ["Issued", "Renewed", "Renewed"]);
    assert_silent(&mut world);
}

#[test]
fn what_nobody_uses_is_not_renewed_and_that_is_told() {
    let mut world = World::new(&managed(false));
    world.converge();
    pass_days(&mut world, 340);
    assert!(ready(&world));
    assert!(stalled(&world).is_some_and(|why| why.starts_with("RenewalIneligible")), "{:?}", stalled(&world));
    world.acm[0].in_use = true;
    pass_days(&mut world, 2);
    assert!(ready(&world) && stalled(&world).is_none(), "{:#?}", world.certificate.status);
    assert_eq!((world.issued_by_acm, world.acm.len(), world.exports), (2, 1, 0));
    // Without any use, and at its end.
    world.acm[0].in_use = false;
    pass_days(&mut world, 400);
    assert!(!ready(&world));
    assert_eq!(world.acm.len(), 1);
}

#[test]
fn a_person_has_it_renewed_once() {
    let mut world = World::new(&managed(true));
    world.converge();
    let arn = arn(&world, "edge");
    world.now += SignedDuration::from_hours(1);
    ask_for_renewal(&mut world);
    world.converge();
    assert!(ready(&world) && stalled(&world).is_none(), "{:#?}", world.certificate.status);
    assert_in_secret(&world);
    assert_eq!((world.renewals, world.issued_by_acm, world.exports), (1, 2, 2));
    assert_eq!(super::arn(&world, "edge"), arn);
    assert_eq!(world.certificate.status.as_ref().unwrap().history[0].trigger, "Requested");
    assert_silent(&mut world);
    pass_days(&mut world, 5);
    assert_eq!(world.renewals, 1);
}

#[test]
fn a_renewal_that_was_asked_for_before_the_certificate_is_answered_by_it() {
    let mut world = World::new(&managed(true));
    annotate(&mut world, RENEW_ANNOTATION, "2026-01-01T00:00:00Z");
    world.converge();
    assert!(ready(&world));
    assert_eq!((world.renewals, world.issued_by_acm), (0, 1));
    assert_silent(&mut world);
}

#[test]
fn a_crash_around_a_renewal_that_was_asked_for_pays_for_one() {
    for (fault, at) in [Fault::CrashBefore, Fault::CrashAfter, Fault::AnswerLost, Fault::Unsent, Fault::Refused]
        .into_iter()
        .flat_map(|fault| (0..4).map(move |at| (fault, at)))
    {
        let mut world = World::new(&managed(true));
        world.converge();
        world.now += SignedDuration::from_hours(1);
        ask_for_renewal(&mut world);
        let mut calls = 0;
        world.pass(|| {
            calls += 1;
            if calls == at + 1 { fault } else { Fault::Fine }
        });
        world.now += SignedDuration::from_secs(3);
        world.converge();
        world.now += SignedDuration::from_mins(11);
        world.converge();
        assert!(ready(&world) && stalled(&world).is_none(), "{fault:?} {at}: {:#?}", world.certificate.status);
        assert_eq!((world.issued_by_acm, world.acm.len()), (2, 1), "{fault:?} {at}");
        assert_in_secret(&world);
        assert_silent(&mut world);
    }
}

#[test]
fn why_it_failed_is_told_and_it_is_requested_again_after_an_hour() {
    let mut world = World::new(&managed(true));
    world.acm_failure = Some("PCA_ACCESS_DENIED");
    world.converge();
    assert!(stalled(&world).is_some_and(|why| why.starts_with("IssuanceFailed") && why.contains("CreatePermission")));
    assert!(!ready(&world));
    assert_eq!((world.acm.len(), world.exports), (1, 0));
    assert_silent(&mut world);
    world.acm_failure = None;
    world.now += SignedDuration::from_mins(61);
    world.converge();
    assert!(ready(&world) && stalled(&world).is_none(), "{:#?}", world.certificate.status);
    assert_eq!((world.acm.len(), world.new_imports), (1, 2));
    assert_in_secret(&world);
    assert!(!world.events.iter().any(|event| event == "Drift"), "{:?}", world.events);
    assert_silent(&mut world);
}

#[test]
fn one_that_failed_is_requested_again_also_after_its_status_was_wiped() {
    let mut world = World::new(&managed(false));
    world.acm_failure = Some("PCA_ACCESS_DENIED");
    world.converge();
    world.certificate.status = None;
    world.touch();
    world.crash();
    world.converge();
    assert!(stalled(&world).is_some_and(|why| why.starts_with("IssuanceFailed")), "{:?}", stalled(&world));
    assert_silent(&mut world);
    world.acm_failure = None;
    world.now += SignedDuration::from_mins(61);
    world.converge();
    assert!(ready(&world) && stalled(&world).is_none(), "{:#?}", world.certificate.status);
    assert_eq!((world.acm.len(), world.new_imports), (1, 2));
}

#[test]
fn why_a_renewal_failed_is_told_and_the_old_one_stays() {
    let mut world = World::new(&managed(true));
    world.converge();
    let before = world.serial();
    world.acm_failure = Some("PCA_INVALID_STATE");
    pass_days(&mut world, 340);
    assert!(stalled(&world).is_some_and(|why| why.starts_with("RenewalFailed") && why.contains("PCA_INVALID_STATE")));
    assert!(ready(&world));
    assert_eq!(world.serial(), before);
    world.acm_failure = None;
    pass_days(&mut world, 2);
    assert!(ready(&world) && stalled(&world).is_none(), "{:#?}", world.certificate.status);
    assert_ne!(world.serial(), before);
    assert_in_secret(&world);
}

#[test]
fn a_renewal_that_was_asked_for_and_failed_is_told_at_once_and_asked_for_again_after_an_hour() {
    let mut world = World::new(&managed(true));
    world.converge();
    world.now += SignedDuration::from_hours(1);
    world.acm_failure = Some("PCA_ACCESS_DENIED");
    ask_for_renewal(&mut world);
    world.converge();
    assert!(stalled(&world).is_some_and(|why| why.starts_with("RenewalFailed")), "{:?}", stalled(&world));
    assert!(ready(&world));
    assert_eq!(world.renewals, 1);
    assert_silent(&mut world);
    world.acm_failure = None;
    world.now += SignedDuration::from_mins(61);
    world.converge();
    assert!(ready(&world) && stalled(&world).is_none(), "{:#?}", world.certificate.status);
    assert_eq!((world.renewals, world.issued_by_acm), (2, 2));
    assert_in_secret(&world);
    assert_silent(&mut world);
}

#[test]
fn a_lost_or_spoilt_secret_is_filled_again_and_nothing_is_bought() {
    let mut world = World::new(&managed(true));
    world.converge();
    world.secret = None;
    world.converge();
    assert_in_secret(&world);
    world.edit_secret("tls.key", Some("nonsense"));
    world.now += SignedDuration::from_mins(31);
    world.converge();
    assert_in_secret(&world);
    assert_eq!((world.issued_by_acm, world.acm.len()), (1, 1));
    assert_eq!(world.certificate.status.as_ref().unwrap().revision, Some(1));
    assert_silent(&mut world);
}

#[test]
fn what_is_gone_from_acm_is_requested_again() {
    let mut world = World::new(&managed(true));
    world.converge();
    let old = arn(&world, "edge");
    world.acm.clear();
    world.tokens.clear();
    pass_days(&mut world, 2);
    world.converge();
    assert!(ready(&world), "{:#?}", world.certificate.status);
    assert_ne!(arn(&world, "edge"), old);
    assert_in_secret(&world);
    assert!(world.events.iter().any(|event| event == "Drift"));
    // Within the hour of its token, too, which would give the ARN that is gone.
    world.now += SignedDuration::from_mins(5);
    world.acm.clear();
    change_spec(&mut world, |spec| spec.history_limit = 3);
    world.converge();
    assert_eq!(world.acm.len(), 1);
    assert!(ready(&world), "{:#?}", world.certificate.status);
}

#[test]
fn what_is_gone_within_its_first_minute_is_requested_again_after_it() {
    let mut world = World::new(&managed(false));
    world.converge();
    world.acm.clear();
    change_spec(&mut world, |spec| spec.history_limit = 3);
    world.now -= SignedDuration::from_secs(30);
    world.converge();
    assert!(ready(&world), "{:#?}", world.certificate.status);
    assert_eq!((world.acm.len(), world.new_imports), (1, 2));
    assert_silent(&mut world);
}

#[test]
fn a_certificate_made_again_goes_on_with_its_own_and_never_with_one_for_other_names() {
    let mut world = World::new(&managed(true));
    world.converge();
    let old = arn(&world, "edge");
    world.certificate.metadata.uid = Some("u1".into());
    world.certificate.status = None;
    world.crash();
    world.now += SignedDuration::from_mins(5);
    world.converge();
    assert!(ready(&world), "{:#?}", world.certificate.status);
    assert_eq!((arn(&world, "edge"), world.issued_by_acm), (old, 1));
    // Another subject under the same name.
    world.certificate.metadata.uid = Some("u2".into());
    world.certificate.status = None;
    world.crash();
    change_spec(&mut world, |spec| spec.subject.additional_names = vec!["other.pay.example".into()]);
    world.now += SignedDuration::from_mins(5);
    world.converge();
    assert!(stalled(&world).is_some_and(|why| why.starts_with("DifferentInAcm")), "{:?}", stalled(&world));
    assert_eq!((world.acm.len(), world.issued_by_acm), (1, 1));
}

#[test]
fn a_status_that_names_somebody_elses_certificate_leads_to_no_key() {
    let mut world = World::new(&managed(true));
    world.converge();
    let mut theirs = world.acm[0].clone();
    theirs.arn = "arn:aws:acm:eu-west-1:111122223333:certificate/77777777-0000-0000-0000-000000000000".parse().unwrap();
    theirs.tags.insert("arnkeeper.dev/name".into(), "another".into());
    world.acm.push(theirs.clone());
    let exports = world.exports;
    let status = world.certificate.status.as_mut().unwrap();
    status.targets[0].arn = Some(theirs.arn);
    status.targets[0].serial_number = None;
    status.serial_number = None;
    world.secret = None;
    world.touch();
    world.converge();
    assert!(stalled(&world).is_some_and(|why| why.starts_with("OwnershipUnknown")), "{:?}", stalled(&world));
    assert_eq!(world.exports, exports);
}

#[test]
fn an_answer_that_is_lost_makes_no_second_arn() {
    for fault in [
        Fault::AnswerLost,
        Fault::CrashAfter,
        Fault::CrashBefore,
        Fault::Unsent,
        Fault::Frozen,
        Fault::FrozenUnanswered,
    ] {
        for at in 0..6 {
            let mut world = World::new(&managed(true));
            let mut calls = 0;
            world.pass(|| {
                calls += 1;
                if calls == at + 1 { fault } else { Fault::Fine }
            });
            for _ in 0..4 {
                world.now += SignedDuration::from_secs(70);
                world.converge();
            }
            assert!(ready(&world), "{fault:?} {at}: {:#?}", world.certificate.status);
            assert_eq!(world.of_target("edge").len(), 1, "{fault:?} {at}");
            assert_in_secret(&world);
            assert_silent(&mut world);
        }
    }
}

#[test]
fn a_second_one_with_its_tags_is_deleted_unless_something_uses_it() {
    for in_use in [false, true] {
        let mut world = World::new(&managed(true));
        world.converge();
        let first = arn(&world, "edge");
        let mut twin = world.acm[0].clone();
        twin.arn =
            "arn:aws:acm:eu-west-1:111122223333:certificate/77777777-0000-0000-0000-000000000000".parse().unwrap();
        twin.in_use = in_use;
        world.acm.push(twin);
        pass_days(&mut world, 2);
        world.converge();
        let left: Vec<String> = world.of_target("edge").iter().map(|c| c.arn.to_string()).collect();
        assert_eq!((left.len(), &left[0]), (1 + usize::from(in_use), &first));
        assert!(ready(&world));
    }
}

#[test]
fn it_goes_with_the_certificate_only_if_that_is_wanted() {
    for (policy, left) in [("Retain", 1), ("Delete", 0)] {
        let mut spec = managed(true);
        spec["acm"] = json!([{ "name": "edge", "deletionPolicy": policy }]);
        let mut world = World::new(&spec);
        world.converge();
        if policy == "Delete" {
            world.certificate.metadata.deletion_timestamp = Some(Time(world.now));
            world.touch();
            world.converge();
            assert!(world.gone);
        }
        assert_eq!(world.acm.len(), left);
    }
}

#[test]
fn a_ca_that_can_not_is_told_before_anything_is_requested() {
    let mut world = World::new(&managed(true));
    change_spec(&mut world, |spec| {
        spec.private_key = serde_json::from_value(json!({ "algorithm": "RSA" })).unwrap();
    });
    world.converge();
    assert!(stalled(&world).is_some_and(|why| why.starts_with("PreflightFailed")), "{:?}", stalled(&world));
    assert_eq!((world.issued_by_acm, world.changes), (0, 1));
    assert_silent(&mut world);
}
