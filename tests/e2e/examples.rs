//! Every file of `examples/` is applied as it stands, and what it asks for comes about.

use crate::{
    aws::{Theirs, View},
    harness::{BASE_KEY, SYSTEM, Stand, from, let_publish, merge},
    wait::{Conditions, until},
};
use arnkeeper::api::{
    AwsAccount, Certificate, CertificateRequest,
    conditions::{PUBLISHED, READY},
};
use aws_sdk_acmpca::config::Credentials;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    Api, Client, Discovery, ResourceExt,
    api::{DynamicObject, Patch, PatchParams},
    discovery::Scope,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, Mutex},
};

/// All manifests of `examples/`; namespaces come first, as with `kubectl apply`.
fn manifests() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let files = std::fs::read_dir(&folder).expect("examples/").map(|file| file.expect("a file").path());
    let mut files: Vec<_> = files.filter(|f| f.extension().is_some_and(|e| e == "yaml")).collect();
    files.sort();
    let mut manifests: Vec<Value> = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a readable file");
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        manifests.extend(documents.into_iter().filter(|document| !document.is_null()));
    }
    manifests.sort_by_key(|m| m["kind"] != "Namespace");
    manifests
}

/// The objects of a kind among the manifests.
fn of<K: serde::de::DeserializeOwned>(manifests: &[Value], kind: &str) -> Vec<K> {
    manifests.iter().filter(|m| m["kind"] == kind).map(|m| from(m.clone())).collect()
}

/// Applies all manifests, each by its own kind.
async fn apply(client: &Client, manifests: &[Value]) {
    let discovery = Discovery::new(client.clone()).run().await.expect("the API is discovered");
    let how = PatchParams::apply("examples").force();
    for manifest in manifests {
        let object: DynamicObject = from(manifest.clone());
        let types = object.types.clone().expect("kind and apiVersion");
        let kind = types.try_into().expect("a kind");
        let (resource, capabilities) = discovery.resolve_gvk(&kind).unwrap_or_else(|| panic!("{kind:?} is not served"));
        let api: Api<DynamicObject> = match capabilities.scope {
            Scope::Cluster => Api::all_with(client.clone(), &resource),
            Scope::Namespaced => Api::namespaced_with(
                client.clone(),
                object.metadata.namespace.as_deref().unwrap_or("default"),
                &resource,
            ),
        };
        let name = object.name_any();
        api.patch(&name, &how, &Patch::Apply(&object))
            .await
            .unwrap_or_else(|e| panic!("{} {name}: {e}", resource.kind));
    }
}

/// Sees to what the examples take for granted: the namespace's Secret with credentials, the private CAs.
async fn prepare(stand: &Stand, manifests: &mut [Value]) -> bool {
    let why = "its access keys are those of one account, and the account of the examples is another";
    let Some(sim) = stand.sim_because(why) else { return false };
    for account in of::<AwsAccount>(manifests, "AwsAccount") {
        let id = account.spec.account_id.as_ref().expect("the examples name their account").to_string();
        for role in &account.spec.assume_roles {
            sim.role(role.role_arn.as_str(), role.external_id.as_deref()).await;
        }
        if account.spec.organization.is_some() {
            sim.organization(json!({ "managementAccount": id })).await;
        }
        let key = sim.access_key(&id, false).await;
        if let Some(keys) = account.spec.credentials.as_ref().and_then(|c| c.access_keys.as_ref()) {
            let name = &keys.secret_ref.name;
            let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name },
                "stringData": { "accessKeyId": key.access_key_id, "secretAccessKey": key.secret_access_key } });
            let api: Api<Secret> = Api::namespaced(stand.client.clone(), SYSTEM);
            api.patch(name, &PatchParams::apply("e2e").force(), &Patch::Apply(secret)).await.expect("credentials");
        }
        if let Some(profile) = account.spec.credentials.as_ref().and_then(|c| c.profile.as_ref()) {
            let keys = crate::profiles::keys(&profile.name, &key.access_key_id, &key.secret_access_key);
            crate::profiles::write("credentials", &[keys]);
        }
        if let Some(manager) = account.spec.credentials.as_ref().and_then(|c| c.secrets_manager.as_ref()) {
            // The operator's own identity is that of the account whose key the stand was given.
            let base = Credentials::new(BASE_KEY.0, BASE_KEY.1, None, None, "e2e");
            let sts = aws_sdk_sts::Client::new(&crate::aws::configured(&stand.endpoint, "eu-west-1", base));
            let own = sts.get_caller_identity().send().await.expect("an identity").account.expect("an account");
            let keys = json!({ "accessKeyId": key.access_key_id, "secretAccessKey": key.secret_access_key });
            if let Some(place) = &manager.aws {
                let secret = json!({ "string": keys.to_string() });
                sim.secret(&own, place.region.as_str(), &place.secret_id, secret).await;
            } else {
                // Vault is wherever it is; here it is a stand-in, which ends with the test.
                let double = crate::vault::vault(&Arc::new(Mutex::new(Some(keys)))).await;
                let name = account.name_any();
                let manifest =
                    manifests.iter_mut().find(|m| m["kind"] == "AwsAccount" && m["metadata"]["name"] == *name);
                let place = crate::vault::place(&double);
                merge(&mut manifest.expect("its manifest")["spec"]["credentials"]["secretsManager"]["vault"], place);
            }
        }
        for (region, name) in authorities(manifests, &account.name_any()) {
            let there = Credentials::new(&key.access_key_id, &key.secret_access_key, None, None, "e2e");
            if !exists(stand, &region, &name, there).await {
                sim.authority(&id, &region, &name, json!({})).await;
            }
        }
    }
    import_what_is_adopted(stand, manifests, &sim).await;
    true
}

