//! Serves one client: HTTP until a WebSocket is asked for.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;

use super::socket::ABORT;
use super::sockets::{Counted, Listed};
use super::watched::Watched;
use crate::{Shared, http, websocket};

/// How long what a client still sends is read after the last answer, so that the answer reaches it.
const LINGER: Duration = Duration::from_secs(1);
/// The same when the server ends.
const LAST_LINGER: Duration = Duration::from_millis(100);
/// At most so many bytes.
const LINGER_BYTES: usize = 16 << 20;

/// Serves a socket. Waits for the first byte of a socket before anything is allocated for it.
pub(super) async fn serve(shared: Arc<Shared>, stream: TcpStream, listed: Listed) {
    let mut byte = [0];
    let begins = poll_fn(|cx| match listed.socket.poll_end(cx) {
        0 => stream.poll_peek(cx, &mut ReadBuf::new(&mut byte)).map(|peeked| peeked.is_ok_and(|len| len > 0)),
        _ => Poll::Ready(false),
    });
    if begins.await {
        // A task of its own: this one stays small, whatever comes.
        tokio::spawn(serve_http(shared, stream, listed));
    }
}

/// Serves a socket until it ends or becomes a WebSocket.
async fn serve_http(shared: Arc<Shared>, stream: TcpStream, listed: Listed) {
    let socket = Arc::clone(&listed.socket);
    let options = &shared.config.sockets;
    let service = {
        let (shared, socket) = (Arc::clone(&shared), Arc::clone(&socket));
        service_fn(move |request| http::answer(&shared, &socket, request))
    };
    let watched = Watched { stream, socket: Arc::clone(&socket), shared: Arc::clone(&shared) };
    let mut builder = http1::Builder::new();
    // The watch ends sockets whose requests take too long: no timer has to be set for each request.
    builder.writev(false).header_read_timeout(None).max_buf_size(options.max_header_size);
    if options.max_headers != 100 {
        builder.max_headers(options.max_headers);
    }
    let mut connection = builder.serve_connection(TokioIo::new(watched), service);
    let mut finishing = false;
    let done = poll_fn(|cx| {
        match socket.poll_end(cx) {
            0 => {}
            ABORT => return Poll::Ready(None),
            _ if !finishing => {
                finishing = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            _ => {}
        }
        connection.poll_without_shutdown(cx).map(Some)
    })
    .await;
    let Some(result) = done else { return };
    if let Err(error) = &result {
        tracing::debug!(%error, "a client is closed");
    }
    let parts = connection.into_parts();
    let mut stream = parts.io.into_inner().stream;
    let opened = socket.take_opened();
    match opened {
        Some((connection, opened)) if result.is_ok() => {
            let read = parts.read_buf.to_vec();
            socket.forget(&shared);
            // A task of its own, which is smaller than this one.
            let counted = Counted::new(&shared);
            tokio::spawn(async move {
                let _counted = counted;
                let _connection = connection;
                drop(listed);
                websocket::serve(shared, stream, opened, read).await;
            });
        }
        Some((connection, opened)) => {
            shared.clients.remove(&opened.client);
            drop(connection);
        }
        None => linger(&mut stream, if shared.sockets.are_stopping() { LAST_LINGER } else { LINGER }).await,
    }
}

/// Closes a socket so that the last answer reaches the client, whatever it is still sending (RFC 9112, 9.6).
async fn linger(stream: &mut TcpStream, limit: Duration) {
    let rest = async {
        if stream.shutdown().await.is_err() {
            return;
        }
        let (mut buffer, mut left) = (vec![0; 4096], LINGER_BYTES);
        while let Ok(read) = stream.read(&mut buffer).await {
            left = left.saturating_sub(read);
            if read == 0 || left == 0 {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(limit, rest).await;
}
