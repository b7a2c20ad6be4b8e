//! When ACM is looked at though nothing of ours asks for it, and what is told where somebody else has been at work.

use super::{
    Installed, Observed, TargetObserved,
    delivery::Need,
    search::{overtaken, settles, surplus, unanswered},
};
use crate::{
    api::{
        certificate::{Target, TargetState, TargetStatus},
        names::CertificateArn,
    },
    aws::port::Description,
};
use aws_lc_rs::digest::{SHA256, digest};
use jiff::{SignedDuration, Timestamp};

/// The reason of events about what somebody else did.
pub(super) const DRIFT: &str = "Drift";

/// So many of what uses a certificate are told of.
const MOST_USERS: usize = 20;

/// Whether the spec is the one that the status is about.
pub(super) fn unchanged(o: &Observed) -> bool {
    let generation = o.certificate.metadata.generation;
    o.certificate.status.as_ref().is_some_and(|s| s.observed_generation == generation)
}

/// Whether this pass looks at what ACM has of a delivered target.
pub(super) fn looks(
    o: &Observed,
    target: &Target,
    status: &TargetStatus,
    seen: &TargetObserved,
    now: Timestamp,
) -> bool {
    // What was begun in this pass goes on to its end.
    let begun = seen.tags.is_some();
    let due = || {
        let last = o.memory.looked.get(&target.name);
        last.and_then(|last| slot(&o.uid(), &target.name, o.drift_interval, last)).is_some_and(|at| at <= now)
    };
    // What ACM may not show yet is no drift.
    let second = || surplus(o, target).is_some_and(|(_, at)| at < now);
    let frozen = || [unanswered(o, target), overtaken(o, &target.name)].into_iter().flatten().any(|at| at < now);
    begun || second() || frozen() || (settles(o, status).is_none_or(|settled| settled < now) && due())
}

/// How long until the next look at a target.
pub(super) fn next_look(o: &Observed, target: &Target, now: Timestamp) -> SignedDuration {
    let next = slot(&o.uid(), &target.name, o.drift_interval, now);
    let second = surplus(o, target).map(|(_, at)| at.saturating_add(SignedDuration::from_secs(1)).unwrap_or(at));
    let frozen = [unanswered(o, target), overtaken(o, &target.name)].into_iter().flatten();
    let frozen = frozen.map(|at| at.saturating_add(SignedDuration::from_secs(1)).unwrap_or(at));
    let next = next.into_iter().chain(second).chain(frozen).min();
    next.map_or(super::LONG, |at| at.duration_since(now).max(SignedDuration::from_secs(1)))
}

/// The first time for a look after `after`, of all that a target has: one an interval, and a 24th of it later each time,
/// so that a cluster that is asleep at some hour of the day does not miss the same ones every day. They depend on nothing but
/// uid and name: looks are spread evenly, and a new process neither repeats nor hastens any. None: there are no looks.
pub(super) fn slot(uid: &str, target: &str, interval: SignedDuration, after: Timestamp) -> Option<Timestamp> {
    let period = interval.checked_add(interval / 24)?.as_nanos();
    if period <= 0 {
        return None;
    }
    let digest = digest(&SHA256, format!("{uid}/{target}").as_bytes());
    let part = digest.as_ref().iter().take(4).fold(0, |part: i128, byte| part << 8 | i128::from(*byte));
    let first = (period * part) >> 32;
    let passed = (after.as_nanosecond() - first).div_euclid(period) + 1;
    Timestamp::from_nanosecond(first + passed * period).ok()
}

/// Tells of what somebody else did to a target that was delivered, before it is put right; none: it is told already.
pub(super) fn tell(status: &mut TargetStatus, message: String) -> Option<Need> {
    (status.state == TargetState::Delivered).then(|| {
        status.state = TargetState::Pending;
        status.message = Some(message);
        Need::Save
    })
}

/// Tells of a certificate under our ARN that is none of ours.
pub(super) fn imported_over(
    o: &Observed,
    status: &mut TargetStatus,
    arn: &CertificateArn,
    installed: &Installed,
) -> Option<Need> {
    let found = installed.serial.as_ref().map(ToString::to_string);
    let history = o.certificate.status.iter().flat_map(|s| &s.history);
    let ours = found == status.serial_number || history.map(|h| Some(&h.serial_number)).any(|h| h == found.as_ref());
    if ours {
        return None;
    }
    let found = found.unwrap_or_else(|| "that can't be read".into());
    tell(
        status,
        format!(
            "ACM has the serial number {found} under {arn}: somebody else imported over it; ours is imported again"
        ),
    )
}

/// What uses a certificate, in an order of its own.
pub(super) fn in_use_by(description: &Description) -> Vec<String> {
    let mut users = description.in_use_by.clone();
    users.sort();
    users.dedup();
    users.truncate(MOST_USERS);
    users
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: SignedDuration = SignedDuration::from_hours(24);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    #[test]
    fn looks_are_spread_evenly() {
        let hours: Vec<i64> = (0..2500)
            .map(|n| slot(&format!("uid-{n}"), "edge", DAY, at(0)).unwrap().duration_since(at(0)).as_hours())
            .collect();
        for hour in 0..25 {
            let count = hours.iter().filter(|h| **h == hour).count();
            assert!((60..150).contains(&count), "{count} of 2500 in the hour {hour}");
        }
    }

    #[test]
    fn without_an_interval_there_are_no_looks() {
        assert_eq!(slot("uid", "edge", SignedDuration::ZERO, at(0)), None);
    }

    proptest! {
        #[test]
        fn at_most_one_look_an_interval_whoever_counts(uid in "[a-f0-9]{8}", after in 0_i64..10_000_000, restart in 0_i64..90_000) {
            let first = slot(&uid, "edge", DAY, at(after)).unwrap();
            let second = slot(&uid, "edge", DAY, first).unwrap();
            prop_assert!(first > at(after) && first.duration_since(at(after)) <= DAY + DAY / 24);
            prop_assert!(second.duration_since(first) >= DAY);
            // A process that begins in between goes on with the same ones.
            let between = first.saturating_add(SignedDuration::from_secs(restart)).unwrap();
            prop_assert_eq!(slot(&uid, "edge", DAY, between).unwrap(), if between < second { second } else { slot(&uid, "edge", DAY, second).unwrap() });
        }
    }
}
