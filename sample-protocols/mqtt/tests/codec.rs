//! The codec against packets on record: accepted or refused as they say, and never a panic.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use kuzzle_protocol_mqtt::codec::encode::{self, Outgoing};
use kuzzle_protocol_mqtt::codec::{DecodeError, Packet, Qos, Reason, Version, decode};
use serde_json::Value;

const MAXIMUM: usize = 1 << 20;
const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}

struct Vector {
    name: String,
    version: Version,
    bytes: Vec<u8>,
    accept: bool,
}

fn vectors() -> Vec<Vector> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/packets.json");
    let text = fs::read_to_string(path).expect("the vectors are part of the repository");
    let vectors: Vec<Value> = serde_json::from_str(&text).expect("the vectors are JSON");
    vectors
        .iter()
        .map(|vector| Vector {
            name: vector["name"].as_str().expect("a name").to_owned(),
            version: if vector["version"] == 5 { Version::V5 } else { Version::V311 },
            bytes: hex(vector["hex"].as_str().expect("bytes")),
            accept: vector["accept"].as_bool().expect("a verdict"),
        })
        .collect()
}

fn whole(bytes: &[u8], version: Version) -> Result<Packet<'_>, DecodeError> {
    decode(bytes, Some(version), MAXIMUM).map(|decoded| {
        let (packet, len) = decoded.expect("the packet is whole");
        assert_eq!(len, bytes.len());
        packet
    })
}

fn refused(bytes: &[u8], version: Version) -> Reason {
    whole(bytes, version).expect_err("it is not allowed").reason
}

#[test]
fn every_packet_on_record_is_accepted_or_refused_as_it_says() {
    let vectors = vectors();
    assert!(vectors.len() >= 81);
    for Vector { name, version, bytes, accept } in vectors {
        let decoded = decode(&bytes, Some(version), MAXIMUM);
        assert_eq!(decoded.is_ok(), accept, "{name}: {decoded:?}");
        if accept && name != "partial" {
            let (_, len) = decoded.expect("it is accepted").expect("it is whole");
            assert_eq!(len, bytes.len(), "{name}");
        }
    }
}

#[test]
fn every_beginning_of_a_packet_waits_for_the_rest() {
    for Vector { name, version, bytes, .. } in vectors().into_iter().filter(|vector| vector.accept) {
        for len in 0..bytes.len() {
            assert_eq!(decode(&bytes[..len], Some(version), MAXIMUM), Ok(None), "{name} at {len}");
        }
        let followed = [&bytes[..], b"\xC0\x00"].concat();
        if let Ok(Some((_, len))) = decode(&followed, Some(version), MAXIMUM) {
            assert!(len == bytes.len() || name == "partial", "{name}");
        }
    }
}

#[test]
fn mutated_packets_are_decoded_or_refused_without_a_panic() {
    // xorshift: the same packets in every run.
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let vectors = vectors();
    for _ in 0..200_000 {
        let vector = &vectors[random(vectors.len())];
        let mut bytes = vector.bytes.clone();
        for _ in 0..=random(4) {
            let at = random(bytes.len());
            match random(4) {
                0 => bytes[at] = random(256) as u8,
                1 => bytes[at] ^= 1 << random(8),
                2 => bytes.insert(at, random(256) as u8),
                _ if bytes.len() > 1 => drop(bytes.remove(at)),
                _ => {}
            }
        }
        look_at_everything(&bytes);
    }
}

#[test]
fn what_the_fuzz_target_has_found_is_decoded_or_refused_without_a_panic() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/mqtt");
    let mut files = 0;
    for entry in fs::read_dir(folder).expect("the corpus is part of the repository") {
        let bytes = fs::read(entry.expect("it is readable").path()).expect("it is readable");
        // The first byte told the target which version to take.
        look_at_everything(bytes.get(1..).unwrap_or_default());
        files += 1;
    }
    assert!(files > 50, "{files}");
}

