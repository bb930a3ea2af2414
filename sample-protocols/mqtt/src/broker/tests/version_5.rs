//! What MQTT 5.0 has added.

use super::*;

const USER: &[u8] = b"\x26\0\x01k\0\x01v";

#[test]
fn properties_of_a_message_are_passed_on_unaltered_and_in_order() {
    let mut world = World::new();
    let peer = world.client_5("c");
    world.subscribe(peer, "a", 0);
    let properties = b"\x26\0\x01b\0\x01x\x03\0\x04text\x01\x01\x08\0\x01r\x26\0\x01a\0\x01y\x09\0\x02\0\xFF\x26\0\x01b\0\x01z";
    world.send(peer, &publish_5(0, 0, "a", "x", properties));
    assert_eq!(world.one(peer), Got::plain("a", "x").having(properties));
}

#[test]
fn older_clients_get_messages_without_properties() {
    let mut world = World::new();
    let peer = world.client("c");
    world.subscribe(peer, "a", 0);
    let other = world.client_5("d");
    world.send(other, &publish_5(0, 0, "a", "x", USER));
    assert_eq!(world.one(peer), Got::plain("a", "x"));
}

#[test]
fn subscription_identifiers_come_with_all_that_match() {
    let mut world = World::new();
    let peer = world.client_5("c");
    world.send(peer, &subscribe_5(1, &[("a/#", 0)], &[0x0B, 0x80, 0x01]));
    world.send(peer, &subscribe_5(2, &[("a/b", 0)], &[0x0B, 7]));
    world.send(peer, &subscribe_5(3, &[("a/+", 0)], &[]));
    world.receive(peer);
    world.send(peer, &publish_5(0, 0, "a/b", "x", USER));
    let Got::Publish { properties, .. } = world.one(peer) else { panic!("it is a publish") };
    let both = [[0x0B, 0x80, 0x01, 0x0B, 7], [0x0B, 7, 0x0B, 0x80, 0x01]];
    assert!(both.iter().any(|ids| properties == [ids, USER].concat()), "{properties:?}");
    world.send(peer, &publish_5(0, 0, "a/c", "x", &[]));
    assert_eq!(world.one(peer), Got::plain("a/c", "x").having(&[0x0B, 0x80, 0x01]));
    // A new subscription without one replaces the old one with its identifier.
    world.send(peer, &subscribe_5(1, &[("a/#", 0)], &[]));
    world.receive(peer);
    world.send(peer, &publish_5(0, 0, "a/c", "x", &[]));
    assert_eq!(world.one(peer), Got::plain("a/c", "x"));
    // They come with retained messages too, and with notifications.
    world.send(peer, &publish_5(1, 0, "r", "x", &[]));
    world.send(peer, &subscribe_5(1, &[("r", 0)], &[0x0B, 9]));
    assert_eq!(world.receive(peer)[1], Got::plain("r", "x").retained().having(&[0x0B, 9]));
    world.broker.join(peer.key, "channel");
    world.send(peer, &subscribe_5(1, &[("channel", 0)], &[0x0B, 5]));
    world.receive(peer);
    world.broadcast("channel", "x");
    assert_eq!(world.one(peer), Got::plain("channel", "x").having(&[0x0B, 5]));
}

#[test]
fn what_a_client_publishes_does_not_come_back_with_no_local() {
    let mut world = World::new();
    let peer = world.client_5("c");
    world.subscribe(peer, "a", 4);
    world.send(peer, &publish_5(0, 0, "a", "own", &[]));
    let other = world.client_5("d");
    world.send(other, &publish_5(0, 0, "a", "other's", &[]));
    assert_eq!(world.payloads(peer), ["other's"]);
    // Nor what it has retained, nor when it comes back: it is the client's id that counts.
    world.send(peer, &publish_5(1, 0, "a", "retained", &[]));
    for _ in 0..2 {
        let peer = world.client_5("c");
        world.subscribe(peer, "a", 4);
        assert_eq!(world.receive(peer), []);
        world.send(other, &subscribe_5(1, &[("a", 4)], &[]));
        assert_eq!(world.payloads(other), ["retained"]);
    }
}

#[test]
fn no_local_on_a_shared_subscription_is_a_protocol_error() {
    let mut world = World::new();
    let peer = world.client_5("c");
    world.send(peer, &subscribe_5(1, &[("$share/g/a", 4)], &[]));
    assert_eq!(world.receive(peer), [Got::Disconnect { code: 0x82 }, Got::Closed]);
}

