use super::{
    needs::{Gathering, Listed},
    *,
};
use crate::{
    api::{AwsAccount, Certificate, conditions::conditions},
    aws::{error::AwsError, permissions::learned::Shown},
    core::fixtures::Ca,
};
use serde_json::{Value, json};
use std::time::Duration;

const CALLER: &str = "arn:aws:sts::111122223333:assumed-role/keeper/arnkeeper";
const IMPORT: &str = "acm:ImportCertificate";

fn region() -> Region {
    "eu-west-1".parse().unwrap()
}

fn account(spec: &Value) -> AwsAccount {
    let mut all = json!({ "regions": ["eu-west-1", "us-east-1"] });
    all.as_object_mut().unwrap().extend(spec.as_object().cloned().unwrap_or_default());
    let object = json!({ "apiVersion": "arnkeeper.dev/v1beta1", "kind": "AwsAccount",
        "metadata": { "name": "prod", "uid": "uid", "generation": 1 }, "spec": all });
    serde_json::from_value(object).unwrap()
}

/// A Certificate of this account with one target.
fn certificate(target: &Value) -> Certificate {
    let object = json!({ "apiVersion": "arnkeeper.dev/v1beta1", "kind": "Certificate",
        "metadata": { "name": "app", "namespace": "payments" }, "spec": {
            "accountRef": { "name": "prod" }, "region": "eu-west-1",
            "source": { "privateCa": { "certificateAuthority": { "name": "Example Private CA" } } },
            "subject": { "domainName": "app.pay.example" }, "secret": { "name": "app-tls" }, "acm": [target],
    } });
    serde_json::from_value(object).unwrap()
}

fn listed() -> Listed<AwsError> {
    BTreeMap::from([(region(), Ok(vec![Ca::new().known().authority])), ("us-east-1".parse().unwrap(), Ok(vec![]))])
}

fn gathered(account: &AwsAccount, name: &str, certificates: &[Certificate]) -> Needs {
    let listed = listed();
    let mut gathering = Gathering::new(account, name, &listed);
    for certificate in certificates {
        gathering.certificate(certificate);
    }
    gathering.done()
}

/// Those of an account that issues and imports in one region.
pub(crate) fn needs() -> Needs {
    gathered(&account(&json!({})), "prod", &[certificate(&json!({ "name": "edge" }))])
}

fn asked(answer: Answer) -> Asked {
    let at = "2026-01-01T00:00:00Z".parse().unwrap();
    Asked {
        at,
        instant: Instant::now(),
        generation: Some(1),
        caller: CALLER.into(),
        needs: needs(),
        answer,
        carried: BTreeSet::new(),
    }
}

fn all_allowed() -> Proofs {
    needs().actions().map(|(permission, region)| ((permission.action, region.clone()), true)).collect()
}

fn status(condition: &Finding) -> (Option<bool>, &'static str) {
    (condition.holds, condition.reason)
}

#[test]
fn needs_follow_what_uses_the_account() {
    let needs = needs();
    let here = BTreeSet::from([region()]);
    assert_eq!(needs.uses, BTreeMap::from([(Use::Issue, here.clone()), (Use::Import, here)]));
    assert_eq!(needs.authorities.len(), 1, "the name leads to the CA");
    assert!(!needs.guessed);
    assert!(needs.actions().all(|(permission, _)| permission.action != "acm:DeleteCertificate"));
    // Another account's Certificate that is delivered here needs no CA.
    let target =
        json!({ "name": "edge", "accountRef": { "name": "edge" }, "region": "us-east-1", "deletionPolicy": "Delete" });
    let there = gathered(&account(&json!({})), "edge", &[certificate(&target)]);
    let uses: Vec<Use> = there.uses.keys().copied().collect();
    assert_eq!(uses, [Use::Import, Use::Delete]);
    // What somebody else keeps is only imported.
    let mut sourced = certificate(&json!({ "name": "edge" }));
    sourced.spec.source = serde_json::from_value(json!({ "secretRef": { "name": "public-tls" } })).unwrap();
    let needs = gathered(&account(&json!({})), "prod", &[sourced]);
    assert_eq!(needs.uses.keys().copied().collect::<Vec<_>>(), [Use::Import]);
    // A region that the account does not allow is not asked about.
    let elsewhere = account(&json!({ "regions": ["us-west-2"] }));
    let none = gathered(&elsewhere, "prod", &[certificate(&json!({ "name": "edge" }))]);
    assert!(none.guessed && !none.uses.contains_key(&Use::Issue));
}

