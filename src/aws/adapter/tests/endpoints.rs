//! Which host each service is asked at, by partition and kind of endpoint. The proxy sees it, and lets nobody through.

use super::*;
use crate::aws::{network::double::Proxy, secrets_manager};
use aws_config::retry::RetryConfig;
use std::{io, sync::Mutex};

/// The hosts that are asked for where an account of this partition uses this region.
async fn hosts(partition: &str, place: &str, set: impl Fn(SdkConfig) -> SdkConfig) -> Vec<String> {
    let proxy = Proxy::refusing("403 Forbidden").await;
    calls(&format!("http://{}", proxy.address), partition, place, set).await;
    proxy.hosts()
}

/// Calls each service once.
async fn calls(proxy: &str, partition: &str, place: &str, set: impl Fn(SdkConfig) -> SdkConfig) {
    let keys = Credentials::new("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", None, None, "test");
    let keys = SharedCredentialsProvider::new(keys);
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(http_client(&Network::through(proxy)))
        .credentials_provider(keys.clone())
        .retry_config(RetryConfig::disabled())
        .region(aws_config::Region::new(place.to_owned()))
        .timeout_config(timeouts())
        .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
        .build();
    let config = set(config);
    let (region, account) = (place.parse::<Region>().unwrap(), "111122223333".parse().unwrap());
    let arn = format!("arn:{partition}:iam::111122223333:user/arnkeeper");
    let gate = Gate::new(Arc::default(), "111122223333".parse().unwrap(), Quotas::default());
    let question = Simulation {
        principal: arn.clone(),
        actions: vec!["acm:ImportCertificate"],
        resource: "*".to_owned(),
        context: vec![],
    };
    let secret = serde_json::from_value(json!({ "secretId": "keys", "region": place })).unwrap();
    let sdk = Sdk::new(Identity { account, arn }, Arc::new(Clients::new(&config)), keys.clone(), gate);
    let errors = [
        sdk.list_certificates(&region).await.err(),
        sdk.list_authorities(&region).await.err(),
        sdk.organization().await.err(),
        sdk.simulate(&question).await.err(),
        secrets_manager::read(&config, keys, &secret).await.err(),
    ];
    for error in errors {
        let error = error.expect("nothing answers");
        assert!(error.kind == Kind::Transient && error.message.contains("allow CONNECT"), "{error}");
    }
}

fn sorted(hosts: &[&str]) -> Vec<String> {
    let mut hosts: Vec<String> = hosts.iter().map(|host| format!("{host}:443")).collect();
    hosts.sort();
    hosts
}

#[tokio::test]
async fn every_partition_has_its_own_endpoints() {
    for (partition, region, wanted) in [
        (
            "aws",
            "eu-west-1",
            [
                "acm.eu-west-1.amazonaws.com",
                "acm-pca.eu-west-1.amazonaws.com",
                "organizations.us-east-1.amazonaws.com",
                "iam.amazonaws.com",
                "secretsmanager.eu-west-1.amazonaws.com",
            ],
        ),
        (
            "aws-us-gov",
            "us-gov-east-1",
            [
                "acm.us-gov-east-1.amazonaws.com",
                "acm-pca.us-gov-east-1.amazonaws.com",
                "organizations.us-gov-west-1.amazonaws.com",
                "iam.us-gov.amazonaws.com",
                "secretsmanager.us-gov-east-1.amazonaws.com",
            ],
        ),
        (
            "aws-cn",
            "cn-north-1",
            [
                "acm.cn-north-1.amazonaws.com.cn",
                "acm-pca.cn-north-1.amazonaws.com.cn",
                "organizations.cn-northwest-1.amazonaws.com.cn",
                "iam.cn-north-1.amazonaws.com.cn",
                "secretsmanager.cn-north-1.amazonaws.com.cn",
            ],
        ),
    ] {
        assert_eq!(hosts(partition, region, |config| config).await, sorted(&wanted));
    }
}

#[tokio::test]
async fn fips_endpoints_are_asked_where_they_are_wanted() {
    let fips = |config: SdkConfig| config.into_builder().use_fips(true).build();
    let wanted = [
        "acm-fips.us-east-1.amazonaws.com",
        "acm-pca-fips.us-east-1.amazonaws.com",
        "organizations-fips.us-east-1.amazonaws.com",
        "iam-fips.amazonaws.com",
        "secretsmanager-fips.us-east-1.amazonaws.com",
    ];
    assert_eq!(hosts("aws", "us-east-1", fips).await, sorted(&wanted));
    let wanted = [
        "acm.us-gov-west-1.amazonaws.com",
        "acm-pca.us-gov-west-1.amazonaws.com",
        "organizations.us-gov-west-1.amazonaws.com",
        "iam.us-gov.amazonaws.com",
        "secretsmanager-fips.us-gov-west-1.amazonaws.com",
    ];
    assert_eq!(hosts("aws-us-gov", "us-gov-west-1", fips).await, sorted(&wanted));
}

#[tokio::test]
async fn dual_stack_endpoints_are_asked_where_they_are_wanted() {
    let dual = |config: SdkConfig| config.into_builder().use_dual_stack(true).build();
    let wanted = [
        "acm.us-east-1.api.aws",
        "acm-pca.us-east-1.api.aws",
        "organizations.us-east-1.api.aws",
        "iam.global.api.aws",
        // It has IPv6 addresses under its ordinary name.
        "secretsmanager.us-east-1.amazonaws.com",
    ];
    assert_eq!(hosts("aws", "us-east-1", dual).await, sorted(&wanted));
}

/// What is logged, all of it.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Set in the process in which everything is logged.
const ALONE: &str = "ARNKEEPER_TEST_ALONE";

/// In a process of its own: what is logged at all is settled for a whole process, and other tests log nothing.
#[tokio::test]
async fn no_log_has_the_proxys_password() {
    if std::env::var_os(ALONE).is_none() {
        let this = concat!(module_path!(), "::no_log_has_the_proxys_password");
        let (_, this) = this.split_once("::").unwrap();
        let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
        let output = alone.args(["--exact", this]).env(ALONE, "1").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    let log = Log::default();
    let writer = log.clone();
    let everything =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone());
    tracing::subscriber::set_global_default(everything.finish()).unwrap();
    let proxy = Proxy::refusing("403 Forbidden").await;
    calls(&format!("http://keeper:hush@{}", proxy.address), "aws", "eu-west-1", |config| config).await;
    assert!(proxy.asked().iter().all(|asked| asked.user == "keeper:hush"), "{:?}", proxy.asked());
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains(&proxy.address), "nothing of the proxy is logged: {log}");
    // In base 64, too: `keeper:hush`.
    assert!(!log.contains("hush") && !log.contains("a2VlcGVyOmh1c2g"), "{log}");
}
