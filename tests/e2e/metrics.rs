//! What the operator tells Prometheus.

use crate::{
    accounts::{account_ready, account_refused},
    harness::{REGIONS, World},
    wait::eventually,
};
use kube::{Client, Config};
use serde_json::json;
use std::env;

/// The text that a scrape gets.
async fn scrape() -> String {
    let url = env::var("ARNKEEPER_URL").expect("ARNKEEPER_URL names the probes of the operator");
    let client = Client::try_from(Config::new(url.parse().expect("an address"))).expect("a client of plain HTTP");
    let request = http::Request::get("/metrics").body(vec![]).expect("a well-formed request");
    client.request_text(request).await.expect("the metrics")
}

/// The value of a series; 0 if there is none.
fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap_or_else(|_| panic!("{series} is {value:?}")))
}

#[tokio::test]
async fn an_issuance_and_a_renewal_are_counted() {
    let (world, authority) = World::new("counted").await;
    let before = scrape().await;
    world.issued("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
    world.renew("app").await;
    world.revision("app", 2).await;
    let call = |operation: &str| {
        let (account, region) = (&world.account, REGIONS[0]);
        format!(
            "arnkeeper_aws_calls_total{{account=\"{account}\",region=\"{region}\",operation=\"{operation}\",outcome=\"success\"}}"
        )
    };
    let text = scrape().await;
    for operation in ["acm-pca:IssueCertificate", "acm:ImportCertificate"] {
        assert!((value(&text, &call(operation)) - 2.0).abs() < 0.1, "{operation}: {}", value(&text, &call(operation)));
    }
    assert!(value(&text, &call("acm:DescribeCertificate")) >= 2.0);
    // Others are at it, too.
    for (series, least) in [
        ("arnkeeper_issues_total{outcome=\"issued\"}", 2.0),
        ("arnkeeper_imports_total{type=\"new\",outcome=\"imported\"}", 1.0),
        ("arnkeeper_imports_total{type=\"reimport\",outcome=\"imported\"}", 1.0),
        ("arnkeeper_renewals_total{trigger=\"Issued\",outcome=\"completed\"}", 1.0),
        ("arnkeeper_renewals_total{trigger=\"Requested\",outcome=\"completed\"}", 1.0),
        ("arnkeeper_reconciles_total{kind=\"Certificate\",outcome=\"settled\"}", 2.0),
        ("arnkeeper_kubernetes_requests_total{method=\"POST\",code=\"201\"}", 3.0),
        ("arnkeeper_pacer_wait_seconds_count{operation=\"acm-pca:IssueCertificate\"}", 2.0),
        ("arnkeeper_pacer_wait_seconds_count{operation=\"acm-pca:GetCertificate\"}", 2.0),
        ("arnkeeper_pacer_wait_seconds_count{operation=\"acm:ImportCertificate\"}", 2.0),
        ("arnkeeper_pacer_wait_seconds_count{operation=\"acm:DescribeCertificate\"}", 2.0),
    ] {
        assert!(value(&text, series) >= value(&before, series) + least, "{series}: {}", value(&text, series));
    }
    assert!((value(&text, &format!("arnkeeper_account_ready{{account=\"{}\"}}", world.account)) - 1.0).abs() < 0.1);
    assert!(value(&text, "arnkeeper_objects{kind=\"Certificate\",state=\"ready\"}") >= 1.0);
    assert!(text.ends_with("# EOF\n"));
    assert!(!text.contains(&world.namespace), "nobody asked for names of Certificates");
    assert!(!text.contains("BEGIN") && !text.contains(crate::harness::BASE_KEY.1), "nothing secret is told");
}

/// The alert ArnkeeperCredentialsInvalid asks for this series.
#[tokio::test]
async fn refused_credentials_are_told_until_they_are_taken() {
    let world = World::bare("refused").await;
    let Some(sim) = world.stand.sim_because("moto takes any access key") else { return };
    let series = format!("arnkeeper_account_credentials_valid{{account=\"{}\"}}", world.account);
    let told = async |value: &str| {
        let line = &format!("{series} {value}");
        eventually(line, || async move {
            let text = scrape().await;
            text.lines().any(|told| told == line).then_some(()).ok_or(text)
        })
        .await;
    };
    world.put_credentials("AKIAI44QH8DHBEXAMPLE", "je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY").await;
    world.make_account(json!({ "assumeRoles": null })).await;
    account_refused(&world, "CredentialsInvalid").await;
    told("0").await;
    let key = sim.access_key(&world.id, false).await;
    world.put_credentials(&key.access_key_id, &key.secret_access_key).await;
    account_ready(&world).await;
    told("1").await;
}

#[tokio::test]
async fn the_series_of_a_deleted_account_vanish() {
    let world = World::bare("vanish").await;
    world.open_account(json!({})).await;
    let label = format!("account=\"{}\"", world.account);
    let (label, world) = (&label, &world);
    eventually("the account is counted", || async move {
        let told = scrape().await.lines().any(|l| l.starts_with("arnkeeper_aws_calls_total") && l.contains(label));
        told.then_some(()).ok_or_else(|| "no series".to_owned())
    })
    .await;
    world.accounts().delete(&world.account, &kube::api::DeleteParams::default()).await.expect("deleted");
    eventually("its series are gone", || async move {
        let text = scrape().await;
        text.lines().find(|l| l.contains(label)).map_or(Ok(()), |line| Err(line.to_owned()))
    })
    .await;
}
