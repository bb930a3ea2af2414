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

/// A function of a protocol that the host calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
#[allow(missing_docs, reason = "the header documents each function")]
pub enum Function {
    Init = 1,
    Start,
    Broadcast,
    Notify,
    JoinChannel,
    LeaveChannel,
    Disconnect,
    Completion,
    Shutdown,
}

impl Function {
    /// Kuzzle's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Start => "start",
            Self::Broadcast => "broadcast",
            Self::Notify => "notify",
            Self::JoinChannel => "joinChannel",
            Self::LeaveChannel => "leaveChannel",
            Self::Disconnect => "disconnect",
            Self::Completion => "completion",
            Self::Shutdown => "shutdown",
        }
    }

    /// Whether `execute` answers REENTRANT inside.
    fn is_callback(self) -> bool {
        !matches!(self, Self::Init | Self::Start | Self::Shutdown)
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A stamp: sequence number, protocol and function; 0 outside of all protocols.
#[derive(Default)]
struct Stamp(AtomicU64);

const fn stamp(sequence: u64, protocol: u16, function: Function) -> u64 {
    sequence << 24 | (protocol as u64) << 8 | function as u64
}

struct Thread {
    stamp: Arc<Stamp>,
    sequence: Cell<u64>,
    callbacks: Cell<u32>,
}

/// The stamps of all threads that have ever called into a protocol and still live.
static THREADS: Mutex<Vec<Arc<Stamp>>> = Mutex::new(Vec::new());

thread_local! {
    static THREAD: Thread = {
        let stamp = Arc::<Stamp>::default();
        THREADS.lock().push(stamp.clone());
        Thread { stamp, sequence: Cell::new(0), callbacks: Cell::new(0) }
    };
}

impl Drop for Thread {
    fn drop(&mut self) {
        THREADS.lock().retain(|stamp| !Arc::ptr_eq(stamp, &self.stamp));
    }
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
            let before = thread.stamp.0.load(Ordering::Relaxed);
            thread.stamp.0.store(stamp(sequence, protocol, function), Ordering::Release);
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
            thread.stamp.0.store(self.before, Ordering::Release);
            if self.callback {
                thread.callbacks.set(thread.callbacks.get() - 1);
            }
        });
    }
}

/// Whether this thread is inside a callback of some protocol.
pub(crate) fn inside_callback() -> bool {
    THREAD.try_with(|thread| thread.callbacks.get() > 0).unwrap_or(false)
}

/// The protocols (by index) and functions whose code some thread is running now.
pub(crate) fn running() -> Vec<(u16, Function)> {
    const FUNCTIONS: [Function; 9] = [
        Function::Init,
        Function::Start,
        Function::Broadcast,
        Function::Notify,
        Function::JoinChannel,
        Function::LeaveChannel,
        Function::Disconnect,
        Function::Completion,
        Function::Shutdown,
    ];
    fence(Ordering::SeqCst);
    let stamps = THREADS.lock();
    let values = stamps.iter().map(|stamp| stamp.0.load(Ordering::Acquire));
    values
        .filter_map(|value| {
            let function = FUNCTIONS.get(((value & 0xff) as usize).checked_sub(1)?)?;
            Some(((value >> 8) as u16, *function))
        })
        .collect()
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
