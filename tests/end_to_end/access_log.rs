//! The access log: a line for each answer, in each format, whatever clients send; rotation.

use std::fs;
use std::path::{Path, PathBuf};

use kuzzle_tests::{Client, Host, Installation, LineClient, UdpClient, cc, wait_for};
use serde_json::{Value, json};

const NOW: &str = r#"{"controller":"server","action":"now","requestId":"r"}"#;

fn lines(file: &Path) -> Vec<String> {
    fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn wait_lines(file: &Path, number: usize) -> Vec<String> {
    wait_for(&format!("{number} lines in {}", file.display()), || {
        Some(lines(file)).filter(|lines| lines.len() >= number)
    })
}

/// An installation with `line` and `udp`, and an access log in each format: combined, JSON.
fn logging(test: &str) -> Option<(Installation, PathBuf, PathBuf)> {
    let compiler = cc(test)?;
    let installation = Installation::new();
    installation.line(&compiler).udp();
    installation.configure(&json!({ "server": { "logs": { "transports": [
        { "transport": "file" },
        { "transport": "file", "filename": "json.log", "format": "json" },
    ] } } }));
    let (combined, json) =
        (installation.home().join("kuzzle.access.log"), installation.home().join("json.log"));
    Some((installation, combined, json))
}

/// Parts of a combined line: `IP - USER [DATE] "REQUEST" STATUS SIZE REFERER AGENT`.
fn parts(line: &str) -> [String; 5] {
    let (ip, rest) = line.split_once(" - ").unwrap_or_else(|| panic!("{line}"));
    let (user, rest) = rest.split_once(" [").unwrap_or_else(|| panic!("{line}"));
    let (date, rest) = rest.split_once("] \"").unwrap_or_else(|| panic!("{line}"));
    let (request, rest) = rest.rsplit_once("\" ").unwrap_or_else(|| panic!("{line}"));
    assert!(date.ends_with(" +0000") && date.len() == "24/Nov/2026:03:00:00 +0000".len(), "{line}");
    [ip, user, request, rest, date].map(str::to_owned)
}

#[test]
fn there_is_none_unless_somebody_asks_for_it() {
    let Some(compiler) = cc("there_is_none_unless_somebody_asks_for_it") else { return };
    let installation = Installation::new();
    installation.line(&compiler);
    let mut host = Host::start(&installation);
    LineClient::connect(host.address("line")).is_served();
    let ended = host.terminate();
    ended.is_clean();
    assert!(!installation.home().join("kuzzle.access.log").exists());
    assert!(!ended.log.contains("/server/now"), "{}", ended.log);
}

#[test]
fn every_answer_is_a_line_with_its_status_and_size() {
    let Some((_installation, combined, json)) = logging("every_answer_is_a_line_with_its_status_and_size")
    else {
        return;
    };
    let mut host = Host::start(&_installation);
    let mut line = LineClient::connect(host.address("line"));
    let mut udp = UdpClient::connect(host.address("udp"));
    // The protocol appends the room to what it got from the host.
    let size = |answer: &Value| {
        let mut answer = answer.clone();
        answer.as_object_mut().unwrap().remove("room");
        answer.to_string().len()
    };
    let served = line.request(&json!({ "controller": "server", "action": "now", "requestId": "r" }));
    let unknown = udp.request(&json!({ "controller": "no", "action": "x", "index": "i", "size": 1 }));
    let all = wait_lines(&combined, 2);
    assert_eq!(
        parts(&all[0])[..4],
        ["127.0.0.1", "(anonymous)", "DO /server/now LINE", &format!("200 {} - -", size(&served))]
    );
    assert_eq!(parts(&all[1])[2..4], ["DO /no/x/i?size=1 UDP", &format!("404 {} - -", size(&unknown))]);

    let all: Vec<Value> =
        wait_lines(&json, 2).iter().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    assert_eq!((&all[0]["protocol"], &all[0]["status"]), (&json!("line"), &json!(200)));
    assert_eq!((&all[0]["size"], &all[0]["error"]), (&json!(size(&served)), &Value::Null));
    assert_eq!(all[0]["connection"]["ips"], json!(["127.0.0.1"]));
    assert_eq!(all[1]["error"]["id"], "api.process.controller_not_found");
    assert_eq!(all[1]["request"], json!({ "controller": "no", "action": "x", "index": "i", "size": 1 }));
}

#[test]
fn what_a_protocol_answers_by_itself_is_logged_once() {
    let Some((installation, combined, _)) = logging("what_a_protocol_answers_by_itself_is_logged_once")
    else {
        return;
    };
    let mut host = Host::start(&installation);
    let mut line = LineClient::connect(host.address("line"));
    for wrong in ["nonsense", "[]", "{\"controller\":1}"] {
        line.send_text(wrong);
        assert_eq!(line.receive()["status"], 400);
    }
    line.is_served();
    host.terminate().is_clean();
    let all = lines(&combined);
    assert_eq!(all.len(), 4, "{all:?}");
    for refused in &all[..3] {
        assert_eq!(parts(refused)[..3], ["127.0.0.1", "(unknown)", "DO - LINE"]);
        assert!(parts(refused)[3].starts_with("400 "), "{refused}");
    }
}

#[test]
fn hostile_strings_make_no_lines_and_secrets_are_left_out() {
    let Some((installation, combined, json)) =
        logging("hostile_strings_make_no_lines_and_secrets_are_left_out")
    else {
        return;
    };
    let mut host = Host::start(&installation);
    let mut line = LineClient::connect(host.address("line"));
    let hostile = "x\" 200 0 - -\r\n127.0.0.1 - (anonymous) [forged]\u{1b}[2J\u{202e}\u{2028}\\";
    for request in [
        json!({ "controller": hostile, "action": "now" }),
        json!({ "controller": "server", "action": hostile, "index": hostile, "_id": hostile }),
        json!({ "controller": "server", "action": "now", hostile: hostile }),
        json!({ "controller": "server", "action": "now", "jwt": "HIDDEN" }),
        json!({ "controller": "auth", "action": "login", "token": "HIDDEN",
                "body": { "username": "somebody", "password": "HIDDEN" } }),
    ] {
        line.request(&request);
    }
    host.terminate().is_clean();
    for file in [&combined, &json] {
        let text = fs::read_to_string(file).unwrap();
        assert_eq!(text.lines().count(), 5, "{text}");
        let harmful = |character: char| {
            character != '\n' && (character.is_control() || "\u{202e}\u{2028}".contains(character))
        };
        assert!(!text.contains(harmful), "{text:?}");
        assert!(!text.contains("HIDDEN"), "{text}");
    }
    for text in lines(&combined) {
        assert_eq!(parts(&text)[0], "127.0.0.1", "{text}");
    }
    let last: Value = serde_json::from_str(&lines(&json)[4]).unwrap();
    assert_eq!(last["request"]["body"]["username"], "somebody");
}

#[test]
fn rotation_loses_nothing() {
    let Some((installation, combined, _)) = logging("rotation_loses_nothing") else { return };
    let mut host = Host::start(&installation);
    let mut line = LineClient::connect(host.address("line"));
    let renamed = |number: usize| installation.home().join(format!("access.{number}"));
    const ROTATIONS: usize = 5;
    const EACH: usize = 200;
    for rotation in 0..ROTATIONS {
        for _ in 0..EACH {
            line.send_text(NOW);
        }
        fs::rename(&combined, renamed(rotation)).unwrap();
        host.signal("HUP");
        for _ in 0..EACH {
            assert_eq!(line.receive()["status"], 200);
        }
        wait_for("the new file", || combined.exists().then_some(()));
    }
    line.is_served();
    wait_lines(&combined, 1);
    host.terminate().is_clean();
    let files = (0..ROTATIONS).map(renamed).chain([combined.clone()]);
    let total: usize = files.map(|file| lines(&file).len()).sum();
    assert_eq!(total, ROTATIONS * EACH + 1);
    assert!(lines(&combined).last().unwrap().contains("/server/now"));
}

#[test]
fn a_file_that_can_not_be_opened_anew_is_kept() {
    let Some((installation, combined, _)) = logging("a_file_that_can_not_be_opened_anew_is_kept") else {
        return;
    };
    let mut host = Host::start(&installation);
    let mut line = LineClient::connect(host.address("line"));
    line.is_served();
    wait_lines(&combined, 1);
    let renamed = installation.home().join("renamed");
    fs::rename(&combined, &renamed).unwrap();
    fs::create_dir(&combined).unwrap();
    host.signal("HUP");
    let told = host.wait_log("the access log can not be opened anew");
    assert!(told.contains("kuzzle.access.log") && told.contains("directory"), "{told}");
    line.is_served();
    wait_lines(&renamed, 2);
}

#[test]
fn a_file_that_can_not_be_opened_refuses_to_start() {
    let installation = Installation::new();
    let transport = json!({ "transport": "file", "filename": "no/such/folder/access.log" });
    installation.configure(&json!({ "server": { "logs": { "transports": [transport] } } }));
    let refused = Host::refused(&installation);
    assert_eq!(refused.status, Some(78), "{}", refused.log);
    for text in [
        "error[network.access_log.cannot_open]",
        "no/such/folder/access.log",
        "No such file",
        "server.logs.transports",
    ] {
        assert!(refused.log.contains(text), "{text:?} is not in the log:\n{}", refused.log);
    }
}

#[test]
fn a_pipe_that_nobody_reads_refuses_to_start() {
    let Some((installation, combined, _)) = logging("a_pipe_that_nobody_reads_refuses_to_start") else {
        return;
    };
    assert!(std::process::Command::new("mkfifo").arg(&combined).status().unwrap().success());
    let host = Host::refused(&installation);
    assert_eq!(host.status, Some(78), "{}", host.log);
    assert!(host.log.contains("network.access_log.cannot_open"), "{}", host.log);
}

#[test]
fn the_console_is_standard_error() {
    let Some(compiler) = cc("the_console_is_standard_error") else { return };
    let installation = Installation::new();
    installation.line(&compiler);
    installation.configure(&json!({ "server": { "logs": {
        "transports": [{ "transport": "console" }], "accessLogFormat": "logstash",
    } } }));
    let mut host = Host::start(&installation);
    LineClient::connect(host.address("line")).is_served();
    let logged = host.wait_log("kuzzle:accessLogs");
    assert_eq!(serde_json::from_str::<Value>(&logged).unwrap()["request"]["action"], "now");
    assert_eq!(host.terminate().is_clean().output, "");
}
