//! A protocol as the host serves it: its functions, its state, its own dispatch queue.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use kuzzle_kernel::{Channel, Listener, Payload, Response};
use parking_lot::Mutex;
use serde_json::Value;

use super::Host;
use super::abi::{Completion, Functions, Instance, Tables};
use super::calls::{self, Call, Function};
use super::connections::Handle;
use super::counters::Counters;
use super::outbox::DisconnectReason;
use super::queue::{Queue, Work};
use super::reported::Reported;
use super::shutdown::wait;
use super::sync::AtomicU8;
use crate::installation::OnPanic;

pub use super::abi::Failure;
use crate::logging::ProtocolLog;

/// A protocol gets this long for its `shutdown` even if the deadline is nearer.
pub(crate) const LEAST: Duration = Duration::from_millis(100);

/// What becomes of a protocol, in this order; a fault skips to `Stopped`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum State {
    /// Loaded; `init` has not succeeded yet.
    Loaded,
    /// `init` has succeeded.
    Initialised,
    /// Taken out of service after a fault.
    Stopped,
    /// One of its functions does not return: it is never called again, not even its `shutdown`.
    Suspended,
    /// `shutdown` has been called, or is about to be.
    Shutdown,
}

impl State {
    /// Its name in metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::Initialised => "initialised",
            Self::Stopped => "stopped",
            Self::Suspended => "suspended",
            Self::Shutdown => "shutdown",
        }
    }
}

/// Facts about a protocol that do not change.
pub struct Description {
    /// The manifest's name.
    pub name: String,
    /// The manifest's version.
    pub version: Option<String>,
    /// The enabled entry.
    pub entry: PathBuf,
    /// What to do when it panics.
    pub on_panic: OnPanic,
    /// How many connections it may have at once.
    pub max_connections: u64,
    /// The sections of `server.protocols` that it owns, each with its options.
    pub options: Value,
    /// The `server` section as JSON, with only its own sections.
    pub config: String,
    /// `server.host`, if it is set.
    pub server_host: Option<String>,
    /// `server.port`.
    pub server_port: i64,
}

/// A loaded protocol. Never freed: libraries keep pointers into it.
pub struct Protocol {
    /// Its number in the process, in the order of loading.
    pub index: u16,
    /// The manifest's name.
    pub name: String,
    pub(crate) host: &'static Host,
    pub(crate) description: Description,
    functions: Functions,
    tables: OnceLock<Tables>,
    instance: OnceLock<Instance>,
    /// Held during `init`, `start` and `shutdown`, which are never concurrent.
    once: Mutex<()>,
    state: AtomicU8,
    pub(crate) queue: Queue,
    listeners: Mutex<Vec<Listener>>,
    /// The numbers that it exposes itself.
    pub(crate) reported: Reported,
    /// What was counted since the start.
    pub counters: Counters,
    pub(crate) log: ProtocolLog,
}

