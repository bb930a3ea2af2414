//! A whole protocol in a crate that forbids unsafe code and denies all warnings.
#![forbid(unsafe_code)]
#![deny(warnings, missing_docs, unreachable_pub)]

use kuzzle_protocol_abi::{
    Channels, ConnectionId, Context, DisconnectReason, EntryPoint, Error, Payload, Protocol,
};

struct Quiet;

impl Protocol for Quiet {
    type Config = serde_json::Value;

    fn init(_: EntryPoint, _: Context, _: serde_json::Value) -> Result<Self, Error> {
        Ok(Self)
    }
    fn broadcast(&self, _: Channels<'_>, _: &Payload<'_>) {}
    fn notify(&self, _: ConnectionId, _: Channels<'_>, _: &Payload<'_>) {}
    fn join_channel(&self, _: ConnectionId, _: &str) -> Result<(), Error> {
        Ok(())
    }
    fn leave_channel(&self, _: ConnectionId, _: &str) {}
    fn disconnect(&self, _: ConnectionId, _: DisconnectReason, _: &str) {}
}

kuzzle_protocol_abi::export_protocol!(Quiet);

fn main() {}
