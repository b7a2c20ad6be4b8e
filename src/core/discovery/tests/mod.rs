//! Discovery in a small world: an ACM, and a cluster whose objects are what changes made of them.

mod any;
mod world;

use super::{Next, Room, Unread, neighbours};
use crate::api::{
    AwsAccount,
    account::AwsAccountStatus,
    conditions::{DISCOVERED, Finding, READY, STALLED, conditions},
};
use jiff::SignedDuration;
use serde_json::json;
use std::sync::Arc;
use world::{World, arn};

#[test]
fn what_is_in_acm_becomes_objects_and_a_second_run_does_nothing() {
    let mut world = World::new(&json!({}));
    world.put(1, "eu-west-1", &["app.pay.example", "www.pay.example"]);
    world.put(2, "us-east-1", &["*.shop.example"]);
    world.run();
    let app = world.shown(1);
    assert_eq!((app.metadata.namespace.as_deref(), app.spec.region.as_str()), (Some("inventory"), "eu-west-1"));
    assert!(app.spec.is_observed() && app.spec.subject.domain_name == "app.pay.example");
    assert_eq!(app.spec.acm[0].certificate_arn, Some(arn(1, "eu-west-1")));
    assert!(world.shown(2).metadata.name.as_ref().unwrap().starts_with("any-shop-example-"));
    assert_eq!((world.writes, world.tag_reads), (2, 2));
    world.run();
    assert_eq!((world.writes, world.tag_reads), (2, 2), "nothing is read or written twice");
    world.restart();
    world.run();
    assert_eq!((world.writes, world.tag_reads), (2, 2), "nor by another process");
}

#[test]
fn nothing_in_acm_makes_nothing() {
    let mut world = World::new(&json!({}));
    world.run();
    let status = world.account.status.clone().unwrap().discovery.unwrap();
    assert_eq!((status.found, status.managed, status.regions.len(), world.writes), (0, 0, 2, 0));
    assert!(status.next_run.unwrap().0 > status.last_run.unwrap().0);
}

#[test]
fn the_first_rule_that_fits_says_where_and_whose() {
    let mut world = World::new(&json!({ "rules": [
        { "match": { "tags": { "team": "shop" } }, "set": { "namespace": "shop", "labels": { "team": "shop" } } },
        { "match": { "domains": ["*.pay.example"], "regions": ["eu-west-1"] },
          "set": { "namespace": "pay", "owner": { "name": "Payments" }, "labels": { "arnkeeper.dev/x": "y" } } },
        { "match": { "accountIds": ["999999999999"] }, "set": { "namespace": "nowhere" } },
    ] }));
    world.put(1, "eu-west-1", &["a.pay.example"]);
    world.put(2, "us-east-1", &["b.pay.example"]);
    world.put(3, "eu-west-1", &["c.pay.example"]);
    world.tag(3, "team", "shop");
    world.run();
    let place = |world: &World, id| world.shown(id).metadata.namespace.clone().unwrap();
    assert_eq!([1, 2, 3].map(|id| place(&world, id)), ["pay", "inventory", "shop"]);
    assert_eq!(world.shown(1).spec.owner.clone().unwrap().name.as_deref(), Some("Payments"));
    let labels = world.shown(1).metadata.labels.clone().unwrap();
    assert_eq!(labels.into_iter().collect::<Vec<_>>(), [("arnkeeper.dev/discovered-by".into(), "prod".into())]);
    assert_eq!(world.shown(3).metadata.labels.clone().unwrap()["team"], "shop");
    let writes = world.writes;
    world.run();
    assert_eq!(world.writes, writes);
    // Tags that changed are seen when somebody asks.
    world.tag(1, "team", "shop");
    world.run();
    assert_eq!(place(&world, 1), "pay");
    world.ask("2026-03-01T00:00:00Z");
    world.run();
    assert_eq!((place(&world, 1), world.objects_of(1)), ("shop".into(), 1), "it moved");
}

