//! Who may use an AwsAccount.

use crate::{
    api::{
        AwsAccount,
        account::{AllowedNamespaces, NamespacesFrom},
        names::Region,
    },
    aws::sessions::ProblemKind,
};
use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt;
use std::collections::BTreeMap;

/// Labels of a namespace.
pub type Labels = BTreeMap<String, String>;

/// Why an account can't be used here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// CamelCase, for a condition.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

/// What keeps us out of an account and goes by itself is tried again after this long.
pub const UNTIL_IT_PASSES: SignedDuration = SignedDuration::from_secs(30);

impl Refusal {
    /// Whether what keeps us out of an account may go by itself, within minutes: no person has to act.
    #[must_use]
    pub fn passes(&self) -> bool {
        [ProblemKind::Transient, ProblemKind::VaultUnavailable].iter().any(|kind| kind.reason() == self.reason)
    }
}

/// Whether a namespace may use an account in a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// It may.
    Granted,
    /// The account names namespaces by labels: read them first.
    NeedsLabels,
    /// It may not.
    Refused(Refusal),
}

/// Decides. Whether the account does not exist or is not for this namespace is not told: a refusal reveals nothing.
#[must_use]
pub fn access(
    account: Option<&AwsAccount>,
    name: &str,
    namespace: &str,
    labels: Option<&Labels>,
    region: &Region,
) -> Access {
    let unavailable = || {
        Access::Refused(Refusal {
            reason: "AccountNotAvailable",
            message: format!(
                "AwsAccount {name:?} is not available to namespace {namespace:?}: either there is none of this name, or its \
                 allowedNamespaces do not name the namespace; ask who runs the cluster"
            ),
        })
    };
    let Some(account) = account else { return unavailable() };
    match namespace_allowed(account.spec.allowed_namespaces.as_ref(), namespace, labels) {
        None => Access::NeedsLabels,
        Some(false) => unavailable(),
        Some(true) => usable(account, name, region),
    }
}

/// The same for what is only watched: where the account's discovery puts what it finds, it may be looked at.
#[must_use]
pub fn access_to_watch(
    account: Option<&AwsAccount>,
    name: &str,
    namespace: &str,
    labels: Option<&Labels>,
    region: &Region,
) -> Access {
    match account.filter(|a| a.spec.discovery.as_ref().is_some_and(|discovery| discovery.names(namespace))) {
        Some(account) => usable(account, name, region),
        None => access(account, name, namespace, labels, region),
    }
}

/// Whether an account is enabled, and has the region.
fn usable(account: &AwsAccount, name: &str, region: &Region) -> Access {
    if !account.spec.enabled {
        return Access::Refused(Refusal {
            reason: "AccountDisabled",
            message: format!(
                "AwsAccount {:?} is disabled (spec.enabled is false), and no AWS call is made for it: have it enabled, or name \
                 another account",
                account.name_any()
            ),
        });
    }
    if !account.spec.regions.contains(region) {
        let regions: Vec<&str> = account.spec.regions.iter().map(Region::as_str).collect();
        return Access::Refused(Refusal {
            reason: "RegionNotAllowed",
            message: format!(
                "region {region} is not among the regions of AwsAccount {name:?} ({}): name one of those, or have it added to \
                 spec.regions of the AwsAccount",
                regions.join(", ")
            ),
        });
    }
    Access::Granted
}

/// None: the labels have to be known first.
fn namespace_allowed(allowed: Option<&AllowedNamespaces>, namespace: &str, labels: Option<&Labels>) -> Option<bool> {
    let Some(allowed) = allowed else { return Some(false) };
    match allowed.from {
        NamespacesFrom::All => Some(true),
        NamespacesFrom::Names => {
            Some(allowed.names.as_ref().is_some_and(|names| names.iter().any(|name| name == namespace)))
        }
        NamespacesFrom::Selector => match &allowed.selector {
            Some(selector) => labels.map(|labels| selects(selector, labels)),
            None => Some(false),
        },
    }
}

/// Whether a label selector selects these labels; an empty one selects none, so that a forgotten value opens nothing.
fn selects(selector: &LabelSelector, labels: &Labels) -> bool {
    let exact = selector.match_labels.iter().flatten();
    let expressions = selector.match_expressions.iter().flatten();
    let empty = exact.clone().next().is_none() && expressions.clone().next().is_none();
    // A key that can't be is no key that is absent: it must not open an account by `DoesNotExist`.
    let keys = exact.clone().map(|(key, _)| key).chain(expressions.clone().map(|e| &e.key));
    !empty
        && keys.into_iter().all(|key| is_label_key(key))
        && exact.clone().all(|(key, value)| labels.get(key) == Some(value))
        && expressions.clone().all(|e| {
            let values = e.values.as_deref().unwrap_or_default();
            let actual = labels.get(&e.key);
            // What Kubernetes itself would refuse selects nothing.
            match (e.operator.as_str(), values.is_empty()) {
                ("In", false) => actual.is_some_and(|v| values.contains(v)),
                ("NotIn", false) => actual.is_none_or(|v| !values.contains(v)),
                ("Exists", true) => actual.is_some(),
                ("DoesNotExist", true) => actual.is_none(),
                _ => false,
            }
        })
}

