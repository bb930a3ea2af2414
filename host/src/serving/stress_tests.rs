//! Many threads over three protocols at once: connections come, subscribe, publish, leave, vanish and
//! are cut off, joins are refused, callbacks are slow and call back. Through the real C ABI.
//!
//! Each protocol behaves as a real one does (it keeps the members of its channels) and checks every
//! call that it gets against what the ABI promises. Order is told by a counter that everything that
//! happens takes a number from: what has the lower number has happened before.
//!
//! `KUZZLE_STRESS_SECONDS` makes it last longer, `KUZZLE_STRESS_SEED` repeats a choice of steps.

use std::collections::{HashMap, HashSet};
use std::env;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use kuzzle_kernel::{Caller, Discard, Outbound, Payload, Request};
use kuzzle_protocol_abi::raw;
use parking_lot::{Mutex, RwLock};
use serde_json::{Value, json};

use super::testing::{self, DEADLINE, Probe, Retained, Seen, TestProtocol, host_with};
use super::turn::{self, Turn};
use super::{Connection, DisconnectReason, Handle, Host, Outcome, abi};

const SECONDS: f64 = 3.0;
/// Threads of each protocol.
const DRIVERS: usize = 3;
/// Connections that all threads of a protocol use at once.
const SHARED: usize = 2;
const COLLECTIONS: usize = 6;
/// Of these, collections in which each protocol has a subscriber from the beginning to the end.
const WITNESSED: usize = 3;
/// Broadcasts that may be on their way to the slowest protocol before nobody publishes.
const AHEAD: u64 = 2_000;

/// What else goes wrong is not told.
const MOST_VIOLATIONS: usize = 20;

/// A moment: later ones are greater; 0 is before all.
type Moment = u64;

struct World {
    host: &'static Host,
    sides: [Side; 3],
    clock: AtomicU64,
    random: AtomicU64,
    /// What went wrong. A panic inside a callback would end the process.
    violations: Mutex<Vec<String>>,
    publishers: Vec<Publisher>,
    rooms: Mutex<HashMap<String, usize>>,
    published: AtomicU64,
    counts: Counts,
}

/// How often what is to be tested has happened.
#[derive(Default, Debug)]
struct Counts {
    accepted: AtomicU64,
    refused: AtomicU64,
    answers: AtomicU64,
    broadcasts: AtomicU64,
    notifications: AtomicU64,
    joins: AtomicU64,
    refused_joins: AtomicU64,
    leaves: AtomicU64,
    disconnects: AtomicU64,
    removed_in_callbacks: AtomicU64,
    dropped_answers: AtomicU64,
    reentrant: AtomicU64,
    connections: AtomicU64,
}

/// One protocol, as its library sees it.
struct Side {
    probe: &'static Probe,
    protocol: &'static super::Protocol,
    clients: RwLock<HashMap<u64, Arc<Client>>>,
    /// Clients that anybody may remove at any time.
    victims: Mutex<Vec<Arc<Client>>>,
    /// One that all threads of the protocol use until it is removed, then another one.
    crowded: Mutex<Option<Arc<Client>>>,
    members: Mutex<HashMap<String, HashMap<u64, Membership>>>,
    requests: Mutex<HashMap<String, Arc<Asked>>>,
    kept: Mutex<Vec<Retained>>,
    broadcasts: AtomicU64,
}

struct Client {
    handle: u64,
    side: usize,
    /// Used by one thread only.
    exclusive: bool,
    inside: AtomicBool,
    /// Its protocol is removing it.
    leaving: AtomicBool,
    /// When `remove_connection` had returned.
    removed: AtomicU64,
    remover: Mutex<Option<ThreadId>>,
    calls_after_removal: AtomicU32,
    /// Somebody has asked the host to disconnect it.
    kicked: AtomicBool,
    /// When the host asked the protocol to close it.
    disconnected: OnceLock<Instant>,
    /// When the join of a channel was accepted last.
    joins: Mutex<HashMap<String, Moment>>,
    last_join: AtomicU64,
    last_refusal: AtomicU64,
    /// When its running subscription began.
    subscribing: AtomicU64,
    notified: Mutex<u64>,
    heard: AtomicU64,
    connection: Weak<Connection>,
}