#[test]
fn what_is_gone_is_told_and_then_removed() {
    let mut world = World::new(&json!({}));
    world.put(1, "eu-west-1", &["a.example"]);
    world.run();
    world.remove(1);
    world.run();
    assert!(world.shown(1).metadata.annotations.as_ref().unwrap()["arnkeeper.dev/acm-version"].starts_with("gone "));
    world.run();
    assert_eq!(world.objects_of(1), 1, "nobody told so yet");
    world.tell_gone();
    world.run();
    assert_eq!(world.objects_of(1), 0);
    // What a list lacked for a moment is shown as before.
    world.put(2, "eu-west-1", &["b.example"]);
    world.run();
    let there = world.shown(2).metadata.annotations.clone();
    world.remove(2);
    world.run();
    world.put(2, "eu-west-1", &["b.example"]);
    world.run();
    assert_eq!(world.shown(2).metadata.annotations, there);
}

#[test]
fn what_a_clock_that_ran_ahead_missed_does_not_stay_until_it_is_there_again() {
    let mut world = World::new(&json!({}));
    world.put(1, "eu-west-1", &["a.example"]);
    world.run();
    world.remove(1);
    let back = world.now;
    world.now += SignedDuration::from_hours(24 * 365);
    world.run();
    world.now = back + SignedDuration::from_hours(1);
    world.ask("2026-03-01T00:00:00Z");
    world.run_now();
    world.tell_gone();
    world.now += SignedDuration::from_hours(28);
    world.run_now();
    assert_eq!(world.objects_of(1), 0);
}

#[test]
fn a_region_that_is_denied_leaves_the_others() {
    let mut world = World::new(&json!({}));
    world.put(1, "eu-west-1", &["a.example"]);
    world.put(2, "us-east-1", &["b.example"]);
    world.run();
    world.deny("us-east-1");
    world.remove(2);
    world.put(3, "eu-west-1", &["c.example"]);
    world.run();
    assert_eq!([1, 2, 3].map(|id| world.objects_of(id)), [1, 1, 1]);
    let status = world.account.status.clone().unwrap();
    let told = world.condition();
    assert_eq!((&*told.status, &*told.reason), ("False", "AccessDenied"));
    assert!(told.message.contains("us-east-1"), "{}", told.message);
    let counts = status.discovery.unwrap();
    assert_eq!((counts.found, counts.regions.len()), (3, 2), "of the region that is denied: what was found before");
    let wait = counts.next_run.unwrap().0.duration_since(counts.last_run.unwrap().0);
    assert!(wait.as_hours() <= 1, "it is looked at again soon: {wait}");
    world.allow();
    world.run();
    world.tell_gone();
    world.run();
    assert_eq!(world.objects_of(2), 0);
    assert_eq!(&*world.condition().status, "True");
}

#[test]
fn without_tags_a_new_certificate_is_not_taken_for_a_strangers() {
    let mut world = World::new(&json!({}));
    world.put(1, "eu-west-1", &["a.example"]);
    world.put_issued(2, "eu-west-1", &["b.example"]);
    world.deny_tags = true;
    world.run();
    assert_eq!([1, 2].map(|id| world.objects_of(id)), [0, 1], "what ACM issued can't be ours");
    assert!(world.condition().message.contains("tags"), "{}", world.condition().message);
}

#[test]
fn what_is_kept_alive_here_is_counted_and_not_shown() {
    let mut world = World::new(&json!({}));
    world.put(1, "eu-west-1", &["by-status.example"]);
    world.put(2, "eu-west-1", &["by-tags.example"]);
    world.put(3, "eu-west-1", &["left-behind.example"]);
    world.put(4, "eu-west-1", &["adopted.example"]);
    world.managed("by-status", &json!([]), Some(1));
    world.managed("by-tags", &json!([]), None);
    world.own(2, "by-tags");
    world.own(3, "deleted");
    world.run();
    assert_eq!([1, 2, 3, 4].map(|id| world.shows(id)), [false, false, true, true], "nobody keeps what is left behind");
    assert_eq!(world.account.status.clone().unwrap().discovery.unwrap().managed, 2);
    world.turn_managed(4);
    let before = world.shown(4).clone();
    world.put(4, "eu-west-1", &["adopted.example", "new.example"]);
    world.run();
    world.remove(4);
    for _ in 0..3 {
        world.run();
        world.tell_gone();
    }
    assert_eq!(*world.shown(4), before, "nobody writes to what a person manages");
}

