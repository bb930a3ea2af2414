//! The end: running requests are answered, clients are told, protocols are shut down in reverse.

use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::abi;
use super::outbox::DisconnectReason;
use super::protocol::{LEAST, Protocol, State};
use super::{Function, Host, calls, spawn, turn};

/// How a shutdown ended.
#[derive(PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Everything ended in time.
    Clean,
    /// The deadline passed while waiting for this.
    Late(Vec<String>),
}

const POLL: Duration = Duration::from_millis(1);

impl Host {
    /// Ends the service within `timeout`. The process is to exit afterwards.
    pub fn shut_down(&'static self, timeout: Duration) -> Outcome {
        let deadline = Instant::now() + timeout;
        let mut late = Vec::new();
        self.begin_shutdown();

        if !wait(deadline, || self.kernel.running_requests() == 0) {
            late.push(format!("{} running requests", self.kernel.running_requests()));
        }
        // Notifications that are on their way arrive, unless a protocol is far behind.
        wait(Instant::now() + timeout / 2, || self.queues_are_idle());
        self.closing.store(true, Ordering::Release);
        self.disconnect_all();
        if !wait(deadline - timeout / 4, || self.is_quiet()) {
            late.extend(self.noises());
        }
        let ends =
            |protocol: &&&'static Protocol| matches!(protocol.state(), State::Initialised | State::Stopped);
        let mut ending: Vec<_> = self.protocols().iter().filter(ends).collect();
        while let Some(protocol) = ending.pop() {
            // What is left is shared: one that hangs must not use up the time of the others.
            let left = deadline.saturating_duration_since(Instant::now());
            let left = (left / (ending.len() as u32 + 1)).max(LEAST);
            let (done, is_done) = mpsc::channel();
            spawn("kuzzle-shutdown", move || {
                let _ = done.send(protocol.shutdown(left));
            });
            if is_done.recv_timeout(left + LEAST) != Ok(true) {
                late.push(format!("shutdown of protocol \"{}\"", protocol.name));
            }
        }
        let (retained, released) = abi::payload_references();
        tracing::info!(retained, released, "payload references of protocols");
        if late.is_empty() { Outcome::Clean } else { Outcome::Late(late) }
    }

    /// From now on nobody connects.
    pub(super) fn begin_shutdown(&self) {
        self.shutting_down.store(true, Ordering::Release);
        self.kernel.begin_shutdown();
    }

    /// Asks for the end of all connections.
    pub(super) fn disconnect_all(&self) {
        for connection in self.connections.all(None) {
            turn::disconnect(&connection, DisconnectReason::Shutdown, "the server is shutting down");
        }
    }

    /// Whether nothing is on its way to a protocol and no protocol is being called.
    fn is_quiet(&self) -> bool {
        self.queues_are_idle()
            && self.connections.all(None).iter().all(|connection| connection.outbox.is_idle())
            && self.calls().next().is_none()
    }

    fn queues_are_idle(&self) -> bool {
        self.protocols().iter().all(|protocol| protocol.queue.is_idle())
    }

    /// The calls that are running: which protocol, which function. An `init` or `start` that hangs
    /// is not waited for, nor answers to what protocols go on asking.
    fn calls(&self) -> impl Iterator<Item = (&'static Protocol, Function)> {
        let awaited = |function| {
            !matches!(function, Function::Load | Function::Init | Function::Start | Function::Completion)
        };
        let running = calls::running().into_iter().filter(move |(_, function)| awaited(*function));
        running.filter_map(|(index, function)| {
            let protocol = self.protocols().iter().find(|protocol| protocol.index == index)?;
            // The thread that hangs inside a suspended protocol is lost.
            (protocol.state() != State::Suspended).then_some((*protocol, function))
        })
    }

    /// What is not quiet.
    fn noises(&self) -> Vec<String> {
        let mut noises: Vec<_> = self
            .calls()
            .map(|(protocol, function)| format!("{function} of protocol \"{}\"", protocol.name))
            .collect();
        if noises.is_empty() {
            noises.push("notifications on their way to protocols".into());
        }
        noises
    }
}

/// Waits for a condition until the deadline; whether it came true.
pub(super) fn wait(deadline: Instant, mut condition: impl FnMut() -> bool) -> bool {
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(POLL);
    }
}
