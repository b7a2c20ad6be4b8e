//! Answers that AWS should never give: too long, of other types, without what they have to hold.

use super::{AUTHORITY, CERTIFICATE, certificate, region, sdk};
use crate::aws::{
    error::{AwsError, Kind},
    port::Aws,
};
use serde_json::{Value, json};

/// What DescribeCertificate, ListTagsForCertificate, GetCertificate of both services and ListCertificates make of an answer.
async fn all(answer: Value) -> Vec<Result<String, AwsError>> {
    let text = answer.to_string();
    let (sdk, _fake) = sdk(move |_, _| (200, text.clone())).await;
    let issued = format!("{AUTHORITY}/certificate/6707").parse().unwrap();
    vec![
        sdk.describe_certificate(&certificate()).await.map(|d| format!("{d:?}")),
        sdk.tags(&certificate()).await.map(|t| format!("{t:?}")),
        sdk.certificate_body(&certificate()).await.map(|b| format!("{b:?}")),
        sdk.issued(&issued).await.map(|b| format!("{b:?}")),
        sdk.list_certificates(&region()).await.map(|l| format!("{l:?}")),
    ]
}

#[tokio::test]
async fn an_answer_of_twenty_megabytes_is_not_read_to_its_end() {
    let long = "x".repeat(20 << 20);
    let answers = all(json!({ "Certificate": long, "CertificateChain": "" })).await;
    for error in answers.into_iter().take(4).map(Result::unwrap_err) {
        assert_eq!(error.kind, Kind::Transient);
        assert!(error.message.contains("longer than any"), "{error}");
    }
}

#[tokio::test]
async fn a_list_of_a_thousand_certificates_with_a_hundred_names_is_read() {
    let names = vec![format!("{}.example", "n".repeat(60)); 100];
    let entry = json!({ "CertificateArn": CERTIFICATE, "SubjectAlternativeNameSummaries": names });
    let text = json!({ "CertificateSummaryList": vec![entry; 1000] }).to_string();
    assert!(text.len() > 5 << 20);
    let (sdk, _fake) = sdk(move |_, _| (200, text.clone())).await;
    assert_eq!(sdk.list_certificates(&region()).await.unwrap().len(), 1000);
}

#[tokio::test]
async fn tags_without_number() {
    let tags: Vec<Value> = (0..50_000).map(|n| json!({ "Key": format!("k{n}"), "Value": "v" })).collect();
    let (many, _fake) = sdk(move |_, _| (200, json!({ "Tags": tags }).to_string())).await;
    let error = many.tags(&certificate()).await.unwrap_err();
    assert!(error.kind == Kind::Transient && error.message.contains("more than a certificate can have"), "{error}");
}

#[tokio::test]
async fn what_is_of_another_type_or_missing_is_an_error_or_nothing() {
    for answer in [
        json!({}),
        json!({ "Certificate": null, "Tags": null, "CertificateSummaryList": null }),
        json!({ "Certificate": 7, "Tags": 7, "CertificateSummaryList": 7 }),
        json!({ "Certificate": [[]], "Tags": [[]], "CertificateSummaryList": [7] }),
        json!({ "Certificate": { "Serial": {}, "NotAfter": "soon" }, "Tags": [{ "Key": 7 }] }),
        json!({ "Certificate": { "Serial": "-1", "KeyUsages": [{}], "InUseBy": [] }, "Tags": [{ "Key": "" }] }),
        json!({ "Certificate": { "NotAfter": 1e300 }, "CertificateSummaryList": [{ "CreatedAt": -1e300 }] }),
        json!([]),
        json!("text"),
    ] {
        let described = answer.to_string();
        for error in all(answer).await.into_iter().filter_map(Result::err) {
            assert_eq!(error.kind, Kind::Transient, "{described}: {error}");
            assert!(error.message.len() <= 1000 && !error.message.contains('\n'), "{error}");
        }
    }
    for text in ["", "<html>proxy</html>", "{", "\u{0}", "{\"Certificate\": \"\\ud800\"}"] {
        let (sdk, _fake) = sdk(move |_, _| (200, text.to_owned())).await;
        assert_eq!(sdk.describe_certificate(&certificate()).await.unwrap_err().kind, Kind::Transient, "{text:?}");
    }
}
