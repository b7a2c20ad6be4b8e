//! What people see with kubectl, also beside cert-manager.

use crate::{
    harness::{REGIONS, World, arn, secret_name},
    keeper::{Keeper, keep},
    wait::eventually,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams},
};
use serde_json::json;
use std::process::{Command, Stdio};

/// What kubectl prints, in the world's namespace; it discovers the API anew.
async fn kubectl(world: &World, args: &[&str]) -> Result<String, String> {
    let cache = std::env::temp_dir().join(format!("arnkeeper-e2e-{}", world.namespace));
    let mut command = Command::new("kubectl");
    command
        .arg(format!("--cache-dir={}", cache.display()))
        .args(["--namespace", &world.namespace])
        .args(args)
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it runs to its end");
    let output = output.map_err(|e| format!("kubectl has to be on the PATH: {e}"))?;
    // It is there only for this call; that it can't be removed harms nobody.
    let _ = std::fs::remove_dir_all(&cache);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// The definition of cert-manager's Certificates, with its names and no fields.
async fn install_cert_manager(world: &World) {
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "certificates.cert-manager.io" },
        "spec": {
            "group": "cert-manager.io", "scope": "Namespaced",
            "names": { "kind": "Certificate", "listKind": "CertificateList", "plural": "certificates", "singular": "certificate",
                "shortNames": ["cert", "certs"], "categories": ["cert-manager"] },
            "versions": [{ "name": "v1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } } }],
        },
    });
    let definitions: Api<CustomResourceDefinition> = Api::all(world.stand.client.clone());
    let name = "certificates.cert-manager.io";
    definitions
        .patch(name, &PatchParams::apply("e2e").force(), &Patch::Apply(definition))
        .await
        .expect("the definition");
    let established = |definition: &CustomResourceDefinition| {
        let conditions = definition.status.iter().flat_map(|s| s.conditions.iter().flatten());
        conditions.into_iter().any(|c| c.type_ == "Established" && c.status == "True")
    };
    crate::wait::until(&definitions, name, "Established", established).await;
}

#[tokio::test]
async fn get_certificate_still_means_cert_managers() {
    let (world, authority) = World::new("neighbours").await;
    install_cert_manager(&world).await;
    let theirs = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("cert-manager.io", "v1", "Certificate"),
        "certificates",
    );
    let api: Api<DynamicObject> = Api::namespaced_with(world.stand.client.clone(), &world.namespace, &theirs);
    let object = DynamicObject::new("theirs", &theirs).data(json!({ "spec": {} }));
    eventually("cert-manager's API is served", || async {
        api.create(&PostParams::default(), &object).await.map_err(|e| e.to_string())
    })
    .await;
    world.certificate("ours", &authority, json!({ "enabled": false })).await;
    for word in ["certificate", "certificates", "cert"] {
        let seen = kubectl(&world, &["get", word, "-o", "name"]).await.expect("an answer");
        assert_eq!(seen.trim(), "certificate.cert-manager.io/theirs", "kubectl get {word}");
    }
    for word in ["awscert", "awscertificate", "awscertificates"] {
        let seen = kubectl(&world, &["get", word, "-o", "name"]).await.expect("an answer");
        assert_eq!(seen.trim(), "certificate.arnkeeper.dev/ours", "kubectl get {word}");
    }
}

#[tokio::test]
async fn wait_and_get_tell_what_people_need() {
    let (world, authority) = World::new("kubectl").await;
    let manifest = world.certificate("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
    kubectl(&world, &["wait", "--for=condition=Ready", "--timeout=170s", "awscert/app"])
        .await
        .expect("it becomes Ready");
    let status = world.ready("app").await.status.expect("a status");
    let table = kubectl(&world, &["get", "awscert"]).await.expect("a table");
    let header = table.lines().next().unwrap_or_default();
    assert_eq!(header.split_whitespace().collect::<Vec<_>>(), ["NAME", "READY", "DOMAIN", "EXPIRES", "RENEWS", "AGE"]);
    assert!(table.contains("True") && table.contains(&manifest.spec.subject.domain_name), "{table}");
    let wide = kubectl(&world, &["get", "awscert", "-o", "wide"]).await.expect("a table");
    let arn = status.targets[0].arn.as_ref().expect("an ARN").to_string();
    assert!(wide.contains("ARN") && wide.contains("STATUS") && wide.contains(&arn), "{wide}");
    let account = kubectl(&world, &["get", "awsacct", &world.account]).await.expect("a table");
    assert!(account.contains(&world.id), "{account}");
    let all = kubectl(&world, &["get", "arnkeeper", "-o", "name"]).await.expect("a list");
    assert!(
        all.contains("certificate.arnkeeper.dev/app") && all.contains("certificaterequest.arnkeeper.dev/app-1"),
        "{all}"
    );
}

#[tokio::test]
async fn the_domain_is_shown_also_where_the_spec_does_not_name_it() {
    let (world, authority) = World::new("domains").await;
    let made = world.issued("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
    let asked = made.spec.subject.domain_name.clone();
    let kept = world.domain("kept");
    keep(&world, &secret_name("kept"), &Keeper::default().pair(std::slice::from_ref(&kept))).await;
    let manifest = |name: &str, more: serde_json::Value| {
        let mut spec = json!({ "accountRef": { "name": world.account }, "region": REGIONS[0] });
        crate::harness::merge(&mut spec, more);
        json!({ "apiVersion": "arnkeeper.dev/v1beta1", "kind": "Certificate",
            "metadata": { "name": name, "namespace": world.namespace }, "spec": spec })
    };
    let sourced = json!({ "source": { "secretRef": { "name": secret_name("kept") } }, "acm": [{ "name": "edge" }] });
    let watched = json!({ "management": "Observe", "acm": [{ "name": "acm", "certificateArn": arn(&made, "edge") }] });
    for (name, spec) in [("kept", sourced), ("watched", watched)] {
        world.make(&world.certificates(), manifest(name, spec)).await;
        world.ready(name).await;
    }
    let table = kubectl(&world, &["get", "awscert", "--no-headers"]).await.expect("a table");
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().take(3).collect()).collect();
    assert_eq!(rows, [["app", "True", &*asked], ["kept", "True", &*kept], ["watched", "True", &*asked]], "{table}");
}

#[tokio::test]
async fn the_same_manifest_applied_again_changes_nothing() {
    let (world, authority) = World::new("applied").await;
    let manifest = world.certificate_manifest("app", &authority, json!({}));
    let apply = || async {
        let how = PatchParams::apply("gitops");
        world.certificates().patch("app", &how, &Patch::Apply(&manifest)).await.expect("it is applied")
    };
    apply().await;
    let before = world.revision("app", 1).await;
    let after = apply().await;
    assert_eq!(after.metadata.resource_version, before.metadata.resource_version);
    let managers = after.metadata.managed_fields.unwrap_or_default();
    let of_spec = |m: &&k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry| {
        m.fields_v1.as_ref().is_some_and(|f| f.0.get("f:spec").is_some())
    };
    let writers: Vec<_> = managers.iter().filter(of_spec).filter_map(|m| m.manager.as_deref()).collect();
    assert_eq!(writers, ["gitops"], "nobody else writes into the spec");
}
