//! Whether a private CA can sign what is wanted: told before anything is paid for.

use crate::{
    api::conditions::whole_seconds,
    aws::port::{Authority, AuthorityState},
    core::access::Refusal,
    pki::certificate::Certificate,
};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;

/// The longest validity that a CA in short-lived mode signs (Private CA user guide, "Certificate authority modes").
const SHORT_LIVED: SignedDuration = SignedDuration::from_hours(7 * 24);

/// A private CA, with the certificate that it signs with.
#[derive(Clone, Debug)]
pub struct KnownAuthority {
    /// What AWS says of it.
    pub authority: Authority,
    /// Its own certificate.
    pub certificate: Arc<Certificate>,
    /// What stands above it, its issuer first.
    pub above: Arc<[Certificate]>,
}

/// Why the CA can't sign until `not_after` at `now`, if so.
#[must_use]
pub fn problem(authority: &Authority, now: Timestamp, not_after: Timestamp) -> Option<Refusal> {
    let refusal = |reason, message| Some(Refusal { reason, message });
    let arn = &authority.arn;
    match authority.state {
        AuthorityState::Active => {}
        AuthorityState::Disabled => {
            return refusal(
                "AuthorityDisabled",
                format!("the private CA {arn} is disabled: somebody has to enable it in AWS Private CA"),
            );
        }
        AuthorityState::Expired => {
            return refusal(
                "AuthorityExpired",
                format!("the private CA {arn} has expired: renew its certificate or name another CA"),
            );
        }
        AuthorityState::NotReady => {
            return refusal(
                "AuthorityNotReady",
                format!(
                    "the private CA {arn} can't sign yet (its state is {}): install its certificate",
                    authority.state_name
                ),
            );
        }
        AuthorityState::Gone => {
            return refusal(
                "AuthorityGone",
                format!(
                    "the private CA {arn} can't sign any more (its state is {}): name another CA",
                    authority.state_name
                ),
            );
        }
    }
    if authority.algorithm.is_none() {
        return refusal(
            "AuthorityUnsupported",
            format!(
                "the key of the private CA {arn} is {}, which ACM does not take: use a CA with an RSA or ECDSA key",
                authority.algorithm_name
            ),
        );
    }
    if authority.short_lived && not_after.duration_since(now) > SHORT_LIVED {
        return refusal(
            "DurationTooLong",
            format!(
                "the private CA {arn} is in short-lived mode and signs for at most 7 days: shorten spec.duration to 168h"
            ),
        );
    }
    match authority.not_after {
        Some(end) if not_after > end => refusal(
            "AuthorityEndsTooSoon",
            format!(
                "the private CA {arn} ends at {}, before a certificate of spec.duration would: shorten spec.duration, or renew the CA",
                whole_seconds(end)
            ),
        ),
        _ => None,
    }
}