#[test]
fn retain_handling_decides_when_retained_messages_come() {
    let mut world = World::new();
    let peer = world.client_5("c");
    world.send(peer, &publish_5(1, 0, "a", "kept", &[]));
    let mut times = |options: u8| {
        world.send(peer, &subscribe_5(1, &[("a", options)], &[]));
        world.payloads(peer).len()
    };
    assert_eq!(times(0x20), 0, "never");
    assert_eq!(times(0x10), 0, "if it is new, which it is not");
    assert_eq!(times(0x00), 1, "always");
    world.send(peer, &unsubscribe(Version::V5, 1, &["a"]));
    world.receive(peer);
    world.send(peer, &subscribe_5(1, &[("a", 0x10)], &[]));
    assert_eq!(world.payloads(peer), ["kept"], "if it is new, which it is");
}

#[test]
fn retain_as_published_keeps_the_flag() {
    let mut world = World::new();
    let peer = world.client_5("c");
    world.send(peer, &subscribe_5(1, &[("a", 8)], &[]));
    world.receive(peer);
    world.send(peer, &publish_5(1, 0, "a", "x", &[]));
    assert_eq!(world.one(peer), Got::plain("a", "x").retained());
    world.send(peer, &publish_5(0, 0, "a", "x", &[]));
    assert_eq!(world.one(peer), Got::plain("a", "x"));
    // One of several is enough.
    world.send(peer, &subscribe_5(1, &[("#", 0x20)], &[]));
    world.receive(peer);
    world.send(peer, &publish_5(1, 0, "a", "x", &[]));
    assert_eq!(world.one(peer), Got::plain("a", "x").retained());
}

#[test]
fn shared_subscriptions_take_turns() {
    let mut world = World::new();
    let members = [world.client_5("a"), world.client_5("b"), world.client_5("c")];
    for peer in members {
        world.subscribe(peer, "$share/g/t/#", 1);
    }
    let alone = world.client_5("d");
    world.subscribe(alone, "$share/h/t/x", 1);
    let other = world.client("e");
    for number in 0..9 {
        world.send(other, &publish(Version::V311, 0, 0, "t/x", &number.to_string()));
    }
    let mut all: Vec<String> = Vec::new();
    for peer in members {
        let got = world.payloads(peer);
        assert_eq!(got.len(), 3);
        all.extend(got);
    }
    all.sort();
    let expected: Vec<String> = (0..9).map(|number| number.to_string()).collect();
    assert_eq!(all, expected);
    assert_eq!(world.payloads(alone), expected, "each share has its own");
}

#[test]
fn a_shared_message_waits_for_the_member_that_it_was_sent_to() {
    let mut world = World::new();
    let connect = Connect::new(Version::V5, "a").kept(1000);
    let a = world.connect(&connect);
    world.subscribe(a, "$share/g/t", 2);
    let other = world.client("e");
    world.send(other, &publish(Version::V311, 4, 1, "t", "x"));
    assert_eq!(world.payloads(a), ["x"]);
    let b = world.client_5("b");
    world.subscribe(b, "$share/g/t", 1);
    world.lose(a);
    // Who is here is asked before who is away.
    world.send(other, &publish(Version::V311, 4, 2, "t", "y"));
    assert_eq!(world.one(b), Got::plain("t", "y").with(1, 1), "with the granted QoS");
    // One that refuses has had it.
    world.send(b, &[0x40, 3, 0, 1, 0x80]);
    let (a, got) = world.try_connect(&connect);
    assert_eq!(got[1..], [Got::plain("t", "x").with(2, 1).again()]);
    world.lose(a);
    world.wait(1_000_000);
    assert!(!world.broker.by_client_id.contains_key("a"));
    assert_eq!(world.receive(b), [], "nor does it go to another when its session ends");
}

#[test]
fn shared_subscriptions_get_no_retained_messages() {
    let mut world = World::new();
    let peer = world.client_5("c");
    world.send(peer, &publish_5(1, 0, "a", "kept", &[]));
    world.subscribe(peer, "$share/g/a", 0);
    assert_eq!(world.receive(peer), []);
    world.subscribe(peer, "$share/g/a", 0);
    world.send(peer, &unsubscribe(Version::V5, 1, &["$share/g/a", "a"]));
    assert_eq!(world.one(peer), Got::UnsubAck { id: 1, codes: vec![0, 0x11] });
}

