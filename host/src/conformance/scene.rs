//! What every scene needs: the protocol, loaded and running, and a way to say what is being done.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use kuzzle_protocol_abi::testing::{Answer, ApiRequest, FakeHost, Functions, Rule, Running};
use kuzzle_protocol_abi::{ConnectionId, Status};
use serde_json::{Value, json};

use super::clients::{self, Client, Way};
use super::journal::{Journal, Phase};
use super::subject::Subject;
use crate::loading;

/// How long a protocol gets for its `shutdown`.
pub(super) const SHUTDOWN: Duration = Duration::from_secs(2);
/// How much longer it may really take: machines are busy.
const GRACE: Duration = Duration::from_secs(2);

/// A scene that has lasted this long makes no more calls: that a protocol is slow is found out elsewhere.
const ENOUGH: Duration = Duration::from_secs(3);

/// Why a scene ends early.
#[derive(Debug)]
pub(super) enum Stop {
    Failed(String),
    Skipped(String),
}

impl Stop {
    pub(super) fn failed(reason: impl Into<String>) -> Self {
        Self::Failed(reason.into())
    }

    pub(super) fn skipped(reason: impl Into<String>) -> Self {
        Self::Skipped(reason.into())
    }
}

/// One scene, in its own process.
pub(super) struct Scene<'a> {
    pub(super) subject: &'a Subject,
    pub(super) journal: &'a Journal,
    pub(super) part: &'a str,
    pub(super) seed: u64,
    pub(super) thorough: bool,
    pub(super) began: Instant,
}

/// A protocol that serves.
#[derive(Clone, Copy)]
pub(super) struct Served {
    pub(super) host: FakeHost,
    pub(super) running: Running,
}

/// The text by which the answer to a request is recognised among the bytes that a client gets.
pub(super) fn marker(request: usize) -> String {
    format!("kz-{request}-zk")
}

/// What a client's request is answered with; what protocols ask for themselves, as usual.
pub(super) fn marked(request: &ApiRequest) -> Answer {
    let document = request.json();
    match (document["controller"].as_str(), document["action"].as_str()) {
        (Some("server"), Some("now")) => Answer::ok(json!({ "marker": marker(request.number) })),
        _ => Answer::minimal(request),
    }
}

impl Scene<'_> {
    /// Says what is done from now on.
    pub(super) fn step(&self, text: &str) {
        self.journal.step(Phase::Serving, text);
    }

    /// Whether enough has been called.
    pub(super) fn is_late(&self) -> bool {
        self.began.elapsed() > ENOUGH
    }

    /// Opens the library.
    pub(super) fn load(&self) -> Result<Functions, Stop> {
        self.journal.step(Phase::Init, "the library was being opened: its constructors ran");
        loading::open_alone(&self.subject.library)
            .map_err(|error| Stop::failed(format!("the library could not be loaded: {error}")))
    }

    /// Calls `init`.
    pub(super) fn init(&self, host: FakeHost, functions: Functions) -> Result<Running, Stop> {
        self.journal.step(Phase::Init, "init was being called");
        host.init(functions).map_err(|error| Stop::failed(format!("init failed: {error}")))
    }

    /// Calls `start`.
    pub(super) fn start(&self, running: Running) -> Result<(), Stop> {
        self.journal.step(Phase::Init, "start was being called");
        running.start().map_err(|error| Stop::failed(format!("start failed: {error}")))
    }

    /// Has the protocol serve, with plain options; requests are answered by `answer`.
    pub(super) fn serve_with(
        &self,
        answer: impl Fn(&ApiRequest) -> Answer + Send + Sync + 'static,
    ) -> Result<Served, Stop> {
        let functions = self.load()?;
        let host = self.subject.host(&self.subject.options(), 0).answer(answer).build();
        let running = self.init(host, functions)?;
        self.start(running)?;
        self.step("nothing was being called");
        Ok(Served { host, running })
    }

    /// Has the protocol serve, with answers that can be recognised.
    pub(super) fn serve(&self) -> Result<Served, Stop> {
        self.serve_with(marked)
    }

    /// Calls `shutdown`, and waits no longer for it than it may take.
    pub(super) fn shut_down(&self, running: Running) -> Result<(), Stop> {
        self.journal.step(Phase::Shutdown, "shutdown was being called");
        let (done, outcome) = mpsc::channel();
        let spawned = std::thread::Builder::new().name("shutdown".to_owned()).spawn(move || {
            let _ = done.send(running.shutdown(SHUTDOWN));
        });
        let thread = spawned.map_err(|error| Stop::skipped(format!("no thread for shutdown: {error}")))?;
        let outcome = outcome.recv_timeout(SHUTDOWN + GRACE).map_err(|_| {
            Stop::failed(format!(
                "shutdown had not returned {} ms after its deadline of {} ms",
                GRACE.as_millis(),
                SHUTDOWN.as_millis()
            ))
        })?;
        // It is not to be mistaken for a thread of the protocol.
        let _ = thread.join();
        outcome.map_err(|status| Stop::failed(format!("shutdown failed: {status}")))
    }
}

impl Served {
    /// How clients can talk to the protocol.
    pub(super) fn way(&self, scene: &Scene<'_>) -> Result<Way, Stop> {
        scene.step("a client was looking for a format that the protocol understands");
        clients::find_way(self.host)
    }

    /// A way and a client with its connection, where a test can do without.
    pub(super) fn client_if_any(&self, scene: &Scene<'_>) -> (Option<Way>, Option<Client>) {
        let way = self.way(scene).ok();
        let client = way.and_then(|way| way.connect(self.host)).filter(|client| client.id.is_some());
        (way, client)
    }

    /// Fails if a rule was broken.
    pub(super) fn kept(&self, rule: Rule) -> Result<(), Stop> {
        let violations = self.host.violations();
        let broken: Vec<_> = violations.iter().filter(|violation| violation.rule == rule).collect();
        match broken.as_slice() {
            [] => Ok(()),
            [one] => Err(Stop::failed(one.text.clone())),
            [first, ..] => Err(Stop::failed(format!("{} ({} times)", first.text, broken.len()))),
        }
    }

    /// Fails if a client that comes now is not served.
    pub(super) fn still_serves(&self, scene: &Scene<'_>, way: Option<Way>) -> Result<(), Stop> {
        let Some(way) = way else { return Ok(()) };
        scene.step("a client came afterwards");
        match (0..3).find_map(|_| way.connect(self.host)) {
            Some(_) => Ok(()),
            None => Err(Stop::failed("afterwards a client that came was not served")),
        }
    }
}

/// Connections that a protocol has never seen.
pub(super) fn unknown_connections() -> [ConnectionId; 4] {
    [0, 1, 0x7fff_ffff_ffff, u64::MAX].map(kuzzle_protocol_abi::testing::connection_id)
}

/// A call that must not panic; that it fails is its own affair.
pub(super) fn no_panic(what: &str, result: Result<(), Status>) -> Result<(), Stop> {
    match result {
        Err(Status::Panic) => Err(Stop::failed(format!("it panicked: {what}"))),
        _ => Ok(()),
    }
}

/// A message.
pub(super) fn news() -> Value {
    json!({ "news": "kuzzle-host conformance" })
}
