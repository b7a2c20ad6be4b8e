//! What somebody else does to a certificate in ACM or to the Secret is told, and put right.

use super::*;
use crate::api::{
    certificate::{TargetState, TargetStatus},
    names::CertificateArn,
};

/// Time passes until every target was looked at: a day, and an hour.
fn a_day(world: &mut World) {
    let end = world.now + SignedDuration::from_hours(26);
    while world.now < end {
        match world.pass(|| Fault::Fine) {
            Pass::Rested(rest) => world.now += rest.max(SignedDuration::from_millis(1)),
            Pass::Crashed => {}
        }
        world.sign();
    }
}

fn delivered() -> World {
    let spec = spec(&json!([{ "name": "edge", "tags": { "team": "pay" } }]));
    let mut world = World::new(&spec);
    world.converge();
    world.now += SignedDuration::from_mins(5);
    world.events.clear();
    world
}

fn told(world: &World) -> bool {
    world.events.iter().any(|reason| reason == "Drift")
}

fn put_right(world: &mut World) {
    assert!(ready(world) && stalled(world).is_none(), "{:#?}", world.certificate.status);
    let edge = arn(world, "edge");
    let there = world.acm.iter().find(|c| c.arn.as_str() == edge).unwrap();
    assert_eq!(Some(there.leaf.serial.clone()), world.serial());
    assert_eq!(there.tags.get("team").map(String::as_str), Some("pay"));
    assert_silent(world);
}

#[test]
fn at_rest_there_is_one_look_a_day_and_nothing_is_written() {
    let mut world = delivered();
    (world.tag_reads, world.describes, world.lists) = (0, 0, 0);
    let (changes, status) = (world.changes, world.certificate.status.clone());
    let days = 20;
    for day in 0..days {
        a_day(&mut world);
        // A new process looks at nothing at once, and repeats no look.
        if day % 3 == 0 {
            world.crash();
        }
    }
    assert!((days - 1..=days + 2).contains(&world.tag_reads), "{} looks in {days} days", world.tag_reads);
    assert_eq!((world.describes, world.lists), (world.tag_reads, 0));
    assert_eq!((world.changes, &world.certificate.status), (changes, &status));
    assert!(world.events.is_empty());
}

#[test]
fn a_certificate_that_somebody_deleted_is_told_and_imported_anew() {
    let mut world = delivered();
    let old = arn(&world, "edge");
    world.acm.clear();
    a_day(&mut world);
    assert_eq!(world.events, ["Drift"], "no new certificate was issued");
    assert_ne!(arn(&world, "edge"), old);
    assert_eq!((world.new_imports, world.paid), (2, 1));
    put_right(&mut world);
}

#[test]
fn a_certificate_that_somebody_imported_over_is_told_and_put_right_under_its_arn() {
    let mut world = delivered();
    let old = arn(&world, "edge");
    world.import_over("edge");
    a_day(&mut world);
    assert_eq!(world.events, ["Drift"], "no new certificate was issued");
    assert_eq!((arn(&world, "edge"), world.new_imports, world.paid), (old, 1, 1));
    put_right(&mut world);
}

/// Whoever looks within a minute after the import can't tell one from the other.
#[test]
fn what_is_not_shown_within_a_minute_may_be_deleted_and_that_is_told() {
    let mut world = World::new(&one_target());
    until(&mut world, ready);
    world.acm.clear();
    world.process.own.clear();
    world.crash();
    change_spec(&mut world, |spec| {
        spec.acm[0].tags.insert("team".into(), "ship".into());
    });
    world.pass(|| Fault::Fine);
    let message = world.certificate.status.as_ref().unwrap().targets[0].message.clone().unwrap_or_default();
    assert!(message.contains("either not yet") && message.contains("somebody deleted it"), "{message}");
    world.converge();
    assert!(ready(&world), "{:#?}", world.certificate.status);
    assert_eq!((world.acm.len(), world.paid), (1, 1));
}

