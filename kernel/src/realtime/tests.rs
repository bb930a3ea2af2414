//! The behaviour of rooms, seen through the API.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use koncorde::Filter;
use serde_json::{Value, json};

use crate::testing::{Event, World, error_id, json, settings};
use crate::{Caller, ConnectionId, Discard, Request, Settings};

fn room() -> String {
    Filter::everything().room_id("i", "c")
}

fn channel(suffix: &str) -> String {
    format!("{}-{suffix}", room())
}

fn body_with_room() -> String {
    format!(r#""body":{{"roomId":"{}"}}"#, room())
}

const PLACE: &str = r#""index":"i","collection":"c""#;

fn id(error: &Value) -> &str {
    error["id"].as_str().unwrap()
}

#[test]
fn subscribing_gives_the_room_and_joins_the_channel() {
    let mut world = World::with_connections(1);
    let result = world.realtime(1, "subscribe", &format!(r#"{PLACE},"body":{{}}"#));
    assert_eq!(result, json!({ "channel": channel("311"), "roomId": room() }));
    assert_eq!(world.outbound.take(), [Event::Join(1, channel("311"))]);
    assert_eq!((world.kernel.rooms(), world.kernel.subscriptions()), (1, 1));
}

#[test]
fn subscribing_offers_the_answer_for_a_refused_join() {
    let mut world = World::with_connections(1);
    let document = format!(
        r#"{{"controller":"realtime","action":"subscribe","requestId":"r",{PLACE},"body":[],"scope":"in","users":"all"}}"#
    );
    let pending = world.ask_as(Some(1), &document).pending_join.unwrap();
    assert_eq!(*pending.channel, *channel("112"));
    assert_eq!(pending.refused.request_id, "r");
    assert_eq!(
        json(&pending.refused)["error"],
        json!({
            "code": 0x0601_0004,
            "id": "protocol.runtime.join_refused",
            "message": format!("The protocol refused channel \"{}\" for this connection.", channel("112")),
            "props": [channel("112")],
            "status": 500,
        })
    );
}

#[test]
fn subscribing_reports_errors_in_kuzzles_order() {
    let mut world = World::with(Settings { subscription_rooms: 1, ..settings() });
    world.kernel.add_connection(ConnectionId(1));
    world.realtime(1, "subscribe", r#""index":"other","collection":"c","body":{}"#);
    let mut error = |rest: &str| {
        let error = world.realtime_error(Some(1), "subscribe", rest);
        (id(&error).to_owned(), error["props"].clone())
    };
    let bad = r#""scope":"x","users":"x""#;
    assert_eq!(
        error(&format!(r#""collection":"c",{bad}"#)),
        ("api.assert.missing_argument".into(), json!(["index"]))
    );
    assert_eq!(error(&format!(r#""index":"","collection":"c",{bad}"#)).0, "api.assert.missing_argument");
    assert_eq!(error(r#""index":12"#), ("api.assert.invalid_type".into(), json!(["index", "string"])));
    assert_eq!(
        error(&format!(r#""index":"i",{bad}"#)),
        ("api.assert.missing_argument".into(), json!(["collection"]))
    );
    assert_eq!(error(&format!("{PLACE},{bad}")).0, "api.assert.body_required");
    assert_eq!(
        error(&format!(r#"{PLACE},{bad},"body":{{"foo":{{"a":1}}}}"#)),
        ("api.assert.koncorde_dsl_error".into(), json!(["\"foo\": unknown keyword"]))
    );
    assert_eq!(error(&format!(r#"{PLACE},{bad},"body":[]"#)).0, "core.realtime.too_many_rooms");
    let other = r#""index":"other","collection":"c","body":{}"#;
    assert_eq!(error(&format!("{other},{bad}")).0, "core.realtime.invalid_scope");
    assert_eq!(error(&format!(r#"{other},"users":[]"#)).0, "core.realtime.invalid_users");
}

#[test]
fn a_refused_subscription_leaves_nothing_behind() {
    let mut world = World::with_connections(1);
    for rest in [r#""scope":"x""#, r#""users":"x""#] {
        world.realtime_error(Some(1), "subscribe", &format!(r#"{PLACE},"body":{{}},{rest}"#));
    }
    assert_eq!((world.kernel.rooms(), world.kernel.subscriptions()), (0, 0));
    assert_eq!(world.outbound.take(), []);
}

#[test]
fn the_limit_of_rooms_can_be_switched_off() {
    let mut world = World::with(Settings { subscription_rooms: 0, ..settings() });
    world.kernel.add_connection(ConnectionId(1));
    for collection in 0..50 {
        world.realtime(1, "subscribe", &format!(r#""index":"i","collection":"{collection}","body":{{}}"#));
    }
    assert_eq!((world.kernel.rooms(), world.kernel.subscriptions()), (50, 1));
}

#[test]
fn a_client_without_connection_cannot_subscribe() {
    let mut world = World::new();
    let error = world.realtime_error(None, "subscribe", &format!(r#"{PLACE},"body":{{}}"#));
    assert_eq!(id(&error), "api.process.connection_dropped");
    let error = world.realtime_error(None, "unsubscribe", &body_with_room());
    assert_eq!((id(&error), &error["props"]), ("core.realtime.not_subscribed", &json!(["null", room()])));
    assert_eq!(world.kernel.rooms(), 0);
}

#[test]
fn subscribing_again_joins_again_and_tells_nobody() {
    let mut world = World::with_connections(2);
    world.subscribe(1, r#","users":"all""#);
    world.subscribe(2, r#","volatile":{"first":true}"#);
    world.outbound.take();
    world.subscribe(2, r#","volatile":{"first":false}"#);
    world.subscribe(2, r#","scope":"in","users":"all""#);
    assert_eq!(world.outbound.take(), [Event::Join(2, channel("311")), Event::Join(2, channel("112"))]);
    assert_eq!(world.realtime(2, "count", &body_with_room()), json!({ "count": 2 }));

    world.kernel.remove_connection(ConnectionId(2), &mut world.outbound);
    let (channels, payload) = world.outbound.only_broadcast();
    assert_eq!(channels, [channel("111"), channel("112")]);
    assert!(payload.contains(r#""volatile":{"first":true}"#), "{payload}");
}

#[test]
fn tells_who_enters_in_kuzzles_layout() {
    let mut world = World::with_connections(2);
    world.subscribe(1, r#","users":"in""#);
    assert_eq!(world.outbound.take(), [Event::Join(1, channel("211"))], "nobody was there to be told");
    world.subscribe(2, r#","volatile":{"sdkInstanceId":"x"}"#);
    assert_eq!(
        world.outbound.take(),
        [
            Event::Join(2, channel("311")),
            Event::Broadcast(
                vec![channel("211")],
                r#"{"type":"user","status":200,"user":"in","result":{"count":2},"node":"N","timestamp":1700000000000,"volatile":{"sdkInstanceId":"x"},"index":"i","collection":"c","controller":"realtime","action":"subscribe","protocol":"websocket"}"#.to_owned()
            ),
        ]
    );
}

#[test]
fn who_enters_an_existing_channel_hears_of_itself() {
    let mut world = World::with_connections(2);
    world.subscribe(1, r#","users":"all""#);
    world.outbound.take();
    world.subscribe(2, r#","users":"all""#);
    let events = world.outbound.take();
    assert_eq!(events[0], Event::Join(2, channel("111")), "it joins first");
    assert!(matches!(&events[1], Event::Broadcast(channels, _) if *channels == [channel("111")]));
}

#[test]
fn tells_who_leaves_in_kuzzles_layout() {
    let mut world = World::with_connections(2);
    world.subscribe(1, r#","users":"all","scope":"in""#);
    world.subscribe(2, r#","volatile":{"v":1}"#);
    world.outbound.take();
    let result = world.realtime(2, "unsubscribe", &format!(r#"{},"volatile":{{"v":2}}"#, body_with_room()));
    assert_eq!(result, json!({ "roomId": room() }));
    assert_eq!(
        world.outbound.take(),
        [
            Event::Leave(2, channel("112")),
            Event::Leave(2, channel("311")),
            Event::Broadcast(
                vec![channel("112")],
                r#"{"type":"user","status":200,"user":"out","result":{"count":1},"node":"N","timestamp":1700000000000,"volatile":{"v":1},"index":"i","collection":"c","controller":"realtime","action":"unsubscribe","protocol":null}"#.to_owned()
            ),
        ]
    );
}

#[test]
fn in_a_channel_that_users_out_and_none_share_each_hears_what_it_asked_for() {
    for (first, second) in [("none", "out"), ("out", "none")] {
        let mut world = World::with_connections(4);
        assert_eq!(world.subscribe(1, &format!(r#","users":"{first}""#)), channel("311"));
        assert_eq!(world.subscribe(2, &format!(r#","users":"{second}""#)), channel("311"));
        world.subscribe(3, r#","users":"out","scope":"none""#);
        world.subscribe(4, "");
        world.outbound.take();
        world.kernel.remove_connection(ConnectionId(4), &mut world.outbound);
        let mut told: Vec<_> = world
            .outbound
            .take()
            .into_iter()
            .map(|event| match event {
                Event::Notify(connection, channels, payload) => {
                    let payload: Value = serde_json::from_str(&payload).unwrap();
                    assert_eq!((&payload["user"], &payload["result"]["count"]), (&json!("out"), &json!(3)));
                    (connection, channels)
                }
                event => panic!("{event:?}"),
            })
            .collect();
        told.sort();
        let out = if first == "out" { 1 } else { 2 };
        assert_eq!(told, [(out, vec![channel("311")]), (3, vec![channel("31")])], "{first} before {second}");
    }
}

#[test]
fn who_no_longer_asks_hears_of_nobody_who_leaves() {
    let mut world = World::with_connections(3);
    world.subscribe(1, r#","users":"out""#);
    world.subscribe(1, "");
    world.subscribe(2, "");
    world.subscribe(3, "");
    world.kernel.remove_connection(ConnectionId(1), &mut world.outbound);
    world.outbound.take();
    world.kernel.remove_connection(ConnectionId(3), &mut world.outbound);
    assert_eq!(world.outbound.take(), []);
}

#[test]
fn all_rooms_are_listed_with_their_sizes() {
    let mut world = World::with_connections(2);
    assert_eq!(world.realtime(1, "list", r#""body":{}"#), json!({}));
    world.subscribe(1, "");
    world.subscribe(2, "");
    world.realtime(2, "subscribe", r#""index":"i","collection":"other","body":{}"#);
    let list = world.realtime(1, "list", r#""body":null"#);
    assert_eq!(list["i"]["c"], json!({ room(): 2 }));
    assert_eq!(list["i"]["other"].as_object().unwrap().len(), 1);
    world.kernel.remove_connection(ConnectionId(2), &mut world.outbound);
    assert_eq!(world.realtime(1, "list", r#""body":null"#), json!({ "i": { "c": { room(): 1 } } }));
}

#[test]
fn every_document_is_valid() {
    let mut world = World::new();
    let mut validate =
        |rest: &str| json(&world.ask(&format!(r#"{{"controller":"realtime","action":"validate",{rest}}}"#)));
    let valid = validate(r#""index":"i","collection":"c","body":{"a":1}"#);
    assert_eq!(valid["result"], json!({ "errorMessages": {}, "valid": true }));
    assert_eq!(validate(r#""index":"i","collection":"c""#)["error"]["id"], "api.assert.body_required");
    assert_eq!(validate(r#""index":"i","body":{}"#)["error"]["props"], json!(["collection"]));
}

#[test]
fn the_client_may_say_when_it_asked() {
    let mut world = World::with_connections(2);
    world.subscribe(1, r#","users":"all""#);
    for (given, sent) in
        [("12.5", "12.5"), ("0", "1700000000000"), ("\"x\"", "1700000000000"), ("-3e2", "-3e2")]
    {
        world.outbound.take();
        world.realtime(2, "publish", &format!(r#"{PLACE},"body":{{}},"timestamp":{given}"#));
        let (_, payload) = world.outbound.only_broadcast();
        assert!(payload.contains(&format!(r#""timestamp":{sent},"#)), "{payload}");
    }
}

#[test]
fn unsubscribing_needs_a_subscription() {
    let mut world = World::with_connections(2);
    world.subscribe(1, "");
    let user = "00000000-0000-0000-0000-000000000002";
    let error = world.realtime_error(Some(2), "unsubscribe", &body_with_room());
    assert_eq!(
        error,
        json!({
            "code": 65544,
            "id": "core.realtime.not_subscribed",
            "message": format!("User \"{user}\" has not subscribed to \"{}\".", room()),
            "props": [user, room()],
            "status": 412,
        })
    );
    world.realtime(1, "unsubscribe", &body_with_room());
    let error = world.realtime_error(Some(1), "unsubscribe", &body_with_room());
    assert_eq!(id(&error), "core.realtime.not_subscribed");
}

#[test]
fn actions_on_a_room_need_its_id() {
    let mut world = World::with_connections(1);
    for action in ["unsubscribe", "count", "join"] {
        for (rest, expected, props) in [
            (r#""body":null"#, "api.assert.body_required", json!([])),
            (r#""body":{}"#, "api.assert.missing_argument", json!(["body.roomId"])),
            (r#""body":["roomId"]"#, "api.assert.missing_argument", json!(["body.roomId"])),
            (r#""body":{"roomId":null}"#, "api.assert.invalid_type", json!(["body.roomId", "string"])),
            (r#""body":{"roomId":12}"#, "api.assert.invalid_type", json!(["body.roomId", "string"])),
            (r#""body":{"roomId":"\ud800"}"#, "api.assert.invalid_type", json!(["body.roomId", "string"])),
        ] {
            let error = world.realtime_error(Some(1), action, rest);
            assert_eq!((id(&error), &error["props"]), (expected, &props), "{action} {rest}");
        }
    }
}

#[test]
fn a_room_ends_with_its_last_member() {
    let mut world = World::with_connections(2);
    world.subscribe(1, r#","users":"all""#);
    world.subscribe(2, "");
    world.realtime(1, "unsubscribe", &body_with_room());
    assert_eq!(world.kernel.rooms(), 1);
    world.outbound.take();
    world.realtime(2, "unsubscribe", &body_with_room());
    assert_eq!((world.kernel.rooms(), world.kernel.subscriptions()), (0, 0));
    assert_eq!(
        world.outbound.take(),
        [Event::Leave(2, channel("111")), Event::Leave(2, channel("311"))],
        "nobody is left to be told"
    );
    assert_eq!(world.realtime(2, "count", &body_with_room()), json!({ "count": 0 }));
    world.subscribe(2, "");
    assert_eq!(world.outbound.take(), [Event::Join(2, channel("311"))], "the old channels are gone");
}

#[test]
fn joining_enters_a_room_by_its_id() {
    let mut world = World::with_connections(2);
    let missing = world.realtime_error(Some(2), "join", &format!(r#"{},"scope":"x""#, body_with_room()));
    assert_eq!((id(&missing), &missing["props"]), ("core.realtime.room_not_found", &json!([room()])));
    world.subscribe(1, r#","users":"in""#);
    let error = world.realtime_error(Some(2), "join", &format!(r#"{},"scope":"x""#, body_with_room()));
    assert_eq!(id(&error), "core.realtime.invalid_scope");
    world.outbound.take();
    let result = world.realtime(2, "join", &format!(r#"{},"scope":"in""#, body_with_room()));
    assert_eq!(result, json!({ "channel": channel("312"), "roomId": room() }));
    let (_, payload) = world.outbound.only_broadcast();
    assert!(payload.contains(r#""action":"join","protocol":"websocket""#), "{payload}");
    assert_eq!(world.realtime(1, "count", &body_with_room()), json!({ "count": 2 }));
}

#[test]
fn a_removed_connection_leaves_silently_but_the_others_hear_of_it() {
    let mut world = World::with_connections(2);
    world.subscribe(1, r#","users":"all""#);
    world.subscribe(2, r#","users":"all""#);
    world.realtime(2, "subscribe", r#""index":"i","collection":"own","body":{}"#);
    world.outbound.take();
    world.kernel.remove_connection(ConnectionId(2), &mut world.outbound);
    let events = world.outbound.take();
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(matches!(&events[0], Event::Broadcast(channels, payload)
        if *channels == [channel("111")] && payload.contains(r#""user":"out","result":{"count":1}"#)));
    assert_eq!((world.kernel.connections(), world.kernel.rooms(), world.kernel.subscriptions()), (1, 1, 1));
    world.kernel.remove_connection(ConnectionId(2), &mut world.outbound);
    assert_eq!(world.outbound.take(), []);
}

#[test]
fn leaves_very_many_rooms() {
    let mut world = World::with_connections(1);
    for collection in 0..super::ROOMS_LEFT_AT_ONCE * 2 + 1 {
        world.realtime(1, "subscribe", &format!(r#""index":"i","collection":"{collection}","body":{{}}"#));
    }
    world.kernel.remove_connection(ConnectionId(1), &mut world.outbound);
    assert_eq!(world.kernel.rooms(), 0);
    assert!(world.kernel.realtime.state.read().collections.is_empty());
}

#[test]
fn a_refused_join_takes_the_subscription_back() {
    let mut world = World::with_connections(2);
    world.subscribe(1, r#","users":"all""#);
    world.subscribe(2, "");
    world.outbound.take();
    world.kernel.join_refused(ConnectionId(2), &channel("311"), &mut world.outbound);
    let (channels, payload) = world.outbound.only_broadcast();
    assert_eq!(channels, [channel("111")]);
    assert!(payload.contains(r#""user":"out","result":{"count":1}"#), "{payload}");
    assert_eq!(world.kernel.subscriptions(), 1);
    assert_eq!(
        id(&world.realtime_error(Some(2), "unsubscribe", &body_with_room())),
        "core.realtime.not_subscribed"
    );
    world.kernel.join_refused(ConnectionId(1), &channel("111"), &mut world.outbound);
    assert_eq!(world.kernel.rooms(), 0);
}

#[test]
fn a_refused_join_spares_the_other_channels() {
    let mut world = World::with_connections(1);
    world.subscribe(1, "");
    world.subscribe(1, r#","scope":"in""#);
    world.outbound.take();
    world.kernel.join_refused(ConnectionId(1), &channel("312"), &mut world.outbound);
    for unknown in ["", "-", "nonsense", &channel("111"), &room(), "x-311"] {
        world.kernel.join_refused(ConnectionId(1), unknown, &mut world.outbound);
    }
    world.kernel.join_refused(ConnectionId(7), &channel("311"), &mut world.outbound);
    assert_eq!(world.outbound.take(), []);
    assert_eq!(world.kernel.subscriptions(), 1);
}

#[test]
fn publishing_reaches_every_matching_channel_once() {
    let mut world = World::with_connections(4);
    world.subscribe(1, "");
    world.subscribe(2, r#","scope":"in""#);
    world.subscribe(3, r#","scope":"out""#);
    world.subscribe(4, r#","scope":"none""#);
    world.realtime(1, "subscribe", r#""index":"i","collection":"other","body":{}"#);
    world.outbound.take();
    let document = format!(
        r#"{{"controller":"realtime","action":"publish","requestId":"rid",{PLACE},"_id":"d1","body":{{"a": [1.0]}},"volatile":{{"sdkInstanceId":"x"}}}}"#
    );
    let response = world.ask_as(None, &document);
    assert_eq!(json(&response)["result"], json!({ "published": true }));
    assert_eq!(
        world.outbound.take(),
        [Event::Broadcast(
            vec![channel("311"), channel("312")],
            r#"{"type":"document","status":200,"action":"publish","scope":"in","result":{"_id":"d1","_source":{"a": [1.0],"_kuzzle_info":{"author":"-1","createdAt":1700000000000}}},"node":"N","event":"publish","requestId":"rid","timestamp":1700000000000,"volatile":{"sdkInstanceId":"x"},"index":"i","collection":"c","controller":"realtime","protocol":"websocket"}"#.to_owned()
        )]
    );
}

#[test]
fn publishing_without_subscribers_tells_nobody() {
    let mut world = World::with_connections(1);
    let publish = format!(r#"{PLACE},"body":{{"a":1}}"#);
    assert_eq!(world.realtime(1, "publish", &publish), json!({ "published": true }));
    world.subscribe(1, r#","scope":"out""#);
    world.realtime(1, "subscribe", r#""index":"i","collection":"other","body":{}"#);
    world.outbound.take();
    world.realtime(1, "publish", &publish);
    assert_eq!(world.outbound.take(), []);
}

#[test]
fn the_server_says_who_the_author_is() {
    let mut world = World::with_connections(1);
    world.subscribe(1, "");
    let info = r#""_kuzzle_info":{"author":"-1","createdAt":1700000000000}"#;
    for (body, source) in [
        ("{}", format!("{{{info}}}")),
        ("{ }", format!("{{{info}}}")),
        ("{\n}", format!("{{{info}}}")),
        (r#"{"a":{} }"#, format!(r#"{{"a":{{}},{info}}}"#)),
        (r#"{"a":1,"_kuzzle_info":{"author":"me"},"b":1.0}"#, format!(r#"{{"a":1,"b":1.0,{info}}}"#)),
        (r#"{"_kuzzle_\u0069nfo":{"author":"me"}}"#, format!("{{{info}}}")),
        (
            r#"{"\ud800":"\u0041","b":{"_kuzzle_info":1}}"#,
            format!(r#"{{"\ud800":"\u0041","b":{{"_kuzzle_info":1}},{info}}}"#),
        ),
        (r#"{"a":"_kuzzle_info"}"#, format!(r#"{{"a":"_kuzzle_info",{info}}}"#)),
    ] {
        world.outbound.0.clear();
        let document =
            format!(r#"{{"controller":"realtime","action":"publish",{PLACE},"body":{body},"_id":null}}"#);
        let request = Request::parse(document.as_bytes()).unwrap();
        let caller =
            Caller { connection: None, uuid: None, protocol: "p", headers: &[], connection_headers: &[] };
        let mut payloads = Payloads(Vec::new());
        world.kernel.execute(&request, &caller, &mut payloads);
        let expected = format!(r#""result":{{"_source":{source}}},"node""#);
        assert!(payloads.0[0].contains(&expected), "{}\n{expected}", payloads.0[0]);
    }
}

/// Remembers payloads without reading them: some hold escapes that stand for no character.
struct Payloads(Vec<String>);

impl crate::Outbound for Payloads {
    fn broadcast(&mut self, _: std::sync::Arc<[crate::Channel]>, payload: crate::Payload) {
        self.0.push(String::from_utf8(payload.as_bytes().to_vec()).unwrap());
    }
    fn notify(&mut self, _: ConnectionId, _: std::sync::Arc<[crate::Channel]>, _: crate::Payload) {}
    fn join(&mut self, _: ConnectionId, _: &crate::Channel) {}
    fn leave(&mut self, _: ConnectionId, _: &crate::Channel) {}
    fn disconnect(&mut self, _: ConnectionId, _: &str) {}
}

#[test]
fn publishing_reports_errors_in_kuzzles_order() {
    let mut world = World::with_connections(1);
    for (rest, expected) in [
        (r#""x":1"#, "api.assert.body_required"),
        (r#""body":{}"#, "api.assert.missing_argument"),
        (r#""body":{},"index":"i""#, "api.assert.missing_argument"),
        (r#""body":{},"index":null,"collection":"c""#, "api.assert.missing_argument"),
        (r#""body":{},"index":"","collection":"c""#, "api.assert.missing_argument"),
        (r#""body":[],"index":"i","collection":"c""#, "api.assert.invalid_type"),
        (r#""body":{},"index":"i","collection":{}"#, "api.assert.invalid_type"),
    ] {
        assert_eq!(id(&world.realtime_error(Some(1), "publish", rest)), expected, "{rest}");
    }
}

#[test]
fn a_subscription_of_a_connection_that_has_just_gone_is_dropped() {
    let world = World::with_connections(1);
    let kernel = &world.kernel;
    let request = Request::parse(b"{}").unwrap();
    let caller = Caller {
        connection: Some(ConnectionId(1)),
        uuid: None,
        protocol: "p",
        headers: &[],
        connection_headers: &[],
    };
    let call = crate::funnel::Call { kernel, request: &request, caller: &caller, request_id: "r", now_ms: 0 };
    kernel.remove_connection(ConnectionId(1), &mut Discard);
    let filter = Filter::everything();
    let refused = kernel.realtime.subscribe(ConnectionId(1), "i", "c", &filter, &call, &mut Discard);
    assert_eq!(refused.err().unwrap().id, Some("api.process.connection_dropped"));
    assert_eq!(kernel.rooms(), 0);
}

#[test]
fn threads_leave_no_rooms_behind() {
    const THREADS: u64 = 8;
    let world = World::new();
    let kernel = &world.kernel;
    let (start, failures) = (Barrier::new(THREADS as usize), AtomicUsize::new(0));
    let ask = |connection: ConnectionId, document: &str| {
        let request = Request::parse(document.as_bytes()).unwrap();
        let caller = Caller {
            connection: Some(connection),
            uuid: None,
            protocol: "p",
            headers: &[],
            connection_headers: &[],
        };
        let response = kernel.execute(&request, &caller, &mut Discard);
        if response.status != 200 && error_id(&response) != "core.realtime.not_subscribed" {
            failures.fetch_add(1, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (start, ask) = (&start, &ask);
            scope.spawn(move || {
                start.wait();
                for round in 0..200 {
                    let connection = ConnectionId(thread * 1000 + round);
                    kernel.add_connection(connection);
                    for collection in ["a", "b", "c"] {
                        let place = format!(r#""index":"i","collection":"{collection}""#);
                        let room = Filter::everything().room_id("i", collection);
                        for action in [
                            format!(r#""subscribe",{place},"body":{{}},"users":"all""#),
                            format!(r#""publish",{place},"body":{{"round":{round}}}"#),
                            format!(r#""subscribe",{place},"body":{{}},"scope":"in""#),
                            format!(r#""count","body":{{"roomId":"{room}"}}"#),
                        ] {
                            ask(connection, &format!(r#"{{"controller":"realtime","action":{action}}}"#));
                        }
                        if round % 3 == 0 {
                            let channel = format!("{room}-111");
                            kernel.join_refused(connection, &channel, &mut Discard);
                            ask(connection, &format!(
                                r#"{{"controller":"realtime","action":"unsubscribe","body":{{"roomId":"{room}"}}}}"#
                            ));
                        }
                    }
                    kernel.remove_connection(connection, &mut Discard);
                }
            });
        }
    });
    assert_eq!(failures.load(Ordering::Relaxed), 0);
    assert_eq!((kernel.rooms(), kernel.subscriptions(), kernel.connections()), (0, 0, 0));
    assert_eq!(kernel.running_requests(), 0);
    assert!(kernel.realtime.state.read().collections.is_empty());
}
