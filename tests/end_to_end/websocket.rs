//! WebSocket as Kuzzle speaks it: messages, errors, limits, ends (`http-ws`).

use std::io::Read;
use std::thread;
use std::time::{Duration, Instant};

use kuzzle_tests::{Client, Host, HttpClient, WebSocketClient, masked};
use serde_json::{Value, json};

use crate::http::serve;

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

fn connect(host: &mut Host) -> WebSocketClient {
    WebSocketClient::connect(host.address("http-ws"))
}

fn publish(body: &Value) -> Value {
    json!({ "controller": "realtime", "action": "publish", "index": "i", "collection": "c", "body": body,
            "requestId": "publish" })
}

#[test]
fn the_first_sub_protocol_is_echoed_and_no_extension_is_agreed_on() {
    let (_installation, mut host) = serve(&json!({}));
    let address = host.address("http-ws");
    let headers = "Sec-WebSocket-Protocol: one, two\r\nSec-WebSocket-Extensions: permessage-deflate\r\n";
    let client = WebSocketClient::connect_with(address, headers);
    assert_eq!(client.opened.header("sec-websocket-protocol"), Some("one"));
    assert_eq!(client.opened.header("sec-websocket-extensions"), None);
    assert_eq!(client.opened.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    let plain = WebSocketClient::connect(address);
    assert_eq!(plain.opened.header("sec-websocket-protocol"), None);
}

#[test]
fn a_handshake_with_a_body_is_refused() {
    let (_installation, mut host) = serve(&json!({}));
    for framing in ["Content-Length: 9", "Transfer-Encoding: chunked"] {
        let mut client = HttpClient::connect(host.address("http-ws"));
        client.send(format!(
            "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{framing}\r\n\r\n"
        ));
        assert_eq!(client.receive().status, 400, "{framing}");
        assert!(client.is_closed());
    }
}

#[test]
fn frames_may_follow_the_handshake_at_once() {
    let (_installation, mut host) = serve(&json!({}));
    let mut client = HttpClient::connect(host.address("http-ws"));
    let handshake = b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    client.send([&handshake[..], &masked(TEXT, b"{\"p\":1}")].concat());
    assert_eq!(client.receive().status, 101);
    let mut frame = [0; 9];
    client.into_stream().read_exact(&mut frame).unwrap();
    assert_eq!(&frame, b"\x81\x07{\"p\":2}");
}

#[test]
fn pings_of_both_kinds_are_answered() {
    let (_installation, mut host) = serve(&json!({}));
    let mut client = connect(&mut host);
    client.send_text(" {\"p\": 1} ");
    assert_eq!(client.receive_text(), "{\"p\":2}");
    client.send_bytes(&masked(PING, b"payload"));
    assert_eq!(client.receive_frame(), (PONG, b"payload".to_vec()));
    client.send_bytes(&masked(PONG, b"nobody asked"));
    client.send_text("{\"p\":1,\"x\":2}");
    assert_eq!(client.receive()["error"]["id"], "api.assert.missing_argument");
}

#[test]
fn bad_messages_are_answered_as_by_kuzzle() {
    let (_installation, mut host) = serve(&json!({}));
    let mut client = connect(&mut host);
    client.send_text("{bad");
    let answer = client.receive();
    assert_eq!(answer["error"]["id"], "network.websocket.unexpected_error");
    assert_eq!((&answer["status"], answer.get("room")), (&json!(400), None));
    assert_eq!(answer["requestId"].as_str().unwrap().len(), 36);
    for text in ["42", "\"s\"", "[]", "null"] {
        client.send_text(text);
        let answer = client.receive();
        let expected = json!({ "message": "Input request data must be a non-null object", "status": 500 });
        assert_eq!((&answer["error"], answer.get("room")), (&expected, None), "{text}");
    }
    client.send_text(r#"{"requestId":12}"#);
    let answer = client.receive();
    assert_eq!((&answer["requestId"], answer.get("room")), (&json!(12), None));
    assert_eq!(answer["error"]["message"], "Attribute requestId must be of type \"string\"");
    client.send_text(r#"{"requestId":"r1","controller":12}"#);
    let answer = client.receive();
    assert_eq!(
        (&answer["requestId"], &answer["room"], &answer["status"]),
        (&json!("r1"), &json!("r1"), &json!(400))
    );
    client.send_text("{}");
    let answer = client.receive();
    assert_eq!(answer["error"]["id"], "api.assert.missing_argument");
    assert_eq!(answer["room"], answer["requestId"]);
    client.send_bytes(&masked(TEXT, b""));
    client.is_served();
}

#[test]
fn binary_messages_are_read_as_text() {
    let (_installation, mut host) = serve(&json!({}));
    let mut client = connect(&mut host);
    client.send_bytes(&masked(BINARY, br#"{"controller":"server","action":"now","requestId":"b"}"#));
    assert_eq!(client.receive()["room"], "b");
    client.send_bytes(&masked(BINARY, b"\xff\xfe"));
    assert_eq!(client.receive()["error"]["id"], "network.websocket.unexpected_error");
    client.is_served();
}

#[test]
fn a_notification_ends_with_its_channel_and_comes_before_the_answer() {
    let (_installation, mut host) = serve(&json!({}));
    let mut client = connect(&mut host);
    let (_, channel) = client.subscribe("i", "c");
    for text in [String::new(), "x".repeat(200_000)] {
        client.send(&publish(&json!({ "text": text })));
        let notification = client.receive_text();
        assert!(notification.ends_with(&format!(",\"room\":\"{channel}\"}}")), "{}", &notification[..100]);
        let notification: Value = serde_json::from_str(&notification).unwrap();
        assert_eq!(notification["result"]["_source"]["text"], text);
        assert_eq!(
            (&notification["protocol"], &client.receive()["room"]),
            (&json!("websocket"), &json!("publish"))
        );
    }
}

#[test]
fn large_answers_arrive_whole() {
    let (_installation, mut host) = serve(&json!({}));
    let mut client = connect(&mut host);
    let volatile = json!({ "text": "é".repeat(300_000) });
    client.send(
        &json!({ "controller": "server", "action": "now", "requestId": "large", "volatile": volatile }),
    );
    let answer = client.receive();
    assert_eq!((&answer["volatile"], &answer["room"]), (&volatile, &json!("large")));
}

#[test]
fn a_client_of_a_thousand_rooms_gets_a_thousand_frames_for_one_message() {
    const ROOMS: usize = 1000;
    let (_installation, mut host) = serve(&json!({}));
    let mut client = connect(&mut host);
    for number in 0..ROOMS {
        client.send(&json!({
            "controller": "realtime", "action": "subscribe", "index": "i", "collection": "c",
            "body": { "range": { "n": { "lt": number + 1 } } }, "requestId": "subscribe",
        }));
    }
    let mut channels: Vec<_> = (0..ROOMS).map(|_| client.receive()["result"]["channel"].take()).collect();
    let mut publisher = connect(&mut host);
    assert_eq!(publisher.request(&publish(&json!({ "n": 0, "text": "x".repeat(1000) })))["status"], 200);
    let mut rooms: Vec<_> = (0..ROOMS).map(|_| client.receive()["room"].take()).collect();
    channels.sort_by_key(Value::to_string);
    rooms.sort_by_key(Value::to_string);
    assert_eq!(rooms, channels);
    client.is_served();
}

#[test]
fn the_rate_limit_drops_what_is_too_much_and_keeps_the_socket() {
    let (_installation, mut host) = serve(&json!({ "websocket": { "rateLimit": 3 } }));
    let mut client = connect(&mut host);
    let burst: Vec<u8> = (0..20).flat_map(|_| masked(TEXT, b"{\"p\":1}")).collect();
    client.send_bytes(&burst);
    let mut limited = 0;
    for _ in 0..20 {
        let answer = client.receive();
        if answer["p"] != 2 {
            assert_eq!(answer["error"]["id"], "network.websocket.ratelimit_exceeded");
            assert_eq!((&answer["status"], answer.get("room")), (&json!(429), None));
            limited += 1;
        }
    }
    assert!(limited >= 14, "{limited}: a burst falls into two seconds at most");
    let until = Instant::now() + kuzzle_tests::DEADLINE;
    loop {
        client.send_text("{\"p\":1}");
        if client.receive()["p"] == 2 {
            break;
        }
        assert!(Instant::now() < until, "the next second never comes");
    }
}

#[test]
fn a_silent_client_is_dropped_without_a_close_frame() {
    let (_installation, mut host) = serve(&json!({ "websocket": { "idleTimeout": 1000 } }));
    let (mut silent, mut talks) = (connect(&mut host), connect(&mut host));
    let started = Instant::now();
    let watcher = thread::spawn(move || (silent.closing(), started.elapsed()));
    while started.elapsed() < Duration::from_millis(2500) {
        talks.is_served();
        thread::sleep(Duration::from_millis(100));
    }
    let (closing, took) = watcher.join().unwrap();
    assert_eq!(closing, None);
    assert!(took >= Duration::from_millis(900), "{took:?}");
    talks.is_served();
}

#[test]
fn a_client_can_be_pinged_and_counts_as_alive_when_it_answers() {
    let (_installation, mut host) =
        serve(&json!({ "websocket": { "idleTimeout": 1000, "sendPingsAutomatically": true } }));
    let mut client = connect(&mut host);
    for _ in 0..3 {
        let (first, payload) = client.receive_frame();
        assert_eq!(first, PING);
        client.send_bytes(&masked(PONG, &payload));
    }
    client.is_served();
    assert_eq!(client.receive_frame().0, PING);
    assert_eq!(client.closing(), None, "it does not answer");
}

#[test]
fn sending_can_count_as_activity() {
    let options = json!({ "websocket": { "idleTimeout": 1000, "resetIdleTimeoutOnSend": true } });
    let (_installation, mut host) = serve(&options);
    let (mut listens, mut talks) = (connect(&mut host), connect(&mut host));
    listens.subscribe("i", "c");
    let started = Instant::now();
    let mut sent = 0;
    while started.elapsed() < Duration::from_millis(3000) {
        talks.request(&publish(&json!({})));
        sent += 1;
        thread::sleep(Duration::from_millis(100));
    }
    (0..sent).for_each(|_| assert_eq!(listens.receive()["type"], "document"));
    listens.is_served();
}

#[test]
fn closing_is_answered_with_the_same_code() {
    let (_installation, mut host) = serve(&json!({}));
    for (payload, code) in [(&[0x03, 0xe8, b'b', b'y', b'e'][..], 1000), (&[0x0f, 0xa0], 4000), (&[], 1005)] {
        let mut client = connect(&mut host);
        client.send_bytes(&masked(CLOSE, payload));
        assert_eq!(client.closing(), Some((code, String::new())));
        assert!(client.try_receive_frame().is_none(), "the server ends the connection");
    }
}

/// Fills a client's connection: it is subscribed and never reads. Answers when the host has given up on it.
fn never_reads(host: &mut Host) -> WebSocketClient {
    let mut slow = connect(host);
    slow.subscribe("i", "c");
    slow
}

#[test]
fn a_client_that_is_too_slow_by_bytes_is_closed_and_nobody_else_waits() {
    let (_installation, mut host) = serve(&json!({ "websocket": { "maxQueuedBytes": 1 << 20 } }));
    let mut slow = never_reads(&mut host);
    let (mut quick, mut publisher) = (connect(&mut host), connect(&mut host));
    quick.subscribe("i", "c");
    let message = publish(&json!({ "text": "x".repeat(100_000) }));
    let (sent, slowest) = thread::scope(|scope| {
        let publishing = scope.spawn(|| {
            let mut slowest = Duration::ZERO;
            for _ in 0..200 {
                let started = Instant::now();
                assert_eq!(publisher.request(&message)["status"], 200);
                slowest = slowest.max(started.elapsed());
            }
            slowest
        });
        (0..200).for_each(|_| assert_eq!(quick.receive()["type"], "document"));
        (200, publishing.join().unwrap())
    });
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    let expected = (1011, "too much backpressure: client is too slow".to_owned());
    assert_eq!(slow.closing(), Some(expected), "after what was on its way");
    assert_eq!(sent, 200);
    quick.is_served();
}

#[test]
fn a_client_that_takes_nothing_for_too_long_is_closed() {
    let (_installation, mut host) = serve(&json!({ "websocket": { "slowTimeout": 1000 } }));
    let mut slow = never_reads(&mut host);
    let mut publisher = connect(&mut host);
    let message = publish(&json!({ "text": "x".repeat(500_000) }));
    // More than the socket's buffers take, less than the queue may hold.
    (0..14).for_each(|_| assert_eq!(publisher.request(&message)["status"], 200));
    host.wait_log("a client is too slow");
    let expected = (1011, "too much backpressure: client is too slow".to_owned());
    assert_eq!(slow.closing(), Some(expected), "when it reads at last, within that time again");
    assert!(publisher.request(&message)["result"]["published"].as_bool().unwrap());
}

#[test]
fn a_client_that_asks_and_never_reads_is_not_read_from() {
    let (_installation, mut host) = serve(&json!({}));
    let mut greedy = connect(&mut host);
    let request = json!({ "controller": "server", "action": "publicApi" }).to_string();
    let mut stream = greedy.stream();
    stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let frame = masked(TEXT, request.as_bytes()).repeat(100);
    let mut sent = 0;
    while sent < (64 << 20) && std::io::Write::write(&mut stream, &frame).is_ok_and(|written| written > 0) {
        sent += frame.len();
    }
    assert!(sent < (64 << 20), "the host takes no more than it can answer");
    connect(&mut host).is_served();
    // It is served again as soon as it reads.
    (0..100).for_each(|_| assert_eq!(greedy.receive()["action"], "publicApi"));
}

#[test]
fn shutting_down_closes_with_1001() {
    let (_installation, mut host) = serve(&json!({}));
    let address = host.address("http-ws");
    let clients: Vec<_> = (0..50).map(|_| WebSocketClient::connect(address)).collect();
    let mut keep_alive = HttpClient::connect(address);
    assert_eq!(keep_alive.get("/_now").status, 200);
    let finished = thread::scope(|scope| {
        let readers: Vec<_> =
            clients.into_iter().map(|mut client| scope.spawn(move || client.closing())).collect();
        let finished = host.terminate();
        for reader in readers {
            assert_eq!(reader.join().unwrap().unwrap().0, 1001);
        }
        finished
    });
    finished.is_clean();
    assert!(finished.took < Duration::from_secs(3), "{:?}", finished.took);
    assert!(keep_alive.is_closed());
}

#[test]
fn a_client_that_does_not_answer_the_close_frame_delays_nothing_for_long() {
    let (_installation, mut host) = serve(&json!({}));
    let _silent: Vec<_> = (0..10).map(|_| connect(&mut host)).collect();
    let _half_open = HttpClient::connect(host.address("http-ws"));
    let finished = host.terminate();
    finished.is_clean();
    assert!(finished.took < Duration::from_secs(5), "{:?}", finished.took);
}

#[test]
fn compression_is_agreed_on_if_it_is_switched_on() {
    let (_installation, mut host) = serve(&json!({ "websocket": { "compression": true } }));
    let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    let mut client = WebSocketClient::connect_with(host.address("http-ws"), offer);
    assert_eq!(
        client.opened.header("sec-websocket-extensions"),
        Some("permessage-deflate; server_no_context_takeover; client_no_context_takeover")
    );
    // `{}` in one stored block.
    client.send_bytes(&masked(0xc1, &[0x00, 0x02, 0x00, 0xfd, 0xff, b'{', b'}', 0x00]));
    let (first, answer) = client.receive_frame();
    assert_eq!(first, 0xc1, "{} bytes", answer.len());
    client.send(&json!({
        "controller": "realtime", "action": "subscribe", "index": "i", "collection": "c", "body": {}
    }));
    client.receive_frame();
    client.send(&publish(&json!({ "text": "x".repeat(10_000) })));
    assert_eq!(client.receive_frame().0, TEXT, "notifications are never compressed");
}
