//! Unit tests with the kit `kuzzle_protocol_abi::testing`: what the API would do is played.

use std::net::UdpSocket;
use std::time::Duration;

use kuzzle_protocol_abi::testing::{Answer, FakeHost, Running};
use kuzzle_protocol_abi::{DisconnectReason, Status};
use serde_json::{Value, json};

use super::Udp;

const DEADLINE: Duration = Duration::from_secs(10);

fn run(host: FakeHost) -> Running {
    host.run::<Udp>().unwrap()
}

fn client(host: FakeHost) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.connect(host.address("udp")).unwrap();
    socket
}

fn receive(client: &UdpSocket) -> Value {
    let mut buffer = [0; 65_536];
    let length = client.recv(&mut buffer).unwrap();
    serde_json::from_slice(&buffer[..length]).unwrap()
}

fn end(protocol: Running) {
    protocol.shutdown(DEADLINE).unwrap();
    protocol.host().is_clean();
}

#[test]
fn a_datagram_is_a_request_and_its_answer_names_it() {
    let host = FakeHost::builder("udp")
        .options(json!({ "port": 0 }))
        .answer(|request| Answer::ok(json!({ "echo": request.json()["body"] })))
        .build();
    let protocol = run(host);
    let client = client(host);
    client.send(br#"{"controller":"a","action":"b","body":1,"requestId":"mine"}"#).unwrap();
    let answer = receive(&client);
    assert_eq!((&answer["result"], &answer["room"]), (&json!({ "echo": 1 }), &json!("mine")));
    let recorded = host.recorded();
    assert_eq!(recorded.clients[0].ips, ["127.0.0.1"]);
    assert_eq!(recorded.requests[0].connection, Some(recorded.clients[0].id));
    end(protocol);
}

#[test]
fn only_those_who_joined_a_channel_get_its_broadcasts() {
    let host = FakeHost::builder("udp").options(json!({ "port": 0 })).build();
    let protocol = run(host);
    let (listener, other) = (client(host), client(host));
    let subscribe =
        json!({ "controller": "realtime", "action": "subscribe", "index": "i", "collection": "c" });
    listener.send(subscribe.to_string().as_bytes()).unwrap();
    let channel = receive(&listener)["result"]["channel"].take();
    let channel = channel.as_str().unwrap();
    other.send(br#"{"controller":"server","action":"now"}"#).unwrap();
    assert_eq!(receive(&other)["status"], 200);

    protocol.broadcast(&["somebody else's", channel], &json!({ "news": 1 })).unwrap();
    assert_eq!(receive(&listener), json!({ "news": 1, "room": channel }));
    let other_id = host.recorded().clients[1].id;
    protocol.notify(other_id, &["x"], &json!({ "news": 2 })).unwrap();
    // It has got nothing before.
    assert_eq!(receive(&other), json!({ "news": 2, "room": "x" }));
    end(protocol);
}

#[test]
fn what_the_host_does_not_accept_is_answered_with_an_error_of_our_own() {
    let host = FakeHost::builder("udp").options(json!({ "port": 0 })).build();
    let protocol = run(host);
    let client = client(host);
    client.send(b"no JSON").unwrap();
    let answer = receive(&client);
    assert_eq!(
        (&answer["status"], &answer["error"]["id"]),
        (&json!(400), &json!("network.udp.unexpected_error"))
    );
    let logged = host.wait("the line for the access log", |recorded| recorded.accesses.first().cloned());
    assert_eq!((logged.status, logged.request.document), (400, b"no JSON".to_vec()));
    end(protocol);
}

#[test]
fn an_answer_that_comes_later_finds_its_client() {
    let host = FakeHost::builder("udp")
        .options(json!({ "port": 0 }))
        .answer(|_| Answer::ok(json!("late")).later(Duration::from_millis(20)))
        .build();
    let protocol = run(host);
    let client = client(host);
    client.send(br#"{"controller":"a","action":"b"}"#).unwrap();
    assert_eq!(receive(&client)["result"], "late");
    end(protocol);
}

#[test]
fn a_client_that_is_disconnected_is_removed_and_may_come_again() {
    let host = FakeHost::builder("udp").options(json!({ "port": 0 })).build();
    let protocol = run(host);
    let client = client(host);
    let now = br#"{"controller":"server","action":"now"}"#;
    client.send(now).unwrap();
    receive(&client);
    let first = host.recorded().clients[0].id;
    protocol.disconnect(first, DisconnectReason::Requested, "enough").unwrap();
    assert_eq!(host.recorded().connected(), []);
    assert_eq!(protocol.join_channel(first, "c"), Err(Status::BadHandle));
    client.send(now).unwrap();
    receive(&client);
    let second = host.recorded().clients[1].id;
    // The host has forgotten it: the protocol declares it anew.
    host.forget(second);
    client.send(now).unwrap();
    assert_eq!(receive(&client)["status"], 200);
    assert_eq!(host.recorded().clients.len(), 3);
    end(protocol);
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let host = FakeHost::builder("udp").options(json!({ "port": port })).build();
    let error = host.run::<Udp>().unwrap_err();
    assert!(error.message().contains(&port.to_string()), "{error}");
}

#[test]
fn payloads_are_not_kept() {
    let host = FakeHost::builder("udp").options(json!({ "port": 0 })).build();
    let protocol = run(host);
    for _ in 0..10 {
        protocol.broadcast(&["c"], &json!({ "news": 1 })).unwrap();
    }
    let references = host.references();
    assert_eq!(references.retained, references.released);
    end(protocol);
}

#[test]
fn datagrams_and_channels_are_counted() {
    let host = FakeHost::builder("udp").options(json!({ "port": 0 })).build();
    let protocol = run(host);
    let client = client(host);
    for _ in 0..2 {
        client.send(br#"{"controller":"server","action":"now"}"#).unwrap();
        receive(&client);
    }
    protocol.join_channel(host.recorded().clients[0].id, "c").unwrap();
    let metrics = protocol.metrics().unwrap().unwrap();
    let told: Vec<_> = metrics.iter().map(|metric| (metric.name.as_str(), metric.value)).collect();
    assert_eq!(told, [("received", 2), ("lost", 0), ("channels", 1)]);
    end(protocol);
}
