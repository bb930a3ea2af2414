//! Shared subscriptions: who gets a message, and what becomes of it when its member goes.

use super::*;

/// Members with a window of two, in the order of their names.
fn members(world: &mut World, names: &[&str], qos: u8, expiry: u32) -> Vec<Peer> {
    let connect = |name: &&str| Connect::new(Version::V5, name).kept(expiry).property(0x21, &[0, 2]);
    let peers: Vec<Peer> = names.iter().map(|name| world.connect(&connect(name))).collect();
    peers.iter().for_each(|peer| world.subscribe(*peer, "$share/g/t", qos));
    peers
}

fn publish_all(world: &mut World, flags: u8, count: u16) {
    let from = world.client("from");
    for number in 1..=count {
        world.send(from, &publish(Version::V311, flags, number, "t", &number.to_string()));
        world.receive(from);
    }
    world.lose(from);
}

/// Acknowledges all that comes.
fn take_all(world: &mut World, peer: Peer) -> Vec<String> {
    let mut payloads = Vec::new();
    loop {
        let got = world.receive(peer);
        if got.is_empty() {
            return payloads;
        }
        for one in got {
            payloads.extend(one.payload());
            match one {
                Got::Publish { qos: 1, id, .. } => drop(world.send(peer, &[0x40, 2, 0, id as u8])),
                Got::Publish { qos: 2, id, .. } => drop(world.send(peer, &[0x50, 2, 0, id as u8])),
                Got::PubRel { id, .. } => drop(world.send(peer, &[0x70, 2, 0, id as u8])),
                _ => {}
            }
        }
    }
}

#[test]
fn what_a_member_has_not_acknowledged_goes_to_another_one_with_its_session() {
    let mut world = World::new();
    let peers = members(&mut world, &["a", "b"], 1, 0);
    publish_all(&mut world, 2, 10);
    // Two are on their way to each, the rest waits for one of them.
    assert_eq!(world.payloads(peers[0]), ["1", "3"]);
    world.send(peers[0], &[0x40, 2, 0, 1]);
    world.lose(peers[0]);
    let mut got = take_all(&mut world, peers[1]);
    got.sort_by_key(|payload| payload.parse::<u8>().expect("it is a number"));
    assert_eq!(got, ["2", "3", "4", "5", "6", "7", "8", "9", "10"]);
    world.lose(peers[1]);
    assert!(world.broker.sessions.is_empty() && world.broker.subscriptions.is_empty());
}

#[test]
fn a_member_that_comes_back_gets_its_own_and_nobody_else_does() {
    let mut world = World::new();
    let peers = members(&mut world, &["a", "b"], 1, 100);
    publish_all(&mut world, 2, 4);
    world.lose(peers[0]);
    let (back, got) = world.try_connect(&Connect::new(Version::V5, "a").kept(100));
    assert_eq!(got.iter().filter_map(Got::payload).collect::<Vec<_>>(), ["1", "3"]);
    [1, 2].into_iter().for_each(|id| drop(world.send(back, &[0x40, 2, 0, id])));
    assert_eq!(take_all(&mut world, peers[1]), ["2", "4"]);
    assert_eq!(take_all(&mut world, back), [""; 0]);
    // When the time of the other one is over, this one gets what was kept for it.
    world.lose(peers[1]);
    world.lose(back);
    publish_all(&mut world, 2, 2);
    let (back, got) = world.try_connect(&Connect::new(Version::V5, "a").kept(1000));
    let own: Vec<String> = got.iter().filter_map(Got::payload).collect();
    assert_eq!(own.len(), 1, "{got:?}");
    world.wait(200_000);
    let others = take_all(&mut world, back);
    assert_eq!(others.len(), 1);
    assert_ne!(own, others);
}

#[test]
fn of_qos_2_only_what_has_not_begun_goes_to_another_one() {
    let mut world = World::new();
    let peers = members(&mut world, &["a"], 2, 0);
    publish_all(&mut world, 4, 5);
    let other = members(&mut world, &["b"], 2, 0)[0];
    assert_eq!(world.payloads(peers[0]), ["1", "2"]);
    world.lose(peers[0]);
    assert_eq!(take_all(&mut world, other), ["3", "4", "5"]);
}

#[test]
fn what_a_member_refuses_goes_to_nobody_else() {
    let mut world = World::new();
    let peers = members(&mut world, &["a", "b"], 1, 0);
    publish_all(&mut world, 2, 2);
    assert_eq!(world.payloads(peers[0]), ["1"]);
    world.send(peers[0], &[0x40, 3, 0, 1, 0x97]);
    world.lose(peers[0]);
    assert_eq!(take_all(&mut world, peers[1]), ["2"]);
}

#[test]
fn what_has_come_by_a_plain_subscription_goes_to_nobody_else() {
    let mut world = World::new();
    let peers = members(&mut world, &["a", "b"], 1, 0);
    world.subscribe(peers[0], "t", 1);
    publish_all(&mut world, 2, 1);
    assert_eq!(world.payloads(peers[0]), ["1", "1"]);
    world.lose(peers[0]);
    assert_eq!(take_all(&mut world, peers[1]), ["1"]);
}

