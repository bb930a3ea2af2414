//! Libraries that are refused before any of their code has run.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use kuzzle_tests::{Host, Installation, Report, cc, source};
use serde_json::Value;

use crate::patched;

const REFUSED: Option<i32> = Some(78);

/// The symbol of each function that has to be there, and the option that leaves it out.
const FUNCTIONS: [(&str, &str); 6] = [
    ("kuzzle_protocol_init", "-DWITHOUT_INIT"),
    ("kuzzle_protocol_broadcast", "-DWITHOUT_BROADCAST"),
    ("kuzzle_protocol_notify", "-DWITHOUT_NOTIFY"),
    ("kuzzle_protocol_join_channel", "-DWITHOUT_JOIN_CHANNEL"),
    ("kuzzle_protocol_leave_channel", "-DWITHOUT_LEAVE_CHANNEL"),
    ("kuzzle_protocol_disconnect", "-DWITHOUT_DISCONNECT"),
];

/// An installation with one protocol, `broken`, compiled with these options.
fn broken(test: &str, options: &[&str]) -> Option<Installation> {
    let compiler = cc(test)?;
    let installation = Installation::new();
    installation.fixture("broken", &compiler, "minimal.c", options);
    Some(installation)
}

/// Makes sure that `check` and `start` refuse `broken` for exactly this, and that both say these texts.
fn is_refused(installation: &Installation, ids: &[&str], texts: &[&str]) {
    let report = Report::of(installation.home(), &[]);
    assert_eq!(report.status, REFUSED, "{report:?}");
    assert_eq!(report.ids("broken"), BTreeSet::from_iter(ids.iter().copied()), "{report:?}");
    assert_eq!(report.entry("broken")["status"], "refused");
    assert_eq!(report.document["refused"], 1);
    let said = Value::from(report.diagnostics("broken")).to_string();
    let host = Host::refused(installation);
    assert_eq!(host.status, REFUSED, "{}", host.log);
    for text in texts {
        assert!(said.contains(text), "check does not say {text:?}: {said}");
        assert!(host.log.contains(text), "start does not say {text:?}: {}", host.log);
    }
    for id in ids {
        assert!(host.log.contains(id), "start does not say {id:?}: {}", host.log);
    }
    assert_eq!(host.output, "", "start has no result to print");
}

fn refuses_a_library_without(test: &str, symbol: &str) {
    let (_, option) = FUNCTIONS.iter().find(|(function, _)| *function == symbol).unwrap();
    let Some(installation) = broken(test, &[option]) else { return };
    is_refused(&installation, &["protocol.library.missing_symbol"], &[symbol]);
    let report = Report::of(installation.home(), &[]);
    let said = Value::from(report.diagnostics("broken")).to_string();
    for (other, _) in FUNCTIONS.iter().filter(|(other, _)| *other != symbol) {
        assert!(!said.contains(&format!("`{other}`")), "{other} is there: {said}");
    }
}

#[test]
fn refuses_a_library_without_init() {
    refuses_a_library_without("refuses_a_library_without_init", "kuzzle_protocol_init");
}

#[test]
fn refuses_a_library_without_broadcast() {
    refuses_a_library_without("refuses_a_library_without_broadcast", "kuzzle_protocol_broadcast");
}

#[test]
fn refuses_a_library_without_notify() {
    refuses_a_library_without("refuses_a_library_without_notify", "kuzzle_protocol_notify");
}

#[test]
fn refuses_a_library_without_join_channel() {
    refuses_a_library_without("refuses_a_library_without_join_channel", "kuzzle_protocol_join_channel");
}

#[test]
fn refuses_a_library_without_leave_channel() {
    refuses_a_library_without("refuses_a_library_without_leave_channel", "kuzzle_protocol_leave_channel");
}

#[test]
fn refuses_a_library_without_disconnect() {
    refuses_a_library_without("refuses_a_library_without_disconnect", "kuzzle_protocol_disconnect");
}

