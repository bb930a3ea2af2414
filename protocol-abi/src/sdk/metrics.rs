//! The extension `kuzzle.metrics/1`: numbers that a protocol tells the host, and the reverse.

use std::fmt;

use super::guard::catch;
use super::queue::InCallback;
use crate::raw::metrics::{
    KUZZLE_METRIC_COUNTER, KUZZLE_METRIC_GAUGE, KUZZLE_METRICS_MOST, kuzzle_host_metrics, kuzzle_metric,
};
use crate::raw::{KUZZLE_FAILED, KUZZLE_INVALID_ARGUMENT, KUZZLE_OK, kuzzle_context, kuzzle_str};

/// What a number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MetricKind {
    /// What has happened since the start: never falls.
    Counter,
    /// How much there is now.
    Gauge,
}

/// One number, as the other side tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// What it means.
    pub kind: MetricKind,
    /// Its value.
    pub value: i64,
}

/// Takes the numbers of [`Protocol::metrics`](crate::Protocol::metrics).
///
/// A name is 1 to 64 of `A-Z a-z 0-9 _ . -`; of two of one name the first counts. The host takes 64
/// numbers.
pub struct Metrics<'a> {
    out: &'a mut [kuzzle_metric],
    count: usize,
}

impl<'a> Metrics<'a> {
    fn new(out: &'a mut [kuzzle_metric]) -> Self {
        Self { out, count: 0 }
    }

    /// What has happened since the start: it never falls.
    pub fn counter(&mut self, name: &'static str, value: u64) -> &mut Self {
        self.add(name, KUZZLE_METRIC_COUNTER, i64::try_from(value).unwrap_or(i64::MAX))
    }

    /// How much there is now.
    pub fn gauge(&mut self, name: &'static str, value: i64) -> &mut Self {
        self.add(name, KUZZLE_METRIC_GAUGE, value)
    }

    fn add(&mut self, name: &'static str, kind: u32, value: i64) -> &mut Self {
        if let Some(place) = self.out.get_mut(self.count) {
            *place = kuzzle_metric { name: kuzzle_str::new(name), kind, reserved: 0, value };
            self.count += 1;
        }
        self
    }
}

impl fmt::Debug for Metrics<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("count", &self.count).finish_non_exhaustive()
    }
}

/// Fills what the other side has a place for.
///
/// # Safety
/// `out` must be null or have room for `capacity` metrics, `count` be null or writable.
pub(crate) unsafe fn fill(
    out: *mut kuzzle_metric,
    capacity: usize,
    count: *mut usize,
    tell: impl FnOnce(&mut Metrics<'_>) -> i32,
) -> i32 {
    if count.is_null() || (out.is_null() && capacity > 0) || !out.is_aligned() {
        return KUZZLE_INVALID_ARGUMENT;
    }
    let mut metrics = [kuzzle_metric::EMPTY; KUZZLE_METRICS_MOST];
    let capacity = capacity.min(metrics.len());
    let mut sink = Metrics::new(&mut metrics[..capacity]);
    let status = catch(|| {
        let _inside = InCallback::enter();
        tell(&mut sink)
    })
    .unwrap_or(KUZZLE_FAILED);
    if status == KUZZLE_OK {
        let told = sink.count;
        // SAFETY: the sink took at most `capacity`, for which there is room; `count` is not null.
        unsafe {
            if told > 0 {
                std::ptr::copy_nonoverlapping(metrics.as_ptr(), out, told);
            }
            count.write(told);
        }
    }
    status
}

/// Calls a function that fills metrics, and reads what it has told; `Err` is its status.
///
/// Metrics without a name or of an unknown kind are left out.
pub(crate) fn read(
    call: impl FnOnce(*mut kuzzle_metric, usize, *mut usize) -> i32,
) -> Result<Vec<Metric>, i32> {
    let mut metrics = [kuzzle_metric::EMPTY; KUZZLE_METRICS_MOST];
    let mut count = 0;
    let status = call(metrics.as_mut_ptr(), metrics.len(), &raw mut count);
    if status != KUZZLE_OK {
        return Err(status);
    }
    let told = metrics.iter().take(count).filter_map(|metric| {
        let kind = match metric.kind {
            KUZZLE_METRIC_COUNTER => MetricKind::Counter,
            KUZZLE_METRIC_GAUGE => MetricKind::Gauge,
            _ => return None,
        };
        // SAFETY: the extension's documentation: names live until the process ends.
        let name = unsafe { metric.name.text() }?;
        Some(Metric { name: name.to_owned(), kind, value: metric.value })
    });
    Ok(told.collect())
}

/// Asks the host.
///
/// # Safety
/// `table` must be what the context `context` answered for this extension.
pub(crate) unsafe fn of_host(
    table: *const kuzzle_host_metrics,
    context: *const kuzzle_context,
) -> Option<Vec<Metric>> {
    // SAFETY: the caller's promise; the table lives until the process ends.
    let ask = unsafe { table.as_ref() }?.read?;
    // SAFETY: the host's own context; the rest is as `read` makes it.
    read(|out, capacity, count| unsafe { ask(context, out, capacity, count) }).ok()
}
