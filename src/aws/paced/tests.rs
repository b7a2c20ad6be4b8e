use super::{pacer::Observer, *};
use crate::aws::fake::FakeAws;
use futures::future::join_all;
use std::{collections::BTreeMap, sync::Mutex};
use zeroize::Zeroizing;

const ARN: &str = "arn:aws:acm:eu-west-1:111122223333:certificate/11111111-2222-3333-4444-555555555555";

#[derive(Default)]
struct Seen {
    waited: Mutex<Vec<(Operation, Duration)>>,
    put_off: Mutex<Vec<Operation>>,
    slowed: Mutex<Vec<(Operation, f64)>>,
}

impl Observer for Seen {
    fn waited(&self, lane: &Lane, wait: Duration) {
        self.waited.lock().unwrap().push((lane.operation, wait));
    }

    fn put_off(&self, lane: &Lane, _: Duration) {
        self.put_off.lock().unwrap().push(lane.operation);
    }

    fn slowed(&self, lane: &Lane, share: f64) {
        self.slowed.lock().unwrap().push((lane.operation, share));
    }
}

struct Stand {
    seen: Arc<Seen>,
    pacer: Arc<Pacer>,
}

impl Stand {
    fn new() -> Self {
        let seen = Arc::new(Seen::default());
        Self { pacer: Arc::new(Pacer::observed(seen.clone())), seen }
    }

    fn account(&self, id: &str, quotas: &[(&str, i32)]) -> (Arc<FakeAws>, Paced) {
        let quotas: BTreeMap<String, i32> = quotas.iter().map(|(name, rate)| ((*name).to_owned(), *rate)).collect();
        let fake = Arc::new(FakeAws::new(id));
        let gate = Gate::new(self.pacer.clone(), id.parse().unwrap(), Quotas::granted(&quotas));
        (fake.clone(), Paced::new(fake, gate))
    }
}

fn region() -> Region {
    "eu-west-1".parse().unwrap()
}

fn material() -> Material {
    Material { certificate: String::new(), private_key: Zeroizing::new(String::new()), chain: None }
}

