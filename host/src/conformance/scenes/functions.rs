//! Each function with good, unknown, stale and hostile arguments. What is looked for is that the
//! protocol survives, does not panic, and serves afterwards.

use std::time::Duration;

use kuzzle_protocol_abi::testing::{Payloads, Running};
use kuzzle_protocol_abi::{ConnectionId, DisconnectReason};
use serde_json::json;

use super::super::clients::{Client, Way};
use super::super::scene::{Scene, Served, Stop, news, no_panic, unknown_connections};

/// How long a client that must be closed may take to be removed: as long as a host waits.
const REMOVAL: Duration = Duration::from_secs(5);

/// Names of channels, each with what it is.
fn channels() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("a usual channel", b"0a1b2c3d-conformance".to_vec()),
        ("an empty channel", Vec::new()),
        ("a channel of 1 MiB", vec![b'x'; 1 << 20]),
        ("a channel that is not UTF-8", b"\xff\xfe\xc0\x80".to_vec()),
        ("a channel with a NUL", b"a\0b".to_vec()),
        ("a channel with line feeds", b"a\r\n\nb".to_vec()),
        ("a channel with quotes", br#"a"b\c{}"#.to_vec()),
        ("a channel of wildcards", b"#/+/*?%s%n".to_vec()),
        ("a channel with characters of four bytes", "\u{1f980}".repeat(64).into_bytes()),
    ]
}

/// The parts of payloads, each with what it is.
fn payloads() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let text = news().to_string().into_bytes();
    let large = json!({ "large": "x".repeat(1 << 20) }).to_string().into_bytes();
    vec![
        ("a usual payload", vec![text.clone()]),
        ("a payload in parts of one byte", text.iter().map(|byte| vec![*byte]).collect()),
        ("a payload with empty parts", vec![Vec::new(), text[..3].to_vec(), Vec::new(), text[3..].to_vec()]),
        ("an empty object", vec![b"{}".to_vec()]),
        ("a payload of 1 MiB", vec![large]),
    ]
}

/// A protocol that serves, with a client that is there and one that has gone, if it is known how to be one.
struct Stage {
    served: Served,
    way: Option<Way>,
    present: Option<Client>,
    connections: Vec<(&'static str, ConnectionId)>,
}

fn stage(scene: &Scene<'_>) -> Result<Stage, Stop> {
    let served = scene.serve()?;
    let (way, present) = served.client_if_any(scene);
    let mut connections: Vec<_> =
        unknown_connections().into_iter().map(|id| ("an unknown connection", id)).collect();
    if let Some(id) = present.as_ref().and_then(|client| client.id) {
        connections.insert(0, ("a connection", id));
    }
    if let Some(gone) = way.and_then(|way| way.connect(served.host)).and_then(|client| client.id) {
        let is_gone = |recorded: &kuzzle_protocol_abi::testing::Recorded| {
            recorded.removed.contains(&gone).then_some(())
        };
        // Over UDP nobody notices; then it is a second one that is there.
        let _ = served.host.wait_for(Duration::from_millis(200), is_gone);
        connections.push(("a connection that has gone", gone));
    }
    Ok(Stage { served, way, present, connections })
}

impl Stage {
    fn running(&self) -> Running {
        self.served.running
    }

    /// Serves new clients still; the one that was there is gone then.
    fn end(self, scene: &Scene<'_>) -> Result<(), Stop> {
        drop(self.present);
        self.served.still_serves(scene, self.way)
    }
}

/// Makes a call, which must not panic; none any more when it has taken long enough.
fn call(
    scene: &Scene<'_>,
    what: &str,
    call: impl FnOnce() -> Result<(), kuzzle_protocol_abi::Status>,
) -> Result<(), Stop> {
    if scene.is_late() {
        return Ok(());
    }
    scene.step(&format!("{what} was being called"));
    no_panic(what, call())
}

pub(in super::super) fn broadcast(scene: &Scene<'_>) -> Result<(), Stop> {
    let stage = stage(scene)?;
    for longer in [false, true] {
        if longer {
            stage.served.host.send_longer_structs();
        }
        for (payload_is, payload) in payloads() {
            for (channel_is, channel) in channels() {
                call(scene, &format!("broadcast with {channel_is} and {payload_is}"), || {
                    send(stage.running(), &[channel], &payload)
                })?;
            }
        }
    }
    call(scene, "broadcast without channels", || send(stage.running(), &[], &[b"{}".to_vec()]))?;
    let many: Vec<_> = (0..5000).map(|number| format!("channel-{number}").into_bytes()).collect();
    call(scene, "broadcast with 5000 channels", || send(stage.running(), &many, &[b"{}".to_vec()]))?;
    stage.end(scene)
}

fn send(
    running: Running,
    channels: &[Vec<u8>],
    parts: &[Vec<u8>],
) -> Result<(), kuzzle_protocol_abi::Status> {
    let parts: &(dyn Payloads + '_) = &Parts(parts);
    running.broadcast(channels, parts)
}

/// Parts as they are.
struct Parts<'a>(&'a [Vec<u8>]);

impl Payloads for Parts<'_> {
    fn parts(&self) -> Vec<Vec<u8>> {
        self.0.to_vec()
    }
}

