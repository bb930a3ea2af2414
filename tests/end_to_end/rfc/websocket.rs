//! RFC 6455: frames of a client, and what comes back.

use kuzzle_tests::{Client, WebSocketClient, frame, masked};
use serde_json::json;

use crate::http::serve;

const CONTINUE: u8 = 0x00;
const TEXT: u8 = 0x01;
const BINARY: u8 = 0x02;
const CLOSE: u8 = 0x08;
const PING: u8 = 0x09;
const PONG: u8 = 0x0a;
const FIN: u8 = 0x80;
const APP_PING: &[u8] = br#"{"p":1}"#;
const APP_PONG: &[u8] = br#"{"p":2}"#;

/// What comes back.
enum Expected {
    /// A close frame with this code, and the end of the connection.
    Closed(u16),
    /// These frames, and the connection stays open.
    Frames(Vec<(u8, Vec<u8>)>),
}

use Expected::Closed;

fn app_pong() -> Expected {
    Expected::Frames(vec![(FIN | TEXT, APP_PONG.to_vec())])
}

fn nothing() -> Expected {
    Expected::Frames(Vec::new())
}

/// Masked frames in a row.
fn frames(frames: &[(u8, &[u8])]) -> Vec<u8> {
    frames.iter().flat_map(|(first, payload)| masked(*first, payload)).collect()
}

fn one(first: u8, payload: &[u8]) -> Vec<u8> {
    masked(first, payload)
}

fn closing(code: u16, reason: &[u8]) -> Vec<u8> {
    one(FIN | CLOSE, &[&code.to_be_bytes(), reason].concat())
}

/// A header with a length that is written as given, and no payload.
fn header(first: u8, length: &[u8]) -> Vec<u8> {
    [&[first], length, &[0; 4]].concat()
}

