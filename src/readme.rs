//! README.md and docs/ against the code and the chart, wherever they can be compared.

use crate::api::crds;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

const README: &str = include_str!("../README.md");
const VALUES: &str = include_str!("../charts/arnkeeper/values.yaml");
const METRICS: &str = include_str!("../docs/metrics.md");

const RULES: &str = include_str!("../charts/arnkeeper/files/rules.yaml");
const BENCHMARKS: &str = include_str!("../docs/benchmarks.md");
const FIGURES: &str = include_str!("../benches/figures/main.rs");

/// Words in the code that look like a reason and are none, or that no manifest gets to, since the schema refuses it.
const NO_REASONS: [&str; 4] = ["InvalidStateException", "Other", "NoTarget", "NothingToWatch"];

/// The lines that are not within a block of code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// What stands below the first heading of this name, to the next one of its level.
fn section(heading: &str) -> Vec<&'static str> {
    let level = heading.split(' ').next().unwrap().len();
    let ends = |line: &str| line.starts_with('#') && line.split(' ').next().unwrap().len() <= level;
    let found: Vec<&str> =
        prose(README).skip_while(|line| *line != heading).skip(1).take_while(|line| !ends(line)).collect();
    assert!(!found.is_empty(), "README has no {heading:?}");
    found
}

/// The cells of the first table.
fn table<'a>(lines: &[&'a str]) -> Vec<Vec<&'a str>> {
    let lines = lines.iter().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    lines.skip(2).map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// What stands in backticks.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The schema of each kind's spec.
fn specs() -> BTreeMap<String, Value> {
    let all = crds().into_iter().map(|crd| serde_json::to_value(crd).unwrap());
    let spec = |crd: &Value| crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone();
    all.map(|crd| (crd["spec"]["names"]["kind"].as_str().unwrap().to_owned(), spec(&crd))).collect()
}

/// The fields of an object, or of the objects in a list.
fn fields(schema: &Value) -> Option<&serde_json::Map<String, Value>> {
    let schema = schema.get("items").unwrap_or(schema);
    schema.get("properties")?.as_object()
}

fn has(schema: &Value, path: &[&str]) -> bool {
    path.split_first().is_none_or(|(first, rest)| {
        fields(schema).and_then(|fields| fields.get(*first)).is_some_and(|schema| has(schema, rest))
    })
}

/// The fields of a manifest that the schema does not have.
fn unknown(value: &Value, schema: &Value, at: &str) -> Vec<String> {
    if let Some(list) = value.as_array() {
        return list.iter().flat_map(|value| unknown(value, &schema["items"], at)).collect();
    }
    let (Some(object), Some(fields)) = (value.as_object(), fields(schema)) else { return vec![] };
    let wrong = object.iter().map(|(key, value)| {
        let at = format!("{at}.{key}");
        fields.get(key).map_or_else(|| vec![at.clone()], |schema| unknown(value, schema, &at))
    });
    wrong.flatten().collect()
}

/// The text of the code, without its tests.
fn code() -> Vec<String> {
    fn within(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let is_code = path.extension().is_some_and(|extension| extension == "rs");
            if path.is_dir() && name != "tests" {
                within(&path, found);
            } else if is_code && !["tests.rs", "fixtures.rs", "readme.rs"].contains(&name) {
                found.push(path);
            }
        }
    }
    let mut found = vec![];
    within(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    let without_tests = |text: String| text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
    found.iter().map(|path| without_tests(fs::read_to_string(path).unwrap())).collect()
}

/// The literals that are one CamelCase word, each with what stands before it.
fn literals(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let camel = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_uppercase())
            && word.contains(|c: char| c.is_ascii_lowercase())
            && word.chars().all(|c| c.is_ascii_alphabetic())
    };
    let quotes: Vec<usize> = text.match_indices('"').map(|(at, _)| at).collect();
    quotes
        .windows(2)
        .map(|pair| (&text[pair[0] + 1..pair[1]], text[..pair[0]].trim_end()))
        .collect::<Vec<_>>()
        .into_iter()
        .filter(move |(word, _)| camel(word))
}

