//! Messages to one client: sending them, and the exchanges of QoS 1 and 2.

use super::encodings::{Encodings, Shape};
use super::frame::Role;
use super::session::{Delivery, InFlight, Stage as Exchange};
use super::{Broker, Frame, Key};
use crate::codec::encode::Acknowledge;
use crate::codec::packet::Acknowledgement;
use crate::codec::{Qos, Reason};

/// How a message is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flags {
    /// 0: none, for QoS 0.
    pub(super) id: u16,
    pub(super) dup: bool,
    pub(super) role: Role,
}

impl Broker {
    /// Begins an exchange of QoS 1 or 2.
    pub(super) fn begin(
        &mut self,
        key: Key,
        index: u32,
        delivery: Delivery,
        encodings: &mut Encodings,
        now: u64,
    ) {
        let id = self.sessions[index as usize].fresh_id();
        if self.send(key, &delivery, Flags { id, dup: false, role: Role::Delivery }, encodings, now) {
            self.sessions[index as usize].push_in_flight(id, delivery);
        }
    }

    /// Goes on with an exchange of an earlier connection.
    pub(super) fn send_again(&mut self, key: Key, index: u32, id: u16, delivery: &Delivery, now: u64) {
        let flags = Flags { id, dup: true, role: Role::Delivery };
        if !self.send(key, delivery, flags, &mut Encodings::default(), now) {
            let session = &mut self.sessions[index as usize];
            if let Some(position) = session.position(id) {
                session.remove_in_flight(position);
            }
        }
    }

    /// Begins what has waited, as far as the client takes it.
    pub(super) fn pump(&mut self, key: Key, index: u32, now: u64) {
        loop {
            let session = &mut self.sessions[index as usize];
            if session.in_flight.iter().filter(|in_flight| in_flight.sent).count() >= session.window {
                return;
            }
            if let Some(waiting) = session.in_flight.iter_mut().find(|in_flight| !in_flight.sent) {
                waiting.sent = true;
                let InFlight { id, stage, .. } = waiting.clone();
                if let Exchange::Sent(delivery) = stage {
                    self.send_again(key, index, id, &delivery, now);
                }
                continue;
            }
            let next = session.pending.front().map(Delivery::cost);
            if next.is_some_and(|cost| !session.may_begin(cost, self.settings.max_queue_size)) {
                return;
            }
            let Some(delivery) = session.pop_pending(now) else {
                if !session.replays.is_empty() {
                    self.mark(key);
                }
                return;
            };
            self.begin(key, index, delivery, &mut Encodings::default(), now);
        }
    }

    /// Queues a PUBLISH. Answers false if it was not: it is too large for the client, or may be lost and
    /// too much waits already.
    pub(super) fn send(
        &mut self,
        key: Key,
        delivery: &Delivery,
        flags: Flags,
        encodings: &mut Encodings,
        now: u64,
    ) -> bool {
        let Flags { id, dup, mut role } = flags;
        let Some(connection) = self.connections.get_mut(key.index as usize) else { return false };
        let message = &delivery.message;
        let cost = message.topic.len() + message.payload.len() + size_of::<Frame>();
        let queued = connection.queued();
        let is_full = queued + cost > self.settings.max_queue_size || !self.memory.has_room(queued, cost);
        if is_full && role == Role::Droppable {
            self.counters.dropped += 1;
            return false;
        }
        if is_full && id == 0 {
            self.counters.dropped += connection.shed();
        }
        let (alias, is_new) = connection.alias_of(&message.topic, &self.memory);
        let shape = Shape {
            version: connection.version,
            qos: delivery.qos,
            retain: delivery.retain,
            dup,
            with_topic: alias == 0 || is_new,
            alias,
        };
        let publication = encodings.get(&shape, &delivery.subscriptions, message, &self.memory, now);
        if publication.len() > connection.maximum {
            self.counters.dropped += 1;
            return false;
        }
        if is_new {
            connection.tell_alias(&message.topic, alias);
        }
        // A client that has not been told an alias cannot understand it.
        if is_new && role != Role::Answer {
            role = Role::Delivery;
        }
        self.counters.sent += 1;
        self.push(key, Frame::Publish { publication, id: id.to_be_bytes(), role });
        true
    }

    /// PUBACK, or PUBCOMP if it is `complete`.
    pub(super) fn acknowledged(&mut self, key: Key, index: u32, id: u16, complete: bool, now: u64) {
        let session = &mut self.sessions[index as usize];
        let Some(position) = session.position(id) else { return };
        let awaited = match &session.in_flight[position].stage {
            Exchange::Sent(delivery) => !complete && delivery.qos == Qos::AtLeastOnce,
            Exchange::Released => complete,
        };
        if awaited {
            session.remove_in_flight(position);
            self.pump(key, index, now);
        }
    }

    /// PUBREC.
    pub(super) fn received(&mut self, key: Key, index: u32, ack: Acknowledgement, now: u64) {
        let session = &mut self.sessions[index as usize];
        let version = session.version;
        let mut reason = Reason::PACKET_ID_NOT_FOUND;
        if let Some(position) = session.position(ack.id) {
            if matches!(&session.in_flight[position].stage, Exchange::Sent(one) if one.qos != Qos::ExactlyOnce)
            {
                return;
            }
            if ack.reason.is_error() {
                session.remove_in_flight(position);
                return self.pump(key, index, now);
            }
            session.release(position);
            reason = Reason::SUCCESS;
        } else if ack.reason.is_error() {
            return;
        }
        self.acknowledge(key, version, Acknowledge::PubRel, ack.id, reason);
    }
}
