//! The API, over each protocol.

use kuzzle_tests::{Client, Host, Installation, LineClient, UdpClient, cc};
use serde_json::{Value, json};

/// Runs a test with a client of `line` and one of `udp`.
fn over_each_protocol(test: &str, mut run: impl FnMut(&str, &mut dyn Client)) {
    let Some(compiler) = cc(test) else { return };
    let installation = Installation::new();
    installation.line(&compiler).udp();
    let mut host = Host::start(&installation);
    run("line", &mut LineClient::connect(host.address("line")));
    run("udp", &mut UdpClient::connect(host.address("udp")));
}

fn ask(client: &mut dyn Client, controller: &str, action: &str) -> Value {
    client.request(&json!({ "controller": controller, "action": action, "requestId": "rid" }))
}

fn refused(answer: &Value) -> (&str, u64) {
    assert_eq!(answer["result"], Value::Null, "{answer}");
    let id = answer["error"]["id"].as_str().unwrap_or_else(|| panic!("no error: {answer}"));
    assert_eq!(answer["error"]["status"], answer["status"], "{answer}");
    (id, answer["status"].as_u64().expect("the status is a number"))
}

#[test]
fn tells_the_time() {
    over_each_protocol("tells_the_time", |protocol, client| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let answer = ask(client, "server", "now");
        let told = answer["result"]["now"].as_u64().unwrap();
        assert!(told.abs_diff(now.as_millis() as u64) < 60_000, "{protocol}: {answer}");
    });
}

#[test]
fn shows_the_protocols_that_serve_and_where() {
    let Some(compiler) = cc("shows_the_protocols_that_serve_and_where") else { return };
    let installation = Installation::new();
    installation.line(&compiler).udp();
    let mut host = Host::start(&installation);
    let (line, udp) = (host.address("line"), host.address("udp"));
    for client in [&mut LineClient::connect(line) as &mut dyn Client, &mut UdpClient::connect(udp)] {
        let info = ask(client, "server", "info");
        let kuzzle = &info["result"]["serverInfo"]["kuzzle"];
        assert_eq!(
            kuzzle["protocols"],
            json!([
                { "name": "line", "version": "1.0.0",
                  "listeners": [{ "transport": "tcp", "address": line.to_string() }] },
                { "name": "udp", "version": "0.1.0",
                  "listeners": [{ "transport": "udp", "address": udp.to_string() }] },
            ])
        );
        assert!(kuzzle["version"].as_str().unwrap().starts_with("2."), "{info}");
    }
}

#[test]
fn describes_its_api() {
    over_each_protocol("describes_its_api", |protocol, client| {
        let answer = ask(client, "server", "publicApi");
        let api = &answer["result"];
        assert_eq!(
            api["server"]["now"]["http"],
            json!([{ "path": "/_now", "url": "/_now", "verb": "GET" }]),
            "{protocol}"
        );
        assert!(api["realtime"]["subscribe"].is_object(), "{protocol}: {answer}");
    });
}

#[test]
fn refuses_a_controller_that_it_does_not_know() {
    over_each_protocol("refuses_a_controller_that_it_does_not_know", |protocol, client| {
        let answer = ask(client, "foo", "bar");
        assert_eq!(refused(&answer), ("api.process.controller_not_found", 404), "{protocol}");
        assert_eq!(answer["error"]["message"], "API controller \"foo\" not found.");
        assert_eq!((&answer["requestId"], &answer["room"]), (&json!("rid"), &json!("rid")));
    });
}

#[test]
fn refuses_an_action_that_it_does_not_know() {
    over_each_protocol("refuses_an_action_that_it_does_not_know", |protocol, client| {
        let answer = ask(client, "server", "bar");
        assert_eq!(refused(&answer), ("api.process.action_not_found", 404), "{protocol}");
    });
}

#[test]
fn asks_for_what_is_missing() {
    over_each_protocol("asks_for_what_is_missing", |protocol, client| {
        let subscribe = json!({ "controller": "realtime", "action": "subscribe", "index": "i", "body": {} });
        for (request, missing) in [
            (json!({}), "controller"),
            (json!({ "controller": "server" }), "action"),
            (subscribe, "collection"),
        ] {
            let answer = client.request(&request);
            assert_eq!(refused(&answer), ("api.assert.missing_argument", 400), "{protocol}");
            assert_eq!(answer["error"]["message"], format!("Missing argument \"{missing}\"."), "{protocol}");
        }
    });
}

#[test]
fn refuses_filters_that_it_does_not_understand() {
    over_each_protocol("refuses_filters_that_it_does_not_understand", |protocol, client| {
        for filter in [json!({ "equals": { "a": [] } }), json!({ "foo": {} }), json!({ "a": 1, "b": 2 })] {
            let answer = client.request(&json!({
                "controller": "realtime", "action": "subscribe", "index": "i", "collection": "c",
                "body": filter,
            }));
            assert_eq!(refused(&answer), ("api.assert.koncorde_dsl_error", 400), "{protocol}: {filter}");
        }
    });
}

#[test]
fn answers_a_request_that_is_no_json() {
    over_each_protocol("answers_a_request_that_is_no_json", |protocol, client| {
        for text in ["{", "nonsense", "{\"controller\":\"server\",}"] {
            client.send_text(text);
            let answer = client.receive();
            let id = format!("network.{protocol}.unexpected_error");
            assert_eq!(refused(&answer), (id.as_str(), 400), "{text}");
        }
        client.is_served();
    });
}

#[test]
fn answers_a_request_that_is_no_object() {
    over_each_protocol("answers_a_request_that_is_no_object", |protocol, client| {
        for text in ["[]", "null", "12", "\"text\""] {
            client.send_text(text);
            let answer = client.receive();
            let id = format!("network.{protocol}.unexpected_error");
            assert_eq!(refused(&answer), (id.as_str(), 400), "{text}");
            let message = answer["error"]["message"].as_str().unwrap();
            assert!(message.ends_with("Input request data must be a non-null object"), "{answer}");
        }
        client.is_served();
    });
}

#[test]
fn tells_whose_request_it_does_not_understand() {
    over_each_protocol("tells_whose_request_it_does_not_understand", |protocol, client| {
        client.send_text(r#"{"controller":5,"requestId":"mine"}"#);
        let answer = client.receive();
        assert_eq!(
            (&answer["requestId"], &answer["room"]),
            (&json!("mine"), &json!("mine")),
            "{protocol}: {answer}"
        );
    });
}
