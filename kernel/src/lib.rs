//! The kernel: API requests in, responses and real-time notifications out.
//!
//! It knows no protocol, no shared library and no file, and it never waits: [`Kernel::execute`] runs a request on
//! the thread that calls it. What has to happen outside is appended to an [`Outbound`]; time and ids come from an
//! [`Environment`].
//!
//! ```
//! use kuzzle_kernel::{Caller, Kernel, Request, Settings, SystemEnvironment};
//!
//! let kernel = Kernel::new(Settings::default(), Box::new(SystemEnvironment));
//! let request = Request::parse(br#"{"controller":"server","action":"now"}"#)?;
//! let caller = Caller { connection: None, uuid: None, protocol: "example", headers: &[], connection_headers: &[] };
//! let response = kernel.execute(&request, &caller, &mut kuzzle_kernel::Discard);
//! assert_eq!(response.status, 200);
//! # Ok::<(), kuzzle_kernel::InvalidRequest>(())
//! ```
#![forbid(unsafe_code)]

mod controllers;
mod date;
mod environment;
pub mod errors;
mod funnel;
mod json;
mod kernel;
mod outbound;
mod overload;
mod protocol_watch;
mod realtime;
mod request;
mod response;
mod settings;
mod statistics;
#[cfg(test)]
mod testing;

pub use controllers::{ACTIONS, Action, Argument};
pub use environment::{Environment, SystemEnvironment};
pub use errors::KuzzleError;
pub use funnel::Caller;
pub use kernel::{Kernel, Listener, ProtocolInfo};
pub use outbound::{Channel, ConnectionId, Discard, Outbound, Payload};
pub use protocol_watch::ProtocolWatch;
pub use request::{InvalidRequest, Request};
pub use response::{PendingJoin, Response};
pub use settings::Settings;
pub use statistics::Statistics;

/// The version of Kuzzle whose API this kernel speaks, and that `kuzzleVersion` ranges are checked against.
pub const KUZZLE_VERSION: &str = "2.56.0";
