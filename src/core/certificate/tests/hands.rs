//! What other people do in ACM and to a status: blows like those of `blows`, and what they may not bring about.

use super::{
    stalled,
    world::{Fault, InAcm, Pass, World},
};
use crate::api::{names::CertificateArn, shared::Tags};
use jiff::SignedDuration;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// What somebody does to a target.
#[derive(Clone, Copy, Debug)]
pub enum Hand {
    /// Its certificate is deleted in ACM.
    Deleted,
    /// Another certificate is imported over it.
    ImportedOver,
    /// All of our tags are removed, or those that name it.
    Untagged { all: bool },
    /// A neighbour's ARN stands in the status; it has a neighbour's tags, or none.
    Neighbour { tagged: bool },
    /// A second certificate carries its tags.
    Twin,
}

pub const TARGETS: [&str; 3] = ["edge", "far", "inner"];

pub fn hand() -> impl Strategy<Value = (Hand, &'static str)> {
    let hand = prop_oneof![
        2 => Just(Hand::Deleted),
        2 => Just(Hand::ImportedOver),
        2 => any::<bool>().prop_map(|all| Hand::Untagged { all }),
        2 => any::<bool>().prop_map(|tagged| Hand::Neighbour { tagged }),
        2 => Just(Hand::Twin),
    ];
    (hand, prop::sample::select(&TARGETS[..]))
}

/// What is remembered of these blows.
#[derive(Default)]
pub struct Hands {
    /// Neighbours' certificates, as they were.
    foreign: Vec<InAcm>,
    /// The tags that were removed, by ARN.
    removed: BTreeMap<CertificateArn, Tags>,
    /// Second certificates that were made of each target.
    twins: BTreeMap<&'static str, usize>,
    made: u32,
}

impl Hands {
    /// Strikes. Whether the target's ARN may change by it.
    pub fn strike(&mut self, world: &mut World, (hand, target): (Hand, &'static str)) -> bool {
        match hand {
            Hand::Deleted => world.acm.retain(|c| !is_of(c, target)),
            Hand::ImportedOver => world.import_over(target),
            Hand::Untagged { all } => {
                for there in world.acm.iter_mut().filter(|c| is_of(c, target)) {
                    self.removed.insert(there.arn.clone(), there.tags.clone());
                    there.tags.retain(|key, _| {
                        !key.starts_with("arnkeeper.dev/")
                            || (!all && !key.ends_with("/target") && !key.ends_with("/name"))
                    });
                }
            }
            Hand::Neighbour { tagged } => self.neighbour(world, target, tagged),
            Hand::Twin => {
                if let Some(mut twin) = world.of_target(target).first().map(|c| (*c).clone()) {
                    (twin.arn, twin.created, twin.in_use) = (self.arn(), world.now, false);
                    world.acm.push(twin);
                    *self.twins.entry(target).or_default() += 1;
                }
            }
        }
        matches!(hand, Hand::Deleted | Hand::Untagged { .. })
    }

    fn arn(&mut self) -> CertificateArn {
        self.made += 1;
        format!("arn:aws:acm:eu-west-1:111122223333:certificate/99999999-0000-0000-0000-{:012}", self.made)
            .parse()
            .unwrap()
    }

    fn neighbour(&mut self, world: &mut World, target: &str, tagged: bool) {
        let tags = [("cluster", "cluster"), ("namespace", "pay"), ("name", "another"), ("target", "theirs")];
        let tags =
            tags.into_iter().filter(|_| tagged).map(|(key, value)| (format!("arnkeeper.dev/{key}"), value.to_owned()));
        let theirs = InAcm {
            arn: self.arn(),
            leaf: world.foreign(),
            tags: tags.collect(),
            created: world.now,
            in_use: false,
            imported: true,
            managed: None,
        };
        let mut entries = world.certificate.status.iter_mut().flat_map(|s| &mut s.targets);
        if let Some(entry) = entries.find(|t| t.name == target) {
            entry.arn = Some(theirs.arn.clone());
            world.touch();
        }
        world.acm.push(theirs.clone());
        self.foreign.push(theirs);
    }

    /// How many certificates in ACM a target may have while nobody has looked.
    pub fn most(&self, target: &str) -> usize {
        1 + self.twins.get(target).copied().unwrap_or(0)
    }

    /// Nobody touched what belongs to others.
    pub fn assert_untouched(&self, world: &World) {
        for theirs in &self.foreign {
            let there = world.acm.iter().find(|c| c.arn == theirs.arn).expect("a neighbour's certificate was deleted");
            assert_eq!(there.tags, theirs.tags, "a neighbour's certificate was tagged");
            assert_eq!(there.leaf.der, theirs.leaf.der, "a neighbour's certificate was imported over");
        }
    }

    /// Days pass, in which every target is looked at; a person does what the messages say.
    pub fn put_right(&self, world: &mut World) {
        for _ in 0..4 {
            let end = world.now + SignedDuration::from_hours(26);
            while world.now < end {
                match world.pass(|| Fault::Fine) {
                    // An hour at most: what a person holds up is looked at again and again.
                    Pass::Rested(rest) => {
                        world.now += rest.clamp(SignedDuration::from_secs(1), SignedDuration::from_hours(1));
                    }
                    Pass::Crashed => {}
                }
                world.sign();
                world.supersede();
            }
            let asks = stalled(world).is_some_and(|why| why.starts_with("OwnershipUnknown"));
            if !asks {
                return;
            }
            self.obey(world);
        }
    }

    /// "If it is yours, put back the tags in the message; else remove the entry from the status."
    fn obey(&self, world: &mut World) {
        let entries = world.certificate.status.as_mut().map_or(&mut [][..], |s| &mut s.targets);
        for entry in entries {
            let Some(arn) = &entry.arn else { continue };
            if let Some((tags, there)) = self.removed.get(arn).zip(world.acm.iter_mut().find(|c| c.arn == *arn)) {
                there.tags.extend(tags.clone());
            } else if self.foreign.iter().any(|theirs| theirs.arn == *arn) {
                entry.arn = None;
            }
        }
        world.touch();
    }
}

fn is_of(certificate: &InAcm, target: &str) -> bool {
    certificate.tags.get("arnkeeper.dev/target").is_some_and(|t| t == target)
}
