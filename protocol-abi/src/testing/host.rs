//! The host: what it was told to answer, what it knows of the protocol, what it has recorded.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use super::buffers::Ledger;
use super::functions::Functions;
use super::recorded::{Recorded, References, Rule, Violation};
use super::running::Running;
use super::{Answer, ApiRequest};
use crate::raw::kuzzle_protocol;
use crate::{ConnectionId, Error, Protocol};

/// How long [`FakeHost::wait`] waits for something that must happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// How far the protocol has come, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Loaded,
    /// Clients may be declared.
    Open,
    ShuttingDown,
    /// `shutdown` has been called.
    Shutdown,
    /// `shutdown` has returned.
    Over,
}

/// What `init` made.
#[derive(Clone, Copy)]
pub(super) struct Instance(pub(super) *mut kuzzle_protocol);

// SAFETY: the ABI lets a host pass the pointer to the protocol's functions on any thread.
unsafe impl Send for Instance {}
// SAFETY: as above; `Running` keeps to the functions' tags.
unsafe impl Sync for Instance {}

pub(super) struct State {
    pub(super) stage: Stage,
    pub(super) recorded: Recorded,
    pub(super) next_connection: u64,
    /// Held while something is called for a connection: such calls are never concurrent.
    pub(super) turns: HashMap<u64, Arc<Mutex<()>>>,
    /// Answers that are still to come.
    pub(super) later: usize,
}

pub(super) type AnswerFn = dyn Fn(&ApiRequest) -> Answer + Send + Sync;

pub(super) struct Shared {
    pub(super) config: String,
    /// What dotted paths lead into.
    pub(super) options: Value,
    pub(super) host: Option<String>,
    pub(super) port: i64,
    answer: Box<AnswerFn>,
    pub(super) state: Mutex<State>,
    changed: Condvar,
    pub(super) ledger: Ledger,
    pub(super) functions: OnceLock<Functions>,
    pub(super) instance: OnceLock<Instance>,
    /// Structs are longer than the protocol knows them, as those of a later host will be.
    pub(super) longer_structs: AtomicBool,
    /// Whether `get_extension` answers anything.
    pub(super) extensions: bool,
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn record<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state());
        self.changed.notify_all();
        result
    }

    pub(super) fn violated(&self, rule: Rule, text: impl Into<String>) {
        let violation = Violation { rule, text: text.into() };
        self.record(|state| {
            if state.recorded.violations.len() < 1000 {
                state.recorded.violations.push(violation);
            }
        });
    }

    pub(super) fn answer(&self, request: &ApiRequest) -> Answer {
        (self.answer)(request)
    }

    /// Whose turn it is with a connection.
    pub(super) fn turn(&self, connection: u64) -> Arc<Mutex<()>> {
        Arc::clone(self.state().turns.entry(connection).or_default())
    }
}

/// A host for tests. See [the module](super).
///
/// # Ownership
/// Leaked, as libraries keep pointers into a host; clones are the same host.
#[derive(Clone, Copy)]
pub struct FakeHost {
    pub(super) shared: &'static Shared,
}

impl FakeHost {
    /// A host for the protocol of this name, without options.
    pub fn builder(name: &str) -> Builder {
        Builder {
            name: name.to_owned(),
            sections: Map::new(),
            server: Map::new(),
            answer: Box::new(Answer::minimal),
            extensions: true,
        }
    }

    /// Initialises and starts a protocol, on threads of its own as a host does.
    ///
    /// # Errors
    /// What `init` or `start` answered.
    ///
    /// # Panics
    /// If this host has run a protocol already.
    pub fn run<P: Protocol>(self) -> Result<Running, Error> {
        let running = self.init(Functions::of::<P>())?;
        running.start()?;
        Ok(running)
    }

    /// Initialises a protocol; clients can not be declared until [`Running::start`].
    ///
    /// # Errors
    /// What `init` answered.
    ///
    /// # Panics
    /// If this host has run a protocol already.
    pub fn init(self, functions: Functions) -> Result<Running, Error> {
        Running::init(self, functions)
    }

    /// Everything that the protocol has done so far.
    pub fn recorded(self) -> Recorded {
        self.shared.state().recorded.clone()
    }