/// Decodes in all versions, and reads all that can be read.
fn look_at_everything(bytes: &[u8]) {
    for version in [None, Some(Version::V31), Some(Version::V311), Some(Version::V5)] {
        let Ok(Some((packet, len))) = decode(bytes, version, MAXIMUM) else { continue };
        assert!(len <= bytes.len());
        match packet {
            Packet::Subscribe(subscribe) => assert!(subscribe.filters().count() > 0),
            Packet::Unsubscribe(unsubscribe) => assert!(unsubscribe.filters().count() > 0),
            Packet::Publish(publish) => drop(publish.properties.forwarded()),
            Packet::Connect(connect) => drop(connect.will.map(|will| will.properties.forwarded())),
            _ => {}
        }
    }
}

#[test]
fn every_flag_that_is_reserved_is_refused() {
    for kind in 0..16_u8 {
        for flags in 0..16_u8 {
            let fine = match kind {
                1 | 4 | 5 | 7 | 12 | 14 => flags == 0,
                6 | 8 | 10 => flags == 2,
                3 => flags & 6 != 6 && (flags & 8 == 0 || flags & 6 != 0),
                15 => flags == 0,
                _ => false,
            };
            let byte = [kind << 4 | flags];
            let first = decode(&byte, Some(Version::V5), MAXIMUM);
            assert_eq!(first.is_ok(), fine, "{kind} {flags:04b}: {first:?}");
            let older = decode(&byte, Some(Version::V311), MAXIMUM);
            assert_eq!(older.is_ok(), fine && kind != 15, "{kind} {flags:04b}: {older:?}");
        }
    }
    // MQTT 3.1 marks by DUP what is sent again.
    for first in [0x6A, 0x8A, 0xAA] {
        assert_eq!(decode(&[first], Some(Version::V31), MAXIMUM), Ok(None));
    }
}

#[test]
fn packets_above_the_maximum_are_refused_by_their_length_alone() {
    // 256 MiB less one byte are announced.
    let error = decode(b"\x30\xFF\xFF\xFF\x7F", Some(Version::V5), MAXIMUM).expect_err("it is too large");
    assert_eq!(error.reason, Reason::PACKET_TOO_LARGE);
    assert_eq!(decode(b"\x30\x81\x08", Some(Version::V5), 1028), Ok(None));
    assert!(decode(b"\x30\x82\x08", Some(Version::V5), 1028).is_err());
    // Five bytes of length.
    assert!(decode(b"\x30\xFF\xFF\xFF\xFF", Some(Version::V5), MAXIMUM).is_err());
}

#[test]
fn packet_ids_of_zero_are_refused() {
    for bytes in [
        &b"\x32\x05\0\x01a\0\0"[..],
        b"\x40\x02\0\0",
        b"\x50\x02\0\0",
        b"\x62\x02\0\0",
        b"\x70\x02\0\0",
        b"\x82\x06\0\0\0\x01a\0",
        b"\xA2\x05\0\0\0\x01a",
    ] {
        assert_eq!(refused(bytes, Version::V311), Reason::PROTOCOL_ERROR, "{bytes:?}");
    }
}

#[test]
fn texts_that_are_no_utf_8_are_refused_wherever_they_stand() {
    for bad in [&b"\xFF"[..], b"\xC0\x80", b"\xED\xA0\x80", b"\0", b"a\0b"] {
        let text = [&(bad.len() as u16).to_be_bytes()[..], bad].concat();
        let packet = |first: u8, parts: &[&[u8]]| {
            let body = parts.concat();
            [&[first, body.len() as u8][..], &body].concat()
        };
        let property = |id: u8| {
            let mut inner = vec![id];
            inner.extend_from_slice(&text);
            inner.insert(0, inner.len() as u8);
            inner
        };
        let start = |flags: u8| [&b"\0\x04MQTT\x04"[..], &[flags, 0, 0]].concat();
        let pair = |key: &[u8], value: &[u8]| {
            let mut inner = vec![0x26];
            inner.extend_from_slice(key);
            inner.extend_from_slice(value);
            inner.insert(0, inner.len() as u8);
            inner
        };
        let good = b"\0\x01a";
        let packets = [
            (packet(0x10, &[&start(2), &text]), Version::V311),
            (packet(0x10, &[&start(6), good, &text, good]), Version::V311),
            (packet(0x10, &[&start(0x82), good, &text]), Version::V311),
            (packet(0x30, &[&text]), Version::V311),
            (packet(0x82, &[b"\0\x01", &text, b"\0"]), Version::V311),
            (packet(0xA2, &[b"\0\x01", &text]), Version::V311),
            (packet(0x30, &[good, &property(0x03)]), Version::V5),
            (packet(0x30, &[good, &property(0x08)]), Version::V5),
            (packet(0x30, &[good, &pair(good, &text)]), Version::V5),
            (packet(0x30, &[good, &pair(&text, good)]), Version::V5),
            (packet(0xE0, &[b"\0", &property(0x1F)]), Version::V5),
        ];
        for (bytes, version) in packets {
            assert_eq!(refused(&bytes, version), Reason::MALFORMED, "{bytes:x?}");
        }
    }
}

