//! Retained messages for new subscriptions: as many as a client takes, as fast as it takes them.

use super::*;

/// Retains so many messages, `r/0` and so on.
fn retain(world: &mut World, messages: usize) {
    let from = world.client("from");
    for number in 0..messages {
        world.send(from, &publish(Version::V311, 3, 1, &format!("r/{number}"), &number.to_string()));
        world.receive(from);
    }
    world.lose(from);
}

/// Receives and acknowledges until nothing more comes. Answers the payloads, and in how many portions
/// they came.
fn take_all(world: &mut World, peer: Peer) -> (Vec<String>, usize) {
    let (mut payloads, mut portions) = (Vec::new(), 0);
    loop {
        let got = world.receive(peer);
        let published = got.iter().filter(|got| matches!(got, Got::Publish { .. })).count();
        if published == 0 {
            return (payloads, portions);
        }
        portions += 1;
        for one in got {
            payloads.extend(one.payload());
            if let Got::Publish { qos: 1, id, .. } = one {
                let [high, low] = id.to_be_bytes();
                world.send(peer, &[0x40, 2, high, low]);
            }
        }
    }
}

fn numbers(mut payloads: Vec<String>) -> Vec<usize> {
    payloads.sort_by_key(|payload| payload.parse::<usize>().expect("it is a number"));
    payloads.iter().map(|payload| payload.parse().expect("it is a number")).collect()
}

#[test]
fn however_many_there_are_all_come() {
    for qos in [0, 1] {
        let mut world = World::with(|config| {
            (config.allow_pub_sub, config.max_queue_size, config.max_in_flight) = (true, 10_000, 7);
        });
        retain(&mut world, 1000);
        let peer = world.client_5("c");
        world.send(peer, &subscribe_5(1, &[("r/#", qos)], &[]));
        let queued = world.broker.connection(peer.key).expect("it is known").queued();
        assert!(queued < 100, "nothing is copied before it is taken");
        let (payloads, portions) = take_all(&mut world, peer);
        assert_eq!(numbers(payloads), (0..1000).collect::<Vec<_>>());
        assert!(portions > 5, "{portions}");
        assert_eq!((world.broker.counters().dropped, world.receive(peer)), (0, vec![]));
        let session = &world.broker.sessions[world.broker.by_client_id["c"] as usize];
        assert!(session.replays.is_empty());
    }
}

#[test]
fn the_worker_is_told_that_there_is_more() {
    let mut world = World::with(|config| (config.allow_pub_sub, config.max_queue_size) = (true, 10_000));
    retain(&mut world, 1000);
    let peer = world.client("c");
    world.broker.take_dirty(0, &mut Vec::new());
    world.send(peer, &subscribe(Version::V311, 1, &[("r/#", 0), ("+/+/none", 0)]));
    let mut payloads = Vec::new();
    while world.broker.is_dirty(0) {
        world.broker.take_dirty(0, &mut Vec::new());
        payloads.extend(world.payloads(peer));
    }
    assert_eq!(payloads.len(), 1000);
}

#[test]
fn looking_for_them_takes_turns_with_others() {
    let mut world = World::new();
    retain(&mut world, 5000);
    let peer = world.client("c");
    world.send(peer, &subscribe(Version::V311, 1, &[("+/none", 0), ("r/4999", 0)]));
    // They are looked for by name: there is nothing to walk over.
    assert_eq!(world.payloads(peer), ["4999"]);
    let other = world.client("d");
    world.send(other, &subscribe(Version::V311, 1, &[("r/+/none", 0), ("r/4999", 0)]));
    let portions = (1..).find(|_| world.payloads(other) == ["4999"]).expect("it comes");
    assert_eq!(portions, 10, "512 topics are looked at in one go");
}

#[test]
fn each_message_comes_once_also_if_it_is_published_meanwhile() {
    let mut world = World::with(|config| {
        (config.allow_pub_sub, config.max_queue_size, config.max_in_flight) = (true, 100_000, 1);
    });
    retain(&mut world, 10);
    let peer = world.client_5("c");
    world.send(peer, &subscribe_5(1, &[("r/#", 1)], &[]));
    let from = world.client("other");
    // Live ones: one that has been sent, one that has not, one that is new, and one that is removed.
    let first = world.receive(peer);
    assert!(matches!(&first[1], Got::Publish { topic, retain: true, .. } if topic == "r/0"), "{first:?}");
    for (topic, payload) in [("r/0", "100"), ("r/5", "105"), ("r/95", "195"), ("r/7", "")] {
        world.send(from, &publish(Version::V311, 3, 1, topic, payload));
    }
    world.send(peer, &[0x40, 2, 0, 1]);
    let (payloads, _) = take_all(&mut world, peer);
    assert_eq!(payloads.len(), 11, "{payloads:?}");
    let payloads: Vec<String> = payloads.into_iter().filter(|payload| !payload.is_empty()).collect();
    assert_eq!(numbers(payloads), [1, 2, 3, 4, 6, 8, 9, 100, 105, 195]);
}