#[test]
fn names_everything_that_is_missing_at_once() {
    let mut options: Vec<_> = FUNCTIONS.iter().map(|(_, option)| *option).collect();
    options.push("-DWITHOUT_NOTE");
    let Some(installation) = broken("names_everything_that_is_missing_at_once", &options) else { return };
    let mut symbols: Vec<_> = FUNCTIONS.iter().map(|(symbol, _)| *symbol).collect();
    symbols.push("kuzzle_protocol_abi");
    is_refused(&installation, &["protocol.abi.missing_note", "protocol.library.missing_symbol"], &symbols);
}

#[test]
fn refuses_data_in_place_of_a_function() {
    let options = ["-DWITHOUT_NOTIFY", "-DNOTIFY_AS_DATA"];
    let Some(installation) = broken("refuses_data_in_place_of_a_function", &options) else { return };
    is_refused(&installation, &["protocol.library.wrong_symbol_kind"], &["kuzzle_protocol_notify"]);
}

#[test]
fn refuses_a_library_without_a_note() {
    let Some(installation) = broken("refuses_a_library_without_a_note", &["-DWITHOUT_NOTE"]) else { return };
    is_refused(&installation, &["protocol.abi.missing_note"], &["kuzzle_protocol_abi"]);
}

/// A protocol whose note is changed by `change`.
fn with_note(test: &str, change: impl FnOnce(&mut [u8])) -> Option<Installation> {
    let installation = broken(test, &[])?;
    change_note(&installation.library("broken"), change);
    Some(installation)
}

fn change_note(library: &Path, change: impl FnOnce(&mut [u8])) {
    let mut bytes = fs::read(library).unwrap();
    let found: Vec<_> = (0..bytes.len() - 8).filter(|at| bytes[*at..].starts_with(b"KZPROTO1")).collect();
    let [note] = found[..] else { panic!("notes at {found:?}") };
    change(&mut bytes[note..]);
    fs::write(library, bytes).unwrap();
}

#[test]
fn refuses_a_note_that_is_none() {
    let Some(installation) = with_note("refuses_a_note_that_is_none", |note| note[0] = b'k') else { return };
    is_refused(&installation, &["protocol.abi.not_a_note"], &["KZPROTO1"]);
}

#[test]
fn refuses_a_note_whose_lengths_do_not_add_up() {
    let damage = |note: &mut [u8]| note[22] ^= 1;
    let Some(installation) = with_note("refuses_a_note_whose_lengths_do_not_add_up", damage) else { return };
    is_refused(&installation, &["protocol.abi.not_a_note"], &[]);
}

#[test]
fn refuses_another_major_version_of_the_abi() {
    let future = |note: &mut [u8]| note[8..10].copy_from_slice(&7_u16.to_ne_bytes());
    let Some(installation) = with_note("refuses_another_major_version_of_the_abi", future) else { return };
    is_refused(&installation, &["protocol.abi.version_mismatch"], &["7.0"]);
}

#[test]
fn refuses_a_newer_minor_version_of_the_abi() {
    let future = |note: &mut [u8]| note[10..12].copy_from_slice(&9_u16.to_ne_bytes());
    let Some(installation) = with_note("refuses_a_newer_minor_version_of_the_abi", future) else { return };
    is_refused(&installation, &["protocol.abi.version_mismatch"], &["1.9"]);
}

#[test]
fn refuses_another_layout_and_names_the_field() {
    let table = source("protocol-abi/history/1.0/layout-64.txt");
    let entry = table.lines().position(|line| line.starts_with("kuzzle_request.headers ")).unwrap();
    let change = |note: &mut [u8]| {
        let at = 28 + 2 * entry;
        assert_eq!(note[at..at + 2], 48_u16.to_ne_bytes());
        note[at..at + 2].copy_from_slice(&32_u16.to_ne_bytes());
    };
    let Some(installation) = with_note("refuses_another_layout_and_names_the_field", change) else { return };
    is_refused(
        &installation,
        &["protocol.abi.layout_mismatch"],
        &["kuzzle_request.headers", "offset 48", "32"],
    );
}

