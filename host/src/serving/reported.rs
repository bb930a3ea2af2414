//! The numbers that a protocol exposes by the extension `kuzzle.metrics/1`, as they were read last.
//!
//! They are read about once a second on the protocol's own thread: a request for them neither waits
//! for a protocol nor enters one that is not its own.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use kuzzle_protocol_abi::raw::metrics::{KUZZLE_METRIC_COUNTER, KUZZLE_METRIC_GAUGE};
use parking_lot::Mutex;
use serde_json::{Map, Value};

use super::abi::{MetricsTable, RawMetric};

/// Bytes of a name.
const LONGEST_NAME: usize = 64;

/// What one protocol tells of itself.
#[derive(Default)]
pub(crate) struct Reported {
    table: OnceLock<MetricsTable>,
    values: Mutex<Map<String, Value>>,
    /// A reading is queued or under way.
    pending: AtomicBool,
    complained: AtomicBool,
}

impl Reported {
    /// What the protocol answered when it was asked for its table, once.
    pub(super) fn set_table(&self, table: Option<MetricsTable>) {
        if let Some(table) = table {
            let _ = self.table.set(table);
        }
    }

    pub(super) fn table(&self) -> Option<MetricsTable> {
        self.table.get().copied()
    }

    /// Whether a reading should be queued; then it is taken for queued.
    pub(super) fn is_due(&self) -> bool {
        self.table.get().is_some() && !self.pending.swap(true, Ordering::AcqRel)
    }

    /// A reading has ended; `None`: it failed, and the numbers of before stay.
    pub(super) fn was_read(&self, protocol: &str, metrics: Option<Vec<RawMetric>>) {
        if let Some(metrics) = metrics {
            let told = metrics.len();
            let values = valid(&metrics);
            if values.len() < told && !self.complained.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    protocol,
                    left_out = told - values.len(),
                    "metrics of the protocol are not shown: a name of 1 to 64 of A-Z a-z 0-9 _ . - that occurs once, a \
                     kind that is known and a counter of 0 or more are wanted"
                );
            }
            *self.values.lock() = values;
        }
        self.pending.store(false, Ordering::Release);
    }

    /// The numbers, by name.
    pub(super) fn values(&self) -> Map<String, Value> {
        self.values.lock().clone()
    }
}

/// Those that are as demanded; of two of one name the first.
fn valid(metrics: &[RawMetric]) -> Map<String, Value> {
    let mut values = Map::new();
    for metric in metrics {
        let name = metric.name.and_then(|name| std::str::from_utf8(name).ok()).unwrap_or_default();
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        let is_name = (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(is_allowed);
        let is_value = match metric.kind {
            KUZZLE_METRIC_COUNTER => metric.value >= 0,
            KUZZLE_METRIC_GAUGE => true,
            _ => false,
        };
        if is_name && is_value && !values.contains_key(name) {
            values.insert(name.to_owned(), metric.value.into());
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_as_demanded_is_shown() {
        let metric = |name: &'static [u8], kind, value| RawMetric { name: Some(name), kind, value };
        let all = [
            metric(b"good.name-1_x", KUZZLE_METRIC_COUNTER, 3),
            metric(b"good.name-1_x", KUZZLE_METRIC_COUNTER, 4),
            metric(b"below", KUZZLE_METRIC_GAUGE, -1),
            metric(b"fallen", KUZZLE_METRIC_COUNTER, -1),
            metric(b"", KUZZLE_METRIC_GAUGE, 1),
            metric(b"a b", KUZZLE_METRIC_GAUGE, 1),
            metric(b"\xff", KUZZLE_METRIC_GAUGE, 1),
            metric(&[b'x'; 65], KUZZLE_METRIC_GAUGE, 1),
            metric(b"kind", 3, 1),
            RawMetric { name: None, kind: KUZZLE_METRIC_GAUGE, value: 1 },
        ];
        assert_eq!(Value::Object(valid(&all)), json!({ "good.name-1_x": 3, "below": -1 }));
    }

    #[test]
    fn a_reading_that_failed_leaves_what_was_read_before() {
        let reported = Reported::default();
        let metric = RawMetric { name: Some(b"a"), kind: KUZZLE_METRIC_GAUGE, value: 1 };
        reported.was_read("p", Some(vec![metric]));
        reported.was_read("p", None);
        assert_eq!(Value::Object(reported.values()), json!({ "a": 1 }));
        assert!(!reported.is_due(), "there is no table");
    }
}
