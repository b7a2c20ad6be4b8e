//! Named profiles in files that the operator has.

use crate::{
    accounts::{account_ready, account_refused},
    aws::Authority,
    harness::{BASE_KEY, World},
};
use serde_json::{Value, json};
use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// Adds sections to the operator's file `config` or `credentials`, or puts them in the place of those they are equal to by
/// their first line. The file is the stand's, so all tests share it.
pub fn write(file: &str, sections: &[String]) {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let path = folder().join(file);
    let known = fs::read_to_string(&path).expect("the operator's files");
    let title = |section: &str| section.lines().next().unwrap_or_default().to_owned();
    let mut all: Vec<String> = known.split("\n\n").filter(|s| !s.trim().is_empty()).map(str::to_owned).collect();
    all.retain(|old| !sections.iter().any(|new| title(new) == title(old)));
    all.extend(sections.iter().map(|new| new.trim_end().to_owned()));
    // Renamed, so that nobody reads the half of it.
    let draft = folder().join(format!("{file}.new"));
    fs::write(&draft, all.join("\n\n") + "\n").expect("a draft");
    fs::rename(&draft, &path).expect("the file");
}

fn folder() -> PathBuf {
    Path::new(&env::var("ARNKEEPER_STAND").expect("ARNKEEPER_STAND, as tests/stand/stand sets it")).join("profiles")
}

/// A section of `credentials`.
pub fn keys(profile: &str, id: &str, secret: &str) -> String {
    format!("[{profile}]\naws_access_key_id = {id}\naws_secret_access_key = {secret}")
}

/// `spec` with this profile, over the default of the tests.
fn with(profile: &str) -> Value {
    json!({ "assumeRoles": null, "credentials": { "accessKeys": null, "profile": { "name": profile } } })
}

#[tokio::test]
async fn a_profile_with_a_role_and_a_source_profile_serves_an_account() {
    let world = World::bare("profile").await;
    if let Some(sim) = world.stand.sim() {
        sim.role(&world.role(), Some("the-agreed-id")).await;
    }
    let (name, base) = (format!("role-{}", world.id), format!("base-{}", world.id));
    let role = world.role();
    write(
        "config",
        &[format!("[profile {name}]\nrole_arn = {role}\nsource_profile = {base}\nexternal_id = the-agreed-id")],
    );
    write("credentials", &[keys(&base, BASE_KEY.0, BASE_KEY.1)]);
    let authority = Authority::new(&world, json!({})).await;
    world.make_account(with(&name)).await;
    let account = account_ready(&world).await;
    let caller = account.status.as_ref().and_then(|s| s.caller_arn.clone()).unwrap_or_default();
    assert!(caller.starts_with(&format!("arn:aws:sts::{}:assumed-role/", world.id)), "{caller}");
    let told = serde_json::to_string(&account.status).expect("JSON");
    assert!(!told.contains(BASE_KEY.0) && !told.contains(BASE_KEY.1), "a key is told: {told}");
    world.issued("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
}

#[tokio::test]
async fn a_profile_that_is_not_there_or_runs_a_program_is_told() {
    let world = World::bare("profile-none").await;
    let name = format!("none-{}", world.id);
    world.make_account(with(&name)).await;
    let message = account_refused(&world, "ProfileNotFound").await;
    assert!(message.contains(&name) && message.contains("aws.profiles.secret"), "{message}");

    let world = World::bare("profile-process").await;
    let (name, ran) = (format!("process-{}", world.id), folder().join(format!("ran-{}", world.id)));
    write("config", &[format!("[profile {name}]\ncredential_process = /usr/bin/touch {}", ran.display())]);
    world.make_account(with(&name)).await;
    let message = account_refused(&world, "ProfileInvalid").await;
    assert!(message.contains("credential_process") && message.contains("runs no programs"), "{message}");
    assert!(!message.contains("touch") && !ran.exists(), "{message}");
}

#[tokio::test]
async fn rotated_keys_of_a_profile_are_read_again_when_aws_refuses_the_old_ones() {
    let world = World::bare("profile-rotated").await;
    let Some(sim) = world.stand.sim_because("moto knows no keys that end") else { return };
    let authority = Authority::new(&world, json!({})).await;
    let name = format!("keys-{}", world.id);
    let old = sim.access_key(&world.id, false).await;
    write("credentials", &[keys(&name, &old.access_key_id, &old.secret_access_key)]);
    world.make_account(with(&name)).await;
    account_ready(&world).await;
    let new = sim.access_key(&world.id, false).await;
    write("credentials", &[keys(&name, &new.access_key_id, &new.secret_access_key)]);
    sim.delete_access_key(&old).await;
    world.issued("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
    let calls = sim.calls(&world.id, "ImportCertificate").await;
    assert_eq!(calls.last().expect("a call").access_key_id.as_deref(), Some(&*new.access_key_id));
    account_ready(&world).await;
}
