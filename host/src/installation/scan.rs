//! The entries of `protocols/enabled`: which folders they lead to, and which lead nowhere.

use std::io;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::file;
use crate::diagnostics::{Diagnostic, Id};

/// An entry that is reported.
pub(super) struct Found {
    /// The entry.
    pub(super) path: PathBuf,
    /// The folder it leads to, links resolved; or why it leads to none.
    pub(super) folder: Result<PathBuf, Diagnostic>,
}

/// The entries of a folder, sorted by name; names that begin with a dot and plain files are left out.
/// A folder that does not exist has no entries.
///
/// # Errors
/// The folder can not be read.
pub(super) fn scan(enabled: &Path) -> Result<Vec<Found>, Diagnostic> {
    match std::fs::metadata(enabled) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !enabled.is_symlink() => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(unreadable(enabled, &error.to_string())),
        Ok(metadata) if !metadata.is_dir() => {
            return Err(unreadable(enabled, &format!("it is {}, not a folder", file::kind(&metadata))));
        }
        Ok(_) => {}
    }
    let mut found = Vec::new();
    for entry in WalkDir::new(enabled).min_depth(1).max_depth(1).sort_by_file_name() {
        let entry = entry.map_err(|error| unreadable(enabled, &error.to_string()))?;
        if entry.file_name().to_string_lossy().starts_with('.') || entry.file_type().is_file() {
            continue;
        }
        let folder = resolve(entry.path());
        found.push(Found { path: entry.into_path(), folder });
    }
    Ok(found)
}

fn unreadable(path: &Path, reason: &str) -> Diagnostic {
    let message = format!("Could not read the folder: {reason}.");
    Diagnostic::error(Id::DiscoveryUnreadable, path, message, "Let the user of this process read the folder.")
}

/// The folder that an entry leads to, links resolved.
pub(super) fn resolve(path: &Path) -> Result<PathBuf, Diagnostic> {
    let metadata = std::fs::metadata(path).map_err(|error| failed(path, &error))?;
    if !metadata.is_dir() {
        let what = file::kind(&metadata);
        let message = format!("The entry leads to {what}, not to a protocol's folder.");
        let help = "Link to the folder that holds the protocol's manifest.json and library.";
        return Err(Diagnostic::error(Id::DiscoveryNotADirectory, path, message, help)
            .expected("a folder")
            .found(what));
    }
    path.canonicalize().map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &io::Error) -> Diagnostic {
    let target = std::fs::read_link(path).ok();
    let leads_to =
        target.as_deref().map_or_else(|| "elsewhere".to_owned(), |target| target.display().to_string());
    let remove = "Remove the link (`kuzzle-host disable NAME`), or install what it leads to.";
    match error.kind() {
        io::ErrorKind::NotFound if target.is_some() => {
            let message = format!("The link leads to {leads_to}, which does not exist.");
            Diagnostic::error(Id::DiscoveryDanglingLink, path, message, remove).found(leads_to)
        }
        _ if is_loop(error) => {
            let message = format!("The link leads to {leads_to}, and in the end to itself.");
            Diagnostic::error(Id::DiscoveryLinkLoop, path, message, remove).found(leads_to)
        }
        _ => {
            let message = format!("Could not look at the entry: {error}.");
            let help = "Let the user of this process read what the entry leads to.";
            Diagnostic::error(Id::DiscoveryUnreadable, path, message, help)
        }
    }
}

/// Whether too many links were followed.
fn is_loop(error: &io::Error) -> bool {
    #[cfg(unix)]
    return error.raw_os_error() == Some(libc::ELOOP);
    #[cfg(not(unix))]
    return {
        let _ = error;
        false
    };
}
