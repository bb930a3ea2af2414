//! The beginning and the end of connections and sessions; wills.

use std::net::IpAddr;
use std::sync::Arc;

use super::away::{self, Absence};
use super::channels::joined_cost;
use super::connection::{Stage, Told};
use super::message::Message;
use super::session::{self, Session, Stage as Exchange, Will as Promise};
use super::timers::Owner;
use super::{Broker, Frame, Key, Next, WORK_AT_ONCE, soon};
use crate::codec::encode::{self, Acknowledge, ConnAck};
use crate::codec::packet::{Connect, Disconnect, Will};
use crate::codec::{Packet, Reason, Version};

/// What the host says to a new client.
#[derive(Debug)]
pub(crate) struct Admission<'a> {
    /// Used if the client brings no id of its own.
    pub(crate) client_id: &'a str,
    /// Where the client is.
    pub(crate) address: Option<IpAddr>,
}

/// As long as that the standard wants client ids to be accepted, in bytes.
const CLIENT_ID: usize = 23;

/// So many topic aliases are told to a client at most.
const ALIASES: u16 = 16;

impl Broker {
    /// The first packet: everything but the host's own opinion.
    pub(super) fn check_connect(&mut self, key: Key, connect: &Connect<'_>, now: u64) -> Next {
        let refusal = self.refusal(connect);
        let Some(connection) = self.connection_mut(key) else { return Next::Nothing };
        connection.version = connect.version;
        connection.reasons = connect.request_problem_information;
        connection.maximum = connect.maximum_packet_size.map_or(usize::MAX, |size| size as usize);
        match refusal {
            Some((reason, why)) => {
                self.refuse(key, reason, why, now);
                Next::Nothing
            }
            None => Next::Admit,
        }
    }

    fn refusal(&self, connect: &Connect<'_>) -> Option<(Reason, &'static str)> {
        let settings = &self.settings;
        if connect.authentication_method.is_some() {
            let text = "this server knows no enhanced authentication: connect without a method";
            return Some((Reason::BAD_AUTHENTICATION_METHOD, text));
        }
        let ceiling = settings.max_keep_alive;
        if !connect.version.is_5() && ceiling > 0 && (connect.keep_alive == 0 || connect.keep_alive > ceiling)
        {
            return Some((Reason::NOT_AUTHORIZED, "the keep-alive is above this server's ceiling"));
        }
        if connect.client_id.len() > settings.max_topic_length.max(CLIENT_ID) {
            return Some((Reason::CLIENT_ID_INVALID, "the client id is longer than this server takes"));
        }
        if let Some(will) = connect.will.as_ref().filter(|_| connect.version.is_5()) {
            let is_free = self.may_publish(will.topic) && !self.is_channel(will.topic);
            if !is_free || *will.topic == *settings.request_topic {
                return Some((Reason::NOT_AUTHORIZED, "a will cannot be published to this topic"));
            }
            if !self.is_within_limits(will.topic) {
                return Some((
                    Reason::TOPIC_NAME_INVALID,
                    "the will's topic is longer than this server takes",
                ));
            }
        }
        let known = self.by_client_id.contains_key(connect.client_id);
        let will = connect.will.as_ref().map_or(0, Will::size);
        // Who comes back may empty its queue.
        let has_room = match known {
            true => self.memory.has_room(0, will),
            false => self.memory.has_room_for_another(session::BASE + connect.client_id.len() + will),
        };
        if !has_room {
            return Some((Reason::QUOTA_EXCEEDED, "this server has no memory left"));
        }
        if !known && self.sessions.len() >= settings.max_sessions && self.away.len() == 0 {
            return Some((
                Reason::QUOTA_EXCEEDED,
                "there are as many clients as this server keeps sessions of",
            ));
        }
        None
    }

    /// Answers CONNECT with a refusal, and closes.
    pub(crate) fn refuse(&mut self, key: Key, reason: Reason, why: &str, now: u64) {
        let Some(connection) = self.connection_mut(key) else { return };
        let why = connection.reasons.then_some(why);
        let mut answer = encode::connack_refused(connection.version, reason, why);
        if answer.len() > connection.maximum {
            answer = encode::connack_refused(connection.version, reason, None);
        }
        self.push(key, Frame::Other(answer.into()));
        self.end(key, None, true, now);
        self.settle(now);
    }

