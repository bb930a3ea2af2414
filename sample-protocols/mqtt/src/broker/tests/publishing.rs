//! PUBLISH: order, retained messages, expiry, what may be published.

use super::*;

#[test]
fn messages_of_one_client_stay_in_order() {
    let mut world = World::new();
    let fast = world.client("fast");
    let slow = world.connect(&Connect::new(Version::V5, "slow").property(0x21, &[0, 1]));
    world.subscribe(fast, "a/#", 2);
    world.subscribe(slow, "a/#", 1);
    let other = world.client("d");
    let expected: Vec<String> = (1..=50).map(|number: u16| number.to_string()).collect();
    for number in 1..=50_u16 {
        let topic = if number % 2 == 0 { "a/b" } else { "a/c" };
        world.send(other, &publish(Version::V311, 4, number, topic, &number.to_string()));
    }
    assert_eq!(world.payloads(fast), expected);
    let mut got = world.payloads(slow);
    while got.len() < 50 {
        let id = got.len() as u8;
        world.send(slow, &[0x40, 2, 0, id]);
        got.extend(world.payloads(slow));
    }
    assert_eq!(got, expected);
}

#[test]
fn the_dup_flag_is_not_passed_on() {
    let mut world = World::new();
    let peer = world.client("c");
    world.subscribe(peer, "a", 1);
    world.send(peer, &publish(Version::V311, 10, 3, "a", "x"));
    assert_eq!(world.receive(peer)[0], Got::plain("a", "x").with(1, 1));
}

#[test]
fn a_retained_message_is_the_last_one_with_its_qos() {
    let mut world = World::new();
    let other = world.client("d");
    world.send(other, &publish(Version::V311, 1, 0, "a/b", "old"));
    world.send(other, &publish(Version::V311, 3, 1, "a/b", "new"));
    world.send(other, &publish(Version::V311, 2, 2, "a/b", "not retained"));
    let peer = world.client("c");
    world.send(peer, &subscribe(Version::V311, 1, &[("a/+", 2)]));
    assert_eq!(
        world.receive(peer),
        [Got::SubAck { id: 1, codes: vec![2] }, Got::plain("a/b", "new").with(1, 1).retained()]
    );
}

#[test]
fn established_subscriptions_get_retained_messages_without_the_flag() {
    for version in [Version::V311, Version::V5] {
        let mut world = World::new();
        let peer = world.connect(&Connect::new(version, "c"));
        world.subscribe(peer, "a", 0);
        world.send(peer, &publish(version, 1, 0, "a", "x"));
        assert_eq!(world.one(peer), Got::plain("a", "x"));
    }
}

#[test]
fn an_empty_retained_message_removes_and_is_delivered() {
    let mut world = World::new();
    let peer = world.client("c");
    world.subscribe(peer, "a", 0);
    world.send(peer, &publish(Version::V311, 1, 0, "a", "x"));
    world.send(peer, &publish(Version::V311, 1, 0, "a", ""));
    assert_eq!(world.payloads(peer), ["x", ""]);
    let late = world.client("late");
    world.subscribe(late, "a", 0);
}

#[test]
fn a_qos_0_message_replaces_a_retained_one() {
    let mut world = World::new();
    let peer = world.client("c");
    world.send(peer, &publish(Version::V311, 3, 1, "a", "one"));
    world.send(peer, &publish(Version::V311, 1, 0, "a", "two"));
    let late = world.client("late");
    world.send(late, &subscribe(Version::V311, 1, &[("a", 0)]));
    assert_eq!(world.payloads(late), ["two"]);
    let newer = world.client_5("newer");
    world.send(newer, &publish_5(1, 0, "a", "three", b"\x26\0\x01k\0\x01v"));
    world.send(late, &subscribe(Version::V311, 1, &[("a", 0)]));
    assert_eq!(world.payloads(late), ["three", "three"]);
}

