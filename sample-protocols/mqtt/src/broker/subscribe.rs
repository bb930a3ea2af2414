//! SUBSCRIBE and UNSUBSCRIBE.

use rustc_hash::FxHashMap;

use super::publish::Encodings;
use super::session::Delivery;
use super::trie::Subscriber;
use super::{Broker, Frame, Key};
use crate::codec::encode;
use crate::codec::packet::{Options, RetainHandling, Subscribe, Unsubscribe};
use crate::codec::topic::Filter;
use crate::codec::{Reason, Version};

impl Broker {
    pub(super) fn subscribe(&mut self, key: Key, session: u32, subscribe: &Subscribe<'_>, now: u64) {
        let version = self.sessions[session as usize].version;
        if !version.is_5() && subscribe.filters().any(|(filter, _)| !self.may_subscribe(&filter)) {
            return self.fail(key, Reason::NOT_AUTHORIZED, "a filter may not be subscribed to", now);
        }
        let mut codes = Vec::new();
        let mut wanted: Vec<(&str, Options)> = Vec::new();
        let mut places = FxHashMap::default();
        for (number, (filter, options)) in subscribe.filters().enumerate() {
            let subscribed = if number < self.settings.max_subscriptions {
                self.subscribe_one(session, &filter, options, subscribe.subscription_id)
            } else {
                Err(Reason::QUOTA_EXCEEDED)
            };
            match subscribed {
                Ok(existed) => {
                    codes.push(options.qos as u8);
                    let retained = match options.retain_handling {
                        RetainHandling::Always => true,
                        RetainHandling::IfNew => !existed,
                        RetainHandling::Never => false,
                    };
                    if retained && filter.share.is_none() {
                        // A filter that comes several times is looked for once, with its last options.
                        let place = *places.entry(filter.filter).or_insert(wanted.len());
                        match wanted.get_mut(place) {
                            Some(known) => known.1 = options,
                            None => wanted.push((filter.filter, options)),
                        }
                    }
                }
                Err(reason) if version.is_5() => codes.push(reason.0),
                Err(reason) if version == Version::V31 => {
                    return self.fail(key, reason, "a filter is not accepted", now);
                }
                Err(_) => codes.push(0x80),
            }
        }
        self.push(key, Frame::Other(encode::suback(version, false, subscribe.id, &codes).into()));
        for (filter, options) in wanted {
            self.send_retained(key, session, filter, options, subscribe.subscription_id, now);
        }
    }

    /// Answers whether the subscription existed.
    fn subscribe_one(
        &mut self,
        session: u32,
        filter: &Filter<'_>,
        options: Options,
        id: u32,
    ) -> Result<bool, Reason> {
        if !self.may_subscribe(filter) {
            return Err(Reason::NOT_AUTHORIZED);
        }
        if !self.is_within_limits(filter.whole) {
            return Err(Reason::TOPIC_FILTER_INVALID);
        }
        let subscriptions = &mut self.sessions[session as usize].subscriptions;
        if !subscriptions.contains(filter.whole) {
            if subscriptions.len() >= self.settings.max_subscriptions {
                return Err(Reason::QUOTA_EXCEEDED);
            }
            subscriptions.insert(filter.whole.into());
        }
        Ok(self.subscriptions.subscribe(filter, Subscriber { session, id, options }))
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

    fn send_retained(&mut self, key: Key, session: u32, filter: &str, options: Options, id: u32, now: u64) {
        if self.is_overflowing(key) {
            return;
        }
        for message in self.retained.matching(filter, now) {
            if self.is_overflowing(key) {
                return;
            }
            // What is a channel now belongs to the host alone.
            if self.is_channel(&message.topic) {
                continue;
            }
            let subscriptions = if id == 0 { Vec::new() } else { vec![id] };
            let qos = message.qos.min(options.qos);
            self.deliver(
                session,
                Delivery { message, qos, retain: true, subscriptions },
                &mut Encodings::default(),
                now,
            );
        }
    }

    /// Whether it is to be closed, as too much waits for it.
    fn is_overflowing(&self, key: Key) -> bool {
        self.connection(key).is_none_or(|connection| connection.overflowing)
    }

    pub(super) fn unsubscribe(&mut self, key: Key, session: u32, unsubscribe: &Unsubscribe<'_>) {
        let version = self.sessions[session as usize].version;
        let mut codes = Vec::new();
        for filter in unsubscribe.filters() {
            let subscriptions = &mut self.sessions[session as usize].subscriptions;
            let existed = subscriptions.remove(filter.whole);
            if subscriptions.is_empty() {
                *subscriptions = Default::default();
            }
            if existed {
                self.forget_subscription(session, filter.whole);
            }
            codes.push(if existed { Reason::SUCCESS } else { Reason::NO_SUBSCRIPTION_EXISTED }.0);
        }
        self.push(key, Frame::Other(encode::suback(version, true, unsubscribe.id, &codes).into()));
    }

    /// Removes a subscription of which only the text is known: with which version it was subscribed is
    /// not, and that decides whether it is shared.
    pub(super) fn forget_subscription(&mut self, session: u32, filter: &str) {
        for version in [Version::V5, Version::V311] {
            if let Ok(filter) = Filter::parse(filter, version) {
                self.subscriptions.unsubscribe(&filter, session);
            }
        }
    }
}