#[test]
fn what_can_not_be_taken_over_is_not_counted_as_kept_alive() {
    let mut world = World::new(&json!({}));
    world.put(1, "eu-west-1", &["theirs.example"]);
    world.managed("taker", &json!([{ "name": "edge", "certificateArn": arn(1, "eu-west-1") }]), None);
    let counted = |world: &mut World| {
        world.run();
        assert!(!world.shows(1), "the Certificate that names it tells of it");
        world.account.status.clone().unwrap().discovery.unwrap().managed
    };
    assert_eq!(counted(&mut world), 1);
    world.stall("taker");
    assert_eq!(counted(&mut world), 0);
}

#[test]
fn what_a_person_watches_is_not_shown_twice() {
    let mut world = World::new(&json!({}));
    world.put(1, "eu-west-1", &["a.example"]);
    world.run();
    world.persons(1);
    world.run();
    assert_eq!((world.objects_of(1), world.shows(1)), (1, false));
}

#[test]
fn a_namespace_that_is_not_there_is_told() {
    let mut world = World::new(&json!({ "rules": [
        { "match": { "domains": ["a.example"] }, "set": { "namespace": "missing" } },
    ] }));
    world.put(1, "eu-west-1", &["a.example"]);
    world.put(2, "eu-west-1", &["b.example"]);
    world.rooms.insert("missing".into(), Room::Closed);
    world.run();
    assert_eq!([1, 2].map(|id| world.objects_of(id)), [0, 1]);
    assert_eq!(world.condition().reason, "NamespaceUnavailable");
    assert!(world.condition().message.contains("\"missing\""), "{}", world.condition().message);
    world.rooms.clear();
    world.run();
    assert_eq!(world.objects_of(1), 1, "without a change of anything else");
}

#[test]
fn a_foreign_object_of_the_same_name_is_left_alone_and_told() {
    let mut world = World::new(&json!({}));
    world.put(1, "eu-west-1", &["a.example"]);
    let name = super::object_name(&["a.example".into()], &arn(1, "eu-west-1"));
    world.managed_in("inventory", &name, &json!([]), None);
    let before = world.objects.clone();
    world.run();
    assert_eq!(world.objects, before);
    assert_eq!(world.condition().reason, "NameTaken");
    // One that names another account is seen only when the object is to be made.
    let mut world = World::new(&json!({}));
    world.put(1, "eu-west-1", &["a.example"]);
    world.taken.insert(("inventory".into(), name));
    world.run();
    assert_eq!((world.objects.len(), &*world.condition().reason), (0, "NameTaken"));
}

#[test]
fn what_the_api_server_refuses_leaves_the_rest() {
    let mut world = World::new(&json!({}));
    world.put(1, "eu-west-1", &["a.example"]);
    world.put(2, "eu-west-1", &["refuse-me.example"]);
    world.run();
    assert_eq!([1, 2].map(|id| world.objects_of(id)), [1, 0]);
    assert_eq!(world.condition().reason, "ObjectRefused");
}

#[test]
fn expired_and_revoked_ones_are_taken_where_that_is_asked_for() {
    let state = |world: &mut World, id, state: &str, ends: &str| {
        let more = world.acm.get_mut(&id).unwrap().summary.more.as_mut().unwrap();
        (more.state, more.not_after) = (state.into(), Some(ends.parse().unwrap()));
    };
    for (spec, expected) in [
        (json!({}), [false, false, false, true]),
        (json!({ "expired": { "since": "2025-06-01T00:00:00Z" } }), [false, true, false, true]),
        (json!({ "expired": { "since": "2025-01-01T00:00:00Z" }, "revoked": true }), [true, true, true, true]),
    ] {
        let mut world = World::new(&spec);
        for id in 1..=4 {
            world.put(id, "eu-west-1", &["a.example"]);
        }
        state(&mut world, 1, "EXPIRED", "2025-05-01T00:00:00Z");
        state(&mut world, 2, "EXPIRED", "2025-07-01T00:00:00Z");
        state(&mut world, 3, "REVOKED", "2027-01-01T00:00:00Z");
        state(&mut world, 4, "ISSUED", "2026-01-20T00:00:00Z");
        world.run();
        assert_eq!([1, 2, 3, 4].map(|id| world.shows(id)), expected, "{spec}");
        let counts = world.account.status.unwrap().discovery.unwrap();
        assert_eq!((counts.found, counts.expired, counts.expiring_30d), (4, 2, 1));
    }
}

