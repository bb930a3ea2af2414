//! The authors' guide does what it says: its commands are run, and its C is compiled. (Its Rust is
//! compiled by `kuzzle-protocol-abi`.)

use std::fs;
use std::path::Path;
use std::process::Command;

use kuzzle_tests::{cc, has, program, root, source};
use tempfile::TempDir;

/// The console block that follows a mark: each command with what it must print.
fn console(mark: &str) -> Vec<(String, Vec<String>)> {
    let guide = source("docs/authors.md");
    let (_, rest) =
        guide.split_once(&format!("<!-- run: {mark} -->\n```console\n")).expect("the guide has it");
    let (block, _) = rest.split_once("\n```").expect("the block ends");
    let mut commands: Vec<(String, Vec<String>)> = Vec::new();
    for line in block.lines() {
        match line.strip_prefix("$ ") {
            Some(command) => commands.push((command.to_owned(), Vec::new())),
            None => commands.last_mut().expect("a command comes first").1.push(line.to_owned()),
        }
    }
    commands
}

/// Runs commands as somebody types them into one shell, in `folder`.
fn run(folder: &Path, mark: &str, change: impl Fn(&str) -> String, variables: &[(&str, &Path)]) {
    let commands = console(mark);
    assert!(commands.len() >= 2, "{commands:?}");
    let script: String = commands.iter().map(|(command, _)| format!("{}\n", change(command))).collect();
    let path = std::env::var("PATH").unwrap();
    let programs = program().parent().unwrap().display().to_string();
    let mut shell = Command::new("sh");
    shell.arg("-ec").arg(&script).current_dir(folder).env("PATH", format!("{programs}:{path}"));
    shell.envs(variables.iter().copied()).env("CARGO_NET_OFFLINE", "true").env_remove("RUSTFLAGS");
    let output = shell.output().unwrap();
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success(), "{script}\n{stdout}\n{stderr}");
    for line in commands.iter().flat_map(|(_, lines)| lines) {
        assert!(stdout.lines().any(|found| found == line), "{line:?} is not in\n{stdout}");
    }
}

fn platform(command: &str) -> String {
    let here = match std::env::consts::ARCH {
        "x86_64" => "linux_amd64",
        "aarch64" => "linux_arm64",
        other => panic!("the guide names no platform for {other}"),
    };
    command.replace("linux_amd64", here)
}

#[test]
fn its_way_in_c_leads_from_new_to_an_installed_protocol() {
    let test = "its_way_in_c_leads_from_new_to_an_installed_protocol";
    if cc(test).is_none() || !has(test, "make") || !has(test, "tar") {
        return;
    }
    let folder = TempDir::new().unwrap();
    run(folder.path(), "c", str::to_owned, &[]);
    run(&folder.path().join("echo"), "ship", platform, &[]);
    assert!(folder.path().join("echo/site/protocols/enabled/echo/manifest.json").exists());
    // As if they had been built for other machines.
    let libraries = root().join("host/tests/mach-o");
    let dist = folder.path().join("echo/dist/echo");
    fs::copy(libraries.join("universal.dylib"), dist.join("libecho.dylib")).unwrap();
    fs::copy(root().join("fuzz/corpus/image/good.dll"), dist.join("echo.dll")).unwrap();
    run(&folder.path().join("echo"), "foreign", str::to_owned, &[]);
    assert!(folder.path().join("echo/echo-0.1.0-macos_arm64.tar.gz").exists());
}

#[test]
fn its_way_in_rust_leads_to_a_folder_that_can_be_shipped() {
    let folder = TempDir::new().unwrap();
    let sdk = root().join("protocol-abi");
    let target = program().parent().unwrap().parent().unwrap().join("new-rust");
    let lock = root().join("Cargo.lock");
    // With what this workspace has been built with, as there may be no network.
    let change = |command: &str| match command {
        "cd echo" => format!("cd echo; cp '{}' .", lock.display()),
        _ => command.replace("/path/to/protocol-abi", &format!("'{}'", sdk.display())),
    };
    run(folder.path(), "rust", change, &[("CARGO_TARGET_DIR", &target)]);
    assert!(folder.path().join("echo/dist/echo/libecho.so").exists());
}

#[test]
fn its_c_compiles() {
    let Some(compiler) = cc("its_c_compiles") else { return };
    let guide = source("docs/authors.md");
    let blocks: Vec<_> =
        guide.split("```c\n").skip(1).map(|rest| rest.split_once("```").unwrap().0).collect();
    assert!(blocks.len() >= 2, "{blocks:?}");
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("guide.c");
    let code = format!("#include <string.h>\n#include \"kuzzle/protocol.h\"\n{}", blocks.concat());
    fs::write(&file, code).unwrap();
    let mut command = Command::new(compiler);
    command.args(["-std=c99", "-Wall", "-Werror", "-Wno-unused-function", "-fsyntax-only", "-I"]);
    let output = command.arg(root().join("protocol-abi/include")).arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn its_manifest_is_what_the_host_takes() {
    let guide = source("docs/authors.md");
    let (_, rest) = guide.split_once("```json\n").unwrap();
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("manifest.json"), rest.split_once("```").unwrap().0).unwrap();
    let folder = folder.path().to_str().unwrap();
    let output = kuzzle_tests::Host::bare_command(&["inspect", "--format", "json", folder]).output().unwrap();
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let problems = document["diagnostics"].as_array().unwrap().iter().map(|problem| &problem["id"]);
    // It lacks only a library.
    assert_eq!(problems.collect::<Vec<_>>(), ["protocol.library.not_found"], "{document}");
}