#[test]
fn topic_aliases_of_a_client_stand_for_its_topics() {
    let mut world = World::new();
    let peer = world.client_5("c");
    let other = world.client("d");
    world.subscribe(other, "#", 0);
    for (topic, alias) in [("a", 1), ("", 1), ("b", 32), ("", 32), ("c", 1), ("", 1)] {
        world.send(peer, &publish_5(0, 0, topic, topic, &[0x23, 0, alias]));
    }
    let topics: Vec<String> = world
        .receive(other)
        .into_iter()
        .filter_map(|got| if let Got::Publish { topic, .. } = got { Some(topic) } else { None })
        .collect();
    assert_eq!(topics, ["a", "a", "b", "b", "c", "c"]);
    assert_eq!(world.receive(peer), []);
}

#[test]
fn topic_aliases_that_are_unknown_or_too_high_close() {
    let mut world = World::new();
    for (topic, alias) in [("a", 33), ("", 5), ("a", 0)] {
        let peer = world.client_5("c");
        world.send(peer, &publish_5(0, 0, topic, "x", &[0x23, 0, alias]));
        assert_eq!(world.receive(peer), [Got::Disconnect { code: 0x94 }, Got::Closed], "{alias}");
    }
    // They end with their connection.
    let kept = Connect::new(Version::V5, "c").kept(100);
    let peer = world.connect(&kept);
    world.send(peer, &publish_5(0, 0, "a", "x", &[0x23, 0, 1]));
    world.lose(peer);
    let (peer, _) = world.try_connect(&kept);
    world.send(peer, &publish_5(0, 0, "", "x", &[0x23, 0, 1]));
    assert_eq!(world.receive(peer), [Got::Disconnect { code: 0x94 }, Got::Closed]);
}

#[test]
fn the_server_uses_no_more_aliases_than_the_client_keeps() {
    let mut world = World::new();
    let kept = Connect::new(Version::V5, "c").kept(100).property(0x22, &[0, 2]);
    let peer = world.connect(&kept);
    world.subscribe(peer, "#", 0);
    let other = world.client("d");
    for topic in ["a", "b", "c", "b", "a", "c"] {
        world.send(other, &publish(Version::V311, 0, 0, topic, topic));
    }
    let alias = |topic: &str, payload: &str, alias| Got::plain(topic, payload).having(&[0x23, 0, alias]);
    let expected = [
        alias("a", "a", 1),
        alias("b", "b", 2),
        Got::plain("c", "c"),
        alias("", "b", 2),
        alias("", "a", 1),
        Got::plain("c", "c"),
    ];
    assert_eq!(world.receive(peer), expected);
    world.lose(peer);
    let (peer, _) = world.try_connect(&kept);
    world.send(other, &publish(Version::V311, 0, 0, "b", "b"));
    assert_eq!(world.one(peer), alias("b", "b", 1), "they begin anew");
    // None without the client's word.
    let peer = world.client_5("e");
    world.subscribe(peer, "a", 0);
    world.send(other, &publish(Version::V311, 0, 0, "a", "a"));
    assert_eq!(world.one(peer), Got::plain("a", "a"));
}

#[test]
fn packets_that_are_too_large_for_a_client_count_as_sent() {
    let mut world = World::new();
    let connect = Connect::new(Version::V5, "c").kept(100).property(0x27, &[0, 0, 0, 50]);
    let peer = world.connect(&connect);
    world.subscribe(peer, "a", 1);
    let other = world.client("d");
    let large = "x".repeat(50);
    for (id, payload) in [(1, "small"), (2, &large), (3, "small again")] {
        world.send(other, &publish(Version::V311, 2, id, "a", payload));
    }
    assert_eq!(world.payloads(peer), ["small", "small again"]);
    for id in [1, 3] {
        world.send(peer, &[0x40, 2, 0, id]);
    }
    world.lose(peer);
    world.send(other, &publish(Version::V311, 2, 4, "a", &large));
    let (_, got) = world.try_connect(&connect);
    assert_eq!(got.len(), 1, "{got:?}");
}

#[test]
fn a_message_expires_while_it_waits_and_tells_what_is_left() {
    let mut world = World::new();
    let connect = Connect::new(Version::V5, "c").kept(1000);
    let peer = world.connect(&connect);
    world.subscribe(peer, "a", 1);
    world.lose(peer);
    let other = world.client_5("d");
    let expiry = |seconds: u8| [0x02, 0, 0, 0, seconds];
    world.send(other, &publish_5(2, 1, "a", "short", &expiry(5)));
    world.send(other, &publish_5(2, 2, "a", "long", &expiry(20)));
    world.wait(5_000);
    let (_, got) = world.try_connect(&connect);
    assert_eq!(got[1..], [Got::plain("a", "long").with(1, 1).having(&expiry(15))]);
}

