//! Client connections: a table from 64-bit handles to connections that a stale or foreign handle
//! can never fool.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use kuzzle_kernel::ConnectionId;
use uuid::Uuid;

use super::outbox::Outbox;
use super::protocol::Protocol;
use super::sync::{Mutex, fence};

const SLOT_BITS: u32 = 24;
const SLOT_MASK: u64 = (1 << SLOT_BITS) - 1;
const LAST_GENERATION: u64 = (1 << (64 - SLOT_BITS)) - 1;
const FIRST_BUCKET: usize = 16;
const BUCKETS: usize = (SLOT_BITS - FIRST_BUCKET.trailing_zeros()) as usize;

/// A connection's number in the ABI: 24 bits of slot, 40 bits of generation, never 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Handle(pub u64);

impl Handle {
    fn new(slot: u32, generation: u64) -> Self {
        Self(generation << SLOT_BITS | u64::from(slot))
    }

    fn slot(self) -> usize {
        (self.0 & SLOT_MASK) as usize
    }

    fn generation(self) -> u64 {
        self.0 >> SLOT_BITS
    }

    /// The kernel's name for this connection.
    pub fn id(self) -> ConnectionId {
        ConnectionId(self.0)
    }
}

/// A client of a protocol.
pub struct Connection {
    /// Its number in the ABI.
    pub handle: Handle,
    /// Its name for clients and logs.
    pub uuid: Uuid,
    /// Whose client it is: routing goes by this, never by the label.
    pub protocol: &'static Protocol,
    /// Shown in requests, notifications, statistics and logs; `None`: the protocol's name.
    pub label: Option<Box<str>>,
    /// The client first, the direct peer last.
    pub ips: Box<[Box<str>]>,
    /// Name and value.
    pub headers: Box<[(Box<str>, Box<str>)]>,
    /// What is on its way to the protocol for this connection.
    pub outbox: Outbox,
}

impl Connection {
    /// The label, or the protocol's name.
    pub fn label(&self) -> &str {
        self.label.as_deref().unwrap_or(&self.protocol.name)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.uuid, self.label())
    }
}

#[derive(Default)]
struct Slot {
    state: Mutex<SlotState>,
}

#[derive(Default)]
struct SlotState {
    /// Of the connection in the slot, or of the last one.
    generation: u64,
    connection: Option<Arc<Connection>>,
}

#[derive(Default)]
struct Free {
    slots: VecDeque<u32>,
    never_used: u32,
}

/// All connections of all protocols. A lookup takes one uncontended lock of one slot.
pub struct Connections {
    /// Bucket `k` holds `16 << k` slots and is made when it is first needed: slots never move.
    buckets: [OnceLock<Box<[Slot]>>; BUCKETS],
    free: Mutex<Free>,
    live: AtomicUsize,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            buckets: [const { OnceLock::new() }; BUCKETS],
            free: Mutex::default(),
            live: AtomicUsize::new(0),
        }
    }
}

impl Connections {
    /// Adds the connection that `make` builds for its handle; `None` when all 2^24 slots are taken. Its
    /// protocol has counted it before.
    pub fn add(&self, make: impl FnOnce(Handle) -> Connection) -> Option<Arc<Connection>> {
        let slot = {
            let mut free = self.free.lock();
            match free.slots.pop_front() {
                Some(slot) => slot,
                None if (free.never_used as usize) < FIRST_BUCKET * ((1 << BUCKETS) - 1) => {
                    free.never_used += 1;
                    free.never_used - 1
                }
                None => return None,
            }
        };
        let (bucket, offset) = place(slot as usize);
        let bucket = self.buckets[bucket]
            .get_or_init(|| (0..FIRST_BUCKET << bucket).map(|_| Slot::default()).collect());
        let mut state = bucket[offset].state.lock();
        state.generation += 1;
        let connection = Arc::new(make(Handle::new(slot, state.generation)));
        state.connection = Some(connection.clone());
        self.live.fetch_add(1, Ordering::Relaxed);
        Some(connection)
    }

    /// The connection of a handle, if it lives and belongs to `owner`.
    pub fn get(&self, handle: Handle, owner: &Protocol) -> Option<Arc<Connection>> {
        self.find(handle).filter(|connection| std::ptr::eq(connection.protocol, owner))
    }

    /// The connection of a handle, whoever owns it.
    pub fn find(&self, handle: Handle) -> Option<Arc<Connection>> {
        let state = self.slot(handle)?.state.lock();
        if state.generation == handle.generation() { state.connection.clone() } else { None }
    }

