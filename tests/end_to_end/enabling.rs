//! `enable`, `disable` and `list`.

use std::fs;
use std::path::Path;
use std::process::Output;

use kuzzle_tests::{Host, Installation};
use serde_json::{Value, json};

fn run(installation: &Installation, arguments: &[&str]) -> Output {
    Host::run(installation.home(), arguments)
}

fn succeeds(installation: &Installation, arguments: &[&str]) -> String {
    let output = run(installation, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// An installation where `udp` is available, but not enabled.
fn available() -> Installation {
    let installation = Installation::new();
    installation.udp();
    fs::remove_file(installation.enabled("udp")).unwrap();
    installation
}

#[test]
fn enable_makes_a_relative_link() {
    let installation = available();
    succeeds(&installation, &["enable", "udp"]);
    let link = fs::read_link(installation.enabled("udp")).unwrap();
    assert_eq!(link, Path::new("../available/udp"));
    assert!(fs::canonicalize(installation.enabled("udp")).is_ok());
}

#[test]
fn enable_makes_the_folder_of_links() {
    let installation = available();
    fs::remove_dir(installation.home().join("protocols/enabled")).unwrap();
    succeeds(&installation, &["enable", "udp"]);
    assert!(installation.enabled("udp").exists());
}

#[test]
fn what_was_enabled_serves_and_what_was_disabled_does_not() {
    let installation = available();
    succeeds(&installation, &["enable", "udp"]);
    let ready = Host::start(&installation).wait_ready();
    assert_eq!(ready["protocols"][0]["name"], "udp");
    succeeds(&installation, &["disable", "udp"]);
    fs::remove_file(installation.home().join("ready.json")).unwrap();
    let ready = Host::start(&installation).wait_ready();
    assert_eq!(ready["protocols"], json!([]));
}

#[test]
fn enable_and_disable_can_be_repeated() {
    let installation = available();
    succeeds(&installation, &["enable", "udp"]);
    succeeds(&installation, &["enable", "udp"]);
    assert!(installation.enabled("udp").exists());
    succeeds(&installation, &["disable", "udp"]);
    succeeds(&installation, &["disable", "udp"]);
    assert!(installation.enabled("udp").symlink_metadata().is_err());
    assert!(installation.available("udp").exists(), "only the link is removed");
}

#[test]
fn enable_of_an_unknown_name_fails_and_links_nothing() {
    let installation = available();
    let output = run(&installation, &["enable", "nobody"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("nobody"), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    assert!(installation.enabled("nobody").symlink_metadata().is_err());
}

#[test]
fn enable_does_not_leave_the_installation() {
    let installation = available();
    for name in ["../udp", "/etc", "..", ".", "a/b", ""] {
        let output = run(&installation, &["enable", name]);
        assert!(matches!(output.status.code(), Some(1 | 2)), "{name:?}: {output:?}");
    }
    let entries = fs::read_dir(installation.home().join("protocols/enabled"));
    assert_eq!(entries.map_or(0, Iterator::count), 0);
}

#[test]
fn disable_does_not_remove_what_is_no_link() {
    let installation = available();
    fs::create_dir_all(installation.enabled("own")).unwrap();
    fs::write(installation.enabled("own").join("manifest.json"), "{}").unwrap();
    let output = run(&installation, &["disable", "own"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(installation.enabled("own").join("manifest.json").exists());
}

#[test]
fn list_tells_folder_name_and_whether_it_is_enabled() {
    let installation = available();
    installation.manifest_with("other-folder", &json!({ "name": "other", "kuzzleVersion": "2.x" }));
    succeeds(&installation, &["enable", "udp"]);
    let document: Value =
        serde_json::from_str(&succeeds(&installation, &["list", "--format", "json"])).unwrap();
    let text = document.to_string();
    for word in ["udp", "other-folder", "other"] {
        assert!(text.contains(&format!("\"{word}\"")), "{document:#}");
    }
    let text = succeeds(&installation, &["list"]);
    let line = |word: &str| text.lines().find(|line| line.contains(word)).unwrap_or_else(|| panic!("{text}"));
    assert_ne!(line("udp"), line("other-folder"));
    assert!(line("other-folder").split_whitespace().any(|word| word == "other"), "{text}");
    assert!(!text.contains('\u{1b}'), "no colours in a pipe: {text:?}");
}

#[test]
fn list_of_nothing_succeeds() {
    let installation = Installation::new();
    succeeds(&installation, &["list"]);
    let document: Value =
        serde_json::from_str(&succeeds(&installation, &["list", "--format", "json"])).unwrap();
    assert!(document.is_object() || document.is_array());
}
