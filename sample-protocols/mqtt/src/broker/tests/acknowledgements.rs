//! The exchanges of QoS 1 and 2, flow control.

use super::*;

#[test]
fn each_quality_of_service_is_acknowledged_as_it_has_to_be() {
    for version in [Version::V31, Version::V311, Version::V5] {
        let mut world = World::new();
        let peer = world.connect(&Connect::new(version, "c"));
        world.subscribe(peer, "a", 0);
        world.send(peer, &publish(version, 0, 0, "a", "0"));
        assert_eq!(world.one(peer), Got::plain("a", "0"));
        world.send(peer, &publish(version, 2, 7, "a", "1"));
        assert_eq!(world.receive(peer), [Got::plain("a", "1"), Got::PubAck { id: 7, code: 0 }]);
        world.send(peer, &publish(version, 4, 8, "a", "2"));
        assert_eq!(world.receive(peer), [Got::plain("a", "2"), Got::PubRec { id: 8, code: 0 }]);
        world.send(peer, &[0x62, 2, 0, 8]);
        assert_eq!(world.one(peer), Got::PubComp { id: 8, code: 0 });
    }
}

#[test]
fn a_message_of_qos_2_is_passed_on_once_until_it_is_released() {
    let mut world = World::new();
    let connect = Connect::new(Version::V311, "c").kept(0);
    let mut peer = world.connect(&connect);
    let other = world.client("d");
    world.subscribe(other, "a", 0);
    world.send(peer, &publish(Version::V311, 4, 5, "a", "first"));
    world.send(peer, &publish(Version::V311, 12, 5, "a", "first"));
    assert_eq!(world.receive(peer), [Got::PubRec { id: 5, code: 0 }, Got::PubRec { id: 5, code: 0 }]);
    // Also over a new connection.
    world.lose(peer);
    peer = world.try_connect(&connect).0;
    world.send(peer, &publish(Version::V311, 12, 5, "a", "first"));
    assert_eq!(world.one(peer), Got::PubRec { id: 5, code: 0 });
    world.send(peer, &[0x62, 2, 0, 5]);
    assert_eq!(world.one(peer), Got::PubComp { id: 5, code: 0 });
    world.send(peer, &publish(Version::V311, 4, 5, "a", "second"));
    assert_eq!(world.payloads(other), ["first", "second"]);
}

#[test]
fn a_message_of_qos_1_with_an_id_that_is_acknowledged_is_new() {
    let mut world = World::new();
    let peer = world.client("c");
    let other = world.client("d");
    world.subscribe(other, "a", 0);
    world.send(peer, &publish(Version::V311, 2, 5, "a", "1"));
    world.send(peer, &publish(Version::V311, 10, 5, "a", "2"));
    assert_eq!(world.payloads(other), ["1", "2"]);
}

#[test]
fn a_delivery_of_qos_2_goes_through_all_its_steps() {
    let mut world = World::new();
    let connect = Connect::new(Version::V311, "c").kept(0);
    let peer = world.connect(&connect);
    world.subscribe(peer, "a", 2);
    let other = world.client("d");
    world.send(other, &publish(Version::V311, 4, 1, "a", "x"));
    assert_eq!(world.one(peer), Got::plain("a", "x").with(2, 1));
    world.send(peer, &[0x50, 2, 0, 1]);
    assert_eq!(world.one(peer), Got::PubRel { id: 1, code: 0 });
    // A client may say so again.
    world.send(peer, &[0x50, 2, 0, 1]);
    assert_eq!(world.one(peer), Got::PubRel { id: 1, code: 0 });
    world.send(peer, &[0x70, 2, 0, 1]);
    world.lose(peer);
    assert_eq!(world.try_connect(&connect).1.len(), 1, "nothing is left to be sent again");
}

#[test]
fn acknowledgements_of_the_wrong_kind_end_nothing() {
    let mut world = World::new();
    let connect = Connect::new(Version::V311, "c").kept(0);
    let peer = world.connect(&connect);
    world.subscribe(peer, "a", 2);
    let other = world.client("d");
    world.send(other, &publish(Version::V311, 2, 1, "a", "one"));
    world.send(other, &publish(Version::V311, 4, 2, "a", "two"));
    world.receive(peer);
    for wrong in [[0x50, 2, 0, 1], [0x70, 2, 0, 1], [0x40, 2, 0, 2], [0x70, 2, 0, 2], [0x40, 2, 9, 9]] {
        world.send(peer, &wrong);
    }
    world.lose(peer);
    let (_, got) = world.try_connect(&connect);
    assert_eq!(got.iter().filter_map(Got::payload).collect::<Vec<_>>(), ["one", "two"]);
}

