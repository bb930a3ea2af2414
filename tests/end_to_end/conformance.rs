//! `kuzzle-host conformance`: every sample passes, and every sabotaged protocol fails the one test that
//! looks for its fault.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use kuzzle_tests::{Host, Installation, c_library, cc, root, rust_library};
use serde_json::{Value, json};

/// Runs the default set; the status and the one document on standard output.
fn conformance(folder: &Path, arguments: &[&str]) -> (Option<i32>, Value) {
    let output = run(folder, &[&["--format", "json"], arguments].concat());
    let document = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        let [stdout, stderr] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
        panic!("standard output is not one JSON document: {error}\n{stdout}\n{stderr}")
    });
    (output.status.code(), document)
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let folder = folder.to_str().unwrap();
    Host::bare_command(&[&["conformance", folder], arguments].concat())
        .output()
        .expect("the program is built")
}

/// The names of the tests with this status.
fn names<'a>(document: &'a Value, status: &str) -> Vec<&'a str> {
    let tests = document["tests"].as_array().expect("tests is an array").iter();
    tests.filter(|test| test["status"] == status).map(|test| test["name"].as_str().unwrap()).collect()
}

fn sabotaged(installation: &Installation, compiler: &str, name: &str) -> PathBuf {
    let schema = json!({ "type": "object", "properties": { "port": { "type": "integer" } } });
    let manifest = json!({ "name": name, "kuzzleVersion": ">=2.0.0 <3.0.0", "config": schema });
    installation.fixture(name, compiler, &format!("sabotage/{name}.c"), &[]);
    installation.manifest_with(name, &manifest);
    installation.available(name)
}

/// A sabotaged protocol fails this test and no other; the reason says what it did. Those that look at what
/// comes after a fault that hides everything may be skipped.
fn is_caught(name: &str, by: &str, because: &str, hidden: &[&str]) {
    let Some(compiler) = cc(name) else { return };
    let installation = Installation::new();
    let (status, document) = conformance(&sabotaged(&installation, &compiler, name), &[]);
    assert_eq!(names(&document, "failed"), [by], "{document:#}");
    assert_eq!(names(&document, "skipped"), hidden, "{document:#}");
    assert_eq!(status, Some(1));
    let test = document["tests"].as_array().unwrap().iter().find(|test| test["name"] == by).unwrap();
    let reason = test["reason"].as_str().unwrap();
    assert!(reason.contains(because), "{reason}");
}

macro_rules! sabotage {
    ($($test:ident: $name:literal by $by:literal because $because:literal $(hides $hidden:expr)?;)*) => {
        $(#[test]
        fn $test() {
            let hidden: &[&str] = &[];
            $(let hidden: &[&str] = { let _ = hidden; &$hidden };)?
            is_caught($name, $by, $because, hidden);
        })*

        const SABOTAGED: &[&str] = &[$($name),*];
    };
}

sabotage! {
    one_that_exits_is_caught: "exits" by "init" because "called exit";
    one_that_hangs_is_caught: "hangs" by "shutdown" because "had not returned"
        hides ["payloads", "after-shutdown", "leaks"];
    one_that_does_not_count_is_caught: "counts" by "broadcast" because "SIGABRT";
    one_that_assumes_is_caught: "assumes" by "notify" because "SIGSEGV";
    one_that_overflows_is_caught: "overflows" by "channels" because "a channel of 1 MiB";
    one_that_ignores_is_caught: "ignores" by "disconnect" because "was not removed";
    one_that_chokes_is_caught: "chokes" by "clients" because "SIGABRT";
    one_that_answers_twice_is_caught: "answers_twice" by "requests" because "answered 2 times";
    one_that_frees_early_is_caught: "frees_early" by "completions" because "SIGSEGV";
    one_that_deadlocks_is_caught: "deadlocks" by "threads" because "hung";
    one_that_reenters_is_caught: "reenters" by "reentrancy" because "inside a callback";
    one_that_blocks_is_caught: "blocks" by "blocking" because "notify took 100 ms or longer";
    one_that_keeps_payloads_is_caught: "keeps" by "payloads" because "released 0 times";
    one_that_lingers_is_caught: "lingers" by "after-shutdown" because "log was called after shutdown";
    one_that_leaks_is_caught: "leaks" by "leaks" because "/dev/null";
    one_that_meddles_is_caught: "meddles" by "process" because "SIGUSR1";
    one_that_claims_too_much_is_caught: "claims" by "extensions" because "unknown extension";
    one_that_crumbles_is_caught: "crumbles" by "random" because "seed";
}

