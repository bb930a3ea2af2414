//! The child's side: one scene from its beginning to its end.

use std::fs;
use std::path::Path;
use std::time::Instant;

use super::catalogue::TESTS;
use super::journal::{Journal, Verdict};
use super::scene::{Scene, Stop};
use super::subject::Subject;
use crate::platform::{self, Limits};

/// Memory is for libraries, thread stacks and the arenas of the C library, which reserve much.
const ADDRESS_SPACE: u64 = 8 << 30;
const DESCRIPTORS: u64 = 512;
/// Seconds.
const PROCESSOR: u64 = 30;

/// Plays the scene that the parent has described in `folder`, and ends the process.
///
/// The status tells nothing: what counts is the verdict in the journal.
pub fn run(folder: &Path, test: &str, part: &str, seed: u64, thorough: bool) -> ! {
    let processor = if thorough { 10 * PROCESSOR } else { PROCESSOR };
    platform::confine(Limits { address_space: ADDRESS_SPACE, descriptors: DESCRIPTORS, processor });
    let status = match play(folder, test, part, seed, thorough) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error}");
            1
        }
    };
    // Neither destructors of libraries nor handlers of theirs run under threads that still do.
    platform::exit_now(status)
}

fn play(folder: &Path, test: &str, part: &str, seed: u64, thorough: bool) -> Result<(), String> {
    let told = |error: std::io::Error| error.to_string();
    let journal = Journal::open(&folder.join(super::runner::JOURNAL)).map_err(told)?;
    let subject = fs::read(folder.join(super::runner::SUBJECT)).map_err(told)?;
    let subject: Subject = serde_json::from_slice(&subject).map_err(|error| error.to_string())?;
    let test = TESTS.iter().find(|known| known.name == test).ok_or("no such test")?;
    let began = Instant::now();
    let scene = Scene { subject: &subject, journal: &journal, part, seed, thorough, began };
    journal.verdict(match (test.play)(&scene) {
        Ok(()) => Verdict::Passed,
        Err(Stop::Failed(reason)) => Verdict::Failed(reason),
        Err(Stop::Skipped(reason)) => Verdict::Skipped(reason),
    });
    Ok(())
}
