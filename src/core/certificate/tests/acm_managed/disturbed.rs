//! What is restored, clocks that are set back, Secrets that others change.

use super::*;

/// The operator's clock is set back; that of ACM does not move.
pub(super) fn set_back(world: &mut World, by: SignedDuration) {
    world.now -= by;
    world.acm.iter_mut().for_each(|there| there.created -= by);
    world.tokens.values_mut().for_each(|(given, _)| *given -= by);
}

/// As after a restore: nothing is told, and another process works.
fn forget(world: &mut World) {
    world.certificate.status = None;
    world.touch();
    world.crash();
    world.now += SignedDuration::from_mins(2);
}

/// Looks at ACM while the time passes.
fn looks_within(world: &mut World, time: SignedDuration) -> usize {
    let (end, before) = (world.now + time, world.describes);
    while world.now < end {
        if let Pass::Rested(rest) = world.pass(|| Fault::Fine) {
            world.now += rest;
        }
    }
    world.describes - before
}

#[test]
fn a_restored_one_that_failed_is_requested_again() {
    let mut world = World::new(&managed(true));
    world.acm_failure = Some("PCA_ACCESS_DENIED");
    world.converge();
    forget(&mut world);
    world.converge();
    assert!(stalled(&world).is_some_and(|why| why.starts_with("IssuanceFailed")), "{:?}", stalled(&world));
    world.acm_failure = None;
    for _ in 0..3 {
        world.now += SignedDuration::from_mins(61);
        world.converge();
    }
    assert!(ready(&world) && stalled(&world).is_none(), "{:#?}", world.certificate.status);
    assert_eq!((world.acm.len(), world.new_imports), (1, 2));
    assert_silent(&mut world);
}

/// ACM's list does not show yet what was asked for a moment ago.
#[test]
fn a_status_that_is_wiped_right_after_the_request_makes_no_second_arn() {
    let mut world = World::new(&managed(false));
    world.now += SignedDuration::from_mins(5);
    while world.of_target("edge").is_empty() {
        world.pass(|| Fault::Fine);
    }
    world.crash();
    // The new process learns from the status that ACM was asked.
    world.pass(|| Fault::Fine);
    world.certificate.status = None;
    world.touch();
    for _ in 0..6 {
        assert_eq!(world.of_target("edge").len(), 1, "{:#?}", world.certificate.status);
        if let Pass::Rested(rest) = world.pass(|| Fault::Fine) {
            world.now += rest.min(SignedDuration::from_secs(30));
        }
    }
    world.converge();
    assert_eq!((world.of_target("edge").len(), ready(&world)), (1, true), "{:#?}", world.certificate.status);
}

#[test]
fn a_restored_one_that_acm_never_issues_is_looked_at_ever_less() {
    let mut world = World::new(&managed(true));
    world.pass(|| Fault::Fine);
    world.acm[0].managed.as_mut().unwrap().looks = u32::MAX;
    forget(&mut world);
    looks_within(&mut world, SignedDuration::from_hours(1));
    let looks = looks_within(&mut world, SignedDuration::from_hours(10));
    assert!((15..=25).contains(&looks), "{looks} looks in ten hours");
    assert_eq!((world.acm.len(), world.new_imports), (1, 1));
}

#[test]
fn a_clock_that_is_set_back_brings_neither_a_loop_nor_a_standstill() {
    let mut world = World::new(&managed(true));
    world.converge();
    // A look by a clock that runs ahead.
    world.now += SignedDuration::from_hours(24 * 20);
    world.converge();
    set_back(&mut world, SignedDuration::from_hours(24 * 19));
    let looks = looks_within(&mut world, SignedDuration::from_hours(24 * 5));
    assert!((4..=7).contains(&looks), "{looks} looks in five days");
    // In the midst of a renewal that takes long.
    ask_for_renewal(&mut world);
    world.now += SignedDuration::from_hours(10);
    world.pass(|| Fault::Fine);
    let at = world.acm.iter_mut().find_map(|c| c.managed.as_mut()).unwrap();
    assert_eq!(at.renewal, Some("PENDING_AUTO_RENEWAL"));
    at.looks = 500;
    set_back(&mut world, SignedDuration::from_hours(9));
    let looks = looks_within(&mut world, SignedDuration::from_hours(8));
    assert!((1..=350).contains(&looks), "{looks} looks in eight hours");
    world.acm[0].managed.as_mut().unwrap().looks = 0;
    world.now += SignedDuration::from_hours(2);
    world.converge();
    assert!(ready(&world) && stalled(&world).is_none(), "{:#?}", world.certificate.status);
    assert_in_secret(&world);
    assert!(world.renewals <= 2 && world.acm.len() == 1, "{}", world.renewals);
    assert_silent(&mut world);
}

