//! A host for tests: runs a protocol in the test's own process, and records everything.
//!
//! With the feature `testing`, as a development dependency:
//!
//! ```toml
//! [dev-dependencies]
//! kuzzle-protocol-abi = { version = "1", features = ["testing"] }
//! ```
//!
//! A [`FakeHost`] has the real tables of the C ABI, and a real protocol behind its real exports; only
//! the Kuzzle API is played: a closure answers requests. What the API would bring about is pushed by
//! the test: broadcasts, notifications, channels that are joined and left, forced disconnections.
//! What the protocol does is recorded, and rules of the ABI that it breaks are [`Violation`]s.
//!
//! ```
//! #![forbid(unsafe_code)]
//! use std::sync::Mutex;
//! use std::time::Duration;
//!
//! use kuzzle_protocol_abi::testing::{Answer, FakeHost};
//! use kuzzle_protocol_abi::{
//!     Channels, Connection, ConnectionId, ConnectionInfo, Context, DisconnectReason, EntryPoint, Error,
//!     Payload, Protocol, Request,
//! };
//! use serde_json::json;
//! use std::sync::Arc;
//!
//! /// Its one client asks for the time as soon as it can.
//! struct Curious {
//!     entry_point: EntryPoint,
//!     client: Mutex<Option<Connection>>,
//! }
//!
//! impl Protocol for Curious {
//!     type Config = serde_json::Value;
//!
//!     fn init(entry_point: EntryPoint, _: Context, _: Self::Config) -> Result<Self, Error> {
//!         Ok(Self { entry_point, client: Mutex::default() })
//!     }
//!     fn start(self: &Arc<Self>) -> Result<(), Error> {
//!         let client = self.entry_point.new_connection(&ConnectionInfo::new())?;
//!         let request = Request::new(br#"{"controller":"server","action":"now"}"#).connection(client.id());
//!         self.entry_point.execute(request, |answer| assert!(answer.is_ok()));
//!         *self.client.lock().expect("nobody panics with it") = Some(client);
//!         Ok(())
//!     }
//!     fn broadcast(&self, _: Channels<'_>, _: &Payload<'_>) {}
//!     fn notify(&self, _: ConnectionId, _: Channels<'_>, _: &Payload<'_>) {}
//!     fn join_channel(&self, _: ConnectionId, _: &str) -> Result<(), Error> {
//!         Ok(())
//!     }
//!     fn leave_channel(&self, _: ConnectionId, _: &str) {}
//!     fn disconnect(&self, _: ConnectionId, _: DisconnectReason, _: &str) {
//!         *self.client.lock().expect("nobody panics with it") = None;
//!     }
//! }
//!
//! let host = FakeHost::builder("curious").answer(|_| Answer::ok(json!({ "now": 1 }))).build();
//! let protocol = host.run::<Curious>()?;
//! let request = host.wait("a request", |recorded| recorded.requests.first().cloned());
//! assert_eq!(request.json()["action"], "now");
//!
//! let client = request.connection.expect("it asked for its client");
//! protocol.disconnect(client, DisconnectReason::Requested, "enough")?;
//! host.wait("the client to be gone", |recorded| recorded.removed.contains(&client).then_some(()));
//! protocol.shutdown(Duration::from_secs(1))?;
//! host.is_clean();
//! # Ok::<(), Error>(())
//! ```
//!
//! # Limits
//! One copy of the SDK sends `tracing` events and panics to one host: that of the first protocol in
//! the process. Every line is printed to standard error too, as the SDK takes the panic hook.

mod answers;
mod buffers;
mod extensions;
mod functions;
mod host;
mod recorded;
mod running;
mod tables;

pub use answers::{Answer, ApiRequest};
pub use functions::{Functions, Table};
pub use host::{Builder, FakeHost, connection_id};
pub use recorded::{
    Access, Client, Completed, Listener, LogLine, Recorded, References, Rule, SlowCall, Violation,
};
pub use running::{Payloads, Running};
