use super::*;
use crate::aws::fake::{FakeAws, HandClock};
use proptest::prelude::*;
use std::collections::BTreeMap;

const ACCOUNT: &str = "111122223333";
const LIST: &str = "acm:ListCertificates";
const TAGS: &str = "acm:ListTagsForCertificate";

fn region() -> Region {
    "eu-west-1".parse().unwrap()
}

fn arn(id: usize) -> CertificateArn {
    format!("arn:aws:acm:eu-west-1:{ACCOUNT}:certificate/{id}").parse().unwrap()
}

fn name(id: usize) -> String {
    format!("n{id}.example.com")
}

fn summary(id: usize) -> Summary {
    Summary {
        arn: arn(id),
        names: vec![name(id)],
        more_names: false,
        imported: true,
        in_use: false,
        created_at: None,
        more: None,
    }
}

fn tags(value: &str) -> Tags {
    Tags::from([("arnkeeper.dev/name".to_owned(), value.to_owned())])
}

fn put(aws: &FakeAws, summary: Summary) {
    aws.world().tags.insert(summary.arn.clone(), tags("web"));
    aws.world().certificates.push(summary);
}

struct Stand {
    inventory: Inventory,
    aws: FakeAws,
    clock: HandClock,
}

impl Stand {
    fn new() -> Self {
        Self {
            inventory: Inventory::default(),
            aws: FakeAws::new(ACCOUNT),
            clock: HandClock::at("2026-01-01T00:00:00Z"),
        }
    }

    fn with(ids: &[usize]) -> Self {
        let stand = Self::new();
        for id in ids {
            put(&stand.aws, summary(*id));
        }
        stand
    }

    async fn look(&self, id: usize, newer_than: Timestamp) -> Result<Lookup, AwsError> {
        self.inventory.candidates(&self.aws, &region(), &[name(id)], newer_than, &self.clock).await
    }

    async fn found(&self, id: usize) -> Vec<CertificateArn> {
        arns(self.look(id, Timestamp::MIN).await.unwrap())
    }

    fn imported(&self, id: usize) {
        let account = ACCOUNT.parse().unwrap();
        let (arn, names, tags) = (arn(id), [name(id)], tags("web"));
        let new = New { arn: &arn, names: &names, tags: &tags, imported: true };
        self.inventory.note_new(&account, &region(), new, self.clock.now());
    }
}

fn arns(lookup: Lookup) -> Vec<CertificateArn> {
    match lookup {
        Lookup::Found(found) => found.into_iter().map(|c| c.summary.arn).collect(),
        Lookup::NotYet { until } => panic!("not until {until}"),
    }
}

fn after(time: Timestamp, seconds: i64) -> Timestamp {
    later(time, SignedDuration::from_secs(seconds))
}

#[tokio::test]
async fn a_list_is_used_again_for_sixty_seconds_and_no_longer() {
    let s = Stand::with(&[1]);
    assert_eq!(s.found(1).await, [arn(1)]);
    s.clock.pass(60);
    assert_eq!(s.found(1).await, [arn(1)]);
    assert_eq!(s.aws.count(LIST), 1);
    s.clock.pass(1);
    s.found(1).await;
    assert_eq!(s.aws.count(LIST), 2);
}

#[tokio::test]
async fn a_list_counts_only_if_it_began_strictly_after_what_is_asked_for() {
    let s = Stand::with(&[1]);
    s.found(1).await;
    let began = s.clock.now();
    s.clock.pass(10);
    s.look(1, after(began, -1)).await.unwrap();
    assert_eq!(s.aws.count(LIST), 1);
    s.look(1, began).await.unwrap();
    assert_eq!(s.aws.count(LIST), 2);
}

#[tokio::test]
async fn newer_lists_begin_three_and_then_twelve_seconds_after_the_last() {
    let s = Stand::with(&[1]);
    s.found(1).await;
    for (lists, gap) in [(2, 3), (3, 12), (4, 12)] {
        let began = s.clock.now();
        s.clock.pass(gap - 1);
        assert_eq!(s.look(1, began).await.unwrap(), Lookup::NotYet { until: after(began, gap) });
        assert_eq!(s.aws.count(LIST), lists - 1);
        s.clock.pass(1);
        assert_eq!(arns(s.look(1, began).await.unwrap()), [arn(1)]);
        assert_eq!(s.aws.count(LIST), lists);
    }
}

