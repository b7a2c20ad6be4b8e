//! What a tenant might try against another one: nothing is reached that is not its own, and no refusal tells whether the
//! other thing exists.

use crate::{
    aws::Authority,
    harness::{REGIONS, World, arn, random_account, secret_name},
    tls::csr,
    wait::{Conditions, eventually, until},
};
use arnkeeper::api::{
    Certificate, CertificateRequest,
    certificate::TargetState,
    conditions::{READY, STALLED},
};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{Resource, ResourceExt, api::PostParams};
use serde_json::{Value, json};

/// A tenant with a certificate that is issued and delivered, and another one in a namespace of its own, for which an
/// account of its own may be opened.
async fn tenants(test: &str) -> (World, Authority, World) {
    let (victim, authority) = World::new(test).await;
    let id = random_account();
    let tenant =
        World { namespace: format!("{test}-{}", &id[6..]), account: format!("{test}-{id}"), id, ..victim.clone() };
    tenant.make_namespace().await;
    victim.issued("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
    (victim, authority, tenant)
}

/// All that a tenant has, to be compared.
struct Belongings {
    secret: Secret,
    certificate: Certificate,
    acm: Vec<(String, crate::tls::Cert, Value)>,
}

impl Belongings {
    async fn of(world: &World) -> Self {
        let acm = world.acm(REGIONS[0]).await;
        let mut all = vec![];
        for arn in acm.arns().await {
            all.push((arn.clone(), acm.certificate(&arn).await, json!(acm.tags(&arn).await)));
        }
        Self {
            secret: world.secrets().get(&secret_name("app")).await.expect("the Secret"),
            certificate: world.certificates().get("app").await.expect("the Certificate"),
            acm: all,
        }
    }

    /// They are as they were.
    async fn assert_untouched(&self, world: &World) {
        let now = Self::of(world).await;
        assert_eq!(now.secret.resource_version(), self.secret.resource_version(), "the Secret was written to");
        let revision = |c: &Certificate| c.status.as_ref().and_then(|s| s.revision);
        assert_eq!(revision(&now.certificate), revision(&self.certificate), "something was issued");
        assert_eq!(now.acm, self.acm, "something was done in ACM");
    }
}

#[tokio::test]
async fn another_tenants_account_and_ca_are_out_of_reach_and_a_refusal_tells_nothing() {
    let (victim, authority, tenant) = tenants("reach").await;
    let before = Belongings::of(&victim).await;
    let calls = async || match victim.stand.sim() {
        Some(sim) => sim.calls(&victim.id, "IssueCertificate").await.len(),
        None => 0,
    };
    let asked = calls().await;
    let theirs = json!({ "accountRef": { "name": victim.account } });
    let none = json!({ "accountRef": { "name": "there-is-no-such-account" } });
    let (_, csr) = csr(&["app.example"]);
    let with_csr = |mut spec: Value| {
        spec["csr"] = json!(csr);
        spec
    };
    tenant.certificate("theirs", &authority, theirs.clone()).await;
    tenant.certificate("none", &authority, none.clone()).await;
    tenant.request("theirs", &authority, with_csr(theirs)).await;
    tenant.request("none", &authority, with_csr(none)).await;
    let same = |told: &str, missing: &str| {
        assert_eq!(told.replace(&*victim.account, "there-is-no-such-account"), missing, "the message tells more");
    };
    let (told, missing) =
        (tenant.stalled("theirs", "AccountNotAvailable").await, tenant.stalled("none", "AccountNotAvailable").await);
    same(told.message(STALLED), missing.message(STALLED));
    let told = tenant.request_stalled("theirs", "AccountNotAvailable").await;
    same(told.message(STALLED), tenant.request_stalled("none", "AccountNotAvailable").await.message(STALLED));
    // With an account of its own, a target in the other's is refused in the same words.
    tenant.open_account(json!({})).await;
    let target = |account: &str| json!({ "acm": [{ "name": "edge", "accountRef": { "name": account } }] });
    let own = Authority::new(&tenant, json!({})).await;
    tenant.certificate("to-theirs", &own, target(&victim.account)).await;
    tenant.certificate("to-none", &own, target("there-is-no-such-account")).await;
    let (told, missing) = (
        tenant.stalled("to-theirs", "AccountNotAvailable").await,
        tenant.stalled("to-none", "AccountNotAvailable").await,
    );
    same(told.message(STALLED), missing.message(STALLED));
    tenant.assert_nothing_asked().await;
    assert_eq!(calls().await, asked, "the other's CA was asked");
    before.assert_untouched(&victim).await;
}

/// A Secret's name is one of the own namespace, whoever has such a one elsewhere.
#[tokio::test]
async fn a_secret_of_the_same_name_elsewhere_is_another_secret() {
    let (victim, _, tenant) = tenants("names").await;
    let before = Belongings::of(&victim).await;
    tenant.open_account(json!({})).await;
    let own = Authority::new(&tenant, json!({})).await;
    tenant.issued("app", &own, json!({})).await;
    let spec = json!({ "subject": { "domainName": tenant.domain("asked") }, "secretName": "asked-tls" });
    tenant.request("asked", &own, spec).await;
    tenant.signed("asked").await;
    assert_ne!(tenant.tls("app").await.key, victim.tls("app").await.key);
    for path in ["../x", "other/app-tls", "App-TLS"] {
        let refused = tenant.certificate_manifest("other", &own, json!({ "secret": { "name": path } }));
        let refused: Certificate = crate::harness::from(refused);
        let answer = tenant.certificates().create(&PostParams::default(), &refused).await;
        assert!(answer.is_err(), "{path:?} was taken as the name of a Secret");
    }
    before.assert_untouched(&victim).await;
}

/// A request that says that somebody's Certificate owns it, with all the annotations that its own would have.
fn claimed(world: &World, authority: &Authority, name: &str, owner: &Certificate, annotations: Value) -> Value {
    let mut request = world.request_manifest(name, authority, json!({ "csr": csr(&[&world.domain("evil")]).1 }));
    let owner = owner.controller_owner_ref(&()).expect("an owner");
    request["metadata"]["ownerReferences"] = json!([owner]);
    request["metadata"]["annotations"] = annotations;
    request
}

#[tokio::test]
async fn a_request_that_claims_an_owner_gets_nothing_and_gives_it_nothing() {
    let (victim, authority, tenant) = tenants("claims").await;
    let owner = victim.certificates().get("app").await.expect("the Certificate");
    let first = victim.requests().get("app-1").await.expect("its request");
    let before = Belongings::of(&victim).await;
    // In the other namespace there is no such owner: it is not wanted, and the garbage collector takes it.
    tenant.open_account(json!({})).await;
    let own = Authority::new(&tenant, json!({})).await;
    let elsewhere = claimed(&tenant, &own, "app-2", &owner, json!(first.annotations()));
    tenant.make(&tenant.requests(), elsewhere).await;
    // In its own there is: the next revision is claimed, as a real one would be, but for the key that only the operator makes.
    let mut annotations = json!(first.annotations());
    annotations["arnkeeper.dev/revision"] = json!("2");
    for (name, annotations) in [("app-2", annotations), ("claimed", json!({}))] {
        let request = claimed(&victim, &authority, name, &owner, annotations);
        victim.make(&victim.requests(), request).await;
        let superseded = |r: &CertificateRequest| r.because(READY, "Superseded");
        until(&victim.requests(), name, "Superseded", superseded).await;
    }
    victim.assert_paid(1).await;
    tenant.assert_nothing_asked().await;
    before.assert_untouched(&victim).await;
    // Its renewal goes past the name that was taken.
    victim.renew("app").await;
    let renewed = |c: &Certificate| c.is(READY) && c.status.as_ref().and_then(|s| s.revision) > Some(1);
    until(&victim.certificates(), "app", "renewed", renewed).await;
    let leaf = victim.tls("app").await;
    assert!(leaf.leaf().is_signed_by(&authority.certificate));
    victim.assert_paid(2).await;
}

/// Two tenants of one account: its certificates are told apart by their tags, not by what a status says.
#[tokio::test]
async fn a_status_written_by_hand_reaches_nothing() {
    let (victim, authority, tenant) = tenants("by-hand").await;
    let both = json!({ "allowedNamespaces": { "names": [victim.namespace, tenant.namespace] } });
    victim.change(&victim.accounts(), &victim.account, json!({ "spec": both })).await;
    let tenant = World { account: victim.account.clone(), id: victim.id.clone(), ..tenant };
    tenant.issued("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
    let theirs = arn(&victim.certificates().get("app").await.expect("the Certificate"), "edge");
    let acm = victim.acm(REGIONS[0]).await;
    let (leaf, tags) = (acm.certificate(&theirs).await, acm.tags(&theirs).await);
    let secret = victim.secrets().get(&secret_name("app")).await.expect("the Secret");
    eventually("the status is changed", || async {
        let mut certificate = tenant.certificates().get("app").await.map_err(|e| e.to_string())?;
        let status = certificate.status.as_mut().ok_or("no status")?;
        status.targets[0].arn = Some(theirs.parse().map_err(|_| "not an ARN")?);
        status.targets[0].state = TargetState::Pending;
        let stored = tenant.certificates().replace_status("app", &PostParams::default(), &certificate).await;
        stored.map_err(|e| e.to_string())
    })
    .await;
    // A renewal, tags and a deletion would each reach it.
    let more = json!([{ "name": "edge", "deletionPolicy": "Delete", "tags": { "mine": "now" } }]);
    tenant.change(&tenant.certificates(), "app", json!({ "spec": { "acm": more } })).await;
    tenant.renew("app").await;
    tenant.stalled("app", "OwnershipUnknown").await;
    tenant.certificates().delete("app", &kube::api::DeleteParams::default()).await.expect("it can be deleted");
    crate::wait::gone(&tenant.certificates(), "app").await;
    assert_eq!(acm.certificate(&theirs).await, leaf, "another's certificate was replaced");
    assert_eq!(acm.tags(&theirs).await, tags, "another's certificate was tagged");
    let now = victim.secrets().get(&secret_name("app")).await.expect("the Secret");
    assert_eq!(now.resource_version(), secret.resource_version());
}

/// A request that says that it is signed, or whose certificate is somebody else's.
#[tokio::test]
async fn what_a_requests_status_says_is_not_believed() {
    let (victim, authority, tenant) = tenants("believed").await;
    let both = json!({ "allowedNamespaces": { "names": [victim.namespace, tenant.namespace] } });
    victim.change(&victim.accounts(), &victim.account, json!({ "spec": both })).await;
    let theirs = victim.requests().get("app-1").await.expect("the request").status.expect("a status");
    let tenant = World { account: victim.account.clone(), id: victim.id.clone(), ..tenant };
    // Not signed yet, so that the status stands before anything is asked for.
    let spec = json!({ "signature": null, "subject": { "domainName": tenant.domain("app") }, "secretName": "stolen" });
    tenant.request("stolen", &authority, spec).await;
    until(&tenant.requests(), "stolen", "it waits", |r| r.because(READY, "WaitingForSignature")).await;
    eventually("the status is changed", || async {
        let mut request = tenant.requests().get("stolen").await.map_err(|e| e.to_string())?;
        let status = request.status.as_mut().ok_or("no status")?;
        status.certificate_arn.clone_from(&theirs.certificate_arn);
        let stored = tenant.requests().replace_status("stolen", &PostParams::default(), &request).await;
        stored.map_err(|e| e.to_string())
    })
    .await;
    tenant.change(&tenant.requests(), "stolen", json!({ "spec": { "signature": {} } })).await;
    let failed = tenant.request_stalled("stolen", "Failed").await;
    let status = failed.status.as_ref().expect("a status");
    assert!(status.certificate.is_none() && status.serial_number.is_none(), "another's certificate is told");
    let secret = tenant.secrets().get_opt("stolen").await.expect("an answer");
    assert!(secret.is_none(), "another's certificate was stored");
    victim.assert_paid(1).await;
    // The namespace goes with all that was tried in it.
    let namespaces = tenant.namespaces();
    namespaces.delete(&tenant.namespace, &kube::api::DeleteParams::default()).await.expect("it can be deleted");
    crate::wait::gone::<Namespace>(&namespaces, &tenant.namespace).await;
}
