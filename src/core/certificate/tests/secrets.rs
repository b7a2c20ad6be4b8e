//! What somebody does to the Secret is put right: from the request where the key is still there, at no payment.

use super::*;
use crate::api::{ADOPT_BY_ANNOTATION, ISSUED_FOR_ANNOTATION, RENEW_ANNOTATION, REVISION_ANNOTATION};
use k8s_openapi::api::core::v1::Secret;

/// Converged, a while ago, by a forced renewal.
fn renewed() -> World {
    renewed_as(&one_target())
}

fn renewed_as(spec: &Value) -> World {
    let mut world = World::new(spec);
    world.converge();
    force_renewal(&mut world);
    world.converge();
    world.now += SignedDuration::from_hours(2);
    world.events.clear();
    assert_eq!(world.paid, 2);
    world
}

fn drifts(world: &World) -> usize {
    world.events.iter().filter(|reason| *reason == "Drift").count()
}

/// All is as it was before somebody came, and nothing was paid for.
fn assert_put_back(world: &mut World, before: &Secret, what: &str) {
    world.converge();
    assert!(ready(world) && stalled(world).is_none(), "{what}: {:#?}", world.certificate.status);
    assert_eq!(world.secret.as_ref(), Some(before), "{what}");
    assert_eq!((world.paid, world.new_imports), (2, 1), "{what}");
    assert_silent(world);
    world.now += SignedDuration::from_mins(2);
}

/// The certificate of a new revision is there and delivered under the ARN that there was.
fn assert_issued_anew(world: &mut World, arn_before: &str, paid: usize) {
    assert!(ready(world) && stalled(world).is_none(), "{:#?}", world.certificate.status);
    assert_eq!((arn(world, "edge"), world.paid, world.new_imports), (arn_before.to_owned(), paid, 1));
    assert_eq!(Some(world.acm[0].leaf.serial.clone()), world.serial());
    assert!(!world.has_swapped());
    assert_silent(world);
}

#[test]
fn certificate_and_chain_are_put_back_from_the_request() {
    let mut world = renewed();
    let before = world.secret.clone().unwrap();
    let stranger = world.foreign().to_pem();
    let root = world.in_secret("ca.crt").unwrap();
    let own = world.in_secret("tls.crt").unwrap();
    let edits: [(&str, Option<String>); 8] = [
        ("ca.crt", None),
        ("ca.crt", Some("nonsense".into())),
        ("ca.crt", Some(stranger.clone())),
        ("ca.crt", Some(format!("{root}{stranger}"))),
        ("tls.crt", None),
        ("tls.crt", Some("nonsense".into())),
        ("tls.crt", Some(stranger)),
        ("tls.crt", Some(format!("{own}{root}"))),
    ];
    for (count, (key, value)) in edits.iter().enumerate() {
        world.edit_secret(key, value.as_deref());
        assert_put_back(&mut world, &before, &format!("{key}: {value:?}"));
        assert_eq!(drifts(&world), count + 1, "each is told once");
    }
}

#[test]
fn what_others_keep_in_the_secret_stays_and_the_template_comes_back() {
    let mut spec = one_target();
    spec["secret"]["template"] =
        json!({ "labels": { "team": "pay" }, "annotations": { "example.com/contact": "pay" } });
    let mut world = renewed_as(&spec);
    world.edit_secret("keystore.jks", Some("theirs"));
    world.edit_annotation("example.com/theirs", Some("yes"));
    world.secret.as_mut().unwrap().labels_mut().insert("theirs".into(), "yes".into());
    let before = world.secret.clone().unwrap();
    world.edit_secret("ca.crt", None);
    world.edit_annotation("example.com/contact", None);
    world.secret.as_mut().unwrap().labels_mut().remove("team");
    assert_put_back(&mut world, &before, "the template");
}

#[test]
fn nothing_is_bought_because_an_annotation_was_edited() {
    let mut world = renewed();
    let before = world.secret.clone().unwrap();
    for (key, other) in [
        (REVISION_ANNOTATION, "7"),
        (REVISION_ANNOTATION, "1"),
        (REVISION_ANNOTATION, "100000"),
        (ISSUED_FOR_ANNOTATION, "v1:0123"),
        (RENEW_ANNOTATION, "2025-01-01T00:00:00Z"),
    ] {
        for value in [None, Some(other)] {
            for wiped in [false, true] {
                if wiped {
                    world.now += SignedDuration::from_mins(2);
                    world.certificate.status = None;
                    world.crash();
                }
                world.edit_annotation(key, value);
                // Without a status, a revision that is far off is all that is known.
                if !(wiped && value == Some("100000")) {
                    assert_put_back(&mut world, &before, &format!("{key}: {value:?}"));
                }
            }
            world.secret = Some(before.clone());
            world.converge();
        }
    }
    for (value, wiped) in [(None, false), (None, true), (Some("7"), false), (Some("7"), true)] {
        for key in [REVISION_ANNOTATION, ISSUED_FOR_ANNOTATION, RENEW_ANNOTATION] {
            world.edit_annotation(key, value);
        }
        world.edit_secret("tls.crt", None);
        if wiped {
            world.certificate.status = None;
            world.crash();
        }
        assert_put_back(&mut world, &before, "all of them, and the certificate");
    }
}

