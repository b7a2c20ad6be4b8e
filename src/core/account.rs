//! Decides about an AwsAccount: who we are there, and which private CAs it offers.

mod discovering;
mod members;

use super::{
    Decision, Event, Step,
    access::Refusal,
    certificate::renewal::per_mille,
    discovery::{Change as Discovered, Run, Surroundings, taken_over},
    organization::{self, Around, Change, inactive},
    permissions::{self, Asked},
    spending::{BUDGET_SPENT, Standing},
};
use crate::{
    api::{
        ACCOUNT_NAME_ANNOTATION, ACCOUNT_STATE_ANNOTATION, AwsAccount, DISCOVER_ANNOTATION, GROUP, PATH_ANNOTATION,
        SYNC_ANNOTATION,
        account::{AuthorityStatus, AwsAccountStatus},
        conditions::{
            CREDENTIALS_VALID, Finding, PERMISSIONS_VERIFIED, READY, STALLED, conditions, is_true, whole_seconds,
        },
        names::{CertificateArn, Region},
    },
    aws::{
        error::{AwsError, Kind},
        permissions::learned,
        port::{Authority, Identity, Organization},
    },
    text::plain,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use std::{collections::BTreeMap, sync::Arc};

/// An account is looked at again after about this long.
const INTERVAL: SignedDuration = SignedDuration::from_mins(10);
/// A passing fault is looked at again after this long.
const AFTER_FAULT: SignedDuration = SignedDuration::from_secs(15);
/// What was put off until the account was told to be ready.
const SOON: SignedDuration = SignedDuration::from_secs(1);
/// Other AwsAccounts of the same AWS account that the status lists.
const MOST_SAME: usize = 10;
/// CAs that the status lists; AWS allows 200 in a region (Private CA quotas).
const MOST_AUTHORITIES: usize = 200;

/// The longest word of AWS that the status repeats, in bytes: an ARN, a name.
const LONGEST_WORD: usize = 512;
/// The longest key of an annotation that is repeated, in bytes.
const LONGEST_KEY: usize = 64;

/// What was seen of an account. An absent key means: not looked at yet.
pub struct Observed {
    /// The account, as it was read or written last.
    pub account: Arc<AwsAccount>,
    /// Who we are there, or why it does not let us in.
    pub session: Option<Result<Identity, Problem>>,
    /// The private CAs, by region.
    pub authorities: BTreeMap<Region, Result<Vec<Authority>, AwsError>>,
    /// What was asked of IAM last.
    pub asked: Option<Arc<Asked>>,
    /// What calls have shown of permissions.
    pub shown: learned::All,
    /// How it stands with its budget.
    pub budget: Standing,
    /// The organization, or why it can't be read.
    pub organization: Option<Result<Arc<Organization>, Problem>>,
    /// What there is around the organization: members, names, users.
    pub around: Option<Around>,
    /// When the organization was read.
    pub read_at: Option<Timestamp>,
    /// When the private CAs were listed.
    pub listed_at: Option<Timestamp>,
    /// The `clusterId`.
    pub cluster: String,
    /// The other AwsAccounts that lead to the same AWS account, in order.
    pub same_account: Vec<String>,
    /// The discovery that is under way.
    pub run: Option<Arc<Run>>,
    /// How many steps of it this pass took.
    pub run_steps: usize,
    /// It has to wait so long.
    pub run_rests: Option<SignedDuration>,
    /// The Certificates that discovery has to know.
    pub surroundings: Option<Surroundings>,
    /// How many steps this pass took for members.
    pub member_steps: usize,
    /// The members that it deleted, and how many objects of theirs; until that is told.
    pub removed: (Vec<String>, usize),
}

/// Why an account does not let us in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The reason and the message.
    pub why: Refusal,
    /// It passes by itself.
    pub passes: bool,
    /// It says something about the credentials.
    pub about_credentials: bool,
}

/// What to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// Who we are.
    Session,
    /// The CAs of a region.
    Authorities(Region),
    /// What the account is used for, and whether IAM allows it.
    Permissions,
    /// The organization.
    Organization,
    /// What there is around it.
    Around,
    /// What the discovery of these members made, that left.
    Shown(Vec<String>),
    /// A discovery begins.
    Run,
    /// What ACM has in a region.
    List(Region),
    /// The Certificates that discovery has to know.
    Surroundings,
    /// The tags of these certificates in ACM.
    Tags(Vec<CertificateArn>),
    /// Whether objects can be put into these namespaces.
    Rooms(Vec<String>),
}

