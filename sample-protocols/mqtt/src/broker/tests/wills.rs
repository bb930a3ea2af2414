//! Wills.

use super::*;

/// A listener to everything.
fn listener(world: &mut World) -> Peer {
    let peer = world.client("listener");
    world.subscribe(peer, "#", 2);
    peer
}

/// An encoded will delay.
fn delay(seconds: u32) -> Vec<u8> {
    [&[0x18][..], &seconds.to_be_bytes()].concat()
}

fn with_delay(version: Version, seconds: u32) -> Connect {
    let mut connect = Connect::new(version, "c").will("w", "gone");
    connect.will.as_mut().expect("it has just been set").4 = delay(seconds);
    connect
}

#[test]
fn a_will_is_published_when_the_client_is_lost() {
    for version in [Version::V31, Version::V311, Version::V5] {
        let mut world = World::new();
        let listener = listener(&mut world);
        let peer = world.connect(&Connect::new(version, "c").will("w", "gone"));
        assert_eq!(world.receive(listener), []);
        world.lose(peer);
        assert_eq!(world.one(listener), Got::plain("w", "gone"));
        world.wait(1_000_000);
        assert_eq!(world.receive(listener), [], "once");
    }
}

#[test]
fn a_will_has_its_own_qos_and_retain_flag() {
    let mut world = World::new();
    let listener = listener(&mut world);
    let mut connect = Connect::new(Version::V311, "c").will("w", "gone");
    connect.will.as_mut().expect("it has just been set").2 = 2;
    connect.will.as_mut().expect("it has just been set").3 = true;
    let peer = world.connect(&connect);
    world.lose(peer);
    assert_eq!(world.one(listener), Got::plain("w", "gone").with(2, 1));
    let late = world.client("late");
    world.send(late, &subscribe(Version::V311, 1, &[("w", 2)]));
    assert_eq!(world.receive(late)[1], Got::plain("w", "gone").with(2, 1).retained());
}

#[test]
fn a_will_that_is_not_to_be_retained_is_not() {
    let mut world = World::new();
    let peer = world.connect(&Connect::new(Version::V311, "c").will("w", "gone"));
    world.lose(peer);
    let late = world.client("late");
    world.subscribe(late, "w", 0);
}

#[test]
fn a_disconnect_discards_the_will_unless_it_asks_for_it() {
    let mut world = World::new();
    let listener = listener(&mut world);
    for (version, bytes, expected) in [
        (Version::V31, &b"\xE0\x00"[..], 0),
        (Version::V311, b"\xE0\x00", 0),
        (Version::V5, b"\xE0\x00", 0),
        (Version::V5, b"\xE0\x01\x00", 0),
        (Version::V5, b"\xE0\x01\x04", 1),
        (Version::V5, b"\xE0\x01\x80", 1),
    ] {
        let peer = world.connect(&Connect::new(version, "c").will("w", "gone"));
        world.send(peer, bytes);
        world.lose(peer);
        assert_eq!(world.receive(listener).len(), expected, "{version:?} {bytes:?}");
    }
}

#[test]
fn protocol_errors_and_silence_publish_the_will() {
    let mut world = World::new();
    let listener = listener(&mut world);
    let mut connect = Connect::new(Version::V5, "c").will("w", "gone");
    connect.keep_alive = 1;
    let peer = world.connect(&connect);
    world.send(peer, b"\x00\x00");
    assert_eq!(world.payloads(listener), ["gone"]);
    world.connect(&connect);
    world.wait(1_500);
    assert_eq!(world.payloads(listener), ["gone"]);
}

#[test]
fn a_will_waits_for_its_delay_or_the_sessions_end() {
    let mut world = World::new();
    let listener = listener(&mut world);
    let peer = world.connect(&with_delay(Version::V5, 10).kept(100));
    world.lose(peer);
    world.wait(9_999);
    assert_eq!(world.receive(listener), []);
    world.wait(1);
    assert_eq!(world.payloads(listener), ["gone"]);
    // The session ends first.
    let peer = world.connect(&{
        let mut connect = with_delay(Version::V5, 1000).kept(5);
        connect.id = "d".to_owned();
        connect
    });
    world.lose(peer);
    world.wait(5_000);
    assert_eq!(world.payloads(listener), ["gone"]);
    // Or it ends with its connection.
    let mut connect = with_delay(Version::V5, 1000);
    connect.id = "e".to_owned();
    let peer = world.connect(&connect);
    world.lose(peer);
    assert_eq!(world.payloads(listener), ["gone"]);
}

#[test]
fn coming_back_within_the_delay_keeps_the_will_back() {
    let mut world = World::new();
    let listener = listener(&mut world);
    let connect = with_delay(Version::V5, 10).kept(100);
    let peer = world.connect(&connect);
    world.lose(peer);
    world.wait(9_000);
    let (peer, _) = world.try_connect(&Connect::new(Version::V5, "c").kept(100));
    world.wait(100_000);
    world.lose(peer);
    world.wait(100_000);
    assert_eq!(world.receive(listener), [], "the new connection has no will");
}

