//! Every normative statement of the standards has a test that exists, or a reason why it needs none.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All Rust files below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("it is part of the repository") {
        let path = entry.expect("it is readable").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The names of all tests here and of the end-to-end tests of this protocol.
fn tests() -> BTreeSet<String> {
    let mut files = Vec::new();
    sources(&folder().join("src"), &mut files);
    sources(&folder().join("tests"), &mut files);
    let mut end_to_end = Vec::new();
    sources(&folder().join("../../tests/end_to_end"), &mut end_to_end);
    files.extend(end_to_end.into_iter().filter(|path| path.to_string_lossy().contains("/mqtt")));
    let mut names = BTreeSet::new();
    for file in files {
        let text = read(&file);
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            if line == "#[test]" {
                is_test = true;
            } else if line.starts_with("#[ignore") {
                is_test = false;
            } else if let Some(rest) = line.strip_prefix("fn ") {
                if is_test {
                    names.extend(rest.split('(').next().map(str::to_owned));
                }
                is_test = false;
            }
        }
    }
    names
}

fn vectors() -> BTreeSet<String> {
    let vectors: Value = serde_json::from_str(&read(&folder().join("tests/vectors/packets.json")))
        .expect("the vectors are JSON");
    let vectors = vectors.as_array().expect("the vectors are an array");
    vectors.iter().map(|vector| vector["name"].as_str().expect("each has a name").to_owned()).collect()
}

/// What is wrong with one line.
fn problem(rest: &str, tests: &BTreeSet<String>, vectors: &BTreeSet<String>) -> Option<String> {
    if let Some(reason) = rest.strip_prefix('-') {
        return reason.trim().is_empty().then(|| "the reason is missing".to_owned());
    }
    let mut names = 0;
    for (index, part) in rest.split('"').enumerate() {
        if index % 2 == 1 {
            names += 1;
            if !vectors.contains(part) {
                return Some(format!("there is no packet {part:?} in packets.json"));
            }
            continue;
        }
        for name in part.split_whitespace() {
            names += 1;
            if !tests.contains(name) {
                return Some(format!("there is no test {name}"));
            }
        }
    }
    (names == 0).then(|| "there is neither a test nor a reason".to_owned())
}

#[track_caller]
fn check(version: &str, count: usize, sections: usize) {
    let (tests, vectors) = (tests(), vectors());
    let mut problems = Vec::new();
    let mut ids: BTreeMap<Vec<u32>, Vec<u32>> = BTreeMap::new();
    let mut total = 0;
    let list = read(&folder().join("tests/normative").join(version));
    for line in list.lines().filter(|line| !line.starts_with('#')) {
        let (id, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (section, number) = id
            .strip_prefix("MQTT-")
            .and_then(|id| id.split_once('-'))
            .unwrap_or_else(|| panic!("{line:?} does not begin with an id such as MQTT-1.5.3-1"));
        let section = section.split('.').map(|part| part.parse().expect("a section has numbers")).collect();
        ids.entry(section).or_default().push(number.parse().expect("a statement has a number"));
        total += 1;
        problems.extend(problem(rest, &tests, &vectors).map(|problem| format!("{id}: {problem}")));
    }
    assert!(problems.is_empty(), "{problems:#?}");
    for (section, numbers) in &ids {
        // The standard itself has no MQTT-2.2.1-1 in version 5.0.
        let first = if version == "5.0.txt" && section[..] == [2, 2, 1] { 2 } else { 1 };
        let expected: Vec<u32> = (first..).take(numbers.len()).collect();
        assert_eq!(*numbers, expected, "statements of section {section:?} are missing or out of order");
    }
    assert_eq!((total, ids.len()), (count, sections), "the standard has as many statements and sections");
}

#[test]
fn every_statement_of_3_1_1_has_a_test_or_a_reason() {
    check("3.1.1.txt", 141, 39);
}

#[test]
fn every_statement_of_5_0_has_a_test_or_a_reason() {
    check("5.0.txt", 251, 56);
}

#[test]
fn a_line_without_a_test_or_a_reason_is_a_problem() {
    let (tests, vectors) = ([String::from("known")].into(), [String::from("a packet")].into());
    for fine in ["known", "\"a packet\"", "known \"a packet\" known", "- because"] {
        assert_eq!(problem(fine, &tests, &vectors), None, "{fine}");
    }
    for bad in ["", "   ", "-", "- ", "unknown", "\"no packet\"", "known unknown"] {
        assert!(problem(bad, &tests, &vectors).is_some(), "{bad}");
    }
}