#[test]
fn a_certificate_is_told_once_whatever_becomes_of_its_targets() {
    let mut world = World::new(&one_target());
    world.converge();
    let another = serde_json::from_value(json!({ "name": "far", "region": "us-east-1" })).unwrap();
    change_spec(&mut world, |spec| spec.acm.push(another));
    world.converge();
    assert!(ready(&world) && world.acm.len() == 2, "{:#?}", world.certificate.status);
    assert_eq!(world.events, ["Issued"]);
    let before = world.certificate.status.as_ref().unwrap().history[0].delivered_at.clone();
    world.now += SignedDuration::from_mins(5);
    force_renewal(&mut world);
    world.converge();
    assert_eq!(world.events, ["Issued", "Renewed"]);
    let history = &world.certificate.status.as_ref().unwrap().history;
    assert_eq!((history.len(), history[1].delivered_at.clone()), (2, before));
    assert!(history[0].delivered_at > history[1].delivered_at);
    assert_silent(&mut world);
}

/// Before it was read back, so that nobody can tell it from an ACM that does not show it yet.
#[test]
fn a_certificate_that_somebody_imported_over_at_once_is_put_right_within_hours() {
    let spec = spec(&json!([{ "name": "edge", "tags": { "team": "pay" } }]));
    let mut world = World::new(&spec);
    world.hidden = SignedDuration::from_secs(30);
    while world.acm.is_empty() {
        if let Pass::Rested(rest) = world.pass(|| Fault::Fine) {
            world.now += rest;
        }
        world.sign();
    }
    let old = arn(&world, "edge");
    world.import_over("edge");
    world.converge();
    assert!(stalled(&world).unwrap().starts_with("NotReadBack"));
    let begin = world.now;
    while stalled(&world).is_some() && world.now < begin + SignedDuration::from_hours(3) {
        if let Pass::Rested(rest) = world.pass(|| Fault::Fine) {
            world.now += rest;
        }
    }
    world.converge();
    assert_eq!((arn(&world, "edge"), world.new_imports, world.paid), (old, 1, 1));
    put_right(&mut world);
}

#[test]
fn tags_of_ours_that_were_removed_are_told_and_put_back() {
    for all in [true, false] {
        let mut world = delivered();
        world.acm[0].tags.retain(|key, _| !key.starts_with("arnkeeper.dev/") || (!all && key.ends_with("/target")));
        a_day(&mut world);
        assert!(told(&world));
        let tags = &world.acm[0].tags;
        assert!(
            ["cluster", "namespace", "name", "target"].iter().all(|k| tags.contains_key(&format!("arnkeeper.dev/{k}")))
        );
        put_right(&mut world);
    }
}

#[test]
fn tags_are_not_put_back_over_what_is_not_ours() {
    let mut world = delivered();
    world.import_over("edge");
    world.acm[0].tags.clear();
    a_day(&mut world);
    assert!(stalled(&world).unwrap().starts_with("OwnershipUnknown"));
    assert!(world.acm[0].tags.is_empty());
    assert_ne!(Some(world.acm[0].leaf.serial.clone()), world.serial());
}

#[test]
fn a_users_tags_that_were_changed_are_told_and_put_right() {
    for gone in [true, false] {
        let mut world = delivered();
        world.acm[0].tags.insert("team".into(), "other".into());
        if gone {
            world.acm[0].tags.remove("team");
        }
        world.acm[0].tags.insert("cost-centre".into(), "42".into());
        a_day(&mut world);
        assert!(told(&world));
        assert!(world.acm[0].tags.contains_key("cost-centre"), "what somebody else added is not ours");
        put_right(&mut world);
    }
}

/// A neighbour's certificate in ACM, with or without a neighbour's tags.
fn neighbour(world: &mut World, tagged: bool) -> CertificateArn {
    let mut theirs = world.acm[0].clone();
    theirs.arn = "arn:aws:acm:eu-west-1:111122223333:certificate/99999999-0000-0000-0000-000000000000".parse().unwrap();
    theirs.leaf = world.foreign();
    theirs.tags.retain(|_, _| tagged);
    if tagged {
        theirs.tags.insert("arnkeeper.dev/name".into(), "another".into());
    }
    world.acm.push(theirs.clone());
    theirs.arn
}

