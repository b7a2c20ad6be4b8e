mod profiles;
mod vault;

use super::*;
use crate::aws::{
    credentials::AccessKeys,
    provider::fixed,
    stand_in::{Call, Fake},
};
use serde_json::json;
use std::sync::atomic::{AtomicU64, AtomicUsize};

const ID: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const USER: &str = "arn:aws:iam::111122223333:user/arnkeeper";

type Data = BTreeMap<String, Vec<u8>>;
type Content = Result<Option<Data>, String>;

/// Secrets that a test sets; it counts the reads.
struct Secrets {
    content: Mutex<Content>,
    reads: AtomicUsize,
}

impl Secrets {
    fn set(&self, content: Result<Option<&[(&str, &str)]>, &str>) {
        let data =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), v.as_bytes().to_vec())).collect();
        *lock(&self.content) = content.map(|found| found.map(data)).map_err(str::to_owned);
    }

    fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl SecretSource for Secrets {
    async fn read(&self, name: &str) -> Content {
        assert_eq!(name, "keys");
        self.reads.fetch_add(1, Ordering::SeqCst);
        lock(&self.content).clone()
    }
}

struct Stand {
    sessions: Sessions,
    secrets: Arc<Secrets>,
    seconds: Arc<AtomicU64>,
    sts: Fake,
}

impl Stand {
    async fn new(answer: impl Fn(&Call, usize) -> (u16, String) + Send + Sync + 'static) -> Self {
        let sts = Fake::start(answer).await;
        let secrets = Arc::new(Secrets { content: Mutex::new(Ok(None)), reads: AtomicUsize::new(0) });
        secrets.set(Ok(Some(&[("accessKeyId", ID), ("secretAccessKey", SECRET)])));
        let parts = SessionParts {
            secrets: Arc::clone(&secrets) as _,
            endpoint_url: Some(sts.url.clone()),
            network: Network::default(),
            pacer: Arc::default(),
            metrics: Arc::default(),
            vault_token: None,
            accounts: Arc::new(|name| (name == "org").then(|| Arc::new(organization()))),
        };
        let (start, seconds) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        let clock = Arc::clone(&seconds);
        let now = Box::new(move || start + Duration::from_secs(clock.load(Ordering::SeqCst)));
        Self { sessions: Sessions { now, ..Sessions::new(parts) }, secrets, seconds, sts }
    }

    fn pass(&self, seconds: u64) {
        self.seconds.fetch_add(seconds, Ordering::SeqCst);
    }

    async fn kind(&self, account: &AwsAccount) -> Option<ProblemKind> {
        self.sessions.open(account).await.err().map(|problem| problem.kind)
    }
}

fn who(arn: &str) -> (u16, String) {
    let account = arn.split(':').nth(4).unwrap();
    let body = format!(
        "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>{arn}</Arn><UserId>AIDA</UserId><Account>{account}</Account>\
         </GetCallerIdentityResult></GetCallerIdentityResponse>"
    );
    (200, body)
}

fn role(key: &str) -> (u16, String) {
    let body = format!(
        "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>\
         <SessionToken>token-{key}</SessionToken><Expiration>2199-01-01T00:00:00Z</Expiration></Credentials>\
         </AssumeRoleResult></AssumeRoleResponse>"
    );
    (200, body)
}

fn refuse(status: u16, code: &str, message: &str) -> (u16, String) {
    (
        status,
        format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
        ),
    )
}

fn account_with(generation: i64, more: &serde_json::Value) -> AwsAccount {
    let mut spec =
        json!({ "regions": ["eu-west-1"], "credentials": { "accessKeys": { "secretRef": { "name": "keys" } } } });
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    serde_json::from_value(json!({
        "apiVersion": "arnkeeper.dev/v1beta1", "kind": "AwsAccount",
        "metadata": { "name": "prod", "uid": "uid", "generation": generation }, "spec": spec,
    }))
    .unwrap()
}

/// The AwsAccount of an organization, entered with keys and read through a role of its management account.
fn organization() -> AwsAccount {
    let role = "arn:aws:iam::777788889999:role/reader";
    let mut organization = account_with(1, &json!({ "organization": { "managementRoleArn": role } }));
    (organization.metadata.name, organization.metadata.uid) = (Some("org".into()), Some("uid-org".into()));
    organization
}

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

