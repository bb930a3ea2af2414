//! The configuration as its users see it.

use super::*;
use crate::diagnostics::Id;

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn home(kuzzlerc: Option<&str>) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(home.path().join("a/b")).unwrap();
    // An own file at the top, so that the search does not leave the folder of this test.
    std::fs::write(home.path().join(".kuzzlerc"), kuzzlerc.unwrap_or("{}")).unwrap();
    home
}

fn wrong(kuzzlerc: &str, pairs: &[(&str, &str)]) -> Vec<Diagnostic> {
    let home = home(Some(kuzzlerc));
    load(home.path(), variables(pairs)).unwrap_err()
}

#[test]
fn has_kuzzles_defaults() {
    let config = Config::default();
    assert_eq!(config.server_host(), "127.0.0.1");
    assert_eq!(config.server_port(), 7512);
    assert_eq!(config.init_timeout(), Duration::from_secs(120));
    assert_eq!(config.shutdown_timeout(), Duration::from_secs(5));
    assert_eq!(config.max_request_size(), 1 << 20);
    assert_eq!(config.limits().concurrent_requests, 100);
    assert_eq!(config.limits().requests_buffer_size, 50_000);
    assert_eq!(config.limits().subscription_rooms, 1_000_000);
    assert_eq!(config.limits().subscription_conditions_count, 100);
    assert_eq!(config.protocol("udp"), None);
}

#[test]
fn the_nearest_file_is_found_above_the_home_and_may_hold_comments() {
    let top = home(Some("// why\n{ /* a */ \"server\": { \"port\": 9, }, }"));
    let config = load(&top.path().join("a/b"), variables(&[])).unwrap();
    assert_eq!(config.server_port(), 9);
    std::fs::write(top.path().join("a/.kuzzlerc"), "{}").unwrap();
    let config = load(&top.path().join("a/b"), variables(&[])).unwrap();
    assert_eq!(config.server_port(), 7512);
}

#[test]
fn the_environment_wins_over_the_file_and_keeps_the_case_of_keys() {
    let home = home(Some(r#"{"server": {"port": 1, "protocols": {"udp": {"a": [1, 2], "keep": true}}}}"#));
    let environment = [
        ("kuzzle_server__port", "9000"),
        ("kuzzle_server__maxRequestSize", "2MB"),
        ("kuzzle_server__protocols__udp__allowPubSub", "true"),
        ("kuzzle_server__protocols__udp__a", "*json:[3]"),
        ("kuzzle_server__protocols__udp__ratio", "-1.5"),
        ("kuzzle_server__protocols__udp__apiVersion", "2"),
        ("kuzzle_server_port", "5"),
        ("KUZZLE_server__port", "6"),
    ];
    let config = load(home.path(), variables(&environment)).unwrap();
    assert_eq!(config.server_port(), 9000);
    assert_eq!(config.max_request_size(), 2 << 20);
    assert_eq!(
        config.protocol("udp").unwrap(),
        &json!({"a": [3], "keep": true, "allowPubSub": true, "apiVersion": "2", "ratio": -1.5})
    );
}

#[test]
fn a_protocol_sees_its_own_sections_without_the_hosts_keys() {
    let home = home(Some(
        r#"{"server": {"protocols": {"udp": {"enabled": true, "onPanic": "abort", "realtimeNotifications": true, "maxConnections": 9,
            "port": 7}, "mqtt": {"password": "x"}, "none": null}}}"#,
    ));
    let config = load(home.path(), variables(&[])).unwrap();
    let sections = ["udp".to_owned(), "none".to_owned(), "absent".to_owned()];
    let server: Value = serde_json::from_str(&config.server_json_for(&sections)).unwrap();
    assert_eq!(server["protocols"], json!({"udp": {"port": 7}, "none": {}, "absent": {}}));
    assert_eq!(server["port"], 7512);
    assert_eq!(config.options_for(&sections), server["protocols"]);
}