    /// The host takes the client: answers CONNECT, and goes on with its session, or begins one.
    /// From now on the host has to be told when it is removed.
    pub(crate) fn admit(&mut self, key: Key, packet: &Packet<'_>, admission: &Admission<'_>, now: u64) {
        let Packet::Connect(connect) = packet else { return };
        if self.connection(key).is_none_or(|connection| connection.stage != Stage::Waiting) {
            return;
        }
        let assigned = connect.client_id.is_empty().then_some(admission.client_id);
        let client_id = assigned.unwrap_or(connect.client_id);
        let limits = &self.settings;
        let ceiling = limits.max_keep_alive;
        let over = ceiling > 0 && (connect.keep_alive == 0 || connect.keep_alive > ceiling);
        let server_keep_alive = (connect.version.is_5() && over).then_some(ceiling);
        let keep_alive = server_keep_alive.unwrap_or(connect.keep_alive);
        let expiry = connect.session_expiry.min(limits.max_session_expiry);
        let window = usize::from(limits.max_in_flight.min(connect.receive_maximum));
        let topic = Arc::clone(&self.response_topic);
        let mut answer = ConnAck {
            session_present: false,
            session_expiry: (expiry != connect.session_expiry).then_some(expiry),
            receive_maximum: limits.receive_maximum,
            maximum_packet_size: u32::try_from(limits.max_packet_size).unwrap_or(u32::MAX),
            assigned_client_id: assigned,
            topic_alias_maximum: limits.topic_alias_maximum,
            server_keep_alive,
            response_information: connect.request_response_information.then_some(&*topic),
        };
        let connection = &mut self.connections[key.index as usize];
        connection.declared = true;
        if encode::connack(connect.version, &answer).len() > connection.maximum {
            return self.refuse(key, Reason::PACKET_TOO_LARGE, "", now);
        }
        let network = admission.address.map(away::network);
        let (index, present) = self.session(client_id, connect, network, now);
        answer.session_present = present;
        let answer = encode::connack(connect.version, &answer);
        let will = self.will(index, connect);
        self.is_here(index);
        let session = &mut self.sessions[index as usize];
        session.version = connect.version;
        session.connection = Some(key);
        session.expiry = expiry;
        session.outlives = connect.session_expiry > 0;
        session.network = network;
        session.ends = None;
        session.window = window;
        session.will = will;
        self.set_session_timer(index);
        let silence = u64::from(keep_alive) * 1500;
        self.waiting -= 1;
        let connection = &mut self.connections[key.index as usize];
        connection.stage = Stage::Live(index);
        connection.version = connect.version;
        connection.silence = silence;
        connection.last_heard = now;
        let aliases = connect.topic_alias_maximum.min(ALIASES);
        connection.told =
            (aliases > 0).then(|| Box::new(Told { maximum: aliases, aliases: foldhash::HashMap::default() }));
        self.set_connection_timer(key.index, (silence > 0).then(|| now + silence));
        self.push(key, Frame::Other(answer.into()));
        self.resume(key, index, now);
        self.settle(now);
    }

    /// The client's session, and whether it was there. Another connection with it is closed.
    fn session(
        &mut self,
        client_id: &str,
        connect: &Connect<'_>,
        network: Option<IpAddr>,
        now: u64,
    ) -> (u32, bool) {
        let known = self.by_client_id.get(client_id);
        if let Some(old) = known.and_then(|index| self.sessions[*index as usize].connection) {
            let why = "another connection uses the client id";
            self.end(old, Some((Reason::SESSION_TAKEN_OVER, why)), true, now);
        }
        // The old connection's session may have ended with it.
        if let Some(index) = self.by_client_id.get(client_id).copied() {
            if !connect.clean_start {
                return (index, true);
            }
            self.end_session(index, now);
        }
        while self.sessions.len() >= self.settings.max_sessions
            && let Some(first) = self.away.makes_room_for(network)
        {
            tracing::debug!(client = &*self.sessions[first as usize].client_id, "a session makes room");
            self.end_session(first, now);
        }
        let session = Session::new(client_id, connect.version, &self.memory);
        let client_id = Arc::clone(&session.client_id);
        let index = self.sessions.insert(session) as u32;
        self.by_client_id.insert(client_id, index);
        (index, false)
    }

    /// The will of a CONNECT. Whether it may be published is looked at again when it is.
    fn will(&self, session: u32, connect: &Connect<'_>) -> Option<Box<Promise>> {
        let will = connect.will.as_ref()?;
        let message = Message {
            topic: will.topic.into(),
            payload: will.payload.to_vec().into(),
            qos: will.qos,
            retain: will.retain,
            properties: will.properties.forwarded(),
            expires: None,
            from: Some(Arc::clone(&self.sessions[session as usize].client_id)),
            kept: None,
        }
        .kept_in(&self.memory);
        let delay = u64::from(will.delay) * 1000;
        Some(Box::new(Promise { message, delay, expiry: will.expiry, at: None }))
    }

