//! The note, from which a host reads ABI version and layout without running any code: section 7 of
//! the header.

use super::*;

/// First bytes of every note.
pub const MAGIC: [u8; 8] = *b"KZPROTO1";
/// Bytes before the table.
pub const HEADER_SIZE: usize = 28;
/// Flag: built by the Rust SDK.
pub const FLAG_RUST_SDK: u32 = 1;
/// Flag: compiled with `panic=abort`, so panics cannot be contained.
pub const FLAG_PANIC_ABORT: u32 = 2;
/// Flag: compiled with debug assertions.
pub const FLAG_DEBUG: u32 = 4;

/// The fixed part of a note.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NoteHeader {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// ABI major.
    pub major: u16,
    /// ABI minor.
    pub minor: u16,
    /// Bytes of the whole note, strings with their NUL included.
    pub note_size: u32,
    /// `FLAG_…`.
    pub flags: u32,
    /// Bytes of a pointer.
    pub pointer_size: u16,
    /// Entries of the table.
    pub table_len: u16,
    /// Bytes of the toolchain string with its NUL.
    pub toolchain_len: u16,
    /// Bytes of the SDK string with its NUL.
    pub sdk_len: u16,
}

macro_rules! layout_table {
    ($($name:ident { $($field:ident),* })*) => {
        /// Names of the table's entries: `type` for a size, `type.field` for an offset.
        pub const LAYOUT_NAMES: [&str; LAYOUT_LEN] =
            [$(stringify!($name), $(concat!(stringify!($name), ".", stringify!($field)),)*)*];
        /// How many entries the table of this minor version has.
        pub const LAYOUT_LEN: usize = [$(stringify!($name), $(stringify!($field),)*)*].len();
        /// Sizes and offsets as this compiler sees them: append-only, positional.
        pub const LAYOUT: [u16; LAYOUT_LEN] = [
            $(size_of::<$name>() as u16, $(core::mem::offset_of!($name, $field) as u16,)*)*
        ];
    };
}

layout_table! {
    kuzzle_str { ptr, len }
    kuzzle_buf_ops { retain, release }
    kuzzle_buf { data, len, owner, ops }
    kuzzle_header { name, value }
    kuzzle_completion { function, context }
    kuzzle_error { struct_size, code, message, request_id, owner, release }
    kuzzle_connection_info { struct_size, label, ips, ips_len, headers, headers_len, url, verb }
    kuzzle_request { struct_size, connection, parts, parts_len, label, headers, headers_len, method, url }
    kuzzle_response { struct_size, status, raw, request_id, headers, headers_len, parts, parts_len }
    kuzzle_broadcast { struct_size, channels, channels_len, parts, parts_len }
    kuzzle_notification { struct_size, connection, channels, channels_len, parts, parts_len }
    kuzzle_disconnect { struct_size, reason, connection, message }
    kuzzle_error_info { struct_size, code, status, id, error_class, message }
    kuzzle_entry_point {
        new_connection, remove_connection, execute, log_access, is_shutting_down, report_listener, config,
        suggested_worker_threads
    }
    kuzzle_context {
        host_version, kuzzle_version, node_id, log, log_enabled, option_i64, option_bool, option_string,
        error_count, error_at, error_by_id, uuid, get_extension
    }
}