/// Whether it can be the key of a label: a name, after a DNS name and `/` if wanted (Kubernetes documentation, "Labels and Selectors").
fn is_label_key(key: &str) -> bool {
    let (prefix, name) = key.rsplit_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let alphanumeric = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let inside = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let label = |part: &str| {
        let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !part.is_empty() && part.chars().all(inside) && !part.starts_with('-') && !part.ends_with('-')
    };
    let fits = name.len() <= 63
        && name.chars().all(inside)
        && alphanumeric(name.chars().next())
        && alphanumeric(name.chars().next_back());
    fits && prefix.is_none_or(|prefix| prefix.len() <= 253 && prefix.split('.').all(label))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn account(spec: &serde_json::Value) -> AwsAccount {
        serde_json::from_value(json!({
            "apiVersion": "arnkeeper.dev/v1beta1", "kind": "AwsAccount", "metadata": { "name": "prod" }, "spec": spec,
        }))
        .unwrap()
    }

    fn region() -> Region {
        "eu-west-1".parse().unwrap()
    }

    fn reason(access: Access) -> &'static str {
        match access {
            Access::Refused(refusal) => refusal.reason,
            Access::Granted => "granted",
            Access::NeedsLabels => "labels",
        }
    }

    #[test]
    fn without_allowed_namespaces_nobody_may_use_an_account() {
        let closed = account(&json!({ "regions": ["eu-west-1"] }));
        assert_eq!(reason(access(Some(&closed), "prod", "pay", None, &region())), "AccountNotAvailable");
    }

    #[test]
    fn a_refusal_does_not_tell_whether_the_account_exists() {
        let closed =
            account(&json!({ "regions": ["eu-west-1"], "allowedNamespaces": { "from": "Names", "names": ["other"] } }));
        let missing = access(None, "prod", "pay", None, &region());
        assert_eq!(access(Some(&closed), "prod", "pay", None, &region()), missing);
    }

    #[test]
    fn names_and_selectors_choose_namespaces() {
        let named =
            account(&json!({ "regions": ["eu-west-1"], "allowedNamespaces": { "from": "Names", "names": ["pay"] } }));
        assert_eq!(access(Some(&named), "prod", "pay", None, &region()), Access::Granted);
        let selected = account(
            &json!({ "regions": ["eu-west-1"], "allowedNamespaces": { "from": "Selector", "selector": {
            "matchLabels": { "tier": "prod" }, "matchExpressions": [{ "key": "team", "operator": "In", "values": ["pay"] }] } } }),
        );
        assert_eq!(access(Some(&selected), "prod", "pay", None, &region()), Access::NeedsLabels);
        let labels = |tier: &str| Labels::from([("tier".into(), tier.into()), ("team".into(), "pay".into())]);
        assert_eq!(access(Some(&selected), "prod", "pay", Some(&labels("prod")), &region()), Access::Granted);
        assert_eq!(
            reason(access(Some(&selected), "prod", "pay", Some(&labels("dev")), &region())),
            "AccountNotAvailable"
        );
        let empty =
            account(&json!({ "regions": ["eu-west-1"], "allowedNamespaces": { "from": "Selector", "selector": {} } }));
        assert_eq!(
            reason(access(Some(&empty), "prod", "pay", Some(&labels("prod")), &region())),
            "AccountNotAvailable"
        );
    }

    #[test]
    fn a_disabled_account_and_a_region_that_is_not_allowed_are_told() {
        let off =
            account(&json!({ "regions": ["eu-west-1"], "enabled": false, "allowedNamespaces": { "from": "All" } }));
        assert_eq!(reason(access(Some(&off), "prod", "pay", None, &region())), "AccountDisabled");
        let elsewhere = account(&json!({ "regions": ["us-east-1"], "allowedNamespaces": { "from": "All" } }));
        assert_eq!(reason(access(Some(&elsewhere), "prod", "pay", None, &region())), "RegionNotAllowed");
        for (account, cure) in [(off, "have it enabled"), (elsewhere, "have it added to spec.regions")] {
            let Access::Refused(why) = access(Some(&account), "prod", "pay", None, &region()) else {
                panic!("granted")
            };
            assert!(why.message.contains(cure), "{}", why.message);
        }
    }

    #[test]
    fn where_discovery_puts_what_it_finds_it_may_be_looked_at() {
        let account = account(&json!({ "regions": ["eu-west-1"], "discovery": { "namespace": "inventory", "rules": [
            { "set": { "namespace": "pay" } } ] } }));
        let watch = |namespace| reason(access_to_watch(Some(&account), "prod", namespace, None, &region()));
        assert_eq!(["inventory", "pay", "other"].map(watch), ["granted", "granted", "AccountNotAvailable"]);
        assert_eq!(reason(access(Some(&account), "prod", "inventory", None, &region())), "AccountNotAvailable");
        let elsewhere = "us-east-1".parse().unwrap();
        let far = access_to_watch(Some(&account), "prod", "inventory", None, &elsewhere);
        assert_eq!(reason(far), "RegionNotAllowed");
    }

    #[test]
    fn a_selector_with_a_key_that_can_not_be_opens_nothing() {
        for key in ["x/y/z !", "", "-a", "a b", "A.example/b", "/a", "a/"] {
            let selector = json!({ "matchExpressions": [{ "key": key, "operator": "DoesNotExist" }] });
            let opened: LabelSelector = serde_json::from_value(selector).unwrap();
            assert!(!selects(&opened, &Labels::new()), "{key:?}");
        }
        let selector = json!({ "matchExpressions": [{ "key": "team.example/tier_1", "operator": "DoesNotExist" }] });
        assert!(selects(&serde_json::from_value(selector).unwrap(), &Labels::new()));
    }
}
