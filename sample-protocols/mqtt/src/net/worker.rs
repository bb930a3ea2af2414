//! One thread: reads what has come, lets the broker and the host work on it, then writes to each
//! connection at once what the whole round has brought.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read};
use std::net::Shutdown;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use rustc_hash::FxHashMap;

use super::client::Client;
use super::{ALARM, LISTENER};
use crate::broker::{Counters, Key, Memory, Next, Taken};
use crate::codec::{self, DecodeError, Packet, Reason};
use crate::shared::{self, Shared};

/// What is read from one connection before the others have their turn, in bytes.
const READ: usize = 64 * 1024;
const EVENTS: usize = 1024;
/// How long one client is worked for before others have their turn.
const TURN: Duration = Duration::from_millis(2);
/// How long clients are worked for, those whose turns were over, new ones, and what time brings, until
/// the next of these has its turn.
const ROUND: Duration = Duration::from_millis(10);
/// How long a closed connection may take to hear why, in milliseconds.
const LINGER: u64 = 1000;
/// The same when the server ends.
const LINGER_AT_THE_END: u64 = 500;
/// So many connections are asked for what is to be written to them before other threads have their turn
/// at the broker.
const TAKEN_AT_ONCE: usize = 64;
/// How long no connection is accepted when the system has no descriptors left, in milliseconds.
const ACCEPT_PAUSE: u64 = 100;

pub(crate) struct Worker {
    index: usize,
    poll: Poll,
    shared: Arc<Shared>,
    listener: Option<TcpListener>,
    /// Which worker gets the next connection.
    next_worker: usize,
    clients: FxHashMap<u32, Client>,
    buffer: Vec<u8>,
    /// Where small packets are gathered for a write.
    scratch: Vec<u8>,
    /// Those of which more is to be read without waiting.
    again: VecDeque<Key>,
    /// Closed ones, and until when they are waited for.
    lingering: Vec<(u64, Key)>,
    accept_at: Option<u64>,
    max_packet: usize,
    memory: Memory,
    /// Whether the broker has more to do already.
    more: bool,
    /// What the log has been told, and when it may be told more.
    told: (Counters, u64),
}

impl Worker {
    pub(super) fn new(
        index: usize,
        poll: Poll,
        shared: Arc<Shared>,
        mut listener: Option<TcpListener>,
    ) -> std::io::Result<Self> {
        if let Some(listener) = &mut listener {
            poll.registry().register(listener, LISTENER, Interest::READABLE)?;
        }
        let (max_packet, memory) =
            shared.with(|state, _| (state.broker.settings().max_packet_size, state.broker.memory().clone()));
        Ok(Self {
            index,
            poll,
            shared,
            listener,
            next_worker: 0,
            clients: FxHashMap::default(),
            buffer: vec![0; READ],
            scratch: Vec::new(),
            again: VecDeque::new(),
            lingering: Vec::new(),
            accept_at: None,
            max_packet,
            memory,
            more: false,
            told: (Counters::default(), 0),
        })
    }

    /// Serves until the protocol is shut down.
    pub(crate) fn run(mut self) {
        shared::become_worker(self.index);
        let mut events = Events::with_capacity(EVENTS);
        let mut dirty = Vec::new();
        loop {
            if self.shared.is_stopping() {
                self.stop();
                if self.clients.is_empty() {
                    return;
                }
            }
            let timeout = self.timeout();
            self.more = false;
            if let Err(error) = self.poll.poll(&mut events, timeout)
                && error.kind() != ErrorKind::Interrupted
            {
                tracing::error!(%error, "cannot wait for sockets");
                std::thread::sleep(Duration::from_millis(ACCEPT_PAUSE));
            }
            self.shared.alarms[self.index].silence();
            self.take_sockets();
            let until = Instant::now() + ROUND;
            for event in &events {
                match event.token() {
                    LISTENER => self.accept(),
                    ALARM => {}
                    Token(index) => {
                        let index = index as u32;
                        if event.is_writable() {
                            self.unblock(index);
                        }
                        if event.is_read_closed()
                            && let Some(client) = self.clients.get_mut(&index)
                        {
                            client.ended = true;
                        }
                        // What is called again reads all that is there.
                        if (event.is_readable() || event.is_read_closed() || event.is_error())
                            && self.clients.get(&index).is_some_and(|client| !client.again)
                        {
                            if Instant::now() < until { self.read(index) } else { self.call_again(index) }
                        }
                    }
                }
            }
            self.go_on();
            self.look_at_the_time();
            self.flush(&mut dirty);
            self.shared.wake_others();
        }
    }

