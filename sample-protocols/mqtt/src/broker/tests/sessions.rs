//! Sessions that outlive their connections.

use super::*;

#[test]
fn a_clean_session_ends_with_its_connection() {
    let mut world = World::new();
    let peer = world.client("c");
    world.subscribe(peer, "a", 1);
    world.lose(peer);
    assert!(world.broker.sessions.is_empty() && world.broker.subscriptions.is_empty());
    let (peer, got) = world.try_connect(&Connect::new(Version::V311, "c").kept(0));
    assert_eq!(got, [Got::ConnAck { present: false, code: 0, properties: vec![] }]);
    let other = world.client("d");
    world.send(other, &publish(Version::V311, 2, 1, "a", "x"));
    assert_eq!(world.receive(peer), []);
}

#[test]
fn a_kept_session_gets_what_came_meanwhile_in_order() {
    for version in [Version::V311, Version::V5] {
        let mut world = World::new();
        let connect = Connect::new(version, "c").kept(100);
        let peer = world.connect(&connect);
        world.subscribe(peer, "a/+", 2);
        world.lose(peer);
        let other = world.client("d");
        for (number, flags) in (1..).zip([0, 2, 4, 2]) {
            world.send(other, &publish(Version::V311, flags, number, "a/b", &number.to_string()));
        }
        let (_, got) = world.try_connect(&connect);
        let Got::ConnAck { present: true, code: 0, .. } = &got[0] else { panic!("{got:?}") };
        let expected: Vec<_> = [("2", 1, 1), ("3", 2, 2), ("4", 1, 3)]
            .map(|(payload, qos, id)| Got::plain("a/b", payload).with(qos, id))
            .into();
        assert_eq!(got[1..], expected);
    }
}

#[test]
fn what_was_not_acknowledged_is_sent_again_in_order_with_its_id() {
    for version in [Version::V31, Version::V311, Version::V5] {
        let mut world = World::new();
        let connect = Connect::new(version, "c").kept(1_000_000);
        let peer = world.connect(&connect);
        world.subscribe(peer, "a", 2);
        let other = world.client("d");
        for (id, flags) in [(1, 2), (2, 4), (3, 4), (4, 2)] {
            world.send(other, &publish(Version::V311, flags, id, "a", &id.to_string()));
        }
        world.receive(peer);
        // The second has been received, but not been released.
        world.send(peer, &[0x50, 2, 0, 2]);
        assert_eq!(world.one(peer), Got::PubRel { id: 2, code: 0 });
        world.lose(peer);
        let (peer, got) = world.try_connect(&connect);
        let again = |payload: &str, qos, id| Got::plain("a", payload).with(qos, id).again();
        let expected = [again("1", 1, 1), Got::PubRel { id: 2, code: 0 }, again("3", 2, 3), again("4", 1, 4)];
        assert_eq!(got[1..], expected);
        // Nothing is sent again at any other time.
        world.wait(1_000_000);
        assert_eq!(world.receive(peer), []);
    }
}

#[test]
fn a_clean_start_forgets_the_session() {
    let mut world = World::new();
    let kept = Connect::new(Version::V5, "c").kept(100);
    let peer = world.connect(&kept);
    world.subscribe(peer, "a", 1);
    world.lose(peer);
    let peer = world.client_5("c");
    let other = world.client("d");
    world.send(other, &publish(Version::V311, 2, 1, "a", "x"));
    assert_eq!(world.receive(peer), []);
    world.lose(peer);
    let (_, got) = world.try_connect(&kept);
    assert!(matches!(got[..], [Got::ConnAck { present: false, code: 0, .. }]), "{got:?}");
}

#[test]
fn a_session_ends_when_its_expiry_has_passed() {
    let mut world = World::new();
    let connect = Connect::new(Version::V5, "c").kept(10);
    let peer = world.connect(&connect);
    world.wait(1_000_000);
    world.lose(peer);
    world.wait(9_999);
    assert_eq!(world.broker.sessions.len(), 1);
    world.wait(1);
    assert!(world.broker.sessions.is_empty() && world.broker.next_deadline().is_none());
    let (_, got) = world.try_connect(&connect);
    assert!(matches!(got[..], [Got::ConnAck { present: false, code: 0, .. }]), "{got:?}");
}

#[test]
fn coming_back_stops_the_clock() {
    let mut world = World::new();
    let connect = Connect::new(Version::V5, "c").kept(10);
    let peer = world.connect(&connect);
    world.lose(peer);
    world.wait(9_000);
    let (peer, got) = world.try_connect(&connect);
    assert!(matches!(got[..], [Got::ConnAck { present: true, code: 0, .. }]), "{got:?}");
    world.wait(1_000_000);
    world.send(peer, b"\xC0\x00");
    assert_eq!(world.one(peer), Got::PingResp);
}

