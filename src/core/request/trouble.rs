//! What becomes of a request after a call failed.

use super::{Next, Observed, Read};
use crate::core::{
    access::Refusal,
    authority,
    backoff::{FOR_A_PERSON, Failure, exponential},
};
use jiff::Timestamp;

/// The call that is paid for.
const ISSUE: &str = "acm-pca:IssueCertificate";
/// AWS's error code where a CA can't sign in the state it is in (Private CA API reference, IssueCertificate, Errors).
const WRONG_STATE: &str = "InvalidStateException";

/// What comes next. `is_new`: nothing was told of the request yet.
pub(super) fn next(o: &Observed, failure: &Failure, now: Timestamp, is_new: bool) -> Next {
    of_authority(o, failure, now).unwrap_or_else(|| failure.next(is_new, Next::Stalled, Next::Wait, Next::Quiet))
}

/// The CA refused to sign in the state it is in, which is newer than what was known of it: it is read again, and tells the state.
fn of_authority(o: &Observed, failure: &Failure, now: Timestamp) -> Option<Next> {
    let error = &failure.error;
    if error.action != ISSUE || error.code.as_deref() != Some(WRONG_STATE) {
        return None;
    }
    if matches!(o.session, Some(Err(_))) {
        return None;
    }
    if !o.authority_is_fresh {
        return Some(Next::Read(Read::AuthorityAgain));
    }
    let why = match o.authority.as_ref()? {
        Ok(known) => authority::problem(&known.authority, now, now),
        Err(why) => Some(why.clone()),
    };
    Some(match why {
        Some(why) => Next::Stalled(why, FOR_A_PERSON),
        // It can sign by now.
        None => {
            Next::Wait(Refusal { reason: failure.reason(), message: error.to_string() }, exponential(failure.count))
        }
    })
}