/// What is taken over has to be in ACM, with the consent of its owner; its ARN is another each time.
async fn import_what_is_adopted(stand: &Stand, manifests: &mut [Value], sim: &crate::sim::Sim) {
    let accounts: Vec<AwsAccount> = of(manifests, "AwsAccount");
    for manifest in manifests.iter_mut().filter(|m| m["kind"] == "Certificate") {
        let certificate: Certificate = from(manifest.clone());
        let spec = &certificate.spec;
        for (at, target) in spec.acm.iter().enumerate().filter(|(_, target)| target.certificate_arn.is_some()) {
            let account = accounts.iter().find(|a| a.name_any() == spec.account_ref.name).expect("its account");
            let key = sim.access_key(account.spec.account_id.as_ref().expect("an id").as_str(), false).await;
            let region = target.region.as_ref().unwrap_or(&spec.region);
            let there = Credentials::new(key.access_key_id, key.secret_access_key, None, None, "e2e");
            let view = View::with(&crate::aws::configured(&stand.endpoint, region.as_str(), there));
            let by = format!("{}/{}", certificate.namespace().expect("a namespace"), certificate.name_any());
            let names = [spec.subject.domain_name.clone()];
            let tags = [("arnkeeper.dev/adopt-by", &*by)];
            let theirs = Theirs { names: &names, key: &rcgen::PKCS_ECDSA_P256_SHA256, tags: &tags };
            manifest["spec"]["acm"][at]["certificateArn"] = json!(view.import_theirs(&theirs).await);
        }
    }
}

/// The CAs that the examples name in an account: region and common name.
fn authorities(manifests: &[Value], account: &str) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    let specs = manifests.iter().map(|m| &m["spec"]).filter(|spec| spec["accountRef"]["name"] == account);
    for spec in specs {
        let source = &spec["source"];
        let sources = ["privateCa", "acmManaged"].map(|kind| &source[kind]["certificateAuthority"]);
        for ca in sources.into_iter().chain([&spec["certificateAuthority"]]) {
            assert!(ca["arn"].is_null(), "an example has to name its CA by the common name: nobody else has that ARN");
            if let (Some(name), Some(region)) = (ca["name"].as_str(), spec["region"].as_str()) {
                found.insert((region.to_owned(), name.to_owned()));
            }
        }
    }
    found
}

/// Whether the account has a CA of this common name already: a stand may be used more than once.
async fn exists(stand: &Stand, region: &str, name: &str, credentials: Credentials) -> bool {
    let client = aws_sdk_acmpca::Client::new(&crate::aws::configured(&stand.endpoint, region, credentials));
    let list =
        client.list_certificate_authorities().send().await.expect("a list").certificate_authorities.unwrap_or_default();
    list.iter().any(|ca| {
        let subject = ca.certificate_authority_configuration.as_ref().and_then(|c| c.subject.as_ref());
        subject.and_then(|s| s.common_name.as_deref()) == Some(name)
    })
}

#[tokio::test]
async fn every_example_comes_about() {
    let stand = Stand::get().await;
    let mut manifests = manifests();
    let certificates: Vec<Certificate> = of(&manifests, "Certificate");
    let requests: Vec<CertificateRequest> = of(&manifests, "CertificateRequest");
    assert!(!certificates.is_empty() && !requests.is_empty() && manifests.iter().any(|m| m["kind"] == "Ingress"));
    let prepared = prepare(&stand, &mut manifests).await;
    let (namespaces, others): (Vec<_>, Vec<_>) = manifests.iter().cloned().partition(|m| m["kind"] == "Namespace");
    apply(&stand.client, &namespaces).await;
    for certificate in certificates.iter().filter(|c| !c.spec.publish.is_empty()) {
        // The value publish.kinds, which the example wants.
        let_publish(&stand.client, &certificate.namespace().expect("a namespace")).await;
    }
    apply(&stand.client, &others).await;
    if !prepared {
        return;
    }
    let client = &stand.client;
    for account in of::<AwsAccount>(&manifests, "AwsAccount") {
        until::<AwsAccount>(&Api::all(client.clone()), &account.name_any(), "Ready", |a| a.is(READY)).await;
    }
    for certificate in certificates {
        let namespace = certificate.namespace().expect("a namespace");
        let publishes = !certificate.spec.publish.is_empty();
        until::<Certificate>(&Api::namespaced(client.clone(), &namespace), &certificate.name_any(), "Ready", |c| {
            c.is(READY) && (!publishes || c.is(PUBLISHED))
        })
        .await;
    }
    for request in requests {
        let namespace = request.namespace().expect("a namespace");
        until::<CertificateRequest>(&Api::namespaced(client.clone(), &namespace), &request.name_any(), "Ready", |r| {
            r.is(READY)
        })
        .await;
    }
    let namespaces: Api<Namespace> = Api::all(client.clone());
    for namespace in of::<Namespace>(&manifests, "Namespace") {
        namespaces.get(&namespace.name_any()).await.expect("the namespace");
    }
}
