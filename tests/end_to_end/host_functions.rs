//! What the host answers to a protocol that uses its functions wrongly, or too late.

use kuzzle_tests::{Finished, Host, Installation, cc};
use serde_json::json;

/// The log of the fixture `probing`, from its start to its end.
fn probed(test: &str) -> Option<Finished> {
    let compiler = cc(test)?;
    let installation = Installation::new();
    installation.fixture("probing", &compiler, "probing.c", &[]);
    installation.options("probing", &json!({ "number": 1, "nested": { "number": 2 } }));
    let host = Host::start(&installation).terminate();
    host.is_clean();
    Some(host)
}

/// Each of these lines stands in the log.
fn says(host: &Finished, lines: &[&str]) {
    for line in lines {
        let line = format!("kuzzle::protocol::probing: {line} protocol=probing");
        assert!(host.log.contains(&line), "{line:?} is not in the log:\n{}", host.log);
    }
}

#[test]
fn descriptions_of_clients_are_checked() {
    let Some(host) = probed("descriptions_of_clients_are_checked") else { return };
    says(
        &host,
        &[
            "connection without a size: 3",
            "connection without a place: 3",
            "connection with null ips: 3",
            "connection with a label that is no text: 3",
            "connection without info: 3",
            "handle after failures: 77",
        ],
    );
}

#[test]
fn handles_are_checked() {
    let Some(host) = probed("handles_are_checked") else { return };
    says(
        &host,
        &[
            "removal of nobody: 7",
            "removal of somebody made up: 7",
            "removal: 0",
            "removal again: 7",
            "request of one who was removed: 7",
            "request of somebody made up: 7",
        ],
    );
}

#[test]
fn requests_are_checked() {
    let Some(host) = probed("requests_are_checked") else { return };
    says(
        &host,
        &[
            "request without a size: 3",
            "no request: 3",
            "request without completion: 3",
            "request without a document: 4",
            "request with null parts: 3",
            "request that is no JSON: 4",
        ],
    );
}

#[test]
fn an_error_tells_the_request_and_can_be_released() {
    let Some(host) = probed("an_error_tells_the_request_and_can_be_released") else { return };
    says(
        &host,
        &[
            "invalid request: 5 5 mine, Attribute controller must be of type \"string\"",
            "error after release: 1 1",
        ],
    );
}

#[test]
fn options_errors_and_extensions_are_found_or_not() {
    let Some(host) = probed("options_errors_and_extensions_are_found_or_not") else { return };
    says(
        &host,
        &[
            "option that is absent: 12",
            "option of another type: 13",
            "option: 0",
            "option of another: 12",
            "error info without a size: 3",
            "unknown error: 12",
            "error: 0",
            "error info: 33685506 503 ServiceUnavailableError",
            "unknown extension: 1",
        ],
    );
}

#[test]
fn during_the_end_no_clients_can_be_declared_and_after_shutdown_nothing_can_be_done() {
    let test = "during_the_end_no_clients_can_be_declared_and_after_shutdown_nothing_can_be_done";
    let Some(host) = probed(test) else { return };
    says(
        &host,
        &[
            "disconnect: reason 2",
            "is_shutting_down: 1",
            "new_connection during the end: 10",
            "new_connection in shutdown: 11",
            "execute in shutdown: 11",
            "remove_connection in shutdown: 11",
        ],
    );
}