#[test]
fn a_spec_that_changed_meanwhile_is_issued_for_all_the_same() {
    for spoilt in ["tls.crt", "ca.crt"] {
        let mut world = renewed();
        let before = arn(&world, "edge");
        world.edit_secret(spoilt, None);
        for key in [ISSUED_FOR_ANNOTATION, REVISION_ANNOTATION] {
            world.edit_annotation(key, None);
        }
        change_spec(&mut world, |spec| {
            spec.duration = serde_json::from_value(json!("1000h")).unwrap();
        });
        world.converge();
        assert_issued_anew(&mut world, &before, 3);
        assert!(world.acm[0].leaf.not_after < world.now + SignedDuration::from_hours(1001));
    }
}

#[test]
fn a_certificate_whose_key_or_request_is_gone_is_issued_anew_and_told() {
    for request_too in [false, true] {
        let mut world = renewed();
        let before = arn(&world, "edge");
        if request_too {
            world.requests.clear();
            world.edit_secret("tls.crt", None);
        } else {
            world.edit_secret("tls.key", Some("nonsense"));
        }
        world.converge();
        assert_eq!(drifts(&world), 1);
        assert_issued_anew(&mut world, &before, 3);
    }
}

#[test]
fn a_secret_that_is_spoilt_on_its_way_is_put_right_with_the_staged_key() {
    let mut world = World::new(&one_target());
    until(&mut world, |w| w.requests.values().any(|r| r.status.is_some()));
    faulty(&mut world, &[Fault::CrashAfter]);
    assert!(world.secret.is_some() && world.staged.len() == 1);
    world.edit_secret("tls.crt", None);
    world.edit_secret("tls.key", Some("nonsense"));
    world.converge();
    assert!(ready(&world) && stalled(&world).is_none(), "{:#?}", world.certificate.status);
    assert_eq!((world.paid, world.new_imports), (1, 1));
    assert!(world.staged.is_empty());
}

#[test]
fn a_strangers_pair_is_told_replaced_and_never_delivered() {
    for restarted in [false, true] {
        let mut world = renewed();
        let before = arn(&world, "edge");
        world.swap_secret();
        if restarted {
            world.crash();
        }
        for _ in 0..20 {
            world.pass(|| Fault::Fine);
            assert!(!world.has_swapped());
            world.sign();
            world.now += SignedDuration::from_secs(20);
        }
        assert_eq!(drifts(&world), 1);
        assert_eq!(world.certificate.status.as_ref().unwrap().history[0].trigger, "SecretLost");
        assert_issued_anew(&mut world, &before, 3);
    }
}

#[test]
fn an_older_revision_is_replaced_by_a_new_one_and_not_delivered() {
    for annotated in [true, false] {
        let mut world = World::new(&one_target());
        world.converge();
        let (older, before) = (world.secret.clone(), arn(&world, "edge"));
        let serial = world.serial().unwrap();
        force_renewal(&mut world);
        world.converge();
        world.now += SignedDuration::from_hours(2);
        world.secret = older;
        if !annotated {
            for key in [REVISION_ANNOTATION, ISSUED_FOR_ANNOTATION, RENEW_ANNOTATION] {
                world.edit_annotation(key, None);
            }
        }
        for _ in 0..20 {
            world.pass(|| Fault::Fine);
            assert_ne!(world.acm[0].leaf.serial, serial);
            world.sign();
            world.now += SignedDuration::from_secs(20);
        }
        assert_issued_anew(&mut world, &before, 3);
    }
}

#[test]
fn an_older_certificate_of_the_same_key_is_put_right_at_no_payment() {
    let mut spec = one_target();
    spec["privateKey"] = json!({ "rotationPolicy": "Never" });
    let mut world = World::new(&spec);
    world.converge();
    let older = world.in_secret("tls.crt").unwrap();
    force_renewal(&mut world);
    world.converge();
    world.now += SignedDuration::from_hours(2);
    let before = world.secret.clone().unwrap();
    world.edit_secret("tls.crt", Some(&older));
    assert_put_back(&mut world, &before, "the older one");
}

#[test]
fn what_swaps_the_secret_again_and_again_buys_little_and_is_told() {
    let mut world = renewed();
    for _ in 0..30 {
        world.swap_secret();
        world.converge();
        assert!(!world.has_swapped());
    }
    assert!(world.paid <= 5, "{} paid for", world.paid);
    assert!(stalled(&world).is_some_and(|why| why.starts_with("IssuedTooOften")), "{:?}", stalled(&world));
    assert!(!ready(&world), "what is in the Secret is not the operator's");
}

