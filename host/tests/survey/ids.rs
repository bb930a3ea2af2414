//! Every id of the contract is produced by some test.

use std::fs;
use std::path::Path;

use kuzzle_host::diagnostics::Id;

/// What tests are made of: the files of test folders, and the ends of sources from their tests on.
fn collect(folder: &Path, tests: &mut String) {
    for item in fs::read_dir(folder).unwrap() {
        let path = item.unwrap().path();
        if path.is_dir() {
            collect(&path, tests);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let in_sources = path.components().any(|part| part.as_os_str() == "src");
            tests.push_str(if in_sources {
                text.split_once("#[cfg(test)]").map_or("", |(_, tests)| tests)
            } else {
                &text
            });
        }
    }
}

#[test]
fn no_id_is_without_a_test_that_names_it() {
    let host = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = String::new();
    for folder in ["src", "tests", "../tests/end_to_end"] {
        collect(&host.join(folder), &mut tests);
    }
    let untested = |id: &&Id| {
        // As scripts see it, or as the code names it.
        !tests.contains(&format!("\"{id}\"")) && !tests.contains(&format!("Id::{id:?}"))
    };
    let untested: Vec<_> = Id::ALL.iter().filter(untested).map(|id| id.as_str()).collect();
    assert!(untested.is_empty(), "no test names {untested:?}");
}
