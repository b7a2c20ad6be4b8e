use super::*;
use crate::{clock::ServerClock, kube::store::Gist, probes::Health};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::{events::Reporter, watcher};
use proptest::prelude::*;
use std::{collections::BTreeMap, io};
use tokio::{sync::oneshot, task::yield_now};

impl Kept for ConfigMap {
    fn gist(&self) -> Gist {
        Gist::default()
    }
}

/// What a reconcile of the test does: one write, for which objects with the label `slow` need an RSA key.
#[derive(Default)]
struct Work(Arc<Mutex<Log>>);

#[derive(Default)]
struct Log {
    running: BTreeMap<String, usize>,
    overlaps: usize,
    done: BTreeMap<String, usize>,
}

impl Log {
    fn done(&self, prefix: &str) -> usize {
        self.done.keys().filter(|name| name.starts_with(prefix)).count()
    }
}

struct Observed {
    object: Arc<ConfigMap>,
    done: bool,
}

#[async_trait]
impl Kind for Work {
    type Object = ConfigMap;
    type Status = ();
    type Observed = Observed;
    type Read = ();
    type Write = Option<KeyAlgorithm>;
    type Memory = ();

    fn observe(&self, object: Arc<ConfigMap>, (): ()) -> Observed {
        Observed { object, done: false }
    }

    fn decide(&self, observed: &mut Observed, _: Timestamp) -> Decision<(), (), Option<KeyAlgorithm>> {
        let slow = observed.object.name_any().starts_with("slow").then_some(KeyAlgorithm::Rsa2048);
        let step = if observed.done { Step::Rest(SignedDuration::from_hours(1)) } else { Step::Write(slow) };
        Decision { step, status: (), events: vec![] }
    }

    async fn read(&self, _: &mut Observed, (): ()) -> Result<(), kube::Error> {
        Ok(())
    }

    async fn write(&self, observed: &mut Observed, _: Option<KeyAlgorithm>) -> Result<(), kube::Error> {
        let name = observed.object.name_any();
        {
            let mut log = self.0.lock().unwrap();
            let running = log.running.entry(name.clone()).or_default();
            *running += 1;
            let overlaps = usize::from(*running > 1);
            log.overlaps += overlaps;
        }
        for _ in 0..20 {
            yield_now().await;
        }
        let mut log = self.0.lock().unwrap();
        *log.running.entry(name.clone()).or_default() -= 1;
        *log.done.entry(name).or_default() += 1;
        observed.done = true;
        Ok(())
    }

    fn new_key(write: &Option<KeyAlgorithm>) -> Option<KeyAlgorithm> {
        *write
    }

    fn object(observed: &Observed) -> &Arc<ConfigMap> {
        &observed.object
    }

    fn stored(&self, observed: &mut Observed, object: Arc<ConfigMap>) {
        observed.object = object;
    }

    fn memory(_: Observed) {}

    fn status(_: &ConfigMap) -> Option<&()> {
        Some(&())
    }

    fn set_status(_: &mut ConfigMap, (): ()) {}

    fn refused(_: &ConfigMap, _: &str, _: Timestamp) {}

    fn api(client: &Client, _: Option<&str>) -> Api<ConfigMap> {
        Api::default_namespaced(client.clone())
    }
}

/// A driver that runs, with a store of these objects.
struct Running {
    driver: Arc<Driver<Work>>,
    log: Arc<Mutex<Log>>,
    stop: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<()>,
}

fn key(name: &str) -> Key {
    Key::new(Some("pay"), name)
}

impl Running {
    fn new(names: &[String]) -> Self {
        let (store, mut writer) = Store::new();
        writer.apply(watcher::Event::Init);
        for name in names {
            let mut object = ConfigMap::default();
            object.metadata.name = Some(name.clone());
            object.metadata.namespace = Some("pay".into());
            (object.metadata.uid, object.metadata.resource_version) = (Some(name.clone()), Some("1".into()));
            writer.apply(watcher::Event::InitApply(object));
        }
        writer.apply(watcher::Event::InitDone);
        let nobody = |_| async { Err::<http::Response<kube::client::Body>, _>(io::Error::other("no API server")) };
        let client = Client::new(tower::service_fn(nobody), "pay");
        let recorder = Recorder::new(client.clone(), Reporter { controller: "test".into(), instance: None });
        let log = Arc::default();
        let driver = Arc::new(Driver {
            kind: Work(Arc::clone(&log)),
            client,
            recorder,
            clock: Arc::new(ServerClock::ahead(SignedDuration::ZERO)),
            mandate: Mandate::alone(),
            metrics: Arc::default(),
            keys: Keys::default(),
            line: Arc::default(),
            entries: Mutex::default(),
        });
        let (stop, stopped) = oneshot::channel();
        let run = driver.clone().run(
            store,
            async move { drop(stopped.await) },
            Health::default().pulse("the controller of the test"),
        );
        Self { driver, log, stop, ended: tokio::spawn(run) }
    }

    fn ask(&self, name: &str) {
        self.driver.wake(&key(name));
    }

    async fn until(&self, what: impl Fn(&Log) -> bool) {
        let all = async {
            while !what(&self.log.lock().unwrap()) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(100), all).await.expect("it comes to pass");
    }

    async fn end(self) {
        self.stop.send(()).unwrap();
        self.ended.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_whose_keys_are_made_hold_no_place() {
    let slow: Vec<String> = (0..CONCURRENCY + 50).map(|n| format!("slow-{n}")).collect();
    let all: Vec<String> = slow.iter().cloned().chain(["other".to_owned()]).collect();
    let running = Running::new(&all);
    for name in &all {
        running.ask(name);
    }
    running.until(|log| log.done("other") == 1).await;
    assert!(running.log.lock().unwrap().done("slow") < slow.len());
    running.until(|log| log.done("slow") >= 2).await;
    for name in &slow {
        running.driver.forget(&key(name));
    }
    running.end().await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn two_reconciles_of_one_object_never_overlap(asked in prop::collection::vec((0..4_usize, 0..30_usize), 1..60)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
        let overlaps = runtime.block_on(async {
            let names: Vec<String> = (0..4).map(|n| format!("object-{n}")).collect();
            let running = Running::new(&names);
            for (object, pause) in &asked {
                running.ask(&names[*object]);
                for _ in 0..*pause {
                    yield_now().await;
                }
            }
            running.until(|log| asked.iter().all(|(object, _)| log.done.contains_key(&names[*object]))).await;
            let log = running.log.clone();
            running.end().await;
            let log = log.lock().unwrap();
            // What had begun at the end came to its end.
            assert!(log.running.values().all(|running| *running == 0));
            log.overlaps
        });
        prop_assert_eq!(overlaps, 0);
    }
}
