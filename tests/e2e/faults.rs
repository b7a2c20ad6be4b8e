//! AWS that denies, lies, and loses what it had: told with what helps, nothing paid or imported in vain or twice, and on
//! by itself when it is over. All of it on aws-sim: moto makes no faults.

use crate::{
    aws::Authority,
    harness::{REGIONS, World, arn},
    sim::Sim,
    tls::{Cert, csr, pem},
    wait::{Conditions, until},
};
use arnkeeper::api::{
    Certificate, CertificateRequest,
    certificate::TargetState,
    conditions::{READY, STALLED},
};
use futures::future::join_all;
use kube::ResourceExt;
use serde_json::{Value, json};

/// A world on aws-sim whose account was looked at.
pub async fn world(test: &str) -> Option<(World, Authority, Sim)> {
    let (world, authority, sim) = World::on_sim(test, "moto makes no faults").await?;
    // What was denied is tried again once the account is found ready.
    world.account_looked_at().await;
    Some((world, authority, sim))
}

/// All that a Certificate and its requests say.
async fn said(world: &World, name: &str) -> String {
    let certificate = world.certificates().get(name).await.expect("the Certificate");
    let mut all: Vec<String> =
        certificate.conditions().iter().map(|c| format!("{}: {}", c.reason, c.message)).collect();
    all.extend(certificate.status.iter().flat_map(|s| &s.targets).filter_map(|t| t.message.clone()));
    let requests = world.requests().list(&kube::api::ListParams::default()).await.expect("a list");
    for request in requests.iter().filter(|r| r.name_any().starts_with(name)) {
        all.extend(request.conditions().iter().map(|c| format!("{}: {}", c.reason, c.message)));
    }
    all.join("\n")
}

/// Waits until a Certificate, or its request, says all these words.
async fn says(world: &World, name: &str, words: &[&str]) -> String {
    crate::wait::eventually(&format!("{name} says {words:?}"), || async {
        let said = said(world, name).await;
        if words.iter().all(|word| said.contains(word)) { Ok(said) } else { Err(said) }
    })
    .await
}

/// Whoever waits for a person is looked at every ten minutes; a change of the object makes that be now.
pub async fn nudge(world: &World, name: &str) {
    let now = json!({ "metadata": { "annotations": { "example.com/looked-at": jiff::Timestamp::now().to_string() } } });
    world.change(&world.certificates(), name, now.clone()).await;
    for request in world.requests().list(&kube::api::ListParams::default()).await.expect("a list") {
        if request.name_any().starts_with(name) && !request.is(READY) {
            world.change(&world.requests(), &request.name_any(), now.clone()).await;
        }
    }
}

/// Denies an action before a Certificate is made, and allows it again when that is told.
async fn denied(n: usize, action: &'static str, paid: usize, spec: Value) {
    let Some((world, authority, sim)) = world(&format!("deny-{n}")).await else {
        return;
    };
    let (service, operation) = action.split_once(':').expect("service and operation");
    sim.deny(&world.id, &[action]).await;
    let mut spec = spec;
    if operation == "ListCertificateAuthorities" {
        let ca = json!({ "arn": null, "name": authority.name });
        crate::harness::merge(&mut spec, json!({ "source": { "privateCa": { "certificateAuthority": ca } } }));
    }
    world.certificate("app", &authority, spec).await;
    says(&world, "app", &[action, "AccessDenied"]).await;
    // What is needed after the signature is told while, or after, it is made.
    assert!(sim.effective(&world.id, "IssueCertificate").await <= paid, "{action}");
    assert_eq!(
        sim.effective(&world.id, "ImportCertificate").await,
        usize::from(operation == "DescribeCertificate"),
        "{action}"
    );
    // It is not asked again and again: each look costs one call.
    let calls = sim.calls(&world.id, operation).await.iter().filter(|c| c.outcome == "AccessDeniedException").count();
    // The account lists its CAs, too, in each region, when it hears of what was denied.
    let most = if operation == "ListCertificateAuthorities" { 10 } else { 4 };
    assert!((1..=most).contains(&calls), "{service}:{operation} was called {calls} times");
    sim.allow(&world.id).await;
    nudge(&world, "app").await;
    let certificate = world.revision("app", 1).await;
    assert!(certificate.condition(STALLED).is_none());
    world.assert_paid(1).await;
    assert_eq!(world.acm(REGIONS[0]).await.arns().await, [arn(&certificate, "edge")], "{action}");
}

