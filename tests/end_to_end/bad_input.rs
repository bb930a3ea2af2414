//! What hostile and broken clients do to `http-ws`: a right answer or a clean close, bounded memory, others untouched.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use kuzzle_tests::{Client, Host, HttpClient, WebSocketClient, masked};
use serde_json::{Value, json};

use crate::http::{JSON, client, serve};

const PUBLISH: &str = "/i/c/_publish";

/// What the host uses, in KiB.
fn memory(host: &Host) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", host.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// How many sockets a test and its host can have, at most 10,000.
fn many_sockets() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let limit: usize = line.split_whitespace().nth(3).unwrap().parse().unwrap_or(usize::MAX);
    limit.saturating_sub(200).min(10_000)
}

/// Everybody else is served, over both.
fn others_are_served(host: &mut Host) {
    assert_eq!(client(host).get("/_now").status, 200);
    WebSocketClient::connect(host.address("http-ws")).is_served();
}

/// Drops a socket in which something waits to be read, so that it is reset.
fn reset(stream: TcpStream) {
    let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
    let _ = stream.peek(&mut [0]);
    drop(stream);
}

#[test]
fn a_request_that_is_cut_off_has_no_effect() {
    let (_installation, mut host) = serve(&json!({}));
    let mut listens = WebSocketClient::connect(host.address("http-ws"));
    listens.subscribe("i", "c");
    let whole =
        format!("POST {PUBLISH} HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\n\r\n{{\"number\": 1234}}");
    let request = whole.as_bytes();
    for length in [1, 10, 40, request.len() - 15, request.len() - 2] {
        let mut client = client(&mut host);
        client.send(&request[..length]);
        client.stream().shutdown(std::net::Shutdown::Write).unwrap();
        if let Some(reply) = client.try_receive(true) {
            assert_eq!(reply.status, 400, "{length}");
        }
    }
    // The same, and the client is gone before the answer.
    for length in [10, request.len() - 2, request.len()] {
        let mut client = client(&mut host);
        client.send(&request[..length]);
        let stream = client.stream();
        drop(client);
        reset(stream);
    }
    client(&mut host).request("POST", PUBLISH, &[JSON], b"{\"last\":true}");
    loop {
        let source = listens.receive()["result"]["_source"].take();
        if source["last"] == true {
            break;
        }
        assert_eq!(source["number"], 1234, "only what was whole");
    }
}

#[test]
fn slow_headers_bodies_and_idle_connections_end() {
    let (_installation, mut host) = serve(&json!({ "http": { "headerTimeout": 1000, "bodyTimeout": 1000 } }));
    let started = Instant::now();
    let mut silent = client(&mut host);
    let mut idle = client(&mut host);
    assert_eq!(idle.get("/_now").status, 200);
    let mut body = client(&mut host);
    body.send(format!("POST {PUBLISH} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{{"));
    let drip = client(&mut host);
    let mut dripping = drip.stream();
    // A byte now and then is not enough.
    let dripper = thread::spawn(move || {
        let request = format!("GET /_now HTTP/1.1\r\nHost: x\r\nX: {}", "x".repeat(10_000));
        request
            .bytes()
            .take_while(|byte| {
                thread::sleep(Duration::from_millis(50));
                dripping.write_all(&[*byte]).is_ok()
            })
            .count()
    });
    assert!(silent.is_closed());
    assert!(idle.is_closed());
    assert_eq!(body.try_receive(true).map(|reply| reply.status), Some(400));
    assert!(body.is_closed());
    let dripped = dripper.join().unwrap();
    assert!(dripped < 200, "{dripped} bytes");
    let took = started.elapsed();
    assert!(took > Duration::from_millis(800) && took < Duration::from_secs(15), "{took:?}");
    others_are_served(&mut host);
}

#[test]
fn a_reader_that_takes_no_answers_is_closed() {
    let (_installation, mut host) = serve(&json!({ "http": { "slowTimeout": 1000 } }));
    let mut greedy = client(&mut host);
    let mut stream = greedy.stream();
    stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    let requests = "GET /_publicApi HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
    let mut sent = 0_usize;
    while stream.write_all(requests.as_bytes()).is_ok() {
        sent += requests.len();
        assert!(sent < 256 << 20, "it is never closed");
    }
    let mut rest = Vec::new();
    let _ = greedy.stream().read_to_end(&mut rest);
    assert!(greedy.try_send("x") || rest.len() < 64 << 20);
    others_are_served(&mut host);
}

