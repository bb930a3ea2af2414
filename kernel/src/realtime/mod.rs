//! Real-time rooms: who has subscribed to what, and in which channels they are.
//!
//! Source: Kuzzle, lib/core/realtime/hotelClerk.ts. One lock guards everything. Publishing takes it for reading, and
//! only to find the channels: messages are parsed and written outside of it.

mod channel;
#[cfg(test)]
mod filter_tests;
pub(crate) mod notification;
mod room;
mod rooms;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use koncorde::{Document, Filter, Index};
use parking_lot::RwLock;
use rustc_hash::FxHashMap;

use self::channel::ChannelOptions;
use self::notification::UserEvent;
use self::room::Room;
use self::rooms::{Place, Rooms};
use crate::errors::KuzzleError;
use crate::funnel::Call;
use crate::outbound::{Channel, ConnectionId, Outbound};

/// How many rooms a connection leaves before others get their turn.
const ROOMS_LEFT_AT_ONCE: usize = 256;

type RoomId = Arc<str>;

/// The connections and their rooms.
pub(crate) struct Realtime {
    node_id: String,
    /// How many rooms may exist; 0 means no limit.
    max_rooms: usize,
    state: RwLock<State>,
}

/// Invariants: a connection's set names exactly the rooms that it is a member of, except while it is being removed;
/// every room has a member; a collection knows exactly its rooms, and has one.
#[derive(Default)]
struct State {
    /// The host gives the numbers, so nobody can choose them to collide.
    connections: FxHashMap<ConnectionId, HashSet<RoomId>>,
    rooms: Rooms,
    /// By `<index>/<collection>`, which is also what the room's id is made from: as in Kuzzle, names with a slash
    /// may stand for the same collection.
    collections: HashMap<String, Collection>,
}

/// The rooms of a collection, by what their filters let through.
#[derive(Default)]
struct Collection {
    /// The room of the filter that lets everything through: it is found without looking at a message.
    everything: Option<Place>,
    others: Index<Place>,
}

impl Collection {
    fn insert(&mut self, place: Place, filter: &Filter) {
        if *filter == *EVERYTHING {
            self.everything = Some(place);
        } else {
            self.others.insert(place, filter);
        }
    }

    fn remove(&mut self, place: Place) {
        if self.everything == Some(place) {
            self.everything = None;
        } else {
            self.others.remove(&place);
        }
    }

    fn is_empty(&self) -> bool {
        self.everything.is_none() && self.others.is_empty()
    }
}

static EVERYTHING: LazyLock<Filter> = LazyLock::new(Filter::everything);

/// What is to be known of a message before its audience can be told.
pub(crate) enum Interest {
    /// Nobody has subscribed to the collection.
    Nobody,
    /// Everybody who has subscribed lets everything through.
    Everything,
    /// It depends on the message.
    Filtered,
}

/// Where a subscription leads to.
pub(crate) struct Entrance {
    pub(crate) channel: Channel,
    pub(crate) room_id: RoomId,
}

impl Realtime {
    pub(crate) fn new(node_id: String, max_rooms: usize) -> Realtime {
        Realtime { node_id, max_rooms, state: RwLock::default() }
    }

    pub(crate) fn add_connection(&self, connection: ConnectionId) {
        self.state.write().connections.entry(connection).or_default();
    }

    pub(crate) fn knows(&self, connection: ConnectionId) -> bool {
        self.state.read().connections.contains_key(&connection)
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.read().connections.len()
    }

    pub(crate) fn rooms(&self) -> usize {
        self.state.read().rooms.len()
    }

    pub(crate) fn collections(&self) -> usize {
        self.state.read().collections.len()
    }

    pub(crate) fn subscriptions(&self) -> usize {
        self.state.read().connections.values().filter(|rooms| !rooms.is_empty()).count()
    }

    /// How many connections are in the room.
    pub(crate) fn count(&self, room_id: &str) -> usize {
        self.state.read().rooms.get(room_id).map_or(0, Room::size)
    }

