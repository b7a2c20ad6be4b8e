use super::*;
use crate::{
    clock::ServerClock,
    kube::store::Gist,
    probes::{
        Health,
        stand_in::{after, all_but, until},
    },
};
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
        Self::beating(names, Health::default().pulse("the controller of the test"), Arc::default())
    }

    /// One that beats here; whoever holds `brake` stops its loop.
    fn beating(names: &[String], pulse: Pulse, brake: Arc<Mutex<()>>) -> Self {
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
        let (stop, mut stopped) = oneshot::channel();
        // The loop asks for its end in each of its rounds.
        let end = std::future::poll_fn(move |cx| {
            drop(brake.lock());
            stopped.poll_unpin(cx).map(drop)
        });
        let run = driver.clone().run(store, end, pulse);
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

/// A controller is alive as long as its loop goes round, whether or not there is anything to do.
#[test]
fn a_driver_gives_signs_of_life_until_its_loop_is_stuck_or_dead() {
    // A thread of its own: what is stuck there must not hold the test.
    let island = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let here = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    here.block_on(async {
        let health = Arc::new(Health::beating(Duration::from_millis(2)));
        let other = Running::beating(&[], health.pulse("the other one"), Arc::default());
        let brake = Arc::new(Mutex::new(()));
        let running = {
            let _there = island.enter();
            Running::beating(&[], health.pulse("the stuck one"), brake.clone())
        };
        all_but(&health, &[]).await;

        let (release, released) = std::sync::mpsc::channel::<()>();
        let (held, is_held) = oneshot::channel();
        let holder = std::thread::spawn(move || {
            let _held = brake.lock();
            held.send(()).unwrap();
            let _ = released.recv();
        });
        is_held.await.unwrap();
        // One more beat may be under way when the brake is pulled.
        until("it is stuck", async || {
            let moment = Instant::now();
            beats_after(&health, moment, "the other one").await;
            after(&health, moment).await.1 == ["the stuck one"]
        })
        .await;
        for _ in 0..10 {
            all_but(&health, &["the stuck one"]).await;
        }
        release.send(()).unwrap();
        holder.join().unwrap();
        all_but(&health, &[]).await;

        running.ended.abort();
        assert!(running.ended.await.unwrap_err().is_cancelled());
        for _ in 0..10 {
            all_but(&health, &["the stuck one"]).await;
        }
        other.end().await;
    });
}

/// Waits until this part gave a sign after that moment.
async fn beats_after(health: &Arc<Health>, moment: Instant, part: &str) {
    until(&format!("{part} beat"), async || !after(health, moment).await.1.iter().any(|told| told == part)).await;
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
