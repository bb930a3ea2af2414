//! A client as the host knows it: declared once, removed when its handle is dropped.

use std::fmt;

use super::entry_point::EntryPoint;
use crate::raw::{kuzzle_connection_info, kuzzle_header, kuzzle_str};

/// Names a connection for as long as the host process lives; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(u64);

impl ConnectionId {
    pub(crate) const fn from_raw(handle: u64) -> Self {
        Self(handle)
    }

    /// The handle in the ABI.
    pub const fn as_raw(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A UUID, version 4. `Display` writes it as `123e4567-e89b-42d3-a456-426614174000`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid([u8; 16]);

impl Uuid {
    pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its 16 bytes, in the order in which they are written.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'-'; 36];
        let mut at = 0;
        for (index, byte) in self.0.iter().enumerate() {
            at += usize::from(matches!(index, 4 | 6 | 8 | 10));
            text[at] = DIGITS[usize::from(byte >> 4)];
            text[at + 1] = DIGITS[usize::from(byte & 15)];
            at += 2;
        }
        f.write_str(std::str::from_utf8(&text).expect("digits and hyphens are ASCII"))
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What the host is told about a new client. Everything is optional and only borrowed.
#[derive(Clone, Debug, Default)]
pub struct ConnectionInfo<'a> {
    label: &'a str,
    ips: Vec<&'a str>,
    headers: Vec<(&'a str, &'a str)>,
    url: &'a str,
    verb: &'a str,
}

impl<'a> ConnectionInfo<'a> {
    /// Nothing known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What requests, notifications, statistics and logs show as the protocol, for example
    /// `websocket`; default: the manifest's name.
    #[must_use]
    pub fn label(mut self, label: &'a str) -> Self {
        self.label = label;
        self
    }

    /// Adds an address: the client's first, then proxies, the direct peer last.
    #[must_use]
    pub fn ip(mut self, ip: &'a str) -> Self {
        self.ips.push(ip);
        self
    }

    /// Adds a header of the connection, for example of a WebSocket upgrade.
    #[must_use]
    pub fn header(mut self, name: &'a str, value: &'a str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The URL that the client asked for.
    #[must_use]
    pub fn url(mut self, url: &'a str) -> Self {
        self.url = url;
        self
    }

    /// The verb with which the client asked.
    #[must_use]
    pub fn verb(mut self, verb: &'a str) -> Self {
        self.verb = verb;
        self
    }

    /// Lends the raw struct to `f`; it does not outlive the call.
    pub(crate) fn with_raw<T>(&self, f: impl FnOnce(*const kuzzle_connection_info) -> T) -> T {
        let ips: Vec<kuzzle_str> = self.ips.iter().map(|ip| kuzzle_str::new(ip)).collect();
        let headers: Vec<kuzzle_header> =
            self.headers.iter().map(|(name, value)| header(name, value)).collect();
        let info = kuzzle_connection_info {
            struct_size: size_of::<kuzzle_connection_info>() as u32,
            reserved: 0,
            label: kuzzle_str::new(self.label),
            ips: ips.as_ptr(),
            ips_len: ips.len(),
            headers: headers.as_ptr(),
            headers_len: headers.len(),
            url: kuzzle_str::new(self.url),
            verb: kuzzle_str::new(self.verb),
        };
        f(&raw const info)
    }
}

pub(crate) const fn header(name: &str, value: &str) -> kuzzle_header {
    kuzzle_header { name: kuzzle_str::new(name), value: kuzzle_str::new(value) }
}

/// A client, declared to the host. Dropping it removes the client: its subscriptions end, its
/// unanswered requests are answered with `api.process.connection_dropped`, and no new call for it
/// begins (one that had begun may still be running).
///
/// Keep it where the client's life ends by itself, for example in the client's task: a panic there
/// then removes the client too.
///
/// Its removal can notify other clients of this protocol before `drop` returns: drop it without
/// holding a lock that [`broadcast`](crate::Protocol::broadcast) or the like take.
#[derive(Debug)]
#[must_use = "dropping a connection removes the client"]
pub struct Connection {
    entry_point: EntryPoint,
    id: ConnectionId,
    uuid: Uuid,
}

impl Connection {
    pub(crate) const fn new(entry_point: EntryPoint, id: ConnectionId, uuid: Uuid) -> Self {
        Self { entry_point, id, uuid }
    }

    /// Names it in calls of the host.
    pub const fn id(&self) -> ConnectionId {
        self.id
    }

    /// Names it for clients and in logs.
    pub const fn uuid(&self) -> Uuid {
        self.uuid
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.entry_point.remove_connection(self.id);
    }
}