#[test]
fn every_sabotaged_protocol_has_a_test() {
    let folder = root().join("tests/fixtures/sabotage");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "c"));
    let names: Vec<_> = files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    for name in names.iter().filter(|name| *name != "sound") {
        assert!(SABOTAGED.contains(&name.as_str()), "{name}");
    }
    assert!(names.len() > 10, "{names:?}");
}

#[test]
fn what_is_sabotaged_was_sound() {
    let Some(compiler) = cc("what_is_sabotaged_was_sound") else { return };
    let installation = Installation::new();
    let (status, document) = conformance(&sabotaged(&installation, &compiler, "sound"), &[]);
    assert_eq!(
        (status, &document["failed"], &document["skipped"]),
        (Some(0), &json!(0), &json!(0)),
        "{document:#}"
    );
}

/// Makes an installable folder of a sample.
fn sample(installation: &Installation, name: &str, folder: &Path, compiler: &str) -> PathBuf {
    installation.manifest(name);
    fs::copy(folder.join("manifest.json"), installation.available(name).join("manifest.json")).unwrap();
    if folder.join("Cargo.toml").exists() {
        let library = rust_library(&format!("kuzzle_protocol_{}", name.replace('-', "_")));
        fs::copy(library, installation.library(name)).unwrap();
    } else {
        let is_source = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "c");
        let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).filter(is_source);
        let sources: Vec<_> = files.map(|file| file.to_str().unwrap().to_owned()).collect();
        let sources: Vec<_> = sources.iter().map(String::as_str).collect();
        c_library(compiler, &sources, &[], &installation.library(name));
    }
    installation.available(name)
}

#[test]
fn every_sample_passes() {
    let Some(compiler) = cc("every_sample_passes") else { return };
    let mut names = Vec::new();
    for entry in fs::read_dir(root().join("sample-protocols")).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let installation = Installation::new();
        let (status, document) = conformance(&sample(&installation, &name, &folder, &compiler), &[]);
        let whole = (status, &document["failed"], &document["skipped"], &document["protocol"]);
        assert_eq!(whole, (Some(0), &json!(0), &json!(0), &json!(name)), "{document:#}");
        names.push(name);
    }
    assert!(names.len() >= 2, "{names:?}");
}

#[test]
fn tests_can_be_chosen_and_a_seed_repeated() {
    let Some(compiler) = cc("tests_can_be_chosen_and_a_seed_repeated") else { return };
    let installation = Installation::new();
    let folder = sabotaged(&installation, &compiler, "crumbles");
    let only = ["--only", "random,static", "--seed", "17"];
    let (status, document) = conformance(&folder, &only);
    assert_eq!(
        (status, &document["seed"], &document["path"]),
        (Some(1), &json!(17), &json!(folder.to_str()))
    );
    assert_eq!((names(&document, "passed"), names(&document, "failed")), (vec!["static"], vec!["random"]));
    let reason = |document: &Value| document["tests"][1]["reason"].as_str().unwrap().to_owned();
    assert!(reason(&document).contains("seed 17, call "), "{document}");
    assert!(document["tests"][1]["millis"].is_u64(), "{document}");
    let (_, again) = conformance(&folder, &only);
    assert_eq!(reason(&document), reason(&again));
    let output = run(&folder, &["--only", "nonsense"]);
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("nonsense") && told.contains("random"), "{told}");
    assert_eq!(output.stdout, b"");
}

#[test]
fn the_text_tells_each_test_with_its_reason() {
    let Some(compiler) = cc("the_text_tells_each_test_with_its_reason") else { return };
    let installation = Installation::new();
    let output = run(&sabotaged(&installation, &compiler, "claims"), &["--only", "extensions,process"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("passed  process") && text.contains("failed  extensions"), "{text}");
    assert!(text.ends_with("1 passed, 1 failed, 0 skipped\n"), "{text}");
}

#[test]
fn what_the_static_gate_refuses_is_not_run() {
    let Some(compiler) = cc("what_the_static_gate_refuses_is_not_run") else { return };
    let installation = Installation::new();
    installation.fixture("broken", &compiler, "minimal.c", &["-DWITHOUT_NOTIFY", "-DMARKS"]);
    let folder = installation.available("broken");
    let folder = folder.to_str().unwrap();
    let output =
        Host::command(installation.home(), &["conformance", folder, "--format", "json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let diagnostic = &document["protocols"][0]["diagnostics"][0];
    assert_eq!(diagnostic["id"], "protocol.library.missing_symbol", "{document:#}");
    assert!(!Host::mark(installation.home()).exists(), "its constructor has run");
    let missing = run(Path::new("/nowhere/at/all"), &[]);
    assert_eq!(missing.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&missing.stdout).contains("There is no such folder"));
}
