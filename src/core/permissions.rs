//! What an account's uses need of IAM, and what of it is missing. Told by IAM action name; what is not known is not guessed.

pub mod needs;

pub use self::needs::Needs;
use crate::{
    api::{
        account::{AwsAccountStatus, PermissionsStatus},
        conditions::{Finding, LONGEST_MESSAGE, ORGANIZATION_SYNCED, PERMISSIONS_VERIFIED, is_true},
        names::{Region, RoleArn},
    },
    aws::{
        permissions::{On, PERMISSIONS, Permission, Use, command, learned, verify::Answer},
        port::Simulation,
    },
    text::plain,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

/// IAM is asked again after about this long: a policy hardly changes, and what is denied meanwhile is learned at once.
const INTERVAL: SignedDuration = SignedDuration::from_hours(1);
/// Where it could not be asked for a passing reason.
const AFTER_FAULT: SignedDuration = SignedDuration::from_mins(10);
/// A clock that is set back by less than this hides no answer.
const SET_BACK: SignedDuration = SignedDuration::from_mins(1);
/// The reasons of answers that may stand in a status.
const REASONS: [&str; 3] = ["PermissionsMissing", "NotVerified", "Verified"];
/// What IAM said, by action and region.
pub type Proofs = BTreeMap<(&'static str, Region), bool>;

/// The role or user whose policies count; none: IAM can't be asked about such an identity.
///
/// The ARN of a session tells the role's name without its path: the one that was assumed last has it.
#[must_use]
pub fn principal<'a>(caller: &str, assumed: impl DoubleEndedIterator<Item = &'a RoleArn>) -> Option<String> {
    let parts: Vec<&str> = caller.splitn(6, ':').collect();
    let ["arn", partition, service, "", account, resource] = parts[..] else { return None };
    match (service, resource.split('/').collect::<Vec<_>>().as_slice()) {
        ("iam", ["user", ..]) => Some(caller.to_owned()),
        ("sts", ["assumed-role", name, _]) => {
            let is_it = |arn: &&RoleArn| {
                arn.as_str().rsplit('/').next() == Some(*name) && arn.as_str().contains(&format!("::{account}:"))
            };
            let known = assumed.last().filter(is_it).map(ToString::to_string);
            Some(known.unwrap_or_else(|| format!("arn:{partition}:iam::{account}:role/{name}")))
        }
        _ => None,
    }
}

/// What IAM is asked: one resource and one region a question.
#[must_use]
pub fn questions(needs: &Needs, principal: &str, cluster: &str) -> Vec<(Region, Simulation)> {
    let account = principal.split(':').nth(4).unwrap_or_default();
    let mut by_place: BTreeMap<(On, &Region), Vec<&'static str>> = BTreeMap::new();
    for (permission, region) in needs.actions() {
        by_place.entry((permission.on, region)).or_default().push(permission.action);
    }
    let mut questions = vec![];
    for ((on, region), actions) in by_place {
        let partition = region.partition();
        let mut context = vec![("aws:RequestedRegion".to_owned(), region.to_string())];
        let resources = match on {
            On::All => vec!["*".to_owned()],
            On::Authority => {
                let template = format!("arn:{partition}:acm-pca:::template/EndEntityCertificate/V1");
                context.push(("acm-pca:TemplateArn".to_owned(), template));
                needs.authorities_in(region).map(ToString::to_string).collect()
            }
            On::Certificate => {
                context.push(("aws:ResourceTag/arnkeeper.dev/cluster".to_owned(), cluster.to_owned()));
                vec![format!("arn:{partition}:acm:{region}:{account}:certificate/*")]
            }
            On::MemberRole => needs.member_roles.iter().map(ToString::to_string).collect(),
            On::Role | On::Identity | On::StoredSecret | On::Key => continue,
        };
        for resource in resources {
            let (actions, context) = (actions.clone(), context.clone());
            questions
                .push((region.clone(), Simulation { principal: principal.to_owned(), actions, resource, context }));
        }
    }
    questions
}

/// What was asked last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// When, by the operator's clock.
    pub at: Timestamp,
    /// When, by the monotonic clock: what a call showed later outweighs it.
    pub instant: Instant,
    /// The generation of the account's spec.
    pub generation: Option<i64>,
    /// Who asked.
    pub caller: String,
    /// What about.
    pub needs: Needs,
    /// What IAM said.
    pub answer: Answer,
    /// Actions that were verified before this process began, for the same spec and identity.
    pub carried: BTreeSet<&'static str>,
}

