//! The two tables of the host, checked once: after that no function pointer can be null.

use std::ffi::c_void;

use super::error::{Error, Status};
use crate::raw::{
    kuzzle_completion, kuzzle_connection_info, kuzzle_context, kuzzle_entry_point, kuzzle_error,
    kuzzle_error_info, kuzzle_request, kuzzle_str,
};

macro_rules! checked_table {
    ($(#[$doc:meta])* $name:ident of $table:ident {
        $($function:ident: ($($argument:ident: $type:ty),*) $(-> $result:ty)?;)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct $name {
            table: *const $table,
            $($function: unsafe extern "C" fn(*const $table $(, $type)*) $(-> $result)?,)*
        }

        // SAFETY: the header allows every function of the table on any thread, and the table lives
        // and stays as it is until the process ends.
        unsafe impl Send for $name {}
        // SAFETY: as above.
        unsafe impl Sync for $name {}

        impl $name {
            /// Reads the host's table.
            ///
            /// # Errors
            /// [`Status::InvalidArgument`]: the table or one of its functions is null.
            ///
            /// # Safety
            /// `table` is null or the table that the host gave to `init`.
            pub(crate) unsafe fn new(table: *const $table) -> Result<Self, Error> {
                let missing = |what: &str| {
                    Error::new(
                        Status::InvalidArgument,
                        format!("cannot use this host: its {} is null; the host is faulty, update it", what),
                    )
                };
                if table.is_null() {
                    return Err(missing(stringify!($table)));
                }
                // SAFETY: not null, and the caller vouches for the rest.
                let functions = unsafe { &*table };
                Ok(Self {
                    table,
                    $($function: functions
                        .$function
                        .ok_or_else(|| missing(concat!(stringify!($table), ".", stringify!($function))))?,)*
                })
            }

            /// The host's table.
            #[allow(dead_code, reason = "extensions need the context's")]
            pub(crate) fn as_ptr(&self) -> *const $table {
                self.table
            }

            $(
                /// # Safety
                /// Pointers must be as the header demands for this function.
                #[inline]
                pub(crate) unsafe fn $function(&self $(, $argument: $type)*) $(-> $result)? {
                    // SAFETY: the function is the host's own, for this table, of this signature; the
                    // caller vouches for the arguments.
                    unsafe { (self.$function)(self.table $(, $argument)*) }
                }
            )*
        }
    };
}

checked_table! {
    /// The functions of an entry point.
    EntryPointTable of kuzzle_entry_point {
        new_connection: (
            info: *const kuzzle_connection_info,
            out: *mut u64,
            uuid_out: *mut u8,
            error: *mut kuzzle_error
        ) -> i32;
        remove_connection: (connection: u64) -> i32;
        execute: (
            request: *const kuzzle_request,
            completion: kuzzle_completion,
            error: *mut kuzzle_error
        ) -> i32;
        log_access: (request: *const kuzzle_request, status: u32, size: u64) -> i32;
        is_shutting_down: () -> u8;
        report_listener: (transport: kuzzle_str, address: kuzzle_str) -> i32;
        config: () -> kuzzle_str;
        suggested_worker_threads: () -> u32;
    }
}

checked_table! {
    /// The functions of a context.
    ContextTable of kuzzle_context {
        host_version: () -> kuzzle_str;
        kuzzle_version: () -> kuzzle_str;
        node_id: () -> kuzzle_str;
        log: (level: u32, target: kuzzle_str, message: kuzzle_str);
        log_enabled: (level: u32, target: kuzzle_str) -> u8;
        option_i64: (path: kuzzle_str, out: *mut i64) -> i32;
        option_bool: (path: kuzzle_str, out: *mut u8) -> i32;
        option_string: (path: kuzzle_str, out: *mut kuzzle_str) -> i32;
        error_count: () -> usize;
        error_at: (index: usize, out: *mut kuzzle_error_info) -> i32;
        error_by_id: (id: kuzzle_str, out: *mut kuzzle_error_info) -> i32;
        uuid: (out: *mut u8);
        get_extension: (id: kuzzle_str) -> *const c_void;
    }
}
