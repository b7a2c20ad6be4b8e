//! The way to an ARN: what ACM has of ours, else RequestCertificate, right after a record of it.

use super::{Way, wanted_algorithm};
use crate::{
    api::{
        certificate::{ManagedStatus, TargetState, TargetStatus},
        conditions::whole_seconds,
        names::CertificateArn,
    },
    aws::port::CertificateOrder,
    core::{
        access::Refusal,
        authority::{self, KnownAuthority},
        backoff::FOR_A_PERSON,
        certificate::{
            Next, Observed, PATIENCE, RECORD_FRESH, Read, Write, age, entry, preflight,
            search::{ours, settles},
            under_arn::READ_BACK,
            wanted, write,
        },
        hex,
    },
    pki::algorithm::{KeyAlgorithm, KeyFamily},
};
use aws_lc_rs::digest::{SHA256, digest};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

/// A certificate that ACM issues lasts so long (ACM user guide, "Private certificates"): 395 days.
const LASTS: SignedDuration = SignedDuration::from_hours(395 * 24);
/// Bytes of the digest in a token, two letters each (service model, IdempotencyToken: at most 32 letters).
const TOKEN: usize = 16;

impl Way<'_> {
    /// There is no ARN, or the one there was is seen gone.
    pub(super) fn request(
        &self,
        told: &mut TargetStatus,
        managed: &mut ManagedStatus,
        gone: Option<&CertificateArn>,
    ) -> Next {
        let o = self.o;
        // Our own record, just stored: the request that it tells of has not begun. By both clocks: one stands while the machine
        // sleeps, the other may be set.
        if let Some(since) = &told.pending_since
            && self.seen.record_age.is_some_and(|age| age <= RECORD_FRESH)
            && self.now.duration_since(since.0).unsigned_abs() <= RECORD_FRESH
            && settles(o, told).is_some_and(|settled| self.now <= settled)
            && self.seen.lookup.is_some()
            && order(o).is_some()
        {
            if let Err(next) = self.may_ask(managed, since.0) {
                return next;
            }
            return Next::Write(Write::RequestNew(self.target.name.clone()));
        }
        let ours = match ours(o, self.target, &self.asked_of(told, managed), None, self.now) {
            Ok(ours) => ours,
            Err(need) => return self.of_need(need),
        };
        if let Some((first, rest)) = ours.split_first() {
            if let Some((surplus, _)) = rest.iter().find(|(summary, _)| !summary.in_use) {
                return Next::Write(Write::DeleteFromAcm(self.target.name.clone(), surplus.arn.clone()));
            }
            let arn = &first.0.arn;
            // What this pass saw gone may still be listed: to go on with it would be a circle.
            if gone == Some(arn) {
                let message = format!("ACM lists {arn}, which is just gone: it is looked at again");
                return Next::Wait(Refusal { reason: "LookingAtAcm", message }, READ_BACK);
            }
            told.arn = Some(arn.clone());
            // What is found after a lost answer was begun within seconds of its record; where there is none, ACM knows.
            let created = first.0.created_at.map(|at| Time(whole_seconds(at)));
            let made = || created.or_else(|| managed.asked.last().cloned());
            told.imported_at = told.pending_since.take().or(told.imported_at.take()).or_else(made);
            (told.state, told.message) = (TargetState::Pending, None);
            return Next::Save;
        }
        if let Some(next) = self.before_paying(managed) {
            return next;
        }
        let at = match self.counted(managed) {
            Ok(at) => at,
            Err(next) => return next,
        };
        // As long as the answer is not known it is the same request, by the same token. After a wiped status, a token of the last
        // hour would lead to what is gone.
        if told.pending_since.is_none() {
            let asked = i32::try_from(managed.asked.len()).unwrap_or(i32::MAX);
            told.attempts = Some(told.attempts.unwrap_or(0).saturating_add(1).max(asked));
        }
        told.pending_since = Some(at);
        (told.state, told.message) = (TargetState::Pending, None);
        Next::Save
    }

    /// A target as its status tells of it and, where that was wiped, as this process knows that ACM was asked for it: a list of before
    /// may not show what came of that. A time to come is of a clock that was set back since, and would be waited for too long.
    fn asked_of(&self, told: &TargetStatus, managed: &ManagedStatus) -> TargetStatus {
        // What was counted in this pass is not asked for yet.
        let counted = self.o.counted.as_ref().map(|(at, _)| *at);
        let asked = managed.asked.iter().rfind(|asked| Some(asked.0) != counted && asked.0 <= self.now).cloned();
        TargetStatus { imported_at: told.imported_at.clone().max(asked), ..told.clone() }
    }

    /// What has to be looked at, or what is in the way, before ACM is asked.
    fn before_paying(&self, managed: &ManagedStatus) -> Option<Next> {
        if let Err(problem) = wanted::names(&self.o.certificate.spec.subject) {
            let message = format!("spec.subject: {problem}");
            return Some(Next::Stalled(Refusal { reason: "InvalidSubject", message }, FOR_A_PERSON));
        }
        if let Some(next) = self.spent(managed, self.o.counted.as_ref().map(|(at, _)| *at)) {
            return Some(next);
        }
        let young = age(self.o.certificate.creation_timestamp().map(|t| t.0), self.now);
        match &self.o.authority {
            None => Some(Next::Read(Read::Authority)),
            Some(Err(_)) if young < PATIENCE => Some(Next::Quiet(PATIENCE - young)),
            Some(Err(why)) => Some(Next::Stalled(why.clone(), FOR_A_PERSON)),
            Some(Ok(known)) => problem(self.o, known, self.now).map(|why| Next::Stalled(why, FOR_A_PERSON)),
        }
    }
}