#[tokio::test]
async fn each_denied_call_of_an_issuance_names_its_action_and_goes_on_when_allowed() {
    let spec = json!({ "acm": [{ "name": "edge", "tags": { "team": "pay" } }] });
    let before = [
        "acm-pca:ListCertificateAuthorities",
        "acm-pca:DescribeCertificateAuthority",
        "acm-pca:GetCertificateAuthorityCertificate",
        "acm-pca:IssueCertificate",
    ];
    let after = ["acm-pca:GetCertificate", "acm:ListCertificates", "acm:ImportCertificate", "acm:DescribeCertificate"];
    let all = before.into_iter().map(|a| (a, 0)).chain(after.into_iter().map(|a| (a, 1)));
    join_all(all.enumerate().map(|(n, (action, paid))| denied(n, action, paid, spec.clone()))).await;
}

/// What is needed only later: to look at tags, to change them, to read a certificate back, to import again, to delete.
#[tokio::test]
async fn each_denied_call_of_a_later_change_names_its_action_and_goes_on_when_allowed() {
    let renew =
        json!({ "metadata": { "annotations": { "arnkeeper.dev/renew-requested-at": "2026-01-01T00:00:00Z" } } });
    let tags =
        |tags: Value| json!({ "spec": { "acm": [{ "name": "edge", "deletionPolicy": "Delete", "tags": tags }] } });
    let cases = [
        ("acm:ListTagsForCertificate", renew.clone()),
        ("acm:ImportCertificate", renew.clone()),
        ("acm:DescribeCertificate", renew),
        ("acm:AddTagsToCertificate", tags(json!({ "team": "new" }))),
        ("acm:RemoveTagsFromCertificate", tags(json!({}))),
    ];
    let each = cases.into_iter().enumerate().map(async |(n, (action, change))| {
        let Some((world, authority, sim)) = world(&format!("later-{n}")).await else { return };
        let acm = json!([{ "name": "edge", "deletionPolicy": "Delete", "tags": { "team": "pay" } }]);
        let before = world.issued("app", &authority, json!({ "acm": acm })).await;
        sim.deny(&world.id, &[action]).await;
        world.change(&world.certificates(), "app", change).await;
        let told = says(&world, "app", &[action, "AccessDenied"]).await;
        assert!(told.contains("add it to the policy"), "{told}");
        let now = world.certificates().get("app").await.expect("the Certificate");
        assert_eq!(arn(&now, "edge"), arn(&before, "edge"));
        sim.allow(&world.id).await;
        nudge(&world, "app").await;
        let right = |c: &Certificate| {
            c.condition(STALLED).is_none()
                && c.is(READY)
                && c.status.iter().flat_map(|s| &s.targets).all(|t| t.state == TargetState::Delivered)
        };
        let after = until(&world.certificates(), "app", &format!("{action} is allowed again"), right).await;
        let tls = world.tls("app").await;
        assert_eq!(arn(&after, "edge"), arn(&before, "edge"));
        assert_eq!(world.acm(REGIONS[0]).await.certificate(&arn(&after, "edge")).await, *tls.leaf());
        world.assert_paid(if action.contains("Tags") && !action.contains("List") { 1 } else { 2 }).await;
        // In the end it may not be deleted, and then it may.
        sim.deny(&world.id, &["acm:DeleteCertificate"]).await;
        world.certificates().delete("app", &kube::api::DeleteParams::default()).await.expect("it can be deleted");
        let told = |c: &Certificate| c.message(READY).contains("acm:DeleteCertificate");
        until(&world.certificates(), "app", "the denied deletion is told", told).await;
        sim.allow(&world.id).await;
        nudge(&world, "app").await;
        crate::wait::gone(&world.certificates(), "app").await;
        assert!(world.acm(REGIONS[0]).await.arns().await.is_empty());
    });
    join_all(each).await;
}

