//! SUBSCRIBE and UNSUBSCRIBE, and the retained messages that follow a subscription.

use std::sync::Arc;

use foldhash::{HashMap, HashSet};

use super::encodings::Encodings;
use super::exchange::Flags;
use super::frame::Role;
use super::message::Message;
use super::retained::{Portion, Replay, done_cost};
use super::session::Delivery;
use super::trie::{Share, Subscriber, nodes_cost};
use super::{Broker, Frame, Key};
use crate::codec::encode;
use crate::codec::packet::{Options, RetainHandling, Subscribe, Unsubscribe};
use crate::codec::topic::Filter;
use crate::codec::{Qos, Reason, Version};

/// So many retained messages are looked for at once, and so many nodes of their tree looked at before
/// others have their turn.
const MESSAGES_AT_ONCE: usize = 64;
const NODES_AT_ONCE: usize = 512;

/// A subscription that a client asks for.
#[derive(Debug)]
struct Wanted<'a> {
    filter: Filter<'a>,
    /// The last ones, if the filter comes several times.
    options: Options,
    first: RetainHandling,
    /// Whether retained messages are wanted in any case.
    always: bool,
}

/// When a client takes a retained message.
#[derive(Debug)]
enum Takes {
    Now,
    WhenWritten,
    WhenAcknowledged,
}

impl Broker {
    pub(super) fn subscribe(&mut self, key: Key, session: u32, subscribe: &Subscribe<'_>, now: u64) {
        let version = self.sessions[session as usize].version;
        if !version.is_5() && subscribe.filters().any(|(filter, _)| !self.may_subscribe(&filter)) {
            return self.fail(key, Reason::NOT_AUTHORIZED, "a filter may not be subscribed to", now);
        }
        // A filter that comes several times is subscribed to once, with its last options.
        let mut wanted: Vec<Wanted<'_>> = Vec::new();
        let mut places = HashMap::default();
        let mut granted: Vec<(usize, u8)> = Vec::new();
        let is_bridge = self.sessions[session as usize].is_bridge;
        for (filter, mut options) in subscribe.filters() {
            options.no_local |= is_bridge;
            options.retain_as_published |= is_bridge;
            let place = *places.entry(filter.whole).or_insert(wanted.len());
            if place == wanted.len() {
                wanted.push(Wanted { filter, options, first: options.retain_handling, always: false });
            }
            wanted[place].options = options;
            wanted[place].always |= options.retain_handling == RetainHandling::Always;
            granted.push((place, options.qos as u8));
        }
        let id = subscribe.subscription_id;
        let refusals: Vec<Option<Reason>> =
            wanted.iter().map(|wanted| self.subscribe_one(session, wanted, id).err()).collect();
        let mut codes = Vec::with_capacity(granted.len());
        for (place, qos) in granted {
            codes.push(match refusals[place] {
                None => qos,
                Some(reason) if version.is_5() => reason.0,
                Some(reason) if version == Version::V31 => {
                    return self.fail(key, reason, "a filter is not accepted", now);
                }
                Some(_) => 0x80,
            });
        }
        self.push(key, Frame::Other(encode::suback(version, false, subscribe.id, &codes).into()));
    }

    fn subscribe_one(&mut self, index: u32, wanted: &Wanted<'_>, id: u32) -> Result<(), Reason> {
        let Wanted { filter, options, .. } = wanted;
        if !self.may_subscribe(filter) {
            return Err(Reason::NOT_AUTHORIZED);
        }
        if !self.is_within_limits(filter.whole) {
            return Err(Reason::TOPIC_FILTER_INVALID);
        }
        let session = &mut self.sessions[index as usize];
        let existed = session.subscriptions.contains(filter.whole);
        if !existed {
            let (own, nodes) = (subscription_cost(filter.whole), nodes_cost(filter.whole));
            if session.subscriptions.len() >= self.settings.max_subscriptions
                || !self.memory.has_room(session.size(), own + nodes)
            {
                return Err(Reason::QUOTA_EXCEEDED);
            }
            session.kept.add(own);
            session.nodes += nodes;
            session.subscriptions.insert(filter.whole.into());
        }
        self.subscriptions.subscribe(filter, Subscriber { session: index, id, options: *options });
        let sends_retained = wanted.always || (wanted.first == RetainHandling::IfNew && !existed);
        if filter.share.is_some() {
            return Ok(());
        }
        let session = &mut self.sessions[index as usize];
        if sends_retained {
            session.forget_replay(filter.filter);
            let replay = Replay {
                filter: filter.filter.into(),
                options: *options,
                id,
                until: self.publish,
                after: None,
                done: HashSet::default(),
            };
            session.kept.add(replay.cost());
            session.replays.push_back(replay);
        } else if let Some(replay) =
            session.replays.iter_mut().find(|replay| *replay.filter == *filter.filter)
        {
            // What is still to come comes as it is wanted now.
            (replay.options, replay.id) = (*options, id);
        }
        Ok(())
    }

    /// A message of this topic is about to be delivered: what the session has still to get of its retained
    /// messages goes before it.
    pub(super) fn replay_before(&mut self, index: u32, newer: &Arc<Message>, now: u64) {
        let topic = &newer.topic;
        // What is a channel now belongs to the host alone.
        if self.is_channel(topic) {
            return;
        }
        for place in 0..self.sessions[index as usize].replays.len() {
            let session = &mut self.sessions[index as usize];
            let replay = &session.replays[place];
            if !replay.is_to_come(topic) {
                continue;
            }
            let Some(message) = self.retained.get(topic, replay.until, now) else { continue };
            let (cost, is_own) =
                (done_cost(topic), replay.options.no_local && message.is_from(&session.client_id));
            if is_own || !self.memory.has_room(session.size(), cost) {
                continue;
            }
            let delivery = replayed(message, replay.options, replay.id);
            session.kept.add(cost);
            session.replays[place].done.insert(Arc::clone(topic));
            self.hand_over(index, delivery, &mut Encodings::default(), now);
        }
    }

