//! `conformance`: proves a protocol against a fake host that watches the rules of the ABI.

use std::hash::{BuildHasher, RandomState};

use super::report::{self, Document};
use super::{CommandError, ConformanceOptions, EXIT_FAILURE, EXIT_OK, EXIT_REFUSED, Format, Output};
use crate::conformance::{self, Plan, Report, Subject, TESTS};
use crate::installation;

/// Tests the protocol in the folder that is named: status 0, 1 if a test failed, 78 if the static gate
/// refuses it.
///
/// # Errors
/// An unknown test; no child could be made.
pub fn run(options: &ConformanceOptions, out: &mut Output) -> Result<u8, CommandError> {
    let tests = chosen(&options.only)?;
    let survey = installation::survey_paths(std::slice::from_ref(&options.path));
    let Some(candidate) = survey.candidates().next().filter(|_| !survey.has_errors()) else {
        match options.format {
            Format::Text => out.text.push_str(&report::text(&survey, out.style)),
            Format::Json => out.json(&Document::of(&survey)),
        }
        return Ok(EXIT_REFUSED);
    };
    let seed = options.seed.unwrap_or_else(|| RandomState::new().hash_one(std::process::id()) >> 32);
    let plan = Plan { subject: Subject::of(candidate), tests, seed, thorough: options.thorough };
    let tests = conformance::run(&plan).map_err(|error| {
        CommandError::failure(
            format!("Could not run the tests: {error}."),
            "The command needs to make processes, and files in the folder for temporary files.",
        )
    })?;
    let path = options.path.to_string_lossy().into_owned();
    let report = Report::new(plan.subject.name.clone(), path, seed, tests);
    match options.format {
        Format::Text => report.text(out),
        Format::Json => out.json(&report),
    }
    Ok(if report.failed == 0 { EXIT_OK } else { EXIT_FAILURE })
}

/// The tests of these names, or all.
fn chosen(only: &[String]) -> Result<Vec<&'static conformance::Test>, CommandError> {
    for name in only {
        if TESTS.iter().all(|test| test.name != name) {
            let names: Vec<_> = TESTS.iter().map(|test| test.name).collect();
            return Err(CommandError::usage(
                format!("There is no test \"{name}\"."),
                format!("The tests are: {}.", names.join(", ")),
            ));
        }
    }
    Ok(TESTS.iter().filter(|test| only.is_empty() || only.iter().any(|name| name == test.name)).collect())
}
