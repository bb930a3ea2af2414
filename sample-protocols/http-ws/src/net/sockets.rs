//! All sockets that are open: counted, and found again when they have to end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use kuzzle_protocol_abi::ConnectionId;
use parking_lot::{Condvar, Mutex, MutexGuard};
use rustc_hash::FxHashMap;

use super::socket::{ABORT, FINISH, Socket};
use crate::Shared;
use crate::config::Sockets as Options;

/// All sockets.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    stopping: AtomicBool,
    count: AtomicUsize,
    /// Those that speak HTTP, by a number of ours.
    http: Mutex<FxHashMap<u64, Arc<Socket>>>,
    /// Those of them that the host knows.
    declared: Mutex<FxHashMap<ConnectionId, Arc<Socket>>>,
    next: AtomicU64,
    ended: Condvar,
    ending: Mutex<()>,
}

impl Sockets {
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    pub(super) fn declared(&self) -> MutexGuard<'_, FxHashMap<ConnectionId, Arc<Socket>>> {
        self.declared.lock()
    }

    /// Ends the socket of this connection after the answer that is due, if it speaks HTTP.
    pub(crate) fn disconnect(&self, id: ConnectionId) {
        let socket = self.declared.lock().get(&id).cloned();
        if let Some(socket) = socket {
            socket.end(FINISH);
        }
    }

    /// Whether all sockets are to end.
    pub(crate) fn are_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Ends those that speak HTTP, also those that come from now on, after the answers that are due.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        let http: Vec<_> = self.http.lock().values().cloned().collect();
        http.iter().for_each(|socket| socket.stop());
    }

    /// Ends those that take too long.
    pub(super) fn sweep(&self, now: u64, options: &Options) {
        let is_late = |socket: &&Arc<Socket>| socket.is_late(now, options);
        let late: Vec<_> = self.http.lock().values().filter(is_late).cloned().collect();
        late.iter().for_each(|socket| socket.end(ABORT));
    }

    /// Waits until there are none; false: some are left.
    pub(super) fn wait_for_end(&self, until: Instant) -> bool {
        let mut ending = self.ending.lock();
        while self.count() > 0 {
            if self.ended.wait_until(&mut ending, until).timed_out() {
                return self.count() == 0;
            }
        }
        true
    }
}

/// Counts a socket, or what it has become, for as long as it lives.
pub(super) struct Counted(Arc<Shared>);

impl Counted {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        shared.sockets.count.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(shared))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let sockets = &self.0.sockets;
        if sockets.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            let _ending = sockets.ending.lock();
            sockets.ended.notify_all();
        }
    }
}

/// A socket that speaks HTTP, listed for as long as it lives.
pub(super) struct Listed {
    pub(super) socket: Arc<Socket>,
    number: u64,
    counted: Counted,
}

impl Listed {
    pub(super) fn new(shared: &Arc<Shared>, peer: SocketAddr) -> Self {
        let sockets = &shared.sockets;
        let socket = Arc::new(Socket::new(peer, shared.clock.now()));
        let number = sockets.next.fetch_add(1, Ordering::Relaxed);
        sockets.http.lock().insert(number, Arc::clone(&socket));
        if sockets.are_stopping() {
            socket.stop();
        }
        Self { socket, number, counted: Counted::new(shared) }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let shared = &self.counted.0;
        self.socket.forget(shared);
        shared.sockets.http.lock().remove(&self.number);
    }
}
