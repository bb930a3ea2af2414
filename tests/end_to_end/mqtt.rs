//! The sample protocol `mqtt`: Kuzzle's side of it, options, other protocols.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::mpsc;

use kuzzle_tests::{
    Client, Host, Installation, LineClient, MqttClient, MqttPacket, Report, UdpClient, cc, wait_for,
};
use serde_json::{Value, json};

fn start(options: &Value) -> (Installation, Host, std::net::SocketAddr) {
    let installation = Installation::new();
    installation.mqtt().options("mqtt", options);
    let mut host = Host::start(&installation);
    let address = host.address("mqtt");
    (installation, host, address)
}

fn publish(index: &str, text: &str) -> Value {
    json!({
        "controller": "realtime", "action": "publish", "index": index, "collection": "c",
        "body": { "text": text }, "requestId": text
    })
}

#[test]
fn requests_are_answered_to_the_client_that_asks() {
    let (_installation, host, address) = start(&json!({}));
    for mut client in [MqttClient::connect(address, "c"), MqttClient::connect_5(address, "d")] {
        client.is_served();
        let answer = client.request(&json!({ "controller": "server", "action": "now", "requestId": "r" }));
        assert_eq!((&answer["requestId"], answer.get("room")), (&json!("r"), None), "{answer}");
        // Answered on the topic for answers, after the acknowledgement.
        client.publish("Kuzzle/request", 1, 7, r#"{"controller": "server", "action": "now"}"#);
        assert_eq!(client.packet(), Some(MqttPacket::Acknowledgement(4, 7, 0)));
        assert_eq!(client.message().0, "Kuzzle/response");
    }
    host.terminate().is_clean();
}

#[test]
fn requests_that_are_no_json_are_answered_with_an_error_of_mqtt() {
    let (_installation, _host, address) = start(&json!({}));
    let client = MqttClient::connect(address, "c");
    let is_refused = |answer: &Value| {
        assert_eq!(answer["error"]["id"], "network.mqtt.unexpected_error", "{answer}");
        assert_eq!((&answer["error"]["code"], &answer["status"]), (&json!(50_462_721), &json!(400)));
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.starts_with("Caught an unexpected MQTT error: "), "{message}");
    };
    for mut client in [client, MqttClient::connect_5(address, "d")] {
        for text in ["nonsense", "{\"a\": ", "", r#"{"requestId": 5}"#, "[1]", "\"text\""] {
            client.send_text(text);
            let answer = client.receive();
            is_refused(&answer);
            assert!(answer["requestId"].is_string(), "one is made: {answer}");
        }
        client.send(&json!({ "requestId": "known", "body": 5, "controller": "server", "action": "now" }));
        let answer = client.receive();
        is_refused(&answer);
        assert_eq!(answer["requestId"], "known");
        client.is_served();
    }
    // No text at all.
    let mut client = MqttClient::connect(address, "e");
    client.send_bytes(b"\x30\x13\0\x0EKuzzle/request{\xFF}");
    is_refused(&client.receive());
    client.is_served();
}

#[test]
fn notifications_come_to_those_who_have_subscribed_in_both_ways() {
    let (_installation, _host, address) = start(&json!({}));
    let mut listener = MqttClient::connect(address, "listener");
    let channel = listener.listen_to("i", "c");
    // One knows the name of the channel; one has joined, but does not listen.
    let mut spy = MqttClient::connect_5(address, "spy");
    assert_eq!(spy.listen(&channel, 0), 0);
    let mut deaf = MqttClient::connect(address, "deaf");
    deaf.subscribe("i", "c");
    let mut publisher = MqttClient::connect(address, "publisher");
    assert_eq!(publisher.request(&publish("i", "news"))["status"], 200);
    let (topic, text) = listener.message();
    let notification: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(topic, channel);
    assert_eq!(notification["result"]["_source"]["text"], "news", "{notification}");
    assert_eq!(notification["protocol"], "mqtt");
    spy.has_nothing();
    deaf.has_nothing();
    // From now on it has joined.
    spy.subscribe("i", "c");
    assert_eq!(publisher.request(&publish("i", "more"))["status"], 200);
    assert_eq!(spy.receive()["result"]["_source"]["text"], "more");
    listener.receive();
    // The subscription of the API ends, that of MQTT stays.
    let room = json!({ "roomId": channel.split('-').next().unwrap() });
    let unsubscribe = json!({ "controller": "realtime", "action": "unsubscribe", "body": room });
    assert_eq!(listener.request(&unsubscribe)["status"], 200);
    assert_eq!(publisher.request(&publish("i", "too late"))["status"], 200);
    spy.receive();
    listener.has_nothing();
}

