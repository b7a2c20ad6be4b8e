//! Access keys that HashiCorp Vault keeps; Vault itself is a stand-in that answers as its documentation says.

use crate::{
    accounts::{account_ready, account_refused},
    aws::Authority,
    harness::{BASE_KEY, SYSTEM, World},
    wait::{Conditions, until},
};
use arnkeeper::api::conditions::READY;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use double::{Call, Double, errors, logged_in, secret};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

#[expect(dead_code, reason = "the unit tests use the rest")]
#[path = "../../src/aws/vault/double.rs"]
pub mod double;

/// What the secret has now; none: Vault is sealed.
type Content = Arc<Mutex<Option<Value>>>;

/// Vault, with the secret `aws/prod`.
pub async fn vault(content: &Content) -> Double {
    let content = Arc::clone(content);
    let answer = move |call: &Call, number: usize| match (&*call.what, &*content.lock().expect("a lock")) {
        (_, None) => errors(503, &["Vault is sealed"]),
        ("POST /v1/auth/kubernetes/login", _) if is_operator(&call.body) => logged_in(&format!("hvs.{number}")),
        ("POST /v1/auth/kubernetes/login", _) => errors(403, &["permission denied"]),
        (_, Some(_)) if !call.token.starts_with("hvs.") => errors(403, &["permission denied"]),
        ("GET /v1/secret/data/aws/prod", Some(fields)) => secret(fields),
        ("POST /v1/auth/token/revoke-self", _) => (204, Value::Null),
        _ => errors(404, &[]),
    };
    Double::with_tls(answer).await
}

/// The login is one with the token of the operator's ServiceAccount, for Vault.
fn is_operator(login: &Value) -> bool {
    let payload = login["jwt"].as_str().and_then(|jwt| jwt.split('.').nth(1)).unwrap_or_default();
    let claims: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap_or_default()).unwrap_or_default();
    login["role"] == "arnkeeper"
        && claims["sub"] == format!("system:serviceaccount:{SYSTEM}:arnkeeper")
        && claims["aud"] == json!(["vault"])
}

/// The place of the secret in the stand-in.
pub fn place(double: &Double) -> Value {
    json!({ "address": double.url, "caBundle": double.ca, "role": "arnkeeper", "path": "aws/prod" })
}

fn credentials(double: &Double, more: Value) -> Value {
    let mut place = place(double);
    crate::harness::merge(&mut place, more);
    json!({ "accessKeys": null, "secretsManager": { "vault": place } })
}

fn keys(id: &str, secret: &str) -> Value {
    json!({ "accessKeyId": id, "secretAccessKey": secret })
}

#[tokio::test]
async fn an_account_is_used_with_keys_of_vault_followed_by_a_role() {
    let world = World::bare("vault").await;
    if let Some(sim) = world.stand.sim() {
        sim.role(&world.role(), None).await;
    }
    let double = vault(&Arc::new(Mutex::new(Some(keys(BASE_KEY.0, BASE_KEY.1))))).await;
    let authority = Authority::new(&world, json!({})).await;
    world.make_account(json!({ "credentials": credentials(&double, json!({})) })).await;
    let account = account_ready(&world).await;
    let caller = account.status.as_ref().and_then(|s| s.caller_arn.clone()).unwrap_or_default();
    assert!(caller.starts_with(&format!("arn:aws:sts::{}:assumed-role/", world.id)), "{caller}");
    let told = serde_json::to_string(&account.status).expect("JSON");
    assert!(!told.contains(BASE_KEY.0) && !told.contains(BASE_KEY.1) && !told.contains("hvs."), "it tells: {told}");
    world.issued("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
}

#[tokio::test]
async fn what_keeps_the_operator_out_of_vault_is_told() {
    let content: Content = Arc::new(Mutex::new(Some(keys(BASE_KEY.0, BASE_KEY.1))));
    let double = vault(&content).await;
    for (test, more, reason, words) in [
        ("vault-role", json!({ "role": "nobody" }), "AccessDenied", "refuses the login"),
        ("vault-path", json!({ "path": "aws/none" }), "SecretNotFound", "aws/none"),
        ("vault-field", json!({ "fields": { "accessKeyId": "user" } }), "SecretInvalid", "no user"),
    ] {
        let world = World::bare(test).await;
        world.make_account(json!({ "credentials": credentials(&double, more) })).await;
        let message = account_refused(&world, reason).await;
        assert!(message.contains(words) && !message.contains(BASE_KEY.1), "{test}: {message}");
    }
}

#[tokio::test]
async fn a_sealed_vault_is_told_and_taken_up_when_it_is_unsealed() {
    let world = World::bare("vault-sealed").await;
    if let Some(sim) = world.stand.sim() {
        sim.role(&world.role(), None).await;
    }
    let content: Content = Arc::new(Mutex::new(None));
    let double = vault(&content).await;
    world.make_account(json!({ "credentials": credentials(&double, json!({})) })).await;
    let told = until(&world.accounts(), &world.account, "sealed", |a| a.because(READY, "VaultUnavailable")).await;
    assert!(told.message(READY).contains("sealed"), "{}", told.message(READY));
    *content.lock().expect("a lock") = Some(keys(BASE_KEY.0, BASE_KEY.1));
    account_ready(&world).await;
}

#[tokio::test]
async fn rotated_keys_in_vault_are_read_again_when_aws_refuses_the_old_ones() {
    let world = World::bare("vault-rotated").await;
    let Some(sim) = world.stand.sim_because("moto knows no keys that end") else { return };
    let authority = Authority::new(&world, json!({})).await;
    let old = sim.access_key(&world.id, false).await;
    let content: Content = Arc::new(Mutex::new(Some(keys(&old.access_key_id, &old.secret_access_key))));
    let double = vault(&content).await;
    world.make_account(json!({ "assumeRoles": null, "credentials": credentials(&double, json!({})) })).await;
    account_ready(&world).await;
    let new = sim.access_key(&world.id, false).await;
    *content.lock().expect("a lock") = Some(keys(&new.access_key_id, &new.secret_access_key));
    sim.delete_access_key(&old).await;
    world.issued("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
    let calls = sim.calls(&world.id, "ImportCertificate").await;
    assert_eq!(calls.last().expect("a call").access_key_id.as_deref(), Some(&*new.access_key_id));
    account_ready(&world).await;
}
