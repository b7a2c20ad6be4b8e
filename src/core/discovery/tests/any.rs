//! From any state of ACM and cluster: runs converge, a further one writes nothing, and nothing is touched that is not discovery's.

use super::world::{World, arn};
use crate::api::{Certificate, DISCOVERED_BY_LABEL};
use kube::ResourceExt;
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug)]
enum Blow {
    Put(usize, bool),
    Remove(usize),
    InUse(usize),
    Tag(usize, bool),
    Managed(usize),
    ByTags(usize),
    TurnManaged(usize),
    Person(usize),
    Other(usize, bool),
    Rules(u8),
    Deny(bool),
    Close(bool),
    Forge(usize),
    Lost(usize),
    Run,
    Told,
    Ask(u8),
}

fn blow() -> impl Strategy<Value = Blow> {
    let id = 0..5_usize;
    prop_oneof![
        4 => (id.clone(), any::<bool>()).prop_map(|(id, issued)| Blow::Put(id, issued)),
        2 => id.clone().prop_map(Blow::Remove),
        1 => id.clone().prop_map(Blow::InUse),
        1 => (id.clone(), any::<bool>()).prop_map(|(id, shop)| Blow::Tag(id, shop)),
        1 => id.clone().prop_map(Blow::Managed),
        1 => id.clone().prop_map(Blow::ByTags),
        1 => id.clone().prop_map(Blow::TurnManaged),
        1 => id.clone().prop_map(Blow::Person),
        1 => (id.clone(), any::<bool>()).prop_map(|(id, lives)| Blow::Other(id, lives)),
        1 => (0..4_u8).prop_map(Blow::Rules),
        1 => any::<bool>().prop_map(Blow::Deny),
        1 => any::<bool>().prop_map(Blow::Close),
        1 => id.clone().prop_map(Blow::Forge),
        1 => id.prop_map(Blow::Lost),
        4 => Just(Blow::Run),
        2 => Just(Blow::Told),
        1 => (0..9_u8).prop_map(Blow::Ask),
    ]
}

/// Even ones lie in one region, odd ones in the other.
fn region(id: usize) -> &'static str {
    if id.is_multiple_of(2) { "eu-west-1" } else { "us-east-1" }
}

fn strike(world: &mut World, blow: Blow) {
    let name = |id: usize| format!("n{id}.example");
    match blow {
        Blow::Put(id, false) => world.put(id, region(id), &[&name(id)]),
        Blow::Put(id, true) => world.put_issued(id, region(id), &[&name(id)]),
        Blow::Remove(id) => world.remove(id),
        Blow::InUse(id) => {
            if let Some(c) = world.acm.get_mut(&id) {
                c.summary.in_use = !c.summary.in_use;
            }
        }
        Blow::Tag(id, shop) if world.acm.contains_key(&id) => world.tag(id, "team", if shop { "shop" } else { "pay" }),
        Blow::Managed(id) if id % 2 == 0 => world.managed(&format!("m{id}"), &json!([]), Some(id)),
        Blow::ByTags(id) if world.acm.contains_key(&id) => {
            world.managed(&format!("t{id}"), &json!([]), None);
            world.own(id, &format!("t{id}"));
        }
        Blow::TurnManaged(id) if world.shows(id) => world.turn_managed(id),
        Blow::Person(id) if world.acm.contains_key(&id) => world.persons(id),
        Blow::Other(id, lives) if world.acm.contains_key(&id) && !world.shows(id) => {
            let name = crate::core::discovery::object_name(&[name(id)], &arn(id, region(id)));
            if !world.objects.contains_key(&("inventory".to_owned(), name)) {
                world.discovered_by("other", id);
            }
            if lives {
                world.others.insert("other".into());
            } else {
                world.others.clear();
            }
        }
        Blow::Rules(n) => {
            let shop = json!({ "match": { "tags": { "team": "shop" } }, "set": { "namespace": "shop" } });
            let one = json!({ "match": { "domains": ["n1.example"] }, "set": { "labels": { "a": "b" } } });
            let rules = [json!([]), json!([shop]), json!([one]), json!([one, shop])][usize::from(n)].clone();
            world.account.spec.discovery =
                serde_json::from_value(json!({ "namespace": "inventory", "rules": rules })).unwrap();
        }
        Blow::Deny(true) => world.deny("us-east-1"),
        Blow::Deny(false) => world.allow(),
        Blow::Close(true) => drop(world.rooms.insert("shop".into(), crate::core::discovery::Room::Closed)),
        Blow::Close(false) => world.rooms.clear(),
        // Somebody takes an object's label for his own, in a place where it does not belong.
        Blow::Forge(id) if world.shows(id) => {
            let mut forged = world.objects.values().find(|c| is_ours(c)).cloned().unwrap();
            forged.metadata.namespace = Some("apps".into());
            forged.metadata.uid = Some(format!("forged-{id}"));
            forged.metadata.resource_version = Some(format!("forged-{id}"));
            world.objects.insert(("apps".into(), forged.name_any()), forged);
        }
        Blow::Lost(id) => {
            let gone: Vec<_> = world.objects.iter().filter(|(_, c)| is_ours(c)).map(|(key, _)| key.clone()).collect();
            if let Some(key) = gone.get(id) {
                world.objects.remove(key);
            }
        }
        Blow::Run => world.run(),
        Blow::Told => world.tell_gone(),
        Blow::Ask(n) => world.ask(&format!("{n}")),
        _ => {}
    }
}

