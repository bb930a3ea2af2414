//! CONNECT, CONNACK, DISCONNECT, keep-alive.

use super::*;

#[test]
fn a_client_of_each_version_is_accepted() {
    for version in [Version::V31, Version::V311] {
        let (_, got) = World::new().try_connect(&Connect::new(version, "c"));
        assert_eq!(got, [Got::ConnAck { present: false, code: 0, properties: vec![] }]);
    }
    let (_, got) = World::new().try_connect(&Connect::new(Version::V5, "c"));
    // Receive maximum, maximum packet size, topic alias maximum.
    let properties = vec![0x21, 4, 0, 0x27, 0, 0x10, 0, 0, 0x22, 0, 32];
    assert_eq!(got, [Got::ConnAck { present: false, code: 0, properties }]);
}

#[test]
fn a_first_packet_that_is_no_connect_closes() {
    let mut world = World::new();
    for bytes in [&b"\xC0\x00"[..], b"\x30\x03\x00\x01a", b"GET / HTTP/1.1\r\n", b"\x16\x03\x01"] {
        let peer = world.accept(Version::V5);
        world.send(peer, bytes);
        assert_eq!(world.receive(peer), [Got::Closed]);
    }
}

#[test]
fn a_second_connect_is_a_protocol_error() {
    let mut world = World::new();
    let connect = Connect::new(Version::V5, "c");
    let peer = world.connect(&connect);
    world.send(peer, &connect.encode());
    assert_eq!(world.receive(peer), [Got::Disconnect { code: 0x82 }, Got::Closed]);
    let peer = world.client("d");
    world.send(peer, &Connect::new(Version::V311, "d").encode());
    assert_eq!(world.receive(peer), [Got::Closed]);
    // Whatever else is wrong with it.
    for second in [&Connect::new(Version::V31, "").encode()[..], b"\x10\x0D\0\x04MQTX\x04\x02\0\x3C\0\x01a"] {
        let peer = world.connect(&connect);
        world.send(peer, second);
        assert_eq!(world.receive(peer), [Got::Disconnect { code: 0x82 }, Got::Closed]);
    }
}

#[test]
fn an_unknown_protocol_level_is_answered_and_a_foreign_name_is_not() {
    let mut world = World::new();
    for (hex, answer) in [
        (
            &b"\x10\x0D\0\x04MQTT\x03\x02\0\x3C\0\x01a"[..],
            vec![Got::ConnAck { present: false, code: 1, properties: vec![] }, Got::Closed],
        ),
        (b"\x10\x0D\0\x04MQTX\x04\x02\0\x3C\0\x01a", vec![Got::Closed]),
    ] {
        let peer = world.accept(Version::V311);
        world.send(peer, hex);
        assert_eq!(world.receive(peer), answer);
    }
    let peer = world.accept(Version::V5);
    world.send(peer, b"\x10\x0D\0\x04MQTT\x06\x02\0\x3C\0\x01a");
    let got = world.receive(peer);
    assert!(matches!(got[..], [Got::ConnAck { code: 0x84, .. }, Got::Closed]), "{got:?}");
}

#[test]
fn an_empty_client_id_is_replaced_and_told_in_version_5() {
    let mut world = World::new();
    let (_, got) = world.try_connect(&Connect::new(Version::V5, ""));
    let [Got::ConnAck { present: false, code: 0, properties }] = &got[..] else { panic!("{got:?}") };
    let assigned = b"\x12\x00\x0Aassigned-1";
    assert!(properties.windows(assigned.len()).any(|window| window == assigned), "{properties:?}");
    world.client("");
    assert!(world.broker.by_client_id.contains_key("assigned-2"));
}

