//! Who goes first where calls wait for their turns: what ends within a week goes before a first issuance.

use super::{
    certificate::Certificates,
    context::{Context, Parts},
    driver::Kind,
    request::Requests,
};
use crate::{
    api::{AwsAccount, Certificate, CertificateRequest},
    aws::{
        network::Network,
        sessions::{SecretSource, SessionParts, Sessions},
        stand_in::{Call, Fake},
    },
    clock::{Clock, ServerClock},
    core::{
        certificate,
        request::{self, Plan},
    },
    kube::{leader::Mandate, store::Store},
    pki::algorithm::KeyAlgorithm,
};
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use kube::{Client, runtime::watcher::Event};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
};

const AUTHORITY: &str =
    "arn:aws:acm-pca:eu-west-1:111122223333:certificate-authority/11223344-1234-1122-2233-112233445566";

struct Keys;

#[async_trait]
impl SecretSource for Keys {
    async fn read(&self, _: &str) -> Result<Option<BTreeMap<String, Vec<u8>>>, String> {
        let pairs =
            [("accessKeyId", "AKIAIOSFODNN7EXAMPLE"), ("secretAccessKey", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")];
        Ok(Some(pairs.map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec())).into()))
    }
}

fn answer(call: &Call, _: usize) -> (u16, String) {
    let caller = "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::111122223333:user/arnkeeper</Arn>\
                  <UserId>AIDA</UserId><Account>111122223333</Account></GetCallerIdentityResult></GetCallerIdentityResponse>";
    match &*call.operation {
        "GetCallerIdentity" => (200, caller.to_owned()),
        _ => (200, json!({ "CertificateArn": format!("{AUTHORITY}/certificate/6707") }).to_string()),
    }
}

/// An account whose session is open, and these Certificates, by when what they keep ends.
async fn context(quotas: Value, certificates: &[(&str, Option<Timestamp>)]) -> (Arc<Context>, Fake) {
    let aws = Fake::start(answer).await;
    let account: AwsAccount = serde_json::from_value(json!({
        "apiVersion": "arnkeeper.dev/v1beta1", "kind": "AwsAccount", "metadata": { "name": "prod", "uid": "a" },
        "spec": {
            "regions": ["eu-west-1"], "credentials": { "accessKeys": { "secretRef": { "name": "keys" } } }, "quotas": quotas,
        },
    }))
    .unwrap();
    let ((accounts, mut write_account), (kept, mut write), (requests, _)) = (Store::new(), Store::new(), Store::new());
    write_account.apply(Event::Apply(account.clone()));
    for (name, ends) in certificates {
        write.apply(Event::Apply(certificate(name, *ends)));
    }
    let nobody = |_| async { Err::<http::Response<kube::client::Body>, _>(io::Error::other("no API server")) };
    let context = Context::new(Parts {
        client: Client::new(tower::service_fn(nobody), "pay"),
        clock: Arc::new(ServerClock::default()),
        mandate: Mandate::alone(),
        metrics: Arc::default(),
        cluster: "cluster".into(),
        drift_interval: SignedDuration::ZERO,
        publish_interval: SignedDuration::ZERO,
        accounts,
        certificates: kept,
        requests,
        sessions: Sessions::new(SessionParts {
            secrets: Arc::new(Keys),
            endpoint_url: Some(aws.url.clone()),
            network: Network::default(),
            pacer: Arc::default(),
            metrics: Arc::default(),
            vault_token: None,
            accounts: Arc::new(|_| None),
        }),
    });
    assert!(Box::pin(context.session(Some(&account))).await.is_ok());
    (Arc::new(context), aws)
}

