use super::*;
use proptest::prelude::*;
use std::{collections::HashSet, fmt::Display};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_hours(24);

fn asker(key: impl Display, left: Option<Duration>) -> Asker {
    Asker { key: format!("{key}"), left }
}

/// Objects that want one call each: who comes when, how urgent, how late it comes back when it is told to.
struct World {
    line: Line,
    start: Instant,
    now: Instant,
    /// When somebody asks next.
    next: Vec<(Instant, Asker)>,
    /// How much later than it is told to somebody comes back.
    late: Duration,
    /// How long AWS takes to answer.
    takes: Duration,
    sent: Vec<(Instant, String)>,
    /// How often somebody was told to come back.
    came_back: usize,
}

impl World {
    fn new(quota: u32) -> Self {
        let now = Instant::now();
        Self {
            line: Line::new(quota, now),
            start: now,
            now,
            next: vec![],
            late: Duration::ZERO,
            takes: Duration::ZERO,
            sent: vec![],
            came_back: 0,
        }
    }

    fn comes(&mut self, after: Duration, asker: Asker) {
        self.next.push((self.start + after, asker));
    }

    /// One after the other, until nobody wants anything.
    fn run(&mut self) {
        while let Some(index) = (0..self.next.len()).min_by_key(|i| self.next[*i].0) {
            let (at, asker) = self.next.swap_remove(index);
            self.now = self.now.max(at);
            if let Some((sent, _)) = self.sent.last().filter(|(sent, _)| *sent + self.takes <= self.now)
                && self.line.unanswered
            {
                self.line.answered(*sent, false, *sent + self.takes);
            }
            match self.line.ask(&asker, self.now) {
                Answer::Go => self.sent.push((self.now, asker.key)),
                Answer::Near(at) => self.next.push((at.max(self.now + Duration::from_millis(1)), asker)),
                Answer::Later(at) => {
                    self.came_back += 1;
                    self.next.push((at + self.late, asker));
                }
            }
        }
    }

    /// The most calls within any second.
    fn most_a_second(&self) -> usize {
        let within = |from: &Instant| self.sent.iter().filter(|(at, _)| at >= from && *at < *from + SECOND).count();
        self.sent.iter().map(|(from, _)| within(from)).max().unwrap_or_default()
    }

    fn took(&self) -> Duration {
        self.sent.last().map(|(at, _)| *at - self.start).unwrap_or_default()
    }

    fn order(&self) -> Vec<&str> {
        self.sent.iter().map(|(_, key)| &**key).collect()
    }
}

proptest! {
    /// Whoever comes whenever: every one gets its call, and AWS never more than the quota in any second.
    #[test]
    fn nobody_is_left_out_and_no_second_has_more_than_the_quota(
        quota in prop_oneof![Just(1_u32), Just(5), Just(25), Just(75)],
        comes in prop::collection::vec((0_u64..20_000, prop::option::of(0_u64..400)), 1..200),
        late in 0_u64..600,
    ) {
        let mut world = World::new(quota);
        world.late = Duration::from_millis(late);
        for (n, (after, days)) in comes.iter().enumerate() {
            world.comes(Duration::from_millis(*after), asker(n, days.map(|days| DAY * u32::try_from(days).unwrap())));
        }
        world.run();
        let called: HashSet<&str> = world.order().into_iter().collect();
        prop_assert_eq!(called.len(), comes.len());
        prop_assert!(world.most_a_second() <= quota as usize);
        // Nothing is given away as long as somebody is there: all that come are through soon after the last one could be.
        let ideal = Duration::from_secs(20) + SECOND * u32::try_from(comes.len()).unwrap() / quota;
        prop_assert!(world.took() <= ideal.mul_f64(1.05) + Duration::from_secs(20), "{:?} {:?}", world.took(), ideal);
    }
}

#[test]
fn many_at_once_have_the_quota_to_less_than_two_percent() {
    for quota in [1, 25, 75] {
        let mut world = World::new(quota);
        world.late = Duration::from_millis(100);
        for n in 0..500 {
            world.comes(Duration::ZERO, asker(n, None));
        }
        world.run();
        let rate = 499.0 / world.took().as_secs_f64();
        assert!(rate >= 0.98 * f64::from(quota), "{quota}: {rate}");
        assert!(world.came_back < 500 * 3, "{quota}: {}", world.came_back);
    }
}