#[test]
fn open_channels_are_for_all_who_know_their_names() {
    let (_installation, _host, address) = start(&json!({ "openChannels": true }));
    let mut member = MqttClient::connect(address, "member");
    let channel = member.listen_to("i", "c");
    let mut other = MqttClient::connect(address, "other");
    assert_eq!(other.listen(&channel, 1), 1);
    member.send(&publish("i", "news"));
    assert_eq!(other.message().0, channel);
}

#[test]
fn a_publisher_that_listens_gets_its_notification_before_the_answer() {
    let (_installation, _host, address) = start(&json!({}));
    let mut client = MqttClient::connect(address, "c");
    let channel = client.listen_to("i", "c");
    client.send(&publish("i", "own"));
    assert_eq!(client.message().0, channel);
    assert_eq!(client.message().0, "Kuzzle/response");
}

#[test]
fn a_client_that_leaves_is_removed_after_the_delay() {
    let (_installation, _host, address) = start(&json!({ "disconnectDelay": 100 }));
    let mut watcher = MqttClient::connect(address, "watcher");
    let watched = json!({ "index": "i", "collection": "c", "users": "all" });
    let (_, channel) = watcher.subscribe_with(&watched);
    assert_eq!(watcher.listen(&channel, 0), 0);
    let mut guest = MqttClient::connect(address, "guest");
    guest.subscribe_with(&watched);
    assert_eq!(watcher.receive()["user"], "in");
    drop(guest);
    let left = watcher.receive();
    assert_eq!((&left["user"], &left["result"]["count"]), (&json!("out"), &json!(1)), "{left}");
}

#[test]
fn udp_line_and_mqtt_clients_hear_each_other() {
    let Some(compiler) = cc("udp_line_and_mqtt_clients_hear_each_other") else { return };
    let installation = Installation::new();
    installation.mqtt().line(&compiler).udp();
    let mut host = Host::start(&installation);
    let mut device = MqttClient::connect(host.address("mqtt"), "device");
    let mut udp = UdpClient::connect(host.address("udp"));
    let mut line = LineClient::connect(host.address("line"));
    let mut other = MqttClient::connect_5(host.address("mqtt"), "other");
    udp.subscribe("i", "c");
    line.subscribe("i", "c");
    let channel = device.listen_to("i", "c");
    assert_eq!(other.listen_to("i", "c"), channel);
    // From the device …
    device.send(&publish("i", "from the device"));
    for client in [&mut udp as &mut dyn Client, &mut line, &mut other] {
        let notification = client.receive();
        assert_eq!(notification["result"]["_source"]["text"], "from the device");
        assert_eq!(notification["protocol"], "mqtt");
    }
    // … and back.
    device.receive();
    device.receive();
    for (publisher, name) in [(&mut udp as &mut dyn Client, "udp"), (&mut line, "line")] {
        publisher.send(&publish("i", name));
        for listener in [&mut device, &mut other] {
            let (topic, text) = listener.message();
            let notification: Value = serde_json::from_str(&text).unwrap();
            assert_eq!((&topic, &notification["protocol"]), (&channel, &json!(name)));
            assert_eq!(notification.get("room"), None, "the topic says it");
        }
    }
    host.terminate().is_clean();
}

#[test]
fn a_listener_gets_everything_in_order_while_crowds_come_and_go() {
    let (_installation, host, address) = start(&json!({ "disconnectDelay": 1 }));
    let mut listener = MqttClient::connect(address, "listener");
    let channel = listener.listen_to("i", "c");
    let crowds: Vec<_> = (0..4)
        .map(|crowd| {
            std::thread::spawn(move || {
                for round in 0..60 {
                    // Half of them take each other's place.
                    let id = format!("{}", if round % 2 == 0 { 0 } else { crowd });
                    let mut client = MqttClient::open(address, 4 + crowd as u8 % 2);
                    let connect: &[u8] = match crowd % 2 {
                        0 => b"\x10\x0D\0\x04MQTT\x04\x02\0\0\0\x01",
                        _ => b"\x10\x0E\0\x04MQTT\x05\x02\0\0\0\0\x01",
                    };
                    let subscribe =
                        br#"{"controller":"realtime","action":"subscribe","index":"i","collection":"c","body":{}}"#;
                    let body = [&b"\0\x0EKuzzle/request"[..], &[0][..usize::from(crowd % 2 == 1)], subscribe];
                    let body = body.concat();
                    client.send_bytes(&[connect, id.as_bytes()].concat());
                    // Another one may have taken the id meanwhile.
                    client.try_send_bytes(&[&[0x30, body.len() as u8][..], &body].concat());
                    if round % 3 == 0 {
                        client.packet();
                    }
                }
            })
        })
        .collect();
    let mut publisher = MqttClient::connect(address, "publisher");
    for number in 0..500 {
        publisher.send(&publish("i", &number.to_string()));
        assert_eq!(publisher.receive()["status"], 200);
    }
    for number in 0..500 {
        let (topic, text) = listener.message();
        let notification: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&topic, &notification["requestId"]), (&channel, &json!(number.to_string())));
    }
    crowds.into_iter().for_each(|crowd| crowd.join().unwrap());
    // All of them leave.
    let until = std::time::Instant::now() + kuzzle_tests::DEADLINE;
    while listener.count(channel.split('-').next().unwrap()) != 1 {
        assert!(std::time::Instant::now() < until, "some of the crowd do not leave");
    }
    host.terminate().is_clean();
}