impl Client {
    /// Whether its protocol is removing it, or the host, as the protocol has not done so for long.
    fn may_be_gone(&self) -> bool {
        self.leaving.load(SeqCst) || self.disconnected.get().is_some_and(|at| at.elapsed().as_secs() >= 4)
    }

    /// Whether it may be used: for some time also when it has been disconnected.
    fn is_usable(&self) -> bool {
        let is_closed = self.disconnected.get().is_some_and(|at| at.elapsed().as_millis() >= 500);
        !self.leaving.load(SeqCst) && !is_closed
    }
}

/// That a connection is in a channel, from its join to its leave.
struct Membership {
    since: Moment,
    /// The number of the last message from each publisher.
    heard: HashMap<usize, u64>,
}

/// What a thread has published in each collection, from 1.
#[derive(Default)]
struct Publisher {
    collections: [Mutex<Published>; COLLECTIONS],
}

#[derive(Default, Clone, Copy)]
struct Published {
    number: u64,
    /// When the last one began.
    began: Moment,
    /// The last one that was answered, and when it began.
    answered: (u64, Moment),
}

#[derive(PartialEq)]
enum Kind {
    Subscribe,
    /// A numbered message; whether somebody of this protocol is sure to get it.
    Publish {
        witnessed: bool,
    },
    Other,
}

struct Asked {
    kind: Kind,
    began: Moment,
    client: Option<Arc<Client>>,
    broadcasts: AtomicU32,
    status: AtomicU32,
}

macro_rules! check {
    ($world:expr, $condition:expr, $($text:tt)+) => {
        if !$condition {
            let mut violations = $world.violations.lock();
            if violations.len() < MOST_VIOLATIONS {
                violations.push(format!($($text)+));
            }
        }
    };
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, SeqCst);
}

impl World {
    fn now(&self) -> Moment {
        self.clock.fetch_add(1, SeqCst) + 1
    }

