//! The organization of an AwsAccount: how its members are reached, which of them are taken, and who may use them.

use super::{
    account::{AllowedNamespaces, Policy},
    names::{AccountId, Region, RoleArn},
    schema,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The role that AWS makes in accounts created in an organization. It is an administrator's.
pub const USUAL_ROLE: &str = "OrganizationAccountAccessRole";

/// An AWS organization, read through its management account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Organization {
    /// The name of the role, with its path if it has one, through which every member is entered. Default:
    /// OrganizationAccountAccessRole, which exists only in accounts that the organization created, and may do everything there.
    #[serde(default = "usual_role")]
    #[schemars(schema_with = "schema::role_name")]
    pub role_name: String,
    /// With credentials of a member account: the role of the management account to read the organization with, and to enter
    /// the members from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub management_role_arn: Option<RoleArn>,
    /// The members to take. Left out or empty: all.
    #[serde(default, skip_serializing_if = "Selection::is_empty")]
    pub include: Selection,
    /// The members to leave out, even if `include` names them.
    #[serde(default, skip_serializing_if = "Selection::is_empty")]
    pub exclude: Selection,
    /// Who may use which member: the first that matches. No match: nobody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub rules: Vec<Rule>,
}

fn usual_role() -> String {
    USUAL_ROLE.into()
}

/// Members, by id or by where they lie. An account is selected that either list names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Selection {
    /// Account ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub account_ids: Vec<AccountId>,
    /// Ids of organizational units or of the root, with all that lies below them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::unit_ids")]
    pub organizational_unit_ids: Vec<String>,
}

impl Selection {
    /// It names nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.account_ids.is_empty() && self.organizational_unit_ids.is_empty()
    }
}

/// Who may use the members that match.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// The members. What is left out does not narrow it: an empty one matches all.
    #[serde(default)]
    pub r#match: Match,
    /// What they get.
    pub set: Settings,
}

/// Members: all of what is given has to fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Match {
    /// Account ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub account_ids: Vec<AccountId>,
    /// Ids of organizational units or of the root, with all that lies below them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::unit_ids")]
    pub organizational_unit_ids: Vec<String>,
    /// The account's name, with `*` for any letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 50))]
    pub name_pattern: Option<String>,
}

/// What a member gets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// The namespaces that may use it. Left out: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_namespaces: Option<AllowedNamespaces>,
    /// Its regions. Left out: those of the organization's AwsAccount.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 40))]
    pub regions: Vec<Region>,
    /// What may be done there at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
}

/// How the members of an organization stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrganizationStatus {
    /// The organization's id, such as `o-exampleorgid`.
    pub id: String,
    /// The account that it is managed from.
    pub management_account_id: String,
    /// The members that are taken.
    pub accounts: i64,
    /// Those that can be used.
    pub ready: i64,
    /// Those that can't, and why; at most 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failing: Vec<Failing>,
}

/// A member that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failing {
    /// Its account id.
    pub account_id: String,
    /// CamelCase; its own AwsAccount tells more.
    pub reason: String,
}
