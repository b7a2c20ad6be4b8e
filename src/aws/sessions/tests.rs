mod hanging;
mod partitions;
mod profiles;
mod roles;
mod secrets_manager;
mod vault;

use super::*;
use crate::aws::{
    stand_in::{Call, Fake},
    wire::{Time, Wire},
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

/// With access keys.
fn parts(url: &str) -> (Arc<Secrets>, SessionParts) {
    let secrets = Arc::new(Secrets { content: Mutex::new(Ok(None)), reads: AtomicUsize::new(0) });
    secrets.set(Ok(Some(&[("accessKeyId", ID), ("secretAccessKey", SECRET)])));
    let parts = SessionParts {
        secrets: Arc::clone(&secrets) as _,
        endpoint_url: Some(url.to_owned()),
        network: Network::default(),
        pacer: Arc::default(),
        metrics: Arc::default(),
        vault_token: None,
        accounts: Arc::new(|name| (name == "org").then(|| Arc::new(organization()))),
    };
    (secrets, parts)
}

/// Sessions without a network.
fn over(wire: &Wire, time: &Time) -> Sessions {
    let (http, sleep) = (SharedHttpClient::new(wire.clone()), SharedAsyncSleep::new(time.clone()));
    Sessions { http, sleep, ..Sessions::new(parts("http://127.0.0.1:1").1) }
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
        let (secrets, parts) = parts(&sts.url);
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
    role_until(key, "2199-01-01T00:00:00Z")
}

fn role_until(key: &str, end: &str) -> (u16, String) {
    let body = format!(
        "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>\
         <SessionToken>token-{key}</SessionToken><Expiration>{end}</Expiration></Credentials>\
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
    let long = Stand::new(|_, _| {
        refuse(
            400,
            "ValidationError",
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        )
    })
    .await;
    let problem = long.sessions.open(&account_with(1, &two("1h"))).await.err().unwrap();
    assert_eq!(problem.kind, ProblemKind::RoleChain);
    assert!(problem.message.contains("duration in spec.assumeRoles"), "{}", problem.message);
}
