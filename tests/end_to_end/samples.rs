//! The sample protocols: configuration, and several from one library.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use kuzzle_tests::{
    Client, Host, Installation, LineClient, Report, UdpClient, c_library, cc, has, root, rust_library,
};
use serde_json::{Value, json};

/// A port that was free a moment ago.
fn free_udp_port() -> u16 {
    std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn install_udp_as(installation: &Installation, names: &[&str]) {
    for name in names {
        installation.rust(name, "kuzzle_protocol_udp").options(name, &json!({ "port": 0 }));
    }
}

#[test]
fn two_protocols_of_one_library_serve_separately() {
    let installation = Installation::new();
    install_udp_as(&installation, &["udp-a", "udp-b"]);
    installation.options("udp-b", &json!({ "maxClients": 1 }));
    let mut host = Host::start(&installation);
    let (a, b) = (host.address("udp-a"), host.address("udp-b"));
    assert_ne!(a, b);
    let mut of_a = [UdpClient::connect(a), UdpClient::connect(a)];
    let mut of_b = UdpClient::connect(b);
    of_a.iter_mut().for_each(Client::is_served);
    of_b.is_served();
    // Options and statics are each one's own.
    let refused = UdpClient::connect(b).request(&json!({ "controller": "server", "action": "now" }));
    assert_eq!(refused["status"], 503, "{refused}");
    // So are names: a message tells through which protocol it came.
    of_a[0].subscribe("i", "c");
    of_b.send(&json!({
        "controller": "realtime", "action": "publish", "index": "i", "collection": "c", "body": {}
    }));
    assert_eq!(of_a[0].receive()["protocol"], "udp-b");
    assert_eq!(of_b.receive()["status"], 200);
    host.terminate().is_clean();
}

#[test]
fn two_protocols_of_one_sdk_run_their_own_code() {
    let installation = Installation::new();
    installation.rust("panicky", "kuzzle_fixture_panicky").rust("queueing", "kuzzle_fixture_queueing");
    install_udp_as(&installation, &["udp"]);
    let mut host = Host::start(&installation);
    assert!(host.wait_log("answered what broadcast asked").contains("protocol=queueing"));
    let mut panicky = UdpClient::connect(host.address("panicky"));
    let answer = panicky.request(&json!({ "controller": "server", "action": "now" }));
    assert!(answer.get("room").is_none(), "panicky appends no room, udp does: {answer}");
    UdpClient::connect(host.address("udp")).is_served();
    let host = host.terminate();
    host.is_clean();
    let line = host.log.lines().nth(host.line_of("panicky is shut down")).unwrap();
    assert!(line.contains("protocol=panicky"), "{line}");
}

#[test]
fn the_same_file_twice_is_refused() {
    let installation = Installation::new();
    install_udp_as(&installation, &["udp-a", "udp-b"]);
    std::fs::remove_file(installation.library("udp-b")).unwrap();
    std::fs::hard_link(installation.library("udp-a"), installation.library("udp-b")).unwrap();
    let host = Host::refused(&installation);
    assert_eq!(host.status, Some(78), "{}", host.log);
    assert!(host.log.contains("protocol.discovery.same_file"), "{}", host.log);
}

#[test]
fn a_port_can_be_set_in_kuzzlerc() {
    let installation = Installation::new();
    let port = free_udp_port();
    installation.udp().options("udp", &json!({ "port": port }));
    let mut host = Host::start(&installation);
    assert_eq!(host.address("udp").port(), port);
    UdpClient::connect(host.address("udp")).is_served();
}

#[test]
fn a_port_in_the_environment_wins_over_kuzzlerc() {
    let installation = Installation::new();
    let port = free_udp_port();
    installation.udp().options("udp", &json!({ "port": "no port" }));
    let mut host = Host::spawn_with(&installation, |command| {
        command.env("kuzzle_server__protocols__udp__port", port.to_string())
    });
    assert_eq!(host.address("udp").port(), port);
}

#[test]
fn options_that_break_the_schema_are_refused_by_check_and_start() {
    let installation = Installation::new();
    installation.udp().options("udp", &json!({ "port": 65_536 }));
    let report = kuzzle_tests::Report::of(installation.home(), &[]);
    assert_eq!(report.status, Some(78), "{report:?}");
    assert_eq!(report.ids("udp"), ["protocol.config.invalid"].into());
    let host = Host::refused(&installation);
    assert_eq!(host.status, Some(78), "{}", host.log);
    assert!(host.log.contains("protocol.config.invalid") && host.log.contains("port"), "{}", host.log);
}

#[test]
fn a_port_that_is_taken_refuses_to_start_and_is_named() {
    let installation = Installation::new();
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    installation.udp().options("udp", &json!({ "port": port }));
    let host = Host::refused(&installation);
    assert_eq!(host.status, Some(78), "{}", host.log);
    assert!(host.log.contains("protocol.runtime.init_failed"), "{}", host.log);
    assert!(host.log.contains(&port.to_string()), "{}", host.log);
}

#[test]
fn a_protocol_that_is_switched_off_by_configuration_does_not_serve() {
    let Some(compiler) = cc("a_protocol_that_is_switched_off_by_configuration_does_not_serve") else {
        return;
    };
    let installation = Installation::new();
    installation.line(&compiler).udp().options("udp", &json!({ "enabled": false }));
    let mut host = Host::start(&installation);
    let ready = host.wait_ready();
    let names: Vec<_> = ready["protocols"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, [&Value::from("line")]);
    let report = kuzzle_tests::Report::of(installation.home(), &[]);
    assert_eq!((report.status, &report.entry("udp")["status"]), (Some(0), &json!("disabled")));
}

#[test]
fn the_address_follows_the_servers_host() {
    let Some(compiler) = cc("the_address_follows_the_servers_host") else { return };
    let installation = Installation::new();
    installation.line(&compiler).udp().configure(&json!({ "server": { "host": "127.0.0.2" } }));
    installation.options("udp", &json!({ "host": "127.0.0.3" }));
    let mut host = Host::start(&installation);
    assert_eq!(host.address("line").ip().to_string(), "127.0.0.2");
    assert_eq!(host.address("udp").ip().to_string(), "127.0.0.3");
    LineClient::connect(host.address("line")).is_served();
}

#[test]
fn line_passes_the_tests_that_it_brings_along() {
    let test = "line_passes_the_tests_that_it_brings_along";
    if cc(test).is_none() || !has(test, "make") || !has(test, "python3") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("line");
    let copied =
        Command::new("cp").arg("-r").arg(root().join("sample-protocols/line")).arg(&copy).status().unwrap();
    assert!(copied.success());
    let mut make = Command::new("make");
    make.arg("-C").arg(copy).args(["clean", "test"]);
    let output =
        make.arg(format!("INCLUDE={}", root().join("protocol-abi/include").display())).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn check_has_nothing_to_say_of_any_sample() {
    let Some(compiler) = cc("check_has_nothing_to_say_of_any_sample") else { return };
    let installation = Installation::new();
    let mut names = Vec::new();
    for entry in fs::read_dir(root().join("sample-protocols")).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        installation.manifest(&name);
        fs::copy(folder.join("manifest.json"), installation.available(&name).join("manifest.json")).unwrap();
        if folder.join("Cargo.toml").exists() {
            let library = rust_library(&format!("kuzzle_protocol_{}", name.replace('-', "_")));
            fs::copy(library, installation.library(&name)).unwrap();
        } else {
            let is_source = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "c");
            let files = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).filter(is_source);
            let sources: Vec<_> = files.map(|file| file.to_str().unwrap().to_owned()).collect();
            let sources: Vec<_> = sources.iter().map(String::as_str).collect();
            c_library(&compiler, &sources, &[], &installation.library(&name));
        }
        installation.enable(&name);
        names.push(name);
    }
    assert!(names.len() >= 2, "{names:?}");
    let report = Report::of(installation.home(), &["--strict"]);
    assert_eq!((report.status, &report.document["diagnostics"]), (Some(0), &json!([])), "{report:?}");
    for name in names {
        assert_eq!(report.diagnostics(&name), [] as [Value; 0]);
    }
}
