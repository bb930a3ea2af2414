//! What is kept of a client, also while it is away.

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashSet;

use super::Key;
use super::message::Message;
use crate::codec::{Qos, Version};

/// A message for one session.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub(super) message: Arc<Message>,
    pub(super) qos: Qos,
    pub(super) retain: bool,
    pub(super) subscriptions: Vec<u32>,
}

impl Delivery {
    /// What it costs to keep it, in bytes. The message may be shared, but who knows with whom.
    pub(super) fn cost(&self) -> usize {
        size_of::<Self>() + self.message.cost()
    }
}

/// How far the exchange for one packet identifier has come.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    /// PUBLISH is sent, or to be sent: waits for PUBACK or PUBREC.
    Sent(Delivery),
    /// PUBREL is sent: waits for PUBCOMP.
    Released,
}

#[derive(Clone, Debug)]
pub(super) struct InFlight {
    pub(super) id: u16,
    pub(super) stage: Stage,
    /// Over this connection; else it waits for a place.
    pub(super) sent: bool,
}

#[derive(Debug)]
pub(super) struct Will {
    pub(super) message: Message,
    /// In milliseconds.
    pub(super) delay: u64,
    pub(super) expiry: Option<u32>,
    /// When it is to be published.
    pub(super) at: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Session {
    /// Never used twice.
    pub(super) serial: u64,
    pub(super) client_id: Arc<str>,
    pub(super) version: Version,
    pub(super) connection: Option<Key>,
    /// How long it outlives its connection, in seconds; `u32::MAX`: for ever.
    pub(super) expiry: u32,
    /// When it ends, if it is away.
    pub(super) ends: Option<u64>,
    /// Its key among those whose client is away.
    pub(super) away: Option<(u64, u64)>,
    /// Its place in the timers.
    pub(super) deadline: Option<u64>,
    pub(super) will: Option<Box<Will>>,
    /// The filters, as the client wrote them.
    pub(super) subscriptions: FxHashSet<Box<str>>,
    /// Identifiers of QoS 2 messages of the client that it has not released yet.
    pub(super) incoming: FxHashSet<u16>,
    pub(super) in_flight: VecDeque<InFlight>,
    /// How many may be in flight.
    pub(super) window: usize,
    pub(super) pending: VecDeque<Delivery>,
    pub(super) pending_cost: usize,
    next_id: u16,
    /// The publish that it has got last, and its place among the deliveries.
    pub(super) stamp: (u64, usize),
}

impl Session {
    pub(super) fn new(serial: u64, client_id: &str, version: Version) -> Self {
        Self {
            serial,
            client_id: client_id.into(),
            version,
            connection: None,
            expiry: 0,
            ends: None,
            away: None,
            deadline: None,
            will: None,
            subscriptions: FxHashSet::default(),
            incoming: FxHashSet::default(),
            in_flight: VecDeque::new(),
            window: 1,
            pending: VecDeque::new(),
            pending_cost: 0,
            next_id: 0,
            stamp: (0, 0),
        }
    }

    /// A packet identifier that is not in use. There is one: fewer than 65,535 are in flight.
    pub(super) fn fresh_id(&mut self) -> u16 {
        loop {
            self.next_id = self.next_id.checked_add(1).unwrap_or(1);
            if !self.in_flight.iter().any(|in_flight| in_flight.id == self.next_id) {
                return self.next_id;
            }
        }
    }

    pub(super) fn position(&self, id: u16) -> Option<usize> {
        self.in_flight.iter().position(|in_flight| in_flight.id == id)
    }

    pub(super) fn push_pending(&mut self, delivery: Delivery) {
        self.pending_cost += delivery.cost();
        self.pending.push_back(delivery);
    }

    /// The next one that has not expired.
    pub(super) fn pop_pending(&mut self, now: u64) -> Option<Delivery> {
        loop {
            let delivery = self.pending.pop_front();
            match delivery {
                Some(delivery) => {
                    self.pending_cost -= delivery.cost();
                    if !delivery.message.is_expired(now) {
                        return Some(delivery);
                    }
                }
                None => {
                    self.pending = VecDeque::new();
                    return None;
                }
            }
        }
    }
}
