//! AWS takes a call and never answers, or does not even take it. No test waits for its time-outs.

use super::*;
use crate::aws::wire::{Time, Wire};
use std::{
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// How long it takes until a call without an answer is given up. It was made once, and is told as a passing fault.
async fn given_up<T>(call: impl AsyncFnOnce(&Sdk) -> Result<T, AwsError>) -> Duration {
    let (time, wire) = (Time::default(), Wire::silent());
    let sdk = over(wire.clone(), "http://127.0.0.1:1", time.clone());
    let error = time.run(call(&sdk)).await.err().expect("nothing answers");
    assert_eq!((error.kind, error.code.as_deref()), (Kind::Transient, None), "{error}");
    assert_eq!(wire.calls().len(), 1, "the SDK made it again");
    time.passed()
}

fn certificate_order() -> CertificateOrder {
    CertificateOrder {
        region: region(),
        authority: AUTHORITY.parse().unwrap(),
        domain_name: "a.example".into(),
        additional_names: vec![],
        algorithm: KeyAlgorithm::EcPrime256v1,
        idempotency_token: "token".into(),
        tags: Tags::new(),
    }
}

#[tokio::test]
async fn a_call_is_given_up_after_ten_seconds() {
    let question = Simulation {
        principal: "arn:aws:iam::111122223333:user/arnkeeper".into(),
        actions: vec!["acm:ImportCertificate"],
        resource: "*".into(),
        context: vec![],
    };
    let issued = format!("{AUTHORITY}/certificate/6707").parse().unwrap();
    for (call, took) in [
        ("ListCertificates", given_up(async |sdk| sdk.list_certificates(&region()).await).await),
        ("DescribeCertificate", given_up(async |sdk| sdk.describe_certificate(&certificate()).await).await),
        ("ListTagsForCertificate", given_up(async |sdk| sdk.tags(&certificate()).await).await),
        ("ImportCertificate", given_up(async |sdk| sdk.reimport(&certificate(), &material()).await).await),
        ("IssueCertificate", given_up(async |sdk| sdk.issue(&order()).await).await),
        ("acm-pca:GetCertificate", given_up(async |sdk| sdk.issued(&issued).await).await),
        ("ListCertificateAuthorities", given_up(async |sdk| sdk.list_authorities(&region()).await).await),
        ("SimulatePrincipalPolicy", given_up(async |sdk| sdk.simulate(&question).await).await),
    ] {
        assert_eq!(took, Duration::from_secs(10), "{call}");
    }
}

/// Whether it made one is found out only after it: it has a little longer than others, and no more.
#[tokio::test]
async fn what_makes_a_new_arn_is_given_up_after_fifteen_seconds() {
    let tags = Tags::new();
    for (call, took) in [
        ("ImportCertificate", given_up(async |sdk| sdk.import_new(&region(), &material(), &tags).await).await),
        ("RequestCertificate", given_up(async |sdk| sdk.request_certificate(&certificate_order()).await).await),
    ] {
        assert_eq!(took, Duration::from_secs(15), "{call}");
    }
}

/// A listener that takes no connection any more: those that fill its queue live as long as what is returned.
async fn full() -> (SocketAddr, tokio::net::TcpListener, Vec<TcpStream>) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let connect = move || TcpStream::connect_timeout(&address, Duration::from_millis(200));
    let fill = move || std::iter::from_fn(|| connect().ok()).take(100).collect::<Vec<_>>();
    let waiting = tokio::task::spawn_blocking(fill).await.unwrap();
    assert!(waiting.len() < 100, "it takes every connection");
    (address, listener, waiting)
}

/// Of the real HTTP client; a first import is no exception.
#[tokio::test]
async fn connecting_is_given_up_after_three_seconds() {
    let (address, ..) = &full().await;
    let (material, tags) = (material(), Tags::new());
    for new in [false, true] {
        let time = Time::default();
        let sdk = over(http_client(&Network::default()), &format!("http://{address}"), time.clone());
        let call = async {
            if new {
                sdk.import_new(&region(), &material, &tags).await.map(|_| ())
            } else {
                sdk.tags(&certificate()).await.map(|_| ())
            }
        };
        let error = time.run(call).await.unwrap_err();
        assert_eq!(error.kind, Kind::Transient, "{error}");
        assert_eq!(time.passed(), Duration::from_millis(3100), "{error}");
    }
}
