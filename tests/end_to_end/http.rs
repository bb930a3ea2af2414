//! HTTP as Kuzzle speaks it: routes, headers, bodies, errors (`http-ws`).

use kuzzle_tests::{Client, Host, HttpClient, Installation, Report, WebSocketClient, wait_for};
use serde_json::{Value, json};

/// A host with `http-ws` and these options; keep the installation.
pub(crate) fn serve(protocols: &Value) -> (Installation, Host) {
    let installation = Installation::new();
    installation.http_ws().configure(&json!({ "server": { "protocols": protocols } }));
    let host = Host::start(&installation);
    (installation, host)
}

pub(crate) fn client(host: &mut Host) -> HttpClient {
    HttpClient::connect(host.address("http-ws"))
}

pub(crate) const JSON: (&str, &str) = ("Content-Type", "application/json");
const PUBLISH: &str = "/i/c/_publish";

#[test]
fn an_answer_has_kuzzles_headers_and_envelope() {
    let (_installation, mut host) = serve(&json!({}));
    let mut client = client(&mut host);
    let reply =
        client.request("GET", "/_now", &[("X-Kuzzle-Request-Id", "rid"), ("Origin", "http://x")], b"");
    let answer = reply.json();
    let node = answer["node"].as_str().unwrap();
    let names: Vec<_> = answer.as_object().unwrap().keys().map(String::as_str).collect();
    let expected =
        ["action", "controller", "error", "headers", "node", "requestId", "result", "status", "volatile"];
    assert_eq!(names, expected, "no room over HTTP");
    assert_eq!((reply.status, &answer["requestId"]), (200, &json!("rid")));
    for (name, value) in [
        ("x-kuzzle-node", node),
        ("x-kuzzle-request-id", "rid"),
        ("content-type", "application/json"),
        ("content-encoding", "identity"),
        ("accept-encoding", "gzip,deflate,identity"),
        ("access-control-allow-origin", "http://x"),
        ("vary", "Origin"),
        ("access-control-allow-methods", "GET,POST,PUT,PATCH,DELETE,OPTIONS,HEAD"),
        ("access-control-allow-credentials", "true"),
    ] {
        assert_eq!(reply.header(name), Some(value), "{name}");
    }
    assert!(reply.header("access-control-allow-headers").unwrap().ends_with("X-Kuzzle-Volatile"));
    assert!(reply.header("date").is_some());
    let own = client.get("/_now");
    assert_eq!((own.header("access-control-allow-origin"), own.header("vary")), (None, None));
    let id = own.header("x-kuzzle-request-id").unwrap();
    assert_eq!((own.json()["requestId"].as_str(), id.len(), id.as_bytes()[14]), (Some(id), 36, b'4'));
}

#[test]
fn a_route_leads_to_its_action_with_all_its_arguments() {
    let (_installation, mut host) = serve(&json!({}));
    let mut subscriber = WebSocketClient::connect(host.address("http-ws"));
    subscriber.subscribe("a b", "c/d");
    let mut client = client(&mut host);
    let volatile = ("X-Kuzzle-Volatile", r#"{"v":[1]}"#);
    let reply = client.request(
        "POST",
        "/a%20b//c%2Fd/_publish/?_id=x+y&index=other",
        &[JSON, volatile],
        br#"{"a":"e"}"#,
    );
    assert_eq!(reply.json()["result"], json!({ "published": true }));
    assert_eq!(reply.json()["volatile"], json!({ "v": [1] }));
    let notification = subscriber.receive();
    assert_eq!(notification["result"]["_id"], "x y");
    assert_eq!(notification["result"]["_source"]["a"], "e");
    assert_eq!(notification["volatile"], json!({ "v": [1] }));
    assert_eq!((&notification["protocol"], &notification["index"]), (&json!("http"), &json!("a b")));
}

#[test]
fn what_has_no_route_is_told_so() {
    let (_installation, mut host) = serve(&json!({}));
    let mut client = client(&mut host);
    for (verb, path, status, id, shown) in [
        ("GET", "/no/such/path/?a=b", 404, "network.http.url_not_found", "/no/such/path"),
        ("GET", "/_Now", 404, "network.http.url_not_found", "/_Now"),
        ("PUT", "/_now", 404, "network.http.url_not_found", "/_now"),
        ("TRACE", "/_now", 400, "network.http.unsupported_verb", "TRACE"),
        ("FOO", "/_now", 400, "network.http.unsupported_verb", "FOO"),
    ] {
        let reply = client.request(verb, path, &[], b"");
        let answer = reply.json();
        assert_eq!((reply.status, &answer["status"]), (status, &json!(status)), "{verb} {path}");
        assert_eq!((&answer["error"]["id"], &answer["error"]["props"]), (&json!(id), &json!([shown])));
        assert_eq!((&answer["controller"], &answer["result"]), (&Value::Null, &Value::Null));
        assert_eq!(reply.header("x-kuzzle-request-id"), answer["requestId"].as_str());
    }
    assert_eq!(client.request("HEAD", "/", &[], b"").status, 200);
    assert_eq!(client.request("HEAD", "/_now", &[], b"").status, 404);
    let options = client.request("OPTIONS", "/any/thing", &[("Origin", "null")], b"");
    assert_eq!((options.status, &options.json()["result"]), (200, &json!({})));
    assert_eq!(options.header("access-control-allow-origin"), Some("null"));
    assert_eq!(client.request("OPTIONS", "*", &[], b"").status, 200);
}

/// Headers and body of a request; status, id and props of the error.
type Refusal<'a> = (&'a [(&'a str, &'a str)], &'a [u8], u16, &'a str, Value);

