//! A clock that is read for nothing: one task moves it on, everything else looks at a number.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often it is moved on.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// Milliseconds since the protocol's start, and seconds since the Unix epoch, both a tick late at most.
#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
    milliseconds: AtomicU64,
    second: AtomicU64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let clock =
            Self { start: Instant::now(), milliseconds: AtomicU64::new(0), second: AtomicU64::new(0) };
        clock.advance();
        clock
    }

    /// Moves it on.
    pub(crate) fn advance(&self) {
        let elapsed = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.milliseconds.store(elapsed, Ordering::Relaxed);
        let second = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.second.store(second, Ordering::Relaxed);
    }

    /// Milliseconds.
    pub(crate) fn now(&self) -> u64 {
        self.milliseconds.load(Ordering::Relaxed)
    }

    /// The second of the wall clock.
    pub(crate) fn second(&self) -> u64 {
        self.second.load(Ordering::Relaxed)
    }
}
