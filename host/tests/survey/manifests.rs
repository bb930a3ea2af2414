//! Faults of manifests, and where they say the library is.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use kuzzle_host::installation::Status;
use serde_json::{Value, json};

use crate::home::{Home, entry, has_cc, ids, minimal, set};

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
