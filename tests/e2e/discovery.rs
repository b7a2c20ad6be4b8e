//! Discovery: what is in ACM is shown as Certificates that are only watched, and nothing is written to AWS.

use crate::{
    aws::View,
    harness::{REGIONS, World},
    wait::{Conditions, eventually, gone, until},
};
use arnkeeper::api::{
    AwsAccount, Certificate, DISCOVER_ANNOTATION, DISCOVERED_BY_LABEL,
    certificate::Management,
    conditions::{DISCOVERED, READY},
    discovery::DiscoveryStatus,
};
use k8s_openapi::api::core::v1::Event;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams},
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

mod odd;

/// A namespace, and an account that can be entered; its AwsAccount is not made yet.
async fn bare(test: &str) -> World {
    let world = World::bare(test).await;
    if let Some(sim) = world.stand.sim() {
        sim.role(&world.role(), None).await;
    }
    world
}

/// An account that discovers into the world's namespace; `more` goes over the defaults.
async fn open(world: &World, more: Value) {
    let mut discovery = json!({ "namespace": world.namespace });
    crate::harness::merge(&mut discovery, more);
    world.open_account(json!({ "discovery": discovery })).await;
}

fn status(account: &AwsAccount) -> DiscoveryStatus {
    account.status.as_ref().and_then(|s| s.discovery.clone()).unwrap_or_default()
}

/// Waits until the first discovery came to its end.
async fn discovered(world: &World) -> AwsAccount {
    let ended = |a: &AwsAccount| status(a).last_run.is_some() && a.is_current();
    until(&world.accounts(), &world.account, "a discovery came to its end", ended).await
}

/// Has ACM looked through at once.
async fn discover(world: &World) -> AwsAccount {
    let now = jiff::Timestamp::now().to_string();
    let patch = json!({ "metadata": { "annotations": { DISCOVER_ANNOTATION: now } } });
    world.change(&world.accounts(), &world.account, patch).await;
    let answered = |a: &AwsAccount| status(a).requested_at.as_deref() == Some(&*now);
    until(&world.accounts(), &world.account, "the discovery that was asked for came to its end", answered).await
}

/// What was found through the world's account, everywhere, by ARN.
async fn found(world: &World) -> BTreeMap<String, Certificate> {
    let api: Api<Certificate> = Api::all(world.stand.client.clone());
    let by = ListParams::default().labels(&format!("{DISCOVERED_BY_LABEL}={}", world.account));
    let list = api.list(&by).await.expect("Certificates").items;
    let arn = |c: &Certificate| c.spec.acm[0].certificate_arn.as_ref().expect("an ARN").to_string();
    list.into_iter().map(|c| (arn(&c), c)).collect()
}

/// The name of the object that shows an ARN, in the world's namespace.
async fn name_of(world: &World, arn: &str) -> String {
    found(world).await.remove(arn).unwrap_or_else(|| panic!("{arn} is not shown")).name_any()
}

/// Waits until ACM's word on it is told.
async fn told(world: &World, name: &str, reason: &str) -> Certificate {
    until(&world.certificates(), name, reason, |c| c.because(READY, reason)).await
}

async fn view(world: &World, region: usize) -> View {
    world.acm(REGIONS[region]).await
}

