//! One request and its answer, when the body has been read: knows no socket and waits for nothing but the API.

use std::sync::Arc;

use hyper::Method;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use kuzzle_protocol_abi::{ConnectionId, Context, Error, OwnedResponse, Request as ApiRequest, Status};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::coding::{self, Coding};
use super::reply::{self, Asked, Reply};
use super::{body, document, router};
use crate::Shared;
use crate::config::Http;
use crate::errors::{self, ApiError};
use crate::net::Socket;

/// What requests over HTTP are called.
const LABEL: &str = "http";
const REQUEST_ID: &str = "x-kuzzle-request-id";

type Answered = Result<OwnedResponse, Error>;

/// One request, without its body.
pub(super) struct Exchange {
    shared: Arc<Shared>,
    socket: Arc<Socket>,
    /// `None`: the request is answered without the API, and so without a connection.
    connection: Option<ConnectionId>,
    parts: Parts,
    asked: Asked,
}

/// What has become of a request.
pub(super) enum Executed<W> {
    Done(Reply),
    Waiting(W),
}

/// What is to be done with a request.
enum Routed {
    Answered(Reply),
    Execute { document: Vec<u8>, request_id: String },
}

/// The origin of a request, if it is allowed: the host decides.
pub(super) fn allowed_origin<'h>(shared: &Shared, headers: &'h HeaderMap) -> Option<&'h HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    if !shared.style.restricts_origins {
        return Some(origin);
    }
    let (sender, mut receiver) = oneshot::channel();
    let request = ApiRequest::new(br#"{"controller":"server","action":"now"}"#);
    shared.entry_point.execute(request.header("origin", origin.to_str().ok()?), move |answer| {
        let _ = sender.send(answer.is_ok_and(|answer| answer.status() != 401));
    });
    (receiver.try_recv() == Ok(true)).then_some(origin)
}

/// Whether the API has no part in the answer.
pub(super) fn is_answered_here(method: &Method, path: &str) -> bool {
    match *method {
        Method::OPTIONS => true,
        Method::HEAD => path == "/",
        Method::GET => path == "/_healthcheck" || path == "/_ready",
        _ => false,
    }
}

impl Exchange {
    pub(super) fn new(
        shared: Arc<Shared>,
        socket: Arc<Socket>,
        connection: Option<ConnectionId>,
        parts: Parts,
    ) -> Self {
        let compression = shared.config.http.as_ref().is_some_and(|http| http.allow_compression);
        let accepted = body::joined(&parts.headers, header::ACCEPT_ENCODING).filter(|_| compression);
        let is_pretty = |pair: &str| pair == "pretty" || pair.starts_with("pretty=");
        let asked = Asked {
            origin: allowed_origin(&shared, &parts.headers).cloned(),
            coding: accepted.map_or(Coding::Identity, |accepted| coding::negotiate(&accepted)),
            pretty: parts.uri.query().is_some_and(|query| query.split('&').any(is_pretty)),
        };
        Self { shared, socket, connection, parts, asked }
    }

    pub(super) fn context(&self) -> &Context {
        self.shared.context()
    }

    pub(super) fn options(&self) -> &Http {
        self.shared.config.http.as_ref().expect("without this half no exchange begins")
    }

    pub(super) fn max_body(&self) -> usize {
        self.shared.config.max_request_size
    }

    /// Checks what the head says of the body.
    pub(super) fn check(&self) -> Result<(), ApiError> {
        body::check(self.context(), &self.shared.config, self.options(), &self.parts.headers)
    }

    /// An error before routing.
    pub(super) fn bare(&self, error: ApiError) -> Reply {
        let status = error.status;
        let reply = self.shared.style.bare(error, self.asked.origin.as_ref());
        self.log(status, &reply);
        reply
    }

    /// Answers, now that the body is there; mostly at once.
    pub(super) fn finish(self, body: Vec<u8>) -> Executed<impl Future<Output = Reply> + Send + use<>> {
        let parsed =
            body::parse(self.context(), &self.shared.config, self.options(), &self.parts.headers, body);
        let (document, request_id) = match parsed.map(|body| self.route(&body)) {
            Ok(Routed::Execute { document, request_id }) => (document, request_id),
            Ok(Routed::Answered(reply)) => return Executed::Done(reply),
            Err(error) => return Executed::Done(self.bare(error)),
        };
        let mut receiver = self.execute(&document);
        match receiver.try_recv() {
            Ok(answer) => Executed::Done(self.answer(answer, &document, &request_id)),
            Err(_) => Executed::Waiting(async move {
                let gone = || Error::new(Status::Stopped, "the request was not answered");
                let answer = receiver.await.unwrap_or_else(|_| Err(gone()));
                self.answer(answer, &document, &request_id)
            }),
        }
    }