#[test]
fn floods_of_headers_are_refused() {
    let (_installation, mut host) = serve(&json!({}));
    let mut many = client(&mut host);
    let headers: String = (0..200).map(|number| format!("X-{number}: 1\r\n")).collect();
    many.try_send(format!("GET /_now HTTP/1.1\r\nHost: x\r\n{headers}\r\n"));
    assert_eq!(many.receive().status, 431);
    assert!(many.is_closed());
    let mut endless = client(&mut host);
    let mut sent = 0;
    endless.send("GET /_now HTTP/1.1\r\nHost: x\r\nX: ");
    while sent < 64 << 20 && endless.try_send([b'x'; 10_000]) {
        sent += 10_000;
    }
    assert!(sent < 64 << 20, "the host takes all of it");
    others_are_served(&mut host);
}

#[test]
fn bombs_do_not_grow() {
    // A gibibyte of zeros in a mebibyte or less, made by two layers.
    fn gzip(bytes: &[u8]) -> Vec<u8> {
        use std::process::{Command, Stdio};
        let mut child =
            Command::new("gzip").arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        thread::scope(|scope| {
            scope.spawn(move || stdin.write_all(bytes));
            child.wait_with_output().unwrap().stdout
        })
    }
    if !kuzzle_tests::has("bombs_do_not_grow", "gzip") {
        return;
    }
    let one = gzip(&vec![0; 200 << 20]);
    let two = gzip(&one);
    assert!(one.len() < 1 << 20);
    let (_installation, mut host) = serve(&json!({}));
    others_are_served(&mut host);
    let before = memory(&host);
    for (body, coding) in [(&one, "gzip"), (&two, "gzip, gzip")] {
        for _ in 0..10 {
            let headers = [JSON, ("Content-Encoding", coding)];
            let refused = client(&mut host).request("POST", PUBLISH, &headers, body);
            assert_eq!(
                (refused.status, &refused.json()["id"]),
                (413, &json!("network.http.request_too_large"))
            );
        }
    }
    let grown = memory(&host).saturating_sub(before);
    assert!(grown < 32 * 1024, "{grown} KiB");
}

#[test]
fn ten_thousand_idle_sockets_are_borne() {
    let (_installation, mut host) = serve(&json!({}));
    let address = host.address("http-ws");
    others_are_served(&mut host);
    let before = memory(&host);
    let count = many_sockets();
    let connect = || loop {
        match TcpStream::connect(address) {
            Ok(stream) => break stream,
            // The queue of those that wait to be accepted is full.
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::TimedOut, "{error}"),
        }
    };
    let sockets: Vec<_> = (0..count).map(|_| connect()).collect();
    others_are_served(&mut host);
    let each = (memory(&host).saturating_sub(before)) * 1024 / count as u64;
    assert!(each < 8 * 1024, "{each} bytes for each of {count}");
    drop(sockets);
    others_are_served(&mut host);
    host.terminate().is_clean();
}

#[test]
fn idle_websockets_hold_little() {
    let (_installation, mut host) = serve(&json!({}));
    let address = host.address("http-ws");
    others_are_served(&mut host);
    let count = many_sockets().min(2000);
    let before = memory(&host);
    let clients: Vec<_> = (0..count)
        .map(|_| {
            let mut client = WebSocketClient::connect(address);
            client.is_served();
            client
        })
        .collect();
    let each = (memory(&host).saturating_sub(before)) * 1024 / count as u64;
    assert!(each < 8 * 1024, "{each} bytes for each of {count}");
    drop(clients);
}

#[test]
fn sockets_beyond_the_limit_are_refused() {
    let (_installation, mut host) = serve(&json!({ "http": { "maxSockets": 10 } }));
    let address = host.address("http-ws");
    let mut first = HttpClient::connect(address);
    assert_eq!(first.get("/_now").status, 200);
    let mut held: Vec<_> = (0..9).map(|_| HttpClient::connect(address)).collect();
    held.iter_mut().for_each(|client| assert_eq!(client.get("/_now").status, 200));
    let mut refused = HttpClient::connect(address);
    assert_eq!(refused.try_receive(true).map(|reply| reply.status), Some(503));
    assert!(refused.is_closed());
    drop(held);
    let until = Instant::now() + kuzzle_tests::DEADLINE;
    loop {
        let mut again = HttpClient::connect(address);
        if again.try_send("GET /_now HTTP/1.1\r\nHost: x\r\n\r\n")
            && again.try_receive(true).is_some_and(|reply| reply.status == 200)
        {
            break;
        }
        assert!(Instant::now() < until, "places are never free again");
    }
    assert_eq!(first.get("/_now").status, 200);
}

