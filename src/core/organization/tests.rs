use super::*;
use proptest::prelude::*;
use serde_json::json;

const OWNER: &str = "111122223333";

fn owner(organization: &serde_json::Value) -> AwsAccount {
    serde_json::from_value(json!({
        "apiVersion": "arnkeeper.dev/v1beta1", "kind": "AwsAccount", "metadata": { "name": "org", "uid": "uid-org" },
        "spec": { "regions": ["eu-west-1"], "organization": organization },
    }))
    .unwrap()
}

fn member(id: u64, state: &str, name: &str, unit: &str) -> Member {
    let units = vec![("r-abcd".to_owned(), "Root".to_owned()), (unit.to_owned(), "Pay".to_owned())];
    Member { id: format!("{id:012}").parse().unwrap(), name: name.into(), state: state.into(), units }
}

fn organization(members: Vec<Member>) -> Organization {
    Organization { id: "o-example".into(), management_account: OWNER.parse().unwrap(), members }
}

/// Carries changes out as the API server does.
fn apply(around: &mut Around, changes: Vec<Change>) {
    for change in changes {
        let stored = match &change {
            Change::Create(new) | Change::Replace(new) => Some((**new).clone()),
            Change::Delete { .. } | Change::Hide(_) => None,
        };
        around.note(&change, stored);
    }
}

/// The member's own pass tells what the organization says of it.
fn tells(around: &mut Around, name: &str) {
    let told = Arc::make_mut(around.members.get_mut(name).unwrap());
    let state = told.annotations().get(ACCOUNT_STATE_ANNOTATION).cloned();
    told.status.get_or_insert_default().state = state;
    told.metadata.resource_version = Some("7".into());
}

#[test]
fn an_active_member_gets_an_object_that_nobody_may_use_where_no_rule_matches() {
    let owner = owner(&json!({ "rules": [{ "match": { "namePattern": "pay-*" },
        "set": { "allowedNamespaces": { "from": "All" }, "regions": ["us-east-1"], "policy": { "adoption": "Any" } } }] }));
    let organization = organization(vec![
        member(1, ACTIVE, "pay-one", "ou-abcd-11111111"),
        member(2, ACTIVE, "other", "ou-abcd-11111111"),
        member(3, "SUSPENDED", "pay-three", "ou-abcd-11111111"),
        member(111_122_223_333, ACTIVE, "management", "ou-abcd-11111111"),
    ]);
    let mut around = Around::default();
    let made = changes(&owner, &organization, &around);
    assert_eq!(made.len(), 2, "neither the suspended one nor the managing one");
    apply(&mut around, made);
    let (pay, other) = (&around.members["000000000001"], &around.members["000000000002"]);
    assert!(pay.spec.allowed_namespaces.is_some() && other.spec.allowed_namespaces.is_none());
    assert_eq!((pay.spec.regions[0].as_str(), other.spec.regions[0].as_str()), ("us-east-1", "eu-west-1"));
    assert!(pay.spec.policy.is_some() && other.spec.policy.is_none());
    let role = pay.spec.assume_roles[0].role_arn.as_str();
    assert_eq!(role, "arn:aws:iam::000000000001:role/OrganizationAccountAccessRole");
    assert_eq!(pay.annotations()[PATH_ANNOTATION], "Root/Pay");
    assert!(is_member_of(pay, &owner));
}

#[test]
fn members_are_entered_in_the_partition_of_their_organization() {
    for (region, partition) in [("us-gov-west-1", "aws-us-gov"), ("cn-north-1", "aws-cn")] {
        let mut owner = owner(&json!({ "roleName": "teams/keeper" }));
        owner.spec.regions = vec![region.parse().unwrap()];
        let mut around = Around::default();
        let made = changes(&owner, &organization(vec![member(1, ACTIVE, "a", "ou-abcd-11111111")]), &around);
        apply(&mut around, made);
        let spec = &around.members["000000000001"].spec;
        let role = format!("arn:{partition}:iam::000000000001:role/teams/keeper");
        assert_eq!((spec.assume_roles[0].role_arn.as_str(), spec.regions[0].as_str()), (&*role, region));
    }
}