    /// Sends again what the client has not acknowledged, in order, then what waited for it; no more
    /// than it takes now, which may be less than before.
    fn resume(&mut self, key: Key, index: u32, now: u64) {
        let session = &mut self.sessions[index as usize];
        let (version, mut places) = (session.version, session.window);
        let mut again = Vec::new();
        for in_flight in &mut session.in_flight {
            in_flight.sent = places > 0 || matches!(in_flight.stage, Exchange::Released);
            if in_flight.sent {
                places = places.saturating_sub(1);
                again.push(in_flight.clone());
            }
        }
        for in_flight in again {
            match in_flight.stage {
                Exchange::Sent(delivery) => self.send_again(key, index, in_flight.id, &delivery, now),
                Exchange::Released => {
                    self.acknowledge(key, version, Acknowledge::PubRel, in_flight.id, Reason::SUCCESS);
                }
            }
        }
        self.pump(key, index, now);
    }

    /// DISCONNECT of the client.
    pub(super) fn left(&mut self, key: Key, index: u32, disconnect: Disconnect, now: u64) {
        let session = &mut self.sessions[index as usize];
        if let Some(expiry) = disconnect.session_expiry {
            if !session.outlives && expiry != 0 {
                let text = "a session that ends with its connection cannot be prolonged at its end";
                return self.fail(key, Reason::PROTOCOL_ERROR, text, now);
            }
            session.expiry = expiry.min(self.settings.max_session_expiry);
        }
        self.end(key, None, disconnect.reason != Reason::SUCCESS, now);
    }

    /// The client has done what it must not: it is told why if it can be, and closed.
    pub(super) fn fail(&mut self, key: Key, reason: Reason, why: &'static str, now: u64) {
        tracing::debug!(client = self.client_id(key), %reason, why, "a client is closed");
        self.end(key, Some((reason, why)), true, now);
    }

    /// Ends the connection: DISCONNECT with a reason, if there is one and the client understands it.
    /// Its session goes on as long as it may. `will`: publish the will.
    pub(super) fn end(&mut self, key: Key, reason: Option<(Reason, &str)>, will: bool, now: u64) {
        let delay = self.settings.disconnect_delay;
        let Some(connection) = self.connection_mut(key) else { return };
        let stage = std::mem::replace(&mut connection.stage, Stage::Closed);
        if stage == Stage::Closed {
            return;
        }
        if let (Stage::Live(_), Some((reason, why)), Version::V5) = (stage, reason, connection.version) {
            // What is queued would only keep it from hearing why.
            connection.shed();
            let mut last = encode::disconnect(reason, connection.reasons.then_some(why));
            if last.len() > connection.maximum {
                last = encode::disconnect(reason, None);
            }
            if last.len() <= connection.maximum {
                connection.push(Frame::Other(last.into()));
            }
        }
        connection.forget_aliases();
        let declared = connection.declared;
        if stage == Stage::Waiting {
            self.waiting -= 1;
        }
        self.mark(key);
        self.set_connection_timer(key.index, declared.then_some(now + delay));
        if let Stage::Live(session) = stage {
            self.detach(session, will, now);
        }
    }

    /// The host wants the client closed, and need not be told that it is removed later.
    pub(crate) fn disconnect(&mut self, key: Key, reason: Reason, why: &str, now: u64) {
        let why = if why.is_empty() { reason.text() } else { why };
        // When the server ends there is soon nobody left to hear a will.
        self.end(key, Some((reason, why)), reason != Reason::SHUTTING_DOWN, now);
        if self.connection(key).is_some() {
            self.undeclare(key);
        }
        self.settle(now);
    }

    /// The session has lost its connection.
    fn detach(&mut self, index: u32, will: bool, now: u64) {
        let session = &mut self.sessions[index as usize];
        session.connection = None;
        let expiry = u64::from(session.expiry) * 1000;
        if !will {
            session.will = None;
        }
        if session.expiry == 0 {
            return self.end_session(index, now);
        }
        session.ends = (session.expiry != u32::MAX).then_some(now + expiry);
        let absence = Absence { ends: session.ends.unwrap_or(u64::MAX), since: now, session: index };
        session.away = Some(absence);
        self.away.insert(session.network, absence);
        if let Some(will) = &mut session.will {
            will.at = Some(now + will.delay);
        }
        self.set_session_timer(index);
        self.session_due(index, now);
    }

    /// Publishes the will and ends the session, if it is time.
    pub(super) fn session_due(&mut self, index: u32, now: u64) {
        let session = &mut self.sessions[index as usize];
        if session.ends.is_some_and(|at| at <= now) {
            return self.end_session(index, now);
        }
        if session.pending_expires.is_some_and(|at| soon(at) <= now) {
            session.drop_expired(now);
        }
        let due = session.will.as_ref().is_some_and(|will| will.at.is_some_and(|at| at <= now));
        let will = if due { session.will.take() } else { None };
        self.set_session_timer(index);
        if let Some(will) = will {
            self.publish_will(*will, now);
        }
    }

