//! Faults of manifests, and where they say the library is.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use kuzzle_host::config;
use kuzzle_host::installation::target::Surroundings;
use kuzzle_host::installation::{Status, survey_in};
use serde_json::{Value, json};

use crate::home::{Home, entry, good, has_cc, ids, minimal, set};

const LIBRARY_MISSING: &str = "protocol.library.not_found";

/// The ids for a manifest with these bytes, without those of the absent library.
fn told(manifest: &[u8]) -> Vec<&'static str> {
    let home = Home::new();
    home.add("p");
    fs::write(home.folder("p").join("manifest.json"), manifest).unwrap();
    let survey = home.survey();
    let mut ids = ids(entry(&survey, "p"));
    assert!(ids.remove(LIBRARY_MISSING), "a bad manifest hides nothing");
    ids.into_iter().collect()
}

#[test]
fn what_is_no_manifest_can_not_be_loaded() {
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let large = format!("{{\"name\":\"p\",\"description\":\"{}\"}}", "x".repeat(1 << 20));
    for manifest in [
        &b""[..],
        b"null",
        b"[]",
        b"42",
        b"{",
        b"{\"name\": \"\xff\"}",
        b"{} {}",
        deep.as_bytes(),
        large.as_bytes(),
    ] {
        assert_eq!(told(manifest), ["plugin.manifest.cannot_load"]);
    }
    assert_eq!(told("\u{feff}{\"name\":\"p\",\"kuzzleVersion\":\"2\"}".as_bytes()), [""; 0]);
}

#[test]
fn a_manifest_that_is_no_file_is_not_opened() {
    let home = Home::new();
    home.add("pipe").add("folder").add("absent");
    for name in ["pipe", "folder", "absent"] {
        fs::remove_file(home.folder(name).join("manifest.json")).unwrap();
    }
    let made = Command::new("mkfifo").arg(home.folder("pipe").join("manifest.json")).status();
    assert!(made.unwrap().success());
    fs::create_dir(home.folder("folder").join("manifest.json")).unwrap();
    for name in ["pipe", "folder", "absent"] {
        assert_eq!(home.ids(name), set(["plugin.manifest.cannot_load", LIBRARY_MISSING]), "{name}");
    }
}