    /// Looks until there is something, or this time is over.
    pub fn wait_for<T>(self, patience: Duration, mut look: impl FnMut(&Recorded) -> Option<T>) -> Option<T> {
        let until = Instant::now() + patience;
        let mut state = self.shared.state();
        loop {
            if let Some(found) = look(&state.recorded) {
                return Some(found);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Looks until there is something.
    ///
    /// # Panics
    /// If there is nothing for 30 s. `what` is told, and all that was recorded.
    #[track_caller]
    pub fn wait<T>(self, what: &str, look: impl FnMut(&Recorded) -> Option<T>) -> T {
        match self.wait_for(PATIENCE, look) {
            Some(found) => found,
            None => panic!("waited in vain for {what}: {:#?}", self.recorded()),
        }
    }

    /// Waits for a listener and answers its address, for example `127.0.0.1:7514`.
    ///
    /// # Panics
    /// If none is reported.
    #[track_caller]
    pub fn address(self, transport: &str) -> std::net::SocketAddr {
        self.wait("a listener", |recorded| {
            let listener = recorded.listeners.iter().find(|listener| listener.transport == transport)?;
            listener.address.parse().ok()
        })
    }

    /// How often payloads were retained and released. Once nothing is being sent they are equal.
    pub fn references(self) -> References {
        let ledger = &self.shared.ledger;
        References {
            retained: ledger.retained.load(Ordering::SeqCst),
            released: ledger.released.load(Ordering::SeqCst),
        }
    }

    /// The rules that were broken.
    pub fn violations(self) -> Vec<Violation> {
        let mut violations = self.shared.state().recorded.violations.clone();
        let misused = self.shared.ledger.misused.load(Ordering::SeqCst);
        if misused > 0 {
            let text =
                format!("{misused} times a payload was retained or released by somebody who was no owner");
            violations.push(Violation { rule: Rule::Payloads, text });
        }
        violations
    }

    /// Makes sure that no rule was broken.
    ///
    /// # Panics
    /// If one was.
    #[track_caller]
    pub fn is_clean(self) {
        let violations = self.violations();
        assert!(violations.is_empty(), "rules of the ABI were broken: {violations:#?}");
    }

    /// From now on messages are longer than the protocol knows them, as those of a later host.
    pub fn send_longer_structs(self) {
        self.shared.longer_structs.store(true, Ordering::SeqCst);
    }

    /// From now on the host is shutting down: new clients are refused.
    pub fn begin_shutdown(self) {
        self.shared.record(|state| state.stage = state.stage.max(Stage::ShuttingDown));
    }

    /// Forgets a connection, as a host does that has given up waiting for its removal: its requests are
    /// answered [`Status::BadHandle`](crate::Status::BadHandle).
    pub fn forget(self, connection: ConnectionId) {
        self.shared.record(|state| state.recorded.removed.push(connection));
    }
}

/// A connection of any number, most likely one that nobody has declared.
pub fn connection_id(handle: u64) -> ConnectionId {
    ConnectionId::from_raw(handle)
}

impl fmt::Debug for FakeHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeHost").finish_non_exhaustive()
    }
}

/// What a [`FakeHost`] is told before it runs a protocol.
pub struct Builder {
    name: String,
    sections: Map<String, Value>,
    server: Map<String, Value>,
    answer: Box<AnswerFn>,
    extensions: bool,
}

impl Builder {
    /// The options of the protocol's only section: `server.protocols.<name>`.
    #[must_use]
    pub fn options(mut self, options: Value) -> Self {
        self.sections.insert(self.name.clone(), options);
        self
    }

    /// The options of one section, for a protocol that owns several.
    #[must_use]
    pub fn section(mut self, name: &str, options: Value) -> Self {
        self.sections.insert(name.to_owned(), options);
        self
    }

    /// A key of the `server` section beside `protocols`: `host` (absent unless set) or `port` (0).
    #[must_use]
    pub fn server(mut self, key: &str, value: Value) -> Self {
        self.server.insert(key.to_owned(), value);
        self
    }

    /// How requests are answered; [`Answer::minimal`] unless this is called.
    #[must_use]
    pub fn answer(mut self, answer: impl Fn(&ApiRequest) -> Answer + Send + Sync + 'static) -> Self {
        self.answer = Box::new(answer);
        self
    }

    /// A host without extensions.
    #[must_use]
    pub fn without_extensions(mut self) -> Self {
        self.extensions = false;
        self
    }

    /// Makes the host.
    pub fn build(self) -> FakeHost {
        let Self { sections, mut server, answer, extensions, .. } = self;
        server.entry("port").or_insert_with(|| 0.into());
        let (host, port) =
            (server.get("host").and_then(Value::as_str).map(str::to_owned), server["port"].as_i64());
        let sections = Value::Object(sections);
        server.insert("protocols".to_owned(), sections.clone());
        let options = match sections {
            Value::Object(sections) if sections.len() == 1 => {
                sections.into_iter().next().map_or(Value::Null, |(_, options)| options)
            }
            sections => sections,
        };
        let shared = Box::leak(Box::new(Shared {
            config: Value::Object(server).to_string(),
            options,
            host,
            port: port.unwrap_or(0),
            answer,
            state: Mutex::new(State {
                stage: Stage::Loaded,
                recorded: Recorded::default(),
                next_connection: 0x0100_0001,
                turns: HashMap::new(),
                later: 0,
            }),
            changed: Condvar::new(),
            ledger: Ledger::default(),
            functions: OnceLock::new(),
            instance: OnceLock::new(),
            longer_structs: AtomicBool::new(false),
            extensions,
        }));
        FakeHost { shared }
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("name", &self.name).finish_non_exhaustive()
    }
}
