//! Runs all phases for all entries and collects everything that is wrong.
use std::path::{Path, PathBuf};

use super::Survey;
use crate::config::Config;

/// Surveys what is enabled below `home`.
pub fn survey(home: &Path, config: &Config) -> Survey {
    let _ = (home, config);
    Survey::default()
}

/// Surveys these protocol folders only.
pub fn survey_paths(paths: &[PathBuf], config: &Config) -> Survey {
    let _ = (paths, config);
    Survey::default()
}