#[test]
fn every_property_is_checked() {
    for (manifest, expected) in [
        (json!({ "name": "p", "kuzzleVersion": "2.x" }), vec![]),
        (json!({ "kuzzleVersion": "2.x" }), vec!["plugin.manifest.missing_name"]),
        (json!({ "name": null, "kuzzleVersion": "2.x" }), vec!["plugin.manifest.missing_name"]),
        (json!({ "name": "", "kuzzleVersion": "2.x" }), vec!["plugin.manifest.invalid_name_type"]),
        (json!({ "name": 7, "kuzzleVersion": "2.x" }), vec!["plugin.manifest.invalid_name_type"]),
        (json!({ "name": "a\nb", "kuzzleVersion": "2.x" }), vec!["plugin.manifest.invalid_name_type"]),
        (
            json!({ "name": "x".repeat(129), "kuzzleVersion": "2.x" }),
            vec!["plugin.manifest.invalid_name_type"],
        ),
        (json!({ "name": "fo/o é", "kuzzleVersion": "2.x" }), vec!["plugin.manifest.unusual_name"]),
        (json!({ "name": "a__b", "kuzzleVersion": "2.x" }), vec!["plugin.manifest.unusual_name"]),
        (json!({ "name": "p" }), vec!["plugin.manifest.missing_version"]),
        (json!({ "name": "p", "kuzzleVersion": null }), vec!["plugin.manifest.missing_version"]),
        (json!({ "name": "p", "kuzzleVersion": "" }), vec!["plugin.manifest.invalid_version"]),
        (json!({ "name": "p", "kuzzleVersion": 2 }), vec!["plugin.manifest.invalid_version"]),
        (json!({ "name": "p", "kuzzleVersion": ">=2.0.0, <3.0.0" }), vec!["plugin.manifest.invalid_version"]),
        (json!({ "name": "p", "kuzzleVersion": "^1.0.0" }), vec!["plugin.manifest.version_mismatch"]),
        (json!({ "name": "p", "kuzzleVersion": "2.8.0" }), vec!["plugin.manifest.version_mismatch"]),
        (json!({ "name": "p", "kuzzleVersion": "1.x || 2.x" }), vec![]),
        (
            json!({ "name": "p", "kuzzleVersion": "2", "version": 1 }),
            vec!["plugin.manifest.invalid_property"],
        ),
        (
            json!({ "name": "p", "kuzzleVersion": "2", "description": [] }),
            vec!["plugin.manifest.invalid_property"],
        ),
        (
            json!({ "name": "p", "kuzzleVersion": "2", "sections": "p" }),
            vec!["plugin.manifest.invalid_property"],
        ),
        (json!({ "name": "p", "kuzzleVersion": "2", "config": 1 }), vec!["plugin.manifest.invalid_property"]),
        (json!({ "name": "p", "kuzzleVersion": "2", "main": 1 }), vec!["plugin.manifest.invalid_property"]),
        (
            json!({ "name": "p", "kuzzleVersion": "2", "main": "/lib/p.so" }),
            vec!["plugin.manifest.invalid_property"],
        ),
        (
            json!({ "name": "p", "kuzzleVersion": "2", "main": "../p.so" }),
            vec!["plugin.manifest.invalid_property"],
        ),
        (json!({ "name": "p", "kuzzleVersion": "2", "sha256": 1 }), vec!["plugin.manifest.invalid_property"]),
        (
            json!({ "name": "p", "kuzzleVersion": "2", "kuzleVersion": "2" }),
            vec!["plugin.manifest.unknown_property"],
        ),
    ] {
        assert_eq!(told(manifest.to_string().as_bytes()), expected, "{manifest}");
    }
}

fn status(home: &Home, manifest: &Value) -> (Status, Vec<&'static str>) {
    home.manifest("p", manifest);
    let survey = home.survey();
    let entry = entry(&survey, "p");
    (entry.status, ids(entry).into_iter().collect())
}

#[test]
fn main_names_the_library_in_every_usual_way() {
    if !has_cc("main_names_the_library_in_every_usual_way") {
        return;
    }
    let home = Home::new();
    home.compiled("p", &minimal(), &[]);
    fs::create_dir(home.folder("p").join("deep")).unwrap();
    fs::copy(home.library("p"), home.folder("p").join("deep/other.so")).unwrap();
    for main in [
        json!("p"),
        json!("libp.so"),
        json!("libp"),
        json!("./p"),
        json!("deep/other"),
        json!("deep/other.so"),
    ] {
        let manifest = json!({ "name": "p", "kuzzleVersion": "2", "main": main });
        assert_eq!(status(&home, &manifest), (Status::Ok, vec![]), "{main}");
    }
    let absent = json!({ "name": "p", "kuzzleVersion": "2", "main": "absent" });
    assert_eq!(status(&home, &absent), (Status::Refused, vec![LIBRARY_MISSING]));
    let elsewhere = json!({ "name": "p", "kuzzleVersion": "2", "main": { "windows_amd64": "p.dll" } });
    assert_eq!(status(&home, &elsewhere).1, [LIBRARY_MISSING]);

    fs::copy(home.library("p"), home.folder("p").join("second.so")).unwrap();
    let any = json!({ "name": "p", "kuzzleVersion": "2" });
    assert_eq!(status(&home, &any), (Status::Refused, vec!["protocol.library.ambiguous"]));
    symlink("../../../outside.so", home.folder("p").join("link.so")).unwrap();
    fs::copy(home.library("p"), home.path().join("outside.so")).unwrap();
    let link = json!({ "name": "p", "kuzzleVersion": "2", "main": "link" });
    assert_eq!(status(&home, &link), (Status::Refused, vec!["plugin.manifest.invalid_property"]));
}

