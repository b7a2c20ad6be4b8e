use super::*;
use crate::{
    kube::{
        stand_in::{Act, FakeApi},
        watch::events,
    },
    probes::{
        Health, SILENCE,
        stand_in::{after, until},
    },
};
use axum::{Router, body::Body as Answer, extract::RawQuery};
use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, core::PartialObjectMeta, runtime::watcher};
use tokio::{net::TcpListener, sync::mpsc};

#[test]
fn the_proxy_for_aws_is_not_the_api_servers() {
    let with = |proxy: Option<&str>, for_aws: Option<&str>| {
        let mut config = Config::new("https://127.0.0.1:6443".parse().unwrap());
        config.proxy_url = proxy.map(|url| url.parse().unwrap());
        directly(&mut config, for_aws);
        config.proxy_url.map(|url| url.to_string())
    };
    let proxy = Some("http://proxy.example:3128");
    assert_eq!(with(proxy, proxy), None);
    assert_eq!(with(None, proxy), None);
    assert_eq!(with(None, None), None);
    let of_kubeconfig = with(Some("http://bastion.example:3128"), proxy);
    assert_eq!(of_kubeconfig.as_deref(), Some("http://bastion.example:3128/"), "it is a person's wish");
}

#[test]
fn the_date_of_an_answer_is_read() {
    let mut headers = HeaderMap::new();
    headers.insert(DATE, "Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap());
    assert_eq!(date(&headers).unwrap().to_string(), "1994-11-06T08:49:37Z");
}

/// A watch that is open and on which nothing comes, not even its end, as a load balancer may leave it.
#[tokio::test]
async fn a_silent_watch_is_opened_again_when_its_time_is_over() {
    let (tell, mut opened) = mpsc::unbounded_channel();
    let serve = move |RawQuery(query): RawQuery| {
        let watch = query.is_some_and(|query| query.contains("watch=true"));
        if watch {
            tell.send(Instant::now()).unwrap();
        }
        std::future::ready(if watch {
            Answer::from_stream(stream::pending::<Result<String, io::Error>>())
        } else {
            Answer::from(r#"{"kind":"List","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[]}"#)
        })
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = Config::new(format!("http://{}", listener.local_addr().unwrap()).parse().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(serve)).await });

    let silence = Duration::from_millis(300);
    let clients = connect_with(config, &Arc::default(), Arc::default(), silence).unwrap();
    let health = Arc::new(Health::default());
    let pulse = health.pulse("the watch");
    let api: Api<PartialObjectMeta<Secret>> = Api::namespaced(clients.watch(&pulse), "arnkeeper-system");
    let watched = events(api, watcher::Config::default(), &pulse, &clients.metrics);
    let (broke, mut broken) = mpsc::unbounded_channel();
    let watched = tokio::spawn(watched.for_each(move |event| {
        if let Err(error) = event {
            broke.send((Instant::now(), error.to_string())).unwrap();
        }
        std::future::ready(())
    }));

    let first = opened.recv().await.unwrap();
    let mark = Instant::now();
    // The watcher's own time would be over later.
    let soon = Duration::from_secs(30);
    let (end, error) = tokio::time::timeout(soon, broken.recv()).await.expect("it breaks off").unwrap();
    assert!(end - first >= silence, "{error}: it was given {:?}", end - first);
    tokio::time::timeout(soon, opened.recv()).await.expect("it is opened again").unwrap();
    assert_eq!(after(&health, mark).await.1, Vec::<String>::new(), "to be opened again is a sign of life");
    watched.abort();
}

#[test]
fn a_silent_watch_is_opened_again_before_it_is_taken_for_dead() {
    assert_eq!(WATCH_SILENCE, Duration::from_secs(45));
    assert!(WATCH_SILENCE + OPEN_TIMEOUT <= SILENCE, "also where the API server is slow to open it");
}

/// A watch that is quiet is opened again within a minute, and nothing else happens in that time.
#[tokio::test]
async fn that_a_watch_asks_and_is_answered_are_signs_of_life() {
    let (api, health) = (FakeApi::default(), Arc::new(Health::default()));
    api.does("/secrets", Act::Hang);
    let client = Clients::all(&api.client()).watch(&health.pulse("the watch"));
    let alive_after = async |moment| after(&health, moment).await.1.is_empty();
    let begin = Instant::now();
    assert!(!alive_after(begin).await);
    let request = Request::get("/api/v1/secrets").body(vec![]).unwrap();
    let answer = tokio::spawn(async move { client.request_text(request).await });
    until("it has asked", async || api.hangs("/secrets")).await;
    assert!(alive_after(begin).await);
    let asked = Instant::now();
    assert!(!alive_after(asked).await);
    api.does("/secrets", Act::Serve);
    answer.await.unwrap().unwrap();
    assert!(alive_after(asked).await);
}
