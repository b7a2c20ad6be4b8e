//! AwsAccount: who the operator is there, what the account offers, and why it does not let anybody in.

use crate::{
    aws::Authority,
    harness::{BASE_KEY, REGIONS, World},
    wait::{Conditions, until},
};
use arnkeeper::api::{
    AwsAccount,
    conditions::{CREDENTIALS_VALID, READY, STALLED},
};
use serde_json::json;

/// Waits until the account can be used.
pub async fn account_ready(world: &World) -> AwsAccount {
    until(&world.accounts(), &world.account, "Ready", |a| a.is(READY) && a.is(CREDENTIALS_VALID)).await
}

/// Waits until the account says that it does not let anybody in for this reason; returns the message.
pub async fn account_refused(world: &World, reason: &str) -> String {
    let refused = |a: &AwsAccount| a.is(STALLED) && a.because(READY, reason) && !a.is(READY);
    let account = until(&world.accounts(), &world.account, &format!("Stalled: {reason}"), refused).await;
    assert!(account.because(CREDENTIALS_VALID, reason) && !account.is(CREDENTIALS_VALID));
    assert!(account.status.as_ref().is_some_and(|s| s.certificate_authorities.is_empty()), "it still lists CAs");
    account.message(READY).to_owned()
}

#[tokio::test]
async fn an_account_tells_who_it_is_and_which_private_cas_it_offers() {
    let (world, authority) = World::new("account").await;
    let account = account_ready(&world).await;
    let status = account.status.expect("a status");
    assert_eq!(status.account_id.as_deref(), Some(&*world.id));
    assert_eq!(status.partition.as_deref(), Some("aws"));
    let caller = status.caller_arn.unwrap_or_default();
    assert!(caller.starts_with(&format!("arn:aws:sts::{}:assumed-role/", world.id)), "{caller}");
    let listed =
        status.certificate_authorities.iter().find(|ca| ca.arn.as_str() == authority.arn).expect("the CA is listed");
    assert_eq!(listed.common_name.as_deref(), Some(&*authority.name));
    assert_eq!((listed.status.as_str(), listed.region.as_str()), ("ACTIVE", REGIONS[0]));
    assert_eq!(listed.key_algorithm, if authority.rsa { "RSA_2048" } else { "EC_prime256v1" });
    assert!(listed.not_after.is_some());
}

#[tokio::test]
async fn wrong_credentials_are_told() {
    let world = World::bare("wrong-keys").await;
    if world.stand.sim_because("moto takes any access key").is_none() {
        return;
    }
    world.put_credentials("AKIAI44QH8DHBEXAMPLE", "je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY").await;
    world.make_account(json!({ "assumeRoles": null })).await;
    let message = account_refused(&world, "CredentialsInvalid").await;
    assert!(!message.contains("je7MtGbClwBF"), "the message tells the secret key: {message}");
}