fn account() -> AwsAccount {
    account_with(1, &json!({}))
}

fn failed(kind: Kind) -> AwsError {
    AwsError { kind, action: "acm:ImportCertificate", code: None, message: String::new() }
}

#[tokio::test]
async fn concurrent_opens_of_one_account_do_it_once() {
    let stand = Stand::new(|_, _| who(USER)).await;
    let account = account_with(1, &json!({ "accountId": "111122223333" }));
    let (one, other) = tokio::join!(stand.sessions.open(&account), stand.sessions.open(&account));
    let (one, other) = (one.ok().unwrap(), other.ok().unwrap());
    assert!(Arc::ptr_eq(&one, &other));
    assert_eq!((one.identity().account.as_str(), one.identity().arn.as_str()), ("111122223333", USER));
    assert_eq!((stand.sts.operations(), stand.secrets.reads()), (vec!["GetCallerIdentity".to_owned()], 1));
    let call = &stand.sts.calls()[0];
    assert_eq!((&*call.key, &*call.region, &*call.token), (ID, "eu-west-1", ""));
}

#[tokio::test]
async fn a_changed_account_or_secret_opens_a_new_session() {
    let stand = Stand::new(|_, _| who(USER)).await;
    let first = stand.sessions.open(&account()).await.ok().unwrap();
    stand.sessions.invalidate_secret("another");
    assert!(Arc::ptr_eq(&first, &stand.sessions.open(&account()).await.ok().unwrap()));
    stand.sessions.invalidate_secret("keys");
    let second = stand.sessions.open(&account()).await.ok().unwrap();
    assert!(!Arc::ptr_eq(&first, &second));
    let third = stand.sessions.open(&account_with(2, &json!({}))).await.ok().unwrap();
    assert!(!Arc::ptr_eq(&second, &third));
    stand.sessions.forget("prod");
    let fourth = stand.sessions.open(&account_with(2, &json!({}))).await.ok().unwrap();
    assert!(!Arc::ptr_eq(&third, &fourth));
}

#[tokio::test]
async fn a_problem_is_remembered_until_its_time_or_its_cause_ends() {
    let stand = Stand::new(|_, _| who(USER)).await;
    stand.secrets.set(Ok(None));
    for _ in 0..3 {
        assert_eq!(stand.kind(&account()).await, Some(ProblemKind::SecretMissing));
    }
    assert_eq!(stand.secrets.reads(), 1);
    stand.secrets.set(Err("timed out"));
    stand.pass(30);
    assert_eq!(stand.kind(&account()).await, Some(ProblemKind::Transient));
    stand.pass(4);
    assert_eq!(stand.kind(&account()).await, Some(ProblemKind::Transient));
    assert_eq!(stand.secrets.reads(), 2);
    stand.secrets.set(Ok(Some(&[("accessKeyId", ID)])));
    stand.pass(1);
    assert_eq!(stand.kind(&account()).await, Some(ProblemKind::SecretInvalid));
    stand.secrets.set(Ok(Some(&[("accessKeyId", ID), ("secretAccessKey", SECRET)])));
    assert_eq!(stand.kind(&account()).await, Some(ProblemKind::SecretInvalid));
    stand.sessions.invalidate_secret("keys");
    assert_eq!(stand.kind(&account()).await, None);
}

#[tokio::test]
async fn a_problem_ends_when_somebody_touches_the_account() {
    let stand = Stand::new(|_, _| who(USER)).await;
    stand.secrets.set(Ok(None));
    assert_eq!(stand.kind(&account()).await, Some(ProblemKind::SecretMissing));
    stand.secrets.set(Ok(Some(&[("accessKeyId", ID), ("secretAccessKey", SECRET)])));
    assert_eq!(stand.kind(&account()).await, Some(ProblemKind::SecretMissing));
    let mut touched = account();
    touched.annotations_mut().insert("example.com/look".into(), "1".into());
    let session = stand.sessions.open(&touched).await.ok().unwrap();
    // Whoever has an older copy of the account, or a newer one, goes on with it.
    assert!(Arc::ptr_eq(&session, &stand.sessions.open(&account()).await.ok().unwrap()));
    assert_eq!(stand.secrets.reads(), 2);
}