#[test]
fn one_of_several_sections_that_is_switched_off_is_null() {
    let home = home(Some(
        r#"{"server": {"protocols": {"http": {"enabled": false, "a": 1}, "websocket": {"b": 2}}}}"#,
    ));
    let config = load(home.path(), variables(&[])).unwrap();
    let both = ["http".to_owned(), "websocket".to_owned()];
    assert_eq!(config.options_for(&both), json!({"http": null, "websocket": {"b": 2}}));
    assert_eq!(config.options_for(&both[..1]), json!({"http": {"a": 1}}));
}

#[test]
fn the_options_of_protocols_are_not_judged_here() {
    let home =
        home(Some(r#"{"server": {"protocols": {"coap": 5, "mqtt": {"enabled": "yes", "onPanic": 1}}}}"#));
    let config = load(home.path(), variables(&[])).unwrap();
    let (file, place) = config.source(&["server", "protocols", "mqtt", "onPanic"]).unwrap();
    assert!(file.ends_with(".kuzzlerc") && place.contains(", line 1, column 76: `{\"server\""), "{place}");
}

#[test]
fn a_file_that_is_no_json_names_file_line_and_column() {
    let diagnostics = wrong("{\n  \"server\": }", &[]);
    assert_eq!(diagnostics.len(), 1);
    assert_eq!(diagnostics[0].id, Id::ConfigurationCannotParse);
    assert!(diagnostics[0].message.contains("line 2, column"), "{}", diagnostics[0].message);
    assert!(diagnostics[0].path.ends_with(".kuzzlerc"));
    for text in ["[1]", "port=1", "{'a': 1}", "{} {}"] {
        assert_eq!(wrong(text, &[])[0].id, Id::ConfigurationCannotParse, "{text}");
    }
}

#[test]
fn a_bad_json_variable_is_named_and_its_value_is_not_printed() {
    let diagnostics = wrong("{}", &[("kuzzle_server__protocols__udp__key", "*json:{secret")]);
    assert_eq!(diagnostics[0].id, Id::ConfigurationCannotParse);
    assert!(diagnostics[0].message.contains("kuzzle_server__protocols__udp__key"));
    assert!(!format!("{diagnostics:?}").contains("secret"));
}

#[test]
fn wrong_types_of_used_keys_name_their_source() {
    let diagnostics = wrong("{\n \"server\": {\"host\": 5,\n  \"port\": \"no\"}}", &[]);
    assert_eq!(diagnostics.len(), 2);
    assert!(diagnostics.iter().all(|d| d.id == Id::ConfigurationInvalidType));
    assert!(diagnostics[1].message.contains("server.port"), "{}", diagnostics[1].message);
    assert!(diagnostics[1].message.contains("line 3, column"), "{}", diagnostics[1].message);
    let diagnostics = wrong("{}", &[("kuzzle_server__port", "70000")]);
    assert_eq!(diagnostics[0].id, Id::ConfigurationOutOfRange);
    assert!(diagnostics[0].message.contains("kuzzle_server__port"));
    let diagnostics = wrong("{}", &[("kuzzle_limits", r#"*json:{"concurrentRequests": "x"}"#)]);
    assert!(diagnostics[0].message.contains("variable kuzzle_limits)"), "{}", diagnostics[0].message);
    for (name, value) in [
        ("kuzzle_server", "1"),
        ("kuzzle_server__protocols", "x"),
        ("kuzzle_server__port", "7512.5"),
        ("kuzzle_server__maxRequestSize", "big"),
        ("kuzzle_limits__concurrentRequests", "true"),
        ("kuzzle_limits", "none"),
        ("kuzzle_server__protocolTrust__roots", "/x"),
    ] {
        let diagnostics = wrong("{}", &[(name, value)]);
        assert_eq!(diagnostics.len(), 1, "{name}: {diagnostics:?}");
        assert_eq!(diagnostics[0].id, Id::ConfigurationInvalidType, "{name}");
    }
}

#[test]
fn later_sources_win_and_every_value_knows_its_own() {
    let root = home(None);
    let root = root.path().canonicalize().unwrap();
    let (machine, user, site) = (root.join("etc"), root.join("user"), root.join("a/b"));
    let write = |path: std::path::PathBuf, text: &str| {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let file = |server: &str| format!("{{\"server\": {{{server}}}}}");
    write(
        machine.join("kuzzlerc"),
        &file(r#""p1": 1, "p2": 1, "p3": 1, "p4": 1, "p5": 1, "p6": 1, "only": 1"#),
    );
    write(user.join(".kuzzlerc"), &file(r#""p2": 2, "p3": 2, "p4": 2, "p5": 2, "p6": 2"#));
    write(root.join("a/.kuzzlerc"), &file(r#""p3": 3, "p4": 3, "p5": 3, "p6": 3, "list": [1, 2]"#));
    write(root.join("named"), &file(r#""p4": 4, "p5": 4, "p6": 4, "list": [3]"#));
    write(root.join("given"), &file(r#""p5": 5, "p6": "5""#));
    let sources = Sources {
        machine: Some(machine.clone()),
        user: Some(user),
        environment: variables(&[
            ("kuzzle_config", root.join("named").to_str().unwrap()),
            ("kuzzle_server__p6", "6"),
            ("kuzzle_server__p7", "6"),
        ]),
        file: Some(root.join("given")),
        flags: variables(&[("server.p7", "6"), ("server.p7", "7")]),
        ..Sources::default()
    };
    let (config, _) = load_from(&site, &sources);
    for number in 1..=7 {
        assert_eq!(config.get(&["server", &format!("p{number}")]), Some(&json!(number)));
    }
    assert_eq!(config.get(&["server", "list"]), Some(&json!([3])));
    assert_eq!(config.get(&["server", "only"]), Some(&json!(1)));
    let origin = |key: &str| config.origin(&["server", key]).unwrap();
    assert_eq!(origin("p1"), Origin::File { path: machine.join("kuzzlerc"), line: 1, column: 19 });
    assert_eq!(origin("p5"), Origin::File { path: root.join("given"), line: 1, column: 19 });
    assert_eq!(origin("p6"), Origin::Environment("kuzzle_server__p6".to_owned()));
    assert_eq!(origin("p7"), Origin::Flag("--set server.p7".to_owned()));
    assert_eq!(origin("host"), Origin::Default);
    assert_eq!(config.origin(&["server", "nothing"]), None);
}

#[test]
fn a_file_that_is_named_and_absent_is_an_error() {
    let home = home(None);
    let absent = home.path().join("absent");
    let by_flag = Sources { file: Some(absent.clone()), ..Sources::default() };
    let by_variable = Sources::of_environment(variables(&[("kuzzle_config", absent.to_str().unwrap())]));
    for sources in [by_flag, by_variable] {
        let told = load_from(home.path(), &sources).1;
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!((told[0].id, told[0].path.as_path()), (Id::ConfigurationCannotParse, absent.as_path()));
    }
}

#[test]
fn no_diagnostic_prints_a_secret() {
    for text in [
        r#"{"server": {"port": "x", "apiKey": "hunter2"}, "password": "hunter2", "jwt": {"a": "hunter2"}}"#,
        r#"{"security": {"jwt": {"secret": "hunter2" "x": 1}}}"#,
        r#"{"server": {"token": "*json:hunter2"}}"#,
        r#"{"url": "redis://me:hunter2@host", "server": 5}"#,
    ] {
        let diagnostics = load_all(home(Some(text)).path(), []).1;
        assert!(
            !diagnostics.is_empty() && !format!("{diagnostics:?}").contains("hunter2"),
            "{diagnostics:?}"
        );
    }
    let sources = Sources { flags: variables(&[("server.token", "*json:hunter2")]), ..Sources::default() };
    let diagnostics = load_from(home(None).path(), &sources).1;
    assert!(!format!("{diagnostics:?}").contains("hunter2"), "{diagnostics:?}");
}

#[test]
fn a_variable_that_is_no_text_is_an_error() {
    let sources = Sources { unreadable: vec!["kuzzle_server__host".to_owned()], ..Sources::default() };
    let told = load_from(home(None).path(), &sources).1;
    assert!(told[0].is_error() && told[0].message.contains("kuzzle_server__host"), "{told:?}");
}