/// An account changes nothing but the members of its organization, and what its discovery shows.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Some members; none depends on another.
    Members(Vec<Change>),
    /// Some Certificates that are only watched; none depends on another. Meanwhile these tags are read.
    Discovered(Vec<Discovered>, Vec<CertificateArn>),
}

/// One step for an account.
#[must_use]
pub fn decide(o: &Observed, now: Timestamp) -> Decision<AwsAccountStatus, Read, Write> {
    let before = o.account.status.clone().unwrap_or_default();
    let spec = &o.account.spec;
    let read = |read| Decision { step: Step::Read(read), status: before.clone(), events: vec![] };
    if !spec.enabled {
        let message = "spec.enabled is false: no AWS call is made for this account";
        return told(
            o,
            &before,
            AwsAccountStatus::default(),
            &[Finding::no(READY, "Disabled", message)],
            INTERVAL,
            now,
        );
    }
    if let Some((reason, message)) = inactive(&o.account) {
        let findings = [Finding::no(READY, reason, &*message), Finding::yes(STALLED, reason, message)];
        return told(o, &before, AwsAccountStatus::default(), &findings, INTERVAL, now);
    }
    let identity = match &o.session {
        None => return read(Read::Session),
        Some(Err(problem)) => return not_in(o, &before, problem, now),
        Some(Ok(identity)) => identity,
    };
    if let Some(region) = spec.regions.iter().find(|r| !o.authorities.contains_key(*r)) {
        return read(Read::Authorities(region.clone()));
    }
    let mut status = AwsAccountStatus {
        account_id: Some(identity.account.to_string()),
        caller_arn: Some(plain(&identity.arn, LONGEST_WORD)),
        partition: identity.arn.split(':').nth(1).map(|partition| plain(partition, LONGEST_WORD)),
        certificate_authorities: o.authorities.values().flatten().flatten().map(authority_status).collect(),
        same_account: o.same_account.iter().take(MOST_SAME).cloned().collect(),
        ..AwsAccountStatus::default()
    };
    status.certificate_authorities.sort_by(|a, b| (&a.region, &a.arn).cmp(&(&b.region, &b.arn)));
    status.certificate_authorities.truncate(MOST_AUTHORITIES);
    let valid = Finding::yes(CREDENTIALS_VALID, "Valid", format!("The credentials are {}", identity.arn));
    let failures: Vec<(&Region, &AwsError)> =
        o.authorities.iter().filter_map(|(r, a)| Some((r, a.as_ref().err()?))).collect();
    // Its turn will come: nothing is known that has to be told.
    if let Some(Kind::NotYourTurn(wait)) =
        failures.iter().map(|(_, error)| error.kind).find(|k| matches!(k, Kind::NotYourTurn(_)))
    {
        let wait = SignedDuration::try_from(wait).unwrap_or(AFTER_FAULT);
        return Decision { step: Step::Rest(wait), status: before, events: vec![] };
    }
    let unreachable = failures.iter().find(|(_, e)| !matches!(e.kind, Kind::AccessDenied));
    if let Some((region, error)) = unreachable {
        let message = format!("region {region}: {error}");
        let mut findings = vec![Finding::no(READY, "RegionUnavailable", &*message), valid];
        if !matches!(error.kind, Kind::Transient | Kind::Throttled) {
            findings.push(Finding::yes(STALLED, "RegionUnavailable", message));
        }
        return told(o, &before, status, &findings, AFTER_FAULT, now);
    }
    let generation = o.account.metadata.generation;
    // A new account, or a new spec, is told to be ready first: others wait for that.
    let was_told = is_true(&before.conditions, READY) && before.observed_generation == generation;
    let spread = SignedDuration::from_secs(per_mille(&o.account.uid().unwrap_or_default()));
    let is_due = permissions::is_due(o.asked.as_deref(), generation, &identity.arn, spread, now);
    if is_due && was_told {
        return read(Read::Permissions);
    }
    let asked = o.asked.as_deref().filter(|asked| asked.caller == identity.arn);
    let told_of = permissions::tell(asked, &o.shown, &permissions::shown_by_members(&before));
    let (allowed, told_of) = permissions::settled(&before, told_of, now);
    status.permissions = told_of;
    let message = failures.first().map_or_else(
        || "The account can be used".to_owned(),
        |(region, error)| format!("The account can be used, but its private CAs in {region} can't be listed, so they can be named by ARN only: {error}"),
    );
    let mut findings = vec![Finding::yes(READY, "Ready", message), valid, allowed];
    let next = members::next(o, &mut status, &mut findings).and_then(|rest| {
        let discovery = discovering::next(o, identity, &mut status, &mut findings, was_told, now)?;
        Ok(rest.min(discovery))
    });
    match next {
        Ok(rest) => told(o, &before, status, &findings, if is_due { rest.min(SOON) } else { rest }, now),
        Err(step) => Decision { step, status: before, events: vec![] },
    }
}

