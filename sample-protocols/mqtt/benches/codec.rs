//! How long it takes to decode and to encode a PUBLISH, and to decode a CONNECT and a SUBSCRIBE.

#![allow(missing_docs, reason = "a benchmark has no public items")]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use kuzzle_protocol_mqtt::codec::encode::{self, Outgoing};
use kuzzle_protocol_mqtt::codec::{Qos, Version, decode};

const MAXIMUM: usize = 1 << 20;

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    assert!(body.len() < 0x4000, "two bytes of length are enough");
    let len = body.len();
    let len = if len < 0x80 { vec![len as u8] } else { vec![len as u8 | 0x80, (len >> 7) as u8] };
    [&[first][..], &len, body].concat()
}

fn publish(version: Version, qos: u8, properties: &[u8]) -> Vec<u8> {
    let mut body = b"\0\x10sensors/1/values".to_vec();
    if qos > 0 {
        body.extend([0, 7]);
    }
    if version.is_5() {
        body.push(properties.len() as u8);
        body.extend_from_slice(properties);
    }
    body.extend([b'x'; 128]);
    packet(0x30 | qos << 1, &body)
}

fn decoding(criterion: &mut Criterion) {
    let connect = packet(0x10, b"\0\x04MQTT\x05\x02\0\x3C\x05\x11\0\0\0\x3C\0\x08a-device");
    let filters: Vec<u8> = (0..20).flat_map(|_| *b"\0\x0Esensors/+/temp\x01").collect();
    let subscribe = packet(0x82, &[&[0, 1, 0][..], &filters].concat());
    let user = b"\x26\0\x04name\0\x05value\x03\0\x0Atext/plain\x02\0\0\0\x3C";
    for (name, version, bytes) in [
        ("PUBLISH of 128 bytes, 3.1.1, QoS 0", Some(Version::V311), publish(Version::V311, 0, b"")),
        ("PUBLISH of 128 bytes, 3.1.1, QoS 1", Some(Version::V311), publish(Version::V311, 1, b"")),
        ("PUBLISH of 128 bytes, 5.0, QoS 0", Some(Version::V5), publish(Version::V5, 0, b"")),
        ("PUBLISH of 128 bytes, 5.0, three properties", Some(Version::V5), publish(Version::V5, 0, user)),
        ("PUBACK", Some(Version::V5), vec![0x40, 2, 0, 1]),
        ("SUBSCRIBE of 20 filters", Some(Version::V5), subscribe),
        ("CONNECT", None, connect),
    ] {
        decode(&bytes, version, MAXIMUM).expect("it is well formed").expect("it is whole");
        criterion.bench_function(&format!("decode {name}"), |bencher| {
            bencher.iter(|| decode(black_box(&bytes), version, MAXIMUM).is_ok());
        });
    }
}

fn encoding(criterion: &mut Criterion) {
    let payload = Bytes::from(vec![b'x'; 128]);
    for (name, version) in [("3.1.1", Version::V311), ("5.0", Version::V5)] {
        let outgoing = Outgoing {
            version,
            qos: Qos::AtMostOnce,
            retain: false,
            dup: false,
            topic: "sensors/1/values",
            alias: 0,
            subscription_ids: &[],
            expiry: None,
            properties: b"",
            payload: &payload,
        };
        criterion.bench_function(&format!("encode PUBLISH of 128 bytes, {name}"), |bencher| {
            bencher.iter(|| encode::publish(black_box(&outgoing)));
        });
    }
}

criterion_group!(benches, decoding, encoding);
criterion_main!(benches);
