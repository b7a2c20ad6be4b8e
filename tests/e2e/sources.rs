//! A Secret that somebody else keeps, such as cert-manager, is delivered to ACM, and never written to.

use crate::{
    bad_input::nonsense,
    harness::{REGIONS, World, arn, secret_name, target},
    keeper::{Keeper, Pair, keep, keep_data},
    tls::plain_serial,
    wait::{Conditions, gone, until},
};
use arnkeeper::api::{
    Certificate,
    certificate::TargetState,
    conditions::{DELIVERED, ISSUING, READY, STALLED},
};
use futures::future::join_all;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, PostParams},
};
use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384};
use serde_json::{Value, json};

/// How a pair, and a stranger's, lie in a Secret.
type Layout = fn(&Pair, &Pair) -> Value;

/// A namespace and an account, and nothing that could be paid for.
pub async fn bare(test: &str) -> World {
    let world = World::bare(test).await;
    world.open_account(json!({})).await;
    world
}

/// The manifest of a Certificate whose source is the Secret `<name>-tls`.
pub fn manifest(world: &World, name: &str, acm: &Value) -> Value {
    json!({ "apiVersion": "arnkeeper.dev/v1beta1", "kind": "Certificate",
        "metadata": { "name": name, "namespace": world.namespace }, "spec": {
            "accountRef": { "name": world.account }, "region": REGIONS[0],
            "source": { "secretRef": { "name": secret_name(name) } }, "acm": acm,
    } })
}

pub async fn sourced(world: &World, name: &str, acm: &Value) -> Certificate {
    world.make(&world.certificates(), manifest(world, name, acm)).await
}

pub fn edge() -> Value {
    json!([{ "name": "edge" }])
}

/// Nobody watches the Secrets of a whole cluster: any change of the Certificate makes it look.
pub async fn look(world: &World, name: &str) {
    let annotation = json!({ "example.com/look": jiff::Timestamp::now().to_string() });
    world.change(&world.certificates(), name, json!({ "metadata": { "annotations": annotation } })).await;
}

fn serial(certificate: &Certificate) -> String {
    plain_serial(certificate.status.as_ref().and_then(|s| s.serial_number.as_deref()).expect("a serial number"))
}

/// Nothing was asked for, and no key was made: besides the sources there is no Secret.
async fn assert_nothing_made(world: &World) {
    world.assert_nothing_asked().await;
    assert!(world.requests().list(&ListParams::default()).await.expect("a list").items.is_empty());
    for secret in world.secrets().list(&ListParams::default()).await.expect("a list").items {
        assert_eq!(secret.type_.as_deref(), Some("kubernetes.io/tls"), "{}", secret.name_any());
        let managers: Vec<_> = secret.managed_fields().iter().filter_map(|f| f.manager.as_deref()).collect();
        assert!(!managers.iter().any(|manager| manager.contains("arnkeeper")), "{managers:?}");
    }
}

#[tokio::test]
async fn what_cert_manager_keeps_is_imported_and_again_whenever_it_changes() {
    let world = bare("source").await;
    let (keeper, names) = (Keeper::default(), [world.domain("app")]);
    let first = keeper.pair(&names);
    let kept = keep(&world, "app-tls", &first).await;
    let acm = json!([{ "name": "edge", "tags": { "team": "pay" } }, { "name": "cdn", "region": REGIONS[1] }]);
    sourced(&world, "app", &acm).await;
    let certificate = world.revision("app", 1).await;
    assert!(certificate.is(DELIVERED) && certificate.condition(STALLED).is_none());
    assert!(certificate.condition(ISSUING).is_none(), "nothing is issued");
    let arns = ["edge", "cdn"].map(|name| arn(&certificate, name));
    let views = [world.acm(REGIONS[0]).await, world.acm(REGIONS[1]).await];
    for (view, arn) in views.iter().zip(&arns) {
        assert_eq!(view.certificate(arn).await, first.cert());
    }
    let status = certificate.status.clone().expect("a status");
    assert_eq!(serial(&certificate), first.cert().serial());
    assert!(status.not_before < status.not_after && status.renewal_time.is_none() && status.fingerprint.is_some());
    assert_eq!((status.history[0].trigger.as_str(), &status.history[0].request), ("Imported", &None));
    assert!(certificate.message(READY).contains("whoever keeps the Secret"), "{}", certificate.message(READY));

    let second = keeper.pair(&[names[0].clone(), world.domain("www")]);
    let changed = keep(&world, "app-tls", &second).await;
    look(&world, "app").await;
    let certificate = world.revision("app", 2).await;
    assert_eq!(["edge", "cdn"].map(|name| arn(&certificate, name)), arns);
    for (view, arn) in views.iter().zip(&arns) {
        assert_eq!(view.certificate(arn).await, second.cert());
        assert_eq!(view.arns().await, std::slice::from_ref(arn), "there is no second one");
    }
    // An import takes all tags away in moto.
    let tags = views[0].tags(&arns[0]).await;
    assert!(world.stand.sim().is_none() || tags.get("team").is_some_and(|team| team == "pay"));
    let history = certificate.status.clone().expect("a status").history;
    assert_eq!(history.iter().map(|h| h.trigger.as_str()).collect::<Vec<_>>(), ["SourceChanged", "Imported"]);
    let now = world.secrets().get("app-tls").await.expect("the Secret");
    assert_eq!(now.resource_version(), changed.resource_version(), "nobody wrote to it");
    assert_ne!(now.resource_version(), kept.resource_version());
    assert_nothing_made(&world).await;
}

