//! Packets of MQTT clients: each is decoded, refused, or waits for more bytes. The first byte chooses
//! the version; the rest is a stream of packets.

#![no_main]

use kuzzle_protocol_mqtt::codec::{Packet, Version, decode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, mut rest)) = bytes.split_first() else { return };
    let mut version = match choice {
        3 => Some(Version::V31),
        4 => Some(Version::V311),
        5 => Some(Version::V5),
        _ => None,
    };
    while let Ok(Some((packet, len))) = decode(rest, version, 1 << 16) {
        assert!(len >= 2 && len <= rest.len());
        // A shorter stream is one that waits.
        assert_eq!(decode(&rest[..len - 1], version, 1 << 16), Ok(None));
        match packet {
            Packet::Connect(connect) => {
                version = Some(connect.version);
                drop(connect.will.map(|will| will.properties.forwarded()));
            }
            Packet::Publish(publish) => {
                let forwarded = publish.properties.forwarded();
                assert!(forwarded.len() <= len);
                assert!(!publish.topic.is_empty() || publish.alias != 0);
            }
            Packet::Subscribe(subscribe) => assert!(subscribe.filters().count() > 0),
            Packet::Unsubscribe(unsubscribe) => assert!(unsubscribe.filters().count() > 0),
            _ => {}
        }
        rest = &rest[len..];
    }
});
