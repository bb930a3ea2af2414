//! Kuzzle over MQTT 3.1, 3.1.1 and 5.0: a complete broker whose clients are Kuzzle's clients.
//!
//! Data goes through `net` (sockets), [`codec`] (packets as bytes), `shared` (what all threads see) and
//! `broker` (sessions, subscriptions, messages; no sockets, no clock).

#![forbid(unsafe_code)]

mod broker;
pub mod codec;
mod config;
mod net;
mod shared;

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kuzzle_protocol_abi::{
    Channels, ConnectionId, Context, DisconnectReason, EntryPoint, Error, Metrics, Payload, Protocol, Status,
};
use parking_lot::Mutex;

use crate::broker::Joined;
use crate::codec::Reason;
use crate::config::Config;
use crate::net::Worker;
use crate::shared::Shared;

struct Mqtt {
    shared: Arc<Shared>,
    /// Until they are started.
    workers: Mutex<Vec<Worker>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Protocol for Mqtt {
    type Config = Config;

    fn init(entry_point: EntryPoint, context: Context, config: Config) -> Result<Self, Error> {
        if let Some(problem) = config.problem() {
            return Err(Error::failed(problem));
        }
        let host = match &config.host {
            Some(host) => host,
            None => context.option_string("/host")?.unwrap_or("127.0.0.1"),
        };
        let port = config.port();
        let addresses: Vec<SocketAddr> = (host, port)
            .to_socket_addrs()
            .map_err(|error| Error::failed(format!("cannot resolve `host` {host}: {error}")))?
            .collect();
        let listener = std::net::TcpListener::bind(&addresses[..]).map_err(|error| {
            Error::failed(format!("cannot bind TCP {host}:{port}: {error}; change `host` or `port`"))
        })?;
        listener.set_nonblocking(true)?;
        entry_point.report_listener("tcp", &listener.local_addr()?.to_string())?;
        let (shared, workers) = net::make(entry_point, context, config.settings, listener)?;
        Ok(Self { shared, workers: Mutex::new(workers), threads: Mutex::default() })
    }

    fn start(self: &Arc<Self>) -> Result<(), Error> {
        let mut threads = self.threads.lock();
        for (number, worker) in self.workers.lock().drain(..).enumerate() {
            let name = format!("mqtt-{number}");
            threads.push(std::thread::Builder::new().name(name).spawn(move || worker.run())?);
        }
        Ok(())
    }

    fn broadcast(&self, channels: Channels<'_>, payload: &Payload<'_>) {
        let payload = one_piece(payload);
        self.shared.with(|state, now| {
            channels.iter().for_each(|channel| state.broker.broadcast(channel, &payload, now));
        });
    }

    fn notify(&self, connection: ConnectionId, channels: Channels<'_>, payload: &Payload<'_>) {
        let payload = one_piece(payload);
        self.shared.with(|state, now| {
            let Some(key) = state.key(connection) else { return };
            channels.iter().for_each(|channel| state.broker.notify(key, channel, &payload, now));
        });
    }

    fn join_channel(&self, connection: ConnectionId, channel: &str) -> Result<(), Error> {
        let joined = self.shared.with(|state, _| {
            state.key(connection).map_or(Joined::Gone, |key| state.broker.join(key, channel))
        });
        match joined {
            Joined::Yes => Ok(()),
            Joined::Gone => Err(Error::new(Status::BadHandle, "the client has gone")),
            Joined::TooMany => {
                let text = "the client has joined `maxSubscriptions` channels, or no memory is left";
                Err(Error::new(Status::Limit, text))
            }
        }
    }

    fn leave_channel(&self, connection: ConnectionId, channel: &str) {
        self.shared.with(|state, _| {
            if let Some(key) = state.key(connection) {
                state.broker.leave(key, channel);
            }
        });
    }

    fn disconnect(&self, connection: ConnectionId, reason: DisconnectReason, message: &str) {
        let reason = match reason {
            DisconnectReason::Shutdown => Reason::SHUTTING_DOWN,
            DisconnectReason::Overflow => Reason::QUOTA_EXCEEDED,
            _ => Reason::ADMINISTRATIVE_ACTION,
        };
        self.shared.with(|state, now| {
            if let Some(key) = state.key(connection) {
                state.broker.disconnect(key, reason, message, now);
            }
        });
    }

    fn metrics(&self, out: &mut Metrics<'_>) {
        let (now, so_far) = self.shared.with(|state, _| (state.broker.gauges(), state.broker.counters()));
        for (name, value) in [
            ("clients", now.clients),
            ("sessions", now.sessions),
            ("subscriptions", now.subscriptions),
            ("retained", now.retained),
            ("memory", now.memory),
        ] {
            out.gauge(name, value as i64);
        }
        out.counter("received", so_far.received)
            .counter("sent", so_far.sent)
            .counter("dropped", so_far.dropped)
            .counter("unheard", so_far.unheard);
    }

    fn shutdown(&self, deadline: Duration) {
        let until = Instant::now() + deadline;
        self.shared.stop();
        for thread in self.threads.lock().drain(..) {
            while !thread.is_finished() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(2));
            }
            if !thread.is_finished() {
                tracing::warn!("a worker did not end in time");
            } else if thread.join().is_err() {
                tracing::warn!("a worker has panicked");
            }
        }
        self.shared.close_alarms();
    }
}

/// The payload in one piece, mostly without a copy.
fn one_piece(payload: &Payload<'_>) -> Bytes {
    payload.retain().into_bytes()
}

kuzzle_protocol_abi::export_protocol!(Mqtt);
