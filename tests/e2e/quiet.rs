//! A quiet cluster is quiet: what is as it should be is not written to, whatever goes on around it.

use crate::harness::{World, secret_name};
use futures::future::join_all;
use kube::ResourceExt;
use serde_json::json;

/// The versions of a Certificate, its request and its Secret.
async fn versions(world: &World) -> [Option<String>; 3] {
    [
        world.certificates().get("quiet").await.expect("the Certificate").resource_version(),
        world.requests().get("quiet-1").await.expect("the request").resource_version(),
        world.secrets().get(&secret_name("quiet")).await.expect("the Secret").resource_version(),
    ]
}

#[tokio::test]
async fn a_converged_certificate_is_not_written_to() {
    let (world, authority) = World::new("quiet").await;
    let acm = json!({ "acm": [{ "name": "edge" }] });
    world.issued("quiet", &authority, acm.clone()).await;
    let before = versions(&world).await;
    let imports = imports(&world).await;
    // The account changes, which wakes the Certificate, and others come and are issued meanwhile.
    world.change(&world.accounts(), &world.account, json!({ "metadata": { "labels": { "touched": "yes" } } })).await;
    let names: Vec<String> = (0..4).map(|n| format!("busy-{n}")).collect();
    join_all(names.iter().map(|name| world.issued(name, &authority, acm.clone()))).await;
    world.renew("busy-0").await;
    world.revision("busy-0", 2).await;
    assert_eq!(versions(&world).await, before, "something was written to what needed nothing");
    if let Some(imports) = imports {
        let sim = world.stand.sim().expect("the emulator");
        let more = sim.effective(&world.id, "ImportCertificate").await - imports;
        assert_eq!(more, names.len() + 1, "each import has a reason");
    }
}

async fn imports(world: &World) -> Option<usize> {
    Some(world.stand.sim()?.effective(&world.id, "ImportCertificate").await)
}

#[tokio::test]
async fn a_request_is_not_written_to_once_it_is_signed() {
    let (world, authority) = World::new("signed").await;
    let csr = crate::tls::csr(&[&world.domain("app")]).1;
    world.request("app", &authority, json!({ "csr": csr })).await;
    let before = world.signed("app").await.resource_version();
    world.request("other", &authority, json!({ "csr": csr })).await;
    world.signed("other").await;
    let after = world.requests().get("app").await.expect("the request").resource_version();
    assert_eq!(after, before);
    world.assert_paid(2).await;
}
