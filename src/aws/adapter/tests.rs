mod endpoints;
mod hanging;
mod nonsense;

use super::*;
use crate::{
    aws::{
        error::Kind,
        network::Network,
        paced::quotas::Quotas,
        port::AuthorityState,
        provider::http_client,
        stand_in::{Call, Fake},
    },
    pki::algorithm::KeyAlgorithm,
};
use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_async::rt::sleep::{AsyncSleep, SharedAsyncSleep, TokioSleep};
use aws_smithy_runtime_api::client::http::HttpClient;
use serde_json::json;
use std::sync::Arc;
use zeroize::Zeroizing;

const CERTIFICATE: &str = "arn:aws:acm:eu-west-1:111122223333:certificate/11111111-2222-3333-4444-555555555555";
const OTHER: &str = "arn:aws:acm:eu-west-1:111122223333:certificate/99999999-2222-3333-4444-555555555555";
const AUTHORITY: &str =
    "arn:aws:acm-pca:eu-west-1:111122223333:certificate-authority/11223344-1234-1122-2233-112233445566";

async fn sdk(answer: impl Fn(&Call, usize) -> (u16, String) + Send + Sync + 'static) -> (Sdk, Fake) {
    let fake = Fake::start(answer).await;
    (over(http_client(&Network::default()), &fake.url, TokioSleep::new()), fake)
}

/// An account at this URL, with these timers.
fn over(http: impl HttpClient + 'static, url: &str, timers: impl AsyncSleep + 'static) -> Sdk {
    let keys = Credentials::new("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", None, None, "test");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(http)
        .endpoint_url(url)
        .timeout_config(timeouts())
        .sleep_impl(SharedAsyncSleep::new(timers))
        .build();
    let identity =
        Identity { account: "111122223333".parse().unwrap(), arn: "arn:aws:iam::111122223333:user/arnkeeper".into() };
    let gate = Gate::new(Arc::default(), identity.account.clone(), Quotas::default());
    Sdk::new(identity, Arc::new(Clients::new(&config)), SharedCredentialsProvider::new(keys), gate)
}

fn region() -> Region {
    "eu-west-1".parse().unwrap()
}

fn certificate() -> CertificateArn {
    CERTIFICATE.parse().unwrap()
}

fn order() -> Issue {
    Issue {
        authority: AUTHORITY.parse().unwrap(),
        authority_algorithm: KeyAlgorithm::EcSecp384r1,
        csr: "csr".into(),
        template: "arn:aws:acm-pca:::template/EndEntityServerAuthCertificate/V1".parse().unwrap(),
        not_after: Timestamp::from_second(1_790_000_000).unwrap(),
        idempotency_token: "token".into(),
    }
}

fn material() -> Material {
    Material { certificate: "leaf".into(), private_key: Zeroizing::new("key".into()), chain: Some("root".into()) }
}

#[tokio::test]
async fn certificates_of_every_key_type_are_listed_from_all_pages() {
    let (sdk, fake) = sdk(|_, number| {
        let page = match number {
            0 => json!({ "CertificateSummaryList": [], "NextToken": "more" }),
            _ => json!({ "CertificateSummaryList": [
                { "CertificateArn": CERTIFICATE, "DomainName": "a.example", "Type": "IMPORTED", "InUse": true,
                  "SubjectAlternativeNameSummaries": ["a.example", "b.example"],
                  "HasAdditionalSubjectAlternativeNames": true, "CreatedAt": 1_760_000_000 },
                { "CertificateArn": OTHER, "Type": "AMAZON_ISSUED" },
                { "DomainName": "without an ARN" },
            ] }),
        };
        (200, page.to_string())
    })
    .await;
    let found = sdk.list_certificates(&region()).await.unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].names.join(" ").as_str(), found[0].more_names), ("a.example b.example", true));
    assert_eq!((found[0].imported, found[0].in_use), (true, true));
    assert_eq!(found[0].created_at, Timestamp::from_second(1_760_000_000).ok());
    assert_eq!((found[1].imported, found[1].in_use, found[1].names.len()), (false, false, 0));
    let calls = fake.calls();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[1].json()["NextToken"], "more");
    for call in calls {
        let sent = call.json();
        assert_eq!(sent["Includes"]["keyTypes"].as_array().unwrap().len(), 7);
        assert_eq!(sent["MaxItems"], 1000);
        assert!(sent.get("CertificateStatuses").is_none(), "all states");
        assert_eq!(call.region, "eu-west-1");
    }
}

