//! Requests and notifications between clients of several protocols.

use std::sync::mpsc;
use std::thread;

use kuzzle_tests::{Client, Host, Installation, LineClient, UdpClient, cc};
use serde_json::{Value, json};

/// A host with `line` and `udp`; keep the installation.
fn serve(test: &str) -> Option<(Installation, Host)> {
    let compiler = cc(test)?;
    let installation = Installation::new();
    installation.line(&compiler).udp();
    let host = Host::start(&installation);
    Some((installation, host))
}

fn line(host: &mut Host) -> LineClient {
    LineClient::connect(host.address("line"))
}

fn udp(host: &mut Host) -> UdpClient {
    UdpClient::connect(host.address("udp"))
}

fn publish(number: usize) -> Value {
    json!({
        "controller": "realtime", "action": "publish", "index": "i", "collection": "c",
        "body": { "number": number }, "requestId": format!("publish {number}"),
    })
}

fn unsubscribe(room: &str) -> Value {
    json!({ "controller": "realtime", "action": "unsubscribe", "body": { "roomId": room } })
}

/// The number in a notification of what [`publish`] has published.
fn number(notification: &Value) -> usize {
    let number = notification["result"]["_source"]["number"].as_u64();
    number.unwrap_or_else(|| panic!("no notification: {notification}")) as usize
}

/// The names of the members, in the order in which they came.
fn members(text: &str) -> Vec<String> {
    let document: serde_json::Map<String, Value> = serde_json::from_str(text).unwrap();
    document.keys().cloned().collect()
}

#[test]
fn clients_of_two_protocols_are_in_the_same_room_and_channel() {
    let Some((_installation, mut host)) = serve("clients_of_two_protocols_are_in_the_same_room_and_channel")
    else {
        return;
    };
    let (mut line, mut udp) = (line(&mut host), udp(&mut host));
    let (room, channel) = line.subscribe("nyc-open-data", "yellow-taxi");
    assert_eq!(udp.subscribe("nyc-open-data", "yellow-taxi"), (room.clone(), channel.clone()));
    assert_eq!(room, "508a79aa1dd1118a980a3cbeb403662fd5c4cd9885c632ea19c03d236f3cd110", "as in Kuzzle");
    assert_eq!(channel, format!("{room}-311"));
}

#[test]
fn subscribers_of_both_protocols_get_every_message_in_order() {
    const MESSAGES: usize = 200;
    let Some((_installation, mut host)) = serve("subscribers_of_both_protocols_get_every_message_in_order")
    else {
        return;
    };
    let (mut over_tcp, mut over_udp, mut publisher) = (line(&mut host), udp(&mut host), line(&mut host));
    let (_, channel) = over_tcp.subscribe("i", "c");
    over_udp.subscribe("i", "c");
    // A datagram for which a socket has no room is lost, so the publisher is never far ahead.
    let (ahead, read) = mpsc::sync_channel(16);
    let expect = |client: &mut dyn Client, expected| {
        let notification = client.receive();
        assert_eq!((number(&notification), &notification["room"]), (expected, &json!(channel)));
    };
    thread::scope(|scope| {
        scope.spawn(move || {
            for number in 0..MESSAGES {
                ahead.send(()).unwrap();
                assert_eq!(publisher.request(&publish(number))["status"], 200);
            }
        });
        scope.spawn(|| (0..MESSAGES).for_each(|expected| expect(&mut over_tcp, expected)));
        for expected in 0..MESSAGES {
            expect(&mut over_udp, expected);
            read.recv().unwrap();
        }
    });
}

fn hears_of_its_message_before_the_answer(client: &mut impl Client) {
    client.subscribe("i", "c");
    for expected in 0..100 {
        client.send(&publish(expected));
        assert_eq!(number(&client.receive()), expected);
        assert_eq!(client.receive()["requestId"], format!("publish {expected}"));
    }
}

#[test]
fn a_publisher_of_line_hears_of_its_message_before_the_answer() {
    let Some((_installation, mut host)) = serve("a_publisher_of_line_hears_of_its_message_before_the_answer")
    else {
        return;
    };
    hears_of_its_message_before_the_answer(&mut line(&mut host));
}

#[test]
fn a_publisher_of_udp_hears_of_its_message_before_the_answer() {
    let installation = Installation::new();
    installation.udp();
    hears_of_its_message_before_the_answer(&mut udp(&mut Host::start(&installation)));
}

