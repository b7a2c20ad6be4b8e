//! Who signs, and when renewals may begin.

use super::*;
use crate::{
    api::{certificate::Issuance, shared::Signature},
    core::certificate::renewal,
};
use jiff::Timestamp;
use proptest::prelude::*;

fn issuance(value: &Value) -> Issuance {
    serde_json::from_value(value.clone()).unwrap()
}

fn with_issuance(value: &Value) -> World {
    let mut world = World::new(&two_targets());
    world.certificate.spec.issuance = Some(issuance(value));
    world
}

/// With windows, `hours` long, by cron.
fn with_windows(windows: &[(&str, &str)]) -> World {
    let mut world = World::new(&two_targets());
    let windows: Vec<Value> = windows.iter().map(|(cron, lasts)| json!({ "cron": cron, "duration": lasts })).collect();
    world.certificate.spec.renewal = Some(serde_json::from_value(json!({ "windows": windows })).unwrap());
    world
}

fn renewal_time(world: &World) -> Option<Timestamp> {
    Some(world.certificate.status.as_ref()?.renewal_time.as_ref()?.0)
}

fn message(world: &World) -> String {
    let status = world.certificate.status.as_ref().unwrap();
    status.conditions.iter().find(|c| c.type_ == READY).unwrap().message.clone()
}

fn history(world: &World) -> Vec<String> {
    let status = world.certificate.status.as_ref().unwrap();
    status.history.iter().map(|entry| entry.trigger.clone()).collect()
}

fn sign(world: &mut World, revision: i64) {
    let request = world.requests.get_mut(&revision).unwrap();
    assert!(request.spec.signature.is_none());
    request.spec.signature = Some(Signature::default());
    world.sign();
}

#[test]
fn a_first_request_waits_for_a_persons_signature_and_renewals_do_not() {
    let mut world = with_issuance(&json!({ "first": "RequestOnly" }));
    world.converge();
    assert_eq!((world.paid, world.new_imports, ready(&world)), (0, 0, false));
    let told = message(&world);
    assert!(told.contains("app-1") && told.contains("WaitingForSignature"), "{told}");
    assert_eq!(stalled(&world), None, "to wait is not to be stalled");
    assert_silent(&mut world);
    sign(&mut world, 1);
    world.converge();
    assert!(ready(&world));
    assert_eq!((world.paid, world.new_imports), (1, 2));
    world.now = renewal_time(&world).unwrap();
    world.converge();
    assert_eq!((world.paid, world.new_imports), (2, 2));
}

#[test]
fn a_renewal_waits_for_a_persons_signature_and_the_old_certificate_goes_on() {
    let mut world = with_issuance(&json!({ "renewals": "RequestOnly" }));
    world.converge();
    let edge = arn(&world, "edge");
    assert_eq!(world.paid, 1);
    world.now = renewal_time(&world).unwrap();
    for _ in 0..3 {
        world.converge();
        world.now += SignedDuration::from_hours(24);
    }
    assert!(ready(&world));
    assert_eq!((world.paid, world.requests.len()), (1, 2), "one request waits, and no more are made");
    sign(&mut world, 2);
    world.converge();
    assert_eq!((world.paid, arn(&world, "edge"), ready(&world)), (2, edge, true));
    assert_silent(&mut world);
}

#[test]
fn a_waiting_request_gives_way_when_the_spec_signs_by_itself_again_or_wants_another_certificate() {
    let mut world = with_issuance(&json!({ "first": "RequestOnly" }));
    world.converge();
    change_spec(&mut world, |spec| spec.subject.additional_names.push("new.pay.example".into()));
    world.converge();
    assert_eq!(world.paid, 0);
    change_spec(&mut world, |spec| spec.issuance = None);
    world.converge();
    assert!(ready(&world));
    assert_eq!((world.paid, world.new_imports), (1, 2));
    assert!(world.of_target("edge")[0].leaf.names.dns.contains("new.pay.example"));
    assert_silent(&mut world);
}

#[test]
fn what_is_not_renewed_says_so_and_is_made_again_all_the_same_when_it_is_asked_for() {
    let mut world = with_issuance(&json!({ "renewals": "Disabled" }));
    world.converge();
    assert_eq!(renewal_time(&world), None);
    assert!(message(&world).contains("is not renewed by itself"));
    world.now += SignedDuration::from_hours(24 * 89);
    world.converge();
    assert_eq!(world.paid, 1);
    let now = world.now.to_string();
    annotate(&mut world, crate::api::RENEW_ANNOTATION, &now);
    world.converge();
    assert_eq!((world.paid, renewal_time(&world)), (2, None));
    assert_silent(&mut world);
}

