//! Anything in any order: lists keep their pace, and no own import is lost.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// One thing that happens.
#[derive(Clone, Debug)]
enum Event {
    Pass(i64),
    /// We import; ACM's lists show it so many seconds later.
    Import(usize, i64),
    /// Somebody else imports; the lists show it at once.
    Foreign(usize),
    /// We delete; the lists hide it so many seconds later.
    Delete(usize, i64),
    /// A look, for a list begun so many seconds ago at most.
    Look(usize, i64),
    FailNext,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let id = 0..4_usize;
    let event = prop_oneof![
        4 => (0..45_i64).prop_map(Event::Pass),
        2 => (id.clone(), 0..=60_i64).prop_map(|(id, lag)| Event::Import(id, lag)),
        1 => id.clone().prop_map(Event::Foreign),
        1 => (id.clone(), 0..=60_i64).prop_map(|(id, lag)| Event::Delete(id, lag)),
        6 => (id, -2..90_i64).prop_map(|(id, ago)| Event::Look(id, ago)),
        1 => Just(Event::FailNext),
    ];
    proptest::collection::vec(event, 1..60)
}

/// When the lists begin to show a certificate, and when they cease to.
type Shown = BTreeMap<usize, (Timestamp, Option<Timestamp>)>;

/// Plays events. Four names; each import is another ARN, which is its number times ten plus the number of its name.
async fn play(events: Vec<Event>) {
    let s = Stand::new();
    let mut shown = Shown::new();
    let mut own = HashSet::new();
    let mut swept: Vec<(Timestamp, bool)> = Vec::new();
    for (number, event) in events.into_iter().enumerate() {
        let now = s.clock.now();
        match event {
            Event::Pass(seconds) => s.clock.pass(seconds),
            Event::Import(id, lag) => {
                let new = (number + 1) * 10 + id;
                shown.insert(new, (after(now, lag), None));
                own.insert(new);
                let account = ACCOUNT.parse().unwrap();
                let (arn, names, tags) = (arn(new), [name(id)], tags("web"));
                let new = New { arn: &arn, names: &names, tags: &tags, imported: true };
                s.inventory.note_new(&account, &region(), new, now);
            }
            Event::Foreign(id) => {
                shown.insert((number + 1) * 10 + id, (now, None));
            }
            Event::Delete(id, lag) => {
                if let Some((old, times)) = shown.iter_mut().find(|(n, (_, end))| *n % 10 == id && end.is_none()) {
                    times.1 = Some(after(now, lag));
                    s.inventory.note_gone(&arn(*old));
                }
            }
            Event::FailNext => s.aws.world().failure = Some(Kind::Transient),
            Event::Look(id, ago) => {
                let begun = s.aws.count(LIST);
                let visible =
                    |(from, end): &(Timestamp, Option<Timestamp>)| *from <= now && end.is_none_or(|e| now < e);
                let listed = shown.iter().filter(|(_, times)| visible(times));
                let listed = listed.map(|(n, _)| Summary { names: vec![name(n % 10)], ..summary(*n) }).collect();
                s.aws.world().certificates = listed;
                s.aws.world().tags =
                    shown.iter().filter(|(_, times)| times.1.is_none()).map(|(n, _)| (arn(*n), tags("web"))).collect();
                let newer_than = after(now, -ago);
                let answer = s.look(id, newer_than).await;
                if s.aws.count(LIST) > begun {
                    assert_eq!(s.aws.count(LIST), begun + 1);
                    swept.push((now, answer.is_ok()));
                    let lately = swept.iter().filter(|(at, _)| now.duration_since(*at) < SignedDuration::from_mins(1));
                    assert!(lately.count() <= 6, "too often");
                }
                match answer {
                    Err(_) => {}
                    Ok(Lookup::NotYet { until }) => assert!(until > now && until <= now + SWEEP_GAPS[3], "{until}"),
                    Ok(Lookup::Found(found)) => {
                        let (start, _) = swept.iter().rev().find(|(_, ended)| *ended).unwrap();
                        assert!(*start > newer_than && now <= after(*start, 60), "an old list");
                        let found: Vec<_> = found.into_iter().map(|c| c.summary.arn).collect();
                        for (n, (from, end)) in shown.iter().filter(|(n, _)| *n % 10 == id) {
                            // What we imported, however the lists lag, and whatever was there before the list began.
                            let must = end.is_none() && (from < start || own.contains(n));
                            assert!(!must || found.contains(&arn(*n)), "{n} is lost");
                            assert!(end.is_none() || !found.contains(&arn(*n)), "{n} came back");
                        }
                    }
                }
            }
        }
    }
    let read_own = |(action, on): &(&str, String)| *action == TAGS && own.iter().any(|n| *on == arn(*n).as_str());
    assert!(!s.aws.world().calls.iter().any(read_own), "tags of our own import were read");
}

proptest! {
    #[test]
    fn lists_keep_their_pace_and_no_own_import_is_lost(events in events()) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(play(events));
    }
}
