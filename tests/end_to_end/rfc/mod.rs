//! What RFC 9110, 9112 and 6455 demand of a server: each requirement of the checked-in list has a case here, a test of
//! its own, or a reason why it has neither.

mod http;
mod websocket;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use kuzzle_tests::root;

const REQUIREMENTS: &str = include_str!("requirements.tsv");

/// Ids and how they are met.
fn requirements() -> Vec<(&'static str, &'static str)> {
    let rows = REQUIREMENTS.lines().skip(1).map(|line| line.split('\t').collect::<Vec<_>>());
    rows.map(|row| {
        assert_eq!(row.len(), 3, "{row:?}");
        (row[0], row[2])
    })
    .collect()
}

/// All text of the tests below a folder.
fn sources(folder: &Path) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all += &sources(&path);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all += &fs::read_to_string(path).unwrap();
        }
    }
    all
}

#[test]
fn every_requirement_is_tested_or_has_a_reason() {
    let cases: Vec<_> = http::CASES.iter().map(|case| case.id).chain(websocket::ids()).collect();
    let unique: BTreeSet<_> = cases.iter().copied().collect();
    assert_eq!(unique.len(), cases.len(), "a case stands twice");
    let requirements = requirements();
    let listed: BTreeSet<_> = requirements.iter().map(|(id, _)| *id).collect();
    assert_eq!(listed.len(), requirements.len(), "a requirement stands twice");
    let demanded: BTreeSet<_> =
        requirements.iter().filter(|(_, how)| *how == "case").map(|(id, _)| *id).collect();
    assert_eq!(demanded, unique, "cases that are listed, and those that there are");
    let tests =
        sources(&root().join("tests/end_to_end")) + &sources(&root().join("sample-protocols/http-ws/src"));
    for (id, how) in requirements {
        match how.split_once(':') {
            None => assert_eq!(how, "case", "{id}"),
            Some(("test", name)) => {
                assert!(tests.contains(&format!("fn {name}()")), "{id}: there is no {name}")
            }
            Some(("not", reason)) => assert!(reason.trim().len() > 10, "{id}: why not?"),
            Some(other) => panic!("{id}: {other:?}"),
        }
    }
}