#[tokio::test]
async fn what_is_in_acm_is_shown_and_goes_again() {
    let world = bare("discovery").await;
    let (here, there) = (view(&world, 0).await, view(&world, 1).await);
    let (a, b, c) = (
        here.import_named(&world.domain("a")).await,
        here.import_named(&world.domain("b")).await,
        there.import_named(&world.domain("c")).await,
    );
    if let Some(sim) = world.stand.sim() {
        sim.quotas(&world.id).await;
    }
    open(&world, json!({})).await;
    let account = discovered(&world).await;
    assert!(account.is(DISCOVERED), "{}", account.message(DISCOVERED));
    let counts = status(&account);
    assert_eq!((counts.found, counts.managed, counts.expired), (3, 0, 0));
    assert_eq!(counts.regions.iter().map(|r| r.found).collect::<Vec<_>>(), [2, 1]);
    for (arn, domain, region) in [(&a, "a", 0), (&b, "b", 0), (&c, "c", 1)] {
        let shown = told(&world, &name_of(&world, arn).await, "Observed").await;
        assert_eq!(shown.spec.subject.domain_name, world.domain(domain));
        assert_eq!(
            (shown.spec.region.as_str(), shown.spec.account_ref.name.as_str()),
            (REGIONS[region], &*world.account)
        );
        let status = shown.status.expect("a status");
        assert!(status.serial_number.is_some() && status.not_after.is_some() && status.accounts.is_none());
        assert_eq!(status.targets[0].arn.as_ref().map(ToString::to_string).as_ref(), Some(arn));
        assert_eq!(status.found.map(|f| (f.r#type, f.state)), Some(("IMPORTED".into(), "ISSUED".into())));
    }
    let versions = |all: &BTreeMap<String, Certificate>, arns: [&String; 2]| arns.map(|a| all[a].resource_version());
    let before = versions(&found(&world).await, [&a, &c]);
    let described = calls(&world, "DescribeCertificate").await;
    discover(&world).await;
    here.delete(&b).await;
    let name = name_of(&world, &b).await;
    discover(&world).await;
    told(&world, &name, "GoneFromAcm").await;
    assert_eq!(status(&discover(&world).await).found, 2);
    gone(&world.certificates(), &name).await;
    assert_eq!(versions(&found(&world).await, [&a, &c]), before, "what did not change is not written to");
    if let Some(described) = described {
        assert_eq!(described, 3, "each is described once");
        assert_eq!(calls(&world, "DescribeCertificate").await, Some(4), "and what is gone once more");
        let sim = world.stand.sim().expect("the emulator");
        assert!(sim.throttled(&world.id).await.is_empty(), "at the pace of the quotas");
        for write in ["ImportCertificate", "AddTagsToCertificate", "RemoveTagsFromCertificate", "DeleteCertificate"] {
            // Those of this test.
            let own = match write {
                "DeleteCertificate" => 1,
                "RemoveTagsFromCertificate" => 0,
                _ => 3,
            };
            assert_eq!(sim.effective(&world.id, write).await, own, "{write}");
        }
    }
}

/// How often AWS was asked, if the emulator tells.
async fn calls(world: &World, operation: &str) -> Option<usize> {
    Some(world.stand.sim()?.calls(&world.id, operation).await.len())
}

#[tokio::test]
async fn rules_say_where_and_whose() {
    let world = bare("discovery-rules").await;
    let other = World { namespace: format!("{}-shop", world.namespace), ..world.clone() };
    let acm = view(&world, 0).await;
    let (shop, pay) = (acm.import_named(&world.domain("shop")).await, acm.import_named(&world.domain("pay")).await);
    open(
        &world,
        json!({ "rules": [
            { "match": { "domains": [world.domain("shop")] },
              "set": { "namespace": other.namespace, "labels": { "team": "shop" }, "owner": { "name": "Shop" } } },
            { "match": { "tags": { "owner": "somebody else" } }, "set": { "labels": { "team": "pay" } } },
        ] }),
    )
    .await;
    let account = discovered(&world).await;
    assert!(account.because(DISCOVERED, "NamespaceUnavailable"), "{}", account.message(DISCOVERED));
    assert!(account.message(DISCOVERED).contains(&other.namespace));
    let shown = found(&world).await;
    assert_eq!(shown.keys().collect::<Vec<_>>(), [&pay]);
    assert_eq!(shown[&pay].labels().get("team").map(String::as_str), Some("pay"));
    other.make_namespace().await;
    assert!(discover(&world).await.is(DISCOVERED));
    let shown = told(&other, &name_of(&world, &shop).await, "Observed").await;
    assert_eq!(shown.labels().get("team").map(String::as_str), Some("shop"));
    assert_eq!(shown.spec.owner.and_then(|owner| owner.name).as_deref(), Some("Shop"));
    // Another rule: it moves.
    world.change(&world.accounts(), &world.account, json!({ "spec": { "discovery": { "rules": null } } })).await;
    let api = other.certificates();
    gone(&api, &shown.metadata.name.expect("a name")).await;
    let moved = found(&world).await;
    assert!(moved[&shop].namespace() == Some(world.namespace.clone()) && !moved[&shop].labels().contains_key("team"));
}

#[tokio::test]
async fn what_is_delivered_from_here_is_counted_and_not_shown() {
    let (world, authority) = World::new("discovery-own").await;
    world.issued("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
    let other = view(&world, 0).await.import_named(&world.domain("other")).await;
    let discovery = json!({ "spec": { "discovery": { "namespace": world.namespace } } });
    world.change(&world.accounts(), &world.account, discovery).await;
    let counts = status(&discovered(&world).await);
    assert_eq!((counts.found, counts.managed), (2, 1));
    assert_eq!(found(&world).await.into_keys().collect::<Vec<_>>(), [other]);
}

#[tokio::test]
async fn what_a_person_makes_a_managed_one_is_let_be() {
    let (world, authority) = World::new("discovery-managed").await;
    let arn = view(&world, 0).await.import_named(&world.domain("app")).await;
    let discovery = json!({ "spec": { "discovery": { "namespace": world.namespace } } });
    world.change(&world.accounts(), &world.account, discovery).await;
    discovered(&world).await;
    let name = name_of(&world, &arn).await;
    told(&world, &name, "Observed").await;
    let patch = json!({ "spec": { "management": "Managed", "secret": { "name": "app-tls" }, "duration": "168h",
        "source": { "privateCa": { "certificateAuthority": { "arn": authority.arn } } } } });
    world.change(&world.certificates(), &name, patch).await;
    // The account lets nobody take over what it has, so nobody keeps that alive.
    world.stalled(&name, "AdoptionRefused").await;
    assert_eq!(status(&discover(&world).await).managed, 0);
    view(&world, 0).await.delete(&arn).await;
    discover(&world).await;
    discover(&world).await;
    let there = world.certificates().get(&name).await.expect("it is there");
    assert_eq!((there.spec.management, there.spec.secret.name.as_str()), (Management::Managed, "app-tls"));
}

#[tokio::test]
async fn a_person_may_watch_a_certificate_too() {
    let world = bare("watched").await;
    let arn = view(&world, 0).await.import_named(&world.domain("app")).await;
    world.open_account(json!({})).await;
    let manifest = |name: &str, arn: &str| {
        json!({ "apiVersion": "arnkeeper.dev/v1beta1", "kind": "Certificate", "metadata": { "name": name },
            "spec": { "management": "Observe", "accountRef": { "name": world.account }, "region": REGIONS[0],
                "acm": [{ "name": "acm", "certificateArn": arn }] } })
    };
    world.make(&world.certificates(), manifest("mine", &arn)).await;
    let other = format!("{}0", &arn[..arn.len() - 1]);
    let other = if other == arn { format!("{}1", &arn[..arn.len() - 1]) } else { other };
    world.make(&world.certificates(), manifest("none", &other)).await;
    let status = told(&world, "mine", "Observed").await.status.expect("a status");
    assert!(status.serial_number.is_some() && status.not_after.is_some());
    told(&world, "none", "GoneFromAcm").await;
    // It is left to its owner, and not shown a second time.
    let discovery = json!({ "spec": { "discovery": { "namespace": world.namespace } } });
    world.change(&world.accounts(), &world.account, discovery).await;
    assert_eq!(self::status(&discovered(&world).await).found, 1);
    assert!(found(&world).await.is_empty());
    world.certificates().delete("mine", &DeleteParams::default()).await.expect("deleted");
    gone(&world.certificates(), "mine").await;
    view(&world, 0).await.certificate(&arn).await;
}

#[tokio::test]
async fn a_certificate_in_two_accounts_is_told() {
    let world = bare("discovery-two").await;
    let other = World { id: crate::harness::random_account(), ..world.clone() };
    let other = World { account: format!("discovery-two-{}", other.id), ..other };
    open(&world, json!({})).await;
    open(&other, json!({})).await;
    let own = rcgen::generate_simple_self_signed([world.domain("app")]).expect("a certificate");
    let mut names = vec![];
    for world in [&world, &other] {
        let arn = view(world, 0).await.import_pair(&own.cert.pem(), &own.signing_key.serialize_pem()).await;
        discover(world).await;
        names.push(name_of(world, &arn).await);
    }
    let two = |c: &Certificate| c.status.as_ref().is_some_and(|s| s.accounts == Some(2));
    let events: Api<Event> = world.api();
    for name in &names {
        until(&world.certificates(), name, "it is in two accounts", two).await;
        eventually("a warning", || async {
            let about = ListParams::default().fields(&format!("involvedObject.name={name},reason=InSeveralAccounts"));
            let told = events.list(&about).await.map_err(|e| e.to_string())?.items;
            told.first().map(|_| ()).ok_or_else(|| "no event".to_owned())
        })
        .await;
    }
}

#[tokio::test]
async fn a_list_that_is_denied_is_told_and_changes_nothing() {
    let world = bare("discovery-denied").await;
    let Some(sim) = world.stand.sim_because("moto denies nobody") else { return };
    let arn = view(&world, 0).await.import_named(&world.domain("app")).await;
    open(&world, json!({})).await;
    discovered(&world).await;
    let name = name_of(&world, &arn).await;
    told(&world, &name, "Observed").await;
    sim.deny(&world.id, &["acm:ListCertificates"]).await;
    let account = discover(&world).await;
    assert!(account.because(DISCOVERED, "AccessDenied") && account.is(READY), "{}", account.message(DISCOVERED));
    assert!(account.message(DISCOVERED).contains("acm:ListCertificates"));
    assert_eq!(status(&account).found, 1, "what was found before");
    sim.allow(&world.id).await;
    assert!(discover(&world).await.is(DISCOVERED));
    assert!(world.certificates().get(&name).await.expect("it is there").because(READY, "Observed"));
}

#[tokio::test]
async fn ten_thousand_in_one_account_are_looked_through_page_by_page() {
    let world = bare("discovery-many").await;
    let Some(sim) = world.stand.sim_because("moto's list knows no pages") else { return };
    let ended = json!({ "days": -1 });
    sim.many_certificates(&world.id, REGIONS[0], 9998, &world.domain("old"), ended).await;
    let named = json!({ "names": 100 });
    let live = sim.many_certificates(&world.id, REGIONS[0], 2, &world.domain("live"), named).await;
    sim.quotas(&world.id).await;
    // Pages are throttled all the same: somebody else lists, too.
    for well in [0, 5] {
        sim.error_after(&world.id, "ListCertificates", well, "ThrottlingException").await;
    }
    open(&world, json!({})).await;
    let account = discovered(&world).await;
    assert!(account.is(DISCOVERED), "{}", account.message(DISCOVERED));
    let counts = status(&account);
    assert_eq!((counts.found, counts.expired), (10_000, 9998));
    let shown = found(&world).await;
    assert_eq!(shown.keys().collect::<std::collections::BTreeSet<_>>(), live.iter().collect());
    for arn in &live {
        let subject = &shown[arn].spec.subject;
        assert_eq!(subject.additional_names.len(), 99, "{arn}");
        told(&world, &shown[arn].name_any(), "Observed").await;
    }
    let pages = sim.calls(&world.id, "ListCertificates").await;
    assert_eq!(pages.iter().filter(|call| call.outcome == "ok").count(), 11, "ten pages, and one of the other region");
    assert_eq!(sim.throttled(&world.id).await, ["ListCertificates", "ListCertificates"]);
}
