//! What is known of a network connection.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

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
    /// Topics by the client's aliases, from 1 on.
    pub(super) aliases: Vec<Option<Arc<str>>>,
    /// Aliases that the client has been told.
    pub(super) told: Option<Box<Told>>,
    /// Channels that it has joined.
    pub(super) joined: FxHashSet<Arc<str>>,
    outbox: Vec<Frame>,
    outbox_cost: usize,
    /// The part of it that may be lost.
    droppable_cost: usize,
    pub(super) dirty: bool,
    /// More waits for the client than its queue holds: it is to be closed.
    pub(super) overflowing: bool,
}

/// Topic aliases of one connection, towards the client.
#[derive(Debug)]
pub(super) struct Told {
    /// The highest one.
    pub(super) maximum: u16,
    pub(super) aliases: FxHashMap<Arc<str>, u16>,
}

/// What a worker has to do for a connection.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) frames: Vec<Frame>,
    /// Close it when they are written.
    pub(crate) close: bool,
}

impl Connection {
    pub(super) fn new(key: Key, worker: usize) -> Self {
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
            aliases: Vec::new(),
            told: None,
            joined: FxHashSet::default(),
            outbox: Vec::new(),
            outbox_cost: 0,
            droppable_cost: 0,
            dirty: false,
            overflowing: false,
        }
    }

    pub(super) fn push(&mut self, frame: Frame) {
        self.outbox_cost += frame.cost();
        if let Frame::Publish { droppable: true, .. } = &frame {
            self.droppable_cost += frame.cost();
        }
        self.outbox.push(frame);
    }

    /// What waits here and may be lost, in bytes.
    pub(super) fn droppable(&self) -> usize {
        self.droppable_cost
    }

    /// What waits here, in bytes.
    pub(super) fn queued(&self) -> usize {
        self.outbox_cost
    }

    /// Drops what may be lost. Answers how many messages that were.
    pub(super) fn shed(&mut self) -> u64 {
        let before = self.outbox.len();
        self.outbox.retain(|frame| !matches!(frame, Frame::Publish { droppable: true, .. }));
        self.outbox_cost -= std::mem::take(&mut self.droppable_cost);
        (before - self.outbox.len()) as u64
    }

    pub(super) fn take(&mut self) -> Taken {
        self.dirty = false;
        (self.outbox_cost, self.droppable_cost) = (0, 0);
        Taken { frames: std::mem::take(&mut self.outbox), close: self.stage == Stage::Closed }
    }
}
