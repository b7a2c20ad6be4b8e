//! Decides about the members of an organization: which AwsAccounts there have to be, and how they stand.

mod leaving;

pub use leaving::{Shown, event, unread};

use crate::{
    api::{
        ACCOUNT_NAME_ANNOTATION, ACCOUNT_STATE_ANNOTATION, AwsAccount, ORGANIZATION_LABEL, PATH_ANNOTATION, UNIT_LABEL,
        account::{AssumeRole, AwsAccountSpec, Credentials, FromAccount},
        conditions::{ORGANIZATION_SYNCED, READY, is_true},
        names::AccountId,
        organization::{Failing, Match, OrganizationStatus, Rule, Selection},
    },
    aws::port::{Member, Organization},
    text::plain,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, OwnerReference};
use kube::{Resource, ResourceExt, api::ObjectMeta};
use std::{
    collections::{BTreeMap, BTreeSet},
    hash::Hash,
    sync::Arc,
};

/// The state of an account that can be used (Organizations user guide, "Monitor the state of your accounts").
pub const ACTIVE: &str = "ACTIVE";
/// Stands for the state of an account that is not in the organization any more, or not taken from it.
pub const LEFT: &str = "LEFT";
/// Failures that the status lists.
const MOST_FAILING: usize = 50;
/// What selects or matches nothing: so much of it is told.
const MOST_UNMATCHED: usize = 5;
/// The longest text of AWS in an annotation, in bytes. A path has at most six names of 128 letters.
const LONGEST: usize = 1024;

/// The reason where `include` selects no account.
pub const NOTHING_SELECTED: &str = "NothingSelected";
/// Another object has the name of a member.
const NAME_TAKEN: &str = "NameTaken";

/// What is to be done about one member.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// It is new.
    Create(Box<AwsAccount>),
    /// It is not as it has to be: replaced, with its uid and resourceVersion.
    Replace(Box<AwsAccount>),
    /// It is not a member any more, and nobody uses it.
    Delete {
        /// Its name.
        name: String,
        /// Its uid.
        uid: Option<String>,
        /// If it matters: the resourceVersion that this was decided on.
        version: Option<String>,
    },
    /// What its discovery made goes before it.
    Hide(Shown),
}

/// What there is around an organization.
#[derive(Clone, Debug, Default)]
pub struct Around {
    /// AwsAccounts that the organization's controls, by name.
    pub members: BTreeMap<String, Arc<AwsAccount>>,
    /// Names of all other AwsAccounts.
    pub others: BTreeSet<String>,
    /// Names of the AwsAccounts that somebody uses: what discovery made is nobody's use.
    pub used: BTreeSet<String>,
    /// Names of the AwsAccounts that have objects which discovery made.
    pub discovered: BTreeSet<String>,
    /// Those objects, of members that left and as far as they were read.
    pub shown: BTreeMap<String, Vec<Shown>>,
}

impl Around {
    /// What of these accounts concerns the organization of `owner`.
    #[must_use]
    pub fn new(
        owner: &AwsAccount,
        all: Vec<Arc<AwsAccount>>,
        is_used: impl Fn(&str) -> bool,
        is_discovered: impl Fn(&str) -> bool,
    ) -> Self {
        let (members, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|a| is_member_of(a, owner));
        let members: BTreeMap<_, _> = members.into_iter().map(|a| (a.name_any(), a)).collect();
        let those = |is: &dyn Fn(&str) -> bool| members.keys().filter(|name| is(name)).cloned().collect();
        let (used, discovered) = (those(&is_used), those(&is_discovered));
        let others = others.iter().map(|a| a.name_any()).collect();
        Self { members, others, used, discovered, shown: BTreeMap::new() }
    }

    /// What came of a change that was stored.
    pub fn note(&mut self, change: &Change, stored: Option<AwsAccount>) {
        match change {
            Change::Create(_) | Change::Replace(_) => {
                self.members.extend(stored.map(|stored| (stored.name_any(), Arc::new(stored))));
            }
            Change::Delete { name, .. } => {
                self.members.remove(name);
                self.shown.remove(name);
            }
            Change::Hide(object) => {
                let shown = self.shown.get_mut(&object.member);
                if let Some(shown) = shown {
                    shown.retain(|other| other != object);
                }
            }
        }
    }
}

/// Whether `account` is a member that the operator made for the organization of `owner`.
#[must_use]
pub fn is_member_of(account: &AwsAccount, owner: &AwsAccount) -> bool {
    let owners = account.owner_references();
    owners.iter().any(|o| o.controller == Some(true) && o.kind == "AwsAccount" && Some(&o.uid) == owner.uid().as_ref())
}

