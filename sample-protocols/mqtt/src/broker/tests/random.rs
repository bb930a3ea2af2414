//! Anything in any order: nothing panics, what belongs together stays together, and nothing is left
//! when all have gone.

use super::wire::{packet, text};
use super::*;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }
}

const TOPICS: [&str; 8] =
    ["a", "a/b", "a/b/c", "$SYS/x", "channel", "Kuzzle/request", "Kuzzle/response", "$share/g/a"];
const FILTERS: [&str; 10] = [
    "a",
    "a/+",
    "#",
    "+/b/#",
    "$share/g/a",
    "$share/g/#",
    "$share/h/a/b",
    "channel",
    "a/b",
    "$share/g/channel",
];

fn connect(random: &mut Random) -> Connect {
    let version = [Version::V31, Version::V311, Version::V5][random.below(3)];
    let id = random.one(&["one", "two", "three", "four", "five", ""]);
    let mut connect = Connect::new(version, id);
    if !id.is_empty() && random.chance(2) {
        connect = connect.kept([0, 1, 100, u32::MAX][random.below(4)]);
    }
    connect.keep_alive = [0, 1, 60][random.below(3)];
    if random.chance(2) {
        connect = connect.will(random.one(&TOPICS), &"w".repeat(random.below(3000)));
        let will = connect.will.as_mut().expect("it has just been set");
        (will.2, will.3) = (random.below(3) as u8, random.chance(2));
        if version.is_5() {
            will.4 = vec![0x18, 0, 0, 0, random.below(5) as u8];
        }
    }
    if version.is_5() {
        for (property, limit) in [(0x21, 3), (0x22, 4)] {
            if random.chance(2) {
                connect = connect.property(property, &[0, 1 + random.below(limit) as u8]);
            }
        }
        if random.chance(4) {
            connect = connect.property(0x27, &[0, 0, 0, 1 + random.below(100) as u8]);
        }
    }
    connect
}

/// Bytes of one packet, mostly of the client's version.
fn bytes(random: &mut Random, version: Version) -> Vec<u8> {
    let id = 1 + random.below(6) as u16;
    let acknowledge = |first: u8, reason: bool| match (reason, version) {
        (true, Version::V5) => packet(first, &[&id.to_be_bytes()[..], &[0x80]].concat()),
        _ => packet(first, &id.to_be_bytes()),
    };
    match random.below(12) {
        0..4 => {
            let flags = (random.below(3) as u8) << 1 | u8::from(random.chance(3));
            let payload = "p".repeat([0, 10, 2000][random.below(3)]);
            let topic = random.one(&TOPICS);
            if version.is_5() && random.chance(2) {
                let alias = [0x23, 0, random.below(4) as u8];
                let expiry = [0x02, 0, 0, 0, random.below(3) as u8];
                let topic = if random.chance(2) { "" } else { topic };
                return publish_5(flags, id, topic, &payload, random.one(&[&alias[..], &expiry]));
            }
            publish(version, flags, id, topic, &payload)
        }
        4 | 5 => {
            let mut options = random.below(3) as u8;
            if version.is_5() {
                options |= (random.below(16) as u8) << 2;
            }
            let filters = [(random.one(&FILTERS), options), (random.one(&FILTERS), random.below(3) as u8)];
            if version.is_5() && random.chance(2) {
                return subscribe_5(id, &filters, &[0x0B, 1 + random.below(3) as u8]);
            }
            subscribe(version, id, &filters)
        }
        6 => unsubscribe(version, id, &[random.one(&FILTERS), random.one(&FILTERS)]),
        7 => acknowledge([0x40, 0x50, 0x62, 0x70][random.below(4)], random.chance(3)),
        8 => acknowledge([0x40, 0x50][random.below(2)], false),
        9 => b"\xC0\x00".to_vec(),
        10 if random.chance(4) => match version {
            Version::V5 => packet(0xE0, &[[0, 4, 0x80][random.below(3)]]),
            _ => packet(0xE0, &[]),
        },
        11 if random.chance(4) => packet(random.below(256) as u8, &text("rubbish")),
        _ => acknowledge(0x62, false),
    }
}

fn is_sound(world: &World) {
    let broker = &world.broker;
    for (index, session) in &broker.sessions {
        assert_eq!(broker.by_client_id.get(&session.client_id), Some(&(index as u32)));
        if let Some(key) = session.connection {
            let connection = broker.connection(key).expect("a session's connection is known");
            assert_eq!(connection.stage, Stage::Live(index as u32));
        }
        let cost: usize = session.pending.iter().map(session::Delivery::cost).sum();
        assert_eq!(session.pending_cost, cost);
        assert!(cost <= broker.settings.max_queue_size, "{cost}");
        let in_flight = session.in_flight.iter().filter_map(|one| match &one.stage {
            session::Stage::Sent(delivery) => Some(delivery.cost()),
            session::Stage::Released => None,
        });
        assert_eq!(session.in_flight_cost, in_flight.sum::<usize>());
        let nodes = session.subscriptions.iter().map(|filter| trie::nodes_cost(filter));
        assert_eq!(session.nodes, nodes.sum::<usize>());
        assert!(session.replays.len() <= session.subscriptions.len());
        let expires = session.pending.iter().filter_map(|delivery| delivery.message.expires).min();
        assert!(expires.is_none_or(|at| session.pending_expires.is_some_and(|first| first <= at)));
        assert!(session.in_flight.len() <= usize::from(broker.settings.max_in_flight));
        assert!(session.subscriptions.len() <= broker.settings.max_subscriptions);
    }
    assert_eq!(broker.by_client_id.len(), broker.sessions.len());
    for (_, connection) in &broker.connections {
        if let Stage::Live(session) = connection.stage {
            assert_eq!(broker.sessions[session as usize].connection, Some(connection.key));
        }
        for channel in &connection.joined {
            assert!(broker.channels[channel].contains(&connection.key));
        }
    }
    for members in broker.channels.values() {
        assert!(!members.is_empty() && members.iter().all(|key| broker.connection(*key).is_some()));
    }
    let waiting = broker.connections.iter().filter(|(_, one)| one.stage == Stage::Waiting).count();
    assert_eq!(broker.waiting, waiting);
    let away = broker.sessions.iter().filter(|(_, session)| session.connection.is_none()).count();
    assert_eq!(broker.away.len(), away);
    assert_eq!(broker.memory.used(), used(broker));
    assert!(broker.overflowing.is_empty() && broker.wills.is_empty() && broker.lost.is_empty());
    assert!(broker.orphans.is_empty() && broker.leftovers.is_none());
}

