//! Other people's clients against the sample protocol `mqtt`.

use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};

use kuzzle_tests::{Host, Installation, has_mosquitto, node_with_mqtt, python_with_paho, root};
use serde_json::{Value, json};

fn start() -> (Installation, Host, SocketAddr) {
    start_with(&json!({ "allowPubSub": true }))
}

fn start_with(options: &Value) -> (Installation, Host, SocketAddr) {
    let installation = Installation::new();
    installation.mqtt().options("mqtt", options);
    let mut host = Host::start(&installation);
    let address = host.address("mqtt");
    (installation, host, address)
}

fn succeeds(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().unwrap();
    let [stdout, stderr] = [stdout, stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(status.success(), "{command:?} ended with {status}\n{stdout}\n{stderr}");
    stdout
}

fn mosquitto(program: &str, version: &str, address: SocketAddr, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(["-V", version, "-h", &address.ip().to_string(), "-p", &address.port().to_string()]);
    command.args(arguments);
    command
}

const VERSIONS: [&str; 3] = ["mqttv31", "mqttv311", "mqttv5"];

#[test]
fn mosquitto_clients_of_each_version_talk_to_each_other() {
    if !has_mosquitto("mosquitto_clients_of_each_version_talk_to_each_other") {
        return;
    }
    let (_installation, host, address) = start();
    for publisher in VERSIONS {
        for qos in ["0", "1", "2"] {
            let topic = format!("from/{publisher}/{qos}");
            let payload = format!("{publisher} {qos}");
            let arguments = ["-t", &topic, "-q", qos, "-m", &payload, "-r"];
            succeeds(&mut mosquitto("mosquitto_pub", publisher, address, &arguments));
            for subscriber in VERSIONS {
                let arguments = ["-t", &topic, "-q", "2", "-C", "1", "-W", "20", "-F", "%t %q %r %p"];
                let got = succeeds(&mut mosquitto("mosquitto_sub", subscriber, address, &arguments));
                assert_eq!(got.trim(), format!("{topic} {qos} 1 {payload}"));
            }
        }
    }
    host.terminate().is_clean();
}

#[test]
fn mosquitto_clients_send_many_messages_and_large_ones() {
    let test = "mosquitto_clients_send_many_messages_and_large_ones";
    if !has_mosquitto(test) {
        return;
    }
    let (_installation, host, address) = start();
    for version in VERSIONS {
        // A session that is kept gets what is published while the subscriber is away.
        let id = format!("away-{}", &version[4..]);
        let expiry = ["-x", "600"];
        let session = ["-c", "-i", &id, "-t", "many", "-q", "2"];
        let session = if version == "mqttv5" { [&session[..], &expiry].concat() } else { session.to_vec() };
        succeeds(&mut mosquitto("mosquitto_sub", version, address, &[&session[..], &["-E"]].concat()));
        let lines: String = (0..300).map(|number| format!("{number}\n")).collect();
        let file = host.home().join("lines");
        std::fs::write(&file, &lines).unwrap();
        let mut publisher = mosquitto("mosquitto_pub", version, address, &["-t", "many", "-q", "2", "-l"]);
        let status = publisher.stdin(std::fs::File::open(&file).unwrap()).status().unwrap();
        assert!(status.success());
        let arguments = [&session[..], &["-C", "300", "-W", "20"]].concat();
        assert_eq!(succeeds(&mut mosquitto("mosquitto_sub", version, address, &arguments)), lines);
    }
    let large = "0123456789".repeat(100_000);
    let file = host.home().join("large");
    std::fs::write(&file, &large).unwrap();
    let arguments = ["-t", "large", "-q", "1", "-r", "-f", file.to_str().unwrap()];
    succeeds(&mut mosquitto("mosquitto_pub", "mqttv5", address, &arguments));
    let arguments = ["-t", "large", "-q", "1", "-C", "1", "-W", "20"];
    let got = succeeds(&mut mosquitto("mosquitto_sub", "mqttv311", address, &arguments));
    assert!(got.trim_end() == large, "{} bytes came", got.len());
}

#[test]
fn mosquitto_asks_and_is_answered() {
    if !has_mosquitto("mosquitto_asks_and_is_answered") {
        return;
    }
    // With the options as they are.
    let (_installation, _host, address) = start_with(&json!({}));
    for (version, topic) in [("mqttv5", "an/answer/for/me"), ("mqttv311", "Kuzzle/response")] {
        let request = r#"{"controller":"server","action":"now","requestId":"rr"}"#;
        let arguments = ["-t", "Kuzzle/request", "-e", topic, "-m", request, "-W", "20"];
        let got = succeeds(&mut mosquitto("mosquitto_rr", version, address, &arguments));
        let answer: Value = serde_json::from_str(got.trim()).unwrap();
        assert_eq!((&answer["requestId"], &answer["status"]), (&json!("rr"), &json!(200)), "{answer}");
    }
}

#[test]
fn paho_clients_of_each_version_talk_to_each_other() {
    let Some(python) = python_with_paho("paho_clients_of_each_version_talk_to_each_other") else { return };
    let (_installation, host, address) = start();
    let mut command = Command::new(python);
    command.arg(root().join("tests/mqtt/paho_clients.py"));
    let output = succeeds(command.args([address.ip().to_string(), address.port().to_string()]));
    assert_eq!(output.trim(), "done");
    host.terminate().is_clean();
}

#[test]
fn node_clients_of_each_version_talk_to_each_other() {
    let Some(modules) = node_with_mqtt("node_clients_of_each_version_talk_to_each_other") else { return };
    let (_installation, host, address) = start();
    let mut command = Command::new("node");
    command.arg(root().join("tests/mqtt/node_clients.js")).env("NODE_PATH", modules);
    let output = succeeds(command.args([address.ip().to_string(), address.port().to_string()]));
    assert_eq!(output.trim(), "done");
    host.terminate().is_clean();
}