    /// Takes the connection out: its handle is stale from now on. `None` if it was so already, or
    /// belongs to somebody else.
    pub fn remove(&self, handle: Handle, owner: &Protocol) -> Option<Arc<Connection>> {
        let mut state = self.slot(handle)?.state.lock();
        if state.generation != handle.generation()
            || !state.connection.as_ref().is_some_and(|connection| std::ptr::eq(connection.protocol, owner))
        {
            return None;
        }
        let connection = state.connection.take();
        owner.counters.connections.subtract();
        let retired = state.generation == LAST_GENERATION;
        drop(state);
        self.live.fetch_sub(1, Ordering::Relaxed);
        if !retired {
            self.free.lock().slots.push_back(handle.slot() as u32);
        }
        connection
    }

    /// How many connections live.
    pub fn len(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// Whether no connection lives.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The connections that live now, of one protocol or of all.
    ///
    /// Whoever has changed a state before this sees each connection here, or whoever adds it sees
    /// the change afterwards: see `entry_point::new_connection`.
    pub fn all(&self, owner: Option<&Protocol>) -> Vec<Arc<Connection>> {
        fence(Ordering::SeqCst);
        let slots = self.buckets.iter().filter_map(OnceLock::get).flatten();
        slots
            .filter_map(|slot| slot.state.lock().connection.clone())
            .filter(|connection| owner.is_none_or(|owner| std::ptr::eq(connection.protocol, owner)))
            .collect()
    }

    /// As if the free slot of this handle had been used for all generations but one.
    #[cfg(test)]
    pub(super) fn wear_out(&self, handle: Handle) {
        self.slot(handle).expect("it was used").state.lock().generation = LAST_GENERATION - 1;
    }

    fn slot(&self, handle: Handle) -> Option<&Slot> {
        let (bucket, offset) = place(handle.slot());
        self.buckets.get(bucket)?.get()?.get(offset)
    }
}

/// Bucket and offset of a slot.
fn place(slot: usize) -> (usize, usize) {
    let position = slot + FIRST_BUCKET;
    let bucket = position.ilog2() - FIRST_BUCKET.ilog2();
    (bucket as usize, position - (FIRST_BUCKET << bucket))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serving::testing;

    fn connection(protocol: &'static Protocol) -> impl Fn(Handle) -> Connection {
        move |handle| testing::connection(handle, protocol)
    }

    #[test]
    fn slots_fill_the_buckets_without_gaps() {
        let mut expected = (0, 0);
        for slot in 0..10_000 {
            assert_eq!(place(slot), expected);
            expected.1 += 1;
            if expected.1 == FIRST_BUCKET << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
        assert_eq!(place((1 << SLOT_BITS) - 17).0, BUCKETS - 1);
    }

    #[test]
    fn a_handle_is_stale_after_removal_and_when_its_slot_is_used_again() {
        let protocol = testing::protocol("p");
        let table = Connections::default();
        let first = table.add(connection(protocol)).unwrap().handle;
        assert!(table.get(first, protocol).is_some());
        assert!(table.remove(first, protocol).is_some());
        assert!(table.remove(first, protocol).is_none());
        let second = table.add(connection(protocol)).unwrap().handle;
        assert_eq!(first.slot(), second.slot());
        assert!(table.get(first, protocol).is_none());
        assert!(table.get(second, protocol).is_some());
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn a_foreign_handle_and_zero_are_unknown() {
        let (mine, other) = (testing::protocol("mine"), testing::protocol("other"));
        let table = Connections::default();
        let handle = table.add(connection(mine)).unwrap().handle;
        assert!(table.get(handle, other).is_none());
        assert!(table.remove(handle, other).is_none());
        for hostile in [0, 1, u64::MAX, handle.0 + (1 << 24), handle.0 ^ 1] {
            assert!(table.get(Handle(hostile), mine).is_none(), "{hostile:x}");
        }
    }

    #[test]
    fn a_slot_is_retired_at_the_end_of_its_generations() {
        let protocol = testing::protocol("p");
        let table = Connections::default();
        let handle = table.add(connection(protocol)).unwrap().handle;
        table.remove(handle, protocol);
        table.wear_out(handle);
        let last = table.add(connection(protocol)).unwrap().handle;
        assert_eq!(last.generation(), LAST_GENERATION);
        assert!(table.remove(last, protocol).is_some());
        assert_ne!(table.add(connection(protocol)).unwrap().handle.slot(), handle.slot());
    }

    #[test]
    fn slots_are_used_again_in_the_order_in_which_they_became_free() {
        let protocol = testing::protocol("p");
        let table = Connections::default();
        let handles: Vec<_> = (0..3).map(|_| table.add(connection(protocol)).unwrap().handle).collect();
        for index in [1, 2, 0] {
            table.remove(handles[index], protocol);
        }
        let again: Vec<_> = (0..3).map(|_| table.add(connection(protocol)).unwrap().handle.slot()).collect();
        assert_eq!(again, [1, 2, 0]);
    }
}
