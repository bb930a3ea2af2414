//! Payloads that know how many owners they have.

use std::ffi::c_void;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::raw::{kuzzle_buf, kuzzle_buf_ops};

/// How often buffers were retained and released.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) retained: AtomicU64,
    pub(super) released: AtomicU64,
    /// Used by somebody who was no owner any more.
    pub(super) misused: AtomicU64,
}

/// A buffer's owner. It is leaked, so that one release too many is counted and does not crash; its bytes
/// are freed with the last owner.
struct Owner {
    bytes: Mutex<Option<Box<[u8]>>>,
    owners: AtomicI64,
    ledger: &'static Ledger,
}

static OPS: kuzzle_buf_ops = kuzzle_buf_ops { retain: Some(retain), release: Some(release) };

unsafe extern "C" fn retain(owner: *mut c_void) {
    // SAFETY: owners are leaked, so what `Buffer::new` gave out is valid for ever.
    let Some(owner) = (unsafe { owner.cast::<Owner>().as_ref() }) else { return };
    owner.ledger.retained.fetch_add(1, Ordering::SeqCst);
    if owner.owners.fetch_add(1, Ordering::SeqCst) <= 0 {
        owner.ledger.misused.fetch_add(1, Ordering::SeqCst);
    }
}

unsafe extern "C" fn release(owner: *mut c_void) {
    // SAFETY: as in `retain`.
    let Some(owner) = (unsafe { owner.cast::<Owner>().as_ref() }) else { return };
    owner.ledger.released.fetch_add(1, Ordering::SeqCst);
    owner.drop_one();
}

impl Owner {
    fn drop_one(&self) {
        match self.owners.fetch_sub(1, Ordering::SeqCst) {
            1 => drop(self.bytes.lock().unwrap_or_else(PoisonError::into_inner).take()),
            left if left <= 0 => {
                self.ledger.misused.fetch_add(1, Ordering::SeqCst);
            }
            _ => {}
        }
    }
}

/// A buffer that the host owns; dropping it gives the host's own reference back.
pub(super) struct Buffer {
    owner: &'static Owner,
    raw: kuzzle_buf,
}

impl Buffer {
    pub(super) fn new(ledger: &'static Ledger, bytes: &[u8]) -> Self {
        let bytes: Box<[u8]> = bytes.into();
        let (data, len) = (bytes.as_ptr(), bytes.len());
        let owner: &'static Owner =
            Box::leak(Box::new(Owner { bytes: Mutex::new(Some(bytes)), owners: AtomicI64::new(1), ledger }));
        let raw = kuzzle_buf {
            data: if len == 0 { std::ptr::null() } else { data },
            len,
            owner: std::ptr::from_ref(owner).cast_mut().cast(),
            ops: &raw const OPS,
        };
        Self { owner, raw }
    }

    /// Borrowed: valid until this is dropped.
    pub(super) fn raw(&self) -> kuzzle_buf {
        self.raw
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.owner.drop_one();
    }
}
