//! A certificate that is in ACM already is taken over under its ARN, with leave, or not touched at all.

use crate::{
    aws::{Authority, Theirs, View},
    harness::{REGIONS, World, arn, from, target},
    wait::{Conditions, eventually, until},
};
use arnkeeper::api::{
    Certificate,
    conditions::{DELIVERED, READY, STALLED},
};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::{
    Api, Client,
    api::{ListParams, PostParams},
};
use serde_json::{Value, json};
use std::slice::from_ref;

const CONSENT: &str = "arnkeeper.dev/adopt-by";

/// A world whose account lets be taken over what this says.
async fn world(test: &str, adoption: &str) -> (World, Authority, View) {
    let world = World::bare(test).await;
    let authority = Authority::new(&world, json!({})).await;
    world.open_account(json!({ "policy": { "adoption": adoption } })).await;
    let acm = world.acm(REGIONS[0]).await;
    (world, authority, acm)
}

/// A certificate of somebody else in ACM, for the name of the Certificate `app` and another.
async fn theirs(world: &World, authority: &Authority, acm: &View, tags: &[(&str, &str)]) -> String {
    let names = [world.domain("app"), world.domain("old")];
    acm.import_theirs(&Theirs { names: &names, key: authority.usual_key(), tags }).await
}

fn adopting(arn: &str) -> Value {
    json!({ "acm": [{ "name": "edge", "certificateArn": arn, "tags": { "team": "pay" } }] })
}

/// Nothing was bought, and what is in ACM is as it was.
async fn assert_left_alone(world: &World, acm: &View, arn: &str, before: &crate::tls::Cert, tags: usize) {
    world.assert_nothing_asked().await;
    assert!(world.requests().list(&ListParams::default()).await.expect("a list").items.is_empty());
    assert_eq!(acm.certificate(arn).await, *before);
    let now = acm.tags(arn).await;
    assert_eq!(now.len(), tags, "{now:?}");
}

#[tokio::test]
async fn what_its_owner_lets_go_is_taken_over_under_its_arn() {
    let (world, authority, acm) = world("adopt", "Consent").await;
    let by = format!("{}/app", world.namespace);
    let existing = theirs(&world, &authority, &acm, &[("owner", "somebody"), (CONSENT, &by)]).await;
    let before = acm.certificate(&existing).await;
    let certificate = world.issued("app", &authority, adopting(&existing)).await;

    assert!(certificate.is(DELIVERED) && certificate.condition(STALLED).is_none());
    assert_eq!(arn(&certificate, "edge"), existing);
    assert_eq!(acm.arns().await, from_ref(&existing), "there is no second one");
    let tls = world.tls("app").await;
    let there = acm.certificate(&existing).await;
    assert_eq!(there, *tls.leaf());
    assert_ne!((there.serial(), there.public_key()), (before.serial(), before.public_key()));
    let tags = acm.tags(&existing).await;
    let tag = |key: &str| tags.get(key).map(String::as_str);
    assert_eq!((tag("arnkeeper.dev/namespace"), tag("arnkeeper.dev/name")), (Some(&*world.namespace), Some("app")));
    assert_eq!((tag("arnkeeper.dev/target"), tag("team")), (Some("edge"), Some("pay")));
    assert_eq!(tag(CONSENT), None, "the consent is used up");
    // An import takes all tags away in moto.
    assert!(world.stand.sim().is_none() || tag("owner") == Some("somebody"));
    let adoption = target(&certificate, "edge").adoption.clone().expect("it is told");
    assert!(adoption.certificate_arn.as_str() == existing && adoption.adopted_at.is_some());
    assert_eq!(certificate.status.as_ref().expect("a status").history[0].trigger, "Adopted");
    world.assert_paid(1).await;
    if let Some(sim) = world.stand.sim() {
        assert_eq!(sim.effective(&world.id, "ImportCertificate").await, 2, "theirs, and ours over it");
    }

    // It is renewed under that ARN, whatever becomes of policy and spec.
    world.change(&world.accounts(), &world.account, json!({ "spec": { "policy": null } })).await;
    world.change(&world.certificates(), "app", json!({ "spec": { "acm": [{ "name": "edge" }] } })).await;
    world.renew("app").await;
    let renewed = world.revision("app", 2).await;
    assert_eq!(arn(&renewed, "edge"), existing);
    assert_eq!(acm.certificate(&existing).await, *world.tls("app").await.leaf());
}