    /// Only those stay who have still to hear that they are closed.
    fn stop(&mut self) {
        self.listener = None;
        self.accept_at = None;
        self.flush(&mut Vec::new());
        let others: Vec<u32> =
            self.clients.iter().filter(|(_, client)| !client.lingers).map(|(index, _)| *index).collect();
        others.into_iter().for_each(|index| self.forget(index));
        let soon = self.shared.now() + LINGER_AT_THE_END;
        self.lingering.iter_mut().for_each(|(at, _)| *at = soon.min(*at));
        self.shared.wake_others();
    }

    /// How long there is nothing to do by itself.
    fn timeout(&self) -> Option<Duration> {
        if !self.again.is_empty() || self.more {
            return Some(Duration::ZERO);
        }
        let timer = if self.index == 0 { self.shared.arm() } else { None };
        let linger = self.lingering.first().map(|(at, _)| *at);
        let at = [timer, linger, self.accept_at].into_iter().flatten().min()?;
        // One more, as what has begun is not over.
        Some(Duration::from_millis(at.saturating_sub(self.shared.now()) + 1))
    }

    fn look_at_the_time(&mut self) {
        let now = self.shared.now();
        if self.index == 0 {
            // Others get at the broker in between.
            let until = Instant::now() + ROUND;
            loop {
                let (more, counters) =
                    self.shared.with(|state, now| (state.broker.tick(now), state.broker.counters()));
                if !more || Instant::now() >= until {
                    self.more |= more;
                    self.tell(counters, now);
                    break;
                }
            }
        }
        if self.accept_at.is_some_and(|at| at <= now) {
            self.accept_at = None;
            self.accept();
        }
        let over = self.lingering.iter().take_while(|(at, _)| *at <= now).count();
        for (_, key) in self.lingering.drain(..over).collect::<Vec<_>>() {
            if self.clients.get(&key.index).is_some_and(|client| client.key == key) {
                self.forget(key.index);
            }
        }
    }

    /// At most once in ten seconds.
    fn tell(&mut self, counters: Counters, now: u64) {
        let (told, at) = self.told;
        if now < at || (counters.dropped, counters.unheard) == (told.dropped, told.unheard) {
            return;
        }
        if counters.dropped > told.dropped {
            let messages = counters.dropped - told.dropped;
            tracing::warn!(messages, "messages were dropped: clients are too slow, or limits are reached");
        }
        if counters.unheard > told.unheard {
            let connections = counters.unheard - told.unheard;
            tracing::warn!(connections, "connections were closed: too many have not sent CONNECT yet");
        }
        self.told = (counters, now + 10_000);
    }

    fn accept(&mut self) {
        let until = Instant::now() + ROUND;
        while let Some(listener) = &self.listener {
            if Instant::now() >= until {
                self.accept_at = Some(self.shared.now());
                return;
            }
            match listener.accept() {
                Ok((stream, _)) => {
                    let worker = self.next_worker;
                    self.next_worker = (worker + 1) % self.shared.alarms.len();
                    if worker == self.index {
                        self.serve(stream);
                    } else {
                        self.shared.alarms[worker].sockets.lock().push(stream);
                        self.shared.alarms[worker].ring();
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error)
                    if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a client");
                    self.accept_at = Some(self.shared.now() + ACCEPT_PAUSE);
                    return;
                }
            }
        }
    }

    fn take_sockets(&mut self) {
        let sockets = std::mem::take(&mut *self.shared.alarms[self.index].sockets.lock());
        sockets.into_iter().for_each(|stream| self.serve(stream));
    }

