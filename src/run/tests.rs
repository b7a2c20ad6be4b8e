use super::*;
use crate::{
    kube::stand_in::{Act, FakeApi},
    probes::stand_in::{after, all_but, until},
};
use std::time::Instant;

const OWN: &str = "the watch of Secrets in arnkeeper-system";
const SERVED: &str = "the watch of Secrets in payments";
const ELECTION: &str = "the leader election";

/// One that renews the Lease all the time, and waits for an answer as long as a test may.
fn config() -> Config {
    let hour = Duration::from_hours(1);
    let terms = Terms { duration: hour, renew_deadline: hour / 2, retry_period: Duration::from_millis(2) };
    Config {
        listen: ([127, 0, 0, 1], 0).into(),
        namespaces: vec!["payments".to_owned()],
        cluster: Some("test".to_owned()),
        own_namespace: "arnkeeper-system".to_owned(),
        instance: "arnkeeper-0".to_owned(),
        election: Some(("arnkeeper".to_owned(), terms)),
        endpoint_url: None,
        network: Network::default(),
        vault_token: None,
        drift_interval: SignedDuration::ZERO,
        publish_interval: SignedDuration::ZERO,
        metrics_per_certificate: false,
        ahead: SignedDuration::ZERO,
    }
}

/// The tasks of a process, as [`run_with`] begins them.
struct Started {
    health: Arc<Health>,
    operator: Operator,
    election: JoinHandle<Option<String>>,
    _stopping: flag::Sender<bool>,
    _end: oneshot::Sender<End>,
}

impl Started {
    fn new(api: &FakeApi) -> Self {
        let (config, clients, clock) = (config(), Clients::all(&api.client()), Arc::default());
        let health = Arc::new(Health::beating(Duration::from_millis(2)));
        let ((stopping, stopped), (end, told)) = (flag::channel(false), oneshot::channel());
        let cluster = "test".to_owned();
        let operator = Operator::start(&config, &clients, &clock, cluster, &health, &stopped, Mandate::none());
        let election = tokio::spawn(operator.election(&config, &clients, &clock, &health, told).unwrap());
        Self { health, operator, election, _stopping: stopping, _end: end }
    }

    /// The parts that have to give signs.
    fn parts(&self) -> Vec<String> {
        let much_later = Instant::now() + 2 * probes::SILENCE;
        let mut parts: Vec<_> = self.health.silent(much_later).into_iter().map(|(part, _)| part).collect();
        parts.sort_unstable();
        parts
    }
}

#[tokio::test]
async fn every_part_gives_signs_of_life_and_one_that_stops_is_told() {
    let api = FakeApi::default();
    let started = Started::new(&api);
    let mut all = [&WATCHES[..], &DRIVERS[..], &[OWN, SERVED, ELECTION][..]].concat();
    all.sort_unstable();
    until("every part has begun", async || started.parts() == all).await;
    until("it leads", async || started.operator.context.mandate.holds()).await;
    all_but(&started.health, &[]).await;
    for (part, path) in [
        (WATCHES[0], "/awsaccounts"),
        (WATCHES[1], "/awscertificates"),
        (WATCHES[2], "/awscertificaterequests"),
        (OWN, "/namespaces/arnkeeper-system/secrets"),
        (SERVED, "/namespaces/payments/secrets"),
        (ELECTION, "/leases/arnkeeper"),
    ] {
        api.does(path, Act::Hang);
        until(&format!("{part} has no answer"), async || api.hangs(path)).await;
        all_but(&started.health, &[part]).await;
        api.does(path, Act::Serve);
        all_but(&started.health, &[]).await;
    }
}

/// Before the stores are filled nobody decides, and nobody stands for the Lease: that is no sign of death.
#[tokio::test]
async fn who_waits_for_the_stores_is_not_dead() {
    let api = FakeApi::default();
    api.does("/awscertificates", Act::Hang);
    let started = Started::new(&api);
    until("a list has no answer", async || api.hangs("/awscertificates")).await;
    all_but(&started.health, &[WATCHES[1]]).await;
    let told = after(&started.health, Instant::now()).await.1;
    assert!(!told.iter().any(|part| DRIVERS.contains(&part.as_str()) || part == ELECTION), "{told:?}");
    assert_eq!(api.holder(), None);
    assert!(started.health.ready().is_err());
}

async fn ends(api: &FakeApi) -> String {
    let clients = Clients::all(&api.client());
    let run = run_with(config(), clients, Arc::default(), std::future::pending());
    let ended = tokio::time::timeout(Duration::from_mins(1), run).await.expect("the process ends");
    ended.expect_err("that is no orderly end").to_string()
}

#[tokio::test]
async fn the_process_ends_when_one_of_its_tasks_does() {
    for (part, path) in [
        (WATCHES[0], "/awsaccounts"),
        (WATCHES[1], "/awscertificates"),
        (WATCHES[2], "/awscertificaterequests"),
        (OWN, "/namespaces/arnkeeper-system/secrets"),
        (SERVED, "/namespaces/payments/secrets"),
    ] {
        let api = FakeApi::default();
        api.does(path, Act::Panic);
        assert_eq!(ends(&api).await, format!("{part} panicked, which it never should: it begins anew"));
    }
}

#[tokio::test]
async fn the_process_ends_when_its_election_does() {
    let api = FakeApi::default();
    api.does("/leases/arnkeeper", Act::Panic);
    assert_eq!(ends(&api).await, "the leader election ended, which it never should: it begins anew");
}

#[tokio::test]
async fn the_process_ends_when_another_one_leads() {
    let api = FakeApi::default();
    let taken = async {
        until("it leads", async || api.holder().is_some_and(|holder| holder.starts_with("arnkeeper-0_"))).await;
        api.give_lease("arnkeeper-1_0");
    };
    let (told, ()) = tokio::join!(ends(&api), taken);
    assert!(told.starts_with("the Lease went to arnkeeper-1_0"), "{told}");
}

#[tokio::test]
async fn the_process_ends_when_one_of_its_controllers_does() {
    for part in DRIVERS {
        let mut started = Started::new(&FakeApi::default());
        started.operator.drivers.spawn(part, std::future::ready(()));
        let ends = started.operator.ends(&mut started.election);
        let problem = tokio::time::timeout(Duration::from_mins(1), ends).await.expect("that is noticed");
        assert_eq!(problem.to_string(), format!("{part} ended by itself, which it never should: it begins anew"));
    }
}

#[tokio::test]
async fn the_process_ends_well_when_it_is_told_to() {
    let (api, (stop, stopped)) = (FakeApi::default(), oneshot::channel());
    let run = run_with(config(), Clients::all(&api.client()), Arc::default(), async move { drop(stopped.await) });
    let told = async {
        until("it leads", async || api.holder().is_some()).await;
        stop.send(()).unwrap();
    };
    let (ended, ()) = tokio::join!(run, told);
    assert!(ended.is_ok() && api.holder().is_none(), "{ended:?}, and the Lease is with {:?}", api.holder());
}
