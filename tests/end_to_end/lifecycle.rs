//! `init` and `start`: the gate, and what happens when they fail, panic or hang.

use std::time::Duration;

use kuzzle_tests::{Client, Finished, Host, Installation, UdpClient, cc};
use serde_json::json;

const REFUSED: Option<i32> = Some(78);

/// An installation with `udp` and the protocol `faulty`, a fixture with these options.
fn faulty(test: &str, options: serde_json::Value) -> Option<Installation> {
    let compiler = cc(test)?;
    let installation = Installation::new();
    installation.udp();
    installation.fixture("faulty", &compiler, "minimal.c", &[]).options("faulty", &options);
    Some(installation)
}

/// An installation with `udp` and the Rust fixture `panicky`.
fn panicky(panic_in: &str) -> Installation {
    let installation = Installation::new();
    installation.udp();
    installation.rust("panicky", "kuzzle_fixture_panicky");
    installation.options("panicky", &json!({ "panicIn": panic_in }));
    installation
}

fn says(host: &Finished, texts: &[&str]) {
    for text in texts {
        assert!(host.log.contains(text), "{text:?} is not in the log:\n{}", host.log);
    }
}

#[test]
fn an_init_that_fails_refuses_to_start_and_its_reason_is_shown() {
    let test = "an_init_that_fails_refuses_to_start_and_its_reason_is_shown";
    let Some(installation) = faulty(test, json!({ "init": "fail" })) else { return };
    let host = Host::refused(&installation);
    assert_eq!(host.status, REFUSED, "{}", host.log);
    says(&host, &["protocol.runtime.init_failed", "\"faulty\"", "the cellar is flooded"]);
    assert!(!host.log.contains("shutdown was called"), "its init has failed:\n{}", host.log);
}

#[test]
fn protocols_that_were_initialised_are_shut_down_in_reverse_when_another_fails() {
    let test = "protocols_that_were_initialised_are_shut_down_in_reverse_when_another_fails";
    let Some(installation) = faulty(test, json!({ "init": "fail" })) else { return };
    let compiler = cc(test).unwrap();
    installation.fixture("alpha", &compiler, "minimal.c", &[]);
    installation.fixture("beta", &compiler, "minimal.c", &[]);
    let host = Host::refused(&installation);
    assert_eq!(host.status, REFUSED, "{}", host.log);
    let shutdowns: Vec<_> = host.log.lines().filter(|line| line.contains("shutdown was called")).collect();
    let [first, second] = shutdowns[..] else { panic!("two have shutdown:\n{}", host.log) };
    assert!(first.contains("beta") && second.contains("alpha"), "{shutdowns:?}");
}

#[test]
fn an_init_that_panics_refuses_to_start() {
    let host = Host::refused(&panicky("init"));
    assert_eq!(host.status, REFUSED, "{}", host.log);
    says(&host, &["protocol.runtime.init_panicked", "\"panicky\"", "panicky panics in init"]);
}

#[test]
fn an_init_that_hangs_refuses_to_start_in_bounded_time() {
    let test = "an_init_that_hangs_refuses_to_start_in_bounded_time";
    let Some(installation) = faulty(test, json!({ "init": "hang" })) else { return };
    installation.configure(&json!({ "services": { "common": { "defaultInitTimeout": 300 } } }));
    let host = Host::refused(&installation);
    assert_eq!(host.status, REFUSED, "{}", host.log);
    says(&host, &["protocol.runtime.init_timeout", "\"faulty\"", "300 ms"]);
    assert!(host.took < Duration::from_secs(4), "{:?}", host.took);
}

#[test]
fn a_start_that_fails_refuses_to_start_and_its_reason_is_shown() {
    let test = "a_start_that_fails_refuses_to_start_and_its_reason_is_shown";
    let Some(installation) = faulty(test, json!({ "start": "fail" })) else { return };
    let host = Host::refused(&installation);
    assert_eq!(host.status, REFUSED, "{}", host.log);
    says(
        &host,
        &["protocol.runtime.start_failed", "\"faulty\"", "the doors are stuck", "shutdown was called"],
    );
}

#[test]
fn a_start_that_panics_refuses_to_start() {
    let host = Host::refused(&panicky("start"));
    assert_eq!(host.status, REFUSED, "{}", host.log);
    says(&host, &["protocol.runtime.start_failed", "\"panicky\"", "panicky panics in start"]);
}

fn failsafe_serves_without(panic_in: &str) {
    let installation = panicky(panic_in);
    let mut host = Host::spawn(&installation, &["--failsafe"]);
    assert!(host.wait_log("FAILSAFE").contains("panicky"));
    UdpClient::connect(host.address("udp")).is_served();
    host.terminate().is_clean();
}

#[test]
fn failsafe_serves_without_a_protocol_that_panics_in_init() {
    failsafe_serves_without("init");
}

#[test]
fn failsafe_serves_without_a_protocol_that_panics_in_start() {
    failsafe_serves_without("start");
}

fn gate(test: &str) -> Option<Finished> {
    let compiler = cc(test)?;
    let installation = Installation::new();
    installation.udp().options("udp", &json!({ "host": "127.0.0.1" }));
    installation.fixture("gate", &compiler, "gate.c", &[]);
    installation.options("gate", &json!({ "key": "own", "onPanic": "stop" }));
    let host = Host::start(&installation).terminate();
    host.is_clean();
    Some(host)
}

#[test]
fn clients_can_be_declared_in_start_but_not_in_init() {
    let Some(host) = gate("clients_can_be_declared_in_start_but_not_in_init") else { return };
    says(&host, &["new_connection in init: 8 ", "new_connection in start: 0 "]);
}

#[test]
fn requests_without_a_client_can_be_executed_in_init() {
    let Some(host) = gate("requests_without_a_client_can_be_executed_in_init") else { return };
    says(&host, &["execute in init: 0 "]);
}

#[test]
fn a_protocol_sees_no_options_but_its_own() {
    let Some(host) = gate("a_protocol_sees_no_options_but_its_own") else { return };
    let line = host.log.lines().nth(host.line_of("config: ")).unwrap();
    let (_, json) = line.split_once("config: ").unwrap();
    let config = serde_json::Deserializer::from_str(json).into_iter::<serde_json::Value>().next();
    let config = config.unwrap().unwrap();
    assert_eq!(config["protocols"], json!({ "gate": { "key": "own" } }), "{config}");
    assert_eq!(config["port"], 7512);
}

#[test]
fn a_protocol_that_panics_in_a_callback_during_start_refuses_to_start() {
    let installation = Installation::new();
    installation.rust("panicky", "kuzzle_fixture_panicky");
    installation.options("panicky", &json!({ "panicIn": "completion", "askInStart": true }));
    let host = Host::refused(&installation);
    assert_eq!(host.status, Some(78), "{}", host.log);
    assert!(host.log.contains("error[protocol.runtime.start_failed]"), "{}", host.log);
    assert!(host.log.contains("panicky is shut down"), "it is shut down all the same:\n{}", host.log);
}