#[test]
fn who_only_watches_needs_no_more_than_that() {
    let discovering = account(&json!({ "discovery": { "namespace": "inventory" } }));
    let needs = gathered(&discovering, "prod", &[]);
    assert_eq!((needs.uses.keys().copied().collect::<Vec<_>>(), needs.guessed), (vec![Use::Discover], false));
    assert_eq!(needs.uses[&Use::Discover].len(), discovering.spec.regions.len());
    let arn = "arn:aws:acm:eu-west-1:111122223333:certificate/1";
    let watched = serde_json::from_value(json!({ "metadata": { "name": "app", "namespace": "pay" }, "spec": {
        "management": "Observe", "accountRef": { "name": "prod" }, "region": "eu-west-1",
        "acm": [{ "name": "acm", "certificateArn": arn }] } }));
    let needs = gathered(&account(&json!({})), "prod", &[watched.unwrap()]);
    assert_eq!(needs.uses, BTreeMap::from([(Use::Discover, BTreeSet::from([region()]))]));
    assert_eq!(needs.certificates[&region()].as_str(), arn);
}

#[test]
fn an_account_that_nothing_uses_is_looked_at_for_what_it_offers() {
    let needs = gathered(&account(&json!({})), "prod", &[]);
    assert!(needs.guessed);
    assert_eq!(needs.uses[&Use::Issue], BTreeSet::from([region()]), "only where there is a CA");
    assert_eq!(needs.uses[&Use::Import].len(), 2);
}

#[test]
fn the_role_of_a_session_is_asked_about() {
    let assumed: RoleArn = "arn:aws:iam::111122223333:role/teams/keeper".parse().unwrap();
    let other: RoleArn = "arn:aws:iam::444455556666:role/teams/keeper".parse().unwrap();
    let of = |caller: &str, roles: &[&RoleArn]| principal(caller, roles.iter().copied());
    assert_eq!(of(CALLER, &[]).as_deref(), Some("arn:aws:iam::111122223333:role/keeper"));
    assert_eq!(of(CALLER, &[&other, &assumed]).as_deref(), Some(assumed.as_str()));
    assert_eq!(of(CALLER, &[&other]).as_deref(), Some("arn:aws:iam::111122223333:role/keeper"));
    let user = "arn:aws:iam::111122223333:user/teams/me";
    assert_eq!(of(user, &[]).as_deref(), Some(user));
    assert_eq!(of("arn:aws:sts::111122223333:federated-user/me", &[]), None);
    assert_eq!(of("nonsense", &[]), None);
}

#[test]
fn questions_tell_the_conditions_of_the_calls() {
    let all = questions(&needs(), "arn:aws:iam::111122223333:role/keeper", "blue");
    let about = |action: &str| &all.iter().find(|(_, q)| q.actions.contains(&action)).unwrap().1;
    let import = about(IMPORT);
    assert_eq!(import.resource, "arn:aws:acm:eu-west-1:111122223333:certificate/*");
    assert!(import.context.contains(&("aws:RequestedRegion".to_owned(), "eu-west-1".to_owned())));
    let issue = about("acm-pca:IssueCertificate");
    assert!(issue.resource.contains(":certificate-authority/"));
    assert!(issue.context.iter().any(|(key, _)| key == "acm-pca:TemplateArn"));
    assert_eq!(about("acm:ListCertificates").resource, "*");
}

#[test]
fn what_is_allowed_missing_or_not_known_is_told_as_that() {
    let known = asked(Answer { proofs: all_allowed(), refusal: None });
    let (finding, stored) = tell(Some(&known), &learned::All::new(), &BTreeSet::new());
    assert_eq!(status(&finding), (Some(true), "Verified"));
    assert!(stored.is_some_and(|s| s.missing.is_empty() && s.unverified.is_empty()));

    let mut proofs = all_allowed();
    proofs.insert((IMPORT, region()), false);
    let (finding, stored) =
        tell(Some(&asked(Answer { proofs, refusal: None })), &learned::All::new(), &BTreeSet::new());
    assert_eq!(status(&finding), (Some(false), "PermissionsMissing"));
    assert!(finding.message.contains("acm:ImportCertificate (eu-west-1)"), "{}", finding.message);
    assert!(finding.message.contains("`arnkeeper iam-policy --for import`"), "{}", finding.message);
    assert_eq!(stored.unwrap().missing, [IMPORT]);

    let (finding, stored) = tell(Some(&asked(Answer::default())), &learned::All::new(), &BTreeSet::new());
    assert_eq!(status(&finding), (None, "NotVerified"));
    assert!(finding.message.contains(IMPORT), "{}", finding.message);
    assert!(stored.unwrap().unverified.contains(&IMPORT.to_owned()));
    assert_eq!(status(&tell(None, &learned::All::new(), &BTreeSet::new()).0), (None, "NotVerifiedYet"));
}

