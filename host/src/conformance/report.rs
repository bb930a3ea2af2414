//! The result of a run: a public contract as JSON, and text for people.

use serde::Serialize;

use crate::cli::Output;
use crate::diagnostics::escape;

/// How a test has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The rule was kept.
    Passed,
    /// The rule was broken.
    Failed,
    /// The rule does not apply, or could not be looked at.
    Skipped,
}

/// One test.
#[derive(Clone, Debug, Serialize)]
pub struct TestReport {
    /// Its name, as `--only` takes it.
    pub name: &'static str,
    /// How it ended.
    pub status: Status,
    /// Why it failed or was skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How long it took.
    pub millis: u64,
}

/// A run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The manifest's name.
    pub protocol: String,
    /// The folder, as it was given.
    pub path: String,
    /// With this seed the run can be repeated.
    pub seed: u64,
    /// In the order of the catalogue.
    pub tests: Vec<TestReport>,
    /// How many of them passed.
    pub passed: usize,
    /// How many of them failed.
    pub failed: usize,
    /// How many of them were skipped.
    pub skipped: usize,
}

impl Report {
    /// Counts.
    pub fn new(protocol: String, path: String, seed: u64, tests: Vec<TestReport>) -> Self {
        let count = |status| tests.iter().filter(|test| test.status == status).count();
        let (passed, failed, skipped) =
            (count(Status::Passed), count(Status::Failed), count(Status::Skipped));
        Self { protocol, path, seed, tests, passed, failed, skipped }
    }

    /// For people.
    pub fn text(&self, out: &mut Output) {
        let (green, red, yellow, bold, reset) =
            (out.style.green(), out.style.red(), out.style.yellow(), out.style.bold(), out.style.reset());
        out.line(format!(
            "{bold}{}{reset} ({}), seed {}",
            escape(&self.protocol),
            escape(&self.path),
            self.seed
        ));
        let width = self.tests.iter().map(|test| test.name.len()).max().unwrap_or(0);
        for test in &self.tests {
            let verdict = match test.status {
                Status::Passed => format!("{green}passed{reset} "),
                Status::Failed => format!("{red}failed{reset} "),
                Status::Skipped => format!("{yellow}skipped{reset}"),
            };
            let reason =
                test.reason.as_deref().map(|reason| format!("  {}", escape(reason))).unwrap_or_default();
            out.line(format!("  {verdict} {:width$} {:>6} ms{reason}", test.name, test.millis));
        }
        out.line(format!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped));
    }
}