/// Whether the organization of an account was read: what was read is kept, so that another look at its members costs no call.
/// Where it could not be read, it is tried again in its time.
#[must_use]
pub fn is_read(owner: &AwsAccount) -> bool {
    let conditions = owner.status.as_ref().map(|s| &*s.conditions).unwrap_or_default();
    let read = |c: &Condition| c.type_ == ORGANIZATION_SYNCED && (c.status == "True" || c.reason == NOTHING_SELECTED);
    owner.spec.organization.is_some() && is_true(conditions, READY) && conditions.iter().any(read)
}

/// The members that can't be used for now, though the organization has nothing against them.
#[must_use]
pub fn failing(owner: &AwsAccount, all: &[Arc<AwsAccount>]) -> Vec<String> {
    let fails =
        |a: &&Arc<AwsAccount>| a.spec.enabled && is_member_of(a, owner) && inactive(a).is_none() && !is_ready(a);
    all.iter().filter(fails).map(|a| a.name_any()).collect()
}

/// What the operator writes into a member's object and its spec's generation does not tell of.
#[must_use]
pub fn written(member: &AwsAccount) -> impl Hash {
    let labels = [ORGANIZATION_LABEL, UNIT_LABEL].map(|key| member.labels().get(key).cloned());
    let annotations = [PATH_ANNOTATION, ACCOUNT_NAME_ANNOTATION, ACCOUNT_STATE_ANNOTATION];
    (labels, annotations.map(|key| member.annotations().get(key).cloned()))
}

/// The names of the other AwsAccounts that lead to an AWS account, as far as they told. That an organization's own account has
/// an object among its members, too, is as it has to be.
#[must_use]
pub fn also_leading_to(id: &AccountId, account: &AwsAccount, all: &[Arc<AwsAccount>]) -> Vec<String> {
    let before = account.status.as_ref().map_or(&[][..], |s| &*s.same_account);
    let leads = |other: &&Arc<AwsAccount>| {
        // One that can't be entered for now tells none.
        let told = other.status.as_ref().and_then(|s| s.account_id.as_deref());
        other.uid() != account.uid()
            && told.map_or_else(
                || before.iter().any(|name| Some(name) == other.metadata.name.as_ref()),
                |told| told == id.as_str(),
            )
            && other.spec.enabled
            && other.metadata.deletion_timestamp.is_none()
            && !is_member_of(other, account)
            && !is_member_of(account, other)
    };
    let mut names: Vec<String> = all.iter().filter(leads).map(|other| other.name_any()).collect();
    names.sort();
    names
}

/// Why a member can't be used, if the organization says so: reason and message.
#[must_use]
pub fn inactive(account: &AwsAccount) -> Option<(&'static str, String)> {
    account.spec.credentials.as_ref()?.from_account.as_ref()?;
    match account.annotations().get(ACCOUNT_STATE_ANNOTATION).map_or(ACTIVE, String::as_str) {
        ACTIVE => None,
        LEFT => Some((
            "LeftOrganization",
            "the account left the organization, or include and exclude of the organization leave it out; no AWS call is \
             made for it. The Certificates that its discovery made go, and then this object; it stays as long as Certificates \
             or requests that people wrote use it: give them another account"
                .into(),
        )),
        state => Some((
            "AccountNotActive",
            format!("the state of the account in its organization is {}: no AWS call is made for it", plain(state, 64)),
        )),
    }
}

/// All that has to change, in the order of names. Nothing: the members are as AWS has them.
#[must_use]
pub fn changes(owner: &AwsAccount, organization: &Organization, around: &Around) -> Vec<Change> {
    let mut changes = vec![];
    for (id, member) in &wanted(owner, organization) {
        let name = id.as_str();
        match around.members.get(name) {
            // It goes, and comes anew.
            Some(there) if there.metadata.deletion_timestamp.is_some() => {}
            Some(there) => changes.extend(replaced(there, object(owner, organization, member))),
            // A person's object is not taken over.
            None if around.others.contains(name) => {}
            None if member.state == ACTIVE => {
                changes.push(Change::Create(Box::new(object(owner, organization, member))));
            }
            None => {}
        }
    }
    for (name, there) in left_behind(owner, organization, around) {
        changes.extend(leaving::changes(name, there, around));
    }
    changes
}

