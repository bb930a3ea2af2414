//! What all threads of the protocol see: the broker and the host's connections behind one lock.

use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use kuzzle_protocol_abi::{
    Connection, ConnectionId, ConnectionInfo, Context, EntryPoint, Error, Request, Response, Status,
};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use serde_json::json;

use crate::broker::{Admission, Broker, Key, ReplyTo};
use crate::codec::{Packet, Reason};
use crate::net::Alarm;

/// What is behind the lock. It is held for one packet of a client, for a thousand deliveries of what time
/// brings or what is left over, or while what is to be written to some clients is taken; and while a client
/// is declared (which never calls back), never while the host is called otherwise.
pub(crate) struct State {
    pub(crate) broker: Broker,
    clients: FxHashMap<Key, Connection>,
    keys: FxHashMap<ConnectionId, Key>,
}

impl State {
    pub(crate) fn key(&self, connection: ConnectionId) -> Option<Key> {
        self.keys.get(&connection).copied()
    }
}

pub(crate) struct Shared {
    pub(crate) entry_point: EntryPoint,
    context: Context,
    state: Mutex<State>,
    pub(crate) alarms: Vec<Alarm>,
    /// When the first worker wakes by itself, in milliseconds.
    wakes_at: AtomicU64,
    begun: Instant,
    stopping: AtomicBool,
}

thread_local! {
    /// Which worker this thread is.
    static WORKER: Cell<usize> = const { Cell::new(usize::MAX) };
    /// Workers that have to look for work, a bit each, if this thread is one.
    static WANTED: Cell<u64> = const { Cell::new(0) };
}

/// Says that this thread is a worker, which looks for work by itself before it sleeps.
pub(crate) fn become_worker(index: usize) {
    WORKER.set(index);
}

impl Shared {
    pub(crate) fn new(entry_point: EntryPoint, context: Context, broker: Broker, alarms: Vec<Alarm>) -> Self {
        let state = State { broker, clients: FxHashMap::default(), keys: FxHashMap::default() };
        Self {
            entry_point,
            context,
            state: Mutex::new(state),
            alarms,
            wakes_at: AtomicU64::new(u64::MAX),
            begun: Instant::now(),
            stopping: AtomicBool::new(false),
        }
    }

    /// Milliseconds since the protocol was made.
    pub(crate) fn now(&self) -> u64 {
        self.begun.elapsed().as_millis() as u64
    }