#[test]
fn an_arn_that_somebody_wrote_into_the_status_is_left_alone() {
    for tagged in [true, false] {
        for deleted in [true, false] {
            let mut world = delivered();
            let theirs = neighbour(&mut world, tagged);
            let before = world.acm.last().unwrap().clone();
            world.certificate.status.as_mut().unwrap().targets[0].arn = Some(theirs.clone());
            change_spec(&mut world, |spec| {
                spec.acm[0].deletion_policy = crate::api::certificate::DeletionPolicy::Delete;
                spec.acm[0].tags.insert("more".into(), "yes".into());
            });
            if deleted {
                world.certificate.metadata.finalizers = Some(vec![super::super::FINALIZER.to_owned()]);
                world.certificate.metadata.deletion_timestamp = Some(Time(world.now));
            }
            for _ in 0..20 {
                if let Pass::Rested(rest) = world.pass(|| Fault::Fine) {
                    world.now += rest;
                }
            }
            assert_eq!(world.gone, deleted);
            if !deleted {
                assert!(stalled(&world).unwrap().starts_with("OwnershipUnknown"));
            }
            let after = world.acm.iter().find(|c| c.arn == theirs).unwrap();
            assert_eq!((&after.tags, &after.leaf.der), (&before.tags, &before.leaf.der));
        }
    }
}

#[test]
fn a_status_that_names_a_neighbours_arn_is_noticed_within_a_day() {
    let mut world = delivered();
    let theirs = neighbour(&mut world, false);
    world.certificate.status.as_mut().unwrap().targets[0].arn = Some(theirs);
    world.touch();
    a_day(&mut world);
    assert!(stalled(&world).unwrap().starts_with("OwnershipUnknown"));
}

#[test]
fn a_second_certificate_with_our_tags_is_taken_away_by_a_look() {
    let mut world = delivered();
    let mut twin = world.acm[0].clone();
    twin.arn = "arn:aws:acm:eu-west-1:111122223333:certificate/99999999-0000-0000-0000-000000000000".parse().unwrap();
    world.acm.push(twin);
    a_day(&mut world);
    arn(&world, "edge");
    assert_eq!((world.acm.len(), world.new_imports), (1, 1));
    assert_eq!(world.events, ["TwinDeleted"]);
    put_right(&mut world);
}

#[test]
fn a_look_that_fails_in_passing_is_not_worth_a_word() {
    let mut world = delivered();
    let before = world.certificate.status.clone();
    world.deaf = 2;
    a_day(&mut world);
    assert_eq!((world.deaf, &world.certificate.status), (0, &before));
    world.account.spec.enabled = false;
    a_day(&mut world);
    assert_eq!(world.certificate.status, before, "the account itself says that it is off");
}

#[test]
fn what_uses_a_certificate_is_told_when_it_changes() {
    let mut world = delivered();
    world.acm[0].in_use = true;
    a_day(&mut world);
    assert_eq!(world.certificate.status.as_ref().unwrap().targets[0].in_use_by.len(), 1);
    put_right(&mut world);
}

/// Somebody wrote it, or it was deleted by hand while another one with our tags stayed in use.
#[test]
fn an_arn_that_is_gone_gives_way_to_the_one_that_acm_has() {
    let mut world = delivered();
    let there = arn(&world, "edge");
    let target = &mut world.certificate.status.as_mut().unwrap().targets[0];
    target.arn =
        Some("arn:aws:acm:eu-west-1:111122223333:certificate/00000000-0000-0000-0000-000000000000".parse().unwrap());
    target.state = TargetState::Pending;
    world.touch();
    world.crash();
    world.converge();
    assert_eq!((arn(&world, "edge"), world.new_imports, world.paid), (there, 1, 1));
    put_right(&mut world);
}

#[test]
fn a_target_that_is_not_where_its_status_says_is_told_and_no_other_is_made() {
    type Edit = fn(&mut TargetStatus);
    let edits: [(&str, Edit); 2] = [
        ("PlaceChanged", |target| target.region = "us-east-1".parse().unwrap()),
        ("AccountChanged", |target| {
            let there = target.arn.as_ref().unwrap().as_str().replace("111122223333", "444455556666");
            target.arn = Some(there.parse().unwrap());
        }),
    ];
    for (reason, edit) in edits {
        let mut world = delivered();
        let target = &mut world.certificate.status.as_mut().unwrap().targets[0];
        edit(target);
        target.state = TargetState::Pending;
        world.touch();
        world.crash();
        world.converge();
        assert!(stalled(&world).unwrap().starts_with(reason), "{:?}", stalled(&world));
        assert_eq!((world.acm.len(), world.new_imports, world.paid), (1, 1, 1));
    }
}