#[test]
fn without_publish_subscribe_only_requests_are_taken() {
    for topic in ["a", "Kuzzle/response", "Kuzzle/request/x", "kuzzle/request"] {
        let mut world = World::with(|_| ());
        for version in [Version::V31, Version::V311] {
            for flags in [0, 2, 4] {
                let peer = world.connect(&Connect::new(version, "c"));
                world.send(peer, &publish(version, flags, 1, topic, "x"));
                assert_eq!(world.receive(peer), [Got::Closed], "{topic}");
            }
        }
        let peer = world.client_5("c");
        world.send(peer, &publish(Version::V5, 2, 1, topic, "x"));
        world.send(peer, &publish(Version::V5, 4, 2, topic, "x"));
        assert_eq!(
            world.receive(peer),
            [Got::PubAck { id: 1, code: 0x87 }, Got::PubRec { id: 2, code: 0x87 }]
        );
        // The id is free: a refusal ends the exchange.
        world.send(peer, &publish(Version::V5, 4, 2, "Kuzzle/request", "{}"));
        assert_eq!(world.one(peer), Got::PubRec { id: 2, code: 0 });
        world.send(peer, &publish(Version::V5, 0, 0, topic, "x"));
        assert_eq!(world.receive(peer), [Got::Disconnect { code: 0x87 }, Got::Closed]);
    }
}

#[test]
fn with_it_all_topics_but_those_of_the_host_are_free() {
    let mut world = World::new();
    let peer = world.client_5("c");
    world.broker.join(peer.key, "channel");
    // What is named like a channel is one, or may become one.
    let id = "0123456789abcdef".repeat(4);
    let named = [&format!("{id}-311"), &format!("{id}-2"), &format!("{id}-"), &format!("{}-311", &id[1..])];
    let upper = format!("{}-311", id.to_uppercase());
    for (topic, code) in [
        ("a", 0x10),
        ("Kuzzle/other", 0x10),
        ("Kuzzle/response", 0x87),
        ("kuzzle:notification:server", 0x87),
        ("channel", 0x87),
        (named[0], 0x87),
        (named[1], 0x87),
        (named[2], 0x10),
        (named[3], 0x10),
        (&upper, 0x10),
    ] {
        world.send(peer, &publish(Version::V5, 2, 1, topic, "x"));
        assert_eq!(world.one(peer), Got::PubAck { id: 1, code }, "{topic}");
    }
}

#[test]
fn nobody_listening_is_told_in_version_5() {
    let mut world = World::new();
    let peer = world.client_5("c");
    world.send(peer, &publish(Version::V5, 2, 1, "a", "x"));
    assert_eq!(world.one(peer), Got::PubAck { id: 1, code: 0x10 });
    world.send(peer, &publish(Version::V5, 4, 2, "a", "x"));
    assert_eq!(world.one(peer), Got::PubRec { id: 2, code: 0x10 });
}

#[test]
fn large_payloads_are_shared_and_small_ones_copied_with_the_same_bytes_on_the_wire() {
    for size in [0, 1, 1023, 1024, 1025, 20_000] {
        let mut world = World::new();
        let payload = "p".repeat(size);
        let peers = [world.client("a"), world.client_5("b")];
        for peer in peers {
            world.subscribe(peer, "t", 1);
        }
        world.send(peers[0], &publish(Version::V311, 2, 1, "t", &payload));
        for peer in peers {
            assert_eq!(world.receive(peer)[0], Got::plain("t", &payload).with(1, 1));
        }
    }
}

