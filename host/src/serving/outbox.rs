//! The order of what reaches a protocol for one connection: join, leave, notify, disconnect and
//! completions, in the order of the kernel's state changes, one at a time.
//!
//! Entries are appended while the kernel holds the lock of the change that they tell, and delivered
//! later by whoever claims the outbox; the lock is never held across a call into a protocol.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kuzzle_kernel::{Channel, Payload, Response};

use super::abi::Completion;
use super::access_log::Record;
use super::queue;
use super::sync::{AtomicBool, AtomicU8, Mutex};

/// Entries of one connection that may wait; above it the connection is disconnected. In models few.
pub(crate) const BOUND: usize = if cfg!(feature = "loom") { 5 } else { 65_536 };

/// Bytes of one connection that may wait.
const MOST_BYTES: usize = 16 << 20;

/// Entries that one drainer delivers before it passes the rest on. In models few.
pub(crate) const BATCH: usize = if cfg!(feature = "loom") { 2 } else { 64 };

/// Why a connection must be closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DisconnectReason {
    /// Asked for by the API.
    Requested,
    /// The host is shutting down.
    Shutdown,
    /// Too much is waiting for it.
    Overflow,
}

/// One call that is due.
pub(crate) enum Entry {
    Join {
        channel: Channel,
        ticket: Ticket,
    },
    Leave(Channel),
    Notify {
        channels: Arc<[Channel]>,
        payload: Payload,
    },
    /// What a join brings about, for all who are in the channels: it comes after the join.
    Broadcast {
        channels: Arc<[Channel]>,
        payload: Payload,
    },
    Disconnect {
        reason: DisconnectReason,
        message: Box<str>,
    },
    Complete(Box<Answer>),
}

impl Entry {
    /// Whether others wait for it, whatever becomes of the connection.
    fn outlives(&self) -> bool {
        matches!(self, Self::Complete(_) | Self::Broadcast { .. })
    }

    /// The bytes that it takes while it waits, what is small left aside.
    fn weight(&self) -> usize {
        match self {
            Self::Notify { channels, payload } | Self::Broadcast { channels, payload } => {
                queue::weight(channels, payload)
            }
            Self::Complete(answer) => answer.response.content.as_bytes().len(),
            Self::Join { .. } | Self::Leave(_) | Self::Disconnect { .. } => 0,
        }
    }
}

/// Which join, to know it again when its request is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ticket(u64);

impl Ticket {
    /// One that no other join has.
    pub(crate) fn new() -> Self {
        static TAKEN: AtomicU64 = AtomicU64::new(0);
        Self(TAKEN.fetch_add(1, Ordering::Relaxed))
    }
}

/// A response and whom to give it to.
pub(crate) struct Answer {
    pub completion: Completion,
    pub response: Response,
    /// The join that the protocol has to accept before the response is true.
    pub join: Option<Ticket>,
    /// What is logged of the request, if requests are logged.
    pub access: Option<Box<Record>>,
}

/// How far a connection has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Open,
    /// A disconnect is due or done: nothing but completions follows.
    Closing,
    /// Removed: nothing but completions follows.
    Gone,
}

struct State {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// Joins that were refused and whose subscriber has not been told yet.
    refused: Vec<Ticket>,
    phase: Phase,
}

/// A flag: somebody delivers.
const CLAIMED: u8 = 1;
/// A flag: something waits, or the connection has ended; the state has to be looked at.
const BUSY: u8 = 2;

/// What is on its way to a protocol for one connection.
pub struct Outbox {
    state: Mutex<State>,
    /// Changed under the lock, but for this: while there are none, an outbox is claimed without it, and
    /// while nothing else has happened released.
    flags: AtomicU8,
    /// Too much has waited: nothing more is executed for the connection.
    overflowed: AtomicBool,
    /// The protocol's thread has been asked to drain, and has not come to it yet.
    awaited: AtomicBool,
}

/// What became of an appended entry.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Appended {
    /// It waits, and nothing did before: the appender sees to it that somebody drains.
    First,
    /// It waits behind others, so somebody is about to drain.
    Behind,
    /// The connection has ended: dropped.
    Dropped,
    /// The bound is passed: what waited is dropped, and a disconnect waits instead.
    Overflow,
}

impl Default for Outbox {
    fn default() -> Self {
        let state = State { entries: VecDeque::new(), bytes: 0, refused: Vec::new(), phase: Phase::Open };
        Self {
            state: Mutex::new(state),
            flags: AtomicU8::new(0),
            overflowed: AtomicBool::new(false),
            awaited: AtomicBool::new(false),
        }
    }
}

