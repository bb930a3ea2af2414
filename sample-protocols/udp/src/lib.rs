//! Kuzzle over UDP: a datagram is a request, the answer and notifications go back as datagrams.
#![forbid(unsafe_code)]

mod clients;

use std::collections::HashSet;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::clients::{Client, Clients};
use kuzzle_protocol_abi::{
    Channels, ConnectionId, ConnectionInfo, Context, DisconnectReason, EntryPoint, Error, Metrics, Payload,
    Protocol, Request, Response, Status,
};
use serde_json::json;

/// The most that a datagram carries over IPv4, in bytes.
const DATAGRAM: usize = 65_507;
/// How soon the server thread notices a shutdown.
const TICK: Duration = Duration::from_millis(200);
/// How long a send may wait for the system's buffer; then the datagram is lost.
const SEND: Duration = Duration::from_millis(50);

/// `server.protocols.udp`.
#[derive(serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Config {
    host: Option<String>,
    port: u16,
    idle_timeout: u64,
    max_clients: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { host: None, port: 7514, idle_timeout: 60_000, max_clients: 10_000 }
    }
}

struct Udp {
    entry_point: EntryPoint,
    /// Closed by `shutdown`, although this struct stays.
    socket: RwLock<Option<Arc<UdpSocket>>>,
    idle_timeout: Duration,
    max_clients: usize,
    clients: Mutex<Clients>,
    /// Datagrams received, and datagrams that could not be sent.
    received: AtomicU64,
    lost: AtomicU64,
    stopping: AtomicBool,
    /// Disconnected when the server thread has ended.
    ended: Mutex<Option<mpsc::Receiver<()>>>,
}

impl Udp {
    fn clients(&self) -> MutexGuard<'_, Clients> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn socket(&self) -> Option<Arc<UdpSocket>> {
        self.socket.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The server thread. One thread: datagrams are executed in the order in which they come.
    fn serve(self: &Arc<Self>) {
        let Some(socket) = self.socket() else { return };
        let mut buffer = vec![0; DATAGRAM + 1];
        let sweep_every = (self.idle_timeout / 4).clamp(Duration::from_millis(1), Duration::from_secs(1));
        let mut swept = Instant::now();
        while !self.stopping.load(Ordering::Acquire) {
            match socket.recv_from(&mut buffer) {
                Ok((len, from)) => {
                    self.received.fetch_add(1, Ordering::Relaxed);
                    self.request(from, &buffer[..len], true);
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => (),
                    // An earlier answer of ours could not be delivered.
                    ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused => (),
                    _ => {
                        tracing::warn!(%error, "cannot receive");
                        thread::sleep(TICK);
                    }
                },
            }
            if swept.elapsed() >= sweep_every {
                swept = Instant::now();
                let idle = self.clients().forget_idle(swept, self.idle_timeout);
                drop(idle);
            }
        }
    }

    /// The client at this address, new if need be. The lock is held across `new_connection`, so that
    /// no `disconnect` comes before the client is stored.
    fn client(&self, from: SocketAddr) -> Result<ConnectionId, Error> {
        let mut clients = self.clients();
        let clients = &mut *clients;
        if let Some(client) = clients.by_address.get_mut(&from) {
            client.heard = Instant::now();
            return Ok(client.connection.id());
        }
        if clients.by_address.len() >= self.max_clients {
            return Err(Error::new(Status::Limit, format!("more than {} clients", self.max_clients)));
        }
        let ip = from.ip().to_string();
        let connection = self.entry_point.new_connection(&ConnectionInfo::new().ip(&ip))?;
        let id = connection.id();
        clients.by_id.insert(id, from);
        let client = Client { connection, channels: HashSet::new(), heard: Instant::now() };
        clients.by_address.insert(from, client);
        Ok(id)
    }

    /// `retry`: the host may know nothing of a client that we still know; then it is made anew, once.
    fn request(self: &Arc<Self>, from: SocketAddr, document: &[u8], retry: bool) {
        let id = match self.client(from) {
            Ok(id) => id,
            Err(error) => return self.refuse(from, Request::new(document), &error),
        };
        let (this, copy) = (Arc::clone(self), document.to_vec());
        self.entry_point.execute(Request::new(document).connection(id), move |answer| match answer {
            Ok(response) => this.answer(from, &response),
            Err(error) if retry && error.status() == Status::BadHandle => {
                let stale = this.clients().forget(id);
                drop(stale);
                this.request(from, &copy, false);
            }
            Err(error) => this.refuse(from, Request::new(&copy).connection(id), &error),
        });
    }

    fn answer(&self, to: SocketAddr, response: &Response<'_>) {
        let content = response.content();
        let id = response.request_id();
        let document = if response.is_raw() { content.to_vec() } else { content.to_vec_with_room(id) };
        if document.len() > DATAGRAM {
            let text = format!("the answer has {} bytes, a datagram at most {DATAGRAM}", document.len());
            self.send(to, &error_document(&text, 413, Some(id)));
        } else {
            self.send(to, &document);
        }
    }