    /// A will is routed when what has led to it is done: see [`Broker::settle`].
    fn publish_will(&mut self, will: Promise, now: u64) {
        let Promise { mut message, expiry, .. } = will;
        message.expires = expiry.map(|seconds| now + u64::from(seconds) * 1000);
        let topic = &message.topic;
        let is_request = **topic == *self.settings.request_topic;
        if is_request || !self.may_publish(topic) || self.is_channel(topic) || !self.is_within_limits(topic) {
            tracing::debug!(topic = &**topic, "a will may not be published there");
            return;
        }
        self.wills.push_back(Arc::new(message));
    }

    /// Does what has come up meanwhile, from a loop: a will can cost clients their connections, and
    /// so lead to further wills. If it is much, others have their turn before the rest.
    pub(super) fn settle(&mut self, now: u64) {
        let mut work = 0;
        loop {
            if let Some(key) = self.overflowing.pop() {
                self.fail(key, Reason::QUOTA_EXCEEDED, "more waits for the client than is kept for one", now);
            } else if let Some(key) = self.lost.pop() {
                self.fail(key, Reason::PACKET_TOO_LARGE, "an answer is larger than the client takes", now);
            } else if work >= WORK_AT_ONCE {
                let at = (!self.wills.is_empty() || !self.orphans.is_empty()).then_some(now);
                return self.timers.set(Owner::Leftovers, &mut self.leftovers, at);
            } else if let Some(will) = self.wills.pop_front() {
                work += 1 + self.route(&will, now);
            } else if let Some(orphan) = self.orphans.pop_front() {
                work += 1;
                self.adopt(&orphan, now);
            } else {
                return;
            }
        }
    }

    /// The session is no longer without its client.
    fn is_here(&mut self, index: u32) {
        let session = &mut self.sessions[index as usize];
        if let Some(absence) = session.away.take() {
            self.away.remove(session.network, absence);
        }
    }

    /// Forgets the session. Its will is published at the latest now.
    fn end_session(&mut self, index: u32, now: u64) {
        self.is_here(index);
        let session = &mut self.sessions[index as usize];
        let will = session.will.take();
        self.timers.set(Owner::Session(index), &mut session.deadline, None);
        let session = self.sessions.remove(index as usize);
        self.by_client_id.remove(&session.client_id);
        for filter in &session.subscriptions {
            self.forget_subscription(index, filter);
        }
        if let Some(will) = will {
            self.publish_will(*will, now);
        }
        self.orphans.extend(session.orphans());
    }

    pub(super) fn connection_due(&mut self, index: u32, now: u64) {
        let connection = &self.connections[index as usize];
        let key = connection.key;
        match connection.stage {
            Stage::Waiting => self.end(key, None, true, now),
            Stage::Live(_) => {
                let at = connection.last_heard + connection.silence;
                if at > now {
                    return self.set_connection_timer(index, Some(at));
                }
                self.set_connection_timer(index, None);
                let worker = self.connections[index as usize].worker;
                self.silent[worker].push(key);
            }
            Stage::Closed => self.undeclare(key),
        }
    }

    /// Whether a connection of [`Broker::take_silent`] is there all the same: what it has sent is not read
    /// yet, or not to be read for now.
    pub(crate) fn judge(&mut self, key: Key, is_there: bool, now: u64) {
        let Some(connection) = self.connection_mut(key) else { return };
        if !matches!(connection.stage, Stage::Live(_)) {
            return;
        }
        if is_there {
            connection.last_heard = now;
        }
        let at = connection.last_heard + connection.silence;
        if at > now {
            self.set_connection_timer(key.index, Some(at));
        } else {
            self.fail(key, Reason::KEEP_ALIVE_TIMEOUT, "nothing was heard for too long", now);
            self.settle(now);
        }
    }

    /// The host need not know the connection any more.
    fn undeclare(&mut self, key: Key) {
        self.set_connection_timer(key.index, None);
        let connection = &mut self.connections[key.index as usize];
        for channel in std::mem::take(&mut connection.joined) {
            self.connections[key.index as usize].kept.sub(joined_cost(&channel));
            self.leave_index(key, &channel);
        }
        let connection = &mut self.connections[key.index as usize];
        if std::mem::take(&mut connection.declared) {
            self.removed.push(key);
        }
        self.free(key);
    }

    /// Forgets the connection when nobody knows it any more.
    pub(super) fn free(&mut self, key: Key) {
        let Some(connection) = self.connection(key) else { return };
        if !connection.network && !connection.declared {
            self.set_connection_timer(key.index, None);
            self.connections.remove(key.index as usize);
        }
    }

    pub(crate) fn client_id(&self, key: Key) -> Option<&str> {
        match self.connection(key)?.stage {
            Stage::Live(session) => Some(&self.sessions[session as usize].client_id),
            _ => None,
        }
    }
}
