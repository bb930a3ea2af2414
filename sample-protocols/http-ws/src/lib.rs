//! Kuzzle over HTTP and WebSocket, on one port: what Kuzzle's own clients speak.
//!
//! `http` and `websocket` decode and answer; their codecs and sessions know no socket. `net` has the sockets.
#![forbid(unsafe_code)]

mod clock;
mod config;
mod errors;
mod http;
mod net;
mod websocket;

use std::sync::Arc;
use std::time::{Duration, Instant};

use kuzzle_protocol_abi::{
    Channels, ConnectionId, Context, DisconnectReason, EntryPoint, Error, Payload, Protocol, Status,
};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::AbortHandle;

use crate::clock::Clock;
use crate::config::{Config, Sections};
use crate::http::Style;
use crate::http::router::Router;
use crate::net::{Sockets, listener};
use crate::websocket::Clients;

/// What all connections share.
struct Shared {
    entry_point: EntryPoint,
    config: Config,
    clock: Clock,
    clients: Clients,
    router: Router,
    style: Style,
    sockets: Sockets,
    acceptor: Mutex<Option<AbortHandle>>,
}

impl Shared {
    fn context(&self) -> &Context {
        self.entry_point.context()
    }
}

struct HttpWs {
    shared: Arc<Shared>,
    listener: Mutex<Option<TcpListener>>,
    runtime: Mutex<Option<Runtime>>,
}

impl Protocol for HttpWs {
    type Config = Sections;

    fn init(entry_point: EntryPoint, context: Context, sections: Sections) -> Result<Self, Error> {
        let config = Config::new(sections, entry_point.config())?;
        let compression = config.http.as_ref().is_some_and(|http| http.allow_compression);
        let router = http::router::from_api(&entry_point)?;
        let style = Style::from_config(&entry_point, compression)?;
        let host = context.option_string("/host")?.unwrap_or("127.0.0.1");
        let port = context.option_i64("/port")?.unwrap_or(7512);
        let runtime = listener::runtime(&entry_point)?;
        let listener = {
            let _inside = runtime.enter();
            listener::bind(host, port)?
        };
        entry_point.report_listener("tcp", &listener.local_addr()?.to_string())?;
        let shared = Shared {
            entry_point,
            config,
            clock: Clock::new(),
            clients: Clients::new(),
            router,
            style,
            sockets: Sockets::default(),
            acceptor: Mutex::default(),
        };
        let (listener, runtime) = (Mutex::new(Some(listener)), Mutex::new(Some(runtime)));
        Ok(Self { shared: Arc::new(shared), listener, runtime })
    }

    fn start(self: &Arc<Self>) -> Result<(), Error> {
        if let (Some(listener), Some(runtime)) = (self.listener.lock().take(), &*self.runtime.lock()) {
            listener::start(&self.shared, runtime, listener);
        }
        Ok(())
    }

    fn broadcast(&self, channels: Channels<'_>, payload: &Payload<'_>) {
        websocket::broadcast(&self.shared, channels, payload);
    }

    fn notify(&self, connection: ConnectionId, channels: Channels<'_>, payload: &Payload<'_>) {
        websocket::notify(&self.shared, connection, channels, payload);
    }

    fn join_channel(&self, connection: ConnectionId, channel: &str) -> Result<(), Error> {
        if self.shared.clients.join(connection, channel) {
            return Ok(());
        }
        Err(Error::new(Status::BadHandle, "only a WebSocket that is open can listen to a channel"))
    }

    fn leave_channel(&self, connection: ConnectionId, channel: &str) {
        self.shared.clients.leave(connection, channel);
    }

    fn disconnect(&self, connection: ConnectionId, reason: DisconnectReason, message: &str) {
        if !websocket::disconnect(&self.shared, connection, reason, message) {
            self.shared.sockets.disconnect(connection);
        }
    }

    fn shutdown(&self, deadline: Duration) {
        let until = Instant::now() + deadline;
        drop(self.listener.lock().take());
        listener::stop(&self.shared, deadline);
        if let Some(runtime) = self.runtime.lock().take() {
            runtime.shutdown_timeout(until.saturating_duration_since(Instant::now()));
        }
    }
}

kuzzle_protocol_abi::export_protocol!(HttpWs);