#[test]
fn connects_that_lack_a_field_are_refused() {
    // Flags, then the fields that follow the client id; each with what is missing or too much.
    let a = &b"\0\x01a"[..];
    for (flags, fields, fine) in [
        (0x02, vec![], true),
        (0x02, vec![a], false),
        (0x06, vec![a, a], true),
        (0x06, vec![a], false),
        (0x06, vec![], false),
        (0x82, vec![a], true),
        (0x82, vec![], false),
        (0xC2, vec![a, a], true),
        (0xC2, vec![a], false),
        (0x82, vec![a, a], false),
        (0x22, vec![], false),
        (0x0A, vec![], false),
    ] {
        for version in [Version::V311, Version::V5] {
            let none: &[u8] = if version == Version::V5 { b"\0" } else { b"" };
            let mut body = [&b"\0\x04MQTT"[..], &[version.level(), flags, 0, 0], none, a].concat();
            for (index, field) in fields.iter().enumerate() {
                // A will has properties of its own.
                if index == 0 && flags & 4 != 0 {
                    body.extend_from_slice(none);
                }
                body.extend_from_slice(field);
            }
            let bytes = [&[0x10, body.len() as u8][..], &body].concat();
            assert_eq!(whole(&bytes, version).is_ok(), fine, "{flags:08b} {fields:?}");
        }
    }
    assert!(whole(b"\x10\x0A\0\x04MQTT\x04\x02\0\0", Version::V311).is_err(), "no client id");
}

#[test]
fn properties_are_read_into_the_packet() {
    let bytes = b"\x30\x16\0\x01a\x11\x23\0\x05\x02\0\0\0\x0A\x08\0\x01r\x09\0\x02\0\xFFx";
    let Ok(Packet::Publish(publish)) = whole(bytes, Version::V5) else { panic!("it is a publish") };
    assert_eq!((publish.alias, publish.expiry, publish.response_topic), (5, Some(10), Some("r")));
    assert_eq!((publish.correlation, publish.payload), (Some(&[0, 0xFF][..]), &b"x"[..]));
    assert_eq!(publish.properties.forwarded(), b"\x08\0\x01r\x09\0\x02\0\xFF");
}

#[test]
fn payloads_that_are_announced_as_text_have_to_be() {
    assert!(whole(b"\x30\x08\0\x01a\x02\x01\x01\xC3\xA4", Version::V5).is_ok());
    assert_eq!(refused(b"\x30\x08\0\x01a\x02\x01\x01\xFF\xFE", Version::V5), Reason::PAYLOAD_FORMAT_INVALID);
}

#[test]
fn what_is_encoded_can_be_decoded() {
    for size in [0, 1, 100, 127, 128, 1024, 1025, 16_384, 70_000] {
        let payload = Bytes::from(vec![7; size]);
        for version in VERSIONS {
            for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
                let properties: &[u8] = if version.is_5() { b"\x26\0\x01k\0\x01v" } else { b"" };
                let encoded = encode::publish(&Outgoing {
                    version,
                    qos,
                    retain: true,
                    dup: false,
                    topic: "a/topic",
                    alias: 3,
                    subscription_ids: &[],
                    expiry: Some(9),
                    properties,
                    payload: &payload,
                });
                let id: &[u8] = if encoded.has_id { &[1, 2] } else { &[] };
                let bytes = [&encoded.head[..], id, &encoded.tail, &encoded.payload].concat();
                assert_eq!(bytes.len(), encoded.len());
                let Ok(Packet::Publish(publish)) = whole(&bytes, version) else { panic!("a publish") };
                assert_eq!((publish.topic, publish.payload), ("a/topic", &payload[..]));
                assert_eq!((publish.qos, publish.retain), (qos, true));
                assert_eq!(publish.id, if encoded.has_id { 0x0102 } else { 0 });
                assert_eq!(publish.properties.forwarded(), properties);
                let expected = if version.is_5() { (3, Some(9)) } else { (0, None) };
                assert_eq!((publish.alias, publish.expiry), expected);
            }
        }
    }
}