#[tokio::test]
async fn the_chain_is_put_in_order_whatever_order_it_has() {
    let world = bare("source-chain").await;
    let keeper = Keeper::default();
    let (acm, stranger) = (world.acm(REGIONS[0]).await, Keeper::default().pair(&[world.domain("stranger")]));
    let layouts: [(&str, Layout); 4] = [
        ("first", |p, _| json!({ "tls.crt": format!("{}{}{}", p.root, p.intermediate, p.leaf), "tls.key": p.key })),
        (
            "twice",
            |p, _| json!({ "tls.crt": format!("{0}{1}{0}{1}", p.intermediate, p.leaf), "ca.crt": p.root, "tls.key": p.key }),
        ),
        (
            "apart",
            |p, _| json!({ "tls.crt": p.leaf, "ca.crt": format!("{}{}", p.root, p.intermediate), "tls.key": p.key }),
        ),
        ("more", |p, s| {
            json!({ "tls.crt": format!("{}{}{}", s.intermediate, p.leaf, p.intermediate),
            "ca.crt": format!("{}{}", s.root, p.root), "tls.key": p.key })
        }),
    ];
    join_all(layouts.into_iter().map(async |(name, layout)| {
        let pair = keeper.pair(&[world.domain(name)]);
        keep_data(&world, &secret_name(name), name, layout(&pair, &stranger)).await;
        sourced(&world, name, &edge()).await;
        // aws-sim takes no chain that is out of order.
        let certificate = world.revision(name, 1).await;
        assert_eq!(acm.certificate(&arn(&certificate, "edge")).await, pair.cert(), "{name}");
    }))
    .await;
    assert_nothing_made(&world).await;
}

#[tokio::test]
async fn what_can_not_be_used_is_told_and_the_last_import_stands() {
    let world = bare("source-bad").await;
    let (keeper, acm) = (Keeper::default(), world.acm(REGIONS[0]).await);
    join_all(nonsense().into_iter().enumerate().map(async |(n, (what, content))| {
        let (name, good) = (format!("app{n}"), keeper.pair(&[world.domain(&format!("app{n}"))]));
        let secret = secret_name(&name);
        keep(&world, &secret, &good).await;
        sourced(&world, &name, &edge()).await;
        let before = arn(&world.revision(&name, 1).await, "edge");
        let spoilt = json!({ "data": crate::bad_input::data(&content) });
        let stored: Secret = world.change(&world.secrets(), &secret, spoilt).await;
        look(&world, &name).await;
        let certificate = world.stalled(&name, "SourceInvalid").await;
        let message = certificate.message(STALLED);
        assert!(message.contains(&secret) && message.len() < 2000, "{what}: {message}");
        assert!(certificate.is(READY) && certificate.message(READY).contains("SourceInvalid"), "{what}");
        assert_eq!((arn(&certificate, "edge"), serial(&certificate)), (before.clone(), good.cert().serial()), "{what}");
        assert_eq!(acm.certificate(&before).await, good.cert(), "{what}");
        let now = world.secrets().get(&secret).await.expect("the Secret");
        assert_eq!(now.resource_version(), stored.resource_version(), "{what}: nobody wrote to it");
        // A good one again.
        let again = keeper.pair(&[world.domain(&name)]);
        keep(&world, &secret, &again).await;
        look(&world, &name).await;
        let certificate = world.revision(&name, 2).await;
        assert!(certificate.condition(STALLED).is_none(), "{what}");
        assert_eq!(acm.certificate(&before).await, again.cert(), "{what}");
    }))
    .await;
    assert_nothing_made(&world).await;
}

