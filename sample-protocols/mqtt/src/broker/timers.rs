//! Deadlines: each owner has at most one.

use std::collections::BTreeSet;

/// Who has a deadline. The numbers are places in the broker's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owner {
    Connection(u32),
    Session(u32),
    /// Wills and messages of shares.
    Leftovers,
    /// All retained messages together.
    Retained,
}

/// All deadlines, in milliseconds. Each owner keeps its own, to be able to move it.
#[derive(Debug, Default)]
pub(super) struct Timers(BTreeSet<(u64, Owner)>);

impl Timers {
    /// Moves a deadline from `old` (`None`: there is none) to `new`.
    pub(super) fn set(&mut self, owner: Owner, old: &mut Option<u64>, new: Option<u64>) {
        if *old == new {
            return;
        }
        if let Some(at) = *old {
            self.0.remove(&(at, owner));
        }
        if let Some(at) = new {
            self.0.insert((at, owner));
        }
        *old = new;
    }

    /// The next owner whose deadline has come; it stays until it is moved.
    pub(super) fn due(&self, now: u64) -> Option<Owner> {
        self.0.first().filter(|(at, _)| *at <= now).map(|(_, owner)| *owner)
    }

    pub(super) fn next(&self) -> Option<u64> {
        self.0.first().map(|(at, _)| *at)
    }
}