#[test]
fn a_connect_is_read_in_the_order_of_the_standard() {
    for version in [Version::V31, Version::V311, Version::V5] {
        let properties = |bytes: &mut Vec<u8>| bytes.extend(version.is_5().then_some(0));
        let name: &[u8] = if version == Version::V31 { b"\0\x06MQIsdp" } else { b"\0\x04MQTT" };
        let mut body = [name, &[version.level(), 0xEE, 0, 60]].concat();
        properties(&mut body);
        body.extend_from_slice(b"\0\x02id");
        properties(&mut body);
        body.extend_from_slice(b"\0\x02wt\0\x02wp\0\x02un\0\x02pw");
        let bytes = [&[0x10, body.len() as u8][..], &body].concat();
        let Ok(Some((Packet::Connect(connect), _))) = decode(&bytes, None, 1000) else {
            panic!("{version:?}")
        };
        let will = connect.will.expect("there is one");
        assert_eq!((connect.client_id, will.topic, will.payload), ("id", "wt", &b"wp"[..]));
        assert_eq!((connect.user_name, connect.password), (Some("un"), Some(&b"pw"[..])));
        assert_eq!(
            (will.qos, will.retain, connect.keep_alive, connect.clean_start),
            (Qos::AtLeastOnce, true, 60, true)
        );
    }
}

#[test]
fn mqtt_3_1_does_not_look_at_what_has_no_meaning() {
    // A user name and a password that are announced and missing; QoS and retain flag of no will.
    for flags in [0xC2, 0x82, 0x0A, 0x3A, 0x03] {
        let bytes = [&b"\x10\x0F\0\x06MQIsdp\x03"[..], &[flags, 0, 60], b"\0\x01c"].concat();
        let Ok(Some((Packet::Connect(connect), _))) = decode(&bytes, None, 1000) else { panic!("{flags}") };
        assert_eq!((connect.client_id, connect.will, connect.user_name), ("c", None, None));
    }
    // But what is there has to be whole.
    let bytes = b"\x10\x11\0\x06MQIsdp\x03\x82\0\x3C\0\x01c\0\x05";
    assert!(decode(bytes, None, 1000).is_err());
}

#[test]
fn properties_of_a_will_are_checked_as_those_of_a_message() {
    for (properties, payload, reason) in [
        (&b"\x01\x01"[..], &b"\xFF"[..], Some(Reason::PAYLOAD_FORMAT_INVALID)),
        (b"\x01\x01", b"text", None),
        (b"\x01\x00", b"\xFF", None),
        (b"\x08\0\x03a/+", b"", Some(Reason::TOPIC_NAME_INVALID)),
        (b"\x08\0\0", b"", Some(Reason::PROTOCOL_ERROR)),
        (b"\x08\0\x01a", b"", None),
        (b"\x23\0\x01", b"", Some(Reason::MALFORMED)),
    ] {
        let mut body = b"\0\x04MQTT\x05\x06\0\x3C\0\0\x01c".to_vec();
        body.push(properties.len() as u8);
        body.extend_from_slice(properties);
        body.extend_from_slice(b"\0\x01w");
        body.extend_from_slice(&(payload.len() as u16).to_be_bytes());
        body.extend_from_slice(payload);
        let bytes = [&[0x10, body.len() as u8][..], &body].concat();
        let found = decode(&bytes, None, 1000).err().map(|error| error.reason);
        assert_eq!(found, reason, "{properties:?} {payload:?}");
    }
}
