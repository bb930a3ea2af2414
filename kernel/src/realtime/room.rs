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
    /// How many members are told one by one who leaves.
    told_of_leavers: usize,
}

struct Member {
    /// From its first subscription: sent along when it leaves.
    volatile: Option<Box<RawValue>>,
    /// A bit for each channel that it is in, by the channel's place.
    channels: u16,
    /// A bit for each of those in which it wants to hear who leaves, and shares the channel with members who do not.
    leavers: u16,
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
            told_of_leavers: 0,
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
        let (member, is_new) = match self.members.entry(connection) {
            Entry::Occupied(member) => (member.into_mut(), false),
            Entry::Vacant(vacant) => {
                let volatile = volatile.map(ToOwned::to_owned);
                (vacant.insert(Member { volatile, channels: 0, leavers: 0 }), true)
            }
        };
        member.channels |= 1 << place;
        if options.users.is_out() {
            self.told_of_leavers += usize::from(member.leavers == 0);
            member.leavers |= 1 << place;
        }
        (channel, is_new)
    }

    /// The members that are told one by one who leaves, each with the channels in which it is told.
    pub(super) fn told_of_leavers(&self) -> impl Iterator<Item = (ConnectionId, Arc<[Channel]>)> {
        let members = if self.told_of_leavers == 0 { None } else { Some(&self.members) };
        let told = members.into_iter().flatten().filter(|(_, member)| member.leavers != 0);
        told.map(|(connection, member)| {
            let channels = self.channels.iter().enumerate();
            let own = channels.filter(|(place, _)| member.leavers & 1 << place != 0);
            (*connection, own.map(|(_, channel)| Arc::clone(channel)).collect())
        })
    }

    /// Takes a connection out of one channel. True if it is a member that is in no other one.
    pub(super) fn leave_channel(&mut self, connection: ConnectionId, channel: &str) -> bool {
        let Some(place) = self.channels.iter().position(|known| **known == *channel) else { return false };
        let Some(member) = self.members.get_mut(&connection) else { return false };
        member.channels &= !(1 << place);
        let was_told = member.leavers != 0;
        member.leavers &= member.channels;
        self.told_of_leavers -= usize::from(was_told && member.leavers == 0);
        member.channels == 0
    }

    /// Takes a connection out of the room; gives its volatile data, or `None` if it was not a member.
    pub(super) fn leave(&mut self, connection: ConnectionId) -> Option<Option<Box<RawValue>>> {
        let member = self.members.remove(&connection)?;
        self.told_of_leavers -= usize::from(member.leavers != 0);
        Some(member.volatile)
    }

    /// The place of the channel of these options.
    fn place(&mut self, options: ChannelOptions) -> usize {
        let name = options.channel_name(&self.id);
        if let Some(place) = self.channels.iter().position(|channel| **channel == *name) {
            return place;
        }
        let channel = Channel::from(name);
        for (wanted, list) in [
            (options.scope.includes_in(), &mut self.document_channels),
            (options.users.includes_in(), &mut self.entering_channels),
            (options.users.is_all(), &mut self.leaving_channels),
        ] {
            if wanted {
                *list = list.iter().chain([&channel]).cloned().collect();
            }
        }
        self.channels.push(channel);
        self.channels.len() - 1
    }
}
