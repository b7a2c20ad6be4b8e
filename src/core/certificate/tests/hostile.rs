//! What a user of the namespace might try: a status, an annotation and a Secret that are not what they seem.

use super::{annotate, arn, assert_silent, change_spec, ready, spec};
use crate::{
    api::{RENEW_ANNOTATION, conditions::READY},
    core::certificate::tests::world::World,
};
use serde_json::{Value, json};

fn tagged(tags: &Value) -> Value {
    spec(&json!([{ "name": "edge", "tags": tags }]))
}

/// The tags that a status lists are taken away when the spec drops them; those that say whose the ARN is never are.
#[test]
fn a_status_does_not_take_away_the_tags_of_ownership() {
    let mut world = World::new(&tagged(&json!({ "team": "pay" })));
    world.converge();
    let before = arn(&world, "edge");
    let owned = |world: &World| -> Vec<String> {
        world.acm[0].tags.keys().filter(|key| key.starts_with("arnkeeper.dev/")).cloned().collect()
    };
    let tags = owned(&world);
    let target = &mut world.certificate.status.as_mut().unwrap().targets[0];
    target.tag_keys.extend(tags.iter().cloned());
    change_spec(&mut world, |spec| spec.acm[0].tags.clear());
    world.converge();
    assert_eq!(owned(&world), tags);
    assert_eq!((arn(&world, "edge"), world.new_imports, world.paid), (before, 1, 1));
    assert!(world.acm[0].tags.keys().all(|key| key.starts_with("arnkeeper.dev/")), "the spec's own tag is gone");
    assert_silent(&mut world);
}

/// Kubernetes allows 256 KiB of annotations; a status repeats none of it.
#[test]
fn an_annotation_of_a_quarter_of_a_megabyte_is_told_in_a_line() {
    let mut world = World::new(&tagged(&json!({})));
    world.converge();
    let before = world.certificate.status.clone().unwrap();
    let hostile = format!("\u{1b}]0;owned\u{7}\n\u{202e}{}", "a\nb".repeat(80_000));
    annotate(&mut world, RENEW_ANNOTATION, &hostile);
    world.touch();
    world.converge();
    assert!(ready(&world));
    let status = serde_json::to_string(&world.certificate.status).unwrap();
    assert!(status.len() < serde_json::to_string(&before).unwrap().len() + 500, "{} bytes", status.len());
    assert!(status.contains("is not an RFC 3339 time") && !status.contains("\\u001b") && !status.contains('\u{202e}'));
    assert_eq!(world.paid, 1, "it asks for nothing");
    assert_silent(&mut world);
}

/// Whoever asks for a renewal and is not heard learns it from `kubectl get -o wide`.
#[test]
fn an_annotation_that_nobody_hears_is_told() {
    let told = |key: &str, value: &str| {
        let mut world = World::new(&tagged(&json!({})));
        world.converge();
        annotate(&mut world, key, value);
        world.touch();
        world.converge();
        assert!(ready(&world) && world.paid == 1, "it asks for nothing");
        assert_silent(&mut world);
        let conditions = world.certificate.status.unwrap().conditions;
        conditions.into_iter().find(|c| c.type_ == READY).unwrap().message
    };
    assert!(told(RENEW_ANNOTATION, "now").ends_with("such as 2026-01-31T12:00:00Z: \"now\""));
    let typo = told("arnkeeper.dev/renew-request-at", "2026-01-01T00:00:00Z");
    assert!(
        typo.contains("\"arnkeeper.dev/renew-request-at\" does nothing") && typo.ends_with(RENEW_ANNOTATION),
        "{typo}"
    );
    for (key, value) in
        [(RENEW_ANNOTATION, "2096-01-01T00:00:00Z"), ("arnkeeper.dev.example/x", "y"), ("example.com/x", "y")]
    {
        assert!(!told(key, value).contains("annotation"), "{key}");
    }
}
