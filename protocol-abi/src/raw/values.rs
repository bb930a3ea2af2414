//! Value types, frozen, passed by value and in arrays: section 3 of the header.

use core::ffi::{c_char, c_void};

use super::kuzzle_response;

/// Bytes or UTF-8 text that somebody else owns; borrowed unless said otherwise.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "abi_stable", derive(abi_stable::StableAbi))]
pub struct kuzzle_str {
    /// First byte; null only if `len` is 0.
    pub ptr: *const c_char,
    /// Length in bytes.
    pub len: usize,
}

impl kuzzle_str {
    /// No bytes.
    pub const EMPTY: Self = Self { ptr: core::ptr::null(), len: 0 };

    /// The bytes of `text`; valid as long as `text` is.
    pub const fn new(text: &str) -> Self {
        Self { ptr: text.as_ptr().cast(), len: text.len() }
    }

    /// The bytes, or `None` for a null pointer with a length.
    ///
    /// # Safety
    /// Unless it is null, `ptr` must point to `len` readable bytes that do not change for `'a`.
    pub const unsafe fn bytes<'a>(self) -> Option<&'a [u8]> {
        if self.len == 0 {
            Some(&[])
        } else if self.ptr.is_null() || self.len > isize::MAX as usize {
            None
        } else {
            // SAFETY: not null; the caller vouches for `len` readable bytes during `'a`.
            Some(unsafe { core::slice::from_raw_parts(self.ptr.cast(), self.len) })
        }
    }

    /// The text, or `None` for a null pointer with a length and for bytes that are not UTF-8.
    ///
    /// # Safety
    /// As for [`bytes`](Self::bytes).
    pub unsafe fn text<'a>(self) -> Option<&'a str> {
        // SAFETY: the caller's promise is the same.
        unsafe { self.bytes() }.and_then(|bytes| core::str::from_utf8(bytes).ok())
    }
}

/// Reference counting of a [`kuzzle_buf`]; the table outlives every buffer that names it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "abi_stable", derive(abi_stable::StableAbi))]
pub struct kuzzle_buf_ops {
    /// One more owner. Any thread, does not block.
    pub retain: Option<unsafe extern "C" fn(owner: *mut c_void)>,
    /// One owner less; the last one frees. Any thread, does not block.
    pub release: Option<unsafe extern "C" fn(owner: *mut c_void)>,
}

/// Immutable bytes with shared ownership; borrowed unless retained.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "abi_stable", derive(abi_stable::StableAbi))]
pub struct kuzzle_buf {
    /// First byte; null only if `len` is 0.
    pub data: *const u8,
    /// Length in bytes.
    pub len: usize,
    /// Argument of the operations.
    pub owner: *mut c_void,
    /// Null: static bytes (in a request: borrowed only).
    pub ops: *const kuzzle_buf_ops,
}

/// One header, of a request, a connection or a response.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "abi_stable", derive(abi_stable::StableAbi))]
pub struct kuzzle_header {
    /// The header's name.
    pub name: kuzzle_str,
    /// The header's value.
    pub value: kuzzle_str,
}

/// What to call with the answer of a request: exactly once for each accepted `execute`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "abi_stable", derive(abi_stable::StableAbi))]
pub struct kuzzle_completion {
    /// Called with `context` and the borrowed response, on any thread; answers a status.
    pub function: Option<unsafe extern "C" fn(context: *mut c_void, response: *const kuzzle_response) -> i32>,
    /// The protocol's own; the host only passes it back.
    pub context: *mut c_void,
}
