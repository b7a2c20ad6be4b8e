//! Access keys that AWS Secrets Manager keeps.

use crate::{
    accounts::{account_ready, account_refused},
    aws::{Authority, configured},
    harness::{BASE_KEY, REGIONS, World},
    sim::AccessKey,
    wait::until,
};
use arnkeeper::api::AwsAccount;
use aws_credential_types::Credentials;
use serde_json::{Value, json};

/// The name of this world's secret; it is in the account of the operator's own identity.
fn name(world: &World) -> String {
    format!("aws/{}", world.account)
}

/// Puts this secret into Secrets Manager, as text.
async fn put(world: &World, text: &str) {
    let base = Credentials::new(BASE_KEY.0, BASE_KEY.1, None, None, "e2e");
    let config = configured(&world.stand.endpoint, REGIONS[0], base);
    let Some(sim) = world.stand.sim() else {
        let client = aws_sdk_secretsmanager::Client::new(&config);
        client.create_secret().name(name(world)).secret_string(text).send().await.expect("a secret");
        return;
    };
    sim.secret(&operators_account(world).await, REGIONS[0], &name(world), json!({ "string": text })).await;
}

/// The account of the operator's own identity.
async fn operators_account(world: &World) -> String {
    let base = Credentials::new(BASE_KEY.0, BASE_KEY.1, None, None, "e2e");
    let client = aws_sdk_sts::Client::new(&configured(&world.stand.endpoint, REGIONS[0], base));
    client.get_caller_identity().send().await.expect("an identity").account.expect("an account")
}

fn json_of(key: &AccessKey) -> String {
    json!({ "accessKeyId": key.access_key_id, "secretAccessKey": key.secret_access_key }).to_string()
}

/// `spec.credentials` with this secret, over the default of the tests.
fn credentials(secret_id: &str, fields: &Value) -> Value {
    let place = json!({ "secretId": secret_id, "region": REGIONS[0], "fields": fields });
    json!({ "accessKeys": null, "secretsManager": { "aws": place } })
}

#[tokio::test]
async fn an_account_is_used_with_keys_of_secrets_manager_followed_by_a_role() {
    let world = World::bare("sm").await;
    if let Some(sim) = world.stand.sim() {
        sim.role(&world.role(), None).await;
    }
    put(&world, &json!({ "user": BASE_KEY.0, "password": BASE_KEY.1, "note": 1 }).to_string()).await;
    let authority = Authority::new(&world, json!({})).await;
    let fields = json!({ "accessKeyId": "user", "secretAccessKey": "password" });
    world.make_account(json!({ "credentials": credentials(&name(&world), &fields) })).await;
    let account = account_ready(&world).await;
    let caller = account.status.as_ref().and_then(|s| s.caller_arn.clone()).unwrap_or_default();
    assert!(caller.starts_with(&format!("arn:aws:sts::{}:assumed-role/", world.id)), "{caller}");
    let told = serde_json::to_string(&account.status).expect("JSON");
    assert!(!told.contains(BASE_KEY.0) && !told.contains(BASE_KEY.1), "a key is told: {told}");
    world.issued("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
}

#[tokio::test]
async fn a_secret_that_is_not_there_or_has_the_wrong_shape_is_told() {
    let world = World::bare("sm-none").await;
    world.make_account(json!({ "credentials": credentials(&name(&world), &Value::Null) })).await;
    let message = account_refused(&world, "SecretNotFound").await;
    assert!(message.contains(&name(&world)) && message.contains(REGIONS[0]), "{message}");

    let world = World::bare("sm-shape").await;
    put(&world, BASE_KEY.1).await;
    world.make_account(json!({ "credentials": credentials(&name(&world), &Value::Null) })).await;
    let message = account_refused(&world, "SecretInvalid").await;
    assert!(message.contains("not a JSON object") && !message.contains(BASE_KEY.1), "{message}");
}

#[tokio::test]
async fn what_keeps_a_secret_from_being_read_is_told_by_its_iam_action() {
    let world = World::bare("sm-denied").await;
    let Some(sim) = world.stand.sim_because("moto denies nothing, and deletes at once") else { return };
    let elsewhere = sim.secret("444455556666", REGIONS[0], &name(&world), json!({ "string": "{}" })).await;
    world.make_account(json!({ "credentials": credentials(&elsewhere, &Value::Null) })).await;
    let message = account_refused(&world, "AccessDenied").await;
    assert!(message.contains("secretsmanager:GetSecretValue") && message.contains("own identity"), "{message}");

    let operators = operators_account(&world).await;
    for (test, secret, reason, words) in [
        ("sm-kms", json!({ "string": "{}", "protection": "Denied" }), "AccessDenied", "kms:Decrypt"),
        ("sm-broken", json!({ "string": "{}", "protection": "Broken" }), "SecretInvalid", "KMS"),
        ("sm-deleted", json!({ "string": "{}", "deleted": true }), "SecretNotFound", "deletion"),
        ("sm-binary", json!({ "binary": "e30=" }), "SecretInvalid", "SecretString"),
    ] {
        let world = World::bare(test).await;
        sim.secret(&operators, REGIONS[0], &name(&world), secret).await;
        world.make_account(json!({ "credentials": credentials(&name(&world), &Value::Null) })).await;
        let message = account_refused(&world, reason).await;
        assert!(message.contains(words), "{test}: {message}");
    }
}

#[tokio::test]
async fn rotated_keys_are_read_again_when_aws_refuses_the_old_ones() {
    let world = World::bare("sm-rotated").await;
    let Some(sim) = world.stand.sim_because("moto knows no keys that end") else { return };
    let authority = Authority::new(&world, json!({})).await;
    let old = sim.access_key(&world.id, false).await;
    put(&world, &json_of(&old)).await;
    let credentials = credentials(&name(&world), &Value::Null);
    world.make_account(json!({ "assumeRoles": null, "credentials": credentials })).await;
    account_ready(&world).await;
    let new = sim.access_key(&world.id, false).await;
    put(&world, &json_of(&new)).await;
    sim.delete_access_key(&old).await;
    world.issued("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
    let calls = sim.calls(&world.id, "ImportCertificate").await;
    assert_eq!(calls.last().expect("a call").access_key_id.as_deref(), Some(&*new.access_key_id));
    account_ready(&world).await;
}

#[tokio::test]
async fn another_way_to_authenticate_is_another_identity_at_once() {
    let world = World::bare("sm-change").await;
    let Some(sim) = world.stand.sim_because("moto does not tell one access key from another") else { return };
    let (one, other) = (sim.access_key(&world.id, false).await, sim.access_key(&world.id, false).await);
    world.put_credentials(&one.access_key_id, &one.secret_access_key).await;
    world.make_account(json!({ "assumeRoles": null })).await;
    let user = |key: &AccessKey| format!("arn:aws:iam::{}:user/{}", world.id, key.access_key_id);
    let caller = |a: &AwsAccount| a.status.as_ref().and_then(|s| s.caller_arn.clone());
    assert_eq!(caller(&account_ready(&world).await), Some(user(&one)));
    put(&world, &json_of(&other)).await;
    let way = json!({ "spec": { "credentials": credentials(&name(&world), &Value::Null) } });
    world.change(&world.accounts(), &world.account, way).await;
    let wanted = Some(user(&other));
    until(&world.accounts(), &world.account, "the other identity", |a| caller(a) == wanted).await;
}