#[test]
fn refuses_a_file_that_is_no_library() {
    let installation = Installation::new();
    installation.manifest("broken").enable("broken");
    fs::write(installation.library("broken"), "not a library").unwrap();
    is_refused(&installation, &["protocol.library.not_a_library"], &[]);
}

#[test]
fn refuses_a_library_that_is_cut_off() {
    let Some(installation) = broken("refuses_a_library_that_is_cut_off", &[]) else { return };
    let bytes = fs::read(installation.library("broken")).unwrap();
    fs::write(installation.library("broken"), &bytes[..bytes.len() / 2]).unwrap();
    let report = Report::of(installation.home(), &[]);
    assert_eq!(report.status, REFUSED, "{report:?}");
    assert!(report.ids("broken").contains("protocol.library.not_a_library"), "{report:?}");
}

#[test]
fn names_a_library_that_is_needed_and_not_there() {
    let Some(installation) = broken("names_a_library_that_is_needed_and_not_there", &[]) else { return };
    let library = installation.library("broken");
    let mut bytes = fs::read(&library).unwrap();
    let (needed, instead) = (b"\0libc.so.6\0", b"\0libq.so.6\0");
    let at = bytes.windows(needed.len()).position(|window| window == needed).unwrap();
    bytes[at..at + needed.len()].copy_from_slice(instead);
    fs::write(&library, bytes).unwrap();
    is_refused(&installation, &["protocol.library.missing_dependency"], &["libq.so.6"]);
}

/// Only the dynamic loader can tell, so `check` has no objection.
#[test]
fn names_a_function_that_is_needed_and_not_there() {
    let test = "names_a_function_that_is_needed_and_not_there";
    let Some(installation) = broken(test, &["-DNEEDS_NOBODY"]) else { return };
    let host = Host::refused(&installation);
    assert_eq!(host.status, REFUSED, "{}", host.log);
    for text in ["protocol.runtime.load_failed", "nobody_defines_this"] {
        assert!(host.log.contains(text), "{text}: {}", host.log);
    }
}

#[test]
fn reports_all_problems_of_all_protocols_in_one_run() {
    let Some(compiler) = cc("reports_all_problems_of_all_protocols_in_one_run") else { return };
    let installation = Installation::new();
    installation.fixture("mute", &compiler, "minimal.c", &["-DWITHOUT_NOTIFY"]);
    installation.fixture("nameless", &compiler, "minimal.c", &["-DWITHOUT_BROADCAST"]);
    installation.manifest_with("nameless", &serde_json::json!({ "kuzzleVersion": ">=3.0.0" }));
    installation.fixture("good", &compiler, "minimal.c", &[]);
    installation.fixture("text", &compiler, "minimal.c", &[]);
    fs::write(installation.library("text"), "not a library").unwrap();
    std::os::unix::fs::symlink("nowhere", installation.enabled("dangling")).unwrap();
    let report = Report::of(installation.home(), &[]);
    assert_eq!((report.status, &report.document["refused"]), (REFUSED, &Value::from(4)), "{report:?}");
    assert_eq!(report.ids("text"), BTreeSet::from(["protocol.library.not_a_library"]));
    assert_eq!(report.ids("dangling"), BTreeSet::from(["protocol.discovery.dangling_link"]));
    let start = Host::refused(&installation);
    assert_eq!(start.status, REFUSED);
    for told in report.document["protocols"].as_array().unwrap() {
        for diagnostic in told["diagnostics"].as_array().unwrap() {
            let id = diagnostic["id"].as_str().unwrap();
            assert!(start.log.contains(id), "start does not tell {id}:\n{}", start.log);
        }
    }
    assert_eq!(report.ids("mute"), BTreeSet::from(["protocol.library.missing_symbol"]));
    assert_eq!(
        report.ids("nameless"),
        BTreeSet::from([
            "plugin.manifest.missing_name",
            "plugin.manifest.version_mismatch",
            "protocol.library.missing_symbol",
        ])
    );
    assert_eq!(report.ids("good"), BTreeSet::new());
    assert_eq!(report.entry("good")["status"], "ok");
}

