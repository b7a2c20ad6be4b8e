//! An AWS organization: its members come by themselves, and what becomes of each is told without disturbing the others.

use crate::{
    aws::Authority,
    harness::{World, random_account},
    sim::Sim,
    wait::{Conditions, eventually, gone, until},
};
use arnkeeper::api::{
    AwsAccount, SYNC_ANNOTATION,
    conditions::{ORGANIZATION_SYNCED, PERMISSIONS_VERIFIED, READY, STALLED},
};
use aws_sdk_organizations::types::OrganizationFeatureSet;
use k8s_openapi::api::core::v1::Event;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams},
};
use serde_json::{Value, json};

mod members;

const UNIT: &str = "ou-exam-11111111";
const USUAL: &str = "OrganizationAccountAccessRole";

/// An account of the organization, in the unit.
fn account(id: &str, state: &str) -> Value {
    json!({ "id": id, "name": format!("pay-{id}"), "state": state, "parent": UNIT })
}

/// What the emulator has from now on.
async fn put(sim: &Sim, manager: &str, accounts: &[Value]) {
    let units = json!([{ "id": UNIT, "name": "Payments" }]);
    sim.organization(json!({ "managementAccount": manager, "units": units, "accounts": accounts, "emptyPages": true }))
        .await;
}

/// The common role of a member, which trusts the management account alone.
async fn open(sim: &Sim, manager: &str, member: &str) {
    sim.trusting_role(&format!("arn:aws:iam::{member}:role/{USUAL}"), manager).await;
}

/// Rules by which the world's namespace may use all members.
fn rules(world: &World) -> Value {
    json!([{ "set": { "allowedNamespaces": { "from": "Names", "names": [world.namespace] } } }])
}

async fn synced(world: &World, accounts: i64, ready: i64) -> AwsAccount {
    let what = format!("{ready} of {accounts} members are ready");
    until(&world.accounts(), &world.account, &what, |a| {
        let status = a.status.as_ref().and_then(|s| s.organization.as_ref());
        a.is(ORGANIZATION_SYNCED) && status.is_some_and(|s| s.accounts == accounts && s.ready == ready)
    })
    .await
}

/// Has the organization read again.
async fn sync(world: &World) {
    let now = jiff::Timestamp::now().to_string();
    let patch = json!({ "metadata": { "annotations": { SYNC_ANNOTATION: now } } });
    world.change(&world.accounts(), &world.account, patch).await;
}

async fn member(world: &World, id: &str, reason: &str) -> AwsAccount {
    until(&world.accounts(), id, reason, |a| a.because(READY, reason)).await
}

fn failing(org: &AwsAccount) -> Vec<(String, String)> {
    let status = org.status.as_ref().and_then(|s| s.organization.as_ref());
    status.iter().flat_map(|s| &s.failing).map(|f| (f.account_id.clone(), f.reason.clone())).collect()
}

/// An organization with these members, each of which can be entered.
async fn organization(test: &str, members: usize, more: Value) -> Option<(World, Sim, Vec<String>)> {
    let world = World::bare(test).await;
    let sim = world.stand.sim_because("moto's organizations can't be arranged at will")?;
    let ids: Vec<String> = (0..members).map(|_| random_account()).collect();
    for id in &ids {
        open(&sim, &world.id, id).await;
    }
    put(&sim, &world.id, &ids.iter().map(|id| account(id, "ACTIVE")).collect::<Vec<_>>()).await;
    let mut organization = json!({ "rules": rules(&world) });
    crate::harness::merge(&mut organization, more);
    world.open_account(json!({ "organization": organization })).await;
    Some((world, sim, ids))
}

/// The world as one of the organization's accounts.
fn within(world: &World, id: &str) -> World {
    World { id: id.to_owned(), account: id.to_owned(), ..world.clone() }
}

/// An account in a unit of a new organization that the world's account manages, made as its administrator would.
async fn made_by_its_administrator(world: &World) -> String {
    let client = aws_sdk_organizations::Client::new(&crate::aws::config(world, "us-east-1").await);
    client.create_organization().feature_set(OrganizationFeatureSet::All).send().await.expect("an organization");
    let roots = client.list_roots().send().await.expect("a root").roots.unwrap_or_default();
    let root = roots[0].id().expect("an id");
    let unit = client.create_organizational_unit().parent_id(root).name("Payments").send().await.expect("a unit");
    let unit = unit.organizational_unit.and_then(|unit| unit.id).expect("an id");
    let made = client.create_account().account_name("pay").email("pay@example.com").send().await.expect("an account");
    let id = made.create_account_status.and_then(|status| status.account_id).expect("an id");
    let moved = client.move_account().account_id(&id).source_parent_id(root).destination_parent_id(unit).send().await;
    moved.expect("the account is moved");
    id
}

