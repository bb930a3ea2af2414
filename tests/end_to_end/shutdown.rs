//! The end of a host.

use std::io::{self, Write};
use std::thread;
use std::time::{Duration, Instant};

use kuzzle_tests::{Client, Host, Installation, LineClient, UdpClient, cc};
use serde_json::json;

/// How long a host may take that has nothing to wait for. The design says a second; slow machines
/// with many tests at once get more.
const SOON: Duration = Duration::from_secs(3);

fn ends_soon(signal: &str) {
    let installation = Installation::new();
    let host = Host::start(&installation);
    host.signal(signal);
    let host = host.wait();
    host.is_clean();
    assert!(host.took < SOON, "{:?}", host.took);
    assert_eq!(host.output, "", "start has no result to print");
}

#[test]
fn sigterm_ends_an_idle_host() {
    ends_soon("TERM");
}

#[test]
fn sigint_ends_an_idle_host() {
    ends_soon("INT");
}

#[test]
fn clients_see_the_end_and_the_host_does_not_wait_for_the_deadline() {
    let test = "clients_see_the_end_and_the_host_does_not_wait_for_the_deadline";
    let Some(compiler) = cc(test) else { return };
    let installation = Installation::new();
    installation.line(&compiler).udp();
    let mut host = Host::start(&installation);
    let mut clients: Vec<_> = (0..50).map(|_| LineClient::connect(host.address("line"))).collect();
    for client in &mut clients {
        client.subscribe("i", "c");
    }
    let host = host.terminate();
    host.is_clean();
    assert!(host.took < SOON, "{:?}", host.took);
    for client in &mut clients {
        assert!(client.try_receive().is_none(), "the connection is closed");
    }
}

#[test]
fn what_was_published_before_the_end_still_reaches_the_others() {
    let test = "what_was_published_before_the_end_still_reaches_the_others";
    let Some(compiler) = cc(test) else { return };
    let installation = Installation::new();
    installation.line(&compiler).udp();
    let mut host = Host::start(&installation);
    let mut subscriber = LineClient::connect(host.address("line"));
    subscriber.subscribe("i", "c");
    let mut publisher = UdpClient::connect(host.address("udp"));
    let answer = publisher.request(&json!({
        "controller": "realtime", "action": "publish", "index": "i", "collection": "c", "body": { "n": 1 },
    }));
    assert_eq!(answer["status"], 200);
    host.terminate().is_clean();
    assert_eq!(subscriber.receive()["result"]["_source"]["n"], 1);
    assert!(subscriber.try_receive().is_none());
}

#[test]
fn a_protocol_without_shutdown_is_no_hindrance() {
    let Some(compiler) = cc("a_protocol_without_shutdown_is_no_hindrance") else { return };
    let installation = Installation::new();
    installation.fixture("simple", &compiler, "minimal.c", &["-DWITHOUT_SHUTDOWN", "-DWITHOUT_START"]);
    let host = Host::start(&installation).terminate();
    host.is_clean();
    assert!(host.took < SOON, "{:?}", host.took);
}

#[test]
fn a_shutdown_that_hangs_is_named_and_given_up() {
    let Some(compiler) = cc("a_shutdown_that_hangs_is_named_and_given_up") else { return };
    let installation = Installation::new();
    installation.fixture("stuck", &compiler, "minimal.c", &[]);
    installation.options("stuck", &json!({ "shutdown": "hang" }));
    installation.configure(&json!({ "server": { "shutdownTimeout": 300 } }));
    let host = Host::start(&installation).terminate();
    assert_eq!(host.status, Some(1), "{}", host.log);
    let line = host.log.lines().nth(host.line_of("not everything ended in time")).unwrap();
    assert!(line.contains("stuck") && line.contains("shutdown"), "{line}");
    assert!(host.took < SOON, "{:?}", host.took);
}

#[test]
fn a_callback_that_hangs_is_named_and_given_up() {
    let Some(compiler) = cc("a_callback_that_hangs_is_named_and_given_up") else { return };
    let installation = Installation::new();
    installation.udp().fixture("stuck", &compiler, "minimal.c", &[]);
    installation.options("stuck", &json!({ "broadcast": "hang" }));
    installation.configure(&json!({ "server": { "shutdownTimeout": 300 } }));
    let mut host = Host::start(&installation);
    let mut client = UdpClient::connect(host.address("udp"));
    client.subscribe("i", "c");
    client.send(&json!({
        "controller": "realtime", "action": "publish", "index": "i", "collection": "c", "body": {}
    }));
    host.wait_log("broadcast hangs");
    let host = host.terminate();
    assert_eq!(host.status, Some(1), "{}", host.log);
    let line = host.log.lines().nth(host.line_of("not everything ended in time")).unwrap();
    assert!(line.contains("stuck") && line.contains("broadcast"), "{line}");
    assert!(host.took < SOON, "{:?}", host.took);
}

