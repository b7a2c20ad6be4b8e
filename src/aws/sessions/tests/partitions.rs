//! What belongs to one AWS partition, and where STS is asked.

use super::*;

#[tokio::test]
async fn what_is_not_of_one_partition_is_told_before_aws_is_asked() {
    let stand = Stand::new(|_, _| who(USER)).await;
    for (spec, words) in [
        (json!({ "regions": ["eu-west-1", "us-gov-west-1"] }), ["us-gov-west-1", "aws-us-gov"]),
        (
            json!({ "assumeRoles": [{ "roleArn": "arn:aws-cn:iam::111122223333:role/arnkeeper" }] }),
            ["arn:aws-cn:iam::111122223333:role/arnkeeper", "eu-west-1"],
        ),
        (
            json!({ "regions": ["cn-north-1"], "assumeRoles": [{ "roleArn": "arn:aws:iam::111122223333:role/arnkeeper" }] }),
            ["cn-north-1", "aws-cn"],
        ),
    ] {
        let problem = stand.sessions.open(&account_with(1, &spec)).await.err().unwrap();
        assert_eq!((problem.kind, problem.reason()), (ProblemKind::WrongPartition, "WrongPartition"));
        assert!(words.iter().all(|word| problem.message.contains(word)), "{problem}");
        stand.sessions.forget("prod");
    }
    assert!(stand.sts.calls().is_empty(), "AWS was called");
    // An endpoint of one's own may lead anywhere.
    let problem = stand.sessions.open(&account_with(1, &json!({ "regions": ["us-gov-west-1"] }))).await.err().unwrap();
    assert!(problem.kind == ProblemKind::WrongPartition && problem.message.contains(USER), "{problem}");
}

#[tokio::test]
async fn sts_is_asked_in_a_region_of_the_account() {
    for (region, partition) in [("us-gov-west-1", "aws-us-gov"), ("cn-northwest-1", "aws-cn"), ("eu-west-1", "aws")] {
        let stand = Stand::new(move |call, _| match &*call.operation {
            "AssumeRole" => role("ASIAFIRST"),
            _ => who(&format!("arn:{partition}:sts::111122223333:assumed-role/arnkeeper/arnkeeper")),
        })
        .await;
        let role = format!("arn:{partition}:iam::111122223333:role/arnkeeper");
        let account = account_with(1, &json!({ "regions": [region], "assumeRoles": [{ "roleArn": role }] }));
        stand.sessions.open(&account).await.ok().unwrap();
        assert_eq!(stand.sts.operations(), ["AssumeRole", "GetCallerIdentity"]);
        assert!(stand.sts.calls().iter().all(|call| call.region == region), "{region}");
    }
}