    /// Kuzzle's rules: see the README.
    fn may_subscribe(&self, filter: &Filter<'_>) -> bool {
        *filter.filter != *self.settings.request_topic
            && (self.settings.allow_pub_sub || !filter.is_wildcard())
    }

    /// Whether a topic or filter is as short and as flat as the options want it.
    pub(super) fn is_within_limits(&self, topic: &str) -> bool {
        let levels = || topic.bytes().filter(|byte| *byte == b'/').count() + 1;
        topic.len() <= self.settings.max_topic_length && levels() <= self.settings.max_topic_levels
    }

    /// Sends retained messages that the client has still to get, as many as it takes now. Answers
    /// whether there will be more when what waits for it is written; else acknowledgements bring it on.
    pub(super) fn replay(&mut self, key: Key, index: u32, now: u64) -> bool {
        let mut nodes = NODES_AT_ONCE;
        while let Some(replay) = self.sessions[index as usize].replays.front() {
            if nodes == 0 {
                return true;
            }
            let Replay { options, id, .. } = *replay;
            let Portion { messages, after } =
                self.retained.matching(replay, MESSAGES_AT_ONCE, &mut nodes, now);
            for message in messages {
                let delivery = replayed(&message, options, id);
                match self.takes(key, index, &delivery) {
                    Takes::Now => {}
                    Takes::WhenWritten => return true,
                    Takes::WhenAcknowledged => return false,
                }
                let session = &mut self.sessions[index as usize];
                let topic = Arc::clone(&delivery.message.topic);
                let is_own = options.no_local && delivery.message.is_from(&session.client_id);
                let mut is_done = false;
                if let Some(replay) = session.replays.front_mut() {
                    replay.after = Some(topic.as_ref().into());
                    is_done = replay.done.remove(&topic);
                }
                if is_done {
                    session.kept.sub(done_cost(&topic));
                }
                // What is a channel now belongs to the host alone.
                if is_own || is_done || self.is_channel(&topic) {
                    continue;
                }
                if delivery.qos == Qos::AtMostOnce {
                    let flags = Flags { id: 0, dup: false, role: Role::Retained };
                    self.send(key, &delivery, flags, &mut Encodings::default(), now);
                } else {
                    self.begin(key, index, delivery, &mut Encodings::default(), now);
                }
            }
            let session = &mut self.sessions[index as usize];
            match (after, session.replays.front_mut()) {
                (Some(after), Some(replay)) => replay.after = Some(after),
                _ => session.end_replay(0),
            }
        }
        false
    }

    /// Whether the client takes a retained message: the memory that waiting ones need is bounded.
    fn takes(&self, key: Key, index: u32, delivery: &Delivery) -> Takes {
        let Some(connection) = self.connection(key) else { return Takes::WhenWritten };
        let session = &self.sessions[index as usize];
        let (queued, cost, limit) = (connection.queued(), delivery.cost(), self.settings.max_queue_size);
        // One is taken in any case, if nothing is before it.
        if queued > 0 && (queued + cost > limit / 2 || !self.memory.has_room(queued, cost)) {
            return Takes::WhenWritten;
        }
        let waits = delivery.qos > Qos::AtMostOnce
            && (!session.pending.is_empty()
                || !session.may_begin(cost, limit)
                || (!session.in_flight.is_empty() && !self.memory.has_room(session.size(), cost)));
        if waits { Takes::WhenAcknowledged } else { Takes::Now }
    }

    pub(super) fn unsubscribe(&mut self, key: Key, session: u32, unsubscribe: &Unsubscribe<'_>) {
        let version = self.sessions[session as usize].version;
        let mut codes = Vec::new();
        for filter in unsubscribe.filters() {
            let existed = self.sessions[session as usize].subscriptions.remove(filter.whole);
            if existed {
                self.forget_subscription(session, filter.whole);
                let session = &mut self.sessions[session as usize];
                session.kept.sub(subscription_cost(filter.whole));
                session.nodes -= nodes_cost(filter.whole);
                session.forget_replay(filter.whole);
                if session.subscriptions.is_empty() {
                    session.subscriptions = Default::default();
                }
            }
            codes.push(if existed { Reason::SUCCESS } else { Reason::NO_SUBSCRIPTION_EXISTED }.0);
        }
        self.push(key, Frame::Other(encode::suback(version, true, unsubscribe.id, &codes).into()));
    }

    /// Removes a subscription of which only the text is known: with which version it was subscribed is
    /// not, and that decides whether one that begins with `$share` is shared.
    pub(super) fn forget_subscription(&mut self, session: u32, text: &str) {
        let parse = |version| Filter::parse(text, version).ok();
        let newer = parse(Version::V5).filter(|filter| filter.share.is_some());
        for filter in [newer, parse(Version::V311)].into_iter().flatten() {
            self.subscriptions.unsubscribe(&filter, session);
        }
    }
}

/// A retained message for a new subscription.
fn replayed(message: &Arc<Message>, options: Options, id: u32) -> Delivery {
    Delivery { retain: true, ..Delivery::new(message, message.qos.min(options.qos), id) }
}

/// What a subscription takes apart from nodes, in bytes, as if nobody else were in its share.
fn subscription_cost(filter: &str) -> usize {
    let share = if filter.starts_with("$share/") { 2 * size_of::<Share>() + filter.len() + 192 } else { 0 };
    2 * size_of::<Subscriber>() + filter.len() + 64 + share
}