#[test]
fn unknown_packet_ids_are_told_in_version_5() {
    let mut world = World::new();
    let peer = world.client_5("c");
    world.send(peer, &[0x62, 2, 0, 9]);
    assert_eq!(world.one(peer), Got::PubComp { id: 9, code: 0x92 });
    world.send(peer, &[0x50, 2, 0, 9]);
    assert_eq!(world.one(peer), Got::PubRel { id: 9, code: 0x92 });
    let peer = world.client("d");
    world.send(peer, &[0x62, 2, 0, 9]);
    assert_eq!(world.one(peer), Got::PubComp { id: 9, code: 0 });
}

#[test]
fn a_receiver_can_refuse_and_is_not_asked_again() {
    let mut world = World::new();
    let connect = Connect::new(Version::V5, "c").kept(100).property(0x21, &[0, 1]);
    let peer = world.connect(&connect);
    world.subscribe(peer, "a", 2);
    let other = world.client("d");
    for (id, flags) in [(1, 2), (2, 4), (3, 4)] {
        world.send(other, &publish(Version::V311, flags, id, "a", &id.to_string()));
    }
    assert_eq!(world.payloads(peer), ["1"]);
    world.send(peer, &[0x40, 3, 0, 1, 0x97]);
    assert_eq!(world.payloads(peer), ["2"]);
    world.send(peer, &[0x50, 3, 0, 2, 0x97]);
    assert_eq!(world.receive(peer), [Got::plain("a", "3").with(2, 3)]);
    world.lose(peer);
    let (_, got) = world.try_connect(&connect);
    assert_eq!(got.iter().filter_map(Got::payload).collect::<Vec<_>>(), ["3"]);
}

#[test]
fn no_more_is_in_flight_than_the_client_takes() {
    let mut world = World::new();
    let peer = world.connect(&Connect::new(Version::V5, "c").property(0x21, &[0, 2]));
    world.subscribe(peer, "a", 1);
    let other = world.client("d");
    for id in 1..=5 {
        world.send(other, &publish(Version::V311, 2, id, "a", &id.to_string()));
    }
    assert_eq!(world.payloads(peer), ["1", "2"]);
    // Everything else goes on.
    world.send(peer, b"\xC0\x00");
    assert_eq!(world.one(peer), Got::PingResp);
    world.send(other, &publish(Version::V311, 0, 0, "a", "not counted"));
    assert_eq!(world.payloads(peer), ["not counted"]);
    world.send(peer, &[0x40, 2, 0, 1]);
    assert_eq!(world.payloads(peer), ["3"]);
    world.send(peer, &[0x40, 2, 0, 2]);
    world.send(peer, &[0x40, 2, 0, 3]);
    assert_eq!(world.payloads(peer), ["4", "5"]);
}

/// A client to which four messages of QoS 2 have been sent.
fn four_on_their_way(world: &mut World, connect: &Connect) -> Peer {
    let peer = world.connect(connect);
    world.subscribe(peer, "a", 2);
    let other = world.client("d");
    for id in 1..=4 {
        world.send(other, &publish(Version::V311, 4, id, "a", &id.to_string()));
    }
    assert_eq!(world.payloads(peer), ["1", "2", "3", "4"]);
    peer
}

#[test]
fn what_is_sent_again_keeps_to_what_the_client_takes_now() {
    let mut world = World::new();
    let kept = Connect::new(Version::V5, "c").kept(100);
    let peer = four_on_their_way(&mut world, &kept);
    world.send(peer, &[0x50, 2, 0, 2]);
    world.lose(peer);
    let (peer, got) = world.try_connect(&kept.property(0x21, &[0, 2]));
    let again = |payload: &str, id| Got::plain("a", payload).with(2, id).again();
    assert_eq!(got[1..], [again("1", 1), Got::PubRel { id: 2, code: 0 }]);
    world.send(peer, &[0x70, 2, 0, 2]);
    assert_eq!(world.one(peer), again("3", 3));
    world.send(peer, &[0x50, 2, 0, 1]);
    world.send(peer, &[0x70, 2, 0, 1]);
    assert_eq!(world.receive(peer), [Got::PubRel { id: 1, code: 0 }, again("4", 4)]);
}

#[test]
fn the_servers_own_window_counts_for_all_versions() {
    let mut world = World::with(|config| (config.allow_pub_sub, config.max_in_flight) = (true, 3));
    let peer = world.client("c");
    world.subscribe(peer, "a", 2);
    let other = world.client("d");
    for id in 1..=5 {
        world.send(other, &publish(Version::V311, 4, id, "a", &id.to_string()));
    }
    assert_eq!(world.payloads(peer), ["1", "2", "3"]);
    world.send(peer, &[0x50, 2, 0, 1]);
    assert_eq!(world.one(peer), Got::PubRel { id: 1, code: 0 });
    world.send(peer, &[0x70, 2, 0, 1]);
    assert_eq!(world.payloads(peer), ["4"]);
}

