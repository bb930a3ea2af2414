//! Where there is no systemd, nobody is told anything.

use crate::serving::Host;

/// Tells nobody.
pub fn begin(_host: &'static Host) {}

/// Tells nobody.
pub fn ready(_status: &str) {}

/// Tells nobody.
pub fn status(_status: &str) {}

/// Tells nobody.
pub fn reloading() {}

/// Tells nobody.
pub fn stopping() {}
