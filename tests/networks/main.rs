//! The program in networks as companies have them: proxies, CAs of one's own, FIPS and private endpoints, partitions.
//!
//! `arnkeeper whoami` is run in an environment that has nothing but what a test gives it. The proxies are stand-ins on
//! 127.0.0.1 that write down where they are asked to connect to, and connect nobody: AWS is never reached.

#[path = "../../src/aws/network/double.rs"]
mod double;

use double::{Asked, CALLER, Own, Proxy};
use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

const KEYS: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
    ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    ("AWS_EC2_METADATA_DISABLED", "true"),
];

/// Variables and their values.
type Variables<'a> = &'a [(&'a str, &'a str)];

/// What a program said at its end: what it found, or what it complains of.
async fn said(arguments: &[&str], environment: Variables<'_>) -> Result<String, String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_arnkeeper"));
    command.args(arguments).env_clear().stdin(Stdio::null()).envs(KEYS).envs(environment.iter().copied());
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("a task").expect("a process");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

async fn whoami(region: &str, environment: Variables<'_>) -> Result<String, String> {
    said(&["whoami", "--region", region], environment).await
}

/// A file of a test's own.
struct File(PathBuf);

impl File {
    fn new(text: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("arnkeeper-networks-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
        let path = std::env::temp_dir().join(name);
        fs::write(&path, text).expect("a file");
        Self(path)
    }

    fn name(&self) -> &str {
        self.0.to_str().expect("a name")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn sts_is_asked_in_its_region_and_partition_through_the_proxy() {
    const FIPS: (&str, &str) = ("AWS_USE_FIPS_ENDPOINT", "true");
    const DUAL: (&str, &str) = ("AWS_USE_DUALSTACK_ENDPOINT", "true");
    let cases: [(&str, Variables, &str); 8] = [
        ("eu-west-1", &[], "sts.eu-west-1.amazonaws.com:443"),
        ("us-east-1", &[], "sts.us-east-1.amazonaws.com:443"),
        ("us-gov-west-1", &[], "sts.us-gov-west-1.amazonaws.com:443"),
        ("cn-north-1", &[], "sts.cn-north-1.amazonaws.com.cn:443"),
        ("us-east-1", &[FIPS], "sts-fips.us-east-1.amazonaws.com:443"),
        ("us-gov-west-1", &[FIPS], "sts.us-gov-west-1.amazonaws.com:443"),
        ("eu-west-1", &[DUAL], "sts.eu-west-1.api.aws:443"),
        ("us-east-1", &[FIPS, DUAL], "sts-fips.us-east-1.api.aws:443"),
    ];
    for (region, more, host) in cases {
        let proxy = Proxy::refusing("403 Forbidden").await;
        let url = format!("http://{}", proxy.address);
        let complaint = whoami(region, &[&[("HTTPS_PROXY", &*url)], more].concat()).await.expect_err("no identity");
        assert_eq!(proxy.hosts(), [host], "{complaint}");
        assert!(complaint.contains("sts:GetCallerIdentity") && complaint.contains("allow CONNECT"), "{complaint}");
    }
}

#[tokio::test]
async fn the_proxys_user_is_told_to_the_proxy_alone() {
    let proxy = Proxy::refusing("407 Proxy Authentication Required").await;
    let url = format!("http://keeper:h%40sh@{}", proxy.address);
    let complaint = whoami("eu-west-1", &[("HTTPS_PROXY", &url)]).await.expect_err("no identity");
    let wanted = Asked { host: "sts.eu-west-1.amazonaws.com:443".to_owned(), user: "keeper:h@sh".to_owned() };
    assert_eq!(proxy.asked().first(), Some(&wanted));
    assert!(complaint.contains("user or password"), "{complaint}");
    assert!(!complaint.contains("h%40sh") && !complaint.contains("h@sh"), "{complaint}");
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_told() {
    // Bound and not listening, so that nobody else answers there.
    let held = tokio::net::TcpSocket::new_v4().expect("a socket");
    held.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let url = format!("http://keeper:hush@{}", held.local_addr().expect("an address"));
    let complaint = whoami("eu-west-1", &[("HTTPS_PROXY", &url)]).await.expect_err("no identity");
    assert!(complaint.contains("the proxy of HTTPS_PROXY can't be reached"), "{complaint}");
    assert!(!complaint.contains("hush"), "{complaint}");
}

#[tokio::test]
async fn a_proxy_that_opens_tls_needs_its_ca_in_the_bundle() {
    let own = Own::of("sts.eu-west-1.amazonaws.com");
    let proxy = Proxy::opening(&own).await;
    let url = format!("http://{}", proxy.address);
    let complaint = whoami("eu-west-1", &[("HTTPS_PROXY", &url)]).await.expect_err("it is not trusted");
    assert!(complaint.contains("caBundle") && complaint.contains("UnknownIssuer"), "{complaint}");
    let another = File::new(&Own::of("sts.eu-west-1.amazonaws.com").ca);
    let environment = [("HTTPS_PROXY", &*url), ("AWS_CA_BUNDLE", another.name())];
    assert!(whoami("eu-west-1", &environment).await.is_err(), "of another CA");
    let both = File::new(&(Own::of("a.example").ca + &own.ca));
    let environment = [("HTTPS_PROXY", &*url), ("AWS_CA_BUNDLE", both.name())];
    let told = whoami("eu-west-1", &environment).await.expect("an identity");
    assert!(told.contains(CALLER), "{told}");
    assert_eq!(proxy.hosts(), ["sts.eu-west-1.amazonaws.com:443"]);
}

#[tokio::test]
async fn a_private_endpoint_is_reached_directly_where_no_proxy_says_so() {
    for (host, through_it, directly) in [
        ("127.0.0.1", [".svc", "10.0.0.0/8"], ["127.0.0.1", "10.0.0.0/8, 127.0.0.0/8", ".svc,*"]),
        ("localhost", ["127.0.0.0/8", "*.localhost"], ["localhost", ".svc,*", "*"]),
    ] {
        let own = Own::of(host);
        let address = own.endpoint().await.replace("127.0.0.1", host);
        let (bundle, url) = (File::new(&own.ca), format!("https://{address}"));
        let proxy = Proxy::refusing("403 Forbidden").await;
        let through = format!("http://{}", proxy.address);
        let environment =
            [("AWS_ENDPOINT_URL_STS", &*url), ("AWS_CA_BUNDLE", bundle.name()), ("HTTPS_PROXY", &*through)];
        for list in through_it {
            let before = proxy.asked().len();
            let told = whoami("eu-west-1", &[&environment[..], &[("NO_PROXY", list)]].concat()).await;
            let complaint = told.expect_err("the proxy refuses");
            assert!(proxy.asked().len() > before && proxy.hosts() == [&*address], "{list}: {complaint}");
        }
        let before = proxy.asked().len();
        for list in directly {
            let told = whoami("eu-west-1", &[&environment[..], &[("NO_PROXY", list)]].concat()).await;
            assert!(told.as_ref().is_ok_and(|told| told.contains(CALLER)), "{list}: {told:?}");
        }
        assert_eq!(proxy.asked().len(), before);
    }
}

/// The API server, as a kubeconfig names it: it refuses the first call, and the operator ends.
#[tokio::test]
async fn the_api_server_is_reached_directly() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let server = listener.local_addr().expect("an address");
    let kubeconfig = File::new(&format!(
        "{{apiVersion: v1, kind: Config, clusters: [{{name: a, cluster: {{server: \"http://{server}\"}}}}], users: [{{name: a, user: {{}}}}], \
         contexts: [{{name: a, context: {{cluster: a, user: a}}}}], current-context: a}}"
    ));
    let proxy = Proxy::refusing("403 Forbidden").await;
    let through = format!("http://{}", proxy.address);
    let answered = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut read = vec![0; 4096];
        let length = stream.read(&mut read).await.expect("a request");
        let answer = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.expect("an answer");
        String::from_utf8_lossy(&read[..length]).into_owned()
    });
    let environment = [("KUBECONFIG", kubeconfig.name()), ("HTTPS_PROXY", &*through), ("HTTP_PROXY", &*through)];
    let complaint = said(&["run", "--listen", "127.0.0.1:0"], &environment).await.expect_err("it is refused");
    assert!(complaint.contains("the API server"), "{complaint}");
    let request = answered.await.expect("a request");
    assert!(request.starts_with("GET /api/v1/namespaces/kube-system "), "{request}");
    assert!(proxy.asked().is_empty(), "{:?}", proxy.asked());
}

#[tokio::test]
async fn a_network_that_can_not_be_had_ends_the_operator_at_its_start() {
    let empty = File::new("see the wiki\n");
    let missing = format!("{}-none", empty.name());
    let cases: [(Variables, &[&str]); 7] = [
        (&[("AWS_CA_BUNDLE", empty.name())], &["AWS_CA_BUNDLE", empty.name(), "no certificate", "caBundle.configMap"]),
        (&[("AWS_CA_BUNDLE", &missing)], &[&missing, "can't be read"]),
        (&[("HTTPS_PROXY", "socks5://keeper:hush@127.0.0.1:1080")], &["HTTPS_PROXY", "HTTP proxy"]),
        (&[("https_proxy", "http://keeper:hu#sh@127.0.0.1:3128")], &["https_proxy", "HTTP proxy"]),
        (&[("AWS_ENDPOINT_URL_ACM", "acm.example")], &["AWS_ENDPOINT_URL_ACM", "https://"]),
        (&[("AWS_USE_FIPS_ENDPOINT", "yes")], &["AWS_USE_FIPS_ENDPOINT", "true or false"]),
        (
            &[("AWS_USE_FIPS_ENDPOINT", "true"), ("AWS_ENDPOINT_URL_STS", "https://sts.example")],
            &["AWS_USE_FIPS_ENDPOINT", "AWS_ENDPOINT_URL_STS", "exclude"],
        ),
    ];
    for (environment, words) in cases {
        for arguments in [&["run", "--listen", "127.0.0.1:0"][..], &["whoami"]] {
            let complaint = said(arguments, environment).await.expect_err("it is refused");
            assert!(words.iter().all(|word| complaint.contains(word)), "{environment:?}: {complaint}");
            assert!(!complaint.contains("hush") && !complaint.contains("hu#sh"), "{complaint}");
        }
    }
}
