//! Protocols that were compiled against other versions of the header: released ones run, structs may
//! grow at their end, and frozen types that were changed are refused.

use std::fs;
use std::path::{Path, PathBuf};

use kuzzle_tests::{Client, Host, Installation, LineClient, Report, c_library_against, cc, root, source};
use serde_json::json;
use tempfile::TempDir;

const LINE: [&str; 4] = ["line.c", "loop.c", "message.c", "registry.c"];
const HISTORY: &str = "protocol-abi/history/1.0";

/// A change of the header: what is there once, and what comes in its place.
type Change<'a> = (&'a str, &'a str);

/// A folder with a changed copy of the header of 1.0.
fn changed(changes: &[Change<'_>]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut header = source(&format!("{HISTORY}/kuzzle/protocol.h"));
    for (old, new) in changes {
        assert_eq!(header.matches(old).count(), 1, "{old}");
        header = header.replace(old, new);
    }
    fs::create_dir(folder.path().join("kuzzle")).unwrap();
    fs::write(folder.path().join("kuzzle/protocol.h"), header).unwrap();
    folder
}

/// Sizes and offsets in the note are those of 1.0, whatever the compiler sees: so a later version of
/// the host, which has a table for each minor, takes a note of each.
fn noted_as_1_0() -> (String, String) {
    let layout = source(&format!("{HISTORY}/layout-64.txt"));
    let values: Vec<_> = layout.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    (
        "{KUZZLE_LAYOUT_(KUZZLE_LAYOUT_SIZE_, KUZZLE_LAYOUT_FIELD_)}".to_owned(),
        format!("{{{}}}", values.join(",")),
    )
}

/// An installation with `line`, compiled against the header in a folder.
fn with_line(include: &Path, compiler: &str) -> Installation {
    let installation = Installation::new();
    installation.line(compiler);
    let sources = LINE.map(|file| format!("sample-protocols/line/{file}"));
    let library = installation.library("line");
    fs::remove_file(&library).unwrap();
    c_library_against(include, compiler, &sources.each_ref().map(String::as_str), &[], &library);
    installation
}

/// A whole session: connections, requests good and bad, subscriptions, notifications, the end.
fn is_served(installation: &Installation) {
    let mut host = Host::start(installation);
    let address = host.address("line");
    let (mut one, mut other) = (LineClient::connect(address), LineClient::connect(address));
    one.is_served();
    one.send_text("no JSON");
    assert_eq!(one.receive()["error"]["id"], "network.line.unexpected_error");
    let (room, channel) = one.subscribe("i", "c");
    let publish = json!({
        "controller": "realtime", "action": "publish", "index": "i", "collection": "c", "body": { "a": 1 }
    });
    assert_eq!(other.request(&publish)["status"], 200);
    let told = one.receive();
    assert_eq!((&told["room"], &told["result"]["_source"]["a"]), (&json!(channel), &json!(1)), "{told}");
    assert_eq!(other.count(&room), 1);
    let leave = json!({ "controller": "realtime", "action": "unsubscribe", "body": { "roomId": room } });
    assert_eq!(one.request(&leave)["status"], 200);
    // The host disconnects those who are there when it ends.
    let ended = host.terminate();
    ended.is_clean();
    assert!(one.try_receive().is_none() && other.try_receive().is_none());
}

/// Every version that was ever released.
fn released() -> Vec<PathBuf> {
    let folders = fs::read_dir(root().join("protocol-abi/history")).unwrap();
    folders.map(|folder| folder.unwrap().path()).collect()
}

#[test]
fn protocols_compiled_against_every_released_header_run() {
    let Some(compiler) = cc("protocols_compiled_against_every_released_header_run") else { return };
    let released = released();
    assert!(released.iter().any(|folder| folder.ends_with("1.0")), "{released:?}");
    for folder in released {
        let installation = with_line(&folder, &compiler);
        assert_eq!(Report::of(installation.home(), &["--strict"]).status, Some(0), "{}", folder.display());
        is_served(&installation);
    }
}

#[test]
fn a_protocol_whose_structs_have_grown_runs() {
    let Some(compiler) = cc("a_protocol_whose_structs_have_grown_runs") else { return };
    let (table, literals) = noted_as_1_0();
    let more = "  uint64_t more[4];\n  kuzzle_str and_more;\n";
    let grown: Vec<(String, String)> = [
        "kuzzle_error",
        "kuzzle_connection_info",
        "kuzzle_request",
        "kuzzle_response",
        "kuzzle_broadcast",
        "kuzzle_notification",
        "kuzzle_disconnect",
        "kuzzle_error_info",
    ]
    .iter()
    .map(|name| (format!("\n}} {name};\n"), format!("\n{more}}} {name};\n")))
    .collect();
    let mut changes: Vec<Change<'_>> = grown.iter().map(|(old, new)| (old.as_str(), new.as_str())).collect();
    changes.push((&table, &literals));
    let include = changed(&changes);
    is_served(&with_line(include.path(), &compiler));
}

#[test]
fn a_protocol_whose_structs_have_not_grown_yet_runs() {
    let Some(compiler) = cc("a_protocol_whose_structs_have_not_grown_yet_runs") else { return };
    let (table, literals) = noted_as_1_0();
    // What the host hands over is longer than what this protocol knows of.
    let message = "  kuzzle_str message; /* for the client or a log; borrowed; may be empty */\n";
    let include = changed(&[(message, ""), (&table, &literals)]);
    is_served(&with_line(include.path(), &compiler));
}

#[test]
fn a_protocol_of_a_later_minor_is_told_which_host_it_needs() {
    let Some(compiler) = cc("a_protocol_of_a_later_minor_is_told_which_host_it_needs") else { return };
    let include = changed(&[("#define KUZZLE_ABI_MINOR 0", "#define KUZZLE_ABI_MINOR 1")]);
    let report = Report::of(with_line(include.path(), &compiler).home(), &[]);
    assert_eq!(report.status, Some(78));
    assert_eq!(report.ids("line"), ["protocol.abi.version_mismatch"].into());
    let told = &report.diagnostics("line")[0];
    assert_eq!((&told["expected"], &told["found"]), (&json!("1.0 to 1.0"), &json!("1.1")), "{told}");
    assert!(told["help"].as_str().unwrap().contains("a host with version 1.1"), "{told}");
}

#[test]
fn frozen_types_that_were_changed_are_refused_and_the_field_is_named() {
    let test = "frozen_types_that_were_changed_are_refused_and_the_field_is_named";
    let Some(compiler) = cc(test) else { return };
    let completion = "  void *context; /* the protocol's own; the host only passes it back */\n";
    let connection = "  uint64_t connection;     /* from new_connection; 0: none, then no real-time */\n";
    let cases: [(&str, &[Change<'_>], &str); 7] = [
        (
            "a value type that has grown",
            &[(
                "  kuzzle_str value;\n} kuzzle_header;",
                "  kuzzle_str value;\n  uint64_t more;\n} kuzzle_header;",
            )],
            "kuzzle_header: expected size 32, found 40",
        ),
        (
            "fields that have changed places",
            &[("  kuzzle_str name;\n  kuzzle_str value;\n", "  kuzzle_str value;\n  kuzzle_str name;\n")],
            "kuzzle_header.name: expected offset 0, found 16",
        ),
        (
            "text that has become longer",
            &[("typedef struct kuzzle_str {\n", "typedef struct kuzzle_str {\n  uint64_t hash;\n")],
            "kuzzle_str: expected size 16, found 24; kuzzle_str.ptr: expected offset 0, found 8",
        ),
        (
            "a completion that has lost its context",
            &[
                (completion, ""),
                (" FIELD(kuzzle_completion, context)", " FIELD(kuzzle_completion, function)"),
            ],
            "kuzzle_completion: expected size 16, found 8",
        ),
        (
            "a new function in a table",
            &[("struct kuzzle_entry_point {\n", "struct kuzzle_entry_point {\n  void (*first)(void);\n")],
            "kuzzle_entry_point.new_connection: expected offset 0, found 8",
        ),
        (
            "a new function at the end of a table",
            &[(
                "  const void *(*get_extension)(const kuzzle_context *self, kuzzle_str id);\n",
                "  const void *(*get_extension)(const kuzzle_context *self, kuzzle_str id);\n  void (*last)(void);\n",
            )],
            "kuzzle_context: expected size 104, found 112",
        ),
        (
            "a new field within a struct that may only grow at its end",
            &[(connection, &format!("{connection}  uint64_t more;\n"))],
            "kuzzle_request.parts: expected offset 16, found 24",
        ),
    ];
    let installation = Installation::new();
    for (number, (what, changes, field)) in cases.into_iter().enumerate() {
        let name = format!("p{number}");
        let include = changed(changes);
        installation.manifest(&name);
        let library = installation.library(&name);
        let sources = ["tests/fixtures/minimal.c"];
        c_library_against(include.path(), &compiler, &sources, &["-w"], &library);
        let folder = installation.available(&name);
        let report = Report::of(installation.home(), &[folder.to_str().unwrap()]);
        assert_eq!(report.ids(&name), ["protocol.abi.layout_mismatch"].into(), "{what}: {report:?}");
        let message = report.diagnostics(&name)[0]["message"].as_str().unwrap();
        assert!(message.contains(field), "{what}: {field} is not in: {message}");
    }
}