#[test]
fn errors_before_routing_are_bare_objects() {
    let (_installation, mut host) = serve(&json!({}));
    let large = vec![b' '; (1 << 20) + 1];
    let cases: [Refusal<'_>; 9] = [
        (&[JSON], b"{bad", 400, "network.http.body_parse_failed", json!(["{bad"])),
        (&[JSON], &[b'x'; 80], 400, "network.http.body_parse_failed", json!(["x".repeat(50)])),
        (
            &[("Content-Type", "text/plain")],
            b"{}",
            400,
            "network.http.unsupported_content",
            json!(["text/plain"]),
        ),
        (
            &[("Content-Type", "Application/JSON")],
            b"{}",
            400,
            "network.http.unsupported_content",
            json!(["Application/JSON"]),
        ),
        (
            &[("Content-Type", "application/json; charset=iso-8859-1")],
            b"{}",
            400,
            "network.http.unsupported_charset",
            json!(["iso-8859-1"]),
        ),
        (&[JSON], &large, 413, "network.http.request_too_large", json!([])),
        (
            &[JSON, ("Content-Encoding", "br")],
            b"{}",
            400,
            "network.http.unsupported_compression",
            json!(["br"]),
        ),
        (
            &[JSON, ("Content-Encoding", "gzip,gzip"), ("Content-Encoding", "gzip, gzip")],
            b"{}",
            400,
            "network.http.too_many_encodings",
            json!([]),
        ),
        (&[JSON], b"\xff\xfe", 400, "network.http.body_parse_failed", json!(["\u{fffd}\u{fffd}"])),
    ];
    for (headers, body, status, id, props) in cases {
        let mut client = client(&mut host);
        let headers = [headers, &[("Origin", "http://x")]].concat();
        let reply = client.request("POST", PUBLISH, &headers, body);
        let error = reply.json();
        assert_eq!((reply.status, &error["status"]), (status, &json!(status)), "{error}");
        assert_eq!((&error["id"], &error["props"]), (&json!(id), &props), "{error}");
        assert!(error["code"].is_u64() && error["message"].is_string(), "{error}");
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
        assert_eq!(reply.header("x-kuzzle-node"), None);
    }
}

