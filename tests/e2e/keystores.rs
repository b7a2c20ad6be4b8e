//! PKCS#12 keystores in the Secret, opened by openssl.

use crate::harness::{World, secret_name};
use crate::wait::{eventually, until};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;
use std::{io::Write as _, process::Command};

async fn put_password(world: &World, password: &str) {
    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "store" },
        "stringData": { "password": password } });
    world
        .secrets()
        .patch("store", &PatchParams::apply("e2e").force(), &Patch::Apply(secret))
        .await
        .expect("a password");
}

/// The certificates in a store of a Secret, as openssl tells them; none: the password does not open it.
fn open(secret: &Secret, key: &str, password: &str, legacy: bool) -> Option<String> {
    let bytes = &secret.data.as_ref()?.get(key)?.0;
    let path = std::env::temp_dir().join(format!("arnkeeper-e2e-{}-{key}", secret.uid().unwrap_or_default()));
    std::fs::File::create(&path).and_then(|mut file| file.write_all(bytes)).expect("a file");
    let mut command = Command::new("openssl");
    command.args(["pkcs12", "-nodes", "-passin", "env:P12", "-in"]).arg(&path).env("P12", password);
    if legacy {
        command.arg("-legacy");
    }
    let output = command.output().expect("openssl");
    std::fs::remove_file(&path).expect("the file goes");
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Has the Certificate looked at again, which else happens within half an hour.
async fn touch(world: &World, value: &str) {
    let patch = json!({ "metadata": { "labels": { "touched": value } } });
    world.change(&world.certificates(), "app", patch).await;
}

#[tokio::test]
async fn a_keystore_opens_with_its_password_and_follows_it() {
    let (world, authority) = World::new("keystore").await;
    let reference = json!({ "name": "store", "key": "password" });
    let keystores = json!({ "pkcs12": { "passwordSecretRef": reference } });
    world.certificate("app", &authority, json!({ "secret": { "keystores": keystores } })).await;
    let why = world.stalled("app", "KeystorePasswordInvalid").await;
    assert!(crate::wait::Conditions::message(&why, "Stalled").contains("\"store\""));
    world.assert_nothing_asked().await;
    put_password(&world, "changeit").await;
    touch(&world, "first").await;
    world.ready("app").await;
    let secret = world.secrets().get(&secret_name("app")).await.expect("the Secret");
    let tls = world.tls("app").await;
    let told = open(&secret, "keystore.p12", "changeit", false).expect("the password opens it");
    assert!(told.contains("PRIVATE KEY"));
    assert_eq!(crate::tls::Cert::first(&told).serial(), tls.leaf().serial(), "the leaf comes first");
    let trusted = open(&secret, "truststore.p12", "changeit", false).expect("the password opens it");
    assert!(!trusted.contains("PRIVATE KEY") && trusted.contains("BEGIN CERTIFICATE"));

    put_password(&world, "another").await;
    touch(&world, "second").await;
    let opens = |legacy: bool| {
        let world = world.clone();
        move || {
            let world = world.clone();
            async move {
                let secret = world.secrets().get(&secret_name("app")).await.map_err(|e| e.to_string())?;
                open(&secret, "keystore.p12", "another", legacy).map(|_| secret).ok_or_else(|| "not yet".to_owned())
            }
        }
    };
    let secret = eventually("the other password opens it", opens(false)).await;
    assert!(open(&secret, "keystore.p12", "changeit", false).is_none());

    let profile = json!({ "spec": { "secret": { "keystores": { "pkcs12": { "profile": "LegacyDES" } } } } });
    world.change(&world.certificates(), "app", profile).await;
    let legacy = |s: &Secret| s.resource_version() != secret.resource_version();
    let secret = until(&world.secrets(), &secret_name("app"), "another profile", legacy).await;
    assert!(open(&secret, "keystore.p12", "another", true).is_some());
    if let Some(sim) = world.stand.sim() {
        assert_eq!(sim.effective(&world.id, "IssueCertificate").await, 1, "no keystore is a reason to issue");
    }
}
