//! Drift, end to end: what somebody else does in ACM or to a Secret is told and put right by the operator's next look.
//!
//! It needs a stand as the end-to-end suite does (`tests/e2e/main.rs`), with an operator that looks every few seconds:
//! `ARNKEEPER_DRIFT_INTERVAL=4s` and `ARNKEEPER_PUBLISH_INTERVAL=4s`. `make drift` sees to that.

#![expect(dead_code, reason = "the helpers are those of the end-to-end suite, which uses all of them")]

#[path = "../e2e/aws.rs"]
mod aws;
#[path = "../e2e/harness.rs"]
mod harness;
#[path = "../e2e/keeper.rs"]
mod keeper;
mod published;
mod secrets;
#[path = "../e2e/sim.rs"]
mod sim;
mod sources;
#[path = "../e2e/tls.rs"]
mod tls;
#[path = "../e2e/wait.rs"]
mod wait;

use aws::View;
use harness::{REGIONS, World, arn, target};
use wait::{Conditions, eventually, until};

use arnkeeper::api::{
    Certificate,
    certificate::TargetState,
    conditions::{DELIVERED, READY, STALLED},
};
use aws_sdk_acm::{primitives::Blob, types::Tag};
use jiff::SignedDuration;
use k8s_openapi::{api::core::v1::Event, apimachinery::pkg::apis::meta::v1::Time};
use kube::{ResourceExt, api::ListParams, api::PostParams};
use serde_json::json;

/// Somebody else who may change what ACM has.
struct Somebody {
    client: aws_sdk_acm::Client,
}

impl Somebody {
    async fn of(world: &World) -> Self {
        Self { client: aws_sdk_acm::Client::new(&aws::config(world, REGIONS[0]).await) }
    }

    /// Imports another self-signed certificate for this name under an ARN, as somebody else would; returns it.
    async fn import_over(&self, arn: &str, name: &str) -> tls::Cert {
        let mut params = rcgen::CertificateParams::new([name.to_owned()]).expect("a name");
        params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature, rcgen::KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages =
            vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth, rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let key = rcgen::KeyPair::generate().expect("a key");
        let own = params.self_signed(&key).expect("a certificate");
        let import = self.client.import_certificate().certificate_arn(arn).certificate(Blob::new(own.pem()));
        import.private_key(Blob::new(key.serialize_pem())).send().await.expect("an import");
        tls::Cert::first(&own.pem())
    }

    /// Deletes a certificate, as somebody else would.
    async fn delete(&self, arn: &str) {
        self.client.delete_certificate().certificate_arn(arn).send().await.expect("it can be deleted");
    }

    /// Sets a tag.
    async fn tag(&self, arn: &str, key: &str, value: &str) {
        let tag = Tag::builder().key(key).value(value).build().expect("a tag");
        self.client.add_tags_to_certificate().certificate_arn(arn).tags(tag).send().await.expect("a tag");
    }

    /// Takes tags away.
    async fn untag(&self, arn: &str, keys: &[&str]) {
        let tags = keys.iter().map(|key| Tag::builder().key(*key).build().expect("a tag")).collect();
        let remove = self.client.remove_tags_from_certificate().certificate_arn(arn).set_tags(Some(tags));
        remove.send().await.expect("tags can be removed");
    }
}

/// A delivered Certificate `app`, ACM as somebody else sees it, and its ARN.
async fn delivered(test: &str) -> (World, aws::Authority, View, String) {
    let (world, authority) = World::new(test).await;
    let spec = json!({ "acm": [{ "name": "edge", "tags": { "team": "pay" } }] });
    let certificate = world.issued("app", &authority, spec).await;
    settled(&world, "app").await;
    let acm = world.acm(REGIONS[0]).await;
    (world, authority, acm, arn(&certificate, "edge"))
}

/// ACM shows an import after at most a minute, and no look comes before: by the status, that minute is over.
async fn settled(world: &World, name: &str) {
    eventually("the import is two minutes older", || async {
        let mut certificate = world.certificates().get(name).await.map_err(|e| e.to_string())?;
        for target in certificate.status.iter_mut().flat_map(|status| &mut status.targets) {
            let earlier = target.imported_at.as_ref().map(|at| Time(at.0 - SignedDuration::from_mins(2)));
            target.imported_at = earlier;
        }
        let stored = world.certificates().replace_status(name, &PostParams::default(), &certificate).await;
        stored.map(drop).map_err(|e| e.to_string())
    })
    .await;
}