#[test]
fn members_inherit_discovery() {
    let mut owner = owner(&json!({}));
    owner.spec.discovery = serde_json::from_value(json!({ "namespace": "inventory", "interval": "6h" })).unwrap();
    let organization = organization(vec![member(1, ACTIVE, "a", "ou-abcd-11111111")]);
    let mut around = Around::default();
    let made = changes(&owner, &organization, &around);
    apply(&mut around, made);
    assert_eq!(around.members["000000000001"].spec.discovery, owner.spec.discovery);
    owner.spec.discovery = None;
    let made = changes(&owner, &organization, &around);
    apply(&mut around, made);
    assert_eq!(around.members["000000000001"].spec.discovery, None);
}

#[test]
fn who_leaves_goes_unless_it_is_used() {
    let owner = owner(&json!({}));
    let both =
        organization(vec![member(1, ACTIVE, "a", "ou-abcd-11111111"), member(2, ACTIVE, "b", "ou-abcd-11111111")]);
    let mut around = Around::default();
    let made = changes(&owner, &both, &around);
    apply(&mut around, made);
    around.used.insert("000000000001".into());
    let nobody = organization(vec![]);
    let made = changes(&owner, &nobody, &around);
    apply(&mut around, made);
    assert_eq!(around.members.keys().collect::<Vec<_>>(), ["000000000001"]);
    assert_eq!(inactive(&around.members["000000000001"]).unwrap().0, "LeftOrganization");
    assert_eq!(status(&owner, &nobody, &around).failing[0].reason, "LeftOrganization");
    // It comes back.
    let made = changes(&owner, &both, &around);
    apply(&mut around, made);
    assert_eq!((around.members.len(), inactive(&around.members["000000000001"])), (2, None));
}

#[test]
fn what_discovery_made_goes_before_the_member_that_left() {
    const ONE: &str = "000000000001";
    let mut owner = owner(&json!({}));
    owner.spec.discovery = serde_json::from_value(json!({ "namespace": "inventory" })).unwrap();
    let mut around = Around::default();
    let made = changes(&owner, &organization(vec![member(1, ACTIVE, "a", "ou-abcd-11111111")]), &around);
    apply(&mut around, made);
    tells(&mut around, ONE);
    around.discovered.insert(ONE.into());
    let nobody = organization(vec![]);
    // It is told first, so that its discovery ends.
    let made = changes(&owner, &nobody, &around);
    assert!(matches!(&*made, [Change::Replace(left)] if inactive(left).unwrap().0 == "LeftOrganization"), "{made:?}");
    apply(&mut around, made);
    assert_eq!(
        (changes(&owner, &nobody, &around), unread(&owner, &nobody, &around)),
        (vec![], vec![]),
        "it has not seen it"
    );
    assert!(unsettled(&around));
    tells(&mut around, ONE);
    // What a person wrote holds it.
    around.used.insert(ONE.into());
    assert_eq!((changes(&owner, &nobody, &around), unread(&owner, &nobody, &around)), (vec![], vec![]));
    assert_eq!(status(&owner, &nobody, &around).failing[0].reason, "LeftOrganization");
    around.used.clear();
    assert_eq!(unread(&owner, &nobody, &around), [ONE]);
    let shown = |name: &str| Shown {
        member: ONE.into(),
        namespace: "inventory".into(),
        name: name.into(),
        uid: Some(format!("uid-{name}")),
        version: Some("3".into()),
    };
    around.shown.insert(ONE.into(), vec![shown("a"), shown("b")]);
    let made = changes(&owner, &nobody, &around);
    assert_eq!(made, [Change::Hide(shown("a")), Change::Hide(shown("b"))], "they before it");
    apply(&mut around, made[..1].to_vec());
    assert_eq!(changes(&owner, &nobody, &around), [Change::Hide(shown("b"))]);
    apply(&mut around, made[1..].to_vec());
    let made = changes(&owner, &nobody, &around);
    // Who came back meanwhile has another resourceVersion.
    assert!(
        matches!(&*made, [Change::Delete { name, version: Some(version), .. }] if name == ONE && version == "7"),
        "{made:?}"
    );
    apply(&mut around, made);
    assert!(around.members.is_empty() && around.shown.is_empty());
}