#[test]
fn the_certificate_that_ends_first_comes_first_and_a_first_issuance_in_between() {
    let mut world = World::new(1);
    for (key, left) in [
        ("busy", None),
        ("in 30 days", Some(30 * DAY)),
        ("first", None),
        ("in a year", Some(365 * DAY)),
        ("tomorrow", Some(DAY)),
        ("ended", Some(Duration::ZERO)),
    ] {
        world.comes(Duration::ZERO, asker(key, left));
    }
    world.run();
    assert_eq!(world.order(), ["busy", "ended", "tomorrow", "first", "in 30 days", "in a year"]);
}

#[test]
fn nobody_waits_for_ever_behind_more_urgent_ones() {
    let mut world = World::new(1);
    world.comes(Duration::ZERO, asker("busy", None));
    world.comes(Duration::ZERO, asker("patient", Some(365 * DAY)));
    // Somebody more urgent comes more often than there are turns.
    for n in 0..7_000 {
        world.comes(Duration::from_millis(n * 950), asker(n, Some(Duration::ZERO)));
    }
    world.run();
    let at = world.sent.iter().find(|(_, key)| key == "patient").unwrap().0 - world.start;
    assert!(at > Duration::from_mins(80) && at < Duration::from_mins(110), "{at:?}");
}

#[test]
fn throttling_slows_a_line_which_recovers() {
    let now = Instant::now();
    let mut line = Line::new(10, now);
    let mut n = 0;
    let mut calls_in_a_second = |line: &mut Line, from: Instant| {
        (0..1000)
            .filter(|ms| {
                n += 1;
                let (at, me) = (from + Duration::from_millis(*ms), asker(n, None));
                let goes = line.ask(&me, at) == Answer::Go;
                if !goes {
                    line.waiting.clear();
                    line.places.clear();
                }
                goes
            })
            .count()
    };
    assert_eq!(calls_in_a_second(&mut line, now), 10);
    let later = now + 2 * SECOND;
    // Several that were under way at the same time are one excess.
    for _ in 0..3 {
        line.answered(later, true, later);
    }
    assert!((line.share(later) - 0.5).abs() < 0.01);
    assert!((4..=5).contains(&calls_in_a_second(&mut line, later)));
    let again = later + 2 * SECOND;
    line.answered(again, true, again);
    assert!((line.share(again) - 0.25).abs() < 0.01);
    for n in 1..20 {
        line.answered(again, true, again + n * ONE_EXCESS);
    }
    let slowest = again + 19 * ONE_EXCESS;
    assert!((line.share(slowest) - SLOWEST).abs() < 0.01, "there is a floor");
    assert!(line.share(slowest + 5 * SECOND) < 0.11);
    assert!((line.share(slowest + 30 * SECOND) - 0.6).abs() < 0.01);
    assert_eq!(calls_in_a_second(&mut line, slowest + Duration::from_mins(2)), 10);
}

/// The call before may come to AWS at the last moment before its answer, and the next one at once.
#[test]
fn a_slow_line_waits_for_an_answer_and_a_second_after_it() {
    let mut world = World::new(1);
    world.takes = Duration::from_millis(2500);
    for n in 0..5 {
        world.comes(Duration::ZERO, asker(n, None));
    }
    world.run();
    let gaps = world.sent.windows(2).map(|two| two[1].0 - two[0].0);
    assert!(
        gaps.clone().all(|gap| gap >= world.takes && gap <= world.takes + 2 * SECOND),
        "{:?}",
        gaps.collect::<Vec<_>>()
    );
}

