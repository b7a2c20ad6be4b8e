//! When a certificate is renewed.

use super::windows;
use crate::api::certificate::{CertificateSpec, Renewals};
use aws_lc_rs::digest::{SHA256, digest};
use jiff::{SignedDuration, Timestamp};

/// When a certificate is to be renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Then it is begun.
    pub at: Timestamp,
    /// Its time has come; in a window, `at` may be later.
    pub since: Timestamp,
    /// No window opens in good time before the end, so it is begun outside of them.
    pub outside: bool,
}

/// A window that opens later than this before the end is as good as none.
const RESERVE: SignedDuration = SignedDuration::from_hours(24);

/// When a certificate that is valid from `not_before` to `not_after` is to be renewed, as things stand at `now`; none: it is
/// not renewed by itself, or not here.
///
/// In a window, up to half of its length after it opened, by the Certificate's uid. A window that can't be read never opens.
#[must_use]
pub fn due(
    spec: &CertificateSpec,
    not_before: Timestamp,
    not_after: Timestamp,
    uid: &str,
    now: Timestamp,
) -> Option<Due> {
    if spec.source_secret().is_some() || spec.issuance.is_some_and(|issuance| issuance.renewals == Renewals::Disabled) {
        return None;
    }
    let since = time(spec, not_before, not_after, uid);
    let windows = spec.renewal.as_ref().map_or(&[][..], |renewal| &renewal.windows);
    if windows.is_empty() {
        return Some(Due { at: since, since, outside: false });
    }
    let reserve = (not_after.duration_since(since) / 4).min(RESERVE);
    let latest = not_after.saturating_sub(reserve).unwrap_or(not_after);
    let opening = windows::next(windows, since.max(now)).ok().flatten();
    Some(match opening.filter(|opening| opening.start <= latest) {
        Some(windows::Opening { start, length }) => {
            let spread = SignedDuration::from_secs(length.as_secs() / 2 * per_mille(uid) / 1000);
            Due { at: start.saturating_add(spread).unwrap_or(start).min(latest).max(since), since, outside: false }
        }
        None => Due { at: since, since, outside: true },
    })
}

/// The time to renew a certificate that is valid from `not_before` to `not_after`.
///
/// `before` or `beforePercent` of the spec, else a third of the lifetime, before the end; and up to a tenth of that (at
/// most a day) earlier, by the Certificate's uid, so that certificates made together are not renewed together. Never
/// in the first tenth of the lifetime: a spec must not make a loop that buys certificates.
#[must_use]
pub fn time(spec: &CertificateSpec, not_before: Timestamp, not_after: Timestamp, uid: &str) -> Timestamp {
    // AWS dates a certificate back by an hour (Private CA API reference, IssueCertificate): that hour is not lifetime.
    let asked = not_after.checked_sub(seconds(spec.duration)).unwrap_or(not_before);
    let begin = not_before.max(asked);
    let lifetime = not_after.duration_since(begin);
    let renewal = spec.renewal.as_ref();
    let before = if let Some(before) = renewal.and_then(|r| r.before) {
        seconds(before)
    } else if let Some(percent) = renewal.and_then(|r| r.before_percent) {
        lifetime / 100 * percent
    } else {
        lifetime / 3
    };
    let spread = (before / 10).min(SignedDuration::from_hours(24));
    let jitter = SignedDuration::from_secs(
        spread.as_secs() / 1000 * per_mille(uid) + spread.as_secs() % 1000 * per_mille(uid) / 1000,
    );
    let earliest = begin.saturating_add(lifetime / 10).unwrap_or(not_after);
    let at = not_after.saturating_sub(before + jitter).unwrap_or(earliest).max(earliest);
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

fn seconds(duration: kube::core::Duration) -> SignedDuration {
    SignedDuration::try_from(std::time::Duration::from(duration)).unwrap_or(SignedDuration::MAX)
}

/// A number from 0 to 999 that belongs to the uid.
#[must_use]
pub fn per_mille(uid: &str) -> i64 {
    let digest = digest(&SHA256, uid.as_bytes());
    let bytes = digest.as_ref();
    i64::from(u16::from_be_bytes([bytes[0], bytes[1]])) * 1000 / 65_536
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn spec(renewal: &serde_json::Value, duration: &str) -> CertificateSpec {
        serde_json::from_value(json!({
            "accountRef": { "name": "a" }, "region": "eu-west-1", "duration": duration, "renewal": renewal,
            "source": { "privateCa": { "certificateAuthority": { "name": "ca" } } },
            "subject": { "domainName": "a.example" }, "secret": { "name": "s" },
        }))
        .unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_third_of_the_lifetime_is_left_by_default() {
        let time = time(&spec(&json!({}), "2160h"), at("2026-01-01T00:00:00Z"), at("2026-04-01T00:00:00Z"), "uid");
        assert!((at("2026-03-01T00:00:00Z")..=at("2026-03-02T00:00:00Z")).contains(&time), "{time}");
    }

    #[test]
    fn before_and_percent_count_from_the_end() {
        let (begin, end) = (at("2026-01-01T00:00:00Z"), at("2026-04-01T00:00:00Z"));
        let left = |renewal| end.duration_since(time(&spec(&renewal, "2160h"), begin, end, "uid")).as_hours();
        assert!((240..=264).contains(&left(json!({ "before": "240h" }))));
        assert!((216..=240).contains(&left(json!({ "beforePercent": 10 }))));
    }

    #[test]
    fn different_uids_renew_at_different_times() {
        let (begin, end) = (at("2026-01-01T00:00:00Z"), at("2026-04-01T00:00:00Z"));
        let times: std::collections::BTreeSet<Timestamp> =
            (0..100).map(|n| time(&spec(&json!({}), "2160h"), begin, end, &format!("uid-{n}"))).collect();
        assert!(times.len() > 90);
    }

    proptest! {
        #[test]
        fn never_in_the_first_tenth_and_always_before_the_end(hours in 1_i64..20_000, before in 1_i64..40_000, uid in "[a-z]{1,8}") {
            let begin = at("2026-01-01T00:00:00Z");
            let end = begin + SignedDuration::from_hours(hours);
            let time = time(&spec(&json!({ "before": format!("{before}h") }), &format!("{hours}h")), begin, end, &uid);
            prop_assert!(time.duration_since(begin).as_secs() >= hours * 360 - 1);
            prop_assert!(time < end);
        }
    }
}
