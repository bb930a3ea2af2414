//! A message as it is sent to several clients, encoded once for all that get the same bytes.

use std::sync::Arc;

use super::frame::Publication;
use super::memory::Memory;
use super::message::Message;
use crate::codec::encode::{self, Outgoing};
use crate::codec::{Qos, Version};

/// As many encodings are looked through for one that can be shared.
const SHARED: usize = 8;

/// What the encodings of one message differ in, beside subscription identifiers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shape {
    pub(super) version: Version,
    pub(super) qos: Qos,
    pub(super) retain: bool,
    pub(super) dup: bool,
    pub(super) with_topic: bool,
    pub(super) alias: u16,
}

/// The encodings of one message so far.
#[derive(Debug, Default)]
pub(super) struct Encodings(Vec<(Shape, Vec<u32>, Arc<Publication>)>);

impl Encodings {
    /// With these subscription identifiers.
    pub(super) fn get(
        &mut self,
        shape: &Shape,
        subscriptions: &[u32],
        message: &Arc<Message>,
        memory: &Memory,
        now: u64,
    ) -> Arc<Publication> {
        // Two empty slices are not compared by `memcmp`, which is slow for those that lie nowhere.
        let same = |known: &[u32]| {
            known.len() == subscriptions.len() && (known.is_empty() || known == subscriptions)
        };
        let found = self.0.iter().find(|(known, with, _)| known == shape && same(with));
        if let Some((_, _, publication)) = found {
            return Arc::clone(publication);
        }
        let encoded = encode::publish(&Outgoing {
            version: shape.version,
            qos: shape.qos,
            retain: shape.retain,
            dup: shape.dup,
            topic: if shape.with_topic { &message.topic } else { "" },
            alias: shape.alias,
            subscription_ids: subscriptions,
            expiry: message.expiry(now),
            properties: &message.properties,
            payload: &message.payload,
        });
        let publication = Arc::new(Publication::new(encoded, message, memory));
        if self.0.len() < SHARED {
            self.0.push((*shape, subscriptions.to_vec(), Arc::clone(&publication)));
        }
        publication
    }
}
