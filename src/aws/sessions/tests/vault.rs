//! Access keys in Vault.

use super::*;
use crate::aws::vault::double::{Double, errors, logged_in, secret};
use std::{fs, path::PathBuf};

const LOGIN: &str = "POST /v1/auth/kubernetes/login";
const READ: &str = "GET /v1/secret/data/aws/prod";

/// The operator's own token, in a file.
struct Token(PathBuf);

impl Token {
    fn new() -> Self {
        let file = std::env::temp_dir().join(format!("arnkeeper-vault-session-{}", std::process::id()));
        fs::write(&file, "header.payload.signature").unwrap();
        Self(file)
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// The keys have the number of the read in their id; the third time Vault is sealed.
#[tokio::test]
async fn keys_in_vault_are_read_again_after_an_hour_and_when_aws_refuses_them() {
    let double = Double::start(|call, number| match &*call.what {
        LOGIN => logged_in("hvs.token"),
        READ if number == 2 => errors(503, &["Vault is sealed"]),
        READ => secret(&json!({ "accessKeyId": format!("AKIAIOSFODNN7EXAMPL{number}"), "secretAccessKey": SECRET })),
        _ => (204, serde_json::Value::Null),
    })
    .await;
    let token = Token::new();
    let mut stand = Stand::new(|_, _| who(USER)).await;
    stand.sessions.vault_token = Some(token.0.clone());
    let place = json!({ "address": double.url, "role": "arnkeeper", "path": "aws/prod" });
    let account = account_with(1, &json!({ "credentials": { "secretsManager": { "vault": place } } }));
    let open = || async { stand.sessions.open(&account).await.ok().unwrap() };
    let first = open().await;
    stand.pass(3599);
    assert!(Arc::ptr_eq(&first, &open().await));
    stand.pass(1);
    let second = open().await;
    stand.pass(3600);
    assert!(Arc::ptr_eq(&second, &open().await), "Vault is sealed, and the keys still work");
    stand.pass(30);
    let third = open().await;
    stand.pass(60);
    stand.sessions.report(&account, &failed(Kind::AccessDenied));
    let fourth = open().await;
    assert!(!Arc::ptr_eq(&first, &second) && !Arc::ptr_eq(&second, &third) && !Arc::ptr_eq(&third, &fourth));
    let keys = [0, 1, 3, 4].map(|number| format!("AKIAIOSFODNN7EXAMPL{number}"));
    assert_eq!(stand.sts.calls().iter().map(|call| &*call.key).collect::<Vec<_>>(), keys);
}