#[test]
fn a_pinned_library_must_be_that_one() {
    if !has_cc("a_pinned_library_must_be_that_one") {
        return;
    }
    let home = Home::new();
    home.compiled("p", &minimal(), &[]);
    let output = Command::new("sha256sum").arg(home.library("p")).output().unwrap();
    let right = String::from_utf8(output.stdout).unwrap()[..64].to_owned();
    let pinned = |sha256: &str| json!({ "name": "p", "kuzzleVersion": "2", "sha256": sha256 });
    assert_eq!(status(&home, &pinned(&right)), (Status::Ok, vec![]));
    let wrong = "0".repeat(64);
    assert_eq!(status(&home, &pinned(&wrong)), (Status::Refused, vec!["protocol.trust.checksum_mismatch"]));
}

#[test]
fn every_property_is_checked_for_every_wrong_type() {
    let usual = json!({ "name": "p", "kuzzleVersion": "2" });
    let values = [
        json!(null),
        json!(true),
        json!(1),
        json!(-1.5),
        json!(""),
        json!("\u{0}"),
        json!([]),
        json!({}),
        json!([[]]),
    ];
    for property in
        ["name", "kuzzleVersion", "main", "version", "description", "sections", "config", "sha256"]
    {
        for value in &values {
            let mut manifest = usual.clone();
            manifest[property] = value.clone();
            let expected: &[&str] = match (property, value) {
                ("name", Value::Null) => &["plugin.manifest.missing_name"],
                ("name", _) => &["plugin.manifest.invalid_name_type"],
                ("kuzzleVersion", Value::Null) => &["plugin.manifest.missing_version"],
                ("kuzzleVersion", _) => &["plugin.manifest.invalid_version"],
                ("version" | "description", Value::String(_)) => &[],
                ("main" | "config" | "sha256", Value::Object(_)) => &[],
                _ => &["plugin.manifest.invalid_property"],
            };
            assert_eq!(told(manifest.to_string().as_bytes()), expected, "{manifest}");
        }
    }
}

#[test]
fn what_stands_within_properties_is_checked_too() {
    let long = "x".repeat(1 << 10);
    for (property, value) in [
        ("sections", json!([1])),
        ("sections", json!(["a", null])),
        ("sections", json!([""])),
        ("sections", json!(["a", "a"])),
        ("sections", json!(["a\nb"])),
        ("main", json!({ "linux_amd64": 1, "linux_arm64": 1 })),
        ("main", json!({ "windows_amd64": "C/../../x.dll" })),
        ("main", json!("..")),
        ("main", json!(".")),
        ("main", json!("p/")),
        ("main", json!("a/../../p")),
        ("main", json!("a/b/../../../p/libp.so")),
        ("main", json!("p\u{0}.so")),
        ("sha256", json!(long)),
        ("sha256", json!("g".repeat(64))),
        ("sha256", json!({ "linux_amd64": [] })),
        ("sha256", json!({ "libp.so": "0" })),
        ("sha256", json!({ "../libp.so": "0".repeat(64) })),
        ("config", json!({ "$ref": "#" })),
        ("config", json!({ "properties": { "a": { "type": "text" } } })),
        ("config", json!({ "pattern": "(" })),
        ("config", json!({ "pattern": "((a{1000}){1000}){1000}" })),
        ("config", json!({ "minLength": -1 })),
        ("config", json!({ "enum": [] })),
        ("config", json!({ "items": [] })),
    ] {
        let mut manifest = json!({ "name": "p", "kuzzleVersion": "2" });
        manifest[property] = value;
        assert_eq!(told(manifest.to_string().as_bytes()), ["plugin.manifest.invalid_property"], "{manifest}");
    }
}

