//! The log of the host and its protocols: format, levels by target, reloading.

use kuzzle_tests::{Client, Finished, Host, Installation, UdpClient};
use serde_json::{Value, json};

/// What the fixture says at the level `info` when it is shut down.
const SAID: &str = "panicky is shut down";

/// Two protocols that say the same.
fn two() -> Installation {
    let installation = Installation::new();
    installation.rust("first", "kuzzle_fixture_panicky").rust("second", "kuzzle_fixture_panicky");
    installation
}

fn level(installation: &Installation, level: &str) {
    installation.configure(&json!({ "server": { "appLogs": { "level": level } } }));
}

/// Whether each of the two has said something.
fn said(ended: &Finished) -> [bool; 2] {
    ended.is_clean();
    ["first", "second"].map(|protocol| {
        ended.log.lines().any(|line| line.contains(SAID) && line.contains(&format!("protocol={protocol}")))
    })
}

#[test]
fn the_level_of_one_protocol_can_be_set() {
    let installation = two();
    level(&installation, "error,kuzzle::protocol::first=info");
    let mut host = Host::spawn_configured(&installation);
    host.wait_ready();
    let ended = host.terminate();
    assert_eq!(said(&ended), [true, false], "{}", ended.log);
    assert!(ended.log.contains("INFO kuzzle::protocol::first: "), "{}", ended.log);
    assert!(!ended.log.contains("listening"), "{}", ended.log);
}

#[test]
fn the_variable_counts_more_than_the_configuration() {
    let installation = two();
    level(&installation, "trace");
    let mut host = Host::spawn_with(&installation, |command| {
        command.env("KUZZLE_LOG", "off,kuzzle::protocol::second=debug")
    });
    host.wait_ready();
    assert_eq!(said(&host.terminate()), [false, true]);
}

#[test]
fn a_variable_that_is_no_level_is_told_and_ignored() {
    let installation = two();
    level(&installation, "warn,kuzzle::protocol::first=info");
    let mut host = Host::spawn_with(&installation, |command| command.env("KUZZLE_LOG", "inof"));
    host.wait_log("KUZZLE_LOG is ignored: it has \"inof\", which is no level");
    host.wait_ready();
    assert_eq!(said(&host.terminate()), [true, false]);
}

#[test]
fn levels_are_read_anew_on_sighup() {
    let installation = two();
    level(&installation, "error");
    let mut host = Host::spawn_configured(&installation);
    host.wait_ready();
    level(&installation, "warn,kuzzle_host::cli=info,kuzzle::protocol::second=info");
    host.signal("HUP");
    host.wait_log("the levels of the log are read anew");
    assert_eq!(said(&host.terminate()), [false, true]);
}

#[test]
fn a_wrong_configuration_is_told_on_sighup_and_changes_nothing() {
    let installation = two();
    let mut host = Host::spawn_configured(&installation);
    host.wait_ready();
    level(&installation, "inof");
    host.signal("HUP");
    let told = host.wait_log("the configuration is not read anew");
    assert!(told.contains("server.appLogs.level"), "{told}");
    assert_eq!(said(&host.terminate()), [true, true]);
}

#[test]
fn a_wrong_level_refuses_to_start() {
    let installation = Installation::new();
    level(&installation, "info,kuzzle::protocol=loud");
    let refused = Host::refused(&installation);
    assert_eq!(refused.status, Some(78));
    for text in
        ["error[core.configuration.invalid_type]", "\"server.appLogs.level\"", "\"loud\"", ".kuzzlerc"]
    {
        assert!(refused.log.contains(text), "{text:?} is not in the log:\n{}", refused.log);
    }
}

#[test]
fn json_logs_are_json_to_the_last_line() {
    let installation = two();
    installation.udp().configure(&json!({ "server": { "appLogs": { "format": "json" }, "nonsense": 1 } }));
    let mut host = Host::spawn_configured(&installation);
    UdpClient::connect(host.address("udp")).is_served();
    let ended = host.terminate();
    ended.is_clean();
    let lines: Vec<Value> = ended
        .log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line:?}")))
        .collect();
    let said = lines.iter().find(|line| line["message"] == SAID).expect("the protocol has said it");
    assert_eq!((&said["level"], &said["protocol"]), (&json!("INFO"), &said["protocol"]));
    assert_eq!(said["target"], format!("kuzzle::protocol::{}", said["protocol"].as_str().unwrap()));
    assert!(said["timestamp"].is_string());
    let warned = |line: &&Value| line["diagnostics"][0]["id"] == "core.configuration.unknown_key";
    assert_eq!(lines.iter().filter(warned).count(), 1, "{}", ended.log);
    assert_eq!(lines.iter().filter(|line| line["pid"].is_u64()).count(), 1, "the ready line");
}
