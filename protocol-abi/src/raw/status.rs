//! Statuses and constants: section 2 of the header.

/// The ABI's major version: a protocol of another one is refused.
pub const KUZZLE_ABI_MAJOR: u16 = 1;
/// The ABI's minor version: a protocol of a higher one is refused.
pub const KUZZLE_ABI_MINOR: u16 = 0;

/// Success.
pub const KUZZLE_OK: i32 = 0;
/// Anything without a number of its own.
pub const KUZZLE_FAILED: i32 = 1;
/// The protocol panicked and is stopped; only the Rust SDK answers it.
pub const KUZZLE_PANIC: i32 = 2;
/// A null pointer, a struct that is too short, text that is not UTF-8.
pub const KUZZLE_INVALID_ARGUMENT: i32 = 3;
/// `execute`: the document is not JSON.
pub const KUZZLE_INVALID_JSON: i32 = 4;
/// `execute`: the document is no valid request.
pub const KUZZLE_INVALID_REQUEST: i32 = 5;
/// Called from inside a callback, where that function is not allowed.
pub const KUZZLE_REENTRANT: i32 = 6;
/// No such connection, or not this protocol's.
pub const KUZZLE_BAD_HANDLE: i32 = 7;
/// `new_connection` before every protocol's `init` has succeeded.
pub const KUZZLE_NOT_STARTED: i32 = 8;
/// The protocol has been stopped after a fault.
pub const KUZZLE_STOPPED: i32 = 9;
/// The host is shutting down: no new connections.
pub const KUZZLE_SHUTTING_DOWN: i32 = 10;
/// The protocol's `shutdown` has been called.
pub const KUZZLE_SHUTDOWN: i32 = 11;
/// No such option, error or extension.
pub const KUZZLE_NOT_FOUND: i32 = 12;
/// The option has another type.
pub const KUZZLE_WRONG_TYPE: i32 = 13;
/// A limit of the host is reached.
pub const KUZZLE_LIMIT: i32 = 14;

/// Log level: error.
pub const KUZZLE_LOG_ERROR: u32 = 0;
/// Log level: warning.
pub const KUZZLE_LOG_WARN: u32 = 1;
/// Log level: information.
pub const KUZZLE_LOG_INFO: u32 = 2;
/// Log level: debugging.
pub const KUZZLE_LOG_DEBUG: u32 = 3;
/// Log level: tracing.
pub const KUZZLE_LOG_TRACE: u32 = 4;

/// Disconnected because an administrator or the API asked for it.
pub const KUZZLE_DISCONNECT_REQUESTED: u32 = 1;
/// Disconnected because the host is shutting down.
pub const KUZZLE_DISCONNECT_SHUTDOWN: u32 = 2;
/// Disconnected because too much is waiting for the connection.
pub const KUZZLE_DISCONNECT_OVERFLOW: u32 = 3;
