//! What the end-to-end tests share: installations on disk, a running host, clients.
//!
//! Everything is real: the program `kuzzle-host` as cargo has built it, shared libraries that the
//! tests build from Rust and from C, sockets on ports that the system chooses.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

mod build;
mod check;
mod client;
mod host;
mod http;
mod installation;
mod mqtt;
mod mqtt_tools;
mod node;
mod websocket;

pub use build::{c_library, c_library_against, cc, has, program, root, rust_library};
pub use check::Report;
pub use client::{Client, LineClient, UdpClient};
pub use host::{Finished, Host};
pub use http::{HttpClient, Reply};
pub use installation::Installation;
pub use mqtt::{MqttClient, Packet as MqttPacket};
pub use mqtt_tools::{has_mosquitto, node_with_mqtt, python_with_paho};
pub use node::Node;
pub use websocket::{WebSocketClient, frame, masked};

use std::time::{Duration, Instant};

/// How long anything that a test waits for may take.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Waits until there is something.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "in vain: waited for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A file of the repository, as text.
pub fn source(path: &str) -> String {
    std::fs::read_to_string(build::root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
