//! Runs scripts of `tests/sdk` in Node, with the packages of its lock file.

use std::env;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::build::{built, has, root};

/// How long a script may run.
const LIMIT: Duration = Duration::from_secs(60);

/// Node, with the packages installed.
pub struct Node {
    modules: PathBuf,
}

impl Node {
    /// Without Node or npm the test is skipped by name, or fails where `CI` is `true`.
    pub fn new(test: &str) -> Option<Self> {
        (has(test, "node") && has(test, "npm")).then(|| Self { modules: install() })
    }

    /// Whether Node has a WebSocket of its own: from 20.10 on. With an older one, as some systems package it, the test is
    /// skipped by name.
    pub fn has_websocket(&self, test: &str) -> bool {
        let output = Command::new("node").args(["--experimental-websocket", "--eval", "0"]).output();
        let found = output.is_ok_and(|output| output.status.success());
        if !found {
            eprintln!("skipped for want of Node 20.10 or later: {test}");
        }
        found
    }

    /// Runs `tests/sdk/SCRIPT` against the address; answers what it printed. `native`: with Node's own WebSocket,
    /// which the SDK then takes instead of the package `ws`.
    ///
    /// # Panics
    /// If it fails or does not end.
    pub fn run(&self, script: &str, native: bool, address: SocketAddr, arguments: &[&str]) -> String {
        let mut command = Command::new("node");
        command
            .arg("--no-warnings")
            .args(native.then_some("--experimental-websocket"))
            .arg(root().join("tests/sdk").join(script))
            .args(arguments)
            .env("NODE_PATH", &self.modules)
            .env("KUZZLE_HOST", address.ip().to_string())
            .env("KUZZLE_PORT", address.port().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("node has answered before");
        let until = Instant::now() + LIMIT;
        while child.try_wait().expect("it is our child").is_none() {
            if Instant::now() > until {
                let _ = child.kill();
                let output = child.wait_with_output().expect("it is our child");
                panic!("{script} does not end: {}", String::from_utf8_lossy(&output.stderr));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let output = child.wait_with_output().expect("it is our child");
        let [out, err] =
            [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
        assert!(output.status.success(), "{script} {arguments:?} ended with {}\n{out}\n{err}", output.status);
        out
    }
}

/// Installs the packages that the lock file names below what cargo has built, once for each lock file.
fn install() -> PathBuf {
    let source = root().join("tests/sdk");
    let lock = fs::read_to_string(source.join("package-lock.json")).expect("it is part of the repository");
    let folder = built().join("end-to-end/sdk");
    fs::create_dir_all(&folder).expect("cargo has put files there too");
    // Tests run in processes of their own.
    let guard = File::create(folder.join("lock")).expect("the folder is ours");
    guard.lock().expect("files can be locked");
    let modules = folder.join("node_modules");
    let installed = folder.join("installed.json");
    if fs::read_to_string(&installed).ok().as_deref() == Some(&lock) {
        return modules;
    }
    for file in ["package.json", "package-lock.json"] {
        fs::copy(source.join(file), folder.join(file)).expect("the folder is ours");
    }
    let npm = if env::consts::OS == "windows" { "npm.cmd" } else { "npm" };
    let mut command = Command::new(npm);
    command.current_dir(&folder).args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]);
    let output = command.output().expect("npm has answered before");
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
    fs::write(installed, lock).expect("the folder is ours");
    modules
}