#[tokio::test]
async fn a_list_that_would_begin_too_early_is_not_begun() {
    let s = Stand::with(&[1]);
    let now = s.clock.now();
    let Lookup::NotYet { until } = s.look(1, now).await.unwrap() else { panic!("found") };
    assert!(until > now && s.aws.count(LIST) == 0);
    s.clock.pass(1);
    assert_eq!(arns(s.look(1, now).await.unwrap()), [arn(1)]);
}

#[tokio::test]
async fn a_list_that_failed_counts_for_the_pace_and_for_nothing_else() {
    let s = Stand::with(&[1]);
    s.aws.world().failure = Some(Kind::Throttled);
    assert_eq!(s.look(1, Timestamp::MIN).await.unwrap_err().kind, Kind::Throttled);
    let until = after(s.clock.now(), 3);
    assert_eq!(s.look(1, Timestamp::MIN).await.unwrap(), Lookup::NotYet { until });
    s.clock.pass(3);
    assert_eq!(s.found(1).await, [arn(1)]);
}

#[tokio::test]
async fn those_who_ask_at_once_share_one_list_and_each_reading_of_tags() {
    let s = Stand { aws: FakeAws::gated(ACCOUNT), ..Stand::new() };
    put(&s.aws, summary(1));
    let (a, b, c, ()) = tokio::join!(s.found(1), s.found(1), s.found(2), async { s.aws.gate.add_permits(1) });
    assert_eq!((a, b, c), (vec![arn(1)], vec![arn(1)], vec![]));
    assert_eq!((s.aws.count(LIST), s.aws.count(TAGS)), (1, 1));
}

#[tokio::test]
async fn those_who_waited_for_a_list_that_took_minutes_share_it_too() {
    let s = Stand { aws: FakeAws::gated(ACCOUNT), ..Stand::new() };
    put(&s.aws, summary(1));
    let slow = async {
        s.clock.pass(300);
        s.aws.gate.add_permits(1);
    };
    let (a, b, ()) = tokio::join!(s.found(1), s.found(1), slow);
    assert_eq!((a, b, s.aws.count(LIST)), (vec![arn(1)], vec![arn(1)], 1));
}

#[tokio::test]
async fn a_slow_place_holds_up_no_other() {
    let s = Stand { aws: FakeAws::gated(ACCOUNT), ..Stand::new() };
    let other = FakeAws::new("444455556666");
    let rest = async {
        // The first list waits for its permit while all of this goes on, notes of its own place among it.
        let us: Region = "us-east-1".parse().unwrap();
        let look = s.inventory.candidates(&other, &us, &[name(1)], Timestamp::MIN, &s.clock).await;
        assert_eq!(arns(look.unwrap()), []);
        s.imported(1);
        s.inventory.note_gone(&arn(2));
        s.aws.gate.add_permits(1);
    };
    let (found, ()) = tokio::join!(s.found(1), rest);
    assert_eq!(found, [arn(1)]);
}

#[tokio::test]
async fn accounts_and_regions_have_lists_of_their_own() {
    let s = Stand::with(&[1]);
    s.found(1).await;
    let us: Region = "us-east-1".parse().unwrap();
    s.inventory.candidates(&s.aws, &us, &[], Timestamp::MIN, &s.clock).await.unwrap();
    let other = FakeAws::new("444455556666");
    let look = s.inventory.candidates(&other, &region(), &[name(1)], Timestamp::MIN, &s.clock).await;
    assert_eq!(arns(look.unwrap()), []);
    assert_eq!((s.aws.count(LIST), other.count(LIST)), (2, 1));
}

#[tokio::test]
async fn candidates_are_imported_and_share_a_name_or_have_more_than_are_told() {
    let s = Stand::with(&[1, 2]);
    put(&s.aws, Summary { names: vec!["A.example.com".into(), "N1.EXAMPLE.COM".into()], ..summary(3) });
    put(&s.aws, Summary { more_names: true, ..summary(4) });
    put(&s.aws, Summary { names: vec![name(1)], imported: false, ..summary(5) });
    let Lookup::Found(found) = s.look(1, Timestamp::MIN).await.unwrap() else { panic!("not yet") };
    assert_eq!(found.iter().map(|c| c.summary.arn.clone()).collect::<Vec<_>>(), [arn(1), arn(3), arn(4)]);
    assert!(found.iter().all(|c| c.tags == tags("web")));
    assert_eq!(s.aws.count(TAGS), 3);
}

#[tokio::test]
async fn tags_are_read_once_and_forgotten_with_the_certificate() {
    let s = Stand::with(&[1]);
    for _ in 0..3 {
        s.found(1).await;
        s.clock.pass(61);
    }
    assert_eq!((s.aws.count(LIST), s.aws.count(TAGS)), (3, 1));
    s.aws.world().certificates.clear();
    assert_eq!(s.found(1).await, []);
    let place = s.inventory.place(&ACCOUNT.parse().unwrap(), &region());
    assert!(place.known().tags.is_empty());
}

