//! Roles, one after the other, and the members of an organization.

use super::*;

/// A member, with this uid of its owner.
fn member(owner: &str) -> AwsAccount {
    let mut member = account_with(
        1,
        &json!({ "accountId": "444455556666", "credentials": { "fromAccount": { "name": "org" } },
            "assumeRoles": [{ "roleArn": "arn:aws:iam::444455556666:role/common" }] }),
    );
    let reference = json!([{ "apiVersion": "arnkeeper.dev/v1beta1", "kind": "AwsAccount", "name": "org", "uid": owner,
        "controller": true }]);
    member.metadata.owner_references = serde_json::from_value(reference).unwrap();
    member
}

#[tokio::test]
async fn roles_are_assumed_one_after_the_other_and_held() {
    let stand = Stand::new(|call, number| match &*call.operation {
        "AssumeRole" => role(["ASIAFIRST", "ASIASECOND"][number]),
        "GetCallerIdentity" => who("arn:aws:sts::444455556666:assumed-role/second/arnkeeper"),
        _ => (200, json!({ "CertificateSummaryList": [] }).to_string()),
    })
    .await;
    let account = account_with(
        1,
        &json!({ "accountId": "444455556666", "assumeRoles": [
            { "roleArn": "arn:aws:iam::111122223333:role/first", "duration": "2h" },
            { "roleArn": "arn:aws:iam::444455556666:role/second", "externalId": "shared-id" },
        ] }),
    );
    let session = stand.sessions.open(&account).await.ok().unwrap();
    session.list_certificates(&account.spec.regions[0]).await.unwrap();
    let calls = stand.sts.calls();
    assert_eq!(stand.sts.operations(), ["AssumeRole", "AssumeRole", "GetCallerIdentity", "ListCertificates"]);
    let by: Vec<(&str, &str)> = calls.iter().map(|call| (&*call.key, &*call.token)).collect();
    let second = ("ASIASECOND", "token-ASIASECOND");
    assert_eq!(by, [(ID, ""), ("ASIAFIRST", "token-ASIAFIRST"), second, second]);
    assert!(calls[0].body.contains("DurationSeconds=7200") && calls[0].body.contains("RoleSessionName=arnkeeper"));
    assert!(!calls[0].body.contains("ExternalId"));
    assert!(calls[1].body.contains("DurationSeconds=3600") && calls[1].body.contains("ExternalId=shared-id"));
}

/// An edit of an organization's AwsAccount changes thousands of members.
#[tokio::test]
async fn a_changed_account_uses_its_credentials_on_as_long_as_they_come_the_same_way() {
    let stand = Stand::new(|call, number| match &*call.operation {
        "AssumeRole" => role(&format!("ASIA{number}")),
        _ if call.key == "ASIA1" => {
            refuse(403, "ExpiredToken", "The security token included in the request is expired")
        }
        _ => who("arn:aws:sts::111122223333:assumed-role/arnkeeper/arnkeeper"),
    })
    .await;
    let account = |generation, role: &str, quota: i32| {
        let role = format!("arn:aws:iam::111122223333:role/{role}");
        account_with(
            generation,
            &json!({ "assumeRoles": [{ "roleArn": role }], "quotas": { "IssueCertificate": quota } }),
        )
    };
    let assumed = || stand.sts.operations().iter().filter(|operation| *operation == "AssumeRole").count();
    let first = stand.sessions.open(&account(1, "one", 1)).await.ok().unwrap();
    let second = stand.sessions.open(&account(2, "one", 2)).await.ok().unwrap();
    assert!(!Arc::ptr_eq(&first, &second), "it has the new quotas");
    assert_eq!((assumed(), stand.secrets.reads()), (1, 1));
    assert_eq!(stand.kind(&account(3, "other", 2)).await, Some(ProblemKind::Credentials));
    assert_eq!((assumed(), stand.secrets.reads()), (2, 2));
    stand.sessions.open(&account(4, "other", 2)).await.ok().unwrap();
    assert_eq!(assumed(), 3, "what did not work is not used on");
}

/// Each with a role of its own.
fn accounts(many: usize) -> impl Iterator<Item = AwsAccount> {
    (0..many).map(|n| {
        let role = format!("arn:aws:iam::444455556666:role/arnkeeper-{n}");
        let quotas = json!({ "ListTagsForCertificate": 10_000 });
        let mut account = account_with(1, &json!({ "assumeRoles": [{ "roleArn": role }], "quotas": quotas }));
        account.metadata.name = Some(format!("account-{n}"));
        account
    })
}

