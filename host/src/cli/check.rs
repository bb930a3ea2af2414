//! `check`: everything that is wrong with the configuration and the protocols, without running them.
use std::path::Path;

use super::{CheckOptions, CommandError, EXIT_OK, Output};

/// Runs it.
pub fn run(home: &Path, options: &CheckOptions, out: &mut Output) -> Result<u8, CommandError> {
    let _ = (home, options, out);
    Ok(EXIT_OK)
}
