//! What this process did itself is known before the lists show it.

use super::*;

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
