//! One WebSocket on its socket: reads, executes, writes what waits, and ends.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use kuzzle_protocol_abi::{Error, Request, Status};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::clients::Client;
use super::decoder::{Decoder, Event, Next};
use super::frame::{self, Opcode};
use super::framing;
use super::outbox::{Ending, SLICES, Writer};
use super::session::{self, Action, Session};
use crate::Shared;
use crate::config::WebSocket;
use crate::errors::{self, ApiError};

/// A client that lets so many bytes of answers wait is not read from until it has taken them.
const HIGH_WATER: usize = 256 * 1024;

/// How often a connection reads before others have their turn.
const ROUNDS: usize = 8;

thread_local! {
    /// What is being received; one buffer for all connections of a thread.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; 64 * 1024]);
    /// Why the host has not accepted the request that this thread is executing: told before `execute` returns.
    static FAILURE: Cell<Option<Error>> = const { Cell::new(None) };
    static EXECUTING: Cell<bool> = const { Cell::new(false) };
}

/// A WebSocket that has been opened.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) client: Arc<Client>,
    pub(crate) compression: bool,
}

/// Serves a WebSocket until it ends. `read`: what came after the handshake.
pub(crate) async fn serve(shared: Arc<Shared>, stream: TcpStream, opened: Opened, mut read: Vec<u8>) {
    let Some(options) = shared.config.websocket.clone() else { return };
    let mut connection = Connection {
        decoder: Decoder::new(shared.config.max_request_size, opened.compression),
        session: Session::new(options.rate_limit),
        writer: Writer::default(),
        phase: Phase::Open,
        compression: opened.compression,
        client: opened.client,
        options,
        shared,
        stream,
    };
    if !read.is_empty() {
        connection.received(&mut read);
        drop(read);
    }
    poll_fn(|cx| connection.poll(cx)).await;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// A close frame is on its way out; what comes in is dropped.
    Closing,
    /// Everything is written, and the client has been told that nothing follows: waits for its end.
    Closed,
}

struct Connection {
    shared: Arc<Shared>,
    options: Arc<WebSocket>,
    client: Arc<Client>,
    stream: TcpStream,
    decoder: Decoder,
    session: Session,
    writer: Writer,
    phase: Phase,
    compression: bool,
}

