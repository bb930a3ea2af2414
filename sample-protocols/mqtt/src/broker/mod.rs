//! The broker: sessions, subscriptions, messages. It knows no sockets and no clock: packets and the
//! time, in milliseconds, come in; what is to be written waits until it is taken.

mod away;
mod channels;
mod connect;
mod connection;
mod delivery;
mod encodings;
mod ending;
mod exchange;
mod frame;
mod members;
mod memory;
mod message;
mod publish;
mod retained;
mod session;
mod settings;
mod subscribe;
#[cfg(test)]
mod tests;
mod timers;
mod trie;

use std::collections::VecDeque;
use std::sync::Arc;

use foldhash::HashMap;
use rustc_hash::FxHashSet;
use slab::Slab;

pub(crate) use connect::Admission;
pub(crate) use connection::Taken;
pub(crate) use frame::Frame;
pub(crate) use memory::{Kept, Memory};
pub(crate) use settings::Settings;

use crate::codec::encode::{self, Acknowledge};
use crate::codec::{DecodeError, Packet, Reason, Version};
use away::Away;
pub(crate) use channels::Joined;
use connection::{Connection, Stage};
use message::Message;
use retained::Retained;
use session::{Orphan, Session};
use timers::{Owner, Timers};
use trie::Trie;

/// Names a network connection; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// What the caller has to do with a packet that the broker has looked at.
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    /// It is done.
    Nothing,
    /// Ask the host whether it takes the client, then call [`Broker::admit`] or [`Broker::refuse`].
    Admit,
    /// Execute the payload, then call [`Broker::answer`].
    Execute(ReplyTo),
}

/// Where the answer to a request goes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ReplyTo {
    /// Its topic; `None`: the usual one.
    pub(crate) topic: Option<Arc<str>>,
    /// Encoded properties of the answer.
    pub(crate) properties: Vec<u8>,
}

/// What has happened, for the log and for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// PUBLISH packets of clients.
    pub(crate) received: u64,
    /// PUBLISH packets for clients.
    pub(crate) sent: u64,
    /// Messages that a limit has cost.
    pub(crate) dropped: u64,
    /// Connections that were closed because too many had not sent CONNECT.
    pub(crate) unheard: u64,
}

/// How much there is, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gauges {
    /// Clients that are connected.
    pub(crate) clients: usize,
    /// Sessions, with and without their clients.
    pub(crate) sessions: usize,
    pub(crate) subscriptions: usize,
    /// Retained messages.
    pub(crate) retained: usize,
    /// Bytes of all that is kept.
    pub(crate) memory: usize,
}

/// The end of a session, a subscription or message of it, a message that has expired: so many of them
/// are worked on in one go, so that others come in between.
const WORK_AT_ONCE: usize = 1000;

