//! A Kuzzle-compatible server whose network protocols are compiled shared libraries, proven from
//! the file alone before any of their code runs.
#![deny(unsafe_code)]

pub mod cli;
pub mod config;
#[cfg(unix)]
pub mod conformance;
pub mod diagnostics;
pub mod installation;
pub mod loading;
pub mod logging;
pub mod platform;
pub mod serving;
#[cfg(unix)]
pub mod systemd;
#[cfg(not(unix))]
#[path = "no_systemd.rs"]
pub mod systemd;
