//! What a protocol asks of the API, and what the test answers.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{ConnectionId, Status};

/// A request that a protocol has handed to `execute`, as the host got it.
#[derive(Clone, Debug, Default)]
pub struct ApiRequest {
    /// The number of the request: 0 is the first.
    pub number: usize,
    /// Whom it is for; `None` for a request of the protocol's own.
    pub connection: Option<ConnectionId>,
    /// The document, its parts in one piece.
    pub document: Vec<u8>,
    /// The label, if it differs from the connection's.
    pub label: String,
    /// Name and value of each header.
    pub headers: Vec<(String, String)>,
    /// For the access log.
    pub method: String,
    /// For the access log.
    pub url: String,
}

impl ApiRequest {
    /// The document as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.document).unwrap_or(Value::Null)
    }

    /// The client's `requestId`, or one that the host makes.
    pub fn request_id(&self) -> String {
        match &self.json()["requestId"] {
            Value::String(id) => id.clone(),
            _ => format!("request-{}", self.number),
        }
    }
}

/// What the API answers to a request.
#[derive(Clone, Debug)]
pub struct Answer {
    pub(super) kind: Kind,
    pub(super) joins: Vec<String>,
    pub(super) leaves: Vec<String>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) delay: Option<Duration>,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// Completed with the envelope of Kuzzle's answers.
    Document { status: u16, result: Value, error: Value },
    /// Completed with any bytes.
    Raw { status: u16, content: Vec<u8> },
    /// Not accepted: `execute` answers this status, the completion is not called.
    Refused { status: Status, message: String },
}

impl Answer {
    fn of(kind: Kind) -> Self {
        Self { kind, joins: Vec::new(), leaves: Vec::new(), headers: Vec::new(), delay: None }
    }

    /// Status 200 with this `result`, in Kuzzle's envelope.
    pub fn ok(result: Value) -> Self {
        Self::of(Kind::Document { status: 200, result, error: Value::Null })
    }

    /// An error of the API, in Kuzzle's envelope: for example 404, `api.process.controller_not_found`.
    pub fn error(status: u16, id: &str, message: &str) -> Self {
        let error = json!({ "id": id, "message": message, "status": status });
        Self::of(Kind::Document { status, result: Value::Null, error })
    }

    /// Any bytes, which the protocol must send as they are.
    pub fn raw(status: u16, content: impl Into<Vec<u8>>) -> Self {
        Self::of(Kind::Raw { status, content: content.into() })
    }

    /// `execute` does not accept the request: [`Status::InvalidJson`], [`Status::InvalidRequest`],
    /// [`Status::BadHandle`], [`Status::Stopped`].
    pub fn refuse(status: Status, message: impl Into<String>) -> Self {
        Self::of(Kind::Refused { status, message: message.into() })
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Before it is answered, the connection joins this channel: `join_channel` is called inside
    /// `execute`, as a host does for `realtime:subscribe`. If the protocol refuses, the answer is an error.
    #[must_use]
    pub fn join(mut self, channel: &str) -> Self {
        self.joins.push(channel.to_owned());
        self
    }

    /// Before it is answered, the connection leaves this channel.
    #[must_use]
    pub fn leave(mut self, channel: &str) -> Self {
        self.leaves.push(channel.to_owned());
        self
    }

    /// The answer comes after this time, on another thread, long after `execute` has returned.
    #[must_use]
    pub fn later(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// What a host answers that has no data: `server:now`, `server:info`, `server:publicApi` and
    /// `realtime:…` with as little as they need, everything else with an error, what is no request with
    /// the status that a host has for it.
    pub fn minimal(request: &ApiRequest) -> Self {
        let Ok(document) = serde_json::from_slice::<Value>(&request.document) else {
            return Self::refuse(Status::InvalidJson, "the document is not JSON");
        };
        let (Some(controller), Some(action)) = (document["controller"].as_str(), document["action"].as_str())
        else {
            return Self::refuse(Status::InvalidRequest, "the document names no controller and action");
        };
        match (controller, action) {
            ("server", "now") => Self::ok(json!({ "now": 1_700_000_000_000_u64 })),
            ("server", "info") => Self::ok(json!({ "serverInfo": { "kuzzle": { "version": "2.56.0" } } })),
            ("server", "publicApi") => Self::ok(public_api()),
            ("realtime", "subscribe") if request.connection.is_some() => {
                let channel = channel_of(&document);
                Self::ok(json!({ "channel": channel, "roomId": channel })).join(&channel)
            }
            ("realtime", "unsubscribe") if request.connection.is_some() => {
                let room = document["body"]["roomId"].as_str().unwrap_or_default();
                Self::ok(json!({ "roomId": room })).leave(room)
            }
            ("realtime", "publish") => Self::ok(json!({ "published": true })),
            ("realtime", "count") => Self::ok(json!({ "count": 0 })),
            ("realtime", "list") => Self::ok(json!({})),
            ("realtime", "validate") => Self::ok(json!({ "valid": true })),
            ("realtime", "join") => Self::ok(json!({ "channel": "room", "roomId": "room" })),
            _ => Self::error(404, "api.process.action_not_found", "API action not found"),
        }
    }

    /// The content that the completion is given.
    pub(super) fn content(&self, request: &ApiRequest) -> Vec<u8> {
        let (status, result, error) = match &self.kind {
            Kind::Document { status, result, error } => (*status, result, error),
            Kind::Raw { content, .. } => return content.clone(),
            Kind::Refused { .. } => return Vec::new(),
        };
        let asked = request.json();
        json!({
            "action": asked["action"],
            "controller": asked["controller"],
            "collection": asked["collection"],
            "index": asked["index"],
            "error": error,
            "node": "knode-fake",
            "requestId": request.request_id(),
            "result": result,
            "status": status,
            "volatile": asked["volatile"],
        })
        .to_string()
        .into_bytes()
    }

    pub(super) fn status(&self) -> u16 {
        match &self.kind {
            Kind::Document { status, .. } | Kind::Raw { status, .. } => *status,
            Kind::Refused { .. } => 0,
        }
    }
}

/// The channel of `realtime:subscribe`: equal filters have equal channels.
fn channel_of(document: &Value) -> String {
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
    let filter =
        (document["index"].to_string(), document["collection"].to_string(), document["body"].to_string());
    format!("channel-{:016x}", BuildHasherDefault::<DefaultHasher>::default().hash_one(filter))
}

/// As little as an HTTP protocol needs to have routes.
fn public_api() -> Value {
    let action = |controller: &str, action: &str, verb: &str, path: &str| json!({ "controller": controller, "action": action, "http": [{ "verb": verb, "path": path }] });
    json!({
        "server": {
            "now": action("server", "now", "GET", "/_now"),
            "info": action("server", "info", "GET", "/"),
            "publicApi": action("server", "publicApi", "GET", "/_publicApi"),
        },
        "realtime": {
            "publish": action("realtime", "publish", "POST", "/:index/:collection/_publish"),
            "subscribe": { "controller": "realtime", "action": "subscribe" },
        },
    })
}