#[test]
fn a_host_under_load_ends_in_order() {
    let Some(compiler) = cc("a_host_under_load_ends_in_order") else { return };
    let installation = Installation::new();
    installation.line(&compiler).udp();
    let mut host = Host::start(&installation);
    let address = host.address("line");
    let mut watcher = UdpClient::connect(host.address("udp"));
    watcher.subscribe("i", "c");
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let mut client = LineClient::connect(address);
            client.subscribe("i", "c");
            let mut stream = client.stream();
            let publish = "{\"controller\":\"realtime\",\"action\":\"publish\",\"index\":\"i\",\
                           \"collection\":\"c\",\"body\":{}}\n"
                .repeat(20);
            let writer = thread::spawn(move || while stream.write_all(publish.as_bytes()).is_ok() {});
            let reader = thread::spawn(move || io::copy(&mut client.stream(), &mut io::sink()));
            (writer, reader)
        })
        .collect();
    // The load is on: messages of others come.
    (0..100).for_each(|_| drop(watcher.receive()));
    let host = host.terminate();
    host.is_clean();
    for (writer, reader) in clients {
        writer.join().unwrap();
        let _ = reader.join().unwrap();
    }
    let line = host.log.lines().nth(host.line_of("payload references of protocols")).unwrap();
    let count = |name: &str| line.split_once(&format!("{name}=")).unwrap().1.split(' ').next().unwrap();
    assert_eq!(count("retained"), count("released"), "{line}");
}

#[test]
fn protocols_are_shut_down_in_reverse() {
    let Some(compiler) = cc("protocols_are_shut_down_in_reverse") else { return };
    let installation = Installation::new();
    for name in ["a", "b", "c"] {
        installation.fixture(name, &compiler, "minimal.c", &[]);
    }
    let host = Host::start(&installation).terminate();
    host.is_clean();
    let order: Vec<_> = host
        .log
        .lines()
        .filter(|line| line.contains("shutdown was called"))
        .map(|line| line.split("protocol=").nth(1).unwrap().chars().next().unwrap())
        .collect();
    assert_eq!(order, ['c', 'b', 'a'], "{}", host.log);
}

#[test]
fn a_second_signal_ends_a_shutdown_that_hangs() {
    let Some(compiler) = cc("a_second_signal_ends_a_shutdown_that_hangs") else { return };
    let installation = Installation::new();
    installation.fixture("stuck", &compiler, "minimal.c", &[]);
    installation.options("stuck", &json!({ "shutdown": "hang" }));
    installation.configure(&json!({ "server": { "shutdownTimeout": 60_000 } }));
    let mut host = Host::start(&installation);
    host.signal("TERM");
    host.wait_log("shutdown was called");
    let asked = Instant::now();
    let host = host.terminate();
    assert_ne!(host.status, Some(0), "{}", host.log);
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
}

#[test]
fn a_signal_during_init_ends_the_host() {
    let Some(compiler) = cc("a_signal_during_init_ends_the_host") else { return };
    let installation = Installation::new();
    installation.fixture("slow", &compiler, "minimal.c", &[]);
    installation.fixture("quick", &compiler, "minimal.c", &[]);
    installation.options("slow", &json!({ "init": "hang" }));
    let mut host = Host::spawn(&installation, &[]);
    assert!(host.wait_log("init was called").contains("quick"));
    let host = host.terminate();
    host.is_clean();
    assert!(host.took < SOON, "{:?}", host.took);
}

#[test]
fn nobody_is_started_once_the_end_has_begun() {
    let Some(compiler) = cc("nobody_is_started_once_the_end_has_begun") else { return };
    let installation = Installation::new();
    for name in ["quick", "slow"] {
        installation.fixture(name, &compiler, "minimal.c", &[]);
    }
    // The end lasts longer than the init that runs when it begins.
    installation.options("quick", &json!({ "shutdown": "slow" }));
    installation.options("slow", &json!({ "init": "slow" }));
    let mut host = Host::spawn(&installation, &[]);
    host.wait_log("init was called");
    let host = host.terminate();
    host.is_clean();
    assert!(!host.log.contains("start was called"), "{}", host.log);
}

#[test]
fn a_start_that_runs_when_the_end_begins_is_waited_for() {
    let Some(compiler) = cc("a_start_that_runs_when_the_end_begins_is_waited_for") else { return };
    let installation = Installation::new();
    installation.fixture("slow", &compiler, "minimal.c", &[]);
    installation.options("slow", &json!({ "start": "slow" }));
    let mut host = Host::spawn(&installation, &[]);
    host.wait_log("start was called");
    let host = host.terminate();
    host.is_clean();
    assert!(host.log.contains("shutdown was called"), "{}", host.log);
}
