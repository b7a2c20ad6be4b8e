//! Imports: how urgent they are; and in trouble: answers that are lost or late, lists that lag behind, processes that end, are frozen or
//! overtaken.

use super::*;

/// What is served now counts, not what is about to take its place.
#[test]
fn an_import_is_as_urgent_as_the_end_of_what_it_replaces() {
    let mut world = World::new(&one_target());
    world.converge();
    assert_eq!(world.turns, [None], "there was nothing yet");
    for _ in 0..2 {
        world.turns.clear();
        world.now += SignedDuration::from_mins(5);
        let ends = world.acm[0].leaf.not_after;
        force_renewal(&mut world);
        world.converge();
        assert_eq!(world.turns, [Some(ends)]);
        assert!(world.acm[0].leaf.not_after > ends);
    }
}

#[test]
fn an_import_that_acm_does_not_show_yet_is_not_made_again_by_the_next_process() {
    let mut world = World::new(&one_target());
    world.hidden = SignedDuration::from_secs(40);
    until(&mut world, |w| w.new_imports == 1);
    world.crash();
    world.converge();
    assert!(ready(&world), "{:#?}", world.certificate.status);
    arn(&world, "edge");
    assert_eq!(world.new_imports, 1);
    assert_silent(&mut world);
}

#[test]
fn without_reimport_a_renewal_that_acm_does_not_show_yet_is_not_imported_twice() {
    let mut world = World::new(&spec(&json!([{ "name": "edge", "reimport": false }])));
    world.converge();
    world.now += SignedDuration::from_mins(5);
    world.hidden = SignedDuration::from_secs(40);
    force_renewal(&mut world);
    until(&mut world, |w| w.new_imports == 2);
    world.crash();
    world.converge();
    assert!(ready(&world), "{:#?}", world.certificate.status);
    assert_eq!(world.new_imports, 2);
    assert_silent(&mut world);
}

#[test]
fn a_target_taken_away_and_put_back_during_an_import_has_one_arn() {
    for (policy, fault) in [("Retain", Fault::AnswerLost), ("Retain", Fault::CrashAfter), ("Delete", Fault::CrashAfter)]
    {
        let spec = spec(&json!([{ "name": "edge", "deletionPolicy": policy }]));
        let mut world = at_the_import(&spec, fault);
        assert_eq!(world.new_imports, 1);
        let target = world.certificate.spec.acm[0].clone();
        change_spec(&mut world, |spec| spec.acm.clear());
        faulty(&mut world, &[]);
        world.crash();
        change_spec(&mut world, |spec| spec.acm.push(target));
        world.converge();
        assert!(ready(&world), "{:#?}", world.certificate.status);
        arn(&world, "edge");
        assert_silent(&mut world);
    }
}

#[test]
fn a_target_with_an_import_under_way_is_deleted_all_the_same() {
    for fault in [Fault::AnswerLost, Fault::CrashAfter, Fault::Fine] {
        for whole in [true, false] {
            let mut world = at_the_import(&removable(), fault);
            world.hidden = SignedDuration::from_secs(40);
            assert_eq!(world.new_imports, 1);
            if whole {
                world.certificate.metadata.deletion_timestamp = Some(Time(world.now));
            } else {
                change_spec(&mut world, |spec| spec.acm.clear());
            }
            world.touch();
            world.converge();
            assert!(world.of_target("edge").is_empty(), "{fault:?} {whole}");
            assert!(world.gone || !whole);
        }
    }
}

#[test]
fn times_to_come_hold_up_no_deletion() {
    for whole in [true, false] {
        let mut world = World::new(&removable());
        world.converge();
        let to_come = Some(Time(world.now + SignedDuration::from_hours(9000)));
        let target = &mut world.certificate.status.as_mut().unwrap().targets[0];
        (target.pending_since, target.imported_at) = (to_come.clone(), to_come);
        world.crash();
        let began = world.now;
        if whole {
            world.certificate.metadata.deletion_timestamp = Some(Time(world.now));
        } else {
            change_spec(&mut world, |spec| spec.acm.clear());
        }
        world.touch();
        world.converge();
        assert!(world.of_target("edge").is_empty() && (world.gone || !whole), "{whole}");
        assert!(world.now.duration_since(began) < SignedDuration::from_mins(10));
    }
}

#[test]
fn an_import_that_is_found_again_was_done_at_its_record() {
    for fault in [Fault::AnswerLost, Fault::CrashAfter] {
        let mut world = at_the_import(&one_target(), fault);
        let record = world.certificate.status.as_ref().unwrap().targets[0].pending_since.clone();
        assert!(record.is_some());
        world.converge();
        let target = &world.certificate.status.as_ref().unwrap().targets[0];
        assert_eq!((&target.imported_at, &target.pending_since), (&record, &None));
        assert_silent(&mut world);
    }
}

#[test]
fn who_was_frozen_in_an_import_keeps_the_arn_that_another_process_came_to() {
    for keeps in [true, false] {
        let mut world = at_the_import(&spec(&json!([{ "name": "edge", "reimport": keeps }])), Fault::Frozen);
        assert_eq!((world.new_imports, world.of_target("edge").len()), (2, 2));
        let kept = world.certificate.status.as_ref().unwrap().targets[0].arn.as_ref().unwrap().to_string();
        world.hidden = SignedDuration::from_secs(40);
        let thawed = world.now;
        world.converge();
        assert!(world.now.duration_since(thawed) < SignedDuration::from_mins(5), "nothing else has to happen");
        assert!(ready(&world), "{:#?}", world.certificate.status);
        assert_eq!((arn(&world, "edge"), world.paid), (kept, 1));
        assert_eq!(world.events.iter().filter(|e| *e == "TwinDeleted").count(), 1, "{:?}", world.events);
        assert_silent(&mut world);
    }
}

