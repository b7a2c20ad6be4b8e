use super::*;
use crate::aws::fake::{FakeAws, HandClock};

mod any;
mod own;

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
async fn newer_lists_begin_soon_after_the_last_and_then_more_seldom() {
    let s = Stand::with(&[1]);
    s.found(1).await;
    for (lists, gap) in [(2, 1), (3, 2), (4, 6), (5, 17), (6, 17)] {
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
    let until = after(s.clock.now(), 1);
    assert_eq!(s.look(1, Timestamp::MIN).await.unwrap(), Lookup::NotYet { until });
    s.clock.pass(1);
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
async fn a_clock_that_is_set_back_neither_stops_the_lists_nor_makes_an_old_one_new() {
    let s = Stand::with(&[1]);
    s.found(1).await;
    s.clock.pass(-3600);
    let until = after(s.clock.now(), 1);
    assert_eq!(s.look(1, Timestamp::MIN).await.unwrap(), Lookup::NotYet { until });
    s.clock.pass(1);
    assert_eq!(s.found(1).await, [arn(1)]);
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
async fn a_clock_that_is_set_back_makes_nobody_wait_for_the_end_of_a_lease() {
    let stand = Stand::with(&[1]);
    stand.inventory.former_leader(stand.clock.now());
    stand.clock.pass(-3600);
    let until = match stand.look(1, Timestamp::MIN).await.unwrap() {
        Lookup::NotYet { until } => until,
        Lookup::Found(found) => panic!("{found:?} may be older than the former leader's last import"),
    };
    assert_eq!(until, after(stand.clock.now(), 15) + SignedDuration::from_nanos(1));
    stand.clock.pass(16);
    assert_eq!(stand.found(1).await, [arn(1)]);
}

#[tokio::test]
async fn however_many_ask_however_often_a_place_is_listed_six_times_a_minute() {
    let s = Stand::with(&(0..50).collect::<Vec<_>>());
    let mut lists = vec![];
    for second in 0..120 {
        let before = s.aws.count(LIST);
        for id in 0..50 {
            // Each wants a list that is newer than all there can be.
            s.look(id, after(s.clock.now(), -1)).await.unwrap();
        }
        lists.extend((before..s.aws.count(LIST)).map(|_| second));
        s.clock.pass(1);
    }
    let in_minute = |from: i32| lists.iter().filter(|at| (from..from + 60).contains(*at)).count();
    assert!((0..60).all(|from| (4..=6).contains(&in_minute(from))), "{lists:?}");
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
    assert_eq!(until, after(s.clock.now(), 1));
    s.clock.pass(1);
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
