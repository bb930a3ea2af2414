//! CONNECT: the beginning of connections and sessions.

use std::net::IpAddr;
use std::sync::Arc;

use super::away;
use super::connection::{Stage, Told};
use super::message::Message;
use super::session::{self, Session, Stage as Exchange, Will};
use super::{Broker, Frame, Key, Next};
use crate::codec::encode::{self, Acknowledge, ConnAck};
use crate::codec::packet::Connect;
use crate::codec::{Packet, Reason};

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
        if connect.version.is_5()
            && let Some(reason) = connect.will.as_ref().and_then(|will| self.forbids(will.topic))
        {
            return Some((reason, "a will cannot be published to this topic"));
        }
        let known = self.by_client_id.contains_key(connect.client_id);
        let will = connect.will.as_ref().map_or(0, |will| will.size());
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
        session.is_bridge = connect.is_bridge;
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
    fn will(&self, session: u32, connect: &Connect<'_>) -> Option<Box<Will>> {
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
        Some(Box::new(Will { message, delay, expiry: will.expiry, at: None }))
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
}
