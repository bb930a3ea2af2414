//! What a protocol has done, as its host saw it.

use std::fmt;
use std::time::Duration;

use super::ApiRequest;
use crate::{ConnectionId, LogLevel};

/// Everything that a protocol has done so far, in order.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Recorded {
    /// The addresses that it has bound.
    pub listeners: Vec<Listener>,
    /// The clients that it has declared.
    pub clients: Vec<Client>,
    /// The clients that it has removed.
    pub removed: Vec<ConnectionId>,
    /// The requests that it has made, refused ones too.
    pub requests: Vec<ApiRequest>,
    /// The answers that it was given.
    pub completed: Vec<Completed>,
    /// Its own lines for the access log.
    pub accesses: Vec<Access>,
    /// Its lines for the log.
    pub log: Vec<LogLine>,
    /// Calls of its functions that lasted 100 ms or longer. On a busy machine one alone says nothing.
    pub slow: Vec<SlowCall>,
    /// The rules that it has broken.
    pub violations: Vec<Violation>,
}

impl Recorded {
    /// The clients that it has declared and not removed.
    pub fn connected(&self) -> Vec<ConnectionId> {
        let alive = |client: &&Client| !self.removed.contains(&client.id);
        self.clients.iter().filter(alive).map(|client| client.id).collect()
    }

    /// Whether this request has been answered.
    pub fn is_answered(&self, request: usize) -> bool {
        self.completed.iter().any(|completed| completed.request == request)
    }
}

/// An address that is really bound.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listener {
    /// For example `tcp`.
    pub transport: String,
    /// For example `127.0.0.1:7515`.
    pub address: String,
}

/// A client that a protocol has declared.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Client {
    /// Its handle.
    pub id: ConnectionId,
    /// The label; empty: the protocol's name.
    pub label: String,
    /// The client first, the direct peer last.
    pub ips: Vec<String>,
    /// Headers of the connection.
    pub headers: Vec<(String, String)>,
    /// Empty if the protocol has none.
    pub url: String,
    /// Empty if the protocol has none.
    pub verb: String,
}

/// An answer that a protocol was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Completed {
    /// The number of the request.
    pub request: usize,
    /// What the completion answered; 0 is success.
    pub status: i32,
}

/// A line of a protocol's own for the access log.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Access {
    /// The request; it has no number.
    pub request: ApiRequest,
    /// As HTTP's.
    pub status: u32,
    /// Bytes of the answer.
    pub size: u64,
}

/// A line of the log.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LogLine {
    /// How important it is.
    pub level: LogLevel,
    /// A module or topic.
    pub target: String,
    /// The line.
    pub message: String,
}

/// A call that lasted long.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SlowCall {
    /// The function, for example `broadcast`.
    pub function: &'static str,
    /// How long it lasted.
    pub lasted: Duration,
}

/// How often a protocol has retained and released payloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct References {
    /// Calls of `retain`.
    pub retained: u64,
    /// Calls of `release`.
    pub released: u64,
}

/// A rule of the ABI that a host can watch over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// `execute` is not called inside a callback.
    Reentrancy,
    /// After `shutdown` has returned the host is not called any more.
    AfterShutdown,
    /// Arguments are what the header says: no null pointers, sizes that are set, text that is UTF-8.
    Arguments,
    /// Payloads are used only by their owners.
    Payloads,
    /// Nothing panics.
    Panics,
    /// Not the protocol's fault: the closure that answers requests panicked.
    Test,
}

/// A rule that a protocol has broken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// What it did.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
