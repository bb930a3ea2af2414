//! Limits: whatever clients do, memory is bounded and the others go on.

use super::*;

#[test]
fn slow_consumers_lose_qos_0_first() {
    let mut world = World::with(|config| (config.allow_pub_sub, config.max_queue_size) = (true, 10_000));
    let slow = world.client("slow");
    world.send(slow, &subscribe(Version::V311, 1, &[("0", 0), ("1", 1)]));
    world.receive(slow);
    let other = world.client("d");
    let payload = "x".repeat(1000);
    for _ in 0..100 {
        world.send(other, &publish(Version::V311, 0, 0, "0", &payload));
    }
    let queued = world.broker.connection(slow.key).expect("it is known").queued();
    assert!((8_000..=10_000).contains(&queued), "{queued}");
    assert!(world.broker.counters().dropped > 80);
    // Some are in flight beside what waits; then others wait in the place of those of QoS 0.
    for id in 1..=12 {
        world.send(other, &publish(Version::V311, 2, id, "1", &payload));
    }
    let got = world.receive(slow);
    assert!(!got.contains(&Got::Closed));
    assert!(got.iter().all(|got| matches!(got, Got::Publish { qos: 1, .. })), "those of QoS 0 are gone");
    let session = &world.broker.sessions[world.broker.by_client_id["slow"] as usize];
    assert_eq!((got.len(), session.pending.len()), (8, 4));
}

#[test]
fn slow_consumers_are_disconnected_when_nothing_more_can_be_dropped() {
    let mut world = World::with(|config| {
        (config.allow_pub_sub, config.max_queue_size, config.max_in_flight) = (true, 10_000, 1);
    });
    let connect = Connect::new(Version::V5, "slow").kept(1000);
    let slow = world.connect(&connect);
    world.subscribe(slow, "1", 1);
    let other = world.client("d");
    let payload = "x".repeat(1000);
    for id in 1..=100 {
        world.send(other, &publish(Version::V311, 2, id, "1", &payload));
    }
    let got = world.receive(slow);
    assert_eq!(got[got.len() - 2..], [Got::Disconnect { code: 0x97 }, Got::Closed]);
    // What waits is kept, within the limit.
    let session = &world.broker.sessions[world.broker.by_client_id["slow"] as usize];
    assert!((7_000..=10_000).contains(&session.pending_cost), "{}", session.pending_cost);
    assert_eq!(world.payloads(other), [""; 0]);
}

#[test]
fn the_queue_of_a_client_that_is_away_is_bounded() {
    let mut world = World::with(|config| (config.allow_pub_sub, config.max_queue_size) = (true, 10_000));
    let connect = Connect::new(Version::V311, "away").kept(0);
    let peer = world.connect(&connect);
    world.subscribe(peer, "a", 1);
    world.lose(peer);
    let other = world.client("d");
    for id in 1..=100 {
        world.send(other, &publish(Version::V311, 2, id, "a", &"x".repeat(1000)));
    }
    let (_, got) = world.try_connect(&connect);
    assert!((6..=10).contains(&(got.len() - 1)), "{}", got.len());
}

#[test]
fn subscriptions_of_a_client_are_limited() {
    let mut world = World::with(|config| (config.allow_pub_sub, config.max_subscriptions) = (true, 2));
    let peer = world.client_5("c");
    world.send(peer, &subscribe_5(1, &[("a", 0), ("b", 1), ("c", 0), ("a", 2)], &[]));
    // The last options of a filter count.
    assert_eq!(world.one(peer), Got::SubAck { id: 1, codes: vec![0, 1, 0x97, 2] });
    world.send(peer, &subscribe_5(1, &[("a", 2), ("c", 0)], &[]));
    assert_eq!(world.one(peer), Got::SubAck { id: 1, codes: vec![2, 0x97] });
    let peer = world.client("d");
    world.send(peer, &subscribe(Version::V311, 1, &[("a", 0), ("b", 1), ("c", 0)]));
    assert_eq!(world.one(peer), Got::SubAck { id: 1, codes: vec![0, 1, 0x80] });
    // MQTT 3.1 knows no failure.
    let peer = world.connect(&Connect::new(Version::V31, "e"));
    world.send(peer, &subscribe(Version::V31, 1, &[("a", 0), ("b", 1), ("c", 0)]));
    assert_eq!(world.receive(peer), [Got::Closed]);
}