#[test]
fn a_renewal_begins_in_a_window_and_says_when() {
    let mut world = with_windows(&[("0 2 * * 6", "4h")]);
    world.converge();
    let at = renewal_time(&world).unwrap().to_zoned(jiff::tz::TimeZone::UTC);
    assert_eq!(at.weekday(), jiff::civil::Weekday::Saturday);
    assert!((2..4).contains(&at.hour()), "in the first half of the window: {at}");
    world.now = at.timestamp() - SignedDuration::from_mins(10);
    world.converge();
    assert_eq!(world.paid, 1);
    world.now = at.timestamp();
    world.converge();
    assert_eq!(world.paid, 2);
    assert_eq!(history(&world)[0], "Renewal");
}

#[test]
fn a_renewal_that_began_in_a_window_goes_on_when_it_closes() {
    let mut world = with_windows(&[("0 2 * * 6", "4h")]);
    world.certificate.spec.issuance = Some(issuance(&json!({ "renewals": "RequestOnly" })));
    world.converge();
    world.now = renewal_time(&world).unwrap();
    world.converge();
    assert_eq!(world.requests.len(), 2);
    world.now += SignedDuration::from_hours(24);
    world.converge();
    sign(&mut world, 2);
    world.converge();
    assert_eq!((world.paid, world.certificate.status.as_ref().unwrap().revision), (2, Some(2)));
}

#[test]
fn where_no_window_opens_in_good_time_the_renewal_is_made_outside_and_told() {
    // Once a year, and never within the last third of these 90 days.
    let mut world = with_windows(&[("0 2 1 1 *", "4h")]);
    world.converge();
    assert!(message(&world).contains("outside of spec.renewal.windows"), "{}", message(&world));
    world.now = renewal_time(&world).unwrap();
    world.converge();
    assert_eq!((world.paid, history(&world)[0].as_str()), (2, "RenewalOutsideWindow"));
}

#[test]
fn a_window_that_can_not_be_read_stalls_and_stops_no_renewal() {
    let mut world = with_windows(&[("61 2 * * 6", "4h")]);
    world.converge();
    assert!(ready(&world));
    assert!(stalled(&world).unwrap().starts_with("InvalidWindow: "), "{:?}", stalled(&world));
    world.now = renewal_time(&world).unwrap();
    world.converge();
    assert_eq!(world.paid, 2);
}

#[test]
fn what_people_ask_for_waits_for_no_window() {
    let mut world = with_windows(&[("0 2 * * 6", "4h")]);
    world.converge();
    let now = world.now.to_string();
    annotate(&mut world, crate::api::RENEW_ANNOTATION, &now);
    world.converge();
    change_spec(&mut world, |spec| spec.subject.additional_names.push("new.pay.example".into()));
    world.converge();
    assert_eq!(world.paid, 3);
}

proptest! {
    #[test]
    fn a_certificate_is_due_after_its_time_and_before_its_end_and_in_a_window_if_one_opens(
        minute in 0..60, hour in 0..24, day in 0..7, hours in 1_i64..48, days in 2_i64..400, passed in 0_i64..400, uid in 0_i32..1000,
    ) {
        let mut world = with_windows(&[(&format!("{minute} {hour} * * {day}"), &format!("{hours}h"))]);
        let spec = &mut world.certificate.spec;
        spec.duration = std::time::Duration::from_secs(u64::try_from(days * 86400).unwrap()).into();
        let begin = world.now;
        let end = begin + SignedDuration::from_hours(24 * days);
        let now = begin + SignedDuration::from_hours(24 * passed.min(days));
        let due = renewal::due(spec, begin, end, &uid.to_string(), now).unwrap();
        prop_assert!(due.at >= due.since && due.at < end);
        let zoned = due.at.to_zoned(jiff::tz::TimeZone::UTC);
        if due.outside {
            // Seven days and the reserve of one fit into no outside.
            prop_assert!(end.duration_since(due.since.max(now)) <= SignedDuration::from_hours(8 * 24));
        } else {
            let into_week = i64::from(zoned.weekday().to_sunday_zero_offset()) * 24 * 60 + i64::from(zoned.hour()) * 60 + i64::from(zoned.minute());
            let opens = i64::from(day) * 24 * 60 + i64::from(hour) * 60 + i64::from(minute);
            prop_assert!((into_week - opens).rem_euclid(7 * 24 * 60) <= hours * 60, "{} is outside", zoned);
        }
    }
}