#[test]
fn a_message_expires_while_it_waits_for_the_network_and_tells_what_is_left() {
    for qos in [0, 1] {
        let mut world = World::new();
        let peer = world.client_5("c");
        world.subscribe(peer, "a", qos);
        let older = world.client("old");
        world.subscribe(older, "a", qos);
        let other = world.client_5("d");
        let expiry = |seconds: u8| [0x02, 0, 0, 0, seconds];
        // With and without a copy of the payload.
        let long = "long".repeat(1000);
        world.send(other, &publish_5(2, 1, "a", "short", &expiry(5)));
        world.send(other, &publish_5(2, 2, "a", &long, &expiry(20)));
        world.broker.postpone(peer.key);
        world.broker.postpone(older.key);
        world.wait(5_000);
        let mut waited = |peer: Peer| {
            let mut taken = world.broker.take(peer.key, world.now).expect("it is known");
            assert!(taken.waited);
            taken.frames.retain_mut(|frame| frame.refresh(world.now));
            let bytes: Vec<u8> = taken.frames.iter().flat_map(Frame::to_vec).collect();
            wire::parse(&bytes, peer.version)
        };
        let (got, got_older) = (waited(peer), waited(older));
        if qos == 0 {
            assert_eq!(got, [Got::plain("a", &long).having(&expiry(15))]);
            assert_eq!(got_older, [Got::plain("a", &long)]);
        } else {
            // These have begun.
            let begun = Got::plain("a", "short").with(1, 1).having(&expiry(0));
            assert_eq!(got, [begun, Got::plain("a", &long).with(1, 2).having(&expiry(15))]);
            assert_eq!(got_older.len(), 2);
        }
    }
    // So do retained messages.
    let mut world = World::new();
    let from = world.client_5("from");
    world.send(from, &publish_5(1, 0, "r", "x", &[0x02, 0, 0, 0, 5]));
    let peer = world.client_5("c");
    world.send(peer, &subscribe_5(1, &[("r", 0)], &[]));
    let mut taken = world.broker.take(peer.key, world.now).expect("it is known");
    taken.frames.retain_mut(|frame| frame.refresh(world.now + 4_999));
    assert_eq!(taken.frames.len(), 2);
    taken.frames.retain_mut(|frame| frame.refresh(world.now + 5_000));
    assert_eq!(taken.frames.len(), 1);
}

#[test]
fn a_delivery_that_has_begun_does_not_expire() {
    let mut world = World::new();
    let connect = Connect::new(Version::V5, "c").kept(1000);
    let peer = world.connect(&connect);
    world.subscribe(peer, "a", 2);
    let other = world.client_5("d");
    world.send(other, &publish_5(4, 1, "a", "x", &[0x02, 0, 0, 0, 5]));
    assert_eq!(world.payloads(peer), ["x"]);
    world.lose(peer);
    world.wait(60_000);
    let (_, got) = world.try_connect(&connect);
    assert_eq!(got[1..], [Got::plain("a", "x").with(2, 1).again().having(&[0x02, 0, 0, 0, 0])]);
}

#[test]
fn retained_messages_expire() {
    let mut world = World::new();
    let peer = world.client_5("c");
    world.send(peer, &publish_5(1, 0, "a", "x", &[0x02, 0, 0, 0, 5]));
    world.wait(2_000);
    world.send(peer, &subscribe_5(1, &[("a", 0)], &[]));
    assert_eq!(world.receive(peer)[1], Got::plain("a", "x").retained().having(&[0x02, 0, 0, 0, 3]));
    world.wait(3_000);
    world.send(peer, &subscribe_5(1, &[("a", 0)], &[]));
    assert_eq!(world.receive(peer), [Got::SubAck { id: 1, codes: vec![0] }]);
    // To the millisecond, although they are forgotten by the second.
    world.wait(2_300);
    world.send(peer, &publish_5(1, 0, "a", "x", &[0x02, 0, 0, 0, 1]));
    world.receive(peer);
    world.wait(999);
    world.send(peer, &subscribe_5(1, &[("a", 0)], &[]));
    assert_eq!(world.receive(peer).len(), 2);
    world.now += 1;
    world.send(peer, &subscribe_5(1, &[("a", 0)], &[]));
    assert_eq!(world.receive(peer).len(), 1);
}