/// Waits for the event about what was found; returns its note.
async fn told(world: &World, reason: &str) -> String {
    let events = world.api::<Event>();
    eventually(&format!("an event {reason}"), || async {
        let list = events.list(&ListParams::default()).await.map_err(|e| e.to_string())?;
        let reasons: Vec<_> = list.items.iter().filter_map(|e| e.reason.clone()).collect();
        let found = list.items.into_iter().find(|e| e.reason.as_deref() == Some(reason));
        found.and_then(|e| e.message).ok_or_else(|| format!("{reasons:?}"))
    })
    .await
}

/// Waits until the target is delivered, Ready, not Stalled, and `holds`.
async fn put_right(world: &World, what: &str, holds: impl Fn(&Certificate) -> bool) -> Certificate {
    until(&world.certificates(), "app", what, |c| {
        c.is(READY) && c.is(DELIVERED) && c.condition(STALLED).is_none() && holds(c)
    })
    .await
}

#[tokio::test]
async fn a_certificate_that_somebody_deleted_from_acm_is_imported_anew() {
    let (world, _authority, acm, old) = delivered("deleted").await;
    Somebody::of(&world).await.delete(&old).await;
    let note = told(&world, "Drift").await;
    assert!(note.contains(&old) && note.contains("deleted"), "{note}");
    let other = |c: &Certificate| target(c, "edge").arn.as_ref().is_some_and(|arn| arn.as_str() != old);
    let after = put_right(&world, "another ARN", other).await;
    assert_eq!(acm.arns().await, [arn(&after, "edge")]);
    assert_eq!(acm.certificate(&arn(&after, "edge")).await, *world.tls("app").await.leaf());
    world.assert_paid(1).await;
}

#[tokio::test]
async fn what_somebody_imported_over_it_is_replaced_under_the_same_arn() {
    if harness::Stand::get().await.sim_because("moto forgets the tags of what is imported over").is_none() {
        return;
    }
    let (world, _authority, acm, arn_before) = delivered("over").await;
    let theirs = Somebody::of(&world).await.import_over(&arn_before, &world.domain("app")).await;
    let note = told(&world, "Drift").await;
    assert!(note.contains("somebody else imported over it"), "{note}");
    let ours = world.tls("app").await.leaf().clone();
    assert_ne!(ours, theirs);
    eventually("ours is there again", || async {
        let there = acm.certificate(&arn_before).await;
        if there == ours { Ok(()) } else { Err(there.serial()) }
    })
    .await;
    put_right(&world, "the same ARN", |c| arn(c, "edge") == arn_before).await;
    assert_eq!(acm.arns().await, [arn_before]);
    world.assert_paid(1).await;
}

