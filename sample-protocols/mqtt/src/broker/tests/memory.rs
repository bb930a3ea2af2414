//! What all clients together may keep.

use super::*;
use session::BASE;

const MEBIBYTE: usize = 1 << 20;

fn world(max_memory: usize) -> World {
    World::with(|settings| (settings.allow_pub_sub, settings.max_memory) = (true, max_memory))
}

fn left(world: &World) -> usize {
    world.broker.memory().left()
}

/// Sends messages of QoS 1 of 1000 bytes until one is dropped. Answers how many were not.
fn flood(world: &mut World, from: Peer, topic: &str) -> usize {
    let before = world.broker.counters().dropped;
    let bytes = publish(Version::V311, 2, 1, topic, &"x".repeat(1000));
    let sent = (0..10_000).take_while(|_| {
        world.send(from, &bytes);
        world.receive(from);
        world.broker.counters().dropped == before
    });
    sent.count()
}

#[test]
fn all_queues_of_clients_that_are_away_are_bounded_together_and_new_ones_find_room() {
    let mut world = world(8 * MEBIBYTE);
    let from = world.client("from");
    let mut before = usize::MAX;
    for number in 0..100 {
        let name = format!("c{number}");
        let away = world.connect(&Connect::new(Version::V311, &name).kept(0));
        world.subscribe(away, &name, 1);
        world.lose(away);
        let sent = flood(&mut world, from, &name);
        assert!((1..=before).contains(&sent), "{number}: {sent} {before}");
        before = sent;
        assert!(world.broker.memory().used() <= 8 * MEBIBYTE);
    }
    // Those who come now are served, and lose nothing while they take what comes.
    let late = world.client("late");
    world.subscribe(late, "late", 1);
    for id in 1..=100 {
        world.send(from, &publish(Version::V311, 2, id, "late", "news"));
        world.receive(from);
        assert_eq!(world.payloads(late), ["news"]);
        world.send(late, &[0x40, 2, 0, id as u8]);
    }
}

#[test]
fn a_message_counts_once_however_many_get_it() {
    let mut world = world(8 * MEBIBYTE);
    let peers: Vec<Peer> = (0..100)
        .map(|number| {
            let peer = world.client(&format!("c{number}"));
            world.subscribe(peer, "a", number % 2);
            peer
        })
        .collect();
    let from = world.client("from");
    world.send(from, &publish(Version::V311, 2, 1, "a", &"x".repeat(MEBIBYTE - 100)));
    for peer in peers {
        assert_eq!(world.payloads(peer).len(), 1);
    }
    assert_eq!(world.broker.counters().dropped, 0);
}

#[test]
fn a_message_counts_until_it_is_written() {
    let mut world = world(MEBIBYTE);
    let (peer, from) = (world.client("c"), world.client("from"));
    world.subscribe(peer, "a", 0);
    let before = left(&world);
    for payload in ["x".repeat(50_000), "y".repeat(100)] {
        world.send(from, &publish(Version::V311, 0, 0, "a", &payload));
        assert!(left(&world) < before - payload.len());
        let taken = world.broker.take(peer.key, world.now).expect("it is known");
        assert!(left(&world) < before - payload.len(), "it is not written yet");
        drop(taken);
        assert_eq!(left(&world), before);
    }
}

#[test]
fn connect_is_refused_if_there_is_no_memory_left() {
    let mut world = world(100_000);
    let will = "w".repeat(20_000);
    let connect = |version, number: usize| {
        Connect::new(version, &format!("c{number}")).will("a", if number < 100 { &will } else { "" })
    };
    let refused = (0..100)
        .find_map(|number| {
            let (_, got) = world.try_connect(&connect(Version::V5, number));
            (got.len() > 1).then_some(got)
        })
        .expect("some are too many");
    assert!(matches!(refused[..], [Got::ConnAck { code: 0x97, .. }, Got::Closed]), "{refused:?}");
    let (_, got) = world.try_connect(&connect(Version::V311, 99));
    assert_eq!(got, [Got::ConnAck { present: false, code: 3, properties: vec![] }, Got::Closed]);
    assert!(left(&world) > BASE, "those who need little are taken");
    let (_, got) = world.try_connect(&connect(Version::V311, 100));
    assert_eq!(got, [Got::ConnAck { present: false, code: 0, properties: vec![] }]);
}

#[test]
fn subscriptions_are_refused_if_there_is_no_memory_left() {
    let mut world = world(100_000);
    let filters: Vec<String> = (0..1000).map(|number| format!("filter/{number}")).collect();
    let filters: Vec<_> = filters.iter().map(|filter| (&filter[..], 0)).collect();
    let five = world.client_5("5");
    world.send(five, &subscribe_5(1, &filters, &[]));
    let Got::SubAck { codes, .. } = world.one(five) else { panic!("it is answered") };
    let granted = codes.iter().filter(|code| **code == 0).count();
    assert!(granted > 30 && codes[granted..].iter().all(|code| *code == 0x97), "{granted}");
    let older = world.client("3.1.1");
    world.send(older, &subscribe(Version::V311, 1, &filters));
    let Got::SubAck { codes, .. } = world.one(older) else { panic!("it is answered") };
    let also = codes.iter().filter(|code| **code == 0).count();
    assert!(also > granted / 4 && also < granted, "{also} of {granted}");
    assert!(codes[also..].iter().all(|code| *code == 0x80));
    let oldest = world.connect(&Connect::new(Version::V31, "3.1"));
    world.send(oldest, &subscribe(Version::V31, 1, &filters));
    assert_eq!(world.receive(oldest), [Got::Closed]);
    // What is given up is there for others.
    let before = left(&world);
    let names: Vec<_> = filters.iter().map(|(filter, _)| *filter).collect();
    world.send(five, &unsubscribe(Version::V5, 2, &names));
    world.receive(five);
    assert!(left(&world) > before + granted * 50);
}

