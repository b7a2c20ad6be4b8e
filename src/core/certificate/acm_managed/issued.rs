//! What is done about a certificate of ACM whose ARN is known: is it ours, is it issued, is it exported, is it to be renewed.

use super::{CAME_TO_NOTHING, ISSUED, RENEWING, RENEWS_BEFORE, Way, reasons, spent, wanted_algorithm};
use crate::{
    api::{
        RENEW_ANNOTATION,
        certificate::{ManagedStatus, RequestedRenewal, TargetState, TargetStatus},
        names::CertificateArn,
    },
    aws::port::Description,
    core::{
        access::Refusal,
        backoff::FOR_A_PERSON,
        certificate::{
            Installed, Next, RECORD_FRESH, Read, Write,
            delivery::Need,
            drift,
            search::{CONSISTENT, OTHER_IN_ACM, is_ours, of_other_kind, settles},
            under_arn::{READ_BACK, not_ours, retag_or_done},
        },
    },
    pki::certificate::Serial,
    text::plain,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::collections::BTreeSet;

/// A request that came to nothing is made again after this long; the next time, after twice that.
const AGAIN: SignedDuration = SignedDuration::from_hours(1);
/// But at least once in so long.
const AGAIN_AT_MOST: SignedDuration = SignedDuration::from_hours(24);
/// The longest word of AWS that the status repeats, in bytes.
const LONGEST_WORD: usize = 64;

impl Way<'_> {
    /// See what ACM has there.
    pub(super) fn under(&self, told: &mut TargetStatus, managed: &mut ManagedStatus, arn: &CertificateArn) -> Next {
        let seen = &*self.seen.of(arn);
        let installed = match &seen.installed {
            None if !seen.deleted => return Next::Read(Read::Installed(self.target.name.clone(), arn.clone())),
            None | Some(None) => return self.gone(told, managed, arn),
            Some(Some(installed)) => installed,
        };
        let description = &installed.description;
        note(managed, description);
        told.in_use_by = drift::in_use_by(description);
        let state = &*managed.state;
        if state == "PENDING_VALIDATION" {
            let message = "ACM is issuing the certificate".into();
            return Next::Wait(Refusal { reason: "AcmIssuing", message }, self.poll(told.imported_at.as_ref()));
        }
        let tags = match &seen.tags {
            None => return Next::Read(Read::Tags(self.target.name.clone(), arn.clone())),
            Some(None) => return self.gone(told, managed, arn),
            Some(Some(tags)) => tags,
        };
        // Before anything is exported or told: a status that somebody wrote must not lead to somebody else's key, or names.
        if !is_ours(self.o, self.target, tags) {
            let need = not_ours(self.o, self.target, seen, told, arn, tags);
            if matches!(need, Need::Stalled(..)) {
                told.state = TargetState::Pending;
            }
            return self.of_need(need);
        }
        if description.imported {
            (told.state, told.serial_number, told.content_digest) = (TargetState::Pending, None, None);
            return Next::Stalled(of_other_kind(self.o, self.target, arn), FOR_A_PERSON);
        }
        if let Some(message) = self.misfit(description, arn) {
            told.state = TargetState::Pending;
            return Next::Stalled(Refusal { reason: OTHER_IN_ACM, message }, FOR_A_PERSON);
        }
        if CAME_TO_NOTHING.contains(&state) {
            return self.came_to_nothing(told, managed, arn);
        }
        self.issued(told, managed, arn, installed)
    }

    /// ACM has nothing under the ARN: it was deleted behind our back, or by us, or ACM does not show it yet.
    fn gone(&self, told: &mut TargetStatus, managed: &mut ManagedStatus, arn: &CertificateArn) -> Next {
        let deleted = self.seen.deleted || CAME_TO_NOTHING.contains(&&*managed.state);
        if let Some(shown) = settles(self.o, told).filter(|shown| self.now <= *shown && !self.seen.deleted) {
            told.state = TargetState::Pending;
            let message = format!("ACM does not show {arn} yet, which was requested less than a minute ago");
            let rest =
                self.poll(told.imported_at.as_ref()).min(shown.duration_since(self.now) + SignedDuration::from_secs(1));
            return Next::Wait(Refusal { reason: "NotReadBack", message }, rest);
        }
        if !deleted {
            let message = format!(
                "{arn} is not in ACM any more: somebody deleted it; another certificate is requested, under another ARN, and what \
                 named the old one has to name that"
            );
            if let Some(need) = drift::tell(told, message) {
                return self.of_need(need);
            }
        }
        spent::forget(told, managed);
        self.request(told, managed, Some(arn))
    }

    /// What does not fit the spec, of a certificate with our tags: it was made for another one of this name.
    fn misfit(&self, description: &Description, arn: &CertificateArn) -> Option<String> {
        let spec = &self.o.certificate.spec;
        let lower = |names: &mut dyn Iterator<Item = &String>| {
            names.map(|name| name.to_ascii_lowercase()).collect::<BTreeSet<_>>()
        };
        let wanted = lower(&mut std::iter::once(&spec.subject.domain_name).chain(&spec.subject.additional_names));
        let there = lower(&mut description.names.iter());
        let authority = spec.source.acm_managed.as_ref().and_then(|source| source.certificate_authority.arn.as_ref());
        let own = description.issuance.authority.as_ref();
        let what = if description.kind != "PRIVATE" {
            format!("is of the type {}, not PRIVATE", plain(&description.kind, LONGEST_WORD))
        } else if !there.is_empty() && there != wanted {
            format!("is for {}", there.into_iter().collect::<Vec<_>>().join(", "))
        } else if own.is_some() && authority.is_some() && own != authority {
            format!("is from {}", own.map(ToString::to_string).unwrap_or_default())
        } else {
            let wanted =
                wanted_algorithm(spec).filter(|wanted| description.algorithm.is_some_and(|own| own != *wanted))?;
            format!("has a key of {}, not {}", plain(&description.algorithm_name, LONGEST_WORD), wanted.acm_name())
        };
        Some(format!(
            "{arn} has this target's tags and {what}, and ACM can't change that: it is left alone; delete it in ACM, and another \
             one is requested, or give the Certificate another name"
        ))
    }

    /// ACM could not issue it. Nobody can use such an ARN: it is deleted, and another certificate is requested, now and then.
    fn came_to_nothing(&self, told: &TargetStatus, managed: &ManagedStatus, arn: &CertificateArn) -> Next {
        let doublings = told.attempts.unwrap_or(1).clamp(1, 6) - 1;
        let pause = (AGAIN * (1 << doublings)).min(AGAIN_AT_MOST);
        let requested = told.imported_at.as_ref().map_or(self.now, |at| at.0);
        let again = requested.saturating_add(pause).unwrap_or(Timestamp::MAX);
        if again <= self.now || self.asked(told).is_some() {
            // It stays to be looked at until there may be another one.
            if let Some(next) = self.spent(managed, None) {
                return next;
            }
            return Next::Write(Write::DeleteFromAcm(self.target.name.clone(), arn.clone()));
        }
        let message = format!(
            "ACM could not issue the certificate: {}; another one is requested at {again}, or at once if the annotation {} asks for it",
            reasons::told(managed.failure_reason.as_deref().unwrap_or_default()),
            RENEW_ANNOTATION
        );
        Next::Stalled(Refusal { reason: "IssuanceFailed", message }, again.duration_since(self.now))
    }

    fn issued(
        &self,
        told: &mut TargetStatus,
        managed: &mut ManagedStatus,
        arn: &CertificateArn,
        installed: &Installed,
    ) -> Next {
        let seen = &*self.seen.of(arn);
        let Some(serial) = &installed.serial else {
            let message = format!("ACM does not tell the serial number of {arn} yet");
            return Next::Wait(Refusal { reason: "NotReadBack", message }, READ_BACK);
        };
        match retag_or_done(self.o, self.target, seen, told, arn, serial, self.now) {
            Need::Nothing => {}
            need => return self.of_need(need),
        }
        let stalled = |reason, message| Next::Stalled(Refusal { reason, message }, FOR_A_PERSON);
        match &*managed.state {
            ISSUED => {}
            "REVOKED" => {
                let message = format!(
                    "{arn} is revoked: let nothing use it; when it is deleted in ACM, another one is requested"
                );
                return stalled("Revoked", message);
            }
            state => {
                let message = format!(
                    "ACM calls {arn} {}, and does not renew it any more: when it is deleted in ACM, another one is requested",
                    plain(state, LONGEST_WORD)
                );
                return stalled("NotRenewed", message);
            }
        }
        if let Some(next) = self.export(arn, serial) {
            return next;
        }
        if let Some(next) = self.renew(told, managed, arn, serial) {
            return next;
        }
        if managed.renewal.as_deref() == Some(RENEWING) {
            return self.renewing(installed.description.issuance.renewal_at.map(Time).as_ref());
        }
        self.rest(told, managed)
    }

    /// A renewal that a person asks for.
    fn renew(
        &self,
        told: &TargetStatus,
        managed: &mut ManagedStatus,
        arn: &CertificateArn,
        serial: &Serial,
    ) -> Option<Next> {
        let (value, _) = self.asked(told)?;
        let serial_number = serial.to_string();
        let record = managed.requested.clone().filter(|record| record.value == value);
        if record.as_ref().is_some_and(|record| record.serial_number != serial_number) {
            return None;
        }
        let renewing = managed.renewal.as_deref() == Some(RENEWING);
        if let Some(RequestedRenewal { at, .. }) = &record {
            if renewing {
                return Some(self.renewing(Some(at)));
            }
            let age = self.now.duration_since(at.0);
            // What came of it is told, and it is asked for again after a while.
            if managed.renewal.as_deref() == Some("FAILED") && age > CONSISTENT && age < AGAIN {
                let why = Refusal { reason: "RenewalFailed", message: renewal_failed(managed) };
                return Some(Next::Stalled(why, AGAIN - age));
            }
            let fresh = age.unsigned_abs() <= RECORD_FRESH;
            let refused =
                self.o.memory.refused.get(&self.target.name).is_some_and(|record| record.as_ref() == Some(at));
            match self.o.memory.renewal.filter(|(record, _)| *record == at.0) {
                Some((_, false)) if fresh => {
                    if let Err(next) = self.may_ask(managed, at.0) {
                        return Some(next);
                    }
                    return Some(Next::Write(Write::Renew(self.target.name.clone(), arn.clone(), at.0)));
                }
                // It was asked for, and ACM has its time.
                Some((_, true)) if age < AGAIN => return Some(self.renewing(Some(at))),
                // ACM said no: nothing comes of that.
                _ if refused => {}
                // Whoever made the record may have asked: what came of it shows within a minute.
                _ if age <= CONSISTENT => return Some(self.renewing(Some(at))),
                _ => {}
            }
        }
        if record.is_none() && managed.renewal_eligibility.as_deref() == Some("INELIGIBLE") {
            return Some(Next::Stalled(
                Refusal { reason: "RenewalIneligible", message: ineligible(arn) },
                FOR_A_PERSON,
            ));
        }
        let at = match self.counted(managed) {
            Ok(at) => at,
            Err(next) => return Some(next),
        };
        managed.requested = Some(RequestedRenewal { value, at, serial_number });
        Some(Next::Save)
    }

    /// What is in the way of the renewal by ACM, as far as is known without asking.
    pub(super) fn trouble(&self, told: &TargetStatus, managed: &ManagedStatus) -> Option<Refusal> {
        if managed.renewal.as_deref() == Some("FAILED") {
            return Some(Refusal { reason: "RenewalFailed", message: renewal_failed(managed) });
        }
        let stored = self.o.certificate.status.as_ref().and_then(|s| s.not_after.as_ref()).map(|t| t.0);
        let seen = self.seen.installed.as_ref().and_then(|i| i.as_ref()).and_then(|i| i.description.not_after);
        let near = seen.or(stored).is_some_and(|ends| ends.duration_since(self.now) < RENEWS_BEFORE);
        let left_out = managed.renewal_eligibility.as_deref() == Some("INELIGIBLE");
        let arn = told.arn.as_ref().filter(|_| near && left_out)?;
        Some(Refusal { reason: "RenewalIneligible", message: ineligible(arn) })
    }

    fn renewing(&self, since: Option<&Time>) -> Next {
        let rest = since.map_or(SignedDuration::from_mins(2), |since| self.poll(Some(since)));
        let message = "ACM renews the certificate, under the ARN that it has".into();
        Next::Wait(Refusal { reason: "Renewing", message }, rest)
    }
}

/// What ACM says, for the status.
fn note(managed: &mut ManagedStatus, description: &Description) {
    let word = |text: &str| Some(plain(text, LONGEST_WORD)).filter(|text| !text.is_empty());
    let issuance = &description.issuance;
    managed.state = plain(&description.state, LONGEST_WORD);
    managed.renewal_eligibility = word(&description.renewal);
    managed.renewal = word(&issuance.renewal);
    managed.failure_reason = word(&issuance.failure).or_else(|| word(&issuance.renewal_failure));
}

fn renewal_failed(managed: &ManagedStatus) -> String {
    format!(
        "ACM could not renew the certificate: {}; ACM tries again by itself",
        reasons::told(managed.failure_reason.as_deref().unwrap_or_default())
    )
}

fn ineligible(arn: &CertificateArn) -> String {
    format!(
        "ACM does not renew {arn}: it renews only what is in use, by a load balancer or another service, or was exported; let \
         something use it, or set spec.secret"
    )
}
