//! RFC 9110 and 9112, and the handshake of RFC 6455: bytes of a request, and what comes back.

use std::thread;

use kuzzle_tests::{HttpClient, Reply};
use serde_json::json;

use crate::http::{JSON, client, serve};

/// What comes back.
pub(super) enum Expected {
    /// Answers with these statuses, and the connection stays open.
    Open(&'static [u16]),
    /// Answers with these statuses, and the end of the connection.
    Closed(&'static [u16]),
    /// One of these, with or without the connection's end.
    OneOf(&'static [u16]),
}

use Expected::{Closed, OneOf, Open};

pub(super) struct Case {
    pub(super) id: &'static str,
    request: &'static str,
    /// `{LONG}` in the request stands for so many bytes.
    long: usize,
    expected: Expected,
}

const fn case(id: &'static str, request: &'static str, expected: Expected) -> Case {
    Case { id, request, long: 0, expected }
}

const fn long(id: &'static str, request: &'static str, long: usize, expected: Expected) -> Case {
    Case { id, request, long, expected }
}

const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\n";

pub(super) static CASES: &[Case] = &[
    case("9110-2.5", "GET /_now HTTP/3.0\r\nHost: x\r\n\r\n", Closed(&[400])),
    case("9110-5.1", "GET /_now HTTP/1.1\r\nHost: x\r\nX-Whatever: 1\r\n\r\n", Open(&[200])),
    case(
        "9110-5.3",
        "POST /i/c/_publish HTTP/1.1\r\nHost: x\r\nContent-Encoding: identity\r\nContent-Encoding: br\r\n\
         Content-Length: 2\r\n\r\n{}",
        Open(&[400]),
    ),
    case("9110-5.5-control", "GET /_now HTTP/1.1\r\nHost: x\r\nX-A: a\0b\r\n\r\n", Closed(&[400])),
    case("9110-5.5-obs-text", "GET /_now HTTP/1.1\r\nHost: x\r\nX-A: é\r\n\r\n", Open(&[200])),
    case(
        "9110-5.6.1.2",
        "POST /i/c/_publish HTTP/1.1\r\nHost: x\r\nContent-Encoding: , identity,,\r\nContent-Length: 2\r\n\r\n{}",
        Open(&[200]),
    ),
    case("9110-6.4.1", "GET /_now HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", Open(&[200])),
    case(
        "9110-7.8-ignore",
        "GET /_now HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        Open(&[200]),
    ),
    case(
        "9110-7.8-1.0",
        "GET /_now HTTP/1.0\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        Closed(&[200]),
    ),
    case(
        "9110-8.6-invalid",
        "POST /_query HTTP/1.1\r\nHost: x\r\nContent-Length: two\r\n\r\n{}",
        Closed(&[400]),
    ),
    case(
        "9110-8.6-overflow",
        "POST /_query HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n{}",
        Closed(&[400]),
    ),
    case("9110-9.1-general", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", Open(&[200])),
    case("9110-9.3.6", "CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n", OneOf(&[400])),
    case(
        "9110-9.3.7",
        "OPTIONS /_now HTTP/1.1\r\nHost: x\r\n\r\nOPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        Open(&[200, 200]),
    ),
    case("9110-9.3.8", "TRACE / HTTP/1.1\r\nHost: x\r\nCookie: secret\r\n\r\n", Open(&[400])),
    case(
        "9110-10.1.1-1.0",
        "POST /i/c/_publish HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
        Closed(&[200]),
    ),
    case("9110-10.1.1-unknown", "GET /_now HTTP/1.1\r\nHost: x\r\nExpect: tea\r\n\r\n", OneOf(&[200, 417])),
    case("9110-12.5.3", "GET /_now HTTP/1.1\r\nHost: x\r\n\r\n", Open(&[200])),
    case("9110-14.2", "GET /_now HTTP/1.1\r\nHost: x\r\nRange: bytes=0-1\r\n\r\n", Open(&[200])),
    long(
        "9110-15.5.14",
        "POST /_query HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n{LONG}",
        2_000_000,
        Closed(&[413]),
    ),
    long("9110-17.5", "GET /_now HTTP/1.1\r\nHost: x\r\nX-A: {LONG}\r\n\r\n", 100_000, Closed(&[431])),
    case("9112-2.2-crlf", "\r\n\r\nGET /_now HTTP/1.1\r\nHost: x\r\n\r\n", Open(&[200])),
    case("9112-2.2-lf", "GET /_now HTTP/1.1\nHost: x\n\n", OneOf(&[200, 400])),
    case("9112-2.2-cr", "GET /_now HTTP/1.1\r\nHost: x\r\nX-A: a\rb\r\n\r\n", Closed(&[400])),
    case("9112-2.2-space", "GET /_now HTTP/1.1\r\n Host: x\r\nHost: x\r\n\r\n", Closed(&[400])),
    case("9112-2.2-nonsense", "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\r\n\r\n", Closed(&[400])),
    case("9112-2.3", "GET /_now http/1.1\r\nHost: x\r\n\r\n", Closed(&[400])),
    case("9112-3-spaces", "GET /_now /_now HTTP/1.1\r\nHost: x\r\n\r\n", Closed(&[400])),
    long("9112-3-long", "GET /{LONG} HTTP/1.1\r\nHost: x\r\n\r\n", 100_000, Closed(&[431])),
    case("9112-3-method", "G(T /_now HTTP/1.1\r\nHost: x\r\n\r\n", Closed(&[400])),
    case("9112-3.2-missing", "GET /_now HTTP/1.1\r\n\r\n", Closed(&[400])),
    case("9112-3.2-twice", "GET /_now HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", Closed(&[400])),
    case("9112-3.2-invalid", "GET /_now HTTP/1.1\r\nHost: a b/c\r\n\r\n", Closed(&[400])),
    case("9112-3.2-1.0", "GET /_now HTTP/1.0\r\n\r\n", Closed(&[200])),
    case("9112-3.2.2", "GET http://other:1/_now?a=b HTTP/1.1\r\nHost: x\r\n\r\n", Open(&[200])),
    case("9112-3.2.4", "GET * HTTP/1.1\r\nHost: x\r\n\r\n", OneOf(&[400, 404])),
    case("9112-5.1-name", "GET /_now HTTP/1.1\r\nHost : x\r\n\r\n", Closed(&[400])),
    case(
        "9112-5.1-value",
        "POST /i/c/_publish HTTP/1.1\r\nHost:x\r\nContent-Length:  \t2\t \r\n\r\n{}",
        Open(&[200]),
    ),
    case("9112-5.1-token", "GET /_now HTTP/1.1\r\nHost: x\r\nX(A: 1\r\n\r\n", Closed(&[400])),
    case("9112-5.2", "GET /_now HTTP/1.1\r\nHost: x\r\nX-A: a\r\n b\r\n\r\n", Closed(&[400])),
    case(
        "9112-6.1-both",
        "POST /i/c/_publish HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n\
         2\r\n{}\r\n0\r\n\r\nGET /_now HTTP/1.1\r\nHost: x\r\n\r\n",
        Closed(&[200]),
    ),
    case(
        "9112-6.1-both-order",
        "POST /i/c/_publish HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n\
         2\r\n{}\r\n0\r\n\r\nGET /_now HTTP/1.1\r\nHost: x\r\n\r\n",
        Closed(&[200]),
    ),
    case(
        "9112-6.1-1.0",
        "POST /i/c/_publish HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        Closed(&[400]),
    ),
    case(
        "9112-6.1-unknown",
        "POST /i/c/_publish HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        Closed(&[400]),
    ),
    case(
        "9112-6.1-last",
        "POST /i/c/_publish HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, gzip\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        Closed(&[400]),
    ),
    case(
        "9112-6.1-twice",
        "POST /i/c/_publish HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\
         \r\n2\r\n{}\r\n0\r\n\r\n",
        Closed(&[400]),
    ),
    case(
        "9112-6.3-different",
        "POST /i/c/_publish HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
        Closed(&[400]),
    ),
    case(
        "9112-6.3-list",
        "POST /i/c/_publish HTTP/1.1\r\nHost: x\r\nContent-Length: 2, 2\r\n\r\n{}",
        OneOf(&[200, 400]),
    ),
    case("9112-6.3-sign", "POST /_query HTTP/1.1\r\nHost: x\r\nContent-Length: +2\r\n\r\n{}", Closed(&[400])),
    case(
        "9112-6.3-none",
        "POST /i/c/_publish HTTP/1.1\r\nHost: x\r\n\r\nGET /_now HTTP/1.1\r\nHost: x\r\n\r\n",
        Open(&[400, 200]),
    ),
    case(
        "9112-7.1-chunked",
        "POST /i/c/_publish HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
         1;a=b\r\n{\r\n01\r\n}\r\n0\r\nX-Trailer: 1\r\n\r\n",
        OneOf(&[200]),
    ),
    case(
        "9112-7.1-size",
        "POST /i/c/_publish HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n",
        Closed(&[400]),
    ),
    case(
        "9112-7.1-overflow",
        "POST /i/c/_publish HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
         fffffffffffffffff2\r\n{}\r\n0\r\n\r\n",
        Closed(&[400]),
    ),
    case(
        "9112-7.1-end",
        "POST /i/c/_publish HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}XX0\r\n\r\n",
        Closed(&[400]),
    ),
    long(
        "9112-7.1-limit",
        "POST /i/c/_publish HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n200000\r\n{LONG}\r\n0\r\n\r\n",
        0x20_0000,
        Closed(&[413]),
    ),
    long(
        "9112-7.1.1",
        "POST /i/c/_publish HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2;{LONG}\r\n{}\r\n0\r\n\r\n",
        100_000,
        Closed(&[400]),
    ),
    long(
        "9112-7.1.2",
        "POST /i/c/_publish HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX: {LONG}\r\n\r\n",
        100_000,
        Closed(&[400]),
    ),
    case(
        "9112-9.3-1.0",
        "GET /_now HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /_now HTTP/1.0\r\n\r\n",
        Closed(&[200, 200]),
    ),
    case(
        "6455-4.2.1-get",
        "POST / HTTP/1.1\r\nHost: x\r\n{UPGRADE}Sec-WebSocket-Version: 13\r\n{KEY}\r\n",
        Closed(&[400]),
    ),
    case(
        "6455-4.2.1-host",
        "GET / HTTP/1.1\r\n{UPGRADE}Sec-WebSocket-Version: 13\r\n{KEY}\r\n",
        Closed(&[400]),
    ),
    case(
        "6455-4.2.1-upgrade",
        "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: h2c, WebSocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\n{KEY}\r\n",
        Open(&[101]),
    ),
    case(
        "6455-4.2.1-connection",
        "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: keep-alive\r\nConnection: UPGRADE\r\n\
         Sec-WebSocket-Version: 13\r\n{KEY}\r\n",
        Open(&[101]),
    ),
    case(
        "6455-4.2.1-no-connection",
        "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n{KEY}\r\n",
        Closed(&[400]),
    ),
    case(
        "6455-4.2.1-key",
        "GET / HTTP/1.1\r\nHost: x\r\n{UPGRADE}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: c2hvcnQ=\r\n\r\n",
        Closed(&[400]),
    ),
    case(
        "6455-4.2.1-no-key",
        "GET / HTTP/1.1\r\nHost: x\r\n{UPGRADE}Sec-WebSocket-Version: 13\r\n\r\n",
        Closed(&[400]),
    ),
    case(
        "6455-4.2.1-keys",
        "GET / HTTP/1.1\r\nHost: x\r\n{UPGRADE}Sec-WebSocket-Version: 13\r\n{KEY}{KEY}\r\n",
        Closed(&[400]),
    ),
];

/// The request's bytes. `\u{fc}` stands for what is neither ASCII nor a character.
fn bytes(case: &Case) -> Vec<u8> {
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let text = case.request.replace("{UPGRADE}", UPGRADE).replace("{KEY}", key);
    text.replace("{LONG}", &"x".repeat(case.long)).into_bytes()
}

/// Whether the connection still serves.
fn is_open(client: &mut HttpClient, last: &Reply) -> bool {
    if last.status == 101 {
        return true;
    }
    client.try_send("GET /_now HTTP/1.1\r\nHost: x\r\n\r\n") && client.try_receive(true).is_some()
}

#[test]
fn every_case_of_http_is_answered_as_the_rfcs_demand() {
    let (_installation, mut host) = serve(&json!({}));
    let mut wrong = Vec::new();
    for case in CASES {
        let mut client = client(&mut host);
        let mut writer = client.stream();
        let request = bytes(case);
        // The host may answer and end before all is written.
        let writing = thread::spawn(move || drop(std::io::Write::write_all(&mut writer, &request)));
        let (count, closes) = match case.expected {
            Open(statuses) => (statuses.len(), Some(false)),
            Closed(statuses) => (statuses.len(), Some(true)),
            OneOf(_) => (1, None),
        };
        let replies: Vec<Reply> = (0..count).map_while(|_| client.try_receive(true)).collect();
        let statuses: Vec<_> = replies.iter().map(|reply| reply.status).collect();
        let as_expected = match case.expected {
            Open(expected) | Closed(expected) => statuses == expected,
            OneOf(expected) => statuses.len() == 1 && expected.contains(&statuses[0]),
        };
        let open = match (closes, replies.last()) {
            (Some(true), _) => !client.is_closed(),
            (Some(false), Some(last)) => is_open(&mut client, last),
            _ => false,
        };
        if !as_expected || closes.is_some_and(|closes| closes == open) {
            wrong.push(format!("{}: {statuses:?}, open: {open}", case.id));
        }
        drop(client);
        writing.join().unwrap();
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(client(&mut host).get("/_now").status, 200);
}

#[test]
fn head_has_no_body() {
    let (_installation, mut host) = serve(&json!({}));
    let mut client = client(&mut host);
    for path in ["/", "/_now", "/"] {
        client.send(format!("HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
        let reply = client.receive_head();
        assert!(reply.header("content-length").is_some(), "{path}");
    }
    // What comes next is the next answer.
    assert_eq!(client.get("/_now").status, 200);
}

#[test]
fn leave_to_send_a_body_is_given_or_refused() {
    let (_installation, mut host) = serve(&json!({}));
    let head = |length: usize| {
        format!(
            "POST /i/c/_publish HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n"
        )
    };
    let mut given = client(&mut host);
    given.send(head(2));
    assert_eq!(given.receive().status, 100);
    given.send("{}");
    assert_eq!(given.receive().status, 200);
    let mut refused = client(&mut host);
    refused.send(head(10 << 20));
    assert_eq!(refused.receive().status, 413);
    assert!(refused.is_closed());
}

#[test]
fn an_upgrade_in_http_1_0_is_ignored() {
    let (_installation, mut host) = serve(&json!({}));
    let mut client = client(&mut host);
    client.send("GET /_now HTTP/1.0\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
    assert_eq!(client.receive().status, 200);
}

#[test]
fn another_version_is_told_which_one_is_spoken() {
    let (_installation, mut host) = serve(&json!({}));
    let mut client = client(&mut host);
    client.send(format!("GET / HTTP/1.1\r\nHost: x\r\n{UPGRADE}Sec-WebSocket-Version: 8\r\n\r\n"));
    let reply = client.receive();
    assert_eq!((reply.status, reply.header("sec-websocket-version")), (426, Some("13")));
    assert_eq!(reply.header("upgrade"), Some("websocket"));
}

#[test]
fn an_id_cannot_split_an_answer() {
    let (_installation, mut host) = serve(&json!({}));
    let mut client = client(&mut host);
    let ids = ["a%0d%0aX-Evil: 1", "\u{e9}", "\"quoted\\\"", "a\tb"];
    for id in ids {
        let reply =
            client.request("GET", "/_now?requestId=a%0d%0aX-Evil:1", &[("X-Kuzzle-Request-Id", id)], b"");
        assert_eq!((reply.status, reply.header("x-evil")), (200, None), "{id:?}");
        assert!(reply.json()["requestId"].is_string());
    }
}

#[test]
fn no_request_is_smuggled() {
    let (_installation, mut host) = serve(&json!({}));
    // Each hides a request in what one reading takes for a body.
    let hidden = "GET /_smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    let length = hidden.len();
    for head in [
        format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n\r\n0\r\n\r\n"),
        format!(
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\nContent-Length: {length}\r\n\r\n0\r\n\r\n"
        ),
        format!("Transfer-Encoding: \x0bchunked\r\nContent-Length: {length}\r\n\r\n"),
        format!("Transfer-Encoding : chunked\r\nContent-Length: {length}\r\n\r\n0\r\n\r\n"),
        format!("X: x\nTransfer-Encoding: chunked\r\nContent-Length: {length}\r\n\r\n0\r\n\r\n"),
        format!(" Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n\r\n0\r\n\r\n"),
        format!("Content-Length: {length}\r\nContent-Length: 0\r\n\r\n"),
        format!("Content-Length: 0\r\nContent-Length: {length}\r\n\r\n"),
        format!("Content-Length: 0, {length}\r\n\r\n"),
        format!("Content-Length: -{length}\r\n\r\n"),
        format!("Content-Length: 0x{length:x}\r\n\r\n"),
        "Transfer-Encoding: chunked\r\n\r\n1\n{\r\n0\r\n\r\n".to_owned(),
    ] {
        let mut client = client(&mut host);
        client.send(format!("POST /i/c/_publish HTTP/1.1\r\nHost: x\r\n{head}{hidden}"));
        let first = client.try_receive(true).unwrap_or_else(|| panic!("no answer to {head:?}"));
        let second = client.try_receive(true);
        assert!(second.is_none(), "{head:?}: {} {second:?}", first.status);
    }
}

#[test]
fn a_refusal_reaches_a_client_that_is_still_sending() {
    let (_installation, mut host) = serve(&json!({}));
    for _ in 0..10 {
        let mut client = client(&mut host);
        let mut stream = client.stream();
        let writing = thread::spawn(move || {
            let head = "POST /_query HTTP/1.1\r\nHost: x\r\nContent-Length: 50000000\r\n\r\n";
            let mut all = std::io::Write::write_all(&mut stream, head.as_bytes());
            for _ in 0..50 {
                all = all.and_then(|()| std::io::Write::write_all(&mut stream, &[b' '; 20_000]));
            }
        });
        assert_eq!(client.receive().json()["id"], "network.http.request_too_large");
        drop(client);
        writing.join().unwrap();
    }
    assert_eq!(client(&mut host).request("POST", "/i/c/_publish", &[JSON], b"{}").status, 200);
}
