use super::*;
use proptest::prelude::*;

fn key(n: usize) -> Key {
    Key::new(Some("pay"), &n.to_string())
}

#[tokio::test]
async fn who_is_to_come_within_a_time_comes_once_for_all_that_asked() {
    let line = Line::default();
    let due = |line: &Line| line.state().resting.first().map(|(until, _)| *until);
    for wait in [60, 30, 45] {
        line.ask_within(&key(0), Duration::from_secs(wait));
    }
    let first = due(&line).unwrap();
    assert!(first <= Instant::now() + Duration::from_secs(30), "the soonest counts, and the others do not put it off");
    assert_eq!(line.state().resting.len(), 1);
    line.ask_within(&key(0), Duration::ZERO);
    assert_eq!(line.next().await, key(0));
    // While it runs, too: then it rests no longer than that.
    line.ask_within(&key(0), Duration::from_secs(30));
    line.ask_within(&key(0), Duration::from_mins(1));
    assert!(line.done(&key(0), Some(HOUR)));
    assert!(due(&line).unwrap() <= Instant::now() + Duration::from_secs(30));
    line.ask(&key(0));
    assert_eq!(line.next().await, key(0), "who asks for it now has it now");
    line.ask_within(&key(0), Duration::from_secs(30));
    assert!(line.done(&key(0), None) && due(&line).is_some(), "even if it would never come by itself");
    line.forget(&key(0));
    assert!(line.state().places.is_empty() && line.state().resting.is_empty());
}

const HOUR: Duration = Duration::from_hours(1);

#[tokio::test]
async fn they_come_in_the_order_in_which_they_were_asked_for() {
    let line = Line::default();
    for n in [2, 0, 1, 0, 2] {
        line.ask(&key(n));
    }
    for n in [2, 0, 1] {
        assert_eq!(line.next().await, key(n));
    }
    assert!(line.state().waiting.is_empty());
}

#[test]
fn what_is_under_way_comes_first_and_keeps_nobody_out() {
    let (mut state, now) = (State::default(), Instant::now());
    for n in 0..10 {
        state.ask(&key(n));
        state.take(now);
        state.done(&key(n), Some(HOUR), now);
    }
    for n in (10..20).chain(0..10) {
        state.ask(&key(n));
    }
    let taken: Vec<bool> =
        (0..20).filter_map(|_| state.take(now)).map(|k| k.name().parse::<usize>().unwrap() < 10).collect();
    assert_eq!(taken.len(), 20);
    assert!(
        taken[..8].iter().filter(|begun| **begun).count() == 6
            && taken[..13].iter().filter(|begun| **begun).count() == 10
    );
}

#[tokio::test]
async fn who_is_asked_for_while_it_runs_comes_once_more() {
    let line = Line::default();
    line.ask(&key(0));
    line.next().await;
    line.ask(&key(0));
    line.ask(&key(0));
    assert!(line.state().waiting.is_empty());
    line.done(&key(0), Some(HOUR));
    assert_eq!(line.next().await, key(0));
    line.done(&key(0), None);
    assert!(line.state().places.is_empty());
}

#[tokio::test]
async fn who_rests_comes_when_the_rest_is_over_or_when_asked_for() {
    let line = Line::default();
    for n in 0..2 {
        line.ask(&key(n));
        line.next().await;
    }
    line.done(&key(0), Some(HOUR));
    line.done(&key(1), Some(Duration::from_millis(1)));
    assert_eq!(line.next().await, key(1));
    line.ask(&key(0));
    assert_eq!(line.next().await, key(0));
    assert!(line.state().resting.is_empty());
}

#[tokio::test]
async fn who_waits_for_the_next_is_told_of_one_that_is_asked_for() {
    let line = std::sync::Arc::new(Line::default());
    line.ask(&key(0));
    line.next().await;
    line.done(&key(0), Some(HOUR));
    let waits = tokio::spawn({
        let line = line.clone();
        async move { line.next().await }
    });
    tokio::task::yield_now().await;
    line.ask(&key(1));
    assert_eq!(waits.await.unwrap(), key(1));
}

#[test]
fn what_is_gone_does_not_come() {
    let (mut state, now) = (State::default(), Instant::now());
    state.ask(&key(0));
    state.ask(&key(1));
    state.forget(&key(0));
    assert_eq!(state.take(now), Some(key(1)));
    state.ask(&key(1));
    state.forget(&key(1));
    assert!(!state.done(&key(1), Some(HOUR), now));
    state.ask(&key(2));
    assert_eq!(state.take(now), Some(key(2)));
    assert!(state.done(&key(2), Some(HOUR), now));
    assert_eq!(state.resting.len(), 1);
    state.forget(&key(2));
    assert!(state.places.is_empty() && state.resting.is_empty() && state.waiting.is_empty());
}

#[derive(Clone, Debug)]
enum Act {
    Ask(usize),
    Take,
    Done(usize, Option<u64>),
    Forget(usize),
    Later(u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..4_usize).prop_map(Act::Ask),
        3 => Just(Act::Take),
        3 => (0..4_usize, prop::option::of(0..50_u64)).prop_map(|(n, rest)| Act::Done(n, rest)),
        1 => (0..4_usize).prop_map(Act::Forget),
        2 => (0..50_u64).prop_map(Act::Later),
    ]
}

proptest! {
    /// Of one object only one reconcile runs; who was asked for while none had begun since, comes; nothing is left over.
    #[test]
    fn nobody_runs_twice_and_nobody_is_lost(acts in prop::collection::vec(act(), 0..200)) {
        let (mut state, mut now) = (State::default(), Instant::now());
        let (mut running, mut asked) = ([false; 4], [false; 4]);
        let index = |taken: &Key| taken.name().parse::<usize>().unwrap();
        for act in acts {
            match act {
                Act::Ask(n) => {
                    state.ask(&key(n));
                    asked[n] = true;
                }
                Act::Take => {
                    if let Some(taken) = state.take(now) {
                        let n = index(&taken);
                        prop_assert!(!running[n]);
                        (running[n], asked[n]) = (true, false);
                    }
                }
                Act::Done(n, rest) if running[n] => {
                    state.done(&key(n), rest.map(Duration::from_millis), now);
                    running[n] = false;
                }
                Act::Done(..) => {}
                Act::Forget(n) => {
                    state.forget(&key(n));
                    asked[n] = false;
                }
                Act::Later(by) => now += Duration::from_millis(by),
            }
        }
        for (n, _) in running.iter().enumerate().filter(|(_, running)| **running) {
            state.done(&key(n), None, now);
        }
        while let Some(taken) = state.take(now + HOUR) {
            asked[index(&taken)] = false;
            state.done(&taken, None, now);
        }
        prop_assert_eq!(asked, [false; 4]);
        prop_assert!(state.places.is_empty() && state.waiting.is_empty() && state.resting.is_empty());
    }
}
