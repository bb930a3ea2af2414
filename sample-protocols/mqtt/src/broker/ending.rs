//! The end of connections and sessions; what they leave behind.

use std::sync::Arc;

use super::away::Absence;
use super::channels::joined_cost;
use super::connection::Stage;
use super::session::Will;
use super::timers::Owner;
use super::{Broker, Frame, Key, WORK_AT_ONCE, soon};
use crate::codec::packet::Disconnect;
use crate::codec::{Reason, Version, encode};

impl Broker {
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
    fn publish_will(&mut self, will: Will, now: u64) {
        let Will { mut message, expiry, .. } = will;
        message.expires = expiry.map(|seconds| now + u64::from(seconds) * 1000);
        if let Some(reason) = self.forbids(&message.topic) {
            tracing::debug!(topic = &*message.topic, %reason, "a will may not be published there");
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
    pub(super) fn is_here(&mut self, index: u32) {
        let session = &mut self.sessions[index as usize];
        if let Some(absence) = session.away.take() {
            self.away.remove(session.network, absence);
        }
    }

    /// Forgets the session. Its will is published at the latest now.
    pub(super) fn end_session(&mut self, index: u32, now: u64) {
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
