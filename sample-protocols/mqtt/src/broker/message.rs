//! A message on its way to its subscribers.

use std::sync::Arc;

use bytes::Bytes;

use super::memory::{Kept, Memory};
use crate::codec::Qos;

/// A message, shared by all who get it, keep it or wait for it.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) topic: Arc<str>,
    pub(crate) payload: Bytes,
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
    /// Encoded properties of the publisher that subscribers get.
    pub(crate) properties: Vec<u8>,
    /// When it is no longer worth sending, in milliseconds.
    pub(crate) expires: Option<u64>,
    /// The publisher's client id.
    pub(crate) from: Option<Arc<str>>,
    /// Its part of the memory.
    pub(crate) kept: Option<Kept>,
}

impl Message {
    /// An empty one of QoS 0.
    pub(crate) fn to_topic(topic: &str) -> Self {
        Self {
            topic: topic.into(),
            payload: Bytes::new(),
            qos: Qos::AtMostOnce,
            retain: false,
            properties: Vec::new(),
            expires: None,
            from: None,
            kept: None,
        }
    }

    /// Counts what it takes.
    pub(crate) fn kept_in(mut self, memory: &Memory) -> Self {
        self.kept = Some(memory.keep(self.cost()));
        self
    }

    /// Whether the client has published it.
    pub(crate) fn is_from(&self, client_id: &str) -> bool {
        self.from.as_deref() == Some(client_id)
    }

    pub(crate) fn is_expired(&self, now: u64) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }

    /// What is left of its life, in seconds.
    pub(crate) fn expiry(&self, now: u64) -> Option<u32> {
        self.expires.map(|at| seconds_left(at, now))
    }

    /// What it takes, in bytes.
    pub(crate) fn cost(&self) -> usize {
        self.topic.len() + self.payload.len() + self.properties.len() + size_of::<Self>()
    }
}

/// What is left of a life that ends at `expires`.
pub(crate) fn seconds_left(expires: u64, now: u64) -> u32 {
    u32::try_from(expires.saturating_sub(now).div_ceil(1000)).unwrap_or(u32::MAX)
}