#[tokio::test]
async fn an_import_is_tried_once_and_a_second_one_is_without_tags() {
    let (sdk, fake) = sdk(|_, number| match number {
        0 => (500, json!({ "__type": "InternalFailure", "message": "later" }).to_string()),
        _ => (200, json!({ "CertificateArn": CERTIFICATE }).to_string()),
    })
    .await;
    let tags = Tags::from([("owner".into(), "arnkeeper".into())]);
    let error = sdk.import_new(&region(), &material(), &tags).await.err().unwrap();
    assert_eq!(
        (error.kind, error.action, error.code.as_deref()),
        (Kind::Transient, "acm:ImportCertificate", Some("InternalFailure"))
    );
    assert_eq!(fake.calls().len(), 1, "a first import is not repeated");
    sdk.reimport(&certificate(), &material()).await.unwrap();
    assert_eq!(sdk.import_new(&region(), &material(), &Tags::new()).await.unwrap(), certificate());
    let sent: Vec<_> = fake.calls().iter().map(Call::json).collect();
    assert_eq!(sent[0]["Tags"], json!([{ "Key": "owner", "Value": "arnkeeper" }]));
    assert!(sent[0].get("CertificateArn").is_none());
    assert_eq!(sent[1]["CertificateArn"], CERTIFICATE);
    assert_eq!(
        (&sent[1]["Certificate"], &sent[1]["PrivateKey"], &sent[1]["CertificateChain"]),
        (&json!("bGVhZg=="), &json!("a2V5"), &json!("cm9vdA=="))
    );
    for again in &sent[1..] {
        assert!(again.get("Tags").is_none(), "{again}");
    }
}

/// Each attempt needs its turn; and the SDK would take a quota that is used up for throttling.
#[tokio::test]
async fn the_sdk_repeats_nothing() {
    for (status, code) in [
        (400, "LimitExceededException"),
        (400, "ThrottlingException"),
        (429, "TooManyRequestsException"),
        (503, "ServiceUnavailableException"),
    ] {
        let (sdk, fake) = sdk(move |_, _| (status, json!({ "__type": code, "message": "no" }).to_string())).await;
        assert_eq!(sdk.tags(&certificate()).await.unwrap_err().code.as_deref(), Some(code));
        sdk.reimport(&certificate(), &material()).await.unwrap_err();
        assert_eq!(fake.calls().len(), 2, "{code}");
    }
}

#[tokio::test]
async fn a_certificate_is_described() {
    let (sdk, _fake) = sdk(|_, _| {
        let detail = json!({ "Certificate": {
            "CertificateArn": CERTIFICATE, "DomainName": "a.example", "SubjectAlternativeNames": ["a.example", "b.example"],
            "Serial": "67:07:44:0f", "Type": "IMPORTED", "KeyAlgorithm": "EC_prime256v1", "NotAfter": 1_760_000_000,
            "KeyUsages": [{ "Name": "DIGITAL_SIGNATURE" }], "InUseBy": ["arn:aws:elasticloadbalancing:x"],
            "ExtendedKeyUsages": [{ "Name": "TLS_WEB_SERVER_AUTHENTICATION", "OID": "1.3.6.1.5.5.7.3.1" }],
        } });
        (200, detail.to_string())
    })
    .await;
    let found = sdk.describe_certificate(&certificate()).await.unwrap();
    assert_eq!(found.serial.unwrap().to_string(), "67:07:44:0f");
    assert_eq!(
        (found.imported, found.algorithm, &*found.algorithm_name),
        (true, Some(KeyAlgorithm::EcPrime256v1), "EC_prime256v1")
    );
    assert_eq!(
        (found.key_usages, found.extended_key_usages),
        (vec!["DIGITAL_SIGNATURE".into()], vec!["1.3.6.1.5.5.7.3.1".to_owned()])
    );
    assert_eq!((found.names.len(), found.in_use_by.len()), (2, 1));
    assert_eq!(found.not_after, Timestamp::from_second(1_760_000_000).ok());
}

