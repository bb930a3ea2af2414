//! Statistics: what happens for each protocol label, and frames of it taken at intervals.
//!
//! Source: Kuzzle, lib/core/statistics/statistics.ts. Unlike Kuzzle's, stored frames hold their numbers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde_json::{Map, Value, json};

/// Labels that are counted one by one. A protocol chooses its labels, so their number must have a bound.
const LABELS: usize = 64;

/// The longest label that is counted by itself, in bytes.
const LONGEST: usize = 64;

/// Stands for all labels beyond these bounds.
const OTHERS: &str = "(others)";

/// The frames that are kept at most, however long they may live.
const FRAMES: usize = 10_000;

/// Counts by protocol label. Counting takes no lock, and allocates for the first use of a label only.
pub struct Statistics {
    /// Filled from the front, never emptied: a label is found by looking from the front to the first empty place.
    labels: Box<[OnceLock<Label>]>,
    others: Label,
    ttl_ms: u64,
    history: Mutex<History>,
}

/// One label, on cache lines of its own.
#[repr(align(128))]
struct Label {
    name: Box<str>,
    connections: AtomicU64,
    started: AtomicU64,
    completed: AtomicU64,
    failed: AtomicU64,
}

/// What was counted when the last frame was taken, and the frames.
#[derive(Default)]
struct History {
    frames: VecDeque<Frame>,
    /// Completed and failed requests, by the place of the label.
    before: Vec<(u64, u64)>,
}

/// What was counted in one interval.
struct Frame {
    timestamp: u64,
    content: Value,
}

/// A request that is being executed; see [`Statistics::start`].
pub(crate) struct Ongoing<'a>(Option<&'a Label>);