#[tokio::test]
async fn a_trailing_newline_in_an_access_key_is_told() {
    let world = World::bare("newline").await;
    world.put_credentials("AKIAIOSFODNN7EXAMPLE\n", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY").await;
    world.make_account(json!({ "assumeRoles": null, "accountId": null })).await;
    let message = account_refused(&world, "SecretInvalid").await;
    assert!(message.contains("accessKeyId"), "the message does not name the key: {message}");
    assert!(message.contains("newline"), "{message}");
}

#[tokio::test]
async fn a_missing_secret_is_told_and_taken_up_when_it_comes() {
    let world = World::bare("no-secret").await;
    if let Some(sim) = world.stand.sim() {
        sim.role(&world.role(), None).await;
    }
    world.make_account(json!({})).await;
    let message = account_refused(&world, "SecretNotFound").await;
    assert!(message.contains(&*world.account), "the message does not name the Secret: {message}");
    world.put_credentials(BASE_KEY.0, BASE_KEY.1).await;
    account_ready(&world).await;
}

#[tokio::test]
async fn a_rotated_secret_is_used_at_the_next_call() {
    let world = World::bare("rotated").await;
    let Some(sim) = world.stand.sim_because("moto knows no keys that end") else { return };
    let authority = Authority::new(&world, json!({})).await;
    let old = sim.access_key(&world.id, false).await;
    world.put_credentials(&old.access_key_id, &old.secret_access_key).await;
    world.make_account(json!({ "assumeRoles": null })).await;
    account_ready(&world).await;
    let new = sim.access_key(&world.id, false).await;
    world.put_credentials(&new.access_key_id, &new.secret_access_key).await;
    sim.delete_access_key(&old).await;
    world.issued("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
    let calls = sim.calls(&world.id, "ImportCertificate").await;
    let last = calls.last().expect("a call").access_key_id.as_deref();
    assert_eq!(last, Some(&*new.access_key_id));
    account_ready(&world).await;
}

#[tokio::test]
async fn the_default_provider_chain_serves_an_account_without_access_keys() {
    let world = World::bare("default-chain").await;
    if let Some(sim) = world.stand.sim() {
        sim.role(&world.role(), None).await;
    }
    let authority = Authority::new(&world, json!({})).await;
    // The operator's own environment has the keys; a role leads from them to the account.
    world.make_account(json!({ "credentials": { "accessKeys": null, "default": {} } })).await;
    account_ready(&world).await;
    world.issued("app", &authority, json!({})).await;
}

#[tokio::test]
async fn a_session_token_goes_with_temporary_keys() {
    let world = World::bare("session-token").await;
    if let Some(sim) = world.stand.sim() {
        sim.role(&world.role(), None).await;
    }
    let session = crate::aws::session(&world, REGIONS[0]).await;
    let token = session.session_token().expect("a session token");
    world.put_temporary_credentials(session.access_key_id(), session.secret_access_key(), token).await;
    world.make_account(json!({ "assumeRoles": null })).await;
    let caller = account_ready(&world).await.status.expect("a status").caller_arn.unwrap_or_default();
    assert!(caller.starts_with(&format!("arn:aws:sts::{}:assumed-role/", world.id)), "{caller}");
}

#[tokio::test]
async fn root_credentials_are_refused() {
    let world = World::bare("root").await;
    let Some(sim) = world.stand.sim_because("moto has no root user") else { return };
    let key = sim.access_key(&world.id, true).await;
    world.put_credentials(&key.access_key_id, &key.secret_access_key).await;
    world.make_account(json!({ "assumeRoles": null })).await;
    let message = account_refused(&world, "RootCredentials").await;
    assert!(message.contains("root"), "{message}");
}

#[tokio::test]
async fn credentials_of_another_account_are_refused() {
    let world = World::bare("elsewhere").await;
    world.open_account(json!({ "accountId": "444455556666" })).await;
    let message = account_refused(&world, "WrongAccount").await;
    assert!(message.contains("444455556666") && message.contains(&*world.id), "{message}");
}

#[tokio::test]
async fn an_external_id_is_sent() {
    let world = World::bare("external-id").await;
    let Some(sim) = world.stand.sim_because("moto lets everybody assume every role") else { return };
    sim.role(&world.role(), Some("the-agreed-id")).await;
    world.put_credentials(BASE_KEY.0, BASE_KEY.1).await;
    let roles = |id: &str| json!([{ "roleArn": world.role(), "externalId": id }]);
    world.make_account(json!({ "assumeRoles": roles("another-id") })).await;
    let message = account_refused(&world, "AccessDenied").await;
    assert!(message.contains("sts:AssumeRole") && message.contains("externalId"), "{message}");
    world.change(&world.accounts(), &world.account, json!({ "spec": { "assumeRoles": roles("the-agreed-id") } })).await;
    account_ready(&world).await;
}

#[tokio::test]
async fn a_role_that_trusts_others_only_is_told() {
    let world = World::bare("distrusted").await;
    let Some(sim) = world.stand.sim_because("moto lets everybody assume every role") else { return };
    sim.trusting_role(&world.role(), "999999999999").await;
    world.put_credentials(BASE_KEY.0, BASE_KEY.1).await;
    world.make_account(json!({})).await;
    let message = account_refused(&world, "AccessDenied").await;
    assert!(message.contains("sts:AssumeRole") && message.contains("trust policy"), "{message}");
    sim.role(&world.role(), None).await;
    world.change(&world.accounts(), &world.account, json!({ "spec": { "reimport": false } })).await;
    account_ready(&world).await;
}

#[tokio::test]
async fn roles_are_chained_for_an_hour_at_most() {
    let world = World::bare("role-chain").await;
    let Some(sim) = world.stand.sim_because("moto chains roles for as long as anybody likes") else { return };
    let hub = format!("arn:aws:iam::{}:role/hub", world.id);
    for role in [&hub, &world.role()] {
        sim.role(role, None).await;
    }
    world.put_credentials(BASE_KEY.0, BASE_KEY.1).await;
    let chain = |first: &str, second: &str| json!([{ "roleArn": hub, "duration": first }, { "roleArn": world.role(), "duration": second }]);
    world.make_account(json!({ "assumeRoles": chain("1h", "2h") })).await;
    let message = account_refused(&world, "RoleChainInvalid").await;
    assert!(message.contains("1h"), "{message}");
    assert!(sim.calls(&world.id, "AssumeRole").await.is_empty(), "STS was asked");
    // One by itself may last as long as the role allows: an hour, where nobody said more (STS API reference, AssumeRole).
    let spec = json!({ "spec": { "assumeRoles": chain("2h", "1h") } });
    world.change(&world.accounts(), &world.account, spec).await;
    let message = account_refused(&world, "RoleChainInvalid").await;
    assert!(message.contains("MaxSessionDuration") && message.contains("duration in spec.assumeRoles"), "{message}");
    let spec = json!({ "spec": { "assumeRoles": chain("1h", "1h") } });
    world.change(&world.accounts(), &world.account, spec).await;
    let caller = account_ready(&world).await.status.expect("a status").caller_arn.unwrap_or_default();
    assert!(caller.contains(":assumed-role/arnkeeper/"), "{caller}");
}

#[tokio::test]
async fn credentials_that_end_while_they_are_used_are_renewed() {
    let Some((world, authority, sim)) = World::on_sim("ended", "moto's sessions never end").await else { return };
    let spec = json!({ "acm": [{ "name": "edge" }] });
    world.issued("before", &authority, spec.clone()).await;
    let assumed = async || sim.assumed(&world.role()).await;
    let before = assumed().await;
    sim.end_sessions(&world.id).await;
    world.issued("after", &authority, spec).await;
    let account = account_ready(&world).await;
    assert!(account.condition(STALLED).is_none(), "{}", account.message(STALLED));
    let times = assumed().await - before;
    assert!((1..=2).contains(&times), "it was entered {times} times more");
}

#[tokio::test]
async fn no_call_is_made_for_a_disabled_account() {
    let (world, authority) = World::new("disabled").await;
    account_ready(&world).await;
    world.change(&world.accounts(), &world.account, json!({ "spec": { "enabled": false } })).await;
    let account = until(&world.accounts(), &world.account, "Disabled", |a| a.because(READY, "Disabled")).await;
    assert!(account.condition(STALLED).is_none(), "a person wanted it so");
    let before = calls_about_authorities(&world).await;
    world.certificate("app", &authority, json!({})).await;
    world.stalled("app", "AccountDisabled").await;
    assert_eq!(calls_about_authorities(&world).await, before, "AWS was called");
    world.assert_nothing_asked().await;
    world.change(&world.accounts(), &world.account, json!({ "spec": { "enabled": true } })).await;
    world.ready("app").await;
}

async fn calls_about_authorities(world: &World) -> usize {
    let Some(sim) = world.stand.sim() else { return 0 };
    let mut count = 0;
    for operation in ["ListCertificateAuthorities", "DescribeCertificateAuthority", "GetCallerIdentity"] {
        count += sim.calls(&world.id, operation).await.len();
    }
    count
}

#[tokio::test]
async fn denied_listing_of_cas_names_the_action_and_leaves_the_account_usable() {
    let Some((world, authority, sim)) = World::on_sim("no-list", "moto denies nothing").await else { return };
    sim.deny(&world.id, &["acm-pca:ListCertificateAuthorities"]).await;
    world.change(&world.accounts(), &world.account, json!({ "spec": { "regions": [REGIONS[0]] } })).await;
    let told = |a: &AwsAccount| a.is(READY) && a.message(READY).contains("acm-pca:ListCertificateAuthorities");
    until(&world.accounts(), &world.account, "the missing action is named", told).await;
    world.issued("app", &authority, json!({})).await;
}