#[test]
fn what_is_not_issued_has_no_end() {
    let mut world = World::new(&json!({}));
    for (id, state) in [(1, "PENDING_VALIDATION"), (2, "FAILED"), (3, "VALIDATION_TIMED_OUT")] {
        world.put_issued(id, "eu-west-1", &["a.example"]);
        let more = world.acm.get_mut(&id).unwrap().summary.more.as_mut().unwrap();
        (more.state, more.not_after, more.not_before) = (state.into(), None, None);
    }
    world.put_issued(4, "eu-west-1", &[]);
    world.run();
    assert_eq!([1, 2, 3, 4].map(|id| world.objects_of(id)), [1, 1, 1, 1]);
    assert!(world.shown(4).spec.subject.domain_name.is_empty());
}

#[test]
fn two_accounts_of_one_show_each_certificate_once() {
    let mut world = World::new(&json!({}));
    world.put(1, "eu-west-1", &["a.example"]);
    world.put(2, "eu-west-1", &["b.example"]);
    world.others.insert("other".into());
    world.discovered_by("other", 1);
    world.run();
    assert_eq!([1, 2].map(|id| (world.objects_of(id), world.shows(id))), [(1, false), (1, true)]);
    // The other one discovers no more.
    world.others.clear();
    world.ask("2026-03-01T00:00:00Z");
    world.run();
    assert_eq!((world.objects_of(1), world.shows(1)), (1, true));
    let told = world.taken_over.take().unwrap();
    assert!(told.contains("1 Certificate of AwsAccount \"other\"") && told.contains("can't be entered"), "{told}");
    assert!(world.condition().status == "True" && world.condition().message.contains("taken over"));
    world.run();
    assert_eq!((world.objects_of(1), world.shows(1), world.taken_over), (1, true, None), "once");
}

/// An AwsAccount with discovery, as its status tells of it.
fn neighbour(name: &str, spec_id: Option<&str>, told_id: Option<&str>, findings: &[Finding]) -> Arc<AwsAccount> {
    let mut account: AwsAccount = serde_json::from_value(json!({ "metadata": { "name": name }, "spec": {
        "accountId": spec_id, "regions": ["eu-west-1"], "discovery": { "namespace": "inventory" } } }))
    .unwrap();
    let told = conditions(&[], findings, 1, jiff::Timestamp::UNIX_EPOCH);
    account.status =
        Some(AwsAccountStatus { account_id: told_id.map(Into::into), conditions: told, ..AwsAccountStatus::default() });
    Arc::new(account)
}

#[test]
fn an_account_that_is_out_for_good_is_heir_to_nothing_and_its_certificates_are_seen() {
    let id: crate::api::names::AccountId = "111122223333".parse().unwrap();
    let (one, two) = (Some("111122223333"), Some("444455556666"));
    let ready = || vec![Finding::yes(READY, "Ready", "")];
    let for_now = || vec![Finding::no(READY, "AwsUnavailable", "")];
    let for_good =
        || vec![Finding::no(READY, "CredentialsInvalid", ""), Finding::yes(STALLED, "CredentialsInvalid", "")];
    let look = |account: Arc<AwsAccount>| {
        let own = neighbour("own", None, one, &ready());
        let (names, others) = neighbours(&id, "own", &[own, account]);
        assert!(names.contains(&"own".to_owned()) && !others.contains("own"));
        (names.len() == 2, others.len() == 1)
    };
    assert_eq!(look(neighbour("a", None, one, &ready())), (true, true));
    assert_eq!(look(neighbour("a", None, two, &ready())), (false, false));
    assert_eq!(look(neighbour("a", one, None, &for_now())), (true, true), "it comes back by itself");
    assert_eq!(look(neighbour("a", one, None, &for_good())), (true, false));
    assert_eq!(look(neighbour("a", None, None, &for_good())), (true, false), "where it leads is not known");
    assert_eq!(look(neighbour("a", two, None, &for_good())), (false, false));
    // Stalled for another reason, such as its budget, it discovers all the same.
    let spent = [Finding::yes(READY, "Ready", ""), Finding::yes(STALLED, "BudgetSpent", "")];
    assert_eq!(look(neighbour("a", None, one, &spent)), (true, true));
    let mut off = neighbour("a", None, one, &ready());
    Arc::make_mut(&mut off).spec.enabled = false;
    assert_eq!(look(off), (true, false));
}

