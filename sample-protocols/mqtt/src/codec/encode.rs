//! Encodes the packets that a server sends.

use bytes::Bytes;

use super::packet::{Qos, Version};
use super::properties::id;
use super::reason::Reason;

/// Payloads up to this many bytes are copied behind their header; larger ones are shared.
const COPIED: usize = 1024;

/// A PUBLISH, ready to be written to any number of clients. Only the packet identifier is missing.
#[derive(Debug, PartialEq)]
pub struct Encoded {
    /// Fixed header and topic.
    pub head: Vec<u8>,
    /// What follows the packet identifier; empty for QoS 0 before [`Encoded::payload`].
    pub tail: Vec<u8>,
    /// Shared; empty if it was copied.
    pub payload: Bytes,
    /// Whether a packet identifier stands between head and tail.
    pub has_id: bool,
    /// Where the four bytes of the message expiry stand, in the tail if there is an identifier, else in
    /// the head.
    expiry_at: Option<usize>,
}

impl Encoded {
    /// Bytes on the wire.
    pub fn len(&self) -> usize {
        self.head.len() + usize::from(self.has_id) * 2 + self.tail.len() + self.payload.len()
    }

    /// What it says is left of the message's life, in seconds.
    pub fn expiry(&self) -> Option<u32> {
        let at = self.expiry_at?;
        let part = if self.has_id { &self.tail } else { &self.head };
        part[at..].first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
    }

    /// The same packet that says so many seconds, if it says any.
    pub fn with_expiry(&self, seconds: u32) -> Self {
        let (mut head, mut tail) = (self.head.clone(), self.tail.clone());
        if let Some(at) = self.expiry_at {
            let part = if self.has_id { &mut tail } else { &mut head };
            part[at..at + 4].copy_from_slice(&seconds.to_be_bytes());
        }
        Self { head, tail, payload: self.payload.clone(), ..*self }
    }

    /// Never: a PUBLISH has at least a header.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a PUBLISH is made of.
#[derive(Clone, Debug)]
pub struct Outgoing<'a> {
    /// Of the receiver.
    pub version: Version,
    /// Quality of service of this delivery.
    pub qos: Qos,
    /// The retain flag of this delivery.
    pub retain: bool,
    /// Whether it is sent again.
    pub dup: bool,
    /// Empty if the alias is known to the client.
    pub topic: &'a str,
    /// 0: none.
    pub alias: u16,
    /// Of the subscriptions that match.
    pub subscription_ids: &'a [u32],
    /// What is left of the message's life, in seconds.
    pub expiry: Option<u32>,
    /// Encoded properties of the publisher.
    pub properties: &'a [u8],
    /// The payload.
    pub payload: &'a Bytes,
}

/// Encodes a PUBLISH.
pub fn publish(publish: &Outgoing<'_>) -> Encoded {
    let has_id = publish.qos != Qos::AtMostOnce;
    let mut fixed = Vec::new();
    if publish.version.is_5() {
        if let Some(expiry) = publish.expiry {
            number_4(&mut fixed, id::MESSAGE_EXPIRY, expiry);
        }
        if publish.alias != 0 {
            number_2(&mut fixed, id::TOPIC_ALIAS, publish.alias);
        }
        for subscription in publish.subscription_ids {
            fixed.push(id::SUBSCRIPTION_ID);
            variable(&mut fixed, *subscription);
        }
    }
    let properties = fixed.len() + publish.properties.len();
    let properties_len = match publish.version {
        Version::V5 => variable_len(properties as u32) + properties,
        _ => 0,
    };
    let body = 2 + publish.topic.len() + usize::from(has_id) * 2 + properties_len;
    let remaining = body + publish.payload.len();
    let copied = publish.payload.len() <= COPIED;
    let mut head =
        Vec::with_capacity(5 + if has_id { 2 + publish.topic.len() } else { body } + copied_len(publish));
    let flags = u8::from(publish.dup) << 3 | (publish.qos as u8) << 1 | u8::from(publish.retain);
    head.push(0x30 | flags);
    variable(&mut head, remaining as u32);
    text(&mut head, publish.topic);
    let mut tail = Vec::new();
    let after = if has_id { &mut tail } else { &mut head };
    let mut expiry_at = None;
    if publish.version.is_5() {
        variable(after, properties as u32);
        // It is the first property, behind its identifier.
        expiry_at = publish.expiry.map(|_| after.len() + 1);
        after.extend_from_slice(&fixed);
        after.extend_from_slice(publish.properties);
    }
    if copied {
        after.extend_from_slice(publish.payload);
    }
    let payload = if copied { Bytes::new() } else { publish.payload.clone() };
    Encoded { head, tail, payload, has_id, expiry_at }
}

fn copied_len(publish: &Outgoing<'_>) -> usize {
    if publish.payload.len() <= COPIED { publish.payload.len() } else { 0 }
}

/// What a CONNACK tells a client of MQTT 5.0.
#[derive(Clone, Debug, Default)]
pub struct ConnAck<'a> {
    /// Whether there was a session.
    pub session_present: bool,
    /// If it is not what the client asked for, in seconds.
    pub session_expiry: Option<u32>,
    /// How many QoS 1 and 2 messages the server takes at once.
    pub receive_maximum: u16,
    /// In bytes.
    pub maximum_packet_size: u32,
    /// The client id that the server has chosen.
    pub assigned_client_id: Option<&'a str>,
    /// How many topic aliases the server keeps.
    pub topic_alias_maximum: u16,
    /// If it is not what the client asked for, in seconds.
    pub server_keep_alive: Option<u16>,
    /// Where the client may receive responses.
    pub response_information: Option<&'a str>,
}

