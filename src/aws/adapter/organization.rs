//! Reads an AWS organization (Organizations API reference).

use crate::{
    api::names::{AccountId, Region},
    aws::{
        classify::{from_sdk, unexpected},
        clients::Caller,
        error::{AwsError, Kind},
        paced::{Gate, quotas::Operation},
        port::{Member, Organization},
    },
};
use aws_sdk_organizations::{
    Client,
    types::{Account, AccountState, AccountStatus},
};
use std::collections::{BTreeMap, HashMap};

pub(super) const DESCRIBE: &str = "organizations:DescribeOrganization";
const LIST: &str = "organizations:ListAccounts";
const ROOTS: &str = "organizations:ListRoots";
const UNITS: &str = "organizations:ListOrganizationalUnitsForParent";
const WITHIN: &str = "organizations:ListAccountsForParent";

/// All of them.
#[cfg(test)]
pub(in crate::aws) const ACTIONS: [&str; 5] = [DESCRIBE, LIST, ROOTS, UNITS, WITHIN];

/// The largest page (ListAccounts, MaxResults).
const PAGE: i32 = 20;
/// More pages than this of one list are no organization's: AWS allows 10,000 accounts, and pages may be empty.
const MOST_PAGES: usize = 5000;
/// Units that are read: AWS allows 2,000 in an organization (Organizations user guide, quotas), and more on request.
const MOST_UNITS: usize = 20_000;

/// Reads one organization, each request when it is its turn.
pub(super) struct Reader<'a> {
    pub client: Caller<Client>,
    pub gate: &'a Gate,
    pub region: &'a Region,
}

/// All pages of a list, to the last: one may be empty and still have a successor (ListAccounts, note).
macro_rules! pages {
    ($self:ident, $action:expr, $call:expr, $items:ident) => {{
        let call = $call.max_results(PAGE);
        let mut all = Vec::new();
        let mut token: Option<String> = None;
        let mut pages = 0;
        loop {
            let answer = $self
                .turn(|| async {
                    let sent = {
                        let page = call.clone().set_next_token(token.clone()).customize();
                        Box::pin(page.config_override($self.client.own()).send()).await
                    };
                    sent.map_err(|error| from_sdk($action, &error))
                })
                .await?;
            token = answer.next_token().filter(|token| !token.is_empty()).map(str::to_owned);
            all.extend(answer.$items.unwrap_or_default());
            pages += 1;
            if token.is_none() {
                break all;
            }
            if pages >= MOST_PAGES {
                return Err(unexpected($action, "last page"));
            }
        }
    }};
}

impl Reader<'_> {
    async fn turn<T, F>(&self, request: impl Fn() -> F) -> Result<T, AwsError>
    where
        F: Future<Output = Result<T, AwsError>>,
    {
        self.gate.patiently(Operation::ListAccounts, self.region, request).await
    }

    pub(super) async fn read(&self) -> Result<Organization, AwsError> {
        let answer = self.turn(|| async {
            let sent =
                Box::pin(self.client.describe_organization().customize().config_override(self.client.own()).send())
                    .await;
            sent.map_err(|error| from_sdk(DESCRIBE, &error))
        });
        let described = answer.await?.organization.ok_or_else(|| unexpected(DESCRIBE, "organization"))?;
        let id = described.id().ok_or_else(|| unexpected(DESCRIBE, "id of the organization"))?.to_owned();
        let management_account = described.master_account_id().and_then(|id| id.parse().ok());
        let management_account = management_account.ok_or_else(|| unexpected(DESCRIBE, "management account"))?;
        let accounts = pages!(self, LIST, self.client.list_accounts(), accounts);
        let places = self.places().await?;
        let mut members = BTreeMap::new();
        for account in &accounts {
            let member = member(account, &places)?;
            members.insert(member.id.clone(), member);
        }
        Ok(Organization { id, management_account, members: members.into_values().collect() })
    }

    /// What each account lies in, from the root down.
    async fn places(&self) -> Result<HashMap<String, Vec<(String, String)>>, AwsError> {
        let roots = pages!(self, ROOTS, self.client.list_roots(), roots);
        let mut open: Vec<Vec<(String, String)>> = roots
            .iter()
            .filter_map(|root| Some(vec![(root.id()?.to_owned(), root.name().unwrap_or("Root").to_owned())]))
            .collect();
        let (mut places, mut seen) = (HashMap::new(), 0);
        while let Some(path) = open.pop() {
            seen += 1;
            let Some((parent, _)) = path.last().filter(|_| seen <= MOST_UNITS) else {
                return Err(unexpected(UNITS, "end of its organizational units"));
            };
            let list = self.client.list_accounts_for_parent().parent_id(parent);
            for account in pages!(self, WITHIN, list, accounts) {
                places.extend(account.id.map(|id| (id, path.clone())));
            }
            let list = self.client.list_organizational_units_for_parent().parent_id(parent);
            for unit in pages!(self, UNITS, list, organizational_units) {
                if let Some(id) = unit.id {
                    let mut below = path.clone();
                    below.push((id, unit.name.unwrap_or_default()));
                    open.push(below);
                }
            }
        }
        Ok(places)
    }
}

fn member(account: &Account, places: &HashMap<String, Vec<(String, String)>>) -> Result<Member, AwsError> {
    let id: AccountId = account.id().and_then(|id| id.parse().ok()).ok_or_else(|| unexpected(LIST, "account id"))?;
    // `Status` was to be retired on 9 September 2026 (ListAccounts, note); emulators know nothing else.
    let state = account.state().map(AccountState::as_str).or(account.status().map(AccountStatus::as_str));
    // One that moved between two lists is in neither place: the next look tells.
    let units = places.get(id.as_str()).cloned().ok_or_else(|| AwsError {
        kind: Kind::Transient,
        action: WITHIN,
        code: None,
        message: format!("account {id} was moved, or joined, in the meantime"),
    })?;
    Ok(Member {
        name: account.name().unwrap_or_default().to_owned(),
        state: state.unwrap_or("UNKNOWN").to_owned(),
        units,
        id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_comes_before_the_status() {
        let places = HashMap::from([("111122223333".to_owned(), vec![("r-abcd".to_owned(), "Root".to_owned())])]);
        let account = Account::builder().id("111122223333").name("pay").status(AccountStatus::Active);
        assert_eq!(member(&account.clone().build(), &places).unwrap().state, "ACTIVE");
        let closed = account.state(AccountState::PendingClosure).build();
        assert_eq!(member(&closed, &places).unwrap().state, "PENDING_CLOSURE");
        let elsewhere = Account::builder().id("444455556666").build();
        assert_eq!(member(&elsewhere, &places).unwrap_err().kind, Kind::Transient);
    }
}