    /// Does something with the broker, then wakes the workers that have to do with it, and tells the
    /// host who has gone. A worker wakes the others by [`Shared::wake_others`], so that they find the work
    /// of a whole turn.
    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut State, u64) -> T) -> T {
        let now = self.now();
        let mut state = self.state.lock();
        let result = change(&mut state, now);
        let removed = state.broker.take_removed();
        let removed: Vec<Connection> = removed.into_iter().filter_map(|key| state.remove(key)).collect();
        let this = WORKER.get();
        let mut wanted = 0_u64;
        for worker in 0..self.alarms.len() {
            if worker != this && state.broker.is_dirty(worker) {
                wanted |= 1 << worker;
            }
        }
        if this != 0
            && state.broker.next_deadline().is_some_and(|at| at < self.wakes_at.load(Ordering::Relaxed))
        {
            wanted |= 1;
        }
        drop(state);
        if this == usize::MAX {
            self.wake(wanted);
        } else {
            WANTED.set(WANTED.get() | wanted);
        }
        // The host may tell others of our clients before this returns.
        drop(removed);
        result
    }

    /// For a worker, at the end of each turn.
    pub(crate) fn wake_others(&self) {
        self.wake(WANTED.take());
    }

    fn wake(&self, mut wanted: u64) {
        while wanted != 0 {
            self.alarms[wanted.trailing_zeros() as usize].ring();
            wanted &= wanted - 1;
        }
    }

    /// For the first worker, before it sleeps: when it has to wake, in milliseconds.
    pub(crate) fn arm(&self) -> Option<u64> {
        let state = self.state.lock();
        let next = state.broker.next_deadline();
        self.wakes_at.store(next.unwrap_or(u64::MAX), Ordering::Relaxed);
        next
    }

    /// CONNECT: asks the host.
    pub(crate) fn admit(
        &self,
        state: &mut State,
        key: Key,
        address: Option<IpAddr>,
        packet: &Packet<'_>,
        now: u64,
    ) -> Option<ConnectionId> {
        let ip = address.map(|address| address.to_string()).unwrap_or_default();
        match self.entry_point.new_connection(&ConnectionInfo::new().ip(&ip)) {
            Ok(connection) => {
                let id = connection.id();
                state.keys.insert(id, key);
                state.clients.insert(key, connection);
                let client_id = self.context.uuid().to_string();
                state.broker.admit(key, packet, &Admission { client_id: &client_id, address }, now);
                Some(id)
            }
            Err(error) => {
                let reason = match error.status() {
                    Status::Limit => Reason::QUOTA_EXCEEDED,
                    _ => Reason::SERVER_UNAVAILABLE,
                };
                tracing::debug!(%error, "the host takes no client");
                state.broker.refuse(key, reason, error.message(), now);
                None
            }
        }
    }

    /// Executes a request on this thread. The answer mostly comes before this returns.
    pub(crate) fn execute(
        self: &Arc<Self>,
        key: Key,
        connection: ConnectionId,
        document: &[u8],
        to: ReplyTo,
    ) {
        let this = Arc::clone(self);
        self.entry_point.execute(Request::new(document).connection(connection), move |answer| {
            this.answered(key, connection, to, answer);
        });
    }

    fn answered(&self, key: Key, connection: ConnectionId, to: ReplyTo, answer: Result<Response<'_>, Error>) {
        let payload = match answer {
            Ok(response) => response.content().retain().into_bytes(),
            Err(error) if error.status() == Status::BadHandle => {
                return self.with(|state, now| {
                    state.broker.disconnect(
                        key,
                        Reason::UNSPECIFIED,
                        "the host no longer knows the client",
                        now,
                    );
                });
            }
            Err(error) => {
                let document = self.error_document(&error).into_bytes();
                // The host has not seen the request, so it has not logged it either.
                let request = Request::new(b"{}").connection(connection);
                self.entry_point.log_access(&request, status(&error), document.len() as u64);
                document.into()
            }
        };
        self.with(|state, now| state.broker.answer(key, to, &payload, now));
    }

    /// The answer to a request that the API has not seen, in the shape of its answers.
    fn error_document(&self, error: &Error) -> String {
        let (id, text) = match status(error) {
            400 => ("network.mqtt.unexpected_error", Some(error.message())),
            _ => ("network.entrypoint.shutting_down", None),
        };
        let info = self.context.error_by_id(id);
        let template = info.map_or("%s", |info| info.message);
        let message = template.replacen("%s", text.unwrap_or_default(), 1);
        let request_id =
            error.request_id().map_or_else(|| self.context.uuid().to_string(), ToOwned::to_owned);
        let error_member = json!({
            "code": info.map(|info| info.code), "id": id, "message": message,
            "props": text.into_iter().collect::<Vec<_>>(), "status": status(error),
        });
        json!({
            "action": null, "controller": null, "error": error_member, "headers": {},
            "node": self.context.node_id(), "requestId": request_id, "result": null,
            "status": status(error), "volatile": null,
        })
        .to_string()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Ends the workers.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.alarms.iter().for_each(Alarm::ring);
    }

    /// Gives their descriptors back, when the workers have ended.
    pub(crate) fn close_alarms(&self) {
        self.alarms.iter().for_each(Alarm::close);
    }
}

impl State {
    #[must_use = "drop it when the lock is released"]
    fn remove(&mut self, key: Key) -> Option<Connection> {
        let connection = self.clients.remove(&key)?;
        self.keys.remove(&connection.id());
        Some(connection)
    }
}

fn status(error: &Error) -> u16 {
    match error.status() {
        Status::InvalidJson | Status::InvalidRequest => 400,
        _ => 503,
    }
}
