//! The HTTP half: requests to documents, answers to responses.

mod body;
mod coding;
mod document;
mod exchange;
mod multipart;
mod query;
mod reply;
pub(crate) mod router;

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use hyper::body::{Body as _, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, Version};
use kuzzle_protocol_abi::Status;

pub(crate) use reply::{Reply, Style};

use crate::Shared;
use crate::errors::ApiError;
use crate::net::Socket;
use crate::websocket::handshake;
use exchange::{Exchange, Executed};

/// The answer to one request of a connection. Mostly it is there at once: nothing is allocated to wait for it.
pub(crate) struct Answer {
    shared: Arc<Shared>,
    socket: Arc<Socket>,
    state: State,
}

enum State {
    Ready(Option<Reply>),
    Later(Pin<Box<dyn Future<Output = Reply> + Send>>),
}

impl Future for Answer {
    type Output = Result<Reply, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let reply = match &mut self.state {
            State::Ready(reply) => reply.take().expect("hyper polls no future that has ended"),
            State::Later(future) => ready!(future.as_mut().poll(cx)),
        };
        self.socket.head_is_awaited(self.shared.clock.now());
        Poll::Ready(Ok(reply))
    }
}

/// Answers one request of a connection.
pub(crate) fn answer(shared: &Arc<Shared>, socket: &Arc<Socket>, request: Request<Incoming>) -> Answer {
    socket.head_is_read();
    let state = match begin(shared, socket, request) {
        Err(reply) => State::Ready(Some(reply)),
        Ok((exchange, body)) if body.is_end_stream() => match exchange.finish(Vec::new()) {
            Executed::Done(reply) => State::Ready(Some(reply)),
            Executed::Waiting(waiting) => State::Later(Box::pin(waiting)),
        },
        Ok((exchange, body)) => State::Later(Box::pin(with_body(exchange, body))),
    };
    Answer { shared: Arc::clone(shared), socket: Arc::clone(socket), state }
}

/// Looks at the head of a request.
///
/// # Errors
/// The answer, if nothing else has to be looked at.
fn begin(
    shared: &Arc<Shared>,
    socket: &Arc<Socket>,
    request: Request<Incoming>,
) -> Result<(Exchange, Incoming), Reply> {
    let origin = exchange::allowed_origin(shared, request.headers()).cloned();
    let context = shared.context();
    let refuse = |id: &str, props: &[&str]| {
        reply::and_close(shared.style.bare(ApiError::new(context, id, props), origin.as_ref()))
    };
    if request.version() == Version::HTTP_11 {
        if !has_host(request.headers()) {
            return Err(refuse("network.http.unexpected_error", &["there is not one valid header Host"]));
        }
        if handshake::is_asked_for(request.headers()) {
            return Err(upgrade(shared, socket, &request));
        }
    }
    if shared.config.http.is_none() {
        let error = ApiError::uncatalogued(426, "This server takes only WebSocket connections.");
        return Err(demand_upgrade(shared.style.bare(error, origin.as_ref())));
    }
    let (parts, body) = request.into_parts();
    let connection = if exchange::is_answered_here(&parts.method, parts.uri.path()) {
        None
    } else {
        let declared = socket.declare(shared, &parts.headers).map_err(|error| {
            let is_limit = error.status() == Status::Limit;
            refuse(if is_limit { "api.process.overloaded" } else { "api.process.shutting_down" }, &[])
        });
        Some(declared?)
    };
    let exchange = Exchange::new(Arc::clone(shared), Arc::clone(socket), connection, parts);
    // What follows a refusal is a body that nobody will read.
    exchange.check().map_err(|error| reply::and_close(exchange.bare(error)))?;
    Ok((exchange, body))
}

/// The rest of a request that has a body.
async fn with_body(exchange: Exchange, body: Incoming) -> Reply {
    let limit = Duration::from_millis(exchange.options().body_timeout);
    let context = exchange.context();
    match body::read(body, exchange.max_body(), limit).await {
        Ok(body) => match exchange.finish(body) {
            Executed::Done(reply) => reply,
            Executed::Waiting(waiting) => waiting.await,
        },
        Err(body::Unread::TooLarge) => reply::and_close(exchange.bare(body::too_large(context))),
        Err(body::Unread::Broken(message)) => {
            let error = ApiError::new(context, "network.http.unexpected_error", &[&message]);
            reply::and_close(exchange.bare(error))
        }
    }
}

/// Whether there is one header Host, and it can be a host (RFC 9112, 3.2).
fn has_host(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(byte);
    host.as_bytes().iter().all(allowed)
}

/// Tells the client that only WebSocket is spoken, and ends.
fn demand_upgrade(mut reply: Reply) -> Reply {
    let headers = reply.headers_mut();
    headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close, upgrade"));
    reply
}

/// Answers a request for a WebSocket.
fn upgrade(shared: &Shared, socket: &Socket, request: &Request<Incoming>) -> Reply {
    let refuse = |status: u16, message: &str| {
        let mut error = ApiError::new(shared.context(), "network.websocket.unexpected_error", &[message]);
        error.status = status;
        error.object.insert("status".to_owned(), status.into());
        let origin = exchange::allowed_origin(shared, request.headers());
        reply::and_close(shared.style.bare(error, origin))
    };
    let Some(options) = &shared.config.websocket else {
        return refuse(403, "WebSocket is switched off on this server");
    };
    let accepted = match handshake::accept(
        request.method(),
        request.version(),
        request.headers(),
        options.compression,
    ) {
        Ok(accepted) => accepted,
        Err(refused) => {
            let reply = refuse(refused.status.as_u16(), refused.message);
            let other_version = refused.status == hyper::StatusCode::UPGRADE_REQUIRED;
            return if other_version { demand_upgrade(reply) } else { reply };
        }
    };
    match socket.open(shared, request.uri(), request.headers(), accepted.compression) {
        Ok(()) => {
            let mut reply = Reply::default();
            *reply.status_mut() = hyper::StatusCode::SWITCHING_PROTOCOLS;
            *reply.headers_mut() = accepted.headers;
            reply
        }
        Err(error) if error.status() == Status::Limit => {
            refuse(503, "there are as many connections as there may be")
        }
        Err(_) => refuse(503, "the server is shutting down"),
    }
}
