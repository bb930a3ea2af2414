//! `server:metrics`, `server:healthCheck` and statistics, over real protocols.

use kuzzle_tests::{Client, Host, Installation, LineClient, UdpClient, cc, wait_for};
use serde_json::{Value, json};

fn server(client: &mut dyn Client, action: &str) -> Value {
    client.request(&json!({ "controller": "server", "action": action }))
}

#[test]
fn metrics_count_what_happens_in_each_protocol() {
    let Some(compiler) = cc("metrics_count_what_happens_in_each_protocol") else { return };
    let installation = Installation::new();
    installation.line(&compiler).udp();
    let mut host = Host::start(&installation);
    let mut line = LineClient::connect(host.address("line"));
    let mut udp = UdpClient::connect(host.address("udp"));
    let (_, channel) = udp.subscribe("i", "c");
    line.send_text("nonsense");
    line.receive();
    server(&mut line, "unknown");
    line.request(&json!({
        "controller": "realtime", "action": "publish", "index": "i", "collection": "c", "body": {}
    }));
    assert_eq!(udp.receive()["room"], channel.as_str());

    let metrics = server(&mut line, "metrics")["result"].take();
    assert_eq!(metrics["api"], json!({ "concurrentRequests": 1, "pendingRequests": 0 }));
    assert_eq!(metrics["network"]["connections"], json!({ "line": 1, "udp": 1 }));
    assert_eq!(metrics["realtime"], json!({ "rooms": 1, "subscriptions": 1 }));
    let protocols = &metrics["protocols"];
    assert_eq!(protocols["line"]["requests"], json!({ "200": 1, "400": 1, "404": 1 }), "{protocols}");
    assert_eq!(protocols["udp"]["requests"], json!({ "200": 1 }));
    assert!(protocols["udp"]["notifications"].as_u64() >= Some(1), "{protocols}");
    for protocol in ["line", "udp"] {
        let protocol = &protocols[protocol];
        assert_eq!((&protocol["suspended"], &protocol["state"]), (&json!(false), &json!("initialised")));
        for (count, expected) in [("connections", 1), ("dropped", 0), ("panics", 0)] {
            assert_eq!(protocol[count], expected, "{count}: {protocol}");
        }
        assert!(protocol["slowCalls"].is_u64(), "{protocol}");
    }
    drop(line);
    wait_for("the client to be gone", || {
        let metrics = server(&mut udp, "metrics");
        (metrics["result"]["network"]["connections"] == json!({ "udp": 1 })).then_some(())
    });
}

#[test]
fn frames_of_statistics_are_taken_at_intervals() {
    let installation = Installation::new();
    installation.udp().configure(&json!({ "stats": { "statsInterval": 1 } }));
    let mut host = Host::start(&installation);
    let mut udp = UdpClient::connect(host.address("udp"));
    server(&mut udp, "now");
    server(&mut udp, "unknown");
    // Before the first frame the current numbers are told, after it the frames.
    let frames = wait_for("two frames", || {
        let all = server(&mut udp, "getAllStats")["result"].take();
        assert_eq!(all["total"], all["hits"].as_array().unwrap().len());
        (all["total"].as_u64() >= Some(2)).then_some(all["hits"].clone())
    });
    let (first, second) = (&frames[0], &frames[1]);
    assert!(first["completedRequests"]["udp"].as_u64() >= Some(1), "{first}");
    assert_eq!(first["failedRequests"], json!({ "udp": 1 }));
    assert_eq!(second["failedRequests"], json!({}));
    assert_eq!(second["connections"], json!({ "udp": 1 }));
    let (first, second) = (first["timestamp"].as_u64().unwrap(), second["timestamp"].as_u64().unwrap());
    assert!(second - first >= 1_000, "{frames}");

    let between = |from: u64, to: u64| json!({ "controller": "server", "action": "getStats", "startTime": from, "stopTime": to });
    let found = udp.request(&between(first, second - 1))["result"].take();
    assert_eq!((&found["total"], &found["hits"][0]["timestamp"]), (&json!(1), &json!(first)));
    let last = server(&mut udp, "getLastStats")["result"].take();
    assert!(last["timestamp"].as_u64() >= Some(second), "{last}");
}

#[test]
fn statistics_can_be_switched_off() {
    let installation = Installation::new();
    installation.udp().configure(&json!({ "stats": { "enabled": false } }));
    let mut host = Host::start(&installation);
    let mut udp = UdpClient::connect(host.address("udp"));
    assert_eq!(server(&mut udp, "getLastStats")["error"]["id"], "services.statistics.not_available");
}

#[test]
fn a_host_whose_protocols_serve_is_well() {
    let installation = Installation::new();
    installation.udp();
    let mut host = Host::start(&installation);
    let mut udp = UdpClient::connect(host.address("udp"));
    let health = server(&mut udp, "healthCheck");
    assert_eq!((&health["status"], &health["error"]), (&json!(200), &Value::Null));
    assert_eq!(
        health["result"],
        json!({
            "services": { "internalCache": "green", "memoryStorage": "green", "storageEngine": "green" },
            "protocols": { "udp": "green" },
            "status": "green",
        })
    );
}