/// Why ACM could not issue from a CA, told before it is asked.
fn problem(o: &Observed, known: &KnownAuthority, now: Timestamp) -> Option<Refusal> {
    let authority = &known.authority;
    let arn = &authority.arn;
    if authority.short_lived {
        let message = format!(
            "the private CA {arn} is in short-lived mode, and ACM does not issue from such a CA: use another one, or source.privateCa"
        );
        return Some(Refusal { reason: "AuthorityShortLived", message });
    }
    let ends = now.checked_add(LASTS).unwrap_or(Timestamp::MAX);
    if let Some(why) = authority::problem(authority, now, ends) {
        let message = match (why.reason, authority.not_after) {
            ("AuthorityEndsTooSoon", Some(end)) => format!(
                "the private CA {arn} ends at {}, and a certificate of ACM lasts 395 days: renew the CA, or use another one",
                whole_seconds(end)
            ),
            _ => why.message,
        };
        return Some(Refusal { message, ..why });
    }
    let wanted = algorithm(o, known)?;
    let own = authority.algorithm?;
    (wanted.family() != own.family()).then(|| {
        let message = format!(
            "ACM would refuse the certificate, so it is not asked for: its key would be {}, and that of the private CA {arn} is {}; \
             both have to be RSA, or both ECDSA",
            wanted.acm_name(),
            own.acm_name()
        );
        Refusal { reason: preflight::FAILED, message }
    })
}

/// The algorithm of the key that ACM makes: that of the spec, else one of the CA's own family.
fn algorithm(o: &Observed, known: &KnownAuthority) -> Option<KeyAlgorithm> {
    wanted_algorithm(&o.certificate.spec).or_else(|| {
        Some(match known.authority.algorithm?.family() {
            KeyFamily::Rsa => KeyAlgorithm::Rsa2048,
            KeyFamily::Ecdsa => KeyAlgorithm::EcPrime256v1,
        })
    })
}

/// What ACM is asked for; none: not all of it is known.
#[must_use]
pub fn order(o: &Observed) -> Option<CertificateOrder> {
    let spec = &o.certificate.spec;
    let target = spec.acm.first()?;
    let known = o.authority.as_ref()?.as_ref().ok()?;
    let told = o.certificate.status.as_ref().and_then(|s| entry(s, &target.name));
    let attempt = told.and_then(|t| t.attempts).unwrap_or_default();
    let mut additional_names = spec.subject.additional_names.clone();
    additional_names.retain(|name| *name != spec.subject.domain_name);
    Some(CertificateOrder {
        region: spec.region.clone(),
        authority: known.authority.arn.clone(),
        domain_name: spec.subject.domain_name.clone(),
        additional_names,
        algorithm: algorithm(o, known)?,
        idempotency_token: token(o, attempt),
        tags: write::import_tags(o, target),
    })
}

/// The same for the same request of the same object, and another one for every other.
fn token(o: &Observed, attempt: i32) -> String {
    let text = format!("{}/{}/{attempt}", o.uid(), wanted::issued_for(&o.certificate.spec));
    hex(digest(&SHA256, text.as_bytes()).as_ref(), TOKEN)
}
