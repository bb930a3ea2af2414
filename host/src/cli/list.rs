//! `list`.
use std::path::Path;

use super::{CommandError, EXIT_OK, ListOptions, Output};

/// Runs it.
pub fn run(home: &Path, options: &ListOptions, out: &mut Output) -> Result<u8, CommandError> {
    let _ = (home, options, out);
    Ok(EXIT_OK)
}
