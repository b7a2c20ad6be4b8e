//! What ACM would refuse, told before anything is paid for.

use super::{
    Installed, Next, Observed, Read, account_in_the_way, adoption,
    delivery::{self, Need},
    entry, search, wanted,
};
use crate::{
    aws::port::Description,
    core::{access::Refusal, authority::KnownAuthority, backoff::FOR_A_PERSON},
    pki::{
        acm_rules::{CurrentInAcm, PlannedCertificate, import_problems, introduced_problems, reimport_problems},
        algorithm::KeyAlgorithm,
        key::PrivateKey,
    },
};
use jiff::{SignedDuration, Timestamp};

/// So much passes before anybody could read of it.
const MOMENT: SignedDuration = SignedDuration::from_secs(10);

/// The reason of what ACM would refuse.
pub(super) const FAILED: &str = "PreflightFailed";

/// What has to be looked at, or what is in the way, before a certificate for these targets is asked for.
pub(super) fn next(o: &Observed, authority: &KnownAuthority, algorithm: KeyAlgorithm, now: Timestamp) -> Option<Next> {
    let spec = &o.certificate.spec;
    let stalled = |message| Some(Next::Stalled(Refusal { reason: FAILED, message }, FOR_A_PERSON));
    let names = match wanted::names(&spec.subject) {
        Ok(names) => names,
        Err(problem) => {
            return Some(Next::Stalled(
                Refusal { reason: "InvalidSubject", message: format!("spec.subject: {problem}") },
                FOR_A_PERSON,
            ));
        }
    };
    if spec.acm.is_empty() {
        return None;
    }
    let signing_family = authority.authority.algorithm.map_or(algorithm.family(), KeyAlgorithm::family);
    let planned = PlannedCertificate {
        algorithm,
        signing_family,
        usages: wanted::usages(spec),
        names,
        key_pem_bytes: PrivateKey::acm_pem_size(algorithm),
    };
    if let Some(problem) = import_problems(&planned).first() {
        return stalled(format!("ACM would refuse the certificate, so it is not asked for: {problem}"));
    }
    let changed = o.current().is_some() && matches!(wanted::trigger(o, now), Some(wanted::Trigger::SpecChanged));
    for target in spec.acm.iter().filter(|t| o.keeps_arn(t)) {
        let (account, region) = o.place(target);
        // It can't be looked at, and must not keep the others from their renewal.
        if account_in_the_way(o, account, region, now).is_some() {
            continue;
        }
        let known = o.certificate.status.as_ref().and_then(|s| entry(s, &target.name)).cloned();
        let known = known.unwrap_or_else(|| delivery::fresh(o, target));
        let adopts = adoption::pending(target, &known);
        // What may not be taken over keeps no certificate from its renewal; only a changed spec is looked at for its sake.
        if adopts.is_some() && o.current().is_some() && !changed {
            continue;
        }
        if let Some(failure) = delivery::failure(o, &target.name)
            && failure.is_told_of(o.is_untold())
            && !failure.needs_a_person()
        {
            let why = Refusal { reason: failure.reason(), message: failure.error.to_string() };
            return Some(Next::Wait(why, failure.wait()));
        }
        if let Some(need) = delivery::failed(o, &target.name) {
            return waits(o, need);
        }
        if let Some(arn) = adopts {
            match adoption::preflight(o, target, &known, arn, &planned, now) {
                Ok(true) => continue,
                Ok(false) => {}
                Err(Need::Stalled(why, _)) if changed && why.reason != adoption::MISFIT => continue,
                Err(need) => return waits(o, need),
            }
        }
        let serial = o.current().map(|pair| &pair.chain.leaf.serial);
        let arn = match known.arn.clone() {
            Some(arn) => arn,
            // Made already, by somebody who could not tell: what comes must fit it.
            None => match search::ours(o, target, &known, serial, now) {
                Ok(ours) => match ours.first() {
                    Some((summary, _)) => summary.arn.clone(),
                    None => continue,
                },
                Err(need) => return waits(o, need),
            },
        };
        let there =
            o.targets.get(&target.name).and_then(|seen| seen.installed.as_ref()).and_then(|there| there.as_ref());
        if there.is_some_and(|there| !there.description.imported) {
            return Some(Next::Stalled(search::of_other_kind(o, target, &arn), FOR_A_PERSON));
        }
        let problems = match current(o, &target.name) {
            Current::Whole(current) => {
                let mut problems = reimport_problems(&current, &planned);
                problems.extend(introduced_problems(&current, &planned));
                problems
            }
            Current::Described(current) => reimport_problems(&current, &planned),
            Current::Unknown => return Some(Next::Read(Read::Installed(target.name.clone(), arn))),
            Current::Nothing => continue,
        };
        if let Some(problem) = problems.first() {
            return stalled(format!(
                "ACM would refuse the certificate under {arn} (target {}), so it is not asked for: {problem}; \
                 undo the change, or deliver to another target",
                target.name
            ));
        }
    }
    None
}

fn waits(o: &Observed, need: Need) -> Option<Next> {
    match need {
        Need::Read(read) => Some(Next::Read(read)),
        Need::Wait(why, rest) if rest <= MOMENT || delivery::is_quiet(o, &why, rest) => Some(Next::Quiet(rest)),
        Need::Quiet(rest) => Some(Next::Quiet(rest)),
        Need::Wait(why, rest) => Some(Next::Wait(why, rest)),
        Need::Stalled(why, rest) => Some(Next::Stalled(why, rest)),
        Need::Nothing | Need::Later(_) | Need::Save | Need::Write(_) => None,
    }
}

/// What DescribeCertificate tells.
pub(super) fn described(description: &Description) -> CurrentInAcm {
    CurrentInAcm {
        algorithm: description.algorithm,
        key_usages: description.key_usages.clone(),
        extended_key_usages: description.extended_key_usages.clone(),
        domains: description.names.clone(),
    }
}

enum Current {
    /// By the certificate itself.
    Whole(CurrentInAcm),
    /// By what ACM tells of it, which may leave usages out.
    Described(CurrentInAcm),
    Nothing,
    Unknown,
}

/// What ACM has there: known from the Secret if the serial numbers agree, else looked at.
fn current(o: &Observed, target: &str) -> Current {
    let stored = o.certificate.status.as_ref().and_then(|s| entry(s, target)).and_then(|t| t.serial_number.clone());
    if let Some(pair) = o.current()
        && stored.as_deref() == Some(&*pair.chain.leaf.serial.to_string())
    {
        return Current::Whole(CurrentInAcm::of_certificate(&pair.chain.leaf));
    }
    match o.targets.get(target).and_then(|seen| seen.installed.as_ref()) {
        None => Current::Unknown,
        Some(None) => Current::Nothing,
        Some(Some(Installed { description, .. })) => Current::Described(described(description)),
    }
}