fn cases() -> Vec<(&'static str, Vec<u8>, Expected)> {
    let app_ping = || one(FIN | TEXT, APP_PING);
    let split = serde_json::to_vec(&json!({ "p": 1, "text": "é" })).unwrap();
    let cut = split.iter().position(|byte| *byte == 0xc3).unwrap() + 1;
    vec![
        ("6455-5.1-masked", frame(FIN | TEXT, APP_PING), Closed(1002)),
        ("6455-5.1-server", app_ping(), app_pong()),
        ("6455-5.2-rsv1", one(FIN | 0x40 | TEXT, APP_PING), Closed(1002)),
        ("6455-5.2-rsv2", one(FIN | 0x20 | TEXT, APP_PING), Closed(1002)),
        ("6455-5.2-rsv3", one(FIN | 0x10 | TEXT, APP_PING), Closed(1002)),
        ("6455-5.2-opcode", one(FIN | 0x03, APP_PING), Closed(1002)),
        ("6455-5.2-control-opcode", one(FIN | 0x0b, b""), Closed(1002)),
        ("6455-5.2-minimal-16", header(FIN | TEXT, &[0xfe, 0, 7]), Closed(1002)),
        ("6455-5.2-minimal-64", header(FIN | TEXT, &[0xff, 0, 0, 0, 0, 0, 0, 0, 200]), Closed(1002)),
        ("6455-5.2-huge", header(FIN | TEXT, &[0xff; 9]), Closed(1002)),
        (
            "6455-5.4-fragments",
            frames(&[(TEXT, &APP_PING[..2]), (CONTINUE, &APP_PING[2..4]), (FIN, &APP_PING[4..])]),
            app_pong(),
        ),
        ("6455-5.4-empty", frames(&[(TEXT, b""), (CONTINUE, APP_PING), (FIN, b"")]), app_pong()),
        (
            "6455-5.4-control",
            frames(&[(TEXT, &APP_PING[..2]), (FIN | PING, b"x"), (FIN | PONG, b""), (FIN, &APP_PING[2..])]),
            Expected::Frames(vec![(FIN | PONG, b"x".to_vec()), (FIN | TEXT, APP_PONG.to_vec())]),
        ),
        ("6455-5.4-continuation", one(FIN, APP_PING), Closed(1002)),
        ("6455-5.4-inside", frames(&[(TEXT, b"{"), (FIN | TEXT, APP_PING)]), Closed(1002)),
        ("6455-5.5-long", one(FIN | PING, &[0; 126]), Closed(1002)),
        ("6455-5.5-fragmented", one(PING, b""), Closed(1002)),
        ("6455-5.5.1-echo", closing(1001, b"going"), Closed(1001)),
        ("6455-5.5.1-empty", one(FIN | CLOSE, b""), Closed(1005)),
        ("6455-5.5.1-one-byte", one(FIN | CLOSE, b"\x03"), Closed(1002)),
        ("6455-5.5.1-after", [closing(1000, b""), app_ping()].concat(), Closed(1000)),
        ("6455-5.5.2", one(FIN | PING, b"data"), Expected::Frames(vec![(FIN | PONG, b"data".to_vec())])),
        ("6455-5.5.2-long", one(FIN | PING, &[7; 125]), Expected::Frames(vec![(FIN | PONG, vec![7; 125])])),
        ("6455-5.5.3", one(FIN | PONG, b"data"), nothing()),
        ("6455-5.6-text", one(FIN | TEXT, b"{\"a\":\"\xff\"}"), Closed(1007)),
        ("6455-5.6-split", frames(&[(TEXT, &split[..cut]), (FIN, &split[cut..])]), nothing()),
        ("6455-5.6-binary", one(FIN | BINARY, APP_PING), app_pong()),
        ("6455-7.4.1-1004", closing(1004, b""), Closed(1002)),
        ("6455-7.4.1-1005", closing(1005, b""), Closed(1002)),
        ("6455-7.4.1-1006", closing(1006, b""), Closed(1002)),
        ("6455-7.4.1-1015", closing(1015, b""), Closed(1002)),
        ("6455-7.4.2-0", closing(999, b""), Closed(1002)),
        ("6455-7.4.2-2999", closing(2999, b""), Closed(1002)),
        ("6455-7.4.2-3000", closing(3000, b""), Closed(3000)),
        ("6455-7.4.2-5000", closing(5000, b""), Closed(1002)),
        ("6455-8.1-reason", closing(1000, b"\xff"), Closed(1007)),
        ("6455-10.3", app_ping(), app_pong()),
        // The length alone is enough.
        ("6455-10.4-frame", header(FIN | TEXT, &[0xff, 0, 0, 0, 0, 0, 0x10, 0, 1]), Closed(1009)),
        ("6455-10.4-message", frames(&[(TEXT, &[b' '; 700_000]), (FIN, &[b' '; 400_000])]), Closed(1009)),
    ]
}

pub(super) fn ids() -> impl Iterator<Item = &'static str> {
    cases().into_iter().map(|(id, ..)| id)
}

#[test]
fn every_case_of_websocket_is_answered_as_the_rfc_demands() {
    let (_installation, mut host) = serve(&json!({}));
    let address = host.address("http-ws");
    let mut wrong = Vec::new();
    for (id, bytes, expected) in cases() {
        // At once, and byte by byte: the answer is the same.
        for chunk in [bytes.len(), 1] {
            if bytes.len() / chunk > 10_000 {
                continue;
            }
            let mut client = WebSocketClient::connect(address);
            let sent = bytes.chunks(chunk).all(|chunk| client.try_send_bytes(chunk));
            match &expected {
                Closed(code) => match client.closing() {
                    Some((got, _)) if got == *code => {}
                    other => wrong.push(format!("{id} in chunks of {chunk}: {other:?}, sent: {sent}")),
                },
                Expected::Frames(frames) => {
                    let got: Vec<_> = frames.iter().map_while(|_| client.try_receive_frame()).collect();
                    if got != *frames {
                        wrong.push(format!("{id} in chunks of {chunk}: {got:?}"));
                        continue;
                    }
                    // An error of the API may come first; the connection lives.
                    client.send_text(r#"{"controller":"server","action":"now","requestId":"alive"}"#);
                    while client.receive()["requestId"] != "alive" {}
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