impl Ongoing<'_> {
    /// The request is answered.
    pub(crate) fn end(self, success: bool) {
        if let Some(label) = self.0 {
            let count = if success { &label.completed } else { &label.failed };
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Statistics {
    /// Without counts. Frames live for `ttl_ms` milliseconds.
    pub(crate) fn new(ttl_ms: u64) -> Statistics {
        Statistics {
            labels: (0..LABELS).map(|_| OnceLock::new()).collect(),
            others: Label::new(OTHERS),
            ttl_ms,
            history: Mutex::default(),
        }
    }

    /// A client of this label has connected.
    pub fn connected(&self, label: &str) {
        self.label(label).connections.fetch_add(1, Ordering::Relaxed);
    }

    /// One of the connected clients of this label is gone.
    pub fn disconnected(&self, label: &str) {
        self.label(label).connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// A request of this label is being executed. An empty label is not counted.
    pub(crate) fn start(&self, label: &str) -> Ongoing<'_> {
        if label.is_empty() {
            return Ongoing(None);
        }
        let label = self.label(label);
        label.started.fetch_add(1, Ordering::Relaxed);
        Ongoing(Some(label))
    }

    /// Takes a frame of what was counted since the last one, and forgets those that are too old.
    pub fn store_frame(&self, now_ms: u64) {
        let mut history = self.history.lock();
        let content = self.since(&history.before);
        history.before = self.in_order().map(|label| (get(&label.completed), get(&label.failed))).collect();
        history.forget_before(now_ms.saturating_sub(self.ttl_ms));
        if history.frames.len() == FRAMES {
            history.frames.pop_front();
        }
        history.frames.push_back(Frame { timestamp: now_ms, content });
    }

    /// The last frame; without one, what was counted so far.
    pub(crate) fn last(&self, now_ms: u64) -> Value {
        let mut history = self.history.lock();
        history.forget_before(now_ms.saturating_sub(self.ttl_ms));
        match history.frames.back() {
            Some(frame) => frame.told(),
            None => self.current(&history, now_ms).told(),
        }
    }

    /// The frames between two times, as `{hits, total}`; as long as there is no frame, what was counted so far.
    pub(crate) fn between(&self, start_ms: Option<f64>, stop_ms: Option<f64>, now_ms: u64) -> Value {
        let is_within = |timestamp: u64| {
            let timestamp = timestamp as f64;
            start_ms.is_none_or(|start| start <= timestamp) && stop_ms.is_none_or(|stop| stop >= timestamp)
        };
        let mut history = self.history.lock();
        history.forget_before(now_ms.saturating_sub(self.ttl_ms));
        let hits: Vec<Value> = if start_ms.is_some_and(|start| start >= now_ms as f64) {
            Vec::new()
        } else if history.frames.is_empty() {
            let current = stop_ms.is_none_or(|stop| stop >= now_ms as f64);
            current.then(|| self.current(&history, now_ms).told()).into_iter().collect()
        } else {
            history.frames.iter().filter(|frame| is_within(frame.timestamp)).map(Frame::told).collect()
        };
        json!({ "total": hits.len(), "hits": hits })
    }

    /// The connections that live now, by label in lower case.
    pub(crate) fn connections(&self) -> BTreeMap<String, u64> {
        let mut connections = BTreeMap::new();
        for label in self.in_order() {
            let count = label.connected();
            if count > 0 {
                *connections.entry(label.name.to_lowercase()).or_default() += count;
            }
        }
        connections
    }

    fn label(&self, name: &str) -> &Label {
        if name.len() > LONGEST {
            return &self.others;
        }
        self.labels
            .iter()
            .map(|place| place.get_or_init(|| Label::new(name)))
            .find(|label| *label.name == *name)
            .unwrap_or(&self.others)
    }

    /// What stands for all others, then every label that was used: an order that stays as it grows.
    fn in_order(&self) -> impl Iterator<Item = &Label> {
        std::iter::once(&self.others).chain(self.labels.iter().map_while(OnceLock::get))
    }

    fn current(&self, history: &History, now_ms: u64) -> Frame {
        Frame { timestamp: now_ms, content: self.since(&history.before) }
    }

    fn since(&self, before: &[(u64, u64)]) -> Value {
        let mut members: [Map<String, Value>; 4] = Default::default();
        for (place, label) in self.in_order().enumerate() {
            let before = before.get(place).copied().unwrap_or_default();
            let (completed, failed) = (get(&label.completed), get(&label.failed));
            let started = get(&label.started);
            let counts = [
                (completed - before.0, false),
                (label.connected(), false),
                (failed - before.1, false),
                // Requests may end between two of the loads. Kuzzle shows the 0 of those that had requests.
                (started.saturating_sub(completed + failed), started > 0),
            ];
            for (members, (count, shows_zero)) in members.iter_mut().zip(counts) {
                if count > 0 || shows_zero {
                    members.insert(label.name.to_string(), count.into());
                }
            }
        }
        let [completed, connections, failed, ongoing] = members;
        json!({
            "completedRequests": completed,
            "connections": connections,
            "failedRequests": failed,
            "ongoingRequests": ongoing,
        })
    }
}

impl Label {
    fn new(name: &str) -> Label {
        Label {
            name: name.into(),
            connections: AtomicU64::new(0),
            started: AtomicU64::new(0),
            completed: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    /// The connections now. One that goes at once may be taken away before it is added.
    fn connected(&self) -> u64 {
        u64::try_from(get(&self.connections).cast_signed()).unwrap_or(0)
    }
}

fn get(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

impl History {
    fn forget_before(&mut self, oldest_ms: u64) {
        while self.frames.front().is_some_and(|frame| frame.timestamp < oldest_ms) {
            self.frames.pop_front();
        }
    }
}

impl Frame {
    fn told(&self) -> Value {
        let mut told = self.content.clone();
        told["timestamp"] = self.timestamp.into();
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: u64 = 1_000;

    fn frame(statistics: &Statistics, now_ms: u64) -> Value {
        statistics.store_frame(now_ms);
        statistics.last(now_ms)
    }

    #[test]
    fn a_frame_holds_what_happened_since_the_last_one() {
        let statistics = Statistics::new(TTL);
        statistics.connected("tcp");
        statistics.connected("tcp");
        statistics.connected("udp");
        statistics.disconnected("udp");
        statistics.start("tcp").end(true);
        statistics.start("tcp").end(true);
        statistics.start("udp").end(false);
        statistics.start("").end(true);
        let ongoing = statistics.start("udp");
        assert_eq!(
            frame(&statistics, 10),
            json!({
                "completedRequests": { "tcp": 2 },
                "connections": { "tcp": 2 },
                "failedRequests": { "udp": 1 },
                "ongoingRequests": { "tcp": 0, "udp": 1 },
                "timestamp": 10,
            })
        );
        ongoing.end(true);
        let second = frame(&statistics, 20);
        assert_eq!(second["completedRequests"], json!({ "udp": 1 }));
        assert_eq!(second["failedRequests"], json!({}));
        assert_eq!(second["ongoingRequests"], json!({ "tcp": 0, "udp": 0 }));
        assert_eq!(statistics.between(None, None, 20)["total"], 2);
    }

    #[test]
    fn frames_are_found_by_time_and_forgotten_after_their_time_to_live() {
        let statistics = Statistics::new(TTL);
        (0..5).for_each(|number| statistics.store_frame(number * 100));
        let timestamps = |start, stop, now| -> Vec<u64> {
            let found = statistics.between(start, stop, now);
            let hits = found["hits"].as_array().unwrap();
            assert_eq!(found["total"], hits.len());
            hits.iter().map(|hit| hit["timestamp"].as_u64().unwrap()).collect()
        };
        assert_eq!(timestamps(None, None, 400), [0, 100, 200, 300, 400]);
        assert_eq!(timestamps(Some(100.0), Some(300.0), 400), [100, 200, 300]);
        assert_eq!(timestamps(Some(350.5), None, 401), [400]);
        assert_eq!(timestamps(Some(400.0), None, 400), [0; 0], "nothing begins now or later");
        assert_eq!(timestamps(None, None, 1_200), [200, 300, 400]);
        assert_eq!(statistics.last(9_999)["timestamp"], 9_999, "without a frame: what is counted now");
    }

    #[test]
    fn as_long_as_there_is_no_frame_the_current_counts_are_told() {
        let statistics = Statistics::new(TTL);
        statistics.start("tcp").end(true);
        let told = statistics.between(Some(1.0), Some(50.0), 50);
        assert_eq!((&told["total"], &told["hits"][0]["timestamp"]), (&json!(1), &json!(50)));
        assert_eq!(told["hits"][0]["completedRequests"], json!({ "tcp": 1 }));
        assert_eq!(statistics.between(None, Some(49.0), 50)["total"], 0);
        assert_eq!(statistics.last(50)["completedRequests"], json!({ "tcp": 1 }));
    }

    #[test]
    fn invented_labels_take_no_memory() {
        let statistics = Statistics::new(TTL);
        for number in 0..1_000 {
            statistics.connected(&format!("label {number}"));
            statistics.start(&"x".repeat(LONGEST + 1 + number)).end(true);
        }
        statistics.connected("label 0");
        let connections = statistics.connections();
        assert_eq!(connections.len(), LABELS + 1);
        assert_eq!(connections["label 0"], 2);
        assert_eq!(connections[OTHERS], 1_000 - LABELS as u64);
    }

    #[test]
    fn the_number_of_frames_is_bounded() {
        let statistics = Statistics::new(u64::MAX);
        (0..FRAMES as u64 + 5).for_each(|now| statistics.store_frame(now));
        let all = statistics.between(None, None, 1 << 40);
        assert_eq!((&all["total"], &all["hits"][0]["timestamp"]), (&json!(FRAMES), &json!(5)));
    }

    #[test]
    fn labels_that_differ_in_case_are_one_in_metrics() {
        let statistics = Statistics::new(TTL);
        statistics.connected("HTTP/1.1");
        statistics.connected("http/1.1");
        assert_eq!(statistics.connections(), BTreeMap::from([("http/1.1".to_owned(), 2)]));
    }

    #[test]
    fn threads_that_use_a_new_label_at_once_share_it() {
        let statistics = Statistics::new(TTL);
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let statistics = &statistics;
                scope.spawn(move || {
                    for number in 0..LABELS {
                        statistics.connected(&format!("{}", (number + thread * 7) % 50));
                    }
                });
            }
        });
        let connections = statistics.connections();
        assert_eq!(connections.len(), 50);
        assert_eq!(connections.values().sum::<u64>(), 8 * LABELS as u64);
    }
}