/// What both protocols send for one message: the same but for nothing.
#[test]
fn a_notification_is_kuzzles_with_the_channel_as_its_last_member() {
    let Some((_installation, mut host)) =
        serve("a_notification_is_kuzzles_with_the_channel_as_its_last_member")
    else {
        return;
    };
    let (mut over_tcp, mut over_udp, mut publisher) = (line(&mut host), udp(&mut host), udp(&mut host));
    let (_, channel) = over_tcp.subscribe("i", "c");
    over_udp.subscribe("i", "c");
    let answer = publisher.request(&json!({
        "controller": "realtime", "action": "publish", "index": "i", "collection": "c", "_id": "x",
        "body": { "text": "é\n\"" }, "requestId": "rid", "volatile": { "sdkInstanceId": "me", "n": 1.50 },
    }));
    assert_eq!(answer["result"], json!({ "published": true }));
    let text = over_tcp.receive_text();
    assert_eq!(over_udp.receive_text(), text, "both protocols send the same bytes");
    assert_eq!(
        members(&text),
        [
            "type",
            "status",
            "action",
            "scope",
            "result",
            "node",
            "event",
            "requestId",
            "timestamp",
            "volatile",
            "index",
            "collection",
            "controller",
            "protocol",
            "room"
        ]
    );
    let notification: Value = serde_json::from_str(&text).unwrap();
    let (timestamp, info) = (&notification["timestamp"], &notification["result"]["_source"]["_kuzzle_info"]);
    assert!(timestamp.is_u64(), "{notification}");
    assert_eq!(
        notification,
        json!({
            "type": "document", "status": 200, "action": "publish", "scope": "in",
            "result": { "_id": "x", "_source": { "text": "é\n\"", "_kuzzle_info": info } },
            "node": answer["node"], "event": "publish", "requestId": "rid", "timestamp": timestamp,
            "volatile": { "sdkInstanceId": "me", "n": 1.50 }, "index": "i", "collection": "c",
            "controller": "realtime", "protocol": "udp", "room": channel,
        })
    );
    assert_eq!(info, &json!({ "author": "-1", "createdAt": timestamp }));
}