fn is_ill(health: &Value, protocol: &str) -> bool {
    let is_red = health["result"]["protocols"] == json!({ "udp": "green", protocol: "red" });
    if is_red {
        assert_eq!((&health["result"]["status"], &health["status"]), (&json!("red"), &json!(500)));
        assert_eq!(health["error"]["id"], "core.fatal.service_unavailable");
        assert!(health["error"]["message"].as_str().unwrap().contains(protocol), "{health}");
    }
    is_red
}

#[test]
fn a_protocol_that_was_left_out_makes_the_host_ill() {
    let installation = Installation::new();
    installation.udp();
    installation.rust("panicky", "kuzzle_fixture_panicky").options("panicky", &json!({ "panicIn": "init" }));
    let mut host = Host::spawn(&installation, &["--failsafe"]);
    let mut udp = UdpClient::connect(host.address("udp"));
    let health = server(&mut udp, "healthCheck");
    assert!(is_ill(&health, "panicky"), "{health}");
}

#[test]
fn a_protocol_that_hangs_makes_the_host_ill() {
    let installation = Installation::new();
    installation.udp();
    installation
        .rust("panicky", "kuzzle_fixture_panicky")
        .options("panicky", &json!({ "hangIn": "broadcast" }));
    let mut host = Host::start(&installation);
    let mut udp = UdpClient::connect(host.address("udp"));
    let publish = json!({
        "controller": "realtime", "action": "publish", "index": "i", "collection": "c", "body": {}
    });
    UdpClient::connect(host.address("panicky")).subscribe("i", "c");
    // Somebody still listens when the clients of the protocol that hangs are cut off.
    UdpClient::connect(host.address("udp")).subscribe("i", "c");
    udp.request(&publish);
    wait_for("the host to be ill", || is_ill(&server(&mut udp, "healthCheck"), "panicky").then_some(()));
    udp.request(&publish);
    let metrics = server(&mut udp, "metrics")["result"]["protocols"]["panicky"].take();
    assert_eq!(
        (&metrics["suspended"], &metrics["state"], &metrics["slowCalls"]),
        (&json!(true), &json!("suspended"), &json!(1))
    );
    assert!(metrics["dropped"].as_u64() >= Some(1), "{metrics}");
}

#[test]
fn a_protocol_that_was_stopped_makes_the_host_ill() {
    let installation = Installation::new();
    installation.udp();
    installation
        .rust("panicky", "kuzzle_fixture_panicky")
        .options("panicky", &json!({ "panicIn": "broadcast" }));
    let mut host = Host::start(&installation);
    let mut panicky = UdpClient::connect(host.address("panicky"));
    let mut udp = UdpClient::connect(host.address("udp"));
    assert_eq!(server(&mut udp, "healthCheck")["result"]["status"], "green");
    panicky.subscribe("i", "c");
    udp.request(&json!({
        "controller": "realtime", "action": "publish", "index": "i", "collection": "c", "body": {}
    }));
    wait_for("the host to be ill", || is_ill(&server(&mut udp, "healthCheck"), "panicky").then_some(()));
    let metrics = server(&mut udp, "metrics")["result"]["protocols"]["panicky"].take();
    // A call that was running already may answer that the protocol has panicked too.
    assert!(metrics["panics"].as_u64() >= Some(1), "{metrics}");
    assert_ne!(metrics["state"], "initialised");
}

#[test]
fn protocols_tell_numbers_of_their_own() {
    let Some(compiler) = cc("protocols_tell_numbers_of_their_own") else { return };
    let installation = Installation::new();
    installation.line(&compiler).udp().fixture("counting", &compiler, "counting.c", &[]);
    let mut host = Host::start(&installation);
    let mut line = LineClient::connect(host.address("line"));
    let mut udp = UdpClient::connect(host.address("udp"));
    line.subscribe("i", "c");
    udp.subscribe("i", "c");
    // They are read about once a second.
    wait_for("the numbers of line and udp", || {
        let protocols = server(&mut udp, "metrics")["result"]["protocols"].take();
        let (line, udp) = (&protocols["line"]["reported"], &protocols["udp"]["reported"]);
        (line["channels"] == 1 && udp["channels"] == 1 && udp["received"].as_u64() >= Some(1)).then_some(())
    });
    // What is not as demanded is left out, and told once.
    let reported = wait_for("the numbers of counting", || {
        let metrics = server(&mut udp, "metrics")["result"]["protocols"]["counting"].take();
        metrics.get("reported").cloned()
    });
    assert_eq!(reported, json!({ "depth": -5 }));
    assert!(host.wait_log("metrics of the protocol are not shown").contains("counting"));
    // The other way round: the host tells what it counts.
    assert!(host.wait_log("the host counts connections: 0").contains("counting"));
}
