//! Nobody takes what others need: memory, places, time.

use super::*;

#[test]
fn only_what_a_client_has_asked_for_keeps_it_from_being_read() {
    let mut world = World::with(|config| (config.allow_pub_sub, config.max_queue_size) = (true, 10_000));
    let peer = world.client("c");
    world.subscribe(peer, "a", 0);
    let from = world.client("from");
    for _ in 0..100 {
        world.send(from, &publish(Version::V311, 0, 0, "a", &"x".repeat(1000)));
    }
    assert!(!world.broker.is_congested(peer.key), "others publish");
    world.receive(peer);
    for _ in 0..5 {
        assert!(!world.broker.is_congested(peer.key));
        let payload = Bytes::from("x".repeat(1000));
        world.broker.answer(peer.key, ReplyTo::default(), &payload, world.now);
    }
    assert!(world.broker.is_congested(peer.key));
    world.receive(peer);
    assert!(!world.broker.is_congested(peer.key));
}

#[test]
fn who_is_silent_is_judged_by_the_one_who_reads() {
    let mut world = World::new();
    let mut connect = Connect::new(Version::V5, "c");
    connect.keep_alive = 10;
    let peer = world.connect(&connect);
    let judge = |world: &mut World, wait, is_there| {
        world.now += wait;
        while world.broker.tick(world.now) {}
        let silent = world.broker.take_silent(0);
        silent.iter().for_each(|key| world.broker.judge(*key, is_there, world.now));
        silent.len()
    };
    assert_eq!(judge(&mut world, 14_999, false), 0);
    assert_eq!(judge(&mut world, 1, true), 1);
    assert_eq!(judge(&mut world, 14_999, true), 0);
    // A packet comes between the question and the answer.
    world.now += 1;
    while world.broker.tick(world.now) {}
    assert!(world.broker.is_dirty(0));
    let silent = world.broker.take_silent(0);
    world.send(peer, b"\xC0\x00");
    world.broker.judge(silent[0], false, world.now);
    assert_eq!(world.one(peer), Got::PingResp);
    assert_eq!(judge(&mut world, 15_000, false), 1);
    assert_eq!(world.receive(peer), [Got::Disconnect { code: 0x8D }, Got::Closed]);
}

#[test]
fn sessions_of_the_same_address_make_room_first() {
    let mut world = World::with(|config| config.max_sessions = 3);
    let away = |world: &mut World, name: &str, address: u8, expiry| {
        world.address = Some([10, 0, 0, address].into());
        let peer = world.connect(&Connect::new(Version::V5, name).kept(expiry));
        world.lose(peer);
        world.now += 1;
    };
    // Who comes by often pushes out its own.
    away(&mut world, "victim", 1, 10);
    for number in 0..10 {
        away(&mut world, &format!("c{number}"), 2, 1000);
    }
    let known = |world: &World| {
        let mut known: Vec<String> = world.broker.by_client_id.keys().map(|id| id.to_string()).collect();
        known.sort();
        known
    };
    assert_eq!(known(&world), ["c8", "c9", "victim"]);
    // Where there is none of the same address, the one goes that ends first.
    away(&mut world, "third", 3, 1000);
    assert_eq!(known(&world), ["c8", "c9", "third"]);
    // A session is of the address that its client was at last.
    away(&mut world, "c8", 4, 2000);
    away(&mut world, "fourth", 4, 3000);
    assert_eq!(known(&world), ["c9", "fourth", "third"]);
    // Of IPv6 the first half counts: one client has as many of the second as it likes.
    let mut world = World::with(|config| config.max_sessions = 3);
    away(&mut world, "victim", 1, 10);
    for number in 0..10 {
        world.address = Some(format!("2001:db8:0:1::{number}").parse().expect("it is an address"));
        let peer = world.connect(&Connect::new(Version::V5, &format!("c{number}")).kept(1000));
        world.lose(peer);
        world.now += 1;
    }
    assert_eq!(known(&world), ["c8", "c9", "victim"]);
}

