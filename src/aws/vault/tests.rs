use super::{
    double::{Call, Double, errors, logged_in, secret},
    *,
};
use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
};

const ID: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const JWT: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl";
const LOGIN: &str = "POST /v1/auth/kubernetes/login";
const READ: &str = "GET /v1/secret/data/aws/prod";
const REVOKE: &str = "POST /v1/auth/token/revoke-self";

/// The file with the operator's token.
struct Token(PathBuf);

impl Token {
    fn new(text: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("arnkeeper-vault-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
        let file = std::env::temp_dir().join(name);
        fs::write(&file, text).unwrap();
        Self(file)
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn place(double: &Double, more: &Value) -> VaultSecret {
    let mut place = json!({ "address": double.url, "role": "arnkeeper", "path": "aws/prod" });
    for (name, value) in more.as_object().into_iter().flatten() {
        place[name] = value.clone();
    }
    serde_json::from_value(place).unwrap()
}

fn keys() -> Value {
    json!({ "accessKeyId": ID, "secretAccessKey": SECRET })
}

fn works(call: &Call, number: usize) -> (u16, Value) {
    match &*call.what {
        LOGIN => logged_in(&format!("hvs.{number}")),
        READ => secret(&keys()),
        _ => (204, Value::Null),
    }
}

async fn read_with(double: &Double, more: &Value) -> Result<AccessKeys, SessionProblem> {
    let token = Token::new(JWT);
    let read = read(&place(double, more), Some(&token.0), &Network::default()).await;
    if let Err(problem) = &read {
        assert!(problem.message.contains("aws/prod") && problem.message.contains(&double.url), "{problem}");
        for hidden in [JWT, "hvs.", "wJalr", "AKIA"] {
            assert!(!problem.message.contains(hidden), "{hidden} is told: {problem}");
        }
    }
    read
}

/// What is told where one call is answered so, and all others as they should be.
async fn told(what: &'static str, answer: (u16, Value)) -> (ProblemKind, String) {
    let double =
        Double::start(move |call, number| if call.what == what { answer.clone() } else { works(call, number) }).await;
    let problem = read_with(&double, &Value::Null).await.err().unwrap();
    (problem.kind, problem.message)
}

#[tokio::test]
async fn keys_are_read_with_a_login_and_its_token_is_given_back() {
    let double = Double::start(works).await;
    let keys = read_with(&double, &Value::Null).await.ok().unwrap().to_sdk();
    assert_eq!((keys.access_key_id(), keys.secret_access_key()), (ID, SECRET));
    let calls = double.calls();
    let by: Vec<(&str, &str)> = calls.iter().map(|call| (&*call.what, &*call.token)).collect();
    assert_eq!(by, [(LOGIN, ""), (READ, "hvs.0"), (REVOKE, "hvs.0")]);
    assert_eq!(calls[0].body, json!({ "role": "arnkeeper", "jwt": JWT }));
    assert!(calls.iter().all(|call| call.namespace.is_empty()));
}

#[tokio::test]
async fn mounts_a_namespace_and_the_names_of_fields_are_settable() {
    let double = Double::start(|call, number| match &*call.what {
        "POST /v1/auth/clusters/eu/login" => works(&Call { what: LOGIN.into(), ..call.clone() }, number),
        "GET /v1/team/kv/data/aws/prod" => secret(&json!({ "user": ID, "password": SECRET, "rotated": 7 })),
        REVOKE => (204, Value::Null),
        _ => errors(404, &[]),
    })
    .await;
    let fields = json!({ "accessKeyId": "user", "secretAccessKey": "password" });
    let more = json!({ "authMount": "clusters/eu", "mount": "team/kv", "namespace": "payments", "fields": fields });
    let keys = read_with(&double, &more).await.ok().unwrap().to_sdk();
    assert_eq!((keys.access_key_id(), keys.secret_access_key()), (ID, SECRET));
    let calls = double.calls();
    assert!(calls.len() == 3 && calls.iter().all(|call| call.namespace == "payments"), "{calls:?}");
}

/// Vault tells an ended token like a policy that does not allow, with one error more.
#[tokio::test]
async fn a_token_that_ended_is_replaced_once() {
    let ended = || errors(403, &["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]);
    let double =
        Double::start(move |call, number| if call.what == READ && number == 0 { ended() } else { works(call, number) })
            .await;
    assert!(read_with(&double, &Value::Null).await.is_ok());
    let by: Vec<(String, String)> = double.calls().into_iter().map(|call| (call.what, call.token)).collect();
    let call = |what: &str, token: &str| (what.to_owned(), token.to_owned());
    let (first, second) = ([call(LOGIN, ""), call(READ, "hvs.0")], [call(LOGIN, ""), call(READ, "hvs.1")]);
    assert_eq!(by, [&first[..], &second[..], &[call(REVOKE, "hvs.1")]].concat());
    let (kind, message) = told(READ, ended()).await;
    assert!(kind == ProblemKind::AccessDenied && message.contains("invalid token"), "{message}");
    assert!(!message.contains(char::is_control), "{message}");
}

#[tokio::test]
async fn what_keeps_us_out_of_vault_is_told() {
    // Statuses: "HTTP API", HTTP status codes. The words are Vault's own.
    for (what, answer, kind, words) in [
        (LOGIN, errors(403, &["permission denied"]), ProblemKind::AccessDenied, "refuses the login"),
        (LOGIN, errors(400, &["invalid role name \"arnkeeper\""]), ProblemKind::AccessDenied, "invalid role name"),
        (LOGIN, errors(403, &["invalid audience (aud) claim"]), ProblemKind::AccessDenied, "audience"),
        (LOGIN, errors(404, &["no handler for route"]), ProblemKind::AccessDenied, "authMount"),
        (LOGIN, errors(403, &[JWT]), ProblemKind::AccessDenied, "refuses the login"),
        (LOGIN, (200, json!({ "auth": null })), ProblemKind::AccessDenied, "no token"),
        (LOGIN, errors(503, &["Vault is sealed"]), ProblemKind::VaultUnavailable, "sealed"),
        (LOGIN, errors(500, &["internal error"]), ProblemKind::VaultUnavailable, "internal error"),
        (
            READ,
            errors(403, &["1 error occurred:\n\t* permission denied\n\n"]),
            ProblemKind::AccessDenied,
            "secret/data/aws/prod",
        ),
        (READ, errors(404, &[]), ProblemKind::SecretMissing, "make it"),
        (
            READ,
            errors(404, &["no handler for route \"secret/data/aws/prod\". route entry not found."]),
            ProblemKind::SecretMissing,
            "KV version 2",
        ),
        (READ, errors(503, &["Vault is sealed"]), ProblemKind::VaultUnavailable, "unseal"),
        (
            READ,
            errors(429, &["request path \"secret\": rate limit quota exceeded"]),
            ProblemKind::VaultUnavailable,
            "429",
        ),
        (READ, errors(412, &["required index state not present"]), ProblemKind::VaultUnavailable, "412"),
        (READ, errors(473, &[]), ProblemKind::VaultUnavailable, "473"),
        (READ, (307, Value::Null), ProblemKind::VaultUnavailable, "redirect"),
        (READ, errors(400, &["bad request"]), ProblemKind::SecretInvalid, "bad request"),
        (READ, (200, json!({ "data": { "accessKeyId": ID } })), ProblemKind::SecretInvalid, "KV version 2"),
        (READ, secret(&json!({ "accessKeyId": ID })), ProblemKind::SecretInvalid, "no secretAccessKey"),
        (READ, (502, json!("<html>")), ProblemKind::VaultUnavailable, "502"),
    ] {
        let (found, message) = told(what, answer).await;
        assert!(found == kind && message.contains(words), "{what}, {words}: {found:?}: {message}");
    }
}

/// KV secrets engine version 2, Read secret version: a deleted version is a 404 with its metadata.
#[tokio::test]
async fn a_deleted_version_is_told_as_one() {
    for (metadata, words) in [
        (json!({ "deletion_time": "2018-03-22T02:36:43.986212308Z", "destroyed": false }), "was deleted"),
        (json!({ "deletion_time": "", "destroyed": true }), "was destroyed"),
    ] {
        let (kind, message) = told(READ, (404, json!({ "data": { "data": null, "metadata": metadata } }))).await;
        assert!(kind == ProblemKind::SecretMissing && message.contains(words), "{message}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_or_answers_too_much_is_told() {
    let (kind, message) = told(READ, (200, json!("x".repeat(LONGEST_ANSWER)))).await;
    assert!(kind == ProblemKind::VaultUnavailable && message.contains("can't be read"), "{message}");
    let mut double = Double::start(works).await;
    // Bound and not listening, so that nobody else answers there.
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    double.url = format!("http://{}", held.local_addr().unwrap());
    let problem = read_with(&double, &Value::Null).await.err().unwrap();
    assert_eq!((problem.kind, problem.reason()), (ProblemKind::VaultUnavailable, "VaultUnavailable"));
    assert!(problem.message.contains("can't be reached"), "{problem}");
}

#[tokio::test]
async fn the_ca_bundle_is_what_is_trusted() {
    let double = Double::with_tls(works).await;
    let double_of_another_ca = Double::with_tls(works).await;
    assert!(read_with(&double, &json!({ "caBundle": double.ca })).await.is_ok());
    let both = format!("{}{}", double_of_another_ca.ca, double.ca);
    assert!(read_with(&double, &json!({ "caBundle": both })).await.is_ok());
    let problem = read_with(&double, &json!({ "caBundle": double_of_another_ca.ca })).await.err().unwrap();
    assert!(problem.kind == ProblemKind::VaultUnavailable && problem.message.contains("caBundle"), "{problem}");
    for (pem, words) in [
        ("", "no certificate"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "can't be used"),
        ("-----BEGIN CERTIFICATE-----\n%\n-----END CERTIFICATE-----\n", "not PEM"),
    ] {
        let problem = read_with(&double, &json!({ "caBundle": pem })).await.err().unwrap();
        assert!(problem.kind == ProblemKind::SecretInvalid && problem.message.contains(words), "{problem}");
    }
    assert_eq!(double.calls().len(), 6);
}

#[tokio::test]
async fn without_a_token_of_its_own_the_operator_asks_nothing() {
    let double = Double::start(works).await;
    let place = place(&double, &Value::Null);
    for (file, words) in [(None, "vault.enabled"), (Some(PathBuf::from("/nonexistent/token")), "/nonexistent/token")] {
        let problem = read(&place, file.as_deref(), &Network::default()).await.err().unwrap();
        assert!(problem.kind == ProblemKind::AccessDenied && problem.message.contains(words), "{problem}");
    }
    for text in ["", "\n", "a\nb\n"] {
        let none = Token::new(text);
        let problem = read(&place, Some(&none.0), &Network::default()).await.err().unwrap();
        assert!(problem.message.contains("no token in it") && double.calls().is_empty(), "{problem}");
    }
    let ends_in_a_newline = Token::new(&format!("{JWT}\n"));
    assert!(read(&place, Some(&ends_in_a_newline.0), &Network::default()).await.is_ok());
}
