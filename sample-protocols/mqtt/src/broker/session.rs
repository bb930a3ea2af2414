//! What is kept of a client, also while it is away.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::HashSet;
use rustc_hash::FxHashSet;

use super::Key;
use super::away::Absence;
use super::memory::{Kept, Memory};
use super::message::Message;
use super::retained::Replay;
use crate::codec::{Qos, Version};

/// A message for one session.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub(super) message: Arc<Message>,
    pub(super) qos: Qos,
    pub(super) retain: bool,
    pub(super) subscriptions: Vec<u32>,
    /// The shared subscription that it has come by, as its members wrote it.
    pub(super) share: Option<Arc<str>>,
}

impl Delivery {
    /// For a subscription of this identifier; 0: it has none.
    pub(super) fn new(message: &Arc<Message>, qos: Qos, id: u32) -> Self {
        let subscriptions = if id == 0 { Vec::new() } else { vec![id] };
        Self { message: Arc::clone(message), qos, retain: false, subscriptions, share: None }
    }

    /// What one will take that is for a subscription of this identifier.
    pub(super) fn cost_of(message: &Message, id: u32) -> usize {
        size_of::<InFlight>() + usize::from(id != 0) * size_of::<u32>() + message.cost()
    }

    /// What it takes in bytes, as if the message were not shared.
    pub(super) fn cost(&self) -> usize {
        self.own_cost() + self.message.cost()
    }

    /// The part of that which is its session's alone.
    pub(super) fn own_cost(&self) -> usize {
        size_of::<InFlight>() + self.subscriptions.capacity() * size_of::<u32>()
    }
}

/// A message of a shared subscription whose member has gone with it.
#[derive(Debug)]
pub(super) struct Orphan {
    pub(super) share: Arc<str>,
    pub(super) message: Arc<Message>,
}

/// How well a session takes a message now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// It has no place for it.
    Full,
    /// Its client is away.
    Away,
    /// The message would have to wait.
    Busy,
    Ready,
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
    pub(super) client_id: Arc<str>,
    pub(super) version: Version,
    pub(super) connection: Option<Key>,
    /// Its client is another broker.
    pub(super) is_bridge: bool,
    /// How long it outlives its connection, in seconds; `u32::MAX`: for ever.
    pub(super) expiry: u32,
    /// Whether its client has asked for any of that in CONNECT.
    pub(super) outlives: bool,
    /// When it ends, if it is away.
    pub(super) ends: Option<u64>,
    /// Its place among those whose client is away.
    pub(super) away: Option<Absence>,
    /// Where its client is, or was: see [`network`](super::away::network).
    pub(super) network: Option<IpAddr>,
    /// Its place in the timers.
    pub(super) deadline: Option<u64>,
    pub(super) will: Option<Box<Will>>,
    /// The filters, as the client wrote them.
    pub(super) subscriptions: HashSet<Box<str>>,
    /// What they take in the tree of all subscriptions, in bytes, as if its nodes were not shared.
    pub(super) nodes: usize,
    /// Retained messages that it has still to get.
    pub(super) replays: VecDeque<Replay>,
    /// Identifiers of QoS 2 messages of the client that it has not released yet.
    pub(super) incoming: FxHashSet<u16>,
    pub(super) in_flight: VecDeque<InFlight>,
    pub(super) in_flight_cost: usize,
    /// How many may be in flight.
    pub(super) window: usize,
    pub(super) pending: VecDeque<Delivery>,
    pub(super) pending_cost: usize,
    /// When the first of them expires, at the earliest.
    pub(super) pending_expires: Option<u64>,
    next_id: u16,
    /// The publish that it has got last, and its place among the deliveries.
    pub(super) stamp: (u64, usize),
    /// Its part of the memory.
    pub(super) kept: Kept,
}

/// What a session takes in all tables together, about.
pub(super) const BASE: usize = size_of::<Session>() + 256;
/// What an identifier of a QoS 2 message takes.
const INCOMING: usize = 8;

impl Session {
    pub(super) fn new(client_id: &str, version: Version, memory: &Memory) -> Self {
        Self {
            client_id: client_id.into(),
            version,
            connection: None,
            is_bridge: false,
            expiry: 0,
            ends: None,
            away: None,
            network: None,
            outlives: false,
            deadline: None,
            will: None,
            subscriptions: HashSet::default(),
            nodes: 0,
            replays: VecDeque::new(),
            incoming: FxHashSet::default(),
            in_flight: VecDeque::new(),
            in_flight_cost: 0,
            window: 1,
            pending: VecDeque::new(),
            pending_cost: 0,
            pending_expires: None,
            next_id: 0,
            stamp: (0, 0),
            kept: memory.keep(BASE + client_id.len()),
        }
    }

    /// What it takes in bytes, as if it shared nothing with others.
    pub(super) fn size(&self) -> usize {
        self.kept.bytes() + self.nodes + self.pending_cost + self.in_flight_cost
    }

    /// The client's message of QoS 2 is not released yet.
    pub(super) fn is_incoming(&self, id: u16) -> bool {
        self.incoming.contains(&id)
    }