    /// A number below `limit`.
    fn random(&self, limit: usize) -> usize {
        let mut bits = self.random.fetch_add(0x9e37_79b9_7f4a_7c15, SeqCst);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) % limit as u64) as usize
    }

    fn one_in(&self, number: usize) -> bool {
        self.random(number) == 0
    }

    fn connect(&self, side: usize, exclusive: bool) -> Arc<Client> {
        count(&self.counts.connections);
        let place = &self.sides[side];
        // As the ABI says: nothing about the connection comes before it is in the table.
        let mut clients = place.clients.write();
        let handle = place.probe.connect().expect("connections are accepted");
        let connection = self.host.connections.find(Handle(handle)).expect("nobody has removed it");
        let client = Arc::new(Client {
            handle,
            side,
            exclusive,
            inside: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            removed: AtomicU64::new(0),
            remover: Mutex::default(),
            calls_after_removal: AtomicU32::new(0),
            kicked: AtomicBool::new(false),
            disconnected: OnceLock::new(),
            joins: Mutex::default(),
            last_join: AtomicU64::new(0),
            last_refusal: AtomicU64::new(0),
            subscribing: AtomicU64::new(0),
            notified: Mutex::default(),
            heard: AtomicU64::new(0),
            connection: Arc::downgrade(&connection),
        });
        clients.insert(handle, client.clone());
        client
    }

    /// What a protocol does when a client has gone.
    fn remove(&self, client: &Client) {
        let side = &self.sides[client.side];
        if client.leaving.swap(true, SeqCst) {
            return;
        }
        for (channel, members) in side.members.lock().iter_mut() {
            if let Some(membership) = members.remove(&client.handle) {
                self.check_end(client, channel, &membership);
            }
        }
        let status = side.probe.remove(client.handle);
        // After 5 s the host itself removes one that it has disconnected.
        let is_allowed =
            status == raw::KUZZLE_OK || (status == raw::KUZZLE_BAD_HANDLE && client.may_be_gone());
        check!(self, is_allowed, "remove_connection answers {status}");
        *client.remover.lock() = Some(thread::current().id());
        client.removed.store(self.now(), SeqCst);
        let again = side.probe.remove(client.handle);
        check!(self, again == raw::KUZZLE_BAD_HANDLE, "removing twice answers {again}");
    }

    fn remove_some_victim(&self, side: usize) {
        let victim = {
            let mut victims = self.sides[side].victims.lock();
            if victims.is_empty() {
                return;
            }
            let index = self.random(victims.len());
            victims.swap_remove(index)
        };
        self.remove(&victim);
        count(&self.counts.removed_in_callbacks);
    }

    /// Executes a request; `None` if it was refused.
    fn execute(
        &self,
        side: usize,
        client: Option<&Arc<Client>>,
        kind: Kind,
        request: Value,
    ) -> Option<Arc<Asked>> {
        let place = &self.sides[side];
        let began = self.now();
        let id = format!("{side}-{began}");
        let mut document = request;
        document["requestId"] = json!(id);
        let request = Arc::new(Asked {
            kind,
            began,
            client: client.cloned(),
            broadcasts: AtomicU32::new(0),
            status: AtomicU32::new(0),
        });
        if let (Some(client), Kind::Subscribe) = (client, &request.kind) {
            client.subscribing.store(began, SeqCst);
        }
        place.requests.lock().insert(id.clone(), request.clone());
        let status = place.probe.execute(client.map_or(0, |client| client.handle), &document);
        if status == raw::KUZZLE_OK {
            count(&self.counts.accepted);
            return Some(request);
        }
        count(&self.counts.refused);
        check!(self, place.requests.lock().remove(&id).is_some(), "{id} was refused, and answered too");
        let is_gone = client.is_some_and(|client| client.may_be_gone());
        check!(self, status == raw::KUZZLE_BAD_HANDLE && is_gone, "execute answers {status}");
        None
    }

    /// Waits for an answer that another thread may be about to deliver.
    fn answered(&self, request: &Asked) -> u32 {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match request.status.load(SeqCst) {
                0 if Instant::now() < deadline => thread::yield_now(),
                0 => panic!("a request is not answered; {:?}", self.violations.lock()),
                status => return status,
            }
        }
    }

    fn subscribe(&self, client: &Arc<Client>, collection: usize) -> Option<Arc<Asked>> {
        let users = ["none", "in", "out", "all"][self.random(4)];
        let scope = ["all", "in"][self.random(2)];
        let request = json!({
            "controller": "realtime", "action": "subscribe", "index": "i", "collection": format!("c{collection}"),
            "body": {}, "users": users, "scope": scope, "volatile": { "who": client.handle },
        });
        self.execute(client.side, Some(client), Kind::Subscribe, request)
    }

    fn unsubscribe(&self, client: &Arc<Client>, collection: usize) {
        let rooms = self.rooms.lock();
        let Some(room) =
            rooms.iter().find(|(_, number)| **number == collection).map(|(room, _)| room.clone())
        else {
            return;
        };
        drop(rooms);
        if client.exclusive {
            // From now on it may miss messages.
            for (channel, members) in self.sides[client.side].members.lock().iter_mut() {
                if channel.starts_with(&room)
                    && let Some(membership) = members.get(&client.handle)
                {
                    self.check_end(client, channel, membership);
                }
            }
        }
        let request = json!({
            "controller": "realtime", "action": "unsubscribe", "body": { "roomId": room },
        });
        if let Some(request) = self.execute(client.side, Some(client), Kind::Other, request) {
            self.answered(&request);
        }
    }

    /// Publishes a message that nobody expects.
    fn chat(&self, client: &Arc<Client>, collection: usize) {
        let request = json!({
            "controller": "realtime", "action": "publish", "index": "i", "collection": format!("c{collection}"),
            "body": {},
        });
        count(&self.published);
        if let Some(request) = self.execute(client.side, Some(client), Kind::Other, request) {
            self.answered(&request);
        }
    }

    /// Publishes the next message in a collection, when the one before has been answered.
    fn publish(&self, publisher: usize, side: usize, client: Option<&Arc<Client>>, collection: usize) {
        if self.sides.iter().any(|side| self.published.load(SeqCst) > side.broadcasts.load(SeqCst) + AHEAD) {
            thread::yield_now();
            return;
        }
        let published = &self.publishers[publisher].collections[collection];
        let before = *published.lock();
        let (number, began) = (before.number + 1, self.now());
        let request = json!({
            "controller": "realtime", "action": "publish", "index": "i", "collection": format!("c{collection}"),
            "body": { "publisher": publisher, "number": number, "before": before.began },
        });
        *published.lock() = Published { number, began, ..before };
        let witnessed = collection < WITNESSED;
        if witnessed {
            count(&self.published);
        }
        let request = self.execute(side, client, Kind::Publish { witnessed }, request);
        let status = self.answered(&request.expect("nobody removes the connection of a publisher"));
        check!(self, status == 200, "publish is answered {status}");
        published.lock().answered = (number, began);
    }

    /// A client that several threads use and that may be removed at any time.
    fn crowded(&self, side: usize) -> Arc<Client> {
        let mut crowded = self.sides[side].crowded.lock();
        match &*crowded {
            Some(client) if client.is_usable() => client.clone(),
            _ => {
                let client = self.connect(side, false);
                self.sides[side].victims.lock().push(client.clone());
                *crowded = Some(client.clone());
                client
            }
        }
    }

    /// Sends a client several messages.
    fn notify(&self, client: &Client) {
        // Appended under a lock as by the kernel, delivered after it.
        let mut turn = Turn::inside(self.sides[client.side].protocol);
        let mut notified = client.notified.lock();
        for _ in 0..self.random(10) {
            let payload = Payload::from(notified.to_string().into_bytes());
            *notified += 1;
            turn.notify(Handle(client.handle).id(), Arc::new(["channel".into()]), payload);
        }
        drop(notified);
        drop(turn);
    }

    /// Has the host disconnect a client.
    fn kick(&self, client: &Client) {
        client.kicked.store(true, SeqCst);
        if let Some(connection) = self.host.connections.find(Handle(client.handle)) {
            turn::disconnect(&connection, DisconnectReason::Requested, "kicked");
        }
    }

    /// A subscriber that ends here has heard all that its own protocol's publishers have had answered.
    fn check_end(&self, client: &Client, channel: &str, membership: &Membership) {
        let room = channel.split('-').next().unwrap();
        let Some(collection) = self.rooms.lock().get(room).copied() else { return };
        for publisher in client.side * DRIVERS..(client.side + 1) * DRIVERS {
            let (number, began) = self.publishers[publisher].collections[collection].lock().answered;
            let heard = membership.heard.get(&publisher).copied().unwrap_or(0);
            check!(
                self,
                began <= membership.since || heard >= number || client.kicked.load(SeqCst),
                "a subscriber has heard {heard} of {number} when it leaves"
            );
        }
    }

    /// A call into a protocol: what it does besides.
    fn mischief(&self, side: usize) {
        if self.one_in(200) {
            let status =
                self.sides[side].probe.execute(0, &json!({ "controller": "server", "action": "now" }));
            check!(self, status == raw::KUZZLE_REENTRANT, "execute inside a callback answers {status}");
            count(&self.counts.reentrant);
        }
        if self.one_in(200) {
            self.remove_some_victim(side);
        }
        if self.one_in(500) {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// A call for one connection begins; `None`: the protocol does not know it.
    fn enter(&self, side: usize, connection: u64, what: &str, is_answer: bool) -> Option<Arc<Client>> {
        let client = self.sides[side].clients.read().get(&connection).cloned();
        check!(self, client.is_some(), "{what} for an unknown connection");
        let client = client?;
        check!(self, !client.inside.swap(true, SeqCst), "{what} during another call for the connection");
        if is_answer {
            return Some(client);
        }
        check!(self, client.disconnected.get().is_none(), "{what} after disconnect");
        if client.removed.load(SeqCst) != 0 {
            // The host may have begun one on another thread: it looks at the connection, then calls.
            let here = *client.remover.lock() == Some(thread::current().id());
            let later = client.calls_after_removal.fetch_add(1, SeqCst);
            check!(self, !here && later == 0, "{what} begins after the removal");
        }
        Some(client)
    }

    fn seen(&self, side: usize, seen: &Seen<'_>) -> i32 {
        match seen {
            Seen::Broadcast { channels, payload } => self.broadcast(side, channels, payload),
            Seen::Join { connection, channel } => return self.join(side, *connection, channel),
            Seen::Leave { connection, channel } => {
                count(&self.counts.leaves);
                let Some(client) = self.enter(side, *connection, "leave", false) else { return 0 };
                if let Some(members) = self.sides[side].members.lock().get_mut(*channel) {
                    members.remove(connection);
                }
                self.mischief(side);
                client.inside.store(false, SeqCst);
            }
            Seen::Notify { connection, payload } => {
                count(&self.counts.notifications);
                let Some(client) = self.enter(side, *connection, "notify", false) else { return 0 };
                // The kernel's own are JSON objects.
                if let Ok(number) = std::str::from_utf8(payload.bytes()).unwrap().parse::<u64>() {
                    let expected = client.heard.fetch_add(1, SeqCst);
                    check!(self, number == expected, "notification {number} instead of {expected}");
                    if self.one_in(50) {
                        self.remove(&client);
                    }
                }
                self.mischief(side);
                client.inside.store(false, SeqCst);
            }
            Seen::Disconnect { connection } => {
                count(&self.counts.disconnects);
                let Some(client) = self.enter(side, *connection, "disconnect", false) else { return 0 };
                let _ = client.disconnected.set(Instant::now());
                check!(self, client.kicked.load(SeqCst), "disconnect for no reason");
                if self.one_in(2) {
                    self.remove(&client);
                }
                client.inside.store(false, SeqCst);
            }
            Seen::Response { request_id, status, content } => {
                self.response(side, request_id, *status, content)
            }
            Seen::Other => {}
        }
        raw::KUZZLE_OK
    }

    fn join(&self, side: usize, connection: u64, channel: &str) -> i32 {
        count(&self.counts.joins);
        let Some(client) = self.enter(side, connection, "join", false) else { return raw::KUZZLE_FAILED };
        let accepted = {
            let mut all = self.sides[side].members.lock();
            let members = all.entry(channel.to_owned()).or_default();
            let now = self.now();
            client.last_join.store(now, SeqCst);
            if client.leaving.load(SeqCst) || self.one_in(20) {
                members.remove(&connection);
                client.last_refusal.store(now, SeqCst);
                false
            } else {
                members.entry(connection).or_insert_with(|| Membership { since: now, heard: HashMap::new() });
                client.joins.lock().insert(channel.to_owned(), now);
                true
            }
        };
        self.mischief(side);
        client.inside.store(false, SeqCst);
        if accepted {
            raw::KUZZLE_OK
        } else {
            count(&self.counts.refused_joins);
            raw::KUZZLE_FAILED
        }
    }

    fn broadcast(&self, side: usize, channels: &[&str], payload: &testing::Payload<'_>) {
        count(&self.counts.broadcasts);
        let place = &self.sides[side];
        let message: Value = serde_json::from_slice(payload.bytes()).unwrap();
        if let Some(user) = message["user"].as_str() {
            self.user(side, user, &message);
        } else {
            count(&place.broadcasts);
            let body = &message["result"]["_source"];
            if let Some(number) = body["number"].as_u64() {
                let publisher = body["publisher"].as_u64().unwrap() as usize;
                let before = body["before"].as_u64().unwrap();
                self.message(side, channels, publisher, number, before);
            }
            if let Some(request) = place.requests.lock().get(message["requestId"].as_str().unwrap()) {
                request.broadcasts.fetch_add(1, SeqCst);
            }
        }
        if self.one_in(50) {
            let mut kept = place.kept.lock();
            if kept.len() == 20 {
                let oldest = self.random(20);
                kept.swap_remove(oldest);
            }
            kept.push(payload.retain());
        }
        self.mischief(side);
    }

    /// A numbered message reaches all members: the one after the last, unless those between were
    /// published before the member had joined.
    fn message(&self, side: usize, channels: &[&str], publisher: usize, number: u64, before: Moment) {
        let mut all = self.sides[side].members.lock();
        for channel in channels {
            for membership in all.get_mut(*channel).into_iter().flat_map(HashMap::values_mut) {
                let last = membership.heard.insert(publisher, number);
                let is_next = match last {
                    Some(last) => number > last && (number == last + 1 || before <= membership.since),
                    None => before <= membership.since,
                };
                check!(self, is_next, "message {number} of {publisher} after {last:?}");
            }
        }
    }

    /// That somebody has entered is not told its own protocol before it has entered.
    fn user(&self, side: usize, user: &str, message: &Value) {
        let who = message["volatile"]["who"].as_u64().unwrap();
        let client = self.sides[side].clients.read().get(&who).cloned();
        if let Some(client) = client.filter(|client| user == "in" && client.exclusive) {
            let is_joining = client.last_join.load(SeqCst) > client.subscribing.load(SeqCst);
            let is_ending = client.kicked.load(SeqCst) || client.leaving.load(SeqCst);
            check!(self, is_joining || is_ending, "told before the join");
        }
    }

    fn response(&self, side: usize, request_id: &str, status: u32, content: &[u8]) {
        count(&self.counts.answers);
        let Some(request) = self.sides[side].requests.lock().remove(request_id) else {
            check!(self, false, "{request_id} is answered twice, or was never asked");
            return;
        };
        let client = request.client.as_ref();
        if let Some(client) = client {
            self.enter(side, client.handle, "answer", true);
        }
        let is_leaving = client.is_some_and(|client| client.may_be_gone());
        let is_kicked = client.is_some_and(|client| client.kicked.load(SeqCst));
        if let Some(client) = client {
            let is_gone = client.removed.load(SeqCst) != 0;
            let by_us = *client.remover.lock() == Some(thread::current().id());
            check!(
                self,
                !(is_gone && by_us) || status == 400,
                "{request_id} is answered {status}, its connection is gone"
            );
        }
        match (&request.kind, status) {
            (_, 400) => {
                count(&self.counts.dropped_answers);
                check!(self, is_leaving, "{request_id} is dropped, its connection lives");
            }
            (Kind::Subscribe, 500) => {
                let refusal = client.map_or(0, |client| client.last_refusal.load(SeqCst));
                check!(self, refusal > request.began, "{request_id} is told of a refusal that there was not");
            }
            (Kind::Subscribe, 200) => {
                let answer: Value = serde_json::from_slice(content).unwrap();
                let channel = answer["result"]["channel"].as_str().unwrap();
                let joined = client.and_then(|client| client.joins.lock().get(channel).copied());
                check!(
                    self,
                    is_kicked || joined.is_some_and(|joined| joined > request.began),
                    "{request_id} is answered before its join"
                );
                if let Some(collection) = answer["collection"].as_str() {
                    let room = answer["result"]["roomId"].as_str().unwrap().to_owned();
                    self.rooms.lock().insert(room, collection[1..].parse().unwrap());
                }
            }
            (Kind::Publish { witnessed }, 200) => {
                let broadcasts = request.broadcasts.load(SeqCst);
                check!(
                    self,
                    broadcasts == 1 || (broadcasts == 0 && !witnessed),
                    "{request_id} is answered after {broadcasts} broadcasts"
                );
            }
            (Kind::Other, _) => {}
            _ => check!(self, false, "{request_id} is answered {status}"),
        }
        self.mischief(side);
        if let Some(client) = client {
            client.inside.store(false, SeqCst);
        }
        check!(self, request.status.swap(status, SeqCst) == 0, "{request_id} is answered twice");
    }

    /// One thread of a protocol.
    fn drive(&self, side: usize, publisher: usize, shared: &[Arc<Client>], over: &AtomicBool) {
        let mut own: Vec<Arc<Client>> = Vec::new();
        while !over.load(SeqCst) {
            own.retain(|client| client.is_usable());
            let collection = self.random(COLLECTIONS);
            let mut choice = self.random(100);
            if own.len() < 2 || (choice < 5 && own.len() < 8) {
                let client = self.connect(side, true);
                self.sides[side].victims.lock().push(client.clone());
                own.push(client);
                choice = 10;
            }
            let index = self.random(own.len());
            let anyone = self.random(SHARED);
            let crowded = self.crowded(side);
            match choice {
                ..20 => {
                    if let Some(request) = self.subscribe(&own[index], collection) {
                        self.answered(&request);
                    }
                }
                // Not waited for: others use the connection at the same time.
                20..25 => drop(self.subscribe(&shared[anyone], collection)),
                25..28 => drop(self.subscribe(&crowded, collection)),
                28..31 => self.unsubscribe(&shared[anyone], collection),
                31..33 => self.unsubscribe(&crowded, collection),
                33..38 => self.unsubscribe(&own[index], collection),
                38..45 => self.chat(&own[index], collection),
                45..47 => {
                    let client = own.swap_remove(index);
                    self.remove(&client);
                    assert!(self.subscribe(&client, collection).is_none(), "it is gone");
                }
                47 => drop(own.swap_remove(index)),
                48..55 => self.notify(&crowded),
                55..58 => self.notify(&own[index]),
                58 => {
                    // More than one drainer delivers.
                    for _ in 0..100 {
                        let now = json!({ "controller": "server", "action": "now" });
                        self.execute(side, Some(&shared[anyone]), Kind::Other, now);
                    }
                }
                59..70 => self.publish(publisher, side, None, collection),
                70..85 => {
                    self.publish(publisher, side, Some(&shared[SHARED + publisher % DRIVERS]), collection)
                }
                _ => self.publish(publisher, side, Some(&shared[anyone]), collection),
            }
        }
    }

    fn count_in_room(&self, room: &str) -> u64 {
        let request =
            json!({ "controller": "realtime", "action": "count", "body": { "roomId": room } }).to_string();
        let request = Request::parse(request.as_bytes()).unwrap();
        let caller =
            Caller { connection: None, uuid: None, protocol: "test", headers: &[], connection_headers: &[] };
        let response = self.host.kernel.execute(&request, &caller, &mut Discard);
        let answer: Value = serde_json::from_slice(response.content.as_bytes()).unwrap();
        answer["result"]["count"].as_u64().unwrap()
    }
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

fn from_env<T: std::str::FromStr>(name: &str) -> Option<T> {
    env::var(name).ok().and_then(|value| value.parse().ok())
}

#[test]
fn many_threads_over_three_protocols_at_once() {
    let seed = from_env("KUZZLE_STRESS_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("KUZZLE_STRESS_SEED={seed}");
    let lasts = Duration::from_secs_f64(from_env("KUZZLE_STRESS_SECONDS").unwrap_or(SECONDS));
    let (retained, released) = abi::payload_references();
    assert_eq!(retained, released);

    let (host, protocols) = host_with(["a", "b", "c"]);
    let side = |test: &TestProtocol| Side {
        probe: test.probe,
        protocol: test.protocol,
        clients: RwLock::default(),
        victims: Mutex::default(),
        crowded: Mutex::default(),
        members: Mutex::default(),
        requests: Mutex::default(),
        kept: Mutex::default(),
        broadcasts: AtomicU64::new(0),
    };
    let world: &'static World = Box::leak(Box::new(World {
        host,
        sides: protocols.each_ref().map(side),
        clock: AtomicU64::new(0),
        random: AtomicU64::new(seed.wrapping_mul(0xd129_0f6e_57a1_0a8b)),
        violations: Mutex::default(),
        publishers: (0..3 * DRIVERS).map(|_| Publisher::default()).collect(),
        rooms: Mutex::default(),
        published: AtomicU64::new(0),
        counts: Counts::default(),
    }));
    for (number, side) in world.sides.iter().enumerate() {
        side.probe.watch(move |seen| world.seen(number, seen));
    }
    let witnesses: Vec<Vec<Arc<Client>>> = (0..3)
        .map(|side| {
            let subscribe = |collection| {
                let client = world.connect(side, true);
                while world.answered(&world.subscribe(&client, collection).unwrap()) != 200 {}
                client
            };
            (0..WITNESSED).map(subscribe).collect()
        })
        .collect();
    let shared: Vec<Vec<_>> =
        (0..3).map(|side| (0..SHARED + DRIVERS).map(|_| world.connect(side, false)).collect()).collect();

    let over = AtomicBool::new(false);
    let kicks = AtomicUsize::new(0);
    thread::scope(|scope| {
        for (side, shared) in shared.iter().enumerate() {
            for driver in 0..DRIVERS {
                let over = &over;
                scope.spawn(move || world.drive(side, side * DRIVERS + driver, shared, over));
            }
        }
        // Others cut clients off, and remove those that have vanished, at any time.
        scope.spawn(|| {
            while !over.load(SeqCst) {
                thread::sleep(Duration::from_millis(2));
                let side = world.random(3);
                let victim = {
                    let victims = world.sides[side].victims.lock();
                    (!victims.is_empty()).then(|| victims[world.random(victims.len())].clone())
                };
                if let Some(victim) = victim {
                    world.kick(&victim);
                    kicks.fetch_add(1, SeqCst);
                }
            }
        });
        thread::sleep(lasts);
        over.store(true, SeqCst);
    });

    let all_is_delivered = || {
        protocols.iter().all(|test| test.protocol.queue.is_idle())
            && world.sides.iter().all(|side| side.requests.lock().is_empty())
    };
    wait_until("something is not answered", all_is_delivered);
    println!("{:?} {} kicks", world.counts, kicks.load(SeqCst));
    assert_eq!(*world.violations.lock(), [""; 0]);

    // The witnesses have heard everything.
    for (number, witness) in witnesses.iter().flat_map(|side| side.iter().enumerate()) {
        let members = world.sides[witness.side].members.lock();
        let membership = members.values().find_map(|members| members.get(&witness.handle)).unwrap();
        for (publisher, published) in world.publishers.iter().enumerate() {
            let all = published.collections[number].lock().number;
            let heard = membership.heard.get(&publisher).copied();
            assert_eq!(heard.unwrap_or(0), all, "a witness has not heard everything");
        }
    }

    // Kernel and protocols agree on who is where.
    for side in &world.sides {
        let clients: Vec<_> = side.clients.read().values().cloned().collect();
        clients.iter().filter(|client| client.kicked.load(SeqCst)).for_each(|client| world.remove(client));
    }
    wait_until("removals are not delivered", all_is_delivered);
    let rooms = world.rooms.lock().clone();
    assert_eq!(rooms.len(), COLLECTIONS);
    for room in rooms.keys() {
        let members: HashSet<u64> = world
            .sides
            .iter()
            .flat_map(|side| {
                let members = side.members.lock();
                let here = members.iter().filter(|(channel, _)| channel.starts_with(room));
                here.flat_map(|(_, members)| members.keys().copied()).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(members.len() as u64, world.count_in_room(room), "kernel and protocols disagree");
    }

    // Nothing is left.
    for side in &world.sides {
        let clients: Vec<_> = side.clients.read().values().cloned().collect();
        clients.iter().for_each(|client| world.remove(client));
    }
    wait_until("removals are not delivered", all_is_delivered);
    world.sides.iter().for_each(|side| side.kept.lock().clear());
    let kernel = &host.kernel;
    assert_eq!((host.connections.len(), kernel.connections(), kernel.subscriptions()), (0, 0, 0));
    assert_eq!((kernel.rooms(), kernel.collections(), kernel.running_requests()), (0, 0, 0));
    for test in &protocols {
        assert_eq!((test.protocol.counters.connections.get(), test.protocol.counters.dropped.get()), (0, 0));
    }
    // Nor does any queue, outbox or thread keep a connection.
    let clients =
        || world.sides.iter().flat_map(|side| side.clients.read().values().cloned().collect::<Vec<_>>());
    wait_until("a connection is kept", || clients().all(|client| client.connection.strong_count() == 0));
    wait_until("a payload is kept", || {
        let (retained, released) = abi::payload_references();
        retained == released && retained > 0
    });
    assert_eq!(host.shut_down(DEADLINE), Outcome::Clean);
    assert_eq!(*world.violations.lock(), [""; 0]);
    let counts = &world.counts;
    assert_eq!(counts.answers.load(SeqCst), counts.accepted.load(SeqCst));
    for (what, counter) in [
        ("refused joins", &counts.refused_joins),
        ("disconnects", &counts.disconnects),
        ("removals in callbacks", &counts.removed_in_callbacks),
        ("answers to connections that are gone", &counts.dropped_answers),
        ("requests in callbacks", &counts.reentrant),
        ("requests for connections that are gone", &counts.refused),
        ("notifications", &counts.notifications),
        ("leaves", &counts.leaves),
    ] {
        assert!(counter.load(SeqCst) > 0, "there were no {what}");
    }
}