pub(in super::super) fn notify(scene: &Scene<'_>) -> Result<(), Stop> {
    let stage = stage(scene)?;
    for (connection_is, connection) in &stage.connections {
        for (payload_is, payload) in payloads() {
            for (channel_is, channel) in channels() {
                call(scene, &format!("notify with {connection_is}, {channel_is} and {payload_is}"), || {
                    stage.running().notify(*connection, &[channel], &Parts(&payload))
                })?;
            }
        }
        call(scene, &format!("notify with {connection_is} and without channels"), || {
            stage.running().notify::<&str>(*connection, &[], &news())
        })?;
        stage.served.host.send_longer_structs();
        call(scene, &format!("notify with {connection_is} and the longer struct of a later host"), || {
            stage.running().notify(*connection, &["c"], &news())
        })?;
    }
    stage.end(scene)
}

pub(in super::super) fn channels_of(scene: &Scene<'_>) -> Result<(), Stop> {
    let stage = stage(scene)?;
    let running = stage.running();
    for (connection_is, connection) in &stage.connections {
        for (channel_is, channel) in channels() {
            call(
                scene,
                &format!("leave_channel, before any join, with {connection_is} and {channel_is}"),
                || running.leave_channel(*connection, &channel),
            )?;
            for time in ["", ", again"] {
                call(scene, &format!("join_channel with {connection_is} and {channel_is}{time}"), || {
                    running.join_channel(*connection, &channel)
                })?;
            }
            call(scene, &format!("broadcast to {channel_is} after {connection_is} had joined"), || {
                running.broadcast(&[&channel], &news())
            })?;
            for time in ["", ", again"] {
                call(scene, &format!("leave_channel with {connection_is} and {channel_is}{time}"), || {
                    running.leave_channel(*connection, &channel)
                })?;
            }
        }
    }
    let (_, connection) = stage.connections[0];
    for (function, join) in [("join_channel", true), ("leave_channel", false)] {
        for number in 0..3000 {
            let what = format!("{function} with many channels of one connection, now with {number}");
            let channel = format!("channel-{number}");
            call(scene, &what, || match join {
                true => running.join_channel(connection, channel),
                false => running.leave_channel(connection, channel),
            })?;
        }
    }
    stage.end(scene)
}

pub(in super::super) fn disconnect(scene: &Scene<'_>) -> Result<(), Stop> {
    let stage = stage(scene)?;
    let running = stage.running();
    let texts = [("", "no message"), ("kuzzle-host conformance", "a message")];
    let long = "x".repeat(1 << 20);
    let reasons = [DisconnectReason::Shutdown, DisconnectReason::Overflow, DisconnectReason::Requested];
    let hostile: [(&[u8], &str); 2] =
        [(long.as_bytes(), "a message of 1 MiB"), (b"\xff", "a message that is not UTF-8")];
    let messages: Vec<_> = texts.iter().map(|(text, is)| (text.as_bytes(), *is)).chain(hostile).collect();
    for (connection_is, connection) in stage.connections.iter().rev() {
        for (message, message_is) in &messages {
            for reason in reasons {
                call(
                    scene,
                    &format!("disconnect ({reason:?}) with {connection_is} and {message_is}"),
                    || running.disconnect(*connection, reason, message),
                )?;
            }
        }
    }
    scene.step("a client that had to be closed was not removed yet");
    if let Some(id) = stage.present.as_ref().and_then(|client| client.id) {
        let removed =
            stage.served.host.wait_for(REMOVAL, |recorded| recorded.removed.contains(&id).then_some(()));
        if removed.is_none() {
            let seconds = REMOVAL.as_secs();
            return Err(Stop::failed(format!("a client was not removed {seconds} s after its disconnect")));
        }
    }
    stage.served.host.send_longer_structs();
    call(scene, "disconnect with the longer struct of a later host", || {
        running.disconnect(unknown_connections()[1], DisconnectReason::Requested, "")
    })?;
    stage.end(scene)
}
