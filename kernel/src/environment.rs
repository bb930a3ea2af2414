//! Where time and ids come from, so that tests can fix them.

use std::time::{SystemTime, UNIX_EPOCH};

use uuid::Uuid;

/// The clock and the source of ids.
pub trait Environment: Send + Sync {
    /// The time in milliseconds since the Unix epoch.
    fn now_ms(&self) -> u64;
    /// A new random id (UUID version 4).
    fn uuid(&self) -> Uuid;
}

/// The system's clock and random numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEnvironment;

impl Environment for SystemEnvironment {
    /// A clock before 1970 reads as 0.
    fn now_ms(&self) -> u64 {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
    }

    fn uuid(&self) -> Uuid {
        Uuid::new_v4()
    }
}
