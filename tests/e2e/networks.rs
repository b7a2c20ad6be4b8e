//! Partitions of AWS besides the ordinary one.

use crate::{
    accounts::{account_ready, account_refused},
    aws::Authority,
    harness::{BASE_KEY, World, arn},
    tls::Cert,
};
use serde_json::json;

/// A certificate is issued and imported in GovCloud, where every ARN has another partition.
#[tokio::test]
async fn a_certificate_in_govcloud() {
    let world = World { partition: "aws-us-gov", ..World::bare("gov").await };
    let (region, other) = ("us-gov-west-1", "us-gov-east-1");
    if let Some(sim) = world.stand.sim() {
        sim.role(&world.role(), None).await;
    }
    world.put_credentials(BASE_KEY.0, BASE_KEY.1).await;
    let authority = Authority::within(&world, region, json!({})).await;
    assert!(authority.arn.starts_with("arn:aws-us-gov:acm-pca:us-gov-west-1:"), "{}", authority.arn);
    world.make_account(json!({ "regions": [region, other] })).await;
    let status = account_ready(&world).await.status.expect("a status");
    assert_eq!(status.partition.as_deref(), Some("aws-us-gov"));
    assert!(status.caller_arn.is_some_and(|caller| caller.starts_with("arn:aws-us-gov:sts::")));
    let targets = json!([{ "name": "west" }, { "name": "east", "region": other }]);
    let certificate = world.issued("app", &authority, json!({ "region": region, "acm": targets })).await;
    let leaf = world.tls("app").await.leaf().clone();
    for (name, region) in [("west", region), ("east", other)] {
        let arn = arn(&certificate, name);
        assert!(arn.starts_with(&format!("arn:aws-us-gov:acm:{region}:{}:certificate/", world.id)), "{arn}");
        let found: Cert = world.acm(region).await.certificate(&arn).await;
        assert_eq!(found.0, leaf.0, "{arn}");
    }
    world.assert_paid(1).await;
}

/// Keys, roles and regions are of one partition: what is not is told before AWS is asked.
#[tokio::test]
async fn a_role_of_another_partition_is_told() {
    let world = World::bare("cn-role").await;
    world.put_credentials(BASE_KEY.0, BASE_KEY.1).await;
    let role = world.role().replacen("arn:aws:", "arn:aws-cn:", 1);
    world.make_account(json!({ "assumeRoles": [{ "roleArn": role }] })).await;
    let message = account_refused(&world, "WrongPartition").await;
    assert!(message.contains(&role) && message.contains("eu-west-1"), "{message}");
}