#[test]
fn client_ids_that_are_not_allowed_are_refused_with_identifier_rejected() {
    let mut world = World::new();
    let refused = [Got::ConnAck { present: false, code: 2, properties: vec![] }, Got::Closed];
    assert_eq!(world.try_connect(&Connect::new(Version::V311, "").kept(0)).1, refused);
    assert_eq!(world.try_connect(&Connect::new(Version::V31, "")).1, refused);
    assert_eq!(world.try_connect(&Connect::new(Version::V31, &"x".repeat(24))).1, refused);
    world.connect(&Connect::new(Version::V31, &"x".repeat(23)));
    world.connect(&Connect::new(Version::V31, &"ä".repeat(23)));
    world.connect(&Connect::new(Version::V311, &"x".repeat(200)));
    world.connect(&Connect::new(Version::V311, "0123456789abcdefghijklm"));
    // Any text will do.
    world.connect(&Connect::new(Version::V5, "\u{feff}ä/+#"));
}

#[test]
fn a_malformed_connect_is_told_only_to_clients_of_version_5() {
    let mut world = World::new();
    let peer = world.accept(Version::V311);
    world.send(peer, b"\x10\x0D\0\x04MQTT\x04\x03\0\x3C\0\x01a");
    assert_eq!(world.receive(peer), [Got::Closed], "the reserved flag is set");
    let peer = world.accept(Version::V5);
    world.send(peer, b"\x10\x0E\0\x04MQTT\x05\x03\0\x3C\0\0\x01a");
    let got = world.receive(peer);
    assert!(matches!(got[..], [Got::ConnAck { code: 0x81, .. }, Got::Closed]), "{got:?}");
}

#[test]
fn nothing_is_done_after_a_refusal() {
    let mut world = World::with(|config| {
        (config.allow_pub_sub, config.max_keep_alive, config.max_sessions) = (true, 10, 2);
    });
    let mut peer = Connect::new(Version::V311, "c");
    peer.keep_alive = 10;
    let peer = world.connect(&peer);
    world.subscribe(peer, "#", 0);
    // By the codec, for a method, for a keep-alive, for want of a place.
    let other = Connect { keep_alive: 10, ..Connect::new(Version::V5, "other") };
    world.connect(&other);
    for (connect, code) in [
        (Connect::new(Version::V31, ""), 2),
        (Connect::new(Version::V5, "d").property(0x15, b"\0\x05SCRAM"), 0x8C),
        (Connect::new(Version::V311, "d"), 5),
        (Connect { keep_alive: 10, ..Connect::new(Version::V311, "d") }, 3),
    ] {
        let version = connect.version;
        let mut bytes = connect.encode();
        bytes.extend(publish(version, 1, 0, "a", "retained"));
        bytes.extend(subscribe(version, 1, &[("a", 0)]));
        let refused = world.accept(version);
        world.send(refused, &bytes);
        let got = world.receive(refused);
        assert!(
            matches!(got[..], [Got::ConnAck { code: found, present: false, .. }, Got::Closed] if found == code),
            "{got:?}"
        );
        assert_eq!(world.receive(peer), [], "{version:?}");
    }
    assert!(world.broker.retained.all().is_empty());
}

#[test]
fn enhanced_authentication_is_refused() {
    let mut world = World::new();
    let (_, got) = world.try_connect(&Connect::new(Version::V5, "c").property(0x15, b"\0\x05SCRAM"));
    assert!(matches!(got[..], [Got::ConnAck { code: 0x8C, .. }, Got::Closed]), "{got:?}");
    let peer = world.client_5("c");
    world.send(peer, b"\xF0\x00");
    assert_eq!(world.receive(peer), [Got::Disconnect { code: 0x82 }, Got::Closed]);
}

#[test]
fn user_names_and_passwords_are_not_looked_at() {
    let mut connect = Connect::new(Version::V5, "c");
    connect.user_name = Some("anybody".to_owned());
    World::new().connect(&connect);
}

#[test]
fn a_client_that_does_not_connect_in_time_is_closed() {
    let mut world = World::new();
    let peer = world.accept(Version::V311);
    world.wait(29_999);
    assert_eq!(world.receive(peer), []);
    world.wait(1);
    assert_eq!(world.receive(peer), [Got::Closed]);
}