#[test]
fn two_thousand_pipelined_requests_are_answered_in_order() {
    let (_installation, _host, address) = start(&json!({}));
    let mut client = MqttClient::connect(address, "c");
    let mut stream = client.stream();
    let writer = std::thread::spawn(move || {
        for number in 0..2_000 {
            let request = format!(r#"{{"controller":"server","action":"now","requestId":"{number}"}}"#);
            let body = [&b"\0\x0EKuzzle/request"[..], request.as_bytes()].concat();
            std::io::Write::write_all(&mut stream, &[&[0x30, body.len() as u8][..], &body].concat()).unwrap();
        }
    });
    for number in 0..2_000 {
        assert_eq!(client.receive()["requestId"], number.to_string());
    }
    writer.join().unwrap();
}

#[test]
fn answers_that_exceed_the_queue_wait_for_their_client_instead_of_being_lost() {
    let (_installation, _host, address) = start(&json!({ "maxQueueSize": 20_000 }));
    let mut client = MqttClient::connect(address, "c");
    let request = |number: u32| {
        let text = format!(r#"{{"controller":"server","action":"publicApi","requestId":"{number}"}}"#);
        let body = [&b"\0\x0EKuzzle/request"[..], text.as_bytes()].concat();
        [&[0x30, body.len() as u8][..], &body].concat()
    };
    let all: Vec<u8> = (0..300).flat_map(request).collect();
    client.send_bytes(&all);
    for number in 0..300 {
        assert_eq!(client.receive()["requestId"], number.to_string());
    }
}

#[test]
fn metrics_show_how_much_the_broker_has_to_do() {
    let (_installation, _host, address) = start(&json!({ "allowPubSub": true, "maxQueueSize": 1024 }));
    let mut client = MqttClient::connect_5(address, "c");
    let mut away = MqttClient::connect_with(address, 5, "away", false).0;
    assert_eq!((away.listen("a/+", 1), away.listen("b", 0)), (1, 0));
    drop(away);
    client.retain("a/b", "kept");
    // There is no room for it.
    client.publish_and_wait("a/c", &"x".repeat(2000));
    let mut reported = Value::Null;
    wait_for("the numbers to be read", || {
        let metrics = client.request(&json!({ "controller": "server", "action": "metrics" }));
        reported = metrics["result"]["protocols"]["mqtt"]["reported"].clone();
        (reported["dropped"] == 1 && reported["clients"] == 1).then_some(())
    });
    let memory = reported["memory"].as_i64().unwrap();
    assert!((1000..20_000).contains(&memory), "{memory}");
    for (name, expected) in [("sessions", 2), ("subscriptions", 2), ("retained", 1), ("unheard", 0)] {
        assert_eq!(reported[name], expected, "{name}: {reported}");
    }
    // The two messages and requests; answers.
    let [received, sent] = ["received", "sent"].map(|name| reported[name].as_i64().unwrap());
    assert!(received > 2 && (received - 2 - sent).abs() <= 1, "{reported}");
}

#[test]
fn a_client_joins_no_more_channels_than_it_can_subscribe_to() {
    let (_installation, _host, address) = start(&json!({ "maxSubscriptions": 2 }));
    let mut client = MqttClient::connect_5(address, "c");
    for (index, code) in [("a", 0), ("b", 0), ("c", 0x97)] {
        let subscribe = json!({
            "controller": "realtime", "action": "subscribe", "index": index, "collection": "c", "body": {}
        });
        let answer = client.request(&subscribe);
        let error = if code == 0 { Value::Null } else { json!("protocol.runtime.join_refused") };
        assert_eq!(answer["error"]["id"], error, "{answer}");
        assert_eq!(client.listen(index, 0), code);
    }
}

#[test]
fn what_is_written_to_one_client_at_once_is_one_write() {
    const MESSAGES: usize = 2000;
    let (_installation, host, address) = start(&json!({ "allowPubSub": true }));
    let writes = || -> usize {
        let io = std::fs::read_to_string(format!("/proc/{}/io", host.pid())).unwrap();
        let line = io.lines().find_map(|line| line.strip_prefix("syscw: ")).unwrap();
        line.parse().unwrap()
    };
    let mut listeners: Vec<MqttClient> =
        (0..4).map(|number| MqttClient::connect(address, &format!("l{number}"))).collect();
    for listener in &mut listeners {
        assert_eq!(listener.listen("t", 0), 0);
    }
    let mut publisher = MqttClient::connect(address, "publisher");
    let before = writes();
    publisher.send_bytes(&b"\x30\x0C\0\x01tabcdefghi".repeat(MESSAGES));
    for listener in &mut listeners {
        (0..MESSAGES).for_each(|_| assert_eq!(listener.message().0, "t"));
    }
    let took = writes() - before;
    assert!(took < MESSAGES / 4, "{took} writes for {MESSAGES} messages to each of four clients");
}

#[test]
fn who_comes_while_the_host_ends_is_told() {
    let (_installation, host, address) = start(&json!({}));
    // They have their sockets, and send CONNECT when they see that the host ends.
    let mut client = MqttClient::connect_5(address, "c");
    let late: Vec<MqttClient> = [5, 4].map(|version| MqttClient::open(address, version)).into();
    let waits = std::thread::spawn(move || {
        assert_eq!(client.packet(), Some(MqttPacket::Disconnect(0x8B)));
        let mut answers = Vec::new();
        for (mut late, connect) in late
            .into_iter()
            .zip([&b"\x10\x0E\0\x04MQTT\x05\x02\0\0\0\0\x01a"[..], b"\x10\x0D\0\x04MQTT\x04\x02\0\0\0\x01a"])
        {
            // The host may have gone already.
            late.try_send_bytes(connect);
            answers.push(late.until_closed());
        }
        answers
    });
    host.terminate().is_clean();
    let answers = waits.join().unwrap();
    for (answer, code) in answers.into_iter().zip([0x88, 3]) {
        assert!(answer.is_empty() || answer == [MqttPacket::ConnAck(false, code)], "{answer:?}");
    }
}

#[test]
fn the_port_stands_where_kuzzle_has_it_or_where_the_brief_has_it() {
    // A port that is free and one that is not: only the winner is bound.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().port();
    let (_installation, mut host, _) =
        start(&json!({ "port": taken, "server": { "port": 0 }, "host": "127.0.0.3" }));
    let address = host.address("mqtt");
    assert_ne!(address.port(), taken);
    assert_eq!(address.ip().to_string(), "127.0.0.3");
}

#[test]
fn options_out_of_range_are_refused_by_their_names() {
    for (options, name) in [
        (json!({ "port": -1 }), "port"),
        (json!({ "server": { "port": "x" } }), "port"),
        (json!({ "requestTopic": "a/#" }), "requestTopic"),
        (json!({ "maxPacketSize": 1 }), "maxPacketSize"),
        (json!({ "maxTopicLevels": 100_000 }), "maxTopicLevels"),
        (json!({ "allowPubsub": true }), "allowPubsub"),
    ] {
        let installation = Installation::new();
        installation.mqtt().options("mqtt", &options);
        let report = Report::of(installation.home(), &[]);
        assert_eq!(report.ids("mqtt"), ["protocol.config.invalid"].into(), "{options}");
        assert!(report.document.to_string().contains(name), "{options}");
    }
    let installation = Installation::new();
    installation.mqtt().options("mqtt", &json!({ "requestTopic": "same", "responseTopic": "same" }));
    let host = Host::refused(&installation);
    assert_eq!(host.status, Some(78));
    assert!(host.log.contains("`requestTopic` and `responseTopic` are the same"), "{}", host.log);
}

#[test]
fn a_port_that_is_taken_refuses_to_start_and_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let installation = Installation::new();
    installation.mqtt().options("mqtt", &json!({ "port": port }));
    let host = Host::refused(&installation);
    assert_eq!(host.status, Some(78), "{}", host.log);
    assert!(host.log.contains(&format!("cannot bind TCP 127.0.0.1:{port}")), "{}", host.log);
}

#[test]
fn topics_for_requests_and_answers_can_be_changed() {
    let (_installation, _host, address) =
        start(&json!({ "requestTopic": "ask", "responseTopic": "told/here" }));
    let mut client = MqttClient::connect(address, "c");
    client.publish("ask", 0, 0, r#"{"controller": "server", "action": "now"}"#);
    assert_eq!(client.message().0, "told/here");
    client.publish("Kuzzle/request", 0, 0, "{}");
    assert_eq!(client.packet(), None);
}

#[test]
fn one_client_too_many_is_told_its_reason() {
    let (_installation, _host, address) = start(&json!({ "maxConnections": 1, "disconnectDelay": 0 }));
    let first = MqttClient::connect(address, "first");
    let mut second = MqttClient::open(address, 5);
    second.send_bytes(b"\x10\x0E\0\x04MQTT\x05\x02\0\0\0\0\x01a");
    assert_eq!(second.until_closed(), [MqttPacket::ConnAck(false, 0x97)]);
    let mut second = MqttClient::open(address, 4);
    second.send_bytes(b"\x10\x0D\0\x04MQTT\x04\x02\0\0\0\x01a");
    assert_eq!(second.until_closed(), [MqttPacket::ConnAck(false, 3)]);
    drop(first);
    // Soon there is a place.
    let until = std::time::Instant::now() + kuzzle_tests::DEADLINE;
    loop {
        let mut third = MqttClient::open(address, 4);
        third.send_bytes(b"\x10\x0D\0\x04MQTT\x04\x02\0\0\0\x01a");
        match third.packet() {
            Some(MqttPacket::ConnAck(_, 0)) => break,
            _ => assert!(std::time::Instant::now() < until, "the place does not become free"),
        }
    }
}

#[test]
fn a_shutdown_is_told_and_takes_no_time() {
    let (_installation, host, address) = start(&json!({}));
    let mut newer = MqttClient::connect_5(address, "newer");
    let mut older = MqttClient::connect(address, "older");
    let ended = host.terminate();
    ended.is_clean();
    assert!(ended.took < std::time::Duration::from_secs(3), "{:?}", ended.took);
    assert_eq!(newer.until_closed(), [MqttPacket::Disconnect(0x8B)]);
    assert_eq!(older.until_closed(), []);
}

#[test]
fn clients_that_are_writing_hear_that_the_host_ends() {
    let (_installation, host, address) = start(&json!({ "allowPubSub": true }));
    let mut clients: Vec<MqttClient> =
        (0..4).map(|number| MqttClient::connect_5(address, &format!("writer-{number}"))).collect();
    let (begun, have_begun) = mpsc::channel();
    let writers: Vec<_> = clients
        .iter()
        .map(|client| {
            let (mut stream, begun) = (client.stream(), begun.clone());
            let packets = b"\x30\x06\0\x01a\0xx".repeat(1000);
            std::thread::spawn(move || {
                while stream.write_all(&packets).is_ok() {
                    let _ = begun.send(());
                }
            })
        })
        .collect();
    // Some rounds of all of them.
    assert_eq!(have_begun.iter().take(400).count(), 400);
    let ended = host.terminate();
    ended.is_clean();
    for client in &mut clients {
        assert_eq!(client.until_closed(), [MqttPacket::Disconnect(0x8B)]);
    }
    drop(have_begun);
    writers.into_iter().for_each(|writer| writer.join().unwrap());
}

#[test]
fn a_new_subscription_gets_all_retained_messages_however_short_its_queue_is() {
    const MESSAGES: usize = 5000;
    let (_installation, host, address) = start(&json!({ "allowPubSub": true, "maxQueueSize": 100_000 }));
    let mut publisher = MqttClient::connect_5(address, "publisher");
    let payload = "x".repeat(500);
    for number in 0..MESSAGES {
        publisher.retain(&format!("retained/{number}"), &payload);
    }
    publisher.has_nothing();
    for (name, qos) in [("often", 0), ("once", 1)] {
        let mut client = MqttClient::connect_5(address, name);
        assert_eq!(client.listen("retained/+", qos), qos);
        let mut topics = BTreeSet::new();
        while topics.len() < MESSAGES {
            match client.packet() {
                Some(MqttPacket::Publish { topic, id, .. }) => {
                    assert!(topics.insert(topic), "each comes once");
                    if qos == 1 {
                        client.acknowledge(4, id);
                    }
                }
                other => panic!("{} came, then {other:?}", topics.len()),
            }
        }
        client.has_nothing();
    }
    host.terminate().is_clean();
}
