//! What a protocol exports: section 6 of the header, as function types and symbol names.

use core::ffi::c_void;

use super::{
    kuzzle_broadcast, kuzzle_context, kuzzle_disconnect, kuzzle_entry_point, kuzzle_error,
    kuzzle_notification, kuzzle_str,
};

/// The protocol's own state; only ever behind a pointer.
#[repr(C)]
#[derive(Debug)]
pub struct kuzzle_protocol {
    _private: [u8; 0],
}

/// `kuzzle_protocol_init`.
pub type kuzzle_protocol_init_fn = unsafe extern "C" fn(
    entry_point: *const kuzzle_entry_point,
    context: *const kuzzle_context,
    out: *mut *mut kuzzle_protocol,
    error: *mut kuzzle_error,
) -> i32;
/// `kuzzle_protocol_start`.
pub type kuzzle_protocol_start_fn =
    unsafe extern "C" fn(this: *mut kuzzle_protocol, error: *mut kuzzle_error) -> i32;
/// `kuzzle_protocol_broadcast`.
pub type kuzzle_protocol_broadcast_fn =
    unsafe extern "C" fn(this: *mut kuzzle_protocol, message: *const kuzzle_broadcast) -> i32;
/// `kuzzle_protocol_notify`.
pub type kuzzle_protocol_notify_fn =
    unsafe extern "C" fn(this: *mut kuzzle_protocol, message: *const kuzzle_notification) -> i32;
/// `kuzzle_protocol_join_channel` and `kuzzle_protocol_leave_channel`.
pub type kuzzle_protocol_channel_fn =
    unsafe extern "C" fn(this: *mut kuzzle_protocol, connection: u64, channel: kuzzle_str) -> i32;
/// `kuzzle_protocol_disconnect`.
pub type kuzzle_protocol_disconnect_fn =
    unsafe extern "C" fn(this: *mut kuzzle_protocol, message: *const kuzzle_disconnect) -> i32;
/// `kuzzle_protocol_shutdown`.
pub type kuzzle_protocol_shutdown_fn =
    unsafe extern "C" fn(this: *mut kuzzle_protocol, deadline_ms: u32) -> i32;
/// `kuzzle_protocol_get_extension`.
pub type kuzzle_protocol_get_extension_fn =
    unsafe extern "C" fn(this: *mut kuzzle_protocol, id: kuzzle_str) -> *const c_void;

/// The symbol of the note.
pub const NOTE_SYMBOL: &str = "kuzzle_protocol_abi";

/// The functions that every protocol must export: Kuzzle's six.
pub const REQUIRED_FUNCTIONS: [&str; 6] = [
    "kuzzle_protocol_init",
    "kuzzle_protocol_broadcast",
    "kuzzle_protocol_notify",
    "kuzzle_protocol_join_channel",
    "kuzzle_protocol_leave_channel",
    "kuzzle_protocol_disconnect",
];

/// The functions that a protocol may export.
pub const OPTIONAL_FUNCTIONS: [&str; 3] =
    ["kuzzle_protocol_start", "kuzzle_protocol_shutdown", "kuzzle_protocol_get_extension"];
