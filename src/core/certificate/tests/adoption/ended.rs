//! The process ends, calls fail, or people change their minds while a certificate is taken over.

use super::*;

/// Passes in which the change number `at` has this fault.
fn with_fault(world: &mut World, at: usize, fault: Fault) {
    let mut n = 0;
    for _ in 0..12 {
        let pass = world.pass(|| {
            n += 1;
            if n == at { fault } else { Fault::Fine }
        });
        if let Pass::Rested(rest) = pass {
            world.now += rest.min(SignedDuration::from_secs(90));
        }
        world.sign();
    }
}

#[test]
fn whatever_call_fails_or_ends_the_process_it_converges_under_the_one_arn() {
    for fault in [Fault::CrashBefore, Fault::CrashAfter, Fault::AnswerLost, Fault::Unsent, Fault::Refused] {
        for forgetful in [false, true] {
            for at in 1..14 {
                let mut world = consented();
                world.forgetful = forgetful;
                with_fault(&mut world, at, fault);
                world.converge();
                assert_taken_over(&world);
                assert_eq!(world.paid, 1, "{fault:?} at {at}");
                assert_silent(&mut world);
            }
        }
    }
}

#[test]
fn a_policy_that_changes_on_the_way_holds_until_the_tags_are_ours() {
    let mut world = ended_when(consented, is_recorded);
    assert!(!is_tagged(&world));
    allow(&mut world, Adoption::Deny);
    world.converge();
    assert!(stalled(&world).unwrap().starts_with("AdoptionRefused"));
    assert!(!is_tagged(&world) && !is_recorded(&world));
    allow(&mut world, Adoption::Consent);
    world.converge();
    assert_taken_over(&world);
    let mut world = ended_when(consented, is_tagged);
    assert_ne!(Some(&theirs(&world).leaf.serial), world.serial().as_ref(), "tags come first");
    allow(&mut world, Adoption::Deny);
    world.converge();
    assert_taken_over(&world);
}

#[test]
fn what_is_withdrawn_before_anything_came_of_it_makes_the_target_as_any_other() {
    let mut world = ended_when(consented, is_recorded);
    change_spec(&mut world, |spec| spec.acm[0].certificate_arn = None);
    world.converge();
    assert!(ready(&world), "{:#?}", world.certificate.status);
    assert!(!is_tagged(&world));
    assert_eq!((world.new_imports, world.acm.len()), (1, 2));
    assert_ne!(arn(&world, "edge"), ARN);
    assert_silent(&mut world);
}

#[test]
fn what_is_withdrawn_once_it_carries_our_tags_is_gone_on_with() {
    let mut world = ended_when(consented, is_tagged);
    change_spec(&mut world, |spec| spec.acm[0].certificate_arn = None);
    world.converge();
    assert_taken_over(&world);
}