impl Outbox {
    /// Appends, and calls nobody.
    pub(crate) fn append(&self, entry: Entry) -> Appended {
        let mut state = self.state.lock();
        let is_completion = matches!(entry, Entry::Complete(_));
        if state.phase != Phase::Open && !is_completion {
            return Appended::Dropped;
        }
        let is_claimed = self.flags.fetch_or(BUSY, Ordering::AcqRel) & CLAIMED != 0;
        let appended =
            if is_claimed || !state.entries.is_empty() { Appended::Behind } else { Appended::First };
        let is_full = state.entries.len() >= BOUND
            || (state.bytes + entry.weight() > MOST_BYTES && !state.entries.is_empty());
        if matches!(entry, Entry::Disconnect { .. }) {
            state.phase = Phase::Closing;
        } else if is_full && state.phase == Phase::Open {
            self.overflowed.store(true, Ordering::Relaxed);
            state.phase = Phase::Closing;
            state.retain(Entry::outlives);
            if is_completion {
                state.push(entry);
            }
            state.push(Entry::Disconnect {
                reason: DisconnectReason::Overflow,
                message: "too much is waiting for this connection".into(),
            });
            return Appended::Overflow;
        }
        state.push(entry);
        appended
    }

    /// Whether the caller is to ask the protocol's thread to drain: nobody has, since it did so last.
    pub(crate) fn awaits_drain(&self) -> bool {
        !self.awaited.swap(true, Ordering::AcqRel)
    }

    /// The protocol's thread comes to drain. What is appended from now on, it may miss.
    pub(crate) fn is_drained(&self) {
        self.awaited.store(false, Ordering::SeqCst);
    }

    /// Whether a join of this channel waits.
    pub(crate) fn is_joining(&self, channel: &str) -> bool {
        let joins =
            |entry: &Entry| matches!(entry, Entry::Join { channel: waiting, .. } if **waiting == *channel);
        self.state.lock().entries.iter().any(joins)
    }

    /// Whether too much has waited for the connection.
    pub(crate) fn has_overflowed(&self) -> bool {
        self.overflowed.load(Ordering::Relaxed)
    }

    /// Claims an outbox in which nothing waits: the claimer may make one call without queueing it.
    pub(crate) fn claim_idle(&self) -> Option<Delivery> {
        if self.flags.compare_exchange(0, CLAIMED, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            return Some(Delivery::Normal);
        }
        let state = self.state.lock();
        (state.entries.is_empty() && self.set_claimed()).then(|| state.delivery())
    }

    /// Claims an outbox in which something waits. Answers how much of it to deliver.
    pub(crate) fn claim(&self) -> Option<usize> {
        let state = self.state.lock();
        (!state.entries.is_empty() && self.set_claimed()).then(|| state.entries.len().min(BATCH))
    }

    /// Under the lock: whether the caller has the claim now.
    fn set_claimed(&self) -> bool {
        self.flags.fetch_or(CLAIMED, Ordering::AcqRel) & CLAIMED == 0
    }

    /// Under the lock: ends the claim of an outbox in which nothing waits.
    fn end_claim(&self, state: &State) {
        let flags = if state.phase == Phase::Open { 0 } else { BUSY };
        self.flags.store(flags, Ordering::Release);
    }

    /// The next entry, for the claimer; `None` ends the claim.
    pub(crate) fn next(&self) -> Option<(Entry, Delivery)> {
        let mut state = self.state.lock();
        match state.entries.pop_front() {
            Some(entry) => {
                state.bytes -= entry.weight();
                Some((entry, state.delivery()))
            }
            None => {
                self.end_claim(&state);
                None
            }
        }
    }

    /// Ends the claim if nothing waits; else it goes on, and the caller has to pass it on.
    pub(crate) fn release(&self) -> bool {
        if self.flags.compare_exchange(CLAIMED, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            return true;
        }
        let state = self.state.lock();
        let ends = state.entries.is_empty();
        if ends {
            self.end_claim(&state);
        }
        ends
    }

    /// Remembers that the protocol refused to let the connection join.
    pub(crate) fn refuse(&self, join: Ticket) {
        self.state.lock().refused.push(join);
    }

    /// Whether this join was refused; answers so once.
    pub(crate) fn was_refused(&self, join: Ticket) -> bool {
        let mut state = self.state.lock();
        let position = state.refused.iter().position(|refused| *refused == join);
        position.map(|index| state.refused.swap_remove(index)).is_some()
    }

    /// The connection is removed: only completions are left.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        self.flags.fetch_or(BUSY, Ordering::AcqRel);
        state.phase = Phase::Gone;
        state.refused = Vec::new();
        state.retain(Entry::outlives);
    }

    /// Whether nothing waits and nobody is delivering.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.state.lock();
        state.entries.is_empty() && self.flags.load(Ordering::Acquire) & CLAIMED == 0
    }
}

impl State {
    fn push(&mut self, entry: Entry) {
        self.bytes += entry.weight();
        self.entries.push_back(entry);
    }

    fn retain(&mut self, keep: impl Fn(&Entry) -> bool) {
        self.entries.retain(keep);
        self.bytes = self.entries.iter().map(Entry::weight).sum();
    }

