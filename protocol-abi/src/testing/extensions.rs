//! The extensions of both sides: what the host offers, and what it asks the protocol for.

use std::ffi::c_void;

use super::recorded::Rule;
use super::running::{Running, callback};
use super::tables::Context;
use crate::raw::metrics::{KUZZLE_EXTENSION_METRICS, kuzzle_host_metrics, kuzzle_metric, kuzzle_metrics};
use crate::raw::{KUZZLE_INVALID_ARGUMENT, KUZZLE_OK, kuzzle_context};
use crate::sdk::metrics;
use crate::{Metric, Status};

static HOST_METRICS: kuzzle_host_metrics = kuzzle_host_metrics { read: Some(read) };

/// The table of this id, or null.
pub(super) fn offered(id: &str) -> *const c_void {
    match id {
        KUZZLE_EXTENSION_METRICS => (&raw const HOST_METRICS).cast(),
        _ => std::ptr::null(),
    }
}

unsafe extern "C" fn read(
    this: *const kuzzle_context,
    out: *mut kuzzle_metric,
    capacity: usize,
    count: *mut usize,
) -> i32 {
    // SAFETY: a protocol passes back what `init` was given: the first field of ours, leaked.
    let Some(context) = (unsafe { this.cast::<Context>().as_ref() }) else { return KUZZLE_INVALID_ARGUMENT };
    let recorded = context.shared.state().recorded.clone();
    // SAFETY: the protocol passes places as the extension demands.
    let status = unsafe {
        metrics::fill(out, capacity, count, |metrics| {
            metrics
                .gauge("connections", recorded.connected().len() as i64)
                .counter("requests", recorded.requests.len() as u64)
                .counter("notifications", 0)
                .counter("dropped", 0)
                .counter("slowCalls", recorded.slow.len() as u64);
            KUZZLE_OK
        })
    };
    if status == KUZZLE_INVALID_ARGUMENT {
        context.shared.violated(Rule::Arguments, "the host's metrics were read with a null pointer");
    }
    status
}

impl Running {
    /// The numbers that the protocol exposes, by the extension `kuzzle.metrics/1`; `None` if it does not
    /// have that.
    ///
    /// # Errors
    /// The protocol's status.
    pub fn metrics(self) -> Option<Result<Vec<Metric>, Status>> {
        let table = self.extension(KUZZLE_EXTENSION_METRICS)?.cast::<kuzzle_metrics>();
        // SAFETY: the protocol answered it for this id: the extension's table, which lives for ever.
        let read = unsafe { table.as_ref() }.read?;
        let told = metrics::read(|out, capacity, count| {
            callback(self.host().shared, "metrics", || {
                // SAFETY: the instance is what `init` made; the places are as `metrics::read` makes them.
                unsafe { read(self.instance(), out, capacity, count) }
            })
        });
        Some(told.map_err(Status::from_raw))
    }
}
