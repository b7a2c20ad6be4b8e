//! The README's list of control endpoints, against the routes.

use std::collections::BTreeSet;

const README: &str = include_str!("../../README.md");
const CONTROL: [&str; 4] = [
    include_str!("../control.rs"),
    include_str!("../control/authorities.rs"),
    include_str!("../control/certificates.rs"),
    include_str!("../control/identities.rs"),
];

/// Methods and path of each line that names an endpoint after `quote`.
fn endpoints(text: &'static str, quote: char, call: &str) -> BTreeSet<(&'static str, &'static str)> {
    let mut found = BTreeSet::new();
    for line in text.lines() {
        let Some((before, rest)) = line.split_once(&format!("{quote}/_sim/")) else { continue };
        let (path, after) = rest.split_once(quote).unwrap();
        let methods = if call.is_empty() { before } else { after };
        for method in ["get", "post", "delete"] {
            if methods.to_lowercase().contains(&format!("{method}{call}")) {
                found.insert((path.split('?').next().unwrap(), method));
            }
        }
    }
    found
}

#[test]
fn the_control_endpoints_are_those_of_the_readme() {
    let routes: BTreeSet<_> = CONTROL.iter().flat_map(|text| endpoints(text, '"', "(")).collect();
    let table = README.split_once("## Control endpoints").unwrap().1;
    assert!(routes.len() > 25);
    assert_eq!(endpoints(table, '`', ""), routes);
}
