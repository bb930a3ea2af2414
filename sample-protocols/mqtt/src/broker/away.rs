//! Sessions whose client is away: which of them makes room for a new one.

use std::collections::BTreeSet;
use std::net::IpAddr;

/// A session that is away, by its place in the broker's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Absence {
    /// When it ends, in milliseconds; `u64::MAX`: never.
    pub(super) ends: u64,
    pub(super) since: u64,
    pub(super) session: u32,
}

/// All of them, those first that end first, together and by the addresses of their clients.
#[derive(Debug, Default)]
pub(super) struct Away {
    all: BTreeSet<Absence>,
    by_address: BTreeSet<(Option<IpAddr>, Absence)>,
}

impl Away {
    pub(super) fn insert(&mut self, address: Option<IpAddr>, absence: Absence) {
        self.all.insert(absence);
        self.by_address.insert((address, absence));
    }

    pub(super) fn remove(&mut self, address: Option<IpAddr>, absence: Absence) {
        self.all.remove(&absence);
        self.by_address.remove(&(address, absence));
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The session that makes room for one of this address: one of the same address, if there is any, so
    /// that nobody pushes out the sessions of others by making many. Of these the one that ends first.
    pub(super) fn makes_room_for(&self, address: Option<IpAddr>) -> Option<u32> {
        let first = (address, Absence { ends: 0, since: 0, session: 0 });
        let own = self.by_address.range(first..).next().filter(|(of, _)| *of == address);
        own.map(|(_, absence)| absence).or(self.all.first()).map(|absence| absence.session)
    }
}