#[test]
fn silence_for_one_and_a_half_times_the_keep_alive_closes() {
    for version in [Version::V31, Version::V311, Version::V5] {
        let mut world = World::new();
        let listener = world.client("l");
        world.subscribe(listener, "w", 0);
        let connect = Connect { keep_alive: 10, ..Connect::new(version, "c").will("w", "gone") };
        let peer = world.connect(&connect);
        world.wait(14_000);
        world.send(peer, b"\xC0\x00");
        assert_eq!(world.one(peer), Got::PingResp);
        world.wait(14_999);
        assert_eq!((world.receive(peer), world.receive(listener)), (vec![], vec![]));
        world.wait(1);
        let told = if version.is_5() { vec![Got::Disconnect { code: 0x8D }] } else { vec![] };
        assert_eq!(world.receive(peer), [told, vec![Got::Closed]].concat());
        assert_eq!(world.payloads(listener), ["gone"]);
    }
}

#[test]
fn a_keep_alive_of_zero_is_none() {
    let mut world = World::new();
    let peer = world.client("c");
    world.wait(100_000_000);
    assert_eq!(world.receive(peer), []);
}

#[test]
fn a_ceiling_for_the_keep_alive_is_told_or_refuses() {
    let mut world = World::with(|config| config.max_keep_alive = 20);
    let mut connect = Connect::new(Version::V5, "c");
    connect.keep_alive = 60;
    let (peer, got) = world.try_connect(&connect);
    let [Got::ConnAck { code: 0, properties, .. }] = &got[..] else { panic!("{got:?}") };
    assert!(properties.ends_with(&[0x13, 0, 20]), "{properties:?}");
    world.wait(30_000);
    assert_eq!(world.receive(peer), [Got::Disconnect { code: 0x8D }, Got::Closed]);
    connect.keep_alive = 20;
    let (_, got) = world.try_connect(&connect);
    let [Got::ConnAck { code: 0, properties, .. }] = &got[..] else { panic!("{got:?}") };
    assert!(!properties.contains(&0x13), "{properties:?}");
    // None at all is too long as well.
    connect.keep_alive = 0;
    let (_, got) = world.try_connect(&connect);
    let [Got::ConnAck { code: 0, properties, .. }] = &got[..] else { panic!("{got:?}") };
    assert!(properties.ends_with(&[0x13, 0, 20]), "{properties:?}");
    let (_, got) = world.try_connect(&Connect::new(Version::V311, "c"));
    assert_eq!(got, [Got::ConnAck { present: false, code: 5, properties: vec![] }, Got::Closed]);
}

#[test]
fn a_disconnect_is_the_end() {
    let mut world = World::new();
    let peer = world.client("c");
    world.send(peer, b"\xE0\x00");
    world.send(peer, b"\xC0\x00");
    assert_eq!(world.receive(peer), [Got::Closed]);
    let peer = world.client("c");
    world.send(peer, b"\xE1\x00");
    assert_eq!(world.receive(peer), [Got::Closed], "reserved bits");
}

#[test]
fn a_client_id_is_taken_over() {
    let mut world = World::new();
    let old = world.client_5("c");
    let other = world.client("d");
    let new = world.client("c");
    assert_eq!(world.receive(old), [Got::Disconnect { code: 0x8E }, Got::Closed]);
    for peer in [other, new] {
        world.send(peer, b"\xC0\x00");
        assert_eq!(world.one(peer), Got::PingResp);
    }
    // What the old network connection's end says does not concern the new one.
    world.lose(old);
    world.subscribe(new, "a", 0);
}

#[test]
fn response_information_comes_only_if_it_is_asked_for() {
    let mut world = World::new();
    let (_, got) = world.try_connect(&Connect::new(Version::V5, "c").property(0x19, &[1]));
    let [Got::ConnAck { code: 0, properties, .. }] = &got[..] else { panic!("{got:?}") };
    assert!(properties.ends_with(b"\x1A\x00\x0FKuzzle/response"), "{properties:?}");
    let (_, got) = world.try_connect(&Connect::new(Version::V5, "c").property(0x19, &[0]));
    let [Got::ConnAck { code: 0, properties, .. }] = &got[..] else { panic!("{got:?}") };
    assert!(!properties.contains(&0x1A), "{properties:?}");
}