#[test]
fn connections_beyond_the_hosts_limit_are_refused() {
    let (_installation, mut host) = serve(&json!({ "websocket": { "maxConnections": 2 } }));
    let address = host.address("http-ws");
    let mut clients = [WebSocketClient::connect(address), WebSocketClient::connect(address)];
    let mut refused = HttpClient::connect(address);
    refused.send(
        "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    assert_eq!(refused.receive().status, 503);
    let http = client(&mut host).get("/_now");
    assert_eq!((http.status, &http.json()["id"]), (503, &json!("api.process.overloaded")));
    clients.iter_mut().for_each(Client::is_served);
}

/// Opens a WebSocket, does something rude and is gone.
fn be_rude(address: SocketAddr, number: usize) {
    let mut client = WebSocketClient::connect(address);
    let subscribe = json!({ "controller": "realtime", "action": "subscribe", "index": "i", "collection": "c", "body": {} });
    client.send(&subscribe);
    match number % 5 {
        0 => {
            client.try_send_bytes(&masked(0x81, subscribe.to_string().as_bytes())[..20]);
        }
        1 => {
            client.try_send_bytes(&masked(0x01, &[b'x'; 1000]));
        }
        2 => {
            for _ in 0..100 {
                client.try_send_bytes(&masked(0x81, subscribe.to_string().as_bytes()));
            }
        }
        3 => {
            client.try_send_bytes(&[0xff; 1000]);
        }
        _ => {}
    }
    reset(client.stream());
}

#[test]
fn sockets_that_are_reset_in_the_middle_leave_nothing_behind() {
    let (_installation, mut host) = serve(&json!({}));
    let address = host.address("http-ws");
    let mut stays = WebSocketClient::connect(address);
    let (room, _) = stays.subscribe("i", "c");
    let mut publisher = WebSocketClient::connect(address);
    let publish =
        json!({ "controller": "realtime", "action": "publish", "index": "i", "collection": "c", "body": {} });
    thread::scope(|scope| {
        for worker in 0..4 {
            scope.spawn(move || (0..50).for_each(|number| be_rude(address, worker + number)));
        }
        for _ in 0..200 {
            assert_eq!(publisher.request(&publish)["status"], 200);
        }
    });
    (0..200).for_each(|_| assert_eq!(stays.receive()["type"], "document"));
    let until = Instant::now() + kuzzle_tests::DEADLINE;
    while publisher.count(&room) != 1 {
        assert!(Instant::now() < until, "somebody is left behind");
        thread::sleep(Duration::from_millis(20));
    }
    let mut http = client(&mut host);
    http.send("POST /i/c/_publish HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n");
    reset(http.stream());
    others_are_served(&mut host);
    host.terminate().is_clean();
}

#[test]
fn one_that_never_reads_costs_no_more_than_its_queue() {
    let (_installation, mut host) = serve(&json!({}));
    let address = host.address("http-ws");
    let mut deaf: Vec<_> = (0..10).map(|_| WebSocketClient::connect(address)).collect();
    for client in &mut deaf {
        client.subscribe("i", "c");
    }
    let mut publisher = WebSocketClient::connect(address);
    let publish = json!({
        "controller": "realtime", "action": "publish", "index": "i", "collection": "c",
        "body": { "text": "x".repeat(100_000) },
    });
    assert_eq!(publisher.request(&publish)["status"], 200);
    let before = memory(&host);
    for _ in 0..500 {
        assert_eq!(publisher.request(&publish)["status"], 200);
    }
    let grown = memory(&host).saturating_sub(before);
    // The bytes are shared: ten queues of eight mebibytes hold the same eighty messages.
    assert!(grown < 40 * 1024, "{grown} KiB");
    let reasons: Vec<Option<(u16, String)>> = deaf.iter_mut().map(WebSocketClient::closing).collect();
    assert!(
        reasons.iter().all(|reason| reason.as_ref().is_some_and(|(code, _)| *code == 1011)),
        "{reasons:?}"
    );
}

#[test]
fn deep_and_odd_json_is_answered() {
    let (_installation, mut host) = serve(&json!({}));
    let mut client = WebSocketClient::connect(host.address("http-ws"));
    for text in [
        "[".repeat(500_000),
        format!("{{\"a\":{}", "[".repeat(500_000)),
        "\u{0}".to_owned(),
        "{\"p\":".to_owned(),
    ] {
        client.send_text(&text);
        let answer: Value = client.receive();
        assert_eq!(answer["error"]["id"], "network.websocket.unexpected_error");
    }
    client.is_served();
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let reply =
        HttpClient::connect(host.address("http-ws")).request("POST", PUBLISH, &[JSON], deep.as_bytes());
    assert_eq!(reply.status, 400);
}
