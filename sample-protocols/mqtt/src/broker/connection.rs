//! What is known of a network connection.

use std::sync::Arc;

use foldhash::{HashMap, HashSet};
use rustc_hash::FxHashMap;

use super::frame::Role;
use super::memory::{Kept, Memory};
use super::{Frame, Key};
use crate::codec::Version;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// For CONNECT.
    Waiting,
    /// With this session.
    Live(u32),
    /// What it has still to be told is told, then it is closed.
    Closed,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) key: Key,
    pub(super) worker: usize,
    pub(super) stage: Stage,
    /// Until CONNECT it does not matter.
    pub(super) version: Version,
    /// Whether the worker still has it.
    pub(super) network: bool,
    /// Whether the host knows it.
    pub(super) declared: bool,
    /// Its place in the timers.
    pub(super) deadline: Option<u64>,
    /// When nothing has been heard for so long, it is lost; in milliseconds, 0: never.
    pub(super) silence: u64,
    pub(super) last_heard: u64,
    /// The largest packet that the client takes.
    pub(super) maximum: usize,
    /// Whether the client wants reason strings.
    pub(super) reasons: bool,
    /// Topics by the client's aliases.
    aliases: FxHashMap<u16, Arc<str>>,
    /// Aliases that the client has been told.
    pub(super) told: Option<Box<Told>>,
    aliases_kept: usize,
    /// Channels that it has joined.
    pub(super) joined: HashSet<Arc<str>>,
    pub(super) outbox: Vec<Frame>,
    outbox_cost: usize,
    /// What it takes itself, with the frames that are not shared.
    outbox_kept: usize,
    /// The part of it that may be lost.
    droppable_cost: usize,
    /// The part of it that the client has asked for.
    owed_cost: usize,
    pub(super) dirty: bool,
    /// The outbox has waited for the network.
    pub(super) waited: bool,
    /// QoS 2 messages that have come over this connection and are not released.
    pub(super) receiving: u16,
    /// It cannot be told something that it must be told: it is to be closed.
    pub(super) is_lost: bool,
    /// More waits for the client than its queue holds: it is to be closed.
    pub(super) overflowing: bool,
    /// Its part of the memory.
    pub(super) kept: Kept,
}

/// Topic aliases of one connection, towards the client.
#[derive(Debug)]
pub(super) struct Told {
    /// The highest one.
    pub(super) maximum: u16,
    pub(super) aliases: HashMap<Arc<str>, u16>,
}

/// What a worker has to do for a connection.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) frames: Vec<Frame>,
    /// Close it when they are written.
    pub(crate) close: bool,
    /// They have waited for the network: some may have expired.
    pub(crate) waited: bool,
    /// The frames' part of the memory.
    pub(crate) kept: Kept,
}

/// What a connection takes in all tables together, about.
const BASE: usize = size_of::<Connection>() + 512;

impl Connection {
    pub(super) fn new(key: Key, worker: usize, memory: &Memory) -> Self {
        Self {
            key,
            worker,
            stage: Stage::Waiting,
            version: Version::V311,
            network: true,
            declared: false,
            deadline: None,
            silence: 0,
            last_heard: 0,
            maximum: usize::MAX,
            reasons: true,
            aliases: FxHashMap::default(),
            told: None,
            aliases_kept: 0,
            joined: HashSet::default(),
            outbox: Vec::new(),
            outbox_cost: 0,
            outbox_kept: 0,
            droppable_cost: 0,
            owed_cost: 0,
            dirty: false,
            waited: false,
            receiving: 0,
            is_lost: false,
            overflowing: false,
            kept: memory.keep(BASE),
        }
    }

    pub(super) fn push(&mut self, frame: Frame) {
        let cost = frame.cost();
        self.outbox_cost += cost;
        match &frame {
            Frame::Publish { role: Role::Droppable, .. } => self.droppable_cost += cost,
            Frame::Publish { role: Role::Delivery | Role::Retained, .. } => {}
            _ => self.owed_cost += cost,
        }
        if let Frame::Other(bytes) = &frame {
            self.keep_outbox(bytes.len());
        }
        let before = self.outbox.capacity();
        self.outbox.push(frame);
        if self.outbox.capacity() > before {
            self.keep_outbox((self.outbox.capacity() - before) * size_of::<Frame>());
        }
    }