#[test]
fn a_million_subscriptions_leave_as_many_as_are_allowed() {
    let mut world = World::new();
    let peer = world.client_5("c");
    for round in 0..1000 {
        let filters: Vec<String> = (0..1000).map(|number| format!("{round}/{number}")).collect();
        let filters: Vec<_> = filters.iter().map(|filter| (&filter[..], 0)).collect();
        world.send(peer, &subscribe_5(1, &filters, &[]));
        let Got::SubAck { codes, .. } = world.one(peer) else { panic!("a SUBACK comes") };
        let code = if round == 0 { 0 } else { 0x97 };
        assert_eq!(codes, vec![code; 1000]);
    }
    world.lose(peer);
    assert!(world.broker.subscriptions.is_empty());
}

#[test]
fn topics_are_limited_in_length_and_levels() {
    let mut world = World::new();
    let peer = world.client_5("c");
    let (long, deep) = ("x".repeat(65_535), vec!["a"; 10_000].join("/"));
    for topic in [&long, &deep] {
        world.send(peer, &subscribe_5(1, &[(topic, 0)], &[]));
        assert_eq!(world.one(peer), Got::SubAck { id: 1, codes: vec![0x8F] });
        world.send(peer, &publish_5(2, 1, topic, "x", &[]));
        assert_eq!(world.one(peer), Got::PubAck { id: 1, code: 0x90 });
        let (_, got) = world.try_connect(&Connect::new(Version::V5, "d").will(topic, "x"));
        assert!(matches!(got[..], [Got::ConnAck { code: 0x90, .. }, Got::Closed]), "{got:?}");
    }
    assert!(world.broker.subscriptions.is_empty());
    let allowed = vec!["a"; 64].join("/");
    world.subscribe(peer, &allowed, 0);
    let older = world.client("e");
    world.send(older, &subscribe(Version::V311, 1, &[(&deep, 0)]));
    assert_eq!(world.one(older), Got::SubAck { id: 1, codes: vec![0x80] });
    let mut world = World::with(|config| {
        (config.allow_pub_sub, config.max_topic_length, config.max_topic_levels) = (true, 65_535, 1024);
    });
    let peer = world.client_5("c");
    world.subscribe(peer, &long, 0);
    world.send(peer, &publish_5(1, 0, &long, "x", &[]));
    assert_eq!(world.payloads(peer), ["x"]);
}

#[test]
fn sessions_are_limited() {
    let mut world = World::with(|config| config.max_sessions = 2);
    let [a, _] = ["a", "b"].map(|name| world.connect(&Connect::new(Version::V5, name).kept(1000)));
    let (_, got) = world.try_connect(&Connect::new(Version::V5, "c"));
    assert!(matches!(got[..], [Got::ConnAck { code: 0x97, .. }, Got::Closed]), "{got:?}");
    let (_, got) = world.try_connect(&Connect::new(Version::V311, "c"));
    assert_eq!(got, [Got::ConnAck { present: false, code: 3, properties: vec![] }, Got::Closed]);
    world.lose(a);
    world.client("a");
}

#[test]
fn sessions_without_a_client_make_room_the_one_that_ends_first_before_others() {
    let mut world = World::with(|config| config.max_sessions = 3);
    let away = [("a", 500), ("b", 100), ("c", 1000)]
        .map(|(name, seconds)| world.connect(&Connect::new(Version::V5, name).kept(seconds)));
    away.into_iter().for_each(|peer| world.lose(peer));
    let names = |world: &World| {
        let mut names: Vec<_> = world.broker.by_client_id.keys().map(ToString::to_string).collect();
        names.sort();
        names
    };
    world.client("d");
    assert_eq!(names(&world), ["a", "c", "d"]);
    world.client("e");
    assert_eq!(names(&world), ["c", "d", "e"]);
    // One that comes back is not away any more.
    world.try_connect(&Connect::new(Version::V5, "c").kept(1000));
    let (_, got) = world.try_connect(&Connect::new(Version::V5, "f"));
    assert!(matches!(got[..], [Got::ConnAck { code: 0x97, .. }, Got::Closed]), "{got:?}");
    assert_eq!(names(&world), ["c", "d", "e"]);
}

