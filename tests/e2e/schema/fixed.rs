//! Names, and what of a Certificate never changes.

use arnkeeper::api::Certificate;
use kube::{Api, api::PostParams};
use serde_json::json;

#[tokio::test]
async fn names_of_certificates_leave_room_for_those_of_their_requests() {
    let stand = crate::harness::Stand::get().await;
    let api: Api<Certificate> = Api::default_namespaced(stand.client);
    let manifest = json!({ "metadata": { "name": "a".repeat(236) }, "spec": {
        "accountRef": { "name": "prod" }, "region": "eu-west-1",
        "source": { "privateCa": { "certificateAuthority": { "name": "CA" } } },
        "subject": { "domainName": "app.example" }, "secret": { "name": "app" },
    } });
    let certificate: Certificate = crate::harness::from(manifest);
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let refused = api.create(&dry, &certificate).await.expect_err("a name that is too long").to_string();
    assert!(refused.contains("at most 235 characters"), "{refused}");
}

#[tokio::test]
async fn account_and_region_of_a_certificate_can_not_change() {
    let (world, authority) = crate::harness::World::new("fixed").await;
    let spec = json!({ "enabled": false, "acm": [{ "name": "edge" }] });
    world.certificate("app", &authority, spec).await;
    let ca = json!({ "privateCa": { "certificateAuthority": { "arn": null, "name": "CA" } } });
    let changes = [
        (json!({ "accountRef": { "name": "another" } }), "accountRef can't be changed"),
        (json!({ "region": "us-east-1", "source": ca }), "region can't be changed"),
        (json!({ "acm": [{ "name": "edge", "region": "us-east-1" }] }), "region of a target can't be changed"),
        (
            json!({ "acm": [{ "name": "edge", "accountRef": { "name": "another" } }] }),
            "accountRef of a target can't be changed",
        ),
    ];
    for (change, word) in changes {
        let patch = kube::api::Patch::Merge(json!({ "spec": change }));
        let answer = world.certificates().patch("app", &kube::api::PatchParams::default(), &patch).await;
        let refused = answer.expect_err("the change is refused").to_string();
        assert!(refused.contains(word), "{refused}");
    }
}
