//! Rooms whose filters let some messages through, seen through the API.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::testing::{Event, Recorder, World, json, settings};
use crate::{Caller, Channel, ConnectionId, Discard, Outbound, Payload, Request, Settings};

/// Subscribes in `i`/`c`. Gives the channel.
fn subscribe(world: &mut World, connection: u64, filter: &Value) -> String {
    let rest = json!({ "index": "i", "collection": "c", "body": filter }).to_string();
    let result = world.realtime(connection, "subscribe", &rest[1..rest.len() - 1]);
    world.outbound.take();
    result["channel"].as_str().unwrap().to_owned()
}

/// Publishes in `i`/`c`. Gives the channels that get the message.
fn publish(world: &mut World, id: Option<&str>, body: &Value) -> BTreeSet<String> {
    let mut request = json!({
        "controller": "realtime", "action": "publish", "index": "i", "collection": "c", "body": body,
    });
    if let Some(id) = id {
        request["_id"] = json!(id);
    }
    let answer = json(&world.ask(&request.to_string()));
    assert_eq!(answer["result"], json!({ "published": true }), "{answer}");
    let mut broadcasts = world.outbound.take().into_iter().map(|event| match event {
        Event::Broadcast(channels, _) => channels,
        event => panic!("{event:?}"),
    });
    let channels = broadcasts.next().unwrap_or_default();
    assert_eq!(broadcasts.next(), None, "a message goes out once");
    let all: BTreeSet<_> = channels.iter().cloned().collect();
    assert_eq!(all.len(), channels.len(), "to each channel once");
    all
}

#[test]
fn a_message_reaches_exactly_the_rooms_whose_filter_it_satisfies() {
    let mut world = World::with_connections(1);
    let everything = subscribe(&mut world, 1, &json!({}));
    let young = subscribe(&mut world, 1, &json!({ "range": { "age": { "lt": 30 } } }));
    let named = subscribe(&mut world, 1, &json!({ "exists": "name" }));
    let both =
        subscribe(&mut world, 1, &json!({ "and": [{ "exists": "name" }, { "equals": { "age": 7 } }] }));
    let one = subscribe(&mut world, 1, &json!({ "ids": { "values": ["x"] } }));
    for (id, body, channels) in [
        (None, json!({}), vec![&everything]),
        (None, json!({ "age": 7 }), vec![&everything, &young]),
        (None, json!({ "age": 7, "name": "a" }), vec![&everything, &young, &named, &both]),
        (None, json!({ "age": 30, "name": null }), vec![&everything, &named]),
        (Some("x"), json!({ "age": "7" }), vec![&everything, &one]),
    ] {
        let expected: BTreeSet<_> = channels.into_iter().cloned().collect();
        assert_eq!(publish(&mut world, id, &body), expected, "{body}");
    }
}

#[test]
fn equivalent_filters_are_one_room() {
    let mut world = World::with_connections(2);
    let filters = [
        json!({ "and": [{ "exists": "a" }, { "not": { "equals": { "b": 1 } } }] }),
        json!({ "bool": { "must_not": [{ "equals": { "b": 1.0 } }, { "missing": "a" }] } }),
        json!({ "not": { "or": [{ "equals": { "b": 1 } }, { "not": { "exists": { "field": "a" } } }] } }),
    ];
    let channels: BTreeSet<_> = filters.iter().map(|filter| subscribe(&mut world, 1, filter)).collect();
    assert_eq!((channels.len(), world.kernel.rooms()), (1, 1));
    subscribe(&mut world, 2, &filters[1]);
    assert_eq!(publish(&mut world, None, &json!({ "a": 0 })), channels);
    assert_eq!(publish(&mut world, None, &json!({ "a": 0, "b": 1 })), BTreeSet::new());
}

#[test]
fn what_the_server_adds_to_a_message_can_be_filtered() {
    let mut world = World::with_connections(1);
    let author = subscribe(&mut world, 1, &json!({ "equals": { "_kuzzle_info.author": "-1" } }));
    let forged = json!({ "_kuzzle_info": { "author": "somebody" } });
    assert_eq!(publish(&mut world, None, &forged), BTreeSet::from([author]));
}

#[test]
fn a_room_that_has_ended_gets_nothing_and_comes_back() {
    let mut world = World::with_connections(2);
    let filters = [json!({ "exists": "a" }), json!({})];
    for filter in &filters {
        subscribe(&mut world, 1, filter);
    }
    world.kernel.remove_connection(ConnectionId(1), &mut world.outbound);
    world.outbound.take();
    assert_eq!(publish(&mut world, None, &json!({ "a": 1 })), BTreeSet::new());
    let channels: BTreeSet<_> = filters.iter().map(|filter| subscribe(&mut world, 2, filter)).collect();
    assert_eq!(publish(&mut world, None, &json!({ "a": 1 })), channels);
}

