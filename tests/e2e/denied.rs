//! What ACM denies besides the calls of an import (those are in `faults.rs`): to read a certificate back, and all that is asked of
//! it where it issues one itself. Each is told with its action and its ARN, costs one call a look, loses nothing, and goes on when
//! it is allowed.

use crate::{
    acm_managed::{asked, exported, managed},
    aws::{Authority, Theirs, View},
    faults::{nudge, world},
    harness::{REGIONS, World, arn, secret_name},
    sim::Sim,
    wait::{Conditions, eventually, until},
};
use arnkeeper::api::{
    Certificate,
    conditions::{DELIVERED, READY, STALLED},
};
use serde_json::json;
use std::slice::from_ref;

/// A world in which an action is to be denied, and what ACM has in it.
struct Denied {
    world: World,
    authority: Authority,
    sim: Sim,
    acm: View,
    action: &'static str,
}

impl Denied {
    async fn new(test: &str, action: &'static str) -> Option<Self> {
        let (world, authority, sim) = world(test).await?;
        let acm = world.acm(REGIONS[0]).await;
        Some(Self { world, authority, sim, acm, action })
    }

    async fn deny(&self) {
        self.sim.deny(&self.world.id, &[self.action]).await;
    }

    /// Waits until `app` tells of it, in conditions alone, with this ARN; and until another Certificate is issued, which shows that
    /// time went by: it was called once for each look.
    async fn told(&self, of: &str) -> Certificate {
        let words = [self.action, "AccessDenied", "add it to the policy", of];
        let tells = |c: &Certificate| {
            c.is(STALLED) && c.conditions().iter().any(|c| words.iter().all(|word| c.message.contains(word)))
        };
        let told = until(&self.world.certificates(), "app", &format!("a condition says {words:?}"), tells).await;
        assert!(told.because(STALLED, "AccessDenied"), "{:?}", told.conditions());
        self.world.issued("other", &self.authority, json!({})).await;
        let operation = self.action.trim_start_matches("acm:");
        let calls = self.sim.calls(&self.world.id, operation).await;
        let denied = calls.iter().filter(|call| call.outcome == "AccessDeniedException").count();
        assert!((1..=4).contains(&denied), "{} was called {denied} times", self.action);
        told
    }

    async fn allow(&self) {
        self.sim.allow(&self.world.id).await;
        nudge(&self.world, "app").await;
    }

    /// How often something was done.
    async fn done(&self, operation: &str) -> usize {
        self.sim.effective(&self.world.id, operation).await
    }

    /// Whatever is denied, `app` is what it was.
    fn assert_as_before(told: &Certificate, before: &Certificate) {
        let known = |c: &Certificate| {
            let status = c.status.clone().expect("a status");
            (status.revision, status.serial_number, arn(c, "edge"))
        };
        assert_eq!(known(told), known(before));
        assert!(told.is(READY), "what is there is valid: {}", told.message(READY));
    }
}

#[tokio::test]
async fn to_request_a_certificate() {
    let Some(it) = Denied::new("deny-request", "acm:RequestCertificate").await else { return };
    let world = &it.world;
    it.deny().await;
    world.certificate("app", &it.authority, managed(&it.authority, &exported())).await;
    // There is none yet, so AWS names all that there may be.
    let told = it.told(&format!("arn:aws:acm:{}:{}:certificate/*", REGIONS[0], world.id)).await;
    assert!(!told.is(READY));
    assert_eq!((it.acm.arns().await.len(), asked(&told)), (0, 0), "what was refused is not counted");
    it.allow().await;
    let certificate = world.revision("app", 1).await;
    assert_eq!(it.acm.arns().await, [arn(&certificate, "edge")]);
    assert_eq!((it.done("RequestCertificate").await, asked(&certificate)), (1, 1));
    assert!(certificate.condition(STALLED).is_none());
}

#[tokio::test]
async fn to_export_its_key() {
    let Some(it) = Denied::new("deny-export", "acm:ExportCertificate").await else { return };
    let world = &it.world;
    it.deny().await;
    world.certificate("app", &it.authority, managed(&it.authority, &exported())).await;
    let told = it.told(&format!("arn:aws:acm:{}:{}:certificate/", REGIONS[0], world.id)).await;
    let edge = arn(&told, "edge");
    assert!(told.message(STALLED).contains(&edge) && !told.is(READY), "{}", told.message(STALLED));
    assert!(world.secrets().get_opt(&secret_name("app")).await.expect("an answer").is_none());
    it.allow().await;
    let certificate = world.revision("app", 1).await;
    assert_eq!((arn(&certificate, "edge"), it.acm.arns().await), (edge.clone(), vec![edge.clone()]));
    assert_eq!(*world.tls("app").await.leaf(), it.acm.certificate(&edge).await);
    assert_eq!(it.done("RequestCertificate").await, 1);
    assert!(certificate.condition(STALLED).is_none());
}