    /// What waits here and may be lost, in bytes.
    pub(super) fn droppable(&self) -> usize {
        self.droppable_cost
    }

    /// What waits here because the client has asked for it, in bytes.
    pub(super) fn owed(&self) -> usize {
        self.owed_cost
    }

    /// What waits here, in bytes.
    pub(super) fn queued(&self) -> usize {
        self.outbox_cost
    }

    /// Drops what may be lost. Answers how many messages that were.
    pub(super) fn shed(&mut self) -> u64 {
        if self.droppable_cost == 0 {
            return 0;
        }
        let before = self.outbox.len();
        self.outbox.retain(|frame| !matches!(frame, Frame::Publish { role: Role::Droppable, .. }));
        self.outbox_cost -= std::mem::take(&mut self.droppable_cost);
        (before - self.outbox.len()) as u64
    }

    fn keep_outbox(&mut self, bytes: usize) {
        self.outbox_kept += bytes;
        self.kept.add(bytes);
    }

    pub(super) fn take(&mut self) -> Taken {
        self.dirty = false;
        (self.outbox_cost, self.droppable_cost, self.owed_cost) = (0, 0, 0);
        let kept = self.kept.split(std::mem::take(&mut self.outbox_kept));
        Taken {
            frames: std::mem::take(&mut self.outbox),
            close: self.stage == Stage::Closed,
            waited: std::mem::take(&mut self.waited),
            kept,
        }
    }

    /// The topic that the client's alias stands for.
    pub(super) fn alias(&self, alias: u16) -> Option<Arc<str>> {
        self.aliases.get(&alias).cloned()
    }

    /// The client's alias stands for the topic from now on; `None`: for none. False: there is no memory
    /// left for it.
    pub(super) fn set_alias(&mut self, alias: u16, topic: Option<&str>, memory: &Memory) -> bool {
        if let Some(old) = self.aliases.remove(&alias) {
            self.keep_aliases(self.aliases_kept - alias_cost(&old));
        }
        let Some(topic) = topic else { return true };
        if !memory.has_room(self.kept.bytes(), alias_cost(topic)) {
            return false;
        }
        self.keep_aliases(self.aliases_kept + alias_cost(topic));
        self.aliases.insert(alias, topic.into());
        true
    }

    /// The alias towards the client for the topic, and whether the client has still to be told. 0: it
    /// can be told of no further ones.
    pub(super) fn alias_of(&self, topic: &Arc<str>, memory: &Memory) -> (u16, bool) {
        let Some(told) = &self.told else { return (0, false) };
        match told.aliases.get(topic) {
            Some(known) => (*known, false),
            None if told.aliases.len() < usize::from(told.maximum)
                && memory.has_room(self.kept.bytes(), alias_cost(topic)) =>
            {
                (told.aliases.len() as u16 + 1, true)
            }
            None => (0, false),
        }
    }

    /// The client is told of the alias.
    pub(super) fn tell_alias(&mut self, topic: &Arc<str>, alias: u16) {
        if let Some(told) = &mut self.told {
            told.aliases.insert(Arc::clone(topic), alias);
            self.keep_aliases(self.aliases_kept + alias_cost(topic));
        }
    }

    /// In both directions.
    pub(super) fn forget_aliases(&mut self) {
        self.aliases = FxHashMap::default();
        self.told = None;
        self.keep_aliases(0);
    }

    fn keep_aliases(&mut self, bytes: usize) {
        self.kept.add(bytes.saturating_sub(self.aliases_kept));
        self.kept.sub(self.aliases_kept.saturating_sub(bytes));
        self.aliases_kept = bytes;
    }
}

/// What an alias takes, in bytes.
fn alias_cost(topic: &str) -> usize {
    topic.len() + 64
}
