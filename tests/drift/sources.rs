//! A pair that somebody else keeps: what ACM has is put right from it, and what it is now is seen by the next look.

use super::{Somebody, settled, told};
use crate::{
    harness::{REGIONS, Stand, World, arn},
    keeper::{Keeper, keep},
    wait::eventually,
};
use serde_json::json;

#[tokio::test]
async fn what_acm_has_is_put_right_from_the_source() {
    if Stand::get().await.sim_because("moto forgets the tags of what is imported over").is_none() {
        return;
    }
    let world = World::bare("source-drift").await;
    world.open_account(json!({})).await;
    let (keeper, names, acm) = (Keeper::default(), [world.domain("app")], world.acm(REGIONS[0]).await);
    let first = keeper.pair(&names);
    keep(&world, "app-tls", &first).await;
    let manifest = json!({ "metadata": { "name": "app" }, "spec": { "accountRef": { "name": world.account }, "region": REGIONS[0],
        "source": { "secretRef": { "name": "app-tls" } }, "acm": [{ "name": "edge", "tags": { "team": "pay" } }] } });
    world.make(&world.certificates(), manifest).await;
    let edge = arn(&world.revision("app", 1).await, "edge");
    settled(&world, "app").await;
    let has = async |leaf: &crate::tls::Cert| {
        eventually("ACM has what is in the Secret", || async {
            let there = acm.certificate(&edge).await;
            if there == *leaf { Ok(()) } else { Err(there.serial()) }
        })
        .await;
    };
    let somebody = Somebody::of(&world).await;
    let theirs = somebody.import_over(&edge, &names[0]).await;
    let note = told(&world, "Drift").await;
    assert!(note.contains(&edge) && note.contains("imported over"), "{note}");
    has(&first.cert()).await;
    assert_ne!(acm.certificate(&edge).await, theirs);
    // Nobody touches the Certificate.
    let second = keeper.pair(&names);
    let kept = keep(&world, "app-tls", &second).await;
    has(&second.cert()).await;
    assert_eq!(arn(&world.revision("app", 2).await, "edge"), edge);
    let now = world.secrets().get("app-tls").await.expect("the Secret");
    assert_eq!(now.metadata.resource_version, kept.metadata.resource_version, "nobody wrote to it");
    world.assert_nothing_asked().await;
}
