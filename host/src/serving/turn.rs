//! A turn: what one host function, or one piece of a protocol thread's work, brings about.
//!
//! The kernel only appends ([`Outbound`]); what it appends is delivered when the outermost host
//! function on the thread is about to return: calls into the executing protocol from a loop on
//! this thread, never recursively; all that concerns other protocols by their own threads.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kuzzle_kernel::{Channel, ConnectionId, Outbound, Payload, Response};

use super::Host;
use super::abi::Completion;
use super::access_log::Record;
use super::connections::{Connection, Handle};
use super::outbox::{Answer, Appended, BATCH, Delivery, DisconnectReason, Entry, Ticket};
use super::protocol::{Protocol, State};
use super::queue::Work;

/// Something to deliver on this thread.
enum Due {
    Broadcast { channels: Arc<[Channel]>, payload: Payload },
    Drain(Arc<Connection>),
}

/// Whose functions may be called on this thread while a turn lasts.
#[derive(Clone, Copy)]
enum Where {
    /// No turn lasts.
    Nowhere,
    /// On a thread of the protocol, in one of its calls to the host.
    Inside(&'static Protocol),
    /// On the protocol's own host thread.
    Queue(&'static Protocol),
    /// On a thread of the host's: nobody's functions, everything goes through the queues.
    Outside,
}

struct Thread {
    place: Cell<Where>,
    due: RefCell<VecDeque<Due>>,
}

super::sync::thread_local! {
    static THREAD: Thread =
        const { Thread { place: Cell::new(Where::Nowhere), due: RefCell::new(VecDeque::new()) } };
}

/// The right to bring something about on this thread.
pub(crate) struct Turn {
    host: &'static Host,
    /// Of the outermost turn on this thread.
    place: Where,
    outermost: bool,
    /// The join that the kernel has appended last.
    join: Option<Ticket>,
    /// Whose it is, if somebody else delivers it.
    joiner: Option<Arc<Connection>>,
    /// What to tell in the log, once the kernel has returned: it holds a lock.
    told: Vec<Told>,
}

/// Something for the log.
enum Told {
    Overflow(Arc<Connection>),
    Overload(f64),
}

impl Turn {
    /// Begins a turn in a protocol's call to the host, or joins the one that lasts on this thread.
    pub(crate) fn inside(protocol: &'static Protocol) -> Self {
        Self::begin(protocol.host, Where::Inside(protocol))
    }

    /// Begins a turn on a host thread on which no protocol may be called.
    pub(crate) fn outside(host: &'static Host) -> Self {
        Self::begin(host, Where::Outside)
    }

    fn begin(host: &'static Host, place: Where) -> Self {
        let begun = THREAD.try_with(|thread| match thread.place.get() {
            Where::Nowhere => {
                thread.place.set(place);
                (place, true)
            }
            lasting => (lasting, false),
        });
        // A thread that is ending can keep nothing: all goes through the queues.
        let (place, outermost) = begun.unwrap_or((Where::Outside, true));
        Self { host, place, outermost, join: None, joiner: None, told: Vec::new() }
    }

    /// The join that the request just executed has appended.
    pub(crate) fn take_join(&mut self) -> Option<Ticket> {
        self.joiner = None;
        self.join.take()
    }

    /// Whether the protocol's functions may be called on this thread.
    fn may_call(&self, protocol: &Protocol) -> bool {
        match self.place {
            Where::Inside(own) | Where::Queue(own) => std::ptr::eq(own, protocol),
            Where::Nowhere | Where::Outside => false,
        }
    }

    /// Delivers what is due on this thread, if this is the outermost turn.
    pub(crate) fn deliver(&mut self) {
        let (true, Where::Inside(protocol) | Where::Queue(protocol)) = (self.outermost, self.place) else {
            return;
        };
        while let Some(due) = THREAD.with(|thread| thread.due.borrow_mut().pop_front()) {
            match due {
                Due::Broadcast { .. } if self.host.is_closing() => {}
                Due::Broadcast { channels, payload } => protocol.broadcast(&channels, &payload),
                Due::Drain(connection) => self.drain(&connection),
            }
        }
    }

    /// Gives an answer to the connection that asked: after all that came before it in the
    /// connection's order, at once if nothing did.
    pub(crate) fn complete(&mut self, connection: &Arc<Connection>, answer: Answer) {
        let outbox = &connection.outbox;
        if let Some(delivery) = outbox.claim_idle() {
            self.answer(connection, answer, delivery);
            self.release(connection);
        } else {
            if outbox.append(Entry::Complete(Box::new(answer))) == Appended::Overflow {
                self.told.push(Told::Overflow(connection.clone()));
            }
            self.drain(connection);
        }
    }

    /// Ends a connection on the host's side: its handle is stale already.
    pub(crate) fn removed(&mut self, connection: &Arc<Connection>) {
        self.host.kernel.statistics().disconnected(connection.label());
        connection.outbox.close();
        self.host.kernel.remove_connection(connection.handle.id(), self);
    }

    /// Ends all connections of a protocol. Answers them.
    fn remove_all(&mut self, protocol: &'static Protocol) -> Vec<Arc<Connection>> {
        let mut ending = self.host.connections.all(Some(protocol));
        ending.retain(|connection| self.host.connections.remove(connection.handle, protocol).is_some());
        ending.iter().for_each(|connection| self.removed(connection));
        ending
    }

    /// Delivers what waits for a connection, unless somebody else is at it.
    pub(crate) fn drain(&mut self, connection: &Arc<Connection>) {
        if let Some(budget) = connection.outbox.claim() {
            self.drain_claimed(connection, budget);
        }
    }

    /// Goes on under a claim that was passed on.
    pub(crate) fn go_on(&mut self, connection: &Arc<Connection>) {
        self.drain_claimed(connection, BATCH);
    }

    fn drain_claimed(&mut self, connection: &Arc<Connection>, budget: usize) {
        for _ in 0..budget {
            let Some((entry, delivery)) = connection.outbox.next() else { return };
            self.make(connection, entry, delivery);
        }
        self.release(connection);
    }

    fn release(&mut self, connection: &Arc<Connection>) {
        if !connection.outbox.release() {
            connection.protocol.queue.push(Work::GoOn(connection.clone()));
        }
    }

    /// Makes one call that was due.
    fn make(&mut self, connection: &Arc<Connection>, entry: Entry, delivery: Delivery) {
        let (protocol, handle) = (connection.protocol, connection.handle);
        match entry {
            Entry::Complete(answer) => self.answer(connection, *answer, delivery),
            Entry::Broadcast { .. } if self.host.is_closing() => {}
            Entry::Broadcast { channels, payload } => protocol.broadcast(&channels, &payload),
            _ if delivery == Delivery::Dropped => {}
            Entry::Join { channel, ticket } => {
                if !protocol.join_channel(handle, &channel) {
                    connection.outbox.refuse(ticket);
                    self.host.kernel.join_refused(handle.id(), &channel, self);
                }
            }
            Entry::Leave(channel) => protocol.leave_channel(handle, &channel),
            Entry::Notify { channels, payload } => protocol.notify(handle, &channels, &payload),
            Entry::Disconnect { reason, message } => {
                self.host.reaper.expect_removal(connection);
                protocol.disconnect(handle, reason, &message);
            }
        }
    }

    fn answer(&mut self, connection: &Arc<Connection>, answer: Answer, delivery: Delivery) {
        let Answer { completion, mut response, join, access } = answer;
        if delivery == Delivery::Dropped {
            response = self.host.kernel.dropped(None, &response.request_id);
        } else if let (Some(pending), Some(ticket)) = (response.pending_join.take(), join)
            && connection.outbox.was_refused(ticket)
        {
            response = *pending.refused;
        }
        self.complete_with(connection.protocol, completion, &response, access);
    }

    /// Makes the call. A protocol that is shut down is called on its own threads only: those its
    /// `shutdown` joins.
    pub(crate) fn complete_with(
        &self,
        protocol: &'static Protocol,
        completion: Completion,
        response: &Response,
        access: Option<Box<Record>>,
    ) {
        let state = protocol.state();
        if state != State::Suspended && (state != State::Shutdown || matches!(self.place, Where::Inside(_))) {
            // Before: whoever has the answer shall find it counted.
            protocol.counters.answered(response.status);
            if let (Some(access), Some(log)) = (access, self.host.access_log()) {
                log.answered(*access, response);
            }
            protocol.complete(completion, response);
        }
    }

    /// Sees to it that what waits for a connection is delivered by the right thread.
    fn schedule(&self, connection: &Arc<Connection>) {
        if self.may_call(connection.protocol) {
            THREAD.with(|thread| thread.due.borrow_mut().push_back(Due::Drain(connection.clone())));
        } else {
            ask_to_drain(connection);
        }
    }

    fn append(&mut self, connection: ConnectionId, entry: Entry) {
        if let Some(connection) = self.host.connections.find(Handle(connection.0)) {
            self.append_to(&connection, entry);
        }
    }

    fn append_to(&mut self, connection: &Arc<Connection>, entry: Entry) -> Appended {
        let appended = connection.outbox.append(entry);
        match appended {
            Appended::First => self.schedule(connection),
            Appended::Behind | Appended::Dropped => {}
            Appended::Overflow => self.told.push(Told::Overflow(connection.clone())),
        }
        appended
    }

    /// Has a broadcast of the protocol's come after the join that it tells of, if somebody else delivers
    /// that. False if there is no such join.
    fn follow_join(&mut self, protocol: &Protocol, channels: &Arc<[Channel]>, payload: &Payload) -> bool {
        let Some(joiner) = self.joiner.clone() else { return false };
        let entry = Entry::Broadcast { channels: channels.clone(), payload: payload.clone() };
        std::ptr::eq(joiner.protocol, protocol)
            && matches!(self.append_to(&joiner, entry), Appended::First | Appended::Behind)
    }

    fn tell(&mut self) {
        for told in self.told.drain(..) {
            match told {
                Told::Overflow(connection) => tracing::warn!(
                    protocol = %connection.protocol.name, connection = %connection.uuid,
                    "disconnected: too much is waiting for this connection"
                ),
                Told::Overload(percent) => tracing::warn!(
                    event = "core:overload",
                    percent,
                    "overloaded: more requests run at once than limits.concurrentRequests allows"
                ),
            }
        }
    }
}

/// Asks a connection's protocol, on its own thread, to close it.
pub(crate) fn disconnect(connection: &Arc<Connection>, reason: DisconnectReason, message: &str) {
    let entry = Entry::Disconnect { reason, message: message.into() };
    if connection.outbox.append(entry) == Appended::First {
        ask_to_drain(connection);
    }
}

/// Has the protocol's own thread drain what waits for the connection, if nobody has asked already.
fn ask_to_drain(connection: &Arc<Connection>) {
    if connection.outbox.awaits_drain() {
        connection.protocol.queue.push(Work::Drain(connection.clone()));
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.outermost {
            self.deliver();
            let _ = THREAD.try_with(|thread| thread.place.set(Where::Nowhere));
        }
        self.tell();
    }
}

impl Outbound for Turn {
    fn broadcast(&mut self, channels: Arc<[Channel]>, payload: Payload) {
        if self.host.is_closing() {
            return;
        }
        for protocol in self.host.protocols() {
            if !protocol.serves() {
                if protocol.state() == State::Suspended {
                    protocol.counters.dropped.add();
                }
            } else if self.follow_join(protocol, &channels, &payload) {
            } else if self.may_call(protocol) {
                let due = Due::Broadcast { channels: channels.clone(), payload: payload.clone() };
                THREAD.with(|thread| thread.due.borrow_mut().push_back(due));
            } else if !protocol.queue.broadcast(channels.clone(), payload.clone()) {
                protocol.counters.dropped.add();
            }
        }
    }

    fn notify(&mut self, connection: ConnectionId, channels: Arc<[Channel]>, payload: Payload) {
        self.append(connection, Entry::Notify { channels, payload });
    }

    fn join(&mut self, connection: ConnectionId, channel: &Channel) {
        let ticket = Ticket::new();
        self.join = Some(ticket);
        let Some(connection) = self.host.connections.find(Handle(connection.0)) else { return };
        let entry = Entry::Join { channel: channel.clone(), ticket };
        if self.append_to(&connection, entry) == Appended::Behind {
            self.joiner = Some(connection);
        }
    }

    fn leave(&mut self, connection: ConnectionId, channel: &Channel) {
        self.append(connection, Entry::Leave(channel.clone()));
    }

    fn disconnect(&mut self, connection: ConnectionId, message: &str) {
        let reason = DisconnectReason::Requested;
        self.append(connection, Entry::Disconnect { reason, message: message.into() });
    }

    fn is_joining(&self, connection: ConnectionId, channel: &str) -> bool {
        let connection = self.host.connections.find(Handle(connection.0));
        connection.is_some_and(|connection| connection.outbox.is_joining(channel))
    }

    fn overloaded(&mut self, percent: f64) {
        self.told.push(Told::Overload(percent));
    }
}

/// Ends all connections of a protocol that is not called any more.
pub(crate) fn abandon(protocol: &'static Protocol) {
    Turn::outside(protocol.host).remove_all(protocol);
}

/// The life of a protocol's own thread.
pub(crate) fn serve_queue(protocol: &'static Protocol) {
    loop {
        serve(protocol, protocol.queue.take());
    }
}

/// One piece of work of a protocol's own thread.
pub(super) fn serve(protocol: &'static Protocol, work: Work) {
    let mut turn = Turn::begin(protocol.host, Where::Queue(protocol));
    match work {
        Work::Broadcast { .. } if protocol.host.is_closing() => {}
        Work::Broadcast { channels, payload } => protocol.broadcast(&channels, &payload),
        Work::Drain(connection) => {
            connection.outbox.is_drained();
            turn.drain(&connection);
        }
        Work::GoOn(connection) => turn.go_on(&connection),
        Work::Metrics => protocol.read_metrics(),
        Work::Stop => {
            let ending = turn.remove_all(protocol);
            let until = Instant::now() + STOPPED_PATIENCE;
            protocol.queue.push(Work::End { ending, until });
        }
        Work::End { mut ending, until } => {
            // Requests that were accepted are answered before the protocol is over.
            ending.retain(|connection| !connection.outbox.is_idle());
            if ending.is_empty() || Instant::now() >= until {
                protocol.shutdown(STOPPED_PATIENCE);
            } else {
                std::thread::sleep(Duration::from_millis(1));
                protocol.queue.push(Work::End { ending, until });
            }
        }
    }
}

/// How long a protocol that was stopped after a fault may take to answer, and then for its `shutdown`.
const STOPPED_PATIENCE: Duration = Duration::from_secs(5);
