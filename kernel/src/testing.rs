//! What tests share: an outside that remembers, a clock that stands still, and short ways to ask.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;
use uuid::Uuid;

use crate::{
    Caller, Channel, ConnectionId, Environment, Kernel, Outbound, Payload, Request, Response, Settings,
};

pub(crate) const NOW_MS: u64 = 1_700_000_000_000;
pub(crate) const NODE: &str = "N";

/// One call that the kernel made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Broadcast(Vec<String>, String),
    Notify(u64, Vec<String>, String),
    Join(u64, String),
    Leave(u64, String),
    Overloaded(String),
}

/// Remembers what the kernel asked for.
#[derive(Debug, Default)]
pub(crate) struct Recorder(pub(crate) Vec<Event>);

impl Recorder {
    pub(crate) fn take(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.0)
    }

    /// The channels and the payload of the only broadcast; forgets everything.
    pub(crate) fn only_broadcast(&mut self) -> (Vec<String>, String) {
        let mut broadcasts = self.take().into_iter().filter_map(|event| match event {
            Event::Broadcast(channels, payload) => Some((channels, payload)),
            _ => None,
        });
        let only = broadcasts.next().expect("one broadcast");
        assert_eq!(broadcasts.next(), None);
        only
    }
}

impl Outbound for Recorder {
    fn broadcast(&mut self, channels: Arc<[Channel]>, payload: Payload) {
        let channels = channels.iter().map(|channel| channel.to_string()).collect();
        let payload = String::from_utf8(payload.as_bytes().to_vec()).unwrap();
        let json: Value = serde_json::from_str(&payload).expect("a payload is JSON");
        assert!(json.is_object() && json.get("room").is_none() && payload.ends_with('}'), "{payload}");
        self.0.push(Event::Broadcast(channels, payload));
    }

    fn notify(&mut self, connection: ConnectionId, channels: Arc<[Channel]>, payload: Payload) {
        let channels = channels.iter().map(|channel| channel.to_string()).collect();
        let payload = String::from_utf8(payload.as_bytes().to_vec()).unwrap();
        self.0.push(Event::Notify(connection.0, channels, payload));
    }

    fn join(&mut self, connection: ConnectionId, channel: &Channel) {
        self.0.push(Event::Join(connection.0, channel.to_string()));
    }

    fn leave(&mut self, connection: ConnectionId, channel: &Channel) {
        self.0.push(Event::Leave(connection.0, channel.to_string()));
    }

    fn disconnect(&mut self, _connection: ConnectionId, _message: &str) {
        unimplemented!("nothing disconnects yet")
    }

    fn overloaded(&mut self, percent: f64) {
        self.0.push(Event::Overloaded(percent.to_string()));
    }
}

/// Time stands still; ids count up.
#[derive(Debug, Default)]
pub(crate) struct FixedEnvironment(AtomicU64);

impl Environment for FixedEnvironment {
    fn now_ms(&self) -> u64 {
        NOW_MS
    }

    fn uuid(&self) -> Uuid {
        Uuid::from_u64_pair(0, self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// The first id that [`FixedEnvironment`] gives.
pub(crate) const FIRST_UUID: &str = "00000000-0000-0000-0000-000000000000";

pub(crate) fn settings() -> Settings {
    Settings { node_id: NODE.to_owned(), ..Settings::default() }
}

/// A kernel, and what it asked for.
pub(crate) struct World {
    pub(crate) kernel: Kernel,
    pub(crate) outbound: Recorder,
}

impl World {
    pub(crate) fn new() -> World {
        World::with(settings())
    }

    pub(crate) fn with(settings: Settings) -> World {
        World {
            kernel: Kernel::new(settings, Box::<FixedEnvironment>::default()),
            outbound: Recorder::default(),
        }
    }

    /// With connections 1 to `count`.
    pub(crate) fn with_connections(count: u64) -> World {
        let world = World::new();
        (1..=count).for_each(|id| world.kernel.add_connection(ConnectionId(id)));
        world
    }

    pub(crate) fn ask_as(&mut self, connection: Option<u64>, document: &str) -> Response {
        let request = Request::parse(document.as_bytes()).expect("the test's document is a request");
        let caller = Caller {
            connection: connection.map(ConnectionId),
            uuid: connection.map(u128::from).map(Uuid::from_u128),
            protocol: "websocket",
            headers: &[],
            connection_headers: &[],
        };
        let response = self.kernel.execute(&request, &caller, &mut self.outbound);
        check(&response);
        if let Some(pending) = &response.pending_join {
            check(&pending.refused);
        }
        response
    }

    /// Asks without a connection.
    pub(crate) fn ask(&mut self, document: &str) -> Response {
        self.ask_as(None, document)
    }

    /// Calls an action of `realtime`; `rest` is the rest of the document. Gives the result.
    pub(crate) fn realtime(&mut self, connection: u64, action: &str, rest: &str) -> Value {
        let document = format!(r#"{{"controller":"realtime","action":"{action}","requestId":"r",{rest}}}"#);
        let response = self.ask_as(Some(connection), &document);
        assert_eq!(response.status, 200, "{}", text(&response));
        json(&response)["result"].take()
    }

    /// Like [`World::realtime`], for a call that fails: gives the error.
    pub(crate) fn realtime_error(&mut self, connection: Option<u64>, action: &str, rest: &str) -> Value {
        let document = format!(r#"{{"controller":"realtime","action":"{action}","requestId":"r",{rest}}}"#);
        let response = self.ask_as(connection, &document);
        assert_ne!(response.status, 200, "{}", text(&response));
        json(&response)["error"].take()
    }

    /// Subscribes to everything in `i`/`c`; `rest` begins with a comma or is empty. Gives the channel.
    pub(crate) fn subscribe(&mut self, connection: u64, rest: &str) -> String {
        let result = self.realtime(
            connection,
            "subscribe",
            &format!(r#""index":"i","collection":"c","body":{{}}{rest}"#),
        );
        result["channel"].as_str().unwrap().to_owned()
    }
}

/// What holds for every response.
fn check(response: &Response) {
    let content = json(response);
    assert!(text(response).ends_with('}') && content.get("room").is_none());
    assert_eq!(content["status"], response.status);
    assert_eq!(content["requestId"], response.request_id);
    assert_eq!(response.headers, [("X-Kuzzle-Node".into(), NODE.to_owned())]);
    assert!(!response.raw);
    assert_eq!(content["error"].is_null(), response.status == 200);
}

pub(crate) fn text(response: &Response) -> &str {
    std::str::from_utf8(response.content.as_bytes()).expect("content is UTF-8")
}

pub(crate) fn json(response: &Response) -> Value {
    serde_json::from_slice(response.content.as_bytes()).expect("content is JSON")
}

pub(crate) fn error_id(response: &Response) -> String {
    json(response)["error"]["id"].as_str().unwrap_or_default().to_owned()
}
