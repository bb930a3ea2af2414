//! Kuzzle's side: requests, answers, channels.

use super::*;

fn request(world: &mut World, peer: Peer, properties: &[u8]) -> Next {
    let bytes = match peer.version {
        Version::V5 => publish_5(0, 0, "Kuzzle/request", "{}", properties),
        version => publish(version, 0, 0, "Kuzzle/request", "{}"),
    };
    world.send(peer, &bytes)
}

fn answer(world: &mut World, peer: Peer, next: Next) {
    let Next::Execute(to) = next else { panic!("{next:?}") };
    world.broker.answer(peer.key, to, &Bytes::from_static(b"answer"), world.now);
}

#[test]
fn a_request_is_answered_to_its_client_alone_subscribed_or_not() {
    let mut world = World::with(|_| ());
    let peers = [world.client("c"), world.client_5("d")];
    let spy = world.client("spy");
    world.subscribe(spy, "Kuzzle/response", 0);
    for peer in peers {
        let next = request(&mut world, peer, &[]);
        answer(&mut world, peer, next);
        assert_eq!(world.one(peer), Got::plain("Kuzzle/response", "answer"));
        world.subscribe(peer, "Kuzzle/response", 0);
        let next = request(&mut world, peer, &[]);
        answer(&mut world, peer, next);
        assert_eq!(world.one(peer), Got::plain("Kuzzle/response", "answer"), "one copy");
    }
    assert_eq!(world.receive(spy), []);
}

#[test]
fn requests_are_acknowledged_before_they_are_answered() {
    let mut world = World::with(|_| ());
    let peer = world.client("c");
    let next = world.send(peer, &publish(Version::V311, 2, 1, "Kuzzle/request", "{}"));
    assert_eq!(world.one(peer), Got::PubAck { id: 1, code: 0 });
    answer(&mut world, peer, next);
    world.receive(peer);
    let next = world.send(peer, &publish(Version::V311, 4, 2, "Kuzzle/request", "{}"));
    assert!(matches!(next, Next::Execute(_)), "{next:?}");
    assert_eq!(world.one(peer), Got::PubRec { id: 2, code: 0 });
    // Sent again it is not executed again.
    let next = world.send(peer, &publish(Version::V311, 12, 2, "Kuzzle/request", "{}"));
    assert_eq!((next, world.one(peer)), (Next::Nothing, Got::PubRec { id: 2, code: 0 }));
}

#[test]
fn a_response_topic_is_answered_with_its_correlation_data() {
    let mut world = World::with(|_| ());
    let peer = world.client_5("c");
    let next = request(&mut world, peer, b"\x09\0\x02\xFF\0\x08\0\x04mine");
    answer(&mut world, peer, next);
    assert_eq!(world.one(peer), Got::plain("mine", "answer").having(b"\x09\0\x02\xFF\0"));
    let next = request(&mut world, peer, b"\x09\0\x01x");
    answer(&mut world, peer, next);
    assert_eq!(world.one(peer), Got::plain("Kuzzle/response", "answer").having(b"\x09\0\x01x"));
}

#[test]
fn response_topics_that_cannot_be_are_protocol_errors() {
    let mut world = World::new();
    let member = world.client("member");
    world.broker.join(member.key, "channel");
    for topic in
        [&b"\x08\0\x02a+"[..], b"\x08\0\x01#", b"\x08\0\x0EKuzzle/request", b"\x08\0\x07channel", b"\x08\0\0"]
    {
        let peer = world.client_5("c");
        assert_eq!(request(&mut world, peer, topic), Next::Nothing);
        assert_eq!(world.receive(peer), [Got::Disconnect { code: 0x82 }, Got::Closed], "{topic:?}");
    }
}

#[test]
fn in_development_mode_answers_go_to_all_who_listen() {
    let mut world = World::with(|config| config.development_mode = true);
    let peer = world.client("c");
    let listener = world.client("d");
    world.subscribe(peer, "Kuzzle/response", 0);
    world.subscribe(listener, "Kuzzle/response", 0);
    let next = request(&mut world, peer, &[]);
    answer(&mut world, peer, next);
    for peer in [peer, listener] {
        assert_eq!(world.one(peer), Got::plain("Kuzzle/response", "answer"));
    }
}

#[test]
fn a_notification_goes_to_those_who_have_joined_and_subscribed() {
    let mut world = World::new();
    let [both, joined, subscribed] = ["both", "joined", "subscribed"].map(|name| world.client(name));
    for peer in [both, joined] {
        assert_eq!(world.broker.join(peer.key, "channel"), Joined::Yes);
    }
    for peer in [both, subscribed] {
        world.subscribe(peer, "channel", 2);
    }
    world.broadcast("channel", "news");
    assert_eq!(world.one(both), Got::plain("channel", "news"), "with QoS 0");
    assert_eq!(world.receive(joined), []);
    assert_eq!(world.receive(subscribed), []);
    // It is decided at delivery.
    assert_eq!(world.broker.join(subscribed.key, "channel"), Joined::Yes);
    world.broker.leave(both.key, "channel");
    world.broadcast("channel", "more news");
    assert_eq!(world.payloads(subscribed), ["more news"]);
    assert_eq!(world.receive(both), []);
    world.broadcast("nobody's channel", "x");
}

#[test]
fn open_channels_are_heard_by_all_who_know_the_name() {
    let mut world = World::with(|config| (config.open_channels, config.allow_pub_sub) = (true, true));
    let [member, knows, guesses] = ["member", "knows", "guesses"].map(|name| world.client(name));
    world.broker.join(member.key, "channel");
    world.subscribe(knows, "channel", 0);
    world.subscribe(guesses, "#", 0);
    world.broadcast("channel", "news");
    assert_eq!(world.payloads(knows), ["news"]);
    assert_eq!(world.receive(member), []);
    assert_eq!(world.receive(guesses), [], "a channel is subscribed to by its name");
}

