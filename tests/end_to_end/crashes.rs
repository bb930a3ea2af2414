//! A crash ends the host, which says whose it was.

use kuzzle_tests::{Client, Finished, Host, Installation, LineClient, cc};
use serde_json::json;

const PUBLISH: &str =
    r#"{"controller":"realtime","action":"publish","index":"i","collection":"c","body":{}}"#;

/// Linux' numbers.
const SIGABRT: i32 = 6;
const SIGSEGV: i32 = 11;

/// Runs a host with `line` and the fixture `crashing` until that has crashed in this way.
fn crashed(test: &str, how: &str) -> Option<Finished> {
    let compiler = cc(test)?;
    let installation = Installation::new();
    installation.line(&compiler).fixture("crashing", &compiler, "crashing.c", &[]);
    installation.options("crashing", &json!({ "how": how }));
    if how == "thread" {
        return Some(Host::spawn(&installation, &[]).wait());
    }
    let mut host = Host::start(&installation);
    let mut line = LineClient::connect(host.address("line"));
    line.subscribe("i", "c");
    line.send_text(PUBLISH);
    Some(host.wait())
}

/// The one line that tells of the crash.
fn told(host: &Finished) -> &str {
    let told: Vec<_> = host.log.lines().filter(|line| line.contains("kuzzle-host: fatal signal")).collect();
    assert_eq!(told.len(), 1, "{}", host.log);
    told[0]
}

#[test]
fn a_crash_in_the_code_of_a_protocol_names_protocol_function_and_place() {
    let test = "a_crash_in_the_code_of_a_protocol_names_protocol_function_and_place";
    let Some(host) = crashed(test, "write") else { return };
    assert_eq!(host.signal, Some(SIGSEGV), "the default action follows:\n{}", host.log);
    let told = told(&host);
    let expected = "fatal signal 11 (SIGSEGV) in the code of protocol \"crashing\", in broadcast, at libcrashing.so + 0x";
    assert!(told.contains(expected), "{told}");
    assert!(told.ends_with("Report this to the authors of \"crashing\", or disable the protocol."), "{told}");
}

#[test]
fn a_crash_in_a_library_that_a_protocol_called_names_the_protocol() {
    let test = "a_crash_in_a_library_that_a_protocol_called_names_the_protocol";
    for how in ["library", "jump"] {
        let Some(host) = crashed(test, how) else { return };
        assert_eq!(host.signal, Some(SIGSEGV), "{}", host.log);
        assert!(told(&host).contains("while protocol \"crashing\" was in broadcast, at 0x"), "{}", host.log);
    }
}

#[test]
fn a_protocol_that_aborts_is_named() {
    let Some(host) = crashed("a_protocol_that_aborts_is_named", "abort") else { return };
    assert_eq!(host.signal, Some(SIGABRT), "{}", host.log);
    let told = told(&host);
    assert!(told.contains("6 (SIGABRT) while protocol \"crashing\" was in broadcast"), "{told}");
}

#[test]
fn a_trap_ends_the_host_too() {
    let Some(host) = crashed("a_trap_ends_the_host_too", "trap") else { return };
    assert!(matches!(host.signal, Some(4 | 5)), "SIGTRAP, or SIGILL elsewhere:\n{}", host.log);
    assert!(told(&host).contains("in the code of protocol \"crashing\", in broadcast"), "{}", host.log);
}

#[test]
fn a_protocol_that_uses_up_its_stack_is_named() {
    let Some(host) = crashed("a_protocol_that_uses_up_its_stack_is_named", "overflow") else { return };
    assert!(host.signal.is_some(), "{}", host.log);
    assert!(told(&host).contains("in the code of protocol \"crashing\", in broadcast"), "{}", host.log);
    assert!(host.log.contains("has overflowed its stack"), "Rust's own handler comes next:\n{}", host.log);
}

#[test]
fn a_crash_in_a_thread_of_a_protocols_own_is_told_by_its_place() {
    let test = "a_crash_in_a_thread_of_a_protocols_own_is_told_by_its_place";
    let Some(host) = crashed(test, "thread") else { return };
    assert_eq!(host.signal, Some(SIGSEGV), "{}", host.log);
    let expected =
        "in the code of protocol \"crashing\", in none of the host's calls, at libcrashing.so + 0x";
    assert!(told(&host).contains(expected), "{}", host.log);
}

#[test]
fn a_crash_while_a_library_is_loaded_names_the_protocol() {
    let test = "a_crash_while_a_library_is_loaded_names_the_protocol";
    let Some(compiler) = cc(test) else { return };
    let installation = Installation::new();
    installation.fixture("crashing", &compiler, "crashing.c", &["-DIN_CONSTRUCTOR"]);
    let host = Host::spawn(&installation, &[]).wait();
    assert_eq!(host.signal, Some(SIGSEGV), "{}", host.log);
    let told = told(&host);
    assert!(told.contains("while protocol \"crashing\" was in its library's constructors"), "{told}");
}

#[test]
fn a_fatal_signal_from_outside_blames_no_protocol() {
    let installation = Installation::new();
    let host = Host::start(&installation);
    host.signal("SEGV");
    let host = host.wait();
    assert_eq!(host.signal, Some(SIGSEGV), "{}", host.log);
    assert!(told(&host).contains("while this thread was in no protocol's code"), "{}", host.log);
}