#[tokio::test]
async fn a_report_of_wrong_credentials_reads_the_secret_anew() {
    let stand = Stand::new(|_, _| who(USER)).await;
    let first = stand.sessions.open(&account()).await.ok().unwrap();
    stand.pass(60);
    stand.sessions.report(&account(), &failed(Kind::AccessDenied));
    assert!(Arc::ptr_eq(&first, &stand.sessions.open(&account()).await.ok().unwrap()));
    stand.sessions.report(&account(), &failed(Kind::Credentials));
    let second = stand.sessions.open(&account()).await.ok().unwrap();
    assert!(!Arc::ptr_eq(&first, &second));
    // Calls that the first session still had under way fail, too.
    stand.sessions.report(&account(), &failed(Kind::Credentials));
    assert!(Arc::ptr_eq(&second, &stand.sessions.open(&account()).await.ok().unwrap()));
    assert_eq!(stand.secrets.reads(), 2);
}

#[tokio::test]
async fn keys_that_are_replaced_right_after_the_first_session_are_read_anew() {
    let stand = Stand::new(|_, _| who(USER)).await;
    let first = stand.sessions.open(&account()).await.ok().unwrap();
    stand.sessions.report(&account(), &failed(Kind::AccessDenied));
    assert!(Arc::ptr_eq(&first, &stand.sessions.open(&account()).await.ok().unwrap()));
    stand.sessions.report(&account(), &failed(Kind::Credentials));
    let second = stand.sessions.open(&account()).await.ok().unwrap();
    assert!(!Arc::ptr_eq(&first, &second));
    stand.sessions.report(&account(), &failed(Kind::Credentials));
    assert!(Arc::ptr_eq(&second, &stand.sessions.open(&account()).await.ok().unwrap()));
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

#[tokio::test]
async fn what_keeps_us_out_is_told_by_its_kind() {
    let two = |duration: &str| {
        json!({ "assumeRoles": [
            { "roleArn": "arn:aws:iam::111122223333:role/first" },
            { "roleArn": "arn:aws:iam::444455556666:role/second", "duration": duration },
        ] })
    };
    let root = Stand::new(|_, _| who("arn:aws:iam::111122223333:root")).await;
    assert_eq!(root.kind(&account_with(1, &json!({ "enabled": false }))).await, Some(ProblemKind::Disabled));
    assert_eq!(root.kind(&account_with(2, &two("61m"))).await, Some(ProblemKind::RoleChain));
    assert_eq!(root.sts.calls().len(), 0);
    assert_eq!(root.kind(&account()).await, Some(ProblemKind::RootCredentials));
    let other = Stand::new(|_, _| who(USER)).await;
    let wrong = other.sessions.open(&account_with(1, &json!({ "accountId": "444455556666" }))).await.err().unwrap();
    assert_eq!((wrong.kind, wrong.reason()), (ProblemKind::WrongAccount, "WrongAccount"));
    assert!(wrong.message.contains("111122223333") && wrong.message.contains("444455556666"));

    let expired =
        Stand::new(|_, _| refuse(403, "ExpiredToken", "The security token included in the request is expired")).await;
    assert_eq!(expired.kind(&account()).await, Some(ProblemKind::Credentials));
    let denied =
        Stand::new(|_, _| refuse(403, "AccessDenied", "User is not authorized to perform: sts:AssumeRole")).await;
    let problem = denied.sessions.open(&account_with(1, &two("1h"))).await.err().unwrap();
    assert_eq!(problem.kind, ProblemKind::AccessDenied);
    assert!(
        problem.message.contains("sts:AssumeRole") && problem.message.contains("trust policy"),
        "{}",
        problem.message
    );
    assert!(!problem.message.contains(SECRET));
    let chained = Stand::new(|_, _| {
        refuse(400, "ValidationError", "exceeds the 1 hour session limit for roles assumed by role chaining")
    })
    .await;
    assert_eq!(chained.kind(&account_with(1, &two("1h"))).await, Some(ProblemKind::RoleChain));
}

#[tokio::test]
async fn what_is_not_of_one_partition_is_told_before_aws_is_asked() {
    let stand = Stand::new(|_, _| who(USER)).await;
    for (spec, words) in [
        (json!({ "regions": ["eu-west-1", "us-gov-west-1"] }), ["us-gov-west-1", "aws-us-gov"]),
        (
            json!({ "assumeRoles": [{ "roleArn": "arn:aws-cn:iam::111122223333:role/arnkeeper" }] }),
            ["arn:aws-cn:iam::111122223333:role/arnkeeper", "eu-west-1"],
        ),
        (
            json!({ "regions": ["cn-north-1"], "assumeRoles": [{ "roleArn": "arn:aws:iam::111122223333:role/arnkeeper" }] }),
            ["cn-north-1", "aws-cn"],
        ),
    ] {
        let problem = stand.sessions.open(&account_with(1, &spec)).await.err().unwrap();
        assert_eq!((problem.kind, problem.reason()), (ProblemKind::WrongPartition, "WrongPartition"));
        assert!(words.iter().all(|word| problem.message.contains(word)), "{problem}");
        stand.sessions.forget("prod");
    }
    assert!(stand.sts.calls().is_empty(), "AWS was called");
    // An endpoint of one's own may lead anywhere.
    let problem = stand.sessions.open(&account_with(1, &json!({ "regions": ["us-gov-west-1"] }))).await.err().unwrap();
    assert!(problem.kind == ProblemKind::WrongPartition && problem.message.contains(USER), "{problem}");
}

#[tokio::test]
async fn sts_is_asked_in_a_region_of_the_account() {
    for (region, partition) in [("us-gov-west-1", "aws-us-gov"), ("cn-northwest-1", "aws-cn"), ("eu-west-1", "aws")] {
        let stand = Stand::new(move |call, _| match &*call.operation {
            "AssumeRole" => role("ASIAFIRST"),
            _ => who(&format!("arn:{partition}:sts::111122223333:assumed-role/arnkeeper/arnkeeper")),
        })
        .await;
        let role = format!("arn:{partition}:iam::111122223333:role/arnkeeper");
        let account = account_with(1, &json!({ "regions": [region], "assumeRoles": [{ "roleArn": role }] }));
        stand.sessions.open(&account).await.ok().unwrap();
        assert_eq!(stand.sts.operations(), ["AssumeRole", "GetCallerIdentity"]);
        assert!(stand.sts.calls().iter().all(|call| call.region == region), "{region}");
    }
}

/// The SDK's own cache of identities holds 64 (aws-smithy-runtime, identity cache); each account has its own here.
#[tokio::test]
async fn hundreds_of_accounts_keep_their_credentials() {
    const MANY: usize = 300;
    let stand = Stand::new(|call, number| match &*call.operation {
        "AssumeRole" => role(&format!("ASIA{number}")),
        "GetCallerIdentity" => who("arn:aws:sts::444455556666:assumed-role/arnkeeper/arnkeeper"),
        _ => (200, json!({ "Tags": [] }).to_string()),
    })
    .await;
    let accounts: Vec<AwsAccount> = (0..MANY)
        .map(|n| {
            let role = format!("arn:aws:iam::444455556666:role/arnkeeper-{n}");
            let quotas = json!({ "ListTagsForCertificate": 10_000 });
            let mut account = account_with(1, &json!({ "assumeRoles": [{ "roleArn": role }], "quotas": quotas }));
            account.metadata.name = Some(format!("account-{n}"));
            account
        })
        .collect();
    let arn = "arn:aws:acm:eu-west-1:444455556666:certificate/11111111-2222-3333-4444-555555555555".parse().unwrap();
    for _ in 0..2 {
        for account in &accounts {
            stand.sessions.open(account).await.ok().unwrap().tags(&arn).await.unwrap();
        }
    }
    let count = |operation: &str| stand.sts.operations().iter().filter(|o| *o == operation).count();
    assert_eq!((count("AssumeRole"), count("GetCallerIdentity")), (MANY, MANY));
    assert_eq!(count("ListTagsForCertificate"), 2 * MANY);
    let keys: std::collections::HashSet<String> = stand
        .sts
        .calls()
        .into_iter()
        .filter(|call| call.operation == "ListTagsForCertificate")
        .map(|c| c.key)
        .collect();
    assert_eq!(keys.len(), MANY, "each account has its own");
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