/// Whether it is time to ask. `spread` keeps the accounts apart.
#[must_use]
pub fn is_due(
    asked: Option<&Asked>,
    generation: Option<i64>,
    caller: &str,
    spread: SignedDuration,
    now: Timestamp,
) -> bool {
    asked.is_none_or(|asked| {
        let interval = if asked.answer.passes() { AFTER_FAULT } else { INTERVAL + spread };
        asked.generation != generation || asked.caller != caller || now.duration_since(asked.at).abs() >= interval
    })
}

/// When IAM is asked, by a clock that may have been set back a little since: what is asked later is told as later.
#[must_use]
pub fn asked_at(last: Option<&Asked>, now: Timestamp) -> Timestamp {
    let next = last.and_then(|last| micros(last.at).checked_add(SignedDuration::from_micros(1)).ok());
    next.filter(|next| *next > now && next.duration_since(now) < SET_BACK).unwrap_or(now)
}

/// The actions that a status tells to be allowed: a restart forgets what calls have shown, and changes no permission.
#[must_use]
pub fn carried(told: Option<&PermissionsStatus>) -> BTreeSet<&'static str> {
    let verified = |p: &&Permission| told.is_some_and(|told| told.verifies(p));
    PERMISSIONS.iter().filter(verified).map(|permission| permission.action).collect()
}

/// The actions that the members of an organization show to be allowed, as the status tells of them.
#[must_use]
pub fn shown_by_members(status: &AwsAccountStatus) -> BTreeSet<&'static str> {
    let synced = is_true(&status.conditions, ORGANIZATION_SYNCED);
    let entered = status.organization.as_ref().is_some_and(|members| members.ready > 0);
    let shows = |permission: &&Permission| {
        permission.used == Use::Organization && if permission.on == On::MemberRole { entered } else { synced }
    };
    PERMISSIONS.iter().filter(shows).map(|permission| permission.action).collect()
}

/// What is to be told, and what is stored of it. `members`: see [`shown_by_members`].
#[must_use]
pub fn tell(
    asked: Option<&Asked>,
    shown: &learned::All,
    members: &BTreeSet<&'static str>,
) -> (Finding, Option<PermissionsStatus>) {
    let Some(asked) = asked else {
        let message = "What the account may do is looked at after it was found ready";
        return (Finding::unknown(PERMISSIONS_VERIFIED, "NotVerifiedYet", message), None);
    };
    let mut missing: BTreeMap<&'static str, (&Permission, BTreeSet<&Region>)> = BTreeMap::new();
    let mut unverified: BTreeSet<&'static str> = BTreeSet::new();
    for (permission, region) in asked.needs.actions() {
        let key = (permission.action, region.clone());
        let (shown, proof) = (shown.get(&key), asked.answer.proofs.get(&key).copied());
        let since = shown.filter(|shown| shown.at >= asked.instant).map(|shown| shown.allowed);
        match since.or(proof).or(shown.map(|shown| shown.allowed)) {
            Some(true) => {}
            Some(false) => {
                missing.entry(permission.action).or_insert((permission, BTreeSet::new())).1.insert(region);
            }
            None if asked.carried.contains(permission.action) || members.contains(permission.action) => {}
            None => {
                unverified.insert(permission.action);
            }
        }
    }
    let all: BTreeSet<Use> = asked.needs.uses.keys().copied().collect();
    let finding = finding(asked, &missing, &unverified, &all);
    let status = PermissionsStatus {
        uses: all.iter().map(|used| used.name().to_owned()).collect(),
        missing: missing.keys().map(|action| (*action).to_owned()).collect(),
        unverified: unverified.iter().map(|action| (*action).to_owned()).collect(),
        changed_at: Some(MicroTime(micros(asked.at))),
    };
    (finding, Some(status))
}

