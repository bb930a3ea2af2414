//! Kuzzle's side: channels, notifications, answers.

use std::sync::Arc;

use bytes::Bytes;

use super::connection::Stage;
use super::delivery::choose;
use super::encodings::Encodings;
use super::exchange::Flags;
use super::frame::Role;
use super::message::Message;
use super::session::{Delivery, Rank};
use super::trie::Subscriber;
use super::{Broker, Key, ReplyTo};
use crate::codec::Qos;

/// What has become of a wish to join a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joined {
    Yes,
    /// The connection is not there any more.
    Gone,
    /// A limit is reached, or the memory.
    TooMany,
}

impl Broker {
    /// The connection may listen to the channel from now on. One can join as many channels as it can
    /// have subscriptions.
    pub(crate) fn join(&mut self, key: Key, channel: &str) -> Joined {
        let name: Arc<str> = match self.channels.get_key_value(channel) {
            Some((name, _)) => Arc::clone(name),
            None => channel.into(),
        };
        let (most, cost) = (self.settings.max_subscriptions, joined_cost(channel));
        let Some(connection) = self.connections.get_mut(key.index as usize) else { return Joined::Gone };
        if connection.key != key || !connection.declared {
            return Joined::Gone;
        }
        if !connection.joined.contains(channel) {
            if connection.joined.len() >= most || !self.memory.has_room(connection.kept.bytes(), cost) {
                return Joined::TooMany;
            }
            connection.kept.add(cost);
            connection.joined.insert(Arc::clone(&name));
            self.channels.entry(name).or_default().insert(key);
        }
        Joined::Yes
    }

    /// The connection may no longer listen to the channel.
    pub(crate) fn leave(&mut self, key: Key, channel: &str) {
        if let Some(connection) = self.connection_mut(key)
            && connection.joined.remove(channel)
        {
            connection.kept.sub(joined_cost(channel));
        }
        self.leave_index(key, channel);
    }

    pub(super) fn leave_index(&mut self, key: Key, channel: &str) {
        if let Some(members) = self.channels.get_mut(channel) {
            members.remove(&key);
            if members.is_empty() {
                self.channels.remove(channel);
            }
        }
    }

    /// Sends a notification to those who have subscribed to the channel by its name and have joined
    /// it; with `openChannels` to all who have subscribed to it.
    pub(crate) fn broadcast(&mut self, channel: &str, payload: &Bytes, now: u64) {
        let open = self.settings.open_channels;
        let members = self.channels.get(channel);
        if !open && members.is_none() {
            return;
        }
        let sessions = &self.sessions;
        let may_listen = |session: u32| {
            let connection = sessions[session as usize].connection;
            connection.is_some_and(|key| open || members.is_some_and(|members| members.contains(&key)))
        };
        let Some((subscribers, shares)) = self.subscriptions.exact(channel) else { return };
        let mut listeners: Vec<Subscriber> =
            subscribers.iter().filter(|subscriber| may_listen(subscriber.session)).copied().collect();
        for share in shares {
            let rank =
                |member: &Subscriber| if may_listen(member.session) { Rank::Ready } else { Rank::Away };
            listeners.extend(choose(share, rank).filter(|chosen| may_listen(chosen.session)));
        }
        let message = Message { payload: payload.clone(), ..Message::to_topic(channel) };
        let message = Arc::new(message.kept_in(&self.memory));
        let mut encodings = Encodings::default();
        for listener in listeners {
            self.hand_over(listener.session, notification(&message, listener.id), &mut encodings, now);
        }
        self.settle(now);
    }

    /// Sends a notification to one connection, subscribed or not.
    pub(crate) fn notify(&mut self, key: Key, channel: &str, payload: &Bytes, now: u64) {
        let message = Message { payload: payload.clone(), ..Message::to_topic(channel) };
        self.send_to(key, &Arc::new(message.kept_in(&self.memory)), Role::Droppable, now);
        self.settle(now);
    }

    /// Sends the answer to a request to the client that has asked, subscribed or not; in development
    /// mode also to those who have subscribed to the response topic.
    pub(crate) fn answer(&mut self, key: Key, to: ReplyTo, payload: &Bytes, now: u64) {
        let is_usual = to.topic.is_none();
        let topic = to.topic.unwrap_or_else(|| Arc::clone(&self.response_topic));
        let message =
            Message { topic, payload: payload.clone(), properties: to.properties, ..Message::to_topic("") };
        let message = Arc::new(message.kept_in(&self.memory));
        self.send_to(key, &message, Role::Answer, now);
        if self.settings.development_mode && is_usual {
            let is_other = |subscriber: &&Subscriber| {
                let connection = self.sessions[subscriber.session as usize].connection;
                connection.is_some_and(|other| other != key)
            };
            let found = self.subscriptions.exact(&message.topic).into_iter();
            let others: Vec<Subscriber> =
                found.flat_map(|(subscribers, _)| subscribers).filter(is_other).copied().collect();
            let mut encodings = Encodings::default();
            for other in others {
                self.hand_over(other.session, notification(&message, other.id), &mut encodings, now);
            }
        }
        self.settle(now);
    }

    fn send_to(&mut self, key: Key, message: &Arc<Message>, role: Role, now: u64) {
        if self.connection(key).is_some_and(|connection| matches!(connection.stage, Stage::Live(_))) {
            let flags = Flags { id: 0, dup: false, role };
            self.send(key, &notification(message, 0), flags, &mut Encodings::default(), now);
        }
    }
}

/// For the subscription of this identifier; 0: without one.
fn notification(message: &Arc<Message>, id: u32) -> Delivery {
    Delivery::new(message, Qos::AtMostOnce, id)
}

/// What it takes that a connection has joined a channel, as if it were the only one there.
pub(super) fn joined_cost(channel: &str) -> usize {
    channel.len() + 256
}
