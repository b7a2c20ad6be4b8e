//! The sessions of an organization: of its management account, and of its members through it.

use super::{ProblemKind, Session, SessionProblem, Sessions};
use crate::{
    api::{AwsAccount, account::AssumeRole, names::Located},
    aws::port::Aws,
    core::organization::is_member_of,
};
use kube::ResourceExt;
use std::sync::Arc;

impl Sessions {
    /// The session of the management account of an account's organization.
    ///
    /// # Errors
    /// What keeps us out.
    pub async fn organization(&self, account: &AwsAccount) -> Result<Arc<dyn Aws>, SessionProblem> {
        Ok(self.management(account).await?.aws)
    }

    async fn management(&self, account: &AwsAccount) -> Result<Session, SessionProblem> {
        if !account.spec.enabled {
            let message = format!("AwsAccount {:?} is disabled: its organization is not entered", account.name_any());
            return Err(SessionProblem::new(ProblemKind::Disabled, message));
        }
        let organization = account.spec.organization.as_ref();
        let Some(role) = organization.and_then(|o| o.management_role_arn.clone()) else {
            return self.session(account, account.name_any()).await;
        };
        let mut managing = account.clone();
        managing.spec.account_id = role.account().parse().ok();
        managing.spec.assume_roles.push(AssumeRole { role_arn: role, external_id: None, duration: None });
        self.session(&managing, managing_slot(&account.name_any())).await
    }

    /// The way from an organization into its member; none: the account is no member.
    pub(super) async fn through(&self, account: &AwsAccount) -> Result<Option<Session>, SessionProblem> {
        let Some(from) = account.spec.credentials.as_ref().and_then(|c| c.from_account.as_ref()) else {
            return Ok(None);
        };
        let owner = (self.accounts)(&from.name);
        // Only the operator's own objects: whoever writes `fromAccount` by hand gets nothing by it.
        let owner = owner.filter(|owner| owner.spec.organization.is_some() && is_member_of(account, owner));
        let owner = owner.ok_or_else(|| {
            let message = format!(
                "credentials.fromAccount names AwsAccount {:?}, which is not there, has no organization, or did not make this \
                 object: the operator makes the members of an organization by itself",
                from.name
            );
            SessionProblem::new(ProblemKind::NoWay, message)
        })?;
        Box::pin(self.management(&owner)).await.map(Some)
    }
}

/// Where the session of an organization's management account is kept; no object's name has a slash.
pub(super) fn managing_slot(account: &str) -> String {
    format!("{account}/organization")
}
