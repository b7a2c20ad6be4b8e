//! AWS Organizations as far as reading goes (Organizations API reference and its service model).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::{ApiError, Call};

/// The largest page, and the one where MaxResults is left out (ListAccounts, MaxResults: 1 to 20).
const PAGE: usize = 20;

/// An organization, as the control endpoint is given it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Organization {
    /// The account that it is managed from; it lies in the root.
    management_account: String,
    /// Such as `o-exampleorgid`.
    #[serde(default = "usual_id")]
    id: String,
    /// Units, each after its parent.
    #[serde(default)]
    units: Vec<Unit>,
    /// The other accounts.
    #[serde(default)]
    accounts: Vec<Account>,
    /// Whether each list begins with an empty page that has a successor.
    #[serde(default)]
    empty_pages: bool,
}

fn usual_id() -> String {
    "o-exampleorgid".to_owned()
}

/// The root of every organization here.
const ROOT: &str = "r-exam";

fn root() -> String {
    ROOT.to_owned()
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Unit {
    id: String,
    name: String,
    #[serde(default = "root")]
    parent: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Account {
    id: String,
    name: String,
    #[serde(default = "active")]
    state: String,
    #[serde(default = "root")]
    parent: String,
}

fn active() -> String {
    "ACTIVE".to_owned()
}

/// All organizations, by the account that manages them.
#[derive(Debug, Default)]
pub struct Store(BTreeMap<String, Organization>);

impl Store {
    /// Puts an organization in the place of the one that this account manages.
    pub fn put(&mut self, mut organization: Organization) {
        let (id, name) = (organization.management_account.clone(), "management".to_owned());
        organization.accounts.insert(0, Account { id: id.clone(), name, state: active(), parent: root() });
        self.0.insert(id, organization);
    }
}

/// Answers an operation.
///
/// # Errors
/// AWSOrganizationsNotInUseException where the caller's account is in no organization, AccessDeniedException where it does
/// not manage it (ListAccounts, Errors), InvalidInputException.
pub fn handle(store: &Store, call: &Call, operation: &str, body: &Value) -> Result<Value, ApiError> {
    // AWS general reference, "AWS Organizations endpoints": one region a partition signs.
    let home = match call.partition.as_str() {
        "aws-us-gov" => "us-gov-west-1",
        "aws-cn" => "cn-northwest-1",
        _ => "us-east-1",
    };
    if call.region != home {
        let message = format!("Credential should be scoped to a valid region, not '{}'.", call.region);
        return Err(ApiError { code: "InvalidSignatureException", message, status: 403 });
    }
    let Some(organization) = store.0.values().find(|o| o.accounts.iter().any(|a| a.id == call.account)) else {
        return Err(ApiError::new(
            "AWSOrganizationsNotInUseException",
            "Your account is not a member of an organization.",
        ));
    };
    let partition = &call.partition;
    let manager = &organization.management_account;
    let arn =
        |kind: &str, id: &str| format!("arn:{partition}:organizations::{manager}:{kind}/{}/{id}", organization.id);
    // DescribeOrganization: any account of the organization may.
    if operation == "DescribeOrganization" {
        return Ok(json!({ "Organization": {
            "Id": organization.id, "FeatureSet": "ALL", "MasterAccountId": manager,
            "Arn": format!("arn:{partition}:organizations::{manager}:organization/{}", organization.id),
            "MasterAccountArn": arn("account", manager), "MasterAccountEmail": "management@example.com",
        } }));
    }
    if call.account != *manager {
        return Err(ApiError::new("AccessDeniedException", "You don't have permissions to access this resource."));
    }
    let account = |account: &Account| {
        // `Status` knows three words only (Account, Status); it was to be retired on 9 September 2026.
        json!({ "Id": account.id, "Arn": arn("account", &account.id), "Name": account.name, "State": account.state,
            "Email": format!("{}@example.com", account.id), "JoinedMethod": "CREATED", "JoinedTimestamp": 1_767_225_600 })
    };
    let parent = || -> Result<&str, ApiError> {
        let parent = body["ParentId"].as_str().unwrap_or_default();
        let known = parent == ROOT || organization.units.iter().any(|unit| unit.id == parent);
        known
            .then_some(parent)
            .ok_or_else(|| ApiError::new("ParentNotFoundException", "You specified parent that doesn't exist."))
    };
    let page = |field: &str, all: Vec<Value>| page(organization, body, field, all);
    match operation {
        "ListAccounts" => page("Accounts", organization.accounts.iter().map(account).collect()),
        "ListRoots" => {
            page("Roots", vec![json!({ "Id": ROOT, "Name": "Root", "Arn": arn("root", ROOT), "PolicyTypes": [] })])
        }
        "ListAccountsForParent" => {
            let parent = parent()?;
            page("Accounts", organization.accounts.iter().filter(|a| a.parent == parent).map(account).collect())
        }
        "ListOrganizationalUnitsForParent" => {
            let parent = parent()?;
            let unit = |unit: &Unit| json!({ "Id": unit.id, "Name": unit.name, "Arn": arn("ou", &unit.id) });
            page("OrganizationalUnits", organization.units.iter().filter(|u| u.parent == parent).map(unit).collect())
        }
        "ListParents" => {
            let child = body["ChildId"].as_str().unwrap_or_default();
            let accounts = organization.accounts.iter().map(|a| (&a.id, &a.parent));
            let mut known = accounts.chain(organization.units.iter().map(|u| (&u.id, &u.parent)));
            let (_, parent) = known
                .find(|(id, _)| *id == child)
                .ok_or_else(|| ApiError::new("ChildNotFoundException", "You specified child that doesn't exist."))?;
            let kind = if parent == ROOT { "ROOT" } else { "ORGANIZATIONAL_UNIT" };
            page("Parents", vec![json!({ "Id": parent, "Type": kind })])
        }
        other => Err(ApiError::new(
            "UnknownOperationException",
            format!("The operation {other} is not known to this emulator"),
        )),
    }
}

/// One page; "you can receive an empty set of results even when there are more" (ListAccounts, note).
fn page(organization: &Organization, body: &Value, field: &str, all: Vec<Value>) -> Result<Value, ApiError> {
    let invalid = |message: &str| ApiError::new("InvalidInputException", message);
    let size = match &body["MaxResults"] {
        Value::Null => PAGE,
        given => given
            .as_u64()
            .and_then(|n| usize::try_from(n).ok())
            .filter(|n| (1..=PAGE).contains(n))
            .ok_or_else(|| invalid("You provided a value that isn't between 1 and 20 for MaxResults."))?,
    };
    let from = match body["NextToken"].as_str() {
        None if organization.empty_pages => return Ok(json!({ field: [], "NextToken": "from-0" })),
        None => 0,
        Some(token) => token
            .strip_prefix("from-")
            .and_then(|n| n.parse::<usize>().ok())
            .ok_or_else(|| invalid("You provided an invalid NextToken."))?,
    };
    let more = all.len() > from.saturating_add(size);
    let mut answer = json!({ field: all.into_iter().skip(from).take(size).collect::<Vec<_>>() });
    if more {
        answer["NextToken"] = json!(format!("from-{}", from + size));
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(accounts: usize, empty_pages: bool) -> Store {
        let accounts: Vec<Value> = (0..accounts)
            .map(|n| json!({ "id": format!("{n:012}"), "name": format!("n{n}"), "parent": "ou-exam-00000001" }))
            .collect();
        let mut store = Store::default();
        let given = json!({ "managementAccount": "111122223333", "accounts": accounts, "emptyPages": empty_pages,
            "units": [{ "id": "ou-exam-00000001", "name": "Pay" }] });
        store.put(serde_json::from_value(given).unwrap());
        store
    }

    fn call(account: &str, region: &str) -> Call {
        Call { account: account.into(), region: region.into(), ..crate::tests::call() }
    }

    /// Organizations API reference, ListAccounts: at most 20 a page, and a page may be empty with a NextToken.
    #[test]
    fn pages_have_twenty_accounts_and_may_be_empty() {
        let (store, call) = (store(45, true), call("111122223333", "us-east-1"));
        let (mut sizes, mut body) = (vec![], json!({}));
        loop {
            let mut answer = handle(&store, &call, "ListAccounts", &body).unwrap();
            sizes.push(answer["Accounts"].as_array().unwrap().len());
            body["NextToken"] = answer["NextToken"].take();
            if body["NextToken"].is_null() {
                break;
            }
        }
        assert_eq!(sizes, [0, 20, 20, 6]);
        let error = handle(&store, &call, "ListAccounts", &json!({ "MaxResults": 21 })).unwrap_err();
        assert_eq!(error.code, "InvalidInputException");
    }

    /// Organizations API reference, ListAccounts: only the management account may; DescribeOrganization: all may.
    #[test]
    fn who_may_read_it() {
        let store = store(1, false);
        let code = |account: &str, region: &str, operation: &str| {
            handle(&store, &call(account, region), operation, &json!({})).map_or_else(|e| e.code, |_| "ok")
        };
        assert_eq!(code("000000000000", "us-east-1", "ListAccounts"), "AccessDeniedException");
        assert_eq!(code("000000000000", "us-east-1", "DescribeOrganization"), "ok");
        assert_eq!(code("444455556666", "us-east-1", "DescribeOrganization"), "AWSOrganizationsNotInUseException");
        assert_eq!(code("111122223333", "eu-west-1", "ListAccounts"), "InvalidSignatureException");
    }

    /// Organizations API reference, ListAccountsForParent, ListOrganizationalUnitsForParent, ListParents.
    #[test]
    fn the_tree_can_be_walked() {
        let (store, call) = (store(1, false), call("111122223333", "us-east-1"));
        let ask = |operation: &str, body: Value| handle(&store, &call, operation, &body);
        let root = ask("ListRoots", json!({})).unwrap()["Roots"][0]["Id"].clone();
        let unit = ask("ListOrganizationalUnitsForParent", json!({ "ParentId": root })).unwrap();
        let unit = unit["OrganizationalUnits"][0]["Id"].clone();
        let accounts = ask("ListAccountsForParent", json!({ "ParentId": unit })).unwrap();
        assert_eq!(accounts["Accounts"][0]["Id"], "000000000000");
        let parents = ask("ListParents", json!({ "ChildId": "000000000000" })).unwrap();
        assert_eq!(parents["Parents"][0], json!({ "Id": unit, "Type": "ORGANIZATIONAL_UNIT" }));
        let error = ask("ListAccountsForParent", json!({ "ParentId": "ou-exam-99999999" })).unwrap_err();
        assert_eq!(error.code, "ParentNotFoundException");
    }
}
