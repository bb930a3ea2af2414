//! Removes connections whose protocol was asked to close them and has not done so in time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::connections::{Connection, Handle};
use super::protocol::Protocol;
use super::turn::Turn;

/// How long a protocol may take to remove a connection after `disconnect`.
const PATIENCE: Duration = Duration::from_secs(5);

struct Expected {
    at: Instant,
    handle: Handle,
    protocol: &'static Protocol,
}

/// The connections whose removal is awaited, in the order in which it is due.
#[derive(Default)]
pub(crate) struct Reaper {
    expected: Mutex<VecDeque<Expected>>,
    changed: Condvar,
}

impl Reaper {
    /// The protocol is being told to close this connection.
    pub(crate) fn expect_removal(&self, connection: &Arc<Connection>) {
        let at = Instant::now() + PATIENCE;
        let expected = Expected { at, handle: connection.handle, protocol: connection.protocol };
        self.expected.lock().push_back(expected);
        self.changed.notify_one();
    }

    /// The life of the reaper's thread.
    pub(crate) fn serve(&self) {
        loop {
            let due = self.next();
            let Some(connection) = due.protocol.host.connections.remove(due.handle, due.protocol) else {
                continue;
            };
            tracing::warn!(
                protocol = %due.protocol.name, connection = %connection.uuid,
                "removed: the protocol has not done so within 5 s after disconnect"
            );
            Turn::outside(due.protocol.host).removed(&connection);
        }
    }

    fn next(&self) -> Expected {
        let mut expected = self.expected.lock();
        loop {
            match expected.front().map(|first| first.at) {
                None => self.changed.wait(&mut expected),
                Some(at) if at > Instant::now() => {
                    self.changed.wait_until(&mut expected, at);
                }
                Some(_) => {
                    if let Some(due) = expected.pop_front() {
                        return due;
                    }
                }
            }
        }
    }
}
