//! Where there is no systemd, nobody is told anything.

use crate::serving::Host;

/// Tells nobody.
pub fn ready(_status: &str) {}

/// Tells nobody.
pub fn reloading() {}

/// Tells nobody.
pub fn stopping() {}

/// Gives no signs of life.
pub fn watch(_host: &'static Host) {}
