//! The command line as scripts use it: exit statuses, standard output, the ready file.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Output;

use kuzzle_tests::{Host, Installation, Report, UdpClient, cc};
use serde_json::{Value, json};

fn keys(document: &Value) -> Vec<&str> {
    document
        .as_object()
        .unwrap_or_else(|| panic!("no object: {document}"))
        .keys()
        .map(String::as_str)
        .collect()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn wrong_usage_is_status_2_and_prints_no_result() {
    let installation = Installation::new();
    for arguments in [
        &["nonsense"][..],
        &[],
        &["check", "--format", "xml"],
        &["check", "--platform", "linux_amd64"],
        &["check", ".", "--platform", "amiga_68k"],
        &["enable"],
        &["start", "--nonsense"],
        &["new", "--lang", "c"],
        &["new", "x"],
        &["new", "x", "--lang", "cobol"],
        &["new", "../x", "--lang", "c"],
        &["pack"],
    ] {
        let output = Host::run(installation.home(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}: {output:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}: {output:?}");
    }
}

#[test]
fn help_and_version_are_results() {
    for argument in ["--help", "--version"] {
        let output = Host::bare_command(&[argument]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("kuzzle-host"), "{output:?}");
    }
}

#[test]
fn an_installation_without_protocols_is_in_order() {
    let installation = Installation::new();
    let report = Report::of(installation.home(), &[]);
    assert_eq!((report.status, &report.document["protocols"]), (Some(0), &json!([])), "{report:?}");
    for folder in ["protocols", "protocols/enabled"] {
        fs::create_dir(installation.home().join(folder)).unwrap();
        assert_eq!(Report::of(installation.home(), &[]).status, Some(0), "{folder}");
    }
    let ready = Host::start(&installation).wait_ready();
    assert_eq!(ready["protocols"], json!([]));
}

#[test]
fn a_home_that_does_not_exist_is_named() {
    let installation = Installation::new();
    let missing = installation.home().join("missing");
    let output = Host::run(&missing, &["check"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stderr(&output).contains("missing"), "{output:?}");
}

#[test]
fn home_is_accepted_before_and_after_the_command_and_is_the_current_folder_otherwise() {
    let installation = Installation::new();
    installation.udp().options("udp", &json!({ "port": -1 }));
    let home = installation.home().to_str().unwrap();
    for arguments in [&["--home", home, "check"][..], &["check", "--home", home]] {
        let output = Host::bare_command(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(78), "{arguments:?}: {output:?}");
    }
    let output = Host::bare_command(&["check"]).current_dir(home).output().unwrap();
    assert_eq!(output.status.code(), Some(78), "{output:?}");
}

#[test]
fn check_prints_the_document_of_the_contract() {
    let installation = Installation::new();
    installation.udp();
    let report = Report::of(installation.home(), &[]);
    assert_eq!(report.status, Some(0), "{report:?}");
    assert_eq!(keys(&report.document), ["kuzzleVersion", "abi", "protocols", "diagnostics", "refused"]);
    assert!(report.document["kuzzleVersion"].as_str().unwrap().starts_with("2."));
    assert_eq!(report.document["abi"], "1.0", "{report:?}");
    assert_eq!(report.document["refused"], 0);
    let entry = report.entry("udp");
    assert_eq!(keys(entry), ["name", "path", "library", "status", "diagnostics"]);
    assert_eq!((&entry["name"], &entry["status"]), (&json!("udp"), &json!("ok")));
    assert_eq!(entry["path"], installation.enabled("udp").to_str().unwrap());
    let library = fs::canonicalize(installation.library("udp")).unwrap();
    assert_eq!(fs::canonicalize(entry["library"].as_str().unwrap()).unwrap(), library);
    assert_eq!(entry["diagnostics"], json!([]));
}

#[test]
fn check_prints_diagnostics_as_the_contract_says() {
    let installation = Installation::new();
    installation.manifest_with("broken", &json!({ "kuzzleVersion": ">=3.0.0" })).enable("broken");
    let report = Report::of(installation.home(), &[]);
    assert_eq!(report.status, Some(78), "{report:?}");
    let entry = report.entry("broken");
    assert_eq!((&entry["name"], &entry["library"]), (&Value::Null, &Value::Null));
    let diagnostics = report.diagnostics("broken");
    let of =
        |id: &str| diagnostics.iter().find(|one| one["id"] == id).unwrap_or_else(|| panic!("{report:?}"));
    let mismatch = of("plugin.manifest.version_mismatch");
    assert_eq!(keys(mismatch), ["severity", "id", "message", "help", "path", "expected", "found"]);
    assert_eq!((&mismatch["severity"], &mismatch["expected"]), (&json!("error"), &json!(">=3.0.0")));
    assert!(mismatch["path"].as_str().unwrap().ends_with("manifest.json"), "{mismatch}");
    of("plugin.manifest.missing_name");
    of("protocol.library.not_found");
    assert_eq!(diagnostics.len(), 3, "{report:?}");
}

#[test]
fn check_as_text_names_ids_and_help() {
    let installation = Installation::new();
    installation.manifest_with("broken", &json!({ "name": "broken\u{1b}[31m" })).enable("broken");
    let output = Host::run(installation.home(), &["check"]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    for word in ["error[protocol.library.not_found]", "warning[plugin.manifest.missing_version]", "help:"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(!text.contains('\u{1b}'), "{text:?}");
}

#[test]
fn warnings_are_success_unless_strict() {
    let installation = Installation::new();
    installation.rust("quiet", "kuzzle_protocol_udp").options("quiet", &json!({ "port": 0 }));
    installation.manifest_with("quiet", &json!({ "name": "quiet" }));
    let report = Report::of(installation.home(), &[]);
    assert_eq!(report.status, Some(0), "{report:?}");
    assert_eq!(report.ids("quiet"), ["plugin.manifest.missing_version"].into());
    assert_eq!(Report::of(installation.home(), &["--strict"]).status, Some(78));

    let mut host = Host::start(&installation);
    host.wait_log("plugin.manifest.missing_version");
    let host = Host::spawn(&installation, &["--strict"]).wait();
    assert_eq!(host.status, Some(78), "{}", host.log);
}

#[test]
fn check_of_paths_needs_no_installation_and_looks_at_nothing_else() {
    let installation = Installation::new();
    installation.udp();
    installation.manifest_with("broken", &json!({})).enable("broken");
    let folder = installation.available("udp");
    let elsewhere = Installation::new();
    let report = Report::of(elsewhere.home(), &[folder.to_str().unwrap()]);
    assert_eq!(report.status, Some(0), "{report:?}");
    assert_eq!(report.document["protocols"].as_array().unwrap().len(), 1, "{report:?}");
    assert_eq!(report.ids("udp"), [].into());
    // Nor does a configuration count, nor a home that does not exist.
    fs::write(elsewhere.home().join(".kuzzlerc"), "{broken").unwrap();
    assert_eq!(Report::of(elsewhere.home(), &[folder.to_str().unwrap()]).status, Some(0));
    let disabled = json!({ "server": { "protocols": { "udp": { "enabled": false, "port": -1 } } } });
    fs::write(elsewhere.home().join(".kuzzlerc"), disabled.to_string()).unwrap();
    let report = Report::of(elsewhere.home(), &[folder.to_str().unwrap()]);
    assert_eq!((report.status, &report.entry("udp")["status"]), (Some(0), &json!("ok")), "{report:?}");
    let nowhere = elsewhere.home().join("nowhere");
    assert_eq!(Report::of(&nowhere, &[folder.to_str().unwrap()]).status, Some(0));
    let broken = installation.available("broken");
    let report = Report::of(elsewhere.home(), &[folder.to_str().unwrap(), broken.to_str().unwrap()]);
    assert_eq!((report.status, &report.document["refused"]), (Some(78), &json!(1)), "{report:?}");
}

#[test]
fn inspect_shows_what_a_library_says_of_itself() {
    let Some(compiler) = cc("inspect_shows_what_a_library_says_of_itself") else { return };
    let installation = Installation::new();
    installation.line(&compiler);
    for path in [installation.available("line"), installation.library("line")] {
        let output = Host::run(installation.home(), &["inspect", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        for word in ["kuzzle/protocol.h 1.0", "kuzzle_protocol_broadcast", "kuzzle_protocol_shutdown"] {
            assert!(text.contains(word), "{word}: {text}");
        }
        let output = Host::run(installation.home(), &["inspect", path.to_str().unwrap(), "--format", "json"]);
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(document.to_string().contains("kuzzle/protocol.h 1.0"), "{document:#}");
    }
}

#[test]
fn a_configuration_that_is_no_json_is_refused_with_its_place() {
    let installation = Installation::new();
    installation.udp();
    fs::write(installation.home().join(".kuzzlerc"), "{\n  \"server\": oops\n}").unwrap();
    let output = Host::run(installation.home(), &["check"]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    let host = Host::refused(&installation);
    assert_eq!(host.status, Some(78), "{}", host.log);
    for text in ["core.configuration.cannot_parse", ".kuzzlerc", "line 2"] {
        assert!(host.log.contains(text), "{text}: {}", host.log);
    }
}

#[test]
fn the_ready_file_tells_who_serves_where_and_so_does_standard_error() {
    let installation = Installation::new();
    installation.udp();
    let mut host = Host::start(&installation);
    let ready = host.wait_ready();
    let address = host.address("udp");
    assert_eq!(
        ready,
        json!({
            "pid": host.pid(),
            "protocols": [
                { "name": "udp", "listeners": [{ "transport": "udp", "address": address.to_string() }] },
            ],
        })
    );
    assert_eq!(keys(&ready), ["pid", "protocols"]);
    assert_eq!(keys(&ready["protocols"][0]), ["name", "listeners"]);
    assert_eq!(keys(&ready["protocols"][0]["listeners"][0]), ["transport", "address"]);
    let text = fs::read_to_string(installation.home().join("ready.json")).unwrap();
    host.wait_log(text.trim_end());
    kuzzle_tests::Client::is_served(&mut UdpClient::connect(address));
}

/// A reader of the file sees nothing, or what stood there before, or everything: the file is not
/// written but put into place.
#[test]
fn the_ready_file_is_put_into_place_whole() {
    let installation = Installation::new();
    installation.udp();
    let file = installation.home().join("ready.json");
    fs::write(&file, "what stood there before").unwrap();
    let before = fs::metadata(&file).unwrap().ino();
    // Holds the old file: its number cannot be used again.
    let mut held = fs::File::open(&file).unwrap();
    let mut host = Host::spawn(&installation, &[]);
    host.wait_log("\"protocols\":[{");
    assert_ne!(fs::metadata(&file).unwrap().ino(), before);
    let mut old = String::new();
    std::io::Read::read_to_string(&mut held, &mut old).unwrap();
    assert_eq!(old, "what stood there before");
    let _: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    let leftovers: Vec<_> = fs::read_dir(installation.home())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".tmp"))
        .collect();
    assert_eq!(leftovers, [""; 0]);
}

#[test]
fn a_ready_file_that_cannot_be_written_ends_the_host() {
    let installation = Installation::new();
    installation.udp();
    let mut command = Host::command(installation.home(), &["start", "--ready-file"]);
    let output = command.arg(installation.home().join("missing/ready.json")).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stderr(&output).contains("missing/ready.json"), "{output:?}");
}
