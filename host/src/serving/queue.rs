//! Each protocol's own queue and thread: broadcasts that other protocols cause, and outboxes that
//! nobody else may drain. So a slow protocol delays only itself.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use kuzzle_kernel::{Channel, Payload};
use parking_lot::{Condvar, Mutex};

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
        let bytes = state.bytes + payload.as_bytes().len();
        if state.closed || state.broadcasts >= MOST_BROADCASTS || (bytes > MOST_BYTES && state.broadcasts > 0)
        {
            return false;
        }
        state.broadcasts += 1;
        state.bytes = bytes;
        state.work.push_back(Work::Broadcast { channels, payload });
        drop(state);
        self.changed.notify_all();
        true
    }

    /// Queues what must not be lost. Bounded by the number of connections, of which each is queued
    /// by whoever appends to its outbox.
    pub(crate) fn push(&self, work: Work) {
        let mut state = self.state.lock();
        if !state.closed {
            state.work.push_back(work);
            drop(state);
            self.changed.notify_all();
        }
    }

    /// Whether something waits.
    #[cfg(all(test, feature = "loom"))]
    pub(crate) fn has_work(&self) -> bool {
        !self.state.lock().work.is_empty()
    }

    /// All that waits, for the protocol's thread; blocks until there is something.
    pub(crate) fn take(&self) -> VecDeque<Work> {
        let mut state = self.state.lock();
        state.busy = false;
        while state.work.is_empty() {
            self.changed.wait(&mut state);
        }
        state.busy = true;
        state.broadcasts = 0;
        state.bytes = 0;
        std::mem::take(&mut state.work)
    }

    /// Drops what waits, and accepts nothing more: the protocol's thread is lost. Answers how many
    /// broadcasts are dropped.
    pub(crate) fn close(&self) -> usize {
        let mut state = self.state.lock();
        state.closed = true;
        let work = std::mem::take(&mut state.work);
        let dropped = std::mem::take(&mut state.broadcasts);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn above_the_bound_broadcasts_are_dropped() {
        let queue = Queue::default();
        let payload = Payload::from(vec![b' '; MOST_BYTES / 4]);
        let channels: Arc<[Channel]> = Arc::new(["c".into()]);
        let accepted = (0..6).filter(|_| queue.broadcast(channels.clone(), payload.clone())).count();
        assert_eq!(accepted, 4);
        assert_eq!(queue.take().len(), 4);
        assert!(queue.broadcast(channels, payload), "there is room again");
    }

    #[test]
    fn a_queue_is_idle_only_when_its_thread_has_finished() {
        let queue = Queue::default();
        queue.push(Work::Stop);
        assert!(!queue.is_idle());
        assert_eq!(queue.take().len(), 1);
        assert!(!queue.is_idle(), "the work is still being done");
    }
}
