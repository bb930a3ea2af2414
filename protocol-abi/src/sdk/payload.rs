//! Immutable bytes that the host shares: borrowed in a call, or kept without a copy.

use std::ffi::c_void;
use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::error::{Error, Status};
use crate::raw::kuzzle_buf;

/// The bytes of a message, as parts that belong together. Unless it is the content of a
/// [raw](crate::Response::is_raw) response, the parts concatenate to exactly one JSON object.
///
/// Borrowed for the call in which it is received; [`retain`](Self::retain) keeps it.
pub struct Payload<'a> {
    parts: &'a [kuzzle_buf],
    kept: OnceLock<Content>,
}

impl<'a> Payload<'a> {
    /// # Errors
    /// [`Status::InvalidArgument`]: a null pointer with a length.
    ///
    /// # Safety
    /// `parts` is null or points to `len` buffers, and these and their bytes live for `'a`.
    pub(crate) unsafe fn from_raw(parts: *const kuzzle_buf, len: usize) -> Result<Self, Error> {
        let invalid = || Error::new(Status::InvalidArgument, "the host sent a payload with a null pointer");
        let parts = if len == 0 {
            &[]
        } else if parts.is_null() {
            return Err(invalid());
        } else {
            // SAFETY: not null; the caller vouches for `len` buffers during `'a`.
            unsafe { std::slice::from_raw_parts(parts, len) }
        };
        if parts.iter().any(|part| part.data.is_null() && part.len != 0) {
            return Err(invalid());
        }
        Ok(Self { parts, kept: OnceLock::new() })
    }

    /// The parts, in order.
    pub fn parts(&self) -> impl DoubleEndedIterator<Item = &[u8]> + Clone {
        self.parts.iter().map(|part| {
            if part.len == 0 {
                &[]
            } else {
                // SAFETY: checked not to be null in `from_raw`, whose caller vouches for the bytes.
                unsafe { std::slice::from_raw_parts(part.data, part.len) }
            }
        })
    }

    /// Bytes in all.
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.len).sum()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keeps the bytes beyond the call, without copying them: the host is asked once, and clones of
    /// the result (also those of later calls of this function) only count references.
    ///
    /// # Ownership
    /// The host's memory is released when the last clone is dropped, on whatever thread.
    pub fn retain(&self) -> Content {
        self.kept.get_or_init(|| Content::from_iter(self.parts.iter().map(keep))).clone()
    }

    /// The bytes in one piece.
    pub fn to_vec(&self) -> Vec<u8> {
        concat(self.parts(), 0)
    }

    /// The JSON object in one piece, with `"room": room` appended, as Kuzzle's clients expect it in
    /// answers (the request's id) and notifications (the channel). A payload that is no JSON object
    /// is copied as it is.
    pub fn to_vec_with_room(&self, room: &str) -> Vec<u8> {
        to_vec_with_room(self.parts(), room)
    }

    /// The JSON object with `"room": room` appended, as parts that share the host's bytes: for a
    /// vectored write to many clients.
    pub fn with_room(&self, room: &str) -> Vec<Bytes> {
        self.retain().with_room(room)
    }
}

impl fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload").field("parts", &self.parts.len()).field("len", &self.len()).finish()
    }
}

/// Bytes of the host that are kept: cloning is cheap, and the host's memory is released with the
/// last clone.
#[derive(Clone)]
pub struct Content(Parts);

#[derive(Clone)]
enum Parts {
    One([Bytes; 1]),
    Many(Arc<[Bytes]>),
}

impl Content {
    /// The parts, in order.
    pub fn parts(&self) -> &[Bytes] {
        match &self.0 {
            Parts::One(part) => part,
            Parts::Many(parts) => parts,
        }
    }

