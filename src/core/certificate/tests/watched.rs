//! A Certificate that is only watched.

use super::*;
use crate::api::{ACM_VERSION_ANNOTATION, DISCOVERED_BY_LABEL, certificate::Management, names::CertificateArn};

/// Something in ACM, and a Certificate that watches it; discovery made it, if `version` says of what.
fn watching(version: Option<&str>) -> (World, CertificateArn) {
    let mut world = World::new(&spec(&json!([{ "name": "edge" }])));
    world.converge();
    let there = world.acm[0].clone();
    let spec = json!({
        "management": "Observe", "accountRef": { "name": "prod" }, "region": "eu-west-1",
        "acm": [{ "name": "acm", "certificateArn": there.arn }],
    });
    let mut watching = World::new(&spec);
    watching.now = world.now;
    watching.acm.push(there.clone());
    if let Some(version) = version {
        watching.certificate.labels_mut().insert(DISCOVERED_BY_LABEL.into(), "prod".into());
        annotate(&mut watching, ACM_VERSION_ANNOTATION, version);
    }
    (watching, there.arn)
}

fn reason(world: &World) -> String {
    let status = world.certificate.status.as_ref().unwrap();
    status.conditions.iter().find(|c| c.type_ == READY).map(|c| c.reason.clone()).unwrap_or_default()
}

