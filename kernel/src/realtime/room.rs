//! One room: its channels and its members.
//!
//! Source: Kuzzle, lib/core/realtime/room.ts, connectionRooms.ts.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde_json::value::RawValue;

use super::RoomId;
use super::channel::ChannelOptions;
use super::notification::UserEvent;
use crate::outbound::{Channel, ConnectionId};

/// The connections that share a filter on a collection. Channels live as long as the room.
pub(crate) struct Room {
    id: RoomId,
    index: Box<str>,
    collection: Box<str>,
    /// In order of creation. There are twelve different names, so a place fits the bits of [`Member::channels`].
    channels: Vec<Channel>,
    members: FxHashMap<ConnectionId, Member>,
    /// The channels that documents go to which come to match: chosen once here instead of at every message.
    document_channels: Arc<[Channel]>,
    entering_channels: Arc<[Channel]>,
    leaving_channels: Arc<[Channel]>,
}

struct Member {
    /// From its first subscription: sent along when it leaves.
    volatile: Option<Box<RawValue>>,
    /// A bit for each channel that it is in, by the channel's place.
    channels: u16,
}

impl Room {
    /// A room without channels and members.
    pub(super) fn new(id: RoomId, index: &str, collection: &str) -> Room {
        Room {
            id,
            index: index.into(),
            collection: collection.into(),
            channels: Vec::new(),
            members: FxHashMap::default(),
            document_channels: Arc::default(),
            entering_channels: Arc::default(),
            leaving_channels: Arc::default(),
        }
    }

    pub(super) fn id(&self) -> &RoomId {
        &self.id
    }

    pub(super) fn index(&self) -> &str {
        &self.index
    }

    pub(super) fn collection(&self) -> &str {
        &self.collection
    }

    /// How many connections are in the room.
    pub(super) fn size(&self) -> usize {
        self.members.len()
    }

    pub(super) fn channels(&self) -> &[Channel] {
        &self.channels
    }

    /// The channels that get documents which come to match, or messages.
    pub(super) fn document_channels(&self) -> &Arc<[Channel]> {
        &self.document_channels
    }

    /// The channels that hear of members who enter, or leave.
    pub(super) fn user_channels(&self, event: UserEvent) -> &Arc<[Channel]> {
        match event {
            UserEvent::In => &self.entering_channels,
            UserEvent::Out => &self.leaving_channels,
        }
    }

    /// Puts a connection into the channel of these options, opening it if need be. Gives the channel, and whether
    /// the connection is new in the room; `volatile` counts only then.
    pub(super) fn enter(
        &mut self,
        connection: ConnectionId,
        options: ChannelOptions,
        volatile: Option<&RawValue>,
    ) -> (Channel, bool) {
        let place = self.place(options);
        let channel = Arc::clone(&self.channels[place]);
        match self.members.entry(connection) {
            Entry::Occupied(mut member) => {
                member.get_mut().channels |= 1 << place;
                (channel, false)
            }
            Entry::Vacant(vacant) => {
                vacant.insert(Member { volatile: volatile.map(ToOwned::to_owned), channels: 1 << place });
                (channel, true)
            }
        }
    }

    /// Takes a connection out of one channel. True if it is a member that is in no other one.
    pub(super) fn leave_channel(&mut self, connection: ConnectionId, channel: &str) -> bool {
        let Some(place) = self.channels.iter().position(|known| **known == *channel) else { return false };
        let Some(member) = self.members.get_mut(&connection) else { return false };
        member.channels &= !(1 << place);
        member.channels == 0
    }

    /// Takes a connection out of the room; gives its volatile data, or `None` if it was not a member.
    pub(super) fn leave(&mut self, connection: ConnectionId) -> Option<Option<Box<RawValue>>> {
        self.members.remove(&connection).map(|member| member.volatile)
    }

    /// The place of the channel of these options. Of several options with the same name the first ones decide what
    /// the channel gets.
    fn place(&mut self, options: ChannelOptions) -> usize {
        let name = options.channel_name(&self.id);
        if let Some(place) = self.channels.iter().position(|channel| **channel == *name) {
            return place;
        }
        let channel = Channel::from(name);
        for (wanted, list) in [
            (options.scope.includes_in(), &mut self.document_channels),
            (options.users.includes_in(), &mut self.entering_channels),
            (options.users.includes_out(), &mut self.leaving_channels),
        ] {
            if wanted {
                *list = list.iter().chain([&channel]).cloned().collect();
            }
        }
        self.channels.push(channel);
        self.channels.len() - 1
    }
}
