//! The safe SDK: what a protocol in Rust sees instead of the C ABI.

pub(crate) mod config;
pub(crate) mod connection;
pub(crate) mod context;
pub(crate) mod entry_point;
pub(crate) mod error;
pub(crate) mod exports;
pub(crate) mod guard;
pub(crate) mod host;
pub(crate) mod logging;
mod macros;
pub(crate) mod metrics;
pub(crate) mod payload;
pub(crate) mod protocol;
pub(crate) mod queue;
pub(crate) mod request;
pub(crate) mod response;
#[cfg(feature = "tokio")]
pub(crate) mod runtime;
