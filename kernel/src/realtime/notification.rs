//! The notifications and their exact layout.
//!
//! Source: Kuzzle, lib/core/realtime/notification/*.ts, notifier.ts. Members come in Kuzzle's order; `room` is left
//! to the protocols.

use serde_json::value::RawValue;

use super::room::Room;
use crate::funnel::Call;
use crate::json::{self, push_number, push_raw, push_raw_or_null, push_string};
use crate::outbound::Payload;

/// The author of messages from clients that are not logged in: the anonymous user.
const ANONYMOUS: &str = "-1";

/// What a user notification reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UserEvent {
    In,
    Out,
}

/// A message was published; `source` is what [`source`] made of its body.
pub(crate) fn published(call: &Call<'_>, index: &str, collection: &str, source: &str) -> Payload {
    let volatile = call.request.volatile();
    let variable = source.len()
        + volatile.map_or(0, |value| value.get().len())
        + call.request_id.len()
        + index.len()
        + collection.len();
    let mut out = Vec::with_capacity(variable + 512);
    out.extend_from_slice(br#"{"type":"document","status":200,"action":"publish","scope":"in","result":{"#);
    if let Some(id) = call.request.arguments().id.filter(|id| json::kind(id) != json::Kind::Null) {
        out.extend_from_slice(br#""_id":"#);
        push_raw(&mut out, id.get());
        out.push(b',');
    }
    out.extend_from_slice(br#""_source":"#);
    out.extend_from_slice(source.as_bytes());
    out.extend_from_slice(br#"},"node":"#);
    push_string(&mut out, call.kernel.node_id());
    out.extend_from_slice(br#","event":"publish","requestId":"#);
    push_string(&mut out, call.request_id);
    out.extend_from_slice(br#","timestamp":"#);
    out.extend_from_slice(call.timestamp().as_bytes());
    out.extend_from_slice(br#","volatile":"#);
    push_raw_or_null(&mut out, volatile);
    push_place(&mut out, index, collection);
    out.extend_from_slice(br#","controller":"realtime","protocol":"#);
    push_string(&mut out, call.caller.protocol);
    out.push(b'}');
    Payload::new(out)
}

/// Somebody has entered the room.
pub(crate) fn entered(call: &Call<'_>, room: &Room) -> Payload {
    User {
        event: "in",
        node_id: call.kernel.node_id(),
        timestamp: &call.timestamp(),
        volatile: call.request.volatile(),
        action: call.request.action().unwrap_or("subscribe"),
        protocol: Some(call.caller.protocol),
    }
    .payload(room)
}

/// Somebody has left the room; `volatile` is what came with the subscription. As in Kuzzle the protocol is not told.
pub(crate) fn left(room: &Room, volatile: Option<&RawValue>, node_id: &str, now_ms: u64) -> Payload {
    User {
        event: "out",
        node_id,
        timestamp: &now_ms.to_string(),
        volatile,
        action: "unsubscribe",
        protocol: None,
    }
    .payload(room)
}

struct User<'a> {
    event: &'static str,
    node_id: &'a str,
    /// A JSON number.
    timestamp: &'a str,
    volatile: Option<&'a RawValue>,
    action: &'a str,
    protocol: Option<&'a str>,
}

impl User<'_> {
    fn payload(&self, room: &Room) -> Payload {
        let mut out = Vec::with_capacity(384 + self.volatile.map_or(0, |value| value.get().len()));
        out.extend_from_slice(br#"{"type":"user","status":200,"user":"#);
        push_string(&mut out, self.event);
        out.extend_from_slice(br#","result":{"count":"#);
        push_number(&mut out, room.size() as u64);
        out.extend_from_slice(br#"},"node":"#);
        push_string(&mut out, self.node_id);
        out.extend_from_slice(br#","timestamp":"#);
        out.extend_from_slice(self.timestamp.as_bytes());
        out.extend_from_slice(br#","volatile":"#);
        push_raw_or_null(&mut out, self.volatile);
        push_place(&mut out, room.index(), room.collection());
        out.extend_from_slice(br#","controller":"realtime","action":"#);
        push_string(&mut out, self.action);
        out.extend_from_slice(br#","protocol":"#);
        match self.protocol {
            Some(protocol) => push_string(&mut out, protocol),
            None => out.extend_from_slice(b"null"),
        }
        out.push(b'}');
        Payload::new(out)
    }
}

fn push_place(out: &mut Vec<u8>, index: &str, collection: &str) {
    out.extend_from_slice(br#","index":"#);
    push_string(out, index);
    out.extend_from_slice(br#","collection":"#);
    push_string(out, collection);
}

/// The body of a message, a JSON object, with `_kuzzle_info` as its last member.
pub(crate) fn source(body: &RawValue, now_ms: u64) -> String {
    let text = body.get();
    let mut out = Vec::with_capacity(text.len() + 64);
    // A name of a member can only be spelt otherwise with such an escape.
    if text.contains("_kuzzle_info") || text.contains("\\u") {
        push_members_without_info(&mut out, body);
    } else {
        push_raw(&mut out, text.strip_suffix('}').unwrap_or(text).trim_ascii_end());
    }
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    out.extend_from_slice(br#""_kuzzle_info":{"author":"#);
    push_string(&mut out, ANONYMOUS);
    out.extend_from_slice(br#","createdAt":"#);
    push_number(&mut out, now_ms);
    out.extend_from_slice(b"}}");
    String::from_utf8(out).expect("it was put together of texts")
}

/// Appends an open brace and all members except `_kuzzle_info`, which the client may not choose.
fn push_members_without_info(out: &mut Vec<u8>, body: &RawValue) {
    out.push(b'{');
    let start = out.len();
    json::for_each_member(body, |name, value| {
        if !json::is_name(name, "_kuzzle_info") {
            if out.len() > start {
                out.push(b',');
            }
            push_raw(out, name.get());
            out.push(b':');
            push_raw(out, value.get());
        }
    });
}
