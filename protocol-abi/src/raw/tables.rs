//! What the host gives to `init`, two frozen tables: section 5 of the header, which says what each
//! function does, on which threads, and what it answers.

use core::ffi::c_void;

use super::{
    kuzzle_completion, kuzzle_connection_info, kuzzle_error, kuzzle_error_info, kuzzle_request, kuzzle_str,
};

/// Declares clients and forwards requests; one for each protocol.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "abi_stable", derive(abi_stable::StableAbi))]
#[allow(missing_docs, reason = "the header documents each function")]
pub struct kuzzle_entry_point {
    pub new_connection: Option<
        unsafe extern "C" fn(
            this: *const kuzzle_entry_point,
            info: *const kuzzle_connection_info,
            out: *mut u64,
            uuid_out: *mut u8,
            error: *mut kuzzle_error,
        ) -> i32,
    >,
    pub remove_connection:
        Option<unsafe extern "C" fn(this: *const kuzzle_entry_point, connection: u64) -> i32>,
    pub execute: Option<
        unsafe extern "C" fn(
            this: *const kuzzle_entry_point,
            request: *const kuzzle_request,
            completion: kuzzle_completion,
            error: *mut kuzzle_error,
        ) -> i32,
    >,
    pub log_access: Option<
        unsafe extern "C" fn(
            this: *const kuzzle_entry_point,
            request: *const kuzzle_request,
            status: u32,
            size: u64,
        ) -> i32,
    >,
    pub is_shutting_down: Option<unsafe extern "C" fn(this: *const kuzzle_entry_point) -> u8>,
    pub report_listener: Option<
        unsafe extern "C" fn(
            this: *const kuzzle_entry_point,
            transport: kuzzle_str,
            address: kuzzle_str,
        ) -> i32,
    >,
    pub config: Option<unsafe extern "C" fn(this: *const kuzzle_entry_point) -> kuzzle_str>,
    pub suggested_worker_threads: Option<unsafe extern "C" fn(this: *const kuzzle_entry_point) -> u32>,
}

/// Utilities that are not about the network; one for each protocol.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "abi_stable", derive(abi_stable::StableAbi))]
#[allow(missing_docs, reason = "the header documents each function")]
pub struct kuzzle_context {
    pub host_version: Option<unsafe extern "C" fn(this: *const kuzzle_context) -> kuzzle_str>,
    pub kuzzle_version: Option<unsafe extern "C" fn(this: *const kuzzle_context) -> kuzzle_str>,
    pub node_id: Option<unsafe extern "C" fn(this: *const kuzzle_context) -> kuzzle_str>,
    pub log: Option<
        unsafe extern "C" fn(
            this: *const kuzzle_context,
            level: u32,
            target: kuzzle_str,
            message: kuzzle_str,
        ),
    >,
    pub log_enabled:
        Option<unsafe extern "C" fn(this: *const kuzzle_context, level: u32, target: kuzzle_str) -> u8>,
    pub option_i64:
        Option<unsafe extern "C" fn(this: *const kuzzle_context, path: kuzzle_str, out: *mut i64) -> i32>,
    pub option_bool:
        Option<unsafe extern "C" fn(this: *const kuzzle_context, path: kuzzle_str, out: *mut u8) -> i32>,
    pub option_string: Option<
        unsafe extern "C" fn(this: *const kuzzle_context, path: kuzzle_str, out: *mut kuzzle_str) -> i32,
    >,
    pub error_count: Option<unsafe extern "C" fn(this: *const kuzzle_context) -> usize>,
    pub error_at: Option<
        unsafe extern "C" fn(this: *const kuzzle_context, index: usize, out: *mut kuzzle_error_info) -> i32,
    >,
    pub error_by_id: Option<
        unsafe extern "C" fn(this: *const kuzzle_context, id: kuzzle_str, out: *mut kuzzle_error_info) -> i32,
    >,
    pub uuid: Option<unsafe extern "C" fn(this: *const kuzzle_context, out: *mut u8)>,
    pub get_extension:
        Option<unsafe extern "C" fn(this: *const kuzzle_context, id: kuzzle_str) -> *const c_void>,
}