#[test]
fn the_bounds_of_a_manifest_are_exact() {
    let nested = |levels: usize| {
        let (open, close) = ("[".repeat(levels - 1), "]".repeat(levels - 1));
        format!("{{\"name\":\"p\",\"kuzzleVersion\":\"2\",\"description\":{open}{close}}}")
    };
    assert_eq!(told(nested(128).as_bytes()), ["plugin.manifest.invalid_property"]);
    assert_eq!(told(nested(129).as_bytes()), ["plugin.manifest.cannot_load"]);
    let sized = |bytes: usize| {
        let text = "{\"name\":\"p\",\"kuzzleVersion\":\"2\"}";
        format!("{text}{}", " ".repeat(bytes - text.len()))
    };
    assert_eq!(told(sized(1 << 20).as_bytes()), [""; 0]);
    assert_eq!(told(sized((1 << 20) + 1).as_bytes()), ["plugin.manifest.cannot_load"]);
    let home = Home::new();
    home.add("p");
    let large = fs::File::create(home.folder("p").join("manifest.json")).unwrap();
    large.set_len(50 << 20).unwrap();
    assert_eq!(home.ids("p"), set(["plugin.manifest.cannot_load", LIBRARY_MISSING]));
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(120_000), close.repeat(120_000));
        assert_eq!(told(deep.as_bytes()), ["plugin.manifest.cannot_load"]);
    }
    for bytes in
        [&b"\xff\xfe{\0}\0"[..], b"\xef\xbb\xbf", b"\xef\xbb\xbf\xef\xbb\xbf{}", b"\0", b"// no\n{}", b"{,}"]
    {
        assert_eq!(told(bytes), ["plugin.manifest.cannot_load"], "{bytes:?}");
    }
}

#[test]
fn ranges_are_compared_with_other_hosts_as_npm_does() {
    let home = Home::new();
    home.add("p");
    let config = config::load(home.path(), []).unwrap();
    let mismatch = "plugin.manifest.version_mismatch";
    let missing = "plugin.manifest.missing_version";
    let invalid = "plugin.manifest.invalid_version";
    for (running, range, expected) in [
        ("2.56.0", None, &[missing][..]),
        ("3.0.0", None, &[missing, mismatch]),
        ("1.9.9", None, &[missing, mismatch]),
        // Kuzzle asks with `includePrerelease`.
        ("3.0.0-rc.1", None, &[missing]),
        ("3.0.0-rc.1", Some("^2.0.0"), &[mismatch]),
        ("3.0.0-rc.1", Some("2.x"), &[mismatch]),
        ("3.0.0", Some(">=2.0.0 <3.0.0"), &[mismatch]),
        ("3.0.0", Some(">=2.0.0"), &[]),
        ("2.57.0-beta.1", Some(">=2.0.0 <3.0.0"), &[]),
        ("2.57.0-beta.1", Some("*"), &[]),
        ("2.57.0-beta.1", Some("2.57.0"), &[mismatch]),
        ("2.57.0-beta.1", Some("2.57.0-beta.1"), &[]),
        ("2.57.0-beta.1", Some(">=2.57.0-beta.2"), &[mismatch]),
        ("2.56.0", Some("2.56.0-beta.1"), &[mismatch]),
        ("2.56.0", Some("two"), &[invalid]),
        ("2.56.0", Some(">=2.0.0 && <3.0.0"), &[invalid]),
        ("2.56.0", Some("2.0.0.0"), &[invalid]),
    ] {
        let mut manifest = json!({ "name": "p", "kuzzleVersion": range });
        if range.is_none() {
            manifest.as_object_mut().unwrap().remove("kuzzleVersion");
        }
        home.manifest("p", &manifest);
        let surroundings = Surroundings { kuzzle_version: running.to_owned(), ..Surroundings::default() };
        let survey = survey_in(home.path(), &config, &surroundings);
        let mut found = ids(entry(&survey, "p"));
        assert!(found.remove(LIBRARY_MISSING));
        assert_eq!(found.into_iter().collect::<Vec<_>>(), expected, "{range:?} on {running}");
        let is_mild = |told: &&kuzzle_host::diagnostics::Diagnostic| told.id.as_str() == missing;
        assert!(!entry(&survey, "p").diagnostics.iter().filter(is_mild).any(|told| told.is_error()));
    }
}