/// What [`tell`] told, or what stands in the status: if it is the same, or a newer answer. Two processes that both believe
/// to lead would else write over each other for ever.
#[must_use]
pub fn settled(
    before: &AwsAccountStatus,
    (finding, told): (Finding, Option<PermissionsStatus>),
    now: Timestamp,
) -> (Finding, Option<PermissionsStatus>) {
    let Some(mut told) = told else { return (finding, None) };
    let Some(stored) = before.permissions.clone() else { return (finding, Some(told)) };
    let condition = before.conditions.iter().find(|c| c.type_ == PERMISSIONS_VERIFIED);
    let Some((condition, reason)) = condition.and_then(|c| Some((c, REASONS.into_iter().find(|r| *r == c.reason)?)))
    else {
        return (finding, Some(told));
    };
    let at = |status: &PermissionsStatus| status.changed_at.as_ref().map(|at| at.0);
    let newer = at(&stored) > at(&told) && at(&stored) <= Some(now);
    let mut same = stored.clone();
    same.changed_at.clone_from(&told.changed_at);
    if newer {
        let holds = match condition.status.as_str() {
            "True" => Some(true),
            "False" => Some(false),
            _ => None,
        };
        return (
            Finding { kind: PERMISSIONS_VERIFIED, holds, reason, message: condition.message.clone() },
            Some(stored),
        );
    }
    if same == told && (reason, &condition.message) == (finding.reason, &plain(&finding.message, LONGEST_MESSAGE)) {
        told = stored;
    }
    (finding, Some(told))
}

/// As precise as a status is.
fn micros(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}

impl PermissionsStatus {
    /// Whether it tells that an action is allowed.
    fn verifies(&self, permission: &Permission) -> bool {
        let named = |list: &[String]| list.iter().any(|action| action == permission.action);
        self.uses.iter().any(|used| used == permission.used.name()) && !named(&self.missing) && !named(&self.unverified)
    }
}

fn finding(
    asked: &Asked,
    missing: &BTreeMap<&'static str, (&Permission, BTreeSet<&Region>)>,
    unverified: &BTreeSet<&'static str>,
    all: &BTreeSet<Use>,
) -> Finding {
    let names: Vec<&str> = all.iter().map(|used| used.name()).collect();
    let how = if asked.needs.guessed { "nothing uses the account yet; it could be used for" } else { "it is used for" };
    let used = format!("{how}: {}", names.join(", "));
    let not_known: Vec<&str> = unverified.iter().copied().collect();
    let not_known = not_known.join(", ");
    if !missing.is_empty() {
        let regions = |of: &BTreeSet<&Region>| of.iter().map(|region| region.as_str()).collect::<Vec<_>>().join(", ");
        let list: Vec<String> = missing.iter().map(|(a, (_, of))| format!("{a} ({})", regions(of))).collect();
        let command = command(&missing.values().map(|(permission, _)| permission.used).collect());
        let rest = if unverified.is_empty() { String::new() } else { format!("; not known: {not_known}") };
        let message = format!(
            "IAM does not allow {}{rest}; {used}. Add what is missing to the policy of {}: `{command}` prints it",
            list.join(", "),
            asked.caller
        );
        return Finding::no(PERMISSIONS_VERIFIED, "PermissionsMissing", message);
    }
    if !unverified.is_empty() {
        let why = match &asked.answer.refusal {
            Some(error) => format!("IAM could not be asked: {error}"),
            None => "IAM can't be asked about this identity, or needs to know more".to_owned(),
        };
        let message = format!(
            "Not known whether IAM allows {not_known}; {used}. It shows with the first call that needs it. {why}"
        );
        return Finding::unknown(PERMISSIONS_VERIFIED, "NotVerified", message);
    }
    Finding::yes(PERMISSIONS_VERIFIED, "Verified", format!("IAM allows all that is needed; {used}"))
}

#[cfg(test)]
pub(crate) mod tests;
