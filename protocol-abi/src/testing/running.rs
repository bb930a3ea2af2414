//! Calls into the protocol, as the tags of the header allow them.

use std::cell::Cell;
use std::ffi::{c_char, c_void};
use std::fmt;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::buffers::Buffer;
use super::functions::Functions;
use super::host::{FakeHost, Instance, Shared, Stage};
use super::recorded::{Rule, SlowCall};
use super::tables::{context_table, entry_point_table};
use crate::raw::{
    KUZZLE_DISCONNECT_OVERFLOW, KUZZLE_DISCONNECT_REQUESTED, KUZZLE_DISCONNECT_SHUTDOWN, KUZZLE_OK,
    KUZZLE_PANIC, kuzzle_broadcast, kuzzle_buf, kuzzle_disconnect, kuzzle_error, kuzzle_notification,
    kuzzle_protocol, kuzzle_str,
};
use crate::{ConnectionId, DisconnectReason, Error, Status};

/// A call that lasts this long is recorded.
const SLOW: Duration = Duration::from_millis(100);

thread_local! {
    static CALLBACKS: Cell<u32> = const { Cell::new(0) };
}

/// Whether this thread is inside a callback, where `execute` is refused.
pub(super) fn inside_callback() -> bool {
    CALLBACKS.get() > 0
}

/// Makes a call during which `execute` is refused, and takes its time.
pub(super) fn callback(shared: &Shared, function: &'static str, call: impl FnOnce() -> i32) -> i32 {
    let began = Instant::now();
    CALLBACKS.set(CALLBACKS.get() + 1);
    let status = call();
    CALLBACKS.set(CALLBACKS.get() - 1);
    let lasted = began.elapsed();
    if lasted >= SLOW {
        shared.record(|state| state.recorded.slow.push(SlowCall { function, lasted }));
    }
    if status == KUZZLE_PANIC {
        shared.violated(Rule::Panics, format!("{function} panicked"));
    }
    status
}

/// The bytes of a message, in one part or in several.
pub trait Payloads {
    /// The parts, which concatenate to one JSON object.
    fn parts(&self) -> Vec<Vec<u8>>;
}

impl Payloads for Value {
    fn parts(&self) -> Vec<Vec<u8>> {
        vec![self.to_string().into_bytes()]
    }
}

impl Payloads for str {
    fn parts(&self) -> Vec<Vec<u8>> {
        vec![self.as_bytes().to_vec()]
    }
}

impl<T: AsRef<[u8]>> Payloads for [T] {
    fn parts(&self) -> Vec<Vec<u8>> {
        self.iter().map(|part| part.as_ref().to_vec()).collect()
    }
}

/// A struct of the ABI, and behind it what a later host may have added.
#[repr(C)]
struct Longer<T> {
    message: T,
    added: [u64; 8],
}

impl<T> Longer<T> {
    fn size(shared: &Shared) -> u32 {
        let size =
            if shared.longer_structs.load(Ordering::SeqCst) { size_of::<Self>() } else { size_of::<T>() };
        size as u32
    }

    fn of(message: T) -> Self {
        Self { message, added: [0xa5a5_a5a5_a5a5_a5a5; 8] }
    }
}

/// A protocol whose `init` has succeeded. Cheap to clone.
///
/// # Threads
/// May be used on any; calls for one connection wait for each other, as the ABI demands.
#[derive(Clone, Copy)]
pub struct Running {
    host: FakeHost,
    functions: Functions,
    instance: Instance,
}

impl Running {
    pub(super) fn init(host: FakeHost, functions: Functions) -> Result<Self, Error> {
        let shared = host.shared;
        assert!(shared.functions.set(functions).is_ok(), "this host has run a protocol already");
        let (entry_point, context) = (entry_point_table(shared), context_table(shared));
        let mut instance: *mut kuzzle_protocol = std::ptr::null_mut();
        let mut error = kuzzle_error::empty();
        // SAFETY: whoever made the functions vouches for them; the tables are leaked, the rest lives
        // until the call returns.
        let status =
            unsafe { (functions.table.init)(entry_point, context, &raw mut instance, &raw mut error) };
        if status != KUZZLE_OK {
            return Err(Error::take(status, error));
        }
        let instance = Instance(instance);
        let _ = shared.instance.set(instance);
        Ok(Self { host, functions, instance })
    }