#[tokio::test]
async fn an_organization_is_read_as_either_emulator_tells_it() {
    let world = World::bare("org-both").await;
    let id = if let Some(sim) = world.stand.sim() {
        let id = random_account();
        open(&sim, &world.id, &id).await;
        put(&sim, &world.id, &[account(&id, "ACTIVE")]).await;
        sim.role(&within(&world, &id).role(), None).await;
        id
    } else {
        made_by_its_administrator(&world).await
    };
    world.open_account(json!({ "organization": { "rules": rules(&world) } })).await;
    synced(&world, 1, 1).await;
    let inside = within(&world, &id);
    let status = member(&world, &id, "Ready").await.status.expect("a status");
    assert_eq!((status.path.as_deref(), status.state.as_deref()), (Some("Root/Payments"), Some("ACTIVE")));
    let authority = Authority::new(&inside, json!({})).await;
    inside.issued("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
}

#[tokio::test]
async fn a_certificate_is_issued_in_a_member_account() {
    let Some((world, sim, ids)) = organization("org-issue", 25, json!({})).await else { return };
    synced(&world, 25, 25).await;
    let inside = within(&world, &ids[24]);
    let account = member(&world, &inside.id, "Ready").await;
    let status = account.status.as_ref().expect("a status");
    assert_eq!(status.path.as_deref(), Some("Root/Payments"));
    assert_eq!(status.account_name, Some(format!("pay-{}", inside.id)));
    assert_eq!((status.state.as_deref(), status.account_id.as_deref()), (Some("ACTIVE"), Some(&*inside.id)));
    assert_eq!(account.labels().get("arnkeeper.dev/organizational-unit").map(String::as_str), Some(UNIT));
    sim.role(&inside.role(), None).await;
    let authority = Authority::new(&inside, json!({})).await;
    inside.issued("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
    let assumed = sim.calls(&world.id, "AssumeRole").await;
    assert_eq!(assumed.iter().filter(|call| call.outcome == "ok").count(), 25, "each member is entered once");
}

#[tokio::test]
async fn a_member_account_reads_the_organization_through_the_management_role() {
    let world = World::bare("org-member").await;
    let Some(sim) = world.stand.sim_because("moto's organizations can't be arranged at will") else { return };
    let (manager, other) = (random_account(), random_account());
    put(&sim, &manager, &[account(&world.id, "ACTIVE"), account(&other, "ACTIVE")]).await;
    open(&sim, &manager, &other).await;
    open(&sim, &manager, &world.id).await;
    let role = format!("arn:aws:iam::{manager}:role/arnkeeper-organization");
    sim.trusting_role(&role, &world.id).await;
    world.open_account(json!({ "organization": { "managementRoleArn": role } })).await;
    let org = synced(&world, 2, 2).await;
    let status = org.status.as_ref().expect("a status");
    assert_eq!(status.account_id.as_deref(), Some(&*world.id));
    assert_eq!(status.organization.as_ref().map(|o| &*o.management_account_id), Some(&*manager));
}

#[tokio::test]
async fn members_join_leave_are_suspended_or_not_to_be_entered() {
    let Some((world, sim, ids)) = organization("org-change", 3, json!({ "rules": null })).await else { return };
    synced(&world, 3, 3).await;
    let (suspended, left) = (&ids[0], &ids[1]);
    let closed = random_account();
    put(&sim, &world.id, &[account(suspended, "SUSPENDED"), account(&ids[2], "ACTIVE"), account(&closed, "ACTIVE")])
        .await;
    sync(&world).await;
    gone(&world.accounts(), left).await;
    let stalled = member(&world, suspended, "AccountNotActive").await;
    assert!(stalled.is(STALLED) && stalled.message(READY).contains("SUSPENDED"));
    let refused = member(&world, &closed, "AccessDenied").await;
    assert!(refused.message(READY).contains("sts:AssumeRole"), "{}", refused.message(READY));
    let mut told = vec![(suspended.clone(), "AccountNotActive".to_owned()), (closed, "AccessDenied".to_owned())];
    told.sort();
    until(&world.accounts(), &world.account, "two of three members fail", |a| failing(a) == told).await;
    synced(&world, 3, 1).await;
    assert!(member(&world, &ids[2], "Ready").await.spec.allowed_namespaces.is_none(), "no rule: nobody");
}

#[tokio::test]
async fn a_member_that_leaves_while_it_is_used_stays_and_is_stalled() {
    let Some((world, sim, ids)) = organization("org-used", 2, json!({})).await else { return };
    synced(&world, 2, 2).await;
    let inside = within(&world, &ids[0]);
    sim.role(&inside.role(), None).await;
    let authority = Authority::new(&inside, json!({})).await;
    inside.issued("app", &authority, json!({})).await;
    put(&sim, &world.id, &[account(&ids[1], "ACTIVE")]).await;
    sync(&world).await;
    assert!(member(&world, &inside.id, "LeftOrganization").await.is(STALLED));
    let told = [(inside.id.clone(), "LeftOrganization".to_owned())];
    until(&world.accounts(), &world.account, "one of two members fails", |a| failing(a) == told).await;
    put(&sim, &world.id, &[account(&ids[0], "ACTIVE"), account(&ids[1], "ACTIVE")]).await;
    sync(&world).await;
    synced(&world, 2, 2).await;
}

#[tokio::test]
async fn an_organization_that_is_denied_half_way_changes_nothing() {
    let Some((world, sim, ids)) = organization("org-denied", 2, json!({})).await else { return };
    synced(&world, 2, 2).await;
    sim.deny(&world.id, &["organizations:ListAccountsForParent"]).await;
    put(&sim, &world.id, &[account(&ids[0], "ACTIVE")]).await;
    sync(&world).await;
    let told = |a: &AwsAccount| {
        a.because(ORGANIZATION_SYNCED, "AccessDenied")
            && a.is(READY)
            && a.message(STALLED).contains("ListAccountsForParent")
    };
    until(&world.accounts(), &world.account, "the missing action is named", told).await;
    assert!(member(&world, &ids[1], "Ready").await.metadata.deletion_timestamp.is_none());
    sim.allow(&world.id).await;
    sync(&world).await;
    synced(&world, 1, 1).await;
    gone(&world.accounts(), &ids[1]).await;
}

#[tokio::test]
async fn what_is_known_is_kept_when_a_later_page_is_denied() {
    let Some((world, sim, ids)) = organization("org-page", 45, json!({})).await else { return };
    synced(&world, 45, 45).await;
    // The first page is an empty one; the second, with twenty accounts, comes yet.
    sim.error_after(&world.id, "ListAccounts", 2, "AccessDeniedException").await;
    sync(&world).await;
    let told = |a: &AwsAccount| {
        a.because(ORGANIZATION_SYNCED, "AccessDenied") && a.message(ORGANIZATION_SYNCED).contains("ListAccounts")
    };
    let account = until(&world.accounts(), &world.account, "it is told", told).await;
    let known = account.status.and_then(|s| s.organization).expect("what was known");
    assert_eq!((known.accounts, known.ready), (45, 45));
    for id in &ids {
        assert!(member(&world, id, "Ready").await.metadata.deletion_timestamp.is_none());
    }
    told_once(&world, "AccessDenied").await;
    sync(&world).await;
    synced(&world, 45, 45).await;
}

/// The warnings about the organization's AwsAccount with this reason.
async fn warnings(world: &World, reason: &str) -> Vec<String> {
    let about = format!("involvedObject.kind=AwsAccount,involvedObject.name={},reason={reason}", world.account);
    let events: Api<Event> = Api::all(world.stand.client.clone());
    let events = events.list(&ListParams::default().fields(&about)).await.expect("events").items;
    events.into_iter().filter_map(|event| event.message).collect()
}

async fn told_once(world: &World, reason: &str) -> String {
    eventually(&format!("an event {reason}"), || async {
        match &*warnings(world, reason).await {
            [one] => Ok(one.clone()),
            others => Err(format!("{} of them", others.len())),
        }
    })
    .await
}

#[tokio::test]
async fn throttling_passes_and_is_told_only_if_it_lasts() {
    let Some((world, sim, ids)) = organization("org-throttled", 25, json!({})).await else { return };
    synced(&world, 25, 25).await;
    // Organizations has an error of its own for it (ListAccounts, Errors).
    sim.error(&world.id, "ListAccounts", Some(4), 400, "TooManyRequestsException").await;
    put(&sim, &world.id, &ids[..24].iter().map(|id| account(id, "ACTIVE")).collect::<Vec<_>>()).await;
    sync(&world).await;
    synced(&world, 24, 24).await;
    assert_eq!(sim.throttled(&world.id).await.len(), 4, "the page was asked for until it came");
    assert!(warnings(&world, "Throttled").await.is_empty(), "it was no news");
    sim.error(&world.id, "ListAccounts", None, 400, "TooManyRequestsException").await;
    let before = sim.throttled(&world.id).await.len();
    sync(&world).await;
    let told = |a: &AwsAccount| a.because(ORGANIZATION_SYNCED, "Throttled") && a.is(READY) && !a.is(STALLED);
    until(&world.accounts(), &world.account, "that it lasts is told", told).await;
    let tries = sim.throttled(&world.id).await.len() - before;
    assert!((5..80).contains(&tries), "{tries} in half a minute: slower than the pace of five a second");
    assert!(member(&world, &ids[0], "Ready").await.metadata.deletion_timestamp.is_none());
    told_once(&world, "Throttled").await;
    sim.heal(&world.id).await;
    sync(&world).await;
    synced(&world, 24, 24).await;
}

#[tokio::test]
async fn what_selects_or_matches_nothing_is_told_without_harm() {
    let more = json!({ "exclude": { "accountIds": ["999999999999"] } });
    let Some((world, _, ids)) = organization("org-nothing", 2, more).await else { return };
    let account = synced(&world, 2, 2).await;
    assert!(account.because(ORGANIZATION_SYNCED, "SyncedInPart"), "{}", account.message(ORGANIZATION_SYNCED));
    assert!(told_once(&world, "SyncedInPart").await.contains("exclude.accountIds: 999999999999"));
    let slip = json!({ "spec": { "organization": { "exclude": null, "rules": null,
        "include": { "organizationalUnitIds": ["ou-exam-99999999"] } } } });
    world.change(&world.accounts(), &world.account, slip).await;
    let told = |a: &AwsAccount| a.because(ORGANIZATION_SYNCED, "NothingSelected") && a.is(READY);
    until(&world.accounts(), &world.account, "an include that selects nobody is told", told).await;
    told_once(&world, "NothingSelected").await;
    for id in &ids {
        let there = member(&world, id, "Ready").await;
        assert!(there.metadata.deletion_timestamp.is_none() && there.spec.allowed_namespaces.is_some());
    }
}

#[tokio::test]
async fn two_objects_for_one_aws_account_are_told() {
    let world = World::bare("two-objects").await;
    if let Some(sim) = world.stand.sim() {
        sim.role(&world.role(), None).await;
    }
    world.open_account(json!({})).await;
    let twin = World { account: format!("{}-twin", world.account), ..world.clone() };
    twin.open_account(json!({})).await;
    for (own, other) in [(&world, &twin), (&twin, &world)] {
        let same =
            |a: &AwsAccount| a.is(READY) && a.status.as_ref().is_some_and(|s| s.same_account == [&*other.account]);
        until(&world.accounts(), &own.account, "the other one is told", same).await;
        assert!(told_once(own, "SameAwsAccount").await.contains(&other.account));
    }
    world.accounts().delete(&twin.account, &DeleteParams::default()).await.expect("deleted");
    let alone = |a: &AwsAccount| a.status.as_ref().is_some_and(|s| s.same_account.is_empty());
    until(&world.accounts(), &world.account, "it is alone again", alone).await;
}

#[tokio::test]
async fn a_persons_object_with_a_members_name_is_left_alone() {
    let world = World::bare("org-taken").await;
    let Some(sim) = world.stand.sim_because("moto's organizations can't be arranged at will") else { return };
    let id = random_account();
    let own = within(&world, &id);
    own.open_account(json!({})).await;
    put(&sim, &world.id, &[account(&id, "ACTIVE")]).await;
    world.open_account(json!({ "organization": {} })).await;
    assert_eq!(failing(&synced(&world, 0, 0).await), [(id.clone(), "NameTaken".to_owned())]);
    assert!(member(&world, &id, "Ready").await.owner_references().is_empty());
}

#[tokio::test]
async fn who_writes_from_account_by_hand_gets_nothing_by_it() {
    let Some((world, _, ids)) = organization("org-forged", 1, json!({})).await else { return };
    synced(&world, 1, 1).await;
    let forged = World { account: format!("forged-{}", ids[0]), id: ids[0].clone(), ..world.clone() };
    let credentials = json!({ "accessKeys": null, "fromAccount": { "name": world.account } });
    forged.make_account(json!({ "credentials": credentials })).await;
    assert!(member(&forged, &forged.account, "OrganizationNotAvailable").await.is(STALLED));
}

#[tokio::test]
async fn what_the_organization_needs_of_iam_is_told_by_name() {
    let Some((world, sim, _)) = organization("org-may-not", 1, json!({})).await else { return };
    synced(&world, 1, 1).await;
    let verified = |a: &AwsAccount| {
        let uses = a.status.as_ref().and_then(|s| s.permissions.clone()).map(|p| p.uses).unwrap_or_default();
        a.because(PERMISSIONS_VERIFIED, "Verified") && uses == ["organization"]
    };
    until(&world.accounts(), &world.account, "all that is needed is allowed", verified).await;
    sim.deny(&world.id, &["organizations:ListRoots"]).await;
    world.change(&world.accounts(), &world.account, json!({ "spec": { "quotas": { "ListAccounts": 6 } } })).await;
    let missing = |a: &AwsAccount| a.because(PERMISSIONS_VERIFIED, "PermissionsMissing");
    let account = until(&world.accounts(), &world.account, "what is missing is told", missing).await;
    let message = account.message(PERMISSIONS_VERIFIED);
    assert!(message.contains("organizations:ListRoots") && message.contains("--for organization`"), "{message}");
    sim.allow(&world.id).await;
}