#[test]
fn reason_strings_stay_within_the_clients_wishes_and_its_packet_size() {
    let mut world = World::new();
    let refused = Connect::new(Version::V5, "c").property(0x15, b"\0\x05SCRAM");
    let reason = |got: &[Got]| match got {
        [Got::ConnAck { code: 0x8C, properties, .. }, Got::Closed] => !properties.is_empty(),
        _ => panic!("{got:?}"),
    };
    assert!(reason(&world.try_connect(&refused).1));
    assert!(!reason(&world.try_connect(&refused.clone().property(0x17, &[0])).1));
    assert!(!reason(&world.try_connect(&refused.property(0x27, &[0, 0, 0, 20])).1));
}

#[test]
fn a_client_that_cannot_take_its_connack_is_closed() {
    let mut world = World::new();
    let (_, got) = world.try_connect(&Connect::new(Version::V5, "c").property(0x27, &[0, 0, 0, 4]));
    assert_eq!(got, [Got::Closed]);
}

#[test]
fn the_hosts_wish_to_disconnect_is_told_with_its_reason() {
    let mut world = World::new();
    let peer = world.client_5("c");
    world.broker.disconnect(peer.key, Reason::SHUTTING_DOWN, "", world.now);
    assert_eq!(world.receive(peer), [Got::Disconnect { code: 0x8B }, Got::Closed]);
    assert_eq!(world.broker.take_removed(), [peer.key]);
    world.lose(peer);
    assert!(world.broker.connections.is_empty() && world.broker.next_deadline().is_none());
}

#[test]
fn the_host_is_told_of_an_end_after_the_delay_and_once() {
    let mut world = World::new();
    let peer = world.client("c");
    world.lose(peer);
    world.wait(249);
    assert_eq!(world.broker.take_removed(), []);
    world.wait(1);
    assert_eq!(world.broker.take_removed(), [peer.key]);
    world.wait(10_000);
    assert_eq!(world.broker.take_removed(), []);
    assert!(world.broker.connections.is_empty() && world.broker.sessions.is_empty());
}

#[test]
fn the_host_is_not_told_of_clients_that_it_has_not_seen() {
    let mut world = World::new();
    let peer = world.accept(Version::V311);
    world.lose(peer);
    world.wait(10_000);
    assert_eq!(world.broker.take_removed(), []);
    assert!(world.broker.connections.is_empty());
}

#[test]
fn nothing_is_sent_after_a_disconnect() {
    let mut world = World::new();
    let peer = world.client_5("c");
    world.broker.join(peer.key, "channel");
    world.subscribe(peer, "channel", 0);
    world.send(peer, b"\x00\x00");
    world.broadcast("channel", "too late");
    world.broker.notify(peer.key, "channel", &Bytes::from_static(b"too late"), world.now);
    world.send(peer, b"\xC0\x00");
    assert_eq!(world.receive(peer), [Got::Disconnect { code: 0x81 }, Got::Closed]);
}

#[test]
fn a_disconnect_fits_the_clients_packet_size() {
    let mut world = World::new();
    for size in [40, 17] {
        let peer = world.connect(&Connect::new(Version::V5, "c").property(0x27, &[0, 0, 0, size]));
        world.send(peer, b"\x00\x00");
        let taken = world.broker.take(peer.key, world.now).expect("it is known");
        let bytes: Vec<u8> = taken.frames.iter().flat_map(Frame::to_vec).collect();
        assert!(bytes.len() <= usize::from(size), "{bytes:?}");
        assert_eq!(wire::parse(&bytes, Version::V5), [Got::Disconnect { code: 0x81 }]);
    }
}