    /// False: there is no memory left for it.
    pub(super) fn add_incoming(&mut self, id: u16, memory: &Memory) -> bool {
        let has_room = memory.has_room(self.size(), INCOMING);
        if has_room && self.incoming.insert(id) {
            self.kept.add(INCOMING);
        }
        has_room
    }

    /// The client releases its message. False: it is not known.
    pub(super) fn release_incoming(&mut self, id: u16) -> bool {
        let known = self.incoming.remove(&id);
        if known {
            self.kept.sub(INCOMING);
        }
        if self.incoming.is_empty() {
            self.incoming = FxHashSet::default();
        }
        known
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

    /// What it has not given to its client of the messages of shared subscriptions. Those of QoS 2 that
    /// are on their way are not given to anybody else.
    pub(super) fn orphans(self) -> impl Iterator<Item = Orphan> {
        let begun = self.in_flight.into_iter().filter_map(|in_flight| match in_flight.stage {
            Stage::Sent(delivery) if delivery.qos == Qos::AtLeastOnce => Some(delivery),
            _ => None,
        });
        begun
            .chain(self.pending)
            .filter_map(|Delivery { share, message, .. }| share.map(|share| Orphan { share, message }))
    }

    pub(super) fn position(&self, id: u16) -> Option<usize> {
        self.in_flight.iter().position(|in_flight| in_flight.id == id)
    }

    /// The client is no longer to get the retained messages for this filter.
    pub(super) fn forget_replay(&mut self, filter: &str) {
        if let Some(place) = self.replays.iter().position(|replay| *replay.filter == *filter) {
            self.end_replay(place);
        }
    }

    pub(super) fn end_replay(&mut self, place: usize) {
        if let Some(replay) = self.replays.remove(place) {
            self.kept.sub(replay.cost());
        }
        if self.replays.is_empty() {
            self.replays = VecDeque::new();
        }
    }

    /// Whether a further message may be on its way to the client, with so many bytes on their way.
    pub(super) fn may_begin(&self, cost: usize, limit: usize) -> bool {
        self.in_flight.len() < self.window
            && (self.in_flight.is_empty() || self.in_flight_cost + cost <= limit)
    }

    /// How well it takes a message of this quality of service and so many bytes now.
    pub(super) fn rank(&self, qos: Qos, cost: usize, limit: usize) -> Rank {
        let is_here = self.connection.is_some();
        if qos == Qos::AtMostOnce {
            // It waits for nobody.
            if is_here { Rank::Ready } else { Rank::Full }
        } else if is_here && self.pending.is_empty() && self.may_begin(cost, limit) {
            Rank::Ready
        } else if self.pending_cost + cost > limit {
            Rank::Full
        } else if is_here {
            Rank::Busy
        } else {
            Rank::Away
        }
    }

    pub(super) fn push_in_flight(&mut self, id: u16, delivery: Delivery) {
        self.in_flight_cost += delivery.cost();
        self.kept.add(delivery.own_cost());
        self.in_flight.push_back(InFlight { id, stage: Stage::Sent(delivery), sent: true });
    }

    /// The client has the message of this place: PUBREL is sent for it.
    pub(super) fn release(&mut self, position: usize) {
        if let Stage::Sent(delivery) = std::mem::replace(&mut self.in_flight[position].stage, Stage::Released)
        {
            self.in_flight_cost -= delivery.cost();
            self.kept.sub(delivery.own_cost() - size_of::<InFlight>());
        }
    }

    pub(super) fn remove_in_flight(&mut self, position: usize) {
        match self.in_flight.remove(position).map(|in_flight| in_flight.stage) {
            Some(Stage::Sent(delivery)) => {
                self.in_flight_cost -= delivery.cost();
                self.kept.sub(delivery.own_cost());
            }
            Some(Stage::Released) => self.kept.sub(size_of::<InFlight>()),
            None => {}
        }
        if self.in_flight.is_empty() {
            self.in_flight = VecDeque::new();
        }
    }

    pub(super) fn push_pending(&mut self, delivery: Delivery) {
        self.pending_cost += delivery.cost();
        self.kept.add(delivery.own_cost());
        let expires = [self.pending_expires, delivery.message.expires];
        self.pending_expires = expires.into_iter().flatten().min();
        self.pending.push_back(delivery);
    }

    /// The next one that has not expired.
    pub(super) fn pop_pending(&mut self, now: u64) -> Option<Delivery> {
        while let Some(delivery) = self.pending.pop_front() {
            self.pending_cost -= delivery.cost();
            self.kept.sub(delivery.own_cost());
            if !delivery.message.is_expired(now) {
                return Some(delivery);
            }
        }
        self.pending = VecDeque::new();
        self.pending_expires = None;
        None
    }

    /// Forgets what waits and has expired.
    pub(super) fn drop_expired(&mut self, now: u64) {
        let (mut cost, mut own) = (0, 0);
        self.pending.retain(|delivery| {
            let is_expired = delivery.message.is_expired(now);
            if is_expired {
                cost += delivery.cost();
                own += delivery.own_cost();
            }
            !is_expired
        });
        self.pending_cost -= cost;
        self.kept.sub(own);
        self.pending_expires = self.pending.iter().filter_map(|delivery| delivery.message.expires).min();
        if self.pending.is_empty() {
            self.pending = VecDeque::new();
        }
    }
}
