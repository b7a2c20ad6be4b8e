//! What becomes of members that leave, fail, or are changed by hand.

use super::*;
use crate::harness::REGIONS;
use arnkeeper::api::{ACCOUNT_STATE_ANNOTATION, Certificate, DISCOVERED_BY_LABEL, account::NamespacesFrom};

/// What the discovery of a member shows.
async fn shown(world: &World, id: &str) -> Vec<Certificate> {
    let by = ListParams::default().labels(&format!("{DISCOVERED_BY_LABEL}={id}"));
    world.certificates().list(&by).await.expect("Certificates").items
}

async fn shows(world: &World, id: &str, count: usize) -> Vec<Certificate> {
    eventually(&format!("{count} certificates of {id} are shown"), || async {
        let shown = shown(world, id).await;
        if shown.len() == count { Ok(shown) } else { Err(format!("{} are", shown.len())) }
    })
    .await
}

#[tokio::test]
async fn what_discovery_made_goes_with_a_member_and_what_people_wrote_holds_it() {
    let Some((world, sim, ids)) = organization("org-leaves", 2, json!({})).await else { return };
    synced(&world, 2, 2).await;
    let (empty, used) = (within(&world, &ids[0]), within(&world, &ids[1]));
    for inside in [&empty, &used] {
        sim.role(&inside.role(), None).await;
        let acm = inside.acm(REGIONS[0]).await;
        acm.import_named(&inside.domain("a")).await;
        acm.import_named(&inside.domain("b")).await;
    }
    let authority = Authority::new(&used, json!({})).await;
    used.issued("app", &authority, json!({})).await;
    let discovery = json!({ "spec": { "discovery": { "namespace": world.namespace } } });
    world.change(&world.accounts(), &world.account, discovery).await;
    shows(&world, &empty.id, 2).await;
    shows(&world, &used.id, 2).await;
    put(&sim, &world.id, &[]).await;
    sync(&world).await;
    gone(&world.accounts(), &empty.id).await;
    assert!(shown(&world, &empty.id).await.is_empty(), "they go before it");
    let note = told_once(&world, "MembersRemoved").await;
    assert!(note.contains(&empty.id) && note.contains("2 Certificates that discovery had made"), "{note}");
    assert!(member(&world, &used.id, "LeftOrganization").await.is(STALLED));
    assert_eq!(shown(&world, &used.id).await.len(), 2, "they go with it");
    let held = [(used.id.clone(), "LeftOrganization".to_owned())];
    until(&world.accounts(), &world.account, "it is held, and told", |a| failing(a) == held).await;
    world.certificates().delete("app", &DeleteParams::default()).await.expect("deleted");
    gone(&world.certificates(), "app").await;
    world.requests().delete_collection(&DeleteParams::default(), &ListParams::default()).await.expect("deleted");
    sync(&world).await;
    gone(&world.accounts(), &used.id).await;
    assert!(shown(&world, &used.id).await.is_empty());
    synced(&world, 0, 0).await;
}

#[tokio::test]
async fn a_member_that_is_changed_by_hand_is_put_right_at_once_and_without_a_call() {
    let Some((world, sim, ids)) = organization("org-by-hand", 2, json!({})).await else { return };
    synced(&world, 2, 2).await;
    let (accounts, id) = (world.accounts(), &*ids[0]);
    let lists = sim.calls(&world.id, "ListAccounts").await.len();
    let is_opened = |a: &AwsAccount| a.spec.allowed_namespaces.as_ref().is_some_and(|a| a.from == NamespacesFrom::All);
    let open = json!({ "spec": { "allowedNamespaces": { "from": "All", "names": null } } });
    assert!(is_opened(&world.change(&accounts, id, open).await));
    until(&accounts, id, "it is for those again that the rules name", |a| !is_opened(a)).await;
    let is_active = |a: &AwsAccount| a.annotations().get(ACCOUNT_STATE_ANNOTATION).is_some_and(|s| s == "ACTIVE");
    let state = json!({ "metadata": { "annotations": { ACCOUNT_STATE_ANNOTATION: "SUSPENDED" } } });
    assert!(!is_active(&world.change(&accounts, id, state).await));
    until(&accounts, id, "it is as active as it was", |a| is_active(a) && a.is(READY)).await;
    let before = accounts.get(id).await.expect("a member");
    accounts.delete(id, &DeleteParams::default()).await.expect("deleted");
    until(&accounts, id, "it is there again", |a| a.uid() != before.uid() && a.is(READY)).await;
    synced(&world, 2, 2).await;
    assert_eq!(sim.calls(&world.id, "ListAccounts").await.len(), lists, "what was read of the organization is known");
}

#[tokio::test]
async fn a_request_to_read_the_organization_tries_at_once_who_fails() {
    let Some((world, sim, ids)) = organization("org-again", 1, json!({})).await else { return };
    let closed = random_account();
    put(&sim, &world.id, &[account(&ids[0], "ACTIVE"), account(&closed, "ACTIVE")]).await;
    sync(&world).await;
    member(&world, &closed, "AccessDenied").await;
    synced(&world, 2, 1).await;
    open(&sim, &world.id, &closed).await;
    sync(&world).await;
    member(&world, &closed, "Ready").await;
    synced(&world, 2, 2).await;
}