fn answer_ends_with_its_request_id(client: &mut impl Client) {
    client.send(&json!({
        "controller": "server", "action": "now", "requestId": "r\"1", "index": "i", "collection": "c",
        "volatile": { "a": 1 },
    }));
    let text = client.receive_text();
    assert_eq!(
        members(&text),
        [
            "action",
            "collection",
            "controller",
            "error",
            "headers",
            "index",
            "node",
            "requestId",
            "result",
            "status",
            "volatile",
            "room"
        ]
    );
    assert!(text.ends_with(r#","room":"r\"1"}"#), "{text}");
}

#[test]
fn an_answer_of_line_is_kuzzles_with_the_request_id_as_its_last_member() {
    let Some((_installation, mut host)) =
        serve("an_answer_of_line_is_kuzzles_with_the_request_id_as_its_last_member")
    else {
        return;
    };
    answer_ends_with_its_request_id(&mut line(&mut host));
}

#[test]
fn an_answer_of_udp_is_kuzzles_with_the_request_id_as_its_last_member() {
    let installation = Installation::new();
    installation.udp();
    answer_ends_with_its_request_id(&mut udp(&mut Host::start(&installation)));
}

#[test]
fn an_answer_without_a_request_id_gets_one() {
    let Some((_installation, mut host)) = serve("an_answer_without_a_request_id_gets_one") else { return };
    let answer = line(&mut host).request(&json!({ "controller": "server", "action": "now" }));
    let id = answer["requestId"].as_str().unwrap();
    assert_eq!((id.len(), id.as_bytes()[14]), (36, b'4'), "a UUID of version 4: {answer}");
    assert_eq!(answer["room"], id);
}

fn unsubscribed_client_hears_nothing_more(client: &mut impl Client) {
    let (room, _) = client.subscribe("i", "c");
    client.send(&publish(0));
    assert_eq!(number(&client.receive()), 0);
    client.receive();
    let answer = client.request(&unsubscribe(&room));
    assert_eq!(answer["result"], json!({ "roomId": room }));
    // Its notification would come before the answer.
    assert_eq!(client.request(&publish(1))["requestId"], "publish 1");
    let again = client.request(&unsubscribe(&room));
    assert_eq!(again["error"]["id"], "core.realtime.not_subscribed", "{again}");
}

#[test]
fn an_unsubscribed_client_of_line_hears_nothing_more() {
    let Some((_installation, mut host)) = serve("an_unsubscribed_client_of_line_hears_nothing_more") else {
        return;
    };
    unsubscribed_client_hears_nothing_more(&mut line(&mut host));
}

#[test]
fn an_unsubscribed_client_of_udp_hears_nothing_more() {
    let installation = Installation::new();
    installation.udp();
    unsubscribed_client_hears_nothing_more(&mut udp(&mut Host::start(&installation)));
}

#[test]
fn messages_stay_in_their_collection() {
    let Some((_installation, mut host)) = serve("messages_stay_in_their_collection") else { return };
    let mut client = line(&mut host);
    client.subscribe("i", "other");
    assert_eq!(client.request(&publish(1))["requestId"], "publish 1", "and no notification before it");
}

#[test]
fn a_room_counts_the_clients_of_all_protocols() {
    let Some((_installation, mut host)) = serve("a_room_counts_the_clients_of_all_protocols") else { return };
    let (mut line, mut udp) = (line(&mut host), udp(&mut host));
    let (room, _) = line.subscribe("i", "c");
    assert_eq!(line.count(&room), 1);
    udp.subscribe("i", "c");
    assert_eq!((line.count(&room), udp.count(&room)), (2, 2));
    udp.request(&unsubscribe(&room));
    assert_eq!(line.count(&room), 1);
    line.request(&unsubscribe(&room));
    assert_eq!((line.count(&room), udp.count("no such room")), (0, 0));
}

#[test]
fn a_client_that_goes_leaves_its_rooms_and_the_others_are_told() {
    let Some((_installation, mut host)) =
        serve("a_client_that_goes_leaves_its_rooms_and_the_others_are_told")
    else {
        return;
    };
    let (mut stays, mut goes) = (udp(&mut host), line(&mut host));
    let users = json!({ "index": "i", "collection": "c", "users": "all", "volatile": { "who": "goes" } });
    let (room, channel) = stays.subscribe_with(&users);
    goes.send(&json!({
        "controller": "realtime", "action": "subscribe", "index": "i", "collection": "c", "users": "all",
        "body": {}, "volatile": { "who": "goes" }, "requestId": "rid",
    }));
    // It hears of itself, for the channel is not new, and before its answer.
    let own = goes.receive();
    assert_eq!((&own["type"], &own["user"]), (&json!("user"), &json!("in")), "{own}");
    assert_eq!(goes.receive()["requestId"], "rid");
    assert_eq!(goes.count(&room), 2);

    let text = stays.receive_text();
    assert_eq!(
        members(&text),
        [
            "type",
            "status",
            "user",
            "result",
            "node",
            "timestamp",
            "volatile",
            "index",
            "collection",
            "controller",
            "action",
            "protocol",
            "room"
        ]
    );
    let came: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(came, own);
    let expected = |user: &str, count: u64, action: &str, protocol: Value, timestamp: &Value| {
        json!({
            "type": "user", "status": 200, "user": user, "result": { "count": count }, "node": came["node"],
            "timestamp": timestamp, "volatile": { "who": "goes" }, "index": "i", "collection": "c",
            "controller": "realtime", "action": action, "protocol": protocol, "room": channel,
        })
    };
    assert_eq!(came, expected("in", 2, "subscribe", json!("line"), &came["timestamp"]));

    drop(goes);
    let went = stays.receive();
    assert_eq!(went, expected("out", 1, "unsubscribe", Value::Null, &went["timestamp"]));
    assert_eq!(stays.count(&room), 1);
}

#[test]
fn ten_thousand_pipelined_requests_are_each_answered_once_and_in_order() {
    const REQUESTS: usize = 10_000;
    let Some((_installation, mut host)) =
        serve("ten_thousand_pipelined_requests_are_each_answered_once_and_in_order")
    else {
        return;
    };
    let mut client = line(&mut host);
    let mut pipe = String::new();
    for number in 0..REQUESTS {
        pipe += &format!("{{\"controller\":\"server\",\"action\":\"now\",\"requestId\":\"{number}\"}}\n");
    }
    let mut stream = client.stream();
    thread::scope(|scope| {
        scope.spawn(move || std::io::Write::write_all(&mut stream, pipe.as_bytes()).unwrap());
        for number in 0..REQUESTS {
            let answer = client.receive();
            assert_eq!((&answer["requestId"], &answer["status"]), (&json!(number.to_string()), &json!(200)));
        }
    });
    client.is_served();
}

#[test]
fn many_clients_publish_at_once_and_nothing_is_lost() {
    const CLIENTS: usize = 20;
    const EACH: usize = 100;
    let Some((_installation, mut host)) = serve("many_clients_publish_at_once_and_nothing_is_lost") else {
        return;
    };
    let mut subscriber = line(&mut host);
    subscriber.subscribe("i", "c");
    let address = host.address("line");
    let mut seen = [0; CLIENTS];
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            scope.spawn(move || {
                let mut publisher = LineClient::connect(address);
                for number in 0..EACH {
                    let answer = publisher.request(&publish(client * EACH + number));
                    assert_eq!(answer["status"], 200, "{answer}");
                }
            });
        }
        for _ in 0..CLIENTS * EACH {
            let number = number(&subscriber.receive());
            let (client, number) = (number / EACH, number % EACH);
            assert_eq!(number, seen[client], "messages of one client stay in order");
            seen[client] += 1;
        }
    });
    subscriber.is_served();
}