#[test]
fn a_message_that_cannot_be_retained_is_refused_if_it_can_be_told() {
    for limit in [0, 1] {
        let mut world = World::with(|config| {
            (config.allow_pub_sub, config.max_retained, config.max_retained_size) =
                if limit == 0 { (true, 1, 100_000) } else { (true, 100, 1000) };
        });
        let listener = world.client("l");
        world.subscribe(listener, "#", 0);
        let peer = world.client_5("c");
        let payload = "x".repeat(400);
        for (flags, topic, code) in [(3, "a", 0), (3, "b", 0x97), (3, "a", 0), (2, "b", 0)] {
            world.send(peer, &publish_5(flags, 1, topic, &payload, &[]));
            assert_eq!(world.one(peer), Got::PubAck { id: 1, code }, "{topic}");
            assert_eq!(world.receive(listener).len(), usize::from(code == 0));
        }
        world.send(peer, &publish_5(5, 2, "b", &payload, &[]));
        assert_eq!(world.one(peer), Got::PubRec { id: 2, code: 0x97 });
        // Removing needs no room.
        world.send(peer, &publish_5(3, 1, "b", "", &[]));
        assert_eq!(world.one(peer), Got::PubAck { id: 1, code: 0 });
        // Others are delivered, and not retained.
        world.receive(listener);
        world.send(peer, &publish_5(1, 0, "b", &payload, &[]));
        let older = world.client("d");
        world.send(older, &publish(Version::V311, 3, 1, "b", &payload));
        assert_eq!(world.one(older), Got::PubAck { id: 1, code: 0 });
        assert_eq!(world.receive(listener).len(), 2);
        let topics: Vec<_> =
            world.broker.retained.all().iter().map(|message| message.topic.to_string()).collect();
        assert_eq!(topics, ["a"]);
    }
}

#[test]
fn what_is_acknowledged_as_retained_is_retained_also_by_an_alias_and_to_the_byte() {
    let mut world = World::with(|config| (config.allow_pub_sub, config.max_retained_size) = (true, 3000));
    let from = world.client_5("from");
    world.send(from, &publish_5(2, 1, &"t".repeat(600), "x", &[0x23, 0, 1]));
    world.receive(from);
    let retains = |world: &mut World, len| {
        let expiry_and_alias = b"\x02\0\0\0\x3C\x23\0\x01";
        world.send(from, &publish_5(3, 1, "", &"x".repeat(len), expiry_and_alias));
        let Got::PubAck { code, .. } = world.one(from) else { panic!("it is acknowledged") };
        code != 0x97
    };
    let most = (0..3000).rev().find(|len| retains(&mut world, *len)).expect("some fit");
    assert_eq!(world.broker.retained.all()[0].payload.len(), most);
    assert!(!retains(&mut world, most + 1));
    assert_eq!(world.broker.retained.all()[0].payload.len(), most, "the one before stays");
    // The memory's limit is as exact, and what is refused leaves no identifier behind.
    let mut world = World::with(|config| {
        (config.allow_pub_sub, config.max_memory, config.max_retained_size) = (true, 100_000, 1_000_000);
    });
    let from = world.client_5("from");
    for len in (30_000..32_000).rev() {
        world.send(from, &publish_5(5, 1, "t", &"x".repeat(len), &[]));
        let Got::PubRec { code, .. } = world.one(from) else { panic!("it is acknowledged") };
        let is_retained = world.broker.retained.all().first().is_some_and(|one| one.payload.len() == len);
        assert_eq!(code != 0x97, is_retained, "{len}");
        let known = world.broker.sessions[world.broker.by_client_id["from"] as usize].incoming.len();
        assert_eq!(known, usize::from(is_retained));
        world.send(from, &[0x62, 2, 0, 1]);
        world.receive(from);
        world.send(from, &publish_5(1, 0, "t", "", &[]));
    }
}

#[test]
fn requests_are_taken_however_deep_their_topic_is() {
    let mut world = World::with(|config| {
        (config.request_topic, config.max_topic_levels) = ("a/b/c".to_owned(), 2);
    });
    let peer = world.client("c");
    let next = world.send(peer, &publish(Version::V311, 2, 1, "a/b/c", "{}"));
    assert!(matches!(next, Next::Execute(_)), "{next:?}");
    assert_eq!(world.one(peer), Got::PubAck { id: 1, code: 0 });
}
