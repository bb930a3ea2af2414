//! When to tell that more requests run than should.
//!
//! Source: Kuzzle, lib/api/funnel.js (`checkOverload`). The kernel has no queue: the requests beyond
//! `concurrentRequests` that run are those that would have been queued.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::settings::Settings;

/// Milliseconds between two warnings.
const PAUSE: u64 = 500;

/// Tells of an overload, but not too often.
#[derive(Default)]
pub(crate) struct Overload {
    /// When it was told last, plus one; 0: never.
    told_ms: AtomicU64,
}

impl Overload {
    /// How full the buffer is, in percent with two decimals, if that is to be told now. `running` includes the
    /// request that asks.
    pub(crate) fn look(&self, running: usize, settings: &Settings, now_ms: u64) -> Option<f64> {
        let waiting = running.saturating_sub(settings.concurrent_requests);
        if waiting <= settings.requests_buffer_warning_threshold {
            return None;
        }
        let told = self.told_ms.load(Ordering::Relaxed);
        if told != 0 && now_ms < told.saturating_add(PAUSE - 1) {
            return None;
        }
        let is_ours = self.told_ms.compare_exchange(told, now_ms + 1, Ordering::Relaxed, Ordering::Relaxed);
        is_ours.ok()?;
        let share =
            waiting.min(settings.requests_buffer_size) as f64 / settings.requests_buffer_size.max(1) as f64;
        Some((share * 10_000.0).round() / 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            concurrent_requests: 2,
            requests_buffer_size: 6,
            requests_buffer_warning_threshold: 3,
            ..Settings::default()
        }
    }

    #[test]
    fn is_told_above_the_threshold_only() {
        let overload = Overload::default();
        for running in 0..=5 {
            assert_eq!(overload.look(running, &settings(), 0), None, "{running}");
        }
        assert_eq!(overload.look(6, &settings(), 0), Some(66.67));
    }

    #[test]
    fn is_told_every_half_second_at_most() {
        let overload = Overload::default();
        let told = |now_ms| overload.look(8, &settings(), now_ms);
        assert_eq!(told(10_000), Some(100.0));
        assert_eq!((told(10_000), told(10_499)), (None, None));
        assert_eq!((told(10_500), told(10_501)), (Some(100.0), None));
    }

    #[test]
    fn the_fill_is_never_more_than_all() {
        assert_eq!(Overload::default().look(1_000, &settings(), 0), Some(100.0));
    }
}