/// The answers of GetCertificate that are not what was asked for; it is fetched again, and paid for once.
#[tokio::test]
async fn whatever_the_ca_returns_only_the_right_certificate_is_kept() {
    let own = rcgen::generate_simple_self_signed(["evil.example".to_owned()]).expect("a certificate").cert.pem();
    let answer = |with: Value| json!({ "kind": "answer", "with": with });
    let cases: Vec<(&str, Value, &str)> = vec![
        ("other-key", json!({ "kind": "wrongCertificate" }), "another key"),
        ("self-signed", answer(json!({ "Certificate": own })), "another key"),
        ("stranger-above", answer(json!({ "CertificateChain": own })), "does not begin with the private CA's own"),
        ("no-pem", answer(json!({ "Certificate": "nothing" })), "there is no certificate"),
        ("two", answer(json!({ "Certificate": format!("{own}{own}") })), "2 certificates where one belongs"),
        ("endless", answer(json!({ "CertificateChain": "-----BEGIN -----\n".repeat(100_000) })), "bytes, more than"),
        (
            "chain-of-a-megabyte",
            json!({ "kind": "fill", "field": "CertificateChain", "bytes": 1 << 20 }),
            "bytes, more than",
        ),
        ("twenty-megabytes", json!({ "kind": "fill", "field": "Certificate", "bytes": 20 << 20 }), "longer than any"),
        ("number", answer(json!({ "Certificate": 7 })), "AwsUnavailable"),
        ("nothing", answer(json!({ "Certificate": null })), "no usable certificate"),
    ];
    let each = cases.into_iter().map(async |(name, fault, told)| {
        let Some((world, authority, sim)) = world(&format!("lie-{name}")).await else { return };
        sim.fault(&world.id, "acm-pca:GetCertificate", None, fault).await;
        world.certificate("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
        says(&world, "app", &[told]).await;
        assert!(world.secrets().get_opt(&crate::harness::secret_name("app")).await.expect("an answer").is_none());
        assert!(sim.calls(&world.id, "ImportCertificate").await.is_empty());
        sim.heal(&world.id).await;
        nudge(&world, "app").await;
        world.revision("app", 1).await;
        assert!(world.tls("app").await.leaf().is_signed_by(&authority.certificate), "{name}");
        world.assert_paid(1).await;
    });
    join_all(each).await;
}

/// A CA under another: its chain comes cut off, or the wrong way round.
#[tokio::test]
async fn a_chain_that_is_cut_off_is_completed_and_one_that_is_reversed_is_not_believed() {
    let Some((world, root, sim)) = world("cut-chain").await else { return };
    let sub = sim.authority(&world.id, REGIONS[0], "a CA under another", json!({ "parentArn": root.arn })).await;
    let own = Cert::first(&sub.certificate);
    let below = Authority {
        arn: sub.arn,
        name: "a CA under another".into(),
        certificate: own.clone(),
        root: root.root.clone(),
        rsa: false,
    };
    let text = |cert: &Cert| pem("CERTIFICATE", &cert.0);
    let cut = json!({ "kind": "answer", "with": { "CertificateChain": text(&own) } });
    sim.fault(&world.id, "acm-pca:GetCertificate", None, cut).await;
    let certificate = world.issued("cut", &below, json!({ "acm": [{ "name": "edge" }] })).await;
    let tls = world.tls("cut").await;
    assert_eq!((tls.certificates.get(1), tls.authorities.as_slice()), (Some(&own), std::slice::from_ref(&root.root)));
    assert_eq!(world.acm(REGIONS[0]).await.certificate(&arn(&certificate, "edge")).await, *tls.leaf());
    sim.heal(&world.id).await;
    let reversed =
        json!({ "kind": "answer", "with": { "CertificateChain": format!("{}{}", text(&root.root), text(&own)) } });
    sim.fault(&world.id, "acm-pca:GetCertificate", None, reversed).await;
    world.certificate("reversed", &below, json!({})).await;
    says(&world, "reversed", &["does not begin with the private CA's own"]).await;
    sim.heal(&world.id).await;
    nudge(&world, "reversed").await;
    world.ready("reversed").await;
    world.assert_paid(2).await;
}

/// ACM's answers make no sense for a while: nothing is imported twice for that.
#[tokio::test]
async fn nonsense_of_acm_passes() {
    let answer = |with: Value| json!({ "kind": "answer", "with": with });
    let tags: Vec<Value> = (0..40_000).map(|n| json!({ "Key": format!("k{n}"), "Value": "v" })).collect();
    let cases: Vec<(&str, &str, Value)> = vec![
        ("no-serial", "acm:DescribeCertificate", answer(json!({ "Certificate": { "Serial": null } }))),
        ("odd-serial", "acm:DescribeCertificate", answer(json!({ "Certificate": { "Serial": "\u{1b}[31m" } }))),
        ("types", "acm:DescribeCertificate", answer(json!({ "Certificate": { "InUseBy": 7, "NotAfter": "soon" } }))),
        ("empty", "acm:DescribeCertificate", answer(json!({ "Certificate": null }))),
        ("no-json", "acm:DescribeCertificate", answer(json!("text"))),
        ("long", "acm:DescribeCertificate", json!({ "kind": "fill", "field": "Certificate", "bytes": 6 << 20 })),
        ("tags", "acm:ListTagsForCertificate", answer(json!({ "Tags": tags }))),
        ("tag-types", "acm:ListTagsForCertificate", answer(json!({ "Tags": [7] }))),
        (
            "list",
            "acm:ListCertificates",
            answer(json!({ "CertificateSummaryList": [{ "CertificateArn": "not one" }, {}] })),
        ),
        ("list-types", "acm:ListCertificates", answer(json!({ "CertificateSummaryList": "none" }))),
    ];
    let each = cases.into_iter().map(async |(name, operation, fault)| {
        let Some((world, authority, sim)) = world(&format!("acm-{name}")).await else { return };
        sim.fault(&world.id, operation, Some(3), fault.clone()).await;
        world.certificate("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
        let first = world.revision("app", 1).await;
        sim.fault(&world.id, operation, Some(3), fault).await;
        world.renew("app").await;
        let second = world.revision("app", 2).await;
        sim.heal(&world.id).await;
        assert_eq!(arn(&second, "edge"), arn(&first, "edge"), "{name}");
        assert_eq!(world.acm(REGIONS[0]).await.arns().await, [arn(&first, "edge")], "{name}");
        world.assert_paid(2).await;
        assert_eq!(sim.effective(&world.id, "ImportCertificate").await, 2, "{name}");
    });
    join_all(each).await;
}

/// A quota that is used up is told, and not asked for every second.
#[tokio::test]
async fn a_quota_that_is_used_up_is_told_and_not_asked_for_again_at_once() {
    let told = [
        "You have reached your limit of 2500 imported certificates in the last year",
        "Cannot import more certificates: the maximum number of imported certificates is 2500",
    ];
    let first = join_all(told.into_iter().enumerate().map(async |(n, message)| {
        let (world, authority, sim) = world(&format!("quota-{n}")).await?;
        let full = json!({ "kind": "error", "code": "LimitExceededException", "status": 400, "message": message });
        sim.fault(&world.id, "ImportCertificate", None, full).await;
        world.certificate("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
        says(&world, "app", &["QuotaUsedUp", message, "ask AWS for more"]).await;
        // Another one of the account that works shows that time went by.
        world.issued("other", &authority, json!({})).await;
        assert_eq!(sim.calls(&world.id, "ImportCertificate").await.len(), 1, "the quota is asked for again");
        sim.heal(&world.id).await;
        nudge(&world, "app").await;
        world.revision("app", 1).await;
        world.assert_paid(2).await;
        Some(())
    }));
    let issues = async {
        let (world, authority, sim) = world("quota-issue").await?;
        sim.error(&world.id, "IssueCertificate", None, 400, "LimitExceededException").await;
        world.certificate("app", &authority, json!({})).await;
        says(&world, "app", &["QuotaUsedUp"]).await;
        world.assert_paid(0).await;
        let calls = sim.calls(&world.id, "IssueCertificate").await.len();
        assert!(calls <= 3, "{calls} calls");
        sim.heal(&world.id).await;
        nudge(&world, "app").await;
        world.ready("app").await;
        world.assert_paid(1).await;
        Some(())
    };
    tokio::join!(first, issues);
}

/// ACM answers all but the one call: that other calls on the way to it succeed does not make it be tried every second, and it is
/// told.
#[tokio::test]
async fn one_call_that_fails_again_and_again_is_told() {
    let broken = json!({ "kind": "error", "code": "InternalFailure", "status": 500 });
    let imports = async {
        let (world, authority, sim) = world("fails-import").await?;
        world.certificate("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
        let first = arn(&world.ready("app").await, "edge");
        sim.fault(&world.id, "ImportCertificate", None, broken.clone()).await;
        world.renew("app").await;
        says(&world, "app", &["acm:ImportCertificate failed for now", "InternalFailure"]).await;
        sim.heal(&world.id).await;
        nudge(&world, "app").await;
        assert_eq!(arn(&world.revision("app", 2).await, "edge"), first);
        world.assert_paid(2).await;
        Some(())
    };
    let exports = async {
        let (world, authority, sim) = world("fails-export").await?;
        sim.fault(&world.id, "ExportCertificate", None, broken.clone()).await;
        let source = json!({ "privateCa": null, "acmManaged": { "certificateAuthority": { "arn": authority.arn } } });
        let spec = json!({ "duration": null, "source": source, "acm": [{ "name": "edge" }] });
        world.certificate("app", &authority, spec).await;
        says(&world, "app", &["AwsUnavailable", "acm:ExportCertificate failed for now"]).await;
        sim.heal(&world.id).await;
        nudge(&world, "app").await;
        world.ready("app").await;
        Some(())
    };
    tokio::join!(imports, exports);
}

/// The CA can't sign: told before it is asked, and on when it can again.
#[tokio::test]
async fn a_ca_that_can_not_sign_is_told_and_asked_when_it_can() {
    let states = [
        ("DISABLED", "AuthorityDisabled"),
        ("EXPIRED", "AuthorityExpired"),
        ("PENDING_CERTIFICATE", "AuthorityNotReady"),
        ("CREATING", "AuthorityNotReady"),
        ("FAILED", "AuthorityGone"),
        ("DELETED", "AuthorityGone"),
    ];
    let each = states.into_iter().map(async |(state, reason)| {
        let Some((world, authority, sim)) = world(&format!("ca-{}", state.replace('_', "-").to_lowercase())).await
        else {
            return;
        };
        sim.authority_state(&authority.arn, state).await;
        world.certificate("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
        world.stalled("app", reason).await;
        world.assert_nothing_asked().await;
        sim.authority_state(&authority.arn, "ACTIVE").await;
        // What was seen of the CA is used for ten seconds more.
        crate::wait::eventually(&format!("{state} is over"), || async {
            nudge(&world, "app").await;
            let now = world.certificates().get("app").await.map_err(|e| e.to_string())?;
            if now.condition(STALLED).is_none() { Ok(()) } else { Err(now.message(STALLED).to_owned()) }
        })
        .await;
        world.revision("app", 1).await;
        world.assert_paid(1).await;
    });
    join_all(each).await;
}

/// It is deleted between the signature and its fetching, and restored: paid for once. Then before a renewal: the old one works.
#[tokio::test]
async fn a_ca_that_is_deleted_while_it_is_used() {
    let Some((world, authority, sim)) = world("ca-lost").await else { return };
    sim.error(&world.id, "acm-pca:GetCertificate", None, 400, "RequestInProgressException").await;
    world.certificate("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
    let asked = |r: &CertificateRequest| r.status.as_ref().is_some_and(|s| s.certificate_arn.is_some());
    until(&world.requests(), "app-1", "the CA was asked", asked).await;
    sim.authority_state(&authority.arn, "DELETED").await;
    sim.heal(&world.id).await;
    sim.error(&world.id, "acm-pca:GetCertificate", None, 400, "ResourceNotFoundException").await;
    nudge(&world, "app").await;
    let lost = until(&world.requests(), "app-1", "Stalled", |r: &CertificateRequest| r.is(STALLED)).await;
    assert!(asked(&lost), "what was paid for is remembered");
    sim.authority_state(&authority.arn, "ACTIVE").await;
    sim.heal(&world.id).await;
    crate::wait::eventually("the restored CA gives what it signed", || async {
        nudge(&world, "app").await;
        let now = world.requests().get("app-1").await.map_err(|e| e.to_string())?;
        if now.is(READY) { Ok(()) } else { Err(now.message(READY).to_owned()) }
    })
    .await;
    let before = world.revision("app", 1).await;
    world.assert_paid(1).await;
    sim.authority_state(&authority.arn, "DELETED").await;
    crate::wait::eventually("the renewal is told to be impossible", || async {
        world.renew("app").await;
        let now = world.certificates().get("app").await.map_err(|e| e.to_string())?;
        if now.is(STALLED) && now.is(READY) { Ok(()) } else { Err(now.message(READY).to_owned()) }
    })
    .await;
    let tls = world.tls("app").await;
    assert_eq!(world.acm(REGIONS[0]).await.certificate(&arn(&before, "edge")).await, *tls.leaf());
    world.assert_paid(1).await;
}

/// A token that ends in the middle is renewed, and nothing is done twice.
#[tokio::test]
async fn a_token_that_ends_in_the_middle_of_it() {
    let operations = ["IssueCertificate", "acm-pca:GetCertificate", "ImportCertificate", "DescribeCertificate"];
    let each = operations.into_iter().enumerate().map(async |(n, operation)| {
        let Some((world, authority, sim)) = world(&format!("token-{n}")).await else { return };
        sim.error(&world.id, operation, Some(1), 400, "ExpiredTokenException").await;
        world.certificate("app", &authority, json!({ "acm": [{ "name": "edge" }] })).await;
        let certificate = world.revision("app", 1).await;
        assert!(certificate.condition(STALLED).is_none(), "{operation}");
        world.assert_paid(1).await;
        assert_eq!(world.acm(REGIONS[0]).await.arns().await, [arn(&certificate, "edge")], "{operation}");
    });
    join_all(each).await;
}

/// A namespace ends with all that is in it: what may go from ACM goes, what is in use is marked and let go.
#[tokio::test]
async fn a_namespace_that_ends_lets_go_of_what_is_in_use() {
    let Some((world, authority, sim)) = world("ending-use").await else { return };
    let acm = json!([{ "name": "edge", "deletionPolicy": "Delete" }, { "name": "far", "region": REGIONS[1], "deletionPolicy": "Delete" }]);
    let certificate = world.issued("app", &authority, json!({ "acm": acm })).await;
    let waiting =
        world.request_manifest("waits", &authority, json!({ "csr": csr(&[&world.domain("w")]).1, "signature": null }));
    world.make(&world.requests(), waiting).await;
    let (edge, far) = (arn(&certificate, "edge"), arn(&certificate, "far"));
    let balancer =
        format!("arn:aws:elasticloadbalancing:{}:{}:loadbalancer/app/web/0123456789abcdef", REGIONS[0], world.id);
    sim.in_use(&edge, &[&balancer]).await;
    world.namespaces().delete(&world.namespace, &kube::api::DeleteParams::default()).await.expect("it can be deleted");
    crate::wait::gone(&world.namespaces(), &world.namespace).await;
    let acm = world.acm(REGIONS[0]).await;
    assert_eq!(acm.tags(&edge).await.get("arnkeeper.dev/released").map(String::as_str), Some("true"));
    world.acm(REGIONS[1]).await.gone(&far).await;
    world.assert_paid(1).await;
}

/// Nothing may be deleted in ACM any more: a namespace does not wait for a person.
#[tokio::test]
async fn a_namespace_that_ends_does_not_wait_for_a_permission() {
    let Some((world, authority, sim)) = world("ending-denied").await else { return };
    let acm = json!([{ "name": "edge", "deletionPolicy": "Delete" }]);
    let certificate = world.issued("app", &authority, json!({ "acm": acm })).await;
    sim.deny(&world.id, &["acm:DeleteCertificate"]).await;
    world.namespaces().delete(&world.namespace, &kube::api::DeleteParams::default()).await.expect("it can be deleted");
    crate::wait::gone(&world.namespaces(), &world.namespace).await;
    assert_eq!(world.acm(REGIONS[0]).await.arns().await, [arn(&certificate, "edge")]);
}

/// The account goes first, with what would have deleted: nothing hangs, and nothing more is paid for, whatever is asked.
#[tokio::test]
async fn an_account_and_its_credentials_that_go_first() {
    let Some((world, authority, sim)) = world("account-first").await else { return };
    let spec =
        json!({ "acm": [{ "name": "edge", "deletionPolicy": "Delete" }], "secret": { "deletionPolicy": "Delete" } });
    let certificate = world.issued("app", &authority, spec).await;
    sim.error(&world.id, "acm-pca:GetCertificate", None, 400, "RequestInProgressException").await;
    let request = async |name: &str| {
        let (_, csr) = csr(&[&world.domain(name)]);
        world.request(name, &authority, json!({ "csr": csr })).await;
    };
    request("req").await;
    let asked = |r: &CertificateRequest| r.status.as_ref().is_some_and(|s| s.certificate_arn.is_some());
    until(&world.requests(), "req", "the CA was asked", asked).await;
    world.assert_paid(2).await;
    let calls = sim.calls(&world.id, "IssueCertificate").await.len();
    let how = kube::api::DeleteParams::default();
    world.accounts().delete(&world.account, &how).await.expect("it can be deleted");
    world.credentials().delete(&world.account, &how).await.expect("it can be deleted");
    crate::wait::gone(&world.accounts(), &world.account).await;
    world.renew("app").await;
    world.certificate("late", &authority, json!({})).await;
    request("other").await;
    for name in ["req", "other"] {
        let stalled =
            until(&world.requests(), name, "the request says so", |r: &CertificateRequest| r.is(STALLED)).await;
        assert!(stalled.because(STALLED, "AccountNotAvailable"), "{name}");
    }
    for name in ["app", "late"] {
        says(&world, name, &["AccountNotAvailable"]).await;
    }
    world.namespaces().delete(&world.namespace, &how).await.expect("it can be deleted");
    crate::wait::gone(&world.namespaces(), &world.namespace).await;
    assert_eq!(world.acm(REGIONS[0]).await.arns().await, [arn(&certificate, "edge")], "nobody could delete it");
    world.assert_paid(2).await;
    assert_eq!(sim.calls(&world.id, "IssueCertificate").await.len(), calls, "it was not even asked again");
}
