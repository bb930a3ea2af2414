//! Kuzzle's own clients: the SDK over WebSocket and HTTP, the package `ws`, Node's WebSocket, curl.

use std::process::Command;

use kuzzle_tests::{Client, Host, Installation, LineClient, MqttClient, Node, UdpClient, cc, has};
use serde_json::{Value, json};

/// Runs a script of `tests/sdk` against a host with `http-ws`.
fn run(test: &str, script: &str, native: bool, arguments: &[&str], options: &Value) {
    let Some(node) = Node::new(test) else { return };
    if native && !node.has_websocket(test) {
        return;
    }
    let installation = Installation::new();
    installation.http_ws().configure(&json!({ "server": { "protocols": options } }));
    let mut host = Host::start(&installation);
    node.run(script, native, host.address("http-ws"), arguments);
    host.terminate().is_clean();
}

macro_rules! scripts {
    ($($test:ident: $script:literal $native:literal $arguments:tt $options:tt;)*) => {
        $(
            #[test]
            fn $test() {
                run(stringify!($test), $script, $native, &$arguments, &json!($options));
            }
        )*
    };
}

scripts! {
    the_sdk_asks_over_websocket: "queries.js" false ["websocket"] {};
    the_sdk_asks_over_nodes_own_websocket: "queries.js" true ["websocket"] {};
    the_sdk_hears_who_comes_and_goes_over_nodes_own_websocket: "users.js" true [] {};
    the_sdk_asks_over_http: "queries.js" false ["http"] {};
    the_sdk_subscribes_with_filters_of_every_keyword: "filters.js" false [] {};
    the_sdk_hears_who_comes_and_goes: "users.js" false [] {};
    the_sdk_gets_volatile_data_and_does_not_hear_itself: "volatile.js" false [] {};
    the_sdk_connects_anew_and_keeps_its_subscriptions: "reconnection.js" false [] {};
    the_sdk_gets_bursts_in_order: "bursts.js" false [] {};
    two_hundred_sdks_hear_each_other: "many.js" false [] {};
    nodes_own_websocket_is_served: "native.js" true [] {};
    the_package_ws_is_served: "ws.js" false ["false"] {};
    the_package_ws_is_served_with_compression: "ws.js" false ["true"] { "websocket": { "compression": true } };
}

#[test]
fn the_sdk_and_devices_of_other_protocols_hear_each_other() {
    let test = "the_sdk_and_devices_of_other_protocols_hear_each_other";
    let (Some(node), Some(compiler)) = (Node::new(test), cc(test)) else { return };
    let installation = Installation::new();
    installation.http_ws().mqtt().udp().line(&compiler);
    let mut host = Host::start(&installation);
    let mut mqtt = MqttClient::connect_5(host.address("mqtt"), "device");
    let mut udp = UdpClient::connect(host.address("udp"));
    let mut line = LineClient::connect(host.address("line"));
    let dashboards = json!({ "index": "i", "collection": "dashboards" });
    mqtt.listen_to("i", "dashboards");
    udp.subscribe_with(&dashboards);
    line.subscribe_with(&dashboards);
    let address = host.address("http-ws");
    let dashboard = std::thread::spawn(move || node.run("devices.js", false, address, &[]));
    let mut devices: [(&mut dyn Client, &str); 3] =
        [(&mut mqtt, "mqtt"), (&mut udp, "udp"), (&mut line, "line")];
    for (device, name) in &mut devices {
        let told = device.receive();
        assert_eq!(
            (&told["protocol"], &told["result"]["_source"]["text"]),
            (&json!("websocket"), &json!("here I am"))
        );
        device.send(&json!({
            "controller": "realtime", "action": "publish", "index": "i", "collection": "devices",
            "body": { "text": format!("from {name}") },
        }));
    }
    // The answer to its own message, and what is published by then: in any order.
    for (device, name) in &mut devices {
        let got = [device.receive(), device.receive()];
        assert!(got.iter().any(|one| one["result"] == json!({ "published": true })), "{name}: {got:?}");
        assert!(got.iter().any(|one| one["result"]["_source"]["text"] == "thank you"), "{name}: {got:?}");
    }
    dashboard.join().unwrap();
    host.terminate().is_clean();
}

/// curl against a host; its standard output.
fn curl(host: &mut Host, path: &str, arguments: &[&str]) -> String {
    let url = format!("http://{}{path}", host.address("http-ws"));
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "30"]).args(arguments).arg(url);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn curl_is_served() {
    if !has("curl_is_served", "curl") {
        return;
    }
    let installation = Installation::new();
    installation.http_ws();
    let mut host = Host::start(&installation);
    let json = |text: &str| -> Value { serde_json::from_str(text).unwrap() };
    assert!(json(&curl(&mut host, "/_now", &[]))["result"]["now"].is_u64());
    assert!(json(&curl(&mut host, "/_now", &["--compressed"]))["result"]["now"].is_u64());
    assert!(json(&curl(&mut host, "/_now", &["--http1.0"]))["result"]["now"].is_u64());
    let head = curl(&mut host, "/", &["--head"]);
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let publish = "/nyc/taxis/_publish";
    let content = "Content-Type: application/json";
    let answers = [
        curl(&mut host, publish, &["--json", "{\"seats\":4}"]),
        curl(&mut host, publish, &["--data", "seats=4&name=taxi"]),
        curl(&mut host, publish, &["--form", "seats=4", "--form", "plan=@-;filename=plan.txt"]),
        curl(
            &mut host,
            publish,
            &["--header", content, "--header", "Transfer-Encoding: chunked", "--data", "{}"],
        ),
        // More than the body that curl asks for leave to send.
        curl(
            &mut host,
            publish,
            &["--header", "Expect: 100-continue", "--data", &format!("x={}", "y".repeat(100_000))],
        ),
    ];
    for answer in answers {
        assert_eq!(json(&answer)["result"], json!({ "published": true }), "{answer}");
    }
    let large = installation.home().join("large");
    std::fs::write(&large, vec![b' '; 2 << 20]).unwrap();
    let data = format!("@{}", large.display());
    let refused = curl(&mut host, publish, &["--header", content, "--data-binary", &data]);
    assert_eq!(json(&refused)["id"], "network.http.request_too_large");
    host.terminate().is_clean();
}
