//! Windows for renewals: when they are open.

use crate::{api::certificate::Window, text::plain};
use cronexpr::{Crontab, MakeTimestamp, parse_crontab};
use jiff::{SignedDuration, Timestamp};

/// A window that is open, or will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// When it opens.
    pub start: Timestamp,
    /// How long it stays open.
    pub length: SignedDuration,
}

/// The opening that `at` lies in, or else the next one; of several, the one that opens first. None: nothing opens within
/// four years.
///
/// # Errors
/// Which window can't be read, and why.
pub fn next(windows: &[Window], at: Timestamp) -> Result<Option<Opening>, String> {
    let mut first: Option<Opening> = None;
    for window in windows {
        let length = SignedDuration::try_from(std::time::Duration::from(window.duration)).unwrap_or_default();
        // Whatever opened no longer ago than its length is open still.
        let from = at.saturating_sub(length).unwrap_or(at);
        let Ok(start) = read(window)?.find_next(MakeTimestamp(from)) else { continue };
        let opening = Opening { start: start.timestamp(), length };
        if first.is_none_or(|first| opening.start < first.start) {
            first = Some(opening);
        }
    }
    Ok(first)
}

/// What is wrong with these windows, for a person: one that can't be read, or that none of them ever opens.
#[must_use]
pub fn problem(windows: &[Window], now: Timestamp) -> Option<String> {
    match next(windows, now) {
        Ok(None) if !windows.is_empty() => Some("none of spec.renewal.windows ever opens".into()),
        Ok(_) => None,
        Err(problem) => Some(problem),
    }
}

fn read(window: &Window) -> Result<Crontab, String> {
    let zone = window.time_zone.as_deref().unwrap_or("UTC");
    parse_crontab(&format!("{} {zone}", window.cron)).map_err(|error| {
        // The library draws a line of marks under the expression.
        let why = error.to_string().lines().last().unwrap_or_default().trim_start_matches([' ', '^']).to_owned();
        format!("spec.renewal.windows: {:?} in {zone:?} can't be read: {}", window.cron, plain(&why, 200))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn window(cron: &str, duration: &str, zone: Option<&str>) -> Window {
        serde_json::from_value(json!({ "cron": cron, "duration": duration, "timeZone": zone })).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn start(window: &Window, from: &str) -> String {
        next(std::slice::from_ref(window), at(from)).unwrap().unwrap().start.to_string()
    }

    #[test]
    fn a_window_is_found_before_it_opens_and_while_it_is_open() {
        let saturdays = window("0 2 * * 6", "4h", None);
        assert_eq!(start(&saturdays, "2026-06-03T12:00:00Z"), "2026-06-06T02:00:00Z");
        assert_eq!(start(&saturdays, "2026-06-06T02:00:00Z"), "2026-06-06T02:00:00Z");
        assert_eq!(start(&saturdays, "2026-06-06T05:59:59Z"), "2026-06-06T02:00:00Z");
        assert_eq!(start(&saturdays, "2026-06-06T06:00:00Z"), "2026-06-13T02:00:00Z");
    }

    #[test]
    fn of_several_the_first_counts() {
        let both = [window("0 2 * * 6", "4h", None), window("30 22 * * 1-5", "1h", None)];
        let opening = next(&both, at("2026-06-05T12:00:00Z")).unwrap().unwrap();
        assert_eq!((opening.start, opening.length.as_hours()), (at("2026-06-05T22:30:00Z"), 1));
    }

    #[test]
    fn clocks_that_change_move_the_window() {
        let berlin = window("30 2 * * *", "1h", Some("Europe/Berlin"));
        assert_eq!(start(&berlin, "2026-01-10T12:00:00Z"), "2026-01-11T01:30:00Z");
        assert_eq!(start(&berlin, "2026-07-10T12:00:00Z"), "2026-07-11T00:30:00Z");
        // There is no 02:30 on 29 March 2026, and there are two on 25 October.
        assert_eq!(start(&berlin, "2026-03-28T12:00:00Z"), "2026-03-30T00:30:00Z");
        assert_eq!(start(&berlin, "2026-10-24T12:00:00Z"), "2026-10-25T00:30:00Z");
        assert_eq!(start(&berlin, "2026-10-25T01:30:00Z"), "2026-10-25T01:30:00Z");
    }

    #[test]
    fn what_can_not_be_read_is_told() {
        let told = |cron: &str, zone| problem(&[window(cron, "1h", zone)], at("2026-01-01T00:00:00Z"));
        assert_eq!(told("0 2 * * 6", Some("Europe/Berlin")), None);
        for (cron, zone) in [("61 2 * * 6", None), ("0 2 * * FOO", None), ("0 2 * * 6", Some("Europe/Nowhere"))] {
            let message = told(cron, zone).unwrap();
            assert!(message.contains("can't be read") && !message.contains('\n'), "{message}");
        }
        assert!(told("0 0 31 2 *", None).unwrap().contains("ever opens"));
    }

    proptest! {
        #[test]
        fn an_opening_is_never_over(minute in 0..60, hour in 0..24, day in 0..7, hours in 1_i64..48, from in 1_700_000_000_i64..2_000_000_000) {
            let windows = [window(&format!("{minute} {hour} * * {day}"), &format!("{hours}h"), Some("America/New_York"))];
            let from = Timestamp::from_second(from).unwrap();
            let opening = next(&windows, from).unwrap().unwrap();
            prop_assert!(opening.start + opening.length > from);
            prop_assert!(opening.start.duration_since(from) <= SignedDuration::from_hours(15 * 24));
        }
    }
}
