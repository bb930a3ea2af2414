//! Faults of entries, of who may change them, and of several protocols together.

use std::fs;
use std::os::unix::fs::{chown, symlink};

use kuzzle_host::config;
use kuzzle_host::diagnostics::Severity;
use kuzzle_host::installation::target::{ProcessOwner, Surroundings};
use kuzzle_host::installation::{Status, survey_in, survey_paths};
use serde_json::json;

use crate::home::{Home, entry, has_cc, ids, minimal, set, with_note};

#[test]
fn no_protocols_folder_means_no_protocols() {
    let home = tempfile::tempdir().unwrap();
    let survey = kuzzle_host::installation::survey(home.path(), &config::load(home.path(), []).unwrap());
    assert!(survey.entries.is_empty() && survey.diagnostics.is_empty());
}

#[test]
fn plain_and_hidden_files_are_no_entries() {
    let home = Home::new();
    fs::write(home.enabled("README"), "").unwrap();
    fs::create_dir(home.enabled(".hidden")).unwrap();
    symlink("nowhere", home.enabled(".dangling")).unwrap();
    assert!(home.survey().entries.is_empty());
}

#[test]
fn links_that_lead_to_no_folder_are_told() {
    let home = Home::new();
    symlink("../available/gone", home.enabled("dangling")).unwrap();
    symlink("self", home.enabled("self")).unwrap();
    symlink("ring-b", home.enabled("ring-a")).unwrap();
    symlink("ring-a", home.enabled("ring-b")).unwrap();
    fs::write(home.folder("file"), "").unwrap();
    symlink("../available/file", home.enabled("file")).unwrap();
    let survey = home.survey();
    for (name, id) in [
        ("dangling", "protocol.discovery.dangling_link"),
        ("self", "protocol.discovery.link_loop"),
        ("ring-a", "protocol.discovery.link_loop"),
        ("file", "protocol.discovery.not_a_directory"),
    ] {
        assert_eq!(ids(entry(&survey, name)), set([id]), "{name}");
        assert_eq!(entry(&survey, name).status, Status::Refused);
    }
    let names: Vec<_> =
        survey.entries.iter().map(|entry| entry.path.file_name().unwrap().to_owned()).collect();
    assert!(names.is_sorted(), "{names:?}");
}

#[test]
fn an_enabled_file_is_told_if_it_is_not_a_folder() {
    let home = Home::new();
    fs::remove_dir(home.path().join("protocols/enabled")).unwrap();
    fs::write(home.path().join("protocols/enabled"), "").unwrap();
    let survey = home.survey();
    assert_eq!(survey.diagnostics[0].id.as_str(), "protocol.discovery.unreadable");
    assert!(survey.has_errors());
}

#[test]
fn names_sections_and_files_can_be_taken_once() {
    if !has_cc("names_sections_and_files_can_be_taken_once") {
        return;
    }
    let home = Home::new();
    for name in ["a", "b", "c", "d"] {
        home.compiled(name, &minimal(), &[]);
    }
    home.manifest("b", &json!({ "name": "A", "kuzzleVersion": "2" }));
    home.manifest("c", &json!({ "name": "c", "kuzzleVersion": "2", "sections": ["a"] }));
    fs::remove_file(home.library("d")).unwrap();
    fs::hard_link(home.library("a"), home.library("d")).unwrap();
    let survey = home.survey();
    assert_eq!(ids(entry(&survey, "a")), set([]));
    assert_eq!(ids(entry(&survey, "b")), set(["protocol.runtime.already_exists"]));
    assert_eq!(ids(entry(&survey, "c")), set(["protocol.runtime.already_exists"]));
    assert_eq!(ids(entry(&survey, "d")), set(["protocol.discovery.same_file"]));
}

#[test]
fn a_file_that_is_shared_is_told_beside_its_other_faults() {
    if !has_cc("a_file_that_is_shared_is_told_beside_its_other_faults") {
        return;
    }
    let home = Home::new();
    home.compiled("a", &with_note(""), &[]).add("b");
    fs::hard_link(home.library("a"), home.library("b")).unwrap();
    let survey = home.survey();
    assert_eq!(ids(entry(&survey, "a")), set(["protocol.abi.missing_note"]));
    assert_eq!(ids(entry(&survey, "b")), set(["protocol.abi.missing_note", "protocol.discovery.same_file"]));
}

#[test]
fn a_disabled_protocol_has_only_warnings() {
    let home = Home::new();
    home.add("p");
    let survey = home.survey_with(&[("kuzzle_server__protocols__p__enabled", "false")]);
    assert_eq!(entry(&survey, "p").status, Status::Disabled);
    assert!(!survey.has_errors());
    home.manifest("p", &json!({ "name": "p", "kuzzleVersion": "^1.0.0" }));
    let survey = home.survey_with(&[("kuzzle_server__protocols__p__enabled", "false")]);
    assert_eq!(ids(entry(&survey, "p")), set(["plugin.manifest.version_mismatch"]));
    assert!(!survey.has_errors());
}

