//! Kuzzle's side: channels, notifications, answers.

use std::sync::Arc;

use bytes::Bytes;
use rustc_hash::FxHashSet;

use super::connection::Stage;
use super::message::Message;
use super::publish::{Encodings, Flags, choose};
use super::session::Delivery;
use super::trie::Subscriber;
use super::{Broker, Key, ReplyTo};
use crate::codec::Qos;

impl Broker {
    /// The connection may listen to the channel from now on. False: it is gone.
    pub(crate) fn join(&mut self, key: Key, channel: &str) -> bool {
        let channel: Arc<str> = match self.channels.get_key_value(channel) {
            Some((name, _)) => Arc::clone(name),
            None => channel.into(),
        };
        let Some(connection) = self.connection_mut(key).filter(|connection| connection.declared) else {
            return false;
        };
        connection.joined.insert(Arc::clone(&channel));
        self.channels.entry(channel).or_default().insert(key);
        true
    }

    /// The connection may no longer listen to the channel.
    pub(crate) fn leave(&mut self, key: Key, channel: &str) {
        if let Some(connection) = self.connection_mut(key) {
            connection.joined.remove(channel);
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
            listeners.extend(choose(share, may_listen).filter(|chosen| may_listen(chosen.session)));
        }
        let message = Message { payload: payload.clone(), ..Message::to_topic(channel) };
        let message = Arc::new(message.kept_in(&self.memory));
        let mut encodings = Encodings::default();
        for listener in listeners {
            let subscriptions = if listener.id == 0 { Vec::new() } else { vec![listener.id] };
            self.deliver(listener.session, notification(&message, subscriptions), &mut encodings, now);
        }
        self.settle(now);
    }

    /// Sends a notification to one connection, subscribed or not.
    pub(crate) fn notify(&mut self, key: Key, channel: &str, payload: &Bytes, now: u64) {
        let message = Message { payload: payload.clone(), ..Message::to_topic(channel) };
        self.send_to(key, &Arc::new(message.kept_in(&self.memory)), true, now);
    }

    /// Sends the answer to a request to the client that has asked, subscribed or not; in development
    /// mode also to those who have subscribed to the response topic.
    pub(crate) fn answer(&mut self, key: Key, to: ReplyTo, payload: &Bytes, now: u64) {
        let is_usual = to.topic.is_none();
        let topic = to.topic.unwrap_or_else(|| Arc::clone(&self.response_topic));
        let message =
            Message { topic, payload: payload.clone(), properties: to.properties, ..Message::to_topic("") };
        let message = Arc::new(message.kept_in(&self.memory));
        self.send_to(key, &message, false, now);
        if self.settings.development_mode && is_usual {
            let Some((subscribers, _)) = self.subscriptions.exact(&message.topic) else { return };
            let others: FxHashSet<u32> = subscribers
                .iter()
                .map(|subscriber| subscriber.session)
                .filter(|session| {
                    self.sessions[*session as usize].connection.is_some_and(|other| other != key)
                })
                .collect();
            let mut encodings = Encodings::default();
            for session in others {
                self.deliver(session, notification(&message, Vec::new()), &mut encodings, now);
            }
        }
        self.settle(now);
    }

    fn send_to(&mut self, key: Key, message: &Arc<Message>, droppable: bool, now: u64) {
        if self.connection(key).is_some_and(|connection| matches!(connection.stage, Stage::Live(_))) {
            let flags = Flags { id: 0, dup: false, droppable };
            self.send(key, &notification(message, Vec::new()), flags, &mut Encodings::default(), now);
        }
    }
}

fn notification(message: &Arc<Message>, subscriptions: Vec<u32>) -> Delivery {
    Delivery { message: Arc::clone(message), qos: Qos::AtMostOnce, retain: false, subscriptions }
}