#[test]
fn a_client_that_unsubscribes_gets_no_more_of_them_and_one_that_subscribes_again_gets_all() {
    let mut world = World::with(|config| {
        (config.allow_pub_sub, config.max_queue_size, config.max_in_flight) = (true, 100_000, 2);
    });
    retain(&mut world, 10);
    let peer = world.client_5("c");
    let kept = world.broker.sessions[world.broker.by_client_id["c"] as usize].kept.bytes();
    world.send(peer, &subscribe_5(1, &[("r/#", 1)], &[]));
    assert_eq!(world.payloads(peer), ["0", "1"]);
    world.send(peer, &subscribe_5(2, &[("r/#", 1)], &[]));
    world.send(peer, &[0x40, 2, 0, 1]);
    assert_eq!(world.payloads(peer), ["0"]);
    world.send(peer, &unsubscribe(Version::V5, 3, &["r/#"]));
    [2, 3].into_iter().for_each(|id| drop(world.send(peer, &[0x40, 2, 0, id])));
    assert_eq!(world.payloads(peer), [""; 0]);
    let session = &world.broker.sessions[world.broker.by_client_id["c"] as usize];
    assert_eq!((session.replays.len(), session.kept.bytes()), (0, kept));
}

#[test]
fn a_client_that_comes_back_gets_the_rest() {
    let mut world = World::with(|config| {
        (config.allow_pub_sub, config.max_queue_size, config.max_in_flight) = (true, 100_000, 2);
    });
    retain(&mut world, 10);
    let connect = Connect::new(Version::V311, "c").kept(0);
    let peer = world.connect(&connect);
    world.send(peer, &subscribe(Version::V311, 1, &[("r/#", 1)]));
    assert_eq!(world.payloads(peer), ["0", "1"]);
    world.lose(peer);
    let (peer, got) = world.try_connect(&connect);
    let again: Vec<String> = got.iter().filter_map(Got::payload).collect();
    assert_eq!(again, ["0", "1"]);
    [1, 2].into_iter().for_each(|id| drop(world.send(peer, &[0x40, 2, 0, id])));
    let (rest, _) = take_all(&mut world, peer);
    assert_eq!(numbers(rest), (2..10).collect::<Vec<_>>());
}

#[test]
fn also_a_client_for_which_no_memory_is_left_gets_all() {
    let mut world = World::with(|config| (config.allow_pub_sub, config.max_memory) = (true, 200_000));
    retain(&mut world, 30);
    let peer = world.client("c");
    let filter = subscribe(Version::V311, 1, &[("r/#", 1)]);
    world.send(peer, &filter);
    take_all(&mut world, peer);
    let refused = (0..1000).find(|number| {
        let (_, got) = world.try_connect(&Connect::new(Version::V311, &number.to_string()));
        got.len() > 1
    });
    assert!(refused.is_some());
    world.send(peer, &filter);
    let (payloads, portions) = take_all(&mut world, peer);
    assert_eq!((numbers(payloads), portions), ((0..30).collect::<Vec<_>>(), 30));
}

#[test]
fn a_retained_message_comes_before_a_newer_one_of_its_topic() {
    for qos in [0, 1] {
        let mut world = World::with(|config| (config.allow_pub_sub, config.max_in_flight) = (true, 2));
        retain(&mut world, 6);
        let peer = world.client_5("c");
        world.send(peer, &subscribe_5(1, &[("r/+", qos)], &[]));
        let from = world.client("other");
        // Before anything of it is taken, and twice.
        for payload in ["100", "101"] {
            world.send(from, &publish(Version::V311, 2 * qos, 1, "r/5", payload));
        }
        let (mut payloads, _) = take_all(&mut world, peer);
        let position = |payloads: &[String], one: &str| payloads.iter().position(|payload| payload == one);
        let places = ["5", "100", "101"].map(|one| position(&payloads, one).expect("it comes"));
        assert!(places.is_sorted(), "{payloads:?}");
        payloads.sort();
        assert_eq!(payloads, ["0", "1", "100", "101", "2", "3", "4", "5"], "each comes once");
        let session = &world.broker.sessions[world.broker.by_client_id["c"] as usize];
        assert!(session.replays.is_empty());
    }
}

#[test]
fn while_they_come_a_newer_one_waits_for_the_retained_message_of_its_topic() {
    let mut world = World::with(|config| (config.allow_pub_sub, config.max_in_flight) = (true, 2));
    retain(&mut world, 6);
    let peer = world.client_5("c");
    world.send(peer, &subscribe_5(1, &[("r/+", 1)], &[]));
    assert_eq!(world.payloads(peer), ["0", "1"]);
    let from = world.client("other");
    // One that has passed, one that is still to come, one that is not retained.
    for (topic, payload) in [("r/0", "100"), ("r/5", "105"), ("r/x", "106")] {
        world.send(from, &publish(Version::V311, 2, 1, topic, payload));
    }
    [1, 2].into_iter().for_each(|id| drop(world.send(peer, &[0x40, 2, 0, id])));
    let (payloads, _) = take_all(&mut world, peer);
    assert_eq!(payloads, ["100", "5", "105", "106", "2", "3", "4"]);
}

#[test]
fn those_that_are_still_to_come_come_as_the_subscription_is_now() {
    let mut world = World::with(|config| (config.allow_pub_sub, config.max_in_flight) = (true, 1));
    retain(&mut world, 3);
    let peer = world.client_5("c");
    world.send(peer, &subscribe_5(1, &[("r/+", 1)], &[0x0B, 1]));
    let first = Got::plain("r/0", "0").with(1, 1).retained().having(&[0x0B, 1]);
    assert_eq!(world.receive(peer)[1], first);
    // Retain handling 2: none are sent anew.
    world.send(peer, &subscribe_5(2, &[("r/+", 0x20)], &[0x0B, 2]));
    world.send(peer, &[0x40, 2, 0, 1]);
    let rest = ["1", "2"].map(|one| Got::plain(&format!("r/{one}"), one).retained().having(&[0x0B, 2]));
    assert_eq!(world.receive(peer)[1..], rest);
}