#[test]
fn what_was_discovered_goes_even_if_nothing_is_discovered_any_more() {
    const ONE: &str = "000000000001";
    let owner = owner(&json!({}));
    let mut around = Around::default();
    let made = changes(&owner, &organization(vec![member(1, ACTIVE, "a", "ou-abcd-11111111")]), &around);
    apply(&mut around, made);
    around.discovered.insert(ONE.into());
    let nobody = organization(vec![]);
    for _ in 0..2 {
        let made = changes(&owner, &nobody, &around);
        assert!(made.iter().all(|change| matches!(change, Change::Replace(_))), "{made:?}");
        apply(&mut around, made);
        tells(&mut around, ONE);
    }
    assert_eq!(unread(&owner, &nobody, &around), [ONE]);
}

#[test]
fn what_went_is_told_once_with_the_names_of_a_few() {
    assert_eq!(event(&[], 0), None);
    let names: Vec<String> = (1..=7).map(|n| format!("{n:012}")).collect();
    let told = event(&names, 3).unwrap();
    assert!(!told.warning && told.reason == "MembersRemoved");
    for part in ["000000000005 and 2 more", "3 Certificates that discovery had made", "Nothing changes in ACM"] {
        assert!(told.note.contains(part), "{part}: {}", told.note);
    }
    assert!(!event(&names[..1], 0).unwrap().note.contains("discovery"));
    assert!(event(&[], 1).unwrap().note.contains("1 Certificate that discovery had made"));
}

#[test]
fn only_what_discovery_made_and_nobody_took_over_goes_with_a_member() {
    let certificate = |management: &str, by: Option<&str>| -> crate::api::Certificate {
        serde_json::from_value(json!({
            "metadata": { "name": "app", "namespace": "inventory", "uid": "u", "resourceVersion": "3",
                "labels": by.map(|by| json!({ "arnkeeper.dev/discovered-by": by })) },
            "spec": { "management": management, "accountRef": { "name": "one" }, "region": "eu-west-1" },
        }))
        .unwrap()
    };
    for (management, by, goes) in [
        ("Observe", Some("one"), true),
        ("Observe", Some("two"), false),
        ("Observe", None, false),
        ("Managed", Some("one"), false),
    ] {
        assert_eq!(Shown::of(&certificate(management, by), "one").is_some(), goes, "{management} {by:?}");
    }
    assert_eq!(Shown::of(&certificate("Observe", Some("one")), "two"), None);
}

#[test]
fn a_persons_object_is_not_taken_over() {
    let owner = owner(&json!({}));
    let one = organization(vec![member(1, ACTIVE, "a", "ou-abcd-11111111")]);
    let around = Around { others: BTreeSet::from(["000000000001".into()]), ..Around::default() };
    assert_eq!(changes(&owner, &one, &around), []);
    assert_eq!(status(&owner, &one, &around).failing[0].reason, NAME_TAKEN);
}

#[test]
fn what_selects_or_matches_nothing_is_told_and_does_no_harm() {
    let org = organization(vec![
        member(1, ACTIVE, "pay-one", "ou-abcd-11111111"),
        member(2, ACTIVE, "shop-one", "ou-abcd-22222222"),
    ]);
    let rule = |pattern: &str| json!({ "match": { "namePattern": pattern }, "set": {} });
    let all = owner(&json!({ "rules": [rule("pay-*"), rule("*")] }));
    assert_eq!(unmatched(&all, &org), None);
    let wrong = owner(&json!({
        "include": { "accountIds": ["000000000001", "999999999999"], "organizationalUnitIds": ["ou-abcd-22222222"] },
        "exclude": { "organizationalUnitIds": ["ou-abcd-99999999"] },
        "rules": [rule("pay-*"), rule("bank-*"), rule("pay-one"), rule("*")],
    }));
    let told = unmatched(&wrong, &org).unwrap();
    for what in [
        "include.accountIds: 999999999999 is no account",
        "exclude.organizationalUnitIds: no account lies in ou-abcd-99999999",
        "rules[1] matches no member",
        "rules[2] is never used",
    ] {
        assert!(told.contains(what), "{what}: {told}");
    }
    assert!(!told.contains("rules[0]") && !told.contains("rules[3]") && !told.contains("22222222"), "{told}");
    let many: Vec<String> = (900..920).map(|n| format!("{n:012}")).collect();
    let told = unmatched(&owner(&json!({ "exclude": { "accountIds": many } })), &org).unwrap();
    assert!(told.ends_with("and 15 more") && told.matches(';').count() == 5, "{told}");
}

