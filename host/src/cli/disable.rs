//! `disable`.
use std::path::Path;

use super::{CommandError, EXIT_OK, NamesOptions, Output};

/// Runs it.
pub fn run(home: &Path, options: &NamesOptions, out: &mut Output) -> Result<u8, CommandError> {
    let _ = (home, options, out);
    Ok(EXIT_OK)
}