#[tokio::test]
async fn who_would_wait_too_long_is_put_off_and_other_places_are_not() {
    let stand = Stand::new();
    let (fake, paced) = stand.account("111122223333", &[]);
    let (_, other) = stand.account("444455556666", &[]);
    let region = region();
    let lists = join_all((0..40).map(|_| paced.list_certificates(&region)));
    let (answers, other) = tokio::join!(lists, other.list_certificates(&region));
    other.unwrap();
    let (made, put_off): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(made.len(), fake.count("acm:ListCertificates"), "what was put off was not called");
    assert!(!made.is_empty() && put_off.len() >= 36);
    let waits: Vec<Duration> = put_off
        .into_iter()
        .map(|error| match error.unwrap_err().kind {
            Kind::NotYourTurn(wait) => wait,
            kind => panic!("{kind:?}"),
        })
        .collect();
    assert!(waits.iter().any(|wait| *wait > Duration::from_secs(30)), "each comes back at its own time");
    assert_eq!(stand.seen.put_off.lock().unwrap().len(), waits.len());
    let (_, elsewhere) = stand.account("111122223333", &[]);
    elsewhere.list_certificates(&"us-east-1".parse().unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_quota_that_aws_granted_is_used() {
    let stand = Stand::new();
    let (fake, paced) = stand.account("111122223333", &[("ListCertificates", 10_000)]);
    let region = region();
    for answer in join_all((0..200).map(|_| paced.list_certificates(&region))).await {
        match answer.map_err(|error| error.kind) {
            Ok(_) | Err(Kind::NotYourTurn(_)) => {}
            Err(kind) => panic!("{kind:?}"),
        }
    }
    assert!(fake.count("acm:ListCertificates") >= 24);
}

#[tokio::test]
async fn what_changes_nothing_twice_is_repeated_and_the_rest_is_not() {
    let stand = Stand::new();
    let (fake, paced) = stand.account("111122223333", &[("ImportCertificate", 1000)]);
    let (arn, region): (CertificateArn, _) = (ARN.parse().unwrap(), region());
    fake.world().failure = Some(Kind::Transient);
    paced.list_certificates(&region).await.unwrap();
    assert_eq!(fake.count("acm:ListCertificates"), 2);
    for kind in [Kind::Throttled, Kind::LimitExceeded, Kind::AccessDenied, Kind::Credentials] {
        fake.world().failure = Some(kind);
        fake.world().calls.clear();
        assert_eq!(paced.tags(&arn).await.unwrap_err().kind, kind);
        assert_eq!(fake.count("acm:ListTagsForCertificate"), 1, "{kind:?}");
    }
    fake.world().calls.clear();
    fake.world().failure = Some(Kind::Transient);
    assert_eq!(paced.reimport(&arn, &material()).await.unwrap_err().kind, Kind::Transient);
    fake.world().failure = Some(Kind::Transient);
    let tags = Tags::new();
    assert_eq!(paced.import_new(&region, &material(), &tags).await.unwrap_err().kind, Kind::Transient);
    assert_eq!(fake.count("acm:ImportCertificate"), 2, "imports have a turn of their own each");
}

#[tokio::test]
async fn throttling_slows_one_operation_of_one_account() {
    let stand = Stand::new();
    let (fake, paced) = stand.account("111122223333", &[]);
    let arn: CertificateArn = ARN.parse().unwrap();
    fake.world().failure = Some(Kind::Throttled);
    assert_eq!(paced.tags(&arn).await.unwrap_err().kind, Kind::Throttled);
    let slowed = stand.seen.slowed.lock().unwrap().clone();
    assert_eq!(slowed.len(), 1);
    assert!(slowed[0].0 == Operation::ListTagsForCertificate && (slowed[0].1 - 0.5).abs() < 0.01);
    let waited: Vec<Operation> = stand.seen.waited.lock().unwrap().iter().map(|(operation, _)| *operation).collect();
    assert_eq!(waited, [Operation::ListTagsForCertificate]);
}

/// Pages are of use together only, so one that is throttled is waited for, at the line's slower pace.
#[tokio::test]
async fn a_page_that_is_throttled_is_asked_for_again_and_given_up_if_that_lasts() {
    let patience = Duration::from_millis(1500);
    let error = |kind| AwsError { kind, action: "organizations:ListAccounts", code: None, message: "later".into() };
    for (throttled, whole) in [(2, true), (usize::MAX, false)] {
        let gate = Gate::new(Stand::new().pacer, "111122223333".parse().unwrap(), Quotas::default());
        let (began, calls) = (now(), Mutex::new(vec![]));
        let page = || async {
            let mut calls = calls.lock().unwrap();
            calls.push(now());
            if calls.len() <= throttled { Err(error(Kind::Throttled)) } else { Ok(()) }
        };
        let answer = gate.within(patience, Operation::ListAccounts, &region(), page).await;
        assert_eq!(answer.map_err(|error| error.kind), if whole { Ok(()) } else { Err(Kind::Throttled) });
        let calls = calls.into_inner().unwrap();
        assert!(calls.len() >= 3 && (whole || now() - began >= patience / 2));
        let gaps: Vec<Duration> = calls.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.iter().all(|gap| *gap >= Duration::from_millis(390)), "half as fast, or slower: {gaps:?}");
    }
    let gate = Gate::new(Stand::new().pacer, "111122223333".parse().unwrap(), Quotas::default());
    let denied = || async { Err::<(), _>(error(Kind::AccessDenied)) };
    let answer = gate.patiently(Operation::ListAccounts, &region(), denied).await;
    assert_eq!(answer.unwrap_err().kind, Kind::AccessDenied);
}

#[tokio::test]
async fn leave_to_import_is_the_askers() {
    let stand = Stand::new();
    let (fake, paced) = stand.account("111122223333", &[]);
    let (region, tags) = (region(), Tags::new());
    let named = |key: &str| Asker { key: key.to_owned(), left: None };
    for key in ["a", "b"] {
        assert_eq!(asking(named(key), paced.turn_to_import(&region)).await, Duration::ZERO);
    }
    let import = |key| asking(named(key), paced.import_new(&region, &MATERIAL, &tags));
    let (a, b) = tokio::join!(import("a"), import("b"));
    // The account has nothing to answer with; what counts is that both were called.
    assert!([a, b].into_iter().all(|answer| answer.unwrap_err().kind == Kind::NotFound));
    assert_eq!(fake.count("acm:ImportCertificate"), 2);
}

static MATERIAL: std::sync::LazyLock<Material> = std::sync::LazyLock::new(material);

/// A call that is given up in the line does not keep the others from theirs.
#[tokio::test]
async fn who_is_dropped_in_the_line_is_not_waited_for() {
    let stand = Stand::new();
    let (fake, paced) = stand.account("111122223333", &[]);
    let region = region();
    paced.list_certificates(&region).await.unwrap();
    {
        let mut waits = std::pin::pin!(paced.list_certificates(&region));
        assert!(futures::poll!(waits.as_mut()).is_pending());
    }
    paced.list_certificates(&region).await.unwrap();
    assert_eq!(fake.count("acm:ListCertificates"), 2);
}

/// Each call once, whatever it is; one with leave from when it asked for that.
#[tokio::test]
async fn every_calls_wait_is_told() {
    let stand = Stand::new();
    let (_, paced) = stand.account("111122223333", &[("ListCertificates", 1), ("ImportCertificate", 1)]);
    let (region, arn, tags): (_, CertificateArn, _) = (region(), ARN.parse().unwrap(), Tags::new());
    let named = |key: &str| Asker { key: key.to_owned(), left: None };
    paced.tags(&arn).await.unwrap_err();
    let lists = async { tokio::join!(paced.list_certificates(&region), paced.list_certificates(&region)) };
    let imports = async {
        for key in ["a", "b"] {
            assert_eq!(asking(named(key), paced.turn_to_import(&region)).await, Duration::ZERO);
        }
        let import = |key| asking(named(key), paced.import_new(&region, &MATERIAL, &tags));
        let (a, b) = tokio::join!(import("a"), import("b"));
        // The account has nothing to answer with.
        assert!([a, b].into_iter().all(|answer| answer.is_err()));
    };
    let ((first, second), ()) = tokio::join!(lists, imports);
    assert!(first.is_ok() && second.is_ok());
    let told = stand.seen.waited.lock().unwrap().clone();
    // At one a second, the second of each waits for about a second.
    let waited = |of: Operation| -> Vec<bool> {
        told.iter()
            .filter(|(operation, _)| *operation == of)
            .map(|(_, wait)| *wait > Duration::from_millis(500))
            .collect()
    };
    assert_eq!(waited(Operation::ListTagsForCertificate), [false]);
    assert_eq!(waited(Operation::ListCertificates), [false, true]);
    assert_eq!(waited(Operation::ImportCertificate), [false, true]);
}
