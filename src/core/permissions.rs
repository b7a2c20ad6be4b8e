//! What an account's uses need of IAM, and what of it is missing. Told by IAM action name; what is not known is not guessed.

use crate::{
    api::{
        AwsAccount, Certificate, CertificateRequest,
        account::PermissionsStatus,
        certificate::DeletionPolicy,
        conditions::{Finding, PERMISSIONS_VERIFIED, READY, is_true},
        names::{AuthorityArn, CertificateArn, Located, Region, RoleArn},
        shared::AuthorityRef,
    },
    aws::{
        permissions::{On, PERMISSIONS, Permission, Use, command, learned, verify::Answer},
        port::{Authority, AuthorityState, Simulation},
    },
};
use jiff::{SignedDuration, Timestamp};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

/// IAM is asked again after about this long: a policy hardly changes, and what is denied meanwhile is learned at once.
const INTERVAL: SignedDuration = SignedDuration::from_hours(1);
/// Where it could not be asked for a passing reason.
const AFTER_FAULT: SignedDuration = SignedDuration::from_mins(10);
/// CAs of a region that are asked about.
const MOST_AUTHORITIES: usize = 3;

/// What IAM said, by action and region.
pub type Proofs = BTreeMap<(&'static str, Region), bool>;

/// What an account is used for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The uses, and in which regions.
    pub uses: BTreeMap<Use, BTreeSet<Region>>,
    /// The CAs that sign.
    pub authorities: BTreeSet<AuthorityArn>,
    /// A certificate of ours in a region's ACM, if there is one.
    pub certificates: BTreeMap<Region, CertificateArn>,
    /// Nothing uses it yet: what it could be used for is looked at.
    pub guessed: bool,
}

impl Needs {
    /// The actions, each with a region that it is needed in; not those that are optional.
    pub fn actions(&self) -> impl Iterator<Item = (&'static Permission, &Region)> {
        let needed = PERMISSIONS.iter().filter(|permission| !permission.optional);
        needed.flat_map(|p| self.uses.get(&p.used).into_iter().flatten().map(move |region| (p, region)))
    }

    /// The CAs of a region.
    pub fn authorities_in(&self, region: &Region) -> impl Iterator<Item = &AuthorityArn> {
        self.authorities.iter().filter(|arn| arn.region() == region.as_str()).take(MOST_AUTHORITIES)
    }

    fn add(&mut self, used: Use, region: &Region) {
        self.uses.entry(used).or_default().insert(region.clone());
    }
}

/// CAs by region, as an account's list told them.
type Listed<E> = BTreeMap<Region, Result<Vec<Authority>, E>>;

/// What an account of this name is used for, by what names it. If nothing does: what it could be used for.
#[must_use]
pub fn needs<E>(
    account: &AwsAccount,
    name: &str,
    certificates: &[std::sync::Arc<Certificate>],
    requests: &[std::sync::Arc<CertificateRequest>],
    listed: &Listed<E>,
) -> Needs {
    let mut needs = Needs::default();
    let allowed = &account.spec.regions;
    let issues = |needs: &mut Needs, region: &Region, which: &AuthorityRef| {
        if !allowed.contains(region) {
            return;
        }
        needs.add(Use::Issue, region);
        let of_region = listed.get(region).and_then(|list| list.as_ref().ok()).into_iter().flatten();
        let named = |ca: &&Authority| which.name.is_some() && ca.common_name == which.name;
        let by_name = of_region.filter(named).map(|ca| ca.arn.clone());
        needs.authorities.extend(which.arn.clone().into_iter().chain(by_name));
    };
    for certificate in certificates.iter().filter(|c| c.spec.enabled) {
        let spec = &certificate.spec;
        if spec.account_ref.name == name {
            issues(&mut needs, &spec.region, &spec.source.private_ca.certificate_authority);
        }
        for target in &spec.acm {
            let place = target.account_ref.as_ref().unwrap_or(&spec.account_ref);
            let region = target.region.as_ref().unwrap_or(&spec.region);
            if place.name != name || !allowed.contains(region) {
                continue;
            }
            needs.add(Use::Import, region);
            if target.deletion_policy == DeletionPolicy::Delete {
                needs.add(Use::Delete, region);
            }
            let stored = certificate.status.iter().flat_map(|s| &s.targets).find(|t| t.name == target.name);
            if let Some(arn) = stored.and_then(|t| t.arn.clone()).filter(|arn| arn.region() == region.as_str()) {
                needs.certificates.entry(region.clone()).or_insert(arn);
            }
        }
    }
    let signed = |r: &CertificateRequest| r.status.as_ref().is_some_and(|s| is_true(&s.conditions, READY));
    for request in requests.iter().filter(|r| r.spec.account_ref.name == name && !signed(r)) {
        issues(&mut needs, &request.spec.region, &request.spec.certificate_authority);
    }
    if needs.uses.is_empty() {
        needs.guessed = true;
        for region in allowed {
            needs.add(Use::Import, region);
            let list = listed.get(region).and_then(|list| list.as_ref().ok()).into_iter().flatten();
            for authority in list.filter(|ca| ca.state == AuthorityState::Active) {
                needs.add(Use::Issue, region);
                needs.authorities.insert(authority.arn.clone());
            }
        }
    }
    needs
}

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
            On::Role | On::Identity => continue,
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
#[derive(Clone, Debug)]
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

/// The actions that a status tells to be allowed: a restart forgets what calls have shown, and changes no permission.
#[must_use]
pub fn carried(told: Option<&PermissionsStatus>) -> BTreeSet<&'static str> {
    let verified = |p: &&Permission| told.is_some_and(|told| told.verifies(p));
    PERMISSIONS.iter().filter(verified).map(|permission| permission.action).collect()
}

/// What is to be told, and what is stored of it.
#[must_use]
pub fn tell(asked: Option<&Asked>, shown: &learned::All) -> (Finding, Option<PermissionsStatus>) {
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
            None if asked.carried.contains(permission.action) => {}
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
    };
    (finding, Some(status))
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
