//! Messages to their subscribers: who gets one, and whether it is sent at once or waits.

use std::sync::Arc;

use slab::Slab;

use super::Broker;
use super::encodings::Encodings;
use super::exchange::Flags;
use super::frame::Role;
use super::memory::Memory;
use super::message::Message;
use super::session::{Delivery, Orphan, Rank, Session};
use super::trie::{Found, Share, Subscriber};
use crate::codec::topic::Filter;
use crate::codec::{Qos, Version};

impl Broker {
    /// Delivers a message to all whose subscriptions match, and retains it if it is to be.
    /// Answers how many there are.
    pub(super) fn route(&mut self, message: &Arc<Message>, now: u64) -> usize {
        self.publish += 1;
        let number = self.publish;
        if message.retain {
            if message.payload.is_empty() {
                self.retained.remove(&message.topic);
            } else if !self.retained.set(message, number) {
                self.counters.dropped += 1;
            }
            self.set_retained_timer();
        }
        let mut deliveries: Vec<(u32, Delivery)> = Vec::new();
        let (sessions, limit) = (&mut self.sessions, self.settings.max_queue_size);
        let mut merged = Vec::new();
        self.subscriptions.matching(&message.topic, |found| match found {
            Found::One(subscriber) => {
                let session = &mut sessions[subscriber.session as usize];
                if subscriber.options.no_local && message.is_from(&session.client_id) {
                    return;
                }
                if session.stamp.0 == number {
                    return add(&mut deliveries[session.stamp.1].1, subscriber, message);
                }
                session.stamp = (number, deliveries.len());
                deliveries.push((subscriber.session, first(subscriber, message)));
            }
            Found::Share(share) => {
                let rank = |member: &Subscriber| rank(sessions, member, message, limit);
                merged.extend(choose(share, rank).map(|one| (one.session, shared(share, &one, message))));
            }
        });
        deliveries.append(&mut merged);
        let found = deliveries.len();
        let mut encodings = Encodings::default();
        for (session, delivery) in deliveries {
            self.deliver(session, delivery, &mut encodings, now);
        }
        found
    }

    /// Gives a message of a shared subscription to another member.
    pub(super) fn adopt(&mut self, orphan: &Orphan, now: u64) {
        let Ok(filter) = Filter::parse(&orphan.share, Version::V5) else { return };
        let Some(share) = self.subscriptions.share(&filter) else { return };
        let (sessions, limit, message) = (&self.sessions, self.settings.max_queue_size, &orphan.message);
        let Some(member) = choose(share, |member| rank(sessions, member, message, limit)) else { return };
        let (session, delivery) = (&sessions[member.session as usize], shared(share, &member, message));
        if message.is_expired(now) {
            return;
        }
        // It costs nobody the connection.
        let has_room =
            delivery.qos == Qos::AtMostOnce || self.memory.has_room(session.size(), delivery.cost());
        if rank(sessions, &member, message, limit) == Rank::Full || !has_room {
            self.counters.dropped += 1;
            return;
        }
        self.hand_over(member.session, delivery, &mut Encodings::default(), now);
    }

    /// Sends a message to one session, or keeps it there.
    pub(super) fn deliver(&mut self, index: u32, delivery: Delivery, encodings: &mut Encodings, now: u64) {
        if !self.sessions[index as usize].replays.is_empty() {
            self.replay_before(index, &delivery.message, now);
        }
        self.hand_over(index, delivery, encodings, now);
    }

    /// The same, if no older message has to be looked for.
    pub(super) fn hand_over(&mut self, index: u32, delivery: Delivery, encodings: &mut Encodings, now: u64) {
        let session = &mut self.sessions[index as usize];
        let connection = session.connection.and_then(|key| self.connections.get_mut(key.index as usize));
        if delivery.qos == Qos::AtMostOnce {
            if let Some(connection) = connection {
                let key = connection.key;
                self.send(key, &delivery, Flags { id: 0, dup: false, role: Role::Droppable }, encodings, now);
            }
            return;
        }
        let (cost, limit) = (delivery.cost(), self.settings.max_queue_size);
        let begins = connection.is_some() && session.pending.is_empty() && session.may_begin(cost, limit);
        let queue = if begins { 0 } else { session.pending_cost + cost };
        let has_room = |memory: &Memory| memory.has_room(session.size(), cost);
        if let Some(connection) = connection {
            // What may be lost makes room.
            if queue + connection.droppable() > limit || !has_room(&self.memory) {
                self.counters.dropped += connection.shed();
            }
            if queue > limit || !has_room(&self.memory) {
                self.counters.dropped += 1;
                if !std::mem::replace(&mut connection.overflowing, true) {
                    self.overflowing.push(connection.key);
                }
                return;
            }
            let key = connection.key;
            if begins {
                return self.begin(key, index, delivery, encodings, now);
            }
        } else if queue > limit || !has_room(&self.memory) {
            self.counters.dropped += 1;
            return;
        }
        let expires = session.pending_expires;
        session.push_pending(delivery);
        if session.pending_expires != expires {
            self.set_session_timer(index);
        }
    }
}

fn first(subscriber: &Subscriber, message: &Arc<Message>) -> Delivery {
    let qos = message.qos.min(subscriber.options.qos);
    let retain = message.retain && subscriber.options.retain_as_published;
    Delivery { retain, ..Delivery::new(message, qos, subscriber.id) }
}

/// For the chosen member of a share.
fn shared(share: &Share, member: &Subscriber, message: &Arc<Message>) -> Delivery {
    Delivery { share: Some(Arc::clone(&share.whole)), ..first(member, message) }
}

/// A further subscription of a session that gets the message already: it gets one copy, as the best
/// of them.
fn add(delivery: &mut Delivery, subscriber: &Subscriber, message: &Message) {
    delivery.qos = delivery.qos.max(message.qos.min(subscriber.options.qos));
    delivery.retain |= message.retain && subscriber.options.retain_as_published;
    if subscriber.id != 0 {
        delivery.subscriptions.push(subscriber.id);
    }
}

/// How well the member of a share takes the message now.
fn rank(sessions: &Slab<Session>, member: &Subscriber, message: &Message, limit: usize) -> Rank {
    let qos = message.qos.min(member.options.qos);
    sessions[member.session as usize].rank(qos, Delivery::cost_of(message, member.id), limit)
}

/// The member whose turn it is among those of the highest rank.
pub(super) fn choose(share: &mut Share, rank: impl Fn(&Subscriber) -> Rank) -> Option<Subscriber> {
    let len = share.members.len();
    let mut best: Option<(Rank, usize)> = None;
    for turn in 0..len {
        let place = (share.next + turn) % len;
        let rank = rank(&share.members[place]);
        if best.is_none_or(|(known, _)| rank > known) {
            best = Some((rank, place));
        }
        if rank == Rank::Ready {
            break;
        }
    }
    let (_, place) = best?;
    share.next = (place + 1) % len;
    Some(share.members[place])
}
