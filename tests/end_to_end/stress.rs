//! Many clients and messages at once: nothing is lost, nothing comes out of order, nothing is left.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use kuzzle_tests::{Client, DEADLINE, Host, Installation, LineClient, UdpClient, cc};
use serde_json::{Value, json};

fn publish(publisher: usize, number: usize) -> Value {
    json!({
        "controller": "realtime", "action": "publish", "index": "i", "collection": "c",
        "body": { "publisher": publisher, "number": number },
    })
}

/// Checks that a client gets all messages of each publisher in their order.
fn hears_all(subscriber: &mut LineClient, publishers: usize, each: usize) {
    let mut next = vec![0; publishers];
    for _ in 0..publishers * each {
        let message = subscriber.receive();
        let source = &message["result"]["_source"];
        let number = |name: &str| source[name].as_u64().unwrap_or_else(|| panic!("{message}")) as usize;
        let publisher = number("publisher");
        assert_eq!(number("number"), next[publisher], "of publisher {publisher}");
        next[publisher] += 1;
    }
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < DEADLINE, "{what}");
        thread::yield_now();
    }
}

#[test]
fn publishers_of_three_protocols_are_heard_in_order_while_clients_are_killed() {
    const SUBSCRIBERS: usize = 3;
    const EACH: usize = 400;
    let test = "publishers_of_three_protocols_are_heard_in_order_while_clients_are_killed";
    let Some(compiler) = cc(test) else { return };
    let installation = Installation::new();
    installation.line(&compiler).udp().rust("third", "kuzzle_fixture_panicky");
    installation.options("third", &json!({ "panicIn": "nowhere" }));
    let mut host = Host::start(&installation);
    let addresses = ["line", "udp", "third"].map(|name| host.address(name));
    let mut publishers: Vec<Box<dyn Client + Send>> = vec![
        Box::new(LineClient::connect(addresses[0])),
        Box::new(LineClient::connect(addresses[0])),
        Box::new(UdpClient::connect(addresses[1])),
        Box::new(UdpClient::connect(addresses[1])),
        Box::new(UdpClient::connect(addresses[2])),
        Box::new(UdpClient::connect(addresses[2])),
    ];
    let count = publishers.len();
    let mut subscribers: Vec<_> = (0..SUBSCRIBERS).map(|_| LineClient::connect(addresses[0])).collect();
    let (room, _) = subscribers.iter_mut().map(|client| client.subscribe("i", "c")).last().unwrap();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let mut client = LineClient::connect(addresses[0]);
                    client.send(&json!({
                        "controller": "realtime", "action": "subscribe", "index": "i", "collection": "c",
                        "body": {}, "users": "all",
                    }));
                    (0..20).for_each(|_| client.send(&json!({ "controller": "server", "action": "now" })));
                    client.receive_text();
                    client.send_bytes(b"{\"half");
                    drop(client);
                }
            });
        }
        for subscriber in &mut subscribers {
            scope.spawn(move || hears_all(subscriber, count, EACH));
        }
        thread::scope(|scope| {
            for (number, publisher) in publishers.iter_mut().enumerate() {
                scope.spawn(move || {
                    for message in 0..EACH {
                        let answer = publisher.request(&publish(number, message));
                        assert_eq!(answer["status"], 200, "{answer}");
                    }
                });
            }
        });
        over.store(true, Ordering::Relaxed);
    });
    subscribers.iter_mut().for_each(Client::is_served);
    drop(subscribers);
    let mut witness = LineClient::connect(addresses[0]);
    wait_until("somebody is left in the room", || witness.count(&room) == 0);
    let list = witness.request(&json!({ "controller": "realtime", "action": "list" }));
    assert_eq!(list["result"], json!({}), "{list}");
    let info = witness.request(&json!({ "controller": "server", "action": "info" }));
    let protocols = &info["result"]["serverInfo"]["kuzzle"]["protocols"];
    assert_eq!(protocols.as_array().unwrap().len(), 3, "all serve: {protocols}");
    let host = host.terminate();
    host.is_clean();
    assert!(!host.log.contains("dropped"), "{}", host.log);
}

#[test]
fn a_thousand_clients_that_vanish_at_once_are_forgotten() {
    const CLIENTS: usize = 1000;
    let Some(compiler) = cc("a_thousand_clients_that_vanish_at_once_are_forgotten") else { return };
    let installation = Installation::new();
    installation.line(&compiler).options("line", &json!({ "maxClients": CLIENTS + 1 }));
    let mut host = Host::start(&installation);
    let address = host.address("line");
    let mut witness = LineClient::connect(address);
    let (room, _) = witness.subscribe_with(&json!({ "index": "i", "collection": "c", "users": "out" }));
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| LineClient::connect(address)).collect();
    let subscribe = json!({ "index": "i", "collection": "c", "scope": "in" });
    clients.iter_mut().for_each(|client| drop(client.subscribe_with(&subscribe)));
    assert_eq!(witness.count(&room), CLIENTS as u64 + 1);
    drop(clients);
    for left in (1..=CLIENTS).rev() {
        let notification = witness.receive();
        assert_eq!((&notification["user"], &notification["result"]["count"]), (&json!("out"), &json!(left)));
    }
    assert_eq!(witness.count(&room), 1);
    host.terminate().is_clean();
}

/// The memory of a process in bytes.
#[cfg(target_os = "linux")]
fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[test]
#[cfg(target_os = "linux")]
fn a_subscriber_that_never_reads_costs_bounded_memory_and_holds_up_nobody() {
    const MESSAGES: usize = 100_000;
    const MOST: u64 = 24 << 20;
    let test = "a_subscriber_that_never_reads_costs_bounded_memory_and_holds_up_nobody";
    let Some(compiler) = cc(test) else { return };
    let installation = Installation::new();
    installation.line(&compiler);
    let mut host = Host::start(&installation);
    let address = host.address("line");
    let mut deaf = LineClient::connect(address);
    let (room, _) = deaf.subscribe("i", "c");
    let mut publisher = LineClient::connect(address);
    let mut other = LineClient::connect(address);
    other.is_served();
    let before = memory(host.pid());
    let mut most = before;
    let line = format!("{}\n", publish(0, 0));
    let mut stream = publisher.stream();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(move || {
            let lines = line.repeat(1000);
            (0..MESSAGES / 1000).for_each(|_| stream.write_all(lines.as_bytes()).unwrap());
        });
        scope.spawn(|| {
            (0..MESSAGES).for_each(|_| assert!(publisher.receive_text().contains("\"status\":200")));
            over.store(true, Ordering::Relaxed);
        });
        while !over.load(Ordering::Relaxed) {
            let asked = Instant::now();
            other.is_served();
            assert!(asked.elapsed().as_secs() < 3, "another client waited for {:?}", asked.elapsed());
            most = most.max(memory(host.pid()));
        }
    });
    println!("{} KiB more", (most - before) >> 10);
    assert!(most - before < MOST, "the host has grown by {} KiB", (most - before) >> 10);
    wait_until("the one that does not read is not cut off", || other.count(&room) == 0);
    drop(deaf);
    host.terminate().is_clean();
}
