//! Converged Certificates, put where the operator finds them: copies of one that it made itself.

use super::stand::{NAMESPACE, Operator, Outcome, Stand, certificate, told};
use arnkeeper::{api::Certificate, core::certificate::renewal};
use serde_json::{Value, json};
use std::time::Duration;

/// Makes one Certificate and copies it, with its request and its Secret, `count` times. The operator does not run after.
pub async fn converged(stand: &Stand, count: usize) -> Outcome<()> {
    let operator = Operator::start(stand, &[]).await?;
    let authority = stand.account("bench", "111122223333", false, "EC_prime256v1").await?;
    stand.apply(vec![certificate("sample", "bench", &authority, json!({}))]).await?;
    stand.ready(1, Duration::from_mins(2)).await?;
    operator.stop().await?;
    let get = async |path: &str| {
        let request = http::Request::get(path).body(vec![]).map_err(told(path))?;
        let text = stand.client.request_text(request).await.map_err(told(path))?;
        serde_json::from_str::<Value>(&text).map_err(told(path))
    };
    let group = "/apis/arnkeeper.dev/v1beta1/namespaces/bench";
    let sample = get(&format!("{group}/awscertificates/sample")).await?;
    let request = get(&format!("{group}/awscertificaterequests/sample-1")).await?;
    let secret = get("/api/v1/namespaces/bench/secrets/sample-tls").await?;
    let typed: Certificate = serde_json::from_value(sample.clone()).map_err(told("the sample"))?;
    let uid = sample["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    let renewal_of = |uid: &str| {
        let status = typed.status.as_ref()?;
        let (begin, end) = (status.not_before.as_ref()?, status.not_after.as_ref()?);
        Some(renewal::time(&typed.spec, begin.0, end.0, uid).to_string())
    };
    let renewal = renewal_of(&uid).ok_or("the sample has no certificate")?;
    let domain = sample["spec"]["subject"]["domainName"].as_str().unwrap_or_default().to_owned();
    let mut objects = Vec::with_capacity(3 * count);
    for n in 0..count {
        let (name, new_uid) = (format!("copy-{n}"), format!("{n:08x}-0000-4000-8000-000000000000"));
        let due = renewal_of(&new_uid).unwrap_or_default();
        let copy = |object: &Value, last: &str| {
            // All have one name in the certificate, so that one key serves.
            let text = object.to_string().replace(&domain, "THE-DOMAIN").replace("sample", &name);
            let text = text.replace("THE-DOMAIN", &domain).replace(&uid, &new_uid).replace(&renewal, &due);
            let mut object: Value = serde_json::from_str(&text).map_err(told("a copy"))?;
            if let Some(metadata) = object["metadata"].as_object_mut() {
                metadata.remove("resourceVersion");
                if last != "0000" {
                    metadata.insert("uid".into(), json!(format!("{n:08x}-0000-4000-8000-00000000{last}")));
                }
            }
            Ok::<_, String>(object)
        };
        let key = |kind: &str, name: &str| format!("/registry/{kind}/{NAMESPACE}/{name}");
        let mut kept = copy(&sample, "0000")?;
        kept["status"]["targets"][0]["arn"] =
            json!(format!("arn:aws:acm:eu-west-1:111122223333:certificate/{new_uid}"));
        objects.push((key("arnkeeper.dev/awscertificates", &name), kept));
        let signed = copy(&request, "0001")?;
        objects.push((key("arnkeeper.dev/awscertificaterequests", &format!("{name}-1")), signed));
        objects.push((key("secrets", &format!("{name}-tls")), copy(&secret, "0002")?));
    }
    stand.put(&objects).await
}