#[tokio::test]
async fn what_was_only_watched_is_taken_over_when_it_is_to_be_managed() {
    let (world, authority, acm) = world("adopt-watched", "Any").await;
    let existing = theirs(&world, &authority, &acm, &[]).await;
    let before = acm.certificate(&existing).await;
    let mut manifest = world.certificate_manifest("app", &authority, adopting(&existing));
    let managed = json!({ "spec": { "management": "Managed", "source": manifest["spec"]["source"], "subject": manifest["spec"]["subject"],
        "secret": manifest["spec"]["secret"] } });
    for field in ["source", "subject", "secret"] {
        manifest["spec"].as_object_mut().expect("a spec").remove(field);
    }
    manifest["spec"]["management"] = json!("Observe");
    world.make(&world.certificates(), manifest).await;
    let watched = until(&world.certificates(), "app", "watched", |c| c.because(READY, "Observed")).await;
    assert_eq!(arn(&watched, "edge"), existing);
    assert_left_alone(&world, &acm, &existing, &before, 0).await;

    world.change(&world.certificates(), "app", managed).await;
    let certificate = world.revision("app", 1).await;
    assert_eq!(arn(&certificate, "edge"), existing);
    assert_eq!(acm.arns().await, from_ref(&existing), "there is no second one");
    assert_eq!(acm.certificate(&existing).await, *world.tls("app").await.leaf());
    assert!(certificate.is(DELIVERED) && certificate.status.as_ref().is_some_and(|s| s.found.is_none()));
    world.assert_paid(1).await;
}

#[tokio::test]
async fn without_consent_nothing_is_bought_until_it_is_given() {
    let (world, authority, acm) = world("adopt-consent", "Consent").await;
    let another = format!("{}/another", world.namespace);
    let existing = theirs(&world, &authority, &acm, &[(CONSENT, &another)]).await;
    let before = acm.certificate(&existing).await;
    world.certificate("app", &authority, adopting(&existing)).await;
    let certificate = world.stalled("app", "AdoptionRefused").await;
    let by = format!("{}/app", world.namespace);
    assert!(certificate.message(STALLED).contains(&by), "{}", certificate.message(STALLED));
    assert!(!certificate.is(READY));
    assert_left_alone(&world, &acm, &existing, &before, 1).await;
    acm.tag(&existing, CONSENT, &by).await;
    // Nobody tells of it: it is looked for after a minute.
    let certificate = world.ready("app").await;
    assert_eq!(arn(&certificate, "edge"), existing);
    world.assert_paid(1).await;
}

#[tokio::test]
async fn by_default_nothing_may_be_taken_over() {
    let (world, authority) = World::new("adopt-deny").await;
    let acm = world.acm(REGIONS[0]).await;
    let by = format!("{}/app", world.namespace);
    let existing = theirs(&world, &authority, &acm, &[(CONSENT, &by)]).await;
    let before = acm.certificate(&existing).await;
    world.certificate("app", &authority, adopting(&existing)).await;
    let certificate = world.stalled("app", "AdoptionRefused").await;
    assert!(certificate.message(STALLED).contains("Deny"), "{}", certificate.message(STALLED));
    assert_left_alone(&world, &acm, &existing, &before, 1).await;
    // A changed policy wakes those whom it lets.
    world.change(&world.accounts(), &world.account, json!({ "spec": { "policy": { "adoption": "Any" } } })).await;
    assert_eq!(arn(&world.ready("app").await, "edge"), existing);
}

#[tokio::test]
async fn what_another_cluster_keeps_is_left_alone_whatever_the_policy() {
    let (world, authority, acm) = world("adopt-others", "Any").await;
    let by = format!("{}/app", world.namespace);
    let tags = [
        ("arnkeeper.dev/cluster", "another"),
        ("arnkeeper.dev/namespace", &*world.namespace),
        ("arnkeeper.dev/name", "app"),
        ("arnkeeper.dev/target", "edge"),
        (CONSENT, &*by),
    ];
    let existing = theirs(&world, &authority, &acm, &tags).await;
    let before = acm.certificate(&existing).await;
    world.certificate("app", &authority, adopting(&existing)).await;
    let certificate = world.stalled("app", "AdoptionRefused").await;
    assert!(certificate.message(STALLED).contains("another cluster"), "{}", certificate.message(STALLED));
    assert_left_alone(&world, &acm, &existing, &before, tags.len()).await;
}

