//! SUBSCRIBE, UNSUBSCRIBE, wildcards, retained messages on subscription.

use super::*;

#[test]
fn a_suback_has_the_packets_id_and_a_code_for_each_filter_in_order() {
    let mut world = World::new();
    let peer = world.client("c");
    world.send(peer, &subscribe(Version::V311, 77, &[("a", 2), ("b/#", 0), ("+", 1)]));
    assert_eq!(world.one(peer), Got::SubAck { id: 77, codes: vec![2, 0, 1] });
}

#[test]
fn the_lower_qos_counts() {
    let mut world = World::new();
    let peer = world.client("c");
    world.send(peer, &subscribe(Version::V311, 1, &[("0", 0), ("1", 1), ("2", 2)]));
    world.receive(peer);
    let other = world.client("d");
    for flags in [0, 2, 4] {
        for (id, topic) in [(1, "0"), (2, "1"), (3, "2")] {
            world.send(other, &publish(Version::V311, flags, id, topic, "x"));
        }
    }
    let qos: Vec<u8> = world
        .receive(peer)
        .iter()
        .filter_map(|got| if let Got::Publish { qos, .. } = got { Some(*qos) } else { None })
        .collect();
    assert_eq!(qos, [0, 0, 0, 0, 1, 1, 0, 1, 2]);
}

#[test]
fn overlapping_subscriptions_bring_one_copy_of_the_highest_qos() {
    let mut world = World::new();
    let peer = world.client("c");
    world.send(peer, &subscribe(Version::V311, 1, &[("a/#", 0), ("a/+", 2), ("a/b", 1)]));
    world.receive(peer);
    let other = world.client("d");
    world.send(other, &publish(Version::V311, 4, 1, "a/b", "x"));
    assert_eq!(world.one(peer), Got::plain("a/b", "x").with(2, 1));
}

#[test]
fn a_subscription_to_the_same_filter_replaces_and_sends_retained_messages_again() {
    let mut world = World::new();
    let other = world.client("d");
    world.send(other, &publish(Version::V311, 3, 1, "a", "kept"));
    let peer = world.client("c");
    world.send(peer, &subscribe(Version::V311, 1, &[("a", 1)]));
    assert_eq!(world.payloads(peer), ["kept"]);
    world.send(peer, &subscribe(Version::V311, 2, &[("a", 0)]));
    assert_eq!(
        world.receive(peer),
        [Got::SubAck { id: 2, codes: vec![0] }, Got::plain("a", "kept").retained()]
    );
    world.send(other, &publish(Version::V311, 2, 1, "a", "new"));
    assert_eq!(world.one(peer), Got::plain("a", "new"), "one subscription, of QoS 0");
}

#[test]
fn an_unsuback_comes_whether_there_was_a_subscription_or_not() {
    let mut world = World::new();
    let peer = world.client("c");
    world.subscribe(peer, "a", 0);
    world.send(peer, &unsubscribe(Version::V311, 5, &["a", "b", "a"]));
    assert_eq!(world.one(peer), Got::UnsubAck { id: 5, codes: vec![] });
    let peer = world.client_5("d");
    world.subscribe(peer, "a", 0);
    world.send(peer, &unsubscribe(Version::V5, 6, &["b", "a", "a"]));
    assert_eq!(world.one(peer), Got::UnsubAck { id: 6, codes: vec![0x11, 0, 0x11] });
}

#[test]
fn unsubscribing_compares_filters_byte_by_byte() {
    let mut world = World::new();
    let peer = world.client("c");
    world.subscribe(peer, "a/+", 0);
    world.send(peer, &unsubscribe(Version::V311, 5, &["a/b", "A/+", "a/#", "a/+/"]));
    world.receive(peer);
    world.send(peer, &publish(Version::V311, 0, 0, "a/b", "x"));
    assert_eq!(world.payloads(peer), ["x"]);
    world.send(peer, &unsubscribe(Version::V311, 5, &["a/+"]));
    world.receive(peer);
    world.send(peer, &publish(Version::V311, 0, 0, "a/b", "x"));
    assert_eq!(world.receive(peer), []);
}

