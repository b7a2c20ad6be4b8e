//! Certificates whose requests people sign, and windows for their renewals.

use crate::{
    harness::{World, arn},
    wait::{Conditions, until},
};
use arnkeeper::api::conditions::{ISSUING, READY, STALLED};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::json;

#[tokio::test]
async fn the_first_request_of_a_certificate_waits_for_a_person_if_the_spec_says_so() {
    let (world, authority) = World::new("request-only").await;
    let spec =
        json!({ "issuance": { "first": "RequestOnly", "renewals": "RequestOnly" }, "acm": [{ "name": "edge" }] });
    world.certificate("app", &authority, spec).await;
    let waiting =
        until(&world.certificates(), "app", "its request waits", |c| c.because(READY, "RequestWaiting")).await;
    let told = waiting.message(READY);
    assert!(told.contains("awscertificaterequest app-1") && told.contains("add spec.signature"), "{told}");
    assert!(waiting.condition(STALLED).is_none(), "to wait is not to be stalled");
    world.assert_nothing_asked().await;
    let sign = json!({ "spec": { "signature": { "justification": "wanted", "governanceCode": "CHG-1234" } } });
    world.change(&world.requests(), "app-1", sign.clone()).await;
    let edge = arn(&world.revision("app", 1).await, "edge");
    world.assert_paid(1).await;

    world.renew("app").await;
    let waiting =
        until(&world.certificates(), "app", "its renewal waits", |c| c.because(ISSUING, "RequestWaiting")).await;
    assert!(waiting.is(READY), "the old certificate goes on");
    world.assert_paid(1).await;
    world.change(&world.requests(), "app-2", sign).await;
    let renewed = world.revision("app", 2).await;
    assert_eq!(arn(&renewed, "edge"), edge);
    world.assert_paid(2).await;
}

#[tokio::test]
async fn a_request_that_waits_gives_way_when_the_certificate_signs_by_itself_again() {
    let (world, authority) = World::new("signs-again").await;
    world.certificate("app", &authority, json!({ "issuance": { "first": "RequestOnly" } })).await;
    until(&world.certificates(), "app", "its request waits", |c| c.because(READY, "RequestWaiting")).await;
    world.change(&world.certificates(), "app", json!({ "spec": { "issuance": null } })).await;
    world.ready("app").await;
    let request = world.requests().get("app-1").await.expect("a request");
    assert!(request.spec.signature.is_some());
    world.assert_paid(1).await;
}

#[tokio::test]
async fn a_window_moves_the_renewal_and_one_that_can_not_be_read_is_told() {
    let (world, authority) = World::new("windows").await;
    let window = |cron: &str| json!({ "duration": "2160h", "renewal": { "windows": [{ "cron": cron, "duration": "2h", "timeZone": "Europe/Berlin" }] } });
    let certificate = world.issued("app", &authority, window("30 22 * * 3")).await;
    let time = |c: &arnkeeper::api::Certificate| c.status.as_ref().and_then(|s| s.renewal_time.clone()).map(|t| t.0);
    let berlin = TimeZone::get("Europe/Berlin").expect("its rules");
    let at = time(&certificate).expect("a time").to_zoned(berlin);
    let opened = at.with().hour(22).minute(30).second(0).build().expect("a time");
    assert_eq!(at.weekday(), jiff::civil::Weekday::Wednesday);
    assert!(opened <= at && at.duration_since(&opened).as_mins() <= 60, "in the first half of the window: {at}");

    world.change(&world.certificates(), "app", json!({ "spec": window("61 22 * * 3") })).await;
    let told = world.stalled("app", "InvalidWindow").await;
    assert!(told.is(READY) && told.message(STALLED).contains("61 22 * * 3"), "{}", told.message(STALLED));
    let disabled = json!({ "spec": { "renewal": null, "issuance": { "renewals": "Disabled" } } });
    world.change(&world.certificates(), "app", disabled).await;
    let never = until(&world.certificates(), "app", "no renewal", |c| c.is(READY) && time(c).is_none()).await;
    assert!(never.condition(STALLED).is_none() && never.message(READY).contains("is not renewed by itself"));
    assert!(never.status.and_then(|s| s.not_after).is_some_and(|end| end.0 > Timestamp::now()));
    world.assert_paid(1).await;
}
