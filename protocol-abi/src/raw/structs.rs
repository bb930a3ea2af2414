//! Extensible structs, which begin with `struct_size` and are passed by pointer: section 4 of the
//! header.

use core::ffi::c_void;

use super::{kuzzle_buf, kuzzle_header, kuzzle_str};

/// An error that a function fills when it fails; the caller zeroes it first and releases it last.
#[repr(C)]
#[derive(Debug)]
pub struct kuzzle_error {
    /// `sizeof` as the caller knows it.
    pub struct_size: u32,
    /// The status that the function returns too.
    pub code: i32,
    /// What was attempted, on what, what to do.
    pub message: kuzzle_str,
    /// `execute`: the request's id, if it could be read.
    pub request_id: kuzzle_str,
    /// The callee's own.
    pub owner: *mut c_void,
    /// Frees what the callee allocated and zeroes all but `struct_size`.
    pub release: Option<unsafe extern "C" fn(error: *mut kuzzle_error)>,
}

impl kuzzle_error {
    /// An error to hand to a callee.
    pub const fn empty() -> Self {
        Self {
            struct_size: size_of::<Self>() as u32,
            code: 0,
            message: kuzzle_str::EMPTY,
            request_id: kuzzle_str::EMPTY,
            owner: core::ptr::null_mut(),
            release: None,
        }
    }
}

/// A client that has connected.
#[repr(C)]
#[derive(Debug)]
pub struct kuzzle_connection_info {
    /// `sizeof` as the caller knows it.
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// Shown in requests, notifications, statistics and logs; empty: the manifest's name.
    pub label: kuzzle_str,
    /// The client first, then proxies, the direct peer last.
    pub ips: *const kuzzle_str,
    /// How many.
    pub ips_len: usize,
    /// Headers of the connection.
    pub headers: *const kuzzle_header,
    /// How many.
    pub headers_len: usize,
    /// Empty if the protocol has none.
    pub url: kuzzle_str,
    /// Empty if the protocol has none.
    pub verb: kuzzle_str,
}

/// A request for the Kuzzle API.
#[repr(C)]
#[derive(Debug)]
pub struct kuzzle_request {
    /// `sizeof` as the caller knows it.
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// From `new_connection`; 0: none.
    pub connection: u64,
    /// Concatenated: one JSON object. Borrowed, never retained.
    pub parts: *const kuzzle_buf,
    /// How many.
    pub parts_len: usize,
    /// Empty: the connection's.
    pub label: kuzzle_str,
    /// Headers of the request.
    pub headers: *const kuzzle_header,
    /// How many.
    pub headers_len: usize,
    /// For the access log; may be empty.
    pub method: kuzzle_str,
    /// For the access log; may be empty.
    pub url: kuzzle_str,
}

/// The answer to a request; lives until the completion returns.
#[repr(C)]
#[derive(Debug)]
pub struct kuzzle_response {
    /// `sizeof` as the caller knows it.
    pub struct_size: u32,
    /// As HTTP's.
    pub status: u32,
    /// 1: any bytes; 0: one JSON object.
    pub raw: u8,
    /// 0.
    pub reserved: [u8; 7],
    /// The client's, or one that the host has made.
    pub request_id: kuzzle_str,
    /// Headers of the response.
    pub headers: *const kuzzle_header,
    /// How many.
    pub headers_len: usize,
    /// Concatenated: the content. Can be retained.
    pub parts: *const kuzzle_buf,
    /// How many.
    pub parts_len: usize,
}

/// A payload for everybody who has joined one of the channels.
#[repr(C)]
#[derive(Debug)]
pub struct kuzzle_broadcast {
    /// `sizeof` as the caller knows it.
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// The channels.
    pub channels: *const kuzzle_str,
    /// How many.
    pub channels_len: usize,
    /// Concatenated: one JSON object. Can be retained.
    pub parts: *const kuzzle_buf,
    /// How many.
    pub parts_len: usize,
}

/// A payload for one connection.
#[repr(C)]
#[derive(Debug)]
pub struct kuzzle_notification {
    /// `sizeof` as the caller knows it.
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// Whom it is for.
    pub connection: u64,
    /// The channels; the connection may have joined none of them.
    pub channels: *const kuzzle_str,
    /// How many.
    pub channels_len: usize,
    /// Concatenated: one JSON object. Can be retained.
    pub parts: *const kuzzle_buf,
    /// How many.
    pub parts_len: usize,
}

/// A client connection that must be closed.
#[repr(C)]
#[derive(Debug)]
pub struct kuzzle_disconnect {
    /// `sizeof` as the caller knows it.
    pub struct_size: u32,
    /// `KUZZLE_DISCONNECT_…`.
    pub reason: u32,
    /// Which connection.
    pub connection: u64,
    /// For the client or a log; may be empty.
    pub message: kuzzle_str,
}

/// One entry of Kuzzle's error catalogue; the strings live for ever.
#[repr(C)]
#[derive(Debug)]
pub struct kuzzle_error_info {
    /// `sizeof` as the caller knows it.
    pub struct_size: u32,
    /// Kuzzle's number.
    pub code: u32,
    /// As HTTP's.
    pub status: u32,
    /// 0.
    pub reserved: u32,
    /// For example `api.process.controller_not_found`.
    pub id: kuzzle_str,
    /// For example `NotFoundError`.
    pub error_class: kuzzle_str,
    /// Each `%s` stands for a value.
    pub message: kuzzle_str,
}
