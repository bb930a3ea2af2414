//! Which protocol's code each thread is running: for re-entrancy, for shutdown and for whoever
//! watches over slow calls.
//!
//! Each thread has one atomic stamp that only it writes, so entering a call costs two stores and
//! reads no clock.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use parking_lot::Mutex;

use crate::platform::SignalStack;

/// A function of a protocol that the host calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
#[allow(missing_docs, reason = "the header documents each function")]
pub enum Function {
    Load = 1,
    Init,
    Start,
    Broadcast,
    Notify,
    JoinChannel,
    LeaveChannel,
    Disconnect,
    Completion,
    Shutdown,
    GetExtension,
    Metrics,
}

/// In the order of their numbers.
const FUNCTIONS: [Function; 12] = [
    Function::Load,
    Function::Init,
    Function::Start,
    Function::Broadcast,
    Function::Notify,
    Function::JoinChannel,
    Function::LeaveChannel,
    Function::Disconnect,
    Function::Completion,
    Function::Shutdown,
    Function::GetExtension,
    Function::Metrics,
];

impl Function {
    /// Kuzzle's name for it, where it has one.
    pub fn name(self) -> &'static str {
        match self {
            Self::Load => "its library's constructors",
            Self::Init => "init",
            Self::Start => "start",
            Self::Broadcast => "broadcast",
            Self::Notify => "notify",
            Self::JoinChannel => "joinChannel",
            Self::LeaveChannel => "leaveChannel",
            Self::Disconnect => "disconnect",
            Self::Completion => "completion",
            Self::Shutdown => "shutdown",
            Self::GetExtension => "get_extension",
            Self::Metrics => "metrics",
        }
    }

    /// Whether `execute` answers REENTRANT inside.
    pub(crate) fn is_callback(self) -> bool {
        !matches!(self, Self::Load | Self::Init | Self::Start | Self::Shutdown)
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One call: sequence number on its thread, protocol and function; 0 outside of all protocols.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stamp(u64);

impl Stamp {
    pub(crate) const fn new(sequence: u64, protocol: u16, function: Function) -> Self {
        Self(sequence << 24 | (protocol as u64) << 8 | function as u64)
    }

    /// The index of the protocol.
    pub(crate) const fn protocol(self) -> u16 {
        (self.0 >> 8) as u16
    }

    /// The function; `None` outside of all protocols.
    pub(crate) fn function(self) -> Option<Function> {
        FUNCTIONS.get(((self.0 & 0xff) as usize).checked_sub(1)?).copied()
    }
}

/// What a thread that has ever called into a protocol tells the others.
struct Shared {
    /// Never given to another thread.
    id: u64,
    stamp: AtomicU64,
}

struct Thread {
    shared: Arc<Shared>,
    sequence: Cell<u64>,
    callbacks: Cell<u32>,
    _stack: SignalStack,
}

/// Those of all threads that still live.
static THREADS: Mutex<Vec<Arc<Shared>>> = Mutex::new(Vec::new());

thread_local! {
    static THREAD: Thread = {
        static STARTED: AtomicU64 = AtomicU64::new(0);
        let shared =
            Arc::new(Shared { id: STARTED.fetch_add(1, Ordering::Relaxed), stamp: AtomicU64::new(0) });
        THREADS.lock().push(shared.clone());
        Thread { shared, sequence: Cell::new(0), callbacks: Cell::new(0), _stack: SignalStack::ensure() }
    };
    /// The same stamp, where a signal handler on this thread can read it.
    static STAMP: Cell<u64> = const { Cell::new(0) };
}

impl Drop for Thread {
    fn drop(&mut self) {
        THREADS.lock().retain(|shared| !Arc::ptr_eq(shared, &self.shared));
    }
}

/// The call that this thread is in: the protocol's index and the function's name. Safe in a signal
/// handler.
pub(crate) fn current() -> Option<(u16, &'static str)> {
    let stamp = Stamp(STAMP.try_with(Cell::get).ok()?);
    Some((stamp.protocol(), stamp.function()?.name()))
}

/// A call into a protocol, from its construction until it is dropped.
///
/// A thread that is ending has no stamp any more: its last calls are not told.
pub(crate) struct Call {
    before: u64,
    callback: bool,
}

impl Call {
    pub(crate) fn enter(protocol: u16, function: Function) -> Self {
        let entered = THREAD.try_with(|thread| {
            let callback = function.is_callback();
            if callback {
                thread.callbacks.set(thread.callbacks.get() + 1);
            }
            let sequence = thread.sequence.get() + 1;
            thread.sequence.set(sequence);
            let before = thread.shared.stamp.load(Ordering::Relaxed);
            set(thread, Stamp::new(sequence, protocol, function).0);
            Self { before, callback }
        });
        // Whoever looks for running calls after changing the protocol's state sees this call, or
        // this call sees the change.
        fence(Ordering::SeqCst);
        entered.unwrap_or_else(|_| Self { before: 0, callback: false })
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let _ = THREAD.try_with(|thread| {
            set(thread, self.before);
            if self.callback {
                thread.callbacks.set(thread.callbacks.get() - 1);
            }
        });
    }
}

fn set(thread: &Thread, stamp: u64) {
    thread.shared.stamp.store(stamp, Ordering::Release);
    STAMP.set(stamp);
}

/// Whether this thread is inside a callback of some protocol.
pub(crate) fn inside_callback() -> bool {
    THREAD.try_with(|thread| thread.callbacks.get() > 0).unwrap_or(false)
}

/// Tells, for each thread that is running a protocol's code now, the thread and the call.
pub(crate) fn each_running(mut tell: impl FnMut(u64, Stamp)) {
    fence(Ordering::SeqCst);
    for thread in THREADS.lock().iter() {
        let stamp = thread.stamp.load(Ordering::Acquire);
        if stamp != 0 {
            tell(thread.id, Stamp(stamp));
        }
    }
}

/// The protocols (by index) and functions whose code some thread is running now.
pub(crate) fn running() -> Vec<(u16, Function)> {
    let mut running = Vec::new();
    each_running(|_, stamp| running.extend(stamp.function().map(|function| (stamp.protocol(), function))));
    running
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nested_call_is_told_and_the_outer_one_after_it() {
        const INDEX: u16 = 7001;
        let mine =
            || running().into_iter().find(|(protocol, _)| *protocol == INDEX).map(|(_, function)| function);
        let start = Call::enter(INDEX, Function::Start);
        assert!(!inside_callback());
        {
            let _broadcast = Call::enter(INDEX, Function::Broadcast);
            assert!(inside_callback());
            assert_eq!(mine(), Some(Function::Broadcast));
        }
        assert!(!inside_callback());
        assert_eq!(mine(), Some(Function::Start));
        drop(start);
        assert_eq!(mine(), None);
    }

    #[test]
    fn a_thread_that_ends_is_forgotten() {
        const INDEX: u16 = 7002;
        std::thread::spawn(|| std::mem::forget(Call::enter(INDEX, Function::Notify))).join().unwrap();
        assert!(running().iter().all(|(protocol, _)| *protocol != INDEX));
    }
}