#[tokio::test]
async fn tags_are_read_added_and_removed_by_key() {
    let (sdk, fake) = sdk(|call, _| match &*call.operation {
        "ListTagsForCertificate" => {
            (200, json!({ "Tags": [{ "Key": "a", "Value": "1" }, { "Key": "b" }] }).to_string())
        }
        _ => (200, "{}".into()),
    })
    .await;
    let tags = Tags::from([("a".into(), "1".into()), ("b".into(), String::new())]);
    assert_eq!(sdk.tags(&certificate()).await.unwrap(), tags);
    sdk.add_tags(&certificate(), &Tags::new()).await.unwrap();
    sdk.remove_tags(&certificate(), &[]).await.unwrap();
    assert_eq!(fake.calls().len(), 1, "nothing to do, no call");
    sdk.add_tags(&certificate(), &tags).await.unwrap();
    sdk.remove_tags(&certificate(), &["a".into()]).await.unwrap();
    let calls = fake.calls();
    assert_eq!(calls[1].json()["Tags"], json!([{ "Key": "a", "Value": "1" }, { "Key": "b", "Value": "" }]));
    assert_eq!(calls[2].json()["Tags"], json!([{ "Key": "a" }]));
}

#[tokio::test]
async fn what_acm_refuses_is_told_by_its_kind() {
    let (sdk, _fake) = sdk(|call, _| {
        let code =
            if call.operation == "DeleteCertificate" { "ResourceInUseException" } else { "ResourceNotFoundException" };
        (400, json!({ "__type": code, "message": "no" }).to_string())
    })
    .await;
    assert_eq!(sdk.delete_certificate(&certificate()).await.unwrap_err().kind, Kind::InUse);
    assert_eq!(sdk.certificate_body(&certificate()).await.unwrap_err().kind, Kind::NotFound);
}

#[tokio::test]
async fn authorities_are_listed_and_told_as_they_are() {
    let (sdk, _fake) = sdk(|_, number| {
        let authority = json!({ "Arn": AUTHORITY, "Status": "ACTIVE", "UsageMode": "SHORT_LIVED_CERTIFICATE", "NotAfter": 1_760_000_000,
            "CertificateAuthorityConfiguration": { "KeyAlgorithm": "RSA_4096", "SigningAlgorithm": "SHA512WITHRSA", "Subject": { "CommonName": "Root" } } });
        let odd = json!({ "Arn": AUTHORITY, "Status": "PAUSED",
            "CertificateAuthorityConfiguration": { "KeyAlgorithm": "ML_DSA_65", "SigningAlgorithm": "ML_DSA_65", "Subject": {} } });
        let page = match number {
            0 => json!({ "CertificateAuthorities": [authority], "NextToken": "more" }),
            _ => json!({ "CertificateAuthorities": [odd] }),
        };
        (200, page.to_string())
    })
    .await;
    let found = sdk.list_authorities(&region()).await.unwrap();
    assert_eq!((found.len(), found[0].state, found[0].short_lived), (2, AuthorityState::Active, true));
    assert_eq!((found[0].algorithm, found[0].common_name.as_deref()), (Some(KeyAlgorithm::Rsa4096), Some("Root")));
    assert_eq!(
        (found[0].region.as_str(), found[0].not_after),
        ("eu-west-1", Timestamp::from_second(1_760_000_000).ok())
    );
    assert_eq!((found[1].state, &*found[1].state_name), (AuthorityState::NotReady, "PAUSED"));
    assert_eq!((found[1].algorithm, &*found[1].algorithm_name), (None, "ML_DSA_65"));
}

#[tokio::test]
async fn a_certificate_is_issued_and_fetched_when_it_is_ready() {
    let (sdk, fake) = sdk(|call, number| match (&*call.operation, number) {
        ("IssueCertificate", _) => {
            (200, json!({ "CertificateArn": format!("{AUTHORITY}/certificate/6707") }).to_string())
        }
        (_, 0) => (400, json!({ "__type": "RequestInProgressException", "message": "wait" }).to_string()),
        _ => (200, json!({ "Certificate": "leaf", "CertificateChain": "root" }).to_string()),
    })
    .await;
    let issue = order();
    let arn = sdk.issue(&issue).await.unwrap();
    assert_eq!(
        fake.calls()[0].json(),
        json!({
            "CertificateAuthorityArn": AUTHORITY, "Csr": "Y3Ny", "SigningAlgorithm": "SHA384WITHECDSA", "IdempotencyToken": "token",
            "TemplateArn": "arn:aws:acm-pca:::template/EndEntityServerAuthCertificate/V1",
            "Validity": { "Value": 1_790_000_000, "Type": "ABSOLUTE" },
        })
    );
    assert_eq!(sdk.issued(&arn).await.unwrap(), None);
    let chain = PemChain { certificate: "leaf".into(), chain: "root".into() };
    assert_eq!(sdk.issued(&arn).await.unwrap(), Some(chain));
    let asked = fake.calls()[1].json();
    assert_eq!(asked, json!({ "CertificateAuthorityArn": AUTHORITY, "CertificateArn": arn.as_str() }));
}
