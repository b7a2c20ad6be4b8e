//! The default provider chain, each source in its own wire form: `arnkeeper whoami` in an environment that has nothing else.

use crate::{
    aws::session,
    harness::{BASE_KEY, REGIONS, SYSTEM, World},
};
use axum::{
    Router,
    http::{HeaderMap, StatusCode},
    routing::get,
};
use k8s_openapi::api::{authentication::v1::TokenRequest, core::v1::ServiceAccount};
use kube::{Api, api::PostParams};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

/// A folder of a test's own.
struct Folder(PathBuf);

impl Folder {
    fn new(world: &World) -> Self {
        let folder = std::env::temp_dir().join(format!("arnkeeper-{}", world.account));
        fs::create_dir(&folder).expect("a folder");
        Self(folder)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).expect("a file");
        path.display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What `arnkeeper whoami` says in this environment: the identity, or what it complains of.
async fn whoami(world: &World, environment: &[(&str, &str)]) -> Result<Value, String> {
    let program = env!("CARGO_BIN_EXE_arnkeeper");
    assert!(Path::new(program).exists(), "{program} is not built");
    let mut command = std::process::Command::new(program);
    command.args(["whoami", "--region", REGIONS[0]]).env_clear().stdin(Stdio::null());
    command.env("AWS_ENDPOINT_URL", &world.stand.endpoint).env("AWS_EC2_METADATA_DISABLED", "true");
    command.envs(environment.iter().copied());
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("a task").expect("a process");
    let (told, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(serde_json::from_str(&told).expect("JSON")) } else { Err(complaint.into_owned()) }
}

/// The identity is a session of the world's role.
fn assert_role(world: &World, identity: &Value) {
    let arn = identity["arn"].as_str().unwrap_or_default();
    assert!(arn.starts_with(&format!("arn:aws:sts::{}:assumed-role/arnkeeper/", world.id)), "{identity}");
    assert_eq!(identity["account"], *world.id);
}

#[tokio::test]
async fn nothing_in_the_environment_is_told() {
    let world = World::bare("chain-none").await;
    let complaint = whoami(&world, &[]).await.expect_err("no identity");
    assert!(complaint.contains("sts:GetCallerIdentity") && complaint.contains("credentials"), "{complaint}");
}

#[tokio::test]
async fn access_keys_in_the_environment() {
    let world = World::bare("chain-env").await;
    let keys = [("AWS_ACCESS_KEY_ID", BASE_KEY.0), ("AWS_SECRET_ACCESS_KEY", BASE_KEY.1)];
    let identity = whoami(&world, &keys).await.expect("an identity");
    assert!(identity["arn"].as_str().is_some_and(|arn| arn.starts_with("arn:aws:")), "{identity}");
    if let Some(sim) = world.stand.sim() {
        sim.role(&world.role(), None).await;
    }
    let session = session(&world, REGIONS[0]).await;
    let keys = [
        ("AWS_ACCESS_KEY_ID", session.access_key_id()),
        ("AWS_SECRET_ACCESS_KEY", session.secret_access_key()),
        ("AWS_SESSION_TOKEN", session.session_token().expect("a token")),
    ];
    assert_role(&world, &whoami(&world, &keys).await.expect("an identity"));
}

/// A token as the kubelet projects it for IRSA, made by the stand's API server.
async fn projected(world: &World, audience: &str) -> String {
    let accounts: Api<ServiceAccount> = Api::namespaced(world.stand.client.clone(), SYSTEM);
    let wanted: TokenRequest = crate::harness::from(json!({ "spec": { "audiences": [audience] } }));
    let made = accounts.create_token_request("arnkeeper", &PostParams::default(), &wanted).await;
    made.expect("a token").status.expect("a token").token
}

#[tokio::test]
async fn irsa_by_a_token_of_the_service_account() {
    let world = World::bare("chain-irsa").await;
    if let Some(sim) = world.stand.sim() {
        sim.role_for_web_identity(&world.role(), &format!("system:serviceaccount:{SYSTEM}:arnkeeper")).await;
    }
    let folder = Folder::new(&world);
    let file = folder.file("token", &projected(&world, "sts.amazonaws.com").await);
    let role = world.role();
    let environment = [("AWS_WEB_IDENTITY_TOKEN_FILE", &*file), ("AWS_ROLE_ARN", &*role), ("AWS_REGION", REGIONS[0])];
    assert_role(&world, &whoami(&world, &environment).await.expect("an identity"));

    let Some(sim) = world.stand.sim_because("moto takes any token") else { return };
    let calls = sim.calls(&world.id, "AssumeRoleWithWebIdentity").await;
    assert_eq!(calls.len(), 1, "{calls:?}");
    assert_eq!(calls[0].access_key_id.as_deref(), Some(""), "it needs no key");
    // Of another audience: the trust policy refuses it, by the action that it is about.
    folder.file("token", &projected(&world, "vault").await);
    let complaint = whoami(&world, &environment).await.expect_err("it is refused");
    assert!(complaint.contains("sts:AssumeRoleWithWebIdentity"), "{complaint}");
    folder.file("token", "not a token");
    let complaint = whoami(&world, &environment).await.expect_err("it is refused");
    assert!(complaint.contains("sts:AssumeRoleWithWebIdentity") && complaint.contains("JWT"), "{complaint}");
}

/// The agent of EKS Pod Identity: credentials for who shows the token of its file (EKS user guide, "EKS Pod Identity Agent").
async fn agent(token: &str, credentials: Value) -> String {
    let wanted = token.to_owned();
    let answer = move |headers: HeaderMap| async move {
        if headers.get("authorization").is_some_and(|value| value == &*wanted) {
            (StatusCode::OK, credentials.to_string())
        } else {
            (StatusCode::BAD_REQUEST, "{\"message\": \"the token is not valid\"}".to_owned())
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let router = Router::new().route("/v1/credentials", get(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/v1/credentials")
}

#[tokio::test]
async fn pod_identity_by_its_agent_and_a_token_file() {
    let world = World::bare("chain-pod").await;
    if let Some(sim) = world.stand.sim() {
        sim.role(&world.role(), None).await;
    }
    let session = session(&world, REGIONS[0]).await;
    let token = projected(&world, "pods.eks.amazonaws.com").await;
    let given = json!({ "AccessKeyId": session.access_key_id(), "SecretAccessKey": session.secret_access_key(),
        "Token": session.session_token(), "Expiration": "2199-01-01T00:00:00Z", "AccountId": world.id });
    let url = agent(&token, given).await;
    let folder = Folder::new(&world);
    let file = folder.file("eks-pod-identity-token", &token);
    let environment =
        [("AWS_CONTAINER_CREDENTIALS_FULL_URI", &*url), ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &*file)];
    assert_role(&world, &whoami(&world, &environment).await.expect("an identity"));
    folder.file("eks-pod-identity-token", "another");
    let complaint = whoami(&world, &environment).await.expect_err("it is refused");
    assert!(!complaint.contains(&token) && !complaint.contains(session.secret_access_key()), "{complaint}");
}