    /// Every room with its size, as JSON: by index, collection and id.
    pub(crate) fn list(&self) -> String {
        let mut indexes: BTreeMap<&str, BTreeMap<&str, BTreeMap<&str, usize>>> = BTreeMap::new();
        let state = self.state.read();
        for room in state.rooms.iter() {
            let collections = indexes.entry(room.index()).or_default();
            collections.entry(room.collection()).or_default().insert(room.id(), room.size());
        }
        serde_json::to_string(&indexes).expect("keys are strings, values numbers")
    }

    /// Who has subscribed to a collection.
    pub(crate) fn interest(&self, index: &str, collection: &str) -> Interest {
        let state = self.state.read();
        if state.collections.is_empty() {
            return Interest::Nobody;
        }
        match state.collections.get(&collection_key(index, collection)) {
            None => Interest::Nobody,
            Some(collection) if collection.others.is_empty() => Interest::Everything,
            Some(_) => Interest::Filtered,
        }
    }

    /// The channels of those who are to get a message published in a collection; `None` if there are none. Without
    /// the message only those who let everything through.
    pub(crate) fn audience(
        &self,
        index: &str,
        collection: &str,
        message: Option<&Document>,
    ) -> Option<Arc<[Channel]>> {
        let state = self.state.read();
        let collection = state.collections.get(&collection_key(index, collection))?;
        let mut only = None;
        let mut all: Vec<Channel> = Vec::new();
        let mut add = |place: &Place| {
            let channels = state.rooms.at(*place).document_channels();
            // Most messages are for one room, whose list can be shared.
            match only.replace(channels) {
                None => {}
                Some(first) => {
                    if all.is_empty() {
                        all.extend_from_slice(first);
                    }
                    all.extend_from_slice(channels);
                }
            }
        };
        collection.everything.iter().for_each(&mut add);
        if let Some(message) = message {
            collection.others.for_each_match(message, &mut add);
        }
        let channels = if all.is_empty() { Arc::clone(only?) } else { all.into() };
        if channels.is_empty() { None } else { Some(channels) }
    }

    /// Subscribes to a collection, in the room of the filter.
    ///
    /// # Errors
    /// `api.process.connection_dropped`, `core.realtime.too_many_rooms`, or the error of the options, looked at in
    /// this order. Nothing has changed then.
    pub(crate) fn subscribe(
        &self,
        connection: ConnectionId,
        index: &str,
        collection: &str,
        filter: &Filter,
        call: &Call<'_>,
        outbound: &mut dyn Outbound,
    ) -> Result<Entrance, KuzzleError> {
        let room_id: RoomId = filter.room_id(index, collection).into();
        let mut guard = self.state.write();
        let state = &mut *guard;
        let own_rooms = state.connections.get_mut(&connection).ok_or_else(connection_dropped)?;
        let is_new = state.rooms.get(&room_id).is_none();
        if is_new && self.max_rooms > 0 && state.rooms.len() >= self.max_rooms {
            return Err(KuzzleError::new("core.realtime.too_many_rooms", &[]));
        }
        let options = ChannelOptions::parse(call.request.arguments())?;
        if is_new {
            let place = state.rooms.insert(Room::new(Arc::clone(&room_id), index, collection));
            let key = collection_key(index, collection);
            state.collections.entry(key).or_default().insert(place, filter);
        }
        let room = state.rooms.get_mut(&room_id).expect("it is there, or was made just now");
        own_rooms.insert(room_id);
        Ok(enter(room, connection, options, call, outbound))
    }

    /// Subscribes to a room that exists.
    ///
    /// # Errors
    /// `api.process.connection_dropped`, `core.realtime.room_not_found`, or the error of the options, looked at in
    /// this order. Nothing has changed then.
    pub(crate) fn join(
        &self,
        connection: ConnectionId,
        room_id: &str,
        call: &Call<'_>,
        outbound: &mut dyn Outbound,
    ) -> Result<Entrance, KuzzleError> {
        let mut guard = self.state.write();
        let state = &mut *guard;
        let own_rooms = state.connections.get_mut(&connection).ok_or_else(connection_dropped)?;
        let room = state
            .rooms
            .get_mut(room_id)
            .ok_or_else(|| KuzzleError::new("core.realtime.room_not_found", &[room_id]))?;
        let options = ChannelOptions::parse(call.request.arguments())?;
        own_rooms.insert(Arc::clone(room.id()));
        Ok(enter(room, connection, options, call, outbound))
    }

