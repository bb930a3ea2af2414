//! The extension `kuzzle.metrics/1`: a mirror of `include/kuzzle/extensions/metrics.h`, which says what
//! is called from where.

use super::{kuzzle_context, kuzzle_protocol, kuzzle_str};

/// The id that both functions `get_extension` know.
pub const KUZZLE_EXTENSION_METRICS: &str = "kuzzle.metrics/1";
/// The host asks for at most so many.
pub const KUZZLE_METRICS_MOST: usize = 64;
/// What has happened since the start: never falls.
pub const KUZZLE_METRIC_COUNTER: u32 = 1;
/// How much there is now.
pub const KUZZLE_METRIC_GAUGE: u32 = 2;

/// One number. Passed in arrays, so it never grows.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kuzzle_metric {
    /// 1 to 64 of `A-Z a-z 0-9 _ . -`; lives until the process ends.
    pub name: kuzzle_str,
    /// `KUZZLE_METRIC_…`.
    pub kind: u32,
    /// 0.
    pub reserved: u32,
    /// Its value.
    pub value: i64,
}

impl kuzzle_metric {
    /// A place for one.
    pub const EMPTY: Self = Self { name: kuzzle_str::EMPTY, kind: 0, reserved: 0, value: 0 };
}

/// What `kuzzle_protocol_get_extension` answers.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kuzzle_metrics {
    /// Writes at most `capacity` metrics to `out`, and to `count` how many.
    pub read: Option<
        unsafe extern "C" fn(
            this: *mut kuzzle_protocol,
            out: *mut kuzzle_metric,
            capacity: usize,
            count: *mut usize,
        ) -> i32,
    >,
}

/// What `kuzzle_context.get_extension` answers.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kuzzle_host_metrics {
    /// Writes at most `capacity` metrics to `out`, and to `count` how many.
    pub read: Option<
        unsafe extern "C" fn(
            this: *const kuzzle_context,
            out: *mut kuzzle_metric,
            capacity: usize,
            count: *mut usize,
        ) -> i32,
    >,
}