/// What everything that is kept takes, shared things once.
fn used(broker: &Broker) -> usize {
    let mut messages: Vec<Arc<Message>> = broker.retained.all();
    let mut publications = Vec::new();
    let mut used = broker.retained.kept.bytes() + broker.subscriptions.kept.bytes();
    for (_, session) in &broker.sessions {
        used += session.kept.bytes() + session.will.as_ref().map_or(0, |will| will.message.cost());
        let sent = session.in_flight.iter().filter_map(|one| match &one.stage {
            session::Stage::Sent(delivery) => Some(delivery),
            session::Stage::Released => None,
        });
        messages.extend(session.pending.iter().chain(sent).map(|delivery| Arc::clone(&delivery.message)));
    }
    for (_, connection) in &broker.connections {
        used += connection.kept.bytes();
        for frame in &connection.outbox {
            if let Frame::Publish { publication, .. } = frame {
                messages.extend(publication.parts().1.cloned());
                publications.push(publication);
            }
        }
    }
    messages.sort_by_key(Arc::as_ptr);
    messages.dedup_by_key(|message| Arc::as_ptr(message));
    publications.sort_by_key(|publication| Arc::as_ptr(publication));
    publications.dedup_by_key(|publication| Arc::as_ptr(publication));
    used += messages.iter().map(|message| message.kept.as_ref().map_or(0, Kept::bytes)).sum::<usize>();
    used + publications.iter().map(|publication| publication.parts().0).sum::<usize>()
}

fn run(seed: u64) {
    let mut random = Random(seed);
    let mut world = World::with(|config| {
        config.allow_pub_sub = random.below(4) > 0;
        config.open_channels = random.chance(4);
        config.development_mode = random.chance(4);
        (config.max_queue_size, config.max_in_flight, config.receive_maximum) = (8_000, 4, 3);
        (config.max_subscriptions, config.topic_alias_maximum, config.max_retained) = (5, 2, 3);
        (config.max_sessions, config.max_session_expiry, config.max_keep_alive) = (8, 200, 0);
        // Sometimes there is too little for all.
        config.max_memory = [30_000, 60_000, 1_000_000][random.below(3)];
    });
    let mut peers: Vec<Peer> = Vec::new();
    let mut waiting: Vec<(Key, ReplyTo)> = Vec::new();
    for _ in 0..1_500 {
        if peers.is_empty() || random.chance(12) {
            let connect = connect(&mut random);
            let peer = world.accept(connect.version);
            if !random.chance(10) {
                world.send(peer, &connect.encode());
            }
            peers.push(peer);
        }
        let place = random.below(peers.len());
        let peer = peers[place];
        let payload = Bytes::from_static(b"notified");
        match random.below(24) {
            0 => world.lose(peers.swap_remove(place)),
            1 => drop(world.broker.join(peer.key, "channel")),
            2 => world.broker.leave(peer.key, "channel"),
            3 => world.broadcast("channel", "news"),
            4 => world.broker.notify(peer.key, "channel", &payload, world.now),
            5 if random.chance(3) => {
                world.broker.disconnect(peer.key, Reason::ADMINISTRATIVE_ACTION, "", world.now)
            }
            6 => {
                if let Some((key, to)) = waiting.pop() {
                    world.broker.answer(key, to, &payload, world.now);
                }
            }
            7 => world.wait([1, 200, 2_000, 100_000][random.below(4)]),
            8..12 => {
                // What is sent has to be readable, and within what the client takes.
                world.receive(peer);
            }
            _ => {
                let bytes = bytes(&mut random, peer.version);
                if let Next::Execute(to) = world.send(peer, &bytes) {
                    waiting.push((peer.key, to));
                }
            }
        }
        is_sound(&world);
    }
    peers.into_iter().for_each(|peer| world.lose(peer));
    world.wait(300_000);
    // Sessions with a delayed will end later than their connections.
    world.wait(300_000);
    is_sound(&world);
    let broker = &world.broker;
    assert_eq!(broker.memory.used(), {
        let messages = broker.retained.all();
        messages.iter().map(|message| message.cost()).sum::<usize>() + broker.retained.kept.bytes()
    });
    assert!(broker.sessions.is_empty() && broker.connections.is_empty() && broker.channels.is_empty());
    assert!(
        broker.subscriptions.is_empty()
            && broker.next_deadline().is_none_or(|_| broker.retained.expires().is_some())
    );
}

#[test]
fn anything_in_any_order_leaves_nothing_behind() {
    for seed in 1..=300 {
        run(u64::wrapping_mul(seed, 0x9E37_79B9_7F4A_7C15));
    }
}