#[test]
fn bodies_come_in_all_shapes() {
    let (_installation, mut host) =
        serve(&json!({ "http": { "additionalContentTypes": ["application/x-own"] } }));
    let mut subscriber = WebSocketClient::connect(host.address("http-ws"));
    subscriber.subscribe("i", "c");
    let multipart = "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n\
                     --B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f.txt\"\r\n\
                     Content-Type: text/plain\r\n\r\nhi\r\n--B--\r\n";
    let file = json!({ "encoding": "text/plain", "file": "aGk=", "filename": "f.txt" });
    for (content_type, body, expected) in [
        ("application/json;charset=UTF-8", " {\"a\": 1} ", json!({ "a": 1 })),
        ("application/x-www-form-urlencoded", "a=1&a=2&b=x+y", json!({ "a": ["1", "2"], "b": "x y" })),
        ("multipart/form-data; boundary=B", multipart, json!({ "a": "1", "f": file })),
        ("multipart/form-data; boundary=C", multipart, json!({})),
        ("application/x-own", "{\"own\": true}", json!({ "own": true })),
    ] {
        let reply =
            client(&mut host).request("POST", PUBLISH, &[("Content-Type", content_type)], body.as_bytes());
        assert_eq!(reply.status, 200, "{content_type}: {}", String::from_utf8_lossy(&reply.body));
        let mut source = subscriber.receive()["result"]["_source"].take();
        source.as_object_mut().unwrap().remove("_kuzzle_info");
        assert_eq!(source, expected, "{content_type}");
    }
    let mut client = client(&mut host);
    assert_eq!(client.post(PUBLISH, &json!(1)).json()["error"]["status"], 400);
    let empty = client.request("POST", PUBLISH, &[JSON], b"").json();
    assert_eq!(empty["error"]["id"], "api.assert.body_required");
}

#[test]
fn gzip_and_deflate_go_in_and_out() {
    // `printf '{"a":1}' | gzip -n`, and the same as zlib.
    const GZIP: &[u8] =
        &[31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 171, 86, 74, 84, 178, 50, 172, 5, 0, 175, 172, 27, 86, 7, 0, 0, 0];
    const ZLIB: &[u8] = &[120, 156, 171, 86, 74, 84, 178, 50, 172, 5, 0, 8, 42, 2, 9];
    let (_installation, mut host) = serve(&json!({}));
    for (coding, body, status) in
        [("gzip", GZIP, 200), ("deflate", ZLIB, 200), ("gzip", ZLIB, 400), ("deflate", GZIP, 400)]
    {
        let reply = client(&mut host).request("POST", PUBLISH, &[JSON, ("Content-Encoding", coding)], body);
        assert_eq!(reply.status, status, "{coding}: {}", String::from_utf8_lossy(&reply.body));
        if status == 400 {
            assert_eq!(reply.json()["id"], "network.http.unexpected_error");
        }
    }
    let mut client = client(&mut host);
    for (accepted, coding, magic) in [
        ("gzip, deflate", "gzip", [0x1f, 0x8b]),
        ("deflate", "deflate", [0x78, 0x01]),
        ("br", "identity", *b"{\""),
    ] {
        let reply = client.request("GET", "/_now", &[("Accept-Encoding", accepted)], b"");
        assert_eq!(reply.header("content-encoding"), Some(coding));
        assert_eq!(reply.body[..2], magic, "{accepted}");
    }
}

#[test]
fn compression_can_be_switched_off() {
    let (_installation, mut host) = serve(&json!({ "http": { "allowCompression": false } }));
    let mut client = client(&mut host);
    let reply = client.request("GET", "/_now", &[("Accept-Encoding", "gzip")], b"");
    assert_eq!(reply.header("content-encoding"), Some("identity"));
    assert_eq!(reply.header("accept-encoding"), Some("identity"));
    let refused = client.request("POST", PUBLISH, &[JSON, ("Content-Encoding", "gzip")], b"xx");
    assert_eq!((refused.status, &refused.json()["id"]), (400, &json!("network.http.compression_disabled")));
}