    fn serve(&mut self, mut stream: TcpStream) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a client has gone at once");
            return;
        }
        let key = self.shared.with(|state, now| state.broker.accept(self.index, now));
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().register(&mut stream, Token(key.index as usize), interest) {
            tracing::warn!(%error, "cannot watch a client's socket");
            return self.shared.with(|state, now| state.broker.gone(key, now));
        }
        self.clients.insert(key.index, Client::new(key, stream, &self.memory));
    }

    /// Goes on with those of which more is to be read.
    fn go_on(&mut self) {
        let until = Instant::now() + ROUND;
        for _ in 0..self.again.len() {
            let Some(key) = self.again.pop_front() else { break };
            if let Some(client) = self.clients.get_mut(&key.index).filter(|client| client.key == key) {
                client.again = false;
                self.read(key.index);
            }
            if Instant::now() >= until {
                break;
            }
        }
    }

    fn call_again(&mut self, index: u32) {
        if let Some(client) = self.clients.get_mut(&index)
            && !std::mem::replace(&mut client.again, true)
        {
            self.again.push_back(client.key);
        }
    }

    fn read(&mut self, index: u32) {
        let until = Instant::now() + TURN;
        let Some(client) = self.clients.get_mut(&index) else { return };
        if !client.input.is_empty() && !client.paused {
            // It was left there, or is the beginning of a packet.
            self.work(index, &[], until);
        }
        let Some(client) = self.clients.get_mut(&index) else { return };
        if client.waits {
            return self.call_again(index);
        }
        if client.paused && !client.closing {
            return;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        // What is not worked on at once is kept, so the less memory is left, the less is read.
        let most = (self.memory.left() / 4096).clamp(4096, READ);
        match client.stream.read(&mut buffer[..most]) {
            Ok(0) => self.forget(index),
            Ok(len) => {
                let more = client.ended || len == most;
                if !client.closing {
                    self.work(index, &buffer[..len], until);
                }
                if more || self.clients.get(&index).is_some_and(|client| client.waits) {
                    self.call_again(index);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => self.call_again(index),
            Err(error) => {
                tracing::debug!(%error, "a client is lost");
                self.forget(index);
            }
        }
        self.buffer = buffer;
    }

    /// Works on what has come. A fault in that costs this client its connection, and nobody else.
    fn work(&mut self, index: u32, bytes: &[u8], until: Instant) {
        if catch_unwind(AssertUnwindSafe(|| self.feed(index, bytes, until))).is_err() {
            tracing::error!("a fault in the broker: its client is closed. Please report this");
            self.forget(index);
        }
        self.shared.wake_others();
    }

    /// Works on packets until their client's turn is over; on one in any case.
    fn feed(&mut self, index: u32, bytes: &[u8], until: Instant) {
        let Some(client) = self.clients.get_mut(&index) else { return };
        client.waits = false;
        let mut kept = std::mem::take(&mut client.input);
        let is_kept = !kept.is_empty();
        let all = if is_kept {
            kept.extend_from_slice(bytes);
            &kept[..]
        } else {
            bytes
        };
        let mut used = 0;
        while used < all.len() && !client.paused {
            match codec::decode(&all[used..], client.version, self.max_packet) {
                Ok(None) => break,
                Ok(Some((packet, len))) => {
                    used += len;
                    client.paused = handle(&self.shared, client, &packet);
                    client.waits = !client.paused && used < all.len() && Instant::now() >= until;
                    if client.waits {
                        break;
                    }
                }
                Err(error) => return malformed(&self.shared, client, &error),
            }
        }
        if is_kept {
            kept.drain(..used);
            if kept.is_empty() || (kept.capacity() > 4096 && kept.len() * 4 < kept.capacity()) {
                kept.shrink_to_fit();
            }
        } else {
            kept = all[used..].to_vec();
        }
        if !client.keep(kept, &self.memory) {
            let text = "there is no memory left for a packet of this size";
            let error = DecodeError { reason: Reason::QUOTA_EXCEEDED, text, connect: None };
            malformed(&self.shared, client, &error);
        }
    }

    /// The socket takes bytes again.
    fn unblock(&mut self, index: u32) {
        let Some(client) = self.clients.get_mut(&index).filter(|client| client.blocked) else { return };
        client.refresh(self.shared.now());
        if client.write(&mut self.scratch).is_err() {
            return self.forget(index);
        }
        if client.blocked {
            return;
        }
        // What has come for it meanwhile is taken with that of all others.
        let key = client.key;
        self.shared.with(|state, _| state.broker.mark(key));
    }

    /// Writes to each connection what waits for it.
    fn flush(&mut self, dirty: &mut Vec<Key>) {
        let silent = self.shared.with(|state, _| {
            state.broker.take_dirty(self.index, dirty);
            state.broker.take_silent(self.index)
        });
        for key in silent {
            let client = self.clients.get_mut(&key.index).filter(|client| client.key == key);
            let is_there = client.is_some_and(Client::is_there);
            self.shared.with(|state, now| state.broker.judge(key, is_there, now));
            self.more = true;
        }
        let mut ready: Vec<(Key, Taken)> = Vec::new();
        for keys in dirty.chunks(TAKEN_AT_ONCE) {
            self.shared.with(|state, now| {
                for key in keys {
                    let blocked = self.clients.get(&key.index).is_some_and(|client| client.blocked);
                    if blocked && !state.broker.is_closed(*key) {
                        state.broker.postpone(*key);
                    } else {
                        ready.extend(state.broker.take(*key, now).map(|taken| (*key, taken)));
                    }
                }
                self.more |= state.broker.is_dirty(self.index);
            });
            for (key, taken) in ready.drain(..) {
                self.write(key, taken);
            }
        }
        dirty.clear();
    }

    fn write(&mut self, key: Key, mut taken: Taken) {
        let Some(client) = self.clients.get_mut(&key.index).filter(|client| client.key == key) else {
            return;
        };
        if client.shut {
            return;
        }
        if taken.close && !client.lingers {
            client.lingers = true;
            client.closing = true;
            client.drop_input();
            // A client that does not read is not waited for, and gets nothing out of order.
            if client.drop_unwritten() {
                taken.frames.retain(|frame| !frame.is_publish());
            }
            self.lingering.push((self.shared.now() + LINGER, key));
        }
        let close = taken.close;
        client.queue(taken, || self.shared.now());
        if client.write(&mut self.scratch).is_err() {
            return self.forget(key.index);
        }
        if close && !client.blocked {
            client.shut = true;
            // What the client still sends is read, so that it is not kept from hearing us.
            if client.stream.shutdown(Shutdown::Write).is_err() {
                return self.forget(key.index);
            }
        }
        // What it has asked for is no longer in the broker.
        if std::mem::take(&mut client.paused) {
            self.call_again(key.index);
        }
    }

    fn forget(&mut self, index: u32) {
        if let Some(mut client) = self.clients.remove(&index) {
            let _ = self.poll.registry().deregister(&mut client.stream);
            let key = client.key;
            drop(client);
            self.shared.with(|state, now| state.broker.gone(key, now));
            // Its will may be for others of this worker.
            self.more = true;
        }
    }
}

/// Works on one packet. Nothing is locked while a request is executed. Answers whether so much waits
/// for the client now that it has to be written first.
fn handle(shared: &Arc<Shared>, client: &mut Client, packet: &Packet<'_>) -> bool {
    let key = client.key;
    if let (Packet::Connect(connect), None) = (packet, client.version) {
        client.version = Some(connect.version);
    }
    let (next, congested) = shared.with(|state, now| {
        let next = state.broker.packet(key, packet, now);
        if next == Next::Admit {
            let address = client.stream.peer_addr().ok().map(|address| address.ip());
            client.connection = shared.admit(state, key, address, packet, now);
        }
        (next, state.broker.is_congested(key))
    });
    if let (Next::Execute(to), Packet::Publish(publish), Some(connection)) = (next, packet, client.connection)
    {
        shared.execute(key, connection, publish.payload, to);
        return shared.with(|state, _| state.broker.is_congested(key));
    }
    congested
}

/// What has come is no packet that can be worked on.
fn malformed(shared: &Arc<Shared>, client: &mut Client, error: &DecodeError) {
    client.closing = true;
    client.drop_input();
    shared.with(|state, now| state.broker.malformed(client.key, error, now));
}