#[test]
fn who_changes_the_chain_again_and_again_is_answered_once_a_minute() {
    let mut world = renewed();
    let begin = world.now;
    let changes = world.changes;
    while world.now < begin + SignedDuration::from_mins(10) {
        world.edit_secret("ca.crt", None);
        world.pass(|| Fault::Fine);
        world.now += SignedDuration::from_millis(500);
    }
    assert!((9..=11).contains(&(world.changes - changes)), "{} writes", world.changes - changes);
    assert!(ready(&world) && world.paid == 2);
}

#[test]
fn an_offered_secret_is_taken_as_it_is() {
    for owned in [true, false] {
        let mut world = renewed();
        let before = arn(&world, "edge");
        world.swap_secret();
        world.edit_annotation(ADOPT_BY_ANNOTATION, Some("app"));
        if !owned {
            world.edit_annotation(crate::api::OWNED_BY_ANNOTATION, None);
        }
        let theirs = world.serial();
        // The process ends between any two of its writes.
        for _ in 0..6 {
            faulty(&mut world, &[Fault::CrashAfter]);
        }
        world.converge();
        assert!(ready(&world) && stalled(&world).is_none(), "{:#?}", world.certificate.status);
        assert_eq!((world.serial(), Some(world.acm[0].leaf.serial.clone())), (theirs.clone(), theirs));
        assert_eq!((arn(&world, "edge"), world.paid, world.new_imports), (before, 2, 1));
        assert_eq!(world.certificate.status.as_ref().unwrap().revision, Some(3));
        assert!(!world.secret.as_ref().unwrap().annotations().contains_key(ADOPT_BY_ANNOTATION));
        assert_silent(&mut world);
        world.now += SignedDuration::from_hours(1);
        force_renewal(&mut world);
        world.converge();
        assert_eq!((world.paid, world.certificate.status.as_ref().unwrap().revision), (3, Some(4)));
    }
}

#[test]
fn what_no_request_tells_of_stays_as_it_is() {
    let mut world = renewed();
    restore(&mut world);
    let leaf_alone = world.secret.clone();
    world.edit_secret("ca.crt", None);
    world.converge();
    assert!(ready(&world), "{:#?}", world.certificate.status);
    assert_ne!(world.secret, leaf_alone);
    assert_eq!((world.paid, world.new_imports), (2, 1));
    assert_silent(&mut world);
}

#[test]
fn a_secret_that_is_ahead_of_an_old_view_is_not_taken_for_a_swap() {
    let mut world = World::new(&one_target());
    world.converge();
    let old = world.certificate.clone();
    force_renewal(&mut world);
    world.converge();
    let (secret, paid) = (world.secret.clone(), world.paid);
    for forgotten in [false, true] {
        world.restart_with(old.clone());
        // The store of requests may be behind as well: the request is read afresh.
        world.unseen = forgotten;
        world.pass(|| Fault::Fine);
        world.unseen = false;
        world.converge();
        assert_eq!((&world.secret, world.paid), (&secret, paid));
    }
}

#[test]
fn a_disabled_certificate_puts_nothing_right() {
    let mut world = renewed();
    change_spec(&mut world, |spec| spec.enabled = false);
    world.converge();
    world.swap_secret();
    let before = world.secret.clone();
    world.converge();
    assert_eq!((world.secret.clone(), world.paid), (before, 2));
    assert!(!world.has_swapped());
}

#[test]
fn a_renewal_in_the_long_run_takes_eight_writes() {
    let mut world = World::new(&one_target());
    world.converge();
    // Of the eight, two belong to the request, and one to the event.
    assert_eq!(steady(&mut world), 5);
    assert_eq!(world.requests.keys().copied().collect::<Vec<_>>(), [4, 5]);
    assert!(world.staged.is_empty(), "the key went with the old request");
    assert_silent(&mut world);
    // The process ends in the middle of it.
    for crash in 0..6 {
        world.now += SignedDuration::from_hours(48);
        force_renewal(&mut world);
        let mut faults = (0..crash).map(|_| Fault::Fine).chain([Fault::CrashAfter]);
        for _ in 0..4 {
            world.pass(|| faults.next().unwrap_or(Fault::Fine));
            world.sign();
        }
        world.converge();
        assert_eq!((world.paid, world.requests.len(), world.staged.len()), (6 + crash, 2, 0));
    }
}

#[test]
fn an_old_request_that_is_deleted_with_the_key_on_its_way_costs_one_more_at_most() {
    for signed in [false, true] {
        let mut world = World::new(&one_target());
        world.converge();
        steady(&mut world);
        let (before, paid) = (arn(&world, "edge"), world.paid);
        world.now += SignedDuration::from_hours(48);
        force_renewal(&mut world);
        world.pass(|| Fault::Fine);
        assert_eq!(world.staged.len(), 1);
        if signed {
            world.sign();
        }
        world.requests.pop_first();
        world.sign();
        assert!(world.staged.is_empty(), "its owner is gone");
        world.converge();
        assert!(ready(&world) && stalled(&world).is_none(), "{:#?}", world.certificate.status);
        assert_eq!((arn(&world, "edge"), world.paid), (before, paid + 1 + usize::from(signed)));
        assert_silent(&mut world);
    }
}