#[test]
fn query_takes_a_whole_request() {
    let (_installation, mut host) = serve(&json!({}));
    let mut client = client(&mut host);
    let now = json!({ "controller": "server", "action": "now", "requestId": "own" });
    let answer = client.request(
        "POST",
        "/_query/",
        &[JSON, ("X-Kuzzle-Request-Id", "id")],
        now.to_string().as_bytes(),
    );
    assert!(answer.json()["result"]["now"].is_u64());
    assert_eq!(answer.json()["requestId"], "id");
    assert_eq!(client.post("/_query", &json!({})).json()["error"]["id"], "api.assert.missing_argument");
    let array = client.post("/_query", &json!([]));
    assert_eq!(
        (array.status, &array.json()["error"]["message"]),
        (500, &json!("Input request data must be a non-null object"))
    );
    assert_eq!(client.request("POST", "/_query", &[], b"").status, 500);
    let bearer = client.request("POST", "/_query", &[("Authorization", "Bearer x")], b"");
    assert_eq!(
        (bearer.status, &bearer.json()["error"]["id"]),
        (400, &json!("network.http.unexpected_error"))
    );
    let unknown = client.post("/_query", &json!({ "controller": "foo", "action": "bar" }));
    assert_eq!(
        (unknown.status, &unknown.json()["error"]["id"]),
        (404, &json!("api.process.controller_not_found"))
    );
    let malformed = client.post("/_query", &json!({ "controller": 1 })).json();
    assert_eq!(
        malformed["error"],
        json!({ "message": "Attribute controller must be of type \"string\"", "status": 400 })
    );
    let subscribe = json!({ "controller": "realtime", "action": "subscribe", "index": "i", "collection": "c", "body": {} });
    assert!(
        client.post("/_query", &subscribe).json()["error"].is_object(),
        "nothing can be sent to an HTTP client"
    );
    assert_eq!(client.get("/_now").status, 200);
}

#[test]
fn headers_carry_token_and_volatile_data() {
    let (_installation, mut host) = serve(&json!({}));
    let mut client = client(&mut host);
    let bad = client.request("GET", "/_now", &[("X-Kuzzle-Volatile", "{bad")], b"").json();
    assert_eq!(
        (&bad["error"]["id"], &bad["controller"]),
        (&json!("network.http.volatile_parse_failed"), &Value::Null)
    );
    let array = client.request("GET", "/_now", &[("X-Kuzzle-Volatile", "[]")], b"").json();
    assert_eq!(array["error"]["message"], "Attribute volatile must be of type \"object\"");
    let token = client.request("GET", "/_now", &[("Authorization", "bearer no-token")], b"");
    assert_eq!((token.status, &token.json()["error"]["id"]), (401, &json!("security.token.invalid")));
    assert_eq!(client.request("GET", "/_now", &[("Authorization", "Basic YTpi")], b"").status, 200);
}

#[test]
fn health_and_readiness_are_told_without_the_api() {
    let (_installation, mut host) = serve(&json!({}));
    let mut client = client(&mut host);
    for path in ["/_healthcheck", "/_ready"] {
        let reply = client.get(path);
        let answer = reply.json();
        assert_eq!((reply.status, &answer["error"], &answer["result"]), (200, &Value::Null, &Value::Null));
    }
    assert_eq!(client.get("/_healthCheck").json()["action"], "healthCheck");
}

#[test]
fn pretty_answers_are_indented() {
    let (_installation, mut host) = serve(&json!({}));
    let reply = client(&mut host).get("/_now?pretty");
    let text = String::from_utf8(reply.body.clone()).unwrap();
    assert!(text.starts_with("{\n  \"action\": \"now\",\n"), "{text}");
    assert_eq!(reply.json()["status"], 200);
}