#[test]
fn a_main_that_leaves_by_a_link_is_refused_and_one_that_stays_is_not() {
    if !has_cc("a_main_that_leaves_by_a_link_is_refused_and_one_that_stays_is_not") {
        return;
    }
    let home = Home::new();
    home.bytes("p", good());
    fs::create_dir(home.path().join("outside")).unwrap();
    fs::write(home.path().join("outside/libq.so"), good()).unwrap();
    symlink("../../../outside", home.folder("p").join("out")).unwrap();
    symlink("libp.so", home.folder("p").join("libs.so")).unwrap();
    let with = |main: &str| json!({ "name": "p", "kuzzleVersion": "2", "main": main });
    assert_eq!(status(&home, &with("libs.so")), (Status::Ok, vec![]));
    assert_eq!(status(&home, &with("libp.so")), (Status::Ok, vec![]));
    let refused = (Status::Refused, vec!["plugin.manifest.invalid_property"]);
    assert_eq!(status(&home, &with("out/libq.so")), refused);
    assert_eq!(status(&home, &with("out/../p")).0, Status::Refused);
    let absolute = home.library("p");
    assert_eq!(status(&home, &with(absolute.to_str().unwrap())).0, Status::Refused);
}

#[test]
fn pins_are_of_platforms_and_of_files() {
    if !has_cc("pins_are_of_platforms_and_of_files") {
        return;
    }
    let home = Home::new();
    home.bytes("p", good());
    let output = Command::new("sha256sum").arg(home.library("p")).output().unwrap();
    let right = String::from_utf8(output.stdout).unwrap()[..64].to_owned();
    let wrong = "0".repeat(64);
    let key = Surroundings::default().target.key;
    let refused = (Status::Refused, vec!["protocol.trust.checksum_mismatch"]);
    let fine = (Status::Ok, vec![]);
    for (pins, expected) in [
        (json!(right.to_uppercase()), &fine),
        (json!({ &key: right }), &fine),
        (json!({ &key: wrong }), &refused),
        (json!({ "libp.so": right }), &fine),
        (json!({ "libp.so": wrong }), &refused),
        (json!({ "p": wrong }), &refused),
        (json!({ "windows_arm64": wrong, "libother.so": wrong }), &fine),
        (json!({}), &fine),
    ] {
        let manifest = json!({ "name": "p", "kuzzleVersion": "2", "sha256": pins });
        assert_eq!(&status(&home, &manifest), expected, "{manifest}");
    }
}

#[test]
fn a_manifest_costs_no_more_than_it_is_worth() {
    let patterns: serde_json::Map<_, _> =
        (0..5_000).map(|number| (number.to_string(), json!({ "pattern": "\\w{10}" }))).collect();
    let sections: Vec<_> = (0..100_000).map(|number| number.to_string()).collect();
    let foreign: serde_json::Map<_, _> = (0..5_000).map(|number| (number.to_string(), json!({}))).collect();
    let unknown: serde_json::Map<_, _> = (0..50_000).map(|number| (number.to_string(), json!(1))).collect();
    for (manifest, ids) in [
        (
            json!({ "name": "p", "kuzzleVersion": "2", "config": { "properties": patterns } }),
            vec!["plugin.manifest.invalid_property"],
        ),
        (
            json!({ "name": "p", "kuzzleVersion": "2", "sections": sections }),
            vec!["plugin.manifest.invalid_property"],
        ),
        (
            json!({ "name": "p", "kuzzleVersion": "2", "sections": ["a", "b"], "config": foreign }),
            vec!["plugin.manifest.invalid_property"],
        ),
        (
            Value::Object(unknown),
            vec![
                "plugin.manifest.missing_name",
                "plugin.manifest.missing_version",
                "plugin.manifest.unknown_property",
            ],
        ),
    ] {
        let home = Home::new();
        home.add("p").manifest("p", &manifest);
        let survey = home.survey();
        let entry = entry(&survey, "p");
        let mut found = crate::home::ids(entry);
        found.remove(LIBRARY_MISSING);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ids);
        assert!(entry.diagnostics.len() < 50, "{}", entry.diagnostics.len());
        let text: usize = entry.diagnostics.iter().map(|told| told.message.len() + told.help.len()).sum();
        assert!(text < 100_000, "{text} bytes of text");
    }
}
