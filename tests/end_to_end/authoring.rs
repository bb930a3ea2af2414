//! `new`: each project builds as its README says, and serves at once.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use kuzzle_tests::{Client, Host, Installation, Report, UdpClient, cc, has, program, root};
use serde_json::{Value, json};

/// A fresh project in a folder of the installation.
fn project(installation: &Installation, lang: &str, more: &[&str]) -> PathBuf {
    let home = installation.home().to_str().unwrap();
    let arguments = ["new", "my-echo", "--lang", lang, "--dir", home, "--format", "json"];
    let output = Host::bare_command(&arguments).args(more).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["result"], "dist/my-echo");
    let project = PathBuf::from(document["path"].as_str().unwrap());
    for file in document["files"].as_array().unwrap() {
        assert!(project.join(file.as_str().unwrap()).is_file(), "{file}");
    }
    project
}

/// Runs a command of an author in the project.
fn run(project: &Path, command: &mut Command) -> String {
    let output = command.current_dir(project).env("KUZZLE_HOST", program()).output().unwrap();
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success(), "{command:?}\n{stdout}\n{stderr}");
    format!("{stdout}{stderr}")
}

/// Checks, packs and installs what an author has built, and drives it.
fn is_served(installation: &Installation, project: &Path) {
    let dist = project.join("dist/my-echo");
    let mut files: Vec<_> = fs::read_dir(&dist).unwrap().map(|file| file.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["libmy-echo.so", "manifest.json"]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let modes = [mode(&dist), mode(&dist.join("libmy-echo.so")), mode(&dist.join("manifest.json"))];
    assert_eq!(modes, [0o755, 0o755, 0o644]);
    let manifest: Value = serde_json::from_slice(&fs::read(dist.join("manifest.json")).unwrap()).unwrap();
    assert!(manifest.get("sha256").is_none() && manifest["config"].is_object(), "{manifest}");

    let report = Report::of(installation.home(), &["--strict", dist.to_str().unwrap()]);
    assert_eq!(report.status, Some(0), "{report:?}");
    let output = Host::bare_command(&["conformance"]).arg(&dist).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    let output = Host::bare_command(&["pack"])
        .args([OsStr::new("-o"), installation.home().as_os_str(), dist.as_os_str()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");

    let available = installation.available("my-echo");
    fs::create_dir_all(available.parent().unwrap()).unwrap();
    fs::rename(&dist, available).unwrap();
    installation.enable("my-echo").options("my-echo", &json!({ "port": 0 }));
    let mut host = Host::start(installation);
    let address = host.address("my-echo");
    let (mut client, mut other) = (UdpClient::connect(address), UdpClient::connect(address));
    let mut ask = |request: Value| {
        other.send(&request);
        let answer = other.receive();
        assert_eq!(answer["status"], 200, "{answer}");
        answer
    };
    assert_eq!(
        ask(json!({ "controller": "server", "action": "now", "requestId": "é\"\n" }))["room"],
        "é\"\n"
    );
    client.is_served();
    // What is no request is told, and does no harm.
    client.send_text("no \"JSON\"");
    let refused = client.receive();
    assert_eq!((&refused["status"], &refused["error"]["status"]), (&json!(400), &json!(400)), "{refused}");
    client.send_text(r#"{"controller": 1, "action": "now", "requestId": "mine"}"#);
    assert_eq!(client.receive()["requestId"], "mine");
    // Real-time: who has subscribed hears, and no longer when it has left.
    let (room, channel) = client.subscribe("i", "c");
    let publish = json!({
        "controller": "realtime", "action": "publish", "index": "i", "collection": "c", "body": { "a": 1 }
    });
    ask(publish.clone());
    let told = client.receive();
    assert_eq!((&told["room"], &told["result"]["_source"]["a"]), (&json!(channel), &json!(1)), "{told}");
    let leave = json!({ "controller": "realtime", "action": "unsubscribe", "body": { "roomId": room } });
    assert_eq!(client.request(&leave)["status"], 200);
    ask(publish);
    client.is_served();
    host.terminate().is_clean();

    // The schema of its options is enforced before it is loaded.
    installation.options("my-echo", &json!({ "port": 65_536 }));
    assert_eq!(Report::of(installation.home(), &[]).ids("my-echo"), ["protocol.config.invalid"].into());
    // A host that can not be bound is told by the protocol.
    installation.options("my-echo", &json!({ "port": 0, "host": "192.0.2.1" }));
    fs::remove_file(installation.home().join("ready.json")).unwrap();
    let refused = Host::refused(installation);
    assert_eq!(refused.status, Some(78), "{}", refused.log);
    assert!(refused.log.contains("protocol.runtime.init_failed"), "{}", refused.log);
    assert!(refused.log.contains("192.0.2.1"), "{}", refused.log);
}

#[test]
fn a_project_in_c_builds_and_serves() {
    let test = "a_project_in_c_builds_and_serves";
    let Some(compiler) = cc(test) else { return };
    if !has(test, "make") {
        return;
    }
    let installation = Installation::new();
    let project = project(&installation, "c", &[]);
    let flags = ["CFLAGS=-O2 -Werror", &format!("CC={compiler}")];
    run(&project, Command::new("make").args(flags));
    assert!(run(&project, Command::new("make").arg("test").args(flags)).ends_with("passed\n"));
    is_served(&installation, &project);
    // What is gone is made again; what is there is not.
    run(&project, Command::new("make").args(flags));
    assert!(project.join("dist/my-echo/libmy-echo.so").exists());
    assert!(run(&project, Command::new("make").args(flags)).contains("Nothing to be done"));
    run(&project, Command::new("make").arg("clean"));
    assert!(!project.join("dist").exists());
}

#[test]
fn a_project_in_cpp_builds_and_serves() {
    let test = "a_project_in_cpp_builds_and_serves";
    if !has(test, "c++") || !has(test, "make") || cc(test).is_none() {
        return;
    }
    let installation = Installation::new();
    let project = project(&installation, "cpp", &[]);
    run(&project, Command::new("make").arg("CXXFLAGS=-O1 -Werror"));
    assert!(run(&project, Command::new("make").arg("test")).ends_with("passed\n"));
    is_served(&installation, &project);
}

/// Builds without asking a registry, with what this workspace has been built with.
fn cargo(target: &Path, arguments: &[&str]) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(arguments).env("CARGO_NET_OFFLINE", "true").env("CARGO_TARGET_DIR", target);
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    cargo
}

#[test]
fn a_project_in_rust_builds_and_serves() {
    let installation = Installation::new();
    let sdk = root().join("protocol-abi");
    let project = project(&installation, "rust", &["--sdk-path", sdk.to_str().unwrap()]);
    fs::copy(root().join("Cargo.lock"), project.join("Cargo.lock")).unwrap();
    // Kept, so that what it depends on is built once.
    let target = program().parent().unwrap().parent().unwrap().join("new-rust");
    run(&project, &mut cargo(&target, &["build", "--release"]));
    run(&project, &mut cargo(&target, &["test", "--workspace"]));
    run(&project, &mut cargo(&target, &["fmt", "--all", "--check"]));
    is_served(&installation, &project);
    // What is gone is made again.
    run(&project, &mut cargo(&target, &["build", "--release"]));
    assert!(project.join("dist/my-echo/libmy-echo.so").exists());
}