#[test]
fn leave_to_import_comes_before_the_turn_and_the_turn_is_kept() {
    let (now, ahead) = (Instant::now(), Duration::from_millis(1500));
    let mut line = Line::new(1, now);
    let [a, b, c] = ["a", "b", "c"].map(|key| asker(key, None));
    assert_eq!(line.ask_leave(&a, ahead, now), Answer::Go);
    assert_eq!(line.ask_leave(&b, ahead, now), Answer::Go);
    assert_eq!(line.ask_leave(&b, ahead, now), Answer::Go, "it is the same leave");
    let Answer::Near(at) = line.ask_leave(&c, ahead, now) else { panic!() };
    assert!(at - now <= SECOND);
    assert_eq!(line.ask(&a, now), Answer::Go);
    // Without an answer it may not have come to AWS yet.
    assert_eq!(line.ask(&b, now + 2 * SECOND), Answer::Near(now + 2 * SECOND + LOOK));
    line.answered(now, false, now);
    let Answer::Near(second) = line.ask(&b, now) else { panic!() };
    assert!(second - now >= SECOND && second - now < SECOND.mul_f64(1.02));
    assert_eq!(line.ask_leave(&c, ahead, at), Answer::Go);
    // Who has leave and is there goes, whoever had it first.
    assert_eq!(line.ask(&c, second), Answer::Go);
    line.answered(second, false, second);
    let Answer::Near(third) = line.ask(&b, second) else { panic!() };
    assert_eq!(line.ask(&b, third), Answer::Go);
    assert!(line.leave.is_empty() && line.waiting.is_empty());
}

#[test]
fn leave_that_is_not_used_is_void() {
    let now = Instant::now();
    let mut line = Line::new(1, now);
    for key in ["a", "b"] {
        assert_eq!(line.ask_leave(&asker(key, None), Duration::from_millis(1500), now), Answer::Go);
    }
    let later = now + LEAVE + SECOND;
    assert_eq!(line.ask(&asker("c", None), later), Answer::Go);
    assert!(line.leave.is_empty());
    // Slowed in between: there is no turn soon, so there is no leave either.
    assert_eq!(line.ask_leave(&asker("d", None), Duration::from_millis(1500), later), Answer::Go);
    for n in 0..5 {
        line.answered(later, true, later + n * ONE_EXCESS);
    }
    let at = later + 4 * ONE_EXCESS;
    assert!(matches!(line.ask(&asker("d", None), at), Answer::Later(then) if then >= at + 5 * SECOND));
}

/// Requests that leave evenly may come to AWS bunched: what is not known about the way is added.
#[test]
fn a_slow_line_leaves_room_for_what_the_way_to_aws_may_have_taken() {
    let start = Instant::now();
    let ms = Duration::from_millis;
    let mut line = Line::new(1, start);
    let mut at = start;
    for (n, (took, between)) in
        [(300, 1310), (300, 1010), (320, 1030), (290, 1010), (440, 1160), (1000, 1680)].into_iter().enumerate()
    {
        assert_eq!(line.ask(&asker(n, None), at), Answer::Go);
        line.answered(at, false, at + ms(took));
        let next = line.free - at;
        assert!(next + ms(45) >= ms(between) && next <= ms(between + 45), "{n}: {next:?}");
        at = line.free;
    }
}

#[test]
fn who_does_not_come_back_is_forgotten() {
    let now = Instant::now();
    let mut line = Line::new(1, now);
    for n in 0..100 {
        line.ask(&asker(n, None), now);
    }
    for n in 0..100 {
        line.comes_back(&n.to_string(), now);
    }
    let later = now + Duration::from_mins(3);
    assert_eq!(line.ask(&asker("new", None), later), Answer::Go);
    assert!(line.waiting.is_empty() && line.places.is_empty());
    assert!(!line.is_idle(later) && line.is_idle(later + Duration::from_mins(1)));
}

/// From the first time it asked, over being told to come back.
#[test]
fn the_wait_of_who_comes_back_is_counted_from_the_first_time() {
    let now = Instant::now();
    let mut line = Line::new(1, now);
    for n in 0..4 {
        line.ask(&asker(n, None), now);
        line.comes_back(&n.to_string(), now + SECOND * n);
    }
    line.answered(now, false, now);
    assert_eq!(line.ask(&asker(1, None), now + SECOND * 2), Answer::Go);
    assert_eq!(line.waited(), SECOND * 2);
    line.answered(now + SECOND * 2, false, now + SECOND * 2);
    assert_eq!(line.ask(&asker(2, None), now + SECOND * 4), Answer::Go);
    assert_eq!(line.waited(), SECOND * 4);
}