#[tokio::test]
async fn tags_that_somebody_took_away_or_changed_are_put_right() {
    let (world, _authority, acm, edge) = delivered("tags").await;
    let before = acm.tags(&edge).await;
    let ours: Vec<&str> = before.keys().map(String::as_str).filter(|key| key.starts_with("arnkeeper.dev/")).collect();
    assert!(ours.len() >= 4);
    let somebody = Somebody::of(&world).await;
    somebody.untag(&edge, &ours).await;
    somebody.tag(&edge, "team", "others").await;
    somebody.tag(&edge, "cost-centre", "42").await;
    told(&world, "Drift").await;
    let compared = |key: &str| key != "arnkeeper.dev/uid" && key != "cost-centre";
    eventually("the tags are as they were", || async {
        let mut now = acm.tags(&edge).await;
        assert_eq!(now.get("cost-centre").map(String::as_str), Some("42"), "not ours to remove");
        now.retain(|key, _| compared(key));
        let mut before = before.clone();
        before.retain(|key, _| compared(key));
        if now == before { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
    put_right(&world, "delivered again", |c| arn(c, "edge") == edge).await;
}

#[tokio::test]
async fn an_arn_written_into_a_status_is_noticed_and_left_alone() {
    for tagged in [false, true] {
        let (world, authority, acm, own) = delivered(if tagged { "stolen-tagged" } else { "stolen" }).await;
        let foreign = if tagged {
            // A neighbour's, with the neighbour's tags.
            let spec = json!({ "acm": [{ "name": "edge" }] });
            arn(&world.issued("neighbour", &authority, spec).await, "edge")
        } else {
            acm.import_foreign(&world.domain("app")).await
        };
        let (certificate, tags) = (acm.certificate(&foreign).await, acm.tags(&foreign).await);
        eventually("the status is changed", || async {
            let mut certificate = world.certificates().get("app").await.map_err(|e| e.to_string())?;
            let status = certificate.status.as_mut().ok_or("no status")?;
            status.targets[0].arn = Some(foreign.parse().map_err(|_| "not an ARN")?);
            status.targets[0].state = TargetState::Delivered;
            let stored = world.certificates().replace_status("app", &PostParams::default(), &certificate).await;
            stored.map_err(|e| e.to_string())
        })
        .await;
        world.stalled("app", "OwnershipUnknown").await;
        world.renew("app").await;
        let renewed = |c: &Certificate| c.status.as_ref().is_some_and(|s| s.revision == Some(2)) && c.is(STALLED);
        until(&world.certificates(), "app", "renewed, and still Stalled", renewed).await;
        assert_eq!(acm.certificate(&foreign).await, certificate, "it was imported over");
        assert_eq!(acm.tags(&foreign).await, tags);
        assert!(acm.arns().await.contains(&own));
    }
}

#[tokio::test]
async fn a_second_certificate_with_our_tags_is_taken_away() {
    let (world, authority, acm, kept) = delivered("twin").await;
    let twin = acm.import_twin(&kept, &world.tls("app").await, &authority).await;
    // Somebody else's first delivery makes a list, which shows it.
    let spec = json!({ "acm": [{ "name": "edge" }] });
    let later = jiff::Timestamp::now().as_second();
    let passed = || async move { (jiff::Timestamp::now().as_second() > later).then_some(()).ok_or_else(String::new) };
    eventually("the next second", passed).await;
    world.issued("other", &authority, spec).await;
    acm.gone(&twin).await;
    let note = told(&world, "TwinDeleted").await;
    assert!(note.contains(&twin), "{note}");
    put_right(&world, "the ARN it had", |c| arn(c, "edge") == kept).await;
}

#[tokio::test]
async fn looks_write_nothing_where_all_is_well() {
    let Some((world, authority, sim)) = World::on_sim("looks", "moto counts no calls").await else { return };
    world.issued("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
    put_right(&world, "delivered", |_| true).await;
    settled(&world, "app").await;
    let version = world.certificates().get("app").await.expect("the Certificate").resource_version();
    let lists = sim.calls(&world.id, "ListCertificates").await.len();
    let looks = || async { sim.calls(&world.id, "ListTagsForCertificate").await.len() };
    let before = looks().await;
    eventually("three looks", || async {
        let now = looks().await;
        if now >= before + 3 { Ok(()) } else { Err(format!("{before} to {now}")) }
    })
    .await;
    assert_eq!(sim.calls(&world.id, "ListCertificates").await.len(), lists, "no list is made for a look");
    assert_eq!(sim.effective(&world.id, "ImportCertificate").await, 1);
    assert_eq!(world.certificates().get("app").await.expect("the Certificate").resource_version(), version);
}

#[tokio::test]
async fn what_uses_it_is_told() {
    let Some((world, authority, sim)) = World::on_sim("users", "in moto nothing uses a certificate").await else {
        return;
    };
    let before = world.issued("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
    settled(&world, "app").await;
    let user = format!("arn:aws:elasticloadbalancing:eu-west-1:{}:loadbalancer/app/web/50dc6c495c0c9188", world.id);
    sim.in_use(&arn(&before, "edge"), &[&user]).await;
    put_right(&world, "its user", |c| target(c, "edge").in_use_by == [user.clone()]).await;
}