/// How long an account is left alone; jittered by its uid.
#[must_use]
pub fn rest(o: &Observed) -> SignedDuration {
    let share = i32::try_from(per_mille(&o.account.uid().unwrap_or_default())).unwrap_or(0);
    INTERVAL + INTERVAL / 1000 * share / 5
}

fn not_in(
    o: &Observed,
    before: &AwsAccountStatus,
    problem: &Problem,
    now: Timestamp,
) -> Decision<AwsAccountStatus, Read, Write> {
    let Refusal { reason, message } = &problem.why;
    let mut findings = vec![Finding::no(READY, reason, &**message)];
    if problem.about_credentials {
        findings.push(Finding::no(CREDENTIALS_VALID, reason, &**message));
    }
    if !problem.passes {
        findings.push(Finding::yes(STALLED, reason, &**message));
    }
    let rest = if problem.passes { AFTER_FAULT } else { rest(o) };
    told(o, before, AwsAccountStatus::default(), &findings, rest, now)
}

fn told(
    o: &Observed,
    before: &AwsAccountStatus,
    mut status: AwsAccountStatus,
    findings: &[Finding],
    mut rest: SignedDuration,
    now: Timestamp,
) -> Decision<AwsAccountStatus, Read, Write> {
    let generation = o.account.metadata.generation.unwrap_or_default();
    let mut findings = findings.to_vec();
    if let Some(spent) = o.budget.spent.as_ref().filter(|_| o.account.spec.enabled) {
        // Whatever else needs a person comes first.
        if !findings.iter().any(|f| f.kind == STALLED) {
            findings.push(Finding::yes(STALLED, BUDGET_SPENT, spent.message(&o.account.name_any())));
        }
        rest = rest.min(spent.until.duration_since(now)).max(SignedDuration::from_secs(1));
    }
    if let (Some(unheard), Some(ready)) = (unheard(&o.account), findings.iter_mut().find(|f| f.kind == READY)) {
        ready.message = format!("{}; {unheard}", ready.message);
    }
    status.budget.clone_from(&o.budget.record);
    status.observed_generation = Some(generation);
    if o.account.spec.organization.is_some() && status.organization.is_none() {
        status.organization.clone_from(&before.organization);
    }
    if o.account.spec.credentials.as_ref().is_some_and(|c| c.from_account.is_some()) {
        let told = |key: &str| o.account.annotations().get(key).map(|text| plain(text, 2 * LONGEST_WORD));
        status.path = told(PATH_ANNOTATION);
        status.account_name = told(ACCOUNT_NAME_ANNOTATION);
        status.state = told(ACCOUNT_STATE_ANNOTATION);
    }
    status.conditions = conditions(&before.conditions, &findings, generation, now);
    discovering::keep(o, before, &mut status);
    let mut events = events(before, &status);
    events.extend(organization::event(&o.removed.0, o.removed.1));
    events.extend(o.run.as_deref().and_then(|run| taken_over(run, &status)));
    Decision { step: Step::Rest(rest), status, events }
}