    /// The protocol that a host runs, once `init` has succeeded.
    pub(super) fn of(shared: &'static Shared) -> Option<Self> {
        let (functions, instance) = (*shared.functions.get()?, *shared.instance.get()?);
        Some(Self { host: FakeHost { shared }, functions, instance })
    }

    /// The host.
    pub fn host(self) -> FakeHost {
        self.host
    }

    pub(super) fn instance(self) -> *mut kuzzle_protocol {
        self.instance.0
    }

    /// From here on clients may be declared; calls `start`, if the protocol has it.
    ///
    /// # Errors
    /// What it answered.
    pub fn start(self) -> Result<(), Error> {
        self.host.shared.record(|state| state.stage = state.stage.max(Stage::Open));
        let Some(start) = self.functions.table.start else { return Ok(()) };
        let mut error = kuzzle_error::empty();
        // SAFETY: the functions are vouched for, the instance is what `init` made.
        let status = unsafe { start(self.instance.0, &raw mut error) };
        if status == KUZZLE_OK { Ok(()) } else { Err(Error::take(status, error)) }
    }

    fn connection_call(
        self,
        connection: ConnectionId,
        function: &'static str,
        call: impl FnOnce() -> i32,
    ) -> Result<(), Status> {
        let turn = self.host.shared.turn(connection.as_raw());
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        judge(callback(self.host.shared, function, call))
    }

    /// Sends a payload to everybody who has joined one of the channels. Channels are any bytes here:
    /// a protocol must survive names that are not UTF-8.
    ///
    /// # Errors
    /// The protocol's status.
    pub fn broadcast<C: AsRef<[u8]>>(
        self,
        channels: &[C],
        payload: &(impl Payloads + ?Sized),
    ) -> Result<(), Status> {
        let (buffers, channels) = (self.buffers(payload), strings(channels));
        let parts = raw_parts(&buffers);
        let message = Longer::of(kuzzle_broadcast {
            struct_size: Longer::<kuzzle_broadcast>::size(self.host.shared),
            reserved: 0,
            channels: pointer(&channels),
            channels_len: channels.len(),
            parts: pointer(&parts),
            parts_len: parts.len(),
        });
        judge(callback(self.host.shared, "broadcast", || {
            // SAFETY: as in `start`; everything in the message lives until the call returns.
            unsafe { (self.functions.table.broadcast)(self.instance.0, (&raw const message).cast()) }
        }))
    }

    /// Sends a payload to one connection.
    ///
    /// # Errors
    /// The protocol's status.
    pub fn notify<C: AsRef<[u8]>>(
        self,
        connection: ConnectionId,
        channels: &[C],
        payload: &(impl Payloads + ?Sized),
    ) -> Result<(), Status> {
        let (buffers, channels) = (self.buffers(payload), strings(channels));
        let parts = raw_parts(&buffers);
        let message = Longer::of(kuzzle_notification {
            struct_size: Longer::<kuzzle_notification>::size(self.host.shared),
            reserved: 0,
            connection: connection.as_raw(),
            channels: pointer(&channels),
            channels_len: channels.len(),
            parts: pointer(&parts),
            parts_len: parts.len(),
        });
        self.connection_call(connection, "notify", || {
            // SAFETY: as in `broadcast`.
            unsafe { (self.functions.table.notify)(self.instance.0, (&raw const message).cast()) }
        })
    }

    /// The connection listens to the channel from now on.
    ///
    /// # Errors
    /// The protocol refuses.
    pub fn join_channel(self, connection: ConnectionId, channel: impl AsRef<[u8]>) -> Result<(), Status> {
        let channel = string(channel.as_ref());
        self.connection_call(connection, "join_channel", || {
            // SAFETY: as in `start`; the channel lives until the call returns.
            unsafe { (self.functions.table.join_channel)(self.instance.0, connection.as_raw(), channel) }
        })
    }

