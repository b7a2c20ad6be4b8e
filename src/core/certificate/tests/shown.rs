//! The column `Domain` of `kubectl get`.

use super::{sources::two_places, world::keeper::Pair, *};

fn shown(world: &World) -> Option<&str> {
    world.certificate.status.as_ref()?.domain_name.as_deref()
}

#[test]
fn it_is_what_the_spec_asks_for() {
    let mut world = World::new(&two_targets());
    world.converge();
    assert_eq!(shown(&world), Some("app.pay.example"));
    change_spec(&mut world, |spec| spec.subject.domain_name = "www.pay.example".into());
    world.converge();
    assert_eq!(shown(&world), Some("www.pay.example"));
    assert_silent(&mut world);
}

#[test]
fn of_what_acm_keeps_it_is_what_the_spec_asks_for() {
    let mut world = World::new(&json!({
        "accountRef": { "name": "prod" }, "region": "eu-west-1", "duration": "2160h",
        "source": { "acmManaged": { "certificateAuthority": { "name": "Example Private CA" } } },
        "subject": { "domainName": "app.pay.example" }, "acm": [{ "name": "edge" }],
    }));
    world.converge();
    assert_eq!(shown(&world), Some("app.pay.example"));
    assert_silent(&mut world);
}

#[test]
fn of_a_source_it_is_what_was_imported_last() {
    let mut world = World::new(&two_places());
    world.converge();
    assert_eq!((stalled(&world).is_some(), shown(&world)), (true, None));
    world.keep(&Pair { names: vec!["b.pay.example", "app.pay.example"], ..Pair::default() });
    world.converge();
    assert_eq!(shown(&world), Some("app.pay.example"));
    world.keep(&Pair { names: vec!["*.pay.example", "app.pay.example"], ..Pair::default() });
    world.converge();
    assert_eq!(shown(&world), Some("*.pay.example"));
    // ACM would refuse it in place of what is there, and this one has ended.
    world.keep(&Pair { names: vec!["aaa.pay.example"], hours: 0, ..Pair::default() });
    world.converge();
    assert_eq!(shown(&world), Some("*.pay.example"));
    assert_silent(&mut world);
}

#[test]
fn of_what_is_watched_it_is_what_acm_says_or_said_last() {
    let mut made = World::new(&two_targets());
    made.converge();
    let there = made.of_target("edge")[0].clone();
    let mut world = World::new(&json!({
        "management": "Observe", "accountRef": { "name": "prod" }, "region": "eu-west-1",
        "acm": [{ "name": "acm", "certificateArn": there.arn }],
    }));
    world.now = made.now;
    world.acm.push(there);
    world.converge();
    assert_eq!((world.changes, shown(&world)), (1, Some("app.pay.example")));
    world.acm.clear();
    world.now += SignedDuration::from_hours(25);
    world.converge();
    assert!(!ready(&world));
    assert_eq!(shown(&world), Some("app.pay.example"));
    assert_silent(&mut world);
}

#[test]
fn where_all_was_told_but_this_it_is_told_once() {
    let mut world = World::new(&two_targets());
    world.converge();
    world.certificate.status.as_mut().unwrap().domain_name = None;
    world.touch();
    let changes = world.changes;
    world.converge();
    assert_eq!((world.changes - changes, shown(&world)), (1, Some("app.pay.example")));
    assert_silent(&mut world);
}