    fn delivery(&self) -> Delivery {
        if self.phase == Phase::Gone { Delivery::Dropped } else { Delivery::Normal }
    }
}

/// How an entry is to be delivered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Delivery {
    Normal,
    /// The connection is gone: a completion says so instead.
    Dropped,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(name: &str) -> Entry {
        Entry::Join { channel: name.into(), ticket: Ticket::new() }
    }

    fn joined(outbox: &Outbox) -> Vec<String> {
        std::iter::from_fn(|| outbox.next())
            .map(|(entry, _)| match entry {
                Entry::Join { channel, .. } => channel.to_string(),
                Entry::Disconnect { message, .. } => format!("disconnect: {message}"),
                _ => "other".into(),
            })
            .collect()
    }

    #[test]
    fn entries_leave_in_the_order_in_which_they_came() {
        let outbox = Outbox::default();
        assert_eq!(outbox.append(join("a")), Appended::First);
        assert_eq!(outbox.append(join("b")), Appended::Behind);
        assert_eq!(outbox.append(join("c")), Appended::Behind);
        assert_eq!(outbox.claim(), Some(3));
        assert_eq!(joined(&outbox), ["a", "b", "c"]);
        assert!(outbox.is_idle());
    }

    #[test]
    fn only_one_can_claim() {
        let outbox = Outbox::default();
        assert_eq!(outbox.claim(), None, "nothing waits");
        outbox.append(join("a"));
        assert_eq!(outbox.claim_idle(), None, "something waits");
        assert_eq!(outbox.claim(), Some(1));
        assert_eq!(outbox.claim(), None);
        outbox.next();
        assert!(outbox.release());
        assert_eq!(outbox.claim_idle(), Some(Delivery::Normal));
        assert_eq!(outbox.claim_idle(), None);
    }

    #[test]
    fn a_claim_goes_on_while_something_waits() {
        let outbox = Outbox::default();
        assert!(outbox.claim_idle().is_some());
        outbox.append(join("meanwhile"));
        assert!(!outbox.release());
        assert_eq!(joined(&outbox), ["meanwhile"]);
    }

    #[test]
    fn nothing_follows_a_disconnect_or_a_removal() {
        let outbox = Outbox::default();
        outbox.append(join("before"));
        outbox.append(Entry::Disconnect { reason: DisconnectReason::Requested, message: "bye".into() });
        assert_eq!(outbox.append(join("after")), Appended::Dropped);
        assert_eq!(joined(&outbox), ["before", "disconnect: bye"]);

        let outbox = Outbox::default();
        outbox.append(join("before"));
        outbox.close();
        assert_eq!(outbox.append(join("after")), Appended::Dropped);
        assert!(outbox.next().is_none());
        assert_eq!(outbox.claim_idle(), Some(Delivery::Dropped));
    }

    #[test]
    fn too_much_waiting_becomes_a_disconnect() {
        let outbox = Outbox::default();
        for _ in 0..BOUND {
            assert_ne!(outbox.append(join("x")), Appended::Overflow);
        }
        assert_eq!(outbox.append(join("one too many")), Appended::Overflow);
        assert!(outbox.has_overflowed());
        assert_eq!(joined(&outbox), ["disconnect: too much is waiting for this connection"]);
    }

    #[test]
    fn too_many_bytes_waiting_become_a_disconnect() {
        let payload = Payload::from(vec![b' '; MOST_BYTES / 2]);
        let notify = || Entry::Notify { channels: Arc::new(["c".into()]), payload: payload.clone() };
        let outbox = Outbox::default();
        assert_eq!(outbox.append(notify()), Appended::First);
        assert_eq!(outbox.append(notify()), Appended::Overflow);
        assert_eq!(joined(&outbox), ["disconnect: too much is waiting for this connection"]);

        let outbox = Outbox::default();
        for _ in 0..10 {
            assert_eq!(outbox.append(notify()), Appended::First);
            assert_eq!(outbox.claim(), Some(1));
            outbox.next();
            assert!(outbox.release(), "what was delivered does not count");
        }
        let huge = Payload::from(vec![b' '; MOST_BYTES + 1]);
        let huge = Entry::Notify { channels: Arc::default(), payload: huge };
        assert_eq!(outbox.append(huge), Appended::First, "one message by itself has no bound");
    }

    #[test]
    fn a_refused_join_is_told_once() {
        let outbox = Outbox::default();
        let (first, second) = (Ticket::new(), Ticket::new());
        outbox.append(Entry::Join { channel: "c".into(), ticket: second });
        assert!(outbox.is_joining("c") && !outbox.is_joining("d"));
        outbox.refuse(second);
        assert!(!outbox.was_refused(first));
        assert!(outbox.was_refused(second));
        assert!(!outbox.was_refused(second));
    }
}