#[test]
fn messages_of_qos_2_are_refused_if_there_is_no_memory_for_their_identifiers() {
    let mut world = world(2 * MEBIBYTE);
    let floods: Vec<Peer> = (0..20).map(|number| world.client(&format!("c{number}"))).collect();
    let mut closed = 0;
    for peer in floods {
        for id in 1..=u16::MAX {
            world.send(peer, &publish(Version::V311, 4, id, "a", ""));
            if world.receive(peer).contains(&Got::Closed) {
                closed += 1;
                world.lose(peer);
                break;
            }
        }
    }
    assert!(closed > 10 && world.broker.memory().used() <= 2 * MEBIBYTE, "{closed}");
    let mut world = self::world(8000);
    let peer = world.client_5("5");
    let from = world.client("from");
    let codes: Vec<u8> = (1..=1000)
        .map(|id| {
            world.send(peer, &publish_5(4, id, "a", "", &[]));
            let Got::PubRec { code, .. } = world.one(peer) else { panic!("it is answered") };
            code
        })
        .collect();
    let taken = codes.iter().take_while(|code| **code == 0x10).count();
    assert!(taken > 10 && taken < 1000 && codes[taken..].iter().all(|code| *code == 0x97), "{taken}");
    // One that was refused can be sent again.
    for id in 1..=taken as u8 {
        world.send(peer, &[0x62, 2, 0, id]);
    }
    world.receive(peer);
    world.send(peer, &publish_5(4, 1000, "a", "", &[]));
    assert_eq!(world.one(peer), Got::PubRec { id: 1000, code: 0x10 });
    assert_eq!(world.receive(from), []);
}

#[test]
fn who_does_not_read_its_acknowledgements_is_not_read_from() {
    let mut world = world(50_000);
    let peer = world.client("c");
    let mut sent = 0;
    while !world.broker.is_congested(peer.key) {
        world.send(peer, &publish(Version::V311, 2, 1, "a", "x"));
        sent += 1;
        assert!(sent < 2000, "it is told in time");
    }
    let other = world.client("d");
    assert!(!world.broker.is_congested(other.key));
    world.receive(peer);
    assert!(!world.broker.is_congested(peer.key));
}

#[test]
fn topic_aliases_of_clients_count() {
    let mut world = world(16_000);
    let peer = world.client_5("c");
    let alias = |number: u8| publish_5(0, 0, &format!("{number}").repeat(1000), "x", &[0x23, 0, number]);
    let before = left(&world);
    for _ in 0..100 {
        world.send(peer, &alias(1));
    }
    let after = left(&world);
    assert!((1000..1200).contains(&(before - after)), "{before} {after}");
    assert_eq!(world.receive(peer), []);
    (2..9).for_each(|number| drop(world.send(peer, &alias(number))));
    assert_eq!(world.receive(peer), [Got::Disconnect { code: 0x97 }, Got::Closed]);
    world.lose(peer);
}

#[test]
fn messages_that_wait_are_forgotten_when_they_expire() {
    let mut world = world(MEBIBYTE);
    let from = world.client_5("from");
    let connect = Connect::new(Version::V311, "away").kept(0);
    let away = world.connect(&connect);
    world.subscribe(away, "a", 1);
    world.lose(away);
    world.wait(1000);
    let before = left(&world);
    for seconds in [2, 1, 50] {
        let payload = format!("{seconds}");
        world.send(from, &publish_5(2, 1, "a", &payload, &[2, 0, 0, 0, seconds]));
        world.send(from, &publish_5(3, 1, "r/a", &payload, &[2, 0, 0, 0, seconds]));
        world.receive(from);
    }
    let pending =
        |world: &World| world.broker.sessions[world.broker.by_client_id["away"] as usize].pending.len();
    assert_eq!(pending(&world), 3);
    world.wait(3000);
    assert_eq!(pending(&world), 1);
    world.wait(50_000);
    assert_eq!((pending(&world), left(&world)), (0, before));
    assert!(world.broker.retained.all().is_empty());
}

#[test]
fn who_comes_back_finds_room_to_take_what_has_used_it_up() {
    let mut world = world(4 * MEBIBYTE);
    let from = world.client("from");
    let mut connect = Connect::new(Version::V311, "c0").kept(0);
    for number in 0..2000 {
        connect.id = format!("c{number}");
        let (away, got) = world.try_connect(&connect);
        if got.len() > 1 {
            break;
        }
        world.subscribe(away, &connect.id, 1);
        world.lose(away);
        flood(&mut world, from, &connect.id);
    }
    assert!(world.try_connect(&connect).1.len() > 1, "new ones are refused");
    connect.id = "c0".to_owned();
    let (_, got) = world.try_connect(&connect);
    assert!(matches!(got[0], Got::ConnAck { code: 0, present: true, .. }), "{got:?}");
}
