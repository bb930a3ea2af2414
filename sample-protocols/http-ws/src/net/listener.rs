//! Binds and accepts, watches over time, and ends.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::num::NonZero;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use kuzzle_protocol_abi::{EntryPoint, Error};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::{Builder, Runtime};

use super::client;
use super::sockets::Listed;
use crate::{Shared, clock, websocket};

/// How many clients may wait to be accepted; the system may allow fewer.
const BACKLOG: u32 = 4096;
/// How long to wait when the system has no descriptors left.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// The threads that serve: one for each processor that this process may use. Nothing in a task ever waits, so that one is
/// enough, and two on one processor would only take turns.
pub(crate) fn runtime(entry_point: &EntryPoint) -> Result<Runtime, Error> {
    let processors = thread::available_parallelism().map_or(2, NonZero::get);
    Builder::new_multi_thread()
        .worker_threads(processors.min(entry_point.suggested_worker_threads()))
        .thread_name("http-ws")
        .enable_all()
        .build()
        .map_err(|error| Error::failed(format!("cannot start the protocol's threads: {error}")))
}

/// Binds the address. To be called inside the runtime.
pub(crate) fn bind(host: &str, port: i64) -> Result<TcpListener, Error> {
    let failed = |error: &dyn std::fmt::Display| {
        Error::failed(format!("cannot bind TCP {host}:{port}: {error}; change server.host or server.port"))
    };
    let number = u16::try_from(port).map_err(|_| failed(&"there is no such port"))?;
    let name = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let mut last = None;
    for address in (name, number).to_socket_addrs().map_err(|error| failed(&error))? {
        match listen(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = Some(error),
        }
    }
    Err(last.map_or_else(|| failed(&"the name has no address"), |error| failed(&error)))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // As the standard library does: the port of a host that has just ended is free.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Starts to accept, and to watch over time.
pub(crate) fn start(shared: &Arc<Shared>, runtime: &Runtime, listener: TcpListener) {
    let acceptor = runtime.spawn(accept(Arc::clone(shared), listener));
    *shared.acceptor.lock() = Some(acceptor.abort_handle());
    runtime.spawn(watch(Arc::clone(shared)));
}

/// Ends everything within the time: no new sockets, the answers that are due, a close frame for each WebSocket.
pub(crate) fn stop(shared: &Arc<Shared>, deadline: Duration) {
    let until = Instant::now() + deadline.mul_f32(0.8);
    if let Some(acceptor) = shared.acceptor.lock().take() {
        acceptor.abort();
    }
    shared.sockets.stop();
    websocket::close_all(shared);
    if !shared.sockets.wait_for_end(until) {
        let left = shared.sockets.count();
        tracing::debug!(left, "sockets are closed without waiting for their clients");
    }
}

async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let listed = Listed::new(&shared, peer);
                if shared.sockets.count() > shared.config.sockets.max_sockets {
                    refuse(&stream);
                    continue;
                }
                let _ = stream.set_nodelay(true);
                tokio::spawn(client::serve(Arc::clone(&shared), stream, listed));
            }
            Err(error)
                if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(EXHAUSTED).await;
            }
        }
    }
}

/// Tells a client that there are too many, as far as that takes no time.
fn refuse(stream: &TcpStream) {
    let _ = stream
        .try_write(b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
}

/// Moves the clock on, and ends what takes too long.
async fn watch(shared: Arc<Shared>) {
    let options = &shared.config.sockets;
    let websocket = shared.config.websocket.clone();
    let shortest =
        websocket.as_ref().map_or(u64::MAX, |options| options.idle_timeout.min(options.slow_timeout));
    let shortest = shortest.min(options.header_timeout).min(options.slow_timeout);
    let every = (shortest / 4).clamp(clock::TICK.as_millis() as u64, 1000);
    let mut ticks = tokio::time::interval(clock::TICK);
    let mut swept = 0;
    loop {
        ticks.tick().await;
        shared.clock.advance();
        let now = shared.clock.now();
        let is_stopping = shared.sockets.are_stopping();
        if now.saturating_sub(swept) < every && !is_stopping {
            continue;
        }
        swept = now;
        if let Some(websocket) = &websocket {
            websocket::sweep(&shared.clients, websocket, &shared.clock, is_stopping);
        }
        shared.sockets.sweep(now, options);
    }
}
