//! Messages: from clients, to subscribers, and the exchanges of QoS 1 and 2 in both directions.

use std::sync::Arc;

use super::frame::{Publication, Role};
use super::memory::Memory;
use super::message::Message;
use super::session::{Delivery, InFlight, Orphan, Rank, Stage as Exchange};
use super::trie::{Found, Share, Subscriber};
use super::{Broker, Frame, Key, Next, ReplyTo};
use crate::codec::encode::{self, Acknowledge, Outgoing};
use crate::codec::packet::{Acknowledgement, Publish};
use crate::codec::topic::Filter;
use crate::codec::{Qos, Reason, Version};

/// What the encodings of one message for several clients differ in.
#[derive(Debug)]
struct Variant<'a> {
    shape: Shape,
    subscriptions: &'a [u32],
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Shape {
    version: Version,
    qos: Qos,
    retain: bool,
    dup: bool,
    with_topic: bool,
    alias: u16,
}

/// The encodings of one message so far.
#[derive(Debug, Default)]
pub(super) struct Encodings(Vec<(Shape, Vec<u32>, Arc<Publication>)>);

/// How a message is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flags {
    /// 0: none, for QoS 0.
    pub(super) id: u16,
    pub(super) dup: bool,
    pub(super) role: Role,
}

/// Where a client that is to be told something by the server itself is told.
const SERVER_NOTIFICATIONS: &str = "kuzzle:notification:server";
/// As many encodings are looked through for one that can be shared.
const SHARED: usize = 8;

impl Broker {
    /// PUBLISH of a client.
    pub(super) fn incoming(&mut self, key: Key, session: u32, publish: &Publish<'_>, now: u64) -> Next {
        let version = self.sessions[session as usize].version;
        // Also one that has come already can set an alias.
        let topic = match self.resolve_alias(key, publish) {
            Ok(topic) => topic,
            Err((reason, why)) => {
                self.fail(key, reason, why, now);
                return Next::Nothing;
            }
        };
        if publish.qos == Qos::ExactlyOnce {
            if self.sessions[session as usize].is_incoming(publish.id) {
                self.acknowledge(key, version, Acknowledge::PubRec, publish.id, Reason::SUCCESS);
                return Next::Nothing;
            }
            let receiving = self.connection(key).map_or(0, |connection| connection.receiving);
            if version.is_5() && receiving >= self.settings.receive_maximum {
                self.fail(key, Reason::RECEIVE_MAXIMUM_EXCEEDED, "too many messages are not released", now);
                return Next::Nothing;
            }
        }
        let topic = topic.as_deref().unwrap_or(publish.topic);
        let is_request = *topic == *self.settings.request_topic;
        let refused = if !is_request && (!self.may_publish(topic) || self.is_channel(topic)) {
            Some(Reason::NOT_AUTHORIZED)
        } else if self.is_within_limits(topic) {
            None
        } else {
            Some(Reason::TOPIC_NAME_INVALID)
        };
        if let Some(reason) = refused {
            self.refuse_publish(key, publish, reason, "the topic may not be published to", now);
            return Next::Nothing;
        }
        if is_request
            && publish
                .response_topic
                .is_some_and(|to| *to == *self.settings.request_topic || self.is_channel(to))
        {
            let text = "the response topic is the request topic or a channel";
            self.fail(key, Reason::PROTOCOL_ERROR, text, now);
            return Next::Nothing;
        }
        let message = (!is_request).then(|| self.message(session, topic, publish, now));
        if let Some(message) =
            message.as_ref().filter(|message| message.retain && !message.payload.is_empty())
            && version.is_5()
            && publish.qos > Qos::AtMostOnce
            && !self.retained.has_room(message)
        {
            let text = "there is no room for a further retained message";
            self.refuse_publish(key, publish, Reason::QUOTA_EXCEEDED, text, now);
            return Next::Nothing;
        }
        if publish.qos == Qos::ExactlyOnce {
            if !self.sessions[session as usize].add_incoming(publish.id, &self.memory) {
                let text = "there is no memory left for it";
                self.refuse_publish(key, publish, Reason::QUOTA_EXCEEDED, text, now);
                return Next::Nothing;
            }
            if let Some(connection) = self.connection_mut(key) {
                connection.receiving = connection.receiving.saturating_add(1);
            }
        }
        let matched = message.is_none_or(|message| self.route(&message, now) > 0);
        let reason =
            if matched || !version.is_5() { Reason::SUCCESS } else { Reason::NO_MATCHING_SUBSCRIBERS };
        match publish.qos {
            Qos::AtMostOnce => {}
            Qos::AtLeastOnce => self.acknowledge(key, version, Acknowledge::PubAck, publish.id, reason),
            Qos::ExactlyOnce => self.acknowledge(key, version, Acknowledge::PubRec, publish.id, reason),
        }
        if is_request { Next::Execute(reply_to(publish)) } else { Next::Nothing }
    }