#[test]
fn what_acm_says_is_told_in_one_write_and_nothing_is_changed() {
    let (mut world, arn) = watching(Some("v1"));
    world.converge();
    assert!(ready(&world), "{:#?}", world.certificate.status);
    assert_eq!((world.changes, world.describes, world.events.len()), (1, 1, 0));
    let status = world.certificate.status.clone().unwrap();
    let found = status.found.clone().unwrap();
    assert_eq!((&*found.r#type, &*found.state, found.version.as_deref()), ("IMPORTED", "ISSUED", Some("v1")));
    assert_eq!(status.serial_number, Some(world.acm[0].leaf.serial.to_string()));
    assert_eq!(status.targets.len(), 1);
    assert_eq!(
        (status.targets[0].arn.as_ref(), status.targets[0].account_id.as_deref()),
        (Some(&arn), Some("111122223333"))
    );
    assert!(status.not_after.is_some() && status.renewal_time.is_none() && status.accounts.is_none());
    assert_silent(&mut world);
}

#[test]
fn what_discovery_found_is_asked_for_when_it_changed_and_never_else() {
    let (mut world, _) = watching(Some("v1"));
    world.converge();
    for _ in 0..30 {
        world.now += SignedDuration::from_hours(24);
        world.crash();
        world.converge();
    }
    assert_eq!((world.describes, world.changes), (1, 1));
    annotate(&mut world, ACM_VERSION_ANNOTATION, "v2");
    world.touch();
    world.converge();
    assert_eq!((world.describes, world.changes), (2, 2));
    assert_silent(&mut world);
}

#[test]
fn what_a_person_names_is_looked_at_once_a_day() {
    let (mut world, _) = watching(None);
    world.converge();
    assert!(ready(&world));
    let end = world.now + SignedDuration::from_hours(24 * 20);
    while world.now < end {
        match world.pass(|| Fault::Fine) {
            Pass::Rested(rest) => world.now += rest,
            Pass::Crashed => {}
        }
    }
    assert!((18..=22).contains(&world.describes), "{} looks in 20 days", world.describes);
    assert_eq!(world.changes, 1);
}

#[test]
fn what_is_gone_from_acm_is_told_once() {
    let (mut world, _) = watching(Some("v1"));
    world.converge();
    world.acm.clear();
    annotate(&mut world, ACM_VERSION_ANNOTATION, "gone 2026-01-02T00:00:00Z");
    world.touch();
    world.converge();
    assert_eq!(reason(&world), "GoneFromAcm");
    assert_eq!(world.events, ["GoneFromAcm"]);
    assert!(stalled(&world).is_none());
    assert_silent(&mut world);
    // A list may have lacked it for a moment.
    let (mut world, _) = watching(Some("v1"));
    world.converge();
    annotate(&mut world, ACM_VERSION_ANNOTATION, "gone 2026-01-02T00:00:00Z");
    world.touch();
    world.converge();
    assert!(ready(&world) && world.events.is_empty());
}

#[test]
fn its_end_is_told_without_asking() {
    let (mut world, _) = watching(Some("v1"));
    world.converge();
    world.now = world.acm[0].leaf.not_after + SignedDuration::from_secs(5);
    world.converge();
    assert_eq!((&*reason(&world), &world.events[..], world.describes), ("Expired", &["Expired".to_owned()][..], 1));
    assert_silent(&mut world);
}

#[test]
fn a_second_account_that_has_it_is_told() {
    let (mut world, _) = watching(Some("v1"));
    world.converge();
    world.held_by.insert("444455556666".into());
    world.converge();
    assert_eq!(world.certificate.status.as_ref().unwrap().accounts, Some(2));
    assert_eq!(world.events, ["InSeveralAccounts"]);
    assert_silent(&mut world);
    world.held_by.clear();
    world.converge();
    assert_eq!(world.certificate.status.as_ref().unwrap().accounts, None);
    assert_eq!(world.events.len(), 1);
}

#[test]
fn an_account_that_is_not_for_its_namespace_is_not_asked() {
    let (mut world, _) = watching(None);
    world.account.spec.allowed_namespaces = None;
    world.now += SignedDuration::from_mins(1);
    world.converge();
    assert_eq!((reason(&world), world.describes), ("AccountNotAvailable".into(), 0));
    world.account.spec.discovery = serde_json::from_value(json!({ "namespace": "pay" })).unwrap();
    world.converge();
    assert!(ready(&world));
}

#[test]
fn one_that_is_not_managed_any_more_lets_everything_be() {
    let mut world = World::new(&spec(&json!([{ "name": "edge", "deletionPolicy": "Delete" }])));
    world.converge();
    let (arn, tags) = (world.acm[0].arn.clone(), world.acm[0].tags.clone());
    assert!(!world.certificate.finalizers().is_empty());
    change_spec(&mut world, |spec| {
        spec.management = Management::Observe;
        spec.acm[0].certificate_arn = Some(arn.clone());
    });
    world.converge();
    assert!(ready(&world) && world.certificate.finalizers().is_empty(), "{:#?}", world.certificate.status);
    assert_eq!((&world.acm[0].arn, &world.acm[0].tags, world.acm.len()), (&arn, &tags, 1));
    // It ends, and nothing is renewed.
    world.now = world.acm[0].leaf.not_after + SignedDuration::from_hours(1);
    world.converge();
    assert_eq!((world.paid, world.acm.len()), (1, 1));
    assert_silent(&mut world);
}

#[test]
fn what_was_asked_for_before_it_was_only_watched_is_not_paid_for() {
    let mut world = World::new(&spec(&json!([{ "name": "edge" }])));
    world.converge();
    let arn = world.acm[0].arn.clone();
    change_spec(&mut world, |spec| {
        spec.issuance = Some(serde_json::from_value(json!({ "renewals": "RequestOnly" })).unwrap());
        spec.subject.additional_names.push("new.pay.example".into());
    });
    world.converge();
    assert_eq!((world.requests.len(), world.paid), (2, 1), "it waits for a signature");
    change_spec(&mut world, |spec| {
        spec.management = Management::Observe;
        spec.acm[0].certificate_arn = Some(arn.clone());
    });
    world.converge();
    for request in world.requests.values_mut() {
        request.spec.signature = Some(crate::api::shared::Signature::default());
    }
    world.converge();
    assert_eq!((world.paid, world.acm.len()), (1, 1));
    // Managed again, it goes its way under the ARN that it had.
    change_spec(&mut world, |spec| {
        (spec.management, spec.issuance) = (Management::Managed, None);
        spec.acm[0].certificate_arn = None;
    });
    world.now += SignedDuration::from_mins(5);
    world.converge();
    world.converge();
    assert!(ready(&world) && stalled(&world).is_none(), "{:#?}", world.certificate.status);
    assert_eq!((world.paid, world.acm.len(), &world.acm[0].arn), (2, 1, &arn));
}
