//! Who has sent something, and who listens to which channel.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use kuzzle_protocol_abi::{Connection, ConnectionId};

/// A client is an address. A [`Connection`] is never dropped under the lock of this table: its
/// removal can notify others, which takes the lock.
#[derive(Default)]
pub(crate) struct Clients {
    pub(crate) by_address: HashMap<SocketAddr, Client>,
    pub(crate) by_id: HashMap<ConnectionId, SocketAddr>,
    pub(crate) channels: HashMap<String, HashSet<SocketAddr>>,
}

pub(crate) struct Client {
    pub(crate) connection: Connection,
    pub(crate) channels: HashSet<String>,
    pub(crate) heard: Instant,
}

impl Clients {
    pub(crate) fn join(&mut self, id: ConnectionId, channel: &str) -> Option<()> {
        let address = *self.by_id.get(&id)?;
        self.by_address.get_mut(&address)?.channels.insert(channel.to_owned());
        self.channels.entry(channel.to_owned()).or_default().insert(address);
        Some(())
    }

    pub(crate) fn leave(&mut self, id: ConnectionId, channel: &str) -> Option<()> {
        let address = *self.by_id.get(&id)?;
        self.by_address.get_mut(&address)?.channels.remove(channel);
        self.leave_index(address, channel);
        Some(())
    }

    fn leave_index(&mut self, address: SocketAddr, channel: &str) {
        if let Some(members) = self.channels.get_mut(channel) {
            members.remove(&address);
            if members.is_empty() {
                self.channels.remove(channel);
            }
        }
    }

    #[must_use = "drop it when the lock is released"]
    pub(crate) fn forget(&mut self, id: ConnectionId) -> Option<Connection> {
        let address = self.by_id.remove(&id)?;
        let client = self.by_address.remove(&address)?;
        client.channels.iter().for_each(|channel| self.leave_index(address, channel));
        Some(client.connection)
    }

    #[must_use = "drop them when the lock is released"]
    pub(crate) fn forget_idle(&mut self, now: Instant, timeout: Duration) -> Vec<Connection> {
        let idle = |client: &&Client| now.duration_since(client.heard) >= timeout;
        let idle: Vec<_> = self.by_address.values().filter(idle).map(|c| c.connection.id()).collect();
        idle.into_iter().filter_map(|id| self.forget(id)).collect()
    }
}
