//! Clients of `mqtt` that are killed in the middle of their exchanges and come back: QoS 1 arrives at
//! least once, QoS 2 exactly once.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::SocketAddr;
use std::thread;

use kuzzle_tests::{Host, Installation, MqttClient, MqttPacket};
use serde_json::json;

const MESSAGES: usize = 2_000;
/// How many exchanges a publisher has at once.
const WINDOW: usize = 8;
/// About how many packets a client lives to see.
const LIFE: u64 = 60;

/// The same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Publishes all messages with this QoS, and is killed again and again.
fn publisher(address: SocketAddr, version: u8, qos: u8, seed: u64) -> usize {
    let topic = format!("chaos/{qos}/{version}");
    let id = format!("publisher-{qos}-{version}");
    let mut random = Random(seed);
    // By packet id, in the order of the messages: the message, and whether it is released.
    let mut open: BTreeMap<usize, (u16, bool)> = BTreeMap::new();
    let (mut next, mut done, mut lives) = (0, 0, 0);
    while done < MESSAGES {
        lives += 1;
        let (mut client, present) = MqttClient::connect_with(address, version, &id, false);
        assert_eq!(present, lives > 1);
        let mut left = random.below(LIFE);
        let mut alive = true;
        for (message, (packet, released)) in &open {
            alive &= match released {
                true => client.acknowledge(6, *packet),
                false => client.publish_again(&topic, qos, *packet, &message.to_string()),
            };
        }
        while alive && done < MESSAGES {
            while open.len() < WINDOW && next < MESSAGES {
                let packet = (1..).find(|id| !open.values().any(|(used, _)| used == id)).unwrap();
                open.insert(next, (packet, false));
                client.publish(&topic, qos, packet, &next.to_string());
                next += 1;
            }
            if left == 0 {
                // In the middle of everything.
                break;
            }
            left -= 1;
            let Some(MqttPacket::Acknowledgement(kind, packet, _)) = client.packet() else { break };
            let (message, (_, released)) =
                open.iter_mut().find(|(_, (used, _))| *used == packet).expect("the id is ours");
            let message = *message;
            match kind {
                5 => {
                    *released = true;
                    alive = client.acknowledge(6, packet);
                }
                4 | 7 => {
                    open.remove(&message);
                    done += 1;
                }
                other => panic!("a publisher does not get packets of type {other}"),
            }
        }
    }
    lives
}

/// Receives until every message of the topics has come, and is killed again and again. Answers how
/// often that was, and what has come, by topic and in order.
fn subscriber(address: SocketAddr, version: u8, qos: u8, seed: u64) -> (usize, BTreeMap<String, Vec<usize>>) {
    let id = format!("subscriber-{qos}-{version}");
    let mut random = Random(seed);
    let mut got: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut seen = HashSet::new();
    // Ids of QoS 2 that are received and not yet released.
    let mut unreleased = BTreeSet::new();
    let mut lives = 0;
    loop {
        lives += 1;
        let all_seen = seen.len() == 4 * MESSAGES;
        let (mut client, present) = MqttClient::connect_with(address, version, &id, false);
        assert!(present);
        if all_seen {
            // What the host thinks is still to be done comes before this is answered.
            client.send_bytes(b"\xC0\x00");
        }
        let mut left = if all_seen { u64::MAX } else { 1 + random.below(LIFE * 4) };
        while left > 0 && (all_seen || seen.len() < 4 * MESSAGES) {
            left -= 1;
            match client.packet() {
                Some(MqttPacket::Publish { topic, payload, qos, id, .. }) => {
                    // Killed with the message in hand: it counts as not received.
                    if left == 0 && random.below(2) == 0 {
                        break;
                    }
                    let message = String::from_utf8(payload).unwrap().parse().unwrap();
                    if qos < 2 || unreleased.insert(id) {
                        seen.insert((topic.clone(), message));
                        got.entry(topic).or_default().push(message);
                    }
                    if !client.acknowledge(if qos == 2 { 5 } else { 4 }, id) {
                        break;
                    }
                }
                Some(MqttPacket::Acknowledgement(6, id, _)) => {
                    unreleased.remove(&id);
                    if !client.acknowledge(7, id) {
                        break;
                    }
                }
                Some(MqttPacket::Pong) => return (lives, got),
                None => break,
                other => panic!("a subscriber does not get {other:?}"),
            }
        }
    }
}

#[test]
fn killed_clients_get_qos_1_at_least_once_and_qos_2_exactly_once() {
    let installation = Installation::new();
    installation.mqtt().options("mqtt", &json!({ "allowPubSub": true, "maxInFlight": 20 }));
    let mut host = Host::start(&installation);
    let address = host.address("mqtt");
    for version in [4, 5] {
        for qos in [1, 2] {
            let id = format!("subscriber-{qos}-{version}");
            let (mut client, _) = MqttClient::connect_with(address, version, &id, false);
            assert_eq!(client.listen("chaos/#", qos), qos);
        }
    }
    let mut publishers = Vec::new();
    let mut subscribers = Vec::new();
    for (version, seed) in [(4, 0x1234_5678), (5, 0x8765_4321)] {
        for qos in [1, 2] {
            let seed = seed + u64::from(qos);
            publishers.push(thread::spawn(move || publisher(address, version, qos, seed)));
            let receive = thread::spawn(move || subscriber(address, version, qos, seed ^ 0xFFFF));
            subscribers.push((qos, receive));
        }
    }
    for publisher in publishers {
        let lives = publisher.join().unwrap();
        assert!(lives > 20, "it was killed {lives} times");
    }
    let everything: Vec<usize> = (0..MESSAGES).collect();
    for (granted, subscriber) in subscribers {
        let (lives, got) = subscriber.join().unwrap();
        assert!(lives > 20, "it was killed {lives} times");
        assert_eq!(got.len(), 4);
        for (topic, messages) in got {
            if granted == 2 && topic.starts_with("chaos/2/") {
                let first = messages.iter().zip(&everything).find(|(got, sent)| got != sent);
                assert!(messages == everything, "{topic} exactly once and in order: {first:?}");
            } else {
                let seen: BTreeSet<usize> = messages.into_iter().collect();
                assert_eq!(seen.len(), MESSAGES, "{topic} at least once");
            }
        }
    }
    host.terminate().is_clean();
}