/// The members that are there, and are to be there no more.
fn left_behind<'a>(
    owner: &AwsAccount,
    organization: &'a Organization,
    around: &'a Around,
) -> impl Iterator<Item = (&'a String, &'a Arc<AwsAccount>)> {
    let wanted: BTreeSet<AccountId> = wanted(owner, organization).into_keys().collect();
    let nothing_selected = includes_nobody(owner, organization);
    around.members.iter().filter(move |(name, there)| {
        let is_wanted = name.parse().is_ok_and(|id: AccountId| wanted.contains(&id));
        // A slip in `include` is no reason to take all members away.
        let slip = nothing_selected && organization.members.iter().any(|m| m.id.as_str() == name.as_str());
        !is_wanted && there.metadata.deletion_timestamp.is_none() && !slip
    })
}

/// The members that the organization's AwsAccount takes. The account that it is itself has an object already.
fn wanted<'a>(owner: &AwsAccount, organization: &'a Organization) -> BTreeMap<AccountId, &'a Member> {
    let Some(spec) = &owner.spec.organization else { return BTreeMap::new() };
    let taken = |m: &&Member| {
        m.id != organization.management_account
            && (spec.include.is_empty() || selects(&spec.include, m))
            && !selects(&spec.exclude, m)
    };
    organization.members.iter().filter(taken).map(|m| (m.id.clone(), m)).collect()
}

/// `include` selects no account of the organization at all.
#[must_use]
pub fn includes_nobody(owner: &AwsAccount, organization: &Organization) -> bool {
    let include = owner.spec.organization.as_ref().map(|o| &o.include);
    include.is_some_and(|include| !include.is_empty() && !organization.members.iter().any(|m| selects(include, m)))
}