#[test]
fn one_share_of_a_channel_reaches_one_who_has_joined() {
    let mut world = World::new();
    let [a, b] = ["a", "b"].map(|name| world.client_5(name));
    for peer in [a, b] {
        world.subscribe(peer, "$share/g/channel", 0);
    }
    world.broker.join(b.key, "channel");
    for _ in 0..3 {
        world.broadcast("channel", "news");
    }
    assert_eq!(world.payloads(b).len(), 3);
    assert_eq!(world.receive(a), []);
}

#[test]
fn a_channel_that_was_published_to_before_it_was_one_deceives_nobody() {
    let mut world = World::new();
    let forger = world.client("forger");
    world.send(forger, &publish(Version::V311, 1, 0, "channel", "forged"));
    let peer = world.client("c");
    world.broker.join(peer.key, "channel");
    world.subscribe(peer, "channel", 0);
    assert_eq!(world.receive(peer), []);
    world.send(forger, &publish(Version::V311, 0, 0, "channel", "forged"));
    assert_eq!(world.receive(forger), [Got::Closed]);
    assert_eq!(world.receive(peer), []);
}

#[test]
fn a_notification_to_one_connection_needs_no_subscription() {
    let mut world = World::with(|_| ());
    let [peer, other] = ["c", "d"].map(|name| world.client(name));
    let payload = Bytes::from_static(b"expired");
    world.broker.notify(peer.key, "kuzzle:notification:server", &payload, world.now);
    assert_eq!(world.one(peer), Got::plain("kuzzle:notification:server", "expired"));
    assert_eq!(world.receive(other), []);
}

#[test]
fn channels_end_with_the_connection_also_if_the_session_is_kept() {
    let mut world = World::with(|_| ());
    let connect = Connect::new(Version::V311, "c").kept(0);
    let peer = world.connect(&connect);
    world.broker.join(peer.key, "channel");
    world.subscribe(peer, "channel", 1);
    world.lose(peer);
    world.broadcast("channel", "while away");
    world.wait(250);
    assert!(world.broker.channels.is_empty());
    let (peer, _) = world.try_connect(&connect);
    world.broadcast("channel", "not joined anew");
    assert_eq!(world.receive(peer), []);
    assert_eq!(world.broker.join(Key { index: 99, generation: 1 }, "channel"), Joined::Gone);
}

#[test]
fn an_answer_to_a_client_that_has_gone_goes_nowhere() {
    let mut world = World::with(|_| ());
    let peer = world.client("c");
    let next = request(&mut world, peer, &[]);
    world.lose(peer);
    world.wait(250);
    let new = world.client("d");
    answer(&mut world, peer, next);
    assert_eq!(world.receive(new), []);
}

#[test]
fn one_encoding_is_shared_by_all_of_a_version() {
    let mut world = World::new();
    let peers: Vec<Peer> = (0..10).map(|number| world.client(&number.to_string())).collect();
    for peer in &peers {
        world.broker.join(peer.key, "channel");
        world.subscribe(*peer, "channel", 0);
    }
    world.broadcast("channel", "news");
    let encodings: std::collections::HashSet<_> = peers
        .iter()
        .flat_map(|peer| world.broker.take(peer.key, world.now).expect("it is known").frames)
        .map(|frame| match frame {
            Frame::Publish { publication, .. } => Arc::as_ptr(&publication),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(encodings.len(), 1);
}

#[test]
fn in_development_mode_answers_carry_subscription_identifiers_and_private_ones_stay_private() {
    let mut world = World::with(|config| config.development_mode = true);
    let peer = world.client_5("c");
    let listener = world.client_5("l");
    world.send(listener, &subscribe_5(1, &[("Kuzzle/response", 0), ("mine", 0)], &[0x0B, 3]));
    world.receive(listener);
    let next = request(&mut world, peer, &[]);
    answer(&mut world, peer, next);
    assert_eq!(world.one(peer), Got::plain("Kuzzle/response", "answer"));
    assert_eq!(world.one(listener), Got::plain("Kuzzle/response", "answer").having(&[0x0B, 3]));
    let next = request(&mut world, peer, b"\x08\0\x04mine");
    answer(&mut world, peer, next);
    assert_eq!(world.one(peer), Got::plain("mine", "answer"));
    assert_eq!(world.receive(listener), []);
}

#[test]
fn what_is_named_like_a_channel_is_no_response_topic() {
    let mut world = World::with(|_| ());
    let channel = format!("{}-311", "0123456789abcdef".repeat(4));
    let peer = world.client_5("c");
    let topic = [&[0x08][..], &wire::text(&channel)].concat();
    assert_eq!(request(&mut world, peer, &topic), Next::Nothing);
    assert_eq!(world.receive(peer), [Got::Disconnect { code: 0x82 }, Got::Closed]);
}

#[test]
fn what_was_retained_before_a_topic_was_a_channel_does_not_come_before_its_notifications() {
    let mut world = World::new();
    let forger = world.client("forger");
    world.send(forger, &publish(Version::V311, 1, 0, "room", "forged"));
    let peer = world.client("c");
    world.broker.join(peer.key, "room");
    world.send(peer, &subscribe(Version::V311, 1, &[("room", 0)]));
    world.broadcast("room", "real");
    assert_eq!(world.payloads(peer), ["real"]);
}