/// When messages that expire are forgotten: those of one second together.
fn soon(at: u64) -> u64 {
    at.next_multiple_of(1000)
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Broker {
    settings: Settings,
    memory: Memory,
    /// Where answers go that have no place of their own.
    response_topic: Arc<str>,
    connections: Slab<Connection>,
    /// How many of them have not sent CONNECT yet.
    waiting: usize,
    /// These, the oldest first; some are out of date.
    arrivals: VecDeque<Key>,
    generation: u32,
    sessions: Slab<Session>,
    by_client_id: HashMap<Arc<str>, u32>,
    /// Sessions whose client is away.
    away: Away,
    subscriptions: Trie,
    retained: Retained,
    /// Who has joined each channel.
    channels: HashMap<Arc<str>, FxHashSet<Key>>,
    timers: Timers,
    /// For each worker, its connections that have something to write or to close.
    dirty: Vec<Vec<Key>>,
    /// Connections that the host need not know any more.
    removed: Vec<Key>,
    counters: Counters,
    /// Number of the last publish.
    publish: u64,
    /// For each worker, its connections of which nothing has been heard for too long.
    silent: Vec<Vec<Key>>,
    /// Clients that are too slow, to be closed.
    overflowing: Vec<Key>,
    /// Clients that cannot be told what they must be told, to be closed.
    lost: Vec<Key>,
    /// To be published.
    wills: VecDeque<Arc<Message>>,
    /// Messages of shares whose members have gone with them, for other members.
    orphans: VecDeque<Orphan>,
    /// The place of both in the timers, if there were too many to be done with at once.
    leftovers: Option<u64>,
}

impl Broker {
    /// One for so many workers.
    pub(crate) fn new(settings: Settings, workers: usize) -> Self {
        let memory = Memory::new(settings.max_memory);
        Self {
            retained: Retained::new(settings.max_retained, settings.max_retained_size, &memory),
            subscriptions: Trie::new(&memory),
            memory,
            response_topic: settings.response_topic.as_str().into(),
            settings,
            connections: Slab::new(),
            waiting: 0,
            arrivals: VecDeque::new(),
            generation: 0,
            sessions: Slab::new(),
            by_client_id: HashMap::default(),
            away: Away::default(),
            channels: HashMap::default(),
            timers: Timers::default(),
            dirty: vec![Vec::new(); workers],
            silent: vec![Vec::new(); workers],
            removed: Vec::new(),
            counters: Counters::default(),
            publish: 0,
            overflowing: Vec::new(),
            lost: Vec::new(),
            wills: VecDeque::new(),
            orphans: VecDeque::new(),
            leftovers: None,
        }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The memory of all clients together.
    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// A network connection of this worker has been accepted. If too many have not sent CONNECT yet,
    /// the one that has had the most time for it is closed.
    pub(crate) fn accept(&mut self, worker: usize, now: u64) -> Key {
        while self.waiting >= self.settings.max_waiting
            && let Some(oldest) = self.arrivals.pop_front()
        {
            if self.is_waiting(oldest) {
                self.counters.unheard += 1;
                self.end(oldest, None, true, now);
            }
        }
        if self.arrivals.len() > 2 * self.waiting + 64 {
            let mut arrivals = std::mem::take(&mut self.arrivals);
            arrivals.retain(|key| self.is_waiting(*key));
            self.arrivals = arrivals;
        }
        self.waiting += 1;
        self.generation = self.generation.wrapping_add(1);
        let entry = self.connections.vacant_entry();
        let key = Key { index: entry.key() as u32, generation: self.generation };
        entry.insert(Connection::new(key, worker, &self.memory));
        self.set_connection_timer(key.index, Some(now + self.settings.connect_timeout));
        self.arrivals.push_back(key);
        key
    }

    fn is_waiting(&self, key: Key) -> bool {
        self.connection(key).is_some_and(|connection| connection.stage == Stage::Waiting)
    }

    /// A packet has come. It is answered, apart from what [`Next`] asks for.
    pub(crate) fn packet(&mut self, key: Key, packet: &Packet<'_>, now: u64) -> Next {
        let next = self.handle(key, packet, now);
        self.settle(now);
        next
    }

    fn handle(&mut self, key: Key, packet: &Packet<'_>, now: u64) -> Next {
        let Some(connection) = self.connection_mut(key) else { return Next::Nothing };
        connection.last_heard = now;
        let (stage, version) = (connection.stage, connection.version);
        let session = match (stage, packet) {
            (Stage::Waiting, Packet::Connect(connect)) => return self.check_connect(key, connect, now),
            (Stage::Live(session), _) => session,
            // Nothing is answered before CONNECT or after the end.
            (Stage::Waiting, _) => {
                self.end(key, None, true, now);
                return Next::Nothing;
            }
            (Stage::Closed, _) => return Next::Nothing,
        };
        match packet {
            Packet::Connect(_) => self.fail(key, Reason::PROTOCOL_ERROR, "a second CONNECT came", now),
            Packet::Publish(publish) => {
                self.counters.received += 1;
                return self.incoming(key, session, publish, now);
            }
            Packet::PubAck(ack) => self.acknowledged(key, session, ack.id, false, now),
            Packet::PubRec(ack) => self.received(key, session, *ack, now),
            Packet::PubRel(ack) => {
                let known = self.sessions[session as usize].release_incoming(ack.id);
                if known && let Some(connection) = self.connection_mut(key) {
                    connection.receiving = connection.receiving.saturating_sub(1);
                }
                let reason = if known { Reason::SUCCESS } else { Reason::PACKET_ID_NOT_FOUND };
                self.acknowledge(key, version, Acknowledge::PubComp, ack.id, reason);
            }
            Packet::PubComp(ack) => self.acknowledged(key, session, ack.id, true, now),
            Packet::Subscribe(subscribe) => self.subscribe(key, session, subscribe, now),
            Packet::Unsubscribe(unsubscribe) => self.unsubscribe(key, session, unsubscribe),
            Packet::PingReq => self.push(key, Frame::Small([0xD0, 0, 0, 0, 0], 2)),
            Packet::Disconnect(disconnect) => self.left(key, session, *disconnect, now),
            Packet::Auth(_) => {
                let text = "there is no enhanced authentication to go on with";
                self.fail(key, Reason::PROTOCOL_ERROR, text, now);
            }
        }
        Next::Nothing
    }

    /// Bytes have come that are no packet.
    pub(crate) fn malformed(&mut self, key: Key, error: &DecodeError, now: u64) {
        let Some(connection) = self.connection_mut(key) else { return };
        match (connection.stage, error.connect) {
            // Before MQTT 5.0 there is an answer only to these two.
            (Stage::Waiting, Some(refused))
                if refused.version.is_5()
                    || matches!(error.reason, Reason::UNSUPPORTED_VERSION | Reason::CLIENT_ID_INVALID) =>
            {
                connection.version = refused.version;
                connection.maximum = refused.maximum_packet_size.map_or(usize::MAX, |size| size as usize);
                connection.reasons = refused.request_problem_information;
                self.refuse(key, error.reason, error.text, now);
            }
            _ => {
                // What a second CONNECT may be refused for is no reason to disconnect.
                let reason = match error.reason {
                    Reason::UNSUPPORTED_VERSION | Reason::CLIENT_ID_INVALID => Reason::PROTOCOL_ERROR,
                    reason => reason,
                };
                self.fail(key, reason, error.text, now);
            }
        }
        self.settle(now);
    }

    /// The network connection is gone, and the worker has forgotten it.
    pub(crate) fn gone(&mut self, key: Key, now: u64) {
        self.end(key, None, true, now);
        if let Some(connection) = self.connection_mut(key) {
            connection.network = false;
            self.free(key);
        }
        self.settle(now);
    }

    /// Whether the connection has come to its end, apart from what it has still to be told.
    pub(crate) fn is_closed(&self, key: Key) -> bool {
        self.connection(key).is_none_or(|connection| connection.stage == Stage::Closed)
    }

    /// Whether so much of what the client has asked for waits to be written that no more should be read
    /// from it.
    pub(crate) fn is_congested(&self, key: Key) -> bool {
        self.connection(key).is_some_and(|one| {
            one.owed() > self.settings.max_queue_size / 2 || !self.memory.has_room(one.owed(), 0)
        })
    }

    /// The worker cannot write to the connection now: it wants to be told of further frames.
    pub(crate) fn postpone(&mut self, key: Key) {
        if let Some(connection) = self.connection_mut(key) {
            connection.dirty = false;
            connection.waited = true;
        }
    }

    /// What is to be written to a connection. `None`: it is unknown.
    pub(crate) fn take(&mut self, key: Key, now: u64) -> Option<Taken> {
        let more = match self.connection(key)?.stage {
            Stage::Live(session) => self.replay(key, session, now),
            _ => false,
        };
        let taken = self.connection_mut(key)?.take();
        if more {
            self.mark(key);
        }
        Some(taken)
    }

    /// The worker's connections that have something to write or to close.
    pub(crate) fn take_dirty(&mut self, worker: usize, into: &mut Vec<Key>) {
        into.append(&mut self.dirty[worker]);
    }

    /// The worker's connections of which nothing has been heard for too long, unless it has not listened:
    /// for each call [`Broker::judge`].
    pub(crate) fn take_silent(&mut self, worker: usize) -> Vec<Key> {
        std::mem::take(&mut self.silent[worker])
    }

    /// Whether the worker has to call [`Broker::take_dirty`] or [`Broker::take_silent`].
    pub(crate) fn is_dirty(&self, worker: usize) -> bool {
        !self.dirty[worker].is_empty() || !self.silent[worker].is_empty()
    }

    /// Connections that the host need not know any more.
    pub(crate) fn take_removed(&mut self) -> Vec<Key> {
        std::mem::take(&mut self.removed)
    }

    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }

    pub(crate) fn gauges(&self) -> Gauges {
        Gauges {
            clients: self.sessions.len() - self.away.len(),
            sessions: self.sessions.len(),
            subscriptions: self.subscriptions.len,
            retained: self.retained.len(),
            memory: self.memory.used(),
        }
    }

    /// When [`Broker::tick`] wants to be called, in milliseconds.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.timers.next()
    }

    /// Does what time brings, a part of it if it is much. Answers whether there is more to do at once.
    #[must_use = "call it again if there is more"]
    pub(crate) fn tick(&mut self, now: u64) -> bool {
        let mut work = 0;
        while work < WORK_AT_ONCE
            && let Some(owner) = self.timers.due(now)
        {
            work += 1;
            match owner {
                Owner::Connection(index) => self.connection_due(index, now),
                Owner::Session(index) => {
                    let session = &self.sessions[index as usize];
                    work += session.subscriptions.len() + session.pending.len();
                    self.session_due(index, now);
                }
                Owner::Leftovers => {
                    self.timers.set(Owner::Leftovers, &mut self.leftovers, None);
                    break;
                }
                Owner::Retained => {
                    while work < WORK_AT_ONCE && self.retained.drop_expired(now) {
                        work += 1;
                    }
                    self.set_retained_timer();
                }
            }
        }
        self.settle(now);
        self.timers.due(now).is_some()
    }

    fn connection(&self, key: Key) -> Option<&Connection> {
        self.connections.get(key.index as usize).filter(|connection| connection.key == key)
    }

    fn connection_mut(&mut self, key: Key) -> Option<&mut Connection> {
        self.connections.get_mut(key.index as usize).filter(|connection| connection.key == key)
    }

    fn set_connection_timer(&mut self, index: u32, at: Option<u64>) {
        let connection = &mut self.connections[index as usize];
        self.timers.set(Owner::Connection(index), &mut connection.deadline, at);
    }

    fn set_session_timer(&mut self, index: u32) {
        let session = &mut self.sessions[index as usize];
        let will = session.will.as_ref().and_then(|will| will.at);
        let expires = session.pending_expires.map(soon);
        let at = [session.ends, will, expires].into_iter().flatten().min();
        self.timers.set(Owner::Session(index), &mut session.deadline, at);
    }

    fn set_retained_timer(&mut self) {
        let at = self.retained.expires().map(soon);
        self.timers.set(Owner::Retained, &mut self.retained.deadline, at);
    }

    fn acknowledge(&mut self, key: Key, version: Version, kind: Acknowledge, id: u16, reason: Reason) {
        let (bytes, len) = encode::acknowledgement(version, kind, id, reason);
        self.push(key, Frame::Small(bytes, len));
    }

    /// Queues a packet that must not be lost.
    fn push(&mut self, key: Key, frame: Frame) {
        let Some(connection) = self.connection_mut(key) else { return };
        if connection.stage == Stage::Closed || connection.is_lost {
            return;
        }
        if frame.len() > connection.maximum {
            connection.is_lost = true;
            self.lost.push(key);
            return;
        }
        connection.push(frame);
        self.mark(key);
    }

    /// The connection's worker has to look at it: there is something to write, or may be again.
    pub(crate) fn mark(&mut self, key: Key) {
        if let Some(connection) = self.connection_mut(key)
            && !std::mem::replace(&mut connection.dirty, true)
        {
            let worker = connection.worker;
            self.dirty[worker].push(key);
        }
    }
}
