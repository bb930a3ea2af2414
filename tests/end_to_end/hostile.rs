//! What clients may send: the host serves on.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Instant;

use kuzzle_tests::{Client, DEADLINE, Host, Installation, LineClient, UdpClient, cc};
use serde_json::json;

fn serve(test: &str) -> Option<(Installation, Host)> {
    let compiler = cc(test)?;
    let installation = Installation::new();
    installation.line(&compiler);
    let host = Host::start(&installation);
    Some((installation, host))
}

#[test]
fn a_line_that_is_too_long_is_refused_and_the_client_goes_on() {
    let Some((_installation, mut host)) = serve("a_line_that_is_too_long_is_refused_and_the_client_goes_on")
    else {
        return;
    };
    let mut client = LineClient::connect(host.address("line"));
    let mut line = vec![b'x'; (3 << 20) + 17];
    line.push(b'\n');
    let mut stream = client.stream();
    let answer = thread::scope(|scope| {
        scope.spawn(move || stream.write_all(&line).unwrap());
        client.receive()
    });
    assert_eq!(
        (&answer["error"]["id"], &answer["status"]),
        (&json!("network.line.request_too_large"), &json!(413))
    );
    client.is_served();
}

#[test]
fn a_request_that_is_too_large_for_the_host_is_refused() {
    let Some(compiler) = cc("a_request_that_is_too_large_for_the_host_is_refused") else { return };
    let installation = Installation::new();
    installation.line(&compiler).configure(&json!({ "server": { "maxRequestSize": "1KB" } }));
    let mut host = Host::start(&installation);
    let mut client = LineClient::connect(host.address("line"));
    let answer =
        client.request(&json!({ "controller": "server", "action": "now", "padding": "x".repeat(2000) }));
    assert_eq!(
        (&answer["error"]["id"], &answer["status"]),
        (&json!("network.http.request_too_large"), &json!(413))
    );
    client.is_served();
}

#[test]
fn a_request_of_nearly_the_limit_is_answered() {
    let Some((_installation, mut host)) = serve("a_request_of_nearly_the_limit_is_answered") else { return };
    let mut client = LineClient::connect(host.address("line"));
    let padding = "x".repeat((1 << 20) - 200);
    let answer = client.request(&json!({ "controller": "server", "action": "now", "padding": padding }));
    assert_eq!(answer["status"], 200, "{answer}");
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let Some((_installation, mut host)) = serve("bytes_that_are_no_text_are_refused") else { return };
    let mut client = LineClient::connect(host.address("line"));
    for bytes in [&b"{\"action\":\"\xff\"}\n"[..], b"\xff\xfe\x00\n", b"\x00\n", b"\xc3\x28{}\n"] {
        client.send_bytes(bytes);
        let answer = client.receive();
        assert_eq!(answer["error"]["id"], "network.line.unexpected_error", "{}", bytes.escape_ascii());
    }
    client.is_served();
}

#[test]
fn a_request_of_ten_thousand_levels_is_refused() {
    let Some((_installation, mut host)) = serve("a_request_of_ten_thousand_levels_is_refused") else {
        return;
    };
    let mut client = LineClient::connect(host.address("line"));
    let (open, close) = ("[".repeat(10_000), "]".repeat(10_000));
    for line in [format!("{open}{close}"), format!("{{\"body\":{open}{close}}}"), "{\"body\":".repeat(10_000)]
    {
        client.send_text(&line);
        let answer = client.receive();
        assert_eq!(answer["error"]["id"], "network.line.unexpected_error", "{answer}");
    }
    client.is_served();
}

#[test]
fn a_request_in_pieces_is_put_together() {
    let Some((_installation, mut host)) = serve("a_request_in_pieces_is_put_together") else { return };
    let mut client = LineClient::connect(host.address("line"));
    let line = b"{\"controller\":\"server\",\"action\":\"now\",\"requestId\":\"pieces\"}\r\n";
    for byte in line {
        client.send_bytes(&[*byte]);
    }
    assert_eq!(client.receive()["requestId"], "pieces");
    client.send_bytes(b"\n\r\n\n");
    client.is_served();
}

#[test]
fn a_client_that_ends_its_side_gets_the_answers_to_its_whole_lines() {
    let Some((_installation, mut host)) =
        serve("a_client_that_ends_its_side_gets_the_answers_to_its_whole_lines")
    else {
        return;
    };
    let mut client = LineClient::connect(host.address("line"));
    client.send(&json!({ "controller": "server", "action": "now", "requestId": "whole" }));
    client.send_bytes(b"{\"controller\":\"server\",\"action\":\"now\",\"requestId\":\"half");
    client.stream().shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.receive()["requestId"], "whole");
    assert!(client.try_receive().is_none(), "half a request is not executed");
}

