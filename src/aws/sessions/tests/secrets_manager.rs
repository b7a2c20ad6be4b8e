//! Access keys in AWS Secrets Manager.

use super::*;
use crate::aws::{credentials::AccessKeys, provider::fixed};

fn stored() -> AwsAccount {
    let place = json!({ "secretId": "aws/prod", "region": "eu-central-1" });
    account_with(1, &json!({ "credentials": { "secretsManager": { "aws": place } } }))
}

/// The stand-in of STS and Secrets Manager: the keys have the number of the read in their id.
async fn with_stored_keys() -> Stand {
    // The default provider chain would look at the test's own environment.
    let stand = Stand::new(|call, number| match &*call.operation {
        "GetSecretValue" if number == 2 => (500, json!({ "__type": "InternalServiceError" }).to_string()),
        "GetSecretValue" if number >= 5 => (400, json!({ "__type": "ResourceNotFoundException" }).to_string()),
        "GetSecretValue" => {
            let keys = json!({ "accessKeyId": format!("AKIAIOSFODNN7EXAMPL{number}"), "secretAccessKey": SECRET });
            (200, json!({ "Name": "aws/prod", "SecretString": keys.to_string() }).to_string())
        }
        _ => who(USER),
    })
    .await;
    let chain = Some(Held::new(fixed(&keys(ID))));
    let config = stand.sessions.load("eu-west-1".into()).await.config;
    let config = config.into_builder().retry_config(RetryConfig::disabled()).build();
    assert!(stand.sessions.base.set(Base { clients: Arc::new(Clients::new(&config)), config, chain }).is_ok());
    stand
}

fn keys(id: &str) -> AccessKeys {
    let pairs = [("accessKeyId", id), ("secretAccessKey", SECRET)];
    AccessKeys::parse(pairs.map(|(k, v)| (k.to_owned(), v.as_bytes().to_vec())).into()).ok().unwrap()
}

#[tokio::test]
async fn keys_in_secrets_manager_are_read_again_after_an_hour_and_when_aws_refuses_them() {
    let stand = with_stored_keys().await;
    let open = || async { stand.sessions.open(&stored()).await.ok().unwrap() };
    let first = open().await;
    stand.pass(3599);
    assert!(Arc::ptr_eq(&first, &open().await));
    stand.pass(1);
    let second = open().await;
    assert!(!Arc::ptr_eq(&first, &second));
    stand.pass(3600);
    // Secrets Manager fails for now: what was read before still works, and it is asked again soon.
    assert!(Arc::ptr_eq(&second, &open().await));
    stand.pass(29);
    assert!(Arc::ptr_eq(&second, &open().await));
    stand.pass(1);
    let third = open().await;
    assert!(!Arc::ptr_eq(&second, &third));
    stand.pass(59);
    stand.sessions.report(&stored(), &failed(Kind::AccessDenied));
    assert!(Arc::ptr_eq(&third, &open().await), "what is denied is not read again all the time");
    stand.pass(1);
    stand.sessions.report(&stored(), &failed(Kind::AccessDenied));
    let fourth = open().await;
    assert!(!Arc::ptr_eq(&third, &fourth));
    stand.pass(60);
    stand.sessions.report(&stored(), &failed(Kind::Credentials));
    assert_eq!(stand.kind(&stored()).await, Some(ProblemKind::SecretMissing));

    let calls = stand.sts.calls();
    let by = |operation: &str| calls.iter().filter(|c| c.operation == operation).map(|c| &*c.key).collect::<Vec<_>>();
    assert_eq!(by("GetSecretValue"), [ID; 6]);
    let keys = [0, 1, 3, 4].map(|number| format!("AKIAIOSFODNN7EXAMPL{number}"));
    assert_eq!(by("GetCallerIdentity"), keys);
    let read = calls.iter().find(|call| call.operation == "GetSecretValue").unwrap();
    assert_eq!((&*read.region, &read.json()["SecretId"]), ("eu-central-1", &json!("aws/prod")));
}

#[tokio::test]
async fn another_way_to_authenticate_is_used_at_the_next_call() {
    let stand = with_stored_keys().await;
    stand.sessions.open(&stored()).await.ok().unwrap();
    stand.sessions.open(&account_with(2, &json!({}))).await.ok().unwrap();
    stand.sessions.open(&account_with(3, &json!({ "credentials": { "default": {} } }))).await.ok().unwrap();
    let calls = stand.sts.calls();
    let keys: Vec<&str> = calls.iter().filter(|c| c.operation == "GetCallerIdentity").map(|c| &*c.key).collect();
    assert_eq!((keys, stand.secrets.reads()), (vec!["AKIAIOSFODNN7EXAMPL0", ID, ID], 1));
}