#[test]
fn packet_ids_that_are_in_use_are_not_used_again() {
    let mut world = World::new();
    let peer = world.client("c");
    world.subscribe(peer, "a", 1);
    let other = world.client("d");
    world.send(other, &publish(Version::V311, 2, 1, "a", "stays"));
    for round in 0..70_000_u32 {
        world.send(other, &publish(Version::V311, 2, 1, "a", "goes"));
        let id = world.receive(peer).into_iter().rev().find_map(|got| match got {
            Got::Publish { id, .. } => Some(id),
            _ => None,
        });
        let id = id.expect("it was delivered");
        assert!(id > 1 || round == 0 && id != 0, "1 is in use");
        world.send(peer, &[0x40, 2, (id >> 8) as u8, id as u8]);
        world.receive(other);
    }
}

#[test]
fn acknowledgements_come_in_the_order_of_the_messages() {
    let mut world = World::new();
    let peer = world.client("c");
    world.subscribe(peer, "out", 2);
    for id in [9, 4, 7] {
        world.send(peer, &publish(Version::V311, 2, id, "a", "x"));
        world.send(peer, &publish(Version::V311, 4, id + 100, "a", "x"));
    }
    let acks = |id| [Got::PubAck { id, code: 0 }, Got::PubRec { id: id + 100, code: 0 }];
    assert_eq!(world.receive(peer), [9, 4, 7].map(acks).concat());
    let other = world.client("d");
    for id in 1..=3 {
        world.send(other, &publish(Version::V311, 4, id, "out", "x"));
    }
    world.receive(peer);
    for id in [2, 3, 1] {
        world.send(peer, &[0x50, 2, 0, id]);
    }
    assert_eq!(world.receive(peer), [2, 3, 1].map(|id| Got::PubRel { id, code: 0 }));
}

#[test]
fn a_message_of_qos_2_that_has_expired_is_released_all_the_same() {
    let mut world = World::new();
    let peer = world.client_5("c");
    world.send(peer, &publish_5(4, 1, "a", "x", &[0x02, 0, 0, 0, 1]));
    assert_eq!(world.one(peer), Got::PubRec { id: 1, code: 0x10 });
    world.wait(5_000);
    world.send(peer, &publish_5(12, 1, "a", "x", &[0x02, 0, 0, 0, 1]));
    assert_eq!(world.one(peer), Got::PubRec { id: 1, code: 0 });
    world.send(peer, &[0x62, 2, 0, 1]);
    assert_eq!(world.one(peer), Got::PubComp { id: 1, code: 0 });
}

#[test]
fn what_the_server_takes_at_once_begins_anew_with_each_connection() {
    let mut world = World::with(|config| (config.allow_pub_sub, config.receive_maximum) = (true, 2));
    let peer = world.connect(&Connect::new(Version::V311, "c").kept(0));
    for id in 1..=3 {
        world.send(peer, &publish(Version::V311, 4, id, "a", "x"));
    }
    world.lose(peer);
    let (peer, _) = world.try_connect(&Connect::new(Version::V5, "c").kept(100));
    for id in 11..=12 {
        world.send(peer, &publish_5(4, id, "a", "x", &[]));
        assert_eq!(world.one(peer), Got::PubRec { id, code: 0x10 });
    }
    // Each that is released, also one of before, makes room.
    world.send(peer, &[0x62, 2, 0, 1]);
    assert_eq!(world.one(peer), Got::PubComp { id: 1, code: 0 });
    world.send(peer, &publish_5(4, 13, "a", "x", &[]));
    assert_eq!(world.one(peer), Got::PubRec { id: 13, code: 0x10 });
    world.send(peer, &publish_5(4, 14, "a", "x", &[]));
    assert_eq!(world.receive(peer), [Got::Disconnect { code: 0x93 }, Got::Closed]);
}

#[test]
fn releases_are_sent_again_also_beyond_a_smaller_window() {
    let mut world = World::new();
    let kept = Connect::new(Version::V5, "c").kept(100);
    let peer = four_on_their_way(&mut world, &kept);
    (1..=3).for_each(|id| drop(world.send(peer, &[0x50, 2, 0, id])));
    world.lose(peer);
    let (_, got) = world.try_connect(&kept.property(0x21, &[0, 1]));
    assert_eq!(got[1..], [1, 2, 3].map(|id| Got::PubRel { id, code: 0 }));
}
