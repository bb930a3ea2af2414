//! `check`: everything that is wrong with the configuration and the protocols, without running them.

use std::path::Path;

use super::report::{self, Document};
use super::{CheckOptions, CommandError, EXIT_OK, EXIT_REFUSED, Format, Output};
use crate::config::{self, Sources};
use crate::installation::{self, target::Target};

/// Checks what is enabled below `home`, or only the folders that are named: status 0 or 78.
///
/// # Errors
/// None of its own: whatever is wrong is part of the result.
pub fn run(
    home: &Path,
    sources: &Sources,
    options: &CheckOptions,
    out: &mut Output,
) -> Result<u8, CommandError> {
    let mut survey = if options.paths.is_empty() {
        let (config, mut problems) = config::load_from(home, sources);
        let mut survey = installation::survey(home, &config);
        problems.append(&mut survey.diagnostics);
        survey.diagnostics = problems;
        survey
    } else {
        // Folders as they are, whatever is configured where this happens to run.
        let target = options.platform.clone().unwrap_or_else(Target::current);
        installation::survey_paths_for(&options.paths, &target)
    };
    if options.strict {
        survey = survey.strict();
    }
    match options.format {
        Format::Text => out.text.push_str(&report::text(&survey, out.style)),
        Format::Json => out.json(&Document::of(&survey)),
    }
    Ok(if survey.has_errors() { EXIT_REFUSED } else { EXIT_OK })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::Value;
    use tempfile::TempDir;

    use super::*;

    fn home(kuzzlerc: &str) -> TempDir {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join(".kuzzlerc"), kuzzlerc).unwrap();
        home
    }

    fn run_in(home: &Path, options: &CheckOptions) -> (u8, String) {
        let mut out = Output::plain();
        let status = run(home, &Sources::default(), options, &mut out).unwrap();
        (status, out.text)
    }

    fn json() -> CheckOptions {
        CheckOptions { format: Format::Json, ..CheckOptions::default() }
    }

    #[test]
    fn an_installation_without_protocols_is_in_order() {
        let home = home("{}");
        let (status, text) = run_in(home.path(), &json());
        assert_eq!(status, EXIT_OK);
        let document: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&document["protocols"], &document["refused"]), (&Value::Array(vec![]), &0.into()));
        assert_eq!(run_in(home.path(), &CheckOptions::default()).0, EXIT_OK);
    }

    #[test]
    fn a_wrong_configuration_is_refused_and_told_beside_the_protocols() {
        let home = home(r#"{"server": {"port": "no"}}"#);
        let (status, text) = run_in(home.path(), &json());
        assert_eq!(status, EXIT_REFUSED);
        let document: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["diagnostics"][0]["id"], "core.configuration.invalid_type", "{text}");
        assert_eq!(document["refused"], 0);
        let (status, text) = run_in(home.path(), &CheckOptions::default());
        assert_eq!(status, EXIT_REFUSED);
        assert!(
            text.contains("configuration and installation\n  error[core.configuration.invalid_type]"),
            "{text}"
        );
    }

    #[test]
    fn only_the_folders_that_are_named_are_checked() {
        let home = home("{}");
        for folder in ["elsewhere/one", "protocols/enabled/two"] {
            fs::create_dir_all(home.path().join(folder)).unwrap();
        }
        let one = home.path().join("elsewhere/one");
        let (status, text) = run_in(home.path(), &CheckOptions { paths: vec![one.clone()], ..json() });
        let document: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(status, EXIT_REFUSED);
        assert_eq!(document["protocols"].as_array().unwrap().len(), 1, "{text}");
        assert_eq!(document["protocols"][0]["path"], one.to_str().unwrap());
        assert_eq!(document["protocols"][0]["status"], "refused");
    }
}
