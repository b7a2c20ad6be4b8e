//! ARNs where they are needed: in annotations and ConfigMaps of other people, by server-side apply of these fields alone.

use crate::{
    aws::Authority,
    budget::requests,
    harness::{World, arn, let_publish},
    wait::{Conditions, eventually, gone, until},
};
use arnkeeper::{
    api::{
        Certificate,
        conditions::{PUBLISHED, READY, STALLED},
        publish::{ObjectRef, PublishedField},
    },
    core::certificate::published::{Version, applied},
};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        core::v1::{ConfigMap, Event, Service},
        networking::v1::{Ingress, NetworkPolicy},
    },
};
use kube::{
    Resource, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};

const ALB: &str = "alb.ingress.kubernetes.io/certificate-arn";
const NLB: &str = "service.beta.kubernetes.io/aws-load-balancer-ssl-cert";

/// A world in which the operator may publish.
async fn open(test: &str) -> (World, Authority) {
    let (world, authority) = World::new(test).await;
    let_publish(&world.stand.client, &world.namespace).await;
    (world, authority)
}

fn ingress_entry() -> Value {
    json!({ "target": "edge", "kind": "Ingress", "name": "web", "annotation": ALB })
}

fn key_entry(key: &str) -> Value {
    json!({ "target": "edge", "kind": "ConfigMap", "name": "arns", "configMapKey": key })
}

fn spec(publish: &[Value]) -> Value {
    json!({ "acm": [{ "name": "edge" }], "publish": publish })
}

async fn ingress(world: &World) -> Ingress {
    let backend = json!({ "service": { "name": "web", "port": { "number": 80 } } });
    let object = json!({ "metadata": { "name": "web", "annotations": { "example.com/mine": "kept" } },
        "spec": { "defaultBackend": backend } });
    world.make(&world.api::<Ingress>(), object).await
}

async fn config_map(world: &World, data: Value) -> ConfigMap {
    world.make(&world.api::<ConfigMap>(), json!({ "metadata": { "name": "arns" }, "data": data })).await
}

async fn annotation<K>(world: &World, name: &str, key: &str) -> Option<String>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    world.api::<K>().get(name).await.expect("the object").annotations().get(key).cloned()
}

async fn data(world: &World) -> std::collections::BTreeMap<String, String> {
    world.api::<ConfigMap>().get("arns").await.expect("the ConfigMap").data.unwrap_or_default()
}

/// Waits until all that is wanted is published.
async fn published(world: &World, name: &str) -> Certificate {
    until(&world.certificates(), name, "Published", |c| c.is(PUBLISHED) && c.is(READY)).await
}

/// Waits until publishing is in trouble for this reason; the Certificate is Ready all the same, and nothing is stalled.
async fn troubled(world: &World, name: &str, reason: &str) -> String {
    let certificate = until(&world.certificates(), name, reason, |c| c.because(PUBLISHED, reason)).await;
    assert!(certificate.is(READY) && certificate.condition(STALLED).is_none());
    assert!(certificate.condition(PUBLISHED).is_some_and(|c| c.status == "False"));
    certificate.message(PUBLISHED).to_owned()
}

/// What has failed is tried again at once after a change of the spec.
async fn touch(world: &World, name: &str) {
    let limit = world.certificates().get(name).await.expect("the Certificate").spec.history_limit;
    world.change(&world.certificates(), name, json!({ "spec": { "historyLimit": limit + 1 } })).await;
}