#[test]
fn a_region_that_is_not_the_accounts_any_more_takes_its_objects_along() {
    let mut world = World::new(&json!({}));
    world.put(1, "eu-west-1", &["a.example"]);
    world.put(2, "us-east-1", &["b.example"]);
    world.run();
    world.account.spec.regions.pop();
    world.run();
    assert_eq!([1, 2].map(|id| world.objects_of(id)), [1, 0]);
}

#[test]
fn the_next_run_is_told_and_kept_by_every_process() {
    let mut world = World::new(&json!({ "interval": "2h" }));
    world.run();
    let status = world.account.status.clone().unwrap().discovery.unwrap();
    let (last, next) = (status.last_run.unwrap().0, status.next_run.unwrap().0);
    assert!((120..=132).contains(&next.duration_since(last).as_mins()));
    world.restart();
    assert!(!world.is_due());
    world.now = next;
    assert!(world.is_due());
    world.run();
    world.ask("now");
    assert!(world.is_due(), "a new value of the annotation");
    world.run();
    assert!(!world.is_due());
    world.account.spec.discovery = serde_json::from_value(json!({ "namespace": "elsewhere" })).unwrap();
    assert!(world.is_due(), "another spec");
    world.run();
    world.account.status.as_mut().unwrap().discovery.as_mut().unwrap().next_run =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time("2030-01-01T00:00:00Z".parse().unwrap()));
    assert!(world.is_due(), "a time that no run wrote");
    // The clock was set back by a year.
    world.now = "2025-01-01T00:00:00Z".parse().unwrap();
    world.run_now();
    assert_eq!(world.account.status.clone().unwrap().discovery.unwrap().last_run.unwrap().0, world.now);
    assert!(!world.is_due());
}

#[test]
fn a_thousand_certificates_come_in_steps() {
    let mut world = World::new(&json!({}));
    for id in 0..1000 {
        world.put(id, "eu-west-1", &[&format!("n{id}.example")]);
    }
    world.run();
    assert_eq!((world.writes, world.objects.len()), (1000, 1000));
    assert!(world.largest <= 100, "{} objects in one step", world.largest);
}

#[test]
fn the_interval_is_a_day_and_members_inherit_it() {
    let account: AwsAccount = serde_json::from_value(json!({ "metadata": { "name": "a" }, "spec": {
        "regions": ["eu-west-1"], "discovery": { "namespace": "inventory" } } }))
    .unwrap();
    let discovery = account.spec.discovery.unwrap();
    assert_eq!(std::time::Duration::from(discovery.interval).as_secs(), 86_400);
    assert!(discovery.names("inventory") && !discovery.names("other"));
}

#[test]
fn a_word_about_conditions() {
    let mut world = World::new(&json!({}));
    world.run();
    assert_eq!((world.condition().type_.as_str(), &*world.condition().status), (DISCOVERED, "True"));
    let unread = Unread { reason: "Throttled", message: "slow".into(), passes: true };
    world.denied.insert("eu-west-1".parse().unwrap(), unread);
    world.run();
    let status = world.account.status.clone().unwrap().discovery.unwrap();
    assert!(status.next_run.unwrap().0.duration_since(status.last_run.unwrap().0).as_mins() <= 10);
    assert!(matches!(world.next(), Some(Next::Done(_))));
}
