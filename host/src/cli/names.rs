//! The names that `enable` and `disable` take, and the folders that these names stand in.

use std::io;
use std::path::{Path, PathBuf};

use super::CommandError;

/// The two folders of an installation that hold protocols and links to them.
#[derive(Debug)]
pub(super) struct Folders {
    /// `protocols/available`.
    pub(super) available: PathBuf,
    /// `protocols/enabled`.
    pub(super) enabled: PathBuf,
}

impl Folders {
    /// Those of the installation at `home`; they need not exist.
    pub(super) fn of(home: &Path) -> Self {
        let protocols = home.join("protocols");
        Self { available: protocols.join("available"), enabled: protocols.join("enabled") }
    }
}

/// The names, each once, if all of them can be names of folders in `protocols/available`.
pub(super) fn parse(names: &[String]) -> Result<Vec<&str>, CommandError> {
    let mut parsed: Vec<&str> = Vec::new();
    for name in names {
        let reason = if name.is_empty() {
            "it is empty"
        } else if name.contains('/') || (cfg!(windows) && name.contains(['\\', ':'])) {
            "it is a path, not the name of a folder"
        } else if name.starts_with('.') {
            "it begins with a dot"
        } else if name.contains('\0') {
            "it holds a NUL character"
        } else {
            if !parsed.contains(&name.as_str()) {
                parsed.push(name);
            }
            continue;
        };
        return Err(CommandError::usage(
            format!("\"{name}\" can not be the NAME of a protocol: {reason}."),
            "Give the name of a folder in protocols/available; `kuzzle-host list` shows them.",
        ));
    }
    Ok(parsed)
}

/// The names in a folder that do not begin with a dot, sorted; none if there is no such folder.
pub(super) fn entries(folder: &Path) -> io::Result<Vec<std::ffi::OsString>> {
    let items = match std::fs::read_dir(folder) {
        Ok(items) => items,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for item in items {
        let name = item?.file_name();
        if !name.to_string_lossy().starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Whether two paths lead to the same existing file or folder.
pub(super) fn same(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::EXIT_USAGE;

    #[test]
    fn malformed_names_are_wrong_usage() {
        for name in ["", ".", "..", "a/b", "/", "a/", "../a", ".hidden", "a\0b"] {
            let error = parse(&["fine".to_owned(), name.to_owned()]).unwrap_err();
            assert_eq!(error.status, EXIT_USAGE, "{name:?}");
        }
    }

    #[test]
    fn a_name_that_is_given_twice_is_taken_once() {
        let names = ["b", "a.x", "b"].map(str::to_owned);
        assert_eq!(parse(&names).unwrap(), ["b", "a.x"]);
    }
}
