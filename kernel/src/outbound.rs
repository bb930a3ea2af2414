//! What the kernel asks the outside to do: notifications, channel membership, disconnections.

use std::sync::Arc;

/// A client connection, as numbered by the host. Opaque to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// The name of a channel, shared by everybody who mentions it.
pub type Channel = Arc<str>;

/// One JSON object as UTF-8 bytes, serialised once and shared by everybody who gets it. Cloning copies no bytes.
///
/// The last byte is `}`, and there is no member `room`, so that a protocol may append members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload(Arc<Vec<u8>>);

impl Payload {
    /// Shares these bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Payload {
        Payload(Arc::new(bytes))
    }

    /// The JSON text.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The shared buffer, for those who count references across a language boundary.
    #[must_use]
    pub fn shared(&self) -> &Arc<Vec<u8>> {
        &self.0
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Payload {
        Payload::new(bytes)
    }
}

/// Receives what the kernel asks the outside to do, in the order in which it has to happen.
///
/// # Contract
/// Implementations only append to a list. They never call the kernel and never wait: they are called while the
/// kernel holds the lock of its rooms. The list is worked off once the kernel has returned, before the response
/// is sent, as Kuzzle does.
pub trait Outbound {
    /// A notification for everybody who is in one of these channels, once for each channel.
    fn broadcast(&mut self, channels: Arc<[Channel]>, payload: Payload);
    /// A message for one connection.
    fn notify(&mut self, connection: ConnectionId, channels: Arc<[Channel]>, payload: Payload);
    /// The connection enters a channel. It may be in it already.
    fn join(&mut self, connection: ConnectionId, channel: &Channel);
    /// The connection leaves a channel. It may never have been in it.
    fn leave(&mut self, connection: ConnectionId, channel: &Channel);
    /// The connection is to be closed.
    fn disconnect(&mut self, connection: ConnectionId, message: &str);
    /// Whether a join of this connection to this channel is still on its way.
    fn is_joining(&self, connection: ConnectionId, channel: &str) -> bool {
        let _ = (connection, channel);
        false
    }
    /// More requests run than should; at most every 500 ms. `percent` tells how much of the room for more is
    /// taken: at 100 further requests are refused. (Kuzzle's event `core:overload`.)
    fn overloaded(&mut self, percent: f64) {
        let _ = percent;
    }
}

/// An [`Outbound`] that forgets everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Discard;

impl Outbound for Discard {
    fn broadcast(&mut self, _channels: Arc<[Channel]>, _payload: Payload) {}
    fn notify(&mut self, _connection: ConnectionId, _channels: Arc<[Channel]>, _payload: Payload) {}
    fn join(&mut self, _connection: ConnectionId, _channel: &Channel) {}
    fn leave(&mut self, _connection: ConnectionId, _channel: &Channel) {}
    fn disconnect(&mut self, _connection: ConnectionId, _message: &str) {}
}
