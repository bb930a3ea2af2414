//! What the unit tests of this module share: protocols that do nothing.

use std::sync::LazyLock;

use kuzzle_kernel::{Kernel, Settings, SystemEnvironment};
use kuzzle_protocol_abi::raw;
use uuid::Uuid;

use super::Host;
use super::abi::Functions;
use super::connections::{Connection, Handle};
use super::outbox::Outbox;
use super::protocol::{Description, Protocol};

static HOST: LazyLock<&'static Host> =
    LazyLock::new(|| Host::new(Kernel::new(Settings::default(), Box::new(SystemEnvironment)), 1 << 20));

mod nothing {
    #![allow(unsafe_code, reason = "has the signatures of the ABI and touches nothing")]

    use super::raw::*;

    pub(super) unsafe extern "C" fn init(
        _: *const kuzzle_entry_point,
        _: *const kuzzle_context,
        _: *mut *mut kuzzle_protocol,
        _: *mut kuzzle_error,
    ) -> i32 {
        0
    }
    pub(super) unsafe extern "C" fn broadcast(_: *mut kuzzle_protocol, _: *const kuzzle_broadcast) -> i32 {
        0
    }
    pub(super) unsafe extern "C" fn notify(_: *mut kuzzle_protocol, _: *const kuzzle_notification) -> i32 {
        0
    }
    pub(super) unsafe extern "C" fn channel(_: *mut kuzzle_protocol, _: u64, _: kuzzle_str) -> i32 {
        0
    }
    pub(super) unsafe extern "C" fn disconnect(_: *mut kuzzle_protocol, _: *const kuzzle_disconnect) -> i32 {
        0
    }
}

/// A protocol whose functions do nothing.
pub(super) fn protocol(name: &str) -> &'static Protocol {
    let description = Description {
        name: name.into(),
        version: None,
        entry: name.into(),
        options: serde_json::json!({ name: {} }),
        config: "{}".into(),
        server_host: None,
        server_port: 7512,
    };
    let functions = Functions {
        init: nothing::init,
        start: None,
        broadcast: nothing::broadcast,
        notify: nothing::notify,
        join_channel: nothing::channel,
        leave_channel: nothing::channel,
        disconnect: nothing::disconnect,
        shutdown: None,
    };
    Protocol::new(*HOST, 0, description, functions)
}

/// A connection of it.
pub(super) fn connection(handle: Handle, protocol: &'static Protocol) -> Connection {
    Connection {
        handle,
        uuid: Uuid::nil(),
        protocol,
        label: None,
        ips: Box::default(),
        headers: Box::default(),
        outbox: Outbox::default(),
    }
}
