//! PUBLISH of clients: what they may publish, and what becomes of it.

use std::sync::Arc;

use super::message::Message;
use super::{Broker, Key, Next, ReplyTo};
use crate::codec::encode::{self, Acknowledge};
use crate::codec::packet::Publish;
use crate::codec::{Qos, Reason};

/// Where a client that is to be told something by the server itself is told.
const SERVER_NOTIFICATIONS: &str = "kuzzle:notification:server";

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
        if !is_request && let Some(reason) = self.forbids(topic) {
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
        if publish.qos == Qos::ExactlyOnce
            && !self.sessions[session as usize].add_incoming(publish.id, &self.memory)
        {
            let text = "there is no memory left for it";
            self.refuse_publish(key, publish, Reason::QUOTA_EXCEEDED, text, now);
            return Next::Nothing;
        }
        let can_be_told = version.is_5() && publish.qos > Qos::AtMostOnce;
        if can_be_told && message.as_ref().is_some_and(|message| !self.retained.has_room(message)) {
            self.sessions[session as usize].release_incoming(publish.id);
            let text = "there is no room for a further retained message";
            self.refuse_publish(key, publish, Reason::QUOTA_EXCEEDED, text, now);
            return Next::Nothing;
        }
        if publish.qos == Qos::ExactlyOnce
            && let Some(connection) = self.connection_mut(key)
        {
            connection.receiving = connection.receiving.saturating_add(1);
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

    /// Why a message to others may not be published to the topic, by Kuzzle's rules (see the README) and
    /// by its length; `None`: it may.
    pub(super) fn forbids(&self, topic: &str) -> Option<Reason> {
        let settings = &self.settings;
        let is_hosts = *topic == *settings.request_topic
            || *topic == *settings.response_topic
            || topic == SERVER_NOTIFICATIONS
            || self.is_channel(topic);
        if !settings.allow_pub_sub || is_hosts {
            Some(Reason::NOT_AUTHORIZED)
        } else if self.is_within_limits(topic) {
            None
        } else {
            Some(Reason::TOPIC_NAME_INVALID)
        }
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
}

fn reply_to(publish: &Publish<'_>) -> ReplyTo {
    ReplyTo {
        topic: publish.response_topic.map(Into::into),
        properties: publish.correlation.map(encode::correlation_data).unwrap_or_default(),
    }
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