    /// The connection no longer listens to the channel.
    ///
    /// # Errors
    /// The protocol's status.
    pub fn leave_channel(self, connection: ConnectionId, channel: impl AsRef<[u8]>) -> Result<(), Status> {
        let channel = string(channel.as_ref());
        self.connection_call(connection, "leave_channel", || {
            // SAFETY: as in `join_channel`.
            unsafe { (self.functions.table.leave_channel)(self.instance.0, connection.as_raw(), channel) }
        })
    }

    /// A client must be closed.
    ///
    /// # Errors
    /// The protocol's status.
    pub fn disconnect(
        self,
        connection: ConnectionId,
        reason: DisconnectReason,
        message: impl AsRef<[u8]>,
    ) -> Result<(), Status> {
        let message = Longer::of(kuzzle_disconnect {
            struct_size: Longer::<kuzzle_disconnect>::size(self.host.shared),
            reason: match reason {
                DisconnectReason::Shutdown => KUZZLE_DISCONNECT_SHUTDOWN,
                DisconnectReason::Overflow => KUZZLE_DISCONNECT_OVERFLOW,
                DisconnectReason::Requested => KUZZLE_DISCONNECT_REQUESTED,
            },
            connection: connection.as_raw(),
            message: string(message.as_ref()),
        });
        self.connection_call(connection, "disconnect", || {
            // SAFETY: as in `broadcast`.
            unsafe { (self.functions.table.disconnect)(self.instance.0, (&raw const message).cast()) }
        })
    }

    /// The address of an extension's table; `None`: the protocol does not have it.
    pub fn extension(self, id: impl AsRef<[u8]>) -> Option<NonNull<c_void>> {
        let get_extension = self.functions.table.get_extension?;
        let mut table = std::ptr::null();
        callback(self.host.shared, "get_extension", || {
            // SAFETY: as in `join_channel`.
            table = unsafe { get_extension(self.instance.0, string(id.as_ref())) };
            KUZZLE_OK
        });
        NonNull::new(table.cast_mut())
    }

    /// Waits for answers that are still to come, then ends the protocol's threads.
    ///
    /// # Errors
    /// The protocol's status.
    pub fn shutdown(self, deadline: Duration) -> Result<(), Status> {
        let shared = self.host.shared;
        let until = Instant::now() + deadline;
        while shared.state().later > 0 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        shared.record(|state| state.stage = state.stage.max(Stage::Shutdown));
        let status = self.functions.table.shutdown.map_or(KUZZLE_OK, |shutdown| {
            // SAFETY: as in `start`.
            unsafe { shutdown(self.instance.0, u32::try_from(deadline.as_millis()).unwrap_or(u32::MAX)) }
        });
        shared.record(|state| state.stage = Stage::Over);
        if status == KUZZLE_PANIC {
            shared.violated(Rule::Panics, "shutdown panicked");
        }
        judge(status)
    }

    fn buffers(self, payload: &(impl Payloads + ?Sized)) -> Vec<Buffer> {
        payload.parts().iter().map(|part| Buffer::new(&self.host.shared.ledger, part)).collect()
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").finish_non_exhaustive()
    }
}

/// Whose turn it is to be called for a connection; `None` without a connection.
pub(super) fn turn_of(shared: &Shared, connection: u64) -> Option<Arc<Mutex<()>>> {
    (connection != 0).then(|| shared.turn(connection))
}

fn judge(status: i32) -> Result<(), Status> {
    if status == KUZZLE_OK { Ok(()) } else { Err(Status::from_raw(status)) }
}

/// Any bytes, as text that may not be text.
pub(super) fn string(bytes: &[u8]) -> kuzzle_str {
    if bytes.is_empty() {
        kuzzle_str::EMPTY
    } else {
        kuzzle_str { ptr: bytes.as_ptr().cast::<c_char>(), len: bytes.len() }
    }
}

fn strings<C: AsRef<[u8]>>(names: &[C]) -> Vec<kuzzle_str> {
    names.iter().map(|name| string(name.as_ref())).collect()
}

fn raw_parts(buffers: &[Buffer]) -> Vec<kuzzle_buf> {
    buffers.iter().map(Buffer::raw).collect()
}

/// Null for an empty array, as the header allows it.
fn pointer<T>(items: &[T]) -> *const T {
    if items.is_empty() { std::ptr::null() } else { items.as_ptr() }
}