#[tokio::test]
async fn a_source_of_any_other_kind_is_told_and_nothing_is_imported() {
    let world = bare("source-kinds").await;
    let keeper = Keeper::default();
    let other = keeper.pair(&[world.domain("other")]);
    let pair = |name: &str| keeper.pair(&[world.domain(name)]);
    let whole = |p: &Pair, key: &str| json!({ "tls.crt": format!("{}{}", p.leaf, p.intermediate), "ca.crt": p.root, "tls.key": key });
    let cases = [
        ("foreign-key", whole(&pair("foreign-key"), &other.key), "SourceInvalid", "is the key of no certificate"),
        ("no-issuer", json!({ "tls.crt": pair("a").leaf, "tls.key": "" }), "SourceInvalid", "no tls.key"),
        (
            "no-chain",
            {
                let p = pair("no-chain");
                json!({ "tls.crt": p.leaf, "tls.key": p.key })
            },
            "PreflightFailed",
            "issuer is missing",
        ),
    ];
    let cases = cases.into_iter().map(async |(name, content, reason, words)| {
        keep_data(&world, &secret_name(name), name, content).await;
        sourced(&world, name, &edge()).await;
        let certificate = world.stalled(name, reason).await;
        assert!(certificate.message(STALLED).contains(words), "{}", certificate.message(STALLED));
        assert!(!certificate.is(READY) && certificate.because(READY, reason));
    });
    join_all(cases).await;
    // A Secret of the same name in another namespace is none.
    let elsewhere = World { namespace: format!("{}-b", world.namespace), ..world.clone() };
    elsewhere.make_namespace().await;
    keep(&elsewhere, "away-tls", &other).await;
    sourced(&world, "away", &edge()).await;
    let certificate = world.stalled("away", "SourceNotFound").await;
    assert!(!certificate.is(READY));
    // The type of a Secret can't be changed, so this one was made so.
    let opaque = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "opaque-tls" }, "stringData": other.data() });
    world.make(&world.secrets(), opaque).await;
    sourced(&world, "opaque", &edge()).await;
    let certificate = world.stalled("opaque", "SourceInvalid").await;
    assert!(certificate.message(STALLED).contains("kubernetes.io/tls"), "{}", certificate.message(STALLED));
    assert!(world.acm(REGIONS[0]).await.arns().await.is_empty(), "nothing was imported");
    world.assert_nothing_asked().await;
}

#[tokio::test]
async fn a_source_that_is_gone_keeps_its_import_and_goes_on_when_it_is_back() {
    let world = bare("source-gone").await;
    let (keeper, names, acm) = (Keeper::default(), [world.domain("app")], world.acm(REGIONS[0]).await);
    // First comes the Certificate.
    sourced(&world, "app", &edge()).await;
    let certificate = world.stalled("app", "SourceNotFound").await;
    assert!(!certificate.is(READY));
    let first = keeper.pair(&names);
    keep(&world, "app-tls", &first).await;
    look(&world, "app").await;
    let before = arn(&world.revision("app", 1).await, "edge");
    world.secrets().delete("app-tls", &DeleteParams::default()).await.expect("it can be deleted");
    look(&world, "app").await;
    let certificate = world.stalled("app", "SourceNotFound").await;
    assert!(certificate.is(READY) && target(&certificate, "edge").state == TargetState::Delivered);
    assert_eq!(acm.certificate(&before).await, first.cert());
    let second = keeper.pair(&names);
    keep(&world, "app-tls", &second).await;
    look(&world, "app").await;
    assert_eq!(arn(&world.revision("app", 2).await, "edge"), before);
    assert_eq!(acm.certificate(&before).await, second.cert());
    assert_nothing_made(&world).await;
}

#[tokio::test]
async fn what_acm_would_refuse_under_the_arn_is_told_and_not_tried() {
    let world = bare("source-misfit").await;
    let keeper = Keeper::with(&PKCS_ECDSA_P256_SHA256, "Issuing CA");
    let (names, acm) = ([world.domain("app")], world.acm(REGIONS[0]).await);
    let first = keeper.pair(&names);
    keep(&world, "app-tls", &first).await;
    sourced(&world, "app", &edge()).await;
    let before = arn(&world.revision("app", 1).await, "edge");
    let imports = async || match world.stand.sim() {
        Some(sim) => sim.calls(&world.id, "ImportCertificate").await.len(),
        None => 1,
    };
    let other_names = [world.domain("other")];
    for (pair, words) in [
        (keeper.pair_with(&names, &PKCS_ECDSA_P384_SHA384), "neither the type nor the size"),
        (keeper.pair(&other_names), "none of the domains"),
    ] {
        keep(&world, "app-tls", &pair).await;
        look(&world, "app").await;
        let certificate = until(&world.certificates(), "app", words, |c| {
            c.because(STALLED, "PreflightFailed") && c.message(STALLED).contains(words)
        })
        .await;
        assert!(!certificate.is(DELIVERED) && arn(&certificate, "edge") == before);
        assert_eq!(acm.certificate(&before).await, first.cert());
        assert_eq!(imports().await, 1);
    }
    let good = keeper.pair(&[names[0].clone(), other_names[0].clone()]);
    keep(&world, "app-tls", &good).await;
    look(&world, "app").await;
    let certificate = until(&world.certificates(), "app", "delivered", |c| c.is(READY) && c.is(DELIVERED)).await;
    assert_eq!((arn(&certificate, "edge"), serial(&certificate)), (before.clone(), good.cert().serial()));
    assert_eq!(acm.certificate(&before).await, good.cert());
    assert_nothing_made(&world).await;
}

