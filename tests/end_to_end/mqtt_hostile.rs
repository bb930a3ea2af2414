//! Bad input for the sample protocol `mqtt`: a reason code or a clean close, bounded memory, and nobody
//! else is affected.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use kuzzle_tests::{Client, Host, Installation, MqttClient, MqttPacket, root};
use serde_json::{Value, json};

const CONNECT_4: &[u8] = b"\x10\x0D\0\x04MQTT\x04\x02\0\0\0\x01x";
const CONNECT_5: &[u8] = b"\x10\x0E\0\x04MQTT\x05\x02\0\0\0\0\x01x";

struct Server {
    host: Host,
    _installation: Installation,
    address: SocketAddr,
    /// Somebody else, who must not notice anything.
    bystander: MqttClient,
}

impl Server {
    fn start(options: &Value) -> Self {
        let installation = Installation::new();
        installation.mqtt().options("mqtt", &json!({ "allowPubSub": true })).options("mqtt", options);
        let mut host = Host::start(&installation);
        let address = host.address("mqtt");
        let mut bystander = MqttClient::connect(address, "bystander");
        bystander.is_served();
        Self { host, _installation: installation, address, bystander }
    }

    /// Resident memory of the host, in KiB.
    fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.host.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    fn ends_well(mut self) {
        self.bystander.is_served();
        MqttClient::connect(self.address, "another").is_served();
        let ended = self.host.terminate();
        assert!(!ended.is_clean().log.contains("panicked"), "{}", ended.log);
    }
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn a_packet_that_is_malformed_closes_the_connection() {
    let server = Server::start(&json!({}));
    let text = fs::read_to_string(root().join("sample-protocols/mqtt/tests/vectors/packets.json")).unwrap();
    let vectors: Vec<Value> = serde_json::from_str(&text).unwrap();
    let mut refused = 0;
    for vector in vectors.iter().filter(|vector| vector["accept"] == false) {
        let (name, bytes) = (vector["name"].as_str().unwrap(), hex(vector["hex"].as_str().unwrap()));
        let version = if vector["version"] == 5 { 5 } else { 4 };
        let mut client = MqttClient::open(server.address, version);
        let is_connect = bytes[0] >> 4 == 1;
        if !is_connect {
            client.send_bytes(if version == 5 { CONNECT_5 } else { CONNECT_4 });
            assert_eq!(client.packet(), Some(MqttPacket::ConnAck(false, 0)));
        }
        client.send_bytes(&bytes);
        let last = client.until_closed();
        match (&last[..], is_connect, version) {
            ([], _, 4) | ([MqttPacket::ConnAck(false, 2 | 0x84)], true, 4) => {}
            ([MqttPacket::ConnAck(false, 0x80..)], true, 5) => {}
            ([MqttPacket::Disconnect(0x80..)], false, 5) => {}
            _ => panic!("{name}: {last:?}"),
        }
        refused += 1;
    }
    assert!(refused >= 58);
    server.ends_well();
}

#[test]
fn a_first_packet_that_is_no_connect_is_no_client() {
    let server = Server::start(&json!({}));
    for bytes in
        [&b"\xC0\x00"[..], b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00", b"\x30\x03\0\x01a"]
    {
        let mut client = MqttClient::open(server.address, 4);
        client.send_bytes(bytes);
        assert_eq!(client.until_closed(), []);
    }
    let mut twice = MqttClient::connect_5(server.address, "x");
    twice.send_bytes(CONNECT_5);
    assert_eq!(twice.until_closed(), [MqttPacket::Disconnect(0x82)]);
    server.ends_well();
}

#[test]
fn packets_that_are_announced_as_huge_cost_nothing() {
    let server = Server::start(&json!({}));
    let before = server.memory();
    for _ in 0..20 {
        let mut client = MqttClient::connect_5(server.address, "x");
        client.send_bytes(b"\x30\xFF\xFF\xFF\x7F");
        assert_eq!(client.until_closed(), [MqttPacket::Disconnect(0x95)]);
        let mut client = MqttClient::connect_5(server.address, "x");
        client.send_bytes(b"\x30\xFF\xFF\xFF\xFF\x01");
        assert_eq!(client.until_closed(), [MqttPacket::Disconnect(0x81)]);
    }
    // As much as is allowed is announced, and hardly any of it comes.
    let waiting: Vec<_> = (0..200)
        .map(|number| {
            let mut client = MqttClient::connect(server.address, &format!("slow{number}"));
            client.send_bytes(b"\x30\xF0\xFF\x3F\0\x01a");
            client
        })
        .collect();
    let after = server.memory();
    assert!(after < before + 16 * 1024, "{before} KiB before, {after} KiB after");
    drop(waiting);
    server.ends_well();
}

#[test]
fn slow_bytes_are_waited_for_until_their_time_is_over() {
    let server = Server::start(&json!({ "connectTimeout": 1500 }));
    // A CONNECT, byte by byte, is a CONNECT.
    let mut client = MqttClient::open(server.address, 4);
    for byte in CONNECT_4 {
        client.send_bytes(&[*byte]);
    }
    assert_eq!(client.packet(), Some(MqttPacket::ConnAck(false, 0)));
    for byte in b"\xC0\x00\xC0\x00" {
        client.send_bytes(&[*byte]);
    }
    assert_eq!(client.packet(), Some(MqttPacket::Pong));
    // One that does not end is closed.
    let begun = Instant::now();
    let mut never = MqttClient::open(server.address, 4);
    never.send_bytes(&CONNECT_4[..5]);
    assert_eq!(never.until_closed(), []);
    assert!(begun.elapsed() > Duration::from_millis(1400), "{:?}", begun.elapsed());
    server.ends_well();
}

#[test]
fn a_keep_alive_counts_packets_not_bytes() {
    let server = Server::start(&json!({}));
    let mut client = MqttClient::open(server.address, 5);
    client.send_bytes(b"\x10\x0E\0\x04MQTT\x05\x02\0\x01\0\0\x01x");
    assert_eq!(client.packet(), Some(MqttPacket::ConnAck(false, 0)));
    let mut stream = client.stream();
    let writer = std::thread::spawn(move || {
        // A packet whose bytes come forever.
        let _ = stream.write_all(b"\x30\xF0\xFF\x3F\0\x01a");
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    assert_eq!(client.until_closed(), [MqttPacket::Disconnect(0x8D)]);
    drop(client);
    writer.join().unwrap();
    server.ends_well();
}

#[test]
fn subscriptions_without_end_are_refused_above_the_limit() {
    let server = Server::start(&json!({}));
    let before = server.memory();
    let mut client = MqttClient::connect_5(server.address, "x");
    for round in 0..100_u32 {
        let mut body = vec![0, 1, 0];
        for number in 0..10_000_u32 {
            let filter = format!("{round}/{number}");
            body.extend((filter.len() as u16).to_be_bytes());
            body.extend(filter.as_bytes());
            body.push(0);
        }
        let mut bytes = vec![0x82];
        let mut len = body.len();
        while len > 0 {
            bytes.push((len % 128) as u8 | if len >= 128 { 0x80 } else { 0 });
            len /= 128;
        }
        bytes.extend(body);
        client.send_bytes(&bytes);
        let Some(MqttPacket::Codes(codes)) = client.packet() else { panic!("a SUBACK comes") };
        let granted = codes.iter().filter(|code| **code == 0).count();
        assert_eq!((codes.len(), granted), (10_000, if round == 0 { 1000 } else { 0 }));
        assert!(codes.iter().all(|code| matches!(code, 0 | 0x97)));
    }
    let after = server.memory();
    assert!(after < before + 16 * 1024, "{before} KiB before, {after} KiB after");
    server.ends_well();
}

#[test]
fn long_and_deep_filters_are_refused() {
    let server = Server::start(&json!({}));
    let mut newer = MqttClient::connect_5(server.address, "newer");
    let mut older = MqttClient::connect(server.address, "older");
    for filter in ["x".repeat(65_535), vec!["+"; 10_000].join("/"), "/".repeat(65_535)] {
        assert_eq!(newer.listen(&filter, 0), 0x8F);
        assert_eq!(older.listen(&filter, 0), 0x80);
    }
    server.ends_well();
}

#[test]
fn floods_of_qos_2_without_release_end_at_the_receive_maximum() {
    let server = Server::start(&json!({}));
    let mut client = MqttClient::connect_5(server.address, "x");
    for id in 1..=1025 {
        client.publish("a", 2, id, "x");
    }
    let got = client.until_closed();
    assert_eq!(got.len(), 1025);
    assert_eq!(got[1023], MqttPacket::Acknowledgement(5, 1024, 0x10));
    assert_eq!(got[1024], MqttPacket::Disconnect(0x93));
    server.ends_well();
}

#[test]
fn colliding_client_ids_take_over_and_leave_nothing_behind() {
    let server = Server::start(&json!({}));
    let before = server.memory();
    let mut last = MqttClient::connect_5(server.address, "same");
    for _ in 0..300 {
        let new = MqttClient::connect_5(server.address, "same");
        assert_eq!(last.until_closed(), [MqttPacket::Disconnect(0x8E)]);
        last = new;
    }
    last.is_served();
    let after = server.memory();
    assert!(after < before + 8 * 1024, "{before} KiB before, {after} KiB after");
    server.ends_well();
}

#[test]
fn clients_that_do_not_read_lose_messages_then_their_connection_and_nobody_waits() {
    let server = Server::start(&json!({ "maxQueueSize": 200_000 }));
    let before = server.memory();
    let mut slow = MqttClient::connect_5(server.address, "slow");
    assert_eq!(slow.listen("flood/0", 0), 0);
    let mut stuck = MqttClient::connect_5(server.address, "stuck");
    assert_eq!(stuck.listen("flood/1", 1), 1);
    let mut reader = MqttClient::connect(server.address, "reader");
    assert_eq!(reader.listen("flood/+", 0), 0);
    let payload = "x".repeat(50_000);
    let mut publisher = MqttClient::connect(server.address, "publisher");
    for round in 0..200 {
        publisher.publish("flood/0", 0, 0, &payload);
        publisher.publish("flood/1", 1, 1, &payload);
        assert_eq!(publisher.packet(), Some(MqttPacket::Acknowledgement(4, 1, 0)));
        for topic in ["flood/0", "flood/1"] {
            assert_eq!(reader.message().0, topic, "{round}");
        }
    }
    let after = server.memory();
    assert!(after < before + 64 * 1024, "{before} KiB before, {after} KiB after");
    // The one has lost messages and is served on …
    slow.send_bytes(b"\xC0\x00");
    let mut messages = 0;
    while let Some(MqttPacket::Publish { .. }) = slow.packet() {
        messages += 1;
    }
    assert!((1..200).contains(&messages), "{messages}");
    slow.has_nothing();
    // … the other, which acknowledges nothing, has lost its connection.
    let got = stuck.until_closed();
    assert!(got.len() < 200, "{}", got.len());
    server.ends_well();
}

#[test]
fn a_client_that_has_been_too_slow_hears_why_it_is_closed() {
    let server = Server::start(&json!({ "maxQueueSize": 200_000, "maxInFlight": 1 }));
    let mut slow = MqttClient::connect_5(server.address, "slow");
    assert_eq!(slow.listen("flood", 1), 1);
    let mut publisher = MqttClient::connect_5(server.address, "publisher");
    let payload = "x".repeat(10_000);
    // It takes all that comes, and acknowledges nothing.
    (0..40).for_each(|_| publisher.publish_and_wait("flood", &payload));
    let got = slow.until_closed();
    assert_eq!(got.len(), 2, "one is on its way");
    assert_eq!(got[1], MqttPacket::Disconnect(0x97));
    server.ends_well();
}

#[test]
fn a_client_that_is_slow_is_read_and_is_no_silent_one() {
    let server = Server::start(&json!({ "maxQueueSize": 200_000 }));
    let mut slow = MqttClient::connect_alive(server.address, "slow", 1);
    slow.set_buffer(16_000);
    assert_eq!(slow.listen("flood", 0), 0);
    let (told, tell) = std::sync::mpsc::channel();
    let address = server.address;
    let flood = std::thread::spawn(move || {
        let mut publisher = MqttClient::connect_5(address, "publisher");
        let payload = "x".repeat(20_000);
        while tell.try_recv().is_err() {
            publisher.publish_and_wait("flood", &payload);
        }
    });
    // Three times as long as it may be silent; it reads less than comes.
    let until = Instant::now() + Duration::from_secs(5);
    let mut next_ping = Instant::now();
    while Instant::now() < until {
        if Instant::now() >= next_ping {
            slow.send_bytes(b"\xC0\x00");
            next_ping += Duration::from_millis(400);
        }
        match slow.packet() {
            Some(MqttPacket::Publish { .. } | MqttPacket::Pong) => {}
            other => panic!("{other:?}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    told.send(()).unwrap();
    flood.join().unwrap();
    server.ends_well();
}

#[test]
fn costly_packets_of_one_client_do_not_keep_others_waiting() {
    let server = Server::start(&json!({}));
    // Each matches in each of its levels.
    let filters: Vec<String> = (0..300_u32)
        .map(|number| {
            let level = |bit: u32| if number >> (bit % 9) & 1 == 1 { "+/" } else { "a/" };
            (0..40).map(level).collect::<String>() + "x"
        })
        .collect();
    let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
    let mut others = Vec::new();
    for number in 0..3 {
        let mut client = MqttClient::connect_5(server.address, &format!("listener-{number}"));
        assert_eq!(client.listen_all(&filters, 0), vec![0; 300]);
        others.push(client);
    }
    // On both sides of the host's workers.
    let mut alive: Vec<MqttClient> = (0..4)
        .map(|number| MqttClient::connect_alive(server.address, &format!("alive-{number}"), 1))
        .collect();
    let mut attacker = MqttClient::connect_5(server.address, "attacker");
    let topic = "a/".repeat(40) + "y";
    let body = [&(topic.len() as u16).to_be_bytes()[..], topic.as_bytes(), &[0]].concat();
    let publish = [&[0x30, body.len() as u8][..], &body].concat();
    // In one piece, so that it is read at once.
    attacker.send_bytes(&[&publish.repeat(700)[..], b"\xC0\x00"].concat());
    let mut stream = attacker.stream();
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let done = std::thread::spawn(move || {
        let until = Instant::now() + kuzzle_tests::DEADLINE;
        let mut some = [0; 2];
        while std::io::Read::read(&mut stream, &mut some).is_err() {
            assert!(Instant::now() < until, "the attacker is served in the end");
        }
    });
    // They speak in time, and so do not lose their connections.
    let mut rounds = 0;
    while !done.is_finished() || rounds < 3 {
        for client in &mut alive {
            client.has_nothing();
        }
        rounds += 1;
        std::thread::sleep(Duration::from_millis(100));
    }
    done.join().unwrap();
    server.ends_well();
}

#[test]
fn clients_that_are_idle_again_keep_nothing_of_what_came_in_parts() {
    const CLIENTS: usize = 400;
    let server = Server::start(&json!({}));
    let mut clients: Vec<MqttClient> =
        (0..CLIENTS).map(|number| MqttClient::connect(server.address, &format!("c{number}"))).collect();
    let packet = [&b"\x30\xD3\x0F\0\x01t"[..], &[b'x'; 2000]].concat();
    let in_parts = |client: &mut MqttClient| {
        client.send_bytes(&packet[..1900]);
        // The part has been read when another client is served.
        MqttClient::connect(server.address, "other").has_nothing();
        client.has_nothing_after(&packet[1900..]);
    };
    // What the host needs once.
    clients[..8].iter_mut().for_each(in_parts);
    let before = server.memory();
    clients[8..].iter_mut().for_each(in_parts);
    let after = server.memory();
    assert!(after < before + CLIENTS as u64 * 2, "{before} KiB before, {after} KiB after");
    server.ends_well();
}

#[test]
fn requests_pipelined_by_a_client_that_does_not_read_are_no_longer_read() {
    let server = Server::start(&json!({ "maxQueueSize": 100_000 }));
    let before = server.memory();
    let client = MqttClient::connect(server.address, "x");
    let mut stream = client.stream();
    stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    let request = br#"{"controller":"server","action":"info"}"#;
    let body = [&b"\0\x0EKuzzle/request"[..], request].concat();
    let packet = [&[0x30, body.len() as u8][..], &body].concat().repeat(1000);
    // The system's buffers fill in both directions, then nothing more is taken.
    let until = Instant::now() + kuzzle_tests::DEADLINE;
    while stream.write_all(&packet).is_ok() {
        assert!(Instant::now() < until, "the host reads on, although its answers are not read");
    }
    let after = server.memory();
    assert!(after < before + 32 * 1024, "{before} KiB before, {after} KiB after");
    server.ends_well();
}

#[test]
fn clients_that_close_with_their_last_packet_are_noticed() {
    let mut server = Server::start(&json!({}));
    assert_eq!(server.bystander.listen("will", 0), 0);
    for round in 0..200 {
        // A will, two packets and the end in one go.
        let client = MqttClient::open(server.address, 4);
        let mut bytes = b"\x10\x16\0\x04MQTT\x04\x06\0\0\0\x01x\0\x04will\0\x01w".to_vec();
        bytes.extend(b"\xC0\x00".repeat(1 + round % 7));
        let mut stream = client.stream();
        stream.write_all(&bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(server.bystander.message(), ("will".to_owned(), "w".to_owned()));
    }
    server.ends_well();
}

#[test]
fn random_bytes_after_connect_never_harm() {
    let server = Server::start(&json!({}));
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    for round in 0..300 {
        let mut client = MqttClient::open(server.address, 5);
        client.send_bytes(if round % 2 == 0 { CONNECT_5 } else { CONNECT_4 });
        let bytes: Vec<u8> = (0..64).map(|_| random()).collect();
        client.try_send_bytes(&bytes);
    }
    server.ends_well();
}

#[test]
fn all_clients_together_keep_to_the_memory() {
    const MEMORY: u64 = 16 << 20;
    let server = Server::start(&json!({ "maxMemory": MEMORY }));
    let before = server.memory();
    let mut publisher = MqttClient::connect_5(server.address, "publisher");
    let mut send = |topic: &str| publisher.publish_and_wait(topic, &"x".repeat(20_000));
    // Sessions whose clients are away, retained messages …
    for number in 0..40 {
        let name = format!("away-{number}");
        let mut away = MqttClient::connect_with(server.address, 5, &name, false).0;
        assert_eq!(away.listen(&name, 1), 1);
        drop(away);
        (0..100).for_each(|_| send(&name));
    }
    // … clients that do not read …
    let mut stuck = Vec::new();
    for number in 0..40 {
        let name = format!("stuck-{number}");
        let mut client = MqttClient::connect_5(server.address, &name);
        assert_eq!(client.listen(&name, (number % 2) as u8), (number % 2) as u8);
        (0..100).for_each(|_| send(&name));
        stuck.push(client);
    }
    // … and packets that never come whole, also before CONNECT.
    for number in 0..60 {
        let mut client = match number % 2 {
            0 => MqttClient::connect_5(server.address, &format!("half-{number}")),
            _ => MqttClient::open(server.address, 5),
        };
        let mut bytes = vec![if number % 2 == 0 { 0x30 } else { 0x10 }, 0x80, 0x80, 0x3F];
        bytes.resize(1_000_000, b'x');
        client.try_send_bytes(&bytes);
        stuck.push(client);
    }
    let after = server.memory();
    let allowed = MEMORY / 1024 + 24 * 1024;
    assert!(after < before + allowed, "{before} KiB before, {after} KiB after");
    server.ends_well();
}
