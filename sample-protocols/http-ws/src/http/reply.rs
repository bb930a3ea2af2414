//! Answers: headers as Kuzzle's, and bodies.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::Value;

use super::coding::{self, Coding};
use crate::errors::ApiError;

/// An answer on its way out.
pub(crate) type Reply = Response<Full<Bytes>>;

const X_KUZZLE_NODE: HeaderName = HeaderName::from_static("x-kuzzle-node");
const X_KUZZLE_REQUEST_ID: HeaderName = HeaderName::from_static("x-kuzzle-request-id");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const ALLOW_HEADERS: HeaderValue = HeaderValue::from_static(
    "Content-Type, Access-Control-Allow-Headers, Authorization, X-Requested-With, Content-Encoding, Content-Length, \
     X-Kuzzle-Volatile",
);
const ALLOW_METHODS: HeaderValue = HeaderValue::from_static("GET,POST,PUT,PATCH,DELETE,OPTIONS,HEAD");

/// What the answer takes from its request.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) origin: Option<HeaderValue>,
    pub(crate) coding: Coding,
    pub(crate) pretty: bool,
}

/// What all answers of a server have in common.
#[derive(Debug)]
pub(crate) struct Style {
    common: HeaderMap,
}

impl Style {
    pub(crate) fn new(node: &str, compression: bool) -> Self {
        let mut common = HeaderMap::with_capacity(16);
        if let Ok(node) = HeaderValue::from_str(node) {
            common.insert(X_KUZZLE_NODE, node);
        }
        let codings = if compression { "gzip,deflate,identity" } else { "identity" };
        common.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(codings));
        common.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOW_HEADERS);
        common.insert(header::ACCESS_CONTROL_ALLOW_METHODS, ALLOW_METHODS);
        common.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        // These have their place already, so that a clone need not grow.
        common.insert(header::CONTENT_TYPE, JSON);
        common.insert(header::CONTENT_ENCODING, HeaderValue::from_static("identity"));
        common.insert(X_KUZZLE_REQUEST_ID, HeaderValue::from_static(""));
        Self { common }
    }

    /// An answer of the API. `headers`: those that the action has set.
    pub(crate) fn answer<'h>(
        &self,
        asked: &Asked,
        status: u16,
        request_id: &str,
        headers: impl Iterator<Item = (&'h str, &'h str)>,
        mut body: Bytes,
    ) -> Reply {
        if asked.pretty
            && let Ok(value) = serde_json::from_slice::<Value>(&body)
            && let Ok(text) = serde_json::to_vec_pretty(&value)
        {
            body = text.into();
        }
        if asked.coding != Coding::Identity {
            body = coding::encode(&body, asked.coding).into();
        }
        let mut all = self.common.clone();
        for (name, value) in headers {
            let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) else {
                continue;
            };
            // These would break the message's framing.
            if [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION].contains(&name) {
                continue;
            }
            if name == header::SET_COOKIE {
                all.append(name, value);
            } else {
                all.insert(name, value);
            }
        }
        if asked.coding != Coding::Identity {
            all.insert(header::CONTENT_ENCODING, HeaderValue::from_static(asked.coding.name()));
        }
        match HeaderValue::from_str(request_id) {
            Ok(id) => all.insert(X_KUZZLE_REQUEST_ID, id),
            Err(_) => all.remove(X_KUZZLE_REQUEST_ID),
        };
        if let Some(origin) = &asked.origin {
            all.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            all.insert(header::VARY, HeaderValue::from_static("Origin"));
        }
        build(status, all, body)
    }
}

/// An error before routing: the bare object, without Kuzzle's own headers.
pub(crate) fn bare(error: ApiError, has_origin: bool) -> Reply {
    let status = error.status;
    let mut headers = HeaderMap::with_capacity(6);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOW_HEADERS);
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, ALLOW_METHODS);
    headers.insert(header::CONTENT_TYPE, JSON);
    if has_origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
    build(status, headers, error.into_bare().to_string().into())
}

/// Ends the connection after this answer.
pub(crate) fn and_close(mut reply: Reply) -> Reply {
    reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    reply
}

fn build(status: u16, headers: HeaderMap, body: Bytes) -> Reply {
    let mut reply = Response::new(Full::new(body));
    *reply.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    *reply.headers_mut() = headers;
    reply
}
