//! A target that is taken out of the spec: its entry says at once what becomes of it.

use super::*;
use crate::api::{
    certificate::{TargetState, TargetStatus},
    conditions::DELIVERED,
};

fn two(policy: &str) -> World {
    let mut world = World::new(&spec(&json!([{ "name": "edge" },
        { "name": "far", "region": "us-east-1", "deletionPolicy": policy }])));
    until(&mut world, ready);
    assert_eq!(world.acm.len(), 2);
    world
}

fn take_out(world: &mut World) -> crate::api::certificate::Target {
    let far = world.certificate.spec.acm[1].clone();
    change_spec(world, |spec| spec.acm.truncate(1));
    far
}

fn far(world: &World) -> Option<&TargetStatus> {
    world.certificate.status.as_ref().unwrap().targets.iter().find(|t| t.name == "far")
}

fn said(world: &World) -> &str {
    let far = far(world).expect("its entry is there");
    assert_eq!(far.state, TargetState::Waiting, "{far:#?}");
    far.message.as_deref().unwrap_or_default()
}

/// All that is still in the spec is as well as before.
fn assert_well(world: &World) {
    let status = world.certificate.status.as_ref().unwrap();
    assert!(ready(world) && stalled(world).is_none(), "{status:#?}");
    assert!(status.conditions.iter().any(|c| c.type_ == DELIVERED && c.status == "True"), "{status:#?}");
    assert_eq!(status.next.as_ref().map(|next| &*next.action), Some("Renew"));
}

#[test]
fn it_is_told_at_once_that_it_goes_or_stays_and_what_is_waited_for() {
    for (policy, word, left) in [("Retain", "stays in ACM", 2), ("Delete", "is being deleted from ACM", 1)] {
        let mut world = two(policy);
        take_out(&mut world);
        let changes = world.changes;
        while world.certificate.status.as_ref().unwrap().observed_generation != world.certificate.metadata.generation {
            world.pass(|| Fault::Fine);
        }
        let told = said(&world);
        assert!(told.contains(word) && told.contains(policy) && told.contains("last import"), "{told}");
        assert_well(&world);
        assert_eq!(world.events, ["Issued"]);
        assert!(world.changes - changes <= 2, "the finalizer, and one status");
        assert_silent(&mut world);
        world.now += SignedDuration::from_secs(62);
        world.converge();
        assert_eq!((far(&world), world.acm.len()), (None, left));
        assert_well(&world);
        assert_silent(&mut world);
    }
}

#[test]
fn why_it_can_not_be_deleted_is_told_there() {
    let mut world = two("Delete");
    world.now += SignedDuration::from_mins(5);
    world.converge();
    take_out(&mut world);
    faulty(&mut world, &[Fault::Refused]);
    assert!(said(&world).contains("is being deleted from ACM (its deletionPolicy is Delete): "), "{}", said(&world));
    assert_well(&world);
    world.now += SignedDuration::from_mins(11);
    world.converge();
    assert_eq!((far(&world), world.acm.len()), (None, 1));
}

#[test]
fn one_that_is_named_again_is_delivered_as_before() {
    for policy in ["Retain", "Delete"] {
        let mut world = two(policy);
        let before = arn(&world, "far");
        let target = take_out(&mut world);
        world.pass(|| Fault::Fine);
        world.pass(|| Fault::Fine);
        said(&world);
        change_spec(&mut world, |spec| spec.acm.push(target));
        world.converge();
        let there = far(&world).unwrap();
        assert_eq!((there.state, &there.message), (TargetState::Delivered, &None));
        assert_eq!((arn(&world, "far"), world.new_imports), (before, 2));
        assert_well(&world);
    }
}