#[test]
fn an_include_that_selects_nobody_takes_no_member_away() {
    let two =
        organization(vec![member(1, ACTIVE, "a", "ou-abcd-11111111"), member(2, ACTIVE, "b", "ou-abcd-11111111")]);
    let mut around = Around::default();
    let made = changes(&owner(&json!({})), &two, &around);
    apply(&mut around, made);
    let slip = owner(&json!({ "include": { "organizationalUnitIds": ["ou-abcd-99999999"] } }));
    assert!(includes_nobody(&slip, &two) && !includes_nobody(&owner(&json!({})), &two));
    assert_eq!(changes(&slip, &two, &around), []);
    // Who really left goes all the same.
    let one = organization(vec![member(1, ACTIVE, "a", "ou-abcd-11111111")]);
    let made = changes(&slip, &one, &around);
    apply(&mut around, made);
    assert_eq!(around.members.keys().collect::<Vec<_>>(), ["000000000001"]);
    // To leave all of them out is said by `exclude`.
    let none = owner(&json!({ "exclude": { "organizationalUnitIds": ["r-abcd"] } }));
    let made = changes(&none, &one, &around);
    apply(&mut around, made);
    assert!(around.members.is_empty());
}

#[test]
fn who_leads_to_the_same_account_is_told() {
    let id: AccountId = "000000000001".parse().unwrap();
    let account = |name: &str, id: Option<&str>| {
        let mut account = owner(&json!(null));
        account.metadata.name = Some(name.into());
        account.metadata.uid = Some(format!("uid-{name}"));
        account.status =
            Some(crate::api::account::AwsAccountStatus { account_id: id.map(Into::into), ..Default::default() });
        account
    };
    let mut own = account("own", Some("000000000001"));
    let (twin, other, away) =
        (account("twin", Some("000000000001")), account("other", Some("000000000002")), account("away", None));
    let mut off = account("off", Some("000000000001"));
    off.spec.enabled = false;
    let mut member = account("000000000001", Some("000000000001"));
    member.metadata.owner_references = own.controller_owner_ref(&()).map(|owner| vec![owner]);
    let all: Vec<_> = [own.clone(), twin, other, away, off, member].into_iter().map(Arc::new).collect();
    assert_eq!(also_leading_to(&id, &own, &all), ["twin"]);
    own.status.as_mut().unwrap().same_account = vec!["away".into()];
    assert_eq!(also_leading_to(&id, &own, &all), ["away", "twin"], "one that is away for now is not forgotten");
}

#[test]
fn who_fails_is_tried_again_when_the_organization_is_to_be_read_again() {
    use crate::api::conditions::{Finding, conditions};
    let owner = owner(&json!({}));
    let told = |findings: &[Finding]| conditions(&[], findings, 1, jiff::Timestamp::UNIX_EPOCH);
    let mut around = Around::default();
    let states = [(1, ACTIVE), (2, ACTIVE), (3, ACTIVE)];
    let all = organization(states.map(|(id, state)| member(id, state, "a", "ou-abcd-11111111")).into());
    let made = changes(&owner, &all, &around);
    apply(&mut around, made);
    let made = changes(
        &owner,
        &organization(vec![]),
        &Around { used: BTreeSet::from(["000000000003".into()]), ..around.clone() },
    );
    let left = made.into_iter().filter(|change| matches!(change, Change::Replace(_))).collect();
    apply(&mut around, left);
    let ready = Arc::make_mut(around.members.get_mut("000000000001").unwrap());
    ready.status.get_or_insert_default().conditions = told(&[Finding::yes(READY, "Ready", "")]);
    let mut accounts: Vec<_> = around.members.values().cloned().collect();
    let mut stranger = self::owner(&json!(null));
    stranger.metadata.name = Some("stranger".into());
    accounts.push(Arc::new(stranger));
    assert_eq!(failing(&owner, &accounts), ["000000000002"], "not the ready one, the one that left, or a stranger");
}

