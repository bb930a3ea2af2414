//! The boundary: calls from the host into a library, and the tables through which a library calls
//! the host. All pointers are checked and turned into safe types here; what they mean is decided in
//! `entry_point`, which is safe code.

#![allow(unsafe_code, reason = "this module is the border to C")]

mod library;
mod tables;

use std::borrow::Cow;
use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kuzzle_kernel::Payload;
use kuzzle_protocol_abi::raw;
use kuzzle_protocol_abi::raw::{kuzzle_buf, kuzzle_buf_ops};

pub use library::Functions;
pub(crate) use library::{Completion, Instance, MetricsTable, RawMetric};
pub(crate) use tables::Tables;

pub(crate) const OK: i32 = raw::KUZZLE_OK;
pub(crate) const PANIC: i32 = raw::KUZZLE_PANIC;

/// Why a function of a protocol, or one of the host, failed.
#[derive(Debug)]
pub struct Failure {
    /// A status of the ABI.
    pub code: i32,
    /// What was attempted and what to do.
    pub message: Cow<'static, str>,
    /// The request's id, if it could be read.
    pub request_id: Option<String>,
}

impl Failure {
    /// A failure with a status and a text.
    pub fn new(code: i32, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), request_id: None }
    }

    /// A failure without a status of its own.
    pub fn other(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(raw::KUZZLE_FAILED, message)
    }

    /// Whether the protocol panicked.
    pub fn is_panic(&self) -> bool {
        self.code == raw::KUZZLE_PANIC
    }
}

static RETAINED: AtomicU64 = AtomicU64::new(0);
static RELEASED: AtomicU64 = AtomicU64::new(0);

/// How often protocols have retained and released payloads since the start.
pub fn payload_references() -> (u64, u64) {
    (RETAINED.load(Ordering::Relaxed), RELEASED.load(Ordering::Relaxed))
}

static PAYLOAD_OPS: kuzzle_buf_ops = kuzzle_buf_ops { retain: Some(retain), release: Some(release) };

unsafe extern "C" fn retain(owner: *mut c_void) {
    RETAINED.fetch_add(1, Ordering::Relaxed);
    // SAFETY: `owner` came from `borrow`, and whoever retains holds a reference already.
    unsafe { Arc::increment_strong_count(owner.cast::<Vec<u8>>().cast_const()) }
}

unsafe extern "C" fn release(owner: *mut c_void) {
    RELEASED.fetch_add(1, Ordering::Relaxed);
    // SAFETY: `owner` came from `borrow`, and whoever releases has retained it.
    unsafe { Arc::decrement_strong_count(owner.cast::<Vec<u8>>().cast_const()) }
}

/// A payload as the ABI's buffer, borrowed from `payload`.
fn borrow(payload: &Payload) -> kuzzle_buf {
    let bytes = payload.as_bytes();
    kuzzle_buf {
        data: bytes.as_ptr(),
        len: bytes.len(),
        owner: Arc::as_ptr(payload.shared()).cast_mut().cast(),
        ops: &PAYLOAD_OPS,
    }
}

/// Bytes of an error text or a log line of a protocol that are looked at.
const MOST_TEXT: usize = 16 << 10;
