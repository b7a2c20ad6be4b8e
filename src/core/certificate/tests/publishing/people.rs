//! What people do to what is published: blows like those of `blows`, and what must have come of it in the end.

use super::*;
use proptest::prelude::*;

/// What somebody does; `true` is about the ConfigMap, `false` about the Ingress.
#[derive(Clone, Debug)]
pub enum Deed {
    /// Other entries are wanted.
    Wanted(Vec<usize>),
    /// The object is deleted, or made anew.
    Removed(bool),
    Made(bool),
    /// A field of ours is set to something else, or taken away.
    Edited(bool),
    TakenAway(bool),
    /// The operator loses its right to the object, or gets it.
    Forbidden(bool),
}

pub fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => prop::collection::vec(0_usize..3, 0..4).prop_map(Deed::Wanted),
        1 => any::<bool>().prop_map(Deed::Removed),
        2 => any::<bool>().prop_map(Deed::Made),
        1 => any::<bool>().prop_map(Deed::Edited),
        1 => any::<bool>().prop_map(Deed::TakenAway),
        1 => any::<bool>().prop_map(Deed::Forbidden),
    ]
}

/// Both objects are there, and all entries are wanted.
pub fn begin(world: &mut World) {
    world.certificate.spec.publish = serde_json::from_value(entries()).unwrap();
    world.put_on_shelf(ingress());
    world.put_on_shelf(config());
}

pub fn strike(world: &mut World, deed: Deed) {
    let which = |config_map: bool| if config_map { config() } else { ingress() };
    let place = |config_map: bool| if config_map { key("edge") } else { annotation(ARN) };
    match deed {
        Deed::Wanted(wanted) => {
            let all = entries();
            let wanted: Value = (0..3).filter(|n| wanted.contains(n)).map(|n| all[n].clone()).collect();
            publish(world, wanted);
        }
        Deed::Removed(it) => world.shelf.retain(|s| !s.object.is_same(&which(it))),
        Deed::Made(it) => world.put_on_shelf(which(it)),
        Deed::Edited(it) => world.edit_shelved(&which(it), &place(it), Some("mine")),
        Deed::TakenAway(it) => world.edit_shelved(&which(it), &place(it), None),
        Deed::Forbidden(it) => {
            if let Some(there) = world.shelved(&which(it)) {
                there.forbidden = !there.forbidden;
            }
        }
    }
}

/// People put right what people did.
pub fn put_right(world: &mut World) {
    world.edit_shelved(&config(), &key("edge"), None);
    world.edit_shelved(&ingress(), &annotation(ARN), None);
    for object in [ingress(), config()] {
        match world.shelved(&object) {
            Some(there) => there.forbidden = false,
            None => world.put_on_shelf(object),
        }
    }
}

/// What is wanted is there, and the condition says so; nothing else is, unless `forgotten`: what was published was lost with a
/// status.
pub fn assert_as_wanted(world: &mut World, forgotten: bool) {
    let wanted = world.certificate.spec.publish.clone();
    let status = world.certificate.status.clone().unwrap();
    for object in [ingress(), config()] {
        let here = wanted.iter().filter(|p| p.object().is_same(&object));
        let arn = |name: &str| status.targets.iter().find(|t| t.name == name).unwrap().arn.clone().unwrap().to_string();
        let mut here: Vec<(Place, String)> = here.map(|p| (p.place(), arn(&p.target))).collect();
        here.sort();
        let there = world.shelved(&object).unwrap().ours();
        let mut there: Vec<(Place, String)> = there.into_iter().map(|(p, v)| (p.clone(), v.to_owned())).collect();
        if forgotten && here.is_empty() {
            there.clear();
        }
        assert_eq!(there, here);
    }
    assert_eq!(reason(world).map(|r| r.1), (!wanted.is_empty()).then(|| "Published".to_owned()));
}
