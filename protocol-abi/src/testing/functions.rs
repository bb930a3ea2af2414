//! The functions of a protocol, of a type in this process or of a loaded library.

use crate::Protocol;
use crate::raw::{
    kuzzle_context, kuzzle_entry_point, kuzzle_error, kuzzle_protocol, kuzzle_protocol_broadcast_fn,
    kuzzle_protocol_channel_fn, kuzzle_protocol_disconnect_fn, kuzzle_protocol_get_extension_fn,
    kuzzle_protocol_init_fn, kuzzle_protocol_notify_fn, kuzzle_protocol_shutdown_fn,
    kuzzle_protocol_start_fn,
};
use crate::sdk::exports::{self, Exports, Identity};

/// What a protocol exports.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the header documents each function")]
pub struct Table {
    pub init: kuzzle_protocol_init_fn,
    pub start: Option<kuzzle_protocol_start_fn>,
    pub broadcast: kuzzle_protocol_broadcast_fn,
    pub notify: kuzzle_protocol_notify_fn,
    pub join_channel: kuzzle_protocol_channel_fn,
    pub leave_channel: kuzzle_protocol_channel_fn,
    pub disconnect: kuzzle_protocol_disconnect_fn,
    pub shutdown: Option<kuzzle_protocol_shutdown_fn>,
    pub get_extension: Option<kuzzle_protocol_get_extension_fn>,
}

/// What a protocol exports, vouched for by whoever made it.
#[derive(Clone, Copy, Debug)]
pub struct Functions {
    pub(super) table: Table,
}

impl Functions {
    /// Those of a type of this process, behind the SDK's exports: as in a library of its own.
    pub fn of<P: Protocol>() -> Self {
        let exports = Exports::new::<P>();
        Self {
            table: Table {
                init: init::<P>,
                start: Some(exports.start),
                broadcast: exports.broadcast,
                notify: exports.notify,
                join_channel: exports.join_channel,
                leave_channel: exports.leave_channel,
                disconnect: exports.disconnect,
                shutdown: Some(exports.shutdown),
                get_extension: Some(exports.get_extension),
            },
        }
    }

    /// Those of a loaded library.
    ///
    /// # Safety
    /// Each must be the function that the header describes, all of one library, which is never
    /// unloaded.
    pub unsafe fn from_table(table: Table) -> Self {
        Self { table }
    }
}

unsafe extern "C" fn init<P: Protocol>(
    entry_point: *const kuzzle_entry_point,
    context: *const kuzzle_context,
    out: *mut *mut kuzzle_protocol,
    error: *mut kuzzle_error,
) -> i32 {
    // SAFETY: passed through; the caller keeps the header's promises.
    unsafe { exports::init::<P>(Identity::new("kuzzle-test"), entry_point, context, out, error) }
}