#[test]
fn a_bridge_that_marks_its_level_gets_nothing_back_and_sees_what_is_retained() {
    for version in [Version::V31, Version::V311] {
        let mut world = World::new();
        let mut connect = Connect::new(version, "bridge").encode();
        let level = if version == Version::V31 { 10 } else { 8 };
        connect[level] |= 0x80;
        let bridge = world.accept(version);
        world.send(bridge, &connect);
        assert_eq!(world.one(bridge), Got::ConnAck { present: false, code: 0, properties: vec![] });
        world.subscribe(bridge, "#", 1);
        world.send(bridge, &publish(version, 3, 1, "a", "own"));
        assert_eq!(world.one(bridge), Got::PubAck { id: 1, code: 0 });
        let other = world.client("d");
        world.send(other, &publish(Version::V311, 1, 0, "a", "retained"));
        world.send(other, &publish(Version::V311, 0, 0, "a", "not retained"));
        let expected = [Got::plain("a", "retained").retained(), Got::plain("a", "not retained")];
        assert_eq!(world.receive(bridge), expected);
    }
    // MQTT 5.0 has options for that; other levels do not exist.
    let mut world = World::new();
    for level in [0x80, 0x85, 0x86] {
        let mut connect = Connect::new(Version::V311, "c").encode();
        connect[8] = level;
        let peer = world.accept(Version::V311);
        world.send(peer, &connect);
        let refused = Got::ConnAck { present: false, code: 1, properties: vec![] };
        assert_eq!(world.receive(peer), [refused, Got::Closed], "{level}");
    }
}

#[test]
fn a_connack_that_is_too_large_changes_nothing() {
    let mut world = World::new();
    let kept = Connect::new(Version::V5, "c").kept(100);
    let peer = world.connect(&kept);
    world.subscribe(peer, "a", 1);
    let other = world.client("d");
    world.send(other, &publish(Version::V311, 2, 1, "a", "x"));
    assert_eq!(world.payloads(peer), ["x"]);
    let (refused, got) = world.try_connect(&kept.clone().property(0x27, &[0, 0, 0, 12]));
    assert_eq!(got, [Got::ConnAck { present: false, code: 0x95, properties: vec![] }, Got::Closed]);
    // The host has let it in, so it is told of its end.
    world.lose(refused);
    world.wait(250);
    assert_eq!(world.broker.take_removed(), [refused.key]);
    world.send(peer, b"\xC0\x00");
    assert_eq!(world.one(peer), Got::PingResp, "nobody has taken over");
}

#[test]
fn a_malformed_connect_is_told_no_more_than_the_client_takes() {
    let mut world = World::new();
    let refused = Connect::new(Version::V5, "c").will("a/#", "x");
    for (connect, has_reason) in [
        (refused.clone(), true),
        (refused.clone().property(0x27, &[0, 0, 0, 10]), false),
        (refused.clone().property(0x17, &[0]), false),
    ] {
        let (_, got) = world.try_connect(&connect);
        let [Got::ConnAck { code: 0x90, properties, .. }, Got::Closed] = &got[..] else { panic!("{got:?}") };
        assert_eq!(!properties.is_empty(), has_reason, "{properties:?}");
    }
}

#[test]
fn a_clean_start_over_a_session_that_is_kept_is_told_none() {
    for version in [Version::V311, Version::V5] {
        let mut world = World::new();
        let peer = world.connect(&Connect::new(version, "c").kept(100));
        world.lose(peer);
        let (peer, got) = world.try_connect(&Connect::new(version, "c").kept(100));
        assert!(matches!(got[..], [Got::ConnAck { present: true, .. }]), "{got:?}");
        world.lose(peer);
        let (_, got) = world.try_connect(&Connect::new(version, "c"));
        assert!(matches!(got[..], [Got::ConnAck { present: false, .. }]), "{got:?}");
    }
    // MQTT 3.1 has no such flag.
    let mut world = World::new();
    let kept = Connect::new(Version::V31, "c").kept(0);
    let peer = world.connect(&kept);
    world.lose(peer);
    assert_eq!(world.try_connect(&kept).1, [Got::ConnAck { present: false, code: 0, properties: vec![] }]);
}

#[test]
fn client_ids_as_long_as_the_standard_wants_are_always_taken() {
    let mut world = World::with(|config| config.max_topic_length = 15);
    world.connect(&Connect::new(Version::V5, &"x".repeat(23)));
    let (_, got) = world.try_connect(&Connect::new(Version::V5, &"x".repeat(24)));
    assert!(matches!(got[..], [Got::ConnAck { code: 0x85, .. }, Got::Closed]), "{got:?}");
    let (_, got) = world.try_connect(&Connect::new(Version::V311, &"x".repeat(24)));
    assert_eq!(got, [Got::ConnAck { present: false, code: 2, properties: vec![] }, Got::Closed]);
}