#[tokio::test]
async fn an_arn_is_written_where_it_is_needed_and_a_renewal_writes_nothing() {
    let (world, authority) = open("publish").await;
    ingress(&world).await;
    config_map(&world, json!({ "theirs": "kept" })).await;
    world
        .make(&world.api::<Service>(), json!({ "metadata": { "name": "web" }, "spec": { "ports": [{ "port": 443 }] } }))
        .await;
    world
        .make(&world.api::<NetworkPolicy>(), json!({ "metadata": { "name": "web" }, "spec": { "podSelector": {} } }))
        .await;
    let entries = [
        ingress_entry(),
        json!({ "target": "edge", "kind": "Service", "name": "web", "annotation": NLB }),
        key_entry("edge"),
        key_entry("again"),
        json!({ "target": "edge", "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "name": "web",
            "annotation": "example.com/arn" }),
    ];
    world.issued("app", &authority, spec(&entries)).await;
    let certificate = published(&world, "app").await;
    let edge = arn(&certificate, "edge");
    assert_eq!(annotation::<Ingress>(&world, "web", ALB).await.as_ref(), Some(&edge));
    assert_eq!(annotation::<Ingress>(&world, "web", "example.com/mine").await.as_deref(), Some("kept"));
    assert_eq!(annotation::<Service>(&world, "web", NLB).await.as_ref(), Some(&edge));
    assert_eq!(annotation::<NetworkPolicy>(&world, "web", "example.com/arn").await.as_ref(), Some(&edge));
    let in_map = data(&world).await;
    assert_eq!([&in_map["edge"], &in_map["again"], &in_map["theirs"]], [&edge, &edge, "kept"]);
    let map = world.api::<ConfigMap>().get("arns").await.expect("the ConfigMap");
    let managers = map.metadata.managed_fields.iter().flatten().filter_map(|m| m.manager.as_deref());
    assert_eq!(managers.filter(|m| *m == "arnkeeper/app").count(), 1);

    let versions = async || {
        let ingress = world.api::<Ingress>().get("web").await.expect("the Ingress").resource_version();
        (ingress, world.api::<ConfigMap>().get("arns").await.expect("the ConfigMap").resource_version())
    };
    let before = versions().await;
    world.renew("app").await;
    let renewed = world.revision("app", 2).await;
    assert_eq!(arn(&renewed, "edge"), edge);
    published(&world, "app").await;
    assert_eq!(versions().await, before);
    let made = requests(&world.namespace);
    for resource in ["ingresses", "services", "configmaps", "networkpolicies"] {
        let verbs: Vec<&str> = made.iter().filter(|(_, of)| of == resource).map(|(verb, _)| verb.as_str()).collect();
        assert_eq!(verbs, ["get", "patch"], "of {resource}");
    }
}

#[tokio::test]
async fn what_somebody_else_wrote_is_told_and_left_alone() {
    let (world, authority) = open("publish-conflict").await;
    config_map(&world, json!({ "edge": "mine", "theirs": "kept" })).await;
    ingress(&world).await;
    world.issued("app", &authority, spec(&[key_entry("edge"), ingress_entry()])).await;
    let message = troubled(&world, "app", "FieldConflict").await;
    assert!(message.contains("ConfigMap \"arns\"") && message.contains("set the same field"), "{message}");
    assert_eq!(data(&world).await["edge"], "mine");
    let certificate = world.certificates().get("app").await.expect("the Certificate");
    assert_eq!(annotation::<Ingress>(&world, "web", ALB).await, Some(arn(&certificate, "edge")), "the others go on");
    let events = world.api::<Event>();
    eventually("an event", || async {
        let list = events.list(&ListParams::default()).await.map_err(|e| e.to_string())?;
        let told = list.items.iter().filter(|e| e.reason.as_deref() == Some("FieldConflict")).count();
        if told == 1 { Ok(()) } else { Err(format!("{told} events")) }
    })
    .await;
    world.change(&world.api::<ConfigMap>(), "arns", json!({ "data": { "edge": null } })).await;
    touch(&world, "app").await;
    let certificate = published(&world, "app").await;
    assert_eq!(data(&world).await["edge"], arn(&certificate, "edge"));
}

#[tokio::test]
async fn two_certificates_share_a_config_map_and_what_is_withdrawn_is_taken_away() {
    let (world, authority) = open("publish-two").await;
    config_map(&world, json!({ "theirs": "kept" })).await;
    ingress(&world).await;
    world.issued("app", &authority, spec(&[key_entry("app"), key_entry("both"), ingress_entry()])).await;
    published(&world, "app").await;
    world.issued("other", &authority, spec(&[key_entry("other"), key_entry("both")])).await;
    let message = troubled(&world, "other", "FieldConflict").await;
    assert!(message.contains("arnkeeper/app"), "{message}");
    world.change(&world.certificates(), "other", json!({ "spec": { "publish": [key_entry("other")] } })).await;
    let other = published(&world, "other").await;
    let names = |data: std::collections::BTreeMap<String, String>| data.into_keys().collect::<Vec<_>>();
    assert_eq!(data(&world).await["other"], arn(&other, "edge"));
    assert_eq!(names(data(&world).await), ["app", "both", "other", "theirs"]);

    world.change(&world.certificates(), "app", json!({ "spec": { "publish": [key_entry("app")] } })).await;
    let app = published(&world, "app").await;
    assert_eq!(annotation::<Ingress>(&world, "web", ALB).await, None);
    assert_eq!(annotation::<Ingress>(&world, "web", "example.com/mine").await.as_deref(), Some("kept"));
    assert_eq!(names(data(&world).await), ["app", "other", "theirs"]);
    assert_eq!(app.status.map(|s| s.published.len()), Some(1));

    // What is published stays: an Ingress without its ARN would be an outage.
    world.certificates().delete("app", &DeleteParams::default()).await.expect("it is deleted");
    gone(&world.certificates(), "app").await;
    world.change(&world.certificates(), "other", json!({ "spec": { "publish": null } })).await;
    until(&world.certificates(), "other", "nothing published", |c| {
        c.is(READY) && c.condition(PUBLISHED).is_none() && c.status.as_ref().is_some_and(|s| s.published.is_empty())
    })
    .await;
    assert_eq!(names(data(&world).await), ["app", "theirs"]);
}