#[test]
fn a_publisher_that_exceeds_the_receive_maximum_is_closed() {
    let mut world = World::with(|config| (config.allow_pub_sub, config.receive_maximum) = (true, 3));
    let peer = world.client_5("c");
    for id in 1..=3 {
        world.send(peer, &publish_5(4, id, "a", "x", &[]));
        assert_eq!(world.one(peer), Got::PubRec { id, code: 0x10 });
    }
    // Those of QoS 1 are acknowledged at once, so they are never too many.
    world.send(peer, &publish_5(2, 9, "a", "x", &[]));
    assert_eq!(world.one(peer), Got::PubAck { id: 9, code: 0x10 });
    world.send(peer, &publish_5(4, 4, "a", "x", &[]));
    assert_eq!(world.receive(peer), [Got::Disconnect { code: 0x93 }, Got::Closed]);
}

#[test]
fn a_message_of_qos_2_that_comes_again_sets_its_alias_or_is_refused_for_it() {
    let mut world = World::new();
    let peer = world.client_5("c");
    let listener = world.client_5("l");
    world.subscribe(listener, "a", 0);
    world.send(peer, &publish_5(4, 1, "a", "1", &[]));
    world.send(peer, &publish_5(12, 1, "a", "1", b"\x23\0\x01"));
    world.send(peer, &publish_5(0, 0, "", "2", b"\x23\0\x01"));
    assert_eq!(world.payloads(listener), ["1", "2"]);
    world.receive(peer);
    world.send(peer, &publish_5(12, 1, "a", "1", b"\x23\xFF\xFF"));
    assert_eq!(world.receive(peer), [Got::Disconnect { code: 0x94 }, Got::Closed]);
}

#[test]
fn what_tells_an_alias_is_not_dropped() {
    let mut world = World::with(|config| {
        (config.allow_pub_sub, config.max_queue_size, config.max_in_flight) = (true, 5_000, 1);
    });
    let peer = world.connect(&Connect::new(Version::V5, "c").property(0x22, &[0, 2]));
    world.send(peer, &subscribe_5(1, &[("0", 0), ("1", 1)], &[]));
    world.receive(peer);
    let other = world.client("d");
    let payload = "x".repeat(1000);
    (0..10).for_each(|_| drop(world.send(other, &publish(Version::V311, 0, 0, "0", &payload))));
    for id in 1..=4 {
        world.send(other, &publish(Version::V311, 2, id, "1", &payload));
    }
    world.send(other, &publish(Version::V311, 0, 0, "0", "last"));
    // Those between are gone, the first is not.
    let got = world.receive(peer);
    assert_eq!(got[0], Got::plain("0", &payload).having(b"\x23\0\x01"));
    assert!(matches!(&got[1], Got::Publish { topic, qos: 1, .. } if topic == "1"));
}

#[test]
fn an_answer_that_does_not_fit_closes_with_its_reason() {
    let mut world = World::new();
    let peer = world.connect(&Connect::new(Version::V5, "c").property(0x27, &[0, 0, 0, 40]));
    let filters: Vec<String> = (0..50).map(|number| number.to_string()).collect();
    let filters: Vec<_> = filters.iter().map(|filter| (&filter[..], 0)).collect();
    world.send(peer, &subscribe_5(1, &filters, &[]));
    assert_eq!(world.receive(peer), [Got::Disconnect { code: 0x95 }, Got::Closed]);
}

#[test]
fn options_that_do_not_exist_are_protocol_errors() {
    for options in [3, 0x30] {
        let mut world = World::new();
        let peer = world.client_5("c");
        world.send(peer, &subscribe_5(1, &[("a", options)], &[]));
        assert_eq!(world.receive(peer), [Got::Disconnect { code: 0x82 }, Got::Closed]);
    }
    let mut world = World::new();
    for bytes in [&b"\x40\x03\0\x01\x55"[..], b"\x62\x03\0\x01\x10", b"\xE0\x01\x55", b"\xE0\x01\x8B"] {
        let peer = world.client_5("c");
        world.send(peer, bytes);
        assert_eq!(world.receive(peer), [Got::Disconnect { code: 0x82 }, Got::Closed], "{bytes:?}");
    }
}