#[test]
fn the_expiry_is_capped_and_told() {
    let mut world = World::with(|config| config.max_session_expiry = 60);
    let (peer, got) = world.try_connect(&Connect::new(Version::V5, "c").kept(3600));
    let [Got::ConnAck { properties, .. }] = &got[..] else { panic!("{got:?}") };
    assert!(properties.starts_with(&[0x11, 0, 0, 0, 60]), "{properties:?}");
    world.lose(peer);
    // Sessions of MQTT 3.1.1 are kept as long.
    let peer = world.connect(&Connect::new(Version::V311, "d").kept(0));
    world.lose(peer);
    world.wait(59_999);
    assert_eq!(world.broker.sessions.len(), 2);
    world.wait(1);
    assert!(world.broker.sessions.is_empty());
}

#[test]
fn a_disconnect_can_change_the_expiry_but_not_revive_a_session() {
    let mut world = World::new();
    let connect = Connect::new(Version::V5, "c").kept(1000);
    let peer = world.connect(&connect);
    world.send(peer, b"\xE0\x07\x00\x05\x11\0\0\0\x0A");
    world.wait(10_000);
    assert!(world.broker.sessions.is_empty());
    let peer = world.client_5("c");
    world.send(peer, b"\xE0\x07\x00\x05\x11\0\0\0\x0A");
    assert_eq!(world.receive(peer), [Got::Disconnect { code: 0x82 }, Got::Closed]);
    // It is the client's wish that counts, within the server's limit.
    for (limit, lives) in [(0, false), (5, true)] {
        let mut world = World::with(|config| config.max_session_expiry = limit);
        let peer = world.connect(&connect);
        world.send(peer, b"\xE0\x07\x00\x05\x11\0\0\0\x0A");
        assert_eq!((world.receive(peer), !world.broker.sessions.is_empty()), (vec![Got::Closed], lives));
        world.wait(5_000);
        assert!(world.broker.sessions.is_empty());
    }
}

#[test]
fn a_session_that_is_taken_over_goes_on() {
    let mut world = World::new();
    let connect = Connect::new(Version::V311, "c").kept(0);
    let old = world.connect(&connect);
    world.subscribe(old, "a", 1);
    let other = world.client("d");
    world.send(other, &publish(Version::V311, 2, 1, "a", "x"));
    let (_, got) = world.try_connect(&connect);
    assert_eq!(
        got,
        [
            Got::ConnAck { present: true, code: 0, properties: vec![] },
            Got::plain("a", "x").with(1, 1).again()
        ]
    );
}

#[test]
fn a_session_can_change_its_version() {
    let mut world = World::new();
    let peer = world.connect(&Connect::new(Version::V5, "c").kept(1000));
    world.subscribe(peer, "$share/g/a", 1);
    world.subscribe(peer, "a", 1);
    world.lose(peer);
    let other = world.client_5("d");
    world.send(other, &publish_5(2, 1, "a", "x", b"\x03\0\x01t"));
    let (peer, got) = world.try_connect(&Connect::new(Version::V311, "c").kept(0));
    assert_eq!(got.iter().filter_map(Got::payload).collect::<Vec<_>>(), ["x", "x"]);
    let peer = Peer { version: Version::V311, ..peer };
    world.lose(peer);
    world.client("c");
    assert!(world.broker.subscriptions.is_empty(), "both subscriptions are found again");
}

#[test]
fn a_filter_that_is_shared_in_one_version_only_is_forgotten_in_both() {
    let mut world = World::new();
    let kept = [Version::V311, Version::V5].map(|version| Connect::new(version, "c").kept(1000));
    for connect in [&kept[0], &kept[1]] {
        let (peer, _) = world.try_connect(connect);
        world.subscribe(peer, "$share/g/a", 0);
        world.lose(peer);
    }
    let (peer, _) = world.try_connect(&kept[1]);
    world.send(peer, &unsubscribe(Version::V5, 1, &["$share/g/a"]));
    assert_eq!(world.one(peer), Got::UnsubAck { id: 1, codes: vec![0] });
    assert!(world.broker.subscriptions.is_empty());
}

#[test]
fn retained_messages_do_not_belong_to_a_session() {
    let mut world = World::new();
    let peer = world.client("c");
    world.send(peer, &publish(Version::V311, 1, 0, "a", "x"));
    world.lose(peer);
    let peer = world.client("d");
    world.send(peer, &subscribe(Version::V311, 1, &[("a", 0)]));
    assert_eq!(world.payloads(peer), ["x"]);
}

#[test]
fn many_sessions_that_end_together_end_in_portions() {
    let mut world = World::new();
    for number in 0..30 {
        let peer = world.connect(&Connect::new(Version::V5, &format!("c{number}")).kept(10));
        let filters: Vec<String> = (0..200).map(|number| format!("a/{number}")).collect();
        let filters: Vec<_> = filters.iter().map(|filter| (&filter[..], 1)).collect();
        world.send(peer, &subscribe_5(1, &filters, &[]));
        world.lose(peer);
    }
    world.wait(1000);
    world.now += 10_000;
    let mut left = Vec::new();
    while world.broker.tick(world.now) {
        left.push(world.broker.sessions.len());
    }
    assert_eq!(left, [25, 20, 15, 10, 5]);
    assert!(world.broker.sessions.is_empty() && world.broker.next_deadline().is_none());
}