#[tokio::test]
async fn an_object_that_is_not_there_is_told_and_not_made() {
    let (world, authority) = open("publish-missing").await;
    world.issued("app", &authority, spec(&[ingress_entry()])).await;
    let message = troubled(&world, "app", "ObjectNotFound").await;
    assert!(message.contains("Ingress \"web\""), "{message}");
    assert!(world.api::<Ingress>().get_opt("web").await.expect("an answer").is_none(), "it was made");
    ingress(&world).await;
    let certificate = published(&world, "app").await;
    assert_eq!(annotation::<Ingress>(&world, "web", ALB).await, Some(arn(&certificate, "edge")));
}

/// What the operator relies on between its look and its write: the uid that it saw.
#[tokio::test]
async fn what_is_applied_with_a_uid_makes_no_object_and_changes_no_other() {
    let world = World::bare("publish-uid").await;
    let maps = world.api::<ConfigMap>();
    let object = ObjectRef { api_version: "v1".into(), kind: "ConfigMap".into(), name: "arns".into() };
    let field = PublishedField {
        annotation: None,
        config_map_key: Some("edge".into()),
        arn: "arn:aws:acm:eu-west-1:111122223333:certificate/11111111-2222-3333-4444-555555555555"
            .parse()
            .expect("an ARN"),
    };
    let read = Version { uid: "11111111-2222-3333-4444-555555555555".into(), resource_version: "1".into() };
    let patch = Patch::Apply(applied(&object, &read, &[field], false));
    let apply = async || maps.patch_metadata("arns", &PatchParams::apply("arnkeeper/app"), &patch).await;
    let missing = apply().await.expect_err("there is no such object");
    assert!(matches!(&missing, kube::Error::Api(status) if status.code == 409), "{missing}");
    assert!(maps.get_opt("arns").await.expect("an answer").is_none(), "it was made");
    config_map(&world, json!({ "theirs": "kept" })).await;
    let other = apply().await.expect_err("it is another object");
    assert!(matches!(&other, kube::Error::Api(status) if [409, 422].contains(&status.code)), "{other}");
    assert_eq!(data(&world).await.into_keys().collect::<Vec<_>>(), ["theirs"]);
}

#[tokio::test]
async fn kinds_that_can_not_be_published_to_are_told() {
    let (world, authority) = open("publish-kinds").await;
    let entry = |version: &str, kind: &str| json!({ "target": "edge", "apiVersion": version, "kind": kind, "name": "web", "annotation": "example.com/arn" });
    let cases = [
        ("nowhere.example/v1", "Nothing", "KindNotFound", "knows no kind Nothing in nowhere.example/v1"),
        ("networking.k8s.io/v1", "Nothing", "KindNotFound", "knows no kind Nothing"),
        ("networking.k8s.io/v1", "IngressClass", "PublishRefused", "lie in no namespace"),
        ("apps/v1", "Deployment", "PublishForbidden", "publish.kinds"),
    ];
    for (n, (version, kind, reason, words)) in cases.into_iter().enumerate() {
        let publish = json!([entry(version, kind)]);
        if n == 0 {
            world.issued("app", &authority, spec(&[entry(version, kind)])).await;
        } else {
            world.change(&world.certificates(), "app", json!({ "spec": { "publish": publish } })).await;
        }
        let message = troubled(&world, "app", reason).await;
        assert!(message.contains(words), "{message}");
    }
    // What can't be changed any more.
    let map = json!({ "metadata": { "name": "arns" }, "immutable": true, "data": { "a": "b" } });
    world.make(&world.api::<ConfigMap>(), map).await;
    world.change(&world.certificates(), "app", json!({ "spec": { "publish": [key_entry("edge")] } })).await;
    let message = troubled(&world, "app", "PublishRefused").await;
    assert!(message.contains("immutable"), "{message}");
}

#[tokio::test]
async fn without_the_right_the_value_that_gives_it_is_told() {
    let (world, authority) = World::new("publish-rights").await;
    config_map(&world, json!({})).await;
    world.issued("app", &authority, spec(&[key_entry("edge")])).await;
    let message = troubled(&world, "app", "PublishForbidden").await;
    assert!(message.contains("publish.kinds") && message.contains("ConfigMap"), "{message}");
    let_publish(&world.stand.client, &world.namespace).await;
    touch(&world, "app").await;
    let certificate = published(&world, "app").await;
    assert_eq!(data(&world).await["edge"], arn(&certificate, "edge"));
}