#[test]
fn what_others_may_change_is_not_trusted() {
    if !has_cc("what_others_may_change_is_not_trusted") {
        return;
    }
    let home = Home::new();
    home.compiled("p", &minimal(), &[]);
    assert_eq!(home.ids("p"), set([]));
    for path in [home.library("p"), home.folder("p"), home.folder("p").join("manifest.json")] {
        let mode = if path.is_dir() { 0o757 } else { 0o646 };
        home.chmod(&path, mode);
        assert_eq!(home.ids("p"), set(["protocol.trust.writable_by_others"]), "{}", path.display());
        home.chmod(&path, 0o755);
        assert_eq!(home.ids("p"), set([]));
    }
    home.chmod(&home.path().join("protocols/available"), 0o777);
    assert!(home.survey().has_errors());
    home.chmod(&home.path().join("protocols/available"), 0o1777);
    assert!(!home.survey().has_errors(), "sticky folders are exempt");
}

#[test]
fn what_others_own_is_not_trusted() {
    let home = Home::new();
    home.bytes("p", b"");
    let process = |uid, in_container| ProcessOwner { uid, gid: 0, in_container };
    let severity = |process| {
        let surroundings = Surroundings { process: Some(process), ..Surroundings::default() };
        let survey = survey_in(home.path(), &config::load(home.path(), []).unwrap(), &surroundings);
        let told = &entry(&survey, "p").diagnostics;
        told.iter().find(|told| told.id.as_str() == "protocol.trust.wrong_owner").map(|told| told.severity)
    };
    assert_eq!(severity(process(12_345, false)), None, "the installation's owner is trusted");
    if chown(home.library("p"), Some(54_321), None).is_err() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "what_others_own_is_not_trusted needs root");
        eprintln!("skipped for want of root: what_others_own_is_not_trusted");
        return;
    }
    assert_eq!(severity(process(12_345, false)), Some(Severity::Error));
    assert_eq!(severity(process(54_321, false)), None);
    assert_eq!(severity(process(0, false)), Some(Severity::Error));
    assert_eq!(severity(process(0, true)), Some(Severity::Warning));
}

#[test]
fn what_lies_outside_is_not_trusted_unless_it_is_asked_for() {
    if !has_cc("what_lies_outside_is_not_trusted_unless_it_is_asked_for") {
        return;
    }
    let (home, elsewhere) = (Home::new(), Home::new());
    elsewhere.compiled("p", &minimal(), &[]);
    symlink(elsewhere.folder("p"), home.enabled("p")).unwrap();
    assert_eq!(home.ids("p"), set(["protocol.trust.outside_installation"]));
    let roots = json!({ "server": { "protocolTrust": { "roots": [elsewhere.path()] } } });
    fs::write(home.path().join(".kuzzlerc"), roots.to_string()).unwrap();
    assert_eq!(home.ids("p"), set([]));
    let survey = survey_paths(&[elsewhere.folder("p"), elsewhere.folder("absent")]);
    assert_eq!(survey.entries[0].status, Status::Ok);
    assert_eq!(ids(&survey.entries[1]), set(["protocol.discovery.unreadable"]));
}

#[test]
fn plugins_are_told_to_be_ignored() {
    let home = Home::new();
    fs::create_dir_all(home.path().join("plugins/enabled/some")).unwrap();
    let survey = home.survey();
    assert_eq!(survey.diagnostics[0].id.as_str(), "plugin.discovery.not_supported");
    assert!(!survey.has_errors());
}

#[test]
fn options_are_compared_with_the_schema() {
    if !has_cc("options_are_compared_with_the_schema") {
        return;
    }
    let home = Home::new();
    home.compiled("p", &minimal(), &[]);
    let schema =
        json!({ "type": "object", "properties": { "port": { "type": "integer", "maximum": 65535 } } });
    home.manifest("p", &json!({ "name": "p", "kuzzleVersion": "2", "config": schema }));
    assert_eq!(home.ids("p"), set([]));
    let survey = home.survey_with(&[("kuzzle_server__protocols__p__port", "99999")]);
    assert_eq!(ids(entry(&survey, "p")), set(["protocol.config.invalid"]));
}

#[test]
fn what_the_host_reads_of_a_section_is_checked_if_the_protocol_is_enabled() {
    let home = Home::new();
    home.bytes("p", b"");
    for (name, value) in [
        ("kuzzle_server__protocols__p", "5"),
        ("kuzzle_server__protocols__p__enabled", "maybe"),
        ("kuzzle_server__protocols__p__realtimeNotifications", "1"),
        ("kuzzle_server__protocols__p__onPanic", "explode"),
        ("kuzzle_server__protocols__p__maxConnections", "0"),
    ] {
        let survey = home.survey_with(&[(name, value)]);
        let told = &entry(&survey, "p").diagnostics;
        let told = told.iter().find(|told| told.id.as_str() == "protocol.config.invalid").unwrap();
        assert!(told.is_error() && told.message.contains(name), "{}", told.message);
        let survey = home.survey_with(&[(&name.replace("__p", "__absent"), value)]);
        assert!(!ids(entry(&survey, "p")).contains("protocol.config.invalid"));
        assert!(survey.diagnostics.is_empty());
    }
}
