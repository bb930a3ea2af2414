//! Who is connected, and who listens to which channel.
//!
//! Broadcasts only take read locks, each for as long as it takes to append to queues; nothing calls the host under
//! a lock but `new_connection`, which never calls back.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kuzzle_protocol_abi::{Connection, ConnectionId, Error};
use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashMap;

use super::outbox::Outbox;

const SHARDS: usize = 16;

/// A connected client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: ConnectionId,
    pub(crate) outbox: Outbox,
    /// When something last came from it (or was sent to it, if that counts): ticks of the clock.
    pub(crate) active: AtomicU64,
    /// What `active` was when a ping was sent, plus 1.
    pinged: AtomicU64,
    /// When it was first seen to be closing, plus 1.
    closing: AtomicU64,
    joined: Mutex<Joined>,
}

#[derive(Debug, Default)]
struct Joined {
    channels: HashMap<Arc<str>, ()>,
    gone: bool,
}

/// Those who listen to a channel. The order is none.
#[derive(Debug, Default)]
struct Members {
    clients: Vec<Arc<Client>>,
    places: FxHashMap<ConnectionId, u32>,
}

impl Members {
    fn add(&mut self, client: &Arc<Client>) {
        if let std::collections::hash_map::Entry::Vacant(place) = self.places.entry(client.id) {
            place.insert(u32::try_from(self.clients.len()).expect("connections are 24 bits"));
            self.clients.push(Arc::clone(client));
        }
    }

    fn remove(&mut self, id: ConnectionId) {
        let Some(place) = self.places.remove(&id) else { return };
        self.clients.swap_remove(place as usize);
        if let Some(moved) = self.clients.get(place as usize) {
            self.places.insert(moved.id, place);
        }
        if self.clients.capacity() > 64 && self.clients.len() < self.clients.capacity() / 4 {
            self.clients.shrink_to_fit();
            self.places.shrink_to_fit();
        }
    }
}

type Channel = Arc<RwLock<Members>>;

/// All clients of the protocol.
#[derive(Debug)]
pub(crate) struct Clients {
    /// Held from before a connection is declared until it can be found.
    registering: Mutex<()>,
    by_id: [RwLock<FxHashMap<ConnectionId, Arc<Client>>>; SHARDS],
    channels: [RwLock<HashMap<Arc<str>, Channel>>; SHARDS],
    hasher: RandomState,
}

impl Clients {
    pub(crate) fn new() -> Self {
        Self {
            registering: Mutex::default(),
            by_id: Default::default(),
            channels: Default::default(),
            hasher: RandomState::new(),
        }
    }

    fn of_id(&self, id: ConnectionId) -> &RwLock<FxHashMap<ConnectionId, Arc<Client>>> {
        &self.by_id[id.as_raw() as usize % SHARDS]
    }

    fn of_channel(&self, channel: &str) -> &RwLock<HashMap<Arc<str>, Channel>> {
        &self.channels[self.hasher.hash_one(channel) as usize % SHARDS]
    }

    /// Declares a client and stores it, so that no call of the host finds it declared but unknown.
    ///
    /// # Errors
    /// The host refuses the client.
    pub(crate) fn add(
        &self,
        now: u64,
        declare: impl FnOnce() -> Result<Connection, Error>,
    ) -> Result<(Connection, Arc<Client>), Error> {
        let _registering = self.registering.lock();
        let connection = declare()?;
        let client = Arc::new(Client {
            id: connection.id(),
            outbox: Outbox::default(),
            active: AtomicU64::new(now),
            pinged: AtomicU64::new(0),
            closing: AtomicU64::new(0),
            joined: Mutex::default(),
        });
        self.of_id(client.id).write().insert(client.id, Arc::clone(&client));
        Ok((connection, client))
    }

    /// Forgets a client and its channels.
    pub(crate) fn remove(&self, client: &Client) {
        self.of_id(client.id).write().remove(&client.id);
        let channels = {
            let mut joined = client.joined.lock();
            joined.gone = true;
            std::mem::take(&mut joined.channels)
        };
        for channel in channels.into_keys() {
            self.leave_index(client.id, &channel);
        }
    }

    /// The client of this connection.
    pub(crate) fn get(&self, id: ConnectionId) -> Option<Arc<Client>> {
        let find = || self.of_id(id).read().get(&id).cloned();
        find().or_else(|| {
            // It may be on its way into the table.
            drop(self.registering.lock());
            find()
        })
    }

    /// The client listens to the channel; false: it is unknown, or has gone.
    pub(crate) fn join(&self, id: ConnectionId, channel: &str) -> bool {
        let Some(client) = self.get(id) else { return false };
        let mut joined = client.joined.lock();
        if joined.gone {
            return false;
        }
        if joined.channels.contains_key(channel) {
            return true;
        }
        let mut channels = self.of_channel(channel).write();
        let (name, members) = match channels.get_key_value(channel) {
            Some((name, members)) => (Arc::clone(name), members),
            None => {
                let name: Arc<str> = channel.into();
                (Arc::clone(&name), &*channels.entry(name).or_default())
            }
        };
        members.write().add(&client);
        drop(channels);
        joined.channels.insert(name, ());
        true
    }

    /// The client no longer listens to the channel.
    pub(crate) fn leave(&self, id: ConnectionId, channel: &str) {
        let Some(client) = self.get(id) else { return };
        if client.joined.lock().channels.remove(channel).is_some() {
            self.leave_index(id, channel);
        }
    }

    fn leave_index(&self, id: ConnectionId, channel: &str) {
        let mut channels = self.of_channel(channel).write();
        let Some(members) = channels.get(channel) else { return };
        let mut members = members.write();
        members.remove(id);
        let empty = members.clients.is_empty();
        drop(members);
        if empty {
            channels.remove(channel);
        }
    }

    /// Calls `f` for everybody who listens to the channel, under its read lock.
    pub(crate) fn listeners(&self, channel: &str, f: impl FnOnce(&[Arc<Client>])) {
        let members = self.of_channel(channel).read().get(channel).cloned();
        if let Some(members) = members {
            f(&members.read().clients);
        }
    }

    /// Everybody who is connected now.
    pub(crate) fn all(&self) -> Vec<Arc<Client>> {
        self.by_id.iter().flat_map(|shard| shard.read().values().cloned().collect::<Vec<_>>()).collect()
    }
}

impl Client {
    /// Something came from it, or goes to it.
    pub(crate) fn touch(&self, now: u64) {
        self.active.store(now, Ordering::Relaxed);
    }

    /// Whether it is time to ask whether it is still there: once in each silence.
    pub(crate) fn wants_ping(&self, idle: u64, timeout: u64) -> bool {
        let silence = self.active.load(Ordering::Relaxed) + 1;
        idle >= timeout - timeout / 4 && self.pinged.swap(silence, Ordering::Relaxed) != silence
    }

    /// When it was first asked for this.
    pub(crate) fn closing_since(&self, now: u64) -> u64 {
        match self.closing.compare_exchange(0, now + 1, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => now,
            Err(since) => since - 1,
        }
    }
}