#[test]
fn clients_that_break_off_are_forgotten() {
    let Some((_installation, mut host)) = serve("clients_that_break_off_are_forgotten") else { return };
    let address = host.address("line");
    let mut watcher = LineClient::connect(address);
    let (room, _) = watcher.subscribe_with(&json!({ "index": "i", "collection": "c", "users": "out" }));
    for _ in 0..20 {
        let mut client = LineClient::connect(address);
        // In a channel of its own, so that it does not hear of the others.
        client.subscribe_with(&json!({ "index": "i", "collection": "c", "scope": "in" }));
        // Unread answers make the system reset the connection.
        for _ in 0..50 {
            client.send(&json!({ "controller": "server", "action": "publicApi" }));
        }
        client.send_bytes(b"{\"half");
        drop(client);
    }
    for _ in 0..20 {
        let notification = watcher.receive();
        assert_eq!(notification["user"], "out", "{notification}");
    }
    assert_eq!(watcher.count(&room), 1);
}

#[test]
fn a_client_that_does_not_read_is_cut_off_and_the_others_are_served() {
    let Some(compiler) = cc("a_client_that_does_not_read_is_cut_off_and_the_others_are_served") else {
        return;
    };
    let installation = Installation::new();
    installation.line(&compiler).options("line", &json!({ "maxQueuedBytes": 65_536 }));
    let mut host = Host::start(&installation);
    let mut deaf = LineClient::connect(host.address("line"));
    let (room, _) = deaf.subscribe("i", "c");
    let mut publisher = LineClient::connect(host.address("line"));
    // The system buffers some megabytes before the protocol has to.
    let text = "x".repeat(200_000);
    let publish = json!({
        "controller": "realtime", "action": "publish", "index": "i", "collection": "c",
        "body": { "text": text }
    });
    let deadline = Instant::now() + DEADLINE;
    while publisher.count(&room) > 0 {
        assert!(Instant::now() < deadline, "the client that does not read is not cut off");
        assert_eq!(publisher.request(&publish)["status"], 200);
    }
    publisher.is_served();
}

#[test]
fn hundreds_of_clients_are_served_at_once() {
    const CLIENTS: usize = 300;
    let Some((_installation, mut host)) = serve("hundreds_of_clients_are_served_at_once") else { return };
    let address = host.address("line");
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| LineClient::connect(address)).collect();
    let mut room = String::new();
    for client in &mut clients {
        room = client.subscribe("i", "c").0;
    }
    assert_eq!(clients[0].count(&room), CLIENTS as u64);
    clients[0].send(&json!({
        "controller": "realtime", "action": "publish", "index": "i", "collection": "c", "body": { "n": 1 }
    }));
    for client in &mut clients {
        assert_eq!(client.receive()["result"]["_source"]["n"], 1);
    }
}

#[test]
fn one_client_too_many_is_told_so() {
    let Some(compiler) = cc("one_client_too_many_is_told_so") else { return };
    let installation = Installation::new();
    installation.line(&compiler).options("line", &json!({ "maxClients": 1 }));
    let mut host = Host::start(&installation);
    let mut first = LineClient::connect(host.address("line"));
    first.is_served();
    let mut second = LineClient::connect(host.address("line"));
    assert_eq!(second.receive()["error"]["id"], "network.line.too_many_clients");
    assert!(second.try_receive().is_none());
    first.is_served();
}

#[test]
fn one_connection_too_many_for_the_host_is_told_so_and_place_becomes_free() {
    let test = "one_connection_too_many_for_the_host_is_told_so_and_place_becomes_free";
    let Some(compiler) = cc(test) else { return };
    let installation = Installation::new();
    installation.line(&compiler).udp().options("line", &json!({ "maxConnections": 2 }));
    let mut host = Host::start(&installation);
    let address = host.address("line");
    let mut clients = [LineClient::connect(address), LineClient::connect(address)];
    clients.iter_mut().for_each(|client| client.is_served());
    let mut third = LineClient::connect(address);
    let refusal = third.receive()["error"].take();
    assert_eq!(refusal["id"], "network.line.connection_refused");
    let text = refusal["message"].as_str().unwrap();
    assert!(text.contains("2 connections") && text.contains("maxConnections"), "{text}");
    assert!(third.try_receive().is_none());
    clients[1].is_served();
    UdpClient::connect(host.address("udp")).is_served();
    let [first, _second] = clients;
    drop(first);
    let deadline = Instant::now() + DEADLINE;
    loop {
        let mut client = LineClient::connect(address);
        client.send(&json!({ "controller": "server", "action": "now" }));
        if client.receive()["status"] == 200 {
            break;
        }
        assert!(Instant::now() < deadline, "the place of a client that has gone stays taken");
    }
}

#[test]
fn garbage_over_udp_is_answered_and_forgotten() {
    let installation = Installation::new();
    installation.udp();
    let mut host = Host::start(&installation);
    let mut client = UdpClient::connect(host.address("udp"));
    for bytes in [&b""[..], b"\0", b"\xff\xff", b"{", b"[]", &[b'['; 60_000]] {
        client.send_bytes(bytes);
        let answer = client.receive();
        assert_eq!(answer["error"]["id"], "network.udp.unexpected_error", "{answer}");
    }
    client.is_served();
}

#[test]
fn connecting_and_going_at_once_harms_nobody() {
    let Some((_installation, mut host)) = serve("connecting_and_going_at_once_harms_nobody") else { return };
    let address = host.address("line");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..100).for_each(|_| drop(TcpStream::connect(address).unwrap())));
        }
    });
    LineClient::connect(address).is_served();
    assert!(host.is_running());
}
