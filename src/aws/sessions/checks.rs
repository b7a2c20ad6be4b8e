//! What is wrong with an account's way in, as far as it is known without AWS, or from the identity that it leads to.

use super::{ProblemKind, SessionProblem};
use crate::{
    api::{AwsAccount, account::AssumeRole, names::Region},
    aws::port::Identity,
};
use std::time::Duration;

/// A role assumed from a role lasts at most this long (IAM user guide, role chaining).
const LONGEST_CHAINED: Duration = Duration::from_hours(1);

/// Checks what AWS would refuse of a chain of roles.
pub(super) fn check_chain(roles: &[AssumeRole]) -> Result<(), SessionProblem> {
    let long = |role: &&AssumeRole| role.duration.is_some_and(|d| Duration::from(d.0) > LONGEST_CHAINED);
    roles.iter().skip(1).find(long).map_or(Ok(()), |role| {
        Err(SessionProblem::new(
            ProblemKind::RoleChain,
            format!(
                "{} is assumed from another role, so its session lasts at most 1h: lower its duration",
                role.role_arn
            ),
        ))
    })
}

/// Partitions know nothing of each other: neither keys nor roles of one are good for another's regions.
pub(super) fn check_partition<'a>(
    regions: &[Region],
    arns: impl IntoIterator<Item = &'a str>,
) -> Result<(), SessionProblem> {
    let Some(region) = regions.first() else { return Ok(()) };
    let own = region.partition();
    let problem = |what: String| {
        let message = format!(
            "{what}, and region {region} in {own}: an account, its roles and its regions are all of one partition"
        );
        Err(SessionProblem::new(ProblemKind::WrongPartition, message))
    };
    if let Some(other) = regions.iter().find(|other| other.partition() != own) {
        return problem(format!("region {other} lies in AWS's partition {}", other.partition()));
    }
    let partition = |arn: &'a str| arn.split(':').nth(1).unwrap_or_default();
    match arns.into_iter().find(|arn| partition(arn) != own) {
        Some(arn) => problem(format!("{arn} lies in AWS's partition {:?}", partition(arn))),
        None => Ok(()),
    }
}

/// The identity has to be the one that is wanted, and no root user.
pub(super) fn check_identity(account: &AwsAccount, identity: &Identity) -> Result<(), SessionProblem> {
    if identity.arn.ends_with(":root") {
        let message = format!(
            "the credentials are those of the root user ({}), which may do everything: use a role or an IAM user with the policy of the documentation",
            identity.arn
        );
        return Err(SessionProblem::new(ProblemKind::RootCredentials, message));
    }
    match &account.spec.account_id {
        Some(wanted) if *wanted != identity.account => Err(SessionProblem::new(
            ProblemKind::WrongAccount,
            format!(
                "the credentials lead to account {} ({}), not to spec.accountId {wanted}: correct spec.accountId, or give credentials of {wanted}",
                identity.account, identity.arn
            ),
        )),
        _ => Ok(()),
    }
}
