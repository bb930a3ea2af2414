//! The broker without sockets: packets as bytes in, packets as bytes out, time as a number.

mod acknowledgements;
mod channels;
mod connecting;
mod limits;
mod memory;
mod publishing;
mod random;
mod retained;
mod sessions;
mod shares;
mod subscribing;
mod turns;
mod version_5;
mod wills;
mod wire;

use std::net::IpAddr;

use bytes::Bytes;

use super::*;
use wire::{Connect, Got, publish, publish_5, subscribe, subscribe_5, unsubscribe};

/// A broker, the time, and what its clients have been sent.
struct World {
    broker: Broker,
    now: u64,
    assigned: u32,
    /// Where new clients are.
    address: Option<IpAddr>,
}

/// One client's connection.
#[derive(Clone, Copy, Debug)]
struct Peer {
    key: Key,
    version: Version,
}

impl World {
    /// With publish/subscribe allowed.
    fn new() -> Self {
        Self::with(|settings| settings.allow_pub_sub = true)
    }

    fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::default();
        change(&mut settings);
        Self { broker: Broker::new(settings, 1), now: 1000, assigned: 0, address: None }
    }

    fn accept(&mut self, version: Version) -> Peer {
        Peer { key: self.broker.accept(0, self.now), version }
    }

    /// Sends bytes of one packet or several.
    fn send(&mut self, peer: Peer, bytes: &[u8]) -> Next {
        let mut next = Next::Nothing;
        let mut rest = bytes;
        while !rest.is_empty() {
            let version = match self.broker.connection(peer.key).map(|connection| connection.stage) {
                Some(Stage::Waiting) => None,
                _ => Some(peer.version),
            };
            match decode(rest, version) {
                // The rest of the packet never comes.
                Ok(None) => return next,
                Ok(Some((packet, len))) => {
                    next = self.broker.packet(peer.key, &packet, self.now);
                    if next == Next::Admit {
                        self.assigned += 1;
                        let client_id = format!("assigned-{}", self.assigned);
                        let admission = Admission { client_id: &client_id, address: self.address };
                        self.broker.admit(peer.key, &packet, &admission, self.now);
                    }
                    rest = &rest[len..];
                }
                Err(error) => {
                    self.broker.malformed(peer.key, &error, self.now);
                    return Next::Nothing;
                }
            }
        }
        next
    }

    /// What has been sent to the client since the last time; at the end `Closed` if it is.
    fn receive(&mut self, peer: Peer) -> Vec<Got> {
        let Some(taken) = self.broker.take(peer.key, self.now) else { return vec![Got::Closed] };
        let bytes: Vec<u8> = taken.frames.iter().flat_map(Frame::to_vec).collect();
        let mut got = wire::parse(&bytes, peer.version);
        if taken.close {
            got.push(Got::Closed);
        }
        got
    }

    /// The only thing that has been sent to the client since the last time.
    fn one(&mut self, peer: Peer) -> Got {
        let mut got = self.receive(peer);
        assert_eq!(got.len(), 1, "{got:?}");
        got.remove(0)
    }

    /// Connects and makes sure that it was accepted.
    fn connect(&mut self, connect: &Connect) -> Peer {
        let (peer, got) = self.try_connect(connect);
        let Some(Got::ConnAck { code: 0, .. }) = got.first() else { panic!("{got:?}") };
        assert_eq!(got.len(), 1, "{got:?}");
        peer
    }

    /// Connects; answers what came back.
    fn try_connect(&mut self, connect: &Connect) -> (Peer, Vec<Got>) {
        let peer = self.accept(connect.version);
        self.send(peer, &connect.encode());
        let got = self.receive(peer);
        (peer, got)
    }

    /// A usual client of MQTT 3.1.1 with a clean session.
    fn client(&mut self, id: &str) -> Peer {
        self.connect(&Connect::new(Version::V311, id))
    }

    /// One of MQTT 5.0.
    fn client_5(&mut self, id: &str) -> Peer {
        self.connect(&Connect::new(Version::V5, id))
    }

    /// Subscribes, and makes sure that it was granted.
    fn subscribe(&mut self, peer: Peer, filter: &str, qos: u8) {
        self.send(peer, &subscribe(peer.version, 9, &[(filter, qos)]));
        assert_eq!(self.one(peer), Got::SubAck { id: 9, codes: vec![qos & 3] });
    }

    /// The network connection is lost.
    fn lose(&mut self, peer: Peer) {
        self.broker.gone(peer.key, self.now);
    }

    fn wait(&mut self, milliseconds: u64) {
        self.now += milliseconds;
        while self.broker.tick(self.now) {}
        for key in self.broker.take_silent(0) {
            self.broker.judge(key, false, self.now);
        }
    }

    /// Payloads of all publishes that have been sent to the client since the last time.
    fn payloads(&mut self, peer: Peer) -> Vec<String> {
        self.receive(peer).iter().filter_map(Got::payload).collect()
    }

    fn broadcast(&mut self, channel: &str, payload: &str) {
        self.broker.broadcast(channel, &Bytes::copy_from_slice(payload.as_bytes()), self.now);
    }
}

fn decode(bytes: &[u8], version: Option<Version>) -> Result<Option<(Packet<'_>, usize)>, DecodeError> {
    crate::codec::decode(bytes, version, Settings::default().max_packet_size)
}