fn is_ours(c: &Certificate) -> bool {
    c.spec.is_observed() && c.labels().get(DISCOVERED_BY_LABEL).is_some_and(|by| by == "prod")
}

fn is_others(c: &Certificate) -> bool {
    !c.spec.is_observed() || !c.labels().contains_key(DISCOVERED_BY_LABEL)
}

fn others(world: &World) -> BTreeMap<(String, String), Certificate> {
    world.objects.iter().filter(|(_, c)| is_others(c)).map(|(key, c)| (key.clone(), c.clone())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn runs_converge_and_touch_nothing_else(blows in proptest::collection::vec(blow(), 0..30)) {
        let mut world = World::new(&json!({}));
        for blow in blows {
            let before = others(&world);
            let runs = matches!(blow, Blow::Run);
            strike(&mut world, blow);
            if runs {
                prop_assert_eq!(others(&world), before);
            }
        }
        let before = others(&world);
        // What tags say is read again when somebody asks.
        world.ask("at last");
        for _ in 0..4 {
            world.run();
            world.tell_gone();
        }
        prop_assert_eq!(others(&world), before);
        let (writes, reads) = (world.writes, world.tag_reads);
        world.run();
        prop_assert_eq!(world.writes, writes, "a further run writes nothing");
        let status = world.account.status.clone().unwrap().discovery.unwrap();
        for id in 0..5 {
            if world.denied.contains_key(&region(id).parse().unwrap()) || !world.is_whole() {
                continue;
            }
            let ours = world.objects.values().filter(|c| is_ours(c));
            let count = ours.filter(|c| c.spec.acm[0].certificate_arn == Some(arn(id, region(id)))).count();
            let object = |is: &dyn Fn(&Certificate) -> bool| world.objects.values().any(is);
            let names = |c: &Certificate| {
                let stored = c.status.iter().flat_map(|s| &s.targets).filter_map(|t| t.arn.clone());
                let named = c.spec.acm.iter().filter_map(|t| t.certificate_arn.clone());
                stored.chain(named).any(|other| other == arn(id, region(id)))
            };
            let Some(there) = world.acm.get(&id) else {
                prop_assert_eq!(count, 0, "{} is gone", id);
                continue;
            };
            let name = there.tags.get("arnkeeper.dev/name").cloned();
            // Whoever keeps it will soon know its ARN; till then it may be shown.
            let by_tags = object(&|c| !c.spec.is_observed() && Some(c.name_any()) == name);
            let others = object(&|c| names(c) && !is_ours(c));
            match (others, by_tags) {
                (true, _) => prop_assert_eq!(count, 0, "{} is somebody else's", id),
                (false, true) => prop_assert!(count <= 1),
                (false, false) => prop_assert_eq!(count, 1, "{} is shown", id),
            }
        }
        prop_assert!(world.tag_reads - reads <= 5);
        prop_assert_eq!(status.found, status.regions.iter().map(|r| r.found).sum::<i64>());
    }
}