#[tokio::test]
async fn what_does_not_fit_is_told_all_at_once_before_anything_is_bought() {
    let (world, authority, acm) = world("adopt-misfit", "Any").await;
    let names = [world.domain("other")];
    let existing = acm.import_theirs(&Theirs { names: &names, key: authority.unusual_key(), tags: &[] }).await;
    let before = acm.certificate(&existing).await;
    world.certificate("app", &authority, adopting(&existing)).await;
    let certificate = world.stalled("app", "PreflightFailed").await;
    let message = certificate.message(STALLED);
    for part in [&*existing, &*names[0], "neither the type nor the size", "spec.privateKey"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_left_alone(&world, &acm, &existing, &before, 0).await;
}

#[tokio::test]
async fn what_is_not_there_is_told_and_nothing_is_imported_in_its_place() {
    let (world, authority, acm) = world("adopt-none", "Any").await;
    let missing = format!("arn:aws:acm:{}:{}:certificate/12345678-0000-0000-0000-000000000000", REGIONS[0], world.id);
    world.certificate("app", &authority, adopting(&missing)).await;
    let certificate = world.stalled("app", "AdoptionRefused").await;
    assert!(certificate.message(STALLED).contains(&missing), "{}", certificate.message(STALLED));
    world.assert_nothing_asked().await;
    assert!(acm.arns().await.is_empty());
    // Nor where it lies in another account.
    let elsewhere = missing.replace(&world.id, "111122223333");
    world.certificate("far", &authority, adopting(&elsewhere)).await;
    let certificate = world.stalled("far", "AdoptionRefused").await;
    assert!(certificate.message(STALLED).contains("another AWS account"), "{}", certificate.message(STALLED));
}

#[tokio::test]
async fn what_acm_issued_itself_can_not_be_taken_over() {
    let (world, authority, acm) = world("adopt-issued", "Any").await;
    let why = "what was issued is made of what was imported, by a control endpoint";
    let Some(sim) = world.stand.sim_because(why) else { return };
    let existing = theirs(&world, &authority, &acm, &[]).await;
    sim.certificate_type(&existing, "AMAZON_ISSUED").await;
    world.certificate("app", &authority, adopting(&existing)).await;
    let certificate = world.stalled("app", "AdoptionRefused").await;
    assert!(certificate.message(STALLED).contains("issued there"), "{}", certificate.message(STALLED));
    world.assert_nothing_asked().await;
    assert!(acm.tags(&existing).await.is_empty());
}

#[tokio::test]
async fn a_target_with_an_arn_of_its_own_keeps_it() {
    let (world, authority, acm) = world("adopt-second", "Any").await;
    let first = world.issued("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
    let own = arn(&first, "edge");
    let existing = theirs(&world, &authority, &acm, &[]).await;
    let before = acm.certificate(&existing).await;
    let both = json!({ "spec": { "acm": [{ "name": "edge", "certificateArn": existing }] } });
    world.change(&world.certificates(), "app", both).await;
    let certificate = world.stalled("app", "AdoptionConflict").await;
    assert!(certificate.is(READY) && arn(&certificate, "edge") == own);
    assert_eq!(acm.certificate(&existing).await, before);
    assert!(acm.tags(&existing).await.is_empty());
    // A target of another name may take it over, with the certificate that is there.
    let apart = json!({ "spec": { "acm": [{ "name": "edge" }, { "name": "old", "certificateArn": existing }] } });
    world.change(&world.certificates(), "app", apart).await;
    let certificate = world.revision("app", 1).await;
    assert_eq!((arn(&certificate, "edge"), arn(&certificate, "old")), (own, existing.clone()));
    assert_eq!(acm.certificate(&existing).await, *world.tls("app").await.leaf());
    world.assert_paid(1).await;
}

#[tokio::test]
async fn an_arn_that_was_named_stays_or_goes() {
    let (world, authority, acm) = world("adopt-named", "Deny").await;
    let existing = theirs(&world, &authority, &acm, &[]).await;
    world.certificate("app", &authority, adopting(&existing)).await;
    let other = existing.replace("certificate/", "certificate/0");
    let change = json!({ "spec": adopting(&other) });
    let patch = kube::api::Patch::Merge(change);
    let refused = world.certificates().patch("app", &kube::api::PatchParams::default(), &patch).await;
    let error = refused.expect_err("it is refused").to_string();
    assert!(error.contains("certificateArn of a target can't be changed"), "{error}");
    world.change(&world.certificates(), "app", json!({ "spec": { "acm": [{ "name": "edge" }] } })).await;
    let certificate = world.ready("app").await;
    assert_ne!(arn(&certificate, "edge"), existing);
}

/// A client of somebody who may edit Certificates in the world's namespace.
async fn editor(world: &World, name: &str) -> Client {
    let mut config = kube::Config::infer().await.expect("KUBECONFIG names a cluster");
    config.auth_info.impersonate = Some(name.to_owned());
    let role: Role = from(json!({ "metadata": { "name": "edit" }, "rules": [
        { "apiGroups": ["arnkeeper.dev"], "resources": ["awscertificates"], "verbs": ["create", "update", "patch", "get"] },
    ] }));
    let binding: RoleBinding = from(json!({ "metadata": { "name": "edit" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "edit" },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name }] }));
    world.api::<Role>().create(&PostParams::default(), &role).await.expect("a role");
    world.api::<RoleBinding>().create(&PostParams::default(), &binding).await.expect("a binding");
    Client::try_from(config).expect("a client")
}