#[test]
fn a_filter_that_is_refused_is_answered_with_koncordes_text() {
    let limits = Settings { subscription_conditions_count: 2, ..settings() };
    for (filter, text) in [
        (json!({ "range": { "a": { "gt": "x" } } }), "\"range.a.gt\": must be a number"),
        (json!({ "term": {} }), "\"term\": unknown keyword"),
        (
            json!({ "in": { "a": ["x", "y", "z"] } }),
            "Filter too complex: exceeds the configured maximum number of conditions (conditions: 3, max: 2)",
        ),
    ] {
        let mut world = World::with(limits.clone());
        world.kernel.add_connection(ConnectionId(1));
        let rest = json!({ "index": "i", "collection": "c", "body": filter, "scope": "x" }).to_string();
        let error = world.realtime_error(Some(1), "subscribe", &rest[1..rest.len() - 1]);
        assert_eq!((&error["id"], &error["status"]), (&json!("api.assert.koncorde_dsl_error"), &json!(400)));
        assert_eq!((&error["message"], &error["props"]), (&json!(text), &json!([text])));
        assert_eq!(world.kernel.rooms(), 0);
    }
}

#[test]
fn a_message_without_meaning_is_refused_where_filters_look_at_it() {
    let mut world = World::with_connections(1);
    subscribe(&mut world, 1, &json!({ "exists": "a" }));
    for body in [r#"{"a":1e400}"#, r#"{"a":"\ud800"}"#] {
        let error =
            world.realtime_error(None, "publish", &format!(r#""index":"i","collection":"c","body":{body}"#));
        assert_eq!(
            (&error["id"], &error["props"][0]),
            (&json!("api.assert.invalid_argument"), &json!("body"))
        );
        assert_eq!(world.outbound.take(), []);
    }
    assert_eq!(publish(&mut world, None, &json!({ "a": 1 })).len(), 1);
}

/// The channels of each broadcast.
#[derive(Default)]
struct Channels(Vec<BTreeSet<String>>);

impl Outbound for Channels {
    fn broadcast(&mut self, channels: Arc<[Channel]>, _: Payload) {
        self.0.push(channels.iter().map(|channel| channel.to_string()).collect());
    }
    fn notify(&mut self, _: ConnectionId, _: Arc<[Channel]>, _: Payload) {}
    fn join(&mut self, _: ConnectionId, _: &Channel) {}
    fn leave(&mut self, _: ConnectionId, _: &Channel) {}
    fn disconnect(&mut self, _: ConnectionId, _: &str) {}
}

#[test]
fn messages_find_their_rooms_while_others_come_and_go() {
    const STAYING: u64 = 32;
    let mut world = World::with_connections(STAYING);
    let channels: Vec<_> = (1..=STAYING)
        .map(|number| {
            let filter =
                json!({ "and": [{ "equals": { "to": number } }, { "range": { "n": { "gte": 0 } } }] });
            subscribe(&mut world, number, &filter)
        })
        .collect();
    let (kernel, is_over) = (&world.kernel, AtomicBool::new(false));
    let ask = |connection: Option<u64>, document: &str, outbound: &mut dyn Outbound| {
        let request = Request::parse(document.as_bytes()).unwrap();
        let connection = connection.map(ConnectionId);
        let caller = Caller { connection, uuid: None, protocol: "p", headers: &[], connection_headers: &[] };
        assert_eq!(kernel.execute(&request, &caller, outbound).status, 200, "{document}");
    };
    thread::scope(|scope| {
        for thread in 1..=2 {
            let (ask, is_over) = (&ask, &is_over);
            scope.spawn(move || {
                let mut round = 0;
                while !is_over.load(Ordering::Relaxed) {
                    let connection = thread * 1_000_000 + round;
                    kernel.add_connection(ConnectionId(connection));
                    for filter in [
                        json!({ "equals": { "to": 0 } }),
                        json!({ "not": { "exists": "to" } }),
                        json!({ "range": { "n": { "lt": -1 - round as i64 } } }),
                        json!({ "regexp": { "to": "^x" } }),
                    ] {
                        let request = json!({
                            "controller": "realtime", "action": "subscribe", "index": "i", "collection": "c",
                            "body": filter,
                        });
                        ask(Some(connection), &request.to_string(), &mut Discard);
                    }
                    kernel.remove_connection(ConnectionId(connection), &mut Discard);
                    round += 1;
                }
            });
        }
        let publishers: Vec<_> = (0..2_u64)
            .map(|publisher| {
                let (ask, channels) = (&ask, &channels);
                scope.spawn(move || {
                    for n in 0..2_000 {
                        let to = (n + publisher * 7) % STAYING;
                        let request = json!({
                            "controller": "realtime", "action": "publish", "index": "i", "collection": "c",
                            "body": { "to": to + 1, "n": n },
                        });
                        let mut outbound = Channels::default();
                        ask(None, &request.to_string(), &mut outbound);
                        assert_eq!(outbound.0, [BTreeSet::from([channels[to as usize].clone()])]);
                    }
                })
            })
            .collect();
        let published: Vec<_> = publishers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        is_over.store(true, Ordering::Relaxed);
        published.into_iter().for_each(|publisher| publisher.unwrap());
    });
    assert_eq!(kernel.rooms(), STAYING as usize);
    let mut nobody = Recorder::default();
    (1..=STAYING).for_each(|number| kernel.remove_connection(ConnectionId(number), &mut nobody));
    assert_eq!((kernel.rooms(), kernel.connections()), (0, 0));
    assert!(kernel.realtime.state.read().collections.is_empty());
}
