//! The walk of the README's "Taking over from cert-manager", step by step. cert-manager itself is not here: the test plays its
//! part, and writes the Secret as it does.

use crate::{
    aws::{Authority, Theirs, View},
    harness::{REGIONS, World, arn},
    keeper::{Keeper, keep},
    tls::Tls,
    wait::Conditions,
};
use arnkeeper::api::{
    ADOPT_BY_ANNOTATION,
    conditions::{DELIVERED, STALLED},
};
use kube::ResourceExt;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    slice::from_ref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Looks at the Secret and at ACM all the time: both always have a whole pair for the name.
struct Witness {
    ends: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<usize>,
}

impl Witness {
    fn begin(world: &World, acm: View, arn: &str) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let (over, world, arn) = (ends.clone(), world.clone(), arn.to_owned());
        let task = tokio::spawn(async move {
            let name = world.domain("shop");
            let mut looks = 0;
            while !over.load(Ordering::Relaxed) {
                let secret = world.secrets().get("shop-tls").await.expect("the Secret is there");
                assert!(Tls::of(&secret).leaf().dns_names().contains(&name), "the Secret has no pair for {name}");
                let there = acm.certificate(&arn).await;
                assert!(there.dns_names().contains(&name) && there.serves(), "ACM has none for {name}");
                looks += 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            looks
        });
        Self { ends, task }
    }

    async fn end(self) {
        self.ends.store(true, Ordering::Relaxed);
        let looks = self.task.await.expect("at every moment there was a pair");
        assert!(looks > 3, "{looks} looks");
    }
}

/// An import takes all tags away in moto, and without them nothing is imported over a certificate that is not in the Secret any
/// more: what AWS keeps is put back there by hand.
async fn put_tags_back(world: &World, acm: &View, arn: &str, tags: &BTreeMap<String, String>) {
    for (key, value) in tags.iter().filter(|_| world.stand.sim().is_none()) {
        acm.tag(arn, key, value).await;
    }
}

/// As `kubectl -n payments patch awscert shop --type=merge`.
async fn patch(world: &World, spec: Value) {
    world.change(&world.certificates(), "shop", json!({ "spec": spec })).await;
}

#[tokio::test]
async fn the_walk_from_cert_manager_and_back_keeps_the_arn_without_an_interruption() {
    let world = World::bare("take-over").await;
    let authority = Authority::new(&world, json!({})).await;
    world.open_account(json!({ "policy": { "adoption": "Consent" } })).await;
    let acm = world.acm(REGIONS[0]).await;
    // cert-manager keeps the Secret, and somebody imported what was in it into ACM.
    let cert_manager = Keeper::with(authority.usual_key(), "Issuing CA of cert-manager");
    let names = [world.domain("shop")];
    keep(&world, "shop-tls", &cert_manager.pair(&names)).await;
    let by = format!("{}/shop", world.namespace);
    let theirs = Theirs { names: &names, key: authority.usual_key(), tags: &[(ADOPT_BY_ANNOTATION, &*by)] };
    let existing = acm.import_theirs(&theirs).await;
    let witness = Witness::begin(&world, world.acm(REGIONS[0]).await, &existing);

    // Side by side: cert-manager renews, ACM follows, under the ARN that is there.
    let mut manifest = json!({ "apiVersion": "arnkeeper.dev/v1beta1", "kind": "Certificate",
        "metadata": { "name": "shop" }, "spec": { "accountRef": { "name": world.account }, "region": REGIONS[0],
        "source": { "secretRef": { "name": "shop-tls" } }, "acm": [{ "name": "edge", "certificateArn": existing }] } });
    manifest["metadata"]["namespace"] = json!(world.namespace);
    world.make(&world.certificates(), manifest).await;
    assert_eq!(arn(&world.revision("shop", 1).await, "edge"), existing);
    let tags = acm.tags(&existing).await;
    let renewed = cert_manager.pair(&names);
    keep(&world, "shop-tls", &renewed).await;
    let look = json!({ "metadata": { "annotations": { "example.com/look": "1" } } });
    world.change(&world.certificates(), "shop", look).await;
    assert_eq!(arn(&world.revision("shop", 2).await, "edge"), existing);
    assert_eq!(acm.certificate(&existing).await, renewed.cert());
    put_tags_back(&world, &acm, &existing, &tags).await;
    world.assert_nothing_asked().await;

    // Over: cert-manager's Certificate is deleted, the Secret stays, and is given away by an annotation.
    let offer = json!({ "metadata": { "annotations": { ADOPT_BY_ANNOTATION: "shop" } } });
    world.change(&world.secrets(), "shop-tls", offer).await;
    patch(
        &world,
        json!({
            "source": { "secretRef": null, "privateCa": { "certificateAuthority": { "arn": authority.arn } } },
            "subject": { "domainName": names[0] }, "secret": { "name": "shop-tls" }, "duration": "168h",
        }),
    )
    .await;
    let certificate = world.revision("shop", 2).await;
    assert!(certificate.is(DELIVERED) && certificate.condition(STALLED).is_none());
    assert_eq!(*world.tls("shop").await.leaf(), renewed.cert(), "what is there is gone on with");
    world.assert_paid(0).await;
    world.renew("shop").await;
    assert_eq!(arn(&world.revision("shop", 3).await, "edge"), existing);
    let tls = world.tls("shop").await;
    assert!(tls.leaf().is_signed_by(&authority.certificate));
    assert_eq!(acm.certificate(&existing).await, *tls.leaf());
    let secret = world.secrets().get("shop-tls").await.expect("the Secret");
    assert!(!secret.annotations().contains_key(ADOPT_BY_ANNOTATION), "the offer is used up");
    put_tags_back(&world, &acm, &existing, &tags).await;
    world.assert_paid(1).await;

    // Back: the Secret is let go, and cert-manager's Certificate made again; `cmctl renew` has it issue at once.
    patch(
        &world,
        json!({ "source": { "privateCa": null, "secretRef": { "name": "shop-tls" } }, "subject": null, "secret": null }),
    )
    .await;
    let certificate = world.revision("shop", 3).await;
    assert_eq!(arn(&certificate, "edge"), existing);
    let released = json!({ "metadata": { "annotations": { "arnkeeper.dev/certificate": null, "arnkeeper.dev/revision": null,
        "arnkeeper.dev/issued-for": null, "arnkeeper.dev/renew-requested-at": null },
        "labels": { "app.kubernetes.io/managed-by": null } } });
    world.change(&world.secrets(), "shop-tls", released).await;
    let back = cert_manager.pair(&names);
    keep(&world, "shop-tls", &back).await;
    let look = json!({ "metadata": { "annotations": { "example.com/look": "2" } } });
    world.change(&world.certificates(), "shop", look).await;
    assert_eq!(arn(&world.revision("shop", 4).await, "edge"), existing);
    assert_eq!(acm.certificate(&existing).await, back.cert());

    witness.end().await;
    assert_eq!(acm.arns().await, from_ref(&existing), "there never was a second one");
    world.assert_paid(1).await;
    if let Some(sim) = world.stand.sim() {
        // Theirs, the adoption, cert-manager's renewal, ours, and cert-manager's again.
        assert_eq!(sim.effective(&world.id, "ImportCertificate").await, 5);
    }
}