    fn route(&self, body: &[u8]) -> Routed {
        let (context, headers) = (self.context(), &self.parts.headers);
        let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).filter(|id| !id.is_empty());
        let request_id = given.map_or_else(|| context.uuid().to_string(), str::to_owned);
        let (method, path) = (&self.parts.method, self.parts.uri.path());
        let own = |status, result| Routed::Answered(self.own(status, &request_id, result, Value::Null));
        let failed = |error| Routed::Answered(self.failed(&request_id, error));
        match *method {
            Method::OPTIONS => return own(200, json!({})),
            Method::HEAD if path == "/" => return own(200, json!({})),
            Method::GET if path == "/_healthcheck" => return own(200, Value::Null),
            Method::GET if path == "/_ready" => {
                return own(if self.is_ready() { 200 } else { 503 }, Value::Null);
            }
            _ if !router::Router::knows(method) => {
                return failed(ApiError::new(context, "network.http.unsupported_verb", &[method.as_str()]));
            }
            _ => {}
        }
        let jwt = document::bearer(headers);
        let document = if *method == Method::POST && path.trim_end_matches('/') == "/_query" {
            match document::of_query(body, &request_id, jwt) {
                Some(document) => document,
                None if body.is_empty() && jwt.is_some() => {
                    let props = ["Cannot set properties of null (setting 'jwt')"];
                    return failed(ApiError::new(context, "network.http.unexpected_error", &props));
                }
                None => {
                    let message = "Input request data must be a non-null object";
                    return failed(ApiError::uncatalogued(500, message));
                }
            }
        } else {
            let Some(found) = self.shared.router.find(method, path) else {
                let shown = path.strip_suffix('/').unwrap_or(path);
                return failed(ApiError::new(context, "network.http.url_not_found", &[shown]));
            };
            let volatile = match document::volatile(headers.get(document::VOLATILE)) {
                Ok(volatile) => volatile,
                Err(message) => {
                    return failed(ApiError::new(context, "network.http.volatile_parse_failed", &[&message]));
                }
            };
            let query = self.parts.uri.query().unwrap_or_default();
            document::of_route(&found, query, &request_id, jwt, volatile, body)
        };
        Routed::Execute { document, request_id }
    }

    /// The request as the API is told of it, but for its headers.
    fn request<'a>(&'a self, document: &'a [u8]) -> ApiRequest<'a> {
        let target = self.parts.uri.path_and_query().map_or("*", |target| target.as_str());
        let request = ApiRequest::new(document).label(LABEL).method(self.parts.method.as_str()).url(target);
        match self.connection {
            Some(connection) => request.connection(connection),
            None => request,
        }
    }

    /// Whether the server takes requests, and all its protocols serve: it answers so at once.
    fn is_ready(&self) -> bool {
        let (sender, mut receiver) = oneshot::channel();
        let request = ApiRequest::new(br#"{"controller":"server","action":"healthCheck"}"#);
        self.shared.entry_point.execute(request, move |answer| {
            let _ = sender.send(answer.is_ok_and(|answer| answer.status() == 200));
        });
        !self.shared.entry_point.is_shutting_down() && receiver.try_recv() == Ok(true)
    }

    fn execute(&self, document: &[u8]) -> oneshot::Receiver<Answered> {
        let mut request = self.request(document);
        for (name, value) in &self.parts.headers {
            // The token is in the document.
            if let (Ok(value), true) = (std::str::from_utf8(value.as_bytes()), name != header::AUTHORIZATION)
            {
                request = request.header(name.as_str(), value);
            }
        }
        let (sender, receiver) = oneshot::channel();
        self.shared.entry_point.execute(request, move |answer| {
            let _ = sender.send(answer.map(|answer| answer.to_owned()));
        });
        receiver
    }

    fn answer(&self, answer: Answered, document: &[u8], request_id: &str) -> Reply {
        let error = match answer {
            Ok(answer) => {
                let headers = answer.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                let body = answer.content.into_bytes();
                return self.shared.style.answer(&self.asked, answer.status, request_id, headers, body);
            }
            Err(error) => error,
        };
        let context = self.context();
        match error.status() {
            Status::InvalidJson => {
                let error = ApiError::new(context, "network.http.body_parse_failed", &[error.message()]);
                self.failed(request_id, error)
            }
            Status::InvalidRequest => self.failed(request_id, errors::malformed(document, error.message())),
            Status::BadHandle => {
                // The host has removed the connection: the next one is another.
                self.socket.forget(&self.shared);
                let error = ApiError::new(context, "api.process.connection_dropped", &[]);
                reply::and_close(self.failed(request_id, error))
            }
            _ => {
                let error = ApiError::new(context, "api.process.shutting_down", &[]);
                reply::and_close(self.failed(request_id, error))
            }
        }
    }

    /// An answer that the API has no part in.
    fn own(&self, status: u16, request_id: &str, result: Value, error: Value) -> Reply {
        let node = self.context().node_id();
        let body = errors::envelope(node, request_id.into(), status, result, error).to_string();
        let headers = std::iter::empty();
        let reply = self.shared.style.answer(&self.asked, status, request_id, headers, body.into());
        self.log(status, &reply);
        reply
    }

    fn failed(&self, request_id: &str, error: ApiError) -> Reply {
        self.own(error.status, request_id, Value::Null, Value::Object(error.object))
    }

    fn log(&self, status: u16, reply: &Reply) {
        use hyper::body::Body as _;
        let size = reply.body().size_hint().exact().unwrap_or(0);
        self.shared.entry_point.log_access(&self.request(b""), status, size);
    }
}
