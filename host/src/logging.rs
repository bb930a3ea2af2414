//! The log of the host and its protocols, on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// The variable that sets what is logged: `info`, `warn,kuzzle::protocol=debug`, …
pub const VARIABLE: &str = "KUZZLE_LOG";

/// Starts logging, at `info` unless [`VARIABLE`] says otherwise. A second call does nothing.
pub fn init() {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .with_env_var(VARIABLE)
        .from_env_lossy();
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
}
