//! What became of a certificate that was taken over, and of those that were not to be.

use super::*;

#[test]
fn without_the_field_it_stays_taken_over() {
    let mut world = consented();
    world.account.spec.reimport = false;
    world.converge();
    assert_taken_over(&world);
    change_spec(&mut world, |spec| spec.acm[0].certificate_arn = None);
    world.converge();
    world.now += SignedDuration::from_hours(2);
    force_renewal(&mut world);
    world.converge();
    assert_taken_over(&world);
    assert_eq!(world.paid, 2);
}

#[test]
fn a_target_with_an_arn_of_its_own_keeps_that_and_tells_so() {
    let mut world = with_theirs(&one_target(), Adoption::Any, &[]);
    world.converge();
    let own = arn(&world, "edge");
    let before = theirs(&world).leaf.clone();
    for wiped in [false, true] {
        change_spec(&mut world, |spec| spec.acm[0].certificate_arn = Some(their_arn()));
        if wiped {
            world.now += SignedDuration::from_mins(5);
            world.certificate.status = None;
        }
        world.converge();
        let why = stalled(&world).unwrap();
        assert!(why.starts_with("AdoptionConflict: ") && why.contains(&own), "{why}");
        assert!(ready(&world));
        world.now += SignedDuration::from_hours(2);
        force_renewal(&mut world);
        world.converge();
        assert_eq!((arn(&world, "edge"), world.new_imports), (own.clone(), 1));
        assert_eq!(Some(&world.of_target("edge")[0].leaf.serial), world.serial().as_ref(), "it is renewed");
    }
    assert_eq!(theirs(&world).leaf, before);
    change_spec(&mut world, |spec| spec.acm[0].certificate_arn = None);
    world.converge();
    assert_eq!(stalled(&world), None);
}

#[test]
fn an_arn_of_its_own_that_nothing_but_acm_knows_of_is_kept_as_well() {
    let mut world = with_theirs(&one_target(), Adoption::Any, &[]);
    world.converge();
    let own = arn(&world, "edge");
    change_spec(&mut world, |spec| spec.acm[0].certificate_arn = Some(their_arn()));
    world.now += SignedDuration::from_mins(5);
    (world.certificate.status, world.secret) = (None, None);
    world.process = world::Process::default();
    world.converge();
    assert!(ready(&world) && stalled(&world).unwrap().starts_with("AdoptionConflict"));
    assert_eq!((arn(&world, "edge"), world.new_imports), (own, 1));
}

#[test]
fn its_own_arn_may_be_written_into_the_spec() {
    let mut world = World::new(&one_target());
    world.converge();
    let own = world.acm[0].arn.clone();
    change_spec(&mut world, |spec| spec.acm[0].certificate_arn = Some(own.clone()));
    world.converge();
    assert!(ready(&world) && stalled(&world).is_none(), "{:#?}", world.certificate.status);
    assert_eq!(world.events, ["Issued"]);
    // Lost, it is imported anew as before.
    world.acm.clear();
    world.now += SignedDuration::from_hours(26);
    world.converge();
    assert!(ready(&world) && stalled(&world).is_none(), "{:#?}", world.certificate.status);
    assert_eq!(world.new_imports, 2);
}

#[test]
fn lost_before_it_is_nothing_and_lost_after_it_is_imported_anew() {
    let mut world = ended_when(consented, |w| w.secret.is_some());
    world.acm.clear();
    world.converge();
    assert!(stalled(&world).unwrap().starts_with("AdoptionRefused"), "{:?}", stalled(&world));
    assert_eq!(world.new_imports, 0);
    let mut world = consented();
    world.converge();
    world.acm.clear();
    world.now += SignedDuration::from_hours(26);
    world.converge();
    assert!(ready(&world) && stalled(&world).is_none(), "{:#?}", world.certificate.status);
    assert_eq!((world.new_imports, world.paid), (1, 1));
    assert_ne!(arn(&world, "edge"), ARN);
    assert_eq!(world.events.iter().filter(|e| *e == "Adopted").count(), 1);
    assert_silent(&mut world);
}

#[test]
fn a_target_added_to_a_certificate_takes_over_with_what_is_there() {
    let mut world = with_theirs(&one_target(), Adoption::Any, &[]);
    world.converge();
    change_spec(&mut world, |spec| {
        let mut more = spec.acm[0].clone();
        (more.name, more.certificate_arn) = ("more".into(), Some(their_arn()));
        spec.acm.push(more);
    });
    world.converge();
    assert!(ready(&world) && stalled(&world).is_none(), "{:#?}", world.certificate.status);
    assert_eq!((arn(&world, "more"), world.paid, world.new_imports), (ARN.to_owned(), 1, 1));
}

#[test]
fn what_may_not_be_taken_over_keeps_no_other_target_from_its_renewal() {
    let mut world = with_theirs(&one_target(), Adoption::Deny, &[]);
    world.converge();
    change_spec(&mut world, |spec| {
        let mut more = spec.acm[0].clone();
        (more.name, more.certificate_arn) = ("more".into(), Some(their_arn()));
        spec.acm.push(more);
    });
    world.converge();
    assert!(stalled(&world).unwrap().starts_with("AdoptionRefused"));
    world.now += SignedDuration::from_hours(2);
    force_renewal(&mut world);
    world.converge();
    assert_eq!((world.paid, world.new_imports), (2, 1));
    assert_eq!(Some(&world.of_target("edge")[0].leaf.serial), world.serial().as_ref());
    assert!(!is_tagged(&world));
}

#[test]
fn a_wiped_status_changes_nothing_whatever_the_policy_is_by_then() {
    let mut world = consented();
    world.converge();
    allow(&mut world, Adoption::Deny);
    world.certificate.status = None;
    world.process = world::Process::default();
    world.now += SignedDuration::from_mins(5);
    world.converge();
    assert_taken_over(&world);
    assert_eq!(world.paid, 1);
}

#[test]
fn a_deletion_takes_what_was_taken_over_and_nothing_that_was_only_about_to_be() {
    let deleting = |world: &mut World| {
        change_spec(world, |spec| {
            spec.acm[0].deletion_policy = crate::api::certificate::DeletionPolicy::Delete;
        });
    };
    let delete = |world: &mut World| {
        world.certificate.metadata.deletion_timestamp = Some(Time(world.now));
        world.touch();
        world.converge();
        assert!(world.gone);
    };
    let mut world = consented();
    deleting(&mut world);
    world.converge();
    assert_taken_over(&world);
    delete(&mut world);
    assert!(world.acm.is_empty());
    for done in [is_recorded as fn(&World) -> bool, is_tagged] {
        let make = || {
            let mut world = consented();
            deleting(&mut world);
            world
        };
        let mut world = ended_when(make, done);
        delete(&mut world);
        assert_eq!(world.acm.len(), 1);
    }
}

#[test]
fn of_two_that_carry_the_targets_tags_the_one_taken_over_is_never_deleted() {
    let mut world = consented();
    world.converge();
    let mut twin = theirs(&world).clone();
    twin.arn = ARN.replace("aaaaaaaa", "bbbbbbbb").parse().unwrap();
    // A restore from before names the other.
    world.certificate.status.as_mut().unwrap().targets[0].arn = Some(twin.arn.clone());
    twin.in_use = true;
    world.acm.push(twin);
    world.acm[0].in_use = false;
    change_spec(&mut world, |spec| spec.acm[0].certificate_arn = None);
    world.now += SignedDuration::from_hours(26);
    world.converge();
    assert!(world.acm.iter().any(|c| c.arn == their_arn()));
}