#[test]
fn nothing_is_executed_beside_a_protocol_that_is_refused() {
    let Some(installation) =
        broken("nothing_is_executed_beside_a_protocol_that_is_refused", &["-DWITHOUT_NOTIFY"])
    else {
        return;
    };
    let compiler = cc("it was there before").unwrap();
    installation.fixture("marking", &compiler, "minimal.c", &["-DMARKS"]);
    let mark = Host::mark(installation.home());
    assert_eq!(Report::of(installation.home(), &[]).status, REFUSED);
    assert!(!mark.exists(), "check has run the constructor");
    assert_eq!(Host::refused(&installation).status, REFUSED);
    assert!(!mark.exists(), "start has run the constructor");
}

#[test]
fn nothing_is_executed_to_look_at_a_protocol() {
    let Some(compiler) = cc("nothing_is_executed_to_look_at_a_protocol") else { return };
    let installation = Installation::new();
    installation.fixture("marking", &compiler, "minimal.c", &["-DMARKS"]);
    let mark = Host::mark(installation.home());
    let folder = installation.available("marking");
    let folder = folder.to_str().unwrap();
    for arguments in
        [&["check"][..], &["check", folder], &["list"], &["inspect", folder], &["disable", "marking"]]
    {
        let output = Host::run(installation.home(), arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        assert!(!mark.exists(), "{arguments:?} has run the constructor");
    }
}

/// Without this, the two tests before could pass because nothing leaves marks at all.
#[test]
fn the_constructor_of_a_protocol_runs_when_it_is_started() {
    let Some(compiler) = cc("the_constructor_of_a_protocol_runs_when_it_is_started") else { return };
    let installation = Installation::new();
    installation.fixture("marking", &compiler, "minimal.c", &["-DMARKS"]);
    let host = Host::start(&installation);
    assert!(Host::mark(installation.home()).exists());
    host.terminate().is_clean();
}

#[test]
fn failsafe_serves_without_what_is_refused_and_says_so() {
    let Some(installation) =
        broken("failsafe_serves_without_what_is_refused_and_says_so", &["-DWITHOUT_NOTIFY"])
    else {
        return;
    };
    installation.udp();
    let mut host = Host::spawn(&installation, &["--failsafe"]);
    let ready = host.wait_ready();
    assert_eq!(ready["protocols"].as_array().unwrap().len(), 1, "{ready}");
    assert_eq!(ready["protocols"][0]["name"], "udp");
    assert!(host.wait_log("FAILSAFE").contains("broken"));
    host.terminate().is_clean();
}

#[test]
fn refuses_a_rust_protocol_with_other_types_behind_a_correct_note() {
    let forged = patched::forged();
    let patches = [
        ("src/raw/note.rs", "table: LAYOUT,", forged.as_str()),
        ("src/raw/values.rs", "pub context: *mut c_void,", "pub context: *mut u8,"),
    ];
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol-abi");
    let library = patched::build(&sdk, "retyped-end-to-end", "\"abi_stable\"", &patches);
    let installation = Installation::new();
    installation.manifest("retyped");
    fs::copy(library, installation.library("retyped")).unwrap();
    installation.enable("retyped");
    assert!(Report::of(installation.home(), &[]).ids("retyped").is_empty(), "the file alone tells nothing");
    let log = Host::refused(&installation).log;
    assert!(
        log.contains("protocol.abi.layout_mismatch") && log.contains("kuzzle_completion.context"),
        "{log}"
    );
}
