//! What the private CA signed, fetched and looked through.

use super::{Memory, Next, Observed, Read, Write};
use crate::{
    api::names::IssuedArn,
    core::{access::Refusal, authority::KnownAuthority, backoff::FOR_A_PERSON},
    pki::{csr::Csr, verify},
};
use jiff::{SignedDuration, Timestamp};

/// The first pause before the CA is asked for what it signs.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_millis(500);
/// The longest pause.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_secs(30);

/// How long the CA is left alone after it was asked too early so often: twice as long each time, half a minute at most.
#[must_use]
pub fn pause(too_early: u32) -> SignedDuration {
    FIRST_PAUSE.checked_mul(1 << too_early.min(6)).map_or(LONGEST_PAUSE, |pause| pause.min(LONGEST_PAUSE))
}

impl Memory {
    /// The CA answered that it has not signed yet: it is asked again after a pause.
    pub fn not_yet(&mut self, now: Timestamp) {
        self.poll_at = now.checked_add(pause(self.polls)).ok();
        self.polls = self.polls.saturating_add(1);
    }
}

/// What comes next for a request whose certificate has an ARN.
pub(super) fn next(o: &Observed, arn: &IssuedArn, authority: &KnownAuthority, csr: &Csr, now: Timestamp) -> Next {
    let Some(answer) = &o.answer else {
        return match o.memory.poll_at {
            Some(at) if now < at => late(o, at.duration_since(now), now),
            _ => Next::Read(Read::Answer(arn.clone())),
        };
    };
    let verified = verify::verify_issued(&answer.certificate, &answer.chain, csr, &authority.certificate, now)
        .and_then(|chain| verify::complete(chain, &authority.above));
    let chain = match verified {
        Ok(chain) => chain,
        // The CA may have got a new certificate since it was remembered.
        Err(_) if !o.authority_is_fresh => return Next::Read(Read::AuthorityAgain),
        Err(problem) => {
            let message = format!(
                "what the private CA returned as {arn} is not what was asked for, and is not used: {problem}; it is fetched \
                 again every ten minutes; if it stays so, make a new request"
            );
            return Next::Stalled(Refusal { reason: "Failed", message }, FOR_A_PERSON);
        }
    };
    if o.request.spec.subject.is_some() {
        let stored = o.secret.as_ref().and_then(|s| s.as_ref()).is_some_and(|s| s.holds(&chain.leaf));
        if !stored {
            return Next::Write(Write::Secret);
        }
        if matches!(o.staged, Some(Some(_))) {
            return Next::Write(Write::DeleteStaged);
        }
    }
    Next::Done(Box::new(chain))
}

/// A private CA signs within seconds; after so long people are told that it has not.
const LATE: SignedDuration = SignedDuration::from_mins(5);

/// The CA is still at it: told once that has taken long.
fn late(o: &Observed, rest: SignedDuration, now: Timestamp) -> Next {
    let attempt = o.request.status.as_ref().and_then(|s| s.attempt.as_ref()).map(|a| &a.at);
    match attempt.or(o.request.metadata.creation_timestamp.as_ref()) {
        Some(asked) if now.duration_since(asked.0) >= LATE => {
            let message = format!(
                "The private CA was asked to sign at {} and has not done so yet; it is asked for the certificate again and again, and \
                 nothing is paid for twice",
                asked.0
            );
            Next::Wait(Refusal { reason: "Issuing", message }, rest)
        }
        _ => Next::Quiet(rest),
    }
}
