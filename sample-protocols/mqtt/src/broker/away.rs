//! Sessions whose client is away: which of them makes room for a new one.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

/// A session that is away, by its place in the broker's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Absence {
    /// When it ends, in milliseconds; `u64::MAX`: never.
    pub(super) ends: u64,
    pub(super) since: u64,
    pub(super) session: u32,
}

/// All of them, those first that end first, together and by the networks of their clients.
#[derive(Debug, Default)]
pub(super) struct Away {
    all: BTreeSet<Absence>,
    by_network: BTreeSet<(Option<IpAddr>, Absence)>,
}

impl Away {
    pub(super) fn insert(&mut self, network: Option<IpAddr>, absence: Absence) {
        self.all.insert(absence);
        self.by_network.insert((network, absence));
    }

    pub(super) fn remove(&mut self, network: Option<IpAddr>, absence: Absence) {
        self.all.remove(&absence);
        self.by_network.remove(&(network, absence));
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The session that makes room for one of this network: one of the same network, if there is any, so
    /// that nobody pushes out the sessions of others by making many. Of these the one that ends first.
    pub(super) fn makes_room_for(&self, network: Option<IpAddr>) -> Option<u32> {
        let first = (network, Absence { ends: 0, since: 0, session: 0 });
        let own = self.by_network.range(first..).next().filter(|(of, _)| *of == network);
        own.map(|(_, absence)| absence).or(self.all.first()).map(|absence| absence.session)
    }
}

/// What one client can have many addresses of: of IPv6 the first 64 bits.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        older => older,
    }
}