    /// Takes the connection out of the room and all its channels. False if it was not in the room.
    pub(crate) fn unsubscribe(
        &self,
        connection: ConnectionId,
        room_id: &str,
        now_ms: u64,
        outbound: &mut dyn Outbound,
    ) -> bool {
        let mut state = self.state.write();
        let own_rooms = state.connections.get_mut(&connection);
        if !own_rooms.is_some_and(|rooms| rooms.remove(room_id)) {
            return false;
        }
        if let Some(room) = state.rooms.get(room_id) {
            for channel in room.channels() {
                outbound.leave(connection, channel);
            }
        }
        state.depart(connection, room_id, &self.node_id, now_ms, outbound);
        true
    }

    /// Forgets the connection, which leaves all its rooms.
    pub(crate) fn remove_connection(
        &self,
        connection: ConnectionId,
        now_ms: u64,
        outbound: &mut dyn Outbound,
    ) {
        let Some(own_rooms) = self.state.write().connections.remove(&connection) else { return };
        let own_rooms: Vec<RoomId> = own_rooms.into_iter().collect();
        for room_ids in own_rooms.chunks(ROOMS_LEFT_AT_ONCE) {
            let mut state = self.state.write();
            for room_id in room_ids {
                state.depart(connection, room_id, &self.node_id, now_ms, outbound);
            }
        }
    }

    /// Takes the connection out of a channel that it could not enter, unless it has asked to enter it again
    /// meanwhile: then that decides.
    pub(crate) fn join_refused(
        &self,
        connection: ConnectionId,
        channel: &str,
        now_ms: u64,
        outbound: &mut dyn Outbound,
    ) {
        let Some(room_id) = channel::room_id(channel) else { return };
        let mut guard = self.state.write();
        if outbound.is_joining(connection, channel) {
            return;
        }
        let state = &mut *guard;
        let Some(own_rooms) = state.connections.get_mut(&connection) else { return };
        let Some(room) = state.rooms.get_mut(room_id) else { return };
        if room.leave_channel(connection, channel) && own_rooms.remove(room_id) {
            state.depart(connection, room_id, &self.node_id, now_ms, outbound);
        }
    }
}

impl State {
    /// Takes the connection out of the room; the last one closes it, any other is reported to those who remain.
    fn depart(
        &mut self,
        connection: ConnectionId,
        room_id: &str,
        node_id: &str,
        now_ms: u64,
        outbound: &mut dyn Outbound,
    ) {
        let Some(room) = self.rooms.get_mut(room_id) else { return };
        let Some(volatile) = room.leave(connection) else { return };
        if room.size() > 0 {
            let audience = room.user_channels(UserEvent::Out);
            let mut told = room.told_of_leavers().peekable();
            if !audience.is_empty() || told.peek().is_some() {
                let payload = notification::left(room, volatile.as_deref(), node_id, now_ms);
                told.for_each(|(member, channels)| outbound.notify(member, channels, payload.clone()));
                if !audience.is_empty() {
                    outbound.broadcast(Arc::clone(audience), payload);
                }
            }
            return;
        }
        let key = collection_key(room.index(), room.collection());
        let Some(place) = self.rooms.remove(room_id) else { return };
        if let Some(collection) = self.collections.get_mut(&key) {
            collection.remove(place);
            if collection.is_empty() {
                self.collections.remove(&key);
            }
        }
    }
}

/// Puts the connection into a channel of the room, and tells the others if it was not in the room before.
fn enter(
    room: &mut Room,
    connection: ConnectionId,
    options: ChannelOptions,
    call: &Call<'_>,
    outbound: &mut dyn Outbound,
) -> Entrance {
    // Who opens a channel does not hear of it: these are the channels that existed before.
    let audience = Arc::clone(room.user_channels(UserEvent::In));
    let (channel, is_new) = room.enter(connection, options, call.request.volatile());
    outbound.join(connection, &channel);
    if is_new && !audience.is_empty() {
        outbound.broadcast(audience, notification::entered(call, room));
    }
    Entrance { channel, room_id: Arc::clone(room.id()) }
}

fn collection_key(index: &str, collection: &str) -> String {
    [index, "/", collection].concat()
}

fn connection_dropped() -> KuzzleError {
    KuzzleError::new("api.process.connection_dropped", &[])
}