#[test]
fn connections_without_connect_are_limited_and_the_oldest_one_goes() {
    let mut world = World::with(|config| config.max_waiting = 2);
    let client = world.accept(Version::V311);
    world.send(client, &Connect::new(Version::V311, "c").encode());
    world.receive(client);
    let [gone, first, second] = [0, 1, 2].map(|number| {
        let peer = world.accept(Version::V311);
        if number == 0 {
            world.lose(peer);
        }
        peer
    });
    assert_eq!((world.receive(first), world.receive(second)), (vec![], vec![]));
    let third = world.accept(Version::V311);
    assert_eq!(world.receive(first), [Got::Closed]);
    assert_eq!(world.receive(gone), [Got::Closed]);
    // One that has connected does not count, nor is it closed.
    world.send(second, &Connect::new(Version::V311, "d").encode());
    let fourth = world.accept(Version::V311);
    assert_eq!(world.receive(third), []);
    assert_eq!((world.receive(client), world.broker.counters().unheard), (vec![], 1));
    world.wait(30_000);
    assert_eq!((world.receive(third), world.receive(fourth)), (vec![Got::Closed], vec![Got::Closed]));
    assert_eq!(world.broker.waiting, 0);
    for _ in 0..1000 {
        let passing = world.accept(Version::V311);
        world.lose(passing);
    }
    assert!(world.broker.arrivals.len() < 100, "those who have gone are forgotten");
}

#[test]
fn retained_messages_are_limited() {
    let mut world = World::with(|config| (config.allow_pub_sub, config.max_retained) = (true, 2));
    let peer = world.client("c");
    for topic in ["a", "b", "c"] {
        world.send(peer, &publish(Version::V311, 1, 0, topic, topic));
    }
    world.send(peer, &subscribe(Version::V311, 1, &[("#", 0)]));
    let mut got = world.payloads(peer);
    got.sort();
    assert_eq!(got, ["a", "b"]);
}

#[test]
fn colliding_client_ids_leave_one_connection_and_one_session() {
    let mut world = World::new();
    let peers: Vec<Peer> =
        (0..1000).map(|_| world.connect(&Connect::new(Version::V311, "same").kept(0))).collect::<Vec<_>>();
    let (last, others) = peers.split_last().expect("there are many");
    for peer in others {
        assert_eq!(world.receive(*peer), [Got::Closed]);
        world.lose(*peer);
    }
    world.wait(1000);
    assert_eq!((world.broker.sessions.len(), world.broker.connections.len()), (1, 1));
    world.subscribe(*last, "a", 0);
}

#[test]
fn a_flood_of_qos_2_without_release_is_bounded_by_the_packet_ids() {
    let mut world = World::new();
    let peer = world.client("c");
    for round in 0..3 {
        for id in 1..=u16::MAX {
            world.send(peer, &publish(Version::V311, 4, id, "a", "x"));
        }
        assert_eq!(world.receive(peer).len(), 65_535, "{round}");
    }
    let session = &world.broker.sessions[world.broker.by_client_id["c"] as usize];
    assert_eq!(session.incoming.len(), 65_535);
}

#[test]
fn a_filter_that_comes_many_times_in_one_packet_is_looked_for_once() {
    let mut world = World::with(|config| (config.allow_pub_sub, config.max_subscriptions) = (true, 3));
    let other = world.client("d");
    for topic in ["r/1", "r/2"] {
        world.send(other, &publish(Version::V311, 3, 1, topic, topic));
    }
    let peer = world.client("c");
    let mut filters = vec![("r/#", 0); 1000];
    filters[999] = ("r/#", 1);
    world.send(peer, &subscribe(Version::V311, 1, &filters));
    let got = world.receive(peer);
    let mut codes = vec![0; 1000];
    codes[999] = 1;
    assert!(got[0] == Got::SubAck { id: 1, codes });
    assert_eq!(got.len(), 3, "each message comes once: {got:?}");
    let session = &world.broker.sessions[world.broker.by_client_id["c"] as usize];
    assert_eq!(session.in_flight.len(), 2, "the last options count");
}