#[test]
fn what_a_call_showed_later_outweighs_what_iam_said() {
    let known = asked(Answer { proofs: all_allowed(), refusal: None });
    let later = known.instant + Duration::from_secs(1);
    let shown = |allowed, at| learned::All::from([((IMPORT, region()), Shown { allowed, at })]);
    let (finding, _) = tell(Some(&known), &shown(false, later), &BTreeSet::new());
    assert_eq!(status(&finding), (Some(false), "PermissionsMissing"));
    // IAM was asked after the policy was put right.
    let Some(earlier) = known.instant.checked_sub(Duration::from_millis(1)) else { panic!("no time before") };
    assert_eq!(tell(Some(&known), &shown(false, earlier), &BTreeSet::new()).0.holds, Some(true));
}

#[test]
fn what_was_verified_once_stays_so_over_a_restart_and_what_was_missing_does_not() {
    let stored = |missing: &[&str], unverified: &[&str]| PermissionsStatus {
        uses: vec!["issue".into(), "import".into()],
        missing: missing.iter().map(|m| (*m).to_owned()).collect(),
        unverified: unverified.iter().map(|m| (*m).to_owned()).collect(),
        changed_at: None,
    };
    let again = |before: &PermissionsStatus| {
        tell(
            Some(&Asked { carried: carried(Some(before)), ..asked(Answer::default()) }),
            &learned::All::new(),
            &BTreeSet::new(),
        )
    };
    assert_eq!(again(&stored(&[], &[])).0.holds, Some(true));
    assert_eq!(again(&stored(&[], &[IMPORT])).1.unwrap().unverified, [IMPORT]);
    assert_eq!(again(&stored(&[IMPORT], &[])).0.holds, None);
}

#[test]
fn iam_is_asked_again_when_the_spec_or_the_identity_changed_or_an_hour_passed() {
    let last = asked(Answer::default());
    let due = |generation, caller, minutes: i64, spread: i64| {
        let now = last.at.checked_add(SignedDuration::from_mins(minutes)).unwrap();
        is_due(Some(&last), Some(generation), caller, SignedDuration::from_secs(spread), now)
    };
    assert!(is_due(None, Some(1), CALLER, SignedDuration::ZERO, last.at));
    assert!(!due(1, CALLER, 59, 0) && due(1, CALLER, 60, 0));
    assert!(due(2, CALLER, 1, 0) && due(1, "another", 1, 0));
}

/// What an organization's account needs besides.
fn managing(organization: &Value, members: &[AwsAccount]) -> Needs {
    let account = account(&json!({ "organization": organization }));
    let listed = listed();
    let mut gathering = Gathering::new(&account, "prod", &listed);
    for member in members {
        gathering.member(member);
    }
    gathering.done()
}

fn member(id: &str, state: &str) -> AwsAccount {
    let role = format!("arn:aws:iam::{id}:role/OrganizationAccountAccessRole");
    let mut member =
        account(&json!({ "credentials": { "fromAccount": { "name": "prod" } }, "assumeRoles": [{ "roleArn": role }] }));
    member.metadata.annotations = Some(BTreeMap::from([(crate::api::ACCOUNT_STATE_ANNOTATION.into(), state.into())]));
    member
}