#[tokio::test]
async fn to_renew_it() {
    let Some(it) = Denied::new("deny-renew", "acm:RenewCertificate").await else { return };
    let world = &it.world;
    world.certificate("app", &it.authority, managed(&it.authority, &exported())).await;
    let before = world.revision("app", 1).await;
    let (edge, tls) = (arn(&before, "edge"), world.tls("app").await);
    it.deny().await;
    world.renew("app").await;
    Denied::assert_as_before(&it.told(&edge).await, &before);
    assert_eq!(world.tls("app").await.certificates, tls.certificates);
    assert_eq!(it.acm.certificate(&edge).await, *tls.leaf());
    it.allow().await;
    let after = world.revision("app", 2).await;
    assert_eq!((arn(&after, "edge"), it.acm.arns().await), (edge.clone(), vec![edge.clone()]));
    assert_ne!(it.acm.certificate(&edge).await, *tls.leaf());
    assert_eq!(*world.tls("app").await.leaf(), it.acm.certificate(&edge).await);
    assert_eq!((it.done("RenewCertificate").await, it.done("RequestCertificate").await), (1, 1));
    assert!(after.condition(STALLED).is_none());
}

/// Before it is taken over, what is there is read: whether ours would be refused over it.
#[tokio::test]
async fn to_read_what_is_to_be_taken_over() {
    let Some(it) = Denied::new("deny-adopt", "acm:GetCertificate").await else { return };
    let (world, acm) = (&it.world, &it.acm);
    let account = json!({ "spec": { "policy": { "adoption": "Any" } } });
    world.change(&world.accounts(), &world.account, account).await;
    let names = [world.domain("app")];
    let existing = acm.import_theirs(&Theirs { names: &names, key: it.authority.usual_key(), tags: &[] }).await;
    let theirs = acm.certificate(&existing).await;
    it.deny().await;
    let entry = json!([{ "name": "edge", "certificateArn": existing }]);
    world.certificate("app", &it.authority, json!({ "acm": entry })).await;
    assert!(!it.told(&existing).await.is(READY));
    assert_eq!(
        (it.done("IssueCertificate").await, it.done("ImportCertificate").await),
        (1, 1),
        "the other's, and theirs"
    );
    assert!(acm.tags(&existing).await.is_empty());
    it.allow().await;
    let certificate = world.revision("app", 1).await;
    assert_eq!((arn(&certificate, "edge"), acm.arns().await.as_slice()), (existing.clone(), from_ref(&existing)));
    assert_ne!(acm.certificate(&existing).await, theirs);
    assert_eq!(acm.certificate(&existing).await, *world.tls("app").await.leaf());
    assert_eq!((it.done("IssueCertificate").await, it.done("ImportCertificate").await), (2, 2));
}

/// Where its tags are gone, the certificate itself tells whose it is.
#[tokio::test]
async fn to_read_whose_it_is() {
    let Some(it) = Denied::new("deny-body", "acm:GetCertificate").await else { return };
    let (world, acm) = (&it.world, &it.acm);
    let tags = |team: &str| json!([{ "name": "edge", "tags": { "team": team } }]);
    world.certificate("app", &it.authority, json!({ "acm": tags("pay") })).await;
    let before = world.revision("app", 1).await;
    let edge = arn(&before, "edge");
    let ours = acm.tags(&edge).await;
    let keys: Vec<&str> = ours.keys().map(String::as_str).filter(|key| key.starts_with("arnkeeper.dev/")).collect();
    acm.untag(&edge, &keys).await;
    it.deny().await;
    world.change(&world.certificates(), "app", json!({ "spec": { "acm": tags("new") } })).await;
    Denied::assert_as_before(&it.told(&edge).await, &before);
    let left = acm.tags(&edge).await;
    assert_eq!(
        left.into_iter().collect::<Vec<_>>(),
        [("team".to_owned(), "pay".to_owned())],
        "it is not known whose it is"
    );
    it.allow().await;
    let mut wanted = ours;
    wanted.insert("team".into(), "new".into());
    wanted.remove("arnkeeper.dev/uid");
    eventually("all tags are there", || async {
        let mut now = acm.tags(&edge).await;
        now.remove("arnkeeper.dev/uid");
        if now == wanted { Ok(()) } else { Err(format!("{now:?}, not {wanted:?}")) }
    })
    .await;
    let right = |c: &Certificate| c.condition(STALLED).is_none() && c.is(READY) && c.is(DELIVERED);
    let after = until(&world.certificates(), "app", "put right", right).await;
    assert_eq!((arn(&after, "edge"), acm.arns().await), (edge.clone(), vec![edge]));
    assert_eq!((it.done("IssueCertificate").await, it.done("ImportCertificate").await), (2, 1));
}