#[test]
fn who_is_busy_is_passed_over_and_who_is_away_comes_last() {
    let mut world = World::new();
    let peers = members(&mut world, &["a", "b", "c"], 1, 100);
    world.lose(peers[2]);
    // "a" never acknowledges.
    let mut got = Vec::new();
    for number in 0..10 {
        publish_all(&mut world, 2, 1);
        got.extend(take_all(&mut world, peers[1]));
        assert!(got.len() + 2 > number, "two are on their way to the one that does not answer");
    }
    assert_eq!(got.len(), 8);
    let (_, got) = world.try_connect(&Connect::new(Version::V5, "c").kept(100));
    assert_eq!(got.len(), 1, "{got:?}");
}

#[test]
fn one_message_by_a_share_and_one_by_a_plain_subscription_carry_each_its_identifier() {
    let mut world = World::new();
    let peer = world.client_5("c");
    for (filter, id) in [("a", 1), ("$share/g/a", 2)] {
        world.send(peer, &subscribe_5(1, &[(filter, 1)], &[0x0B, id]));
        world.receive(peer);
    }
    let from = world.client("from");
    world.send(from, &publish(Version::V311, 2, 1, "a", "x"));
    let got = world.receive(peer);
    let expected = [(1, [0x0B, 1]), (2, [0x0B, 2])].map(|(packet, properties)| {
        let Got::Publish { topic, payload, qos, dup, retain, id, .. } = Got::plain("a", "x").with(1, packet)
        else {
            unreachable!()
        };
        Got::Publish { topic, payload, qos, dup, retain, id, properties: properties.into() }
    });
    assert_eq!(got, expected);
}

#[test]
fn what_a_full_member_leaves_costs_the_others_nothing() {
    let mut world = World::with(|config| (config.allow_pub_sub, config.max_queue_size) = (true, 20_000));
    let [a] = members(&mut world, &["a"], 1, 0)[..] else { unreachable!() };
    let from = world.client("from");
    let payload = "x".repeat(500);
    let waits =
        |world: &World, name| world.broker.sessions[world.broker.by_client_id[name] as usize].pending_cost;
    while waits(&world, "a") < 19_000 {
        world.send(from, &publish(Version::V311, 2, 1, "t", &payload));
        world.receive(from);
    }
    // One that has something to do itself, and one that is away.
    let [b, c] = members(&mut world, &["b", "c"], 1, 100)[..] else { unreachable!() };
    world.subscribe(b, "own", 1);
    (0..4).for_each(|_| drop(world.send(from, &publish(Version::V311, 2, 1, "own", &payload))));
    world.receive(b);
    world.lose(c);
    let dropped = world.broker.counters().dropped;
    world.lose(a);
    world.wait(0);
    assert!(!world.receive(b).contains(&Got::Closed));
    // Nor does what comes now, as long as there is a place for it.
    (0..4).for_each(|_| drop(world.send(from, &publish(Version::V311, 2, 1, "t", &payload))));
    assert!(!world.receive(b).contains(&Got::Closed));
    assert!(waits(&world, "b") > 15_000 && waits(&world, "c") > 1000);
    assert_eq!(world.broker.counters().dropped, dropped);
}

/// Two members, of which the first has so much waiting, and the second is away.
fn full_and_away(world: &mut World, waits: usize) -> (Peer, Peer) {
    let [a, b] = members(world, &["a", "b"], 1, 100)[..] else { unreachable!() };
    world.lose(b);
    world.subscribe(a, "own", 1);
    let from = world.client("own");
    let of_a = world.broker.by_client_id["a"] as usize;
    loop {
        let left = waits.saturating_sub(world.broker.sessions[of_a].pending_cost);
        if left < 300 {
            break;
        }
        world.send(from, &publish(Version::V311, 2, 1, "own", &"x".repeat((left - 200).min(500))));
        world.receive(from);
    }
    world.receive(a);
    (a, from)
}

#[test]
fn a_message_of_qos_0_goes_to_one_who_is_here_however_full_its_queue_is() {
    let mut world = World::with(|config| (config.allow_pub_sub, config.max_queue_size) = (true, 20_000));
    let (a, from) = full_and_away(&mut world, 19_900);
    (0..4).for_each(|_| drop(world.send(from, &publish(Version::V311, 0, 0, "t", "x"))));
    assert_eq!(world.payloads(a).len(), 4);
}

#[test]
fn a_member_is_passed_over_that_has_no_place_to_the_byte() {
    for waits in 19_000..19_300 {
        let mut world = World::with(|config| (config.allow_pub_sub, config.max_queue_size) = (true, 20_000));
        let (a, from) = full_and_away(&mut world, waits);
        for _ in 0..5 {
            world.send(from, &publish(Version::V311, 2, 1, "t", "0123456789"));
            world.receive(from);
        }
        assert!(!world.receive(a).contains(&Got::Closed), "{waits}");
        assert_eq!(world.broker.counters().dropped, 0);
    }
}