#[test]
fn an_organization_is_read_and_its_active_members_are_entered() {
    let members = [member("111111111111", "SUSPENDED"), member("222222222222", "ACTIVE")];
    let needs = managing(&json!({}), &members);
    let uses: Vec<Use> = needs.uses.keys().copied().collect();
    assert_eq!((uses, needs.guessed), (vec![Use::Organization], false), "it need not be of use for anything else");
    let asked = questions(&needs, "arn:aws:iam::111122223333:role/keeper", "blue");
    let about = |action: &str| &asked.iter().find(|(_, q)| q.actions.contains(&action)).unwrap().1;
    assert_eq!(about("sts:AssumeRole").resource, "arn:aws:iam::222222222222:role/OrganizationAccountAccessRole");
    let list = about("organizations:ListAccounts");
    assert_eq!(list.resource, "*");
    assert!(list.context.contains(&("aws:RequestedRegion".to_owned(), "us-east-1".to_owned())));
    // Without members no role is needed; through another account's role nothing is.
    let actions = |needs: &Needs| needs.actions().map(|(p, _)| p.action).collect::<BTreeSet<_>>();
    let alone = actions(&managing(&json!({}), &[]));
    assert!(alone.contains("organizations:ListRoots") && !alone.contains("sts:AssumeRole"));
    let role = json!({ "managementRoleArn": "arn:aws:iam::444455556666:role/reader" });
    assert!(!managing(&role, &members).uses.contains_key(&Use::Organization));
}

#[test]
fn where_iam_can_t_be_asked_the_members_show_what_is_allowed() {
    let needs = managing(&json!({}), &[member("222222222222", "ACTIVE")]);
    let known = Asked { needs, ..asked(Answer::default()) };
    let told = |status: &Value| {
        let status = serde_json::from_value(status.clone()).unwrap();
        tell(Some(&known), &learned::All::new(), &shown_by_members(&status)).1.unwrap().unverified
    };
    let members =
        |ready: i64| json!({ "id": "o-1", "managementAccountId": "111122223333", "accounts": 2, "ready": ready });
    let synced = json!([{ "type": "OrganizationSynced", "status": "True", "reason": "Synced", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z" }]);
    assert_eq!(told(&json!({})).len(), 6);
    assert_eq!(told(&json!({ "organization": members(0), "conditions": synced })), ["sts:AssumeRole"]);
    assert!(told(&json!({ "organization": members(1), "conditions": synced })).is_empty());
}

#[test]
fn of_two_processes_that_know_different_things_the_newer_answer_stays() {
    let now: Timestamp = "2026-01-01T01:00:00Z".parse().unwrap();
    let nothing = (learned::All::new(), BTreeSet::new());
    let older = Asked { needs: gathered(&account(&json!({})), "prod", &[]), ..asked(Answer::default()) };
    let newer = Asked { at: older.at + SignedDuration::from_secs(1), ..asked(Answer::default()) };
    assert_ne!(older.needs, newer.needs);
    let pass = |before: &AwsAccountStatus, asked: &Asked| {
        let (finding, permissions) = settled(before, tell(Some(asked), &nothing.0, &nothing.1), now);
        let conditions = conditions(&before.conditions, &[finding], 1, now);
        AwsAccountStatus { permissions, conditions, ..before.clone() }
    };
    let first = pass(&AwsAccountStatus::default(), &older);
    assert_eq!(pass(&first, &older), first, "nothing new");
    let second = pass(&first, &newer);
    assert_ne!(second, first);
    assert_eq!(pass(&second, &older), second);
    assert_eq!(pass(&second, &newer), second);
    // A new process asks again and hears the same.
    let later = Asked { at: newer.at + SignedDuration::from_mins(5), ..asked(Answer::default()) };
    assert_eq!(pass(&second, &later), second);
}

#[test]
fn a_clock_that_is_set_back_a_little_hides_no_answer() {
    let now: Timestamp = "2026-01-01T01:00:00Z".parse().unwrap();
    let nothing = (learned::All::new(), BTreeSet::new());
    let needs = gathered(&account(&json!({})), "prod", &[]);
    let before = Asked { at: now, needs, ..asked(Answer::default()) };
    let back = now - SignedDuration::from_millis(500);
    let after = Asked { at: asked_at(Some(&before), back), generation: Some(2), ..asked(Answer::default()) };
    let told = |asked: &Asked| tell(Some(asked), &nothing.0, &nothing.1);
    let (finding, permissions) = told(&before);
    let conditions = conditions(&[], std::slice::from_ref(&finding), 1, now);
    let stored = AwsAccountStatus { permissions, conditions, ..AwsAccountStatus::default() };
    assert_ne!(told(&after).0, finding);
    assert_eq!(settled(&stored, told(&after), now + SignedDuration::from_secs(1)).0, told(&after).0);
    // By a clock that was far ahead, and is right now, the answer is as old as it is.
    let hour = SignedDuration::from_hours(1);
    assert_eq!(asked_at(Some(&before), now - hour), now - hour);
    assert_eq!(asked_at(Some(&before), now + hour), now + hour);
    assert_eq!(asked_at(None, now), now);
}
