//! The contract between a Kuzzle host and its protocols, and the SDK for protocols in Rust.
//!
//! A Kuzzle *protocol* is a shared library that a host loads through a C ABI. The contract is the
//! header `include/kuzzle/protocol.h`; [`raw`] mirrors it in Rust, and everything at this crate's
//! root is the safe SDK on top of it.
//!
//! # Writing a protocol
//! A crate with `crate-type = ["cdylib"]`, a type that implements [`Protocol`], and
//! [`export_protocol!`]. It needs no unsafe code:
//!
//! ```
//! #![forbid(unsafe_code)]
//! use kuzzle_protocol_abi::{
//!     Channels, ConnectionId, Context, DisconnectReason, EntryPoint, Error, Payload, Protocol,
//! };
//!
//! #[derive(serde::Deserialize)]
//! struct Config {
//!     #[serde(default)]
//!     port: u16,
//! }
//!
//! struct Quiet;
//!
//! impl Protocol for Quiet {
//!     type Config = Config;
//!
//!     fn init(_: EntryPoint, _: Context, config: Config) -> Result<Self, Error> {
//!         tracing::info!(port = config.port, "goes to the host's log");
//!         Ok(Quiet)
//!     }
//!     fn broadcast(&self, _: Channels<'_>, _: &Payload<'_>) {}
//!     fn notify(&self, _: ConnectionId, _: Channels<'_>, _: &Payload<'_>) {}
//!     fn join_channel(&self, _: ConnectionId, _: &str) -> Result<(), Error> {
//!         Ok(())
//!     }
//!     fn leave_channel(&self, _: ConnectionId, _: &str) {}
//!     fn disconnect(&self, _: ConnectionId, _: DisconnectReason, _: &str) {}
//! }
//!
//! kuzzle_protocol_abi::export_protocol!(Quiet);
//! # fn main() {}
//! ```
//!
//! # What the SDK takes care of
//! - **Panics**: one that would leave the library becomes [`Status::Panic`], is logged, and stops the
//!   protocol: its code is not entered again, except for [`Protocol::shutdown`]. One in a thread or
//!   task of the protocol's own is logged and stops only that; what it owned is dropped, so a
//!   [`Connection`] in it is removed.
//! - **Re-entrancy**: [`EntryPoint::execute`] may be called anywhere; where the host would refuse it,
//!   it is queued and done later, in order.
//! - **Memory**: [`Payload::retain`] shares the host's bytes without copying them.
//! - **Metrics**: what [`Protocol::metrics`] tells is shown in `server:metrics`.
//! - **Logs**: events of [`tracing`](https://docs.rs/tracing) and panics go to the host's log under
//!   the protocol's name. Spans are accepted and ignored.
//!
//! # Features
//! - `abi_stable` (default): describe this ABI's types to the host, see [`tripwire`].
//! - `tokio`: a ready multi-thread runtime, `EntryPoint::spawn` and `EntryPoint::execute_async`.
//! - `testing`: a host for unit tests, in the test's own process.

pub mod raw;
mod sdk;
#[cfg(feature = "testing")]
pub mod testing;
pub mod tripwire;

pub use bytes;
pub use sdk::config::ConfigError;
pub use sdk::connection::{Connection, ConnectionId, ConnectionInfo, Uuid};
pub use sdk::context::{Context, ErrorInfo, LogLevel};
pub use sdk::entry_point::EntryPoint;
pub use sdk::error::{Error, Status};
pub use sdk::metrics::{Metric, MetricKind, Metrics};
pub use sdk::payload::{Content, Payload};
pub use sdk::protocol::{Channels, DisconnectReason, Extension, Protocol};
pub use sdk::request::Request;
pub use sdk::response::{OwnedResponse, Response};
#[cfg(feature = "tokio")]
pub use tokio;
pub use tracing;

/// For [`export_protocol!`] and tests only: nothing here is stable.
#[doc(hidden)]
pub mod __private {
    pub use crate::sdk::exports::{Exports, Identity};
}

/// The Rust of the authors' guide compiles.
#[cfg(doctest)]
#[doc = include_str!("../../docs/authors.md")]
struct AuthorsGuide;
