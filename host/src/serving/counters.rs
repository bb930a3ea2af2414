//! What the host has counted of one protocol since the start.

use std::sync::atomic::{AtomicU64, Ordering};

/// The statuses that are counted one by one; any other is counted with [`OTHER`].
const STATUSES: [u16; 13] = [200, 206, 400, 401, 403, 404, 412, 413, 429, 500, 503, 504, OTHER];

/// Stands for a status that is not among [`STATUSES`].
const OTHER: u16 = 0;

/// Counters of one protocol. Threads add to them without waiting; readers get each value by itself.
#[derive(Default)]
#[repr(align(128))]
pub struct Counters {
    requests: [AtomicU64; STATUSES.len()],
    /// Connections that live now.
    pub(super) connections: Counter,
    /// Calls of `broadcast` and `notify`.
    pub(super) notifications: Counter,
    /// Broadcasts and other messages that did not reach the protocol, because too much waited for it
    /// or it was suspended.
    pub(super) dropped: Counter,
    /// Panics that the protocol answered.
    pub(super) panics: Counter,
    /// Calls that lasted 100 ms or longer.
    pub(super) slow_calls: Counter,
}

impl Counters {
    /// A request was answered with this status.
    pub(super) fn answered(&self, status: u16) {
        let place = STATUSES.iter().position(|known| *known == status).unwrap_or(STATUSES.len() - 1);
        self.requests[place].fetch_add(1, Ordering::Relaxed);
    }

    /// What a protocol is told of itself: name, whether it is a gauge, value.
    pub(super) fn told(&self) -> [(&'static str, bool, u64); 5] {
        [
            ("connections", true, self.connections.get()),
            ("requests", false, self.requests().map(|(_, count)| count).sum()),
            ("notifications", false, self.notifications.get()),
            ("dropped", false, self.dropped.get()),
            ("slowCalls", false, self.slow_calls.get()),
        ]
    }

    /// Requests by status, without those that never occurred; status 0 stands for all others.
    pub fn requests(&self) -> impl Iterator<Item = (u16, u64)> {
        let counts = self.requests.iter().map(|count| count.load(Ordering::Relaxed));
        STATUSES.into_iter().zip(counts).filter(|(_, count)| *count > 0)
    }
}

/// One number that many threads change.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one; the value after it.
    pub(super) fn add(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Adds several.
    pub(super) fn add_many(&self, number: usize) {
        self.0.fetch_add(number as u64, Ordering::Relaxed);
    }

    /// Takes one away.
    pub(super) fn subtract(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// The value now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::serving::testing;

    #[test]
    fn requests_are_counted_by_status_refused_ones_too() {
        let (_, [p]) = testing::host_with(["p"]);
        let connection = p.probe.connect().unwrap();
        for _ in 0..3 {
            p.probe.execute(connection, &json!({ "controller": "server", "action": "now" }));
        }
        p.probe.execute(0, &json!({ "controller": "no", "action": "no" }));
        p.probe.execute_bytes(connection, &vec![b' '; (1 << 20) + 1]);
        p.probe.execute_bytes(connection, b"{");
        p.probe.execute_bytes(connection, br#"{"controller":1}"#);
        p.probe.execute_bytes(connection, b"[]");
        // Not a request that anybody answers: the client is to be closed.
        p.probe.execute(connection + 1, &json!({}));
        let counted: Vec<_> = p.protocol.counters.requests().collect();
        assert_eq!(counted, [(200, 3), (400, 2), (404, 1), (413, 1), (500, 1)]);
        p.protocol.counters.answered(418);
        assert_eq!(p.protocol.counters.requests().last(), Some((super::OTHER, 1)));
    }
}