#[tokio::test]
async fn a_temporary_certificate_of_cert_manager_is_not_imported() {
    let world = bare("source-temp").await;
    let names = [world.domain("app")];
    keep(&world, "app-tls", &Keeper::with(&PKCS_ECDSA_P256_SHA256, "cert-manager.local").pair(&names)).await;
    sourced(&world, "app", &edge()).await;
    let certificate = until(&world.certificates(), "app", "told", |c| c.because(READY, "SourceTemporary")).await;
    assert!(certificate.condition(STALLED).is_none(), "it passes by itself");
    let real = Keeper::default().pair(&names);
    keep(&world, "app-tls", &real).await;
    look(&world, "app").await;
    assert_eq!(serial(&world.revision("app", 1).await), real.cert().serial());
    assert_eq!(world.acm(REGIONS[0]).await.arns().await.len(), 1);
}

#[tokio::test]
async fn the_secret_of_another_certificate_is_a_source_as_any() {
    let (world, authority) = World::new("source-own").await;
    world.issued("app", &authority, json!({})).await;
    let other = json!({ "metadata": { "name": "copy" }, "spec": { "source": { "secretRef": { "name": "app-tls" } } } });
    let mut manifest = manifest(&world, "copy", &edge());
    crate::harness::merge(&mut manifest, other);
    world.make(&world.certificates(), manifest).await;
    let certificate = world.revision("copy", 1).await;
    let acm = world.acm(REGIONS[0]).await;
    assert_eq!(acm.certificate(&arn(&certificate, "edge")).await, *world.tls("app").await.leaf());
    world.assert_paid(1).await;
    let secret = world.secrets().get("app-tls").await.expect("the Secret");
    assert_eq!(secret.annotations().get("arnkeeper.dev/certificate").map(String::as_str), Some("app"));
}

#[tokio::test]
async fn it_goes_from_acm_and_the_secret_stays() {
    let world = bare("source-deleted").await;
    keep(&world, "app-tls", &Keeper::default().pair(&[world.domain("app")])).await;
    sourced(&world, "app", &json!([{ "name": "edge", "deletionPolicy": "Delete" }])).await;
    let before = arn(&world.revision("app", 1).await, "edge");
    world.certificates().delete("app", &DeleteParams::default()).await.expect("it can be deleted");
    gone(&world.certificates(), "app").await;
    world.acm(REGIONS[0]).await.gone(&before).await;
    world.secrets().get("app-tls").await.expect("the Secret is not ours to delete");
    assert_nothing_made(&world).await;
}

#[tokio::test]
async fn what_makes_no_sense_with_a_source_is_refused() {
    let world = World::bare("source-schema").await;
    let cases = [
        (json!({ "subject": { "domainName": "app.example" } }), "don't go with it"),
        (json!({ "secret": { "name": "app" } }), "don't go with it"),
        (json!({ "usages": ["server auth"] }), "don't go with it"),
        (json!({ "privateKey": {} }), "don't go with it"),
        (json!({ "issuance": {} }), "don't go with it"),
        (json!({ "renewal": { "before": "24h" } }), "don't go with it"),
        (json!({ "signature": {} }), "don't go with it"),
        (json!({ "budget": { "issuesPerDay": 1 } }), "don't go with it"),
        (json!({ "acm": null }), "at least one entry of acm"),
        (json!({ "acm": [] }), "at least one entry of acm"),
        (json!({ "source": { "privateCa": { "certificateAuthority": { "name": "CA" } } } }), "exactly one source"),
        (json!({ "source": { "secretRef": null } }), "exactly one source"),
        (json!({ "source": { "secretRef": { "name": "other-namespace/app" } } }), "spec.source.secretRef.name"),
        (json!({ "source": { "secretRef": { "name": null } } }), "spec.source.secretRef.name"),
    ];
    // As it is written: the type itself leaves out what is empty.
    let resource = ApiResource::erase::<Certificate>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(world.stand.client.clone(), &world.namespace, &resource);
    let how = PostParams { dry_run: true, ..PostParams::default() };
    for (change, words) in cases {
        let mut manifest = manifest(&world, "app", &edge());
        crate::harness::merge(&mut manifest["spec"], change.clone());
        let object: DynamicObject = crate::harness::from(manifest);
        let error = api.create(&how, &object).await.expect_err("it is refused").to_string();
        assert!(error.contains(words), "{change}: {error}");
    }
}
