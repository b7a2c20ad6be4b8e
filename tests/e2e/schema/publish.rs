//! Where ARNs may be published to.

use super::{CA, refused};
use crate::harness::merge;
use arnkeeper::api::Certificate;
use serde_json::{Value, json};

#[tokio::test]
async fn entries_of_publish() {
    let base = json!({ "apiVersion": "arnkeeper.dev/v1beta1", "kind": "Certificate",
        "metadata": { "name": "schema", "namespace": "default" }, "spec": {
            "accountRef": { "name": "prod" }, "region": "eu-west-1",
            "source": { "privateCa": { "certificateAuthority": { "arn": CA } } },
            "subject": { "domainName": "app.example" }, "secret": { "name": "app" },
            "acm": [{ "name": "edge" }],
            "publish": [
                { "target": "edge", "kind": "Ingress", "name": "web", "annotation": "alb.ingress.kubernetes.io/certificate-arn" },
                { "target": "edge", "kind": "Service", "name": "web", "annotation": "service.beta.kubernetes.io/aws-load-balancer-ssl-cert" },
                { "target": "edge", "kind": "ConfigMap", "name": "web", "configMapKey": ".data" },
                { "target": "edge", "apiVersion": "v1", "kind": "ConfigMap", "name": "web", "configMapKey": "Edge_1.arn" },
                { "target": "edge", "apiVersion": "a.example/v1", "kind": "Gateway", "name": "web", "annotation": "Example.com/ARN" },
                { "target": "edge", "apiVersion": "b.example/v1beta1", "kind": "Gateway", "name": "web", "annotation": "Example.com/ARN" },
                { "target": "edge", "apiVersion": "v1", "kind": "Gateway", "name": "web", "annotation": "arn" },
            ],
        } });
    let ingress = json!({ "target": "edge", "kind": "Ingress", "name": "web", "annotation": "example.com/arn" });
    let with = |change: Value| {
        let mut entry = ingress.clone();
        merge(&mut entry, change);
        json!({ "publish": [entry] })
    };
    let two = |change: Value| {
        let mut entry = ingress.clone();
        merge(&mut entry, change);
        json!({ "publish": [ingress.clone(), entry] })
    };
    let many: Vec<Value> = (0..21)
        .map(|n| json!({ "target": "edge", "kind": "ConfigMap", "name": "web", "configMapKey": format!("k{n}") }))
        .collect();
    let no = "nothing is published to this kind";
    refused::<Certificate>(
        base,
        &[
            (json!({ "acm": null }), &["the target of each entry of publish must be an entry of acm"]),
            (with(json!({ "target": "far" })), &["the target of each entry of publish must be an entry of acm"]),
            (json!({ "publish": many }), &["spec.publish", "at most 20"]),
            (with(json!({ "annotation": null })), &["exactly one of annotation and configMapKey"]),
            (with(json!({ "configMapKey": "a" })), &["exactly one of annotation and configMapKey"]),
            (with(json!({ "annotation": null, "configMapKey": "a" })), &["configMapKey is for a ConfigMap"]),
            (
                with(json!({ "annotation": null, "configMapKey": "a", "kind": "ConfigMap", "apiVersion": "a.example/v1" })),
                &["configMapKey is for a ConfigMap"],
            ),
            (with(json!({ "annotation": null, "configMapKey": "..data", "kind": "ConfigMap" })), &["configMapKey"]),
            (with(json!({ "annotation": null, "configMapKey": "a b", "kind": "ConfigMap" })), &["configMapKey"]),
            (with(json!({ "kind": "Gateway" })), &["apiVersion is needed"]),
            (with(json!({ "apiVersion": "networking.k8s.io" })), &["apiVersion"]),
            (with(json!({ "kind": "ingresses" })), &["publish[0].kind", "not ingresses"]),
            (with(json!({ "name": "Web" })), &["publish[0].name"]),
            (with(json!({ "kind": "Secret", "apiVersion": "v1" })), &[no]),
            (with(json!({ "kind": "ServiceAccount", "apiVersion": "v1" })), &[no]),
            (with(json!({ "kind": "RoleBinding", "apiVersion": "rbac.authorization.k8s.io/v1" })), &[no]),
            (with(json!({ "kind": "Anything", "apiVersion": "rbac.authorization.k8s.io/v1" })), &[no]),
            (with(json!({ "kind": "Certificate", "apiVersion": "arnkeeper.dev/v1beta1" })), &[no]),
            (with(json!({ "annotation": "arnkeeper.dev/renew-requested-at" })), &["annotation", "reserved"]),
            (with(json!({ "annotation": "ArnKeeper.dev/certificate" })), &["annotation", "reserved"]),
            (with(json!({ "annotation": "kubernetes.io/ingress.class" })), &["annotation", "reserved"]),
            (with(json!({ "annotation": "kubectl.kubernetes.io/last-applied-configuration" })), &["reserved"]),
            (with(json!({ "annotation": "alb.ingress.kubernetes.io/group.name" })), &["annotation", "reserved"]),
            (with(json!({ "annotation": "x.k8s.io/y" })), &["annotation", "reserved"]),
            (with(json!({ "annotation": "a b" })), &["annotation", "qualified name"]),
            (with(json!({ "annotation": "a/b/c" })), &["annotation", "qualified name"]),
            (two(json!({})), &["two entries of publish are for the same field"]),
            (two(json!({ "apiVersion": "networking.k8s.io/v1" })), &["two entries of publish are for the same field"]),
            (
                two(json!({ "apiVersion": "networking.k8s.io/v1beta1" })),
                &["two entries of publish are for the same field"],
            ),
        ],
    )
    .await;
}
