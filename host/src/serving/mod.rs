//! Serving: connections, requests and notifications between loaded protocols and the kernel.
//!
//! A request comes in through `entry_point` and is executed by the kernel on the same thread.
//! What the kernel brings about is appended (`turn`) and delivered after it has returned: in each
//! connection's own order (`outbox`), to the executing protocol on this thread and to the others
//! on their own (`queue`). No lock is held across a call into a protocol.

pub mod abi;
mod access_log;
mod calls;
mod connections;
mod counters;
mod entry_point;
mod health;
#[cfg(test)]
#[cfg(feature = "loom")]
mod models;
mod outbox;
mod protocol;
mod queue;
#[cfg(test)]
mod race_tests;
mod reaper;
mod reported;
mod shutdown;
#[cfg(test)]
mod stress_tests;
mod sync;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod turn;
mod watchdog;

use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use kuzzle_kernel::{Environment, Kernel, ProtocolInfo, SystemEnvironment};
use parking_lot::Mutex;

pub use access_log::AccessLog;
pub(crate) use calls::Call;
pub use calls::Function;
pub(crate) use calls::current as current_call;
pub use connections::{Connection, Connections, Handle};
pub use counters::{Counter, Counters};
pub use outbox::DisconnectReason;
pub use protocol::{Description, Failure, Protocol, State};
pub use shutdown::Outcome;

use crate::installation::OnPanic;
use crate::{platform, systemd};
use reaper::Reaper;
use sync::AtomicBool;

/// The running server. Never freed: libraries and threads keep references to it.
pub struct Host {
    /// Executes requests, keeps rooms.
    pub kernel: Kernel,
    /// The clients of all protocols.
    pub connections: Connections,
    pub(crate) reaper: Reaper,
    pub(crate) max_request_size: usize,
    protocols: OnceLock<Box<[&'static Protocol]>>,
    gate: AtomicBool,
    shutting_down: AtomicBool,
    /// Clients are being disconnected: no more broadcasts.
    closing: AtomicBool,
    describing: Mutex<()>,
    access_log: OnceLock<AccessLog>,
    left_out: OnceLock<Vec<String>>,
}

impl Host {
    /// Makes a host without protocols.
    ///
    /// Requests of more than `max_request_size` bytes are not parsed.
    pub fn new(kernel: Kernel, max_request_size: usize) -> &'static Self {
        let host: &'static Self = Box::leak(Box::new(Self {
            kernel,
            max_request_size,
            connections: Connections::default(),
            reaper: Reaper::default(),
            protocols: OnceLock::new(),
            gate: AtomicBool::new(false),
            shutting_down: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            describing: Mutex::new(()),
            access_log: OnceLock::new(),
            left_out: OnceLock::new(),
        }));
        host.kernel.set_protocol_watch(Box::new(host));
        host
    }

    /// Registers the protocols, once and before any `init`, and starts all threads.
    pub fn register(&'static self, protocols: Vec<&'static Protocol>) {
        let protocols = self.protocols.get_or_init(|| protocols.into());
        for protocol in protocols {
            spawn(&format!("kuzzle-{}", protocol.name), || turn::serve_queue(protocol));
        }
        if !protocols.is_empty() {
            spawn("kuzzle-reaper", || self.reaper.serve());
            spawn("kuzzle-watchdog", move || watchdog::serve(self));
        }
    }

    /// The registered protocols, in the order of loading.
    pub fn protocols(&self) -> &[&'static Protocol] {
        self.protocols.get().map_or(&[], |protocols| protocols)
    }

    /// From now on requests are logged. Only the first call counts.
    pub fn log_accesses(&'static self, log: AccessLog) {
        if self.access_log.set(log).is_ok()
            && let Some(log) = self.access_log()
        {
            spawn("kuzzle-access-log", || log.write());
        }
    }

    /// Where requests are logged; `None`: nowhere.
    pub fn access_log(&self) -> Option<&AccessLog> {
        self.access_log.get()
    }

    /// Has a frame of statistics taken at this interval, for ever.
    pub fn take_statistics(&'static self, interval: Duration) {
        spawn("kuzzle-statistics", move || {
            loop {
                thread::sleep(interval);
                self.kernel.statistics().store_frame(SystemEnvironment.now_ms());
            }
        });
    }

    /// Sets, once, which protocols ought to serve and do not: those that `--failsafe` left out.
    pub fn set_left_out(&self, names: Vec<String>) {
        let _ = self.left_out.set(names);
    }

    /// The protocols that ought to serve and do not.
    pub fn left_out(&self) -> &[String] {
        self.left_out.get().map_or(&[], Vec::as_slice)
    }

    /// Lets protocols declare connections: every `init` has succeeded.
    pub fn open_gate(&self) {
        self.gate.store(true, Ordering::Release);
    }

    pub(crate) fn gate_is_open(&self) -> bool {
        self.gate.load(Ordering::Acquire)
    }

    /// Whether a shutdown has begun.
    pub fn is_shutting_down(&self) -> bool {
        self.shutting_down.load(Ordering::Acquire)
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Has `server:info` tell the protocols as they are now.
    pub fn refresh_info(&self) {
        let _one_after_the_other = self.describing.lock();
        self.kernel.set_protocols(self.describe_protocols());
    }

    /// A protocol does not serve any more.
    pub(crate) fn tell_change(&self) {
        self.refresh_info();
        systemd::status(&self.status());
    }

    /// What people are shown of it in one line.
    pub fn status(&self) -> String {
        let (serving, others): (Vec<_>, Vec<_>) =
            self.protocols().iter().partition(|protocol| protocol.serves());
        let names = |protocols: &[&&'static Protocol]| -> Vec<String> {
            protocols.iter().map(|protocol| protocol.name.clone()).collect()
        };
        let mut missing = names(&others);
        missing.extend(
            self.left_out().iter().filter(|name| !missing.contains(name)).cloned().collect::<Vec<_>>(),
        );
        let serving = if serving.is_empty() { "no protocol".to_owned() } else { names(&serving).join(", ") };
        match &*missing {
            [] => format!("Serving {serving}"),
            missing => format!("Serving {serving}; not: {}", missing.join(", ")),
        }
    }

    /// What `server:info`, the ready line and the ready file tell of the protocols that serve.
    pub fn describe_protocols(&self) -> Vec<ProtocolInfo> {
        let serving = self.protocols().iter().filter(|protocol| protocol.serves());
        serving
            .map(|protocol| ProtocolInfo {
                name: protocol.name.clone(),
                version: protocol.description.version.clone(),
                listeners: protocol.listeners(),
            })
            .collect()
    }

    /// Takes a protocol out of service after a fault: it is not called any more, its connections
    /// are removed, its `shutdown` is called once.
    pub(crate) fn stop(&self, protocol: &'static Protocol, function: Function) {
        if protocol.description.on_panic == OnPanic::Abort {
            tracing::error!(
                protocol = %protocol.name, %function,
                "the protocol panicked; the host ends, as its onPanic is \"abort\""
            );
            std::process::abort();
        }
        if protocol.advance(State::Stopped) {
            tracing::error!(
                protocol = %protocol.name, %function,
                "the protocol panicked and is stopped: its clients are cut off, the other protocols go on"
            );
            protocol.queue.push(queue::Work::Stop);
            self.tell_change();
        }
    }
}

/// Starts a host thread. Protocols' functions may run on it, so it blocks termination signals.
fn spawn(name: &str, run: impl FnOnce() + Send + 'static) {
    let run = move || {
        platform::block_termination_signals();
        run();
    };
    thread::Builder::new().name(name.into()).spawn(run).expect("the system has no threads left at start-up");
}