impl Protocol {
    /// Makes a protocol of bound functions. It lives until the process ends.
    pub fn new(
        host: &'static Host,
        index: u16,
        description: Description,
        functions: Functions,
    ) -> &'static Protocol {
        let protocol: &'static Protocol = Box::leak(Box::new(Protocol {
            index,
            name: description.name.clone(),
            log: ProtocolLog::new(&description.name),
            host,
            description,
            functions,
            tables: OnceLock::new(),
            instance: OnceLock::new(),
            once: Mutex::new(()),
            state: AtomicU8::new(State::Loaded as u8),
            queue: Queue::default(),
            listeners: Mutex::default(),
            reported: Reported::default(),
            counters: Counters::default(),
        }));
        protocol.tables.get_or_init(|| Tables::new(protocol));
        protocol
    }

    /// How far it has come.
    pub fn state(&self) -> State {
        match self.state.load(Ordering::Acquire) {
            0 => State::Loaded,
            1 => State::Initialised,
            2 => State::Stopped,
            3 => State::Suspended,
            _ => State::Shutdown,
        }
    }

    /// The enabled entry.
    pub fn entry(&self) -> &Path {
        &self.description.entry
    }

    /// Takes a protocol that could not be initialised or started out of service.
    pub fn withdraw(&'static self) {
        let before = self.state.fetch_max(State::Stopped as u8, Ordering::SeqCst);
        if before == State::Initialised as u8 {
            self.queue.push(Work::Stop);
        }
    }

    /// Goes on to a later state; `false` if it was there already or further.
    pub(crate) fn advance(&self, to: State) -> bool {
        self.state.fetch_max(to as u8, Ordering::SeqCst) < to as u8
    }

    /// Whether it may be called: initialised, and neither stopped nor shut down.
    pub fn serves(&self) -> bool {
        self.state() == State::Initialised
    }

    /// Whether the host is shutting down, so that nothing more is to be expected of the protocol.
    pub(crate) fn host_ends(&self) -> bool {
        self.host.is_shutting_down()
    }

    /// Calls `init`, once.
    ///
    /// # Errors
    /// What the protocol answered.
    pub(crate) fn init(&'static self) -> Result<(), Failure> {
        let tables = self.tables.get().expect("made with the protocol");
        let once = self.once.lock();
        let call = Call::enter(self.index, Function::Init);
        let instance = self.functions.init(tables)?;
        drop(call);
        let call = Call::enter(self.index, Function::GetExtension);
        self.reported.set_table(self.functions.metrics(&instance));
        drop(call);
        self.instance.set(instance).map_err(|_| Failure::other("init was called twice"))?;
        self.advance(State::Initialised);
        drop(once);
        if self.host.is_shutting_down() {
            // The shutdown may not have waited for it.
            self.shutdown(LEAST);
        }
        Ok(())
    }

    /// Calls `start`, if the protocol has it.
    ///
    /// # Errors
    /// What the protocol answered.
    pub(crate) fn start(&'static self) -> Result<(), Failure> {
        let Some(instance) = self.instance.get() else { return Ok(()) };
        let _once = self.once.lock();
        if !self.serves() || self.host.is_shutting_down() {
            return Ok(());
        }
        let _call = Call::enter(self.index, Function::Start);
        self.functions.start(instance)
    }

    /// Has the numbers that it exposes read soon, on its own thread.
    pub(crate) fn refresh_metrics(&self) {
        if self.serves() && !self.host.is_shutting_down() && self.reported.is_due() {
            self.queue.push(Work::Metrics);
        }
    }

    /// Reads the numbers that it exposes.
    pub(crate) fn read_metrics(&'static self) {
        let mut told = None;
        if let Some(table) = self.reported.table() {
            self.call(Function::Metrics, |instance| {
                let (status, metrics) = self.functions.read_metrics(table, instance);
                told = Some(metrics);
                status
            });
        }
        self.reported.was_read(&self.name, told.flatten());
    }

    pub(crate) fn broadcast(&'static self, channels: &[Channel], payload: &Payload) {
        self.call(Function::Broadcast, |instance| self.functions.broadcast(instance, channels, payload));
    }

    pub(crate) fn notify(&'static self, connection: Handle, channels: &[Channel], payload: &Payload) {
        self.call(Function::Notify, |instance| {
            self.functions.notify(instance, connection.0, channels, payload)
        });
    }

    /// Whether the protocol accepts that the connection joins.
    pub(crate) fn join_channel(&'static self, connection: Handle, channel: &str) -> bool {
        self.call(Function::JoinChannel, |instance| {
            self.functions.join_channel(instance, connection.0, channel)
        })
    }

    pub(crate) fn leave_channel(&'static self, connection: Handle, channel: &str) {
        self.call(Function::LeaveChannel, |instance| {
            self.functions.leave_channel(instance, connection.0, channel)
        });
    }

    pub(crate) fn disconnect(&'static self, connection: Handle, reason: DisconnectReason, message: &str) {
        self.call(Function::Disconnect, |instance| {
            self.functions.disconnect(instance, connection.0, reason, message)
        });
    }

    /// Gives a response to whoever asked.
    pub(crate) fn complete(&'static self, completion: Completion, response: &Response) {
        let status = {
            let _call = Call::enter(self.index, Function::Completion);
            if self.state() == State::Suspended {
                return;
            }
            completion.call(response)
        };
        self.judge(Function::Completion, status);
    }

    /// Calls `shutdown`, if the protocol has it, when the calls that had begun have returned; within
    /// `patience`. Afterwards its host functions answer SHUTDOWN. False if it could not be called.
    pub(crate) fn shutdown(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let leave = |before| (before < State::Suspended as u8).then_some(State::Shutdown as u8);
        if self.state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, leave).is_err() {
            return true;
        }
        let Some(instance) = self.instance.get() else { return true };
        let Some(_once) = self.once.try_lock_for(patience / 2) else {
            tracing::error!(protocol = %self.name, "not shut down: its init or start is still running");
            return false;
        };
        // A call that hangs must not use up the time of the shutdown itself.
        wait(deadline - patience / 2, || !calls::running().iter().any(|(index, _)| *index == self.index));
        let _call = Call::enter(self.index, Function::Shutdown);
        let left = deadline.saturating_duration_since(Instant::now()).max(LEAST);
        let status = self.functions.shutdown(instance, left.as_millis() as u32);
        if status != 0 {
            tracing::warn!(protocol = %self.name, status, "shutdown failed");
        }
        true
    }

    /// Adds an address that is really bound.
    pub(crate) fn report_listener(&self, listener: Listener) {
        tracing::info!(protocol = %self.name, transport = %listener.transport, address = %listener.address, "listening");
        self.listeners.lock().push(listener);
    }

    /// The addresses that the protocol has reported.
    pub fn listeners(&self) -> Vec<Listener> {
        self.listeners.lock().clone()
    }

    /// Makes one call, if the protocol serves; whether it was made and succeeded.
    fn call(&'static self, function: Function, call: impl FnOnce(&Instance) -> i32) -> bool {
        let Some(instance) = self.instance.get() else { return false };
        let status = {
            let _call = Call::enter(self.index, function);
            // Only now: `shutdown` waits for the calls that it sees.
            let is_message = matches!(function, Function::Broadcast | Function::Notify);
            if !self.serves() {
                if is_message {
                    self.counters.dropped.add();
                }
                return false;
            }
            if is_message {
                self.counters.notifications.add();
            }
            call(instance)
        };
        self.judge(function, status)
    }

    /// Draws the consequence of what a function answered; whether it succeeded.
    fn judge(&'static self, function: Function, status: i32) -> bool {
        match status {
            super::abi::OK => return true,
            super::abi::PANIC => {
                self.counters.panics.add();
                self.host.stop(self, function);
            }
            status => tracing::debug!(
                protocol = %self.name, %function, status, "the protocol answered an error"
            ),
        }
        false
    }
}

impl fmt::Debug for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
