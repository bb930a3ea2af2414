//! What waits to be written to one client.

use std::sync::Arc;

use super::memory::{Kept, Memory};
use super::message::{Message, seconds_left};
use crate::codec::encode::Encoded;

/// A PUBLISH, shared by all clients that get the same bytes.
#[derive(Debug)]
pub(crate) struct Publication {
    encoded: Encoded,
    /// When the message is no longer worth sending, in milliseconds.
    expires: Option<u64>,
    /// If it is not copied, the payload is the message's.
    _message: Option<Arc<Message>>,
    /// Its part of the memory.
    _kept: Kept,
}

impl Publication {
    pub(super) fn new(encoded: Encoded, message: &Arc<Message>, memory: &Memory) -> Self {
        let kept = memory.keep(size_of::<Self>() + encoded.head.len() + encoded.tail.len());
        let expires = message.expires;
        let message = (!encoded.payload.is_empty()).then(|| Arc::clone(message));
        Self { encoded, expires, _message: message, _kept: kept }
    }

    /// The same, that says so many seconds are left of the message's life.
    fn with_expiry(&self, seconds: u32) -> Self {
        Self {
            encoded: self.encoded.with_expiry(seconds),
            expires: self.expires,
            _message: self._message.clone(),
            _kept: self._kept.another(),
        }
    }

    #[cfg(test)]
    pub(super) fn parts(&self) -> (usize, Option<&Arc<Message>>) {
        (self._kept.bytes(), self._message.as_ref())
    }

    /// Bytes on the wire.
    pub(super) fn len(&self) -> usize {
        self.encoded.len()
    }
}

/// Why a PUBLISH is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It is lost if too much waits for the client, or when it expires.
    Droppable,
    /// It is lost when it expires.
    Retained,
    /// It is not lost: it is to be acknowledged, or tells something else too.
    Delivery,
    /// It answers a request.
    Answer,
}

/// One packet for one client. Small: publishes are shared with all other clients that get them.
#[derive(Clone, Debug)]
pub(crate) enum Frame {
    /// A PUBLISH, and its packet identifier in this connection.
    Publish { publication: Arc<Publication>, id: [u8; 2], role: Role },
    /// An acknowledgement or PINGRESP, and how many of the bytes it has.
    Small([u8; 5], u8),
    /// Any other packet.
    Other(Box<[u8]>),
}

impl Frame {
    /// Bytes on the wire.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Publish { publication, .. } => publication.len(),
            Self::Small(_, len) => usize::from(*len),
            Self::Other(bytes) => bytes.len(),
        }
    }

    /// What it takes in bytes, as if it were not shared.
    pub(crate) fn cost(&self) -> usize {
        self.len() + size_of::<Self>()
    }

    /// Whether it is a message for the client.
    pub(crate) fn is_publish(&self) -> bool {
        matches!(self, Self::Publish { .. })
    }

    /// Brings what it says of the message's life up to date. False: that is over, and the packet need
    /// not be sent.
    pub(crate) fn refresh(&mut self, now: u64) -> bool {
        let Self::Publish { publication, role, .. } = self else { return true };
        let Some(expires) = publication.expires else { return true };
        if expires <= now && matches!(role, Role::Droppable | Role::Retained) {
            return false;
        }
        let left = seconds_left(expires, now);
        if publication.encoded.expiry().is_some_and(|told| told != left) {
            *publication = Arc::new(publication.with_expiry(left));
        }
        true
    }

    /// The pieces in order; some may be empty.
    pub(crate) fn pieces(&self) -> [&[u8]; 4] {
        match self {
            Self::Publish { publication, id, .. } => {
                let encoded = &publication.encoded;
                let id = if encoded.has_id { &id[..] } else { &[] };
                [&encoded.head, id, &encoded.tail, &encoded.payload]
            }
            Self::Small(bytes, len) => [&bytes[..usize::from(*len)], &[], &[], &[]],
            Self::Other(bytes) => [bytes, &[], &[], &[]],
        }
    }

    /// All of it, for tests.
    #[cfg(test)]
    pub(crate) fn to_vec(&self) -> Vec<u8> {
        self.pieces().concat()
    }
}