/// Whether what comes after this is the reason of a condition or of an event.
fn is_followed_by_a_reason(text: &str, of_kinds: bool) -> bool {
    let finding = || {
        let call = text.strip_suffix(',').and_then(|text| text.rsplit_once('('));
        call.is_some_and(|(before, _)| {
            ["yes", "no", "unknown"].iter().any(|f| before.ends_with(&format!("Finding::{f}")))
        })
    };
    ["reason:", "refused(", "stalled(", "told(", "Some((", "&str ="].iter().any(|end| text.ends_with(end))
        || (of_kinds && text.ends_with("=>"))
        || finding()
}

#[test]
fn every_reason_stands_in_the_readme() {
    let told: BTreeSet<&str> = prose(README).flat_map(words).collect();
    let mut missing = BTreeSet::new();
    let code = code();
    for text in &code {
        let of_kinds = text.contains("fn reason(");
        for (word, before) in literals(text) {
            if is_followed_by_a_reason(before, of_kinds) && !told.contains(word) && !NO_REASONS.contains(&word) {
                missing.insert(word);
            }
        }
    }
    assert!(missing.is_empty(), "README tells nothing of the reasons {missing:?}");
}

#[test]
fn every_reason_of_the_readme_is_given() {
    let code = code();
    let known: BTreeSet<&str> = code.iter().flat_map(|text| literals(text)).map(|(word, _)| word).collect();
    let rows = section("## Conditions and reasons").into_iter().filter(|line| line.starts_with('|'));
    let first = rows.flat_map(|row| words(row.trim_matches('|').split('|').next().unwrap()));
    let wrong: Vec<&str> = first.filter(|word| !known.contains(word)).collect();
    assert!(wrong.is_empty(), "nothing gives the reasons {wrong:?}");
}

#[test]
fn every_field_stands_in_the_readme() {
    let told: BTreeSet<&str> =
        README.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    for (kind, spec) in specs() {
        for (name, schema) in fields(&spec).unwrap() {
            assert!(told.contains(&**name), "{kind}: README tells nothing of spec.{name}");
            for inner in fields(schema).into_iter().flat_map(serde_json::Map::keys) {
                assert!(told.contains(&**inner), "{kind}: README tells nothing of spec.{name}.{inner}");
            }
        }
    }
}

#[test]
fn every_field_of_the_readme_is_one() {
    for (kind, spec) in specs() {
        let rows = table(&section(&format!("### {kind}")));
        assert!(rows.len() > 3, "{kind} has a table");
        let mut last: Vec<&str> = vec![];
        for word in rows.iter().flat_map(|row| words(row[0])) {
            let path: Vec<&str> = word.split('.').map(|part| part.trim_end_matches("[]")).collect();
            let full = match path.split_first() {
                // Beside the one before, or beside what that lies in.
                Some((&"", rest)) => {
                    let mut near = (0..last.len()).rev().map(|n| [&last[..n], rest].concat());
                    near.find(|path| has(&spec, path)).unwrap_or_default()
                }
                _ => path,
            };
            assert!(!full.is_empty() && has(&spec, &full), "{kind} has no field {word} ({full:?})");
            last = full;
        }
    }
}

#[test]
fn manifests_of_the_readme_have_no_other_fields() {
    let specs = specs();
    let mut seen = 0;
    for block in README.split("```yaml\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0)) {
        let indent = block.len() - block.trim_start_matches(' ').len();
        let text: Vec<&str> = block.lines().map(|line| line.get(indent..).unwrap_or_default()).collect();
        let text = text.join("\n");
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap_or_else(|e| panic!("{e} in\n{text}"));
        for document in documents {
            let own = document["apiVersion"] == "arnkeeper.dev/v1beta1";
            if !own && document.get("apiVersion").is_some() || document.get("spec").is_none() {
                continue;
            }
            seen += 1;
            let kinds = specs.iter().filter(|(kind, _)| !own || document["kind"] == **kind);
            let wrong: Vec<Vec<String>> = kinds.map(|(_, spec)| unknown(&document["spec"], spec, "spec")).collect();
            assert!(wrong.iter().any(Vec::is_empty), "{wrong:?} in\n{text}");
        }
    }
    assert!(seen > 15, "{seen} manifests");
}

