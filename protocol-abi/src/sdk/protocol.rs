//! What a protocol implements.

use std::ffi::c_void;
use std::sync::Arc;
use std::time::Duration;

use super::connection::ConnectionId;
use super::context::Context;
use super::entry_point::EntryPoint;
use super::error::{Error, Status};
use super::metrics::Metrics;
use super::payload::Payload;
use crate::raw::{self, kuzzle_str};

/// A Kuzzle network protocol. Export it with [`export_protocol!`](crate::export_protocol).
///
/// # Threads
/// [`broadcast`](Self::broadcast) may come on any thread, also several at once, and before `start`.
/// [`notify`](Self::notify), [`join_channel`](Self::join_channel),
/// [`leave_channel`](Self::leave_channel) and [`disconnect`](Self::disconnect) come on any thread,
/// but never two at once for the same connection. These five must return quickly: append to queues
/// of your own and let your threads do the work. They also come **inside your own call of
/// [`EntryPoint::execute`]**, on the same thread: hold no lock across that call which they take.
///
/// # Panics
/// A panic in one of these functions is logged and stops the protocol; see the crate's first page.
pub trait Protocol: Send + Sync + Sized + 'static {
    /// The protocol's own section of the configuration, `server.protocols.<section>` without the
    /// host's own keys. If its manifest names several sections: an object with one member for each, which
    /// is `null` if that section is switched off.
    /// Use `#[serde(default)]`: without a section it is read from `{}`.
    type Config: serde::de::DeserializeOwned;

    /// Binds sockets and stores what is needed. Both handles may be cloned and kept. Clients cannot
    /// be declared yet ([`Status::NotStarted`]), but [`Context`] and requests without a connection
    /// work. Called once, on a thread of its own, within `services.common.defaultInitTimeout`;
    /// threads made here have SIGTERM and SIGINT blocked.
    ///
    /// # Errors
    /// The host then refuses to start, and shows the message; [`shutdown`](Self::shutdown) is not
    /// called.
    fn init(entry_point: EntryPoint, context: Context, config: Self::Config) -> Result<Self, Error>;

    /// Accepts clients from here: every protocol's `init` has succeeded. Start threads or tasks with
    /// a clone of `self`, and return. Called once, under the same conditions as `init`.
    ///
    /// # Errors
    /// The host then refuses to start, and shows the message.
    fn start(self: &Arc<Self>) -> Result<(), Error> {
        Ok(())
    }

    /// Sends `payload` to all connections that have joined one of `channels`, for each such channel,
    /// with `"room": channel` if the clients expect it. Channels that nobody has joined are normal.
    fn broadcast(&self, channels: Channels<'_>, payload: &Payload<'_>);

    /// Sends `payload` to one connection, for each of `channels`. Ignore unknown connections.
    fn notify(&self, connection: ConnectionId, channels: Channels<'_>, payload: &Payload<'_>);

    /// The connection listens to the channel from now on. May name a pair that has joined already.
    ///
    /// # Errors
    /// Refuses: the subscription is undone and its request answered with an error.
    fn join_channel(&self, connection: ConnectionId, channel: &str) -> Result<(), Error>;

    /// The connection no longer listens to the channel. May name a pair that never joined.
    fn leave_channel(&self, connection: ConnectionId, channel: &str);

    /// Close this client and drop its [`Connection`](crate::Connection), here or soon: the host
    /// removes it itself after 5 s. `message` is for the client or a log, and may be empty.
    fn disconnect(&self, connection: ConnectionId, reason: DisconnectReason, message: &str);

    /// Ends the protocol's own threads within `deadline`. After it the SDK ends its own, those of the
    /// `tokio` feature included, in what is left of the time. Called once, also after a panic.
    fn shutdown(&self, deadline: Duration) {
        let _ = deadline;
    }

    /// Tells the host how things are, in numbers that it shows in `server:metrics`, by the extension
    /// `kuzzle.metrics/1`. Called about once a second, on any thread, under the conditions of
    /// [`broadcast`](Self::broadcast): return quickly.
    fn metrics(&self, out: &mut Metrics<'_>) {
        let _ = out;
    }

    /// A table of the protocol, by its extension id; `kuzzle.metrics/1` is the SDK's own unless it is
    /// answered here. `this` is `None` before `init` has succeeded.
    fn get_extension(this: Option<&Self>, id: &str) -> Option<Extension> {
        let _ = (this, id);
        None
    }
}

/// A table that a protocol offers to the host, see [`Protocol::get_extension`]. Its layout is what
/// the extension's documentation says: `#[repr(C)]`, made of function pointers.
#[derive(Clone, Copy, Debug)]
pub struct Extension {
    table: &'static (),
}

impl Extension {
    /// Offers a table.
    pub fn new<T: Sync>(table: &'static T) -> Self {
        // SAFETY: a reference to a zero-sized type may point to any live, aligned address; only the
        // address is used.
        Self { table: unsafe { &*std::ptr::from_ref(table).cast::<()>() } }
    }

    pub(crate) fn as_ptr(self) -> *const c_void {
        std::ptr::from_ref(self.table).cast()
    }
}

/// Why a client must be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// An administrator or the API asks for it; also any reason that this SDK does not know.
    Requested,
    /// The host is shutting down.
    Shutdown,
    /// Too much is waiting for this connection.
    Overflow,
}

impl DisconnectReason {
    pub(crate) const fn from_raw(reason: u32) -> Self {
        match reason {
            raw::KUZZLE_DISCONNECT_SHUTDOWN => Self::Shutdown,
            raw::KUZZLE_DISCONNECT_OVERFLOW => Self::Overflow,
            _ => Self::Requested,
        }
    }
}

/// The channels of a broadcast or notification, borrowed for the call.
#[derive(Clone, Copy, Debug)]
pub struct Channels<'a> {
    names: &'a [kuzzle_str],
}

impl<'a> Channels<'a> {
    /// # Errors
    /// [`Status::InvalidArgument`]: a null pointer with a length, or a name that is not UTF-8.
    ///
    /// # Safety
    /// `names` is null or points to `len` strings, and these and their bytes live for `'a`.
    pub(crate) unsafe fn from_raw(names: *const kuzzle_str, len: usize) -> Result<Self, Error> {
        let names = if len == 0 {
            &[]
        } else if names.is_null() {
            return Err(Error::new(Status::InvalidArgument, "the host sent a null pointer for channels"));
        } else {
            // SAFETY: not null; the caller vouches for `len` strings during `'a`.
            unsafe { std::slice::from_raw_parts(names, len) }
        };
        // SAFETY: the caller vouches for the bytes.
        if names.iter().any(|name| unsafe { name.text() }.is_none()) {
            return Err(Error::new(Status::InvalidArgument, "the host sent a channel that is not UTF-8"));
        }
        Ok(Self { names })
    }

    /// The names.
    pub fn iter(self) -> impl ExactSizeIterator<Item = &'a str> {
        self.names.iter().map(|name| {
            // SAFETY: `from_raw`'s caller vouches for the bytes, and they were UTF-8 there.
            let bytes = unsafe { name.bytes::<'a>() }.unwrap_or_default();
            // SAFETY: checked in `from_raw`; borrowed bytes do not change.
            unsafe { std::str::from_utf8_unchecked(bytes) }
        })
    }

    /// How many.
    pub fn len(self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.names.is_empty()
    }
}
