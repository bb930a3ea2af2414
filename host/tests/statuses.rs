//! The program's exit statuses, as the contract says.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::process::{Command, Output};

const EXIT_OK: i32 = 0;
const EXIT_FAILURE: i32 = 1;
const EXIT_USAGE: i32 = 2;
const EXIT_REFUSED: i32 = 78;

/// What comes of running the program where no configuration of a user is, and no variables are.
fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kuzzle-host"));
    let ours = |name: &str| name.to_ascii_lowercase().starts_with("kuzzle_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(ours)) {
        command.env_remove(name);
    }
    command.args(arguments).env("HOME", "/no/such/user").output().unwrap()
}

/// An installation without protocols.
fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join(".kuzzlerc"), "{}").unwrap();
    home
}

fn status(arguments: &[&str]) -> i32 {
    run(arguments).status.code().unwrap()
}

#[test]
fn statuses_are_those_of_the_contract() {
    let folder = home();
    let home = folder.path().to_str().unwrap();
    let wrong = folder.path().join("wrong");
    fs::write(&wrong, "{").unwrap();
    let wrong = wrong.to_str().unwrap();
    for command in ["start", "check", "list", "enable", "disable", "inspect", "config", "completions", "man"]
    {
        assert_eq!(status(&[command, "--help"]), EXIT_OK, "{command}");
        assert_eq!(status(&[command, "--no-such-flag"]), EXIT_USAGE, "{command}");
    }
    for arguments in [
        &["--version"][..],
        &["--home", home, "check"],
        &["list", "--home", home],
        &["config", "--home", home, "--format", "json"],
        &["completions", "bash"],
        &["man"],
    ] {
        assert_eq!(status(arguments), EXIT_OK, "{arguments:?}");
    }
    for arguments in [
        &[][..],
        &["no-such-command"],
        &["check", "--format", "xml"],
        &["check", "--set", "no-value"],
        &["check", "--set", "a..b=1"],
        &["enable"],
        &["completions", "no-such-shell"],
    ] {
        assert_eq!(status(arguments), EXIT_USAGE, "{arguments:?}");
    }
    for arguments in [
        &["check", "--home", "/no/such/folder"][..],
        &["start", "--home", "/no/such/folder"],
        &["enable", "--home", home, "no-such-protocol"],
        &["man", "/proc/no/such/folder"],
    ] {
        assert_eq!(status(arguments), EXIT_FAILURE, "{arguments:?}");
    }
    for arguments in [
        &["check", "--home", home, "--config", "/no/such/file"][..],
        &["start", "--home", home, "--config", wrong],
        &["--config", wrong, "--home", home, "check", "--format", "json"],
        &["config", "--home", home, "--set", "server.port=no"],
    ] {
        assert_eq!(status(arguments), EXIT_REFUSED, "{arguments:?}");
    }
}

#[test]
fn an_absent_file_that_is_named_is_told_in_the_one_document_of_check() {
    let home = home();
    let home = home.path().to_str().unwrap();
    let output = run(&["--config", "/no/such/file", "check", "--home", home, "--format", "json"]);
    assert_eq!(output.status.code(), Some(EXIT_REFUSED));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["diagnostics"][0]["id"], "core.configuration.cannot_parse");
    assert_eq!(document["diagnostics"][0]["path"], "/no/such/file");
}

#[test]
fn warnings_count_only_with_strict() {
    let home = home();
    let home = home.path().to_str().unwrap();
    let arguments = ["check", "--home", home, "--set", "server.prot=1"];
    assert_eq!(status(&arguments), EXIT_OK);
    let output = run(&[&arguments[..], &["--strict"]].concat());
    assert_eq!(output.status.code(), Some(EXIT_REFUSED));
    assert!(String::from_utf8_lossy(&output.stdout).contains("Did you mean \"server.port\"?"));
}