    fn refuse_publish(
        &mut self,
        key: Key,
        publish: &Publish<'_>,
        reason: Reason,
        why: &'static str,
        now: u64,
    ) {
        let Some(version) = self.connection(key).map(|connection| connection.version) else { return };
        let kind = match publish.qos {
            Qos::AtLeastOnce if version.is_5() => Acknowledge::PubAck,
            Qos::ExactlyOnce if version.is_5() => Acknowledge::PubRec,
            _ => return self.fail(key, reason, why, now),
        };
        self.acknowledge(key, version, kind, publish.id, reason);
    }

    /// The topic that the alias stands for, or `None` without one.
    fn resolve_alias(
        &mut self,
        key: Key,
        publish: &Publish<'_>,
    ) -> Result<Option<Arc<str>>, (Reason, &'static str)> {
        if publish.alias == 0 {
            return Ok(None);
        }
        if publish.alias > self.settings.topic_alias_maximum {
            return Err((Reason::TOPIC_ALIAS_INVALID, "a topic alias is above the maximum"));
        }
        let fits = publish.topic.len() <= self.settings.max_topic_length;
        let Some(connection) = self.connections.get_mut(key.index as usize) else { return Ok(None) };
        if publish.topic.is_empty() {
            let topic = connection.alias(publish.alias);
            return topic.map(Some).ok_or((Reason::TOPIC_ALIAS_INVALID, "a topic alias is not known"));
        }
        if connection.set_alias(publish.alias, fits.then_some(publish.topic), &self.memory) {
            Ok(None)
        } else {
            Err((Reason::QUOTA_EXCEEDED, "there is no memory left for a topic alias"))
        }
    }

    /// Kuzzle's rules: see the README. The request topic is not a topic to publish to.
    pub(super) fn may_publish(&self, topic: &str) -> bool {
        self.settings.allow_pub_sub
            && *topic != *self.settings.response_topic
            && topic != SERVER_NOTIFICATIONS
    }

    /// Whether the topic belongs to the host: one of our clients has joined a channel of this name, or
    /// it is named like one that somebody may join later.
    pub(super) fn is_channel(&self, topic: &str) -> bool {
        self.channels.contains_key(topic) || is_named_like_a_channel(topic)
    }

    fn message(&self, session: u32, topic: &str, publish: &Publish<'_>, now: u64) -> Arc<Message> {
        let message = Message {
            topic: topic.into(),
            payload: publish.payload.to_vec().into(),
            qos: publish.qos,
            retain: publish.retain,
            properties: publish.properties.forwarded(),
            expires: publish.expiry.map(|seconds| now + u64::from(seconds) * 1000),
            from: Some(Arc::clone(&self.sessions[session as usize].client_id)),
            kept: None,
        };
        Arc::new(message.kept_in(&self.memory))
    }

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
                let rank = |session: u32| sessions[session as usize].rank(message.cost(), limit);
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
        let (sessions, limit) = (&self.sessions, self.settings.max_queue_size);
        let rank = |session: u32| sessions[session as usize].rank(orphan.message.cost(), limit);
        let Some(member) = choose(share, rank) else { return };
        let delivery = shared(share, &member, &orphan.message);
        let (session, cost) = (&self.sessions[member.session as usize], delivery.cost());
        if orphan.message.is_expired(now) {
            return;
        }
        // It costs nobody the connection.
        if session.rank(cost, limit) == Rank::Full || !self.memory.has_room(session.size(), cost) {
            self.counters.dropped += 1;
            return;
        }
        self.deliver(member.session, delivery, &mut Encodings::default(), now);
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
        let variant = Variant { shape, subscriptions: &delivery.subscriptions };
        let publication = encodings.get(&variant, message, &self.memory, now);
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

impl Encodings {
    fn get(
        &mut self,
        variant: &Variant<'_>,
        message: &Arc<Message>,
        memory: &Memory,
        now: u64,
    ) -> Arc<Publication> {
        let Variant { shape, subscriptions } = variant;
        // Two empty slices are not compared by `memcmp`, which is slow for those that lie nowhere.
        let same = |known: &[u32]| {
            known.len() == subscriptions.len() && (known.is_empty() || known == *subscriptions)
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

fn reply_to(publish: &Publish<'_>) -> ReplyTo {
    ReplyTo {
        topic: publish.response_topic.map(Into::into),
        properties: publish.correlation.map(encode::correlation_data).unwrap_or_default(),
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

/// The member whose turn it is among those of the highest rank.
pub(super) fn choose(share: &mut Share, rank: impl Fn(u32) -> Rank) -> Option<Subscriber> {
    let len = share.members.len();
    let mut best: Option<(Rank, usize)> = None;
    for turn in 0..len {
        let place = (share.next + turn) % len;
        let rank = rank(share.members[place].session);
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

/// Channels are named by a room's id, 64 hexadecimal digits, then a dash and digits, as in Kuzzle.
fn is_named_like_a_channel(topic: &str) -> bool {
    topic.split_once('-').is_some_and(|(room, suffix)| {
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        room.len() == 64
            && room.bytes().all(is_hex)
            && !suffix.is_empty()
            && suffix.bytes().all(|byte| byte.is_ascii_digit())
    })
}