#[test]
fn in_a_shared_channel_only_those_who_asked_hear_who_leaves() {
    let Some(compiler) = cc("in_a_shared_channel_only_those_who_asked_hear_who_leaves") else { return };
    let installation = Installation::new();
    installation.line(&compiler).udp();
    let mut host = Host::start(&installation);
    let mut silent = LineClient::connect(host.address("line"));
    let mut asked = LineClient::connect(host.address("line"));
    let mut asked_over_udp = UdpClient::connect(host.address("udp"));
    let mut leaver = LineClient::connect(host.address("line"));
    let (room, channel) = silent.subscribe("i", "c");
    let wishes = json!({ "index": "i", "collection": "c", "users": "out" });
    assert_eq!(asked.subscribe_with(&wishes).1, channel);
    assert_eq!(asked_over_udp.subscribe_with(&wishes).1, channel);
    leaver.subscribe("i", "c");
    leaver.send(&json!({ "controller": "realtime", "action": "unsubscribe", "body": { "roomId": room } }));
    for left in [asked.receive(), asked_over_udp.receive()] {
        assert_eq!((&left["user"], &left["result"]["count"]), (&json!("out"), &json!(3)));
        assert_eq!(left["room"], json!(channel));
    }
    silent.is_served();
}

#[test]
fn filters_decide_who_gets_what_over_every_protocol() {
    let Some((_installation, mut host)) = serve("filters_decide_who_gets_what_over_every_protocol") else {
        return;
    };
    let mut line = LineClient::connect(host.address("line"));
    let mut udp = UdpClient::connect(host.address("udp"));
    let mut publisher = LineClient::connect(host.address("line"));
    let filter = |body: Value| json!({ "index": "i", "collection": "c", "body": body });
    let near = json!({ "geoDistance": { "place": { "lat": 48.8566, "lon": 2.3522 }, "distance": "2km" } });
    let (_, near) =
        line.subscribe_with(&filter(json!({ "and": [near, { "range": { "seats": { "gte": 2 } } }] })));
    let (room, named) = udp.subscribe_with(&filter(json!({ "regexp": { "name": "^a" } })));
    // The same filter in other words is the same room, whatever the protocol.
    let same = json!({ "not": { "not": { "regexp": { "name": { "value": "^a" } } } } });
    assert_eq!(line.subscribe_with(&filter(same)), (room, named.clone()));
    for (n, body) in [
        json!({ "place": "48.86,2.35", "seats": 2 }),
        json!({ "place": "48.86,2.35", "seats": 1, "name": "bob" }),
        json!({ "place": "50,2.35", "seats": 4, "name": "ada" }),
        json!({ "place": { "lat": 48.85, "lon": 2.36 }, "seats": 9, "name": "ada" }),
    ]
    .into_iter()
    .enumerate()
    {
        let request = json!({
            "controller": "realtime", "action": "publish", "index": "i", "collection": "c", "body": body, "_id": n.to_string(),
        });
        assert_eq!(publisher.request(&request)["status"], 200);
    }
    let got = |client: &mut dyn Client| {
        let notification = client.receive();
        let id = notification["result"]["_id"].as_str().unwrap().to_owned();
        (id, notification["room"].as_str().unwrap().to_owned())
    };
    let pair = |id: &str, channel: &String| (id.to_owned(), channel.clone());
    assert_eq!([got(&mut udp), got(&mut udp)], [pair("2", &named), pair("3", &named)]);
    assert_eq!([got(&mut line), got(&mut line)], [pair("0", &near), pair("2", &named)]);
    let mut last = [got(&mut line), got(&mut line)];
    last.sort();
    let mut both = [pair("3", &near), pair("3", &named)];
    both.sort();
    assert_eq!(last, both);
    line.is_served();
    udp.is_served();
}