#[test]
fn a_secret_that_is_changed_on_its_way_is_told_and_not_written_again_and_again() {
    let mut world = World::new(&managed(true));
    world.webhook = Some("tls.crt");
    looks_within(&mut world, SignedDuration::from_mins(35));
    assert!(stalled(&world).is_some_and(|why| why.starts_with("ExportUnusable") && why.contains("webhook")));
    assert!(world.exports <= 5, "{} exports in 35 minutes", world.exports);
    world.webhook = None;
    world.now += SignedDuration::from_mins(11);
    world.converge();
    assert!(ready(&world) && stalled(&world).is_none(), "{:#?}", world.certificate.status);
    assert_in_secret(&world);
    assert_silent(&mut world);
}

#[test]
fn who_spoils_the_secret_again_and_again_is_answered_once_a_minute() {
    let mut world = World::new(&managed(true));
    world.converge();
    let before = world.exports;
    for _ in 0..60 {
        world.edit_secret("tls.crt", None);
        world.touch();
        world.pass(|| Fault::Fine);
        world.now += SignedDuration::from_secs(5);
    }
    assert!((4..=6).contains(&(world.exports - before)), "{} exports in five minutes", world.exports - before);
    world.now += SignedDuration::from_mins(1);
    world.converge();
    assert_in_secret(&world);
    assert_silent(&mut world);
}

#[test]
fn a_status_that_names_somebody_elses_certificate_tells_nothing_of_it() {
    let mut world = World::new(&managed(false));
    world.converge();
    let mut theirs = World::new(&managed(false));
    change_spec(&mut theirs, |spec| spec.subject.domain_name = "secret.their.example".into());
    theirs.converge();
    let mut theirs = theirs.acm.remove(0);
    theirs.arn = "arn:aws:acm:eu-west-1:111122223333:certificate/77777777-0000-0000-0000-000000000000".parse().unwrap();
    theirs.tags.insert("arnkeeper.dev/name".into(), "another".into());
    world.acm.push(theirs.clone());
    world.certificate.status.as_mut().unwrap().targets[0].arn = Some(theirs.arn);
    change_spec(&mut world, |spec| spec.history_limit = 3);
    world.converge();
    assert!(stalled(&world).is_some_and(|why| why.starts_with("OwnershipUnknown")), "{:?}", stalled(&world));
    assert!(!serde_json::to_string(&world.certificate.status).unwrap().contains("their.example"));
}

#[test]
fn a_changed_tag_that_could_not_be_written_is_written_when_it_can() {
    for fault in [Fault::Unsent, Fault::AnswerLost, Fault::Refused] {
        let mut world = World::new(&managed(true));
        world.converge();
        change_spec(&mut world, |spec| drop(spec.acm[0].tags.insert("team".into(), "web".into())));
        let mut first = true;
        world.pass(|| if std::mem::take(&mut first) { fault } else { Fault::Fine });
        let told = world.certificate.status.clone().unwrap().targets.remove(0);
        assert!(!first && told.state != TargetState::Delivered, "{fault:?}: {told:#?}");
        // A person was told, or it is tried again soon.
        world.now += SignedDuration::from_mins(10);
        world.converge();
        assert_eq!(world.acm[0].tags.get("team").map(String::as_str), Some("web"), "{fault:?}");
        assert!(ready(&world) && stalled(&world).is_none());
        assert_silent(&mut world);
    }
}