#[test]
fn a_connection_serves_many_requests_pipelined_or_not() {
    let (_installation, mut host) = serve(&json!({}));
    let mut client = client(&mut host);
    let request = |number| format!("GET /_now HTTP/1.1\r\nHost: x\r\nX-Kuzzle-Request-Id: {number}\r\n\r\n");
    client.send((0..500).map(request).collect::<String>());
    for number in 0..500 {
        assert_eq!(client.receive().json()["requestId"], number.to_string());
    }
    client.send("GET /_now HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!(client.receive().header("connection"), Some("close"));
    assert!(client.is_closed());
}

#[test]
fn either_half_can_be_switched_off() {
    let (_installation, mut host) = serve(&json!({ "http": { "enabled": false } }));
    let refused = client(&mut host).get("/_now");
    assert_eq!((refused.status, refused.header("upgrade")), (426, Some("websocket")));
    WebSocketClient::connect(host.address("http-ws")).is_served();
    drop(host);

    let (_installation, mut host) = serve(&json!({ "websocket": { "enabled": false } }));
    assert_eq!(client(&mut host).get("/_now").status, 200);
    let mut refused = client(&mut host);
    refused.send(
        "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    assert_eq!(refused.receive().status, 403);

    let installation = Installation::new();
    let off = json!({ "http": { "enabled": false }, "websocket": { "enabled": false } });
    installation.http_ws().configure(&json!({ "server": { "protocols": off } }));
    let report = Report::of(installation.home(), &[]);
    assert_eq!((report.status, &report.entry("http-ws")["status"]), (Some(0), &json!("disabled")));
}

#[test]
fn the_address_is_the_servers() {
    let installation = Installation::new();
    installation.http_ws().configure(&json!({ "server": { "host": "127.0.0.2" } }));
    let mut host = Host::start(&installation);
    assert_eq!(host.address("http-ws").ip().to_string(), "127.0.0.2");
    let taken = host.address("http-ws");
    let other = Installation::new();
    other.http_ws().configure(&json!({ "server": { "host": "127.0.0.2", "port": taken.port() } }));
    let refused = Host::refused(&other);
    assert!(refused.log.contains("init_failed") && refused.log.contains("server.port"), "{}", refused.log);
}

#[test]
fn options_that_cannot_be_kept_are_told_at_start() {
    for (options, named) in [
        (json!({ "websocket": { "maxQueuedBytes": "many" } }), "server.protocols.websocket.maxQueuedBytes"),
        (json!({ "http": { "maxFormFileSize": "MB" } }), "server.protocols.http.maxFormFileSize"),
        (json!({ "http": { "maxEncodingLayers": 0 } }), "protocol.config.invalid"),
        (json!({ "websocket": { "compresion": true } }), "protocol.config.invalid"),
    ] {
        let installation = Installation::new();
        installation.http_ws().configure(&json!({ "server": { "protocols": options } }));
        let refused = Host::refused(&installation);
        assert_eq!(refused.status, Some(78), "{}", refused.log);
        assert!(refused.log.contains(named), "{named}: {}", refused.log);
    }
    let (_installation, mut host) = serve(&json!({ "websocket": { "heartbeat": 1000, "idleTimeout": 500 } }));
    host.wait_log("heartbeat is deprecated");
    host.wait_log("idleTimeout is below 1000 ms");
}

#[test]
fn every_answer_is_a_line_of_the_access_log() {
    let installation = Installation::new();
    installation.http_ws();
    installation.configure(&json!({ "server": { "logs": { "transports": [{ "transport": "file" }] } } }));
    let mut host = Host::start(&installation);
    let mut client = client(&mut host);
    client.request("GET", "/_now?a=b", &[("User-Agent", "test"), ("Referer", "http://r")], b"");
    client.request("GET", "/_nothing", &[("X-Forwarded-For", "10.0.0.1, 10.0.0.2")], b"");
    client.request("POST", PUBLISH, &[("Content-Type", "text/plain")], b"x");
    let mut socket = WebSocketClient::connect(host.address("http-ws"));
    socket.is_served();
    socket.send_text("{bad");
    socket.receive();
    let file = installation.home().join("kuzzle.access.log");
    let lines = wait_for("a line for each answer", || {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        (lines.len() >= 5).then_some(lines)
    });
    for (line, expected) in lines.iter().zip([
        &["127.0.0.1 - (anonymous)", "\"GET /_now?a=b HTTP/1.1\" 200", "\"http://r\" \"test\""][..],
        &["127.0.0.1 - ", "\"GET /_nothing HTTP/1.1\" 404"],
        &["\"POST /i/c/_publish HTTP/1.1\" 400"],
        &["\"DO /server/now WEBSOCKET\" 200"],
        &["WEBSOCKET\" 400"],
    ]) {
        assert!(expected.iter().all(|part| line.contains(part)), "{line}");
    }
}

#[test]
fn a_client_whose_requests_never_end_does_not_delay_the_shutdown() {
    let (_installation, mut host) = serve(&json!({}));
    let mut waits = client(&mut host);
    waits.send(format!("POST {PUBLISH} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{{"));
    let mut idle = client(&mut host);
    assert_eq!(idle.get("/_now").status, 200);
    let finished = host.terminate();
    finished.is_clean();
    assert!(idle.is_closed());
    assert!(finished.took < std::time::Duration::from_secs(5), "{:?}", finished.took);
}

#[test]
fn connections_are_counted_by_what_they_speak() {
    let (_installation, mut host) = serve(&json!({}));
    let _socket = WebSocketClient::connect(host.address("http-ws"));
    let mut client = client(&mut host);
    let metrics = client.get("/_metrics").json()["result"].take();
    assert_eq!(metrics["network"]["connections"], json!({ "http/1.1": 1, "websocket": 1 }));
    assert_eq!(metrics["protocols"]["http-ws"]["connections"], 2);
}

#[test]
fn origins_can_be_restricted() {
    let installation = Installation::new();
    installation.http_ws().configure(&json!({
        "http": { "accessControlAllowOrigin": "https://good.example", "cookieAuthentication": false },
    }));
    let mut host = Host::start(&installation);
    let mut client = client(&mut host);
    let good = client.request("GET", "/_now", &[("Origin", "https://good.example")], b"");
    assert_eq!(
        (good.status, good.header("access-control-allow-origin")),
        (200, Some("https://good.example"))
    );
    assert_eq!(good.header("access-control-allow-credentials"), None, "there are no cookies");
    let evil = client.request("GET", "/_now", &[("Origin", "https://evil.example")], b"");
    assert_eq!((evil.status, evil.header("access-control-allow-origin")), (401, None));
    assert_eq!(evil.json()["error"]["id"], "api.process.unauthorized_origin");
    let evil = client.request("OPTIONS", "/", &[("Origin", "https://evil.example")], b"");
    assert_eq!(evil.header("access-control-allow-origin"), None);
    let address = host.address("http-ws");
    let mut evil = WebSocketClient::connect_with(address, "Origin: https://evil.example\r\n");
    let answer = evil.request(&json!({ "controller": "server", "action": "now" }));
    assert_eq!(answer["error"]["id"], "api.process.unauthorized_origin", "{answer}");
}

#[test]
fn a_cookie_holds_a_token_too() {
    let (_installation, mut host) = serve(&json!({}));
    let mut client = client(&mut host);
    let answer = client.request("GET", "/_now", &[("Cookie", "a=b; authToken=kauth-x")], b"");
    assert_eq!((answer.status, &answer.json()["error"]["id"]), (401, &json!("security.token.invalid")));
    let both = [("Cookie", "authToken=kauth-x"), ("Authorization", "Bearer y")];
    let answer = client.request("GET", "/_now", &both, b"");
    assert_eq!(answer.json()["error"]["id"], "security.token.verification_error");
    let address = host.address("http-ws");
    let mut socket = WebSocketClient::connect_with(address, "Cookie: authToken=kauth-x\r\n");
    let answer = socket.request(&json!({ "controller": "server", "action": "now" }));
    assert_eq!(answer["error"]["id"], "security.token.invalid", "{answer}");
}

#[test]
fn a_full_server_is_well_and_one_without_a_protocol_is_not_ready() {
    let installation = Installation::new();
    installation.http_ws().rust("panicky", "kuzzle_fixture_panicky");
    installation.configure(&json!({ "server": { "protocols": {
        "http": { "maxConnections": 1 }, "panicky": { "panicIn": "completion" },
    } } }));
    let mut host = Host::start(&installation);
    let (mut first, mut second) = (client(&mut host), client(&mut host));
    assert_eq!(first.get("/_now").status, 200);
    assert_eq!(second.get("/_now").status, 503, "one connection is all");
    for path in ["/_healthcheck", "/_ready"] {
        assert_eq!(client(&mut host).get(path).status, 200, "{path}");
    }
    let mut panicky = kuzzle_tests::UdpClient::connect(host.address("panicky"));
    panicky.send(&json!({ "controller": "server", "action": "now" }));
    host.wait_log("panicked and is stopped");
    assert_eq!(client(&mut host).get("/_ready").status, 503);
    assert_eq!(client(&mut host).get("/_healthcheck").status, 200);
}

#[test]
fn silent_clients_do_not_hold_up_the_end() {
    let (_installation, mut host) = serve(&json!({}));
    let address = host.address("http-ws");
    let mut kept = client(&mut host);
    assert_eq!(kept.get("/_now").status, 200);
    let mut half = client(&mut host);
    half.send("GET / HTTP/1.1\r\nHos");
    let mut socket = WebSocketClient::connect(address);
    socket.is_served();
    let host = host.terminate();
    host.is_clean();
    assert!(host.took.as_millis() < 2_500, "{:?}", host.took);
}
