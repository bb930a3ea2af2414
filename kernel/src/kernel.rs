//! The kernel itself: what it is made of, and what its host may ask of it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::RwLock;
use serde::Serialize;

use crate::controllers;
use crate::environment::Environment;
use crate::errors::KuzzleError;
use crate::outbound::{ConnectionId, Outbound};
use crate::overload::Overload;
use crate::protocol_watch::ProtocolWatch;
use crate::realtime::Realtime;
use crate::request::{InvalidRequest, Request};
use crate::response::{Envelope, Response};
use crate::settings::Settings;
use crate::statistics::Statistics;

/// A protocol that serves clients, as `server:info` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProtocolInfo {
    /// The name in its manifest.
    pub name: String,
    /// The version in its manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where its clients connect to.
    pub listeners: Vec<Listener>,
}

/// One address that a protocol listens on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listener {
    /// The transport, such as `tcp`.
    pub transport: String,
    /// The address, such as `127.0.0.1:7512`.
    pub address: String,
}

/// Executes requests, and keeps the real-time rooms. One kernel serves all threads.
pub struct Kernel {
    pub(crate) settings: Settings,
    pub(crate) environment: Box<dyn Environment>,
    pub(crate) realtime: Realtime,
    /// The result of `server:publicApi`, a JSON object.
    pub(crate) public_api: String,
    /// The protocols as a JSON array.
    protocols: RwLock<String>,
    pub(crate) watch: OnceLock<Box<dyn ProtocolWatch>>,
    pub(crate) statistics: Statistics,
    started_ms: u64,
    pub(crate) shutting_down: AtomicBool,
    pub(crate) running: AtomicUsize,
    pub(crate) overload: Overload,
    pub(crate) origins: OnceLock<Allows>,
}

/// Whether requests of this origin are taken.
type Allows = Box<dyn Fn(&str) -> bool + Send + Sync>;

impl Kernel {
    /// A kernel without connections, rooms and protocols.
    #[must_use]
    pub fn new(settings: Settings, environment: Box<dyn Environment>) -> Kernel {
        Kernel {
            realtime: Realtime::new(settings.node_id.clone(), settings.subscription_rooms),
            public_api: controllers::public_api(),
            protocols: RwLock::new("[]".to_owned()),
            watch: OnceLock::new(),
            statistics: Statistics::new(settings.stats_ttl.saturating_mul(1_000)),
            started_ms: environment.now_ms(),
            shutting_down: AtomicBool::new(false),
            running: AtomicUsize::new(0),
            overload: Overload::default(),
            origins: OnceLock::new(),
            settings,
            environment,
        }
    }

    /// Registers a connection: from now on its requests are executed. Registering it twice changes nothing. The
    /// number of a removed connection must not be used again.
    pub fn add_connection(&self, connection: ConnectionId) {
        self.realtime.add_connection(connection);
    }

    /// Forgets a connection. It leaves all its rooms, whose other members get their user notifications;
    /// [`Outbound::leave`] is not called, as there is nobody left to leave. An unknown connection is ignored.
    pub fn remove_connection(&self, connection: ConnectionId, outbound: &mut dyn Outbound) {
        self.realtime.remove_connection(connection, self.environment.now_ms(), outbound);
    }

    /// Takes back the subscription to this channel, because the protocol refused the join; see
    /// [`PendingJoin`](crate::PendingJoin). If the connection is in no other channel of the room it leaves the
    /// room, whose other members get their user notification. [`Outbound::leave`] is not called: according to the
    /// protocol the connection is not in the channel. Nothing happens if [`Outbound::is_joining`] says that the
    /// connection has asked again meanwhile. An unknown connection or channel is ignored.
    pub fn join_refused(&self, connection: ConnectionId, channel: &str, outbound: &mut dyn Outbound) {
        self.realtime.join_refused(connection, channel, self.environment.now_ms(), outbound);
    }

    /// From now on every request is answered `network.entrypoint.shutting_down`. Requests that are running finish:
    /// once this has returned and [`Kernel::running_requests`] is 0, no action runs any more.
    pub fn begin_shutdown(&self) {
        self.shutting_down.store(true, Ordering::SeqCst);
    }

    /// Sets the protocols that `server:info` shows.
    pub fn set_protocols(&self, protocols: Vec<ProtocolInfo>) {
        let json =
            serde_json::to_string(&protocols).expect("protocols hold strings only, which all serialise");
        *self.protocols.write() = json;
    }

    /// Sets who is asked how the protocols are, once. Without it there are no protocols in metrics and health.
    pub fn set_protocol_watch(&self, watch: Box<dyn ProtocolWatch>) {
        let _ = self.watch.set(watch);
    }

    /// Refuses requests whose header `Origin`, or that of their connection, is not allowed, from now on. Only the first
    /// call counts. Without it all origins are allowed.
    pub fn restrict_origins(&self, allows: Box<dyn Fn(&str) -> bool + Send + Sync>) {
        let _ = self.origins.set(allows);
    }