#[tokio::test]
async fn a_candidate_whose_tags_are_not_found_is_dropped_until_the_next_list() {
    let s = Stand::with(&[1]);
    let kept = s.aws.world().tags.remove(&arn(1)).unwrap();
    assert_eq!(s.found(1).await, []);
    assert_eq!(s.found(1).await, []);
    assert_eq!(s.aws.count(TAGS), 1);
    s.aws.world().tags.insert(arn(1), kept);
    s.clock.pass(61);
    assert_eq!(s.found(1).await, [arn(1)]);
}

#[tokio::test]
async fn nothing_is_answered_without_a_candidates_tags() {
    let s = Stand::with(&[1]);
    s.found(2).await;
    s.aws.world().failure = Some(Kind::AccessDenied);
    assert_eq!(s.look(1, Timestamp::MIN).await.unwrap_err().kind, Kind::AccessDenied);
    assert_eq!(s.found(1).await, [arn(1)]);
}

#[tokio::test]
async fn an_own_import_is_a_candidate_at_once_and_until_a_list_a_minute_later_denies_it() {
    let s = Stand::new();
    s.found(1).await;
    s.imported(1);
    assert_eq!(s.found(1).await, [arn(1)]);
    s.clock.pass(59);
    let now = s.clock.now();
    assert_eq!(arns(s.look(1, after(now, -1)).await.unwrap()), [arn(1)]);
    s.clock.pass(10);
    assert_eq!(arns(s.look(1, now).await.unwrap()), []);
    assert_eq!((s.aws.count(LIST), s.aws.count(TAGS)), (3, 0));
}

#[tokio::test]
async fn an_own_import_is_kept_when_a_list_confirms_it_and_its_tags_are_not_read() {
    let s = Stand::new();
    s.imported(1);
    put(&s.aws, Summary { in_use: true, ..summary(1) });
    s.clock.pass(60);
    assert_eq!(s.found(1).await, [arn(1)]);
    s.clock.pass(61);
    let Lookup::Found(found) = s.look(1, Timestamp::MIN).await.unwrap() else { panic!("not yet") };
    assert!(found.len() == 1 && found[0].summary.in_use);
    assert_eq!(s.aws.count(TAGS), 0);
}

#[tokio::test]
async fn what_is_gone_is_no_candidate_though_a_list_still_shows_it() {
    let s = Stand::with(&[1]);
    s.imported(2);
    s.found(1).await;
    s.inventory.note_gone(&arn(1));
    s.inventory.note_gone(&arn(2));
    assert_eq!((s.found(1).await, s.found(2).await), (vec![], vec![]));
    s.clock.pass(61);
    assert_eq!(s.found(1).await, []);
}

#[tokio::test]
async fn lists_that_show_it_a_minute_after_overrule_that_it_is_gone() {
    let s = Stand::with(&[1]);
    s.found(1).await;
    s.inventory.note_gone(&arn(1));
    for expected in [vec![], vec![arn(1)]] {
        s.clock.pass(61);
        assert_eq!(s.found(1).await, expected);
    }
}

#[tokio::test]
async fn what_goes_while_a_list_is_under_way_does_not_come_back_with_it() {
    let s = Stand { aws: FakeAws::gated(ACCOUNT), ..Stand::new() };
    put(&s.aws, summary(1));
    let goes = async {
        s.inventory.note_gone(&arn(1));
        s.aws.gate.add_permits(1);
    };
    let (found, ()) = tokio::join!(s.found(1), goes);
    assert_eq!(found, []);
}

#[tokio::test]
async fn noted_tags_are_told_and_those_of_a_stranger_cost_no_memory() {
    let s = Stand::with(&[1]);
    s.found(1).await;
    s.inventory.note_tags(&arn(1), &tags("other"));
    s.inventory.note_tags(&arn(9), &tags("other"));
    s.inventory.note_gone(&"arn:aws:acm:eu-west-9:444455556666:certificate/1".parse().unwrap());
    let Lookup::Found(found) = s.look(1, Timestamp::MIN).await.unwrap() else { panic!("not yet") };
    assert_eq!(found[0].tags, tags("other"));
    let place = s.inventory.place(&ACCOUNT.parse().unwrap(), &region());
    assert_eq!((place.known().tags.len(), s.inventory.places().len()), (1, 1));
}

