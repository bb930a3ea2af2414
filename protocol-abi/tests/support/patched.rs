//! Protocols built against a changed copy of this crate, as somebody might ship them. The end-to-end
//! tests use this file too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use kuzzle_protocol_abi::raw::note;

const PROTOCOL: &str = r#"//! A protocol that does nothing.
#![forbid(unsafe_code)]
use kuzzle_protocol_abi::*;
struct Quiet;
impl Protocol for Quiet {
    type Config = serde_json::Value;
    fn init(_: EntryPoint, _: Context, _: serde_json::Value) -> Result<Self, Error> { Ok(Self) }
    fn broadcast(&self, _: Channels<'_>, _: &Payload<'_>) {}
    fn notify(&self, _: ConnectionId, _: Channels<'_>, _: &Payload<'_>) {}
    fn join_channel(&self, _: ConnectionId, _: &str) -> Result<(), Error> { Ok(()) }
    fn leave_channel(&self, _: ConnectionId, _: &str) {}
    fn disconnect(&self, _: ConnectionId, _: DisconnectReason, _: &str) {}
}
export_protocol!(Quiet);
"#;

/// A file of the copy, and what to replace in it.
pub(crate) type Patch<'a> = (&'a str, &'a str, &'a str);

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Builds a protocol against a patched copy of the crate at `root`, and gives the library.
pub(crate) fn build(root: &Path, name: &str, features: &str, patches: &[Patch<'_>]) -> PathBuf {
    let folder = tempfile::tempdir().unwrap();
    let workspace = folder.path();
    // Cargo tells the crates of one target folder apart by their path in the workspace.
    let sdk = format!("sdk-{name}");
    for part in ["src", "history", "include"] {
        copy(&root.join(part), &workspace.join(&sdk).join(part));
    }
    for file in ["Cargo.toml", "build.rs"] {
        fs::copy(root.join(file), workspace.join(&sdk).join(file)).unwrap();
    }
    let outer = root.parent().unwrap();
    fs::copy(outer.join("Cargo.lock"), workspace.join("Cargo.lock")).unwrap();
    let manifest = fs::read_to_string(outer.join("Cargo.toml")).unwrap();
    let (before, after) = manifest.split_once("members = [").unwrap();
    let after = after.split_once(']').unwrap().1;
    let manifest = format!("{before}members = [\"{sdk}\", \"fixture\"]{after}")
        .replace("path = \"protocol-abi\"", &format!("path = \"{sdk}\""));
    fs::write(workspace.join("Cargo.toml"), manifest).unwrap();
    for (file, old, new) in patches {
        let path = workspace.join(&sdk).join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches(old).count(), 1, "`{old}` in {file}");
        fs::write(path, text.replace(old, new)).unwrap();
    }
    let fixture = workspace.join("fixture");
    fs::create_dir_all(fixture.join("src")).unwrap();
    fs::write(fixture.join("src/lib.rs"), PROTOCOL).unwrap();
    fs::write(
        fixture.join("Cargo.toml"),
        format!(
            "[package]\nname = \"fixture-{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
             [lib]\ncrate-type = [\"cdylib\"]\n\
             [dependencies]\nserde_json.workspace = true\n\
             kuzzle-protocol-abi = {{ path = \"../{sdk}\", default-features = false, features = [{features}] }}\n"
        ),
    )
    .unwrap();
    // One folder for all, so that dependencies are built once; the library's name is the fixture's.
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("fixtures");
    let output = Command::new(env!("CARGO"))
        .args(["build", "--release", "--offline", "--quiet", "--package"])
        .arg(format!("fixture-{name}"))
        .arg("--target-dir")
        .arg(&target)
        .current_dir(workspace)
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("RUSTFLAGS")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let file = format!(
        "{}fixture_{}{}",
        std::env::consts::DLL_PREFIX,
        name.replace('-', "_"),
        std::env::consts::DLL_SUFFIX
    );
    target.join("release").join(file)
}

/// The note's table as literals: what a library claims whose author has forged it.
pub(crate) fn forged() -> String {
    let table = note::expected_table(0, 8).unwrap();
    let values: Vec<_> = table.map(|(_, value)| value.to_string()).collect();
    format!("table: [{}],", values.join(", "))
}
