//! Each protocol's own queue and thread: broadcasts that other protocols cause, and outboxes that
//! nobody else may drain. So a slow protocol delays only itself.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use kuzzle_kernel::{Channel, Payload};
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::connections::Connection;

/// Broadcasts that may wait for one protocol.
const MOST_BROADCASTS: usize = 65_536;
/// Bytes of payload that may wait for one protocol.
const MOST_BYTES: usize = 64 << 20;

/// Work for a protocol's own thread.
pub(crate) enum Work {
    Broadcast {
        channels: Arc<[Channel]>,
        payload: Payload,
    },
    /// Drain what waits for a connection, if nobody else does.
    Drain(Arc<Connection>),
    /// Go on draining under a claim that is passed on.
    GoOn(Arc<Connection>),
    /// Read the numbers that the protocol exposes.
    Metrics,
    /// The protocol is stopped: end its connections.
    Stop,
    /// Shut it down when the last of these has its answers, or at this time.
    End {
        ending: Vec<Arc<Connection>>,
        until: Instant,
    },
}

#[derive(Default)]
struct State {
    work: VecDeque<Work>,
    broadcasts: usize,
    bytes: usize,
    /// The thread has taken work that it has not finished.
    busy: bool,
    /// Nothing is accepted any more.
    closed: bool,
}

/// A queue with one order for the whole protocol.
#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

impl Queue {
    /// Queues a broadcast; `false` when the bound is passed and it is dropped.
    pub(crate) fn broadcast(&self, channels: Arc<[Channel]>, payload: Payload) -> bool {
        let mut state = self.state.lock();
        let bytes = state.bytes + weight(&channels, &payload);
        if state.closed || state.broadcasts >= MOST_BROADCASTS || (bytes > MOST_BYTES && state.broadcasts > 0)
        {
            return false;
        }
        state.broadcasts += 1;
        state.bytes = bytes;
        self.add(state, Work::Broadcast { channels, payload });
        true
    }

    /// Queues what must not be lost. Bounded by the number of connections: each is there once to be
    /// drained, and once to go on.
    pub(crate) fn push(&self, work: Work) {
        let state = self.state.lock();
        if !state.closed {
            self.add(state, work);
        }
    }

    fn add(&self, mut state: MutexGuard<'_, State>, work: Work) {
        state.work.push_back(work);
        // A thread that is at work looks again before it waits.
        let waits = !state.busy;
        drop(state);
        if waits {
            self.changed.notify_one();
        }
    }

    /// Whether something waits.
    #[cfg(all(test, feature = "loom"))]
    pub(crate) fn has_work(&self) -> bool {
        !self.state.lock().work.is_empty()
    }

    /// The next piece of work, for the protocol's thread; blocks until there is one.
    pub(crate) fn take(&self) -> Work {
        let mut state = self.state.lock();
        loop {
            if let Some(work) = state.work.pop_front() {
                state.busy = true;
                if let Work::Broadcast { channels, payload } = &work {
                    state.broadcasts -= 1;
                    state.bytes -= weight(channels, payload);
                }
                return work;
            }
            state.busy = false;
            self.changed.wait(&mut state);
        }
    }

    /// Drops what waits, and accepts nothing more: the protocol's thread is lost. Answers how many
    /// broadcasts are dropped.
    pub(crate) fn close(&self) -> usize {
        let mut state = self.state.lock();
        state.closed = true;
        let work = std::mem::take(&mut state.work);
        let dropped = std::mem::take(&mut state.broadcasts);
        state.bytes = 0;
        drop(state);
        drop(work);
        dropped
    }

    /// Whether nothing waits and nothing is being done, or ever will be.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.state.lock();
        state.closed || (!state.busy && state.work.is_empty())
    }
}

/// The bytes that a message takes while it waits.
pub(super) fn weight(channels: &[Channel], payload: &Payload) -> usize {
    payload.as_bytes().len() + size_of_val(channels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn above_the_bound_broadcasts_are_dropped() {
        let queue = Queue::default();
        let payload = Payload::from(vec![b' '; MOST_BYTES / 4]);
        let channels: Arc<[Channel]> = Arc::new(["c".into()]);
        let accepted = (0..6).filter(|_| queue.broadcast(channels.clone(), payload.clone())).count();
        assert_eq!(accepted, 3, "channels take bytes too");
        queue.take();
        assert!(queue.broadcast(channels.clone(), payload.clone()), "there is room again");
        assert!(!queue.broadcast(channels.clone(), payload));
        assert_eq!(queue.close(), 3);
        assert!(!queue.broadcast(channels, Payload::from(Vec::new())));
    }

    #[test]
    fn a_queue_is_idle_only_when_its_thread_has_finished() {
        let queue = Queue::default();
        queue.push(Work::Stop);
        assert!(!queue.is_idle());
        assert!(matches!(queue.take(), Work::Stop));
        assert!(!queue.is_idle(), "the work is still being done");
    }
}
