//! Discovery where something is in its way, or where there is far more than usual.

use super::*;
use crate::budget::requests;
use arnkeeper::api::conditions::STALLED;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};

/// The regions of a message and of the counts: what was found in each.
fn by_region(account: &AwsAccount) -> Vec<(String, i64)> {
    status(account).regions.iter().map(|region| (region.region.to_string(), region.found)).collect()
}

#[tokio::test]
async fn a_region_that_is_denied_keeps_no_other_from_being_shown() {
    let world = bare("discovery-region").await;
    let Some(sim) = world.stand.sim_because("moto denies nobody") else { return };
    let (here, there) = (view(&world, 0).await, view(&world, 1).await);
    let (a, b) = (here.import_named(&world.domain("a")).await, there.import_named(&world.domain("b")).await);
    sim.error_in(&world.id, REGIONS[1], "ListCertificates", "AccessDeniedException").await;
    open(&world, json!({})).await;
    let account = discovered(&world).await;
    assert_eq!(found(&world).await.into_keys().collect::<Vec<_>>(), std::slice::from_ref(&a));
    assert_eq!(by_region(&account), [(REGIONS[0].to_owned(), 1)]);
    let message = account.message(DISCOVERED);
    assert!(account.because(DISCOVERED, "AccessDenied") && account.is(READY), "{message}");
    for part in [REGIONS[1], "acm:ListCertificates", "add it to the policy", "iam-policy"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(!message.contains(REGIONS[0]), "{message}");
    sim.heal(&world.id).await;
    let account = discover(&world).await;
    assert!(account.is(DISCOVERED), "{}", account.message(DISCOVERED));
    let mut all = [a, b];
    all.sort();
    assert_eq!(found(&world).await.into_keys().collect::<Vec<_>>(), all);
}

#[tokio::test]
async fn throttling_passes_by_itself_and_nothing_is_told_of_it() {
    let world = bare("discovery-throttled").await;
    let Some(sim) = world.stand.sim_because("moto throttles nobody") else { return };
    let arn = view(&world, 0).await.import_named(&world.domain("a")).await;
    // More than the SDK tries again.
    sim.error(&world.id, "ListCertificates", Some(7), 400, "ThrottlingException").await;
    open(&world, json!({})).await;
    let account = discovered(&world).await;
    assert!(account.is(DISCOVERED), "{}", account.message(DISCOVERED));
    assert_eq!(found(&world).await.into_keys().collect::<Vec<_>>(), [arn]);
    assert!(sim.throttled(&world.id).await.len() >= 7);
}

/// A namespace that is being deleted and does not go, since something in it has a finalizer.
async fn terminating(world: &World, name: &str) {
    let namespaces: Api<Namespace> = Api::all(world.stand.client.clone());
    world.make(&namespaces, json!({ "metadata": { "name": name } })).await;
    let maps: Api<ConfigMap> = Api::namespaced(world.stand.client.clone(), name);
    world.make(&maps, json!({ "metadata": { "name": "stays", "finalizers": ["example.com/stays"] } })).await;
    namespaces.delete(name, &DeleteParams::default()).await.expect("it can be deleted");
}

#[tokio::test]
async fn a_namespace_that_goes_is_told_and_the_others_are_filled() {
    let world = bare("discovery-goes").await;
    let ends = format!("{}-ends", world.namespace);
    let acm = view(&world, 0).await;
    let (a, b) = (acm.import_named(&world.domain("a")).await, acm.import_named(&world.domain("b")).await);
    terminating(&world, &ends).await;
    let rules = json!([{ "match": { "domains": [world.domain("b")] }, "set": { "namespace": ends } }]);
    open(&world, json!({ "rules": rules })).await;
    let account = discovered(&world).await;
    let message = account.message(DISCOVERED);
    assert!(account.because(DISCOVERED, "NamespaceUnavailable") && message.contains(&ends), "{message}");
    assert!(account.is(READY) && account.condition(STALLED).is_none(), "it is no reason to stop");
    assert_eq!(status(&account).found, 2);
    assert_eq!(found(&world).await.into_keys().collect::<Vec<_>>(), std::slice::from_ref(&a));
    told(&world, &name_of(&world, &a).await, "Observed").await;
    // Once more: the same, and at most one attempt more.
    let before = requests(&ends);
    let account = discover(&world).await;
    assert!(account.because(DISCOVERED, "NamespaceUnavailable"), "{}", account.message(DISCOVERED));
    let attempts = requests(&ends).len() - before.len();
    assert!(attempts <= 2, "{attempts} requests about a namespace that goes");
    let maps: Api<ConfigMap> = Api::namespaced(world.stand.client.clone(), &ends);
    world.change(&maps, "stays", json!({ "metadata": { "finalizers": null } })).await;
    let namespaces: Api<Namespace> = Api::all(world.stand.client.clone());
    gone(&namespaces, &ends).await;
    // Gone is no better than going; made anew, it is filled.
    assert!(discover(&world).await.because(DISCOVERED, "NamespaceUnavailable"));
    world.make(&namespaces, json!({ "metadata": { "name": ends } })).await;
    assert!(discover(&world).await.is(DISCOVERED));
    assert_eq!(found(&world).await.remove(&b).and_then(|shown| shown.namespace()), Some(ends));
}

#[tokio::test]
async fn more_than_a_page_is_shown_once_and_costs_nothing_after_that() {
    const MANY: usize = 1_200;
    let world = bare("discovery-many").await;
    let Some(sim) = world.stand.sim_because("moto has no way to put so many there at once") else { return };
    let many = sim.certificates(&world.id, REGIONS[0], &[world.domain("a")], MANY).await;
    let names: Vec<String> = (0..100).map(|n| world.domain(&format!("n{n}"))).collect();
    let long = sim.certificates(&world.id, REGIONS[1], &names, 1).await;
    open(&world, json!({})).await;
    let account = discovered(&world).await;
    assert!(account.is(DISCOVERED), "{}", account.message(DISCOVERED));
    assert_eq!(by_region(&account), [(REGIONS[0].to_owned(), 1_200), (REGIONS[1].to_owned(), 1)]);
    let shown = found(&world).await;
    assert!(shown.len() == MANY + 1 && many.iter().all(|arn| shown.contains_key(arn)));
    let subject = &shown[&long[0]].spec.subject;
    assert_eq!((&subject.domain_name, subject.additional_names.len()), (&names[0], 99));
    let lists = calls(&world, "ListCertificates").await.expect("the emulator");
    assert!(lists <= 3, "{lists} pages of a thousand were read for two regions");
    let specs = |all: &BTreeMap<String, Certificate>| -> Vec<Option<i64>> {
        all.values().map(|certificate| certificate.metadata.generation).collect()
    };
    let before = specs(&found(&world).await);
    let lists = calls(&world, "ListCertificates").await.expect("the emulator");
    discover(&world).await;
    assert!(calls(&world, "ListCertificates").await.expect("the emulator") <= lists + 3);
    // They are described meanwhile, at the pace of the quota: that is no change of theirs.
    assert_eq!(specs(&found(&world).await), before, "what did not change is not written to");
}

#[tokio::test]
async fn what_nobody_would_expect_in_acm_is_shown_as_far_as_it_can_be() {
    let world = bare("discovery-nonsense").await;
    let Some(sim) = world.stand.sim_because("moto answers as it likes") else { return };
    let acm = view(&world, 0).await;
    let arn = acm.import_named(&world.domain("a")).await;
    let nonsense = json!({ "Certificate": { "KeyAlgorithm": "ED25519", "SignatureAlgorithm": "ED25519",
        "Serial": "no number", "NotBefore": null, "NotAfter": null, "DomainName": "My own\u{7} certificate",
        "KeyUsages": null, "ExtendedKeyUsages": [{ "Name": "NEW_ONE", "OID": "1.2.3" }], "Status": "NEW_STATE" } });
    sim.fault(&world.id, "DescribeCertificate", None, json!({ "kind": "answer", "with": nonsense })).await;
    // Of the two, one has no key type that anybody knows, a name that is none, and no times.
    let other = format!("arn:aws:acm:{}:{}:certificate/12345678-0000-0000-0000-000000000001", REGIONS[0], world.id);
    let list = json!({ "CertificateSummaryList": [
        { "CertificateArn": arn, "DomainName": world.domain("a"), "SubjectAlternativeNameSummaries": [world.domain("a")],
          "KeyAlgorithm": "ED25519", "Type": "IMPORTED", "Status": "ISSUED", "InUse": false },
        { "CertificateArn": other, "DomainName": "My own\u{7} certificate", "SubjectAlternativeNameSummaries": ["", "*"],
          "KeyAlgorithm": "", "Type": "NEW_TYPE", "Status": "NEW_STATE" },
    ] });
    let only_here = json!({ "account": world.id, "region": REGIONS[0], "operation": "ListCertificates", "count": null,
        "effect": { "kind": "answer", "with": list } });
    sim.arrange_fault(only_here).await;
    open(&world, json!({})).await;
    let account = discovered(&world).await;
    assert_eq!(status(&account).found, 2, "{}", account.message(DISCOVERED));
    let shown = found(&world).await;
    assert!(shown[&other].name_any().starts_with("my-own-certificate-"), "{}", shown[&other].name_any());
    let certificate = told(&world, &shown[&arn].name_any(), "Observed").await;
    let status = certificate.status.as_ref().expect("a status");
    let known = status.found.as_ref().expect("what ACM says");
    assert_eq!((known.key_algorithm.as_deref(), known.state.as_str()), (Some("ED25519"), "NEW_STATE"));
    assert!(status.serial_number.is_none() && status.not_after.is_none());
    assert!(certificate.message(READY).contains("no known time"), "{}", certificate.message(READY));
    told(&world, &shown[&other].name_any(), "GoneFromAcm").await;
    sim.heal(&world.id).await;
    assert!(discover(&world).await.is(DISCOVERED));
}

#[tokio::test]
async fn rules_that_fit_nothing_change_nothing() {
    let world = bare("discovery-no-rule").await;
    let arn = view(&world, 0).await.import_named(&world.domain("a")).await;
    let set = json!({ "namespace": "nobody", "labels": { "team": "nobody" }, "owner": { "name": "Nobody" } });
    let rules: Vec<Value> = [
        json!({ "domains": ["*.nobody.example"] }),
        json!({ "tags": { "owner": "nobody" } }),
        json!({ "accountIds": ["111122223333"] }),
        json!({ "domains": [world.domain("a")], "regions": [REGIONS[1]] }),
    ]
    .into_iter()
    .map(|fits| json!({ "match": fits, "set": set }))
    .collect();
    open(&world, json!({ "rules": rules })).await;
    let account = discovered(&world).await;
    assert!(account.is(DISCOVERED), "{}", account.message(DISCOVERED));
    let shown = found(&world).await.remove(&arn).expect("it is shown");
    assert_eq!(shown.namespace(), Some(world.namespace.clone()));
    assert!(!shown.labels().contains_key("team") && shown.spec.owner.is_none());
}

#[tokio::test]
async fn what_an_account_showed_whose_credentials_broke_for_good_is_taken_over() {
    let world = bare("discovery-heir").await;
    if world.stand.sim_because("moto takes any credentials").is_none() {
        return;
    }
    let arn = view(&world, 0).await.import_named(&world.domain("a")).await;
    open(&world, json!({})).await;
    discovered(&world).await;
    let name = name_of(&world, &arn).await;
    let twin = World { account: format!("{}-twin", world.account), ..world.clone() };
    open(&twin, json!({})).await;
    discovered(&twin).await;
    assert!(discover(&twin).await.is(DISCOVERED) && found(&twin).await.is_empty(), "the first one shows it");
    world.put_credentials("AKIAI44QH8DHBEXAMPLE", "je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY").await;
    until(&world.accounts(), &world.account, "it is out for good", |a| !a.is(READY) && a.is(STALLED)).await;
    let account = discover(&twin).await;
    let message = account.message(DISCOVERED);
    assert!(account.is(DISCOVERED) && message.contains("taken over") && message.contains(&world.account), "{message}");
    assert_eq!((name_of(&twin, &arn).await, found(&world).await.len()), (name.clone(), 0));
    told(&world, &name, "Observed").await;
    let events: Api<Event> = Api::all(world.stand.client.clone());
    let about = format!("involvedObject.kind=AwsAccount,involvedObject.name={},reason=TakenOver", twin.account);
    eventually("an event tells of it", || async {
        let told = events.list(&ListParams::default().fields(&about)).await.map_err(|e| e.to_string())?.items;
        if told.len() == 1 { Ok(()) } else { Err(format!("{} do", told.len())) }
    })
    .await;
    // When the first one comes back, what is shown stays where it is.
    world.put_credentials(crate::harness::BASE_KEY.0, crate::harness::BASE_KEY.1).await;
    until(&world.accounts(), &world.account, "it can be used again", |a| a.is(READY)).await;
    discover(&world).await;
    assert!(discover(&twin).await.is(DISCOVERED));
    assert_eq!((name_of(&twin, &arn).await, found(&world).await.len()), (name, 0));
    // What is left behind by an account that was deleted is taken over, too.
    world.accounts().delete(&twin.account, &DeleteParams::default()).await.expect("deleted");
    gone(&world.accounts(), &twin.account).await;
    let account = discover(&world).await;
    assert!(account.is(DISCOVERED), "{}", account.message(DISCOVERED));
    assert_eq!((found(&world).await.len(), found(&twin).await.len()), (1, 0));
}