#[test]
fn deliveries_that_have_begun_go_on_after_unsubscribing() {
    for version in [Version::V31, Version::V311, Version::V5] {
        let mut world = World::new();
        let connect = Connect::new(version, "c").kept(100);
        let peer = world.connect(&connect);
        world.subscribe(peer, "a", 2);
        let other = world.client("d");
        for (id, flags) in [(1, 4), (2, 2), (3, 4)] {
            world.send(other, &publish(Version::V311, flags, id, "a", &id.to_string()));
        }
        world.receive(peer);
        world.send(peer, &unsubscribe(version, 5, &["a"]));
        world.receive(peer);
        world.send(peer, &[0x50, 2, 0, 1]);
        assert_eq!(world.one(peer), Got::PubRel { id: 1, code: 0 });
        // Also over a new connection.
        world.lose(peer);
        let (_, got) = world.try_connect(&connect);
        let again = |payload: &str, qos, id| Got::plain("a", payload).with(qos, id).again();
        assert_eq!(got[1..], [Got::PubRel { id: 1, code: 0 }, again("2", 1, 2), again("3", 2, 3)]);
    }
}

#[test]
fn subscribing_again_loses_nothing_that_waits() {
    for version in [Version::V311, Version::V5] {
        let mut world = World::with(|config| (config.allow_pub_sub, config.max_in_flight) = (true, 1));
        let peer = world.connect(&Connect::new(version, "c"));
        world.subscribe(peer, "a", 1);
        let other = world.client("d");
        for id in 1..=3 {
            world.send(other, &publish(Version::V311, 2, id, "a", &id.to_string()));
        }
        assert_eq!(world.payloads(peer), ["1"]);
        world.subscribe(peer, "a", 2);
        for id in 1..=2 {
            world.send(peer, &[0x40, 2, 0, id]);
            assert_eq!(world.payloads(peer), [(id + 1).to_string()]);
        }
    }
}

#[test]
fn topics_that_begin_with_a_dollar_sign_hide_from_wildcards() {
    let mut world = World::new();
    let peer = world.client("c");
    world.send(peer, &subscribe(Version::V311, 1, &[("#", 0), ("+/x", 0)]));
    world.receive(peer);
    world.send(peer, &publish(Version::V311, 0, 0, "$SYS/x", "hidden"));
    assert_eq!(world.receive(peer), []);
    world.subscribe(peer, "$SYS/#", 0);
    world.send(peer, &publish(Version::V311, 0, 0, "$SYS/x", "shown"));
    assert_eq!(world.payloads(peer), ["shown"]);
}

#[test]
fn topics_are_not_normalised() {
    let mut world = World::new();
    let peer = world.client("c");
    // Composed, and in two code points; with and without U+FEFF.
    let topics = ["\u{e9}", "e\u{301}", "\u{feff}a", "a", "A", "a/", "/a", " a"];
    for topic in topics {
        world.subscribe(peer, topic, 0);
    }
    for topic in topics {
        world.send(peer, &publish(Version::V311, 0, 0, topic, topic));
        assert_eq!(world.one(peer), Got::plain(topic, topic));
    }
}

#[test]
fn kuzzles_rules_close_older_clients_and_are_told_to_newer_ones() {
    // Without publish/subscribe.
    for filter in ["Kuzzle/request", "a/+", "#"] {
        let mut world = World::with(|_| ());
        for version in [Version::V31, Version::V311] {
            let peer = world.connect(&Connect::new(version, "c"));
            world.send(peer, &subscribe(version, 1, &[("fine", 0), (filter, 0)]));
            assert_eq!(world.receive(peer), [Got::Closed], "{filter}");
        }
        let peer = world.client_5("c");
        world.send(peer, &subscribe(Version::V5, 1, &[("fine", 1), (filter, 0), ("Kuzzle/response", 0)]));
        assert_eq!(world.one(peer), Got::SubAck { id: 1, codes: vec![1, 0x87, 0] }, "{filter}");
    }
    // With it wildcards are free, the request topic is not.
    let mut world = World::new();
    let peer = world.client_5("c");
    let filters = [("Kuzzle/request", 0), ("Kuzzle/+", 0), ("#", 0), ("$share/g/Kuzzle/request", 0)];
    world.send(peer, &subscribe(Version::V5, 1, &filters));
    assert_eq!(world.one(peer), Got::SubAck { id: 1, codes: vec![0x87, 0, 0, 0x87] });
}

#[test]
fn requests_reach_nobody_but_the_host() {
    let mut world = World::new();
    let spy = world.client("spy");
    world.subscribe(spy, "#", 0);
    let peer = world.client("c");
    world.send(peer, &publish(Version::V311, 1, 0, "Kuzzle/request", "{\"jwt\": \"secret\"}"));
    assert_eq!(world.receive(spy), []);
    world.send(spy, &subscribe(Version::V311, 1, &[("Kuzzle/#", 0)]));
    assert_eq!(world.payloads(spy), [""; 0], "nor is it retained");
}
