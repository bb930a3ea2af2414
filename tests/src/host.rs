//! A running host.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{DEADLINE, Installation, build};

const POLL: Duration = Duration::from_millis(5);

/// A process `kuzzle-host start`, killed when the test ends.
pub struct Host {
    process: Child,
    ready_file: PathBuf,
    log: PathBuf,
    home: PathBuf,
    spawned: Instant,
}

/// A host that has ended.
pub struct Finished {
    /// The exit status; `None` if a signal ended it.
    pub status: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// What it wrote to standard error.
    pub log: String,
    /// What it wrote to standard output.
    pub output: String,
    /// How long it took to end: after it was asked to, or for one that refuses to serve, in all.
    pub took: Duration,
}

impl Finished {
    /// Makes sure that it ended well.
    pub fn is_clean(&self) -> &Self {
        assert_eq!(self.status, Some(0), "{}", self.log);
        self
    }

    /// Where the first line with this text stands in the log.
    pub fn line_of(&self, text: &str) -> usize {
        let position = self.log.lines().position(|line| line.contains(text));
        position.unwrap_or_else(|| panic!("{text:?} is not in the log:\n{}", self.log))
    }
}

impl Host {
    /// A command `kuzzle-host ARGUMENTS`, with no configuration from the environment.
    pub fn bare_command(arguments: &[&str]) -> Command {
        let mut command = Command::new(build::program());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("kuzzle_"))
        {
            command.env_remove(name);
        }
        command.args(arguments).env("KUZZLE_LOG", "debug").stdin(Stdio::null());
        command
    }

    /// A command `kuzzle-host --home … ARGUMENTS`, with no configuration from the environment.
    ///
    /// Constructors of fixtures put their mark at [`Host::mark`].
    pub fn command(home: &Path, arguments: &[&str]) -> Command {
        let mut command = Self::bare_command(&[]);
        command.arg("--home").arg(home).args(arguments).env("FIXTURE_MARK", Self::mark(home));
        // Nobody's own configuration counts.
        command.env("HOME", home);
        command
    }

    /// The file that says that a fixture's constructor has run.
    pub fn mark(home: &Path) -> PathBuf {
        home.join("mark")
    }

    /// Runs a command to its end.
    pub fn run(home: &Path, arguments: &[&str]) -> Output {
        Self::command(home, arguments).output().expect("the program is built")
    }

    /// Starts a host without waiting for it.
    pub fn spawn(installation: &Installation, arguments: &[&str]) -> Self {
        Self::spawn_with(installation, |command| command.args(arguments))
    }

    /// Starts a host without waiting for it, after changes to its command.
    pub fn spawn_with(
        installation: &Installation,
        change: impl FnOnce(&mut Command) -> &mut Command,
    ) -> Self {
        let home = installation.home().to_owned();
        let (ready_file, log) = (home.join("ready.json"), home.join("host.log"));
        let mut command = Self::command(&home, &["start"]);
        command
            .arg("--ready-file")
            .arg(&ready_file)
            .stdout(File::create(home.join("host.out")).expect("the installation is ours"))
            .stderr(File::create(&log).expect("the installation is ours"));
        let process = change(&mut command).spawn().expect("the program is built");
        Self { process, ready_file, log, home, spawned: Instant::now() }
    }

    /// Runs a host that refuses to serve to its end.
    pub fn refused(installation: &Installation) -> Finished {
        let mut host = Self::spawn(installation, &[]);
        while host.is_running() && !host.ready_file.exists() {
            assert!(host.spawned.elapsed() < DEADLINE, "the host does not end:\n{}", host.log());
            thread::sleep(POLL);
        }
        assert!(!host.ready_file.exists(), "it serves:\n{}", host.log());
        let spawned = host.spawned;
        Finished { took: spawned.elapsed(), ..host.wait() }
    }

    /// Starts a host whose log is only what its configuration says.
    pub fn spawn_configured(installation: &Installation) -> Self {
        Self::spawn_with(installation, |command| command.env_remove("KUZZLE_LOG"))
    }

    /// Starts a host and waits until all protocols serve.
    pub fn start(installation: &Installation) -> Self {
        let mut host = Self::spawn(installation, &[]);
        host.wait_ready();
        host
    }

    /// Waits until all protocols serve.
    pub fn wait_ready(&mut self) -> Value {
        let deadline = Instant::now() + DEADLINE;
        while !self.ready_file.exists() {
            if let Some(status) = self.process.try_wait().expect("it is our child") {
                panic!("the host ended with {status} before it served:\n{}", self.log());
            }
            assert!(Instant::now() < deadline, "the host does not serve in time:\n{}", self.log());
            thread::sleep(POLL);
        }
        let text = fs::read_to_string(&self.ready_file).expect("it is written atomically");
        serde_json::from_str(&text).expect("the ready file is JSON")
    }

    /// The address of a protocol's only listener.
    pub fn address(&mut self, protocol: &str) -> SocketAddr {
        let ready = self.wait_ready();
        let protocols = ready["protocols"].as_array().expect("protocols is an array");
        let found = protocols.iter().find(|found| found["name"] == protocol);
        let found = found.unwrap_or_else(|| panic!("{protocol} does not serve: {ready}"));
        found["listeners"][0]["address"]
            .as_str()
            .and_then(|address| address.parse().ok())
            .unwrap_or_else(|| panic!("{protocol} has reported no address: {ready}"))
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The installation.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// What the host has written to standard error so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until the log holds this text, and answers the JSON document that follows it there.
    pub fn wait_log_json(&mut self, text: &str) -> Value {
        let line = self.wait_log(text);
        let (_, json) = line.split_once(text).expect("the line holds it");
        let document = serde_json::Deserializer::from_str(json).into_iter().next();
        document.and_then(Result::ok).unwrap_or_else(|| panic!("no JSON after {text:?} in {line:?}"))
    }

    /// Waits until the log holds this text, and answers the line.
    pub fn wait_log(&mut self, text: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let log = self.log();
            if let Some(line) = log.lines().find(|line| line.contains(text)) {
                return line.to_owned();
            }
            if let Some(status) = self.process.try_wait().expect("it is our child") {
                let log = self.log();
                assert!(
                    log.contains(text),
                    "the host ended with {status}, {text:?} is not in its log:\n{log}"
                );
                continue;
            }
            assert!(Instant::now() < deadline, "{text:?} does not come into the log:\n{log}");
            thread::sleep(POLL);
        }
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        self.process.try_wait().expect("it is our child").is_none()
    }

    /// Sends a signal: `TERM`, `INT`, ….
    pub fn signal(&self, name: &str) {
        // `kill` is part of every shell, but not a program of every system.
        let status = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.pid())).status();
        assert!(status.expect("every system has a shell").success());
    }

    /// Waits until the process has ended by itself.
    pub fn wait(mut self) -> Finished {
        let asked = Instant::now();
        let deadline = asked + DEADLINE;
        let status: ExitStatus = loop {
            if let Some(status) = self.process.try_wait().expect("it is our child") {
                break status;
            }
            assert!(Instant::now() < deadline, "the host does not end:\n{}", self.log());
            thread::sleep(POLL);
        };
        let took = asked.elapsed();
        let output = fs::read_to_string(self.home.join("host.out")).expect("the installation is ours");
        Finished { status: status.code(), signal: status.signal(), log: self.log(), output, took }
    }

    /// Asks the process to end, and waits.
    pub fn terminate(self) -> Finished {
        self.signal("TERM");
        self.wait()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
