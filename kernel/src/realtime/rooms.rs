//! All rooms: found by their id, and by a place that stays the same as long as a room lives.

use std::collections::HashMap;
use std::sync::Arc;

use slab::Slab;

use super::RoomId;
use super::room::Room;

/// Where a room is.
pub(super) type Place = u32;

/// All rooms.
#[derive(Default)]
pub(super) struct Rooms {
    places: HashMap<RoomId, Place>,
    rooms: Slab<Room>,
}

impl Rooms {
    pub(super) fn len(&self) -> usize {
        self.rooms.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Room> {
        self.rooms.iter().map(|(_, room)| room)
    }

    pub(super) fn get(&self, id: &str) -> Option<&Room> {
        self.places.get(id).map(|place| self.at(*place))
    }

    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut Room> {
        self.places.get(id).map(|place| &mut self.rooms[*place as usize])
    }

    /// The room at a place that was given and has not been taken back.
    pub(super) fn at(&self, place: Place) -> &Room {
        &self.rooms[place as usize]
    }

    /// Adds a room whose id is new.
    pub(super) fn insert(&mut self, room: Room) -> Place {
        let id = Arc::clone(room.id());
        let place = Place::try_from(self.rooms.insert(room)).expect("memory ends before 2^32 rooms");
        let before = self.places.insert(id, place);
        debug_assert!(before.is_none(), "two rooms of one id");
        place
    }

    /// Removes a room. Gives the place that it had.
    pub(super) fn remove(&mut self, id: &str) -> Option<Place> {
        let place = self.places.remove(id)?;
        self.rooms.remove(place as usize);
        Some(place)
    }
}