#[test]
fn an_organization_that_was_read_is_looked_through_again_without_a_call() {
    use crate::api::conditions::{Finding, conditions};
    let ready = || Finding::yes(READY, "Ready", "");
    for (findings, read) in [
        (vec![], false),
        (vec![ready()], false),
        (vec![ready(), Finding::yes(ORGANIZATION_SYNCED, "Synced", "")], true),
        (vec![ready(), Finding::no(ORGANIZATION_SYNCED, NOTHING_SELECTED, "")], true),
        (vec![ready(), Finding::no(ORGANIZATION_SYNCED, "AccessDenied", "")], false),
        (vec![Finding::no(READY, "AwsUnavailable", ""), Finding::yes(ORGANIZATION_SYNCED, "Synced", "")], false),
    ] {
        let mut owner = owner(&json!({}));
        let status = owner.status.get_or_insert_default();
        status.conditions = conditions(&[], &findings, 1, jiff::Timestamp::UNIX_EPOCH);
        assert_eq!(is_read(&owner), read, "{findings:?}");
        owner.spec.organization = None;
        assert!(!is_read(&owner));
    }
}

#[test]
fn patterns_stand_for_any_letters() {
    for (pattern, name, fits) in [
        ("pay-*", "pay-prod", true),
        ("pay-*", "repay-prod", false),
        ("*", "", true),
        ("a*b*c", "a-b-b-c", true),
        ("a*b*c", "acb", false),
        ("ab*ba", "aba", false),
        ("pay", "pay", true),
        ("pay", "pays", false),
    ] {
        assert_eq!(like(pattern, name), fits, "{pattern} {name}");
    }
}

proptest! {
    /// Whatever there was and is: one round brings it about, and the next finds nothing to do.
    #[test]
    fn it_converges(
        before in proptest::collection::btree_map(1..12_u64, 0..3_usize, 0..10),
        after in proptest::collection::btree_map(1..12_u64, 0..3_usize, 0..10),
        used in proptest::collection::btree_set(1..12_u64, 0..5),
        others in proptest::collection::btree_set(1..12_u64, 0..3),
        excluded in proptest::bool::ANY,
    ) {
        let states = [ACTIVE, "SUSPENDED", "CLOSED"];
        let organization = |of: &BTreeMap<u64, usize>| {
            organization(of.iter().map(|(id, s)| member(*id, states[*s], &format!("n{id}"), &format!("ou-abcd-{:08}", id % 3))).collect())
        };
        let name = |id: &u64| format!("{id:012}");
        let mut around = Around { others: others.iter().map(name).collect(), used: used.iter().map(name).collect(), ..Around::default() };
        let exclude = if excluded { json!({ "organizationalUnitIds": ["ou-abcd-00000001"] }) } else { json!({}) };
        for (owner, of) in [(owner(&json!({})), &before), (owner(&json!({ "exclude": exclude })), &after)] {
            let now = organization(of);
            let made = changes(&owner, &now, &around);
            apply(&mut around, made);
            prop_assert_eq!(changes(&owner, &now, &around), vec![]);
            for (id, state) in of {
                let out = owner.spec.organization.as_ref().is_some_and(|o| !o.exclude.is_empty()) && id % 3 == 1;
                if *state == 0 && !out && !others.contains(id) {
                    prop_assert!(inactive(&around.members[&name(id)]).is_none());
                }
            }
            for (name, there) in &around.members {
                let id: u64 = name.parse().unwrap();
                prop_assert!(!others.contains(&id), "a person's object was taken over");
                let live = of.get(&id) == Some(&0);
                prop_assert!(live || inactive(there).is_some(), "{} is not active and does not say so", name);
            }
        }
    }
}
