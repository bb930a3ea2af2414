//! Messages: from clients, to subscribers, and the exchanges of QoS 1 and 2 in both directions.

use std::sync::Arc;

use super::message::Message;
use super::session::{Delivery, InFlight, Stage as Exchange};
use super::trie::{Found, Share, Subscriber};
use super::{Broker, Frame, Key, Next, ReplyTo};
use crate::codec::encode::{self, Acknowledge, Encoded, Outgoing};
use crate::codec::packet::{Acknowledgement, Publish};
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
pub(super) struct Encodings(Vec<(Shape, Vec<u32>, Arc<Encoded>)>);

/// As many encodings are looked through for one that can be shared.
const SHARED: usize = 8;

impl Broker {
    /// PUBLISH of a client.
    pub(super) fn incoming(&mut self, key: Key, session: u32, publish: &Publish<'_>, now: u64) -> Next {
        let version = self.sessions[session as usize].version;
        // Also one that has come already can set an alias.
        let topic = match self.resolve_alias(key, publish) {
            Ok(topic) => topic,
            Err(why) => {
                self.fail(key, Reason::TOPIC_ALIAS_INVALID, why, now);
                return Next::Nothing;
            }
        };
        if publish.qos == Qos::ExactlyOnce {
            let incoming = &self.sessions[session as usize].incoming;
            if incoming.contains(&publish.id) {
                self.acknowledge(key, version, Acknowledge::PubRec, publish.id, Reason::SUCCESS);
                return Next::Nothing;
            }
            if version.is_5() && incoming.len() >= usize::from(self.settings.receive_maximum) {
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
            match publish.qos {
                Qos::AtLeastOnce if version.is_5() => {
                    self.acknowledge(key, version, Acknowledge::PubAck, publish.id, reason);
                }
                Qos::ExactlyOnce if version.is_5() => {
                    self.acknowledge(key, version, Acknowledge::PubRec, publish.id, reason);
                }
                _ => self.fail(key, reason, "the topic may not be published to", now),
            }
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
        let matched = is_request || self.route_from(session, topic, publish, now);
        let reason =
            if matched || !version.is_5() { Reason::SUCCESS } else { Reason::NO_MATCHING_SUBSCRIBERS };
        match publish.qos {
            Qos::AtMostOnce => {}
            Qos::AtLeastOnce => self.acknowledge(key, version, Acknowledge::PubAck, publish.id, reason),
            Qos::ExactlyOnce => {
                self.sessions[session as usize].incoming.insert(publish.id);
                self.acknowledge(key, version, Acknowledge::PubRec, publish.id, reason);
            }
        }
        if is_request { Next::Execute(reply_to(publish)) } else { Next::Nothing }
    }

    /// The topic that the alias stands for, or `None` without one.
    fn resolve_alias(&mut self, key: Key, publish: &Publish<'_>) -> Result<Option<Arc<str>>, &'static str> {
        if publish.alias == 0 {
            return Ok(None);
        }
        if publish.alias > self.settings.topic_alias_maximum {
            return Err("a topic alias is above the maximum");
        }
        let fits = publish.topic.len() <= self.settings.max_topic_length;
        let Some(connection) = self.connection_mut(key) else { return Ok(None) };
        let place = usize::from(publish.alias) - 1;
        if publish.topic.is_empty() {
            let topic = connection.aliases.get(place).cloned().flatten();
            return topic.map(Some).ok_or("a topic alias is not known");
        }
        if connection.aliases.len() <= place {
            connection.aliases.resize(place + 1, None);
        }
        connection.aliases[place] = fits.then(|| publish.topic.into());
        Ok(None)
    }

    /// Kuzzle's rules: see the README. The request topic is not a topic to publish to.
    pub(super) fn may_publish(&self, topic: &str) -> bool {
        *topic != *self.settings.response_topic && self.settings.allow_pub_sub
    }

    /// Whether the host has made it one.
    pub(super) fn is_channel(&self, topic: &str) -> bool {
        self.channels.contains_key(topic)
    }

    fn route_from(&mut self, session: u32, topic: &str, publish: &Publish<'_>, now: u64) -> bool {
        let message = Message {
            topic: topic.into(),
            payload: publish.payload.to_vec().into(),
            qos: publish.qos,
            retain: publish.retain,
            properties: publish.properties.forwarded(),
            expires: publish.expiry.map(|seconds| now + u64::from(seconds) * 1000),
            from: Some(self.sessions[session as usize].serial),
        };
        self.route(&Arc::new(message), now)
    }

    /// Delivers a message to all whose subscriptions match, and retains it if it is to be.
    /// Answers whether there is any.
    pub(super) fn route(&mut self, message: &Arc<Message>, now: u64) -> bool {
        if message.retain {
            if message.payload.is_empty() {
                self.retained.remove(&message.topic);
            } else if !self.retained.set(message) {
                self.counters.dropped += 1;
            }
        }
        self.publish += 1;
        let number = self.publish;
        let mut deliveries: Vec<(u32, Delivery)> = Vec::new();
        let sessions = &mut self.sessions;
        let mut merged = Vec::new();
        self.subscriptions.matching(&message.topic, |found| match found {
            Found::One(subscriber) => {
                let session = &mut sessions[subscriber.session as usize];
                if subscriber.options.no_local && message.from == Some(session.serial) {
                    return;
                }
                if session.stamp.0 == number {
                    return add(&mut deliveries[session.stamp.1].1, subscriber, message);
                }
                session.stamp = (number, deliveries.len());
                deliveries.push((subscriber.session, first(subscriber, message)));
            }
            Found::Share(share) => {
                let is_here = |session: u32| sessions[session as usize].connection.is_some();
                merged.extend(choose(share, is_here).map(|one| (one.session, first(&one, message))));
            }
        });
        deliveries.append(&mut merged);
        let found = !deliveries.is_empty();
        let mut encodings = Encodings::default();
        for (session, delivery) in deliveries {
            self.deliver(session, delivery, &mut encodings, now);
        }
        found
    }

    /// Sends a message to one session, or keeps it there.
    pub(super) fn deliver(&mut self, index: u32, delivery: Delivery, encodings: &mut Encodings, now: u64) {
        let limit = self.settings.max_queue_size;
        let session = &mut self.sessions[index as usize];
        let Some(key) = session.connection else {
            if delivery.qos == Qos::AtMostOnce {
                return;
            }
            if session.pending_cost + delivery.cost() > limit {
                self.counters.dropped += 1;
            } else {
                session.push_pending(delivery);
            }
            return;
        };
        if delivery.qos == Qos::AtMostOnce {
            self.send(key, &delivery, 0, false, encodings, now);
        } else if session.in_flight.len() < session.window && session.pending.is_empty() {
            self.begin(key, index, delivery, encodings, now);
        } else {
            let needed = session.pending_cost + delivery.cost();
            let Some(connection) = self.connections.get_mut(key.index as usize) else { return };
            if needed + connection.droppable() > limit {
                self.counters.dropped += connection.shed();
            }
            if needed > limit {
                if !std::mem::replace(&mut connection.overflowing, true) {
                    self.overflowing.push(key);
                }
                self.counters.dropped += 1;
            } else {
                session.push_pending(delivery);
            }
        }
    }

    /// Begins an exchange of QoS 1 or 2.
    fn begin(&mut self, key: Key, index: u32, delivery: Delivery, encodings: &mut Encodings, now: u64) {
        let session = &mut self.sessions[index as usize];
        let id = session.fresh_id();
        if self.send(key, &delivery, id, false, encodings, now) {
            let session = &mut self.sessions[index as usize];
            let stage = Exchange::Sent(delivery);
            session.in_flight.push_back(InFlight { id, stage, sent: true });
        }
    }

    /// Goes on with an exchange of an earlier connection.
    pub(super) fn send_again(&mut self, key: Key, index: u32, id: u16, delivery: &Delivery, now: u64) {
        if !self.send(key, delivery, id, true, &mut Encodings::default(), now) {
            let in_flight = &mut self.sessions[index as usize].in_flight;
            in_flight.retain(|in_flight| in_flight.id != id);
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
            let Some(delivery) = session.pop_pending(now) else {
                if session.in_flight.is_empty() {
                    session.in_flight = Default::default();
                }
                return;
            };
            self.begin(key, index, delivery, &mut Encodings::default(), now);
        }
    }

    /// Queues a PUBLISH. Answers false if it was not: it is too large for the client, or of QoS 0 and
    /// too much waits already.
    pub(super) fn send(
        &mut self,
        key: Key,
        delivery: &Delivery,
        id: u16,
        dup: bool,
        encodings: &mut Encodings,
        now: u64,
    ) -> bool {
        let limit = self.settings.max_queue_size;
        let Some(connection) = self.connections.get_mut(key.index as usize) else { return false };
        let droppable = id == 0;
        let message = &delivery.message;
        if droppable && connection.queued() + message.topic.len() + message.payload.len() > limit {
            self.counters.dropped += 1;
            return false;
        }
        let (mut alias, mut is_new) = (0, false);
        if let Some(told) = &connection.told {
            match told.aliases.get(&message.topic) {
                Some(known) => alias = *known,
                None if told.aliases.len() < usize::from(told.maximum) => {
                    (alias, is_new) = (told.aliases.len() as u16 + 1, true);
                }
                None => {}
            }
        }
        let shape = Shape {
            version: connection.version,
            qos: delivery.qos,
            retain: delivery.retain,
            dup,
            with_topic: alias == 0 || is_new,
            alias,
        };
        let variant = Variant { shape, subscriptions: &delivery.subscriptions };
        let encoded = encodings.get(&variant, message, now);
        if encoded.len() > connection.maximum {
            self.counters.dropped += 1;
            return false;
        }
        if is_new && let Some(told) = &mut connection.told {
            told.aliases.insert(Arc::clone(&message.topic), alias);
        }
        // A client that has not been told an alias cannot understand it.
        let droppable = droppable && !is_new;
        self.push(key, Frame::Publish { encoded, id: id.to_be_bytes(), droppable });
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
            session.in_flight.remove(position);
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
                session.in_flight.remove(position);
                return self.pump(key, index, now);
            }
            session.in_flight[position].stage = Exchange::Released;
            reason = Reason::SUCCESS;
        } else if ack.reason.is_error() {
            return;
        }
        self.acknowledge(key, version, Acknowledge::PubRel, ack.id, reason);
    }
}

impl Encodings {
    fn get(&mut self, variant: &Variant<'_>, message: &Message, now: u64) -> Arc<Encoded> {
        let Variant { shape, subscriptions } = variant;
        // Two empty slices are not compared by `memcmp`, which is slow for those that lie nowhere.
        let same = |known: &[u32]| {
            known.len() == subscriptions.len() && (known.is_empty() || known == *subscriptions)
        };
        let found = self.0.iter().find(|(known, with, _)| known == shape && same(with));
        if let Some((_, _, encoded)) = found {
            return Arc::clone(encoded);
        }
        let encoded = Arc::new(encode::publish(&Outgoing {
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
        }));
        if self.0.len() < SHARED {
            self.0.push((*shape, subscriptions.to_vec(), Arc::clone(&encoded)));
        }
        encoded
    }
}

fn reply_to(publish: &Publish<'_>) -> ReplyTo {
    ReplyTo {
        topic: publish.response_topic.map(Into::into),
        properties: publish.correlation.map(encode::correlation_data).unwrap_or_default(),
    }
}

fn first(subscriber: &Subscriber, message: &Arc<Message>) -> Delivery {
    Delivery {
        message: Arc::clone(message),
        qos: message.qos.min(subscriber.options.qos),
        retain: message.retain && subscriber.options.retain_as_published,
        subscriptions: if subscriber.id == 0 { Vec::new() } else { vec![subscriber.id] },
    }
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

/// The member whose turn it is; one who is here before one who is away.
pub(super) fn choose(share: &mut Share, is_here: impl Fn(u32) -> bool) -> Option<Subscriber> {
    let len = share.members.len();
    let turns = (0..len).map(|turn| (share.next + turn) % len);
    let here = turns.clone().find(|place| is_here(share.members[*place].session));
    let place = here.or_else(|| turns.clone().next())?;
    share.next = (place + 1) % len;
    Some(share.members[place])
}