    /// Bytes in all.
    pub fn len(&self) -> usize {
        self.parts().iter().map(Bytes::len).sum()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes in one piece: without a copy if they are in one piece already, as they mostly are.
    pub fn into_bytes(self) -> Bytes {
        match self.0 {
            Parts::One([part]) => part,
            Parts::Many(parts) => concat(parts.iter().map(|part| &part[..]), 0).into(),
        }
    }

    /// See [`Payload::to_vec_with_room`].
    pub fn to_vec_with_room(&self, room: &str) -> Vec<u8> {
        to_vec_with_room(self.parts().iter().map(|part| &part[..]), room)
    }

    /// See [`Payload::with_room`].
    pub fn with_room(&self, room: &str) -> Vec<Bytes> {
        let mut parts = self.parts().to_vec();
        if let Some(suffix) = room_suffix(parts.iter().map(|part| &part[..]), room) {
            let last = parts.last_mut().expect("a JSON object has at least one part");
            last.truncate(last.len() - 1);
            parts.push(suffix.into());
        }
        parts
    }
}

impl FromIterator<Bytes> for Content {
    fn from_iter<T: IntoIterator<Item = Bytes>>(parts: T) -> Self {
        let mut parts: Vec<Bytes> = parts.into_iter().collect();
        Self(if parts.len() == 1 { Parts::One([parts.remove(0)]) } else { Parts::Many(parts.into()) })
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content").field("parts", &self.parts().len()).field("len", &self.len()).finish()
    }
}

/// A buffer of the host of which one count is ours.
struct Kept {
    buf: kuzzle_buf,
    release: unsafe extern "C" fn(owner: *mut c_void),
}

// SAFETY: the bytes are immutable, and the header allows retain and release on any thread.
unsafe impl Send for Kept {}
// SAFETY: as above.
unsafe impl Sync for Kept {}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: not null (see `keep`), and immutable as long as our count is held.
        unsafe { std::slice::from_raw_parts(self.buf.data, self.buf.len) }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // SAFETY: gives back the one count that `keep` has taken; the operations outlive the buffer.
        unsafe { (self.release)(self.buf.owner) }
    }
}

fn keep(buf: &kuzzle_buf) -> Bytes {
    if buf.len == 0 {
        return Bytes::new();
    }
    if buf.ops.is_null() {
        // SAFETY: not null (checked in `from_raw`); without operations the bytes live for ever.
        return Bytes::from_static(unsafe { std::slice::from_raw_parts(buf.data, buf.len) });
    }
    // SAFETY: not null, and the table of operations outlives the buffer.
    let ops = unsafe { *buf.ops };
    match (ops.retain, ops.release) {
        (Some(retain), Some(release)) => {
            // SAFETY: the buffer is borrowed, so its owner is alive.
            unsafe { retain(buf.owner) };
            Bytes::from_owner(Kept { buf: *buf, release })
        }
        // Cannot be counted, so it cannot be kept either.
        // SAFETY: not null (checked in `from_raw`), borrowed until the call returns.
        _ => Bytes::copy_from_slice(unsafe { std::slice::from_raw_parts(buf.data, buf.len) }),
    }
}

fn concat<'p>(parts: impl Iterator<Item = &'p [u8]> + Clone, spare: usize) -> Vec<u8> {
    let mut all = Vec::with_capacity(parts.clone().map(<[u8]>::len).sum::<usize>() + spare);
    parts.for_each(|part| all.extend_from_slice(part));
    all
}

fn to_vec_with_room<'p>(parts: impl DoubleEndedIterator<Item = &'p [u8]> + Clone, room: &str) -> Vec<u8> {
    let Some(suffix) = room_suffix(parts.clone(), room) else {
        return concat(parts, 0);
    };
    let mut all = concat(parts, suffix.len());
    all.pop();
    all.extend_from_slice(&suffix);
    all
}

/// What replaces the object's last byte; `None` if these parts are no object.
fn room_suffix<'p>(parts: impl DoubleEndedIterator<Item = &'p [u8]>, room: &str) -> Option<Vec<u8>> {
    let mut backwards = parts.rev().flat_map(|part| part.iter().rev());
    if backwards.next() != Some(&b'}') {
        return None;
    }
    let before = backwards.find(|byte| !byte.is_ascii_whitespace())?;
    let mut suffix = Vec::with_capacity(room.len() + 12);
    if *before != b'{' {
        suffix.push(b',');
    }
    suffix.extend_from_slice(b"\"room\":");
    serde_json::to_writer(&mut suffix, room).expect("text is written to memory");
    suffix.push(b'}');
    Some(suffix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(parts: &[&'static str]) -> Content {
        parts.iter().map(|part| Bytes::from_static(part.as_bytes())).collect()
    }

    #[test]
    fn appends_an_escaped_room_to_an_object_in_parts() {
        let content = content(&["{\"a\":", "1}"]);
        let expected = br#"{"a":1,"room":"a\"b\n"}"#;
        assert_eq!(content.to_vec_with_room("a\"b\n"), expected);
        assert_eq!(content.with_room("a\"b\n").concat(), expected);
    }

    #[test]
    fn appends_a_room_to_an_empty_object_without_a_comma() {
        assert_eq!(content(&["{ ", "}"]).to_vec_with_room("r"), br#"{ "room":"r"}"#);
    }

    #[test]
    fn leaves_what_is_no_object_as_it_is() {
        for text in ["", "}", "[1]", "plain"] {
            assert_eq!(content(&[text]).to_vec_with_room("r"), text.as_bytes());
            assert_eq!(content(&[text]).with_room("r").concat(), text.as_bytes());
        }
    }
}