#[test]
fn a_status_wiped_or_a_certificate_made_again_during_an_import_has_one_arn() {
    for again in [true, false] {
        let mut world = at_the_import(&one_target(), Fault::AnswerLost);
        assert_eq!(world.new_imports, 1);
        world.certificate.status = None;
        if again {
            world.certificate.metadata.uid = Some("u1".into());
            world.certificate.metadata.creation_timestamp = Some(Time(world.now));
            world.now += SignedDuration::from_secs(1);
        }
        world.touch();
        world.converge();
        assert!(ready(&world), "{:#?}", world.certificate.status);
        arn(&world, "edge");
        assert_eq!((world.new_imports, world.paid), (1, 1));
    }
}

#[test]
fn a_refused_import_says_nothing_of_the_import_of_another_process() {
    let mut world = at_the_import(&one_target(), Fault::Refused);
    assert_eq!(world.new_imports, 0);
    world.swap();
    // The other one waits a minute, looks, and imports; its answer is lost.
    world.now += SignedDuration::from_secs(70);
    faulty(&mut world, &[Fault::Fine, Fault::AnswerLost]);
    assert_eq!(world.new_imports, 1);
    world.swap();
    world.converge();
    arn(&world, "edge");
    assert_eq!(world.new_imports, 1);
}

#[test]
fn a_record_that_took_long_to_be_stored_carries_no_import() {
    let mut world = World::new(&one_target());
    world.slow_save = SignedDuration::from_secs(30);
    until(&mut world, |w| w.certificate.status.iter().flat_map(|s| &s.targets).any(|t| t.pending_since.is_some()));
    assert_eq!(world.new_imports, 0);
    world.slow_save = SignedDuration::ZERO;
    world.converge();
    assert!(ready(&world), "{:#?}", world.certificate.status);
    assert_eq!((arn(&world, "edge"), world.new_imports), (world.acm[0].arn.to_string(), 1));
}

#[test]
fn a_record_from_the_future_does_not_hold_up_an_import_for_long() {
    let mut world = at_the_import(&one_target(), Fault::AnswerLost);
    // The clock was a month ahead when the record was made.
    let ahead = world.now + SignedDuration::from_hours(24 * 30);
    world.certificate.status.as_mut().unwrap().targets[0].pending_since = Some(Time(ahead));
    world.crash();
    world.converge();
    assert!(ready(&world), "{:#?}", world.certificate.status);
    assert_eq!((arn(&world, "edge"), world.new_imports), (world.acm[0].arn.to_string(), 1));
}

#[test]
fn what_came_of_an_import_is_stored_while_a_renewal_is_under_way() {
    let mut world = World::new(&one_target());
    world.converge();
    force_renewal(&mut world);
    faulty(&mut world, &[]);
    change_spec(&mut world, |spec| {
        let mut far = spec.acm[0].clone();
        far.name = "far".into();
        spec.acm.push(far);
    });
    for _ in 0..5 {
        world.now += SignedDuration::from_secs(15);
        faulty(&mut world, &[]);
    }
    let status = world.certificate.status.clone().unwrap();
    assert!(status.targets[1].arn.is_some(), "{status:#?}");
    world.converge();
    assert_eq!(world.new_imports, 2);
}

#[test]
fn who_was_frozen_in_an_import_and_has_no_answer_takes_away_what_it_made() {
    let mut world = at_the_import(&one_target(), Fault::FrozenUnanswered);
    assert_eq!((world.new_imports, world.of_target("edge").len()), (2, 2));
    let kept = world.certificate.status.as_ref().unwrap().targets[0].arn.as_ref().unwrap().to_string();
    let thawed = world.now;
    // Its watch is behind: it does not know yet what the other process stored.
    world.stale = Some(world.older.clone());
    world.converge();
    assert!(world.now.duration_since(thawed) < SignedDuration::from_mins(5), "nothing else has to happen");
    assert!(ready(&world), "{:#?}", world.certificate.status);
    assert_eq!((arn(&world, "edge"), world.paid), (kept, 1));
    assert_eq!(world.events.iter().filter(|e| *e == "TwinDeleted").count(), 1, "{:?}", world.events);
    assert_silent(&mut world);
}

#[test]
fn who_was_frozen_in_a_re_import_and_overtaken_by_a_renewal_puts_the_newer_one_back() {
    for over in [true, false] {
        let mut world = World::new(&one_target());
        world.converge();
        let old = world.acm[0].leaf.clone();
        world.now += SignedDuration::from_mins(5);
        force_renewal(&mut world);
        world.converge();
        let new = world.acm[0].leaf.serial.clone();
        // Its call came after all, before or after the one that imported the newer certificate.
        if over {
            world.acm[0].leaf = old.clone();
        }
        let late = crate::core::certificate::Imported {
            arn: world.acm[0].arn.clone(),
            serial: Some(old.serial),
            content: None,
            at: world.now,
        };
        let uid = world.certificate.metadata.uid.clone().unwrap();
        world.process.memory.entry(uid.clone()).or_default().imported.insert("edge".into(), late);
        let thawed = world.now;
        world.converge();
        assert!(world.now.duration_since(thawed) < SignedDuration::from_mins(5), "nothing else has to happen");
        assert!(ready(&world), "{:#?}", world.certificate.status);
        assert_eq!((&world.acm[0].leaf.serial, world.paid, world.new_imports), (&new, 2, 1));
        let kept = world.process.memory[&uid].imported.get("edge");
        assert!(kept.is_none_or(|imported| imported.serial.as_ref() == Some(&new)), "each pass would look again");
        assert_silent(&mut world);
    }
}
