//! The answer to a request, and how its content is laid out.

use std::borrow::Cow;

use crate::errors::KuzzleError;
use crate::json::{push_number, push_raw, push_raw_or_null, push_string};
use crate::outbound::{Channel, Payload};
use crate::request::Request;

/// The answer to a request, as protocols get it (Kuzzle: lib/api/request/requestResponse.ts, `toJSON`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status, with the meaning of an HTTP status; the same as in the content.
    pub status: u16,
    /// Whether the content is the bare result of an action instead of the usual envelope. No action of today
    /// answers so.
    pub raw: bool,
    /// The client's id of the request, or the one that the kernel made.
    pub request_id: String,
    /// The headers for protocols that have some: names and values.
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// The JSON object for the client. It has no member `room`, and ends with `}`.
    pub content: Payload,
    /// What has to be settled before this answer may be sent.
    pub pending_join: Option<PendingJoin>,
}

/// Comes with the answer of `realtime:subscribe` and `realtime:join`. The join is delivered first; if the protocol
/// refuses it, call [`Kernel::join_refused`](crate::Kernel::join_refused) and answer `refused` instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingJoin {
    /// The channel that the connection is to enter.
    pub channel: Channel,
    /// The answer if the protocol refuses: `protocol.runtime.join_refused`.
    pub refused: Box<Response>,
}

/// What the members of an envelope are filled with, besides the outcome.
#[derive(Clone, Copy)]
pub(crate) struct Envelope<'a> {
    /// The request, unless the document was none.
    pub(crate) request: Option<&'a Request<'a>>,
    pub(crate) request_id: &'a str,
    pub(crate) node_id: &'a str,
}

impl Envelope<'_> {
    /// The answer of an action that gave this result, a JSON value.
    pub(crate) fn success(&self, result: &str) -> Response {
        self.response(200, None, result)
    }

    /// The answer of a request that failed.
    pub(crate) fn failure(&self, error: &KuzzleError) -> Response {
        self.response(error.status, Some(error), "null")
    }

    /// The answer of an action that failed and has a result nevertheless.
    pub(crate) fn failure_with_result(&self, error: &KuzzleError, result: &str) -> Response {
        self.response(error.status, Some(error), result)
    }

    fn response(&self, status: u16, error: Option<&KuzzleError>, result: &str) -> Response {
        Response {
            status,
            raw: false,
            request_id: self.request_id.to_owned(),
            headers: vec![(Cow::Borrowed("X-Kuzzle-Node"), self.node_id.to_owned())],
            content: Payload::new(self.content(status, error, result)),
            pending_join: None,
        }
    }

    fn content(&self, status: u16, error: Option<&KuzzleError>, result: &str) -> Vec<u8> {
        let volatile = self.request.and_then(Request::volatile);
        let variable = result.len() + volatile.map_or(0, |value| value.get().len()) + self.request_id.len();
        let mut out = Vec::with_capacity(variable + 320);

        out.extend_from_slice(br#"{"action":"#);
        push_string_or_null(&mut out, self.request.and_then(Request::action));
        if let Some(collection) = self.request.and_then(Request::collection) {
            out.extend_from_slice(br#","collection":"#);
            push_raw(&mut out, collection.get());
        }
        out.extend_from_slice(br#","controller":"#);
        push_string_or_null(&mut out, self.request.and_then(Request::controller));
        out.extend_from_slice(br#","error":"#);
        match error {
            None => out.extend_from_slice(b"null"),
            Some(error) => serde_json::to_writer(&mut out, error)
                .expect("an error holds strings and numbers, and memory takes all of them"),
        }
        out.extend_from_slice(br#","headers":{}"#);
        if let Some(index) = self.request.and_then(Request::index) {
            out.extend_from_slice(br#","index":"#);
            push_raw(&mut out, index.get());
        }
        out.extend_from_slice(br#","node":"#);
        push_string(&mut out, self.node_id);
        out.extend_from_slice(br#","requestId":"#);
        push_string(&mut out, self.request_id);
        out.extend_from_slice(br#","result":"#);
        out.extend_from_slice(result.as_bytes());
        out.extend_from_slice(br#","status":"#);
        push_number(&mut out, u64::from(status));
        out.extend_from_slice(br#","volatile":"#);
        push_raw_or_null(&mut out, volatile);
        out.push(b'}');
        out
    }
}

fn push_string_or_null(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => push_string(out, text),
        None => out.extend_from_slice(b"null"),
    }
}
