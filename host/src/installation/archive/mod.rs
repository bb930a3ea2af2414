//! Archives of protocols, `NAME-VERSION-PLATFORM.tar.gz`: one folder with a manifest and a library.

mod read;
mod write;

use std::path::{Component, Path};

pub(crate) use read::{is_archive, unpack};
pub(crate) use write::{Member, write};

/// The most files and folders in an archive.
const MOST_ENTRIES: usize = 1000;
/// The most that all files of an archive have together, in bytes: the largest library, and some more.
pub(crate) const MOST_BYTES: u64 = (1 << 30) + (64 << 20);
/// How deep folders may lie.
const MOST_DEPTH: usize = 8;

/// Whether a path can stand in an archive: relative, and the same on every platform.
///
/// # Errors
/// Why not.
fn check_path(path: &Path) -> Result<(), String> {
    let mut depth = 0;
    for part in path.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir => return Err("it leads out of the folder (..)".to_owned()),
            Component::RootDir | Component::Prefix(_) => return Err("it is absolute".to_owned()),
        }
    }
    let Some(text) = path.to_str() else { return Err("it is not UTF-8".to_owned()) };
    if depth == 0 {
        Err("it is empty".to_owned())
    } else if depth > MOST_DEPTH {
        Err(format!("it is deeper than {MOST_DEPTH} folders"))
    } else if text.chars().any(|character| character.is_control() || "\\:*?\"<>|".contains(character)) {
        Err("it holds characters that not every platform knows".to_owned())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_lead_elsewhere_or_mean_something_else_elsewhere_are_refused() {
        for path in ["p", "p/manifest.json", "./p/x", "p/a b", "p/é", "a/b/c/d/e/f/g/h"] {
            assert_eq!(check_path(Path::new(path)), Ok(()), "{path}");
        }
        for path in [
            "",
            ".",
            "/p",
            "../p",
            "p/../q",
            "p/..",
            "p\\q",
            "C:p",
            "p/nul\0",
            "p/\u{1b}",
            "a/b/c/d/e/f/g/h/i",
        ] {
            assert!(check_path(Path::new(path)).is_err(), "{path}");
        }
    }
}