    /// The counts by protocol label. The host counts connections and has frames taken; the kernel counts requests.
    #[must_use]
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// The answer to a document that is no request; see [`InvalidRequest::to_error`].
    #[must_use]
    pub fn invalid(&self, invalid: &InvalidRequest) -> Response {
        self.failure(None, invalid.request_id(), &invalid.to_error())
    }

    /// The answer to a document longer than [`Settings::max_request_size`]: `network.http.request_too_large`.
    #[must_use]
    pub fn oversized(&self, request_id: Option<&str>) -> Response {
        self.failure(None, request_id, &KuzzleError::new("network.http.request_too_large", &[]))
    }

    /// The answer to a request that was executed, but whose connection went away before its answer could be sent:
    /// `api.process.connection_dropped`. `request_id` is that of the first answer.
    #[must_use]
    pub fn dropped(&self, request: Option<&Request<'_>>, request_id: &str) -> Response {
        self.failure(request, Some(request_id), &KuzzleError::new("api.process.connection_dropped", &[]))
    }

    /// The answer to a request that failed outside the kernel. Without a request its members are `null`; without
    /// a request id the kernel makes one.
    #[must_use]
    pub fn failure(
        &self,
        request: Option<&Request<'_>>,
        request_id: Option<&str>,
        error: &KuzzleError,
    ) -> Response {
        let request_id = self.request_id(request_id.or(request.and_then(Request::request_id)));
        Envelope { request, request_id: &request_id, node_id: self.node_id() }.failure(error)
    }

    /// How many requests are running now.
    #[must_use]
    pub fn running_requests(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }

    /// How many connections are registered.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.realtime.connections()
    }

    /// How many real-time rooms exist.
    #[must_use]
    pub fn rooms(&self) -> usize {
        self.realtime.rooms()
    }

    /// How many collections have real-time rooms.
    #[must_use]
    pub fn collections(&self) -> usize {
        self.realtime.collections()
    }

    /// How many connections are in at least one room. (Kuzzle's metrics call them subscriptions.)
    #[must_use]
    pub fn subscriptions(&self) -> usize {
        self.realtime.subscriptions()
    }

    /// The name of this node.
    #[must_use]
    pub fn node_id(&self) -> &str {
        &self.settings.node_id
    }

    /// The result of `server:info`, as far as a native host has it: `nodeVersion` is empty because there is no
    /// Node.js, `system` and `services` have no members. `protocols` is an addition of ours.
    pub(crate) fn info(&self, now_ms: u64) -> String {
        let api = &self.public_api;
        let protocols = self.protocols.read();
        let seconds = now_ms.saturating_sub(self.started_ms) as f64 / 1000.0;
        let version = crate::KUZZLE_VERSION;
        format!(
            r#"{{"serverInfo":{{"kuzzle":{{"api":{{"routes":{api}}},"nodeVersion":"","plugins":{{}},"protocols":{protocols},"system":{{}},"uptime":"{seconds:.1}s","version":"{version}"}},"services":{{}}}}}}"#
        )
    }
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Kernel").field("settings", &self.settings).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FIRST_UUID, World, error_id, json, text};

    #[test]
    fn is_shared_between_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<Kernel>();
    }

    #[test]
    fn answers_what_is_no_request() {
        let kernel = World::new().kernel;
        let response = kernel.invalid(&Request::parse(b"[]").unwrap_err());
        assert_eq!(
            text(&response),
            format!(
                r#"{{"action":null,"controller":null,"error":{{"message":"Input request data must be a non-null object","status":500}},"headers":{{}},"node":"N","requestId":"{FIRST_UUID}","result":null,"status":500,"volatile":null}}"#
            )
        );
        let response = kernel.invalid(&Request::parse(br#"{"requestId":"r1","controller":12}"#).unwrap_err());
        assert_eq!((response.status, &*response.request_id), (400, "r1"));
        let response = kernel.invalid(&Request::parse(b"{").unwrap_err());
        assert_eq!(response.status, 400);
        assert!(json(&response)["error"]["message"].as_str().unwrap().starts_with("EOF"));
    }

    #[test]
    fn answers_documents_that_are_too_large() {
        let response = World::new().kernel.oversized(Some("r1"));
        assert_eq!(
            (error_id(&response), response.status),
            ("network.http.request_too_large".to_owned(), 413)
        );
        assert_eq!(response.request_id, "r1");
    }

    #[test]
    fn answers_requests_whose_connection_went_away() {
        let request = Request::parse(br#"{"controller":"server","action":"now","volatile":{}}"#).unwrap();
        let response = World::new().kernel.dropped(Some(&request), "r1");
        assert_eq!(
            (error_id(&response), response.status),
            ("api.process.connection_dropped".to_owned(), 400)
        );
        assert_eq!((&*response.request_id, &json(&response)["action"]), ("r1", &"now".into()));
    }
}