/// What an annotation asks for and nobody hears, since its key is none of ours. For a person.
fn unheard(account: &AwsAccount) -> Option<String> {
    let known =
        [SYNC_ANNOTATION, DISCOVER_ANNOTATION, PATH_ANNOTATION, ACCOUNT_NAME_ANNOTATION, ACCOUNT_STATE_ANNOTATION];
    let mut keys = account.annotations().keys().map(String::as_str);
    let key = keys.find(|key| {
        let ours = key.strip_prefix(GROUP).is_some_and(|rest| rest.starts_with('/'));
        ours && !known.contains(key)
    })?;
    Some(format!(
        "the annotation {:?} does nothing on an AwsAccount; its organization is read by {SYNC_ANNOTATION}, and ACM is looked through by \
         {DISCOVER_ANNOTATION}",
        plain(key, LONGEST_KEY)
    ))
}

fn authority_status(authority: &Authority) -> AuthorityStatus {
    AuthorityStatus {
        arn: authority.arn.clone(),
        region: authority.region.clone(),
        common_name: authority.common_name.as_deref().map(|name| plain(name, LONGEST_WORD)),
        status: plain(&authority.state_name, LONGEST_WORD),
        key_algorithm: plain(&authority.algorithm_name, LONGEST_WORD),
        usage_mode: if authority.short_lived { "SHORT_LIVED_CERTIFICATE" } else { "GENERAL_PURPOSE" }.into(),
        not_after: authority.not_after.map(|t| Time(whole_seconds(t))),
    }
}

/// Transitions: it became ready, it is another identity now, it can't be used any more, its budget is spent.
fn events(before: &AwsAccountStatus, after: &AwsAccountStatus) -> Vec<Event> {
    let mut events = of_readiness(before, after);
    let spent = |s: &AwsAccountStatus| {
        s.conditions.iter().find(|c| c.type_ == STALLED && c.reason == BUDGET_SPENT).map(|c| c.message.clone())
    };
    if let (None, Some(note)) = (spent(before), spent(after)) {
        events.push(Event { warning: true, reason: BUDGET_SPENT.into(), note });
    }
    events.extend(members::event(before, after));
    events.extend(discovering::event(before, after));
    events.extend(of_same_account(before, after));
    events
}

/// Another AwsAccount leads to the same AWS account: that may be wanted, so it is told, and nothing else.
fn of_same_account(before: &AwsAccountStatus, after: &AwsAccountStatus) -> Option<Event> {
    let new = after.same_account.iter().any(|name| !before.same_account.contains(name));
    let note = || {
        format!(
            "AwsAccount {} leads to AWS account {}, too: each of them has its own namespaces, policy and budget, so what one of \
             them refuses may be had through another. Keep one of them, if that is not wanted",
            after.same_account.join(", "),
            after.account_id.as_deref().unwrap_or_default()
        )
    };
    new.then(|| Event { warning: true, reason: "SameAwsAccount".into(), note: note() })
}

fn of_readiness(before: &AwsAccountStatus, after: &AwsAccountStatus) -> Vec<Event> {
    let ready = is_true(&after.conditions, READY);
    let (was_ready, caller) = (is_true(&before.conditions, READY), after.caller_arn.as_deref());
    if ready && (!was_ready || before.caller_arn != after.caller_arn) {
        let note = format!("The account can be used as {}", caller.unwrap_or_default());
        return vec![Event { warning: false, reason: "Ready".into(), note }];
    }
    let lacks = |status: &AwsAccountStatus| {
        let lacks = |c: &&k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
            c.type_ == PERMISSIONS_VERIFIED && c.status == "False"
        };
        status.conditions.iter().find(lacks).map(|c| c.message.clone())
    };
    if let (None, Some(note)) = (lacks(before), lacks(after)) {
        return vec![Event { warning: true, reason: "PermissionsMissing".into(), note }];
    }
    let why = |c: &&k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| c.type_ == READY;
    let (old, new) = (before.conditions.iter().find(why), after.conditions.iter().find(why));
    match new {
        Some(new) if !ready && old.is_none_or(|old| old.reason != new.reason) => {
            vec![Event { warning: new.reason != "Disabled", reason: new.reason.clone(), note: new.message.clone() }]
        }
        _ => vec![],
    }
}

#[cfg(test)]
mod tests;
