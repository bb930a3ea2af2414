//! Frames for the host's messages: the bytes are shared by everybody that a frame goes to.

use bytes::Bytes;
use kuzzle_protocol_abi::{Payload, Response};

use super::deflate;
use super::frame::{self, Opcode};
use super::outbox::Frame;

/// The longest header of a frame without mask.
const HEADER: usize = 10;
/// Up to this many bytes a message is copied, once for all its receivers: one piece is written faster than three.
const COPIED: usize = 16 * 1024;

/// A notification: the JSON object with `"room": channel` as its last member.
pub(crate) fn payload(payload: &Payload<'_>, channel: &str) -> Frame {
    if payload.len() > COPIED {
        return shared(Opcode::Text, payload.with_room(channel));
    }
    Frame::new(vec![copied(payload, Some(channel), false)])
}

/// An answer. `room`: its request's id. `compress`: if that is worthwhile.
pub(crate) fn answer(response: &Response<'_>, room: bool, compress: bool) -> Frame {
    let content = response.content();
    if response.is_raw() {
        let bytes = content.to_vec();
        let opcode = if std::str::from_utf8(&bytes).is_ok() { Opcode::Text } else { Opcode::Binary };
        return shared(opcode, vec![bytes.into()]);
    }
    let room = room.then(|| response.request_id());
    let compress = compress && content.len() >= deflate::WORTHWHILE;
    if content.len() <= COPIED || compress {
        return Frame::new(vec![copied(content, room, compress)]);
    }
    let content = content.retain();
    shared(Opcode::Text, room.map_or_else(|| content.parts().to_vec(), |room| content.with_room(room)))
}

/// A text of the protocol's own.
pub(crate) fn text(text: &[u8]) -> Frame {
    let mut bytes = Vec::with_capacity(HEADER + text.len());
    frame::write_header(&mut bytes, Opcode::Text, false, text.len());
    bytes.extend_from_slice(text);
    bytes.into()
}

/// A frame of pieces that are not copied.
fn shared(opcode: Opcode, mut pieces: Vec<Bytes>) -> Frame {
    let mut header = Vec::with_capacity(HEADER);
    frame::write_header(&mut header, opcode, false, pieces.iter().map(Bytes::len).sum());
    pieces.insert(0, header.into());
    pieces.retain(|piece| !piece.is_empty());
    Frame::new(pieces)
}

/// A frame in one piece: room for the longest header is left in front, and what is not needed is cut off.
fn copied(payload: &Payload<'_>, room: Option<&str>, compress: bool) -> Bytes {
    let mut bytes = Vec::with_capacity(HEADER + payload.len() + room.map_or(0, |room| room.len() + 12));
    bytes.resize(HEADER, 0);
    for part in payload.parts() {
        bytes.extend_from_slice(part);
    }
    if let Some(room) = room {
        append_room(&mut bytes, room);
    }
    let compressed = if compress { deflate::deflate(&bytes[HEADER..]) } else { None };
    let is_compressed = compressed.is_some();
    if let Some(compressed) = compressed {
        bytes.truncate(HEADER);
        bytes.extend_from_slice(&compressed);
    }
    let mut header = Vec::with_capacity(HEADER);
    frame::write_header(&mut header, Opcode::Text, is_compressed, bytes.len() - HEADER);
    let start = HEADER - header.len();
    bytes[start..HEADER].copy_from_slice(&header);
    Bytes::from(bytes).slice(start..)
}

/// Replaces the object's last byte by `,"room":…}`.
fn append_room(object: &mut Vec<u8>, room: &str) {
    if object.last() != Some(&b'}') {
        return;
    }
    object.pop();
    let empty = object.last() == Some(&b'{');
    object.extend_from_slice(if empty { b"\"room\":" } else { b",\"room\":" });
    if room.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        object.push(b'"');
        object.extend_from_slice(room.as_bytes());
        object.push(b'"');
    } else {
        serde_json::to_writer(&mut *object, room).expect("text is written to memory");
    }
    object.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_is_the_last_member() {
        for (object, room, expected) in [
            ("{\"a\":1}", "r", "{\"a\":1,\"room\":\"r\"}"),
            ("{}", "r", "{\"room\":\"r\"}"),
            ("{\"a\":1}", "a\"b\n", "{\"a\":1,\"room\":\"a\\\"b\\n\"}"),
            ("[1]", "r", "[1]"),
        ] {
            let mut bytes = object.as_bytes().to_vec();
            append_room(&mut bytes, room);
            assert_eq!(String::from_utf8_lossy(&bytes), expected);
        }
    }

    #[test]
    fn shared_pieces_follow_a_header_of_their_length() {
        let frame =
            shared(Opcode::Text, vec![Bytes::from_static(b"ab"), Bytes::new(), Bytes::from_static(b"c")]);
        assert_eq!(frame.to_vec(), b"\x81\x03abc");
    }
}