/// CONNACK of a client that is accepted.
pub fn connack(version: Version, ack: &ConnAck<'_>) -> Vec<u8> {
    let mut properties = Vec::new();
    if version.is_5() {
        if let Some(expiry) = ack.session_expiry {
            number_4(&mut properties, id::SESSION_EXPIRY, expiry);
        }
        number_2(&mut properties, id::RECEIVE_MAXIMUM, ack.receive_maximum);
        number_4(&mut properties, id::MAXIMUM_PACKET_SIZE, ack.maximum_packet_size);
        if let Some(client_id) = ack.assigned_client_id {
            properties.push(id::ASSIGNED_CLIENT_ID);
            text(&mut properties, client_id);
        }
        number_2(&mut properties, id::TOPIC_ALIAS_MAXIMUM, ack.topic_alias_maximum);
        if let Some(seconds) = ack.server_keep_alive {
            number_2(&mut properties, id::SERVER_KEEP_ALIVE, seconds);
        }
        if let Some(topic) = ack.response_information {
            properties.push(id::RESPONSE_INFORMATION);
            text(&mut properties, topic);
        }
    }
    // MQTT 3.1 has no such flag.
    let session_present = ack.session_present && version != Version::V31;
    let start = [u8::from(session_present), 0];
    packet(0x20, &start, version.is_5().then_some(&properties), &[])
}

/// CONNACK of a client that is refused.
pub fn connack_refused(version: Version, reason: Reason, why: Option<&str>) -> Vec<u8> {
    if version.is_5() {
        packet(0x20, &[0, reason.0], Some(&reason_string(why)), &[])
    } else {
        packet(0x20, &[0, reason.connect_return_code()], None, &[])
    }
}

/// SUBACK or UNSUBACK: `codes` are one for each filter; an UNSUBACK before MQTT 5.0 has none.
pub fn suback(version: Version, unsubscribe: bool, id: u16, codes: &[u8]) -> Vec<u8> {
    let codes = if unsubscribe && !version.is_5() { &[] } else { codes };
    let first = if unsubscribe { 0xB0 } else { 0x90 };
    packet(first, &id.to_be_bytes(), version.is_5().then_some(&Vec::new()), codes)
}

/// DISCONNECT of MQTT 5.0.
pub fn disconnect(reason: Reason, why: Option<&str>) -> Vec<u8> {
    packet(0xE0, &[reason.0], Some(&reason_string(why)), &[])
}

/// The first byte of an acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Acknowledge {
    /// QoS 1.
    PubAck = 0x40,
    /// QoS 2, first answer.
    PubRec = 0x50,
    /// QoS 2, second step of the sender.
    PubRel = 0x62,
    /// QoS 2, last answer.
    PubComp = 0x70,
}

/// An acknowledgement, and how many of the bytes it has.
pub fn acknowledgement(version: Version, kind: Acknowledge, id: u16, reason: Reason) -> ([u8; 5], u8) {
    let [high, low] = id.to_be_bytes();
    if version.is_5() && reason != Reason::SUCCESS {
        ([kind as u8, 3, high, low, reason.0], 5)
    } else {
        ([kind as u8, 2, high, low, 0], 4)
    }
}

/// A property that holds one encoded string, for [`Outgoing::properties`].
pub fn correlation_data(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(3 + data.len());
    out.push(id::CORRELATION_DATA);
    // It came in a field of the same kind.
    out.extend_from_slice(&(data.len() as u16).to_be_bytes());
    out.extend_from_slice(data);
    out
}

fn reason_string(why: Option<&str>) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(why) = why.filter(|why| !why.is_empty()) {
        out.push(id::REASON_STRING);
        text(&mut out, why);
    }
    out
}

fn packet(first: u8, start: &[u8], properties: Option<&Vec<u8>>, end: &[u8]) -> Vec<u8> {
    let properties_len = properties.map_or(0, |bytes| variable_len(bytes.len() as u32) + bytes.len());
    let remaining = start.len() + properties_len + end.len();
    let mut out = Vec::with_capacity(5 + remaining);
    out.push(first);
    variable(&mut out, remaining as u32);
    out.extend_from_slice(start);
    if let Some(properties) = properties {
        variable(&mut out, properties.len() as u32);
        out.extend_from_slice(properties);
    }
    out.extend_from_slice(end);
    out
}

fn number_2(out: &mut Vec<u8>, property: u8, value: u16) {
    out.push(property);
    out.extend_from_slice(&value.to_be_bytes());
}

fn number_4(out: &mut Vec<u8>, property: u8, value: u32) {
    out.push(property);
    out.extend_from_slice(&value.to_be_bytes());
}

/// Longer texts than a field can hold are cut.
fn text(out: &mut Vec<u8>, text: &str) {
    let text = &text[..text.floor_char_boundary(usize::from(u16::MAX))];
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

const fn variable_len(value: u32) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

fn variable(out: &mut Vec<u8>, mut value: u32) {
    loop {
        let byte = (value & 0x7F) as u8;
        value >>= 7;
        if value == 0 {
            return out.push(byte);
        }
        out.push(byte | 0x80);
    }
}