impl Connection {
    /// Ready when the connection has ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.client.outbox.woken(cx.waker());
        for _ in 0..ROUNDS {
            match self.client.outbox.ending() {
                Some(Ending::Abort) => return Poll::Ready(()),
                Some(Ending::Close) if self.phase == Phase::Open => {
                    self.phase = Phase::Closing;
                    if self.client.outbox.has_overflowed() {
                        tracing::info!(client = %self.client.id, "a client is too slow and is closed");
                    }
                }
                _ => {}
            }
            let held = self.phase == Phase::Open && self.client.outbox.len() > HIGH_WATER;
            let read = if held { Poll::Pending } else { self.poll_read(cx) };
            if let Poll::Ready(false) = read {
                return Poll::Ready(());
            }
            // What was asked together is answered in one write.
            let written = match self.poll_write(cx, held) {
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(())) => true,
                Poll::Pending => false,
            };
            if written && self.phase == Phase::Closing && self.client.outbox.len() == 0 {
                self.phase = Phase::Closed;
                let _ = Pin::new(&mut self.stream).poll_shutdown(cx);
            }
            let more = read.is_ready() || (held && written);
            if !more && self.client.outbox.sleep(!written) {
                return Poll::Pending;
            }
        }
        // Others have their turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads once; `false`: the client has gone.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        BUFFER.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
                Ok(()) if buffer.filled().is_empty() => Poll::Ready(false),
                Ok(()) => {
                    self.received(buffer.filled_mut());
                    Poll::Ready(true)
                }
                Err(_) => Poll::Ready(false),
            }
        })
    }

    /// Writes all that waits, or as much as the socket takes. A client that is not read from (`held`) shows by that that
    /// it is there.
    fn poll_write(&mut self, cx: &mut Context<'_>, held: bool) -> Poll<io::Result<()>> {
        while self.writer.fill(&self.client.outbox) {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = self.writer.slices(&mut slices);
            let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, &slices[..count]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let now = self.shared.clock.now();
            self.writer.advance(&self.client.outbox, written, now);
            if held {
                self.client.touch(now);
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes what was received.
    fn received(&mut self, bytes: &mut [u8]) {
        let now = self.shared.clock.now();
        self.client.touch(now);
        if self.phase != Phase::Open {
            return;
        }
        let Self { shared, options, client, session, compression, .. } = self;
        let result = self.decoder.feed(bytes, &mut |event| {
            match event {
                Event::Message(message) => match session.message(message, shared.clock.second()) {
                    Action::Ignore => {}
                    Action::Pong => send(client, options, shared, framing::text(session::PONG)),
                    Action::Limited => {
                        let error =
                            ApiError::new(shared.context(), "network.websocket.ratelimit_exceeded", &[]);
                        refuse(shared, client, options, message, error, None);
                    }
                    Action::Execute => execute(shared, client, options, message, *compression),
                },
                Event::Ping(payload) => {
                    send(client, options, shared, frame::control(Opcode::Pong, payload).into());
                }
                Event::Pong => {}
                Event::Close(code) => client.outbox.close(code.unwrap_or(frame::NO_CODE), "", false, now),
            }
            if client.outbox.ending().is_some() { Next::Stop } else { Next::Continue }
        });
        if let Err(violation) = result {
            tracing::debug!(%violation, "a client is closed");
            self.client.outbox.close(violation.code, violation.reason, false, now);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.clients.remove(&self.client);
    }
}

fn send(client: &Client, options: &WebSocket, shared: &Shared, frame: super::outbox::Frame) {
    let now = shared.clock.now();
    if options.reset_idle_timeout_on_send {
        client.touch(now);
    }
    client.outbox.push(&frame, options.max_queued_bytes, now);
}

/// Executes a request; its answer goes to the client's queue, mostly before this returns.
fn execute(
    shared: &Arc<Shared>,
    client: &Arc<Client>,
    options: &Arc<WebSocket>,
    message: &[u8],
    compression: bool,
) {
    let request = Request::new(message).connection(client.id);
    let (shared_too, client_too, options_too) = (Arc::clone(shared), Arc::clone(client), Arc::clone(options));
    EXECUTING.set(true);
    shared.entry_point.execute(request, move |answer| match answer {
        Ok(response) => {
            send(&client_too, &options_too, &shared_too, framing::answer(&response, true, compression));
        }
        Err(error) if EXECUTING.get() => FAILURE.set(Some(error)),
        // It was put off, and the message is gone.
        Err(error) => failed(&shared_too, &client_too, &options_too, b"{}", &error),
    });
    EXECUTING.set(false);
    if let Some(error) = FAILURE.take() {
        failed(shared, client, options, message, &error);
    }
}

/// Answers a request that the host has not accepted.
fn failed(shared: &Shared, client: &Client, options: &WebSocket, message: &[u8], error: &Error) {
    let id = || session::request_id(message).or_else(|| error.request_id().map(Value::from));
    match error.status() {
        Status::InvalidJson => {
            let props = [error.message()];
            let error = ApiError::new(shared.context(), "network.websocket.unexpected_error", &props);
            refuse(shared, client, options, message, error, None);
        }
        Status::InvalidRequest => {
            refuse(shared, client, options, message, errors::malformed(message, error.message()), id());
        }
        Status::BadHandle => {
            client.outbox.close(1011, "Connection closed by remote host", true, shared.clock.now())
        }
        _ => {
            let error = ApiError::new(shared.context(), "network.entrypoint.shutting_down", &[]);
            refuse(shared, client, options, message, error, id());
        }
    }
}

/// Answers with an error of the protocol's own. A client that is told the id of its request finds the request again.
fn refuse(
    shared: &Shared,
    client: &Client,
    options: &WebSocket,
    message: &[u8],
    error: ApiError,
    request_id: Option<Value>,
) {
    let status = error.status;
    let room = request_id.clone().filter(Value::is_string);
    let id = request_id.unwrap_or_else(|| shared.context().uuid().to_string().into());
    let mut answer = error.into_envelope(shared.context().node_id(), id);
    if let Some(room) = room {
        answer["room"] = room;
    }
    let text = answer.to_string();
    shared.entry_point.log_access(&Request::new(message).connection(client.id), status, text.len() as u64);
    send(client, options, shared, framing::text(text.as_bytes()));
}
