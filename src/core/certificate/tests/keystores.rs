//! Keystores go into the write of the Secret that there is anyway, and follow key, password, profile and spec.

use super::*;
use crate::core::keystores::{KEYSTORE, TRUSTSTORE};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use std::collections::BTreeMap;

fn with_keystores() -> Value {
    let mut spec = one_target();
    spec["secret"]["keystores"] = json!({ "pkcs12": { "passwordSecretRef": { "name": "store", "key": "password" } } });
    spec
}

fn password(text: &str) -> Secret {
    let data = BTreeMap::from([("password".to_owned(), ByteString(text.as_bytes().to_vec()))]);
    Secret { data: Some(data), ..Secret::default() }
}

fn store(world: &World, key: &str) -> Option<Vec<u8>> {
    world.secret.as_ref()?.data.as_ref()?.get(key).map(|value| value.0.clone())
}

/// A look at everything, as after half an hour.
fn look(world: &mut World) {
    world.now += SignedDuration::from_mins(40);
    world.converge();
}

fn converged() -> World {
    let mut world = World::new(&with_keystores());
    world.password = Some(password("changeit"));
    world.converge();
    assert!(ready(&world) && stalled(&world).is_none());
    world
}

#[test]
fn keystores_cost_no_write_of_their_own_and_stay_as_they_are() {
    let mut plain = World::new(&one_target());
    plain.converge();
    assert_eq!(plain.password_reads, 0, "who has no keystores reads no password");
    let mut world = converged();
    assert_eq!(world.changes, plain.changes, "in the same write");
    let (before, secret) = (world.changes, world.secret.clone());
    assert!(store(&world, KEYSTORE).is_some() && store(&world, TRUSTSTORE).is_some());
    for _ in 0..3 {
        look(&mut world);
        world.crash();
    }
    assert_eq!((world.changes, world.secret.clone()), (before, secret));
    // However the key is written.
    let mut spec = with_keystores();
    spec["privateKey"] = json!({ "encoding": "PKCS1" });
    let mut other = World::new(&spec);
    other.password = Some(password("changeit"));
    other.converge();
    assert_eq!(other.changes, plain.changes);
}

#[test]
fn a_renewal_another_password_profile_or_a_stranger_s_hand_has_them_written_anew() {
    let mut world = converged();
    let mut last = store(&world, KEYSTORE);
    let mut is_new = |world: &World, why: &str| {
        let now = store(world, KEYSTORE);
        assert!(now.is_some() && now != last, "{why}");
        last = now;
    };
    world.password = Some(password("another"));
    let before = world.changes;
    look(&mut world);
    is_new(&world, "another password");
    assert_eq!(world.changes, before + 1, "one write");
    change_spec(&mut world, |spec| {
        if let Some(keystores) = &mut spec.secret.keystores {
            keystores.pkcs12.profile = crate::api::certificate::KeystoreProfile::LegacyDES;
        }
    });
    world.converge();
    is_new(&world, "another profile");
    let stranger = ByteString(b"not a keystore".to_vec());
    let data = world.secret.as_mut().and_then(|s| s.data.as_mut()).unwrap();
    data.insert(KEYSTORE.into(), stranger.clone());
    look(&mut world);
    assert_ne!(store(&world, KEYSTORE), Some(stranger.0));
    is_new(&world, "a stranger's hand");
    let paid = world.paid;
    force_renewal(&mut world);
    world.converge();
    assert_eq!(world.paid, paid + 1);
    is_new(&world, "a renewal");
}

#[test]
fn a_password_that_is_missing_is_told_before_anything_is_paid_for() {
    let mut world = World::new(&with_keystores());
    world.converge();
    let why = stalled(&world).unwrap();
    assert!(why.starts_with("KeystorePasswordInvalid") && why.contains("\"store\""), "{why}");
    assert_eq!(world.paid, 0);
    world.password = Some(password("changeit\n"));
    look(&mut world);
    let why = stalled(&world).unwrap();
    assert!(why.contains("newline") && !why.contains("changeit"), "{why}");
    world.password = Some(password("changeit"));
    look(&mut world);
    assert!(ready(&world) && stalled(&world).is_none() && world.paid == 1);
}

#[test]
fn a_renewal_does_not_wait_for_a_password() {
    let mut world = converged();
    let before = store(&world, KEYSTORE);
    world.password = None;
    force_renewal(&mut world);
    world.converge();
    assert!(world.paid == 2 && ready(&world));
    assert!(stalled(&world).unwrap().starts_with("KeystorePasswordInvalid"));
    assert_eq!(store(&world, KEYSTORE), before, "it stays, with the certificate before");
    world.password = Some(password("changeit"));
    look(&mut world);
    assert!(store(&world, KEYSTORE) != before && stalled(&world).is_none());
}

#[test]
fn they_go_when_the_spec_does_not_want_them_and_a_stranger_s_stay() {
    let mut world = converged();
    change_spec(&mut world, |spec| spec.secret.keystores = None);
    world.converge();
    assert!(store(&world, KEYSTORE).is_none() && store(&world, TRUSTSTORE).is_none());
    let stranger = ByteString(b"theirs".to_vec());
    let data = world.secret.as_mut().and_then(|s| s.data.as_mut()).unwrap();
    data.insert(KEYSTORE.into(), stranger.clone());
    look(&mut world);
    assert_eq!(store(&world, KEYSTORE), Some(stranger.0));
}

#[test]
fn what_is_put_back_after_a_stranger_s_hand_has_its_keystores_in_the_same_write() {
    let mut world = converged();
    world.now += SignedDuration::from_hours(2);
    let (before, changes, paid) = (world.secret.clone().unwrap(), world.changes, world.paid);
    world.edit_secret("ca.crt", None);
    world.converge();
    assert_eq!((world.secret.as_ref(), world.changes), (Some(&before), changes + 1), "the keystores stay as they are");
    world.now += SignedDuration::from_mins(2);
    for key in ["tls.crt", KEYSTORE, TRUSTSTORE] {
        world.edit_secret(key, None);
    }
    world.converge();
    let is_there = |key: &str| store(&world, key).is_some_and(|value| !value.is_empty());
    assert!(is_there("tls.crt") && is_there(KEYSTORE) && is_there(TRUSTSTORE));
    assert_eq!((world.changes, world.paid), (changes + 2, paid), "one write, and nothing is paid for");
    look(&mut world);
    assert_eq!(world.changes, changes + 2);
}

#[test]
fn a_certificate_is_put_back_without_waiting_for_a_password() {
    let mut world = converged();
    world.now += SignedDuration::from_hours(2);
    let (before, paid) = (world.secret.clone().unwrap(), world.paid);
    world.password = None;
    world.edit_secret("tls.crt", None);
    world.converge();
    assert_eq!((world.secret.as_ref(), world.paid), (Some(&before), paid));
    assert!(ready(&world) && stalled(&world).unwrap().starts_with("KeystorePasswordInvalid"));
}