#[test]
fn values_of_the_readme_are_the_charts() {
    let values: Value = serde_saphyr::from_str(VALUES).unwrap();
    let find = |path: &str| path.split('.').try_fold(&values, |value, key| value.get(key));
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let readme = table(&section("## Install"));
    let metrics: Vec<&str> = METRICS.lines().collect();
    let metrics = table(&metrics);
    assert!(readme.len() > 10 && metrics.len() > 3);
    for row in readme.iter().chain(&metrics) {
        let paths: Vec<&str> = words(row[0]).collect();
        for path in &paths {
            assert!(find(path).is_some(), "the chart has no value {path}");
        }
        let defaults: Vec<&str> = words(row[1]).collect();
        let listed = row[1] == format!("`{}`", defaults.join("`, `"));
        if readme.contains(row) && listed && defaults.len() == paths.len() {
            for (path, default) in paths.iter().zip(defaults) {
                assert_eq!(find(path).map(text).as_deref(), Some(default), "the default of {path}");
            }
        }
    }
}

#[test]
fn links_and_paths_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let slug = |heading: &str| {
        let kept = heading.to_lowercase().replace(' ', "-");
        kept.chars().filter(|c| c.is_alphanumeric() || *c == '-' || *c == '_').collect::<String>()
    };
    let headings = prose(README).filter(|line| line.starts_with('#'));
    let headings: BTreeSet<String> = headings.map(|line| slug(line.trim_start_matches('#').trim())).collect();
    for link in README.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0)) {
        if let Some(anchor) = link.strip_prefix('#') {
            assert!(headings.contains(anchor), "README has no heading for #{anchor}");
        } else if !link.starts_with("https://") {
            assert!(root.join(link).exists(), "there is no {link}");
        }
    }
    for word in prose(README).flat_map(words).filter(|word| !word.contains(' ')) {
        if ["examples/", "tests/", "src/", "charts/", "docs/"].iter().any(|folder| word.starts_with(folder)) {
            assert!(root.join(word).exists(), "there is no {word}");
        }
    }
    let told: BTreeSet<&str> = section("## Development").into_iter().flat_map(words).collect();
    for folder in fs::read_dir(root.join("tests")).unwrap().map(|entry| entry.unwrap().file_name()) {
        let path = format!("tests/{}", folder.to_str().unwrap());
        assert!(told.contains(&*path), "README's table of folders lacks {path}");
    }
}

#[test]
fn the_alerts_are_those_of_the_documentation() {
    let after = |text: &'static str, key: &str| {
        text.lines().filter_map(|line| Some(line.split_once(key)?.1.trim_end_matches([' ', '}']))).collect::<Vec<_>>()
    };
    let alerts: Vec<(&str, &str)> = after(RULES, "alert: ").into_iter().zip(after(RULES, "severity: ")).collect();
    let lines: Vec<&str> = METRICS.split_once("## Alerts").unwrap().1.lines().collect();
    let told: Vec<(&str, &str)> = table(&lines).iter().map(|row| (row[0].trim_matches('`'), row[1])).collect();
    assert_eq!(told.iter().collect::<BTreeSet<_>>(), alerts.iter().collect::<BTreeSet<_>>());
    assert!(include_str!("../CHANGELOG.md").contains(&format!("{} alerts", alerts.len())));
}

#[test]
fn the_figures_are_those_of_the_documentation() {
    let (_, list) = FIGURES.split_once("const FIGURES").unwrap();
    let figures: Vec<&str> = list.split("];").next().unwrap().split('"').skip(1).step_by(2).collect();
    let lines: Vec<&str> = BENCHMARKS.lines().collect();
    let told: Vec<&str> = table(&lines).iter().map(|row| row[0].trim_matches('`')).collect();
    assert_eq!(told, figures);
}