fn certificate(name: &str, ends: Option<Timestamp>) -> Certificate {
    serde_json::from_value(json!({
        "apiVersion": "arnkeeper.dev/v1beta1", "kind": "Certificate",
        "metadata": { "name": name, "namespace": "pay", "uid": name, "resourceVersion": "1" },
        "spec": {
            "accountRef": { "name": "prod" }, "region": "eu-west-1", "subject": { "domainName": format!("{name}.example") },
            "source": { "privateCa": { "certificateAuthority": { "arn": AUTHORITY } } },
            "secret": { "name": format!("{name}-tls") }, "acm": [{ "name": "edge" }],
        },
        "status": ends.map(|ends| json!({ "notAfter": ends.to_string() })),
    }))
    .unwrap()
}

/// The next request of a Certificate.
fn request(name: &str) -> CertificateRequest {
    let owner = json!({
        "apiVersion": "arnkeeper.dev/v1beta1", "kind": "Certificate", "name": name, "uid": name, "controller": true,
    });
    serde_json::from_value(json!({
        "apiVersion": "arnkeeper.dev/v1beta1", "kind": "CertificateRequest",
        "metadata": {
            "name": format!("{name}-2"), "namespace": "pay", "uid": format!("{name}-2"), "ownerReferences": [owner],
        },
        "spec": {
            "accountRef": { "name": "prod" }, "region": "eu-west-1", "certificateAuthority": { "arn": AUTHORITY },
            "subject": { "domainName": format!("{name}.example") }, "secretName": format!("{name}-tls"),
        },
    }))
    .unwrap()
}

fn plan(name: &str, now: Timestamp) -> Plan {
    Plan {
        authority: AUTHORITY.parse().unwrap(),
        authority_algorithm: KeyAlgorithm::EcPrime256v1,
        csr: "csr".into(),
        template: "arn:aws:acm-pca:::template/EndEntityServerAuthCertificate/V1".parse().unwrap(),
        not_after: now + SignedDuration::from_hours(24 * 90),
        token: name.into(),
        attempt: 1,
    }
}

#[tokio::test]
async fn a_renewal_near_its_end_is_signed_before_a_first_issuance_that_waits_longer() {
    let now = ServerClock::default().now();
    let ends = now + SignedDuration::from_hours(24);
    let certificates = [("busy", None), ("first", None), ("renewal", Some(ends))];
    let (context, aws) = context(json!({ "IssueCertificate": 5 }), &certificates).await;
    let requests = Requests(context);
    let issue = async |name: &str| {
        let mut o = requests.observe(Arc::new(request(name)), request::Memory::default());
        requests.write(&mut o, request::Write::Issue(plan(name, now))).await.unwrap();
        assert!(o.memory.issued.is_some() && !o.failed, "{:?}", o.memory.failure);
    };
    // The first one has its turn at once; the others are there before the next turn comes.
    tokio::join!(issue("busy"), issue("first"), issue("renewal"));
    let calls = aws.calls().into_iter().filter(|call| call.operation == "IssueCertificate");
    let order: Vec<Value> = calls.map(|call| call.json()["IdempotencyToken"].clone()).collect();
    assert_eq!(order, ["busy", "renewal", "first"]);
}

#[tokio::test]
async fn a_renewal_near_its_end_is_imported_before_a_first_import_that_waits_longer() {
    let (context, _aws) = context(json!({ "ImportCertificate": 1 }), &[]).await;
    let ends = context.clock.now() + SignedDuration::from_hours(24);
    let certificates = Certificates::new(context);
    let order = Mutex::new(vec![]);
    let turn = async |name: &'static str, ends| {
        let mut o = certificates.observe(Arc::new(certificate(name, None)), certificate::Memory::default());
        certificates.read(&mut o, certificate::Read::Turn("edge".into(), ends)).await.unwrap();
        // Any other one has to come back.
        if o.targets["edge"].turn == Some(SignedDuration::ZERO) {
            order.lock().unwrap().push(name);
        }
    };
    // At one a second, two may be prepared ahead of their calls at the same time.
    tokio::join!(turn("busy", None), turn("busy-too", None), turn("first", None), turn("renewal", Some(ends)));
    assert_eq!(order.lock().unwrap()[..3], ["busy", "busy-too", "renewal"]);
}