#[test]
fn what_is_in_flight_is_limited_in_bytes_too() {
    let mut world = World::with(|config| (config.allow_pub_sub, config.max_queue_size) = (true, 10_000));
    let peer = world.client("c");
    world.subscribe(peer, "a", 1);
    let other = world.client("d");
    for id in 1..=6 {
        world.send(other, &publish(Version::V311, 2, id, "a", &format!("{id}").repeat(3000)));
    }
    assert_eq!(world.payloads(peer).len(), 3);
    for (ack, coming) in [(1, 1), (2, 1), (3, 1), (4, 0)] {
        world.send(peer, &[0x40, 2, 0, ack]);
        assert_eq!(world.payloads(peer).len(), coming, "{ack}");
    }
    // One that is larger than all that may be in flight goes alone.
    [5, 6].into_iter().for_each(|ack| drop(world.send(peer, &[0x40, 2, 0, ack])));
    world.send(other, &publish(Version::V311, 2, 7, "a", &"x".repeat(50_000)));
    world.send(other, &publish(Version::V311, 2, 8, "a", "y"));
    assert_eq!(world.payloads(peer).len(), 1);
    world.send(peer, &[0x40, 2, 0, 7]);
    assert_eq!(world.payloads(peer), ["y"]);
}

#[test]
fn answers_are_never_dropped() {
    let mut world = World::with(|config| (config.allow_pub_sub, config.max_queue_size) = (true, 10_000));
    let peer = world.client("c");
    world.subscribe(peer, "a", 0);
    let other = world.client("d");
    for _ in 0..9 {
        world.send(other, &publish(Version::V311, 0, 0, "a", &"x".repeat(1000)));
    }
    let payload = Bytes::from("y".repeat(20_000));
    for _ in 0..3 {
        world.broker.answer(peer.key, ReplyTo::default(), &payload, world.now);
        world.broker.notify(peer.key, "channel", &payload, world.now);
    }
    let got = world.payloads(peer);
    assert_eq!(got.len(), 3, "the others have made room");
    assert!(got.iter().all(|got| got.starts_with('y')));
}

#[test]
fn what_may_be_lost_does_not_keep_a_client_from_hearing_why_it_is_closed() {
    let mut world = World::new();
    let peer = world.client_5("c");
    world.send(peer, &subscribe_5(1, &[("0", 0), ("1", 1)], &[]));
    world.receive(peer);
    let other = world.client("d");
    for (flags, topic) in [(0, "0"), (2, "1"), (0, "0")] {
        world.send(other, &publish(Version::V311, flags, 1, topic, "x"));
    }
    world.send(peer, b"\x00\x00");
    let last = [Got::plain("1", "x").with(1, 1), Got::Disconnect { code: 0x81 }, Got::Closed];
    assert_eq!(world.receive(peer), last);
}

#[test]
fn a_connection_that_has_gone_is_not_taken_for_the_one_in_its_place() {
    let mut world = World::new();
    let old = world.client("old");
    world.lose(old);
    world.wait(250);
    let new = world.client("new");
    assert_eq!((old.key.index, world.broker.connections.len()), (new.key.index, 1));
    world.send(old, b"\xC0\x00");
    world.broker.notify(old.key, "a", &Bytes::from_static(b"x"), world.now);
    assert_eq!(world.broker.join(old.key, "channel"), Joined::Gone);
    world.broker.disconnect(old.key, Reason::ADMINISTRATIVE_ACTION, "", world.now);
    world.broker.judge(old.key, false, world.now);
    world.lose(old);
    assert_eq!(world.receive(new), []);
    world.send(new, b"\xC0\x00");
    assert_eq!(world.one(new), Got::PingResp);
}
