//! `inspect`.
use super::{CommandError, EXIT_OK, InspectOptions, Output};

/// Runs it.
pub fn run(options: &InspectOptions, out: &mut Output) -> Result<u8, CommandError> {
    let _ = (options, out);
    Ok(EXIT_OK)
}
