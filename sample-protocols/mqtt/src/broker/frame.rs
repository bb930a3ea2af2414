//! What waits to be written to one client.

use std::sync::Arc;

use crate::codec::encode::Encoded;

/// One packet for one client. Small: publishes are shared with all other clients that get them.
#[derive(Clone, Debug)]
pub(crate) enum Frame {
    /// A PUBLISH, and its packet identifier in this connection.
    Publish { encoded: Arc<Encoded>, id: [u8; 2], droppable: bool },
    /// An acknowledgement or PINGRESP, and how many of the bytes it has.
    Small([u8; 5], u8),
    /// Any other packet.
    Other(Box<[u8]>),
}

impl Frame {
    /// Bytes on the wire.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Publish { encoded, .. } => encoded.len(),
            Self::Small(_, len) => usize::from(*len),
            Self::Other(bytes) => bytes.len(),
        }
    }

    /// What it costs to keep it, in bytes.
    pub(crate) fn cost(&self) -> usize {
        self.len() + size_of::<Self>()
    }

    /// The pieces in order; some may be empty.
    pub(crate) fn pieces(&self) -> [&[u8]; 4] {
        match self {
            Self::Publish { encoded, id, .. } => {
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