#[test]
fn a_take_over_publishes_the_will_of_the_old_connection() {
    let mut world = World::new();
    let listener = listener(&mut world);
    let connect = Connect::new(Version::V311, "c").will("w", "gone");
    world.connect(&connect);
    world.connect(&connect);
    assert_eq!(world.payloads(listener), ["gone"]);
    // With a delay and a session that goes on there is nothing to publish.
    world.connect(&{
        let mut connect = with_delay(Version::V5, 10).kept(100);
        connect.id = "d".to_owned();
        connect
    });
    world.try_connect(&{
        let mut connect = Connect::new(Version::V5, "d").kept(100);
        connect.will = None;
        connect
    });
    world.wait(20_000);
    assert_eq!(world.receive(listener), []);
}

#[test]
fn properties_of_a_will_reach_its_subscribers() {
    let mut world = World::new();
    let listener = world.client_5("listener");
    world.subscribe(listener, "w", 0);
    let mut connect = with_delay(Version::V5, 0);
    let properties = b"\x01\x01\x03\0\x01t\x08\0\x01r\x09\0\x01c\x26\0\x01k\0\x01v\x26\0\x01a\0\x01b";
    connect.will.as_mut().expect("it has just been set").4 =
        [&delay(0)[..], properties, &[0x02, 0, 0, 0, 60]].concat();
    let peer = world.connect(&connect);
    world.lose(peer);
    let expected = [&[0x02, 0, 0, 0, 60][..], properties].concat();
    assert_eq!(world.one(listener), Got::plain("w", "gone").having(&expected));
}

#[test]
fn a_will_that_may_not_be_published_is_refused_in_version_5_and_ignored_before() {
    let mut world = World::with(|_| ());
    let listener = world.client("listener");
    world.subscribe(listener, "w", 0);
    for topic in ["w", "Kuzzle/request", "Kuzzle/response"] {
        let (_, got) = world.try_connect(&Connect::new(Version::V5, "c").will(topic, "gone"));
        assert!(matches!(got[..], [Got::ConnAck { code: 0x87, .. }, Got::Closed]), "{got:?}");
        let peer = world.connect(&Connect::new(Version::V311, "c").will(topic, "gone"));
        world.lose(peer);
    }
    assert_eq!(world.receive(listener), []);
}

#[test]
fn wills_that_close_clients_which_have_wills_do_not_recurse() {
    // Each will overflows the next client, whose will overflows the one after.
    let mut world = World::with(|config| {
        (config.allow_pub_sub, config.max_queue_size, config.max_in_flight) = (true, 2048, 1);
    });
    let clients = 5_000;
    let peers: Vec<Peer> = (0..clients)
        .map(|number| {
            let mut connect = Connect::new(Version::V311, &format!("c{number}"))
                .will(&format!("w/{}", number + 1), &"x".repeat(4000));
            connect.will.as_mut().expect("it has just been set").2 = 1;
            let peer = world.connect(&connect);
            world.subscribe(peer, &format!("w/{number}"), 1);
            peer
        })
        .collect();
    // Fills each one's window.
    let other = world.client("other");
    for number in 0..clients {
        world.send(other, &publish(Version::V311, 2, 1, &format!("w/{number}"), "fills"));
    }
    world.lose(peers[0]);
    world.wait(0);
    for peer in &peers[1..] {
        assert_eq!(world.receive(*peer).last(), Some(&Got::Closed));
    }
}

#[test]
fn wills_keep_to_what_their_client_may_publish() {
    let channel = format!("{}-311", "0123456789abcdef".repeat(4));
    let deep = vec!["a"; 65].join("/");
    let mut world = World::new();
    let listener = listener(&mut world);
    let member = world.client("member");
    world.broker.join(member.key, "channel");
    let topics =
        ["Kuzzle/request", "Kuzzle/response", "kuzzle:notification:server", "channel", &channel, &deep];
    for topic in topics {
        let code = if topic == deep { 0x90 } else { 0x87 };
        let (_, got) = world.try_connect(&Connect::new(Version::V5, "c").will(topic, "x"));
        assert!(
            matches!(got[..], [Got::ConnAck { code: found, .. }, Got::Closed] if found == code),
            "{topic}: {got:?}"
        );
        // Older clients are let in, and their wills are not.
        for version in [Version::V31, Version::V311] {
            let peer = world.connect(&Connect::new(version, "c").will(topic, "x"));
            world.lose(peer);
            assert_eq!(world.receive(listener), [], "{topic}");
        }
    }
    // What becomes a channel meanwhile.
    let peer = world.connect(&Connect::new(Version::V5, "c").will("later", "x"));
    world.broker.join(member.key, "later");
    world.lose(peer);
    assert_eq!(world.receive(listener), []);
    let (_, got) = World::with(|_| ()).try_connect(&Connect::new(Version::V5, "c").will("a", "x"));
    assert!(matches!(got[..], [Got::ConnAck { code: 0x87, .. }, Got::Closed]), "{got:?}");
}

#[test]
fn a_client_without_a_will_leaves_none() {
    for version in [Version::V31, Version::V311, Version::V5] {
        let mut world = World::new();
        let listener = listener(&mut world);
        // Nor that of a connection before.
        let with = Connect::new(version, "c").kept(0).will("w", "gone");
        let peer = world.connect(&with);
        world.send(peer, b"\xE0\x00");
        let (peer, _) = world.try_connect(&Connect { will: None, ..with });
        world.lose(peer);
        world.wait(1_000_000);
        assert_eq!(world.receive(listener), [], "{version:?}");
    }
}