#[tokio::test]
async fn tags_noted_while_they_are_read_are_newer_than_what_was_read() {
    let s = Stand::with(&[1]);
    s.found(2).await;
    let s = Stand { aws: FakeAws::gated(ACCOUNT), ..s };
    put(&s.aws, summary(1));
    let note = async {
        s.inventory.note_tags(&arn(1), &tags("newer"));
        s.aws.gate.add_permits(1);
    };
    let (lookup, ()) = tokio::join!(s.look(1, Timestamp::MIN), note);
    let Lookup::Found(found) = lookup.unwrap() else { panic!("not yet") };
    assert_eq!((&found[0].tags, s.aws.count(TAGS)), (&tags("newer"), 1));
}

#[tokio::test]
async fn a_clock_that_is_set_back_neither_stops_the_lists_nor_makes_an_old_one_new() {
    let s = Stand::with(&[1]);
    s.found(1).await;
    s.clock.pass(-3600);
    let until = after(s.clock.now(), 3);
    assert_eq!(s.look(1, Timestamp::MIN).await.unwrap(), Lookup::NotYet { until });
    s.clock.pass(3);
    assert_eq!(s.found(1).await, [arn(1)]);
}

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
                    Ok(Lookup::NotYet { until }) => assert!(until > now && until <= after(now, 12), "{until}"),
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

#[tokio::test]
async fn after_a_leader_that_died_only_later_lists_count() {
    let stand = Stand::with(&[1]);
    assert_eq!(stand.found(1).await, [arn(1)]);
    let now = stand.clock.now();
    stand.inventory.former_leader(after(now, 5));
    let until = match stand.look(1, Timestamp::MIN).await.unwrap() {
        Lookup::NotYet { until } => until,
        Lookup::Found(found) => panic!("{found:?} is of a list that the former leader's last import may not be in"),
    };
    assert_eq!(until, after(now, 20) + SignedDuration::from_nanos(1));
    put(&stand.aws, Summary { names: vec![name(1)], ..summary(2) });
    stand.clock.pass(21);
    assert_eq!(stand.found(1).await, [arn(1), arn(2)]);
}

#[tokio::test]
async fn however_many_ask_however_often_a_place_is_listed_six_times_a_minute() {
    let s = Stand::with(&(0..50).collect::<Vec<_>>());
    for _ in 0..120 {
        for id in 0..50 {
            // Each wants a list that is newer than all there can be.
            s.look(id, after(s.clock.now(), -1)).await.unwrap();
        }
        s.clock.pass(1);
    }
    assert!((10..=12).contains(&s.aws.count(LIST)), "{}", s.aws.count(LIST));
}

#[tokio::test]
async fn a_list_of_everything_is_new_and_serves_the_others() {
    let s = Stand::with(&[1]);
    let listed = Some(Box::new(crate::aws::port::Listed { state: "ISSUED".into(), ..Default::default() }));
    put(&s.aws, Summary { imported: false, more: listed.clone(), ..summary(2) });
    let all = || async { s.inventory.all(&s.aws, &region(), &s.clock).await.unwrap() };
    let Listing::All(list) = all().await else { panic!("the first one may begin") };
    assert_eq!((list.len(), &list[1].more), (2, &listed));
    assert_eq!(s.found(1).await, [arn(1)]);
    assert_eq!(s.aws.count(LIST), 1, "whoever looks for candidates shares it");
    let Listing::NotYet { until } = all().await else { panic!("too soon") };
    assert_eq!(until, after(s.clock.now(), 3));
    s.clock.pass(3);
    assert!(matches!(all().await, Listing::All(_)));
    assert_eq!(s.aws.count(LIST), 2);
}

#[tokio::test]
async fn tags_that_are_remembered_are_not_read_again_unless_they_are_wanted_fresh() {
    let s = Stand::with(&[1, 2]);
    s.found(1).await;
    let read = s.aws.count(TAGS);
    let tags_of = |id, fresh| {
        let s = &s;
        async move { s.inventory.tags(&s.aws, &arn(id), fresh).await.unwrap() }
    };
    assert_eq!((tags_of(1, false).await, s.aws.count(TAGS)), (Some(tags("web")), read));
    s.aws.world().tags.insert(arn(1), tags("other"));
    assert_eq!((tags_of(1, true).await, s.aws.count(TAGS)), (Some(tags("other")), read + 1));
    assert_eq!((tags_of(1, false).await, s.aws.count(TAGS)), (Some(tags("other")), read + 1));
    // Nothing is remembered for this alone.
    tags_of(2, false).await;
    tags_of(2, false).await;
    assert_eq!(s.aws.count(TAGS), read + 3);
    assert_eq!(tags_of(3, false).await, None, "it is gone");
}
