//! Answers: headers as Kuzzle's, and bodies.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use kuzzle_protocol_abi::{EntryPoint, Error};
use serde_json::Value;

use super::coding::{self, Coding};
use super::router;
use crate::errors::ApiError;

/// An answer on its way out.
pub(crate) type Reply = Response<Full<Bytes>>;

const X_KUZZLE_NODE: HeaderName = HeaderName::from_static("x-kuzzle-node");
const X_KUZZLE_REQUEST_ID: HeaderName = HeaderName::from_static("x-kuzzle-request-id");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const ALLOW_HEADERS: &str = "Content-Type, Access-Control-Allow-Headers, Authorization, X-Requested-With, \
                             Content-Encoding, Content-Length, X-Kuzzle-Volatile";
const ALLOW_METHODS: &str = "GET,POST,PUT,PATCH,DELETE,OPTIONS,HEAD";

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
    /// Not every origin is allowed.
    pub(crate) restricts_origins: bool,
}

/// What `server:getConfig` answers of the section `http`.
#[derive(Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Options {
    access_control_allow_origin: Value,
    access_control_allow_methods: Option<String>,
    access_control_allow_headers: Option<String>,
    cookie_authentication: Option<bool>,
}

impl Options {
    /// Those of an answer to `server:getConfig`.
    fn read(answer: &[u8]) -> Self {
        let http = serde_json::from_slice::<Value>(answer).map(|mut answer| answer["result"]["http"].take());
        http.and_then(serde_json::from_value).unwrap_or_default()
    }

    fn restricts_origins(&self) -> bool {
        let is_all = |origin: &str| origin.split(',').any(|origin| origin.trim() == "*");
        match &self.access_control_allow_origin {
            Value::String(origins) => !is_all(origins),
            Value::Array(origins) => !origins.iter().any(|origin| origin.as_str().is_some_and(is_all)),
            _ => false,
        }
    }
}

impl Style {
    /// In the host's own style.
    ///
    /// # Errors
    /// The host does not tell its configuration.
    pub(crate) fn from_config(entry_point: &EntryPoint, compression: bool) -> Result<Self, Error> {
        let options = Options::read(&router::ask(entry_point, "getConfig")?);
        Ok(Self::new(entry_point.context().node_id(), compression, &options))
    }

    fn new(node: &str, compression: bool, options: &Options) -> Self {
        let text = |given: &Option<String>, default: &'static str| {
            let given = given.as_deref().and_then(|text| HeaderValue::from_str(text).ok());
            given.unwrap_or(HeaderValue::from_static(default))
        };
        let mut common = HeaderMap::with_capacity(16);
        if let Ok(node) = HeaderValue::from_str(node) {
            common.insert(X_KUZZLE_NODE, node);
        }
        let codings = if compression { "gzip,deflate,identity" } else { "identity" };
        common.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(codings));
        let (headers, methods) =
            (&options.access_control_allow_headers, &options.access_control_allow_methods);
        common.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, text(headers, ALLOW_HEADERS));
        common.insert(header::ACCESS_CONTROL_ALLOW_METHODS, text(methods, ALLOW_METHODS));
        if options.cookie_authentication != Some(false) {
            common.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        // These have their place already, so that a clone need not grow.
        common.insert(header::CONTENT_TYPE, JSON);
        common.insert(header::CONTENT_ENCODING, HeaderValue::from_static("identity"));
        common.insert(X_KUZZLE_REQUEST_ID, HeaderValue::from_static(""));
        Self { common, restricts_origins: options.restricts_origins() }
    }

    /// An error before routing: the bare object, without Kuzzle's own headers.
    pub(crate) fn bare(&self, error: ApiError, origin: Option<&HeaderValue>) -> Reply {
        let status = error.status;
        let mut headers = HeaderMap::with_capacity(6);
        for name in [header::ACCESS_CONTROL_ALLOW_HEADERS, header::ACCESS_CONTROL_ALLOW_METHODS] {
            if let Some(value) = self.common.get(&name) {
                headers.insert(name, value.clone());
            }
        }
        headers.insert(header::CONTENT_TYPE, JSON);
        if let Some(origin) = origin {
            let all = HeaderValue::from_static("*");
            let allowed = if self.restricts_origins { origin.clone() } else { all };
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        }
        build(status, headers, error.into_bare().to_string().into())
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