fn answer(call: &Call, number: usize) -> (u16, String) {
    match &*call.operation {
        "AssumeRole" => role(&format!("ASIA{number}")),
        "GetCallerIdentity" => who("arn:aws:sts::444455556666:assumed-role/arnkeeper/arnkeeper"),
        _ => (200, json!({ "Tags": [] }).to_string()),
    }
}

fn some_certificate() -> crate::api::names::CertificateArn {
    "arn:aws:acm:eu-west-1:444455556666:certificate/11111111-2222-3333-4444-555555555555".parse().unwrap()
}

/// The SDK's own cache of identities holds 64 (aws-smithy-runtime, identity cache); each account has its own here.
#[tokio::test]
async fn a_thousand_accounts_keep_their_credentials() {
    const MANY: usize = 1000;
    let wire = Wire::new(|call, number| Some(answer(call, number)));
    let sessions = over(&wire, &Time::default());
    let count = |operation: &str| wire.calls().iter().filter(|call| call.operation == operation).count();
    let mut ways = vec![];
    for account in accounts(MANY) {
        ways.push(sessions.open(&account).await.ok().unwrap());
    }
    for (account, way) in accounts(MANY).zip(&ways) {
        assert!(Arc::ptr_eq(way, &sessions.open(&account).await.ok().unwrap()), "it is opened again");
    }
    // The first and the last ones, and some in between; twice.
    let some: Vec<_> = ways.iter().step_by(29).chain(ways.last()).collect();
    for way in some.iter().chain(&some) {
        way.tags(&some_certificate()).await.unwrap();
    }
    assert_eq!((count("AssumeRole"), count("GetCallerIdentity")), (MANY, MANY));
    let calls = wire.calls().into_iter().filter(|call| call.operation == "ListTagsForCertificate");
    let keys: Vec<String> = calls.map(|call| call.key).collect();
    assert_eq!(keys.len(), 2 * some.len());
    let different: std::collections::HashSet<&String> = keys.iter().collect();
    assert_eq!(different.len(), some.len(), "each account has its own");
}

/// All accounts call through one HTTP client: one after the other, they use the same connection.
#[tokio::test]
async fn the_number_of_connections_does_not_grow_with_that_of_accounts() {
    const MANY: usize = 100;
    let stand = Stand::new(answer).await;
    for account in accounts(MANY) {
        stand.sessions.open(&account).await.ok().unwrap().tags(&some_certificate()).await.unwrap();
    }
    assert_eq!(stand.sts.calls().len(), 3 * MANY);
    let connections = stand.sts.connections();
    assert!(connections <= 10, "{connections} connections");
}

#[tokio::test]
async fn a_member_is_entered_from_the_management_account_and_once() {
    let stand = Stand::new(|call, number| match (&*call.operation, &*call.key) {
        ("AssumeRole", _) => role(["ASIAMANAGEMENT", "ASIAMEMBER"][number]),
        (_, "ASIAMEMBER") => who("arn:aws:sts::444455556666:assumed-role/common/arnkeeper"),
        _ => who("arn:aws:sts::777788889999:assumed-role/reader/arnkeeper"),
    })
    .await;
    for _ in 0..3 {
        let session = stand.sessions.open(&member("uid-org")).await.ok().unwrap();
        assert_eq!(session.identity().account.as_str(), "444455556666");
        let management = stand.sessions.organization(&organization()).await.ok().unwrap();
        assert_eq!(management.identity().account.as_str(), "777788889999");
    }
    let calls = stand.sts.calls();
    let assumed: Vec<&str> = calls.iter().filter(|c| c.operation == "AssumeRole").map(|c| &*c.key).collect();
    assert_eq!(assumed, [ID, "ASIAMANAGEMENT"]);
}

#[tokio::test]
async fn only_a_member_that_the_operator_made_and_that_is_active_is_entered() {
    let stand = Stand::new(|_, _| who(USER)).await;
    assert_eq!(stand.kind(&member("another-uid")).await, Some(ProblemKind::NoWay));
    for state in ["SUSPENDED", "LEFT"] {
        let mut gone = member("uid-org");
        gone.annotations_mut().insert(crate::api::ACCOUNT_STATE_ANNOTATION.into(), state.into());
        assert_eq!(stand.kind(&gone).await, Some(ProblemKind::NotActive), "{state}");
    }
    assert_eq!(stand.sts.calls().len(), 0, "AWS was called");
}