#[test]
fn newcomers_leave_room_for_those_who_are_here() {
    let mut world = World::with(|config| (config.allow_pub_sub, config.max_memory) = (true, 16 << 20));
    let peer = world.client("c");
    world.subscribe(peer, "a", 1);
    let from = world.client("from");
    let connect =
        |number: usize| Connect::new(Version::V5, &format!("{number}{}", "x".repeat(900))).kept(100);
    let refused = (0..20_000).find(|number| {
        let (other, got) = world.try_connect(&connect(*number));
        world.lose(other);
        got.len() > 1
    });
    assert!(refused.is_some());
    // Also the properties of a will count.
    let will = |size: usize| {
        let mut connect = Connect::new(Version::V5, "will").will("a", "w");
        let pair = [&[0x26, 0, 1, b'k'][..], &wire::text(&"v".repeat(size))].concat();
        connect.will.as_mut().expect("it has just been set").4 = pair;
        connect
    };
    assert!(matches!(world.try_connect(&will(30_000)).1[..], [Got::ConnAck { code: 0x97, .. }, Got::Closed]));
    for number in 1..=100 {
        world.send(from, &publish(Version::V311, 2, number, "a", &"x".repeat(500)));
        world.receive(from);
        let got = world.receive(peer);
        assert!(matches!(got[..], [Got::Publish { .. }]), "{number}: {got:?}");
        world.send(peer, &[0x40, 2, 0, number as u8]);
    }
}

#[test]
fn a_connection_joins_no_more_channels_than_it_can_subscribe_to() {
    let mut world = World::with(|config| config.max_subscriptions = 3);
    let peer = world.client("c");
    let before = world.broker.memory().used();
    for (channel, expected) in [
        ("a", Joined::Yes),
        ("b", Joined::Yes),
        ("c", Joined::Yes),
        ("d", Joined::TooMany),
        ("a", Joined::Yes),
    ] {
        assert_eq!(world.broker.join(peer.key, channel), expected, "{channel}");
    }
    let after = world.broker.memory().used();
    assert!(after > before + 300, "they count");
    world.broker.leave(peer.key, "b");
    world.broker.leave(peer.key, "unknown");
    assert_eq!(world.broker.join(peer.key, "d"), Joined::Yes);
    assert_eq!(world.broker.memory().used(), after);
    ["a", "c", "d"].iter().for_each(|channel| world.broker.leave(peer.key, channel));
    assert_eq!((world.broker.memory().used(), world.broker.channels.len()), (before, 0));
}

#[test]
fn many_wills_are_published_in_portions() {
    let mut world = World::new();
    let listeners: Vec<Peer> = (0..100).map(|number| world.client(&format!("l{number}"))).collect();
    listeners.iter().for_each(|peer| world.subscribe(*peer, "w", 0));
    let connect =
        |number| Connect::new(Version::V5, &format!("c{number}")).will("w", "gone").kept(10).delayed(20);
    let peers: Vec<Peer> = (0..100).map(|number| world.connect(&connect(number))).collect();
    world.send(peers[0], b"\xE0\x00");
    peers[1..].iter().for_each(|peer| world.lose(*peer));
    assert_eq!(world.payloads(listeners[99]), [""; 0]);
    // All sessions end together.
    world.now += 10_000;
    let mut portions = Vec::new();
    while world.broker.tick(world.now) {
        portions.push(world.payloads(listeners[99]).len());
    }
    portions.push(world.payloads(listeners[99]).len());
    assert_eq!((portions.iter().sum::<usize>(), portions.iter().max()), (99, Some(&10)), "{portions:?}");
}

#[test]
fn when_the_server_ends_there_are_no_wills() {
    let mut world = World::new();
    let listener = world.client_5("l");
    world.subscribe(listener, "w", 1);
    let peer = world.connect(&Connect::new(Version::V5, "c").will("w", "gone"));
    world.broker.disconnect(peer.key, Reason::SHUTTING_DOWN, "", world.now);
    assert_eq!(world.receive(listener), []);
    let peer = world.connect(&Connect::new(Version::V5, "c").will("w", "kicked"));
    world.broker.disconnect(peer.key, Reason::ADMINISTRATIVE_ACTION, "", world.now);
    assert_eq!(world.payloads(listener), ["kicked"]);
}