/// What of the spec selects or matches nothing in the organization, for people; none: all of it does.
#[must_use]
pub fn unmatched(owner: &AwsAccount, organization: &Organization) -> Option<String> {
    let spec = owner.spec.organization.as_ref()?;
    let mut all = vec![];
    for (field, selection) in [("include", &spec.include), ("exclude", &spec.exclude)] {
        let accounts = selection.account_ids.iter().filter(|id| !organization.members.iter().any(|m| m.id == **id));
        all.extend(accounts.map(|id| format!("{field}.accountIds: {id} is no account of the organization")));
        let units = selection.organizational_unit_ids.iter();
        let empty = units.filter(|unit| !organization.members.iter().any(|m| lies_in(m, std::slice::from_ref(unit))));
        all.extend(empty.map(|unit| format!("{field}.organizationalUnitIds: no account lies in {unit}")));
    }
    let members: Vec<&Member> = wanted(owner, organization).into_values().collect();
    for (number, rule) in spec.rules.iter().enumerate() {
        if !members.iter().any(|m| matches(&rule.r#match, m)) {
            all.push(format!("rules[{number}] matches no member"));
        } else if !members.iter().any(|m| first_match(&spec.rules, m) == Some(number)) {
            all.push(format!("rules[{number}] is never used: an earlier rule matches all of its members"));
        }
    }
    let more = all.len().saturating_sub(MOST_UNMATCHED);
    all.truncate(MOST_UNMATCHED);
    if more > 0 {
        all.push(format!("and {more} more"));
    }
    (!all.is_empty()).then(|| all.join("; "))
}

fn first_match(rules: &[Rule], member: &Member) -> Option<usize> {
    rules.iter().position(|rule| matches(&rule.r#match, member))
}

fn selects(selection: &Selection, member: &Member) -> bool {
    selection.account_ids.contains(&member.id) || lies_in(member, &selection.organizational_unit_ids)
}

fn lies_in(member: &Member, units: &[String]) -> bool {
    member.units.iter().any(|(id, _)| units.contains(id))
}

fn matches(m: &Match, member: &Member) -> bool {
    (m.account_ids.is_empty() || m.account_ids.contains(&member.id))
        && (m.organizational_unit_ids.is_empty() || lies_in(member, &m.organizational_unit_ids))
        && m.name_pattern.as_ref().is_none_or(|pattern| like(pattern, &member.name))
}

/// Whether a name fits a pattern in which `*` stands for any letters.
fn like(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.ends_with(last)
}

/// The AwsAccount of a member, as it has to be.
fn object(owner: &AwsAccount, organization: &Organization, member: &Member) -> AwsAccount {
    let spec = owner.spec.organization.as_ref();
    let rules: &[Rule] = spec.map_or(&[], |o| &o.rules);
    let set = first_match(rules, member).and_then(|number| rules.get(number)).map(|rule| &rule.set);
    let partition = organization_partition(owner);
    let role = spec.map_or("", |o| &o.role_name);
    let role = format!("arn:{partition}:iam::{}:role/{role}", member.id).parse();
    let from = FromAccount { name: owner.name_any() };
    let regions = set.map(|s| &s.regions).filter(|r| !r.is_empty()).unwrap_or(&owner.spec.regions);
    let path: Vec<&str> = member.units.iter().map(|(_, name)| name.as_str()).collect();
    let text = |text: &str| plain(text, LONGEST);
    let mut labels = BTreeMap::from([(ORGANIZATION_LABEL.to_owned(), organization.id.clone())]);
    labels.extend(member.units.last().map(|(id, _)| (UNIT_LABEL.to_owned(), id.clone())));
    let metadata = ObjectMeta {
        name: Some(member.id.to_string()),
        labels: Some(labels),
        annotations: Some(BTreeMap::from([
            (PATH_ANNOTATION.to_owned(), text(&path.join("/"))),
            (ACCOUNT_NAME_ANNOTATION.to_owned(), text(&member.name)),
            (ACCOUNT_STATE_ANNOTATION.to_owned(), text(&member.state)),
        ])),
        owner_references: owner.controller_owner_ref(&()).map(|owner: OwnerReference| vec![owner]),
        ..ObjectMeta::default()
    };
    let spec = AwsAccountSpec {
        account_id: Some(member.id.clone()),
        enabled: owner.spec.enabled,
        credentials: Some(Credentials { from_account: Some(from), ..Credentials::default() }),
        assume_roles: role
            .map(|role_arn| AssumeRole { role_arn, external_id: None, duration: None })
            .into_iter()
            .collect(),
        regions: regions.clone(),
        allowed_namespaces: set.and_then(|s| s.allowed_namespaces.clone()),
        reimport: owner.spec.reimport,
        policy: set.and_then(|s| s.policy.clone()),
        organization: None,
        discovery: owner.spec.discovery.clone(),
        quotas: owner.spec.quotas.clone(),
        budget: owner.spec.budget.clone(),
    };
    AwsAccount { metadata, spec, status: None }
}

/// The partition is that of the regions: one account never spans two.
fn organization_partition(owner: &AwsAccount) -> &'static str {
    owner.spec.regions.first().map_or("aws", |region| region.partition())
}

/// The object that is there with what has to be; none if it is so. Labels and annotations of others stay.
fn replaced(there: &AwsAccount, wanted: AwsAccount) -> Option<Change> {
    let mut new = there.clone();
    new.spec = wanted.spec;
    new.labels_mut().extend(wanted.metadata.labels.into_iter().flatten());
    new.annotations_mut().extend(wanted.metadata.annotations.into_iter().flatten());
    (new != *there).then(|| Change::Replace(Box::new(new)))
}

/// How the members stand.
#[must_use]
pub fn status(owner: &AwsAccount, organization: &Organization, around: &Around) -> OrganizationStatus {
    let wanted = wanted(owner, organization);
    let others = wanted.values().filter(|m| around.others.contains(m.id.as_str()) && m.state == ACTIVE);
    let mut failing: Vec<Failing> =
        others.map(|m| Failing { account_id: m.id.to_string(), reason: NAME_TAKEN.into() }).collect();
    failing.extend(around.members.values().filter_map(|m| {
        let reason = match inactive(m) {
            Some((reason, _)) => reason.to_owned(),
            None if is_ready(m) => return None,
            None => m.status.iter().flat_map(|s| &s.conditions).find(|c| c.type_ == READY)?.reason.clone(),
        };
        Some(Failing { account_id: m.name_any(), reason })
    }));
    failing.sort();
    failing.truncate(MOST_FAILING);
    OrganizationStatus {
        id: plain(&organization.id, 64),
        management_account_id: organization.management_account.to_string(),
        accounts: count(around.members.len()),
        ready: count(around.members.values().filter(|m| inactive(m).is_none() && is_ready(m)).count()),
        failing,
    }
}

/// Whether some member has not told yet how it stands.
#[must_use]
pub fn unsettled(around: &Around) -> bool {
    around.members.values().any(|m| {
        let status = m.status.as_ref();
        let told = status.is_some_and(|s| s.conditions.iter().any(|c| c.type_ == READY));
        // What the organization says of it has to be in its status, too.
        !told || status.and_then(|s| s.state.as_ref()) != m.annotations().get(ACCOUNT_STATE_ANNOTATION)
    })
}

fn is_ready(account: &AwsAccount) -> bool {
    account.status.as_ref().is_some_and(|s| is_true(&s.conditions, READY))
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