    /// Answers a request that the API has not seen.
    fn refuse(&self, to: SocketAddr, request: Request<'_>, error: &Error) {
        let status = match error.status() {
            Status::InvalidJson | Status::InvalidRequest => 400,
            _ => 503,
        };
        let answer = error_document(error.message(), status, error.request_id());
        self.entry_point.log_access(&request, status, answer.len() as u64);
        self.send(to, &answer);
    }

    /// To each of these addresses, for each channel. The lock is not held while sending.
    fn notify_all(&self, targets: &[(&str, Vec<SocketAddr>)], payload: &Payload<'_>) {
        for (channel, addresses) in targets {
            let document = payload.to_vec_with_room(channel);
            if document.len() > DATAGRAM {
                tracing::warn!(channel, bytes = document.len(), "a notification does not fit: dropped");
                continue;
            }
            addresses.iter().for_each(|address| self.send(*address, &document));
        }
    }

    fn send(&self, to: SocketAddr, document: &[u8]) {
        let Some(socket) = self.socket() else { return };
        if let Err(error) = socket.send_to(document, to) {
            self.lost.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%to, %error, "a datagram is lost");
        }
    }
}

/// An error that is not the API's, in the shape of its answers.
fn error_document(text: &str, status: u16, request_id: Option<&str>) -> Vec<u8> {
    let message = format!("Caught an unexpected UDP error: {text}");
    let error = json!({"id": "network.udp.unexpected_error", "message": message, "status": status});
    let mut document = json!({
        "action": null, "controller": null, "error": error, "requestId": request_id, "result": null,
        "status": status, "volatile": null,
    });
    if let Some(room) = request_id {
        document["room"] = room.into();
    }
    document.to_string().into_bytes()
}

impl Protocol for Udp {
    type Config = Config;

    fn init(entry_point: EntryPoint, context: Context, config: Config) -> Result<Self, Error> {
        let host = match &config.host {
            Some(host) => host,
            None => context.option_string("/host")?.unwrap_or("127.0.0.1"),
        };
        let socket = UdpSocket::bind((host, config.port)).map_err(|error| {
            let port = config.port;
            Error::failed(format!("cannot bind UDP {host}:{port}: {error}; change `host` or `port`"))
        })?;
        socket.set_read_timeout(Some(TICK))?;
        socket.set_write_timeout(Some(SEND))?;
        entry_point.report_listener("udp", &socket.local_addr()?.to_string())?;
        Ok(Self {
            entry_point,
            socket: RwLock::new(Some(Arc::new(socket))),
            idle_timeout: Duration::from_millis(config.idle_timeout.max(1)),
            max_clients: config.max_clients,
            clients: Mutex::default(),
            received: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            ended: Mutex::default(),
        })
    }

    fn start(self: &Arc<Self>) -> Result<(), Error> {
        let (running, ended) = mpsc::channel();
        let this = Arc::clone(self);
        thread::Builder::new().name("udp".to_owned()).spawn(move || {
            let _running: mpsc::Sender<()> = running;
            this.serve();
        })?;
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended);
        Ok(())
    }

    fn broadcast(&self, channels: Channels<'_>, payload: &Payload<'_>) {
        let clients = self.clients();
        let members = |channel: &str| clients.channels.get(channel).into_iter().flatten().copied().collect();
        let targets: Vec<(&str, Vec<_>)> =
            channels.iter().map(|channel| (channel, members(channel))).collect();
        drop(clients);
        self.notify_all(&targets, payload);
    }

    fn notify(&self, connection: ConnectionId, channels: Channels<'_>, payload: &Payload<'_>) {
        let Some(address) = self.clients().by_id.get(&connection).copied() else { return };
        let targets: Vec<_> = channels.iter().map(|channel| (channel, vec![address])).collect();
        self.notify_all(&targets, payload);
    }

    fn join_channel(&self, connection: ConnectionId, channel: &str) -> Result<(), Error> {
        let gone = || Error::new(Status::BadHandle, "the client has gone");
        self.clients().join(connection, channel).ok_or_else(gone)
    }

    fn leave_channel(&self, connection: ConnectionId, channel: &str) {
        self.clients().leave(connection, channel);
    }

    fn disconnect(&self, connection: ConnectionId, _: DisconnectReason, _: &str) {
        let gone = self.clients().forget(connection);
        drop(gone);
    }

    fn metrics(&self, out: &mut Metrics<'_>) {
        out.counter("received", self.received.load(Ordering::Relaxed))
            .counter("lost", self.lost.load(Ordering::Relaxed))
            .gauge("channels", self.clients().channels.len() as i64);
    }

    fn shutdown(&self, deadline: Duration) {
        self.stopping.store(true, Ordering::Release);
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Err(mpsc::RecvTimeoutError::Timeout)) = ended.map(|ended| ended.recv_timeout(deadline)) {
            tracing::warn!("the server thread did not end in time");
        }
        self.socket.write().unwrap_or_else(PoisonError::into_inner).take();
    }
}

kuzzle_protocol_abi::export_protocol!(Udp);

#[cfg(test)]
mod tests;