#[tokio::test]
async fn to_name_what_is_taken_over_needs_the_verb_adopt() {
    let (world, authority, acm) = world("adopt-verb", "Any").await;
    let existing = theirs(&world, &authority, &acm, &[]).await;
    let user = format!("editor-of-{}", world.namespace);
    let theirs: Api<Certificate> = Api::namespaced(editor(&world, &user).await, &world.namespace);
    let make = async |spec: Value, dry_run: bool| {
        let certificate: Certificate = from(world.certificate_manifest("app", &authority, spec));
        theirs.create(&PostParams { dry_run, ..PostParams::default() }, &certificate).await
    };
    // Roles reach the authorizer by a watch.
    eventually("the editor may make Certificates", || async {
        make(json!({ "acm": [{ "name": "edge" }] }), true).await.map_err(|e| e.to_string())
    })
    .await;
    let refused = make(adopting(&existing), false).await.expect_err("it is refused").to_string();
    assert!(refused.contains(&format!("the verb adopt on the AwsAccount {}", world.account)), "{refused}");
    let role: ClusterRole = from(json!({ "metadata": { "name": world.account }, "rules": [
        { "apiGroups": ["arnkeeper.dev"], "resources": ["awsaccounts"], "resourceNames": [world.account], "verbs": ["adopt"] },
    ] }));
    let binding: ClusterRoleBinding = from(json!({ "metadata": { "name": world.account },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": world.account },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user }] }));
    let (roles, bindings) = (Api::all(world.stand.client.clone()), Api::all(world.stand.client.clone()));
    let _: ClusterRole = roles.create(&PostParams::default(), &role).await.expect("a role");
    let _: ClusterRoleBinding = bindings.create(&PostParams::default(), &binding).await.expect("a binding");
    eventually("the editor may adopt", || async { make(adopting(&existing), false).await.map_err(|e| e.to_string()) })
        .await;
    let certificate = world.ready("app").await;
    assert_eq!(arn(&certificate, "edge"), existing);
    // What is there already may be changed otherwise, without the verb; another account's is asked for by itself.
    bindings.delete(&world.account, &kube::api::DeleteParams::default()).await.expect("it can be deleted");
    roles.delete(&world.account, &kube::api::DeleteParams::default()).await.expect("it can be deleted");
    let change = |spec: Value| kube::api::Patch::Merge(json!({ "spec": spec }));
    let how = kube::api::PatchParams::default();
    eventually("the verb is gone", || async {
        let more =
            json!([{ "name": "edge", "certificateArn": existing }, { "name": "more", "certificateArn": existing }]);
        let dry = kube::api::PatchParams { dry_run: true, ..how.clone() };
        match theirs.patch("app", &dry, &change(json!({ "acm": more }))).await {
            Ok(_) => Err("it is allowed".to_owned()),
            Err(error) if error.to_string().contains("the verb adopt") => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    })
    .await;
    theirs.patch("app", &how, &change(json!({ "historyLimit": 7 }))).await.expect("it may be changed otherwise");
}
